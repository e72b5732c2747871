//! CyberArk, Rippling, authentik, Keycloak, WSO2, GitHub-style and other clients.

use serde_json::{Value, json};

use crate::support::run;
use crate::support::scim::{BULK, Client, G, SEARCH, U, ids, path, text, user};

#[test]
fn cyberark_and_rippling() {
    run(async {
        let c = Client::start().await;
        let more = json!({ "externalId": "r1", "emails": [{ "value": "p@b.com", "primary": true }, { "value": "s@b.com" }] });
        let bob = c.user("bob", more).await;
        // Row 84.
        assert_eq!(c.get("/Users?count=1").await.is(200)["itemsPerPage"], 1);
        assert_eq!(c.names(r#"userName eq "bob""#).await, ["bob"]);
        c.read(&bob).await;
        c.put(&path(&bob), bob.clone()).await.is(200);
        c.get("/Groups").await.is(200);
        // Row 85.
        for path in ["/ResourceTypes/User", "/ResourceTypes/Group"] {
            assert_eq!(
                c.get(path).await.is(200)["name"],
                path.rsplit_once('/').unwrap().1
            );
        }
        for urn in [U, G, crate::support::scim::E] {
            assert_eq!(c.get(&format!("/Schemas/{urn}")).await.is(200)["id"], urn);
        }
        // Row 86.
        assert_eq!(
            c.get("/ServiceProviderConfig").await.is(200)["patch"]["supported"],
            true
        );
        // Row 88.
        c.post("/Users", user("BOB", json!({})))
            .await
            .refused(409, "uniqueness");
        c.post("/Users", user("rob", json!({ "externalId": "r1" })))
            .await
            .refused(409, "uniqueness");
        assert_eq!(c.get("/Users").await.is(200)["totalResults"], 1);
        // Row 89.
        for (address, count) in [("p@b.com", 1), ("s@b.com", 0)] {
            let filter = format!("emails[primary eq true].value eq \"{address}\"");
            assert_eq!(c.names(&filter).await.len(), count, "{filter}");
        }
        // Row 90: a user name and nothing else.
        c.user("g@b.com", json!({})).await;
    });
}

#[test]
fn authentik() {
    run(async {
        let c = Client::start().await;
        // Row 92.
        let config = c.get("/ServiceProviderConfig").await.is(200);
        assert_eq!(config["bulk"]["maxOperations"], 1000);
        let mut users: Vec<Value> = vec![];
        for n in 0..5 {
            users.push(c.user(&format!("u{n}"), json!({})).await);
        }
        let team = c.group("Team", &[]).await;
        let at = path(&team);
        // Row 93.
        let add =
            |value: Value| json!({ "op": "add", "path": "members", "value": [{ "value": value }] });
        let mut operations: Vec<Value> = users.iter().map(|u| add(u["id"].clone())).collect();
        operations.extend((5..1000).map(|n| add(json!(format!("unknown-{n}")))));
        let reply = c.patch(&at, json!(operations)).await;
        assert_eq!(
            reply.is(204),
            Value::Null,
            "more than 100 members are not shown"
        );
        assert_eq!(c.members(&team).await.len(), 1000);
        // Row 94.
        let remove = |value: Value| json!({ "op": "remove", "path": "members", "value": [{ "value": value }] });
        let operations: Vec<Value> = (5..1000)
            .map(|n| remove(json!(format!("unknown-{n}"))))
            .collect();
        c.patch(&at, json!(operations)).await.is(200);
        assert_eq!(
            c.members(&team).await,
            ids(&users.iter().collect::<Vec<_>>())
        );
        // Row 95.
        let whole = json!({ "schemas": [G], "id": team["id"], "externalId": "a1", "displayName": "Renamed" });
        let shown = c
            .patch(&at, json!([{ "op": "replace", "value": whole }]))
            .await
            .is(200);
        assert_eq!(
            (&shown["displayName"], &shown["externalId"]),
            (&json!("Renamed"), &json!("a1"))
        );
        assert_eq!(shown["members"].as_array().unwrap().len(), 5);
        // Row 96.
        for n in 0..150 {
            c.group(&format!("g{n}"), &[]).await;
        }
        let mut seen = 0;
        loop {
            let list = c
                .get(&format!("/Groups?startIndex={}", seen + 1))
                .await
                .is(200);
            let here = list["Resources"].as_array().unwrap().len();
            assert!(here > 0, "or the client loops for ever");
            seen += here;
            if list["totalResults"] == seen {
                break;
            }
        }
        assert_eq!(seen, 151);
        // Row 97.
        assert_eq!(
            c.found("/Groups", r#"displayName eq "renamed""#)
                .await
                .len(),
            1
        );
        // Row 98.
        c.patch(&at, json!([add(users[0]["id"].clone())]))
            .await
            .is(200);
    });
}

#[test]
fn keycloak_wso2_and_github_style() {
    run(async {
        let c = Client::start().await;
        let bob = c.user("bob", json!({})).await;
        // Row 99.
        let whole = user("bob", json!({ "externalId": bob["id"], "locale": "en_us" }));
        let shown = c.put(&path(&bob), whole).await.is(200);
        assert_eq!(
            (&shown["externalId"], &shown["locale"]),
            (&bob["id"], &json!("en_us"))
        );
        // Row 100.
        let team = c.group("Team", &[]).await;
        let body = json!({ "schemas": [], "Operations": [{ "op": "add", "value": { "members": [{ "value": bob["id"] }] } }] });
        c.send("PATCH", &path(&team), &[], body.to_string())
            .await
            .is(200);
        assert_eq!(c.members(&team).await, ids(&[&bob]));
        // Row 101.
        let body = json!({ "Operations": [{ "op": "replace", "value": { "active": false } }] });
        let shown = c
            .send("PATCH", &path(&bob), &[], body.to_string())
            .await
            .is(200);
        assert_eq!(shown["active"], false);
    });
}

#[test]
fn bulk_search_and_cursors() {
    run(async {
        let c = Client::start().await;
        // Row 102.
        let body = json!({ "schemas": [BULK], "failOnErrors": 1, "Operations": [
            { "method": "POST", "path": "/Users", "bulkId": "b", "data": user("bob", json!({})) },
            { "method": "POST", "path": "/Groups", "bulkId": "g", "data": { "schemas": [G], "displayName": "T", "members": [{ "value": "bulkId:b" }] } },
        ] });
        let done = c.post("/Bulk", body).await.is(200);
        assert_eq!(done["Operations"][0]["status"], "201");
        let group = text(&done["Operations"][1]["location"]);
        let group = c
            .get(group.strip_prefix(crate::support::scim::BASE).unwrap())
            .await
            .is(200);
        assert_eq!(
            group["members"][0]["$ref"],
            done["Operations"][0]["location"]
        );
        // Row 103.
        let body = json!({ "schemas": [SEARCH], "filter": "userName sw \"b\"", "attributes": ["userName"], "startIndex": 1, "count": 10 });
        let list = c.post("/Users/.search", body).await.is(200);
        let bob = &list["Resources"][0];
        assert_eq!((&bob["userName"], bob.get("meta")), (&json!("bob"), None));
        // Row 104.
        c.user("carl", json!({})).await;
        let first = c.get("/Users?cursor&count=1").await.is(200);
        assert_eq!(first["itemsPerPage"], 1);
        let next = text(&first["nextCursor"]);
        let second = c
            .get(&format!("/Users?cursor={next}&count=1"))
            .await
            .is(200);
        assert_eq!(
            (&second["itemsPerPage"], second.get("nextCursor")),
            (&json!(1), None)
        );
    });
}

#[test]
fn conformance_suites() {
    run(async {
        let c = Client::start().await;
        let team = c.group("Team", &[]).await;
        // Row 105.
        let types = c.get("/ResourceTypes").await.is(200);
        assert_eq!(types["totalResults"], 2, "no agents");
        c.post("/Agents", json!({})).await.refused(404, "");
        let op =
            json!([{ "op": "add", "path": "members", "value": [{ "value": "fake-member-id" }] }]);
        let shown = c.patch(&path(&team), op).await.is(200);
        assert_eq!(shown["members"], json!([{ "value": "fake-member-id" }]));
        // Row 106.
        let schema = c.get(&format!("/Schemas/{U}")).await.is(200);
        let known: Vec<&str> = schema["attributes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|a| a["name"].as_str().unwrap())
            .collect();
        let nested =
            json!({ "schemas": [U], U: { "userName": "nested", "name": { "givenName": "N" } } });
        let nested = c.post("/Users", nested).await.is(201);
        assert_eq!(
            (&nested["userName"], &nested["name"]["givenName"]),
            (&json!("nested"), &json!("N"))
        );
        let full = c
            .user("full", json!({ "externalId": "x", "title": "t" }))
            .await;
        for name in full.as_object().unwrap().keys() {
            assert!(
                known.contains(&name.as_str()) || ["schemas", "meta"].contains(&name.as_str()),
                "{name}"
            );
        }
    });
}
