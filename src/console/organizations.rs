//! The organizations of the installation, for operators.

use std::sync::Arc;

use axum::Router;
use axum::extract::Form;
use axum::extract::rejection::FormRejection;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use chrono::{DateTime, Utc};
use http::StatusCode;
use maud::html;
use serde::Deserialize;
use serde_json::json;

use super::client::Refusal;
use super::form::Queried;
use super::frame::{Content, Section};
use super::parts::{Field, PageQuery, Pagination, empty, pager, pagination, time};
use super::visit::Visit;
use super::{Console, TOP};

/// The routes.
pub fn routes() -> Router<Arc<Console>> {
    Router::new().route("/organizations", get(list).post(create))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Organization {
    id: String,
    name: String,
    created_at: DateTime<Utc>,
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
        .call(method, json!({ "pagination": pagination(page) }))
        .await?;
    let path = format!("{TOP}/organizations");
    let body = html! {
        @if found.organizations.is_empty() {
            (empty("No organization yet", "An organization is a company or team with its own members, sign-in and provisioning. Make the first one below.", None))
        } @else {
            table .list {
                thead { tr { th scope="col" { "Name" } th scope="col" { "Made" } th scope="col" { "Id" } } }
                tbody {
                    @for organization in &found.organizations {
                        tr {
                            td { a href={ (TOP) "/" (organization.id) } { (organization.name) } }
                            td data-label="Made" { (time(organization.created_at)) }
                            td data-label="Id" { code { (organization.id) } }
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

async fn create(visit: Visit, form: Result<Form<New>, FormRejection>) -> Result<Response, Refusal> {
    #[derive(Deserialize)]
    struct Answer {
        organization: Made,
    }
    #[derive(Deserialize)]
    struct Made {
        id: String,
    }
    let Ok(Form(New { name })) = form else {
        return Err(Refusal::bad_form());
    };
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
