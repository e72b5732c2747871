//! The servers that the database may be on, and which of them can be used just now.

use std::fmt;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgRow, PgSslMode};
use sqlx::{AssertSqlSafe, Executor as _, Row as _, raw_sql};
use tokio::time::timeout;

use super::address::{self, Address, Wanted};
use super::connection::{Connection, Limits};
use super::is_passing;
use crate::error::Error;

/// Asks what the server can be used for.
pub(super) const ACCESS: &str =
    "select pg_is_in_recovery(), current_setting('transaction_read_only')::boolean";

/// The same, on a connection on which a transaction is under way that nobody wants any more.
const ROLLBACK: &str =
    "rollback; select pg_is_in_recovery(), current_setting('transaction_read_only')::boolean";

/// The settings of each new connection.
///
/// `jit`: compiling a query takes a hundred times as long as running any of ours. `enable_seqscan`: each of our queries has an
/// index. PostgreSQL chooses to read a whole table if its statistics are from a time when the table was small, and keeps that plan
/// until the statistics change.
///
/// If a client goes away, its query does not stop and its transaction does not end. These limits, and those of [`Limits`], end them.
const SETTINGS: &str = "set jit = off; set enable_seqscan = off; \
     set idle_in_transaction_session_timeout = '60s'; set tcp_keepalives_idle = 20; \
     set tcp_keepalives_interval = 5; set tcp_keepalives_count = 4; set tcp_user_timeout = 30000";

/// How often a server is tried while none can be used.
pub(super) const RETRY_INTERVAL: Duration = Duration::from_millis(100);
/// How often connections that were left are asked what their server can be used for.
const ASK_INTERVAL: Duration = Duration::from_secs(1);
/// How long a connection may take to end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// What a database can be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading and writing.
    ReadWrite,
    /// Reading, because its transactions are read-only unless they say otherwise.
    ReadOnly,
    /// Reading, because it follows another (hot standby).
    Standby,
    /// Reading, because a write failed for want of room, and there is none yet.
    NoRoom,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReadWrite => "can be written to",
            Self::ReadOnly => "cannot be written to, because its transactions are read-only",
            Self::Standby => "is a standby, which cannot be written to",
            Self::NoRoom => "cannot be written to, because its disk is full",
        })
    }
}

/// Puts one of the questions above, in one round trip. A statement that nobody waited for is answered
/// before, perhaps with an error.
pub(super) async fn ask(
    connection: &mut Connection,
    question: &'static str,
) -> Result<Access, sqlx::Error> {
    let row = match raw_sql(question).fetch_one(&mut *connection).await {
        Err(sqlx::Error::Database(_)) => raw_sql(question).fetch_one(connection).await?,
        row => row?,
    };
    access(&row)
}

/// Tells a connection what holds for all of ours, and asks what it can be used for, in one round trip.
pub(super) async fn prepare(connection: &mut Connection) -> Result<Access, sqlx::Error> {
    let limits = connection.limits().settings();
    let all = raw_sql(AssertSqlSafe(format!("{SETTINGS}; {limits}; {ACCESS}")));
    access(&connection.fetch_one(all).await?)
}

fn access(row: &PgRow) -> Result<Access, sqlx::Error> {
    Ok(match (row.try_get(0)?, row.try_get(1)?) {
        (true, _) => Access::Standby,
        (false, true) => Access::ReadOnly,
        (false, false) => Access::ReadWrite,
    })
}

fn is_of_tls(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Tls(_) => true,
        // How the TLS library tells of a handshake that failed.
        sqlx::Error::Io(error) => error.kind() == ErrorKind::InvalidData,
        _ => false,
    }
}

/// A connection, and the number of the host that it leads to.
pub(super) struct Held {
    pub(super) connection: Connection,
    pub(super) host: usize,
    /// When it was asked last.
    asked: Instant,
}

impl Held {
    /// Brings what is under way to its end, and tells whether the connection can go on to be used.
    pub(super) async fn settle(&mut self, in_transaction: bool) -> Result<bool, sqlx::Error> {
        if !in_transaction && self.asked.elapsed() < ASK_INTERVAL {
            // Half the price, for the many that were left with nothing under way.
            match self.connection.ping().await {
                Err(sqlx::Error::Database(_)) => self.connection.ping().await?,
                answer => answer?,
            }
            self.connection.is_settled();
            return Ok(true);
        }
        let question = if in_transaction { ROLLBACK } else { ACCESS };
        let access = ask(&mut self.connection, question).await?;
        self.asked = Instant::now();
        self.connection.is_settled();
        Ok(access == Access::ReadWrite)
    }

