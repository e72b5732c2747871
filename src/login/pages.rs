//! The pages of signing in.

use chrono::{DateTime, Utc};
use http::StatusCode;
use maud::{Markup, html};

use crate::domain::ids::{LoginId, SessionId};
pub use crate::http::page::Page;
use crate::store::members::Member;
use crate::store::sessions::Listed;
use crate::store::sso::Choice;

/// What a person who is kept out can do about it.
#[derive(Clone, Copy, Debug)]
pub enum Why {
    /// Begin anew.
    Again,
    /// Wait.
    Provider,
    /// The provider said no.
    Denied,
    /// Ask somebody.
    Administrator,
    /// Have the client secret entered again.
    ClientSecret,
}

/// The person who is signed in.
pub struct Account {
    /// The person as a member.
    pub member: Member,
    /// The organization's name.
    pub organization: String,
    /// The person's sessions.
    pub sessions: Vec<Listed>,
    /// The one that the browser has.
    pub current: SessionId,
    /// Whether the person administers the organization.
    pub administers: bool,
}

fn again(return_to: &str) -> String {
    if return_to.is_empty() {
        return "/login".to_owned();
    }
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("return_to", return_to);
    format!("/login?{}", query.finish())
}

fn address_form(email: &str, return_to: &str, error: Option<&str>) -> Markup {
    html! {
        form method="post" action="/login" {
            label for="email" { "Work e-mail address" }
            input #email name="email" type="email" value=(email) required autofocus autocomplete="username" inputmode="email"
                maxlength="254" spellcheck="false" placeholder="you@company.com"
                aria-invalid=[error.map(|_| "true")] aria-describedby=[error.map(|_| "problem")];
            @if let Some(error) = error {
                p #problem .problem role="alert" { (error) }
            }
            @if !return_to.is_empty() {
                input type="hidden" name="return_to" value=(return_to);
            }
            button { "Continue" }
        }
    }
}

impl Page {
    /// Asks for an address.
    pub fn ask(return_to: &str) -> Self {
        let body = html! {
            h1 { "Sign in" }
            p { "Enter your work e-mail address. You sign in with your organization’s own account." }
            (address_form("", return_to, None))
        };
        Self::new(StatusCode::OK, "Sign in", body)
    }

    /// No way to sign in with an address.
    pub fn unknown_domain(email: &str, return_to: &str) -> Self {
        let error = "No organization signs in with addresses of this domain. Check the address, or ask your administrator for the link to sign in.";
        let body = html! {
            h1 { "Sign in" }
            (address_form(email, return_to, Some(error)))
        };
        Self::new(StatusCode::OK, "Sign in", body)
    }

    /// An organization that nobody can sign in to.
    pub fn no_way() -> Self {
        let body = html! {
            h1 { "Nobody can sign in here yet" }
            p { "The organization of this application has no active way to sign in. Ask its administrator to set up single sign-on." }
        };
        Self::new(StatusCode::NOT_FOUND, "No way to sign in", body)
    }

    /// Several ways to sign in with an address.
    pub fn choose(email: &str, return_to: &str, choices: &[(&Choice, String)]) -> Self {
        let body = html! {
            h1 { "Choose how to sign in" }
            @if email.is_empty() {
                p { "You can sign in with:" }
            } @else {
                p { "As " strong { (email) } " you can sign in with:" }
            }
            ul .choices {
                @for (choice, url) in choices {
                    li {
                        a href=(url) {
                            span .name { (choice.configuration.display_name()) }
                            span .organization { (choice.organization) }
                        }
                    }
                }
            }
            p .aside { a href=(again(return_to)) { "Use another address" } }
        };
        Self::new(StatusCode::OK, "Choose how to sign in", body)
    }

    /// Who is signed in, and where.
    pub fn account(account: &Account) -> Self {
        let member = &account.member;
        let body = html! {
            h1 { "You are signed in" }
            dl {
                dt { "Name" } dd { (member.name) }
                dt { "E-mail" } dd { (member.email) }
                dt { "Organization" } dd { (account.organization) }
            }
            @if account.administers {
                p .aside { a href="/console" { "Open the console" } " to look after the organization." }
            }
            form method="post" action="/logout" {
                button { "Sign out" }
            }
            h2 { "Your sessions" }
            ul .sessions {
                @for session in &account.sessions {
                    @let is_current = session.id == account.current.as_uuid();
                    @let which = if is_current { " (this one)" } else { "" };
                    li {
                        div {
                            span .name {
                                (browser(&session.user_agent)) (which)
                            }
                            span .organization {
                                "since " (moment(session.created_at)) ", last used " (moment(session.last_used_at)) " UTC"
                            }
                        }
                        form method="post" action="/account/end-session" {
                            input type="hidden" name="id" value=(session.id);
                            button .quiet aria-label={
                                "End the session of " (browser(&session.user_agent)) (which) ", since " (session.created_at.format("%Y-%m-%d %H:%M"))
                            } { "End" }
                        }
                    }
                }
            }
        };
        Self::new(StatusCode::OK, "Your account", body)
    }

