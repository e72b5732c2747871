//! Groups over the API, as identity providers push them (contract, section 3).

use connectrpc::RequestContext;

use crate::api::handler::{parse_id, timestamp};
use crate::api::paging::List;
use crate::api::proto::gitpod::v1::get_group_request::Group as Which;
use crate::api::proto::gitpod::v1::{
    GetGroupRequest, GetGroupResponse, Group, ListGroupsRequest, ListGroupsResponse,
};
use crate::app::App;
use crate::domain::identity::Caller;
use crate::domain::ids::OrganizationId;
use crate::error::{Error, Violation};
use crate::store::members::{self, GroupFilter};
use crate::store::{Items, Page};

/// `GetGroup`, by id or by name. Two round trips.
pub async fn get(
    app: &App,
    caller: &Caller,
    request: GetGroupRequest,
) -> Result<GetGroupResponse, Error> {
    let mut filter = GroupFilter::default();
    match (&request.group, &*request.group_id) {
        (Some(Which::Id(id)), _) => filter.ids = vec![parse_id("id", id)?],
        (Some(Which::Name(name)), _) => filter.name = Some(name.clone()),
        (None, "") => {
            return Err(Error::invalid(
                "id",
                Violation::REQUIRED,
                "is required, or name",
            ));
        }
        (None, id) => filter.ids = vec![parse_id("group_id", id)?],
    }
    let mut db = app.store.acquire().await?;
    let page = Page {
        after: uuid::Uuid::nil(),
        size: 1,
    };
    let found = members::list_groups(&mut db, caller.organization_id, &filter, page).await?;
    let group = found
        .items
        .into_iter()
        .next()
        .ok_or(Error::NotFound("group in this organization"))?;
    Ok(GetGroupResponse {
        group: wire(group, caller.organization_id).into(),
        ..Default::default()
    })
}

/// `ListGroups`. Two round trips.
pub async fn list(
    app: &App,
    caller: &Caller,
    ctx: &RequestContext,
    request: ListGroupsRequest,
) -> Result<ListGroupsResponse, Error> {
    let wanted = request.filter.as_option().cloned().unwrap_or_default();
    let ids: Result<Vec<_>, _> = wanted
        .group_ids
        .iter()
        .map(|id| parse_id("filter.group_ids", id))
        .collect();
    let list = List {
        name: "groups",
        organization_id: caller.organization_id,
        query: format!("{wanted:?}"),
    };
    let page = list.page(app, ctx, request.pagination.as_option())?;
    let filter = GroupFilter {
        search: wanted.search,
        name: None,
        ids: ids?,
    };
    let items = match (wanted.system_managed, wanted.direct_share) {
        (Some(true), _) | (_, Some(true)) => Items {
            items: vec![],
            has_more: false,
        },
        _ => {
            let mut db = app.store.acquire().await?;
            members::list_groups(&mut db, caller.organization_id, &filter, page).await?
        }
    };
    Ok(ListGroupsResponse {
        pagination: list
            .response(app, &items, |group| (String::new(), group.id))?
            .into(),
        groups: items
            .items
            .into_iter()
            .map(|group| wire(group, caller.organization_id))
            .collect(),
        ..Default::default()
    })
}

fn wire(group: members::Group, organization_id: OrganizationId) -> Group {
    Group {
        id: group.id.to_string(),
        organization_id: organization_id.to_string(),
        name: group.name,
        created_at: timestamp(group.created_at).into(),
        updated_at: timestamp(group.updated_at).into(),
        member_count: i32::try_from(group.member_count).unwrap_or(i32::MAX),
        ..Default::default()
    }
}
