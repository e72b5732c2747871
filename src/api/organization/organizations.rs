//! The organization itself over the API.

use crate::api::handler::timestamp;
use crate::app::App;
use crate::domain::identity::Reader;
use crate::error::Error;
use crate::store;
use proto::gitpod::v1::{GetOrganizationRequest, Organization, OrganizationTier};

/// `GetOrganization`. Two round trips.
pub async fn get(
    app: &App,
    caller: Reader<'_>,
    request: GetOrganizationRequest,
) -> Result<Organization, Error> {
    let id = caller.organization(&request.organization_id)?;
    let mut db = app.store.acquire().await?;
    let organization = store::organizations::get(&mut db, id).await?;
    Ok(Organization {
        id: organization.id.to_string(),
        name: organization.name,
        created_at: timestamp(organization.created_at).into(),
        updated_at: timestamp(organization.updated_at).into(),
        tier: OrganizationTier::ORGANIZATION_TIER_ENTERPRISE.into(),
        ..Default::default()
    })
}
