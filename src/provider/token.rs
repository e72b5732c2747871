//! The token endpoint (RFC 6749, section 3.2; OpenID Connect Core, section 3.1.3).

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use http::HeaderMap;
use serde_json::{Value, json};
use sha2::{Digest, Sha256, Sha512};

use super::claims::{Place, of_person};
use super::client::authenticate;
use super::error::{Code, Failure, Refused};
use super::parameters::Parameters;
use super::request::foreign_scope;
use crate::app::App;
use crate::domain::application::{Application, Grant as Way, Scope, Scopes, Signature};
use crate::domain::grant::{Details, Grant, REPEAT};
use crate::domain::ids::{GrantId, OrganizationId};
use crate::domain::token::{Token, TokenKind};
use crate::error::Error;
use crate::provisioning::{access, groups, refresh, signing};
use crate::store;
use crate::store::grants::{Exchange, Live, Trace};

/// `POST /oauth2/token`.
pub async fn token(State(app): State<Arc<App>>, headers: HeaderMap, body: Bytes) -> Response {
    match answer(&app, &headers, &body).await {
        Ok(body) => axum::Json(body).into_response(),
        Err(failure) => failure.into_response(),
    }
}

async fn answer(app: &App, headers: &HeaderMap, body: &[u8]) -> Result<Value, Failure> {
    let form = Parameters::of_form(headers, body)?;
    let way = form.required("grant_type")?;
    let way: Way = way.parse().map_err(|_| {
        Refused::new(
            Code::UnsupportedGrantType,
            "grant_type must be authorization_code, refresh_token or client_credentials",
        )
    })?;
    let application = authenticate(app, headers, &form).await?;
    if !application.has(way) {
        let text = format!("the application has not the grant {way}: its administrator can add it");
        return Err(Refused::new(Code::UnauthorizedClient, text).into());
    }
    match way {
        Way::AuthorizationCode => by_code(app, &application, &form).await,
        Way::RefreshToken => by_refresh_token(app, &application, &form).await,
        Way::ClientCredentials => for_itself(app, &application, &form).await,
    }
}

fn invalid_grant(text: &'static str) -> Failure {
    Refused::new(Code::InvalidGrant, text).into()
}

/// What is the same of each exchange.
fn exchange<'a>(
    app: &App,
    application: &Application,
    presented: &Token,
    hashes: [&'a [u8]; 2],
    now: DateTime<Utc>,
) -> Option<Exchange<'a>> {
    Some(Exchange {
        organization_id: presented.organization()?,
        id: presented.id().into(),
        client: application.client_id(),
        hash: hashes[0],
        next_hash: hashes[1],
        now,
        refresh_lifetime: application.refresh_lifetime(),
        used_since: now - app.sign_in.session_idle,
    })
}

/// A code for tokens. One round trip beside that of the application.
async fn by_code(
    app: &App,
    application: &Application,
    form: &Parameters,
) -> Result<Value, Failure> {
    let refused = || {
        invalid_grant(
            "the code is wrong, was used, is older than 60 seconds, or is another application's; or redirect_uri or code_verifier are not those that the sign-in began with",
        )
    };
    let code = Token::parse(TokenKind::Code, form.required("code")?).ok_or_else(refused)?;
    let organization_id = code.organization().ok_or_else(refused)?;
    let challenge = form.get("code_verifier").map(challenge).transpose()?;
    let next = refresh::next(app, organization_id, code.id().into(), &code)?;
    let hashes = [code.digest(), next.digest()];
    let now = app.clock.now();
    let exchange =
        exchange(app, application, &code, [&hashes[0], &hashes[1]], now).ok_or_else(refused)?;
    let redirect_uri = form.required("redirect_uri")?;
    let mut db = app.store.acquire().await?;
    let found =
        store::grants::exchange_code(&mut db, &exchange, redirect_uri, challenge.as_deref())
            .await?;
    let Some(live) = found else {
        end_if_replayed(&mut db, &exchange, |trace| {
            trace.is_code_used && trace.code_hash.as_deref() == Some(exchange.hash)
        })
        .await?;
        return Err(refused());
    };
    drop(db);
    let next = live.scopes().has(Scope::OfflineAccess).then_some(&next);
    tokens(app, application, &exchange, &live, None, next).await
}

