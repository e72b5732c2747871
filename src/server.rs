//! The listener, what surrounds every request whichever door it takes, and the shutdown in two
//! stages: stop accepting and finish what is under way, then close what takes too long.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::StreamExt;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tower::util::MapRequest;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::trace::{DefaultOnFailure, TraceLayer};
use tracing::{Level, Span};

use crate::api;
use crate::app::App;
use crate::error::{Chain, Error};
use crate::login;
use crate::metrics::Door;
use crate::observe::observed;
use crate::path;
use crate::scim;
use crate::store::Access;

/// How long requests may go on after the signal to stop.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(30);
/// How long a client may take to send the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the database may take to give a sign of life.
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// How much a refused client may still send, in bytes, and for how long.
const DRAIN_LIMIT: usize = 1024 * 1024;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a silent HTTP/2 client is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How many requests one HTTP/2 connection may have under way.
const MAX_STREAMS: u32 = 200;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Names a request in the log, in the response's `x-request-id` header, and in errors.
#[derive(Clone, Debug)]
pub struct RequestId(String);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl RequestId {
    /// The caller's own id where it has a harmless form: 1 to 64 letters, digits, `-`, `_` and `.`.
    fn from_header(value: &HeaderValue) -> Option<Self> {
        let text = value.to_str().ok()?;
        let is_harmless = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        ((1..=64).contains(&text.len()) && text.bytes().all(is_harmless))
            .then(|| Self(text.to_owned()))
    }
}

/// Everything that the server answers.
///
/// # Errors
///
/// When a door cannot be built: a fault of the build.
pub fn router(app: &Arc<App>) -> Result<Router> {
    let probes = Router::new()
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(readyz).with_state(app.clone()));
    let doors = observed(app, Door::Api, api::router(app)?)
        .merge(observed(app, Door::Scim, scim::router(app)))
        .merge(observed(app, Door::Login, login::router(app)))
        .merge(observed(app, Door::Probe, probes));
    let trace = TraceLayer::new_for_http()
        .make_span_with(span)
        .on_request(())
        .on_response(|response: &Response, latency: Duration, _: &Span| {
            let microseconds = latency.as_micros();
            tracing::info!(status = response.status().as_u16(), microseconds, "request");
        })
        .on_failure(DefaultOnFailure::new().level(Level::DEBUG));
    let doors = doors
        .layer(CatchPanicLayer::new())
        .layer(trace)
        .layer(from_fn_with_state(app.clone(), identify));
    Ok(Router::new().fallback_service(MapRequest::new(doors, path::normalize)))
}

async fn readyz(State(app): State<Arc<App>>) -> Response {
    let answer = timeout(PING_TIMEOUT, app.store.ping()).await;
    let reason = match answer.unwrap_or_else(|elapsed| Err(Error::Unavailable(elapsed.into()))) {
        Ok(Access::ReadWrite) => return "ok".into_response(),
        Ok(access) => {
            tracing::warn!("the database {access}");
            format!("the database {access}")
        }
        Err(error) => {
            tracing::warn!(cause = %Chain(&error), "the database does not answer");
            "the database does not answer".to_owned()
        }
    };
    (StatusCode::SERVICE_UNAVAILABLE, reason).into_response()
}

fn span(request: &Request) -> Span {
    let id = request
        .extensions()
        .get::<RequestId>()
        .map(tracing::field::display);
    tracing::info_span!(
        "request",
        method = method(request),
        path = place(request),
        request_id = id,
        trace_id = tracing::field::Empty,
        organization = tracing::field::Empty,
    )
}

/// The method for the log. Clients may make up their own.
fn method(request: &Request) -> &str {
    match *request.method() {
        Method::GET
        | Method::HEAD
        | Method::POST
        | Method::PUT
        | Method::PATCH
        | Method::DELETE
        | Method::OPTIONS => request.method().as_str(),
        _ => "other",
    }
}

/// The path for the log: that of the route, and below `/scim` what of the path is the server's own
/// words. The rest may be anything, such as an address in the place of an id.
fn place(request: &Request) -> String {
    let route = request.extensions().get::<MatchedPath>();
    match route.map(MatchedPath::as_str) {
        Some(route) if route.starts_with(scim::TOP) => scim::http::place(request.uri().path()),
        Some(route) => route.to_owned(),
        None => "no route".to_owned(),
    }
}

/// Reads what a refused client still sends, and keeps none of it: or the client could find its
/// connection closed instead of the answer.
pub async fn drain(body: Body) {
    let mut chunks = body.into_data_stream();
    let read = async {
        let mut left = DRAIN_LIMIT;
        while let Some(Ok(chunk)) = chunks.next().await {
            match left.checked_sub(chunk.len()) {
                Some(rest) => left = rest,
                None => break,
            }
        }
    };
    let _ = timeout(DRAIN_TIMEOUT, read).await;
}

async fn identify(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let given = request
        .headers()
        .get(REQUEST_ID)
        .and_then(RequestId::from_header);
    let id = given.unwrap_or_else(|| RequestId(app.random.uuid_v7(app.clock.now()).to_string()));
    let header = HeaderValue::from_str(&id.0);
    request.extensions_mut().insert(id);
    let mut response = next.run(request).await;
    if let Ok(header) = header {
        response.headers_mut().insert(REQUEST_ID, header);
    }
    response
}

/// Waits until it is plain which version of HTTP a client speaks: from then on hyper's own time
/// limits hold.
async fn has_spoken(stream: &TcpStream) -> std::io::Result<()> {
    const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut start = [0; PREFACE.len()];
    loop {
        let length = stream.peek(&mut start).await?;
        let seen = start.get(..length).unwrap_or_default();
        if length == 0 || length == PREFACE.len() || !PREFACE.starts_with(seen) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Serves HTTP/1.1 and h2c until `stop` completes, then finishes what is under way, for
/// [`SHUTDOWN_GRACE`] at most or until `stop_now` completes.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    stop: impl Future,
    stop_now: impl Future,
) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .max_concurrent_streams(MAX_STREAMS);
    let service = TowerToHyperService::new(router);
    let connections = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);

    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut stop => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, say. Others will end.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let (builder, service, watcher) = (builder.clone(), service.clone(), connections.watcher());
        tokio::spawn(async move {
            if !matches!(
                timeout(HEADER_TIMEOUT, has_spoken(&stream)).await,
                Ok(Ok(()))
            ) {
                return;
            }
            let connection = builder
                .serve_connection(TokioIo::new(stream), service)
                .into_owned();
            if let Err(error) = watcher.watch(connection).await {
                tracing::debug!(error = &*error, "a connection ended early");
            }
        });
    }

    drop(listener);
    tracing::info!("stopping: finishing {} connections", connections.count());
    tokio::select! {
        () = connections.shutdown() => {}
        () = tokio::time::sleep(SHUTDOWN_GRACE) => tracing::warn!("some requests took too long and were cut off"),
        _ = stop_now => tracing::warn!("told to stop at once"),
    }
}
