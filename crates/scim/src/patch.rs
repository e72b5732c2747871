//! PATCH (RFC 7644, section 3.5.2), in two steps: [`plan`] reads and checks the body without the
//! resource; [`Plan::apply`] changes a copy of the resource.
//!
//! The members of a group are not part of the resource here: there may be a hundred thousand of
//! them, and a request changes one. A plan lists their changes apart, for the store to carry out.
//! Both lists keep the order of the request; between them order does not matter, since no
//! operation on one depends on the other.

mod apply;

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::error::{ScimError, ScimType};
use super::filter::{Comparand, Operator, Resolved};
use super::normalize::{
    self, SubValue, Traits, dialect, invalid_syntax, invalid_value, no_member_value,
};
use super::path::{self, Path};
use super::reference::{self, Reference};
use super::schema::{Attribute, AttributePath, Mutability, ResourceType, Type};

/// The schema of the body.
pub const PATCH_OP_URN: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
/// The most operations in one request.
pub const MAX_OPERATIONS: usize = 1000;

/// What a request wants to change.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The changes of a group's members, in order. Changes that a later one makes void are left
    /// out.
    pub members: Vec<MemberChange>,
    /// What was recognised of the dialect.
    pub traits: Vec<&'static str>,
    /// What the request refers to by URI alone: it must be there.
    pub references: Vec<Reference>,
    resource_type: ResourceType,
    operations: Vec<Operation>,
}

/// A member of a group (RFC 7643, section 4.2). `$ref` is not kept: the server knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The `id` of the resource, whether or not there is one.
    pub value: String,
    /// `User` or `Group`, as the client has it.
    pub kind: Option<String>,
    /// The name, as the client has it.
    pub display: Option<String>,
}

/// A change of a group's members. No list names a member twice.
#[derive(Clone, Debug, PartialEq)]
pub enum MemberChange {
    /// These become members; those that are already stay as they are.
    Add(Vec<Member>),
    /// The members with these values go; others are not an error.
    Remove(Vec<String>),
    /// The members that match go: [`value_matches`](super::eval::value_matches).
    RemoveMatching(Resolved),
    /// These are the members.
    ReplaceAll(Vec<Member>),
    /// There are no members.
    RemoveAll,
}

/// A resource after a PATCH.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The resource.
    pub resource: Map<String, Value>,
    /// Whether it differs from the one before; if not, `meta.lastModified` and the version stay.
    pub changed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Add,
    Remove,
    Replace,
}

/// A change of what a path points to.
#[derive(Clone, Debug, PartialEq)]
struct Operation {
    path: Path,
    change: Change,
}

#[derive(Clone, Debug, PartialEq)]
enum Change {
    /// Take it away: the operation "remove".
    Remove,
    /// Unassign it: null or "" was sent. It need not be there.
    Unassign,
    /// Put a simple value.
    Set(Value),
    /// Change sub-attributes, and keep the others.
    Merge(Vec<SubValue>),
    /// Put a value in the place of a complex one.
    Replace(Vec<SubValue>),
    /// Add values to a multi-valued attribute.
    Add(Vec<Value>),
    /// Put these values in the place of all.
    ReplaceAll(Vec<Value>),
    /// Take the values away that equal one of these.
    RemoveEqual(Vec<Value>),
}

/// Reads a PATCH request.
///
/// Values without path may have keys with dots, URNs and filters. There, `schemas`, `meta` and
/// empty read-only attributes are passed over, and `id` is understood if it is the resource's own.
/// A path or key that names no attribute is passed over, like an unknown attribute of a body, and
/// so is the password. Everything else has the effect that it asks for, or is an error.
///
/// # Errors
///
/// - `invalidSyntax` for a body that is no PatchOp, and a "remove" with a member that could be a
///   misspelt "value";
/// - `invalidPath` for a malformed path, and one that can only mean the members of a group and is
///   not their name;
/// - `noTarget` for a "remove" without path, and a value that itself has a "value" and no path;
/// - `invalidValue` for a value that does not fit, or of which nothing was understood;
/// - `mutability` for a change of what is read-only or immutable, and the removal of what is
///   required;
/// - 413 for more than [`MAX_OPERATIONS`] operations.
pub fn plan(resource_type: ResourceType, body: Value) -> Result<Plan, ScimError> {
    let mut planner = Planner {
        resource_type,
        traits: Traits::new(),
        operations: vec![],
        members: vec![],
    };
    let operations = planner.operations_of(body)?;
    let is_only = operations.len() == 1;
    for (index, operation) in operations.into_iter().enumerate() {
        planner
            .operation(operation)
            .map_err(|error| match is_only {
                true => error,
                false => ScimError {
                    detail: format!("operation {}: {}", index + 1, error.detail),
                    ..error
                },
            })?;
    }
    let (traits, references) = planner.traits.into_parts();
    Ok(Plan {
        members: planner.members.into_iter().map(without_repeats).collect(),
        traits,
        references,
        resource_type,
        operations: planner.operations,
    })
}

