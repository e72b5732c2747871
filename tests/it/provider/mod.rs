//! Applications sign people in: what they get, and what an attacker does not.

mod authorize;
mod keys;
mod logout;
mod tokens;

use std::collections::HashMap;

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Request, header};
use rollcall::domain::application::{Application, Scope, Settings, installation};
use rollcall::domain::token::TokenKind;
use rollcall::store;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use crate::login::{Browser, ORIGIN, Place, query};
use crate::support::Reply;

/// Where the application takes people back.
pub const CALLBACK: &str = "https://app.example.com/callback";
/// What the application began with (RFC 7636).
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// An application at a server, whose organization has a provider.
pub struct Client<'a> {
    pub place: &'a Place,
    pub application: Application,
    pub secret: String,
}

impl<'a> Client<'a> {
    /// An application of the organization with all scopes.
    pub async fn of(place: &'a Place) -> Self {
        Self::with(place, |_| {}).await
    }

    /// The same, set up in another way.
    pub async fn with(place: &'a Place, change: impl FnOnce(&mut Settings)) -> Self {
        Self::new(place, place.server.organization_id(), change).await
    }

    /// An application of the installation.
    pub async fn of_installation(place: &'a Place) -> Self {
        Self::new(place, installation(), |_| {}).await
    }

    async fn new(
        place: &'a Place,
        organization_id: rollcall::domain::ids::OrganizationId,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let app = &place.server.app;
        let mut settings = Settings {
            name: "Wiki".to_owned(),
            redirect_uris: vec![CALLBACK.to_owned()],
            scopes: Scope::ALL.to_vec(),
            ..Settings::default()
        };
        change(&mut settings);
        assert_eq!(settings.check(organization_id == installation()), []);
        let application = Application {
            organization_id,
            id: app.new_id(),
            settings,
            created_at: app.clock.now(),
            updated_at: app.clock.now(),
        };
        let named = Some(organization_id).filter(|id| *id != installation());
        let id = application.id.as_uuid();
        let secret = app.random.token(TokenKind::Application, named, id);
        let mut db = app.store.acquire().await.unwrap();
        store::applications::insert(&mut db, &application, Some(&secret.digest()))
            .await
            .unwrap();
        Self {
            place,
            application,
            secret: secret.expose().to_owned(),
        }
    }

    pub fn id(&self) -> String {
        self.application.client_id().to_string()
    }

