//! Whether tokens go out over a stream, and whether it works (sections 8.1.2 and 8.1.4).

use axum::Json;
use axum::body::Bytes;
use axum::response::{IntoResponse, Response};
use chrono::TimeDelta;
use http::StatusCode;
use serde_json::Value;

use super::error::Failure;
use super::request::{Asked, object, stream_of};
use crate::domain::audit::Change;
use crate::domain::event_stream::{MIN_VERIFICATION_INTERVAL, Notice, StreamStatus, text};
use crate::error::Error;
use crate::provisioning::work::Work;
use crate::store;
use crate::store::events::Scope;

/// The most characters of a reason, and of the state that a receiver gets back.
const MAX_REASON: usize = 500;
const MAX_STATE: usize = 1_024;
/// How many tokens that verify it a stream keeps for a receiver that takes none.
const MAX_NOTICES: usize = 20;

/// `GET /ssf/status`.
pub async fn read(asked: Asked) -> Response {
    let found = read_status(&asked).await;
    asked.answer(found.map(|found| Json(found).into_response()))
}

async fn read_status(asked: &Asked) -> Result<Value, Failure> {
    let caller = asked.reader()?;
    let (organization_id, id) = (caller.organization_id, asked.must_name()?);
    let mut db = asked.app.store.acquire().await?;
    let stream = store::event_streams::get(&mut db, organization_id, id).await?;
    Ok(stream.shown_status())
}

/// `POST /ssf/status`.
pub async fn update(asked: Asked, body: Bytes) -> Response {
    let changed = update_status(&asked, &body).await;
    asked.answer(changed.map(|status| Json(status).into_response()))
}

async fn update_status(asked: &Asked, body: &[u8]) -> Result<Value, Failure> {
    let (app, caller) = (&asked.app, asked.writer()?);
    let body = object(body)?;
    let (organization_id, id) = (caller.organization_id, stream_of(&body)?);
    let now = app.clock.now();
    let mut work = Work::begin(app, organization_id, caller.subject, now).await?;
    let before = store::event_streams::lock(&mut work, organization_id, id).await?;
    let mut after = before.clone();
    let status = body.get("status").and_then(Value::as_str);
    let status = status.and_then(|status| status.parse().ok());
    after.status =
        status.ok_or_else(|| Failure::request("status must be enabled, paused or disabled"))?;
    after.reason = optional(&body, "reason", MAX_REASON)?;
    after.updated_at = now;
    if before.status == StreamStatus::Disabled && after.status != StreamStatus::Disabled {
        // What happened meanwhile is not kept.
        let scope = Scope::Organization(organization_id);
        after.cursor = store::events::now(&mut work, scope).await?;
        after.taken = vec![];
    }
    store::event_streams::update(&mut work, &after).await?;
    let change = Change::updated("UpdateEventStreamStatus", &before, &after);
    work.commit(change).await?;
    Ok(after.shown_status())
}

/// `POST /ssf/verify`.
pub async fn verify(asked: Asked, body: Bytes) -> Response {
    let verified = verify_stream(&asked, &body).await;
    asked.answer(verified.map(|()| StatusCode::NO_CONTENT.into_response()))
}

async fn verify_stream(asked: &Asked, body: &[u8]) -> Result<(), Failure> {
    let (app, caller) = (&asked.app, asked.writer()?);
    let body = object(body)?;
    let (organization_id, id) = (caller.organization_id, stream_of(&body)?);
    let state = optional(&body, "state", MAX_STATE)?;
    let now = app.clock.now();
    let interval = TimeDelta::seconds(MIN_VERIFICATION_INTERVAL);
    let mut db = app.store.acquire().await?;
    let stream = store::event_streams::get(&mut db, organization_id, id).await?;
    if stream.status == StreamStatus::Disabled {
        return Err(Failure::request(
            "the stream is disabled, so that nothing goes out over it: enable it first",
        ));
    }
    let kept = store::event_streams::notices(&mut db, organization_id, id).await?;
    if kept.len() >= MAX_NOTICES {
        return Err(Failure::request(
            "the receiver has not taken the tokens that it asked for before: take them first",
        ));
    }
    let may = store::event_streams::set_verified(&mut db, organization_id, id, now, now - interval)
        .await?;
    if !may {
        let next = stream.verified_at.unwrap_or(now) + interval;
        let wait = (next - now).to_std().unwrap_or_default();
        return Err(Error::Throttled(wait).into());
    }
    let notice = Notice::verification(app.new_id(), state.as_deref());
    Ok(store::event_streams::insert_notice(&mut db, organization_id, id, &notice, now).await?)
}

fn optional(body: &Value, name: &str, most: usize) -> Result<Option<String>, Failure> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => text(name, value, most).map(Some).map_err(Failure::request),
    }
}
