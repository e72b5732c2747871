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
        error.report();
        let retry_after = error.retry_after();
        let text = error.to_string();
        // What the server lacks is nothing that the administrator of the configuration can mend.
        let is_worth_an_event = !matches!(
            error,
            Error::Unauthenticated
                | Error::Throttled(_)
                | Error::Busy
                | Error::TooLong(_)
                | Error::Unavailable(_)
                | Error::Internal(_)
        );
        let error = match error {
            Error::Unauthenticated => ScimError::new(401, text),
            Error::PermissionDenied(_) => ScimError::new(403, text),
            Error::NotFound(_) => ScimError::new(404, text),
            Error::AlreadyExists(_) => {
                let mut error = ScimError::new(409, text);
                error.scim_type = Some(ScimType::Uniqueness);
                error
            }
            Error::FailedPrecondition(_) => ScimError::new(409, text),
            Error::Invalid(violations) => {
                let texts: Vec<String> = violations
                    .iter()
                    .map(|v| format!("{} {}", v.field, v.message))
                    .collect();
                ScimError::bad_request(ScimType::InvalidValue, texts.join("; "))
            }
            Error::Throttled(_) => ScimError::new(429, text),
            Error::Busy | Error::Unavailable(_) => ScimError::new(503, text),
            Error::TooLong(_) => ScimError::bad_request(ScimType::TooMany, text),
            Error::Internal(_) => ScimError::new(500, Error::INTERNAL),
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_wait_is_rounded_up_and_a_cause_is_not_told() {
        let throttled = Failure::from(Error::Throttled(Duration::from_millis(1_500)));
        let response = respond(Err(throttled));
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        let fault = Failure::from(Error::internal("a column is missing"));
        assert_eq!(fault.error.detail, Error::INTERNAL);
        assert_eq!(respond(Err(fault)).headers().get(header::RETRY_AFTER), None);
    }
}
