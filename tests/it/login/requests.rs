//! Where a login may lead, and what pages show of what others wrote.

use axum::body::Body;
use http::{Request, header};
use serde_json::json;

use super::{ORIGIN, Place, query};
use crate::support::{Reply, run};

/// Where a login must not lead.
pub const EVIL: [&str; 32] = [
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r\nLocation: https://evil.example",
    "\t//evil.example",
    " //evil.example",
    "https:evil.example",
    "https:/evil.example",
    "https:///evil.example",
    "https:\\\\evil.example",
    "https://evil.example",
    "http://rollcall.test",
    "https://rollcall.test:8443/",
    "https://rollcall.test@evil.example/",
    "https://rollcall.test:443@evil.example/",
    "https://user@rollcall.test/",
    "https://rollcall.test.evil.example/",
    "https://rollcall.test\\@evil.example/",
    "https://evil.example\\@rollcall.test/",
    "https://rollcall.test%2eevil.example/",
    "https://evil.example#@rollcall.test/",
    "https://evil.example?@rollcall.test/",
    "https://app.test。evil.example/",
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "evil.example",
    "ftp://rollcall.test/",
    "https://",
];

/// Where it may.
pub const FINE: [&str; 8] = [
    "/account",
    "/a/b?c=d&e=%2F%2Fevil.example",
    "https://rollcall.test",
    "https://rollcall.test/x#y",
    "https://ROLLCALL.test:443/",
    "https://app.test/after?x=https://evil.example",
    "https://app.test:443/",
    "/.//evil.example",
];

#[test]
fn attack_open_redirects() {
    run(async {
        let place = Place::start().await;
        for evil in EVIL {
            let reply = place.browser().get(&place.start_url(evil)).await;
            assert_eq!(reply.status, 400, "{evil:?}");
            assert!(!reply.headers.contains_key(header::LOCATION), "{evil:?}");
            let ask = format!("/login?{}", query(&[("return_to", evil)]));
            assert_eq!(place.browser().get(&ask).await.status, 400, "{evil:?}");
            let ask = [("email", &*place.email("ada")), ("return_to", evil)];
            let ask = format!("/login?{}", query(&ask));
            assert_eq!(place.browser().get(&ask).await.status, 400, "{evil:?}");
            let form = [("email", &*place.email("ada")), ("return_to", evil)];
            let reply = place.browser().post("/login", &form).await;
            assert_eq!(reply.status, 400, "{evil:?}");
        }
        let long = format!("/{}", "x".repeat(2_400));
        assert_eq!(
            place.browser().get(&place.start_url(&long)).await.status,
            400
        );
    });
}

#[test]
fn a_login_returns_to_where_it_was_asked_to() {
    run(async {
        let place = Place::start().await;
        for fine in FINE {
            let mut browser = place.browser();
            let start = browser.get(&place.start_url(fine)).await;
            let answer = place.provider.authorize(&start.location());
            let reply = place.come_back(&mut browser, &answer).await;
            assert_eq!(reply.location(), fine);
        }
    });
}

#[test]
fn attack_return_address_in_the_answer() {
    run(async {
        let place = Place::start().await;
        let mut browser = place.browser();
        let mut answer = place.begin(&mut browser).await;
        answer.insert("return_to".to_owned(), "https://evil.example".to_owned());
        assert_eq!(
            place.come_back(&mut browser, &answer).await.location(),
            "/account"
        );
    });
}

#[test]
fn attack_header_of_another_host() {
    run(async {
        let place = Place::start().await;
        let path = place.start_url("");
        let request = Request::get(path)
            .header("host", "evil.example")
            .header("x-forwarded-host", "evil.example")
            .header("forwarded", "host=evil.example");
        let reply = place.browser().send(request, Body::empty()).await;
        let location = reply.location();
        assert!(
            location.contains("redirect_uri=https%3A%2F%2Frollcall.test%2Fauth%2Foidc%2Fcallback")
        );
        assert!(!location.contains("evil"));
    });
}

/// Every page says this to the browser.
fn is_protected(reply: &Reply) {
    let header = |name: &str| reply.headers.get(name).map_or("", |v| v.to_str().unwrap());
    let policy = header("content-security-policy");
    for part in [
        "default-src 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "style-src 'sha256-",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(
        !policy.contains("unsafe") && !policy.contains("script-src"),
        "{policy}"
    );
    assert_eq!(header("x-frame-options"), "DENY");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(header("cache-control"), "no-store");
    assert_eq!(header("referrer-policy"), "same-origin");
    assert_eq!(header("cross-origin-opener-policy"), "same-origin");
    assert!(!reply.text().contains("<script"), "{}", reply.text());
}