/// Takes the members out of a canonical group, as [`normalize::normalize`] made it.
///
/// # Errors
///
/// A 400 `invalidValue` for a member without `value`.
pub fn take_members(group: &mut Map<String, Value>) -> Result<Vec<Member>, ScimError> {
    let Some(Value::Array(values)) = group.remove("members") else {
        return Ok(vec![]);
    };
    let members = values.into_iter().map(Member::new);
    Ok(unique(members.collect::<Result<_, _>>()?))
}

impl Member {
    fn new(value: Value) -> Result<Self, ScimError> {
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        Ok(Self {
            value: text("value").ok_or_else(no_member_value)?,
            kind: text("type"),
            display: text("display"),
        })
    }
}

/// The members without repeated values.
fn unique(mut members: Vec<Member>) -> Vec<Member> {
    let mut seen = HashSet::with_capacity(members.len());
    members.retain(|member| seen.insert(member.value.clone()));
    members
}

fn without_repeats(change: MemberChange) -> MemberChange {
    match change {
        MemberChange::Add(members) => MemberChange::Add(unique(members)),
        MemberChange::ReplaceAll(members) => MemberChange::ReplaceAll(unique(members)),
        MemberChange::Remove(mut values) => {
            let mut seen = HashSet::with_capacity(values.len());
            values.retain(|value| seen.insert(value.clone()));
            MemberChange::Remove(values)
        }
        other => other,
    }
}

struct Planner {
    resource_type: ResourceType,
    traits: Traits,
    operations: Vec<Operation>,
    members: Vec<MemberChange>,
}

impl Planner {
    /// The operations of a body.
    fn operations_of(&mut self, body: Value) -> Result<Vec<Value>, ScimError> {
        let Value::Object(body) = body else {
            return Err(invalid_syntax("the body must be a JSON object"));
        };
        self.check_schemas(normalize::member(&body, "schemas"))?;
        let operations = body
            .into_iter()
            .find(|(key, _)| key.eq_ignore_ascii_case("Operations"));
        let operations = match operations {
            Some((_, Value::Array(operations))) => operations,
            Some((_, operation @ Value::Object(_))) => vec![operation],
            _ => vec![],
        };
        if operations.is_empty() {
            return Err(invalid_syntax(
                "\"Operations\" must be an array of at least one operation",
            ));
        }
        if operations.len() > MAX_OPERATIONS {
            return Err(ScimError::new(
                413,
                format!("at most {MAX_OPERATIONS} operations fit in a request: split it"),
            ));
        }
        Ok(operations)
    }

    fn check_schemas(&mut self, schemas: Option<&Value>) -> Result<(), ScimError> {
        let named = match schemas {
            None | Some(Value::Null) => None,
            Some(Value::Array(urns)) if urns.is_empty() => None,
            Some(Value::Array(urns)) => {
                Some(urns.iter().any(|urn| normalize::is_urn(urn, PATCH_OP_URN)))
            }
            Some(urn) => Some(normalize::is_urn(urn, PATCH_OP_URN)),
        };
        if named.is_none() {
            self.traits.insert(dialect::NO_PATCH_URN);
        }
        match named {
            Some(false) => Err(invalid_syntax(format!(
                "\"schemas\" must contain {PATCH_OP_URN:?}"
            ))),
            _ => Ok(()),
        }
    }

