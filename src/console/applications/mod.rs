//! What people sign in to: the list, a page for each application, and the forms that make and change one.

mod access;
mod entry;

use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use chrono::{DateTime, Utc};
use http::StatusCode;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use self::entry::Entry;
use super::Console;
use super::client::Refusal;
use super::form::{Asked, Entered, Problems};
use super::frame::{Content, Section};
use super::parts::{Pagination, Select, Tone, badge, copy, empty, note, pager, pagination, time};
use super::visit::{At, Visit};

/// The routes.
pub fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/applications", get(list))
        .route("/applications/new", get(new).post(create))
        .route("/applications/{id}", get(show).post(update))
        .route(
            "/applications/{id}/groups",
            get(to_page).post(access::change),
        )
        .route("/applications/{id}/secret", get(to_page).post(rotate))
        .route("/applications/{id}/delete", post(delete))
}

/// An application, as the pages show it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Application {
    id: String,
    client_id: String,
    name: String,
    logo_url: String,
    redirect_uris: Vec<String>,
    post_logout_redirect_uris: Vec<String>,
    backchannel_logout_uri: String,
    initiate_login_uri: String,
    authentication: String,
    jwks_uri: String,
    require_pkce: bool,
    grants: Vec<String>,
    scopes: Vec<String>,
    id_token_signature: String,
    group_ids: Vec<String>,
    created_at: Option<DateTime<Utc>>,
    updated_at: Option<DateTime<Utc>>,
}

