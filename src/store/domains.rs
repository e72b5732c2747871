//! Domain verifications.

use chrono::{DateTime, Utc};
use sqlx::{query, query_as, query_scalar};

use super::aggregate::aggregate;
use super::{Connection, OnConstraint, one_row};
use crate::domain::domain_verification::DomainVerification;
use crate::domain::ids::{DomainVerificationId, OrganizationId};
use crate::error::Error;

const NOUN: &str = "domain verification in this organization";

macro_rules! select {
    ($rest:literal, $($argument:expr),+ $(,)?) => {
        query_as!(
            DomainVerification,
            "select organization_id, id, domain, token, verified_at, created_at from domain_verifications " + $rest,
            $($argument),+
        )
    };
}

aggregate! { DomainVerification by DomainVerificationId, NOUN, select: get, lock, list, delete("domain_verifications") }

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
    let done = query!(
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
    one_row(&done)
}

/// Whether the organization has verified a domain, of which `domain` is the key.
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