    /// The session is over.
    pub fn signed_out() -> Self {
        let body = html! {
            h1 { "You are signed out" }
            p { "You may still be signed in with your organization’s provider." }
            p { a .button href="/login" { "Sign in again" } }
        };
        Self::new(StatusCode::OK, "Signed out", body)
    }

    /// Somebody is kept out.
    pub fn refused(why: Why, reference: Option<LoginId>, return_to: &str) -> Self {
        let (status, text) = match why {
            Why::Again => (
                StatusCode::BAD_REQUEST,
                "This sign-in took too long, was used already, or was begun in another browser. Please begin again.",
            ),
            Why::Provider => (
                StatusCode::BAD_GATEWAY,
                "Your organization’s provider does not answer as it should. Try again in a minute. If it stays like this, tell your administrator.",
            ),
            Why::Denied => (
                StatusCode::FORBIDDEN,
                "Your organization’s provider did not let you in, or you cancelled. Try again, or ask your administrator for access.",
            ),
            Why::Administrator => (
                StatusCode::FORBIDDEN,
                "You are known to your organization’s provider, but may not sign in here. Your administrator can see why with the reference below.",
            ),
            Why::ClientSecret => (
                StatusCode::FORBIDDEN,
                "Nobody can sign in with this provider at the moment. An administrator of your organization has to enter the client secret again: tell yours, with the reference below.",
            ),
        };
        let body = html! {
            h1 { "You could not be signed in" }
            p { (text) }
            @if let Some(reference) = reference {
                p { "Reference: " code { (reference) } }
            }
            p { a .button href=(again(return_to)) { "Begin again" } }
        };
        Self::new(status, "Not signed in", body)
    }

    /// A link that does not work, or not any more.
    pub fn bad_link() -> Self {
        let body = html! {
            h1 { "This link does not work" }
            p { "It is incomplete, or the way to sign in that it names is gone or switched off." }
            p { a .button href="/login" { "Sign in" } }
        };
        Self::new(StatusCode::NOT_FOUND, "Link does not work", body)
    }

    /// A link to a test sign-in that does not work, or not any more.
    pub fn bad_ticket() -> Self {
        let body = html! {
            h1 { "This link does not work any more" }
            p { "It begins a test sign-in, and works for ten minutes, for the configuration that it was made for. Begin the test again where you set up single sign-on." }
        };
        Self::new(StatusCode::NOT_FOUND, "Link does not work", body)
    }

    /// A form that is not as this server's pages send it.
    pub fn bad_form() -> Self {
        let body = html! {
            h1 { "Not done" }
            p { "The form came incomplete. Go back, and send it again." }
            p { a .button href="/login" { "Sign in" } }
        };
        Self::new(StatusCode::BAD_REQUEST, "Not done", body)
    }

    /// A login that shall return to where it may not.
    pub fn bad_return() -> Self {
        let body = html! {
            h1 { "This link does not work" }
            p { "It would send you to a place that is not known here after signing in. If you came from an application of your organization, tell its administrator to list its origin in ROLLCALL_RETURN_ORIGINS." }
            p { a .button href="/login" { "Sign in" } }
        };
        Self::new(StatusCode::BAD_REQUEST, "Link does not work", body)
    }

    /// A form that another site sent.
    pub fn other_site() -> Self {
        let body = html! {
            h1 { "Not done" }
            p { "The request did not come from a page of this server." }
            p { a .button href="/account" { "Go to your account" } }
        };
        Self::new(StatusCode::FORBIDDEN, "Not done", body)
    }

    /// A fault of the server.
    pub fn fault() -> Self {
        let body = html! {
            h1 { "Something went wrong here" }
            p { "It is not your doing. Try again in a minute." }
        };
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Something went wrong",
            body,
        )
        .plain()
    }
}

/// A time in one piece, to the minute.
fn moment(time: DateTime<Utc>) -> Markup {
    html! {
        time datetime=(time.to_rfc3339()) { (time.format("%Y-%m-%d %H:%M")) }
    }
}

/// The name of a browser, as far as it can be told.
fn browser(user_agent: &str) -> String {
    let first = |names: &[(&str, &'static str)]| {
        names
            .iter()
            .find(|(mark, _)| user_agent.contains(mark))
            .map(|(_, name)| *name)
    };
    let program = first(&[
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
    ]);
    let system = first(&[
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS", "macOS"),
        ("CrOS", "ChromeOS"),
        ("Linux", "Linux"),
    ]);
    match (program, system) {
        (Some(program), Some(system)) => format!("{program} on {system}"),
        (Some(name), None) | (None, Some(name)) => name.to_owned(),
        (None, None) => "Unknown browser".to_owned(),
    }
}
