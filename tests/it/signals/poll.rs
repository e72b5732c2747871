//! Receivers ask for their tokens (RFC 8936).

use chrono::TimeDelta;
use http::Method;
use serde_json::{Value, json};

use super::{DISABLED, ENABLED, POLL, Stream, VERIFICATION, ask, types};
use crate::support::run;
use crate::support::scim::{Client, path};

#[test]
fn a_token_comes_again_until_it_is_acknowledged() {
    run(async {
        let c = Client::start().await;
        let user = path(&c.user("ada@example.com", json!({})).await);
        let stream = Stream::polled(&c.server, &[DISABLED, ENABLED]).await;
        for active in [false, true, false] {
            c.set_active(&user, active).await;
        }
        let first = stream.poll(json!({ "maxEvents": 2 })).await;
        assert_eq!(first["moreAvailable"], true);
        let claims = stream.claims(&first).await;
        assert_eq!(types(&claims), [DISABLED, ENABLED]);
        let again = stream.poll(json!({ "maxEvents": 2 })).await;
        assert_eq!(types(&stream.claims(&again).await), [DISABLED, ENABLED]);
        // The second alone: the first comes again, and the second does not.
        let second = &claims[1]["jti"];
        let left = stream
            .poll(json!({ "ack": [second, "nonsense", second] }))
            .await;
        assert_eq!(left["moreAvailable"], false);
        let left = stream.claims(&left).await;
        assert_eq!(types(&left), [DISABLED, DISABLED]);
        assert_eq!(left[0]["jti"], claims[0]["jti"]);
        // Acknowledged alone, and refused.
        let alone = json!({ "ack": [claims[0]["jti"]], "maxEvents": 0 });
        let alone = stream.poll(alone).await;
        assert_eq!(alone, json!({ "sets": {}, "moreAvailable": true }));
        let last = left[1]["jti"].as_str().unwrap();
        let refused =
            json!({ "setErrs": { last: { "err": "invalid_request", "description": "no" } } });
        let none = stream.poll(refused).await;
        assert_eq!(none, json!({ "sets": {}, "moreAvailable": false }));
        let mut db = c.server.app.store.acquire().await.unwrap();
        let kept: Vec<String> =
            sqlx::query_scalar("select taken from event_streams where id = $1::uuid")
                .bind(&stream.id)
                .fetch_one(&mut *db)
                .await
                .unwrap();
        assert!(
            kept.is_empty(),
            "nothing is kept of what is behind the cursor"
        );
    });
}

#[test]
fn a_receiver_waits_for_the_next_token() {
    run(async {
        let c = Client::start().await;
        let user = path(&c.user("ada@example.com", json!({})).await);
        let stream = Stream::polled(&c.server, &[DISABLED]).await;
        let waiting = {
            let stream = stream.clone();
            tokio::spawn(async move { stream.poll(json!({ "returnImmediately": false })).await })
        };
        tokio::task::yield_now().await;
        c.set_active(&user, false).await;
        let told = waiting.await.unwrap();
        assert_eq!(types(&stream.claims(&told).await), [DISABLED]);
    });
}

