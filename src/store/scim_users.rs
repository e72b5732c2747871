//! Writing SCIM users, the members that they are, and the events that tell of it: one statement a
//! change, so that all of it happens or none.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use sqlx::query;
use uuid::Uuid;

use super::scim_events::Event;
use super::scim_resources::Tenant;
use super::{Connection, Json};
use crate::error::Error;

/// What to say of a user name that is not unique.
pub const USER_NAME_IN_USE: &str = "another user of this configuration has this userName: update that user, or give another userName";

/// A user to write.
#[derive(Debug)]
pub struct UserRow {
    /// The resource's identifier.
    pub id: Uuid,
    /// The member that it is.
    pub user_id: Uuid,
    /// Whether the member is made with it.
    pub is_new_member: bool,
    /// The user name, as it was sent.
    pub user_name: String,
    /// The user name in the form in which equal names are equal.
    pub user_name_key: String,
    /// The client's identifier.
    pub external_id: Option<String>,
    /// The display name in lower case.
    pub display_name_key: Option<String>,
    /// Whether the user may have access; `None` leaves it as it was.
    pub active: Option<bool>,
    /// The canonical attributes.
    pub resource: Map<String, Value>,
    /// The canonical attributes in the form in which equal values are equal.
    pub search: Value,
    /// All addresses in lower case, each once.
    pub emails: Vec<String>,
    /// The member's address; may be empty.
    pub email: String,
    /// The member's address in lower case; may be empty.
    pub email_key: String,
    /// The member's name.
    pub name: String,
    /// Where the member's picture is; may be empty.
    pub avatar_url: String,
}

/// Someone that a new user could be.
#[derive(Debug)]
pub struct Match {
    /// The member.
    pub user_id: Uuid,
    /// The member's address in lower case.
    pub email_key: String,
    /// Whether the address is the person's for sure: the person proved to own it, or the
    /// organization has verified its domain.
    pub is_address_verified: bool,
    /// The user name, when a user of this configuration is this member already.
    pub linked_user_name: Option<String>,
    /// The user name, when the member was a user of this configuration.
    pub former_user_name: Option<String>,
    /// The client's identifier, when the member was a user of this configuration.
    pub former_external_id: Option<String>,
}

/// Those that new users with these names, identifiers and addresses could be.
///
/// # Errors
///
/// As the database has them.
pub async fn find_matches(
    db: &mut Connection,
    tenant: Tenant,
    user_names: &[String],
    external_ids: &[String],
    emails: &[String],
) -> Result<Vec<Match>, Error> {
    let rows = query!(
        r#"select u.id as "user_id!", u.email_key as "email_key!", u.email_verified or (exists (
                      select 1 from domain_verifications d where d.organization_id = $1 and d.verified_at is not null
                          and d.domain = substring(u.email_key from '@([^@]+)$'))
                      and not exists (select 1 from sso_identities i where i.organization_id = $1 and i.user_id = u.id)
                  ) as "is_address_verified!",
                  null::text as former_user_name, null::text as former_external_id,
                  (select s.user_name_key from scim_users s where s.organization_id = $1 and s.scim_configuration_id = $2
                   and s.user_id = u.id) as linked_user_name
           from users u where u.organization_id = $1 and u.email_key = any($5) and u.email_key <> '' and u.status <> 'left'
           union all
           select f.user_id, u.email_key, u.email_verified, f.user_name_key, f.external_id,
                  (select s.user_name_key from scim_users s where s.organization_id = $1 and s.scim_configuration_id = $2
                   and s.user_id = f.user_id)
           from scim_former_users f
           join users u on u.organization_id = $1 and u.id = f.user_id
           where f.organization_id = $1 and f.scim_configuration_id = $2
               and (f.user_name_key = any($3) or f.external_id = any($4))"#,
        tenant.organization_id.as_uuid(),
        tenant.scim_configuration_id.as_uuid(),
        user_names,
        external_ids,
        emails,
    )
    .fetch_all(db)
    .await?;
    let matches = rows.into_iter().map(|row| Match {
        user_id: row.user_id,
        email_key: row.email_key,
        is_address_verified: row.is_address_verified,
        linked_user_name: row.linked_user_name,
        former_user_name: row.former_user_name,
        former_external_id: row.former_external_id,
    });
    Ok(matches.collect())
}

