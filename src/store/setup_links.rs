//! Links with which somebody without an account sets up an organization's ways in.

use chrono::{DateTime, Utc};
use sqlx::{query, query_as, query_scalar};
use uuid::Uuid;

use super::aggregate::aggregate;
use super::{Connection, Items, Page, must_exist};
use crate::domain::identity::{Permissions, Principal, Subject};
use crate::domain::ids::{OrganizationId, SetupLinkId};
use crate::domain::setup_link::SetupLink;
use crate::error::Error;

const NOUN: &str = "set-up link in this organization";

/// What is known of the token of a link before it is verified.
#[derive(Debug)]
pub struct Candidate {
    /// What the link is for.
    pub permissions: Permissions,
    /// SHA-256 of the token that it must be.
    pub token_hash: Vec<u8>,
    /// When it ends by itself.
    pub expires_at: DateTime<Utc>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    is_revoked: bool,
}

impl Candidate {
    /// Whether it opens something now.
    pub fn is_live(&self, now: DateTime<Utc>) -> bool {
        !self.is_revoked && now < self.expires_at
    }
}

/// Finds the row that the token of a link names.
pub async fn find_candidate(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: SetupLinkId,
) -> Result<Option<Candidate>, Error> {
    let found = query!(
        "select l.permissions, l.token_hash, l.expires_at, l.last_used_at, l.revoked_at
         from setup_links l join organizations o on o.id = l.organization_id
         where l.organization_id = $1 and l.id = $2 and o.deleted_at is null",
        organization_id.as_uuid(),
        id.as_uuid(),
    )
    .fetch_optional(db)
    .await?;
    Ok(found.map(|row| Candidate {
        permissions: known(&row.permissions),
        token_hash: row.token_hash,
        expires_at: row.expires_at,
        last_used_at: row.last_used_at,
        is_revoked: row.revoked_at.is_some(),
    }))
}

/// One that only a later release knows gives nothing.
fn known(names: &[String]) -> Permissions {
    names.iter().filter_map(|name| name.parse().ok()).collect()
}

struct Row {
    organization_id: Uuid,
    id: Uuid,
    description: String,
    permissions: Vec<String>,
    return_url: String,
    created_by: Uuid,
    created_by_principal: Principal,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    first_used_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
}

macro_rules! select {
    ($rest:literal, $($argument:expr),+ $(,)?) => {
        query_as!(
            Row,
            r#"select organization_id, id, description, permissions, return_url, created_by,
                   created_by_principal as "created_by_principal: _", created_at, expires_at, first_used_at, last_used_at, revoked_at
               from setup_links "# + $rest,
            $($argument),+
        )
    };
}

impl From<Row> for SetupLink {
    fn from(row: Row) -> Self {
        Self {
            organization_id: row.organization_id.into(),
            id: row.id.into(),
            description: row.description,
            permissions: known(&row.permissions),
            return_url: row.return_url,
            created_by: Subject {
                id: row.created_by.into(),
                principal: row.created_by_principal,
            },
            created_at: row.created_at,
            expires_at: row.expires_at,
            first_used_at: row.first_used_at,
            last_used_at: row.last_used_at,
            revoked_at: row.revoked_at,
        }
    }
}

aggregate! { SetupLink by SetupLinkId, NOUN, select: get, lock }

/// Reads a page of the links of an organization, in the order of their identifiers: those that are live, or all.
pub async fn list(
    db: &mut Connection,
    organization_id: OrganizationId,
    include_ended: bool,
    now: DateTime<Utc>,
    page: Page,
) -> Result<Items<SetupLink>, Error> {
    let rows = select!(
        "where organization_id = $1 and id > $2 and ($3 or (revoked_at is null and expires_at > $4)) order by id limit $5",
        organization_id.as_uuid(),
        page.after,
        include_ended,
        now,
        page.limit(),
    )
    .fetch_all(db)
    .await?;
    let items = rows.into_iter().map(Into::into).collect();
    Ok(Items::of(items, page))
}

/// How many links of an organization are live.
pub async fn count_live(
    db: &mut Connection,
    organization_id: OrganizationId,
    now: DateTime<Utc>,
) -> Result<usize, Error> {
    let ids = query_scalar!(
        "select id from setup_links where organization_id = $1 and revoked_at is null and expires_at > $2",
        organization_id.as_uuid(),
        now,
    )
    .fetch_all(db)
    .await?;
    Ok(ids.len())
}

/// Adds a link with the SHA-256 of its token.
pub async fn insert(
    db: &mut Connection,
    link: &SetupLink,
    token_hash: &[u8; 32],
) -> Result<(), Error> {
    let permissions: Vec<String> = link.permissions.iter().map(|one| one.to_string()).collect();
    query!(
        "insert into setup_links (organization_id, id, description, permissions, return_url, token_hash, created_by,
             created_by_principal, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        link.organization_id.as_uuid(),
        link.id.as_uuid(),
        link.description,
        &permissions,
        link.return_url,
        token_hash,
        link.created_by.id.as_uuid(),
        link.created_by.principal.as_str(),
        link.created_at,
        link.expires_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Notes that a link is used.
pub async fn touch(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: SetupLinkId,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    query!(
        "update setup_links set first_used_at = coalesce(first_used_at, $3), last_used_at = $3
         where organization_id = $1 and id = $2",
        organization_id.as_uuid(),
        id.as_uuid(),
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Ends a link.
///
/// # Errors
///
/// [`Error::NotFound`] when it is gone.
pub async fn revoke(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: SetupLinkId,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let done = query!(
        "update setup_links set revoked_at = $3 where organization_id = $1 and id = $2",
        organization_id.as_uuid(),
        id.as_uuid(),
        now,
    )
    .execute(db)
    .await?;
    must_exist(&done, NOUN)
}

/// Deletes up to `limit` links of all organizations that ended before `end`: for the job that tidies up.
pub async fn delete_ended(
    db: &mut Connection,
    end: DateTime<Utc>,
    limit: i64,
) -> Result<u64, Error> {
    let done = query!(
        "delete from setup_links where (organization_id, id) in
             (select organization_id, id from setup_links where expires_at < $1 or revoked_at < $1 limit $2)",
        end,
        limit,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}
