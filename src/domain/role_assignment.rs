//! Roles that the members of a group have.

use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::audit::{Audited, SubjectType};
use super::ids::{GroupId, RoleAssignmentId};

/// That the members of a group have a role on something.
#[derive(Clone, Debug, Serialize)]
pub struct RoleAssignment {
    /// Its identifier.
    pub id: RoleAssignmentId,
    /// The group.
    pub group_id: GroupId,
    /// What kind of thing the role is on: the name of a `gitpod.v1.ResourceType` without prefix, in lower case.
    pub resource_type: String,
    /// What the role is on.
    pub resource_id: Uuid,
    /// The role: the name of a `gitpod.v1.ResourceRole` without prefix, in lower case.
    pub role: String,
}

impl Audited for RoleAssignment {
    const SUBJECT: SubjectType = SubjectType::RoleAssignment;

    fn subject_id(&self) -> Uuid {
        self.id.as_uuid()
    }

    fn audited(&self) -> Value {
        json!(self)
    }
}
