//! Background work: one file a job. Every replica runs them, and none minds that another did the work meanwhile.

pub mod audit;
pub mod events;
pub mod folding;
pub mod grants;
pub mod organizations;
pub mod provisioning;
pub mod push;
pub mod sign_in;
pub mod statistics;
pub mod tokens;

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join, join_all};

use crate::app::App;
use crate::error::{Chain, Error};
use crate::events::delivery;
use crate::store::Connection;

/// How many rows one statement deletes, so that no lock is held for long.
const BATCH: i64 = 5_000;

/// How long after a run that failed the next begins, at most; each failure doubles the time, up to the last but for frequent jobs.
const FIRST_RETRY: Duration = Duration::from_secs(10);
const LAST_RETRY: Duration = Duration::from_secs(300);

/// Work that is done again and again.
pub struct Job {
    /// What the log and the metrics call it.
    pub name: &'static str,
    /// How long after the end of a run the next begins.
    pub interval: Duration,
    /// Whether its runs are too frequent for the log, unless somebody looks for the cause of something.
    pub is_frequent: bool,
    /// Does it once, and tells how many rows it changed.
    pub run: for<'a> fn(&'a App) -> BoxFuture<'a, Result<u64, Error>>,
}

/// Every job of a server.
const ALL: [&Job; 10] = [
    &events::JOB,
    &provisioning::JOB,
    &sign_in::JOB,
    &tokens::JOB,
    &audit::JOB,
    &organizations::JOB,
    &statistics::JOB,
    &folding::JOB,
    &grants::JOB,
    &push::JOB,
];

/// Runs every job without end, and sends events.
pub async fn run_all(app: &App) {
    join(join_all(ALL.map(|job| job.repeat(app))), delivery::run(app)).await;
}

impl Job {
    /// Runs the job once, and counts what came of it.
    pub async fn once(&self, app: &App) -> Result<u64, Error> {
        let begun = Instant::now();
        let result = (self.run)(app).await;
        let rows = result.as_ref().ok().copied();
        app.metrics
            .job(self.name, rows, begun.elapsed(), app.clock.now());
        result
    }

    /// Runs the job without end: after a run that fails or panics there is another, and nothing else ends with it.
    pub async fn repeat(&self, app: &App) {
        let mut failures = 0;
        loop {
            let run = AssertUnwindSafe(self.once(app)).catch_unwind().await;
            failures = match &run {
                Ok(Ok(_)) => 0,
                _ => failures + 1,
            };
            match run {
                Ok(Ok(0)) => {}
                Ok(Ok(count)) => self.tell(format_args!("a background job changed {count} rows")),
                Ok(Err(error)) if self.is_frequent => {
                    tracing::debug!(job = self.name, cause = %Chain(&error), "a background job failed");
                }
                Ok(Err(error)) => {
                    tracing::warn!(job = self.name, cause = %Chain(&error), "a background job failed");
                }
                Err(_) => {
                    tracing::error!(
                        job = self.name,
                        "a background job panicked, and begins again"
                    );
                    app.metrics.job_ended(self.name);
                }
            }
            let pause = self.pause(failures);
            // Replicas that start together do not run together for long.
            let jitter = f64::from(app.random.bytes::<1>()[0]) / 255.0;
            tokio::time::sleep(pause.mul_f64(0.9 + jitter / 5.0)).await;
        }
    }

    fn tell(&self, text: std::fmt::Arguments<'_>) {
        if self.is_frequent {
            tracing::debug!(job = self.name, "{text}");
        } else {
            tracing::info!(job = self.name, "{text}");
        }
    }

    /// How long to wait after so many runs in a row that failed.
    fn pause(&self, failures: u32) -> Duration {
        match failures.checked_sub(1) {
            None => self.interval,
            Some(doublings) => self
                .interval
                .min(FIRST_RETRY)
                .saturating_mul(2_u32.saturating_pow(doublings))
                .min(if self.is_frequent {
                    FIRST_RETRY
                } else {
                    LAST_RETRY
                }),
        }
    }
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
    use super::*;

    const fn job(interval: u64) -> Job {
        Job {
            name: "test",
            interval: Duration::from_secs(interval),
            is_frequent: false,
            run: |_| Box::pin(async { Ok(0) }),
        }
    }

    #[test]
    fn a_job_that_fails_runs_again_soon_and_then_ever_later() {
        let pauses = |job: Job| [0, 1, 2, 5, 6, 40].map(|n| job.pause(n).as_secs());
        assert_eq!(pauses(job(600)), [600, 10, 20, 160, 300, 300]);
        assert_eq!(pauses(job(3)), [3, 3, 6, 48, 96, 300]);
    }
}
