//! Door 2: SCIM 2.0 (RFC 7643, RFC 7644, RFC 9865) for identity providers, below `/scim/v2`.
//!
//! A request passes [`routing`], which has its token verified ([`authentication`]) and its body read
//! ([`request`]), and one of the endpoints: [`users`], [`groups`], [`bulk`], [`list`], [`discovery`].
//! [`answers`] turns what comes of it into a response.
//!
//! What SCIM itself says of resources, filters and PATCH is the crate `scim`, which knows neither HTTP nor
//! SQL. [`resource`] adds to a stored resource what the server knows of it. The store turns a filter into SQL.

pub mod answers;
pub mod at_once;
pub mod authentication;
pub mod bulk;
pub mod discovery;
pub mod groups;
pub mod labels;
pub mod list;
pub mod request;
pub mod resource;
pub mod routing;
pub mod users;
pub mod writes;

use std::sync::Arc;

use axum::response::Response;
use chrono::{DateTime, Utc};
use http::request::Parts;
use scim::project::Projection;
use scim::schema::ResourceType;
use serde_json::{Map, Value};

pub use self::routing::router;
use crate::app::App;
use crate::domain::identity::Subject;
use crate::domain::ids::ResourceId;
use crate::error::Error;
use crate::http::observe::Told;
use crate::metrics::Door;
use crate::store::Transaction;
use crate::store::scim_events::{Event, Outcome};
use crate::store::scim_resources::Tenant;
use crate::traces::method_name;

/// Everything at or below this path is answered by this door.
pub const TOP: &str = "/scim";

/// Where the endpoints are, below the public URL.
pub const ROOT: &str = "/scim/v2";

/// How its requests are told of.
pub const TOLD: Told = Told {
    door: Door::Scim,
    names: |_, request| {
        let verb = method_name(request.method());
        let endpoint = labels::endpoint_label(request.uri().path());
        (
            format!("{verb} {endpoint}").into(),
            format!("{ROOT}{endpoint}"),
        )
    },
    status: Response::status,
};

/// The largest body of a request, in bytes: a thousand users in one, or a group of a hundred
/// thousand members.
pub const MAX_BODY: usize = 10 * 1024 * 1024;

/// A request of a configuration's client.
pub struct Context {
    /// The application.
    pub app: Arc<App>,
    /// Whose resources.
    pub tenant: Tenant,
    /// Whether a user is linked to a member by an address that nobody has verified.
    pub allow_unverified_linking: bool,
    /// The URL of the SCIM root.
    pub base: String,
    /// The HTTP method, for the log of the configuration.
    pub method: String,
    /// The path below the root, for the log of the configuration.
    pub path: String,
    /// When it began.
    pub now: DateTime<Utc>,
}

impl Context {
    /// Begins a change, which the configuration makes.
    async fn begin(&self) -> Result<Transaction, Error> {
        let actor: Subject = self.tenant.scim_configuration_id.into();
        self.app.store.begin_as(actor.into()).await
    }

    /// A request to the configuration of `tenant`, which links nobody by an address that nobody has verified.
    fn new(app: &Arc<App>, tenant: Tenant, head: &Parts, path: &str, now: DateTime<Utc>) -> Self {
        Self {
            app: app.clone(),
            tenant,
            allow_unverified_linking: false,
            base: format!("{}{ROOT}", app.public_url),
            method: head.method.to_string(),
            path: format!("/{path}"),
            now,
        }
    }

    /// What the log of the configuration says of a change.
    pub fn event(
        &self,
        outcome: Outcome,
        status: u16,
        resource: (ResourceType, ResourceId),
        changes: Value,
        traits: Vec<&'static str>,
    ) -> Event {
        let action = match (outcome, resource.0) {
            (Outcome::Created, ResourceType::User) => "CreateUser",
            (Outcome::Created, ResourceType::Group) => "CreateGroup",
            (Outcome::Updated, ResourceType::User) => "UpdateUser",
            (Outcome::Updated, ResourceType::Group) => "UpdateGroup",
            (Outcome::Deleted, ResourceType::User) => "DeleteUser",
            (Outcome::Deleted, ResourceType::Group) => "DeleteGroup",
            (Outcome::Refused, _) => "",
        };
        Event {
            action,
            resource_type: Some(resource.0.name()),
            resource_id: Some(resource.1),
            changes: Some(changes),
            traits,
            ..self.plain_event(outcome, status)
        }
    }

    /// Counts a change that was made.
    pub fn count(&self, outcome: Outcome, kind: ResourceType, traits: &[&'static str]) {
        let metrics = &self.app.metrics;
        metrics.scim_changed(kind.name(), outcome.as_str(), traits);
    }

    /// What the log of the configuration says of a request that changed nothing.
    pub fn plain_event(&self, outcome: Outcome, status: u16) -> Event {
        Event {
            id: self.app.new_id(),
            created_at: self.now,
            method: self.method.clone(),
            // The path of a bulk operation may have what cannot be stored.
            path: self.path.replace('\0', "").chars().take(500).collect(),
            traits: vec![],
            outcome,
            status: i16::try_from(status).unwrap_or_default(),
            resource_type: None,
            resource_id: None,
            action: "",
            changes: None,
            reason: None,
        }
    }
}

/// What a version must be for a request to be carried out (RFC 7644, section 3.14).
#[derive(Clone, Debug, Default)]
pub struct Precondition(pub Option<String>);

impl Precondition {
    /// Whether a resource of this version may be changed.
    pub fn allows(&self, version: i64) -> bool {
        let Some(tags) = &self.0 else { return true };
        let ours = resource::etag(version);
        let strip = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
        tags.split(',')
            .any(|tag| tag.trim() == "*" || strip(tag) == strip(&ours))
    }
}

/// A successful answer.
#[derive(Debug, Default)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The resource's URL.
    pub location: Option<String>,
    /// The resource's entity tag.
    pub etag: Option<String>,
    /// The body.
    pub body: Option<Value>,
}

impl Reply {
    /// An answer with a body.
    pub fn ok(body: Value) -> Self {
        Self {
            status: 200,
            body: Some(body),
            ..Self::default()
        }
    }

    /// An answer without one.
    pub fn no_content() -> Self {
        Self {
            status: 204,
            ..Self::default()
        }
    }

    /// An answer with a resource as a client sees it.
    pub fn resource(
        status: u16,
        version: i64,
        location: String,
        shown: Map<String, Value>,
    ) -> Self {
        Self {
            status,
            location: Some(location),
            etag: Some(resource::etag(version)),
            body: Some(Value::Object(shown)),
        }
    }
}

/// What a client wants to see, and on which condition.
pub struct Wishes {
    /// The attributes.
    pub projection: Projection,
    /// `If-Match`.
    pub if_match: Precondition,
    /// `If-None-Match`.
    pub if_none_match: Precondition,
}
