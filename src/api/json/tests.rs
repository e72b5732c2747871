use buffa::Message;
use buffa_descriptor::generated::descriptor::field_descriptor_proto::{Label, Type};
use buffa_descriptor::generated::descriptor::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto,
    FileDescriptorProto, FileDescriptorSet, MessageOptions, OneofDescriptorProto,
};
use proptest::prelude::*;
use proptest::sample::select;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json, json};

use super::*;
use proto::DESCRIPTORS;
use proto::gitpod::v1::*;

/// What is wrong with a message: fields and words, or the text without a field.
fn faults(pool: &DescriptorPool, message: &str, json: &str) -> Result<(), String> {
    let message = pool.message_index(message).unwrap();
    check(pool, message, json.as_bytes()).map_err(|error| error.message.unwrap())
}

fn ours() -> DescriptorPool {
    DescriptorPool::decode(DESCRIPTORS).unwrap()
}

fn field(name: &str, number: i32, label: Label, kind: Type, of: &str) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.to_owned()),
        json_name: Some(buffa::json_helpers::wkt::snake_to_camel(name)),
        number: Some(number),
        label: Some(label),
        r#type: Some(kind),
        type_name: (!of.is_empty()).then(|| of.to_owned()),
        ..Default::default()
    }
}

fn message(name: &str, fields: Vec<FieldDescriptorProto>) -> DescriptorProto {
    DescriptorProto {
        name: Some(name.to_owned()),
        field: fields,
        ..Default::default()
    }
}

fn map(name: &str, key: Type) -> DescriptorProto {
    let key = field("key", 1, Label::LABEL_OPTIONAL, key, "");
    let value = field("value", 2, Label::LABEL_OPTIONAL, Type::TYPE_STRING, "");
    DescriptorProto {
        options: MessageOptions {
            map_entry: Some(true),
            ..Default::default()
        }
        .into(),
        ..message(name, vec![key, value])
    }
}

/// A message `x.All` that has a field of every kind.
fn all_kinds() -> DescriptorPool {
    let (one, many) = (Label::LABEL_OPTIONAL, Label::LABEL_REPEATED);
    let scalars = [
        ("int32", Type::TYPE_INT32),
        ("uint32", Type::TYPE_FIXED32),
        ("int64", Type::TYPE_SINT64),
        ("uint64", Type::TYPE_UINT64),
        ("float", Type::TYPE_FLOAT),
        ("double", Type::TYPE_DOUBLE),
        ("flag", Type::TYPE_BOOL),
        ("text", Type::TYPE_STRING),
        ("blob", Type::TYPE_BYTES),
    ];
    let well_known = [
        "Timestamp",
        "Duration",
        "FieldMask",
        "Struct",
        "Any",
        "ListValue",
        "Value",
        "DoubleValue",
        "FloatValue",
        "Int64Value",
        "UInt64Value",
        "Int32Value",
        "UInt32Value",
        "BoolValue",
        "StringValue",
        "BytesValue",
        "Empty",
    ];
    let mut fields: Vec<FieldDescriptorProto> = vec![];
    let mut number = 0;
    let mut add = |name: &str, label, kind, of: &str| {
        number += 1;
        fields.push(field(name, number, label, kind, of));
    };
    for (name, kind) in scalars {
        add(name, one, kind, "");
        add(&format!("many_{name}"), many, kind, "");
    }
    for name in well_known {
        let of = format!(".google.protobuf.{name}");
        add(&name.to_lowercase(), one, Type::TYPE_MESSAGE, &of);
    }
    add("color", one, Type::TYPE_ENUM, ".x.Color");
    add("many_color", many, Type::TYPE_ENUM, ".x.Color");
    add("inner", one, Type::TYPE_MESSAGE, ".x.All");
    add("many_inner", many, Type::TYPE_MESSAGE, ".x.All");
    add("by_text", many, Type::TYPE_MESSAGE, ".x.All.ByTextEntry");
    add(
        "by_number",
        many,
        Type::TYPE_MESSAGE,
        ".x.All.ByNumberEntry",
    );
    add("by_flag", many, Type::TYPE_MESSAGE, ".x.All.ByFlagEntry");
    add("this_one", one, Type::TYPE_STRING, "");
    add("that_one", one, Type::TYPE_STRING, "");
    for field in fields.iter_mut().rev().take(2) {
        field.oneof_index = Some(0);
    }
    let value = |name: &str, number| EnumValueDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        ..Default::default()
    };
    let file = FileDescriptorProto {
        name: Some("x.proto".to_owned()),
        package: Some("x".to_owned()),
        syntax: Some("proto3".to_owned()),
        dependency: vec!["google.proto".to_owned()],
        message_type: vec![DescriptorProto {
            nested_type: vec![
                map("ByTextEntry", Type::TYPE_STRING),
                map("ByNumberEntry", Type::TYPE_UINT32),
                map("ByFlagEntry", Type::TYPE_BOOL),
            ],
            oneof_decl: vec![OneofDescriptorProto {
                name: Some("choice".to_owned()),
                ..Default::default()
            }],
            ..message("All", fields)
        }],
        enum_type: vec![EnumDescriptorProto {
            name: Some("Color".to_owned()),
            value: vec![value("COLOR_UNSPECIFIED", 0), value("COLOR_RED", 1)],
            ..Default::default()
        }],
        ..Default::default()
    };
    let google = FileDescriptorProto {
        name: Some("google.proto".to_owned()),
        package: Some("google.protobuf".to_owned()),
        syntax: Some("proto3".to_owned()),
        message_type: well_known
            .iter()
            .map(|name| message(name, vec![]))
            .collect(),
        ..Default::default()
    };
    let set = FileDescriptorSet {
        file: vec![google, file],
        ..Default::default()
    };
    DescriptorPool::decode(&set.encode_to_vec()).unwrap()
}

