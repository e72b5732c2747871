//! Single sign-on, domains and provisioning in the console.

use http::header;
use serde_json::{Value, json};

use super::support::{MARKUP, Visitor, ask, between, is_escaped};
use crate::support::{Server, run};

const LIST: &str = "gitpod.v1.OrganizationService/ListSSOConfigurations";

async fn configurations(server: &Server) -> Vec<Value> {
    let request = json!({ "organizationId": server.organization });
    let found = ask(server, LIST, request).await;
    found["ssoConfigurations"]
        .as_array()
        .cloned()
        .unwrap_or_default()
}

const OKTA: [(&str, &str); 6] = [
    ("provider", "okta"),
    ("display_name", "Okta"),
    ("issuer_url", "https://acme.okta.example.com"),
    ("client_id", "0oa1"),
    ("client_secret", "hunter2-hunter2"),
    ("email_domains", "acme.example, acme.test"),
];

#[test]
fn a_configuration_is_not_active_before_somebody_activates_it() {
    run(async {
        let server = Server::start().await;
        let mut visitor = Visitor::administrator(&server).await;
        let page = visitor.done("sso/new", &OKTA).await;
        assert!(!page.contains("hunter2"), "{page}");
        let made = configurations(&server).await.remove(0);
        assert_eq!(made["state"], "SSO_CONFIGURATION_STATE_INACTIVE");
        assert_eq!(made["emailDomains"], json!(["acme.example", "acme.test"]));
        let path = format!("sso/{}", made["id"].as_str().unwrap());
        visitor.done(&format!("{path}/activate"), &[]).await;
        let made = configurations(&server).await.remove(0);
        assert_eq!(made["state"], "SSO_CONFIGURATION_STATE_ACTIVE");

        // An empty secret keeps the one that there is.
        let mut change = OKTA.to_vec();
        change[1] = ("display_name", MARKUP);
        change[4] = ("client_secret", "");
        visitor.done(&path, &change).await;
        is_escaped(&visitor.see(&path).await);
        is_escaped(&visitor.see("sso").await);
        change[5] = ("email_domains", "no domain!");
        let page = visitor.refused(&path, &change, "Email domains").await;
        assert!(page.contains("value=\"no domain!\""), "{page}");
        visitor.done(&format!("{path}/delete"), &[]).await;
        assert!(configurations(&server).await.is_empty());
    });
}

#[test]
fn at_google_only_the_workspace_is_let_in() {
    run(async {
        let server = Server::start().await;
        let mut visitor = Visitor::administrator(&server).await;
        let form = |domains| {
            [
                ("provider", "google"),
                ("issuer_url", "https://accounts.google.com"),
                ("client_id", "x.apps.googleusercontent.com"),
                ("client_secret", "hunter2-hunter2"),
                ("email_domains", domains),
            ]
        };
        visitor
            .refused("sso/new", &form(" "), "domains of your Workspace")
            .await;
        assert!(configurations(&server).await.is_empty());
        visitor.done("sso/new", &form("acme.example")).await;
        let made = configurations(&server).await.remove(0);
        let expression = r#"has(claims.hd) && claims.hd in ["acme.example"]"#;
        assert_eq!(made["claimsExpression"], expression);
        // The expression follows the domains, until somebody writes another.
        let path = format!("sso/{}", made["id"].as_str().unwrap());
        visitor.done(&path, &form("acme.example acme.test")).await;
        let made = configurations(&server).await.remove(0);
        let expression = r#"has(claims.hd) && claims.hd in ["acme.example", "acme.test"]"#;
        assert_eq!(made["claimsExpression"], expression);
        let own = [("expression", "true"), ("claims_json", "{}")];
        visitor.done(&format!("{path}/expression/save"), &own).await;
        visitor.done(&path, &form("acme.example")).await;
        assert_eq!(configurations(&server).await[0]["claimsExpression"], "true");
    });
}

