//! Tokens are sent to their receivers (RFC 8935).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use chrono::TimeDelta;
use http::{HeaderMap, Method, StatusCode};
use rollcall::app::App;
use rollcall::events::push;
use rollcall::outgoing::dns::Dns;
use rollcall::outgoing::{self, Outgoing, Reach};
use rollcall::provisioning::keys::forget;
use rollcall::secrets::keys;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{DISABLED, ENABLED, PUSH, Stream, UPDATED, VERIFICATION, types};
use crate::support::run;
use crate::support::scim::{Client, path};

/// The turn of those who push: what is due is sent for all organizations, by whose clock it may be.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

type Heard = Vec<(HeaderMap, String)>;

/// A receiver, and what it answers.
#[derive(Clone)]
struct Receiver {
    url: String,
    heard: Arc<Mutex<Heard>>,
    answer: Arc<Mutex<(StatusCode, String)>>,
    pause: Arc<Mutex<Duration>>,
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: String) -> Response {
    receiver.heard.lock().unwrap().push((headers, body));
    let pause = *receiver.pause.lock().unwrap();
    tokio::time::sleep(pause).await;
    receiver.answer.lock().unwrap().clone().into_response()
}

impl Receiver {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self {
            url: format!("http://{}/in", listener.local_addr().unwrap()),
            heard: Arc::default(),
            answer: Arc::new(Mutex::new((StatusCode::ACCEPTED, String::new()))),
            pause: Arc::default(),
        };
        let router = Router::new()
            .route("/in", post(take))
            .with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        receiver
    }

    fn answers(&self, status: u16, body: Value) {
        let status = StatusCode::from_u16(status).unwrap();
        *self.answer.lock().unwrap() = (status, body.to_string());
    }

    /// A stream that tells it of these events.
    async fn stream(&self, c: &Client, header: Option<&str>, events: &[&str]) -> Stream {
        let body = json!({
            "delivery": { "method": PUSH, "endpoint_url": self.url, "authorization_header": header },
            "events_requested": events,
        });
        Stream::make(&c.server, body).await
    }

    /// What it heard since, with the header that came with it.
    async fn heard(&self, stream: &Stream) -> Vec<(Option<String>, Value)> {
        let heard = std::mem::take(&mut *self.heard.lock().unwrap());
        let mut all = vec![];
        for (headers, token) in heard {
            assert_eq!(headers["content-type"], "application/secevent+jwt");
            assert_eq!(headers["accept"], "application/json");
            let header = headers.get("authorization");
            let header = header.map(|value| value.to_str().unwrap().to_owned());
            all.push((header, stream.verified(&token).await));
        }
        all
    }

    async fn types(&self, stream: &Stream) -> Vec<String> {
        let heard = self.heard(stream).await;
        let claims: Vec<Value> = heard.into_iter().map(|(_, claims)| claims).collect();
        types(&claims).into_iter().map(str::to_owned).collect()
    }
}

async fn delete(stream: &Stream) {
    let path = stream.path();
    let deleted = super::ask(&stream.server, Method::DELETE, &path, Value::Null).await;
    assert_eq!(deleted.status, 204);
}

#[test]
fn tokens_are_sent_in_order_with_the_header_of_the_receiver() {
    run(async {
        let _turn = TURN.lock().await;
        let c = Client::start().await;
        let user = path(&c.user("ada@example.com", json!({})).await);
        let receiver = Receiver::start().await;
        let header = Some("Bearer push-secret");
        let stream = receiver.stream(&c, header, &[DISABLED, ENABLED]).await;
        for active in [false, true, false] {
            c.set_active(&user, active).await;
        }
        assert_eq!(stream.verify("the-state").await.status, 204);
        assert!(push::deliver(&c.server.app).await.unwrap() >= 4);
        let heard = receiver.heard(&stream).await;
        assert!(heard.iter().all(|(sent, _)| sent.as_deref() == header));
        let claims: Vec<Value> = heard.into_iter().map(|(_, claims)| claims).collect();
        assert_eq!(types(&claims), [VERIFICATION, DISABLED, ENABLED, DISABLED]);
        assert_eq!(claims[0]["events"][VERIFICATION]["state"], "the-state");
        // Once.
        push::deliver(&c.server.app).await.unwrap();
        assert!(receiver.heard(&stream).await.is_empty());
        // Without the header, if there is none any more.
        let delivery = json!({ "method": PUSH, "endpoint_url": receiver.url });
        let body = json!({ "delivery": delivery, "events_requested": [ENABLED] });
        stream.send(Method::PUT, "/ssf/streams", body).await.ok();
        c.set_active(&user, true).await;
        push::deliver(&c.server.app).await.unwrap();
        let heard = receiver.heard(&stream).await;
        assert_eq!(heard.len(), 1);
        assert_eq!(heard[0].0, None);
    });
}

