//! Door 6: pages for administrators, operators and the customer's IT.
//!
//! The console is a client of the API, in the same process: every page asks the methods of door 1 in the name of whoever looks at
//! it, so that no rule stands here a second time, and nothing can be done here that a program cannot do.
//!
//! | path | |
//! |---|---|
//! | `GET /console` | to the pages of whoever the browser is |
//! | `GET`, `POST /console/token`, `POST /console/leave` | begins a session with a token, and ends it |
//! | `GET /console/first/{code}` | begins the session of the first administrator, once |
//! | `/console/organizations…` | the organizations of the installation, for operators |
//! | `/console/{organization}…` | one organization |
//! | `GET /setup/{token}` | opens a set-up link |
//! | `GET /console/assets/…` | the style and the script |
//!
//! A request passes [`visit::recognise`], which finds out who looks and at what, and leaves that as a [`Visit`](visit::Visit) to the handler. What
//! the handler answers with, a [`Content`](frame::Content) or a [`Refusal`](client::Refusal), [`frame::dress`] makes a page of.

mod applications;
mod assets;
mod audit_log;
mod brand;
mod client;
mod cookies;
mod domains;
mod enter;
mod form;
mod frame;
mod groups;
mod guides;
mod history;
mod names;
mod organizations;
mod overview;
mod parts;
mod people;
mod person;
mod provisioning;
mod settings;
mod setup;
mod sign_ins;
mod sso;
mod tokens;
mod visit;
mod webhooks;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, OriginalUri, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, get};

use crate::app::App;
use crate::http::page::protect;
use crate::http::session;

/// Where the pages are.
const TOP: &str = "/console";

/// The largest form, in bytes.
const MAX_BODY: usize = 256 * 1024;

/// What every page is handed.
pub struct Console {
    /// The parts that doors work with.
    pub app: Arc<App>,
    /// Door 1, which every page asks.
    pub api: Router,
}

/// All routes of this door, which asks `api`.
pub fn router(app: &Arc<App>, api: Router) -> Router {
    let console = Arc::new(Console {
        app: app.clone(),
        api,
    });
    let organization = Router::new()
        .merge(overview::routes())
        .merge(sso::routes())
        .merge(provisioning::routes())
        .merge(domains::routes())
        .merge(setup::routes())
        .merge(people::routes())
        .merge(person::routes())
        .merge(groups::routes())
        .merge(audit_log::routes())
        .merge(applications::routes())
        .merge(settings::routes())
        .merge(brand::routes())
        .merge(sign_ins::routes())
        .merge(tokens::routes())
        .merge(webhooks::routes());
    let pages = Router::new()
        .nest("/{organization}", organization)
        .route("/{organization}/{*rest}", any(nothing_here))
        .method_not_allowed_fallback(nothing_here)
        .merge(organizations::routes())
        .merge(brand::of_installation())
        .layer(from_fn_with_state(console.clone(), visit::recognise));
    let entrance = enter::routes(&console);
    Router::new()
        .nest(TOP, pages.merge(entrance))
        .route(&format!("{TOP}/"), get(without_slash))
        .route(&format!("{TOP}/{{organization}}/"), get(without_slash))
        .merge(setup::entrance())
        .layer(from_fn(frame::dress))
        .layer(from_fn_with_state(console.clone(), from_here))
        .layer(map_response(protect))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(console)
        .merge(assets::routes())
}

/// Sends the browser to the page whose address it has with a slash too many.
async fn without_slash(OriginalUri(address): OriginalUri) -> Redirect {
    Redirect::to(address.path().trim_end_matches('/'))
}

async fn nothing_here() -> client::Refusal {
    client::Refusal::nothing_here()
}

/// Lets forms pass that a page of ours sent.
async fn from_here(State(console): State<Arc<Console>>, request: Request, next: Next) -> Response {
    match session::check_same_origin(&console.app, request.method(), request.headers()) {
        Err(_) if !request.method().is_safe() => client::Refusal::other_site().into_response(),
        _ => next.run(request).await,
    }
}
