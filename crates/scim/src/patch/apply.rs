//! The second step of PATCH: a plan changes a copy of a resource.

use serde_json::{Map, Value};

use super::super::error::ScimError;
use super::super::eval::value_matches;
use super::super::filter::{Comparand, Operator, Resolved};
use super::super::normalize::{self, SubValue, Traits};
use super::super::path::Path;
use super::super::schema::{Attribute, AttributePath, Mutability, ResourceType};
use super::{Applied, Change, Operation, Plan, mutability, no_target};

impl Plan {
    /// Whether nothing of the resource itself changes: only members do, if anything does.
    pub fn is_for_members_alone(&self) -> bool {
        self.operations.is_empty()
    }

    /// Carries the operations out, in order, on a copy of a canonical resource. It should have its
    /// `id`; other read-only attributes are left as they are.
    ///
    /// # Errors
    ///
    /// `noTarget` when a filter matches nothing and cannot describe a new value; `mutability` for
    /// an `id` that is not the resource's.
    pub fn apply(&self, resource: &Map<String, Value>) -> Result<Applied, ScimError> {
        let mut changed = resource.clone();
        for operation in &self.operations {
            operation.apply(&mut changed)?;
        }
        remove_hollow_values(&mut changed, self.resource_type)?;
        normalize::set_schemas(&mut changed, self.resource_type);
        Ok(Applied {
            changed: changed != *resource,
            resource: changed,
        })
    }
}

/// Removes values that were left, or made, with nothing but a label.
fn remove_hollow_values(
    resource: &mut Map<String, Value>,
    resource_type: ResourceType,
) -> Result<(), ScimError> {
    let attributes = resource_type.schema().attributes.iter();
    for attribute in attributes.filter(|a| a.multi_valued && a.mutability != Mutability::ReadOnly) {
        if resource.contains_key(attribute.name) {
            with_values(resource, attribute, |values| {
                values.retain(|value| !normalize::is_hollow(value));
                Ok(())
            })?;
        }
    }
    Ok(())
}

impl Operation {
    fn apply(&self, resource: &mut Map<String, Value>) -> Result<(), ScimError> {
        match &self.path {
            Path::Schema(schema) => {
                resource.remove(schema.id);
                Ok(())
            }
            Path::Attribute(path) => normalize::with_container(resource, *path, |container| {
                self.change.apply(container, path)
            }),
            Path::Values { path, filter } => {
                normalize::with_container(resource, *path, |container| {
                    self.change.apply_to_values(container, path, Some(filter))
                })
            }
        }
    }
}

impl Change {
    /// Changes the attribute `path` of `container`.
    fn apply(
        &self,
        container: &mut Map<String, Value>,
        path: &AttributePath,
    ) -> Result<(), ScimError> {
        let attribute = path.attribute;
        let name = attribute.name;
        if name == "id" {
            return self.check_id(container.get(name));
        }
        if path.sub_attribute.is_some() && attribute.multi_valued {
            return self.apply_to_values(container, path, None);
        }
        match (self, path.sub_attribute) {
            (Self::Remove | Self::Unassign, Some(sub)) if sub.name != "value" => {
                normalize::with_object(container, name, |object| object.remove(sub.name));
            }
            (Self::Remove | Self::Unassign, _) => {
                container.remove(name);
            }
            (Self::Set(value), Some(sub)) => normalize::with_object(container, name, |object| {
                object.insert(sub.name.to_owned(), value.clone());
            }),
            (Self::Set(value), None) => {
                container.insert(name.to_owned(), value.clone());
            }
            (Self::Merge(subs) | Self::Replace(subs), _) => {
                normalize::with_object(container, name, |object| merge(object, subs));
            }
            (Self::Add(values), _) => {
                return with_values(container, attribute, |present| {
                    add(present, values);
                    Ok(())
                });
            }
            (Self::ReplaceAll(values), _) => {
                return with_values(container, attribute, |present| {
                    present.clone_from(values);
                    normalize::keep_one_primary(present);
                    Ok(())
                });
            }
            (Self::RemoveEqual(values), _) => {
                let sent: Vec<Value> = values.iter().map(|v| comparable(attribute, v)).collect();
                return with_values(container, attribute, |present| {
                    present.retain(|one| {
                        let one = comparable(attribute, one);
                        !sent.iter().any(|sent| selects(sent, &one))
                    });
                    Ok(())
                });
            }
        }
        Ok(())
    }

    fn check_id(&self, id: Option<&Value>) -> Result<(), ScimError> {
        match (self, id) {
            (Self::Set(value), Some(id)) if value == id => Ok(()),
            _ => Err(mutability("id is read-only: leave it out")),
        }
    }

    /// Changes those values of a multi-valued attribute that match, or a sub-attribute of theirs.
    fn apply_to_values(
        &self,
        container: &mut Map<String, Value>,
        path: &AttributePath,
        filter: Option<&Resolved>,
    ) -> Result<(), ScimError> {
        with_values(container, path.attribute, |values| {
            let matches = |value: &Value| filter.is_none_or(|filter| value_matches(filter, value));
            let indices = 0..values.len();
            let mut matching: Vec<usize> = indices
                .zip(values.iter())
                .filter_map(|(index, value)| matches(value).then_some(index))
                .collect();
            if matching.is_empty() {
                match self.without_match(path, filter)? {
                    Some(template) => {
                        matching.push(values.len());
                        values.push(Value::Object(template));
                    }
                    None => return Ok(()),
                }
            }
            for &index in &matching {
                if let Some(value) = values.get_mut(index) {
                    self.apply_to_value(value, path, filter);
                }
            }
            let is_primary = |index: &usize| values.get(*index).is_some_and(normalize::is_primary);
            if let Some(primary) = matching.iter().copied().rfind(is_primary) {
                normalize::clear_primary(values, |index| index == primary);
            }
            values.retain(|value| !value.is_null());
            Ok(())
        })
    }

