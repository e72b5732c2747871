//! Door 1: the public `gitpod.v1` services over Connect, gRPC and gRPC-Web, and our own, `rollcall.v1`.
//!
//! A request passes `transport::explain` (panics, answers without a body),
//! `authentication::authenticate` (who calls; `ahead` tells what is read at once), `transport::check_protocol`,
//! `transport::read_page` (the query of lists), the check of its JSON (`json`), then the RPC library,
//! which decodes it. The folder of its service has a table of the methods (`handler`): there the
//! `buf.validate` rules run, the caller's permission is checked, and the handler is called, one file a resource.

mod account;
mod ahead;
mod authentication;
mod enums;
mod errors;
mod event;
mod group;
mod handler;
mod identity;
mod json;
mod labels;
mod lines;
mod organization;
mod paging;
mod rollcall;
mod service_account;
mod transport;
mod user;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::any;
use connectrpc::{
    CompressionRegistry, ConnectRpcService, DeadlinePolicy, GzipProvider, Limits,
    Router as RpcRouter,
};
use connectrpc_reflection::Reflector;

use self::handler::{Api, Method};
use crate::app::App;
use crate::domain::identity::Audience;
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
/// How the path of the method ends whose answers are a stream.
const STREAM: &str = "/WatchEvents";
/// How long a request may take that names no deadline, and the longest it may name.
const DEADLINE: Duration = Duration::from_secs(30);
const MAX_DEADLINE: Duration = Duration::from_secs(60);

/// Every method, and who may call it: the table of permissions. It is made of the tables of the services.
pub fn methods() -> impl Iterator<Item = &'static Method> {
    let contract = [
        account::METHODS,
        event::METHODS,
        group::METHODS,
        identity::METHODS,
        organization::METHODS,
        service_account::METHODS,
        user::METHODS,
    ];
    contract.into_iter().chain(rollcall::METHODS).flatten()
}

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
    let services = EventServiceExt::register(api.clone(), services);
    let services = IdentityServiceExt::register(api.clone(), services);
    let services = ServiceAccountServiceExt::register(api.clone(), services);
    let services = UserServiceExt::register(api.clone(), services);
    let services = AccountServiceExt::register(api.clone(), services);
    let services = rollcall::register(&api, services);
    let (open, closed) = by_audience(&services)?;
    let services = rpc(services, &json);
    let mut closed = routes(closed, &services);
    for service in SERVICES.into_iter().chain(rollcall::NAMES) {
        closed = closed.route(
            &format!("/{service}/{{method}}"),
            any(transport::unimplemented),
        );
    }
    let closed = closed
        .layer(from_fn(transport::read_page))
        .layer(from_fn(transport::check_protocol))
        .layer(from_fn(lines::translate))
        .layer(from_fn_with_state(
            app.clone(),
            authentication::authenticate,
        ));

    let open = routes(open, &services)
        .layer(from_fn(transport::read_page))
        .layer(from_fn(transport::check_protocol));

    let names = [
        ACCOUNT_SERVICE_SERVICE_NAME,
        EVENT_SERVICE_SERVICE_NAME,
        GROUP_SERVICE_SERVICE_NAME,
        IDENTITY_SERVICE_SERVICE_NAME,
        ORGANIZATION_SERVICE_SERVICE_NAME,
        SERVICE_ACCOUNT_SERVICE_SERVICE_NAME,
        USER_SERVICE_SERVICE_NAME,
    ];
    let names = names.into_iter().chain(rollcall::NAMES);
    let (public, _) = connectrpc_health::install_static(RpcRouter::new(), names);
    let public = connectrpc_reflection::install(
        public,
        Reflector::from_descriptor_set_bytes(proto::DESCRIPTORS)?,
    );

    let methods: Vec<String> = public.methods().map(str::to_owned).collect();
    let public = routes(methods, &rpc(public, &json)).layer(from_fn(transport::check_protocol));
    let routes = public.merge(open).merge(closed);
    let routes = routes.clone().nest("/api", routes);
    Ok(routes
        .fallback(transport::nothing_here)
        .layer(from_fn(transport::explain)))
}

/// The paths of the methods that everybody may call, and those of the methods that need a caller.
///
/// # Errors
///
/// When a method is not in the table of permissions.
fn by_audience(services: &RpcRouter) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let table: HashMap<String, Audience> = methods()
        .map(|method| (method.path(), method.access.audience))
        .collect();
    let (mut open, mut closed) = (vec![], vec![]);
    for path in services.methods() {
        let audience = table.get(path).with_context(|| {
            format!("{path} is not in the table of permissions: the message of its request has another name")
        })?;
        match audience {
            Audience::Everybody => open.push(path.to_owned()),
            _ => closed.push(path.to_owned()),
        }
    }
    Ok((open, closed))
}

/// One route a method, so that a router's layers see its methods alone.
fn routes(methods: Vec<String>, services: &ConnectRpcService) -> Router {
    methods.into_iter().fold(Router::new(), |router, method| {
        router.route_service(&format!("/{method}"), services.clone())
    })
}

fn rpc(services: RpcRouter, json: &json::Json) -> ConnectRpcService {
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
        .with_interceptor(json.clone())
}
