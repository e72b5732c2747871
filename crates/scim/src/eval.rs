//! Evaluates resolved filters on canonical resources (RFC 7644, section 3.4.2.2).
//!
//! A comparison with a multi-valued attribute holds if it holds for any value; a value path holds
//! if its whole filter holds for one and the same value. A missing value is equal to nothing, so
//! `ne` holds for it and all other operators do not; but within a value, a missing `primary` is
//! false (RFC 7643, section 2.4).

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::filter::{Comparand, Operator, Resolved, date_time};
use super::schema::{Attribute, AttributePath};

/// Whether `resource` matches.
pub fn matches(filter: &Resolved, resource: &Map<String, Value>) -> bool {
    holds(filter, &Scope::Resource(resource))
}

/// Whether a value of a multi-valued attribute matches the filter of a value path.
pub fn value_matches(filter: &Resolved, value: &Value) -> bool {
    holds(filter, &Scope::Value(value))
}

/// What the paths of a filter start from.
enum Scope<'a> {
    Resource(&'a Map<String, Value>),
    Value(&'a Value),
}

impl<'a> Scope<'a> {
    /// The values of the attribute: none, one, or those of a multi-valued attribute.
    fn values(&self, path: &AttributePath) -> &'a [Value] {
        let value = match self {
            Self::Resource(resource) => path.get(resource),
            Self::Value(value) => Some(*value),
        };
        match value {
            Some(Value::Array(values)) => values,
            Some(value) => std::slice::from_ref(value),
            None => &[],
        }
    }
}

fn holds(filter: &Resolved, scope: &Scope<'_>) -> bool {
    match filter {
        Resolved::And(operands) => operands.iter().all(|operand| holds(operand, scope)),
        Resolved::Or(operands) => operands.iter().any(|operand| holds(operand, scope)),
        Resolved::Not(operand) => !holds(operand, scope),
        Resolved::Present(path) => scope
            .values(path)
            .iter()
            .any(|value| sub_value(path, value).is_some_and(is_present)),
        Resolved::Compare(path, operator, comparand) => {
            let values = scope.values(path);
            if values.is_empty() {
                return *operator == Operator::Ne;
            }
            values.iter().any(|value| {
                let value = sub_value(path, value).or_else(|| default(path));
                compares(path.leaf(), value, *operator, comparand)
            })
        }
        Resolved::ValuePath(path, filter) => scope
            .values(path)
            .iter()
            .any(|value| value_matches(filter, value)),
    }
}

fn sub_value<'a>(path: &AttributePath, value: &'a Value) -> Option<&'a Value> {
    match path.sub_attribute {
        Some(sub) => value.get(sub.name),
        None => Some(value),
    }
}

fn default(path: &AttributePath) -> Option<&'static Value> {
    (path.leaf().name == "primary").then_some(&Value::Bool(false))
}

