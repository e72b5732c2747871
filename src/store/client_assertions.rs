//! The proofs of applications that were taken: each counts once (RFC 7523, section 3).

use chrono::{DateTime, Utc};
use sqlx::query;

use super::Connection;
use crate::domain::application::ClientId;
use crate::error::Error;

/// Takes a proof, and tells whether it is the first time.
pub async fn take(
    db: &mut Connection,
    client: ClientId,
    digest: &[u8],
    expires_at: DateTime<Utc>,
) -> Result<bool, Error> {
    let done = query!(
        "insert into client_assertions (organization_id, application_id, digest, expires_at) values ($1, $2, $3, $4)
         on conflict do nothing",
        client.organization_id.as_uuid(),
        client.id.as_uuid(),
        digest,
        expires_at,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Deletes up to `limit` proofs of all applications that ended before `now`: for the job that tidies up.
pub async fn delete_ended(
    db: &mut Connection,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<u64, Error> {
    let done = query!(
        "delete from client_assertions where (organization_id, application_id, digest) in
             (select organization_id, application_id, digest from client_assertions where expires_at < $1 limit $2)",
        now,
        limit,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}
