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
use super::parts::{Tone, badge, number, sentence, time, time_or};
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
    members: Count,
    groups: Count,
    sign_ins_by_hour: Vec<Hour>,
    expiring_tokens: Vec<Expiry>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Count {
    count: i64,
    at_least: bool,
}

impl Count {
    fn words(self) -> String {
        let more = if self.at_least { "+" } else { "" };
        format!("{}{more}", number(self.count))
    }
}

/// The tries to sign in of an hour.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Hour {
    start: DateTime<Utc>,
    signed_in: i64,
    refused: i64,
    at_least: bool,
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
    tested_at: Option<DateTime<Utc>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Expiry {
    name: String,
    scim_configuration_id: String,
    expires_at: Option<DateTime<Utc>>,
}

async fn show(visit: Visit) -> Result<Content, Refusal> {
    if let Who::Link(link) = &visit.who {
        return Ok(setup::welcome(&visit, link));
    }
    let status: Status = visit
        .call("rollcall.v1.StatusService/GetStatus", json!({}))
        .await?;
    let next = next_steps(&visit, &status);
    let body = html! {
        @if !next.is_empty() {
            section .panel {
                h2 { "What to do next" }
                ul .findings { @for step in next { li { (step) } } }
            }
        }
        dl .figures.wide-figures {
            div { dt { "People" } dd { a href=(visit.path("people")) { (status.members.words()) } } }
            div { dt { "Groups" } dd { a href=(visit.path("groups")) { (status.groups.words()) } } }
            div { dt { "Signed in, 24 hours" } dd { (sum(&status.sign_ins_by_hour, |hour| hour.signed_in).words()) } }
            div { dt { "Refused, 24 hours" } dd { a href=(visit.path("sign-ins?outcome=refused")) { (sum(&status.sign_ins_by_hour, |hour| hour.refused).words()) } } }
        }
        div .cards {
            (sign_in(&visit, &status))
            (provisioning(&visit, &status))
        }
        p .soft .small { "Rollcall " (status.server_version) }
    };
    Ok(Content::new(Section::Overview, "Overview", body))
}

fn sum(hours: &[Hour], of: impl Fn(&Hour) -> i64) -> Count {
    Count {
        count: hours.iter().map(of).sum(),
        at_least: hours.iter().any(|hour| hour.at_least),
    }
}

/// What is missing, and what will be.
fn next_steps(visit: &Visit, status: &Status) -> Vec<Markup> {
    let mut steps = vec![];
    let step = |tone, word: &str, path: &str, text: String| {
        html! { (badge(tone, word)) a href=(visit.path(path)) { (text) } }
    };
    for sso in &status.sso_configurations {
        let path = format!("sso/{}", sso.id);
        let name = &sso.display_name;
        if sso.needs_client_secret {
            let text =
                format!("Enter the client secret of {name} again: the key that sealed it is lost");
            steps.push(step(Tone::Bad, "Broken", &path, text));
        } else if !sso.active {
            let text = match sso.tested_at {
                Some(_) => format!("Activate {name}: its test sign-in worked"),
                None => format!("Test {name}, and activate it"),
            };
            steps.push(step(Tone::Doubtful, "To do", &path, text));
        }
    }
    if status.sso_configurations.is_empty() {
        let text = "Set up single sign-on, so that people can sign in".to_owned();
        steps.push(step(Tone::Doubtful, "To do", "sso/new", text));
    } else if status.scim_configurations.is_empty() {
        let text = "Set up provisioning, so that nobody keeps access who leaves".to_owned();
        steps.push(step(Tone::Plain, "Then", "provisioning/new", text));
    }
    for token in &status.expiring_tokens {
        let path = match &*token.scim_configuration_id {
            "" => "tokens".to_owned(),
            id => format!("provisioning/{id}"),
        };
        let link = visit.path(&path);
        steps.push(html! {
            (badge(Tone::Doubtful, "Ends soon"))
            span { a href=(link) { "Replace the token of " (token.name) } ": it ends " (time_or(token.expires_at, "soon")) }
        });
    }
    steps
}

/// The tries to sign in of a day, as bars: the height of each is a part of the highest.
fn chart(hours: &[Hour]) -> Markup {
    const HEIGHT: i64 = 72;
    const STEP: usize = 12;
    let most = hours.iter().map(|hour| hour.signed_in + hour.refused).max();
    let most = most.unwrap_or_default().max(1);
    let part = |count: i64| match count {
        0 => 0,
        count => (count * HEIGHT / most).max(2),
    };
    html! {
        svg .chart viewBox={ "0 0 " (hours.len().max(1) * STEP) " " (HEIGHT + 2) } preserveAspectRatio="none" role="img" aria-label={ "Tries to sign in of the last 24 hours, by hour: at most " (most) " in an hour" } {
            @for (at, hour) in hours.iter().enumerate() {
                @let (good, bad) = (part(hour.signed_in), part(hour.refused));
                g {
                    title { (hour.start.format("%H:%M UTC")) ": " (hour.signed_in) " signed in, " (hour.refused) " refused" }
                    rect .good x=(at * STEP + 1) width=(STEP - 2) y=(HEIGHT - good) height=(good) {}
                    rect .bad x=(at * STEP + 1) width=(STEP - 2) y=(HEIGHT - good - bad) height=(bad) {}
                    rect .axis x=(at * STEP) width=(STEP) y=(HEIGHT) height="2" {}
                }
            }
        }
    }
}

fn sign_in(visit: &Visit, status: &Status) -> Markup {
    html! {
        section .panel {
            h2 { a href=(visit.path("sso")) { "Single sign-on" } }
            @for sso in &status.sso_configurations {
                p .row {
                    a href=(visit.path(&format!("sso/{}", sso.id))) { (sso.display_name) }
                    @if sso.needs_client_secret {
                        (badge(Tone::Bad, "Broken"))
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
                h3 { "Sign-ins of the last 24 hours" }
                @if status.sign_ins_by_hour.iter().all(|hour| hour.signed_in + hour.refused == 0) {
                    p { "Nobody tried to sign in." }
                } @else {
                    (chart(&status.sign_ins_by_hour))
                    p .small { (badge(Tone::Good, "signed in")) " " (badge(Tone::Bad, "refused")) }
                }
                p .small { a href=(visit.path("sign-ins")) { "All tries to sign in" } }
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
                    p .small { "Refused last: " code { (refusal.method) " " (refusal.path) } " " @if let Some(at) = refusal.at { (time(at)) } ": " (sentence(&refusal.reason)) }
                }
            }
            @if status.scim_configurations.is_empty() {
                p { "No identity provider pushes users yet." }
                div .actions { a .button href=(visit.path("provisioning/new")) { "Set up provisioning" } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(signed_in: i64, refused: i64) -> Hour {
        Hour {
            signed_in,
            refused,
            ..Hour::default()
        }
    }

    #[test]
    fn the_highest_bar_fills_the_chart_and_none_is_invisible() {
        let drawn = chart(&[hour(1000, 0), hour(1, 0), hour(0, 0)]).into_string();
        assert!(drawn.contains(r#"y="0" height="72""#), "{drawn}");
        assert!(drawn.contains(r#"y="70" height="2""#), "{drawn}");
        assert!(drawn.contains("at most 1000 in an hour"), "{drawn}");
    }
}
