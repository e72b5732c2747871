//! The services of our own, `rollcall.v1`.

mod provisioning;
mod sessions;
mod sign_in;
mod status;

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use buffa::Message;
use http::{Method, Request, header};
use proto::rollcall::v1::{GetStatusRequest, GetStatusResponse};
use rollcall::domain::identity::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Reply, Server, run};

const READS: [&str; 4] = [
    "ProvisioningService/ListProvisioningEvents",
    "SessionService/ListSessions",
    "SignInService/ListSignInAttempts",
    "StatusService/GetStatus",
];
/// Methods that change nothing, but take no GET.
const QUESTIONS: [&str; 2] = [
    "SignInService/CheckSSOConfiguration",
    "SignInService/EvaluateClaimsExpression",
];
const WRITE: &str = "SessionService/EndSessions";

/// Calls a method as the administrator.
pub async fn ask(server: &Server, method: &str, body: Value) -> Reply {
    ask_as(server, &server.token, method, body).await
}

pub async fn ask_as(server: &Server, token: &str, method: &str, body: Value) -> Reply {
    let request = Request::post(format!("/rollcall.v1.{method}"))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .body(Body::from(body.to_string()));
    server.send(request.unwrap()).await
}

/// Everything that a list has, read in pages of `size`.
pub async fn pages(
    server: &Server,
    method: &str,
    request: Value,
    name: &str,
    size: u32,
) -> Vec<Vec<Value>> {
    let mut request = request;
    request["pagination"] = json!({ "pageSize": size });
    let mut pages = vec![];
    loop {
        let answer = ask(server, method, request.clone()).await.ok();
        pages.push(answer[name].as_array().cloned().unwrap_or_default());
        let next = &answer["pagination"]["nextToken"];
        if next.is_null() {
            return pages;
        }
        request["pagination"]["token"] = next.clone();
    }
}

/// A request that any of the methods takes, about things that do not exist.
fn request() -> Value {
    json!({ "userId": Uuid::nil(), "ssoConfigurationId": Uuid::nil() })
}

#[test]
fn only_administrators_ask_and_only_tokens_that_may_write_change() {
    run(async {
        let server = Server::start().await;
        let member = server.token(Role::Member, false).await;
        let read_only = server.token(Role::Admin, true).await;
        for method in READS.iter().chain(&QUESTIONS).chain(&[WRITE]) {
            let message = ask_as(&server, &member, method, request())
                .await
                .error("permission_denied");
            assert!(message.contains("administrator"), "{method}: {message}");
            ask_as(&server, "nobody", method, request())
                .await
                .error("unauthenticated");
        }
        for method in READS.iter().chain(&QUESTIONS) {
            let read = ask_as(&server, &read_only, method, request()).await;
            let written = ask(&server, method, request()).await;
            assert_eq!(read.status, written.status, "{method}");
        }
        let message = ask_as(&server, &read_only, WRITE, request())
            .await
            .error("permission_denied");
        assert!(message.contains("read-only"), "{message}");
    });
}

#[test]
fn an_invalid_request_names_each_field_at_fault() {
    run(async {
        let server = Server::start().await;
        for (method, body, fields) in [
            (
                READS[0],
                json!({ "filter": { "scimConfigurationId": "x", "resourceId": "y" } }),
                &["filter.scim_configuration_id", "filter.resource_id"][..],
            ),
            (
                READS[0],
                json!({ "pagination": { "pageSize": 101 } }),
                &["pagination.page_size"],
            ),
            (READS[1], json!({}), &["user_id"]),
            (
                READS[2],
                json!({ "filter": { "ssoConfigurationId": "x", "reference": "y", "outcome": 7 } }),
                &[
                    "filter.sso_configuration_id",
                    "filter.reference",
                    "filter.outcome",
                ],
            ),
            (QUESTIONS[0], json!({}), &["sso_configuration_id"]),
            (
                QUESTIONS[1],
                json!({ "expression": "x".repeat(4097) }),
                &["expression"],
            ),
            (
                WRITE,
                json!({ "userId": "x", "sessionId": "" }),
                &["user_id", "session_id"],
            ),
        ] {
            let reply = ask(&server, method, body.clone()).await;
            assert_eq!(reply.violations(), fields, "{method} {body}");
        }
        for method in READS {
            let request = json!({ "userId": Uuid::nil(), "pagination": { "token": "x" } });
            if method != READS[3] {
                let reply = ask(&server, method, request).await;
                assert_eq!(reply.violations(), ["pagination.token"], "{method}");
            }
        }
    });
}

