//! Signing out by way of an application (OpenID Connect RP-Initiated Logout 1.0). The application proves that it asks with an ID token
//! of this very session; otherwise the person is asked, so that no other site signs anybody out.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method};
use serde_json::{Map, Value};

use super::answer::{redirect, with_query};
use super::pages;
use super::parameters::Parameters;
use super::request::find;
use super::{ID_TOKEN, LOGOUT_PATH};
use crate::app::App;
use crate::domain::application::{Application, ClientId};
use crate::domain::ids::{MemberId, OrganizationId, SessionId};
use crate::domain::token::Token;
use crate::error::Error;
use crate::http::page::Page;
use crate::http::session;
use crate::metrics::SessionEnd;
use crate::provisioning::{sign_in, signing};
use crate::store::sessions::SignedIn;

/// A session that an ID token names.
#[derive(Clone, Copy)]
struct Named {
    organization_id: OrganizationId,
    member: MemberId,
    id: SessionId,
}

/// A request to sign out that is in order.
struct Asked {
    /// The session that the ID token is of.
    session: Option<Named>,
    /// Where the person goes afterwards.
    return_to: Option<String>,
}

enum Stop {
    Page(Page),
    Fault(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Fault(error)
    }
}

/// `GET /oauth2/logout`.
pub async fn get(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let sent = Parameters::read(query.unwrap_or_default().as_bytes());
    answered(
        &app,
        &headers,
        sent.map_err(|refused| refused.description.into_owned()),
        false,
    )
    .await
}

/// `POST`, which comes without cookies from the application's page: the browser is asked to come again with them.
pub async fn post(State(app): State<Arc<App>>, headers: HeaderMap, body: Bytes) -> Response {
    match Parameters::of_form(&headers, &body) {
        Ok(sent) => redirect(&format!("{}{LOGOUT_PATH}?{}", app.public_url, sent.query())),
        Err(refused) => pages::bad_logout(&refused.description).into_response(),
    }
}

/// The person agrees.
pub async fn confirm(State(app): State<Arc<App>>, headers: HeaderMap, body: Bytes) -> Response {
    if session::check_same_origin(&app, &Method::POST, &headers).is_err() {
        return pages::other_site().into_response();
    }
    let form = Parameters::of_form(&headers, &body).unwrap_or_default();
    let sent = Parameters::read(form.get("request").unwrap_or_default().as_bytes());
    answered(
        &app,
        &headers,
        sent.map_err(|refused| refused.description.into_owned()),
        true,
    )
    .await
}

async fn answered(
    app: &App,
    headers: &HeaderMap,
    sent: Result<Parameters, String>,
    is_confirmed: bool,
) -> Response {
    let sent = match sent {
        Ok(sent) => sent,
        Err(why) => return pages::bad_logout(&why).into_response(),
    };
    match sign_out(app, headers, &sent, is_confirmed).await {
        Ok(response) => response,
        Err(Stop::Page(page)) => page.into_response(),
        Err(Stop::Fault(error)) => {
            error.report();
            pages::fault().into_response()
        }
    }
}

async fn sign_out(
    app: &App,
    headers: &HeaderMap,
    sent: &Parameters,
    is_confirmed: bool,
) -> Result<Response, Stop> {
    let asked = asked(app, sent).await?;
    let sessions = session::signed_in(app, headers).await?;
    let is_named = |(_, session): &&(Token, SignedIn)| {
        asked.session.is_some_and(|named| named.id == session.id)
    };
    let named = sessions.iter().find(is_named);
    let (ending, rest): (Vec<_>, _) = match (named, is_confirmed) {
        (Some(named), _) => (vec![named], false),
        (None, true) => (sessions.iter().collect(), false),
        (None, false) => (vec![], !sessions.is_empty()),
    };
    if rest {
        let sessions: Vec<SignedIn> = sessions.into_iter().map(|(_, session)| session).collect();
        return Ok(pages::confirm_logout(sent, &sessions).into_response());
    }
    // Not a browser: an application's server, which has the ID token.
    if let (Some(session), true) = (asked.session, sessions.is_empty()) {
        let (organization_id, member) = (session.organization_id, session.member);
        let ended = sign_in::end_named(app, organization_id, member, session.id).await?;
        app.metrics
            .sessions_ended(SessionEnd::SignedOut, ended.into());
    }
    let mut response = redirect(asked.return_to.as_deref().unwrap_or("/signed-out"));
    for (token, session) in &ending {
        let ended = sign_in::sign_out(app, session.organization_id, token).await?;
        app.metrics
            .sessions_ended(SessionEnd::SignedOut, ended.into());
    }
    match &*ending {
        [(token, _)] => session::remove(app, headers, response.headers_mut(), token),
        [] => {}
        _ => session::clear(app, headers, response.headers_mut()),
    }
    Ok(response)
}

/// The session that an ID token of a member is of.
fn named(claims: &Map<String, Value>) -> Option<Named> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    Some(Named {
        organization_id: text("org_id")?.parse().ok()?,
        member: text("sub")?.parse().ok()?,
        id: text("sid")?.parse().ok()?,
    })
}

/// Makes sure that a request is in order before anything is done.
async fn asked(app: &App, sent: &Parameters) -> Result<Asked, Stop> {
    let wrong = |why: &'static str| Stop::Page(pages::bad_logout(why));
    let mut session = None;
    let mut client = match sent.get("client_id") {
        Some(id) => Some(
            id.parse::<ClientId>()
                .map_err(|()| wrong("its client_id is not known"))?,
        ),
        None => None,
    };
    if let Some(hint) = sent.get("id_token_hint") {
        let ring = signing::ring(app).await?;
        // One whose key is gone proves nothing: then the person is asked.
        let claims = ring.open(hint, ID_TOKEN).unwrap_or_default();
        let audience = claims.get("aud").and_then(Value::as_str);
        let audience: Option<ClientId> = audience.and_then(|aud| aud.parse().ok());
        if client.is_some() && audience.is_some() && client != audience {
            return Err(wrong(
                "its client_id and its id_token_hint are of two applications",
            ));
        }
        client = client.or(audience);
        session = named(&claims);
    }
    let application: Option<Application> = match client {
        Some(client) => find(app, client).await?,
        None => None,
    };
    let return_to = match (sent.get("post_logout_redirect_uri"), &application) {
        (None, _) => None,
        (Some(uri), Some(application)) if application.returns_to(uri) => {
            let state = sent.get("state").map(|state| {
                let mut query = form_urlencoded::Serializer::new(String::new());
                query.append_pair("state", state).finish()
            });
            Some(state.map_or_else(|| uri.to_owned(), |state| with_query(uri, &state)))
        }
        (Some(_), Some(_)) => {
            return Err(wrong(
                "its post_logout_redirect_uri is not among those that it has registered",
            ));
        }
        (Some(_), None) => {
            return Err(wrong(
                "it has a post_logout_redirect_uri, but neither an id_token_hint nor a client_id that is known",
            ));
        }
    };
    Ok(Asked { session, return_to })
}
