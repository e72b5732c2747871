//! How people sign in, for those who have no token yet. What an address is
//! answered with depends on its domain alone: nobody learns here who has an account.

use uuid::Uuid;

use crate::api::organization::members::LOGIN_PROVIDER;
use crate::api::paging::{Answer, Paging};
use crate::app::App;
use crate::domain::sign_in::email_domain;
use crate::error::{Error, Violation};
use crate::provisioning::sign_in::{check_return_to, choices, login_page_url, start_url};
use crate::store::Page;
use crate::store::sso::Choice;
use proto::gitpod::v1::{
    GetSSOLoginURLRequest, ListLoginProvidersRequest, ListLoginProvidersResponse,
    ListSSOLoginsRequest, LoginProvider, PaginationResponse, list_sso_logins_response::Login,
};

/// `GetSSOLoginURL`: the provider's, or where there are several, the page that lists them. One round
/// trip.
pub async fn get_sso_login_url(app: &App, request: GetSSOLoginURLRequest) -> Result<String, Error> {
    let return_to = request.return_to.as_deref().unwrap_or_default();
    check_return_to(app, return_to)?;
    let (email, _) = address(&request.email)?;
    let found = choices(app, email, Page::first(1)).await?;
    match &*found.items {
        [] => Err(Error::NotFound(
            "SSO configuration for addresses of this domain",
        )),
        _ if found.has_more => Ok(login_page_url(app, email, return_to)),
        [only, ..] => Ok(start_url(app, &only.configuration, email, return_to)),
    }
}

/// `ListSSOLogins`. One round trip.
pub async fn list_sso_logins(
    app: &App,
    paging: Paging<'_>,
    request: ListSSOLoginsRequest,
) -> Result<Answer<Login>, Error> {
    let return_to = request.return_to.as_deref().unwrap_or_default();
    check_return_to(app, return_to)?;
    let (email, domain) = address(&request.email)?;
    let nobodys = Uuid::nil().into();
    let list = paging.open("sso_logins", nobodys, domain, &request.pagination)?;
    let found = choices(app, email, list.page()).await?;
    let login = |choice: &Choice| Login {
        display_name: distinct_name(choice, &found.items),
        login_url: start_url(app, &choice.configuration, email, return_to),
        ..Default::default()
    };
    let logins = found.items.iter().map(login).collect();
    let pagination = list.next(&found, |choice| choice.configuration.id.as_uuid())?;
    Ok((logins, pagination))
}

/// `ListLoginProviders`: the providers of organizations are all there is.
pub async fn list_login_providers(
    app: &App,
    request: ListLoginProvidersRequest,
) -> Result<ListLoginProvidersResponse, Error> {
    let email = request.filter.email.as_deref().unwrap_or_default().trim();
    let custom = LoginProvider {
        provider: LOGIN_PROVIDER.to_owned(),
        login_url: login_page_url(app, email, ""),
        ..Default::default()
    };
    Ok(ListLoginProvidersResponse {
        pagination: PaginationResponse::default().into(),
        login_providers: vec![custom],
        allow_custom: true,
        ..Default::default()
    })
}

/// An address without the blanks around it, and its domain's key.
fn address(email: &str) -> Result<(&str, String), Error> {
    let email = email.trim();
    let domain = email_domain(email).ok_or_else(|| {
        let message = "must be an e-mail address such as ada@example.com";
        Error::invalid("email", Violation::EMAIL, message)
    })?;
    Ok((email, domain))
}

/// What a provider is called, with its organization where another is called the same.
fn distinct_name(choice: &Choice, all: &[Choice]) -> String {
    let name = choice.configuration.display_name();
    let same = all
        .iter()
        .filter(|other| other.configuration.display_name() == name);
    if same.count() > 1 {
        format!("{name} ({})", choice.organization)
    } else {
        name.to_owned()
    }
}
