//! HTTP for SCIM: the token, the body, the errors, and the event of a refusal.

use std::panic::AssertUnwindSafe;
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
use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode, Uri};
use serde_json::Value;
use serde_json::error::Category;
use tokio::time::timeout;
use uuid::Uuid;

use super::error::{ScimError, ScimType};
use super::project::Projection;
use super::schema::ResourceType;
use super::{
    Context, MAX_BODY, Precondition, ROOT, Reply, TOP, Wishes, bulk, discovery, groups, list,
    resource, users,
};
use crate::app::App;
use crate::bearer::{self, Kept, Row};
use crate::domain::token::{Token, TokenKind};
use crate::error::{Chain, Error};
use crate::large;
use crate::path::{Malformed, segments};
use crate::server::drain;
use crate::store;
use crate::store::scim_events::Outcome;
use crate::store::scim_resources::{Lookup, Stored};

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

/// The path of a request as the log may have it: of what is not a word of this server, identifiers
/// alone.
pub fn place(path: &str) -> String {
    let endpoints = ResourceType::ALL.map(|kind| kind.endpoint().trim_start_matches('/'));
    let is_known = |segment: &str| {
        endpoints.contains(&segment)
            || ["", "scim", "v2", ".search", "Bulk", "Me"].contains(&segment)
            || discovery::ENDPOINTS.contains(&segment)
            || Uuid::try_parse(segment).is_ok()
    };
    let shown = path
        .split('/')
        .map(|segment| if is_known(segment) { segment } else { "…" });
    shown.collect::<Vec<_>>().join("/")
}

/// The parameters of a query, with names in lower case; the last of each counts.
pub struct Query(Vec<(String, String)>);

impl Query {
    fn of(uri: &Uri) -> Self {
        let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        Self(
            pairs
                .map(|(name, value)| (name.to_ascii_lowercase(), value.into_owned()))
                .collect(),
        )
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find(|(known, _)| known == name)
            .map(|(_, value)| &**value)
    }
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
    let target = segments(path);
    let lookup = target
        .as_ref()
        .ok()
        .and_then(|target| lookup(answered_as(&head.method), target, &query));
    let (context, closed, found) = match authenticate(&app, &head, path, lookup).await {
        Ok(found) => found,
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
            let answer = answer(&context, &target, &head, &query, found, body);
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
    found: Option<Vec<Stored>>,
    body: Body,
) -> Result<Reply, Failure> {
    let length = large::length(&head.headers, &body, MAX_BODY);
    let _room = context.app.large.room(length).await?;
    let body = match head.method {
        Method::POST | Method::PUT | Method::PATCH => to_bytes(body, MAX_BODY).await,
        _ => Ok(Bytes::new()),
    };
    if context.app.clock.now() - context.now > TRUSTED {
        let (_, closed, _) = authenticate(&context.app, head, "", None).await?;
        if let Some(error) = closed {
            return Err(error.into());
        }
    }
    dispatch(context, target, head, query, found, body.ok()).await
}

/// Tells the log of the configuration and the metrics of a refusal.
pub async fn record(context: &Context, failure: &Failure) {
    let metrics = &context.app.metrics;
    metrics.scim_refused(failure.error.reason());
    if !failure.is_worth_an_event {
        return;
    }
    let mut event = context.plain_event(Outcome::Refused, failure.error.status);
    event.reason = Some(failure.error.detail.clone());
    let recorded = match context.app.store.acquire().await {
        Ok(mut db) => store::scim_events::insert(&mut db, context.tenant, &[event]).await,
        Err(error) => Err(error),
    };
    if let Err(error) = recorded {
        tracing::warn!(cause = %Chain(&error), "a refusal could not be recorded");
    }
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
            Some(Lookup::by_id(source, Uuid::try_parse(id).ok()?))
        }
        _ => None,
    }
}

/// The attributes that a query asks for.
pub fn projection(kind: ResourceType, query: &Query) -> Projection {
    Projection::from_query(
        kind,
        query.get("attributes"),
        query.get("excludedattributes"),
    )
}

