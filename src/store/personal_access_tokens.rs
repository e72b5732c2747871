//! Personal access tokens: what members use instead of a session.

use chrono::{DateTime, Utc};
use sqlx::{query, query_as, query_scalar};
use uuid::Uuid;

use super::aggregate::aggregate;
use super::roles::query_with_roles;
use super::{Connection, Items, Page};
use crate::domain::identity::{Caller, Powers, Role};
use crate::domain::ids::{MemberId, OrganizationId, PersonalAccessTokenId};
use crate::domain::personal_access_token::PersonalAccessToken;
use crate::error::Error;

const NOUN: &str = "personal access token in this organization";

/// What is known of a presented token before it is verified.
#[derive(Debug)]
pub struct Candidate {
    /// Who calls, if the token verifies.
    pub caller: Caller,
    /// The hash that it must have, in PHC string format.
    pub token_hash: String,
    /// By which it is recognised if it was verified before.
    pub token_digest: Option<Vec<u8>>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
}

struct Found {
    user_id: MemberId,
    role: Role,
    roles_of_groups: Vec<String>,
    token_hash: String,
    token_digest: Option<Vec<u8>>,
    read_only: bool,
    expires_at: DateTime<Utc>,
    last_used_at: Option<DateTime<Utc>>,
}

/// Finds the row that a presented token names, if its member has access.
pub async fn find_candidate(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: PersonalAccessTokenId,
) -> Result<Option<Candidate>, Error> {
    let found = query_with_roles!(
        member: Found,
        [r#"select t.user_id as "user_id: _", subject.role as "role: _", t.token_hash, t.token_digest, t.read_only, t.expires_at,
               t.last_used_at,"#],
        "from personal_access_tokens t
         join users subject on subject.organization_id = t.organization_id and subject.id = t.user_id
         join organizations o on o.id = t.organization_id
         where t.organization_id = $1 and t.id = $2 and subject.status = 'active' and o.deleted_at is null",
        organization_id.as_uuid(),
        id.as_uuid(),
    )
    .fetch_optional(db)
    .await?;
    Ok(found.map(|row| Candidate {
        caller: Caller {
            organization_id,
            subject: row.user_id.into(),
            powers: Powers::of(row.role, row.roles_of_groups.iter().map(String::as_str)),
            read_only: row.read_only,
            ends_at: Some(row.expires_at),
        },
        token_hash: row.token_hash,
        token_digest: row.token_digest,
        expires_at: row.expires_at,
        last_used_at: row.last_used_at,
    }))
}

/// Adds a token with its hash.
pub async fn insert(
    db: &mut Connection,
    organization_id: OrganizationId,
    token: &PersonalAccessToken,
    token_hash: &str,
) -> Result<(), Error> {
    query!(
        "insert into personal_access_tokens
             (organization_id, id, user_id, description, token_hash, read_only, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        organization_id.as_uuid(),
        token.id.as_uuid(),
        token.user_id.as_uuid(),
        token.description,
        token_hash,
        token.read_only,
        token.created_at,
        token.expires_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Keeps the digest by which the token with this hash is recognised.
pub async fn keep_digest(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: PersonalAccessTokenId,
    token_hash: &str,
    digest: &[u8],
) -> Result<(), Error> {
    query!(
        "update personal_access_tokens set token_digest = $4 where organization_id = $1 and id = $2 and token_hash = $3",
        organization_id.as_uuid(),
        id.as_uuid(),
        token_hash,
        digest,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Notes that a token is used.
pub async fn touch(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: PersonalAccessTokenId,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    query!(
        "update personal_access_tokens set last_used_at = $3 where organization_id = $1 and id = $2",
        organization_id.as_uuid(),
        id.as_uuid(),
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

macro_rules! select {
    ($rest:literal, $($argument:expr),+ $(,)?) => {
        query_as!(
            PersonalAccessToken,
            r#"select id as "id: _", user_id as "user_id: _", description, read_only, created_at, expires_at, last_used_at
               from personal_access_tokens "# + $rest,
            $($argument),+
        )
    };
}

aggregate! { PersonalAccessToken by PersonalAccessTokenId, NOUN, select: get, delete("personal_access_tokens") }

/// Reads a page of the tokens of these members, of all members if there are none. Those that ended are left out.
pub async fn list(
    db: &mut Connection,
    organization_id: OrganizationId,
    members: &[MemberId],
    now: DateTime<Utc>,
    page: Page,
) -> Result<Items<PersonalAccessToken>, Error> {
    let members: Vec<Uuid> = members.iter().map(|member| member.as_uuid()).collect();
    let rows = select!(
        "where organization_id = $1 and id > $2 and (cardinality($3::uuid[]) = 0 or user_id = any($3)) and expires_at > $4
         order by id limit $5",
        organization_id.as_uuid(),
        page.after,
        &members,
        now,
        page.limit(),
    )
    .fetch_all(db)
    .await?;
    Ok(Items::of(rows, page))
}

/// How many tokens of a member have not ended.
pub async fn count(
    db: &mut Connection,
    organization_id: OrganizationId,
    member: MemberId,
    now: DateTime<Utc>,
) -> Result<i64, Error> {
    Ok(query_scalar!(
        r#"select count(*) as "count!" from personal_access_tokens
           where organization_id = $1 and user_id = $2 and expires_at > $3"#,
        organization_id.as_uuid(),
        member.as_uuid(),
        now,
    )
    .fetch_one(db)
    .await?)
}

/// Deletes up to `limit` tokens of all organizations that ended before `end`: for the job that tidies up.
pub async fn delete_ended(
    db: &mut Connection,
    end: DateTime<Utc>,
    limit: i64,
) -> Result<u64, Error> {
    let done = query!(
        "delete from personal_access_tokens where (organization_id, id) in
             (select organization_id, id from personal_access_tokens where expires_at < $1 limit $2)",
        end,
        limit,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}
