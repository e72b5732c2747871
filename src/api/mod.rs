//! Door 1: the public `gitpod.v1` services over Connect, gRPC and gRPC-Web, and our own, `rollcall.v1`.
//!
//! A request passes [`http::explain`] (panics, answers without a body), [`http::authenticate`] (who
//! calls), [`http::check_protocol`], [`http::read_page`] (the query of lists), the check of its JSON
//! (`json`), then the RPC library, which decodes it, and here: the `buf.validate` rules
//! (`#[connect_impl]`), and the handler, one file a resource.

mod account;
mod domains;
pub mod errors;
mod groups;
pub mod http;
mod identity;
mod json;
mod organization;
mod paging;
mod policies;
mod rollcall;
mod scim;
mod sso;
mod users;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::any;
use buffa_types::google::protobuf::Timestamp;
use chrono::{DateTime, Utc};
use connectrpc::{
    CompressionRegistry, ConnectError, ConnectRpcService, DeadlinePolicy, GzipProvider, Limits,
    RequestContext, Response, Router as RpcRouter, ServiceRequest, ServiceResult,
};
use connectrpc_reflection::Reflector;
use protovalidate_buffa::connect_impl;
use uuid::Uuid;

use self::proto::gitpod::v1::*;
use crate::app::App;
use crate::domain::audit::Change;
use crate::domain::identity::Caller;
use crate::error::{Error, Violation};
use crate::store::{self, Connection};

/// The messages and service traits of `proto/`.
#[expect(missing_docs, reason = "generated")]
pub mod proto {
    connectrpc::include_generated!();
}

/// The `buf.validate` rules of the messages.
#[expect(unused_imports, clippy::expect_used, reason = "generated")]
mod rules {
    use chrono::TimeDelta;

    use crate::api::proto::{gitpod, rollcall};

    /// A duration of a message, for the rules in CEL: one that is too long becomes the longest.
    fn duration_from_secs_nanos(seconds: i64, nanos: i32) -> TimeDelta {
        let longest = if seconds < 0 {
            TimeDelta::MIN
        } else {
            TimeDelta::MAX
        };
        TimeDelta::try_seconds(seconds)
            .and_then(|whole| whole.checked_add(&TimeDelta::nanoseconds(nanos.into())))
            .unwrap_or(longest)
    }

    mod v1 {
        use crate::api::proto::gitpod::v1::*;
        include!(concat!(env!("OUT_DIR"), "/validate/gitpod.v1.mod.rs"));
    }

    mod rollcall_v1 {
        use crate::api::proto::rollcall::v1::*;
        include!(concat!(env!("OUT_DIR"), "/validate/rollcall.v1.mod.rs"));
    }
}

/// The descriptors of everything in `proto/`: for server reflection, and the check of JSON.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The largest body of a request, and the largest message in one, in bytes.
pub const MAX_BODY: usize = 1024 * 1024;
/// The most memory that the elements of one message may take, in bytes.
const MAX_ELEMENTS: usize = 8 * MAX_BODY;
/// The services of the contract. A method of theirs that is not here is answered for in their name.
const SERVICES: [&str; 7] = [
    "gitpod.v1.AccountService",
    "gitpod.v1.EventService",
    "gitpod.v1.GroupService",
    "gitpod.v1.IdentityService",
    "gitpod.v1.OrganizationService",
    "gitpod.v1.ServiceAccountService",
    "gitpod.v1.UserService",
];
/// How long a request may take that names no deadline, and the longest it may name.
const DEADLINE: Duration = Duration::from_secs(30);
const MAX_DEADLINE: Duration = Duration::from_secs(60);