/// Adds users with the events that tell of it, all or none. With `only_strangers`, `false` when one of
/// them [could be](find_matches) somebody who is known.
///
/// # Errors
///
/// [`Error::AlreadyExists`] when one of them is not unique.
pub async fn insert(
    db: &mut Connection,
    tenant: Tenant,
    now: DateTime<Utc>,
    new: &[(&UserRow, Event)],
    only_strangers: bool,
) -> Result<bool, Error> {
    let rows = || new.iter().map(|(row, _)| *row);
    let events = || new.iter().map(|(_, event)| event);
    let emails = || rows().flat_map(|row| row.emails.iter().map(|email| (row.id, &**email)));
    let inserted = query!(
        // The length of an array in a subquery is no reason to plan the statement anew each time; and the
        // lateral subqueries look up one row at a time by index, whatever the planner expects.
        r#"with given as (
             select * from unnest((select $3::uuid[]), (select $4::uuid[]), (select $5::boolean[]), (select $6::text[]),
                 (select $7::text[]), (select $8::text[]), (select $9::text[]), (select $10::boolean[]), (select $11::jsonb[]),
                 (select $12::jsonb[]), (select $13::text[]), (select $14::text[]), (select $15::text[]), (select $16::text[]),
                 (select $17::uuid[]), (select $18::text[]), (select $19::text[]), (select $20::text[]), (select $21::jsonb[]))
             as r(id, user_id, is_new_member, user_name, user_name_key, external_id, display_name_key, active, resource, search,
                 email, email_key, name, avatar_url, event_id, method, path, traits, changes)
         ), known as (
             select 1 from given r, lateral (
                 select 1 from users u where u.organization_id = $1 and u.email_key = r.email_key and u.email_key <> ''
                     and u.status <> 'left' offset 0) u
             union all
             select 1 from given r, lateral (
                 select 1 from scim_former_users f where f.organization_id = $1 and f.scim_configuration_id = $2
                     and f.user_name_key = r.user_name_key offset 0) f
             union all
             select 1 from given r, lateral (
                 select 1 from scim_former_users f where f.organization_id = $1 and f.scim_configuration_id = $2
                     and f.external_id = r.external_id offset 0) f
         ), rows as (
             select * from given where not $25 or not exists (select 1 from known)
         ), new_members as (
             insert into users (organization_id, id, email, email_key, email_verified, name, avatar_url, role, status, created_at, updated_at)
             select $1, user_id, email, email_key, false, name, avatar_url, 'member',
                    case when active then 'active' else 'suspended' end, $22, $22
             from rows where is_new_member
         ), old_members as (
             update users u set email = r.email, email_key = r.email_key, name = r.name, avatar_url = r.avatar_url, updated_at = $22,
                    email_verified = u.email_verified and u.email_key = r.email_key,
                    status = case when r.active and not exists (
                                 select 1 from scim_users o where o.organization_id = $1 and o.user_id = r.user_id and not o.active)
                             then 'active' else 'suspended' end
             from rows r where u.organization_id = $1 and u.id = r.user_id and not r.is_new_member
         ), no_longer_former as (
             delete from scim_former_users f using rows r
             where f.organization_id = $1 and f.scim_configuration_id = $2 and f.user_id = r.user_id and not r.is_new_member
         ), new_users as (
             insert into scim_users (organization_id, scim_configuration_id, id, user_id, user_name, user_name_key, external_id,
                 display_name_key, active, resource, search, version, created_at, last_modified)
             select $1, $2, id, user_id, user_name, user_name_key, external_id, display_name_key, active, resource, search, 1, $22, $22
             from rows
         ), new_emails as (
             insert into scim_user_emails (organization_id, scim_configuration_id, scim_user_id, value_key)
             select $1, $2, e.* from unnest((select $23::uuid[]), (select $24::text[])) e where exists (select 1 from rows)
         ), counted as (
             insert into scim_user_counts as c (organization_id, scim_configuration_id, part, count)
             select $1, $2, floor(random() * 64), count(*) from rows having count(*) > 0
             on conflict (organization_id, scim_configuration_id, part) do update set count = c.count + excluded.count
         ), told as (
             insert into scim_events (organization_id, scim_configuration_id, id, created_at, method, path, traits, outcome, status,
                 resource_type, resource_id, changes)
             select $1, $2, event_id, $22, method, path, string_to_array(traits, ','), 'created', 201, 'User', id, changes from rows
         )
         select exists (select 1 from rows) as "done!""#,
        tenant.organization_id.as_uuid(),
        tenant.scim_configuration_id.as_uuid(),
        rows().map(|row| row.id).collect::<Vec<_>>() as _,
        rows().map(|row| row.user_id).collect::<Vec<_>>() as _,
        rows().map(|row| row.is_new_member).collect::<Vec<_>>() as _,
        rows().map(|row| &*row.user_name).collect::<Vec<_>>() as _,
        rows().map(|row| &*row.user_name_key).collect::<Vec<_>>() as _,
        rows().map(|row| row.external_id.as_deref()).collect::<Vec<_>>() as _,
        rows().map(|row| row.display_name_key.as_deref()).collect::<Vec<_>>() as _,
        rows().map(|row| row.active).collect::<Vec<_>>() as _,
        rows().map(|row| Json(&row.resource)).collect::<Vec<_>>() as _,
        rows().map(|row| Json(&row.search)).collect::<Vec<_>>() as _,
        rows().map(|row| &*row.email).collect::<Vec<_>>() as _,
        rows().map(|row| &*row.email_key).collect::<Vec<_>>() as _,
        rows().map(|row| &*row.name).collect::<Vec<_>>() as _,
        rows().map(|row| &*row.avatar_url).collect::<Vec<_>>() as _,
        events().map(|event| event.id).collect::<Vec<_>>() as _,
        events().map(|event| &*event.method).collect::<Vec<_>>() as _,
        events().map(|event| &*event.path).collect::<Vec<_>>() as _,
        events().map(|event| event.traits.join(",")).collect::<Vec<_>>() as _,
        events().map(|event| Json(&event.changes)).collect::<Vec<_>>() as _,
        now,
        emails().map(|(user, _)| user).collect::<Vec<_>>() as _,
        emails().map(|(_, email)| email).collect::<Vec<_>>() as _,
        only_strangers,
    )
    .fetch_one(db)
    .await
    .map_err(explain)?;
    Ok(inserted.done)
}