async fn authenticate(
    app: &Arc<App>,
    head: &Parts,
    path: &str,
    lookup: Option<Lookup>,
) -> Result<(Context, Option<ScimError>, Option<Vec<Stored>>), Error> {
    let token = bearer::token(&head.headers).and_then(|text| Token::parse(TokenKind::Scim, text));
    let token = token.ok_or(Error::Unauthenticated)?;
    let now = app.clock.now();
    let id = token.id().into();
    let lookup = lookup.map(Arc::new);
    let found = app
        .store
        .read(|db| {
            let lookup = lookup.clone();
            let read = async move { store::scim::find_candidate(db, id, lookup.as_deref()).await };
            read.boxed()
        })
        .await?;
    let (candidate, found) = found.ok_or(Error::Unauthenticated)?;
    let kept = Kept {
        row: Row::Scim(candidate.tenant),
        hash: &candidate.token_hash,
        digest: candidate.token_digest.as_deref(),
    };
    if !bearer::verify(app, &token, kept, now).await? {
        return Err(Error::Unauthenticated);
    }
    // From here on, the configuration's log tells its administrator why nothing arrives.
    let closed = if now >= candidate.token_expires_at {
        let text = format!(
            "the token expired on {}: regenerate it, and give the identity provider the new one",
            candidate.token_expires_at.format("%Y-%m-%d")
        );
        Some(ScimError::new(401, text))
    } else if !candidate.enabled {
        let text = "this SCIM configuration is disabled: enable it, and provisioning goes on";
        Some(ScimError::new(403, text))
    } else {
        None
    };
    let context = Context {
        tenant: candidate.tenant,
        allow_unverified_linking: candidate.allow_unverified_email_account_linking,
        base: format!("{}{ROOT}", app.public_url),
        method: head.method.to_string(),
        path: format!("/{path}"),
        now,
        app: app.clone(),
    };
    Ok((context, closed, lookup.map(|_| found)))
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
    found: Option<Vec<Stored>>,
    body: Option<Bytes>,
) -> Result<Reply, Failure> {
    let segments: Vec<&str> = target.iter().map(String::as_str).collect();
    let (method, headers) = (answered_as(&head.method), &head.headers);
    let wishes = |resource_type| Wishes {
        projection: projection(resource_type, query),
        if_match: precondition(headers, header::IF_MATCH),
        if_none_match: precondition(headers, header::IF_NONE_MATCH),
    };
    let body = || read_json(headers, body);

    match (method, &*segments) {
        (_, ["ServiceProviderConfig" | "ResourceTypes" | "Schemas", ..]) => {
            if *method != Method::GET {
                return Err(not_allowed("GET, HEAD"));
            }
            Ok(discovery::get(
                &context.base,
                &segments,
                query.get("filter").is_some(),
            )?)
        }
        (_, ["Me", ..]) => Err(ScimError::new(
            501,
            "a SCIM token is a configuration's, not a person's: there is no /Me",
        )
        .into()),
        (&Method::POST, ["Bulk"]) => bulk::run(context, body()?).await,
        (_, ["Bulk"]) => Err(not_allowed("POST")),
        (&Method::POST, [".search"]) => {
            Ok(list::search(context, &ResourceType::ALL, &body()?).await?)
        }
        (&Method::GET, []) => Ok(list::get(context, &ResourceType::ALL, query, None).await?),
        (_, [".search"]) => Err(not_allowed("POST")),
        (_, []) => Err(not_allowed("GET, HEAD")),
        (_, [endpoint, rest @ ..]) => {
            let resource_type = endpoint_type(endpoint).ok_or_else(nothing_here)?;
            match (method, rest) {
                (&Method::GET, []) => Ok(list::get(context, &[resource_type], query, found).await?),
                (&Method::POST, []) => {
                    create(context, resource_type, body()?, &wishes(resource_type)).await
                }
                (_, []) => Err(not_allowed("GET, HEAD, POST")),
                (&Method::POST, [".search"]) => {
                    Ok(list::search(context, &[resource_type], &body()?).await?)
                }
                (_, [".search"]) => Err(not_allowed("POST")),
                (_, [id]) => {
                    let is_known =
                        [Method::GET, Method::PUT, Method::PATCH, Method::DELETE].contains(method);
                    if !is_known {
                        return Err(not_allowed("GET, HEAD, PUT, PATCH, DELETE"));
                    }
                    let id = Uuid::try_parse(id).map_err(|_| no_such(resource_type))?;
                    let wishes = wishes(resource_type);
                    let found = found.and_then(|found| found.into_iter().next());
                    match *method {
                        Method::GET => list::one(context, resource_type, id, found, &wishes).await,
                        Method::DELETE => {
                            delete(context, resource_type, id, &wishes.if_match).await
                        }
                        Method::PUT => {
                            replace(context, resource_type, id, found, body()?, &wishes).await
                        }
                        _ => modify(context, resource_type, id, found, body()?, &wishes).await,
                    }
                }
                _ => Err(nothing_here().into()),
            }
        }
    }
}

