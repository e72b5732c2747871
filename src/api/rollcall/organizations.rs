//! `OrganizationService` of our own: the organizations of the installation, for operators.

use std::collections::HashMap;

use chrono::TimeDelta;
use uuid::Uuid;

use super::number;
use crate::api::handler::timestamp;
use crate::api::paging::{Answer, Paging};
use crate::app::App;
use crate::domain::ids::OrganizationId;
use crate::error::Error;
use crate::store;
use crate::store::Connection;
use crate::store::organizations::Listed;
use proto::rollcall::v1::{ListOrganizationsRequest, Organization, OrganizationHealth};

/// What happened in this time is counted, and up to how many of each: the cost must not grow with an organization.
const COUNTED: TimeDelta = TimeDelta::hours(24);
const MAX_COUNT: i64 = 100;

/// `ListOrganizations`. Two round trips, and with the health one more for each organization of the page.
pub async fn list(
    app: &App,
    paging: Paging<'_>,
    request: ListOrganizationsRequest,
) -> Result<Answer<Organization>, Error> {
    let wanted = request.filter.as_option().cloned().unwrap_or_default();
    let list = paging.open(
        "organizations",
        Uuid::nil().into(),
        format_args!("{wanted:?}"),
        &request.pagination,
    )?;
    let mut db = app.store.acquire().await?;
    let (name, deleted) = (&wanted.name, wanted.include_deleted);
    let found = store::organizations::list_page(&mut db, name, deleted, list.page()).await?;
    let mut health = HashMap::new();
    let living = found.items.iter().filter(|one| one.deleted_at.is_none());
    for organization in living.filter(|_| request.include_health) {
        health.insert(
            organization.id,
            health_of(app, &mut db, organization.id).await?,
        );
    }
    let with_health = |organization: Listed| Organization {
        health: health.remove(&organization.id).into(),
        ..wire(organization)
    };
    list.answer(found, |organization| organization.id.as_uuid(), with_health)
}

async fn health_of(
    app: &App,
    db: &mut Connection,
    id: OrganizationId,
) -> Result<OrganizationHealth, Error> {
    let now = app.clock.now();
    let found = store::status::health(db, id, now, now - COUNTED, MAX_COUNT + 1).await?;
    let counts = [found.refused_events, found.signed_in, found.refused];
    let [refused_provisioning_requests, signed_in, refused_sign_ins] =
        counts.map(|count| number(count.min(MAX_COUNT)));
    Ok(OrganizationHealth {
        active_sso_configurations: number(found.active_sso),
        broken_sso_configurations: number(found.broken_sso),
        enabled_scim_configurations: number(found.enabled_scim),
        expired_scim_tokens: number(found.expired_scim),
        last_provisioned_at: found.last_event_at.map(timestamp).into(),
        refused_provisioning_requests,
        signed_in,
        refused_sign_ins,
        at_least: counts.iter().any(|count| *count > MAX_COUNT),
        ..Default::default()
    })
}

fn wire(organization: Listed) -> Organization {
    Organization {
        id: organization.id.to_string(),
        name: organization.name,
        created_at: timestamp(organization.created_at).into(),
        updated_at: timestamp(organization.updated_at).into(),
        deleted_at: organization.deleted_at.map(timestamp).into(),
        ..Default::default()
    }
}
