//! Whose addresses are the organization's: domains, and the proof of each.

use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use chrono::{DateTime, Utc};
use http::StatusCode;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use super::Console;
use super::client::Refusal;
use super::form::{Posted, Queried};
use super::frame::{Content, Section};
use super::parts::{
    Field, PageQuery, Pagination, Tone, badge, copy, empty, note, pager, pagination, time,
};
use super::visit::{At, Visit};

const SERVICE: &str = "gitpod.v1.OrganizationService";

/// The routes.
pub fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/domains", get(list).post(create))
        .route("/domains/{id}", get(show))
        .route("/domains/{id}/verify", post(verify))
        .route("/domains/{id}/delete", post(delete))
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Domain {
    id: String,
    domain: String,
    state: String,
    verified_at: Option<DateTime<Utc>>,
    verification_token: String,
}

impl Domain {
    fn is_verified(&self) -> bool {
        self.state == "DOMAIN_VERIFICATION_STATE_VERIFIED"
    }

    fn badge(&self) -> Markup {
        match self.is_verified() {
            true => badge(Tone::Good, "Verified"),
            false => badge(Tone::Doubtful, "Not verified yet"),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Listed {
    domain_verifications: Vec<Domain>,
    pagination: Pagination,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct One {
    domain_verification: Domain,
}

async fn list(visit: Visit, Queried(query): Queried<PageQuery>) -> Result<Content, Refusal> {
    let notice = (query.done == "deleted").then_some("Deleted.");
    Ok(list_page(&visit, &query.page, "", None)
        .await?
        .notice(notice))
}

async fn list_page(
    visit: &Visit,
    page: &str,
    entered: &str,
    problem: Option<&str>,
) -> Result<Content, Refusal> {
    let request = json!({ "organizationId": visit.organization, "pagination": pagination(page) });
    let method = format!("{SERVICE}/ListDomainVerifications");
    let found: Listed = visit.call(&method, request).await?;
    let body = html! {
        p { "Prove once, with a record in the DNS, that a domain is yours. Then Rollcall trusts your identity provider with the addresses of that domain, and no other organization can claim them." }
        @if found.domain_verifications.is_empty() {
            (empty("No domain yet", "Add the domain of your people’s addresses below. You need somebody who can change its DNS.", None))
        } @else {
            table .list {
                thead { tr { th scope="col" { "Domain" } th scope="col" { "State" } th scope="col" { "Since" } } }
                tbody {
                    @for domain in &found.domain_verifications {
                        tr {
                            td { a href=(visit.path(&format!("domains/{}", domain.id))) { (domain.domain) } }
                            td data-label="State" { (domain.badge()) }
                            td data-label="Since" { @if let Some(at) = domain.verified_at { (time(at)) } @else { "—" } }
                        }
                    }
                }
            }
            (pager(&visit.path("domains"), &[], page, &found.pagination))
        }
        section .panel {
            h2 { "Add a domain" }
            form method="post" action=(visit.path("domains")) {
                (Field { name: "domain", label: "Domain", value: entered, hint: "What stands behind the @ of the addresses, such as example.com.", problem, required: true, ..Field::default() })
                div .actions { button { "Continue" } }
            }
        }
    };
    Ok(Content::new(Section::Domains, "Domains", body))
}

#[derive(Deserialize)]
struct New {
    domain: String,
}

async fn create(visit: Visit, Posted(New { domain }): Posted<New>) -> Result<Response, Refusal> {
    let request = json!({ "organizationId": visit.organization, "domain": domain.trim() });
    let method = format!("{SERVICE}/CreateDomainVerification");
    match visit.call::<One>(&method, request).await {
        Ok(made) => Ok(visit.go(&format!("domains/{}", made.domain_verification.id))),
        Err(refusal) if refusal.is_about_input() => {
            let page = list_page(&visit, "", &domain, Some(&refusal.sentence())).await?;
            Ok(page.status(StatusCode::BAD_REQUEST).into_response())
        }
        Err(refusal) => Err(refusal),
    }
}

async fn show(
    visit: Visit,
    At { id }: At,
    Queried(query): Queried<PageQuery>,
) -> Result<Content, Refusal> {
    let method = format!("{SERVICE}/GetDomainVerification");
    let request = json!({ "domainVerificationId": id });
    let found: One = visit.call(&method, request).await?;
    let notice = (query.done == "verified").then_some("Verified: the domain is yours.");
    Ok(page(&visit, &found.domain_verification, None).notice(notice))
}

fn page(visit: &Visit, domain: &Domain, problem: Option<&str>) -> Content {
    let path = visit.path(&format!("domains/{}", domain.id));
    let name = format!("_rollcall-challenge.{}", domain.domain);
    let value = format!("rollcall-verification={}", domain.verification_token);
    let body = html! {
        @if let Some(problem) = problem { (note(Tone::Bad, problem)) }
        @if domain.is_verified() {
            section .panel {
                p { (domain.badge()) " " @if let Some(at) = domain.verified_at { "since " (time(at)) } }
                p { "The TXT record is not needed any more: you may remove it." }
            }
        } @else {
            ol .steps {
                li .now {
                    h2 { "Set a TXT record in the DNS of " (domain.domain) }
                    (copy("Name", &name))
                    p .hint { "Many DNS managers add the domain by themselves. There, the name is only " code { "_rollcall-challenge" } "." }
                    (copy("Type", "TXT"))
                    (copy("Value", &value))
                }
                li {
                    h2 { "Have it looked up" }
                    p { "A new record is often there within a minute. If the name was looked up before, name servers may remember for a while that there was nothing." }
                    form method="post" action={ (path) "/verify" } { button { "Look it up now" } }
                }
            }
        }
        section .panel {
            h2 { "Delete" }
            p { @if domain.is_verified() { "The domain counts as anybody’s again, and another organization may verify it." } @else { "Nothing else changes." } }
            form method="post" action={ (path) "/delete" } data-confirm={ "Delete " (domain.domain) "?" } { button .danger { "Delete" } }
        }
    };
    Content::new(Section::Domains, &*domain.domain, body).below("Domains", visit.path("domains"))
}

async fn verify(visit: Visit, At { id }: At) -> Result<Response, Refusal> {
    let request = json!({ "domainVerificationId": id });
    let method = format!("{SERVICE}/VerifyDomain");
    match visit.tell(&method, &request).await {
        Ok(()) => Ok(visit.go(&format!("domains/{id}?done=verified"))),
        Err(refusal) if refusal.is_about_input() => {
            let method = format!("{SERVICE}/GetDomainVerification");
            let found: One = visit.call(&method, &request).await?;
            let page = page(
                &visit,
                &found.domain_verification,
                Some(&refusal.sentence()),
            );
            Ok(page.status(StatusCode::BAD_REQUEST).into_response())
        }
        Err(refusal) => Err(refusal),
    }
}

async fn delete(visit: Visit, At { id }: At) -> Result<Response, Refusal> {
    let method = format!("{SERVICE}/DeleteDomainVerification");
    visit
        .tell(&method, json!({ "domainVerificationId": id }))
        .await?;
    Ok(visit.go("domains?done=deleted"))
}
