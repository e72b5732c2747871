//! Door 1: the public `gitpod.v1` services over Connect, gRPC and gRPC-Web, and our own, `rollcall.v1`.
//!
//! A request passes [`transport::explain`] (panics, answers without a body),
//! [`authentication::authenticate`] (who calls; `ahead` tells what is read at once), [`transport::check_protocol`],
//! [`transport::read_page`] (the query of lists), the check of its JSON (`json`), then the RPC library,
//! which decodes it. The folder of its service has a table of the methods ([`handler`]): the
//! `buf.validate` rules run there, then the handler, one file a resource.

mod account;
mod ahead;
pub mod authentication;
pub mod errors;
mod group;
pub mod handler;
mod identity;
mod json;
pub mod labels;
mod organization;
mod paging;
mod rollcall;
pub mod transport;
mod user;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::any;
use connectrpc::{
    CompressionRegistry, ConnectRpcService, DeadlinePolicy, GzipProvider, Limits,
    Router as RpcRouter,
};
use connectrpc_reflection::Reflector;

use self::handler::Api;
use crate::app::App;
use crate::http::observe::Told;
use crate::metrics::Door;
use proto::gitpod::v1::*;

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

/// How its requests are told of.
pub const TOLD: Told = Told {
    door: Door::Api,
    names: |route, _| (labels::method(route), route.to_owned()),
    status: labels::status,
};

/// All routes of this door, as they are and again below `/api`.
///
/// # Errors
///
/// When the descriptors do not fit together: a fault of the build.
pub fn router(app: &Arc<App>) -> anyhow::Result<Router> {
    let api = Arc::new(Api { app: app.clone() });
    let json = json::Json::new(proto::DESCRIPTORS)?;
    let services = RpcRouter::new();
    let services = OrganizationServiceExt::register(api.clone(), services);
    let services = GroupServiceExt::register(api.clone(), services);
    let services = IdentityServiceExt::register(api.clone(), services);
    let services = UserServiceExt::register(api.clone(), services);
    let services = rollcall::register(&api, services);
    let mut closed = routes(services, &json);
    for service in SERVICES.into_iter().chain(rollcall::NAMES) {
        closed = closed.route(
            &format!("/{service}/{{method}}"),
            any(transport::unimplemented),
        );
    }
    let closed = closed
        .layer(from_fn(transport::read_page))
        .layer(from_fn(transport::check_protocol))
        .layer(from_fn_with_state(
            app.clone(),
            authentication::authenticate,
        ));

    let account = routes(AccountServiceExt::register(api, RpcRouter::new()), &json)
        .layer(from_fn(transport::read_page))
        .layer(from_fn(transport::check_protocol));

    let names = [
        ACCOUNT_SERVICE_SERVICE_NAME,
        GROUP_SERVICE_SERVICE_NAME,
        IDENTITY_SERVICE_SERVICE_NAME,
        ORGANIZATION_SERVICE_SERVICE_NAME,
        USER_SERVICE_SERVICE_NAME,
    ];
    let names = names.into_iter().chain(rollcall::NAMES);
    let (public, _) = connectrpc_health::install_static(RpcRouter::new(), names);
    let public = connectrpc_reflection::install(
        public,
        Reflector::from_descriptor_set_bytes(proto::DESCRIPTORS)?,
    );

    let public = routes(public, &json).layer(from_fn(transport::check_protocol));
    let routes = public.merge(account).merge(closed);
    let routes = routes.clone().nest("/api", routes);
    Ok(routes
        .fallback(transport::nothing_here)
        .layer(from_fn(transport::explain)))
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
