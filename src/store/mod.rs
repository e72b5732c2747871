//! The only SQL. One file an aggregate; every function takes a connection and the organization
//! whose rows it may touch. Those that look at the rows of all organizations say so.
//!
//! Every function fails with [`Error::Unavailable`] where the database cannot be asked, and with
//! [`Error::Internal`] where it answers what it must not. Under `Errors` stands what else there is.

mod address;
mod aggregate;
pub mod applications;
pub mod audit;
pub mod brands;
pub mod client_assertions;
pub mod client_keys;
pub mod cluster;
mod connection;
pub mod deliveries;
pub mod domains;
#[cfg(feature = "embedded-postgres")]
pub mod embedded;
pub mod event_streams;
pub mod events;
pub mod folding;
pub mod grants;
pub mod groups;
pub mod invitations;
mod later;
pub mod members;
pub mod memberships;
pub mod operator_tokens;
pub mod organizations;
mod page;
pub mod personal_access_tokens;
pub mod policies;
mod pool;
pub mod pushed_requests;
pub mod receivers;
pub mod roles;
mod room;
mod schema;
pub mod scim;
pub mod scim_events;
pub mod scim_groups;
pub mod scim_resources;
pub mod scim_search;
pub mod scim_users;
mod servers;
pub mod service_accounts;
pub mod sessions;
pub mod setup_links;
mod share;
pub mod sign_in;
pub mod signing_keys;
pub mod sql;
pub mod sso;
pub mod status;
pub mod subjects;
pub mod tokens;
mod types;
pub mod webhooks;
mod wide;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, join};
use sqlx::Executor as _;
use sqlx::migrate::MigrateError;
use sqlx::postgres::PgQueryResult;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use self::address::Address;
pub use self::connection::Connection;
use self::connection::Limits;
pub use self::later::Later;
pub use self::page::{Items, Page, Place};
use self::pool::Pool;
pub use self::pool::{Lease, Transaction};
pub use self::schema::MIGRATIONS;
pub use self::servers::Access;
use self::servers::Servers;
pub use self::share::Share;
use crate::domain::event::Actor;
use crate::error::{Error, Violation};
use crate::metrics::Metrics;

/// A value as JSON, on its way to or from the database.
pub use sqlx::types::Json;

/// How many connections a process opens to a PostgreSQL server unless it is told otherwise.
pub const MAX_CONNECTIONS: u32 = 16;

/// How long a request waits for a connection, and for the read that it begins with.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same where all requests take turns on one connection.
const PATIENCE_IN_TURNS: Duration = Duration::from_secs(30);
/// How long it may take to find that out: those who ask for liveness have little patience.
const LIVENESS: Duration = Duration::from_millis(900);

/// Makes sure that `url` names one PostgreSQL or several, as libpq has it.
///
/// # Errors
///
/// What is wrong, as the end of a sentence that starts with the URL's name. It has no part of the URL
/// in it.
pub fn check_url(url: &str) -> Result<(), String> {
    url.parse::<Address>().map(drop)
}

/// The hosts that `url` names, for people; nothing where it names none.
pub fn hosts(url: &str) -> String {
    let address: Option<Address> = url.parse().ok();
    let hosts = address.iter().flat_map(|address| &address.hosts);
    hosts.map(address::name).collect::<Vec<_>>().join(", ")
}

/// The pool of connections to PostgreSQL.
#[derive(Clone, Debug)]
pub struct Store {
    pool: Pool,
    max_connections: u32,
    patience: Duration,
    metrics: Metrics,
    /// The turns of searches that read everything.
    wide: Arc<Semaphore>,
    /// Whether the database is on several machines, as the last migration found.
    is_distributed: Arc<AtomicBool>,
}

impl Store {
    /// Connects to the PostgreSQL that `url` names, or to the first of several that can be written to,
    /// with up to `max_connections`. When it fails, later connections are made to another.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when none answers, [`Error::FailedPrecondition`] when none can be written
    /// to, [`Error::Internal`] when the URL is none.
    pub async fn connect(url: &str, max_connections: u32) -> Result<Self, Error> {
        let address: Address = url.parse().map_err(|e: String| Error::internal(e))?;
        if !address.ignored.is_empty() {
            let names = address.ignored.join(", ");
            tracing::warn!(names, "DATABASE_URL has parameters that are not known here");
        }
        Self::open(address, max_connections, false).await
    }

    async fn open(
        address: Address,
        max_connections: u32,
        is_embedded: bool,
    ) -> Result<Self, Error> {
        let limits = if is_embedded {
            Limits::PATIENT
        } else {
            Limits::SERVER
        };
        let patience = if max_connections > 1 {
            PATIENCE
        } else {
            PATIENCE_IN_TURNS
        };
        let pool = Pool::open(
            Servers::new(address, limits),
            max_connections,
            patience,
            is_embedded,
        )
        .await?;
        Ok(Self {
            pool,
            max_connections,
            patience,
            metrics: Metrics::default(),
            wide: Arc::new(Semaphore::new(wide::limit(max_connections))),
            is_distributed: Arc::default(),
        })
    }

