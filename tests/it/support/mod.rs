//! What tests share: a server in the process, with its own organization, clock and keys for each test.
//!
//! A test is a function whose name is the sentence that it shows. It calls [`run`] with its future, starts what it
//! needs, and does what a client does:
//!
//! ```ignore
//! #[test]
//! fn an_organization_is_shown_to_its_members() {
//!     run(async {
//!         let server = Server::start().await;
//!         let request = json!({ "organizationId": server.organization });
//!         let shown = server.call("GetOrganization", request.clone()).await.ok();
//!         assert_eq!(shown["organization"]["id"], *server.organization);
//!         let stranger = server.neighbour().await;
//!         stranger.call("GetOrganization", request).await.error("permission_denied");
//!     });
//! }
//! ```
//!
//! [`Server`] speaks the API as an administrator; `call_as` takes another token. [`scim::Client`] is an identity provider
//! with a SCIM token of its own. `login::Place` is a server with a provider at which people sign in. `cli::operators::Database`
//! and [`process::Serving`] run the binary itself. [`Server::pass`] lets time pass, [`Server::replica`] is another process on the
//! same database, and [`Server::neighbour`] another organization. [`Reply::ok`], [`Reply::error`], `Reply::is` and `Reply::refused`
//! look at the whole answer: a test names one outcome, not "some error".
//!
//! A failing test shows what the server logged on the test's thread: warnings and errors, or what `ROLLCALL_LOG` names
//! (`ROLLCALL_LOG=debug cargo test --test it NAME`). A test that needs a real PostgreSQL asks [`needs_database`], and one that
//! looks for a race calls [`needs_parallel_connections`]: both say on stderr when they show less than their name says.

pub mod dns;
pub mod log;
pub mod process;
pub mod scim;
pub mod stream;

use std::io::Write;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use rollcall::app::{App, Clock, Operator, Random, Setup};
use rollcall::domain::identity::Role;
use rollcall::domain::ids::OrganizationId;
use rollcall::domain::retention::Kept;
use rollcall::domain::sign_in::SignInSettings;
use rollcall::outgoing::dns::Dns;
use rollcall::outgoing::{self, Reach};
use rollcall::provisioning::organizations::{self, Grant};
use rollcall::secrets::{keys, tokens::TokenHasher};
use rollcall::store::{MAX_CONNECTIONS, Store};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;
use tower::ServiceExt;
use uuid::Uuid;

use self::dns::NameServer;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
static STORE: OnceCell<Store> = OnceCell::const_new();

/// Runs a test on the runtime that all tests share, as they share the store.
pub fn run<F: Future>(test: F) -> F::Output {
    log::show();
    RUNTIME.block_on(test)
}

/// The PostgreSQL of the tests, if one is named.
pub fn database_url() -> Option<String> {
    std::env::var("DATABASE_URL")
        .ok()
        .filter(|url| !url.is_empty())
}

/// The PostgreSQL of a test that needs a real one; without it, a line that says that the test is skipped.
pub fn needs_database() -> Option<String> {
    let url = database_url();
    if url.is_none() {
        skipped("needs DATABASE_URL");
    }
    url
}

/// Says that the test on this thread is not run, and why. CI fails if it finds this line where it should not be.
pub fn skipped(why: &str) {
    say("skipped", why);
}

/// Says that the test on this thread shows no race, because all requests wait for the one connection.
pub fn needs_parallel_connections() {
    if database_url().is_none() {
        say(
            "one at a time",
            "the embedded PostgreSQL has one connection",
        );
    }
}

