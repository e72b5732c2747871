//! Signing in, attacked and with everything going wrong that can: a provider of the tests' own, and
//! a browser of which the tests see every cookie.

mod account;
mod answers;
mod brand;
mod clients;
mod id_token;
mod lost_keys;
mod network;
mod oddities;
mod people;
pub mod provider;
mod requests;
mod sessions;
mod status;
mod test_sign_in;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::body::Body;
use chrono::TimeDelta;
use http::{Request, header};
use rollcall::app::App;
use rollcall::domain::sign_in::Check;
use rollcall::store::sign_in::{AttemptFilter, ListedAttempt, list_attempts};
use serde_json::{Value, json};
use uuid::Uuid;

use self::provider::{CLIENT, Provider, SECRET};
use crate::support::scim::Client;
use crate::support::{Reply, Server, merge, run};

pub const ORIGIN: &str = "https://rollcall.test";
/// The session's cookie.
pub const SESSION: &str = "__Host-rollcall-session";

/// A browser: it keeps cookies, and says where a request comes from.
#[derive(Clone)]
pub struct Browser<'a> {
    server: &'a Server,
    pub jar: BTreeMap<String, String>,
}

impl<'a> Browser<'a> {
    pub fn new(server: &'a Server) -> Self {
        Self {
            server,
            jar: BTreeMap::new(),
        }
    }

    /// The same browser, at another process.
    pub fn at(&self, server: &'a Server) -> Self {
        Self {
            server,
            jar: self.jar.clone(),
        }
    }

    pub fn cookies(&self) -> String {
        let pairs = self
            .jar
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("; ")
    }

    /// Goes to a page, as by an address that a person types or a redirect.
    pub async fn get(&mut self, url: &str) -> Reply {
        let url = url.strip_prefix(ORIGIN).unwrap_or(url);
        self.send(Request::get(url), Body::empty()).await
    }

    /// Sends a form of a page of the server's.
    pub async fn post(&mut self, url: &str, form: &[(&str, &str)]) -> Reply {
        let request = Request::post(url)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ORIGIN, ORIGIN)
            .header("sec-fetch-site", "same-origin");
        self.send(request, Body::from(query(form))).await
    }

    pub async fn send(&mut self, request: http::request::Builder, body: Body) -> Reply {
        let mut request = request.body(body).unwrap();
        if !self.jar.is_empty() {
            let cookies = self.cookies().parse().unwrap();
            request.headers_mut().insert(header::COOKIE, cookies);
        }
        let reply = self.server.send(request).await;
        for cookie in reply.headers.get_all(header::SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            let (pair, attributes) = cookie.split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if attributes.contains("Max-Age=0") {
                self.jar.remove(name);
            } else {
                self.jar.insert(name.to_owned(), value.to_owned());
            }
        }
        reply
    }

    /// Calls a method of the API with the cookie, as a page of the server's would.
    pub async fn call(&mut self, method: &str, body: Value) -> Reply {
        let request = Request::post(format!("/gitpod.v1.{method}"))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ORIGIN, ORIGIN);
        self.send(request, Body::from(body.to_string())).await
    }

    /// The identifier of the member that the API takes this browser for.
    pub async fn member(&mut self) -> Option<String> {
        let reply = self
            .call("IdentityService/GetAuthenticatedIdentity", json!({}))
            .await;
        if reply.status == 401 {
            reply.error("unauthenticated");
            return None;
        }
        let identity = reply.ok();
        assert_eq!(identity["subject"]["principal"], "PRINCIPAL_USER");
        Some(identity["subject"]["id"].as_str().unwrap().to_owned())
    }
}

impl Reply {
    pub fn location(&self) -> String {
        assert_eq!(self.status, 303, "{}", self.text());
        let location = self.headers[header::LOCATION].to_str().unwrap();
        location.to_owned()
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.bytes.to_vec()).unwrap()
    }
}

