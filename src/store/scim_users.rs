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
    /// The display name, folded.
    pub display_name_key: Option<String>,
    /// Whether the user may have access; `None` leaves it as it was.
    pub active: Option<bool>,
    /// The canonical attributes.
    pub resource: Map<String, Value>,
    /// The canonical attributes in the form in which equal values are equal.
    pub search: Value,
    /// The keys of all addresses, each once.
    pub emails: Vec<String>,
    /// The member's address; may be empty.
    pub email: String,
    /// The key of the member's address; may be empty.
    pub email_key: String,
    /// The member's name.
    pub name: String,
    /// The member's name, folded.
    pub name_key: String,
    /// Where the member's picture is; may be empty.
    pub avatar_url: String,
}

/// A member that a new user could be, and what says so.
#[derive(Debug)]
pub struct Match {
    /// The member.
    pub user_id: Uuid,
    /// Whether a user of this configuration is this member already.
    pub is_linked: bool,
    /// What the new user has in common with the member.
    pub tie: Tie,
}

/// What a new user has in common with a member.
#[derive(Debug)]
pub enum Tie {
    /// The member was a user of this configuration with this user name and this externalId.
    Former {
        /// The user name in the form in which equal names are equal.
        user_name_key: String,
        /// The client's identifier.
        external_id: Option<String>,
    },
    /// The member signed in as the person whom the provider knows by this identifier, which is also
    /// the user's externalId.
    Subject(String),
    /// The member has this address.
    Address {
        /// The key of the address.
        email_key: String,
        /// Whether it is the member's for sure: the member proved to own it, or the organization
        /// has verified its domain and nobody signed in as this member without proof.
        is_verified: bool,
    },
}

/// How many members with one address are looked at: more than one say no more than two.
const MAX_SHARING: i64 = 3;

/// The members that new users with these names, identifiers and addresses could be. One round trip.
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
        r#"with known as (
             select f.user_id, f.user_name_key, f.external_id, null::text as subject, null::text as email_key, false as is_verified
             from scim_former_users f
             where f.organization_id = $1 and f.scim_configuration_id = $2
                 and (f.user_name_key = any($3) or f.external_id = any($4))
             union all
             select i.user_id, null, null, i.given, null, false
             from scim_configurations c
             join sso_configurations p on p.organization_id = c.organization_id and p.id = c.sso_configuration_id,
             unnest($4::text[]) given, lateral (
                 select i.user_id, given from sso_identities i
                 where i.organization_id = $1 and i.sso_configuration_id = p.id and i.issuer = p.issuer_url
                     and (i.subject = given or i.object_id = given) offset 0) i
             where c.organization_id = $1 and c.id = $2
             union all
             select u.id, null, null, null, u.email_key, u.email_verified or (exists (
                        select 1 from domain_verifications d where d.organization_id = $1 and d.verified_at is not null
                            and d.domain = substring(u.email_key from '@([^@]+)$'))
                        and not exists (select 1 from sso_identities i where i.organization_id = $1 and i.user_id = u.id))
             from unnest($5::text[]) given, lateral (
                 select u.id, u.email_key, u.email_verified from users u
                 where u.organization_id = $1 and u.email_key = given and u.email_key <> '' and u.status <> 'left'
                 order by u.id limit $6) u
           )
           select k.user_id as "user_id!", k.user_name_key, k.external_id, k.subject, k.email_key, k.is_verified as "is_verified!",
                  exists (select 1 from scim_users s where s.organization_id = $1 and s.user_id = k.user_id
                      and s.scim_configuration_id = $2) as "is_linked!"
           from known k"#,
        tenant.organization_id.as_uuid(),
        tenant.scim_configuration_id.as_uuid(),
        user_names,
        external_ids,
        emails,
        MAX_SHARING,
    )
    .fetch_all(db)
    .await?;
    let matches = rows.into_iter().map(|row| Match {
        user_id: row.user_id,
        is_linked: row.is_linked,
        tie: match (row.user_name_key, row.subject, row.email_key) {
            (Some(user_name_key), ..) => Tie::Former {
                user_name_key,
                external_id: row.external_id,
            },
            (None, Some(subject), _) => Tie::Subject(subject),
            (None, None, email_key) => Tie::Address {
                email_key: email_key.unwrap_or_default(),
                is_verified: row.is_verified,
            },
        },
    });
    Ok(matches.collect())
}

