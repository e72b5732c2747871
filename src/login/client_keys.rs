//! The public keys of configurations whose provider takes no client secret.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use uuid::Uuid;

use super::pages::Page;
use super::stop::{Stop, configuration, found};
use crate::app::App;
use crate::provisioning::client_keys::client_key;

/// The public key of a configuration (RFC 7517), which its provider reads. It says of the configuration no more
/// than that there is one.
pub async fn client_keys(
    State(app): State<Arc<App>>,
    named: Result<Path<(Uuid, Uuid)>, PathRejection>,
) -> Response {
    match key_set(&app, named).await {
        Ok(response) => response,
        Err(stop) => stop.answer(&app).await,
    }
}

async fn key_set(
    app: &App,
    named: Result<Path<(Uuid, Uuid)>, PathRejection>,
) -> Result<Response, Stop> {
    let Path((organization, id)) = named.map_err(|_| Page::bad_link())?;
    let configuration = configuration(app, organization.into(), id.into()).await?;
    let key = client_key(app, configuration.organization_id, configuration.id).await;
    Ok(Json(json!({ "keys": [found(key)?.public()] })).into_response())
}
