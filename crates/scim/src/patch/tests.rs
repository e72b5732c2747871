//! What the module says of itself, tried out.

use proptest::prelude::*;
use serde_json::json;

use super::super::normalize::{normalize, tests as arbitrary};
use super::super::schema::{ENTERPRISE_USER_URN as E, GROUP_URN as G, USER_URN as U};
use super::*;

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => panic!("not an object"),
    }
}

fn plan_of(resource_type: ResourceType, operations: Value) -> Result<Plan, ScimError> {
    let body = json!({"schemas": [PATCH_OP_URN], "Operations": operations});
    plan(resource_type, body)
}

fn full(attributes: Value) -> Map<String, Value> {
    let mut user = object(json!({"schemas": [U], "id": "1", "userName": "bob"}));
    user.extend(object(attributes));
    normalize::set_schemas(&mut user, ResourceType::User);
    user
}

/// What operations make of a user, less `schemas`, `id` and `userName`.
fn patched(user: Value, operations: Value) -> Result<Value, ScimError> {
    let before = full(user);
    let applied = plan_of(ResourceType::User, operations)?.apply(&before)?;
    assert_eq!(applied.changed, applied.resource != before);
    let mut resource = applied.resource;
    let mut schemas = vec![json!(U)];
    schemas.extend(resource.contains_key(E).then(|| json!(E)));
    assert_eq!(resource.remove("schemas"), Some(Value::Array(schemas)));
    resource.remove("id");
    resource.remove("userName");
    Ok(Value::Object(resource))
}

fn work(value: &str) -> Value {
    json!([{"type": "work", "value": value, "primary": true}])
}

