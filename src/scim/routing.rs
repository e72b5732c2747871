//! Which endpoint a request is for, and what surrounds its work: the body, the deadline, a panic.

use std::panic::AssertUnwindSafe;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use chrono::TimeDelta;
use futures_util::FutureExt;
use http::Method;
use http::request::Parts;
use scim::error::{ScimError, ScimType};
use scim::schema::{ResourceType, endpoint_type};
use tokio::time::timeout;

use super::answers::{Failure, no_such, record, respond};
use super::at_once::Attempt;
use super::authentication::{Authenticated, authenticate};
use super::request::{Query, projection, read_json, wishes};
use super::{
    Context, MAX_BODY, ROOT, Reply, TOP, at_once, bulk, discovery, list, resource, writes,
};
use crate::app::App;
use crate::domain::ids::ResourceId;
use crate::error::Error;
use crate::http::body::drain;
use crate::http::large;
use crate::http::path::{Malformed, segments};
use crate::store::scim_resources::{Lookup, Prefetched};

/// The version of the protocol: the last segment of [`ROOT`].
const VERSION: &str = "v2";
/// How long a request may take.
const DEADLINE: Duration = Duration::from_secs(60);
/// How long a verified token is trusted while its request's body arrives.
const TRUSTED: TimeDelta = TimeDelta::seconds(1);

/// All routes of this door.
pub fn router(app: &Arc<App>) -> Router {
    Router::new()
        .route(TOP, any(serve))
        .route(&format!("{TOP}/"), any(serve))
        .route(&format!("{TOP}/{{*path}}"), any(serve))
        .with_state(app.clone())
}

async fn serve(State(app): State<Arc<App>>, request: Request) -> Response {
    guarded(handle(app, request)).await
}

/// A panic is a fault of the server, and answered as one.
async fn guarded(work: impl Future<Output = Response>) -> Response {
    let handled = AssertUnwindSafe(work).catch_unwind().await;
    handled.unwrap_or_else(|_| respond(Err(Error::internal("a handler panicked").into())))
}

async fn handle(app: Arc<App>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let path = match below_root(head.uri.path()) {
        Ok(path) => path,
        Err(error) => {
            drain(body).await;
            return respond(Err(error.into()));
        }
    };
    let query = Query::of(&head.uri);
    let body = match at_once::create(&app, &head, path, &query, body).await {
        Attempt::Done(result) => {
            if let Err(failure) = &result {
                app.metrics.scim_refused(failure.error.reason());
            }
            return respond(result);
        }
        Attempt::Left(body) => body,
    };
    let target = segments(path);
    let lookup = target
        .as_ref()
        .ok()
        .and_then(|target| lookup(answered_as(&head.method), target, &query));
    let Authenticated {
        context,
        closed,
        prefetched,
    } = match authenticate(&app, &head, path, lookup).await {
        Ok(authenticated) => authenticated,
        Err(error) => {
            drain(body).await;
            let failure = Failure::from(error);
            app.metrics.scim_refused(failure.error.reason());
            return respond(Err(failure));
        }
    };
    let span = tracing::Span::current();
    span.record(
        "organization",
        tracing::field::display(context.tenant.organization_id),
    );
    let malformed = |error: Malformed| ScimError::new(400, error.to_string());
    let result = match (closed, target.map_err(malformed)) {
        (Some(error), _) | (None, Err(error)) => {
            drain(body).await;
            Ok(Err(error.into()))
        }
        (None, Ok(target)) => {
            let answer = answer(&context, &target, &head, &query, prefetched, body);
            timeout(DEADLINE, answer).await
        }
    };
    let result = result
        .unwrap_or_else(|_| Err(Error::Unavailable("the request took too long".into()).into()));
    if let Err(failure) = &result {
        record(&context, failure).await;
    }
    respond(result)
}

/// What of a path is below the root, without slashes around.
fn below_root(path: &str) -> Result<&str, ScimError> {
    let rest = path.strip_prefix(TOP).unwrap_or_default();
    let rest = rest.trim_matches('/');
    let (version, below) = rest.split_once('/').unwrap_or((rest, ""));
    if version == VERSION {
        return Ok(below.trim_matches('/'));
    }
    let text = format!("SCIM 2.0 is at {ROOT}: the base URL must end in it");
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let is_version = version
        .strip_prefix('v')
        .is_some_and(|number| !number.is_empty() && number.chars().all(is_number));
    Err(match is_version {
        true => ScimError::bad_request(ScimType::InvalidVers, text),
        false => ScimError::new(404, text),
    })
}

