//! The groups of an organization, who is in them, and the roles that they give.

use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use chrono::{DateTime, Utc};
use http::StatusCode;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Console;
use super::client::Refusal;
use super::form::{Posted, Queried};
use super::frame::{Content, Section};
use super::names::{Names, Wanted};
use super::parts::{
    Field, Pagination, Select, Tone, badge, empty, note, number, pager, pagination, time_or,
};
use super::people;
use super::visit::{At, Visit};

/// The routes.
pub fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/groups", get(list).post(create))
        .route("/groups/{id}", get(show).post(update))
        .route("/groups/{id}/delete", post(delete))
        .route("/groups/{id}/members", post(add))
        .route("/groups/{id}/members/remove", post(remove))
        .route("/groups/{id}/roles", post(give))
        .route("/groups/{id}/roles/remove", post(take))
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Group {
    id: String,
    name: String,
    description: String,
    system_managed: bool,
    member_count: i64,
    updated_at: Option<DateTime<Utc>>,
}

impl Group {
    fn label(&self) -> &str {
        match &*self.name {
            "" => "A group without a name",
            name => name,
        }
    }

    fn kind(&self) -> Markup {
        match self.system_managed {
            true => badge(Tone::Plain, "Pushed"),
            false => badge(Tone::Plain, "Made here"),
        }
    }
}

#[derive(Deserialize)]
struct One {
    group: Group,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Groups {
    groups: Vec<Group>,
    pagination: Pagination,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Search {
    search: String,
    kind: String,
    page: String,
    done: String,
}

impl Search {
    fn is_filtered(&self) -> bool {
        !self.search.is_empty() || !self.kind.is_empty()
    }

    fn filter(&self) -> Value {
        let mut filter = json!({ "search": self.search.trim() });
        match &*self.kind {
            "pushed" => filter["systemManaged"] = json!(true),
            "here" => filter["systemManaged"] = json!(false),
            _ => {}
        }
        filter
    }
}

/// What somebody entered for a group, and what is wrong with it.
#[derive(Default)]
struct Entered<'a> {
    name: &'a str,
    description: &'a str,
    problem: Option<&'a str>,
}

async fn list(visit: Visit, Queried(search): Queried<Search>) -> Result<Content, Refusal> {
    list_page(&visit, &search, &Entered::default()).await
}

async fn list_page(
    visit: &Visit,
    search: &Search,
    entered: &Entered<'_>,
) -> Result<Content, Refusal> {
    let method = "gitpod.v1.GroupService/ListGroups";
    let request = json!({ "filter": search.filter(), "pagination": pagination(&search.page) });
    let (status, result) = match visit.call::<Groups>(method, request).await {
        Ok(found) => (StatusCode::OK, table(visit, search, &found)),
        Err(refusal) if refusal.is_about_input() => {
            (StatusCode::BAD_REQUEST, note(Tone::Bad, refusal.sentence()))
        }
        Err(refusal) => return Err(refusal),
    };
    let body = html! {
        (toolbar(visit, search))
        (result)
        section #new .panel {
            h2 { "Make a group" }
            p { "For a group that your identity provider does not have. Those that it pushes are here by themselves." }
            form method="post" action=(visit.path("groups")) {
                (group_fields(entered))
                div .actions { button { "Make the group" } }
            }
        }
    };
    let notice = match &*search.done {
        "deleted" => Some("The group is deleted."),
        _ => None,
    };
    let content = Content::new(Section::Groups, "Groups", body).notice(notice);
    Ok(content.status(status))
}

fn group_fields(entered: &Entered<'_>) -> Markup {
    html! {
        (Field { name: "name", label: "Name", value: entered.name, hint: "3 to 80 characters.", problem: entered.problem, required: true, ..Field::default() })
        (Field { name: "description", label: "What it is for", value: entered.description, hint: "May be left out.", ..Field::default() })
    }
}

fn toolbar(visit: &Visit, search: &Search) -> Markup {
    html! {
        form .toolbar method="get" action=(visit.path("groups")) role="search" {
            div .field.grow {
                label for="search" { "Name or description" }
                input #search name="search" type="search" value=(search.search) autocomplete="off" spellcheck="false";
            }
            (Select { name: "kind", label: "Kind", value: &search.kind, options: &[
                ("", "Any"), ("pushed", "Pushed"), ("here", "Made here"),
            ] })
            button { "Search" }
        }
    }
}

