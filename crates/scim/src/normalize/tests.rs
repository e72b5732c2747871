//! What the module says of itself, tried out.

use proptest::prelude::*;
use serde_json::json;

use super::super::schema::{ENTERPRISE_USER_URN as E, GROUP_URN as G, USER_URN as U};
use super::*;

fn user(body: Value) -> Result<Normalized, ScimError> {
    normalize(ResourceType::User, body)
}

/// The canonical form of a user with these attributes, less `schemas` and `userName`.
fn canonical_user(mut attributes: Value) -> Result<(Value, Vec<&'static str>), ScimError> {
    attributes["schemas"] = json!([U]);
    attributes["userName"] = json!("bob");
    let mut normalized = user(attributes)?;
    normalized.resource.remove("schemas");
    normalized.resource.remove("userName");
    Ok((Value::Object(normalized.resource), normalized.traits))
}

#[test]
fn bodies_of_identity_providers_become_canonical() {
    for (body, expected, traits) in [
        // Row 6: client meta and empty lists.
        (
            json!({
                "externalId": "x", "active": true, "roles": [], "meta": {"resourceType": "User"},
                "emails": [{"primary": true, "type": "work", "value": "a@b.com"}],
            }),
            json!({
                "externalId": "x", "active": true,
                "emails": [{"primary": true, "type": "work", "value": "a@b.com"}],
            }),
            vec![],
        ),
        // Row 7: nulls and unknown names at the root.
        (
            json!({"addresses": null, "title": null, "department": null, "x": {"y": 1}}),
            json!({}),
            vec![dialect::NULL, dialect::UNKNOWN_ATTRIBUTES],
        ),
        // Row 8.
        (
            json!({"Active": "True", "emails": [{"Value": "a", "Primary": "FALSE"}]}),
            json!({"active": true, "emails": [{"value": "a", "primary": false}]}),
            vec![dialect::STRING_BOOLEANS],
        ),
        // Rows 52 and 55: read-only attributes and the password.
        (
            json!({"id": "x", "groups": [{"value": "g"}], "password": "1mz050nq", "locale": "en-US"}),
            json!({"locale": "en-US"}),
            vec![],
        ),
        // Rows 69 to 71.
        (
            json!({
                "schemas": [E, U], "emails": null, "phoneNumbers": [{"type": "work", "value": "tel:+1-555-0100"}],
                "addresses": [{"primary": true, "locality": "x"}], "photos": [{"value": "https://x/y"}],
            }),
            json!({
                "phoneNumbers": [{"type": "work", "value": "tel:+1-555-0100"}],
                "addresses": [{"primary": true, "locality": "x"}], "photos": [{"value": "https://x/y"}],
            }),
            vec![dialect::NULL],
        ),
        // Row 76.
        (
            json!({"emails": {"value": "a@b"}}),
            json!({"emails": [{"value": "a@b"}]}),
            vec![dialect::OBJECT_FOR_LIST],
        ),
        // Rows 15, 16, 77 and 78.
        (
            json!({E: {"manager": "m"}}),
            json!({E: {"manager": {"value": "m"}}}),
            vec![dialect::BARE_VALUE],
        ),
        (
            json!({E: {"Manager": [{"value": "m", "displayName": "Boss", "$ref": null}]}}),
            json!({E: {"manager": {"value": "m"}}}),
            vec![dialect::ARRAY_OF_ONE, dialect::NULL],
        ),
        // Rows 24 and 36.
        (
            json!({format!("{E}.department"): "x", format!("{E}:division"): "y", "name.givenName": "K", "name": {"familyName": "U"}}),
            json!({E: {"department": "x", "division": "y"}, "name": {"familyName": "U", "givenName": "K"}}),
            vec![dialect::DOTTED_KEYS],
        ),
        // Row 106.
        (
            json!({U: {"nickName": "B", "name": {"givenName": "K"}}}),
            json!({"nickName": "B", "name": {"givenName": "K"}}),
            vec![dialect::CORE_URN_KEY],
        ),
        // An unknown extension, an empty one, and values that say nothing.
        (
            json!({"urn:x:2.0:User": {"a": 1}, E: {"department": ""}, "name": {"givenName": null}, "emails": [null, {"type": "work", "value": ""}]}),
            json!({}),
            vec![dialect::NULL, dialect::UNKNOWN_ATTRIBUTES],
        ),
        // What is no URI is kept, and blanks around addresses are not.
        (
            json!({"profileUrl": "a b", "photos": [{"value": "my photo.png"}], "emails": [{"value": " a@b\n"}, " "]}),
            json!({"profileUrl": "a b", "photos": [{"value": "my photo.png"}], "emails": [{"value": "a@b"}]}),
            vec![
                dialect::BARE_VALUE,
                dialect::BLANKS,
                dialect::NULL,
                dialect::NOT_A_URI,
            ],
        ),
        // Values under their own names, in lists of one and by another identifier.
        (
            json!({"title": {"Title": "t"}, "emails": {"emails": [{"value": "a"}]}, "name": {"name": {"givenName": "A"}}}),
            json!({"title": "t", "emails": [{"value": "a"}], "name": {"givenName": "A"}}),
            vec![dialect::WRAPPED],
        ),
        (
            json!({E: {"manager": {"value": null, "$ref": "../Users/0190a6e0-1c2b-7def-8123-456789abcdef"}}}),
            json!({E: {"manager": {
                "value": "0190a6e0-1c2b-7def-8123-456789abcdef",
                "$ref": "../Users/0190a6e0-1c2b-7def-8123-456789abcdef",
            }}}),
            vec![dialect::ANOTHER_IDENTIFIER, dialect::NULL],
        ),
        (
            json!({E: [{"department": "d", "manager": {"ID": "m"}}]}),
            json!({E: {"department": "d", "manager": {"value": "m"}}}),
            vec![dialect::ARRAY_OF_ONE, dialect::ANOTHER_IDENTIFIER],
        ),
        (
            json!({"manager.$ref": "../Users/0190A6E0-1C2B-7DEF-8123-456789ABCDEF"}),
            json!({E: {"manager": {
                "value": "0190a6e0-1c2b-7def-8123-456789abcdef",
                "$ref": "../Users/0190A6E0-1C2B-7DEF-8123-456789ABCDEF",
            }}}),
            vec![dialect::DOTTED_KEYS, dialect::ANOTHER_IDENTIFIER],
        ),
        // Unknown sub-attributes of what is understood, and labels alone.
        (
            json!({"emails": [{"value": "a", "verified": true}, {"type": "home", "primary": false}], "name": {"givenName": "A", "nick": "B"}}),
            json!({"emails": [{"value": "a"}], "name": {"givenName": "A"}}),
            vec![dialect::UNKNOWN_ATTRIBUTES],
        ),
        // Any type, one primary, equal values once.
        (
            json!({"emails": [
                {"type": "work", "value": "a@b", "primary": true}, {"type": "x", "value": "c", "primary": true},
                {"type": "WORK", "value": "A@B", "display": "a"},
            ]}),
            json!({"emails": [
                {"type": "work", "value": "a@b", "primary": false, "display": "a"},
                {"type": "x", "value": "c", "primary": true},
            ]}),
            vec![],
        ),
    ] {
        let (resource, found) = canonical_user(body.clone()).unwrap();
        assert_eq!(resource, expected, "{body}");
        let traits: BTreeSet<_> = traits.into_iter().collect();
        assert_eq!(BTreeSet::from_iter(found), traits, "{body}");
    }
}

