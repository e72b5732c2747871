//! What receivers are told that is wrong: the statuses of the Shared Signals Framework 1.0, and the errors of RFC 6750.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{self, HeaderValue};
use serde_json::json;

use super::discovery::RESOURCE_PATH;
use crate::error::Error;

/// A request that is not carried out.
#[derive(Debug)]
pub struct Failure {
    status: StatusCode,
    code: &'static str,
    description: Cow<'static, str>,
    /// When another try may succeed, in seconds.
    retry_after: Option<u64>,
}

impl Failure {
    /// A request that is malformed, or breaks a rule.
    pub fn request(description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", description)
    }

    /// A receiver that has as many streams as it may have.
    pub fn too_many(description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", description)
    }

    fn new(
        status: StatusCode,
        code: &'static str,
        description: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            code,
            description: description.into(),
            retry_after: None,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        error.report();
        let (status, code) = match &error {
            Error::Unauthenticated => (StatusCode::UNAUTHORIZED, "invalid_token"),
            Error::PermissionDenied(_) => (StatusCode::FORBIDDEN, "insufficient_scope"),
            Error::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
            Error::AlreadyExists(_) => (StatusCode::CONFLICT, "conflict"),
            Error::FailedPrecondition(_) | Error::Invalid(_) => {
                (StatusCode::BAD_REQUEST, "invalid_request")
            }
            Error::Throttled(_) => (StatusCode::TOO_MANY_REQUESTS, "too_many_requests"),
            Error::Busy | Error::TooLong(_) | Error::Unavailable(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable")
            }
            Error::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
        };
        let description = match &error {
            Error::Internal(_) => Cow::Borrowed(Error::INTERNAL),
            error => Cow::Owned(error.to_string()),
        };
        Self {
            retry_after: error.retry_after(),
            ..Self::new(status, code, description)
        }
    }
}

/// A failure with where its receiver finds out how to get a token (RFC 9728, section 5.1).
#[derive(Debug)]
pub struct Answer<'a>(pub Failure, pub &'a str);

impl IntoResponse for Answer<'_> {
    fn into_response(self) -> Response {
        let Self(failure, issuer) = self;
        let body = json!({ "err": failure.code, "description": failure.description });
        let mut response = (failure.status, axum::Json(body)).into_response();
        let headers = response.headers_mut();
        if matches!(
            failure.status,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
        ) {
            let challenge = format!(
                "Bearer realm=\"rollcall\", error=\"{}\", resource_metadata=\"{issuer}{RESOURCE_PATH}\"",
                failure.code
            );
            if let Ok(challenge) = HeaderValue::from_str(&challenge) {
                headers.insert(header::WWW_AUTHENTICATE, challenge);
            }
        }
        if let Some(seconds) = failure.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
