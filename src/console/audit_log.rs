//! Who changed what: the audit log, to look through and to take away.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use chrono::{DateTime, Days, NaiveDate, Utc};
use futures_util::stream;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Console;
use super::client::Refusal;
use super::form::Queried;
use super::frame::{Content, Section};
use super::history::{self, Entries, Entry, KINDS};
use super::names::Names;
use super::parts::{Field, Select, Tone, empty, note, pager, pagination, time_or};
use super::people;
use super::visit::{At, Visit};

/// The routes.
pub fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/audit-log", get(list))
        .route("/audit-log.csv", get(export))
        .route("/audit-log/{id}", get(show))
}

const NEWEST_FIRST: &str = "SORT_ORDER_DESC";

/// What an address asks for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Search {
    /// Who acted: an address or an identifier.
    who: String,
    /// What kind of subject acted.
    acting: String,
    /// What kind of thing it was done to.
    kind: String,
    /// What it was done to: the address of a person, or an identifier.
    about: String,
    /// The first day.
    since: String,
    /// The last day.
    until: String,
    page: String,
}

/// A field of the filter that says nothing of use.
struct Problem {
    field: &'static str,
    text: String,
}

/// The kinds of subjects that act: the name in an address, that of the API, and the words.
const ACTING: [(&str, &str, &str); 3] = [
    ("person", "PRINCIPAL_USER", "A person"),
    (
        "account",
        "PRINCIPAL_SERVICE_ACCOUNT",
        "A service account or token",
    ),
    (
        "other",
        "PRINCIPAL_UNSPECIFIED",
        "Provisioning, an operator or a set-up link",
    ),
];

