//! Organizations: the tenants.

use chrono::{DateTime, Utc};

use super::ids::OrganizationId;
use super::text;
use crate::error::{Error, Violation, no_violations};

/// A tenant. Nothing of one is visible to another.
#[derive(Clone, Debug)]
pub struct Organization {
    /// Its identifier.
    pub id: OrganizationId,
    /// What people call it. Need not be unique.
    pub name: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// The most code points of an organization's name.
pub const MAX_NAME_LENGTH: usize = 128;

/// Checks an organization's name: 1 to [`MAX_NAME_LENGTH`] code points.
///
/// # Errors
///
/// [`Error::Invalid`] on `name`.
pub fn check_name(name: &str) -> Result<(), Error> {
    let mut violations = text::unstorable([("name", name)]);
    if name.trim().is_empty() || name.chars().count() > MAX_NAME_LENGTH {
        violations.push(Violation::new(
            "name",
            Violation::LENGTH,
            format!("must have 1 to {MAX_NAME_LENGTH} characters"),
        ));
    }
    no_violations(violations)
}
