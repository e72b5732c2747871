//! Who tried to sign in, and why somebody could not.

use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use chrono::{DateTime, Utc};
use http::StatusCode;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use super::Console;
use super::client::Refusal;
use super::form::{Asked, Problems};
use super::frame::{Content, Section};
use super::parts::{Pagination, Select, Tone, badge, empty, pager, pagination, time_or};
use super::visit::Visit;

/// The routes.
pub fn routes() -> Router<Arc<Console>> {
    Router::new().route("/sign-ins", get(list))
}

/// What the list may be filtered by, in the address and in words.
const OUTCOMES: [(&str, &str); 3] = [
    ("", "All"),
    ("refused", "Refused"),
    ("signed_in", "Signed in"),
];

#[derive(Default, Deserialize)]
#[serde(default)]
struct Attempts {
    attempts: Vec<Attempt>,
    pagination: Pagination,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Attempt {
    id: String,
    created_at: Option<DateTime<Utc>>,
    outcome: String,
    failed_check: String,
    reason: String,
    failed_expression: String,
    email: String,
    subject: String,
    user_id: String,
}

async fn list(visit: Visit, Asked(asked): Asked) -> Result<Response, Refusal> {
    let (outcome, reference) = (asked.text("outcome"), asked.text("reference"));
    let page = asked.text("page");
    let wanted = match outcome {
        "refused" => "SIGN_IN_OUTCOME_REFUSED",
        "signed_in" => "SIGN_IN_OUTCOME_SIGNED_IN",
        _ => "SIGN_IN_OUTCOME_UNSPECIFIED",
    };
    let filter = json!({ "outcome": wanted, "reference": reference });
    let request = json!({ "filter": filter, "pagination": pagination(page) });
    let method = "rollcall.v1.SignInService/ListSignInAttempts";
    let path = visit.path("sign-ins");
    let (found, problem) = match visit.call::<Attempts>(method, request).await {
        Ok(found) => (found, None),
        Err(refusal) if refusal.is_about_input() && !reference.is_empty() => {
            let problems = Problems::of(&refusal);
            let problem = problems.at("filter.reference", "The reference", &[]);
            let problem = problem.unwrap_or_else(|| refusal.sentence());
            (Attempts::default(), Some(problem))
        }
        Err(refusal) => return Err(refusal),
    };
    let is_filtered = !outcome.is_empty() || !reference.is_empty() || !page.is_empty();
    let body = html! {
        p { "Each try to sign in, the newest first. Somebody who is turned away sees a reference: enter it here to find out why." }
        form .toolbar method="get" action=(path) {
            (Select { name: "outcome", label: "Show", value: outcome, options: &OUTCOMES })
            (reference_field(reference, problem.as_deref()))
            button .second { "Show" }
        }
        @if !found.attempts.is_empty() {
            table .list {
                thead { tr { th scope="col" { "When" } th scope="col" { "Who" } th scope="col" { "What came of it" } th scope="col" { "Reference" } } }
                tbody { @for attempt in &found.attempts { (row(&visit, attempt)) } }
            }
        } @else if problem.is_none() && is_filtered {
            (empty("None found", "No try to sign in is like this. Old ones are removed after a while.", Some(html! { a .button.second href=(path) { "Show all" } })))
        } @else if problem.is_none() {
            (empty("Nobody tried to sign in yet", "As soon as somebody does, it stands here with what came of it, and why.", Some(html! { a .button.second href=(visit.path("sso")) { "Single sign-on" } })))
        }
        (pager(&path, &[("outcome", outcome), ("reference", reference)], page, &found.pagination))
    };
    let content = Content::new(Section::SingleSignOn, "Sign-ins", body)
        .below("Single sign-on", visit.path("sso"));
    let status = match problem {
        Some(_) => StatusCode::BAD_REQUEST,
        None => StatusCode::OK,
    };
    Ok(content.status(status).into_response())
}

fn reference_field(reference: &str, problem: Option<&str>) -> Markup {
    html! {
        div .field.grow {
            label for="reference" { "Reference" }
            input #reference name="reference" value=(reference) autocomplete="off" spellcheck="false"
                aria-invalid=[problem.map(|_| "true")] aria-describedby=[problem.map(|_| "reference-problem")];
            @if let Some(text) = problem { p #reference-problem .problem role="alert" { (text) } }
        }
    }
}

fn row(visit: &Visit, attempt: &Attempt) -> Markup {
    let who = match (&*attempt.email, &*attempt.subject) {
        ("", "") => "unknown",
        ("", subject) => subject,
        (email, _) => email,
    };
    html! {
        tr {
            td data-label="When" { (time_or(attempt.created_at, "unknown")) }
            td data-label="Who" {
                @if attempt.user_id.is_empty() || !visit.who.administers() { (who) } @else { a href=(visit.path(&format!("people/{}", attempt.user_id))) { (who) } }
            }
            td data-label="What came of it" {
                @if attempt.outcome == "SIGN_IN_OUTCOME_SIGNED_IN" { (badge(Tone::Good, "Signed in")) } @else { (badge(Tone::Bad, "Refused")) }
                @if !attempt.failed_check.is_empty() { " " strong { (check(&attempt.failed_check)) } }
                @if !attempt.reason.is_empty() { span .soft { (Refusal::new("", &*attempt.reason).sentence()) } }
                @if !attempt.failed_expression.is_empty() { span .soft { "Not true: " code { (attempt.failed_expression) } } }
            }
            td data-label="Reference" { code { (attempt.id) } }
        }
    }
}

/// Which check kept somebody out, in words.
fn check(name: &str) -> String {
    let words = match name {
        "provider" => "The provider does not answer as it must",
        "login" => "The answer came to another browser, too late, or again",
        "authorization" => "The provider refused",
        "issuer" => "The answer is another provider’s",
        "code" => "The code is not exchanged for tokens",
        "id_token" => "The ID token",
        "userinfo" => "The userinfo",
        "email" => "The e-mail address",
        "claims_expression" => "The claims expression",
        "member" => "The member",
        "configuration" => "The configuration",
        "client_secret" => "The client secret has to be entered again",
        other => return other.replace('_', " "),
    };
    words.to_owned()
}