fn is_present(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => values.iter().any(is_present),
        Value::Object(object) => object.values().any(is_present),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

fn compares(
    attribute: &Attribute,
    value: Option<&Value>,
    operator: Operator,
    comparand: &Comparand,
) -> bool {
    let holds = match (value, comparand) {
        (Some(Value::String(text)), Comparand::Text { comparable, .. }) => {
            compares_text(&attribute.comparable(text), operator, comparable)
        }
        (Some(Value::String(text)), Comparand::DateTime(moment)) => {
            date_time(text).map(|value| in_order(value.cmp(moment), operator))
        }
        (Some(Value::Bool(value)), Comparand::Boolean(other)) => {
            Some(in_order(value.cmp(other), operator))
        }
        (Some(Value::Number(value)), Comparand::Number(other)) => value
            .as_f64()
            .and_then(|value| value.partial_cmp(other))
            .map(|order| in_order(order, operator)),
        _ => None,
    };
    holds.unwrap_or(operator == Operator::Ne)
}

fn compares_text(text: &str, operator: Operator, other: &str) -> Option<bool> {
    Some(match operator {
        Operator::Co => text.contains(other),
        Operator::Sw => text.starts_with(other),
        Operator::Ew => text.ends_with(other),
        _ => in_order(text.cmp(other), operator),
    })
}

/// Whether `operator` wants two values in this order.
fn in_order(order: Ordering, operator: Operator) -> bool {
    match operator {
        Operator::Eq => order.is_eq(),
        Operator::Ne => order.is_ne(),
        Operator::Gt => order.is_gt(),
        Operator::Ge => order.is_ge(),
        Operator::Lt => order.is_lt(),
        Operator::Le => order.is_le(),
        Operator::Co | Operator::Sw | Operator::Ew => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::filter::compile;
    use super::super::schema::ResourceType;
    use super::*;

    fn resource() -> Map<String, Value> {
        let resource = json!({
            "schemas": [
                "urn:ietf:params:scim:schemas:core:2.0:User",
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
            ],
            "id": "2819c223",
            "externalId": "Ext",
            "userName": "Bjensen",
            "name": {"familyName": "Jensen"},
            "active": true,
            "emails": [
                {"value": "b@work.com", "type": "work", "primary": true},
                {"value": "b@home.com", "type": "home"},
            ],
            "photos": [{"value": "https://x/A.png"}],
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {
                "department": "Sales",
                "manager": {"value": "m1"},
            },
            "meta": {"lastModified": "2026-01-01T10:00:00.842057Z"},
        });
        match resource {
            Value::Object(resource) => resource,
            _ => Map::new(),
        }
    }

    #[test]
    fn filters_hold_or_do_not() {
        for (text, expected) in [
            // Strings by caseExact: rows 2, 3 and 25.
            (r#"userName eq "bJENSEN""#, true),
            (r#"userName eq "ｂｊｅｎｓｅｎ""#, true),
            (r#"externalId eq "ext""#, false),
            (r#"externalId eq "Ext""#, true),
            (r#"photos.value eq "https://x/a.png""#, false),
            (
                r#"userName sw "BJ" and userName ew "SEN" and userName co "jen""#,
                true,
            ),
            (r#"userName sw "jen""#, false),
            (r#"userName gt "a" and userName lt "C""#, true),
            // Presence, null, and what is missing.
            ("title pr", false),
            ("name pr and emails pr", true),
            ("name.givenName pr", false),
            ("title eq null", true),
            ("name ne null", true),
            (r#"title ne "x""#, true),
            (r#"not (title eq "x")"#, true),
            (r#"title gt "x" or title co "x""#, false),
            // Multi-valued: any value; in brackets: the same value.
            (r#"emails eq "B@HOME.COM""#, true),
            (r#"emails.type eq "work" and emails.value co "home""#, true),
            (r#"emails[type eq "work" and value co "home"]"#, false),
            (r#"emails[type eq "home"].value eq "b@home.com""#, true), // row 4
            (r#"emails[type eq "other"]"#, false),
            (r#"emails.type ne "work""#, true),
            (r#"ims.type ne "work""#, true),
            (r#"not (emails[type eq "other"])"#, true),
            ("emails[primary eq true].value eq \"b@work.com\"", true), // row 89
            ("emails[primary eq \"False\"].value eq \"b@home.com\"", true),
            ("emails[primary ne true and type eq \"home\"]", true),
            ("photos.primary eq false", true),
            ("ims.primary eq false", false),
            // Booleans.
            ("active eq true", true),
            ("active eq \"False\"", false),
            ("active ne false", true),
            // Moments: row 30.
            (
                r#"meta.lastModified gt "2026-01-01T10:00:00.8420569Z""#,
                true,
            ),
            (
                r#"meta.lastModified lt "2026-01-01T10:30:00.0000000+01:00""#,
                false,
            ),
            (
                r#"meta.lastModified ge "2026-01-01T12:00:00.842057+02:00""#,
                true,
            ),
            (
                r#"meta.lastModified eq "2026-01-01T10:00:00.8420570Z""#,
                true,
            ),
            // Extensions: rows 22 and 24.
            (r#"id eq "2819c223" and manager eq "m1""#, true),
            (
                r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User.department eq "SALES""#,
                true,
            ),
            (
                r#"schemas eq "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User""#,
                true,
            ),
            (r#"groups.value eq "g""#, false),
            ("userName pr and (title pr or active eq true)", true),
        ] {
            let filter = compile(text, ResourceType::User).unwrap();
            assert_eq!(matches(&filter, &resource()), expected, "{text}");
        }
    }
}
