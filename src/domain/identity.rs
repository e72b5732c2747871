//! Who calls, and what they may do.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use super::ids::{OrganizationId, SubjectId};
use crate::error::Error;

/// What a member or service account may do in its organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Admin,
    /// Use the organization, without a say in its configuration.
    Member,
}

impl Role {
    /// The name in settings and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Member => "member",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "admin" => Ok(Self::Admin),
            "member" => Ok(Self::Member),
            _ => Err(format!("{text:?} is no role: give admin or member")),
        }
    }
}

/// The kind of a subject: the values of `gitpod.v1.Principal` that Rollcall uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Principal {
    /// A person.
    User,
    /// A program, or an operator's token.
    ServiceAccount,
}

impl Principal {
    /// The name in the database: that of the wire without its prefix, in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::ServiceAccount => "service_account",
        }
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

impl Subject {
    /// Whoever runs a command on the database: nobody that an organization knows.
    pub fn operator() -> Self {
        Self {
            id: Uuid::nil().into(),
            principal: Principal::ServiceAccount,
        }
    }
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
    /// Lets administrators read.
    ///
    /// # Errors
    ///
    /// [`Error::PermissionDenied`] for everybody else.
    pub fn may_read(&self) -> Result<(), Error> {
        match self.role {
            Role::Admin => Ok(()),
            Role::Member => Err(Error::PermissionDenied(
                "only an administrator of the organization may do this: use a token with the admin role",
            )),
        }
    }

    /// Lets administrators write, unless their token is read-only.
    ///
    /// # Errors
    ///
    /// [`Error::PermissionDenied`] for everybody else.
    pub fn may_write(&self) -> Result<(), Error> {
        self.may_read()?;
        if self.read_only {
            return Err(Error::PermissionDenied(
                "the token is read-only: use one that may write",
            ));
        }
        Ok(())
    }

    /// Makes sure that a request that names an organization means the caller's.
    ///
    /// # Errors
    ///
    /// [`Error::PermissionDenied`] for any other, whether it exists or not.
    pub fn belongs_to(&self, organization_id: OrganizationId) -> Result<(), Error> {
        if organization_id == self.organization_id {
            return Ok(());
        }
        Err(Error::PermissionDenied(
            "the token belongs to another organization: use that organization's token, or this token's organization_id",
        ))
    }
}
