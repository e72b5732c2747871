//! What else is done with tokens: userinfo (OpenID Connect Core, section 5.3), introspection (RFC 7662), revocation (RFC 7009),
//! pushed requests (RFC 9126).

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::claims::{Place, of_person};
use super::client::authenticate;
use super::error::{Code, Failure, Refused};
use super::parameters::Parameters;
use super::request;
use crate::app::App;
use crate::domain::application::{Application, ClientId, Scope, Scopes};
use crate::domain::grant::Wanted;
use crate::domain::ids::{MemberId, OrganizationId};
use crate::domain::token::{Token, TokenKind};
use crate::error::Error;
use crate::http::bearer;
use crate::provisioning::access::{self, Access};
use crate::provisioning::{groups, signing};
use crate::store;
use crate::store::grants::Live;

/// How long a pushed request lives.
const PUSHED_LIFETIME: TimeDelta = TimeDelta::seconds(90);

/// `GET` and `POST /oauth2/userinfo`. One round trip; one for groups and one for roles.
pub async fn userinfo(State(app): State<Arc<App>>, headers: HeaderMap, body: Bytes) -> Response {
    match about(&app, &headers, &body).await {
        Ok(response) => response,
        Err(failure) => failure.into_response(),
    }
}

async fn about(app: &App, headers: &HeaderMap, body: &[u8]) -> Result<Response, Failure> {
    let invalid = || {
        Refused::new(
            Code::InvalidToken,
            "a valid access token is required: it has expired, or what it was given for has ended",
        )
    };
    let form = Parameters::of_form(headers, body).unwrap_or_default();
    let text = bearer::token(headers).or(form.get("access_token"));
    let access = access::read(app, text.unwrap_or_default()).await?;
    let access = access.ok_or_else(invalid)?;
    if !access.scopes.has(Scope::OpenId) || access.session.is_none() {
        return Err(Refused::new(
            Code::InsufficientScope,
            "the access token has not the scope openid",
        )
        .into());
    }
    let live = live(app, &access).await?.ok_or_else(invalid)?;
    let live = narrowed(live, &access);
    if !live.scopes().has(Scope::OpenId) {
        return Err(invalid().into());
    }
    let organization_id = access.organization_id;
    let mut claims = of_person(app, organization_id, access.client, &live, Place::Userinfo).await?;
    claims.insert("sub".to_owned(), json!(access.subject));
    claims.insert("org_id".to_owned(), json!(organization_id));
    let Some(signature) = live.settings.userinfo_signature else {
        return Ok(axum::Json(Value::Object(claims)).into_response());
    };
    claims.insert("iss".to_owned(), json!(app.public_url));
    claims.insert("aud".to_owned(), json!(access.client.to_string()));
    let signed = signing::sign(app, signature, super::ID_TOKEN, &claims).await?;
    Ok(([(CONTENT_TYPE, "application/jwt")], signed).into_response())
}

/// What a token is for: it may be less than its grant, and the application may have less by now. Of a token that is for less, the claims
/// that were asked for by name are no part.
fn narrowed(mut live: Live, access: &Access) -> Live {
    if access.scopes != live.scopes() {
        live.details.wanted = Wanted::default();
    }
    live.scope = now_granted(&live, &access.scopes).to_string();
    live
}

/// Of these scopes, those that the application may have now.
fn now_granted(live: &Live, scopes: &Scopes) -> Scopes {
    scopes.within(&live.settings.scopes.iter().copied().collect())
}

/// The person of an access token, if what it came of is live.
async fn live(app: &App, access: &Access) -> Result<Option<Live>, Error> {
    let (organization_id, id, client) = (access.organization_id, access.grant, access.client);
    let now = app.clock.now();
    let found = app
        .store
        .read(|db| {
            Box::pin(store::grants::find_live(
                db,
                organization_id,
                id,
                client,
                now,
            ))
        })
        .await?;
    match found {
        Some(live) if is_allowed(app, organization_id, &live).await? => Ok(Some(live)),
        _ => Ok(None),
    }
}