/// SHA-256 of what PKCE began with (RFC 7636, section 4.6).
fn challenge(verifier: &str) -> Result<String, Refused> {
    let is_character = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    if !(43..=128).contains(&verifier.len()) || !verifier.bytes().all(is_character) {
        return Err(Refused::request(
            "code_verifier must have 43 to 128 letters, digits and - . _ ~",
        ));
    }
    Ok(URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)))
}

/// A refresh token for tokens. One round trip beside that of the application.
async fn by_refresh_token(
    app: &App,
    application: &Application,
    form: &Parameters,
) -> Result<Value, Failure> {
    let refused = || {
        invalid_grant(
            "the refresh token is wrong, was used before, has expired, or is another application's; or the person signed out or has no access any more: have the person sign in again",
        )
    };
    let token =
        Token::parse(TokenKind::Refresh, form.required("refresh_token")?).ok_or_else(refused)?;
    let organization_id = token.organization().ok_or_else(refused)?;
    let id = GrantId::from(token.id());
    let next = refresh::next(app, organization_id, id, &token)?;
    let hashes = [token.digest(), next.digest()];
    let now = app.clock.now();
    let exchange =
        exchange(app, application, &token, [&hashes[0], &hashes[1]], now).ok_or_else(refused)?;
    let narrowed = form.get("scope").map(Scopes::known);
    let mut db = app.store.acquire().await?;
    if let Some(asked) = &narrowed {
        let trace = store::grants::trace(&mut db, organization_id, id).await?;
        let granted = trace
            .map(|trace| Scopes::known(&trace.scope))
            .unwrap_or_default();
        if asked.within(&granted) != *asked {
            return Err(foreign_scope(form.get("scope").unwrap_or_default()).into());
        }
    }
    let Some(live) = store::grants::exchange_refresh_token(&mut db, &exchange).await? else {
        let is_ours = refresh::is_ours(app, organization_id, &token);
        end_if_replayed(&mut db, &exchange, |trace| {
            is_ours && is_replayed(trace, exchange.hash, now)
        })
        .await?;
        return Err(refused());
    };
    drop(db);
    let groups = &application.settings.groups;
    if !groups::is_in_any(
        app,
        organization_id,
        live.subject_id.as_uuid().into(),
        groups,
    )
    .await?
    {
        return Err(refused());
    }
    tokens(app, application, &exchange, &live, narrowed, Some(&next)).await
}

/// Whether a refresh token of ours was refused because it was used before: not one that is merely too late, and not the one before
/// the last within the time in which it may be asked with again.
fn is_replayed(trace: &Trace, hash: &[u8], now: DateTime<Utc>) -> bool {
    let is = |known: &Option<Vec<u8>>| known.as_deref() == Some(hash);
    let [current, previous] = &trace.refresh_hashes;
    let is_recent = trace.refreshed_at.is_some_and(|at| now < at + REPEAT);
    !(is(current) || (is(previous) && is_recent))
}

/// Ends a grant whose token comes again: whoever has it now is not the only one (RFC 9700, section 4.14.2).
async fn end_if_replayed(
    db: &mut store::Connection,
    exchange: &Exchange<'_>,
    is_replayed: impl Fn(&Trace) -> bool,
) -> Result<(), Error> {
    let trace = store::grants::trace(db, exchange.organization_id, exchange.id).await?;
    let client = exchange.client;
    let is_replayed = trace.is_some_and(|trace| {
        trace.client == client && trace.ended_at.is_none() && is_replayed(&trace)
    });
    if is_replayed {
        let (organization_id, id) = (exchange.organization_id, exchange.id);
        store::grants::end(db, organization_id, id, client, exchange.now).await?;
        tracing::warn!(organization = %organization_id, application = %client.id, grant = %id, "a code or refresh token of an application was used twice, so that everything that came of it has ended");
    }
    Ok(())
}

