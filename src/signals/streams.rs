//! The streams of an organization (section 8.1.1).

use std::collections::BTreeSet;

use axum::Json;
use axum::body::Bytes;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::Value;
use url::Url;

use super::error::Failure;
use super::request::{Asked, object, stream_of};
use crate::app::App;
use crate::domain::audit::Change;
use crate::domain::event_stream::{Delivery, EventStream, Sent, Settings, StreamStatus};
use crate::error::Error;
use crate::events::signals::SUPPORTED;
use crate::provisioning::keys::seal_authorization_header;
use crate::provisioning::work::Work;
use crate::store::events::Scope;
use crate::store::{self, Page};

/// The most streams of an organization.
const MAX_STREAMS: u32 = 100;

/// `POST /ssf/streams`.
pub async fn create(asked: Asked, body: Bytes) -> Response {
    let created = create_stream(&asked, &body).await;
    asked.answer(
        created.map(|stream| (StatusCode::CREATED, shown(&asked.app, &stream)).into_response()),
    )
}

async fn create_stream(asked: &Asked, body: &[u8]) -> Result<EventStream, Failure> {
    let (app, caller) = (&asked.app, asked.writer()?);
    let sent = Sent::read(&object(body)?).map_err(Failure::request)?;
    let (organization_id, id, now) = (caller.organization_id, app.new_id(), app.clock.now());
    let mut stream = EventStream {
        organization_id,
        id,
        settings: sent.whole(),
        authorization_header: None,
        status: StreamStatus::Enabled,
        reason: None,
        // Of what happened before, it does not tell.
        cursor: {
            let mut db = app.store.acquire().await?;
            store::events::now(&mut db, Scope::Organization(organization_id)).await?
        },
        taken: vec![],
        verified_at: None,
        failures: 0,
        created_at: now,
        updated_at: now,
    };
    check_endpoint(app, &stream.settings)?;
    stream.authorization_header = seal(app, &stream, &sent)?;
    let mut work = Work::begin(app, organization_id, caller.subject, now).await?;
    if store::event_streams::count(&mut work, organization_id).await? >= i64::from(MAX_STREAMS) {
        return Err(Failure::too_many(format!(
            "an organization has up to {MAX_STREAMS} streams: delete one that is not needed any more"
        )));
    }
    store::event_streams::insert(&mut work, &stream).await?;
    work.commit(Change::created("CreateEventStream", &stream))
        .await?;
    Ok(stream)
}

/// `GET /ssf/streams`: one, or all.
pub async fn read(asked: Asked) -> Response {
    let found = read_streams(&asked).await;
    asked.answer(found.map(|found| Json(found).into_response()))
}

async fn read_streams(asked: &Asked) -> Result<Value, Failure> {
    let (app, caller) = (&asked.app, asked.reader()?);
    let organization_id = caller.organization_id;
    let named = asked.named()?;
    let mut db = app.store.acquire().await?;
    if let Some(id) = named {
        let stream = store::event_streams::get(&mut db, organization_id, id).await?;
        return Ok(stream.configuration(&app.public_url, &SUPPORTED));
    }
    let all =
        store::event_streams::list(&mut db, organization_id, Page::first(MAX_STREAMS)).await?;
    let shown = all
        .items
        .iter()
        .map(|stream| stream.configuration(&app.public_url, &SUPPORTED));
    Ok(shown.collect())
}

/// `PATCH /ssf/streams`: what is not named stays.
pub async fn update(asked: Asked, body: Bytes) -> Response {
    let change = |sent: &Sent, settings: &Settings| sent.change(settings);
    let changed = change_stream(&asked, &body, "UpdateEventStream", change).await;
    asked.answer(changed)
}

/// `PUT /ssf/streams`: what is not named is taken away.
pub async fn replace(asked: Asked, body: Bytes) -> Response {
    let changed = change_stream(&asked, &body, "ReplaceEventStream", |sent, _| sent.whole()).await;
    asked.answer(changed)
}

