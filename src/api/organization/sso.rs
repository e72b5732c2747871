//! SSO configurations over the API.

use std::collections::HashMap;

use buffa::EnumValue;
use tokio::task::spawn_blocking;

use crate::api::handler::{begin, parse_id};
use crate::api::paging::{Answer, Paging};
use crate::app::App;
use crate::domain::audit::Change;
use crate::domain::identity::{Reader, Writer};
use crate::domain::sso::{SsoChange, SsoConfiguration, email_domains, too_long};
use crate::error::{Error, Violation, no_violations};
use crate::metrics::SessionEnd;
use crate::oidc::check::unusable_issuer;
use crate::provisioning::keys::seal_client_secret;
use crate::store;
use crate::store::tokens::ReadAhead;
use proto::gitpod::v1::{
    CreateSSOConfigurationRequest, DeleteSSOConfigurationRequest, GetSSOConfigurationRequest,
    ListSSOConfigurationsRequest, SSOConfiguration, SSOConfigurationState,
    UpdateSSOConfigurationRequest, sso_configuration::ProviderType,
};

/// `CreateSSOConfiguration`. Five round trips: begin, insert, audit, commit, and the caller's token.
pub async fn create(
    app: &App,
    caller: Writer<'_>,
    request: CreateSSOConfigurationRequest,
) -> Result<SSOConfiguration, Error> {
    let organization_id = caller.organization(&request.organization_id)?;
    let (email_domains, bad_domains) = email_domains(request.email_domain, request.email_domains);
    let change = SsoChange {
        client_id: Some(request.client_id),
        issuer_url: Some(request.issuer_url),
        email_domains: Some(email_domains),
        display_name: Some(request.display_name),
        additional_scopes: Some(request.additional_scopes),
        claims_expression: request.claims_expression,
        ..SsoChange::default()
    };
    let secret = request.client_secret.trim();
    let change = checked(change, Some(secret), bad_domains).await?;
    check_issuer(app, change.issuer_url.as_deref().unwrap_or_default())?;

    let now = app.clock.now();
    let mut configuration = SsoConfiguration::new(app.new_id(), organization_id, now);
    change.apply(&mut configuration, now);
    let secret = seal(app, &configuration, secret)?;

    let mut work = begin(app, caller, now).await?;
    store::sso::insert(&mut work, organization_id, &configuration, &secret).await?;
    let change = Change::created("CreateSSOConfiguration", &configuration);
    work.commit(change).await?;
    Ok(wire(configuration))
}

/// `GetSSOConfiguration`. One round trip.
pub async fn get(
    app: &App,
    caller: Reader<'_>,
    ahead: Option<&ReadAhead>,
    request: GetSSOConfigurationRequest,
) -> Result<SSOConfiguration, Error> {
    let id = parse_id("sso_configuration_id", &request.sso_configuration_id)?;
    if let Some(configuration) = store::sso::read_ahead(ahead, id) {
        return Ok(wire(configuration));
    }
    let mut db = app.store.acquire().await?;
    let configuration = store::sso::get(&mut db, caller.organization_id, id).await?;
    Ok(wire(configuration))
}

/// `ListSSOConfigurations`. One round trip for the first page, two for others.
pub async fn list(
    app: &App,
    caller: Reader<'_>,
    ahead: Option<&ReadAhead>,
    paging: Paging<'_>,
    request: ListSSOConfigurationsRequest,
) -> Result<Answer<SSOConfiguration>, Error> {
    let organization_id = caller.organization(&request.organization_id)?;
    let list = paging.open(
        "sso_configurations",
        organization_id,
        "",
        &request.pagination,
    )?;

    let found = match store::sso::page_read_ahead(ahead, list.page()) {
        Some(found) => found,
        None => {
            let mut db = app.store.acquire().await?;
            store::sso::list(&mut db, organization_id, list.page()).await?
        }
    };
    list.answer(found, |c| c.id.as_uuid(), wire)
}

/// `UpdateSSOConfiguration`: what is absent stays.
pub async fn update(
    app: &App,
    caller: Writer<'_>,
    request: UpdateSSOConfigurationRequest,
) -> Result<(), Error> {
    let id = parse_id("sso_configuration_id", &request.sso_configuration_id)?;
    let (is_active, mut violations) = match request.state.map(is_active) {
        None => (None, vec![]),
        Some(Ok(is_active)) => (Some(is_active), vec![]),
        Some(Err(violation)) => (None, vec![violation]),
    };
    let single = request.email_domain;
    let single = single.filter(|_| request.email_domains.is_empty());
    let (email_domains, bad_domains) = email_domains(single, request.email_domains);
    violations.extend(bad_domains);
    let change = SsoChange {
        client_id: request.client_id,
        issuer_url: request.issuer_url,
        is_active,
        claims: non_empty(request.claims).map(|claims| claims.into_iter().collect()),
        email_domains: (!email_domains.is_empty()).then_some(email_domains),
        display_name: request.display_name,
        additional_scopes: request
            .additional_scopes
            .into_option()
            .map(|update| update.scopes),
        claims_expression: request.claims_expression,
    };
    // Nobody reads it again, so what came along when it was copied is taken away.
    let secret = request.client_secret.as_deref().map(str::trim);
    let change = checked(change, secret, violations).await?;

    let mut work = begin(app, caller, app.clock.now()).await?;
    let before = store::sso::lock(&mut work, caller.organization_id, id).await?;
    let mut after = before.clone();
    change.apply(&mut after, app.clock.now());
    // One that is as it was does not keep anybody from changing the rest.
    if after.issuer_url != before.issuer_url {
        check_issuer(app, &after.issuer_url)?;
    }
    after.needs_client_secret &= secret.is_none();
    after.tested_at = after.tested_at.filter(|_| secret.is_none());
    if after.needs_client_secret && is_active == Some(true) {
        return Err(Error::FailedPrecondition(
            "the client secret of this SSO configuration is lost: enter it again, in client_secret, to set the state to ACTIVE"
                .to_owned(),
        ));
    }
    let secret = secret.map(|secret| seal(app, &after, secret)).transpose()?;
    store::sso::update(&mut work, caller.organization_id, &after, secret.as_deref()).await?;
    let ended = if secret.is_some() || before.ends_sessions(&after) {
        let now = app.clock.now();
        store::sessions::end_all_through(&mut work, caller.organization_id, id, now).await?
    } else {
        0
    };
    let change = Change::updated("UpdateSSOConfiguration", &before, &after);
    work.commit(change).await?;
    app.metrics.sessions_ended(SessionEnd::Configuration, ended);
    Ok(())
}

