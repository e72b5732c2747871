//! The entrance of resources: what clients send becomes the canonical form, or is refused.
//!
//! A canonical resource is an object with attribute names in the schema's case, typed values, no
//! empty ones, the attributes of an extension under its URN, and `schemas` as computed from what
//! is there. The habits of identity providers that [`dialect`] names are understood at this
//! entrance; the rest of the server sees canonical resources alone.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value};

use super::error::{ScimError, ScimType};
use super::filter::{boolean, date_time};
use super::path::{self, Path};
use super::schema::{Attribute, AttributePath, Mutability, ResourceType, Type};

/// The most values of a multi-valued attribute, other than the members of a group.
pub const MAX_VALUES: usize = 1000;

/// What clients do that the RFCs do not ask servers to understand: the names under which it is
/// reported.
pub mod dialect {
    /// An array of one for a single value.
    pub const ARRAY_OF_ONE: &str = "array of one for a single value";
    /// A bare value for a complex attribute.
    pub const BARE_VALUE: &str = "bare value for a complex attribute";
    /// An attribute named with its URN or its parent in the key, as `name.givenName`.
    pub const DOTTED_KEYS: &str = "path-less dotted keys";
    /// A core attribute under the URN of the core schema.
    pub const CORE_URN_KEY: &str = "core attributes under their URN";
    /// `null`, an empty string or an empty array.
    pub const NULL: &str = "null for unset";
    /// One object for a multi-valued attribute.
    pub const OBJECT_FOR_LIST: &str = "object for a list";
    /// An operation in upper case.
    pub const OPERATION_CASE: &str = "operations in other case";
    /// A PATCH without the URN of PatchOp.
    pub const NO_PATCH_URN: &str = "no PatchOp URN";
    /// A removal whose value selects what is removed.
    pub const REMOVE_BY_VALUE: &str = "remove by value";
    /// `"True"` and `"False"`.
    pub const STRING_BOOLEANS: &str = "string booleans";
    /// An attribute that the server does not know.
    pub const UNKNOWN_ATTRIBUTES: &str = "unknown attributes";
}

/// The traits of the dialect that were recognised.
pub type Traits = BTreeSet<&'static str>;

/// A canonical resource, and how it was spoken of.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalized {
    /// The resource, without read-only attributes.
    pub resource: Map<String, Value>,
    /// What was recognised of the dialect.
    pub traits: Vec<&'static str>,
}

/// Makes the canonical resource of the body of a create or a replace (RFC 7644, sections 3.3 and
/// 3.5.1). Ignored are read-only attributes, the password, and whatever no schema knows. Of several
/// primary values, the last one stays primary. Values with equal `type` and `value` become one,
/// with the sub-attributes of all.
///
/// # Errors
///
/// A 400: `invalidSyntax` for a body that is no object or whose `schemas` lacks the core URN;
/// `invalidValue` for a required attribute that is missing, or a value that does not fit.
pub fn normalize(resource_type: ResourceType, body: Value) -> Result<Normalized, ScimError> {
    let Value::Object(body) = body else {
        return Err(invalid_syntax("the body must be a JSON object"));
    };
    check_schemas(&body, resource_type)?;
    let mut resource = Map::new();
    let mut traits = Traits::new();
    for (path, value) in entries(body, resource_type, &mut traits) {
        if let Path::Attribute(path) = path {
            assign(&mut resource, path, value, &mut traits)?;
        }
    }
    check_required(&resource, resource_type)?;
    set_schemas(&mut resource, resource_type);
    Ok(Normalized {
        resource,
        traits: traits.into_iter().collect(),
    })
}

fn check_schemas(body: &Map<String, Value>, resource_type: ResourceType) -> Result<(), ScimError> {
    let urn = resource_type.schema().id;
    let named = match member(body, "schemas") {
        Some(Value::Array(urns)) => urns.iter().any(|u| is_urn(u, urn)),
        Some(value) => is_urn(value, urn),
        None => false,
    };
    match named {
        true => Ok(()),
        false => Err(invalid_syntax(format!("\"schemas\" must contain {urn:?}"))),
    }
}

pub(super) fn is_urn(value: &Value, urn: &str) -> bool {
    value.as_str().is_some_and(|v| v.eq_ignore_ascii_case(urn))
}

/// The member of this name, in any case.
pub(super) fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object
        .iter()
        .find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
}

