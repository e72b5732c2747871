//! Organizations. These functions are for operators and for the start of the process: they see all
//! tenants.

use sqlx::query;

use super::Connection;
use crate::domain::ids::OrganizationId;
use crate::domain::organization::Organization;
use crate::error::Error;

/// Adds an organization.
pub async fn insert(db: &mut Connection, organization: &Organization) -> Result<(), Error> {
    query!(
        "insert into organizations (id, name, created_at, updated_at) values ($1, $2, $3, $3)",
        organization.id.as_uuid(),
        organization.name,
        organization.created_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// All organizations, the oldest first.
pub async fn list(db: &mut Connection) -> Result<Vec<Organization>, Error> {
    let rows = query!("select id, name, created_at, updated_at from organizations order by id")
        .fetch_all(db)
        .await?;
    let organizations = rows.into_iter().map(|row| Organization {
        id: row.id.into(),
        name: row.name,
        created_at: row.created_at,
        updated_at: row.updated_at,
    });
    Ok(organizations.collect())
}

/// Keeps every other process that founds organizations waiting until the transaction ends.
pub async fn lock(db: &mut Connection) -> Result<(), Error> {
    // "rollcall" in ASCII.
    query!("select pg_advisory_xact_lock(8245928664157186156) as locked")
        .fetch_one(db)
        .await?;
    Ok(())
}

/// Reads an organization.
///
/// # Errors
///
/// [`Error::NotFound`] when there is none.
pub async fn get(db: &mut Connection, id: OrganizationId) -> Result<Organization, Error> {
    let row = query!(
        "select id, name, created_at, updated_at from organizations where id = $1",
        id.as_uuid()
    )
    .fetch_optional(db)
    .await?
    .ok_or(Error::NotFound("organization"))?;
    Ok(Organization {
        id: row.id.into(),
        name: row.name,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}

/// Whether there is an organization with this identifier.
pub async fn exists(db: &mut Connection, id: OrganizationId) -> Result<bool, Error> {
    let found = sqlx::query_scalar!("select 1 from organizations where id = $1", id.as_uuid())
        .fetch_optional(db)
        .await?;
    Ok(found.is_some())
}

/// The oldest organization of this name.
pub async fn find_by_name(
    db: &mut Connection,
    name: &str,
) -> Result<Option<OrganizationId>, Error> {
    let id = sqlx::query_scalar!(
        "select id from organizations where name = $1 order by id limit 1",
        name
    )
    .fetch_optional(db)
    .await?;
    Ok(id.map(Into::into))
}
