//! What a request says: its query, its preconditions, its body.

use bytes::Bytes;
use http::Uri;
use http::header::{self, HeaderMap};
use scim::error::{ScimError, ScimType};
use scim::project::Projection;
use scim::schema::ResourceType;
use serde_json::Value;
use serde_json::error::Category;

use super::answers::Failure;
use super::{MAX_BODY, Precondition, Wishes};

/// The parameters of a query, with names in lower case; the last of each counts.
pub struct Query(Vec<(String, String)>);

impl Query {
    /// The parameters in a URI.
    pub fn of(uri: &Uri) -> Self {
        let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        Self(
            pairs
                .map(|(name, value)| (name.to_ascii_lowercase(), value.into_owned()))
                .collect(),
        )
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find(|(known, _)| known == name)
            .map(|(_, value)| &**value)
    }
}

/// The attributes that a query asks for.
pub fn projection(kind: ResourceType, query: &Query) -> Projection {
    Projection::from_query(
        kind,
        query.get("attributes"),
        query.get("excludedattributes"),
    )
}

/// The condition in a header: `If-Match` or `If-None-Match`.
fn precondition(headers: &HeaderMap, name: header::HeaderName) -> Precondition {
    Precondition(
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned),
    )
}

/// What a request wants to see, and on which condition.
pub fn wishes(kind: ResourceType, headers: &HeaderMap, query: &Query) -> Wishes {
    Wishes {
        projection: projection(kind, query),
        if_match: precondition(headers, header::IF_MATCH),
        if_none_match: precondition(headers, header::IF_NONE_MATCH),
    }
}

/// The body as JSON; `None` is one that is too large, or was not sent to the end.
///
/// # Errors
///
/// 415 for another media type, 413 for a body that is too large, 400 for one that is no JSON.
pub fn read_json(headers: &HeaderMap, body: Option<Bytes>) -> Result<Value, Failure> {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .map(|value| value.to_str().unwrap_or_default());
    let media_type = content_type.map(|text| {
        text.split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase()
    });
    if !matches!(
        media_type.as_deref(),
        None | Some("application/scim+json" | "application/json")
    ) {
        return Err(
            ScimError::new(415, "send the body as Content-Type: application/scim+json").into(),
        );
    }
    let bytes = body.ok_or_else(|| {
        ScimError::new(
            413,
            format!("the body must have at most {MAX_BODY} bytes: send less at a time"),
        )
    })?;
    Ok(serde_json::from_slice(&bytes).map_err(|e| {
        // The text of a syntax error never quotes the body; that of another error may.
        let reason = match e.classify() {
            Category::Syntax | Category::Eof => e.to_string(),
            Category::Data | Category::Io => {
                format!("not at line {} column {}", e.line(), e.column())
            }
        };
        ScimError::bad_request(
            ScimType::InvalidSyntax,
            format!("the body must be a JSON object: {reason}"),
        )
    })?)
}