#[test]
fn schemas_list_what_is_there() {
    let schemas = |body: Value| user(body).unwrap().resource["schemas"].clone();
    // Rows 7 and 69: an extension that is announced and absent, and a mistyped one.
    assert_eq!(
        schemas(json!({"schemas": [E, U, "urn:x:2.0User"], "userName": "b"})),
        json!([U])
    );
    assert_eq!(
        schemas(json!({"Schemas": [U.to_uppercase()], "userName": "b", "department": "x"})),
        json!([U, E])
    );
    // Row 41.
    let adscim = "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group";
    let body =
        json!({"schemas": [G, adscim], "displayName": "g", "members": [], "externalId": "x"});
    let group = normalize(ResourceType::Group, body).unwrap().resource;
    let expected = json!({"schemas": [G], "displayName": "g", "externalId": "x"});
    assert_eq!(Value::Object(group), expected);
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    for (body, part) in [
        (json!({"active": "yes"}), "active must be true or false"),
        (
            json!({"active": 1}),
            "active must be true or false, not a number",
        ),
        (json!({"title": 5}), "title must be a string, not a number"),
        (
            json!({"title": ["a", "b"]}),
            "title must be a string, not an array",
        ),
        (
            json!({"title": "a\u{0}"}),
            "title must be text without the NUL",
        ),
        (json!({"name": "Bob"}), "name must be a JSON object"),
        (json!({"name": {"givenName": {}}}), "name.givenName must be"),
        (json!({"emails": [[{"value": "x"}]]}), "emails must be"),
        (
            json!({"emails": [{"primary": "x"}]}),
            "emails.primary must be",
        ),
        (
            json!({"x509Certificates": [{"value": "%"}]}),
            "x509Certificates.value must be base64",
        ),
        (json!({"profileUrl": "a\u{0}"}), "profileUrl must be text"),
        (json!({"profileUrl": 5}), "profileUrl must be a string"),
        // What names nothing that it has.
        (
            json!({"emails": [{"value": "x"}, {"type": "work", "address": "a@b"}]}),
            "emails.value is required",
        ),
        (
            json!({"roles": {"id": "admin", "display": "x"}}),
            "roles.value is required",
        ),
        (
            json!({"name": {"first": "Ada"}}),
            "name must have one of its sub-attributes: formatted, familyName",
        ),
        (
            json!({"addresses": [{"type": "work", "city": "Paris"}]}),
            "addresses must have one of",
        ),
        (
            json!({E: {"manager": {"displayName": "Boss", "name": "x"}}}),
            "manager.value is required",
        ),
        (
            json!({E: {"manager": {"$ref": "https://x/people/1"}}}),
            "$ref must be the URI of a user",
        ),
        (
            json!({E: {"manager": {"value": null, "$ref": "a"}}}),
            "$ref must be the URI of a user",
        ),
        (json!({"emails.value": "a@b"}), "emails must be a list"),
        (
            json!({"emails[type eq \"work\"].value": "a@b"}),
            "emails must be a list",
        ),
        (json!({E: "x"}), "User must be an object"),
        (
            json!({E: {"department": []  , "division": {}}}),
            ":division must be a string",
        ),
        (
            json!({"emails": vec![json!({"value": "x"}); MAX_VALUES + 1]}),
            "at most 1000",
        ),
    ] {
        let error = canonical_user(body.clone()).unwrap_err();
        assert_eq!(error.scim_type, Some(ScimType::InvalidValue), "{body}");
        assert!(error.detail.contains(part), "{body}: {error}");
    }
}

