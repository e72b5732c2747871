//! The services of our own, `rollcall.v1`: what administrators and operators ask of a running server. One file a
//! service.

mod applications;
mod brands;
mod events;
mod members;
mod organizations;
mod provisioning;
mod sessions;
mod setup_links;
mod sign_in;
mod status;
mod webhooks;

use std::sync::Arc;

use connectrpc::Router;

use crate::api::handler::{Api, Method, service};
use proto::rollcall::v1::*;

/// The full names of the services.
pub const NAMES: [&str; 11] = [
    APPLICATION_SERVICE_SERVICE_NAME,
    BRAND_SERVICE_SERVICE_NAME,
    EVENT_SERVICE_SERVICE_NAME,
    MEMBER_SERVICE_SERVICE_NAME,
    ORGANIZATION_SERVICE_SERVICE_NAME,
    PROVISIONING_SERVICE_SERVICE_NAME,
    SESSION_SERVICE_SERVICE_NAME,
    SETUP_LINK_SERVICE_SERVICE_NAME,
    SIGN_IN_SERVICE_SERVICE_NAME,
    STATUS_SERVICE_SERVICE_NAME,
    WEBHOOK_SERVICE_SERVICE_NAME,
];

/// Who may call the methods of the services.
pub const METHODS: [&[Method]; 11] = [
    APPLICATIONS,
    BRANDS,
    EVENTS,
    MEMBERS,
    ORGANIZATIONS,
    PROVISIONING,
    SESSIONS,
    SETUP_LINKS,
    SIGN_IN,
    STATUS,
    WEBHOOKS,
];

/// Adds the services to those of a router.
pub fn register(api: &Arc<Api>, services: Router) -> Router {
    let services = ApplicationServiceExt::register(api.clone(), services);
    let services = BrandServiceExt::register(api.clone(), services);
    let services = EventServiceExt::register(api.clone(), services);
    let services = MemberServiceExt::register(api.clone(), services);
    let services = OrganizationServiceExt::register(api.clone(), services);
    let services = ProvisioningServiceExt::register(api.clone(), services);
    let services = SessionServiceExt::register(api.clone(), services);
    let services = SetupLinkServiceExt::register(api.clone(), services);
    let services = SignInServiceExt::register(api.clone(), services);
    let services = StatusServiceExt::register(api.clone(), services);
    WebhookServiceExt::register(api.clone(), services)
}

