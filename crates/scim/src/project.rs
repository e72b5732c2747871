//! Projection: which attributes a response shows (RFC 7644, section 3.9).

use serde_json::{Map, Value};

use super::eval::value_matches;
use super::normalize::{set_schemas, with_container};
use super::path::{self, Path};
use super::schema::{AttributePath, ResourceType, Returned};

/// What the parameters `attributes` and `excludedAttributes` ask for. Names may be in any case,
/// carry the URN of their schema, name a sub-attribute, or hold a filter in brackets, which then
/// selects values; names of nothing are passed over. Of both parameters, the second takes away
/// from what the first asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Projection {
    resource_type: ResourceType,
    /// `None`: those that are returned by default.
    attributes: Option<Vec<Path>>,
    excluded: Vec<Path>,
}

impl Projection {
    /// The projection of the query parameters: names with commas between them. An empty parameter
    /// is like none.
    pub fn from_query(
        resource_type: ResourceType,
        attributes: Option<&str>,
        excluded: Option<&str>,
    ) -> Self {
        let split = |list: Option<&str>| list.map(names).unwrap_or_default();
        Self::new(resource_type, &split(attributes), &split(excluded))
    }

    /// The projection of the members of a SearchRequest (RFC 7644, section 3.4.3): arrays of names,
    /// or strings like query parameters. Anything else is like none.
    pub fn from_json(
        resource_type: ResourceType,
        attributes: Option<&Value>,
        excluded: Option<&Value>,
    ) -> Self {
        let list = |value: Option<&Value>| -> Vec<String> {
            match value {
                Some(Value::Array(values)) => {
                    let texts = values.iter().filter_map(Value::as_str);
                    texts.flat_map(names).collect()
                }
                Some(Value::String(text)) => names(text),
                _ => vec![],
            }
        };
        Self::new(resource_type, &list(attributes), &list(excluded))
    }

    fn new(resource_type: ResourceType, attributes: &[String], excluded: &[String]) -> Self {
        let paths = |names: &[String]| -> Vec<Path> {
            let parsed = names.iter().map(|name| path::parse(name, resource_type));
            parsed.filter_map(|path| path.ok().flatten()).collect()
        };
        Self {
            resource_type,
            attributes: (!attributes.is_empty()).then(|| paths(attributes)),
            excluded: paths(excluded),
        }
    }

    /// Whether the client named the attributes that it wants.
    pub fn is_explicit(&self) -> bool {
        self.attributes.is_some()
    }

    /// Whether a response shows anything of the core attribute `name`, in canonical case, so that
    /// what is expensive (`members`, `groups`) need not be read for nothing.
    pub fn wants(&self, name: &str) -> bool {
        let Some(path) = self.resource_type.attribute(name) else {
            return false;
        };
        let removes = |excluded: &Path| match excluded {
            Path::Attribute(excluded) => *excluded == path,
            Path::Schema(schema) => is_of_schema(&path, schema.id, self.resource_type),
            Path::Values { .. } => false,
        };
        match path.attribute.returned {
            Returned::Always => true,
            Returned::Never => false,
            returned => {
                let asked = match &self.attributes {
                    None => returned == Returned::Default,
                    Some(paths) => paths.iter().any(|p| self.covers(p, &path)),
                };
                asked && !self.excluded.iter().any(removes)
            }
        }
    }

    /// The part of a canonical resource that a response shows. `schemas` lists the schemas of the attributes that are shown.
    pub fn apply(&self, resource: Map<String, Value>) -> Map<String, Value> {
        let mut shown = Map::new();
        for (key, value) in resource {
            match (path::schema_named(&key, self.resource_type), value) {
                (Some(schema), Value::Object(extension)) => {
                    let mut part = Map::new();
                    for (name, value) in extension {
                        let path = self
                            .resource_type
                            .attribute(&format!("{}:{name}", schema.id));
                        self.show(&mut part, path, value);
                    }
                    if !part.is_empty() {
                        shown.insert(key, Value::Object(part));
                    }
                }
                (_, value) => {
                    let path = self.resource_type.attribute(&key);
                    self.show(&mut shown, path, value);
                }
            }
        }
        for path in &self.excluded {
            self.exclude(&mut shown, path);
        }
        if shown.contains_key("schemas") {
            set_schemas(&mut shown, self.resource_type);
        }
        shown
    }

