//! The one registry of attribute definitions (RFC 7643, section 7): validation, `/Schemas`,
//! projection, filters and PATCH all read it. What is defined stands in `definitions`.

mod definitions;

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Value, json};

use self::definitions::{COMMON, ENTERPRISE_USER, GROUP, USER};
use super::keywords::keywords;

/// The core schema of users.
pub const USER_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
/// The core schema of groups.
pub const GROUP_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
/// The enterprise extension of users.
pub const ENTERPRISE_USER_URN: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
/// The schema of schemas.
pub const SCHEMA_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:Schema";
/// The schema of resource types.
pub const RESOURCE_TYPE_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";

keywords! {
    /// A data type (RFC 7643, section 2.3).
    Type {
        /// Text.
        String = "string",
        /// `true` or `false`.
        Boolean = "boolean",
        /// A number.
        Decimal = "decimal",
        /// A number without fraction.
        Integer = "integer",
        /// An xsd:dateTime, with date and time.
        DateTime = "dateTime",
        /// Base64.
        Binary = "binary",
        /// An absolute or relative URI.
        Reference = "reference",
        /// An object of sub-attributes, which are never complex themselves.
        Complex = "complex",
    }

    /// When a value may change (RFC 7643, section 7).
    Mutability {
        /// By the server alone.
        ReadOnly = "readOnly",
        /// At any time.
        ReadWrite = "readWrite",
        /// Not once it is there.
        Immutable = "immutable",
        /// At any time, and it is never returned.
        WriteOnly = "writeOnly",
    }

    /// When a value is returned (RFC 7643, section 7).
    Returned {
        /// In every response.
        Always = "always",
        /// In none.
        Never = "never",
        /// Unless the client asks for others.
        Default = "default",
        /// If the client asks for it.
        Request = "request",
    }

    /// How far a value is unique (RFC 7643, section 7).
    Uniqueness {
        /// Not at all.
        None = "none",
        /// Within the endpoint.
        Server = "server",
        /// Everywhere.
        Global = "global",
    }
}

/// When two texts are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matching {
    /// Character by character: `caseExact`, and by nature references, binaries (RFC 7643,
    /// sections 2.3.6 and 2.3.7) and the identifiers of resources (section 3.1), whatever
    /// section 8.7 prints for them.
    Exact,
    /// Whatever the case: see [`letters::fold`].
    IgnoreCase,
    /// As user names: see [`letters::user_name_key`].
    UserName,
    /// As addresses: see [`letters::address_key`].
    Address,
}

/// The definition of an attribute or a sub-attribute (RFC 7643, section 7).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attribute {
    /// Its name, in canonical case.
    pub name: &'static str,
    /// What it is, for people.
    pub description: &'static str,
    /// The data type.
    pub data_type: Type,
    /// Whether it holds a list.
    pub multi_valued: bool,
    /// Whether a resource must have it.
    pub required: bool,
    /// Suggestions; other values are accepted.
    pub canonical_values: &'static [&'static str],
    /// The characteristic as `/Schemas` shows it; [`Self::matching`] is what comparisons go by.
    pub case_exact: bool,
    /// How values compare.
    pub matching: Matching,
    /// When it may change.
    pub mutability: Mutability,
    /// When it is returned.
    pub returned: Returned,
    /// How far it is unique.
    pub uniqueness: Uniqueness,
    /// What a reference may point to.
    pub reference_types: &'static [&'static str],
    /// What a complex attribute is made of.
    pub sub_attributes: &'static [Attribute],
}

