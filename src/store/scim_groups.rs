//! Writing SCIM groups and their members. The members of a group are rows: one is added or removed
//! without a look at the others.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value, json};
use sqlx::{query, query_as, query_scalar};
use uuid::Uuid;

use super::scim_events::Event;
use super::scim_resources::{self, Source, Stored, Table, Tenant, statement};
use super::sql::Fragment;
use super::{Connection, Json, OnConstraint};
use crate::domain::ids::ResourceId;
use crate::error::Error;

const GROUPS: Source = Source {
    table: Table::Groups,
    with_groups: false,
};

/// A group to write.
#[derive(Debug, Serialize)]
pub struct GroupRow {
    /// The resource's identifier.
    pub id: ResourceId,
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
        row.id.as_uuid(),
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

/// Reads a group and keeps others from changing it until the transaction ends. Its members can still be
/// [pushed](push_members).
pub async fn lock(
    db: &mut Connection,
    tenant: Tenant,
    id: ResourceId,
) -> Result<Option<Stored>, Error> {
    scim_resources::lock(db, tenant, GROUPS, id).await
}

/// The version of a group, which there is.
pub async fn version(db: &mut Connection, tenant: Tenant, id: ResourceId) -> Result<i64, Error> {
    let group = scim_resources::get(db, tenant, GROUPS, id).await?;
    Ok(group.map_or(0, |group| group.version))
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
    id: ResourceId,
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
        id.as_uuid(),
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

/// Deletes a group, with its members' rows and its roles, and takes it out of the groups that it is in. `false`
/// when there is none, or its version is not `version` if that is given.
pub async fn delete(
    db: &mut Connection,
    tenant: Tenant,
    now: DateTime<Utc>,
    id: ResourceId,
    version: Option<i64>,
) -> Result<bool, Error> {
    let deleted = query_scalar!(
        r#"select scim_delete_group($1, $2, $3, $4, $5) as "deleted!""#,
        tenant.organization_id.as_uuid(),
        tenant.scim_configuration_id.as_uuid(),
        id.as_uuid(),
        version,
        now,
    )
    .fetch_one(&mut *db)
    .await?;
    if deleted {
        super::roles::delete_of_group(db, tenant.organization_id, id.as_uuid().into()).await?;
    }
    Ok(deleted)
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
pub async fn add_members(
    db: &mut Connection,
    tenant: Tenant,
    group: ResourceId,
    rows: &[MemberRow],
) -> Result<Changed, Error> {
    let changed = sqlx::query_as!(
        Changed,
        r#"select count as "count!", told as "some!" from scim_add_members($1, $2, $3, $4)"#,
        tenant.organization_id.as_uuid(),
        tenant.scim_configuration_id.as_uuid(),
        group.as_uuid(),
        json!(rows),
    )
    .fetch_one(db)
    .await?;
    Ok(changed)
}

/// Removes the members with these values, or all but these. Tells which.
pub async fn remove_members(
    db: &mut Connection,
    tenant: Tenant,
    group: ResourceId,
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
        group.as_uuid(),
        values,
        all_but,
    )
    .fetch_one(db)
    .await?;
    Ok(changed)
}

/// Members to add to a group, or to take out of it.
#[derive(Debug)]
pub enum Push {
    /// Those that are members already stay as they are.
    Add(Vec<MemberRow>),
    /// The members with these values, if there are any.
    Remove(Vec<String>),
}

/// Adds or removes members in one statement, which waits for nobody else who does so: what identity providers
/// send most. `None` when there is no such group. Tells of it in `event` if anything changed.
pub async fn push_members(
    db: &mut Connection,
    tenant: Tenant,
    now: DateTime<Utc>,
    group: ResourceId,
    push: &Push,
    event: &Event,
) -> Result<Option<Stored>, Error> {
    let (rows, is_addition) = match push {
        Push::Add(rows) => (json!(rows), true),
        Push::Remove(values) => (json!(values), false),
    };
    let stored = query_as!(
        Stored,
        r#"select id as "id!: _", resource as "resource!: _", version as "version!", created_at as "created_at!",
               last_modified as "last_modified!", null::text as sort_key, null::jsonb as "groups: _"
           from scim_push_members($1, $2, $3, $4, $5, $6, $7)"#,
        tenant.organization_id.as_uuid(),
        tenant.scim_configuration_id.as_uuid(),
        group.as_uuid(),
        rows,
        is_addition,
        now,
        Json(event) as _,
    )
    .fetch_optional(db)
    .await?;
    Ok(stored)
}

/// Removes the members that `filter` holds for, which calls a member's row `m`. Tells which.
pub async fn remove_matching(
    db: &mut Connection,
    tenant: Tenant,
    group: ResourceId,
    filter: &Fragment,
) -> Result<Changed, Error> {
    let mut query = statement(
        tenant,
        "with changed as (delete from scim_group_members m
             where m.organization_id = $1 and m.scim_configuration_id = $2 and m.group_id = ",
    );
    query.push_bind(group).push(" and ");
    filter.push_to(&mut query);
    query.push(
        " returning m.member_value) select count(*), coalesce((array_agg(member_value))[1:100], '{}') from changed",
    );
    let (count, some) = query.build_query_as().fetch_one(db).await?;
    Ok(Changed { count, some })
}

/// How many members a group has, counted up to `limit`.
pub async fn count_members(
    db: &mut Connection,
    tenant: Tenant,
    group: ResourceId,
    limit: i64,
) -> Result<i64, Error> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from (
             select 1 from scim_group_members
             where organization_id = $1 and scim_configuration_id = $2 and group_id = $3 limit $4) m"#,
        tenant.organization_id.as_uuid(),
        tenant.scim_configuration_id.as_uuid(),
        group.as_uuid(),
        limit,
    )
    .fetch_one(db)
    .await?;
    Ok(count)
}