fn table(visit: &Visit, search: &Search, found: &Groups) -> Markup {
    if found.groups.is_empty() {
        return none(visit, search);
    }
    let query = [("search", &*search.search), ("kind", &*search.kind)];
    html! {
        table .list {
            thead { tr {
                th scope="col" { "Name" } th .number scope="col" { "Members" } th scope="col" { "Kind" } th scope="col" { "Changed" }
            } }
            tbody {
                @for group in &found.groups { tr {
                    td {
                        a href=(visit.path(&format!("groups/{}", group.id))) { (group.label()) }
                        @if !group.description.is_empty() { span .soft { (group.description) } }
                    }
                    td .number data-label="Members" { (number(group.member_count)) }
                    td data-label="Kind" { (group.kind()) }
                    td data-label="Changed" { (time_or(group.updated_at, "unknown")) }
                } }
            }
        }
        (pager(&visit.path("groups"), &query, &search.page, &found.pagination))
    }
}

fn none(visit: &Visit, search: &Search) -> Markup {
    if search.is_filtered() {
        let all = html! { a .button.second href=(visit.path("groups")) { "Show all groups" } };
        return empty(
            "No group matches",
            "Enter only a part of the name or the description.",
            Some(all),
        );
    }
    let action =
        html! { a .button.second href=(visit.path("provisioning")) { "Set up provisioning" } };
    empty(
        "No groups yet",
        "Groups are here as soon as your identity provider pushes them, or when you make one below.",
        Some(action),
    )
}

#[derive(Deserialize)]
struct Written {
    name: String,
    description: String,
}

