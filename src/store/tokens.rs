//! API tokens and the service accounts that they stand for.

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::{query, query_scalar};
use uuid::Uuid;

use super::roles::query_with_roles;
use super::{Connection, Page, must_exist};
use crate::domain::identity::{Caller, Powers, Principal, Role, Subject};
use crate::domain::ids::{ApiTokenId, OrganizationId, SubjectId};
use crate::error::Error;

/// A token to add, with the service account that it stands for.
#[derive(Debug)]
pub struct NewToken<'a> {
    /// The token's identifier.
    pub id: ApiTokenId,
    /// The new service account's identifier.
    pub service_account_id: SubjectId,
    /// The service account's name.
    pub name: &'a str,
    /// The service account's role.
    pub role: Role,
    /// Whether the token may only read.
    pub read_only: bool,
    /// Whether the token comes from the bootstrap setting.
    pub is_bootstrap: bool,
    /// The token's hash, in PHC string format.
    pub token_hash: &'a str,
    /// When it is made.
    pub created_at: DateTime<Utc>,
    /// When it ends, if ever.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A token as operators see it.
#[derive(Debug)]
pub struct ListedToken {
    /// The token's identifier.
    pub id: ApiTokenId,
    /// The service account's name.
    pub name: String,
    /// The service account's role.
    pub role: Role,
    /// Whether the token may only read.
    pub read_only: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends, if ever.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// What is known of a presented token before it is verified.
#[derive(Debug)]
pub struct Candidate {
    /// Who calls, if the token verifies.
    pub caller: Caller,
    /// The hash that it must have, in PHC string format.
    pub token_hash: String,
    /// By which it is recognised if it was verified before.
    pub token_digest: Option<Vec<u8>>,
    /// Whether it comes from the bootstrap setting.
    pub is_bootstrap: bool,
    /// When it ends, if ever.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// What was read together with it, if anything was asked for. It may be shown when the token verified.
    pub read_ahead: Option<ReadAhead>,
}

impl Candidate {
    /// Whether the token opens anything at this moment, if it verifies.
    pub fn is_live(&self, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

/// Configurations to read together with a token, which the request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// Of which kind.
    pub kind: Configurations,
    /// The first that may be read: one, or nil for the first page.
    pub from: Uuid,
    /// The most that are read.
    pub limit: i64,
}

/// The kinds of configurations that are read together with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Configurations {
    /// SSO configurations.
    Sso,
    /// SCIM configurations.
    Scim,
}

/// The rows that were read together with a token, in the order of their identifiers.
#[derive(Clone, Debug)]
pub struct ReadAhead {
    ahead: Ahead,
    rows: Vec<Value>,
}

impl ReadAhead {
    /// The one with this identifier, if it was read.
    pub(super) fn one<T: DeserializeOwned>(&self, kind: Configurations, id: Uuid) -> Option<T> {
        let is_it = self.ahead.kind == kind && self.ahead.from == id;
        let row = self.rows.first().filter(|_| is_it)?;
        let is_found = row.get("id")?.as_str()? == id.to_string();
        is_found.then(|| serde_json::from_value(row.clone()).ok())?
    }

    /// A page, if it was read.
    pub(super) fn page<T: DeserializeOwned>(
        &self,
        kind: Configurations,
        page: Page,
    ) -> Option<Vec<T>> {
        let is_it = page.after.is_nil() && self.ahead == Ahead::first_page(kind, page.size);
        let rows = self.rows.iter();
        let rows = rows.map(|row| serde_json::from_value(row.clone()).ok());
        is_it.then(|| rows.collect())?
    }
}

impl Ahead {
    /// One configuration.
    pub const fn one(kind: Configurations, id: Uuid) -> Self {
        Self {
            kind,
            from: id,
            limit: 1,
        }
    }

    /// The first page of a list.
    pub fn first_page(kind: Configurations, size: u32) -> Self {
        Self {
            kind,
            from: Uuid::nil(),
            limit: Page::first(size).limit(),
        }
    }
}

struct Row {
    service_account_id: Uuid,
    role: Role,
    read_only: bool,
    is_bootstrap: bool,
    token_hash: String,
    token_digest: Option<Vec<u8>>,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
    roles_of_groups: Vec<String>,
    ahead: Vec<Value>,
}

macro_rules! find {
    ($ahead:literal, $($argument:expr),+ $(,)?) => {
        query_with_roles!(
            service_account: Row,
            [r#"select t.service_account_id, subject.role as "role: _", t.read_only, t.is_bootstrap, t.token_hash, t.token_digest,
                   least(t.expires_at, subject.valid_until) as expires_at, t.revoked_at, t.last_used_at, "# $ahead r#" as "ahead!", "#],
            "from api_tokens t
             join service_accounts subject on subject.organization_id = t.organization_id and subject.id = t.service_account_id
             join organizations o on o.id = t.organization_id
             where t.organization_id = $1 and t.id = $2 and subject.suspended_at is null and o.deleted_at is null",
            $($argument),+
        )
    };
}

impl Row {
    fn candidate(
        self,
        organization_id: OrganizationId,
        ahead: Option<Ahead>,
    ) -> Result<Candidate, Error> {
        let rows = self.ahead;
        Ok(Candidate {
            read_ahead: ahead.map(|ahead| ReadAhead { ahead, rows }),
            caller: Caller {
                organization_id,
                subject: Subject {
                    id: self.service_account_id.into(),
                    principal: Principal::ServiceAccount,
                },
                powers: Powers::of(self.role, self.roles_of_groups.iter().map(String::as_str)),
                read_only: self.read_only,
                ends_at: None,
            },
            token_hash: self.token_hash,
            token_digest: self.token_digest,
            is_bootstrap: self.is_bootstrap,
            expires_at: self.expires_at,
            revoked_at: self.revoked_at,
            last_used_at: self.last_used_at,
        })
    }
}

/// Finds the row that a presented token names, and in the same round trip the configurations of its organization that
/// `ahead` describes.
///
/// # Errors
///
/// As the database has them; [`Error::Internal`] for a role that this version does not know.
pub async fn find_candidate(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: ApiTokenId,
    ahead: Option<Ahead>,
) -> Result<Option<Candidate>, Error> {
    let (organization, id) = (organization_id.as_uuid(), id.as_uuid());
    let row = match ahead {
        None => {
            find!("'{}'::jsonb[]", organization, id)
                .fetch_optional(db)
                .await?
        }
        Some(Ahead { kind: Configurations::Sso, from, limit }) => find!(
            "array(select to_jsonb(c) - '{client_secret, forgotten_secret}'::text[]
                       || jsonb_build_object('needs_client_secret', coalesce(c.client_secret = c.forgotten_secret, false))
                   from sso_configurations c where c.organization_id = $1 and c.id >= $3 order by c.id limit $4)",
            organization,
            id,
            from,
            limit,
        )
        .fetch_optional(db)
        .await?,
        Some(Ahead { kind: Configurations::Scim, from, limit }) => find!(
            "array(select to_jsonb(c) - '{token_hash, token_digest}'::text[]
                   from scim_configurations c where c.organization_id = $1 and c.id >= $3 order by c.id limit $4)",
            organization,
            id,
            from,
            limit,
        )
        .fetch_optional(db)
        .await?,
    };
    row.map(|row| row.candidate(organization_id, ahead))
        .transpose()
}

