//! How people sign in: set up step by step, tested, switched on.

mod expression;

use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use chrono::{DateTime, Utc};
use http::StatusCode;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

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

/// Where providers send people back to, below the public URL.
const CALLBACK: &str = crate::oidc::CALLBACK_PATH;

/// The routes.
pub fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/sso", get(list))
        .route("/sso/new", get(choose).post(create))
        .route("/sso/issuer", post(check_issuer))
        .route("/sso/{id}", get(show).post(update))
        .route("/sso/{id}/check", post(check))
        .route("/sso/{id}/test", get(test))
        .route("/sso/{id}/activate", post(activate))
        .route("/sso/{id}/deactivate", post(deactivate))
        .route("/sso/{id}/delete", post(delete))
        .route(
            "/sso/{id}/expression",
            get(expression::show).post(expression::try_out),
        )
        .route(
            "/sso/{id}/expression/evaluate",
            post(expression::evaluate_live),
        )
        .route("/sso/{id}/expression/save", post(expression::save))
}

/// A configuration, as far as the pages show it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Sso {
    id: String,
    client_id: String,
    issuer_url: String,
    state: String,
    email_domains: Vec<String>,
    display_name: String,
    additional_scopes: Vec<String>,
    claims_expression: String,
    claims: serde_json::Map<String, Value>,
}

impl Sso {
    fn is_active(&self) -> bool {
        self.state == "SSO_CONFIGURATION_STATE_ACTIVE"
    }

    fn name(&self) -> &str {
        match &*self.display_name {
            "" => &self.issuer_url,
            name => name,
        }
    }

    fn badge(&self) -> Markup {
        match self.is_active() {
            true => badge(Tone::Good, "Active"),
            false => badge(Tone::Doubtful, "Not active"),
        }
    }