impl Attribute {
    /// The sub-attribute of this name, in any case.
    pub fn sub_attribute(&self, name: &str) -> Option<&'static Attribute> {
        find(self.sub_attributes, name)
    }

    /// The form of `text` in which equal values are equal character by character.
    pub fn comparable<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.matching {
            Matching::Exact => Cow::Borrowed(text),
            Matching::IgnoreCase => letters::fold(text),
            Matching::UserName => letters::user_name_key(text),
            Matching::Address => letters::address_key(text),
        }
    }

    fn to_json(self) -> Value {
        let mut json = json!({
            "name": self.name,
            "type": self.data_type.as_str(),
            "multiValued": self.multi_valued,
            "description": self.description,
            "required": self.required,
            "caseExact": self.case_exact,
            "mutability": self.mutability.as_str(),
            "returned": self.returned.as_str(),
            "uniqueness": self.uniqueness.as_str(),
        });
        if let Value::Object(json) = &mut json {
            if !self.canonical_values.is_empty() {
                json.insert("canonicalValues".to_owned(), self.canonical_values.into());
            }
            if !self.reference_types.is_empty() {
                json.insert("referenceTypes".to_owned(), self.reference_types.into());
            }
            if !self.sub_attributes.is_empty() {
                let subs = self.sub_attributes.iter().map(|a| a.to_json()).collect();
                json.insert("subAttributes".to_owned(), Value::Array(subs));
            }
        }
        json
    }
}

/// A schema (RFC 7643, section 7).
#[derive(Debug, PartialEq)]
pub struct Schema {
    /// Its URN.
    pub id: &'static str,
    /// What people call it.
    pub name: &'static str,
    /// What it is, for people.
    pub description: &'static str,
    /// Its attributes.
    pub attributes: &'static [Attribute],
}

impl Schema {
    /// The Schema resource; `base` is the URL of the service provider's root.
    pub fn to_json(&self, base: &str) -> Value {
        let attributes: Vec<Value> = self.attributes.iter().map(|a| a.to_json()).collect();
        json!({
            "schemas": [SCHEMA_URN],
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "attributes": attributes,
            "meta": {
                "resourceType": "Schema",
                "location": format!("{base}/Schemas/{}", self.id),
            },
        })
    }
}

/// The schemas of the resources that the server has: what `/Schemas` lists.
pub static SCHEMAS: [&Schema; 3] = [&USER, &GROUP, &ENTERPRISE_USER];

static USER_EXTENSIONS: [&Schema; 1] = [&ENTERPRISE_USER];

/// The schema of this URN, in any case.
pub fn schema(id: &str) -> Option<&'static Schema> {
    SCHEMAS
        .into_iter()
        .find(|schema| schema.id.eq_ignore_ascii_case(id))
}

/// A type of resources (RFC 7643, section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResourceType {
    /// People.
    User,
    /// Sets of people and of groups.
    Group,
}

impl ResourceType {
    /// What `/ResourceTypes` lists.
    pub const ALL: [Self; 2] = [Self::User, Self::Group];

    /// The type of this name, in any case.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|r| r.name().eq_ignore_ascii_case(name))
    }

    /// Its name: `meta.resourceType`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
        }
    }

    /// Its endpoint, relative to the service provider's root.
    pub const fn endpoint(self) -> &'static str {
        match self {
            Self::User => "/Users",
            Self::Group => "/Groups",
        }
    }

    /// Its core schema.
    pub const fn schema(self) -> &'static Schema {
        match self {
            Self::User => &USER,
            Self::Group => &GROUP,
        }
    }

    /// Its schema extensions.
    pub const fn extensions(self) -> &'static [&'static Schema] {
        match self {
            Self::User => &USER_EXTENSIONS,
            Self::Group => &[],
        }
    }

    /// The core schema, then the extensions.
    pub fn schemas(self) -> impl Iterator<Item = &'static Schema> {
        std::iter::once(self.schema()).chain(self.extensions().iter().copied())
    }

    /// The ResourceType resource; `base` is the URL of the service provider's root.
    pub fn to_json(self, base: &str) -> Value {
        let extension = |schema: &&Schema| json!({"schema": schema.id, "required": false});
        let extensions: Vec<Value> = self.extensions().iter().map(extension).collect();
        json!({
            "schemas": [RESOURCE_TYPE_URN],
            "id": self.name(),
            "name": self.name(),
            "endpoint": self.endpoint(),
            "description": self.schema().description,
            "schema": self.schema().id,
            "schemaExtensions": extensions,
            "meta": {
                "resourceType": "ResourceType",
                "location": format!("{base}/ResourceTypes/{}", self.name()),
            },
        })
    }

    /// What `name` means on this type (RFC 7644, section 3.10): an attribute or a sub-attribute, in
    /// any case, with or without the URN of its schema, which a colon or a dot ends. A name without
    /// URN is looked for in the core schema, then in the extensions. `None` for anything else.
    pub fn attribute(self, name: &str) -> Option<AttributePath> {
        for schema in self.schemas() {
            if let Some(rest) = strip_urn(name, schema.id) {
                return self.attribute_of(schema, rest);
            }
        }
        self.schemas()
            .find_map(|schema| self.attribute_of(schema, name))
    }

    fn attribute_of(self, schema: &'static Schema, name: &str) -> Option<AttributePath> {
        let (name, sub) = match name.split_once('.') {
            Some((name, sub)) => (name, Some(sub)),
            None => (name, None),
        };
        let core = std::ptr::eq(schema, self.schema());
        let attribute = find(schema.attributes, name)
            .or_else(|| core.then(|| find(&COMMON, name)).flatten())?;
        let sub_attribute = match sub {
            Some(sub) => Some(attribute.sub_attribute(sub)?),
            None => None,
        };
        Some(AttributePath {
            extension: (!core).then_some(schema),
            attribute,
            sub_attribute,
        })
    }
}

