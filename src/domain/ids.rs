//! Identifiers: UUIDv7 (RFC 9562, section 5.7), one type a noun, so that no two can be mixed up.

use std::fmt;

use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
    /// A row of the audit log.
    AuditEntryId;
}
