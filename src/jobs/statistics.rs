//! Keeps the planner's statistics close to what is there: PostgreSQL's own look once a minute is too
//! rare for a tenant that grows from nothing to a hundred thousand users in that time.

use std::time::Duration;

use super::Job;
use crate::app::App;
use crate::error::Error;
use crate::store::scim_resources;

/// How often there is a look for tables that changed a lot.
const INTERVAL: Duration = Duration::from_secs(3);

/// The job.
pub const JOB: Job = Job {
    name: "statistics",
    interval: INTERVAL,
    is_frequent: true,
    run: |app| Box::pin(bring_up_to_date(app)),
};

/// Analyzes the tables that changed a lot, and tells how many.
pub async fn bring_up_to_date(app: &App) -> Result<u64, Error> {
    let mut db = app.store.acquire().await?;
    let count = scim_resources::analyze(&mut db).await?;
    Ok(count as u64)
}
