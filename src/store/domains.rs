//! Domain verifications.

use chrono::{DateTime, Utc};
use sqlx::{query, query_as, query_scalar};
use uuid::Uuid;

use super::{Connection, Items, OnConstraint, Page};
use crate::domain::domain_verification::DomainVerification;
use crate::domain::ids::{DomainVerificationId, OrganizationId};
use crate::error::Error;

const NOUN: &str = "domain verification in this organization";

struct Row {
    organization_id: Uuid,
    id: Uuid,
    domain: String,
    token: String,
    verified_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

macro_rules! select {
    ($rest:literal, $($argument:expr),+ $(,)?) => {
        query_as!(
            Row,
            "select organization_id, id, domain, token, verified_at, created_at from domain_verifications " + $rest,
            $($argument),+
        )
    };
}

impl From<Row> for DomainVerification {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.into(),
            organization_id: row.organization_id.into(),
            domain: row.domain,
            token: row.token,
            verified_at: row.verified_at,
            created_at: row.created_at,
        }
    }
}

/// Adds a verification.
///
/// # Errors
///
/// [`Error::AlreadyExists`] when the organization has one of this domain.
pub async fn insert(
    db: &mut Connection,
    organization_id: OrganizationId,
    verification: &DomainVerification,
) -> Result<(), Error> {
    query!(
        "insert into domain_verifications (organization_id, id, domain, token, verified_at, created_at)
         values ($1, $2, $3, $4, $5, $6)",
        organization_id.as_uuid(),
        verification.id.as_uuid(),
        verification.domain,
        verification.token,
        verification.verified_at,
        verification.created_at,
    )
    .execute(db)
    .await
    .on_constraint("domain_verifications_domain_key", || {
        Error::AlreadyExists(
            "the organization already has a verification of this domain: use that one, which ListDomainVerifications shows, or delete it first"
                .into(),
        )
    })?;
    Ok(())
}

/// Reads a verification.
///
/// # Errors
///
/// [`Error::NotFound`] when the organization has none with this identifier.
pub async fn get(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: DomainVerificationId,
) -> Result<DomainVerification, Error> {
    select!(
        "where organization_id = $1 and id = $2",
        organization_id.as_uuid(),
        id.as_uuid(),
    )
    .fetch_optional(db)
    .await?
    .map(Into::into)
    .ok_or(Error::NotFound(NOUN))
}

/// Reads a verification and keeps others from changing it until the transaction ends.
///
/// # Errors
///
/// [`Error::NotFound`] when the organization has none with this identifier.
pub async fn lock(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: DomainVerificationId,
) -> Result<DomainVerification, Error> {
    select!(
        "where organization_id = $1 and id = $2 for update",
        organization_id.as_uuid(),
        id.as_uuid(),
    )
    .fetch_optional(db)
    .await?
    .map(Into::into)
    .ok_or(Error::NotFound(NOUN))
}

/// Reads a page of the organization's verifications.
///
/// # Errors
///
/// As the database has them.
pub async fn list(
    db: &mut Connection,
    organization_id: OrganizationId,
    page: Page,
) -> Result<Items<DomainVerification>, Error> {
    let rows = select!(
        "where organization_id = $1 and id > $2 order by id limit $3",
        organization_id.as_uuid(),
        page.after,
        page.limit(),
    )
    .fetch_all(db)
    .await?;
    Ok(Items::of(rows.into_iter().map(Into::into).collect(), page))
}

/// Writes that a domain is verified.
///
/// # Errors
///
/// [`Error::AlreadyExists`] when another organization has it verified.
pub async fn set_verified(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: DomainVerificationId,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    query!(
        "update domain_verifications set verified_at = $3 where organization_id = $1 and id = $2",
        organization_id.as_uuid(),
        id.as_uuid(),
        now,
    )
    .execute(db)
    .await
    .on_constraint("domain_verifications_verified_key", || {
        Error::AlreadyExists(
            "another organization of this installation has verified the domain: only when it deletes its verification can this one be completed"
                .into(),
        )
    })?;
    Ok(())
}

/// Removes a verification.
///
/// # Errors
///
/// As the database has them.
pub async fn delete(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: DomainVerificationId,
) -> Result<(), Error> {
    query!(
        "delete from domain_verifications where organization_id = $1 and id = $2",
        organization_id.as_uuid(),
        id.as_uuid(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Whether the organization has verified a domain, of which `domain` is the key.
///
/// # Errors
///
/// As the database has them.
pub async fn is_verified(
    db: &mut Connection,
    organization_id: OrganizationId,
    domain: &str,
) -> Result<bool, Error> {
    let verified = query_scalar!(
        r#"select exists (select 1 from domain_verifications
           where organization_id = $1 and domain = $2 and verified_at is not null) as "verified!""#,
        organization_id.as_uuid(),
        domain,
    );
    Ok(verified.fetch_one(db).await?)
}
