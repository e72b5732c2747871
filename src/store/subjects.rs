//! What there is in an organization, as events tell of it.

use serde_json::Value;
use sqlx::query_as;
use uuid::Uuid;

use super::{Connection, Items, Page};
use crate::domain::ids::OrganizationId;
use crate::domain::names::named;
use crate::error::Error;

named! {
    /// The tables of what is listed, in the order of the list: each after those that it refers to.
    pub enum Table {
        /// Members.
        Members = "members",
        /// Groups that the organization made.
        Groups = "groups",
        /// Groups that identity providers push.
        PushedGroups = "pushed_groups",
        /// Who is in a group that the organization made.
        Memberships = "memberships",
        /// Who is in a group that an identity provider pushes.
        PushedMemberships = "pushed_memberships",
        /// The roles of groups.
        RoleAssignments = "role_assignments",
        /// The sessions of members.
        Sessions = "sessions",
    }
}

impl Table {
    /// What events call a row.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Members => "member",
            Self::Groups | Self::PushedGroups => "group",
            Self::Memberships | Self::PushedMemberships => "membership",
            Self::RoleAssignments => "role_assignment",
            Self::Sessions => "session",
        }
    }
}

/// Where a row is in its table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Of the group that an identity provider pushes; nil for every other table.
    pub configuration: Uuid,
    /// Of its member, with the same exception.
    pub group: Uuid,
    /// The identifier, or what SCIM calls the member.
    pub id: String,
}

/// Something that there is.
#[derive(Debug)]
pub struct Subject {
    /// Its identifier.
    pub id: Uuid,
    /// What events tell of it.
    pub data: Value,
    configuration: Uuid,
    group_id: Uuid,
    value: String,
}

impl Subject {
    /// Where it is in its table.
    pub fn place(&self) -> Place {
        Place {
            configuration: self.configuration,
            group: self.group_id,
            id: self.value.clone(),
        }
    }
}

macro_rules! by_id {
    ($db:ident, $organization_id:ident, $after:ident, $page:ident, $told:literal, $table:literal) => {
        query_as!(
            Subject,
            r#"select r.id, "# + $told + r#" as "data!", '00000000-0000-0000-0000-000000000000'::uuid as "configuration!",
                   '00000000-0000-0000-0000-000000000000'::uuid as "group_id!", r.id::text as "value!"
               from "# + $table + r#" r where r.organization_id = $1 and r.id > $2 order by r.id limit $3"#,
            $organization_id.as_uuid(),
            $after.id.parse::<Uuid>().unwrap_or_default(),
            $page.limit(),
        )
        .fetch_all($db)
        .await?
    };
}

/// Reads some rows of a table, those behind one. One round trip.
pub async fn list(
    db: &mut Connection,
    organization_id: OrganizationId,
    table: Table,
    after: &Place,
    size: u32,
) -> Result<Items<Subject>, Error> {
    let page = Page::first(size);
    let rows = match table {
        Table::Members => by_id!(
            db,
            organization_id,
            after,
            page,
            "told_member(r.id, r.email, r.email_verified, r.name, r.avatar_url, r.role, r.status, r.created_at, r.updated_at)",
            "users"
        ),
        Table::Groups => by_id!(
            db,
            organization_id,
            after,
            page,
            "told_group(to_jsonb(r))",
            "groups"
        ),
        Table::PushedGroups => by_id!(
            db,
            organization_id,
            after,
            page,
            "told_pushed_group(to_jsonb(r))",
            "scim_groups"
        ),
        Table::Memberships => by_id!(
            db,
            organization_id,
            after,
            page,
            "told_membership(r.id, r.group_id, r.subject_id, r.principal)",
            "group_members"
        ),
        Table::PushedMemberships => pushed_memberships(db, organization_id, after, page).await?,
        Table::RoleAssignments => by_id!(
            db,
            organization_id,
            after,
            page,
            "told_role_assignment(to_jsonb(r))",
            "role_assignments"
        ),
        Table::Sessions => by_id!(
            db,
            organization_id,
            after,
            page,
            "told_session(to_jsonb(r))",
            "sessions"
        ),
    };
    Ok(Items::of(rows, page))
}

async fn pushed_memberships(
    db: &mut Connection,
    organization_id: OrganizationId,
    after: &Place,
    page: Page,
) -> Result<Vec<Subject>, Error> {
    Ok(query_as!(
        Subject,
        r#"select r.id, told_membership(r.id, r.group_id, s.user_id, 'user') as "data!", r.scim_configuration_id as "configuration!",
               r.group_id, r.member_value as "value!"
           from scim_group_members r
           cross join lateral (
               select s.user_id from scim_users s
               where s.organization_id = $1 and s.scim_configuration_id = r.scim_configuration_id
                   and s.id = case when r.member_value ~ '^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$' then r.member_value::uuid end offset 0) s
           where r.organization_id = $1 and (r.scim_configuration_id, r.group_id, r.member_value) > ($2, $3, $4)
           order by r.scim_configuration_id, r.group_id, r.member_value limit $5"#,
        organization_id.as_uuid(),
        after.configuration,
        after.group,
        after.id,
        page.limit(),
    )
    .fetch_all(db)
    .await?)
}
