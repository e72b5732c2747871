//! Members of organizations.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::{FromRow, Postgres, QueryBuilder};
use uuid::Uuid;

use super::{Connection, Items, Page, Place};
use crate::domain::audit::Change;
use crate::domain::identity::Role;
use crate::domain::ids::{MemberId, OrganizationId};
use crate::domain::letters::{address_key, domain_key, fold};
use crate::domain::member::MemberStatus;
use crate::error::Error;

const NOUN: &str = "member of this organization";

/// A member, as it is stored.
#[derive(Debug, FromRow)]
pub struct Member {
    /// The member.
    pub id: MemberId,
    /// The address; may be empty.
    pub email: String,
    /// Whether the member proved to own it.
    pub email_verified: bool,
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
    /// When the member was changed last.
    pub updated_at: DateTime<Utc>,
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
        r#"select id as "id: _", email, email_verified, name, avatar_url, role as "role: _", status as "status: _", created_at, updated_at,
               '' as "sort_key!"
           from users where organization_id = $1 and id = $2"#,
        organization_id.as_uuid(),
        id.as_uuid(),
    )
    .fetch_optional(db)
    .await?
    .ok_or(Error::NotFound(NOUN))
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

/// A member who is locked.
#[derive(Debug)]
pub struct Locked {
    /// The member.
    pub id: MemberId,
    /// The status.
    pub status: MemberStatus,
    /// Whether an administrator suspended the member.
    pub by_hand: bool,
}

/// Locks members until the transaction ends, in an order in which nobody waits for each other, and tells their status.
pub async fn lock(
    db: &mut Connection,
    organization_id: OrganizationId,
    members: &[MemberId],
) -> Result<Vec<Locked>, Error> {
    let ids: Vec<Uuid> = members.iter().map(|member| member.as_uuid()).collect();
    Ok(sqlx::query_as!(
        Locked,
        r#"select id as "id: _", status as "status: _", suspended_at is not null as "by_hand!" from users
           where organization_id = $1 and id = any($2) order by id for update"#,
        organization_id.as_uuid(),
        &ids,
    )
    .fetch_all(db)
    .await?)
}

/// Gives members the status that their users say, ends the sessions and tokens of those who may not act, and tells what changed. Users
/// of a configuration that was deleted meanwhile do not count.
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
    // Sign-in locks the member before it looks at the status.
    let locked = lock(db, organization_id, members).await?;
    let users = active_users(db, organization_id, members).await?;
    let settled = locked.into_iter().map(|member| Settled {
        id: member.id,
        before: member.status,
        after: MemberStatus::of_users(member.by_hand, of(&users, member.id)),
        ended_sessions: 0,
    });
    let changed = settled.filter(|s| s.before != s.after).collect();
    write(db, organization_id, changed, now).await
}

/// A user that is a member, and whether it is active.
struct ActiveUser {
    member: MemberId,
    active: bool,
}

fn of(users: &[ActiveUser], member: MemberId) -> impl Iterator<Item = bool> {
    let of_member = users.iter().filter(move |user| user.member == member);
    of_member.map(|user| user.active)
}

async fn active_users(
    db: &mut Connection,
    organization_id: OrganizationId,
    members: &[MemberId],
) -> Result<Vec<ActiveUser>, Error> {
    let ids: Vec<Uuid> = members.iter().map(|member| member.as_uuid()).collect();
    Ok(sqlx::query_as!(
        ActiveUser,
        r#"select s.user_id as "member: _", s.active from scim_users s
           join scim_configurations c on c.organization_id = s.organization_id and c.id = s.scim_configuration_id
           where s.organization_id = $1 and s.user_id = any($2)"#,
        organization_id.as_uuid(),
        &ids,
    )
    .fetch_all(db)
    .await?)
}

