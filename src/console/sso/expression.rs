//! Who is let in: a claims expression, tried while it is written.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Sso, below_list, change, find};
use crate::console::client::Refusal;
use crate::console::form::Posted;
use crate::console::frame::Content;
use crate::console::parts::{Tone, note};
use crate::console::visit::{At, Visit};

/// An expression, and the claims that it is tried with.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Trial {
    /// Absent where only claims come, from the page of a test sign-in.
    expression: Option<String>,
    claims_json: String,
}

/// The claims that an expression is tried with unless there are others.
const EXAMPLE: &str = "{\n  \"email\": \"ada@example.com\",\n  \"email_verified\": true,\n  \"groups\": [\"Engineering\"]\n}";

/// The page.
pub async fn show(visit: Visit, At { id }: At) -> Result<Content, Refusal> {
    let sso = find(&visit, id).await?;
    let trial = Trial {
        expression: Some(sso.claims_expression.clone()),
        claims_json: EXAMPLE.to_owned(),
    };
    Ok(page(&visit, &sso, &trial, html! {}))
}

/// Tries an expression: with the claims of a test sign-in, which come from its page, it is the one that there is.
pub async fn try_out(
    visit: Visit,
    At { id }: At,
    Posted(mut trial): Posted<Trial>,
) -> Result<Content, Refusal> {
    let sso = find(&visit, id).await?;
    trial
        .expression
        .get_or_insert_with(|| sso.claims_expression.clone());
    let claims: Result<Value, _> = serde_json::from_str(&trial.claims_json);
    if let Ok(pretty) = claims.and_then(|claims| serde_json::to_string_pretty(&claims)) {
        trial.claims_json = pretty;
    }
    let result = evaluate(&visit, &trial).await?;
    Ok(page(&visit, &sso, &trial, result))
}

fn page(visit: &Visit, sso: &Sso, trial: &Trial, result: Markup) -> Content {
    let path = format!("{}/expression", sso.path(visit));
    let body = html! {
        p { "A condition in the language CEL about " code { "claims" } ", which is what the provider says of a person. It must be true to let somebody in; if it is empty, everybody is let in whom the provider lets in." }
        form method="post" action=(path) data-live={ (path) "/evaluate" } data-into="result" {
            div .field {
                label for="expression" { "Expression" }
                textarea #expression .code name="expression" rows="4" spellcheck="false" maxlength="4096" { (trial.expression.as_deref().unwrap_or_default()) }
                div .offers role="group" aria-label="Insert a condition about these claims" data-complete="expression" data-from="claims_json" hidden {
                    span { "Insert" }
                    div {}
                }
                p .hint {
                    "For example " code { "\"Engineering\" in claims.groups" } " or " code { "claims.email.endsWith(\"@example.com\")" } "."
                }
            }
            div #result aria-live="polite" { (result) }
            div .field {
                label for="claims_json" { "Claims to try it with" }
                textarea #claims_json .code name="claims_json" rows="10" spellcheck="false" { (trial.claims_json) }
                p .hint { "Those of a real person come from a " a href={ (sso.path(visit)) "/test" } { "test sign-in" } "." }
            }
            div .actions {
                button formaction={ (path) "/save" } { "Save the expression" }
                button .second { "Try it" }
            }
        }
    };
    below_list(visit, "Who is let in", body).below(sso.name(), sso.path(visit))
}

/// What comes of an expression, for the page while somebody writes it.
pub async fn evaluate_live(
    visit: Visit,
    _: At,
    Posted(trial): Posted<Trial>,
) -> Result<Content, Refusal> {
    let result = evaluate(&visit, &trial).await?;
    Ok(below_list(&visit, "What came of it", result))
}

async fn evaluate(visit: &Visit, trial: &Trial) -> Result<Markup, Refusal> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Answer {
        verdict: String,
        part: String,
        reason: String,
        parts: Vec<Part>,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Part {
        depth: usize,
        source: String,
        value: Option<String>,
        reason: Option<String>,
    }
    let claims = match trial.claims_json.trim() {
        "" => "{}",
        text => text,
    };
    let request = json!({ "expression": trial.expression.as_deref().unwrap_or_default(), "claimsJson": claims });
    let method = "rollcall.v1.SignInService/EvaluateClaimsExpression";
    let answer: Answer = match visit.call(method, request).await {
        Ok(answer) => answer,
        Err(refusal) if refusal.is_about_input() => {
            return Ok(note(Tone::Bad, refusal.sentence()));
        }
        Err(refusal) => return Err(refusal),
    };
    Ok(html! {
        @if answer.verdict == "VERDICT_LETS_IN" {
            (note(Tone::Good, "This person would be let in."))
        } @else {
            div .note.bad role="status" {
                p { "This person would be kept out: " @if !answer.part.is_empty() { code { (answer.part) } " " } (answer.reason) "." }
            }
        }
        @if answer.parts.len() > 1 {
            table .list {
                thead { tr { th scope="col" { "Part" } th scope="col" { "Comes out as" } } }
                tbody {
                    @for part in &answer.parts {
                        tr {
                            td { code { ("\u{2003}".repeat(part.depth.min(8))) (part.source) } }
                            td data-label="Comes out as" {
                                @match (&part.value, &part.reason) {
                                    (Some(value), _) => code { (value) },
                                    (_, Some(reason)) => (reason),
                                    _ => "",
                                }
                            }
                        }
                    }
                }
            }
        }
    })
}

/// Puts an expression into the configuration.
pub async fn save(
    visit: Visit,
    At { id }: At,
    Posted(trial): Posted<Trial>,
) -> Result<Response, Refusal> {
    let asked =
        json!({ "claimsExpression": trial.expression.as_deref().unwrap_or_default().trim() });
    match change(&visit, id, asked).await {
        Ok(()) => Ok(visit.go(&format!("sso/{id}?done=saved"))),
        Err(refusal) if refusal.is_about_input() => {
            let sso = find(&visit, id).await?;
            let problem = note(Tone::Bad, refusal.sentence());
            let page = page(&visit, &sso, &trial, problem);
            Ok(page.status(StatusCode::BAD_REQUEST).into_response())
        }
        Err(refusal) => Err(refusal),
    }
}
