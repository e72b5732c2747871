//! Reading SCIM users and groups: by id, and as lists with a filter and an order.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Map, Value};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{FromRow, Postgres, QueryBuilder, Row as _, query};

use super::Connection;
use super::sql::{Bound, Fragment};
use super::wide;
use crate::domain::ids::{OrganizationId, ResourceId, ScimConfigurationId};
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
    pub id: ResourceId,
    /// The group's name.
    pub display: String,
    /// Whether the group is a member of another, so that the user is in more groups than these.
    pub is_nested: bool,
}

/// A user or a group as it is stored: without what is computed when it is read.
#[derive(Clone, Debug, FromRow)]
pub struct Stored {
    /// The resource's identifier.
    pub id: ResourceId,
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

/// What a list is sorted by.
#[derive(Clone, Debug)]
pub struct SortKey {
    /// The value of a row `t`.
    pub value: Fragment,
    /// What kind of value it is.
    pub kind: SortKind,
}

/// The kinds of values that a list is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortKind {
    /// A text that is compared byte by byte. It may be null.
    Text,
    /// A moment, never null.
    Moment,
    /// An identifier, never null.
    Id,
}

impl SortKey {
    /// The value as the database compares it.
    fn compared(&self) -> Fragment {
        match self.kind {
            SortKind::Text => Fragment::new("(")
                .then(self.value.clone())
                .text(" collate \"C\")"),
            SortKind::Moment | SortKind::Id => self.value.clone(),
        }
    }

    /// The value as a text, for the place in the list at which the next page begins.
    fn text(&self) -> Fragment {
        let value = self.value.clone();
        match self.kind {
            SortKind::Text => value,
            SortKind::Id => value.text("::text"),
            SortKind::Moment => Fragment::new("to_char(")
                .then(value)
                .text(" at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"),
        }
    }

    /// Such a text as the value that it was.
    fn read(&self, text: &str) -> Fragment {
        let text = Fragment::default().bind(Bound::Text(text.to_owned()));
        match self.kind {
            SortKind::Text => text,
            SortKind::Moment => text.text("::timestamptz"),
            SortKind::Id => text.text("::uuid"),
        }
    }
}

/// The order of a list: by a key, and among equals by identifier. Resources without a key come last, or
/// first if the order is descending.
#[derive(Clone, Debug)]
pub struct Order {
    /// What it is sorted by.
    pub key: SortKey,
    /// The other way round.
    pub descending: bool,
}

impl Order {
    /// By identifier.
    pub fn by_id() -> Self {
        let key = SortKey {
            value: Fragment::new("t.id"),
            kind: SortKind::Id,
        };
        Self {
            key,
            descending: false,
        }
    }
}

/// A place in a list: behind the resource with this sort key and id.
pub type Place = (Option<String>, ResourceId);

/// Reads a resource.
pub async fn get(
    db: &mut Connection,
    tenant: Tenant,
    source: Source,
    id: ResourceId,
) -> Result<Option<Stored>, Error> {
    let mut query = by_id(tenant, source, id);
    Ok(query.build_query_as().fetch_optional(db).await?)
}

/// Reads a resource and keeps others from writing it until the transaction ends.
pub async fn lock(
    db: &mut Connection,
    tenant: Tenant,
    source: Source,
    id: ResourceId,
) -> Result<Option<Stored>, Error> {
    let mut query = by_id(tenant, source, id);
    query.push(" for update of t");
    Ok(query.build_query_as().fetch_optional(db).await?)
}

fn by_id(tenant: Tenant, source: Source, id: ResourceId) -> QueryBuilder<Postgres> {
    let list = List {
        tenant,
        source,
        filter: None,
        order: None,
        is_wide: false,
    };
    let mut query = list.select();
    query.push(" and t.id = ").push_bind(id);
    query
}

/// Which resources of a table a list has, and in which order.
#[derive(Clone, Copy, Debug)]
pub struct List<'a> {
    /// Whose.
    pub tenant: Tenant,
    /// Where they are.
    pub source: Source,
    /// The condition on a row `t`; `None` for all.
    pub filter: Option<&'a Fragment>,
    /// `None` for the order in which they were made, more or less.
    pub order: Option<&'a Order>,
    /// Whether no index leads to what it has.
    pub is_wide: bool,
}