/// Writes a line to the real stderr: `eprintln` of a test that passes is not shown.
fn say(what: &str, why: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let line = format!("{what}: {test}: {why}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}

async fn store() -> Store {
    STORE
        .get_or_init(|| async {
            let store = match database_url() {
                Some(url) => Store::connect(&url, MAX_CONNECTIONS).await.unwrap(),
                None => embedded().await,
            };
            store.migrate().await.unwrap();
            store
        })
        .await
        .clone()
}

#[cfg(feature = "embedded-postgres")]
async fn embedded() -> Store {
    let folder = tempfile::Builder::new()
        .prefix("rollcall-it-")
        .tempdir()
        .unwrap();
    let (server, store) = rollcall::store::embedded::Embedded::start(folder.path())
        .await
        .unwrap();
    // Both live until the process ends, which is when the tests end.
    std::mem::forget((folder, server));
    store
}

#[cfg(not(feature = "embedded-postgres"))]
async fn embedded() -> Store {
    panic!("without the feature embedded-postgres, the tests need DATABASE_URL")
}

/// A token whose text names another organization, or none, with the checksum of the new text.
pub fn naming(token: &str, organization: Option<OrganizationId>) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let [kind, ids, tail] = token.split('_').collect::<Vec<_>>()[..] else {
        panic!("no token: {token}");
    };
    let organization = organization.map(|id| id.as_uuid().simple().to_string());
    let (id, secret) = (&ids[ids.len() - 32..], &tail[..tail.len() - 6]);
    let mut text = format!("{kind}_{}{id}_{secret}", organization.unwrap_or_default());
    let sum = crc32fast::hash(text.as_bytes());
    for place in (0..6).rev() {
        let digit = sum / 62_u32.pow(place) % 62;
        text.push(char::from(DIGITS[digit as usize]));
    }
    text
}

/// A server and one organization of its own.
#[derive(Clone)]
pub struct Server {
    pub app: Arc<App>,
    pub router: Router,
    pub organization: String,
    /// An administrator's token.
    pub token: String,
    /// The only name server that it asks.
    pub name_server: NameServer,
    clock: Arc<AtomicI64>,
    keys: String,
}

impl Server {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// A server that is set up in another way.
    pub async fn start_with(change: impl FnOnce(&mut App)) -> Self {
        // The same for all: the keys that sign tokens are the installation's, and every test may open them.
        let keys = keys::generate("test", &Random::seeded(1)).to_string();
        let random = Random::system().unwrap();
        Self::with_keys(store().await, keys, random, change).await
    }

    /// Another process on the same database, with the same settings and clock.
    pub fn replica(&self) -> Self {
        self.replica_with(|_| {})
    }

    /// The same with other settings.
    pub fn replica_with(&self, change: impl FnOnce(&mut App)) -> Self {
        let mut app = app(
            self.app.store.clone(),
            self.app.clock.clone(),
            Random::system().unwrap(),
            &self.keys,
            &self.name_server,
        );
        app.outgoing = self.app.outgoing.clone();
        app.sign_in = self.app.sign_in.clone();
        app.home = self.app.home;
        app.public_url = self.app.public_url.clone();
        change(&mut app);
        let app = Arc::new(app);
        Self {
            router: rollcall::router::router(&app).unwrap(),
            app,
            organization: self.organization.clone(),
            token: self.token.clone(),
            name_server: self.name_server.clone(),
            clock: self.clock.clone(),
            keys: self.keys.clone(),
        }
    }

    /// Another tenant of the same server.
    pub async fn neighbour(&self) -> Self {
        let organization = new_organization(&self.app).await;
        let token = self.issue(organization, Role::Admin, false, None).await;
        Self {
            app: self.app.clone(),
            router: self.router.clone(),
            organization: organization.to_string(),
            token,
            name_server: self.name_server.clone(),
            clock: self.clock.clone(),
            keys: self.keys.clone(),
        }
    }

    async fn with_keys(
        store: Store,
        keys: String,
        random: Random,
        change: impl FnOnce(&mut App),
    ) -> Self {
        let start: DateTime<Utc> = "2026-03-01T12:00:00Z".parse().unwrap();
        let clock = Arc::new(AtomicI64::new(start.timestamp_micros()));
        let name_server = NameServer::start().await;
        let time = Clock::Manual(clock.clone());
        let mut app = app(store, time, random, &keys, &name_server);
        change(&mut app);
        let app = Arc::new(app);
        let router = rollcall::router::router(&app).unwrap();
        let organization = new_organization(&app).await;
        let mut server = Self {
            app,
            router,
            organization: organization.to_string(),
            token: String::new(),
            name_server,
            clock,
            keys,
        };
        server.token = server.issue(organization, Role::Admin, false, None).await;
        server
    }

    /// Lets time pass.
    pub fn pass(&self, time: TimeDelta) {
        self.clock
            .fetch_add(time.num_microseconds().unwrap(), Ordering::Relaxed);
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.app.clock.now()
    }

    pub fn organization_id(&self) -> OrganizationId {
        self.organization.parse::<Uuid>().unwrap().into()
    }

    /// A token of this organization.
    pub async fn token(&self, role: Role, read_only: bool) -> String {
        self.issue(self.organization_id(), role, read_only, None)
            .await
    }

    pub async fn issue(
        &self,
        organization: OrganizationId,
        role: Role,
        read_only: bool,
        expires_at: Option<DateTime<Utc>>,
    ) -> String {
        // The embedded database has one connection: it is not held while another is asked for.
        let mut db = self.app.store.acquire().await.unwrap();
        let grant = Grant {
            name: "Test",
            role,
            read_only,
            expires_at,
        };
        let token = organizations::issue_token(
            &self.app,
            Some(&self.app.keys),
            &mut db,
            organization,
            &grant,
        )
        .await
        .unwrap();
        token.expose().to_owned()
    }

    /// Calls a method of the OrganizationService as the administrator.
    pub async fn call(&self, method: &str, body: Value) -> Reply {
        self.call_as(&self.token, method, body).await
    }

    /// Calls a method of another service of `gitpod.v1`, such as `GroupService/GetGroup`, as the administrator.
    pub async fn call_to(&self, path: &str, body: Value) -> Reply {
        self.call_to_as(&self.token, path, body).await
    }

    /// Calls a method of another service of `gitpod.v1` with a bearer token.
    pub async fn call_to_as(&self, token: &str, path: &str, body: Value) -> Reply {
        let request = Request::post(format!("/gitpod.v1.{path}"))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {token}"));
        self.send(request.body(Body::from(body.to_string())).unwrap())
            .await
    }

    /// A token with which a program acts as a service account.
    pub async fn service_account_token(&self, id: &str) -> String {
        let request = json!({ "serviceAccountId": id });
        let path = "ServiceAccountService/CreateServiceAccountAccessToken";
        let made = self.call_to(path, request).await.ok();
        made["token"].as_str().unwrap().to_owned()
    }

    /// A new service account in a group that has this role in the organization, such as `ORG_GROUPS_ADMIN`, and a token of it.
    pub async fn with_role(&self, role: &str) -> String {
        let account = json!({ "name": role, "validUntil": "2100-01-01T00:00:00Z" });
        let account = self
            .call_to("ServiceAccountService/CreateServiceAccount", account)
            .await
            .ok();
        let account = account["serviceAccount"]["id"].as_str().unwrap().to_owned();
        let group = json!({ "organizationId": self.organization, "name": self.new_domain() });
        let group = self.call_to("GroupService/CreateGroup", group).await.ok();
        let group = &group["group"]["id"];
        let assignment = json!({
            "groupId": group,
            "resourceType": "RESOURCE_TYPE_ORGANIZATION",
            "resourceId": self.organization,
            "resourceRole": format!("RESOURCE_ROLE_{role}"),
        });
        let path = "GroupService/CreateRoleAssignment";
        self.call_to(path, assignment).await.ok();
        let subject = json!({ "id": account, "principal": "PRINCIPAL_SERVICE_ACCOUNT" });
        let membership = json!({ "groupId": group, "subject": subject });
        self.call_to("GroupService/CreateMembership", membership)
            .await
            .ok();
        self.service_account_token(&account).await
    }

    /// A token of an operator of the installation.
    pub async fn operator_token(&self) -> String {
        let grant = Grant {
            name: "Fleet",
            role: Role::Admin,
            read_only: false,
            expires_at: None,
        };
        let issued = organizations::issue_operator_token(&self.app, &grant);
        issued.await.unwrap().expose().to_owned()
    }

    pub async fn call_as(&self, token: &str, method: &str, body: Value) -> Reply {
        self.send(
            self.request(method, token)
                .body(Body::from(body.to_string()))
                .unwrap(),
        )
        .await
    }

    /// A POST of JSON to a method of the OrganizationService.
    pub fn request(&self, method: &str, token: &str) -> http::request::Builder {
        Request::builder()
            .method(Method::POST)
            .uri(format!("/gitpod.v1.OrganizationService/{method}"))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
    }

    pub async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap();
        let trailers = body.trailers().cloned().unwrap_or_default();
        Reply {
            status: head.status,
            headers: head.headers,
            trailers,
            bytes: body.to_bytes(),
        }
    }

    /// The organization's audit rows of a type of subject, the first first: action, before, after.
    pub async fn audit(&self, subject_type: &str) -> Vec<(String, Value, Value)> {
        let mut db = self.app.store.acquire().await.unwrap();
        sqlx::query_as(
            "select action, coalesce(before, 'null'), coalesce(after, 'null') from audit_entries
             where organization_id = $1 and subject_type = $2 order by id",
        )
        .bind(self.organization_id().as_uuid())
        .bind(subject_type)
        .fetch_all(&mut *db)
        .await
        .unwrap()
    }

    /// A domain that no other test uses.
    pub fn new_domain(&self) -> String {
        let id = Uuid::from_bytes(self.app.random.bytes());
        format!("{}.example", id.simple())
    }

    /// Begins to verify a domain for the organization, and returns the verification.
    pub async fn domain(&self, domain: &str) -> Value {
        let request = json!({ "organizationId": self.organization, "domain": domain });
        let created = self.call("CreateDomainVerification", request).await.ok();
        created["domainVerification"].clone()
    }

    /// Publishes the record of a verification.
    pub fn publish(&self, verification: &Value) {
        let (name, value) = dns::record(verification);
        self.name_server.set(&name, &[&value]);
    }

    /// Verifies a domain for the organization, and returns the verification.
    pub async fn verified_domain(&self, domain: &str) -> Value {
        let pending = self.domain(domain).await;
        self.publish(&pending);
        let request = json!({ "domainVerificationId": pending["id"] });
        self.call("VerifyDomain", request).await.ok()["domainVerification"].clone()
    }

    /// Makes an SSO configuration and returns it.
    pub async fn sso(&self, client_id: &str) -> Value {
        let reply = self
            .call("CreateSSOConfiguration", self.sso_request(client_id))
            .await;
        reply.ok()["ssoConfiguration"].clone()
    }

    pub fn sso_request(&self, client_id: &str) -> Value {
        json!({
            "organizationId": self.organization,
            "clientId": client_id,
            "clientSecret": "hunter2-hunter2",
            "issuerUrl": "https://accounts.example.com",
        })
    }

    /// Makes a SCIM configuration and returns the whole response. Unless `more` names an SSO configuration, it gets
    /// one of its own.
    pub async fn scim(&self, more: Value) -> Value {
        let mut request = json!({ "organizationId": self.organization });
        if more.get("ssoConfigurationId").is_none() {
            let client_id = Uuid::from_bytes(self.app.random.bytes()).to_string();
            request["ssoConfigurationId"] = self.sso(&client_id).await["id"].clone();
        }
        merge(&mut request, more);
        self.call("CreateSCIMConfiguration", request).await.ok()
    }
}

