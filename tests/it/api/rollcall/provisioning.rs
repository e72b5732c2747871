//! `ProvisioningService`.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ask, pages};
use crate::support::run;
use crate::support::scim::{Client, path, text};

const LIST: &str = "ProvisioningService/ListProvisioningEvents";

async fn events(client: &Client, filter: Value) -> Vec<Value> {
    let answer = ask(&client.server, LIST, json!({ "filter": filter })).await;
    let events = answer.ok()["events"].as_array().cloned();
    events.unwrap_or_default()
}

#[test]
fn an_event_says_what_was_asked_and_what_came_of_it() {
    run(async {
        let client = Client::start().await;
        let ada = client.user("ada@example.com", json!({})).await;
        let off = json!([{ "op": "Replace", "path": "active", "value": "False" }]);
        client.patch(&path(&ada), off).await.is(200);
        let again = json!({ "externalId": "another" });
        let refused = client
            .post(
                "/Users",
                crate::support::scim::user("ada@example.com", again),
            )
            .await;
        refused.refused(409, "uniqueness");

        let events = events(&client, json!({})).await;
        let outcome = |event: &Value| text(&event["outcome"]);
        assert_eq!(
            events.iter().map(outcome).collect::<Vec<_>>(),
            [
                "PROVISIONING_OUTCOME_REFUSED",
                "PROVISIONING_OUTCOME_UPDATED",
                "PROVISIONING_OUTCOME_CREATED"
            ]
        );
        let [refused, changed, created] = &events[..] else {
            panic!("{events:?}")
        };
        for event in &events {
            assert_eq!(event["scimConfigurationId"], client.configuration);
            assert!(event["createdAt"].is_string() && event["id"].is_string());
        }
        assert_eq!(refused["status"], 409);
        assert!(text(&refused["reason"]).contains("userName"), "{refused}");
        assert_eq!(refused["changes"], Value::Null);
        assert_eq!(changed["method"], "PATCH");
        assert_eq!(changed["path"], json!(path(&ada)));
        assert_eq!(changed["resourceType"], "User");
        assert_eq!(changed["resourceId"], ada["id"]);
        assert_eq!(
            changed["changes"],
            json!([{ "attribute": "active", "oldValue": true, "newValue": false }])
        );
        let traits = changed["traits"].as_array().unwrap();
        assert!(!traits.is_empty(), "a boolean as text was recognised");
        let made = created["changes"].as_array().unwrap();
        let name = made.iter().find(|c| c["attribute"] == "userName").unwrap();
        assert_eq!(
            name,
            &json!({ "attribute": "userName", "newValue": "ada@example.com" })
        );
    });
}

#[test]
fn filters_leave_out_what_is_not_asked_for() {
    run(async {
        let client = Client::start().await;
        let other = client.beside(json!({})).await;
        let start = client.server.now();
        let ada = client.user("ada@example.com", json!({})).await;
        client.server.pass(TimeDelta::minutes(1));
        let grace = other.user("grace@example.com", json!({})).await;
        client.server.pass(TimeDelta::minutes(1));
        client.delete("/Users/nobody").await.refused(404, "");
        client.delete(&path(&ada)).await;
        let end = client.server.now();

        let ids = async |filter: Value| -> Vec<Value> {
            let events = events(&client, filter).await;
            events
                .iter()
                .map(|event| event["resourceId"].clone())
                .collect()
        };
        let (ada, grace) = (&ada["id"], &grace["id"]);
        let all = ids(json!({})).await;
        assert_eq!((all.len(), &all[0], &all[3]), (4, ada, ada));
        let here = json!({ "scimConfigurationId": other.configuration });
        assert_eq!(ids(here).await, std::slice::from_ref(grace));
        assert_eq!(
            ids(json!({ "resourceId": ada })).await,
            [ada.clone(), ada.clone()]
        );
        let nowhere = json!({ "resourceId": ada, "scimConfigurationId": other.configuration });
        assert_eq!(ids(nowhere).await, [] as [Value; 0]);
        let refused = events(&client, json!({ "onlyRefused": true })).await;
        assert_eq!(refused.len(), 1);
        assert_eq!(refused[0]["path"], "/Users/nobody");
        let minute = start + TimeDelta::minutes(1);
        assert_eq!(
            ids(json!({ "since": minute, "until": end })).await,
            std::slice::from_ref(grace)
        );
        assert_eq!(
            ids(json!({ "until": minute })).await,
            std::slice::from_ref(ada)
        );
        assert_eq!(ids(json!({ "since": end })).await.len(), 2);
    });
}