    fn operation(&mut self, operation: Value) -> Result<(), ScimError> {
        let Value::Object(operation) = operation else {
            return Err(invalid_syntax("an operation must be a JSON object"));
        };
        let kind = self.kind(normalize::member(&operation, "op"))?;
        let path = match normalize::member(&operation, "path") {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(path)) => path.trim().to_owned(),
            Some(_) => {
                let detail = "\"path\" must be a string";
                return Err(ScimError::bad_request(ScimType::InvalidPath, detail));
            }
        };
        let is_known = |key: &String| {
            let names = ["op", "path", "value", "schemas"];
            names.iter().any(|name| key.eq_ignore_ascii_case(name))
        };
        let has_unknown = !operation.keys().all(is_known);
        let mut members = operation.into_iter();
        let value =
            members.find_map(|(key, value)| key.eq_ignore_ascii_case("value").then_some(value));
        match (kind, value) {
            (Kind::Remove, _) if path.is_empty() => {
                Err(no_target("a \"remove\" operation needs a path"))
            }
            // It may be a misspelt value: without value, a list would be emptied.
            (Kind::Remove, None) if has_unknown => Err(invalid_syntax(
                "a \"remove\" operation has \"op\", \"path\" and \"value\" alone",
            )),
            (Kind::Remove, value) => self.at_path(kind, &path, value.unwrap_or_default()),
            (_, None) => Err(invalid_value(
                "an \"add\" or \"replace\" operation needs a \"value\"; null unassigns",
            )),
            (_, Some(value)) if path.is_empty() => self.pathless(kind, value),
            (_, Some(value)) => self.at_path(kind, &path, value),
        }
    }

    fn kind(&mut self, op: Option<&Value>) -> Result<Kind, ScimError> {
        let kinds = [
            ("add", Kind::Add),
            ("remove", Kind::Remove),
            ("replace", Kind::Replace),
        ];
        let op = op.and_then(Value::as_str).unwrap_or_default();
        for (name, kind) in kinds {
            if name.eq_ignore_ascii_case(op) {
                if name != op {
                    self.traits.insert(dialect::OPERATION_CASE);
                }
                return Ok(kind);
            }
        }
        Err(invalid_syntax(
            "\"op\" must be \"add\", \"remove\" or \"replace\"",
        ))
    }

    fn at_path(&mut self, kind: Kind, path: &str, value: Value) -> Result<(), ScimError> {
        match path::parse(path, self.resource_type)? {
            Some(Path::Schema(schema)) if kind != Kind::Remove => {
                let nested = Map::from_iter([(schema.id.to_owned(), value)]);
                self.pathless(kind, Value::Object(nested))
            }
            Some(path) => self.change(kind, path, value),
            None => {
                self.traits.insert(dialect::UNKNOWN_ATTRIBUTES);
                Ok(())
            }
        }
    }

    /// An operation on the resource itself: one for each member of `value`.
    fn pathless(&mut self, kind: Kind, value: Value) -> Result<(), ScimError> {
        let Value::Object(value) = value else {
            return Err(invalid_value(
                "the value of an operation without path must be a JSON object of attributes",
            ));
        };
        if normalize::member(&value, "value").is_some() {
            return Err(no_target(
                "the operation needs a path that says of which attribute this is the value",
            ));
        }
        for (path, value) in normalize::entries(value, self.resource_type, &mut self.traits)? {
            if !is_passed_over(&path, &value) {
                self.change(kind, path, value)?;
            }
        }
        Ok(())
    }

    fn change(&mut self, kind: Kind, path: Path, value: Value) -> Result<(), ScimError> {
        check_mutability(kind, &path)?;
        let (path, value) = match path {
            Path::Attribute(path) if kind != Kind::Remove => {
                let (path, value) = normalize::lifted(path, value);
                (Path::Attribute(path), value)
            }
            path => (path, value),
        };
        if path
            .attribute()
            .is_some_and(|path| path.leaf().name == "$ref")
        {
            return Err(mutability(
                "$ref follows from the value beside it: change that",
            ));
        }
        let is_member = |p: &AttributePath| p.attribute.name == "members";
        if path.attribute().is_some_and(is_member) {
            return self.member_change(kind, path, value);
        }
        let change = match &path {
            Path::Schema(schema) if std::ptr::eq(*schema, self.resource_type.schema()) => {
                return Err(no_target("the core attributes cannot be removed together"));
            }
            Path::Schema(_) if kind == Kind::Remove || value.is_null() => Change::Remove,
            Path::Schema(schema) => {
                return Err(invalid_value(format!("{} must be an object", schema.id)));
            }
            Path::Attribute(path) if path.attribute.mutability == Mutability::WriteOnly => {
                return Ok(());
            }
            Path::Attribute(path) if path.leaf().multi_valued => {
                self.values_change(kind, *path, value)?
            }
            Path::Attribute(path) => self.value_change(kind, *path, value, Change::Merge)?,
            Path::Values { path, .. } => {
                let whole = match kind {
                    Kind::Replace => Change::Replace,
                    Kind::Add | Kind::Remove => Change::Merge,
                };
                self.value_change(kind, *path, value, whole)?
            }
        };
        check_required(&path, &change)?;
        self.operations.push(Operation { path, change });
        Ok(())
    }

    /// A change of a single value; `complex` makes it of a complex one.
    fn value_change(
        &mut self,
        kind: Kind,
        path: AttributePath,
        value: Value,
        complex: fn(Vec<SubValue>) -> Change,
    ) -> Result<Change, ScimError> {
        if kind == Kind::Remove {
            return Ok(Change::Remove);
        }
        if path.leaf().data_type != Type::Complex {
            let value = normalize::canonical(path, value, &mut self.traits)?;
            return Ok(value.map_or(Change::Unassign, Change::Set));
        }
        let value = match normalize::unwrapped(path, value, &mut self.traits) {
            Value::Array(values) => normalize::only(values, &mut self.traits),
            value => value,
        };
        if normalize::is_empty(&value) {
            self.traits.insert(dialect::NULL);
            return Ok(Change::Unassign);
        }
        let says_something = |object: &Map<String, Value>| {
            let mut values = object.values();
            values.any(|value| !normalize::is_empty(value))
        };
        let says_something = value.as_object().is_none_or(says_something);
        let subs = normalize::sub_values(path, value, &mut self.traits)?;
        match subs.is_empty() && says_something {
            true => Err(mutability(format!(
                "{path} has nothing in it that can be changed"
            ))),
            false => Ok(complex(subs)),
        }
    }

    /// A change of a multi-valued attribute as a whole.
    fn values_change(
        &mut self,
        kind: Kind,
        path: AttributePath,
        value: Value,
    ) -> Result<Change, ScimError> {
        if kind == Kind::Remove && value.is_null() {
            return Ok(Change::Remove);
        }
        if kind == Kind::Remove {
            return self.removal(path, value);
        }
        let values = normalize::values(path, value, &mut self.traits)?;
        Ok(match kind {
            Kind::Add => Change::Add(values),
            _ => Change::ReplaceAll(values),
        })
    }

    /// The removal of the values that `value` selects.
    fn removal(&mut self, path: AttributePath, value: Value) -> Result<Change, ScimError> {
        let selects_none = matches!(&value, Value::Array(values) if values.is_empty());
        let values = normalize::selectors(path, value, &mut self.traits)?;
        if values.is_empty() && !selects_none {
            return Err(invalid_value(format!(
                "the value must say what to remove from {path}: leave it out to remove all"
            )));
        }
        self.traits.insert(dialect::REMOVE_BY_VALUE);
        Ok(Change::RemoveEqual(values))
    }

    fn member_change(&mut self, kind: Kind, path: Path, value: Value) -> Result<(), ScimError> {
        let path = match path {
            Path::Attribute(path) => path,
            Path::Schema(_) => return Ok(()),
            Path::Values { filter, .. } => {
                let filter = with_issued_ids(filter);
                self.push(match values_selected(&filter) {
                    Some(values) => MemberChange::Remove(values),
                    None => MemberChange::RemoveMatching(filter),
                });
                return Ok(());
            }
        };
        let change = match self.values_change(kind, path, value)? {
            Change::Add(values) => MemberChange::Add(members(values)?),
            Change::ReplaceAll(values) if values.is_empty() => MemberChange::RemoveAll,
            Change::ReplaceAll(values) => MemberChange::ReplaceAll(members(values)?),
            Change::RemoveEqual(values) => {
                let members = members(values)?.into_iter();
                MemberChange::Remove(members.map(|member| member.value).collect())
            }
            _ => MemberChange::RemoveAll,
        };
        self.push(change);
        Ok(())
    }

    /// Appends a change; joins it to the last one, or drops those that it makes void.
    fn push(&mut self, change: MemberChange) {
        match (self.members.last_mut(), change) {
            (_, MemberChange::Add(members)) if members.is_empty() => {}
            (_, MemberChange::Remove(values)) if values.is_empty() => {}
            (Some(MemberChange::Add(last)), MemberChange::Add(members)) => last.extend(members),
            (Some(MemberChange::Remove(last)), MemberChange::Remove(values)) => {
                last.extend(values);
            }
            (_, change @ (MemberChange::ReplaceAll(_) | MemberChange::RemoveAll)) => {
                self.members = vec![change];
            }
            (_, change) => self.members.push(change),
        }
    }
}

