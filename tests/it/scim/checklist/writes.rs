//! Create, replace, modify and delete (RFC 7644, sections 3.3, 3.5 and 3.6).

use chrono::TimeDelta;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::run;
use crate::support::scim::{Client, E, G, PATCH_OP, U, ids, path, user, without};

#[test]
fn put_replaces_everything_and_never_creates() {
    run(async {
        let c = Client::start().await;
        let full = json!({
            "title": "T", "externalId": "x", "name": { "givenName": "G", "familyName": "F" }, "emails": [{ "value": "a@b.com" }],
            E: { "department": "D" },
        });
        let bob = c.user("bob", full).await;
        c.server.pass(TimeDelta::seconds(1));
        let shown = c
            .put(
                &path(&bob),
                user("bobby", json!({ "name": { "givenName": "H" } })),
            )
            .await
            .is(200);
        let expected = json!({ "schemas": [U], "id": bob["id"], "userName": "bobby", "name": { "givenName": "H" }, "active": true });
        assert_eq!(without(&shown, &["meta"]), expected);
        assert_eq!(shown["meta"]["created"], bob["meta"]["created"]);
        assert_ne!(shown["meta"]["lastModified"], bob["meta"]["lastModified"]);
        // The same again changes nothing.
        c.server.pass(TimeDelta::seconds(1));
        assert_eq!(c.put(&path(&bob), shown.clone()).await.is(200), shown);
        c.put(&format!("/Users/{}", Uuid::nil()), user("x", json!({})))
            .await
            .refused(404, "");
        assert_eq!(c.get("/Users").await.is(200)["totalResults"], 1);
        c.put(&path(&bob), user("", json!({})))
            .await
            .refused(400, "invalidValue");
        c.user("other", json!({})).await;
        c.put(&path(&bob), user("OTHER", json!({})))
            .await
            .refused(409, "uniqueness");
        let mut foreign = shown.clone();
        foreign["id"] = json!(Uuid::nil());
        assert_eq!(c.put(&path(&bob), foreign).await.is(200)["id"], bob["id"]);
        // A group loses its members.
        let team = c.group("Team", &[&bob]).await;
        let shown = c
            .put(&path(&team), json!({ "schemas": [G], "displayName": "T" }))
            .await
            .is(200);
        assert_eq!(shown.get("members"), None);
    });
}

#[test]
fn patch_is_all_or_nothing_and_in_order() {
    run(async {
        let c = Client::start().await;
        let bob = c.user("bob", json!({ "title": "T" })).await;
        for bad in [
            json!({ "op": "replace", "path": "active", "value": "maybe" }),
            json!({ "op": "remove" }),
            json!({ "op": "remove", "path": "userName" }),
            json!({ "op": "replace", "path": "id", "value": "x" }),
            json!({ "op": "replace", "path": "emails[type co \"x\"].value", "value": "x" }),
        ] {
            let reply = c
                .patch(
                    &path(&bob),
                    json!([{ "op": "replace", "path": "title", "value": "S" }, bad]),
                )
                .await;
            assert_eq!(reply.status, 400, "{bad}");
            assert_eq!(c.read(&bob).await, bob, "{bad}");
        }
        let team = c.group("Team", &[&bob]).await;
        let reply = c.patch(&path(&team), json!([{ "op": "remove", "path": "members" }, { "op": "remove", "path": "displayName" }])).await;
        reply.refused(400, "mutability");
        assert_eq!(c.members(&team).await, ids(&[&bob]));
    });
}

#[test]
fn patch_that_changes_nothing_leaves_the_version() {
    run(async {
        let c = Client::start().await;
        let bob = c
            .user(
                "bob",
                json!({ "title": "T", "emails": [{ "value": "a@b.com", "type": "work" }] }),
            )
            .await;
        let team = c.group("Team", &[&bob]).await;
        let bob = c.read(&bob).await;
        c.server.pass(TimeDelta::seconds(1));
        for op in [
            json!({ "op": "add", "path": "title", "value": "T" }),
            json!({ "op": "add", "path": "emails", "value": [{ "value": "a@b.com", "type": "work" }] }),
            json!({ "op": "add", "value": { "emails": [{ "type": "work", "value": "a@b.com" }] } }),
            json!({ "op": "remove", "path": "emails[type eq \"home\"]" }),
            json!({ "op": "replace", "path": "unknown", "value": "x" }),
            json!({ "op": "add", "path": "urn:x:y:z", "value": "x" }),
        ] {
            assert_eq!(c.patch(&path(&bob), json!([op])).await.is(200), bob, "{op}");
        }
        for op in [
            json!({ "op": "add", "path": "members", "value": [{ "value": bob["id"] }] }),
            json!({ "op": "remove", "path": "members", "value": [{ "value": "nobody" }] }),
            json!({ "op": "remove", "path": "members[value eq \"nobody\"]" }),
            json!({ "op": "replace", "path": "members", "value": [{ "value": bob["id"] }] }),
        ] {
            assert_eq!(
                c.patch(&path(&team), json!([op])).await.is(200)["meta"],
                team["meta"],
                "{op}"
            );
        }
    });
}

