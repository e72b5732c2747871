//! `GroupService`: groups, who is in them, and the roles that they give. One file a resource.

mod groups;
mod memberships;
mod role_assignments;

use crate::api::handler::service;
use proto::gitpod::v1::*;

service! { METHODS: GroupService {
    groups_administrator writes create_group(CreateGroupRequest) -> CreateGroupResponse { group } =
        groups::create(app, caller, request);
    member reads get_group(GetGroupRequest) -> GetGroupResponse { group } =
        groups::get(app, caller, request);
    member reads list_groups(ListGroupsRequest) -> ListGroupsResponse { groups, pagination } =
        groups::list(app, caller, paging, request);
    group_administrator writes update_group(UpdateGroupRequest) -> UpdateGroupResponse { group } =
        groups::update(app, caller, request);
    group_administrator writes delete_group(DeleteGroupRequest) -> DeleteGroupResponse {} =
        groups::delete(app, caller, request);
    group_administrator writes create_membership(CreateMembershipRequest) -> CreateMembershipResponse { member } =
        memberships::create(app, caller, request);
    group_administrator writes delete_membership(DeleteMembershipRequest) -> DeleteMembershipResponse {} =
        memberships::delete(app, caller, request);
    member reads get_membership(GetMembershipRequest) -> GetMembershipResponse { member } =
        memberships::get(app, caller, request);
    member reads list_memberships(ListMembershipsRequest) -> ListMembershipsResponse { members, pagination } =
        memberships::list(app, caller, paging, request);
    administrator writes create_role_assignment(CreateRoleAssignmentRequest)
        -> CreateRoleAssignmentResponse { assignment } =
        role_assignments::create(app, caller, request);
    member reads list_role_assignments(ListRoleAssignmentsRequest)
        -> ListRoleAssignmentsResponse { assignments, pagination } =
        role_assignments::list(app, caller, paging, request);
    administrator writes delete_role_assignment(DeleteRoleAssignmentRequest) -> DeleteRoleAssignmentResponse {} =
        role_assignments::delete(app, caller, request);
}}
