//! Groups: creating, replacing, modifying and deleting them. Their members are rows of their own; no
//! request that changes some reads the others.

use scim::error::{ScimError, ScimType};
use scim::normalize::{Normalized, normalize};
use scim::patch::{self, Member, MemberChange};
use scim::reference::issued;
use scim::schema::ResourceType;
use scim::search_form;
use serde_json::{Map, Value, json};

use super::answers::{Failure, no_such};
use super::users::{changed_meanwhile, check, check_key};
use super::{Context, Precondition, Reply, Wishes, resource};
use crate::domain::ids::ResourceId;
use crate::domain::letters::fold;
use crate::error::Error;
use crate::store::folding::GroupKeys;
use crate::store::scim_events::{self, Outcome};
use crate::store::scim_groups::{self, Changed, GroupRow, MemberRow, Push};
use crate::store::scim_resources::{self, Source, Stored, Table};
use crate::store::scim_search;
use crate::store::{Connection, Json};

const GROUP: ResourceType = ResourceType::Group;

const SOURCE: Source = Source {
    table: Table::Groups,
    with_groups: false,
};

/// Up to how many members the answer to a PATCH shows the group.
const SHOWN_MEMBERS: i64 = 100;

/// A group to create.
struct New {
    row: GroupRow,
    members: Vec<MemberRow>,
    traits: Vec<&'static str>,
}

/// Creates a group.
///
/// # Errors
///
/// 400 for the body, 409 when its externalId is not unique.
pub async fn create(context: &Context, body: Value, wishes: &Wishes) -> Result<Reply, Failure> {
    create_as(context, body, wishes, context.app.new_id()).await
}

/// Creates a group with an id that was chosen before.
///
/// # Errors
///
/// 400 for the body, 409 when its externalId is not unique.
pub async fn create_as(
    context: &Context,
    body: Value,
    wishes: &Wishes,
    id: ResourceId,
) -> Result<Reply, Failure> {
    let created = create_all(context, vec![(id, body)], wishes).await;
    let replies = created.map_err(|(_, failure)| failure)?;
    Ok(replies.into_iter().next().unwrap_or_default())
}

/// Creates groups with ids that were chosen before, all or none.
///
/// # Errors
///
/// Which of them cannot be created, and why: 400 for the body, 409 when its externalId is not
/// unique.
pub async fn create_all(
    context: &Context,
    groups: Vec<(ResourceId, Value)>,
    wishes: &Wishes,
) -> Result<Vec<Reply>, (usize, Failure)> {
    let mut new = vec![];
    for (index, (id, body)) in groups.into_iter().enumerate() {
        let prepared = prepare(context, id, body).await;
        new.push(prepared.map_err(|failure| (index, failure))?);
    }
    let whole = |error: Error| (0, error.into());
    let mut tx = context.begin().await.map_err(whole)?;
    let mut replies = vec![];
    for (index, new) in new.iter_mut().enumerate() {
        let reply = insert(&mut tx, context, new, wishes).await;
        replies.push(reply.map_err(|failure| (index, failure))?);
    }
    tx.commit().await.map_err(whole)?;
    for new in new {
        context.count(Outcome::Created, GROUP, &new.traits);
    }
    Ok(replies)
}

async fn prepare(context: &Context, id: ResourceId, body: Value) -> Result<New, Failure> {
    let Normalized {
        mut resource,
        traits,
        references,
    } = normalize(GROUP, body)?;
    let members = patch::take_members(&mut resource)?;
    let new = New {
        row: row(id, resource)?,
        members: member_rows(context, members)?,
        traits,
    };
    resource::check_references(context, &references).await?;
    Ok(new)
}

