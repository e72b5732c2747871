//! Who looks at a page, and at which organization.
//!
//! A browser may have several credentials: the sessions of people who signed in, one of each organization; that of a token, which an
//! operator or the first administrator entered; and that of a set-up link. The first of them that may administer the organization
//! of the page is used, and no other.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, RawPathParams, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use chrono::{DateTime, Utc};
use http::header::{AUTHORIZATION, COOKIE, HeaderName};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::client::{Client, Refusal};
use super::{Console, TOP, cookies};
use crate::app::App;
use crate::domain::identity::Caller;
use crate::domain::ids::OrganizationId;
use crate::domain::token::{Token, TokenKind};
use crate::error::Error;
use crate::http::{caller, session};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Who looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// A member who signed in and is an administrator.
    Member,
    /// Whoever has the token of an administrator.
    Token,
    /// An operator of the installation.
    Operator,
    /// Whoever opened a set-up link.
    Link(Link),
}

/// A set-up link, as the API describes it to whoever has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Link {
    /// What it is for: names of `rollcall.v1.SetupPermission`.
    pub permissions: Vec<String>,
    /// Where the person goes when done; may be empty.
    pub return_url: String,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

impl Who {
    /// Whether they may set up how people sign in.
    pub fn sets_up_sso(&self) -> bool {
        self.sets_up("SETUP_PERMISSION_SSO")
    }

    /// Whether they may set up provisioning.
    pub fn sets_up_scim(&self) -> bool {
        self.sets_up("SETUP_PERMISSION_SCIM")
    }

    /// Whether they may verify domains.
    pub fn sets_up_domains(&self) -> bool {
        self.sets_up("SETUP_PERMISSION_DOMAINS")
    }

    /// Whether they administer everything of the organization.
    pub const fn administers(&self) -> bool {
        !matches!(self, Self::Link(_))
    }

    /// Whether a page of the organization is theirs, by the first part of its path.
    fn sees(&self, page: &str) -> bool {
        match page {
            _ if self.administers() => true,
            "" => true,
            "sso" | "sign-ins" => self.sets_up_sso(),
            "provisioning" => self.sets_up_scim(),
            "domains" => self.sets_up_domains(),
            _ => false,
        }
    }

    fn sets_up(&self, permission: &str) -> bool {
        match self {
            Self::Link(link) => link.permissions.iter().any(|one| one == permission),
            _ => true,
        }
    }
}

/// A look at the pages of an organization, or of the installation, by somebody who may.
#[derive(Clone)]
pub struct Visit {
    /// What the pages work with.
    pub console: Arc<Console>,
    /// Who looks.
    pub who: Who,
    /// The organization; the nil one for the installation.
    pub organization: OrganizationId,
    /// What it is called.
    pub name: String,
    client: Client,
}

impl Visit {
    /// Calls a method of the API, such as `gitpod.v1.OrganizationService/ListMembers`.
    ///
    /// # Errors
    ///
    /// What the method refuses.
    pub async fn call<A: DeserializeOwned>(
        &self,
        method: &str,
        request: impl Serialize,
    ) -> Result<A, Refusal> {
        self.client.call(&self.console, method, request).await
    }

    /// Calls a method whose answer says nothing.
    ///
    /// # Errors
    ///
    /// What the method refuses.
    pub async fn tell(&self, method: &str, request: impl Serialize) -> Result<(), Refusal> {
        self.call::<Value>(method, request).await.map(drop)
    }

    /// The path of a page of the organization, such as `people`; the first page for the empty text.
    pub fn path(&self, page: &str) -> String {
        let id = self.organization;
        match page {
            "" => format!("{TOP}/{id}"),
            page => format!("{TOP}/{id}/{page}"),
        }
    }

    /// Sends the browser to a page of the organization, such as `people?done=saved`.
    pub fn go(&self, page: &str) -> Response {
        Redirect::to(&self.path(page)).into_response()
    }
}

impl<S: Sync> FromRequestParts<S> for Visit {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        parts
            .extensions
            .get()
            .cloned()
            .ok_or_else(Refusal::nothing_here)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for At {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(at)) => Ok(at),
            Err(_) => Err(Refusal::nothing_here()),
        }
    }
}

/// Finds out who looks at which organization, and leaves that to the handler and to the frame of the page.
pub async fn recognise(
    State(console): State<Arc<Console>>,
    params: RawPathParams,
    mut request: Request,
    next: Next,
) -> Response {
    let named = params.iter().find(|(name, _)| *name == "organization");
    let organization = match named {
        None => None,
        Some((_, text)) => match Uuid::try_parse(text) {
            Ok(id) if !id.is_nil() => Some(OrganizationId::from(id)),
            _ => return Refusal::nothing_here().into_response(),
        },
    };
    let page = request.uri().path();
    let page = page.split('/').nth(2).unwrap_or_default().to_owned();
    match visit(&console, request.headers(), organization).await {
        Ok(visit) if !visit.who.sees(&page) => {
            Refusal::new("permission_denied", NOT_OF_LINK).into_response()
        }
        Ok(visit) => {
            request.extensions_mut().insert(visit.clone());
            let mut response = next.run(request).await;
            response.extensions_mut().insert(visit);
            response
        }
        Err(refusal) => refusal.into_response(),
    }
}

