//! Entra ID: users, and the flag `aadOptscim062020`.

use chrono::TimeDelta;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::run;
use crate::support::scim::{Client, E, U, path, text, user};

#[test]
fn matching_by_filters() {
    run(async {
        let c = Client::start().await;
        let work =
            json!([{ "type": "work", "value": "A@b.com" }, { "type": "home", "value": "h@b.com" }]);
        let more = json!({ "externalId": "xY", "displayName": "Bob", "emails": work });
        let bob = c.user("A@b.com", more).await;

        // Row 1.
        let reply = c.get("/Users?filter=userName+eq+%22af3b9d5e-0f33%22").await;
        let list = reply.is(200);
        assert_eq!(list["totalResults"], 0);
        assert_eq!(list["Resources"], json!([]));
        // Row 2.
        let list = c
            .get("/Users?filter=userName+eq+%22a%40b.com%22")
            .await
            .is(200);
        assert_eq!(list["totalResults"], 1);
        assert_eq!(list["Resources"][0]["id"], bob["id"]);
        assert_eq!(list["Resources"][0]["userName"], "A@b.com");
        // Row 3.
        assert_eq!(c.names(r#"externalId eq "xY""#).await.len(), 1);
        assert_eq!(c.names(r#"externalId eq "xy""#).await.len(), 0);
        // Row 4.
        for (filter, count) in [
            (r#"emails[type eq "work"].value eq "a@b.com""#, 1),
            (r#"emails[type eq "home"].value eq "a@b.com""#, 0),
            (r#"emails[type eq "work"].value eq "x@b.com""#, 0),
        ] {
            assert_eq!(c.names(filter).await.len(), count, "{filter}");
        }
        // Row 26.
        for query in [
            "/Users?filter=DisplayName+eq+%22Bob%22",
            "/Users/?filter=DisplayName+eq+%22bob%22",
        ] {
            assert_eq!(c.get(query).await.is(200)["totalResults"], 1, "{query}");
        }
        // Row 27.
        let list = c
            .query("/Users", &[("attributes", r#"emails[type eq "work"]"#)])
            .await
            .is(200);
        assert_eq!(
            list["Resources"][0]["emails"],
            json!([{ "type": "work", "value": "A@b.com" }])
        );
        assert_eq!(list["Resources"][0].get("userName"), None);
        // Row 28: values without quotes are refused.
        for filter in [
            "userName sw O",
            "meta.Created gt 2015-10-10T14:38:21.8617979-07:00",
            "name.FamilyName eq Employee and (emails.Value co example.com or emails.Value co x)",
        ] {
            c.bad_filter("/Users", filter).await;
        }
        for filter in [
            r#"meta.Created gt "2015-10-10T14:38:21.8617979-07:00""#,
            r#"emails.Value co "B.com" and (emails.Value co "x" or displayName eq "bob")"#,
        ] {
            assert_eq!(c.names(filter).await.len(), 1, "{filter}");
        }
    });
}

#[test]
fn an_inactive_user_is_read_and_a_deleted_one_is_not() {
    run(async {
        let c = Client::start().await;
        let bob = c.user("bob", json!({ "active": false })).await;
        // Row 5.
        assert_eq!(c.read(&bob).await["active"], false);
        // Row 23.
        c.delete(&path(&bob)).await.is(204);
        c.get(&path(&bob)).await.refused(404, "");
        c.delete(&path(&bob)).await.refused(404, "");
        c.delete(&format!("/Users/{}", Uuid::nil()))
            .await
            .refused(404, "");
        c.delete("/Users/unknown").await.refused(404, "");
    });
}

#[test]
fn creates() {
    run(async {
        let c = Client::start().await;
        // Row 6.
        let body = json!({
            "schemas": [U, E], "externalId": "x", "userName": "a@b.com", "active": true, "displayName": "A",
            "emails": [{ "primary": true, "type": "work", "value": "a@b.com" }],
            "meta": { "resourceType": "User" },
            "name": { "formatted": "A B", "familyName": "B", "givenName": "A" },
            "roles": [],
        });
        let reply = c.post("/Users", body.clone()).await;
        let created = reply.is(201);
        assert_eq!(reply.header("location"), created["meta"]["location"]);
        assert_eq!(created["schemas"], json!([U]));
        assert_eq!(created.get("roles"), None);
        for name in [
            "externalId",
            "userName",
            "active",
            "displayName",
            "emails",
            "name",
        ] {
            assert_eq!(created[name], body[name], "{name}");
        }
        // Row 7.
        let body = json!({
            "schemas": [U, "urn:ietf:params:scim:schemas:extension:enterprise:2.0User"], "userName": "nulls",
            "addresses": null, "phoneNumbers": null, "title": null, "department": null, "manager": null,
            "emails": [{ "value": "n@b.com" }],
        });
        let created = c.post("/Users", body).await.is(201);
        assert_eq!(created["schemas"], json!([U]));
        for name in [
            "addresses",
            "phoneNumbers",
            "title",
            "department",
            "manager",
            E,
        ] {
            assert_eq!(created.get(name), None, "{name}");
        }
        // Row 8.
        let more = json!({ "active": "True", "emails": [{ "Value": "p@b.com", "Primary": true, "type": "work" }] });
        let created = c.user("strings", more).await;
        assert_eq!(created["active"], true);
        assert_eq!(
            created["emails"],
            json!([{ "value": "p@b.com", "primary": true, "type": "work" }])
        );
        // Row 24.
        let created = c
            .user("dots", json!({ format!("{E}.department"): "Sales" }))
            .await;
        assert_eq!(created[E]["department"], "Sales");
        assert_eq!(created["schemas"], json!([U, E]));
        // Row 25.
        for name in ["dots", "DOTS", "Dots"] {
            c.post("/Users", user(name, json!({})))
                .await
                .refused(409, "uniqueness");
        }
        let again = user("other", json!({ "externalId": "x" }));
        c.post("/Users", again).await.refused(409, "uniqueness");
    });
}

/// The user after these operations, each sent in a request of its own.
async fn patched(c: &Client, user: &Value, operations: Value) -> Value {
    let mut shown = Value::Null;
    for operation in operations.as_array().unwrap() {
        shown = c.patch(&path(user), json!([operation])).await.is(200);
    }
    assert_eq!(shown, c.read(user).await);
    shown
}

fn at(values: &Value, name: &str, value: &str) -> Value {
    let values = values.as_array().cloned().unwrap_or_default();
    let found = values.into_iter().find(|v| v[name] == value);
    found.unwrap_or_default()
}

#[test]
fn patches_of_single_values() {
    run(async {
        let c = Client::start().await;
        let bob = c
            .user(
                "bob",
                json!({ "name": { "givenName": "B", "familyName": "O" } }),
            )
            .await;
        // Row 9.
        let shown = patched(
            &c,
            &bob,
            json!([{ "op": "Replace", "path": "active", "value": "False" }]),
        )
        .await;
        assert_eq!(shown["active"], false);
        let shown = patched(
            &c,
            &bob,
            json!([{ "op": "Replace", "path": "active", "value": "True" }]),
        )
        .await;
        assert_eq!(shown["active"], true);
        // Row 13.
        let shown = patched(
            &c,
            &bob,
            json!([
                { "op": "Replace", "path": "name.familyName", "value": "New" },
                { "op": "Replace", "path": "userName", "value": "bobby" },
                { "op": "Replace", "path": "externalId", "value": "e1" },
            ]),
        )
        .await;
        assert_eq!(
            shown["name"],
            json!({ "givenName": "B", "familyName": "New" })
        );
        assert_eq!(
            (&shown["userName"], &shown["externalId"]),
            (&json!("bobby"), &json!("e1"))
        );
        // Row 14.
        let number = format!("{E}:employeeNumber");
        for (op, value) in [("Add", "1"), ("Replace", "2")] {
            let shown = patched(
                &c,
                &bob,
                json!([{ "op": op, "path": number, "value": value }]),
            )
            .await;
            assert_eq!(shown[E]["employeeNumber"], value);
            assert_eq!(shown["schemas"], json!([U, E]));
        }
        // Row 21.
        let shown = c
            .patch(
                &path(&bob),
                json!([
                    { "op": "remove", "path": "displayName" },
                    { "op": "add", "path": "displayName", "value": "one" },
                    { "op": "replace", "path": "displayName", "value": "two" },
                ]),
            )
            .await
            .is(200);
        assert_eq!(shown["displayName"], "two");
        // Row 35.
        let shown = patched(
            &c,
            &bob,
            json!([{ "op": "replace", "path": "active", "value": false }]),
        )
        .await;
        assert_eq!(shown["active"], false);
        // Row 36.
        let value = json!({
            "displayName": "B", "name.givenName": "K", "name.familyName": "U", number: "A",
        });
        let shown = patched(&c, &bob, json!([{ "op": "replace", "value": value }])).await;
        assert_eq!(shown["displayName"], "B");
        assert_eq!(
            shown["name"],
            json!({ "givenName": "K", "familyName": "U" })
        );
        assert_eq!(shown[E]["employeeNumber"], "A");
        // Row 37.
        let shown = patched(
            &c,
            &bob,
            json!([{ "op": "add", "path": "nickName", "value": "Babs" }]),
        )
        .await;
        assert_eq!(shown["nickName"], "Babs");
    });
}

#[test]
fn patches_of_multi_valued_attributes() {
    run(async {
        let c = Client::start().await;
        let bob = c
            .user(
                "bob",
                json!({ "emails": [{ "type": "work", "value": "a@b.com" }] }),
            )
            .await;
        // Row 10.
        let shown = patched(&c, &bob, json!([{ "op": "Replace", "path": "emails[type eq \"work\"].value", "value": "n@b.com" }])).await;
        assert_eq!(
            shown["emails"],
            json!([{ "type": "work", "value": "n@b.com" }])
        );
        // Row 11.
        let shown = patched(
            &c,
            &bob,
            json!([{ "op": "Add", "path": "emails[type eq \"home\"].value", "value": "h@b.com" }]),
        )
        .await;
        assert_eq!(
            at(&shown["emails"], "type", "home"),
            json!({ "type": "home", "value": "h@b.com" })
        );
        assert_eq!(shown["emails"].as_array().unwrap().len(), 2);
        // Row 12.
        let shown = patched(&c, &bob, json!([{ "op": "Replace", "path": "addresses[type eq \"work\"].formatted", "value": "18/2111" }])).await;
        assert_eq!(
            shown["addresses"],
            json!([{ "type": "work", "formatted": "18/2111" }])
        );
        // Row 19.
        let shown = patched(
            &c,
            &bob,
            json!([{ "op": "Add", "path": "roles[primary eq \"True\"].value", "value": "admin" }]),
        )
        .await;
        assert_eq!(
            shown["roles"],
            json!([{ "primary": true, "value": "admin" }])
        );
        // Row 20.
        let shown = c.patch(&path(&bob), json!([
            { "op": "Add", "path": "emails[type eq \"work\"].primary", "value": "True" },
            { "op": "Add", "path": "emails[type eq \"work\"].display", "value": "W" },
            { "op": "Replace", "path": "emails[type eq \"home\"].primary", "value": false },
            { "op": "Replace", "path": "emails[type eq \"work\"].value", "value": "w@b.com" },
        ])).await.is(200);
        assert_eq!(
            at(&shown["emails"], "type", "work"),
            json!({ "type": "work", "value": "w@b.com", "primary": true, "display": "W" })
        );
        assert_eq!(at(&shown["emails"], "type", "home")["primary"], false);
    });
}

#[test]
fn patches_of_the_manager() {
    run(async {
        let c = Client::start().await;
        let boss = c.user("boss", json!({ "displayName": "Boss" })).await;
        let bob = c.user("bob", json!({})).await;
        let expected =
            json!({ "value": boss["id"], "displayName": "Boss", "$ref": boss["meta"]["location"] });
        // Rows 15, 16, 31.
        for (path, value) in [
            (format!("{E}:manager"), json!(boss["id"])),
            (
                "manager".to_owned(),
                json!([{ "$ref": "../Users/x", "value": boss["id"] }]),
            ),
            (format!("{E}.manager"), json!(boss["id"])),
        ] {
            let shown = patched(
                &c,
                &bob,
                json!([{ "op": "Add", "path": path, "value": value }]),
            )
            .await;
            assert_eq!(shown[E]["manager"], expected, "{path}");
            // Row 22.
            for (filter, count) in [
                (
                    format!("id eq {} and manager eq {}", bob["id"], boss["id"]),
                    1,
                ),
                (format!("id eq {} and manager eq \"other\"", bob["id"]), 0),
            ] {
                let list = c
                    .query("/Users", &[("filter", &filter), ("attributes", "id")])
                    .await
                    .is(200);
                assert_eq!(list["totalResults"], count, "{filter}");
                if count > 0 {
                    assert_eq!(
                        list["Resources"],
                        json!([{ "schemas": [U], "id": bob["id"] }])
                    );
                }
            }
            // Row 17.
            let shown = patched(
                &c,
                &bob,
                json!([{ "op": "Replace", "path": format!("{E}:manager"), "value": "" }]),
            )
            .await;
            assert_eq!(shown.get(E), None);
            assert_eq!(shown["schemas"], json!([U]));
        }
    });
}

#[test]
fn an_empty_value_unassigns() {
    run(async {
        let c = Client::start().await;
        // Row 18.
        for (index, nothing) in [json!(""), Value::Null].into_iter().enumerate() {
            let more = json!({
                "title": "T", "name": { "givenName": "G" }, "profileUrl": "https://x/y", "locale": "de",
                "emails": [{ "type": "work", "value": format!("w{index}@b.com") }],
                "phoneNumbers": [{ "type": "mobile", "value": "1" }],
                "addresses": [{ "type": "work", "streetAddress": "S" }],
                E: { "department": "D", "employeeNumber": "7" },
            });
            let bob = c.user(&format!("bob{index}"), more).await;
            let mut shown = Value::Null;
            for path in [
                "title".to_owned(),
                "name.givenName".to_owned(),
                "profileUrl".to_owned(),
                "locale".to_owned(),
                "emails[type eq \"work\"].value".to_owned(),
                "phoneNumbers[type eq \"mobile\"].value".to_owned(),
                "addresses[type eq \"work\"].streetAddress".to_owned(),
                format!("{E}:department"),
                format!("{E}:employeeNumber"),
                "nickName".to_owned(),
                "phoneNumbers[type eq \"fax\"].value".to_owned(),
            ] {
                shown = patched(
                    &c,
                    &bob,
                    json!([{ "op": "Replace", "path": path, "value": nothing }]),
                )
                .await;
            }
            for name in [
                "title",
                "name",
                "profileUrl",
                "locale",
                "phoneNumbers",
                "addresses",
                "nickName",
                E,
            ] {
                assert_eq!(shown.get(name), None, "{name} after {nothing}");
            }
            assert_eq!(at(&shown["emails"], "type", "work").get("value"), None);
        }
    });
}

#[test]
fn pages_and_full_synchronization() {
    run(async {
        let c = Client::start().await;
        for n in 0..12 {
            c.server.pass(TimeDelta::seconds(1));
            c.user(&format!("u{n:02}"), json!({ "active": n != 3 }))
                .await;
        }
        // Row 29.
        let mut seen = vec![];
        for start in [1, 6, 11] {
            let list = c
                .get(&format!("/Users?startIndex={start}&count=5"))
                .await
                .is(200);
            assert_eq!(
                (&list["startIndex"], &list["totalResults"]),
                (&json!(start), &json!(12))
            );
            seen.extend(
                list["Resources"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|u| text(&u["userName"])),
            );
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 12);
        // Row 30.
        let filter = r#"active eq true and (meta.lastModified ge "0001-01-03T00:00:00.0000000Z" and meta.lastModified le "2030-01-01T00:00:00.0000000Z")"#;
        let list = c
            .query(
                "/Users",
                &[("filter", filter), ("count", "5"), ("startIndex", "1")],
            )
            .await
            .is(200);
        assert_eq!(
            (&list["totalResults"], &list["itemsPerPage"]),
            (&json!(11), &json!(5))
        );
        let filter = r#"(ActiVe eq true) and meta.lastmodified ge "2026-03-01T12:00:10.8420572Z""#;
        let list = c
            .query(
                "/Users",
                &[("filter", filter), ("count", "5"), ("startindex", "0")],
            )
            .await
            .is(200);
        assert_eq!(
            (&list["totalResults"], &list["startIndex"]),
            (&json!(2), &json!(1))
        );
    });
}

#[test]
fn schemas_for_the_provisioning_page() {
    run(async {
        // Row 32.
        let c = Client::start().await;
        let reply = c.get("/Schemas").await;
        let list = reply.is(200);
        assert!(!String::from_utf8_lossy(&reply.bytes).contains("null"));
        let schemas = list["Resources"].as_array().unwrap();
        let ids: Vec<&str> = schemas.iter().map(|s| s["id"].as_str().unwrap()).collect();
        assert!(
            [U, E, crate::support::scim::G]
                .iter()
                .all(|urn| ids.contains(urn))
        );
        let user = schemas.iter().find(|s| s["id"] == U).unwrap();
        assert!(!at(&user["attributes"], "name", "externalId").is_null());
        for name in ["emails", "phoneNumbers", "addresses"] {
            let attribute = at(&user["attributes"], "name", name);
            let kind = at(&attribute["subAttributes"], "name", "type");
            assert!(
                kind["canonicalValues"]
                    .as_array()
                    .unwrap()
                    .contains(&json!("work")),
                "{name}"
            );
        }
    });
}

#[test]
fn the_flag_on_every_request_is_ignored() {
    run(async {
        // Row 34.
        let c = Client::start().await;
        let body = user("bob", json!({}));
        let bob = c.post("/Users?aadOptscim062020", body).await.is(201);
        let at = format!("{}?aadOptscim062020", path(&bob));
        assert_eq!(c.get(&at).await.is(200), bob);
        c.patch(
            &at,
            json!([{ "op": "replace", "path": "active", "value": false }]),
        )
        .await
        .is(200);
        let list = c
            .get("/Users?filter=userName+eq+%22bob%22&aadOptscim062020")
            .await
            .is(200);
        assert_eq!(list["totalResults"], 1);
        let list = c
            .get("/Users?aadOptscim062020&filter=userName+eq+%22bob%22")
            .await
            .is(200);
        assert_eq!(list["totalResults"], 1);
        c.get("/Groups?aadOptscim062020").await.is(200);
        c.delete(&at).await.is(204);
    });
}
