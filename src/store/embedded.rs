//! PostgreSQL inside the process, for trying Rollcall out and for small installations.
//!
//! It serves one connection. The listener is a Unix socket in a folder that only this user can
//! enter, because the embedded server asks for no password.

use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pglite_oxide::PgliteServer;
use sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::address::{Address, Wanted};
use super::{PATIENCE_IN_TURNS, Store};
use crate::error::{Chain, Error};

mod folder;

const USER: &str = "postgres";
const DATABASE: &str = "template1";

/// How long PostgreSQL may take to stop.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// How long one may take that was just made.
const MAKE_GRACE: Duration = Duration::from_secs(30);
/// How often it is looked after.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// How long it is left alone after it was started again: without room, it ends again at once.
const RESTART_PAUSE: Duration = Duration::from_secs(5);

/// A running embedded PostgreSQL.
pub struct Embedded {
    // Dropped first: the server stops before its socket's folder goes.
    server: Option<PgliteServer>,
    socket: TempDir,
    folder: PathBuf,
}

impl Embedded {
    /// Starts PostgreSQL on the files in `folder`. If there are none, a database is made, with its schema.
    ///
    /// # Errors
    ///
    /// [`Error::FailedPrecondition`] when another process has the folder, when files are missing from it,
    /// and when there is no room for a new database; [`Error::Internal`] when PostgreSQL does not start.
    pub async fn start(folder: &Path) -> Result<(Self, Store), Error> {
        let claim = folder::claim(folder)?;
        if folder::is_empty(folder)?
            && let Err(error) = Self::make(folder).await
        {
            let error = folder::explain_failure(folder, error);
            let _ = folder::remove(&folder::beside(folder));
            return Err(error);
        }
        let (embedded, store) = Self::open(folder).await?;
        drop(claim);
        // The catalog may be missing, or an older one in its place.
        if !store.has_schema().await? {
            let missing = "it has no table of Rollcall";
            return Err(folder::incomplete(folder, missing));
        }
        Ok((embedded, store))
    }

    /// Makes a new database beside `folder`, and puts it there when it is whole.
    async fn make(folder: &Path) -> Result<(), Error> {
        let new = folder::beside(folder);
        let made = new.clone();
        blocking(move || folder::make(&made)).await?;
        let (embedded, store) = Self::open(&new).await?;
        store.migrate().await?;
        store.close().await;
        if !embedded.end(MAKE_GRACE).await {
            return Err(Error::internal("the new database does not stop"));
        }
        std::fs::rename(new, folder).map_err(Error::internal)
    }

    /// Starts PostgreSQL on the database in `folder`.
    async fn open(folder: &Path) -> Result<(Self, Store), Error> {
        // Socket paths have at most 107 bytes; a temporary folder's fits, and has mode 0700.
        let socket = tempfile::Builder::new()
            .prefix("rollcall-")
            .tempdir()
            .map_err(Error::internal)?;
        let options = PgConnectOptions::new_without_pgpass()
            .socket(socket.path())
            .username(USER)
            .database(DATABASE);
        let mut embedded = Self {
            server: None,
            socket,
            folder: folder.to_owned(),
        };
        embedded.run().await?;
        let address = Address {
            hosts: vec![options],
            wanted: Wanted::Any,
            connect_timeout: PATIENCE_IN_TURNS,
            ignored: vec![],
        };
        let store = Store::open(address, 1, true).await?;
        Ok((embedded, store))
    }

    /// Starts the server, after one that ended by itself is gone.
    async fn run(&mut self) -> Result<(), Error> {
        let (ended, folder, socket) = (self.server.take(), self.folder.clone(), self.socket());
        let start = move || {
            if let Some(Err(error)) = ended.map(PgliteServer::shutdown) {
                tracing::warn!(
                    cause = format!("{error:#}"),
                    "the embedded PostgreSQL ended"
                );
            }
            PgliteServer::builder()
                .path(&folder)
                .username(USER)
                .database(DATABASE)
                .unix(socket)
                .start()
                .map_err(|e| explain(&folder, e))
        };
        self.server = Some(blocking(start).await?);
        Ok(())
    }

    fn socket(&self) -> PathBuf {
        self.socket.path().join(".s.PGSQL.5432")
    }

    /// Starts PostgreSQL again whenever it ended by itself, as it does when there is no room for its
    /// write-ahead log. It never returns.
    pub async fn watch(&mut self, store: &Store) {
        loop {
            sleep(WATCH_INTERVAL).await;
            // Whoever connects takes a place in the row of those who wait for the one connection.
            let has_ended = store.ping().await.is_err() && self.refuses();
            if !has_ended {
                continue;
            }
            match self.run().await {
                Ok(()) => tracing::info!("the embedded PostgreSQL was started again"),
                Err(error) => {
                    tracing::error!(cause = %Chain(&error), "the embedded PostgreSQL does not start");
                }
            }
            sleep(RESTART_PAUSE).await;
        }
    }

    /// Whether nobody listens.
    fn refuses(&self) -> bool {
        UnixStream::connect(self.socket())
            .is_err_and(|e| matches!(e.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound))
    }

    /// Stops PostgreSQL. Close the store first: the server waits for its connection to end, though
    /// not for long. What was committed is safe however it ends.
    pub async fn stop(self) {
        self.end(STOP_GRACE).await;
    }

    /// Stops PostgreSQL, and tells whether it did within `grace`.
    async fn end(mut self, grace: Duration) -> bool {
        let Some(server) = self.server.take() else {
            return true;
        };
        let stopping = tokio::task::spawn_blocking(move || server.shutdown());
        match timeout(grace, stopping).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::debug!(%error, "the embedded PostgreSQL was cut off"),
            Ok(Err(error)) => tracing::debug!(%error, "the embedded PostgreSQL was cut off"),
            Err(_) => {
                tracing::debug!("the embedded PostgreSQL takes too long to stop");
                return false;
            }
        }
        true
    }
}

/// Runs what would keep other tasks from running.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(Error::internal)?
}

fn explain(folder: &Path, error: impl std::fmt::Display) -> Error {
    let text = format!("{error:#}");
    if text.contains("already in use") {
        return folder::in_use(folder);
    }
    Error::internal(text)
}
