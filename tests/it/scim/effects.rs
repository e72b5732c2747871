//! Nothing is answered with success and has no effect: after a 2xx, a resource is what was asked
//! for, or it was already. What is not understood is refused, and changes nothing.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::support::scim::{BASE, Client, E, G, U, path, text, user};
use crate::support::{Reply, run};

type Set = BTreeSet<String>;

/// Whether a form must be understood, or may be refused.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Known,
    Unknown,
}
use Form::{Known, Unknown};

/// The forms in which clients name one member.
fn forms_of_member(id: &str) -> Vec<(Value, Form)> {
    let upper = id.to_uppercase();
    vec![
        (json!(id), Known),
        (json!([id]), Known),
        (json!({ "value": id }), Known),
        (json!([{ "value": id }]), Known),
        (json!([{ "Value": upper }]), Known),
        (json!([{ "value": format!(" {id} ") }]), Known),
        (
            json!([{ "value": id, "type": "User", "display": "x" }]),
            Known,
        ),
        (json!([{ "value": id, "$ref": null, "type": null }]), Known),
        (json!([{ "value": id, "unknown": { "a": 1 } }]), Known),
        (json!([{ "value": [id] }]), Known),
        (json!([{ "value": { "value": id } }]), Known),
        (json!([{ "id": id }]), Known),
        (json!([{ "ID": upper, "display": "x" }]), Known),
        (json!([{ "id": id, "value": null }]), Unknown),
        (json!([{ "$ref": format!("{BASE}/Users/{id}") }]), Known),
        (
            json!([{ "$ref": format!("../Users/{upper}"), "type": "User" }]),
            Known,
        ),
        (json!({ "$REF": format!("/scim/v2/Users/{id}/") }), Known),
        (json!({ "members": [{ "value": id }] }), Known),
        (json!({ "Members": { "value": id } }), Known),
        (json!({ "members": id }), Known),
        (json!({ format!("{G}:members"): [id] }), Known),
        (json!([{ "$ref": format!("{BASE}/Groups/{id}") }]), Unknown),
        (
            json!([{ "$ref": format!("https://elsewhere.test/scim/v2/Users/{id}") }]),
            Unknown,
        ),
        (json!([{ "$ref": format!("{BASE}/Users/{id}/x") }]), Unknown),
        (json!([{ "$ref": id }]), Unknown),
        (json!([{ "val": id }]), Unknown),
        (json!([{ "valeu": id, "type": "User" }]), Unknown),
        (json!([{ "userId": id, "display": "x" }]), Unknown),
        (json!([{ "externalId": id }]), Unknown),
        (json!([{ "type": "User" }]), Unknown),
        (json!([{ "display": id }]), Unknown),
        (json!([{ "value": "" }]), Unknown),
        (json!([{ "value": null }]), Unknown),
        (json!([{ "value": 5 }]), Unknown),
        (json!([{ "value": [id, id] }]), Unknown),
        (json!([{ "User": { "value": id } }]), Unknown),
        (json!({ "users": [{ "value": id }] }), Unknown),
        (json!({ "add": [id] }), Unknown),
        (json!({ id: {} }), Unknown),
        (json!({}), Unknown),
        (json!([{}]), Unknown),
        (json!([null]), Unknown),
        (json!([""]), Unknown),
        (json!([[id]]), Unknown),
        (json!([5]), Unknown),
        (json!(5), Unknown),
        (json!(true), Unknown),
    ]
}

/// The forms in which a key or path names the members.
fn names_of_members() -> Vec<(String, Form)> {
    let known = ["members", "Members", " members"].map(|name| (name.to_owned(), Known));
    let urns = [":", "."].map(|dot| (format!("{G}{dot}members"), Known));
    let unknown = [
        "member",
        "Member",
        "members.value",
        "members.id",
        "members.$ref",
        "members:",
        "members[]",
        "members[0]",
        "/members",
        "group.members",
        "urn:scim:schemas:core:1.0:members",
        "http://example.com/Group:members",
    ];
    let unknown = unknown.map(|name| (name.to_owned(), Unknown));
    known.into_iter().chain(urns).chain(unknown).collect()
}

