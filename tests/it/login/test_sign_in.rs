//! Test sign-ins: an administrator tries a configuration, is shown everything, and nothing is changed.

use std::collections::{BTreeMap, HashMap};

use chrono::TimeDelta;
use serde_json::{Value, json};
use sqlx::query_scalar;

use super::{Browser, Place, gives_no_session};
use crate::api::rollcall::{ask, ask_as};
use crate::support::{Reply, run};

const CREATE: &str = "SignInService/CreateTestSignIn";
const WORKS: &str = "<h1>Sign-in works: nothing was changed</h1>";
const REFUSED: &str = "<h1>This sign-in would be refused</h1>";

/// A link that begins a test.
async fn link(place: &Place) -> String {
    let request = json!({ "ssoConfigurationId": place.sso, "returnTo": "/console/set-up?step=3" });
    let made = ask(&place.server, CREATE, request).await.ok();
    made["url"].as_str().unwrap().to_owned()
}

/// Begins a test and signs in at the provider: the parameters that come back.
async fn begin(place: &Place, browser: &mut Browser<'_>) -> HashMap<String, String> {
    let start = browser.get(&link(place).await).await;
    place.provider.authorize(&start.location())
}

/// A whole test. The browser has nothing afterwards that it did not have before.
async fn test(place: &Place) -> String {
    let mut browser = place.browser();
    let parameters = begin(place, &mut browser).await;
    let reply = place.come_back(&mut browser, &parameters).await;
    assert_eq!(browser.jar, BTreeMap::new());
    page(&reply)
}

#[track_caller]
fn page(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{}", reply.text());
    gives_no_session(reply);
    reply.text()
}

#[track_caller]
fn shows(page: &str, words: &[&str]) {
    for words in words {
        assert!(page.contains(words), "{words:?} in {page}");
    }
}

/// How many rows there are of what a sign-in writes.
async fn written(place: &Place) -> Vec<i64> {
    let mut db = place.server.app.store.acquire().await.unwrap();
    let organization = place.server.organization_id().as_uuid();
    let mut counts = vec![];
    for count in [
        "select count(*) from users where organization_id = $1",
        "select count(*) from sso_identities where organization_id = $1",
        "select count(*) from sessions where organization_id = $1",
        "select count(*) from sso_attempts where organization_id = $1",
        "select count(*) from audit_entries where organization_id = $1",
        "select count(*) from events where organization_id = $1",
    ] {
        let count = query_scalar(count).bind(organization).fetch_one(&mut *db);
        counts.push(count.await.unwrap());
    }
    counts
}

async fn tested_at(place: &Place) -> Value {
    let status = ask(&place.server, "StatusService/GetStatus", json!({})).await;
    let status = status.ok();
    let all = status["ssoConfigurations"].as_array().unwrap();
    let own = all.iter().find(|one| one["id"] == *place.sso).unwrap();
    own["testedAt"].clone()
}

const OFF: &str = "SSO_CONFIGURATION_STATE_INACTIVE";

#[test]
fn a_test_shows_what_a_sign_in_would_do_and_changes_nothing() {
    run(async {
        let place = Place::start().await;
        place
            .update(json!({ "state": OFF, "claimsExpression": "claims.email_verified && claims.name != ''" }))
            .await;
        let before = written(&place).await;
        let page = test(&place).await;
        shows(
            &page,
            &[
                WORKS,
                "Would be a new member: <strong>ada of the tests</strong>",
                &place.email("ada"),
                "<td>sub-ada</td>",
                "<code>claims.email_verified</code>",
                "<td>email_verified, claims expression</td>",
                "href=\"/console/set-up?step=3\"",
                &format!(
                    "action=\"/console/{}/sso/{}/activate\"",
                    place.server.organization, place.sso
                ),
                &format!(
                    "action=\"/console/{}/sso/{}/expression\"",
                    place.server.organization, place.sso
                ),
                "name=\"claims_json\"",
                "&quot;sub&quot;:&quot;sub-ada&quot;",
            ],
        );
        assert!(
            !page.contains("Failed") && !page.contains("Not reached"),
            "{page}"
        );
        for secret in place.provider.secrets() {
            assert!(!page.contains(&secret), "{page} tells {secret}");
        }
        assert_eq!(written(&place).await, before);
        assert_eq!(tested_at(&place).await, "2026-03-01T12:00:00Z");
    });
}

#[test]
fn a_test_finds_the_member_that_somebody_is() {
    run(async {
        let place = Place::start().await;
        let (_, ada) = place.signed_in("ada").await;
        let before = written(&place).await;
        place.comes("ada", json!({ "sub": "another" }));
        let page = test(&place).await;
        shows(
            &page,
            &[
                WORKS,
                "Would become the member",
                &format!("<code>{ada}</code>"),
            ],
        );
        assert!(!page.contains("/activate"), "it is active: {page}");
        assert_eq!(written(&place).await, before);
        let (_, same) = place.signed_in("ada").await;
        assert_eq!(same, ada);
    });
}