/// The inactive user of a configuration that has this externalId, and its version.
///
/// # Errors
///
/// As the database has them.
pub async fn find_inactive(
    db: &mut Connection,
    tenant: Tenant,
    external_id: &str,
) -> Result<Option<(Uuid, i64)>, Error> {
    let found = query!(
        "select id, version from scim_users
         where organization_id = $1 and scim_configuration_id = $2 and external_id = $3 and not active",
        tenant.organization_id.as_uuid(),
        tenant.scim_configuration_id.as_uuid(),
        external_id,
    )
    .fetch_optional(db)
    .await?;
    Ok(found.map(|row| (row.id, row.version)))
}

/// What came of [`insert`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// All users were added.
    All,
    /// None was added: one of them [could be](find_matches) somebody who is known.
    NotStrangers,
    /// None was added: the member that one of them was taken for became another user's meanwhile.
    MemberTaken,
}

/// Adds users with the events that tell of it, all or none. With `only_strangers`, it adds none when
/// one of them could be somebody who is known. One round trip.
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
) -> Result<Inserted, Error> {
    let rows = || new.iter().map(|(row, _)| *row);
    let events = || new.iter().map(|(_, event)| event);
    let emails = || {
        let of = |row: &'_ UserRow| row.emails.len() == 1;
        rows().flat_map(move |row| {
            row.emails
                .iter()
                .map(move |email| (row.id, &**email, of(row)))
        })
    };
    let inserted = query!(
        // The length of an array in a subquery is no reason to plan the statement anew each time; and the
        // lateral subqueries look up one row at a time by index, whatever the planner expects. Members
        // are locked before all else, or two who want the same member would deadlock.
        r#"with here as (
             select sso_configuration_id as sso from scim_configurations where organization_id = $1 and id = $2
         ), given as (
             select * from unnest((select $3::uuid[]), (select $4::uuid[]), (select $5::boolean[]), (select $6::text[]),
                 (select $7::text[]), (select $8::text[]), (select $9::text[]), (select $10::boolean[]), (select $11::jsonb[]),
                 (select $12::jsonb[]), (select $13::text[]), (select $14::text[]), (select $15::text[]), (select $16::text[]),
                 (select $17::uuid[]), (select $18::text[]), (select $19::text[]), (select $20::text[]), (select $21::jsonb[]),
                 (select $26::text[]), (select $27::text[]))
             as r(id, user_id, is_new_member, user_name, user_name_key, external_id, display_name_key, active, resource, search,
                 email, email_key, name, avatar_url, event_id, method, path, traits, changes, reason, name_key)
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
             union all
             select 1 from given r, lateral (
                 select 1 from sso_identities i where i.organization_id = $1 and i.sso_configuration_id = (select sso from here)
                     and i.subject = r.external_id offset 0) i
             union all
             select 1 from given r, lateral (
                 select 1 from sso_identities i where i.organization_id = $1 and i.sso_configuration_id = (select sso from here)
                     and i.object_id = r.external_id offset 0) i
         ), rows as (
             select * from given where not $25 or not exists (select 1 from known)
         ), place as (
             -- A block is full with 4096 users, and some more when several add to it at once.
             select coalesce((
                 select b.block + (sum(b.count) >= 4096)::integer from scim_user_blocks b
                 where b.organization_id = $1 and b.scim_configuration_id = $2 and b.block = (
                     select max(l.block) from scim_user_blocks l where l.organization_id = $1 and l.scim_configuration_id = $2)
                 group by b.block), 0) as block
         ), new_members as (
             insert into users (organization_id, id, email, email_key, email_verified, name, name_key, avatar_url, role, status, created_at,
                 updated_at)
             select $1, user_id, email, email_key, false, name, name_key, avatar_url, 'member',
                    case when active then 'active' else 'suspended' end, $22, $22
             from rows where is_new_member
         ), old_members as (
             update users u set email = r.email, email_key = r.email_key, name = r.name, name_key = r.name_key,
                    avatar_url = r.avatar_url, updated_at = $22,
                    email_verified = u.email_verified and u.email_key = r.email_key,
                    status = case when r.active and not exists (
                                 select 1 from scim_users o where o.organization_id = $1 and o.user_id = r.user_id and not o.active)
                             then 'active' else 'suspended' end
             from rows r where u.organization_id = $1 and u.id = r.user_id and not r.is_new_member
             returning 1
         ), no_longer_former as (
             delete from scim_former_users f using rows r
             where f.organization_id = $1 and f.scim_configuration_id = $2 and f.user_id = r.user_id and not r.is_new_member
                 and (select count(*) from old_members) is not null
         ), new_users as (
             insert into scim_users (organization_id, scim_configuration_id, id, user_id, user_name, user_name_key, external_id,
                 display_name_key, active, resource, search, version, folded_version, created_at, last_modified, block)
             select $1, $2, id, user_id, user_name, user_name_key, external_id, display_name_key, active, resource, search, 1, 1, $22, $22,
                 (select block from place)
             from rows where (select count(*) from old_members) is not null
         ), new_emails as (
             insert into scim_user_emails (organization_id, scim_configuration_id, scim_user_id, value_key, alone)
             select $1, $2, e.* from unnest((select $23::uuid[]), (select $24::text[]), (select $28::boolean[])) e
             where exists (select 1 from rows)
         ), counted as (
             insert into scim_user_blocks as c (organization_id, scim_configuration_id, block, slot, count)
             select $1, $2, (select block from place), pg_backend_pid() % 64, count(*) from rows
             having count(*) > 0 and (select count(*) from old_members) is not null
             on conflict (organization_id, scim_configuration_id, block, slot) do update set count = c.count + excluded.count
         ), told as (
             insert into scim_events (organization_id, scim_configuration_id, id, created_at, method, path, traits, outcome, status,
                 resource_type, resource_id, changes, reason)
             select $1, $2, event_id, $22, method, path, string_to_array(traits, ','), 'created', 201, 'User', id, changes, reason
             from rows
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
        emails().map(|(user, ..)| user).collect::<Vec<_>>() as _,
        emails().map(|(_, email, _)| email).collect::<Vec<_>>() as _,
        only_strangers,
        events().map(|event| event.reason.as_deref()).collect::<Vec<_>>() as _,
        rows().map(|row| &*row.name_key).collect::<Vec<_>>() as _,
        emails().map(|(.., alone)| alone).collect::<Vec<_>>() as _,
    )
    .fetch_one(db)
    .await;
    match inserted {
        Ok(row) if row.done => Ok(Inserted::All),
        Ok(_) => Ok(Inserted::NotStrangers),
        Err(error) if constraint(&error) == Some("scim_users_user_id_key") => {
            Ok(Inserted::MemberTaken)
        }
        Err(error) => Err(explain(error)),
    }
}

