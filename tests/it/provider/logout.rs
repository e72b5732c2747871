//! Signing out by way of an application, and what the others hear of it.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Form, State};
use axum::routing::post;
use chrono::TimeDelta;
use http::StatusCode;
use serde_json::{Value, json};

use super::{Client, claims, parameters, text};
use crate::events::{deliver, later};
use crate::login::{ORIGIN, Place, query};
use crate::support::run;

const AFTER: &str = "https://app.example.com/bye";

#[derive(Clone)]
struct Heard {
    tokens: Arc<Mutex<Vec<String>>>,
    status: Arc<Mutex<StatusCode>>,
}

#[derive(serde::Deserialize)]
struct Notice {
    logout_token: String,
}

/// Where an application hears of sessions that ended.
async fn listen() -> (String, Heard) {
    let heard = Heard {
        tokens: Arc::default(),
        status: Arc::new(Mutex::new(StatusCode::OK)),
    };
    let take = async |State(heard): State<Heard>, Form(notice): Form<Notice>| {
        heard.tokens.lock().unwrap().push(notice.logout_token);
        *heard.status.lock().unwrap()
    };
    let router = Router::new()
        .route("/heard", post(take))
        .with_state(heard.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/heard", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (uri, heard)
}

/// Those of this application alone.
fn heard_by(heard: &Heard, client: &Client<'_>) -> Vec<Value> {
    let tokens = heard.tokens.lock().unwrap();
    let all = tokens.iter().map(|token| claims(&json!(token)));
    all.filter(|claims| claims["aud"] == client.id()).collect()
}

#[test]
fn an_application_signs_its_person_out_and_gets_the_person_back() {
    run(async {
        let place = Place::start().await;
        let client = Client::with(&place, |settings| {
            settings.post_logout_redirect_uris = vec![AFTER.to_owned()]
        })
        .await;
        let (mut browser, _) = place.signed_in("ada").await;
        let tokens = client.tokens(&mut browser, &[]).await;
        let url = format!(
            "/oauth2/logout?{}",
            query(&[
                ("id_token_hint", text(&tokens["id_token"])),
                ("post_logout_redirect_uri", AFTER),
                ("state", "s"),
            ])
        );
        let reply = browser.get(&url).await;
        assert_eq!(reply.location(), format!("{AFTER}?state=s"));
        assert_eq!(browser.member().await, None);
        client.is_over(&tokens).await;
        // Once more, when nobody is signed in.
        assert_eq!(
            browser.get(&url).await.location(),
            format!("{AFTER}?state=s")
        );
    });
}

#[test]
fn attack_no_other_site_signs_anybody_out_or_sends_anybody_anywhere() {
    run(async {
        let place = Place::start().await;
        let client = Client::with(&place, |settings| {
            settings.post_logout_redirect_uris = vec![AFTER.to_owned()]
        })
        .await;
        let (mut browser, _) = place.signed_in("ada").await;
        let tokens = client.tokens(&mut browser, &[]).await;
        let (mut bob, _) = place.signed_in("bob").await;
        let of_bob = client.tokens(&mut bob, &[]).await;
        let (id, hint) = (client.id(), text(&tokens["id_token"]));
        // The person is asked: nothing, an application that anybody can name, or a token of another session proves nothing.
        for request in [
            query(&[]),
            query(&[("client_id", &id), ("post_logout_redirect_uri", AFTER)]),
            query(&[("id_token_hint", text(&of_bob["id_token"]))]),
            query(&[("id_token_hint", text(&tokens["access_token"]))]),
            query(&[
                ("id_token_hint", &hint.replace('.', "x")),
                ("client_id", &id),
            ]),
        ] {
            let page = browser.get(&format!("/oauth2/logout?{request}")).await;
            assert_eq!(page.status, 200, "{request}");
            assert!(page.text().contains("Sign out?"));
        }
        let evil = "https://evil.example/";
        for request in [
            query(&[("post_logout_redirect_uri", AFTER)]),
            query(&[("id_token_hint", hint), ("post_logout_redirect_uri", evil)]),
            query(&[("client_id", &id), ("post_logout_redirect_uri", evil)]),
            query(&[
                ("id_token_hint", &hint.replace('.', "x")),
                ("post_logout_redirect_uri", AFTER),
            ]),
            query(&[
                ("id_token_hint", hint),
                ("client_id", "rcapp_00000000000000000000000000000001"),
            ]),
        ] {
            let page = browser.get(&format!("/oauth2/logout?{request}")).await;
            assert_eq!(page.status, 400, "{request}");
            assert!(!page.headers.contains_key("location"));
        }
        assert!(browser.member().await.is_some());
        let request = query(&[("client_id", &id), ("post_logout_redirect_uri", AFTER)]);
        let foreign = http::Request::post("/oauth2/logout/confirm")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("origin", "https://evil.example")
            .header("sec-fetch-site", "cross-site");
        let body = axum::body::Body::from(query(&[("request", &request)]));
        assert_eq!(browser.send(foreign, body).await.status, 403);
        assert!(browser.member().await.is_some());
        let reply = browser
            .post("/oauth2/logout/confirm", &[("request", &request)])
            .await;
        assert_eq!(reply.location(), AFTER);
        assert_eq!(browser.member().await, None);
    });
}

#[test]
fn a_form_of_the_application_comes_back_with_the_cookies() {
    run(async {
        let place = Place::start().await;
        let client = Client::of(&place).await;
        let form = [("client_id", &*client.id()), ("state", "x")];
        let reply = client.send("/oauth2/logout", &form).await;
        assert!(
            reply
                .location()
                .starts_with(&format!("{ORIGIN}/oauth2/logout?"))
        );
        let pairs = client.request(&[]);
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (&**n, &**v)).collect();
        let reply = client.send("/oauth2/authorize", &pairs).await;
        let again = parameters(&reply.location());
        assert_eq!(again, client.request(&[]));
    });
}

