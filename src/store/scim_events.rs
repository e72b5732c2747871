//! Provisioning events: what identity providers asked for and what came of it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::{FromRow, QueryBuilder, query, query_scalar};
use uuid::Uuid;

use super::scim_resources::Tenant;
use super::{Connection, Items, Page};
use crate::domain::ids::{MemberId, OrganizationId, ResourceId, ScimConfigurationId};
use crate::domain::names::named;
use crate::error::Error;

named! {
    /// What came of a request.
    pub enum Outcome {
        /// There is a new resource.
        Created = "created",
        /// A resource was changed.
        Updated = "updated",
        /// A resource is gone.
        Deleted = "deleted",
        /// The request was not carried out.
        Refused = "refused",
    }
}

/// What is written to the log of a configuration.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// Its identifier, and that of the audit log's entry of the same change.
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
    pub resource_id: Option<ResourceId>,
    /// What the audit log calls the change, if it is one.
    pub action: &'static str,
    /// What changed: `[{"attribute", "old", "new"}]`.
    pub changes: Option<Value>,
    /// Why it was refused, or what else is worth knowing, such as who has the same address.
    pub reason: Option<String>,
}

/// Records an event, and with a subject the change of it.
pub async fn record(
    db: &mut Connection,
    tenant: Tenant,
    event: &Event,
    subject: Option<ResourceId>,
) -> Result<(), Error> {
    query_scalar!(
        r#"select scim_tell($1, $2, $3) as "told: _""#,
        tenant.organization_id.as_uuid(),
        tenant.scim_configuration_id.as_uuid(),
        json!([{ "event": event, "subject": subject }]),
    )
    .fetch_one(db)
    .await?;
    Ok(())
}

/// An event as administrators see it.
#[derive(Debug, FromRow)]
pub struct Listed {
    /// Whose log it is in.
    pub scim_configuration_id: Uuid,
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
    pub outcome: Outcome,
    /// The HTTP status.
    pub status: i16,
    /// `User` or `Group`.
    pub resource_type: Option<String>,
    /// The resource that it was about.
    pub resource_id: Option<Uuid>,
    /// What changed.
    pub changes: Option<Value>,
    /// Why it was refused, or what else is worth knowing.
    pub reason: Option<String>,
}

/// Which events a list has. What is `None` says nothing.
#[derive(Debug, Default)]
pub struct EventFilter {
    /// The configuration.
    pub scim_configuration_id: Option<ScimConfigurationId>,
    /// The resource.
    pub resource_id: Option<Uuid>,
    /// The member whom the users are that they are about.
    pub user_id: Option<MemberId>,
    /// Only those that were refused.
    pub only_refused: bool,
    /// From this moment on, to the millisecond.
    pub since: Option<DateTime<Utc>>,
    /// Before this moment, to the millisecond.
    pub until: Option<DateTime<Utc>>,
}

/// Reads the events that a filter lets through, the newest first, from before the event `before`. An
/// organization's log is those of its configurations, of each of which no more is read than a page.
pub async fn list(
    db: &mut Connection,
    organization_id: OrganizationId,
    filter: &EventFilter,
    before: Option<Uuid>,
    size: u32,
) -> Result<Items<Listed>, Error> {
    let page = Page {
        after: Uuid::nil(),
        size,
    };
    let mut query = QueryBuilder::new(
        "select e.* from scim_configurations c
         cross join lateral (
             select scim_configuration_id, id, created_at, method, path, traits, outcome, status, resource_type, resource_id, changes, reason
             from scim_events where organization_id = ",
    );
    query
        .push_bind(organization_id.as_uuid())
        .push(" and scim_configuration_id = c.id");
    if let Some(resource) = filter.resource_id {
        query.push(" and resource_id = ").push_bind(resource);
    }
    if let Some(member) = filter.user_id {
        query
            .push(" and resource_id in (select s.id from scim_users s where s.organization_id = ")
            .push_bind(organization_id.as_uuid())
            .push(" and s.user_id = ")
            .push_bind(member.as_uuid())
            .push(")");
    }
    if filter.only_refused {
        // As the partial index has it.
        query.push(" and outcome = 'refused'");
    }
    for (condition, bound) in [
        (" and id < ", before),
        (" and id >= ", filter.since.map(first_id)),
        (" and id < ", filter.until.map(first_id)),
    ] {
        if let Some(bound) = bound {
            query.push(condition).push_bind(bound);
        }
    }
    query
        .push(" order by id desc limit ")
        .push_bind(page.limit());
    query
        .push(") e where c.organization_id = ")
        .push_bind(organization_id.as_uuid());
    if let Some(configuration) = filter.scim_configuration_id {
        query
            .push(" and c.id = ")
            .push_bind(configuration.as_uuid());
    }
    query
        .push(" order by e.id desc limit ")
        .push_bind(page.limit());
    let rows = query.build_query_as().fetch_all(db).await?;
    Ok(Items::of(rows, page))
}

/// What every identifier of this millisecond or later is not less than (RFC 9562, section 5.7).
pub(super) fn first_id(at: DateTime<Utc>) -> Uuid {
    let millis = u64::try_from(at.timestamp_millis()).unwrap_or_default();
    Uuid::from_u128(u128::from(millis) << 80)
}

/// Deletes up to `limit` events from before `end`, of all tenants, and tells how many.
pub async fn delete_before(
    db: &mut Connection,
    end: DateTime<Utc>,
    limit: i64,
) -> Result<u64, Error> {
    let deleted = query!(
        "delete from scim_events where (organization_id, scim_configuration_id, id) in (
             select organization_id, scim_configuration_id, id from scim_events where created_at < $1 order by created_at limit $2)",
        end,
        limit,
    )
    .execute(db)
    .await?;
    Ok(deleted.rows_affected())
}