/// Creates a resource (RFC 7644, section 3.3).
///
/// # Errors
///
/// What is wrong with the body, or 409.
pub async fn create(
    context: &Context,
    kind: ResourceType,
    body: Value,
    wishes: &Wishes,
) -> Result<Reply, Failure> {
    match kind {
        ResourceType::User => users::create(context, body, wishes).await,
        ResourceType::Group => groups::create(context, body, wishes).await,
    }
}

/// Replaces a resource (RFC 7644, section 3.5.1); `found` is what there is of it, if it was looked up.
///
/// # Errors
///
/// What is wrong with the body, 404, 409 or 412.
pub async fn replace(
    context: &Context,
    kind: ResourceType,
    id: Uuid,
    found: Option<Stored>,
    body: Value,
    wishes: &Wishes,
) -> Result<Reply, Failure> {
    match kind {
        ResourceType::User => users::replace(context, id, found, body, wishes).await,
        ResourceType::Group => groups::replace(context, id, body, wishes).await,
    }
}

/// Modifies a resource (RFC 7644, section 3.5.2); `found` is what there is of it, if it was looked up.
///
/// # Errors
///
/// What is wrong with the body, 404, 409 or 412.
pub async fn modify(
    context: &Context,
    kind: ResourceType,
    id: Uuid,
    found: Option<Stored>,
    body: Value,
    wishes: &Wishes,
) -> Result<Reply, Failure> {
    match kind {
        ResourceType::User => users::modify(context, id, found, body, wishes).await,
        ResourceType::Group => groups::modify(context, id, body, wishes).await,
    }
}

/// Deletes a resource (RFC 7644, section 3.6).
///
/// # Errors
///
/// 404 or 412.
pub async fn delete(
    context: &Context,
    kind: ResourceType,
    id: Uuid,
    if_match: &Precondition,
) -> Result<Reply, Failure> {
    match kind {
        ResourceType::User => users::delete(context, id, if_match).await,
        ResourceType::Group => groups::delete(context, id, if_match).await,
    }
}

/// The type whose endpoint this is.
pub fn endpoint_type(endpoint: &str) -> Option<ResourceType> {
    ResourceType::ALL
        .into_iter()
        .find(|kind| kind.endpoint().trim_start_matches('/') == endpoint)
}

/// Which endpoint a path names, without what it names there.
pub fn endpoint_label(path: &str) -> &'static str {
    let path = path.strip_prefix(ROOT).unwrap_or("other");
    let segments: Vec<&str> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .collect();
    match &*segments {
        [] => "/",
        [".search"] => "/.search",
        ["Users"] => "/Users",
        ["Users", ".search"] => "/Users/.search",
        ["Users", _] => "/Users/{id}",
        ["Groups"] => "/Groups",
        ["Groups", ".search"] => "/Groups/.search",
        ["Groups", _] => "/Groups/{id}",
        ["Bulk"] => "/Bulk",
        ["Me"] => "/Me",
        ["ServiceProviderConfig"] => "/ServiceProviderConfig",
        ["ResourceTypes"] => "/ResourceTypes",
        ["ResourceTypes", _] => "/ResourceTypes/{id}",
        ["Schemas"] => "/Schemas",
        ["Schemas", _] => "/Schemas/{id}",
        _ => "/other",
    }
}

fn precondition(headers: &HeaderMap, name: header::HeaderName) -> Precondition {
    Precondition(
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned),
    )
}

/// The body as JSON; `None` is one that is too large, or was not sent to the end.
fn read_json(headers: &HeaderMap, body: Option<Bytes>) -> Result<Value, Failure> {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .map(|value| value.to_str().unwrap_or_default());
    let media_type = content_type.map(|text| {
        text.split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase()
    });
    if !matches!(
        media_type.as_deref(),
        None | Some("application/scim+json" | "application/json")
    ) {
        return Err(
            ScimError::new(415, "send the body as Content-Type: application/scim+json").into(),
        );
    }
    let bytes = body.ok_or_else(|| {
        ScimError::new(
            413,
            format!("the body must have at most {MAX_BODY} bytes: send less at a time"),
        )
    })?;
    Ok(serde_json::from_slice(&bytes).map_err(|e| {
        // The text of a syntax error never quotes the body; that of another error may.
        let reason = match e.classify() {
            Category::Syntax | Category::Eof => e.to_string(),
            Category::Data | Category::Io => {
                format!("not at line {} column {}", e.line(), e.column())
            }
        };
        ScimError::bad_request(
            ScimType::InvalidSyntax,
            format!("the body must be a JSON object: {reason}"),
        )
    })?)
}

