//! Users: creating, replacing, modifying and deleting them.
//!
//! A change is read, computed and written with the condition that nobody wrote in between; if
//! somebody did, it is done again on the new version. So parallel changes of different attributes
//! all survive, without a lock.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use scim::error::{ScimError, ScimType};
use scim::normalize::{self, Normalized, normalize};
use scim::patch;
use scim::reference::Reference;
use scim::schema::{ResourceType, is_address};
use scim::search_form;
use serde_json::{Map, Value, json};

use super::answers::{Failure, no_such};
use super::{Context, Precondition, Reply, Wishes, resource};
use crate::domain::ids::{MemberId, ResourceId};
use crate::domain::letters::{address_key, fold, user_name_key};
use crate::domain::member::MemberStatus;
use crate::error::Error;
use crate::metrics::SessionEnd;
use crate::provisioning::users::{Link, link};
use crate::store::folding::UserKeys;
use crate::store::members::Settled;
use crate::store::scim_events::{Event, Outcome};
use crate::store::scim_resources::{self, Prefetched, Source, Stored, Table};
use crate::store::scim_users::{self, Extent, Inserted, NewUser, UserRow, Whom};
use crate::store::{self, Json, Later, Transaction};

const USER: ResourceType = ResourceType::User;

/// How often a change is computed anew because of others.
const ATTEMPTS: usize = 50;

/// The most code points of a userName and an externalId: what fits an index.
const MAX_KEY_LENGTH: usize = 512;

/// A user to create.
#[derive(Debug)]
pub struct New {
    /// What to store.
    pub row: UserRow,
    /// The member that it is.
    pub link: Link,
    /// What was recognised of the dialect.
    pub traits: Vec<&'static str>,
    /// What it refers to by URI alone: see [`resource::check_references`].
    pub references: Vec<Reference>,
}

/// Creates a user: it becomes a member of the organization.
///
/// # Errors
///
/// 400 for the body, 409 when it is not unique.
pub async fn create(context: &Context, body: Value, wishes: &Wishes) -> Result<Reply, Failure> {
    let new = prepare(context, body, context.app.new_id())?;
    let source = resource::source(USER, &wishes.projection);
    let stored = create_one(context, new, source).await?;
    show(context, 201, stored, wishes).await
}

/// Creates a user who is nobody known, if the configuration takes requests with the token that has this hash. One round trip.
/// `None` when it was not created because there is more to look at, or to say: [`create`] does.
pub async fn create_stranger(
    context: &Context,
    body: Value,
    wishes: &Wishes,
    token_hash: &str,
) -> Option<Result<Reply, Failure>> {
    let new = prepare(context, body, context.app.new_id()).ok()?;
    if !new.references.is_empty() {
        return None;
    }
    let inserted = async {
        let mut db = context.app.store.acquire().await?;
        let (tenant, now) = (context.tenant, context.now);
        let given = given(context, std::slice::from_ref(&new));
        let whom = Whom::StrangersWithToken(token_hash);
        scim_users::insert(&mut db, tenant, now, &given, whom).await
    };
    match inserted.await {
        Ok(Inserted::All) => {
            context.count(Outcome::Created, USER, &new.traits);
            Some(show(context, 201, first_version(context, new), wishes).await)
        }
        Ok(_) | Err(Error::AlreadyExists(_)) => None,
        Err(error) => Some(Err(error.into())),
    }
}

fn first_version(context: &Context, new: New) -> Stored {
    Stored {
        id: new.row.id,
        resource: Json(new.row.resource),
        version: 1,
        created_at: context.now,
        last_modified: context.now,
        sort_key: None,
        groups: None,
    }
}

/// Creates a user, or takes up again the inactive one that has its externalId, which is then read
/// from `source`: somebody came back, perhaps under another name.
///
/// # Errors
///
/// 400 for a reference that leads elsewhere, 409 when it is not unique.
pub async fn create_one(
    context: &Context,
    mut new: New,
    source: Source,
) -> Result<Stored, Failure> {
    resource::check_references(context, &new.references).await?;
    match insert(context, std::slice::from_mut(&mut new)).await {
        Ok(()) => Ok(first_version(context, new)),
        Err(Error::AlreadyExists(text)) => match take_up(context, &new, source).await? {
            Some(stored) => Ok(stored),
            None => Err(Error::AlreadyExists(text).into()),
        },
        Err(error) => Err(error.into()),
    }
}

