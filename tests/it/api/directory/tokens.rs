//! Tokens of service accounts and of members, and what ends with a suspension.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{group, member, put_into, set_role};
use crate::login::Place;
use crate::support::{Reply, Server, needs_parallel_connections, run};

async fn account(server: &Server, valid_until: &str) -> String {
    let request = json!({ "name": "Builder", "validUntil": valid_until });
    let made = server
        .call_to("ServiceAccountService/CreateServiceAccount", request)
        .await;
    made.ok()["serviceAccount"]["id"]
        .as_str()
        .unwrap()
        .to_owned()
}

async fn identity(server: &Server, token: &str) -> Reply {
    server
        .call_to_as(token, "IdentityService/GetAuthenticatedIdentity", json!({}))
        .await
}

async fn call(server: &Server, token: &str, method: &str, request: Value) -> Reply {
    server
        .call_to_as(token, &format!("ServiceAccountService/{method}"), request)
        .await
}

#[test]
fn a_service_account_gets_a_lasting_token_with_one_that_ends_after_an_hour() {
    run(async {
        let server = Server::start().await;
        let id = account(&server, "2026-03-31T00:00:00Z").await;
        let access = server.service_account_token(&id).await;
        assert!(access.starts_with("rcsat_"));
        let request = json!({ "description": "CI", "validFor": "864000s" });
        let made = call(&server, &access, "CreateServiceAccountToken", request)
            .await
            .ok();
        let lasting = made["token"].as_str().unwrap();
        let token = &made["serviceAccountToken"];
        assert_eq!(
            (
                &token["serviceAccountId"],
                &token["description"],
                &token["expiresAt"]
            ),
            (&json!(id), &json!("CI"), &json!("2026-03-11T12:00:00Z"))
        );
        assert_eq!(
            identity(&server, lasting).await.ok()["subject"],
            json!({ "id": id, "principal": "PRINCIPAL_SERVICE_ACCOUNT" })
        );
        // The one that ends soon is in no list.
        let list = call(&server, lasting, "ListServiceAccountTokens", json!({}))
            .await
            .ok();
        assert_eq!(list["tokens"].as_array().unwrap().len(), 1);
        assert_eq!(list["tokens"][0]["lastUsed"], "2026-03-01T12:00:00Z");
        server.pass(TimeDelta::minutes(61));
        identity(&server, &access).await.error("unauthenticated");
        identity(&server, lasting).await.ok();
        let long = json!({ "validFor": "31536000s" });
        let capped = call(&server, lasting, "CreateServiceAccountToken", long)
            .await
            .ok();
        assert_eq!(
            capped["serviceAccountToken"]["expiresAt"], "2026-03-31T00:00:00Z",
            "it ends with the account"
        );
        server.pass(TimeDelta::days(31));
        let capped = capped["token"].as_str().unwrap();
        identity(&server, capped).await.error("unauthenticated");
    });
}

/// The job looks at all organizations: it runs at a time before everything that other tests have.
#[test]
fn tokens_that_ended_are_deleted_and_no_others() {
    run(async {
        let place = Place::start().await;
        let server = &place.server;
        server.pass(TimeDelta::days(-12_000));
        let (mut ada, id) = place.signed_in("ada").await;
        let builder = account(server, "2100-01-01T00:00:00Z").await;
        server.service_account_token(&builder).await;
        personal(&mut ada, &id, json!({ "validFor": "3600s" })).await;
        server.pass(TimeDelta::minutes(61));
        let lasting = server.service_account_token(&builder).await;
        personal(&mut ada, &id, json!({ "validFor": "7200s" })).await;
        let deleted = rollcall::jobs::tokens::delete_ended(&server.app).await;
        assert_eq!(deleted.unwrap(), 2);
        identity(server, &lasting).await.ok();
    });
}

#[test]
fn what_opens_for_a_service_account_ends_when_it_is_suspended_or_deleted() {
    run(async {
        let server = Server::start().await;
        let id = account(&server, "2100-01-01T00:00:00Z").await;
        let access = server.service_account_token(&id).await;
        let suspend = async |suspended: bool| {
            let request = json!({ "userId": id, "suspended": suspended });
            server
                .call_to("UserService/SetSuspended", request)
                .await
                .ok()
        };
        suspend(true).await;
        identity(&server, &access).await.error("unauthenticated");
        let request = json!({ "serviceAccountId": id });
        let path = "CreateServiceAccountAccessToken";
        let another = call(&server, &server.token, path, request).await;
        another.error("failed_precondition");
        let list = async |more: Value| {
            let listed = call(&server, &server.token, "ListServiceAccounts", more).await;
            let all = listed.ok()["serviceAccounts"].clone();
            let all = all.as_array().unwrap().clone();
            all.into_iter().find(|account| account["id"] == *id)
        };
        assert_eq!(list(json!({})).await, None);
        let shown = list(json!({ "filter": { "includeSuspended": true } })).await;
        assert_eq!(shown.unwrap()["suspended"], true);
        suspend(false).await;
        identity(&server, &access).await.ok();
        let gone = json!({ "serviceAccountId": id });
        call(&server, &server.token, "DeleteServiceAccount", gone)
            .await
            .ok();
        identity(&server, &access).await.error("unauthenticated");
        let past = json!({ "name": "Late", "validUntil": "2026-02-01T00:00:00Z" });
        let past = call(&server, &server.token, "CreateServiceAccount", past).await;
        assert_eq!(past.violations(), ["valid_until"]);
    });
}