/// A group with two members, and a user who is none.
struct Scene {
    c: Client,
    ada: String,
    bob: String,
    eve: String,
}

impl Scene {
    async fn new() -> Self {
        let c = Client::start().await;
        let mut ids = vec![];
        for name in ["ada", "bob", "eve"] {
            ids.push(text(&c.user(name, json!({})).await["id"]));
        }
        let [ada, bob, eve] = ids.try_into().unwrap();
        Self { c, ada, bob, eve }
    }

    fn both(&self) -> Set {
        Set::from([self.ada.clone(), self.bob.clone()])
    }

    /// A group of the two, with what a request makes of it.
    async fn after(&self, method: &str, body: &Value) -> (Reply, Set) {
        let c = &self.c;
        let members = json!([{ "value": self.ada }, { "value": self.bob }]);
        let group = json!({ "schemas": [G], "displayName": "Team", "members": members });
        let group = c.post("/Groups", group).await.is(201);
        let reply = c.send(method, &path(&group), &[], body.to_string()).await;
        (reply, c.members(&group).await.into_iter().collect())
    }

    /// A request on the group either does as it asks, or is refused and does nothing.
    async fn expect(&self, method: &str, body: Value, form: Form, expected: &Set) {
        let (reply, members) = self.after(method, &body).await;
        if reply.status.is_success() {
            assert_eq!(members, *expected, "{method} {body}");
        } else {
            assert_eq!(form, Unknown, "{method} {body}: {:?}", reply.bytes);
            assert_eq!(reply.status, 400, "{method} {body}");
            let scim_type = text(&reply.json()["scimType"]);
            assert!(reply.refused(400, &scim_type).len() > 10, "{body}");
            assert_eq!(members, self.both(), "{method} {body}");
        }
    }
}

#[test]
fn members_are_what_was_asked_for() {
    run(async {
        let scene = Scene::new().await;
        let patch = |operation: Value| json!({ "Operations": [operation] });
        let [ada, eve] = [&scene.ada, &scene.eve].map(|id| Set::from([id.clone()]));
        let all: Set = scene.both().union(&eve).cloned().collect();
        let bob = Set::from([scene.bob.clone()]);
        let names = names_of_members();
        for (index, (value, form)) in forms_of_member(&scene.eve).into_iter().enumerate() {
            // Each form of value with each known name would say little more than with one.
            let (name, _) = &names[index % 5];
            let add = json!({ "op": "add", "path": name, "value": value });
            scene.expect("PATCH", patch(add), form, &all).await;
            let replace = json!({ "op": "Replace", "path": name, "value": value });
            scene.expect("PATCH", patch(replace), form, &eve).await;
            for (op, expected) in [("add", &all), ("replace", &eve)] {
                for body in [
                    json!({ name.as_str(): value }),
                    json!({ G: { "members": value } }),
                ] {
                    let operation = json!({ "op": op, "value": body });
                    scene
                        .expect("PATCH", patch(operation), form, expected)
                        .await;
                }
            }
            let mut body = json!({ "schemas": [G], "displayName": "Team" });
            body[name] = value;
            scene.expect("PUT", body, form, &eve).await;
        }
        for (value, form) in forms_of_member(&scene.ada) {
            let remove = json!({ "op": "remove", "path": "members", "value": value });
            scene.expect("PATCH", patch(remove), form, &bob).await;
        }
        for (name, form) in names {
            let value = json!([{ "value": scene.eve }]);
            let op = |op: &str| json!({ "op": op, "path": name, "value": value });
            scene.expect("PATCH", patch(op("add")), form, &all).await;
            scene
                .expect("PATCH", patch(op("replace")), form, &eve)
                .await;
            let remove = json!({ "op": "remove", "path": name, "value": [{ "value": scene.bob }] });
            scene.expect("PATCH", patch(remove), form, &ada).await;
            let without_path = json!({ "op": "add", "value": { name.as_str(): value } });
            scene.expect("PATCH", patch(without_path), form, &all).await;
            let mut body = json!({ "schemas": [G], "displayName": "Team" });
            body[&name] = value;
            scene.expect("PUT", body, form, &eve).await;
        }
    });
}