async fn insert(
    db: &mut Connection,
    context: &Context,
    new: &mut New,
    wishes: &Wishes,
) -> Result<Reply, Failure> {
    let id = new.row.id;
    let row = &mut new.row;
    let mut changes = resource::changes(&Map::new(), &row.resource);
    scim_groups::insert(db, context.tenant, context.now, row).await?;
    if !new.members.is_empty() {
        let added = scim_groups::add_members(db, context.tenant, id, &new.members).await?;
        tell(&mut changes, "new", added);
    }
    let event = context.event(
        Outcome::Created,
        201,
        (GROUP, id),
        changes,
        new.traits.clone(),
    );
    scim_events::record(db, context.tenant, &event, Some(id)).await?;
    let stored = Stored {
        id,
        resource: Json(std::mem::take(&mut row.resource)),
        version: 1,
        created_at: context.now,
        last_modified: context.now,
        sort_key: None,
        groups: None,
    };
    show(db, context, 201, stored, wishes).await
}

/// Replaces a group.
///
/// # Errors
///
/// 400 for the body, 404, 409, 412.
pub async fn replace(
    context: &Context,
    id: ResourceId,
    body: Value,
    wishes: &Wishes,
) -> Result<Reply, Failure> {
    let Normalized {
        mut resource,
        traits,
        references,
    } = normalize(GROUP, body)?;
    resource::check_references(context, &references).await?;
    let members = vec![MemberChange::ReplaceAll(patch::take_members(
        &mut resource,
    )?)];
    let change = |_: &Map<String, Value>| Ok(resource.clone());
    update(context, id, wishes, traits, change, members, false).await
}

/// Modifies a group.
///
/// # Errors
///
/// 400 for the body, 404, 409, 412.
pub async fn modify(
    context: &Context,
    id: ResourceId,
    body: Value,
    wishes: &Wishes,
) -> Result<Reply, Failure> {
    let plan = patch::plan(GROUP, body)?;
    resource::check_references(context, &plan.references).await?;
    let is_simple = plan.is_for_members_alone() && wishes.if_match.0.is_none();
    let members = match (is_simple, &*plan.members) {
        (true, [MemberChange::Add(members)]) => {
            Some(Push::Add(member_rows(context, members.clone())?))
        }
        (true, [MemberChange::Remove(values)]) => Some(Push::Remove(
            values.iter().map(|value| issued(value)).collect(),
        )),
        _ => None,
    };
    if let Some(members) = members {
        return push(context, id, members, plan.traits, wishes).await;
    }
    let (traits, members) = (plan.traits.clone(), plan.members.clone());
    let change = |old: &Map<String, Value>| {
        if plan.is_for_members_alone() {
            return Ok(old.clone());
        }
        let mut with_id = old.clone();
        with_id.insert("id".to_owned(), json!(id));
        let mut resource = plan.apply(&with_id)?.resource;
        resource.remove("id");
        Ok(resource)
    };
    update(context, id, wishes, traits, change, members, true).await
}

/// Adds or removes members, and nothing else.
async fn push(
    context: &Context,
    id: ResourceId,
    push: Push,
    traits: Vec<&'static str>,
    wishes: &Wishes,
) -> Result<Reply, Failure> {
    let event = context.event(
        Outcome::Updated,
        200,
        (GROUP, id),
        Value::Null,
        traits.clone(),
    );
    let mut db = context.app.store.acquire().await?;
    let stored =
        scim_groups::push_members(&mut db, context.tenant, context.now, id, &push, &event).await?;
    let stored = stored.ok_or_else(|| no_such(GROUP))?;
    if stored.last_modified == context.now {
        context.count(Outcome::Updated, GROUP, &traits);
    }
    let reply = show_briefly(&mut db, context, stored, wishes).await?;
    drop(db);
    Ok(reply)
}