    /// Puts what is asked for of an attribute's value into `shown`.
    fn show(&self, shown: &mut Map<String, Value>, path: Option<AttributePath>, value: Value) {
        let Some(path) = path else {
            return;
        };
        let value = match (path.attribute.returned, &self.attributes) {
            (Returned::Always, _) | (Returned::Default, None) => Some(value),
            (Returned::Never, _) | (Returned::Request, None) => None,
            (_, Some(paths)) => {
                let wishes = paths.iter().filter(|p| self.covers(p, &path));
                pick(value, &wishes.collect::<Vec<_>>())
            }
        };
        if let Some(value) = value {
            shown.insert(path.attribute.name.to_owned(), value);
        }
    }

    /// Whether `wish` asks for the attribute of `path`, or a part of it.
    fn covers(&self, wish: &Path, path: &AttributePath) -> bool {
        match wish {
            Path::Schema(schema) => is_of_schema(path, schema.id, self.resource_type),
            Path::Attribute(wish) | Path::Values { path: wish, .. } => {
                std::ptr::eq(wish.attribute, path.attribute)
            }
        }
    }

    fn exclude(&self, shown: &mut Map<String, Value>, path: &Path) {
        let (path, filter) = match path {
            Path::Attribute(path) => (path, None),
            Path::Values { path, filter } => (path, Some(filter)),
            Path::Schema(schema) => {
                shown.retain(|key, _| {
                    let path = self.resource_type.attribute(key);
                    let excluded = path.is_some_and(|path| {
                        path.attribute.returned != Returned::Always
                            && is_of_schema(&path, schema.id, self.resource_type)
                    });
                    key != schema.id && !excluded
                });
                return;
            }
        };
        if path.attribute.returned == Returned::Always {
            return;
        }
        let matches = |value: &Value| filter.is_none_or(|filter| value_matches(filter, value));
        let left = |value: Value| match (path.sub_attribute, value) {
            (_, value) if !matches(&value) => Some(value),
            (None, _) => None,
            (Some(sub), Value::Object(mut object)) => {
                object.remove(sub.name);
                (!object.is_empty()).then_some(Value::Object(object))
            }
            (_, value) => Some(value),
        };
        with_container(shown, *path, |container| {
            let value = container.remove(path.attribute.name);
            if let Some(value) = value.and_then(|value| each(value, left)) {
                container.insert(path.attribute.name.to_owned(), value);
            }
        });
    }
}

fn is_of_schema(path: &AttributePath, id: &str, resource_type: ResourceType) -> bool {
    path.extension.unwrap_or(resource_type.schema()).id == id
}

