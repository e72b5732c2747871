//! A browser at the console's pages.

use axum::body::Body;
use http::{Request, header};
use serde_json::Value;

use crate::api::methods::call;
use crate::login::Browser;
use crate::support::{Reply, Server};

/// Markup that must never be part of a page.
pub const MARKUP: &str = "\"><script>alert(1)</script><img src=x onerror=alert(1)>'";

/// A browser in which the session of a token has begun.
pub struct Visitor<'a> {
    pub browser: Browser<'a>,
    organization: String,
}

impl<'a> Visitor<'a> {
    /// The administrator of the server's organization.
    pub async fn enter(server: &'a Server) -> Self {
        Self::with(server, &server.token).await
    }

    /// Whoever has this token.
    pub async fn with(server: &'a Server, token: &str) -> Self {
        let mut browser = Browser::new(server);
        let reply = browser.post("/console/token", &[("token", token)]).await;
        reply.location();
        Self::of(server, browser)
    }

    /// Whoever this browser is.
    pub fn of(server: &Server, browser: Browser<'a>) -> Self {
        let organization = server.organization.clone();
        Self {
            browser,
            organization,
        }
    }

    /// The path of a page of the organization.
    pub fn path(&self, page: &str) -> String {
        format!("/console/{}/{page}", self.organization)
    }

    /// Opens a page, whatever comes of it.
    pub async fn open(&mut self, page: &str) -> Reply {
        let path = self.path(page);
        self.browser.get(&path).await
    }

    /// Opens a page that is there.
    pub async fn page(&mut self, page: &str) -> String {
        let reply = self.open(page).await;
        assert_eq!(reply.status, 200, "{page}: {}", reply.text());
        reply.text()
    }

    /// Sends a form, whatever comes of it.
    pub async fn send(&mut self, page: &str, form: &[(&str, &str)]) -> Reply {
        let path = self.path(page);
        self.browser.post(&path, form).await
    }

    /// Sends a form, and follows to the page that says that it is done.
    pub async fn done(&mut self, page: &str, form: &[(&str, &str)]) -> String {
        let location = self.send(page, form).await.location();
        let reply = self.browser.get(&location).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let text = reply.text();
        assert!(text.contains("class=\"note good\""), "{text}");
        text
    }

    /// Sends a form that is refused, and shown again with why.
    pub async fn refused(&mut self, page: &str, form: &[(&str, &str)], why: &str) -> String {
        let reply = self.send(page, form).await;
        let text = reply.text();
        assert_eq!(reply.status, 400, "{text}");
        assert!(text.contains("role=\"alert\""), "{text}");
        assert!(text.contains(why), "{why:?} is not in {text}");
        text
    }

    /// Sends a form from a page of another site.
    pub async fn send_from_elsewhere(&mut self, page: &str, form: &[(&str, &str)]) -> Reply {
        let request = Request::post(self.path(page))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ORIGIN, "https://evil.example")
            .header("sec-fetch-site", "cross-site");
        let form = crate::login::query(form);
        self.browser.send(request, Body::from(form)).await
    }
}

/// Calls a method as the administrator, such as `rollcall.v1.WebhookService/ListWebhooks`.
pub async fn ask(server: &Server, path: &str, body: Value) -> Value {
    call(server, path, Some(&server.token), &body).await.ok()
}

/// Makes sure that markup that somebody entered is no part of a page, and the text is.
#[track_caller]
pub fn is_escaped(page: &str) {
    assert!(!page.contains("<script>"), "{page}");
    assert!(!page.contains("<img"), "{page}");
    assert!(page.contains("&lt;script&gt;"), "{page}");
}

/// The value that stands on a page behind this, up to what ends it.
#[track_caller]
pub fn between<'t>(page: &'t str, start: &str, end: &str) -> &'t str {
    let (_, rest) = page
        .split_once(start)
        .unwrap_or_else(|| panic!("{start:?} is not in {page}"));
    rest.split_once(end).unwrap().0
}
