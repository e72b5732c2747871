//! `WatchEvents`.

use std::sync::atomic::Ordering;

use chrono::TimeDelta;
use rollcall::domain::identity::Role;
use serde_json::{Value, json};

use super::{Reader, ask};
use crate::api::methods::join;
use crate::support::stream::Stream;
use crate::support::{Server, run};

async fn watch(server: &Server, token: &str, request: Value) -> Stream {
    Stream::open(
        server,
        "rollcall.v1.EventService/WatchEvents",
        token,
        request,
    )
    .await
}

/// How a stream ends, whatever it tells before.
async fn end(stream: &mut Stream) -> Value {
    loop {
        let (is_end, message) = stream.next().await;
        if is_end {
            return message["error"]["code"].clone();
        }
    }
}

#[test]
fn events_are_streamed_and_a_reader_goes_on_behind_each() {
    run(async {
        let server = Server::start().await;
        join(&server, "before@example.com", "Before").await;
        let cursor = Reader::start(&server).await.cursor;
        let mut stream = watch(&server, &server.token, json!({ "cursor": cursor })).await;
        let names = ["Anna", "Berta", "Cesar"];
        for name in names {
            join(&server, &format!("{name}@example.com"), name).await;
        }
        let mut cursors = vec![];
        for name in names {
            let told = stream.event().await;
            assert_eq!(told["event"]["data"]["name"], name);
            cursors.push(told["cursor"].clone());
        }
        let request = json!({ "cursor": cursors[0] });
        let mut again = watch(&server, &server.token, request).await;
        assert_eq!(again.event().await["event"]["data"]["name"], "Berta");
        let rest = ask(&server, "ListEvents", json!({ "cursor": cursors[1] })).await;
        let rest = rest.ok()["events"].clone();
        assert_eq!(rest.as_array().unwrap().len(), 1, "{rest}");

        server.app.is_stopping.store(true, Ordering::Relaxed);
        assert_eq!(end(&mut stream).await, Value::Null);
    });
}

#[test]
fn a_stream_without_a_cursor_begins_now_and_has_what_is_asked_for() {
    run(async {
        let server = Server::start().await;
        join(&server, "before@example.com", "Before").await;
        let request = json!({ "types": ["member.created"] });
        let mut stream = watch(&server, &server.token, request).await;
        server.sso("wiki").await;
        join(&server, "anna@example.com", "Anna").await;
        assert_eq!(stream.event().await["event"]["data"]["name"], "Anna");
    });
}

#[test]
fn attack_stream_that_goes_on_after_its_reader_lost_the_role_or_the_token() {
    run(async {
        let server = Server::start().await;
        let account = server.with_role("ORG_ADMIN").await;
        let mut stream = watch(&server, &account, json!({})).await;
        join(&server, "anna@example.com", "Anna").await;
        assert_eq!(stream.event().await["event"]["data"]["name"], "Anna");
        let request = json!({});
        let roles = server.call_to("GroupService/ListRoleAssignments", request);
        let role = roles.await.ok()["assignments"][0]["id"].clone();
        let request = json!({ "assignmentId": role });
        server
            .call_to("GroupService/DeleteRoleAssignment", request)
            .await
            .ok();
        server.pass(TimeDelta::seconds(6));
        assert_eq!(end(&mut stream).await, "permission_denied");

        let token = server.token(Role::Admin, false).await;
        let mut stream = watch(&server, &token, json!({})).await;
        let mut db = server.app.store.acquire().await.unwrap();
        let revoked =
            "update api_tokens set revoked_at = now() where organization_id = $1 and id <> $2";
        let own = rollcall::domain::token::Token::parse(
            rollcall::domain::token::TokenKind::Api,
            &server.token,
        );
        sqlx::query(revoked)
            .bind(server.organization_id().as_uuid())
            .bind(own.unwrap().id())
            .execute(&mut *db)
            .await
            .unwrap();
        drop(db);
        server.pass(TimeDelta::seconds(6));
        assert_eq!(end(&mut stream).await, "unauthenticated");
    });
}