#[test]
fn attack_a_header_is_not_sent_to_another_address_and_stands_nowhere() {
    run(async {
        let _turn = TURN.lock().await;
        let c = Client::start().await;
        let user = path(&c.user("ada@example.com", json!({})).await);
        let (first, second) = (Receiver::start().await, Receiver::start().await);
        let stream = first
            .stream(&c, Some("Bearer push-secret"), &[DISABLED, ENABLED])
            .await;
        let shown = format!(
            "{} {:?}",
            stream.read().await,
            c.server.audit("event_stream").await
        );
        assert!(!shown.contains("push-secret"), "{shown}");
        let sealed: Vec<u8> = {
            let mut db = c.server.app.store.acquire().await.unwrap();
            sqlx::query_scalar("select authorization_header from event_streams where id = $1::uuid")
                .bind(&stream.id)
                .fetch_one(&mut *db)
                .await
                .unwrap()
        };
        assert!(!String::from_utf8_lossy(&sealed).contains("push-secret"));
        // What leaves the address as it is keeps the header.
        let same = json!({ "delivery": { "method": PUSH, "endpoint_url": first.url }, "description": "x" });
        stream.send(Method::PATCH, "/ssf/streams", same).await.ok();
        c.set_active(&user, false).await;
        push::deliver(&c.server.app).await.unwrap();
        let heard = first.heard(&stream).await;
        assert_eq!(heard[0].0.as_deref(), Some("Bearer push-secret"));
        let other = json!({ "delivery": { "method": PUSH, "endpoint_url": second.url } });
        stream.send(Method::PATCH, "/ssf/streams", other).await.ok();
        c.set_active(&user, true).await;
        push::deliver(&c.server.app).await.unwrap();
        assert!(first.heard(&stream).await.is_empty());
        let heard = second.heard(&stream).await;
        assert_eq!(heard.len(), 1);
        assert_eq!(heard[0].0, None);
    });
}

#[test]
fn what_a_receiver_does_not_take_is_sent_again_and_what_it_refuses_is_not() {
    run(async {
        let _turn = TURN.lock().await;
        let c = Client::start().await;
        let user = path(&c.user("ada@example.com", json!({})).await);
        let receiver = Receiver::start().await;
        let stream = receiver.stream(&c, None, &[DISABLED, ENABLED]).await;
        c.set_active(&user, false).await;
        c.set_active(&user, true).await;
        let mut names = vec![];
        for (status, body) in [
            (503, json!({})),
            (400, json!({})),
            (
                400,
                json!({ "err": "authentication_failed", "description": "who?" }),
            ),
            (302, json!({})),
        ] {
            receiver.answers(status, body);
            push::deliver(&c.server.app).await.unwrap();
            let heard = receiver.heard(&stream).await;
            assert_eq!(heard.len(), 1, "it is tried, and the next one waits");
            names.push(heard[0].1["jti"].clone());
            push::deliver(&c.server.app).await.unwrap();
            assert!(receiver.heard(&stream).await.is_empty(), "not at once");
            c.server.pass(TimeDelta::seconds(9));
        }
        names.dedup();
        assert_eq!(names.len(), 1, "the same token");
        receiver.answers(
            400,
            json!({ "err": "invalid_request", "description": "no" }),
        );
        push::deliver(&c.server.app).await.unwrap();
        assert_eq!(receiver.types(&stream).await, [DISABLED, ENABLED]);
        receiver.answers(202, json!({}));
        push::deliver(&c.server.app).await.unwrap();
        assert!(receiver.heard(&stream).await.is_empty());
    });
}