#[test]
fn a_service_account_has_no_say_in_the_tokens_of_others() {
    run(async {
        let server = Server::start().await;
        let (own, other) = (
            account(&server, "2100-01-01T00:00:00Z").await,
            account(&server, "2100-01-01T00:00:00Z").await,
        );
        let token = server.service_account_token(&own).await;
        let theirs = server.service_account_token(&other).await;
        let made = call(&server, &theirs, "CreateServiceAccountToken", json!({}))
            .await
            .ok();
        let id = json!({ "serviceAccountTokenId": made["serviceAccountToken"]["id"] });
        for method in ["GetServiceAccountToken", "DeleteServiceAccountToken"] {
            let reply = call(&server, &token, method, id.clone()).await;
            reply.error("permission_denied");
            call(&server, &server.token, method, id.clone()).await.ok();
        }
        identity(&server, made["token"].as_str().unwrap())
            .await
            .error("unauthenticated");
        let request = json!({ "serviceAccountId": other });
        let reply = call(&server, &token, "CreateServiceAccountAccessToken", request).await;
        reply.error("permission_denied");
        // Nobody makes a token in the name of a person.
        let ada = member(&server, "ada").await;
        for token in [&token, &server.token, &server.operator_token().await] {
            let request = json!({ "userId": ada });
            let path = "UserService/CreatePersonalAccessToken";
            server
                .call_to_as(token, path, request)
                .await
                .error("permission_denied");
        }
    });
}

/// A personal access token of somebody who is signed in, and its identifier.
async fn personal(browser: &mut crate::login::Browser<'_>, id: &str, more: Value) -> String {
    let mut request = json!({ "userId": id });
    crate::support::merge(&mut request, more);
    let made = browser
        .call("UserService/CreatePersonalAccessToken", request)
        .await;
    made.ok()["token"].as_str().unwrap().to_owned()
}

#[test]
fn a_personal_access_token_opens_what_its_member_may_do() {
    run(async {
        let place = Place::start().await;
        let server = &place.server;
        let (mut ada, id) = place.signed_in("ada").await;
        let token = personal(&mut ada, &id, json!({ "validFor": "86400s" })).await;
        assert!(token.starts_with("rcpat_"));
        let reading = personal(&mut ada, &id, json!({ "readOnly": true })).await;
        let new = async |token: &str| {
            let request =
                json!({ "organizationId": server.organization, "name": server.new_domain() });
            server
                .call_to_as(token, "GroupService/CreateGroup", request)
                .await
        };
        assert_eq!(
            identity(server, &token).await.ok()["subject"],
            json!({ "id": id, "principal": "PRINCIPAL_USER" })
        );
        new(&token).await.error("permission_denied");
        set_role(server, &id, "ADMIN").await.ok();
        new(&token).await.ok();
        let message = new(&reading).await.error("permission_denied");
        assert!(message.contains("read-only"), "{message}");
        identity(server, &reading).await.ok();

        // With a token, none is made that outlives it.
        let request = json!({ "userId": id, "validFor": "172800s" });
        let path = "UserService/CreatePersonalAccessToken";
        let longer = server.call_to_as(&token, path, request).await;
        assert_eq!(longer.violations(), ["valid_for"]);
        let request = json!({ "userId": id, "validFor": "3600s" });
        server.call_to_as(&token, path, request).await.ok();

        let short = json!({ "userId": id, "validFor": "0.5s" });
        server.call_to_as(&token, path, short).await.ok();
        server.pass(TimeDelta::seconds(1));
        let list = ada
            .call("UserService/ListPersonalAccessTokens", json!({}))
            .await
            .ok()["personalAccessTokens"]
            .clone();
        assert_eq!(list.as_array().unwrap().len(), 3);
        assert_eq!(list[0]["lastUsed"], "2026-03-01T12:00:00Z");
        let gone = json!({ "personalAccessTokenId": list[0]["id"] });
        ada.call("UserService/DeletePersonalAccessToken", gone)
            .await
            .ok();
        identity(server, &token).await.error("unauthenticated");
        server.pass(TimeDelta::days(31));
        identity(server, &reading).await.error("unauthenticated");
    });
}

