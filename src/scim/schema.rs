//! The one registry of attribute definitions (RFC 7643, sections 3.1, 4 and 8.7): validation,
//! `/Schemas`, projection, filters and PATCH all read it.
//!
//! It follows section 8.7, with what the RFC's own text and examples add: `members.display`,
//! `addresses.primary`, and `id` and `externalId` listed in User and Group, because clients look
//! for them there. Section 8.7 prints `required: false` for a Group's `displayName`; section 4.2
//! requires it, and so does the registry.

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Value, json};

use crate::domain::letters;

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

/// Enums of keywords.
macro_rules! keywords {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The keyword on the wire.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }
    )+};
}

pub(super) use keywords;

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
    const fn new(name: &'static str, data_type: Type, description: &'static str) -> Self {
        Self {
            name,
            description,
            data_type,
            multi_valued: false,
            required: false,
            canonical_values: &[],
            case_exact: false,
            matching: match data_type {
                Type::Binary | Type::Reference => Matching::Exact,
                _ => Matching::IgnoreCase,
            },
            mutability: Mutability::ReadWrite,
            returned: Returned::Default,
            uniqueness: Uniqueness::None,
            reference_types: &[],
            sub_attributes: &[],
        }
    }

    const fn string(name: &'static str, description: &'static str) -> Self {
        Self::new(name, Type::String, description)
    }

    const fn reference(
        name: &'static str,
        reference_types: &'static [&'static str],
        description: &'static str,
    ) -> Self {
        Self {
            reference_types,
            ..Self::new(name, Type::Reference, description)
        }
    }

    const fn complex(
        name: &'static str,
        sub_attributes: &'static [Attribute],
        description: &'static str,
    ) -> Self {
        Self {
            sub_attributes,
            ..Self::new(name, Type::Complex, description)
        }
    }

    const fn multi(mut self) -> Self {
        self.multi_valued = true;
        self
    }

    const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    const fn canonical(mut self, values: &'static [&'static str]) -> Self {
        self.canonical_values = values;
        self
    }

    const fn case_exact(mut self) -> Self {
        self.case_exact = true;
        self.matched(Matching::Exact)
    }

    const fn matched(mut self, matching: Matching) -> Self {
        self.matching = matching;
        self
    }

    const fn read_only(self) -> Self {
        self.mutable(Mutability::ReadOnly)
    }

    const fn mutable(mut self, mutability: Mutability) -> Self {
        self.mutability = mutability;
        self
    }

    const fn returned(mut self, returned: Returned) -> Self {
        self.returned = returned;
        self
    }

    const fn unique(mut self) -> Self {
        self.uniqueness = Uniqueness::Server;
        self
    }

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

