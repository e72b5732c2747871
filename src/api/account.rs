//! How people sign in, for those who have no token yet (contract, section 3).

use super::proto::gitpod::v1::{
    GetSSOLoginURLRequest, GetSSOLoginURLResponse, ListLoginProvidersRequest,
    ListLoginProvidersResponse, ListSSOLoginsRequest, ListSSOLoginsResponse,
};
use crate::error::Error;

/// `GetSSOLoginURL`.
pub fn get_sso_login_url(_: &GetSSOLoginURLRequest) -> Result<GetSSOLoginURLResponse, Error> {
    Err(not_available())
}

/// `ListSSOLogins`.
pub fn list_sso_logins(_: &ListSSOLoginsRequest) -> Result<ListSSOLoginsResponse, Error> {
    Err(not_available())
}

/// `ListLoginProviders`.
pub fn list_login_providers(
    _: &ListLoginProvidersRequest,
) -> Result<ListLoginProvidersResponse, Error> {
    Err(not_available())
}

fn not_available() -> Error {
    Error::FailedPrecondition("not available yet".into())
}
