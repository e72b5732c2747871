//! What an organization is called, who may become a member, and its end.

use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use chrono::{DateTime, Utc};
use http::StatusCode;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::Refusal;
use super::form::{Area, Asked, Entered, Problems, Tick};
use super::frame::{Content, Section};
use super::parts::{Field, Tone, copy, note, time};
use super::visit::{Visit, Who};
use super::{Console, TOP};

/// The routes.
pub fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/settings", get(show))
        .route("/settings/name", post(rename))
        .route("/settings/joining", post(set_joining))
        .route("/settings/delete", post(delete))
}

const UPDATE: &str = "gitpod.v1.OrganizationService/UpdateOrganization";

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Organization {
    name: String,
    created_at: Option<DateTime<Utc>>,
    invite_domains: InviteDomains,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct InviteDomains {
    domains: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    organization: Organization,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PoliciesAnswer {
    policies: Policies,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Policies {
    restrict_account_creation_to_scim: bool,
}

/// What is in the fields of the page.
struct Entry {
    name: String,
    provisioned_only: bool,
    domains: Vec<String>,
    /// What was entered to confirm the end.
    confirmation: String,
}

/// What was done just now, in words.
fn notice(done: &str) -> Option<&'static str> {
    match done {
        "name" => Some("The name is saved."),
        "joining" => Some("Who may become a member is saved."),
        _ => None,
    }
}

async fn show(visit: Visit, Asked(asked): Asked) -> Result<Content, Refusal> {
    let page = page(&visit, |_| {}, "", &Problems::default()).await?;
    Ok(page.notice(notice(asked.text("done"))))
}

/// The page, with what was entered by `change`, and with the problems of the form of a name.
async fn page(
    visit: &Visit,
    change: impl FnOnce(&mut Entry),
    form: &str,
    problems: &Problems,
) -> Result<Content, Refusal> {
    let request = json!({ "organizationId": visit.organization });
    let service = "gitpod.v1.OrganizationService";
    let (get, policies) = (
        format!("{service}/GetOrganization"),
        format!("{service}/GetOrganizationPolicies"),
    );
    let (answer, policies) = futures_util::future::try_join(
        visit.call::<Answer>(&get, &request),
        visit.call::<PoliciesAnswer>(&policies, &request),
    )
    .await?;
    let Organization {
        name,
        created_at,
        invite_domains,
    } = answer.organization;
    let mut entry = Entry {
        name,
        provisioned_only: policies.policies.restrict_account_creation_to_scim,
        domains: invite_domains.domains,
        confirmation: String::new(),
    };
    change(&mut entry);
    let none = Problems::default();
    let of = |name: &str| if name == form { problems } else { &none };
    let body = html! {
        (name_form(visit, &entry, of("name"), created_at))
        (joining_form(visit, &entry, of("joining")))
        section .panel {
            h2 { "Brand" }
            p { "The name, the logo and the colour of the pages on which your people sign in." }
            div .actions { a .button.second href=(visit.path("settings/brand")) { "Change the brand" } }
        }
        section .panel {
            h2 { "API tokens" }
            p { "Programs that read or change this organization over the API do so with the token of a service account." }
            div .actions { a .button.second href=(visit.path("tokens")) { "API tokens" } }
        }
        (end_form(visit, &entry, of("delete")))
    };
    Ok(Content::new(Section::Settings, "Settings", body))
}

/// What is wrong, above a form.
fn above(problems: &Problems, fields: &[&str]) -> Markup {
    let rest = problems.rest(fields);
    html! { @if let Some(text) = rest { (note(Tone::Bad, Refusal::new("", text).sentence())) } }
}

fn name_form(
    visit: &Visit,
    entry: &Entry,
    problems: &Problems,
    created_at: Option<DateTime<Utc>>,
) -> Markup {
    let problem = problems.at("name", "The name", &[]);
    html! {
        section .panel {
            h2 { "Organization" }
            (above(problems, &["name"]))
            form method="post" action=(visit.path("settings/name")) {
                (Field { name: "name", label: "Name", value: &entry.name, hint: "As its people know it. They see it when they sign in.", problem: problem.as_deref(), required: true, ..Field::default() })
                div .actions { button { "Save the name" } }
            }
            h3 { "For programs and support" }
            (copy("Organization ID", &visit.organization.to_string()))
            @if let Some(at) = created_at { p .small { "Made " (time(at)) } }
        }
    }
}

fn joining_form(visit: &Visit, entry: &Entry, problems: &Problems) -> Markup {
    let problem = problems.at("invite_domains", "The list", &entry.domains);
    html! {
        section .panel {
            h2 { "Who may become a member" }
            (above(problems, &["invite_domains"]))
            form method="post" action=(visit.path("settings/joining")) {
                (Tick {
                    kind: "checkbox", name: "provisioned_only", value: "yes", label: "Only people whom provisioning (SCIM) created",
                    hint: "Whoever signs in without having been provisioned is turned away, and invitations do not work. Without this, the first sign-in makes somebody a member, if single sign-on lets the person in.",
                    checked: entry.provisioned_only,
                })
                (Area {
                    name: "domains", label: "Domains for invitations", lines: &entry.domains, problem: problem.as_deref(),
                    hint: "One a line, such as example.com. An invitation then works only for people with an address in one of them. People with such an address may also join by themselves. Without any, invitations work for everybody who has one.",
                })
                div .actions { button { "Save" } }
            }
        }
    }
}

fn end_form(visit: &Visit, entry: &Entry, problems: &Problems) -> Markup {
    let problem = problems.rest(&[]);
    html! {
        section .panel {
            h2 { "Delete the organization" }
            p { "Everything in it goes: its people, groups, single sign-on, provisioning, applications, webhooks and tokens. Nobody can sign in any more from this moment on. " strong { "It cannot be undone." } " Only the audit log stays." }
            form method="post" action=(visit.path("settings/delete")) {
                (Field {
                    name: "confirmation", label: "Type the name of the organization to confirm", value: &entry.confirmation,
                    problem: problem.as_deref(), required: true, ..Field::default()
                })
                div .actions {
                    button .danger data-confirm={ "Delete " (visit.name) " with everything in it? It cannot be undone." } { "Delete the organization" }
                }
            }
        }
    }
}

/// The page again where what was entered is refused, or the refusal.
async fn again(
    visit: &Visit,
    form: &str,
    refusal: Refusal,
    change: impl FnOnce(&mut Entry),
) -> Result<Response, Refusal> {
    if !refusal.is_about_input() {
        return Err(refusal);
    }
    let page = page(visit, change, form, &Problems::of(&refusal)).await?;
    Ok(page.status(StatusCode::BAD_REQUEST).into_response())
}

async fn rename(visit: Visit, Entered(form): Entered) -> Result<Response, Refusal> {
    let name = form.text("name");
    let request = json!({ "organizationId": visit.organization, "name": name });
    match visit.tell(UPDATE, request).await {
        Ok(()) => Ok(visit.go("settings?done=name")),
        Err(refusal) => {
            again(&visit, "name", refusal, |entry| {
                entry.name = name.to_owned()
            })
            .await
        }
    }
}

async fn set_joining(visit: Visit, Entered(form): Entered) -> Result<Response, Refusal> {
    let provisioned_only = form.has("provisioned_only");
    let domains = form.lines("domains");
    match join(&visit, provisioned_only, &domains).await {
        Ok(()) => Ok(visit.go("settings?done=joining")),
        Err(refusal) => {
            again(&visit, "joining", refusal, |entry| {
                entry.provisioned_only = provisioned_only;
                entry.domains = domains;
            })
            .await
        }
    }
}

/// The domains come first: they alone can be wrong, and then nothing is changed.
async fn join(visit: &Visit, provisioned_only: bool, domains: &[String]) -> Result<(), Refusal> {
    let id = visit.organization;
    let request: Value = json!({ "organizationId": id, "inviteDomains": { "domains": domains } });
    visit.tell(UPDATE, request).await?;
    let request =
        json!({ "organizationId": id, "restrictAccountCreationToScim": provisioned_only });
    let method = "gitpod.v1.OrganizationService/UpdateOrganizationPolicies";
    visit.tell(method, request).await
}

async fn delete(visit: Visit, Entered(form): Entered) -> Result<Response, Refusal> {
    let confirmation = form.text("confirmation");
    if confirmation != visit.name.trim() {
        let text = format!(
            "This is not the name of the organization. Type “{}”, and nothing else",
            visit.name
        );
        let refusal = Refusal::new("failed_precondition", text);
        return again(&visit, "delete", refusal, |entry| {
            entry.confirmation = confirmation.to_owned();
        })
        .await;
    }
    let method = "gitpod.v1.OrganizationService/DeleteOrganization";
    let request = json!({ "organizationId": visit.organization });
    visit.tell(method, request).await?;
    let is_operator = visit.who == Who::Operator;
    let body = html! {
        p { (visit.name) " is deleted. What it had is being removed. Your own access to it has ended with it." }
        @if is_operator { div .actions { a .button href={ (TOP) "/organizations" } { "All organizations" } } }
    };
    Ok(Content::alone("The organization is deleted", body).into_response())
}
