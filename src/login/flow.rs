//! From here to the provider and back. What a login needs on its way back travels sealed in a cookie
//! of the browser that began it: starting one costs no write, and an answer that comes to another
//! browser is refused (RFC 6819, section 4.4.1.8).

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use http::HeaderMap;
use http::header::USER_AGENT;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::task::spawn_blocking;
use uuid::{Builder, Uuid};

use super::pages::{Page, Why};
use super::{claims, failed, redirect};
use crate::app::App;
use crate::domain::ids::{LoginId, OrganizationId, SsoConfigurationId};
use crate::domain::policy::{self, Verdict};
use crate::domain::sign_in::{Attempt, Check, LOGIN_LIFETIME, MAX_EMAIL_LENGTH, Refusal};
use crate::domain::sso::{SsoConfiguration, client_secret_context};
use crate::domain::token::{Token, TokenKind};
use crate::error::{Chain, Error};
use crate::http::session;
use crate::oidc::{Claims, LoginSecrets, Registration, printable};
use crate::provisioning::client_keys::client_key;
use crate::provisioning::sign_in::{Outcome, SignIn, check_return_to, sign_in};
use crate::store;

/// Which way to sign in.
#[derive(Debug, Deserialize)]
pub struct Start {
    /// Links of releases before this one have none.
    organization: Option<Uuid>,
    configuration: Uuid,
    #[serde(default)]
    login_hint: String,
    #[serde(default)]
    return_to: String,
}

/// What a login needs on its way back.
#[derive(Debug, Serialize, Deserialize)]
struct Begun {
    organization: Uuid,
    configuration: Uuid,
    state_digest: [u8; 32],
    secrets: LoginSecrets,
    return_to: String,
    ends_at: DateTime<Utc>,
}

/// The cookie of a login: one for each, so that two tabs do not get in each other's way.
fn cookie_name(id: LoginId) -> String {
    let id = id.as_uuid().simple().to_string();
    format!("rollcall-login-{}", &id[20..])
}

fn seal_context(organization_id: OrganizationId, id: LoginId) -> Vec<u8> {
    let (organization, id) = (organization_id.as_uuid(), id.as_uuid());
    [
        b"login\0".as_slice(),
        organization.as_bytes(),
        id.as_bytes(),
    ]
    .concat()
}

/// Sends the browser to a provider. One round trip.
pub async fn start(
    State(app): State<Arc<App>>,
    start: Result<Query<Start>, QueryRejection>,
) -> Response {
    let Ok(Query(start)) = start else {
        return Page::bad_link().into_response();
    };
    if check_return_to(&app, &start.return_to).is_err() {
        return Page::bad_return().into_response();
    }
    let organization = start.organization.map(OrganizationId::from).or(app.home);
    let Some(organization_id) = organization else {
        return Page::bad_link().into_response();
    };
    let configuration = match read(&app, organization_id, start.configuration.into()).await {
        Ok(configuration) if configuration.is_active => configuration,
        Ok(_) | Err(Error::NotFound(_)) => return Page::bad_link().into_response(),
        Err(error) => return fault(&app, &error),
    };
    if configuration.needs_client_secret {
        let refusal = secret_is_lost();
        return refuse_at_start(&app, &configuration, refusal, &start.return_to).await;
    }
    let state = app
        .random
        .token(TokenKind::Login, Some(organization_id), app.new_id());
    match begin(&app, &configuration, &start, &state).await {
        Ok(Ok((url, cookie))) => {
            let mut response = redirect(&url);
            let name = cookie_name(state.id().into());
            session::set_cookie(
                &app,
                response.headers_mut(),
                &name,
                &cookie,
                LOGIN_LIFETIME.num_seconds(),
            );
            response
        }
        Ok(Err(refusal)) => refuse_at_start(&app, &configuration, refusal, &start.return_to).await,
        Err(error) => fault(&app, &error),
    }
}

/// Reads the configuration of a login.
async fn read(
    app: &App,
    organization_id: OrganizationId,
    id: SsoConfigurationId,
) -> Result<SsoConfiguration, Error> {
    app.store
        .read(move |db| Box::pin(store::sso::get(db, organization_id, id)))
        .await
}

