//! What surrounds each door when metrics or traces are wanted: every request is counted and timed, and
//! is a span. And the listener of the metrics.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{StatusCode, header};
use tracing::{Instrument, Span};

use crate::app::App;
use crate::metrics::{CONTENT_TYPE, Door};
use crate::traces::{self, method_name};
use crate::{api, scim};

/// The door with its requests counted and traced; as it is, if nobody wants to know.
pub fn observed(app: &Arc<App>, door: Door, router: Router) -> Router {
    if app.metrics.is_on() || traces::are_on() {
        router.layer(from_fn_with_state((app.clone(), door), observe))
    } else {
        router
    }
}

async fn observe(
    State((app, door)): State<(Arc<App>, Door)>,
    request: Request,
    next: Next,
) -> Response {
    let Target {
        door,
        method,
        route,
    } = Target::of(door, &request);
    let measured = app.metrics.request(door, method);
    let verb = method_name(request.method());
    let span = traces::request(verb, route.as_deref(), request.headers());
    if let Some(id) = traces::trace_id(&span) {
        Span::current().record("trace_id", tracing::field::display(id));
    }
    let response = next.run(request).instrument(span.clone()).await;
    let status = match door {
        Door::Api => api::http::status(&response),
        _ => response.status(),
    };
    traces::answered(&span, status);
    measured.end(status.as_u16());
    response
}

/// What a request asks for, in words of the route that it matched.
struct Target {
    door: Door,
    /// The label of the metrics.
    method: Cow<'static, str>,
    /// The attribute of the span.
    route: Option<String>,
}

impl Target {
    fn of(door: Door, request: &Request) -> Self {
        let Some(matched) = request.extensions().get::<MatchedPath>() else {
            return Self {
                door: Door::Other,
                method: "other".into(),
                route: None,
            };
        };
        let matched = matched.as_str();
        let verb = method_name(request.method());
        let (method, route) = match door {
            Door::Api => (api::http::method_label(matched), matched.to_owned()),
            Door::Scim => {
                let endpoint = scim::labels::endpoint_label(request.uri().path());
                (
                    format!("{verb} {endpoint}").into(),
                    format!("{}{endpoint}", scim::ROOT),
                )
            }
            _ => (format!("{verb} {matched}").into(), matched.to_owned()),
        };
        Self {
            door,
            method,
            route: Some(route),
        }
    }
}

/// All that the listener of the metrics answers.
pub fn metrics_router(app: &Arc<App>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .with_state(app.clone())
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    let (max, in_use) = app.store.connections();
    app.metrics.connections(max, in_use);
    app.metrics.log_lines_dropped(crate::log::dropped());
    match app.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
