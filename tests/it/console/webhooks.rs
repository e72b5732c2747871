//! Webhooks.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use http::StatusCode;
use serde_json::{Value, json};

use super::support::{MARKUP, Visitor, ask, between, is_escaped};
use crate::api::methods::join;
use crate::events::deliver;
use crate::support::{Server, run};

async fn webhooks(server: &Server) -> Vec<Value> {
    let found = ask(server, "rollcall.v1.WebhookService/ListWebhooks", json!({})).await;
    found["webhooks"].as_array().cloned().unwrap_or_default()
}

/// An address that answers with a status and markup.
async fn receiver(status: StatusCode) -> (String, Arc<Mutex<u32>>) {
    let count = Arc::new(Mutex::new(0));
    let take = async move |State(count): State<Arc<Mutex<u32>>>| {
        *count.lock().unwrap() += 1;
        (status, MARKUP.repeat(4))
    };
    let router = Router::new().fallback(take).with_state(count.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hooks", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, count)
}

async fn make(server: &Server, visitor: &mut Visitor<'_>, url: &str) -> String {
    let form = [("url", url), ("hears", "some"), ("type", "member.*")];
    let made = visitor.post("webhooks/new", &form).await;
    assert_eq!(made.status, 200, "{}", made.text());
    let id = webhooks(server).await.pop().unwrap()["id"].take();
    id.as_str().unwrap().to_owned()
}

#[test]
fn a_webhook_is_made_with_a_secret_that_is_shown_once() {
    run(async {
        let server = Server::start().await;
        let mut visitor = Visitor::administrator(&server).await;
        let page = visitor.see("webhooks").await;
        assert!(page.contains("No webhook yet"), "{page}");
        let page = visitor.see("webhooks/new").await;
        // Every type is there, by its noun.
        for (noun, verbs) in rollcall::domain::event::TYPES {
            for verb in verbs.iter().chain(&["*"]) {
                assert!(
                    page.contains(&format!("value=\"{noun}.{verb}\"")),
                    "{noun}.{verb}"
                );
            }
        }
        let form = [
            ("url", "https://app.example.com/hooks"),
            ("description", "Billing"),
            ("hears", "some"),
            ("type", "member.*"),
            ("type", "member.left"),
            ("type", "session.ended"),
        ];
        let page = visitor.post("webhooks/new", &form).await.text();
        let secret = between(&page, "data-copy=\"whsec_", "\"").to_owned();
        let made = webhooks(&server).await.pop().unwrap();
        assert_eq!(made["description"], "Billing");
        assert_eq!(made["types"], json!(["member.*", "session.ended"]));
        let list = visitor.see("webhooks").await;
        for text in [
            "Billing",
            "https://app.example.com/hooks",
            "On",
            "member.*, session.ended",
        ] {
            assert!(list.contains(text), "{text:?} is not in {list}");
        }
        let path = format!("webhooks/{}", made["id"].as_str().unwrap());
        for page in [&*path, &format!("{path}/settings")] {
            let page = visitor.see(page).await;
            assert!(!page.contains(&secret), "{page}");
        }
    });
}

#[test]
fn what_is_wrong_with_a_webhook_is_told_at_its_field_and_nothing_is_lost() {
    run(async {
        let server = Server::start().await;
        let mut visitor = Visitor::administrator(&server).await;
        let mut form = [
            ("url", "mailto:ada@example.com"),
            ("description", "Billing"),
            ("hears", "some"),
            ("type", "member.left"),
        ];
        let page = visitor
            .refused(
                "webhooks/new",
                &form,
                "The address must be an address such as",
            )
            .await;
        for kept in [
            "id=\"url-problem\"",
            "value=\"mailto:ada@example.com\"",
            "value=\"Billing\"",
            "value=\"member.left\" checked",
        ] {
            assert!(page.contains(kept), "{kept:?} is not in {page}");
        }
        form[0].1 = "https://app.example.com/hooks";
        form[3].1 = "member.born";
        let page = visitor
            .refused(
                "webhooks/new",
                &form,
                "“member.born” must be a type of event",
            )
            .await;
        assert!(page.contains("value=\"member.born\" checked"), "{page}");
        // Nothing is not everything.
        visitor
            .refused("webhooks/new", &form[..3], "must have at least one")
            .await;
        assert_eq!(webhooks(&server).await.len(), 0);
        let id = make(&server, &mut visitor, "https://app.example.com/hooks").await;
        let settings = format!("webhooks/{id}/settings");
        visitor.refused(&settings, &form, "“member.born”").await;
        visitor
            .refused(&settings, &form[..3], "must have at least one")
            .await;
        assert_eq!(webhooks(&server).await[0]["types"], json!(["member.*"]));
    });
}

#[test]
fn a_webhook_is_changed_switched_and_deleted() {
    run(async {
        let server = Server::start().await;
        let mut visitor = Visitor::administrator(&server).await;
        let id = make(&server, &mut visitor, "https://app.example.com/hooks").await;
        let path = format!("webhooks/{id}");
        let form = [
            ("url", "https://app.example.com/new"),
            ("description", "Everything"),
            ("hears", "all"),
            ("type", "member.left"),
        ];
        visitor.done(&format!("{path}/settings"), &form).await;
        let now = webhooks(&server).await.pop().unwrap();
        assert_eq!(now["url"], "https://app.example.com/new");
        assert_eq!(now["types"], Value::Null);
        let page = visitor
            .done(&format!("{path}/switch"), &[("to", "off")])
            .await;
        assert!(page.contains("Switch on"), "{page}");
        assert_eq!(webhooks(&server).await[0]["enabled"], Value::Null);
        visitor
            .done(&format!("{path}/switch"), &[("to", "on")])
            .await;
        assert_eq!(webhooks(&server).await[0]["enabled"], true);
        let reply = visitor.post(&format!("{path}/switch"), &[]).await;
        assert_eq!(reply.status, 400);
        visitor.done(&format!("{path}/delete"), &[]).await;
        assert_eq!(webhooks(&server).await.len(), 0);
        assert_eq!(visitor.get(&path).await.status, 404);
    });
}

#[test]
fn a_secret_of_a_webhook_is_replaced() {
    run(async {
        let server = Server::start().await;
        let mut visitor = Visitor::administrator(&server).await;
        let id = make(&server, &mut visitor, "https://app.example.com/hooks").await;
        let path = format!("webhooks/{id}/secret");
        let page = visitor.post(&path, &[("keep", "3600s")]).await.text();
        between(&page, "data-copy=\"whsec_", "\"");
        assert!(page.contains("the secret before signs, too"), "{page}");
        let page = visitor.post(&path, &[("keep", "0s")]).await.text();
        assert!(page.contains("does not sign any more"), "{page}");
        assert_eq!(visitor.post(&path, &[("keep", "8d")]).await.status, 400);
        let location = visitor.get(&path).await.location();
        assert!(location.ends_with(&format!("/webhooks/{id}")), "{location}");
    });
}

#[test]
fn a_test_event_tells_what_came_of_it() {
    run(async {
        let server = Server::start().await;
        let mut visitor = Visitor::administrator(&server).await;
        for (status, text) in [
            (StatusCode::OK, "It arrived"),
            (StatusCode::INTERNAL_SERVER_ERROR, "It was not taken"),
            (StatusCode::FOUND, "Redirects are not followed"),
        ] {
            let (url, count) = receiver(status).await;
            let id = make(&server, &mut visitor, &url).await;
            let page = visitor
                .post(&format!("webhooks/{id}/test"), &[])
                .await
                .text();
            assert!(page.contains(text), "{text:?} is not in {page}");
            assert!(page.contains(&status.as_u16().to_string()), "{page}");
            is_escaped(&page);
            assert_eq!(*count.lock().unwrap(), 1);
        }
        let id = make(&server, &mut visitor, "http://127.0.0.1:1/hooks").await;
        let page = visitor
            .post(&format!("webhooks/{id}/test"), &[])
            .await
            .text();
        assert!(page.contains("Why there is no answer"), "{page}");
    });
}

#[test]
fn what_was_sent_is_shown_filtered_and_sent_again() {
    run(async {
        let server = Server::start().await;
        let mut visitor = Visitor::administrator(&server).await;
        let (url, count) = receiver(StatusCode::IM_A_TEAPOT).await;
        let id = make(&server, &mut visitor, &url).await;
        let path = format!("webhooks/{id}");
        let page = visitor.see(&path).await;
        assert!(page.contains("Nothing sent yet"), "{page}");
        join(&server, &format!("ada@{}", server.new_domain()), "Ada").await;
        deliver(&server).await;
        let page = visitor.see(&path).await;
        for text in [
            "member.created",
            "Waiting",
            "status <strong>418</strong>",
            "sent once",
        ] {
            assert!(page.contains(text), "{text:?} is not in {page}");
        }
        is_escaped(&page);
        let event = between(&page, "name=\"event\" value=\"", "\"").to_owned();
        let page = visitor.see(&format!("{path}?state=waiting")).await;
        assert!(page.contains(&event), "{page}");
        let page = visitor.see(&format!("{path}?state=parked")).await;
        assert!(page.contains("None of these"), "{page}");
        // One, and all of a time.
        let sent = |count: &Mutex<u32>| *count.lock().unwrap();
        assert_eq!(sent(&count), 1);
        let replay = format!("{path}/replay");
        visitor.done(&replay, &[("event", &event)]).await;
        deliver(&server).await;
        assert_eq!(sent(&count), 2);
        let page = visitor
            .done(&replay, &[("span", ""), ("since", "2020-01-01T00:00")])
            .await;
        assert!(page.contains("The events are sent again"), "{page}");
        deliver(&server).await;
        assert_eq!(sent(&count), 3);
        let page = visitor
            .done(&replay, &[("span", ""), ("since", "2999-01-01T00:00")])
            .await;
        assert!(page.contains("Nothing that this webhook hears"), "{page}");
        for form in [
            &[][..],
            &[("span", "")],
            &[("span", "99999999999999")],
            &[("event", "none")],
        ] {
            assert_eq!(visitor.post(&replay, form).await.status, 400, "{form:?}");
        }
    });
}

#[test]
fn attack_markup_in_what_a_webhook_is_called() {
    run(async {
        let server = Server::start().await;
        let mut visitor = Visitor::administrator(&server).await;
        let form = [
            ("url", "https://app.example.com/hooks"),
            ("description", MARKUP),
            ("hears", "all"),
        ];
        visitor.post("webhooks/new", &form).await;
        is_escaped(&visitor.see("webhooks").await);
        let id = webhooks(&server).await[0]["id"].clone();
        let path = format!("webhooks/{}", id.as_str().unwrap());
        is_escaped(&visitor.see(&path).await);
        is_escaped(&visitor.see(&format!("{path}/settings")).await);
        let form = [("url", MARKUP), ("hears", "some"), ("type", MARKUP)];
        let reply = visitor.post("webhooks/new", &form).await;
        assert_eq!(reply.status, 400);
        is_escaped(&reply.text());
    });
}
