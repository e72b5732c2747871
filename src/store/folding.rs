//! Keys that an older program made with another folding of letters, for the job that makes them anew: those of all
//! organizations, a few at a time by the indexes of their own. A key that the folding leaves as it is may be among them.

use serde_json::{Map, Value};
use sqlx::types::Json;
use sqlx::{query, query_as, query_scalar};
use uuid::Uuid;

use super::Connection;
use crate::error::Error;

/// The name and the address of a member.
#[derive(Debug)]
pub struct Member {
    /// Whose.
    pub organization_id: Uuid,
    /// The member.
    pub id: Uuid,
    /// The name.
    pub name: String,
    /// The address; may be empty.
    pub email: String,
}

/// The keys of a member.
#[derive(Debug)]
pub struct MemberKeys {
    /// The name, folded.
    pub name_key: String,
    /// The address's key.
    pub email_key: String,
}

/// Finds up to `limit` members after this one of this organization.
pub async fn find_members(
    db: &mut Connection,
    after: (Uuid, Uuid),
    limit: i64,
) -> Result<Vec<Member>, Error> {
    Ok(query_as!(
        Member,
        "select organization_id, id, name, email from users
         where ((name_key is null and octet_length(name) <> char_length(name))
                 or octet_length(email_key) <> char_length(email_key) or email_key like '%.')
             and (organization_id, id) > ($1, $2)
         order by organization_id, id limit $3",
        after.0,
        after.1,
        limit,
    )
    .fetch_all(db)
    .await?)
}

