//! PostgreSQL inside the process, for trying Rollcall out and for small installations.
//!
//! It serves one connection. The listener is a Unix socket in a folder that only this user can
//! enter, because the embedded server asks for no password.

use std::fs;
use std::path::Path;
use std::time::Duration;

use pglite_oxide::PgliteServer;
use sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;

use super::address::{Address, Wanted};
use super::{PATIENCE_IN_TURNS, Store};
use crate::error::Error;

const USER: &str = "postgres";
const DATABASE: &str = "template1";

/// How long PostgreSQL may take to stop.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// A running embedded PostgreSQL.
pub struct Embedded {
    // Dropped first: the server stops before its socket's folder goes.
    server: Option<PgliteServer>,
    socket: TempDir,
}

impl Embedded {
    /// Starts PostgreSQL on the files in `folder`, which are made if there are none.
    ///
    /// # Errors
    ///
    /// [`Error::FailedPrecondition`] when another process has the folder; [`Error::Internal`] when
    /// PostgreSQL does not start.
    pub async fn start(folder: &Path) -> Result<(Self, Store), Error> {
        let folder = folder.to_owned();
        let embedded = tokio::task::spawn_blocking(move || Self::start_blocking(&folder));
        let embedded = embedded.await.map_err(Error::internal)??;
        let options = PgConnectOptions::new_without_pgpass()
            .socket(embedded.socket.path())
            .username(USER)
            .database(DATABASE);
        let address = Address {
            hosts: vec![options],
            wanted: Wanted::Any,
            connect_timeout: PATIENCE_IN_TURNS,
            ignored: vec![],
        };
        let store = Store::open(address, 1).await?;
        Ok((embedded, store))
    }

    fn start_blocking(folder: &Path) -> Result<Self, Error> {
        fs::create_dir_all(folder).map_err(Error::internal)?;
        // Socket paths have at most 107 bytes; a temporary folder's fits, and has mode 0700.
        let socket = tempfile::Builder::new()
            .prefix("rollcall-")
            .tempdir()
            .map_err(Error::internal)?;
        let server = PgliteServer::builder()
            .path(folder)
            .username(USER)
            .database(DATABASE)
            .unix(socket.path().join(".s.PGSQL.5432"))
            .start()
            .map_err(|e| explain(folder, e))?;
        Ok(Self {
            server: Some(server),
            socket,
        })
    }

    /// Stops PostgreSQL. Close the store first: the server waits for its connection to end, though
    /// not for long. What was committed is safe however it ends.
    pub async fn stop(mut self) {
        let Some(server) = self.server.take() else {
            return;
        };
        let stopping = tokio::task::spawn_blocking(move || server.shutdown());
        match tokio::time::timeout(STOP_GRACE, stopping).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::debug!(%error, "the embedded PostgreSQL was cut off"),
            Ok(Err(error)) => tracing::debug!(%error, "the embedded PostgreSQL was cut off"),
            Err(_) => tracing::debug!("the embedded PostgreSQL takes too long to stop"),
        }
    }
}

fn explain(folder: &Path, error: impl std::fmt::Debug + std::fmt::Display) -> Error {
    let text = format!("{error:#}");
    if text.contains("already in use") {
        return Error::FailedPrecondition(format!(
            "another process uses the data in {}: stop it, or give this one another folder with ROLLCALL_DATA_DIR",
            folder.display()
        ));
    }
    Error::internal(text)
}
