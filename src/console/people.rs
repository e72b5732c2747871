//! Who belongs to an organization.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use chrono::{DateTime, Utc};
use http::StatusCode;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Console;
use super::client::Refusal;
use super::form::Queried;
use super::frame::{Content, Section};
use super::parts::{
    Pagination, Select, Tone, badge, empty, note, pager, pagination, time, time_or,
};
use super::visit::Visit;

/// The routes.
pub fn routes() -> Router<Arc<Console>> {
    Router::new().route("/people", get(list))
}

/// A member of an organization.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Member {
    /// The identifier.
    pub user_id: String,
    /// The role, as the API calls it.
    pub role: String,
    /// Since when.
    pub member_since: Option<DateTime<Utc>>,
    /// The name; may be empty.
    pub full_name: String,
    /// The address; may be empty.
    pub email: String,
    /// Whether the member has access, as the API calls it.
    pub status: String,
    /// How the member signs in.
    pub login_provider: String,
}

impl Member {
    /// What the member is called.
    pub fn label(&self) -> &str {
        let known = [&*self.full_name, &*self.email];
        let known = known.into_iter().find(|text| !text.is_empty());
        known.unwrap_or("A person without a name")
    }

    /// Whether the member's own role is that of an administrator.
    pub fn is_administrator(&self) -> bool {
        self.role == ADMINISTRATOR
    }

    /// Whether the member is kept out.
    pub fn is_suspended(&self) -> bool {
        self.status == SUSPENDED
    }

    /// Whether the member was removed.
    pub fn has_left(&self) -> bool {
        self.status == LEFT
    }

    /// The status in a word.
    pub fn status_badge(&self) -> Markup {
        match &*self.status {
            ACTIVE => badge(Tone::Good, "Active"),
            SUSPENDED => badge(Tone::Doubtful, "Suspended"),
            LEFT => badge(Tone::Plain, "Left"),
            _ => badge(Tone::Plain, "Unknown"),
        }
    }

    /// The role in a word.
    pub fn role_words(&self) -> &'static str {
        match self.is_administrator() {
            true => "Administrator",
            false => "Member",
        }
    }

    /// How the member signs in, in words.
    fn login_words(&self) -> &str {
        match &*self.login_provider {
            "custom" => "Single sign-on",
            other => other,
        }
    }
}

const ACTIVE: &str = "USER_STATUS_ACTIVE";
const SUSPENDED: &str = "USER_STATUS_SUSPENDED";
const LEFT: &str = "USER_STATUS_LEFT";
const ADMINISTRATOR: &str = "ORGANIZATION_ROLE_ADMIN";
const MEMBER: &str = "ORGANIZATION_ROLE_MEMBER";

/// What `role` and `status` in an address stand for.
const STATUSES: [(&str, &str); 3] = [("active", ACTIVE), ("suspended", SUSPENDED), ("left", LEFT)];
const ROLES: [(&str, &str); 2] = [("admin", ADMINISTRATOR), ("member", MEMBER)];

/// The role that a form names.
pub fn role(name: &str) -> Option<&'static str> {
    chosen(&ROLES, name)
}

