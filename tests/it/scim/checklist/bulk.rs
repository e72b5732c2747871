//! Bulk (RFC 7644, section 3.7).

use serde_json::{Value, json};

use crate::support::scim::{BASE, BULK, Client, E, group, path, text, user};
use crate::support::{Reply, run};

async fn bulk(c: &Client, more: Value, operations: Value) -> Reply {
    let mut body = json!({ "schemas": [BULK], "Operations": operations });
    crate::support::merge(&mut body, more);
    c.post("/Bulk", body).await
}

fn make(bulk_id: &str, data: Value) -> Value {
    let path = if data.get("userName").is_some() {
        "/Users"
    } else {
        "/Groups"
    };
    json!({ "method": "POST", "path": path, "bulkId": bulk_id, "data": data })
}

fn statuses(done: &Value) -> Vec<String> {
    done["Operations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|o| text(&o["status"]))
        .collect()
}

#[test]
fn operations_are_carried_out_in_order() {
    run(async {
        let c = Client::start().await;
        let bob = c.user("bob", json!({})).await;
        let at = path(&bob);
        let patch = |title: &str| json!({ "Operations": [{ "op": "replace", "path": "title", "value": title }] });
        let done = bulk(&c, json!({}), json!([
            make("a", user("a", json!({}))),
            { "method": "patch", "path": at, "data": patch("one"), "version": bob["meta"]["version"] },
            { "method": "PATCH", "path": at, "data": patch("two"), "version": bob["meta"]["version"] },
            { "method": "PUT", "path": at, "data": user("bobby", json!({})) },
            make("b", user("A", json!({}))),
            { "method": "DELETE", "path": at },
            { "method": "DELETE", "path": at },
        ])).await.is(200);
        assert_eq!(
            done["schemas"],
            json!(["urn:ietf:params:scim:api:messages:2.0:BulkResponse"])
        );
        assert_eq!(
            statuses(&done),
            ["201", "200", "412", "200", "409", "204", "404"]
        );
        let results = done["Operations"].as_array().unwrap();
        assert_eq!(
            (&results[0]["bulkId"], &results[0]["method"]),
            (&json!("a"), &json!("POST"))
        );
        assert!(results[0]["version"].is_string());
        let made = text(&results[0]["location"]);
        c.get(made.strip_prefix(BASE).unwrap()).await.is(200);
        assert_eq!(results[4]["response"]["scimType"], "uniqueness");
        assert_eq!(results[4]["response"]["status"], "409");
        assert_eq!(results[1]["location"], bob["meta"]["location"]);
    });
}

#[test]
fn references_point_forward_and_in_circles() {
    run(async {
        let c = Client::start().await;
        let members = |id: &str| json!([{ "value": format!("bulkId:{id}") }]);
        let mut first = group("First", &[]);
        first["members"] = members("second");
        let mut second = group("Second", &[]);
        second["members"] = members("first");
        let boss = |id: &str| json!({ E: { "manager": { "value": format!("bulkId:{id}") } } });
        let done = bulk(&c, json!({}), json!([
            make("first", first),
            make("second", second),
            make("a", user("a", boss("b"))),
            make("b", user("b", boss("a"))),
            { "method": "PATCH", "path": "/Users/bulkId:a", "data": { "Operations": [{ "op": "add", "path": "title", "value": "T" }] } },
            make("x", user("x", boss("nobody"))),
        ])).await.is(200);
        assert_eq!(statuses(&done), ["201", "201", "201", "201", "200", "400"]);
        let at = |n: usize| {
            text(&done["Operations"][n]["location"])
                .strip_prefix(BASE)
                .unwrap()
                .to_owned()
        };
        for (one, other) in [(0, 1), (1, 0)] {
            let group = c.get(&at(one)).await.is(200);
            assert_eq!(
                group["members"][0]["$ref"],
                done["Operations"][other]["location"]
            );
            let user = c.get(&at(one + 2)).await.is(200);
            assert_eq!(
                user[E]["manager"]["$ref"],
                done["Operations"][other + 2]["location"]
            );
        }
        assert_eq!(c.get(&at(2)).await.is(200)["title"], "T");
    });
}

#[test]
fn errors_stop_it_when_there_are_enough() {
    run(async {
        let c = Client::start().await;
        c.user("taken", json!({})).await;
        let operations = json!([
            make("1", user("taken", json!({}))),
            make("2", user("ok", json!({}))),
            make("3", user("taken", json!({}))),
            make("4", user("late", json!({}))),
        ]);
        let done = bulk(&c, json!({ "failOnErrors": 2 }), operations.clone())
            .await
            .is(200);
        assert_eq!(statuses(&done), ["409", "201", "409"]);
        assert_eq!(c.names("userName eq \"late\"").await.len(), 0);
        let done = bulk(&c, json!({}), operations).await.is(200);
        assert_eq!(statuses(&done), ["409", "409", "409", "201"]);
    });
}

#[test]
fn a_create_needs_a_bulk_id() {
    run(async {
        let c = Client::start().await;
        let bare = |name: &str| json!({ "method": "POST", "path": "/Users", "data": user(name, json!({})) });
        let done = bulk(&c, json!({}), json!([bare("a")])).await.is(200);
        assert_eq!(statuses(&done), ["400"]);
        let done = bulk(&c, json!({}), json!([bare("b"), bare("c")]))
            .await
            .is(200);
        assert_eq!(statuses(&done), ["400", "400"], "the same, side by side");
    });
}

#[test]
fn one_name_twice_in_a_request() {
    run(async {
        let c = Client::start().await;
        let done = bulk(
            &c,
            json!({}),
            json!([
                make("1", user("a", json!({}))),
                make("2", user("A", json!({}))),
                make("3", user("b", json!({})))
            ]),
        )
        .await
        .is(200);
        assert_eq!(statuses(&done), ["201", "409", "201"]);
    });
}

#[test]
fn a_thousand_users_in_one_request_and_no_more() {
    run(async {
        let c = Client::start().await;
        let operations: Vec<Value> = (0..1001)
            .map(|n| make(&n.to_string(), user(&format!("u{n}@b.com"), json!({}))))
            .collect();
        bulk(&c, json!({}), json!(operations))
            .await
            .refused(413, "");
        let done = bulk(&c, json!({}), json!(operations[..1000])).await.is(200);
        assert!(statuses(&done).iter().all(|status| status == "201"));
        assert_eq!(c.get("/Users?count=0").await.is(200)["totalResults"], 1000);
        c.post("/Bulk", json!({ "Operations": [] }))
            .await
            .refused(400, "invalidSyntax");
        c.post("/Bulk", json!({ "schemas": [BULK], "Operations": "x" }))
            .await
            .refused(400, "invalidSyntax");
    });
}

#[test]
fn bad_operations_fail_alone() {
    run(async {
        let c = Client::start().await;
        let done = bulk(
            &c,
            json!({}),
            json!([
                { "method": "POST", "path": "/Nope", "bulkId": "1", "data": {} },
                { "method": "GET", "path": "/Users/x" },
                { "method": "PUT", "path": "/Users", "data": {} },
                { "method": "POST", "path": "/Users", "bulkId": "2" },
                make("3", user("fine", json!({}))),
            ]),
        )
        .await
        .is(200);
        assert_eq!(statuses(&done), ["400", "400", "400", "400", "201"]);
        for (result, words) in done["Operations"].as_array().unwrap().iter().zip([
            "path must start with /Users or /Groups",
            "method must be POST",
            "method must be POST",
            "the body must be a JSON object",
        ]) {
            let detail = result["response"]["detail"].as_str().unwrap();
            assert!(detail.starts_with(words), "{result}");
        }
    });
}

/// How many groups and users there are.
async fn count(c: &Client) -> (Value, Value) {
    let total = async |path: &str| c.get(path).await.is(200)["totalResults"].clone();
    (
        total("/Users?count=0").await,
        total("/Groups?count=0").await,
    )
}

fn of(name: &str, members: &[&str]) -> Value {
    let members: Vec<Value> = members
        .iter()
        .map(|id| json!({ "value": format!("bulkId:{id}") }))
        .collect();
    json!({ "schemas": [crate::support::scim::G], "displayName": name, "members": members })
}

#[test]
fn what_refers_to_a_failure_fails_too() {
    run(async {
        let c = Client::start().await;
        c.user("taken", json!({})).await;
        let team = c.group("Team", &[]).await;
        let taken = || make("u", user("taken", json!({})));
        let patch = |value: &str| json!({ "Operations": [{ "op": "add", "path": "members", "value": [{ "value": value }] }] });
        let boss = |id: &str| json!({ E: { "manager": { "value": format!("bulkId:{id}") } } });
        let by_filter =
            json!({ "Operations": [{ "op": "remove", "path": "members[value eq \"bulkId:u\"]" }] });
        for operations in [
            // Behind it, before it, through others, in paths, in data, in filters.
            json!([taken(), make("g", of("G", &["u"]))]),
            json!([make("g", of("G", &["u"])), taken()]),
            json!([
                make("g", of("G", &["h"])),
                make("h", of("H", &["u"])),
                taken()
            ]),
            json!([
                taken(),
                make("h", of("H", &["u"])),
                make("g", of("G", &["h"]))
            ]),
            json!([
                taken(),
                make("v", user("v", boss("u"))),
                make("w", user("w", boss("v")))
            ]),
            json!([
                make("w", user("w", boss("v"))),
                make("v", user("v", boss("u"))),
                taken()
            ]),
            json!([
                { "method": "PATCH", "path": "/Users/bulkId:u", "data": { "Operations": [{ "op": "add", "path": "title", "value": "x" }] } },
                { "method": "PUT", "path": "/Users/bulkId:u", "data": user("x", json!({})) },
                { "method": "DELETE", "path": "/Users/bulkId:u" },
                { "method": "PATCH", "path": path(&team), "data": patch("bulkId:u") },
                { "method": "PATCH", "path": path(&team), "data": by_filter },
                { "method": "PUT", "path": path(&team), "data": of("Team", &["u"]) },
                taken(),
            ]),
            // In circles.
            json!([
                make("g", of("G", &["h", "u"])),
                make("h", of("H", &["g"])),
                taken()
            ]),
            json!([make("g", of("G", &["h"])), make("h", of("", &["g"]))]),
            json!([
                make("h", of("", &["g"])),
                make("g", of("G", &["h"])),
                make("i", of("I", &["g"]))
            ]),
            json!([
                make("v", user("v", boss("w"))),
                make("w", user("taken", boss("v")))
            ]),
            json!([
                make("w", user("", boss("v"))),
                make("v", user("v", boss("w")))
            ]),
        ] {
            let before = count(&c).await;
            let done = bulk(&c, json!({}), operations.clone()).await.is(200);
            let statuses = statuses(&done);
            assert_eq!(statuses.len(), operations.as_array().unwrap().len());
            let is_refusal = |status: &String| ["400", "409"].contains(&status.as_str());
            assert!(statuses.iter().all(is_refusal), "{operations}: {done}");
            for (result, operation) in done["Operations"]
                .as_array()
                .unwrap()
                .iter()
                .zip(operations.as_array().unwrap())
            {
                assert_eq!(result["bulkId"], operation["bulkId"]);
                assert_eq!(result["response"]["status"], result["status"]);
                let of_the_team = operation["path"] == path(&team);
                assert_eq!(result.get("location").is_some(), of_the_team, "{result}");
            }
            assert_eq!(count(&c).await, before, "{operations}");
            assert_eq!(c.read(&team).await, team);
        }
        let refused: Vec<(i64,)> = c
            .rows("select count(*) from scim_events where organization_id = $1 and scim_configuration_id = $2 and outcome = 'refused'")
            .await;
        assert!(refused[0].0 > 30, "each is on record: {refused:?}");
    });
}

#[test]
fn what_refers_to_no_failure_is_done() {
    run(async {
        let c = Client::start().await;
        c.user("taken", json!({})).await;
        let operations = json!([
            make("late", of("Late", &["b", "a"])),
            make("u", user("taken", json!({}))),
            make("lost", of("Lost", &["u"])),
            make("a", user("a", json!({}))),
            make("self", of("Self", &["self", "a"])),
            make("x", of("X", &["y"])),
            make("y", of("Y", &["x", "a"])),
            make("z", of("Z", &["x"])),
            { "method": "PATCH", "path": "/Groups/bulkId:z", "data": { "Operations": [
                { "op": "remove", "path": "members[value eq \"bulkId:x\"]" }, { "op": "add", "path": "members", "value": "bulkId:b" } ] } },
            make("b", user("b", json!({}))),
        ]);
        let done = bulk(&c, json!({}), operations.clone()).await.is(200);
        assert_eq!(
            statuses(&done),
            [
                "201", "409", "409", "201", "201", "201", "201", "201", "200", "201"
            ]
        );
        let ids: Vec<&Value> = done["Operations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|o| &o["bulkId"])
            .collect();
        assert_eq!(ids[0], "late", "results stand as the operations do");
        for (name, members) in [("Late", 2), ("Self", 2), ("X", 1), ("Y", 2), ("Z", 1)] {
            let found = c
                .found("/Groups", &format!("displayName eq \"{name}\""))
                .await;
            let members_found = found[0]["members"].as_array().unwrap();
            assert_eq!(members_found.len(), members, "{name}");
            assert!(
                members_found.iter().all(|m| m["$ref"].is_string()),
                "{name}"
            );
        }
        // With a limit, what waits for a failure counts as one, and what comes after is left out.
        let operations = json!([
            make("1", of("First", &["u"])),
            make("u", user("taken", json!({}))),
            make("2", of("Second", &[])),
        ]);
        let done = bulk(&c, json!({ "failOnErrors": 2 }), operations.clone())
            .await
            .is(200);
        assert_eq!(statuses(&done), ["409", "409"]);
        let done = bulk(&c, json!({ "failOnErrors": 1 }), operations.clone())
            .await
            .is(200);
        assert_eq!(statuses(&done), ["409"]);
        assert_eq!(done["Operations"][0]["bulkId"], "u");
        assert_eq!(
            c.found("/Groups", "displayName eq \"Second\"").await.len(),
            0
        );
        // Managers that stand in a row are created together, and so are a thousand in a circle.
        let row: Vec<Value> = (0..1000)
            .map(|n| {
                let boss = json!({ E: { "manager": { "value": format!("bulkId:{}", (n + 999) % 1000) } } });
                make(&n.to_string(), user(&format!("m{n}"), boss))
            })
            .collect();
        let done = bulk(&c, json!({}), json!(row)).await.is(200);
        assert!(statuses(&done).iter().all(|status| status == "201"));
    });
}
