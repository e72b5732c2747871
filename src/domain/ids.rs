//! Identifiers: UUIDv7 (RFC 9562, section 5.7), one type a noun, so that no two can be mixed up.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// The bare UUID, for storage and the wire.
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::try_parse(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

ids! {
    /// A tenant.
    OrganizationId;
    /// Who acts: a user or a service account.
    SubjectId;
    /// A person of an organization.
    MemberId;
    /// An application that people sign in to.
    ApplicationId;
    /// What an application may do in somebody's name.
    GrantId;
    /// An authorization request that an application pushed.
    PushedRequestId;
    /// A program of an organization.
    ServiceAccountId;
    /// A group of an organization, whoever made it.
    GroupId;
    /// That somebody is in a group.
    MembershipId;
    /// That the members of a group have a role.
    RoleAssignmentId;
    /// A bearer token of a member.
    PersonalAccessTokenId;
    /// A bearer token of an operator.
    OperatorTokenId;
    /// A user or a group of a SCIM configuration: what its client knows it by. No member has this identifier.
    ResourceId;
    /// A bearer token of the API.
    ApiTokenId;
    /// An OpenID Connect provider of an organization.
    SsoConfigurationId;
    /// A SCIM endpoint of an organization.
    ScimConfigurationId;
    /// The session of a person who signed in.
    SessionId;
    /// A try to sign in, from its start on: the reference that a person is shown.
    LoginId;
    /// A domain that an organization says it owns.
    DomainVerificationId;
    /// An address that events are sent to.
    WebhookId;
    /// A link with which somebody without an account sets something up.
    SetupLinkId;
    /// A row of the audit log.
    AuditEntryId;
    /// A stream of security events, which a receiver follows.
    EventStreamId;
}