    /// Changes what is said of the application.
    pub async fn change(&mut self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.application.settings);
        let mut db = self.place.server.app.store.acquire().await.unwrap();
        store::applications::update(&mut db, &self.application)
            .await
            .unwrap();
    }

    /// The parameters of a request as it should be; an empty value takes one away.
    pub fn request(&self, more: &[(&str, &str)]) -> HashMap<String, String> {
        let id = self.id();
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
        let usual = [
            ("client_id", &*id),
            ("redirect_uri", CALLBACK),
            ("response_type", "code"),
            ("scope", "openid profile email offline_access"),
            ("state", "the-state"),
            ("nonce", "the-nonce"),
            ("code_challenge", &*challenge),
            ("code_challenge_method", "S256"),
        ];
        let mut parameters: HashMap<String, String> = HashMap::new();
        for (name, value) in usual.iter().chain(more) {
            parameters.insert((*name).to_owned(), (*value).to_owned());
        }
        parameters.retain(|_, value| !value.is_empty());
        parameters
    }

    pub fn url(&self, more: &[(&str, &str)]) -> String {
        let parameters = self.request(more);
        let pairs: Vec<(&str, &str)> = parameters.iter().map(|(n, v)| (&**n, &**v)).collect();
        format!("/oauth2/authorize?{}", query(&pairs))
    }

    /// Goes where the application sends people, and on by way of the organization's provider if need be, until there is a page or the
    /// application has its answer.
    pub async fn go(&self, browser: &mut Browser<'_>, more: &[(&str, &str)]) -> Reply {
        let reply = browser.get(&self.url(more)).await;
        self.follow(browser, reply).await
    }

    /// Follows redirects until there is a page or the application has its answer.
    pub async fn follow(&self, browser: &mut Browser<'_>, mut reply: Reply) -> Reply {
        for _ in 0..10 {
            if reply.status != 303 {
                return reply;
            }
            let location = reply.location();
            if location.starts_with(CALLBACK) {
                return reply;
            }
            reply = if location.starts_with(&self.place.provider.issuer) {
                let answer = self.place.provider.authorize(&location);
                self.place.come_back(browser, &answer).await
            } else {
                browser.get(&location).await
            };
        }
        panic!("there is no end of redirects: {}", reply.location());
    }

    /// What the application is answered.
    pub async fn answer(
        &self,
        browser: &mut Browser<'_>,
        more: &[(&str, &str)],
    ) -> HashMap<String, String> {
        answer_of(&self.go(browser, more).await)
    }

    /// The code for somebody who signs in.
    pub async fn code(&self, browser: &mut Browser<'_>, more: &[(&str, &str)]) -> String {
        let answer = self.answer(browser, more).await;
        answer
            .get("code")
            .unwrap_or_else(|| panic!("{answer:?}"))
            .clone()
    }

    /// What the application gets for a form, with which it sends its secret.
    pub async fn ask(&self, path: &str, form: &[(&str, &str)]) -> Reply {
        let id = self.id();
        let own = [("client_id", &*id), ("client_secret", &*self.secret)];
        self.send(path, &[&own, form].concat()).await
    }

    /// What anybody gets for a form.
    pub async fn send(&self, path: &str, form: &[(&str, &str)]) -> Reply {
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(query(form)))
            .unwrap();
        self.place.server.send(request).await
    }

    /// What the application gets for a code.
    pub async fn exchange(&self, code: &str) -> Reply {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        self.ask("/oauth2/token", &form).await
    }

    pub async fn refresh(&self, token: &str) -> Reply {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
        self.ask("/oauth2/token", &form).await
    }

    /// The tokens for somebody who signs in.
    pub async fn tokens(&self, browser: &mut Browser<'_>, more: &[(&str, &str)]) -> Value {
        let code = self.code(browser, more).await;
        self.exchange(&code).await.ok()
    }

    pub async fn userinfo(&self, access: &str) -> Reply {
        let request = Request::get("/oauth2/userinfo")
            .header(header::AUTHORIZATION, format!("Bearer {access}"))
            .body(Body::empty())
            .unwrap();
        self.place.server.send(request).await
    }

    pub async fn introspect(&self, token: &Value) -> Value {
        let form = [("token", token.as_str().unwrap())];
        self.ask("/oauth2/introspect", &form).await.ok()
    }

    /// Whether nothing that the application got opens anything any more.
    pub async fn is_over(&self, tokens: &Value) {
        let inactive = json!({ "active": false });
        assert_eq!(self.introspect(&tokens["access_token"]).await, inactive);
        assert_eq!(
            self.userinfo(text(&tokens["access_token"])).await.status,
            401
        );
        if let Some(refresh) = tokens["refresh_token"].as_str() {
            assert_eq!(self.introspect(&tokens["refresh_token"]).await, inactive);
            let reply = self.refresh(refresh).await;
            assert_eq!(problem(&reply), (400, "invalid_grant".to_owned()));
        }
    }
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value}"))
}

/// The parameters that came to the application.
pub fn answer_of(reply: &Reply) -> HashMap<String, String> {
    let location = reply.location();
    let answer = location
        .strip_prefix(CALLBACK)
        .and_then(|rest| rest.strip_prefix('?'));
    let answer = answer.unwrap_or_else(|| panic!("{location}"));
    let answer: HashMap<String, String> = form_urlencoded::parse(answer.as_bytes())
        .into_owned()
        .collect();
    assert_eq!(answer["iss"], ORIGIN, "whose answer it is (RFC 9207)");
    answer
}

/// The status and the error of an answer.
pub fn problem(reply: &Reply) -> (u16, String) {
    let body = reply.json();
    let description = text(&body["error_description"]);
    assert!(!description.is_empty());
    (reply.status.as_u16(), text(&body["error"]).to_owned())
}

/// The claims of a token, whose signature a test of its own verifies.
pub fn claims(token: &Value) -> Value {
    let payload = text(token).split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

/// The parameters of a URL.
pub fn parameters(url: &str) -> HashMap<String, String> {
    let url = Url::parse(ORIGIN).unwrap().join(url).unwrap();
    url.query_pairs().into_owned().collect()
}