#[test]
fn every_valid_form_of_json_passes() {
    let pool = all_kinds();
    for valid in [
        json!({}),
        json!({ "unknown": [{ "a": null }], "int32": null, "manyText": null, "byText": null, "inner": null }),
        json!({ "int32": -5, "uint32": 5, "int64": -5, "uint64": 5, "float": 1, "double": 1.5 }),
        json!({ "int32": "-5", "uint32": "5", "int64": "-9223372036854775808", "uint64": "18446744073709551615" }),
        json!({ "int32": 1.0, "int64": 1e3, "uint64": "1e3", "float": "NaN", "double": "-Infinity" }),
        json!({ "manyInt32": [1, "2"], "many_int64": ["3", 4], "manyUint32": [], "manyFloat": ["1.5", 2] }),
        json!({ "flag": true, "manyFlag": [false], "text": "", "manyText": ["a"] }),
        json!({ "blob": "AQID", "manyBlob": ["", "_-8=", "_-8"] }),
        json!({ "timestamp": "2026-01-31T12:00:00.123456789+01:00", "duration": "-1.5s", "fieldmask": "a,bC" }),
        json!({ "struct": { "a": [1, {}] }, "any": { "@type": "x" }, "listvalue": [1, [2]] }),
        json!({ "value": null }),
        json!({ "value": 5 }),
        json!({ "value": [{}] }),
        json!({ "value": {} }),
        json!({ "doublevalue": 1.5, "floatvalue": "1", "int64value": "1", "uint64value": 1, "int32value": 1,
            "uint32value": "1", "boolvalue": false, "stringvalue": "x", "bytesvalue": "AQ==", "empty": {} }),
        json!({ "color": "COLOR_RED", "manyColor": ["COLOR_UNSPECIFIED", 1, 17] }),
        json!({ "color": -1 }),
        json!({ "inner": { "inner": { "text": "x" } }, "many_inner": [{}, { "int32": 1 }] }),
        json!({ "byText": { "": "x", "y": "" }, "byNumber": { "7": "x" }, "byFlag": { "true": "x", "false": "y" } }),
        json!({ "thisOne": "x", "thatOne": null }),
    ] {
        assert_eq!(
            faults(&pool, "x.All", &valid.to_string()),
            Ok(()),
            "{valid}"
        );
    }
}