/// Reads the body and does what is asked. While a client sends slowly, its token may be replaced, or
/// its configuration switched off or deleted.
async fn answer(
    context: &Context,
    target: &[String],
    head: &Parts,
    query: &Query,
    prefetched: Prefetched,
    body: Body,
) -> Result<Reply, Failure> {
    let length = large::length(&head.headers, &body, MAX_BODY);
    let _room = context.app.large.room(length).await?;
    let body = match head.method {
        Method::POST | Method::PUT | Method::PATCH => to_bytes(body, MAX_BODY).await,
        _ => Ok(Bytes::new()),
    };
    if context.app.clock.now() - context.now > TRUSTED {
        let again = authenticate(&context.app, head, "", None).await?;
        if let Some(error) = again.closed {
            return Err(error.into());
        }
    }
    dispatch(context, target, head, query, prefetched, body.ok()).await
}

/// How to read what a request is about together with its token's row. Nothing of it is used before
/// the token is verified.
fn lookup(method: &Method, target: &[String], query: &Query) -> Option<Lookup> {
    let (endpoint, rest) = target.split_first()?;
    let kind = endpoint_type(endpoint)?;
    let reads = *method == Method::GET;
    let changes_user = kind == ResourceType::User && [Method::PUT, Method::PATCH].contains(method);
    match rest {
        [] if reads => list::lookup(kind, query),
        [id] if reads || changes_user => {
            let source = resource::source(kind, &projection(kind, query));
            Some(Lookup::by_id(source, ResourceId::from_str(id).ok()?))
        }
        _ => None,
    }
}

/// The method whose answer a request gets: HEAD that of GET, of which the router sends the head alone
/// (RFC 9110, section 9.3.2).
fn answered_as(method: &Method) -> &Method {
    match *method {
        Method::HEAD => &Method::GET,
        _ => method,
    }
}

async fn dispatch(
    context: &Context,
    target: &[String],
    head: &Parts,
    query: &Query,
    prefetched: Prefetched,
    body: Option<Bytes>,
) -> Result<Reply, Failure> {
    let segments: Vec<&str> = target.iter().map(String::as_str).collect();
    let (method, headers) = (answered_as(&head.method), &head.headers);
    let wishes = |resource_type| wishes(resource_type, headers, query);
    let body = || read_json(headers, body);

    match (method, &*segments) {
        (_, ["ServiceProviderConfig" | "ResourceTypes" | "Schemas", ..]) => {
            if *method != Method::GET {
                return Err(Failure::not_allowed("GET, HEAD"));
            }
            discovery::get(context, &segments, query.get("filter").is_some()).await
        }
        (_, ["Me", ..]) => Err(ScimError::new(
            501,
            "a SCIM token is a configuration's, not a person's: there is no /Me",
        )
        .into()),
        (&Method::POST, ["Bulk"]) => bulk::run(context, body()?).await,
        (_, ["Bulk"]) => Err(Failure::not_allowed("POST")),
        (&Method::POST, [".search"]) => {
            Ok(list::search(context, &ResourceType::ALL, &body()?).await?)
        }
        (&Method::GET, []) => {
            Ok(list::get(context, &ResourceType::ALL, query, Prefetched::NotAsked).await?)
        }
        (_, [".search"]) => Err(Failure::not_allowed("POST")),
        (_, []) => Err(Failure::not_allowed("GET, HEAD")),
        (_, [endpoint, rest @ ..]) => {
            let resource_type = endpoint_type(endpoint).ok_or_else(nothing_here)?;
            match (method, rest) {
                (&Method::GET, []) => {
                    Ok(list::get(context, &[resource_type], query, prefetched).await?)
                }
                (&Method::POST, []) => {
                    writes::create(context, resource_type, body()?, &wishes(resource_type)).await
                }
                (_, []) => Err(Failure::not_allowed("GET, HEAD, POST")),
                (&Method::POST, [".search"]) => {
                    Ok(list::search(context, &[resource_type], &body()?).await?)
                }
                (_, [".search"]) => Err(Failure::not_allowed("POST")),
                (_, [id]) => {
                    let is_known =
                        [Method::GET, Method::PUT, Method::PATCH, Method::DELETE].contains(method);
                    if !is_known {
                        return Err(Failure::not_allowed("GET, HEAD, PUT, PATCH, DELETE"));
                    }
                    let id = ResourceId::from_str(id).map_err(|_| no_such(resource_type))?;
                    let wishes = wishes(resource_type);
                    match *method {
                        Method::GET => {
                            list::one(context, resource_type, id, prefetched, &wishes).await
                        }
                        Method::DELETE => {
                            writes::delete(context, resource_type, id, &wishes.if_match).await
                        }
                        Method::PUT => {
                            writes::replace(
                                context,
                                resource_type,
                                id,
                                prefetched,
                                body()?,
                                &wishes,
                            )
                            .await
                        }
                        _ => {
                            writes::modify(context, resource_type, id, prefetched, body()?, &wishes)
                                .await
                        }
                    }
                }
                _ => Err(nothing_here().into()),
            }
        }
    }
}

fn nothing_here() -> ScimError {
    ScimError::new(404, "there is no endpoint at this path: see /ResourceTypes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_fault_in_the_form_of_scim() {
        let response = guarded(async { panic!("on purpose") }).await;
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()["content-type"], "application/scim+json");
    }
}
