//! Background work: one file a job. Every replica runs them; each batch takes what no other has.

pub mod events;
pub mod folding;
pub mod sign_in;
pub mod statistics;

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::app::App;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::store::Connection;

/// How many rows one statement deletes, so that no lock is held for long.
const BATCH: i64 = 5_000;

/// How long after its end a job begins again.
const PAUSE: Duration = Duration::from_secs(10);

/// Runs a job without end. If the job panics or returns, it begins again, and nothing else ends with it.
pub async fn repeat<F: Future<Output = ()>>(
    metrics: &Metrics,
    job: &'static str,
    run: impl Fn() -> F,
) {
    repeat_after(PAUSE, metrics, job, run).await;
}

async fn repeat_after<F: Future<Output = ()>>(
    pause: Duration,
    metrics: &Metrics,
    job: &'static str,
    run: impl Fn() -> F,
) {
    loop {
        let ended = match AssertUnwindSafe(run()).catch_unwind().await {
            Ok(()) => "returned",
            Err(_) => "panicked",
        };
        tracing::error!(job, "a background job {ended}, and begins again");
        metrics.job_ended(job);
        tokio::time::sleep(pause).await;
    }
}

/// Runs a job once, and counts the result.
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_job_that_panics_or_returns_begins_again() {
        let runs = AtomicU32::new(0);
        let metrics = crate::metrics::Metrics::default();
        let third = tokio::sync::Notify::new();
        let job = || async {
            match runs.fetch_add(1, Ordering::Relaxed) {
                0 => panic!("on purpose"),
                1 => {}
                _ => third.notify_one(),
            }
        };
        tokio::select! {
            () = repeat_after(Duration::ZERO, &metrics, "test", job) => unreachable!("it never ends"),
            () = third.notified() => {}
        }
        assert!(runs.load(Ordering::Relaxed) >= 3);
    }
}