fn members(values: Vec<Value>) -> Result<Vec<Member>, ScimError> {
    values.into_iter().map(Member::new).collect()
}

/// The values that a filter selects if all it says is `value eq`, once or several times with `or`.
fn values_selected(filter: &Resolved) -> Option<Vec<String>> {
    match filter {
        Resolved::Or(operands) => {
            let values: Option<Vec<_>> = operands.iter().map(values_selected).collect();
            values.map(|values| values.concat())
        }
        Resolved::Compare(path, Operator::Eq, Comparand::Text { sent, .. })
            if path.leaf().name == "value" =>
        {
            Some(vec![sent.clone()])
        }
        _ => None,
    }
}

/// The filter on members with identifiers in the form in which they are kept.
fn with_issued_ids(filter: Resolved) -> Resolved {
    let each = |filters: Vec<Resolved>| filters.into_iter().map(with_issued_ids).collect();
    match filter {
        Resolved::And(operands) => Resolved::And(each(operands)),
        Resolved::Or(operands) => Resolved::Or(each(operands)),
        Resolved::Not(operand) => Resolved::Not(Box::new(with_issued_ids(*operand))),
        Resolved::Compare(path, operator, Comparand::Text { sent, comparable })
            if path.leaf().name == "value" =>
        {
            let comparable = reference::issued(&comparable);
            Resolved::Compare(path, operator, Comparand::Text { sent, comparable })
        }
        other => other,
    }
}

