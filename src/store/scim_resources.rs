//! Reading SCIM users and groups: by id, and as lists with a filter and an order.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Map, Value};
use sqlx::types::Json;
use sqlx::{FromRow, Postgres, QueryBuilder, query};
use uuid::Uuid;

use super::Connection;
use super::sql::{Bound, Fragment};
use crate::domain::ids::{OrganizationId, ScimConfigurationId};
use crate::error::Error;

/// Whose resources: nothing of another configuration is visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// The organization.
    pub organization_id: OrganizationId,
    /// The configuration.
    pub scim_configuration_id: ScimConfigurationId,
}

/// Where resources of a type are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Users.
    Users,
    /// Groups.
    Groups,
}

impl Table {
    const fn name(self) -> &'static str {
        match self {
            Self::Users => "scim_users",
            Self::Groups => "scim_groups",
        }
    }
}

/// Which resources to read, and how much of them.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// Where they are.
    pub table: Table,
    /// Whether to read the groups of users too.
    pub with_groups: bool,
}

/// A group that a user is itself a member of.
#[derive(Clone, Debug, Deserialize)]
pub struct DirectGroup {
    /// The group.
    pub id: Uuid,
    /// The group's name.
    pub display: String,
    /// Whether the group is a member of another, so that the user is in more groups than these.
    pub is_nested: bool,
}

/// A user or a group as it is stored: without what is computed when it is read.
#[derive(Clone, Debug, FromRow)]
pub struct Stored {
    /// The resource's identifier.
    pub id: Uuid,
    /// The canonical attributes.
    pub resource: Json<Map<String, Value>>,
    /// How often it was changed, and once more.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub last_modified: DateTime<Utc>,
    /// What the list was sorted by; only in lists.
    #[sqlx(default)]
    pub sort_key: Option<String>,
    /// The groups that a user is itself a member of, when they were asked for and there are any.
    #[sqlx(default)]
    pub groups: Option<Json<Vec<DirectGroup>>>,
}

/// The order of a list.
#[derive(Clone, Debug)]
pub struct Order {
    /// A text that is compared byte by byte; resources for which it is null come last.
    pub key: Fragment,
    /// The other way round.
    pub descending: bool,
}

/// The part of a list to read.
#[derive(Clone, Debug)]
pub enum Window {
    /// After so many resources.
    Skip(i64),
    /// After the resource with this sort key and id.
    After(Option<(Option<String>, Uuid)>),
}

/// Reads a resource.
///
/// # Errors
///
/// As the database has them.
pub async fn get(
    db: &mut Connection,
    tenant: Tenant,
    source: Source,
    id: Uuid,
) -> Result<Option<Stored>, Error> {
    let mut query = select(source, None, tenant);
    query.push(" and t.id = ").push_bind(id);
    Ok(query.build_query_as().fetch_optional(db).await?)
}

/// Reads a part of a list.
///
/// # Errors
///
/// As the database has them.
pub async fn list(
    db: &mut Connection,
    tenant: Tenant,
    source: Source,
    filter: Option<&Fragment>,
    order: Option<&Order>,
    window: &Window,
    limit: i64,
) -> Result<Vec<Stored>, Error> {
    let mut query = select(source, order, tenant);
    push_filter(&mut query, filter);
    if let Window::After(Some((key, id))) = window {
        query.push(" and ");
        after(order, key.as_deref(), *id).push_to(&mut query);
    }
    query.push(" order by ");
    if let Some(order) = order {
        order.key.push_to(&mut query);
        query.push(if order.descending {
            " collate \"C\" desc, "
        } else {
            " collate \"C\", "
        });
    }
    query.push("t.id limit ").push_bind(limit);
    if let Window::Skip(skip) = window {
        query.push(" offset ").push_bind(*skip);
    }
    Ok(query.build_query_as().fetch_all(db).await?)
}

