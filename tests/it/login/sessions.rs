//! Sessions: whose they are, how they end, and what other sites cannot do with them.

use std::sync::Arc;

use axum::body::Body;
use chrono::TimeDelta;
use http::{Method, Request, header};
use rollcall::domain::token::{Token, TokenKind};
use serde_json::json;
use uuid::Uuid;

use super::provider::{Answer, Endpoint};
use super::{Browser, ORIGIN, Place, SESSION};
use crate::support::log::Log;
use crate::support::scim::Client;
use crate::support::{Reply, naming, run};

/// The page that says who is signed in, or the way to sign in.
async fn is_signed_in(browser: &mut Browser<'_>) -> bool {
    let reply = browser.get("/account").await;
    let by_page = match reply.status.as_u16() {
        200 => true,
        303 => {
            assert_eq!(reply.location(), "/login");
            false
        }
        other => panic!("{other}"),
    };
    assert_eq!(
        browser.member().await.is_some(),
        by_page,
        "API and pages agree"
    );
    by_page
}

/// The identifier of the session that a browser has.
fn session_id(browser: &Browser<'_>) -> Uuid {
    let token = Token::parse(TokenKind::Session, &browser.jar[SESSION]);
    token.unwrap().id()
}

#[test]
fn the_cookie_is_for_this_host_and_no_script() {
    run(async {
        let place = Place::start().await;
        let mut browser = place.browser();
        let answer = place.begin(&mut browser).await;
        let reply = place.come_back(&mut browser, &answer).await;
        let cookies: Vec<&str> = reply
            .headers
            .get_all(header::SET_COOKIE)
            .iter()
            .map(|c| c.to_str().unwrap())
            .collect();
        let session = cookies
            .iter()
            .find(|c| c.starts_with("__Host-rollcall-session="))
            .unwrap();
        let (_, attributes) = session.split_once("; ").unwrap();
        assert_eq!(
            attributes,
            "Path=/; HttpOnly; SameSite=Lax; Max-Age=604800; Secure"
        );
        let login = cookies
            .iter()
            .find(|c| c.starts_with("__Host-rollcall-login-"))
            .unwrap();
        assert!(login.contains("Max-Age=0"), "{login}");
    });
}

#[test]
fn over_http_on_the_loopback_the_cookie_has_a_plain_name() {
    run(async {
        let place =
            Place::start_with(|app| app.public_url = "http://127.0.0.1:8080".to_owned()).await;
        let reply = place.browser().get(&place.start_url("")).await;
        let cookie = reply.headers[header::SET_COOKIE].to_str().unwrap();
        assert!(
            cookie.starts_with("rollcall-login-") && !cookie.contains("Secure"),
            "{cookie}"
        );
        assert!(
            reply
                .location()
                .contains("redirect_uri=http%3A%2F%2F127.0.0.1%3A8080%2Fauth%2Foidc%2Fcallback")
        );
    });
}

#[test]
fn tokens_are_hashed_at_rest() {
    run(async {
        let place = Place::start().await;
        let (browser, _) = place.signed_in("ada").await;
        let token = &browser.jar[SESSION];
        let mut db = place.server.app.store.acquire().await.unwrap();
        let rows: Vec<String> =
            sqlx::query_scalar("select s::text from sessions s where organization_id = $1")
                .bind(place.server.organization_id().as_uuid())
                .fetch_all(&mut *db)
                .await
                .unwrap();
        assert_eq!(rows.len(), 1);
        let secret = token.rsplit('_').next().unwrap();
        assert!(!rows[0].contains(secret), "{rows:?}");
        assert!(rows[0].contains(&session_id(&browser).to_string()));
    });
}

