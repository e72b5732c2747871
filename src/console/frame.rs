//! The frame of the pages: what is around the content that a handler answers with.

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName};
use http::{HeaderValue, StatusCode};
use maud::{DOCTYPE, Markup, html};

use super::TOP;
use super::assets::{SCRIPT_PATH, STYLE_PATH};
use super::client::Refusal;
use super::visit::{Visit, Who};
use crate::http::brand;

/// Everything is this server's own; no form goes elsewhere.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);

/// A part of the console, as the menu has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Whether it works.
    Overview,
    /// How people sign in.
    SingleSignOn,
    /// How people are provisioned.
    Provisioning,
    /// Whose addresses are the organization's.
    Domains,
    /// Who belongs to it.
    People,
    /// Which groups there are.
    Groups,
    /// What people sign in to.
    Applications,
    /// Who hears of changes.
    Webhooks,
    /// Who changed what.
    AuditLog,
    /// Who may set up what for a while.
    SetupLinks,
    /// Everything else.
    Settings,
    /// The organizations of the installation.
    Organizations,
}

impl Section {
    /// The menu: headings, and what is below each.
    const MENU: [(&str, &[Self]); 4] = [
        ("", &[Self::Overview]),
        (
            "Set up",
            &[
                Self::SingleSignOn,
                Self::Provisioning,
                Self::Domains,
                Self::SetupLinks,
            ],
        ),
        ("Directory", &[Self::People, Self::Groups]),
        (
            "Integrate and review",
            &[
                Self::Applications,
                Self::Webhooks,
                Self::AuditLog,
                Self::Settings,
            ],
        ),
    ];

    /// What it is called, and the path of its first page below that of the organization.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Overview => ("Overview", ""),
            Self::SingleSignOn => ("Single sign-on", "sso"),
            Self::Provisioning => ("Provisioning", "provisioning"),
            Self::Domains => ("Domains", "domains"),
            Self::People => ("People", "people"),
            Self::Groups => ("Groups", "groups"),
            Self::Applications => ("Applications", "applications"),
            Self::Webhooks => ("Webhooks", "webhooks"),
            Self::AuditLog => ("Audit log", "audit-log"),
            Self::SetupLinks => ("Set-up links", "setup-links"),
            Self::Settings => ("Settings", "settings"),
            Self::Organizations => ("Organizations", "organizations"),
        }
    }

    /// Whether somebody sees it.
    fn is_for(self, who: &Who) -> bool {
        match self {
            Self::Organizations => false,
            Self::Overview => true,
            Self::SingleSignOn => who.sets_up_sso(),
            Self::Provisioning => who.sets_up_scim(),
            Self::Domains => who.sets_up_domains(),
            _ => who.administers(),
        }
    }
}

/// What a page says, without its frame.
#[derive(Clone, Debug)]
pub struct Content {
    title: String,
    section: Option<Section>,
    trail: Vec<(String, String)>,
    body: Markup,
    status: StatusCode,
    notice: Option<&'static str>,
}

impl Content {
    /// A page of a section.
    pub fn new(section: Section, title: impl Into<String>, body: Markup) -> Self {
        Self {
            section: Some(section),
            ..Self::alone(title, body)
        }
    }

    /// A page of no section.
    pub fn alone(title: impl Into<String>, body: Markup) -> Self {
        Self {
            title: title.into(),
            section: None,
            trail: vec![],
            body,
            status: StatusCode::OK,
            notice: None,
        }
    }

    /// With another status.
    pub const fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Below another page, of which the title and the path are given.
    pub fn below(mut self, title: impl Into<String>, path: impl Into<String>) -> Self {
        self.trail.push((title.into(), path.into()));
        self
    }

    /// With what was done just now, if anything.
    pub const fn notice(mut self, notice: Option<&'static str>) -> Self {
        self.notice = notice;
        self
    }
}