/// The names in a list with commas, which do not separate inside brackets and quotes.
fn names(list: &str) -> Vec<String> {
    let (mut depth, mut quoted) = (0_usize, false);
    let separates = |c: char| {
        match c {
            '"' => quoted = !quoted,
            '[' if !quoted => depth += 1,
            ']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0 && !quoted
    };
    list.split(separates)
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// What `change` leaves of a value, or of each of the values of a multi-valued attribute.
fn each(value: Value, change: impl Fn(Value) -> Option<Value>) -> Option<Value> {
    match value {
        Value::Array(values) => {
            let left: Vec<Value> = values.into_iter().filter_map(change).collect();
            (!left.is_empty()).then_some(Value::Array(left))
        }
        value => change(value),
    }
}

/// What `wishes` ask for of a value; they are all about its attribute.
fn pick(value: Value, wishes: &[&Path]) -> Option<Value> {
    each(value, |value| {
        let mut subs = vec![];
        for wish in wishes {
            let path = match wish {
                Path::Schema(_) => return Some(value),
                Path::Attribute(path) => path,
                Path::Values { path, filter } if value_matches(filter, &value) => path,
                Path::Values { .. } => continue,
            };
            match path.sub_attribute {
                Some(sub) => subs.push(sub.name),
                None => return Some(value),
            }
        }
        let Value::Object(mut object) = value else {
            return None;
        };
        object.retain(|name, _| subs.contains(&name.as_str()));
        (!object.is_empty()).then_some(Value::Object(object))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::schema::{ENTERPRISE_USER_URN as E, USER_URN as U};
    use super::*;

    fn user() -> Map<String, Value> {
        let user = json!({
            "schemas": [U, E], "id": "1", "userName": "bob", "password": "secret",
            "name": {"givenName": "B", "familyName": "J"},
            "emails": [{"type": "work", "value": "w"}, {"type": "home", "value": "h"}],
            "meta": {"resourceType": "User", "location": "https://x/Users/1"},
            E: {"department": "d", "manager": {"value": "m"}},
        });
        user.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn attributes_are_shown_as_asked() {
        let minimum = |mut rest: Value| {
            rest["id"] = json!("1");
            let extended = rest.get(E).is_some();
            rest["schemas"] = if extended { json!([U, E]) } else { json!([U]) };
            rest
        };
        for (attributes, excluded, expected) in [
            (Some("id"), None, json!({})), // rows 22 and 46
            (Some("UserName, nope"), None, json!({"userName": "bob"})),
            (Some("nope"), None, json!({})),
            (Some("password"), None, json!({})),
            (
                Some("name.givenname,title"),
                None,
                json!({"name": {"givenName": "B"}}),
            ),
            (
                Some("emails[type eq \"work\"]"), // row 27
                None,
                json!({"emails": [{"type": "work", "value": "w"}]}),
            ),
            (
                Some("emails[type eq \"work\" or type eq \"a,b\"].value,emails.type"),
                None,
                json!({"emails": [{"type": "work", "value": "w"}, {"type": "home"}]}),
            ),
            (
                Some(E),
                None,
                json!({E: {"department": "d", "manager": {"value": "m"}}}),
            ),
            (
                Some(
                    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager,meta.location",
                ),
                None,
                json!({E: {"manager": {"value": "m"}}, "meta": {"location": "https://x/Users/1"}}),
            ),
            (
                None,
                Some(
                    "id,schemas,Emails,meta,name.givenName,urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager",
                ),
                json!({"userName": "bob", "name": {"familyName": "J"}, E: {"department": "d"}}),
            ),
            (
                None,
                Some(
                    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User,emails[type eq \"work\"],emails.type,name,meta",
                ),
                json!({"userName": "bob", "emails": [{"value": "h"}]}),
            ),
            (
                None,
                Some(U),
                json!({E: {"department": "d", "manager": {"value": "m"}}}),
            ),
            (
                Some("userName,name"),
                Some("name"),
                json!({"userName": "bob"}),
            ),
        ] {
            let projection = Projection::from_query(ResourceType::User, attributes, excluded);
            let shown = Value::Object(projection.apply(user()));
            assert_eq!(shown, minimum(expected), "{attributes:?} {excluded:?}");
        }
        let mut whole = user();
        whole.remove("password");
        let default = Projection::from_query(ResourceType::User, Some(""), None);
        assert_eq!(default.apply(user()), whole);
    }

    // Row 103.
    #[test]
    fn a_search_request_names_attributes_in_arrays() {
        let names = json!(["userName", "emails.value"]);
        let from_json = Projection::from_json(ResourceType::User, Some(&names), None);
        let from_query =
            Projection::from_query(ResourceType::User, Some("userName,emails.value"), None);
        assert_eq!(from_json, from_query);
    }

    // Rows 39 and 40.
    #[test]
    fn expensive_attributes_are_wanted_or_not() {
        let group = ResourceType::Group;
        for (attributes, excluded, wanted) in [
            (None, None, true),
            (None, Some("Members"), false),
            (None, Some("members.display"), true),
            (Some("displayName"), None, false),
            (Some("members.value"), None, true),
            (Some("members[value eq \"a\"]"), None, true),
            (
                Some("urn:ietf:params:scim:schemas:core:2.0:Group"),
                None,
                true,
            ),
            (
                Some("urn:ietf:params:scim:schemas:core:2.0:Group:members"),
                None,
                true,
            ),
            (
                None,
                Some("urn:ietf:params:scim:schemas:core:2.0:Group"),
                false,
            ),
        ] {
            let projection = Projection::from_query(group, attributes, excluded);
            assert_eq!(
                projection.wants("members"),
                wanted,
                "{attributes:?} {excluded:?}"
            );
        }
        assert!(!Projection::from_query(ResourceType::User, None, Some("groups")).wants("groups"));
    }
}
