//! Background work: one file a job. Every replica runs them; each batch takes what no other has.

pub mod events;
pub mod sign_in;
pub mod statistics;

use std::time::Instant;

use futures_util::future::BoxFuture;

use crate::app::App;
use crate::error::Error;
use crate::store::Connection;

/// How many rows one statement deletes, so that no lock is held for long.
const BATCH: i64 = 5_000;

/// Runs a job once, and counts what came of it.
async fn counted(
    app: &App,
    job: &'static str,
    run: impl Future<Output = Result<u64, Error>>,
) -> Result<u64, Error> {
    let begun = Instant::now();
    let result = run.await;
    let rows = result.as_ref().ok().copied();
    app.metrics.job(job, rows, begun.elapsed(), app.clock.now());
    result
}

/// Deletes a batch after the other until one is not full, and tells how many rows.
async fn in_batches(
    app: &App,
    delete: impl for<'a> Fn(&'a mut Connection) -> BoxFuture<'a, Result<u64, Error>>,
) -> Result<u64, Error> {
    let mut total = 0;
    loop {
        let mut db = app.store.acquire().await?;
        let deleted = delete(&mut db).await?;
        drop(db);
        total += deleted;
        if deleted < BATCH.unsigned_abs() {
            return Ok(total);
        }
    }
}
