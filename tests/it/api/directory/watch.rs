//! Events as they happen.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use chrono::TimeDelta;
use futures_util::StreamExt;
use http::{Request, header};
use serde_json::{Value, json};
use tokio::time::timeout;
use tower::ServiceExt;

use super::{group, member, set_role};
use crate::support::scim::Client;
use crate::support::stream::Stream;
use crate::support::{Server, run};

async fn open(server: &Server, token: &str, request: Value) -> Stream {
    Stream::open(server, "gitpod.v1.EventService/WatchEvents", token, request).await
}

#[test]
fn changes_of_the_organization_are_told_as_they_happen() {
    run(async {
        let c = Client::start().await;
        let server = &c.server;
        let neighbour = server.neighbour().await;
        server.pass(TimeDelta::seconds(1));
        let mut stream = open(server, &server.token, json!({ "organization": true })).await;
        group(&neighbour).await;
        let own = group(server).await;
        c.user("ada@example.com", json!({})).await;
        let made = stream.event().await;
        assert_eq!(
            (
                &made["operation"],
                &made["resourceType"],
                &made["resourceId"]
            ),
            (
                &json!("RESOURCE_OPERATION_CREATE"),
                &json!("RESOURCE_TYPE_GROUP"),
                &json!(own)
            )
        );
        assert_eq!(stream.event().await["resourceType"], "RESOURCE_TYPE_USER");

        // A client that asks again misses nothing of what came after the cursor.
        let third = group(server).await;
        let request = json!({ "organization": true, "after": made["cursor"] });
        let mut again = open(server, &server.token, request).await;
        let mut seen = vec![];
        while !seen.contains(&json!(third)) {
            seen.push(again.event().await["resourceId"].clone());
        }
        assert!(seen.len() >= 2, "{seen:?}");
        assert!(!seen.contains(&json!(neighbour.organization)));
    });
}

/// As two of the published SDKs ask.
#[test]
fn a_request_in_json_is_answered_with_lines() {
    run(async {
        let server = Server::start().await;
        server.pass(TimeDelta::seconds(1));
        let ask = async |content_type: &str, body: &str| {
            let request = Request::post("/api/gitpod.v1.EventService/WatchEvents")
                .header(header::CONTENT_TYPE, content_type)
                .header(header::AUTHORIZATION, format!("Bearer {}", server.token))
                .body(Body::from(body.to_owned()));
            server
                .router
                .clone()
                .oneshot(request.unwrap())
                .await
                .unwrap()
        };
        for content_type in ["application/json", "application/jsonl"] {
            let response = ask(content_type, r#"{"organization": true}"#).await;
            assert_eq!(response.status(), 200);
            assert_eq!(
                response.headers()[header::CONTENT_TYPE],
                "application/jsonl"
            );
            let own = group(&server).await;
            let mut body = response.into_body().into_data_stream();
            let mut text = String::new();
            while !text.contains(&own) {
                let part = timeout(Duration::from_secs(30), body.next()).await;
                let part = part.unwrap().unwrap().unwrap();
                text.push_str(std::str::from_utf8(&part).unwrap());
            }
            for line in text.lines() {
                let event: Value = serde_json::from_str(line).unwrap();
                assert!(event["cursor"].is_string(), "{event}");
            }
        }
        let wrong = ask("application/json", r#"{"after": "nonsense"}"#).await;
        assert_eq!(wrong.status(), 400);
        let text = ask("text/plain", "{}").await;
        assert_eq!(text.status(), 415);
    });
}

#[test]
fn a_filter_lets_through_what_it_names() {
    run(async {
        let server = Server::start().await;
        let (first, second) = (group(&server).await, group(&server).await);
        let filters = json!([{ "resourceType": "RESOURCE_TYPE_GROUP", "resourceIds": [second] }]);
        let request = json!({ "organization": true, "resourceTypeFilters": filters });
        server.pass(TimeDelta::seconds(1));
        let mut stream = open(&server, &server.token, request).await;
        let id = member(&server, "ada").await;
        set_role(&server, &id, "ADMIN").await.ok();
        for group in [&first, &second] {
            let request = json!({ "groupId": group });
            server
                .call_to("GroupService/DeleteGroup", request)
                .await
                .ok();
        }
        let event = stream.event().await;
        assert_eq!(
            (&event["operation"], &event["resourceId"]),
            (&json!("RESOURCE_OPERATION_DELETE"), &json!(second))
        );
    });
}

#[test]
fn a_stream_ends_with_the_access_of_who_reads_it() {
    run(async {
        let server = Server::start().await;
        let request = json!({ "name": "Reader", "validUntil": "2100-01-01T00:00:00Z" });
        let made = server
            .call_to("ServiceAccountService/CreateServiceAccount", request)
            .await
            .ok();
        let id = &made["serviceAccount"]["id"];
        let token = server.service_account_token(id.as_str().unwrap()).await;
        let mut stream = open(&server, &token, json!({ "organization": true })).await;
        let gone = json!({ "serviceAccountId": id });
        server
            .call_to("ServiceAccountService/DeleteServiceAccount", gone)
            .await
            .ok();
        loop {
            let (is_end, message) = stream.next().await;
            if is_end {
                assert_eq!(message["error"]["code"], "unauthenticated", "{message}");
                break;
            }
        }
    });
}

/// A stream that nobody reads keeps no connection to the database: the embedded one is the only one.
#[test]
fn attack_streams_that_nobody_reads() {
    run(async {
        let server = Server::start().await;
        let mut streams = vec![];
        for _ in 0..20 {
            let request = json!({ "organization": true });
            streams.push(open(&server, &server.token, request).await);
        }
        for _ in 0..5 {
            group(&server).await;
        }
        drop(streams);
    });
}

#[test]
fn a_stream_ends_well_when_the_server_is_about_to_stop() {
    run(async {
        let server = Server::start().await;
        let mut stream = open(&server, &server.token, json!({ "organization": true })).await;
        server.app.is_stopping.store(true, Ordering::Relaxed);
        let (is_end, message) = stream.next().await;
        assert!(is_end && message.get("error").is_none(), "{message}");
    });
}

#[test]
fn an_entry_that_appears_late_is_told() {
    run(async {
        let server = Server::start().await;
        let early: uuid::Uuid = server.app.new_id();
        let mut stream = open(&server, &server.token, json!({ "organization": true })).await;
        server.pass(TimeDelta::seconds(1));
        let own = group(&server).await;
        assert_eq!(stream.event().await["resourceId"], *own);
        // As by a transaction that took its time.
        let mut db = server.app.store.acquire().await.unwrap();
        sqlx::query(
            "insert into audit_entries (organization_id, id, created_at, actor_id, actor_principal, action, subject_type, subject_id)
             values ($1, $2, $3, $2, 'user', 'DeleteGroup', 'group', $2)",
        )
        .bind(server.organization_id().as_uuid())
        .bind(early)
        .bind(server.now())
        .execute(&mut *db)
        .await
        .unwrap();
        drop(db);
        let event = stream.event().await;
        assert_eq!(event["resourceId"], early.to_string());
    });
}
