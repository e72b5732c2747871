//! The definitions: every attribute of every schema (RFC 7643, sections 3.1, 4 and 8.7).
//!
//! They follow section 8.7, with what the RFC's own text and examples add: `members.display`,
//! `addresses.primary`, and `id` and `externalId` listed in User and Group, because clients look
//! for them there. Section 8.7 prints `required: false` for a Group's `displayName`; section 4.2
//! requires it, and so do these.

use super::{
    Attribute, ENTERPRISE_USER_URN, GROUP_URN, Matching, Mutability, Returned, Schema, Type,
    USER_URN, Uniqueness,
};

/// A definition begins with what most attributes are: one optional value, compared without regard to case, which the
/// client may change and sees by default. The methods that follow say what differs.
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
}

/// Common attributes that belong to every type and are listed in no schema (RFC 7643,
/// section 3.1).
pub(super) static COMMON: [Attribute; 2] = [
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

pub(super) static USER: Schema = Schema {
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

pub(super) static GROUP: Schema = Schema {
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

pub(super) static ENTERPRISE_USER: Schema = Schema {
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