/// What a server of these tests works with.
fn app(store: Store, clock: Clock, random: Random, keys: &str, name_server: &NameServer) -> App {
    let operator = Operator {
        store,
        clock,
        random,
        tokens: TokenHasher::default(),
    };
    let setup = Setup {
        keys: keys.parse().unwrap(),
        public_url: "https://rollcall.test".to_owned(),
        outgoing: outgoing::Settings {
            reach: Reach::Anywhere,
            ..outgoing::Settings::default()
        },
        sign_in: SignInSettings {
            return_origins: vec!["https://app.test".to_owned()],
            ..SignInSettings::default()
        },
        kept: Kept {
            events: TimeDelta::days(30),
            audit_log: TimeDelta::days(365),
        },
    };
    let mut app = App::new(operator, setup).unwrap();
    app.dns = Dns::new(vec![name_server.address]);
    app
}

async fn new_organization(app: &App) -> OrganizationId {
    let mut db = app.store.acquire().await.unwrap();
    organizations::create(app, &mut db, "Test")
        .await
        .unwrap()
        .id
}

/// Sets the fields of `more` in `object`.
pub fn merge(object: &mut Value, more: Value) {
    let Value::Object(more) = more else {
        panic!("an object")
    };
    object.as_object_mut().unwrap().extend(more);
}

