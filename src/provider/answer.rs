//! What an application is answered by way of the browser (RFC 6749, section 4.1.2; RFC 9207; OAuth 2.0 Form Post Response Mode).

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{HeaderValue, LOCATION};

use super::error::Refused;
use super::pages;
use super::request::{Mode, Target};
use crate::app::App;

/// Sends the browser on with GET.
pub fn redirect(url: &str) -> Response {
    match HeaderValue::from_str(url) {
        Ok(location) => (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response(),
        Err(_) => pages::bad_request("it holds characters that no URL may have").into_response(),
    }
}

/// A code.
pub fn code(app: &App, target: &Target, code: &str) -> Response {
    send(app, target, &[("code", code)])
}

/// An error.
pub fn refused(app: &App, target: &Target, refused: &Refused) -> Response {
    send(app, target, &error_fields(refused))
}

/// The URL that brings an error to the application.
pub fn refusal_url(app: &App, target: &Target, refused: &Refused) -> String {
    url(target, &fields(app, target, &error_fields(refused)))
}

fn error_fields(refused: &Refused) -> [(&str, &str); 2] {
    [
        ("error", refused.code.as_str()),
        ("error_description", &refused.description),
    ]
}

fn fields<'a>(
    app: &'a App,
    target: &'a Target,
    of: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    let state = target.state.as_deref().map(|state| ("state", state));
    let issuer = ("iss", &*app.public_url);
    of.iter().copied().chain(state).chain([issuer]).collect()
}

fn send(app: &App, target: &Target, of: &[(&str, &str)]) -> Response {
    let fields = fields(app, target, of);
    match target.mode {
        Mode::Query => redirect(&url(target, &fields)),
        Mode::FormPost => pages::form_post(&target.redirect_uri, &fields),
    }
}

fn url(target: &Target, fields: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let query = query.extend_pairs(fields).finish();
    with_query(&target.redirect_uri, &query)
}

/// A URI with more in its query; what it has there stays (RFC 6749, section 3.1.2).
pub fn with_query(uri: &str, query: &str) -> String {
    let joint = match (uri.contains('?'), uri.ends_with(['?', '&'])) {
        (false, _) => "?",
        (true, true) => "",
        (true, false) => "&",
    };
    format!("{uri}{joint}{query}")
}
