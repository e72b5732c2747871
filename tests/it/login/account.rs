//! What programs ask before anybody is signed in: ways to sign in with an address.

use axum::body::Body;
use http::{Request, header};
use rollcall::domain::letters::domain_key;
use serde_json::{Value, json};

use super::requests::{EVIL, FINE};
use super::{ORIGIN, Place, query};
use crate::support::{Reply, Server, run};

async fn ask(server: &Server, method: &str, body: Value) -> Reply {
    let request = Request::post(format!("/api/gitpod.v1.AccountService/{method}"))
        .header(header::CONTENT_TYPE, "application/json");
    server
        .send(request.body(Body::from(body.to_string())).unwrap())
        .await
}

async fn logins(server: &Server, email: &str) -> Vec<String> {
    let list = ask(server, "ListSSOLogins", json!({ "email": email }))
        .await
        .ok();
    let logins = list["logins"].as_array().cloned().unwrap_or_default();
    let names = logins
        .iter()
        .map(|l| l["displayName"].as_str().unwrap().to_owned());
    names.collect()
}

#[test]
fn a_program_is_told_where_to_sign_in() {
    run(async {
        let place = Place::start().await;
        let asked = json!({ "email": place.email("ada"), "returnTo": "https://app.test/after" });
        let url = ask(&place.server, "GetSSOLoginURL", asked).await.ok()["loginUrl"].clone();
        let url = url.as_str().unwrap();
        assert!(
            url.starts_with(&format!("{ORIGIN}/auth/oidc/start?")),
            "{url}"
        );
        let mut browser = place.browser();
        let location = browser.get(url).await.location();
        let answer = place.provider.authorize(&location);
        let reply = place.come_back(&mut browser, &answer).await;
        assert_eq!(reply.location(), "https://app.test/after");
    });
}

#[test]
fn a_domain_of_nobody_is_not_found() {
    run(async {
        let place = Place::start().await;
        let asked = json!({ "email": "ada@nowhere.example" });
        ask(&place.server, "GetSSOLoginURL", asked.clone())
            .await
            .error("not_found");
        assert_eq!(
            ask(&place.server, "ListSSOLogins", asked).await.ok()["logins"],
            Value::Null
        );
        // Neither do parents and children of a domain count.
        for domain in [format!("sub.{}", place.domain), "example".to_owned()] {
            let asked = json!({ "email": format!("ada@{domain}.example") });
            ask(&place.server, "GetSSOLoginURL", asked)
                .await
                .error("not_found");
        }
        // Whatever the case.
        let asked = json!({ "email": place.email("ada").to_uppercase() });
        ask(&place.server, "GetSSOLoginURL", asked).await.ok();
    });
}

#[test]
fn no_method_tells_whether_a_person_exists() {
    run(async {
        let place = Place::start().await;
        place.signed_in("ada").await;
        for method in ["GetSSOLoginURL", "ListSSOLogins"] {
            let ada = ask(
                &place.server,
                method,
                json!({ "email": place.email("ada") }),
            )
            .await;
            let bob = ask(
                &place.server,
                method,
                json!({ "email": place.email("bob") }),
            )
            .await;
            let text = |reply: &Reply| reply.text().replace("ada", "bob");
            assert_eq!((ada.status, text(&ada)), (bob.status, text(&bob)));
        }
    });
}

#[test]
fn attack_open_redirects() {
    run(async {
        let place = Place::start().await;
        for method in ["GetSSOLoginURL", "ListSSOLogins"] {
            for evil in EVIL {
                let asked = json!({ "email": place.email("ada"), "returnTo": evil });
                let refused = ask(&place.server, method, asked).await.violations();
                assert_eq!(refused, ["return_to"], "{method} {evil:?}");
            }
            for fine in FINE.iter().filter(|url| url.starts_with("https://")) {
                let asked = json!({ "email": place.email("ada"), "returnTo": fine });
                ask(&place.server, method, asked).await.ok();
            }
        }
    });
}

#[test]
fn configurations_that_are_off_are_not_offered() {
    run(async {
        let place = Place::start().await;
        place
            .update(json!({ "displayName": "A", "state": "SSO_CONFIGURATION_STATE_INACTIVE" }))
            .await;
        let asked = json!({ "email": place.email("ada") });
        ask(&place.server, "GetSSOLoginURL", asked)
            .await
            .error("not_found");
        assert!(logins(&place.server, &place.email("ada")).await.is_empty());
        place
            .update(json!({ "state": "SSO_CONFIGURATION_STATE_ACTIVE" }))
            .await;
        assert_eq!(logins(&place.server, &place.email("ada")).await, ["A"]);
    });
}