pub fn query(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

/// A server, a provider, and the configuration that joins them.
pub struct Place {
    pub server: Server,
    pub provider: Provider,
    /// The configuration's identifier.
    pub sso: String,
    /// Whose addresses sign in.
    pub domain: String,
}

impl Place {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut App)) -> Self {
        Self::at(Server::start_with(change).await).await
    }

    async fn at(server: Server) -> Self {
        let provider = Provider::start(server.app.clock.clone()).await;
        let domain = server.new_domain();
        Self::join(server, provider, domain).await
    }

    /// Another organization at the same provider.
    pub async fn neighbour(&self) -> Self {
        let server = self.server.neighbour().await;
        Self::join(server, self.provider.clone(), self.domain.clone()).await
    }

    async fn join(server: Server, provider: Provider, domain: String) -> Self {
        let mut place = Self {
            server,
            provider,
            sso: String::new(),
            domain,
        };
        place.sso = place.configure(CLIENT, json!({})).await;
        place.comes("ada", json!({}));
        place
    }

    /// Makes a configuration with the provider.
    pub async fn configure(&self, client: &str, more: Value) -> String {
        let mut request = json!({
            "organizationId": self.server.organization,
            "clientId": client,
            "clientSecret": SECRET,
            "issuerUrl": self.provider.issuer,
            "emailDomains": [self.domain],
        });
        merge(&mut request, more);
        let created = self
            .server
            .call("CreateSSOConfiguration", request)
            .await
            .ok();
        created["ssoConfiguration"]["id"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// The client of a new SCIM configuration that belongs to the place's SSO configuration.
    pub async fn provisioning(&self) -> Client {
        let server = Arc::new(self.server.clone());
        Client::of(server, json!({ "ssoConfigurationId": self.sso })).await
    }

    /// Changes the configuration.
    pub async fn update(&self, change: Value) {
        let mut request = json!({ "ssoConfigurationId": self.sso });
        merge(&mut request, change);
        self.server
            .call("UpdateSSOConfiguration", request)
            .await
            .ok();
    }

    /// The same, through another configuration.
    pub fn through(&self, sso: String) -> Self {
        Self {
            server: self.server.replica(),
            provider: self.provider.clone(),
            sso,
            domain: self.domain.clone(),
        }
    }

    pub fn email(&self, name: &str) -> String {
        format!("{name}@{}", self.domain)
    }

    /// Who signs in at the provider from now on.
    pub fn comes(&self, name: &str, more: Value) {
        let mut person = json!({
            "sub": format!("sub-{name}"),
            "email": self.email(name),
            "email_verified": true,
            "name": format!("{name} of the tests"),
        });
        merge(&mut person, more);
        let person: serde_json::Map<_, _> = person
            .as_object()
            .unwrap()
            .clone()
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .collect();
        self.provider.bend().person = Value::Object(person);
    }

    pub fn browser(&self) -> Browser<'_> {
        Browser::new(&self.server)
    }

    pub fn start_url(&self, return_to: &str) -> String {
        let query = query(&[
            ("organization", &*self.server.organization),
            ("configuration", &self.sso),
            ("return_to", return_to),
        ]);
        format!("/auth/oidc/start?{query}")
    }

    /// Goes to the provider and signs in there: the parameters that come back.
    pub async fn begin(&self, browser: &mut Browser<'_>) -> HashMap<String, String> {
        let start = browser.get(&self.start_url("")).await;
        self.provider.authorize(&start.location())
    }

    /// Comes back with these parameters.
    pub async fn come_back(
        &self,
        browser: &mut Browser<'_>,
        parameters: &HashMap<String, String>,
    ) -> Reply {
        let pairs: Vec<(&str, &str)> = parameters.iter().map(|(n, v)| (&**n, &**v)).collect();
        browser
            .get(&format!("/auth/oidc/callback?{}", query(&pairs)))
            .await
    }

    /// The whole way; the reply is the last one.
    pub async fn try_sign_in(&self, browser: &mut Browser<'_>) -> Reply {
        let parameters = self.begin(browser).await;
        self.come_back(browser, &parameters).await
    }

    /// Signs in, and returns the member's identifier.
    pub async fn sign_in(&self, browser: &mut Browser<'_>) -> String {
        let reply = self.try_sign_in(browser).await;
        if reply.status != 303 {
            panic!("{:?} {}", self.attempts().await.first(), reply.text());
        }
        assert_eq!(reply.location(), "/account");
        browser.member().await.unwrap()
    }

    /// A browser in which somebody is signed in, and the member's identifier.
    pub async fn signed_in(&self, name: &str) -> (Browser<'_>, String) {
        self.comes(name, json!({}));
        let mut browser = self.browser();
        let id = self.sign_in(&mut browser).await;
        (browser, id)
    }

    /// Gives a member the role of an administrator.
    pub async fn make_administrator(&self, member: &str) {
        let mut db = self.server.app.store.acquire().await.unwrap();
        sqlx::query("update users set role = 'admin' where organization_id = $1 and id = $2")
            .bind(self.server.organization_id().as_uuid())
            .bind(member.parse::<Uuid>().unwrap())
            .execute(&mut *db)
            .await
            .unwrap();
    }

    /// What came of each try, the last first.
    pub async fn attempts(&self) -> Vec<ListedAttempt> {
        let filter = AttemptFilter {
            sso_configuration_id: Some(self.sso.parse::<Uuid>().unwrap().into()),
            ..AttemptFilter::default()
        };
        self.attempts_of(&filter).await
    }

    async fn attempts_of(&self, filter: &AttemptFilter) -> Vec<ListedAttempt> {
        let mut db = self.server.app.store.acquire().await.unwrap();
        let organization = self.server.organization_id();
        let found = list_attempts(&mut db, organization, filter, None, 100).await;
        found.unwrap().items
    }

    /// Makes sure that a reply keeps a person out with the status of this check and tells no more than a reference,
    /// and that administrators find under it that this check failed, a reason with these words, and no secrets.
    pub async fn refused(&self, reply: &Reply, check: &str, words: &str) -> ListedAttempt {
        assert!(!words.is_empty(), "every reason has no words");
        let status = match check {
            "login" => 400,
            "provider" | "code" => 502,
            _ => 403,
        };
        assert_eq!(reply.status, status, "{check}: {}", reply.text());
        gives_no_session(reply);
        let page = reply.text();
        let reference = reference(&page).unwrap_or_else(|| panic!("a reference: {page}"));
        let filter = AttemptFilter {
            id: Some(reference.into()),
            ..AttemptFilter::default()
        };
        let mut found = self.attempts_of(&filter).await;
        assert_eq!(found.len(), 1, "a row for the reference");
        let attempt = found.remove(0);
        assert_eq!(attempt.sso_configuration_id.to_string(), self.sso);
        assert_eq!(attempt.outcome.as_str(), "refused");
        assert_eq!(
            attempt.failed_check.map(Check::as_str),
            Some(check),
            "{attempt:?}"
        );
        let reason = attempt.reason.clone().unwrap();
        assert!(
            reason.contains(words),
            "{reason:?} should contain {words:?}"
        );
        let row = format!("{attempt:?}");
        for secret in self.provider.secrets() {
            assert!(!row.contains(&secret), "{row} tells {secret}");
            assert!(!page.contains(&secret), "{page} tells {secret}");
        }
        for unsaid in [&*reason, &self.provider.issuer, &self.domain, "sub-"] {
            assert!(!page.contains(unsaid), "{page} tells {unsaid}");
        }
        attempt
    }

    /// Calls a method as the administrator.
    pub async fn members(&self) -> Vec<Value> {
        let request = json!({ "organizationId": self.server.organization });
        let list = self.server.call("ListMembers", request).await.ok();
        list["members"].as_array().cloned().unwrap_or_default()
    }

    pub fn pass(&self, time: TimeDelta) {
        self.server.pass(time);
    }
}

