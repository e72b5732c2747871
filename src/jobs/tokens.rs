//! Deletes tokens that ended, and set-up links some time after their end.

use std::time::Duration;

use super::{BATCH, Job, in_batches};
use crate::app::App;
use crate::domain::setup_link::KEPT;
use crate::error::Error;
use crate::store::{personal_access_tokens, service_accounts, setup_links};

/// How often there is a look.
const INTERVAL: Duration = Duration::from_secs(600);

/// The job.
pub const JOB: Job = Job {
    name: "tokens",
    interval: INTERVAL,
    is_frequent: false,
    run: |app| Box::pin(delete_ended(app)),
};

/// Deletes the tokens of members and service accounts that ended, and the set-up links that ended long ago, and tells how many.
pub async fn delete_ended(app: &App) -> Result<u64, Error> {
    let now = app.clock.now();
    let personal = in_batches(app, |db| {
        Box::pin(personal_access_tokens::delete_ended(db, now, BATCH))
    });
    let of_accounts = in_batches(app, |db| {
        Box::pin(service_accounts::delete_ended_tokens(db, now, BATCH))
    });
    let links = in_batches(app, |db| {
        Box::pin(setup_links::delete_ended(db, now - KEPT, BATCH))
    });
    Ok(personal.await? + of_accounts.await? + links.await?)
}
