//! Making organizations and the API tokens of their administrators.

use chrono::{DateTime, Utc};

use serde_json::json;

use super::tokens;
use super::work::Work;
use crate::app::{App, Operator};
use crate::domain::audit::{Change, SubjectType};
use crate::domain::identity::{Audience, Role, Subject};
use crate::domain::ids::{ApiTokenId, OperatorTokenId, OrganizationId};
use crate::domain::organization::{Organization, check_name};
use crate::domain::token::{Token, TokenKind};
use crate::error::Error;
use crate::secrets::keys::Keyring;
use crate::store::tokens::NewToken;
use crate::store::{self, Connection};

/// What the audit log calls the making of an organization.
pub const CREATED: &str = "CreateOrganization";

/// What a new API token may do.
#[derive(Debug)]
pub struct Grant<'a> {
    /// What operators call it.
    pub name: &'a str,
    /// Its role in the organization.
    pub role: Role,
    /// Whether it may only read.
    pub read_only: bool,
    /// When it ends, if ever.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Grant<'_> {
    const fn administrator(name: &str) -> Grant<'_> {
        Grant {
            name,
            role: Role::Admin,
            read_only: false,
            expires_at: None,
        }
    }
}

/// An organization and the one token that administers it.
#[derive(Debug)]
pub struct Founded {
    /// The organization.
    pub organization: Organization,
    /// The token. Nothing can show it again.
    pub token: Token,
}

/// Makes an organization.
///
/// # Errors
///
/// [`Error::Invalid`] on `name`.
pub async fn create(
    operator: &Operator,
    db: &mut Connection,
    name: &str,
) -> Result<Organization, Error> {
    check_name(name)?;
    create_as(db, operator.new_id(), name, operator.clock.now()).await
}

/// Makes an organization by an operator's command, which its audit log and an event tell of.
///
/// # Errors
///
/// [`Error::Invalid`] on `name`.
pub async fn create_and_record(operator: &Operator, name: &str) -> Result<Organization, Error> {
    check_name(name)?;
    let (id, now) = (operator.new_id(), operator.clock.now());
    let mut work = Work::begin(operator, id, Subject::operator(), now).await?;
    let organization = create_as(&mut work, id, name, now).await?;
    work.commit(Change::created(CREATED, &organization)).await?;
    Ok(organization)
}

/// Makes an organization when the server starts, and records it.
async fn create_at_start(
    operator: &Operator,
    db: &mut Connection,
    name: &str,
) -> Result<Organization, Error> {
    let organization = create(operator, db, name).await?;
    let (id, now) = (operator.new_id(), operator.clock.now());
    let change = Change::created(CREATED, &organization);
    store::audit::insert(db, organization.id, id, now, Subject::operator(), &change).await?;
    Ok(organization)
}

/// Makes an organization with this identifier, whose name was checked.
pub async fn create_as(
    db: &mut Connection,
    id: OrganizationId,
    name: &str,
    now: DateTime<Utc>,
) -> Result<Organization, Error> {
    let organization = Organization {
        id,
        name: name.to_owned(),
        created_at: now,
        updated_at: now,
        invite_domains: vec![],
    };
    store::organizations::insert(db, &organization).await?;
    Ok(organization)
}

/// Issues an API token. With the keys of the servers, they recognise it without a run of argon2id.
///
/// # Errors
///
/// [`Error::Invalid`] on `name`; [`Error::NotFound`] when there is no such organization.
pub async fn issue_token(
    operator: &Operator,
    keyring: Option<&Keyring>,
    db: &mut Connection,
    organization_id: OrganizationId,
    grant: &Grant<'_>,
) -> Result<Token, Error> {
    let id = operator.new_id();
    let token = operator
        .random
        .token(TokenKind::Api, Some(organization_id), id);
    add_token(operator, keyring, db, organization_id, grant, &token, false).await?;
    Ok(token)
}

/// Issues an API token by an operator's command, which the audit log tells of.
///
/// # Errors
///
/// As [`issue_token`] has them.
pub async fn issue_token_and_record(
    operator: &Operator,
    organization_id: OrganizationId,
    grant: &Grant<'_>,
) -> Result<Token, Error> {
    let now = operator.clock.now();
    let mut work = Work::begin(operator, organization_id, Subject::operator(), now).await?;
    let token = issue_token(operator, None, &mut work, organization_id, grant).await?;
    let after = json!({
        "name": grant.name,
        "role": grant.role,
        "read_only": grant.read_only,
        "expires_at": grant.expires_at,
    });
    let change = Change {
        action: "CreateToken",
        subject_type: SubjectType::ServiceAccountToken,
        subject_id: token.id(),
        before: None,
        after: Some(after),
    };
    work.commit(change).await?;
    Ok(token)
}

/// Revokes an API token by an operator's command, which the audit log tells of.
///
/// # Errors
///
/// [`Error::NotFound`] when the organization has none that is not revoked.
pub async fn revoke_token(
    operator: &Operator,
    organization_id: OrganizationId,
    id: ApiTokenId,
) -> Result<(), Error> {
    let now = operator.clock.now();
    let mut work = Work::begin(operator, organization_id, Subject::operator(), now).await?;
    store::tokens::revoke(&mut work, organization_id, id, now).await?;
    let change = Change {
        action: "RevokeToken",
        subject_type: SubjectType::ServiceAccountToken,
        subject_id: id.as_uuid(),
        before: None,
        after: Some(json!({ "revoked_at": now })),
    };
    work.commit(change).await
}

