//! Domain errors as Connect errors: the only translation.
//!
//! | domain | Connect | HTTP |
//! |---|---|---|
//! | `Unauthenticated` | `unauthenticated` | 401, `WWW-Authenticate: Bearer` |
//! | `PermissionDenied` | `permission_denied` | 403 |
//! | `NotFound` | `not_found` | 404 |
//! | `AlreadyExists` | `already_exists` | 409, `x-should-retry: false` |
//! | `FailedPrecondition` | `failed_precondition` | 400 |
//! | `Invalid` | `invalid_argument` with a `buf.validate.Violations` detail | 400 |
//! | `Throttled` | `resource_exhausted` with a `google.rpc.RetryInfo` detail | 429, `Retry-After` |
//! | `Busy`, `Unavailable` | `unavailable` | 503, `Retry-After` |
//! | `TooLong` | `deadline_exceeded` | 504 |
//! | `Internal` | `internal` | 500 |
//!
//! Every error names its request: a `google.rpc.RequestInfo` detail with the id that the log has.

use std::error::Error as _;

use buffa::{Message, MessageName};
use connectrpc::interceptor::{StreamRequest, StreamResponse, UnaryRequest, UnaryResponse};
use connectrpc::{
    ConnectError, ErrorCode, ErrorDetail, Interceptor, Next, NextStream, PayloadStream,
};
use http::HeaderValue;
use http::header::{HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use protovalidate_buffa::ValidationError;
use protovalidate_buffa::proto::field_path_element::Subscript;
use protovalidate_buffa::proto::{
    FieldPath, FieldPathElement, Violation as ViolationDetail, Violations,
};

use crate::error::{Error, Violation, report};
use crate::http::request_id::RequestId;
use proto::google::rpc::{RequestInfo, RetryInfo};

/// How many violations an error names: details travel in headers over gRPC, whose size is limited.
const MAX_VIOLATIONS: usize = 20;

impl From<Error> for ConnectError {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        let wait = error.retry_after();
        let mut error = match error {
            Error::Unauthenticated => {
                let mut error = Self::unauthenticated(text);
                error
                    .response_headers_mut()
                    .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                error
            }
            Error::PermissionDenied(_) => Self::permission_denied(text),
            Error::NotFound(_) => Self::not_found(text),
            Error::AlreadyExists(_) => Self::already_exists(text),
            Error::FailedPrecondition(_) => Self::failed_precondition(text),
            Error::Invalid(violations) => invalid(
                violations
                    .into_iter()
                    .map(|v| (path(&v.field), v))
                    .collect(),
            ),
            Error::Throttled(_) => {
                Self::resource_exhausted(text).with_detail(retry_info(wait.unwrap_or_default()))
            }
            Error::Unavailable(cause) => Self::unavailable(text).with_source(cause),
            Error::Busy => Self::unavailable(text),
            Error::TooLong(_) => Self::deadline_exceeded(text),
            Error::Internal(cause) => Self::internal(text).with_source(cause),
        };
        if let Some(seconds) = wait {
            let value = HeaderValue::from(seconds);
            let headers = error.response_headers_mut();
            headers.insert(RETRY_AFTER, value.clone());
            headers.insert(HeaderName::from_static("ratelimit-retryafter"), value);
        }
        error
    }
}

fn retry_info(seconds: u64) -> ErrorDetail {
    let retry_delay = buffa_types::google::protobuf::Duration {
        seconds: i64::try_from(seconds).unwrap_or(i64::MAX),
        ..Default::default()
    };
    detail(&RetryInfo {
        retry_delay: retry_delay.into(),
        ..Default::default()
    })
}

fn detail<M: Message + MessageName>(message: &M) -> ErrorDetail {
    ErrorDetail::from_message(M::FULL_NAME, message)
}