    /// The value to create when none matches: what the filter says it would be. `None` if there is
    /// nothing to do.
    fn without_match(
        &self,
        path: &AttributePath,
        filter: Option<&Resolved>,
    ) -> Result<Option<Map<String, Value>>, ScimError> {
        let template = match self {
            Self::Unassign => return Ok(None),
            Self::Remove if path.sub_attribute.is_none() || filter.is_none() => return Ok(None),
            Self::Remove => None,
            _ => filter.map_or_else(|| Some(Map::new()), template),
        };
        match template {
            Some(template) => Ok(Some(template)),
            None => Err(no_target(format!(
                "no value of {} matches the filter",
                path.attribute.name
            ))),
        }
    }

    /// Changes one value; null takes the place of one that is to be removed.
    fn apply_to_value(&self, value: &mut Value, path: &AttributePath, filter: Option<&Resolved>) {
        let Value::Object(object) = value else {
            return;
        };
        match (self, path.sub_attribute) {
            (Self::Set(new), Some(sub)) => {
                object.insert(sub.name.to_owned(), new.clone());
            }
            (Self::Remove | Self::Unassign, Some(sub)) if sub.name != "value" => {
                object.remove(sub.name);
                if object.is_empty() {
                    *value = Value::Null;
                }
            }
            (Self::Remove | Self::Unassign, _) => *value = Value::Null,
            (Self::Merge(subs), _) => merge(object, subs),
            (Self::Replace(subs), _) => {
                *object = filter.and_then(template).unwrap_or_default();
                merge(object, subs);
            }
            _ => {}
        }
    }
}

/// Changes sub-attributes. Without its `value`, nothing else is left of a complex value.
fn merge(object: &mut Map<String, Value>, subs: &[SubValue]) {
    let unassigned = |(sub, value): &SubValue| sub.name == "value" && value.is_none();
    if subs.iter().any(unassigned) {
        object.clear();
    }
    for (sub, value) in subs {
        match value {
            Some(value) => object.insert(sub.name.to_owned(), value.clone()),
            None => object.remove(sub.name),
        };
    }
}

fn add(present: &mut Vec<Value>, values: &[Value]) {
    if values.iter().any(normalize::is_primary) {
        normalize::clear_primary(present, |_| false);
    }
    let start = present.len();
    present.extend_from_slice(values);
    if let Some(added) = present.get_mut(start..) {
        normalize::keep_one_primary(added);
    }
}

/// Hands out the values of a multi-valued attribute; afterwards, makes one of equal ones and refuses
/// too many.
fn with_values(
    container: &mut Map<String, Value>,
    attribute: &Attribute,
    change: impl FnOnce(&mut Vec<Value>) -> Result<(), ScimError>,
) -> Result<(), ScimError> {
    let mut values = match container.remove(attribute.name) {
        Some(Value::Array(values)) => values,
        _ => vec![],
    };
    change(&mut values)?;
    let values = normalize::collapse(attribute, values);
    normalize::check_number(attribute, &values)?;
    if !values.is_empty() {
        container.insert(attribute.name.to_owned(), Value::Array(values));
    }
    Ok(())
}

/// The value that a filter of `eq` and `and` describes; `None` for other filters, and for those
/// that contradict themselves.
fn template(filter: &Resolved) -> Option<Map<String, Value>> {
    let mut object = Map::new();
    describe(filter, &mut object)?;
    value_matches(filter, &Value::Object(object.clone())).then_some(object)
}

fn describe(filter: &Resolved, object: &mut Map<String, Value>) -> Option<()> {
    match filter {
        Resolved::And(operands) => {
            let mut operands = operands.iter();
            operands.try_for_each(|operand| describe(operand, object))
        }
        Resolved::Compare(path, Operator::Eq, comparand) => {
            let value = match comparand {
                Comparand::Text { sent, .. } => Value::from(sent.as_str()),
                Comparand::Boolean(value) => Value::Bool(*value),
                Comparand::Number(_) | Comparand::DateTime(_) => return None,
            };
            let value = normalize::canonical(*path, value, &mut Traits::new()).ok()??;
            object.insert(path.sub_attribute?.name.to_owned(), value);
            Some(())
        }
        _ => None,
    }
}

/// A complex value in which equal strings are equal character by character.
fn comparable(attribute: &Attribute, value: &Value) -> Value {
    let mut value = value.clone();
    for (name, sub_value) in value.as_object_mut().into_iter().flatten() {
        if let (Value::String(text), Some(sub)) = (&sub_value, attribute.sub_attribute(name)) {
            *sub_value = sub.comparable(text).into();
        }
    }
    value
}

/// Whether a value that was sent to be removed means `value`: equal in `value` and `type` as far
/// as they were sent, else in all sub-attributes.
fn selects(sent: &Value, value: &Value) -> bool {
    let Value::Object(sent) = sent else {
        return sent == value;
    };
    let decisive = |name: &str| matches!(name, "value" | "type");
    let all = !sent.keys().any(|name| decisive(name));
    let mut compared = sent.iter().filter(|(name, _)| all || decisive(name));
    compared.all(|(name, one)| value.get(name) == Some(one))
}
