//! Removes the rows of organizations that are deleted. Whatever is left of one after an interruption is removed later.

use std::time::Duration;

use chrono::TimeDelta;

use super::{BATCH, Job};
use crate::app::App;
use crate::error::Error;
use crate::store::organizations;

/// How often there is a look.
const INTERVAL: Duration = Duration::from_secs(60);

/// How long after its deletion the rows of an organization go: requests that were under way then are over.
const GRACE: TimeDelta = TimeDelta::minutes(2);

/// The job.
pub const JOB: Job = Job {
    name: "organizations",
    interval: INTERVAL,
    is_frequent: false,
    run: |app| Box::pin(remove_deleted(app)),
};

/// Removes everything of the organizations that were deleted, and tells how many rows. Other requests have the connection in between.
pub async fn remove_deleted(app: &App) -> Result<u64, Error> {
    let deleted = {
        let mut db = app.store.acquire().await?;
        organizations::list_deleted(&mut db, app.clock.now() - GRACE).await?
    };
    let mut total = 0;
    for organization in deleted {
        loop {
            let mut db = app.store.acquire().await?;
            let removed = organizations::remove_rows(&mut db, organization, BATCH).await?;
            drop(db);
            total += removed;
            if removed == 0 {
                break;
            }
        }
    }
    Ok(total)
}