#[test]
fn attack_tokens_that_were_made_up() {
    run(async {
        let place = Place::start().await;
        let (browser, _) = place.signed_in("ada").await;
        let ours = &browser.jar[SESSION];
        let of_row = |kind| {
            let (organization, id) = (place.server.organization_id(), session_id(&browser));
            let token = place.server.app.random.token(kind, Some(organization), id);
            token.expose().to_owned()
        };
        let state = place.begin(&mut place.browser()).await["state"].clone();
        for token in [
            String::new(),
            "x".to_owned(),
            ours[..ours.len() - 1].to_owned(),
            format!("{ours}x"),
            // What names the row, and is well formed.
            of_row(TokenKind::Session),
            of_row(TokenKind::Api),
            of_row(TokenKind::Login),
            state,
            place.server.token.clone(),
        ] {
            let mut forged = place.browser();
            forged.jar.insert(SESSION.to_owned(), token.clone());
            assert!(!is_signed_in(&mut forged).await, "{token}");
        }
    });
}

#[test]
fn attack_session_of_one_organization_in_another() {
    run(async {
        let place = Place::start().await;
        let neighbour = place.neighbour().await;
        let (mut victim, _) = place.signed_in("ada").await;
        let (own, _) = neighbour.signed_in("mallory").await;
        let theirs = neighbour.server.organization_id();
        let (ours, own) = (&victim.jar[SESSION], &own.jar[SESSION]);
        let of_row = {
            let random = &place.server.app.random;
            let token = random.token(TokenKind::Session, Some(theirs), session_id(&victim));
            token.expose().to_owned()
        };
        for token in [
            naming(ours, Some(theirs)),
            naming(own, Some(place.server.organization_id())),
            naming(ours, None),
            of_row,
        ] {
            let mut forged = place.browser();
            forged.jar.insert(SESSION.to_owned(), token.clone());
            assert!(!is_signed_in(&mut forged).await, "{token}");
            forged.jar.insert(SESSION.to_owned(), token);
            assert_eq!(forged.post("/logout", &[]).await.location(), "/signed-out");
        }
        assert!(is_signed_in(&mut victim).await, "and ended nothing");
    });
}

#[test]
fn attack_session_cookie_tossed_by_another_host() {
    run(async {
        let place = Place::start().await;
        let (victim, _) = place.signed_in("ada").await;
        let (attacker, _) = place.signed_in("mallory").await;
        let (ours, theirs) = (&victim.jar[SESSION], &attacker.jar[SESSION]);
        // Two of a name, in one header or in two: neither counts.
        for cookies in [
            vec![format!("{SESSION}={ours}; {SESSION}={theirs}")],
            vec![format!("{SESSION}={theirs}; {SESSION}={ours}")],
            vec![format!("{SESSION}={theirs}"), format!("{SESSION}={ours}")],
        ] {
            let mut request = Request::get("/account");
            for cookies in &cookies {
                request = request.header(header::COOKIE, cookies);
            }
            let reply = place
                .server
                .send(request.body(Body::empty()).unwrap())
                .await;
            assert_eq!(reply.location(), "/login");
        }
        // Names that only look alike do not count at all.
        let alike = format!(
            "rollcall-session={theirs}; __host-rollcall-session={theirs}; x={SESSION}={theirs}; {SESSION}={ours}"
        );
        let request = Request::get("/account").header(header::COOKIE, alike);
        let reply = place
            .server
            .send(request.body(Body::empty()).unwrap())
            .await;
        assert!(reply.text().contains(&place.email("ada")));
    });
}

#[test]
fn attack_session_fixation() {
    run(async {
        let place = Place::start().await;
        // The attacker's session in the victim's browser.
        let (mut attacker, mallory) = place.signed_in("mallory").await;
        let mut victim = attacker.clone();
        place.comes("ada", json!({}));
        let ada = place.sign_in(&mut victim).await;
        assert_ne!(
            victim.jar[SESSION], attacker.jar[SESSION],
            "another session"
        );
        assert_ne!(ada, mallory);
        assert_eq!(attacker.member().await, None, "the former is over");
        assert_eq!(victim.member().await, Some(ada));
        // One that nobody has given out is not taken on.
        let mut victim = place.browser();
        let made_up = attacker.jar[SESSION].clone();
        victim.jar.insert(SESSION.to_owned(), made_up.clone());
        place.sign_in(&mut victim).await;
        assert_ne!(victim.jar[SESSION], made_up);
    });
}

