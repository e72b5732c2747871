//! What applications read of this server by themselves (OpenID Connect Discovery 1.0; RFC 8414; RFC 7517).

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde_json::{Value, json};

use super::{
    INTROSPECTION_PATH, LOGOUT_PATH, PUSH_PATH, REVOCATION_PATH, TOKEN_PATH, USERINFO_PATH, claims,
};
use crate::app::App;
use crate::domain::application::{ClientAuthentication, Grant, Scope, Signature};
use crate::provisioning::sign_in::AUTHORIZE_PATH;
use crate::provisioning::signing::{self, KEYS_PATH};

/// How long clients may keep it: a key is published a day before it signs.
const KEPT: &str = "public, max-age=3600";

/// `GET /.well-known/openid-configuration` and `/.well-known/oauth-authorization-server`: what [`document`] says.
pub async fn metadata(Extension(document): Extension<Document>) -> Response {
    let headers = [(CACHE_CONTROL, KEPT), (CONTENT_TYPE, "application/json")];
    (headers, document.0).into_response()
}

/// The metadata, which stay as they are.
#[derive(Clone)]
pub struct Document(Bytes);

impl Document {
    /// The metadata of this issuer.
    pub fn of(issuer: &str) -> Self {
        Self(document(issuer).to_string().into())
    }
}

fn document(issuer: &str) -> Value {
    let at = |path: &str| format!("{issuer}{path}");
    let methods = ClientAuthentication::ALL;
    let proving: Vec<_> = methods
        .iter()
        .filter(|method| **method != ClientAuthentication::None)
        .collect();
    // Those that verify signatures of clients: see `oidc::jose`.
    let signing = [
        "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
    ];
    let of_token = [
        "iss",
        "sub",
        "aud",
        "exp",
        "iat",
        "auth_time",
        "nonce",
        "acr",
        "amr",
        "sid",
        "at_hash",
        "org_id",
    ];
    let supported: Vec<&str> = of_token.into_iter().chain(claims::supported()).collect();
    json!({
        "issuer": issuer,
        "authorization_endpoint": at(AUTHORIZE_PATH),
        "token_endpoint": at(TOKEN_PATH),
        "userinfo_endpoint": at(USERINFO_PATH),
        "jwks_uri": at(KEYS_PATH),
        "end_session_endpoint": at(LOGOUT_PATH),
        "introspection_endpoint": at(INTROSPECTION_PATH),
        "revocation_endpoint": at(REVOCATION_PATH),
        "pushed_authorization_request_endpoint": at(PUSH_PATH),
        "require_pushed_authorization_requests": false,
        "scopes_supported": Scope::ALL,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post"],
        "grant_types_supported": Grant::ALL,
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": Signature::ALL,
        "userinfo_signing_alg_values_supported": Signature::ALL,
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": signing,
        "introspection_endpoint_auth_methods_supported": proving,
        "introspection_endpoint_auth_signing_alg_values_supported": signing,
        "revocation_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_signing_alg_values_supported": signing,
        "code_challenge_methods_supported": ["S256"],
        "prompt_values_supported": ["none", "login", "select_account", "consent"],
        "claim_types_supported": ["normal", "distributed"],
        "claims_supported": supported,
        "claims_parameter_supported": true,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "require_request_uri_registration": false,
        "authorization_response_iss_parameter_supported": true,
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
    })
}

/// `GET /oauth2/keys`.
pub async fn keys(State(app): State<Arc<App>>) -> Response {
    match signing::ring(&app).await {
        Ok(ring) => {
            let headers = [
                (CACHE_CONTROL, KEPT),
                (CONTENT_TYPE, "application/jwk-set+json"),
            ];
            (headers, ring.public.clone()).into_response()
        }
        Err(error) => super::error::Failure::Fault(error).into_response(),
    }
}
