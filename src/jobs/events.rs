//! Deletes provisioning events that are older than they are kept.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;

use super::{BATCH, counted, in_batches};
use crate::app::App;
use crate::error::Error;
use crate::store::scim_events;

/// How often there is a look for old events.
const INTERVAL: Duration = Duration::from_secs(600);

/// Runs until it is dropped.
pub async fn run(app: Arc<App>, kept: TimeDelta) {
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        ticks.tick().await;
        match delete_old(&app, kept).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "deleted old provisioning events"),
            Err(error) => {
                tracing::warn!(cause = ?error, "old provisioning events could not be deleted")
            }
        }
    }
}

/// Deletes all events that are older than `kept`, and tells how many.
///
/// # Errors
///
/// As the database has them.
pub async fn delete_old(app: &App, kept: TimeDelta) -> Result<u64, Error> {
    let end = app.clock.now() - kept;
    let events = in_batches(app, |db| {
        Box::pin(scim_events::delete_before(db, end, BATCH))
    });
    counted(app, "provisioning_events", events).await
}
