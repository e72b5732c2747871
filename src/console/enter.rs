//! The way in: to the pages of whoever the browser is, with a token, and by the link of the first start.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, OriginalUri, Path, Request, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderMap, Method, StatusCode};
use maud::html;
use serde::{Deserialize, Serialize};

use super::client::Refusal;
use super::frame::Content;
use super::visit::of_token;
use super::{Console, TOP};
use crate::app::App;
use crate::domain::token::{Token, TokenKind};
use crate::error::Error;
use crate::http::{caller, session};

/// The cookie of a session that began with a token. It has the token, sealed: what ends the token ends the session.
const COOKIE_NAME: &str = "rollcall-console";

/// How long such a session lasts.
const LIFETIME: TimeDelta = TimeDelta::hours(12);

/// What tokens begin a session. Those of people do not: they sign in.
const KINDS: [TokenKind; 3] = [
    TokenKind::Operator,
    TokenKind::Api,
    TokenKind::ServiceAccount,
];

/// What the session's cookie is sealed for.
const CONTEXT: &[u8] = b"console\0";

/// The routes.
pub fn routes(_: &Arc<Console>) -> Router<Arc<Console>> {
    Router::new()
        .route("/", get(home))
        .route("/token", get(show_form).post(begin))
        .route("/leave", post(leave))
        .route("/first/{code}", get(first))
}

#[derive(Serialize, Deserialize)]
struct Kept {
    token: String,
    ends_at: DateTime<Utc>,
}

/// The token that the browser's session began with.
pub fn token(app: &App, headers: &HeaderMap) -> Option<Token> {
    let name = session::cookie_name(app, COOKIE_NAME);
    let sealed = URL_SAFE_NO_PAD
        .decode(session::cookie(headers, &name)?)
        .ok()?;
    let plain = app.keys.open(&sealed, CONTEXT)?;
    let kept: Kept = serde_json::from_slice(&plain).ok()?;
    let is_live = app.clock.now() < kept.ends_at;
    is_live.then(|| Token::parse_any(&KINDS, &kept.token))?
}

fn keep(app: &App, headers: &mut HeaderMap, token: &Token) -> Result<(), Refusal> {
    let kept = Kept {
        token: token.expose().to_owned(),
        ends_at: app.clock.now() + LIFETIME,
    };
    let plain = serde_json::to_vec(&kept).map_err(Refusal::fault)?;
    let sealed = app.keys.seal(&plain, CONTEXT, &app.random)?;
    let value = URL_SAFE_NO_PAD.encode(sealed);
    session::set_cookie(app, headers, COOKIE_NAME, &value, LIFETIME.num_seconds());
    Ok(())
}

/// Sends the browser to where it may look: an operator to the list of organizations, an administrator to the organization.
async fn home(State(console): State<Arc<Console>>, headers: HeaderMap) -> Response {
    let app = &console.app;
    if let Some(token) = token(app, &headers) {
        match place(app, &token).await {
            Ok(path) => return Redirect::to(&path).into_response(),
            Err(refusal) if refusal.code != "unauthenticated" => return refusal.into_response(),
            Err(_) => {}
        }
    }
    match session::find(app, &headers).await {
        Ok(session) => {
            let id = session.caller.organization_id;
            Redirect::to(&format!("{TOP}/{id}")).into_response()
        }
        Err(Error::Unauthenticated) => way_in(TOP).into_response(),
        Err(error) => Refusal::from(error).into_response(),
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

/// What somebody sees whom the console does not know, who wants to go on to the page of the request.
pub fn ask(request: &Request) -> Response {
    let path = match *request.method() {
        // The routes below see the path without what they are nested at.
        Method::GET => match request.extensions().get::<OriginalUri>() {
            Some(OriginalUri(uri)) => uri.path(),
            None => request.uri().path(),
        },
        _ => TOP,
    };
    way_in(path).into_response()
}

fn way_in(path: &str) -> Content {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let query = query.append_pair("return_to", path).finish();
    let body = html! {
        p { "Here you set up how people sign in and how they are provisioned, and see who has access." }
        div .actions {
            a .button href={ "/login?" (query) } { "Sign in with your work account" }
            a .button.second href={ (TOP) "/token" } { "Use a token" }
        }
        p .hint { "Did your software vendor send you a set-up link? Open it again: it brings you straight to your pages." }
    };
    Content::alone("Console", body).status(StatusCode::UNAUTHORIZED)
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
        p .hint { "An operator’s token is made with " code { "rollcall token create --operator" } "." }
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
    form: Result<Form<Entered>, FormRejection>,
) -> Result<Response, Refusal> {
    let Ok(Form(Entered { token })) = form else {
        return Err(Refusal::bad_form());
    };
    let Some(token) = Token::parse_any(&KINDS, token.trim()) else {
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
            keep(app, response.headers_mut(), token)?;
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
    Path(code): Path<String>,
) -> Result<Response, Refusal> {
    let first = console.app.first.as_ref();
    match first.and_then(|first| first.take(&code)) {
        Some(token) => enter(&console.app, &token).await,
        None => Err(Refusal::new(
            "not_found",
            "This link was used already, or the server was started again since. Start the server again: it prints a new one.",
        )),
    }
}

/// Ends the session that began with a token, and that of the person.
async fn leave(State(console): State<Arc<Console>>) -> Response {
    let mut response = Redirect::to(TOP).into_response();
    session::set_cookie(&console.app, response.headers_mut(), COOKIE_NAME, "", 0);
    response
}
