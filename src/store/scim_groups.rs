//! Writing SCIM groups and their members. The members of a group are rows: one is added or removed
//! without a look at the others.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value, json};
use sqlx::{Postgres, QueryBuilder, query};
use uuid::Uuid;

use super::scim_events::Event;
use super::scim_resources::{Stored, Tenant};
use super::sql::Fragment;
use super::{Connection, OnConstraint};
use crate::error::Error;

/// A group to write.
#[derive(Debug, Serialize)]
pub struct GroupRow {
    /// The resource's identifier.
    pub id: Uuid,
    /// The name, as it was sent.
    pub display_name: String,
    /// The name, folded.
    pub display_name_key: String,
    /// The client's identifier.
    pub external_id: Option<String>,
    /// The canonical attributes, without members.
    pub resource: Map<String, Value>,
    /// The canonical attributes in the form in which equal values are equal.
    pub search: Value,
}

/// A member to add.
#[derive(Debug, Serialize)]
pub struct MemberRow {
    /// The membership's identifier.
    pub id: Uuid,
    /// The member's identifier; if it is a UUID, in lower case.
    pub value: String,
    /// The type that the client gave.
    pub kind: Option<String>,
    /// The name that the client gave.
    pub display: Option<String>,
    /// The same, folded.
    pub display_key: Option<String>,
}

fn external_id_in_use() -> Error {
    Error::AlreadyExists(
        "another group of this configuration has this externalId: update that group, or give another externalId".into(),
    )
}

/// Adds a group without members.
///
/// # Errors
///
/// [`Error::AlreadyExists`] when its `externalId` is not unique.
pub async fn insert(
    db: &mut Connection,
    tenant: Tenant,
    now: DateTime<Utc>,
    row: &GroupRow,
) -> Result<(), Error> {
    query!(
        "insert into scim_groups (organization_id, scim_configuration_id, id, display_name, display_name_key, external_id,
             resource, search, version, created_at, last_modified)
         values ($1, $2, $3, $4, $5, $6, $7, $8, 1, $9, $9)",
        tenant.organization_id.as_uuid(),
        tenant.scim_configuration_id.as_uuid(),
        row.id,
        row.display_name,
        row.display_name_key,
        row.external_id,
        json!(row.resource),
        row.search,
        now,
    )
    .execute(db)
    .await
    .on_constraint("scim_groups_external_id_key", external_id_in_use)?;
    Ok(())
}

/// Reads a group and keeps others from changing it until the transaction ends.
///
/// # Errors
///
/// As the database has them.
pub async fn lock(db: &mut Connection, tenant: Tenant, id: Uuid) -> Result<Option<Stored>, Error> {
    let stored = sqlx::query_as::<_, Stored>(
        "select id, resource, version, created_at, last_modified from scim_groups
         where organization_id = $1 and scim_configuration_id = $2 and id = $3 for update",
    );
    let stored = stored
        .bind(tenant.organization_id.as_uuid())
        .bind(tenant.scim_configuration_id.as_uuid())
        .bind(id)
        .fetch_optional(db)
        .await?;
    Ok(stored)
}

/// Writes a changed group; without a row, only that it was changed.
///
/// # Errors
///
/// [`Error::AlreadyExists`] when its `externalId` is not unique any more.
pub async fn update(
    db: &mut Connection,
    tenant: Tenant,
    now: DateTime<Utc>,
    id: Uuid,
    row: Option<&GroupRow>,
) -> Result<(), Error> {
    query!(
        "update scim_groups set version = version + 1, last_modified = greatest($4, last_modified),
             display_name = case when $5 then $6 else display_name end,
             display_name_key = case when $5 then $7 else display_name_key end,
             external_id = case when $5 then $8 else external_id end,
             resource = case when $5 then $9 else resource end,
             search = case when $5 then $10 else search end
         where organization_id = $1 and scim_configuration_id = $2 and id = $3",
        tenant.organization_id.as_uuid(),
        tenant.scim_configuration_id.as_uuid(),
        id,
        now,
        row.is_some(),
        row.map(|row| &*row.display_name),
        row.map(|row| &*row.display_name_key),
        row.and_then(|row| row.external_id.as_deref()),
        row.map(|row| json!(row.resource)),
        row.map(|row| &row.search),
    )
    .execute(db)
    .await
    .on_constraint("scim_groups_external_id_key", external_id_in_use)?;
    Ok(())
}