    fn path(&self, visit: &Visit) -> String {
        visit.path(&format!("sso/{}", self.id))
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Listed {
    sso_configurations: Vec<Sso>,
    pagination: Pagination,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct One {
    sso_configuration: Sso,
}

async fn find(visit: &Visit, id: Uuid) -> Result<Sso, Refusal> {
    let method = format!("{SERVICE}/GetSSOConfiguration");
    let found: One = visit
        .call(&method, json!({ "ssoConfigurationId": id }))
        .await?;
    Ok(found.sso_configuration)
}

/// Changes a configuration as `change` says.
async fn change(visit: &Visit, id: Uuid, mut change: Value) -> Result<(), Refusal> {
    change["ssoConfigurationId"] = json!(id);
    visit
        .tell(&format!("{SERVICE}/UpdateSSOConfiguration"), change)
        .await
}

async fn list(visit: Visit, Queried(query): Queried<PageQuery>) -> Result<Content, Refusal> {
    let request =
        json!({ "organizationId": visit.organization, "pagination": pagination(&query.page) });
    let found: Listed = visit
        .call(&format!("{SERVICE}/ListSSOConfigurations"), request)
        .await?;
    let new = html! { a .button href=(visit.path("sso/new")) { "Set up single sign-on" } };
    let body = html! {
        @if found.sso_configurations.is_empty() {
            (empty("Nobody can sign in yet", "Connect the identity provider that your people have their accounts with. It takes about ten minutes, and nothing changes for anybody until you activate it.", Some(new)))
        } @else {
            p { "Your people sign in with the accounts that they have at these providers." }
            table .list {
                thead { tr { th scope="col" { "Name" } th scope="col" { "Provider" } th scope="col" { "Addresses" } th scope="col" { "State" } } }
                tbody {
                    @for sso in &found.sso_configurations {
                        tr {
                            td { a href=(sso.path(&visit)) { (sso.name()) } }
                            td data-label="Provider" { (Provider::of_issuer(&sso.issuer_url).name()) span .soft { (sso.issuer_url) } }
                            td data-label="Addresses" { @if sso.email_domains.is_empty() { "any" } @else { (sso.email_domains.join(", ")) } }
                            td data-label="State" { (sso.badge()) }
                        }
                    }
                }
            }
            (pager(&visit.path("sso"), &[], &query.page, &found.pagination))
            div .actions { (new) }
        }
    };
    let done = (query.done == "deleted").then_some("Deleted. Its people are signed out.");
    Ok(Content::new(Section::SingleSignOn, "Single sign-on", body).notice(done))
}

/// What is entered to make or change a configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Entered {
    provider: String,
    display_name: String,
    issuer_url: String,
    client_id: String,
    client_secret: String,
    email_domains: String,
    additional_scopes: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ChosenQuery {
    provider: String,
}

async fn choose(visit: Visit, Queried(query): Queried<ChosenQuery>) -> Content {
    match Provider::of_key(&query.provider) {
        None => {
            let body = html! {
                p { "With which provider do your people have their accounts?" }
                nav .choice-grid aria-label="Providers" {
                    @for provider in Provider::ALL {
                        a href={ (visit.path("sso/new")) "?provider=" (provider.key()) } {
                            (provider.name())
                            @if !provider.remark().is_empty() { span .soft { (provider.remark()) } }
                        }
                    }
                }
            };
            below_list(&visit, "Set up single sign-on", body)
        }
        Some(provider) => {
            let entered = Entered {
                display_name: provider.display_name().to_owned(),
                issuer_url: match provider.issuer() {
                    issuer if issuer.is_fixed => issuer.example.to_owned(),
                    _ => String::new(),
                },
                ..Entered::default()
            };
            new_page(&visit, provider, &entered, None)
        }
    }
}

fn below_list(visit: &Visit, title: &str, body: Markup) -> Content {
    Content::new(Section::SingleSignOn, title, body).below("Single sign-on", visit.path("sso"))
}

fn redirect_uri(visit: &Visit) -> String {
    format!("{}{CALLBACK}", visit.console.app.public_url)
}

fn new_page(
    visit: &Visit,
    provider: Provider,
    entered: &Entered,
    problem: Option<&str>,
) -> Content {
    let name = match provider {
        Provider::Other => "your provider",
        known => known.name(),
    };
    let steps = provider.sign_in_steps(&redirect_uri(visit));
    let body = html! {
        h2 { "1. In " (name) }
        ol .steps { @for step in steps { li { (step) } } }
        h2 { "2. Here" }
        section .panel {
            @if let Some(problem) = problem { (note(Tone::Bad, problem)) }
            form method="post" action=(visit.path("sso/new")) data-live=(visit.path("sso/issuer")) data-into="findings" {
                input type="hidden" name="provider" value=(provider.key());
                (fields(provider, entered, true))
                @if problem.is_some() { p .problem { "The client secret is not kept in the form: enter it again." } }
                div .actions {
                    button { "Save and test" }
                    a .button.second href=(visit.path("sso/new")) { "Another provider" }
                }
                p .hint { "Saving changes nothing for anybody: you test it next, and then activate it." }
            }
        }
    };
    below_list(visit, &format!("Sign in with {name}"), body)
}

fn fields(provider: Provider, entered: &Entered, is_new: bool) -> Markup {
    let issuer = provider.issuer();
    let (client_id, client_secret) = provider.client_words();
    let secret_hint = match is_new {
        true => client_secret.to_owned(),
        false => format!("Leave it empty to keep the one that is there. {client_secret}"),
    };
    let issuer_hint = format!("{} For example {}", issuer.hint, issuer.example);
    html! {
        (Field { name: "issuer_url", label: "Issuer", value: &entered.issuer_url, hint: if issuer.is_fixed { issuer.hint } else { &issuer_hint }, kind: "url", required: true, ..Field::default() })
        div #findings aria-live="polite" {}
        (Field { name: "client_id", label: "Client ID", value: &entered.client_id, hint: client_id, required: true, ..Field::default() })
        (Field { name: "client_secret", label: "Client secret", value: "", hint: &secret_hint, kind: "password", required: is_new, ..Field::default() })
        (Field { name: "email_domains", label: "Domains of your people’s addresses", value: &entered.email_domains, hint: "Separated by commas, such as example.com. Whoever enters such an address on the sign-in page is sent to this provider.", ..Field::default() })
        (Field { name: "display_name", label: "Name on the sign-in page", value: &entered.display_name, ..Field::default() })
        details .more open[!entered.additional_scopes.is_empty()] {
            summary { "More" }
            (Field { name: "additional_scopes", label: "Additional scopes", value: &entered.additional_scopes, hint: "Asked for beside openid, email and profile, separated by blanks, such as groups.", ..Field::default() })
        }
    }
}

/// The parts of a text that are separated by commas, blanks or lines.
fn words(text: &str) -> Vec<&str> {
    text.split([',', ';', ' ', '\n', '\r', '\t'])
        .filter(|word| !word.is_empty())
        .collect()
}

async fn create(visit: Visit, Posted(entered): Posted<Entered>) -> Result<Response, Refusal> {
    let provider = Provider::of_key(&entered.provider).unwrap_or(Provider::Other);
    if provider == Provider::Google && words(&entered.email_domains).is_empty() {
        let problem = "Enter the domains of your Workspace: everybody in the world can sign in at Google, and the domains keep the others out.";
        let page = new_page(&visit, provider, &entered, Some(problem));
        return Ok(page.status(StatusCode::BAD_REQUEST).into_response());
    }
    let mut request = json!({
        "organizationId": visit.organization,
        "displayName": entered.display_name.trim(),
        "issuerUrl": entered.issuer_url.trim(),
        "clientId": entered.client_id.trim(),
        "clientSecret": entered.client_secret.trim(),
        "emailDomains": words(&entered.email_domains),
        "additionalScopes": words(&entered.additional_scopes),
    });
    if provider == Provider::Google {
        request["claimsExpression"] = json!(google_expression(&words(&entered.email_domains)));
    }
    // A browser that goes away does not interrupt it.
    let made = tokio::spawn(make(visit.clone(), request)).await;
    match made.map_err(Refusal::fault)? {
        Ok(id) => Ok(visit.go(&format!("sso/{id}?done=created"))),
        Err(refusal) if refusal.is_about_input() => {
            let page = new_page(&visit, provider, &entered, Some(&refusal.sentence()));
            Ok(page.status(StatusCode::BAD_REQUEST).into_response())
        }
        Err(refusal) => Err(refusal),
    }
}

/// Makes a configuration that is not active: nobody is sent to what nobody has tried.
async fn make(visit: Visit, request: Value) -> Result<Uuid, Refusal> {
    let method = format!("{SERVICE}/CreateSSOConfiguration");
    let made: One = visit.call(&method, request).await?;
    let id: Uuid = made.sso_configuration.id.parse().map_err(Refusal::fault)?;
    let inactive = json!({ "state": "SSO_CONFIGURATION_STATE_INACTIVE" });
    if let Err(refusal) = change(&visit, id, inactive).await {
        let method = format!("{SERVICE}/DeleteSSOConfiguration");
        visit
            .tell(&method, json!({ "ssoConfigurationId": id }))
            .await?;
        return Err(refusal);
    }
    Ok(id)
}

/// At Google's issuer everybody can sign in, and `hd` says who is of the Workspace.
fn google_expression(domains: &[&str]) -> String {
    let listed = domains.iter().map(|domain| json!(domain).to_string());
    let listed: Vec<String> = listed.collect();
    match listed.is_empty() {
        true => String::new(),
        false => format!("has(claims.hd) && claims.hd in [{}]", listed.join(", ")),
    }
}

/// What was tested, and how it came out.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Findings {
    findings: Vec<Finding>,
    login_url: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Finding {
    outcome: String,
    subject: String,
    text: String,
}

impl Finding {
    fn tone(&self) -> Tone {
        match &*self.outcome {
            "OUTCOME_OK" => Tone::Good,
            "OUTCOME_DOUBTFUL" => Tone::Doubtful,
            "OUTCOME_BAD" => Tone::Bad,
            _ => Tone::Plain,
        }
    }
}

fn finding_list(findings: &[Finding]) -> Markup {
    html! {
        ul .findings {
            @for finding in findings {
                li {
                    (badge(finding.tone(), match finding.tone() { Tone::Good => "OK", Tone::Bad => "Wrong", _ => "Look" }))
                    span { b { (finding.subject) } ": " (finding.text) }
                }
            }
        }
    }
}

/// Checks an issuer while somebody types.
async fn check_issuer(visit: Visit, Posted(entered): Posted<Entered>) -> Result<Content, Refusal> {
    let issuer = entered.issuer_url.trim();
    let body = match issuer.starts_with("https://") || issuer.starts_with("http://") {
        false => html! {},
        true => {
            let request = json!({ "issuerUrl": issuer });
            let method = "rollcall.v1.SignInService/CheckIssuer";
            match visit.call::<Findings>(method, request).await {
                Ok(found) => finding_list(&found.findings),
                Err(refusal) if refusal.is_about_input() => note(Tone::Bad, refusal.sentence()),
                Err(refusal) => return Err(refusal),
            }
        }
    };
    Ok(below_list(&visit, "Issuer", body))
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Attempts {
    attempts: Vec<Attempt>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Attempt {
    id: String,
    created_at: DateTime<Utc>,
    outcome: String,
    failed_check: String,
    reason: String,
    email: String,
    user_id: String,
}

/// How many tries to sign in the page of a configuration shows.
const RECENT: u32 = 10;

async fn show(
    visit: Visit,
    At { id }: At,
    Queried(query): Queried<PageQuery>,
) -> Result<Content, Refusal> {
    let sso = find(&visit, id).await?;
    let notice = match &*query.done {
        "created" => Some("Saved. Test it now: nothing changes for anybody until you activate it."),
        "saved" => Some("Saved."),
        "activated" => Some("Active: your people can sign in."),
        "deactivated" => {
            Some("Not active: nobody can sign in with it. Who is signed in with it is signed out.")
        }
        _ => None,
    };
    Ok(page(&visit, &sso, &of(&sso), None).await?.notice(notice))
}

fn of(sso: &Sso) -> Entered {
    Entered {
        provider: Provider::of_issuer(&sso.issuer_url).key().to_owned(),
        display_name: sso.display_name.clone(),
        issuer_url: sso.issuer_url.clone(),
        client_id: sso.client_id.clone(),
        client_secret: String::new(),
        email_domains: sso.email_domains.join(", "),
        additional_scopes: sso.additional_scopes.join(" "),
    }
}

/// The page of a configuration, with what is in its form.
async fn page(
    visit: &Visit,
    sso: &Sso,
    entered: &Entered,
    problem: Option<&str>,
) -> Result<Content, Refusal> {
    let request = json!({
        "filter": { "ssoConfigurationId": sso.id },
        "pagination": { "pageSize": RECENT },
    });
    let method = "rollcall.v1.SignInService/ListSignInAttempts";
    let attempts: Attempts = visit.call(method, request).await?;
    let path = sso.path(visit);
    let body = html! {
        ol .steps {
            li .good { h2 { "Registered" } p { (sso.issuer_url) } }
            li .now[!sso.is_active()] {
                h2 { "Check and test" }
                p { "The check asks the provider what it publishes, and whether it knows the client. The test sign-in sends you through the whole way, shows everything that the provider says of you, and changes nothing." }
                form method="post" action={ (path) "/check" } data-live={ (path) "/check" } data-into="checked" data-at="once" {
                    div #checked aria-live="polite" {}
                    div .actions {
                        a .button href={ (path) "/test" } { "Test sign-in" }
                        button .second { "Check again" }
                    }
                }
            }
            li .good[sso.is_active()] {
                h2 { @if sso.is_active() { "Active" } @else { "Activate" } }
                @if sso.is_active() {
                    p { "People with these addresses are sent to the provider when they sign in: " @if sso.email_domains.is_empty() { "any, by the link below" } @else { (sso.email_domains.join(", ")) } "." }
                    (copy("Link that begins to sign in", &login_url(visit, sso)))
                    form method="post" action={ (path) "/deactivate" } data-confirm="Nobody can sign in with it until you activate it again, and who is signed in with it is signed out. Deactivate?" {
                        button .danger { "Deactivate" }
                    }
                } @else {
                    p { "From then on, people can sign in with it." }
                    form method="post" action={ (path) "/activate" } { button .second { "Activate" } }
                }
            }
        }
        (recent(visit, &attempts.attempts))
        section .panel {
            h2 { "Settings" }
            @if let Some(problem) = problem { (note(Tone::Bad, problem)) }
            form method="post" action=(path) data-live=(visit.path("sso/issuer")) data-into="findings" {
                (fields(Provider::of_issuer(&sso.issuer_url), entered, false))
                div .actions { button { "Save" } }
            }
        }
        section .panel {
            h2 { "Who is let in" }
            @if sso.claims_expression.is_empty() {
                p { "Everybody whom the provider lets in. A claims expression can ask for more, such as a group." }
            } @else {
                p { "Only those for whom this is true:" }
                pre { code { (sso.claims_expression) } }
            }
            div .actions { a .button.second href={ (path) "/expression" } { "Change the expression" } }
        }
        section .panel {
            h2 { "Delete" }
            p { "Nobody can sign in with it any more, and who is signed in with it is signed out. Members stay." }
            form method="post" action={ (path) "/delete" } data-confirm={ "Delete " (sso.name()) "?" } { button .danger { "Delete" } }
        }
    };
    Ok(below_list(visit, sso.name(), body))
}

fn login_url(visit: &Visit, sso: &Sso) -> String {
    let app = &visit.console.app;
    let mut query = form_urlencoded::Serializer::new(String::new());
    query
        .append_pair("organization", &visit.organization.to_string())
        .append_pair("configuration", &sso.id);
    let path = crate::provisioning::sign_in::START_PATH;
    format!("{}{path}?{}", app.public_url, query.finish())
}

fn recent(visit: &Visit, attempts: &[Attempt]) -> Markup {
    html! {
        section {
            h2 { "Last tries to sign in" }
            @if attempts.is_empty() {
                p { "Nobody has tried yet." }
            } @else {
                table .list {
                    thead { tr { th scope="col" { "When" } th scope="col" { "Who" } th scope="col" { "What came of it" } } }
                    tbody {
                        @for attempt in attempts {
                            tr {
                                td data-label="When" { (time(attempt.created_at)) }
                                td data-label="Who" {
                                    @let who = if attempt.email.is_empty() { "unknown" } else { &attempt.email };
                                    @if attempt.user_id.is_empty() || !visit.who.administers() { (who) } @else { a href=(visit.path(&format!("people/{}", attempt.user_id))) { (who) } }
                                }
                                td {
                                    @if attempt.outcome == "SIGN_IN_OUTCOME_SIGNED_IN" {
                                        (badge(Tone::Good, "Signed in"))
                                    } @else {
                                        (badge(Tone::Bad, "Refused")) " " (attempt.failed_check)
                                    }
                                    @if !attempt.reason.is_empty() { span .soft { (attempt.reason) } }
                                    @if attempt.outcome != "SIGN_IN_OUTCOME_SIGNED_IN" { span .soft { "Reference " (attempt.id) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

async fn update(
    visit: Visit,
    At { id }: At,
    Posted(entered): Posted<Entered>,
) -> Result<Response, Refusal> {
    let mut asked = json!({
        "displayName": entered.display_name.trim(),
        "issuerUrl": entered.issuer_url.trim(),
        "clientId": entered.client_id.trim(),
        "emailDomains": words(&entered.email_domains),
        "additionalScopes": { "scopes": words(&entered.additional_scopes) },
    });
    let before = find(&visit, id).await?;
    let domains: Vec<&str> = before
        .email_domains
        .iter()
        .map(|domain| &**domain)
        .collect();
    if !before.claims_expression.is_empty()
        && before.claims_expression == google_expression(&domains)
    {
        asked["claimsExpression"] = json!(google_expression(&words(&entered.email_domains)));
    }
    if !entered.client_secret.trim().is_empty() {
        asked["clientSecret"] = json!(entered.client_secret.trim());
    }
    match change(&visit, id, asked).await {
        Ok(()) => Ok(visit.go(&format!("sso/{id}?done=saved"))),
        Err(refusal) if refusal.is_about_input() => {
            let sso = find(&visit, id).await?;
            let page = page(&visit, &sso, &entered, Some(&refusal.sentence())).await?;
            Ok(page.status(StatusCode::BAD_REQUEST).into_response())
        }
        Err(refusal) => Err(refusal),
    }
}

async fn check(visit: Visit, At { id }: At) -> Result<Content, Refusal> {
    let method = "rollcall.v1.SignInService/CheckSSOConfiguration";
    let found: Findings = visit
        .call(method, json!({ "ssoConfigurationId": id }))
        .await?;
    // Whether it is active is said beside it.
    let findings: Vec<Finding> = found
        .findings
        .into_iter()
        .filter(|finding| finding.subject != "state")
        .collect();
    let _ = found.login_url;
    Ok(below_list(
        &visit,
        "What the check found",
        finding_list(&findings),
    ))
}

/// Sends the administrator to a sign-in that changes nothing.
async fn test(visit: Visit, At { id }: At) -> Result<Response, Refusal> {
    #[derive(Deserialize)]
    struct Begun {
        url: String,
    }
    let method = "rollcall.v1.SignInService/CreateTestSignIn";
    let request = json!({
        "ssoConfigurationId": id,
        "returnTo": visit.path(&format!("sso/{id}")),
    });
    let begun: Begun = visit.call(method, request).await?;
    Ok(Redirect::to(&begun.url).into_response())
}

async fn activate(visit: Visit, At { id }: At) -> Result<Response, Refusal> {
    change(
        &visit,
        id,
        json!({ "state": "SSO_CONFIGURATION_STATE_ACTIVE" }),
    )
    .await?;
    Ok(visit.go(&format!("sso/{id}?done=activated")))
}

async fn deactivate(visit: Visit, At { id }: At) -> Result<Response, Refusal> {
    change(
        &visit,
        id,
        json!({ "state": "SSO_CONFIGURATION_STATE_INACTIVE" }),
    )
    .await?;
    Ok(visit.go(&format!("sso/{id}?done=deactivated")))
}

async fn delete(visit: Visit, At { id }: At) -> Result<Response, Refusal> {
    let method = format!("{SERVICE}/DeleteSSOConfiguration");
    visit
        .tell(&method, json!({ "ssoConfigurationId": id }))
        .await?;
    Ok(visit.go("sso?done=deleted"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_read_as_people_write_them() {
        let expected = ["example.com", "example.org"];
        for text in [
            "example.com,example.org",
            " example.com , example.org ",
            "example.com\r\nexample.org",
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
        assert!(words(" , ").is_empty());
    }

    #[test]
    fn only_the_workspace_is_let_in_at_google() {
        assert_eq!(
            google_expression(&["a.example", "b.example"]),
            r#"has(claims.hd) && claims.hd in ["a.example", "b.example"]"#
        );
        assert_eq!(google_expression(&[]), "");
    }
}