async fn create(visit: Visit, Posted(written): Posted<Written>) -> Result<Response, Refusal> {
    let method = "gitpod.v1.GroupService/CreateGroup";
    let request = json!({
        "organizationId": visit.organization,
        "name": written.name.trim(),
        "description": written.description.trim(),
    });
    match visit.call::<One>(method, request).await {
        Ok(made) => Ok(visit.go(&format!("groups/{}?done=made", made.group.id))),
        Err(refusal) if refusal.is_about_input() => {
            let entered = Entered {
                name: &written.name,
                description: &written.description,
                problem: Some(&refusal.sentence()),
            };
            let content = list_page(&visit, &Search::default(), &entered).await?;
            Ok(content.status(StatusCode::BAD_REQUEST).into_response())
        }
        Err(refusal) => Err(refusal),
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Membership {
    id: String,
    subject: Subject,
    name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Subject {
    id: String,
    principal: String,
}

impl Subject {
    fn is_person(&self) -> bool {
        self.principal == "PRINCIPAL_USER"
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Memberships {
    members: Vec<Membership>,
    pagination: Pagination,
}

/// A role that a group gives.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Role {
    id: String,
    /// The group.
    pub group_id: String,
    resource_type: String,
    resource_id: String,
    resource_role: String,
}

/// The roles that a group may be given here: the name in a form, that of the API, and the words.
const ROLES: [(&str, &str, &str); 3] = [
    (
        "audit",
        "RESOURCE_ROLE_ORG_AUDIT_LOG_READER",
        "Reads the audit log",
    ),
    (
        "groups",
        "RESOURCE_ROLE_ORG_GROUPS_ADMIN",
        "Administers the groups",
    ),
    (
        "admin",
        "RESOURCE_ROLE_ORG_ADMIN",
        "Administers the organization",
    ),
];

impl Role {
    /// What the role is, in words.
    pub fn words(&self) -> String {
        let known = ROLES
            .iter()
            .find(|(_, name, _)| *name == self.resource_role);
        match known {
            Some((_, _, words)) => (*words).to_owned(),
            None if self.resource_role == "RESOURCE_ROLE_GROUP_ADMIN" => {
                "Administers a group".to_owned()
            }
            None => {
                let role = self.resource_role.trim_start_matches("RESOURCE_ROLE_");
                role.replace('_', " ").to_ascii_lowercase()
            }
        }
    }

    /// The group that the role is about, if it is about one.
    fn on_group(&self) -> Option<&str> {
        (self.resource_type == "RESOURCE_TYPE_GROUP").then_some(&self.resource_id)
    }
}

/// The roles of groups that a filter of the API lets through.
///
/// # Errors
///
/// What the API refuses.
pub async fn roles(visit: &Visit, filter: Value) -> Result<Vec<Role>, Refusal> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Answer {
        assignments: Vec<Role>,
    }
    let method = "gitpod.v1.GroupService/ListRoleAssignments";
    let request = json!({ "filter": filter, "pagination": { "pageSize": 100 } });
    let found: Answer = visit.call(method, request).await?;
    Ok(found.assignments)
}

/// What is wrong with what somebody entered on a group's page, and where.
#[derive(Default)]
struct Problem {
    /// The name of the field; empty for above everything.
    field: &'static str,
    text: String,
    /// What was entered, in the fields of that form.
    first: String,
    second: String,
}

impl Problem {
    fn of(&self, field: &str) -> Option<&str> {
        (!self.text.is_empty() && self.field == field).then_some(&*self.text)
    }
}

async fn show(
    visit: Visit,
    At { id }: At,
    Queried(search): Queried<Search>,
) -> Result<Content, Refusal> {
    page(&visit, id, &search, &Problem::default()).await
}

async fn page(
    visit: &Visit,
    id: Uuid,
    search: &Search,
    problem: &Problem,
) -> Result<Content, Refusal> {
    let get_group = "gitpod.v1.GroupService/GetGroup";
    let One { group } = visit.call(get_group, json!({ "id": id })).await?;
    let (memberships, roles) = tokio::try_join!(
        memberships(visit, id, search),
        roles(visit, json!({ "groupId": id })),
    )?;
    let mut wanted = Wanted::default();
    if let Ok(found) = &memberships {
        let people = found.members.iter().filter(|one| one.subject.is_person());
        wanted
            .people
            .extend(people.map(|one| one.subject.id.clone()));
    }
    wanted.groups.extend(
        roles
            .iter()
            .filter_map(|role| role.on_group().map(str::to_owned)),
    );
    let mut names = Names::default();
    names.learn(visit, wanted).await?;
    let status = match &memberships {
        Err(_) => StatusCode::BAD_REQUEST,
        Ok(_) => StatusCode::OK,
    };
    let body = html! {
        @if let Some(text) = problem.of("") { (note(Tone::Bad, text)) }
        (about(&group))
        (member_part(visit, &group, search, memberships.as_ref(), &names, problem))
        (role_part(visit, &group, &roles, &names))
        @if !group.system_managed { (edit_part(visit, &group, problem)) }
    };
    let content = Content::new(Section::Groups, group.label(), body)
        .below("Groups", visit.path("groups"))
        .notice(notice(&search.done));
    Ok(content.status(status))
}

fn notice(done: &str) -> Option<&'static str> {
    Some(match done {
        "made" => "The group is made. Add people to it below.",
        "saved" => "The group is changed.",
        "added" => "The person is in the group now.",
        "removed" => "The group has one member less.",
        "given" => "Everybody in the group has the role now.",
        "taken" => "The group gives the role no longer.",
        _ => return None,
    })
}

/// Who is in a group; inside, why it could not be searched.
async fn memberships(
    visit: &Visit,
    id: Uuid,
    search: &Search,
) -> Result<Result<Memberships, Refusal>, Refusal> {
    let method = "gitpod.v1.GroupService/ListMemberships";
    let request = json!({
        "groupId": id,
        "filter": { "search": search.search.trim() },
        "pagination": pagination(&search.page),
    });
    match visit.call(method, request).await {
        Err(refusal) if !refusal.is_about_input() => Err(refusal),
        found => Ok(found),
    }
}

fn about(group: &Group) -> Markup {
    html! {
        @if !group.description.is_empty() { p { (group.description) } }
        @if group.system_managed {
            (note(Tone::Plain, "An identity provider pushes this group: its name and its members are changed there. What roles it gives is decided here."))
        }
        section .panel {
            h2 { "What this is" }
            dl .facts {
                dt { "Kind" } dd { (group.kind()) }
                dt { "Members" } dd { (number(group.member_count)) }
                dt { "Changed" } dd { (time_or(group.updated_at, "unknown")) }
                dt { "Id" } dd { code { (group.id) } }
            }
        }
    }
}

fn member_part(
    visit: &Visit,
    group: &Group,
    search: &Search,
    found: Result<&Memberships, &Refusal>,
    names: &Names,
    problem: &Problem,
) -> Markup {
    let path = visit.path(&format!("groups/{}", group.id));
    html! {
        section .panel {
            h2 { "Members" }
            @if group.member_count > 0 {
                form .toolbar method="get" action=(path) role="search" {
                    div .field.grow {
                        label for="search" { "Name" }
                        input #search name="search" type="search" value=(search.search) autocomplete="off" spellcheck="false";
                    }
                    button .second { "Search" }
                }
            }
            @match found {
                Err(refusal) => { (note(Tone::Bad, refusal.sentence())) }
                Ok(found) if found.members.is_empty() => {
                    @if search.search.is_empty() { p { "Nobody is in this group." } }
                    @else { p { "Nobody in this group has such a name. " a href=(path) { "Show everybody" } } }
                }
                Ok(found) => {
                    (member_table(visit, group, &found.members, names))
                    (pager(&path, &[("search", &search.search)], &search.page, &found.pagination))
                }
            }
            @if !group.system_managed {
                form method="post" action={ (path) "/members" } {
                    (Field {
                        name: "person", label: "Add a person", value: entered(problem, "person"),
                        hint: "The person’s address, or the id that their page shows.", problem: problem.of("person"), required: true,
                        ..Field::default()
                    })
                    div .actions { button .second { "Add" } }
                }
            }
        }
    }
}

fn entered<'a>(problem: &'a Problem, field: &str) -> &'a str {
    problem.of(field).map_or("", |_| &problem.first)
}