async fn is_allowed(
    app: &App,
    organization_id: OrganizationId,
    live: &Live,
) -> Result<bool, Error> {
    let member = MemberId::from(live.subject_id.as_uuid());
    groups::is_in_any(app, organization_id, member, &live.settings.groups).await
}

/// `POST /oauth2/introspect`. A token that is not live, or not the caller's to know, is told to be inactive, and nothing else.
pub async fn introspect(State(app): State<Arc<App>>, headers: HeaderMap, body: Bytes) -> Response {
    match looked_at(&app, &headers, &body).await {
        Ok(answer) => {
            let answer = answer.unwrap_or_else(|| json!({ "active": false }));
            axum::Json(answer).into_response()
        }
        Err(failure) => failure.into_response(),
    }
}

async fn looked_at(app: &App, headers: &HeaderMap, body: &[u8]) -> Result<Option<Value>, Failure> {
    let form = Parameters::of_form(headers, body)?;
    let caller = authenticate(app, headers, &form).await?;
    if !caller.is_confidential() {
        return Err(Refused::new(
            Code::UnauthorizedClient,
            "a public application, which proves nothing, may not look at tokens",
        )
        .into());
    }
    let text = form.required("token")?;
    if let Some(access) = access::read(app, text).await? {
        return Ok(of_access(app, &caller, &access).await?);
    }
    Ok(match Token::parse(TokenKind::Refresh, text) {
        Some(token) => of_refresh_token(app, &caller, &token).await?,
        None => None,
    })
}

/// An application looks at its own tokens, and at those of applications with the same owner: programs that it serves.
fn may_look(caller: &Application, client: ClientId) -> bool {
    caller.organization_id == client.organization_id
}

async fn of_access(
    app: &App,
    caller: &Application,
    access: &Access,
) -> Result<Option<Value>, Error> {
    if !may_look(caller, access.client) {
        return Ok(None);
    }
    let (organization_id, id, client) = (access.organization_id, access.grant, access.client);
    let now = app.clock.now();
    let scopes = match access.session {
        Some(_) => {
            let live = live(app, access).await?;
            live.map(|live| now_granted(&live, &access.scopes))
        }
        None => {
            let mut db = app.store.acquire().await?;
            let is_live = store::grants::is_account_live(&mut db, organization_id, id, client, now);
            is_live.await?.then(|| access.scopes.clone())
        }
    };
    Ok(scopes.map(|scopes| {
        let mut answer = known(app, organization_id, client, &scopes);
        answer["token_type"] = "Bearer".into();
        answer["sub"] = json!(access.subject);
        answer["aud"] = json!(app.public_url);
        answer["iat"] = access.times[0].into();
        answer["exp"] = access.times[1].into();
        answer["jti"] = json!(access.id);
        if let Some(session) = access.session {
            answer["sid"] = json!(session);
        }
        answer
    }))
}

fn known(app: &App, organization_id: OrganizationId, client: ClientId, scopes: &Scopes) -> Value {
    json!({
        "active": true,
        "iss": app.public_url,
        "client_id": client.to_string(),
        "scope": scopes.to_string(),
        "org_id": organization_id,
    })
}

async fn of_refresh_token(
    app: &App,
    caller: &Application,
    token: &Token,
) -> Result<Option<Value>, Error> {
    let Some(organization_id) = token.organization() else {
        return Ok(None);
    };
    let (id, now) = (token.id().into(), app.clock.now());
    let mut db = app.store.acquire().await?;
    let trace = store::grants::trace(&mut db, organization_id, id).await?;
    let hash = token.digest();
    let fits = |trace: &store::grants::Trace| {
        trace.refresh_hashes[0].as_deref() == Some(&hash) && may_look(caller, trace.client)
    };
    let Some(trace) = trace.filter(fits) else {
        return Ok(None);
    };
    let found = store::grants::find_live(&mut db, organization_id, id, trace.client, now).await?;
    drop(db);
    let Some(live) = found else {
        return Ok(None);
    };
    let lifetime = TimeDelta::seconds(live.settings.refresh_token_seconds.into());
    let end = trace.refreshed_at.map(|at| at + lifetime);
    let Some(end) = end.filter(|end| now < *end) else {
        return Ok(None);
    };
    if !is_allowed(app, organization_id, &live).await? {
        return Ok(None);
    }
    let mut answer = known(
        app,
        organization_id,
        trace.client,
        &now_granted(&live, &live.scopes()),
    );
    answer["sub"] = json!(live.subject_id);
    answer["exp"] = end.timestamp().into();
    Ok(Some(answer))
}

