//! The keys that tokens are signed with, sealed. They belong to the installation.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{query, query_as, query_scalar};

use super::Connection;
use crate::domain::application::Signature;
use crate::error::Error;

/// A key.
#[derive(Clone, Debug)]
pub struct SigningKeyRow {
    /// What tokens call it.
    pub id: String,
    /// How it signs.
    pub algorithm: Signature,
    /// The key pair, sealed.
    pub sealed_key: Vec<u8>,
    /// The public key, as a JSON Web Key.
    pub public_key: Value,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// From when on it signs.
    pub active_from: DateTime<Utc>,
    /// Until when it is published, if that is known.
    pub published_until: Option<DateTime<Utc>>,
}

/// Takes the turn of making keys, which ends with the transaction.
pub async fn lock(db: &mut Connection) -> Result<(), Error> {
    // "signing" in ASCII.
    query!("select pg_advisory_xact_lock(32485515276676711) as locked")
        .fetch_one(db)
        .await?;
    Ok(())
}

/// All keys that are published now, the newest first.
pub async fn list(db: &mut Connection, now: DateTime<Utc>) -> Result<Vec<SigningKeyRow>, Error> {
    Ok(query_as!(
        SigningKeyRow,
        r#"select id, algorithm as "algorithm: _", sealed_key, public_key, created_at, active_from, published_until from signing_keys
           where published_until is null or published_until > $1 order by active_from desc, id"#,
        now,
    )
    .fetch_all(db)
    .await?)
}

/// Adds a key.
pub async fn insert(db: &mut Connection, key: &SigningKeyRow) -> Result<(), Error> {
    query!(
        "insert into signing_keys (id, algorithm, sealed_key, public_key, created_at, active_from) values ($1, $2, $3, $4, $5, $6)",
        key.id,
        key.algorithm as _,
        key.sealed_key,
        key.public_key,
        key.created_at,
        key.active_from,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Says until when a key is published.
pub async fn publish_until(
    db: &mut Connection,
    id: &str,
    until: DateTime<Utc>,
) -> Result<(), Error> {
    query!(
        "update signing_keys set published_until = $2 where id = $1",
        id,
        until
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Seals a key anew, unless somebody did meanwhile: then it tells `false`.
pub async fn update_sealed(
    db: &mut Connection,
    key: &SigningKeyRow,
    sealed: &[u8],
) -> Result<bool, Error> {
    let done = query!(
        "update signing_keys set sealed_key = $3 where id = $1 and sealed_key = $2",
        key.id,
        key.sealed_key,
        sealed,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Removes the keys whose sealed form begins with `prefix`, and returns their names: for the operator who lost a key.
pub async fn delete_sealed_with(db: &mut Connection, prefix: &[u8]) -> Result<Vec<String>, Error> {
    Ok(query_scalar!(
        "delete from signing_keys where substr(sealed_key, 1, length($1::bytea)) = $1 returning id",
        prefix,
    )
    .fetch_all(db)
    .await?)
}

/// Removes the keys that are published no more.
pub async fn delete_ended(db: &mut Connection, now: DateTime<Utc>) -> Result<u64, Error> {
    let done = query!("delete from signing_keys where published_until < $1", now)
        .execute(db)
        .await?;
    Ok(done.rows_affected())
}