#[test]
fn pages_run_through_all_configurations_without_a_gap() {
    run(async {
        let client = Client::start().await;
        let other = client.beside(json!({})).await;
        for number in 0..7 {
            let who = if number % 3 == 0 { &other } else { &client };
            who.user(&format!("u{number}@example.com"), json!({})).await;
        }
        let whole = events(&client, json!({})).await;
        assert_eq!(whole.len(), 7);
        for size in [1, 2, 3, 7] {
            let pages = pages(&client.server, LIST, json!({}), "events", size).await;
            assert!(pages.iter().all(|page| page.len() <= size as usize));
            assert_eq!(pages.concat(), whole, "{size}");
        }
        let distinct: BTreeSet<String> = whole.iter().map(|event| text(&event["id"])).collect();
        assert_eq!(distinct.len(), 7);

        let first = json!({ "pagination": { "pageSize": 1 } });
        let first = ask(&client.server, LIST, first).await.ok();
        let token = &first["pagination"]["nextToken"];
        let other_filter =
            json!({ "filter": { "onlyRefused": true }, "pagination": { "token": token } });
        let reply = ask(&client.server, LIST, other_filter).await;
        assert_eq!(reply.violations(), ["pagination.token"]);
        let attacker = client.neighbour().await;
        let reply = ask(
            &attacker.server,
            LIST,
            json!({ "pagination": { "token": token } }),
        )
        .await;
        assert_eq!(reply.violations(), ["pagination.token"]);
    });
}

#[test]
fn attack_log_of_another_organization() {
    run(async {
        let client = Client::start().await;
        let ada = client.user("ada@example.com", json!({})).await;
        let attacker = client.neighbour().await;
        assert_eq!(events(&attacker, json!({})).await, [] as [Value; 0]);
        let resource = json!({ "resourceId": ada["id"] });
        assert_eq!(events(&attacker, resource).await, [] as [Value; 0]);
        let by_id = |id: &Value| json!({ "filter": { "scimConfigurationId": id } });
        let theirs = ask(&attacker.server, LIST, by_id(&client.configuration)).await;
        let nobodys = ask(&attacker.server, LIST, by_id(&json!(Uuid::max()))).await;
        assert_eq!(
            theirs.error("not_found"),
            nobodys.error("not_found"),
            "no oracle"
        );
        let empty = by_id(&attacker.configuration);
        assert_eq!(
            ask(&attacker.server, LIST, empty).await.ok()["events"],
            Value::Null
        );
    });
}

#[test]
fn events_of_a_member_are_those_of_all_its_users() {
    run(async {
        let client = Client::start().await;
        let beside = client.beside(json!({ "name": "Second" })).await;
        let ada = client.user("ada@example.com", json!({})).await;
        client.user("grace@example.com", json!({})).await;
        let again = beside
            .user("ada@example.com", json!({ "externalId": "x" }))
            .await;
        let off = json!([{ "op": "replace", "path": "active", "value": false }]);
        client.patch(&path(&ada), off).await.is(200);
        let members = json!({ "organizationId": client.server.organization });
        let members = client.server.call("ListMembers", members).await.ok();
        let members = members["members"].as_array().unwrap().clone();
        let is_ada = |member: &&Value| member["email"] == "ada@example.com";
        for member in members.iter().filter(is_ada) {
            let filter = json!({ "userId": member["userId"] });
            let found: BTreeSet<String> = events(&client, filter)
                .await
                .iter()
                .map(|event| text(&event["resourceId"]))
                .collect();
            let own = [text(&ada["id"]), text(&again["id"])];
            assert!(
                !found.is_empty() && found.iter().all(|id| own.contains(id)),
                "{found:?}"
            );
        }
        let nobody = json!({ "userId": Uuid::max() });
        assert_eq!(events(&client, nobody).await, [] as [Value; 0]);
    });
}
