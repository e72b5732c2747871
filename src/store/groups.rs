//! Groups of both kinds: those that the organization made, which are rows of `groups`, and those that identity providers push,
//! which are rows of `scim_groups` and are only read here.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, query, query_as, query_scalar};
use uuid::Uuid;

use super::members::statement;
use super::{Connection, Items, OnConstraint, Page, must_exist};
use crate::domain::group::Group;
use crate::domain::identity::{GroupStanding, Subject};
use crate::domain::ids::{GroupId, OrganizationId};
use crate::domain::letters::fold;
use crate::error::Error;

pub(super) const NOUN: &str = "group in this organization";

#[derive(FromRow)]
struct Row {
    id: Uuid,
    name: String,
    description: String,
    system_managed: bool,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    member_count: i64,
}

impl From<Row> for Group {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.into(),
            name: row.name,
            description: row.description,
            system_managed: row.system_managed,
            created_at: row.created_at,
            updated_at: row.updated_at,
            member_count: row.member_count,
        }
    }
}

/// Which groups a list has. What is empty or `None` says nothing.
#[derive(Debug, Default)]
pub struct Filter {
    /// A part of the name or the description, or the identifier.
    pub search: String,
    /// The whole name.
    pub name: Option<String>,
    /// The identifiers.
    pub ids: Vec<GroupId>,
    /// Only those that identity providers push, or only the others.
    pub system_managed: Option<bool>,
    /// Without those that have a role on this: the kind of thing, and its identifier.
    pub without_role_on: Option<(String, Uuid)>,
}

/// The groups of a kind, as the list has them: the kind's own columns.
struct Kind {
    system_managed: bool,
    select: &'static str,
    name: &'static str,
    key: &'static str,
    description: &'static str,
}

const KINDS: [Kind; 2] = [
    Kind {
        system_managed: false,
        select: "(select g.id, null::uuid as scim_configuration_id, g.name, g.description, false as system_managed, g.created_at,
                g.updated_at from groups g where g.organization_id = $1",
        name: "g.name",
        key: "g.name_key",
        description: "folded(g.description)",
    },
    Kind {
        system_managed: true,
        select: "(select g.id, g.scim_configuration_id, g.display_name as name, '' as description, true as system_managed,
                g.created_at, g.last_modified as updated_at from scim_groups g where g.organization_id = $1",
        name: "g.display_name",
        key: "g.display_name_key",
        description: "''",
    },
];

