//! What this server can do (RFC 7644, section 4).

use scim::error::ScimError;
use scim::schema::{ResourceType, SCHEMAS, schema};
use serde_json::{Value, json};

use super::list::{CURSOR_LIFETIME, DEFAULT_COUNT, LIST_URN, MAX_COUNT};
use super::{MAX_BODY, Reply, bulk};

/// Where they are.
pub const ENDPOINTS: [&str; 3] = ["ServiceProviderConfig", "ResourceTypes", "Schemas"];

const CONFIG_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig";

/// Answers a GET below one of the three discovery endpoints.
///
/// # Errors
///
/// 403 for a filter (RFC 7644, section 4), 404 for what there is not.
pub fn get(base: &str, segments: &[&str], has_filter: bool) -> Result<Reply, ScimError> {
    if has_filter {
        return Err(ScimError::new(
            403,
            "these endpoints take no filter: leave it out",
        ));
    }
    let found = match segments {
        ["ServiceProviderConfig"] => Some(config(base)),
        ["ResourceTypes"] => Some(all(ResourceType::ALL
            .iter()
            .map(|kind| kind.to_json(base))
            .collect())),
        ["ResourceTypes", name] => ResourceType::named(name).map(|kind| kind.to_json(base)),
        ["Schemas"] => Some(all(SCHEMAS
            .iter()
            .map(|schema| schema.to_json(base))
            .collect())),
        ["Schemas", id] => schema(id).map(|schema| schema.to_json(base)),
        _ => None,
    };
    found.map(Reply::ok).ok_or_else(|| {
        let text = "there is nothing of this name: see /ResourceTypes and /Schemas";
        ScimError::new(404, text)
    })
}

fn all(resources: Vec<Value>) -> Value {
    json!({
        "schemas": [LIST_URN],
        "totalResults": resources.len(),
        "startIndex": 1,
        "itemsPerPage": resources.len(),
        "Resources": resources,
    })
}

fn config(base: &str) -> Value {
    json!({
        "schemas": [CONFIG_URN],
        "documentationUri": "https://www.rfc-editor.org/rfc/rfc7644",
        "patch": { "supported": true },
        "bulk": { "supported": true, "maxOperations": bulk::MAX_OPERATIONS, "maxPayloadSize": MAX_BODY },
        "filter": { "supported": true, "maxResults": MAX_COUNT },
        "changePassword": { "supported": false },
        "sort": { "supported": true },
        "etag": { "supported": true },
        "pagination": {
            "cursor": true,
            "index": true,
            "defaultPaginationMethod": "index",
            "defaultPageSize": DEFAULT_COUNT,
            "maxPageSize": MAX_COUNT,
            "cursorTimeout": CURSOR_LIFETIME.num_seconds(),
        },
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "Bearer token",
            "description": "The token that CreateSCIMConfiguration or RegenerateSCIMToken returned",
            "specUri": "https://www.rfc-editor.org/rfc/rfc6750",
            "primary": true,
        }],
        "meta": {
            "resourceType": "ServiceProviderConfig",
            "location": format!("{base}/ServiceProviderConfig"),
        },
    })
}
