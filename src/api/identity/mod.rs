//! `IdentityService`: who the caller is.

use crate::api::enums::wire_subject;
use crate::api::handler::service;
use crate::domain::identity::Reader;
use crate::error::Error;
use proto::gitpod::v1::{
    GetAuthenticatedIdentityRequest, GetAuthenticatedIdentityResponse, IdentityService,
};

service! { METHODS: IdentityService {
    member reads get_authenticated_identity(GetAuthenticatedIdentityRequest) -> GetAuthenticatedIdentityResponse =
        get_authenticated(caller);
}}

/// Every organization has all features.
const TIER: &str = "ORGANIZATION_TIER_ENTERPRISE";

/// Answers with the caller.
async fn get_authenticated(caller: Reader<'_>) -> Result<GetAuthenticatedIdentityResponse, Error> {
    Ok(GetAuthenticatedIdentityResponse {
        subject: wire_subject(caller.subject).into(),
        organization_id: caller.organization_id.to_string(),
        organization_tier: TIER.to_owned(),
        ..Default::default()
    })
}