/// Writes a changed user, if its version is still `version`; otherwise `false`.
///
/// # Errors
///
/// [`Error::AlreadyExists`] when it is not unique any more.
pub async fn update(
    db: &mut Connection,
    tenant: Tenant,
    now: DateTime<Utc>,
    row: &UserRow,
    version: i64,
    event: &Event,
) -> Result<bool, Error> {
    let updated = query!(
        r#"with changed as (
             update scim_users s set user_name = $7, user_name_key = $8, external_id = $9, display_name_key = $10,
                 active = coalesce($11, s.active), resource = $12, search = $13, version = s.version + 1, last_modified = $3
             where s.organization_id = $1 and s.scim_configuration_id = $2 and s.id = $5 and s.version = $6
             returning s.id, s.user_id, s.active
         ), member as (
             update users u set email = $15, email_key = $16, name = $17, avatar_url = $18, updated_at = $3,
                    email_verified = u.email_verified and u.email_key = $16, status = n.status
             from changed c, lateral (
                 select case when c.active and not exists (
                                 select 1 from scim_users o where o.organization_id = $1 and o.user_id = c.user_id and o.id <> c.id and not o.active)
                             then 'active' else 'suspended' end as status) n
             where u.organization_id = $1 and u.id = c.user_id
                 and (u.email, u.name, u.avatar_url, u.status) is distinct from ($15, $17, $18, n.status)
         ), old_emails as (
             delete from scim_user_emails e using changed c
             where e.organization_id = $1 and e.scim_configuration_id = $2 and e.scim_user_id = $5 and e.value_key <> all($14)
         ), new_emails as (
             insert into scim_user_emails (organization_id, scim_configuration_id, value_key, scim_user_id)
             select $1, $2, e, c.id from changed c, unnest($14::text[]) e
             on conflict do nothing
         ), told as (
             insert into scim_events (organization_id, scim_configuration_id, id, created_at, method, path, traits, outcome, status,
                 resource_type, resource_id, changes)
             select $1, $2, $4, $3, $19, $20, $21, 'updated', 200, 'User', id, $22 from changed
         )
         select exists (select 1 from changed) as "done!""#,
        tenant.organization_id.as_uuid(),
        tenant.scim_configuration_id.as_uuid(),
        now,
        event.id,
        row.id,
        version,
        row.user_name,
        row.user_name_key,
        row.external_id,
        row.display_name_key,
        row.active,
        Json(&row.resource) as _,
        Json(&row.search) as _,
        &row.emails,
        row.email,
        row.email_key,
        row.name,
        row.avatar_url,
        event.method,
        event.path,
        &event.traits as _,
        Json(&event.changes) as _,
    )
    .fetch_one(db)
    .await
    .map_err(explain)?;
    Ok(updated.done)
}