/// What the members of an object that stands for a resource are about. Members that no schema
/// knows are left out.
pub(super) fn entries(
    object: Map<String, Value>,
    resource_type: ResourceType,
    traits: &mut Traits,
) -> Vec<(Path, Value)> {
    let mut entries = vec![];
    for (key, value) in object {
        match (path::schema_named(&key, resource_type), value) {
            (Some(schema), Value::Object(inner)) => {
                if schema.id == resource_type.schema().id {
                    traits.insert(dialect::CORE_URN_KEY);
                }
                for (key, value) in inner {
                    let key = format!("{}:{key}", schema.id);
                    entries.extend(entry(&key, value, resource_type, traits));
                }
            }
            (_, value) => {
                let entry = entry(&key, value, resource_type, traits);
                if entry.is_some() && key.contains(['.', ':']) {
                    traits.insert(dialect::DOTTED_KEYS);
                }
                entries.extend(entry);
            }
        }
    }
    entries
}

fn entry(
    key: &str,
    value: Value,
    resource_type: ResourceType,
    traits: &mut Traits,
) -> Option<(Path, Value)> {
    let path = path::parse(key, resource_type).ok().flatten();
    if path.is_none() {
        traits.insert(dialect::UNKNOWN_ATTRIBUTES);
    }
    Some((path?, value))
}

/// Puts a value where `path` says, beside what is there.
fn assign(
    resource: &mut Map<String, Value>,
    path: AttributePath,
    value: Value,
    traits: &mut Traits,
) -> Result<(), ScimError> {
    let is_written =
        |a: &Attribute| !matches!(a.mutability, Mutability::ReadOnly | Mutability::WriteOnly);
    if !is_written(path.attribute) || !is_written(path.leaf()) {
        return Ok(());
    }
    let Some(value) = canonical(path, value, traits)? else {
        return Ok(());
    };
    let name = path.attribute.name;
    with_container(resource, path, |container| {
        match (path.sub_attribute, value) {
            (Some(_), _) if path.attribute.multi_valued => {}
            (Some(sub), value) => with_object(container, name, |object| {
                object.insert(sub.name.to_owned(), value);
            }),
            (None, Value::Object(new)) => with_object(container, name, |object| object.extend(new)),
            (None, value) => {
                container.insert(name.to_owned(), value);
            }
        }
    });
    Ok(())
}

fn check_required(
    resource: &Map<String, Value>,
    resource_type: ResourceType,
) -> Result<(), ScimError> {
    for attribute in resource_type.schema().attributes {
        let value = resource.get(attribute.name).and_then(Value::as_str);
        if attribute.required && value.is_none_or(|v| v.trim().is_empty()) {
            return Err(invalid_value(format!(
                "{} is required: send a value that is not empty",
                attribute.name
            )));
        }
    }
    Ok(())
}

/// Lists in `schemas` the core schema and the extensions whose attributes are there.
pub(super) fn set_schemas(resource: &mut Map<String, Value>, resource_type: ResourceType) {
    let core = resource_type.schema().id;
    let present = |id: &&str| *id == core || resource.contains_key(*id);
    let ids = resource_type.schemas().map(|schema| schema.id);
    let urns: Vec<Value> = ids.filter(present).map(Value::from).collect();
    resource.insert("schemas".to_owned(), Value::Array(urns));
}

/// Hands out the object that holds the attribute: the resource, or its extension.
pub(super) fn with_container<R>(
    resource: &mut Map<String, Value>,
    path: AttributePath,
    change: impl FnOnce(&mut Map<String, Value>) -> R,
) -> R {
    match path.extension {
        Some(schema) => with_object(resource, schema.id, change),
        None => change(resource),
    }
}

/// Hands out the object under `key`, which is there as long as it is not empty.
pub(super) fn with_object<R>(
    parent: &mut Map<String, Value>,
    key: &str,
    change: impl FnOnce(&mut Map<String, Value>) -> R,
) -> R {
    let mut object = match parent.remove(key) {
        Some(Value::Object(object)) => object,
        _ => Map::new(),
    };
    let result = change(&mut object);
    if !object.is_empty() {
        parent.insert(key.to_owned(), Value::Object(object));
    }
    result
}

/// The canonical form of a value for `path`; `None` if it stands for no value.
///
/// # Errors
///
/// A 400 `invalidValue` that names the attribute.
pub(super) fn canonical(
    path: AttributePath,
    value: Value,
    traits: &mut Traits,
) -> Result<Option<Value>, ScimError> {
    if path.leaf().multi_valued {
        let mut values = values(path, value, traits)?;
        keep_one_primary(&mut values);
        let values = collapse(path.attribute, values);
        return Ok((!values.is_empty()).then_some(Value::Array(values)));
    }
    match value {
        Value::Array(mut values) if values.len() == 1 => {
            traits.insert(dialect::ARRAY_OF_ONE);
            canonical_one(path, values.pop().unwrap_or_default(), traits)
        }
        value => canonical_one(path, value, traits),
    }
}

