//! Schemas, common attributes, types, users and groups (RFC 7643).

use chrono::TimeDelta;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::run;
use crate::support::scim::{BASE, Client, E, G, U, path, text, user, without};

#[test]
fn schemas_list_the_extension_exactly_when_it_has_data() {
    run(async {
        let c = Client::start().await;
        let bob = c.user("bob", json!({ "schemas": [U, E, U], E: {} })).await;
        assert_eq!(bob["schemas"], json!([U]));
        let patch = |value: Value| json!([{ "op": "replace", "path": format!("{E}:department"), "value": value }]);
        let shown = c.patch(&path(&bob), patch(json!("D"))).await.is(200);
        assert_eq!(shown["schemas"], json!([U, E]));
        let shown = c.patch(&path(&bob), patch(Value::Null)).await.is(200);
        assert_eq!((&shown["schemas"], shown.get(E)), (&json!([U]), None));
        for schemas in [json!([]), json!([E]), json!(["urn:x"]), Value::Null] {
            c.post("/Users", json!({ "schemas": schemas, "userName": "x" }))
                .await
                .refused(400, "invalidSyntax");
        }
    });
}

#[test]
fn names_are_in_any_case_and_nothing_is_absent() {
    run(async {
        let c = Client::start().await;
        let body = json!({ "SCHEMAS": [U], "USERNAME": "bob", "Name": { "GIVENNAME": "B" }, "title": null, "emails": [], "roles": null, "X": 1, "urn:x:y": { "z": 1 } });
        let bob = c.post("/Users", body).await.is(201);
        let expected = json!({ "schemas": [U], "userName": "bob", "name": { "givenName": "B" }, "active": true });
        assert_eq!(without(&bob, &["id", "meta"]), expected);
    });
}

#[test]
fn id_and_meta_are_the_servers() {
    run(async {
        let c = Client::start().await;
        let before = c.server.now();
        let more = json!({ "id": Uuid::nil(), "meta": { "created": "2001-01-01T00:00:00Z", "version": "x", "location": "y" } });
        let reply = c.post("/Users", user("bob", more)).await;
        let bob = reply.is(201);
        assert_ne!(bob["id"], json!(Uuid::nil()));
        let meta = &bob["meta"];
        assert_eq!(meta["resourceType"], "User");
        assert_eq!(meta["created"], meta["lastModified"]);
        assert_eq!(
            text(&meta["created"])
                .parse::<chrono::DateTime<chrono::Utc>>()
                .unwrap(),
            before
        );
        assert_eq!(
            meta["location"],
            format!("{BASE}/Users/{}", text(&bob["id"]))
        );
        assert_eq!(meta["location"], reply.header("location"));
        assert_eq!(meta["version"], reply.header("etag"));
        assert!(text(&meta["version"]).starts_with("W/\""));
        // The id is not reused.
        c.delete(&path(&bob)).await.is(204);
        let again = c.user("bob", json!({})).await;
        assert_ne!(again["id"], bob["id"]);
        let group = c.group("g", &[]).await;
        assert_ne!(group["id"], again["id"]);
        c.get(&format!("/Groups/{}", text(&again["id"])))
            .await
            .refused(404, "");
        c.get(&format!("/Users/{}", text(&group["id"])))
            .await
            .refused(404, "");
    });
}

#[test]
fn external_ids_are_exact_and_of_the_configuration() {
    run(async {
        let c = Client::start().await;
        c.user("a", json!({ "externalId": "X" })).await;
        c.user("b", json!({ "externalId": "x" })).await;
        c.post("/Users", user("c", json!({ "externalId": "x" })))
            .await
            .refused(409, "uniqueness");
        c.beside(json!({}))
            .await
            .user("c", json!({ "externalId": "x" }))
            .await;
        let body = json!({ "schemas": [G], "displayName": "g", "externalId": "x" });
        c.post("/Groups", body).await.is(201);
    });
}