#[test]
fn a_refused_login_leaves_the_session_that_was() {
    run(async {
        let place = Place::start().await;
        let (mut browser, ada) = place.signed_in("ada").await;
        place.provider.bend().claims = json!({ "aud": "another" });
        let reply = place.try_sign_in(&mut browser).await;
        place.refused(&reply, "id_token", "aud").await;
        assert_eq!(browser.member().await, Some(ada));
    });
}

#[test]
fn a_session_is_over_when_it_was_not_used_for_twelve_hours() {
    run(async {
        let place = Place::start().await;
        let (mut browser, _) = place.signed_in("ada").await;
        let (mut idle, _) = place.signed_in("grace").await;
        place.pass(TimeDelta::hours(12) - TimeDelta::seconds(1));
        assert!(is_signed_in(&mut browser).await);
        place.pass(TimeDelta::seconds(1));
        assert!(!is_signed_in(&mut idle).await);
        assert!(is_signed_in(&mut browser).await);
    });
}

#[test]
fn a_session_is_over_after_seven_days() {
    run(async {
        let place = Place::start().await;
        let (mut browser, _) = place.signed_in("ada").await;
        for _ in 0..14 {
            assert!(is_signed_in(&mut browser).await);
            place.pass(TimeDelta::hours(12) - TimeDelta::seconds(1));
        }
        assert!(is_signed_in(&mut browser).await, "14 seconds are left");
        place.pass(TimeDelta::seconds(14));
        assert!(!is_signed_in(&mut browser).await);
    });
}

#[test]
fn settings_say_how_long_sessions_live() {
    run(async {
        let place = Place::start_with(|app| {
            app.sign_in.session_idle = TimeDelta::minutes(5);
            app.sign_in.session_lifetime = TimeDelta::minutes(8);
        })
        .await;
        let (mut browser, _) = place.signed_in("ada").await;
        place.pass(TimeDelta::minutes(4));
        assert!(is_signed_in(&mut browser).await);
        place.pass(TimeDelta::minutes(4));
        assert!(!is_signed_in(&mut browser).await);
    });
}

/// What ends sessions ends them at once, on every process.
async fn ends_sessions(place: &Place, act: impl AsyncFnOnce()) {
    let (mut browser, _) = place.signed_in("ada").await;
    let replica = place.server.replica();
    let mut elsewhere = browser.at(&replica);
    assert!(is_signed_in(&mut browser).await && is_signed_in(&mut elsewhere).await);
    act().await;
    assert!(!is_signed_in(&mut elsewhere).await);
    assert!(!is_signed_in(&mut browser).await);
}

#[test]
fn switching_the_configuration_off_ends_sessions() {
    run(async {
        let place = Place::start().await;
        let off = json!({ "state": "SSO_CONFIGURATION_STATE_INACTIVE" });
        ends_sessions(&place, async || place.update(off).await).await;
        let reply = place.browser().get(&place.start_url("")).await;
        assert_eq!(reply.status, 404, "nobody begins");
    });
}

#[test]
fn rotating_the_client_secret_ends_sessions() {
    run(async {
        let place = Place::start().await;
        ends_sessions(&place, async || {
            place.update(json!({ "clientSecret": "new" })).await
        })
        .await;
    });
}

#[test]
fn another_client_ends_sessions() {
    run(async {
        let place = Place::start().await;
        ends_sessions(&place, async || {
            place.update(json!({ "clientId": "new" })).await
        })
        .await;
    });
}

#[test]
fn a_change_that_moves_nobody_ends_no_sessions() {
    run(async {
        let place = Place::start().await;
        let (mut browser, _) = place.signed_in("ada").await;
        place.update(json!({ "displayName": "New" })).await;
        place.configure("beside", json!({})).await;
        assert!(is_signed_in(&mut browser).await);
    });
}

#[test]
fn deleting_the_configuration_ends_sessions() {
    run(async {
        let place = Place::start().await;
        ends_sessions(&place, async || {
            let request = json!({ "ssoConfigurationId": place.sso });
            place
                .server
                .call("DeleteSSOConfiguration", request)
                .await
                .ok();
        })
        .await;
    });
}