/// Reads up to `limit` resources of a list after the first `skip`.
pub async fn list_by_index(
    db: &mut Connection,
    list: List<'_>,
    skip: i64,
    limit: i64,
) -> Result<Vec<Stored>, Error> {
    let mut query = match skip {
        0 => list.select(),
        // What is skipped is not read: only the identifiers are, which indexes have.
        _ => list.select_from(|query| {
            list.push_order(query);
            query.push(" limit ").push_bind(limit);
            query.push(" offset ").push_bind(skip);
        }),
    };
    list.push_order(&mut query);
    query.push(" limit ").push_bind(limit);
    list.fetch(query, db).await
}

/// Reads up to `limit` resources of a list in this order, after a place in it or from its beginning.
pub async fn list_after(
    db: &mut Connection,
    list: List<'_>,
    order: &Order,
    place: Option<&Place>,
    limit: i64,
) -> Result<Vec<Stored>, Error> {
    let list = List {
        order: Some(order),
        ..list
    };
    let mut found = vec![];
    // One range of an index after the other.
    for range in ranges(order, place) {
        let missing = limit - i64::try_from(found.len()).unwrap_or(limit);
        if missing <= 0 {
            break;
        }
        let push_part = |query: &mut QueryBuilder<Postgres>| {
            if let Some(range) = &range {
                query.push(" and ");
                range.push_to(query);
            }
            list.push_order(query);
            query.push(" limit ").push_bind(missing);
        };
        let query = match list.is_wide {
            false => {
                let mut query = list.select();
                push_part(&mut query);
                query
            }
            // What is sorted away is not read.
            true => {
                let mut query = list.select_from(push_part);
                list.push_order(&mut query);
                query
            }
        };
        found.extend(list.fetch(query, db).await?);
    }
    Ok(found)
}

impl List<'_> {
    fn select(&self) -> QueryBuilder<Postgres> {
        let mut query = statement(self.tenant, "select ");
        self.push_columns(&mut query);
        query.push(" from ");
        push_tenant(&mut query, self.source.table);
        push_filter(&mut query, self.filter);
        query
    }

    /// The resources whose identifiers are a part of the list, which `push_part` cuts out.
    fn select_from(
        &self,
        push_part: impl FnOnce(&mut QueryBuilder<Postgres>),
    ) -> QueryBuilder<Postgres> {
        let mut query = statement(self.tenant, "select ");
        self.push_columns(&mut query);
        query.push(" from (select t.id from ");
        push_tenant(&mut query, self.source.table);
        push_filter(&mut query, self.filter);
        push_part(&mut query);
        query.push(") p, ");
        push_tenant(&mut query, self.source.table);
        query.push(" and t.id = p.id");
        query
    }

    fn push_columns(&self, query: &mut QueryBuilder<Postgres>) {
        query.push(columns(self.source));
        if let Some(order) = self.order {
            query.push(", ");
            order.key.text().push_to(query);
            query.push(" as sort_key");
        }
    }

    /// What the unsorted list is sorted by, before the identifier.
    fn push_key(&self, query: &mut QueryBuilder<Postgres>) {
        query.push(match self.source.table {
            Table::Users => "t.block",
            Table::Groups => "0",
        });
    }

    fn push_order(&self, query: &mut QueryBuilder<Postgres>) {
        query.push(" order by ");
        match (self.order, self.source.table) {
            (Some(order), _) => {
                order.key.compared().push_to(query);
                query.push(if order.descending { " desc" } else { "" });
                if order.key.kind != SortKind::Id {
                    query.push(", t.id");
                }
            }
            (None, Table::Users) => {
                query.push("t.block, t.id");
            }
            (None, Table::Groups) => {
                query.push("t.id");
            }
        }
    }

    /// A filter that a client made up is planned for its values: the same shape of filter may hold for one
    /// user or for all.
    async fn fetch(
        &self,
        mut query: QueryBuilder<Postgres>,
        db: &mut Connection,
    ) -> Result<Vec<Stored>, Error> {
        let limits = db.limits();
        let query = query.build_query_as().persistent(self.filter.is_none());
        let found = query.fetch_all(db).await;
        found.map_err(|error| wide::explain(limits, error))
    }
}