#[test]
fn a_receiver_that_is_slow_holds_up_no_other() {
    run(async {
        let _turn = TURN.lock().await;
        let c = Client::start().await;
        let user = path(&c.user("ada@example.com", json!({})).await);
        let (slow, fast) = (Receiver::start().await, Receiver::start().await);
        *slow.pause.lock().unwrap() = Duration::from_secs(3_600);
        let of_slow = slow.stream(&c, None, &[DISABLED]).await;
        c.set_active(&user, false).await;
        let app = c.server.app.clone();
        let pushing = tokio::spawn(async move { push::deliver(&app).await });
        while slow.heard(&of_slow).await.is_empty() {
            tokio::task::yield_now().await;
        }
        // The one that comes now is served while the other one is waited for.
        let of_fast = fast.stream(&c, None, &[ENABLED]).await;
        c.set_active(&user, true).await;
        while fast.heard(&of_fast).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert!(!pushing.is_finished());
        }
        pushing.abort();
        delete(&of_slow).await;
    });
}

#[test]
fn attack_replicas_send_a_token_once() {
    run(async {
        let _turn = TURN.lock().await;
        let c = Client::start().await;
        let user = path(&c.user("ada@example.com", json!({})).await);
        let receiver = Receiver::start().await;
        *receiver.pause.lock().unwrap() = Duration::from_millis(50);
        let stream = receiver.stream(&c, None, &[DISABLED, ENABLED]).await;
        for active in [false, true, false, true] {
            c.set_active(&user, active).await;
        }
        let replicas: Vec<_> = (0..4).map(|_| c.server.replica()).collect();
        let all = replicas.iter().map(|replica| push::deliver(&replica.app));
        futures_util::future::join_all(all).await;
        let expected = [DISABLED, ENABLED, DISABLED, ENABLED];
        assert_eq!(receiver.types(&stream).await, expected);
    });
}

#[test]
fn a_process_that_died_leaves_its_stream_to_another() {
    run(async {
        let _turn = TURN.lock().await;
        let c = Client::start().await;
        let user = path(&c.user("ada@example.com", json!({})).await);
        let receiver = Receiver::start().await;
        *receiver.pause.lock().unwrap() = Duration::from_secs(3_600);
        let stream = receiver.stream(&c, None, &[DISABLED]).await;
        c.set_active(&user, false).await;
        let app = c.server.app.clone();
        let pushing = tokio::spawn(async move { push::deliver(&app).await });
        while receiver.heard(&stream).await.is_empty() {
            tokio::task::yield_now().await;
        }
        pushing.abort();
        *receiver.pause.lock().unwrap() = Duration::ZERO;
        push::deliver(&c.server.app).await.unwrap();
        assert!(
            receiver.heard(&stream).await.is_empty(),
            "it may still be at work"
        );
        c.server.pass(TimeDelta::seconds(61));
        push::deliver(&c.server.app).await.unwrap();
        assert_eq!(receiver.types(&stream).await, [DISABLED]);
    });
}

#[test]
fn a_stream_that_is_paused_sends_nothing_until_it_is_enabled() {
    run(async {
        let _turn = TURN.lock().await;
        let c = Client::start().await;
        let user = path(&c.user("ada@example.com", json!({})).await);
        let receiver = Receiver::start().await;
        let stream = receiver.stream(&c, None, &[DISABLED, ENABLED]).await;
        for (status, expected) in [("paused", vec![DISABLED, ENABLED]), ("disabled", vec![])] {
            stream.set_status(status).await;
            c.set_active(&user, false).await;
            c.set_active(&user, true).await;
            push::deliver(&c.server.app).await.unwrap();
            assert!(receiver.heard(&stream).await.is_empty());
            stream.set_status("enabled").await;
            push::deliver(&c.server.app).await.unwrap();
            assert_eq!(receiver.types(&stream).await, expected, "{status}");
        }
    });
}