#[test]
fn a_new_group_has_the_members_that_were_asked_for() {
    run(async {
        let scene = Scene::new().await;
        for (value, form) in forms_of_member(&scene.eve) {
            let body = json!({ "schemas": [G], "displayName": "Team", "members": value });
            let reply = scene.c.post("/Groups", body.clone()).await;
            if reply.status.is_success() {
                let group = reply.is(201);
                assert_eq!(
                    scene.c.members(&group).await,
                    std::slice::from_ref(&scene.eve),
                    "{body}"
                );
            } else {
                assert_eq!(form, Unknown, "{body}: {:?}", reply.bytes);
                assert_eq!(reply.status, 400, "{body}");
            }
        }
        for name in ["member", "urn:x:members", "members.value"] {
            let mut body = json!({ "schemas": [G], "displayName": "Team" });
            body[name] = json!([{ "value": scene.eve }]);
            assert_eq!(scene.c.post("/Groups", body).await.status, 400, "{name}");
        }
    });
}

#[test]
fn members_are_removed_by_what_is_shown_of_them() {
    run(async {
        let scene = Scene::new().await;
        let (ada, upper) = (&scene.ada, scene.ada.to_uppercase());
        let rest = Set::from([scene.bob.clone()]);
        let nobody = Set::new();
        let patch = |path: &str| json!({ "Operations": [{ "op": "remove", "path": path }] });
        for (filter, expected) in [
            (format!("value eq \"{ada}\""), &rest),
            (format!("Value EQ \"{upper}\""), &rest),
            (format!("value eq \"{ada}\" and type eq \"User\""), &rest),
            (format!("value eq \"{upper}\" and type eq \"user\""), &rest),
            (
                format!("type eq \"User\" and (value eq \"{ada}\" or value eq \"x\")"),
                &rest,
            ),
            (format!("$ref eq \"{BASE}/Users/{ada}\""), &rest),
            ("display eq \"Ada\"".to_owned(), &rest),
            ("display sw \"a\" and type ne \"Group\"".to_owned(), &rest),
            ("type eq \"User\"".to_owned(), &nobody),
            ("$ref pr and display pr".to_owned(), &nobody),
            // Whom these mean, nobody is.
            ("type eq \"Group\"".to_owned(), &scene.both()),
            (format!("value eq \"{}\"", scene.eve), &scene.both()),
            (format!("$ref eq \"{BASE}/Groups/{ada}\""), &scene.both()),
        ] {
            scene
                .expect(
                    "PATCH",
                    patch(&format!("members[{filter}]")),
                    Known,
                    expected,
                )
                .await;
        }
        let by_value = format!("members[value eq \"{ada}\"]");
        for path in [
            format!("{by_value}.value"),
            format!("{by_value}.nope"),
            format!("{by_value}.type"),
            format!("members[id eq \"{ada}\"]"),
            format!("members[val eq \"{ada}\"]"),
            format!("members[value eq {ada}]"),
            format!("members[value=\"{ada}\"]"),
            format!("members[\"{ada}\"]"),
            format!("members[{ada}]"),
            format!("members.{ada}"),
            format!("members/{ada}"),
            format!("member[value eq \"{ada}\"]"),
        ] {
            scene.expect("PATCH", patch(&path), Unknown, &rest).await;
        }
        for operation in [
            json!({ "op": "remove", "path": "members", "values": [{ "value": ada }] }),
            json!({ "op": "remove", "path": "members", "value": "" }),
            json!({ "op": "remove", "path": "members", "value": { "members": null } }),
            json!({ "op": "remove", "value": { "members": [{ "value": ada }] } }),
            json!({ "op": "add", "value": { "value": [{ "value": ada }] } }),
            json!({ "op": "add", "value": [{ "value": ada }] }),
        ] {
            scene
                .expect(
                    "PATCH",
                    json!({ "Operations": [operation] }),
                    Unknown,
                    &rest,
                )
                .await;
        }
    });
}

