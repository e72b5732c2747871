//! What events tell, of whom, and who did it.

use rollcall::domain::identity::Role;
use rollcall::provisioning::organizations::{
    Grant, create_and_record, issue_token_and_record, revoke_token,
};
use serde_json::{Value, json};

use super::{Reader, ask};
use crate::api::methods::{call, join};
use crate::login::Place;
use crate::support::scim::{Client, path};
use crate::support::{Server, merge, run};

/// The only event, which has this type.
fn only(events: &[Value], kind: &str) -> Value {
    let [event] = events else {
        panic!("not one event: {events:?}");
    };
    assert_eq!(event["type"], kind, "{event}");
    event.clone()
}

fn types(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect()
}

#[test]
fn a_member_is_told_of_from_the_first_day_to_the_last() {
    run(async {
        let c = Client::start().await;
        let mut reader = Reader::start(&c.server).await;
        let user = c
            .user("ada@example.com", json!({ "displayName": "Ada" }))
            .await;
        let event = only(&reader.read().await, "member.created");
        assert_eq!(event["organizationId"], *c.server.organization);
        assert_eq!(event["subjectType"], "member");
        assert_eq!(event["subjectId"], event["data"]["id"]);
        assert_eq!(event["data"]["name"], "Ada");
        assert_eq!(event["data"]["status"], "active");
        let by_provisioning = json!({ "type": "scim_configuration", "id": c.configuration });
        assert_eq!(event["actor"], by_provisioning);
        let member = event["subjectId"].clone();

        let user = path(&user);
        c.patch(
            &user,
            json!([{ "op": "replace", "path": "displayName", "value": "Ada L." }]),
        )
        .await
        .is(200);
        let event = only(&reader.read().await, "member.updated");
        assert_eq!(event["data"]["name"], "Ada L.");
        assert_eq!(event["previous"], json!({ "name": "Ada" }));
        assert_eq!(event["actor"], by_provisioning);
        // What nobody but the identity provider sees of the user is no news.
        c.patch(
            &user,
            json!([{ "op": "replace", "path": "title", "value": "Countess" }]),
        )
        .await
        .is(200);
        assert!(reader.read().await.is_empty());

        for (active, kind) in [(false, "member.suspended"), (true, "member.reactivated")] {
            c.set_active(&user, active).await;
            let event = only(&reader.read().await, kind);
            assert_eq!(event["subjectId"], member);
            assert_eq!(event["actor"], by_provisioning);
        }
        c.delete(&user).await.is(204);
        let event = only(&reader.read().await, "member.left");
        assert_eq!(event["data"]["status"], "left");
        assert_eq!(event["previous"], json!({ "status": "active" }));
        assert_eq!(event["actor"], by_provisioning);
    });
}

#[test]
fn a_pushed_group_and_its_members_are_told_of() {
    run(async {
        let c = Client::start().await;
        let ada = c.user("ada@example.com", json!({})).await;
        let bob = c.user("bob@example.com", json!({})).await;
        let mut reader = Reader::start(&c.server).await;
        let group = c.group("Wheel", &[&ada, &bob]).await;
        let events = reader.read().await;
        assert_eq!(
            types(&events),
            ["group.created", "membership.created", "membership.created"]
        );
        assert_eq!(events[0]["data"]["system_managed"], true);
        assert_eq!(events[0]["data"]["scim_configuration_id"], c.configuration);
        assert_eq!(events[1]["data"]["group_id"], group["id"]);
        let by_provisioning = json!({ "type": "scim_configuration", "id": c.configuration });
        for event in &events {
            assert_eq!(event["actor"], by_provisioning, "{event}");
        }
        let of_ada = &events[1]["data"]["subject_id"];

        c.patch(
            &path(&group),
            json!([{ "op": "replace", "path": "displayName", "value": "Rim" }]),
        )
        .await;
        let event = only(&reader.read().await, "group.updated");
        assert_eq!(event["previous"], json!({ "name": "Wheel" }));

        let remove = format!("members[value eq \"{}\"]", ada["id"].as_str().unwrap());
        c.patch(&path(&group), json!([{ "op": "remove", "path": remove }]))
            .await;
        let event = only(&reader.read().await, "membership.deleted");
        assert_eq!(event["data"]["subject_id"], *of_ada);

        c.delete(&path(&bob)).await.is(204);
        assert_eq!(reader.types().await, ["membership.deleted", "member.left"]);

        c.patch(
            &path(&group),
            json!([{ "op": "add", "path": "members", "value": [{ "value": ada["id"] }] }]),
        )
        .await;
        assert_eq!(reader.types().await, ["membership.created"]);
        // Who was in it is in it no more: the event of the group says so.
        c.delete(&path(&group)).await.is(204);
        only(&reader.read().await, "group.deleted");
    });
}

