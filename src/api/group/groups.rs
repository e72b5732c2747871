//! Groups over the API: those that the organization makes, and to read, those that identity providers push.

use crate::api::enums;
use crate::api::handler::{begin, parse_id, parse_ids, timestamp};
use crate::api::paging::{Answer, Paging};
use crate::app::App;
use crate::domain::audit::Change;
use crate::domain::group::Group;
use crate::domain::identity::{Reader, Undecided, Writer};
use crate::domain::ids::{GroupId, OrganizationId};
use crate::domain::text;
use crate::error::{Error, Violation, no_violations};
use crate::provisioning::administration;
use crate::store;
use crate::store::groups::Filter;
use proto::gitpod::v1::get_group_request::Group as Which;
use proto::gitpod::v1::{
    CreateGroupRequest, DeleteGroupRequest, GetGroupRequest, Group as WireGroup, ListGroupsRequest,
    UpdateGroupRequest,
};

/// `CreateGroup`.
pub async fn create(
    app: &App,
    caller: Writer<'_>,
    request: CreateGroupRequest,
) -> Result<WireGroup, Error> {
    let organization_id = caller.organization(&request.organization_id)?;
    check(&request.name, &request.description)?;
    let now = app.clock.now();
    let group = Group {
        id: app.new_id(),
        name: request.name,
        description: request.description,
        system_managed: false,
        created_at: now,
        updated_at: now,
        member_count: 0,
    };
    let mut work = begin(app, caller, now).await?;
    store::groups::insert(&mut work, organization_id, &group).await?;
    work.commit(Change::created("CreateGroup", &group)).await?;
    Ok(wire(group, organization_id))
}

/// `GetGroup`, by id or by name. Two round trips.
pub async fn get(
    app: &App,
    caller: Reader<'_>,
    request: GetGroupRequest,
) -> Result<WireGroup, Error> {
    let mut filter = Filter::default();
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
    let group = store::groups::find(&mut db, caller.organization_id, &filter).await?;
    Ok(wire(group, caller.organization_id))
}

/// `ListGroups`. Two round trips.
pub async fn list(
    app: &App,
    caller: Reader<'_>,
    paging: Paging<'_>,
    request: ListGroupsRequest,
) -> Result<Answer<WireGroup>, Error> {
    let wanted = request.filter.as_option().cloned().unwrap_or_default();
    let organization_id = caller.organization_id;
    let list = paging.open(
        "groups",
        organization_id,
        format_args!("{wanted:?}"),
        &request.pagination,
    )?;
    let without = wanted.exclude_assigned_to_resource.as_option();
    let without = without
        .map(|resource| {
            let field = "filter.exclude_assigned_to_resource.resource_id";
            let id = parse_id(field, &resource.resource_id)?;
            Ok::<_, Error>((enums::name(&resource.resource_type), id))
        })
        .transpose()?;
    let filter = Filter {
        search: wanted.search,
        name: None,
        ids: parse_ids("filter.group_ids", &wanted.group_ids)?,
        system_managed: wanted.system_managed,
        without_role_on: without,
    };
    let found = match wanted.direct_share {
        Some(true) => store::Items::none(),
        _ => {
            let mut db = app.store.acquire().await?;
            store::groups::list(&mut db, organization_id, &filter, list.page()).await?
        }
    };
    list.answer(
        found,
        |group| group.id.as_uuid(),
        |group| wire(group, organization_id),
    )
}

/// `UpdateGroup`.
pub async fn update(
    app: &App,
    caller: Undecided<Writer<'_>>,
    request: UpdateGroupRequest,
) -> Result<WireGroup, Error> {
    let id = parse_id("group_id", &request.group_id)?;
    check(&request.name, &request.description)?;
    let organization_id = caller.organization_id();
    let caller = permitted(app, caller, id).await?;
    let now = app.clock.now();
    let mut work = begin(app, caller, now).await?;
    let before = store::groups::lock(&mut work, organization_id, id).await?;
    let after = Group {
        name: request.name,
        description: request.description,
        updated_at: now,
        ..before.clone()
    };
    store::groups::update(&mut work, organization_id, &after).await?;
    let filter = Filter {
        ids: vec![id],
        ..Filter::default()
    };
    let shown = store::groups::find(&mut work, organization_id, &filter).await?;
    work.commit(Change::updated("UpdateGroup", &before, &after))
        .await?;
    Ok(wire(shown, organization_id))
}

/// `DeleteGroup`: its members have its roles no longer.
pub async fn delete(
    app: &App,
    caller: Undecided<Writer<'_>>,
    request: DeleteGroupRequest,
) -> Result<(), Error> {
    let id = parse_id("group_id", &request.group_id)?;
    let organization_id = caller.organization_id();
    let caller = permitted(app, caller, id).await?;
    let mut work = begin(app, caller, app.clock.now()).await?;
    work.be_patient().await?;
    let administration = administration::guard(&mut work, organization_id).await?;
    let before = store::groups::lock(&mut work, organization_id, id).await?;
    store::groups::delete(&mut work, organization_id, id).await?;
    administration.check(&mut work).await?;
    work.commit(Change::deleted("DeleteGroup", &before)).await
}

/// Decides whether a caller may change a group. One round trip.
pub async fn permitted<'a>(
    app: &App,
    caller: Undecided<Writer<'a>>,
    group: GroupId,
) -> Result<Writer<'a>, Error> {
    let mut db = app.store.acquire().await?;
    let organization_id = caller.organization_id();
    let standing =
        store::groups::standing(&mut db, organization_id, group, caller.subject()).await?;
    caller.of_group(standing)
}

/// What the rules do not say.
fn check(name: &str, description: &str) -> Result<(), Error> {
    let mut violations = text::unstorable([("name", name), ("description", description)]);
    // A name that looks like another's would have somebody give its roles to the wrong group.
    if name.trim() != name || name.chars().any(char::is_control) {
        violations.push(Violation::new(
            "name",
            Violation::BLANKS,
            "must not begin or end with a blank, nor have control characters",
        ));
    }
    no_violations(violations)
}

fn wire(group: Group, organization_id: OrganizationId) -> WireGroup {
    WireGroup {
        id: group.id.to_string(),
        organization_id: organization_id.to_string(),
        name: group.name,
        description: group.description,
        system_managed: group.system_managed,
        created_at: timestamp(group.created_at).into(),
        updated_at: timestamp(group.updated_at).into(),
        member_count: i32::try_from(group.member_count).unwrap_or(i32::MAX),
        ..Default::default()
    }
}