#[test]
fn what_does_not_fit_is_named_with_what_is_due_and_never_repeated() {
    let pool = all_kinds();
    let cases = [
        (json!({ "text": 12345 }), "text must be a string"),
        (json!({ "text": { "s3cret": 1 } }), "text must be a string"),
        (
            json!({ "manyText": "s3cret" }),
            "many_text must be an array",
        ),
        (
            json!({ "manyText": ["a", null, 12345] }),
            "many_text[1] must be a string; many_text[2] must be a string",
        ),
        (
            json!({ "manyText": { "s3cret": 1 } }),
            "many_text must be an array",
        ),
        (json!({ "flag": "s3cret" }), "flag must be true or false"),
        (
            json!({ "int32": "s3cret" }),
            "int32 must be a whole number of 32 bits",
        ),
        (
            json!({ "int32": 12345678901_i64 }),
            "int32 must be a whole number of 32 bits",
        ),
        (
            json!({ "int64": 1.5 }),
            "int64 must be a whole number of 64 bits",
        ),
        (
            json!({ "uint32": -12345 }),
            "uint32 must be a whole number of 32 bits that is not negative",
        ),
        (json!({ "double": "s3cret" }), "double must be a number"),
        (
            json!({ "blob": "s3cret!" }),
            "blob must be a string in base64",
        ),
        (
            json!({ "timestamp": "s3cret" }),
            "timestamp must be a time such as \"2026-01-31T12:00:00Z\"",
        ),
        (
            json!({ "timestamp": { "seconds": 12345 } }),
            "timestamp must be a time such as \"2026-01-31T12:00:00Z\"",
        ),
        (
            json!({ "duration": [12345] }),
            "duration must be seconds such as \"3600s\"",
        ),
        (
            json!({ "duration": "12345" }),
            "duration must be seconds such as \"3600s\"",
        ),
        (
            json!({ "struct": ["s3cret"] }),
            "struct must be a JSON object",
        ),
        (
            json!({ "listvalue": { "s3cret": 1 } }),
            "listvalue must be an array",
        ),
        (
            json!({ "boolvalue": "s3cret" }),
            "boolvalue must be true or false",
        ),
        (json!({ "empty": [] }), "empty must be a JSON object"),
        (
            json!({ "color": "s3cret" }),
            "color must be COLOR_UNSPECIFIED or COLOR_RED",
        ),
        (
            json!({ "manyColor": [null] }),
            "many_color[0] must be COLOR_UNSPECIFIED or COLOR_RED",
        ),
        (json!({ "inner": [] }), "inner must be a JSON object"),
        (
            json!({ "inner": ["s3cret"] }),
            "inner must be a JSON object",
        ),
        (
            json!({ "inner": { "many_inner": [{ "text": 12345 }] } }),
            "inner.many_inner[0].text must be a string",
        ),
        (
            json!({ "manyInner": [[]] }),
            "many_inner[0] must be a JSON object",
        ),
        (
            json!({ "byText": [["s3cret", "s3cret"]] }),
            "by_text must be a JSON object",
        ),
        (
            json!({ "byText": { "s3cret": 12345 } }),
            "by_text[*] must be a string",
        ),
        (
            json!({ "byText": { "s3cret": null } }),
            "by_text[*] must be a string",
        ),
        (
            json!({ "byNumber": { "s3cret": "" } }),
            "by_number must have whole numbers as keys",
        ),
        (
            json!({ "byFlag": { "s3cret": "" } }),
            "by_flag must have no keys but true and false",
        ),
        (
            json!({ "thisOne": "s3cret", "thatOne": "s3cret" }),
            "choice must be one of this_one, that_one alone",
        ),
        (
            json!({ "manyText": [], "many_text": ["s3cret"] }),
            "many_text must be given once",
        ),
        (json!(["s3cret"]), "the body must be a JSON object"),
        (json!("s3cret"), "the body must be a JSON object"),
        (json!(null), "the body must be a JSON object"),
    ];
    for (invalid, expected) in cases {
        let found = faults(&pool, "x.All", &invalid.to_string());
        assert_eq!(found, Err(expected.to_owned()), "{invalid}");
    }
    for text in [
        "",
        "{",
        "s3cret",
        "{\"text\": s3cret}",
        "{\"s3cret",
        "{} s3cret",
        "{\"text\": \"\\ud800s3cret\"}",
        "{\"text\": \"s3cret\u{1}\"}",
    ] {
        let found = faults(&pool, "x.All", text).unwrap_err();
        assert!(
            found.starts_with("the body must be JSON"),
            "{text}: {found}"
        );
        assert!(!found.contains("s3cret"), "{text}: {found}");
    }
    let deep = format!("{}1{}", "{\"inner\":".repeat(200), "}".repeat(200));
    assert!(
        faults(&pool, "x.All", &deep)
            .unwrap_err()
            .contains("recursion limit")
    );
}

