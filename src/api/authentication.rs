//! Who calls: the token of an API token or a session is verified here.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::stream;
use http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN};
use http::{HeaderMap, HeaderName, Method};

use super::transport::refuse;
use super::{MAX_BODY, STREAM, ahead};
use crate::app::App;
use crate::domain::identity::{Audience, Caller, Powers};
use crate::domain::ids::{OperatorTokenId, OrganizationId};
use crate::domain::token::{Token, TokenKind};
use crate::error::{Chain, Error};
use crate::http::{bearer, large, session};
use crate::provisioning::access;
use crate::provisioning::tokens::{Presented, present};
use crate::store::tokens::{Ahead, Candidate, ReadAhead};
use crate::store::{self, operator_tokens, personal_access_tokens};

/// The header in which an operator names the organization to act in.
const ORGANIZATION: HeaderName = HeaderName::from_static("rollcall-organization");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The kinds of tokens that open the API.
const KINDS: [TokenKind; 4] = [
    TokenKind::Api,
    TokenKind::ServiceAccount,
    TokenKind::Personal,
    TokenKind::Operator,
];

/// How long a body may take before its sender is looked at again.
const PATIENCE: TimeDelta = TimeDelta::seconds(1);

/// How stale the time of a token's last use may be: noting each use would make a write of every read.
const TOUCH_INTERVAL: TimeDelta = TimeDelta::minutes(1);

/// Who calls, and what was read together with the token.
#[derive(Default)]
struct Found {
    /// Nobody for an operator who acts in no organization.
    caller: Option<Caller>,
    operator: Option<OperatorTokenId>,
    read: Option<ReadAhead>,
}

/// Lets only callers with a valid token pass, before anything else about the request is looked at. Of a request with a
/// well-formed token, `ahead` looks at a small body first.
pub async fn authenticate(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let (mut request, ahead) = match is_well_formed(request.headers()) {
        true => ahead::look(request).await,
        false => (request, None),
    };
    match find_caller(&app, request.method(), request.headers(), ahead).await {
        Ok(found) => {
            let extensions = request.extensions_mut();
            if let Some(read) = found.read {
                extensions.insert(read);
            }
            if let Some(operator) = found.operator {
                extensions.insert(operator);
            }
            if let Some(caller) = found.caller {
                tracing::Span::current().record(
                    "organization",
                    tracing::field::display(caller.organization_id),
                );
                extensions.insert(caller);
            }
            if request.uri().path().ends_with(STREAM) {
                let again = Again::of(request.method(), request.headers());
                request.extensions_mut().insert(again);
            }
            let length = large::length(request.headers(), request.body(), MAX_BODY);
            match app.large.room(length).await {
                Ok(_room) => match whole(&app, request).await {
                    Ok(request) => next.run(request).await,
                    Err((error, request)) => refuse(error, request).await,
                },
                Err(error) => refuse(error, request).await,
            }
        }
        Err(error) => refuse(error, request).await,
    }
}

/// Reads the body to its end. While a client sends slowly, it may lose its access: then it is looked at again.
async fn whole(app: &App, request: Request) -> Result<Request, (Error, Request)> {
    let begun = app.clock.now();
    let is_known = request.extensions().get::<Caller>().is_some();
    let (mut head, body) = request.into_parts();
    let body = match to_bytes(body, MAX_BODY + 1).await {
        Ok(bytes) => Body::from(bytes),
        // Whoever reads it next is told the same.
        Err(error) => Body::from_stream(stream::once(async { Err::<Bytes, _>(error) })),
    };
    if app.clock.now() < begun + PATIENCE {
        return Ok(Request::from_parts(head, body));
    }
    match find_caller(app, &head.method, &head.headers, None).await {
        Ok(found) => {
            head.extensions.remove::<ReadAhead>();
            match found.caller {
                Some(caller) => drop(head.extensions.insert(caller)),
                None if is_known => {
                    return Err((Error::Unauthenticated, Request::from_parts(head, body)));
                }
                None => {}
            }
            Ok(Request::from_parts(head, body))
        }
        Err(error) => Err((error, Request::from_parts(head, body))),
    }
}

/// What a request proves with who sends it, to look again later: a stream ends when its caller has no access any more.
#[derive(Clone)]
pub struct Again(Arc<(Method, HeaderMap)>);

impl Again {
    fn of(method: &Method, headers: &HeaderMap) -> Self {
        let names = [
            AUTHORIZATION,
            COOKIE,
            HOST,
            ORIGIN,
            ORGANIZATION,
            SEC_FETCH_SITE,
        ];
        let mut kept = HeaderMap::new();
        for name in names {
            for value in headers.get_all(&name) {
                kept.append(name.clone(), value.clone());
            }
        }
        Self(Arc::new((method.clone(), kept)))
    }

    /// Who calls now.
    ///
    /// # Errors
    ///
    /// [`Error::Unauthenticated`] when nobody does any more.
    pub async fn caller(&self, app: &App) -> Result<Caller, Error> {
        let (method, headers) = &*self.0;
        let found = find_caller(app, method, headers, None).await?;
        found.caller.ok_or(Error::Unauthenticated)
    }

    /// The organization that an administrator or an operator calls for now; `None` for an operator who names none.
    ///
    /// # Errors
    ///
    /// [`Error::Unauthenticated`] when nobody calls any more; [`Error::PermissionDenied`] for who is neither any more.
    pub async fn owner(&self, app: &App) -> Result<Option<OrganizationId>, Error> {
        let (method, headers) = &*self.0;
        let found = find_caller(app, method, headers, None).await?;
        match (found.operator, found.caller) {
            (Some(_), None) => Ok(None),
            (_, Some(caller)) => {
                caller.reader(Audience::Owner)?;
                Ok(Some(caller.organization_id))
            }
            (None, None) => Err(Error::Unauthenticated),
        }
    }
}

/// Whether a request has a well-formed token: that of a stranger seldom is.
fn is_well_formed(headers: &HeaderMap) -> bool {
    well_formed(headers).is_some()
}

fn well_formed(headers: &HeaderMap) -> Option<Token> {
    Token::parse_any(&KINDS, bearer::token(headers)?)
}

/// The caller of a bearer token, and what was read together with it; without one, the caller of the session's cookie.
async fn find_caller(
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
            _ => store::tokens::touch(&mut db, organization_id, id.into(), now).await,
        }
    };
    if let Err(error) = noted.await {
        tracing::debug!(cause = %Chain(&error), "the use of a token could not be noted");
    }
}