/// Brings the planner's statistics up to date where much has changed since: after a first sync, say,
/// when it still believes that a tenant has a handful of rows. Tells how many tables.
///
/// # Errors
///
/// As the database has them.
pub async fn analyze(db: &mut Connection) -> Result<usize, Error> {
    let stale = query!(
        r#"select relname::text as "name!" from pg_stat_user_tables
           where relname in ('users', 'scim_users', 'scim_user_emails', 'scim_former_users', 'scim_groups', 'scim_group_members')
               and n_mod_since_analyze > 500 + n_live_tup / 5"#
    )
    .fetch_all(&mut *db)
    .await?;
    for table in &stale {
        // The names are those above.
        sqlx::query(sqlx::AssertSqlSafe(format!("analyze {}", table.name)))
            .execute(&mut *db)
            .await?;
    }
    Ok(stale.len())
}

/// Counts what a list has in all. All users of a tenant are counted already.
///
/// # Errors
///
/// As the database has them.
pub async fn count(
    db: &mut Connection,
    tenant: Tenant,
    table: Table,
    filter: Option<&Fragment>,
) -> Result<i64, Error> {
    if let (Table::Users, None) = (table, filter) {
        return count_users(db, tenant).await;
    }
    let mut query = QueryBuilder::new("select count(*) from ");
    push_tenant(&mut query, table, tenant);
    push_filter(&mut query, filter);
    Ok(query.build_query_scalar().fetch_one(db).await?)
}

async fn count_users(db: &mut Connection, tenant: Tenant) -> Result<i64, Error> {
    let count = sqlx::query_scalar!(
        r#"select coalesce(sum(count), 0)::bigint as "count!" from scim_user_counts
           where organization_id = $1 and scim_configuration_id = $2"#,
        tenant.organization_id.as_uuid(),
        tenant.scim_configuration_id.as_uuid(),
    )
    .fetch_one(db)
    .await?;
    Ok(count)
}

/// Resources that are found by the statement that finds out whose they are.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// Which.
    pub source: Source,
    /// The condition on a row `t`.
    pub condition: Fragment,
    /// The most resources.
    pub limit: i64,
}

impl Lookup {
    /// The resource with this id.
    pub fn by_id(source: Source, id: Uuid) -> Self {
        Self {
            source,
            condition: Fragment::new("t.id = ").bind(Bound::Id(id)),
            limit: 1,
        }
    }

    /// Reads them from the tenant of the row `c`.
    pub(super) fn push_to(&self, query: &mut QueryBuilder<Postgres>) {
        query
            .push("(select ")
            .push(columns(self.source))
            .push(" from ")
            .push(self.source.table.name())
            .push(" t where t.organization_id = c.organization_id and t.scim_configuration_id = c.id and ");
        self.condition.push_to(query);
        query
            .push(" order by t.id limit ")
            .push_bind(self.limit)
            .push(")");
    }
}

/// The columns of [`Stored`] from a row `t`. A user always says whether it is active.
fn columns(source: Source) -> &'static str {
    match (source.table, source.with_groups) {
        // The subqueries look up one member or group at a time by index, whatever the planner expects.
        (Table::Users, true) => "t.id, jsonb_build_object('active', t.active) || t.resource as resource, t.version, t.created_at, t.last_modified, (
             select jsonb_agg(jsonb_build_object('id', m.group_id, 'display', g.display_name, 'is_nested', exists (
                 select 1 from scim_group_members p where p.organization_id = t.organization_id
                     and p.scim_configuration_id = t.scim_configuration_id and p.member_value = m.group_id::text)) order by m.group_id)
             from scim_group_members m, lateral (
                 select g.display_name from scim_groups g where g.organization_id = t.organization_id
                     and g.scim_configuration_id = t.scim_configuration_id and g.id = m.group_id offset 0) g
             where m.organization_id = t.organization_id and m.scim_configuration_id = t.scim_configuration_id
                 and m.member_value = t.id::text) as groups",
        (Table::Users, false) => "t.id, jsonb_build_object('active', t.active) || t.resource as resource, t.version, t.created_at, t.last_modified",
        (Table::Groups, _) => "t.id, t.resource, t.version, t.created_at, t.last_modified",
    }
}