#[test]
fn simple_types_are_checked() {
    let scalar = |data_type: Type, value: Value| {
        let base = ResourceType::User.attribute("title").unwrap();
        let attribute: &'static Attribute = Box::leak(Box::new(Attribute {
            data_type,
            ..*base.attribute
        }));
        let path = AttributePath { attribute, ..base };
        super::scalar(path, value, &mut Traits::new()).is_ok()
    };
    assert!(scalar(Type::Integer, json!(5)));
    assert!(!scalar(Type::Integer, json!(5.0)));
    assert!(!scalar(Type::Integer, json!("5")));
    assert!(scalar(Type::Decimal, json!(5.5)));
    assert!(scalar(Type::DateTime, json!("2008-01-23T04:56:22Z")));
    assert!(!scalar(Type::DateTime, json!("2008-01-23")));
    assert!(scalar(Type::Binary, json!("MIIDQzCCAqygAwIBAgICEAAwDQY=")));
    assert!(!scalar(Type::Binary, json!("A")));
    assert!(scalar(Type::Reference, json!("../Users/1")));
}

#[test]
fn bodies_without_the_essentials_are_refused() {
    for (body, scim_type) in [
        (json!([]), ScimType::InvalidSyntax),
        (json!({"userName": "b"}), ScimType::InvalidSyntax),
        (
            json!({"schemas": [], "userName": "b"}),
            ScimType::InvalidSyntax,
        ),
        // Row 75.
        (
            json!({"schemas": ["urn:scim:schemas:core:1.0"], "userName": "b"}),
            ScimType::InvalidSyntax,
        ),
        (
            json!({"schemas": [G], "userName": "b"}),
            ScimType::InvalidSyntax,
        ),
        (json!({"schemas": [U]}), ScimType::InvalidValue),
        (
            json!({"schemas": [U], "userName": ""}),
            ScimType::InvalidValue,
        ),
        (
            json!({"schemas": [U], "userName": " "}),
            ScimType::InvalidValue,
        ),
    ] {
        assert_eq!(
            user(body.clone()).unwrap_err().scim_type,
            Some(scim_type),
            "{body}"
        );
    }
    let group = normalize(ResourceType::Group, json!({"schemas": [G], "members": []}));
    assert_eq!(
        group.unwrap_err().detail,
        "displayName is required: send a value that is not empty"
    );
}

