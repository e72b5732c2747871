//! Groups of both kinds, and who is in them: those that the organization made, which are rows of `groups`, and those that identity
//! providers push, which are rows of `scim_groups` and are only read here.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, query, query_as, query_scalar};
use uuid::Uuid;

use super::members::statement;
use super::{Connection, Items, OnConstraint, Page, must_exist};
use crate::domain::group::{Group, Membership};
use crate::domain::identity::{GroupStanding, Principal, Subject};
use crate::domain::ids::{GroupId, MembershipId, OrganizationId, SubjectId};
use crate::domain::letters::fold;
use crate::error::Error;

const NOUN: &str = "group in this organization";
const MEMBERSHIP: &str = "membership of a group of this organization; of a group that an identity provider manages, it is changed there";

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

/// Reads a page of the organization's groups, in the order of their identifiers.
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
             case when l.system_managed then (
                 select count(*) from scim_group_members m
                 join scim_users s on s.organization_id = $1 and s.scim_configuration_id = m.scim_configuration_id
                     and s.id::text = m.member_value
                 where m.organization_id = $1 and m.scim_configuration_id = l.scim_configuration_id and m.group_id = l.id)
             else (select count(*) from group_members m where m.organization_id = $1 and m.group_id = l.id) end as member_count
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

/// Reads a page of those who are in a group itself, whose name has a part, or whose identifier it is.
pub async fn list_memberships(
    db: &mut Connection,
    organization_id: OrganizationId,
    group: &Group,
    search: &str,
    page: Page,
) -> Result<Items<Membership>, Error> {
    let rows = match group.system_managed {
        true => {
            query_as!(
                Membership,
                r#"select m.id as "id: _", g.id as "group_id: _", s.user_id as "subject_id: SubjectId", 'user' as "principal!: Principal",
                       u.name, u.avatar_url
                   from scim_groups g
                   join scim_group_members m on m.organization_id = g.organization_id
                       and m.scim_configuration_id = g.scim_configuration_id and m.group_id = g.id
                   join scim_users s on s.organization_id = m.organization_id and s.scim_configuration_id = m.scim_configuration_id
                       and s.id::text = m.member_value
                   join users u on u.organization_id = s.organization_id and u.id = s.user_id
                   where g.organization_id = $1 and g.id = $2 and m.id > $3
                       and ($4 = '' or strpos(coalesce(u.name_key, folded(u.name)), $4) > 0 or s.user_id::text = $4)
                   order by m.id limit $5"#,
                organization_id.as_uuid(),
                group.id.as_uuid(),
                page.after,
                &*fold(search),
                page.limit(),
            )
            .fetch_all(db)
            .await?
        }
        false => {
            query_as!(
                Membership,
                r#"select m.id as "id: _", m.group_id as "group_id: _", m.subject_id as "subject_id: _", m.principal as "principal: _",
                       coalesce(u.name, a.name, '') as "name!", coalesce(u.avatar_url, '') as "avatar_url!"
                   from group_members m
                   left join users u on u.organization_id = m.organization_id and u.id = m.subject_id
                   left join service_accounts a on a.organization_id = m.organization_id and a.id = m.subject_id
                   where m.organization_id = $1 and m.group_id = $2 and m.id > $3
                       and ($4 = '' or strpos(coalesce(u.name_key, folded(u.name), folded(a.name)), $4) > 0 or m.subject_id::text = $4)
                   order by m.id limit $5"#,
                organization_id.as_uuid(),
                group.id.as_uuid(),
                page.after,
                &*fold(search),
                page.limit(),
            )
            .fetch_all(db)
            .await?
        }
    };
    Ok(Items::of(rows, page))
}

/// Reads the membership of somebody in a group of either kind.
///
/// # Errors
///
/// [`Error::NotFound`] when there is none.
pub async fn get_membership(
    db: &mut Connection,
    organization_id: OrganizationId,
    group: GroupId,
    subject: Subject,
) -> Result<Membership, Error> {
    query_as!(
        Membership,
        r#"select m.id as "id!: _", $2::uuid as "group_id!: _", $3::uuid as "subject_id!: _", $4 as "principal!: _",
               m.name as "name!", m.avatar_url as "avatar_url!"
           from (
               select m.id, coalesce(u.name, a.name, '') as name, coalesce(u.avatar_url, '') as avatar_url
               from group_members m
               left join users u on u.organization_id = m.organization_id and u.id = m.subject_id
               left join service_accounts a on a.organization_id = m.organization_id and a.id = m.subject_id
               where m.organization_id = $1 and m.group_id = $2 and m.subject_id = $3 and m.principal = $4
               union all
               select m.id, u.name, u.avatar_url
               from scim_users s
               join users u on u.organization_id = s.organization_id and u.id = s.user_id
               join scim_group_members m on m.organization_id = s.organization_id
                   and m.scim_configuration_id = s.scim_configuration_id and m.member_value = s.id::text
               where s.organization_id = $1 and s.user_id = $3 and m.group_id = $2 and $4 = 'user') m
           limit 1"#,
        organization_id.as_uuid(),
        group.as_uuid(),
        subject.id.as_uuid(),
        subject.principal.as_str(),
    )
    .fetch_optional(db)
    .await?
    .ok_or(Error::NotFound("membership of this group"))
}

