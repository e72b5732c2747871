//! Who is in a group, over the API (contract, section 3).

use connectrpc::RequestContext;

use crate::api::handler::parse_id;
use crate::api::paging::List;
use crate::api::proto::gitpod::v1::{
    GroupMembership, ListMembershipsRequest, ListMembershipsResponse, Principal, Subject,
};
use crate::app::App;
use crate::domain::identity::Caller;
use crate::error::Error;
use crate::store::Page;
use crate::store::members::{self, GroupFilter};

/// `ListMemberships`. Three round trips.
pub async fn list(
    app: &App,
    caller: &Caller,
    ctx: &RequestContext,
    request: ListMembershipsRequest,
) -> Result<ListMembershipsResponse, Error> {
    let group = parse_id("group_id", &request.group_id)?;
    let search = request.filter.search.clone();
    let list = List {
        name: "memberships",
        organization_id: caller.organization_id,
        query: format!("{group}{search}"),
    };
    let page = list.page(app, ctx, request.pagination.as_option())?;
    let mut db = app.store.acquire().await?;
    let filter = GroupFilter {
        ids: vec![group],
        ..GroupFilter::default()
    };
    let one = Page {
        after: uuid::Uuid::nil(),
        size: 1,
    };
    if members::list_groups(&mut db, caller.organization_id, &filter, one)
        .await?
        .items
        .is_empty()
    {
        return Err(Error::NotFound("group in this organization"));
    }
    let items =
        members::list_memberships(&mut db, caller.organization_id, group, &search, page).await?;
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
    Ok(ListMembershipsResponse {
        pagination: list
            .response(app, &items, |member| (String::new(), member.id))?
            .into(),
        members: items.items.into_iter().map(membership).collect(),
        ..Default::default()
    })
}
