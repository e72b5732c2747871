//! SSO configurations.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use sqlx::types::Json;
use sqlx::{query, query_as, query_scalar};
use uuid::Uuid;

use super::aggregate::aggregate;
use super::tokens::{Configurations, ReadAhead};
use super::{Connection, Items, OnConstraint, Page, one_row};
use crate::domain::ids::{OrganizationId, SsoConfigurationId};
use crate::domain::letters::domain_spellings;
use crate::domain::sso::SsoConfiguration;
use crate::error::Error;

const NOUN: &str = "SSO configuration in this organization";

#[derive(Deserialize)]
struct Row {
    organization_id: Uuid,
    id: Uuid,
    client_id: String,
    issuer_url: String,
    is_active: bool,
    needs_client_secret: bool,
    claims: Json<BTreeMap<String, String>>,
    email_domains: Vec<String>,
    display_name: String,
    additional_scopes: Vec<String>,
    claims_expression: String,
    tested_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

macro_rules! select {
    ($rest:literal, $($argument:expr),+ $(,)?) => {
        query_as!(
            Row,
            r#"select organization_id, id, client_id, issuer_url, is_active,
                  coalesce(client_secret = forgotten_secret, false) as "needs_client_secret!",
                  claims as "claims: Json<BTreeMap<String, String>>", email_domains, display_name, additional_scopes, claims_expression, tested_at,
                  created_at, updated_at
           from sso_configurations "# + $rest,
            $($argument),+
        )
    };
}

impl From<Row> for SsoConfiguration {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.into(),
            organization_id: row.organization_id.into(),
            client_id: row.client_id,
            issuer_url: row.issuer_url,
            is_active: row.is_active,
            needs_client_secret: row.needs_client_secret,
            claims: row.claims.0,
            email_domains: row.email_domains,
            display_name: row.display_name,
            additional_scopes: row.additional_scopes,
            claims_expression: row.claims_expression,
            tested_at: row.tested_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

aggregate! { SsoConfiguration by SsoConfigurationId, NOUN, select: get, lock, list }

/// The configuration with this identifier, if it was read together with the caller's token.
pub fn read_ahead(read: Option<&ReadAhead>, id: SsoConfigurationId) -> Option<SsoConfiguration> {
    let row: Row = read?.one(Configurations::Sso, id.as_uuid())?;
    Some(row.into())
}

/// A page, if it was read together with the caller's token.
pub fn page_read_ahead(read: Option<&ReadAhead>, page: Page) -> Option<Items<SsoConfiguration>> {
    let rows: Vec<Row> = read?.page(Configurations::Sso, page)?;
    Some(Items::of(rows.into_iter().map(Into::into).collect(), page))
}

fn already_exists() -> Error {
    Error::AlreadyExists(
        "the organization already has an SSO configuration with this issuer_url and client_id: update that one, or give another client_id"
            .into(),
    )
}

/// Adds a configuration with its sealed client secret.
///
/// # Errors
///
/// [`Error::AlreadyExists`] when the organization has one with this issuer and client.
pub async fn insert(
    db: &mut Connection,
    organization_id: OrganizationId,
    configuration: &SsoConfiguration,
    client_secret: &[u8],
) -> Result<(), Error> {
    let c = configuration;
    query!(
        "insert into sso_configurations
             (organization_id, id, client_id, client_secret, issuer_url, registration_digest, is_active, claims,
              email_domains, display_name, additional_scopes, claims_expression, created_at, updated_at, email_domain_keys)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        organization_id.as_uuid(),
        c.id.as_uuid(),
        c.client_id,
        client_secret,
        c.issuer_url,
        &c.registration_digest(),
        c.is_active,
        Json(&c.claims) as _,
        &c.email_domains,
        c.display_name,
        &c.additional_scopes,
        c.claims_expression,
        c.created_at,
        c.updated_at,
        &c.email_domain_keys(),
    )
    .execute(db)
    .await
    .on_constraint("sso_configurations_registration_key", already_exists)?;
    Ok(())
}

/// Reads the sealed client secret of a configuration.
///
/// # Errors
///
/// [`Error::NotFound`] when the organization has none with this identifier.
pub async fn client_secret(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: SsoConfigurationId,
) -> Result<Vec<u8>, Error> {
    query_scalar!(
        "select client_secret from sso_configurations where organization_id = $1 and id = $2",
        organization_id.as_uuid(),
        id.as_uuid(),
    )
    .fetch_optional(db)
    .await?
    .ok_or(Error::NotFound(NOUN))
}

/// A way to sign in with an address.
#[derive(Debug)]
pub struct Choice {
    /// The configuration.
    pub configuration: SsoConfiguration,
    /// The organization's name.
    pub organization: String,
}

/// Reads a page of the active configurations of all organizations that sign in addresses of a domain
/// (its key), if need be only of the organization that verified it, and the first ten of each, so that none
/// crowds out the others: what a person chooses from before the person's organization is known.
pub async fn list_for_domain(
    db: &mut Connection,
    domain: &str,
    must_be_verified: bool,
    page: Page,
) -> Result<Items<Choice>, Error> {
    let rows = query!(
        r#"select c.organization_id, c.id, c.client_id, c.issuer_url, c.is_active,
               coalesce(c.client_secret = c.forgotten_secret, false) as "needs_client_secret!",
               c.claims as "claims: Json<BTreeMap<String, String>>",
               c.email_domains, c.display_name, c.additional_scopes, c.claims_expression, c.tested_at, c.created_at, c.updated_at, o.name
           from sso_configurations c join organizations o on o.id = c.organization_id
           where c.email_domain_keys && $5::text[] and c.is_active and o.deleted_at is null and c.id > $2
               and (select count(*) from sso_configurations o
                   where o.organization_id = c.organization_id and o.email_domain_keys && $5::text[] and o.is_active
                       and o.id < c.id) < 10
               and (not $3 or exists (select 1 from domain_verifications v
                   where v.organization_id = c.organization_id and v.domain = $1 and v.verified_at is not null))
           order by c.id limit $4"#,
        domain,
        page.after,
        must_be_verified,
        page.limit(),
        &domain_spellings(domain),
    )
    .fetch_all(db)
    .await?;
    let choices = rows.into_iter().map(|row| Choice {
        organization: row.name,
        configuration: Row {
            organization_id: row.organization_id,
            id: row.id,
            client_id: row.client_id,
            issuer_url: row.issuer_url,
            is_active: row.is_active,
            needs_client_secret: row.needs_client_secret,
            claims: row.claims,
            email_domains: row.email_domains,
            display_name: row.display_name,
            additional_scopes: row.additional_scopes,
            claims_expression: row.claims_expression,
            tested_at: row.tested_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
        .into(),
    });
    Ok(Items::of(choices.collect(), page))
}

/// Reads a page of the active configurations of an organization: what a person chooses from who signs in to it.
pub async fn list_active(
    db: &mut Connection,
    organization_id: OrganizationId,
    page: Page,
) -> Result<Items<Choice>, Error> {
    let rows = query!(
        r#"select c.organization_id, c.id, c.client_id, c.issuer_url, c.is_active,
               coalesce(c.client_secret = c.forgotten_secret, false) as "needs_client_secret!",
               c.claims as "claims: Json<BTreeMap<String, String>>",
               c.email_domains, c.display_name, c.additional_scopes, c.claims_expression, c.tested_at, c.created_at, c.updated_at, o.name
           from sso_configurations c join organizations o on o.id = c.organization_id
           where c.organization_id = $1 and c.is_active and o.deleted_at is null and c.id > $2
           order by c.id limit $3"#,
        organization_id.as_uuid(),
        page.after,
        page.limit(),
    )
    .fetch_all(db)
    .await?;
    let choices = rows.into_iter().map(|row| Choice {
        organization: row.name,
        configuration: Row {
            organization_id: row.organization_id,
            id: row.id,
            client_id: row.client_id,
            issuer_url: row.issuer_url,
            is_active: row.is_active,
            needs_client_secret: row.needs_client_secret,
            claims: row.claims,
            email_domains: row.email_domains,
            display_name: row.display_name,
            additional_scopes: row.additional_scopes,
            claims_expression: row.claims_expression,
            tested_at: row.tested_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
        .into(),
    });
    Ok(Items::of(choices.collect(), page))
}

/// Keeps others from changing a configuration until the transaction ends, and tells whether it is
/// still the one that was read.
pub async fn lock_as_read(
    db: &mut Connection,
    configuration: &SsoConfiguration,
) -> Result<bool, Error> {
    let found = query!(
        "select c.id from sso_configurations c join organizations o on o.id = c.organization_id
         where c.organization_id = $1 and c.id = $2 and c.updated_at = $3 and o.deleted_at is null for share of c",
        configuration.organization_id.as_uuid(),
        configuration.id.as_uuid(),
        configuration.updated_at,
    )
    .fetch_optional(db)
    .await?;
    Ok(found.is_some())
}

/// Writes a changed configuration, and its sealed client secret if there is a new one.
///
/// # Errors
///
/// [`Error::AlreadyExists`] when the organization has another with this issuer and client.
pub async fn update(
    db: &mut Connection,
    organization_id: OrganizationId,
    configuration: &SsoConfiguration,
    client_secret: Option<&[u8]>,
) -> Result<(), Error> {
    let c = configuration;
    let done = query!(
        "update sso_configurations
         set client_id = $3, client_secret = coalesce($4, client_secret), issuer_url = $5, registration_digest = $6,
             is_active = $7, claims = $8, email_domains = $9, display_name = $10, additional_scopes = $11,
             claims_expression = $12, updated_at = $13, email_domain_keys = $14, tested_at = $15
         where organization_id = $1 and id = $2",
        organization_id.as_uuid(),
        c.id.as_uuid(),
        c.client_id,
        client_secret,
        c.issuer_url,
        &c.registration_digest(),
        c.is_active,
        Json(&c.claims) as _,
        &c.email_domains,
        c.display_name,
        &c.additional_scopes,
        c.claims_expression,
        c.updated_at,
        &c.email_domain_keys(),
        c.tested_at,
    )
    .execute(db)
    .await
    .on_constraint("sso_configurations_registration_key", already_exists)?;
    one_row(&done)
}

/// Writes that a test sign-in through a configuration let somebody in, unless the configuration is no longer the one that was read.
pub async fn set_tested(
    db: &mut Connection,
    configuration: &SsoConfiguration,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    query!(
        "update sso_configurations set tested_at = $4 where organization_id = $1 and id = $2 and updated_at = $3",
        configuration.organization_id.as_uuid(),
        configuration.id.as_uuid(),
        configuration.updated_at,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes a configuration.
///
/// # Errors
///
/// [`Error::FailedPrecondition`] while a SCIM configuration links to it.
pub async fn delete(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: SsoConfigurationId,
) -> Result<(), Error> {
    let done = query!(
        "delete from sso_configurations where organization_id = $1 and id = $2",
        organization_id.as_uuid(),
        id.as_uuid(),
    )
    .execute(db)
    .await
    .on_constraint("scim_configurations_sso_configuration_fkey", || {
        Error::FailedPrecondition(
            "a SCIM configuration that was made just now links to this SSO configuration: delete it or link it to another first"
                .to_owned(),
        )
    })?;
    one_row(&done)
}

/// The sealed client secret of some configuration of some organization, for the operator who changes keys.
#[derive(Clone, Debug)]
pub struct SealedSecret {
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// Which configuration's.
    pub id: SsoConfigurationId,
    /// The secret.
    pub client_secret: Vec<u8>,
    /// Whether it is forgotten: something else is sealed in its place.
    pub is_forgotten: bool,
}

/// Reads up to `size` sealed secrets of all organizations, those after `after`: for the operator who changes keys.
pub async fn list_secrets(
    db: &mut Connection,
    after: (OrganizationId, SsoConfigurationId),
    size: i64,
) -> Result<Vec<SealedSecret>, Error> {
    Ok(query_as!(
        SealedSecret,
        r#"select organization_id, id, client_secret, coalesce(client_secret = forgotten_secret, false) as "is_forgotten!"
           from sso_configurations
           where (organization_id, id) > ($1, $2) order by organization_id, id limit $3"#,
        after.0.as_uuid(),
        after.1.as_uuid(),
        size,
    )
    .fetch_all(db)
    .await?)
}

/// One sealed secret of each key that sealed any that is not forgotten, of all organizations: for the
/// operator, and for the start of the process.
pub async fn sample_secrets(db: &mut Connection) -> Result<Vec<SealedSecret>, Error> {
    // A sealed value begins with the length of the key's id, and the id.
    Ok(query_as!(
        SealedSecret,
        r#"select distinct on (substr(client_secret, 1, get_byte(client_secret, 0) + 1))
               organization_id, id, client_secret, false as "is_forgotten!"
           from sso_configurations where client_secret is distinct from forgotten_secret
           order by substr(client_secret, 1, get_byte(client_secret, 0) + 1)"#
    )
    .fetch_all(db)
    .await?)
}

/// Replaces a sealed secret, unless somebody did meanwhile: then it tells `false`. One that is forgotten stays so.
pub async fn update_secret(
    db: &mut Connection,
    secret: &SealedSecret,
    sealed: &[u8],
) -> Result<bool, Error> {
    let done = query!(
        "update sso_configurations
         set client_secret = $4, forgotten_secret = case when forgotten_secret = client_secret then $4::bytea end
         where organization_id = $1 and id = $2 and client_secret = $3",
        secret.organization_id.as_uuid(),
        secret.id.as_uuid(),
        secret.client_secret,
        sealed,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Finds up to `size` configurations of all organizations whose client secret begins with `prefix` and is not forgotten: for the
/// operator who lost a key.
pub async fn find_sealed_with(
    db: &mut Connection,
    prefix: &[u8],
    size: i64,
) -> Result<Vec<(OrganizationId, SsoConfigurationId)>, Error> {
    let rows = query!(
        "select organization_id, id from sso_configurations
         where substr(client_secret, 1, length($1::bytea)) = $1 and client_secret is distinct from forgotten_secret
         order by organization_id, id limit $2",
        prefix,
        size,
    )
    .fetch_all(db)
    .await?;
    let ids = rows
        .into_iter()
        .map(|row| (row.organization_id.into(), row.id.into()));
    Ok(ids.collect())
}

/// Puts something sealed in the place of a configuration's client secret, if that begins with `prefix`. It has to be entered again
/// from then on.
pub async fn forget_secret(
    db: &mut Connection,
    configuration: &SsoConfiguration,
    prefix: &[u8],
    sealed: &[u8],
) -> Result<bool, Error> {
    let done = query!(
        "update sso_configurations set client_secret = $4, forgotten_secret = $4, updated_at = $5, tested_at = null
         where organization_id = $1 and id = $2 and substr(client_secret, 1, length($3::bytea)) = $3",
        configuration.organization_id.as_uuid(),
        configuration.id.as_uuid(),
        prefix,
        sealed,
        configuration.updated_at,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}
