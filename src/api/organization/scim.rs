//! SCIM configurations over the API.

use buffa_types::google::protobuf::Timestamp;

use crate::api::handler::{begin, lifetime, parse_id, timestamp};
use crate::api::paging::{Answer, Paging};
use crate::app::App;
use crate::domain::audit::Change;
use crate::domain::identity::{Reader, Writer};
use crate::domain::ids::{OrganizationId, ScimConfigurationId};
use crate::domain::scim::{DEFAULT_TOKEN_LIFETIME, ScimChange, ScimConfiguration};
use crate::domain::token::{Token, TokenKind};
use crate::error::Error;
use crate::metrics::SessionEnd;
use crate::provisioning::{administration, tokens};
use crate::store;
use crate::store::members::Settled;
use crate::store::tokens::ReadAhead;
use proto::gitpod::v1::{
    CreateSCIMConfigurationRequest, DeleteSCIMConfigurationRequest, GetSCIMConfigurationRequest,
    ListSCIMConfigurationsRequest, RegenerateSCIMTokenRequest, SCIMConfiguration,
    UpdateSCIMConfigurationRequest,
};

/// `CreateSCIMConfiguration`: the token is returned this once.
pub async fn create(
    app: &App,
    caller: Writer<'_>,
    request: CreateSCIMConfigurationRequest,
) -> Result<(SCIMConfiguration, String, Timestamp), Error> {
    let organization_id = caller.organization(&request.organization_id)?;
    let sso_configuration_id = parse_id("sso_configuration_id", &request.sso_configuration_id)?;
    let change = ScimChange {
        name: Some(request.name.unwrap_or_default()),
        allow_unverified_email_account_linking: request.allow_unverified_email_account_linking,
        ..ScimChange::default()
    };
    change.check()?;

    let now = app.clock.now();
    let lifetime = lifetime(request.token_expires_in.as_option()).unwrap_or(DEFAULT_TOKEN_LIFETIME);
    let mut configuration = ScimConfiguration::new(
        app.new_id(),
        organization_id,
        sso_configuration_id,
        lifetime,
        now,
    );
    change.apply(&mut configuration, now);
    let (token, hash) = issue_token(app, organization_id, configuration.id).await?;

    let mut work = begin(app, caller, now).await?;
    store::scim::insert(&mut work, organization_id, &configuration, &hash).await?;
    tokens::keep_digest(&app.keys, &mut work, organization_id, &token, &hash).await?;
    let change = Change::created("CreateSCIMConfiguration", &configuration);
    work.commit(change).await?;
    let expires_at = timestamp(configuration.token_expires_at);
    Ok((wire(configuration), token.expose().to_owned(), expires_at))
}

/// `GetSCIMConfiguration`. One round trip.
pub async fn get(
    app: &App,
    caller: Reader<'_>,
    ahead: Option<&ReadAhead>,
    request: GetSCIMConfigurationRequest,
) -> Result<SCIMConfiguration, Error> {
    let id = parse_id("scim_configuration_id", &request.scim_configuration_id)?;
    if let Some(configuration) = store::scim::read_ahead(ahead, id) {
        return Ok(wire(configuration));
    }
    let mut db = app.store.acquire().await?;
    let configuration = store::scim::get(&mut db, caller.organization_id, id).await?;
    Ok(wire(configuration))
}

/// `ListSCIMConfigurations`. One round trip for the first page, two for others.
pub async fn list(
    app: &App,
    caller: Reader<'_>,
    ahead: Option<&ReadAhead>,
    paging: Paging<'_>,
    request: ListSCIMConfigurationsRequest,
) -> Result<Answer<SCIMConfiguration>, Error> {
    let list = paging.open(
        "scim_configurations",
        caller.organization_id,
        "",
        &request.pagination,
    )?;

    let found = match store::scim::page_read_ahead(ahead, list.page()) {
        Some(found) => found,
        None => {
            let mut db = app.store.acquire().await?;
            store::scim::list(&mut db, caller.organization_id, list.page()).await?
        }
    };
    list.answer(found, |c| c.id.as_uuid(), wire)
}