#[test]
fn every_application_of_the_session_hears_of_its_end_once() {
    run(async {
        let place = Place::start().await;
        let (uri, heard) = listen().await;
        let listening = async || {
            Client::with(&place, |settings| {
                settings.backchannel_logout_uri = uri.clone()
            })
            .await
        };
        let (wiki, chat) = (listening().await, listening().await);
        let (mut browser, member) = place.signed_in("ada").await;
        let tokens = wiki.tokens(&mut browser, &[]).await;
        let revoked = wiki.tokens(&mut browser, &[]).await;
        // Who gave back its token hears of the session's end all the same.
        let form = [("token", text(&revoked["access_token"]))];
        wiki.ask("/oauth2/revoke", &form).await;
        chat.tokens(&mut browser, &[("scope", "openid")]).await;
        let (mut other, _) = place.signed_in("bob").await;
        chat.tokens(&mut other, &[]).await;
        browser.post("/logout", &[]).await.location();
        deliver(&place.server).await;
        deliver(&place.server).await;
        for client in [&wiki, &chat] {
            let [claims] = &heard_by(&heard, client)[..] else {
                panic!("{:?}", heard_by(&heard, client));
            };
            assert_eq!(claims["sub"], member);
            assert_eq!(claims["sid"], super::claims(&tokens["id_token"])["sid"]);
            assert_eq!(claims["iss"], ORIGIN);
            assert_eq!(
                claims["events"],
                json!({ "http://schemas.openid.net/event/backchannel-logout": {} })
            );
            assert_eq!(claims.get("nonce"), None);
            let now = place.server.now().timestamp();
            assert_eq!(
                (&claims["iat"], &claims["exp"]),
                (&json!(now), &json!(now + 120))
            );
        }
    });
}

#[test]
fn applications_hear_of_suspension_and_are_told_again_until_they_listen() {
    run(async {
        let place = Place::start().await;
        let (uri, heard) = listen().await;
        let client = Client::with(&place, |settings| {
            settings.backchannel_logout_uri = uri.clone()
        })
        .await;
        let (mut browser, member) = place.signed_in("ada").await;
        client.tokens(&mut browser, &[]).await;
        *heard.status.lock().unwrap() = StatusCode::INTERNAL_SERVER_ERROR;
        place
            .server
            .call_to(
                "UserService/SetSuspended",
                json!({ "userId": member, "suspended": true }),
            )
            .await
            .ok();
        let deliver = async || deliver(&place.server).await;
        deliver().await;
        assert_eq!(heard_by(&heard, &client).len(), 1);
        deliver().await;
        assert_eq!(heard_by(&heard, &client).len(), 1, "not at once");
        later(&place.server, TimeDelta::seconds(6)).await;
        *heard.status.lock().unwrap() = StatusCode::NO_CONTENT;
        deliver().await;
        assert_eq!(heard_by(&heard, &client).len(), 2);
        later(&place.server, TimeDelta::hours(2)).await;
        deliver().await;
        assert_eq!(heard_by(&heard, &client).len(), 2, "it was taken");
    });
}

#[test]
fn an_application_that_never_listens_is_given_up_after_a_day() {
    run(async {
        let place = Place::start().await;
        let (uri, heard) = listen().await;
        let client = Client::with(&place, |settings| {
            settings.backchannel_logout_uri = uri.clone()
        })
        .await;
        let (mut browser, _) = place.signed_in("ada").await;
        client.tokens(&mut browser, &[]).await;
        *heard.status.lock().unwrap() = StatusCode::FOUND;
        browser.post("/logout", &[]).await.location();
        for _ in 0..40 {
            deliver(&place.server).await;
            later(&place.server, TimeDelta::hours(1)).await;
        }
        let count = heard_by(&heard, &client).len();
        assert!((15..=27).contains(&count), "{count}");
    });
}

#[test]
fn an_applications_server_ends_the_session_that_its_id_token_names() {
    run(async {
        let place = Place::start().await;
        let client = Client::of(&place).await;
        let (mut browser, _) = place.signed_in("ada").await;
        let tokens = client.tokens(&mut browser, &[]).await;
        let userinfo = format!("/oauth2/logout?{}", query(&[("client_id", &client.id())]));
        place.browser().get(&userinfo).await;
        assert!(
            browser.member().await.is_some(),
            "the name of an application proves nothing"
        );
        let hint = text(&tokens["id_token"]);
        let url = format!("/oauth2/logout?{}", query(&[("id_token_hint", hint)]));
        place.browser().get(&url).await.location();
        assert_eq!(browser.member().await, None);
        client.is_over(&tokens).await;
    });
}