#[test]
fn an_expression_is_tried_before_it_is_saved() {
    run(async {
        let server = Server::start().await;
        let mut visitor = Visitor::administrator(&server).await;
        visitor.done("sso/new", &OKTA).await;
        let id = configurations(&server).await[0]["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let path = format!("sso/{id}/expression");
        let claims = ("claims_json", r#"{"groups": ["<script>"]}"#);
        let tried = visitor
            .post(&path, &[("expression", "\"a\" in claims.groups"), claims])
            .await;
        let page = tried.text();
        assert!(page.contains("would be kept out"), "{page}");
        is_escaped(&page);
        let tried = visitor.post(&path, &[("expression", ""), claims]).await;
        assert!(tried.text().contains("would be let in"));
        let wrong = visitor
            .post(&path, &[("expression", "claims."), claims])
            .await;
        assert!(wrong.text().contains("role=\"alert\""));
        let save = format!("{path}/save");
        let page = visitor
            .refused(&save, &[("expression", "claims."), claims], "")
            .await;
        assert!(page.contains(">claims.</textarea>"), "{page}");
        visitor.done(&save, &[("expression", "true"), claims]).await;
        assert_eq!(configurations(&server).await[0]["claimsExpression"], "true");
    });
}

#[test]
fn provisioning_shows_its_token_once_and_what_arrives() {
    run(async {
        let server = Server::start().await;
        let mut visitor = Visitor::administrator(&server).await;
        let page = visitor.see("provisioning/new").await;
        assert!(page.contains("First set up single sign-on"), "{page}");
        visitor.done("sso/new", &OKTA).await;
        let sso = configurations(&server).await[0]["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let form = [("sso", &*sso), ("name", MARKUP), ("days", "90")];
        let page = visitor.post("provisioning/new", &form).await.text();
        let token = between(&page, "data-copy=\"rcscim_", "\"").to_owned();
        is_escaped(&visitor.see("provisioning").await);
        let list = visitor.see("provisioning").await;
        let id = between(&list, "/provisioning/0", "\"").to_owned();
        let path = format!("provisioning/0{id}");
        let page = visitor.see(&path).await;
        assert!(page.contains("Waiting for the first request"), "{page}");
        assert!(!page.contains(&token), "{page}");

        let page = visitor.post(&format!("{path}/token"), &[]).await.text();
        assert_ne!(between(&page, "data-copy=\"rcscim_", "\""), token);
        let page = visitor.done(&format!("{path}/switch"), &[("on", "")]).await;
        assert!(page.contains(">Off<"), "{page}");
        visitor.done(&format!("{path}/delete"), &[]).await;
        assert_eq!(visitor.get(&path).await.status, 404);
    });
}

#[test]
fn a_domain_is_looked_up_and_what_was_found_is_said() {
    run(async {
        let server = Server::start().await;
        let mut visitor = Visitor::administrator(&server).await;
        visitor
            .refused("domains", &[("domain", "no domain!")], "omain")
            .await;
        let location = visitor
            .post("domains", &[("domain", "acme.example")])
            .await
            .location();
        let page = visitor.browser.get(&location).await.text();
        assert!(page.contains("_rollcall-challenge.acme.example"), "{page}");
        let (_, id) = location.rsplit_once('/').unwrap();
        let reply = visitor.post(&format!("domains/{id}/verify"), &[]).await;
        assert_eq!(reply.status, 400);
        assert!(reply.text().contains("_rollcall-challenge.acme.example"));
        visitor.done(&format!("domains/{id}/delete"), &[]).await;
    });
}

#[test]
fn assets_are_kept_by_their_mark_alone() {
    run(async {
        let server = Server::start().await;
        let mut visitor = Visitor::administrator(&server).await;
        let page = visitor.see("sso").await;
        let style = between(&page, "href=\"/console/assets/style.css", "\"").to_owned();
        let path = format!("/console/assets/style.css{style}");
        let kept = visitor.browser.get(&path).await;
        assert!(
            kept.headers[header::CACHE_CONTROL]
                .to_str()
                .unwrap()
                .contains("immutable")
        );
        for other in ["/console/assets/style.css", "/console/assets/style.css?0"] {
            let reply = visitor.browser.get(other).await;
            assert_eq!(reply.headers[header::CACHE_CONTROL], "no-store", "{other}");
        }
    });
}
