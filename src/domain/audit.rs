//! What the audit log records of a change.

use serde_json::Value;
use uuid::Uuid;

use super::ids::MemberId;

/// What kind of thing a change was made to: the values of `gitpod.v1.ResourceType` in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectType {
    /// An SSO configuration.
    SsoConfiguration,
    /// A SCIM configuration.
    ScimConfiguration,
    /// A domain verification.
    DomainVerification,
    /// The policies of an organization.
    OrganizationPolicy,
    /// A member.
    User,
    /// The organization itself.
    Organization,
    /// A group.
    Group,
    /// That somebody is in a group.
    GroupMembership,
    /// A role of a group.
    RoleAssignment,
    /// A service account.
    ServiceAccount,
    /// A token of a service account.
    ServiceAccountToken,
    /// A token of a member.
    PersonalAccessToken,
    /// An application, of which `gitpod.v1.ResourceType` knows nothing.
    Application,
    /// A stream of security events, of which it knows nothing either.
    EventStream,
    /// A webhook, with the same exception.
    Webhook,
    /// A set-up link, with the same exception.
    SetupLink,
    /// How the pages look on which people sign in, with the same exception.
    Brand,
}

impl SubjectType {
    /// The name in the database: that of the wire without its prefix, in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SsoConfiguration => "sso_config",
            Self::ScimConfiguration => "scim_configuration",
            Self::DomainVerification => "domain_verification",
            Self::OrganizationPolicy => "organization_policy",
            Self::User => "user",
            Self::Organization => "organization",
            Self::Group => "group",
            Self::GroupMembership => "group_membership_changed",
            Self::RoleAssignment => "role_assignment",
            Self::ServiceAccount => "service_account",
            Self::ServiceAccountToken => "service_account_token",
            Self::PersonalAccessToken => "personal_access_token",
            Self::Application => "application",
            Self::EventStream => "event_stream",
            Self::Webhook => "webhook",
            Self::SetupLink => "setup_link",
            Self::Brand => "brand",
        }
    }
}

/// One change, to be written in the transaction that makes it.
#[derive(Debug)]
pub struct Change {
    /// What was done, in the words of the API: the method's name.
    pub action: &'static str,
    /// What kind of thing it was done to.
    pub subject_type: SubjectType,
    /// What it was done to.
    pub subject_id: Uuid,
    /// The thing before, without secrets; `None` when it is new.
    pub before: Option<Value>,
    /// The thing after, without secrets; `None` when it is gone.
    pub after: Option<Value>,
}

/// How the audit log shows a thing.
pub trait Audited {
    /// What kind of thing it is.
    const SUBJECT: SubjectType;

    /// Its identifier.
    fn subject_id(&self) -> Uuid;

    /// What the log shows of it: all but its secrets.
    fn audited(&self) -> Value;
}

impl Change {
    /// Of a thing that is new.
    pub fn created<T: Audited>(action: &'static str, after: &T) -> Self {
        Self {
            after: Some(after.audited()),
            ..Self::of(action, after)
        }
    }

    /// Of a thing that is another now.
    pub fn updated<T: Audited>(action: &'static str, before: &T, after: &T) -> Self {
        Self {
            before: Some(before.audited()),
            after: Some(after.audited()),
            ..Self::of(action, after)
        }
    }

    /// Of a thing that is gone.
    pub fn deleted<T: Audited>(action: &'static str, before: &T) -> Self {
        Self {
            before: Some(before.audited()),
            ..Self::of(action, before)
        }
    }

    /// Of a member, or of what is a member's.
    pub fn of_member(
        action: &'static str,
        member: MemberId,
        before: Option<Value>,
        after: Option<Value>,
    ) -> Self {
        Self {
            action,
            subject_type: SubjectType::User,
            subject_id: member.as_uuid(),
            before,
            after,
        }
    }

    fn of<T: Audited>(action: &'static str, subject: &T) -> Self {
        Self {
            action,
            subject_type: T::SUBJECT,
            subject_id: subject.subject_id(),
            before: None,
            after: None,
        }
    }
}