fn invalid(violations: Vec<(FieldPath, Violation)>) -> ConnectError {
    let more = violations.len().saturating_sub(MAX_VIOLATIONS);
    let shown = &violations[..violations.len() - more];
    let mut message: Vec<String> = shown
        .iter()
        .map(|(_, v)| format!("{} {}", v.field, v.message).trim().to_owned())
        .collect();
    if more > 0 {
        message.push(format!("and {more} more"));
    }
    let details = Violations {
        violations: shown
            .iter()
            .map(|(path, v)| ViolationDetail {
                field: path.clone().into(),
                rule_id: Some(v.rule.clone().into_owned()),
                message: Some(v.message.clone()),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    };
    ConnectError::invalid_argument(message.join("; ")).with_detail(detail(&details))
}

/// The path of a field in words, such as `email_domains[2]`, in the form of the detail.
fn path(field: &str) -> FieldPath {
    let element = |part: &str| {
        let (name, index) = match part.split_once('[') {
            Some((name, index)) => (name, index.trim_end_matches(']').parse().ok()),
            None => (part, None),
        };
        FieldPathElement {
            field_name: Some(name.to_owned()),
            subscript: index.map(Subscript::Index),
            ..Default::default()
        }
    };
    FieldPath {
        elements: field
            .split('.')
            .filter(|part| !part.is_empty())
            .map(element)
            .collect(),
        ..Default::default()
    }
}

/// The broken rules of the `.proto` files, in the words that the rules have there.
fn explain(failure: &ValidationError, method: &str) -> ConnectError {
    if failure.compile_error.is_some() || failure.runtime_error.is_some() {
        return ConnectError::internal("internal error").with_source(failure.clone());
    }
    let paths: Vec<FieldPath> = failure
        .to_proto()
        .violations
        .into_iter()
        .map(|v| without_keys(v.field.into_option().unwrap_or_default()))
        .collect();
    let violations = failure
        .violations
        .iter()
        .zip(&paths)
        .map(|(v, path)| Violation {
            field: in_words(path),
            rule: v.rule_id.clone(),
            message: words(method, path, &v.rule_id).to_owned(),
        });
    let violations: Vec<Violation> = violations.collect();
    invalid(paths.into_iter().zip(violations).collect())
}

/// The path of a field without keys of maps: they are what was sent.
fn without_keys(mut path: FieldPath) -> FieldPath {
    for element in &mut path.elements {
        if !matches!(element.subscript, Some(Subscript::Index(_))) {
            element.subscript = None;
        }
    }
    path
}

/// The path of a field in words, such as `email_domains[2]`.
fn in_words(path: &FieldPath) -> String {
    let element = |element: &FieldPathElement| {
        let name = element.field_name.as_deref().unwrap_or_default();
        match element.subscript {
            Some(Subscript::Index(index)) => format!("{name}[{index}]"),
            _ => name.to_owned(),
        }
    };
    let elements: Vec<String> = path.elements.iter().map(element).collect();
    elements.join(".")
}

/// What a field must be for a rule.
fn words(method: &str, field: &FieldPath, rule: &str) -> &'static str {
    let names = field
        .elements
        .iter()
        .filter_map(|e| e.field_name.as_deref());
    let path = names.collect::<Vec<_>>().join(".");
    // The empty text breaks a rule under a name of its own.
    let id = rule.strip_suffix("_empty").unwrap_or(rule);
    proto::RULES
        .iter()
        .find(|rule| (rule.method, rule.field, rule.id) == (method, &*path, id))
        .map_or("breaks a rule", |rule| rule.words)
}

/// The outermost interceptor: explains broken rules, logs faults, and names the request in every
/// error.
pub struct Errors;

#[connectrpc::async_trait]
impl Interceptor for Errors {
    async fn intercept_unary(
        &self,
        request: UnaryRequest,
        next: Next<'_>,
    ) -> Result<UnaryResponse, ConnectError> {
        let id = request.ctx.extensions().get::<RequestId>().cloned();
        let method = request.ctx.spec().map_or("", |spec| spec.procedure);
        next.run(request)
            .await
            .map_err(|error| finish(explained(error, method), id.as_ref()))
    }

    async fn intercept_streaming(
        &self,
        request: StreamRequest,
        inbound: PayloadStream,
        next: NextStream<'_>,
    ) -> Result<StreamResponse, ConnectError> {
        let id = request.ctx.extensions().get::<RequestId>().cloned();
        let method = request.ctx.spec().map_or("", |spec| spec.procedure);
        next.run(request, inbound)
            .await
            .map_err(|error| finish(explained(error, method), id.as_ref()))
    }
}

/// Replaces what the library says of broken rules.
fn explained(error: ConnectError, method: &str) -> ConnectError {
    let broken_rules = error
        .source()
        .and_then(|source| source.downcast_ref::<ValidationError>());
    match broken_rules {
        Some(failure) => explain(failure, method),
        None => error,
    }
}

/// Makes an error ready to be sent: see [`Errors`].
pub fn finish(mut error: ConnectError, request_id: Option<&RequestId>) -> ConnectError {
    if let Some(cause) = error.source() {
        report(cause);
    }
    if error.code == ErrorCode::Internal {
        // Whatever the text was, it was written for us.
        error.message = Some(Error::INTERNAL.to_owned());
    }
    match request_id {
        Some(id) => error.with_detail(detail(&RequestInfo {
            request_id: id.to_string(),
            ..Default::default()
        })),
        None => error,
    }
}