/// Adds one user who is made a new member, unless it could be somebody who is known: what identity providers
/// send most. The same as [`insert`] of strangers, without what only others need. One round trip.
///
/// # Errors
///
/// [`Error::AlreadyExists`] when it is not unique.
pub async fn insert_stranger(
    db: &mut Connection,
    tenant: Tenant,
    now: DateTime<Utc>,
    row: &UserRow,
    event: &Event,
) -> Result<Inserted, Error> {
    let inserted = query!(
        r#"with here as (
             select sso_configuration_id as sso from scim_configurations where organization_id = $1 and id = $2
         ), member as (
             insert into users (organization_id, id, email, email_key, email_verified, name, name_key, avatar_url, role, status, created_at,
                 updated_at)
             select $1, $4, $12, $13, false, $14, $15, $16, 'member', case when $9 then 'active' else 'suspended' end, $17, $17
             where not exists (select 1 from users u where u.organization_id = $1 and u.email_key = $13 and u.email_key <> ''
                     and u.status <> 'left')
                 and not exists (select 1 from scim_former_users f where f.organization_id = $1 and f.scim_configuration_id = $2
                     and f.user_name_key = $6)
                 and not exists (select 1 from scim_former_users f where f.organization_id = $1 and f.scim_configuration_id = $2
                     and f.external_id = $7)
                 and not exists (select 1 from sso_identities i where i.organization_id = $1
                     and i.sso_configuration_id = (select sso from here) and i.subject = $7)
                 and not exists (select 1 from sso_identities i where i.organization_id = $1
                     and i.sso_configuration_id = (select sso from here) and i.object_id = $7)
             returning 1
         ), place as (
             -- A block is full with 4096 users, and some more when several add to it at once.
             select coalesce((
                 select b.block + (sum(b.count) >= 4096)::integer from scim_user_blocks b
                 where b.organization_id = $1 and b.scim_configuration_id = $2 and b.block = (
                     select max(l.block) from scim_user_blocks l where l.organization_id = $1 and l.scim_configuration_id = $2)
                 group by b.block), 0) as block
         ), added as (
             insert into scim_users (organization_id, scim_configuration_id, id, user_id, user_name, user_name_key, external_id,
                 display_name_key, active, resource, search, version, folded_version, created_at, last_modified, block)
             select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 1, 1, $17, $17, (select block from place) from member
         ), emails as (
             insert into scim_user_emails (organization_id, scim_configuration_id, scim_user_id, value_key, alone)
             select $1, $2, $3, e, cardinality($18) = 1 from member, unnest($18::text[]) e
         ), counted as (
             insert into scim_user_blocks as c (organization_id, scim_configuration_id, block, slot, count)
             select $1, $2, (select block from place), pg_backend_pid() % 64, 1 from member
             on conflict (organization_id, scim_configuration_id, block, slot) do update set count = c.count + 1
         ), told as (
             insert into scim_events (organization_id, scim_configuration_id, id, created_at, method, path, traits, outcome, status,
                 resource_type, resource_id, changes, reason)
             select $1, $2, $19, $17, $20, $21, $22, 'created', 201, 'User', $3, $23, $24 from member
         )
         select exists (select 1 from member) as "done!""#,
        tenant.organization_id.as_uuid(),
        tenant.scim_configuration_id.as_uuid(),
        row.id,
        row.user_id,
        row.user_name,
        row.user_name_key,
        row.external_id,
        row.display_name_key,
        row.active.unwrap_or(true),
        Json(&row.resource) as _,
        Json(&row.search) as _,
        row.email,
        row.email_key,
        row.name,
        row.name_key,
        row.avatar_url,
        now,
        &row.emails,
        event.id,
        event.method,
        event.path,
        &event.traits as _,
        Json(&event.changes) as _,
        event.reason,
    )
    .fetch_one(db)
    .await
    .map_err(explain)?;
    Ok(match inserted.done {
        true => Inserted::All,
        false => Inserted::NotStrangers,
    })
}