#[test]
fn a_refusal_is_shown_at_its_step_with_what_to_do() {
    run(async {
        let place = Place::start().await;
        let (_, _) = place.signed_in("ada").await;
        let suspended = place.members().await[0]["userId"].clone();
        let before = written(&place).await;

        place.comes("ada", json!({ "email": null }));
        let no_address = test(&place).await;
        shows(
            &no_address,
            &[
                REFUSED,
                "The provider sends no address",
                "have it send the claim",
                "All claims that arrived",
            ],
        );
        assert_eq!(no_address.matches("Passed").count(), 2, "{no_address}");
        assert_eq!(no_address.matches("Not reached").count(), 2, "{no_address}");

        place.comes("ada", json!({}));
        place.provider.bend().claims = json!({ "nonce": "another" });
        let token = test(&place).await;
        shows(&token, &[REFUSED, "The ID token", "nonce"]);
        assert_eq!(token.matches("Passed").count(), 1, "{token}");
        place.provider.bend().claims = json!({});

        let mut browser = place.browser();
        let start = browser.get(&link(&place).await).await.location();
        let state = place.provider.authorize(&start)["state"].clone();
        let denied = [
            ("state", &*state),
            ("error", "access_denied"),
            ("error_description", "not assigned"),
        ];
        let denied: HashMap<String, String> = denied
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let denied = page(&place.come_back(&mut browser, &denied).await);
        shows(
            &denied,
            &[
                REFUSED,
                "access_denied (not assigned)",
                "<code>authorization</code>",
            ],
        );
        assert_eq!(denied.matches("Passed").count(), 0, "{denied}");

        place
            .update(json!({ "claimsExpression": "'staff' in claims.groups" }))
            .await;
        place.comes("ada", json!({ "groups": ["guests"] }));
        let expression = test(&place).await;
        shows(
            &expression,
            &[
                REFUSED,
                "The claims expression is false",
                "[&quot;guests&quot;]",
                "The part that is not true",
            ],
        );
        assert_eq!(expression.matches("Passed").count(), 3, "{expression}");
        place.update(json!({ "claimsExpression": "" })).await;

        let suspend = json!({ "userId": suspended, "suspended": true });
        place
            .server
            .call_to("UserService/SetSuspended", suspend)
            .await
            .ok();
        let kept_out = test(&place).await;
        shows(
            &kept_out,
            &[REFUSED, "The member is suspended", "<code>member</code>"],
        );
        assert_eq!(kept_out.matches("Passed").count(), 4, "{kept_out}");

        place
            .update(json!({ "clientSecret": "a wrong secret" }))
            .await;
        let secret = test(&place).await;
        shows(
            &secret,
            &[
                REFUSED,
                "check client_id and client_secret",
                "<code>code</code>",
            ],
        );
        assert!(!secret.contains("a wrong secret"), "{secret}");

        assert_eq!(tested_at(&place).await, Value::Null);
        let after = written(&place).await;
        let [members, identities, _, tries, ..] = before[..] else {
            panic!("{before:?}")
        };
        // The suspension ended the session.
        assert_eq!(after[..4], [members, identities, 0, tries]);
    });
}

#[test]
fn a_provider_that_cannot_be_asked_is_shown_before_the_browser_goes_there() {
    run(async {
        let place = Place::start().await;
        place.provider.bend().metadata = json!({ "issuer": "https://elsewhere.example" });
        let reply = place.browser().get(&link(&place).await).await;
        let page = page(&reply);
        shows(
            &page,
            &[
                REFUSED,
                "calls itself",
                "<code>provider</code>",
                "Back to set-up",
            ],
        );
        assert_eq!(page.matches("Not reached").count(), 4, "{page}");
        assert!(place.attempts().await.is_empty());
    });
}

#[test]
fn a_change_that_matters_makes_a_test_old() {
    run(async {
        let place = Place::start().await;
        for (change, is_old) in [
            (json!({ "displayName": "Renamed" }), false),
            (
                json!({ "emailDomains": [place.domain, "acme.example"] }),
                false,
            ),
            (json!({ "state": OFF }), false),
            (json!({ "claimsExpression": "true" }), true),
            (json!({ "claims": { "name": "nickname" } }), true),
            (
                json!({ "additionalScopes": { "scopes": ["groups"] } }),
                true,
            ),
            (json!({ "clientSecret": super::SECRET }), true),
            (json!({ "clientId": "another" }), true),
        ] {
            shows(&test(&place).await, &[WORKS]);
            let check = json!({ "ssoConfigurationId": place.sso });
            let check = ask(&place.server, "SignInService/CheckSSOConfiguration", check).await;
            assert_eq!(check.ok()["testedAt"], "2026-03-01T12:00:00Z");
            place.update(change.clone()).await;
            assert_eq!(tested_at(&place).await.is_null(), is_old, "{change}");
        }
    });
}

