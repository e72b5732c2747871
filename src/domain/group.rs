//! Groups, and who is in them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::audit::{Audited, SubjectType};
use super::identity::Principal;
use super::ids::{GroupId, MembershipId, SubjectId};

/// A group.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its identifier.
    pub id: GroupId,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Whether an identity provider pushes it.
    pub system_managed: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// How many are in the group itself.
    pub member_count: i64,
}

impl Audited for Group {
    const SUBJECT: SubjectType = SubjectType::Group;

    fn subject_id(&self) -> Uuid {
        self.id.as_uuid()
    }

    fn audited(&self) -> Value {
        json!({ "name": self.name, "description": self.description })
    }
}

/// That somebody is in a group.
#[derive(Clone, Debug, Serialize)]
pub struct Membership {
    /// Its identifier.
    pub id: MembershipId,
    /// The group.
    pub group_id: GroupId,
    /// Who is in it.
    pub subject_id: SubjectId,
    /// Whether that is a member or a service account.
    pub principal: Principal,
    /// The name of whoever it is.
    #[serde(skip)]
    pub name: String,
    /// Where the picture is; may be empty.
    #[serde(skip)]
    pub avatar_url: String,
}

/// The log tells of it as a change of the group.
impl Audited for Membership {
    const SUBJECT: SubjectType = SubjectType::GroupMembership;

    fn subject_id(&self) -> Uuid {
        self.group_id.as_uuid()
    }

    fn audited(&self) -> Value {
        json!(self)
    }
}
