//! Streams are made, read, changed and deleted.

use http::{Method, header};
use rollcall::domain::identity::Role;
use rollcall::outgoing::{Outgoing, Reach};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{DISABLED, ENABLED, POLL, PUSH, REVOKED, Stream, all_events, ask, ask_as};
use crate::support::{Server, run};

const ISSUER: &str = "https://rollcall.test";

#[test]
fn receivers_find_everything_by_the_well_known_address() {
    run(async {
        let server = Server::start().await;
        let path = "/.well-known/ssf-configuration";
        let reply = ask_as(&server, None, Method::GET, path, &Value::Null).await;
        assert_eq!(reply.headers[header::CONTENT_TYPE], "application/json");
        let whole = json!({
            "spec_version": "1_0",
            "issuer": ISSUER,
            "jwks_uri": format!("{ISSUER}/oauth2/keys"),
            "delivery_methods_supported": [PUSH, POLL],
            "configuration_endpoint": format!("{ISSUER}/ssf/streams"),
            "status_endpoint": format!("{ISSUER}/ssf/status"),
            "add_subject_endpoint": format!("{ISSUER}/ssf/subjects/add"),
            "remove_subject_endpoint": format!("{ISSUER}/ssf/subjects/remove"),
            "verification_endpoint": format!("{ISSUER}/ssf/verify"),
            "authorization_schemes": [{ "spec_urn": "urn:ietf:rfc:6749" }],
            "default_subjects": "ALL",
        });
        assert_eq!(reply.ok(), whole);
        let path = "/.well-known/oauth-protected-resource/ssf";
        let resource = ask_as(&server, None, Method::GET, path, &Value::Null).await;
        let resource = resource.ok();
        assert_eq!(resource["authorization_servers"], json!([ISSUER]));
        assert_eq!(resource["scopes_supported"], json!(["api"]));
    });
}

#[test]
fn a_stream_is_made_read_changed_replaced_and_deleted() {
    run(async {
        let server = Server::start().await;
        let body = json!({
            "delivery": { "method": PUSH, "endpoint_url": "https://receiver.example/in", "authorization_header": "Bearer hunter2-hunter2" },
            "events_requested": [REVOKED, "urn:x"],
            "description": "x".repeat(600),
        });
        let stream = Stream::make(&server, body).await;
        let whole = json!({
            "stream_id": stream.id,
            "iss": ISSUER,
            "aud": format!("{ISSUER}/ssf/streams/{}", stream.id),
            "delivery": { "method": PUSH, "endpoint_url": "https://receiver.example/in" },
            "events_supported": all_events(),
            "events_requested": [REVOKED, "urn:x"],
            "events_delivered": [REVOKED],
            "min_verification_interval": 10,
            "description": "x".repeat(500),
        });
        assert_eq!(stream.made, whole);
        assert_eq!(stream.read().await, whole);
        let all = ask(&server, Method::GET, "/ssf/streams", Value::Null).await;
        assert_eq!(all.headers[header::CACHE_CONTROL], "no-store");
        assert_eq!(all.ok(), json!([whole]));

        // What the transmitter says may be repeated as it is.
        let body = json!({ "aud": [whole["aud"]], "events_delivered": [REVOKED], "iss": ISSUER, "events_requested": [ENABLED, DISABLED] });
        let changed = stream.send(Method::PATCH, "/ssf/streams", body).await.ok();
        assert_eq!(changed["events_delivered"], json!([DISABLED, ENABLED]));
        assert_eq!(changed["description"], whole["description"]);
        assert_eq!(changed["delivery"], whole["delivery"]);
        for (name, wrong) in [
            ("iss", json!("https://other.example")),
            ("aud", json!("https://other.example")),
            ("events_delivered", json!([REVOKED])),
            ("events_supported", json!([])),
            ("min_verification_interval", json!(1)),
            ("inactivity_timeout", json!(1)),
        ] {
            for method in [Method::PATCH, Method::PUT] {
                let body = json!({ name: wrong });
                let refused = stream.send(method, "/ssf/streams", body).await;
                assert_eq!(refused.status, 400, "{name}");
                assert_eq!(refused.json()["err"], "invalid_request");
            }
        }
        // What a replacement does not name is gone.
        let body = json!({ "events_requested": [REVOKED] });
        let replaced = stream.send(Method::PUT, "/ssf/streams", body).await.ok();
        let url = format!("{ISSUER}/ssf/poll/{}", stream.id);
        assert_eq!(
            replaced["delivery"],
            json!({ "method": POLL, "endpoint_url": url })
        );
        assert!(replaced.get("description").is_none());
        assert_eq!(stream.read().await, replaced);
        // As it was read.
        let again = ask(&server, Method::PUT, "/ssf/streams", replaced.clone()).await;
        assert_eq!(again.ok(), replaced);

        let deleted = ask(&server, Method::DELETE, &stream.path(), Value::Null).await;
        assert_eq!(deleted.status, 204);
        assert!(deleted.bytes.is_empty());
        let all = ask(&server, Method::GET, "/ssf/streams", Value::Null).await;
        assert_eq!(all.ok(), json!([]));

        let recorded = server.audit("event_stream").await;
        let actions: Vec<&str> = recorded.iter().map(|(action, ..)| &**action).collect();
        let expected = [
            "CreateEventStream",
            "UpdateEventStream",
            "ReplaceEventStream",
            "ReplaceEventStream",
            "DeleteEventStream",
        ];
        assert_eq!(actions, expected);
        assert_eq!(recorded[0].2["has_authorization_header"], true);
        assert_eq!(recorded[2].2["has_authorization_header"], false);
        assert!(!format!("{recorded:?}").contains("hunter2"));
    });
}

