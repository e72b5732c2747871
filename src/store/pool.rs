//! The connections of a process, and whose turn it is.
//!
//! If every query on a connection was answered, the pool reuses the connection at once, without a round trip. If a
//! query failed, or its client went away before the answer, the connection is pinged first: the pool waits a
//! while for the query's end, rolls back a transaction, and closes the connection if its server can no longer be
//! written to. If a query was not answered in time, the connection is closed.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sqlx::Executor as _;
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::connection::{Connection, Limits, State};
use super::servers::{ACCESS, Access, Held, NoServer, RETRY_INTERVAL, Servers, ask};
use super::share::Share;
use crate::domain::event::Actor;
use crate::error::Error;

/// A connection that was idle for longer is asked whether it still lives before it is used.
const TRUSTED_IDLE: Duration = Duration::from_secs(15);
/// How long it may take to give an answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// The same for the embedded PostgreSQL: nobody has another to go on with, and it ends with a connection
/// that is closed before its answer was read.
const ASK_EMBEDDED_TIMEOUT: Duration = Duration::from_secs(120);
/// A connection that was idle for longer is closed, if there is another.
const MAX_IDLE: Duration = Duration::from_secs(600);

#[derive(Clone)]
pub(super) struct Pool(Arc<Inner>);

// The servers' options hold the password.
impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("max_connections", &self.0.max_connections)
            .finish_non_exhaustive()
    }
}

struct Inner {
    servers: Servers,
    max_connections: u32,
    is_embedded: bool,
    /// One permit a connection.
    turns: Arc<Semaphore>,
    /// The one that was released last comes last and is taken first, so that those that are not
    /// needed grow old.
    idle: Mutex<Vec<Idle>>,
    /// Tells who waits for a server that a connection came back.
    returned: Notify,
    patience: Duration,
    is_closed: AtomicBool,
    /// Since when nobody got anything done, in milliseconds since `begun`; 0 when somebody did.
    failing_since: AtomicU64,
    begun: Instant,
}

/// One may have one connection.
struct Turn {
    _of_all: OwnedSemaphorePermit,
    _of_share: Option<OwnedSemaphorePermit>,
}

/// Every connection was in use.
#[derive(Debug, thiserror::Error)]
#[error(
    "no connection came free within {} s: all that may be used are in use, see ROLLCALL_DATABASE_CONNECTIONS", .0.as_secs()
)]
struct AllInUse(Duration);

impl From<AllInUse> for Error {
    fn from(error: AllInUse) -> Self {
        Self::Unavailable(error.into())
    }
}

struct Idle {
    held: Held,
    since: Instant,
    /// Another connection to the same host turned out to be of no use.
    is_doubtful: bool,
}

impl Pool {
    /// With one connection, to make sure that there is a server.
    pub(super) async fn open(
        servers: Servers,
        max_connections: u32,
        patience: Duration,
        is_embedded: bool,
    ) -> Result<Self, Error> {
        let inner = Inner {
            servers,
            max_connections,
            is_embedded,
            turns: Arc::new(Semaphore::new(max_connections as usize)),
            idle: Mutex::default(),
            returned: Notify::new(),
            patience,
            is_closed: AtomicBool::new(false),
            failing_since: AtomicU64::new(0),
            begun: Instant::now(),
        };
        let held = inner.servers.connect().await.map_err(NoServer::at_start)?;
        inner.put_back(held);
        Ok(Self(Arc::new(inner)))
    }

    /// A connection. While there is no server, it waits for one, or for a connection that comes back.
    pub(super) async fn acquire(&self) -> Result<Lease, Error> {
        let mut reason = None;
        let attempts = async {
            loop {
                let returned = self.0.returned.notified();
                match self.try_acquire().await? {
                    Ok(lease) => return Ok(lease),
                    Err(error) if error.is_passing() => reason = Some(error),
                    Err(error) => return Err(error.into()),
                }
                let _ = timeout(RETRY_INTERVAL, returned).await;
            }
        };
        let acquired = timeout(self.0.patience, attempts).await;
        let acquired = acquired.unwrap_or_else(|_| {
            Err(reason.map_or_else(|| AllInUse(self.0.patience).into(), Error::from))
        });
        if acquired.is_err() {
            self.0.note_failure();
        }
        acquired
    }

