//! The services of our own, `rollcall.v1`: what administrators ask of a running server. One file a
//! service.

mod provisioning;
mod sessions;
mod sign_in;
mod status;

use std::sync::Arc;

use connectrpc::{RequestContext, Router, ServiceRequest, ServiceResult};
use protovalidate_buffa::connect_impl;

use super::proto::rollcall::v1::*;
use super::{Api, caller, reply};

/// The full names of the services.
pub const NAMES: [&str; 4] = [
    PROVISIONING_SERVICE_SERVICE_NAME,
    SESSION_SERVICE_SERVICE_NAME,
    SIGN_IN_SERVICE_SERVICE_NAME,
    STATUS_SERVICE_SERVICE_NAME,
];

/// Adds the services to those of a router.
pub fn register(api: &Arc<Api>, services: Router) -> Router {
    let services = ProvisioningServiceExt::register(api.clone(), services);
    let services = SessionServiceExt::register(api.clone(), services);
    let services = SignInServiceExt::register(api.clone(), services);
    StatusServiceExt::register(api.clone(), services)
}

#[expect(refining_impl_trait, reason = "naming the response type is the point")]
#[connect_impl]
impl ProvisioningService for Api {
    async fn list_provisioning_events(
        &self,
        ctx: RequestContext,
        request: ServiceRequest<'_, ListProvisioningEventsRequest>,
    ) -> ServiceResult<ListProvisioningEventsResponse> {
        reply(
            provisioning::list_events(&self.app, caller(&ctx)?, &ctx, request.to_owned_message())
                .await,
        )
    }
}

#[expect(refining_impl_trait, reason = "naming the response type is the point")]
#[connect_impl]
impl SessionService for Api {
    async fn list_sessions(
        &self,
        ctx: RequestContext,
        request: ServiceRequest<'_, ListSessionsRequest>,
    ) -> ServiceResult<ListSessionsResponse> {
        reply(sessions::list(&self.app, caller(&ctx)?, &ctx, request.to_owned_message()).await)
    }

    async fn end_sessions(
        &self,
        ctx: RequestContext,
        request: ServiceRequest<'_, EndSessionsRequest>,
    ) -> ServiceResult<EndSessionsResponse> {
        reply(sessions::end(&self.app, caller(&ctx)?, request.to_owned_message()).await)
    }
}

#[expect(refining_impl_trait, reason = "naming the response type is the point")]
#[connect_impl]
impl SignInService for Api {
    async fn list_sign_in_attempts(
        &self,
        ctx: RequestContext,
        request: ServiceRequest<'_, ListSignInAttemptsRequest>,
    ) -> ServiceResult<ListSignInAttemptsResponse> {
        reply(
            sign_in::list_attempts(&self.app, caller(&ctx)?, &ctx, request.to_owned_message())
                .await,
        )
    }

    async fn check_sso_configuration(
        &self,
        ctx: RequestContext,
        request: ServiceRequest<'_, CheckSSOConfigurationRequest>,
    ) -> ServiceResult<CheckSSOConfigurationResponse> {
        reply(sign_in::check(&self.app, caller(&ctx)?, request.to_owned_message()).await)
    }

    async fn evaluate_claims_expression(
        &self,
        ctx: RequestContext,
        request: ServiceRequest<'_, EvaluateClaimsExpressionRequest>,
    ) -> ServiceResult<EvaluateClaimsExpressionResponse> {
        reply(sign_in::evaluate(caller(&ctx)?, request.to_owned_message()).await)
    }
}

#[expect(refining_impl_trait, reason = "naming the response type is the point")]
#[connect_impl]
impl StatusService for Api {
    async fn get_status(
        &self,
        ctx: RequestContext,
        _request: ServiceRequest<'_, GetStatusRequest>,
    ) -> ServiceResult<GetStatusResponse> {
        reply(status::get(&self.app, caller(&ctx)?).await)
    }
}
