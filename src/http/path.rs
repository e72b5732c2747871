//! The paths of requests: one form for equal ones, so that all layers and doors see the same path, and
//! their decoded segments.

use http::uri::PathAndQuery;
use http::{Request, Uri};
use percent_encoding::percent_decode_str;

/// An escape in a path that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the path cannot be decoded: after % there must be two hexadecimal digits, and what they stand for must be UTF-8"
)]
pub struct Malformed;

/// Gives a request its path in the form that equal paths share (RFC 3986, section 6.2.2): unreserved
/// characters are not escaped, other escapes are in upper case, and there are no empty segments.
pub fn normalize<B>(mut request: Request<B>) -> Request<B> {
    if let Some(path) = normal(request.uri().path())
        && let Some(uri) = with_path(request.uri(), path)
    {
        *request.uri_mut() = uri;
    }
    request
}

fn with_path(uri: &Uri, mut path: String) -> Option<Uri> {
    if let Some(query) = uri.query() {
        path.push('?');
        path.push_str(query);
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
    Uri::from_parts(parts).ok()
}

/// The form that equal paths share (RFC 3986, section 6.2.2): unreserved characters are not escaped,
/// other escapes are in upper case, and there are no empty segments, which clients with a base URL
/// that ends in a slash send. `None` if it is in this form.
///
/// An escaped slash separates nothing, and dot segments are names like any other. A path with a
/// malformed escape keeps its escapes: decoding some of them could make new ones.
fn normal(path: &str) -> Option<String> {
    if !path.contains('%') && !path.contains("//") {
        return None;
    }
    let decodes = is_well_formed(path);
    let mut normal = String::with_capacity(path.len());
    let mut rest = path.chars();
    loop {
        let escape = rest.as_str().get(..3).filter(|_| decodes);
        if let Some(byte) = escape.and_then(escaped) {
            match char::from(byte) {
                c if c.is_ascii_alphanumeric() || "-._~".contains(c) => normal.push(c),
                _ => normal.extend(escape.map(str::to_ascii_uppercase)),
            }
            rest.nth(2);
            continue;
        }
        match rest.next() {
            Some('/') if normal.ends_with('/') => {}
            Some(c) => normal.push(c),
            None => return Some(normal),
        }
    }
}

/// The segments of a path, each decoded once; empty ones are left out.
///
/// # Errors
///
/// [`Malformed`] when one cannot be decoded.
pub fn segments(path: &str) -> Result<Vec<String>, Malformed> {
    let segments = path.split('/').filter(|segment| !segment.is_empty());
    segments
        .map(|segment| {
            let decoded = percent_decode_str(segment).decode_utf8();
            let decoded = decoded.ok().filter(|_| is_well_formed(segment));
            Ok(decoded.ok_or(Malformed)?.into_owned())
        })
        .collect()
}

fn is_well_formed(path: &str) -> bool {
    let mut parts = path.split('%');
    parts.next();
    parts.all(|part| part.get(..2).and_then(hexadecimal).is_some())
}

/// The byte that an escape such as `%2F` stands for.
fn escaped(text: &str) -> Option<u8> {
    hexadecimal(text.strip_prefix('%')?)
}

fn hexadecimal(digits: &str) -> Option<u8> {
    let is_hexadecimal = digits.bytes().all(|b| b.is_ascii_hexdigit());
    is_hexadecimal
        .then(|| u8::from_str_radix(digits, 16).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sent(path: &str) -> String {
        let request = Request::builder().uri(path).body(()).unwrap();
        normalize(request).uri().to_string()
    }

    #[test]
    fn equal_paths_have_one_form() {
        for (path, expected) in [
            ("/", "/"),
            ("//", "/"),
            ("/api//x", "/api/x"),
            ("/%6Cogin", "/login"),
            ("/%6cogin?q=%6C//", "/login?q=%6C//"),
            ("/%2d%2E%5f%7e", "/-._~"),
            // What separates or means something else stays escaped, also in the second round.
            ("/a%2fb", "/a%2Fb"),
            ("/a/%2F/b", "/a/%2F/b"),
            ("/%252D", "/%252D"),
            ("/%00%c3%A9%3f", "/%00%C3%A9%3F"),
            ("/%2e%2e/x/%2E", "/../x/."),
            // Malformed ones are for the doors to refuse.
            ("/%", "/%"),
            ("/%zz/%41", "/%zz/%41"),
            ("/%%32%46", "/%%32%46"),
            ("//%+1", "/%+1"),
            ("http://a.test:80/%41//b?c", "http://a.test:80/A/b?c"),
        ] {
            assert_eq!(sent(path), expected, "{path}");
        }
    }

    #[test]
    fn segments_are_decoded_once() {
        for (path, expected) in [
            ("", Ok(vec![])),
            ("/Users//x/", Ok(vec!["Users", "x"])),
            ("a%2Fb/%2e%2e", Ok(vec!["a/b", ".."])),
            ("%252D/%C3%A9/%00", Ok(vec!["%2D", "é", "\0"])),
            ("a/%", Err(Malformed)),
            ("a/%4", Err(Malformed)),
            ("%é9", Err(Malformed)),
            ("%+f", Err(Malformed)),
            ("%FF", Err(Malformed)),
            ("%C3/%A9", Err(Malformed)),
        ] {
            let expected = expected.map(|all| all.into_iter().map(str::to_owned).collect());
            assert_eq!(segments(path), expected, "{path}");
        }
    }

    proptest! {
        #[test]
        fn the_form_is_stable_and_means_the_same(path in "[/%0-9a-fA-FzZ.~é-]{0,20}") {
            let once = normal(&path).unwrap_or_else(|| path.clone());
            prop_assert_eq!(normal(&once).unwrap_or_else(|| once.clone()), once.clone());
            prop_assert_eq!(segments(&once), segments(&path));
            prop_assert!(!once.contains("//"));
        }
    }
}
