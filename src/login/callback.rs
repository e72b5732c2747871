//! From the provider back to here: the answer is exchanged for claims, and whoever they are about gets a session.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::USER_AGENT;
use serde::Deserialize;
use tokio::task::spawn_blocking;

use super::begun::{Begun, cookie_name, read_state};
use super::pages::Page;
use super::report::Report;
use super::stop::{Stop, configuration, secret_is_lost};
use super::{claims, redirect};
use crate::app::App;
use crate::domain::ids::{LoginId, OrganizationId, SsoConfigurationId};
use crate::domain::policy::{self, Verdict};
use crate::domain::sign_in::{Attempt, Check, Person, Refusal, SignInError};
use crate::domain::sso::SsoConfiguration;
use crate::domain::token::Token;
use crate::error::Error;
use crate::http::session;
use crate::oidc::{Claims, Registration, printable};
use crate::provisioning::client_keys::client_key;
use crate::provisioning::keys::open_client_secret;
use crate::provisioning::sign_in::{Admitted, Demands, Outcome, SignIn, sign_in};
use crate::provisioning::test_sign_in;
use crate::store;

/// How often a login is decided anew because its configuration changes.
const MAX_DECISIONS: usize = 5;

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
    match take(&app, &headers, answer).await {
        Ok(response) => response,
        Err(stop) => stop.answer(&app).await,
    }
}

async fn take(
    app: &App,
    headers: &HeaderMap,
    answer: Result<Query<Answer>, QueryRejection>,
) -> Result<Response, Stop> {
    let Query(answer) = answer.map_err(|_| Page::bad_link())?;
    let (state, configuration_id) = read_state(&answer.state).ok_or_else(Page::bad_link)?;
    let organization_id = app.organization_of(&state).ok_or_else(Page::bad_link)?;
    let Some(begun) = Begun::open(app, headers, organization_id, &state) else {
        return Err(not_begun_here(app, organization_id, configuration_id).await);
    };
    let id = LoginId::from(state.id());
    let mut response = match finish(app, headers, id, &begun, answer).await {
        Ok(response) => response,
        Err(stop) => stop.answer(app).await,
    };
    session::set_cookie(app, response.headers_mut(), &cookie_name(id), "", 0);
    Ok(response)
}

/// The answer to somebody else's login, or one that comes late, or to a browser that keeps no cookies.
/// What the state says of organization and configuration is believed for the row alone.
async fn not_begun_here(
    app: &App,
    organization_id: OrganizationId,
    id: SsoConfigurationId,
) -> Stop {
    let refusal = Refusal::new(
        Check::Login,
        "the answer came to a browser that did not begin the login, or not within 10 minutes: the person used another browser or device, keeps no cookies, or took too long",
    );
    match configuration(app, organization_id, id).await {
        Ok(configuration) => Stop::of_anybody(refusal.into(), app, &configuration, ""),
        Err(stop) => stop,
    }
}

async fn finish(
    app: &App,
    headers: &HeaderMap,
    id: LoginId,
    begun: &Begun,
    answer: Answer,
) -> Result<Response, Stop> {
    let (organization_id, sso_configuration_id) =
        (begun.organization.into(), begun.configuration.into());
    let configuration = configuration(app, organization_id, sso_configuration_id).await?;
    let attempt = Attempt::new(id, organization_id, sso_configuration_id, app.clock.now());
    let mut known = Known::new(attempt);
    let outcome = let_in(app, headers, &configuration, begun, answer, &mut known).await;
    let token = match outcome {
        Ok(LetIn::SignedIn(token)) => token,
        Ok(LetIn::Admitted(admitted)) => return tested(app, begun, known, Ok(admitted)).await,
        Err(SignInError::Refused(refusal)) if begun.is_test => {
            known.configuration.get_or_insert(configuration);
            return tested(app, begun, known, Err(refusal)).await;
        }
        Err(error) => return Err(Stop::of(error, known.attempt, &begun.return_to)),
    };
    app.metrics.sign_in(None);
    let target = match &*begun.return_to {
        "" => "/account",
        target => target,
    };
    let mut response = redirect(target);
    session::set(app, headers, response.headers_mut(), &token);
    Ok(response)
}

/// What becomes known of a login on its way.
struct Known {
    /// What administrators are told of a login that is none of a test.
    attempt: Attempt,
    /// What the test shows that it is.
    claims: Option<Claims>,
    person: Option<Person>,
    passes_expression: bool,
    /// The configuration that decided, as it was read last.
    configuration: Option<SsoConfiguration>,
}

impl Known {
    const fn new(attempt: Attempt) -> Self {
        Self {
            attempt,
            claims: None,
            person: None,
            passes_expression: false,
            configuration: None,
        }
    }
}

/// How a login ends that is not refused.
enum LetIn {
    SignedIn(Token),
    /// It was a test.
    Admitted(Admitted),
}

/// Ends a test with the page that shows what came of it. Of a test nothing is kept but that somebody was let in.
async fn tested(
    app: &App,
    begun: &Begun,
    known: Known,
    outcome: Result<Admitted, Refusal>,
) -> Result<Response, Stop> {
    let configuration = known.configuration.ok_or_else(Page::bad_link)?;
    if outcome.is_ok() {
        test_sign_in::passed(app, &configuration).await?;
    }
    let report = Report {
        claims: known.claims.as_ref(),
        person: known.person.as_ref(),
        passes_expression: known.passes_expression,
        ..Report::new(&configuration, &begun.return_to)
    };
    Ok(report.page(&outcome).await?.into_response())
}

