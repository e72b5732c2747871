//! Tokens of service accounts.

use serde_json::{Value, json};

use super::support::{MARKUP, Visitor, ask, between, is_escaped};
use crate::support::{Server, run};

const FORM: [(&str, &str); 4] = [
    ("name", "deploy"),
    ("description", "Deploys the website"),
    ("days", "90"),
    ("account_days", "365"),
];

async fn accounts(server: &Server) -> Vec<Value> {
    let method = "gitpod.v1.ServiceAccountService/ListServiceAccounts";
    let found = ask(server, method, json!({ "filter": { "search": "deploy" } })).await;
    found["serviceAccounts"]
        .as_array()
        .cloned()
        .unwrap_or_default()
}

async fn tokens(server: &Server) -> Vec<Value> {
    let method = "gitpod.v1.ServiceAccountService/ListServiceAccountTokens";
    let found = ask(server, method, json!({})).await;
    found["tokens"].as_array().cloned().unwrap_or_default()
}

/// Whom the API takes the bearer of a token for.
async fn bearer(server: &Server, token: &str) -> Option<Value> {
    let path = "IdentityService/GetAuthenticatedIdentity";
    let reply = server.call_to_as(token, path, json!({})).await;
    (reply.status == 200).then(|| reply.json()["subject"]["id"].take())
}

#[test]
fn a_token_is_made_shown_once_and_revoked() {
    run(async {
        let server = Server::start().await;
        let mut visitor = Visitor::administrator(&server).await;
        let page = visitor.see("tokens").await;
        assert!(page.contains("No token yet"), "{page}");
        visitor.see("tokens/new").await;
        let page = visitor.post("tokens/new", &FORM).await.text();
        let token = between(&page, "data-copy=\"rcsat_", "\"").to_owned();
        let token = format!("rcsat_{token}");
        let account = accounts(&server).await.pop().unwrap();
        assert_eq!(account["validUntil"], "2027-03-01T12:00:00Z");
        assert_eq!(bearer(&server, &token).await, Some(account["id"].clone()));
        let listed = tokens(&server).await;
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0]["expiresAt"], "2026-05-30T12:00:00Z");
        let page = visitor.see("tokens").await;
        for text in ["deploy", "2026-05-30"] {
            assert!(page.contains(text), "{text:?} is not in {page}");
        }
        assert!(!page.contains(&token), "{page}");
        let id = listed[0]["id"].as_str().unwrap();
        let page = visitor.done(&format!("tokens/{id}/revoke"), &[]).await;
        assert!(page.contains("No token yet"), "{page}");
        assert_eq!(bearer(&server, &token).await, None);
        let again = visitor.post(&format!("tokens/{id}/revoke"), &[]).await;
        assert_eq!(again.status, 404);
    });
}

#[test]
fn a_service_account_gets_another_token_and_is_deleted() {
    run(async {
        let server = Server::start().await;
        let mut visitor = Visitor::administrator(&server).await;
        visitor.post("tokens/new", &FORM).await;
        let id = accounts(&server).await[0]["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let path = format!("tokens/accounts/{id}");
        let list = visitor.see("tokens/accounts?search=DEPL").await;
        assert!(
            list.contains(&path) && list.contains("Deploys the website"),
            "{list}"
        );
        let list = visitor.see("tokens/accounts?search=nothing").await;
        assert!(list.contains("None of this name"), "{list}");
        visitor.see(&path).await;
        let form = [("token_description", "Production"), ("days", "30")];
        let page = visitor.post(&path, &form).await.text();
        let token = format!("rcsat_{}", between(&page, "data-copy=\"rcsat_", "\""));
        assert!(bearer(&server, &token).await.is_some());
        assert!(visitor.see("tokens").await.contains("Production"));
        visitor.done(&format!("{path}/delete"), &[]).await;
        assert_eq!(accounts(&server).await.len(), 0);
        assert_eq!(bearer(&server, &token).await, None);
    });
}

#[test]
fn what_is_wrong_with_a_token_is_told_at_its_field_and_nothing_is_lost() {
    run(async {
        let server = Server::start().await;
        let mut visitor = Visitor::administrator(&server).await;
        let long = "x".repeat(65);
        let mut form = FORM;
        form[0].1 = &long;
        let page = visitor.refused("tokens/new", &form, "The name must").await;
        assert!(page.contains("value=\"Deploys the website\""), "{page}");
        assert!(page.contains("value=\"365\" selected"), "{page}");
        form[0].1 = "deploy";
        for days in ["0", "-1", "x", "99999999999999999"] {
            form[3].1 = days;
            let reply = visitor.post("tokens/new", &form).await;
            assert_eq!(reply.status, 400, "{days}");
        }
        assert_eq!(accounts(&server).await.len(), 0);
        visitor.post("tokens/new", &FORM).await;
        let id = accounts(&server).await[0]["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let long = "x".repeat(256);
        let form = [("token_description", &*long), ("days", "30")];
        let path = format!("tokens/accounts/{id}");
        let page = visitor.refused(&path, &form, "The description must").await;
        assert!(page.contains(&long), "{page}");
        // One that an operator made has another way.
        let page = visitor.see("tokens/accounts").await;
        assert!(page.contains("by an operator"), "{page}");
    });
}

#[test]
fn attack_markup_in_what_a_service_account_is_called() {
    run(async {
        let server = Server::start().await;
        let mut visitor = Visitor::administrator(&server).await;
        let mut form = FORM;
        (form[0].1, form[1].1) = ("deploy <script>", MARKUP);
        visitor.post("tokens/new", &form).await;
        let account = accounts(&server).await.pop().unwrap();
        let path = format!("tokens/accounts/{}", account["id"].as_str().unwrap());
        is_escaped(&visitor.see(&path).await);
        is_escaped(&visitor.see("tokens/accounts").await);
        is_escaped(&visitor.see("tokens").await);
    });
}
