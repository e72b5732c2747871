//! What metrics and traces call a request.

use std::borrow::Cow;

use axum::response::Response;
use connectrpc::ErrorCode;
use http::StatusCode;

/// What metrics call the method of a route: the package of the contract goes without saying.
pub fn method(route: &str) -> Cow<'static, str> {
    let method = route.strip_prefix("/api").unwrap_or(route);
    let method = method.trim_start_matches('/');
    let method = method.strip_prefix("gitpod.v1.").unwrap_or(method);
    if method.contains('{') {
        "unimplemented".into()
    } else {
        method.to_owned().into()
    }
}

/// The HTTP status of an answer; for gRPC, which has 200 for everything, the one that its code stands
/// for.
pub fn status(response: &Response) -> StatusCode {
    let code = response.headers().get("grpc-status");
    let code = code.and_then(|value| value.to_str().ok()?.parse().ok());
    code.and_then(ErrorCode::from_grpc_code)
        .map_or(response.status(), |code| code.http_status())
}
