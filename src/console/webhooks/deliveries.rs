//! What was sent to a webhook and what came of it, and sending it again.

use axum::response::Response;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Webhook, below, get_one, notice};
use crate::console::client::Refusal;
use crate::console::form::{Asked, Entered};
use crate::console::frame::{Content, Section};
use crate::console::parts::{
    Pagination, Select, Tone, badge, empty, note, pager, pagination, time,
};
use crate::console::visit::{At, Visit};

/// How much of an answer a row shows, in characters.
const SHOWN: usize = 120;

/// What the list may be filtered by, in the address and in words.
const STATES: [(&str, &str); 4] = [
    ("", "All"),
    ("waiting", "Waiting: sent again"),
    ("parked", "Parked: not sent again"),
    ("delivered", "Delivered"),
];

/// Of what time everything can be sent again, in hours.
const SPANS: [(&str, &str); 5] = [
    ("1", "The last hour"),
    ("24", "The last 24 hours"),
    ("168", "The last 7 days"),
    ("720", "The last 30 days"),
    ("", "From the time that I enter"),
];

#[derive(Default, Deserialize)]
#[serde(default)]
struct Deliveries {
    deliveries: Vec<Delivery>,
    pagination: Pagination,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Delivery {
    event_id: String,
    event_type: String,
    event_time: Option<DateTime<Utc>>,
    status: String,
    tries: i64,
    tried_at: Option<DateTime<Utc>>,
    next_try_at: Option<DateTime<Utc>>,
    http_status: u16,
    duration: String,
    answer: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Test {
    delivered: bool,
    http_status: u16,
    duration: String,
    answer: String,
}

/// The page of a webhook.
pub async fn show(visit: Visit, At { id }: At, Asked(asked): Asked) -> Result<Content, Refusal> {
    let (state, page) = (asked.text("state"), asked.text("page"));
    let (webhook, found) =
        futures_util::future::try_join(get_one(&visit, id), find(&visit, id, state, page)).await?;
    let content = content(&visit, &webhook, &found, (state, page), &html! {});
    Ok(content.notice(notice(asked.text("done"))))
}

async fn find(visit: &Visit, id: Uuid, state: &str, page: &str) -> Result<Deliveries, Refusal> {
    let status = match state {
        "waiting" | "parked" | "delivered" => {
            format!("DELIVERY_STATUS_{}", state.to_ascii_uppercase())
        }
        _ => "DELIVERY_STATUS_UNSPECIFIED".to_owned(),
    };
    let request = json!({ "webhookId": id, "status": status, "pagination": pagination(page) });
    let method = "rollcall.v1.WebhookService/ListWebhookDeliveries";
    visit.call(method, request).await
}

fn content(
    visit: &Visit,
    webhook: &Webhook,
    found: &Deliveries,
    (state, page): (&str, &str),
    first: &Markup,
) -> Content {
    let path = visit.path(&format!("webhooks/{}", webhook.id));
    let body = html! {
        (first)
        (state_of(webhook, &path))
        h2 { "What was sent" }
        (log(found, &path, state, page))
        (again(&path))
    };
    Content::new(Section::Webhooks, webhook.title(), body).below("Webhooks", visit.path("webhooks"))
}

fn state_of(webhook: &Webhook, path: &str) -> Markup {
    let (to, verb) = match webhook.enabled {
        true => ("off", "Switch off"),
        false => ("on", "Switch on"),
    };
    html! {
        @if !webhook.enabled && !webhook.disabled_reason.is_empty() {
            (note(Tone::Bad, html! { "It was switched off: " (webhook.disabled_reason) ". Mend the receiver, send a test event, and switch it on again." }))
        } @else if webhook.enabled && let Some(since) = webhook.failing_since {
            (note(Tone::Bad, html! { "Nothing that is sent is taken, since " (time(since)) ". The answers below say why. It is tried again; after a day it is switched off." }))
        }
        section .panel {
            div .row { h2 { "State" } (webhook.badge()) }
            dl .facts {
                dt { "Address" } dd { code { (webhook.url) } }
                dt { "Hears" } dd { (webhook.hears()) }
                @if let Some(at) = webhook.created_at { dt { "Made" } dd { (time(at)) } }
            }
            div .actions {
                form method="post" action={ (path) "/test" } { button { "Send a test event" } }
                form method="post" action={ (path) "/switch" } {
                    input type="hidden" name="to" value=(to);
                    button .second { (verb) }
                }
                a .button.second href={ (path) "/settings" } { "Settings" }
            }
        }
    }
}

fn log(found: &Deliveries, path: &str, state: &str, page: &str) -> Markup {
    html! {
        form .toolbar method="get" action=(path) {
            (Select { name: "state", label: "Show", value: state, options: &STATES })
            button .second { "Show" }
        }
        @if !found.deliveries.is_empty() {
            table .list {
                thead { tr { th scope="col" { "Event" } th scope="col" { "State" } th scope="col" { "Last answer" } th scope="col" { "Change" } } }
                tbody { @for delivery in &found.deliveries { (row(delivery, path)) } }
            }
        } @else if !state.is_empty() || !page.is_empty() {
            (empty("None of these", "No event that was sent is in this state.", Some(html! { a .button.second href=(path) { "Show all" } })))
        } @else {
            (empty("Nothing sent yet", "As soon as something happens that this webhook hears, it stands here with the answer of your program. A test event is not listed.", None))
        }
        (pager(path, &[("state", state)], page, &found.pagination))
    }
}

fn row(delivery: &Delivery, path: &str) -> Markup {
    let (tone, word) = match &*delivery.status {
        "DELIVERY_STATUS_DELIVERED" => (Tone::Good, "Delivered"),
        "DELIVERY_STATUS_WAITING" => (Tone::Doubtful, "Waiting"),
        "DELIVERY_STATUS_PARKED" => (Tone::Bad, "Parked"),
        _ => (Tone::Plain, "Unknown"),
    };
    let is_waiting = word == "Waiting";
    html! {
        tr {
            td {
                code { (delivery.event_type) }
                @if let Some(at) = delivery.event_time { span .soft { (time(at)) } }
                code .soft.id { (delivery.event_id) }
            }
            td data-label="State" {
                (badge(tone, word))
                @if is_waiting {
                    span .soft {
                        @match delivery.next_try_at {
                            Some(at) => { "sent again " (time(at)) },
                            None if delivery.tries == 0 => "after an earlier event of the same subject, or in its turn",
                            None => "after an earlier event of the same subject",
                        }
                    }
                }
            }
            td data-label="Last answer" { (answer(delivery)) }
            td {
                form method="post" action={ (path) "/replay" } {
                    input type="hidden" name="event" value=(delivery.event_id);
                    button .link aria-label={ "Send again: " (delivery.event_type) " " (delivery.event_id) } { "Send again" }
                }
            }
        }
    }
}

fn answer(delivery: &Delivery) -> Markup {
    let Some(tried_at) = delivery.tried_at else {
        return html! { span .soft { "not sent yet" } };
    };
    let times = match delivery.tries {
        1 => "sent once".to_owned(),
        tries => format!("sent {tries} times"),
    };
    let short: String = delivery.answer.chars().take(SHOWN).collect();
    let is_cut = short.len() < delivery.answer.len();
    html! {
        (outcome(delivery.http_status, &delivery.duration))
        span .soft { (times) ", last " (time(tried_at)) }
        @if is_cut {
            details .small { summary { (short) "…" } pre .wrap { (delivery.answer) } }
        } @else if !short.is_empty() {
            span .small { (short) }
        }
    }
}

/// The status of an answer, and how long it took.
fn outcome(status: u16, duration: &str) -> Markup {
    html! {
        @match status {
            0 => "no answer",
            status => { "status " strong { (status) } },
        }
        @if let Some(took) = milliseconds(duration) { " in " (took) " ms" }
    }
}

/// A duration of the API, such as `0.006s`, in milliseconds.
fn milliseconds(duration: &str) -> Option<u64> {
    let (seconds, rest) = duration
        .strip_suffix('s')?
        .split_once('.')
        .unwrap_or((duration.trim_end_matches('s'), ""));
    let millis: u64 = format!("{rest:0<3}").get(..3)?.parse().ok()?;
    Some(seconds.parse::<u64>().ok()? * 1000 + millis)
}

/// The form that has everything of a time sent again.
fn again(path: &str) -> Markup {
    html! {
        section .panel {
            h2 { "Send everything again" }
            p { "Use this when your program lost events: everything of a time that the webhook hears is sent again, whether it was taken or not, with the same ids as before." }
            form method="post" action={ (path) "/replay" } {
                (Select { name: "span", label: "Which time", value: "1", options: &SPANS })
                div .field {
                    label for="since" { "From this time on, in UTC" }
                    input #since name="since" type="datetime-local" aria-describedby="since-hint";
                    p #since-hint .hint { "Only if you chose to enter one. UTC, not your own zone." }
                }
                div .actions { button .second data-confirm="Send all events of this time again?" { "Send them again" } }
            }
        }
    }
}

/// Sends an event that says nothing, and shows what came of it.
pub async fn test(visit: Visit, At { id }: At) -> Result<Content, Refusal> {
    let method = "rollcall.v1.WebhookService/SendTestEvent";
    let test: Test = visit.call(method, json!({ "webhookId": id })).await?;
    let webhook = get_one(&visit, id).await?;
    let path = visit.path(&format!("webhooks/{id}"));
    let body = html! {
        @if test.delivered {
            (note(Tone::Good, html! { "It arrived: " (outcome(test.http_status, &test.duration)) "." }))
        } @else {
            (note(Tone::Bad, html! { "It was not taken: " (outcome(test.http_status, &test.duration)) ". " (advice(test.http_status)) }))
        }
        @if !test.answer.is_empty() {
            h2 { @if test.http_status == 0 { "Why there is no answer" } @else { "What your program answered" } }
            pre .wrap { (test.answer) }
        }
        div .actions {
            form method="post" action={ (path) "/test" } { button .second { "Send another" } }
            a .button href=(path) { "To the webhook" }
        }
    };
    Ok(below(&visit, &webhook, "Test event", body))
}

/// What to do where an answer has this status.
const fn advice(status: u16) -> &'static str {
    match status {
        0 => {
            "Look whether the address is right, and whether your program runs and can be reached from this server."
        }
        300..=399 => "Redirects are not followed: enter the address that it leads to.",
        401 | 403 | 407 => {
            "Something in front of your program wants a sign-in. Leave this address out of it: the signature says who calls."
        }
        404 | 405 => "Your program does not know this address, or takes no POST there.",
        400 => {
            "Often this means that your program has another secret, or checks the signature over another text than the body as it came."
        }
        _ => {
            "Your program must answer with a status from 200 to 299. Its own log says what went wrong."
        }
    }
}

/// Sends one event again, or all of a time.
pub async fn replay(
    visit: Visit,
    At { id }: At,
    Entered(form): Entered,
) -> Result<Response, Refusal> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Count {
        count: u64,
    }
    let event = form.text("event");
    let request = match (event, start(&form, visit.console.app.clock.now())) {
        ("", None) => {
            return Err(Refusal::new(
                "invalid_argument",
                "Enter the time from which on events are sent again, such as 2026-03-01T08:00. Go back to do that.",
            ));
        }
        ("", Some(start)) => json!({ "webhookId": id, "startTime": start }),
        (event, _) => json!({ "webhookId": id, "eventId": event }),
    };
    let method = "rollcall.v1.WebhookService/ReplayWebhookDeliveries";
    let answer: Count = visit.call::<Count>(method, request).await?;
    let done = match (event, answer.count) {
        (_, 0) => "nothing",
        ("", _) => "replay",
        _ => "one",
    };
    Ok(visit.go(&format!("webhooks/{id}?done={done}")))
}

/// From when on the form has events sent again.
fn start(form: &crate::console::form::Pairs, now: DateTime<Utc>) -> Option<Value> {
    let hours: Option<i64> = form.text("span").parse().ok();
    let start = match hours {
        Some(hours) => now.checked_sub_signed(TimeDelta::try_hours(hours)?)?,
        None => {
            let text = form.text("since");
            let formats = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"];
            let parse = |format: &&str| NaiveDateTime::parse_from_str(text, format).ok();
            formats.iter().find_map(parse)?.and_utc()
        }
    };
    Some(json!(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_told_in_milliseconds() {
        let texts = ["0.006s", "1s", "10.250001s", "0s", "", "s", "x"];
        let millis = [Some(6), Some(1000), Some(10_250), Some(0), None, None, None];
        assert_eq!(texts.map(milliseconds), millis);
    }
}
