//! The style and the script: they change with the program alone, so that browsers keep them.

use std::sync::LazyLock;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use sha2::{Digest, Sha256};

use crate::http::page::STYLE;

const SCRIPT: &str = include_str!("console.js");

/// Where the style is.
pub static STYLE_PATH: LazyLock<String> = LazyLock::new(|| path("style.css", STYLE));

/// Where the script is.
pub static SCRIPT_PATH: LazyLock<String> = LazyLock::new(|| path("console.js", SCRIPT));

/// The path of an asset, which names what is in it.
fn path(name: &str, text: &str) -> String {
    let digest = Sha256::digest(text);
    let mark: String = digest[..8].iter().map(|b| format!("{b:02x}")).collect();
    format!("{}/assets/{name}?{mark}", super::TOP)
}

/// The routes of the assets.
pub fn routes() -> Router {
    let top = format!("{}/assets", super::TOP);
    Router::new()
        .route(
            &format!("{top}/style.css"),
            get(async || asset("text/css; charset=utf-8", STYLE)),
        )
        .route(
            &format!("{top}/console.js"),
            get(async || asset("text/javascript; charset=utf-8", SCRIPT)),
        )
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, text).into_response()
}
