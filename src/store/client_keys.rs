//! The key pairs with which SSO configurations prove themselves to providers, sealed.

use chrono::{DateTime, Utc};
use sqlx::{query, query_as, query_scalar};

use super::Connection;
use crate::domain::ids::{OrganizationId, SsoConfigurationId};
use crate::error::Error;

/// The sealed key pair of a configuration.
#[derive(Clone, Debug)]
pub struct SealedClientKey {
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// Which configuration's.
    pub sso_configuration_id: SsoConfigurationId,
    /// The key pair.
    pub sealed_key: Vec<u8>,
}

/// The key pair of a configuration, if it has one.
pub async fn find(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: SsoConfigurationId,
) -> Result<Option<Vec<u8>>, Error> {
    Ok(query_scalar!(
        "select sealed_key from sso_client_keys where organization_id = $1 and sso_configuration_id = $2",
        organization_id.as_uuid(),
        id.as_uuid(),
    )
    .fetch_optional(db)
    .await?)
}

/// Gives a configuration its key pair, unless it has one by now or is gone.
pub async fn insert(
    db: &mut Connection,
    key: &SealedClientKey,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    query!(
        "insert into sso_client_keys (organization_id, sso_configuration_id, sealed_key, created_at)
         select organization_id, id, $3, $4 from sso_configurations where organization_id = $1 and id = $2
         on conflict do nothing",
        key.organization_id.as_uuid(),
        key.sso_configuration_id.as_uuid(),
        key.sealed_key,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Reads up to `size` sealed key pairs of all organizations, those after `after`: for the operator who changes keys.
pub async fn list(
    db: &mut Connection,
    after: (OrganizationId, SsoConfigurationId),
    size: i64,
) -> Result<Vec<SealedClientKey>, Error> {
    Ok(query_as!(
        SealedClientKey,
        "select organization_id, sso_configuration_id, sealed_key from sso_client_keys
         where (organization_id, sso_configuration_id) > ($1, $2)
         order by organization_id, sso_configuration_id limit $3",
        after.0.as_uuid(),
        after.1.as_uuid(),
        size,
    )
    .fetch_all(db)
    .await?)
}

/// Replaces a sealed key pair, unless somebody did meanwhile: then it tells `false`.
pub async fn update(
    db: &mut Connection,
    key: &SealedClientKey,
    sealed: &[u8],
) -> Result<bool, Error> {
    let done = query!(
        "update sso_client_keys set sealed_key = $4
         where organization_id = $1 and sso_configuration_id = $2 and sealed_key = $3",
        key.organization_id.as_uuid(),
        key.sso_configuration_id.as_uuid(),
        key.sealed_key,
        sealed,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Removes the key pairs of all organizations whose sealed form begins with `prefix`, and returns whose they were:
/// for the operator who lost a key. Others are made when they are needed.
pub async fn delete_sealed_with(
    db: &mut Connection,
    prefix: &[u8],
) -> Result<Vec<(OrganizationId, SsoConfigurationId)>, Error> {
    let rows = query!(
        "delete from sso_client_keys where substr(sealed_key, 1, length($1::bytea)) = $1
         returning organization_id, sso_configuration_id",
        prefix,
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.organization_id.into(), row.sso_configuration_id.into()))
        .collect())
}