/// Reads up to `limit` resources of a list after the first `skip`, and how many there are in all, in one pass over
/// all that match: for filters and orders without an index, and where what matches may stand at the end of the list.
///
/// # Errors
///
/// As the database has them; [`Error::TooLong`].
pub async fn search_all(
    db: &mut Connection,
    list: List<'_>,
    skip: i64,
    limit: i64,
) -> Result<(i64, Vec<Stored>), Error> {
    let mut query = statement(list.tenant, "with found as materialized (select t.id, ");
    match list.order {
        Some(order) => order.key.compared().push_to(&mut query),
        None => list.push_key(&mut query),
    }
    query.push(" as key from ");
    push_tenant(&mut query, list.source.table);
    push_filter(&mut query, list.filter);
    let direction = match list.order {
        Some(Order {
            descending: true, ..
        }) => " desc",
        _ => "",
    };
    let order = format!(" order by f.key{direction}, f.id");
    query
        .push("), page as (select f.id, f.key from found f")
        .push(&order)
        .push(" limit ")
        .push_bind(limit)
        .push(" offset ")
        .push_bind(skip)
        .push(") select n.total, t.* from (select count(*) as total from found) n left join lateral (select f.key, ")
        .push(columns(list.source))
        .push(" from page f, ");
    push_tenant(&mut query, list.source.table);
    query
        .push(" and t.id = f.id) t on true")
        .push(order.replace("f.", "t."));
    let limits = db.limits();
    let rows = query.build().persistent(false).fetch_all(db).await;
    counted(rows.map_err(|error| wide::explain(limits, error))?)
}

/// The rows of a statement that tells beside each resource how many there are. Where there is none, a row has the
/// total alone.
fn counted(rows: Vec<PgRow>) -> Result<(i64, Vec<Stored>), Error> {
    let mut found = Vec::with_capacity(rows.len());
    let mut total = 0;
    for row in &rows {
        total = row.try_get("total")?;
        if row.try_get::<Option<ResourceId>, _>("id")?.is_some() {
            found.push(Stored::from_row(row)?);
        }
    }
    Ok((total, found))
}

