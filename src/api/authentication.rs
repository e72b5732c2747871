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
use crate::domain::token::{Token, TokenKind};
use crate::error::Error;
use crate::http::{bearer, large, session};
use crate::provisioning::tokens::present;
use crate::store::tokens::{Ahead, Candidate, ReadAhead};

/// Lets only callers with a valid token pass, before anything else about the request is looked at. Of a request with a
/// well-formed token, `ahead` looks at a small body first.
pub async fn authenticate(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let (mut request, ahead) = match is_well_formed(request.headers()) {
        true => ahead::look(request).await,
        false => (request, None),
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

/// Whether a request has a well-formed token: that of a stranger seldom is.
fn is_well_formed(headers: &HeaderMap) -> bool {
    bearer::token(headers).is_some_and(|text| Token::parse(TokenKind::Api, text).is_some())
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
    let presented = present::<Candidate>(app, bearer::token(headers), ahead).await?;
    Ok((presented.row.caller, presented.row.read_ahead))
}
