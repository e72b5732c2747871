//! Service accounts, which programs act as, and the tokens that they do it with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use chrono::{DateTime, TimeDelta, Utc};
use http::StatusCode;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::Console;
use super::client::{Client, Refusal};
use super::form::{Asked, Entered, Pairs, Problems};
use super::frame::{Content, Section};
use super::parts::{
    Field, Pagination, Select, Tone, badge, copy, empty, note, pager, pagination, time, time_or,
};
use super::visit::{At, Visit, of_token};
use crate::domain::token::{Token, TokenKind};

/// The routes.
pub fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/tokens", get(tokens))
        .route("/tokens/new", get(new).post(create))
        .route("/tokens/{id}/revoke", post(revoke))
        .route("/tokens/accounts", get(accounts))
        .route("/tokens/accounts/{id}", get(account).post(create_for))
        .route("/tokens/accounts/{id}/delete", post(delete))
}

const SERVICE: &str = "gitpod.v1.ServiceAccountService";

/// How many service accounts the API finds by their ids at once.
const AT_ONCE: usize = 25;

/// A token that ends within this many days is marked.
const SOON: i64 = 14;

/// How long tokens live, in days.
const LIVES: [(&str, &str); 4] = [
    ("30", "30 days"),
    ("90", "90 days"),
    ("365", "1 year"),
    ("1095", "3 years"),
];

/// How long a token lives unless it is said.
const LIFE: &str = "90";

/// How long service accounts live, in days.
const ACCOUNT_LIVES: [(&str, &str); 3] =
    [("365", "1 year"), ("1095", "3 years"), ("3650", "10 years")];

