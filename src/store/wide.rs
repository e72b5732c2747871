//! Searches that read everything that a tenant has, because no index knows what they ask for. They have
//! connections and a time of their own, so that nobody else waits for them.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sqlx::Executor as _;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::Store;
use super::connection::{Connection, Limits};
use super::pool::Transaction;
use crate::error::Error;

/// One of how many connections such searches may use.
const SHARE: u32 = 8;
/// How long one waits for its turn.
const PATIENCE: Duration = Duration::from_secs(3);
/// A whole table is read faster in its own order, and by several at once. There is room for sorting what is
/// found.
const SETTINGS: &str = "set local enable_seqscan = on; set local work_mem = '32MB'";

/// How many such searches there may be at a time.
pub(super) const fn limit(max_connections: u32) -> usize {
    let share = max_connections / SHARE;
    if share == 0 { 1 } else { share as usize }
}

/// A connection for such a search.
pub(super) struct Wide {
    tx: Transaction,
    _turn: OwnedSemaphorePermit,
}

impl Wide {
    pub(super) async fn begin(store: &Store) -> Result<Self, Error> {
        let turn = timeout(PATIENCE, store.wide.clone().acquire_owned()).await;
        let turn = turn
            .map_err(|_| Error::Busy)?
            .map_err(|_| sqlx::Error::PoolClosed)?;
        let mut tx = store.begin().await?;
        if !store.takes_turns() {
            let limits = Limits::WIDE;
            let settings = format!("{}; {SETTINGS}", limits.settings_of_transaction());
            tx.set_limits(limits);
            tx.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(settings)))
                .await?;
        }
        Ok(Self { tx, _turn: turn })
    }

    pub(super) async fn finish(self) -> Result<(), Error> {
        self.tx.commit().await
    }
}

impl Deref for Wide {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.tx
    }
}

impl DerefMut for Wide {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.tx
    }
}

/// What an error of a statement means under the limits that it had.
pub(super) fn explain(limits: Limits, error: sqlx::Error) -> Error {
    let is_over = super::code(&error) == "57014" && limits.statement == Limits::WIDE.statement;
    match is_over {
        true => Error::TooLong(limits.statement),
        false => error.into(),
    }
}