/// Issues a token of the installation.
///
/// # Errors
///
/// [`Error::Invalid`] on `name`.
pub async fn issue_operator_token(operator: &Operator, grant: &Grant<'_>) -> Result<Token, Error> {
    check_name(grant.name)?;
    let id: OperatorTokenId = operator.new_id();
    let kind = TokenKind::Operator;
    let token = operator.random.token(kind, None, id.as_uuid());
    let token_hash = operator
        .tokens
        .hash(&token, operator.random.bytes())
        .await?;
    let listed = store::operator_tokens::Listed {
        id,
        name: grant.name.to_owned(),
        created_at: operator.clock.now(),
        expires_at: grant.expires_at,
        revoked_at: None,
        last_used_at: None,
    };
    let mut db = operator.store.acquire().await?;
    store::operator_tokens::insert(&mut db, &listed, &token_hash).await?;
    Ok(token)
}

async fn add_token(
    operator: &Operator,
    keyring: Option<&Keyring>,
    db: &mut Connection,
    organization_id: OrganizationId,
    grant: &Grant<'_>,
    token: &Token,
    is_bootstrap: bool,
) -> Result<(), Error> {
    check_name(grant.name)?;
    if !store::organizations::exists(db, organization_id).await? {
        return Err(Error::NotFound("organization"));
    }
    let token_hash = operator.tokens.hash(token, operator.random.bytes()).await?;
    let new = NewToken {
        id: token.id().into(),
        service_account_id: operator.new_id(),
        name: grant.name,
        role: grant.role,
        read_only: grant.read_only,
        is_bootstrap,
        token_hash: &token_hash,
        created_at: operator.clock.now(),
        expires_at: grant.expires_at,
    };
    store::tokens::insert(db, organization_id, &new).await?;
    match keyring {
        Some(keyring) => {
            tokens::keep_digest(keyring, db, organization_id, token, &token_hash).await
        }
        None => Ok(()),
    }
}

/// Makes the first organization and its administrator's token, on a database that has none.
///
/// `keep` stores the token; it runs before the transaction commits, so that no organization is
/// left behind whose token is lost.
///
/// # Errors
///
/// Those of `keep`, and as the database has them.
pub async fn found(
    app: &App,
    name: &str,
    keep: impl FnOnce(&Token) -> Result<(), Error>,
) -> Result<Option<Founded>, Error> {
    let mut tx = app.store.begin().await?;
    store::organizations::lock(&mut tx).await?;
    if !store::organizations::list(&mut tx).await?.is_empty() {
        return Ok(None);
    }
    let organization = create_at_start(app, &mut tx, name).await?;
    let token = issue_token(
        app,
        Some(&app.keys),
        &mut tx,
        organization.id,
        &Grant::administrator("First administrator"),
    )
    .await?;
    keep(&token)?;
    tx.commit().await?;
    Ok(Some(Founded {
        organization,
        token,
    }))
}

/// The one organization, if there is no other.
pub async fn only(operator: &Operator) -> Result<Option<OrganizationId>, Error> {
    let mut db = operator.store.acquire().await?;
    let all = store::organizations::list(&mut db).await?;
    Ok(match &*all {
        [only] => Some(only.id),
        _ => None,
    })
}

/// Makes sure that the organization `name` exists and that, of the tokens given in this way,
/// exactly `token` is an administrator's of it: one given before is revoked. A token that was given
/// before is of the organization that it opened, whatever that is called now. Replicas that start
/// together take turns.
///
/// # Errors
///
/// [`Error::FailedPrecondition`] when the token is known with another secret, in another
/// organization, or was revoked.
pub async fn bootstrap(app: &App, name: &str, token: &Token) -> Result<OrganizationId, Error> {
    let mut tx = app.store.begin().await?;
    store::organizations::lock(&mut tx).await?;
    let token_id = ApiTokenId::from(token.id());
    // Whoever administers an organization may rename it: the token says which one is meant. By its name, one is found that a token
    // given in this way opened before, or that is the only one, and no other that calls itself so.
    let id = match store::organizations::find_by_bootstrap_token(&mut tx, token_id).await? {
        Some(id) => {
            if store::organizations::get(&mut tx, id).await?.name != name {
                tracing::warn!(
                    organization = %id,
                    "the organization of ROLLCALL_BOOTSTRAP_TOKEN has another name than ROLLCALL_BOOTSTRAP_ORGANIZATION says: it was renamed, or the setting is wrong"
                );
            }
            id
        }
        None => match store::organizations::find_bootstrapped(&mut tx, name).await? {
            Some(id) => id,
            None => match &*store::organizations::list(&mut tx).await? {
                [only] if only.name == name => only.id,
                _ => create_at_start(app, &mut tx, name).await?.id,
            },
        },
    };
    let now = app.clock.now();
    let is_elsewhere = token.organization().is_some_and(|named| named != id)
        || store::tokens::is_of_another(&mut tx, id, token_id).await?;
    let is_ours = match store::tokens::find_candidate(&mut tx, id, token_id, None).await? {
        _ if is_elsewhere => false,
        None => {
            let grant = Grant::administrator("Bootstrap");
            add_token(app, Some(&app.keys), &mut tx, id, &grant, token, true).await?;
            true
        }
        Some(known) => {
            known.is_live(now)
                && known.caller.writer(Audience::Administrator).is_ok()
                && app.tokens.verify(token, &known.token_hash, now).await?
        }
    };
    if !is_ours {
        return Err(Error::FailedPrecondition(format!(
            "the bootstrap token cannot be used: its id {token_id} belongs to another token, or to one that is revoked, expired or of another organization; make a new one with `rollcall token generate`"
        )));
    }
    store::tokens::revoke_other_bootstrap_tokens(&mut tx, id, token_id, now).await?;
    tx.commit().await?;
    Ok(id)
}