#[test]
fn a_configuration_that_goes_takes_its_groups_with_it() {
    run(async {
        let c = Client::start().await;
        let ada = c.user("ada@example.com", json!({})).await;
        c.group("Wheel", &[&ada]).await;
        let mut reader = Reader::start(&c.server).await;
        let request = json!({ "scimConfigurationId": c.configuration });
        c.server.call("DeleteSCIMConfiguration", request).await.ok();
        let types = reader.types().await;
        assert!(types.contains(&"group.deleted".to_owned()), "{types:?}");
        assert_eq!(types.last().unwrap(), "scim_configuration.deleted");
        let members = types
            .iter()
            .filter(|kind| kind.starts_with("membership"))
            .count();
        assert!(members <= 1, "{types:?}");
    });
}

#[test]
fn what_an_administrator_decides_is_told_with_who_did_it() {
    run(async {
        let server = Server::start().await;
        let anna = join(&server, "anna@example.com", "Anna").await;
        let mut reader = Reader::start(&server).await;
        let about = json!({ "organizationId": server.organization, "name": "Wheel" });
        let group = server.call_to("GroupService/CreateGroup", about).await.ok();
        let group = &group["group"]["id"];
        let event = only(&reader.read().await, "group.created");
        assert_eq!(event["data"]["system_managed"], false);
        assert_eq!(event["actor"]["type"], "service_account");

        let subject = json!({ "id": anna, "principal": "PRINCIPAL_USER" });
        let membership = json!({ "groupId": group, "subject": subject });
        server
            .call_to("GroupService/CreateMembership", membership)
            .await
            .ok();
        let event = only(&reader.read().await, "membership.created");
        assert_eq!(event["data"]["subject_id"], *anna);
        assert_eq!(event["data"]["principal"], "user");

        let assignment = json!({
            "groupId": group,
            "resourceType": "RESOURCE_TYPE_GROUP",
            "resourceId": group,
            "resourceRole": "RESOURCE_ROLE_GROUP_ADMIN",
        });
        server
            .call_to("GroupService/CreateRoleAssignment", assignment)
            .await
            .ok();
        let event = only(&reader.read().await, "role_assignment.created");
        assert_eq!(event["data"]["role"], "group_admin");

        let role = json!({
            "organizationId": server.organization, "userId": anna, "role": "ORGANIZATION_ROLE_ADMIN",
        });
        server.call("SetRole", role).await.ok();
        let event = only(&reader.read().await, "member.updated");
        assert_eq!(event["previous"], json!({ "role": "member" }));

        server
            .call_to("GroupService/DeleteGroup", json!({ "groupId": group }))
            .await
            .ok();
        assert_eq!(
            reader.types().await,
            ["role_assignment.deleted", "group.deleted"]
        );
    });
}