/// Gives the inactive user with the externalId of `new` the attributes of `new`; `None` when there
/// is none.
async fn take_up(context: &Context, new: &New, source: Source) -> Result<Option<Stored>, Failure> {
    let Some(external_id) = &new.row.external_id else {
        return Ok(None);
    };
    for _ in 0..ATTEMPTS {
        let mut db = context.app.store.acquire().await?;
        let found = scim_users::find_inactive(&mut db, context.tenant, external_id).await?;
        let Some((id, version)) = found else {
            return Ok(None);
        };
        let stored = scim_resources::get(&mut db, context.tenant, source, id).await?;
        let Some(stored) = stored.filter(|stored| stored.version == version) else {
            continue;
        };
        let row = row(id, new.row.resource.clone())?;
        let changes = resource::changes(&stored.resource.0, &row.resource);
        let event = Event {
            reason: Some("the inactive user with this externalId came back".to_owned()),
            action: "UpdateUser",
            ..context.event(
                Outcome::Created,
                201,
                (USER, id),
                changes,
                new.traits.clone(),
            )
        };
        drop(db);
        if change_access(context, &row, version, &event).await? {
            context.count(Outcome::Created, USER, &new.traits);
            return Ok(Some(changed(stored, row, context.now)));
        }
    }
    Err(busy())
}

/// Writes a user who may have access now, or may not any more, with what follows from it for the member. `false` when its version
/// is not `version` any more.
async fn change_access(
    context: &Context,
    row: &UserRow,
    version: i64,
    event: &Event,
) -> Result<bool, Error> {
    let (tenant, now) = (context.tenant, context.now);
    let mut tx = context.begin().await?;
    let extent = Extent::Member;
    let updated = scim_users::update(&mut tx, tenant, now, row, version, extent, event).await?;
    match updated {
        Some(member) => {
            settle(context, tx, &[member]).await?;
            Ok(true)
        }
        None => Ok(false),
    }
}

/// Commits a change of users after which their members may act, or may not any more.
async fn settle(context: &Context, mut tx: Transaction, members: &[MemberId]) -> Result<(), Error> {
    let organization_id = context.tenant.organization_id;
    let now = context.now;
    let changed = store::members::settle(&mut tx, organization_id, members, now).await?;
    let actor = context.tenant.scim_configuration_id.into();
    for change in changed.iter().map(Settled::change) {
        let id = context.app.new_id();
        store::audit::insert(&mut tx, organization_id, id, now, actor, &change).await?;
    }
    tx.commit().await?;
    let ended = changed.iter().map(|settled| settled.ended_sessions).sum();
    let metrics = &context.app.metrics;
    metrics.sessions_ended(SessionEnd::Deprovisioned, ended);
    Ok(())
}

fn changed(stored: Stored, row: UserRow, now: DateTime<Utc>) -> Stored {
    Stored {
        resource: Json(row.resource),
        version: stored.version + 1,
        last_modified: now.max(stored.last_modified),
        ..stored
    }
}

fn busy() -> Failure {
    ScimError::new(503, "others change this user all the time: try again").into()
}

/// Checks a body and makes the row of it.
///
/// # Errors
///
/// 400 for the body.
pub fn prepare(context: &Context, body: Value, id: ResourceId) -> Result<New, ScimError> {
    let Normalized {
        mut resource,
        traits,
        references,
    } = normalize(USER, body)?;
    resource.entry("active").or_insert(Value::Bool(true));
    Ok(New {
        row: row(id, resource)?,
        link: Link::to_new(&context.app),
        traits,
        references,
    })
}

/// Adds prepared users, all or none: in one query, or a transaction if somebody is known already.
///
/// # Errors
///
/// [`Error::AlreadyExists`] when one is not unique.
pub async fn insert(context: &Context, new: &mut [New]) -> Result<(), Error> {
    let mut inserted = match share_addresses(new) {
        true => Inserted::NotStrangers,
        false => {
            let mut db = context.app.store.acquire().await?;
            let (tenant, now) = (context.tenant, context.now);
            scim_users::insert(&mut db, tenant, now, &given(context, new), Whom::Strangers).await?
        }
    };
    for _ in 0..ATTEMPTS {
        if inserted == Inserted::All {
            for new in new {
                context.count(Outcome::Created, USER, &new.traits);
            }
            return Ok(());
        }
        inserted = insert_known(context, new).await?;
    }
    Err(Error::Unavailable(
        "others provision the same members all the time".into(),
    ))
}

