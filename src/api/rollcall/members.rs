//! `MemberService`: what `gitpod.v1` has no method for about members.

use crate::api::handler::parse_id;
use crate::api::paging::{Answer, Paging};
use crate::app::App;
use crate::domain::identity::Reader;
use crate::domain::ids::MemberId;
use crate::error::Error;
use crate::store;
use crate::store::Place;
use crate::store::memberships::GroupOfMember;
use proto::rollcall::v1::{ListMemberGroupsRequest, MemberGroup};

/// `ListMemberGroups`. Three round trips.
pub async fn list_groups(
    app: &App,
    caller: Reader<'_>,
    paging: Paging<'_>,
    request: ListMemberGroupsRequest,
) -> Result<Answer<MemberGroup>, Error> {
    let user_id: MemberId = parse_id("user_id", &request.user_id)?;
    let organization_id = caller.organization_id;
    let list = paging.open(
        "member groups",
        organization_id,
        user_id,
        &request.pagination,
    )?;
    let mut db = app.store.acquire().await?;
    store::members::get(&mut db, organization_id, user_id).await?;
    let (after, size) = (list.after.as_ref(), list.size);
    let found =
        store::memberships::groups_of(&mut db, organization_id, user_id, after, size).await?;
    list.answer(found, place, wire)
}

fn place(group: &GroupOfMember) -> Place {
    Place(group.key.clone(), group.id.as_uuid())
}

fn wire(group: GroupOfMember) -> MemberGroup {
    MemberGroup {
        id: group.id.to_string(),
        name: group.name,
        system_managed: group.system_managed,
        direct: group.direct,
        ..Default::default()
    }
}