#[test]
fn attack_tickets_that_open_no_test() {
    run(async {
        let place = Place::start().await;
        let neighbour = place.neighbour().await;
        place.update(json!({ "state": OFF })).await;
        let url = link(&place).await;
        let refused = async |url: &str| {
            let reply = place.browser().get(url).await;
            assert_eq!(reply.status, 404, "{url}: {}", reply.text());
            assert!(reply.headers.get("set-cookie").is_none(), "{url}");
        };
        let (before, ticket) = url.split_once("&ticket=").unwrap();
        refused(before).await;
        refused(&format!("{before}&ticket=")).await;
        refused(&format!("{before}&ticket=nonsense")).await;
        for at in [0, ticket.len() / 2, ticket.len() - 2] {
            let mut changed = ticket.to_owned();
            let other = if &ticket[at..=at] == "A" { "B" } else { "A" };
            changed.replace_range(at..=at, other);
            refused(&format!("{before}&ticket={changed}")).await;
        }
        // Of another organization, and of another configuration.
        let theirs = link(&neighbour).await;
        let (_, theirs) = theirs.split_once("&ticket=").unwrap();
        refused(&format!("{before}&ticket={theirs}")).await;
        let other = place
            .configure("another-client", json!({ "state": OFF }))
            .await;
        let moved = url.replace(&place.sso, &other);
        assert_ne!(moved, url);
        place
            .through(other.clone())
            .update(json!({ "state": OFF }))
            .await;
        refused(&moved).await;
        let moved = url.replace(&place.server.organization, &neighbour.server.organization);
        refused(&moved.replace(&place.sso, &neighbour.sso)).await;

        place.pass(TimeDelta::minutes(10) - TimeDelta::seconds(1));
        place.browser().get(&url).await.location();
        place.pass(TimeDelta::seconds(1));
        refused(&url).await;
    });
}

#[test]
fn attack_test_links_by_others_than_administrators() {
    run(async {
        let place = Place::start().await;
        let attacker = place.neighbour().await;
        let request = json!({ "ssoConfigurationId": place.sso });
        ask(&attacker.server, CREATE, request.clone())
            .await
            .error("not_found");
        for (role, read_only) in [
            (rollcall::domain::identity::Role::Member, false),
            (rollcall::domain::identity::Role::Admin, true),
        ] {
            let token = place.server.token(role, read_only).await;
            let reply = ask_as(&place.server, &token, CREATE, request.clone()).await;
            reply.error("permission_denied");
        }
        for evil in [
            "https://rollcall.test/console",
            "https://evil.example/",
            "//evil.example/",
            "/\\evil.example/",
            "console",
            "javascript:alert(1)",
        ] {
            let request = json!({ "ssoConfigurationId": place.sso, "returnTo": evil });
            let refused = ask(&place.server, CREATE, request).await.violations();
            assert_eq!(refused, ["return_to"], "{evil}");
        }
    });
}

#[test]
fn attack_test_that_ends_in_another_browser_or_as_a_login() {
    run(async {
        let place = Place::start().await;
        let before = written(&place).await;
        let mut own = place.browser();
        let parameters = begin(&place, &mut own).await;
        let reply = place.come_back(&mut place.browser(), &parameters).await;
        place.refused(&reply, "login", "another browser").await;

        // The same answer where it belongs, and once more.
        let cookies = own.jar.clone();
        shows(
            &page(&place.come_back(&mut own, &parameters).await),
            &[WORKS],
        );
        own.jar = cookies;
        let again = page(&place.come_back(&mut own, &parameters).await);
        shows(&again, &[REFUSED, "a second time"]);

        // A login's cookie in the place of a test's, and the other way round.
        let mut login = place.browser();
        let of_login = place.begin(&mut login).await;
        let mut test = place.browser();
        let of_test = begin(&place, &mut test).await;
        let (login_name, login_cookie) = login.jar.pop_first().unwrap();
        let (test_name, test_cookie) = test.jar.pop_first().unwrap();
        login.jar.insert(login_name, test_cookie);
        test.jar.insert(test_name, login_cookie);
        let reply = place.come_back(&mut login, &of_login).await;
        place.refused(&reply, "login", "another browser").await;
        let reply = place.come_back(&mut test, &of_test).await;
        place.refused(&reply, "login", "another browser").await;
        assert_eq!(written(&place).await[..3], before[..3]);
    });
}

#[test]
fn attack_claims_that_are_markup() {
    run(async {
        let place = Place::start().await;
        let evil = "<script>alert(1)</script>\"'><form action=x>";
        place.comes(
            "ada",
            json!({ "name": evil, evil: evil, "long": "x".repeat(5_000) }),
        );
        let page = test(&place).await;
        shows(&page, &[WORKS, "&lt;script&gt;"]);
        assert!(
            !page.contains("<script") && !page.contains("<form action=x>"),
            "{page}"
        );
        assert!(
            page.contains(&format!("{}…", "x".repeat(1_000))),
            "it is cut"
        );
    });
}

#[test]
fn a_login_is_shown_no_claims() {
    run(async {
        let place = Place::start().await;
        let url = place.start_url("");
        let reply = place.try_sign_in(&mut place.browser()).await;
        assert_eq!(reply.status, 303, "{url}");
        place.comes("ada", json!({ "email": null }));
        let reply = place.try_sign_in(&mut place.browser()).await;
        place.refused(&reply, "email", "sends no address").await;
        assert!(!reply.text().contains("All claims"), "{}", reply.text());
    });
}
