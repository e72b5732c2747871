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
use super::reference::Reference;
use super::schema::{Attribute, AttributePath, Mutability, ResourceType, Type};

/// The most values of a multi-valued attribute, other than the members of a group.
pub const MAX_VALUES: usize = 1000;

/// What clients do that the RFCs do not ask servers to understand: the names under which it is
/// reported.
pub mod dialect {
    /// `id` for the `value` of a member or manager, or `$ref` alone.
    pub const ANOTHER_IDENTIFIER: &str = "id or reference for a value";
    /// An array of one for a single value.
    pub const ARRAY_OF_ONE: &str = "array of one for a single value";
    /// An address with blanks around it.
    pub const BLANKS: &str = "blanks around an address";
    /// A bare value for a complex attribute.
    pub const BARE_VALUE: &str = "bare value for a complex attribute";
    /// An attribute named with its URN or its parent in the key, as `name.givenName`.
    pub const DOTTED_KEYS: &str = "path-less dotted keys";
    /// A core attribute under the URN of the core schema.
    pub const CORE_URN_KEY: &str = "core attributes under their URN";
    /// Text that is no URI where one belongs.
    pub const NOT_A_URI: &str = "text for a URI";
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
    /// A value in an object under the name of its attribute.
    pub const WRAPPED: &str = "value under its own name";
}

/// The traits of the dialect that were recognised, and the references that stand for identifiers.
#[derive(Debug, Default)]
pub struct Traits {
    names: BTreeSet<&'static str>,
    references: Vec<Reference>,
}

impl Traits {
    /// None so far.
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn insert(&mut self, name: &'static str) {
        self.names.insert(name);
    }

    /// The names in order, and the references.
    pub(super) fn into_parts(self) -> (Vec<&'static str>, Vec<Reference>) {
        (self.names.into_iter().collect(), self.references)
    }
}

/// A canonical resource, and how it was spoken of.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalized {
    /// The resource, without read-only attributes.
    pub resource: Map<String, Value>,
    /// What was recognised of the dialect.
    pub traits: Vec<&'static str>,
    /// What the resource refers to by URI alone: it must be there.
    pub references: Vec<Reference>,
}

/// Makes the canonical resource of the body of a create or a replace (RFC 7644, sections 3.3 and
/// 3.5.1). Ignored are read-only attributes, the password, and whatever no schema knows. Of several
/// primary values, the last one stays primary. Values with equal `type` and `value` become one,
/// with the sub-attributes of all.
///
/// # Errors
///
/// A 400: `invalidSyntax` for a body that is no object or whose `schemas` lacks the core URN;
/// `invalidValue` for a required attribute that is missing, a value that does not fit, and one that
/// has unknown sub-attributes and not what it is about; `invalidPath` for a key that can only mean
/// an attribute, and is not its name.
pub fn normalize(resource_type: ResourceType, body: Value) -> Result<Normalized, ScimError> {
    let Value::Object(body) = body else {
        return Err(invalid_syntax("the body must be a JSON object"));
    };
    check_schemas(&body, resource_type)?;
    let mut resource = Map::new();
    let mut traits = Traits::new();
    for (path, value) in entries(body, resource_type, &mut traits)? {
        match path {
            Path::Attribute(path) => assign(&mut resource, path, value, &mut traits)?,
            Path::Schema(_) if is_empty(&value) => {
                traits.insert(dialect::NULL);
            }
            Path::Schema(schema) => {
                return Err(invalid_value(format!("{} must be an object", schema.id)));
            }
            Path::Values { path, .. } => return Err(in_pieces(&path)),
        }
    }
    check_required(&resource, resource_type)?;
    set_schemas(&mut resource, resource_type);
    let (traits, references) = traits.into_parts();
    Ok(Normalized {
        resource,
        traits,
        references,
    })
}

