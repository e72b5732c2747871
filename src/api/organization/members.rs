//! The members of an organization over the API.

use crate::api::handler::{parse_ids, timestamp};
use crate::api::paging::{Paging, count};
use crate::app::App;
use crate::domain::identity::{Reader, Role};
use crate::domain::member::MemberStatus;
use crate::error::Error;
use crate::store::members::{Filter, Member, Order};
use crate::store::{self, Items};
use proto::gitpod::v1::list_members_request::{Filter as WireFilter, SortField};
use proto::gitpod::v1::{
    ListMembersRequest, ListMembersResponse, LoginProviderKind, OrganizationMember,
    OrganizationRole, SortOrder, UserStatus,
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

/// The status of a member on the wire.
pub const fn user_status(status: MemberStatus) -> UserStatus {
    match status {
        MemberStatus::Active => UserStatus::USER_STATUS_ACTIVE,
        MemberStatus::Suspended => UserStatus::USER_STATUS_SUSPENDED,
        MemberStatus::Left => UserStatus::USER_STATUS_LEFT,
    }
}

fn member(member: Member) -> OrganizationMember {
    let role = match member.role {
        Role::Admin => OrganizationRole::ORGANIZATION_ROLE_ADMIN,
        Role::Member => OrganizationRole::ORGANIZATION_ROLE_MEMBER,
    };
    OrganizationMember {
        user_id: member.id.to_string(),
        role: role.into(),
        member_since: timestamp(member.created_at).into(),
        avatar_url: member.avatar_url,
        full_name: member.name,
        email: member.email,
        status: user_status(member.status).into(),
        login_provider: LOGIN_PROVIDER.to_owned(),
        ..Default::default()
    }
}