/// Adds users of which some may be members already.
async fn insert_known(context: &Context, new: &mut [New]) -> Result<Inserted, Error> {
    let (tenant, now) = (context.tenant, context.now);
    let mut tx = context.begin().await?;
    let rows: Vec<&UserRow> = new.iter().map(|new| &new.row).collect();
    let allow = context.allow_unverified_linking;
    let links = link(&context.app, &mut tx, tenant, allow, &rows).await?;
    for (new, link) in new.iter_mut().zip(links) {
        new.link = link;
    }
    let given = given(context, new);
    let inserted = scim_users::insert(&mut tx, tenant, now, &given, Whom::All).await?;
    if inserted == Inserted::All {
        let known = new.iter().filter(|new| !new.link.is_new);
        let known: Vec<MemberId> = known.map(|new| new.link.member_id).collect();
        if !known.is_empty() {
            scim_users::adopt(&mut tx, tenant, now, &given).await?;
        }
        settle(context, tx, &known).await?;
    }
    Ok(inserted)
}

/// Whether two of the users have one address: the statement that inserts them does not see that.
fn share_addresses(new: &[New]) -> bool {
    let mut seen = HashSet::new();
    let mut addresses = new.iter().map(|new| &new.row.email_key);
    addresses.any(|address| !address.is_empty() && !seen.insert(address))
}

fn given<'a>(context: &Context, new: &'a [New]) -> Vec<NewUser<'a>> {
    let event = |new: &New| {
        let changes = resource::changes(&Map::new(), &new.row.resource);
        let resource = (USER, new.row.id);
        Event {
            reason: new.link.note.clone(),
            action: match new.link.is_new {
                true => "CreateUser",
                false => "LinkUser",
            },
            ..context.event(Outcome::Created, 201, resource, changes, new.traits.clone())
        }
    };
    let status = |new: &New| MemberStatus::of_users(false, [new.row.active]);
    let given = |new: &'a New| NewUser {
        row: &new.row,
        member_id: new.link.member_id,
        new_status: new.link.is_new.then(|| status(new)),
        event: event(new),
    };
    new.iter().map(given).collect()
}

/// Replaces a user.
///
/// # Errors
///
/// 400 for the body, 404, 409, 412.
pub async fn replace(
    context: &Context,
    id: ResourceId,
    prefetched: Prefetched,
    body: Value,
    wishes: &Wishes,
) -> Result<Reply, Failure> {
    let Normalized {
        resource,
        traits,
        references,
    } = normalize(USER, body)?;
    resource::check_references(context, &references).await?;
    let change = |old: &Map<String, Value>| Ok(with_active_of(old, resource.clone()));
    update(context, id, prefetched, wishes, traits, change).await
}

/// Modifies a user.
///
/// # Errors
///
/// 400 for the body, 404, 409, 412.
pub async fn modify(
    context: &Context,
    id: ResourceId,
    prefetched: Prefetched,
    body: Value,
    wishes: &Wishes,
) -> Result<Reply, Failure> {
    let plan = patch::plan(USER, body)?;
    resource::check_references(context, &plan.references).await?;
    let traits = plan.traits.clone();
    let change = |old: &Map<String, Value>| {
        let mut with_id = old.clone();
        with_id.insert("id".to_owned(), json!(id));
        let mut resource = plan.apply(&with_id)?.resource;
        resource.remove("id");
        Ok(with_active_of(old, resource))
    };
    update(context, id, prefetched, wishes, traits, change).await
}

/// The new form of a user, as active as the old one if it does not say: who leaves it out or takes
/// it away says nothing of access, least of all that it is restored.
fn with_active_of(old: &Map<String, Value>, mut new: Map<String, Value>) -> Map<String, Value> {
    if let (None, Some(active)) = (new.get("active"), old.get("active")) {
        new.insert("active".to_owned(), active.clone());
    }
    new
}

