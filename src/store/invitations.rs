//! How people join organizations: by invitations, and by the domain of their address.

use chrono::{DateTime, Utc};
use sqlx::{query, query_as};

use super::{Connection, Items, Page};
use crate::domain::ids::OrganizationId;
use crate::error::Error;

/// The most members that are counted.
const MOST_COUNTED: i64 = 10_000;

/// The invitation of an organization.
#[derive(Debug)]
pub struct Sealed {
    /// The invitation, sealed.
    pub sealed: Vec<u8>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

/// Gives an organization an invitation, in place of the one before.
pub async fn put(
    db: &mut Connection,
    organization_id: OrganizationId,
    digest: &[u8],
    invitation: &Sealed,
) -> Result<(), Error> {
    query!(
        "insert into invitations (organization_id, digest, sealed, expires_at) values ($1, $2, $3, $4)
         on conflict (organization_id) do update
         set digest = excluded.digest, sealed = excluded.sealed, expires_at = excluded.expires_at",
        organization_id.as_uuid(),
        digest,
        invitation.sealed,
        invitation.expires_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The invitation of an organization, if it has one that has not ended.
pub async fn get(
    db: &mut Connection,
    organization_id: OrganizationId,
    now: DateTime<Utc>,
) -> Result<Option<Sealed>, Error> {
    Ok(query_as!(
        Sealed,
        r#"select sealed as "sealed!", expires_at as "expires_at!" from invitations
           where organization_id = $1 and digest is not null and expires_at > $2"#,
        organization_id.as_uuid(),
        now,
    )
    .fetch_optional(db)
    .await?)
}

/// An organization that lets people join.
#[derive(Debug)]
pub struct Inviting {
    /// The organization.
    pub id: OrganizationId,
    /// The domains of those who may join; none: every domain.
    pub domains: Vec<String>,
}

/// The organization that an invitation is of, whichever that is.
pub async fn find(
    db: &mut Connection,
    digest: &[u8],
    now: DateTime<Utc>,
) -> Result<Option<Inviting>, Error> {
    Ok(query_as!(
        Inviting,
        r#"select organization_id as "id: _", domains from invitations where digest = $1 and expires_at > $2"#,
        digest,
        now,
    )
    .fetch_optional(db)
    .await?)
}

/// Reads a page of the organizations that let in addresses of a domain.
pub async fn list_joinable(
    db: &mut Connection,
    domain: &str,
    page: Page,
) -> Result<Items<OrganizationId>, Error> {
    let rows = sqlx::query_scalar!(
        r#"select i.organization_id as "id: OrganizationId" from invitations i
           where i.domains && array[$1::text] and i.organization_id > $2
           order by i.organization_id limit $3"#,
        domain,
        page.after,
        page.limit(),
    )
    .fetch_all(db)
    .await?;
    Ok(Items::of(rows, page))
}

/// What somebody is told of an organization who may join it.
#[derive(Debug)]
pub struct Summary {
    /// The organization.
    pub id: OrganizationId,
    /// Its name.
    pub name: String,
    /// How many members may act, counted up to a limit.
    pub member_count: i64,
}

/// Reads what is told of an organization; `None` if it is deleted.
pub async fn summary(
    db: &mut Connection,
    organization_id: OrganizationId,
) -> Result<Option<Summary>, Error> {
    Ok(query_as!(
        Summary,
        r#"select o.id as "id: _", o.name, (
               select count(*) from (
                   select 1 from users u where u.organization_id = $1 and u.status = 'active' limit $2) counted
           ) as "member_count!"
           from organizations o where o.id = $1 and o.deleted_at is null"#,
        organization_id.as_uuid(),
        MOST_COUNTED,
    )
    .fetch_optional(db)
    .await?)
}