#[test]
fn attack_reference_to_what_is_somebody_elses() {
    run(async {
        let scene = Scene::new().await;
        let c = &scene.c;
        let mut details = Set::new();
        for other in [c.neighbour().await, c.beside(json!({})).await] {
            let stranger = other.user("stranger", json!({})).await;
            for id in [text(&stranger["id"]), uuid::Uuid::from_u128(7).to_string()] {
                let members = json!([{ "$ref": format!("{BASE}/Users/{id}") }]);
                let add =
                    json!({ "Operations": [{ "op": "add", "path": "members", "value": members }] });
                let (reply, left) = scene.after("PATCH", &add).await;
                details.insert(reply.refused(400, "invalidValue"));
                assert_eq!(left, scene.both());
                let body = json!({ "schemas": [G], "displayName": "Team", "members": members });
                let reply = c.post("/Groups", body).await;
                details.insert(reply.refused(400, "invalidValue"));
                let manager = json!({ E: { "manager": { "$ref": format!("../Users/{id}") } } });
                let reply = c.post("/Users", user("new", manager)).await;
                details.insert(reply.refused(400, "invalidValue"));
                // Filters see as little.
                for filter in [
                    format!("members.$ref eq \"{BASE}/Users/{id}\""),
                    "members.display eq \"stranger\"".to_owned(),
                ] {
                    assert_eq!(c.found("/Groups", &filter).await.len(), 0, "{filter}");
                }
            }
        }
        assert_eq!(details.len(), 1, "{details:?}");
    });
}

