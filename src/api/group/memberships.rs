//! Who is in a group, over the API.

use super::groups::permitted;
use crate::api::enums::{self, subject};
use crate::api::handler::{begin, parse_id};
use crate::api::paging::{Answer, Paging};
use crate::app::App;
use crate::domain::audit::Change;
use crate::domain::group::Membership;
use crate::domain::identity::{Reader, Subject, Undecided, Writer};
use crate::domain::ids::{GroupId, MembershipId};
use crate::error::Error;
use crate::provisioning::administration;
use crate::store;
use crate::store::groups::Filter;
use proto::gitpod::v1::{
    CreateMembershipRequest, DeleteMembershipRequest, GetMembershipRequest, GroupMembership,
    ListMembershipsRequest,
};

/// `CreateMembership`.
pub async fn create(
    app: &App,
    caller: Undecided<Writer<'_>>,
    request: CreateMembershipRequest,
) -> Result<GroupMembership, Error> {
    let group_id: GroupId = parse_id("group_id", &request.group_id)?;
    let subject = subject("subject", request.subject.as_option())?;
    let organization_id = caller.organization_id();
    let caller = permitted(app, caller, group_id).await?;
    let now = app.clock.now();
    let mut work = begin(app, caller, now).await?;
    let (name, avatar_url) =
        store::memberships::lock_subject(&mut work, organization_id, subject).await?;
    let membership = Membership {
        id: app.new_id(),
        group_id,
        subject_id: subject.id,
        principal: subject.principal,
        name,
        avatar_url,
    };
    store::memberships::insert(&mut work, organization_id, &membership, now).await?;
    work.commit(Change::created("CreateMembership", &membership))
        .await?;
    Ok(wire(membership))
}

/// `GetMembership`. Two round trips.
pub async fn get(
    app: &App,
    caller: Reader<'_>,
    request: GetMembershipRequest,
) -> Result<GroupMembership, Error> {
    let group = parse_id("group_id", &request.group_id)?;
    let subject = subject("subject", request.subject.as_option())?;
    let mut db = app.store.acquire().await?;
    let membership =
        store::memberships::get(&mut db, caller.organization_id, group, subject).await?;
    Ok(wire(membership))
}

/// `ListMemberships`. Three round trips.
pub async fn list(
    app: &App,
    caller: Reader<'_>,
    paging: Paging<'_>,
    request: ListMembershipsRequest,
) -> Result<Answer<GroupMembership>, Error> {
    let id: GroupId = parse_id("group_id", &request.group_id)?;
    let search = &request.filter.search;
    let organization_id = caller.organization_id;
    let list = paging.open(
        "memberships",
        organization_id,
        format_args!("{id}{search}"),
        &request.pagination,
    )?;
    let mut db = app.store.acquire().await?;
    let filter = Filter {
        ids: vec![id],
        ..Filter::default()
    };
    let group = store::groups::find(&mut db, organization_id, &filter).await?;
    let found =
        store::memberships::list(&mut db, organization_id, &group, search, list.page()).await?;
    list.answer(found, |membership| membership.id.as_uuid(), wire)
}

/// `DeleteMembership`: whoever is in the group no longer has its roles no longer.
pub async fn delete(
    app: &App,
    caller: Undecided<Writer<'_>>,
    request: DeleteMembershipRequest,
) -> Result<(), Error> {
    let id: MembershipId = parse_id("membership_id", &request.membership_id)?;
    let organization_id = caller.organization_id();
    let group = {
        let mut db = app.store.acquire().await?;
        store::memberships::group_of(&mut db, organization_id, id).await?
    };
    let caller = permitted(app, caller, group).await?;
    let mut work = begin(app, caller, app.clock.now()).await?;
    let administration = administration::guard(&mut work, organization_id).await?;
    let before = store::memberships::lock(&mut work, organization_id, id).await?;
    store::memberships::delete(&mut work, organization_id, id).await?;
    administration.check(&mut work).await?;
    work.commit(Change::deleted("DeleteMembership", &before))
        .await
}

fn wire(membership: Membership) -> GroupMembership {
    let subject = Subject {
        id: membership.subject_id,
        principal: membership.principal,
    };
    GroupMembership {
        id: membership.id.to_string(),
        subject: enums::wire_subject(subject).into(),
        group_id: membership.group_id.to_string(),
        name: membership.name,
        avatar_url: membership.avatar_url,
        ..Default::default()
    }
}
