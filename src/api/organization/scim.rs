//! SCIM configurations over the API (contract, section 2).

use buffa_types::google::protobuf::Duration;
use chrono::TimeDelta;
use connectrpc::RequestContext;

use crate::api::handler::{audit, parse_id, timestamp};
use crate::api::paging::List;
use crate::api::proto::gitpod::v1::{
    CreateSCIMConfigurationRequest, CreateSCIMConfigurationResponse,
    DeleteSCIMConfigurationRequest, DeleteSCIMConfigurationResponse, GetSCIMConfigurationRequest,
    GetSCIMConfigurationResponse, ListSCIMConfigurationsRequest, ListSCIMConfigurationsResponse,
    RegenerateSCIMTokenRequest, RegenerateSCIMTokenResponse, SCIMConfiguration,
    UpdateSCIMConfigurationRequest, UpdateSCIMConfigurationResponse,
};
use crate::app::App;
use crate::domain::audit::{Change, SubjectType};
use crate::domain::identity::Caller;
use crate::domain::ids::{OrganizationId, ScimConfigurationId};
use crate::domain::scim::{DEFAULT_TOKEN_LIFETIME, ScimChange, ScimConfiguration};
use crate::domain::token::{Token, TokenKind};
use crate::error::Error;
use crate::provisioning::tokens::{self, Row};
use crate::store;
use crate::store::scim_resources::Tenant;

/// `CreateSCIMConfiguration`: the token is returned this once.
pub async fn create(
    app: &App,
    caller: &Caller,
    request: CreateSCIMConfigurationRequest,
) -> Result<CreateSCIMConfigurationResponse, Error> {
    let organization_id = parse_id("organization_id", &request.organization_id)?;
    let sso_configuration_id = parse_id("sso_configuration_id", &request.sso_configuration_id)?;
    let change = ScimChange {
        name: Some(request.name.unwrap_or_default()),
        allow_unverified_email_account_linking: request.allow_unverified_email_account_linking,
        ..ScimChange::default()
    };
    change.check()?;
    caller.may_write()?;
    caller.belongs_to(organization_id)?;

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

    let mut tx = app.store.begin().await?;
    store::scim::insert(&mut tx, organization_id, &configuration, &hash).await?;
    tokens::keep_digest(app, &mut tx, &token, row(&configuration), &hash).await?;
    audit(
        app,
        &mut tx,
        caller,
        record("CreateSCIMConfiguration", None, Some(&configuration)),
    )
    .await?;
    tx.commit().await?;
    Ok(CreateSCIMConfigurationResponse {
        token: token.expose().to_owned(),
        token_expires_at: timestamp(configuration.token_expires_at).into(),
        scim_configuration: wire(configuration).into(),
        ..Default::default()
    })
}

/// `GetSCIMConfiguration`. Two round trips.
pub async fn get(
    app: &App,
    caller: &Caller,
    request: GetSCIMConfigurationRequest,
) -> Result<GetSCIMConfigurationResponse, Error> {
    let id = parse_id("scim_configuration_id", &request.scim_configuration_id)?;
    caller.may_read()?;
    let mut db = app.store.acquire().await?;
    let configuration = store::scim::get(&mut db, caller.organization_id, id).await?;
    Ok(GetSCIMConfigurationResponse {
        scim_configuration: wire(configuration).into(),
        ..Default::default()
    })
}

/// `ListSCIMConfigurations`. Two round trips.
pub async fn list(
    app: &App,
    caller: &Caller,
    ctx: &RequestContext,
    request: ListSCIMConfigurationsRequest,
) -> Result<ListSCIMConfigurationsResponse, Error> {
    let list = List {
        name: "scim_configurations",
        organization_id: caller.organization_id,
        query: String::new(),
    };
    let page = list.page(app, ctx, request.pagination.as_option())?;
    caller.may_read()?;

    let mut db = app.store.acquire().await?;
    let items = store::scim::list(&mut db, caller.organization_id, page).await?;
    Ok(ListSCIMConfigurationsResponse {
        pagination: list
            .response(app, &items, |c| (String::new(), c.id.as_uuid()))?
            .into(),
        scim_configurations: items.items.into_iter().map(wire).collect(),
        ..Default::default()
    })
}