#[test]
fn every_page_is_protected() {
    run(async {
        let place = Place::start().await;
        let (mut browser, _) = place.signed_in("ada").await;
        let mut replies = vec![];
        for path in [
            "/",
            "/login",
            "/login?return_to=//evil.example",
            "/account",
            "/auth/oidc/start",
            "/auth/oidc/start?configuration=x",
            "/auth/oidc/start?organization=x&configuration=x",
            "/auth/oidc/callback",
            "/auth/oidc/callback?state=x",
            "/logout",
            &place.start_url(""),
        ] {
            replies.push(browser.get(path).await);
        }
        place.provider.bend().claims = json!({ "aud": "x" });
        replies.push(place.try_sign_in(&mut browser).await);
        replies.push(
            browser
                .post("/login", &[("email", "ada@nowhere.example")])
                .await,
        );
        replies.push(browser.post("/login", &[]).await);
        replies.push(browser.post("/account/end-session", &[("id", "x")]).await);
        replies.push(browser.post("/logout", &[]).await);
        replies.push(place.browser().get("/account").await);
        for reply in &replies {
            is_protected(reply);
        }
    });
}

const MARKUP: &str = "\"><script>alert(1)</script><img src=x onerror=alert(1)>'";

#[track_caller]
fn is_escaped(page: &str) {
    assert!(!page.contains("<script"), "{page}");
    assert!(!page.contains("<img"), "{page}");
}

#[test]
fn attack_markup_in_what_a_person_or_a_link_says() {
    run(async {
        let place = Place::start().await;
        let mut browser = place.browser();
        let email = format!("{MARKUP}@nowhere.example");
        let page = browser
            .get(&format!("/login?{}", query(&[("email", &email)])))
            .await;
        is_escaped(&page.text());
        assert!(
            page.text().contains("&lt;script&gt;"),
            "it is shown as it is"
        );
        let page = browser.post("/login", &[("email", &email)]).await;
        is_escaped(&page.text());
        // As a path, a return address may hold quotes; in an attribute they end nothing.
        let odd = "/x?'onclick=alert(1)";
        let page = browser
            .get(&format!("/login?{}", query(&[("return_to", odd)])))
            .await;
        assert_eq!(page.status, 200);
        is_escaped(&page.text());
        for path in [
            "/auth/oidc/start?configuration=",
            "/auth/oidc/start?organization=",
            "/auth/oidc/callback?state=",
        ] {
            let page = browser
                .get(&format!("{path}{}", query(&[("", MARKUP)])))
                .await;
            is_escaped(&page.text());
        }
    });
}

#[test]
fn attack_markup_in_what_a_provider_or_an_administrator_says() {
    run(async {
        let place = Place::start().await;
        place.comes(
            "ada",
            json!({ "name": MARKUP, "email": format!("{}@{}", "<b>\"x\"</b>", place.domain) }),
        );
        let mut browser = place.browser();
        let request = |browser: &super::Browser<'_>| {
            Request::get(place.start_url(""))
                .header("user-agent", format!("{MARKUP} {}", browser.jar.len()))
        };
        let start = browser.send(request(&browser), Body::empty()).await;
        let answer = place.provider.authorize(&start.location());
        place.come_back(&mut browser, &answer).await.location();
        let page = browser.get("/account").await.text();
        is_escaped(&page);
        assert!(
            page.contains("&lt;script&gt;") && !page.contains("<b>"),
            "{page}"
        );
        // The name of a way to sign in, and of an organization.
        place
            .configure("second", json!({ "displayName": MARKUP }))
            .await;
        let page = place
            .browser()
            .post("/login", &[("email", &place.email("ada"))])
            .await;
        assert_eq!(page.status, 200);
        is_escaped(&page.text());
        assert!(page.text().contains("&lt;script&gt;"));
    });
}

