//! What the log and the metrics call a request: in words of this server, whatever the client sent.

use scim::schema::ResourceType;
use uuid::Uuid;

use super::{ROOT, discovery};

/// The path of a request as the log may have it: of what is not a word of this server, identifiers
/// alone.
pub fn place(path: &str) -> String {
    let endpoints = ResourceType::ALL.map(|kind| kind.endpoint().trim_start_matches('/'));
    let is_known = |segment: &str| {
        endpoints.contains(&segment)
            || ["", "scim", "v2", ".search", "Bulk", "Me"].contains(&segment)
            || discovery::ENDPOINTS.contains(&segment)
            || Uuid::try_parse(segment).is_ok()
    };
    let shown = path
        .split('/')
        .map(|segment| if is_known(segment) { segment } else { "…" });
    shown.collect::<Vec<_>>().join("/")
}

/// Which endpoint a path names, without what it names there.
pub fn endpoint_label(path: &str) -> &'static str {
    let path = path.strip_prefix(ROOT).unwrap_or("other");
    let segments: Vec<&str> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .collect();
    match &*segments {
        [] => "/",
        [".search"] => "/.search",
        ["Users"] => "/Users",
        ["Users", ".search"] => "/Users/.search",
        ["Users", _] => "/Users/{id}",
        ["Groups"] => "/Groups",
        ["Groups", ".search"] => "/Groups/.search",
        ["Groups", _] => "/Groups/{id}",
        ["Bulk"] => "/Bulk",
        ["Me"] => "/Me",
        ["ServiceProviderConfig"] => "/ServiceProviderConfig",
        ["ResourceTypes"] => "/ResourceTypes",
        ["ResourceTypes", _] => "/ResourceTypes/{id}",
        ["Schemas"] => "/Schemas",
        ["Schemas", _] => "/Schemas/{id}",
        _ => "/other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_in_the_log_has_no_words_but_ours() {
        let id = "0190a6e0-1c2b-7def-8123-456789abcdef";
        for (path, expected) in [
            ("/scim/v2/Users", "/scim/v2/Users".to_owned()),
            ("/scim/v2/", "/scim/v2/".to_owned()),
            (
                &format!("/scim/v2/Groups/{id}"),
                format!("/scim/v2/Groups/{id}"),
            ),
            (
                "/scim/v2/Users/ada@example.com",
                "/scim/v2/Users/…".to_owned(),
            ),
            ("/scim/v1/%2Fx/.search", "/scim/…/…/.search".to_owned()),
        ] {
            assert_eq!(place(path), expected);
        }
    }
}