#[test]
fn suspending_the_member_ends_sessions() {
    run(async {
        let place = Place::start().await;
        let provisioning = place.provisioning().await;
        let pushed = provisioning.push(&place.email("ada")).await;
        ends_sessions(&place, async || {
            provisioning.set_active(&pushed, false).await
        })
        .await;
        // For good: a member who is restored signs in again.
        let (browser, _) = {
            provisioning.set_active(&pushed, true).await;
            place.signed_in("ada").await
        };
        let mut restored = browser.clone();
        assert!(is_signed_in(&mut restored).await);
    });
}

#[test]
fn a_session_of_before_the_suspension_stays_over() {
    run(async {
        let place = Place::start().await;
        let provisioning = place.provisioning().await;
        let pushed = provisioning.push(&place.email("ada")).await;
        let (mut browser, _) = place.signed_in("ada").await;
        provisioning.set_active(&pushed, false).await;
        provisioning.set_active(&pushed, true).await;
        assert!(!is_signed_in(&mut browser).await);
    });
}

#[test]
fn removing_the_member_ends_sessions() {
    run(async {
        let place = Place::start().await;
        let provisioning = place.provisioning().await;
        let pushed = provisioning.push(&place.email("ada")).await;
        ends_sessions(&place, async || {
            provisioning.delete(&pushed).await.is(204);
        })
        .await;
    });
}

#[test]
fn attack_member_is_suspended_while_the_code_is_exchanged() {
    run(async {
        let place = Place::start().await;
        let provisioning = place.provisioning().await;
        let pushed = provisioning.push(&place.email("ada")).await;
        let elsewhere = Client {
            server: Arc::new(place.server.replica()),
            ..provisioning
        };
        place.provider.bend().before_token = Some(Box::new(move || {
            Box::pin(async move {
                elsewhere.set_active(&pushed, false).await;
            })
        }));
        super::is_kept_out(&place, "member", "the member is suspended").await;
    });
}

#[test]
fn signing_out_ends_the_session_of_this_browser_alone() {
    run(async {
        let place = Place::start().await;
        let (mut browser, _) = place.signed_in("ada").await;
        let (mut other, _) = place.signed_in("ada").await;
        let mut copy = browser.clone();
        let reply = browser.post("/logout", &[]).await;
        assert_eq!(reply.location(), "/signed-out");
        let page = browser.get("/signed-out").await;
        assert!(page.text().contains("You are signed out"));
        assert!(!browser.jar.contains_key(SESSION));
        assert!(!is_signed_in(&mut copy).await, "at rest, too");
        assert!(is_signed_in(&mut other).await);
        // Once more does no harm.
        copy.post("/logout", &[]).await.location();
        place.browser().post("/logout", &[]).await.location();
        assert_eq!(place.browser().get("/logout").await.status, 405);
    });
}

#[test]
fn people_see_and_end_their_sessions() {
    run(async {
        let place = Place::start().await;
        let (mut browser, _) = place.signed_in("ada").await;
        let (mut other, _) = place.signed_in("ada").await;
        let page = browser.get("/account").await.text();
        let id = session_id(&other).to_string();
        assert!(page.contains(&id) && page.contains(&session_id(&browser).to_string()));
        assert!(page.contains("ada of the tests") && page.contains(&place.email("ada")));
        let reply = browser.post("/account/end-session", &[("id", &id)]).await;
        assert_eq!(reply.location(), "/account");
        assert!(!is_signed_in(&mut other).await);
        assert!(is_signed_in(&mut browser).await);
        assert!(!browser.get("/account").await.text().contains(&id));
        // Its own.
        let id = session_id(&browser).to_string();
        browser.post("/account/end-session", &[("id", &id)]).await;
        assert!(!is_signed_in(&mut browser).await);
    });
}