#[test]
fn an_address_leads_to_the_provider_of_its_domain() {
    run(async {
        let place = Place::start().await;
        let mut browser = place.browser();
        let email = place.email("ada");
        let form = [("email", &*email), ("return_to", "/x")];
        let location = browser.post("/login", &form).await.location();
        assert!(
            location.starts_with(&format!("{ORIGIN}/auth/oidc/start?")),
            "{location}"
        );
        let location = browser.get(&location).await.location();
        assert!(
            location.contains(&format!("login_hint=ada%40{}", place.domain)),
            "{location}"
        );
        assert!(
            location.contains(&query(&[("scope", "openid email profile")])),
            "{location}"
        );
        let answer = place.provider.authorize(&location);
        assert_eq!(
            place.come_back(&mut browser, &answer).await.location(),
            "/x"
        );
    });
}

#[test]
fn no_page_tells_whether_a_person_exists() {
    run(async {
        let place = Place::start().await;
        place.signed_in("ada").await;
        let (ada, nobody) = (place.email("ada"), place.email("bob"));
        let offer = async |email: &str| {
            let reply = place.browser().post("/login", &[("email", email)]).await;
            reply.location().replace(&query(&[("", email)]), "")
        };
        assert_eq!(
            offer(&ada).await.replace("ada", "bob"),
            offer(&nobody).await
        );
        place.configure("second", json!({})).await;
        let offer = async |email: &str| {
            let reply = place.browser().post("/login", &[("email", email)]).await;
            (reply.status, reply.text().replace("ada", "bob"))
        };
        assert_eq!(offer(&ada).await, offer(&nobody).await);
    });
}

#[test]
fn several_ways_to_sign_in_are_offered_and_none_that_is_off() {
    run(async {
        let place = Place::start().await;
        let neighbour = place.neighbour().await;
        place.update(json!({ "displayName": "Ours" })).await;
        neighbour.update(json!({ "displayName": "Theirs" })).await;
        let form = [("email", &*place.email("ada"))];
        let page = place.browser().post("/login", &form).await.text();
        assert!(page.contains("Ours") && page.contains("Theirs"), "{page}");
        assert!(page.contains(&place.sso) && page.contains(&neighbour.sso));
        neighbour
            .update(json!({ "state": "SSO_CONFIGURATION_STATE_INACTIVE" }))
            .await;
        let location = place.browser().post("/login", &form).await.location();
        assert!(location.contains(&place.sso), "{location}");
        place
            .update(json!({ "state": "SSO_CONFIGURATION_STATE_INACTIVE" }))
            .await;
        let page = place.browser().post("/login", &form).await;
        assert!(page.text().contains("No organization signs in"));
        let page = place.browser().get(&place.start_url("")).await;
        assert_eq!(page.status, 404);
        assert!(!page.headers.contains_key(header::SET_COOKIE));
    });
}

#[test]
fn attack_configuration_of_another_organization() {
    run(async {
        let place = Place::start().await;
        let neighbour = place.neighbour().await;
        for (organization, configuration) in [
            (&neighbour.server.organization, &place.sso),
            (&place.server.organization, &neighbour.sso),
        ] {
            let query = query(&[
                ("organization", organization),
                ("configuration", configuration),
            ]);
            let reply = place
                .browser()
                .get(&format!("/auth/oidc/start?{query}"))
                .await;
            assert_eq!(reply.status, 404);
            assert!(!reply.headers.contains_key(header::SET_COOKIE));
        }
    });
}

#[test]
fn a_link_without_organization_is_of_the_bootstrap_organization() {
    run(async {
        let place = Place::start().await;
        let neighbour = place.neighbour().await;
        let start = format!("/auth/oidc/start?configuration={}", place.sso);
        let get = async |home| {
            let server = place.server.replica_with(|app| app.home = home);
            super::Browser::new(&server).get(&start).await
        };
        let ours = get(Some(place.server.organization_id())).await.location();
        assert!(ours.starts_with(&place.provider.issuer), "{ours}");
        for home in [None, Some(neighbour.server.organization_id())] {
            assert_eq!(get(home).await.status, 404);
        }
    });
}

#[test]
fn attack_hints_that_are_too_long_are_left_out() {
    run(async {
        let place = Place::start().await;
        let long = "x".repeat(5_000);
        let hint = query(&[("login_hint", &long)]);
        let url = format!("{}&{hint}", place.start_url(""));
        let location = place.browser().get(&url).await.location();
        assert!(!location.contains("login_hint"), "{location}");
    });
}
