//! The organizations of the installation, for operators.

use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use chrono::{DateTime, Utc};
use http::StatusCode;
use maud::html;
use serde::Deserialize;
use serde_json::json;

use super::client::Refusal;
use super::form::{Posted, Queried};
use super::frame::{Content, Section};
use super::parts::{
    Field, PageQuery, Pagination, Tone, badge, empty, number, pager, pagination, time,
};
use super::visit::Visit;
use super::{Console, TOP};

/// Up to how many of the last day are counted.
const MAX_COUNT: i64 = 100;

/// The routes.
pub fn routes() -> Router<Arc<Console>> {
    Router::new().route("/organizations", get(list).post(create))
}

#[derive(Deserialize)]
struct Organization {
    id: String,
    name: String,
    #[serde(default)]
    health: Health,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Health {
    active_sso_configurations: i64,
    broken_sso_configurations: i64,
    enabled_scim_configurations: i64,
    expired_scim_tokens: i64,
    last_provisioned_at: Option<DateTime<Utc>>,
    refused_provisioning_requests: i64,
    signed_in: i64,
    refused_sign_ins: i64,
    at_least: bool,
}

impl Health {
    /// Whether it works, and what there is to look at.
    fn findings(&self) -> Vec<(Tone, &'static str)> {
        let is_used = self.signed_in + self.refused_sign_ins > 0;
        let found = [
            (
                self.broken_sso_configurations > 0,
                Tone::Bad,
                "Client secret lost",
            ),
            (self.expired_scim_tokens > 0, Tone::Bad, "SCIM token ended"),
            (
                self.signed_in == 0 && is_used,
                Tone::Bad,
                "All sign-ins refused",
            ),
            (
                self.refused_provisioning_requests > 0,
                Tone::Doubtful,
                "Provisioning refused",
            ),
            (
                self.active_sso_configurations + self.broken_sso_configurations == 0,
                Tone::Plain,
                "No single sign-on",
            ),
            (
                self.enabled_scim_configurations == 0,
                Tone::Plain,
                "No provisioning",
            ),
        ];
        let found: Vec<_> = found.into_iter().filter(|(holds, ..)| *holds).collect();
        match &*found {
            [] => vec![(Tone::Good, "Works")],
            found => found
                .iter()
                .map(|(_, tone, words)| (*tone, *words))
                .collect(),
        }
    }

    /// A count of the day.
    fn count(&self, count: i64) -> String {
        let more = if self.at_least && count >= MAX_COUNT {
            "+"
        } else {
            ""
        };
        format!("{}{more}", number(count))
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Organizations {
    organizations: Vec<Organization>,
    pagination: Pagination,
}

async fn list(visit: Visit, Queried(query): Queried<PageQuery>) -> Result<Content, Refusal> {
    show(&visit, &query.page, "", None).await
}

async fn show(
    visit: &Visit,
    page: &str,
    name: &str,
    problem: Option<&str>,
) -> Result<Content, Refusal> {
    let method = "rollcall.v1.OrganizationService/ListOrganizations";
    let found: Organizations = visit
        .call(
            method,
            json!({ "pagination": pagination(page), "includeHealth": true }),
        )
        .await?;
    let path = format!("{TOP}/organizations");
    let body = html! {
        @if found.organizations.is_empty() {
            (empty("No organization yet", "An organization is a company or team with its own members, sign-in and provisioning. Make the first one below.", None))
        } @else {
            table .list {
                thead { tr { th scope="col" { "Name" } th scope="col" { "State" } th scope="col" .number { "Signed in, 24 hours" } th scope="col" .number { "Refused, 24 hours" } th scope="col" { "Last provisioning" } } }
                tbody {
                    @for organization in &found.organizations {
                        tr {
                            @let health = &organization.health;
                            td .wide { a href={ (TOP) "/" (organization.id) } { (organization.name) } code .soft { (organization.id) } }
                            td data-label="State" { @for (tone, words) in health.findings() { (badge(tone, words)) " " } }
                            td .number data-label="Signed in, 24 hours" { (health.count(health.signed_in)) }
                            td .number data-label="Refused, 24 hours" { (health.count(health.refused_sign_ins)) }
                            td data-label="Last provisioning" { @if let Some(at) = health.last_provisioned_at { (time(at)) } @else { "none yet" } }
                        }
                    }
                }
            }
            (pager(&path, &[], page, &found.pagination))
        }
        section .panel {
            h2 { "Make an organization" }
            form method="post" action=(path) {
                (Field { name: "name", label: "Name", value: name, hint: "As its people know it: at least 3 characters.", problem, required: true, ..Field::default() })
                div .actions { button { "Make it" } }
            }
        }
        section .panel {
            h2 { "Brand" }
            p { "The name, the logo and the colour of the pages on which people sign in, for organizations without a brand of their own." }
            div .actions { a .button.second href={ (path) "/brand" } { "Change the brand" } }
        }
    };
    Ok(Content::new(Section::Organizations, "Organizations", body))
}

#[derive(Deserialize)]
struct New {
    name: String,
}

async fn create(visit: Visit, Posted(New { name }): Posted<New>) -> Result<Response, Refusal> {
    #[derive(Deserialize)]
    struct Answer {
        organization: Made,
    }
    #[derive(Deserialize)]
    struct Made {
        id: String,
    }
    let method = "gitpod.v1.OrganizationService/CreateOrganization";
    let made: Result<Answer, Refusal> = visit.call(method, json!({ "name": name.trim() })).await;
    match made {
        Ok(answer) => {
            Ok(Redirect::to(&format!("{TOP}/{}", answer.organization.id)).into_response())
        }
        Err(refusal) if refusal.is_about_input() => {
            let content = show(&visit, "", &name, Some(&refusal.sentence())).await?;
            Ok(content.status(StatusCode::BAD_REQUEST).into_response())
        }
        Err(refusal) => Err(refusal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(health: &Health) -> Vec<&'static str> {
        health
            .findings()
            .into_iter()
            .map(|(_, words)| words)
            .collect()
    }

    #[test]
    fn what_is_wrong_is_told_and_works_only_where_nothing_is() {
        let mut health = Health {
            active_sso_configurations: 1,
            enabled_scim_configurations: 1,
            ..Health::default()
        };
        assert_eq!(words(&health), ["Works"]);
        health.refused_sign_ins = 100;
        health.at_least = true;
        assert_eq!(words(&health), ["All sign-ins refused"]);
        assert_eq!(health.count(health.refused_sign_ins), "100+");
        health.signed_in = 1;
        health.expired_scim_tokens = 1;
        assert_eq!(words(&health), ["SCIM token ended"]);
        let nothing = Health::default();
        assert_eq!(words(&nothing), ["No single sign-on", "No provisioning"]);
    }
}