fn select(source: Source, order: Option<&Order>, tenant: Tenant) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new("select ");
    query.push(columns(source));
    if let Some(order) = order {
        query.push(", ");
        order.key.push_to(&mut query);
        query.push(" as sort_key");
    }
    query.push(" from ");
    push_tenant(&mut query, source.table, tenant);
    query
}

fn push_tenant(query: &mut QueryBuilder<Postgres>, table: Table, tenant: Tenant) {
    query
        .push(table.name())
        .push(" t where t.organization_id = ")
        .push_bind(tenant.organization_id.as_uuid());
    query
        .push(" and t.scim_configuration_id = ")
        .push_bind(tenant.scim_configuration_id.as_uuid());
}

fn push_filter(query: &mut QueryBuilder<Postgres>, filter: Option<&Fragment>) {
    if let Some(filter) = filter {
        query.push(" and ");
        filter.push_to(query);
    }
}

/// What comes after the resource with this sort key and id.
fn after(order: Option<&Order>, key: Option<&str>, id: Uuid) -> Fragment {
    let later_id = || Fragment::new("t.id > ").bind(Bound::Id(id));
    let Some(Order {
        key: column,
        descending,
    }) = order
    else {
        return later_id();
    };
    let column = || column.clone().text(" collate \"C\"");
    let is_null = || Fragment::new("(").then(column()).text(") is null");
    let parts = match (key, descending) {
        (None, false) => vec![is_null().text(" and ").then(later_id())],
        (None, true) => {
            vec![
                is_null().text(" and ").then(later_id()),
                Fragment::new("(").then(column()).text(") is not null"),
            ]
        }
        (Some(key), _) => {
            let key = || Bound::Text(key.to_owned());
            let equal = column()
                .text(" = ")
                .bind(key())
                .text(" and ")
                .then(later_id());
            match descending {
                false => vec![column().text(" > ").bind(key()), equal, is_null()],
                true => vec![column().text(" < ").bind(key()), equal],
            }
        }
    };
    Fragment::joined(parts, " or ", "true")
}

/// A group that a user is in.
#[derive(Debug)]
pub struct Belonging {
    /// The user's identifier, as text.
    pub member: String,
    /// The group.
    pub group_id: Uuid,
    /// The group's name.
    pub display: String,
    /// Whether the user is a member itself, or only of a group in the group.
    pub is_direct: bool,
}

/// The groups that users are in, directly or through other groups.
///
/// # Errors
///
/// As the database has them.
pub async fn groups_of(
    db: &mut Connection,
    tenant: Tenant,
    users: &[String],
) -> Result<Vec<Belonging>, Error> {
    let rows = query!(
        // The subqueries look up one member or group at a time by index, whatever the planner expects.
        r#"with recursive belonging(member, group_id, is_direct) as (
               select u.id, m.group_id, true
               from unnest($3::text[]) u(id), lateral (
                   select m.group_id from scim_group_members m
                   where m.organization_id = $1 and m.scim_configuration_id = $2 and m.member_value = u.id offset 0) m
             union
               select b.member, m.group_id, false
               from belonging b, lateral (
                   select m.group_id from scim_group_members m
                   where m.organization_id = $1 and m.scim_configuration_id = $2 and m.member_value = b.group_id::text offset 0) m
           )
           select b.member as "member!", b.group_id as "group_id!", g.display_name as "display!", bool_or(b.is_direct) as "is_direct!"
           from belonging b, lateral (
               select g.display_name from scim_groups g
               where g.organization_id = $1 and g.scim_configuration_id = $2 and g.id = b.group_id offset 0) g
           group by b.member, b.group_id, g.display_name
           order by b.member, b.group_id"#,
        tenant.organization_id.as_uuid(),
        tenant.scim_configuration_id.as_uuid(),
        users,
    )
    .fetch_all(db)
    .await?;
    let belongings = rows.into_iter().map(|row| Belonging {
        member: row.member,
        group_id: row.group_id,
        display: row.display,
        is_direct: row.is_direct,
    });
    Ok(belongings.collect())
}