#[test]
fn types_are_checked() {
    run(async {
        let c = Client::start().await;
        for more in [
            json!({ "active": "yes" }),
            json!({ "active": 1 }),
            json!({ "title": 5 }),
            json!({ "title": { "a": 1 } }),
            json!({ "name": { "givenName": { "a": "b" } } }),
            json!({ "name": [{ "givenName": "a" }, { "givenName": "b" }] }),
            json!({ "x509Certificates": [{ "value": "not base64!" }] }),
            json!({ "emails": [{ "value": "a", "primary": "maybe" }] }),
            json!({ "userName": 7 }),
            json!({ "userName": "" }),
            json!({ "userName": null }),
        ] {
            c.post("/Users", user("bob", more.clone()))
                .await
                .refused(400, "invalidValue");
        }
        c.post("/Users", json!({ "schemas": [U] }))
            .await
            .refused(400, "invalidValue");
        let more = json!({ "profileUrl": "../relative", "photos": [{ "value": "https://x/y" }], "x509Certificates": [{ "value": "MIIDQzCC" }] });
        let bob = c.user("bob", more.clone()).await;
        assert_eq!(bob["profileUrl"], more["profileUrl"]);
        assert_eq!(bob["x509Certificates"], more["x509Certificates"]);
    });
}

#[test]
fn one_primary_and_no_equal_values() {
    run(async {
        let c = Client::start().await;
        let more = json!({ "phoneNumbers": [
            { "value": "1", "type": "work", "primary": true }, { "value": "1", "type": "work" }, { "value": "2", "type": "carrier pigeon" },
        ] });
        let bob = c.user("bob", more).await;
        assert_eq!(bob["phoneNumbers"].as_array().unwrap().len(), 2);
        let op = json!([{ "op": "add", "path": "phoneNumbers", "value": [{ "value": "3", "type": "home", "primary": true }] }]);
        let shown = c.patch(&path(&bob), op).await.is(200);
        let primaries: Vec<&Value> = shown["phoneNumbers"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|v| v["primary"] == true)
            .collect();
        assert_eq!(
            primaries,
            [&json!({ "value": "3", "type": "home", "primary": true })]
        );
        let more = json!({ "phoneNumbers": [{ "value": "1", "primary": true }, { "value": "2", "primary": true }] });
        let two = c.user("two", more).await;
        assert_eq!(
            two["phoneNumbers"],
            json!([{ "value": "1", "primary": false }, { "value": "2", "primary": true }]),
            "the last one wins"
        );
    });
}

#[test]
fn user_names_are_compared_as_prepared_and_echoed_as_sent() {
    run(async {
        let c = Client::start().await;
        for (name, equal) in [("Björn", "BJÖRN"), ("ｗｉｄｅ", "wide"), ("ﬁsh", "FISH")] {
            let made = c.user(name, json!({})).await;
            assert_eq!(made["userName"], name);
            c.post("/Users", user(equal, json!({})))
                .await
                .refused(409, "uniqueness");
            let filter = format!("userName eq \"{equal}\"");
            assert_eq!(c.names(&filter).await, [name]);
        }
    });
}

#[test]
fn the_password_is_never_seen_again() {
    run(async {
        let c = Client::start().await;
        let bob = c.user("bob", json!({ "password": "s3cret" })).await;
        let shown = c
            .get(&format!("{}?attributes=password,userName", path(&bob)))
            .await
            .is(200);
        assert_eq!(shown.get("password"), None);
        c.bad_filter("/Users", "password pr").await;
        let rows: Vec<(String,)> = c
            .rows("select row_to_json(u)::text from scim_users u where organization_id = $1 and scim_configuration_id = $2")
            .await;
        assert!(!format!("{rows:?}").contains("s3cret"));
    });
}

#[test]
fn the_managers_name_is_the_servers() {
    run(async {
        let c = Client::start().await;
        let boss = c.user("boss", json!({ "displayName": "Boss" })).await;
        let bob = c.user("bob", json!({ E: { "manager": { "value": boss["id"], "displayName": "x", "$ref": "y" } } })).await;
        let expected =
            json!({ "value": boss["id"], "displayName": "Boss", "$ref": boss["meta"]["location"] });
        assert_eq!(bob[E]["manager"], expected);
        c.patch(
            &path(&boss),
            json!([{ "op": "replace", "path": "displayName", "value": "Chief" }]),
        )
        .await
        .is(200);
        assert_eq!(c.read(&bob).await[E]["manager"]["displayName"], "Chief");
        c.delete(&path(&boss)).await.is(204);
        assert_eq!(c.read(&bob).await[E]["manager"].get("$ref"), None);
    });
}

