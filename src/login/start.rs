//! From here to the provider.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use uuid::Uuid;

use super::begun::{Begun, cookie_name, state_parameter};
use super::pages::Page;
use super::redirect;
use super::report::Report;
use super::stop::{Stop, configuration, secret_is_lost};
use crate::app::App;
use crate::domain::ids::{OrganizationId, SsoConfigurationId};
use crate::domain::sign_in::{LOGIN_LIFETIME, MAX_EMAIL_LENGTH, SignInError};
use crate::domain::sso::SsoConfiguration;
use crate::domain::token::{Token, TokenKind};
use crate::http::session;
use crate::oidc::{LoginSecrets, Registration};
use crate::provisioning::sign_in::{Demands, check_return_to};
use crate::provisioning::test_sign_in::Ticket;

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
    /// Of a test sign-in: what entitles to it, and says where its page leads back to.
    #[serde(default)]
    ticket: String,
}

/// Sends the browser to a provider. One round trip.
pub async fn start(
    State(app): State<Arc<App>>,
    start: Result<Query<Start>, QueryRejection>,
) -> Response {
    match begin(&app, start).await {
        Ok(response) => response,
        Err(stop) => stop.answer(&app).await,
    }
}

async fn begin(app: &App, start: Result<Query<Start>, QueryRejection>) -> Result<Response, Stop> {
    let Query(mut start) = start.map_err(|_| Page::bad_link())?;
    let organization = start.organization.map(OrganizationId::from).or(app.home);
    let organization_id = organization.ok_or_else(Page::bad_link)?;
    let ticket = ticket(app, organization_id, &start)?;
    let is_test = ticket.is_some();
    if let Some(ticket) = ticket {
        start.return_to = ticket.return_to;
    }
    check_return_to(app, &start.return_to).map_err(|_| Page::bad_return())?;
    let configuration = configuration(app, organization_id, start.configuration.into()).await?;
    if !configuration.is_active && !is_test {
        return Err(Page::bad_link().into());
    }
    let state = app
        .random
        .token(TokenKind::Login, Some(organization_id), app.new_id());
    let (url, cookie) = way_to_provider(app, &configuration, &start, &state, is_test)
        .await
        .map_err(|error| match error {
            SignInError::Refused(refusal) if is_test => {
                let report = Report::new(&configuration, &start.return_to);
                report.refused(&refusal).into()
            }
            error => Stop::of_anybody(error, app, &configuration, &start.return_to),
        })?;
    let mut response = redirect(&url);
    session::set_cookie(
        app,
        response.headers_mut(),
        &cookie_name(state.id().into()),
        &cookie,
        LOGIN_LIFETIME.num_seconds(),
    );
    Ok(response)
}

/// The ticket of a link that begins a test.
fn ticket(
    app: &App,
    organization_id: OrganizationId,
    start: &Start,
) -> Result<Option<Ticket>, Stop> {
    if start.ticket.is_empty() {
        return Ok(None);
    }
    let id = SsoConfigurationId::from(start.configuration);
    let ticket = Ticket::open(app, organization_id, id, &start.ticket);
    let ticket = ticket.ok_or_else(Page::bad_ticket)?;
    tracing::info!(asked_by = %ticket.asked_by, configuration = %id, "a test sign-in begins");
    Ok(Some(ticket))
}

/// The URL at the provider, and the cookie of the login.
async fn way_to_provider(
    app: &App,
    configuration: &SsoConfiguration,
    start: &Start,
    state: &Token,
    is_test: bool,
) -> Result<(String, String), SignInError> {
    if configuration.needs_client_secret {
        return Err(secret_is_lost().into());
    }
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
    let provider = app
        .providers
        .get(&app.outgoing, &configuration.issuer_url)
        .await?;
    let parameter = state_parameter(state, configuration.id);
    let demands = Demands::of(app, &start.return_to);
    let issuer = &configuration.issuer_url;
    let demands = demands.parameters(issuer, provider.metadata.prompts.as_deref());
    let url = registration.authorization_url(&provider, &parameter, &secrets, hint, &demands);
    let begun = Begun::new(
        app,
        configuration,
        state,
        secrets,
        &start.return_to,
        is_test,
    );
    Ok((url, begun.seal(app, state)?))
}

/// 256 random bits, as nonce or as PKCE verifier (RFC 7636, section 4.1).
fn random_text(app: &App) -> String {
    URL_SAFE_NO_PAD.encode(app.random.bytes::<32>())
}
