//! The connections of a process, and whose turn it is.
//!
//! The pool of the driver opens them, but it asks the database for a sign of life whenever one is
//! given back: a round trip more for every request. Here, who is done with a connection and knows
//! that nothing is under way on it [releases](Lease::release) it to the next at once. One that is
//! merely dropped, by an error or because the client went away, takes the driver's way.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, Executor as _, PgPool, Postgres};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::{Connection, Store};
use crate::error::Error;

/// Compiling a query takes a hundred times as long as running any of ours. And each of ours has an index
/// to go by: a plan to read a whole table comes of statistics from when the table was small, and stays
/// as long as they do.
///
/// A client that went away does not stop its query, nor end its transaction: these limits do.
pub(super) const SETTINGS: &str = "set jit = off; set enable_seqscan = off; set statement_timeout = '60s'; \
                        set idle_in_transaction_session_timeout = '60s'";

/// A connection that was idle for longer is asked whether it still lives before it is used.
const TRUSTED_IDLE: Duration = Duration::from_secs(15);
/// How long it may take to give one.
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// A connection that was idle for longer is closed, if there is another.
const MAX_IDLE: Duration = Duration::from_secs(600);

#[derive(Clone, Debug)]
pub(super) struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    driver: PgPool,
    /// One permit a connection.
    turns: Arc<Semaphore>,
    /// The one that was released last comes first, so that those that are not needed grow old.
    released: Mutex<Vec<Released>>,
    patience: Duration,
}

#[derive(Debug)]
struct Released {
    connection: PoolConnection<Postgres>,
    since: Instant,
}

impl Pool {
    pub(super) async fn open(
        options: PgConnectOptions,
        max_connections: u32,
        patience: Duration,
    ) -> Result<Self, Error> {
        let driver = PgPoolOptions::new()
            .max_connections(max_connections)
            .min_connections(1)
            .acquire_timeout(patience)
            .max_lifetime(None)
            .idle_timeout((max_connections > 1).then_some(MAX_IDLE))
            // A round trip before each use would double the cost of small requests.
            .test_before_acquire(false)
            .after_connect(|connection, _| {
                Box::pin(async move { connection.execute(SETTINGS).await.map(|_| ()) })
            })
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    if meta.idle_for > TRUSTED_IDLE {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_with(options)
            .await?;
        Ok(Self(Arc::new(Inner {
            driver,
            turns: Arc::new(Semaphore::new(max_connections as usize)),
            released: Mutex::default(),
            patience,
        })))
    }

    pub(super) async fn acquire(&self) -> Result<Lease, Error> {
        let turn = timeout(self.0.patience, self.0.turns.clone().acquire_owned());
        let turn = turn.await.map_err(|_| sqlx::Error::PoolTimedOut)?;
        let turn = turn.map_err(|_| sqlx::Error::PoolClosed)?;
        let connection = match self.0.released_to_us().await {
            Some(connection) => connection,
            None => self.0.driver.acquire().await?,
        };
        Ok(Lease {
            connection,
            pool: self.0.clone(),
            turn,
        })
    }

    /// How many connections nobody uses, those included that are not open yet.
    pub(super) fn free(&self) -> usize {
        self.0.turns.available_permits()
    }

    pub(super) async fn close(&self) {
        self.0.turns.close();
        self.0.released().clear();
        self.0.driver.close().await;
    }
}

impl Inner {
    /// A connection that was released, and still lives.
    async fn released_to_us(&self) -> Option<PoolConnection<Postgres>> {
        loop {
            let mut last = self.released().pop()?;
            if last.since.elapsed() <= TRUSTED_IDLE {
                return Some(last.connection);
            }
            if let Ok(Ok(())) = timeout(PING_TIMEOUT, last.connection.ping()).await {
                return Some(last.connection);
            }
            last.connection.close_on_drop();
        }
    }

    fn release(&self, connection: PoolConnection<Postgres>) {
        let mut released = self.released();
        // Once the pool is closed, the driver waits until it has every connection back.
        if self.turns.is_closed() {
            return;
        }
        let since = Instant::now();
        released.push(Released { connection, since });
        if released
            .first()
            .is_some_and(|oldest| oldest.since.elapsed() > MAX_IDLE)
        {
            // The driver closes it in a while.
            drop(released.remove(0));
        }
    }

    fn released(&self) -> MutexGuard<'_, Vec<Released>> {
        self.released.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection, for a while.
pub struct Lease {
    // Dropped before the turn ends.
    connection: PoolConnection<Postgres>,
    pool: Arc<Inner>,
    turn: OwnedSemaphorePermit,
}

impl Lease {
    /// Gives the connection to whoever is next, without a round trip: for one on which every query
    /// was answered to the end.
    pub fn release(self) {
        self.pool.release(self.connection);
    }
}

impl Deref for Lease {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
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
pub struct Transaction {
    // Dropped before the turn ends.
    inner: sqlx::Transaction<'static, Postgres>,
    _turn: OwnedSemaphorePermit,
}

impl Transaction {
    /// Begins one where nobody can stop waiting: the driver notes only after the answer that it has
    /// begun, and would hand on a connection on which nothing is ever committed.
    pub(super) async fn begin(lease: Lease) -> Result<Self, Error> {
        let begun = tokio::spawn(async move {
            Ok::<_, sqlx::Error>(Self {
                inner: sqlx::Transaction::begin(lease.connection, None).await?,
                _turn: lease.turn,
            })
        });
        Ok(begun.await.map_err(Error::internal)??)
    }

    /// Makes what was written stay.
    ///
    /// # Errors
    ///
    /// As the database has them.
    pub async fn commit(self) -> Result<(), Error> {
        Ok(self.inner.commit().await?)
    }
}

impl Deref for Transaction {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.inner
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.inner
    }
}
