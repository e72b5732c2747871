//! Receivers follow streams of security events: what they are told, and what an attacker is not.

mod poll;
mod push;
mod streams;
mod told;

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Method, Request, header};
use rollcall::provisioning::signing;
use serde_json::{Value, json};

use crate::support::{Reply, Server};

pub const PUSH: &str = "urn:ietf:rfc:8935";
pub const POLL: &str = "urn:ietf:rfc:8936";
pub const REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
pub const CREDENTIAL: &str =
    "https://schemas.openid.net/secevent/caep/event-type/credential-change";
pub const DISABLED: &str = "https://schemas.openid.net/secevent/risc/event-type/account-disabled";
pub const ENABLED: &str = "https://schemas.openid.net/secevent/risc/event-type/account-enabled";
pub const IDENTIFIER: &str =
    "https://schemas.openid.net/secevent/risc/event-type/identifier-changed";
pub const CREATE: &str = "urn:ietf:params:scim:event:prov:create:notice";
pub const PATCH: &str = "urn:ietf:params:scim:event:prov:patch:notice";
pub const DELETE: &str = "urn:ietf:params:scim:event:prov:delete";
pub const ACTIVATE: &str = "urn:ietf:params:scim:event:prov:activate";
pub const DEACTIVATE: &str = "urn:ietf:params:scim:event:prov:deactivate";
pub const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";
pub const UPDATED: &str = "https://schemas.openid.net/secevent/ssf/event-type/stream-updated";

/// What somebody gets who sends this token.
pub async fn ask_as(
    server: &Server,
    token: Option<&str>,
    method: Method,
    path: &str,
    body: &Value,
) -> Reply {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let body = match body {
        Value::Null => Body::empty(),
        body => Body::from(body.to_string()),
    };
    server.send(request.body(body).unwrap()).await
}

/// What an administrator gets.
pub async fn ask(server: &Server, method: Method, path: &str, body: Value) -> Reply {
    ask_as(server, Some(&server.token), method, path, &body).await
}

/// A stream.
#[derive(Clone)]
pub struct Stream {
    pub server: Server,
    pub id: String,
    pub made: Value,
}

impl Stream {
    /// One that is polled and tells of these events.
    pub async fn polled(server: &Server, events: &[&str]) -> Self {
        Self::make(server, json!({ "events_requested": events })).await
    }

    pub async fn make(server: &Server, body: Value) -> Self {
        let reply = ask(server, Method::POST, "/ssf/streams", body).await;
        assert_eq!(reply.status, 201, "{:?}", reply.bytes);
        let made = reply.json();
        Self {
            server: server.clone(),
            id: made["stream_id"].as_str().unwrap().to_owned(),
            made,
        }
    }

    pub fn path(&self) -> String {
        format!("/ssf/streams?stream_id={}", self.id)
    }

    pub async fn read(&self) -> Value {
        let reply = ask(&self.server, Method::GET, &self.path(), Value::Null).await;
        reply.ok()
    }

    /// What the receiver gets for a request at this place, in which the stream is named.
    pub async fn send(&self, method: Method, path: &str, mut body: Value) -> Reply {
        body["stream_id"] = json!(self.id);
        ask(&self.server, method, path, body).await
    }

    pub async fn set_status(&self, status: &str) {
        let body = json!({ "status": status, "reason": "so it is" });
        let changed = self.send(Method::POST, "/ssf/status", body).await.ok();
        let whole = json!({ "stream_id": self.id, "status": status, "reason": "so it is" });
        assert_eq!(changed, whole);
    }

    pub async fn verify(&self, state: &str) -> Reply {
        let body = json!({ "state": state });
        self.send(Method::POST, "/ssf/verify", body).await
    }

    pub async fn poll(&self, mut body: Value) -> Value {
        if body.get("returnImmediately").is_none() {
            body["returnImmediately"] = json!(true);
        }
        let path = format!("/ssf/poll/{}", self.id);
        ask(&self.server, Method::POST, &path, body).await.ok()
    }

    /// The claims of all tokens that there are, the first first. They are acknowledged.
    pub async fn take(&self) -> Vec<Value> {
        let polled = self.poll(json!({})).await;
        let claims = self.claims(&polled).await;
        let names: Vec<&Value> = claims.iter().map(|claims| &claims["jti"]).collect();
        let left = self.poll(json!({ "ack": names })).await;
        assert_eq!(left, json!({ "sets": {}, "moreAvailable": false }));
        claims
    }

    /// The claims of the tokens of an answer, in the order of the events.
    pub async fn claims(&self, polled: &Value) -> Vec<Value> {
        let mut all = vec![];
        for (name, token) in polled["sets"].as_object().unwrap() {
            let claims = self.verified(token.as_str().unwrap()).await;
            assert_eq!(claims["jti"], **name);
            all.push(claims);
        }
        all.sort_by_key(|claims| claims["jti"].as_str().unwrap().to_owned());
        all
    }

    /// The claims of a token for this receiver.
    pub async fn verified(&self, token: &str) -> Value {
        let app = &self.server.app;
        let head = URL_SAFE_NO_PAD.decode(token.split_once('.').unwrap().0);
        let head: Value = serde_json::from_slice(&head.unwrap()).unwrap();
        assert_eq!(head["alg"], "RS256");
        assert_eq!(head["typ"], "secevent+jwt");
        let ring = signing::ring(app).await.unwrap();
        let claims = ring.open(token, "secevent+jwt").unwrap();
        let claims = Value::Object(claims);
        assert_eq!(claims["iss"], "https://rollcall.test");
        assert_eq!(claims["aud"], self.made["aud"]);
        assert_eq!(claims["events"].as_object().unwrap().len(), 1);
        assert!(claims["iat"].as_i64().unwrap() <= self.server.now().timestamp());
        for absent in ["sub", "exp"] {
            assert!(claims.get(absent).is_none(), "{claims}");
        }
        claims
    }
}

/// The types of the events of tokens.
pub fn types(claims: &[Value]) -> Vec<&str> {
    let events = claims
        .iter()
        .flat_map(|claims| claims["events"].as_object().unwrap());
    events.map(|(event, _)| &**event).collect()
}

/// Everything that can be told.
pub fn all_events() -> Vec<&'static str> {
    vec![
        REVOKED, CREDENTIAL, DISABLED, ENABLED, IDENTIFIER, CREATE, PATCH, DELETE, ACTIVATE,
        DEACTIVATE,
    ]
}
