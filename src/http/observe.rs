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

/// How a door's requests are told of.
#[derive(Clone, Copy)]
pub struct Told {
    /// The door.
    pub door: Door,
    /// The label of the metrics and the route of the span, from the route that the request matched: in words of the
    /// server's own, whatever the request says.
    pub names: fn(&str, &Request) -> (Cow<'static, str>, String),
    /// The status that an answer stands for.
    pub status: fn(&Response) -> StatusCode,
}

impl Told {
    /// By the method and the route alone.
    pub const fn by_route(door: Door) -> Self {
        Self {
            door,
            names: |route, request| {
                let verb = method_name(request.method());
                (format!("{verb} {route}").into(), route.to_owned())
            },
            status: Response::status,
        }
    }
}

/// The door with its requests counted and traced; as it is, if nobody wants to know.
pub fn observed(app: &Arc<App>, told: Told, router: Router) -> Router {
    if app.metrics.is_on() || traces::are_on() {
        router.layer(from_fn_with_state((app.clone(), told), observe))
    } else {
        router
    }
}

async fn observe(
    State((app, told)): State<(Arc<App>, Told)>,
    request: Request,
    next: Next,
) -> Response {
    let matched = request.extensions().get::<MatchedPath>();
    let names = matched.map(|matched| (told.names)(matched.as_str(), &request));
    let (door, method, route) = match names {
        Some((method, route)) => (told.door, method, Some(route)),
        None => (Door::Other, "other".into(), None),
    };
    let measured = app.metrics.request(door, method);
    let verb = method_name(request.method());
    let span = traces::request(verb, route.as_deref(), request.headers());
    if let Some(id) = traces::trace_id(&span) {
        Span::current().record("trace_id", tracing::field::display(id));
    }
    let response = next.run(request).instrument(span.clone()).await;
    let status = match door {
        Door::Other => response.status(),
        _ => (told.status)(&response),
    };
    traces::answered(&span, status);
    measured.end(status.as_u16());
    response
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
