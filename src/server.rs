//! The listener, what surrounds every request whichever door it takes, and the shutdown in stages: say
//! that it is near, stop accepting and finish what is under way, then close what takes too long.

mod body;
mod clients;
mod connection;

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::StreamExt;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tower::ServiceExt;
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
use crate::store::{Access, Share};

pub use self::clients::ClientLimits;
use self::clients::Clients;
use self::connection::{Activity, Answer, Watched};

/// How long requests may go on after the signal to stop.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(30);
/// How long a client may take to send the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// How long nothing may have worked, although a new connection does, before the process is of no use.
const STUCK: Duration = Duration::from_secs(60);
/// How long the database may take to give a sign of life.
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// How much a refused client may still send, in bytes, and for how long.
const DRAIN_LIMIT: usize = 1024 * 1024;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a silent HTTP/2 client is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// How many requests one HTTP/2 connection may have under way, and how many bytes of an answer to each
/// wait to be sent.
const MAX_STREAMS: u32 = 100;
const MAX_UNSENT: usize = 64 * 1024;
/// How many connections may wait to be taken. A client that found no room, and says nothing, waits for
/// ever: the kernel lets it believe that it is connected.
const BACKLOG: u32 = 4096;
/// Files and connections to others, beside those of clients.
const OTHER_FILES: usize = 128;

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
        .route("/livez", get(livez).with_state(app.clone()))
        .route("/readyz", get(readyz).with_state(app.clone()));
    let door = |door, router| observed(app, door, shared(app, router));
    let doors = door(Door::Api, api::router(app)?)
        .merge(door(Door::Scim, scim::router(app)))
        .merge(door(Door::Login, login::router(app)))
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
        .layer(from_fn(body::bound))
        .layer(CatchPanicLayer::new())
        .layer(trace)
        .layer(from_fn_with_state(app.clone(), identify));
    Ok(Router::new().fallback_service(MapRequest::new(doors, path::normalize)))
}

/// The door with a share of the connections to the database.
fn shared(app: &Arc<App>, router: Router) -> Router {
    let bound = |State(share): State<Share>, request, next: Next| share.bound(next.run(request));
    router.layer(from_fn_with_state(app.store.share(), bound))
}

/// Whether the process is of use: it is not when nothing has worked for a minute that a new one could do.
async fn livez(State(app): State<Arc<App>>) -> Response {
    if app.store.is_stuck(STUCK).await {
        tracing::error!("nothing has worked for a minute although the database can be reached");
        let text =
            "no connection to the database has worked for a minute, although it can be reached";
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    }
    "ok".into_response()
}

