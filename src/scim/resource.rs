//! From stored resources to what clients see: what the server adds, and the projection.

use std::collections::HashMap;
use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, Utc};
use scim::normalize::no_reference;
use scim::project::Projection;
use scim::reference::Reference;
use scim::schema::{ENTERPRISE_USER_URN, ResourceType};
use serde_json::{Map, Value, json};

use super::Context;
use super::answers::Failure;
use crate::domain::ids::ResourceId;
use crate::error::Error;
use crate::store::scim_resources::{self, DirectGroup, Source, Stored, Table};
use crate::store::{Connection, Later};

/// Where resources of a type are stored.
pub const fn table(resource_type: ResourceType) -> Table {
    match resource_type {
        ResourceType::User => Table::Users,
        ResourceType::Group => Table::Groups,
    }
}

/// What to read of resources of a type for a projection.
pub fn source(resource_type: ResourceType, projection: &Projection) -> Source {
    Source {
        table: table(resource_type),
        with_groups: resource_type == ResourceType::User && projection.wants("groups"),
    }
}

/// The weak entity tag of a version (RFC 7644, section 3.14).
pub fn etag(version: i64) -> String {
    format!("W/\"{version}\"")
}

/// Where a resource is.
pub fn location(base: &str, resource_type: ResourceType, id: ResourceId) -> String {
    format!("{base}{}/{id}", resource_type.endpoint())
}

/// Refuses references that lead elsewhere than to resources of this configuration. A query, if there
/// are any.
///
/// # Errors
///
/// A 400 that says the same whatever is where a reference leads.
pub async fn check_references(context: &Context, references: &[Reference]) -> Result<(), Failure> {
    if references.is_empty() {
        return Ok(());
    }
    let ids = |kind: ResourceType| -> Vec<ResourceId> {
        let of_kind = references.iter().filter(|r| r.resource_type == kind);
        of_kind.map(|reference| reference.id.into()).collect()
    };
    let (users, groups) = (ids(ResourceType::User), ids(ResourceType::Group));
    let mut are_there = references.iter().all(|r| r.is_below(&context.base));
    if are_there {
        let mut db = context.app.store.acquire().await?;
        are_there = scim_resources::all_exist(&mut db, context.tenant, &users, &groups).await?;
    }
    match are_there {
        true => Ok(()),
        false => Err(no_reference().into()),
    }
}

/// Whether resources of one type, read from their [`source`], have all that the projection shows.
fn is_complete(resource_type: ResourceType, stored: &[Stored], projection: &Projection) -> bool {
    match resource_type {
        ResourceType::User => !stored.iter().any(|s| is_nested(s) || manager(s).is_some()),
        ResourceType::Group => stored.is_empty() || !projection.wants("members"),
    }
}

/// Completes resources of one type, read from their [`source`], with what the server knows, as far
/// as the projection shows it, in two queries at most.
pub async fn render(
    db: &mut Connection,
    context: &Context,
    resource_type: ResourceType,
    stored: Vec<Stored>,
    projection: &Projection,
) -> Result<Vec<Map<String, Value>>, Error> {
    let additions = match resource_type {
        ResourceType::User => user_additions(db, context, &stored).await?,
        ResourceType::Group => group_additions(db, context, &stored, projection).await?,
    };
    Ok(complete(
        context,
        resource_type,
        stored,
        projection,
        &additions,
    ))
}

/// Like [`render`], with a connection only if it is needed: most resources are complete.
pub async fn show(
    db: &mut Later<'_>,
    context: &Context,
    resource_type: ResourceType,
    stored: Vec<Stored>,
    projection: &Projection,
) -> Result<Vec<Map<String, Value>>, Error> {
    if is_complete(resource_type, &stored, projection) {
        let nothing = Additions::default();
        return Ok(complete(
            context,
            resource_type,
            stored,
            projection,
            &nothing,
        ));
    }
    render(db.get().await?, context, resource_type, stored, projection).await
}

fn complete(
    context: &Context,
    resource_type: ResourceType,
    stored: Vec<Stored>,
    projection: &Projection,
    additions: &Additions,
) -> Vec<Map<String, Value>> {
    let base = &*context.base;
    let shown = stored.into_iter().map(|stored| {
        let (id, mut resource) = (stored.id, stored.resource.0);
        resource.insert("id".to_owned(), json!(id));
        resource.insert(
            "meta".to_owned(),
            json!({
                "resourceType": resource_type.name(),
                "created": moment(stored.created_at),
                "lastModified": moment(stored.last_modified),
                "location": location(base, resource_type, id),
                "version": etag(stored.version),
            }),
        );
        if let Some(groups) = stored.groups {
            let groups = groups.iter().map(|group| direct_group(base, group));
            resource.insert("groups".to_owned(), groups.collect());
        }
        additions.complete(&mut resource, id, base);
        projection.apply(resource)
    });
    shown.collect()
}