#[test]
fn what_a_patch_may_not() {
    run(async {
        let c = Client::start().await;
        let bob = c.user("bob", json!({ "name": { "givenName": "G" } })).await;
        for (op, scim_type) in [
            (json!({ "op": "remove" }), "noTarget"),
            (json!({ "op": "remove", "path": "userName" }), "mutability"),
            (
                json!({ "op": "replace", "path": "userName", "value": "" }),
                "mutability",
            ),
            (
                json!({ "op": "replace", "path": "meta.created", "value": "2020-01-01T00:00:00Z" }),
                "mutability",
            ),
            (json!({ "op": "remove", "path": "id" }), "mutability"),
            (
                json!({ "op": "frobnicate", "path": "title", "value": "x" }),
                "invalidSyntax",
            ),
            (
                json!({ "op": "add", "path": "emails[", "value": "x" }),
                "invalidPath",
            ),
            (json!({ "op": "add", "path": "title" }), "invalidValue"),
            (json!({ "op": "add", "value": "text" }), "invalidValue"),
            (
                json!({ "op": "replace", "path": "emails[value co \"x\"].value", "value": "y" }),
                "noTarget",
            ),
            (
                json!({ "op": "replace", "path": "emails[not (type eq \"x\")].value", "value": "y" }),
                "noTarget",
            ),
            (
                json!({ "op": "remove", "path": "emails[type eq \"work\"].value" }),
                "noTarget",
            ),
        ] {
            let reply = c.patch(&path(&bob), json!([op])).await;
            assert_eq!(reply.status, 400, "{op}");
            let found = reply.json()["scimType"].clone();
            assert_eq!(found, scim_type, "{op}");
        }
        c.patch(&path(&bob), json!([]))
            .await
            .refused(400, "invalidSyntax");
        let wrong = json!({ "schemas": [U], "Operations": [{ "op": "add", "path": "title", "value": "x" }] });
        c.send("PATCH", &path(&bob), &[], wrong.to_string())
            .await
            .refused(400, "invalidSyntax");
        c.patch(
            "/Users/unknown",
            json!([{ "op": "add", "path": "title", "value": "x" }]),
        )
        .await
        .refused(404, "");
        // A missing URN is tolerated, and so are names in any case.
        let tolerant = json!({ "operations": [{ "OP": "ADD", "PATH": "TITLE", "VALUE": "x" }] });
        assert_eq!(
            c.send("PATCH", &path(&bob), &[], tolerant.to_string())
                .await
                .is(200)["title"],
            "x"
        );
        let upper = json!({ "schemas": [PATCH_OP.to_uppercase()], "Operations": [{ "op": "Remove", "path": "Title" }] });
        assert_eq!(
            c.send("PATCH", &path(&bob), &[], upper.to_string())
                .await
                .is(200)
                .get("title"),
            None
        );
        // A complex attribute keeps what is not mentioned.
        let shown = c
            .patch(
                &path(&bob),
                json!([{ "op": "replace", "path": "name", "value": { "familyName": "F" } }]),
            )
            .await
            .is(200);
        assert_eq!(
            shown["name"],
            json!({ "givenName": "G", "familyName": "F" })
        );
        let shown = c
            .patch(
                &path(&bob),
                json!([{ "op": "replace", "value": { "name": { "middleName": "M" } } }]),
            )
            .await
            .is(200);
        assert_eq!(
            shown["name"],
            json!({ "givenName": "G", "familyName": "F", "middleName": "M" })
        );
    });
}

#[test]
fn a_large_group_is_not_shown_after_a_patch_unless_asked_for() {
    run(async {
        let c = Client::start().await;
        let values: Vec<Value> = (0..100)
            .map(|n| json!({ "value": format!("m{n}") }))
            .collect();
        let team = c
            .post(
                "/Groups",
                json!({ "schemas": [G], "displayName": "T", "members": values }),
            )
            .await
            .is(201);
        let add =
            |name: &str| json!([{ "op": "add", "path": "members", "value": [{ "value": name }] }]);
        let at = path(&team);
        c.patch(&at, add("m0")).await.is(200);
        assert_eq!(c.patch(&at, add("one more")).await.is(204), Value::Null);
        let shown = c
            .patch(&format!("{at}?attributes=displayName"), add("and another"))
            .await
            .is(200);
        assert_eq!(shown["displayName"], "T");
        assert_eq!(c.members(&team).await.len(), 102);
        c.patch(&at, json!([{ "op": "remove", "path": "members" }]))
            .await
            .is(200);
        assert_eq!(c.members(&team).await.len(), 0);
    });
}

#[test]
fn what_is_deleted_is_gone_for_good() {
    run(async {
        let c = Client::start().await;
        let bob = c.user("bob", json!({ "externalId": "x" })).await;
        c.delete(&path(&bob)).await.is(204);
        c.get(&path(&bob)).await.refused(404, "");
        c.put(&path(&bob), user("bob", json!({})))
            .await
            .refused(404, "");
        c.patch(
            &path(&bob),
            json!([{ "op": "add", "path": "title", "value": "x" }]),
        )
        .await
        .refused(404, "");
        for filter in ["userName pr", "externalId eq \"x\"", "id pr"] {
            assert_eq!(c.names(filter).await.len(), 0, "{filter}");
        }
        let again = c.user("bob", json!({ "externalId": "x" })).await;
        c.get(&path(&bob)).await.refused(404, "");
        c.read(&again).await;
    });
}
