//! The pages that applications bring people to.

use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, StatusCode, header};
use maud::{Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use super::parameters::Parameters;
use crate::domain::application::{Scope, Scopes};
use crate::http::page::Page;
use crate::store::sessions::SignedIn;

/// Where the forms of these pages go.
pub const DECIDE_PATH: &str = "/oauth2/authorize/decide";
/// Where the person agrees to sign out.
pub const LOGOUT_CONFIRM_PATH: &str = "/oauth2/logout/confirm";

/// Sends the form that an answer travels in.
const SUBMIT: &str = "document.forms[0].submit()";

/// An application that is not known.
pub fn unknown_application() -> Page {
    let body = html! {
        h1 { "This application is not known here" }
        p { "The link that brought you here names an application that was removed, or that never was. Nothing was sent to it." }
        p { "If you came from an application of your organization, tell its administrator that its client_id is not known to Rollcall." }
    };
    Page::new(StatusCode::BAD_REQUEST, "Unknown application", body)
}

/// A place that an application has not registered.
pub fn unknown_redirect(name: &str) -> Page {
    let body = html! {
        h1 { "You would not come back to " (name) }
        p { "The link that brought you here would send you to a place that " strong { (name) } " has not registered. Nothing was sent there." }
        p { "If you came from " (name) ", tell its administrator: the redirect_uri of the request must be one of the application’s redirect URIs, to the letter." }
    };
    Page::new(StatusCode::BAD_REQUEST, "Unknown place", body)
}

/// A request that was pushed and is over.
pub fn pushed_request_is_over() -> Page {
    let body = html! {
        h1 { "This sign-in is over" }
        p { "It took too long, or was used already. Go back to the application, and begin again." }
    };
    Page::new(StatusCode::BAD_REQUEST, "Begin again", body)
}

/// A request that is malformed, before it is known where to say so.
pub fn bad_request(why: &str) -> Page {
    let body = html! {
        h1 { "This link does not work" }
        p { "The application that sent you here made a mistake: " (why) "." }
        p { "Tell its administrator." }
    };
    Page::new(StatusCode::BAD_REQUEST, "Link does not work", body)
}

/// A form that another site sent.
pub fn other_site() -> Page {
    let body = html! {
        h1 { "Not done" }
        p { "The request did not come from a page of this server. Go back to the application, and begin again." }
    };
    Page::new(StatusCode::FORBIDDEN, "Not done", body)
}

/// A fault of the server.
pub fn fault() -> Page {
    let body = html! {
        h1 { "Something went wrong here" }
        p { "It is not your doing. Try again in a minute." }
    };
    Page::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "Something went wrong",
        body,
    )
    .plain()
}

/// Somebody who may not use an application; `back` tells the application so.
pub fn not_for_you(name: &str, session: &SignedIn, back: &str) -> Page {
    let body = html! {
        h1 { "You may not use " (name) }
        p { "You are signed in as " strong { (person(session)) } " of " strong { (session.organization) } ". Your organization lets only members of certain groups use " (name) "." }
        p { "Ask your administrator to add you to one of them." }
        p { a .button href=(back) { "Back to " (name) } }
    };
    Page::new(StatusCode::FORBIDDEN, "No access", body).of(session.organization_id)
}

fn person(session: &SignedIn) -> &str {
    match &*session.email {
        "" => &session.name,
        email => email,
    }
}

fn decision(parameters: &Parameters, session: &SignedIn, decision: &str) -> Markup {
    html! {
        input type="hidden" name="request" value=(parameters.query());
        input type="hidden" name="session" value=(session.id);
        input type="hidden" name="decision" value=(decision);
    }
}