/// All routes of this door, as they are and again below `/api`.
///
/// # Errors
///
/// When the descriptors do not fit together: a fault of the build.
pub fn router(app: &Arc<App>) -> anyhow::Result<Router> {
    let api = Arc::new(Api { app: app.clone() });
    let json = json::Json::new(DESCRIPTORS)?;
    let services = RpcRouter::new();
    let services = OrganizationServiceExt::register(api.clone(), services);
    let services = GroupServiceExt::register(api.clone(), services);
    let services = IdentityServiceExt::register(api.clone(), services);
    let services = UserServiceExt::register(api.clone(), services);
    let services = rollcall::register(&api, services);
    let mut closed = routes(services, &json);
    for service in SERVICES.into_iter().chain(rollcall::NAMES) {
        closed = closed.route(&format!("/{service}/{{method}}"), any(http::unimplemented));
    }
    let closed = closed
        .layer(from_fn(http::read_page))
        .layer(from_fn(http::check_protocol))
        .layer(from_fn_with_state(app.clone(), http::authenticate));

    let account = routes(AccountServiceExt::register(api, RpcRouter::new()), &json)
        .layer(from_fn(http::read_page))
        .layer(from_fn(http::check_protocol));

    let names = [
        ACCOUNT_SERVICE_SERVICE_NAME,
        GROUP_SERVICE_SERVICE_NAME,
        IDENTITY_SERVICE_SERVICE_NAME,
        ORGANIZATION_SERVICE_SERVICE_NAME,
        USER_SERVICE_SERVICE_NAME,
    ];
    let names = names.into_iter().chain(rollcall::NAMES);
    let (public, _) = connectrpc_health::install_static(RpcRouter::new(), names);
    let public =
        connectrpc_reflection::install(public, Reflector::from_descriptor_set_bytes(DESCRIPTORS)?);

    let public = routes(public, &json).layer(from_fn(http::check_protocol));
    let routes = public.merge(account).merge(closed);
    let routes = routes.clone().nest("/api", routes);
    Ok(routes
        .fallback(http::nothing_here)
        .layer(from_fn(http::explain)))
}

/// One route a method, so that a router's layers see its methods alone.
fn routes(services: RpcRouter, json: &json::Json) -> Router {
    let methods: Vec<String> = services.methods().map(str::to_owned).collect();
    let services = rpc(services).with_interceptor(json.clone());
    methods.into_iter().fold(Router::new(), |router, method| {
        router.route_service(&format!("/{method}"), services.clone())
    })
}

fn rpc(services: RpcRouter) -> ConnectRpcService {
    let limits = Limits::default()
        .with_max_request_body_size(MAX_BODY)
        .with_max_message_size(MAX_BODY)
        .with_element_memory_limit(MAX_ELEMENTS);
    ConnectRpcService::new(services)
        .with_limits(limits)
        .with_compression(CompressionRegistry::new().register(GzipProvider::default()))
        .with_deadline_policy(
            DeadlinePolicy::new()
                .with_default_timeout(DEADLINE)
                .with_max(MAX_DEADLINE),
        )
        .with_interceptor(errors::Errors)
}

/// Carries out the methods.
struct Api {
    app: Arc<App>,
}

#[expect(refining_impl_trait, reason = "naming the response type is the point")]
#[connect_impl]
impl OrganizationService for Api {
    async fn get_organization(
        &self,
        ctx: RequestContext,
        request: ServiceRequest<'_, GetOrganizationRequest>,
    ) -> ServiceResult<GetOrganizationResponse> {
        reply(organization::get(&self.app, caller(&ctx)?, request.to_owned_message()).await)
    }

    async fn list_members(
        &self,
        ctx: RequestContext,
        request: ServiceRequest<'_, ListMembersRequest>,
    ) -> ServiceResult<ListMembersResponse> {
        reply(
            organization::list_members(&self.app, caller(&ctx)?, &ctx, request.to_owned_message())
                .await,
        )
    }

    async fn create_sso_configuration(
        &self,
        ctx: RequestContext,
        request: ServiceRequest<'_, CreateSSOConfigurationRequest>,
    ) -> ServiceResult<CreateSSOConfigurationResponse> {
        reply(sso::create(&self.app, caller(&ctx)?, request.to_owned_message()).await)
    }

    async fn get_sso_configuration(
        &self,
        ctx: RequestContext,
        request: ServiceRequest<'_, GetSSOConfigurationRequest>,
    ) -> ServiceResult<GetSSOConfigurationResponse> {
        reply(sso::get(&self.app, caller(&ctx)?, request.to_owned_message()).await)
    }

    async fn list_sso_configurations(
        &self,
        ctx: RequestContext,
        request: ServiceRequest<'_, ListSSOConfigurationsRequest>,
    ) -> ServiceResult<ListSSOConfigurationsResponse> {
        reply(sso::list(&self.app, caller(&ctx)?, &ctx, request.to_owned_message()).await)
    }

    async fn update_sso_configuration(
        &self,
        ctx: RequestContext,
        request: ServiceRequest<'_, UpdateSSOConfigurationRequest>,
    ) -> ServiceResult<UpdateSSOConfigurationResponse> {
        reply(sso::update(&self.app, caller(&ctx)?, request.to_owned_message()).await)
    }

