//! Who is in a group, over the API.

use crate::api::handler::parse_id;
use crate::api::paging::{Answer, Paging};
use crate::app::App;
use crate::domain::identity::Reader;
use crate::error::Error;
use crate::store::members::{self, GroupFilter};
use proto::gitpod::v1::{GroupMembership, ListMembershipsRequest, Principal, Subject};

/// `ListMemberships`. Three round trips.
pub async fn list(
    app: &App,
    caller: Reader<'_>,
    paging: Paging<'_>,
    request: ListMembershipsRequest,
) -> Result<Answer<GroupMembership>, Error> {
    let group = parse_id("group_id", &request.group_id)?;
    let search = &request.filter.search;
    let organization_id = caller.organization_id;
    let list = paging.open(
        "memberships",
        organization_id,
        format_args!("{group}{search}"),
        &request.pagination,
    )?;
    let mut db = app.store.acquire().await?;
    let filter = GroupFilter {
        ids: vec![group],
        ..GroupFilter::default()
    };
    members::get_group(&mut db, organization_id, &filter).await?;
    let found =
        members::list_memberships(&mut db, organization_id, group, search, list.page()).await?;
    let membership = |member: members::Membership| GroupMembership {
        id: member.id.to_string(),
        subject: Subject {
            id: member.user_id.to_string(),
            principal: Principal::PRINCIPAL_USER.into(),
            ..Default::default()
        }
        .into(),
        group_id: group.to_string(),
        name: member.name,
        avatar_url: member.avatar_url,
        ..Default::default()
    };
    list.answer(found, |member| member.id, membership)
}