#[test]
fn configurations_domains_and_applications_are_told_of_without_secrets() {
    run(async {
        let server = Server::start().await;
        let mut reader = Reader::start(&server).await;
        let scim = server.scim(json!({})).await;
        let domain = server.new_domain();
        server.verified_domain(&domain).await;
        let wiki = json!({ "name": "Wiki", "redirectUris": ["https://wiki.example.com/callback"] });
        let path = "rollcall.v1.ApplicationService/CreateApplication";
        let wiki = call(&server, path, Some(&server.token), &wiki).await.ok();
        let rename = json!({ "organizationId": server.organization, "name": "Renamed" });
        server.call("UpdateOrganization", rename).await.ok();
        let events = reader.read().await;
        assert_eq!(
            types(&events),
            [
                "sso_configuration.created",
                "scim_configuration.created",
                "domain_verification.created",
                "domain_verification.updated",
                "application.created",
                "organization.updated",
            ]
        );
        assert_eq!(events[3]["data"]["state"], "verified");
        assert_eq!(events[5]["previous"], json!({ "name": "Test" }));
        for event in &events {
            assert_eq!(event["data"]["id"], event["subjectId"]);
            assert_eq!(event["actor"]["type"], "service_account");
        }
        let all = format!("{events:?}");
        for secret in [
            &scim["token"],
            &wiki["clientSecret"],
            &json!("hunter2-hunter2"),
        ] {
            assert!(!all.contains(secret.as_str().unwrap()));
        }
    });
}

#[test]
fn sessions_are_told_of_and_why_they_ended() {
    run(async {
        let place = Place::start().await;
        let server = &place.server;
        let mut reader = Reader::start(server).await;
        let (mut browser, ada) = place.signed_in("ada").await;
        let events = reader.read().await;
        assert_eq!(types(&events), ["member.created", "session.created"]);
        let by_sign_in = json!({ "type": "sign_in", "id": place.sso });
        for event in &events {
            assert_eq!(event["actor"], by_sign_in);
        }
        assert_eq!(events[1]["data"]["member_id"], *ada);
        let first = events[1]["subjectId"].clone();

        place.sign_in(&mut browser).await;
        let events = reader.read().await;
        assert_eq!(types(&events), ["session.ended", "session.created"]);
        assert_eq!(events[0]["subjectId"], first);
        assert_eq!(events[0]["data"]["reason"], "replaced");

        let ended = async |reader: &mut Reader| {
            let events = reader.read().await;
            let event = events.iter().find(|event| event["type"] == "session.ended");
            let event = event.unwrap_or_else(|| panic!("{events:?}"));
            (
                event["data"]["reason"].clone(),
                event["actor"]["type"].clone(),
            )
        };
        browser.post("/logout", &[]).await;
        assert_eq!(
            ended(&mut reader).await,
            (json!("signed_out"), json!("user"))
        );

        place.sign_in(&mut browser).await;
        let path = "rollcall.v1.SessionService/EndSessions";
        call(server, path, Some(&server.token), &json!({ "userId": ada }))
            .await
            .ok();
        let by_administrator = || (json!("ended_by_administrator"), json!("service_account"));
        assert_eq!(ended(&mut reader).await, by_administrator());

        place.sign_in(&mut browser).await;
        let suspend = json!({ "userId": ada, "suspended": true });
        server
            .call_to("UserService/SetSuspended", suspend)
            .await
            .ok();
        assert_eq!(ended(&mut reader).await.0, "member_suspended");

        let suspend = json!({ "userId": ada, "suspended": false });
        server
            .call_to("UserService/SetSuspended", suspend)
            .await
            .ok();
        place.sign_in(&mut browser).await;
        let request = json!({ "ssoConfigurationId": place.sso });
        server.call("DeleteSSOConfiguration", request).await.ok();
        assert_eq!(ended(&mut reader).await, by_administrator());
    });
}