/// `DeleteSSOConfiguration`.
pub async fn delete(
    app: &App,
    caller: Writer<'_>,
    request: DeleteSSOConfigurationRequest,
) -> Result<(), Error> {
    let id = parse_id("sso_configuration_id", &request.sso_configuration_id)?;

    let mut work = begin(app, caller, app.clock.now()).await?;
    let before = store::sso::lock(&mut work, caller.organization_id, id).await?;
    if let Some((name, linked)) =
        store::scim::find_linked_to(&mut work, caller.organization_id, id).await?
    {
        return Err(Error::FailedPrecondition(format!(
            "the SCIM configuration {name:?} ({linked}) links to this SSO configuration: delete it or link it to another first"
        )));
    }
    work.be_patient().await?;
    let now = app.clock.now();
    let ended =
        store::sessions::end_all_through(&mut work, caller.organization_id, id, now).await?;
    store::sso::delete(&mut work, caller.organization_id, id).await?;
    let change = Change::deleted("DeleteSSOConfiguration", &before);
    work.commit(change).await?;
    app.metrics.sessions_ended(SessionEnd::Configuration, ended);
    Ok(())
}

/// Makes sure that a change breaks no rule, away from the threads that serve.
async fn checked(
    change: SsoChange,
    client_secret: Option<&str>,
    mut violations: Vec<Violation>,
) -> Result<SsoChange, Error> {
    violations.extend(client_secret.and_then(secret_violation));
    let check = move || {
        violations.extend(change.check());
        no_violations(violations).map(|()| change)
    };
    spawn_blocking(check).await.map_err(Error::internal)?
}

fn secret_violation(secret: &str) -> Option<Violation> {
    if secret.is_empty() {
        let message = "must be more than blanks";
        return Some(Violation::new("client_secret", Violation::BLANKS, message));
    }
    too_long("client_secret", secret)
}

fn check_issuer(app: &App, issuer: &str) -> Result<(), Error> {
    match unusable_issuer(&app.outgoing, issuer) {
        Some(reason) => Err(Error::invalid("issuer_url", Violation::ISSUER, reason)),
        None => Ok(()),
    }
}

fn seal(app: &App, configuration: &SsoConfiguration, secret: &str) -> Result<Vec<u8>, Error> {
    let (organization_id, id) = (configuration.organization_id, configuration.id);
    seal_client_secret(&app.keys, &app.random, organization_id, id, Some(secret))
}

fn is_active(state: EnumValue<SSOConfigurationState>) -> Result<bool, Violation> {
    match state.as_known() {
        Some(SSOConfigurationState::SSO_CONFIGURATION_STATE_ACTIVE) => Ok(true),
        Some(SSOConfigurationState::SSO_CONFIGURATION_STATE_INACTIVE) => Ok(false),
        _ => Err(Violation::new(
            "state",
            Violation::SPECIFIED,
            "must be SSO_CONFIGURATION_STATE_ACTIVE or SSO_CONFIGURATION_STATE_INACTIVE",
        )),
    }
}

fn non_empty<K, V, S>(map: HashMap<K, V, S>) -> Option<HashMap<K, V, S>> {
    (!map.is_empty()).then_some(map)
}

fn wire(configuration: SsoConfiguration) -> SSOConfiguration {
    let c = configuration;
    let state = if c.is_usable() {
        SSOConfigurationState::SSO_CONFIGURATION_STATE_ACTIVE
    } else {
        SSOConfigurationState::SSO_CONFIGURATION_STATE_INACTIVE
    };
    SSOConfiguration {
        id: c.id.to_string(),
        organization_id: c.organization_id.to_string(),
        client_id: c.client_id,
        issuer_url: c.issuer_url,
        state: state.into(),
        claims: c.claims.into_iter().collect(),
        email_domain: c.email_domains.first().cloned().unwrap_or_default(),
        provider_type: ProviderType::PROVIDER_TYPE_CUSTOM.into(),
        email_domains: c.email_domains,
        display_name: c.display_name,
        additional_scopes: c.additional_scopes,
        claims_expression: c.claims_expression,
        ..Default::default()
    }
}
