//! Every door of the server, and what surrounds each request whichever door it takes: the path in its one
//! form, the request's id, its line in the log, the time for its body.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use http::Method;
use tower::util::MapRequest;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::trace::{DefaultOnFailure, TraceLayer};
use tracing::{Level, Span};

use crate::app::App;
use crate::http::observe::{Told, observed};
use crate::http::request_id::{RequestId, identify};
use crate::http::{body, path, probes};
use crate::metrics::Door;
use crate::store::Share;
use crate::{api, console, login, provider, scim, signals};

/// Everything that the server answers.
///
/// # Errors
///
/// When a door cannot be built: a fault of the build.
pub fn router(app: &Arc<App>) -> Result<Router> {
    let door = |told, router| observed(app, told, shared(app, router));
    let api = api::router(app)?;
    let console = console::router(app, api.clone());
    let doors = door(api::TOLD, api)
        .merge(door(scim::TOLD, scim::router(app)))
        .merge(door(Told::by_route(Door::Login), login::router(app)))
        .merge(door(Told::by_route(Door::Provider), provider::router(app)))
        .merge(door(Told::by_route(Door::Signals), signals::router(app)))
        .merge(door(Told::by_route(Door::Console), console))
        .merge(observed(
            app,
            Told::by_route(Door::Probe),
            probes::router(app),
        ));
    let trace = TraceLayer::new_for_http()
        .make_span_with(span)
        .on_request(())
        .on_response(|response: &Response, latency: Duration, _: &Span| {
            let microseconds = latency.as_micros();
            tracing::info!(status = response.status().as_u16(), microseconds, "request");
        })
        .on_failure(DefaultOnFailure::new().level(Level::DEBUG));
    let doors = doors
        .layer(from_fn(body::bound))
        .layer(CatchPanicLayer::new())
        .layer(trace)
        .layer(from_fn_with_state(app.clone(), identify));
    Ok(Router::new().fallback_service(MapRequest::new(doors, path::normalize)))
}

/// The door with a share of the connections to the database.
fn shared(app: &Arc<App>, router: Router) -> Router {
    let bound = |State(share): State<Share>, request, next: Next| share.bound(next.run(request));
    router.layer(from_fn_with_state(app.store.share(), bound))
}

fn span(request: &Request) -> Span {
    let id = request
        .extensions()
        .get::<RequestId>()
        .map(tracing::field::display);
    tracing::info_span!(
        "request",
        method = method(request),
        path = place(request),
        request_id = id,
        trace_id = tracing::field::Empty,
        organization = tracing::field::Empty,
    )
}

/// The method for the log. Clients may make up their own.
fn method(request: &Request) -> &str {
    match *request.method() {
        Method::GET
        | Method::HEAD
        | Method::POST
        | Method::PUT
        | Method::PATCH
        | Method::DELETE
        | Method::OPTIONS => request.method().as_str(),
        _ => "other",
    }
}

/// The path for the log: that of the route, and below `/scim` what of the path is the server's own
/// words. The rest may be anything, such as an address in the place of an id.
fn place(request: &Request) -> String {
    let route = request.extensions().get::<MatchedPath>();
    match route.map(MatchedPath::as_str) {
        Some(route) if route.starts_with(scim::TOP) => scim::labels::place(request.uri().path()),
        Some(route) => route.to_owned(),
        None => "no route".to_owned(),
    }
}
