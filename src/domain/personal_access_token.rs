//! Personal access tokens.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::audit::{Audited, SubjectType};
use super::ids::{MemberId, PersonalAccessTokenId};

/// How long a token lives that is made without a time.
pub const DEFAULT_LIFETIME: TimeDelta = TimeDelta::days(30);

/// The most tokens that a member may have at once.
pub const MOST: i64 = 100;

/// A token with which a program does what a member may do. The token itself is kept as a hash alone.
#[derive(Clone, Debug, Serialize)]
pub struct PersonalAccessToken {
    /// Its identifier.
    pub id: PersonalAccessTokenId,
    /// The member.
    pub user_id: MemberId,
    /// What the member calls it.
    pub description: String,
    /// Whether it may only read.
    pub read_only: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// When it was last used, to the minute.
    #[serde(skip)]
    pub last_used_at: Option<DateTime<Utc>>,
}

impl Audited for PersonalAccessToken {
    const SUBJECT: SubjectType = SubjectType::PersonalAccessToken;

    fn subject_id(&self) -> Uuid {
        self.id.as_uuid()
    }

    fn audited(&self) -> Value {
        json!(self)
    }
}
