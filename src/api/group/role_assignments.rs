//! The roles of groups, over the API.

use uuid::Uuid;

use crate::api::enums;
use crate::api::handler::{begin, optional_id, parse_id, parse_ids};
use crate::api::paging::{Answer, Paging};
use crate::app::App;
use crate::domain::audit::Change;
use crate::domain::identity::{Reader, Writer};
use crate::domain::ids::{GroupId, OrganizationId, RoleAssignmentId};
use crate::domain::role_assignment::RoleAssignment;
use crate::error::{Error, Violation};
use crate::provisioning::administration;
use crate::store;
use crate::store::roles::Filter;
use proto::gitpod::v1::{
    CreateRoleAssignmentRequest, DeleteRoleAssignmentRequest, ListRoleAssignmentsRequest,
    ResourceRole, ResourceType, RoleAssignment as WireAssignment,
};

/// `CreateRoleAssignment`, for a group of either kind.
pub async fn create(
    app: &App,
    caller: Writer<'_>,
    request: CreateRoleAssignmentRequest,
) -> Result<WireAssignment, Error> {
    let group_id: GroupId = parse_id("group_id", &request.group_id)?;
    let resource_id: Uuid = parse_id("resource_id", &request.resource_id)?;
    let resource_type = enums::specified("resource_type", &request.resource_type)?;
    let role = enums::specified("resource_role", &request.resource_role)?;
    check_family(resource_type, role)?;
    let organization_id = caller.organization_id;
    if resource_type == ResourceType::RESOURCE_TYPE_ORGANIZATION {
        caller.organization(&request.resource_id)?;
    }
    let assignment = RoleAssignment {
        id: app.new_id(),
        group_id,
        resource_type: enums::short_name(&resource_type),
        resource_id,
        role: enums::short_name(&role),
    };
    let now = app.clock.now();
    let mut work = begin(app, caller, now).await?;
    store::groups::lock_any(&mut work, organization_id, group_id).await?;
    if resource_type == ResourceType::RESOURCE_TYPE_GROUP {
        store::groups::lock_any(&mut work, organization_id, resource_id.into()).await?;
    }
    store::roles::insert(&mut work, organization_id, &assignment, now).await?;
    work.commit(Change::created("CreateRoleAssignment", &assignment))
        .await?;
    Ok(wire(assignment, organization_id))
}

/// A role of an organization is one on an organization, and a role of a group one on a group. Of others, programs know.
fn check_family(resource_type: ResourceType, role: ResourceRole) -> Result<(), Error> {
    let role = enums::short_name(&role);
    let fits = match resource_type {
        ResourceType::RESOURCE_TYPE_ORGANIZATION => role.starts_with("org_"),
        ResourceType::RESOURCE_TYPE_GROUP => role.starts_with("group_"),
        _ => !role.starts_with("org_") && !role.starts_with("group_"),
    };
    if fits {
        return Ok(());
    }
    Err(Error::invalid(
        "resource_role",
        Violation::ROLE,
        "must be a role of this kind of resource: RESOURCE_ROLE_ORG_… for an organization, RESOURCE_ROLE_GROUP_… for a group",
    ))
}

/// `ListRoleAssignments`. Two round trips.
pub async fn list(
    app: &App,
    caller: Reader<'_>,
    paging: Paging<'_>,
    request: ListRoleAssignmentsRequest,
) -> Result<Answer<WireAssignment>, Error> {
    let wanted = request.filter.as_option().cloned().unwrap_or_default();
    let organization_id = caller.organization_id;
    let list = paging.open(
        "role_assignments",
        organization_id,
        format_args!("{wanted:?}"),
        &request.pagination,
    )?;
    let mut resource_ids: Vec<Uuid> = parse_ids("filter.resource_ids", &wanted.resource_ids)?;
    resource_ids.extend(optional_id::<Uuid>(
        "filter.resource_id",
        &wanted.resource_id,
    )?);
    let filter = Filter {
        resource_types: wanted.resource_types.iter().map(enums::name).collect(),
        roles: wanted.resource_roles.iter().map(enums::name).collect(),
        resource_ids,
        group: optional_id("filter.group_id", &wanted.group_id)?,
        subject: optional_id("filter.user_id", &wanted.user_id)?,
    };
    let mut db = app.store.acquire().await?;
    let found = store::roles::list(&mut db, organization_id, &filter, list.page()).await?;
    list.answer(
        found,
        |assignment| assignment.id.as_uuid(),
        |assignment| wire(assignment, organization_id),
    )
}

/// `DeleteRoleAssignment`.
pub async fn delete(
    app: &App,
    caller: Writer<'_>,
    request: DeleteRoleAssignmentRequest,
) -> Result<(), Error> {
    let id: RoleAssignmentId = parse_id("assignment_id", &request.assignment_id)?;
    let organization_id = caller.organization_id;
    let mut work = begin(app, caller, app.clock.now()).await?;
    let administration = administration::guard(&mut work, organization_id).await?;
    let before = store::roles::lock(&mut work, organization_id, id).await?;
    store::roles::delete(&mut work, organization_id, id).await?;
    administration.check(&mut work).await?;
    work.commit(Change::deleted("DeleteRoleAssignment", &before))
        .await
}

fn wire(assignment: RoleAssignment, organization_id: OrganizationId) -> WireAssignment {
    WireAssignment {
        id: assignment.id.to_string(),
        group_id: assignment.group_id.to_string(),
        organization_id: organization_id.to_string(),
        resource_id: assignment.resource_id.to_string(),
        resource_type: enums::of_name::<ResourceType>(&assignment.resource_type).into(),
        resource_role: enums::of_name::<ResourceRole>(&assignment.role).into(),
        ..Default::default()
    }
}