/// A response.
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub trailers: HeaderMap,
    pub bytes: Bytes,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|e| panic!("{e}: {:?} {:?}", self.status, self.bytes))
    }

    /// The body of a success.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{:?}", self.bytes);
        self.json()
    }

    /// The message of the Connect error `code`.
    #[track_caller]
    pub fn error(&self, code: &str) -> String {
        let body = self.json();
        assert_eq!(body["code"], code, "{body}");
        let status = match code {
            "unauthenticated" => 401,
            "permission_denied" => 403,
            "not_found" => 404,
            "already_exists" => 409,
            "invalid_argument" | "failed_precondition" => 400,
            "unimplemented" => 501,
            _ => self.status.as_u16(),
        };
        assert_eq!(self.status, status, "{body}");
        body["message"].as_str().unwrap().to_owned()
    }

    /// The fields that the `buf.validate.Violations` detail of an `invalid_argument` names.
    #[track_caller]
    pub fn violations(&self) -> Vec<String> {
        use base64::Engine;
        use buffa::Message;
        use protovalidate_buffa::proto::{Violations, field_path_element::Subscript};

        self.error("invalid_argument");
        let body = self.json();
        let details = body["details"].as_array().unwrap();
        let detail = details
            .iter()
            .find(|d| d["type"] == "buf.validate.Violations")
            .unwrap();
        let bytes = base64::engine::general_purpose::STANDARD_NO_PAD
            .decode(detail["value"].as_str().unwrap())
            .unwrap();
        let violations = Violations::decode_from_slice(&bytes).unwrap().violations;
        violations
            .iter()
            .map(|violation| {
                assert!(
                    violation.message.as_ref().is_some_and(|m| !m.is_empty()),
                    "{violation:?}"
                );
                let path = violation.field.as_option().unwrap();
                let parts = path
                    .elements
                    .iter()
                    .map(|element| match &element.subscript {
                        Some(Subscript::Index(index)) => {
                            format!("{}[{index}]", element.field_name.as_deref().unwrap())
                        }
                        _ => element.field_name.clone().unwrap(),
                    });
                parts.collect::<Vec<_>>().join(".")
            })
            .collect()
    }
}
