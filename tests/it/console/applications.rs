//! Applications.

use serde_json::{Value, json};

use super::support::{MARKUP, Visitor, ask, between, is_escaped};
use crate::support::{Server, run};

const WIKI: [(&str, &str); 6] = [
    ("name", "Wiki"),
    (
        "redirect_uris",
        "https://wiki.example.com/callback\r\n\r\n https://wiki.example.org/callback ",
    ),
    (
        "authentication",
        "CLIENT_AUTHENTICATION_CLIENT_SECRET_BASIC",
    ),
    ("scope", "SCOPE_OPENID"),
    ("scope", "SCOPE_GROUPS"),
    ("pkce", "yes"),
];

async fn applications(server: &Server) -> Vec<Value> {
    let path = "rollcall.v1.ApplicationService/ListApplications";
    let found = ask(server, path, json!({})).await;
    found["applications"]
        .as_array()
        .cloned()
        .unwrap_or_default()
}

async fn make(server: &Server, visitor: &mut Visitor<'_>) -> String {
    let made = visitor.post("applications/new", &WIKI).await;
    assert_eq!(made.status, 200, "{}", made.text());
    let id = applications(server).await.pop().unwrap()["id"].take();
    id.as_str().unwrap().to_owned()
}

async fn group(server: &Server, name: &str) -> String {
    let request = json!({ "organizationId": server.organization, "name": name });
    let mut made = ask(server, "gitpod.v1.GroupService/CreateGroup", request).await;
    let id = made["group"]["id"].take();
    id.as_str().unwrap().to_owned()
}

#[test]
fn an_application_is_made_with_a_secret_that_is_shown_once() {
    run(async {
        let server = Server::start().await;
        let mut visitor = Visitor::administrator(&server).await;
        let page = visitor.see("applications").await;
        assert!(page.contains("No application yet"), "{page}");
        visitor.see("applications/new").await;
        let page = visitor.post("applications/new", &WIKI).await.text();
        let secret = between(&page, "data-copy=\"rcapps_", "\"").to_owned();
        let made = applications(&server).await.pop().unwrap();
        assert_eq!(made["name"], "Wiki");
        assert_eq!(
            made["redirectUris"],
            json!([
                "https://wiki.example.com/callback",
                "https://wiki.example.org/callback"
            ])
        );
        assert_eq!(made["scopes"], json!(["SCOPE_OPENID", "SCOPE_GROUPS"]));
        assert_eq!(made["requirePkce"], true);
        for value in [
            made["clientId"].as_str().unwrap(),
            "https://rollcall.test",
            "https://rollcall.test/.well-known/openid-configuration",
            "openid groups",
        ] {
            assert!(page.contains(&format!("data-copy=\"{value}\"")), "{value}");
        }
        let list = visitor.see("applications").await;
        for text in [
            "Wiki",
            "On a server, with a secret",
            "Everybody",
            "and 1 more",
        ] {
            assert!(list.contains(text), "{text:?} is not in {list}");
        }
        let path = format!("applications/{}", made["id"].as_str().unwrap());
        let page = visitor.see(&path).await;
        assert!(
            !page.contains(&secret) && !page.contains("rcapps_"),
            "{page}"
        );
    });
}

#[test]
fn what_is_wrong_with_an_application_is_told_at_its_field_and_nothing_is_lost() {
    run(async {
        let server = Server::start().await;
        let mut visitor = Visitor::administrator(&server).await;
        let mut form = WIKI;
        form[1].1 = "https://wiki.example.com/callback\nhttp://wiki.example.com/callback";
        let page = visitor
            .refused(
                "applications/new",
                &form,
                "“http://wiki.example.com/callback” must",
            )
            .await;
        assert!(page.contains("id=\"redirect_uris-problem\""), "{page}");
        for kept in [
            "value=\"Wiki\"",
            "\nhttps://wiki.example.com/callback\nhttp://wiki.example.com/callback</textarea>",
            "value=\"SCOPE_GROUPS\" checked",
        ] {
            assert!(page.contains(kept), "{kept:?} is not in {page}");
        }
        assert!(!page.contains("value=\"SCOPE_EMAIL\" checked"), "{page}");
        form[1].1 = "";
        visitor
            .refused(
                "applications/new",
                &form,
                "The list must have at least one URI",
            )
            .await;
        assert_eq!(applications(&server).await.len(), 0);
        // The same where one is changed.
        let id = make(&server, &mut visitor).await;
        let page = visitor
            .refused(
                &format!("applications/{id}"),
                &form,
                "must have at least one URI",
            )
            .await;
        assert!(page.contains("Delete the application"), "{page}");
        assert_eq!(
            applications(&server).await[0]["redirectUris"][1],
            "https://wiki.example.org/callback"
        );
    });
}