/// Whether an organization other than this one, which is not deleted, has a token with this identifier: for the start of the
/// process, which is given a token that names no organization.
pub async fn is_of_another(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: ApiTokenId,
) -> Result<bool, Error> {
    Ok(query_scalar!(
        r#"select exists (
               select 1 from api_tokens t join organizations o on o.id = t.organization_id
               where t.organization_id <> $1 and t.id = $2 and o.deleted_at is null) as "exists!""#,
        organization_id.as_uuid(),
        id.as_uuid(),
    )
    .fetch_one(db)
    .await?)
}

/// Adds a token and its service account, in a transaction.
pub async fn insert(
    db: &mut Connection,
    organization_id: OrganizationId,
    token: &NewToken<'_>,
) -> Result<(), Error> {
    query!(
        "insert into service_accounts (organization_id, id, name, role, created_at) values ($1, $2, $3, $4, $5)",
        organization_id.as_uuid(),
        token.service_account_id.as_uuid(),
        token.name,
        token.role.as_str(),
        token.created_at,
    )
    .execute(&mut *db)
    .await?;
    query!(
        "insert into api_tokens
             (organization_id, id, service_account_id, token_hash, read_only, is_bootstrap, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        organization_id.as_uuid(),
        token.id.as_uuid(),
        token.service_account_id.as_uuid(),
        token.token_hash,
        token.read_only,
        token.is_bootstrap,
        token.created_at,
        token.expires_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Keeps the digest by which the token with this hash is recognised.
pub async fn keep_digest(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: ApiTokenId,
    token_hash: &str,
    digest: &[u8],
) -> Result<(), Error> {
    query!(
        "update api_tokens set token_digest = $4 where organization_id = $1 and id = $2 and token_hash = $3",
        organization_id.as_uuid(),
        id.as_uuid(),
        token_hash,
        digest,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Notes that a token is used.
pub async fn touch(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: ApiTokenId,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    query!(
        "update api_tokens set last_used_at = $3 where organization_id = $1 and id = $2",
        organization_id.as_uuid(),
        id.as_uuid(),
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// All tokens of an organization, the oldest first.
pub async fn list(
    db: &mut Connection,
    organization_id: OrganizationId,
) -> Result<Vec<ListedToken>, Error> {
    let rows = query!(
        r#"select t.id, a.name, a.role as "role: Role", t.read_only, t.created_at, t.expires_at, t.revoked_at
         from api_tokens t
         join service_accounts a on a.organization_id = t.organization_id and a.id = t.service_account_id
         where t.organization_id = $1
         order by t.id"#,
        organization_id.as_uuid(),
    )
    .fetch_all(db)
    .await?;
    let tokens = rows.into_iter().map(|row| ListedToken {
        id: row.id.into(),
        name: row.name,
        role: row.role,
        read_only: row.read_only,
        created_at: row.created_at,
        expires_at: row.expires_at,
        revoked_at: row.revoked_at,
    });
    Ok(tokens.collect())
}

/// Revokes a token, for good.
///
/// # Errors
///
/// [`Error::NotFound`] when the organization has no such token, or it is revoked already.
pub async fn revoke(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: ApiTokenId,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let done = query!(
        "update api_tokens set revoked_at = $3 where organization_id = $1 and id = $2 and revoked_at is null",
        organization_id.as_uuid(),
        id.as_uuid(),
        now,
    )
    .execute(db)
    .await?;
    must_exist(
        &done,
        "token in this organization, or it is revoked already",
    )
}

/// Revokes the bootstrap tokens of an organization other than `kept`.
pub async fn revoke_other_bootstrap_tokens(
    db: &mut Connection,
    organization_id: OrganizationId,
    kept: ApiTokenId,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    query!(
        "update api_tokens set revoked_at = $3
         where organization_id = $1 and id <> $2 and is_bootstrap and revoked_at is null",
        organization_id.as_uuid(),
        kept.as_uuid(),
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}