/// The name and picture of somebody who may be in a group: a member who has not left, or a service account. It stays so until the
/// transaction ends.
///
/// # Errors
///
/// [`Error::NotFound`] when the organization has no such member or service account.
pub async fn lock_subject(
    db: &mut Connection,
    organization_id: OrganizationId,
    subject: Subject,
) -> Result<(String, String), Error> {
    let (organization, id) = (organization_id.as_uuid(), subject.id.as_uuid());
    let found = match subject.principal {
        Principal::ServiceAccount => {
            let row = query!(
                "select name from service_accounts where organization_id = $1 and id = $2 for key share",
                organization,
                id,
            );
            let row = row.fetch_optional(db).await?;
            row.map(|row| (row.name, String::new()))
        }
        _ => {
            let row = query!(
                "select name, avatar_url from users where organization_id = $1 and id = $2 and status <> 'left' for share",
                organization,
                id,
            );
            let row = row.fetch_optional(db).await?;
            row.map(|row| (row.name, row.avatar_url))
        }
    };
    found.ok_or(Error::NotFound(
        "member or service account of this organization",
    ))
}

/// Adds a membership.
///
/// # Errors
///
/// [`Error::AlreadyExists`] for somebody who is in the group; [`Error::NotFound`] when the group is gone.
pub async fn insert_membership(
    db: &mut Connection,
    organization_id: OrganizationId,
    membership: &Membership,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let done = query!(
        "insert into group_members (organization_id, group_id, subject_id, principal, id, created_at) values ($1, $2, $3, $4, $5, $6)",
        organization_id.as_uuid(),
        membership.group_id.as_uuid(),
        membership.subject_id.as_uuid(),
        membership.principal.as_str(),
        membership.id.as_uuid(),
        now,
    )
    .execute(db)
    .await;
    match done {
        Err(error) if super::breaks(&error, "group_members_group_fkey") => {
            Err(Error::NotFound(NOUN))
        }
        done => {
            done.on_constraint("group_members_pkey", || {
                Error::AlreadyExists("it is in the group already: nothing needs to be done".into())
            })?;
            Ok(())
        }
    }
}

/// The group that a membership is of, which the organization made.
///
/// # Errors
///
/// [`Error::NotFound`] when there is no such membership.
pub async fn group_of(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: MembershipId,
) -> Result<GroupId, Error> {
    let group = query_scalar!(
        "select group_id from group_members where organization_id = $1 and id = $2",
        organization_id.as_uuid(),
        id.as_uuid(),
    )
    .fetch_optional(db)
    .await?;
    group.map(Into::into).ok_or(Error::NotFound(MEMBERSHIP))
}

/// Reads a membership of a group that the organization made, and keeps others from changing it until the transaction ends.
///
/// # Errors
///
/// [`Error::NotFound`] when there is none.
pub async fn lock_membership(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: MembershipId,
) -> Result<Membership, Error> {
    query_as!(
        Membership,
        r#"select id as "id: _", group_id as "group_id: _", subject_id as "subject_id: _", principal as "principal: _", '' as "name!",
               '' as "avatar_url!"
           from group_members where organization_id = $1 and id = $2 for update"#,
        organization_id.as_uuid(),
        id.as_uuid(),
    )
    .fetch_optional(db)
    .await?
    .ok_or(Error::NotFound(MEMBERSHIP))
}

/// Removes a membership.
///
/// # Errors
///
/// [`Error::NotFound`] when there is none.
pub async fn delete_membership(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: MembershipId,
) -> Result<(), Error> {
    let done = query!(
        "delete from group_members where organization_id = $1 and id = $2",
        organization_id.as_uuid(),
        id.as_uuid(),
    )
    .execute(db)
    .await?;
    must_exist(&done, MEMBERSHIP)
}

/// Takes somebody who is deleted out of all groups.
pub async fn leave_all(
    db: &mut Connection,
    organization_id: OrganizationId,
    subject: SubjectId,
) -> Result<(), Error> {
    query!(
        "delete from group_members where organization_id = $1 and subject_id = $2",
        organization_id.as_uuid(),
        subject.as_uuid(),
    )
    .execute(db)
    .await?;
    Ok(())
}