#[test]
fn attack_ending_the_session_of_somebody_else() {
    run(async {
        let place = Place::start().await;
        let neighbour = place.neighbour().await;
        let (mut ada, _) = place.signed_in("ada").await;
        let (mut grace, _) = place.signed_in("grace").await;
        let (mut other, _) = neighbour.signed_in("ada").await;
        for victim in [&mut grace, &mut other] {
            let id = session_id(victim).to_string();
            let reply = ada.post("/account/end-session", &[("id", &id)]).await;
            assert_eq!(
                reply.location(),
                "/account",
                "the same as for one that is not"
            );
            assert!(is_signed_in(victim).await);
        }
        for id in ["", "x", "' or true --"] {
            let reply = ada.post("/account/end-session", &[("id", id)]).await;
            assert_eq!(reply.status, 400, "{id}");
        }
        let id = session_id(&grace).to_string();
        let reply = place
            .browser()
            .post("/account/end-session", &[("id", &id)])
            .await;
        assert_eq!(reply.location(), "/login");
        assert!(is_signed_in(&mut grace).await);
    });
}

/// A request with the browser's cookies and these headers.
async fn sent(
    browser: &Browser<'_>,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Reply {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    browser
        .clone()
        .send(request, Body::from(body.to_owned()))
        .await
}

/// What a browser says of a request that another site made, and what none says.
const ELSEWHERE: [&[(&str, &str)]; 9] = [
    &[],
    &[
        ("origin", "https://evil.example"),
        ("sec-fetch-site", "same-origin"),
    ],
    &[("origin", "https://evil.example")],
    &[("origin", "null")],
    &[("origin", "https://rollcall.test.evil.example")],
    &[("origin", "http://rollcall.test")],
    &[("origin", "https://rollcall.test:8443")],
    &[("sec-fetch-site", "cross-site")],
    &[("sec-fetch-site", "same-site")],
];

#[test]
fn attack_csrf_on_the_api() {
    run(async {
        let place = Place::start().await;
        let (mut browser, _) = place.signed_in("ada").await;
        let path = "/gitpod.v1.IdentityService/GetAuthenticatedIdentity";
        for kind in [
            "application/json",
            "application/proto",
            "application/grpc-web+proto",
            "application/connect+json",
        ] {
            for from in ELSEWHERE {
                let headers = [from, &[("content-type", kind)]].concat();
                let reply = sent(&browser, Method::POST, path, &headers, "{}").await;
                // gRPC-Web and streams have their status in the body.
                let body = String::from_utf8_lossy(&reply.bytes).replace(' ', "");
                let is_denied = reply.status == 403
                    || body.contains("grpc-status:7")
                    || body.contains("{\"error\":{\"code\":\"permission_denied\"");
                assert!(
                    is_denied,
                    "{headers:?}: {} {:?}",
                    reply.status, reply.headers
                );
            }
        }
        // Not even applications that people return to.
        let application = [
            ("content-type", "application/json"),
            ("origin", "https://app.test"),
        ];
        sent(&browser, Method::POST, path, &application, "{}")
            .await
            .error("permission_denied");
        // What forms and simple requests can send is no call in the first place.
        for kind in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
        ] {
            let headers = [("content-type", kind), ("origin", "https://evil.example")];
            let reply = sent(&browser, Method::POST, path, &headers, "{}").await;
            assert_eq!(reply.status, 403, "{kind}");
        }
        assert!(is_signed_in(&mut browser).await);
    });
}

#[test]
fn attack_csrf_on_the_api_with_get() {
    run(async {
        let place = Place::start().await;
        let (browser, _) = place.signed_in("ada").await;
        let path = "/gitpod.v1.IdentityService/GetAuthenticatedIdentity?connect=v1&encoding=json&message=%7B%7D";
        for from in &ELSEWHERE[1..] {
            let reply = sent(&browser, Method::GET, path, from, "").await;
            reply.error("permission_denied");
        }
        for from in [
            &[][..],
            &[("sec-fetch-site", "same-origin")],
            &[("sec-fetch-site", "none")],
            &[("origin", ORIGIN)],
            &[("origin", ORIGIN), ("sec-fetch-site", "same-origin")],
        ] {
            sent(&browser, Method::GET, path, from, "").await.ok();
        }
        // What changes something is no GET.
        let change = "/gitpod.v1.OrganizationService/DeleteSSOConfiguration?connect=v1&encoding=json&message=%7B%7D";
        assert_eq!(
            sent(&browser, Method::GET, change, &[], "").await.status,
            405
        );
    });
}

