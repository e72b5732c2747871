//! Links with which somebody without an account sets up an organization's ways in.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::application::check_redirect;
use super::audit::{Audited, SubjectType};
use super::identity::{Permissions, Subject};
use super::ids::{OrganizationId, SetupLinkId};
use super::text;
use crate::error::{Error, Violation, no_violations};

/// How long a link opens something that is made without a time.
pub const DEFAULT_LIFETIME: TimeDelta = TimeDelta::days(7);

/// How long one that ended is kept, to be seen.
pub const KEPT: TimeDelta = TimeDelta::days(30);

/// The most links of an organization that open something at once.
pub const MAX_LINKS: usize = 20;

/// A link. Its token is kept as a hash alone.
#[derive(Clone, Debug)]
pub struct SetupLink {
    /// The organization that is set up.
    pub organization_id: OrganizationId,
    /// Its identifier.
    pub id: SetupLinkId,
    /// Who it is for; may be empty.
    pub description: String,
    /// What it is for.
    pub permissions: Permissions,
    /// Where the person goes when done; may be empty.
    pub return_url: String,
    /// Who made it.
    pub created_by: Subject,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends by itself.
    pub expires_at: DateTime<Utc>,
    /// When it was first used, to the minute.
    pub first_used_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When somebody ended it.
    pub revoked_at: Option<DateTime<Utc>>,
}

impl SetupLink {
    /// Whether it opens nothing any more.
    pub fn has_ended(&self, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_some() || now >= self.expires_at
    }

    /// Checks what is said of a new link, beside the rules of the `.proto` file.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] on `description` and `return_url`.
    pub fn check(&self) -> Result<(), Error> {
        let mut violations = text::unstorable([("description", &*self.description)]);
        if !self.return_url.is_empty()
            && let Err(message) = check_redirect(&self.return_url)
        {
            violations.push(Violation::new("return_url", Violation::URI, message));
        }
        no_violations(violations)
    }
}

impl Audited for SetupLink {
    const SUBJECT: SubjectType = SubjectType::SetupLink;

    fn subject_id(&self) -> Uuid {
        self.id.as_uuid()
    }

    fn audited(&self) -> Value {
        json!({
            "description": self.description,
            "permissions": self.permissions.iter().map(|one| one.as_str()).collect::<Vec<_>>(),
            "return_url": self.return_url,
            "expires_at": self.expires_at,
            "revoked_at": self.revoked_at,
        })
    }
}
