//! Reading SCIM users and groups: by id, and as lists with a filter and an order.

use chrono::{DateTime, Utc};
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
    table: Table,
    id: Uuid,
) -> Result<Option<Stored>, Error> {
    let mut query = select(table, None, tenant);
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
    table: Table,
    filter: Option<&Fragment>,
    order: Option<&Order>,
    window: &Window,
    limit: i64,
) -> Result<Vec<Stored>, Error> {
    let mut query = select(table, order, tenant);
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

/// Counts what a list has in all.
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
    let mut query = QueryBuilder::new("select count(*) from ");
    push_tenant(&mut query, table, tenant);
    push_filter(&mut query, filter);
    Ok(query.build_query_scalar().fetch_one(db).await?)
}

fn select(table: Table, order: Option<&Order>, tenant: Tenant) -> QueryBuilder<Postgres> {
    let mut query =
        QueryBuilder::new("select t.id, t.resource, t.version, t.created_at, t.last_modified");
    if let Some(order) = order {
        query.push(", ");
        order.key.push_to(&mut query);
        query.push(" as sort_key");
    }
    query.push(" from ");
    push_tenant(&mut query, table, tenant);
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
