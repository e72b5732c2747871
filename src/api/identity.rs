//! `IdentityService`: who the caller is.

use super::proto::gitpod::v1::{
    GetAuthenticatedIdentityResponse, Principal as WirePrincipal, Subject,
};
use crate::domain::identity::{Caller, Principal};

/// Every organization has all features.
const TIER: &str = "ORGANIZATION_TIER_ENTERPRISE";

/// Answers with the caller.
pub fn get_authenticated(caller: &Caller) -> GetAuthenticatedIdentityResponse {
    let principal = match caller.subject.principal {
        Principal::User => WirePrincipal::PRINCIPAL_USER,
        Principal::ServiceAccount => WirePrincipal::PRINCIPAL_SERVICE_ACCOUNT,
    };
    GetAuthenticatedIdentityResponse {
        subject: Subject {
            id: caller.subject.id.to_string(),
            principal: principal.into(),
            ..Default::default()
        }
        .into(),
        organization_id: caller.organization_id.to_string(),
        organization_tier: TIER.to_owned(),
        ..Default::default()
    }
}
