//! Set-up links: what whoever opens one sees first, and the pages on which administrators make them.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use chrono::{DateTime, Utc};
use http::StatusCode;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use super::client::Refusal;
use super::form::{Posted, Queried};
use super::frame::{Content, Section};
use super::parts::{
    Field, PageQuery, Pagination, Tone, badge, copy, empty, note, pager, pagination, time, time_or,
};
use super::visit::{At, LINK_ENDED, Link, Visit};
use super::{Console, TOP, cookies};
use crate::domain::token::{Token, TokenKind};
use crate::error::Error;
use crate::http::caller;

const SERVICE: &str = "rollcall.v1.SetupLinkService";

/// What a link can be for: the permission, its name in forms, and in words.
const PERMISSIONS: [(&str, &str, &str); 3] = [
    ("SETUP_PERMISSION_SSO", "sso", "Single sign-on"),
    ("SETUP_PERMISSION_SCIM", "scim", "Provisioning"),
    ("SETUP_PERMISSION_DOMAINS", "domains", "Domains"),
];

/// The routes on which administrators make links.
pub fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/setup-links", get(list).post(create))
        .route("/setup-links/{id}/revoke", post(revoke))
}

/// The route of the links themselves.
pub fn entrance() -> Router<Arc<Console>> {
    Router::new().route("/setup/{token}", get(open))
}

/// Opens a link: the browser keeps its token, so that no further address has it.
async fn open(
    State(console): State<Arc<Console>>,
    Path(text): Path<String>,
) -> Result<Response, Refusal> {
    let token = Token::parse(TokenKind::Setup, text.trim());
    let place = token.and_then(|token| Some((token.organization()?, token)));
    let Some((organization, token)) = place else {
        return Err(ended());
    };
    match caller::of_setup_link(&console.app, Some(token.expose())).await {
        Ok(_) => {}
        Err(Error::Unauthenticated) => return Err(ended()),
        Err(error) => return Err(error.into()),
    }
    let mut response = Redirect::to(&format!("{TOP}/{organization}")).into_response();
    cookies::keep_link(&console.app, response.headers_mut(), &token);
    Ok(response)
}

/// What somebody is told whose link opens nothing.
fn ended() -> Refusal {
    Refusal::new("not_found", LINK_ENDED)
}