#[test]
fn faults_are_counted_up_to_a_limit() {
    let many = json!({ "manyText": vec![1; 100_000] }).to_string();
    let found = faults(&all_kinds(), "x.All", &many).unwrap_err();
    assert!(found.ends_with("and 80 more"), "{found}");
}

/// Values that fit some fields and not others.
fn anything() -> impl Strategy<Value = Json> {
    let leaf = select(vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(2),
        json!(1.0),
        json!(1.5),
        json!(3e9),
        json!(u64::MAX),
        json!(""),
        json!("2"),
        json!("1e2"),
        json!("true"),
        json!("86400s"),
        json!("AQID"),
        json!("2026-01-31T12:00:00Z"),
        json!("SSO_CONFIGURATION_STATE_ACTIVE"),
        json!("ORGANIZATION_ROLE_ADMIN"),
        json!("0190a6e0-1c2b-7def-8123-456789abcdef"),
        json!({}),
        json!([]),
        json!({ "x": "y" }),
    ]);
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Json::Array),
            prop::collection::vec(("[a-z]{0,2}", inner), 0..3)
                .prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    })
}

/// Objects with some of a message's fields, each of any value or what is due.
fn of_message(pool: &DescriptorPool, index: MessageIndex, depth: usize) -> BoxedStrategy<Json> {
    let fields = pool.message(index).fields().iter().map(|field| {
        let names = vec![field.name().to_owned(), field.json_name().to_owned()];
        let inner = |kind| match kind {
            SingularKind::Message(index) if depth > 0 => of_message(pool, index, depth - 1),
            _ => anything().boxed(),
        };
        let value = match field.kind() {
            FieldKind::Singular(kind) => inner(kind),
            FieldKind::List(kind) => prop::collection::vec(inner(kind), 0..3)
                .prop_map(Json::Array)
                .boxed(),
            FieldKind::Map { value, .. } => prop::collection::vec(("[a-z]", inner(value)), 0..3)
                .prop_map(|members| Json::Object(members.into_iter().collect()))
                .boxed(),
        };
        (select(names), prop_oneof![4 => value, 1 => anything()])
    });
    let some = fields.map(|field| prop::option::weighted(0.2, field));
    some.collect::<Vec<_>>()
        .prop_map(|fields| Json::Object(fields.into_iter().flatten().collect::<Map<_, _>>()))
        .boxed()
}

/// Whether somewhere an array stands for a message, or null for an element: the library takes these.
fn is_stricter(error: &str) -> bool {
    error.contains("must be a JSON object") || error.contains("] must be")
}

/// The check and the library agree on a message.
fn agree<M: DeserializeOwned>(name: &'static str, cases: u32) {
    let pool = ours();
    let index = pool.message_index(&format!("gitpod.v1.{name}")).unwrap();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let strategy = of_message(&pool, index, 2);
    let result = runner.run(&strategy, |value| {
        let text = value.to_string();
        let decoded = serde_json::from_str::<M>(&text).map(|_| ());
        match (check(&pool, index, text.as_bytes()), decoded) {
            (Ok(()), Err(error)) => panic!("only the library refuses {text}: {error}"),
            (Err(error), Ok(())) => {
                let error = error.message.unwrap();
                assert!(
                    is_stricter(&error),
                    "only the check refuses {text}: {error}"
                );
            }
            _ => {}
        }
        Ok(())
    });
    result.unwrap();
}

#[test]
fn the_check_and_the_library_agree() {
    agree::<CreateSSOConfigurationRequest>("CreateSSOConfigurationRequest", 300);
    agree::<UpdateSSOConfigurationRequest>("UpdateSSOConfigurationRequest", 500);
    agree::<CreateSCIMConfigurationRequest>("CreateSCIMConfigurationRequest", 300);
    agree::<UpdateOrganizationPoliciesRequest>("UpdateOrganizationPoliciesRequest", 1000);
    agree::<ListMembersRequest>("ListMembersRequest", 500);
    agree::<ListGroupsRequest>("ListGroupsRequest", 300);
    agree::<GetGroupRequest>("GetGroupRequest", 300);
    // What requests do not have: moments.
    agree::<SCIMConfiguration>("SCIMConfiguration", 300);
}
