//! Members of organizations, and the groups that they are in, as applications read them.

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::{FromRow, Postgres, QueryBuilder};
use uuid::Uuid;

use super::sql::{Bound, Fragment};
use super::{Connection, Items, Page, Place};
use crate::domain::audit::Change;
use crate::domain::identity::Role;
use crate::domain::ids::{MemberId, OrganizationId};
use crate::domain::letters::{address_key, domain_key, fold};
use crate::domain::member::MemberStatus;
use crate::error::Error;

/// A member, as it is stored.
#[derive(Debug, FromRow)]
pub struct Member {
    /// The member.
    pub id: MemberId,
    /// The address; may be empty.
    pub email: String,
    /// The name.
    pub name: String,
    /// Where the picture is; may be empty.
    pub avatar_url: String,
    /// What the member may do.
    pub role: Role,
    /// Whether the member may act.
    pub status: MemberStatus,
    /// Since when.
    pub created_at: DateTime<Utc>,
    /// What the list is sorted by.
    pub sort_key: String,
}

impl Member {
    /// Where the member is in a list.
    pub fn place(&self) -> Place {
        Place(self.sort_key.clone(), self.id.as_uuid())
    }
}

/// Reads a member.
///
/// # Errors
///
/// [`Error::NotFound`] when the organization has none with this identifier.
pub async fn get(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: MemberId,
) -> Result<Member, Error> {
    sqlx::query_as!(
        Member,
        r#"select id as "id: _", email, name, avatar_url, role as "role: _", status as "status: _", created_at, '' as "sort_key!"
           from users where organization_id = $1 and id = $2"#,
        organization_id.as_uuid(),
        id.as_uuid(),
    )
    .fetch_optional(db)
    .await?
    .ok_or(Error::NotFound("member of this organization"))
}

/// A member whose status was changed.
#[derive(Debug)]
pub struct Settled {
    /// The member.
    pub id: MemberId,
    /// The status before.
    pub before: MemberStatus,
    /// The status now.
    pub after: MemberStatus,
    /// How many sessions of the member were ended.
    pub ended_sessions: u64,
}

impl Settled {
    /// What the audit log tells of it.
    pub fn change(&self) -> Change {
        let before = json!({ "status": self.before });
        let after = json!({ "status": self.after, "ended_sessions": self.ended_sessions });
        Change::of_member("SetUserStatus", self.id, Some(before), Some(after))
    }
}

/// Locks members until the transaction ends, in an order in which nobody waits for each other, and tells their status.
pub async fn lock(
    db: &mut Connection,
    organization_id: OrganizationId,
    members: &[MemberId],
) -> Result<Vec<(MemberId, MemberStatus)>, Error> {
    let ids: Vec<Uuid> = members.iter().map(|member| member.as_uuid()).collect();
    let rows = sqlx::query!(
        r#"select id as "id: MemberId", status as "status: MemberStatus" from users
           where organization_id = $1 and id = any($2) order by id for update"#,
        organization_id.as_uuid(),
        &ids,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.status)).collect())
}

/// Gives members the status that their users say, ends the sessions of those who may not act, and tells what changed. Users of a
/// configuration that was deleted meanwhile do not count.
///
/// It is the last thing that a transaction does which changed whether there are such users or whether they are active: two
/// configurations may provision one member, and whoever comes second sees what the first one wrote. Two round trips, three if a
/// status changes.
pub async fn settle(
    db: &mut Connection,
    organization_id: OrganizationId,
    members: &[MemberId],
    now: DateTime<Utc>,
) -> Result<Vec<Settled>, Error> {
    let ids: Vec<Uuid> = members.iter().map(|member| member.as_uuid()).collect();
    // Sign-in locks the member before it looks at the status.
    let locked = lock(db, organization_id, members).await?;
    let users = sqlx::query!(
        r#"select s.user_id as "member: MemberId", s.active from scim_users s
           join scim_configurations c on c.organization_id = s.organization_id and c.id = s.scim_configuration_id
           where s.organization_id = $1 and s.user_id = any($2)"#,
        organization_id.as_uuid(),
        &ids,
    )
    .fetch_all(&mut *db)
    .await?;
    let of = |member| users.iter().filter(move |user| user.member == member);
    let settled = locked.into_iter().map(|(id, before)| Settled {
        id,
        before,
        after: MemberStatus::of_users(of(id).map(|user| user.active)),
        ended_sessions: 0,
    });
    let mut changed: Vec<Settled> = settled.filter(|s| s.before != s.after).collect();
    if changed.is_empty() {
        return Ok(changed);
    }
    let (ids, statuses): (Vec<Uuid>, Vec<&str>) = changed
        .iter()
        .map(|settled| (settled.id.as_uuid(), settled.after.as_str()))
        .unzip();
    let ended = sqlx::query!(
        r#"with changed as (
             update users u set status = n.status, updated_at = $4
             from unnest($2::uuid[], $3::text[]) n(id, status) where u.organization_id = $1 and u.id = n.id
             returning u.id, u.status
         ), ended as (
             delete from sessions s using changed c where s.organization_id = $1 and s.user_id = c.id and c.status <> 'active'
             returning s.user_id
         )
         select user_id as "member: MemberId", count(*) as "sessions!" from ended group by user_id"#,
        organization_id.as_uuid(),
        &ids,
        &statuses as _,
        now,
    )
    .fetch_all(db)
    .await?;
    for row in ended {
        let settled = changed.iter_mut().find(|settled| settled.id == row.member);
        if let Some(settled) = settled {
            settled.ended_sessions = row.sessions.unsigned_abs();
        }
    }
    Ok(changed)
}