#[test]
fn tokens_are_shown_to_their_member_and_to_administrators_alone() {
    run(async {
        let place = Place::start().await;
        let (mut ada, id) = place.signed_in("ada").await;
        personal(&mut ada, &id, json!({})).await;
        let (mut grace, _) = place.signed_in("grace").await;
        let of_ada = json!({ "filter": { "userIds": [id] } });
        let list = "UserService/ListPersonalAccessTokens";
        grace
            .call(list, of_ada.clone())
            .await
            .error("permission_denied");
        assert_eq!(
            grace.call(list, json!({})).await.ok()["personalAccessTokens"],
            Value::Null
        );
        let shown = place.server.call_to(list, of_ada).await.ok();
        let token = &shown["personalAccessTokens"][0]["id"];
        let request = json!({ "personalAccessTokenId": token });
        for method in ["GetPersonalAccessToken", "DeletePersonalAccessToken"] {
            let path = format!("UserService/{method}");
            grace
                .call(&path, request.clone())
                .await
                .error("permission_denied");
        }
    });
}

#[test]
fn with_a_suspension_by_hand_sessions_and_tokens_end_and_provisioning_does_not_lift_it() {
    run(async {
        let place = Place::start().await;
        let server = &place.server;
        let scim = place.provisioning().await;
        let more = json!({ "externalId": "sub-ada", "displayName": "Ada" });
        let user = scim.user(&place.email("ada"), more).await;
        let (mut ada, id) = place.signed_in("ada").await;
        let token = personal(&mut ada, &id, json!({})).await;
        let suspend = async |suspended: bool| {
            let request = json!({ "userId": id, "suspended": suspended });
            server.call_to("UserService/SetSuspended", request).await
        };
        let status = async || {
            let shown = server
                .call_to("UserService/GetUser", json!({ "userId": id }))
                .await
                .ok();
            shown["user"]["status"].as_str().unwrap().to_owned()
        };
        suspend(true).await.ok();
        assert_eq!(status().await, "USER_STATUS_SUSPENDED");
        assert_eq!(ada.member().await, None);
        identity(server, &token).await.error("unauthenticated");
        place.comes("ada", json!({}));
        let refused = place.try_sign_in(&mut place.browser()).await;
        assert_ne!(refused.status, 303);

        let path = crate::support::scim::path(&user);
        for active in [false, true] {
            let op = json!([{ "op": "replace", "value": { "active": active } }]);
            scim.patch(&path, op).await.is(200);
            assert_eq!(status().await, "USER_STATUS_SUSPENDED");
        }
        suspend(false).await.ok();
        assert_eq!(status().await, "USER_STATUS_ACTIVE");
        identity(server, &token).await.error("unauthenticated");
        // Whom provisioning keeps out, lifting the suspension does not let in.
        let op = json!([{ "op": "replace", "value": { "active": false } }]);
        scim.patch(&path, op).await.is(200);
        suspend(true).await.ok();
        suspend(false).await.ok();
        assert_eq!(status().await, "USER_STATUS_SUSPENDED");

        let deleted = server
            .call_to("UserService/DeleteUser", json!({ "userId": id }))
            .await;
        let message = deleted.error("failed_precondition");
        assert!(message.contains("SCIM Configuration"), "{message}");
    });
}

#[test]
fn whoever_leaves_is_signed_out_and_does_not_come_back_by_signing_in() {
    run(async {
        let place = Place::start().await;
        let server = &place.server;
        let (mut ada, id) = place.signed_in("ada").await;
        let token = personal(&mut ada, &id, json!({})).await;
        put_into(server, &group(server).await, &id).await;
        let other = member(server, "grace").await;
        ada.call(
            "OrganizationService/LeaveOrganization",
            json!({ "userId": other }),
        )
        .await
        .error("permission_denied");
        ada.call(
            "OrganizationService/LeaveOrganization",
            json!({ "userId": id }),
        )
        .await
        .ok();
        assert_eq!(ada.member().await, None);
        identity(server, &token).await.error("unauthenticated");
        let refused = place.try_sign_in(&mut place.browser()).await;
        assert_ne!(refused.status, 303);
        server
            .call_to("UserService/DeleteUser", json!({ "userId": id }))
            .await
            .error("not_found");
        let suspended = json!({ "userId": id, "suspended": true });
        server
            .call_to("UserService/SetSuspended", suspended)
            .await
            .error("failed_precondition");
    });
}

#[test]
fn a_token_that_is_used_while_it_is_revoked_opens_nothing_afterwards() {
    needs_parallel_connections();
    run(async {
        let place = Place::start().await;
        let server = &place.server;
        let (mut ada, id) = place.signed_in("ada").await;
        let token = personal(&mut ada, &id, json!({})).await;
        let uses = futures_util::future::join_all((0..16).map(|_| identity(server, &token)));
        let request = json!({ "userId": id, "suspended": true });
        let revoked = server.call_to("UserService/SetSuspended", request);
        let (_, revoked) = tokio::join!(uses, revoked);
        revoked.ok();
        identity(server, &token).await.error("unauthenticated");
    });
}
