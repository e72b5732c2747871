//! The second step of filters: what a [`Filter`] means for a resource type.

use chrono::{DateTime, NaiveDateTime, Utc};

use super::super::schema::{Attribute, AttributePath, ResourceType, Returned, Type};
use super::{Filter, FilterError, Literal, Name, Operator};

/// A filter over a resource type, or over the values of one of its attributes: every name is
/// known, and every operator and value fits. How it is evaluated says [`eval`](super::super::eval).
#[derive(Clone, Debug, PartialEq)]
pub enum Resolved {
    /// All of them.
    And(Vec<Resolved>),
    /// Any of them.
    Or(Vec<Resolved>),
    /// Not this one.
    Not(Box<Resolved>),
    /// There is a value. `eq null` and `ne null` are resolved to this as well.
    Present(AttributePath),
    /// A comparison with a simple attribute.
    Compare(AttributePath, Operator, Comparand),
    /// One and the same value of a complex attribute matches. The paths inside name the whole
    /// path: the attribute, and the sub-attribute of the value.
    ValuePath(AttributePath, Box<Resolved>),
}

/// What values are compared with, in the attribute's type.
#[derive(Clone, Debug, PartialEq)]
pub enum Comparand {
    /// For strings, references and binaries.
    Text {
        /// As it was sent.
        sent: String,
        /// In the form of [`Attribute::comparable`].
        comparable: String,
    },
    /// For booleans.
    Boolean(bool),
    /// For decimals and integers.
    Number(f64),
    /// For dateTimes.
    DateTime(DateTime<Utc>),
}

impl Comparand {
    fn text(attribute: &Attribute, text: &str) -> Self {
        Self::Text {
            sent: text.to_owned(),
            comparable: attribute.comparable(text).into_owned(),
        }
    }
}

/// Checks a filter against the schema of `resource_type`. A multi-valued complex attribute without
/// sub-attribute, and `manager`, compare their `value`; the strings `"True"` and `"False"` are
/// booleans where the attribute is. Blanks around an address do not count.
///
/// # Errors
///
/// The first unknown attribute, and the first operator or value that does not fit its attribute.
pub fn resolve(filter: &Filter, resource_type: ResourceType) -> Result<Resolved, FilterError> {
    let lookup = |name: &Name| {
        resource_type
            .attribute(&name.text)
            .ok_or_else(|| FilterError {
                position: name.position,
                message: format!(
                    "this is not an attribute of {}: see /Schemas",
                    resource_type.name()
                ),
            })
    };
    resolve_with(filter, &lookup)
}

/// Checks a filter in brackets, whose names are sub-attributes of `parent`.
pub(in super::super) fn resolve_within(
    filter: &Filter,
    parent: AttributePath,
) -> Result<Resolved, FilterError> {
    let lookup = |name: &Name| {
        let sub = parent.attribute.sub_attribute(&name.text);
        let path = sub.map(|sub| parent.with_sub(sub));
        path.ok_or_else(|| name.error(format!("this is not a sub-attribute of {parent}")))
    };
    resolve_with(filter, &lookup)
}

type Lookup<'a> = &'a dyn Fn(&Name) -> Result<AttributePath, FilterError>;

fn resolve_with(filter: &Filter, lookup: Lookup<'_>) -> Result<Resolved, FilterError> {
    let recurse = |filter: &Filter| resolve_with(filter, lookup);
    Ok(match filter {
        Filter::And(operands) => {
            Resolved::And(operands.iter().map(recurse).collect::<Result<_, _>>()?)
        }
        Filter::Or(operands) => {
            Resolved::Or(operands.iter().map(recurse).collect::<Result<_, _>>()?)
        }
        Filter::Not(filter) => Resolved::Not(Box::new(recurse(filter)?)),
        Filter::Present(name) => Resolved::Present(returnable(lookup(name)?, name)?),
        Filter::Compare(name, operator, literal) => {
            let path = returnable(lookup(name)?, name)?;
            compare(path, *operator, literal).map_err(|message| name.error(message))?
        }
        Filter::ValuePath(name, filter) => {
            let path = lookup(name)?;
            if path.leaf().data_type != Type::Complex {
                return Err(name.error(format!(
                    "{path} has no sub-attributes: leave out the brackets"
                )));
            }
            Resolved::ValuePath(path, Box::new(resolve_within(filter, path)?))
        }
    })
}