    pub(super) async fn close(self) {
        close(self.connection).await;
    }
}

/// Tells the server, if it listens.
async fn close(connection: Connection) {
    let _ = timeout(CLOSE_TIMEOUT, connection.close()).await;
}

/// The servers.
pub(super) struct Servers {
    hosts: Vec<Host>,
    wanted: Wanted,
    connect_timeout: Duration,
    pub(super) limits: Limits,
    /// The host to begin with: the one that worked last, until it fails.
    first: AtomicUsize,
    /// The host that the last connection was made to; none has the number `usize::MAX`.
    last: AtomicUsize,
    /// Why there is no server, as the log says; `None` while there is one.
    outage: Mutex<Option<String>>,
}

struct Host {
    name: String,
    options: PgConnectOptions,
    /// Whether it was said that connections are not encrypted although that is preferred.
    is_plain: AtomicBool,
    trouble: Mutex<Option<Trouble>>,
}

/// A host was of no use when it was tried last.
struct Trouble {
    refusal: Arc<Refusal>,
    /// When to try again: one at a time, or a server that is about to be promoted would be kept busy,
    /// and everybody would wait for one that is gone.
    next: Instant,
}

impl Host {
    /// Why not to try it now. Who gets none has to try it, before `until` if others wait.
    fn refusal(&self, until: Instant) -> Option<Arc<Refusal>> {
        let mut trouble = self.trouble();
        let trouble = trouble.as_mut()?;
        if Instant::now() < trouble.next {
            return Some(trouble.refusal.clone());
        }
        trouble.next = until;
        None
    }

    /// Notes what came of an attempt that began at `began`.
    fn note(&self, refusal: Option<Arc<Refusal>>, began: Instant) {
        // One that is slow to fail is tried less often.
        let pause = began.elapsed().max(RETRY_INTERVAL);
        *self.trouble() = refusal.map(|refusal| Trouble {
            refusal,
            next: Instant::now() + pause,
        });
    }

    fn trouble(&self) -> MutexGuard<'_, Option<Trouble>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Servers {
    pub(super) fn new(address: Address, limits: Limits) -> Self {
        let host = |options: PgConnectOptions| Host {
            name: address::name(&options),
            // Numbers come in binary, and PgBouncer refuses parameters that it does not know.
            options: options
                .application_name("rollcall")
                .extra_float_digits(None),
            is_plain: AtomicBool::new(false),
            trouble: Mutex::default(),
        };
        Self {
            hosts: address.hosts.into_iter().map(host).collect(),
            wanted: address.wanted,
            connect_timeout: address.connect_timeout,
            limits,
            first: AtomicUsize::new(0),
            last: AtomicUsize::new(usize::MAX),
            outage: Mutex::default(),
        }
    }

    /// Connects to the first server that can be used. Do not stop waiting, or what was learnt about the
    /// servers is lost.
    pub(super) async fn connect(&self) -> Result<Held, NoServer> {
        let (first, count) = (self.first.load(Ordering::Relaxed), self.hosts.len());
        let mut refusals = vec![];
        for number in (0..count).map(|step| (first + step) % count) {
            match self.attempt(number).await {
                Ok(held) => return Ok(held),
                Err(refusal) => refusals.push((number, refusal)),
            }
        }
        refusals.sort_by_key(|(number, _)| *number);
        let named = |(number, refusal): (usize, _)| (self.hosts[number].name.clone(), refusal);
        let error = NoServer(refusals.into_iter().map(named).collect());
        self.note_outage(&error);
        Err(error)
    }

    async fn attempt(&self, number: usize) -> Result<Held, Arc<Refusal>> {
        let (host, began) = (&self.hosts[number], Instant::now());
        if let Some(refusal) = host.refusal(began + self.connect_timeout + CLOSE_TIMEOUT) {
            return Err(refusal);
        }
        let connected = self.try_one(host).await.map_err(Arc::new);
        host.note(connected.as_ref().err().cloned(), began);
        match connected {
            Ok(connection) => {
                self.note_success(number);
                Ok(Held {
                    connection,
                    host: number,
                    asked: Instant::now(),
                })
            }
            Err(refusal) => {
                self.avoid(number);
                Err(refusal)
            }
        }
    }