fn chosen(choices: &[(&str, &'static str, &str)], name: &str) -> Option<&'static str> {
    let found = choices.iter().find(|(known, ..)| *known == name);
    found.map(|(_, value, _)| *value)
}

impl Search {
    /// What it is filtered by, without the page.
    fn pairs(&self) -> [(&'static str, &str); 6] {
        [
            ("who", &self.who),
            ("acting", &self.acting),
            ("kind", &self.kind),
            ("about", &self.about),
            ("since", &self.since),
            ("until", &self.until),
        ]
    }

    fn is_filtered(&self) -> bool {
        self.pairs().iter().any(|(_, text)| !text.trim().is_empty())
    }

    /// The filter of the API; inside, which field says nothing of use.
    async fn filter(&self, visit: &Visit) -> Result<Result<Value, Problem>, Refusal> {
        let mut filter = json!({});
        for (field, text, name) in [
            ("who", &self.who, "actorIds"),
            ("about", &self.about, "subjectIds"),
        ] {
            match named(visit, text.trim()).await? {
                Ok(None) => {}
                Ok(Some(id)) => filter[name] = json!([id]),
                Err(text) => return Ok(Err(Problem { field, text })),
            }
        }
        if let Some(principal) = chosen(&ACTING, &self.acting) {
            filter["actorPrincipals"] = json!([principal]);
        }
        if let Some(kind) = chosen(&KINDS, &self.kind) {
            filter["subjectTypes"] = json!([kind]);
        }
        for (field, text, name, later) in [
            ("since", &self.since, "from", 0),
            ("until", &self.until, "to", 1),
        ] {
            match start_of_day(text.trim(), later) {
                Ok(None) => {}
                Ok(Some(at)) => filter[name] = json!(at),
                Err(text) => return Ok(Err(Problem { field, text })),
            }
        }
        Ok(Ok(filter))
    }
}

/// The identifier of what a field names; inside, what is wrong with the text.
async fn named(visit: &Visit, text: &str) -> Result<Result<Option<String>, String>, Refusal> {
    if text.is_empty() {
        return Ok(Ok(None));
    }
    match people::named(visit, text).await {
        Ok(Some(id)) => Ok(Ok(Some(id.to_string()))),
        Ok(None) => Ok(Err(
            "Nobody here has this address: enter the whole address of a person, or an id."
                .to_owned(),
        )),
        Err(refusal) if refusal.is_about_input() => Ok(Err(refusal.sentence())),
        Err(refusal) => Err(refusal),
    }
}

/// When a day begins in UTC, or so many days later.
fn start_of_day(text: &str, later: u64) -> Result<Option<DateTime<Utc>>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let day: Option<NaiveDate> = text.parse().ok();
    let start = day
        .and_then(|day| day.checked_add_days(Days::new(later)))
        .and_then(|day| day.and_hms_opt(0, 0, 0))
        .filter(|start| (1_900..=9_000).contains(&chrono::Datelike::year(start)));
    match start {
        Some(start) => Ok(Some(start.and_utc())),
        None => Err("Enter a day as year, month and day, such as 2026-11-30.".to_owned()),
    }
}

async fn list(visit: Visit, Queried(search): Queried<Search>) -> Result<Content, Refusal> {
    let filter = match search.filter(&visit).await? {
        Ok(filter) => filter,
        Err(problem) => return Ok(page(&visit, &search, Some(&problem), &html! {})),
    };
    let found = history::list(&visit, &filter, NEWEST_FIRST, pagination(&search.page)).await;
    let found = match found {
        Ok(found) => found,
        Err(refusal) if refusal.is_about_input() => {
            let said = note(Tone::Bad, refusal.sentence());
            let content = page(&visit, &search, None, &said);
            return Ok(content.status(StatusCode::BAD_REQUEST));
        }
        Err(refusal) => return Err(refusal),
    };
    let mut names = Names::default();
    names.learn(&visit, history::wanted(&found.entries)).await?;
    let result = table(&visit, &search, &found, &names);
    Ok(page(&visit, &search, None, &result))
}

fn page(visit: &Visit, search: &Search, problem: Option<&Problem>, result: &Markup) -> Content {
    let body = html! {
        (toolbar(visit, search, problem))
        (result)
    };
    let content = Content::new(Section::AuditLog, "Audit log", body);
    match problem {
        Some(_) => content.status(StatusCode::BAD_REQUEST),
        None => content,
    }
}

fn toolbar(visit: &Visit, search: &Search, problem: Option<&Problem>) -> Markup {
    let problem_of = |field: &str| {
        let here = problem.filter(|problem| problem.field == field);
        here.map(|problem| &*problem.text)
    };
    let options = |any: &'static str, choices: &[(&'static str, &'static str, &'static str)]| {
        let any = [("", any)].into_iter();
        let all = any.chain(choices.iter().map(|(name, _, words)| (*name, *words)));
        all.collect::<Vec<_>>()
    };
    html! {
        form .toolbar method="get" action=(visit.path("audit-log")) role="search" {
            (Field { name: "who", label: "Who (address or id)", value: &search.who, problem: problem_of("who"), ..Field::default() })
            (Select { name: "acting", label: "Acting as", value: &search.acting, options: &options("Anybody", &ACTING) })
            (Select { name: "kind", label: "What", value: &search.kind, options: &options("Anything", &KINDS) })
            (Field { name: "about", label: "About (address or id)", value: &search.about, problem: problem_of("about"), ..Field::default() })
            (Field { name: "since", label: "From day (UTC)", value: &search.since, kind: "date", problem: problem_of("since"), ..Field::default() })
            (Field { name: "until", label: "To day (UTC)", value: &search.until, kind: "date", problem: problem_of("until"), ..Field::default() })
            button { "Search" }
            a .button.second href=(address(visit, "audit-log.csv", search)) { "Export as CSV" }
        }
    }
}

fn address(visit: &Visit, page: &str, search: &Search) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in search.pairs() {
        if !value.is_empty() {
            query.append_pair(name, value);
        }
    }
    format!("{}?{}", visit.path(page), query.finish())
}

