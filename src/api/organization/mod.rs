//! `OrganizationService`: the organization, its members, and how people and identity providers come in. One file a
//! resource.

pub mod domains;
pub mod invitations;
pub mod members;
pub mod organizations;
pub mod policies;
pub mod scim;
pub mod sso;

use crate::api::handler::service;
use proto::gitpod::v1::*;

service! { METHODS: OrganizationService {
    operator writes create_organization(CreateOrganizationRequest) -> CreateOrganizationResponse { organization } =
        organizations::create(app, caller, request);
    member reads get_organization(GetOrganizationRequest) -> GetOrganizationResponse { organization } =
        organizations::get(app, caller, request);
    administrator writes update_organization(UpdateOrganizationRequest)
        -> UpdateOrganizationResponse { organization } =
        organizations::update(app, caller, request);
    owner writes delete_organization(DeleteOrganizationRequest) -> DeleteOrganizationResponse {} =
        organizations::delete(app, caller, request);
    member reads list_members(ListMembersRequest) -> ListMembersResponse =
        members::list(app, caller, paging, request);
    administrator writes set_role(SetRoleRequest) -> SetRoleResponse {} =
        members::set_role(app, caller, request);
    administrator writes create_organization_invite(CreateOrganizationInviteRequest)
        -> CreateOrganizationInviteResponse { invite } =
        invitations::create(app, caller, request);
    administrator writes get_organization_invite(GetOrganizationInviteRequest)
        -> GetOrganizationInviteResponse { invite } =
        invitations::get(app, caller, request);
    member reads get_organization_invite_summary(GetOrganizationInviteSummaryRequest)
        -> GetOrganizationInviteSummaryResponse =
        invitations::get_summary(app, request);
    member writes join_organization(JoinOrganizationRequest) -> JoinOrganizationResponse { member } =
        invitations::join(app, caller, request);
    member_itself writes leave_organization(LeaveOrganizationRequest) -> LeaveOrganizationResponse {} =
        members::leave(app, caller, request);
    sso_administrator writes create_sso_configuration(CreateSSOConfigurationRequest)
        -> CreateSSOConfigurationResponse { sso_configuration } =
        sso::create(app, caller, request);
    sso_administrator reads get_sso_configuration(GetSSOConfigurationRequest)
        -> GetSSOConfigurationResponse { sso_configuration } =
        sso::get(app, caller, ahead, request);
    sso_administrator reads list_sso_configurations(ListSSOConfigurationsRequest)
        -> ListSSOConfigurationsResponse { sso_configurations, pagination } =
        sso::list(app, caller, ahead, paging, request);
    sso_administrator writes update_sso_configuration(UpdateSSOConfigurationRequest) -> UpdateSSOConfigurationResponse {} =
        sso::update(app, caller, request);
    sso_administrator writes delete_sso_configuration(DeleteSSOConfigurationRequest) -> DeleteSSOConfigurationResponse {} =
        sso::delete(app, caller, request);
    scim_administrator writes create_scim_configuration(CreateSCIMConfigurationRequest)
        -> CreateSCIMConfigurationResponse { scim_configuration, token, token_expires_at } =
        scim::create(app, caller, request);
    scim_administrator reads get_scim_configuration(GetSCIMConfigurationRequest)
        -> GetSCIMConfigurationResponse { scim_configuration } =
        scim::get(app, caller, ahead, request);
    scim_administrator reads list_scim_configurations(ListSCIMConfigurationsRequest)
        -> ListSCIMConfigurationsResponse { scim_configurations, pagination } =
        scim::list(app, caller, ahead, paging, request);
    scim_administrator writes update_scim_configuration(UpdateSCIMConfigurationRequest)
        -> UpdateSCIMConfigurationResponse { scim_configuration } =
        scim::update(app, caller, request);
    scim_administrator writes delete_scim_configuration(DeleteSCIMConfigurationRequest)
        -> DeleteSCIMConfigurationResponse {} =
        scim::delete(app, caller, request);
    scim_administrator writes regenerate_scim_token(RegenerateSCIMTokenRequest)
        -> RegenerateSCIMTokenResponse { token, token_expires_at } =
        scim::regenerate_token(app, caller, request);
    domains_administrator writes create_domain_verification(CreateDomainVerificationRequest)
        -> CreateDomainVerificationResponse { domain_verification } =
        domains::create(app, caller, request);
    domains_reader reads get_domain_verification(GetDomainVerificationRequest)
        -> GetDomainVerificationResponse { domain_verification } =
        domains::get(app, caller, request);
    domains_reader reads list_domain_verifications(ListDomainVerificationsRequest)
        -> ListDomainVerificationsResponse { domain_verifications, pagination } =
        domains::list(app, caller, paging, request);
    domains_administrator writes verify_domain(VerifyDomainRequest) -> VerifyDomainResponse { domain_verification } =
        domains::verify(app, caller, request);
    domains_administrator writes delete_domain_verification(DeleteDomainVerificationRequest)
        -> DeleteDomainVerificationResponse {} =
        domains::delete(app, caller, request);
    member reads get_organization_policies(GetOrganizationPoliciesRequest)
        -> GetOrganizationPoliciesResponse { policies } =
        policies::get(app, caller, request);
    administrator writes update_organization_policies(UpdateOrganizationPoliciesRequest)
        -> UpdateOrganizationPoliciesResponse {} =
        policies::update(app, caller, request);
}}
