//! `GroupService`: the groups that identity providers push, and who is in them. One file a resource.

mod groups;
mod memberships;

use crate::api::handler::service;
use proto::gitpod::v1::*;

service! { METHODS: GroupService {
    member reads get_group(GetGroupRequest) -> GetGroupResponse { group } =
        groups::get(app, caller, request);
    member reads list_groups(ListGroupsRequest) -> ListGroupsResponse { groups, pagination } =
        groups::list(app, caller, paging, request);
    member reads list_memberships(ListMembershipsRequest) -> ListMembershipsResponse { members, pagination } =
        memberships::list(app, caller, paging, request);
}}
