//! What receivers read of this transmitter by themselves.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde_json::{Value, json};

use super::{ADD_SUBJECT_PATH, REMOVE_SUBJECT_PATH, STATUS_PATH, VERIFY_PATH};
use crate::domain::application::Scope;
use crate::domain::event_stream::{Delivery, STREAMS_PATH};
use crate::provisioning::signing::KEYS_PATH;

/// Where the transmitter's metadata are (section 7.2).
pub const PATH: &str = "/.well-known/ssf-configuration";
/// Where it says which access tokens it takes (RFC 9728, section 3).
pub const RESOURCE_PATH: &str = "/.well-known/oauth-protected-resource/ssf";

/// How long receivers may keep them.
const KEPT: &str = "public, max-age=3600";

/// The metadata, which stay as they are.
#[derive(Clone)]
pub struct Documents(Arc<[Bytes; 2]>);

impl Documents {
    /// Those of this issuer.
    pub fn of(issuer: &str) -> Self {
        let documents = [metadata(issuer), protected(issuer)];
        Self(Arc::new(
            documents.map(|document| document.to_string().into()),
        ))
    }
}

/// `GET /.well-known/ssf-configuration`.
pub async fn configuration(Extension(documents): Extension<Documents>) -> Response {
    published(&documents.0[0])
}

/// `GET /.well-known/oauth-protected-resource/ssf`.
pub async fn resource(Extension(documents): Extension<Documents>) -> Response {
    published(&documents.0[1])
}

fn published(document: &Bytes) -> Response {
    let headers = [(CACHE_CONTROL, KEPT), (CONTENT_TYPE, "application/json")];
    (headers, document.clone()).into_response()
}

fn metadata(issuer: &str) -> Value {
    let at = |path: &str| format!("{issuer}{path}");
    json!({
        "spec_version": "1_0",
        "issuer": issuer,
        "jwks_uri": at(KEYS_PATH),
        "delivery_methods_supported": [Delivery::PUSH, Delivery::POLL],
        "configuration_endpoint": at(STREAMS_PATH),
        "status_endpoint": at(STATUS_PATH),
        "add_subject_endpoint": at(ADD_SUBJECT_PATH),
        "remove_subject_endpoint": at(REMOVE_SUBJECT_PATH),
        "verification_endpoint": at(VERIFY_PATH),
        "authorization_schemes": [{ "spec_urn": "urn:ietf:rfc:6749" }],
        "default_subjects": "ALL",
    })
}

fn protected(issuer: &str) -> Value {
    json!({
        "resource": format!("{issuer}/ssf"),
        "resource_name": "Rollcall, streams of security events",
        "authorization_servers": [issuer],
        "scopes_supported": [Scope::Api],
        "bearer_methods_supported": ["header"],
    })
}
