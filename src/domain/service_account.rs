//! Service accounts and their tokens.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::audit::{Audited, SubjectType};
use super::identity::Subject;
use super::ids::{ApiTokenId, ServiceAccountId};

/// How long a token lives that is made without a time.
pub const DEFAULT_TOKEN_LIFETIME: TimeDelta = TimeDelta::days(90);
/// How long the token lives with which a program makes a lasting one.
pub const ACCESS_TOKEN_LIFETIME: TimeDelta = TimeDelta::hours(1);

/// A program that acts in an organization.
#[derive(Clone, Debug)]
pub struct ServiceAccount {
    /// Its identifier.
    pub id: ServiceAccountId,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Who made it; `None` for an operator's command.
    pub creator: Option<Subject>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// After this moment, its tokens open nothing.
    pub valid_until: Option<DateTime<Utc>>,
    /// Whether an administrator keeps it out.
    pub is_suspended: bool,
}

impl Audited for ServiceAccount {
    const SUBJECT: SubjectType = SubjectType::ServiceAccount;

    fn subject_id(&self) -> Uuid {
        self.id.as_uuid()
    }

    fn audited(&self) -> Value {
        json!({
            "name": self.name,
            "description": self.description,
            "valid_until": self.valid_until,
            "suspended": self.is_suspended,
        })
    }
}

/// A token of a service account. The token itself is kept as a hash alone.
#[derive(Clone, Debug, Serialize)]
pub struct ServiceAccountToken {
    /// Its identifier.
    pub id: ApiTokenId,
    /// Whose it is.
    pub service_account_id: ServiceAccountId,
    /// What it is for.
    pub description: String,
    /// Who made it; `None` for an operator's command.
    #[serde(skip)]
    pub creator: Option<Subject>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends, if ever.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    #[serde(skip)]
    pub last_used_at: Option<DateTime<Utc>>,
    /// Whether it ends soon, and is in no list.
    pub is_access_token: bool,
}

impl Audited for ServiceAccountToken {
    const SUBJECT: SubjectType = SubjectType::ServiceAccountToken;

    fn subject_id(&self) -> Uuid {
        self.id.as_uuid()
    }

    fn audited(&self) -> Value {
        json!(self)
    }
}
