//! Who is in a group, of either kind. Only memberships of groups that the organization made are changed here.

use chrono::{DateTime, Utc};
use sqlx::{query, query_as, query_scalar};
use uuid::Uuid;

use super::{Connection, Items, OnConstraint, Page, Place, breaks, groups, must_exist};
use crate::domain::group::{Group, Membership};
use crate::domain::identity::{Principal, Subject};
use crate::domain::ids::{GroupId, MemberId, MembershipId, OrganizationId, SubjectId};
use crate::domain::letters::fold;
use crate::error::Error;

const NOUN: &str = "membership of a group of this organization; of a group that an identity provider manages, it is changed there";

/// Reads a page of those who are in a group itself, whose name has a part, or whose identifier it is.
pub async fn list(
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
                   cross join lateral (
                       select s.user_id from scim_users s
                       where s.organization_id = $1 and s.scim_configuration_id = m.scim_configuration_id
                           and s.id = case when m.member_value ~ '^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$' then m.member_value::uuid end offset 0) s
                   join users u on u.organization_id = g.organization_id and u.id = s.user_id
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

/// A group that a member is in.
#[derive(Debug)]
pub struct GroupOfMember {
    /// Its identifier.
    pub id: GroupId,
    /// What it is called.
    pub name: String,
    /// Its name as lists are in the order of.
    pub key: String,
    /// Whether an identity provider manages it.
    pub system_managed: bool,
    /// Whether the member is in the group itself; otherwise, in a group that is in it.
    pub direct: bool,
}

/// Reads up to `size` groups of a member, nested ones included, in the order of their names, after this place.
pub async fn groups_of(
    db: &mut Connection,
    organization_id: OrganizationId,
    member: MemberId,
    after: Option<&Place>,
    size: u32,
) -> Result<Items<GroupOfMember>, Error> {
    let (key, id) = after.map_or(("", Uuid::nil()), |Place(key, id)| (key, *id));
    let page = Page { after: id, size };
    let rows = query_as!(
        GroupOfMember,
        r#"with recursive pushed as (
             select m.scim_configuration_id, m.group_id, true as direct
             from scim_users s join scim_group_members m on m.organization_id = $1
                 and m.scim_configuration_id = s.scim_configuration_id and m.member_value = s.id::text
             where s.organization_id = $1 and s.user_id = $2
             union
             select m.scim_configuration_id, m.group_id, false
             from pushed p join scim_group_members m on m.organization_id = $1
                 and m.scim_configuration_id = p.scim_configuration_id and m.member_value = p.group_id::text
         )
         select g.id as "id!: _", g.name as "name!", g.key as "key!", g.system_managed as "system_managed!", g.direct as "direct!"
         from (
             select g.id, g.name, g.name_key as key, false as system_managed, true as direct
             from group_members m join groups g on g.organization_id = $1 and g.id = m.group_id
             where m.organization_id = $1 and m.subject_id = $2
             union all
             select g.id, g.display_name, g.display_name_key, true, bool_or(p.direct)
             from pushed p join scim_groups g on g.organization_id = $1
                 and g.scim_configuration_id = p.scim_configuration_id and g.id = p.group_id
             where g.organization_id = $1 group by g.id, g.display_name, g.display_name_key) g
         where (g.key, g.id) > ($3, $4) order by g.key, g.id limit $5"#,
        organization_id.as_uuid(),
        member.as_uuid(),
        key,
        page.after,
        page.limit(),
    )
    .fetch_all(db)
    .await?;
    Ok(Items::of(rows, page))
}

/// Reads the membership of somebody in a group of either kind.
///
/// # Errors
///
/// [`Error::NotFound`] when there is none.
pub async fn get(
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
pub async fn insert(
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
        Err(error) if breaks(&error, "group_members_group_fkey") => {
            Err(Error::NotFound(groups::NOUN))
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
    group.map(Into::into).ok_or(Error::NotFound(NOUN))
}

/// Reads a membership of a group that the organization made, and keeps others from changing it until the transaction ends.
///
/// # Errors
///
/// [`Error::NotFound`] when there is none.
pub async fn lock(
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
    .ok_or(Error::NotFound(NOUN))
}

/// Removes a membership.
///
/// # Errors
///
/// [`Error::NotFound`] when there is none.
pub async fn delete(
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
    must_exist(&done, NOUN)
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
