//! `UserService`: people as members, and their tokens. One file a resource.

mod tokens;
pub mod users;

use crate::api::handler::service;
use proto::gitpod::v1::*;

service! { METHODS: UserService {
    member reads get_authenticated_user(GetAuthenticatedUserRequest) -> GetAuthenticatedUserResponse { user } =
        users::get_authenticated(app, caller);
    member reads get_user(GetUserRequest) -> GetUserResponse { user } =
        users::get(app, caller, request);
    administrator writes set_suspended(SetSuspendedRequest) -> SetSuspendedResponse {} =
        users::set_suspended(app, caller, request);
    administrator writes delete_user(DeleteUserRequest) -> DeleteUserResponse {} =
        users::delete(app, caller, request);
    member_itself writes create_personal_access_token(CreatePersonalAccessTokenRequest)
        -> CreatePersonalAccessTokenResponse { token } =
        tokens::create(app, caller, request);
    oneself reads get_personal_access_token(GetPersonalAccessTokenRequest) -> GetPersonalAccessTokenResponse { pat } =
        tokens::get(app, caller, request);
    oneself reads list_personal_access_tokens(ListPersonalAccessTokensRequest)
        -> ListPersonalAccessTokensResponse { personal_access_tokens, pagination } =
        tokens::list(app, caller, paging, request);
    oneself writes delete_personal_access_token(DeletePersonalAccessTokenRequest)
        -> DeletePersonalAccessTokenResponse {} =
        tokens::delete(app, caller, request);
}}
