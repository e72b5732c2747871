//! Keeps the planner's statistics close to what is there: PostgreSQL's own look once a minute is too
//! rare for a tenant that grows from nothing to a hundred thousand users in that time.

use std::sync::Arc;
use std::time::Duration;

use super::counted;
use crate::app::App;
use crate::error::Error;
use crate::store::scim_resources;

/// How often there is a look for tables that changed a lot.
const INTERVAL: Duration = Duration::from_secs(3);

/// Runs until it is dropped.
pub async fn run(app: Arc<App>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match bring_up_to_date(&app).await {
            Ok(0) => {}
            Ok(count) => tracing::debug!(count, "analyzed tables that changed a lot"),
            Err(error) => {
                tracing::debug!(cause = ?error, "the statistics could not be brought up to date")
            }
        }
    }
}

/// Analyzes the tables that changed a lot, and tells how many.
///
/// # Errors
///
/// As the database has them.
pub async fn bring_up_to_date(app: &App) -> Result<u64, Error> {
    let analyze = async {
        let mut db = app.store.acquire().await?;
        let count = scim_resources::analyze(&mut db).await?;
        Ok(count as u64)
    };
    counted(app, "statistics", analyze).await
}