/// Keeps a person out before it is known who it is.
async fn refuse_at_start(
    app: &App,
    configuration: &SsoConfiguration,
    refusal: Refusal,
    return_to: &str,
) -> Response {
    let id = shared_reference(app, configuration.id, refusal.check);
    refuse(app, attempt(app, configuration, id), refusal, return_to).await
}

/// The client secret that proves to the provider who asks is lost.
fn secret_is_lost() -> Refusal {
    Refusal::new(
        Check::ClientSecret,
        "the key that sealed the client secret of the SSO configuration is lost: enter the client secret again, with UpdateSSOConfiguration",
    )
}

async fn begin(
    app: &App,
    configuration: &SsoConfiguration,
    start: &Start,
    state: &Token,
) -> Result<Result<(String, String), Refusal>, Error> {
    let registration = Registration {
        configuration,
        client_secret: None,
        client_key: None,
        public_url: &app.public_url,
    };
    let secrets = LoginSecrets {
        nonce: random_text(app),
        verifier: random_text(app),
    };
    let hint =
        Some(&*start.login_hint).filter(|hint| !hint.is_empty() && hint.len() <= MAX_EMAIL_LENGTH);
    let provider = match app
        .providers
        .get(&app.outgoing, &configuration.issuer_url)
        .await
    {
        Ok(provider) => provider,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let named = state_parameter(state, configuration.id);
    let url = registration.authorization_url(&provider, &named, &secrets, hint);
    let begun = Begun {
        organization: configuration.organization_id.as_uuid(),
        configuration: configuration.id.as_uuid(),
        state_digest: state.digest(),
        secrets,
        return_to: start.return_to.clone(),
        ends_at: app.clock.now() + LOGIN_LIFETIME,
    };
    let plain = serde_json::to_vec(&begun).map_err(Error::internal)?;
    let context = seal_context(configuration.organization_id, state.id().into());
    let sealed = app.keys.seal(&plain, &context, &app.random)?;
    Ok(Ok((url, URL_SAFE_NO_PAD.encode(sealed))))
}

/// The state parameter: a token, which names the organization, and the configuration, so that its
/// administrators learn of answers that come to another browser, too.
fn state_parameter(token: &Token, configuration: SsoConfigurationId) -> String {
    format!("{}.{}", token.expose(), configuration.as_uuid().simple())
}

fn read_state(state: &str) -> Option<(Token, SsoConfigurationId)> {
    let (token, configuration) = state.split_once('.')?;
    let token = Token::parse(TokenKind::Login, token)?;
    Some((token, Uuid::try_parse(configuration).ok()?.into()))
}

/// 256 random bits, as nonce or as PKCE verifier (RFC 7636, section 4.1).
fn random_text(app: &App) -> String {
    URL_SAFE_NO_PAD.encode(app.random.bytes::<32>())
}

/// What the provider answers (RFC 6749, section 4.1.2; RFC 9207).
#[derive(Debug, Deserialize)]
pub struct Answer {
    state: String,
    code: Option<String>,
    iss: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

/// Takes the provider's answer. Round trips: the login and its configuration, the client secret, the
/// exchange with the provider, and one transaction.
pub async fn callback(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    answer: Result<Query<Answer>, QueryRejection>,
) -> Response {
    let answer = answer.ok().map(|Query(answer)| answer);
    let found = answer.and_then(|answer| Some((read_state(&answer.state)?, answer)));
    let Some(((state, configuration), answer)) = found else {
        return Page::bad_link().into_response();
    };
    let id = LoginId::from(state.id());
    let Some(organization_id) = app.organization_of(&state) else {
        return Page::bad_link().into_response();
    };
    let Some(begun) = begun(&app, &headers, organization_id, &state) else {
        return not_begun_here(&app, organization_id, configuration).await;
    };
    let mut response = finish(&app, &headers, id, &begun, answer).await;
    session::set_cookie(&app, response.headers_mut(), &cookie_name(id), "", 0);
    response
}

/// The answer to somebody else's login, or one that comes late, or to a browser that keeps no cookies.
/// What the state says of organization and configuration is believed for the row alone.
async fn not_begun_here(
    app: &App,
    organization_id: OrganizationId,
    id: SsoConfigurationId,
) -> Response {
    let configuration = match read(app, organization_id, id).await {
        Ok(configuration) => configuration,
        Err(Error::NotFound(_)) => return Page::bad_link().into_response(),
        Err(error) => return fault(app, &error),
    };
    let refusal = Refusal::new(
        Check::Login,
        "the answer came to a browser that did not begin the login, or not within 10 minutes: the person used another browser or device, keeps no cookies, or took too long",
    );
    refuse_at_start(app, &configuration, refusal, "").await
}

/// The reference of all tries of a minute that fail in the same way before it is known whose they
/// are: they leave one row, or strangers could fill the log.
fn shared_reference(app: &App, configuration: SsoConfigurationId, check: Check) -> LoginId {
    let digest = Sha256::new()
        .chain_update(configuration.as_uuid())
        .chain_update(check.as_str())
        .finalize();
    let minute = u64::try_from(app.clock.now().timestamp() / 60).unwrap_or_default();
    let mut rest = [0; 10];
    rest.copy_from_slice(&digest[..10]);
    Builder::from_unix_timestamp_millis(minute * 60_000, &rest)
        .into_uuid()
        .into()
}

/// The login that this browser began with this state.
fn begun(
    app: &App,
    headers: &HeaderMap,
    organization_id: OrganizationId,
    state: &Token,
) -> Option<Begun> {
    let id = LoginId::from(state.id());
    let name = session::cookie_name(app, &cookie_name(id));
    let sealed = URL_SAFE_NO_PAD
        .decode(session::cookie(headers, &name)?)
        .ok()?;
    let context = seal_context(organization_id, id);
    let plain = app.keys.open(&sealed, &context)?;
    let begun: Begun = serde_json::from_slice(&plain).ok()?;
    bool::from(begun.state_digest.ct_eq(&state.digest())).then_some(begun)
}

/// The public key of a configuration (RFC 7517), which its provider reads. It says of the configuration no more
/// than that there is one.
pub async fn client_keys(
    State(app): State<Arc<App>>,
    named: Result<Path<(Uuid, Uuid)>, PathRejection>,
) -> Response {
    let Ok(Path((organization, id))) = named else {
        return Page::bad_link().into_response();
    };
    let key = async {
        let configuration = read(&app, organization.into(), id.into()).await?;
        client_key(&app, configuration.organization_id, configuration.id).await
    };
    match key.await {
        Ok(key) => Json(json!({ "keys": [key.public()] })).into_response(),
        Err(Error::NotFound(_)) => Page::bad_link().into_response(),
        Err(error) => fault(&app, &error),
    }
}

async fn finish(
    app: &App,
    headers: &HeaderMap,
    id: LoginId,
    begun: &Begun,
    answer: Answer,
) -> Response {
    let (organization_id, configuration) = (begun.organization.into(), begun.configuration.into());
    let configuration = match read(app, organization_id, configuration).await {
        Ok(configuration) => configuration,
        Err(Error::NotFound(_)) => return Page::bad_link().into_response(),
        Err(error) => return fault(app, &error),
    };
    let attempt = attempt(app, &configuration, id);
    if !configuration.is_active {
        let refusal = Refusal::new(
            Check::Configuration,
            "the SSO configuration is switched off: set its state to ACTIVE, if people shall sign in through it",
        );
        return refuse(app, attempt, refusal, &begun.return_to).await;
    }
    if configuration.needs_client_secret {
        return refuse(app, attempt, secret_is_lost(), &begun.return_to).await;
    }
    match admit(app, headers, &configuration, begun, answer, attempt).await {
        Ok(Ok(token)) => {
            app.metrics.sign_in(None);
            let target = if begun.return_to.is_empty() {
                "/account"
            } else {
                &begun.return_to
            };
            let mut response = redirect(target);
            session::set(app, response.headers_mut(), &token);
            response
        }
        Ok(Err((attempt, refusal))) => refuse(app, attempt, refusal, &begun.return_to).await,
        Err(error) => fault(app, &error),
    }
}

type Refused = (Attempt, Refusal);

/// How often a login is decided anew because its configuration changes.
const MAX_DECISIONS: usize = 5;

/// Everything that must hold before somebody is let in.
async fn admit(
    app: &App,
    headers: &HeaderMap,
    configuration: &SsoConfiguration,
    begun: &Begun,
    answer: Answer,
    mut attempt: Attempt,
) -> Result<Result<Token, Refused>, Error> {
    let verified = match verify(app, configuration, begun, answer, &mut attempt).await? {
        Ok(verified) => verified,
        Err(refusal) => return Ok(Err((attempt, refusal))),
    };
    let user_agent = headers
        .get(USER_AGENT)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    let mut configuration = configuration.clone();
    for _ in 0..MAX_DECISIONS {
        let person = match claims::person(&configuration, &verified.claims) {
            Ok(person) => person,
            Err(refusal) => return Ok(Err((attempt, refusal))),
        };
        if let Some(refusal) = keeps_out(&configuration, &verified.claims).await? {
            return Ok(Err((attempt, refusal)));
        }
        let login = SignIn {
            id: attempt.id,
            configuration: &configuration,
            person: &person,
            claim_names: attempt.claim_names.clone(),
            former: session::presented(app, headers),
            user_agent: &printable(user_agent),
        };
        match sign_in(app, &login).await? {
            Outcome::SignedIn(token) => return Ok(Ok(token)),
            Outcome::Refused(refusal) => return Ok(Err((attempt, refusal))),
            Outcome::Changed => match read_again(app, &configuration, &verified).await? {
                Some(changed) => configuration = changed,
                None => break,
            },
        }
    }
    let refusal = Refusal::new(
        Check::Configuration,
        "the SSO configuration was changed while the person signed in: she can begin again",
    );
    Ok(Err((attempt, refusal)))
}

/// The configuration as it is now, if the login that was verified before it changed is still good under it.
async fn read_again(
    app: &App,
    before: &SsoConfiguration,
    verified: &Verified,
) -> Result<Option<SsoConfiguration>, Error> {
    let (organization_id, id) = (before.organization_id, before.id);
    let read = async {
        let mut db = app.store.acquire().await?;
        // The secret first: one that is changed in between changes the configuration again.
        let sealed = store::sso::client_secret(&mut db, organization_id, id).await?;
        Ok((sealed, store::sso::get(&mut db, organization_id, id).await?))
    };
    match read.await {
        Ok((sealed, now)) if sealed == verified.sealed_secret && now.takes_logins_of(before) => {
            Ok(Some(now))
        }
        Ok(_) | Err(Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Why the claims expression keeps a person out, if it does.
async fn keeps_out(
    configuration: &SsoConfiguration,
    claims: &Claims,
) -> Result<Option<Refusal>, Error> {
    let (expression, claims) = (configuration.claims_expression.clone(), claims.clone());
    let verdict = spawn_blocking(move || policy::evaluate(&expression, &claims)).await;
    let Verdict::KeepsOut { part, reason } = verdict.map_err(Error::internal)? else {
        return Ok(None);
    };
    Ok(Some(Refusal {
        part: Some(part),
        ..Refusal::new(
            Check::ClaimsExpression,
            format!("the claims expression {reason}"),
        )
    }))
}

/// What a provider vouched for.
struct Verified {
    claims: Claims,
    /// The client secret that the code was exchanged with, as it is stored.
    sealed_secret: Vec<u8>,
}

async fn verify(
    app: &App,
    configuration: &SsoConfiguration,
    begun: &Begun,
    answer: Answer,
    attempt: &mut Attempt,
) -> Result<Result<Verified, Refusal>, Error> {
    let mut db = app.store.acquire().await?;
    let organization_id = configuration.organization_id;
    let is_first =
        store::sign_in::take(&mut db, organization_id, attempt.id, begun.ends_at).await?;
    let sealed = store::sso::client_secret(&mut db, organization_id, configuration.id).await?;
    drop(db);
    let context = client_secret_context(organization_id, configuration.id);
    let opened = app.keys.open(&sealed, &context);
    let opened = opened.ok_or_else(|| Error::internal("no key opens the client secret"))?;
    // It may have been forgotten just now.
    let Ok(secret) = String::from_utf8(opened.to_vec()) else {
        return Ok(Err(secret_is_lost()));
    };
    let checked = async {
        let is_late = app.clock.now() >= begun.ends_at;
        if !is_first || is_late {
            // What came before may have the row of this reference.
            let first = std::mem::replace(&mut attempt.id, app.new_id());
            let text = if is_first {
                "the person took longer than 10 minutes at the provider".to_owned()
            } else {
                format!(
                    "the provider's answer came a second time: the first has the reference {first}"
                )
            };
            return Err(Refusal::new(Check::Login, text));
        }
        let provider = app
            .providers
            .get(&app.outgoing, &configuration.issuer_url)
            .await?;
        provider.check_issuer(answer.iss.as_deref())?;
        let code = code(answer)?;
        let registration = Registration {
            configuration,
            client_secret: Some(SecretString::from(secret)),
            client_key: Some(&|| Box::pin(client_key(app, organization_id, configuration.id))),
            public_url: &app.public_url,
        };
        let expression = configuration.claims_expression.clone();
        let named = spawn_blocking(move || policy::claims_named(&expression)).await;
        let named = named.unwrap_or(policy::Named::Any);
        let is_missing = |claims: &Claims| claims::is_missing(configuration, &named, claims);
        let claims = registration
            .claims(
                &app.providers,
                &app.outgoing,
                &code,
                &begun.secrets,
                is_missing,
            )
            .await?;
        attempt.claim_names = claims
            .keys()
            .take(100)
            .map(|name| printable(name))
            .collect();
        let text = |name: &str| claims.get(name).and_then(|v| v.as_str()).map(printable);
        attempt.subject = text("sub");
        attempt.email = text(
            configuration
                .claims
                .get("email")
                .map_or("email", String::as_str),
        );
        Ok(Verified {
            claims,
            sealed_secret: sealed.clone(),
        })
    };
    Ok(checked.await)
}

/// The code of an answer that is no error.
fn code(answer: Answer) -> Result<String, Refusal> {
    if let Some(error) = answer.error {
        let description = answer
            .error_description
            .map(|text| format!(" ({})", printable(&text)));
        let text = format!(
            "the provider refused: {}{}",
            printable(&error),
            description.unwrap_or_default()
        );
        return Err(Refusal::new(Check::Authorization, text));
    }
    answer.code.filter(|code| !code.is_empty()).ok_or_else(|| {
        Refusal::new(
            Check::Authorization,
            "the provider's answer has neither a code nor an error",
        )
    })
}

fn attempt(app: &App, configuration: &SsoConfiguration, id: LoginId) -> Attempt {
    Attempt {
        id,
        organization_id: configuration.organization_id,
        sso_configuration_id: configuration.id,
        at: app.clock.now(),
        refusal: None,
        note: None,
        email: None,
        subject: None,
        claim_names: vec![],
        user_id: None,
    }
}

/// The page for a login that fails for what is neither the person's nor the provider's doing.
fn fault(app: &App, error: &Error) -> Response {
    app.metrics.sign_in_failed();
    failed(error)
}

/// Tells administrators why, and the person what to do.
async fn refuse(app: &App, attempt: Attempt, refusal: Refusal, return_to: &str) -> Response {
    app.metrics.sign_in(Some(refusal.check));
    // These reasons quote what the browser brought or the provider said: they are for administrators alone.
    let quotes = matches!(
        refusal.check,
        Check::Authorization | Check::Issuer | Check::Code
    );
    let reason = (!quotes).then_some(&*refusal.reason);
    let check = refusal.check.as_str();
    tracing::info!(reference = %attempt.id, check, reason, "a login was refused");
    let why = match refusal.check {
        Check::Login => Why::Again,
        Check::Provider | Check::Code => Why::Provider,
        Check::Authorization => Why::Denied,
        Check::ClientSecret => Why::ClientSecret,
        _ => Why::Administrator,
    };
    let id = attempt.id;
    let attempt = Attempt {
        refusal: Some(refusal),
        ..attempt
    };
    let recorded = async {
        let mut db = app.store.acquire().await?;
        store::sign_in::record(&mut db, &attempt).await
    };
    if let Err(error) = recorded.await {
        tracing::warn!(cause = %Chain(&error), "a refusal could not be recorded");
    }
    Page::refused(why, Some(id), return_to).into_response()
}
