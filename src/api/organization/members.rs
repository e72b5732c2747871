//! The members of an organization over the API.

use serde_json::json;

use crate::api::enums::{self, user_status, wire_role};
use crate::api::handler::{begin, parse_id, parse_ids, timestamp};
use crate::api::paging::{Paging, count};
use crate::api::user::users::remove;
use crate::app::App;
use crate::domain::audit::Change;
use crate::domain::identity::{Reader, Role, Undecided, Writer};
use crate::domain::ids::MemberId;
use crate::domain::member::MemberStatus;
use crate::error::Error;
use crate::provisioning::administration;
use crate::store::members::{Filter, Member, Order};
use crate::store::{self, Items};
use proto::gitpod::v1::list_members_request::{Filter as WireFilter, SortField};
use proto::gitpod::v1::{
    LeaveOrganizationRequest, ListMembersRequest, ListMembersResponse, LoginProviderKind,
    OrganizationMember, OrganizationRole, SetRoleRequest, SortOrder, UserStatus,
};

/// How people sign in, and those whom SCIM provisions will: with the provider of their organization,
/// which the contract calls so. There is no other way. A filter calls it `LOGIN_PROVIDER_KIND_SSO`.
pub const LOGIN_PROVIDER: &str = "custom";

/// `ListMembers`. Two round trips, three with a count.
pub async fn list(
    app: &App,
    caller: Reader<'_>,
    paging: Paging<'_>,
    request: ListMembersRequest,
) -> Result<ListMembersResponse, Error> {
    let organization_id = caller.organization(&request.organization_id)?;
    let wire = request.filter.as_option().cloned().unwrap_or_default();
    let order = Order {
        by_name: request.sort.field == SortField::SORT_FIELD_NAME,
        descending: request.sort.order == SortOrder::SORT_ORDER_DESC,
    };
    let list = paging.open(
        "members",
        organization_id,
        format_args!("{wire:?}{order:?}"),
        &request.pagination,
    )?;

    let (found, total) = match filter(&wire)? {
        Some(filter) => {
            let mut db = app.store.acquire().await?;
            let after = list.after.as_ref();
            let found =
                store::members::list(&mut db, organization_id, &filter, order, after, list.size)
                    .await?;
            let total = match request.count.include {
                true => store::members::count(&mut db, organization_id, &filter).await?,
                false => 0,
            };
            (found, total)
        }
        None => (Items::none(), 0),
    };
    let (members, pagination) = list.answer(found, Member::place, member)?;
    Ok(ListMembersResponse {
        members,
        pagination: pagination.into(),
        count: request.count.include.then(|| count(total)).into(),
        ..Default::default()
    })
}

/// `SetRole`. Where it changes nothing, nothing is recorded.
pub async fn set_role(app: &App, caller: Writer<'_>, request: SetRoleRequest) -> Result<(), Error> {
    let organization_id = caller.organization(&request.organization_id)?;
    let id: MemberId = parse_id("user_id", &request.user_id)?;
    let new = enums::specified("role", &request.role)?;
    let new = role(new).unwrap_or(Role::Member);
    let now = app.clock.now();
    let mut work = begin(app, caller, now).await?;
    let administration = administration::guard(&mut work, organization_id).await?;
    let former = store::members::lock_here(&mut work, organization_id, id).await?;
    if former == new {
        return Ok(());
    }
    store::members::set_role(&mut work, organization_id, id, new, now).await?;
    administration.check(&mut work).await?;
    let (before, after) = (json!({ "role": former }), json!({ "role": new }));
    work.commit(Change::of_member("SetRole", id, Some(before), Some(after)))
        .await
}

/// `LeaveOrganization`, for the member that calls.
pub async fn leave(
    app: &App,
    caller: Undecided<Writer<'_>>,
    request: LeaveOrganizationRequest,
) -> Result<(), Error> {
    let id = parse_id("user_id", &request.user_id)?;
    let caller = caller.for_oneself(id)?;
    remove(app, caller, id, "LeaveOrganization").await
}

/// The members that a filter lets through; `None` for nobody.
fn filter(wire: &WireFilter) -> Result<Option<Filter>, Error> {
    let statuses = wire.statuses.iter().filter_map(|s| s.as_known());
    let statuses: Vec<MemberStatus> = statuses.filter_map(member_status).collect();
    let roles = wire.roles.iter().filter_map(|r| r.as_known());
    let roles: Vec<Role> = roles.filter_map(role).collect();
    let is_other_provider = wire.login_provider.as_known().is_some_and(|kind| {
        !matches!(
            kind,
            LoginProviderKind::LOGIN_PROVIDER_KIND_UNSPECIFIED
                | LoginProviderKind::LOGIN_PROVIDER_KIND_SSO
        )
    });
    let asks_for_unknown = |asked: usize, known: usize| asked > 0 && known == 0;
    if is_other_provider
        || asks_for_unknown(wire.statuses.len(), statuses.len())
        || asks_for_unknown(wire.roles.len(), roles.len())
    {
        return Ok(None);
    }
    Ok(Some(Filter {
        search: wire.search.clone(),
        statuses,
        roles,
        ids: parse_ids("filter.user_ids", &wire.user_ids)?,
        outside_groups: parse_ids("filter.exclude_group_ids", &wire.exclude_group_ids)?,
        email: wire.email.trim().to_owned(),
    }))
}

const fn member_status(status: UserStatus) -> Option<MemberStatus> {
    match status {
        UserStatus::USER_STATUS_ACTIVE => Some(MemberStatus::Active),
        UserStatus::USER_STATUS_SUSPENDED => Some(MemberStatus::Suspended),
        UserStatus::USER_STATUS_LEFT => Some(MemberStatus::Left),
        UserStatus::USER_STATUS_UNSPECIFIED => None,
    }
}

const fn role(role: OrganizationRole) -> Option<Role> {
    match role {
        OrganizationRole::ORGANIZATION_ROLE_ADMIN => Some(Role::Admin),
        OrganizationRole::ORGANIZATION_ROLE_MEMBER => Some(Role::Member),
        OrganizationRole::ORGANIZATION_ROLE_UNSPECIFIED => None,
    }
}

/// A member on the wire.
pub fn member(member: Member) -> OrganizationMember {
    OrganizationMember {
        user_id: member.id.to_string(),
        role: wire_role(member.role).into(),
        member_since: timestamp(member.created_at).into(),
        avatar_url: member.avatar_url,
        full_name: member.name,
        email: member.email,
        status: user_status(member.status).into(),
        login_provider: LOGIN_PROVIDER.to_owned(),
        ..Default::default()
    }
}
