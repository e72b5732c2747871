//! Provisioning events: what identity providers asked for and what came of it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::query;
use uuid::Uuid;

use super::scim_resources::Tenant;
use super::{Connection, Json};
use crate::domain::ids::ScimConfigurationId;
use crate::error::Error;

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// There is a new resource.
    Created,
    /// A resource was changed.
    Updated,
    /// A resource is gone.
    Deleted,
    /// The request was not carried out.
    Refused,
}

impl Outcome {
    /// The name in the log of the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
            Self::Refused => "refused",
        }
    }
}

/// A row of the log of a configuration.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// Its identifier.
    pub id: Uuid,
    /// When the request was made.
    pub created_at: DateTime<Utc>,
    /// The HTTP method.
    pub method: String,
    /// The path below the SCIM root, without query.
    pub path: String,
    /// What was recognised of the client's dialect.
    pub traits: Vec<&'static str>,
    /// What came of it.
    pub outcome: Outcome,
    /// The HTTP status.
    pub status: i16,
    /// `User` or `Group`.
    pub resource_type: Option<&'static str>,
    /// The resource that it was about.
    pub resource_id: Option<Uuid>,
    /// What changed: `[{"attribute", "old", "new"}]`.
    pub changes: Option<Value>,
    /// Why it was refused.
    pub reason: Option<String>,
}

/// Records events that no change goes with.
///
/// # Errors
///
/// As the database has them.
pub async fn insert(db: &mut Connection, tenant: Tenant, events: &[Event]) -> Result<(), Error> {
    query!(
        "insert into scim_events (organization_id, scim_configuration_id, id, created_at, method, path, traits, outcome, status,
             resource_type, resource_id, changes, reason)
         select $1, $2, e.* from jsonb_to_recordset($3) as e(id uuid, created_at timestamptz, method text, path text, traits text[],
             outcome text, status smallint, resource_type text, resource_id uuid, changes jsonb, reason text)",
        tenant.organization_id.as_uuid(),
        tenant.scim_configuration_id.as_uuid(),
        Json(events) as _,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// An event as operators see it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// Its identifier.
    pub id: Uuid,
    /// When the request was made.
    pub created_at: DateTime<Utc>,
    /// The HTTP method.
    pub method: String,
    /// The path below the SCIM root, without query.
    pub path: String,
    /// What was recognised of the client's dialect.
    pub traits: Vec<String>,
    /// What came of it.
    pub outcome: String,
    /// The HTTP status.
    pub status: i16,
    /// `User` or `Group`.
    pub resource_type: Option<String>,
    /// The resource that it was about.
    pub resource_id: Option<Uuid>,
    /// What changed.
    pub changes: Option<Value>,
    /// Why it was refused.
    pub reason: Option<String>,
}

/// The newest events of a configuration: a command of the operator, who may see every tenant's.
///
/// # Errors
///
/// As the database has them.
pub async fn list(
    db: &mut Connection,
    configuration: ScimConfigurationId,
    only_refused: bool,
    limit: i64,
) -> Result<Vec<Listed>, Error> {
    let events = sqlx::query_as!(
        Listed,
        "select e.id, e.created_at, e.method, e.path, e.traits, e.outcome, e.status, e.resource_type, e.resource_id, e.changes, e.reason
         from scim_configurations c
         join scim_events e on e.organization_id = c.organization_id and e.scim_configuration_id = c.id
         where c.id = $1 and (not $2 or e.outcome = 'refused')
         order by e.id desc limit $3",
        configuration.as_uuid(),
        only_refused,
        limit,
    )
    .fetch_all(db)
    .await?;
    Ok(events)
}

/// Deletes up to `limit` events from before `end`, of all tenants, and tells how many.
///
/// # Errors
///
/// As the database has them.
pub async fn delete_before(
    db: &mut Connection,
    end: DateTime<Utc>,
    limit: i64,
) -> Result<u64, Error> {
    let deleted = query!(
        "delete from scim_events where (organization_id, scim_configuration_id, id) in (
             select organization_id, scim_configuration_id, id from scim_events
             where created_at < $1 order by created_at limit $2 for update skip locked)",
        end,
        limit,
    )
    .execute(db)
    .await?;
    Ok(deleted.rows_affected())
}