/// Writes the keys of a member who has this name and address still, and tells whether they changed.
pub async fn set_member_keys(
    db: &mut Connection,
    member: &Member,
    keys: &MemberKeys,
) -> Result<bool, Error> {
    let done = query!(
        "update users set name_key = $5, email_key = $6
         where organization_id = $1 and id = $2 and name = $3 and email = $4
             and (name_key, email_key) is distinct from ($5, $6)",
        member.organization_id,
        member.id,
        member.name,
        member.email,
        keys.name_key,
        keys.email_key,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// A SCIM user or group.
#[derive(Debug)]
pub struct Resource {
    /// Whose.
    pub organization_id: Uuid,
    /// Which configuration's.
    pub scim_configuration_id: Uuid,
    /// The resource.
    pub id: Uuid,
    /// The user name; empty for a group.
    pub user_name: String,
    /// The canonical attributes.
    pub resource: Json<Map<String, Value>>,
    /// The version of the row.
    pub version: i64,
}

impl Resource {
    /// Where it is in the order in which resources are read.
    pub const fn place(&self) -> Place {
        (self.organization_id, self.scim_configuration_id, self.id)
    }
}

/// An organization, one of its configurations, and something in it.
pub type Place = (Uuid, Uuid, Uuid);

/// The keys of a SCIM user.
#[derive(Debug)]
pub struct UserKeys {
    /// The user name in the form in which equal names are equal.
    pub user_name_key: String,
    /// The display name, folded.
    pub display_name_key: Option<String>,
    /// The keys of all addresses, each once.
    pub emails: Vec<String>,
    /// The canonical attributes in the form in which equal values are equal.
    pub search: Value,
}

/// Writes a function that finds resources. `$which` selects them, up to the condition that tells after which.
macro_rules! find {
    ($(#[$doc:meta])+ $name:ident: $which:literal) => {
        $(#[$doc])+
        pub async fn $name(
            db: &mut Connection,
            after: Place,
            limit: i64,
        ) -> Result<Vec<Resource>, Error> {
            Ok(query_as!(
                Resource,
                $which + "(organization_id, scim_configuration_id, id) > ($1, $2, $3)
           order by organization_id, scim_configuration_id, id limit $4",
                after.0,
                after.1,
                after.2,
                limit,
            )
            .fetch_all(db)
            .await?)
        }
    };
}

find! {
    /// Finds up to `limit` users after this one.
    find_users: r#"select organization_id, scim_configuration_id, id, user_name, resource as "resource: Json<Map<String, Value>>", version
           from scim_users
           where folded_version is distinct from version and (is_unfolded_user(search::text) or is_unfolded(user_name_key))
               and "#
}

find! {
    /// Finds up to `limit` groups after this one.
    find_groups: r#"select organization_id, scim_configuration_id, id, '' as "user_name!", resource as "resource: Json<Map<String, Value>>", version
           from scim_groups
           where is_unfolded(search::text) and "#
}

/// Writes the keys of a user, if it has this version still, in a transaction. `Some(false)` when its user name keeps the key that
/// it has, because another user of the configuration has the new one.
pub async fn set_user_keys(
    db: &mut Connection,
    user: &Resource,
    keys: &UserKeys,
) -> Result<Option<bool>, Error> {
    let is_new = query_scalar!(
        r#"update scim_users u set display_name_key = $5, search = $6, folded_version = u.version,
             user_name_key = case when exists (
                 select 1 from scim_users o where o.organization_id = $1 and o.scim_configuration_id = $2
                     and o.user_name_key = $4 and o.id <> $3) then u.user_name_key else $4 end
         where u.organization_id = $1 and u.scim_configuration_id = $2 and u.id = $3 and u.version = $7
         returning u.user_name_key = $4 as "is_new!""#,
        user.organization_id,
        user.scim_configuration_id,
        user.id,
        keys.user_name_key,
        keys.display_name_key,
        keys.search,
        user.version,
    )
    .fetch_optional(&mut *db)
    .await?;
    if is_new.is_none() {
        return Ok(None);
    }
    query!(
        "delete from scim_user_emails
         where organization_id = $1 and scim_configuration_id = $2 and scim_user_id = $3 and value_key <> all($4)",
        user.organization_id,
        user.scim_configuration_id,
        user.id,
        &keys.emails,
    )
    .execute(&mut *db)
    .await?;
    query!(
        "insert into scim_user_emails as a (organization_id, scim_configuration_id, value_key, scim_user_id, alone)
         select $1, $2, e, $3, cardinality($4) = 1 from unnest($4::text[]) e
         on conflict (organization_id, scim_configuration_id, value_key, scim_user_id)
         do update set alone = excluded.alone where a.alone <> excluded.alone",
        user.organization_id,
        user.scim_configuration_id,
        user.id,
        &keys.emails,
    )
    .execute(db)
    .await?;
    Ok(is_new)
}

/// The keys of a SCIM group.
#[derive(Debug)]
pub struct GroupKeys {
    /// The name, folded.
    pub display_name_key: String,
    /// The canonical attributes in the form in which equal values are equal.
    pub search: Value,
}

/// Writes the keys of a group that has these attributes still, and tells whether they changed.
pub async fn set_group_keys(
    db: &mut Connection,
    group: &Resource,
    keys: &GroupKeys,
) -> Result<bool, Error> {
    let done = query!(
        "update scim_groups set display_name_key = $4, search = $5
         where organization_id = $1 and scim_configuration_id = $2 and id = $3 and (display_name_key, search) <> ($4, $5)
             and resource = $6",
        group.organization_id,
        group.scim_configuration_id,
        group.id,
        keys.display_name_key,
        keys.search,
        group.resource as _,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// A user who was deleted.
#[derive(Debug)]
pub struct Former {
    /// Whose.
    pub organization_id: Uuid,
    /// Which configuration's.
    pub scim_configuration_id: Uuid,
    /// The member that the user was.
    pub user_id: Uuid,
    /// The key of the user name that the user had.
    pub user_name_key: String,
}

/// Finds up to `limit` users who were deleted.
pub async fn find_former(db: &mut Connection, limit: i64) -> Result<Vec<Former>, Error> {
    Ok(query_as!(
        Former,
        "select organization_id, scim_configuration_id, user_id, user_name_key from scim_former_users
         where is_unfolded(user_name_key)
         order by organization_id, scim_configuration_id, user_id limit $1",
        limit,
    )
    .fetch_all(db)
    .await?)
}

/// Writes the key of a user who was deleted and has the other one still.
pub async fn set_former_key(db: &mut Connection, former: &Former, key: &str) -> Result<(), Error> {
    query!(
        "update scim_former_users set user_name_key = $5
         where organization_id = $1 and scim_configuration_id = $2 and user_id = $3 and user_name_key = $4",
        former.organization_id,
        former.scim_configuration_id,
        former.user_id,
        former.user_name_key,
        key,
    )
    .execute(db)
    .await?;
    Ok(())
}