impl Application {
    /// What kind of program it is.
    fn kind(&self) -> &'static str {
        if self.grants == ["GRANT_TYPE_CLIENT_CREDENTIALS"] {
            return "Program without people";
        }
        match &*self.authentication {
            "CLIENT_AUTHENTICATION_NONE" => "In a browser or on a device",
            "CLIENT_AUTHENTICATION_PRIVATE_KEY_JWT" => "On a server, with its own key",
            _ => "On a server, with a secret",
        }
    }

    fn has_secret(&self) -> bool {
        self.authentication
            .starts_with("CLIENT_AUTHENTICATION_CLIENT_SECRET")
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Applications {
    applications: Vec<Application>,
    pagination: Pagination,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Answer {
    application: Application,
    client_secret: String,
    previous_secret_expires_at: Option<DateTime<Utc>>,
}

/// What was done just now, in words.
fn notice(done: &str) -> Option<&'static str> {
    match done {
        "saved" => Some("The application is saved."),
        "groups" => {
            Some("Who may use it is saved. It holds from the next sign-in and the next refresh on.")
        }
        "deleted" => Some("The application is deleted. Nothing that it got works any more."),
        _ => None,
    }
}

async fn list(visit: Visit, Asked(asked): Asked) -> Result<Content, Refusal> {
    let page = asked.text("page");
    let found: Applications = visit
        .call(
            "rollcall.v1.ApplicationService/ListApplications",
            json!({ "pagination": pagination(page) }),
        )
        .await?;
    let ids = found.applications.iter().flat_map(|a| &a.group_ids);
    let names = access::names(&visit, ids).await?;
    let make = html! { a .button href=(visit.path("applications/new")) { "Add an application" } };
    let body = html! {
        @if found.applications.is_empty() && page.is_empty() {
            (empty("No application yet", "Here are the programs that your people sign in to through Rollcall with OpenID Connect: a wiki, Grafana, your own product. Each gets a client ID and a secret from here.", Some(make)))
        } @else {
            div .toolbar {
                p .grow.soft { "What your people sign in to through Rollcall." }
                (make)
            }
            table .list {
                thead { tr { th scope="col" { "Name" } th scope="col" { "Kind" } th scope="col" { "Sends people back to" } th scope="col" { "Who may use it" } } }
                tbody {
                    @for application in &found.applications {
                        tr {
                            td { a href=(visit.path(&format!("applications/{}", application.id))) { (application.name) } }
                            td data-label="Kind" { (application.kind()) }
                            td data-label="Sends people back to" { (first_of(&application.redirect_uris)) }
                            td data-label="Who may use it" { (access::words(&application.group_ids, &names)) }
                        }
                    }
                }
            }
            (pager(&visit.path("applications"), &[], page, &found.pagination))
        }
    };
    Ok(
        Content::new(Section::Applications, "Applications", body)
            .notice(notice(asked.text("done"))),
    )
}

/// The first of several addresses, and how many more there are.
fn first_of(uris: &[String]) -> Markup {
    html! {
        @match uris {
            [] => span .soft { "nowhere" },
            [first] => code { (first) },
            [first, rest @ ..] => { code { (first) } span .soft { "and " (rest.len()) " more" } }
        }
    }
}

async fn new(visit: Visit) -> Content {
    entry::page(&visit, &Entry::fresh(), &Problems::default())
}

async fn create(visit: Visit, Entered(form): Entered) -> Result<Response, Refusal> {
    let entry = Entry::entered(&form);
    let method = "rollcall.v1.ApplicationService/CreateApplication";
    match visit.call::<Answer>(method, entry.to_create()).await {
        Ok(answer) => Ok(made(&visit, &answer).into_response()),
        Err(refusal) if refusal.is_about_input() => {
            let page = entry::page(&visit, &entry, &Problems::of(&refusal));
            Ok(page.status(StatusCode::BAD_REQUEST).into_response())
        }
        Err(refusal) => Err(refusal),
    }
}

/// What there is to enter in the application that was made just now.
fn made(visit: &Visit, answer: &Answer) -> Content {
    let application = &answer.application;
    let path = visit.path(&format!("applications/{}", application.id));
    let body = html! {
        p { "Enter these values in the settings of the application, where it asks for OpenID Connect or SSO." }
        (secret(answer))
        section .panel {
            h2 { "Values for the application" }
            (values(visit, application))
        }
        p { "Everybody in " strong { (visit.name) } " who can sign in may use it, until you choose groups." }
        div .actions {
            a .button href=(path) { "Go to the application" }
            a .button.second href={ (path) "#access" } { "Choose who may use it" }
        }
    };
    Content::new(
        Section::Applications,
        format!("{} is added", application.name),
        body,
    )
    .below("Applications", visit.path("applications"))
}

/// The secret, which is shown once.
fn secret(answer: &Answer) -> Markup {
    html! {
        @if !answer.client_secret.is_empty() {
            section .note.doubtful {
                h2 { "Copy the secret now" }
                p { "It is shown this once: Rollcall keeps no copy that could be read again. If it gets lost, make a new one." }
                (copy("Client secret", &answer.client_secret))
            }
        }
    }
}

/// What is entered in the application.
fn values(visit: &Visit, application: &Application) -> Markup {
    let issuer = visit.console.app.public_url.trim_end_matches('/');
    html! {
        (copy("Issuer URL", issuer))
        (copy("Client ID", &application.client_id))
        (copy("Discovery URL, if the application asks for it", &format!("{issuer}/.well-known/openid-configuration")))
        (copy("Scopes", &entry::scope_words(&application.scopes)))
        p .hint { "The application must send people back to one of the redirect addresses, letter by letter." }
    }
}

async fn show(visit: Visit, At { id }: At, Asked(asked): Asked) -> Result<Content, Refusal> {
    let application = get_one(&visit, id).await?;
    let entry = Entry::of(&application);
    let body = page(
        &visit,
        &application,
        &entry,
        &Problems::default(),
        asked.text("search"),
    )
    .await?;
    Ok(body.notice(notice(asked.text("done"))))
}

async fn get_one(visit: &Visit, id: Uuid) -> Result<Application, Refusal> {
    let method = "rollcall.v1.ApplicationService/GetApplication";
    let answer: Answer = visit.call(method, json!({ "applicationId": id })).await?;
    Ok(answer.application)
}

/// The page of an application.
async fn page(
    visit: &Visit,
    application: &Application,
    entry: &Entry,
    problems: &Problems,
    search: &str,
) -> Result<Content, Refusal> {
    let path = visit.path(&format!("applications/{}", application.id));
    let access = access::panel(visit, application, &path, search).await?;
    let body = html! {
        section .panel {
            div .row { h2 { "Values for the application" } (badge(Tone::Plain, application.kind())) }
            (values(visit, application))
            dl .facts {
                dt { "Made" } dd { @if let Some(at) = application.created_at { (time(at)) } }
                dt { "Changed" } dd { @if let Some(at) = application.updated_at { (time(at)) } }
            }
        }
        (access)
        section .panel {
            h2 { "Settings" }
            (entry::form(&path, entry, problems, "Save"))
        }
        @if application.has_secret() { (rotation(&path)) }
        section .panel {
            h2 { "Delete" }
            p { "Nobody signs in to it any more, and what it got stops working at once. This cannot be undone." }
            form method="post" action={ (path) "/delete" } {
                button .danger data-confirm={ "Delete " (application.name) "? Nobody can sign in to it any more." } { "Delete the application" }
            }
        }
    };
    Ok(
        Content::new(Section::Applications, application.name.clone(), body)
            .below("Applications", visit.path("applications")),
    )
}

/// How long the secret before may go on working.
const KEEPS: [(&str, &str); 5] = [
    ("86400s", "For 1 day"),
    ("3600s", "For 1 hour"),
    ("604800s", "For 7 days"),
    ("2592000s", "For 30 days"),
    ("0s", "Not at all: somebody else knows it"),
];

fn rotation(path: &str) -> Markup {
    html! {
        section .panel {
            h2 { "New secret" }
            p { "Make a new secret if the one before got lost, or may be known to others. Enter it in the application while both work." }
            form method="post" action={ (path) "/secret" } {
                (Select { name: "keep", label: "The secret before goes on working", value: "86400s", options: &KEEPS })
                div .actions { button .second data-confirm="Make a new secret?" { "Make a new secret" } }
            }
        }
    }
}

async fn update(visit: Visit, At { id }: At, Entered(form): Entered) -> Result<Response, Refusal> {
    let entry = Entry::entered(&form);
    let method = "rollcall.v1.ApplicationService/UpdateApplication";
    match visit.tell(method, entry.to_update(id)).await {
        Ok(()) => Ok(visit.go(&format!("applications/{id}?done=saved"))),
        Err(refusal) if refusal.is_about_input() => {
            let application = get_one(&visit, id).await?;
            let problems = Problems::of(&refusal);
            let page = page(&visit, &application, &entry, &problems, "").await?;
            Ok(page.status(StatusCode::BAD_REQUEST).into_response())
        }
        Err(refusal) => Err(refusal),
    }
}

/// Whoever opens the address of a form is sent to the page that has it.
async fn to_page(visit: Visit, At { id }: At) -> Redirect {
    Redirect::to(&visit.path(&format!("applications/{id}")))
}

async fn rotate(visit: Visit, At { id }: At, Entered(form): Entered) -> Result<Content, Refusal> {
    let method = "rollcall.v1.ApplicationService/RotateApplicationSecret";
    let request = json!({ "applicationId": id, "keepPreviousFor": form.text("keep") });
    let answer: Answer = visit.call(method, request).await?;
    let path = visit.path(&format!("applications/{id}"));
    let body = html! {
        (secret(&answer))
        @match answer.previous_secret_expires_at {
            Some(at) => p { "The secret before works until " (time(at)) ". Enter the new one in the application by then." },
            None => (note(Tone::Doubtful, "The secret before does not work any more. Nobody signs in to the application until it has the new one.")),
        }
        section .panel {
            h2 { "Values for the application" }
            (values(&visit, &answer.application))
        }
        div .actions { a .button href=(path) { "Done" } }
    };
    let name = answer.application.name;
    Ok(
        Content::new(Section::Applications, format!("New secret of {name}"), body)
            .below("Applications", visit.path("applications"))
            .below(name, path),
    )
}

async fn delete(visit: Visit, At { id }: At) -> Result<Response, Refusal> {
    let method = "rollcall.v1.ApplicationService/DeleteApplication";
    visit.tell(method, json!({ "applicationId": id })).await?;
    Ok(visit.go("applications?done=deleted"))
}