fn table(visit: &Visit, search: &Search, found: &Entries, names: &Names) -> Markup {
    if found.entries.is_empty() {
        return nothing(visit, search);
    }
    html! {
        table .list {
            thead { tr {
                th scope="col" { "When" } th scope="col" { "Who" } th scope="col" { "About" } th scope="col" { "What" }
            } }
            tbody {
                @for entry in &found.entries { tr {
                    td { (time_or(entry.created_at, "unknown")) }
                    td data-label="Who" { (history::actor(visit, names, entry, None)) }
                    td data-label="About" { (history::subject(visit, names, entry)) }
                    td .wide data-label="What" {
                        (history::action_words(&entry.action))
                        (changes(visit, entry))
                    }
                } }
            }
        }
        (pager(&visit.path("audit-log"), &search.pairs(), &search.page, &found.pagination))
    }
}

/// What changed is asked for when somebody wants to see it.
fn changes(visit: &Visit, entry: &Entry) -> Markup {
    let path = visit.path(&format!("audit-log/{}", entry.id));
    html! {
        details .small data-load={ (path) "?part=changes" } {
            summary { "What changed" }
            div aria-live="polite" { a href=(path) { "Open the entry" } }
        }
    }
}

fn nothing(visit: &Visit, search: &Search) -> Markup {
    if search.is_filtered() {
        let all = html! { a .button.second href=(visit.path("audit-log")) { "Show everything" } };
        return empty(
            "Nothing matches",
            "No entry fits all that you entered. Leave some of it out, or look at more days.",
            Some(all),
        );
    }
    empty(
        "Nothing happened yet",
        "Each change of people, groups and settings is here, with who made it.",
        None,
    )
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Part {
    part: String,
}

async fn show(
    visit: Visit,
    At { id }: At,
    Queried(part): Queried<Part>,
) -> Result<Content, Refusal> {
    let (entry, change) = history::get_one(&visit, &id.to_string()).await?;
    let differences = change.differences();
    let compared = html! {
        @if differences.is_empty() {
            p { "The entry says no more than that." }
        } @else {
            (history::compared(&differences))
        }
    };
    if part.part == "changes" {
        return Ok(Content::new(Section::AuditLog, "What changed", compared));
    }
    let mut names = Names::default();
    names.learn(&visit, history::wanted([&entry])).await?;
    let kind = match &*entry.subject_type {
        "" => format!("RESOURCE_TYPE_{}", change.subject_kind.to_ascii_uppercase()),
        kind => kind.to_owned(),
    };
    let body = html! {
        section .panel {
            h2 { "Who did what" }
            dl .facts {
                dt { "When" } dd { (time_or(entry.created_at, "unknown")) }
                dt { "Who" } dd { (history::actor(&visit, &names, &entry, Some(&change))) }
                dt { "What" } dd { (history::action_words(&entry.action)) " (" code { (entry.action) } ")" }
                dt { "About" } dd { (history::kind_words(&kind)) ": " (history::subject(&visit, &names, &entry)) }
                dt { "Id of that" } dd { code { (entry.subject_id) } }
                dt { "Id of the entry" } dd { code { (entry.id) } }
            }
        }
        section .panel {
            h2 { "Before and after" }
            (compared)
        }
    };
    let content = Content::new(Section::AuditLog, "One change", body);
    Ok(content.below("Audit log", visit.path("audit-log")))
}

/// The most rows of an export.
const MOST: usize = 10_000;

/// The rows that are asked for at once.
const AT_ONCE: usize = 100;

const HEADINGS: [&str; 9] = [
    "time",
    "who",
    "who_kind",
    "who_id",
    "action",
    "about",
    "about_kind",
    "about_id",
    "entry_id",
];

/// Sends the entries as a table for spreadsheets, a page at a time.
async fn export(visit: Visit, Queried(search): Queried<Search>) -> Result<Response, Refusal> {
    let filter = match search.filter(&visit).await? {
        Ok(filter) => filter,
        Err(problem) => return Ok(page(&visit, &search, Some(&problem), &html! {}).into_response()),
    };
    let mut export = Export {
        visit,
        filter,
        names: Names::default(),
        token: String::new(),
        rows: 0,
        ready: VecDeque::from([line(HEADINGS)]),
        is_done: false,
    };
    // What is refused is refused before anything is sent.
    export.read().await?;
    let parts = stream::try_unfold(export, |mut export| async move {
        let part = export.next().await?;
        Ok::<_, std::io::Error>(part.map(|part| (part, export)))
    });
    let mut response = Body::from_stream(parts).into_response();
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/csv; charset=utf-8"),
    );
    headers.insert(
        CONTENT_DISPOSITION,
        HeaderValue::from_static("attachment; filename=\"audit-log.csv\""),
    );
    Ok(response)
}

