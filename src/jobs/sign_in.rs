//! Deletes sessions that ended, logins that are over, and tries to sign in that are older than they
//! are kept.

use std::time::Duration;

use chrono::TimeDelta;

use super::{BATCH, Job, in_batches};
use crate::app::App;
use crate::error::Error;
use crate::metrics::SessionEnd;
use crate::store;

/// How often there is a look.
const INTERVAL: Duration = Duration::from_secs(600);

/// The job.
pub const JOB: Job = Job {
    name: "sign_in",
    interval: INTERVAL,
    is_frequent: false,
    run: |app| Box::pin(tidy_up(app, app.kept.events)),
};

/// Deletes everything that is over, and tells how much.
pub async fn tidy_up(app: &App, kept: TimeDelta) -> Result<u64, Error> {
    let now = app.clock.now();
    let unused_since = now - app.sign_in.session_idle;
    let sessions = in_batches(app, |db| {
        Box::pin(store::sessions::delete_ended(db, now, unused_since, BATCH))
    });
    let logins = in_batches(app, |db| {
        Box::pin(store::sign_in::delete_expired_logins(db, now, BATCH))
    });
    let attempts = in_batches(app, |db| {
        Box::pin(store::sign_in::delete_attempts(db, now - kept, BATCH))
    });
    let ended = sessions.await?;
    app.metrics.sessions_ended(SessionEnd::Expired, ended);
    Ok(ended + logins.await? + attempts.await?)
}