    async fn delete_sso_configuration(
        &self,
        ctx: RequestContext,
        request: ServiceRequest<'_, DeleteSSOConfigurationRequest>,
    ) -> ServiceResult<DeleteSSOConfigurationResponse> {
        reply(sso::delete(&self.app, caller(&ctx)?, request.to_owned_message()).await)
    }

    async fn create_scim_configuration(
        &self,
        ctx: RequestContext,
        request: ServiceRequest<'_, CreateSCIMConfigurationRequest>,
    ) -> ServiceResult<CreateSCIMConfigurationResponse> {
        reply(scim::create(&self.app, caller(&ctx)?, request.to_owned_message()).await)
    }

    async fn get_scim_configuration(
        &self,
        ctx: RequestContext,
        request: ServiceRequest<'_, GetSCIMConfigurationRequest>,
    ) -> ServiceResult<GetSCIMConfigurationResponse> {
        reply(scim::get(&self.app, caller(&ctx)?, request.to_owned_message()).await)
    }

    async fn list_scim_configurations(
        &self,
        ctx: RequestContext,
        request: ServiceRequest<'_, ListSCIMConfigurationsRequest>,
    ) -> ServiceResult<ListSCIMConfigurationsResponse> {
        reply(scim::list(&self.app, caller(&ctx)?, &ctx, request.to_owned_message()).await)
    }

    async fn update_scim_configuration(
        &self,
        ctx: RequestContext,
        request: ServiceRequest<'_, UpdateSCIMConfigurationRequest>,
    ) -> ServiceResult<UpdateSCIMConfigurationResponse> {
        reply(scim::update(&self.app, caller(&ctx)?, request.to_owned_message()).await)
    }

    async fn delete_scim_configuration(
        &self,
        ctx: RequestContext,
        request: ServiceRequest<'_, DeleteSCIMConfigurationRequest>,
    ) -> ServiceResult<DeleteSCIMConfigurationResponse> {
        reply(scim::delete(&self.app, caller(&ctx)?, request.to_owned_message()).await)
    }

    async fn regenerate_scim_token(
        &self,
        ctx: RequestContext,
        request: ServiceRequest<'_, RegenerateSCIMTokenRequest>,
    ) -> ServiceResult<RegenerateSCIMTokenResponse> {
        reply(scim::regenerate_token(&self.app, caller(&ctx)?, request.to_owned_message()).await)
    }

    async fn create_domain_verification(
        &self,
        ctx: RequestContext,
        request: ServiceRequest<'_, CreateDomainVerificationRequest>,
    ) -> ServiceResult<CreateDomainVerificationResponse> {
        reply(domains::create(&self.app, caller(&ctx)?, request.to_owned_message()).await)
    }

    async fn get_domain_verification(
        &self,
        ctx: RequestContext,
        request: ServiceRequest<'_, GetDomainVerificationRequest>,
    ) -> ServiceResult<GetDomainVerificationResponse> {
        reply(domains::get(&self.app, caller(&ctx)?, request.to_owned_message()).await)
    }

    async fn list_domain_verifications(
        &self,
        ctx: RequestContext,
        request: ServiceRequest<'_, ListDomainVerificationsRequest>,
    ) -> ServiceResult<ListDomainVerificationsResponse> {
        reply(domains::list(&self.app, caller(&ctx)?, &ctx, request.to_owned_message()).await)
    }

    async fn verify_domain(
        &self,
        ctx: RequestContext,
        request: ServiceRequest<'_, VerifyDomainRequest>,
    ) -> ServiceResult<VerifyDomainResponse> {
        reply(domains::verify(&self.app, caller(&ctx)?, request.to_owned_message()).await)
    }

    async fn delete_domain_verification(
        &self,
        ctx: RequestContext,
        request: ServiceRequest<'_, DeleteDomainVerificationRequest>,
    ) -> ServiceResult<DeleteDomainVerificationResponse> {
        reply(domains::delete(&self.app, caller(&ctx)?, request.to_owned_message()).await)
    }

    async fn get_organization_policies(
        &self,
        ctx: RequestContext,
        request: ServiceRequest<'_, GetOrganizationPoliciesRequest>,
    ) -> ServiceResult<GetOrganizationPoliciesResponse> {
        reply(policies::get(&self.app, caller(&ctx)?, request.to_owned_message()).await)
    }

    async fn update_organization_policies(
        &self,
        ctx: RequestContext,
        request: ServiceRequest<'_, UpdateOrganizationPoliciesRequest>,
    ) -> ServiceResult<UpdateOrganizationPoliciesResponse> {
        reply(policies::update(&self.app, caller(&ctx)?, request.to_owned_message()).await)
    }
}

