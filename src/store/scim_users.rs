//! Writing SCIM users, the members that they are, and the events that tell of it: by functions of the database
//! (`migrations/0016_writes.sql`). What decides a member's status is written before the member: see
//! [`settle`](super::members::settle).

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::{query, query_scalar};

use super::scim_events::Event;
use super::scim_resources::Tenant;
use super::{Connection, Json, breaks};
use crate::domain::ids::{MemberId, ResourceId};
use crate::domain::member::MemberStatus;
use crate::error::Error;

/// A user to write.
#[derive(Debug, Serialize)]
pub struct UserRow {
    /// The resource's identifier.
    pub id: ResourceId,
    /// The user name, as it was sent.
    pub user_name: String,
    /// The user name in the form in which equal names are equal.
    pub user_name_key: String,
    /// The client's identifier.
    pub external_id: Option<String>,
    /// The display name, folded.
    pub display_name_key: Option<String>,
    /// Whether the user may have access.
    pub active: bool,
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

/// A user to add.
#[derive(Debug, Serialize)]
pub struct NewUser<'a> {
    /// What to store.
    #[serde(flatten)]
    pub row: &'a UserRow,
    /// The member that it is.
    pub member_id: MemberId,
    /// The status of the member, if it is made with the user; `None` for one that there is.
    pub new_status: Option<MemberStatus>,
    /// What to tell of it.
    pub event: Event,
}

/// A member that a new user could be, and what says so.
#[derive(Debug)]
pub struct Match {
    /// The member.
    pub member_id: MemberId,
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
           select k.user_id as "member_id!: MemberId", k.user_name_key, k.external_id, k.subject, k.email_key, k.is_verified as "is_verified!",
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
        member_id: row.member_id,
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
pub async fn find_inactive(
    db: &mut Connection,
    tenant: Tenant,
    external_id: &str,
) -> Result<Option<(ResourceId, i64)>, Error> {
    let found = query!(
        "select id as \"id: ResourceId\", version from scim_users
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
    /// None was added: the configuration takes no requests with this token.
    TokenRefused,
}

/// Whom [`insert`] adds.
#[derive(Clone, Copy, Debug)]
pub enum Whom<'a> {
    /// Everybody. Members that there are are left to [`adopt`].
    All,
    /// Only if none of them could be somebody who is known.
    Strangers,
    /// Only strangers, and only if the configuration takes requests with the token that has this hash.
    StrangersWithToken(&'a str),
}

/// Adds users, the members that are made with them, and the events that tell of it, all or none. One round trip.
///
/// # Errors
///
/// [`Error::AlreadyExists`] when one of them is not unique.
pub async fn insert(
    db: &mut Connection,
    tenant: Tenant,
    now: DateTime<Utc>,
    new: &[NewUser<'_>],
    whom: Whom<'_>,
) -> Result<Inserted, Error> {
    let only_strangers = !matches!(whom, Whom::All);
    let token_hash = match whom {
        Whom::StrangersWithToken(hash) => Some(hash),
        _ => None,
    };
    let refusal = query_scalar!(
        "select scim_create_users($1, $2, $3, $4, $5, $6) as refusal",
        tenant.organization_id.as_uuid(),
        tenant.scim_configuration_id.as_uuid(),
        Json(new) as _,
        only_strangers,
        now,
        token_hash,
    )
    .fetch_one(db)
    .await;
    match refusal {
        Ok(None) => Ok(Inserted::All),
        Ok(Some(what)) if what == "token" => Ok(Inserted::TokenRefused),
        Ok(Some(_)) => Ok(Inserted::NotStrangers),
        Err(error) if breaks(&error, "scim_users_user_id_key") => Ok(Inserted::MemberTaken),
        Err(error) => Err(explain(error)),
    }
}

/// Gives members that there were the profiles of the new users that they are, and forgets what they were in this configuration
/// before. In the transaction of [`insert`], before they are [settled](super::members::settle). One round trip.
pub async fn adopt(
    db: &mut Connection,
    tenant: Tenant,
    now: DateTime<Utc>,
    new: &[NewUser<'_>],
) -> Result<(), Error> {
    query_scalar!(
        r#"select scim_adopt_members($1, $2, $3, $4) as "done: _""#,
        tenant.organization_id.as_uuid(),
        tenant.scim_configuration_id.as_uuid(),
        Json(new) as _,
        now,
    )
    .fetch_one(db)
    .await?;
    Ok(())
}

/// What a change of a user is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The resource alone: nothing that a member or an address is made from.
    Resource,
    /// The member or its addresses, too.
    Member,
}

/// Writes a changed user, if its version is still `version`, and tells which member it is. With [`Extent::Member`], it writes the
/// member's profile, and the event says if other members have its new address. A member whose user is not as active as before has
/// to be [settled](super::members::settle) in the same transaction. One round trip.
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
) -> Result<Option<MemberId>, Error> {
    let changed = query_scalar!(
        r#"select scim_update_user($1, $2, $3, $4, $5, $6, $7, $8) as "member: MemberId""#,
        tenant.organization_id.as_uuid(),
        tenant.scim_configuration_id.as_uuid(),
        Json(row) as _,
        version,
        now,
        Json(event) as _,
        extent == Extent::Member,
        MAX_SHARING,
    )
    .fetch_one(db)
    .await;
    changed.map_err(explain)
}

/// Deletes a user, takes it out of its groups, and tells which member it was, who has to be
/// [settled](super::members::settle) in the same transaction. `None` when there is none, or its version is not `version` if that is
/// given. One round trip.
pub async fn delete(
    db: &mut Connection,
    tenant: Tenant,
    now: DateTime<Utc>,
    id: ResourceId,
    version: Option<i64>,
    event: &Event,
) -> Result<Option<MemberId>, Error> {
    let deleted = query_scalar!(
        r#"select scim_delete_user($1, $2, $3, $4, $5, $6) as "member: MemberId""#,
        tenant.organization_id.as_uuid(),
        tenant.scim_configuration_id.as_uuid(),
        id.as_uuid(),
        version,
        now,
        Json(event) as _,
    )
    .fetch_one(db)
    .await?;
    Ok(deleted)
}

/// What must be unique about a user, in words.
fn explain(error: sqlx::Error) -> Error {
    let text = if breaks(&error, "scim_users_user_name_key") {
        "another user of this configuration has this userName: update that user, or give another userName"
    } else if breaks(&error, "scim_users_external_id_key") {
        "another user of this configuration has this externalId: update that user, or give another externalId"
    } else {
        return error.into();
    };
    Error::AlreadyExists(text.into())
}
