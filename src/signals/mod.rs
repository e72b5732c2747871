//! Door 5: receivers follow streams of security events (OpenID Shared Signals Framework 1.0). Whoever administers an organization has
//! its streams.
//!
//! | path | |
//! |---|---|
//! | `GET /.well-known/ssf-configuration` | what receivers read by themselves |
//! | `GET /.well-known/oauth-protected-resource/ssf` | where they get access tokens, and with which scope |
//! | `POST`, `GET`, `PATCH`, `PUT`, `DELETE /ssf/streams` | the streams |
//! | `GET`, `POST /ssf/status` | whether tokens go out over a stream |
//! | `POST /ssf/subjects/add`, `POST /ssf/subjects/remove` | of whom a stream tells |
//! | `POST /ssf/verify` | has a stream tell that it works |
//! | `POST /ssf/poll/{stream_id}` | the tokens of a stream (RFC 8936) |

mod discovery;
mod error;
mod poll;
mod request;
mod status;
mod streams;
mod subjects;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Router};
use http::header::{self, HeaderValue};

use crate::app::App;
use crate::domain::event_stream::{POLL_PATH, STREAMS_PATH};

const STATUS_PATH: &str = "/ssf/status";
const ADD_SUBJECT_PATH: &str = "/ssf/subjects/add";
const REMOVE_SUBJECT_PATH: &str = "/ssf/subjects/remove";
const VERIFY_PATH: &str = "/ssf/verify";

/// The largest body, in bytes.
const MAX_BODY: usize = 256 * 1_024;

/// All routes of this door.
pub fn router(app: &Arc<App>) -> Router {
    let published = Router::new()
        .route(discovery::PATH, get(discovery::configuration))
        .route(discovery::RESOURCE_PATH, get(discovery::resource))
        .layer(Extension(discovery::Documents::of(&app.public_url)));
    let management = Router::new()
        .route(
            STREAMS_PATH,
            post(streams::create)
                .get(streams::read)
                .patch(streams::update)
                .put(streams::replace)
                .delete(streams::delete),
        )
        .route(STATUS_PATH, get(status::read).post(status::update))
        .route(ADD_SUBJECT_PATH, post(subjects::add))
        .route(REMOVE_SUBJECT_PATH, post(subjects::remove))
        .route(VERIFY_PATH, post(status::verify))
        .route(&format!("{POLL_PATH}/{{stream_id}}"), post(poll::poll))
        .layer(middleware::map_response(keep_nothing));
    published
        .merge(management)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(app.clone())
}

/// What is said of streams is not for caches.
async fn keep_nothing(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}