#[test]
fn tokens_are_told_of_and_why_they_are_gone() {
    run(async {
        let place = Place::start().await;
        let server = &place.server;
        let (mut browser, ada) = place.signed_in("ada").await;
        let mut reader = Reader::start(server).await;
        let mut make = async |description: &str| {
            let request = json!({ "userId": ada, "description": description });
            let method = "UserService/CreatePersonalAccessToken";
            browser.call(method, request).await.ok();
        };
        make("ci").await;
        let event = only(&reader.read().await, "personal_access_token.created");
        assert_eq!(event["subjectId"], event["data"]["id"]);
        assert_eq!(event["data"]["member_id"], *ada);
        assert_eq!(event["data"]["description"], "ci");
        assert_eq!(event["actor"], json!({ "type": "user", "id": ada }));
        let mut fields: Vec<&String> = event["data"].as_object().unwrap().keys().collect();
        fields.sort();
        let all = [
            "created_at",
            "description",
            "expires_at",
            "id",
            "member_id",
            "read_only",
        ];
        assert_eq!(fields, all, "and nothing of the secret");

        let gone = json!({ "personalAccessTokenId": event["subjectId"] });
        let path = "UserService/DeletePersonalAccessToken";
        server.call_to(path, gone).await.ok();
        let event = only(&reader.read().await, "personal_access_token.deleted");
        assert_eq!(event["data"]["reason"], "deleted");
        assert_eq!(event["actor"]["type"], "service_account");

        make("").await;
        reader.read().await;
        // By nobody, as one goes that ended.
        let mut db = server.app.store.acquire().await.unwrap();
        sqlx::query("delete from personal_access_tokens where organization_id = $1")
            .bind(server.organization_id().as_uuid())
            .execute(&mut *db)
            .await
            .unwrap();
        drop(db);
        let event = only(&reader.read().await, "personal_access_token.deleted");
        assert_eq!(event["data"]["reason"], "expired");
        assert_eq!(event.get("actor"), None);

        make("").await;
        reader.read().await;
        let suspend = json!({ "userId": ada, "suspended": true });
        server
            .call_to("UserService/SetSuspended", suspend)
            .await
            .ok();
        let events = reader.read().await;
        let gone = events
            .iter()
            .find(|event| event["type"] == "personal_access_token.deleted");
        assert_eq!(gone.unwrap()["data"]["reason"], "member_suspended");
    });
}

#[test]
fn tokens_of_service_accounts_are_told_of() {
    run(async {
        let server = Server::start().await;
        let account = json!({
            "organizationId": server.organization, "name": "Builder", "validUntil": "2027-01-01T00:00:00Z",
        });
        let path = "ServiceAccountService/CreateServiceAccount";
        let account = server.call_to(path, account).await.ok();
        let account = &account["serviceAccount"]["id"];
        let mut reader = Reader::start(&server).await;
        // One that ends within minutes is not told of.
        let own = server
            .service_account_token(account.as_str().unwrap())
            .await;
        let path = "ServiceAccountService/CreateServiceAccountToken";
        let made = server.call_to_as(&own, path, json!({})).await.ok();
        let event = only(&reader.read().await, "service_account_token.created");
        let id = &made["serviceAccountToken"]["id"];
        assert_eq!(
            (&event["subjectId"], &event["data"]["service_account_id"]),
            (id, account)
        );
        let path = "ServiceAccountService/DeleteServiceAccountToken";
        let gone = json!({ "serviceAccountTokenId": id });
        server.call_to(path, gone).await.ok();
        let event = only(&reader.read().await, "service_account_token.deleted");
        assert_eq!(event["data"]["reason"], "deleted");

        let grant = Grant {
            name: "ci",
            role: Role::Member,
            read_only: true,
            expires_at: None,
        };
        let organization = server.organization_id();
        let token = issue_token_and_record(&server.app, organization, &grant)
            .await
            .unwrap();
        revoke_token(&server.app, organization, token.id().into())
            .await
            .unwrap();
        let events = reader.read().await;
        let expected = [
            "service_account_token.created",
            "service_account_token.deleted",
        ];
        assert_eq!(types(&events), expected);
        assert_eq!(events[1]["data"]["read_only"], true);
    });
}