async fn update(
    context: &Context,
    id: ResourceId,
    wishes: &Wishes,
    traits: Vec<&'static str>,
    change: impl Fn(&Map<String, Value>) -> Result<Map<String, Value>, ScimError>,
    members: Vec<MemberChange>,
    may_be_brief: bool,
) -> Result<Reply, Failure> {
    let mut tx = context.begin().await?;
    let stored = scim_groups::lock(&mut tx, context.tenant, id).await?;
    let mut stored = stored.ok_or_else(|| no_such(GROUP))?;
    check(&wishes.if_match, stored.version)?;
    let new = change(&stored.resource)?;
    let mut changes = resource::changes(&stored.resource, &new);
    let row = if new == *stored.resource {
        None
    } else {
        Some(row(id, new)?)
    };
    let mut is_changed = row.is_some();
    for change in members {
        is_changed |= change_members(&mut tx, context, id, change, &mut changes).await?;
    }
    if wishes.if_match.0.is_some() {
        // Members that others pushed since the group was read were not known, and may be gone now.
        check_version(&mut tx, context, &stored).await?;
    }
    if is_changed {
        scim_groups::update(&mut tx, context.tenant, context.now, id, row.as_ref()).await?;
        let event = context.event(Outcome::Updated, 200, (GROUP, id), changes, traits.clone());
        scim_events::record(&mut tx, context.tenant, &event, Some(id)).await?;
        stored.version += 1;
        stored.last_modified = context.now.max(stored.last_modified);
        if let Some(row) = row {
            stored.resource = Json(row.resource);
        }
    }
    let reply = if may_be_brief {
        show_briefly(&mut tx, context, stored, wishes).await?
    } else {
        show(&mut tx, context, 200, stored, wishes).await?
    };
    tx.commit().await?;
    if is_changed {
        context.count(Outcome::Updated, GROUP, &traits);
    }
    Ok(reply)
}

async fn check_version(
    db: &mut Connection,
    context: &Context,
    read: &Stored,
) -> Result<(), Failure> {
    match scim_groups::version(db, context.tenant, read.id).await? {
        version if version == read.version => Ok(()),
        _ => Err(changed_meanwhile().into()),
    }
}

/// Shows a group that was modified, unless that would cost more than the change.
async fn show_briefly(
    db: &mut Connection,
    context: &Context,
    stored: Stored,
    wishes: &Wishes,
) -> Result<Reply, Failure> {
    let is_large = !wishes.projection.is_explicit()
        && wishes.projection.wants("members")
        && scim_groups::count_members(db, context.tenant, stored.id, SHOWN_MEMBERS + 1).await?
            > SHOWN_MEMBERS;
    if is_large {
        return Ok(Reply {
            etag: Some(resource::etag(stored.version)),
            ..Reply::no_content()
        });
    }
    show(db, context, 200, stored, wishes).await
}

/// Carries out a change of members, tells of it in `changes`, and says whether anything changed.
async fn change_members(
    db: &mut Connection,
    context: &Context,
    group: ResourceId,
    change: MemberChange,
    changes: &mut Value,
) -> Result<bool, Failure> {
    let tenant = context.tenant;
    let remove = async |db: &mut Connection, values: &[String], all_but: bool| {
        scim_groups::remove_members(db, tenant, group, values, all_but).await
    };
    let (added, removed) = match change {
        MemberChange::Add(members) => {
            let rows = member_rows(context, members)?;
            (
                scim_groups::add_members(db, tenant, group, &rows).await?,
                Changed::default(),
            )
        }
        MemberChange::Remove(values) => {
            let values: Vec<String> = values.iter().map(|value| issued(value)).collect();
            (Changed::default(), remove(db, &values, false).await?)
        }
        MemberChange::RemoveMatching(filter) => {
            let condition = scim_search::member_condition(&context.base, &filter);
            (
                Changed::default(),
                scim_groups::remove_matching(db, tenant, group, &condition).await?,
            )
        }
        MemberChange::ReplaceAll(members) => {
            let rows = member_rows(context, members)?;
            let values: Vec<String> = rows.iter().map(|row| row.value.clone()).collect();
            let removed = remove(db, &values, true).await?;
            (
                scim_groups::add_members(db, tenant, group, &rows).await?,
                removed,
            )
        }
        MemberChange::RemoveAll => (Changed::default(), remove(db, &[], true).await?),
    };
    let is_changed = added.count + removed.count > 0;
    tell(changes, "old", removed);
    tell(changes, "new", added);
    Ok(is_changed)
}

