//! Which application asks, and the proof of it (RFC 6749, section 2.3; OpenID Connect Core, section 9; RFC 7523).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::error::{Code, Failure, Refused};
use super::parameters::Parameters;
use super::{ISSUER_PATHS, TOKEN_PATH};
use crate::app::App;
use crate::domain::application::{Application, ClientAuthentication, ClientId};
use crate::domain::token::{Token, TokenKind};
use crate::oidc::jose::{Jws, KeySet};
use crate::store;
use crate::store::applications::Secrets;

/// What the type of a signed proof is called (RFC 7523, section 2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How long a proof may be good, and how much the clocks may differ.
const MAX_LIFETIME: TimeDelta = TimeDelta::hours(1);
const SKEW: TimeDelta = TimeDelta::seconds(60);
/// The longest name of a proof, in bytes.
const MAX_ID: usize = 512;

/// What a client shows.
enum Shown<'a> {
    Nothing,
    Secret(String),
    Assertion(&'a str),
}

/// Finds the application that a request comes from, by what it proves. One round trip; one more for a proof that is signed.
///
/// # Errors
///
/// `invalid_client`. That there is an application is no secret: its identifier is in the address of every sign-in.
pub async fn authenticate(
    app: &App,
    headers: &HeaderMap,
    form: &Parameters,
) -> Result<Application, Failure> {
    let (id, shown) = presented(headers, form)?;
    let client: ClientId = id.parse().map_err(|()| unknown())?;
    let found = app
        .store
        .read(|db| {
            Box::pin(store::applications::find_client(
                db,
                client.organization_id,
                client.id,
            ))
        })
        .await?;
    let (application, secrets) = found.ok_or_else(unknown)?;
    let is_it = match (shown, application.settings.authentication) {
        (Shown::Nothing, ClientAuthentication::None) => true,
        (
            Shown::Secret(secret),
            ClientAuthentication::SecretBasic | ClientAuthentication::SecretPost,
        ) => is_secret(&secrets, client, &secret, app.clock.now()),
        (Shown::Assertion(assertion), ClientAuthentication::PrivateKey) => {
            check_assertion(app, &application, assertion).await?;
            true
        }
        (_, method) => {
            return Err(Refused::new(
                Code::InvalidClient,
                format!("the application must prove who it is with the method {method}"),
            )
            .into());
        }
    };
    match is_it {
        true => Ok(application),
        false => Err(unknown().into()),
    }
}

fn unknown() -> Refused {
    Refused::new(
        Code::InvalidClient,
        "client_id or client_secret is wrong: there is no such application, or it has another secret by now",
    )
}

/// The identifier of the client, and what it shows: one thing alone.
fn presented<'a>(
    headers: &HeaderMap,
    form: &'a Parameters,
) -> Result<(String, Shown<'a>), Refused> {
    let basic = headers.get(AUTHORIZATION).map(basic).transpose()?;
    let in_form = form.get("client_secret");
    let assertion = form.get("client_assertion");
    let count = usize::from(basic.is_some())
        + usize::from(in_form.is_some())
        + usize::from(assertion.is_some());
    if count > 1 {
        return Err(Refused::request(
            "the application must prove who it is in one way alone",
        ));
    }
    if let Some((id, secret)) = basic {
        if form.get("client_id").is_some_and(|named| named != id) {
            return Err(Refused::request(
                "client_id and the header Authorization name two applications",
            ));
        }
        return Ok((id, Shown::Secret(secret)));
    }
    if let Some(assertion) = assertion {
        if form.get("client_assertion_type") != Some(ASSERTION_TYPE) {
            return Err(Refused::request(format!(
                "client_assertion_type must be {ASSERTION_TYPE}"
            )));
        }
        let named = form.get("client_id").map(str::to_owned);
        let id = named.or_else(|| {
            let jws = Jws::read(assertion).ok()?;
            Some(jws.claims.get("sub")?.as_str()?.to_owned())
        });
        return Ok((id.ok_or_else(unknown)?, Shown::Assertion(assertion)));
    }
    let id = form.get("client_id").ok_or_else(|| {
        Refused::new(
            Code::InvalidClient,
            "the request does not say which application sends it: client_id is missing",
        )
    })?;
    let shown = match in_form {
        Some(secret) => Shown::Secret(secret.to_owned()),
        None => Shown::Nothing,
    };
    Ok((id.to_owned(), shown))
}

/// Both parts are form-encoded before they are joined (RFC 6749, section 2.3.1).
fn basic(value: &http::HeaderValue) -> Result<(String, String), Refused> {
    let read = || {
        let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
        let decoded = STANDARD.decode(encoded.trim()).ok()?;
        let text = String::from_utf8(decoded).ok()?;
        let (id, secret) = text.split_once(':')?;
        let part = |text: &str| {
            let text = text.replace('+', " ");
            let decoded = percent_decode_str(&text).decode_utf8().ok()?;
            Some(decoded.into_owned())
        };
        let is_basic = scheme.eq_ignore_ascii_case("basic");
        Some((part(id)?, part(secret)?)).filter(|_| is_basic)
    };
    read().ok_or_else(|| {
        Refused::new(
            Code::InvalidClient,
            "the header Authorization must be Basic, with client_id and client_secret",
        )
    })
}

