//! Attacks across tenants and roles: nothing of one organization is visible to another.

use rollcall::domain::identity::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Server, run};

const BY_SSO_ID: [&str; 3] = [
    "GetSSOConfiguration",
    "UpdateSSOConfiguration",
    "DeleteSSOConfiguration",
];
const BY_SCIM_ID: [&str; 4] = [
    "GetSCIMConfiguration",
    "UpdateSCIMConfiguration",
    "DeleteSCIMConfiguration",
    "RegenerateSCIMToken",
];
const WRITES: [&str; 7] = [
    "CreateSSOConfiguration",
    "UpdateSSOConfiguration",
    "DeleteSSOConfiguration",
    "CreateSCIMConfiguration",
    "UpdateSCIMConfiguration",
    "DeleteSCIMConfiguration",
    "RegenerateSCIMToken",
];
const READS: [&str; 4] = [
    "GetSSOConfiguration",
    "ListSSOConfigurations",
    "GetSCIMConfiguration",
    "ListSCIMConfigurations",
];

/// A request that any of the methods takes.
fn request(server: &Server, scim: &Value) -> Value {
    let mut request = server.sso_request("another");
    crate::support::merge(
        &mut request,
        json!({ "ssoConfigurationId": scim["ssoConfigurationId"], "scimConfigurationId": scim["id"] }),
    );
    request
}

#[test]
fn an_id_of_another_organization_is_not_found_like_one_of_nobody() {
    run(async {
        let server = Server::start().await;
        let attacker = server.neighbour().await;
        let scim = server.scim(json!({})).await["scimConfiguration"].clone();
        for method in BY_SSO_ID.iter().chain(&BY_SCIM_ID) {
            let theirs = attacker.call(method, request(&server, &scim)).await;
            let nobody =
                json!({ "ssoConfigurationId": Uuid::nil(), "scimConfigurationId": Uuid::nil() });
            let nobodys = attacker.call(method, nobody).await;
            assert_eq!(
                theirs.error("not_found"),
                nobodys.error("not_found"),
                "{method}: no oracle"
            );
        }
        for method in READS {
            server.call(method, request(&server, &scim)).await.ok();
        }
    });
}

#[test]
fn another_organizations_id_is_denied_whether_it_exists_or_not() {
    run(async {
        let server = Server::start().await;
        let attacker = server.neighbour().await;
        let scim = server.scim(json!({})).await["scimConfiguration"].clone();
        for method in [
            "CreateSSOConfiguration",
            "ListSSOConfigurations",
            "CreateSCIMConfiguration",
        ] {
            let theirs = attacker.call(method, request(&server, &scim)).await;
            let mut nobodys = request(&server, &scim);
            nobodys["organizationId"] = json!(Uuid::nil());
            let nobodys = attacker.call(method, nobodys).await;
            assert_eq!(
                theirs.error("permission_denied"),
                nobodys.error("permission_denied"),
                "{method}: no oracle"
            );
        }
    });
}

#[test]
fn lists_show_the_callers_organization_alone() {
    run(async {
        let server = Server::start().await;
        let neighbour = server.neighbour().await;
        server.scim(json!({})).await;
        let theirs = neighbour.scim(json!({})).await["scimConfiguration"].clone();
        let scim = neighbour
            .call("ListSCIMConfigurations", json!({}))
            .await
            .ok();
        assert_eq!(scim["scimConfigurations"], json!([theirs]));
        let sso = neighbour
            .call(
                "ListSSOConfigurations",
                json!({ "organizationId": neighbour.organization }),
            )
            .await
            .ok();
        assert_eq!(sso["ssoConfigurations"].as_array().unwrap().len(), 1);
        assert_eq!(
            sso["ssoConfigurations"][0]["id"],
            theirs["ssoConfigurationId"]
        );
    });
}

#[test]
fn a_member_may_neither_read_nor_write() {
    run(async {
        let server = Server::start().await;
        let scim = server.scim(json!({})).await["scimConfiguration"].clone();
        let member = server.token(Role::Member, false).await;
        for method in WRITES.iter().chain(&READS) {
            let message = server
                .call_as(&member, method, request(&server, &scim))
                .await
                .error("permission_denied");
            assert!(message.contains("administrator"), "{method}: {message}");
        }
    });
}

#[test]
fn a_read_only_token_reads_and_does_not_write() {
    run(async {
        let server = Server::start().await;
        let scim = server.scim(json!({})).await["scimConfiguration"].clone();
        let read_only = server.token(Role::Admin, true).await;
        for method in WRITES {
            let message = server
                .call_as(&read_only, method, request(&server, &scim))
                .await
                .error("permission_denied");
            assert!(message.contains("read-only"), "{method}: {message}");
        }
        for method in READS {
            server
                .call_as(&read_only, method, request(&server, &scim))
                .await
                .ok();
        }
    });
}

#[test]
fn validation_comes_before_authorization_and_after_authentication() {
    run(async {
        let server = Server::start().await;
        let member = server.token(Role::Member, false).await;
        for method in WRITES.iter().chain(&BY_SSO_ID) {
            server
                .call_as(&member, method, json!({}))
                .await
                .error("invalid_argument");
            server
                .call_as("nobody", method, json!({}))
                .await
                .error("unauthenticated");
        }
    });
}
