//! The roles that groups give to those who are in them.

use chrono::{DateTime, Utc};
use sqlx::{query, query_as, query_scalar};
use uuid::Uuid;

use super::aggregate::aggregate;
use super::{Connection, Items, OnConstraint, Page};
use crate::domain::ids::{GroupId, OrganizationId, RoleAssignmentId};
use crate::domain::role_assignment::RoleAssignment;
use crate::error::Error;

/// Joins a statement's halves by the column `roles_of_groups!`: the roles in the organization (`$1`) of the groups that the row
/// `subject` is in. Rows are looked up one by one: most subjects are in few groups, most groups have no role.
///
/// A `member` may be in groups of both kinds. A `service_account` cannot be in one that an identity provider pushes, so its tokens
/// need nothing of what SCIM keeps.
macro_rules! query_with_roles {
    (member: $row:ty, [$($before:literal)+], $after:literal, $($argument:expr),+ $(,)?) => {
        $crate::store::roles::query_with_roles!(
            @ $row,
            [$($before)+],
            "union all
                select r.role from scim_users s, lateral (
                    select m.group_id from scim_group_members m
                    where m.organization_id = $1 and m.scim_configuration_id = s.scim_configuration_id
                        and m.member_value = s.id::text offset 0) m, lateral (
                    select r.role from role_assignments r
                    where r.organization_id = $1 and r.group_id = m.group_id and r.resource_id = $1 offset 0) r
                where s.organization_id = $1 and s.user_id = subject.id",
            $after,
            $($argument),+
        )
    };
    (service_account: $row:ty, [$($before:literal)+], $after:literal, $($argument:expr),+ $(,)?) => {
        $crate::store::roles::query_with_roles!(@ $row, [$($before)+], "", $after, $($argument),+)
    };
    (@ $row:ty, [$($before:literal)+], $pushed:literal, $after:literal, $($argument:expr),+) => {
        ::sqlx::query_as!(
            $row,
            $($before +)+ r#" array(
                select r.role from group_members m, lateral (
                    select r.role from role_assignments r
                    where r.organization_id = $1 and r.group_id = m.group_id and r.resource_id = $1 offset 0) r
                where m.organization_id = $1 and m.subject_id = subject.id "# + $pushed + r#") as "roles_of_groups!" "# + $after,
            $($argument),+
        )
    };
}

pub(super) use query_with_roles;

const NOUN: &str = "role assignment in this organization";

struct Row {
    id: Uuid,
    group_id: Uuid,
    resource_type: String,
    resource_id: Uuid,
    role: String,
}

macro_rules! select {
    ($rest:literal, $($argument:expr),+ $(,)?) => {
        query_as!(
            Row,
            "select id, group_id, resource_type, resource_id, role from role_assignments r " + $rest,
            $($argument),+
        )
    };
}

impl From<Row> for RoleAssignment {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.into(),
            group_id: row.group_id.into(),
            resource_type: row.resource_type,
            resource_id: row.resource_id,
            role: row.role,
        }
    }
}

/// Adds an assignment.
///
/// # Errors
///
/// [`Error::AlreadyExists`] when the group has this role there.
pub async fn insert(
    db: &mut Connection,
    organization_id: OrganizationId,
    assignment: &RoleAssignment,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    query!(
        "insert into role_assignments (organization_id, id, group_id, resource_type, resource_id, role, created_at)
         values ($1, $2, $3, $4, $5, $6, $7)",
        organization_id.as_uuid(),
        assignment.id.as_uuid(),
        assignment.group_id.as_uuid(),
        assignment.resource_type,
        assignment.resource_id,
        assignment.role,
        now,
    )
    .execute(db)
    .await
    .on_constraint("role_assignments_key", || {
        Error::AlreadyExists("the group has this role already: nothing needs to be done".into())
    })?;
    Ok(())
}

aggregate! { RoleAssignment by RoleAssignmentId, NOUN, select: lock, delete("role_assignments") }