/// How long a service account lives unless it is said.
const ACCOUNT_LIFE: &str = "1095";

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Account {
    id: String,
    name: String,
    description: String,
    created_at: Option<DateTime<Utc>>,
    valid_until: Option<DateTime<Utc>>,
    suspended: bool,
    system_managed: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Accounts {
    service_accounts: Vec<Account>,
    pagination: Pagination,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AccountAnswer {
    service_account: Account,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TokenRow {
    id: String,
    service_account_id: String,
    description: String,
    created_at: Option<DateTime<Utc>>,
    expires_at: Option<DateTime<Utc>>,
    last_used: Option<DateTime<Utc>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tokens {
    tokens: Vec<TokenRow>,
    pagination: Pagination,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Issued {
    token: String,
    service_account_token: TokenRow,
}

/// What was done just now, in words.
fn notice(done: &str) -> Option<&'static str> {
    match done {
        "revoked" => Some("The token is revoked. It opens nothing any more."),
        "deleted" => Some("The service account is deleted. Its tokens open nothing any more."),
        _ => None,
    }
}

fn method(name: &str) -> String {
    format!("{SERVICE}/{name}")
}

async fn tokens(visit: Visit, Asked(asked): Asked) -> Result<Content, Refusal> {
    let page = asked.text("page");
    let request = json!({ "pagination": pagination(page) });
    let found: Tokens = visit
        .call(&method("ListServiceAccountTokens"), request)
        .await?;
    let names = names(&visit, &found.tokens).await?;
    let now = visit.console.app.clock.now();
    let make = html! { a .button href=(visit.path("tokens/new")) { "Make a token" } };
    let others =
        html! { a .button.second href=(visit.path("tokens/accounts")) { "Service accounts" } };
    let body = html! {
        @if found.tokens.is_empty() && page.is_empty() {
            (empty("No token yet", "Programs use the API with a token of a service account: a script that reads the directory, a deployment, your own product.", Some(html! { (make) (others) })))
        } @else {
            div .toolbar {
                p .grow.soft { "What programs use the API with. Each token is one of a service account." }
                (others)
                (make)
            }
            table .list {
                thead { tr { th scope="col" { "Service account" } th scope="col" { "Made" } th scope="col" { "Ends" } th scope="col" { "Used last" } th scope="col" { "Change" } } }
                tbody { @for token in &found.tokens { (token_row(&visit, token, &names, now)) } }
            }
            (pager(&visit.path("tokens"), &[], page, &found.pagination))
        }
        p .small { "Tokens that an operator made with " code { "rollcall token create" } " are not listed here: their service accounts are. Personal tokens of people are theirs." }
    };
    Ok(titled("API tokens", body)
        .below("Settings", visit.path("settings"))
        .notice(notice(asked.text("done"))))
}

fn titled(title: &str, body: Markup) -> Content {
    Content::new(Section::Settings, title, body)
}

fn token_row(
    visit: &Visit,
    token: &TokenRow,
    names: &BTreeMap<String, String>,
    now: DateTime<Utc>,
) -> Markup {
    let name = names
        .get(&token.service_account_id)
        .map_or("a service account", |name| name);
    html! {
        tr {
            td {
                a href=(visit.path(&format!("tokens/accounts/{}", token.service_account_id))) { (name) }
                @if !token.description.is_empty() { span .soft { (token.description) } }
            }
            td data-label="Made" { (time_or(token.created_at, "unknown")) }
            td data-label="Ends" { (end(token.expires_at, now)) }
            td data-label="Used last" { (time_or(token.last_used, "never")) }
            td {
                form method="post" action=(visit.path(&format!("tokens/{}/revoke", token.id))) {
                    button .link data-confirm={ "Revoke this token of " (name) "? Whatever uses it stops working at once." } aria-label={ "Revoke the token of " (name) " " (token.description) } { "Revoke" }
                }
            }
        }
    }
}

/// When something ends, and whether that is soon.
fn end(at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Markup {
    html! {
        (time_or(at, "never"))
        @match at {
            Some(at) if at <= now => { " " (badge(Tone::Bad, "Ended")) },
            Some(at) if at < now + TimeDelta::days(SOON) => { " " (badge(Tone::Doubtful, "Soon")) },
            _ => {},
        }
    }
}

/// The names of the service accounts of some tokens.
async fn names(visit: &Visit, tokens: &[TokenRow]) -> Result<BTreeMap<String, String>, Refusal> {
    let ids: BTreeSet<&str> = tokens.iter().map(|t| &*t.service_account_id).collect();
    let ids: Vec<&str> = ids.into_iter().collect();
    let mut names = BTreeMap::new();
    for some in ids.chunks(AT_ONCE) {
        let filter = json!({ "serviceAccountIds": some, "includeSuspended": true });
        let request = json!({ "filter": filter, "pagination": pagination("") });
        let found: Accounts = visit.call(&method("ListServiceAccounts"), request).await?;
        names.extend(found.service_accounts.into_iter().map(|a| (a.id, a.name)));
    }
    Ok(names)
}

async fn accounts(visit: Visit, Asked(asked): Asked) -> Result<Content, Refusal> {
    let (page, search) = (asked.text("page"), asked.text("search"));
    let filter = json!({ "includeSuspended": true, "search": search });
    let request = json!({ "filter": filter, "pagination": pagination(page) });
    let found: Accounts = visit.call(&method("ListServiceAccounts"), request).await?;
    let now = visit.console.app.clock.now();
    let path = visit.path("tokens/accounts");
    let make = html! { a .button href=(visit.path("tokens/new")) { "Make a token" } };
    let body = html! {
        form .toolbar method="get" action=(path) {
            div .field.grow {
                label for="search" { "Name" }
                input #search name="search" type="search" value=(search) autocomplete="off" maxlength="256";
            }
            button .second { "Search" }
            (make)
        }
        @if found.service_accounts.is_empty() {
            @if search.is_empty() {
                (empty("No service account yet", "A service account is a program that acts in this organization. It may read what every member may read; what else, the groups say that you put it into.", None))
            } @else {
                (empty("None of this name", "No service account has this in its name.", Some(html! { a .button.second href=(path) { "Show all" } })))
            }
        } @else {
            table .list {
                thead { tr { th scope="col" { "Name" } th scope="col" { "State" } th scope="col" { "Made" } th scope="col" { "Ends" } } }
                tbody {
                    @for account in &found.service_accounts {
                        tr {
                            td {
                                a href=(visit.path(&format!("tokens/accounts/{}", account.id))) { (account.name) }
                                @if !account.description.is_empty() { span .soft { (account.description) } }
                            }
                            td data-label="State" { (state(account, now)) }
                            td data-label="Made" { (time_or(account.created_at, "unknown")) @if account.system_managed { span .soft { "by an operator" } } }
                            td data-label="Ends" { (end(account.valid_until, now)) }
                        }
                    }
                }
            }
        }
        (pager(&path, &[("search", search)], page, &found.pagination))
    };
    Ok(below(&visit, titled("Service accounts", body)).notice(notice(asked.text("done"))))
}

fn below(visit: &Visit, content: Content) -> Content {
    content
        .below("Settings", visit.path("settings"))
        .below("API tokens", visit.path("tokens"))
}

fn state(account: &Account, now: DateTime<Utc>) -> Markup {
    if account.suspended {
        badge(Tone::Bad, "Suspended")
    } else if account.valid_until.is_some_and(|end| end <= now) {
        badge(Tone::Doubtful, "Ended")
    } else {
        badge(Tone::Good, "Active")
    }
}

/// What is in the fields of the forms.
#[derive(Clone, Debug)]
struct Entry {
    name: String,
    description: String,
    token_description: String,
    /// How long the token lives, and the service account.
    days: String,
    account_days: String,
}

impl Entry {
    fn entered(form: &Pairs) -> Self {
        let text = |name: &str, usual: &str| match form.text(name) {
            "" => usual.to_owned(),
            text => text.to_owned(),
        };
        Self {
            name: text("name", ""),
            description: text("description", ""),
            token_description: text("token_description", ""),
            days: text("days", LIFE),
            account_days: text("account_days", ACCOUNT_LIFE),
        }
    }

    fn life(&self) -> Result<TimeDelta, Refusal> {
        days(&self.days)
    }
}

fn days(text: &str) -> Result<TimeDelta, Refusal> {
    let days = text.parse().ok().and_then(TimeDelta::try_days);
    days.ok_or_else(Refusal::bad_form)
}

async fn new(visit: Visit) -> Content {
    new_page(
        &visit,
        &Entry::entered(&Pairs::default()),
        &Problems::default(),
    )
}

fn new_page(visit: &Visit, entry: &Entry, problems: &Problems) -> Content {
    let name = problems.at("name", "The name", &[]);
    let description = problems.at("description", "The description", &[]);
    let body = html! {
        p { "This makes a service account for one program, and its first token. It may read what every member may read. To give it more, put it into a group that has a role." }
        @if let Some(text) = problems.rest(&["name", "description"]) { (note(Tone::Bad, Refusal::new("", text).sentence())) }
        section .panel {
            form method="post" action=(visit.path("tokens/new")) {
                (Field { name: "name", label: "Which program", value: &entry.name, hint: "Such as deploy or HR export. The audit log names it.", problem: name.as_deref(), required: true, ..Field::default() })
                (Field { name: "description", label: "What it does", value: &entry.description, hint: "For whoever looks at the list later. You may leave it out.", problem: description.as_deref(), ..Field::default() })
                (Select { name: "days", label: "The token ends after", value: &entry.days, options: &LIVES })
                (Select { name: "account_days", label: "The service account ends after", value: &entry.account_days, options: &ACCOUNT_LIVES })
                p .hint { "All tokens of a service account end with it at the latest. This cannot be changed later." }
                div .actions { button { "Make the token" } }
            }
        }
        p .hint { "Is there a service account for the program already? Make another token on " a href=(visit.path("tokens/accounts")) { "its page" } "." }
    };
    below(visit, titled("Make a token", body))
}

async fn create(visit: Visit, Entered(form): Entered) -> Result<Response, Refusal> {
    let entry = Entry::entered(&form);
    let life = entry.life()?;
    match make_account(&visit, &entry).await {
        Ok(account) => {
            let issued = issue(&visit, &account.id, "", life).await?;
            Ok(made(&visit, &account, &issued).into_response())
        }
        Err(refusal) if refusal.is_about_input() => {
            let page = new_page(&visit, &entry, &Problems::of(&refusal));
            Ok(page.status(StatusCode::BAD_REQUEST).into_response())
        }
        Err(refusal) => Err(refusal),
    }
}

async fn make_account(visit: &Visit, entry: &Entry) -> Result<Account, Refusal> {
    let until = visit
        .console
        .app
        .clock
        .now()
        .checked_add_signed(days(&entry.account_days)?);
    let request = json!({
        "name": entry.name,
        "description": entry.description,
        "validUntil": until.ok_or_else(Refusal::bad_form)?,
    });
    let answer: AccountAnswer = visit.call(&method("CreateServiceAccount"), request).await?;
    Ok(answer.service_account)
}

/// Makes a lasting token as the API has it: with one that ends soon, as the service account itself.
async fn issue(
    visit: &Visit,
    account: &str,
    description: &str,
    life: TimeDelta,
) -> Result<Issued, Refusal> {
    let request = json!({ "serviceAccountId": account });
    let first: Issued = visit
        .call(&method("CreateServiceAccountAccessToken"), request)
        .await?;
    let token = Token::parse_any(&[TokenKind::ServiceAccount], &first.token);
    let headers = token.and_then(|token| of_token(&token, None));
    let client = Client::new(headers.ok_or_else(|| Refusal::fault("a token that is none"))?);
    let request =
        json!({ "description": description, "validFor": format!("{}s", life.num_seconds()) });
    client
        .call(
            &visit.console,
            &method("CreateServiceAccountToken"),
            request,
        )
        .await
}

fn made(visit: &Visit, account: &Account, issued: &Issued) -> Content {
    let body = html! {
        section .note.doubtful {
            h2 { "Copy the token now" }
            p { "It is shown this once: Rollcall keeps no copy that could be read again. Put it where the program finds its secrets." }
            (copy("Token", &issued.token))
        }
        section .panel {
            (copy("Address of the API", visit.console.app.public_url.trim_end_matches('/')))
            p { "The program sends it as " code { "Authorization: Bearer …" } ". It ends " (time_or(issued.service_account_token.expires_at, "never")) "." }
        }
        div .actions { a .button href=(visit.path("tokens")) { "Done" } }
    };
    let title = format!("Token of {}", account.name);
    below(visit, titled(&title, body))
}

async fn get_account(visit: &Visit, id: Uuid) -> Result<Account, Refusal> {
    let request = json!({ "serviceAccountId": id });
    let answer: AccountAnswer = visit.call(&method("GetServiceAccount"), request).await?;
    Ok(answer.service_account)
}

async fn account(visit: Visit, At { id }: At) -> Result<Content, Refusal> {
    let account = get_account(&visit, id).await?;
    let entry = Entry::entered(&Pairs::default());
    Ok(account_page(&visit, &account, &entry, &Problems::default()))
}

fn account_page(visit: &Visit, account: &Account, entry: &Entry, problems: &Problems) -> Content {
    let now = visit.console.app.clock.now();
    let path = visit.path(&format!("tokens/accounts/{}", account.id));
    let body = html! {
        section .panel {
            dl .facts {
                dt { "State" } dd { (state(account, now)) }
                @if !account.description.is_empty() { dt { "What it does" } dd { (account.description) } }
                dt { "Made" } dd { @if let Some(at) = account.created_at { (time(at)) } }
                dt { "Ends" } dd { (end(account.valid_until, now)) }
                dt { "ID" } dd { code { (account.id) } }
            }
        }
        @if account.system_managed {
            p { "An operator made this service account with its token. An operator revokes it with " code { "rollcall token revoke" } "." }
        } @else {
            (token_form(&path, entry, problems))
            section .panel {
                h2 { "Delete" }
                p { "Its tokens open nothing any more, and it leaves all groups. The program stops working at once." }
                form method="post" action={ (path) "/delete" } {
                    button .danger data-confirm={ "Delete " (account.name) " with its tokens?" } { "Delete the service account" }
                }
            }
        }
    };
    below(visit, titled(&account.name, body))
        .below("Service accounts", visit.path("tokens/accounts"))
}

fn token_form(path: &str, entry: &Entry, problems: &Problems) -> Markup {
    let description = problems.at("description", "The description", &[]);
    html! {
        section .panel {
            h2 { "Make another token" }
            @if let Some(text) = problems.rest(&["description"]) { (note(Tone::Bad, Refusal::new("", text).sentence())) }
            form method="post" action=(path) {
                (Field { name: "token_description", label: "What for", value: &entry.token_description, hint: "Such as Production. You may leave it out.", problem: description.as_deref(), ..Field::default() })
                (Select { name: "days", label: "Ends after", value: &entry.days, options: &LIVES })
                p .hint { "It ends with the service account at the latest." }
                div .actions { button { "Make the token" } }
            }
        }
    }
}

async fn create_for(
    visit: Visit,
    At { id }: At,
    Entered(form): Entered,
) -> Result<Response, Refusal> {
    let entry = Entry::entered(&form);
    let account = get_account(&visit, id).await?;
    match issue(&visit, &account.id, &entry.token_description, entry.life()?).await {
        Ok(issued) => Ok(made(&visit, &account, &issued).into_response()),
        Err(refusal) if refusal.is_about_input() => {
            let page = account_page(&visit, &account, &entry, &Problems::of(&refusal));
            Ok(page.status(StatusCode::BAD_REQUEST).into_response())
        }
        Err(refusal) => Err(refusal),
    }
}

async fn revoke(visit: Visit, At { id }: At) -> Result<Response, Refusal> {
    let request = json!({ "serviceAccountTokenId": id });
    visit
        .tell(&method("DeleteServiceAccountToken"), request)
        .await?;
    Ok(visit.go("tokens?done=revoked"))
}

async fn delete(visit: Visit, At { id }: At) -> Result<Response, Refusal> {
    let request = json!({ "serviceAccountId": id });
    visit.tell(&method("DeleteServiceAccount"), request).await?;
    Ok(visit.go("tokens/accounts?done=deleted"))
}
