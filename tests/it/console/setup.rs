//! Set-up links: what they open in the browser, and what they do not.

use serde_json::{Value, json};

use super::support::{Visitor, ask, between};
use crate::support::{Server, run};

/// Makes a link over the API, and returns its id and the path that the person opens.
async fn link(server: &Server, permissions: &[&str]) -> (String, String) {
    let permissions: Vec<String> = permissions
        .iter()
        .map(|name| format!("SETUP_PERMISSION_{name}"))
        .collect();
    let method = "rollcall.v1.SetupLinkService/CreateSetupLink";
    let request =
        json!({ "permissions": permissions, "returnUrl": "https://app.example.com/done" });
    let made = ask(server, method, request).await;
    let url = made["url"].as_str().unwrap();
    let (_, path) = url.split_once("/setup/").unwrap();
    let id = made["setupLink"]["id"].as_str().unwrap().to_owned();
    (id, format!("/setup/{path}"))
}

/// Somebody who has opened a link.
async fn guest<'a>(server: &'a Server, path: &str) -> Visitor<'a> {
    let mut guest = Visitor::stranger(server);
    let location = guest.browser.get(path).await.location();
    assert_eq!(location, format!("/console/{}", server.organization));
    guest
}

const PAGES: [(&str, &str); 4] = [
    ("SSO", "sso"),
    ("SSO", "sign-ins"),
    ("SCIM", "provisioning"),
    ("DOMAINS", "domains"),
];

#[test]
fn attack_a_link_opens_the_pages_that_it_is_for_and_no_others() {
    run(async {
        let server = Server::start().await;
        for permission in ["SSO", "SCIM", "DOMAINS"] {
            let (_, path) = link(&server, &[permission]).await;
            let mut guest = guest(&server, &path).await;
            let welcome = guest
                .browser
                .get(&format!("/console/{}", server.organization))
                .await;
            let welcome = welcome.text();
            assert!(
                welcome.contains("https://app.example.com/done"),
                "{welcome}"
            );
            for (needs, page) in PAGES {
                let expected = if needs == permission { 200 } else { 403 };
                let status = guest.get(page).await.status;
                assert_eq!(status, expected, "{page} with {permission}");
            }
            for page in [
                "people",
                "groups",
                "applications",
                "applications/new",
                "webhooks",
                "webhooks/new",
                "audit-log",
                "audit-log.csv",
                "settings",
                "tokens",
                "tokens/new",
                "setup-links",
            ] {
                assert_eq!(
                    guest.get(page).await.status,
                    403,
                    "{page} with {permission}"
                );
            }
            let form = [("sso", "1"), ("days", "30")];
            assert_eq!(guest.post("setup-links", &form).await.status, 403);
            let organizations = guest.browser.get("/console/organizations").await;
            assert_eq!(organizations.status, 401);
        }
    });
}

#[test]
fn attack_a_link_that_was_revoked_or_left_opens_nothing() {
    run(async {
        let server = Server::start().await;
        let (id, path) = link(&server, &["SSO"]).await;
        let mut guest_of_it = guest(&server, &path).await;
        let revoke = "rollcall.v1.SetupLinkService/RevokeSetupLink";
        ask(&server, revoke, json!({ "setupLinkId": id })).await;
        let reply = guest_of_it.get("sso").await;
        assert_eq!(reply.status, 404);
        assert!(reply.text().contains("has ended, or was revoked"));
        assert_eq!(guest_of_it.browser.get(&path).await.status, 404);
        for text in ["nonsense", "rcsetup_x"] {
            let reply = guest_of_it.browser.get(&format!("/setup/{text}")).await;
            assert_eq!(reply.status, 404, "{text}");
        }

        let (_, path) = link(&server, &["SSO"]).await;
        let mut leaving = guest(&server, &path).await;
        leaving.see("sso").await;
        leaving.browser.post("/console/leave", &[]).await.location();
        assert_eq!(leaving.get("sso").await.status, 401);
    });
}

#[test]
fn attack_a_link_opens_nothing_of_another_organization() {
    run(async {
        let server = Server::start().await;
        let other = server.neighbour().await;
        let (_, path) = link(&server, &["SSO", "SCIM", "DOMAINS"]).await;
        let mut guest = guest(&server, &path).await;
        for page in ["", "/sso", "/provisioning", "/domains", "/sso/new"] {
            let address = format!("/console/{}{page}", other.organization);
            assert_eq!(guest.browser.get(&address).await.status, 401, "{page}");
        }
    });
}

#[test]
fn an_administrator_makes_a_link_and_revokes_it() {
    run(async {
        let server = Server::start().await;
        let mut visitor = Visitor::administrator(&server).await;
        let none = [("description", "Jane"), ("days", "7")];
        let page = visitor
            .refused("setup-links", &none, "Choose at least one")
            .await;
        assert!(page.contains("value=\"Jane\""), "{page}");
        let form = [
            ("description", "Jane"),
            ("sso", "1"),
            ("domains", "1"),
            ("days", "1"),
        ];
        let page = visitor.post("setup-links", &form).await.text();
        let url = between(&page, "data-copy=\"", "\"");
        let (_, token) = url.split_once("/setup/").unwrap();
        let list = visitor.see("setup-links").await;
        assert!(
            !list.contains(token) && list.contains("Single sign-on, Domains"),
            "{list}"
        );
        let mut guest = guest(&server, &format!("/setup/{token}")).await;
        guest.see("domains").await;
        let revoke = between(&list, "/setup-links/", "/revoke").to_owned();
        let page = visitor
            .done(&format!("setup-links/{revoke}/revoke"), &[])
            .await;
        assert!(page.contains("Revoked"), "{page}");
        assert_eq!(guest.get("domains").await.status, 404);
        let log = ask(&server, "gitpod.v1.EventService/ListAuditLogs", json!({})).await;
        assert_ne!(log["entries"][0]["actorId"], Value::Null);
    });
}