/// A number that is small, unless something is very wrong.
fn number(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

service! { APPLICATIONS: ApplicationService {
    owner writes create_application(CreateApplicationRequest)
        -> CreateApplicationResponse { application, client_secret } =
        applications::create(app, caller, request);
    owner reads get_application(GetApplicationRequest) -> GetApplicationResponse { application } =
        applications::get(app, caller, request);
    owner reads list_applications(ListApplicationsRequest)
        -> ListApplicationsResponse { applications, pagination } =
        applications::list(app, caller, paging, request);
    owner writes update_application(UpdateApplicationRequest) -> UpdateApplicationResponse { application } =
        applications::update(app, caller, request);
    owner writes delete_application(DeleteApplicationRequest) -> DeleteApplicationResponse {} =
        applications::delete(app, caller, request);
    owner writes rotate_application_secret(RotateApplicationSecretRequest)
        -> RotateApplicationSecretResponse { application, client_secret, previous_secret_expires_at } =
        applications::rotate_secret(app, caller, request);
}}

service! { BRANDS: BrandService {
    owner reads get_brand(GetBrandRequest) -> GetBrandResponse { brand } = brands::get(app, caller);
    owner writes update_brand(UpdateBrandRequest) -> UpdateBrandResponse { brand } =
        brands::update(app, caller, request);
}}

service! { EVENTS: EventService {
    owner reads list_events(ListEventsRequest) -> ListEventsResponse = events::list(app, caller, request);
    owner reads watch_events(WatchEventsRequest) -> [WatchEventsResponse] =
        events::watch(app, caller, again, request);
    administrator reads list_subjects(ListSubjectsRequest) -> ListSubjectsResponse =
        events::list_subjects(app, caller, request);
}}

service! { MEMBERS: MemberService {
    member reads list_member_groups(ListMemberGroupsRequest) -> ListMemberGroupsResponse { groups, pagination } =
        members::list_groups(app, caller, paging, request);
}}

service! { ORGANIZATIONS: OrganizationService {
    operator reads list_organizations(ListOrganizationsRequest)
        -> ListOrganizationsResponse { organizations, pagination } =
        organizations::list(app, paging, request);
}}

service! { PROVISIONING: ProvisioningService {
    scim_administrator reads list_provisioning_events(ListProvisioningEventsRequest)
        -> ListProvisioningEventsResponse { events, pagination } =
        provisioning::list_events(app, caller, paging, request);
}}

service! { SESSIONS: SessionService {
    administrator reads list_sessions(ListSessionsRequest) -> ListSessionsResponse { sessions, pagination } =
        sessions::list(app, caller, paging, request);
    administrator writes end_sessions(EndSessionsRequest) -> EndSessionsResponse { ended_count } =
        sessions::end(app, caller, request);
}}

service! { SETUP_LINKS: SetupLinkService {
    administrator writes create_setup_link(CreateSetupLinkRequest) -> CreateSetupLinkResponse { setup_link, url } =
        setup_links::create(app, caller, request);
    setup_link_itself reads get_setup_link(GetSetupLinkRequest) -> GetSetupLinkResponse =
        setup_links::get(app, caller, request);
    administrator reads list_setup_links(ListSetupLinksRequest) -> ListSetupLinksResponse { setup_links, pagination } =
        setup_links::list(app, caller, paging, request);
    administrator writes revoke_setup_link(RevokeSetupLinkRequest) -> RevokeSetupLinkResponse { setup_link } =
        setup_links::revoke(app, caller, request);
}}

service! { SIGN_IN: SignInService {
    sso_administrator reads list_sign_in_attempts(ListSignInAttemptsRequest)
        -> ListSignInAttemptsResponse { attempts, pagination } =
        sign_in::list_attempts(app, caller, paging, request);
    sso_administrator reads check_sso_configuration(CheckSSOConfigurationRequest) -> CheckSSOConfigurationResponse =
        sign_in::check(app, caller, request);
    sso_administrator reads check_issuer(CheckIssuerRequest) -> CheckIssuerResponse { findings } =
        sign_in::check_issuer(app, request);
    sso_administrator writes create_test_sign_in(CreateTestSignInRequest) -> CreateTestSignInResponse { url, expires_at } =
        sign_in::create_test(app, caller, request);
    administrator reads explain_sign_in(ExplainSignInRequest) -> ExplainSignInResponse =
        sign_in::explain(app, caller, request);
    sso_administrator reads evaluate_claims_expression(EvaluateClaimsExpressionRequest)
        -> EvaluateClaimsExpressionResponse =
        sign_in::evaluate(request);
}}

service! { STATUS: StatusService {
    administrator reads get_status(GetStatusRequest) -> GetStatusResponse =
        status::get(app, caller);
}}

service! { WEBHOOKS: WebhookService {
    owner writes create_webhook(CreateWebhookRequest) -> CreateWebhookResponse { webhook, secret } =
        webhooks::create(app, caller, request);
    owner reads get_webhook(GetWebhookRequest) -> GetWebhookResponse { webhook } =
        webhooks::get(app, caller, request);
    owner reads list_webhooks(ListWebhooksRequest) -> ListWebhooksResponse { webhooks, pagination } =
        webhooks::list(app, caller, paging, request);
    owner writes update_webhook(UpdateWebhookRequest) -> UpdateWebhookResponse { webhook } =
        webhooks::update(app, caller, request);
    owner writes delete_webhook(DeleteWebhookRequest) -> DeleteWebhookResponse {} =
        webhooks::delete(app, caller, request);
    owner writes rotate_webhook_secret(RotateWebhookSecretRequest)
        -> RotateWebhookSecretResponse { webhook, secret, previous_secret_expires_at } =
        webhooks::rotate_secret(app, caller, request);
    owner writes send_test_event(SendTestEventRequest) -> SendTestEventResponse =
        webhooks::send_test(app, caller, request);
    owner reads list_webhook_deliveries(ListWebhookDeliveriesRequest)
        -> ListWebhookDeliveriesResponse { deliveries, pagination } =
        webhooks::list_deliveries(app, caller, paging, request);
    owner writes replay_webhook_deliveries(ReplayWebhookDeliveriesRequest) -> ReplayWebhookDeliveriesResponse { count } =
        webhooks::replay(app, caller, request);
}}