    /// A connection, if there is a server now. It waits for its turn.
    pub(super) async fn try_acquire(&self) -> Result<Result<Lease, NoServer>, Error> {
        let closed = |_| sqlx::Error::PoolClosed;
        let part = Share::of_this_task().take().await.map_err(closed)?;
        let turn = self.0.turns.clone().acquire_owned();
        let turn = turn.await.map_err(closed)?;
        let mut turn = Turn {
            _of_all: turn,
            _of_share: part,
        };
        if self.0.is_closed.load(Ordering::Relaxed) {
            return Err(sqlx::Error::PoolClosed.into());
        }
        while let Some(idle) = self.0.take() {
            let is_trusted = !idle.is_doubtful && idle.since.elapsed() <= TRUSTED_IDLE;
            let mut lease = Lease::new(self.0.clone(), idle.held, turn);
            if is_trusted || lease.is_usable().await {
                return Ok(Ok(lease));
            }
            turn = lease.abandon().ok_or(sqlx::Error::PoolClosed)?;
        }
        // Connecting goes on when the client went away: others wait for the same.
        let inner = self.0.clone();
        let connecting = tokio::spawn(async move {
            let held = inner.servers.connect().await?;
            inner.leave_others(held.host);
            Ok(Lease::new(inner, held, turn))
        });
        connecting.await.map_err(Error::internal)
    }

    pub(super) async fn ping(&self) -> Result<Access, Error> {
        match self.ping_one().await {
            // It may be the connection alone that died, while it was idle.
            Err(Error::Unavailable(_)) => self.ping_one().await,
            access => access,
        }
    }

    async fn ping_one(&self) -> Result<Access, Error> {
        let mut lease = match self.try_acquire().await? {
            Ok(lease) => lease,
            Err(error) => return error.access().ok_or_else(|| error.into()),
        };
        let access = lease.access().await;
        if !matches!(access, Ok(Access::ReadWrite)) {
            drop(lease.abandon());
        }
        access
    }

    /// How long nobody has got anything done who tried.
    pub(super) fn failing_for(&self) -> Duration {
        match self.0.failing_since.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => self
                .0
                .begun
                .elapsed()
                .saturating_sub(Duration::from_millis(since)),
        }
    }

    /// Whether a connection beside those of the pool works.
    pub(super) async fn can_connect(&self) -> bool {
        match self.0.servers.connect().await {
            Ok(held) => {
                held.close().await;
                true
            }
            Err(_) => false,
        }
    }

    /// How many connections nobody uses, those included that are not open yet.
    pub(super) fn free(&self) -> usize {
        self.0.turns.available_permits()
    }

    pub(super) async fn close(&self) {
        self.0.is_closed.store(true, Ordering::Relaxed);
        let all = self.0.turns.acquire_many(self.0.max_connections).await;
        self.0.turns.close();
        let idle = std::mem::take(&mut *self.0.idle());
        close_all(idle).await;
        drop(all);
    }
}

impl Inner {
    fn take(&self) -> Option<Idle> {
        self.idle().pop()
    }

    fn put_back(&self, mut held: Held) {
        held.connection.set_limits(self.servers.limits);
        if self.failing_since.load(Ordering::Relaxed) != 0 {
            self.failing_since.store(0, Ordering::Relaxed);
        }
        let mut idle = self.idle();
        idle.push(Idle {
            held,
            since: Instant::now(),
            is_doubtful: false,
        });
        let is_old = |idle: &Idle| idle.since.elapsed() > MAX_IDLE;
        if idle.first().is_some_and(is_old) {
            let oldest = idle.remove(0);
            spawn(oldest.held.close());
        }
        drop(idle);
        self.returned.notify_waiters();
    }

