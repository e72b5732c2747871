//! The probes: whether the process is of use, and whether it can serve now.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use tokio::time::timeout;

use crate::app::App;
use crate::error::{Chain, Error};
use crate::store::Access;

/// How long nothing may have worked, although a new connection does, before the process is of no use.
const STUCK: Duration = Duration::from_secs(60);
/// How long the database may take to give a sign of life.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// The routes of the probes.
pub fn router(app: &Arc<App>) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(app.clone())
}

/// Whether the process is of use: it is not when nothing has worked for a minute that a new one could do.
async fn livez(State(app): State<Arc<App>>) -> Response {
    if app.store.is_stuck(STUCK).await {
        tracing::error!("nothing has worked for a minute although the database can be reached");
        let text =
            "no connection to the database has worked for a minute, although it can be reached";
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    }
    "ok".into_response()
}

async fn readyz(State(app): State<Arc<App>>) -> Response {
    if app.is_stopping.load(Ordering::Relaxed) {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping").into_response();
    }
    let answer = timeout(PING_TIMEOUT, app.store.ping()).await;
    let reason = match answer.unwrap_or_else(|elapsed| Err(Error::Unavailable(elapsed.into()))) {
        Ok(Access::ReadWrite) => return "ok".into_response(),
        Ok(access) => {
            tracing::warn!("the database {access}");
            format!("the database {access}")
        }
        Err(error) => {
            tracing::warn!(cause = %Chain(&error), "the database does not answer");
            "the database does not answer".to_owned()
        }
    };
    (StatusCode::SERVICE_UNAVAILABLE, reason).into_response()
}