#[test]
fn operations_of_identity_providers() {
    let op = |op: &str, path: &str, value: Value| json!([{"op": op, "path": path, "value": value}]);
    let by_type =
        |attribute: &str, kind: &str, sub: &str| format!("{attribute}[type eq \"{kind}\"]{sub}");
    let both = json!({"emails": [
        {"type": "work", "value": "a", "primary": true}, {"type": "home", "value": "b"},
    ]});
    for (row, user, operations, expected) in [
        (
            "9",
            json!({"active": true}),
            op("Replace", "active", json!("False")),
            json!({"active": false}),
        ),
        (
            "10",
            json!({"emails": work("a")}),
            op("Replace", &by_type("emails", "work", ".value"), json!("b")),
            json!({"emails": work("b")}),
        ),
        (
            "11",
            json!({"emails": work("a")}),
            op("Add", &by_type("emails", "home", ".value"), json!("x")),
            json!({"emails": [{"type": "work", "value": "a", "primary": true}, {"type": "home", "value": "x"}]}),
        ),
        (
            "12",
            json!({}),
            op(
                "Replace",
                &by_type("addresses", "work", ".formatted"),
                json!("18/2111"),
            ),
            json!({"addresses": [{"type": "work", "formatted": "18/2111"}]}),
        ),
        (
            "13",
            json!({"name": {"givenName": "A", "familyName": "B"}}),
            op("replace", "name.familyName", json!("C")),
            json!({"name": {"givenName": "A", "familyName": "C"}}),
        ),
        (
            "14",
            json!({}),
            op("Add", &format!("{E}:employeeNumber"), json!("7")),
            json!({E: {"employeeNumber": "7"}}),
        ),
        (
            "15",
            json!({}),
            op("Add", &format!("{E}:manager"), json!("m")),
            json!({E: {"manager": {"value": "m"}}}),
        ),
        (
            "16",
            json!({}),
            op(
                "Add",
                "manager",
                json!([{"$ref": "../Users/m", "value": "m"}]),
            ),
            json!({E: {"manager": {"value": "m", "$ref": "../Users/m"}}}),
        ),
        (
            "17",
            json!({E: {"manager": {"value": "m"}, "department": "d"}}),
            op("Replace", &format!("{E}:manager"), json!("")),
            json!({E: {"department": "d"}}),
        ),
        (
            "18",
            json!({"emails": work("a"), "phoneNumbers": [{"type": "fax", "value": "1"}], "title": "t", E: {"division": "d"}}),
            json!([
                {"op": "Replace", "path": by_type("emails", "work", ".value"), "value": ""},
                {"op": "Replace", "path": by_type("phoneNumbers", "fax", ".value"), "value": null},
                {"op": "Replace", "path": by_type("phoneNumbers", "other", ".value"), "value": null},
                {"op": "Replace", "path": "title", "value": ""},
                {"op": "Replace", "path": format!("{E}:division"), "value": null},
            ]),
            json!({}),
        ),
        (
            "19",
            json!({}),
            op("Add", "roles[primary eq \"True\"].value", json!("admin")),
            json!({"roles": [{"primary": true, "value": "admin"}]}),
        ),
        (
            "20",
            json!({"emails": [{"type": "home", "value": "h", "primary": true}]}),
            json!([
                {"op": "Add", "path": by_type("emails", "work", ".primary"), "value": "True"},
                {"op": "Add", "path": by_type("emails", "work", ".display"), "value": "W"},
                {"op": "Replace", "path": by_type("emails", "work", ".value"), "value": "w"},
            ]),
            json!({"emails": [
                {"type": "home", "value": "h", "primary": false},
                {"type": "work", "value": "w", "primary": true, "display": "W"},
            ]}),
        ),
        (
            "21",
            json!({"nickName": "a"}),
            json!([
                {"op": "remove", "path": "nickName"},
                {"op": "add", "path": "nickName", "value": "b"},
                {"op": "replace", "path": "nickName", "value": "c"},
            ]),
            json!({"nickName": "c"}),
        ),
        (
            "31",
            json!({}),
            op("replace", &format!("{E}.manager"), json!("m")),
            json!({E: {"manager": {"value": "m"}}}),
        ),
        (
            "36",
            json!({"name": {"middleName": "M"}}),
            json!([{"op": "replace", "value": {
                "displayName": "B", "name.givenName": "K", "name.familyName": "U",
                format!("{E}:employeeNumber"): "A", "emails[type eq \"work\"].value": "w",
            }}]),
            json!({
                "displayName": "B", "name": {"givenName": "K", "familyName": "U", "middleName": "M"},
                E: {"employeeNumber": "A"}, "emails": [{"type": "work", "value": "w"}],
            }),
        ),
        (
            "37",
            json!({}),
            op("add", "nickName", json!("Babs")),
            json!({"nickName": "Babs"}),
        ),
        (
            "56",
            json!({"active": true}),
            json!([{"op": "replace", "value": {"active": false}}]),
            json!({"active": false}),
        ),
        (
            "95",
            json!({}),
            json!([{"op": "replace", "value": {"schemas": [U], "id": "1", "meta": {"version": "x"}, "groups": [], "title": "t"}}]),
            json!({"title": "t"}),
        ),
        // Complex attributes keep what is not mentioned; unassigned parts go.
        (
            "complex",
            json!({"name": {"givenName": "A", "familyName": "B"}}),
            op(
                "replace",
                "name",
                json!({"familyName": null, "middleName": "M"}),
            ),
            json!({"name": {"givenName": "A", "middleName": "M"}}),
        ),
        (
            "complex",
            json!({"name": {"givenName": "A"}}),
            op("remove", "name.givenName", json!(null)),
            json!({}),
        ),
        (
            "complex",
            json!({E: {"department": "d"}}),
            op("remove", E, json!(null)),
            json!({}),
        ),
        (
            "complex",
            json!({}),
            op("add", E, json!({"department": "d"})),
            json!({E: {"department": "d"}}),
        ),
        // Multi-valued attributes.
        (
            "add",
            both.clone(),
            op(
                "add",
                "emails",
                json!({"type": "home", "value": "B", "primary": true}),
            ),
            json!({"emails": [
                {"type": "work", "value": "a", "primary": false}, {"type": "home", "value": "b", "primary": true},
            ]}),
        ),
        (
            "add",
            both.clone(),
            op("add", "emails", work("A")),
            both.clone(),
        ),
        (
            "replace",
            both.clone(),
            op("replace", "emails", work("c")),
            json!({"emails": work("c")}),
        ),
        (
            "replace",
            both.clone(),
            op("replace", "emails", json!([])),
            json!({}),
        ),
        (
            "replace",
            both.clone(),
            op(
                "replace",
                &by_type("emails", "work", ""),
                json!({"value": "c"}),
            ),
            json!({"emails": [{"type": "work", "value": "c"}, {"type": "home", "value": "b"}]}),
        ),
        (
            "primary",
            both.clone(),
            op(
                "replace",
                &by_type("emails", "home", ".primary"),
                json!(true),
            ),
            json!({"emails": [
                {"type": "work", "value": "a", "primary": false}, {"type": "home", "value": "b", "primary": true},
            ]}),
        ),
        (
            "remove",
            both.clone(),
            op("remove", &by_type("emails", "home", ""), json!(null)),
            json!({"emails": work("a")}),
        ),
        (
            "remove",
            both.clone(),
            op("remove", &by_type("emails", "x", ""), json!(null)),
            both.clone(),
        ),
        (
            "remove",
            both.clone(),
            op("remove", "emails", json!([{"value": "B"}])),
            json!({"emails": work("a")}),
        ),
        (
            "remove",
            both.clone(),
            op("remove", "emails", json!([])),
            both.clone(),
        ),
        (
            "remove",
            both.clone(),
            op("remove", "emails", json!([{"type": "home"}])),
            json!({"emails": work("a")}),
        ),
        // Values under their own names, and a manager by its URI.
        (
            "wrapped",
            json!({"emails": work("a")}),
            json!([
                {"op": "replace", "path": "emails", "value": {"emails": work("b")}},
                {"op": "replace", "path": "active", "value": {"active": "False"}},
                {"op": "add", "path": "name", "value": {"name": {"givenName": "A"}}},
            ]),
            json!({"emails": work("b"), "active": false, "name": {"givenName": "A"}}),
        ),
        (
            "$ref",
            json!({E: {"manager": {"value": "m"}}}),
            op(
                "replace",
                "manager.$ref",
                json!("../Users/0190a6e0-1c2b-7def-8123-456789abcdef"),
            ),
            json!({E: {"manager": {
                "value": "0190a6e0-1c2b-7def-8123-456789abcdef",
                "$ref": "../Users/0190a6e0-1c2b-7def-8123-456789abcdef",
            }}}),
        ),
        (
            "another schema",
            json!({}),
            op(
                "add",
                "https://example.com/schemas/2.0/User:tag",
                json!("x"),
            ),
            json!({}),
        ),
        (
            "remove",
            both.clone(),
            op("remove", "emails", json!(null)),
            json!({}),
        ),
        (
            "remove",
            json!({}),
            op("remove", "title", json!(null)),
            json!({}),
        ),
        // What is not known, not kept, or not changed.
        (
            "unknown",
            json!({}),
            op("add", "urn:x:2.0:User:tag", json!("x")),
            json!({}),
        ),
        (
            "unknown",
            json!({}),
            json!([{"op": "add", "value": {"nope": 1, "password": "secret"}}]),
            json!({}),
        ),
    ] {
        let result = patched(user.clone(), operations.clone());
        assert_eq!(result, Ok(expected), "row {row}: {operations}");
    }
}