/// Deletes a group, with its members' rows, and takes it out of the groups that it is in. `false`
/// when there is none, or its version is not `version` if that is given.
///
/// # Errors
///
/// As the database has them.
pub async fn delete(
    db: &mut Connection,
    tenant: Tenant,
    now: DateTime<Utc>,
    id: Uuid,
    version: Option<i64>,
) -> Result<bool, Error> {
    let deleted = query!(
        r#"with gone as (
             delete from scim_groups where organization_id = $1 and scim_configuration_id = $2 and id = $3
                 and ($4::bigint is null or version = $4)
             returning id
         ), members as (
             delete from scim_group_members m using gone g
             where m.organization_id = $1 and m.scim_configuration_id = $2 and (m.group_id = g.id or m.member_value = g.id::text)
             returning m.group_id
         ), parents as (
             update scim_groups set version = version + 1, last_modified = greatest($5, last_modified)
             where organization_id = $1 and scim_configuration_id = $2 and id <> $3 and id in (select group_id from members)
         )
         select count(*) as "count!" from gone"#,
        tenant.organization_id.as_uuid(),
        tenant.scim_configuration_id.as_uuid(),
        id,
        version,
        now,
    )
    .fetch_one(db)
    .await?;
    Ok(deleted.count > 0)
}

/// Which memberships a statement changed.
#[derive(Debug, Default)]
pub struct Changed {
    /// How many.
    pub count: i64,
    /// Up to [`TOLD_MEMBERS`] of the members.
    pub some: Vec<String>,
}

/// The most members that an event tells of.
pub const TOLD_MEMBERS: usize = 100;

/// Adds members; those that are members already stay as they are. Tells which are new.
///
/// # Errors
///
/// As the database has them.
pub async fn add_members(
    db: &mut Connection,
    tenant: Tenant,
    group: Uuid,
    rows: &[MemberRow],
) -> Result<Changed, Error> {
    let changed = sqlx::query_as!(
        Changed,
        r#"with changed as (
             insert into scim_group_members (organization_id, scim_configuration_id, group_id, member_value, kind, display, display_key, id)
         select $1, $2, $3, value, kind, display, display_key, id
         from jsonb_to_recordset($4) as r(id uuid, value text, kind text, display text, display_key text)
         on conflict do nothing returning member_value
         )
         select count(*) as "count!", coalesce((array_agg(member_value))[1:100], '{}') as "some!" from changed"#,
        tenant.organization_id.as_uuid(),
        tenant.scim_configuration_id.as_uuid(),
        group,
        json!(rows),
    )
    .fetch_one(db)
    .await?;
    Ok(changed)
}

/// Removes the members with these values, or all but these. Tells which.
///
/// # Errors
///
/// As the database has them.
pub async fn remove_members(
    db: &mut Connection,
    tenant: Tenant,
    group: Uuid,
    values: &[String],
    all_but: bool,
) -> Result<Changed, Error> {
    let changed = sqlx::query_as!(
        Changed,
        r#"with changed as (
             delete from scim_group_members
         where organization_id = $1 and scim_configuration_id = $2 and group_id = $3
             and case when $5 then member_value <> all($4) else member_value = any($4) end
             returning member_value
         )
         select count(*) as "count!", coalesce((array_agg(member_value))[1:100], '{}') as "some!" from changed"#,
        tenant.organization_id.as_uuid(),
        tenant.scim_configuration_id.as_uuid(),
        group,
        values,
        all_but,
    )
    .fetch_one(db)
    .await?;
    Ok(changed)
}