    /// Has waits for connections timed.
    pub fn measure(&mut self, metrics: Metrics) {
        self.metrics = metrics;
    }

    /// How many connections there may be, and how many somebody uses.
    pub fn connections(&self) -> (usize, usize) {
        let max = self.max_connections as usize;
        (max, max.saturating_sub(self.pool.free()))
    }

    /// Brings the schema up to date. Replicas that start together take turns under an advisory
    /// lock.
    ///
    /// # Errors
    ///
    /// [`Error::FailedPrecondition`] when the database cannot be written to, does not store UTF-8 or has
    /// a schema that is too new for this program, or a PgBouncer before it loses prepared statements;
    /// [`Error::Internal`] when a version fails or was changed.
    pub async fn migrate(&self) -> Result<(), Error> {
        let mut lease = self.acquire().await?;
        let access = lease.access().await?;
        if access != Access::ReadWrite {
            return Err(Error::FailedPrecondition(format!(
                "the database that DATABASE_URL names {access}: name the server that can be written to, or all servers, separated by commas"
            )));
        }
        let db: &mut Connection = &mut lease;
        schema::check_encoding(db).await?;
        db.execute("set statement_timeout = 0; set lock_timeout = 0")
            .await?;
        if let Err(error) = MIGRATIONS.run(db.driver()).await {
            // The lock ends with the connection.
            lease.close().await;
            return Err(explain(error));
        }
        schema::check_compatible(db).await?;
        match cluster::distribute(db.driver()).await {
            Ok(is_distributed) => self.is_distributed.store(is_distributed, Ordering::Relaxed),
            Err(error) => {
                lease.close().await;
                return Err(error);
            }
        }
        servers::prepare(&mut lease).await?;
        Ok(())
    }

    /// Whether the schema is in the database, in whatever version.
    #[cfg(feature = "embedded-postgres")]
    async fn has_schema(&self) -> Result<bool, Error> {
        let mut lease = self.acquire().await?;
        let has_schema = schema::is_there(&mut lease).await?;
        Ok(has_schema)
    }

    /// A connection outside of a transaction.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when none is free in time.
    pub async fn acquire(&self) -> Result<Lease, Error> {
        let _waiting = self.metrics.connection_wanted();
        self.pool.acquire().await
    }

    /// Runs a read that every request begins with. A connection that died while it was idle is not
    /// the request's fault: it is tried again on others, for a few seconds in all.
    ///
    /// # Errors
    ///
    /// Those of `read`; [`Error::Unavailable`] when there is no answer in time.
    pub async fn read<T>(
        &self,
        read: impl for<'a> Fn(&'a mut Connection) -> BoxFuture<'a, Result<T, Error>>,
    ) -> Result<T, Error> {
        let attempts = async {
            loop {
                let mut db = self.acquire().await?;
                match read(&mut db).await {
                    Err(Error::Unavailable(cause)) if !is_of_another_machine(&*cause) => {
                        tracing::debug!(%cause, "a connection was dead")
                    }
                    Err(error) => return Err(error),
                    Ok(found) => return Ok(found),
                }
            }
        };
        timeout(self.patience, attempts)
            .await
            .unwrap_or_else(|e| Err(Error::Unavailable(e.into())))
    }

    /// A transaction. It is rolled back unless it is committed.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when no connection is free in time.
    pub async fn begin(&self) -> Result<Transaction, Error> {
        Transaction::begin(self.acquire().await?).await
    }

    /// The same, with who makes the changes: the log of events tells it of each.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin) has them.
    pub async fn begin_as(&self, actor: Actor) -> Result<Transaction, Error> {
        Transaction::begin_as(self.acquire().await?, actor).await
    }

    /// Asks what the database can be used for, without waiting for a server that can be written to.
    /// One round trip; two after a write that failed for want of room.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when it gives no sign of life.
    pub async fn ping(&self) -> Result<Access, Error> {
        let access = self.pool.ping().await?;
        if access != Access::ReadWrite || !room::is_doubtful() {
            return Ok(access);
        }
        let mut lease = self.acquire().await?;
        let has_room = room::is_there(&mut lease).await?;
        Ok(if has_room { access } else { Access::NoRoom })
    }

    /// Whether the database is on several machines: then nothing is read in the order of all of them.
    pub fn is_distributed(&self) -> bool {
        self.is_distributed.load(Ordering::Relaxed)
    }

    /// Whether all requests take turns on one connection.
    fn takes_turns(&self) -> bool {
        self.max_connections == 1
    }

    /// A share of the connections, for one door.
    pub fn share(&self) -> Share {
        Share::of(self.max_connections)
    }

    /// Whether nothing has worked for so long although the database can be reached: then a new process
    /// would be better off.
    pub async fn is_stuck(&self, time: Duration) -> bool {
        if self.pool.failing_for() < time {
            return false;
        }
        let own = timeout(LIVENESS, self.pool.ping());
        let (own, new) = join(own, timeout(LIVENESS, self.pool.can_connect())).await;
        !matches!(own, Ok(Ok(_))) && matches!(new, Ok(true))
    }

    /// Waits until every connection is back, and closes them.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Refuses a write whose condition held for no row: one that was deleted, or changed, since it was read.