fn find(attributes: &'static [Attribute], name: &str) -> Option<&'static Attribute> {
    attributes
        .iter()
        .find(|attribute| attribute.name.eq_ignore_ascii_case(name))
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

/// Common attributes that belong to every type and are listed in no schema (RFC 7643,
/// section 3.1).
static COMMON: [Attribute; 2] = [
    Attribute::reference("schemas", &["uri"], "The URNs of the schemas in use.")
        .multi()
        .required()
        .case_exact()
        .read_only()
        .returned(Returned::Always),
    Attribute::complex("meta", &META, "Metadata of the resource.").read_only(),
];

static META: [Attribute; 5] = [
    Attribute::string("resourceType", "The name of the resource's type.")
        .case_exact()
        .read_only(),
    Attribute::new("created", Type::DateTime, "When the resource was added.").read_only(),
    Attribute::new(
        "lastModified",
        Type::DateTime,
        "When the resource was last changed.",
    )
    .read_only(),
    Attribute::reference("location", &["uri"], "The URI of the resource.").read_only(),
    Attribute::string("version", "The resource's version: its entity-tag.")
        .case_exact()
        .read_only(),
];

const ID: Attribute =
    Attribute::string("id", "The service provider's identifier for the resource.")
        .case_exact()
        .read_only()
        .returned(Returned::Always)
        .unique();

const EXTERNAL_ID: Attribute = Attribute::string(
    "externalId",
    "The provisioning client's identifier for the resource.",
)
.case_exact();

const DISPLAY: Attribute = Attribute::string("display", "A human-readable name for display.");

const KIND: Attribute = Attribute::string("type", "A label indicating the attribute's function.");

const PRIMARY: Attribute = Attribute::new(
    "primary",
    Type::Boolean,
    "Whether this is the preferred value: true at most once.",
);

static USER: Schema = Schema {
    id: USER_URN,
    name: "User",
    description: "User Account",
    attributes: &[
        ID,
        EXTERNAL_ID,
        Attribute::string(
            "userName",
            "Unique identifier for the User, typically used to sign in.",
        )
        .required()
        .matched(Matching::UserName)
        .unique(),
        Attribute::complex("name", &NAME, "The components of the user's real name."),
        Attribute::string("displayName", "The name of the User, suitable for display."),
        Attribute::string(
            "nickName",
            "The casual way to address the user, e.g., 'Bob'.",
        ),
        Attribute::reference(
            "profileUrl",
            &["external"],
            "The URL of the User's online profile.",
        ),
        Attribute::string("title", "The user's title, such as 'Vice President'."),
        Attribute::string(
            "userType",
            "The relationship to the organization, e.g., 'Contractor'.",
        ),
        Attribute::string("preferredLanguage", "The User's preferred language."),
        Attribute::string(
            "locale",
            "The User's default location for localizing, e.g., currency.",
        ),
        Attribute::string(
            "timezone",
            "The User's time zone, e.g., 'America/Los_Angeles'.",
        ),
        Attribute::new(
            "active",
            Type::Boolean,
            "Whether the User may sign in: false suspends.",
        ),
        Attribute::string("password", "Accepted, never stored and never returned.")
            .mutable(Mutability::WriteOnly)
            .returned(Returned::Never),
        Attribute::complex("emails", &EMAIL, "Email addresses for the user.").multi(),
        Attribute::complex("phoneNumbers", &PHONE_NUMBER, "Phone numbers for the User.").multi(),
        Attribute::complex("ims", &IM, "Instant messaging addresses for the User.").multi(),
        Attribute::complex("photos", &PHOTO, "URLs of photos of the User.").multi(),
        Attribute::complex(
            "addresses",
            &ADDRESS,
            "Physical mailing addresses for this User.",
        )
        .multi(),
        Attribute::complex(
            "groups",
            &USER_GROUP,
            "The groups of the User, direct and through nested groups.",
        )
        .multi()
        .read_only(),
        Attribute::complex("entitlements", &LABEL, "Things that the User has.").multi(),
        Attribute::complex(
            "roles",
            &LABEL,
            "What the User is, e.g., 'Student', 'Faculty'.",
        )
        .multi(),
        Attribute::complex(
            "x509Certificates",
            &CERTIFICATE,
            "Certificates issued to the User.",
        )
        .multi(),
    ],
};

static NAME: [Attribute; 6] = [
    Attribute::string("formatted", "The full name, formatted for display."),
    Attribute::string("familyName", "The family name of the User, or last name."),
    Attribute::string("givenName", "The given name of the User, or first name."),
    Attribute::string("middleName", "The middle name(s) of the User."),
    Attribute::string("honorificPrefix", "The honorific prefix(es), e.g., 'Ms.'."),
    Attribute::string("honorificSuffix", "The honorific suffix(es), e.g., 'III'."),
];

/// The sub-attributes of most multi-valued attributes (RFC 7643, section 2.4).
const fn labelled(value: Attribute, types: &'static [&'static str]) -> [Attribute; 4] {
    [value, DISPLAY, KIND.canonical(types), PRIMARY]
}

static EMAIL: [Attribute; 4] = labelled(
    Attribute::string("value", "An email address for the user.").matched(Matching::Address),
    &["work", "home", "other"],
);

static PHONE_NUMBER: [Attribute; 4] = labelled(
    Attribute::string("value", "A phone number of the User."),
    &["work", "home", "mobile", "fax", "pager", "other"],
);

static IM: [Attribute; 4] = labelled(
    Attribute::string("value", "An instant messaging address for the User."),
    &["aim", "gtalk", "icq", "xmpp", "msn", "skype", "qq", "yahoo"],
);

static PHOTO: [Attribute; 4] = labelled(
    Attribute::reference("value", &["external"], "The URL of a photo of the User."),
    &["photo", "thumbnail"],
);

static LABEL: [Attribute; 4] = labelled(Attribute::string("value", "The value itself."), &[]);

static CERTIFICATE: [Attribute; 4] = labelled(
    Attribute::new(
        "value",
        Type::Binary,
        "An X.509 certificate: DER in base64.",
    ),
    &[],
);

static ADDRESS: [Attribute; 8] = [
    Attribute::string(
        "formatted",
        "The full mailing address, formatted for display.",
    ),
    Attribute::string("streetAddress", "House number, street name, P.O. box."),
    Attribute::string("locality", "The city or locality component."),
    Attribute::string("region", "The state or region component."),
    Attribute::string("postalCode", "The zip code or postal code component."),
    Attribute::string("country", "The country name component."),
    KIND.canonical(&["work", "home", "other"]),
    PRIMARY,
];

static USER_GROUP: [Attribute; 4] = [
    Attribute::string("value", "The id of the group.")
        .matched(Matching::Exact)
        .read_only(),
    Attribute::reference("$ref", &["User", "Group"], "The URI of the group.").read_only(),
    DISPLAY.read_only(),
    KIND.canonical(&["direct", "indirect"]).read_only(),
];

static GROUP: Schema = Schema {
    id: GROUP_URN,
    name: "Group",
    description: "Group",
    attributes: &[
        ID,
        EXTERNAL_ID,
        Attribute::string("displayName", "A human-readable name for the Group.").required(),
        Attribute::complex("members", &MEMBER, "A list of members of the Group.").multi(),
    ],
};

static MEMBER: [Attribute; 4] = [
    Attribute::string("value", "The id of the member.")
        .matched(Matching::Exact)
        .mutable(Mutability::Immutable),
    Attribute::reference("$ref", &["User", "Group"], "The URI of the member.")
        .mutable(Mutability::Immutable),
    KIND.canonical(&["User", "Group"])
        .mutable(Mutability::Immutable),
    DISPLAY.mutable(Mutability::Immutable),
];

static ENTERPRISE_USER: Schema = Schema {
    id: ENTERPRISE_USER_URN,
    name: "EnterpriseUser",
    description: "Enterprise User",
    attributes: &[
        Attribute::string(
            "employeeNumber",
            "The identifier that the organization gave the person.",
        ),
        Attribute::string("costCenter", "Identifies the name of a cost center."),
        Attribute::string("organization", "Identifies the name of an organization."),
        Attribute::string("division", "Identifies the name of a division."),
        Attribute::string("department", "Identifies the name of a department."),
        Attribute::complex("manager", &MANAGER, "The User's manager."),
    ],
};

static MANAGER: [Attribute; 3] = [
    Attribute::string("value", "The id of the manager.").matched(Matching::Exact),
    Attribute::reference("$ref", &["User"], "The URI of the manager."),
    Attribute::string("displayName", "The manager's displayName.").read_only(),
];

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