/// Deletes a group.
///
/// # Errors
///
/// 404, 412.
pub async fn delete(
    context: &Context,
    id: ResourceId,
    if_match: &Precondition,
) -> Result<Reply, Failure> {
    let mut tx = context.begin().await?;
    let mut version = None;
    if if_match.0.is_some() {
        let stored = scim_resources::get(&mut tx, context.tenant, SOURCE, id).await?;
        let stored = stored.ok_or_else(|| no_such(GROUP))?;
        check(if_match, stored.version)?;
        version = Some(stored.version);
    }
    if !scim_groups::delete(&mut tx, context.tenant, context.now, id, version).await? {
        return Err(match version {
            Some(_) => changed_meanwhile().into(),
            None => no_such(GROUP).into(),
        });
    }
    let event = context.event(Outcome::Deleted, 204, (GROUP, id), json!([]), vec![]);
    scim_events::record(&mut tx, context.tenant, &event, Some(id)).await?;
    tx.commit().await?;
    context.count(Outcome::Deleted, GROUP, &[]);
    Ok(Reply::no_content())
}

async fn show(
    db: &mut Connection,
    context: &Context,
    status: u16,
    stored: Stored,
    wishes: &Wishes,
) -> Result<Reply, Failure> {
    let (id, version) = (stored.id, stored.version);
    let shown = resource::render(db, context, GROUP, vec![stored], &wishes.projection).await?;
    let location = resource::location(&context.base, GROUP, id);
    Ok(Reply::resource(
        status,
        version,
        location,
        shown.into_iter().next().unwrap_or_default(),
    ))
}

fn row(id: ResourceId, resource: Map<String, Value>) -> Result<GroupRow, ScimError> {
    let text = |name: &str| {
        resource
            .get(name)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let display_name = text("displayName").unwrap_or_default();
    let external_id = text("externalId");
    let keys = keys(&resource);
    for (name, key) in [
        ("displayName", Some(&display_name)),
        ("displayName", Some(&keys.display_name_key)),
        ("externalId", external_id.as_ref()),
    ] {
        check_key(name, key)?;
    }
    Ok(GroupRow {
        id,
        display_name_key: keys.display_name_key,
        display_name,
        external_id,
        search: keys.search,
        resource,
    })
}

/// The keys of a canonical group.
pub fn keys(resource: &Map<String, Value>) -> GroupKeys {
    let display_name = resource.get("displayName").and_then(Value::as_str);
    GroupKeys {
        display_name_key: fold(display_name.unwrap_or_default()).into_owned(),
        search: search_form(GROUP, resource),
    }
}

fn member_rows(context: &Context, members: Vec<Member>) -> Result<Vec<MemberRow>, ScimError> {
    let row = |member: Member| {
        let value = issued(&member.value);
        if value.is_empty() {
            return Err(ScimError::bad_request(
                ScimType::InvalidValue,
                "members.value must be the id of a resource",
            ));
        }
        check_key("members.value", Some(&value))?;
        Ok(MemberRow {
            id: context.app.new_id(),
            value,
            kind: member.kind,
            display_key: member
                .display
                .as_deref()
                .map(|name| fold(name).into_owned()),
            display: member.display,
        })
    };
    members.into_iter().map(row).collect()
}

/// Adds members to what an event tells of.
fn tell(changes: &mut Value, which: &str, members: Changed) {
    if let (Value::Array(changes), true) = (changes, members.count > 0) {
        changes
            .push(json!({ "attribute": "members", which: members.some, "count": members.count }));
    }
}
