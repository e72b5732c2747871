//! The way in: to the pages of whoever the browser is, with a token, and by the link of the first start.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use http::{HeaderMap, Method, StatusCode};
use maud::html;
use serde::Deserialize;

use super::client::Refusal;
use super::form::Posted;
use super::frame::Content;
use super::visit::of_token;
use super::{Console, TOP, cookies};
use crate::app::App;
use crate::domain::token::Token;
use crate::error::Error;
use crate::http::{caller, session};

/// The routes.
pub fn routes(_: &Arc<Console>) -> Router<Arc<Console>> {
    Router::new()
        .route("/", get(home))
        .route("/token", get(show_form).post(begin))
        .route("/leave", post(leave))
        .route("/first/{code}", get(first))
}

/// Sends the browser to the first page that something in it opens: an operator to the list of organizations, everybody else to
/// an organization.
async fn home(State(console): State<Arc<Console>>, headers: HeaderMap) -> Response {
    match home_of(&console.app, &headers).await {
        Ok(path) => Redirect::to(&path).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

async fn home_of(app: &App, headers: &HeaderMap) -> Result<String, Refusal> {
    let session = match session::find(app, headers).await {
        Ok(session) => Some(session.caller),
        Err(Error::Unauthenticated) => None,
        Err(error) => return Err(error.into()),
    };
    if let Some(caller) = session.filter(|caller| caller.powers.administers) {
        return Ok(format!("{TOP}/{}", caller.organization_id));
    }
    let token = cookies::token(app, headers);
    let refused = match token {
        None => Refusal::from(Error::Unauthenticated),
        Some(token) => match place(app, &token).await {
            Ok(path) => return Ok(path),
            Err(refusal) => refusal,
        },
    };
    let link = cookies::link(app, headers).and_then(|token| token.organization());
    match (link, session) {
        (Some(id), _) => Ok(format!("{TOP}/{id}")),
        (None, Some(caller)) => Ok(format!("{TOP}/{}", caller.organization_id)),
        (None, None) => Err(refused),
    }
}

/// The first page of whoever has a token.
async fn place(app: &App, token: &Token) -> Result<String, Refusal> {
    let headers = of_token(token, None).ok_or_else(|| Refusal::from(Error::Unauthenticated))?;
    let found = caller::find(app, &Method::GET, &headers, None).await?;
    match found.caller {
        None => Ok(format!("{TOP}/organizations")),
        Some(caller) if caller.powers.administers => {
            Ok(format!("{TOP}/{}", caller.organization_id))
        }
        Some(_) => Err(Refusal::new(
            "permission_denied",
            "This token is no administrator's. Use one with the role admin, or an operator’s.",
        )),
    }
}

async fn show_form() -> Content {
    form(None)
}

fn form(problem: Option<&str>) -> Content {
    let body = html! {
        p { "Enter the token of an operator, to see every organization, or the token of an administrator. You stay signed in for 12 hours, in this browser alone." }
        form method="post" action={ (TOP) "/token" } {
            div .field {
                label for="token" { "Token" }
                input #token name="token" type="password" required autofocus autocomplete="off" spellcheck="false" maxlength="512"
                    aria-invalid=[problem.map(|_| "true")] aria-describedby=[problem.map(|_| "problem")];
                @if let Some(problem) = problem {
                    p #problem .problem role="alert" { (problem) }
                }
            }
            div .actions { button { "Continue" } }
        }
        p .hint { "An operator’s token is made with " code { "rollcall token create --operator" } ", where the server has a PostgreSQL." }
    };
    Content::alone("Continue with a token", body)
}

#[derive(Deserialize)]
struct Entered {
    token: String,
}

/// Begins a session with a token.
async fn begin(
    State(console): State<Arc<Console>>,
    Posted(Entered { token }): Posted<Entered>,
) -> Result<Response, Refusal> {
    let Some(token) = Token::parse_any(&cookies::KINDS, token.trim()) else {
        return Ok(wrong(
            "This is no operator’s or administrator’s token, or it is incomplete. Copy it again, from its first letter to its last.",
        ));
    };
    enter(&console.app, &token).await
}

async fn enter(app: &App, token: &Token) -> Result<Response, Refusal> {
    match place(app, token).await {
        Ok(path) => {
            let mut response = Redirect::to(&path).into_response();
            cookies::keep(app, response.headers_mut(), token)?;
            Ok(response)
        }
        Err(refusal) if refusal.code == "unauthenticated" => Ok(wrong(
            "This token is not valid: it has expired, was revoked, or is another server’s.",
        )),
        Err(refusal) => Err(refusal),
    }
}

fn wrong(problem: &str) -> Response {
    form(Some(problem))
        .status(StatusCode::BAD_REQUEST)
        .into_response()
}

/// Begins the session of the first administrator, once.
async fn first(
    State(console): State<Arc<Console>>,
    method: Method,
    Path(code): Path<String>,
) -> Result<Response, Refusal> {
    // Programs that look at links before a person opens them do not use them up.
    if method != Method::GET {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let first = console.app.first.as_ref();
    match first.and_then(|first| first.take(&code)) {
        Some(token) => enter(&console.app, &token).await,
        None => Err(Refusal::new(
            "not_found",
            "This link was used already, or the server was started again since. Start the server again: it prints a new one.",
        )),
    }
}

/// Ends the session that began with a token, and takes the set-up link from the browser.
async fn leave(State(console): State<Arc<Console>>, headers: HeaderMap) -> Response {
    let mut response = Redirect::to(TOP).into_response();
    session::leave_console(&console.app, &headers, response.headers_mut());
    response
}
