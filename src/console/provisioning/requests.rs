//! The requests of identity providers: in a list, as they arrive, and each on a page of its own.

use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::sse::{Event, KeepAlive, Sse};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{Stream, stream};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{below_list, find};
use crate::console::client::Refusal;
use crate::console::form::Queried;
use crate::console::frame::Content;
use crate::console::parts::{Pagination, Tone, badge, note, sentence, time};
use crate::console::visit::{At, Visit};

/// How often a feed looks for new requests.
const PULSE: Duration = Duration::from_secs(2);

/// How many looks a feed takes before the browser asks for it anew, so that whoever has no access any more loses it.
const LOOKS: u32 = 150;

/// A page of requests.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Events {
    pub events: Vec<Pushed>,
    pub pagination: Pagination,
}

/// A request that arrived.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Pushed {
    id: String,
    created_at: DateTime<Utc>,
    method: String,
    path: String,
    status: u16,
    outcome: String,
    traits: Vec<String>,
    resource_type: String,
    resource_id: String,
    changes: Vec<Changed>,
    reason: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Changed {
    attribute: String,
    old_value: Option<Value>,
    new_value: Option<Value>,
    count: i64,
}

/// The method that lists them.
pub const EVENTS: &str = "rollcall.v1.ProvisioningService/ListProvisioningEvents";

/// What came of a request, in a word.
fn outcome(event: &Pushed) -> Markup {
    match &*event.outcome {
        "PROVISIONING_OUTCOME_CREATED" => badge(Tone::Good, "Created"),
        "PROVISIONING_OUTCOME_UPDATED" => badge(Tone::Good, "Updated"),
        "PROVISIONING_OUTCOME_DELETED" => badge(Tone::Plain, "Deleted"),
        "PROVISIONING_OUTCOME_REFUSED" => badge(Tone::Bad, "Refused"),
        _ => badge(Tone::Plain, "Done"),
    }
}

/// A request in the feed.
pub fn row(path: &str, event: &Pushed) -> Markup {
    html! {
        li id={ "request-" (event.id) } {
            (time(event.created_at))
            div {
                (outcome(event)) " "
                a href={ (path) "/requests/" (event.id) } { (subject(event)) }
                @if event.outcome == "PROVISIONING_OUTCOME_REFUSED" {
                    p { b { (sentence(&event.reason)) } @if let Some(help) = help(event) { " " (help) } }
                } @else {
                    @if !event.changes.is_empty() { p .small { (summary(&event.changes)) } }
                    @if !event.reason.is_empty() { p .small { (event.reason) } }
                }
            }
        }
    }
}

/// Whom or what a request was about, as well as it is known.
fn subject(event: &Pushed) -> String {
    let named = ["userName", "displayName", "name.formatted"];
    let value = named.iter().find_map(|name| {
        let change = event
            .changes
            .iter()
            .find(|change| change.attribute == *name)?;
        let value = change.new_value.as_ref().or(change.old_value.as_ref())?;
        value.as_str()
    });
    match (value, &*event.resource_type) {
        (Some(value), "") => value.to_owned(),
        (Some(value), kind) => format!("{kind} {value}"),
        (None, "") => format!("{} {}", event.method, event.path),
        (None, kind) => format!("{kind} {}", event.resource_id),
    }
}

/// The first changes in one line.
fn summary(changes: &[Changed]) -> String {
    let shown = changes.iter().take(4).map(|change| {
        let name = &change.attribute;
        match (&change.old_value, &change.new_value) {
            (Some(_), None) => format!("{name} removed"),
            (_, Some(value)) if change.count > 0 => {
                let _ = value;
                format!("{name}: {}", change.count)
            }
            (_, Some(value)) => format!("{name}: {}", brief(value)),
            (None, None) => name.clone(),
        }
    });
    let mut line = shown.collect::<Vec<_>>().join(", ");
    if changes.len() > 4 {
        line.push_str(&format!(" and {} more", changes.len() - 4));
    }
    line
}

/// A value as short as a line takes it.
fn brief(value: &Value) -> String {
    let text = plain(value);
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// What to do about a refusal, where more can be said than its reason says.
fn help(event: &Pushed) -> Option<&'static str> {
    match event.status {
        401 => Some(
            "The token is wrong, has ended, or was replaced: make a new one on the page of this provisioning, and enter it at the provider.",
        ),
        403 => Some("Provisioning is switched off here: switch it on, on its page."),
        404 => Some(
            "The provider knows a user or group that is gone here. Restart provisioning at the provider: it makes the user or group anew.",
        ),
        409 => Some(
            "Another user or group has this already. Look whether two people share it at the provider, or whether one was made by hand.",
        ),
        429 => Some("The provider asks too often. It tries again by itself."),
        413 => {
            Some("The provider sends too much at once: have it send fewer operations in a request.")
        }
        _ => None,
    }
}