/// Refuses attributes that are never returned: a filter would tell what they are.
fn returnable(path: AttributePath, name: &Name) -> Result<AttributePath, FilterError> {
    match path.leaf().returned {
        Returned::Never => Err(name.error(format!("{path} cannot be filtered by"))),
        _ => Ok(path),
    }
}

fn compare(path: AttributePath, operator: Operator, literal: &Literal) -> Result<Resolved, String> {
    match (operator, literal) {
        (Operator::Eq, Literal::Null) => {
            return Ok(Resolved::Not(Box::new(Resolved::Present(path))));
        }
        (Operator::Ne, Literal::Null) => return Ok(Resolved::Present(path)),
        _ => {}
    }
    let path = simple(path)?;
    let attribute = path.leaf();
    let data_type = attribute.data_type.as_str();
    let fits = match attribute.data_type {
        Type::Boolean | Type::Binary | Type::Complex => operator.is_equality(),
        Type::DateTime | Type::Integer | Type::Decimal => !operator.is_for_text(),
        Type::String | Type::Reference => true,
    };
    if !fits {
        let word = operator.as_str();
        return Err(format!(
            "{path} is a {data_type}, which {word:?} cannot compare"
        ));
    }
    if let (Operator::Eq, Literal::String(text)) = (operator, literal) {
        let bare = path.trimmed(text);
        if bare.len() < text.len() {
            // As it was sent is how it may still be stored.
            let forms = [bare, text]
                .map(|text| Resolved::Compare(path, operator, Comparand::text(attribute, text)));
            return Ok(Resolved::Or(forms.into()));
        }
    }
    match comparand(attribute, literal) {
        Some(comparand) => Ok(Resolved::Compare(path, operator, comparand)),
        None => Err(format!(
            "{path} is a {data_type}, which cannot be compared with {}: expected {}",
            kind(literal),
            expected(attribute.data_type)
        )),
    }
}

/// `path`, or its `value` if it is complex.
fn simple(path: AttributePath) -> Result<AttributePath, String> {
    let leaf = path.leaf();
    if leaf.data_type != Type::Complex {
        return Ok(path);
    }
    let value = leaf
        .sub_attribute("value")
        .map(|value| path.with_sub(value));
    value.ok_or_else(|| {
        let example = leaf.sub_attributes.first().map_or("value", |sub| sub.name);
        format!("{path} is complex: compare one of its sub-attributes, such as {path}.{example}")
    })
}

fn kind(literal: &Literal) -> &'static str {
    match literal {
        Literal::String(_) => "this text",
        Literal::Number(_) => "a number",
        Literal::Boolean(_) => "a boolean",
        Literal::Null => "null",
    }
}

fn expected(data_type: Type) -> &'static str {
    match data_type {
        Type::Boolean => "true or false",
        Type::Integer | Type::Decimal => "a number",
        Type::DateTime => "a date and time such as \"2026-01-31T12:00:00Z\"",
        Type::String | Type::Binary | Type::Reference | Type::Complex => "text in double quotes",
    }
}

fn comparand(attribute: &Attribute, literal: &Literal) -> Option<Comparand> {
    match (attribute.data_type, literal) {
        (Type::Boolean, Literal::Boolean(value)) => Some(Comparand::Boolean(*value)),
        (Type::Boolean, Literal::String(text)) => boolean(text).map(Comparand::Boolean),
        (Type::Integer | Type::Decimal, Literal::Number(number)) => {
            number.as_f64().map(Comparand::Number)
        }
        (Type::DateTime, Literal::String(text)) => date_time(text).map(Comparand::DateTime),
        (Type::String | Type::Reference | Type::Binary, Literal::String(text)) => {
            Some(Comparand::text(attribute, text))
        }
        _ => None,
    }
}

/// The boolean that a string names, in any case.
pub(in super::super) fn boolean(text: &str) -> Option<bool> {
    match () {
        () if text.eq_ignore_ascii_case("true") => Some(true),
        () if text.eq_ignore_ascii_case("false") => Some(false),
        () => None,
    }
}

/// The moment that an xsd:dateTime names (RFC 7643, section 2.3.5), whatever the number of its
/// fractional digits; without offset it is UTC. `None` without both date and time.
pub fn date_time(text: &str) -> Option<DateTime<Utc>> {
    if text.as_bytes().get(10) != Some(&b'T') {
        return None;
    }
    match DateTime::parse_from_rfc3339(text) {
        Ok(moment) => Some(moment.to_utc()),
        Err(_) => NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f")
            .ok()
            .map(|moment| moment.and_utc()),
    }
}