/// The type whose endpoint is this one, as it stands in a path: `Users`, without slashes.
pub fn endpoint_type(endpoint: &str) -> Option<ResourceType> {
    let is_its = |kind: &ResourceType| kind.endpoint().trim_start_matches('/') == endpoint;
    ResourceType::ALL.into_iter().find(is_its)
}

fn find(attributes: &'static [Attribute], name: &str) -> Option<&'static Attribute> {
    attributes
        .iter()
        .find(|attribute| attribute.name.eq_ignore_ascii_case(name))
}

/// Whether a text looks like the address of a mailbox.
pub fn is_address(text: &str) -> bool {
    text.split_once('@')
        .is_some_and(|(local, domain)| !local.is_empty() && domain.contains('.'))
}

/// What follows `urn` and a colon or a dot.
fn strip_urn<'a>(name: &'a str, urn: &str) -> Option<&'a str> {
    let head = name.get(..urn.len())?;
    let rest = name.get(urn.len()..)?;
    head.eq_ignore_ascii_case(urn)
        .then(|| rest.strip_prefix([':', '.']))
        .flatten()
}

/// An attribute or a sub-attribute of a resource type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttributePath {
    /// The extension that defines it; `None` for the core schema and the common attributes.
    pub extension: Option<&'static Schema>,
    /// The attribute.
    pub attribute: &'static Attribute,
    /// The sub-attribute that is meant, if it is not the whole attribute.
    pub sub_attribute: Option<&'static Attribute>,
}

impl AttributePath {
    /// What the path ends in.
    pub fn leaf(&self) -> &'static Attribute {
        self.sub_attribute.unwrap_or(self.attribute)
    }

    /// The path to a sub-attribute of the same attribute.
    pub fn with_sub(self, sub_attribute: &'static Attribute) -> Self {
        Self {
            sub_attribute: Some(sub_attribute),
            ..self
        }
    }

    /// A text for the attribute without the blanks around it, if it is an address: they are never
    /// part of one.
    pub fn trimmed<'a>(&self, text: &'a str) -> &'a str {
        let bare = text.trim();
        let is_its_place = match (self.attribute.name, self.leaf().name) {
            ("emails", "value") => true,
            ("userName", _) => is_address(bare),
            _ => false,
        };
        if is_its_place { bare } else { text }
    }

    /// The value of [`Self::attribute`] in a canonical resource.
    pub fn get<'a>(&self, resource: &'a Map<String, Value>) -> Option<&'a Value> {
        match self.extension {
            Some(schema) => resource.get(schema.id)?.get(self.attribute.name),
            None => resource.get(self.attribute.name),
        }
    }
}

