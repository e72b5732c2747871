//! What a client is answered, and what is kept of a refusal: the log of the configuration, the metrics.

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use http::header::{self, HeaderValue};
use scim::error::{ScimError, ScimType};
use scim::schema::ResourceType;

use super::{Context, Reply};
use crate::error::{Chain, Error};
use crate::store;
use crate::store::scim_events::Outcome;

/// A refusal, and whether the log of the configuration tells of it.
#[derive(Debug)]
pub struct Failure {
    /// What the client sees.
    pub error: ScimError,
    retry_after: Option<u64>,
    allow: Option<&'static str>,
    is_worth_an_event: bool,
}

impl Failure {
    /// The refusal of a method, with those that the endpoint takes.
    pub fn not_allowed(methods: &'static str) -> Self {
        let error = ScimError::new(405, format!("this endpoint takes {methods}"));
        Self {
            allow: Some(methods),
            ..error.into()
        }
    }
}

impl From<ScimError> for Failure {
    fn from(error: ScimError) -> Self {
        Self {
            error,
            retry_after: None,
            allow: None,
            is_worth_an_event: true,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        let plain = |status| ScimError::new(status, text.clone());
        let (error, retry_after, is_worth_an_event) = match error {
            Error::Unauthenticated => (plain(401), None, false),
            Error::PermissionDenied(_) => (plain(403), None, true),
            Error::NotFound(_) => (plain(404), None, true),
            Error::AlreadyExists(_) => {
                let mut error = plain(409);
                error.scim_type = Some(ScimType::Uniqueness);
                (error, None, true)
            }
            Error::FailedPrecondition(_) => (plain(409), None, true),
            Error::Invalid(violations) => {
                let texts: Vec<String> = violations
                    .iter()
                    .map(|v| format!("{} {}", v.field, v.message))
                    .collect();
                (
                    ScimError::bad_request(ScimType::InvalidValue, texts.join("; ")),
                    None,
                    true,
                )
            }
            Error::Throttled(wait) => (plain(429), Some(wait.as_secs().max(1)), false),
            Error::Busy => (plain(503), Some(1), false),
            Error::TooLong(_) => {
                let error = ScimError::bad_request(ScimType::TooMany, text);
                (error, None, false)
            }
            Error::Unavailable(cause) => {
                tracing::error!(cause = %Chain(&*cause), "a request failed");
                (plain(503), Some(1), false)
            }
            Error::Internal(cause) => {
                tracing::error!(cause = %Chain(&*cause), "a request failed");
                let text = "internal error: the server's log has the cause under the x-request-id of this response";
                (ScimError::new(500, text), None, false)
            }
        };
        Self {
            error,
            retry_after,
            allow: None,
            is_worth_an_event,
        }
    }
}

/// The error for a resource that is not there.
pub fn no_such(resource_type: ResourceType) -> ScimError {
    ScimError::new(
        404,
        format!(
            "there is no {} with this id in this configuration",
            resource_type.name()
        ),
    )
}

/// Tells the log of the configuration and the metrics of a refusal.
pub async fn record(context: &Context, failure: &Failure) {
    let metrics = &context.app.metrics;
    metrics.scim_refused(failure.error.reason());
    if !failure.is_worth_an_event {
        return;
    }
    let mut event = context.plain_event(Outcome::Refused, failure.error.status);
    event.reason = Some(failure.error.detail.clone());
    let recorded = match context.app.store.acquire().await {
        Ok(mut db) => store::scim_events::record(&mut db, context.tenant, &event, None).await,
        Err(error) => Err(error),
    };
    if let Err(error) = recorded {
        tracing::warn!(cause = %Chain(&error), "a refusal could not be recorded");
    }
}

/// The response: a reply, or the error form.
pub fn respond(result: Result<Reply, Failure>) -> Response {
    let (reply, retry_after, allow) = match result {
        Ok(reply) => (reply, None, None),
        Err(failure) => {
            let reply = Reply {
                status: failure.error.status,
                body: Some(failure.error.to_json()),
                ..Reply::default()
            };
            (reply, failure.retry_after, failure.allow)
        }
    };
    let mut response = Response::new(match &reply.body {
        Some(body) => Body::from(body.to_string()),
        None => Body::empty(),
    });
    *response.status_mut() =
        StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if reply.body.is_some() {
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/scim+json"),
        );
    }
    let texts = [
        (header::LOCATION, reply.location),
        (header::ETAG, reply.etag),
    ];
    for (name, text) in texts {
        if let Some(value) = text.and_then(|text| HeaderValue::try_from(text).ok()) {
            headers.insert(name, value);
        }
    }
    if reply.status == 401 {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(methods) = allow {
        headers.insert(header::ALLOW, HeaderValue::from_static(methods));
    }
    if let Some(seconds) = retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