/// The sessions of this browser, of which one is chosen. `another` begins to sign in anew.
pub fn choose_account(
    name: &str,
    parameters: &Parameters,
    sessions: &[&SignedIn],
    another: &str,
) -> Page {
    let body = html! {
        h1 { "Choose an account" }
        p { "to go on to " strong { (name) } }
        ul .choices {
            @for session in sessions {
                li {
                    form method="post" action=(DECIDE_PATH) {
                        (decision(parameters, session, "choose"))
                        button .choice {
                            span .name { (person(session)) }
                            span .organization { (session.organization) }
                        }
                    }
                }
            }
        }
        p .aside { a href=(another) { "Use another account" } }
    };
    Page::new(StatusCode::OK, "Choose an account", body)
}

/// What a scope lets an application do, in the person's words.
const fn meaning(scope: Scope) -> &'static str {
    match scope {
        Scope::OpenId => "know that it is you",
        Scope::Profile => "see your name and picture",
        Scope::Email => "see your e-mail address",
        Scope::Groups => "see the groups that you are in",
        Scope::Organization => "see your organization’s name and your roles in it",
        Scope::OfflineAccess => "keep this access while you are away",
        Scope::Api => "act as you in Rollcall",
    }
}

/// Asks whether an application may have what it asks for.
pub fn consent(name: &str, scopes: &Scopes, parameters: &Parameters, session: &SignedIn) -> Page {
    let body = html! {
        h1 { "Let " (name) " know you?" }
        p { "You are signed in as " strong { (person(session)) } " of " strong { (session.organization) } ". If you agree, " (name) " can:" }
        ul .scopes {
            @for scope in scopes.iter() {
                li { (meaning(scope)) }
            }
        }
        div .decision {
            form method="post" action=(DECIDE_PATH) {
                (decision(parameters, session, "allow"))
                button { "Allow" }
            }
            form method="post" action=(DECIDE_PATH) {
                (decision(parameters, session, "deny"))
                button .quiet { "Cancel" }
            }
        }
    };
    Page::new(StatusCode::OK, "Allow access", body).of(session.organization_id)
}

/// An answer that travels in a form, which the browser sends by itself; without scripts, the person does.
pub fn form_post(uri: &str, fields: &[(&str, &str)]) -> Response {
    let body = html! {
        h1 { "One moment" }
        p { "You go on to the application." }
        form method="post" action=(uri) {
            @for (name, value) in fields {
                input type="hidden" name=(name) value=(value);
            }
            noscript { button { "Go on" } }
        }
        script { (PreEscaped(SUBMIT)) }
    };
    let mut response = Page::new(StatusCode::OK, "One moment", body)
        .plain()
        .into_response();
    let script = STANDARD.encode(Sha256::digest(SUBMIT));
    let style = crate::http::page::style_source();
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{script}'; style-src {style}; img-src data:; base-uri 'none'; frame-ancestors 'none'"
    );
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        response
            .headers_mut()
            .insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// Asks whether the person wants to sign out: nothing proves that an application asks.
pub fn confirm_logout(parameters: &Parameters, sessions: &[SignedIn]) -> Page {
    let body = html! {
        h1 { "Sign out?" }
        @for session in sessions {
            p { "You are signed in as " strong { (person(session)) } " of " strong { (session.organization) } "." }
        }
        p { "This also signs you out of every application that you entered through Rollcall." }
        form method="post" action=(LOGOUT_CONFIRM_PATH) {
            input type="hidden" name="request" value=(parameters.query());
            button { "Sign out" }
        }
        p .aside { a href="/account" { "Stay signed in" } }
    };
    let page = Page::new(StatusCode::OK, "Sign out", body);
    match sessions {
        [only] => page.of(only.organization_id),
        _ => page,
    }
}

/// A request to sign out that is not in order. Nothing was ended.
pub fn bad_logout(why: &str) -> Page {
    let body = html! {
        h1 { "You were not signed out" }
        p { "The application that sent you here made a mistake: " (why) "." }
        p { a .button href="/account" { "Go to your account to sign out" } }
    };
    Page::new(StatusCode::BAD_REQUEST, "Not signed out", body)
}
