//! The audit log over the API.

use chrono::TimeDelta;
use rollcall::domain::identity::Role;
use serde_json::{Value, json};

use super::{group, member, set_role};
use crate::support::scim::Client;
use crate::support::{Server, run};

async fn log(server: &Server, request: Value) -> Vec<Value> {
    let list = server.call_to("EventService/ListAuditLogs", request).await;
    let list = list.ok()["entries"].clone();
    list.as_array().cloned().unwrap_or_default()
}

fn actions(entries: &[Value]) -> Vec<&str> {
    entries
        .iter()
        .map(|entry| entry["action"].as_str().unwrap())
        .collect()
}

#[test]
fn every_change_is_there_the_newest_first_and_can_be_looked_for() {
    run(async {
        let c = Client::start().await;
        let server = &c.server;
        let user = c.user("ada@example.com", json!({})).await;
        server.pass(TimeDelta::hours(1));
        let own = group(server).await;
        server.pass(TimeDelta::hours(1));
        let id = member(server, "grace").await;
        set_role(server, &id, "ADMIN").await.ok();

        let all = log(server, json!({})).await;
        assert_eq!(
            actions(&all),
            [
                "SetRole",
                "CreateGroup",
                "CreateUser",
                "CreateSCIMConfiguration",
                "CreateSSOConfiguration"
            ]
        );
        let oldest = json!({ "sort": { "field": "created_at", "order": "SORT_ORDER_ASC" } });
        let mut backwards = log(server, oldest).await;
        backwards.reverse();
        assert_eq!(backwards, all);
        let entry = &all[1];
        assert_eq!(
            (
                &entry["subjectId"],
                &entry["subjectType"],
                &entry["actorPrincipal"],
                &entry["createdAt"],
                &entry["kind"]
            ),
            (
                &json!(own),
                &json!("RESOURCE_TYPE_GROUP"),
                &json!("PRINCIPAL_SERVICE_ACCOUNT"),
                &json!("2026-03-01T13:00:00Z"),
                &json!("AUDIT_LOG_ENTRY_KIND_RESOURCE_CHANGE")
            )
        );
        let pushed = &all[2];
        assert_eq!(pushed["actorId"], c.configuration);
        assert_eq!(pushed["actorPrincipal"], Value::Null);

        for (filter, expected) in [
            (json!({ "subjectIds": [own] }), vec!["CreateGroup"]),
            (json!({ "actorIds": [c.configuration] }), vec!["CreateUser"]),
            (
                json!({ "actorPrincipals": ["PRINCIPAL_UNSPECIFIED"] }),
                vec!["CreateUser"],
            ),
            (json!({ "actorPrincipals": ["PRINCIPAL_RUNNER"] }), vec![]),
            (
                json!({ "subjectTypes": ["RESOURCE_TYPE_USER"] }),
                vec!["SetRole", "CreateUser"],
            ),
            (
                json!({ "from": "2026-03-01T13:00:00Z", "to": "2026-03-01T14:00:00Z" }),
                vec!["CreateGroup"],
            ),
            (
                json!({ "from": "2026-03-01T13:00:00.000001Z" }),
                vec!["SetRole"],
            ),
        ] {
            let found = log(server, json!({ "filter": filter })).await;
            assert_eq!(actions(&found), expected, "{filter}");
        }
        let by_actor = json!({ "sort": { "field": "actor_id" } });
        let by_actor = server.call_to("EventService/ListAuditLogs", by_actor).await;
        assert_eq!(by_actor.violations(), ["sort.field"]);
        drop(user);
    });
}

#[test]
fn an_entry_tells_what_was_before_and_after_and_no_secret() {
    run(async {
        let server = Server::start().await;
        let scim = server.scim(json!({})).await;
        let request = json!({
            "scimConfigurationId": scim["scimConfiguration"]["id"], "name": "Okta",
        });
        server.call("UpdateSCIMConfiguration", request).await.ok();
        let all = log(&server, json!({})).await;
        let details = async |entry: &Value| {
            let request = json!({ "auditLogEntryId": entry["id"] });
            server
                .call_to("EventService/GetAuditLog", request)
                .await
                .ok()
        };
        let shown = details(&all[0]).await;
        assert_eq!(shown["entry"], all[0]);
        let change = &shown["details"]["resourceChange"];
        assert_eq!(
            (&change["before"]["name"], &change["after"]["name"]),
            (&json!("SCIM Configuration"), &json!("Okta"))
        );
        let token = scim["token"].as_str().unwrap();
        let secret = token.rsplit('_').next().unwrap();
        let account = json!({ "name": "Builder", "validUntil": "2100-01-01T00:00:00Z" });
        let account = server
            .call_to("ServiceAccountService/CreateServiceAccount", account)
            .await
            .ok();
        let id = account["serviceAccount"]["id"].as_str().unwrap();
        let access = server.service_account_token(id).await;
        for entry in log(&server, json!({})).await {
            let text = details(&entry).await.to_string();
            for hidden in [
                secret,
                access.rsplit('_').next().unwrap(),
                "argon2",
                "hunter2",
            ] {
                assert!(!text.contains(hidden), "{text}");
            }
        }
    });
}

#[test]
fn who_reads_the_audit_log_reads_nothing_else_that_members_do_not() {
    run(async {
        let server = Server::start().await;
        let reader = server.with_role("ORG_AUDIT_LOG_READER").await;
        let path = "EventService/ListAuditLogs";
        server.call_to_as(&reader, path, json!({})).await.ok();
        server
            .call_as(&reader, "ListSCIMConfigurations", json!({}))
            .await
            .error("permission_denied");
        let member = server.token(Role::Member, false).await;
        server
            .call_to_as(&member, path, json!({}))
            .await
            .error("permission_denied");
    });
}

/// The job looks at all organizations: it runs at a time before everything that other tests have.
#[test]
fn old_entries_are_deleted_and_no_others() {
    run(async {
        let server = Server::start().await;
        server.pass(TimeDelta::days(-11_000));
        let neighbour = server.neighbour().await;
        group(&server).await;
        server.pass(TimeDelta::days(2));
        group(&server).await;
        group(&neighbour).await;
        let kept = TimeDelta::days(1);
        rollcall::jobs::audit::delete_old(&server.app, kept)
            .await
            .unwrap();
        assert_eq!(log(&server, json!({})).await.len(), 1);
        assert_eq!(log(&neighbour, json!({})).await.len(), 1);
    });
}
