//! Tokens of service accounts over the API.

use chrono::{DateTime, Utc};

use crate::api::enums::wire_subject;
use crate::api::handler::{begin, lifetime, parse_id, timestamp};
use crate::api::paging::{Answer, Paging};
use crate::app::App;
use crate::domain::audit::Change;
use crate::domain::identity::{Reader, Undecided, Writer};
use crate::domain::ids::{ApiTokenId, ServiceAccountId};
use crate::domain::service_account::{
    ACCESS_TOKEN_LIFETIME, DEFAULT_TOKEN_LIFETIME, ServiceAccount, ServiceAccountToken,
};
use crate::domain::text;
use crate::domain::token::TokenKind;
use crate::error::Error;
use crate::provisioning::tokens;
use crate::provisioning::work::Work;
use crate::store::service_accounts;
use proto::gitpod::v1::{
    CreateServiceAccountAccessTokenRequest, CreateServiceAccountTokenRequest,
    DeleteServiceAccountTokenRequest, GetServiceAccountTokenRequest,
    ListServiceAccountTokensRequest, ServiceAccountToken as WireToken,
};

/// `CreateServiceAccountAccessToken`: a token that ends after an hour.
pub async fn create_access_token(
    app: &App,
    caller: Writer<'_>,
    request: CreateServiceAccountAccessTokenRequest,
) -> Result<String, Error> {
    let account: ServiceAccountId = parse_id("service_account_id", &request.service_account_id)?;
    let now = app.clock.now();
    let token = ServiceAccountToken {
        id: app.new_id(),
        service_account_id: account,
        description: String::new(),
        creator: Some(caller.subject),
        created_at: now,
        expires_at: Some(now + ACCESS_TOKEN_LIFETIME),
        last_used_at: None,
        is_access_token: true,
    };
    issue(app, caller, &token, "CreateServiceAccountAccessToken").await
}

/// `CreateServiceAccountToken`, for the service account that calls: the token is returned this once. It ends with the account at the
/// latest.
pub async fn create(
    app: &App,
    caller: Writer<'_>,
    request: CreateServiceAccountTokenRequest,
) -> Result<(String, WireToken), Error> {
    text::check_description("description", &request.description)?;
    let now = app.clock.now();
    let lifetime = lifetime(request.valid_for.as_option()).unwrap_or(DEFAULT_TOKEN_LIFETIME);
    let account = caller.subject.id.as_uuid().into();
    let end = {
        let mut db = app.store.acquire().await?;
        let account = service_accounts::get(&mut db, caller.organization_id, account).await?;
        account.valid_until
    };
    let token = ServiceAccountToken {
        id: app.new_id(),
        service_account_id: account,
        description: request.description,
        creator: Some(caller.subject),
        created_at: now,
        expires_at: Some(end.map_or(now + lifetime, |end| end.min(now + lifetime))),
        last_used_at: None,
        is_access_token: false,
    };
    let secret = issue(app, caller, &token, "CreateServiceAccountToken").await?;
    Ok((secret, wire(token)))
}

/// Makes a token of a service account that the organization made.
async fn issue(
    app: &App,
    caller: Writer<'_>,
    token: &ServiceAccountToken,
    action: &'static str,
) -> Result<String, Error> {
    let organization_id = caller.organization_id;
    let kind = TokenKind::ServiceAccount;
    let secret = app
        .random
        .token(kind, Some(organization_id), token.id.as_uuid());
    // Hashing takes long: not while a row is locked.
    let hash = app.tokens.hash(&secret, app.random.bytes()).await?;
    let mut work: Work<'_> = begin(app, caller, token.created_at).await?;
    let account = token.service_account_id;
    let account = service_accounts::lock(&mut work, organization_id, account).await?;
    check_open(&account, token.created_at)?;
    service_accounts::insert_token(&mut work, organization_id, token, &hash).await?;
    tokens::keep_digest(&app.keys, &mut work, organization_id, &secret, &hash).await?;
    work.commit(Change::created(action, token)).await?;
    Ok(secret.expose().to_owned())
}

/// A token opens nothing while the service account does not.
fn check_open(account: &ServiceAccount, now: DateTime<Utc>) -> Result<(), Error> {
    let is_over = account.valid_until.is_some_and(|end| end <= now);
    let why = match (account.is_suspended, is_over) {
        (true, _) => "the service account is suspended: lift that with UserService.SetSuspended",
        (false, true) => "the service account has ended, as its valid_until says: make another one",
        (false, false) => return Ok(()),
    };
    Err(Error::FailedPrecondition(why.to_owned()))
}

/// `ListServiceAccountTokens`: the caller's own, and for administrators those of all service accounts. Two round trips.
pub async fn list(
    app: &App,
    caller: Undecided<Reader<'_>>,
    paging: Paging<'_>,
    request: ListServiceAccountTokensRequest,
) -> Result<Answer<WireToken>, Error> {
    let organization_id = caller.organization_id();
    let account = caller.own_service_account()?;
    let list = paging.open(
        "service_account_tokens",
        organization_id,
        format_args!("{account:?}"),
        &request.pagination,
    )?;
    let now = app.clock.now();
    let mut db = app.store.acquire().await?;
    let found =
        service_accounts::list_tokens(&mut db, organization_id, account, now, list.page()).await?;
    list.answer(found, |token| token.id.as_uuid(), wire)
}

/// `GetServiceAccountToken`. Two round trips.
pub async fn get(
    app: &App,
    caller: Undecided<Reader<'_>>,
    request: GetServiceAccountTokenRequest,
) -> Result<WireToken, Error> {
    let id: ApiTokenId = parse_id(
        "service_account_token_id",
        &request.service_account_token_id,
    )?;
    let mut db = app.store.acquire().await?;
    let token = service_accounts::get_token(&mut db, caller.organization_id(), id).await?;
    caller.about(token.service_account_id)?;
    Ok(wire(token))
}

/// `DeleteServiceAccountToken`.
pub async fn delete(
    app: &App,
    caller: Undecided<Writer<'_>>,
    request: DeleteServiceAccountTokenRequest,
) -> Result<(), Error> {
    let id: ApiTokenId = parse_id(
        "service_account_token_id",
        &request.service_account_token_id,
    )?;
    let organization_id = caller.organization_id();
    let token = {
        let mut db = app.store.acquire().await?;
        service_accounts::get_token(&mut db, organization_id, id).await?
    };
    let caller = caller.about(token.service_account_id)?;
    let mut work = begin(app, caller, app.clock.now()).await?;
    service_accounts::delete_token(&mut work, organization_id, id).await?;
    work.commit(Change::deleted("DeleteServiceAccountToken", &token))
        .await
}

fn wire(token: ServiceAccountToken) -> WireToken {
    WireToken {
        id: token.id.to_string(),
        service_account_id: token.service_account_id.to_string(),
        description: token.description,
        creator: token.creator.map(wire_subject).into(),
        created_at: timestamp(token.created_at).into(),
        expires_at: token.expires_at.map(timestamp).into(),
        last_used: token.last_used_at.map(timestamp).into(),
        ..Default::default()
    }
}