/// Whether a path-less value may hold this although the server alone writes it.
fn is_passed_over(path: &Path, value: &Value) -> bool {
    path.attribute().is_some_and(|path| {
        let read_only = path.attribute.mutability == Mutability::ReadOnly;
        read_only
            && (matches!(path.attribute.name, "schemas" | "meta") || normalize::is_empty(value))
    })
}

/// Refuses what the server alone writes, and what does not change once it is there. Whether an
/// `id` is the resource's own shows when the plan is applied.
fn check_mutability(kind: Kind, path: &Path) -> Result<(), ScimError> {
    let Some(attribute) = path.attribute() else {
        return Ok(());
    };
    let read_only = |a: &Attribute| a.mutability == Mutability::ReadOnly;
    if read_only(attribute.attribute) || read_only(attribute.leaf()) {
        return match (attribute.attribute.name, kind) {
            ("id", Kind::Add | Kind::Replace) => Ok(()),
            _ => Err(mutability(format!(
                "{attribute} is read-only: leave it out"
            ))),
        };
    }
    let in_member = attribute.attribute.name == "members"
        && (attribute.sub_attribute.is_some()
            || matches!(path, Path::Values { .. }) && kind != Kind::Remove);
    if in_member {
        let detail = "a member cannot be changed: remove it and add another";
        return Err(mutability(detail));
    }
    Ok(())
}

fn check_required(path: &Path, change: &Change) -> Result<(), ScimError> {
    let Some(path) = path.attribute().filter(|path| path.leaf().required) else {
        return Ok(());
    };
    let blank = match change {
        Change::Remove | Change::Unassign => true,
        Change::Set(Value::String(text)) => text.trim().is_empty(),
        _ => false,
    };
    match blank {
        true => Err(mutability(format!(
            "{path} is required: it cannot be removed"
        ))),
        false => Ok(()),
    }
}

fn mutability(detail: impl Into<String>) -> ScimError {
    ScimError::bad_request(ScimType::Mutability, detail)
}

fn no_target(detail: impl Into<String>) -> ScimError {
    ScimError::bad_request(ScimType::NoTarget, detail)
}

#[cfg(test)]
mod tests;
