//! People as members, and how they sign in.

use axum::body::Body;
use http::{Request, header};
use serde_json::json;

use crate::support::{Reply, Server, run};

async fn call(
    server: &Server,
    token: Option<&str>,
    method: &str,
    body: serde_json::Value,
) -> Reply {
    let mut request = Request::post(format!("/api/gitpod.v1.{method}"))
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    server
        .send(request.body(Body::from(body.to_string())).unwrap())
        .await
}

#[test]
fn a_service_account_is_no_user() {
    run(async {
        let server = Server::start().await;
        let method = "UserService/GetAuthenticatedUser";
        let message = call(&server, Some(&server.token), method, json!({}))
            .await
            .error("failed_precondition");
        assert!(message.contains("no person"), "{message}");
        call(&server, None, method, json!({}))
            .await
            .error("unauthenticated");
    });
}

#[test]
fn ways_to_sign_in_are_asked_for_without_a_token() {
    run(async {
        let server = Server::start().await;
        for method in ["GetSSOLoginURL", "ListSSOLogins"] {
            let method = format!("AccountService/{method}");
            for (wrong, fields) in [
                (
                    json!({ "returnTo": "somewhere" }),
                    vec!["email", "return_to"],
                ),
                (json!({ "email": "ada" }), vec!["email"]),
            ] {
                let refused = call(&server, None, &method, wrong).await;
                assert_eq!(refused.violations(), fields);
            }
        }
        call(&server, None, "AccountService/GetAccount", json!({}))
            .await
            .error("unauthenticated");
    });
}