/// The tokens of a person.
async fn tokens(
    app: &App,
    application: &Application,
    exchange: &Exchange<'_>,
    live: &Live,
    narrowed: Option<Scopes>,
    next: Option<&Token>,
) -> Result<Value, Failure> {
    let now = exchange.now;
    let grant = Grant {
        organization_id: exchange.organization_id,
        id: exchange.id,
        client: exchange.client,
        subject: live.subject_id,
        session: live.session_id,
        sso_configuration: None,
        // What the application may have now, whatever it was granted.
        scopes: narrowed
            .unwrap_or_else(|| live.scopes())
            .within(&application.scopes()),
        details: Details::default(),
    };
    let access = access::issue(app, &grant, now, now + application.access_lifetime()).await?;
    let mut body = json!({
        "token_type": "Bearer",
        "expires_in": application.settings.access_token_seconds,
        "scope": grant.scopes.to_string(),
    });
    if grant.scopes.has(Scope::OpenId) {
        let id_token = id_token(app, application, &grant, live, &access, now).await?;
        body["id_token"] = id_token.into();
    }
    body["access_token"] = access.into();
    if let Some(next) = next {
        body["refresh_token"] = next.expose().into();
    }
    Ok(body)
}

/// OpenID Connect Core, section 2. The nonce is that of the sign-in, also after a refresh (section 12.2).
async fn id_token(
    app: &App,
    application: &Application,
    grant: &Grant,
    live: &Live,
    access: &str,
    now: DateTime<Utc>,
) -> Result<String, Error> {
    let organization_id = grant.organization_id;
    let mut claims = of_person(app, organization_id, grant.client, live, Place::IdToken).await?;
    let lifetime = TimeDelta::seconds(application.settings.id_token_seconds.into());
    let authentication = live.details.authentication.as_ref();
    let digest = Sha256::digest(access);
    let digest = match application.settings.id_token_signature {
        Signature::EdDsa => {
            let digest = Sha512::digest(access);
            URL_SAFE_NO_PAD.encode(&digest[..32])
        }
        _ => URL_SAFE_NO_PAD.encode(&digest[..16]),
    };
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            claims.insert(name.to_owned(), value);
        }
    };
    put("iss", json!(app.public_url));
    put("sub", json!(grant.subject));
    put("aud", json!(application.client_id().to_string()));
    put("exp", json!((now + lifetime).timestamp()));
    put("iat", json!(now.timestamp()));
    put("nonce", json!(live.details.nonce));
    put("sid", json!(grant.session));
    put("org_id", json!(organization_id));
    put("at_hash", json!(digest));
    if let Some(authentication) = authentication {
        let time = authentication.time.map(|time| time.timestamp());
        put("auth_time", json!(time));
        put("acr", json!(authentication.class));
        if !authentication.methods.is_empty() {
            put("amr", json!(authentication.methods));
        }
    }
    signing::sign(
        app,
        application.settings.id_token_signature,
        super::ID_TOKEN,
        &claims,
    )
    .await
}

/// Tokens for the application itself, as its service account (RFC 6749, section 4.4). Two round trips beside that of the application.
async fn for_itself(
    app: &App,
    application: &Application,
    form: &Parameters,
) -> Result<Value, Failure> {
    let account = application.settings.service_account.ok_or_else(|| {
        Refused::new(
            Code::UnauthorizedClient,
            "the application has no service account to act as",
        )
    })?;
    let allowed: Scopes = application
        .scopes()
        .within(&Scopes::from_iter([Scope::Api]));
    let scopes = match form.get("scope") {
        Some(text) => Scopes::known(text).within(&allowed),
        None => allowed,
    };
    if scopes.is_empty() {
        return Err(Refused::new(Code::InvalidScope, "an application can have the scope api alone for itself, if its administrator gives it that").into());
    }
    let organization_id: OrganizationId = application.organization_id;
    let now = app.clock.now();
    let expires_at = now + application.access_lifetime();
    let grant = Grant {
        organization_id,
        id: app.new_id(),
        client: application.client_id(),
        subject: account.as_uuid().into(),
        session: None,
        sso_configuration: None,
        scopes,
        details: Details::default(),
    };
    let mut db = app.store.acquire().await?;
    store::grants::insert(&mut db, &grant, None, "", None, now, expires_at).await?;
    let is_live =
        store::grants::is_account_live(&mut db, organization_id, grant.id, grant.client, now)
            .await?;
    drop(db);
    if !is_live {
        return Err(Refused::new(
            Code::UnauthorizedClient,
            "the service account of the application is suspended, has ended or was deleted",
        )
        .into());
    }
    Ok(json!({
        "token_type": "Bearer",
        "access_token": access::issue(app, &grant, now, expires_at).await?,
        "expires_in": application.settings.access_token_seconds,
        "scope": grant.scopes.to_string(),
    }))
}