#[test]
fn attack_a_name_that_leads_into_the_network_of_the_server_is_not_sent_to() {
    run(async {
        let _turn = TURN.lock().await;
        let guard = |app: &mut App| {
            let settings = outgoing::Settings {
                reach: Reach::default(),
                dns: Dns::new(vec![]),
                ..outgoing::Settings::default()
            };
            app.outgoing = Outgoing::with(settings).unwrap();
        };
        let c = Client::start().await;
        let guarded = c.server.replica_with(guard);
        let receiver = Receiver::start().await;
        let user = path(&c.user("ada@example.com", json!({})).await);
        let port = receiver
            .url
            .rsplit_once(':')
            .unwrap()
            .1
            .split_once('/')
            .unwrap()
            .0;
        // A name is looked at when a token is sent: it may lead elsewhere then.
        let url = format!("https://localhost:{port}/in");
        let delivery = json!({ "method": PUSH, "endpoint_url": url });
        let body = json!({ "delivery": delivery, "events_requested": [DISABLED] });
        let stream = Stream::make(&guarded, body).await;
        c.set_active(&user, false).await;
        push::deliver(&guarded.app).await.unwrap();
        let failures = "select failures from event_streams where id = $1::uuid";
        let mut db = c.server.app.store.acquire().await.unwrap();
        let failures: i32 = sqlx::query_scalar(failures)
            .bind(&stream.id)
            .fetch_one(&mut *db)
            .await
            .unwrap();
        drop(db);
        assert_eq!(failures, 1);
        assert!(receiver.heard.lock().unwrap().is_empty());
        delete(&stream).await;
    });
}

#[test]
fn a_stream_whose_header_is_lost_is_paused_and_says_why() {
    run(async {
        let _turn = TURN.lock().await;
        let c = Client::start().await;
        let id = format!("lost-{}", c.server.app.new_id::<Uuid>().simple());
        let lost = c.server.replica_with(|app| {
            app.keys = keys::generate(&id, &app.random).parse().unwrap();
        });
        let user = path(&c.user("ada@example.com", json!({})).await);
        let receiver = Receiver::start().await;
        let delivery = json!({ "method": PUSH, "endpoint_url": receiver.url, "authorization_header": "Bearer secret" });
        let body = json!({ "delivery": delivery, "events_requested": [DISABLED] });
        let mut stream = Stream::make(&lost, body).await;
        stream.server = (*c.server).clone();
        c.set_active(&user, false).await;
        // Nobody sends what cannot be opened, and nothing goes out without it.
        push::deliver(&c.server.app).await.unwrap();
        assert!(receiver.heard(&stream).await.is_empty());

        let app = &c.server.app;
        let forgotten = forget(app, &app.keys, &id).await.unwrap();
        let ids: Vec<String> = forgotten.streams.iter().map(|s| s.id.to_string()).collect();
        assert_eq!(ids, [&*stream.id]);
        let status = format!("/ssf/status?stream_id={}", stream.id);
        let status = super::ask(&c.server, Method::GET, &status, Value::Null)
            .await
            .ok();
        assert_eq!(status["status"], "paused");
        assert!(status["reason"].as_str().unwrap().contains("was lost"));
        push::deliver(&c.server.app).await.unwrap();
        let heard = receiver.heard(&stream).await;
        assert_eq!(heard.len(), 1);
        let told = &heard[0].1["events"][UPDATED];
        assert_eq!(told["status"], "paused");
        assert_eq!(told["reason"], status["reason"]);
        assert_eq!(
            heard[0].1["sub_id"],
            json!({ "format": "opaque", "id": stream.id })
        );

        let delivery = json!({ "method": PUSH, "endpoint_url": receiver.url, "authorization_header": "Bearer again" });
        let body = json!({ "delivery": delivery });
        stream.send(Method::PATCH, "/ssf/streams", body).await.ok();
        stream.set_status("enabled").await;
        push::deliver(&c.server.app).await.unwrap();
        let heard = receiver.heard(&stream).await;
        assert_eq!(heard[0].0.as_deref(), Some("Bearer again"));
        assert!(
            heard[0].1["events"].get(DISABLED).is_some(),
            "nothing is lost"
        );
    });
}