/// Everything that must hold before somebody is let in; what becomes known is noted in `known`.
async fn let_in(
    app: &App,
    headers: &HeaderMap,
    configuration: &SsoConfiguration,
    begun: &Begun,
    answer: Answer,
    known: &mut Known,
) -> Result<LetIn, SignInError> {
    let attempt = &mut known.attempt;
    let not_taken = take_login(app, begun, attempt).await?;
    if !configuration.is_active && !begun.is_test {
        let refusal = Refusal::new(
            Check::Configuration,
            "the SSO configuration is switched off: set its state to ACTIVE, if people shall sign in through it",
        );
        return Err(refusal.into());
    }
    if configuration.needs_client_secret {
        return Err(secret_is_lost().into());
    }
    if let Some(refusal) = not_taken {
        return Err(refusal.into());
    }
    let verified = verify(app, configuration, begun, answer, attempt).await?;
    let user_agent = headers
        .get(USER_AGENT)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    known.claims = begun.is_test.then(|| without_nonce(&verified.claims));
    let authentication = claims::authentication(&verified.claims, app.clock.now());
    let mut configuration = configuration.clone();
    for _ in 0..MAX_DECISIONS {
        known.configuration = begun.is_test.then(|| configuration.clone());
        let person = claims::person(&configuration, &verified.claims)?;
        known.person = begun.is_test.then(|| person.clone());
        check_expression(&configuration, &verified.claims).await?;
        known.passes_expression = true;
        attempt.email = Some(person.email.clone());
        attempt.subject = Some(person.subject.clone());
        let login = SignIn {
            configuration: &configuration,
            person: &person,
            former: session::all_presented(app, headers),
            authentication: &authentication,
            is_anew: Demands::of(app, &begun.return_to).prompt == Some("login"),
            user_agent: &printable(user_agent),
            attempt,
            is_test: begun.is_test,
        };
        match sign_in(app, &login).await? {
            Outcome::SignedIn(token) => return Ok(LetIn::SignedIn(token)),
            Outcome::Admitted(admitted) => return Ok(LetIn::Admitted(admitted)),
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
    Err(refusal.into())
}

/// The claims as they may be shown: the nonce belongs to the login, and proves whose answer it is.
fn without_nonce(claims: &Claims) -> Claims {
    let others = claims.iter().filter(|(name, _)| *name != "nonce");
    others
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
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

/// Takes the login, of which there is one answer, or tells why this one comes too late. The attempt has a reference of
/// its own from here on: what came before an answer that is not the first may have a row.
async fn take_login(
    app: &App,
    begun: &Begun,
    attempt: &mut Attempt,
) -> Result<Option<Refusal>, Error> {
    let mut db = app.store.acquire().await?;
    let organization_id = attempt.organization_id;
    let is_first =
        store::sign_in::take(&mut db, organization_id, attempt.id, begun.ends_at).await?;
    let is_late = app.clock.now() >= begun.ends_at;
    if is_first && !is_late {
        return Ok(None);
    }
    let first = std::mem::replace(&mut attempt.id, app.new_id());
    let text = if is_first {
        "the person took longer than 10 minutes at the provider".to_owned()
    } else {
        format!("the provider's answer came a second time: the first has the reference {first}")
    };
    Ok(Some(Refusal::new(Check::Login, text)))
}

/// Makes sure that the claims expression lets a person in.
async fn check_expression(
    configuration: &SsoConfiguration,
    claims: &Claims,
) -> Result<(), SignInError> {
    let (expression, claims) = (configuration.claims_expression.clone(), claims.clone());
    let verdict = spawn_blocking(move || policy::evaluate(&expression, &claims)).await;
    let Verdict::KeepsOut { part, reason } = verdict.map_err(Error::internal)? else {
        return Ok(());
    };
    let refusal = Refusal {
        part: Some(part),
        ..Refusal::new(
            Check::ClaimsExpression,
            format!("the claims expression {reason}"),
        )
    };
    Err(refusal.into())
}

/// What a provider vouched for.
struct Verified {
    claims: Claims,
    /// The client secret that the code was exchanged with, as it is stored.
    sealed_secret: Vec<u8>,
}

/// Exchanges an answer for claims.
async fn verify(
    app: &App,
    configuration: &SsoConfiguration,
    begun: &Begun,
    answer: Answer,
    attempt: &mut Attempt,
) -> Result<Verified, SignInError> {
    let (organization_id, id) = (configuration.organization_id, configuration.id);
    let mut db = app.store.acquire().await?;
    let sealed_secret = store::sso::client_secret(&mut db, organization_id, id).await?;
    drop(db);
    // It may have been forgotten just now.
    let secret = open_client_secret(&app.keys, organization_id, id, &sealed_secret)?
        .ok_or_else(secret_is_lost)?;
    let provider = app
        .providers
        .get(&app.outgoing, &configuration.issuer_url)
        .await?;
    provider.check_issuer(answer.iss.as_deref())?;
    let code = code(answer)?;
    let registration = Registration {
        configuration,
        client_secret: Some(secret),
        client_key: Some(&|| Box::pin(client_key(app, organization_id, id))),
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
    note(attempt, configuration, &claims);
    Ok(Verified {
        claims,
        sealed_secret,
    })
}

/// Notes who the claims say it is, for administrators.
fn note(attempt: &mut Attempt, configuration: &SsoConfiguration, claims: &Claims) {
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
