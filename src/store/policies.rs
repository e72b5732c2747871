//! The policies of organizations.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use sqlx::{query, query_scalar};

use super::{Connection, Json, one_row};
use crate::domain::ids::OrganizationId;
use crate::domain::organization_policies::OrganizationPolicies;
use crate::error::Error;

/// Reads the policies of an organization.
pub async fn get(
    db: &mut Connection,
    organization_id: OrganizationId,
) -> Result<OrganizationPolicies, Error> {
    let policies = query_scalar!(
        r#"select policies as "policies: Json<Map<String, Value>>" from organization_policies where organization_id = $1"#,
        organization_id.as_uuid(),
    )
    .fetch_optional(db)
    .await?;
    Ok(policies.map_or_else(OrganizationPolicies::default, |json| {
        OrganizationPolicies(json.0)
    }))
}

/// Reads the policies of an organization and keeps others from changing them until the transaction
/// ends.
pub async fn lock(
    db: &mut Connection,
    organization_id: OrganizationId,
    now: DateTime<Utc>,
) -> Result<OrganizationPolicies, Error> {
    // There may be no row to lock yet.
    let policies = query_scalar!(
        r#"insert into organization_policies as p (organization_id, policies, updated_at) values ($1, '{}', $2)
           on conflict (organization_id) do update set updated_at = p.updated_at
           returning policies as "policies: Json<Map<String, Value>>""#,
        organization_id.as_uuid(),
        now,
    )
    .fetch_one(db)
    .await?;
    Ok(OrganizationPolicies(policies.0))
}

/// Writes the changed policies of an organization, which are locked.
pub async fn update(
    db: &mut Connection,
    organization_id: OrganizationId,
    policies: &OrganizationPolicies,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let done = query!(
        "update organization_policies set policies = $2, updated_at = $3 where organization_id = $1",
        organization_id.as_uuid(),
        Json(&policies.0) as _,
        now,
    )
    .execute(db)
    .await?;
    one_row(&done)
}

/// Whether only those become members of the organization whom SCIM provisions.
pub async fn restricts_account_creation_to_scim(
    db: &mut Connection,
    organization_id: OrganizationId,
) -> Result<bool, Error> {
    let restricts = query_scalar!(
        "select restrict_account_creation_to_scim from organization_policies where organization_id = $1",
        organization_id.as_uuid(),
    )
    .fetch_optional(db)
    .await?;
    Ok(restricts.unwrap_or(false))
}