/// Takes as long whatever is wrong.
fn is_secret(secrets: &Secrets, client: ClientId, presented: &str, now: DateTime<Utc>) -> bool {
    let Some(token) = Token::parse(TokenKind::Application, presented) else {
        return false;
    };
    let digest = token.digest();
    let is = |hash: &Option<Vec<u8>>| {
        hash.as_ref()
            .is_some_and(|hash| bool::from(hash.ct_eq(&digest)))
    };
    let is_previous_live = secrets.previous_expires_at.is_some_and(|end| now < end);
    let is_it = is(&secrets.current) | (is(&secrets.previous) & is_previous_live);
    is_it && token.id() == client.id.as_uuid()
}

/// Makes sure that an application signed a proof for this server, and that it comes the first time.
async fn check_assertion(
    app: &App,
    application: &Application,
    assertion: &str,
) -> Result<(), Failure> {
    let wrong = |why: String| {
        Failure::from(Refused::new(
            Code::InvalidClient,
            format!("client_assertion {why}"),
        ))
    };
    let jws = Jws::read(assertion).map_err(|why| wrong(super::parameters::printable(&why)))?;
    verify(app, application, &jws)
        .await
        .map_err(|why| wrong(super::parameters::printable(&why)))?;
    let now = app.clock.now();
    let (id, end) =
        check_claims(app, application, &jws.claims, now).map_err(|why| wrong(why.to_owned()))?;
    let digest = Sha256::digest(id);
    let mut db = app.store.acquire().await?;
    match store::client_assertions::take(&mut db, application.client_id(), &digest, end).await? {
        true => Ok(()),
        false => Err(wrong(
            "was used before: each must have a jti of its own".to_owned(),
        )),
    }
}

async fn verify(app: &App, application: &Application, jws: &Jws<'_>) -> Result<(), String> {
    let settings = &application.settings;
    if let Some(keys) = &settings.jwks {
        let keys = keys["keys"].as_array().map(|keys| KeySet::read(keys));
        return keys
            .unwrap_or_default()
            .verify(jws)
            .map_err(|why| why.explain().replace("the provider", "the application"));
    }
    // A stranger may have sent it, whom the application's address is no concern of.
    let unread = |why: String| {
        tracing::info!(application = %application.id, %why, "the keys of an application cannot be read");
        "cannot be verified: the keys at jwks_uri cannot be read".to_owned()
    };
    let keys = app
        .client_keys
        .at(&app.outgoing, &settings.jwks_uri, None)
        .await
        .map_err(unread)?;
    let Err(why) = keys.verify(jws) else {
        return Ok(());
    };
    let explain = |why: crate::oidc::jose::Unverified| {
        why.explain().replace("the provider", "the application")
    };
    if !why.may_be_a_new_key() {
        return Err(explain(why));
    }
    let keys = app
        .client_keys
        .at(&app.outgoing, &settings.jwks_uri, Some(&keys))
        .await
        .map_err(unread)?;
    keys.verify(jws).map_err(explain)
}

/// What a proof must say (RFC 7523, section 3): its name, and until when it is remembered.
fn check_claims<'a>(
    app: &App,
    application: &Application,
    claims: &'a Map<String, Value>,
    now: DateTime<Utc>,
) -> Result<(&'a str, DateTime<Utc>), &'static str> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let time = |name: &str| {
        let seconds = claims.get(name)?.as_f64()?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "whole seconds are exact enough"
        )]
        DateTime::from_timestamp(seconds as i64, 0)
    };
    let client = application.client_id().to_string();
    if text("iss") != Some(&client) || text("sub") != Some(&client) {
        return Err("must have the client_id as iss and as sub");
    }
    let is_us = |audience: &Value| {
        let audience = audience
            .as_str()
            .and_then(|text| text.strip_prefix(&app.public_url));
        audience.is_some_and(|rest| rest == TOKEN_PATH || ISSUER_PATHS.contains(&rest))
    };
    let is_for_us = match claims.get("aud") {
        Some(Value::Array(audiences)) => audiences.iter().any(is_us),
        Some(audience) => is_us(audience),
        None => false,
    };
    if !is_for_us {
        return Err("must have the issuer, or the URL of the token endpoint, as aud");
    }
    let end = time("exp").ok_or("must have exp")?;
    if end > now + MAX_LIFETIME + SKEW {
        return Err("must expire within an hour");
    }
    if end <= now - SKEW {
        return Err("has expired");
    }
    let is_early = |name: &str| time(name).is_some_and(|time| time > now + SKEW);
    if is_early("nbf") || is_early("iat") {
        return Err("is not valid yet: compare the clocks of both servers");
    }
    let id = text("jti").filter(|id| (1..=MAX_ID).contains(&id.len()));
    Ok((
        id.ok_or("must have a jti of at most 512 bytes")?,
        end + SKEW,
    ))
}
