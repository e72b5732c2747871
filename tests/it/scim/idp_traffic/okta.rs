//! Okta.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::run;
use crate::support::scim::{Client, E, G, U, ids, path, text, user};

#[test]
fn the_connection_test_and_imports() {
    run(async {
        let c = Client::start().await;
        for n in 0..5 {
            let more = json!({ "name": { "givenName": "A", "familyName": "B" }, "emails": [{ "value": format!("u{n}@b.com"), "primary": true }] });
            c.user(&format!("u{n}@b.com"), more).await;
        }
        // Row 50.
        for count in [1, 2] {
            let list = c
                .get(&format!("/Users?startIndex=1&count={count}"))
                .await
                .is(200);
            assert_eq!(list["totalResults"], json!(5));
            assert_eq!(list["itemsPerPage"], json!(count));
            assert_eq!(list["startIndex"], json!(1));
            let first = &list["Resources"][0];
            assert!(
                first["name"]["familyName"].is_string() && first["emails"][0]["value"].is_string()
            );
            assert_eq!(first["active"], true);
        }
        // Row 51.
        let query = [
            ("filter", r#"userName eq "U1@B.com""#),
            ("startIndex", "1"),
            ("count", "100"),
        ];
        assert_eq!(c.query("/Users", &query).await.is(200)["totalResults"], 1);
        // Row 58.
        let mut seen = vec![];
        for start in [1, 3, 5] {
            let list = c
                .get(&format!("/Users?startIndex={start}&count=2"))
                .await
                .is(200);
            seen.extend(
                list["Resources"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|u| text(&u["id"])),
            );
        }
        let again = c.get("/Users?count=100").await.is(200);
        let all: Vec<String> = again["Resources"]
            .as_array()
            .unwrap()
            .iter()
            .map(|u| text(&u["id"]))
            .collect();
        assert_eq!(seen, all);
        let empty = c.get("/Users?startIndex=101&count=100").await.is(200);
        assert_eq!(
            (&empty["totalResults"], &empty["Resources"]),
            (&json!(5), &json!([]))
        );
        // Row 61.
        c.bad_filter("/Users", "JOHN@X.COM").await;
    });
}

#[test]
fn a_user_from_create_to_deactivation() {
    run(async {
        let c = Client::start().await;
        // Row 52.
        let body = json!({
            "schemas": [U], "userName": "isaac@b.com", "name": { "givenName": "I", "familyName": "B" },
            "emails": [{ "primary": true, "value": "isaac@b.com", "type": "work", "display": "isaac@b.com" }],
            "displayName": "Isaac", "locale": "en-US", "externalId": "00ujl29u0le5T6Aj10h7", "groups": [],
            "password": "1mz050nq", "active": true,
        });
        let reply = c.post("/Users", body.clone()).await;
        let isaac = reply.is(201);
        assert!(!String::from_utf8_lossy(&reply.bytes).contains("1mz050nq"));
        assert_eq!((isaac.get("password"), isaac.get("groups")), (None, None));
        assert_eq!(isaac["locale"], "en-US");
        // Row 54.
        c.post("/Users", body).await.refused(409, "uniqueness");
        // Row 53.
        let headers = [
            ("content-type", "application/json"),
            ("accept", "application/scim+json; charset=utf-8"),
        ];
        let other = user("other@b.com", json!({})).to_string();
        c.send("POST", "/Users", &headers, other).await.is(201);
        let headers = [
            ("content-type", "application/json; charset=UTF-8"),
            ("accept", "*/*"),
        ];
        let third = user("third@b.com", json!({})).to_string();
        c.send("POST", "/Users", &headers, third).await.is(201);

        // Row 55.
        c.group("Team", &[&isaac]).await;
        let mut whole = c.read(&isaac).await;
        assert_eq!(whole["groups"].as_array().unwrap().len(), 1);
        whole["name"]["givenName"] = json!("Izzy");
        whole["password"] = json!("changed-1mz050nq");
        let shown = c.put(&path(&isaac), whole.clone()).await.is(200);
        assert_eq!(shown["name"]["givenName"], "Izzy");
        assert_eq!(
            (&shown["id"], &shown["groups"]),
            (&isaac["id"], &whole["groups"])
        );
        assert_eq!(shown["emails"], isaac["emails"]);
        // Row 57.
        whole["active"] = json!(false);
        whole["groups"] = json!([]);
        assert_eq!(c.put(&path(&isaac), whole).await.is(200)["active"], false);
        // Row 56.
        for active in [true, false] {
            let shown = c
                .patch(
                    &path(&isaac),
                    json!([{ "op": "replace", "value": { "active": active } }]),
                )
                .await
                .is(200);
            assert_eq!(
                (&shown["active"], &shown["id"]),
                (&json!(active), &isaac["id"])
            );
        }
        let op = json!([{ "op": "replace", "value": { "password": "new-password" } }]);
        let reply = c.patch(&path(&isaac), op).await;
        assert!(!reply.is(200).to_string().contains("new-password"));
        // Row 59.
        c.get(&format!("/Users/{}", Uuid::nil()))
            .await
            .refused(404, "");
        c.get("/Users/00ujl29u0le5T6Aj10h7").await.refused(404, "");
        // Row 60.
        for token in ["Bearer nonsense", "Basic eDp5", "Bearer"] {
            let reply = c
                .send("GET", "/Users", &[("authorization", token)], "")
                .await;
            reply.refused(401, "");
        }
    });
}

#[test]
fn discovery_takes_no_posts() {
    run(async {
        // Row 62.
        let c = Client::start().await;
        for path in ["/ServiceProviderConfig", "/ResourceTypes", "/Schemas"] {
            c.get(path).await.is(200);
            let headers = [("content-type", "text/plain")];
            c.send("POST", path, &headers, "test")
                .await
                .refused(405, "");
            c.send("POST", path, &[], "test").await.refused(405, "");
            c.post(path, json!({})).await.refused(405, "");
        }
    });
}

#[test]
fn group_push() {
    run(async {
        let c = Client::start().await;
        let a = c.user("a@b.com", json!({ E: { "department": "D" } })).await;
        let b = c.user("b@b.com", json!({})).await;
        // Row 63.
        let empty = json!({ "schemas": [G], "displayName": "Empty", "members": [] });
        c.post("/Groups", empty).await.is(201);
        let full = json!({ "schemas": [G], "displayName": "Team", "members": [{ "value": a["id"], "display": "a@b.com" }] });
        let team = c.post("/Groups", full).await.is(201);
        assert_eq!(team["members"][0]["value"], a["id"]);
        assert_eq!(team["members"][0]["display"], "a@b.com");
        let at = path(&team);
        // Row 64.
        let value = json!({ "id": team["id"], "displayName": "Renamed" });
        let shown = c
            .patch(&at, json!([{ "op": "replace", "value": value }]))
            .await
            .is(200);
        assert_eq!(shown["displayName"], "Renamed");
        let value = json!({ "id": b["id"], "displayName": "Renamed" });
        c.patch(&at, json!([{ "op": "replace", "value": value }]))
            .await
            .refused(400, "mutability");
        // Row 65.
        let op = json!([
            { "op": "remove", "path": format!("members[value eq {}]", a["id"]) },
            { "op": "add", "path": "members", "value": [{ "value": b["id"], "display": "b@b.com" }] },
        ]);
        c.patch(&at, op).await.is(200);
        assert_eq!(c.members(&team).await, ids(&[&b]));
        // Row 66.
        let op = json!([{ "op": "replace", "path": "members", "value": [{ "value": a["id"] }] }]);
        c.patch(&at, op).await.is(200);
        assert_eq!(c.members(&team).await, ids(&[&a]));
        c.patch(
            &at,
            json!([{ "op": "replace", "path": "members", "value": [] }]),
        )
        .await
        .is(200);
        assert_eq!(c.members(&team).await, Vec::<String>::new());
        // Row 67.
        let mut whole: Value = c.read(&team).await;
        whole["members"] = json!([{ "value": a["id"] }, { "value": b["id"] }]);
        assert_eq!(
            c.put(&at, whole).await.is(200)["members"]
                .as_array()
                .unwrap()
                .len(),
            2
        );
        let list = c.get("/Groups?startIndex=1&count=100").await.is(200);
        assert_eq!(list["totalResults"], 2);
        c.delete(&at).await.is(204);
    });
}