async fn change_stream(
    asked: &Asked,
    body: &[u8],
    action: &'static str,
    change: impl Fn(&Sent, &Settings) -> Settings,
) -> Result<Response, Failure> {
    let (app, caller) = (&asked.app, asked.writer()?);
    let body = object(body)?;
    let (organization_id, id) = (caller.organization_id, stream_of(&body)?);
    let now = app.clock.now();
    let mut work = Work::begin(app, organization_id, caller.subject, now).await?;
    let before = store::event_streams::lock(&mut work, organization_id, id).await?;
    let sent = Sent::read(&body).map_err(Failure::request)?;
    check_supplied(app, &before, &body, &sent)?;
    let mut after = before.clone();
    after.settings = change(&sent, &before.settings);
    after.updated_at = now;
    check_endpoint(app, &after.settings)?;
    let is_same = after.settings.delivery == before.settings.delivery;
    after.authorization_header = match sent.authorization_header() {
        Some(_) => seal(app, &after, &sent)?,
        // It is for whom it was given, and for nobody else.
        None if is_same && action == "UpdateEventStream" => before.authorization_header.clone(),
        None => None,
    };
    if before.settings.delivered(&SUPPORTED).is_empty() {
        let scope = Scope::Organization(organization_id);
        after.cursor = store::events::now(&mut work, scope).await?;
    }
    store::event_streams::update(&mut work, &after).await?;
    work.commit(Change::updated(action, &before, &after))
        .await?;
    Ok(shown(app, &after).into_response())
}

/// `DELETE /ssf/streams`.
pub async fn delete(asked: Asked) -> Response {
    let deleted = delete_stream(&asked).await;
    asked.answer(deleted.map(|()| StatusCode::NO_CONTENT.into_response()))
}

async fn delete_stream(asked: &Asked) -> Result<(), Failure> {
    let (app, caller) = (&asked.app, asked.writer()?);
    let (organization_id, id) = (caller.organization_id, asked.must_name()?);
    let now = app.clock.now();
    let mut work = Work::begin(app, organization_id, caller.subject, now).await?;
    let before = store::event_streams::lock(&mut work, organization_id, id).await?;
    store::event_streams::delete(&mut work, organization_id, id).await?;
    Ok(work
        .commit(Change::deleted("DeleteEventStream", &before))
        .await?)
}

fn shown(app: &App, stream: &EventStream) -> Json<Value> {
    Json(stream.configuration(&app.public_url, &SUPPORTED))
}

fn seal(app: &App, stream: &EventStream, sent: &Sent) -> Result<Option<Vec<u8>>, Error> {
    let (organization_id, id) = (stream.organization_id, stream.id);
    let seal =
        |header| seal_authorization_header(&app.keys, &app.random, organization_id, id, header);
    sent.authorization_header().map(seal).transpose()
}

/// Tokens go where this server may send requests. What a name resolves to is looked at whenever one is sent.
fn check_endpoint(app: &App, settings: &Settings) -> Result<(), Failure> {
    let Delivery::Push { endpoint_url } = &settings.delivery else {
        return Ok(());
    };
    let url = Url::parse(endpoint_url)
        .map_err(|_| Failure::request("delivery.endpoint_url must be a URL"))?;
    let checked = app.outgoing.check(&url);
    checked.map_err(|_| {
        Failure::request(
            "delivery.endpoint_url must begin with https:// and lead to an address that this server may send requests to: a public one, or one that its operator allows",
        )
    })
}

/// What only this server says of a stream must be as it is, where a receiver repeats it (section 8.1.1.3).
fn check_supplied(
    app: &App,
    stream: &EventStream,
    body: &Value,
    sent: &Sent,
) -> Result<(), Failure> {
    let is_now = stream.configuration(&app.public_url, &SUPPORTED);
    let supplied = [
        "iss",
        "aud",
        "events_supported",
        "events_delivered",
        "min_verification_interval",
        "inactivity_timeout",
    ];
    for name in supplied {
        let said = body.get(name).filter(|said| !said.is_null());
        if said.is_some_and(|said| !is_same(said, &is_now[name])) {
            return Err(Failure::request(format!(
                "{name} is not what it is: leave it out"
            )));
        }
    }
    let url = stream.poll_url(&app.public_url);
    match sent.poll_url() {
        Some(said) if said != url => Err(Failure::request(
            "delivery.endpoint_url is not where this stream is polled: leave it out",
        )),
        _ => Ok(()),
    }
}

/// Whether two values are the same, in whichever order lists have them.
fn is_same(said: &Value, is_now: &Value) -> bool {
    let list = |value: &Value| -> Option<BTreeSet<String>> {
        let list = value.as_array()?.iter();
        Some(list.map(Value::to_string).collect())
    };
    match (list(said), list(is_now)) {
        (Some(said), Some(is_now)) => said == is_now,
        // An audience is one, or a list of one.
        (Some(said), None) => said == BTreeSet::from([is_now.to_string()]),
        _ => said == is_now,
    }
}
