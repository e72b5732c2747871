//! The connections of a process, and whose turn it is.
//!
//! Who is done with a connection and knows that nothing is under way on it [releases](Lease::release)
//! it to the next at once, without a round trip. One that is merely dropped, by an error or because
//! the client went away, is asked first: what was under way on it is waited for, for a while, a
//! transaction is rolled back, and a server that cannot be written to any more is left.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sqlx::Executor as _;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use super::servers::{ACCESS, Access, Held, NoServer, RETRY_INTERVAL, Servers, ask};
use super::{Connection, Store};
use crate::error::Error;

/// A connection that was idle for longer is asked whether it still lives before it is used.
const TRUSTED_IDLE: Duration = Duration::from_secs(15);
/// How long it may take to give an answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// The same for a sole connection: nobody has another to go on with, and the embedded PostgreSQL ends
/// with a connection that is closed before its answer was read.
const ASK_SOLE_TIMEOUT: Duration = Duration::from_secs(120);
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
    /// One permit a connection.
    turns: Arc<Semaphore>,
    /// The one that was released last comes last and is taken first, so that those that are not
    /// needed grow old.
    idle: Mutex<Vec<Idle>>,
    patience: Duration,
    is_closed: AtomicBool,
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
    ) -> Result<Self, Error> {
        let inner = Inner {
            servers,
            max_connections,
            turns: Arc::new(Semaphore::new(max_connections as usize)),
            idle: Mutex::default(),
            patience,
            is_closed: AtomicBool::new(false),
        };
        let held = inner.servers.connect().await.map_err(NoServer::at_start)?;
        inner.put_back(held);
        Ok(Self(Arc::new(inner)))
    }

    /// A connection. While there is no server, it waits for one.
    pub(super) async fn acquire(&self) -> Result<Lease, Error> {
        let mut reason = None;
        let attempts = async {
            loop {
                match self.try_acquire().await? {
                    Ok(lease) => return Ok(lease),
                    Err(error) if error.is_passing() => reason = Some(error),
                    Err(error) => return Err(error.into()),
                }
                sleep(RETRY_INTERVAL).await;
            }
        };
        let acquired = timeout(self.0.patience, attempts).await;
        acquired.unwrap_or_else(|_| {
            Err(reason.map_or_else(|| sqlx::Error::PoolTimedOut.into(), Error::from))
        })
    }

    /// A connection, if there is a server now. It waits for its turn.
    pub(super) async fn try_acquire(&self) -> Result<Result<Lease, NoServer>, Error> {
        let closed = |_| sqlx::Error::PoolClosed;
        let turn = self.0.turns.clone().acquire_owned();
        let mut turn = turn.await.map_err(closed)?;
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
        if let Ok(Access::ReadWrite) = access {
            lease.release();
        } else {
            drop(lease.abandon());
        }
        access
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

    fn put_back(&self, held: Held) {
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
        if self.max_connections > 1 {
            ASK_TIMEOUT
        } else {
            ASK_SOLE_TIMEOUT
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
    turn: Option<OwnedSemaphorePermit>,
    /// Whether a transaction may be under way.
    in_transaction: bool,
}

impl Lease {
    fn new(pool: Arc<Inner>, held: Held, turn: OwnedSemaphorePermit) -> Self {
        Self {
            pool,
            held: Some(held),
            turn: Some(turn),
            in_transaction: false,
        }
    }

    /// Gives the connection to whoever is next, without a round trip: for one on which every query
    /// was answered to the end.
    pub fn release(mut self) {
        if let Some(held) = self.held.take() {
            self.pool.put_back(held);
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
    fn abandon(mut self) -> Option<OwnedSemaphorePermit> {
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

/// A connection, from when it is first needed.
pub struct Later<'a> {
    store: &'a Store,
    lease: Option<Lease>,
}

impl<'a> Later<'a> {
    /// None yet.
    pub fn new(store: &'a Store) -> Self {
        Self { store, lease: None }
    }

    /// The connection.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when none is free in time.
    pub async fn get(&mut self) -> Result<&mut Connection, Error> {
        let lease = match self.lease.take() {
            Some(lease) => lease,
            None => self.store.acquire().await?,
        };
        Ok(self.lease.insert(lease))
    }

    /// Like [`Lease::release`].
    pub fn release(self) {
        if let Some(lease) = self.lease {
            lease.release();
        }
    }
}

/// A transaction. It is rolled back unless it is committed.
pub struct Transaction(Lease);

impl Transaction {
    pub(super) async fn begin(mut lease: Lease) -> Result<Self, Error> {
        // Before the answer: who stops waiting for it leaves a transaction behind, too.
        lease.in_transaction = true;
        lease.execute("begin").await?;
        Ok(Self(lease))
    }

    /// Makes what was written stay.
    ///
    /// # Errors
    ///
    /// As the database has them.
    pub async fn commit(mut self) -> Result<(), Error> {
        let committed = self.0.execute("commit").await;
        // What the database does not commit, it rolls back.
        self.0.in_transaction = !matches!(committed, Ok(_) | Err(sqlx::Error::Database(_)));
        committed?;
        self.0.release();
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