/// The display names of users, for their reports' `manager.displayName`.
///
/// # Errors
///
/// As the database has them.
pub async fn names_of(
    db: &mut Connection,
    tenant: Tenant,
    users: &[Uuid],
) -> Result<Vec<(Uuid, Option<String>)>, Error> {
    let rows = query!(
        r#"select id, resource->>'displayName' as name from scim_users
           where organization_id = $1 and scim_configuration_id = $2 and id = any($3)"#,
        tenant.organization_id.as_uuid(),
        tenant.scim_configuration_id.as_uuid(),
        users,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.name)).collect())
}

/// Whether there are users and groups with all of these identifiers.
///
/// # Errors
///
/// As the database has them.
pub async fn all_exist(
    db: &mut Connection,
    tenant: Tenant,
    users: &[Uuid],
    groups: &[Uuid],
) -> Result<bool, Error> {
    let exist = sqlx::query_scalar!(
        r#"select not exists (
               select 1 from unnest($3::uuid[]) r(id) where not exists (
                   select 1 from scim_users u where u.organization_id = $1 and u.scim_configuration_id = $2 and u.id = r.id)
           ) and not exists (
               select 1 from unnest($4::uuid[]) r(id) where not exists (
                   select 1 from scim_groups g where g.organization_id = $1 and g.scim_configuration_id = $2 and g.id = r.id)
           ) as "exist!""#,
        tenant.organization_id.as_uuid(),
        tenant.scim_configuration_id.as_uuid(),
        users,
        groups,
    )
    .fetch_one(db)
    .await?;
    Ok(exist)
}

/// A member of a group, with what the server knows of it.
#[derive(Debug)]
pub struct GroupMember {
    /// The group.
    pub group_id: Uuid,
    /// The member's identifier, as the client gave it.
    pub value: String,
    /// `User` or `Group` when there is such a resource.
    pub resolved: Option<String>,
    /// The type that the client gave.
    pub kind: Option<String>,
    /// The name that the client gave, or else its own.
    pub display: Option<String>,
}

/// The members of groups.
///
/// # Errors
///
/// As the database has them.
pub async fn members_of(
    db: &mut Connection,
    tenant: Tenant,
    groups: &[Uuid],
) -> Result<Vec<GroupMember>, Error> {
    let rows = query!(
        r#"select m.group_id, m.member_value, m.kind,
                  case when u.id is not null then 'User' when g.id is not null then 'Group' end as resolved,
                  coalesce(m.display, u.resource->>'displayName', u.user_name, g.display_name) as display
           from scim_group_members m
           left join scim_users u on u.organization_id = $1 and u.scim_configuration_id = $2
               and u.id = case when m.member_value ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then m.member_value::uuid end
           left join scim_groups g on g.organization_id = $1 and g.scim_configuration_id = $2
               and g.id = case when m.member_value ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then m.member_value::uuid end
           where m.organization_id = $1 and m.scim_configuration_id = $2 and m.group_id = any($3)
           order by m.group_id, m.id"#,
        tenant.organization_id.as_uuid(),
        tenant.scim_configuration_id.as_uuid(),
        groups,
    )
    .fetch_all(db)
    .await?;
    let members = rows.into_iter().map(|row| GroupMember {
        group_id: row.group_id,
        value: row.member_value,
        resolved: row.resolved,
        kind: row.kind,
        display: row.display,
    });
    Ok(members.collect())
}