/// Values as clients may send them for anything.
pub(in super::super) fn values() -> impl Strategy<Value = Value> {
    let keys = prop::sample::select(vec![
        "value",
        "Value",
        "type",
        "primary",
        "display",
        "$ref",
        "givenName",
        "streetAddress",
        "displayName",
        "x",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        prop::sample::select(vec![
            "", "a", "A", "work", "True", "false", "AA==", "x y", "\0"
        ])
        .prop_map(Value::from),
        (0..9).prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(keys.clone().prop_map(str::to_owned), inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Names as clients may send them for attributes of users.
pub(in super::super) fn names() -> impl Strategy<Value = String> {
    let extended = [U, E, "urn:x"].map(|urn| [urn.to_owned(), format!("{urn}:manager")]);
    let names = [
        "title",
        "Active",
        "name",
        "NAME.givenName",
        "emails",
        "emails.value",
        "addresses",
        "roles",
        "groups",
        "id",
        "meta",
        "manager",
        "x509Certificates",
        "password",
        "nope",
        "profileUrl",
        "emails[type eq \"work\"]",
        "emails[type eq \"work\"].value",
        "roles[primary eq \"True\"].value",
        "photos[value eq \"x y\"].display",
        "emails[type eq \"\"].value",
        "emails[value co \"a\"].primary",
        "addresses[type eq \"a\"].streetAddress",
        "schemas",
        "userName",
    ];
    let all: Vec<String> = names
        .map(str::to_owned)
        .into_iter()
        .chain(extended.concat())
        .collect();
    prop::sample::select(all)
}

pub(in super::super) fn bodies() -> impl Strategy<Value = Value> {
    let is_key = |name: &String| !name.contains('[') && name != "emails.value";
    bodies_of(names().prop_filter("a key that may stand in a body", is_key))
}

/// What stands for a resource in an operation without path.
pub(in super::super) fn patches() -> impl Strategy<Value = Value> {
    bodies_of(names())
}

fn bodies_of(names: impl Strategy<Value = String>) -> impl Strategy<Value = Value> {
    prop::collection::btree_map(names, values(), 0..6).prop_map(|members| {
        let mut body: Map<String, Value> = members.into_iter().collect();
        body.insert("schemas".to_owned(), json!([U]));
        body.insert("userName".to_owned(), json!("bob"));
        Value::Object(body)
    })
}

proptest! {
    #[test]
    fn normalizing_twice_changes_nothing(body in bodies()) {
        if let Ok(once) = user(body) {
            let twice = user(Value::Object(once.resource.clone())).unwrap();
            prop_assert_eq!(&twice.resource, &once.resource);
            // Text that is no URI is kept as it is.
            let others = twice.traits.into_iter().filter(|name| *name != dialect::NOT_A_URI);
            prop_assert_eq!(others.count(), 0);
        }
    }
}
