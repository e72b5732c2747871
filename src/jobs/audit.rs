//! Deletes entries of the audit log that are older than they are kept, of organizations that are gone, too.

use std::time::Duration;

use chrono::TimeDelta;
use uuid::Uuid;

use super::{BATCH, Job, in_batches};
use crate::app::App;
use crate::error::Error;
use crate::store::audit;

/// How often there is a look for old entries.
const INTERVAL: Duration = Duration::from_secs(3600);

/// The job.
pub const JOB: Job = Job {
    name: "audit_log",
    interval: INTERVAL,
    is_frequent: false,
    run: |app| Box::pin(delete_old(app, app.kept.audit_log)),
};

/// Deletes all entries that are older than `kept`, one organization after the other, and tells how many.
pub async fn delete_old(app: &App, kept: TimeDelta) -> Result<u64, Error> {
    let end = app.clock.now() - kept;
    let (mut total, mut after) = (0, Uuid::nil());
    loop {
        let next = {
            let mut db = app.store.acquire().await?;
            audit::next_organization(&mut db, after).await?
        };
        let Some(organization) = next else {
            return Ok(total);
        };
        total += in_batches(app, |db| {
            Box::pin(audit::delete_before(db, organization, end, BATCH))
        })
        .await?;
        after = organization.as_uuid();
    }
}