/// The error for a key that names a part of a list.
fn in_pieces(path: &AttributePath) -> ScimError {
    let name = path.attribute.name;
    invalid_value(format!(
        "{name} must be a list of values: send it under the key {name:?}"
    ))
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
///
/// # Errors
///
/// A 400 `invalidPath` for a key that can only mean an attribute, and is not its name.
pub(super) fn entries(
    object: Map<String, Value>,
    resource_type: ResourceType,
    traits: &mut Traits,
) -> Result<Vec<(Path, Value)>, ScimError> {
    let mut entries = vec![];
    for (key, value) in object {
        let schema = path::schema_named(&key, resource_type);
        let value = match value {
            Value::Array(values) if schema.is_some() => only(values, traits),
            value => value,
        };
        match (schema, value) {
            (Some(schema), Value::Object(inner)) => {
                if schema.id == resource_type.schema().id {
                    traits.insert(dialect::CORE_URN_KEY);
                }
                for (key, value) in inner {
                    let key = format!("{}:{key}", schema.id);
                    entries.extend(entry(&key, value, resource_type, traits)?);
                }
            }
            (_, value) => {
                let entry = entry(&key, value, resource_type, traits)?;
                if entry.is_some() && key.contains(['.', ':']) {
                    traits.insert(dialect::DOTTED_KEYS);
                }
                entries.extend(entry);
            }
        }
    }
    Ok(entries)
}

fn entry(
    key: &str,
    value: Value,
    resource_type: ResourceType,
    traits: &mut Traits,
) -> Result<Option<(Path, Value)>, ScimError> {
    let path = match path::parse(key, resource_type) {
        Err(error) if path::means_known(key, resource_type) => return Err(error),
        path => path.ok().flatten(),
    };
    if path.is_none() {
        traits.insert(dialect::UNKNOWN_ATTRIBUTES);
    }
    Ok(path.map(|path| (path, value)))
}

/// The only value of an array, or the array.
pub(super) fn only(mut values: Vec<Value>, traits: &mut Traits) -> Value {
    match values.pop() {
        Some(value) if values.is_empty() => {
            traits.insert(dialect::ARRAY_OF_ONE);
            value
        }
        last => values.into_iter().chain(last).collect(),
    }
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
    let (path, value) = lifted(path, value);
    let Some(value) = canonical(path, value, traits)? else {
        return Ok(());
    };
    if path.sub_attribute.is_some() && path.attribute.multi_valued {
        return Err(in_pieces(&path));
    }
    let name = path.attribute.name;
    with_container(resource, path, |container| {
        match (path.sub_attribute, value) {
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

/// `$ref` of a complex attribute as a value of that attribute, which it stands for.
pub(super) fn lifted(path: AttributePath, value: Value) -> (AttributePath, Value) {
    match path.sub_attribute {
        Some(sub) if sub.name == "$ref" && !is_empty(&value) => {
            let whole = AttributePath {
                sub_attribute: None,
                ..path
            };
            let value = Map::from_iter([(sub.name.to_owned(), value)]);
            (whole, Value::Object(value))
        }
        _ => (path, value),
    }
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
    let value = match unwrapped(path, value, traits) {
        Value::Array(values) => only(values, traits),
        value => value,
    };
    canonical_one(path, value, traits)
}

/// The canonical values of a multi-valued attribute, in the order sent. Those with nothing but a
/// label are left out.
///
/// # Errors
///
/// A 400 `invalidValue` that names the attribute.
pub(super) fn values(
    path: AttributePath,
    value: Value,
    traits: &mut Traits,
) -> Result<Vec<Value>, ScimError> {
    let mut values = selectors(path, value, traits)?;
    values.retain(|value| !is_hollow(value));
    Ok(values)
}

/// What selects values of a multi-valued attribute: canonical values, which may be nothing but a
/// label.
///
/// # Errors
///
/// A 400 `invalidValue` that names the attribute.
pub(super) fn selectors(
    path: AttributePath,
    value: Value,
    traits: &mut Traits,
) -> Result<Vec<Value>, ScimError> {
    let values = match unwrapped(path, value, traits) {
        Value::Array(values) => values,
        value if is_empty(&value) => {
            traits.insert(dialect::NULL);
            vec![]
        }
        value => {
            if value.is_object() {
                traits.insert(dialect::OBJECT_FOR_LIST);
            }
            vec![value]
        }
    };
    let mut canonical = vec![];
    for value in values {
        match canonical_one(path, value, traits)? {
            Some(value) if is_members(path.attribute) && is_hollow(&value) => {
                return Err(no_member_value());
            }
            None if is_members(path.attribute) => return Err(no_member_value()),
            value => canonical.extend(value),
        }
    }
    check_number(path.attribute, &canonical)?;
    Ok(canonical)
}

/// Whether these are the members of a group, of which none may be lost.
fn is_members(attribute: &Attribute) -> bool {
    attribute.name == "members"
}

/// The error for a member that has no identifier.
pub(super) fn no_member_value() -> ScimError {
    invalid_value("members.value is required: send the id of the member")
}

/// What an object has under the attribute's own name, if it has nothing else: some clients repeat
/// the name of the path in the value.
pub(super) fn unwrapped(path: AttributePath, value: Value, traits: &mut Traits) -> Value {
    let name = path.leaf().name;
    let is_name = |key: &String| {
        let last = key.rsplit(':').next();
        last.is_some_and(|last| last.eq_ignore_ascii_case(name))
    };
    match value {
        Value::Object(object) if object.len() == 1 && object.keys().all(is_name) => {
            traits.insert(dialect::WRAPPED);
            object
                .into_iter()
                .next()
                .map(|(_, inner)| inner)
                .unwrap_or_default()
        }
        value => value,
    }
}

/// Refuses more than [`MAX_VALUES`] values.
pub(super) fn check_number(attribute: &Attribute, values: &[Value]) -> Result<(), ScimError> {
    match values.len() > MAX_VALUES && !is_members(attribute) {
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
        keys.all(|key| is_label(key))
    })
}

/// Whether a sub-attribute says which of several values one is, and not what it is.
fn is_label(name: &str) -> bool {
    matches!(name, "type" | "primary")
}

/// The canonical form of one value; `None` if it is empty.
fn canonical_one(
    path: AttributePath,
    value: Value,
    traits: &mut Traits,
) -> Result<Option<Value>, ScimError> {
    let value = without_blanks(path, value, traits);
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

/// Takes the blanks around an address away.
fn without_blanks(path: AttributePath, value: Value, traits: &mut Traits) -> Value {
    match value {
        Value::String(text) => {
            let bare = path.trimmed(&text);
            if bare.len() == text.len() {
                return Value::String(text);
            }
            traits.insert(dialect::BLANKS);
            bare.into()
        }
        value => value,
    }
}

pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        _ => false,
    }
}

/// A sub-attribute with its value; `None` unassigns.
pub(super) type SubValue = (&'static Attribute, Option<Value>);

/// What a value for a complex attribute says of its sub-attributes: `None` for those that it
/// unassigns. Read-only ones are left out.
///
/// # Errors
///
/// A 400 `invalidValue` that names the sub-attribute; also for a value that has unknown
/// sub-attributes and not what it is about.
pub(super) fn sub_values(
    path: AttributePath,
    value: Value,
    traits: &mut Traits,
) -> Result<Vec<SubValue>, ScimError> {
    let complex = path.attribute;
    let object = match (value, complex.sub_attribute("value")) {
        (Value::Object(object), _) => object,
        (value, Some(sub)) if !value.is_array() => {
            traits.insert(dialect::BARE_VALUE);
            Map::from_iter([(sub.name.to_owned(), value)])
        }
        (value, _) => return Err(unfit(&path, "a JSON object of its sub-attributes", &value)),
    };
    let mut subs: Vec<SubValue> = vec![];
    let (mut id, mut has_unknown) = (None, false);
    for (key, value) in object {
        match sub_named(complex, &key) {
            Some(sub) if sub.mutability == Mutability::ReadOnly => {}
            Some(sub) => subs.push((sub, canonical(path.with_sub(sub), value, traits)?)),
            None if refers(complex) && key.eq_ignore_ascii_case("id") => id = Some(value),
            None => {
                traits.insert(dialect::UNKNOWN_ATTRIBUTES);
                has_unknown |= !is_empty(&value);
            }
        }
    }
    if refers(complex) && !has_value(&subs) {
        subs.extend(identifier(path, id, &subs, traits)?);
    }
    let is_understood = match complex.sub_attribute("value") {
        Some(value) => is_named(&subs, value.name),
        None => subs.iter().any(|(sub, _)| !is_label(sub.name)),
    };
    match has_unknown && !is_understood {
        true => Err(not_understood(&path)),
        false => Ok(subs),
    }
}

fn is_named(subs: &[SubValue], name: &str) -> bool {
    subs.iter().any(|(sub, _)| sub.name == name)
}

/// Whether the value itself is there. `null` is the same as not sent (RFC 7643, section 2.5).
fn has_value(subs: &[SubValue]) -> bool {
    let mut subs = subs.iter();
    subs.any(|(sub, value)| sub.name == "value" && value.is_some())
}

/// Whether the values of a complex attribute name resources.
fn refers(complex: &Attribute) -> bool {
    complex.sub_attribute("$ref").is_some()
}

/// The `value` that an `id` or a `$ref` stands for.
fn identifier(
    path: AttributePath,
    id: Option<Value>,
    subs: &[SubValue],
    traits: &mut Traits,
) -> Result<Option<SubValue>, ScimError> {
    let Some(sub) = path.attribute.sub_attribute("value") else {
        return Ok(None);
    };
    let id = id.map(|id| canonical(path.with_sub(sub), id, traits));
    if let Some(id) = id.transpose()?.flatten() {
        traits.insert(dialect::ANOTHER_IDENTIFIER);
        return Ok(Some((sub, Some(id))));
    }
    let uri = subs.iter().find(|(sub, _)| sub.name == "$ref");
    let Some(Value::String(uri)) = uri.and_then(|(_, value)| value.as_ref()) else {
        return Ok(None);
    };
    let reference = Reference::parse(uri).ok_or_else(no_reference)?;
    let id = Value::from(reference.id.to_string());
    traits.insert(dialect::ANOTHER_IDENTIFIER);
    traits.references.push(reference);
    Ok(Some((sub, Some(id))))
}

/// The error for a `$ref` that stands alone and leads to nothing. It is the same for what is not
/// there and for what is somebody else's.
pub fn no_reference() -> ScimError {
    invalid_value(
        "$ref must be the URI of a user or group of this configuration: send the id as value",
    )
}

/// The error for a value of which nothing but unknown sub-attributes says what it is.
fn not_understood(path: &AttributePath) -> ScimError {
    let complex = path.attribute;
    match complex.sub_attribute("value") {
        Some(value) => invalid_value(format!(
            "{} is required: none of what was sent is this sub-attribute",
            path.with_sub(value)
        )),
        None => {
            let subs = complex
                .sub_attributes
                .iter()
                .filter(|sub| !is_label(sub.name));
            let names: Vec<&str> = subs.map(|sub| sub.name).collect();
            invalid_value(format!(
                "{path} must have one of its sub-attributes: {}",
                names.join(", ")
            ))
        }
    }
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
            // Nothing depends on it: it is kept as it is.
            Type::Reference => {
                if !is_uri_reference(text) {
                    traits.insert(dialect::NOT_A_URI);
                }
                (true, "")
            }
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
pub fn is_uri_reference(text: &str) -> bool {
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
pub(super) mod tests;