/// `UpdateSCIMConfiguration`: what is absent stays.
pub async fn update(
    app: &App,
    caller: &Caller,
    request: UpdateSCIMConfigurationRequest,
) -> Result<UpdateSCIMConfigurationResponse, Error> {
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
    caller.may_write()?;

    let mut tx = app.store.begin().await?;
    let before = store::scim::lock(&mut tx, caller.organization_id, id).await?;
    let mut after = before.clone();
    change.apply(&mut after, app.clock.now());
    store::scim::update(&mut tx, caller.organization_id, &after, None).await?;
    audit(
        app,
        &mut tx,
        caller,
        record("UpdateSCIMConfiguration", Some(&before), Some(&after)),
    )
    .await?;
    tx.commit().await?;
    Ok(UpdateSCIMConfigurationResponse {
        scim_configuration: wire(after).into(),
        ..Default::default()
    })
}

/// `DeleteSCIMConfiguration`: its token is refused from then on.
pub async fn delete(
    app: &App,
    caller: &Caller,
    request: DeleteSCIMConfigurationRequest,
) -> Result<DeleteSCIMConfigurationResponse, Error> {
    let id = parse_id("scim_configuration_id", &request.scim_configuration_id)?;
    caller.may_write()?;

    let mut tx = app.store.begin().await?;
    let before = store::scim::lock(&mut tx, caller.organization_id, id).await?;
    tx.be_patient().await?;
    store::scim::delete(&mut tx, caller.organization_id, id).await?;
    audit(
        app,
        &mut tx,
        caller,
        record("DeleteSCIMConfiguration", Some(&before), None),
    )
    .await?;
    tx.commit().await?;
    Ok(DeleteSCIMConfigurationResponse::default())
}

/// `RegenerateSCIMToken`: the old token is refused from then on; the new one is returned this once.
pub async fn regenerate_token(
    app: &App,
    caller: &Caller,
    request: RegenerateSCIMTokenRequest,
) -> Result<RegenerateSCIMTokenResponse, Error> {
    let id = parse_id("scim_configuration_id", &request.scim_configuration_id)?;
    caller.may_write()?;
    // Hashing takes long: not while a row is locked.
    let (token, hash) = issue_token(app, caller.organization_id, id).await?;

    let mut tx = app.store.begin().await?;
    let before = store::scim::lock(&mut tx, caller.organization_id, id).await?;
    let mut after = before.clone();
    let now = app.clock.now();
    after.start_token(
        lifetime(request.token_expires_in.as_option()).unwrap_or(before.token_lifetime),
        now,
    );
    ScimChange::default().apply(&mut after, now);
    store::scim::update(&mut tx, caller.organization_id, &after, Some(&hash)).await?;
    tokens::keep_digest(app, &mut tx, &token, row(&after), &hash).await?;
    audit(
        app,
        &mut tx,
        caller,
        record("RegenerateSCIMToken", Some(&before), Some(&after)),
    )
    .await?;
    tx.commit().await?;
    Ok(RegenerateSCIMTokenResponse {
        token: token.expose().to_owned(),
        token_expires_at: timestamp(after.token_expires_at).into(),
        ..Default::default()
    })
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

/// Where the token of a configuration is.
fn row(of: &ScimConfiguration) -> Row {
    Row::Scim(Tenant {
        organization_id: of.organization_id,
        scim_configuration_id: of.id,
    })
}

/// Whole seconds; the rules keep it between a day and two years.
fn lifetime(duration: Option<&Duration>) -> Option<TimeDelta> {
    duration.and_then(|duration| TimeDelta::try_seconds(duration.seconds))
}

fn record(
    action: &'static str,
    before: Option<&ScimConfiguration>,
    after: Option<&ScimConfiguration>,
) -> Change {
    Change {
        action,
        subject_type: SubjectType::ScimConfiguration,
        subject_id: before.or(after).map(|c| c.id.as_uuid()).unwrap_or_default(),
        before: before.map(ScimConfiguration::audited),
        after: after.map(ScimConfiguration::audited),
    }
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