#[test]
fn attack_whoever_waits_and_loses_access_gets_nothing() {
    run(async {
        let c = Client::start().await;
        let user = path(&c.user("ada@example.com", json!({})).await);
        let mut stream = Stream::polled(&c.server, &[DISABLED]).await;
        let account = json!({ "name": "Receiver", "validUntil": "2100-01-01T00:00:00Z" });
        let account = c
            .server
            .call_to("ServiceAccountService/CreateServiceAccount", account)
            .await
            .ok();
        let account = account["serviceAccount"]["id"].as_str().unwrap().to_owned();
        let mut db = c.server.app.store.acquire().await.unwrap();
        sqlx::query("update service_accounts set role = 'admin' where id = $1::uuid")
            .bind(&account)
            .execute(&mut *db)
            .await
            .unwrap();
        drop(db);
        stream.server.token = c.server.service_account_token(&account).await;
        let waiting = {
            let stream = stream.clone();
            let path = format!("/ssf/poll/{}", stream.id);
            tokio::spawn(async move { ask(&stream.server, Method::POST, &path, json!({})).await })
        };
        // It has begun to wait when its token was used.
        let used = "select count(*) from api_tokens where service_account_id = $1::uuid and last_used_at is not null";
        loop {
            let mut db = c.server.app.store.acquire().await.unwrap();
            let used: i64 = sqlx::query_scalar(used)
                .bind(&account)
                .fetch_one(&mut *db)
                .await
                .unwrap();
            if used > 0 {
                break;
            }
            drop(db);
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let mut db = c.server.app.store.acquire().await.unwrap();
        sqlx::query("update service_accounts set suspended_at = now() where id = $1::uuid")
            .bind(&account)
            .execute(&mut *db)
            .await
            .unwrap();
        drop(db);
        c.set_active(&user, false).await;
        assert_eq!(waiting.await.unwrap().status, 401);
    });
}

#[test]
fn a_stream_verifies_itself_and_not_too_often() {
    run(async {
        let c = Client::start().await;
        let stream = Stream::polled(&c.server, &[]).await;
        let verified = stream.verify("state-1").await;
        assert_eq!(verified.status, 204);
        assert!(verified.bytes.is_empty());
        let throttled = stream.verify("state-2").await;
        assert_eq!(throttled.status, 429);
        assert_eq!(throttled.headers["retry-after"], "10");
        c.server.pass(TimeDelta::seconds(10));
        assert_eq!(stream.verify("state-3").await.status, 204);
        let told = stream.take().await;
        assert_eq!(types(&told), [VERIFICATION, VERIFICATION]);
        for (claims, state) in told.iter().zip(["state-1", "state-3"]) {
            let subject = json!({ "format": "opaque", "id": stream.id });
            assert_eq!(claims["sub_id"], subject);
            assert_eq!(claims["events"][VERIFICATION], json!({ "state": state }));
        }
        c.server.pass(TimeDelta::seconds(10));
        let none = stream.send(Method::POST, "/ssf/verify", json!({})).await;
        assert_eq!(none.status, 204);
        let told = stream.take().await;
        assert_eq!(told[0]["events"][VERIFICATION], json!({}));
        let long = stream.verify(&"x".repeat(2_000)).await;
        assert_eq!(long.status, 400);
        stream.set_status("disabled").await;
        c.server.pass(TimeDelta::seconds(10));
        assert_eq!(stream.verify("state-4").await.status, 400);
    });
}

#[test]
fn a_stream_that_is_paused_keeps_its_tokens_and_one_that_is_disabled_does_not() {
    run(async {
        let c = Client::start().await;
        let user = path(&c.user("ada@example.com", json!({})).await);
        let stream = Stream::polled(&c.server, &[DISABLED, ENABLED]).await;
        stream.set_status("paused").await;
        c.set_active(&user, false).await;
        assert_eq!(stream.verify("state").await.status, 204);
        assert!(stream.take().await.is_empty());
        stream.set_status("enabled").await;
        let told = stream.take().await;
        assert_eq!(told.len(), 2);
        assert!(types(&told).contains(&DISABLED) && types(&told).contains(&VERIFICATION));
        stream.set_status("disabled").await;
        c.set_active(&user, true).await;
        assert!(stream.take().await.is_empty());
        stream.set_status("enabled").await;
        assert!(stream.take().await.is_empty());
        c.set_active(&user, false).await;
        assert_eq!(types(&stream.take().await), [DISABLED]);
    });
}

#[test]
fn attack_acknowledging_anything_fills_no_table() {
    run(async {
        let c = Client::start().await;
        let user = path(&c.user("ada@example.com", json!({})).await);
        let stream = Stream::polled(&c.server, &[DISABLED]).await;
        c.set_active(&user, false).await;
        let names: Vec<String> = (0..1_000)
            .map(|number| format!("made-up-{number}"))
            .collect();
        let left = stream.poll(json!({ "ack": names })).await;
        assert_eq!(left["sets"].as_object().unwrap().len(), 1);
        let mut db = c.server.app.store.acquire().await.unwrap();
        let kept: Vec<String> =
            sqlx::query_scalar("select taken from event_streams where id = $1::uuid")
                .bind(&stream.id)
                .fetch_one(&mut *db)
                .await
                .unwrap();
        assert!(kept.is_empty());
        drop(db);
        let path = format!("/ssf/poll/{}", stream.id);
        for body in [
            json!({ "ack": (0..1_001).map(|number| number.to_string()).collect::<Vec<_>>() }),
            json!({ "ack": "x" }),
            json!({ "ack": [1] }),
            json!({ "setErrs": [] }),
            json!({ "maxEvents": -1 }),
            json!({ "maxEvents": "1" }),
            json!({ "returnImmediately": 1 }),
            json!([]),
        ] {
            let refused = ask(&c.server, Method::POST, &path, body.clone()).await;
            assert_eq!(refused.status, 400, "{body}");
        }
        let empty = json!({ "maxEvents": 0 });
        assert_eq!(ask(&c.server, Method::POST, &path, empty).await.status, 200);
        assert_eq!(stream.read().await["delivery"]["method"], POLL);
        let _: Value = stream.poll(json!({})).await;
    });
}