/// What is shown of an attribute: what matters of each of its values.
fn shown(resource: &Value, attribute: &str) -> Set {
    let value = resource
        .get(attribute)
        .or_else(|| resource.get(E)?.get(attribute));
    let of_one = |value: &Value| match value {
        Value::Object(object) => {
            let names = ["value", "givenName", "formatted"];
            let found = names.iter().find_map(|name| object.get(*name));
            found.map_or("something else".to_owned(), text)
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match value {
        None => Set::new(),
        Some(Value::Array(values)) => values.iter().map(of_one).collect(),
        Some(value) => Set::from([of_one(value)]),
    }
}

/// An attribute of users, what it has before, and values that all mean `new`.
struct Case {
    attribute: &'static str,
    is_list: bool,
    old: Value,
    new: String,
    forms: Vec<(Value, Form)>,
}

fn list(attribute: &'static str, sub: &str, old: &str, new: &str) -> Case {
    Case {
        attribute,
        is_list: true,
        old: json!([{ sub: old, "type": "work" }]),
        new: new.to_owned(),
        forms: vec![
            (json!([{ sub: new }]), Known),
            (
                json!([{ sub.to_uppercase(): new, "type": "home", "primary": "True" }]),
                Known,
            ),
            (json!([{ sub: new, "unknown": 1 }]), Known),
            (json!({ sub: new }), Known),
            (json!({ attribute: [{ sub: new }] }), Known),
            (json!([{ "val": new }]), Unknown),
            (json!([{ "type": "home", "valeu": new }]), Unknown),
            (json!([{ "name": new, "primary": true }]), Unknown),
            (json!({ "work": new }), Unknown),
            (json!({ "work": { sub: new } }), Unknown),
            (json!([{ sub: [new, new] }]), Unknown),
            (json!([{ sub: 5 }]), Unknown),
            (json!([[{ sub: new }]]), Unknown),
            (json!(5), Unknown),
            (json!([true]), Unknown),
        ],
    }
}

fn cases(boss: &str, other: &str) -> Vec<Case> {
    let simple = |attribute, old: Value, new: Value| Case {
        attribute,
        is_list: false,
        new: new.as_str().map_or_else(|| new.to_string(), str::to_owned),
        forms: vec![
            (new.clone(), Known),
            (json!([new]), Known),
            (json!({ attribute: new }), Known),
            (json!({ attribute.to_uppercase(): new }), Known),
            (json!({ "value": new }), Unknown),
            (json!([new, new]), Unknown),
            (json!([[new]]), Unknown),
            (json!(5), Unknown),
        ],
        old,
    };
    let mut cases = vec![
        simple("title", json!("Old"), json!("New")),
        simple("displayName", json!("Old"), json!("New")),
        simple("userName", json!("before"), json!("after")),
        simple("externalId", json!("1"), json!("2")),
        simple("profileUrl", json!("https://a/"), json!("no URI")),
        simple("active", json!(true), json!(false)),
        simple("department", json!("Old"), json!("New")),
        list("emails", "value", "old@b.com", "new@b.com"),
        list("phoneNumbers", "value", "1", "2"),
        list("photos", "value", "https://a/", "no URI"),
        list("roles", "value", "old", "new"),
        list("entitlements", "value", "old", "new"),
        list("ims", "value", "old", "new"),
        list("addresses", "formatted", "Old", "New"),
        Case {
            attribute: "name",
            is_list: false,
            old: json!({ "givenName": "Old" }),
            new: "New".to_owned(),
            forms: vec![
                (json!({ "givenName": "New" }), Known),
                (json!([{ "GivenName": "New", "nick": "x" }]), Known),
                (json!({ "name": { "givenName": "New" } }), Known),
                (json!({ "first": "New" }), Unknown),
                (json!({ "given": { "givenName": "New" } }), Unknown),
                (json!("New"), Unknown),
                (json!([{ "givenName": "New" }, {}]), Unknown),
            ],
        },
        Case {
            attribute: "manager",
            is_list: false,
            old: json!({ "value": boss }),
            new: other.to_owned(),
            forms: vec![
                (json!(other), Known),
                (json!({ "value": other, "displayName": "x" }), Known),
                (json!([{ "value": other, "$ref": null }]), Known),
                (json!({ "id": other }), Known),
                (json!({ "$ref": format!("{BASE}/Users/{other}") }), Known),
                (
                    json!({ "$ref": format!("../Users/{other}"), "displayName": "x" }),
                    Known,
                ),
                (json!({ "manager": { "value": other } }), Known),
                (json!({ "managerId": other }), Unknown),
                (json!({ "userName": "x", "displayName": "y" }), Unknown),
                (
                    json!({ "$ref": format!("https://elsewhere.test/Users/{other}") }),
                    Unknown,
                ),
            ],
        },
    ];
    for case in &mut cases {
        if case.is_list && case.attribute != "addresses" {
            case.forms.push((json!(case.new), Known));
            case.forms.push((json!([case.new]), Known));
        }
    }
    cases
}

#[test]
fn users_are_what_was_asked_for() {
    run(async {
        let c = Client::start().await;
        let boss = text(&c.user("boss", json!({})).await["id"]);
        let other = text(&c.user("other", json!({})).await["id"]);
        let in_its_place = |attribute: &str, value: &Value| match attribute {
            "department" | "manager" => json!({ E: { attribute: value } }),
            _ => json!({ attribute: value }),
        };
        for case in cases(&boss, &other) {
            let new = Set::from([case.new.clone()]);
            for (value, form) in &case.forms {
                let body = in_its_place(case.attribute, value);
                let mut requests = vec![("POST", None, body.clone()), ("PUT", None, body.clone())];
                for op in ["add", "replace"] {
                    let with_path = json!({ "op": op, "path": case.attribute, "value": value });
                    requests.push(("PATCH", Some(op), with_path));
                    let without_path = json!({ "op": op, "value": body });
                    requests.push(("PATCH", Some(op), without_path));
                }
                for (method, op, body) in requests {
                    let what = format!("{method} {body}");
                    let old = in_its_place(case.attribute, &case.old);
                    let (reply, before) = if method == "POST" {
                        let mut whole = json!({ "schemas": [U], "userName": "before" });
                        crate::support::merge(&mut whole, body);
                        (c.post("/Users", whole).await, None)
                    } else {
                        let before = c.user("before", old).await;
                        let body = match op {
                            Some(_) => json!({ "Operations": [body] }),
                            None => {
                                let mut whole = json!({ "schemas": [U], "userName": "before" });
                                crate::support::merge(&mut whole, body);
                                whole
                            }
                        };
                        let at = path(&before);
                        (
                            c.send(method, &at, &[], body.to_string()).await,
                            Some(before),
                        )
                    };
                    if reply.status.is_success() {
                        let after = reply.json();
                        let found = shown(&after, case.attribute);
                        let mut expected = new.clone();
                        if case.is_list && op == Some("add") {
                            expected.extend(shown(before.as_ref().unwrap(), case.attribute));
                        }
                        assert_eq!(found, expected, "{what}");
                        c.delete(&path(&after)).await.is(204);
                        continue;
                    }
                    assert_eq!(*form, Unknown, "{what}: {:?}", reply.bytes);
                    assert_eq!(reply.status, 400, "{what}: {:?}", reply.bytes);
                    if let Some(before) = before {
                        assert_eq!(c.read(&before).await, before, "{what}");
                        c.delete(&path(&before)).await.is(204);
                    }
                }
            }
        }
    });
}

#[test]
fn values_are_removed_by_what_they_have() {
    run(async {
        let c = Client::start().await;
        let before = json!({ "emails": [
            { "value": "a@b.com", "type": "work", "primary": true }, { "value": "c@d.com", "type": "home" },
        ] });
        let only = Set::from(["c@d.com".to_owned()]);
        for (value, form) in [
            (json!("a@b.com"), Known),
            (json!(["A@B.com"]), Known),
            (json!([{ "value": "a@b.com" }]), Known),
            (json!([{ "value": " a@b.com", "type": "work" }]), Known),
            (json!({ "type": "work" }), Known),
            (json!({ "primary": "True" }), Known),
            (json!({ "emails": [{ "value": "a@b.com" }] }), Known),
            (json!([{ "address": "a@b.com" }]), Unknown),
            (json!([{ "type": "work", "address": "a@b.com" }]), Unknown),
            (json!(""), Unknown),
            (json!([null]), Unknown),
            (json!({}), Unknown),
            (json!(5), Unknown),
        ] {
            let bob = c.user("bob", before.clone()).await;
            let operation = json!([{ "op": "remove", "path": "emails", "value": value }]);
            let reply = c.patch(&path(&bob), operation).await;
            let after = c.read(&bob).await;
            if reply.status.is_success() {
                assert_eq!(shown(&after, "emails"), only, "{value}");
            } else {
                assert_eq!((form, reply.status.as_u16()), (Unknown, 400), "{value}");
                assert_eq!(after, bob, "{value}");
            }
            c.delete(&path(&bob)).await.is(204);
        }
    });
}

#[test]
fn a_user_always_says_whether_it_is_active() {
    run(async {
        let c = Client::start().await;
        for is_active in [true, false] {
            let bob = c.user("bob", json!({ "active": is_active })).await;
            let at = path(&bob);
            let body = |active: Option<Value>| {
                let mut body: Map<String, Value> = Map::new();
                body.insert("title".to_owned(), json!("T"));
                body.extend(active.map(|active| ("active".to_owned(), active)));
                user("bob", Value::Object(body))
            };
            for operation in [
                json!({ "op": "remove", "path": "active" }),
                json!({ "op": "remove", "path": format!("{U}:active") }),
                json!({ "op": "replace", "path": "active", "value": null }),
                json!({ "op": "add", "path": "active", "value": "" }),
                json!({ "op": "replace", "value": { "active": null } }),
            ] {
                let reply = c.patch(&at, json!([operation])).await.is(200);
                assert_eq!(reply["active"], is_active, "{operation}");
            }
            for active in [None, Some(json!(null)), Some(json!("")), Some(json!([]))] {
                let reply = c.put(&at, body(active)).await.is(200);
                assert_eq!(reply["active"], is_active);
            }
            // One that was stored without it, by whichever way, has it too.
            c.execute("update scim_users set resource = resource - 'active' where organization_id = $1 and scim_configuration_id = $2").await;
            let filter = format!("active eq {is_active} and title eq \"T\"");
            for found in [
                c.read(&bob).await,
                c.found("/Users", "userName eq \"bob\"").await[0].clone(),
                c.found("/Users", &filter).await[0].clone(),
                c.patch(
                    &at,
                    json!([{ "op": "add", "path": "nickName", "value": "B" }]),
                )
                .await
                .is(200),
                c.put(&at, body(None)).await.is(200),
            ] {
                assert_eq!(found["active"], is_active);
            }
            c.delete(&at).await.is(204);
        }
        for active in [json!(null), json!("")] {
            let reply = c
                .post("/Users", user("new", json!({ "active": active })))
                .await
                .is(201);
            assert_eq!(reply["active"], true);
            c.delete(&path(&reply)).await.is(204);
        }
    });
}