fn chosen(choices: &[(&str, &'static str)], name: &str) -> Option<&'static str> {
    let found = choices.iter().find(|(known, _)| *known == name);
    found.map(|(_, value)| *value)
}

/// A page of members.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Members {
    /// The members.
    pub members: Vec<Member>,
    /// Where the list goes on.
    pub pagination: Pagination,
}

/// The members that a filter of the API lets through.
///
/// # Errors
///
/// What the API refuses.
pub async fn find(visit: &Visit, filter: Value, pagination: Value) -> Result<Members, Refusal> {
    let request = json!({
        "organizationId": visit.organization,
        "filter": filter,
        "sort": { "field": "SORT_FIELD_NAME" },
        "pagination": pagination,
    });
    let method = "gitpod.v1.OrganizationService/ListMembers";
    visit.call(method, request).await
}

/// The member with this identifier.
///
/// # Errors
///
/// `not_found` for anybody else.
pub async fn get_one(visit: &Visit, id: Uuid) -> Result<Member, Refusal> {
    let found = find(visit, json!({ "userIds": [id] }), json!({ "pageSize": 1 })).await?;
    let member = found.members.into_iter().next();
    member.ok_or_else(|| Refusal::new("not_found", "There is no such person in this organization."))
}

/// The identifier of whom a form names by address, or by identifier; `None` for nobody who is known.
///
/// # Errors
///
/// What the API refuses.
pub async fn named(visit: &Visit, text: &str) -> Result<Option<Uuid>, Refusal> {
    if let Ok(id) = Uuid::try_parse(text) {
        return Ok(Some(id));
    }
    let found = find(visit, json!({ "email": text }), json!({ "pageSize": 2 })).await?;
    let mut ids = found.members.iter().map(|member| &member.user_id);
    match (ids.next(), ids.next()) {
        (Some(id), None) => Ok(Uuid::try_parse(id).ok()),
        (Some(_), Some(_)) => Err(Refusal::new(
            "invalid_argument",
            "Several people have this address: enter the id of one of them, which their page shows.",
        )),
        _ => Ok(None),
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Search {
    search: String,
    status: String,
    role: String,
    page: String,
}

impl Search {
    fn is_filtered(&self) -> bool {
        ![&self.search, &self.status, &self.role]
            .iter()
            .all(|text| text.is_empty())
    }

    fn filter(&self) -> Value {
        let mut filter = json!({ "search": self.search.trim() });
        if let Some(status) = chosen(&STATUSES, &self.status) {
            filter["statuses"] = json!([status]);
        }
        if let Some(role) = chosen(&ROLES, &self.role) {
            filter["roles"] = json!([role]);
        }
        filter
    }
}

async fn list(visit: Visit, Queried(search): Queried<Search>) -> Result<Content, Refusal> {
    let (status, result) = match find(&visit, search.filter(), pagination(&search.page)).await {
        Ok(found) => (StatusCode::OK, table(&visit, &search, &found)),
        Err(refusal) if refusal.is_about_input() => {
            (StatusCode::BAD_REQUEST, note(Tone::Bad, refusal.sentence()))
        }
        Err(refusal) => return Err(refusal),
    };
    let body = html! {
        (toolbar(&visit, &search))
        (result)
    };
    Ok(Content::new(Section::People, "People", body).status(status))
}

fn toolbar(visit: &Visit, search: &Search) -> Markup {
    html! {
        form .toolbar method="get" action=(visit.path("people")) role="search" {
            div .field.grow {
                label for="search" { "Name or address" }
                input #search name="search" type="search" value=(search.search) autocomplete="off" spellcheck="false";
            }
            (Select { name: "status", label: "Status", value: &search.status, options: &[
                ("", "Any"), ("active", "Active"), ("suspended", "Suspended"), ("left", "Left"),
            ] })
            (Select { name: "role", label: "Role", value: &search.role, options: &[
                ("", "Any"), ("admin", "Administrator"), ("member", "Member"),
            ] })
            button { "Search" }
        }
    }
}

fn table(visit: &Visit, search: &Search, found: &Members) -> Markup {
    if found.members.is_empty() {
        return nobody(visit, search);
    }
    let query = [
        ("search", &*search.search),
        ("status", &*search.status),
        ("role", &*search.role),
    ];
    html! {
        table .list {
            thead { tr {
                th scope="col" { "Name" }
                th scope="col" { "Role" }
                th scope="col" { "Status" }
                th scope="col" { "Member since" }
                th scope="col" { "Signs in with" }
            } }
            tbody {
                @for member in &found.members { tr {
                    td {
                        a href=(visit.path(&format!("people/{}", member.user_id))) { (member.label()) }
                        @if !member.full_name.is_empty() { span .soft { (member.email) } }
                    }
                    td data-label="Role" { (member.role_words()) }
                    td data-label="Status" { (member.status_badge()) }
                    td data-label="Member since" { (time_or(member.member_since, "unknown")) }
                    td data-label="Signs in with" { (member.login_words()) }
                } }
            }
        }
        (pager(&visit.path("people"), &query, &search.page, &found.pagination))
    }
}

fn nobody(visit: &Visit, search: &Search) -> Markup {
    if search.is_filtered() {
        let all = html! { a .button.second href=(visit.path("people")) { "Show everybody" } };
        return empty(
            "Nobody matches",
            "Enter only a part of the name or the address, or leave the status and the role open.",
            Some(all),
        );
    }
    let action = html! {
        a .button href=(visit.path("provisioning")) { "Set up provisioning" }
        a .button.second href=(visit.path("sso")) { "Set up single sign-on" }
    };
    empty(
        "Nobody yet",
        "People are here as soon as your identity provider pushes them, or when they sign in for the first time.",
        Some(action),
    )
}

/// A moment of a member, on one line.
pub fn since(member: &Member) -> Markup {
    match member.member_since {
        Some(at) => time(at),
        None => html! { "unknown" },
    }
}
