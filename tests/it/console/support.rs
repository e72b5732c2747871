//! What the tests of the console share: somebody who has entered with a token.

use http::{Request, header};
use serde_json::{Value, json};

use crate::api::methods::call;
use crate::login::{Browser, ORIGIN, query};
use crate::support::{Reply, Server};

/// Markup that must never be part of a page.
pub const MARKUP: &str = "\"><script>alert(1)</script><img src=x onerror=alert(1)>'";

/// A browser at the pages of one organization.
pub struct Visitor<'a> {
    pub browser: Browser<'a>,
    pub organization: String,
}

impl<'a> Visitor<'a> {
    /// Nobody whom the console knows, who wants to see the pages of the server's organization.
    pub fn stranger(server: &'a Server) -> Self {
        Self {
            browser: Browser::new(server),
            organization: server.organization.clone(),
        }
    }

    /// Somebody who has entered the token of an administrator.
    pub async fn administrator(server: &'a Server) -> Self {
        let mut visitor = Self::stranger(server);
        let form = [("token", &*server.token)];
        let reply = visitor.browser.post("/console/token", &form).await;
        assert_eq!(
            reply.location(),
            format!("/console/{}", server.organization)
        );
        visitor
    }

    /// Whoever has this token.
    pub async fn with_token(server: &'a Server, token: &str) -> Self {
        let mut browser = Browser::new(server);
        let reply = browser.post("/console/token", &[("token", token)]).await;
        reply.location();
        Self::with(browser, server)
    }

    /// Somebody who came in otherwise.
    pub fn with(browser: Browser<'a>, server: &Server) -> Self {
        Self {
            browser,
            organization: server.organization.clone(),
        }
    }

    /// The path of a page, such as `people`.
    pub fn path(&self, page: &str) -> String {
        format!("/console/{}/{page}", self.organization)
    }

    pub async fn get(&mut self, page: &str) -> Reply {
        let path = self.path(page);
        self.browser.get(&path).await
    }

    /// What a page says that is shown.
    pub async fn see(&mut self, page: &str) -> String {
        let reply = self.get(page).await;
        assert_eq!(reply.status, 200, "{page}: {}", reply.text());
        reply.text()
    }

    pub async fn post(&mut self, page: &str, form: &[(&str, &str)]) -> Reply {
        let path = self.path(page);
        self.browser.post(&path, form).await
    }

    /// Sends a form and follows where it leads: what is said there.
    pub async fn submit(&mut self, page: &str, form: &[(&str, &str)]) -> String {
        let reply = self.post(page, form).await;
        let location = reply.location();
        let shown = self.browser.get(&location).await;
        assert_eq!(shown.status, 200, "{location}: {}", shown.text());
        shown.text()
    }

    /// Sends a form, and follows to the page that says that it is done.
    pub async fn done(&mut self, page: &str, form: &[(&str, &str)]) -> String {
        let location = self.post(page, form).await.location();
        let reply = self.browser.get(&location).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let text = reply.text();
        assert!(text.contains("class=\"note good\""), "{text}");
        text
    }

    /// Sends a form that is refused, and shown again with why.
    pub async fn refused(&mut self, page: &str, form: &[(&str, &str)], why: &str) -> String {
        let reply = self.post(page, form).await;
        let text = reply.text();
        assert_eq!(reply.status, 400, "{text}");
        assert!(text.contains("role=\"alert\""), "{text}");
        assert!(text.contains(why), "{why:?} is not in {text}");
        text
    }

    /// Sends a form as a page of another site makes a browser do it.
    pub async fn post_from_elsewhere(&mut self, page: &str, form: &[(&str, &str)]) -> Reply {
        let request = Request::post(self.path(page))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ORIGIN, "https://evil.example")
            .header("sec-fetch-site", "cross-site");
        self.browser.send(request, query(form).into()).await
    }
}

/// The member of an organization with this address.
pub async fn member(server: &Server, email: &str) -> Value {
    let request = json!({ "organizationId": server.organization, "filter": { "email": email } });
    let found = server.call("ListMembers", request).await.ok();
    found["members"][0].clone()
}

/// The path of the link with this text.
#[track_caller]
pub fn link(page: &str, text: &str) -> String {
    let (before, _) = page
        .split_once(&format!(">{text}</a>"))
        .unwrap_or_else(|| panic!("no link {text}: {page}"));
    let (_, tag) = before.rsplit_once("<a ").unwrap();
    let (_, rest) = tag.split_once("href=\"").unwrap();
    let path = rest.split_once('"').unwrap().0.replace("&amp;", "&");
    path.strip_prefix(ORIGIN).unwrap_or(&path).to_owned()
}

/// How many entries the audit log of an organization has.
pub async fn entries(server: &Server) -> usize {
    let request = json!({ "pagination": { "pageSize": 100 } });
    let found = server.call_to("EventService/ListAuditLogs", request).await;
    found.ok()["entries"].as_array().map_or(0, Vec::len)
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
