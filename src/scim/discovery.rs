//! What this server can do (RFC 7644, section 4).

use scim::error::ScimError;
use scim::schema::{ResourceType, SCHEMAS, schema};
use serde_json::{Value, json};

use super::answers::Failure;
use super::list::{CURSOR_LIFETIME, DEFAULT_COUNT, LIST_URN, MAX_COUNT};
use super::{Context, MAX_BODY, Reply, bulk};
use crate::error::Error;
use crate::events::signals;
use crate::store::event_streams;

/// Where they are.
pub const ENDPOINTS: [&str; 3] = ["ServiceProviderConfig", "ResourceTypes", "Schemas"];

const CONFIG_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig";

/// Answers a GET below one of the three discovery endpoints.
///
/// # Errors
///
/// 403 for a filter (RFC 7644, section 4), 404 for what there is not; as the database has them.
pub async fn get(context: &Context, segments: &[&str], has_filter: bool) -> Result<Reply, Failure> {
    if has_filter {
        let text = "these endpoints take no filter: leave it out";
        return Err(ScimError::new(403, text).into());
    }
    let base = &context.base;
    let found = match segments {
        ["ServiceProviderConfig"] => Some(config(base, has_streams(context).await?)),
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
        ScimError::new(404, text).into()
    })
}

/// Whether the organization tells receivers of security events.
async fn has_streams(context: &Context) -> Result<bool, Error> {
    let mut db = context.app.store.acquire().await?;
    event_streams::has_any(&mut db, context.tenant.organization_id).await
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

fn config(base: &str, has_streams: bool) -> Value {
    let mut config = json!({
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
    });
    // RFC 9967, section 4: absent where nothing is told. Published clients refuse what they do not know, so only those hear of it that
    // belong to an organization with streams.
    if has_streams {
        config["securityEvents"] = json!({ "asyncRequest": "none", "eventUris": signals::SCIM });
    }
    config
}