/// The reference that a page shows.
pub fn reference(page: &str) -> Option<Uuid> {
    let (_, rest) = page.split_once("Reference: <code>")?;
    rest.split_once("</code>")?.0.parse().ok()
}

#[track_caller]
pub fn gives_no_session(reply: &Reply) {
    for cookie in reply.headers.get_all(header::SET_COOKIE) {
        let cookie = cookie.to_str().unwrap();
        let is_session =
            cookie.starts_with(&format!("{SESSION}=")) && !cookie.contains("Max-Age=0");
        assert!(!is_session, "{cookie}");
    }
}

/// A person signs in at a provider that was bent. This check keeps the person out, for a reason with
/// these words, and there is no session.
pub fn keeps_out(bend: impl FnOnce(&Place), check: &str, words: &str) {
    run(async {
        let place = Place::start().await;
        bend(&place);
        is_kept_out(&place, check, words).await;
    });
}

/// The same at a place.
pub async fn is_kept_out(place: &Place, check: &str, words: &str) -> ListedAttempt {
    let mut browser = place.browser();
    let reply = place.try_sign_in(&mut browser).await;
    let attempt = place.refused(&reply, check, words).await;
    assert_eq!(browser.jar, BTreeMap::new(), "nothing is left of the login");
    assert_eq!(browser.get("/account").await.location(), "/login");
    assert_eq!(browser.member().await, None);
    attempt
}
