//! `IdentityService`: who the caller is.

use crate::api::handler::service;
use crate::domain::identity::{Principal, Reader};
use crate::error::Error;
use proto::gitpod::v1::{
    GetAuthenticatedIdentityRequest, GetAuthenticatedIdentityResponse, IdentityService,
    Principal as WirePrincipal, Subject,
};

service! { METHODS: IdentityService {
    member reads get_authenticated_identity(GetAuthenticatedIdentityRequest) -> GetAuthenticatedIdentityResponse =
        get_authenticated(caller);
}}

/// Every organization has all features.
const TIER: &str = "ORGANIZATION_TIER_ENTERPRISE";

/// Answers with the caller.
async fn get_authenticated(caller: Reader<'_>) -> Result<GetAuthenticatedIdentityResponse, Error> {
    let principal = match caller.subject.principal {
        Principal::User => WirePrincipal::PRINCIPAL_USER,
        // No SCIM configuration calls the API.
        Principal::ServiceAccount | Principal::ScimConfiguration => {
            WirePrincipal::PRINCIPAL_SERVICE_ACCOUNT
        }
    };
    Ok(GetAuthenticatedIdentityResponse {
        subject: Subject {
            id: caller.subject.id.to_string(),
            principal: principal.into(),
            ..Default::default()
        }
        .into(),
        organization_id: caller.organization_id.to_string(),
        organization_tier: TIER.to_owned(),
        ..Default::default()
    })
}