/// Removes the roles of a group that is deleted, and those that others have on it.
pub async fn delete_of_group(
    db: &mut Connection,
    organization_id: OrganizationId,
    group: GroupId,
) -> Result<(), Error> {
    query!(
        "delete from role_assignments where organization_id = $1 and (group_id = $2 or resource_id = $2)",
        organization_id.as_uuid(),
        group.as_uuid(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Which assignments a list has. Empty lists say nothing.
#[derive(Debug, Default)]
pub struct Filter {
    /// The kinds of what they are on.
    pub resource_types: Vec<String>,
    /// The roles.
    pub roles: Vec<String>,
    /// What they are on.
    pub resource_ids: Vec<Uuid>,
    /// Whose they are.
    pub group: Option<Uuid>,
    /// A member or service account who is in the groups.
    pub subject: Option<Uuid>,
}

/// Reads a page of assignments.
pub async fn list(
    db: &mut Connection,
    organization_id: OrganizationId,
    filter: &Filter,
    page: Page,
) -> Result<Items<RoleAssignment>, Error> {
    let rows = select!(
        "where r.organization_id = $1 and r.id > $2
             and (cardinality($3::text[]) = 0 or r.resource_type = any($3))
             and (cardinality($4::text[]) = 0 or r.role = any($4))
             and (cardinality($5::uuid[]) = 0 or r.resource_id = any($5))
             and ($6::uuid is null or r.group_id = $6)
             and ($7::uuid is null or exists (
                 select 1 from group_members m
                 where m.organization_id = $1 and m.subject_id = $7 and m.group_id = r.group_id
                 union all
                 select 1 from scim_users s join scim_group_members m on m.organization_id = s.organization_id
                     and m.scim_configuration_id = s.scim_configuration_id and m.member_value = s.id::text
                 where s.organization_id = $1 and s.user_id = $7 and m.group_id = r.group_id))
         order by r.id limit $8",
        organization_id.as_uuid(),
        page.after,
        &filter.resource_types,
        &filter.roles,
        &filter.resource_ids,
        filter.group,
        filter.subject,
        page.limit(),
    )
    .fetch_all(db)
    .await?;
    Ok(Items::of(rows.into_iter().map(Into::into).collect(), page))
}

/// Keeps others who take power from somebody waiting until the transaction ends: of two administrators who take it from each other,
/// the second one sees what the first one did. Tells whether a member administers the organization now.
pub async fn lock_administration(
    db: &mut Connection,
    organization_id: OrganizationId,
) -> Result<bool, Error> {
    query_scalar!(
        "select 1 from organizations where id = $1 for no key update",
        organization_id.as_uuid(),
    )
    .fetch_optional(&mut *db)
    .await?;
    is_administered(db, organization_id).await
}

/// Whether there is an active member who administers the organization, in its own right or through a group.
pub async fn is_administered(
    db: &mut Connection,
    organization_id: OrganizationId,
) -> Result<bool, Error> {
    Ok(query_scalar!(
        r#"select exists (
             select 1 from users u where u.organization_id = $1 and u.role = 'admin' and u.status = 'active'
             union all
             select 1 from role_assignments r
             join group_members m on m.organization_id = r.organization_id and m.group_id = r.group_id
             join users u on u.organization_id = m.organization_id and u.id = m.subject_id and u.status = 'active'
             where r.organization_id = $1 and r.resource_id = $1 and r.role = 'org_admin'
             union all
             select 1 from role_assignments r
             join scim_groups g on g.organization_id = r.organization_id and g.id = r.group_id
             join scim_group_members m on m.organization_id = g.organization_id
                 and m.scim_configuration_id = g.scim_configuration_id and m.group_id = g.id
             cross join lateral (
                 select s.user_id from scim_users s
                 where s.organization_id = $1 and s.scim_configuration_id = m.scim_configuration_id
                     and s.id = case when m.member_value ~ '^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$' then m.member_value::uuid end offset 0) s
             join users u on u.organization_id = g.organization_id and u.id = s.user_id and u.status = 'active'
             where r.organization_id = $1 and r.resource_id = $1 and r.role = 'org_admin') as "exists!""#,
        organization_id.as_uuid(),
    )
    .fetch_one(db)
    .await?)
}