#[expect(refining_impl_trait, reason = "naming the response type is the point")]
#[connect_impl]
impl IdentityService for Api {
    async fn get_authenticated_identity(
        &self,
        ctx: RequestContext,
        _request: ServiceRequest<'_, GetAuthenticatedIdentityRequest>,
    ) -> ServiceResult<GetAuthenticatedIdentityResponse> {
        reply(Ok(identity::get_authenticated(caller(&ctx)?)))
    }
}

#[expect(refining_impl_trait, reason = "naming the response type is the point")]
#[connect_impl]
impl GroupService for Api {
    async fn get_group(
        &self,
        ctx: RequestContext,
        request: ServiceRequest<'_, GetGroupRequest>,
    ) -> ServiceResult<GetGroupResponse> {
        reply(groups::get(&self.app, caller(&ctx)?, request.to_owned_message()).await)
    }

    async fn list_groups(
        &self,
        ctx: RequestContext,
        request: ServiceRequest<'_, ListGroupsRequest>,
    ) -> ServiceResult<ListGroupsResponse> {
        reply(groups::list(&self.app, caller(&ctx)?, &ctx, request.to_owned_message()).await)
    }

    async fn list_memberships(
        &self,
        ctx: RequestContext,
        request: ServiceRequest<'_, ListMembershipsRequest>,
    ) -> ServiceResult<ListMembershipsResponse> {
        reply(
            groups::list_memberships(&self.app, caller(&ctx)?, &ctx, request.to_owned_message())
                .await,
        )
    }
}

#[expect(refining_impl_trait, reason = "naming the response type is the point")]
#[connect_impl]
impl AccountService for Api {
    async fn get_sso_login_url(
        &self,
        _ctx: RequestContext,
        request: ServiceRequest<'_, GetSSOLoginURLRequest>,
    ) -> ServiceResult<GetSSOLoginURLResponse> {
        reply(account::get_sso_login_url(&self.app, request.to_owned_message()).await)
    }

    async fn list_sso_logins(
        &self,
        ctx: RequestContext,
        request: ServiceRequest<'_, ListSSOLoginsRequest>,
    ) -> ServiceResult<ListSSOLoginsResponse> {
        reply(account::list_sso_logins(&self.app, &ctx, request.to_owned_message()).await)
    }

    async fn list_login_providers(
        &self,
        _ctx: RequestContext,
        request: ServiceRequest<'_, ListLoginProvidersRequest>,
    ) -> ServiceResult<ListLoginProvidersResponse> {
        reply(Ok(account::list_login_providers(
            &self.app,
            &request.to_owned_message(),
        )))
    }
}

#[expect(refining_impl_trait, reason = "naming the response type is the point")]
#[connect_impl]
impl UserService for Api {
    async fn get_authenticated_user(
        &self,
        ctx: RequestContext,
        _request: ServiceRequest<'_, GetAuthenticatedUserRequest>,
    ) -> ServiceResult<GetAuthenticatedUserResponse> {
        reply(users::get_authenticated(&self.app, caller(&ctx)?).await)
    }
}

fn reply<T>(result: Result<T, Error>) -> ServiceResult<T> {
    result.map(Response::new).map_err(Into::into)
}

/// Who [`http::authenticate`] found.
fn caller(ctx: &RequestContext) -> Result<&Caller, ConnectError> {
    ctx.extensions()
        .get()
        .ok_or_else(|| Error::Unauthenticated.into())
}

/// Reads an identifier, whose form the rules have checked.
fn parse_id<Id: From<Uuid>>(field: &'static str, text: &str) -> Result<Id, Error> {
    let id = Uuid::try_parse(text)
        .map_err(|_| Error::invalid(field, Violation::UUID, "must be a UUID"))?;
    Ok(id.into())
}

/// A moment on the wire.
fn timestamp(time: DateTime<Utc>) -> Timestamp {
    Timestamp {
        seconds: time.timestamp(),
        nanos: i32::try_from(time.timestamp_subsec_nanos()).unwrap_or_default(),
        ..Default::default()
    }
}

/// Records a change in the transaction that makes it.
async fn audit(
    app: &App,
    db: &mut Connection,
    caller: &Caller,
    change: Change,
) -> Result<(), Error> {
    store::audit::insert(
        db,
        caller.organization_id,
        app.new_id(),
        app.clock.now(),
        caller.subject,
        &change,
    )
    .await
}