    /// The next connection is to another host than this one, if there is another that can be used.
    pub(super) fn avoid(&self, host: usize) {
        let next = (host + 1) % self.hosts.len();
        // It may have been changed already, by who noticed first.
        let _ = self
            .first
            .compare_exchange(host, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    async fn try_one(&self, host: &Host) -> Result<Connection, Refusal> {
        let attempt = async {
            let mut connection = self.greet(host).await?;
            let access = prepare(&mut connection).await?;
            Ok::<_, sqlx::Error>((connection, access))
        };
        let (connection, access) = timeout(self.connect_timeout, attempt)
            .await
            .map_err(|_| Refusal::Silence(self.connect_timeout))?
            .map_err(Refusal::Error)?;
        let is_wanted = match self.wanted {
            Wanted::Any => true,
            Wanted::Primary => access != Access::Standby,
            Wanted::ReadWrite => access == Access::ReadWrite,
        };
        if !is_wanted {
            close(connection).await;
            return Err(Refusal::Access(access));
        }
        Ok(connection)
    }

    /// Connects, with TLS as far as the URL asks for it. What prefers it goes without where it fails, as
    /// libpq does: a certificate that the TLS library cannot read is not to be checked anyway.
    async fn greet(&self, host: &Host) -> Result<Connection, sqlx::Error> {
        let connected = Connection::connect(&host.options, self.limits).await;
        let may_do_without = matches!(host.options.get_ssl_mode(), PgSslMode::Prefer);
        match connected {
            Err(error) if may_do_without && is_of_tls(&error) => {
                let plain = host.options.clone().ssl_mode(PgSslMode::Disable);
                let connection = Connection::connect(&plain, self.limits).await?;
                if !host.is_plain.swap(true, Ordering::Relaxed) {
                    let server = &host.name;
                    tracing::warn!(server, %error, "TLS to the database failed, and sslmode=prefer goes on without: the connection is not encrypted");
                }
                Ok(connection)
            }
            connected => connected,
        }
    }

    fn note_outage(&self, error: &NoServer) {
        // Who starts the process is told anyway.
        if self.last.load(Ordering::Relaxed) == usize::MAX {
            return;
        }
        let reason = error.to_string();
        let mut outage = self.outage();
        if outage.as_ref() != Some(&reason) {
            tracing::warn!(reason, "no database server can be used");
            *outage = Some(reason);
        }
    }

    fn note_success(&self, host: usize) {
        self.first.store(host, Ordering::Relaxed);
        let last = self.last.swap(host, Ordering::Relaxed);
        let was_out = self.outage().take().is_some();
        if was_out || (last != host && last != usize::MAX) {
            let server = &self.hosts[host].name;
            tracing::info!(server, "connected to the database again");
        }
    }

    fn outage(&self) -> MutexGuard<'_, Option<String>> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a host gave no connection that can be used.
#[derive(Debug)]
enum Refusal {
    Error(sqlx::Error),
    Silence(Duration),
    Access(Access),
}

/// There is no server that can be used, and why, for each host.
#[derive(Debug)]
pub(super) struct NoServer(Vec<(String, Arc<Refusal>)>);

impl NoServer {
    /// What a server can be used for that was reached, though not for what it is wanted.
    pub(super) fn access(&self) -> Option<Access> {
        self.0.iter().find_map(|(_, refusal)| match &**refusal {
            Refusal::Access(access) => Some(*access),
            _ => None,
        })
    }

    /// Whether it helps to wait.
    pub(super) fn is_passing(&self) -> bool {
        self.0.iter().any(|(_, refusal)| match &**refusal {
            Refusal::Error(error) => is_passing(error),
            Refusal::Silence(_) | Refusal::Access(_) => true,
        })
    }

    /// The error for an operator who starts a process.
    pub(super) fn at_start(self) -> Error {
        match self.access() {
            Some(_) => Error::FailedPrecondition(format!(
                "DATABASE_URL names no server that can be written to: {self}. Name the server that can be written to, or all servers, separated by commas"
            )),
            None => self.into(),
        }
    }
}

impl fmt::Display for NoServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (host, refusal)) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            match &**refusal {
                Refusal::Error(sqlx::Error::Io(error)) => write!(f, "{separator}{host}: {error}"),
                Refusal::Error(error) => write!(f, "{separator}{host}: {error}"),
                Refusal::Silence(time) => {
                    write!(f, "{separator}{host}: no connection within {time:?}")
                }
                Refusal::Access(access) => write!(f, "{separator}{host} {access}"),
            }?;
        }
        Ok(())
    }
}

impl std::error::Error for NoServer {}

impl From<NoServer> for Error {
    fn from(error: NoServer) -> Self {
        Self::Unavailable(Box::new(error))
    }
}