async fn readyz(State(app): State<Arc<App>>) -> Response {
    if app.is_stopping.load(Ordering::Relaxed) {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping").into_response();
    }
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
        Some(route) if route.starts_with(scim::TOP) => scim::labels::place(request.uri().path()),
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

/// Waits until it is plain whether a client speaks HTTP/2: from then on the time limits of its
/// connection hold.
async fn speaks_http2(stream: &TcpStream) -> std::io::Result<bool> {
    const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut start = [0; PREFACE.len()];
    loop {
        let length = stream.peek(&mut start).await?;
        let seen = start.get(..length).unwrap_or_default();
        if length == 0 || length == PREFACE.len() || !PREFACE.starts_with(seen) {
            return Ok(length == PREFACE.len() && seen == PREFACE);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// How the listener treats clients.
#[derive(Clone, Debug)]
pub struct Listening {
    /// How long a connection may be idle.
    pub keep_alive: Duration,
    /// How many connections there may be.
    pub clients: ClientLimits,
}

impl Default for Listening {
    fn default() -> Self {
        Self {
            keep_alive: Duration::from_secs(90),
            clients: ClientLimits {
                per_client: 512,
                in_all: connections_in_all(),
                proxies: vec![],
            },
        }
    }
}

/// Allows the process as many open files as the system has it, and tells how many of them connections of
/// clients may be.
pub fn connections_in_all() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let files = current.and_then(|files| usize::try_from(files).ok());
    files.map_or(usize::MAX, |files| {
        files.saturating_sub(OTHER_FILES).max(files / 2)
    })
}

/// Takes connections, one task each.
struct Server {
    http: auto::Builder<TokioExecutor>,
    router: Router,
    listening: Listening,
    clients: Clients,
    connections: GracefulShutdown,
    stop: watch::Sender<bool>,
}

impl Server {
    fn new(router: Router, listening: Listening) -> Self {
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1()
            .timer(TokioTimer::new())
            // A net under the limits of `connection`.
            .header_read_timeout(listening.keep_alive + HEADER_TIMEOUT);
        http.http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .max_send_buf_size(MAX_UNSENT)
            .max_concurrent_streams(MAX_STREAMS);
        Self {
            http,
            router,
            clients: Clients::new(listening.clients.clone()),
            listening,
            connections: GracefulShutdown::new(),
            stop: watch::Sender::new(false),
        }
    }

    /// Serves one client.
    fn welcome(&self, stream: TcpStream, peer: IpAddr) {
        let Some(place) = self.clients.connect(peer) else {
            tokio::spawn(refuse(stream));
            return;
        };
        let _ = stream.set_nodelay(true);
        let (http, router, watcher) = (
            self.http.clone(),
            self.router.clone(),
            self.connections.watcher(),
        );
        let (keep_alive, mut stop) = (self.listening.keep_alive, self.stop.subscribe());
        let clients = self.clients.clone();
        tokio::spawn(async move {
            let _place = place;
            let spoken = tokio::select! {
                spoken = timeout(HEADER_TIMEOUT, speaks_http2(&stream)) => spoken,
                _ = stop.changed() => return,
            };
            let Ok(Ok(is_http2)) = spoken else { return };
            let activity = Activity::new(is_http2);
            let noted = activity.clone();
            let service = service_fn(move |request: http::Request<Incoming>| {
                let begun = noted.begin();
                let place = clients.request(peer, request.headers());
                let router = router.clone();
                async move {
                    let response = match &place {
                        Some(_) => router.oneshot(request.map(Body::new)).await?,
                        None => too_many(),
                    };
                    let until_sent = (begun, place);
                    Ok::<_, Infallible>(response.map(|body| Answer::new(body, until_sent)))
                }
            });
            let io = TokioIo::new(Watched::new(stream, activity.clone()));
            let connection = http.serve_connection(io, service).into_owned();
            tokio::select! {
                result = watcher.watch(connection) => if let Err(error) = result {
                    tracing::debug!(error = &*error, "a connection ended early");
                },
                () = activity.is_over(keep_alive, stop) => {}
            }
        });
    }
}

fn too_many() -> Response {
    let text = "too many requests of this client are under way: try again";
    (
        StatusCode::SERVICE_UNAVAILABLE,
        [(http::header::RETRY_AFTER, HeaderValue::from_static("1"))],
        text,
    )
        .into_response()
}

/// Tells a client that there is no place for another connection.
async fn refuse(mut stream: TcpStream) {
    let text = "there are too many connections: close some, or try again\n";
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n{text}",
        text.len()
    );
    let told = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    };
    let _ = timeout(Duration::from_secs(1), told).await;
}

/// Listens on an address.
///
/// # Errors
///
/// When the address is taken, or not this machine's.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // Or a server that starts again finds its address taken by connections that have ended.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves HTTP/1.1 and h2c until `stop` completes, then finishes what is under way, for
/// [`SHUTDOWN_GRACE`] at most or until `stop_now` completes.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    listening: Listening,
    stop: impl Future,
    stop_now: impl Future,
) {
    let server = Server::new(router, listening);
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut stop => break,
        };
        match accepted {
            Ok((stream, peer)) => server.welcome(stream, peer.ip()),
            Err(error) => {
                // Out of file descriptors, say. Others will end.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    drop(listener);
    let Server {
        connections, stop, ..
    } = server;
    stop.send_replace(true);
    tracing::info!("stopping: finishing {} connections", connections.count());
    tokio::select! {
        () = connections.shutdown() => {}
        () = tokio::time::sleep(SHUTDOWN_GRACE) => tracing::warn!("some requests took too long and were cut off"),
        _ = stop_now => tracing::warn!("told to stop at once"),
    }
}