/// The canonical values of a multi-valued attribute, in the order sent.
pub(super) fn values(
    path: AttributePath,
    value: Value,
    traits: &mut Traits,
) -> Result<Vec<Value>, ScimError> {
    let values = match value {
        Value::Array(values) => values,
        value => {
            if value.is_object() {
                traits.insert(dialect::OBJECT_FOR_LIST);
            }
            vec![value]
        }
    };
    let mut canonical = vec![];
    for value in values {
        let value = canonical_one(path, value, traits)?;
        canonical.extend(value.filter(|value| !is_hollow(value)));
    }
    check_number(path.attribute, &canonical)?;
    Ok(canonical)
}

/// Refuses more than [`MAX_VALUES`] values.
pub(super) fn check_number(attribute: &Attribute, values: &[Value]) -> Result<(), ScimError> {
    match values.len() > MAX_VALUES && attribute.name != "members" {
        true => Err(invalid_value(format!(
            "{} must have at most {MAX_VALUES} values",
            attribute.name
        ))),
        false => Ok(()),
    }
}

/// Whether a value of a multi-valued attribute is nothing but a label.
pub(super) fn is_hollow(value: &Value) -> bool {
    value.as_object().is_some_and(|object| {
        let mut keys = object.keys();
        keys.all(|key| matches!(key.as_str(), "type" | "primary"))
    })
}

/// The canonical form of one value; `None` if it is empty.
fn canonical_one(
    path: AttributePath,
    value: Value,
    traits: &mut Traits,
) -> Result<Option<Value>, ScimError> {
    if is_empty(&value) {
        traits.insert(dialect::NULL);
        return Ok(None);
    }
    let leaf = path.leaf();
    if leaf.data_type != Type::Complex {
        return scalar(path, value, traits).map(Some);
    }
    let mut object = Map::new();
    for (sub, value) in sub_values(path, value, traits)? {
        if let Some(value) = value {
            object.insert(sub.name.to_owned(), value);
        }
    }
    Ok((!object.is_empty()).then_some(Value::Object(object)))
}

pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        _ => false,
    }
}

/// What a value for a complex attribute says of its sub-attributes: `None` for those that it
/// unassigns. Read-only ones are left out.
///
/// # Errors
///
/// A 400 `invalidValue` that names the sub-attribute.
pub(super) fn sub_values(
    path: AttributePath,
    value: Value,
    traits: &mut Traits,
) -> Result<Vec<(&'static Attribute, Option<Value>)>, ScimError> {
    let complex = path.attribute;
    let object = match (value, complex.sub_attribute("value")) {
        (Value::Object(object), _) => object,
        (value, Some(sub)) if !value.is_array() => {
            traits.insert(dialect::BARE_VALUE);
            Map::from_iter([(sub.name.to_owned(), value)])
        }
        (value, _) => return Err(unfit(&path, "a JSON object of its sub-attributes", &value)),
    };
    let mut subs = vec![];
    for (key, value) in object {
        let Some(sub) = sub_named(complex, &key) else {
            traits.insert(dialect::UNKNOWN_ATTRIBUTES);
            continue;
        };
        if sub.mutability != Mutability::ReadOnly {
            subs.push((sub, canonical(path.with_sub(sub), value, traits)?));
        }
    }
    Ok(subs)
}

/// The sub-attribute that a client means by `key`; `displayName` is understood as `display`.
fn sub_named(attribute: &Attribute, key: &str) -> Option<&'static Attribute> {
    attribute.sub_attribute(key).or_else(|| {
        let alias = key.eq_ignore_ascii_case("displayName");
        alias.then(|| attribute.sub_attribute("display")).flatten()
    })
}

