//! The form in which resources are searched.

use serde_json::{Map, Value};

use super::schema::{Attribute, ResourceType};

/// The search form of a canonical resource: the same attributes, with every text in the form in which equal texts are equal. Where
/// texts of two search forms are compared, they are compared byte by byte.
pub fn search_form(resource_type: ResourceType, resource: &Map<String, Value>) -> Value {
    let mut form = Map::new();
    for schema in resource_type.schemas() {
        let is_core = std::ptr::eq(schema, resource_type.schema());
        let source = if is_core {
            Some(resource)
        } else {
            resource.get(schema.id).and_then(Value::as_object)
        };
        let Some(source) = source else { continue };
        let attributes = fold(schema.attributes, source);
        if is_core {
            form.extend(attributes);
        } else {
            form.insert(schema.id.to_owned(), Value::Object(attributes));
        }
    }
    let schemas = resource_type
        .attribute("schemas")
        .zip(resource.get("schemas"));
    if let Some((path, schemas)) = schemas {
        form.insert(
            path.attribute.name.to_owned(),
            fold_value(path.attribute, schemas),
        );
    }
    Value::Object(form)
}

fn fold(attributes: &[Attribute], source: &Map<String, Value>) -> Map<String, Value> {
    let pair = |a: &Attribute| Some((a.name.to_owned(), fold_value(a, source.get(a.name)?)));
    attributes.iter().filter_map(pair).collect()
}

fn fold_value(attribute: &Attribute, value: &Value) -> Value {
    match value {
        Value::Array(values) => values
            .iter()
            .map(|value| fold_value(attribute, value))
            .collect(),
        Value::Object(object) => Value::Object(fold(attribute.sub_attributes, object)),
        Value::String(text) => attribute.comparable(text).into(),
        other => other.clone(),
    }
}