/// Deletes a user, takes it out of its groups, and lets its member leave, unless another
/// configuration provisions the member too. `false` when there is none, or its version is not
/// `version` if that is given.
///
/// # Errors
///
/// As the database has them.
pub async fn delete(
    db: &mut Connection,
    tenant: Tenant,
    now: DateTime<Utc>,
    id: Uuid,
    version: Option<i64>,
    event: &Event,
) -> Result<bool, Error> {
    let deleted = query!(
        r#"with gone as (
             delete from scim_users where organization_id = $1 and scim_configuration_id = $2 and id = $3
                 and ($4::bigint is null or version = $4)
             returning id, user_id, user_name_key, external_id
         ), former as (
             insert into scim_former_users (organization_id, scim_configuration_id, user_id, user_name_key, external_id, deleted_at)
             select $1, $2, user_id, user_name_key, external_id, $5 from gone
             on conflict (organization_id, scim_configuration_id, user_id) do update
             set user_name_key = excluded.user_name_key, external_id = excluded.external_id, deleted_at = excluded.deleted_at
         ), counted as (
             insert into scim_user_counts as c (organization_id, scim_configuration_id, part, count)
             select $1, $2, floor(random() * 64), -1 from gone
             on conflict (organization_id, scim_configuration_id, part) do update set count = c.count + excluded.count
         ), emails as (
             delete from scim_user_emails e using gone g
             where e.organization_id = $1 and e.scim_configuration_id = $2 and e.scim_user_id = $3
         ), memberships as (
             delete from scim_group_members m using gone g
             where m.organization_id = $1 and m.scim_configuration_id = $2 and m.member_value = $3::uuid::text
             returning m.group_id
         ), groups as (
             update scim_groups set version = version + 1, last_modified = $5
             where organization_id = $1 and scim_configuration_id = $2 and id in (select group_id from memberships)
         ), member as (
             update users u set updated_at = $5,
                    status = case when not exists (select 1 from scim_users o where o.organization_id = $1 and o.user_id = g.user_id and o.id <> g.id)
                                  then 'left'
                                  when exists (select 1 from scim_users o where o.organization_id = $1 and o.user_id = g.user_id and o.id <> g.id and not o.active)
                                  then 'suspended' else 'active' end
             from gone g where u.organization_id = $1 and u.id = g.user_id
         ), event as (
             insert into scim_events (organization_id, scim_configuration_id, id, created_at, method, path, traits, outcome, status,
                 resource_type, resource_id, changes, reason)
             select $1, $2, e.* from gone, jsonb_to_recordset($6) as e(id uuid, created_at timestamptz, method text, path text,
                 traits text[], outcome text, status smallint, resource_type text, resource_id uuid, changes jsonb, reason text)
         )
         select count(*) as "count!" from gone"#,
        tenant.organization_id.as_uuid(),
        tenant.scim_configuration_id.as_uuid(),
        id,
        version,
        now,
        Json([event]) as _,
    )
    .fetch_one(db)
    .await?;
    Ok(deleted.count > 0)
}

/// What must be unique about a user, in words.
fn explain(error: sqlx::Error) -> Error {
    let constraint = error
        .as_database_error()
        .and_then(|fault| fault.constraint());
    let text = match constraint {
        Some("scim_users_user_name_key") => USER_NAME_IN_USE,
        Some("scim_users_external_id_key") => {
            "another user of this configuration has this externalId: update that user, or give another externalId"
        }
        Some("scim_users_user_id_key" | "users_email_key" | "users_pkey") => {
            "another member of the organization has this e-mail address: give the user an address of its own"
        }
        _ => return error.into(),
    };
    Error::AlreadyExists(text.into())
}