/// What whoever opened a link sees first.
pub fn welcome(visit: &Visit, link: &Link) -> Content {
    let who = &visit.who;
    let step = |path: &str, title: &str, text: &str, action: &str| {
        html! {
            li {
                h2 { (title) }
                p { (text) }
                div .actions { a .button href=(visit.path(path)) { (action) } }
            }
        }
    };
    let body = html! {
        p { "You have been asked to connect your identity provider to " strong { (visit.name) } ". You need an administrator’s account there. You can stop at any time and come back with the same link, until " (time(link.expires_at)) "." }
        ol .steps {
            @if who.sets_up_domains() {
                (step("domains", "Verify your domain", "Prove with a record in the DNS that the domain of your people’s addresses is yours.", "Go to domains"))
            }
            @if who.sets_up_sso() {
                (step("sso", "Set up single sign-on", "Your people sign in with the accounts that they have. Nothing changes for them until you activate it.", "Go to single sign-on"))
            }
            @if who.sets_up_scim() {
                (step("provisioning", "Set up provisioning", "Your identity provider tells who joins and who leaves, so that nobody keeps access by mistake.", "Go to provisioning"))
            }
        }
        @if !link.return_url.is_empty() {
            p { "When all is done: " a href=(link.return_url) rel="noreferrer" { "go back" } "." }
        }
    };
    Content::new(
        Section::Overview,
        format!("Welcome to {}", visit.name),
        body,
    )
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Listed {
    setup_links: Vec<Row>,
    pagination: Pagination,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Row {
    id: String,
    description: String,
    permissions: Vec<String>,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    last_used_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
}

impl Row {
    fn badge(&self, now: DateTime<Utc>) -> Markup {
        if self.revoked_at.is_some() {
            return badge(Tone::Plain, "Revoked");
        }
        match self.expires_at > now {
            true => badge(Tone::Good, "Open"),
            false => badge(Tone::Plain, "Ended"),
        }
    }

    fn words(&self) -> String {
        let named = PERMISSIONS
            .iter()
            .filter(|(permission, ..)| self.permissions.iter().any(|one| one == permission));
        named
            .map(|(_, _, words)| *words)
            .collect::<Vec<_>>()
            .join(", ")
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Entered {
    description: String,
    sso: Option<String>,
    scim: Option<String>,
    domains: Option<String>,
    days: String,
    return_url: String,
}

impl Entered {
    /// With everything chosen.
    fn all() -> Self {
        let chosen = || Some("1".to_owned());
        Self {
            sso: chosen(),
            scim: chosen(),
            domains: chosen(),
            ..Self::default()
        }
    }

    fn has(&self, name: &str) -> bool {
        match name {
            "sso" => self.sso.is_some(),
            "scim" => self.scim.is_some(),
            _ => self.domains.is_some(),
        }
    }
}

async fn list(visit: Visit, Queried(query): Queried<PageQuery>) -> Result<Content, Refusal> {
    let notice = (query.done == "revoked").then_some("Revoked: the link opens nothing any more.");
    let page = list_page(&visit, &query.page, &Entered::all(), None).await?;
    Ok(page.notice(notice))
}

async fn list_page(
    visit: &Visit,
    page: &str,
    entered: &Entered,
    problem: Option<&str>,
) -> Result<Content, Refusal> {
    let request = json!({ "pagination": pagination(page), "includeEnded": true });
    let found: Listed = visit
        .call(&format!("{SERVICE}/ListSetupLinks"), request)
        .await?;
    let now = visit.console.app.clock.now();
    let path = visit.path("setup-links");
    let body = html! {
        p { "A set-up link lets somebody without an account, such as the IT of a customer, do what you choose, and nothing else. Whoever has the link can do it: send it in private." }
        @if found.setup_links.is_empty() {
            (empty("No set-up link yet", "Make one below, and send it to whoever administers the identity provider.", None))
        } @else {
            table .list {
                thead { tr { th scope="col" { "For" } th scope="col" { "May set up" } th scope="col" { "State" } th scope="col" { "Ends" } th scope="col" { "Last used" } th scope="col" { "Action" } } }
                tbody {
                    @for row in &found.setup_links {
                        tr {
                            td { @if row.description.is_empty() { span .soft { "no description" } } @else { (row.description) } span .soft { "made " (time(row.created_at)) } }
                            td data-label="May set up" { (row.words()) }
                            td data-label="State" { (row.badge(now)) }
                            td data-label="Ends" { (time(row.expires_at)) }
                            td data-label="Last used" { (time_or(row.last_used_at, "never")) }
                            td {
                                @if row.revoked_at.is_none() && row.expires_at > now {
                                    form method="post" action={ (path) "/" (row.id) "/revoke" } data-confirm="Whoever has the link is kept out from now on. Revoke it?" {
                                        button .danger aria-label={ "Revoke the link for " (row.description) } { "Revoke" }
                                    }
                                }
                            }
                        }
                    }
                }
            }
            (pager(&path, &[], page, &found.pagination))
        }
        section .panel {
            h2 { "Make a set-up link" }
            @if let Some(problem) = problem { (note(Tone::Bad, problem)) }
            form method="post" action=(path) {
                (Field { name: "description", label: "Who is it for?", value: &entered.description, hint: "For your own overview and the audit log, such as “Jane Doe, IT of Acme”.", ..Field::default() })
                fieldset {
                    legend { "What may they set up?" }
                    @for (_, name, words) in PERMISSIONS {
                        label .check { input type="checkbox" name=(name) value="1" checked[entered.has(name)]; (words) }
                    }
                }
                div .field {
                    label for="days" { "How long?" }
                    select #days name="days" {
                        @for (days, words) in [("1", "1 day"), ("7", "7 days"), ("14", "14 days"), ("30", "30 days")] {
                            option value=(days) selected[days == entered.days || (entered.days.is_empty() && days == "7")] { (words) }
                        }
                    }
                }
                (Field { name: "return_url", label: "Where do they go when done?", value: &entered.return_url, hint: "An address that begins with https://. Leave it empty if they just close the page.", kind: "url", ..Field::default() })
                div .actions { button { "Make the link" } }
            }
        }
    };
    Ok(Content::new(Section::SetupLinks, "Set-up links", body))
}

async fn create(visit: Visit, Posted(entered): Posted<Entered>) -> Result<Response, Refusal> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Made {
        url: String,
        setup_link: Row,
    }
    let chosen = PERMISSIONS.iter().filter(|(_, name, _)| entered.has(name));
    let permissions: Vec<&str> = chosen.map(|(permission, ..)| *permission).collect();
    if permissions.is_empty() {
        let problem = "Choose at least one thing that they may set up.";
        let page = list_page(&visit, "", &entered, Some(problem)).await?;
        return Ok(page.status(StatusCode::BAD_REQUEST).into_response());
    }
    let days: u32 = entered.days.parse().unwrap_or(7);
    let request = json!({
        "description": entered.description.trim(),
        "permissions": permissions,
        "validFor": format!("{}s", u64::from(days) * 86_400),
        "returnUrl": entered.return_url.trim(),
    });
    match visit
        .call::<Made>(&format!("{SERVICE}/CreateSetupLink"), request)
        .await
    {
        Ok(made) => {
            let body = html! {
                (note(Tone::Doubtful, "The link is shown now and never again. Send it in private: whoever has it can do what it is for."))
                (copy("Set-up link", &made.url))
                p { "It is for: " (made.setup_link.words()) ". It ends " (time(made.setup_link.expires_at)) ". You can revoke it at any time." }
                div .actions { a .button.second href=(visit.path("setup-links")) { "Done" } }
            };
            let page = Content::new(Section::SetupLinks, "Your set-up link", body)
                .below("Set-up links", visit.path("setup-links"));
            Ok(page.into_response())
        }
        Err(refusal) if refusal.is_about_input() => {
            let page = list_page(&visit, "", &entered, Some(&refusal.sentence())).await?;
            Ok(page.status(StatusCode::BAD_REQUEST).into_response())
        }
        Err(refusal) => Err(refusal),
    }
}

async fn revoke(visit: Visit, At { id }: At) -> Result<Response, Refusal> {
    let method = format!("{SERVICE}/RevokeSetupLink");
    visit.tell(&method, json!({ "setupLinkId": id })).await?;
    Ok(visit.go("setup-links?done=revoked"))
}