fn not_allowed(methods: &'static str) -> Failure {
    let error = ScimError::new(405, format!("this endpoint takes {methods}"));
    Failure {
        allow: Some(methods),
        ..error.into()
    }
}

fn nothing_here() -> ScimError {
    ScimError::new(404, "there is no endpoint at this path: see /ResourceTypes")
}

/// The error for a resource that is not there.
pub fn no_such(resource_type: ResourceType) -> ScimError {
    ScimError::new(
        404,
        format!(
            "there is no {} with this id in this configuration",
            resource_type.name()
        ),
    )
}

/// A refusal, and whether the log of the configuration tells of it.
#[derive(Debug)]
pub struct Failure {
    /// What the client sees.
    pub error: ScimError,
    retry_after: Option<u64>,
    allow: Option<&'static str>,
    is_worth_an_event: bool,
}

impl From<ScimError> for Failure {
    fn from(error: ScimError) -> Self {
        Self {
            error,
            retry_after: None,
            allow: None,
            is_worth_an_event: true,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        let plain = |status| ScimError::new(status, text.clone());
        let (error, retry_after, is_worth_an_event) = match error {
            Error::Unauthenticated => (plain(401), None, false),
            Error::PermissionDenied(_) => (plain(403), None, true),
            Error::NotFound(_) => (plain(404), None, true),
            Error::AlreadyExists(_) => {
                let mut error = plain(409);
                error.scim_type = Some(ScimType::Uniqueness);
                (error, None, true)
            }
            Error::FailedPrecondition(_) => (plain(409), None, true),
            Error::Invalid(violations) => {
                let texts: Vec<String> = violations
                    .iter()
                    .map(|v| format!("{} {}", v.field, v.message))
                    .collect();
                (
                    ScimError::bad_request(ScimType::InvalidValue, texts.join("; ")),
                    None,
                    true,
                )
            }
            Error::Throttled(wait) => (plain(429), Some(wait.as_secs().max(1)), false),
            Error::Busy => (plain(503), Some(1), false),
            Error::TooLong(_) => {
                let error = ScimError::bad_request(ScimType::TooMany, text);
                (error, None, false)
            }
            Error::Unavailable(cause) => {
                tracing::error!(cause = %Chain(&*cause), "a request failed");
                (plain(503), Some(1), false)
            }
            Error::Internal(cause) => {
                tracing::error!(cause = %Chain(&*cause), "a request failed");
                let text = "internal error: the server's log has the cause under the x-request-id of this response";
                (ScimError::new(500, text), None, false)
            }
        };
        Self {
            error,
            retry_after,
            allow: None,
            is_worth_an_event,
        }
    }
}

fn respond(result: Result<Reply, Failure>) -> Response {
    let (reply, retry_after, allow) = match result {
        Ok(reply) => (reply, None, None),
        Err(failure) => {
            let reply = Reply {
                status: failure.error.status,
                body: Some(failure.error.to_json()),
                ..Reply::default()
            };
            (reply, failure.retry_after, failure.allow)
        }
    };
    let mut response = Response::new(match &reply.body {
        Some(body) => Body::from(body.to_string()),
        None => Body::empty(),
    });
    *response.status_mut() =
        StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if reply.body.is_some() {
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/scim+json"),
        );
    }
    let texts = [
        (header::LOCATION, reply.location),
        (header::ETAG, reply.etag),
    ];
    for (name, text) in texts {
        if let Some(value) = text.and_then(|text| HeaderValue::try_from(text).ok()) {
            headers.insert(name, value);
        }
    }
    if reply.status == 401 {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(methods) = allow {
        headers.insert(header::ALLOW, HeaderValue::from_static(methods));
    }
    if let Some(seconds) = retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_fault_in_the_form_of_scim() {
        let response = guarded(async { panic!("on purpose") }).await;
        assert_eq!(response.status(), 500);
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "application/scim+json"
        );
    }

    #[test]
    fn a_path_in_the_log_has_no_words_but_ours() {
        let id = "0190a6e0-1c2b-7def-8123-456789abcdef";
        for (path, expected) in [
            ("/scim/v2/Users", "/scim/v2/Users".to_owned()),
            ("/scim/v2/", "/scim/v2/".to_owned()),
            (
                &format!("/scim/v2/Groups/{id}"),
                format!("/scim/v2/Groups/{id}"),
            ),
            (
                "/scim/v2/Users/ada@example.com",
                "/scim/v2/Users/…".to_owned(),
            ),
            ("/scim/v1/%2Fx/.search", "/scim/…/…/.search".to_owned()),
        ] {
            assert_eq!(place(path), expected);
        }
    }
}