#[test]
fn what_changes_nothing_shows() {
    let user = full(json!({"title": "t", "emails": work("a"), E: {"department": "d"}}));
    for (operation, changed) in [
        (json!({"op": "add", "path": "title", "value": "t"}), false),
        (json!({"op": "add", "path": "title", "value": "T"}), true),
        (
            json!({"op": "add", "path": "emails", "value": [{"type": "work", "value": "a"}]}),
            false,
        ),
        (
            json!({"op": "replace", "value": {"active": null, "department": "d"}}),
            false,
        ),
        (json!({"op": "remove", "path": "nickName"}), false),
        (json!({"op": "remove", "path": "title"}), true),
    ] {
        let plan = plan_of(ResourceType::User, json!([operation])).unwrap();
        assert_eq!(plan.apply(&user).unwrap().changed, changed, "{operation}");
    }
}

#[test]
fn errors_have_their_keywords() {
    use ScimType::{InvalidPath, InvalidSyntax, InvalidValue, Mutability, NoTarget};
    let user = json!({"emails": work("a")});
    for (operation, scim_type) in [
        (json!({"op": "remove"}), NoTarget),
        (json!({"op": "remove", "path": ""}), NoTarget),
        (json!({"op": "remove", "path": U}), NoTarget),
        (
            json!({"op": "remove", "path": "emails[type eq \"home\"].value"}),
            NoTarget,
        ),
        (
            json!({"op": "replace", "path": "emails[value co \"x\"].value", "value": "y"}),
            NoTarget,
        ),
        (
            json!({"op": "add", "path": "emails[type eq \"a\" and type eq \"b\"].value", "value": "y"}),
            NoTarget,
        ),
        (
            json!({"op": "add", "path": "x509Certificates[value eq \"%\"].display", "value": "y"}),
            NoTarget,
        ),
        (json!({"op": "add", "value": {"value": "x"}}), NoTarget),
        (
            json!({"op": "add", "path": "emails[type eq \"\"].value", "value": "y"}),
            NoTarget,
        ),
        (json!({"op": "remove", "path": "userName"}), Mutability),
        (
            json!({"op": "replace", "path": "userName", "value": ""}),
            Mutability,
        ),
        (
            json!({"op": "replace", "value": {"userName": null}}),
            Mutability,
        ),
        (
            json!({"op": "replace", "path": "id", "value": "2"}),
            Mutability,
        ),
        (json!({"op": "replace", "value": {"id": "2"}}), Mutability),
        (
            json!({"op": "add", "value": {"groups": [{"value": "g"}]}}),
            Mutability,
        ),
        (
            json!({"op": "remove", "path": "groups[value eq \"g\"]"}),
            Mutability,
        ),
        (
            json!({"op": "replace", "path": "meta.version", "value": "x"}),
            Mutability,
        ),
        (
            json!({"op": "replace", "path": "manager.displayName", "value": "x"}),
            Mutability,
        ),
        (json!({"op": "remove", "path": "schemas"}), Mutability),
        (json!({"op": "remove", "path": "manager.$ref"}), Mutability),
        (
            json!({"op": "replace", "path": "manager", "value": {"displayName": "x"}}),
            Mutability,
        ),
        (json!({"op": "add", "path": "title"}), InvalidValue),
        (
            json!({"op": "add", "path": "title", "value": 5}),
            InvalidValue,
        ),
        (json!({"op": "add", "value": "x"}), InvalidValue),
        (
            json!({"op": "add", "path": "emails", "value": [{"address": "x"}]}),
            InvalidValue,
        ),
        (
            json!({"op": "replace", "path": "emails[type eq \"work\"]", "value": {"address": "x"}}),
            InvalidValue,
        ),
        (
            json!({"op": "replace", "path": "name", "value": {"first": "x"}}),
            InvalidValue,
        ),
        (
            json!({"op": "remove", "path": "emails", "value": ""}),
            InvalidValue,
        ),
        (
            json!({"op": "remove", "path": "emails", "value": [{"address": "a"}]}),
            InvalidValue,
        ),
        (
            json!({"op": "remove", "path": "emails", "values": [{"value": "a"}]}),
            InvalidSyntax,
        ),
        (
            json!({"op": "replace", "path": E, "value": "x"}),
            InvalidValue,
        ),
        (json!({"op": "move", "path": "title"}), InvalidSyntax),
        (json!("x"), InvalidSyntax),
        (json!({"op": "add", "path": 5, "value": "x"}), InvalidPath),
        (
            json!({"op": "add", "path": "emails[", "value": "x"}),
            InvalidPath,
        ),
        (
            json!({"op": "add", "value": {"emails[type eq work].value": "x"}}),
            InvalidPath,
        ),
    ] {
        let error = patched(user.clone(), json!([operation])).unwrap_err();
        assert_eq!(error.scim_type, Some(scim_type), "{operation}: {error}");
    }
    let many = vec![json!({"op": "remove", "path": "title"}); MAX_OPERATIONS + 1];
    assert_eq!(patched(json!({}), json!(many)).unwrap_err().status, 413);
}

