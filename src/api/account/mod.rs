//! `AccountService`: where people sign in. It is open to everybody.

mod logins;

use crate::api::handler::service;
use proto::gitpod::v1::*;

service! { METHODS: AccountService {
    everybody reads get_sso_login_url(GetSSOLoginURLRequest) -> GetSSOLoginURLResponse { login_url } =
        logins::get_sso_login_url(app, request);
    everybody reads list_sso_logins(ListSSOLoginsRequest) -> ListSSOLoginsResponse { logins, pagination } =
        logins::list_sso_logins(app, paging, request);
    everybody reads list_login_providers(ListLoginProvidersRequest) -> ListLoginProvidersResponse =
        logins::list_login_providers(app, request);
}}