    /// Nobody got anything done since the first of these, until a connection comes back.
    fn note_failure(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let _ = self.failing_since.compare_exchange(
            0,
            now.max(1),
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }

    /// Puts a connection right that nobody wants any more, or closes it.
    async fn recover(&self, mut held: Held, in_transaction: bool) {
        let settled = timeout(self.ask_timeout(), held.settle(in_transaction)).await;
        if let Ok(Ok(true)) = settled {
            return self.put_back(held);
        }
        self.doubt(held.host);
        held.close().await;
    }

    /// Closes the idle connections to other hosts than this one: a primary that was cut off may still
    /// take writes, which nobody would find on the one that took its place.
    fn leave_others(&self, host: usize) {
        let is_other = |idle: &mut Idle| idle.held.host != host;
        let others: Vec<Idle> = self.idle().extract_if(.., is_other).collect();
        if !others.is_empty() {
            spawn(close_all(others));
        }
    }

    /// Trusts no connection to this host without asking.
    fn doubt(&self, host: usize) {
        self.servers.avoid(host);
        for idle in &mut *self.idle() {
            idle.is_doubtful |= idle.held.host == host;
        }
    }

    fn ask_timeout(&self) -> Duration {
        if !self.is_embedded {
            ASK_TIMEOUT
        } else {
            ASK_EMBEDDED_TIMEOUT
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn close_all(idle: Vec<Idle>) {
    join_all(idle.into_iter().map(|idle| idle.held.close())).await;
}

/// Runs a task, where there is something to run it; otherwise what it owns is dropped.
fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(task);
    }
}

/// A connection, for a while.
pub struct Lease {
    pool: Arc<Inner>,
    /// Both are there until the end.
    held: Option<Held>,
    turn: Option<Turn>,
    /// Whether a transaction may be under way.
    in_transaction: bool,
}

impl Lease {
    fn new(pool: Arc<Inner>, held: Held, turn: Turn) -> Self {
        Self {
            pool,
            held: Some(held),
            turn: Some(turn),
            in_transaction: false,
        }
    }

    /// Ends the connection, and with it what it changed for itself.
    pub(super) async fn close(mut self) {
        if let Some(held) = self.held.take() {
            held.close().await;
        }
    }

    /// What the server can be used for now.
    pub(super) async fn access(&mut self) -> Result<Access, Error> {
        Ok(ask(self, ACCESS).await?)
    }

    async fn is_usable(&mut self) -> bool {
        let within = self.pool.ask_timeout();
        matches!(
            timeout(within, ask(self, ACCESS)).await,
            Ok(Ok(Access::ReadWrite))
        )
    }

    /// Ends the connection and all that are idle to the same host. The turn goes on.
    fn abandon(mut self) -> Option<Turn> {
        let held = self.held.take()?;
        self.pool.servers.avoid(held.host);
        let is_alike = |idle: &mut Idle| idle.held.host == held.host;
        let others: Vec<Idle> = self.pool.idle().extract_if(.., is_alike).collect();
        spawn(close_all(others));
        spawn(held.close());
        self.turn.take()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (Some(held), Some(turn)) = (self.held.take(), self.turn.take()) else {
            return;
        };
        match held.connection.state() {
            State::Clean if !self.in_transaction => return self.pool.put_back(held),
            State::Silent => {
                self.pool.note_failure();
                self.pool.doubt(held.host);
                return spawn(held.close());
            }
            State::Clean | State::Doubtful => {}
        }
        let (pool, in_transaction) = (self.pool.clone(), self.in_transaction);
        spawn(async move {
            pool.recover(held, in_transaction).await;
            drop(turn);
        });
    }
}

impl Deref for Lease {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        match &self.held {
            Some(held) => &held.connection,
            None => unreachable!("who takes the connection takes the lease"),
        }
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Connection {
        match &mut self.held {
            Some(held) => &mut held.connection,
            None => unreachable!("who takes the connection takes the lease"),
        }
    }
}

/// A transaction. It is rolled back unless it is committed.
pub struct Transaction(Lease);

impl Transaction {
    pub(super) async fn begin(lease: Lease) -> Result<Self, Error> {
        Self::begin_with(lease, "begin".to_owned()).await
    }

    /// Begins one that says of its changes who makes them. One round trip.
    pub(super) async fn begin_as(lease: Lease, actor: Actor) -> Result<Self, Error> {
        let statement = format!("begin; set local rollcall.actor = '{actor}'");
        Self::begin_with(lease, statement).await
    }

    async fn begin_with(mut lease: Lease, statement: String) -> Result<Self, Error> {
        // Before the answer: who stops waiting for it leaves a transaction behind, too.
        lease.in_transaction = true;
        let statement = sqlx::raw_sql(sqlx::AssertSqlSafe(statement));
        lease.execute(statement).await?;
        Ok(Self(lease))
    }

    /// Allows every statement the time that a large one may take, such as one that deletes everything of
    /// a configuration.
    pub async fn be_patient(&mut self) -> Result<(), Error> {
        let limits = Limits::PATIENT;
        self.0.set_limits(limits);
        self.0
            .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(
                limits.settings_of_transaction(),
            )))
            .await?;
        Ok(())
    }

    /// Undoes what was written, now: a transaction that is dropped keeps its locks for a moment.
    pub async fn roll_back(mut self) -> Result<(), Error> {
        self.0.execute("rollback").await?;
        self.0.in_transaction = false;
        Ok(())
    }

    /// Makes what was written stay.
    pub async fn commit(mut self) -> Result<(), Error> {
        let committed = self.0.execute("commit").await;
        // What the database does not commit, it rolls back.
        self.0.in_transaction = !matches!(committed, Ok(_) | Err(sqlx::Error::Database(_)));
        committed?;
        Ok(())
    }
}

impl Deref for Transaction {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}