/// Reads up to `limit` of a tenant's users after the first `skip`, and how many there are in all. The place
/// is found by the numbers of users in the blocks before it, so that the last page costs what the first one
/// does.
pub async fn all_users(
    db: &mut Connection,
    tenant: Tenant,
    source: Source,
    skip: i64,
    limit: i64,
) -> Result<(i64, Vec<Stored>), Error> {
    let mut query = statement(
        tenant,
        "with ends as (
             select block, sum(count) over (order by block) as passed from scim_user_blocks
             where organization_id = $1 and scim_configuration_id = $2
         ), start as (select t.block, t.id from ",
    );
    push_tenant(&mut query, Table::Users);
    query
        .push(" and t.block > coalesce((select max(block) from ends where passed <= ")
        .push_bind(skip)
        .push("), -1) order by t.block, t.id offset ")
        .push_bind(skip)
        .push(" - coalesce((select max(passed) from ends where passed <= ")
        .push_bind(skip)
        .push(
            "), 0) limit 1), total as (select coalesce(max(passed), 0) as total from ends)
             select n.total, t.* from total n left join lateral (select ",
        )
        .push(columns(source))
        .push(" from ");
    push_tenant(&mut query, Table::Users);
    query
        .push(
            " and (t.block, t.id) >= ((select block from start), (select id from start))
             order by t.block, t.id limit ",
        )
        .push_bind(limit)
        .push(") t on true");
    counted(query.build().fetch_all(db).await?)
}

/// Brings the planner's statistics up to date where much has changed since: after a first sync, say,
/// when it still believes that a tenant has a handful of rows. Tells how many tables.
pub async fn analyze(db: &mut Connection) -> Result<usize, Error> {
    let stale = query!(
        r#"select relname::text as "name!" from pg_stat_user_tables
           where relname in ('users', 'scim_users', 'scim_user_emails', 'scim_former_users', 'scim_groups', 'scim_group_members',
                             'sessions', 'grants')
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
pub async fn count(
    db: &mut Connection,
    tenant: Tenant,
    table: Table,
    filter: Option<&Fragment>,
) -> Result<i64, Error> {
    if let (Table::Users, None) = (table, filter) {
        return count_users(db, tenant).await;
    }
    let mut query = statement(tenant, "select count(*) from ");
    push_tenant(&mut query, table);
    push_filter(&mut query, filter);
    let limits = db.limits();
    let query = query.build_query_scalar().persistent(filter.is_none());
    let count = query.fetch_one(db).await;
    count.map_err(|error| wide::explain(limits, error))
}

/// Counts the users who have an address, in the row `a`, for which `condition` holds.
pub async fn count_by_address(
    db: &mut Connection,
    tenant: Tenant,
    condition: &Fragment,
) -> Result<i64, Error> {
    // Users with one address need not be told apart.
    let mut query = statement(
        tenant,
        "select count(*) filter (where a.alone) + count(distinct a.scim_user_id) filter (where not a.alone)
         from scim_user_emails a where a.organization_id = $1 and a.scim_configuration_id = $2 and ",
    );
    condition.push_to(&mut query);
    let query = query.build_query_scalar().persistent(false);
    Ok(query.fetch_one(db).await?)
}

async fn count_users(db: &mut Connection, tenant: Tenant) -> Result<i64, Error> {
    let count = sqlx::query_scalar!(
        r#"select coalesce(sum(count), 0)::bigint as "count!" from scim_user_blocks
           where organization_id = $1 and scim_configuration_id = $2"#,
        tenant.organization_id.as_uuid(),
        tenant.scim_configuration_id.as_uuid(),
    )
    .fetch_one(db)
    .await?;
    Ok(count)
}

/// What was read of a tenant's resources together with its token.
#[derive(Debug, Default)]
pub enum Prefetched {
    /// Nothing was looked up: who needs a resource reads it.
    #[default]
    NotAsked,
    /// What a [`Lookup`] found, up to its limit; if it found nothing, there was nothing.
    Found(Vec<Stored>),
}

impl Prefetched {
    /// The first, if there is one.
    pub fn one(self) -> Option<Stored> {
        match self {
            Self::NotAsked => None,
            Self::Found(found) => found.into_iter().next(),
        }
    }
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
    pub fn by_id(source: Source, id: ResourceId) -> Self {
        Self {
            source,
            condition: Fragment::new("t.id = ").bind(Bound::Id(id.as_uuid())),
            limit: 1,
        }
    }

    /// Reads them, in a `statement`.
    pub(super) fn push_to(&self, query: &mut QueryBuilder<Postgres>) {
        query
            .push("(select ")
            .push(columns(self.source))
            .push(" from ")
            .push(self.source.table.name())
            .push(" t where t.organization_id = $1 and t.scim_configuration_id = $2 and ");
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
                 select 1 from scim_group_members p where p.organization_id = $1
                     and p.scim_configuration_id = $2 and p.member_value = m.group_id::text)) order by m.group_id)
             from scim_group_members m, lateral (
                 select g.display_name from scim_groups g where g.organization_id = $1
                     and g.scim_configuration_id = $2 and g.id = m.group_id offset 0) g
             where m.organization_id = $1 and m.scim_configuration_id = $2
                 and m.member_value = t.id::text) as groups",
        (Table::Users, false) => "t.id, jsonb_build_object('active', t.active) || t.resource as resource, t.version, t.created_at, t.last_modified",
        (Table::Groups, _) => "t.id, t.resource, t.version + coalesce((
             select sum(c.count) from scim_group_changes c where c.organization_id = $1
                 and c.scim_configuration_id = $2 and c.group_id = t.id), 0)::bigint as version,
             t.created_at, greatest(t.last_modified, (
             select max(c.last_modified) from scim_group_changes c where c.organization_id = $1
                 and c.scim_configuration_id = $2 and c.group_id = t.id)) as last_modified",
    }
}