#[test]
fn other_sites_may_not_read_what_the_api_says() {
    run(async {
        let place = Place::start().await;
        let (browser, _) = place.signed_in("ada").await;
        let preflight = [
            ("origin", "https://evil.example"),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "content-type"),
        ];
        let path = "/gitpod.v1.IdentityService/GetAuthenticatedIdentity";
        for method in [Method::OPTIONS, Method::POST] {
            let reply = sent(&browser, method, path, &preflight, "{}").await;
            assert!(!reply.headers.contains_key("access-control-allow-origin"));
        }
    });
}

#[test]
fn attack_csrf_on_signing_out_and_ending_sessions() {
    run(async {
        let place = Place::start().await;
        let (mut browser, _) = place.signed_in("ada").await;
        let form = ("content-type", "application/x-www-form-urlencoded");
        let id = format!("id={}", session_id(&browser));
        for path in ["/logout", "/account/end-session"] {
            for from in ELSEWHERE {
                let headers = [from, &[form]].concat();
                let reply = sent(&browser, Method::POST, path, &headers, &id).await;
                assert_eq!(reply.status, 403, "{path} {headers:?}");
                assert!(
                    reply
                        .text()
                        .contains("did not come from a page of this server")
                );
                assert!(!reply.headers.contains_key(header::SET_COOKIE));
            }
            assert!(is_signed_in(&mut browser).await);
        }
        // An application that people return to may sign them out, and no more.
        let application = [("origin", "https://app.test"), form];
        let reply = sent(
            &browser,
            Method::POST,
            "/account/end-session",
            &application,
            &id,
        )
        .await;
        assert_eq!(reply.status, 403);
        let reply = sent(&browser, Method::POST, "/logout", &application, "").await;
        assert_eq!(reply.location(), "/signed-out");
        assert!(!is_signed_in(&mut browser).await);
    });
}

#[test]
fn a_bearer_token_wins_over_the_cookie() {
    run(async {
        let place = Place::start().await;
        let neighbour = place.neighbour().await;
        let (browser, _) = place.signed_in("ada").await;
        let path = "/gitpod.v1.IdentityService/GetAuthenticatedIdentity";
        let bearer = format!("Bearer {}", neighbour.server.token);
        let headers = [
            ("content-type", "application/json"),
            ("authorization", &bearer),
        ];
        let identity = sent(&browser, Method::POST, path, &headers, "{}")
            .await
            .ok();
        assert_eq!(identity["organizationId"], neighbour.server.organization);
        // A wrong one is not made good by the cookie.
        for bad in ["Bearer x", "Bearer", "", "Basic eDp4"] {
            let headers = [
                ("content-type", "application/json"),
                ("authorization", bad),
                ("origin", ORIGIN),
            ];
            sent(&browser, Method::POST, path, &headers, "{}")
                .await
                .error("unauthenticated");
        }
    });
}

#[test]
fn a_session_is_no_bearer_token() {
    run(async {
        let place = Place::start().await;
        let (browser, _) = place.signed_in("ada").await;
        let token = &browser.jar[SESSION];
        place
            .server
            .call_as(
                token,
                "ListSSOConfigurations",
                json!({ "organizationId": place.server.organization }),
            )
            .await
            .error("unauthenticated");
        // Nor are cookies looked at by provisioning.
        let reply = sent(
            &browser,
            Method::GET,
            "/scim/v2/Users",
            &[("origin", ORIGIN)],
            "",
        )
        .await;
        assert_eq!(reply.status, 401);
    });
}

