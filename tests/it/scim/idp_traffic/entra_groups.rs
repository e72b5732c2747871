//! Entra ID: groups.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::run;
use crate::support::scim::{Client, G, ids, path};

#[test]
fn groups_are_matched_and_read_without_members() {
    run(async {
        let c = Client::start().await;
        let bob = c.user("bob", json!({})).await;
        let body = json!({ "schemas": [G], "displayName": "Team", "externalId": "g1", "members": [{ "value": bob["id"] }] });
        let team = c.post("/Groups", body).await.is(201);
        // Row 39.
        for filter in [r#"displayName eq "TEAM""#, r#"externalId eq "g1""#] {
            let query = [("excludedAttributes", "members"), ("filter", filter)];
            let list = c.query("/Groups", &query).await.is(200);
            assert_eq!(list["totalResults"], 1, "{filter}");
            assert_eq!(list["Resources"][0]["displayName"], "Team");
            assert_eq!(list["Resources"][0].get("members"), None);
        }
        // Row 40.
        let shown = c
            .get(&format!("{}?excludedAttributes=members", path(&team)))
            .await
            .is(200);
        assert_eq!(shown.get("members"), None);
        assert_eq!(shown["id"], team["id"]);
        // Row 46.
        for (member, count) in [(bob["id"].clone(), 1), (json!(Uuid::nil()), 0)] {
            let filter = format!("id eq {} and members eq {member}", team["id"]);
            let list = c
                .query("/Groups", &[("filter", &filter), ("attributes", "id")])
                .await
                .is(200);
            assert_eq!(list["totalResults"], count, "{filter}");
            if count > 0 {
                assert_eq!(
                    list["Resources"],
                    json!([{ "schemas": [G], "id": team["id"] }])
                );
            }
        }
    });
}

#[test]
fn creates_and_renames() {
    run(async {
        let c = Client::start().await;
        // Row 41.
        let body = json!({
            "schemas": [G, "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
            "externalId": "g1", "displayName": "Team", "meta": { "resourceType": "Group" }, "members": [],
        });
        let team = c.post("/Groups", body.clone()).await.is(201);
        assert_eq!(team["schemas"], json!([G]));
        assert_eq!(
            (&team["externalId"], &team["displayName"]),
            (&json!("g1"), &json!("Team"))
        );
        assert_eq!(team.get("members"), None);
        // Row 42: names may repeat, identifiers may not.
        c.post("/Groups", json!({ "schemas": [G], "displayName": "Team" }))
            .await
            .is(201);
        c.post("/Groups", body).await.refused(409, "uniqueness");
        // Row 43.
        for (name, value) in [("displayName", "New"), ("externalId", "g2")] {
            let shown = c
                .patch(
                    &path(&team),
                    json!([{ "op": "Replace", "path": name, "value": value }]),
                )
                .await;
            assert_eq!(shown.is(200)[name], value);
        }
        // Row 49.
        c.delete(&path(&team)).await.is(204);
        c.delete(&path(&team)).await.refused(404, "");
    });
}

#[test]
fn members() {
    run(async {
        let c = Client::start().await;
        let mut users: Vec<Value> = vec![];
        for n in 0..4 {
            users.push(c.user(&format!("u{n}"), json!({})).await);
        }
        let team = c.group("Team", &[]).await;
        let at = path(&team);
        let entry = |user: &Value| json!({ "$ref": null, "value": user["id"] });
        // Row 44.
        let op = json!([{ "op": "Add", "path": "members", "value": [entry(&users[0]), entry(&users[1]), entry(&users[2])] }]);
        c.patch(&at, op).await.is(200);
        assert_eq!(
            c.members(&team).await,
            ids(&[&users[0], &users[1], &users[2]])
        );
        // Row 45.
        let op = json!([{ "op": "Remove", "path": "members", "value": [entry(&users[0])] }]);
        c.patch(&at, op).await.is(200);
        assert_eq!(c.members(&team).await, ids(&[&users[1], &users[2]]));
        // Row 38.
        let selected = format!("members[value eq {}]", users[1]["id"]);
        c.patch(&at, json!([{ "op": "remove", "path": selected }]))
            .await
            .is(200);
        assert_eq!(c.members(&team).await, ids(&[&users[2]]));
        // Row 47.
        c.patch(
            &at,
            json!([{ "op": "add", "path": "members", "value": users[0]["id"] }]),
        )
        .await
        .is(200);
        assert_eq!(c.members(&team).await, ids(&[&users[0], &users[2]]));
        let named = json!({ "displayName": "new User", "value": "not here" });
        let shown = c
            .patch(
                &at,
                json!([{ "op": "add", "path": "members", "value": named }]),
            )
            .await
            .is(200);
        let members = shown["members"].as_array().unwrap();
        let last = members.iter().find(|m| m["value"] == "not here").unwrap();
        assert_eq!(*last, json!({ "display": "new User", "value": "not here" }));
        // Row 48.
        let before = c.members(&team).await;
        let op = json!([
            { "op": "Add", "path": "members", "value": [entry(&users[1])] },
            { "op": "Remove", "path": "members", "value": [entry(&users[1])] },
        ]);
        c.patch(&at, op).await.is(200);
        assert_eq!(c.members(&team).await, before);
    });
}