fn member_table(visit: &Visit, group: &Group, members: &[Membership], names: &Names) -> Markup {
    html! {
        table .list {
            thead { tr {
                th scope="col" { "Name" } th scope="col" { "Status" }
                @if !group.system_managed { th scope="col" { "Take out" } }
            } }
            tbody {
                @for one in members {
                    @let person = names.person(&one.subject.id);
                    tr {
                        td {
                            @if let Some(person) = person {
                                (names.person_link(visit, &one.subject.id))
                                @if !person.full_name.is_empty() { span .soft { (person.email) } }
                            } @else {
                                (one.name)
                            }
                        }
                        td data-label="Status" {
                            @match person {
                                Some(person) => { (person.status_badge()) }
                                None => { (badge(Tone::Plain, "Service account")) }
                            }
                        }
                        @if !group.system_managed { td {
                            form method="post" action=(visit.path(&format!("groups/{}/members/remove", group.id))) {
                                button .danger name="id" value=(one.id) aria-label={ "Take out: " (one.name) }
                                    data-confirm={ "Take " (one.name) " out of the group?" } { "Take out" }
                            }
                        } }
                    }
                }
            }
        }
    }
}

fn role_part(visit: &Visit, group: &Group, roles: &[Role], names: &Names) -> Markup {
    let path = visit.path(&format!("groups/{}/roles", group.id));
    let options: Vec<(&str, &str)> = ROLES
        .iter()
        .map(|(form, _, words)| (*form, *words))
        .collect();
    html! {
        section .panel {
            h2 { "Roles" }
            @if roles.is_empty() {
                p { "The group gives no role: its members may do what every member may." }
            } @else {
                table .list {
                    thead { tr { th scope="col" { "Role" } th scope="col" { "Take away" } } }
                    tbody {
                        @for role in roles { tr {
                            td {
                                (role.words())
                                @if let Some(other) = role.on_group() { span .soft { (names.group_link(visit, other)) } }
                            }
                            td {
                                form method="post" action={ (path) "/remove" } {
                                    button .danger name="id" value=(role.id) aria-label={ "Take away: " (role.words()) }
                                        data-confirm="Take this role from everybody in the group?" { "Take away" }
                                }
                            }
                        } }
                    }
                }
            }
            form .toolbar method="post" action=(path) {
                (Select { name: "role", label: "Give everybody in the group a role", value: "audit", options: &options })
                button .second data-confirm="Give everybody in the group this role?" { "Give the role" }
            }
        }
    }
}

fn edit_part(visit: &Visit, group: &Group, problem: &Problem) -> Markup {
    let path = visit.path(&format!("groups/{}", group.id));
    let entered = match problem.of("name") {
        Some(text) => Entered {
            name: &problem.first,
            description: &problem.second,
            problem: Some(text),
        },
        None => Entered {
            name: &group.name,
            description: &group.description,
            problem: None,
        },
    };
    html! {
        section .panel {
            h2 { "Change the group" }
            form method="post" action=(path) {
                (group_fields(&entered))
                div .actions { button { "Save" } }
            }
            h3 { "Delete the group" }
            p { "Its members lose the roles that it gives. This cannot be taken back." }
            form method="post" action={ (path) "/delete" } {
                button .danger data-confirm={ "Delete the group " (group.name) "? This cannot be taken back." } { "Delete the group" }
            }
        }
    }
}

