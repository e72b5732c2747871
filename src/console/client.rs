//! The API as the console asks it: in the same process, with the credential of whoever looks at the page.

use std::fmt;

use axum::body::{Body, to_bytes};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tower::ServiceExt;

use super::Console;
use super::parts::sentence;
use crate::error::Error;

/// The largest answer of a method, in bytes: no method answers with as much.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// Asks the methods of the API in somebody's name.
#[derive(Clone, Debug, Default)]
pub struct Client {
    headers: HeaderMap,
}

impl Client {
    /// Asks with these headers, which say who asks.
    pub const fn new(headers: HeaderMap) -> Self {
        Self { headers }
    }

    /// Calls a method, such as `gitpod.v1.OrganizationService/ListMembers`, with a request in JSON.
    ///
    /// # Errors
    ///
    /// What the method refuses.
    pub async fn call<A: DeserializeOwned>(
        &self,
        console: &Console,
        method: &str,
        request: impl Serialize,
    ) -> Result<A, Refusal> {
        let body = serde_json::to_vec(&request).map_err(Refusal::fault)?;
        let mut asked = Request::post(format!("/{method}"))
            .body(Body::from(body))
            .map_err(Refusal::fault)?;
        *asked.headers_mut() = self.headers.clone();
        asked
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let Ok(answer) = console.api.clone().oneshot(asked).await;
        let (head, body) = answer.into_parts();
        let body = to_bytes(body, MAX_ANSWER).await.map_err(Refusal::fault)?;
        if head.status.is_success() {
            return serde_json::from_slice(&body).map_err(Refusal::fault);
        }
        Err(Refusal::read(&head.headers, &body))
    }
}

/// Why a page could not do what it was asked to.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The code of the Connect protocol, such as `permission_denied`.
    pub code: String,
    /// What is wrong and what to do.
    pub message: String,
    retry_after: Option<HeaderValue>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Refusal {
    /// With this code and message.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            retry_after: None,
        }
    }

    /// A form that another site sent.
    pub fn other_site() -> Self {
        Self::new(
            "permission_denied",
            "The form did not come from a page of this server. Open the console again, and send it from there.",
        )
    }

    /// Nothing is at the address.
    pub fn nothing_here() -> Self {
        Self::new("not_found", "There is no such page.")
    }

    /// A form that is not as the pages send it.
    pub fn bad_form() -> Self {
        Self::new(
            "invalid_argument",
            "The form came incomplete. Go back, and send it again.",
        )
    }

    /// A fault of the server, which is logged.
    pub fn fault(cause: impl Into<crate::error::Cause>) -> Self {
        Self::from(Error::internal(cause))
    }

    fn read(headers: &HeaderMap, body: &[u8]) -> Self {
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        let (code, message) = (text("code"), text("message"));
        if code.is_empty() {
            return Self::fault("an answer of the API that is none");
        }
        Self {
            code,
            message,
            retry_after: headers.get(RETRY_AFTER).cloned(),
        }
    }

    /// Whether the person can mend it in the form: what was entered is wrong, taken, or too early.
    pub fn is_about_input(&self) -> bool {
        ["invalid_argument", "already_exists", "failed_precondition"].contains(&&*self.code)
            || (self.code == "resource_exhausted" && self.retry_after.is_none())
    }

    /// The message as a sentence.
    pub fn sentence(&self) -> String {
        sentence(&self.message)
    }

    /// The status of the page.
    pub fn status(&self) -> StatusCode {
        match &*self.code {
            "invalid_argument" | "failed_precondition" | "out_of_range" => StatusCode::BAD_REQUEST,
            "unauthenticated" => StatusCode::UNAUTHORIZED,
            "permission_denied" => StatusCode::FORBIDDEN,
            "not_found" => StatusCode::NOT_FOUND,
            "already_exists" => StatusCode::CONFLICT,
            "resource_exhausted" => StatusCode::TOO_MANY_REQUESTS,
            "unavailable" => StatusCode::SERVICE_UNAVAILABLE,
            "deadline_exceeded" => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        error.report();
        let code = match error {
            Error::Unauthenticated => "unauthenticated",
            Error::PermissionDenied(_) => "permission_denied",
            Error::NotFound(_) => "not_found",
            Error::AlreadyExists(_) => "already_exists",
            Error::FailedPrecondition(_) => "failed_precondition",
            Error::Invalid(_) => "invalid_argument",
            Error::Throttled(_) => "resource_exhausted",
            Error::Busy | Error::Unavailable(_) => "unavailable",
            Error::TooLong(_) => "deadline_exceeded",
            Error::Internal(_) => "internal",
        };
        let retry_after = error.retry_after().map(HeaderValue::from);
        Self {
            retry_after,
            ..Self::new(code, error.to_string())
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        if let Some(seconds) = &self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, seconds.clone());
        }
        response.extensions_mut().insert(self);
        response
    }
}