/// Reads a page of the organization's groups, in the order of their identifiers. Of a large group that an identity provider pushes,
/// every member counts, also one that is no user or not there yet.
pub async fn list(
    db: &mut Connection,
    organization_id: OrganizationId,
    filter: &Filter,
    page: Page,
) -> Result<Items<Group>, Error> {
    let mut query = statement(
        organization_id,
        "select l.id, l.name, l.description, l.system_managed, l.created_at,
             greatest(l.updated_at, (select max(c.last_modified) from scim_group_changes c
                 where c.organization_id = $1 and c.scim_configuration_id = l.scim_configuration_id
                     and c.group_id = l.id)) as updated_at,
             case when not l.system_managed then (
                 select count(*) from group_members m where m.organization_id = $1 and m.group_id = l.id)
             when (
                 select count(*) from (
                     select 1 from scim_group_members m
                     where m.organization_id = $1 and m.scim_configuration_id = l.scim_configuration_id and m.group_id = l.id
                     limit 1001) few) > 1000
             then (
                 select count(*) from scim_group_members m
                 where m.organization_id = $1 and m.scim_configuration_id = l.scim_configuration_id and m.group_id = l.id)
             else (
                 select count(*) from scim_group_members m, lateral (
                     select 1 from scim_users s
                     where s.organization_id = $1 and s.scim_configuration_id = m.scim_configuration_id
                         and s.id = case when m.member_value ~ '^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$' then m.member_value::uuid end offset 0) s
                 where m.organization_id = $1 and m.scim_configuration_id = l.scim_configuration_id and m.group_id = l.id)
             end as member_count
         from (",
    );
    let wanted = |kind: &&Kind| {
        filter
            .system_managed
            .is_none_or(|only| only == kind.system_managed)
    };
    for (place, kind) in KINDS.iter().filter(wanted).enumerate() {
        if place > 0 {
            query.push(" union all ");
        }
        query
            .push(kind.select)
            .push(" and g.id > ")
            .push_bind(page.after);
        if !filter.search.is_empty() {
            query
                .push(format!(" and (strpos({}, ", kind.key))
                .push_bind(fold(&filter.search).into_owned())
                .push(format!(") > 0 or strpos({}, ", kind.description))
                .push_bind(fold(&filter.search).into_owned())
                .push(") > 0 or g.id::text = ")
                .push_bind(filter.search.to_ascii_lowercase())
                .push(")");
        }
        if let Some(name) = &filter.name {
            query
                .push(format!(" and {} = ", kind.key))
                .push_bind(fold(name).into_owned())
                .push(format!(" and {} = ", kind.name))
                .push_bind(name.clone());
        }
        if !filter.ids.is_empty() {
            query
                .push(" and g.id = any(")
                .push_bind(filter.ids.clone())
                .push(")");
        }
        if let Some((resource_type, resource_id)) = &filter.without_role_on {
            query
                .push(
                    " and not exists (select 1 from role_assignments r where r.organization_id = $1 and r.group_id = g.id
                         and r.resource_id = ",
                )
                .push_bind(*resource_id)
                .push(" and r.resource_type = ")
                .push_bind(resource_type.clone())
                .push(")");
        }
        query
            .push(" order by g.id limit ")
            .push_bind(page.limit())
            .push(")");
    }
    query
        .push(") l order by l.id limit ")
        .push_bind(page.limit());
    let rows: Vec<Row> = query.build_query_as().fetch_all(db).await?;
    Ok(Items::of(rows.into_iter().map(Into::into).collect(), page))
}

/// The first group that a filter lets through.
///
/// # Errors
///
/// [`Error::NotFound`] when it lets none through.
pub async fn find(
    db: &mut Connection,
    organization_id: OrganizationId,
    filter: &Filter,
) -> Result<Group, Error> {
    let found = list(db, organization_id, filter, Page::first(1)).await?;
    found.items.into_iter().next().ok_or(Error::NotFound(NOUN))
}

/// What decides whether somebody may change a group that the organization made.
///
/// # Errors
///
/// [`Error::NotFound`] when the organization has none; [`Error::FailedPrecondition`] for a group that an identity provider pushes.
pub async fn standing(
    db: &mut Connection,
    organization_id: OrganizationId,
    group: GroupId,
    subject: Subject,
) -> Result<GroupStanding, Error> {
    let row = query!(
        r#"select exists (select 1 from groups g where g.organization_id = $1 and g.id = $2) as "is_own!",
               exists (select 1 from scim_groups g where g.organization_id = $1 and g.id = $2) as "is_pushed!",
               exists (select 1 from role_assignments r where r.organization_id = $1 and r.group_id = $2
                   and r.role not in ('org_member', 'group_admin', 'group_viewer')) as "has_power!",
               exists (select 1 from role_assignments r where r.organization_id = $1 and r.group_id = $2
                   and r.resource_id <> $2 and r.role = 'group_admin') as "administers_others!",
               exists (
                   select 1 from role_assignments r
                   join group_members m on m.organization_id = r.organization_id and m.group_id = r.group_id
                   where r.organization_id = $1 and r.resource_id = $2 and r.role = 'group_admin' and m.subject_id = $3
                   union all
                   select 1 from scim_users s
                   join scim_group_members m on m.organization_id = s.organization_id
                       and m.scim_configuration_id = s.scim_configuration_id and m.member_value = s.id::text
                   join role_assignments r on r.organization_id = m.organization_id and r.group_id = m.group_id
                   where s.organization_id = $1 and s.user_id = $3 and r.resource_id = $2 and r.role = 'group_admin'
               ) as "is_administered!""#,
        organization_id.as_uuid(),
        group.as_uuid(),
        subject.id.as_uuid(),
    )
    .fetch_one(db)
    .await?;
    match (row.is_own, row.is_pushed) {
        (true, _) => Ok(GroupStanding {
            is_administered: row.is_administered,
            has_power: row.has_power,
            administers_others: row.administers_others,
        }),
        (false, true) => Err(Error::FailedPrecondition(
            "an identity provider manages this group over SCIM: change it there".to_owned(),
        )),
        (false, false) => Err(Error::NotFound(NOUN)),
    }
}

/// Makes sure that there is a group, of either kind, until the transaction ends.
///
/// # Errors
///
/// [`Error::NotFound`] when the organization has none.
pub async fn lock_any(
    db: &mut Connection,
    organization_id: OrganizationId,
    group: GroupId,
) -> Result<(), Error> {
    let own = query_scalar!(
        r#"select 1 as "one!" from groups where organization_id = $1 and id = $2 for key share"#,
        organization_id.as_uuid(),
        group.as_uuid(),
    )
    .fetch_optional(&mut *db)
    .await?;
    if own.is_some() {
        return Ok(());
    }
    let pushed = query_scalar!(
        r#"select 1 as "one!" from scim_groups where organization_id = $1 and id = $2 for key share"#,
        organization_id.as_uuid(),
        group.as_uuid(),
    )
    .fetch_optional(db)
    .await?;
    pushed.map(|_| ()).ok_or(Error::NotFound(NOUN))
}

fn name_in_use() -> Error {
    Error::AlreadyExists(
        "another group of the organization has this name: give another name, or use that group"
            .into(),
    )
}

/// Adds a group without members.
///
/// # Errors
///
/// [`Error::AlreadyExists`] when another group has the name.
pub async fn insert(
    db: &mut Connection,
    organization_id: OrganizationId,
    group: &Group,
) -> Result<(), Error> {
    query!(
        "insert into groups (organization_id, id, name, name_key, description, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $6)",
        organization_id.as_uuid(),
        group.id.as_uuid(),
        group.name,
        &*fold(&group.name),
        group.description,
        group.created_at,
    )
    .execute(db)
    .await
    .on_constraint("groups_name_key", name_in_use)?;
    Ok(())
}

/// Reads a group that the organization made, and keeps others from changing it until the transaction ends. How many members it has
/// is not counted.
///
/// # Errors
///
/// [`Error::NotFound`] when the organization has none.
pub async fn lock(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: GroupId,
) -> Result<Group, Error> {
    let row = query_as!(
        Row,
        r#"select id, name, description, false as "system_managed!", created_at, updated_at, 0::bigint as "member_count!"
           from groups where organization_id = $1 and id = $2 for update"#,
        organization_id.as_uuid(),
        id.as_uuid(),
    )
    .fetch_optional(db)
    .await?;
    row.map(Into::into).ok_or(Error::NotFound(NOUN))
}

/// Writes a changed group.
///
/// # Errors
///
/// [`Error::AlreadyExists`] when another group has the name.
pub async fn update(
    db: &mut Connection,
    organization_id: OrganizationId,
    group: &Group,
) -> Result<(), Error> {
    let done = query!(
        "update groups set name = $3, name_key = $4, description = $5, updated_at = $6
         where organization_id = $1 and id = $2",
        organization_id.as_uuid(),
        group.id.as_uuid(),
        group.name,
        &*fold(&group.name),
        group.description,
        group.updated_at,
    )
    .execute(db)
    .await
    .on_constraint("groups_name_key", name_in_use)?;
    must_exist(&done, NOUN)
}

/// Removes a group that the organization made, with its memberships and roles.
///
/// # Errors
///
/// [`Error::NotFound`] when the organization has none.
pub async fn delete(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: GroupId,
) -> Result<(), Error> {
    super::roles::delete_of_group(db, organization_id, id).await?;
    let done = query!(
        "delete from groups where organization_id = $1 and id = $2",
        organization_id.as_uuid(),
        id.as_uuid(),
    )
    .execute(db)
    .await?;
    must_exist(&done, NOUN)
}
