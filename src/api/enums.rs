//! Enumerations and subjects of the contract, and what the domain calls them: the names without prefix, in lower case.

use buffa::{EnumValue, Enumeration};
use uuid::Uuid;

use super::handler::parse_id;
use crate::domain::identity::{Principal, Role, Subject};
use crate::domain::member::MemberStatus;
use crate::error::{Error, Violation};
use proto::gitpod::v1::{
    OrganizationRole, Principal as WirePrincipal, ResourceRole, ResourceType,
    Subject as WireSubject, UserStatus,
};
use proto::rollcall::v1::{ClientAuthentication, GrantType, Scope, SetupPermission, Signature};

/// An enumeration whose names have a prefix.
pub trait Prefixed: Enumeration {
    /// Such as `RESOURCE_TYPE_`.
    const PREFIX: &'static str;
}

impl Prefixed for OrganizationRole {
    const PREFIX: &'static str = "ORGANIZATION_ROLE_";
}

impl Prefixed for ResourceRole {
    const PREFIX: &'static str = "RESOURCE_ROLE_";
}

impl Prefixed for ResourceType {
    const PREFIX: &'static str = "RESOURCE_TYPE_";
}

impl Prefixed for WirePrincipal {
    const PREFIX: &'static str = "PRINCIPAL_";
}

impl Prefixed for ClientAuthentication {
    const PREFIX: &'static str = "CLIENT_AUTHENTICATION_";
}

impl Prefixed for Signature {
    const PREFIX: &'static str = "SIGNATURE_";
}

impl Prefixed for GrantType {
    const PREFIX: &'static str = "GRANT_TYPE_";
}

impl Prefixed for Scope {
    const PREFIX: &'static str = "SCOPE_";
}

impl Prefixed for SetupPermission {
    const PREFIX: &'static str = "SETUP_PERMISSION_";
}

/// What the domain calls a value, such as `org_admin`.
pub fn short_name<E: Prefixed>(value: &E) -> String {
    let name = value.proto_name();
    name.strip_prefix(E::PREFIX)
        .unwrap_or(name)
        .to_ascii_lowercase()
}

/// The same of a field. One that this server does not know has a name that nothing has.
pub fn name<E: Prefixed>(value: &EnumValue<E>) -> String {
    value
        .as_known()
        .map_or_else(String::new, |e| short_name(&e))
}

/// The value that the domain calls so; the first one where none is.
pub fn of_name<E: Prefixed + Default>(name: &str) -> E {
    let name = format!("{}{}", E::PREFIX, name.to_ascii_uppercase());
    E::from_proto_name(&name).unwrap_or_default()
}

/// The one of `all` that a field names; `None` where it says nothing.
pub fn of_wire<E, D>(all: &[D], wire: &EnumValue<E>) -> Option<D>
where
    E: Prefixed + Default + PartialEq,
    D: Copy + ToString,
{
    let wire = wire.as_known()?;
    let is_it = |value: &D| of_name::<E>(&value.to_string()) == wire;
    all.iter().copied().find(is_it)
}

/// A value other than the one that says nothing.
///
/// # Errors
///
/// [`Error::Invalid`] on `field`.
pub fn specified<E: Prefixed>(field: &'static str, value: &EnumValue<E>) -> Result<E, Error> {
    let known = value.as_known().filter(|e| e.to_i32() != 0);
    known.ok_or_else(|| {
        let message = format!(
            "must be one of the values {}…, and not UNSPECIFIED",
            E::PREFIX
        );
        Error::invalid(field, Violation::SPECIFIED, message)
    })
}

/// A member or a service account that a request names.
///
/// # Errors
///
/// [`Error::Invalid`] on `field`.
pub fn subject(field: &'static str, wire: Option<&WireSubject>) -> Result<Subject, Error> {
    let of = |name: &str| format!("{field}.{name}");
    let wire = wire.ok_or_else(|| Error::invalid(field, Violation::REQUIRED, "is required"))?;
    let principal = match wire.principal.as_known() {
        Some(WirePrincipal::PRINCIPAL_USER) => Principal::User,
        Some(WirePrincipal::PRINCIPAL_SERVICE_ACCOUNT) => Principal::ServiceAccount,
        _ => {
            let message = "must be PRINCIPAL_USER or PRINCIPAL_SERVICE_ACCOUNT";
            return Err(Error::invalid(
                of("principal"),
                Violation::SPECIFIED,
                message,
            ));
        }
    };
    let id: Uuid = match &*wire.id {
        "" => {
            return Err(Error::invalid(of("id"), Violation::REQUIRED, "is required"));
        }
        id => parse_id("subject.id", id)?,
    };
    Ok(Subject {
        id: id.into(),
        principal,
    })
}

/// What kind of subject it is, on the wire, which knows neither SCIM configurations nor operators nor set-up links.
pub const fn wire_principal(principal: Principal) -> WirePrincipal {
    match principal {
        Principal::User => WirePrincipal::PRINCIPAL_USER,
        Principal::ServiceAccount => WirePrincipal::PRINCIPAL_SERVICE_ACCOUNT,
        Principal::ScimConfiguration | Principal::Operator | Principal::SetupLink => {
            WirePrincipal::PRINCIPAL_UNSPECIFIED
        }
    }
}

/// A subject on the wire.
pub fn wire_subject(subject: Subject) -> WireSubject {
    WireSubject {
        id: subject.id.to_string(),
        principal: wire_principal(subject.principal).into(),
        ..Default::default()
    }
}

/// The status of a member on the wire.
pub const fn user_status(status: MemberStatus) -> UserStatus {
    match status {
        MemberStatus::Active => UserStatus::USER_STATUS_ACTIVE,
        MemberStatus::Suspended => UserStatus::USER_STATUS_SUSPENDED,
        MemberStatus::Left => UserStatus::USER_STATUS_LEFT,
    }
}

/// The role of a member on the wire.
pub const fn wire_role(role: Role) -> OrganizationRole {
    match role {
        Role::Admin => OrganizationRole::ORGANIZATION_ROLE_ADMIN,
        Role::Member => OrganizationRole::ORGANIZATION_ROLE_MEMBER,
    }
}
