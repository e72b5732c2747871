//! Deletes provisioning events that are older than they are kept.

use std::time::Duration;

use chrono::TimeDelta;

use super::{BATCH, Job, in_batches};
use crate::app::App;
use crate::error::Error;
use crate::store::scim_events;

/// How often there is a look for old events.
const INTERVAL: Duration = Duration::from_secs(600);

/// The job.
pub const JOB: Job = Job {
    name: "provisioning_events",
    interval: INTERVAL,
    is_frequent: false,
    run: |app| Box::pin(delete_old(app, app.kept.events)),
};

/// Deletes all events that are older than `kept`, and tells how many.
pub async fn delete_old(app: &App, kept: TimeDelta) -> Result<u64, Error> {
    let end = app.clock.now() - kept;
    in_batches(app, |db| {
        Box::pin(scim_events::delete_before(db, end, BATCH))
    })
    .await
}