#[test]
fn policies_are_told_whole_with_what_they_were() {
    run(async {
        let server = Server::start().await;
        let mut reader = Reader::start(&server).await;
        let mut set = async |policies: Value| {
            let mut request = json!({ "organizationId": server.organization });
            merge(&mut request, policies);
            server
                .call("UpdateOrganizationPolicies", request)
                .await
                .ok();
            reader.read().await
        };
        let events = set(json!({ "allowLocalRunners": true })).await;
        let event = only(&events, "organization_policy.updated");
        assert_eq!(event["previous"], json!({ "allowLocalRunners": null }));
        let events = set(json!({ "maximumRunningEnvironmentsPerUser": "3" })).await;
        let event = only(&events, "organization_policy.updated");
        let whole = json!({
            "id": server.organization,
            "allowLocalRunners": true,
            "maximumRunningEnvironmentsPerUser": "3",
        });
        assert_eq!(event["data"], whole);
        let unset = json!({ "maximumRunningEnvironmentsPerUser": null });
        assert_eq!(event["previous"], unset);
        let events = set(json!({ "allowLocalRunners": false })).await;
        let event = only(&events, "organization_policy.updated");
        assert_eq!(event["previous"], json!({ "allowLocalRunners": true }));
        // As it is already.
        assert!(set(json!({ "allowLocalRunners": false })).await.is_empty());
    });
}

#[test]
fn an_organization_that_a_command_makes_is_told_of() {
    run(async {
        let server = Server::start().await;
        let made = create_and_record(&server.app, "Made").await.unwrap();
        let mut db = server.app.store.acquire().await.unwrap();
        let told: Vec<(String, String)> = sqlx::query_as(
            "select e.type, e.data->>'name' from events e where organization_id = $1",
        )
        .bind(made.id.as_uuid())
        .fetch_all(&mut *db)
        .await
        .unwrap();
        assert_eq!(
            told,
            [("organization.created".to_owned(), "Made".to_owned())]
        );
    });
}

#[test]
fn a_deleted_organization_is_the_last_that_is_told_of_it() {
    run(async {
        let server = Server::start().await;
        let operator = server.operator_token().await;
        join(&server, "anna@example.com", "Anna").await;
        let about = json!({ "organizationId": server.organization });
        let reader = Reader::start(&server).await;
        let path = "gitpod.v1.OrganizationService/DeleteOrganization";
        call(&server, path, Some(&operator), &about).await.ok();
        server.pass(chrono::TimeDelta::minutes(3));
        rollcall::jobs::organizations::remove_deleted(&server.app)
            .await
            .unwrap();
        if server.app.store.is_distributed() {
            return;
        }
        let path = "rollcall.v1.EventService/ListEvents";
        let request = json!({ "cursor": reader.cursor, "pageSize": 1000 });
        let found = call(&server, path, Some(&operator), &request).await.ok();
        let events = found["events"].as_array().unwrap();
        let own = events
            .iter()
            .filter(|event| event["organizationId"] == *server.organization);
        let own: Vec<_> = own.cloned().collect();
        only(&own, "organization.deleted");
    });
}

#[test]
fn what_there_is_is_listed_in_pages_as_events_tell_of_it() {
    run(async {
        let c = Client::start().await;
        let ada = c.user("ada@example.com", json!({})).await;
        c.group("Wheel", &[&ada]).await;
        let anna = join(&c.server, "anna@example.com", "Anna").await;
        c.server.with_role("ORG_GROUPS_ADMIN").await;
        let mut told: Vec<(Value, Value)> = Reader {
            server: (*c.server).clone(),
            cursor: String::new(),
        }
        .read()
        .await
        .iter()
        .filter(|event| {
            let kind = event["subjectType"].as_str().unwrap();
            ["member", "group", "membership", "role_assignment"].contains(&kind)
        })
        .map(|event| (event["subjectId"].clone(), event["data"].clone()))
        .collect();
        for size in [1, 2, 1000] {
            let mut listed = vec![];
            let mut request = json!({ "pageSize": size });
            loop {
                let page = ask(&c.server, "ListSubjects", request.clone()).await.ok();
                let subjects = page["subjects"].as_array().cloned().unwrap_or_default();
                assert!(subjects.len() <= size);
                listed.extend(
                    subjects
                        .into_iter()
                        .map(|s| (s["id"].clone(), s["data"].clone())),
                );
                match page.get("nextPageToken") {
                    Some(token) => request["pageToken"] = token.clone(),
                    None => break,
                }
            }
            for all in [&mut listed, &mut told] {
                all.sort_by_key(|(id, _)| id.to_string());
            }
            assert_eq!(listed, told);
            assert!(listed.iter().any(|(id, _)| *id == *anna));
        }
    });
}