/// What a change of a user is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The resource alone: nothing that a member or an address is made from.
    Resource,
    /// The member or its addresses, too.
    Member,
}

/// The statement of [`update`]: `$member` are its parts beyond the resource, `$note` what the event says of them.
macro_rules! update {
    ($member:literal, $note:literal, $($argument:expr),+ $(,)?) => {
        query!(
            r#"with changed as (
             update scim_users s set user_name = $7, external_id = $9, display_name_key = $10,
                 -- One that an older program folded stays until the job comes: another user may have the right one.
                 user_name_key = case when s.user_name = $7 then s.user_name_key else $8 end,
                 folded_version = case when s.user_name <> $7 or s.user_name_key = $8 then s.version + 1 end,
                 active = coalesce($11, s.active), resource = $12, search = $13, version = s.version + 1, last_modified = greatest($3, s.last_modified)
             where s.organization_id = $1 and s.scim_configuration_id = $2 and s.id = $5 and s.version = $6
             returning s.id, s.user_id, s.active
         ), "# + $member + r#"told as (
             insert into scim_events (organization_id, scim_configuration_id, id, created_at, method, path, traits, outcome, status,
                 resource_type, resource_id, changes, reason)
             select $1, $2, $4, $3, $14, $15, $16, $18, $19, 'User', id, $17, "# + $note + r#"
             from changed
         )
         select exists (select 1 from changed) as "done!""#,
            $($argument),+
        )
    };
}