async fn visit(
    console: &Arc<Console>,
    headers: &HeaderMap,
    organization: Option<OrganizationId>,
) -> Result<Visit, Refusal> {
    let mut refused = Refusal::from(Error::Unauthenticated);
    for (who, headers) in credentials(&console.app, headers, organization) {
        let found = match caller::find(&console.app, &Method::GET, &headers, None).await {
            Ok(found) => found,
            Err(Error::Unauthenticated) => {
                if matches!(who, Who::Link(_)) && refused.code == "unauthenticated" {
                    refused = Refusal::new("not_found", LINK_ENDED);
                }
                continue;
            }
            Err(error) => {
                refused = error.into();
                continue;
            }
        };
        let may = |caller: Caller| caller.powers.administers || caller.setup_link().is_some();
        if !found.caller.is_some_and(may) && (organization.is_some() || found.operator.is_none()) {
            refused = Refusal::new("permission_denied", NO_ADMINISTRATOR);
            continue;
        }
        let client = Client::new(headers);
        let (who, name) = match (organization, who) {
            (Some(_), Who::Link(_)) => look_at_link(console, &client).await?,
            (Some(id), who) => (who, name_of(console, &client, id).await?),
            (None, who) => (who, String::new()),
        };
        return Ok(Visit {
            console: console.clone(),
            who,
            organization: organization.unwrap_or_else(|| Uuid::nil().into()),
            name,
            client,
        });
    }
    Err(refused)
}

/// What somebody is told whose link is for other pages.
const NOT_OF_LINK: &str =
    "Your set-up link is not for this page. The menu has the pages that it is for.";

/// What somebody is told whose link opens nothing.
pub const LINK_ENDED: &str = "This set-up link is incomplete, has ended, or was revoked. Ask whoever sent it to you for a new one.";

/// What somebody is told who has no say.
const NO_ADMINISTRATOR: &str = "You are signed in, but you are no administrator of this organization. Ask an administrator to give you the role.";

async fn name_of(
    console: &Console,
    client: &Client,
    id: OrganizationId,
) -> Result<String, Refusal> {
    #[derive(Deserialize)]
    struct Answer {
        organization: Named,
    }
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    let method = "gitpod.v1.OrganizationService/GetOrganization";
    let request = json!({ "organizationId": id });
    let answer: Answer = client.call(console, method, request).await?;
    Ok(answer.organization.name)
}

/// What a set-up link is for, and what its organization is called.
async fn look_at_link(console: &Console, client: &Client) -> Result<(Who, String), Refusal> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        setup_link: Link,
        organization_name: String,
    }
    let method = "rollcall.v1.SetupLinkService/GetSetupLink";
    let answer: Answer = client.call(console, method, json!({})).await?;
    Ok((Who::Link(answer.setup_link), answer.organization_name))
}

/// What the browser has that may open the pages of an organization, or of the installation: the headers that say so to the API.
fn credentials(
    app: &App,
    headers: &HeaderMap,
    organization: Option<OrganizationId>,
) -> Vec<(Who, HeaderMap)> {
    let mut found = vec![];
    if let Some(organization) = organization {
        let sessions = session::all_presented(app, headers);
        let here = |token: &Token| app.organization_of(token) == Some(organization);
        let session = sessions.into_iter().find(here);
        found.extend(session.and_then(|token| Some((Who::Member, of_session(app, &token)?))));
    }
    if let Some(token) = cookies::token(app, headers) {
        let who = match token.kind() {
            TokenKind::Operator => Who::Operator,
            _ => Who::Token,
        };
        found.extend(of_token(&token, organization).map(|headers| (who, headers)));
    }
    let link = cookies::link(app, headers).filter(|token| token.organization() == organization);
    if let (Some(token), Some(_)) = (link, organization) {
        let who = Who::Link(Link::default());
        found.extend(of_token(&token, organization).map(|headers| (who, headers)));
    }
    found
}

fn of_session(app: &App, token: &Token) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(COOKIE, secret(&session::cookie_of(app, token))?);
    // Where the page's own request came from was looked at already.
    headers.insert(SEC_FETCH_SITE, HeaderValue::from_static("same-origin"));
    Some(headers)
}

/// The headers of a request with a token.
pub fn of_token(token: &Token, organization: Option<OrganizationId>) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(
        AUTHORIZATION,
        secret(&format!("Bearer {}", token.expose()))?,
    );
    if let Some(organization) = organization {
        let value = HeaderValue::from_str(&organization.to_string()).ok()?;
        headers.insert(caller::ORGANIZATION, value);
    }
    Some(headers)
}

fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The part of the path after the organization, which has to be an identifier.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct At {
    /// The identifier.
    pub id: Uuid,
}
