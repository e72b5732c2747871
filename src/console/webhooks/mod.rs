//! Who hears of changes: the list of webhooks, and what is done with each.

mod deliveries;
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
use super::parts::{Pagination, Select, Tone, badge, copy, empty, pager, pagination, time};
use super::visit::{At, Visit};

/// The routes.
pub fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/webhooks", get(list))
        .route("/webhooks/new", get(new).post(create))
        .route("/webhooks/{id}", get(deliveries::show))
        .route("/webhooks/{id}/settings", get(settings).post(update))
        .route("/webhooks/{id}/switch", post(switch))
        .route("/webhooks/{id}/secret", get(to_page).post(rotate))
        .route("/webhooks/{id}/test", get(to_page).post(deliveries::test))
        .route(
            "/webhooks/{id}/replay",
            get(to_page).post(deliveries::replay),
        )
        .route("/webhooks/{id}/delete", post(delete))
}

/// A webhook, as the pages show it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Webhook {
    id: String,
    url: String,
    description: String,
    types: Vec<String>,
    enabled: bool,
    disabled_reason: String,
    created_at: Option<DateTime<Utc>>,
    failing_since: Option<DateTime<Utc>>,
}

impl Webhook {
    /// What people know it by.
    fn title(&self) -> &str {
        match &*self.description {
            "" => &self.url,
            description => description,
        }
    }

    /// How it is, in a word.
    fn badge(&self) -> Markup {
        match (self.enabled, self.failing_since) {
            (true, None) => badge(Tone::Good, "On"),
            (true, Some(_)) => badge(Tone::Bad, "Failing"),
            (false, _) if self.disabled_reason.is_empty() => badge(Tone::Doubtful, "Off"),
            (false, _) => badge(Tone::Bad, "Switched off"),
        }
    }

    /// Why it is like that.
    fn why(&self) -> Markup {
        html! {
            @if !self.enabled && !self.disabled_reason.is_empty() { (self.disabled_reason) }
            @if self.enabled && let Some(since) = self.failing_since { "since " (time(since)) }
        }
    }

