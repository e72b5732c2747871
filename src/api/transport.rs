//! What stands between HTTP and the RPC library: what no protocol reads, which page of a list, and answers that the
//! library leaves without a body.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::DecodePaddingMode::Indifferent;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use connectrpc::{ConnectError, Protocol};
use futures_util::FutureExt;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use percent_encoding::percent_decode_str;

use super::STREAM;
use super::errors;
use super::paging::PageOverride;
use crate::http::body::drain;
use crate::http::request_id::RequestId;

/// Base64url, padded or not.
const URL_SAFE_ANY: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(Indifferent),
);

/// Asks the Stainless SDKs not to repeat a request that would fail again.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// How the paths of methods begin, below the root or `/api`.
const PACKAGES: [&str; 2] = ["/gitpod.v1.", "/rollcall.v1."];

/// Renders an error in the protocol of the request.
pub fn respond(
    error: impl Into<ConnectError>,
    headers: &HeaderMap,
    id: Option<&RequestId>,
) -> Response {
    errors::finish(error.into(), id)
        .into_http_response(headers)
        .map(Body::new)
        .into_response()
}

/// Answers with an error. What the client still sends is read first, or it could find its
/// connection closed instead of the answer.
pub async fn refuse(error: impl Into<ConnectError>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    drain(body).await;
    respond(error, &head.headers, head.extensions.get())
}

/// Reads `token`, `pageSize` and `page_size` of the query, where some SDKs put them.
pub async fn read_page(mut request: Request, next: Next) -> Response {
    if let Some(query) = request.uri().query() {
        let page = PageOverride::from_query(query);
        request.extensions_mut().insert(page);
    }
    next.run(request).await
}

/// Refuses what no protocol reads, before the RPC library does so in words that repeat it. GET has no
/// body, whatever it says.
pub async fn check_protocol(mut request: Request, next: Next) -> Response {
    // Media types are the same in any case (RFC 9110, section 8.3.1); the library knows one.
    if let Some(value) = request.headers_mut().get_mut(CONTENT_TYPE)
        && let Ok(lower) = HeaderValue::from_bytes(&value.as_bytes().to_ascii_lowercase())
    {
        *value = lower;
    }
    let headers = request.headers();
    let is_rpc =
        Protocol::detect(headers).is_some() || headers.get(CONTENT_TYPE).is_some_and(is_grpc);
    let is_stream = request.uri().path().ends_with(STREAM);
    let has_body = *request.method() == Method::POST;
    let refusal = if has_body && is_stream && !headers.get(CONTENT_TYPE).is_some_and(is_streaming) {
        let error = ConnectError::invalid_argument(
            "the answers of this method are a stream: send the header \"Content-Type: application/json\" to read them as JSON lines, or use a client of the Connect protocol or gRPC",
        );
        Some(error.with_http_status(StatusCode::UNSUPPORTED_MEDIA_TYPE))
    } else if *request.method() == Method::GET {
        check_query(request.uri().query().unwrap_or_default()).err()
    } else if is_rpc || request.method() != Method::POST {
        check_compression(headers).err()
    } else {
        let error = ConnectError::invalid_argument(
            "send a request with the header \"Content-Type: application/json\" (or application/proto)",
        );
        Some(error.with_http_status(StatusCode::UNSUPPORTED_MEDIA_TYPE))
    };
    match refusal {
        Some(error) => refuse(error, request).await,
        None => next.run(request).await,
    }
}

/// The parameters of a GET (Connect protocol, "Unary-Get-Request"). Names and all values but the
/// message are read as they are.
fn check_query(query: &str) -> Result<(), ConnectError> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let parameters: HashMap<&str, &str> = pairs.collect();
    let get = |name: &str| parameters.get(name).copied();
    if !matches!(get("encoding"), None | Some("json" | "proto")) {
        return Err(ConnectError::unsupported_media_type(
            "the parameter encoding must be json or proto",
        ));
    }
    if !matches!(get("compression"), None | Some("" | "identity" | "gzip")) {
        return Err(unknown_compression("the parameter compression"));
    }
    let message: Vec<u8> = percent_decode_str(get("message").unwrap_or_default()).collect();
    if get("base64") == Some("1") && URL_SAFE_ANY.decode(message).is_err() {
        return Err(ConnectError::invalid_argument(
            "the parameter message must be base64url",
        ));
    }
    Ok(())
}

/// The header that names how the body, or the messages in it, are compressed.
fn check_compression(headers: &HeaderMap) -> Result<(), ConnectError> {
    let content_type = headers.get(CONTENT_TYPE);
    let name = match content_type {
        Some(value) if is_grpc(value) => "grpc-encoding",
        Some(value) if is_streaming(value) => "connect-content-encoding",
        _ => "content-encoding",
    };
    match headers.get(name) {
        Some(value) if !["", "identity", "gzip"].iter().any(|known| value == known) => {
            Err(unknown_compression(&format!("the header {name}")))
        }
        _ => Ok(()),
    }
}

fn unknown_compression(place: &str) -> ConnectError {
    ConnectError::unimplemented(format!("{place} must be gzip or identity"))
}

/// Answers what the RPC library would answer without a word, and marks what must not be repeated.
pub async fn explain(request: Request, next: Next) -> Response {
    let headers = protocol_headers(request.headers());
    let id = request.extensions().get::<RequestId>().cloned();
    let handled = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let mut response = handled.unwrap_or_else(|_| {
        respond(
            ConnectError::internal("a handler panicked"),
            &headers,
            id.as_ref(),
        )
    });

    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        let allow = response.headers().get(ALLOW).cloned();
        let error = ConnectError::method_not_allowed("send this request with the method POST");
        response = respond(error, &headers, id.as_ref());
        response
            .headers_mut()
            .insert(ALLOW, allow.unwrap_or(HeaderValue::from_static("POST")));
    }
    // A body over the limit stays over the limit; 429 would have clients try again.
    if response.status() == StatusCode::TOO_MANY_REQUESTS
        && !response.headers().contains_key(RETRY_AFTER)
    {
        *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
    }
    if matches!(
        response.status(),
        StatusCode::CONFLICT | StatusCode::NOT_IMPLEMENTED | StatusCode::PAYLOAD_TOO_LARGE
    ) {
        response
            .headers_mut()
            .insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    response
}

fn is_streaming(content_type: &HeaderValue) -> bool {
    content_type.as_bytes().starts_with(b"application/connect+") || is_grpc(content_type)
}

fn is_grpc(content_type: &HeaderValue) -> bool {
    let name = content_type.as_bytes().strip_prefix(b"application/grpc");
    name.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b'-')))
}

/// The headers that decide how an error is written.
fn protocol_headers(headers: &HeaderMap) -> HeaderMap {
    headers
        .get(CONTENT_TYPE)
        .map(|value| (CONTENT_TYPE, value.clone()))
        .into_iter()
        .collect()
}

/// Answers for the methods of the contract that this server does not have.
pub async fn unimplemented(request: Request) -> Response {
    let error = ConnectError::unimplemented("this method is not implemented by this server");
    refuse(error, request).await
}

/// Answers for every other path.
pub async fn nothing_here(request: Request) -> Response {
    let path = request.uri().path();
    if PACKAGES.iter().any(|package| path.contains(package))
        || request.headers().get(CONTENT_TYPE).is_some_and(is_grpc)
    {
        return unimplemented(request).await;
    }
    let error = ConnectError::not_found(
        "there is nothing at this path: the API is at POST /gitpod.v1.OrganizationService/<method>",
    );
    refuse(error, request).await
}