// Rows 100 and 101.
#[test]
fn the_envelope_is_read_tolerantly() {
    let operation = json!({"OP": "ADD", "Path": "title", "Value": "x"});
    let body = |extra: Value| {
        let mut body = object(json!({"operations": [operation]}));
        body.extend(object(extra));
        plan(ResourceType::User, Value::Object(body)).map(|plan| plan.traits)
    };
    let traits = vec![dialect::NO_PATCH_URN, dialect::OPERATION_CASE];
    assert_eq!(body(json!({})), Ok(traits.clone()));
    assert_eq!(body(json!({"schemas": []})), Ok(traits));
    assert!(body(json!({"schemas": [PATCH_OP_URN, "urn:x"]})).is_ok());
    assert!(body(json!({"schemas": ["urn:x"]})).is_err());
    assert!(body(json!({"schemas": U})).is_err());
    for body in [json!({}), json!({"Operations": []}), json!([]), json!(null)] {
        let error = plan(ResourceType::User, body).unwrap_err();
        assert_eq!(error.scim_type, Some(ScimType::InvalidSyntax));
    }
}

fn member(value: &str) -> Member {
    Member {
        value: value.to_owned(),
        kind: None,
        display: None,
    }
}

#[test]
fn members_are_planned_apart() {
    let op = |op: &str, value: Value| json!({"op": op, "path": "members", "value": value});
    let by_filter = |filter: &str| json!({"op": "remove", "path": format!("members[{filter}]")});
    let ids = |values: &[&str]| values.iter().map(|v| (*v).to_owned()).collect();
    let all = |values: &[&str]| values.iter().map(|v| member(v)).collect();
    for (row, operations, expected) in [
        (
            "38",
            json!([by_filter("value eq \"a\"")]),
            vec![MemberChange::Remove(ids(&["a"]))],
        ),
        (
            "44",
            json!([op(
                "Add",
                json!([{"$ref": null, "value": "a"}, {"value": "b"}, {"value": "a"}])
            )]),
            vec![MemberChange::Add(all(&["a", "b"]))],
        ),
        (
            "45, 74, 94",
            json!([op("Remove", json!([{"$ref": null, "value": "a"}]))]),
            vec![MemberChange::Remove(ids(&["a"]))],
        ),
        (
            "47",
            json!([op("add", json!("a"))]),
            vec![MemberChange::Add(all(&["a"]))],
        ),
        (
            "47",
            json!([op(
                "add",
                json!({"displayName": "new User", "value": "a", "type": "User"})
            )]),
            vec![MemberChange::Add(vec![Member {
                value: "a".to_owned(),
                kind: Some("User".to_owned()),
                display: Some("new User".to_owned()),
            }])],
        ),
        (
            "48",
            json!([op("add", json!("a")), op("remove", json!("a"))]),
            vec![
                MemberChange::Add(all(&["a"])),
                MemberChange::Remove(ids(&["a"])),
            ],
        ),
        (
            "65",
            json!([
                by_filter("value eq\"a\""),
                op("add", json!([{"value": "b", "display": null}]))
            ]),
            vec![
                MemberChange::Remove(ids(&["a"])),
                MemberChange::Add(all(&["b"])),
            ],
        ),
        (
            "66",
            json!([op("add", json!("b")), op("replace", json!(["a"]))]),
            vec![MemberChange::ReplaceAll(all(&["a"]))],
        ),
        (
            "66",
            json!([op("replace", json!([]))]),
            vec![MemberChange::RemoveAll],
        ),
        (
            "83",
            json!([{"op": "add", "value": {"members": [{"value": "a"}]}}]),
            vec![MemberChange::Add(all(&["a"]))],
        ),
        (
            "93",
            Value::Array(
                (0..1000)
                    .map(|_| op("add", json!([{"value": "a"}])))
                    .collect(),
            ),
            vec![MemberChange::Add(all(&["a"]))],
        ),
        (
            "remove",
            json!([{"op": "remove", "path": "members"}]),
            vec![MemberChange::RemoveAll],
        ),
        ("remove", json!([op("remove", json!([]))]), vec![]),
        (
            "remove",
            json!([by_filter("value eq \"a\" or value eq \"b\"")]),
            vec![MemberChange::Remove(ids(&["a", "b"]))],
        ),
        ("add", json!([op("add", json!(null))]), vec![]),
    ] {
        let plan = plan_of(ResourceType::Group, operations).unwrap();
        assert_eq!(plan.members, expected, "row {row}");
        assert!(plan.is_for_members_alone());
    }
    let plan = plan_of(ResourceType::Group, json!([by_filter("type eq \"Group\"")])).unwrap();
    assert!(matches!(
        plan.members[..],
        [MemberChange::RemoveMatching(_)]
    ));
    for (operation, scim_type) in [
        (op("add", json!([{"display": "x"}])), ScimType::InvalidValue),
        (op("add", json!([5])), ScimType::InvalidValue),
        (
            json!({"op": "replace", "path": "members[value eq \"a\"].display", "value": "x"}),
            ScimType::Mutability,
        ),
        (
            json!({"op": "replace", "path": "members[value eq \"a\"]", "value": {"value": "b"}}),
            ScimType::Mutability,
        ),
        (
            json!({"op": "add", "path": "members.value", "value": "b"}),
            ScimType::Mutability,
        ),
        (
            json!({"op": "remove", "path": "displayName"}),
            ScimType::Mutability,
        ),
    ] {
        let error = plan_of(ResourceType::Group, json!([operation])).unwrap_err();
        assert_eq!(error.scim_type, Some(scim_type), "{operation}");
    }
}

