//! An identity provider's view of a server: one SCIM configuration and its token.

use std::sync::Arc;

use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use serde_json::{Map, Value, json};
use sqlx::FromRow;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::support::{Reply, Server, merge};

pub const BASE: &str = "https://rollcall.test/scim/v2";
pub const U: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
pub const G: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
pub const E: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
pub const PATCH_OP: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
pub const LIST: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
pub const SEARCH: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";
pub const BULK: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";

/// What RFC 7644, table 9, and RFC 9865 know.
const SCIM_TYPES: [&str; 12] = [
    "invalidFilter",
    "tooMany",
    "uniqueness",
    "mutability",
    "invalidSyntax",
    "invalidPath",
    "noTarget",
    "invalidValue",
    "invalidVers",
    "invalidCursor",
    "expiredCursor",
    "invalidCount",
];

/// The client of one SCIM configuration.
#[derive(Clone)]
pub struct Client {
    pub server: Arc<Server>,
    /// The configuration's id.
    pub configuration: Value,
    pub token: String,
}

impl Client {
    /// A configuration of a new organization.
    pub async fn start() -> Self {
        Self::of(Arc::new(Server::start().await), json!({})).await
    }

    /// A configuration of the organization of `server`.
    pub async fn of(server: Arc<Server>, more: Value) -> Self {
        let created = server.scim(more).await;
        Self {
            configuration: created["scimConfiguration"]["id"].clone(),
            token: created["token"].as_str().unwrap().to_owned(),
            server,
        }
    }

    /// Another configuration of the same organization.
    pub async fn beside(&self, more: Value) -> Self {
        Self::of(self.server.clone(), more).await
    }

    /// A configuration of another organization on the same server.
    pub async fn neighbour(&self) -> Self {
        Self::of(Arc::new(self.server.neighbour().await), json!({})).await
    }

    /// Sends a request to a path below the root; header names may repeat the usual ones, which they
    /// then replace.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Reply {
        let mut request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(format!("/scim/v2{path}"))
            .header(header::CONTENT_TYPE, "application/scim+json")
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .body(body.into())
            .unwrap();
        for (name, value) in headers {
            let name: header::HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        self.server.send(request).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], Body::empty()).await
    }

    /// A GET with these query parameters.
    pub async fn query(&self, path: &str, parameters: &[(&str, &str)]) -> Reply {
        self.get(&format!("{path}?{}", encode(parameters))).await
    }

    /// The resources that a filter finds.
    pub async fn found(&self, path: &str, filter: &str) -> Vec<Value> {
        let query = [("filter", filter), ("count", "1000")];
        let list = self.query(path, &query).await.is(200);
        let resources = list["Resources"].as_array().unwrap().clone();
        assert_eq!(list["totalResults"], resources.len(), "{filter}");
        resources
    }

    /// The user names that a filter finds, sorted.
    pub async fn names(&self, filter: &str) -> Vec<String> {
        let found = self.found("/Users", filter).await;
        let mut names: Vec<String> = found.iter().map(|u| text(&u["userName"])).collect();
        names.sort();
        names
    }

    /// Expects that the filter is refused.
    pub async fn bad_filter(&self, path: &str, filter: &str) -> String {
        let reply = self.query(path, &[("filter", filter)]).await;
        assert_eq!(reply.status, 400, "{filter}: {:?}", reply.bytes);
        reply.refused(400, "invalidFilter")
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.send("POST", path, &[], body.to_string()).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Reply {
        self.send("PUT", path, &[], body.to_string()).await
    }

    /// A PATCH with these operations.
    pub async fn patch(&self, path: &str, operations: Value) -> Reply {
        let body = json!({ "schemas": [PATCH_OP], "Operations": operations });
        self.send("PATCH", path, &[], body.to_string()).await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, &[], Body::empty()).await
    }

    /// Makes a user with these attributes.
    pub async fn user(&self, user_name: &str, more: Value) -> Value {
        let reply = self.post("/Users", user(user_name, more)).await;
        reply.is(201)
    }

    /// Pushes an active user whose name is this address, and returns its path.
    pub async fn push(&self, email: &str) -> String {
        self.push_as(email, email, Value::Null).await
    }

    /// Pushes an active user with this name, address and externalId, and returns its path.
    pub async fn push_as(&self, name: &str, email: &str, external_id: Value) -> String {
        let more = json!({
            "active": true, "externalId": external_id, "displayName": "Pushed",
            "emails": [{ "value": email, "primary": true }],
        });
        path(&self.user(name, more).await)
    }

    /// Suspends or restores the user at a path.
    pub async fn set_active(&self, path: &str, active: bool) {
        let op = json!([{ "op": "replace", "path": "active", "value": active }]);
        self.patch(path, op).await.is(200);
    }

    /// Makes a group with these members.
    pub async fn group(&self, name: &str, members: &[&Value]) -> Value {
        let reply = self.post("/Groups", group(name, members)).await;
        reply.is(201)
    }

    pub async fn read(&self, resource: &Value) -> Value {
        self.get(&path(resource)).await.is(200)
    }

    /// The ids of a group's members, sorted.
    pub async fn members(&self, group: &Value) -> Vec<String> {
        let group = self.read(group).await;
        let members = group["members"].as_array().cloned().unwrap_or_default();
        let mut ids: Vec<String> = members.iter().map(|m| text(&m["value"])).collect();
        ids.sort();
        ids
    }

    /// Rows of a query whose first parameters are the organization and the configuration.
    pub async fn rows<T>(&self, sql: &'static str) -> Vec<T>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let mut db = self.server.app.store.acquire().await.unwrap();
        let configuration: Uuid = text(&self.configuration).parse().unwrap();
        sqlx::query_as(sql)
            .bind(self.server.organization_id().as_uuid())
            .bind(configuration)
            .fetch_all(&mut *db)
            .await
            .unwrap()
    }

    /// Carries out a statement with the same parameters.
    pub async fn execute(&self, sql: &'static str) {
        self.rows::<()>(sql).await;
    }
}

