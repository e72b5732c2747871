//! Who calls: the token of an API token or a session is verified here.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method};

use super::transport::refuse;
use super::{MAX_BODY, ahead};
use crate::app::App;
use crate::domain::identity::Caller;
use crate::domain::ids::{ApiTokenId, OrganizationId};
use crate::domain::token::{Token, TokenKind};
use crate::error::Error;
use crate::http::{bearer, large, session};
use crate::provisioning::tokens::{Kept, Row, verify};
use crate::store::tokens::{Ahead, Candidate, ReadAhead};
use crate::store::{self, Connection};

/// Lets only callers with a valid token pass, before anything else about the request is looked at. Of a request with a
/// well-formed token, `ahead` looks at a small body first.
pub async fn authenticate(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let (mut request, ahead) = match presented(request.headers()) {
        Some(_) => ahead::look(request).await,
        None => (request, None),
    };
    match find_caller(&app, request.method(), request.headers(), ahead).await {
        Ok((caller, read)) => {
            if let Some(read) = read {
                request.extensions_mut().insert(read);
            }
            tracing::Span::current().record(
                "organization",
                tracing::field::display(caller.organization_id),
            );
            request.extensions_mut().insert(caller);
            let length = large::length(request.headers(), request.body(), MAX_BODY);
            match app.large.room(length).await {
                Ok(_room) => next.run(request).await,
                Err(error) => refuse(error, request).await,
            }
        }
        Err(error) => refuse(error, request).await,
    }
}

/// The token of a request, if it is well-formed: that of a stranger seldom is.
fn presented(headers: &HeaderMap) -> Option<Token> {
    bearer::token(headers).and_then(|text| Token::parse(TokenKind::Api, text))
}

/// The caller of a bearer token, and what was read together with it; without one, the caller of the session's cookie.
async fn find_caller(
    app: &App,
    method: &Method,
    headers: &HeaderMap,
    ahead: Option<Ahead>,
) -> Result<(Caller, Option<ReadAhead>), Error> {
    if !headers.contains_key(AUTHORIZATION) && session::presented(app, headers).is_some() {
        session::check_same_origin(app, method, headers)?;
        return Ok((session::find(app, headers).await?.caller, None));
    }
    let token = presented(headers).ok_or(Error::Unauthenticated)?;
    let now = app.clock.now();
    let id = ApiTokenId::from(token.id());
    let organization_id = app.organization_of(&token).ok_or(Error::Unauthenticated)?;
    let candidate = app
        .store
        .read(move |db| Box::pin(find_candidate(db, organization_id, id, ahead)))
        .await?;
    let (candidate, read) = candidate
        .filter(|(c, _)| c.is_live(now))
        .ok_or(Error::Unauthenticated)?;
    let kept = Kept {
        row: Row::Api(organization_id, id),
        hash: &candidate.token_hash,
        digest: candidate.token_digest.as_deref(),
    };
    if verify(app, &token, kept, now).await? {
        Ok((candidate.caller, read))
    } else {
        Err(Error::Unauthenticated)
    }
}

async fn find_candidate(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: ApiTokenId,
    ahead: Option<Ahead>,
) -> Result<Option<(Candidate, Option<ReadAhead>)>, Error> {
    match ahead {
        Some(ahead) => {
            let found = store::tokens::find_candidate_ahead(db, organization_id, id, ahead).await?;
            Ok(found.map(|(candidate, read)| (candidate, Some(read))))
        }
        None => {
            let found = store::tokens::find_candidate(db, organization_id, id).await?;
            Ok(found.map(|candidate| (candidate, None)))
        }
    }
}
