//! Changes of one resource, whichever type it has.

use scim::schema::ResourceType;
use serde_json::Value;

use super::answers::Failure;
use super::{Context, Precondition, Reply, Wishes, groups, users};
use crate::domain::ids::ResourceId;
use crate::store::scim_resources::Prefetched;

/// Creates a resource (RFC 7644, section 3.3).
///
/// # Errors
///
/// What is wrong with the body, or 409.
pub async fn create(
    context: &Context,
    kind: ResourceType,
    body: Value,
    wishes: &Wishes,
) -> Result<Reply, Failure> {
    match kind {
        ResourceType::User => users::create(context, body, wishes).await,
        ResourceType::Group => groups::create(context, body, wishes).await,
    }
}

/// Replaces a resource (RFC 7644, section 3.5.1); `prefetched` is what there is of it, if it was looked up.
///
/// # Errors
///
/// What is wrong with the body, 404, 409 or 412.
pub async fn replace(
    context: &Context,
    kind: ResourceType,
    id: ResourceId,
    prefetched: Prefetched,
    body: Value,
    wishes: &Wishes,
) -> Result<Reply, Failure> {
    match kind {
        ResourceType::User => users::replace(context, id, prefetched, body, wishes).await,
        ResourceType::Group => groups::replace(context, id, body, wishes).await,
    }
}

/// Modifies a resource (RFC 7644, section 3.5.2); `prefetched` is what there is of it, if it was looked up.
///
/// # Errors
///
/// What is wrong with the body, 404, 409 or 412.
pub async fn modify(
    context: &Context,
    kind: ResourceType,
    id: ResourceId,
    prefetched: Prefetched,
    body: Value,
    wishes: &Wishes,
) -> Result<Reply, Failure> {
    match kind {
        ResourceType::User => users::modify(context, id, prefetched, body, wishes).await,
        ResourceType::Group => groups::modify(context, id, body, wishes).await,
    }
}

/// Deletes a resource (RFC 7644, section 3.6).
///
/// # Errors
///
/// 404 or 412.
pub async fn delete(
    context: &Context,
    kind: ResourceType,
    id: ResourceId,
    if_match: &Precondition,
) -> Result<Reply, Failure> {
    match kind {
        ResourceType::User => users::delete(context, id, if_match).await,
        ResourceType::Group => groups::delete(context, id, if_match).await,
    }
}
