//! Measures logins and sessions on the PostgreSQL that `DATABASE_URL` names, with a provider in this
//! process: `.ci/with-postgres cargo bench --bench sign_in [-- SECONDS]`.
//!
//! The server, PostgreSQL, the provider and this generator share the machine. A login is the start, the provider's token endpoint, and the callback.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a measurement may fail"
)]

#[allow(dead_code, reason = "not every measurement uses all of it")]
mod support;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use axum::extract::{Form, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::future::join_all;
use http::response::Parts;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use support::{Client, printed, serve_with};

const CONNECTIONS: usize = 8;
const PEOPLE: u64 = 10_000;
const CLIENT: &str = "load";
/// Of the provider's key: for this measurement alone.
const SEED: [u8; 32] = [7; 32];

fn main() {
    let argument = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok());
    let time = Duration::from_secs(argument.unwrap_or(10));
    let database = std::env::var("DATABASE_URL").expect("DATABASE_URL names a PostgreSQL to fill");
    tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(measure(&database, time));
}

async fn measure(database: &str, time: Duration) {
    let issuer = provider().await;
    let token = printed(&["token", "generate"]);
    let settings = [("ROLLCALL_ALLOW_INSECURE_ISSUERS", "true")];
    let (_server, address) = serve_with(database, &token, &settings);
    let api = Client {
        address: address.clone(),
        token,
        connections: CONNECTIONS,
    };
    let identity = "/gitpod.v1.IdentityService/GetAuthenticatedIdentity";
    let organization = api.once(Method::POST, identity, json!({})).await["organizationId"].clone();
    let tenant = organization.as_str().unwrap().to_owned();
    let sso = json!({ "organizationId": organization, "clientId": CLIENT, "clientSecret": "s", "issuerUrl": issuer });
    let path = "/gitpod.v1.OrganizationService/CreateSSOConfiguration";
    let sso = api.once(Method::POST, path, sso).await;
    let sso = sso["ssoConfiguration"]["id"].as_str().unwrap().to_owned();

    let next = AtomicU64::new(0);
    let login = async |browser: &mut Browser| {
        let person = next.fetch_add(1, Ordering::Relaxed) % PEOPLE;
        let start = format!("/auth/oidc/start?organization={tenant}&configuration={sso}");
        let (location, cookie) = browser.follow(&start, "").await;
        let query = location.split_once('?').unwrap().1;
        let asked: HashMap<_, _> = form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        let (state, nonce) = (&asked["state"], &asked["nonce"]);
        let callback = format!("/auth/oidc/callback?state={state}&code={person}.{nonce}");
        let (location, cookie) = browser.follow(&callback, &cookie).await;
        assert_eq!(location, "/account");
        browser.session = cookie;
    };
    let session = drive("logins", &address, time, login).await;

    let check = async |browser: &mut Browser| {
        let request = Request::post(identity)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ORIGIN, format!("http://{address}"))
            .header(header::COOKIE, &session)
            .body(Full::from("{}"));
        let (head, body) = browser.send(request.unwrap()).await;
        assert!(head.status.is_success(), "{} {body:?}", head.status);
    };
    drive("sessions checked", &address, time, check).await;
}

/// A connection, and the session that it got last.
struct Browser {
    address: String,
    sender: http1::SendRequest<Full<Bytes>>,
    session: String,
}

impl Browser {
    async fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self {
            address: address.to_owned(),
            sender,
            session: String::new(),
        }
    }

    async fn send(&mut self, mut request: Request<Full<Bytes>>) -> (Parts, Bytes) {
        let host = self.address.parse().unwrap();
        request.headers_mut().insert(header::HOST, host);
        self.sender.ready().await.unwrap();
        let response = self.sender.send_request(request).await.unwrap();
        let (head, body) = response.into_parts();
        (head, body.collect().await.unwrap().to_bytes())
    }

    /// Asks with a cookie; returns where it is sent, and the first cookie that it is given.
    async fn follow(&mut self, path: &str, cookie: &str) -> (String, String) {
        let request = Request::get(path).header(header::COOKIE, cookie);
        let (head, body) = self.send(request.body(Full::default()).unwrap()).await;
        let text = |name| Some(head.headers.get(name)?.to_str().unwrap().to_owned());
        let location = text(header::LOCATION).unwrap_or_else(|| panic!("{} {body:?}", head.status));
        let cookie = text(header::SET_COOKIE).unwrap();
        (location, cookie.split(';').next().unwrap().to_owned())
    }
}

/// Does something as often as there is time for, on several connections; prints how often, and
/// returns the session of one.
async fn drive(
    name: &str,
    address: &str,
    time: Duration,
    once: impl AsyncFn(&mut Browser),
) -> String {
    let end = Instant::now() + time;
    let worker = async || {
        let mut browser = Browser::open(address).await;
        let mut latencies = vec![];
        while Instant::now() < end {
            let begin = Instant::now();
            once(&mut browser).await;
            latencies.push(begin.elapsed());
        }
        (latencies, browser.session)
    };
    let done = join_all((0..CONNECTIONS).map(|_| worker())).await;
    let mut latencies: Vec<_> = done.iter().flat_map(|(latencies, _)| latencies).collect();
    latencies.sort_unstable();
    let rate = latencies.len() as f64 / time.as_secs_f64();
    let (median, p99) = (
        latencies[latencies.len() / 2],
        latencies[latencies.len() * 99 / 100],
    );
    println!("{name}: {rate:.0}/s, median {median:.1?}, 99th percentile {p99:.1?}");
    done.into_iter().next().unwrap().1
}

/// A provider that believes every code, which is the person and the nonce.
async fn provider() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer = format!("http://{}", listener.local_addr().unwrap());
    let key = Arc::new(Ed25519KeyPair::from_seed_unchecked(&SEED).unwrap());
    let x = URL_SAFE_NO_PAD.encode(key.public_key());
    let metadata = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
    });
    let keys = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "load", "x": x }] });
    let router = Router::new()
        .route(
            "/.well-known/openid-configuration",
            get(async move || Json(metadata)),
        )
        .route("/keys", get(async move || Json(keys)))
        .route("/token", post(exchange))
        .with_state((issuer.clone(), key));
    tokio::spawn(async move { axum::serve(listener, router).await });
    issuer
}

type Issuer = (String, Arc<Ed25519KeyPair>);

async fn exchange(
    State((issuer, key)): State<Issuer>,
    Form(form): Form<HashMap<String, String>>,
) -> Json<Value> {
    let (person, nonce) = form["code"].split_once('.').unwrap();
    let now = chrono::Utc::now().timestamp();
    let claims = json!({
        "iss": issuer, "sub": person, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": nonce,
        "email": format!("{person}@example.com"), "email_verified": true, "name": "Somebody",
    });
    let header = json!({ "alg": "EdDSA", "kid": "load" });
    let message = [header, claims]
        .map(|part| URL_SAFE_NO_PAD.encode(part.to_string()))
        .join(".");
    let signature = key.sign(message.as_bytes());
    let id_token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
    Json(json!({ "access_token": "a", "token_type": "Bearer", "id_token": id_token }))
}
