//! How people are provisioned: set up step by step, then watched while requests arrive.

mod requests;

use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use chrono::{DateTime, TimeDelta, Utc};
use http::StatusCode;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use self::requests::{EVENTS, Events, row};
use super::Console;
use super::client::Refusal;
use super::form::{Posted, Queried};
use super::frame::{Content, Section};
use super::guides::Provider;
use super::parts::{
    Field, PageQuery, Pagination, Tone, badge, copy, empty, note, pager, pagination, time,
};
use super::visit::{At, Visit};

const SERVICE: &str = "gitpod.v1.OrganizationService";

/// The routes.
pub fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/provisioning", get(list))
        .route("/provisioning/new", get(new).post(create))
        .route("/provisioning/{id}", get(show).post(update))
        .route("/provisioning/{id}/feed", get(requests::feed))
        .route("/provisioning/{id}/token", post(regenerate))
        .route("/provisioning/{id}/switch", post(switch))
        .route("/provisioning/{id}/delete", post(delete))
        .route("/provisioning/{id}/requests/{event}", get(requests::event))
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Scim {
    id: String,
    name: String,
    enabled: bool,
    sso_configuration_id: String,
    token_expires_at: DateTime<Utc>,
    allow_unverified_email_account_linking: bool,
}

impl Scim {
    fn name(&self) -> &str {
        match &*self.name {
            "" => "Provisioning",
            name => name,
        }
    }

    fn path(&self, visit: &Visit) -> String {
        visit.path(&format!("provisioning/{}", self.id))
    }