/// Adds and removes members in one statement, which locks the group for no longer than it has to: what
/// identity providers send most. `None` when there is no such group. Tells of it in `event` if
/// anything changed.
///
/// # Errors
///
/// As the database has them.
pub async fn push_members(
    db: &mut Connection,
    tenant: Tenant,
    now: DateTime<Utc>,
    group: Uuid,
    added: &[MemberRow],
    removed: &[String],
    event: &Event,
) -> Result<Option<Stored>, Error> {
    let stored = sqlx::query_as::<_, Stored>(
        // What is removed is looked up one value at a time by index, whatever the planner expects of the group's size:
        // members are never updated, so that their place says which they are. The group's row, which others wait for,
        // comes last. An array in a subquery is no reason to plan anew each time.
        "with known as (
             select id, resource, version, created_at, last_modified from scim_groups
             where organization_id = $1 and scim_configuration_id = $2 and id = $3
         ), added as (
             insert into scim_group_members (organization_id, scim_configuration_id, group_id, member_value, kind, display, display_key, id)
             select $1, $2, $3, r.value, r.kind, r.display, r.display_key, r.id
             from known, jsonb_to_recordset($4) as r(id uuid, value text, kind text, display text, display_key text)
             on conflict do nothing
             returning member_value
         ), removed as (
             delete from scim_group_members
             where organization_id = $1 and scim_configuration_id = $2 and ctid = any(array(
                 select m.ctid from unnest((select $5::text[])) r(value), lateral (
                     select m.ctid from scim_group_members m where m.organization_id = $1 and m.scim_configuration_id = $2
                         and m.group_id = $3 and m.member_value = r.value offset 0) m))
             returning member_value
         ), changes as (
             select jsonb_agg(jsonb_build_object('attribute', 'members', c.side, c.some, 'count', c.count)) as list from (
                 select 'new' as side, to_jsonb((array_agg(member_value))[1:100]) as some, count(*) as count from added
                 union all
                 select 'old', to_jsonb((array_agg(member_value))[1:100]), count(*) from removed) c
             where c.count > 0
         ), told as (
             insert into scim_events (organization_id, scim_configuration_id, id, created_at, method, path, traits, outcome, status,
                 resource_type, resource_id, changes, reason)
             select $1, $2, e.id, e.created_at, e.method, e.path, e.traits, e.outcome, e.status, e.resource_type, e.resource_id,
                 c.list, e.reason
             from changes c, jsonb_to_recordset($7) as e(id uuid, created_at timestamptz, method text, path text,
                 traits text[], outcome text, status smallint, resource_type text, resource_id uuid, reason text)
             where c.list is not null
             returning 1
         ), touched as (
             update scim_groups set version = version + 1, last_modified = greatest($6, last_modified)
             where organization_id = $1 and scim_configuration_id = $2 and id = $3 and exists (select 1 from told)
             returning version, last_modified
         )
         select k.id, k.resource, coalesce(t.version, k.version) as version, k.created_at,
                coalesce(t.last_modified, k.last_modified) as last_modified
         from known k left join touched t on true",
    );
    let stored = stored
        .bind(tenant.organization_id.as_uuid())
        .bind(tenant.scim_configuration_id.as_uuid())
        .bind(group)
        .bind(json!(added))
        .bind(removed)
        .bind(now)
        .bind(json!([event]))
        .fetch_optional(db)
        .await?;
    Ok(stored)
}

/// Removes the members that `filter` holds for, which calls a member's row `m`. Tells which.
///
/// # Errors
///
/// As the database has them.
pub async fn remove_matching(
    db: &mut Connection,
    tenant: Tenant,
    group: Uuid,
    filter: &Fragment,
) -> Result<Changed, Error> {
    let mut query: QueryBuilder<Postgres> = QueryBuilder::new(
        "with changed as (delete from scim_group_members m where m.organization_id = ",
    );
    query.push_bind(tenant.organization_id.as_uuid());
    query
        .push(" and m.scim_configuration_id = ")
        .push_bind(tenant.scim_configuration_id.as_uuid());
    query
        .push(" and m.group_id = ")
        .push_bind(group)
        .push(" and ");
    filter.push_to(&mut query);
    query.push(
        " returning m.member_value) select count(*), coalesce((array_agg(member_value))[1:100], '{}') from changed",
    );
    let (count, some) = query.build_query_as().fetch_one(db).await?;
    Ok(Changed { count, some })
}

/// How many members a group has, counted up to `limit`.
///
/// # Errors
///
/// As the database has them.
pub async fn count_members(
    db: &mut Connection,
    tenant: Tenant,
    group: Uuid,
    limit: i64,
) -> Result<i64, Error> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from (
             select 1 from scim_group_members
             where organization_id = $1 and scim_configuration_id = $2 and group_id = $3 limit $4) m"#,
        tenant.organization_id.as_uuid(),
        tenant.scim_configuration_id.as_uuid(),
        group,
        limit,
    )
    .fetch_one(db)
    .await?;
    Ok(count)
}
