//! Whether it works: the first page of an organization.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use super::Console;
use super::client::Refusal;
use super::frame::{Content, Section};
use super::parts::{Tone, badge, number, time, time_or};
use super::setup;
use super::visit::{Visit, Who};

/// The routes.
pub fn routes() -> Router<Arc<Console>> {
    Router::new().route("/", get(show))
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    server_version: String,
    scim_configurations: Vec<Scim>,
    sso_configurations: Vec<Sso>,
    sign_ins: SignIns,
    next_token_to_expire: Option<Expiry>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Scim {
    id: String,
    name: String,
    enabled: bool,
    token_expires_at: Option<DateTime<Utc>>,
    user_count: i64,
    last_event_at: Option<DateTime<Utc>>,
    last_refusal: Option<ScimRefusal>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ScimRefusal {
    at: Option<DateTime<Utc>>,
    method: String,
    path: String,
    reason: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Sso {
    id: String,
    display_name: String,
    active: bool,
    needs_client_secret: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SignIns {
    signed_in: i64,
    refused: i64,
    at_least: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Expiry {
    name: String,
    expires_at: Option<DateTime<Utc>>,
}

async fn show(visit: Visit) -> Result<Content, Refusal> {
    if let Who::Link(link) = &visit.who {
        return Ok(setup::welcome(&visit, link));
    }
    let status: Status = visit
        .call("rollcall.v1.StatusService/GetStatus", json!({}))
        .await?;
    let body = html! {
        div .cards {
            (sign_in(&visit, &status))
            (provisioning(&visit, &status))
        }
        p .soft .small { "Rollcall " (status.server_version) }
    };
    Ok(Content::new(Section::Overview, "Overview", body))
}

fn sign_in(visit: &Visit, status: &Status) -> Markup {
    let more = if status.sign_ins.at_least {
        " or more"
    } else {
        ""
    };
    html! {
        section .panel {
            h2 { a href=(visit.path("sso")) { "Single sign-on" } }
            @for sso in &status.sso_configurations {
                p .row {
                    a href=(visit.path(&format!("sso/{}", sso.id))) { (sso.display_name) }
                    @if sso.needs_client_secret {
                        (badge(Tone::Bad, "Enter the client secret again"))
                    } @else if sso.active {
                        (badge(Tone::Good, "Active"))
                    } @else {
                        (badge(Tone::Doubtful, "Not active"))
                    }
                }
            }
            @if status.sso_configurations.is_empty() {
                p { "Nobody can sign in yet." }
                div .actions { a .button href=(visit.path("sso/new")) { "Set up single sign-on" } }
            } @else {
                dl .figures {
                    div { dt { "Signed in, last hour" } dd { (number(status.sign_ins.signed_in)) (more) } }
                    div { dt { "Refused, last hour" } dd { (number(status.sign_ins.refused)) (more) } }
                }
            }
        }
    }
}

fn provisioning(visit: &Visit, status: &Status) -> Markup {
    html! {
        section .panel {
            h2 { a href=(visit.path("provisioning")) { "Provisioning" } }
            @for scim in &status.scim_configurations {
                p .row {
                    a href=(visit.path(&format!("provisioning/{}", scim.id))) { (scim.name) }
                    @if scim.enabled { (badge(Tone::Good, "On")) } @else { (badge(Tone::Doubtful, "Off")) }
                }
                dl .figures {
                    div { dt { "Users" } dd { (number(scim.user_count)) } }
                    div { dt { "Last change" } dd { (time_or(scim.last_event_at, "none yet")) } }
                    div { dt { "Token ends" } dd { (time_or(scim.token_expires_at, "never")) } }
                }
                @if let Some(refusal) = &scim.last_refusal {
                    p .small { "Refused last: " code { (refusal.method) " " (refusal.path) } " " @if let Some(at) = refusal.at { (time(at)) } ": " (refusal.reason) }
                }
            }
            @if status.scim_configurations.is_empty() {
                p { "No identity provider pushes users yet." }
                div .actions { a .button href=(visit.path("provisioning/new")) { "Set up provisioning" } }
            }
            @if let Some(expiry) = &status.next_token_to_expire {
                p .small { "The next token to end is that of " strong { (expiry.name) } ": " (time_or(expiry.expires_at, "")) }
            }
        }
    }
}