fn must_exist(done: &PgQueryResult, noun: &'static str) -> Result<(), Error> {
    match done.rows_affected() {
        0 => Err(Error::NotFound(noun)),
        _ => Ok(()),
    }
}

/// Makes sure that a write reached the one row that it was for: it was there before, in the same transaction.
fn one_row(done: &PgQueryResult) -> Result<(), Error> {
    match done.rows_affected() {
        1 => Ok(()),
        rows => Err(Error::internal(format!(
            "{rows} rows were written instead of one"
        ))),
    }
}

/// Gives a broken constraint its meaning, where the query stands.
pub trait OnConstraint<T> {
    /// Replaces the violation of the constraint `name` by `error`.
    ///
    /// # Errors
    ///
    /// `error()`, or what the failure is in general.
    fn on_constraint(self, name: &str, error: impl FnOnce() -> Error) -> Result<T, Error>;
}

impl<T> OnConstraint<T> for Result<T, sqlx::Error> {
    fn on_constraint(self, name: &str, error: impl FnOnce() -> Error) -> Result<T, Error> {
        self.map_err(|e| match breaks(&e, name) {
            true => error(),
            false => e.into(),
        })
    }
}

/// Whether a statement broke this constraint. Where the database is distributed, each part of a table has constraints of its own,
/// whose names end in the number of the part, and a machine that passes on the error of another names them in its text alone, perhaps with another code.
fn breaks(error: &sqlx::Error, constraint: &str) -> bool {
    let is_it = |name: &str| {
        let part = name.strip_prefix(constraint);
        let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        part.is_some_and(|part| part.is_empty() || part.strip_prefix('_').is_some_and(is_number))
    };
    let Some(fault) = error.as_database_error() else {
        return false;
    };
    match fault.constraint() {
        Some(name) => is_it(name),
        None => {
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            fault.message().split(|c| !is_word(c)).any(is_it)
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        warn_of_pooler(&error);
        let code = code(&error);
        if room::is_lacking(&code) {
            room::note_lack();
        }
        match &*code {
            // Text that the database cannot store: the safety net below the rules that name the field.
            "22021" | "22P05" => Self::invalid(
                "",
                Violation::STORABLE,
                "must not contain the NUL character",
            ),
            _ if is_passing(&error) => Self::Unavailable(error.into()),
            _ => Self::internal(error),
        }
    }
}

/// The SQLSTATE of an error; empty when it is not the database's.
fn code(error: &sqlx::Error) -> String {
    let code = error.as_database_error().and_then(|fault| fault.code());
    code.unwrap_or_default().into_owned()
}

/// Whether trying again helps.
fn is_passing(error: &sqlx::Error) -> bool {
    use sqlx::Error as E;
    match error {
        E::PoolTimedOut
        | E::PoolClosed
        | E::Io(_)
        | E::Tls(_)
        | E::Protocol(_)
        | E::WorkerCrashed => true,
        // Connection, resources, a lock, operator intervention, serialization; 58030, a disk that is full or
        // fails; and 25006, a server that became a standby: the next connection is to the one that took
        // its place.
        _ => ["08", "53", "55P03", "57", "40", "58030", "25006"]
            .iter()
            .any(|class| code(error).starts_with(class)),
    }
}

/// Whether a database on several machines answered that another of them is down: no connection of ours does better.
fn is_of_another_machine(cause: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    let error = cause.downcast_ref::<sqlx::Error>();
    error.is_some_and(|error| code(error).starts_with("08"))
}

/// What to do when prepared statements are there that we did not make, or are not there that we made.
const POOLER: &str = "the PgBouncer that DATABASE_URL leads to mixes up prepared statements: set pool_mode = session there, or use PgBouncer 1.21 or newer with max_prepared_statements above 0";
/// How often it is said.
const POOLER_INTERVAL: Duration = Duration::from_secs(60);

fn is_of_pooler(error: &sqlx::Error) -> bool {
    matches!(&*code(error), "42P05" | "26000")
}

fn warn_of_pooler(error: &sqlx::Error) {
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    if !is_of_pooler(error) {
        return;
    }
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if last.is_none_or(|last| last.elapsed() >= POOLER_INTERVAL) {
        *last = Some(Instant::now());
        tracing::warn!("{POOLER}");
    }
}

fn explain(error: MigrateError) -> Error {
    match &error {
        MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _)
            if is_of_pooler(cause) =>
        {
            Error::FailedPrecondition(POOLER.to_owned())
        }
        _ => Error::internal(error),
    }
}