/// From when on a feed shows requests.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Since {
    since: i64,
    refused: String,
}

/// Sends each request as it arrives.
pub async fn feed(
    visit: Visit,
    At { id }: At,
    Queried(since): Queried<Since>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refusal> {
    let path = find(&visit, id).await?.path(&visit);
    let from = DateTime::from_timestamp_millis(since.since).ok_or_else(Refusal::bad_form)?;
    let state = Feed {
        visit,
        id,
        path,
        from,
        seen: vec![],
        only_refused: !since.refused.is_empty(),
        looks: 0,
    };
    let messages = stream::unfold(state, |mut feed| async {
        let new = feed.next().await?;
        let text = html! { @for event in &new { (row(&feed.path, event)) } }.into_string();
        Some((Ok(Event::default().event("add").data(text)), feed))
    });
    Ok(Sse::new(messages).keep_alive(KeepAlive::default()))
}

struct Feed {
    visit: Visit,
    id: Uuid,
    path: String,
    from: DateTime<Utc>,
    /// What was shown of the last moments, of which more may come.
    seen: Vec<String>,
    only_refused: bool,
    looks: u32,
}

/// How far back a feed looks each time: requests are written when they end, in no order.
const OVERLAP: TimeDelta = TimeDelta::seconds(10);

impl Feed {
    /// The next requests, the newest first; `None` when the browser has to ask anew.
    async fn next(&mut self) -> Option<Vec<Pushed>> {
        while self.looks < LOOKS && !self.visit.console.app.is_stopping.load(Ordering::Relaxed) {
            self.looks += 1;
            tokio::time::sleep(PULSE).await;
            let request = json!({
                "filter": {
                    "scimConfigurationId": self.id,
                    "onlyRefused": self.only_refused,
                    "since": self.from,
                },
                "pagination": { "pageSize": 50 },
            });
            let found: Events = self.visit.call(EVENTS, request).await.ok()?;
            let new: Vec<Pushed> = found
                .events
                .into_iter()
                .filter(|event| !self.seen.contains(&event.id))
                .collect();
            if let Some(newest) = new.first() {
                self.from = self.from.max(newest.created_at - OVERLAP);
            }
            self.seen.extend(new.iter().map(|event| event.id.clone()));
            let excess = self.seen.len().saturating_sub(1_000);
            self.seen.drain(..excess);
            if !new.is_empty() {
                return Some(new);
            }
        }
        None
    }
}

/// One request, as a page to send to a colleague.
pub async fn event(
    visit: Visit,
    path: Result<Path<(String, Uuid, Uuid)>, PathRejection>,
) -> Result<Content, Refusal> {
    let Ok(Path((_, id, event))) = path else {
        return Err(Refusal::nothing_here());
    };
    let scim = find(&visit, id).await?;
    let found = around(&visit, id, event).await?;
    let path = scim.path(&visit);
    let body = html! {
        @if found.outcome == "PROVISIONING_OUTCOME_REFUSED" {
            div .note.bad { p { b { (sentence(&found.reason)) } } @if let Some(help) = help(&found) { p { (help) } } }
        } @else if !found.reason.is_empty() {
            (note(Tone::Doubtful, sentence(&found.reason)))
        }
        section .panel {
            dl .facts {
                dt { "Arrived" } dd { (time(found.created_at)) }
                dt { "Request" } dd { code { (found.method) " " (found.path) } }
                dt { "Answer" } dd { (found.status) " " (outcome(&found)) }
                @if !found.resource_id.is_empty() {
                    dt { (found.resource_type) } dd { a href={ (path) "?resource=" (found.resource_id) } { code { (found.resource_id) } } }
                }
                @if !found.traits.is_empty() { dt { "Peculiar" } dd { (found.traits.join(", ")) } }
                dt { "Reference" } dd { code { (found.id) } }
            }
        }
        @if !found.changes.is_empty() {
            h2 { "What it changed" }
            table .list.diff {
                thead { tr { th scope="col" { "Attribute" } th scope="col" { "Before" } th scope="col" { "After" } } }
                tbody {
                    @for change in &found.changes {
                        tr {
                            td { code { (change.attribute) } @if change.count > 0 { span .soft { (change.count) " in all" } } }
                            td data-label="Before" { @if let Some(value) = &change.old_value { del { (plain(value)) } } }
                            td data-label="After" { @if let Some(value) = &change.new_value { ins { (plain(value)) } } }
                        }
                    }
                }
            }
        }
    };
    Ok(below_list(&visit, &subject(&found), body).below(scim.name(), path))
}

/// A value as people write it: of a multi-valued attribute the values, of a name its parts.
fn plain(value: &Value) -> String {
    let list = |values: Vec<String>, between: &str| {
        let said = values.into_iter().filter(|text| !text.is_empty());
        said.collect::<Vec<_>>().join(between)
    };
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => list(values.iter().map(plain).collect(), ", "),
        Value::Object(parts) => {
            let whole = ["formatted", "display", "value"];
            match whole.iter().find_map(|name| parts.get(*name)?.as_str()) {
                Some(text) => text.to_owned(),
                None => {
                    let first = ["givenName", "familyName"];
                    let names = first.iter().filter_map(|name| parts.get(*name)).map(plain);
                    let names: Vec<String> = names.collect();
                    match names.is_empty() {
                        false => list(names, " "),
                        true => list(parts.values().map(plain).collect(), ", "),
                    }
                }
            }
        }
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// The request with this id. The id has the moment at which it was written, so that few are looked through.
async fn around(visit: &Visit, id: Uuid, event: Uuid) -> Result<Pushed, Refusal> {
    let nothing = || {
        Refusal::new(
            "not_found",
            "There is no such request in the log. The log keeps requests for a limited time.",
        )
    };
    let stamp = event.get_timestamp().ok_or_else(nothing)?;
    let (seconds, nanos) = stamp.to_unix();
    let seconds = i64::try_from(seconds).map_err(|_| nothing())?;
    let at = DateTime::from_timestamp(seconds, nanos).ok_or_else(nothing)?;
    let mut page = String::new();
    for _ in 0..5 {
        let request = json!({
            "filter": {
                "scimConfigurationId": id,
                "since": at - TimeDelta::seconds(60),
                "until": at + TimeDelta::seconds(60),
            },
            "pagination": { "token": page, "pageSize": 100 },
        });
        let found: Events = visit.call(EVENTS, request).await?;
        let wanted = event.to_string();
        if let Some(event) = found.events.into_iter().find(|event| event.id == wanted) {
            return Ok(event);
        }
        page = found.pagination.next_token;
        if page.is_empty() {
            break;
        }
    }
    Err(nothing())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(attribute: &str, new: Value) -> Changed {
        Changed {
            attribute: attribute.to_owned(),
            new_value: Some(new),
            ..Changed::default()
        }
    }

    #[test]
    fn a_request_is_called_after_its_user() {
        let event = Pushed {
            method: "POST".to_owned(),
            path: "/Users".to_owned(),
            resource_type: "User".to_owned(),
            resource_id: "1".to_owned(),
            changes: vec![
                change("active", json!(true)),
                change("userName", json!("ada@example.com")),
            ],
            ..Pushed::default()
        };
        assert_eq!(subject(&event), "User ada@example.com");
        let unknown = Pushed {
            resource_type: String::new(),
            changes: vec![],
            ..event
        };
        assert_eq!(subject(&unknown), "POST /Users");
    }

    #[test]
    fn values_are_written_as_people_write_them() {
        let values = [
            (json!("Ada"), "Ada"),
            (
                json!([{ "value": "a@example.com", "type": "work", "primary": true }, { "value": "b@example.com" }]),
                "a@example.com, b@example.com",
            ),
            (
                json!({ "familyName": "Lovelace", "givenName": "Ada" }),
                "Ada Lovelace",
            ),
            (
                json!({ "formatted": "Countess", "givenName": "Ada" }),
                "Countess",
            ),
            (
                json!({ "country": "UK", "locality": "London" }),
                "UK, London",
            ),
            (json!(true), "true"),
            (json!(null), ""),
        ];
        for (value, text) in values {
            assert_eq!(plain(&value), text, "{value}");
        }
    }

    #[test]
    fn changes_are_summed_up_in_one_line() {
        let changes: Vec<Changed> = (0..6).map(|n| change(&format!("a{n}"), json!(n))).collect();
        assert_eq!(summary(&changes), "a0: 0, a1: 1, a2: 2, a3: 3 and 2 more");
        let long = change("note", json!("é".repeat(100)));
        assert_eq!(summary(&[long]), format!("note: {}…", "é".repeat(60)));
    }
}
