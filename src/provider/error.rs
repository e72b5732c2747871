//! What clients are told that is wrong: the errors of OAuth 2.0 (RFC 6749, sections 4.1.2.1 and 5.2; RFC 6750, section 3.1) and of
//! OpenID Connect Core (section 3.1.2.6).

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{self, HeaderValue};
use serde_json::json;

use crate::domain::names::named;
use crate::error::Error;

named! {
    /// An error of the protocol.
    pub enum Code {
        /// Something is missing, stands twice or is malformed.
        InvalidRequest = "invalid_request",
        /// The client is not known, or is not who it says it is.
        InvalidClient = "invalid_client",
        /// What was presented for tokens is worth nothing, or nothing any more.
        InvalidGrant = "invalid_grant",
        /// The client may not do this.
        UnauthorizedClient = "unauthorized_client",
        /// There is no such way to get tokens here.
        UnsupportedGrantType = "unsupported_grant_type",
        /// There is no such kind of answer here.
        UnsupportedResponseType = "unsupported_response_type",
        /// There is no such kind of token here.
        UnsupportedTokenType = "unsupported_token_type",
        /// Scopes that were not granted.
        InvalidScope = "invalid_scope",
        /// The person, or the person's organization, said no.
        AccessDenied = "access_denied",
        /// The person has to sign in, which `prompt=none` forbids.
        LoginRequired = "login_required",
        /// The person did not sign in as strongly as must be (OpenID Connect Core Unmet Authentication Requirements 1.0).
        UnmetAuthenticationRequirements = "unmet_authentication_requirements",
        /// The person has to choose, which `prompt=none` forbids.
        AccountSelectionRequired = "account_selection_required",
        /// The person has to agree, which `prompt=none` forbids.
        ConsentRequired = "consent_required",
        /// Request objects are not supported.
        RequestNotSupported = "request_not_supported",
        /// Request objects at other places are not supported.
        RequestUriNotSupported = "request_uri_not_supported",
        /// Registration in a request is not supported.
        RegistrationNotSupported = "registration_not_supported",
        /// The pushed request is not there, or not any more.
        InvalidRequestUri = "invalid_request_uri",
        /// The access token is worth nothing, or nothing any more.
        InvalidToken = "invalid_token",
        /// The access token is for other things.
        InsufficientScope = "insufficient_scope",
        /// Not the client's doing; trying again helps.
        TemporarilyUnavailable = "temporarily_unavailable",
        /// A fault of this server.
        ServerError = "server_error",
    }
}

/// A request that is not carried out, and why, for the client's developer.
#[derive(Debug)]
pub struct Refused {
    /// The error.
    pub code: Code,
    /// What is wrong and what to do, in printable ASCII without quotes and backslashes (RFC 6749, section 5.2).
    pub description: Cow<'static, str>,
}

impl Refused {
    /// Says why.
    pub fn new(code: Code, description: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            description: description.into(),
        }
    }

    /// A request that is incomplete or malformed.
    pub fn request(description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidRequest, description)
    }
}

/// Why a client gets no answer of the kind that it asked for.
#[derive(Debug)]
pub enum Failure {
    /// It can do something about it.
    Refused(Refused),
    /// It cannot.
    Fault(Error),
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Fault(error)
    }
}

/// What a client is told of what is not its doing; the log has the cause.
pub fn fault(error: &Error) -> (Refused, Option<u64>) {
    error.report();
    match error.retry_after() {
        Some(seconds) => (
            Refused::new(
                Code::TemporarilyUnavailable,
                "the server is not available at the moment: try again",
            ),
            Some(seconds),
        ),
        None => (
            Refused::new(
                Code::ServerError,
                "internal error: the log of the server has the cause under the id of this request, which is in the header x-request-id",
            ),
            None,
        ),
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (refused, retry_after) = match self {
            Self::Refused(refused) => (refused, None),
            Self::Fault(error) => fault(&error),
        };
        let status = match refused.code {
            Code::InvalidClient | Code::InvalidToken => StatusCode::UNAUTHORIZED,
            Code::InsufficientScope => StatusCode::FORBIDDEN,
            Code::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Code::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        };
        let (code, description) = (refused.code, &refused.description);
        let body = json!({ "error": code, "error_description": description });
        let mut response = (status, axum::Json(body)).into_response();
        let headers = response.headers_mut();
        let challenge = match code {
            Code::InvalidClient => Some("Basic realm=\"rollcall\"".to_owned()),
            Code::InvalidToken | Code::InsufficientScope => Some(format!(
                "Bearer realm=\"rollcall\", error=\"{code}\", error_description=\"{description}\""
            )),
            _ => None,
        };
        if let Some(challenge) = challenge.and_then(|text| HeaderValue::from_str(&text).ok()) {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