    fn badge(&self, now: DateTime<Utc>) -> Markup {
        if !self.enabled {
            return badge(Tone::Doubtful, "Off");
        }
        match self.token_expires_at - now {
            left if left <= TimeDelta::zero() => badge(Tone::Bad, "Token has ended"),
            left if left < TimeDelta::days(30) => badge(Tone::Doubtful, "Token ends soon"),
            _ => badge(Tone::Good, "On"),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Listed {
    scim_configurations: Vec<Scim>,
    pagination: Pagination,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct One {
    scim_configuration: Scim,
}

/// What an answer says that has a new token.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewToken {
    token: String,
    token_expires_at: DateTime<Utc>,
}

/// The SSO configurations that one may belong to.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SsoList {
    sso_configurations: Vec<Sso>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Sso {
    id: String,
    issuer_url: String,
    display_name: String,
}

impl Sso {
    /// Which provider it is, by its issuer, or else by its name.
    fn provider(&self) -> Provider {
        let name = self.display_name.to_ascii_lowercase();
        let is_named = |provider: &Provider| name.contains(provider.key());
        match Provider::of_issuer(&self.issuer_url) {
            Provider::Other => Provider::ALL
                .into_iter()
                .find(is_named)
                .unwrap_or(Provider::Other),
            known => known,
        }
    }

    fn name(&self) -> &str {
        match &*self.display_name {
            "" => &self.issuer_url,
            name => name,
        }
    }
}

async fn find(visit: &Visit, id: Uuid) -> Result<Scim, Refusal> {
    let method = format!("{SERVICE}/GetSCIMConfiguration");
    let request = json!({ "scimConfigurationId": id });
    Ok(visit
        .call::<One>(&method, request)
        .await?
        .scim_configuration)
}

async fn sso_list(visit: &Visit) -> Result<Vec<Sso>, Refusal> {
    if !visit.who.sets_up_sso() {
        let method = "rollcall.v1.SetupLinkService/GetSetupLink";
        return Ok(visit
            .call::<SsoList>(method, json!({}))
            .await?
            .sso_configurations);
    }
    let request =
        json!({ "organizationId": visit.organization, "pagination": { "pageSize": 100 } });
    let method = format!("{SERVICE}/ListSSOConfigurations");
    Ok(visit
        .call::<SsoList>(&method, request)
        .await?
        .sso_configurations)
}

fn below_list(visit: &Visit, title: &str, body: Markup) -> Content {
    Content::new(Section::Provisioning, title, body)
        .below("Provisioning", visit.path("provisioning"))
}

/// Where identity providers push to.
fn base_url(visit: &Visit) -> String {
    format!("{}/scim/v2", visit.console.app.public_url)
}

async fn list(visit: Visit, Queried(query): Queried<PageQuery>) -> Result<Content, Refusal> {
    let request = json!({ "pagination": pagination(&query.page) });
    let method = format!("{SERVICE}/ListSCIMConfigurations");
    let found: Listed = visit.call(&method, request).await?;
    let now = visit.console.app.clock.now();
    let new = html! { a .button href=(visit.path("provisioning/new")) { "Set up provisioning" } };
    let body = html! {
        @if found.scim_configurations.is_empty() {
            (empty("No identity provider pushes users yet", "With provisioning, people become members before they sign in for the first time, and lose access the moment they leave. You enter an address and a token at your identity provider, over SCIM 2.0.", Some(new)))
        } @else {
            table .list {
                thead { tr { th scope="col" { "Name" } th scope="col" { "State" } th scope="col" { "Token ends" } } }
                tbody {
                    @for scim in &found.scim_configurations {
                        tr {
                            td { a href=(scim.path(&visit)) { (scim.name()) } }
                            td data-label="State" { (scim.badge(now)) }
                            td data-label="Token ends" { (time(scim.token_expires_at)) }
                        }
                    }
                }
            }
            (pager(&visit.path("provisioning"), &[], &query.page, &found.pagination))
            div .actions { (new) }
        }
    };
    let done = (query.done == "deleted").then_some("Deleted. Its token opens nothing any more.");
    Ok(Content::new(Section::Provisioning, "Provisioning", body).notice(done))
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Entered {
    name: String,
    sso: String,
    days: String,
    links: Option<String>,
}

async fn new(visit: Visit) -> Result<Content, Refusal> {
    new_page(&visit, &Entered::default(), None).await
}

async fn new_page(
    visit: &Visit,
    entered: &Entered,
    problem: Option<&str>,
) -> Result<Content, Refusal> {
    let choices = sso_list(visit).await?;
    let body = if choices.is_empty() {
        let may = visit.who.sets_up_sso();
        let action = may
            .then(|| html! { a .button href=(visit.path("sso/new")) { "Set up single sign-on" } });
        empty(
            "First set up single sign-on",
            "The people whom the identity provider pushes sign in there. So provisioning belongs to a way to sign in, which does not have to be active.",
            action,
        )
    } else {
        html! {
            section .panel {
                @if let Some(problem) = problem { (note(Tone::Bad, problem)) }
                form method="post" action=(visit.path("provisioning/new")) {
                    (sso_field(&choices, &entered.sso))
                    (Field { name: "name", label: "Name", value: &entered.name, hint: "For your own overview. The provider’s name unless you enter one.", ..Field::default() })
                    div .field {
                        label for="days" { "The token lives for" }
                        select #days name="days" {
                            @for (days, words) in [("90", "90 days"), ("180", "180 days"), ("365", "1 year"), ("730", "2 years")] {
                                option value=(days) selected[days == entered.days || (entered.days.is_empty() && days == "365")] { (words) }
                            }
                        }
                        p .hint { "When it ends, the provider can push no longer: this page and the overview warn you 30 days before." }
                    }
                    div .actions { button { "Make the token" } }
                }
            }
        }
    };
    Ok(below_list(visit, "Set up provisioning", body))
}

fn sso_field(choices: &[Sso], chosen: &str) -> Markup {
    html! {
        div .field {
            label for="sso" { "The people sign in with" }
            select #sso name="sso" {
                @for sso in choices {
                    option value=(sso.id) selected[sso.id == chosen] { (sso.name()) }
                }
            }
        }
    }
}

async fn create(visit: Visit, Posted(entered): Posted<Entered>) -> Result<Response, Refusal> {
    let name = match entered.name.trim() {
        "" => {
            let choices = sso_list(&visit).await?;
            let chosen = choices.iter().find(|sso| sso.id == entered.sso);
            chosen.map_or_else(String::new, |sso| sso.name().chars().take(128).collect())
        }
        name => name.to_owned(),
    };
    let days: u32 = entered.days.parse().unwrap_or(365);
    let request = json!({
        "organizationId": visit.organization,
        "ssoConfigurationId": entered.sso,
        "name": name,
        "tokenExpiresIn": format!("{}s", u64::from(days) * 86_400),
    });
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Made {
        scim_configuration: Scim,
        #[serde(flatten)]
        token: NewToken,
    }
    let method = format!("{SERVICE}/CreateSCIMConfiguration");
    match visit.call::<Made>(&method, request).await {
        Ok(made) => Ok(token_page(&visit, &made.scim_configuration, &made.token)
            .await?
            .into_response()),
        Err(refusal) if refusal.is_about_input() => {
            let page = new_page(&visit, &entered, Some(&refusal.sentence())).await?;
            Ok(page.status(StatusCode::BAD_REQUEST).into_response())
        }
        Err(refusal) => Err(refusal),
    }
}

/// The one page that shows a token.
async fn token_page(visit: &Visit, scim: &Scim, token: &NewToken) -> Result<Content, Refusal> {
    let provider = provider(visit, scim).await?;
    let body = html! {
        (note(Tone::Doubtful, "The token is shown now and never again. Copy it before you leave this page, and do not load the page anew; if the token is lost, make a new one."))
        (copy("Base URL", &base_url(visit)))
        (copy("Token", &token.token))
        p { "It ends " (time(token.token_expires_at)) ". Put that day into a calendar." }
        h2 { "What to do in " (provider.name()) }
        ol .steps { @for step in provider.provisioning_steps(&base_url(visit)) { li { (step) } } }
        div .actions { a .button href=(scim.path(visit)) { "I have entered it: watch requests arrive" } }
    };
    Ok(below_list(visit, "Your token", body).below(scim.name(), scim.path(visit)))
}

/// The provider that a configuration is for, as its way to sign in tells.
async fn provider(visit: &Visit, scim: &Scim) -> Result<Provider, Refusal> {
    let choices = sso_list(visit).await?;
    let sso = choices
        .iter()
        .find(|sso| sso.id == scim.sso_configuration_id);
    Ok(sso.map_or(Provider::Other, |sso| sso.provider()))
}

/// Which requests are shown.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Filter {
    page: String,
    done: String,
    refused: String,
    resource: String,
}

impl Filter {
    fn request(&self, id: Uuid) -> Value {
        let mut filter = json!({
            "scimConfigurationId": id,
            "onlyRefused": !self.refused.is_empty(),
        });
        if !self.resource.trim().is_empty() {
            filter["resourceId"] = json!(self.resource.trim());
        }
        json!({ "filter": filter, "pagination": pagination(&self.page) })
    }
}

async fn show(
    visit: Visit,
    At { id }: At,
    Queried(filter): Queried<Filter>,
) -> Result<Content, Refusal> {
    let scim = find(&visit, id).await?;
    page(&visit, id, &scim, &filter, None).await
}

async fn page(
    visit: &Visit,
    id: Uuid,
    scim: &Scim,
    filter: &Filter,
    problem: Option<&str>,
) -> Result<Content, Refusal> {
    let (events, choices) = match visit.call::<Events>(EVENTS, filter.request(id)).await {
        Ok(events) => (Ok(events), sso_list(visit).await?),
        Err(refusal) if refusal.is_about_input() => (Err(refusal), sso_list(visit).await?),
        Err(refusal) => return Err(refusal),
    };
    let sso = choices
        .iter()
        .find(|sso| sso.id == scim.sso_configuration_id);
    let provider = sso.map_or(Provider::Other, |sso| sso.provider());
    let now = visit.console.app.clock.now();
    let path = scim.path(visit);
    let is_live = filter.page.is_empty();
    let since = now.timestamp_millis();
    let feed = format!(
        "{path}/feed?since={since}&refused={}",
        if filter.refused.is_empty() { "" } else { "1" }
    );
    let body = html! {
        div .cards {
            section .panel {
                h2 { "State" }
                dl .facts {
                    dt { "Provisioning" } dd { (scim.badge(now)) }
                    dt { "Base URL" } dd { code { (base_url(visit)) } }
                    dt { "Token ends" } dd { (time(scim.token_expires_at)) }
                    dt { "People sign in with" } dd { @match sso { Some(sso) if visit.who.sets_up_sso() => a href=(visit.path(&format!("sso/{}", sso.id))) { (sso.name()) }, Some(sso) => (sso.name()), None => "—" } }
                }
            }
            section .panel {
                h2 { "In " (provider.name()) }
                details .more {
                    summary { "What to enter there" }
                    ol .steps { @for step in provider.provisioning_steps(&base_url(visit)) { li { (step) } } }
                }
                form method="post" action={ (path) "/token" } data-confirm="The token that is in use now ends at once. Enter the new one at the provider right away. Make a new token?" {
                    button .second { "Make a new token" }
                }
            }
        }
        section {
            h2 { "What arrives" }
            form .toolbar method="get" action=(path) {
                div .field.grow {
                    label for="resource" { "SCIM id of a user or group" }
                    input #resource name="resource" value=(filter.resource) spellcheck="false";
                }
                label .check { input type="checkbox" name="refused" value="1" checked[!filter.refused.is_empty()]; "Only refused" }
                button .second { "Show" }
            }
            @match &events {
                Err(refusal) => { (note(Tone::Bad, refusal.sentence())) }
                Ok(events) => {
                    ul .timeline data-feed=[(is_live && filter.resource.is_empty()).then_some(feed)] data-feed-add aria-live="polite" {
                        @for event in &events.events { (row(&path, event)) }
                        @if events.events.is_empty() {
                            li data-waiting {
                                span {}
                                div {
                                    @if !filter.refused.is_empty() || !filter.resource.is_empty() {
                                        "Nothing of this kind has arrived."
                                    } @else {
                                        p .waiting { b { "Waiting for the first request" } }
                                        p { "As soon as the provider pushes or tests the connection, it stands here. Reads that change nothing are not shown." }
                                    }
                                }
                            }
                        }
                    }
                    (pager(&path, &[("refused", &filter.refused), ("resource", &filter.resource)], &filter.page, &events.pagination))
                }
            }
        }
        section .panel {
            h2 { "Settings" }
            @if let Some(problem) = problem { (note(Tone::Bad, problem)) }
            form method="post" action=(path) {
                (Field { name: "name", label: "Name", value: &scim.name, ..Field::default() })
                (sso_field(&choices, &scim.sso_configuration_id))
                label .check {
                    input type="checkbox" name="links" value="1" checked[scim.allow_unverified_email_account_linking];
                    "Link a pushed user to a member with the same address, also if nobody has proved that the address is that member’s. Turn it on only if everybody’s address comes from this provider."
                }
                div .actions { button { "Save" } }
            }
            div .actions {
                form method="post" action={ (path) "/switch" } {
                    input type="hidden" name="on" value=(if scim.enabled { "" } else { "1" });
                    button .second { (if scim.enabled { "Switch off" } else { "Switch on" }) }
                }
                form method="post" action={ (path) "/delete" } data-confirm={ "Its token ends, and what it pushed is no longer kept up to date. Delete " (scim.name()) "?" } {
                    button .danger { "Delete" }
                }
            }
        }
    };
    let notice = match &*filter.done {
        "saved" => Some("Saved."),
        "on" => Some("On: the provider can push."),
        "off" => {
            Some("Off: every request of the provider is refused until you switch it on again.")
        }
        _ => None,
    };
    Ok(below_list(visit, scim.name(), body).notice(notice))
}

async fn change(visit: &Visit, id: Uuid, mut asked: Value) -> Result<(), Refusal> {
    asked["scimConfigurationId"] = json!(id);
    visit
        .tell(&format!("{SERVICE}/UpdateSCIMConfiguration"), asked)
        .await
}

async fn update(
    visit: Visit,
    At { id }: At,
    Posted(entered): Posted<Entered>,
) -> Result<Response, Refusal> {
    let asked = json!({
        "name": entered.name.trim(),
        "ssoConfigurationId": entered.sso,
        "allowUnverifiedEmailAccountLinking": entered.links.is_some(),
    });
    match change(&visit, id, asked).await {
        Ok(()) => Ok(visit.go(&format!("provisioning/{id}?done=saved"))),
        Err(refusal) if refusal.is_about_input() => {
            let scim = Scim {
                name: entered.name,
                sso_configuration_id: entered.sso,
                allow_unverified_email_account_linking: entered.links.is_some(),
                ..find(&visit, id).await?
            };
            let filter = Filter::default();
            let page = page(&visit, id, &scim, &filter, Some(&refusal.sentence())).await?;
            Ok(page.status(StatusCode::BAD_REQUEST).into_response())
        }
        Err(refusal) => Err(refusal),
    }
}

async fn regenerate(visit: Visit, At { id }: At) -> Result<Content, Refusal> {
    let method = format!("{SERVICE}/RegenerateSCIMToken");
    let token: NewToken = visit
        .call(&method, json!({ "scimConfigurationId": id }))
        .await?;
    let scim = find(&visit, id).await?;
    token_page(&visit, &scim, &token).await
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Switch {
    on: String,
}

async fn switch(
    visit: Visit,
    At { id }: At,
    Posted(Switch { on }): Posted<Switch>,
) -> Result<Response, Refusal> {
    let is_on = !on.is_empty();
    change(&visit, id, json!({ "enabled": is_on })).await?;
    let done = if is_on { "on" } else { "off" };
    Ok(visit.go(&format!("provisioning/{id}?done={done}")))
}

async fn delete(visit: Visit, At { id }: At) -> Result<Response, Refusal> {
    let method = format!("{SERVICE}/DeleteSCIMConfiguration");
    visit
        .tell(&method, json!({ "scimConfigurationId": id }))
        .await?;
    Ok(visit.go("provisioning?done=deleted"))
}
