//! The style and the script: they change with the program alone, so that browsers keep them.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::RawQuery;
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
    format!("{}/assets/{name}?{}", super::TOP, mark(text))
}

fn mark(text: &str) -> String {
    let digest = Sha256::digest(text);
    digest[..8].iter().map(|b| format!("{b:02x}")).collect()
}

/// The routes of the assets.
pub fn routes() -> Router {
    let top = format!("{}/assets", super::TOP);
    Router::new()
        .route(
            &format!("{top}/style.css"),
            get(async |RawQuery(mark): RawQuery| asset("text/css; charset=utf-8", STYLE, mark)),
        )
        .route(
            &format!("{top}/console.js"),
            get(async |RawQuery(mark): RawQuery| {
                asset("text/javascript; charset=utf-8", SCRIPT, mark)
            }),
        )
}

/// An asset, which browsers keep if it is the one that they asked for: another replica may have another.
fn asset(kind: &'static str, text: &'static str, asked: Option<String>) -> Response {
    let kept = match asked.is_some_and(|asked| asked == mark(text)) {
        true => "public, max-age=31536000, immutable",
        false => "no-store",
    };
    let headers = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, kept),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, text).into_response()
}
