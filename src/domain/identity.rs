//! Who calls, and what they may do.

use std::ops::Deref;

use uuid::Uuid;

use super::ids::{MemberId, OrganizationId, ScimConfigurationId, SubjectId};
use super::names::named;
use crate::error::Error;

named! {
    /// What a member or service account may do in its organization.
    pub enum Role {
        /// Everything.
        Admin = "admin",
        /// Use the organization, without a say in its configuration.
        Member = "member",
    }
}

named! {
    /// The kind of a subject: the values of `gitpod.v1.Principal` that Rollcall uses, by their names without prefix, and one of our own.
    pub enum Principal {
        /// A person.
        User = "user",
        /// A program, or an operator's token.
        ServiceAccount = "service_account",
        /// A SCIM configuration: the identity provider that pushes to it.
        ScimConfiguration = "scim_configuration",
    }
}

/// Who acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Whose identifier it is depends on `principal`.
    pub id: SubjectId,
    /// What kind of subject it is.
    pub principal: Principal,
}

impl From<MemberId> for Subject {
    fn from(member: MemberId) -> Self {
        Self {
            id: member.as_uuid().into(),
            principal: Principal::User,
        }
    }
}

impl From<ScimConfigurationId> for Subject {
    fn from(configuration: ScimConfigurationId) -> Self {
        Self {
            id: configuration.as_uuid().into(),
            principal: Principal::ScimConfiguration,
        }
    }
}

impl Subject {
    /// Whoever runs a command on the database: nobody that an organization knows.
    pub fn operator() -> Self {
        Self {
            id: Uuid::nil().into(),
            principal: Principal::ServiceAccount,
        }
    }
}

/// Whom a method of the API is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Everybody, without a token or a session.
    Everybody,
    /// Every member and service account of the organization, in any role.
    Member,
    /// Administrators of the organization.
    Administrator,
}

/// What a method of the API does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It changes nothing: tokens that may only read may call it.
    Reads,
    /// It changes something.
    Writes,
}

/// Who may call a method of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Whom it is for.
    pub audience: Audience,
    /// What it does.
    pub effect: Effect,
}

/// An authenticated caller of the API: the only source of the tenant of a request.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// The organization that the token belongs to.
    pub organization_id: OrganizationId,
    /// Whom the token stands for.
    pub subject: Subject,
    /// The subject's role in the organization.
    pub role: Role,
    /// Whether the token may only read.
    pub read_only: bool,
}

impl Caller {
    /// Lets the caller read what is for an audience.
    ///
    /// # Errors
    ///
    /// [`Error::PermissionDenied`] for everybody who does not belong to the audience.
    pub fn reader(&self, audience: Audience) -> Result<Reader<'_>, Error> {
        match (audience, self.role) {
            (Audience::Everybody | Audience::Member, _)
            | (Audience::Administrator, Role::Admin) => Ok(Reader(self)),
            (Audience::Administrator, Role::Member) => Err(Error::PermissionDenied(
                "only an administrator of the organization may do this: use a token with the admin role",
            )),
        }
    }

    /// Lets the caller change what an audience may change.
    ///
    /// # Errors
    ///
    /// [`Error::PermissionDenied`] for everybody who does not belong to the audience, and for a token that may only read.
    pub fn writer(&self, audience: Audience) -> Result<Writer<'_>, Error> {
        let reader = self.reader(audience)?;
        if self.read_only {
            return Err(Error::PermissionDenied(
                "the token is read-only: use one that may write",
            ));
        }
        Ok(Writer(reader))
    }
}

/// A caller who may read what is asked for. Only [`Caller::reader`] makes one.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a Caller);

impl Reader<'_> {
    /// The organization that a request names by its identifier: it has to be the caller's.
    ///
    /// # Errors
    ///
    /// [`Error::PermissionDenied`] for any other, whether it exists or not.
    pub fn organization(&self, named: &str) -> Result<OrganizationId, Error> {
        match Uuid::try_parse(named) {
            Ok(id) if id == self.organization_id.as_uuid() => Ok(self.organization_id),
            _ => Err(Error::PermissionDenied(
                "the token belongs to another organization: use that organization's token, or this token's organization_id",
            )),
        }
    }
}

impl Deref for Reader<'_> {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        self.0
    }
}

/// A caller who may make the change that is asked for. Only [`Caller::writer`] makes one.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a>(Reader<'a>);

impl<'a> Deref for Writer<'a> {
    type Target = Reader<'a>;

    fn deref(&self) -> &Reader<'a> {
        &self.0
    }
}
