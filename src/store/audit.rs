//! The audit log.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::{FromRow, query_scalar};
use uuid::{Builder, Uuid};

use super::members::statement;
use super::{Connection, Items, Page};
use crate::domain::audit;
use crate::domain::identity::{Principal, Subject};
use crate::domain::ids::{AuditEntryId, OrganizationId};
use crate::error::Error;

/// How far the moment in an entry's identifier may be from the entry's own: both come from clocks of the same servers.
const SLACK: TimeDelta = TimeDelta::minutes(5);

/// Records a change, in the transaction that makes it.
pub async fn insert(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: AuditEntryId,
    now: DateTime<Utc>,
    actor: Subject,
    change: &audit::Change,
) -> Result<(), Error> {
    sqlx::query!(
        "insert into audit_entries
             (organization_id, id, created_at, actor_id, actor_principal, action, subject_type, subject_id, before, after)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        organization_id.as_uuid(),
        id.as_uuid(),
        now,
        actor.id.as_uuid(),
        actor.principal.as_str(),
        change.action,
        change.subject_type.as_str(),
        change.subject_id,
        change.before,
        change.after,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// An entry, as it is read.
#[derive(Debug, FromRow, Serialize)]
pub struct Entry {
    /// Its identifier.
    pub id: Uuid,
    /// When.
    pub created_at: DateTime<Utc>,
    /// Who acted.
    pub actor_id: Uuid,
    /// What kind of subject that is.
    pub actor_principal: Principal,
    /// What was done: the name of a method.
    pub action: String,
    /// The kind of thing that it was done to: the name of a `gitpod.v1.ResourceType` without prefix, in lower case.
    pub subject_type: String,
    /// What it was done to.
    pub subject_id: Uuid,
    /// The thing before; `None` when it is new.
    pub before: Option<Value>,
    /// The thing after; `None` when it is gone.
    pub after: Option<Value>,
    /// What the operator's token is called that acted, or who the set-up link is for.
    pub actor_name: Option<String>,
}

const COLUMNS: &str = "e.id, e.created_at, e.actor_id, e.actor_principal, e.action, e.subject_type, e.subject_id, e.before, e.after";

/// Which entries a list has. Empty lists and `None` say nothing.
#[derive(Debug, Default)]
pub struct Filter {
    /// Who acted.
    pub actors: Vec<Uuid>,
    /// The kinds of those who acted.
    pub principals: Vec<Principal>,
    /// What it was done to.
    pub subjects: Vec<Uuid>,
    /// The kinds of things that it was done to.
    pub subject_types: Vec<String>,
    /// From this moment on.
    pub from: Option<DateTime<Utc>>,
    /// Before this moment.
    pub to: Option<DateTime<Utc>>,
}

/// Reads some entries, in the order in which they were made or the other way round, those behind this one.
pub async fn list(
    db: &mut Connection,
    organization_id: OrganizationId,
    filter: &Filter,
    newest_first: bool,
    behind: Option<Uuid>,
    size: u32,
) -> Result<Items<Entry>, Error> {
    let page = Page::first(size);
    let mut query = statement(organization_id, "select ");
    query
        .push(COLUMNS)
        .push(", coalesce((select t.name from operator_tokens t where t.id = e.actor_id),")
        .push(" (select l.description from setup_links l where l.organization_id = $1 and l.id = e.actor_id)) as actor_name")
        .push(" from audit_entries e where e.organization_id = $1");
    for (column, ids) in [
        ("e.actor_id", &filter.actors),
        ("e.subject_id", &filter.subjects),
    ] {
        if !ids.is_empty() {
            query
                .push(format!(" and {column} = any("))
                .push_bind(ids.clone())
                .push(")");
        }
    }
    let principals = filter
        .principals
        .iter()
        .map(|kind| kind.as_str().to_owned());
    for (column, names) in [
        ("e.actor_principal", principals.collect()),
        ("e.subject_type", filter.subject_types.clone()),
    ] {
        let names: Vec<String> = names;
        if !names.is_empty() {
            query
                .push(format!(" and {column} = any("))
                .push_bind(names)
                .push(")");
        }
    }
    // The identifiers are in the order of time, and there is an index of them.
    if let Some(from) = filter.from {
        query.push(" and e.created_at >= ").push_bind(from);
        query
            .push(" and e.id >= ")
            .push_bind(first_id(from - SLACK));
    }
    if let Some(to) = filter.to {
        query.push(" and e.created_at < ").push_bind(to);
        query.push(" and e.id < ").push_bind(first_id(to + SLACK));
    }
    let (compare, direction) = if newest_first {
        ("<", " desc")
    } else {
        (">", "")
    };
    if let Some(id) = behind {
        query.push(format!(" and e.id {compare} ")).push_bind(id);
    }
    query
        .push(format!(" order by e.id{direction} limit "))
        .push_bind(page.limit());
    let rows = query.build_query_as().fetch_all(db).await?;
    Ok(Items::of(rows, page))
}

/// What an entry tells of a change, without what changed.
#[derive(Debug)]
pub struct Change {
    /// The entry.
    pub id: Uuid,
    /// What was done.
    pub action: String,
    /// The kind of thing that it was done to.
    pub subject_type: String,
    /// What it was done to.
    pub subject_id: Uuid,
}

/// Reads some entries behind one, up to another, in the order of their identifiers.
pub async fn changes(
    db: &mut Connection,
    organization_id: OrganizationId,
    behind: Uuid,
    up_to: Option<Uuid>,
    size: u32,
) -> Result<Items<Change>, Error> {
    let page = Page::first(size);
    let rows = sqlx::query_as!(
        Change,
        "select id, action, subject_type, subject_id from audit_entries
         where organization_id = $1 and id > $2 and id <= $3 order by id limit $4",
        organization_id.as_uuid(),
        behind,
        up_to.unwrap_or(Uuid::max()),
        page.limit(),
    )
    .fetch_all(db)
    .await?;
    Ok(Items::of(rows, page))
}

/// The least identifier of the moment that is so long before that of an identifier.
pub fn before(id: Uuid, time: TimeDelta) -> Uuid {
    let millis = u64::try_from(id.as_u128() >> 80).unwrap_or_default();
    let time = u64::try_from(time.num_milliseconds()).unwrap_or_default();
    Builder::from_u128(u128::from(millis.saturating_sub(time)) << 80).into_uuid()
}

/// The least identifier of a moment (RFC 9562, section 5.7).
pub fn first_id(time: DateTime<Utc>) -> Uuid {
    let millis = u64::try_from(time.timestamp_millis()).unwrap_or_default();
    Builder::from_u128(u128::from(millis) << 80).into_uuid()
}

/// Reads an entry.
///
/// # Errors
///
/// [`Error::NotFound`] when the organization has none.
pub async fn get(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: AuditEntryId,
) -> Result<Entry, Error> {
    sqlx::query_as!(
        Entry,
        r#"select e.id, e.created_at, e.actor_id, e.actor_principal as "actor_principal: _", e.action, e.subject_type, e.subject_id,
               e.before, e.after, coalesce((select t.name from operator_tokens t where t.id = e.actor_id),
                   (select l.description from setup_links l where l.organization_id = $1 and l.id = e.actor_id)) as actor_name
           from audit_entries e where e.organization_id = $1 and e.id = $2"#,
        organization_id.as_uuid(),
        id.as_uuid(),
    )
    .fetch_optional(db)
    .await?
    .ok_or(Error::NotFound("audit log entry in this organization"))
}

/// The organization that comes after another in the audit log, of those that there are and that there were: for the job.
pub async fn next_organization(
    db: &mut Connection,
    after: Uuid,
) -> Result<Option<OrganizationId>, Error> {
    let next = query_scalar!(
        "select organization_id from audit_entries where organization_id > $1 order by organization_id limit 1",
        after
    )
    .fetch_optional(db)
    .await?;
    Ok(next.map(Into::into))
}

/// Deletes up to `limit` entries of an organization from before `end`, the oldest first.
pub async fn delete_before(
    db: &mut Connection,
    organization_id: OrganizationId,
    end: DateTime<Utc>,
    limit: i64,
) -> Result<u64, Error> {
    let done = sqlx::query!(
        "delete from audit_entries where organization_id = $1 and id in (
             select e.id from audit_entries e where e.organization_id = $1 and e.id < $2 and e.created_at < $3
             order by e.id limit $4)",
        organization_id.as_uuid(),
        first_id(end + SLACK),
        end,
        limit,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}
