//! `AccountService`: where people sign in, which is open to everybody, and who they are.

pub mod accounts;
mod logins;

use crate::api::handler::service;
use proto::gitpod::v1::*;

service! { METHODS: AccountService {
    member reads get_account(GetAccountRequest) -> GetAccountResponse { account } =
        accounts::get(app, caller);
    member reads list_joinable_organizations(ListJoinableOrganizationsRequest)
        -> ListJoinableOrganizationsResponse { joinable_organizations, pagination } =
        accounts::list_joinable(app, caller, paging, request);
    everybody reads get_sso_login_url(GetSSOLoginURLRequest) -> GetSSOLoginURLResponse { login_url } =
        logins::get_sso_login_url(app, request);
    everybody reads list_sso_logins(ListSSOLoginsRequest) -> ListSSOLoginsResponse { logins, pagination } =
        logins::list_sso_logins(app, paging, request);
    everybody reads list_login_providers(ListLoginProvidersRequest) -> ListLoginProvidersResponse =
        logins::list_login_providers(app, request);
}}