/// `UpdateSCIMConfiguration`: what is absent stays.
pub async fn update(
    app: &App,
    caller: Writer<'_>,
    request: UpdateSCIMConfigurationRequest,
) -> Result<SCIMConfiguration, Error> {
    let id = parse_id("scim_configuration_id", &request.scim_configuration_id)?;
    let sso_configuration_id = request
        .sso_configuration_id
        .map(|id| parse_id("sso_configuration_id", &id))
        .transpose()?;
    let change = ScimChange {
        name: request.name,
        enabled: request.enabled,
        sso_configuration_id,
        allow_unverified_email_account_linking: request.allow_unverified_email_account_linking,
    };
    change.check()?;

    let mut work = begin(app, caller, app.clock.now()).await?;
    let before = store::scim::lock(&mut work, caller.organization_id, id).await?;
    let mut after = before.clone();
    change.apply(&mut after, app.clock.now());
    store::scim::update(&mut work, caller.organization_id, &after, None).await?;
    let change = Change::updated("UpdateSCIMConfiguration", &before, &after);
    work.commit(change).await?;
    Ok(wire(after))
}

/// `DeleteSCIMConfiguration`: its token is refused from then on. Members whom another configuration provisions, too, get the status
/// that is left; the others stay as they are. The groups go with their roles, so it is refused where nobody would administer any more.
pub async fn delete(
    app: &App,
    caller: Writer<'_>,
    request: DeleteSCIMConfigurationRequest,
) -> Result<(), Error> {
    let id = parse_id("scim_configuration_id", &request.scim_configuration_id)?;

    let (organization_id, now) = (caller.organization_id, app.clock.now());
    let mut work = begin(app, caller, now).await?;
    let before = store::scim::lock(&mut work, organization_id, id).await?;
    work.be_patient().await?;
    let administration = administration::guard(&mut work, organization_id).await?;
    let shared = store::scim::shared_members(&mut work, organization_id, id).await?;
    store::scim::delete(&mut work, organization_id, id).await?;
    let settled = store::members::settle(&mut work, organization_id, &shared, now).await?;
    administration.check(&mut work).await?;
    for change in settled.iter().map(Settled::change) {
        work.record(&change).await?;
    }
    work.commit(Change::deleted("DeleteSCIMConfiguration", &before))
        .await?;
    let ended = settled.iter().map(|settled| settled.ended_sessions).sum();
    app.metrics.sessions_ended(SessionEnd::Deprovisioned, ended);
    Ok(())
}

/// `RegenerateSCIMToken`: the old token is refused from then on; the new one is returned this once.
pub async fn regenerate_token(
    app: &App,
    caller: Writer<'_>,
    request: RegenerateSCIMTokenRequest,
) -> Result<(String, Timestamp), Error> {
    let id = parse_id("scim_configuration_id", &request.scim_configuration_id)?;
    // Hashing takes long: not while a row is locked.
    let (token, hash) = issue_token(app, caller.organization_id, id).await?;

    let now = app.clock.now();
    let mut work = begin(app, caller, now).await?;
    let before = store::scim::lock(&mut work, caller.organization_id, id).await?;
    let mut after = before.clone();
    after.start_token(
        lifetime(request.token_expires_in.as_option()).unwrap_or(before.token_lifetime),
        now,
    );
    ScimChange::default().apply(&mut after, now);
    store::scim::update(&mut work, caller.organization_id, &after, Some(&hash)).await?;
    tokens::keep_digest(&app.keys, &mut work, caller.organization_id, &token, &hash).await?;
    let change = Change::updated("RegenerateSCIMToken", &before, &after);
    work.commit(change).await?;
    let expires_at = timestamp(after.token_expires_at);
    Ok((token.expose().to_owned(), expires_at))
}

async fn issue_token(
    app: &App,
    organization_id: OrganizationId,
    id: ScimConfigurationId,
) -> Result<(Token, String), Error> {
    let token = app
        .random
        .token(TokenKind::Scim, Some(organization_id), id.as_uuid());
    let hash = app.tokens.hash(&token, app.random.bytes()).await?;
    Ok((token, hash))
}

fn wire(configuration: ScimConfiguration) -> SCIMConfiguration {
    let c = configuration;
    SCIMConfiguration {
        id: c.id.to_string(),
        organization_id: c.organization_id.to_string(),
        name: c.name,
        enabled: c.enabled,
        sso_configuration_id: c.sso_configuration_id.to_string(),
        created_at: timestamp(c.created_at).into(),
        updated_at: timestamp(c.updated_at).into(),
        token_expires_at: timestamp(c.token_expires_at).into(),
        allow_unverified_email_account_linking: c.allow_unverified_email_account_linking,
        ..Default::default()
    }
}
