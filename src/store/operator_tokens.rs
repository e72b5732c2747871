//! The tokens of operators. They belong to the installation, not to an organization.

use chrono::{DateTime, Utc};
use sqlx::{query, query_as};

use super::{Connection, must_exist};
use crate::domain::ids::OperatorTokenId;
use crate::error::Error;

/// A token, as operators see it.
#[derive(Debug)]
pub struct Listed {
    /// Its identifier.
    pub id: OperatorTokenId,
    /// What it is called.
    pub name: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends, if ever.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// What is known of a presented token before it is verified.
#[derive(Debug)]
pub struct Candidate {
    /// The hash that it must have, in PHC string format.
    pub token_hash: String,
    /// By which it is recognised if it was verified before.
    pub token_digest: Option<Vec<u8>>,
    /// When it ends, if ever.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// Finds the row that a presented token names.
pub async fn find_candidate(
    db: &mut Connection,
    id: OperatorTokenId,
) -> Result<Option<Candidate>, Error> {
    Ok(query_as!(
        Candidate,
        "select token_hash, token_digest, expires_at, revoked_at, last_used_at from operator_tokens where id = $1",
        id.as_uuid(),
    )
    .fetch_optional(db)
    .await?)
}

/// Adds a token with its hash.
pub async fn insert(db: &mut Connection, token: &Listed, token_hash: &str) -> Result<(), Error> {
    query!(
        "insert into operator_tokens (id, name, token_hash, created_at, expires_at) values ($1, $2, $3, $4, $5)",
        token.id.as_uuid(),
        token.name,
        token_hash,
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
    id: OperatorTokenId,
    token_hash: &str,
    digest: &[u8],
) -> Result<(), Error> {
    query!(
        "update operator_tokens set token_digest = $3 where id = $1 and token_hash = $2",
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
    id: OperatorTokenId,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    query!(
        "update operator_tokens set last_used_at = $2 where id = $1",
        id.as_uuid(),
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

/// All tokens, the oldest first.
pub async fn list(db: &mut Connection) -> Result<Vec<Listed>, Error> {
    Ok(query_as!(
        Listed,
        r#"select id as "id: _", name, created_at, expires_at, revoked_at, last_used_at from operator_tokens order by id"#,
    )
    .fetch_all(db)
    .await?)
}

/// Revokes a token.
///
/// # Errors
///
/// [`Error::NotFound`] when there is none, or it is revoked already.
pub async fn revoke(
    db: &mut Connection,
    id: OperatorTokenId,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let done = query!(
        "update operator_tokens set revoked_at = $2 where id = $1 and revoked_at is null",
        id.as_uuid(),
        now,
    )
    .execute(db)
    .await?;
    must_exist(&done, "operator's token, or it is revoked already")
}
