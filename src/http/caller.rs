//! Who calls: the token or the session of a request becomes the caller, for every door that administers.

use chrono::{DateTime, TimeDelta, Utc};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, Method};

use super::{bearer, session};
use crate::app::App;
use crate::domain::identity::{Caller, Powers};
use crate::domain::ids::{OperatorTokenId, SetupLinkId};
use crate::domain::token::{Token, TokenKind};
use crate::error::{Chain, Error};
use crate::provisioning::access;
use crate::provisioning::tokens::{Presented, present};
use crate::store::tokens::{Ahead, Candidate, ReadAhead};
use crate::store::{self, operator_tokens, personal_access_tokens, setup_links};

/// The header in which an operator names the organization to act in.
pub const ORGANIZATION: HeaderName = HeaderName::from_static("rollcall-organization");

/// The kinds of tokens that open the API.
const KINDS: [TokenKind; 5] = [
    TokenKind::Api,
    TokenKind::ServiceAccount,
    TokenKind::Personal,
    TokenKind::Operator,
    TokenKind::Setup,
];

/// How stale the time of a token's last use may be: noting each use would make a write of every read.
const TOUCH_INTERVAL: TimeDelta = TimeDelta::minutes(1);

/// Who calls, and what was read together with the token.
#[derive(Debug, Default)]
pub struct Found {
    /// Nobody for an operator who acts in no organization.
    pub caller: Option<Caller>,
    /// The operator, if one calls.
    pub operator: Option<OperatorTokenId>,
    /// What was read ahead.
    pub read: Option<ReadAhead>,
}

/// Whether a request has a well-formed token: that of a stranger seldom is.
pub fn is_well_formed(headers: &HeaderMap) -> bool {
    well_formed(headers).is_some()
}

fn well_formed(headers: &HeaderMap) -> Option<Token> {
    Token::parse_any(&KINDS, bearer::token(headers)?)
}

/// The caller of a bearer token, and what was read together with it; without one, the caller of the session's cookie.
///
/// # Errors
///
/// [`Error::Unauthenticated`] without a valid one; what the header of an operator says wrong.
pub async fn find(
    app: &App,
    method: &Method,
    headers: &HeaderMap,
    ahead: Option<Ahead>,
) -> Result<Found, Error> {
    let text = bearer::token(headers);
    let found = match well_formed(headers).map(|token| token.kind()) {
        Some(TokenKind::Operator) => return operators(app, headers).await,
        Some(TokenKind::Personal) => {
            let token = present::<personal_access_tokens::Candidate>(app, text, ()).await?;
            if is_stale(token.row.last_used_at, &token) {
                touch(app, &token, TokenKind::Personal).await;
            }
            Found {
                caller: Some(token.row.caller),
                ..Found::default()
            }
        }
        Some(TokenKind::Setup) => Found {
            caller: Some(of_setup_link(app, text).await?),
            ..Found::default()
        },
        None if !headers.contains_key(AUTHORIZATION)
            && session::presented(app, headers).is_some() =>
        {
            session::check_same_origin(app, method, headers)?;
            Found {
                caller: Some(session::find(app, headers).await?.caller),
                ..Found::default()
            }
        }
        None if text.is_some_and(access::is_one) => Found {
            caller: Some(access::caller(app, text.unwrap_or_default()).await?),
            ..Found::default()
        },
        _ => {
            let token = present::<Candidate>(app, text, ahead).await?;
            if is_stale(token.row.last_used_at, &token) {
                touch(app, &token, TokenKind::Api).await;
            }
            Found {
                caller: Some(token.row.caller),
                read: token.row.read_ahead,
                ..Found::default()
            }
        }
    };
    if let (Some(caller), Some(named)) = (&found.caller, named_organization(headers)) {
        caller.belongs_to(named)?;
    }
    Ok(found)
}

/// Whom the token of a set-up link stands for: the link, with what it is for. One round trip, two when it was not used for a minute.
///
/// # Errors
///
/// [`Error::Unauthenticated`] for what is no token of a link, and for a link that ended.
pub async fn of_setup_link(app: &App, text: Option<&str>) -> Result<Caller, Error> {
    let token = present::<setup_links::Candidate>(app, text, ()).await?;
    if is_stale(token.row.last_used_at, &token) {
        touch(app, &token, TokenKind::Setup).await;
    }
    Ok(Caller {
        organization_id: token.organization_id,
        subject: SetupLinkId::from(token.id).into(),
        powers: Powers::of_link(token.row.permissions),
        read_only: false,
        ends_at: Some(token.row.expires_at),
    })
}

/// The organization that a request names in its header.
fn named_organization(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(ORGANIZATION)
        .map(|value| value.to_str().unwrap_or("?"))
}

/// An operator, who acts as an administrator in the organization that the header names. Two round trips.
async fn operators(app: &App, headers: &HeaderMap) -> Result<Found, Error> {
    let text = bearer::token(headers);
    let token = present::<operator_tokens::Candidate>(app, text, ()).await?;
    if is_stale(token.row.last_used_at, &token) {
        touch(app, &token, TokenKind::Operator).await;
    }
    let operator = OperatorTokenId::from(token.id);
    let caller = match named_organization(headers) {
        None => None,
        Some(named) => {
            let id = named.parse().map_err(|_| {
                Error::FailedPrecondition(
                    "the header Rollcall-Organization must be the id of an organization, a UUID"
                        .to_owned(),
                )
            })?;
            let mut db = app.store.acquire().await?;
            if !store::organizations::exists(&mut db, id).await? {
                return Err(Error::NotFound("organization"));
            }
            Some(Caller {
                organization_id: id,
                subject: operator.into(),
                powers: Powers::ALL,
                read_only: false,
                ends_at: None,
            })
        }
    };
    Ok(Found {
        caller,
        operator: Some(operator),
        read: None,
    })
}

fn is_stale<R>(last_used_at: Option<DateTime<Utc>>, token: &Presented<R>) -> bool {
    last_used_at.is_none_or(|at| token.now >= at + TOUCH_INTERVAL)
}

/// Notes that a token is used. Where that is not possible, the request goes on: a database that is only read serves reads.
async fn touch<R>(app: &App, token: &Presented<R>, kind: TokenKind) {
    let (organization_id, id, now) = (token.organization_id, token.id, token.now);
    let noted = async {
        let mut db = app.store.acquire().await?;
        match kind {
            TokenKind::Personal => {
                personal_access_tokens::touch(&mut db, organization_id, id.into(), now).await
            }
            TokenKind::Operator => operator_tokens::touch(&mut db, id.into(), now).await,
            TokenKind::Setup => setup_links::touch(&mut db, organization_id, id.into(), now).await,
            _ => store::tokens::touch(&mut db, organization_id, id.into(), now).await,
        }
    };
    if let Err(error) = noted.await {
        tracing::debug!(cause = %Chain(&error), "the use of a token could not be noted");
    }
}
