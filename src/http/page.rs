//! The frame of pages: HTML without scripts, in one style, for phones and screens, light and dark.

use std::sync::{Arc, LazyLock};

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, CONTENT_TYPE, HeaderName};
use http::{HeaderValue, StatusCode};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use super::brand;
use crate::app::App;
use crate::domain::brand::Brand;
use crate::domain::ids::OrganizationId;

/// The style of every page, also of the console's.
pub const STYLE: &str = include_str!("style.css");

/// The style is the one thing that a page may use. No `form-action`: browsers apply it to the way to
/// the provider, too.
pub static CONTENT_SECURITY_POLICY: LazyLock<HeaderValue> =
    LazyLock::new(|| policy(&style_source()));

/// The policy of a page with these styles.
fn policy(styles: &str) -> HeaderValue {
    let policy = format!(
        "default-src 'none'; style-src {styles}; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy)
        .unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
}

/// The style of pages, as a policy names it.
pub fn style_source() -> String {
    source(STYLE)
}

fn source(style: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(style)))
}

/// A page, ready to be sent.
#[derive(Clone, Debug)]
pub struct Page {
    status: StatusCode,
    title: &'static str,
    body: Markup,
    organization: Option<OrganizationId>,
    is_plain: bool,
}

impl IntoResponse for Page {
    /// Without a brand, which [`dress`] adds.
    fn into_response(self) -> Response {
        let mut response = Response::new(self.render(None, None));
        *response.status_mut() = self.status;
        response.headers_mut().insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        );
        if !self.is_plain {
            response.extensions_mut().insert(self);
        }
        response
    }
}

impl Page {
    /// A page with this title and content.
    pub const fn new(status: StatusCode, title: &'static str, body: Markup) -> Self {
        Self {
            status,
            title,
            body,
            organization: None,
            is_plain: false,
        }
    }

    /// A page of an organization, whose brand it has.
    pub const fn of(mut self, organization: OrganizationId) -> Self {
        self.organization = Some(organization);
        self
    }

    /// A page without a brand, for what must not wait for the database.
    pub const fn plain(mut self) -> Self {
        self.is_plain = true;
        self
    }

    fn render(&self, brand: Option<&Brand>, style: Option<&str>) -> Body {
        let name = brand.map_or("", |brand| &brand.display_name);
        let name = if name.is_empty() { "Rollcall" } else { name };
        let markup = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="robots" content="noindex";
                    title { (self.title) " · " (name) }
                    link rel="icon" href="data:,";
                    style { (PreEscaped(STYLE)) }
                    @if let Some(style) = style { style { (PreEscaped(style)) } }
                }
                body .alone {
                    main {
                        @if let Some(brand) = brand { (brand::masthead(brand)) }
                        (self.body)
                    }
                }
            }
        };
        Body::from(markup.into_string())
    }
}

/// Gives a page the brand of its organization, or the installation's; other answers pass.
pub async fn dress(State(app): State<Arc<App>>, mut response: Response) -> Response {
    let Some(page) = response.extensions_mut().remove::<Page>() else {
        return response;
    };
    let Some(brand) = brand::of_page(&app, page.organization).await else {
        return response;
    };
    let style = brand::style(&brand);
    *response.body_mut() = page.render(Some(&brand), style.as_deref());
    if let Some(style) = style {
        let styles = format!("{} {}", style_source(), source(&style));
        response
            .headers_mut()
            .insert(header::CONTENT_SECURITY_POLICY, policy(&styles));
    }
    response
}

/// What every answer of a door with pages tells the browser: no scripts, no frames, nothing kept, and no address of ours in other
/// servers' logs. An answer may have a policy of its own.
pub async fn protect(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("same-origin"),
        ),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            HeaderValue::from_static("same-origin"),
        ),
    ] {
        headers.insert(name, value);
    }
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert_with(|| CONTENT_SECURITY_POLICY.clone());
    response
}