/// Writes the new status of members. Who may not act loses sessions and tokens, and applications lose what they may do in
/// the member's name; who left is no administrator any more, and in no
/// group that is the organization's own: whoever comes back begins as any member.
async fn write(
    db: &mut Connection,
    organization_id: OrganizationId,
    mut changed: Vec<Settled>,
    now: DateTime<Utc>,
) -> Result<Vec<Settled>, Error> {
    if changed.is_empty() {
        return Ok(changed);
    }
    let (ids, statuses): (Vec<Uuid>, Vec<&str>) = changed
        .iter()
        .map(|settled| (settled.id.as_uuid(), settled.after.as_str()))
        .unzip();
    let ended = sqlx::query!(
        r#"with changed as (
             update users u set status = n.status, updated_at = $4,
                 role = case when n.status = 'left' then 'member' else u.role end
             from unnest($2::uuid[], $3::text[]) n(id, status) where u.organization_id = $1 and u.id = n.id
             returning u.id, u.status
         ), ended as (
             delete from sessions s using changed c where s.organization_id = $1 and s.user_id = c.id and c.status <> 'active'
             returning s.user_id
         ), tokens as (
             delete from personal_access_tokens t using changed c
             where t.organization_id = $1 and t.user_id = c.id and c.status <> 'active'
         ), granted as (
             update grants g set ended_at = $4 from changed c
             where g.organization_id = $1 and g.subject_id = c.id and g.ended_at is null and c.status <> 'active'
         ), memberships as (
             delete from group_members m using changed c
             where m.organization_id = $1 and m.subject_id = c.id and c.status = 'left'
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

/// Has an administrator suspend a member, or lift that. Whom provisioning keeps out stays out. Tells the change of the status, if it
/// changes, and whether an administrator had suspended the member before.
///
/// # Errors
///
/// [`Error::NotFound`] when the organization has no such member; [`Error::FailedPrecondition`] for one who left.
pub async fn set_suspended(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: MemberId,
    is_suspended: bool,
    now: DateTime<Utc>,
) -> Result<(Option<Settled>, bool), Error> {
    let before = lock_one(db, organization_id, id).await?;
    let was_suspended = before.by_hand;
    if before.status == MemberStatus::Left {
        return Err(Error::FailedPrecondition(
            "the member has left the organization, and may not act anyway".to_owned(),
        ));
    }
    sqlx::query!(
        "update users set suspended_at = $3 where organization_id = $1 and id = $2",
        organization_id.as_uuid(),
        id.as_uuid(),
        is_suspended.then_some(now),
    )
    .execute(&mut *db)
    .await?;
    let users = active_users(db, organization_id, &[id]).await?;
    let after = match &*users {
        [] => MemberStatus::of_hand(is_suspended),
        users => MemberStatus::of_users(is_suspended, of(users, id)),
    };
    let settled = settle_one(db, organization_id, before, after, now).await?;
    Ok((settled, was_suspended))
}

/// Makes sure that a member may act until the transaction ends.
///
/// # Errors
///
/// [`Error::Unauthenticated`] when the member may not any more.
pub async fn lock_active(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: MemberId,
) -> Result<(), Error> {
    let locked = lock_one(db, organization_id, id).await?;
    match locked.status {
        MemberStatus::Active => Ok(()),
        MemberStatus::Suspended | MemberStatus::Left => Err(Error::Unauthenticated),
    }
}

/// Removes a member whom nobody provisions: it has left. `None` for one who had left before.
///
/// # Errors
///
/// [`Error::NotFound`] when the organization has no such member; [`Error::FailedPrecondition`] for one who is provisioned.
pub async fn remove(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: MemberId,
    now: DateTime<Utc>,
) -> Result<Option<Settled>, Error> {
    let before = lock_one(db, organization_id, id).await?;
    let configuration = sqlx::query_scalar!(
        "select c.name from scim_users s
         join scim_configurations c on c.organization_id = s.organization_id and c.id = s.scim_configuration_id
         where s.organization_id = $1 and s.user_id = $2 order by c.id limit 1",
        organization_id.as_uuid(),
        id.as_uuid(),
    )
    .fetch_optional(&mut *db)
    .await?;
    if let Some(name) = configuration {
        return Err(Error::FailedPrecondition(format!(
            "the SCIM configuration \"{name}\" provisions this member: remove the person in the identity provider, or suspend the member here"
        )));
    }
    settle_one(db, organization_id, before, MemberStatus::Left, now).await
}

async fn settle_one(
    db: &mut Connection,
    organization_id: OrganizationId,
    before: Locked,
    after: MemberStatus,
    now: DateTime<Utc>,
) -> Result<Option<Settled>, Error> {
    let settled = Settled {
        id: before.id,
        before: before.status,
        after,
        ended_sessions: 0,
    };
    let changed = match before.status == after {
        true => vec![],
        false => vec![settled],
    };
    let changed = write(db, organization_id, changed, now).await?;
    Ok(changed.into_iter().next())
}

async fn lock_one(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: MemberId,
) -> Result<Locked, Error> {
    let locked = lock(db, organization_id, &[id]).await?;
    locked.into_iter().next().ok_or(Error::NotFound(NOUN))
}

/// Keeps a member who has not left from changing until the transaction ends, and tells the member's role.
///
/// # Errors
///
/// [`Error::NotFound`] when the organization has no such member; [`Error::FailedPrecondition`] for one who left.
pub async fn lock_here(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: MemberId,
) -> Result<Role, Error> {
    if lock_one(db, organization_id, id).await?.status == MemberStatus::Left {
        return Err(Error::FailedPrecondition(
            "the member has left the organization".to_owned(),
        ));
    }
    Ok(get(db, organization_id, id).await?.role)
}

/// Whether a member who has not left has this address.
pub async fn has_address(
    db: &mut Connection,
    organization_id: OrganizationId,
    email_key: &str,
) -> Result<bool, Error> {
    Ok(sqlx::query_scalar!(
        r#"select exists (select 1 from users u where u.organization_id = $1 and u.email_key = $2 and u.email_key <> ''
               and u.status <> 'left') as "exists!""#,
        organization_id.as_uuid(),
        email_key,
    )
    .fetch_one(db)
    .await?)
}

/// Gives a member a role.
///
/// # Errors
///
/// [`Error::NotFound`] when the organization has no such member.
pub async fn set_role(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: MemberId,
    role: Role,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let done = sqlx::query!(
        "update users set role = $3, updated_at = $4 where organization_id = $1 and id = $2",
        organization_id.as_uuid(),
        id.as_uuid(),
        role.as_str(),
        now,
    )
    .execute(db)
    .await?;
    super::must_exist(&done, NOUN)
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

/// What is searched by its parts, as the index `users_parts` has it.
const PARTS: &str = "(coalesce(u.name_key, folded(u.name)) || ' ' || u.email_key)";

/// The fewest letters of a part that the index finds.
const TRIGRAM: usize = 3;

/// How many members are looked up by their identifiers.
const FEW: i64 = 2_000;

/// The pattern of texts that contain this one.
fn containing(part: &str) -> String {
    let mut pattern = String::from("%");
    for c in part.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

impl Order {
    /// What comes before the identifier in the order. Identifiers are in the order in which members joined.
    const fn key(self) -> Option<&'static str> {
        if self.by_name { Some(NAME_KEY) } else { None }
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
    let found = find_few(db, organization_id, filter).await?;
    let filter = found.as_ref().unwrap_or(filter);
    let mut query = statement(
        organization_id,
        "select u.id, u.email, u.email_verified, u.name, u.avatar_url, u.role, u.status, u.created_at, u.updated_at, ",
    );
    query.push(order.key().unwrap_or("''")).push(" as sort_key");
    push_filter(&mut query, filter);
    let (compare, direction) = if order.descending {
        ("<", " desc")
    } else {
        (">", "")
    };
    match (order.key(), after) {
        (Some(key), Some(Place(last, id))) => {
            query
                .push(format!(" and ({key} collate \"C\", u.id) {compare} ("))
                .push_bind(last);
            query.push(", ").push_bind(id).push(")");
        }
        (None, Some(Place(_, id))) => {
            query.push(format!(" and u.id {compare} ")).push_bind(id);
        }
        (_, None) => {}
    }
    query.push(" order by ");
    if let Some(key) = order.key() {
        query.push(format!("{key} collate \"C\"{direction}, "));
    }
    query.push(format!("u.id{direction} limit "));
    query.push_bind(page.limit());
    let is_planned_once = filter.search.is_empty();
    let query = query.build_query_as().persistent(is_planned_once);
    Ok(Items::of(query.fetch_all(db).await?, page))
}

/// A filter for the members by their identifiers, where a part of a text has few of them: the index of parts finds these at once,
/// and a look through the order of the list would read all members. `None` where it has many, which that look soon meets.
async fn find_few(
    db: &mut Connection,
    organization_id: OrganizationId,
    filter: &Filter,
) -> Result<Option<Filter>, Error> {
    if filter.search.chars().count() < TRIGRAM {
        return Ok(None);
    }
    let mut query = statement(organization_id, "select u.id");
    push_filter(&mut query, filter);
    query.push(" limit ").push_bind(FEW + 1);
    let ids = query.build_query_scalar().persistent(false).fetch_all(db);
    let ids: Vec<MemberId> = ids.await?;
    if ids.len() > FEW as usize {
        return Ok(None);
    }
    let ids = match &*ids {
        // No member has this identifier.
        [] => vec![Uuid::nil().into()],
        _ => ids,
    };
    Ok(Some(Filter {
        ids,
        ..Filter::default()
    }))
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
pub(super) fn statement(organization_id: OrganizationId, text: &str) -> QueryBuilder<Postgres> {
    // It has this number because it is bound first.
    let mut query = QueryBuilder::new("/* of ");
    query.push_bind(organization_id.as_uuid());
    query.push(" */ ").push(text);
    query
}

fn push_filter(query: &mut QueryBuilder<Postgres>, filter: &Filter) {
    query.push(" from users u where u.organization_id = $1");
    if !filter.search.is_empty() {
        // A part of a name or of an address, or a domain as people write it.
        let domain = (!filter.search.is_ascii()).then(|| domain_key(&filter.search));
        let parts = [
            Some(fold(&filter.search)),
            Some(address_key(&filter.search)),
            domain,
        ];
        let mut parts: Vec<String> = parts.into_iter().flatten().map(Cow::into_owned).collect();
        parts.dedup();
        for (place, part) in parts.iter().enumerate() {
            query
                .push(if place == 0 { " and (" } else { " or " })
                .push(format!("{PARTS} like "))
                .push_bind(containing(part));
        }
        query.push(")");
    }
    if !filter.email.is_empty() {
        query
            .push(" and u.email_key = ")
            .push_bind(address_key(&filter.email).into_owned());
    }
    // Their names are constants, which choose an index.
    let statuses = filter.statuses.iter().map(|status| status.as_str());
    let roles = filter.roles.iter().map(|role| role.as_str());
    push_constants(query, "u.status", statuses.collect());
    push_constants(query, "u.role", roles.collect());
    if !filter.ids.is_empty() {
        let ids: Vec<Uuid> = filter.ids.iter().map(|id| id.as_uuid()).collect();
        query.push(" and u.id = any(").push_bind(ids).push(")");
    }
    if !filter.outside_groups.is_empty() {
        query
            .push(
                " and not exists (select 1 from group_members m
               where m.organization_id = $1 and m.subject_id = u.id and m.group_id = any(",
            )
            .push_bind(filter.outside_groups.clone())
            .push("))");
        query.push(
            " and not exists (select 1 from scim_users s join scim_group_members m
                 on m.organization_id = $1 and m.scim_configuration_id = s.scim_configuration_id
                     and m.member_value = s.id::text
               where s.organization_id = $1 and s.user_id = u.id and m.group_id = any(",
        );
        query.push_bind(filter.outside_groups.clone()).push("))");
    }
}

fn push_constants(query: &mut QueryBuilder<Postgres>, column: &str, mut values: Vec<&'static str>) {
    values.sort_unstable();
    values.dedup();
    match &*values {
        [] => {}
        [only] => {
            query.push(format!(" and {column} = '{only}'"));
        }
        several => {
            query.push(format!(" and {column} in ('{}')", several.join("', '")));
        }
    }
}
