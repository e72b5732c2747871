//! Who calls: the layer that lets only callers with a valid token or session pass.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use chrono::TimeDelta;
use futures_util::stream;
use http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN};
use http::{HeaderMap, HeaderName, Method};

use super::transport::refuse;
use super::{MAX_BODY, STREAM, ahead};
use crate::app::App;
use crate::domain::identity::{Audience, Caller};
use crate::domain::ids::OrganizationId;
use crate::error::Error;
use crate::http::{caller, large};
use crate::store::tokens::ReadAhead;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// How long a body may take before its sender is looked at again.
const PATIENCE: TimeDelta = TimeDelta::seconds(1);

/// Lets only callers with a valid token pass, before anything else about the request is looked at. Of a request with a
/// well-formed token, `ahead` looks at a small body first.
pub async fn authenticate(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let (mut request, ahead) = match caller::is_well_formed(request.headers()) {
        true => ahead::look(request).await,
        false => (request, None),
    };
    match caller::find(&app, request.method(), request.headers(), ahead).await {
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
    match caller::find(app, &head.method, &head.headers, None).await {
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
            caller::ORGANIZATION,
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
        let found = caller::find(app, method, headers, None).await?;
        found.caller.ok_or(Error::Unauthenticated)
    }

    /// The organization that an administrator or an operator calls for now; `None` for an operator who names none.
    ///
    /// # Errors
    ///
    /// [`Error::Unauthenticated`] when nobody calls any more; [`Error::PermissionDenied`] for who is neither any more.
    pub async fn owner(&self, app: &App) -> Result<Option<OrganizationId>, Error> {
        let (method, headers) = &*self.0;
        let found = caller::find(app, method, headers, None).await?;
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
