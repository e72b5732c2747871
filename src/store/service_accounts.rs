//! Service accounts and their tokens, as administrators and the programs themselves see them. How a presented token is found:
//! [`tokens`](super::tokens).

use chrono::{DateTime, Utc};
use sqlx::{query, query_as};
use uuid::Uuid;

use super::aggregate::aggregate;
use super::{Connection, Items, Page, must_exist};
use crate::domain::identity::{Principal, Subject};
use crate::domain::ids::{ApiTokenId, OrganizationId, ServiceAccountId};
use crate::domain::letters::fold;
use crate::domain::service_account::{ServiceAccount, ServiceAccountToken};
use crate::error::Error;

const NOUN: &str = "service account in this organization";
const TOKEN: &str = "token of a service account in this organization";

struct Row {
    id: Uuid,
    name: String,
    description: String,
    creator_id: Option<Uuid>,
    creator_principal: Option<Principal>,
    created_at: DateTime<Utc>,
    valid_until: Option<DateTime<Utc>>,
    suspended_at: Option<DateTime<Utc>>,
}

fn subject(id: Option<Uuid>, principal: Option<Principal>) -> Option<Subject> {
    Some(Subject {
        id: id?.into(),
        principal: principal?,
    })
}

impl From<Row> for ServiceAccount {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.into(),
            name: row.name,
            description: row.description,
            creator: subject(row.creator_id, row.creator_principal),
            created_at: row.created_at,
            valid_until: row.valid_until,
            is_suspended: row.suspended_at.is_some(),
        }
    }
}

macro_rules! select {
    ($rest:literal, $($argument:expr),+ $(,)?) => {
        query_as!(
            Row,
            r#"select id, name, description, creator_id, creator_principal as "creator_principal: _", created_at, valid_until,
                   suspended_at from service_accounts "# + $rest,
            $($argument),+
        )
    };
}

/// Adds a service account without a role.
pub async fn insert(
    db: &mut Connection,
    organization_id: OrganizationId,
    account: &ServiceAccount,
) -> Result<(), Error> {
    query!(
        "insert into service_accounts
             (organization_id, id, name, description, role, creator_id, creator_principal, created_at, updated_at, valid_until)
         values ($1, $2, $3, $4, 'member', $5, $6, $7, $7, $8)",
        organization_id.as_uuid(),
        account.id.as_uuid(),
        account.name,
        account.description,
        account.creator.map(|creator| creator.id.as_uuid()),
        account.creator.map(|creator| creator.principal.as_str()),
        account.created_at,
        account.valid_until,
    )
    .execute(db)
    .await?;
    Ok(())
}

aggregate! { ServiceAccount by ServiceAccountId, NOUN, select: get }

/// Reads one that the organization made itself, and keeps others from changing it until the transaction ends.
///
/// # Errors
///
/// [`Error::NotFound`] when the organization has none; [`Error::FailedPrecondition`] for one that an operator made.
pub async fn lock(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: ServiceAccountId,
) -> Result<ServiceAccount, Error> {
    let row = select!(
        "where organization_id = $1 and id = $2 for update",
        organization_id.as_uuid(),
        id.as_uuid(),
    )
    .fetch_optional(db)
    .await?;
    let account: ServiceAccount = row.ok_or(Error::NotFound(NOUN))?.into();
    if account.creator.is_none() {
        return Err(Error::FailedPrecondition(
            "an operator made this service account with `rollcall token create`, which also makes its tokens, and `rollcall token revoke` revokes them: make a service account with CreateServiceAccount to manage it here".to_owned(),
        ));
    }
    Ok(account)
}

/// Writes a changed service account.
pub async fn update(
    db: &mut Connection,
    organization_id: OrganizationId,
    account: &ServiceAccount,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let done = query!(
        "update service_accounts set name = $3, description = $4, updated_at = $5,
             suspended_at = case when $6 then coalesce(suspended_at, $5) end
         where organization_id = $1 and id = $2",
        organization_id.as_uuid(),
        account.id.as_uuid(),
        account.name,
        account.description,
        now,
        account.is_suspended,
    )
    .execute(db)
    .await?;
    must_exist(&done, NOUN)
}

/// Removes a service account with its tokens and memberships.
///
/// # Errors
///
/// [`Error::NotFound`] when the organization has none.
pub async fn delete(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: ServiceAccountId,
) -> Result<(), Error> {
    super::memberships::leave_all(db, organization_id, id.as_uuid().into()).await?;
    let done = query!(
        "delete from service_accounts where organization_id = $1 and id = $2",
        organization_id.as_uuid(),
        id.as_uuid(),
    )
    .execute(db)
    .await?;
    must_exist(&done, NOUN)
}

/// Which service accounts a list has.
#[derive(Debug, Default)]
pub struct Filter {
    /// Also those that are kept out.
    pub include_suspended: bool,
    /// The identifiers; none says nothing.
    pub ids: Vec<ServiceAccountId>,
    /// A part of the name.
    pub search: String,
}

