//! Personal access tokens over the API.

use chrono::{DateTime, TimeDelta, Utc};

use crate::api::enums::wire_subject;
use crate::api::handler::{begin, lifetime, parse_id, parse_ids, timestamp};
use crate::api::paging::{Answer, Paging};
use crate::app::App;
use crate::domain::audit::Change;
use crate::domain::identity::{Reader, Undecided, Writer};
use crate::domain::ids::{MemberId, PersonalAccessTokenId};
use crate::domain::personal_access_token::{DEFAULT_LIFETIME, MOST, PersonalAccessToken};
use crate::domain::text;
use crate::domain::token::TokenKind;
use crate::error::{Error, Violation};
use crate::provisioning::tokens;
use crate::store::{self, personal_access_tokens};
use proto::gitpod::v1::{
    CreatePersonalAccessTokenRequest, DeletePersonalAccessTokenRequest,
    GetPersonalAccessTokenRequest, ListPersonalAccessTokensRequest,
    PersonalAccessToken as WireToken,
};

/// `CreatePersonalAccessToken`: the token is returned this once. One that is made with another does not outlive it.
pub async fn create(
    app: &App,
    caller: Undecided<Writer<'_>>,
    request: CreatePersonalAccessTokenRequest,
) -> Result<String, Error> {
    let user_id: MemberId = parse_id("user_id", &request.user_id)?;
    let caller = caller.for_oneself(user_id)?;
    text::check_description("description", &request.description)?;
    let now = app.clock.now();
    let lifetime = lifetime(request.valid_for.as_option()).unwrap_or(DEFAULT_LIFETIME);
    let token = PersonalAccessToken {
        id: app.new_id(),
        user_id,
        description: request.description,
        read_only: request.read_only,
        created_at: now,
        expires_at: end(now + lifetime, caller.ends_at)?,
        last_used_at: None,
    };
    let organization_id = caller.organization_id;
    let kind = TokenKind::Personal;
    let secret = app
        .random
        .token(kind, Some(organization_id), token.id.as_uuid());
    // Hashing takes long: not while a row is locked.
    let hash = app.tokens.hash(&secret, app.random.bytes()).await?;
    let mut work = begin(app, caller, now).await?;
    // Whoever suspends the member waits, and sees the token.
    store::members::lock_active(&mut work, organization_id, user_id).await?;
    if personal_access_tokens::count(&mut work, organization_id, user_id, now).await? >= MOST {
        return Err(Error::FailedPrecondition(format!(
            "you have {MOST} personal access tokens, which is the most: delete one first"
        )));
    }
    personal_access_tokens::insert(&mut work, organization_id, &token, &hash).await?;
    tokens::keep_digest(&app.keys, &mut work, organization_id, &secret, &hash).await?;
    work.commit(Change::created("CreatePersonalAccessToken", &token))
        .await?;
    Ok(secret.expose().to_owned())
}

/// When a token ends, which may be made with one that ends itself.
fn end(wanted: DateTime<Utc>, of_caller: Option<DateTime<Utc>>) -> Result<DateTime<Utc>, Error> {
    match of_caller {
        Some(end) if wanted > end + TimeDelta::seconds(1) => Err(Error::invalid(
            "valid_for",
            Violation::LIFETIME,
            "must end no later than the personal access token that this call is made with: give less time, or sign in",
        )),
        Some(end) => Ok(wanted.min(end)),
        None => Ok(wanted),
    }
}

/// `GetPersonalAccessToken`. Two round trips.
pub async fn get(
    app: &App,
    caller: Undecided<Reader<'_>>,
    request: GetPersonalAccessTokenRequest,
) -> Result<WireToken, Error> {
    let id: PersonalAccessTokenId = parse_id(
        "personal_access_token_id",
        &request.personal_access_token_id,
    )?;
    let mut db = app.store.acquire().await?;
    let token = personal_access_tokens::get(&mut db, caller.organization_id(), id).await?;
    caller.about(token.user_id)?;
    Ok(wire(token))
}

/// `ListPersonalAccessTokens`: one's own, and for administrators those of everybody. Two round trips.
pub async fn list(
    app: &App,
    caller: Undecided<Reader<'_>>,
    paging: Paging<'_>,
    request: ListPersonalAccessTokensRequest,
) -> Result<Answer<WireToken>, Error> {
    let members: Vec<MemberId> = parse_ids("filter.user_ids", &request.filter.user_ids)?;
    let organization_id = caller.organization_id();
    let members = caller.only(members)?;
    let list = paging.open(
        "personal_access_tokens",
        organization_id,
        format_args!("{members:?}"),
        &request.pagination,
    )?;
    let mut db = app.store.acquire().await?;
    let now = app.clock.now();
    let found =
        personal_access_tokens::list(&mut db, organization_id, &members, now, list.page()).await?;
    list.answer(found, |token| token.id.as_uuid(), wire)
}

/// `DeletePersonalAccessToken`.
pub async fn delete(
    app: &App,
    caller: Undecided<Writer<'_>>,
    request: DeletePersonalAccessTokenRequest,
) -> Result<(), Error> {
    let id: PersonalAccessTokenId = parse_id(
        "personal_access_token_id",
        &request.personal_access_token_id,
    )?;
    let organization_id = caller.organization_id();
    let token = {
        let mut db = app.store.acquire().await?;
        personal_access_tokens::get(&mut db, organization_id, id).await?
    };
    let caller = caller.about(token.user_id)?;
    let mut work = begin(app, caller, app.clock.now()).await?;
    personal_access_tokens::delete(&mut work, organization_id, id).await?;
    work.commit(Change::deleted("DeletePersonalAccessToken", &token))
        .await
}

fn wire(token: PersonalAccessToken) -> WireToken {
    WireToken {
        id: token.id.to_string(),
        user_id: token.user_id.to_string(),
        description: token.description,
        creator: wire_subject(token.user_id.into()).into(),
        created_at: timestamp(token.created_at).into(),
        expires_at: timestamp(token.expires_at).into(),
        last_used: token.last_used_at.map(timestamp).into(),
        read_only: token.read_only,
        ..Default::default()
    }
}
