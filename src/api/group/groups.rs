//! Groups over the API, as identity providers push them.

use crate::api::handler::{parse_id, parse_ids, timestamp};
use crate::api::paging::{Answer, Paging};
use crate::app::App;
use crate::domain::identity::Reader;
use crate::domain::ids::OrganizationId;
use crate::error::{Error, Violation};
use crate::store::Items;
use crate::store::members::{self, GroupFilter};
use proto::gitpod::v1::get_group_request::Group as Which;
use proto::gitpod::v1::{GetGroupRequest, Group, ListGroupsRequest};

/// `GetGroup`, by id or by name. Two round trips.
pub async fn get(app: &App, caller: Reader<'_>, request: GetGroupRequest) -> Result<Group, Error> {
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
    let group = members::get_group(&mut db, caller.organization_id, &filter).await?;
    Ok(wire(group, caller.organization_id))
}

/// `ListGroups`. Two round trips.
pub async fn list(
    app: &App,
    caller: Reader<'_>,
    paging: Paging<'_>,
    request: ListGroupsRequest,
) -> Result<Answer<Group>, Error> {
    let wanted = request.filter.as_option().cloned().unwrap_or_default();
    let organization_id = caller.organization_id;
    let list = paging.open(
        "groups",
        organization_id,
        format_args!("{wanted:?}"),
        &request.pagination,
    )?;
    let filter = GroupFilter {
        search: wanted.search,
        name: None,
        ids: parse_ids("filter.group_ids", &wanted.group_ids)?,
    };
    let found = match (wanted.system_managed, wanted.direct_share) {
        (Some(true), _) | (_, Some(true)) => Items::none(),
        _ => {
            let mut db = app.store.acquire().await?;
            members::list_groups(&mut db, organization_id, &filter, list.page()).await?
        }
    };
    let wire = |group| wire(group, organization_id);
    list.answer(found, |group| group.id, wire)
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
