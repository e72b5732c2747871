//! JumpCloud.

use serde_json::json;

use crate::support::run;
use crate::support::scim::{Client, E, U, ids, path};

#[test]
fn users() {
    run(async {
        let c = Client::start().await;
        // Row 68.
        assert_eq!(c.get("/Users").await.is(200)["totalResults"], 0);
        // Row 69.
        let body = json!({
            "schemas": [U, E], "externalId": "5f1b5b3e1c9d440000a1b2c3", "userName": "jane@b.com", "active": true,
            "name": { "givenName": "J", "familyName": "D" }, "emails": [{ "value": "jane@b.com", "type": "work", "primary": true }],
            "phoneNumbers": [{ "value": "tel:+1-555-0100", "type": "work" }],
            "addresses": [{ "type": "work", "locality": "X", "primary": true }],
        });
        let jane = c.post("/Users", body.clone()).await.is(201);
        assert_eq!(jane["schemas"], json!([U]));
        assert_eq!(jane["phoneNumbers"], body["phoneNumbers"]);
        assert_eq!(jane["addresses"], body["addresses"]);
        // Row 70.
        let mut whole = body.clone();
        whole["id"] = jane["id"].clone();
        whole["emails"] = json!(null);
        let shown = c.put(&path(&jane), whole).await.is(200);
        assert_eq!((shown.get("emails"), &shown["id"]), (None, &jane["id"]));
        // Row 71.
        let whole = json!({
            "schemas": [E, U], "id": jane["id"], "userName": "jane@b.com", "addresses": [], "phoneNumbers": [],
            "photos": [{ "value": "https://x/p.png" }],
        });
        let shown = c.put(&path(&jane), whole).await.is(200);
        assert_eq!(shown["photos"], json!([{ "value": "https://x/p.png" }]));
        assert_eq!(
            (shown.get("addresses"), shown.get("phoneNumbers")),
            (None, None)
        );
        // Row 72.
        let op = json!([
            { "op": "replace", "path": "name.givenName", "value": "K" },
            { "op": "replace", "path": "name.familyName", "value": "L" },
            { "op": "replace", "path": "displayName", "value": "K L" },
            { "op": "replace", "path": "active", "value": false },
        ]);
        let shown = c.patch(&path(&jane), op).await.is(200);
        assert_eq!(
            shown["name"],
            json!({ "givenName": "K", "familyName": "L" })
        );
        assert_eq!(
            (&shown["displayName"], &shown["active"]),
            (&json!("K L"), &json!(false))
        );
    });
}

#[test]
fn members() {
    run(async {
        let c = Client::start().await;
        let (a, b) = (c.user("a", json!({})).await, c.user("b", json!({})).await);
        let team = c.group("Team", &[&b]).await;
        // Row 73.
        c.patch(
            &path(&team),
            json!([{ "op": "add", "path": "members", "value": [{ "value": a["id"] }] }]),
        )
        .await
        .is(200);
        assert_eq!(c.members(&team).await, ids(&[&a, &b]));
        // Row 74.
        c.patch(
            &path(&team),
            json!([{ "op": "remove", "path": "members", "value": [{ "value": a["id"] }] }]),
        )
        .await
        .is(200);
        assert_eq!(c.members(&team).await, ids(&[&b]));
    });
}