/// An export that is under way.
struct Export {
    visit: Visit,
    filter: Value,
    names: Names,
    token: String,
    rows: usize,
    /// What was read and not sent.
    ready: VecDeque<String>,
    is_done: bool,
}

impl Export {
    /// The next part of the file; nothing at its end. An error ends the file early, so that the browser says that it is not whole.
    async fn next(&mut self) -> Result<Option<String>, std::io::Error> {
        if self.ready.is_empty() && !self.is_done {
            let read = self.read().await;
            read.map_err(|refusal| std::io::Error::other(refusal.sentence()))?;
        }
        Ok(self.ready.pop_front())
    }

    async fn read(&mut self) -> Result<(), Refusal> {
        let page = json!({ "pageSize": AT_ONCE, "token": self.token });
        let found = history::list(&self.visit, &self.filter, NEWEST_FIRST, page).await?;
        let wanted = history::wanted(&found.entries);
        self.names.learn(&self.visit, wanted).await?;
        let lines = found.entries.iter().map(|entry| row(&self.names, entry));
        self.ready.push_back(lines.collect());
        self.rows += found.entries.len();
        self.token = found.pagination.next_token;
        self.is_done = self.token.is_empty() || self.rows >= MOST;
        if self.is_done && !self.token.is_empty() {
            let said = format!(
                "There are more than {MOST} entries: export fewer days at a time to have the earlier ones."
            );
            self.ready.push_back(line([&*said]));
        }
        Ok(())
    }
}

fn row(names: &Names, entry: &Entry) -> String {
    let (who, who_kind) = history::actor_text(names, entry);
    let time = entry.created_at.map(|at| at.to_rfc3339());
    line([
        time.as_deref().unwrap_or_default(),
        &who,
        who_kind,
        &entry.actor_id,
        &entry.action,
        &history::subject_text(names, entry),
        &history::kind_words(&entry.subject_type),
        &entry.subject_id,
        &entry.id,
    ])
}

/// A line of a CSV file (RFC 4180).
fn line<'a>(cells: impl IntoIterator<Item = &'a str>) -> String {
    let cells: Vec<String> = cells.into_iter().map(cell).collect();
    format!("{}\r\n", cells.join(","))
}

/// A cell that spreadsheets take for a text: one that they would take for a formula has an apostrophe in front.
fn cell(text: &str) -> String {
    let guard = match text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        true => "'",
        false => "",
    };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        for (text, expected) in [
            ("Ada", "\"Ada\""),
            ("=1+1", "\"'=1+1\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("\t=1", "\"'\t=1\""),
            ("say \"so\", then", "\"say \"\"so\"\", then\""),
            ("", "\"\""),
        ] {
            assert_eq!(cell(text), expected);
        }
    }

    #[test]
    fn a_day_begins_and_ends() {
        let at = |text, later| {
            start_of_day(text, later)
                .ok()
                .flatten()
                .map(|at| at.to_rfc3339())
        };
        assert_eq!(
            at("2026-11-30", 0).as_deref(),
            Some("2026-11-30T00:00:00+00:00")
        );
        assert_eq!(
            at("2026-11-30", 1).as_deref(),
            Some("2026-12-01T00:00:00+00:00")
        );
        assert_eq!(start_of_day("", 1), Ok(None));
        for text in ["30.11.2026", "2026-02-30", "99999-01-01", "yesterday"] {
            assert!(start_of_day(text, 0).is_err(), "{text}");
        }
    }
}