/// `POST /oauth2/revoke`. Of a grant, all ends: its refresh token, and every access token that came of it.
pub async fn revoke(State(app): State<Arc<App>>, headers: HeaderMap, body: Bytes) -> Response {
    match revoked(&app, &headers, &body).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(failure) => failure.into_response(),
    }
}

async fn revoked(app: &App, headers: &HeaderMap, body: &[u8]) -> Result<(), Failure> {
    let form = Parameters::of_form(headers, body)?;
    let client = authenticate(app, headers, &form).await?.client_id();
    let text = form.required("token")?;
    let now: DateTime<Utc> = app.clock.now();
    let mut db = app.store.acquire().await?;
    if let Some(token) = Token::parse(TokenKind::Refresh, text) {
        let Some(organization_id) = token.organization() else {
            return Ok(());
        };
        let id = token.id().into();
        let trace = store::grants::trace(&mut db, organization_id, id).await?;
        let hash = token.digest();
        let is_one = |trace: &store::grants::Trace| {
            let mut hashes = trace.refresh_hashes.iter();
            hashes.any(|known| known.as_deref() == Some(&hash))
        };
        if trace.as_ref().is_some_and(is_one) {
            store::grants::end(&mut db, organization_id, id, client, now).await?;
        }
        return Ok(());
    }
    drop(db);
    if let Some(access) = access::read(app, text).await?
        && access.client == client
    {
        let mut db = app.store.acquire().await?;
        store::grants::end(&mut db, access.organization_id, access.grant, client, now).await?;
    }
    Ok(())
}

/// `POST /oauth2/par`.
pub async fn push(State(app): State<Arc<App>>, headers: HeaderMap, body: Bytes) -> Response {
    match pushed(&app, &headers, &body).await {
        Ok(answer) => (StatusCode::CREATED, axum::Json(answer)).into_response(),
        Err(failure) => failure.into_response(),
    }
}

async fn pushed(app: &App, headers: &HeaderMap, body: &[u8]) -> Result<Value, Failure> {
    let mut form = Parameters::of_form(headers, body)?;
    let application = authenticate(app, headers, &form).await?;
    if !application.is_confidential() {
        // Anybody could fill the database in its name.
        return Err(Refused::new(
            Code::UnauthorizedClient,
            "a public application, which proves nothing, sends its request with the browser",
        )
        .into());
    }
    let client = application.client_id();
    for name in ["client_secret", "client_assertion", "client_assertion_type"] {
        form.0.remove(name);
    }
    form.0.insert("client_id".to_owned(), client.to_string());
    request::check(app, application, &form).await?;
    let id = app.new_id::<crate::domain::ids::PushedRequestId>();
    let token = app
        .random
        .token(TokenKind::PushedRequest, None, id.as_uuid());
    let expires_at = app.clock.now() + PUSHED_LIFETIME;
    let mut db = app.store.acquire().await?;
    store::pushed_requests::insert(
        &mut db,
        client.organization_id,
        id,
        client.id,
        &token.digest(),
        &form.0,
        expires_at,
    )
    .await?;
    Ok(json!({
        "request_uri": format!("{}{}", request::PUSHED, token.expose()),
        "expires_in": PUSHED_LIFETIME.num_seconds(),
    }))
}
