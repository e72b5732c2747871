//! Webhooks: what is sent, in which order, and what becomes of what is not taken.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chrono::TimeDelta;
use http::{HeaderMap, StatusCode};
use rollcall::outgoing::{Outgoing, Reach};
use serde_json::{Value, json};

use super::{deliver, later};
use crate::api::methods::{call, join};
use crate::support::scim::Client;
use crate::support::{Reply, Server, merge, run};

/// What an address does with what it gets.
type Behaviour = Arc<Mutex<Box<dyn FnMut(&Value) -> Response + Send>>>;

#[derive(Clone)]
struct Address {
    got: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
    behaviour: Behaviour,
}

impl Address {
    /// An address that takes everything.
    async fn start() -> (String, Self) {
        let address = Self {
            got: Arc::default(),
            behaviour: Arc::new(Mutex::new(Box::new(|_| {
                StatusCode::NO_CONTENT.into_response()
            }))),
        };
        let take = async |State(address): State<Self>, headers: HeaderMap, body: Bytes| {
            address.got.lock().unwrap().push((headers, body.clone()));
            let body = serde_json::from_slice(&body).unwrap();
            (address.behaviour.lock().unwrap())(&body)
        };
        let router = Router::new().fallback(take).with_state(address.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hooks", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (url, address)
    }

    fn answers(&self, behaviour: impl FnMut(&Value) -> Response + Send + 'static) {
        *self.behaviour.lock().unwrap() = Box::new(behaviour);
    }

    fn answers_with(&self, status: StatusCode) {
        self.answers(move |_| status.into_response());
    }

    fn bodies(&self) -> Vec<Value> {
        let got = self.got.lock().unwrap();
        got.iter()
            .map(|(_, body)| serde_json::from_slice(body).unwrap())
            .collect()
    }

    /// The names of members, and the types of other events, in the order in which they came.
    fn told(&self) -> Vec<String> {
        let names = self
            .bodies()
            .into_iter()
            .map(|body| match body["data"]["name"].as_str() {
                Some(name) => name.to_owned(),
                None => body["type"].as_str().unwrap().to_owned(),
            });
        names.collect()
    }
}

async fn ask_as(server: &Server, token: &str, method: &str, body: Value) -> Reply {
    let path = format!("rollcall.v1.WebhookService/{method}");
    call(server, &path, Some(token), &body).await
}

async fn ask(server: &Server, method: &str, body: Value) -> Value {
    ask_as(server, &server.token, method, body).await.ok()
}

/// Makes a webhook, and returns it and its secret.
async fn create(server: &Server, url: &str, more: Value) -> (Value, String) {
    let mut request = json!({ "url": url, "types": ["member.*"] });
    merge(&mut request, more);
    let mut made = ask(server, "CreateWebhook", request).await;
    let secret = made["secret"].as_str().unwrap().to_owned();
    (made["webhook"].take(), secret)
}

fn about(webhook: &Value) -> Value {
    json!({ "webhookId": webhook["id"] })
}

async fn deliveries(server: &Server, webhook: &Value) -> Vec<Value> {
    let found = ask(server, "ListWebhookDeliveries", about(webhook)).await;
    found["deliveries"].as_array().cloned().unwrap_or_default()
}

/// The signature that a secret makes (Standard Webhooks, "Signature scheme").
fn signature(secret: &str, headers: &HeaderMap, body: &Bytes) -> String {
    use hmac::{Hmac, KeyInit, Mac};
    let key = STANDARD
        .decode(secret.strip_prefix("whsec_").unwrap())
        .unwrap();
    let text = |name: &str| headers[name].to_str().unwrap();
    let mac = Hmac::<sha2::Sha256>::new_from_slice(&key)
        .unwrap()
        .chain_update(format!(
            "{}.{}.",
            text("webhook-id"),
            text("webhook-timestamp")
        ))
        .chain_update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[test]
fn events_are_sent_signed_and_each_has_a_line() {
    run(async {
        let c = Client::start().await;
        let server = &c.server;
        let (url, address) = Address::start().await;
        let (webhook, secret) = create(server, &url, json!({})).await;
        assert_eq!(webhook["enabled"], true);
        let user = c.push("ada@example.com").await;
        c.set_active(&user, false).await;
        server.sso("not wanted").await;
        deliver(server).await;
        let got = address.got.lock().unwrap().clone();
        let types: Vec<Value> = address
            .bodies()
            .iter()
            .map(|body| body["type"].clone())
            .collect();
        assert_eq!(types, ["member.created", "member.suspended"]);
        for (headers, body) in &got {
            assert_eq!(headers["content-type"], "application/json");
            assert_eq!(
                headers["webhook-signature"],
                signature(&secret, headers, body)
            );
            let body: Value = serde_json::from_slice(body).unwrap();
            assert_eq!(headers["webhook-id"], *body["id"].as_str().unwrap());
            assert_eq!(body["organization_id"], *server.organization);
            assert_eq!(body["actor"]["type"], "scim_configuration");
            assert_eq!(body["subject"]["id"], body["data"]["id"]);
        }
        let lines = deliveries(server, &webhook).await;
        let types: Vec<&Value> = lines.iter().map(|line| &line["eventType"]).collect();
        assert_eq!(types, ["member.suspended", "member.created"]);
        for line in &lines {
            assert_eq!(line["status"], "DELIVERY_STATUS_DELIVERED");
            assert_eq!(
                (&line["httpStatus"], &line["tries"]),
                (&json!(204), &json!(1))
            );
        }
        deliver(server).await;
        assert_eq!(address.bodies().len(), 2, "nothing is sent twice");
    });
}

#[test]
fn what_is_not_taken_waits_with_what_follows_and_nothing_else_does() {
    run(async {
        let server = Server::start().await;
        let c = Client::of(Arc::new(server.clone()), json!({})).await;
        let (url, address) = Address::start().await;
        let (webhook, _) = create(&server, &url, json!({})).await;
        address.answers(|body| match body["data"]["name"] == "Bad" {
            true => (StatusCode::INTERNAL_SERVER_ERROR, "no ".repeat(1_000)).into_response(),
            false => StatusCode::OK.into_response(),
        });
        let bad = c
            .user("bad@example.com", json!({ "displayName": "Bad" }))
            .await;
        let rename = json!([{ "op": "replace", "path": "displayName", "value": "Better" }]);
        c.patch(&crate::support::scim::path(&bad), rename)
            .await
            .is(200);
        c.user("good@example.com", json!({ "displayName": "Good" }))
            .await;
        deliver(&server).await;
        assert_eq!(sorted(address.told()), ["Bad", "Good"]);
        let lines = deliveries(&server, &webhook).await;
        let status = |line: &Value| line["status"].as_str().unwrap().to_owned();
        assert_eq!(
            lines.iter().map(status).collect::<Vec<_>>(),
            [
                "DELIVERY_STATUS_DELIVERED",
                "DELIVERY_STATUS_WAITING",
                "DELIVERY_STATUS_WAITING"
            ]
        );
        assert_eq!(lines[2]["answer"].as_str().unwrap().len(), 1024);
        assert_eq!(lines[2]["httpStatus"], 500);
        assert!(lines[2].get("nextTryAt").is_some());
        assert_eq!(
            lines[1].get("nextTryAt"),
            None,
            "it waits for the one before it"
        );
        deliver(&server).await;
        assert_eq!(address.bodies().len(), 2, "not at once");
        address.answers_with(StatusCode::OK);
        later(&server, TimeDelta::seconds(6)).await;
        deliver(&server).await;
        assert_eq!(address.told()[2..], ["Bad", "Better"]);
        for line in deliveries(&server, &webhook).await {
            assert_eq!(status(&line), "DELIVERY_STATUS_DELIVERED");
        }
    });
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

#[test]
fn an_event_is_parked_after_three_days_and_others_go_on() {
    run(async {
        let server = Server::start().await;
        let (url, address) = Address::start().await;
        let (webhook, _) = create(&server, &url, json!({})).await;
        address.answers(|body| match body["data"]["name"] == "Bad" {
            true => StatusCode::BAD_REQUEST.into_response(),
            false => StatusCode::OK.into_response(),
        });
        join(&server, "bad@example.com", "Bad").await;
        deliver(&server).await;
        for _ in 0..40 {
            later(&server, TimeDelta::hours(3)).await;
            join(&server, &server.new_domain(), "Good").await;
            deliver(&server).await;
        }
        let tries = address.told().iter().filter(|name| *name == "Bad").count();
        assert!((20..=40).contains(&tries), "{tries}");
        let parked = json!({ "webhookId": webhook["id"], "status": "DELIVERY_STATUS_PARKED" });
        let parked = ask(&server, "ListWebhookDeliveries", parked).await;
        let [line] = &parked["deliveries"].as_array().unwrap()[..] else {
            panic!("{parked}");
        };
        assert_eq!(line["tries"], tries);
        let found = ask(&server, "GetWebhook", about(&webhook)).await;
        assert_eq!(found["webhook"]["enabled"], true);

        // It is sent again when somebody asks for it.
        address.answers_with(StatusCode::OK);
        let again = json!({ "webhookId": webhook["id"], "eventId": line["eventId"] });
        assert_eq!(
            ask(&server, "ReplayWebhookDeliveries", again).await["count"],
            1
        );
        deliver(&server).await;
        assert_eq!(address.told().last().unwrap(), "Bad");
    });
}

#[test]
fn an_address_that_is_down_is_left_alone_and_loses_nothing() {
    run(async {
        let server = Server::start().await;
        let (url, address) = Address::start().await;
        let (webhook, _) = create(&server, &url, json!({})).await;
        address.answers_with(StatusCode::SERVICE_UNAVAILABLE);
        for number in 0..300 {
            join(
                &server,
                &format!("{number}@example.com"),
                &format!("{number:03}"),
            )
            .await;
        }
        deliver(&server).await;
        let calls = address.bodies().len();
        assert!((10..=110).contains(&calls), "{calls}");
        deliver(&server).await;
        assert_eq!(address.bodies().len(), calls, "it has a pause");
        let found = ask(&server, "GetWebhook", about(&webhook)).await;
        assert!(found["webhook"].get("failingSince").is_some());
        later(&server, TimeDelta::hours(1)).await;
        deliver(&server).await;
        assert_eq!(
            address.bodies().len(),
            calls + 1,
            "one call looks whether it is back"
        );

        address.answers_with(StatusCode::OK);
        address.got.lock().unwrap().clear();
        later(&server, TimeDelta::hours(1)).await;
        deliver(&server).await;
        let expected: Vec<String> = (0..300).map(|number| format!("{number:03}")).collect();
        assert_eq!(sorted(address.told()), expected);
        let found = ask(&server, "GetWebhook", about(&webhook)).await;
        assert_eq!(found["webhook"].get("failingSince"), None);
    });
}

#[test]
fn refusals_in_a_row_keep_nothing_else_back() {
    run(async {
        let server = Server::start().await;
        let (url, address) = Address::start().await;
        create(&server, &url, json!({})).await;
        let refuse_bad = |body: &Value| match body["data"]["name"] == "Bad" {
            true => StatusCode::BAD_REQUEST.into_response(),
            false => StatusCode::OK.into_response(),
        };
        address.answers(refuse_bad);
        for number in 0..20 {
            join(&server, &format!("{number}@bad.example"), "Bad").await;
        }
        deliver(&server).await;
        join(&server, "anna@example.com", "Anna").await;
        later(&server, TimeDelta::hours(1)).await;
        deliver(&server).await;
        assert!(address.told().contains(&"Anna".to_owned()));

        // Some of what waits after an outage is taken, although not the first.
        address.answers_with(StatusCode::SERVICE_UNAVAILABLE);
        for number in 0..20 {
            join(&server, &format!("{number}@example.com"), "Good").await;
        }
        later(&server, TimeDelta::hours(1)).await;
        deliver(&server).await;
        address.answers(refuse_bad);
        address.got.lock().unwrap().clear();
        for _ in 0..3 {
            later(&server, TimeDelta::hours(1)).await;
            deliver(&server).await;
        }
        let told = address.told();
        assert_eq!(told.iter().filter(|name| *name == "Good").count(), 20);
    });
}

#[test]
fn an_address_that_fails_for_a_day_is_switched_off_and_says_so() {
    run(async {
        let server = Server::start().await;
        let (url, address) = Address::start().await;
        let (webhook, _) = create(&server, &url, json!({})).await;
        let (other, heard) = Address::start().await;
        create(&server, &other, json!({ "types": ["webhook.updated"] })).await;
        address.answers_with(StatusCode::INTERNAL_SERVER_ERROR);
        join(&server, "anna@example.com", "Anna").await;
        for _ in 0..10 {
            deliver(&server).await;
            later(&server, TimeDelta::hours(3)).await;
        }
        let found = ask(&server, "GetWebhook", about(&webhook)).await;
        assert_eq!(found["webhook"].get("enabled"), None);
        let reason = found["webhook"]["disabledReason"].as_str().unwrap();
        assert!(reason.contains("for a day"), "{reason}");
        deliver(&server).await;
        let told = &heard.bodies()[0];
        assert_eq!(told["data"]["disabled_reason"], reason);
        assert_eq!(told["previous"]["enabled"], true);

        // Switched on again, it goes on where it was.
        join(&server, "berta@example.com", "Berta").await;
        address.answers_with(StatusCode::OK);
        address.got.lock().unwrap().clear();
        let on = json!({ "webhookId": webhook["id"], "enabled": true });
        ask(&server, "UpdateWebhook", on).await;
        later(&server, TimeDelta::hours(3)).await;
        deliver(&server).await;
        assert_eq!(sorted(address.told()), ["Anna", "Berta"]);
    });
}

#[test]
fn an_address_that_is_gone_is_switched_off_at_once() {
    run(async {
        let server = Server::start().await;
        let (url, address) = Address::start().await;
        let (webhook, _) = create(&server, &url, json!({})).await;
        address.answers_with(StatusCode::GONE);
        join(&server, "anna@example.com", "Anna").await;
        deliver(&server).await;
        let found = ask(&server, "GetWebhook", about(&webhook)).await;
        assert_eq!(found["webhook"].get("enabled"), None);
    });
}

#[test]
fn two_secrets_sign_while_one_is_replaced() {
    run(async {
        let server = Server::start().await;
        let (url, address) = Address::start().await;
        let (webhook, first) = create(&server, &url, json!({})).await;
        let rotate = json!({ "webhookId": webhook["id"], "keepPreviousFor": "3600s" });
        let rotated = ask(&server, "RotateWebhookSecret", rotate).await;
        let second = rotated["secret"].as_str().unwrap();
        let signatures = |address: &Address| {
            let got = address.got.lock().unwrap();
            let (headers, body) = got.last().unwrap();
            let expected = [second, &first].map(|secret| signature(secret, headers, body));
            let found = headers["webhook-signature"].to_str().unwrap().to_owned();
            (found, expected)
        };
        join(&server, "anna@example.com", "Anna").await;
        deliver(&server).await;
        let (found, expected) = signatures(&address);
        assert_eq!(found, expected.join(" "));
        server.pass(TimeDelta::hours(2));
        join(&server, "berta@example.com", "Berta").await;
        deliver(&server).await;
        let (found, expected) = signatures(&address);
        assert_eq!(found, expected[0]);
    });
}

#[test]
fn events_of_a_time_are_sent_again_also_those_that_nobody_sent() {
    run(async {
        let server = Server::start().await;
        join(&server, "anna@example.com", "Anna").await;
        let (url, address) = Address::start().await;
        let (webhook, _) = create(&server, &url, json!({})).await;
        join(&server, "berta@example.com", "Berta").await;
        deliver(&server).await;
        assert_eq!(address.told(), ["Berta"]);
        let since = json!({ "webhookId": webhook["id"], "startTime": "2020-01-01T00:00:00Z" });
        let replayed = ask(&server, "ReplayWebhookDeliveries", since).await;
        assert_eq!(replayed["count"], 2);
        deliver(&server).await;
        assert_eq!(sorted(address.told()[1..].to_vec()), ["Anna", "Berta"]);
        let none = json!({
            "webhookId": webhook["id"], "startTime": "2020-01-01T00:00:00Z", "endTime": "2021-01-01T00:00:00Z",
        });
        assert_eq!(
            ask(&server, "ReplayWebhookDeliveries", none)
                .await
                .get("count"),
            None
        );
        let neither = ask_as(
            &server,
            &server.token,
            "ReplayWebhookDeliveries",
            about(&webhook),
        )
        .await;
        neither.error("invalid_argument");
    });
}

#[test]
fn what_is_to_be_sent_anyway_is_not_sent_before_its_turn() {
    run(async {
        let server = Server::start().await;
        let (url, address) = Address::start().await;
        let (webhook, _) = create(&server, &url, json!({})).await;
        join(&server, "anna@example.com", "Anna").await;
        let mut db = server.app.store.acquire().await.unwrap();
        sqlx::query(
            "update users set name = 'Better' where organization_id = $1 and name = 'Anna'",
        )
        .bind(server.organization_id().as_uuid())
        .execute(&mut *db)
        .await
        .unwrap();
        drop(db);
        let found = super::page(&server, "", json!({})).await;
        let second = found["events"].as_array().unwrap().last().unwrap();
        let since = json!({ "webhookId": webhook["id"], "startTime": second["time"] });
        let replayed = ask(&server, "ReplayWebhookDeliveries", since.clone()).await;
        assert_eq!(replayed.get("count"), None);
        deliver(&server).await;
        assert_eq!(address.told(), ["Anna", "Better"]);
        let replayed = ask(&server, "ReplayWebhookDeliveries", since).await;
        assert_eq!(replayed["count"], 1);
        deliver(&server).await;
        assert_eq!(address.told(), ["Anna", "Better", "Better"]);
    });
}

#[test]
fn a_test_event_is_sent_at_once_and_its_answer_shown() {
    run(async {
        let server = Server::start().await;
        let (url, address) = Address::start().await;
        let (webhook, secret) = create(&server, &url, json!({})).await;
        let sent = ask(&server, "SendTestEvent", about(&webhook)).await;
        assert_eq!(
            (&sent["delivered"], &sent["httpStatus"]),
            (&json!(true), &json!(204))
        );
        assert_eq!(address.bodies()[0]["type"], "test");
        let (headers, body) = address.got.lock().unwrap()[0].clone();
        assert_eq!(
            headers["webhook-signature"],
            signature(&secret, &headers, &body)
        );
        address.answers(|_| (StatusCode::FOUND, "elsewhere").into_response());
        let sent = ask(&server, "SendTestEvent", about(&webhook)).await;
        assert_eq!(sent.get("delivered"), None);
        assert_eq!(
            (&sent["httpStatus"], &sent["answer"]),
            (&json!(302), &json!("elsewhere"))
        );
    });
}

#[test]
fn a_receiver_that_asks_for_a_break_has_one() {
    run(async {
        let server = Server::start().await;
        let (url, address) = Address::start().await;
        create(&server, &url, json!({})).await;
        address.answers(|_| {
            let headers = [(http::header::RETRY_AFTER, "600")];
            (StatusCode::TOO_MANY_REQUESTS, headers).into_response()
        });
        join(&server, "anna@example.com", "Anna").await;
        deliver(&server).await;
        assert_eq!(address.told(), ["Anna"]);
        address.answers_with(StatusCode::OK);
        join(&server, "berta@example.com", "Berta").await;
        later(&server, TimeDelta::seconds(300)).await;
        deliver(&server).await;
        assert_eq!(address.told(), ["Anna"], "Berta would be too much, too");
        later(&server, TimeDelta::seconds(310)).await;
        deliver(&server).await;
        assert_eq!(sorted(address.told()[1..].to_vec()), ["Anna", "Berta"]);
    });
}

#[test]
fn what_an_address_says_is_not_held_against_the_one_that_follows() {
    run(async {
        let server = Server::start().await;
        let (next, heard) = Address::start().await;
        // While the first address is called, the webhook gets another one.
        let webhook: Arc<Mutex<Value>> = Arc::default();
        let take = {
            let (server, webhook) = (server.clone(), webhook.clone());
            async move || {
                let mut change = about(&webhook.lock().unwrap());
                merge(&mut change, json!({ "url": next }));
                ask(&server, "UpdateWebhook", change).await;
                StatusCode::GONE
            }
        };
        let router = Router::new().fallback(take);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let first = format!("http://{}/hooks", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });

        let made = create(&server, &first, json!({})).await.0;
        *webhook.lock().unwrap() = made.clone();
        join(&server, "anna@example.com", "Anna").await;
        deliver(&server).await;
        let found = ask(&server, "GetWebhook", about(&made)).await;
        assert_eq!(found["webhook"]["enabled"], true);
        later(&server, TimeDelta::seconds(6)).await;
        deliver(&server).await;
        assert_eq!(heard.told(), ["Anna"]);
    });
}

#[test]
fn one_that_is_never_taken_does_not_keep_back_more_than_are_remembered() {
    run(async {
        let server = Server::start().await;
        join(&server, "bad@example.com", "Bad").await;
        for number in 0..20 {
            join(&server, &format!("{number}@example.com"), "Good").await;
        }
        let mut db = server.app.store.acquire().await.unwrap();
        for _ in 0..510 {
            sqlx::query("update users set name = name || '.' where organization_id = $1 and name like 'Good%'")
                .bind(server.organization_id().as_uuid())
                .execute(&mut *db)
                .await
                .unwrap();
        }
        drop(db);
        let (url, address) = Address::start().await;
        let (webhook, _) = create(&server, &url, json!({})).await;
        address.answers(|body| match body["data"]["name"] == "Bad" {
            true => StatusCode::BAD_REQUEST.into_response(),
            false => StatusCode::OK.into_response(),
        });
        let since = json!({ "webhookId": webhook["id"], "startTime": "2020-01-01T00:00:00Z" });
        let replayed = ask(&server, "ReplayWebhookDeliveries", since).await;
        assert_eq!(replayed["count"], 1 + 20 + 20 * 510);
        join(&server, "new@example.com", "New").await;
        deliver(&server).await;
        let waiting = json!({ "webhookId": webhook["id"], "status": "DELIVERY_STATUS_WAITING" });
        let waiting = ask(&server, "ListWebhookDeliveries", waiting).await;
        assert_eq!(waiting["deliveries"].as_array().unwrap().len(), 1);
        assert!(address.told().contains(&"New".to_owned()));
    });
}

#[test]
fn another_process_goes_on_where_one_died_and_the_dead_one_writes_nothing() {
    run(async {
        let server = Server::start().await;
        let (url, address) = Address::start().await;
        let (webhook, _) = create(&server, &url, json!({})).await;
        join(&server, "anna@example.com", "Anna").await;
        let mut db = server.app.store.acquire().await.unwrap();
        let taken = "update receivers set lease_owner = '00000000-0000-0000-0000-000000000007', lease_until = statement_timestamp() + interval '6 seconds'
             where organization_id = $1";
        sqlx::query(taken)
            .bind(server.organization_id().as_uuid())
            .execute(&mut *db)
            .await
            .unwrap();
        drop(db);
        deliver(&server).await;
        assert!(address.bodies().is_empty(), "another process has it");
        later(&server, TimeDelta::seconds(7)).await;
        deliver(&server).await;
        assert_eq!(address.told(), ["Anna"]);

        // One that lost its lease while an address was slow does not write over what the other one wrote.
        join(&server, "berta@example.com", "Berta").await;
        let stolen = server.clone();
        address.answers(move |_| {
            let server = stolen.clone();
            tokio::spawn(async move {
                let mut db = server.app.store.acquire().await.unwrap();
                sqlx::query("update receivers set lease_owner = '00000000-0000-0000-0000-000000000007' where organization_id = $1")
                    .bind(server.organization_id().as_uuid())
                    .execute(&mut *db)
                    .await
                    .unwrap();
            });
            StatusCode::OK.into_response()
        });
        while deliveries(&server, &webhook).await.len() < 2 {
            deliver(&server).await;
            later(&server, TimeDelta::seconds(7)).await;
            address.answers_with(StatusCode::OK);
        }
        let berta = address
            .told()
            .iter()
            .filter(|name| *name == "Berta")
            .count();
        assert!((1..=2).contains(&berta), "at least once: {berta}");
    });
}

#[test]
fn what_breaks_a_rule_is_told() {
    run(async {
        let server = Server::start().await;
        let good = "https://app.example.com/hooks";
        for (url, types) in [
            ("app.example.com", json!([])),
            ("ftp://app.example.com", json!([])),
            ("https://user:pass@app.example.com", json!([])),
            (good, json!(["member"])),
            (good, json!(["nonsense.created"])),
        ] {
            let request = json!({ "url": url, "types": types });
            let refused = ask_as(&server, &server.token, "CreateWebhook", request).await;
            refused.error("invalid_argument");
        }
        for _ in 0..20 {
            create(&server, good, json!({})).await;
        }
        let one_more = ask_as(
            &server,
            &server.token,
            "CreateWebhook",
            json!({ "url": good }),
        )
        .await;
        one_more.error("failed_precondition");
    });
}

#[test]
fn attack_an_address_inside_is_not_called() {
    run(async {
        let server = Server::start_with(|app| {
            app.outgoing = Outgoing::new(Reach::default()).unwrap();
        })
        .await;
        for url in [
            "http://app.example.com",
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://169.254.169.254/latest",
        ] {
            let request = json!({ "url": url });
            let refused = ask_as(&server, &server.token, "CreateWebhook", request).await;
            refused.error("invalid_argument");
        }
        // A name is resolved when it is called.
        let (webhook, _) = create(&server, "https://localhost/", json!({})).await;
        let sent = ask(&server, "SendTestEvent", about(&webhook)).await;
        assert_eq!(sent.get("delivered"), None);
        assert_eq!(sent.get("httpStatus"), None);
    });
}

#[test]
fn attack_webhooks_of_another_organization() {
    run(async {
        let server = Server::start().await;
        let (url, address) = Address::start().await;
        let (webhook, secret) = create(&server, &url, json!({})).await;
        let stranger = server.neighbour().await;
        for (method, more) in [
            ("GetWebhook", json!({})),
            ("UpdateWebhook", json!({ "url": "https://evil.example" })),
            ("DeleteWebhook", json!({})),
            ("RotateWebhookSecret", json!({})),
            ("SendTestEvent", json!({})),
            ("ListWebhookDeliveries", json!({})),
            (
                "ReplayWebhookDeliveries",
                json!({ "startTime": "2020-01-01T00:00:00Z" }),
            ),
        ] {
            let mut request = about(&webhook);
            merge(&mut request, more);
            let refused = ask_as(&server, &stranger.token, method, request.clone()).await;
            refused.error("not_found");
            let member = server
                .token(rollcall::domain::identity::Role::Member, false)
                .await;
            let refused = ask_as(&server, &member, method, request).await;
            refused.error("permission_denied");
        }
        let listed = ask_as(&server, &stranger.token, "ListWebhooks", json!({}))
            .await
            .ok();
        assert_eq!(listed.get("webhooks"), None);
        join(&stranger, "anna@example.com", "Anna").await;
        deliver(&server).await;
        assert!(address.bodies().is_empty());
        let listed = ask(&server, "ListWebhooks", json!({})).await;
        assert!(!listed.to_string().contains(&secret));
    });
}

#[test]
fn an_operator_hears_of_all_organizations() {
    run(async {
        let server = Server::start().await;
        let operator = server.operator_token().await;
        let request = json!({ "url": "https://fleet.example/hooks", "types": ["member.created"] });
        let made = ask_as(&server, &operator, "CreateWebhook", request).await;
        if server.app.store.is_distributed() {
            made.error("failed_precondition");
            return;
        }
        let made = made.ok();
        join(&server, "anna@example.com", "Anna").await;
        let listed = ask_as(&server, &operator, "ListWebhooks", json!({}))
            .await
            .ok();
        let ids: Vec<&Value> = listed["webhooks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| &one["id"])
            .collect();
        assert!(ids.contains(&&made["webhook"]["id"]));
        let hidden = ask(&server, "ListWebhooks", json!({})).await;
        assert_eq!(hidden.get("webhooks"), None);
        let gone = about(&made["webhook"]);
        ask_as(&server, &operator, "DeleteWebhook", gone).await.ok();
    });
}

#[test]
fn addresses_that_hang_have_a_bounded_number_of_calls_and_hold_up_no_other() {
    run(async {
        let server = Server::start().await;
        let calls: Arc<AtomicUsize> = Arc::default();
        let hang = {
            let calls = calls.clone();
            async move || {
                calls.fetch_add(1, Ordering::Relaxed);
                std::future::pending::<StatusCode>().await
            }
        };
        let router = Router::new().fallback(hang);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hanging = format!("http://{}/hooks", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        for _ in 0..6 {
            create(&server, &hanging, json!({})).await;
        }
        let (url, address) = Address::start().await;
        create(&server, &url, json!({})).await;
        for number in 0..120 {
            join(&server, &format!("{number}@example.com"), "Anna").await;
        }
        let sending = tokio::spawn({
            let server = server.clone();
            async move { deliver(&server).await }
        });
        while address.told().len() < 120 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert!(!sending.is_finished());
        }
        let calls = calls.load(Ordering::Relaxed);
        sending.abort();
        assert!(calls <= 200 + 6 * 5, "{calls}");
    });
}
