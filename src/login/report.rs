//! The page at the end of a test sign-in: each step of a sign-in, what came of it, and every claim that arrived. It is shown to whoever
//! tries a configuration out with a link of an administrator's; nobody else sees what the provider says of a person.

use std::cmp::Ordering;

use http::StatusCode;
use maud::{Markup, html};
use serde_json::Value;
use tokio::task::spawn_blocking;

use super::claims::{self, Mapped};
use super::pages::Page;
use crate::domain::policy::{self, Explanation, Named};
use crate::domain::sign_in::{Check, Person, Refusal};
use crate::domain::sso::SsoConfiguration;
use crate::error::Error;
use crate::oidc::Claims;
use crate::provisioning::sign_in::Admitted;

/// The longest value of a claim that the page shows, in characters.
const MAX_VALUE_LENGTH: usize = 1_000;
/// The most parts of an expression that it shows.
const MAX_PARTS: usize = 100;

/// What is known at the end of a test.
pub struct Report<'a> {
    /// The configuration that was tried.
    pub configuration: &'a SsoConfiguration,
    /// The path of this server that the page leads back to; may be empty.
    pub return_to: &'a str,
    /// The claims, if they arrived and were found good.
    pub claims: Option<&'a Claims>,
    /// Who the claims say it is, if they do.
    pub person: Option<&'a Person>,
    /// Whether the claims expression was true.
    pub passes_expression: bool,
}

/// The steps of a sign-in, in their order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Provider,
    Token,
    Claims,
    Expression,
    Member,
}

/// The steps, and what they are called.
const STEPS: [(Step, &str); 5] = [
    (Step::Provider, "The provider answers"),
    (Step::Token, "The ID token is valid"),
    (Step::Claims, "The claims say who it is"),
    (Step::Expression, "The claims expression lets in"),
    (Step::Member, "Who the person would be"),
];

/// How a step came out.
enum Came<'a> {
    Good,
    Bad(&'a Refusal),
    Untried,
}

impl<'a> Report<'a> {
    /// A test of which nothing is known yet.
    pub const fn new(configuration: &'a SsoConfiguration, return_to: &'a str) -> Self {
        Self {
            configuration,
            return_to,
            claims: None,
            person: None,
            passes_expression: false,
        }
    }

    /// The page of a test that came to its end.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] when the server cannot evaluate the expression.
    pub async fn page(&self, outcome: &Result<Admitted, Refusal>) -> Result<Page, Error> {
        let explanation = match self.claims {
            Some(claims) => explain(self.configuration, claims).await?,
            None => None,
        };
        Ok(self.render(outcome, explanation.as_ref()))
    }

    /// The page of a test that did not get to the provider.
    pub fn refused(&self, refusal: &Refusal) -> Page {
        self.render(&Err(refusal.clone()), None)
    }

    fn render(
        &self,
        outcome: &Result<Admitted, Refusal>,
        explanation: Option<&Explanation>,
    ) -> Page {
        let headline = match outcome {
            Ok(_) => "Sign-in works: nothing was changed",
            Err(_) => "This sign-in would be refused",
        };
        let body = html! {
            div .report {
                h1 { (headline) }
                p { "A test of " strong { (self.configuration.display_name()) } ". Nobody was signed in, and nothing was changed." }
                ol .steps {
                    @for (step, name) in STEPS { (self.step(step, name, outcome, explanation)) }
                }
                @if let Some(claims) = self.claims { (self.all_claims(claims)) }
                (self.ways_on(outcome.is_ok()))
            }
        };
        Page::new(StatusCode::OK, headline, body).of(self.configuration.organization_id)
    }

    /// The step at which a sign-in is refused: the first one that is not known to be good, or an earlier one for what was checked on the
    /// way to it.
    fn failed_at(&self, refusal: &Refusal) -> Step {
        match (self.claims, self.person) {
            (None, _) if matches!(refusal.check, Check::IdToken | Check::Userinfo) => Step::Token,
            (None, _) => Step::Provider,
            (Some(_), None) => Step::Claims,
            (Some(_), Some(_)) if !self.passes_expression => Step::Expression,
            (Some(_), Some(_)) => Step::Member,
        }
    }