/// A statement about a tenant, all of whose parts name the organization `$1` and the configuration `$2`. A database on several
/// machines must see in each part which machine has it.
pub(super) fn statement(tenant: Tenant, text: &str) -> QueryBuilder<Postgres> {
    // They have these numbers because they are bound first.
    let mut query = QueryBuilder::new("/* of ");
    query.push_bind(tenant.organization_id.as_uuid()).push(", ");
    query.push_bind(tenant.scim_configuration_id.as_uuid());
    query.push(" */ ").push(text);
    query
}

fn push_tenant(query: &mut QueryBuilder<Postgres>, table: Table) {
    query
        .push(table.name())
        .push(" t where t.organization_id = $1 and t.scim_configuration_id = $2");
}

fn push_filter(query: &mut QueryBuilder<Postgres>, filter: Option<&Fragment>) {
    if let Some(filter) = filter {
        query.push(" and ");
        filter.push_to(query);
    }
}

/// The conditions on what comes after a place in a list, one after the other. Each is a range of an index, if
/// the order has one.
fn ranges(order: &Order, place: Option<&Place>) -> Vec<Option<Fragment>> {
    let Some((key, id)) = place else {
        return vec![None];
    };
    let later_id = || Fragment::new("t.id > ").bind(Bound::Id(id.as_uuid()));
    let Order {
        key: by,
        descending,
    } = order;
    let by_itself = || by.compared();
    let Some(key) = key else {
        let without = by_itself().text(" is null and ").then(later_id());
        return match descending {
            false => vec![Some(without)],
            true => vec![Some(without), Some(by_itself().text(" is not null"))],
        };
    };
    let key = || by.read(key);
    match (by.kind, descending) {
        (SortKind::Id, false) => vec![Some(by_itself().text(" > ").then(key()))],
        (SortKind::Id, true) => vec![Some(by_itself().text(" < ").then(key()))],
        (kind, false) => {
            let after = Fragment::new("(")
                .then(by_itself())
                .text(", t.id) > (")
                .then(key())
                .text(", ")
                .bind(Bound::Id(id.as_uuid()))
                .text(")");
            let without = by_itself().text(" is null");
            let has_null = kind == SortKind::Text;
            [Some(Some(after)), has_null.then_some(Some(without))]
                .into_iter()
                .flatten()
                .collect()
        }
        (_, true) => {
            let after = by_itself()
                .text(" <= ")
                .then(key())
                .text(" and (")
                .then(by_itself())
                .text(" < ")
                .then(key())
                .text(" or ")
                .then(later_id())
                .text(")");
            vec![Some(after)]
        }
    }
}

/// A group that a user is in.
#[derive(Debug)]
pub struct Belonging {
    /// The user's identifier, as text.
    pub member: String,
    /// The group.
    pub group_id: ResourceId,
    /// The group's name.
    pub display: String,
    /// Whether the user is a member itself, or only of a group in the group.
    pub is_direct: bool,
}

/// The groups that users are in, directly or through other groups.
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
           select b.member as "member!", b.group_id as "group_id!: ResourceId", g.display_name as "display!", bool_or(b.is_direct) as "is_direct!"
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
pub async fn names_of(
    db: &mut Connection,
    tenant: Tenant,
    users: &[ResourceId],
) -> Result<Vec<(ResourceId, Option<String>)>, Error> {
    let rows = query!(
        r#"select id as "id: ResourceId", resource->>'displayName' as name from scim_users
           where organization_id = $1 and scim_configuration_id = $2 and id = any($3)"#,
        tenant.organization_id.as_uuid(),
        tenant.scim_configuration_id.as_uuid(),
        users as _,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.name)).collect())
}

/// Whether there are users and groups with all of these identifiers.
pub async fn all_exist(
    db: &mut Connection,
    tenant: Tenant,
    users: &[ResourceId],
    groups: &[ResourceId],
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
        users as _,
        groups as _,
    )
    .fetch_one(db)
    .await?;
    Ok(exist)
}

/// A member of a group, with what the server knows of it.
#[derive(Debug)]
pub struct GroupMember {
    /// The group.
    pub group_id: ResourceId,
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
pub async fn members_of(
    db: &mut Connection,
    tenant: Tenant,
    groups: &[ResourceId],
) -> Result<Vec<GroupMember>, Error> {
    let rows = query!(
        r#"select m.group_id as "group_id: ResourceId", m.member_value, m.kind,
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
        groups as _,
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
