//! SCIM configurations.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use sqlx::{FromRow as _, Row as _, query, query_as};
use uuid::Uuid;

use super::aggregate::aggregate;
use super::scim_resources::{Lookup, Prefetched, Stored, Tenant, statement};
use super::tokens::{Configurations, ReadAhead};
use super::{Connection, Items, OnConstraint, Page, one_row};
use crate::domain::ids::{MemberId, OrganizationId, ScimConfigurationId, SsoConfigurationId};
use crate::domain::scim::ScimConfiguration;
use crate::error::Error;

const NOUN: &str = "SCIM configuration in this organization";

#[derive(Deserialize)]
struct Row {
    organization_id: Uuid,
    id: Uuid,
    name: String,
    enabled: bool,
    sso_configuration_id: Uuid,
    allow_unverified_email_account_linking: bool,
    token_lifetime_seconds: i64,
    token_expires_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

macro_rules! select {
    ($rest:literal, $($argument:expr),+ $(,)?) => {
        query_as!(
            Row,
            "select organization_id, id, name, enabled, sso_configuration_id, allow_unverified_email_account_linking,
                token_lifetime_seconds, token_expires_at, created_at, updated_at
         from scim_configurations " + $rest,
            $($argument),+
        )
    };
}

impl From<Row> for ScimConfiguration {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.into(),
            organization_id: row.organization_id.into(),
            name: row.name,
            enabled: row.enabled,
            sso_configuration_id: row.sso_configuration_id.into(),
            allow_unverified_email_account_linking: row.allow_unverified_email_account_linking,
            token_lifetime: TimeDelta::seconds(row.token_lifetime_seconds),
            token_expires_at: row.token_expires_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

aggregate! { ScimConfiguration by ScimConfigurationId, NOUN, select: get, lock, list }

/// The configuration with this identifier, if it was read together with the caller's token.
pub fn read_ahead(read: Option<&ReadAhead>, id: ScimConfigurationId) -> Option<ScimConfiguration> {
    let row: Row = read?.one(Configurations::Scim, id.as_uuid())?;
    Some(row.into())
}

/// A page, if it was read together with the caller's token.
pub fn page_read_ahead(read: Option<&ReadAhead>, page: Page) -> Option<Items<ScimConfiguration>> {
    let rows: Vec<Row> = read?.page(Configurations::Scim, page)?;
    Some(Items::of(rows.into_iter().map(Into::into).collect(), page))
}

fn no_sso_configuration() -> Error {
    Error::NotFound("SSO configuration in this organization")
}

/// Adds a configuration with the hash of its token.
///
/// # Errors
///
/// [`Error::NotFound`] when the organization has no such SSO configuration.
pub async fn insert(
    db: &mut Connection,
    organization_id: OrganizationId,
    configuration: &ScimConfiguration,
    token_hash: &str,
) -> Result<(), Error> {
    let c = configuration;
    query!(
        "insert into scim_configurations
             (organization_id, id, name, enabled, sso_configuration_id, allow_unverified_email_account_linking,
              token_hash, token_lifetime_seconds, token_expires_at, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        organization_id.as_uuid(),
        c.id.as_uuid(),
        c.name,
        c.enabled,
        c.sso_configuration_id.as_uuid(),
        c.allow_unverified_email_account_linking,
        token_hash,
        c.token_lifetime.num_seconds(),
        c.token_expires_at,
        c.created_at,
        c.updated_at,
    )
    .execute(db)
    .await
    .on_constraint("scim_configurations_sso_configuration_fkey", no_sso_configuration)?;
    Ok(())
}

/// The name and identifier of one configuration that links to an SSO configuration.
pub async fn find_linked_to(
    db: &mut Connection,
    organization_id: OrganizationId,
    sso_configuration_id: SsoConfigurationId,
) -> Result<Option<(String, ScimConfigurationId)>, Error> {
    let row = query!(
        "select id, name from scim_configurations
         where organization_id = $1 and sso_configuration_id = $2 order by id limit 1",
        organization_id.as_uuid(),
        sso_configuration_id.as_uuid(),
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| (row.name, row.id.into())))
}

/// Writes a changed configuration, and the hash of its token if there is a new one.
///
/// # Errors
///
/// [`Error::NotFound`] when the organization has no such SSO configuration.
pub async fn update(
    db: &mut Connection,
    organization_id: OrganizationId,
    configuration: &ScimConfiguration,
    token_hash: Option<&str>,
) -> Result<(), Error> {
    let c = configuration;
    let done = query!(
        "update scim_configurations
         set name = $3, enabled = $4, sso_configuration_id = $5, allow_unverified_email_account_linking = $6,
             token_hash = coalesce($7, token_hash), token_lifetime_seconds = $8, token_expires_at = $9, updated_at = $10
         where organization_id = $1 and id = $2",
        organization_id.as_uuid(),
        c.id.as_uuid(),
        c.name,
        c.enabled,
        c.sso_configuration_id.as_uuid(),
        c.allow_unverified_email_account_linking,
        token_hash,
        c.token_lifetime.num_seconds(),
        c.token_expires_at,
        c.updated_at,
    )
    .execute(db)
    .await
    .on_constraint("scim_configurations_sso_configuration_fkey", no_sso_configuration)?;
    one_row(&done)
}

/// Keeps the digest by which the token with this hash is recognised.
pub async fn keep_digest(
    db: &mut Connection,
    tenant: Tenant,
    token_hash: &str,
    digest: &[u8],
) -> Result<(), Error> {
    query!(
        "update scim_configurations set token_digest = $4 where organization_id = $1 and id = $2 and token_hash = $3",
        tenant.organization_id.as_uuid(),
        tenant.scim_configuration_id.as_uuid(),
        token_hash,
        digest,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes a configuration, and with it its token and all that it provisioned but the members
/// themselves: they stay members of the organization.
pub async fn delete(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: ScimConfigurationId,
) -> Result<(), Error> {
    let done = query!(
        "with users as (delete from scim_users where organization_id = $1 and scim_configuration_id = $2),
             blocks as (delete from scim_user_blocks where organization_id = $1 and scim_configuration_id = $2),
             emails as (delete from scim_user_emails where organization_id = $1 and scim_configuration_id = $2),
             former as (delete from scim_former_users where organization_id = $1 and scim_configuration_id = $2),
             roles as (delete from role_assignments r using scim_groups g
                 where r.organization_id = $1 and g.organization_id = $1 and g.scim_configuration_id = $2
                     and (r.group_id = g.id or r.resource_id = g.id)),
             groups as (delete from scim_groups where organization_id = $1 and scim_configuration_id = $2),
             changes as (delete from scim_group_changes where organization_id = $1 and scim_configuration_id = $2),
             members as (delete from scim_group_members where organization_id = $1 and scim_configuration_id = $2),
             events as (delete from scim_events where organization_id = $1 and scim_configuration_id = $2)
         delete from scim_configurations where organization_id = $1 and id = $2",
        organization_id.as_uuid(),
        id.as_uuid(),
    )
    .execute(db)
    .await?;
    one_row(&done)
}

/// The members that a configuration provisions and another one, too: their status may be another without it.
pub async fn shared_members(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: ScimConfigurationId,
) -> Result<Vec<MemberId>, Error> {
    let rows = sqlx::query_scalar!(
        r#"select s.user_id as "member: MemberId" from scim_users s
           where s.organization_id = $1 and s.scim_configuration_id = $2 and exists (
               select 1 from scim_users o
               where o.organization_id = $1 and o.user_id = s.user_id and o.scim_configuration_id <> $2)"#,
        organization_id.as_uuid(),
        id.as_uuid(),
    )
    .fetch_all(db)
    .await?;
    Ok(rows)
}

/// What is known of a presented SCIM token before it is verified.
#[derive(Debug)]
pub struct Candidate {
    /// The hash that it must have, in PHC string format.
    pub token_hash: String,
    /// By which it is recognised if it was verified before.
    pub token_digest: Option<Vec<u8>>,
    /// When it ends.
    pub token_expires_at: DateTime<Utc>,
    /// Whether the configuration answers at all.
    pub enabled: bool,
    /// Whether a user is linked to a member by an address that nobody has verified.
    pub allow_unverified_email_account_linking: bool,
    /// What was read together with it. It may be shown when the token verified.
    pub prefetched: Prefetched,
}

/// Finds the configuration that a presented token names. With a lookup, it reads some of the tenant's
/// resources in the same round trip.
pub async fn find_candidate(
    db: &mut Connection,
    tenant: Tenant,
    lookup: Option<&Lookup>,
) -> Result<Option<Candidate>, Error> {
    let mut query = statement(
        tenant,
        "select c.token_hash, c.token_digest, c.token_expires_at, c.enabled, c.allow_unverified_email_account_linking",
    );
    if lookup.is_some() {
        query.push(", t.*");
    }
    query.push(
        " from scim_configurations c join organizations o on o.id = $1 and o.deleted_at is null",
    );
    if let Some(lookup) = lookup {
        query.push(" left join lateral ");
        lookup.push_to(&mut query);
        query.push(" t on true");
    }
    query.push(" where c.organization_id = $1 and c.id = $2");
    let rows = query.build().fetch_all(db).await?;
    let Some(first) = rows.first() else {
        return Ok(None);
    };
    let mut found = vec![];
    for row in rows.iter().filter(|_| lookup.is_some()) {
        // Without any, there is one row that has none.
        if row.try_get::<Option<Uuid>, _>("id")?.is_some() {
            found.push(Stored::from_row(row)?);
        }
    }
    Ok(Some(Candidate {
        token_hash: first.try_get("token_hash")?,
        token_digest: first.try_get("token_digest")?,
        token_expires_at: first.try_get("token_expires_at")?,
        enabled: first.try_get("enabled")?,
        allow_unverified_email_account_linking: first
            .try_get("allow_unverified_email_account_linking")?,
        prefetched: match lookup {
            Some(_) => Prefetched::Found(found),
            None => Prefetched::NotAsked,
        },
    }))
}
