//! Deletes events that are older than they are kept, and what became of them. Nobody who writes events waits for it.

use std::time::Duration;

use chrono::TimeDelta;

use super::{BATCH, Job, in_batches};
use crate::app::App;
use crate::error::Error;
use crate::store;

/// How often there is a look for old events.
const INTERVAL: Duration = Duration::from_secs(600);

/// How much longer they are kept, for readers whose cursors are just good enough.
const GRACE: TimeDelta = TimeDelta::minutes(10);

/// The job.
pub const JOB: Job = Job {
    name: "events",
    interval: INTERVAL,
    is_frequent: false,
    run: |app| Box::pin(delete_old(app, app.kept.events)),
};

/// Deletes all events that are older than `kept`, and tells how many.
pub async fn delete_old(app: &App, kept: TimeDelta) -> Result<u64, Error> {
    let end = app.clock.now() - kept - GRACE;
    let events = in_batches(app, |db| {
        Box::pin(store::events::delete_before(db, end, BATCH))
    });
    let events = events.await?;
    let deliveries = in_batches(app, |db| {
        Box::pin(store::deliveries::delete_before(db, end, BATCH))
    });
    Ok(events + deliveries.await?)
}