/// Which members a list has. Empty lists and texts say nothing.
#[derive(Debug, Default)]
pub struct Filter {
    /// A part of the name or the address.
    pub search: String,
    /// The states.
    pub statuses: Vec<MemberStatus>,
    /// The roles.
    pub roles: Vec<Role>,
    /// The identifiers.
    pub ids: Vec<MemberId>,
    /// Groups whose own members are left out.
    pub outside_groups: Vec<Uuid>,
    /// The whole address.
    pub email: String,
}

/// The order of a list of members.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// By name; otherwise by the time they joined.
    pub by_name: bool,
    /// The other way round.
    pub descending: bool,
}

/// The name of the row `u`, folded, also where an older program wrote it.
const NAME_KEY: &str = "coalesce(u.name_key, folded(u.name))";

impl Order {
    const fn key(self) -> &'static str {
        if self.by_name {
            NAME_KEY
        } else {
            "to_char(u.created_at at time zone 'utc', 'YYYYMMDDHH24MISSUS')"
        }
    }
}

/// Reads some members, those after this place.
pub async fn list(
    db: &mut Connection,
    organization_id: OrganizationId,
    filter: &Filter,
    order: Order,
    after: Option<&Place>,
    size: u32,
) -> Result<Items<Member>, Error> {
    let page = Page::first(size);
    let key = order.key();
    let mut query = statement(
        organization_id,
        "select u.id, u.email, u.name, u.avatar_url, u.role, u.status, u.created_at, ",
    );
    query.push(key).push(" as sort_key");
    push_filter(&mut query, filter);
    let (compare, direction) = if order.descending {
        ("<", " desc")
    } else {
        (">", "")
    };
    if let Some(Place(last, id)) = after {
        query
            .push(format!(" and ({key} collate \"C\", u.id) {compare} ("))
            .push_bind(last);
        query.push(", ").push_bind(id).push(")");
    }
    query.push(format!(
        " order by {key} collate \"C\"{direction}, u.id{direction} limit "
    ));
    query.push_bind(page.limit());
    let rows = query.build_query_as().fetch_all(db).await?;
    Ok(Items::of(rows, page))
}

/// How many members the filter lets through.
pub async fn count(
    db: &mut Connection,
    organization_id: OrganizationId,
    filter: &Filter,
) -> Result<i64, Error> {
    let mut query = statement(organization_id, "select count(*)");
    push_filter(&mut query, filter);
    Ok(query.build_query_scalar().fetch_one(db).await?)
}

/// A statement about an organization, all of whose parts name it `$1`.
fn statement(organization_id: OrganizationId, text: &str) -> QueryBuilder<Postgres> {
    // It has this number because it is bound first.
    let mut query = QueryBuilder::new("/* of ");
    query.push_bind(organization_id.as_uuid());
    query.push(" */ ").push(text);
    query
}