#[test]
fn nested_groups() {
    run(async {
        let c = Client::start().await;
        let bob = c.user("bob", json!({})).await;
        let inner = c.group("Inner", &[&bob]).await;
        let outer = c.group("Outer", &[&inner]).await;
        let member = &outer["members"][0];
        assert_eq!(member["type"], "Group");
        assert_eq!(member["$ref"], inner["meta"]["location"]);
        assert_eq!(inner["members"][0]["type"], "User");
        assert_eq!(inner["members"][0]["$ref"], bob["meta"]["location"]);
        let shown = c.read(&bob).await;
        let mut groups = shown["groups"].as_array().unwrap().clone();
        groups.sort_by_key(|g| text(&g["display"]));
        let entry = |group: &Value, kind: &str| json!({ "value": group["id"], "$ref": group["meta"]["location"], "display": group["displayName"], "type": kind });
        assert_eq!(groups, [entry(&inner, "direct"), entry(&outer, "indirect")]);
        for (filter, count) in [
            (format!("groups.value eq {}", outer["id"]), 1),
            (format!("groups eq {}", inner["id"]), 1),
            (
                format!("groups[value eq {} and type eq \"direct\"]", outer["id"]),
                0,
            ),
            (
                format!("groups[value eq {} and type eq \"indirect\"]", outer["id"]),
                1,
            ),
            (r#"groups.display eq "OUTER""#.to_owned(), 1),
            ("groups pr".to_owned(), 1),
            (r#"groups.value eq "x""#.to_owned(), 0),
        ] {
            assert_eq!(c.names(&filter).await.len(), count, "{filter}");
        }
        // In circles.
        c.patch(
            &path(&inner),
            json!([{ "op": "add", "path": "members", "value": [{ "value": outer["id"] }] }]),
        )
        .await
        .is(200);
        let groups = c.read(&bob).await["groups"].as_array().unwrap().len();
        assert_eq!(groups, 2);
        assert_eq!(c.names("groups pr").await, ["bob"]);
        // Who is gone is in no group.
        let before = c.read(&inner).await;
        c.server.pass(TimeDelta::seconds(1));
        c.delete(&path(&bob)).await.is(204);
        let after = c.read(&inner).await;
        assert_eq!(after["members"].as_array().unwrap().len(), 1);
        assert_ne!(after["meta"]["version"], before["meta"]["version"]);
        c.delete(&path(&inner)).await.is(204);
        assert_eq!(c.read(&outer).await.get("members"), None);
    });
}

#[test]
fn groups_are_read_only_and_members_immutable() {
    run(async {
        let c = Client::start().await;
        let bob = c.user("bob", json!({ "groups": [{ "value": "x" }] })).await;
        assert_eq!(bob.get("groups"), None);
        let op = json!([{ "op": "add", "path": "groups", "value": [{ "value": "x" }] }]);
        c.patch(&path(&bob), op).await.refused(400, "mutability");
        let team = c.group("Team", &[&bob]).await;
        let op = json!([{ "op": "replace", "path": format!("members[value eq {}].value", bob["id"]), "value": "y" }]);
        c.patch(&path(&team), op).await.refused(400, "mutability");
        c.post("/Groups", json!({ "schemas": [G] }))
            .await
            .refused(400, "invalidValue");
        c.post("/Groups", json!({ "schemas": [G], "displayName": "" }))
            .await
            .refused(400, "invalidValue");
        c.patch(
            &path(&team),
            json!([{ "op": "remove", "path": "displayName" }]),
        )
        .await
        .refused(400, "mutability");
    });
}

#[test]
fn what_is_not_used_keeps_nobody_out() {
    run(async {
        let c = Client::start().await;
        let odd = json!({
            "profileUrl": "my page", "photos": [{ "value": "C:\\photos\\me.png" }, { "value": "<none>", "type": "thumbnail" }],
            "https://example.com/schemas/2.0/User": { "badge": 7 },
            "https://example.com/schemas/2.0/User:badge": 7,
        });
        let mut body = user("bob", odd.clone());
        body["schemas"] = json!([U, "https://example.com/schemas/2.0/User", "not a URI"]);
        let bob = c.post("/Users", body.clone()).await.is(201);
        assert_eq!(bob["schemas"], json!([U]));
        for name in ["profileUrl", "photos"] {
            assert_eq!(bob[name], odd[name]);
        }
        assert_eq!(c.names(r#"profileUrl eq "my page""#).await, ["bob"]);
        c.put(&path(&bob), body).await.is(200);
        let value = json!({ "https://example.com/User:x": 1, "urn:x/y:z": 2, "title": "T" });
        let shown = c
            .patch(
                &path(&bob),
                json!([
                    { "op": "add", "path": "https://example.com/schemas/2.0/User:badge", "value": "x" },
                    { "op": "replace", "path": "http://example.com/User:tags[type eq \"a\"].value", "value": "x" },
                    { "op": "remove", "path": "http://example.com/User:x" },
                    { "op": "replace", "path": "photos[type eq \"thumbnail\"].value", "value": "no URI" },
                    { "op": "add", "value": value },
                ]),
            )
            .await
            .is(200);
        assert_eq!(shown["title"], "T");
        assert_eq!(shown["photos"][1]["value"], "no URI");
        let traits: Vec<(Vec<String>,)> = c
            .rows("select traits from scim_events where organization_id = $1 and scim_configuration_id = $2 order by created_at, id")
            .await;
        for (traits,) in traits {
            assert_eq!(traits, ["text for a URI", "unknown attributes"]);
        }
        // What is no URI is nobody's picture.
        let pictures: Vec<(String,)> = c
            .rows("select avatar_url from users where organization_id = $1 and $2::uuid is not null and name = 'bob'")
            .await;
        assert_eq!(pictures, [(String::new(),)]);
    });
}

#[test]
fn blanks_around_addresses_do_not_count() {
    run(async {
        let c = Client::start().await;
        let more = json!({ "emails": [{ "value": "\tada@b.com \n" }, { "value": "Ada@B.com" }, { "value": " " }], "externalId": " x " });
        let ada = c.user(" Ada@b.com ", more).await;
        assert_eq!(ada["userName"], "Ada@b.com");
        assert_eq!(ada["emails"], json!([{ "value": "ada@b.com" }]));
        assert_eq!(ada["externalId"], " x ", "an identifier is what it is");
        for filter in [
            r#"userName eq "ada@b.com""#,
            r#"userName eq " ada@b.com ""#,
            r#"emails eq "ada@b.com""#,
            r#"emails.value eq "\tada@b.com""#,
            r#"emails[value eq "ada@b.com "]"#,
            r#"externalId eq " x ""#,
        ] {
            assert_eq!(c.names(filter).await, ["Ada@b.com"], "{filter}");
        }
        assert_eq!(c.names(r#"externalId eq "x""#).await.len(), 0);
        c.post("/Users", user("ada@b.com\u{a0}", json!({})))
            .await
            .refused(409, "uniqueness");
        let shown = c
            .patch(
                &path(&ada),
                json!([
                    { "op": "add", "path": "emails[type eq \"home\"].value", "value": " home@b.com" },
                    { "op": "remove", "path": "emails", "value": [{ "value": "ada@b.com " }] },
                    { "op": "replace", "path": "userName", "value": "ada@c.com " },
                ]),
            )
            .await
            .is(200);
        assert_eq!(shown["userName"], "ada@c.com");
        assert_eq!(
            shown["emails"],
            json!([{ "value": "home@b.com", "type": "home" }])
        );
        // What is no address is shown as it was sent; and who was stored with blanks is found by them.
        assert_eq!(c.user(" ada ", json!({})).await["userName"], " ada ");
        c.execute("update scim_users set user_name_key = ' ada@c.com ' where organization_id = $1 and scim_configuration_id = $2 and user_name = 'ada@c.com'").await;
        assert_eq!(c.names(r#"userName eq " ADA@c.com ""#).await, ["ada@c.com"]);
    });
}
