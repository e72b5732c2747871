//! Door 3: people sign in, in their browser, with OpenID Connect (OpenID Connect Core 1.0, section
//! 3.1: the code flow), and see and end their sessions.
//!
//! | path | |
//! |---|---|
//! | `GET /login`, `POST /login` | asks for an address and offers the ways to sign in with it |
//! | `GET /auth/oidc/start` | sends the browser to a provider |
//! | `GET /auth/oidc/callback` | where the provider sends it back to |
//! | `GET /auth/oidc/keys/{organization}/{id}` | the public key of a configuration, for a provider that takes no secret |
//! | `GET /account` | who is signed in, and where |
//! | `POST /account/end-session` | ends one session of the person |
//! | `POST /logout` | ends the session of the browser |

mod account;
mod begun;
mod callback;
mod claims;
mod client_keys;
mod pages;
mod report;
mod start;
mod stop;

use std::error::Error as _;
use std::sync::Arc;

use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use http::header::{self, HeaderMap, HeaderValue};
use http::{StatusCode, Uri};
use serde::Deserialize;
use uuid::Uuid;

use self::pages::Page;
use crate::app::App;
use crate::domain::ids::OrganizationId;
use crate::error::Error;
use crate::http::page::{dress, protect};
use crate::http::session;
use crate::oidc::{CALLBACK_PATH, CLIENT_KEYS_PATH};
use crate::provisioning::sign_in::{self, START_PATH};
use crate::store;

/// How many ways to sign in the page shows.
const MAX_CHOICES: u32 = 50;

/// All routes of this door.
pub fn router(app: &Arc<App>) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/login", get(ask).post(offer))
        .route("/login/", get(async || redirect("/login")))
        .route(START_PATH, get(start::start))
        .route(CALLBACK_PATH, get(callback::callback))
        .route(
            &format!("{CLIENT_KEYS_PATH}/{{organization}}/{{id}}"),
            get(client_keys::client_keys),
        )
        .route("/account", get(account::show))
        .route("/account/end-session", post(account::end_session))
        .route("/logout", post(account::sign_out))
        .route("/signed-out", get(account::signed_out))
        .layer(middleware::map_response_with_state(app.clone(), dress))
        .layer(middleware::map_response(protect))
        .with_state(app.clone())
}

async fn home() -> Response {
    redirect("/account")
}

/// What a person who signs in tells.
#[derive(Debug, Default, Deserialize)]
struct Ask {
    #[serde(default)]
    email: String,
    #[serde(default)]
    return_to: String,
    /// The only organization whose ways are offered; they are then offered without an address, too.
    organization: Option<Uuid>,
}

async fn ask(State(app): State<Arc<App>>, ask: Result<Query<Ask>, QueryRejection>) -> Response {
    match ask {
        Ok(Query(ask)) if ask.email.trim().is_empty() && ask.organization.is_none() => {
            if sign_in::check_return_to(&app, &ask.return_to).is_err() {
                return Page::bad_return().into_response();
            }
            Page::ask(&ask.return_to).into_response()
        }
        Ok(Query(ask)) => show_choices(&app, &ask).await,
        Err(_) => Page::bad_link().into_response(),
    }
}

async fn offer(State(app): State<Arc<App>>, ask: Result<Form<Ask>, FormRejection>) -> Response {
    match ask {
        Ok(Form(ask)) => show_choices(&app, &ask).await,
        Err(_) => Page::bad_form().into_response(),
    }
}

async fn show_choices(app: &App, ask: &Ask) -> Response {
    if sign_in::check_return_to(app, &ask.return_to).is_err() {
        return Page::bad_return().into_response();
    }
    let email = ask.email.trim();
    let first = store::Page::first(MAX_CHOICES);
    let offered = match ask.organization {
        Some(id) => sign_in::choices_of(app, id.into(), first).await,
        None => sign_in::choices(app, email, first).await,
    };
    let choices = match offered {
        Ok(choices) => choices.items,
        Err(error) => return failed(error),
    };
    let organization = ask.organization.map(Into::into);
    let organization = organization.or_else(|| only_organization(&choices));
    let of = |page: Page| match organization {
        Some(id) => page.of(id),
        None => page,
    };
    let url = |choice: &store::sso::Choice| {
        sign_in::start_url(app, &choice.configuration, email, &ask.return_to)
    };
    match &*choices {
        [] if ask.organization.is_some() => of(Page::no_way()).into_response(),
        [] => Page::unknown_domain(email, &ask.return_to).into_response(),
        [only] => redirect(&url(only)),
        several => {
            let choices: Vec<_> = several.iter().map(|choice| (choice, url(choice))).collect();
            of(Page::choose(email, &ask.return_to, &choices)).into_response()
        }
    }
}

/// The organization of all these ways to sign in, if they are of one.
fn only_organization(choices: &[store::sso::Choice]) -> Option<OrganizationId> {
    let mut all = choices
        .iter()
        .map(|choice| choice.configuration.organization_id);
    let first = all.next()?;
    all.all(|id| id == first).then_some(first)
}

/// Sends the browser on with GET.
fn redirect(url: &str) -> Response {
    // An address may hold characters that a header may not.
    let location = url
        .parse::<Uri>()
        .ok()
        .and_then(|_| HeaderValue::from_str(url).ok());
    match location {
        Some(location) => (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response(),
        None => Page::bad_return().into_response(),
    }
}

/// The page for what is not the person's doing.
fn failed(error: Error) -> Response {
    let retry_after = error.retry_after();
    // What another door tells its client is something that nobody expects here.
    let fault = match error.source() {
        Some(_) => error,
        None => Error::internal(error),
    };
    fault.report();
    let mut response = Page::fault().into_response();
    if let Some(seconds) = retry_after {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The session of a request, or the way to get one.
async fn signed_in(app: &App, headers: &HeaderMap) -> Result<session::Session, Response> {
    session::find(app, headers)
        .await
        .map_err(|error| match error {
            Error::Unauthenticated => redirect("/login"),
            error => failed(error),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_for_what_passes_says_when_to_come_back() {
        let passing = failed(Error::Unavailable("the database is gone".into()));
        assert_eq!(passing.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(passing.headers()[header::RETRY_AFTER], "1");
        let lasting = failed(Error::internal("a fault"));
        assert_eq!(lasting.headers().get(header::RETRY_AFTER), None);
    }
}
