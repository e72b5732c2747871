//! Keeps the planner's statistics close to what is there: PostgreSQL's own look once a minute is too
//! rare for a tenant that grows from nothing to a hundred thousand users in that time.

use std::sync::Arc;
use std::time::Duration;

use crate::app::App;
use crate::store::scim_resources;

/// How often there is a look for tables that changed a lot.
const INTERVAL: Duration = Duration::from_secs(3);

/// Runs until it is dropped.
pub async fn run(app: Arc<App>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let analyzed = match app.store.acquire().await {
            Ok(mut db) => scim_resources::analyze(&mut db).await,
            Err(error) => Err(error),
        };
        match analyzed {
            Ok(0) => {}
            Ok(count) => tracing::debug!(count, "analyzed tables that changed a lot"),
            Err(error) => {
                tracing::debug!(cause = ?error, "the statistics could not be brought up to date")
            }
        }
    }
}