    fn came<'r>(&self, step: Step, outcome: &'r Result<Admitted, Refusal>) -> Came<'r> {
        let Err(refusal) = outcome else {
            return Came::Good;
        };
        match step.cmp(&self.failed_at(refusal)) {
            Ordering::Less => Came::Good,
            Ordering::Equal => Came::Bad(refusal),
            Ordering::Greater => Came::Untried,
        }
    }

    fn step(
        &self,
        step: Step,
        name: &str,
        outcome: &Result<Admitted, Refusal>,
        explanation: Option<&Explanation>,
    ) -> Markup {
        let came = self.came(step, outcome);
        let (class, word) = match came {
            Came::Good => ("good", "Passed"),
            Came::Bad(_) => ("bad", "Failed"),
            Came::Untried => ("untried", "Not reached"),
        };
        html! {
            li class=(class) {
                h2 { (name) " " span .outcome { (word) } }
                @match came {
                    Came::Bad(refusal) => {
                        p .problem { (sentence(&refusal.reason)) }
                        @if let Some(part) = &refusal.part { p { "The part that is not true: " code { (part) } } }
                        p { "The check is called " code { (refusal.check) } " in the log of sign-in attempts." }
                    }
                    Came::Good => (self.detail(step, outcome)),
                    Came::Untried => {}
                }
                @match (step, self.claims, explanation) {
                    (Step::Claims, Some(claims), _) => (mapped(&claims::mapped(self.configuration, claims, self.person))),
                    (Step::Expression, _, Some(explanation)) => (parts(explanation)),
                    _ => {}
                }
            }
        }
    }

    fn detail(&self, step: Step, outcome: &Result<Admitted, Refusal>) -> Markup {
        let configuration = self.configuration;
        html! {
            @match (step, outcome) {
                (Step::Provider, _) => p { code { (configuration.issuer_url) } " took the client id and the client secret." },
                (Step::Token, _) => p { "Signature, issuer, client, nonce and times are as they must be." },
                (Step::Expression, _) if configuration.claims_expression.is_empty() => {
                    p { "There is none: everybody is let in whom the provider lets in." }
                },
                (Step::Member, Ok(admitted)) => (self.member(admitted)),
                _ => {},
            }
        }
    }

    fn member(&self, admitted: &Admitted) -> Markup {
        let name = self.person.map_or("", |person| &person.name);
        let email = self.person.map_or("", |person| &person.email);
        html! {
            p {
                @if admitted.is_new {
                    "Would be a new member: " strong { (name) } " (" (email) ")."
                } @else {
                    "Would become the member " strong { (name) } " (" (email) "), who exists: " code { (admitted.user_id) } "."
                }
            }
            @if let Some(note) = &admitted.note { p { (sentence(note)) } }
        }
    }

    /// Every claim that arrived, and what uses it.
    fn all_claims(&self, claims: &Claims) -> Markup {
        let named = policy::claims_named(&self.configuration.claims_expression);
        let fields = claims::mapped(self.configuration, claims, self.person);
        let uses = |name: &str| {
            let fields = fields.iter().filter(|field| field.claim == name);
            let mut uses: Vec<&str> = fields.map(|field| field.field).collect();
            let in_expression =
                matches!(&named, Named::These(names) if names.iter().any(|one| one == name));
            uses.extend(in_expression.then_some("claims expression"));
            uses.join(", ")
        };
        html! {
            h2 { "All claims that arrived" }
            div .scrolls tabindex="0" role="region" aria-label="All claims that arrived" {
                table {
                    thead { tr { th scope="col" { "Claim" } th scope="col" { "Value" } th scope="col" { "Used as" } } }
                    tbody {
                        @for (name, value) in claims {
                            tr { th scope="row" { code { (name) } } td { (shown(value)) } td { (uses(name)) } }
                        }
                    }
                }
            }
        }
    }

    /// Where an administrator goes from here.
    fn ways_on(&self, is_let_in: bool) -> Markup {
        let configuration = self.configuration;
        let (organization, id) = (configuration.organization_id, configuration.id);
        let action = |what: &str| format!("/console/{organization}/sso/{id}/{what}");
        let claims = self.claims.map(|claims| Value::from(claims.clone()));
        html! {
            @if is_let_in && !configuration.is_active {
                form method="post" action=(action("activate")) { button { "Activate" } }
            }
            @if let Some(claims) = claims {
                form method="post" action=(action("expression")) {
                    input type="hidden" name="claims_json" value=(claims);
                    button .quiet { "Try a claims expression with these claims" }
                }
            }
            @if !self.return_to.is_empty() {
                p .aside { a href=(self.return_to) { "Back to set-up" } }
            }
        }
    }
}

/// The parts of the expression of a configuration, with their values.
async fn explain(
    configuration: &SsoConfiguration,
    claims: &Claims,
) -> Result<Option<Explanation>, Error> {
    if configuration.claims_expression.is_empty() {
        return Ok(None);
    }
    let (expression, claims) = (configuration.claims_expression.clone(), claims.clone());
    let explained = spawn_blocking(move || policy::explain(&expression, &claims)).await;
    Ok(explained.map_err(Error::internal)?.ok())
}

fn mapped(fields: &[Mapped<'_>]) -> Markup {
    html! {
        div .scrolls tabindex="0" role="region" aria-label="What the claims mean" {
            table {
                thead { tr { th scope="col" { "Claim" } th scope="col" { "Field" } th scope="col" { "Value" } } }
                tbody {
                    @for field in fields {
                        tr {
                            td { code { (field.claim) } }
                            th scope="row" { (field.field) }
                            td {
                                @match &field.value {
                                    Some(value) => (shown(value)),
                                    None => span .none { "not sent" },
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn parts(explanation: &Explanation) -> Markup {
    html! {
        div .scrolls tabindex="0" role="region" aria-label="The parts of the expression" {
            table {
                thead { tr { th scope="col" { "Part" } th scope="col" { "Value" } } }
                tbody {
                    @for part in explanation.parts.iter().take(MAX_PARTS) {
                        tr {
                            td { span .depth { (" · ".repeat(part.depth.min(10))) } code { (part.source) } }
                            td {
                                @match &part.value {
                                    Ok(value) => (value),
                                    Err(reason) => span .problem { (reason) },
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A value as people read it: a text as it is, everything else as JSON, and cut when it is long.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    match text.char_indices().nth(MAX_VALUE_LENGTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// A reason as a sentence of its own.
fn sentence(reason: &str) -> String {
    let mut letters = reason.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase().to_string());
    let end = if reason.ends_with(['.', '?', '!']) {
        ""
    } else {
        "."
    };
    format!("{}{}{end}", first.unwrap_or_default(), letters.as_str())
}