#[test]
fn several_organizations_may_share_a_domain() {
    run(async {
        let place = Place::start().await;
        place.update(json!({ "displayName": "A" })).await;
        for name in ["B", "C", "D", "E"] {
            place
                .neighbour()
                .await
                .update(json!({ "displayName": name }))
                .await;
        }
        let email = place.email("ada");
        assert_eq!(
            logins(&place.server, &email).await,
            ["A", "B", "C", "D", "E"]
        );
        // The one URL then leads to the page that lists them.
        let asked = json!({ "email": email, "returnTo": "https://app.test/x" });
        let url = ask(&place.server, "GetSSOLoginURL", asked).await.ok()["loginUrl"].clone();
        let url = url.as_str().unwrap();
        assert!(url.starts_with(&format!("{ORIGIN}/login?")), "{url}");
        let page = place.browser().get(url).await;
        assert_eq!(page.status, 200);
        let return_to = query(&[("return_to", "https://app.test/x")]);
        assert_eq!(
            page.text().matches(&return_to).count(),
            5 + 1,
            "one for another address"
        );

        // In pages, each once, in one order.
        let (mut found, mut token) = (vec![], String::new());
        loop {
            let asked = json!({ "email": email, "pagination": { "pageSize": 2, "token": token } });
            let list = ask(&place.server, "ListSSOLogins", asked).await.ok();
            let logins = list["logins"].as_array().unwrap();
            assert!(logins.len() <= 2);
            found.extend(
                logins
                    .iter()
                    .map(|l| l["displayName"].as_str().unwrap().to_owned()),
            );
            token = list["pagination"]["nextToken"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            if token.is_empty() {
                break;
            }
            // Of this list alone.
            let other = json!({ "email": "ada@nowhere.example", "pagination": { "token": token } });
            ask(&place.server, "ListSSOLogins", other)
                .await
                .error("invalid_argument");
        }
        assert_eq!(found, ["A", "B", "C", "D", "E"]);
    });
}

#[test]
fn there_is_one_kind_of_provider() {
    run(async {
        let place = Place::start().await;
        let asked = json!({ "filter": { "email": place.email("ada") } });
        let list = ask(&place.server, "ListLoginProviders", asked).await.ok();
        let providers = list["loginProviders"].as_array().unwrap();
        assert_eq!(providers.len(), 1);
        assert_eq!(providers[0]["provider"], "custom");
        assert_eq!(list["allowCustom"], true);
        let url = providers[0]["loginUrl"].as_str().unwrap();
        let location = place.browser().get(url).await.location();
        assert!(location.contains(&place.sso), "{location}");
    });
}

#[test]
fn no_organization_crowds_out_the_others() {
    run(async {
        let place = Place::start().await;
        place.update(json!({ "displayName": "Crowd" })).await;
        for client in 0..11 {
            let more = json!({ "displayName": "Crowd" });
            place.configure(&format!("crowd-{client}"), more).await;
        }
        place
            .neighbour()
            .await
            .update(json!({ "displayName": "Other" }))
            .await;
        let mut names = logins(&place.server, &place.email("ada")).await;
        assert_eq!(names.pop().as_deref(), Some("Other"));
        assert_eq!(names.len(), 10);
    });
}

#[test]
fn a_domain_leads_to_its_provider_in_whatever_spelling() {
    run(async {
        let place = Place::start().await;
        let domain = format!("bü{}", place.domain);
        let ascii = domain_key(&domain).into_owned();
        let spellings = [
            domain.clone(),
            ascii.clone(),
            format!("{}.", ascii.to_uppercase()),
            format!("{}。", domain.to_uppercase()),
        ];
        for configured in &spellings {
            place
                .update(json!({ "displayName": "A", "emailDomains": [configured] }))
                .await;
            for asked in &spellings {
                let email = format!(" ada@{asked}\n");
                assert_eq!(
                    logins(&place.server, &email).await,
                    ["A"],
                    "{configured} {asked}"
                );
                let asked = json!({ "email": email });
                let url = ask(&place.server, "GetSSOLoginURL", asked).await.ok();
                let url = url["loginUrl"].as_str().unwrap().to_owned();
                assert!(
                    url.contains("login_hint=ada%40") && !url.contains('+'),
                    "{url}"
                );
                let page = place.browser().post("/login", &[("email", &email)]).await;
                assert_eq!(page.location(), url);
            }
        }
        // As 0.1.0 writes it, in an upgrade.
        place.update(json!({ "emailDomains": [domain] })).await;
        let mut db = place.server.app.store.acquire().await.unwrap();
        sqlx::query("update sso_configurations set email_domain_keys = array[$2] where organization_id = $1")
            .bind(place.server.organization_id().as_uuid())
            .bind(&domain)
            .execute(&mut *db)
            .await
            .unwrap();
        drop(db);
        assert_eq!(logins(&place.server, &format!("ada@{ascii}")).await, ["A"]);
        for odd in ["", " ", "ada", "@example.com", "ada@", "a b@example.com"] {
            for method in ["GetSSOLoginURL", "ListSSOLogins"] {
                let refused = ask(&place.server, method, json!({ "email": odd })).await;
                assert_eq!(refused.violations(), ["email"], "{method} {odd:?}");
            }
        }
    });
}
