//! `ServiceAccountService`: programs and their tokens. One file a resource.

mod accounts;
mod tokens;

use crate::api::handler::service;
use proto::gitpod::v1::*;

service! { METHODS: ServiceAccountService {
    administrator writes create_service_account(CreateServiceAccountRequest)
        -> CreateServiceAccountResponse { service_account } =
        accounts::create(app, caller, request);
    administrator reads list_service_accounts(ListServiceAccountsRequest)
        -> ListServiceAccountsResponse { service_accounts, pagination } =
        accounts::list(app, caller, paging, request);
    oneself reads get_service_account(GetServiceAccountRequest) -> GetServiceAccountResponse { service_account } =
        accounts::get(app, caller, request);
    administrator writes update_service_account(UpdateServiceAccountRequest)
        -> UpdateServiceAccountResponse { service_account } =
        accounts::update(app, caller, request);
    administrator writes delete_service_account(DeleteServiceAccountRequest) -> DeleteServiceAccountResponse {} =
        accounts::delete(app, caller, request);
    administrator writes create_service_account_access_token(CreateServiceAccountAccessTokenRequest)
        -> CreateServiceAccountAccessTokenResponse { token } =
        tokens::create_access_token(app, caller, request);
    service_account_itself writes create_service_account_token(CreateServiceAccountTokenRequest)
        -> CreateServiceAccountTokenResponse { token, service_account_token } =
        tokens::create(app, caller, request);
    oneself reads list_service_account_tokens(ListServiceAccountTokensRequest)
        -> ListServiceAccountTokensResponse { tokens, pagination } =
        tokens::list(app, caller, paging, request);
    oneself reads get_service_account_token(GetServiceAccountTokenRequest)
        -> GetServiceAccountTokenResponse { token } =
        tokens::get(app, caller, request);
    oneself writes delete_service_account_token(DeleteServiceAccountTokenRequest)
        -> DeleteServiceAccountTokenResponse {} =
        tokens::delete(app, caller, request);
}}
