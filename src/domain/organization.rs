//! Organizations: the tenants.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::audit::{Audited, SubjectType};
use super::ids::OrganizationId;
use super::letters::domain_key;
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
    /// The domains of those who may join.
    pub invite_domains: Vec<String>,
}

impl Audited for Organization {
    const SUBJECT: SubjectType = SubjectType::Organization;

    fn subject_id(&self) -> Uuid {
        self.id.as_uuid()
    }

    fn audited(&self) -> Value {
        json!({ "name": self.name, "invite_domains": self.invite_domains })
    }
}

/// The most domains of those who may join.
pub const MAX_INVITE_DOMAINS: usize = 100;

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

/// Checks the domains of those who may join, and takes them in the form in which equal ones are equal.
///
/// # Errors
///
/// [`Error::Invalid`] on `invite_domains`.
pub fn invite_domains(given: &[String]) -> Result<Vec<String>, Error> {
    let mut violations = vec![];
    if given.len() > MAX_INVITE_DOMAINS {
        violations.push(Violation::new(
            "invite_domains.domains",
            Violation::COUNT,
            format!("must have at most {MAX_INVITE_DOMAINS} entries"),
        ));
    }
    let mut domains: Vec<String> = vec![];
    for (place, domain) in given.iter().enumerate() {
        let key = domain_key(domain.trim()).into_owned();
        let field = format!("invite_domains.domains[{place}]");
        if !text::is_domain(&key) {
            violations.push(Violation::new(
                field,
                Violation::DOMAIN,
                "must be a domain name such as example.com",
            ));
        } else if domains.contains(&key) {
            violations.push(Violation::new(
                field,
                Violation::UNIQUE,
                "must not stand in the list twice",
            ));
        } else {
            domains.push(key);
        }
    }
    no_violations(violations)?;
    Ok(domains)
}