#[test]
fn what_is_over_is_tidied_up() {
    run(async {
        let place = Place::start().await;
        // Tidying up is for all organizations: long before those of other tests.
        place.pass(TimeDelta::days(-3_650));
        let count = async || {
            let mut db = place.server.app.store.acquire().await.unwrap();
            let organization = place.server.organization_id().as_uuid();
            let counts: (i64, i64, i64) = sqlx::query_as(
                "select (select count(*) from sessions where organization_id = $1),
                        (select count(*) from sso_logins where organization_id = $1),
                        (select count(*) from sso_attempts where organization_id = $1)",
            )
            .bind(organization)
            .fetch_one(&mut *db)
            .await
            .unwrap();
            counts
        };
        let tidy_up = async || {
            rollcall::jobs::sign_in::tidy_up(&place.server.app, TimeDelta::days(3))
                .await
                .unwrap();
        };
        let (mut browser, _) = place.signed_in("ada").await;
        place.signed_in("grace").await;
        assert_eq!(count().await, (2, 2, 2));
        place.pass(TimeDelta::minutes(10));
        tidy_up().await;
        assert_eq!(count().await, (2, 2, 2), "what may still come again");
        place.pass(TimeDelta::seconds(1));
        tidy_up().await;
        assert_eq!(count().await, (2, 0, 2));
        assert!(is_signed_in(&mut browser).await);
        place.pass(TimeDelta::hours(12) - TimeDelta::minutes(10));
        tidy_up().await;
        assert_eq!(count().await, (1, 0, 2), "one was not used");
        assert!(is_signed_in(&mut browser).await);

        // An answer that was taken is not taken again when nobody remembers it.
        place.comes("ada", json!({}));
        let answer = place.begin(&mut browser).await;
        let mut copy = browser.clone();
        assert_eq!(
            place.come_back(&mut browser, &answer).await.location(),
            "/account"
        );
        place.pass(TimeDelta::minutes(11));
        tidy_up().await;
        let reply = place.come_back(&mut copy, &answer).await;
        place
            .refused(&reply, "login", "longer than 10 minutes")
            .await;

        place.pass(TimeDelta::days(4));
        tidy_up().await;
        assert_eq!(count().await, (0, 0, 0));
    });
}

#[test]
fn no_secret_is_logged() {
    let (log, _guard) = Log::capture();
    run(async {
        let place = Place::start().await;
        let (mut browser, _) = place.signed_in("ada").await;
        let mut secrets: Vec<String> = browser.jar.values().cloned().collect();
        browser.get("/account").await;
        for (endpoint, answer, check, words) in [
            (
                Endpoint::Token,
                r#"{"access_token":"s3cr3t-value","id_token":7}"#,
                "code",
                "has no text as id_token",
            ),
            (
                Endpoint::Token,
                r#"{"error":"x","error_description":"s3cr3t-value"}"#,
                "code",
                "refused to exchange the code: x",
            ),
            (
                Endpoint::Userinfo,
                r#"{"sub":"s3cr3t-value","email":7}"#,
                "userinfo",
                "is about another person",
            ),
        ] {
            place.provider.bend().claims = json!({ "name": null });
            place.provider.bend().answers = [(endpoint, Answer::json(answer))].into();
            let mut login = place.browser();
            let parameters = place.begin(&mut login).await;
            secrets.extend(login.jar.values().cloned());
            let reply = place.come_back(&mut login, &parameters).await;
            place.refused(&reply, check, words).await;
        }
        for (name, check) in [("error", "authorization"), ("iss", "issuer")] {
            let mut login = place.browser();
            let mut parameters = place.begin(&mut login).await;
            secrets.extend(login.jar.values().cloned());
            parameters.insert(name.to_owned(), "s3cr3t-value".to_owned());
            parameters.insert("error_description".to_owned(), "s3cr3t-value".to_owned());
            let reply = place.come_back(&mut login, &parameters).await;
            place.refused(&reply, check, "s3cr3t-value").await;
        }
        browser.post("/logout", &[]).await;
        secrets.extend(place.provider.secrets());
        secrets.push("s3cr3t-value".to_owned());
        let log = log.take();
        assert!(log.contains("a login was refused"), "{log}");
        assert!(!log.contains(&place.email("ada")), "no address of anybody");
        for secret in secrets {
            assert!(!log.contains(&secret), "{secret} in {log}");
        }
    });
}