#[test]
fn a_stream_that_says_nothing_is_polled() {
    run(async {
        let server = Server::start().await;
        let stream = Stream::make(&server, json!({})).await;
        assert_eq!(stream.made["delivery"]["method"], POLL);
        let status = format!("/ssf/status?stream_id={}", stream.id);
        let status = ask(&server, Method::GET, &status, Value::Null).await;
        assert_eq!(
            status.ok(),
            json!({ "stream_id": stream.id, "status": "enabled" })
        );
        for status in ["paused", "disabled", "enabled"] {
            stream.set_status(status).await;
        }
        let body = json!({ "status": "on" });
        let refused = stream.send(Method::POST, "/ssf/status", body).await;
        assert_eq!(refused.status, 400);
    });
}

#[test]
fn what_is_no_configuration_is_refused() {
    run(async {
        let server = Server::start().await;
        for body in [
            json!([]),
            json!({ "delivery": { "method": "urn:x" } }),
            json!({ "delivery": { "method": PUSH } }),
            json!({ "delivery": { "method": PUSH, "endpoint_url": "no" } }),
            json!({ "events_requested": [1] }),
            json!({ "description": 1 }),
            json!({ "description": "a\0b" }),
        ] {
            let refused = ask(&server, Method::POST, "/ssf/streams", body.clone()).await;
            assert_eq!(refused.status, 400, "{body}");
        }
        let token = server.token.clone();
        for method in [Method::POST, Method::PATCH, Method::PUT] {
            let broken = http::Request::builder()
                .method(method)
                .uri("/ssf/streams")
                .header(header::AUTHORIZATION, format!("Bearer {token}"))
                .body(axum::body::Body::from(";{ broken"));
            assert_eq!(server.send(broken.unwrap()).await.status, 400);
        }
        let unnamed = ask(&server, Method::PATCH, "/ssf/streams", json!({})).await;
        assert_eq!(unnamed.status, 400);
        let unnamed = ask(&server, Method::DELETE, "/ssf/streams", Value::Null).await;
        assert_eq!(unnamed.status, 400);
        let stream = Stream::make(&server, json!({})).await;
        let elsewhere =
            json!({ "delivery": { "method": POLL, "endpoint_url": "https://a.example/" } });
        let refused = stream.send(Method::PATCH, "/ssf/streams", elsewhere).await;
        assert_eq!(refused.status, 400);
    });
}

/// Every request on a stream.
fn requests(id: &str) -> Vec<(Method, String, Value)> {
    let named = |path: &str| format!("{path}?stream_id={id}");
    let subject = json!({ "format": "email", "email": "a@b.example" });
    vec![
        (Method::GET, named("/ssf/streams"), Value::Null),
        (
            Method::PATCH,
            "/ssf/streams".to_owned(),
            json!({ "stream_id": id }),
        ),
        (
            Method::PUT,
            "/ssf/streams".to_owned(),
            json!({ "stream_id": id }),
        ),
        (Method::DELETE, named("/ssf/streams"), Value::Null),
        (Method::GET, named("/ssf/status"), Value::Null),
        (
            Method::POST,
            "/ssf/status".to_owned(),
            json!({ "stream_id": id, "status": "disabled" }),
        ),
        (
            Method::POST,
            "/ssf/subjects/add".to_owned(),
            json!({ "stream_id": id, "subject": subject }),
        ),
        (
            Method::POST,
            "/ssf/subjects/remove".to_owned(),
            json!({ "stream_id": id, "subject": subject }),
        ),
        (
            Method::POST,
            "/ssf/verify".to_owned(),
            json!({ "stream_id": id }),
        ),
        (
            Method::POST,
            format!("/ssf/poll/{id}"),
            json!({ "returnImmediately": true, "ack": ["x"] }),
        ),
        (
            Method::POST,
            format!("/ssf/poll/{id}"),
            json!({ "returnImmediately": true, "maxEvents": 0 }),
        ),
    ]
}