fn push_filter(query: &mut QueryBuilder<Postgres>, filter: &Filter) {
    query.push(" from users u where u.organization_id = $1");
    if !filter.search.is_empty() {
        query
            .push(format!(" and (strpos({NAME_KEY}, "))
            .push_bind(fold(&filter.search).into_owned())
            .push(") > 0");
        // A part of an address, or its domain as people write it.
        let domain = (!filter.search.is_ascii()).then(|| domain_key(&filter.search));
        for part in [Some(address_key(&filter.search)), domain]
            .into_iter()
            .flatten()
        {
            query
                .push(" or strpos(u.email_key, ")
                .push_bind(part.into_owned())
                .push(") > 0");
        }
        query.push(")");
    }
    if !filter.email.is_empty() {
        query
            .push(" and u.email_key = ")
            .push_bind(address_key(&filter.email).into_owned());
    }
    let statuses = filter.statuses.iter().map(|status| status.as_str());
    let roles = filter.roles.iter().map(|role| role.as_str());
    for (column, values) in [
        ("u.status", statuses.collect::<Vec<_>>()),
        ("u.role", roles.collect()),
    ] {
        if !values.is_empty() {
            query
                .push(format!(" and {column} = any("))
                .push_bind(values)
                .push(")");
        }
    }
    if !filter.ids.is_empty() {
        let ids: Vec<Uuid> = filter.ids.iter().map(|id| id.as_uuid()).collect();
        query.push(" and u.id = any(").push_bind(ids).push(")");
    }
    if !filter.outside_groups.is_empty() {
        query.push(
            " and not exists (select 1 from scim_users s join scim_group_members m
                 on m.organization_id = $1 and m.scim_configuration_id = s.scim_configuration_id
                     and m.member_value = s.id::text
               where s.organization_id = $1 and s.user_id = u.id and m.group_id = any(",
        );
        query.push_bind(filter.outside_groups.clone()).push("))");
    }
}

/// A group, as applications see it.
#[derive(Debug, FromRow)]
pub struct Group {
    /// The group's identifier.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// How many people are members of the group itself.
    pub member_count: i64,
}

/// Which groups a list has.
#[derive(Debug, Default)]
pub struct GroupFilter {
    /// A part of the name.
    pub search: String,
    /// The whole name.
    pub name: Option<String>,
    /// The identifiers; empty for all.
    pub ids: Vec<Uuid>,
}

/// Reads a page of the organization's groups, of all its SCIM configurations.
pub async fn list_groups(
    db: &mut Connection,
    organization_id: OrganizationId,
    filter: &GroupFilter,
    page: Page,
) -> Result<Items<Group>, Error> {
    let mut query = statement(
        organization_id,
        "select g.id, g.display_name as name, g.created_at,
                greatest(g.last_modified, (select max(c.last_modified) from scim_group_changes c
                    where c.organization_id = $1 and c.scim_configuration_id = g.scim_configuration_id
                        and c.group_id = g.id)) as updated_at,
                (select count(*) from scim_group_members m
                 join scim_users s on s.organization_id = $1 and s.scim_configuration_id = m.scim_configuration_id
                     and s.id::text = m.member_value
                 where m.organization_id = $1 and m.scim_configuration_id = g.scim_configuration_id
                     and m.group_id = g.id) as member_count
         from scim_groups g where g.organization_id = $1 and g.id > ",
    );
    query.push_bind(page.after);
    let mut conditions = vec![];
    if !filter.search.is_empty() {
        let text = Bound::Text(fold(&filter.search).into_owned());
        conditions.push(
            Fragment::new("strpos(g.display_name_key, ")
                .bind(text)
                .text(") > 0"),
        );
    }
    if let Some(name) = &filter.name {
        conditions.push(Fragment::new("g.display_name = ").bind(Bound::Text(name.clone())));
    }
    for condition in conditions {
        query.push(" and ");
        condition.push_to(&mut query);
    }
    if !filter.ids.is_empty() {
        query
            .push(" and g.id = any(")
            .push_bind(filter.ids.clone())
            .push(")");
    }
    query.push(" order by g.id limit ").push_bind(page.limit());
    let rows = query.build_query_as().fetch_all(db).await?;
    Ok(Items::of(rows, page))
}

/// The first group that a filter lets through.
///
/// # Errors
///
/// [`Error::NotFound`] when it lets none through.
pub async fn get_group(
    db: &mut Connection,
    organization_id: OrganizationId,
    filter: &GroupFilter,
) -> Result<Group, Error> {
    let found = list_groups(db, organization_id, filter, Page::first(1)).await?;
    let group = found.items.into_iter().next();
    group.ok_or(Error::NotFound("group in this organization"))
}

/// Someone who is a member of a group.
#[derive(Debug, FromRow)]
pub struct Membership {
    /// The membership's identifier.
    pub id: Uuid,
    /// The member.
    pub user_id: MemberId,
    /// The member's name.
    pub name: String,
    /// Where the member's picture is; may be empty.
    pub avatar_url: String,
}

/// Reads a page of the people who are members of a group itself.
pub async fn list_memberships(
    db: &mut Connection,
    organization_id: OrganizationId,
    group: Uuid,
    search: &str,
    page: Page,
) -> Result<Items<Membership>, Error> {
    let rows = sqlx::query_as!(
        Membership,
        "select m.id, s.user_id as \"user_id: _\", u.name, u.avatar_url
         from scim_groups g
         join scim_group_members m on m.organization_id = g.organization_id
             and m.scim_configuration_id = g.scim_configuration_id and m.group_id = g.id
         join scim_users s on s.organization_id = m.organization_id and s.scim_configuration_id = m.scim_configuration_id
             and s.id::text = m.member_value
         join users u on u.organization_id = s.organization_id and u.id = s.user_id
         where g.organization_id = $1 and g.id = $2 and m.id > $3 and ($4 = '' or strpos(coalesce(u.name_key, folded(u.name)), $4) > 0)
         order by m.id limit $5",
        organization_id.as_uuid(),
        group,
        page.after,
        &*fold(search),
        page.limit(),
    )
    .fetch_all(db)
    .await?;
    Ok(Items::of(rows, page))
}
