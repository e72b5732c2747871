//! Authorization requests that applications pushed (RFC 9126).

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::{query, query_scalar};

use super::{Connection, Json};
use crate::domain::ids::{ApplicationId, OrganizationId, PushedRequestId};
use crate::error::Error;

/// Keeps a request of an application.
pub async fn insert(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: PushedRequestId,
    application: ApplicationId,
    token_hash: &[u8],
    parameters: &BTreeMap<String, String>,
    expires_at: DateTime<Utc>,
) -> Result<(), Error> {
    query!(
        "insert into pushed_requests (organization_id, id, application_id, token_hash, parameters, expires_at)
         values ($1, $2, $3, $4, $5, $6)",
        organization_id.as_uuid(),
        id.as_uuid(),
        application.as_uuid(),
        token_hash,
        Json(parameters) as _,
        expires_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The request that an application pushed, if there is one that has not ended.
pub async fn find(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: PushedRequestId,
    application: ApplicationId,
    token_hash: &[u8],
    now: DateTime<Utc>,
) -> Result<Option<BTreeMap<String, String>>, Error> {
    let parameters = query_scalar!(
        r#"select parameters as "parameters: Json<BTreeMap<String, String>>" from pushed_requests
           where organization_id = $1 and id = $2 and application_id = $3 and token_hash = $4 and expires_at > $5"#,
        organization_id.as_uuid(),
        id.as_uuid(),
        application.as_uuid(),
        token_hash,
        now,
    )
    .fetch_optional(db)
    .await?;
    Ok(parameters.map(|parameters| parameters.0))
}

/// Keeps a request for longer, which a person is on the way with.
pub async fn extend(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: PushedRequestId,
    until: DateTime<Utc>,
) -> Result<(), Error> {
    query!(
        "update pushed_requests set expires_at = greatest(expires_at, $3) where organization_id = $1 and id = $2",
        organization_id.as_uuid(),
        id.as_uuid(),
        until,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes a request, which an answer was given to, and tells whether it was there.
pub async fn delete(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: PushedRequestId,
) -> Result<bool, Error> {
    let done = query!(
        "delete from pushed_requests where organization_id = $1 and id = $2",
        organization_id.as_uuid(),
        id.as_uuid(),
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Deletes up to `limit` requests of all applications that ended before `now`: for the job that tidies up.
pub async fn delete_ended(
    db: &mut Connection,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<u64, Error> {
    let done = query!(
        "delete from pushed_requests where (organization_id, id) in
             (select organization_id, id from pushed_requests where expires_at < $1 limit $2)",
        now,
        limit,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}