    /// What it hears.
    fn hears(&self) -> String {
        match &*self.types {
            [] => "everything".to_owned(),
            types if types.len() <= 4 => types.join(", "),
            types => format!("{}, and {} more", types[..3].join(", "), types.len() - 3),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Webhooks {
    webhooks: Vec<Webhook>,
    pagination: Pagination,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Answer {
    webhook: Webhook,
    secret: String,
    previous_secret_expires_at: Option<DateTime<Utc>>,
}

/// What was done just now, in words.
fn notice(done: &str) -> Option<&'static str> {
    match done {
        "saved" => Some("The webhook is saved."),
        "on" => Some("The webhook is on. It goes on where it was switched off."),
        "off" => Some("The webhook is off. What happens is kept, and sent when you switch it on."),
        "one" => Some("The event is sent again. Reload this page to see what came of it."),
        "replay" => Some("The events are sent again. Reload this page to see what came of them."),
        "nothing" => {
            Some("Nothing that this webhook hears happened in that time, so nothing is sent.")
        }
        "deleted" => Some("The webhook is deleted."),
        _ => None,
    }
}

async fn list(visit: Visit, Asked(asked): Asked) -> Result<Content, Refusal> {
    let page = asked.text("page");
    let method = "rollcall.v1.WebhookService/ListWebhooks";
    let found: Webhooks = visit
        .call(method, json!({ "pagination": pagination(page) }))
        .await?;
    let make = html! { a .button href=(visit.path("webhooks/new")) { "Add a webhook" } };
    let body = html! {
        @if found.webhooks.is_empty() && page.is_empty() {
            (empty("No webhook yet", "A webhook is an address of your own program that Rollcall calls when something happens here: somebody is suspended, a group changes, a session ends.", Some(make)))
        } @else {
            div .toolbar {
                p .grow.soft { "Addresses that Rollcall calls when something happens here." }
                (make)
            }
            table .list {
                thead { tr { th scope="col" { "Webhook" } th scope="col" { "State" } th scope="col" { "Hears" } } }
                tbody {
                    @for webhook in &found.webhooks {
                        tr {
                            td {
                                a href=(visit.path(&format!("webhooks/{}", webhook.id))) { (webhook.title()) }
                                @if !webhook.description.is_empty() { span .soft { (webhook.url) } }
                            }
                            td data-label="State" { (webhook.badge()) span .soft { (webhook.why()) } }
                            td data-label="Hears" { (webhook.hears()) }
                        }
                    }
                }
            }
            (pager(&visit.path("webhooks"), &[], page, &found.pagination))
        }
    };
    Ok(Content::new(Section::Webhooks, "Webhooks", body).notice(notice(asked.text("done"))))
}

async fn new(visit: Visit) -> Content {
    entry::page(&visit, &Entry::fresh(), &Problems::default())
}

async fn create(visit: Visit, Entered(form): Entered) -> Result<Response, Refusal> {
    let entry = Entry::entered(&form);
    let again = |problems: &Problems| {
        let page = entry::page(&visit, &entry, problems);
        Ok(page.status(StatusCode::BAD_REQUEST).into_response())
    };
    if let Some(problems) = entry.problems() {
        return again(&problems);
    }
    let method = "rollcall.v1.WebhookService/CreateWebhook";
    match visit.call::<Answer>(method, entry.to_create()).await {
        Ok(answer) => Ok(made(&visit, &answer).into_response()),
        Err(refusal) if refusal.is_about_input() => again(&Problems::of(&refusal)),
        Err(refusal) => Err(refusal),
    }
}

/// The secret of a webhook that was made just now.
fn made(visit: &Visit, answer: &Answer) -> Content {
    let path = visit.path(&format!("webhooks/{}", answer.webhook.id));
    let body = html! {
        (secret(answer))
        p { "Rollcall sends to " code { (answer.webhook.url) } " what happens from now on: " (answer.webhook.hears()) "." }
        div .actions {
            form method="post" action={ (path) "/test" } { button { "Send a test event" } }
            a .button.second href=(path) { "Go to the webhook" }
        }
    };
    Content::new(Section::Webhooks, "The webhook is added", body)
        .below("Webhooks", visit.path("webhooks"))
}

/// The secret, which is shown once.
fn secret(answer: &Answer) -> Markup {
    html! {
        section .note.doubtful {
            h2 { "Copy the secret now" }
            p { "It is shown this once. Your program needs it to see that a request is from Rollcall: each is signed as Standard Webhooks (standardwebhooks.com) describes it, and there are libraries for it in most languages." }
            (copy("Signing secret", &answer.secret))
        }
    }
}

async fn get_one(visit: &Visit, id: Uuid) -> Result<Webhook, Refusal> {
    let method = "rollcall.v1.WebhookService/GetWebhook";
    let answer: Answer = visit.call(method, json!({ "webhookId": id })).await?;
    Ok(answer.webhook)
}

/// A page about a webhook.
fn below(visit: &Visit, webhook: &Webhook, title: &str, body: Markup) -> Content {
    let path = visit.path(&format!("webhooks/{}", webhook.id));
    Content::new(Section::Webhooks, title, body)
        .below("Webhooks", visit.path("webhooks"))
        .below(webhook.title(), path)
}

async fn settings(visit: Visit, At { id }: At) -> Result<Content, Refusal> {
    let webhook = get_one(&visit, id).await?;
    let entry = Entry::of(&webhook);
    Ok(settings_page(
        &visit,
        &webhook,
        &entry,
        &Problems::default(),
    ))
}

/// How long the secret before may go on signing.
const KEEPS: [(&str, &str); 4] = [
    ("86400s", "For 1 day"),
    ("3600s", "For 1 hour"),
    ("604800s", "For 7 days"),
    ("0s", "Not at all: somebody else knows it"),
];

fn settings_page(visit: &Visit, webhook: &Webhook, entry: &Entry, problems: &Problems) -> Content {
    let path = visit.path(&format!("webhooks/{}", webhook.id));
    let body = html! {
        section .panel { (entry::form(&format!("{path}/settings"), entry, problems, "Save")) }
        section .panel {
            h2 { "New secret" }
            p { "Make a new secret if the one before got lost, or may be known to others. While both sign, give your program the new one." }
            form method="post" action={ (path) "/secret" } {
                (Select { name: "keep", label: "The secret before signs, too", value: "86400s", options: &KEEPS })
                div .actions { button .second data-confirm="Make a new secret?" { "Make a new secret" } }
            }
        }
        section .panel {
            h2 { "Delete" }
            p { "Nothing is sent any more, and the log of what was sent goes with it. To pause, switch the webhook off instead." }
            form method="post" action={ (path) "/delete" } {
                button .danger data-confirm="Delete this webhook with its log?" { "Delete the webhook" }
            }
        }
    };
    below(visit, webhook, "Settings of the webhook", body)
}

async fn update(visit: Visit, At { id }: At, Entered(form): Entered) -> Result<Response, Refusal> {
    let entry = Entry::entered(&form);
    let problems = match entry.problems() {
        Some(problems) => problems,
        None => {
            let method = "rollcall.v1.WebhookService/UpdateWebhook";
            match visit.tell(method, entry.to_update(id)).await {
                Ok(()) => return Ok(visit.go(&format!("webhooks/{id}?done=saved"))),
                Err(refusal) if refusal.is_about_input() => Problems::of(&refusal),
                Err(refusal) => return Err(refusal),
            }
        }
    };
    let webhook = get_one(&visit, id).await?;
    let page = settings_page(&visit, &webhook, &entry, &problems);
    Ok(page.status(StatusCode::BAD_REQUEST).into_response())
}

async fn switch(visit: Visit, At { id }: At, Entered(form): Entered) -> Result<Response, Refusal> {
    let (enabled, done) = match form.text("to") {
        "on" => (true, "on"),
        "off" => (false, "off"),
        _ => return Err(Refusal::bad_form()),
    };
    let method = "rollcall.v1.WebhookService/UpdateWebhook";
    let request = json!({ "webhookId": id, "enabled": enabled });
    visit.tell(method, request).await?;
    Ok(visit.go(&format!("webhooks/{id}?done={done}")))
}

/// Whoever opens the address of a form is sent to the page that has it.
async fn to_page(visit: Visit, At { id }: At) -> Redirect {
    Redirect::to(&visit.path(&format!("webhooks/{id}")))
}

async fn rotate(visit: Visit, At { id }: At, Entered(form): Entered) -> Result<Content, Refusal> {
    let method = "rollcall.v1.WebhookService/RotateWebhookSecret";
    let request = json!({ "webhookId": id, "keepPreviousFor": form.text("keep") });
    let answer: Answer = visit.call(method, request).await?;
    let body = html! {
        (secret(&answer))
        @match answer.previous_secret_expires_at {
            Some(at) => p { "Until " (time(at)) ", the secret before signs, too. Give your program the new one by then." },
            None => p { "The secret before does not sign any more." },
        }
        div .actions { a .button href=(visit.path(&format!("webhooks/{id}"))) { "Done" } }
    };
    Ok(below(
        &visit,
        &answer.webhook,
        "New secret of the webhook",
        body,
    ))
}

async fn delete(visit: Visit, At { id }: At) -> Result<Response, Refusal> {
    let method = "rollcall.v1.WebhookService/DeleteWebhook";
    visit.tell(method, json!({ "webhookId": id })).await?;
    Ok(visit.go("webhooks?done=deleted"))
}