/// A simple value, in the attribute's type (RFC 7643, section 2.3).
fn scalar(path: AttributePath, value: Value, traits: &mut Traits) -> Result<Value, ScimError> {
    let (fits, expected) = match (path.leaf().data_type, &value) {
        (Type::Boolean, Value::String(text)) => match boolean(text) {
            Some(value) => {
                traits.insert(dialect::STRING_BOOLEANS);
                return Ok(Value::Bool(value));
            }
            None => (false, "true or false"),
        },
        (Type::Boolean, value) => (value.is_boolean(), "true or false"),
        (Type::Integer, value) => (
            value.is_i64() || value.is_u64(),
            "a number without fraction",
        ),
        (Type::Decimal, value) => (value.is_number(), "a number"),
        (data_type, Value::String(text)) => match data_type {
            _ if text.contains('\0') => (false, "text without the NUL character (U+0000)"),
            Type::DateTime => (
                date_time(text).is_some(),
                "a date and time such as \"2026-01-31T12:00:00Z\"",
            ),
            Type::Binary => (is_base64(text), "base64"),
            Type::Reference => (is_uri_reference(text), "an absolute or relative URI"),
            _ => (true, ""),
        },
        _ => (false, "a string"),
    };
    match fits {
        true => Ok(value),
        false => Err(unfit(&path, expected, &value)),
    }
}

/// Base64 (RFC 4648, sections 4 and 5) with or without padding.
fn is_base64(text: &str) -> bool {
    let digits = text.trim_end_matches('=');
    let belongs = |b: u8| b.is_ascii_alphanumeric() || b"+/-_".contains(&b);
    text.len() - digits.len() <= 2 && digits.len() % 4 != 1 && digits.bytes().all(belongs)
}

/// Whether `text` holds none of the characters that no URI or IRI may hold.
fn is_uri_reference(text: &str) -> bool {
    !text.contains(|c: char| c.is_whitespace() || c.is_control() || "<>\"{}|\\^`".contains(c))
}

/// Leaves `primary` to the last of the values that have it (RFC 7643, section 2.4).
pub(super) fn keep_one_primary(values: &mut [Value]) {
    let last = values.iter().rposition(is_primary);
    clear_primary(values, |index| Some(index) == last);
}

pub(super) fn is_primary(value: &Value) -> bool {
    value.get("primary") == Some(&Value::Bool(true))
}

/// Sets `primary` to false in all values that have it, but the ones to `keep`.
pub(super) fn clear_primary(values: &mut [Value], keep: impl Fn(usize) -> bool) {
    for (index, value) in values.iter_mut().enumerate() {
        if is_primary(value)
            && !keep(index)
            && let Value::Object(object) = value
        {
            object.insert("primary".to_owned(), Value::Bool(false));
        }
    }
}

/// Makes one value of those with equal `type` and `value` (RFC 7643, section 2.4), or that are
/// equal and have no `value`: the first, with the other sub-attributes of the later ones.
pub(super) fn collapse(attribute: &Attribute, values: Vec<Value>) -> Vec<Value> {
    let mut kept: Vec<Value> = Vec::with_capacity(values.len());
    let mut places = HashMap::with_capacity(values.len());
    for value in values {
        let place = *places
            .entry(identity(attribute, &value))
            .or_insert(kept.len());
        match (kept.get_mut(place), value) {
            (Some(Value::Object(first)), Value::Object(later)) => {
                let others = later.into_iter();
                first.extend(others.filter(|(key, _)| key != "type" && key != "value"));
            }
            (Some(_), _) => {}
            (None, value) => kept.push(value),
        }
    }
    kept
}

/// Text that is equal for equal values.
fn identity(attribute: &Attribute, value: &Value) -> String {
    let sub = |name: &str| {
        let text = value.get(name)?.as_str()?;
        Some(attribute.sub_attribute(name)?.comparable(text))
    };
    match sub("value") {
        // No text contains NUL.
        Some(text) => format!("{}\0{text}", sub("type").unwrap_or_default()),
        None => value.to_string(),
    }
}

pub(super) fn invalid_value(detail: impl Into<String>) -> ScimError {
    ScimError::bad_request(ScimType::InvalidValue, detail)
}

pub(super) fn invalid_syntax(detail: impl Into<String>) -> ScimError {
    ScimError::bad_request(ScimType::InvalidSyntax, detail)
}

/// A value that does not fit; only its kind is repeated, for it may be anything.
fn unfit(path: &AttributePath, expected: &str, value: &Value) -> ScimError {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "another string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    invalid_value(format!("{path} must be {expected}, not {kind}"))
}

#[cfg(test)]
pub(super) mod tests {
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
            assert_eq!(found, traits, "{body}");
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
            (
                json!({"profileUrl": "a b"}),
                "profileUrl must be an absolute or relative URI",
            ),
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
        prop::collection::btree_map(names(), values(), 0..6).prop_map(|members| {
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
                prop_assert_eq!(twice.traits, Vec::<&str>::new());
            }
        }
    }
}
