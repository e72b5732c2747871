//! The services of our own, `rollcall.v1`.

mod brands;
mod explain;
mod members;
mod organizations;
mod provisioning;
mod sessions;
mod setup_links;
mod sign_in;
mod status;

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use buffa::Message;
use http::{Request, header};
use proto::rollcall::v1::{GetStatusRequest, GetStatusResponse};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Reply, Server, run};

const READS: [&str; 5] = [
    "ProvisioningService/ListProvisioningEvents",
    "SessionService/ListSessions",
    "SignInService/ListSignInAttempts",
    "StatusService/GetStatus",
    "MemberService/ListMemberGroups",
];
/// Methods that change nothing, but take no GET.
const QUESTIONS: [&str; 4] = [
    "SignInService/CheckIssuer",
    "SignInService/CheckSSOConfiguration",
    "SignInService/EvaluateClaimsExpression",
    "SignInService/ExplainSignIn",
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

#[test]
fn an_invalid_request_names_each_field_at_fault() {
    run(async {
        let server = Server::start().await;
        for (method, body, fields) in [
            (
                READS[0],
                json!({ "filter": { "scimConfigurationId": "x", "resourceId": "y", "userId": "z" } }),
                &[
                    "filter.scim_configuration_id",
                    "filter.resource_id",
                    "filter.user_id",
                ][..],
            ),
            (
                READS[0],
                json!({ "pagination": { "pageSize": 101 } }),
                &["pagination.page_size"],
            ),
            (READS[1], json!({}), &["user_id"]),
            (
                READS[2],
                json!({ "filter": { "ssoConfigurationId": "x", "reference": "y", "outcome": 7, "userId": "z" } }),
                &[
                    "filter.sso_configuration_id",
                    "filter.reference",
                    "filter.outcome",
                    "filter.user_id",
                ],
            ),
            (READS[4], json!({ "userId": "x" }), &["user_id"]),
            (QUESTIONS[0], json!({}), &["issuer_url"]),
            (QUESTIONS[1], json!({}), &["sso_configuration_id"]),
            (
                QUESTIONS[2],
                json!({ "expression": "x".repeat(4097) }),
                &["expression"],
            ),
            (QUESTIONS[3], json!({ "userId": "x" }), &["user_id"]),
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
        for service in ["Member", "Provisioning", "Session", "SignIn", "Status"] {
            let name = format!("rollcall.v1.{service}Service");
            let body = json!({ "service": name }).to_string();
            let health = "/grpc.health.v1.Health/Check";
            let reply = send(health, "application/json", body.into_bytes()).await;
            assert_eq!(reply.ok()["status"], "SERVING", "{name}");
        }
    });
}