async fn update(
    visit: Visit,
    At { id }: At,
    Posted(written): Posted<Written>,
) -> Result<Response, Refusal> {
    let method = "gitpod.v1.GroupService/UpdateGroup";
    let request = json!({
        "groupId": id,
        "name": written.name.trim(),
        "description": written.description.trim(),
    });
    let problem = Problem {
        field: "name",
        first: written.name,
        second: written.description,
        ..Problem::default()
    };
    settle(
        &visit,
        id,
        visit.tell(method, request).await,
        "saved",
        problem,
    )
    .await
}

async fn delete(visit: Visit, At { id }: At) -> Result<Response, Refusal> {
    let method = "gitpod.v1.GroupService/DeleteGroup";
    match visit.tell(method, json!({ "groupId": id })).await {
        Ok(()) => Ok(visit.go("groups?done=deleted")),
        refused => settle(&visit, id, refused, "", Problem::default()).await,
    }
}

#[derive(Deserialize)]
struct Person {
    person: String,
}

async fn add(
    visit: Visit,
    At { id }: At,
    Posted(Person { person }): Posted<Person>,
) -> Result<Response, Refusal> {
    let result = add_named(&visit, id, person.trim()).await;
    let problem = Problem {
        field: "person",
        first: person,
        ..Problem::default()
    };
    settle(&visit, id, result, "added", problem).await
}

async fn add_named(visit: &Visit, group: Uuid, person: &str) -> Result<(), Refusal> {
    let nobody = "Nobody here has this address: enter the whole address of somebody who is listed under People.";
    let nobody = || Refusal::new("invalid_argument", nobody);
    let person = match person {
        "" => None,
        text => people::named(visit, text).await?,
    };
    let subject = json!({ "id": person.ok_or_else(nobody)?, "principal": "PRINCIPAL_USER" });
    // That there is such a group is known before that there is such a person.
    visit
        .tell("gitpod.v1.GroupService/GetGroup", json!({ "id": group }))
        .await?;
    let method = "gitpod.v1.GroupService/CreateMembership";
    let request = json!({ "groupId": group, "subject": subject });
    match visit.tell(method, request).await {
        Err(refusal) if refusal.code == "not_found" => Err(nobody()),
        result => result,
    }
}

#[derive(Deserialize)]
struct Which {
    id: String,
}

async fn remove(
    visit: Visit,
    At { id }: At,
    Posted(which): Posted<Which>,
) -> Result<Response, Refusal> {
    let method = "gitpod.v1.GroupService/DeleteMembership";
    let result = visit.tell(method, json!({ "membershipId": which.id }));
    settle(&visit, id, result.await, "removed", Problem::default()).await
}

#[derive(Deserialize)]
struct NewRole {
    role: String,
}

async fn give(
    visit: Visit,
    At { id }: At,
    Posted(NewRole { role }): Posted<NewRole>,
) -> Result<Response, Refusal> {
    let Some((_, role, _)) = ROLES.iter().find(|(name, ..)| *name == role) else {
        return Err(Refusal::bad_form());
    };
    let method = "gitpod.v1.GroupService/CreateRoleAssignment";
    let request = json!({
        "groupId": id,
        "resourceType": "RESOURCE_TYPE_ORGANIZATION",
        "resourceId": visit.organization,
        "resourceRole": role,
    });
    let result = visit.tell(method, request).await;
    settle(&visit, id, result, "given", Problem::default()).await
}

async fn take(
    visit: Visit,
    At { id }: At,
    Posted(which): Posted<Which>,
) -> Result<Response, Refusal> {
    let method = "gitpod.v1.GroupService/DeleteRoleAssignment";
    let result = visit.tell(method, json!({ "assignmentId": which.id }));
    settle(&visit, id, result.await, "taken", Problem::default()).await
}

/// Back to the group's page after a change, or the page with why there was none.
async fn settle(
    visit: &Visit,
    id: Uuid,
    result: Result<(), Refusal>,
    done: &str,
    problem: Problem,
) -> Result<Response, Refusal> {
    match result {
        Ok(()) => Ok(visit.go(&format!("groups/{id}?done={done}"))),
        Err(refusal) if refusal.is_about_input() => {
            let problem = Problem {
                text: refusal.sentence(),
                ..problem
            };
            let content = page(visit, id, &Search::default(), &problem).await?;
            Ok(content.status(StatusCode::BAD_REQUEST).into_response())
        }
        Err(refusal) => Err(refusal),
    }
}