fn moment(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// What the server adds to resources.
#[derive(Default)]
struct Additions {
    /// By the resource's id: the name and the values of its list.
    lists: HashMap<ResourceId, (&'static str, Vec<Value>)>,
    /// The managers that there are, and their display names.
    names: HashMap<ResourceId, Option<String>>,
}

impl Additions {
    fn complete(&self, resource: &mut Map<String, Value>, id: ResourceId, base: &str) {
        if let Some((name, values)) = self.lists.get(&id) {
            resource.insert((*name).to_owned(), Value::Array(values.clone()));
        }
        let manager = resource
            .get_mut(ENTERPRISE_USER_URN)
            .and_then(|e| e.get_mut("manager"));
        let Some(Value::Object(manager)) = manager else {
            return;
        };
        manager.remove("$ref");
        manager.remove("displayName");
        let found = manager
            .get("value")
            .and_then(id_of)
            .and_then(|id| Some((id, self.names.get(&id)?)));
        if let Some((id, name)) = found {
            manager.insert(
                "$ref".to_owned(),
                json!(location(base, ResourceType::User, id)),
            );
            if let Some(name) = name {
                manager.insert("displayName".to_owned(), json!(name));
            }
        }
    }
}

fn id_of(value: &Value) -> Option<ResourceId> {
    ResourceId::from_str(value.as_str()?).ok()
}

/// Whether a user is in groups by way of others.
fn is_nested(stored: &Stored) -> bool {
    stored
        .groups
        .as_ref()
        .is_some_and(|groups| groups.iter().any(|group| group.is_nested))
}

fn manager(stored: &Stored) -> Option<ResourceId> {
    id_of(
        stored
            .resource
            .get(ENTERPRISE_USER_URN)?
            .get("manager")?
            .get("value")?,
    )
}

fn direct_group(base: &str, group: &DirectGroup) -> Value {
    json!({
        "value": group.id,
        "$ref": location(base, ResourceType::Group, group.id),
        "display": group.display,
        "type": "direct",
    })
}

async fn user_additions(
    db: &mut Connection,
    context: &Context,
    stored: &[Stored],
) -> Result<Additions, Error> {
    let mut additions = Additions::default();
    let nested = stored.iter().filter(|stored| is_nested(stored));
    let ids: Vec<String> = nested.map(|stored| stored.id.to_string()).collect();
    if !ids.is_empty() {
        for group in scim_resources::groups_of(db, context.tenant, &ids).await? {
            let Ok(user) = ResourceId::from_str(&group.member) else {
                continue;
            };
            let value = json!({
                "value": group.group_id,
                "$ref": location(&context.base, ResourceType::Group, group.group_id),
                "display": group.display,
                "type": if group.is_direct { "direct" } else { "indirect" },
            });
            additions
                .lists
                .entry(user)
                .or_insert(("groups", vec![]))
                .1
                .push(value);
        }
    }
    let managers: Vec<ResourceId> = stored.iter().filter_map(manager).collect();
    if !managers.is_empty() {
        additions.names = scim_resources::names_of(db, context.tenant, &managers)
            .await?
            .into_iter()
            .collect();
    }
    Ok(additions)
}

async fn group_additions(
    db: &mut Connection,
    context: &Context,
    stored: &[Stored],
    projection: &Projection,
) -> Result<Additions, Error> {
    let mut additions = Additions::default();
    if !projection.wants("members") || stored.is_empty() {
        return Ok(additions);
    }
    let ids: Vec<ResourceId> = stored.iter().map(|stored| stored.id).collect();
    for member in scim_resources::members_of(db, context.tenant, &ids).await? {
        let mut value = Map::new();
        let resolved = member.resolved.as_deref().and_then(ResourceType::named);
        if let (Some(resource_type), Ok(id)) = (resolved, ResourceId::from_str(&member.value)) {
            value.insert(
                "$ref".to_owned(),
                json!(location(&context.base, resource_type, id)),
            );
        }
        if let Some(kind) = member.resolved.or(member.kind) {
            value.insert("type".to_owned(), json!(kind));
        }
        if let Some(display) = member.display {
            value.insert("display".to_owned(), json!(display));
        }
        value.insert("value".to_owned(), json!(member.value));
        additions
            .lists
            .entry(member.group_id)
            .or_insert(("members", vec![]))
            .1
            .push(Value::Object(value));
    }
    Ok(additions)
}

/// What differs between two forms of a resource: `[{"attribute", "old", "new"}]`.
pub fn changes(old: &Map<String, Value>, new: &Map<String, Value>) -> Value {
    let mut changes = vec![];
    let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names.into_iter().filter(|name| *name != "schemas") {
        match (old.get(name), new.get(name)) {
            (old, new) if old == new => {}
            (old, new) if name.starts_with("urn:") => {
                let part = |value: Option<&Value>| {
                    value
                        .and_then(Value::as_object)
                        .cloned()
                        .unwrap_or_default()
                };
                let inner = self::changes(&part(old), &part(new));
                for mut change in inner.as_array().cloned().unwrap_or_default() {
                    if let Some(inner) = change.get("attribute").and_then(Value::as_str) {
                        change["attribute"] = json!(format!("{name}:{inner}"));
                    }
                    changes.push(change);
                }
            }
            (old, new) => {
                let mut change = json!({ "attribute": name });
                if let (Some(old), Value::Object(change)) = (old, &mut change) {
                    change.insert("old".to_owned(), old.clone());
                }
                if let (Some(new), Value::Object(change)) = (new, &mut change) {
                    change.insert("new".to_owned(), new.clone());
                }
                changes.push(change);
            }
        }
    }
    Value::Array(changes)
}