/// Query parameters in the form in which browsers send them: a space is `+`.
pub fn encode(parameters: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(parameters);
    query.finish()
}

pub fn user(user_name: &str, more: Value) -> Value {
    let mut body = json!({ "schemas": [U], "userName": user_name });
    merge(&mut body, more);
    body
}

pub fn group(name: &str, members: &[&Value]) -> Value {
    let values: Vec<Value> = members
        .iter()
        .map(|m| json!({ "value": m["id"] }))
        .collect();
    json!({ "schemas": [G], "displayName": name, "members": values })
}

/// Where a resource is, below the root.
pub fn path(resource: &Value) -> String {
    let location = resource["meta"]["location"].as_str().unwrap();
    location.strip_prefix(BASE).unwrap().to_owned()
}

pub fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("a string: {value}"))
        .to_owned()
}

pub fn ids(resources: &[&Value]) -> Vec<String> {
    let mut ids: Vec<String> = resources.iter().map(|r| text(&r["id"])).collect();
    ids.sort();
    ids
}

/// The object without these members.
pub fn without(object: &Value, names: &[&str]) -> Value {
    let mut object: Map<String, Value> = object.as_object().unwrap().clone();
    object.retain(|name, _| !names.contains(&name.as_str()));
    Value::Object(object)
}

impl Reply {
    /// The body of a SCIM answer with this status; null if there is none.
    #[track_caller]
    pub fn is(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{:?}", self.bytes);
        if self.bytes.is_empty() {
            return Value::Null;
        }
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/scim+json");
        self.json()
    }

    /// The detail of a SCIM error with this status and keyword; "" is none.
    #[track_caller]
    pub fn refused(&self, status: u16, scim_type: &str) -> String {
        let body = self.is(status);
        let urn = "urn:ietf:params:scim:api:messages:2.0:Error";
        assert_eq!(body["schemas"], json!([urn]), "{body}");
        assert_eq!(body["status"], json!(status.to_string()), "{body}");
        let found = body["scimType"].as_str().unwrap_or_default();
        assert_eq!(found, scim_type, "{body}");
        assert!(found.is_empty() || SCIM_TYPES.contains(&found));
        assert_eq!(
            self.status == StatusCode::UNAUTHORIZED,
            self.headers.contains_key(header::WWW_AUTHENTICATE)
        );
        let detail = body["detail"].as_str().unwrap_or_default();
        assert!(detail.len() > 10, "{body}");
        detail.to_owned()
    }

    /// A header's text.
    #[track_caller]
    pub fn header(&self, name: &str) -> String {
        let value = self.headers.get(name);
        value
            .unwrap_or_else(|| panic!("no {name}"))
            .to_str()
            .unwrap()
            .to_owned()
    }
}