/// Writes a changed user, if its version is still `version`; otherwise `false`. Where the member changes, the
/// event says if other members have its new address. One round trip.
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
    extent: Extent,
    event: &Event,
) -> Result<bool, Error> {
    macro_rules! statement {
        ($member:literal, $note:literal $(, $more:expr)* $(,)?) => {
            update!(
                $member,
                $note,
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
                event.method,
                event.path,
                &event.traits as _,
                Json(&event.changes) as _,
                event.outcome.as_str(),
                event.status,
                event.reason,
                $($more),*
            )
            .fetch_one(db)
            .await
            .map(|row| row.done)
        };
    }
    let done = match extent {
        Extent::Resource => statement!("", "$20"),
        Extent::Member => statement!(
            "member as (
             update users u set email = $21, email_key = $22, name = $23, name_key = $24, avatar_url = $25, updated_at = $3,
                    email_verified = u.email_verified and u.email_key = $22, status = n.status
             from changed c, lateral (
                 select case when c.active and not exists (
                                 select 1 from scim_users o where o.organization_id = $1 and o.user_id = c.user_id and o.id <> c.id and not o.active)
                             then 'active' else 'suspended' end as status) n
             where u.organization_id = $1 and u.id = c.user_id
                 and (u.email, u.name, u.avatar_url, u.status) is distinct from ($21, $23, $25, n.status)
         ), old_emails as (
             delete from scim_user_emails e using changed c
             where e.organization_id = $1 and e.scim_configuration_id = $2 and e.scim_user_id = $5 and e.value_key <> all($26)
         ), new_emails as (
             insert into scim_user_emails as a (organization_id, scim_configuration_id, value_key, scim_user_id, alone)
             select $1, $2, e, c.id, cardinality($26) = 1 from changed c, unnest($26::text[]) e
             on conflict (organization_id, scim_configuration_id, value_key, scim_user_id)
             do update set alone = excluded.alone where a.alone <> excluded.alone
         ), sharing as (
             select 'address shared with ' || string_agg('the member ' || o.id, ', ') as note
             from changed c
             join users u on u.organization_id = $1 and u.id = c.user_id and u.email_key <> $22, lateral (
                 select o.id from users o where o.organization_id = $1 and o.email_key = $22 and o.email_key <> ''
                     and o.status <> 'left' and o.id <> c.user_id
                 order by o.id limit $27) o
         ), ",
            "nullif(concat_ws('; ', $20::text, (select note from sharing)), '')",
            row.email,
            row.email_key,
            row.name,
            row.name_key,
            row.avatar_url,
            &row.emails,
            MAX_SHARING,
        ),
    };
    done.map_err(explain)
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
             returning id, user_id, user_name_key, external_id, block
         ), former as (
             insert into scim_former_users (organization_id, scim_configuration_id, user_id, user_name_key, external_id, deleted_at)
             select $1, $2, user_id, user_name_key, external_id, $5 from gone
             on conflict (organization_id, scim_configuration_id, user_id) do update
             set user_name_key = excluded.user_name_key, external_id = excluded.external_id, deleted_at = excluded.deleted_at
         ), counted as (
             insert into scim_user_blocks as c (organization_id, scim_configuration_id, block, slot, count)
             select $1, $2, block, pg_backend_pid() % 64, -1 from gone
             on conflict (organization_id, scim_configuration_id, block, slot) do update set count = c.count + excluded.count
         ), emails as (
             delete from scim_user_emails e using gone g
             where e.organization_id = $1 and e.scim_configuration_id = $2 and e.scim_user_id = $3
         ), memberships as (
             delete from scim_group_members m using gone g
             where m.organization_id = $1 and m.scim_configuration_id = $2 and m.member_value = $3::uuid::text
             returning m.group_id
         ), groups as (
             insert into scim_group_changes as c (organization_id, scim_configuration_id, group_id, slot, count, last_modified)
             select distinct $1::uuid, $2::uuid, group_id, (pg_backend_pid() % 64)::smallint, 1, $5::timestamptz from memberships
             on conflict (organization_id, scim_configuration_id, group_id, slot)
             do update set count = c.count + 1, last_modified = greatest(c.last_modified, excluded.last_modified)
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

fn constraint(error: &sqlx::Error) -> Option<&str> {
    error
        .as_database_error()
        .and_then(|fault| fault.constraint())
}

/// What must be unique about a user, in words.
fn explain(error: sqlx::Error) -> Error {
    let text = match constraint(&error) {
        Some("scim_users_user_name_key") => {
            "another user of this configuration has this userName: update that user, or give another userName"
        }
        Some("scim_users_external_id_key") => {
            "another user of this configuration has this externalId: update that user, or give another externalId"
        }
        _ => return error.into(),
    };
    Error::AlreadyExists(text.into())
}
