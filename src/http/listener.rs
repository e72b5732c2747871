//! The listener: it takes connections, each with its limits, and shuts down in stages. It stops accepting,
//! finishes what is under way, then closes what takes too long.

mod clients;
mod connection;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode};
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

pub use self::clients::ClientLimits;
use self::clients::Clients;
use self::connection::{Activity, Answer, Watched};

/// How long requests may go on after the signal to stop.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(30);
/// How long a client may take to send the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
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