// Rows 64 and 95: the whole group without path.
#[test]
fn a_group_is_renamed_with_its_own_id() {
    let group = object(json!({"schemas": [G], "id": "g", "displayName": "old"}));
    let plan = plan_of(
        ResourceType::Group,
        json!([{"op": "replace", "value": {"schemas": [G], "id": "g", "externalId": "e", "displayName": "new"}}]),
    );
    let applied = plan.unwrap().apply(&group).unwrap();
    let expected = json!({"schemas": [G], "id": "g", "externalId": "e", "displayName": "new"});
    assert_eq!(Value::Object(applied.resource), expected);
}

#[test]
fn members_leave_a_created_group() {
    let body = json!({"schemas": [G], "displayName": "g", "members": [{"value": "a"}, "b", {"value": "a", "type": "User"}]});
    let mut group = normalize(ResourceType::Group, body).unwrap().resource;
    assert_eq!(take_members(&mut group), Ok(vec![member("a"), member("b")]));
    assert!(!group.contains_key("members"));
}

fn operations() -> impl Strategy<Value = Value> {
    let path = prop::option::of(arbitrary::names());
    let value = prop_oneof![arbitrary::values(), arbitrary::patches()];
    let op = prop::sample::select(vec!["add", "remove", "Replace"]);
    (op, path, value).prop_map(|(op, path, value)| json!({"op": op, "path": path, "value": value}))
}

proptest! {
    #[test]
    fn a_patched_user_is_canonical(
        body in arbitrary::bodies(),
        operations in prop::collection::vec(operations(), 1..5),
    ) {
        if let Ok(before) = normalize(ResourceType::User, body) {
            // One by one, so that errors of some do not hide what others do.
            let mut user = before.resource;
            for operation in operations {
                let plan = plan_of(ResourceType::User, json!([operation]));
                if let Ok(after) = plan.and_then(|plan| plan.apply(&user)) {
                    user = after.resource;
                }
                let again = normalize(ResourceType::User, Value::Object(user.clone())).unwrap();
                prop_assert_eq!(&again.resource, &user);
            }
        }
    }

    #[test]
    fn no_body_panics(operation in operations(), path in any::<String>()) {
        for resource_type in ResourceType::ALL {
            let mut second = operation.clone();
            second["path"] = json!(path);
            let _ = plan_of(resource_type, json!([operation, second]));
            let _ = plan(resource_type, operation.clone());
        }
    }
}