#[test]
fn an_application_is_changed() {
    run(async {
        let server = Server::start().await;
        let mut visitor = Visitor::administrator(&server).await;
        let id = make(&server, &mut visitor).await;
        let form = [
            ("name", "Handbook"),
            ("redirect_uris", "https://handbook.example.com/callback"),
            (
                "post_logout_redirect_uris",
                "https://handbook.example.com/bye",
            ),
            ("initiate_login_uri", "https://handbook.example.com/login"),
            ("logo_url", "https://handbook.example.com/logo.png"),
            ("authentication", "CLIENT_AUTHENTICATION_CLIENT_SECRET_POST"),
            ("scope", "SCOPE_OPENID"),
            ("signature", "SIGNATURE_ES256"),
        ];
        let page = visitor.done(&format!("applications/{id}"), &form).await;
        assert!(page.contains("Handbook"), "{page}");
        let now = applications(&server).await.pop().unwrap();
        assert_eq!(now["name"], "Handbook");
        assert_eq!(
            now["postLogoutRedirectUris"],
            json!(["https://handbook.example.com/bye"])
        );
        assert_eq!(
            now["initiateLoginUri"],
            "https://handbook.example.com/login"
        );
        assert_eq!(now["logoUrl"], "https://handbook.example.com/logo.png");
        assert_eq!(now["idTokenSignature"], "SIGNATURE_ES256");
        assert_eq!(now["requirePkce"], Value::Null);
        // What is empty in the form is nothing.
        visitor.done(&format!("applications/{id}"), &WIKI).await;
        let now = applications(&server).await.pop().unwrap();
        assert_eq!(now["logoUrl"], Value::Null);
        assert_eq!(now["postLogoutRedirectUris"], Value::Null);
    });
}

#[test]
fn groups_that_may_use_an_application_are_found_added_and_removed() {
    run(async {
        let server = Server::start().await;
        let mut visitor = Visitor::administrator(&server).await;
        let id = make(&server, &mut visitor).await;
        let (engineers, others) = (
            group(&server, "Engineering").await,
            group(&server, "Design").await,
        );
        let path = format!("applications/{id}");
        let page = visitor.see(&format!("{path}?search=engin")).await;
        assert!(
            page.contains(&format!("name=\"add\" value=\"{engineers}\"")),
            "{page}"
        );
        assert!(!page.contains(&others), "{page}");
        let page = visitor.see(&format!("{path}?search=nothing")).await;
        assert!(page.contains("No other group has “nothing”"), "{page}");
        let groups = format!("{path}/groups");
        visitor.done(&groups, &[("add", &engineers)]).await;
        let page = visitor.done(&groups, &[("add", &others)]).await;
        assert!(
            page.contains(&format!("name=\"remove\" value=\"{engineers}\"")),
            "{page}"
        );
        let list = visitor.see("applications").await;
        assert!(
            list.contains("Design") && list.contains("Engineering"),
            "{list}"
        );
        visitor.done(&groups, &[("remove", &engineers)]).await;
        assert_eq!(applications(&server).await[0]["groupIds"], json!([others]));
        // The last one is asked about: then everybody may.
        let page = visitor.post(&groups, &[("remove", &others)]).await.text();
        assert!(page.contains("Open it to everybody?"), "{page}");
        assert_eq!(applications(&server).await[0]["groupIds"], json!([others]));
        let all = [("remove", &*others), ("everybody", "1")];
        visitor.done(&groups, &all).await;
        assert_eq!(applications(&server).await[0]["groupIds"], Value::Null);
        let location = visitor.get(&groups).await.location();
        assert!(location.ends_with(&path), "{location}");
    });
}

#[test]
fn a_secret_is_replaced() {
    run(async {
        let server = Server::start().await;
        let mut visitor = Visitor::administrator(&server).await;
        let id = make(&server, &mut visitor).await;
        let path = format!("applications/{id}/secret");
        let page = visitor.post(&path, &[("keep", "86400s")]).await.text();
        between(&page, "data-copy=\"rcapps_", "\"");
        assert!(page.contains("The secret before works until"), "{page}");
        let page = visitor.post(&path, &[("keep", "0s")]).await.text();
        assert!(
            page.contains("The secret before does not work any more"),
            "{page}"
        );
        assert_eq!(visitor.post(&path, &[("keep", "1y")]).await.status, 400);
        // Whoever opens the address later gets to the application.
        let location = visitor.get(&path).await.location();
        assert!(
            location.ends_with(&format!("/applications/{id}")),
            "{location}"
        );
        // A public one has none.
        let mut form = WIKI;
        form[2].1 = "CLIENT_AUTHENTICATION_NONE";
        let page = visitor.post("applications/new", &form).await.text();
        assert!(!page.contains("rcapps_"), "{page}");
        assert!(page.contains("Wiki is added"), "{page}");
    });
}

#[test]
fn an_application_is_deleted() {
    run(async {
        let server = Server::start().await;
        let mut visitor = Visitor::administrator(&server).await;
        let id = make(&server, &mut visitor).await;
        visitor
            .done(&format!("applications/{id}/delete"), &[])
            .await;
        assert_eq!(applications(&server).await.len(), 0);
        assert_eq!(visitor.get(&format!("applications/{id}")).await.status, 404);
    });
}

#[test]
fn attack_markup_in_what_an_application_is_called() {
    run(async {
        let server = Server::start().await;
        let mut visitor = Visitor::administrator(&server).await;
        let mut form = WIKI;
        form[0].1 = MARKUP;
        is_escaped(&visitor.post("applications/new", &form).await.text());
        is_escaped(&visitor.see("applications").await);
        let id = applications(&server).await[0]["id"].clone();
        is_escaped(
            &visitor
                .see(&format!("applications/{}", id.as_str().unwrap()))
                .await,
        );
        form[1].1 = "</textarea><script>alert(1)</script>";
        let reply = visitor.post("applications/new", &form).await;
        assert_eq!(reply.status, 400);
        is_escaped(&reply.text());
    });
}
