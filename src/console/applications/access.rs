//! Who may use an application: everybody, or the members of some groups.

use std::collections::{BTreeMap, BTreeSet};

use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Application, get_one};
use crate::console::client::Refusal;
use crate::console::form::Entered;
use crate::console::frame::{Content, Section};
use crate::console::parts::{Tone, badge, number};
use crate::console::visit::{At, Visit};

const LIST: &str = "gitpod.v1.GroupService/ListGroups";

/// How many groups the API finds by their ids at once.
const AT_ONCE: usize = 25;

/// How many groups a search shows.
const FOUND: usize = 20;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Groups {
    groups: Vec<Group>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Group {
    id: String,
    name: String,
    member_count: i64,
    system_managed: bool,
}

/// The names of the first groups of some.
pub async fn names<'a>(
    visit: &Visit,
    ids: impl Iterator<Item = &'a String>,
) -> Result<BTreeMap<String, String>, Refusal> {
    let ids: BTreeSet<&String> = ids.collect();
    let ids: Vec<&str> = ids.into_iter().take(AT_ONCE).map(|id| &**id).collect();
    let groups = by_ids(visit, &ids).await?;
    Ok(groups.into_iter().map(|g| (g.id, g.name)).collect())
}

async fn by_ids(visit: &Visit, ids: &[&str]) -> Result<Vec<Group>, Refusal> {
    if ids.is_empty() {
        return Ok(vec![]);
    }
    let request = json!({ "filter": { "groupIds": ids } });
    Ok(visit.call::<Groups>(LIST, request).await?.groups)
}

/// Who may use an application with these groups.
pub fn words(ids: &[String], names: &BTreeMap<String, String>) -> Markup {
    let known: Option<Vec<&str>> = ids
        .iter()
        .map(|id| names.get(id).map(|name| &**name))
        .collect();
    html! {
        @match known {
            _ if ids.is_empty() => "Everybody",
            Some(names) if names.len() <= 3 => (names.join(", ")),
            _ => { (ids.len()) " groups" }
        }
    }
}

/// The part of the page that says who may use an application, and changes that.
pub async fn panel(
    visit: &Visit,
    application: &Application,
    path: &str,
    search: &str,
) -> Result<Markup, Refusal> {
    let ids: Vec<&str> = application.group_ids.iter().map(|id| &**id).collect();
    let chosen = async {
        let mut chosen = vec![];
        for some in ids.chunks(AT_ONCE) {
            chosen.extend(by_ids(visit, some).await?);
        }
        Ok::<_, Refusal>(chosen)
    };
    let found = async {
        if search.is_empty() {
            return Ok::<_, Refusal>(vec![]);
        }
        let request =
            json!({ "filter": { "search": search }, "pagination": { "pageSize": FOUND } });
        Ok(visit.call::<Groups>(LIST, request).await?.groups)
    };
    let (chosen, found) = futures_util::future::try_join(chosen, found).await?;
    let to_groups = format!("{path}/groups");
    Ok(html! {
        section #access .panel {
            h2 { "Who may use it" }
            @if ids.is_empty() {
                p { "Everybody in " strong { (visit.name) } " who can sign in. Add a group, and only its members may." }
            } @else {
                p { "Only members of these groups, and of the groups in them." }
                table .list {
                    thead { tr { th scope="col" { "Group" } th scope="col" { "Members" } th scope="col" { "Change" } } }
                    tbody { @for group in &chosen { (row(visit, group, &to_groups, "remove", "Remove")) } }
                }
                (gone(&ids, &chosen, &to_groups))
            }
            form .toolbar method="get" action={ (path) "#access" } {
                div .field.grow {
                    label for="search" { "Find a group to add" }
                    input #search name="search" type="search" value=(search) autocomplete="off" maxlength="256";
                }
                button .second { "Search" }
            }
            @if !search.is_empty() {
                @let new: Vec<&Group> = found.iter().filter(|group| !application.group_ids.contains(&group.id)).collect();
                @if new.is_empty() {
                    p role="status" { "No other group has “" (search) "” in its name or description." }
                } @else {
                    table .list {
                        thead { tr { th scope="col" { "Found" } th scope="col" { "Members" } th scope="col" { "Change" } } }
                        tbody { @for group in &new { (row(visit, group, &to_groups, "add", "Add")) } }
                    }
                    @if found.len() >= FOUND { p .hint { "There may be more: search for a longer part of the name." } }
                }
            }
        }
    })
}

/// Groups of an application that are not there any more.
fn gone(ids: &[&str], there: &[Group], path: &str) -> Markup {
    let is_there = |id: &str| there.iter().any(|group| group.id == id);
    let gone: Vec<&str> = ids.iter().copied().filter(|id| !is_there(id)).collect();
    html! {
        @if !gone.is_empty() {
            form .note.doubtful method="post" action=(path) {
                p { (gone.len()) " more of its groups do not exist any more, so nobody is in them." }
                @for id in &gone { input type="hidden" name="remove" value=(id); }
                button .second { "Remove from the list" }
            }
        }
    }
}

fn row(visit: &Visit, group: &Group, path: &str, name: &str, verb: &str) -> Markup {
    html! {
        tr {
            td {
                a href=(visit.path(&format!("groups/{}", group.id))) { (group.name) }
                @if group.system_managed { " " (badge(Tone::Plain, "Provisioned")) }
            }
            td data-label="Members" { (number(group.member_count)) }
            td {
                form method="post" action=(path) {
                    input type="hidden" name=(name) value=(group.id);
                    button .link aria-label={ (verb) " " (group.name) } { (verb) }
                }
            }
        }
    }
}

/// Asks before an application is opened to everybody.
fn ask_whether_everybody(visit: &Visit, id: Uuid, removed: &[&str]) -> Content {
    let path = visit.path(&format!("applications/{id}"));
    let body = html! {
        p { "No group would be left in the list. Without one, everybody in " strong { (visit.name) } " who can sign in may use the application." }
        form .actions method="post" action={ (path) "/groups" } {
            @for group in removed { input type="hidden" name="remove" value=(group); }
            button .danger name="everybody" value="1" { "Open it to everybody" }
            a .button.second href=(path) { "Keep the list" }
        }
    };
    Content::new(Section::Applications, "Open it to everybody?", body)
        .below("Applications", visit.path("applications"))
}

/// Adds a group, or removes one.
pub async fn change(
    visit: Visit,
    At { id }: At,
    Entered(form): Entered,
) -> Result<Response, Refusal> {
    let mut groups = get_one(&visit, id).await?.group_ids;
    let removed: Vec<&str> = form.all("remove").collect();
    groups.retain(|group| !removed.contains(&&**group));
    groups.extend(form.all("add").map(str::to_owned));
    if groups.is_empty() && !removed.is_empty() && !form.has("everybody") {
        return Ok(ask_whether_everybody(&visit, id, &removed).into_response());
    }
    let request: Value = json!({ "applicationId": id, "groups": { "groupIds": groups } });
    let method = "rollcall.v1.ApplicationService/UpdateApplication";
    visit.tell(method, request).await?;
    Ok(visit.go(&format!("applications/{id}?done=groups#access")))
}