#[test]
fn attack_another_organizations_stream_is_not_there() {
    run(async {
        let server = Server::start().await;
        let stream = Stream::polled(&server, &[REVOKED]).await;
        let before = stream.read().await;
        let neighbour = server.neighbour().await;
        for id in [&*stream.id, &Uuid::nil().to_string(), "no-id"] {
            for (method, path, body) in requests(id) {
                let reply = ask(&neighbour, method.clone(), &path, body).await;
                assert_eq!(reply.status, 404, "{method} {path}");
                let whole = json!({ "err": "not_found", "description": "no such event stream in this organization" });
                assert_eq!(reply.json(), whole, "{method} {path}");
            }
        }
        let all = ask(&neighbour, Method::GET, "/ssf/streams", Value::Null).await;
        assert_eq!(all.ok(), json!([]));
        assert_eq!(stream.read().await, before);
        // A token of ours does not work with another organization's name either.
        let mut named = http::Request::get("/ssf/streams");
        named = named
            .header(header::AUTHORIZATION, format!("Bearer {}", neighbour.token))
            .header("rollcall-organization", &server.organization);
        let reply = server
            .send(named.body(axum::body::Body::empty()).unwrap())
            .await;
        assert_eq!(reply.status, 403);
    });
}

#[test]
fn attack_only_administrators_have_streams() {
    run(async {
        let server = Server::start().await;
        let stream = Stream::polled(&server, &[REVOKED]).await;
        let before = stream.read().await;
        let member = server.token(Role::Member, false).await;
        let operator = server.operator_token().await;
        let mut all = requests(&stream.id);
        all.push((Method::GET, "/ssf/streams".to_owned(), Value::Null));
        all.push((Method::POST, "/ssf/streams".to_owned(), json!({})));
        let metadata =
            format!("resource_metadata=\"{ISSUER}/.well-known/oauth-protected-resource/ssf\"");
        for (method, path, body) in &all {
            let bad = server.token.replace("rc", "xx");
            for token in [None, Some(""), Some("invalid:1"), Some(&*bad)] {
                let reply = ask_as(&server, token, method.clone(), path, body).await;
                assert_eq!(reply.status, 401, "{method} {path} {token:?}");
                let challenge = reply.headers[header::WWW_AUTHENTICATE].to_str().unwrap();
                assert!(challenge.starts_with("Bearer ") && challenge.contains(&metadata));
                assert_eq!(reply.json()["err"], "invalid_token");
            }
            for token in [&member, &operator] {
                let reply = ask_as(&server, Some(token), method.clone(), path, body).await;
                assert_eq!(reply.status, 403, "{method} {path}");
                let challenge = reply.headers[header::WWW_AUTHENTICATE].to_str().unwrap();
                assert!(challenge.contains("insufficient_scope"), "{challenge}");
            }
        }
        // A token that may only read reads, and neither changes nor acknowledges anything.
        let reader = server.token(Role::Admin, true).await;
        for (method, path, body) in &all {
            let reads = *method == Method::GET || body.get("maxEvents").is_some();
            let reply = ask_as(&server, Some(&reader), method.clone(), path, body).await;
            assert_eq!(
                reply.status,
                if reads { 200 } else { 403 },
                "{method} {path}"
            );
        }
        assert_eq!(stream.read().await, before);
        assert_eq!(server.audit("event_stream").await.len(), 1);
        // In an organization that it names, an operator may.
        let request = http::Request::get("/ssf/streams")
            .header(header::AUTHORIZATION, format!("Bearer {operator}"))
            .header("rollcall-organization", &server.organization)
            .body(axum::body::Body::empty());
        assert_eq!(server.send(request.unwrap()).await.ok(), json!([before]));
    });
}

#[test]
fn attack_large_bodies_and_many_streams_are_refused() {
    run(async {
        let server = Server::start().await;
        let body = json!({ "description": "x".repeat(300 * 1_024) });
        let refused = ask(&server, Method::POST, "/ssf/streams", body).await;
        assert_eq!(refused.status, 413);
        let events = vec!["urn:x"; 101];
        let refused = ask(
            &server,
            Method::POST,
            "/ssf/streams",
            json!({ "events_requested": events }),
        )
        .await;
        assert_eq!(refused.status, 400);
        for _ in 0..100 {
            Stream::make(&server, json!({})).await;
        }
        let refused = ask(&server, Method::POST, "/ssf/streams", json!({})).await;
        assert_eq!(refused.status, 409);
        let all = ask(&server, Method::GET, "/ssf/streams", Value::Null).await;
        assert_eq!(all.ok().as_array().unwrap().len(), 100);
    });
}

#[test]
fn attack_tokens_are_not_sent_into_the_network_of_the_server() {
    run(async {
        let server = Server::start_with(|app| {
            app.outgoing = Outgoing::new(Reach::default()).unwrap();
        })
        .await;
        for url in [
            "http://receiver.example/",
            "https://127.0.0.1/",
            "https://169.254.169.254/latest",
            "https://10.0.0.1:8443/",
            "https://[::1]/",
            "file:///etc/passwd",
            "https://user:secret@receiver.example/",
        ] {
            let body = json!({ "delivery": { "method": PUSH, "endpoint_url": url } });
            let refused = ask(&server, Method::POST, "/ssf/streams", body).await;
            assert_eq!(refused.status, 400, "{url}");
        }
        let stream = Stream::make(&server, json!({})).await;
        let body = json!({ "delivery": { "method": PUSH, "endpoint_url": "https://[::ffff:127.0.0.1]/" } });
        let refused = stream.send(Method::PATCH, "/ssf/streams", body).await;
        assert_eq!(refused.status, 400);
    });
}
