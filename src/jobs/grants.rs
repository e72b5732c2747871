//! Deletes what applications had and that is over: grants, pushed requests, proofs, signing keys. And makes the signing keys that come
//! next.

use std::time::Duration;

use chrono::TimeDelta;

use super::{BATCH, Job, in_batches};
use crate::app::App;
use crate::error::Error;
use crate::provisioning::signing;
use crate::store::{client_assertions, grants, pushed_requests, signing_keys};

/// How often there is a look.
const INTERVAL: Duration = Duration::from_secs(600);

/// How long after its end a grant says which applications have to hear of the session's.
const TOLD: TimeDelta = TimeDelta::days(1);

/// The job.
pub const JOB: Job = Job {
    name: "grants",
    interval: INTERVAL,
    is_frequent: false,
    run: |app| Box::pin(tidy(app)),
};

/// Deletes what is over, makes the next keys, and tells how many rows that changed.
///
/// # Errors
///
/// As the database has them.
pub async fn tidy(app: &App) -> Result<u64, Error> {
    let now = app.clock.now();
    let told = now - TOLD;
    let grants = in_batches(app, |db| Box::pin(grants::delete_ended(db, told, BATCH))).await?;
    let requests = in_batches(app, |db| {
        Box::pin(pushed_requests::delete_ended(db, now, BATCH))
    });
    let requests = requests.await?;
    let proofs = in_batches(app, |db| {
        Box::pin(client_assertions::delete_ended(db, now, BATCH))
    });
    let proofs = proofs.await?;
    let made = signing::rotate_old(app, &app.keys).await?;
    let mut db = app.store.acquire().await?;
    let keys = signing_keys::delete_ended(&mut db, now).await?;
    Ok(grants + requests + proofs + made + keys)
}