/// The attributes that a member and its addresses are made from.
const OF_MEMBER: [&str; 6] = [
    "userName",
    "emails",
    "name",
    "displayName",
    "photos",
    "active",
];

/// What a change of a user is about.
fn extent(old: &Map<String, Value>, new: &Map<String, Value>) -> Extent {
    match OF_MEMBER
        .iter()
        .all(|name| old.get(*name) == new.get(*name))
    {
        true => Extent::Resource,
        false => Extent::Member,
    }
}

/// Changes the version that was found, or that there is now if somebody wrote since.
async fn update(
    context: &Context,
    id: ResourceId,
    prefetched: Prefetched,
    wishes: &Wishes,
    traits: Vec<&'static str>,
    change: impl Fn(&Map<String, Value>) -> Result<Map<String, Value>, ScimError>,
) -> Result<Reply, Failure> {
    let source = resource::source(USER, &wishes.projection);
    let mut found = prefetched.one();
    for _ in 0..ATTEMPTS {
        let mut db = Later::new(&context.app.store);
        let stored = match found.take() {
            Some(stored) => Some(stored),
            None => scim_resources::get(db.get().await?, context.tenant, source, id).await?,
        };
        let stored = stored.ok_or_else(|| no_such(USER))?;
        check(&wishes.if_match, stored.version)?;
        let old = &stored.resource.0;
        let new = change(old)?;
        if new == *old {
            drop(db);
            return show(context, 200, stored, wishes).await;
        }
        let changes = resource::changes(old, &new);
        let extent = extent(old, &new);
        let was_active = is_active(old);
        let row = row(id, new)?;
        let is_same_access = row.active == was_active;
        let event = context.event(Outcome::Updated, 200, (USER, id), changes, traits.clone());
        let version = stored.version;
        let is_done = if is_same_access {
            let (tenant, now) = (context.tenant, context.now);
            let held = db.get().await?;
            let updated = scim_users::update(held, tenant, now, &row, version, extent, &event);
            let is_done = updated.await?.is_some();
            drop(db);
            is_done
        } else {
            drop(db);
            change_access(context, &row, version, &event).await?
        };
        if is_done {
            context.count(Outcome::Updated, USER, &traits);
            let stored = changed(stored, row, context.now);
            return show(context, 200, stored, wishes).await;
        }
    }
    Err(busy())
}

/// Deletes a user: its member leaves.
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
        let source = Source {
            table: Table::Users,
            with_groups: false,
        };
        let stored = scim_resources::get(&mut tx, context.tenant, source, id).await?;
        let stored = stored.ok_or_else(|| no_such(USER))?;
        check(if_match, stored.version)?;
        version = Some(stored.version);
    }
    let event = context.event(Outcome::Deleted, 204, (USER, id), json!([]), vec![]);
    let (tenant, now) = (context.tenant, context.now);
    if let Some(member) = scim_users::delete(&mut tx, tenant, now, id, version, &event).await? {
        settle(context, tx, &[member]).await?;
        context.count(Outcome::Deleted, USER, &[]);
        return Ok(Reply::no_content());
    }
    match version {
        Some(_) => Err(changed_meanwhile().into()),
        None => Err(no_such(USER).into()),
    }
}

/// Refuses to change a version that the client does not know.
///
/// # Errors
///
/// 412.
pub fn check(if_match: &Precondition, version: i64) -> Result<(), ScimError> {
    if if_match.allows(version) {
        Ok(())
    } else {
        Err(changed_meanwhile())
    }
}

/// The error for a version that the client does not know.
pub fn changed_meanwhile() -> ScimError {
    ScimError::new(
        412,
        "the resource was changed meanwhile: read it, and send the change with its new version",
    )
}

async fn show(
    context: &Context,
    status: u16,
    stored: Stored,
    wishes: &Wishes,
) -> Result<Reply, Failure> {
    let (id, version) = (stored.id, stored.version);
    let mut db = Later::new(&context.app.store);
    let shown = resource::show(&mut db, context, USER, vec![stored], &wishes.projection).await?;
    drop(db);
    let location = resource::location(&context.base, USER, id);
    Ok(Reply::resource(
        status,
        version,
        location,
        shown.into_iter().next().unwrap_or_default(),
    ))
}