#[test]
fn reads_take_get_and_what_is_private_or_changes_something_does_not() {
    run(async {
        let server = Server::start().await;
        let get = async |method: &str| {
            let uri = format!("/api/rollcall.v1.{method}?encoding=json&message=%7B%7D");
            let request = Request::builder()
                .method(Method::GET)
                .uri(uri)
                .header(header::AUTHORIZATION, format!("Bearer {}", server.token));
            server.send(request.body(Body::empty()).unwrap()).await
        };
        for method in READS {
            // Of whom sessions are listed is not in the empty message.
            let status = match method {
                "SessionService/ListSessions" => 400,
                _ => 200,
            };
            assert_eq!(get(method).await.status, status, "{method}");
        }
        for method in QUESTIONS.iter().chain(&[WRITE]) {
            assert_eq!(get(method).await.status, 405, "{method}");
        }
    });
}

#[test]
fn the_services_are_served_like_those_of_the_contract() {
    run(async {
        let server = Server::start().await;
        let send = async |path: &str, kind: &str, body: Vec<u8>| {
            let request = Request::post(path)
                .header(header::CONTENT_TYPE, kind)
                .header(header::AUTHORIZATION, format!("Bearer {}", server.token));
            server.send(request.body(Body::from(body)).unwrap()).await
        };
        let path = "/rollcall.v1.StatusService/GetStatus";
        for prefix in ["", "/api", "/api/"] {
            let path = format!("{prefix}{path}");
            send(&path, "application/json", b"{}".to_vec()).await.ok();
        }
        let message = GetStatusRequest::default().encode_to_vec();
        let binary = send(path, "application/proto", message.clone()).await;
        let answer = GetStatusResponse::decode_from_slice(&binary.bytes).unwrap();
        assert_eq!(answer.organization_id, server.organization);
        let framed = [&[0, 0, 0, 0, 0][..], &message].concat();
        let grpc = send(path, "application/grpc", framed).await;
        assert_eq!(grpc.trailers["grpc-status"], "0");
        let uri = format!(
            "{path}?connect=v1&base64=1&encoding=proto&message={}",
            URL_SAFE_NO_PAD.encode(&message)
        );
        let get = Request::get(uri)
            .header(header::AUTHORIZATION, format!("Bearer {}", server.token))
            .body(Body::empty());
        assert_eq!(server.send(get.unwrap()).await.status, 200);

        for path in [
            "/rollcall.v1.StatusService/Nonsense",
            "/api/rollcall.v1.NoService/Nonsense",
        ] {
            let reply = send(path, "application/json", b"{}".to_vec()).await;
            reply.error("unimplemented");
            assert_eq!(reply.headers["x-should-retry"], "false", "{path}");
        }
        assert_eq!(send(path, "text/plain", vec![]).await.status, 415);
        for service in ["Provisioning", "Session", "SignIn", "Status"] {
            let name = format!("rollcall.v1.{service}Service");
            let body = json!({ "service": name }).to_string();
            let health = "/grpc.health.v1.Health/Check";
            let reply = send(health, "application/json", body.into_bytes()).await;
            assert_eq!(reply.ok()["status"], "SERVING", "{name}");
        }
    });
}

#[test]
fn the_rules_of_every_request_message_compile() {
    use proto::rollcall::v1::*;
    use protovalidate_buffa::Validate;

    macro_rules! compiled {
        ($($message:ty),+ $(,)?) => {$(
            if let Err(error) = <$message>::default().validate() {
                assert_eq!((error.compile_error, error.runtime_error), (None, None), stringify!($message));
                assert!(!error.violations.is_empty());
            }
        )+};
    }
    compiled!(
        CheckSSOConfigurationRequest,
        EndSessionsRequest,
        EvaluateClaimsExpressionRequest,
        GetStatusRequest,
        ListProvisioningEventsRequest,
        ListSessionsRequest,
        ListSignInAttemptsRequest,
    );
}