/// Reads a page of service accounts.
pub async fn list(
    db: &mut Connection,
    organization_id: OrganizationId,
    filter: &Filter,
    page: Page,
) -> Result<Items<ServiceAccount>, Error> {
    let ids: Vec<Uuid> = filter.ids.iter().map(|id| id.as_uuid()).collect();
    let rows = select!(
        "where organization_id = $1 and id > $2 and ($3 or suspended_at is null)
             and (cardinality($4::uuid[]) = 0 or id = any($4)) and ($5 = '' or strpos(folded(name), $5) > 0)
         order by id limit $6",
        organization_id.as_uuid(),
        page.after,
        filter.include_suspended,
        &ids,
        &*fold(&filter.search),
        page.limit(),
    )
    .fetch_all(db)
    .await?;
    Ok(Items::of(rows.into_iter().map(Into::into).collect(), page))
}

struct TokenRow {
    id: Uuid,
    service_account_id: ServiceAccountId,
    description: String,
    creator_id: Option<Uuid>,
    creator_principal: Option<Principal>,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
    is_access_token: bool,
}

impl From<TokenRow> for ServiceAccountToken {
    fn from(row: TokenRow) -> Self {
        Self {
            id: row.id.into(),
            service_account_id: row.service_account_id,
            description: row.description,
            creator: subject(row.creator_id, row.creator_principal),
            created_at: row.created_at,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
            is_access_token: row.is_access_token,
        }
    }
}

macro_rules! select_tokens {
    ($rest:literal, $($argument:expr),+ $(,)?) => {
        query_as!(
            TokenRow,
            r#"select id, service_account_id as "service_account_id: _", description, creator_id,
                   creator_principal as "creator_principal: _", created_at, expires_at, last_used_at, is_access_token
               from api_tokens "# + $rest,
            $($argument),+
        )
    };
}

/// Adds a token with its hash.
pub async fn insert_token(
    db: &mut Connection,
    organization_id: OrganizationId,
    token: &ServiceAccountToken,
    token_hash: &str,
) -> Result<(), Error> {
    query!(
        "insert into api_tokens (organization_id, id, service_account_id, description, creator_id, creator_principal, token_hash,
             read_only, created_at, expires_at, is_access_token)
         values ($1, $2, $3, $4, $5, $6, $7, false, $8, $9, $10)",
        organization_id.as_uuid(),
        token.id.as_uuid(),
        token.service_account_id.as_uuid(),
        token.description,
        token.creator.map(|creator| creator.id.as_uuid()),
        token.creator.map(|creator| creator.principal.as_str()),
        token_hash,
        token.created_at,
        token.expires_at,
        token.is_access_token,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Reads a token that opens something or did, of those that were made over the API.
///
/// # Errors
///
/// [`Error::NotFound`] when the organization has none.
pub async fn get_token(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: ApiTokenId,
) -> Result<ServiceAccountToken, Error> {
    select_tokens!(
        "where organization_id = $1 and id = $2 and creator_id is not null and not is_access_token",
        organization_id.as_uuid(),
        id.as_uuid(),
    )
    .fetch_optional(db)
    .await?
    .map(Into::into)
    .ok_or(Error::NotFound(TOKEN))
}

/// Reads a page of the tokens that were made over the API and have not ended, of one service account or of all.
pub async fn list_tokens(
    db: &mut Connection,
    organization_id: OrganizationId,
    account: Option<ServiceAccountId>,
    now: DateTime<Utc>,
    page: Page,
) -> Result<Items<ServiceAccountToken>, Error> {
    let rows = select_tokens!(
        "where organization_id = $1 and id > $2 and ($3::uuid is null or service_account_id = $3)
             and creator_id is not null and not is_access_token and expires_at > $4
         order by id limit $5",
        organization_id.as_uuid(),
        page.after,
        account.map(ServiceAccountId::as_uuid),
        now,
        page.limit(),
    )
    .fetch_all(db)
    .await?;
    Ok(Items::of(rows.into_iter().map(Into::into).collect(), page))
}

/// Removes a token: it opens nothing from then on.
///
/// # Errors
///
/// [`Error::NotFound`] when the organization has none.
pub async fn delete_token(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: ApiTokenId,
) -> Result<(), Error> {
    let done = query!(
        "delete from api_tokens where organization_id = $1 and id = $2 and creator_id is not null",
        organization_id.as_uuid(),
        id.as_uuid(),
    )
    .execute(db)
    .await?;
    must_exist(&done, TOKEN)
}

/// Deletes up to `limit` tokens of all organizations that were made over the API and ended before `end`: for the job that tidies up.
pub async fn delete_ended_tokens(
    db: &mut Connection,
    end: DateTime<Utc>,
    limit: i64,
) -> Result<u64, Error> {
    let done = query!(
        "delete from api_tokens where (organization_id, id) in
             (select organization_id, id from api_tokens where expires_at < $1 and creator_id is not null limit $2)",
        end,
        limit,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}
