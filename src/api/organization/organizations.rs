//! The organization itself over the API.

use crate::api::handler::{Owner, begin, parse_organization, timestamp};
use crate::app::App;
use crate::domain::audit::Change;
use crate::domain::identity::{Reader, Writer};
use crate::domain::ids::OperatorTokenId;
use crate::domain::organization::{Organization, check_name, invite_domains};
use crate::error::{Error, Violation};
use crate::provisioning::organizations;
use crate::provisioning::work::Work;
use crate::store;
use proto::gitpod::v1::{
    CreateOrganizationRequest, DeleteOrganizationRequest, GetOrganizationRequest, InviteDomains,
    Organization as WireOrganization, OrganizationTier, UpdateOrganizationRequest,
};

/// `CreateOrganization`, by an operator: its first administrator comes by SCIM, by signing in, or acts with the operator's token.
pub async fn create(
    app: &App,
    operator: OperatorTokenId,
    request: CreateOrganizationRequest,
) -> Result<WireOrganization, Error> {
    if request.join_organization || request.invite_accounts_with_matching_domain {
        return Err(Error::invalid(
            match request.join_organization {
                true => "join_organization",
                false => "invite_accounts_with_matching_domain",
            },
            Violation::PERSON,
            "must be left out: an operator's token stands for no person who could join or has an address",
        ));
    }
    check_name(&request.name)?;
    let now = app.clock.now();
    let mut work = Work::begin(app, app.new_id(), operator.into(), now).await?;
    let id = work.organization_id();
    let organization = organizations::create_as(&mut work, id, &request.name, now).await?;
    work.commit(Change::created(organizations::CREATED, &organization))
        .await?;
    Ok(wire(organization))
}

/// `GetOrganization`. Two round trips.
pub async fn get(
    app: &App,
    caller: Reader<'_>,
    request: GetOrganizationRequest,
) -> Result<WireOrganization, Error> {
    let id = caller.organization(&request.organization_id)?;
    let mut db = app.store.acquire().await?;
    Ok(wire(store::organizations::get(&mut db, id).await?))
}

/// `UpdateOrganization`: what is absent stays.
pub async fn update(
    app: &App,
    caller: Writer<'_>,
    request: UpdateOrganizationRequest,
) -> Result<WireOrganization, Error> {
    let id = caller.organization(&request.organization_id)?;
    if let Some(name) = &request.name {
        check_name(name)?;
    }
    let domains = request.invite_domains.as_option();
    let domains = domains
        .map(|given| invite_domains(&given.domains))
        .transpose()?;
    let now = app.clock.now();
    let mut work = begin(app, caller, now).await?;
    store::organizations::lock_one(&mut work, id).await?;
    let before = store::organizations::get(&mut work, id).await?;
    let after = Organization {
        name: request.name.unwrap_or_else(|| before.name.clone()),
        invite_domains: domains.unwrap_or_else(|| before.invite_domains.clone()),
        updated_at: now,
        ..before.clone()
    };
    store::organizations::update(&mut work, &after).await?;
    work.commit(Change::updated("UpdateOrganization", &before, &after))
        .await?;
    Ok(wire(after))
}

/// `DeleteOrganization`: nothing of it opens anything from then on; a job removes its rows.
pub async fn delete(
    app: &App,
    caller: Owner<Writer<'_>>,
    request: DeleteOrganizationRequest,
) -> Result<(), Error> {
    let now = app.clock.now();
    let mut work = match caller {
        Owner::Administrator(caller) => {
            caller.organization(&request.organization_id)?;
            begin(app, caller, now).await?
        }
        Owner::Operator(operator) => {
            let id = parse_organization("organization_id", &request.organization_id)?;
            Work::begin(app, id, operator.into(), now).await?
        }
    };
    let id = work.organization_id();
    work.be_patient().await?;
    store::organizations::lock_one(&mut work, id).await?;
    let before = store::organizations::get(&mut work, id).await?;
    store::organizations::mark_deleted(&mut work, id, now).await?;
    work.commit(Change::deleted("DeleteOrganization", &before))
        .await
}

fn wire(organization: Organization) -> WireOrganization {
    let domains = InviteDomains {
        domains: organization.invite_domains,
        ..Default::default()
    };
    WireOrganization {
        id: organization.id.to_string(),
        name: organization.name,
        created_at: timestamp(organization.created_at).into(),
        updated_at: timestamp(organization.updated_at).into(),
        invite_domains: Some(domains).filter(|d| !d.domains.is_empty()).into(),
        tier: OrganizationTier::ORGANIZATION_TIER_ENTERPRISE.into(),
        ..Default::default()
    }
}