/// Makes the row of a canonical user, which says whether it is active.
fn row(id: ResourceId, resource: Map<String, Value>) -> Result<UserRow, ScimError> {
    let text = |name: &str| resource.get(name).and_then(Value::as_str);
    let user_name = text("userName").unwrap_or_default().to_owned();
    let external_id = text("externalId").map(str::to_owned);
    for (name, key) in [
        ("userName", Some(&user_name)),
        ("externalId", external_id.as_ref()),
    ] {
        check_key(name, key)?;
    }
    let email = email(&resource, &user_name);
    let name = name(&resource, &user_name);
    let keys = keys(&resource, &user_name);
    for key in &keys.emails {
        check_key("emails.value", Some(key))?;
    }
    check_key("displayName", keys.display_name_key.as_ref())?;
    Ok(UserRow {
        id,
        user_name_key: keys.user_name_key,
        display_name_key: keys.display_name_key,
        active: is_active(&resource),
        search: keys.search,
        emails: keys.emails,
        email_key: address_key(&email).into_owned(),
        email,
        name_key: fold(&name).into_owned(),
        name,
        avatar_url: picture(&resource),
        user_name,
        external_id,
        resource,
    })
}

fn is_active(resource: &Map<String, Value>) -> bool {
    resource.get("active") == Some(&Value::Bool(true))
}

/// The keys of a canonical user.
pub fn keys(resource: &Map<String, Value>, user_name: &str) -> UserKeys {
    let display_name = resource.get("displayName").and_then(Value::as_str);
    let mut emails: Vec<String> = values(resource, "emails")
        .filter_map(|v| text_of(v, "value"))
        .map(|address| address_key(address).into_owned())
        .collect();
    emails.sort_unstable();
    emails.dedup();
    UserKeys {
        user_name_key: user_name_key(user_name).into_owned(),
        display_name_key: display_name.map(|name| fold(name).into_owned()),
        emails,
        search: search_form(USER, resource),
    }
}

/// Refuses what no index takes.
///
/// # Errors
///
/// 400 `invalidValue`.
pub fn check_key(name: &str, key: Option<&String>) -> Result<(), ScimError> {
    match key {
        Some(key) if key.chars().count() > MAX_KEY_LENGTH => Err(too_long(name)),
        _ => Ok(()),
    }
}

fn too_long(name: &str) -> ScimError {
    let text = format!("{name} must have at most {MAX_KEY_LENGTH} characters");
    ScimError::bad_request(ScimType::InvalidValue, text)
}

fn values<'a>(resource: &'a Map<String, Value>, name: &str) -> impl Iterator<Item = &'a Value> {
    resource
        .get(name)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn text_of<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}

/// The member's address: the primary one, else the first, else the user name if it looks like one.
fn email(resource: &Map<String, Value>, user_name: &str) -> String {
    let is_primary = |value: &&Value| value.get("primary") == Some(&Value::Bool(true));
    let primary = values(resource, "emails")
        .find(is_primary)
        .or_else(|| values(resource, "emails").next());
    let address = primary.and_then(|value| text_of(value, "value"));
    match address {
        Some(address) => address.to_owned(),
        None if is_address(user_name) => user_name.to_owned(),
        None => String::new(),
    }
}

/// The member's name, as good as it gets.
fn name(resource: &Map<String, Value>, user_name: &str) -> String {
    let part = |name: &str| resource.get("name").and_then(|n| text_of(n, name));
    let parts: Vec<&str> = [part("givenName"), part("familyName")]
        .into_iter()
        .flatten()
        .collect();
    let display = resource.get("displayName").and_then(Value::as_str);
    match display.or(part("formatted")) {
        Some(name) => name.to_owned(),
        None if !parts.is_empty() => parts.join(" "),
        None => user_name.to_owned(),
    }
}

fn picture(resource: &Map<String, Value>) -> String {
    let mut photos = values(resource, "photos").filter_map(|photo| text_of(photo, "value"));
    let first = photos
        .next()
        .filter(|photo| normalize::is_uri_reference(photo));
    first.unwrap_or_default().to_owned()
}
