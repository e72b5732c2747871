//! The bearer token of a request (RFC 6750, section 2.1), for every door that takes one.

use http::HeaderMap;
use http::header::AUTHORIZATION;

/// The token of the one `Authorization` header; the scheme's case is free.
pub fn token(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