impl IntoResponse for Content {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// With this header, the script asks for what a page says without its frame.
const FRAGMENT: HeaderName = HeaderName::from_static("rollcall-fragment");

/// Makes a page of what a handler answers with.
pub async fn dress(request: Request, next: Next) -> Response {
    let is_fragment = request.headers().contains_key(FRAGMENT);
    let is_look = request.method().is_safe();
    let path = match is_look {
        true => request.uri().path().to_owned(),
        false => TOP.to_owned(),
    };
    let mut response = next.run(request).await;
    let visit = response.extensions_mut().remove::<Visit>();
    let refusal = response.extensions_mut().remove::<Refusal>();
    let content = response.extensions_mut().remove::<Content>();
    let Some(content) = content
        .or_else(|| refusal.map(|refusal| explain(&refusal, &path, is_look, visit.is_some())))
    else {
        return response;
    };
    let page = match is_fragment {
        true => content.body.clone(),
        false => {
            let logo = match &visit {
                Some(visit) => logo(visit).await,
                None => None,
            };
            page(&content, visit.as_ref(), logo.as_deref())
        }
    };
    *response.body_mut() = Body::from(page.into_string());
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    response
}

/// The logo of the organization that somebody looks at, as a URL.
async fn logo(visit: &Visit) -> Option<String> {
    if visit.name.is_empty() {
        return None;
    }
    let brand = brand::of(&visit.console.app, visit.organization).await?;
    brand.logo.as_ref().map(brand::url)
}

/// The page of a refusal to show what is at `path`.
fn explain(refusal: &Refusal, path: &str, is_look: bool, is_known: bool) -> Content {
    if refusal.code == "unauthenticated" {
        return way_in(path);
    }
    let title = match &*refusal.code {
        "permission_denied" if is_look => "You may not see this",
        "permission_denied" => "Not allowed",
        "not_found" => "Nothing here",
        "unavailable" | "deadline_exceeded" => "Not available at the moment",
        "resource_exhausted" => "Too much at once",
        _ if refusal.status().is_server_error() => "Something went wrong here",
        _ => "Not done",
    };
    let body = html! {
        p { (refusal.sentence()) }
        div .actions {
            @if refusal.code == "permission_denied" && !is_known {
                a .button.second href={ (TOP) "/token" } { "Use a token" }
                form method="post" action="/logout" { button .second { "Sign out" } }
            } @else {
                a .button.second href=(TOP) { "To the console" }
            }
        }
    };
    Content::alone(title, body).status(refusal.status())
}

/// What somebody sees whom the console does not know.
fn way_in(path: &str) -> Content {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let query = query.append_pair("return_to", path).finish();
    let body = html! {
        p { "Here you set up how people sign in and how they are provisioned, and see who has access." }
        div .actions {
            a .button href={ "/login?" (query) } { "Sign in with your work account" }
            a .button.second href={ (TOP) "/token" } { "Use a token" }
        }
        p .hint { "Did somebody send you a set-up link? Open it again: it brings you straight to your pages." }
    };
    Content::alone("Console", body).status(StatusCode::UNAUTHORIZED)
}

fn page(content: &Content, visit: Option<&Visit>, logo: Option<&str>) -> Markup {
    let place = visit
        .map(|visit| &*visit.name)
        .filter(|name| !name.is_empty());
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (content.title) @if let Some(place) = place { " · " (place) } " · Rollcall" }
                link rel="icon" href="data:,";
                link rel="stylesheet" href=(*STYLE_PATH);
                script src=(*SCRIPT_PATH) defer {}
            }
            body .console {
                a .skip href="#content" { "Skip to content" }
                (bar(visit, logo))
                div .frame.has-menu[content.section.is_some() && place.is_some()] {
                    @if let (Some(visit), Some(section), Some(_)) = (visit, content.section, place) {
                        (menu(visit, section))
                    }
                    main #content {
                        @if !content.trail.is_empty() {
                            nav .trail aria-label="Where you are" {
                                ol { @for (title, path) in &content.trail { li { a href=(path) { (title) } } } }
                            }
                        }
                        h1 { (content.title) }
                        @if let Some(notice) = content.notice {
                            p .note.good role="status" { (notice) }
                        }
                        (content.body)
                    }
                }
            }
        }
    }
}

fn bar(visit: Option<&Visit>, logo: Option<&str>) -> Markup {
    html! {
        header .bar {
            a .brand href=(TOP) { "Rollcall" }
            @if let Some(visit) = visit {
                @if !visit.name.is_empty() {
                    a .place href=(visit.path("")) {
                        @if let Some(logo) = logo { img src=(logo) alt=""; }
                        (visit.name)
                    }
                }
                div .who {
                    @match &visit.who {
                        Who::Operator => {
                            span { "Operator" }
                            @if !visit.name.is_empty() { a href={ (TOP) "/organizations" } { "All organizations" } }
                            (leave())
                        }
                        Who::Link(link) => {
                            span { "Set-up link" }
                            @if !link.return_url.is_empty() { a href=(link.return_url) rel="noreferrer" { "Done: go back" } }
                            form method="post" action={ (TOP) "/leave" } { button .link { "Leave" } }
                        }
                        Who::Token => { span { "Administrator’s token" } (leave()) }
                        Who::Member => {
                            a href="/account" { "Your account" }
                            form method="post" action="/logout" { button .link { "Sign out" } }
                        }
                    }
                }
            }
        }
    }
}

fn leave() -> Markup {
    html! { form method="post" action={ (TOP) "/leave" } { button .link { "Sign out" } } }
}

fn menu(visit: &Visit, current: Section) -> Markup {
    let list = html! {
        @for (heading, sections) in Section::MENU {
            @let shown: Vec<Section> = sections.iter().copied().filter(|section| section.is_for(&visit.who)).collect();
            @if !shown.is_empty() {
                @if !heading.is_empty() { h2 { (heading) } }
                ul {
                    @for section in shown {
                        @let (name, path) = section.words();
                        li {
                            a href=(visit.path(path)) aria-current=[(section == current).then_some("page")] { (name) }
                        }
                    }
                }
            }
        }
    };
    html! {
        nav .menu aria-label="Pages" {
            details {
                summary { "Menu: " (current.words().0) }
                (list)
            }
            div .wide { (list) }
        }
    }
}