impl fmt::Display for AttributePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = self.extension {
            write!(f, "{}:", schema.id)?;
        }
        f.write_str(self.attribute.name)?;
        match self.sub_attribute {
            Some(sub) => write!(f, ".{}", sub.name),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(resource_type: ResourceType, name: &str) -> Option<String> {
        resource_type.attribute(name).map(|path| path.to_string())
    }

    #[test]
    fn names_resolve_in_any_case_with_and_without_urn() {
        let manager = format!("{ENTERPRISE_USER_URN}:manager");
        let department = format!("{ENTERPRISE_USER_URN}:department");
        for (name, expected) in [
            ("DisplayName", "displayName"), // row 26
            ("emails.Value", "emails.value"),
            ("meta.lastmodified", "meta.lastModified"), // row 30
            ("members.$REF", ""),
            ("manager", &manager), // row 16
            (
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User.department", // row 24
                &department,
            ),
            (
                "URN:ietf:params:scim:schemas:core:2.0:User:name.GIVENNAME",
                "name.givenName",
            ),
            ("urn:ietf:params:scim:schemas:core:2.0:User:department", ""),
            ("urn:ietf:params:scim:schemas:core:2.0:Group:members", ""),
            ("urn:example:department", ""),
            ("name.givenName.x", ""),
            ("userName.x", ""),
            ("", ""),
        ] {
            let found = canonical(ResourceType::User, name).unwrap_or_default();
            assert_eq!(found, expected, "{name}");
        }
        assert_eq!(
            canonical(ResourceType::Group, "members.$REF").as_deref(),
            Some("members.$ref")
        );
    }

    #[test]
    fn user_names_are_prepared_before_they_compare() {
        for (one, other) in [
            ("Bjensen@Example.com", "bjensen@example.com"),
            ("ｂｊｅｎｓｅｎ", "bjensen"),
            ("Ju\u{308}rgen", "jürgen"),
        ] {
            assert_eq!(letters::user_name_key(one), letters::user_name_key(other));
        }
        assert_ne!(letters::user_name_key("a"), letters::user_name_key("b"));
    }

    // Rows 32, 85 and 106: what clients look for in the discovery documents.
    #[test]
    fn discovery_documents_are_complete() {
        for schema in SCHEMAS {
            let json = schema.to_json("https://x/scim/v2");
            assert_eq!(json["id"], schema.id);
            assert_eq!(
                json["meta"]["location"],
                format!("https://x/scim/v2/Schemas/{}", schema.id)
            );
            assert!(!json.to_string().contains("null"));
            for attribute in json["attributes"].as_array().unwrap() {
                for property in [
                    "type",
                    "multiValued",
                    "mutability",
                    "returned",
                    "uniqueness",
                ] {
                    assert!(!attribute[property].is_null(), "{attribute}: {property}");
                }
            }
        }
        let user = USER.to_json("");
        let named = |name: &str| {
            let attributes = user["attributes"].as_array().unwrap();
            attributes.iter().find(|a| a["name"] == name).unwrap()
        };
        assert_eq!(named("externalId")["caseExact"], true);
        assert_eq!(named("userName")["required"], true);
        assert_eq!(named("userName")["uniqueness"], "server");
        assert_eq!(
            named("emails")["subAttributes"][2]["canonicalValues"],
            json!(["work", "home", "other"])
        );
        assert_eq!(schema(&GROUP_URN.to_uppercase()).unwrap().name, "Group");
        let group = ResourceType::named("group").unwrap().to_json("https://x");
        assert_eq!(group["endpoint"], "/Groups");
        assert_eq!(group["schemaExtensions"], json!([]));
    }

    #[test]
    fn no_complex_attribute_is_inside_another() {
        for attribute in SCHEMAS.iter().flat_map(|s| s.attributes).chain(&COMMON) {
            let complex = attribute.data_type == Type::Complex;
            assert_eq!(complex, !attribute.sub_attributes.is_empty());
            assert!(
                attribute
                    .sub_attributes
                    .iter()
                    .all(|s| s.sub_attributes.is_empty())
            );
        }
    }
}
