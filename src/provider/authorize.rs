//! The authorization endpoint (OpenID Connect Core, section 3.1.2): from an application's request to a code, by a session that the
//! browser has or begins at the organization's provider.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use http::Method;
use http::header::{self, HeaderMap, HeaderValue};
use uuid::Uuid;

use super::error::{Code, Refused, fault};
use super::pages;
use super::parameters::Parameters;
use super::request::{Mode, Request, Stop, Target};
use super::{SINCE, answer, claims};
use crate::app::App;
use crate::domain::application::Scope;
use crate::domain::grant::{CODE_LIFETIME, Details, Grant};
use crate::domain::ids::SessionId;
use crate::domain::sign_in::{LOGIN_LIFETIME, email_domain};
use crate::domain::token::TokenKind;
use crate::error::Error;
use crate::events::logout;
use crate::http::session;
use crate::provisioning::groups;
use crate::provisioning::sign_in::{self, AUTHORIZE_PATH, MAX_RETURN_TO};
use crate::store;
use crate::store::sessions::SignedIn;

/// How many ways to sign in are looked at.
const MAX_CHOICES: u32 = 50;

/// How much time may pass between signing in at the provider and coming back, for `max_age`.
const SLACK: TimeDelta = TimeDelta::seconds(60);

/// What a person decided on a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    /// To go on with this session.
    Chosen(SessionId),
    /// That the application may have what it asks for.
    Allowed(SessionId),
    /// That it may not.
    Denied,
}

/// `GET`: with a session that fits, two round trips for the application and the session, and one for the code.
pub async fn get(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let sent = Parameters::read(query.unwrap_or_default().as_bytes());
    match sent {
        Ok(sent) => answered(&app, &headers, sent, None).await,
        Err(refused) => pages::bad_request(&refused.description).into_response(),
    }
}

/// `POST`, which comes without cookies from the application's page: the browser is asked to come again with them.
pub async fn post(State(app): State<Arc<App>>, headers: HeaderMap, body: Bytes) -> Response {
    match Parameters::of_form(&headers, &body) {
        Ok(sent) => answer::redirect(&format!(
            "{}{AUTHORIZE_PATH}?{}",
            app.public_url,
            sent.query()
        )),
        Err(refused) => pages::bad_request(&refused.description).into_response(),
    }
}

/// A page's form: the request once more, with what the person decided.
pub async fn decide(State(app): State<Arc<App>>, headers: HeaderMap, body: Bytes) -> Response {
    if session::check_same_origin(&app, &Method::POST, &headers).is_err() {
        return pages::other_site().into_response();
    }
    let read = || {
        let form = Parameters::of_form(&headers, &body).ok()?;
        let sent = Parameters::read(form.get("request")?.as_bytes()).ok()?;
        let session: Uuid = form.get("session")?.parse().ok()?;
        let decision = match form.get("decision")? {
            "choose" => Decision::Chosen(session.into()),
            "allow" => Decision::Allowed(session.into()),
            "deny" => Decision::Denied,
            _ => return None,
        };
        Some((sent, decision))
    };
    match read() {
        Some((sent, decision)) => answered(&app, &headers, sent, Some(decision)).await,
        None => pages::bad_request("the form came incomplete").into_response(),
    }
}

async fn answered(
    app: &App,
    headers: &HeaderMap,
    sent: Parameters,
    decision: Option<Decision>,
) -> Response {
    let request = match Request::read(app, sent).await {
        Ok(request) => request,
        Err(Stop::Page(page)) => return page.into_response(),
        Err(Stop::Refused(target, refused)) => return answer::refused(app, &target, &refused),
        Err(Stop::Fault(error)) => return broken(None, app, &error),
    };
    match decide_on(app, headers, &request, decision).await {
        Ok(response) => response,
        Err(error) => broken(Some(&request.target), app, &error),
    }
}

/// What is not the application's doing: it may try again, so it is told, if it is known where.
fn broken(target: Option<&Target>, app: &App, error: &Error) -> Response {
    let (refused, retry_after) = fault(error);
    let Some(target) = target.filter(|_| retry_after.is_none()) else {
        let mut response = pages::fault().into_response();
        if let Some(seconds) = retry_after {
            let value = HeaderValue::from(seconds);
            response.headers_mut().insert(header::RETRY_AFTER, value);
        }
        return response;
    };
    answer::refused(app, target, &refused)
}

async fn decide_on(
    app: &App,
    headers: &HeaderMap,
    request: &Request,
    decision: Option<Decision>,
) -> Result<Response, Error> {
    let refuse = |code, text: &'static str| {
        Ok(answer::refused(
            app,
            &request.target,
            &Refused::new(code, text),
        ))
    };
    if decision == Some(Decision::Denied) {
        return refuse(Code::AccessDenied, "the person did not agree");
    }
    let now = app.clock.now();
    let since = since(app, request, now);
    let sessions: Vec<SignedIn> = session::signed_in(app, headers)
        .await?
        .into_iter()
        .map(|(_, session)| session)
        .filter(|session| fits(request, session))
        .collect();
    let chosen = match decision {
        Some(Decision::Chosen(id) | Decision::Allowed(id)) => {
            sessions.iter().find(|session| session.id == id)
        }
        _ => suggested(app, request, &sessions).await?,
    };
    let fresh = chosen.filter(|session| is_fresh(request, session, since, now));
    let Some(session) = fresh else {
        return match (request.prompt.none, since, chosen) {
            (_, _, Some(session))
                if !is_strong_enough(request, session)
                    && (request.prompt.none || since.is_some()) =>
            {
                refuse(
                    Code::UnmetAuthenticationRequirements,
                    "the person did not sign in as strongly as the request insists on",
                )
            }
            (true, ..) => refuse(
                Code::LoginRequired,
                "the person is not signed in as the request demands",
            ),
            (false, Some(_), None) => refuse(
                Code::AccessDenied,
                "the person signed in, but not to the organization or as the person that the request demands",
            ),
            (false, Some(_), Some(_)) => refuse(
                Code::LoginRequired,
                "the provider of the organization did not have the person sign in again",
            ),
            (false, None, _) => to_sign_in(app, request, now).await,
        };
    };
    let is_chosen = decision.is_some() || since.is_some();
    if request.prompt.select_account && !is_chosen {
        let another = sign_in_url(app, request, now).await?;
        let sessions: Vec<&SignedIn> = sessions.iter().collect();
        let name = &request.application.settings.name;
        let page = pages::choose_account(name, &request.parameters, &sessions, &another);
        return Ok(page.into_response());
    }
    if !is_allowed(app, request, session).await? {
        let refused = Refused::new(
            Code::AccessDenied,
            "the organization lets only members of certain groups use the application",
        );
        if request.prompt.none || request.target.mode == Mode::FormPost {
            return Ok(answer::refused(app, &request.target, &refused));
        }
        let back = answer::refusal_url(app, &request.target, &refused);
        let name = &request.application.settings.name;
        return Ok(pages::not_for_you(name, session, &back).into_response());
    }
    let application = &request.application;
    let must_agree =
        request.prompt.consent || application.may_be_another(&request.target.redirect_uri);
    if must_agree && decision != Some(Decision::Allowed(session.id)) {
        if request.prompt.none {
            return refuse(
                Code::ConsentRequired,
                "the person must agree: any program could have sent this request",
            );
        }
        let name = &application.settings.name;
        let wanted = claims::scopes_of(&request.wanted).within(&application.scopes());
        let scopes = request.scopes.iter().chain(wanted.iter()).collect();
        let page = pages::consent(name, &scopes, &request.parameters, session);
        return Ok(page.into_response());
    }
    give_code(app, request, session, now).await
}

/// Whether a session is one that the request can be answered with.
fn fits(request: &Request, session: &SignedIn) -> bool {
    let is_member = request
        .organization
        .is_none_or(|organization| organization == session.organization_id);
    let is_person = request
        .subject
        .is_none_or(|subject| subject.as_uuid() == session.user_id.as_uuid());
    is_member && is_person
}

/// The session of the person whom the application expects, or else the one that began last; none, if the person whom it expects signs
/// in elsewhere.
async fn suggested<'a>(
    app: &App,
    request: &Request,
    sessions: &'a [SignedIn],
) -> Result<Option<&'a SignedIn>, Error> {
    let hint = request.login_hint.as_deref().unwrap_or_default();
    let expected = sessions
        .iter()
        .find(|session| !hint.is_empty() && session.email.eq_ignore_ascii_case(hint));
    if expected.is_some() || sessions.is_empty() || email_domain(hint).is_none() {
        return Ok(expected.or(sessions.first()));
    }
    let page = store::Page::first(MAX_CHOICES);
    let choices = sign_in::choices(app, hint, page).await?.items;
    let signs_in_at = |session: &&SignedIn| {
        let mut places = choices.iter();
        places.any(|choice| choice.configuration.organization_id == session.organization_id)
    };
    Ok(match choices.is_empty() {
        true => sessions.first(),
        false => sessions.iter().find(signs_in_at),
    })
}

/// Whether the person signed in as lately and as strongly as the request demands. A sign-in that began because of this request is
/// as good as the organization's provider makes it, but for a time that the provider itself says is too long ago.
fn is_fresh(
    request: &Request,
    session: &SignedIn,
    since: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> bool {
    let time = session.authentication().time;
    let asks_again = request.prompt.login || request.max_age.is_some();
    let is_new = since.is_some_and(|since| {
        session.created_at >= since
            && (!asks_again || (session.is_anew && time.is_some_and(|time| time >= since - SLACK)))
    });
    let age = |slack| {
        let is_young = |max_age: i64| {
            time.is_some_and(|time| now - time <= TimeDelta::seconds(max_age) + slack)
        };
        request.max_age.is_none_or(is_young)
    };
    if is_new {
        return age(SLACK) && is_strong_enough(request, session);
    }
    // They are a wish, not a condition (OpenID Connect Core, section 5.5.1.1): nobody is refused for them.
    let is_strong = request.prompt.none
        || request.acr_values.is_empty()
        || has_class(session, &request.acr_values);
    !request.prompt.login
        && age(TimeDelta::zero())
        && is_strong
        && is_strong_enough(request, session)
}

/// Whether the person signed in as strongly as the request insists on.
fn is_strong_enough(request: &Request, session: &SignedIn) -> bool {
    request.required_acr.is_empty() || has_class(session, &request.required_acr)
}

fn has_class(session: &SignedIn, classes: &[String]) -> bool {
    let class = session.acr.as_ref();
    class.is_some_and(|class| classes.contains(class))
}

async fn is_allowed(app: &App, request: &Request, session: &SignedIn) -> Result<bool, Error> {
    let allowed = &request.application.settings.groups;
    groups::is_in_any(app, session.organization_id, session.user_id, allowed).await
}

/// When the sign-in began that this request comes back from.
fn since(app: &App, request: &Request, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let sealed = URL_SAFE_NO_PAD
        .decode(request.parameters.get(SINCE)?)
        .ok()?;
    let plain = app.keys.open(&sealed, &since_context(request))?;
    let seconds = i64::from_be_bytes(plain.as_slice().try_into().ok()?);
    let since = DateTime::from_timestamp_millis(seconds)?;
    // The page of the provider may have been open for as long as a login may take, and this one as well.
    (since <= now && now < since + LOGIN_LIFETIME * 2).then_some(since)
}

/// What a moment is sealed for: this very request.
fn since_context(request: &Request) -> Vec<u8> {
    let mut parameters = request.parameters.clone();
    parameters.0.remove(SINCE);
    [b"sign-in since\0", parameters.query().as_bytes()].concat()
}

/// Sends the browser to sign in, and from there back to this request.
async fn to_sign_in(app: &App, request: &Request, now: DateTime<Utc>) -> Result<Response, Error> {
    let url = sign_in_url(app, request, now).await?;
    if let Some(pushed) = request.pushed {
        // The person may take as long as without it.
        let mut db = app.store.acquire().await?;
        let organization_id = request.application.organization_id;
        let until = now + LOGIN_LIFETIME * 2;
        store::pushed_requests::extend(&mut db, organization_id, pushed, until).await?;
    }
    if url.is_empty() {
        let refused = Refused::request(
            "the request is too long to sign in with: push it (RFC 9126), or leave out claims",
        );
        return Ok(answer::refused(app, &request.target, &refused));
    }
    Ok(answer::redirect(&url))
}

/// Where the person signs in: at the only provider of the organization, if it is known; empty for a request that is too long to come
/// back to.
async fn sign_in_url(app: &App, request: &Request, now: DateTime<Utc>) -> Result<String, Error> {
    let mut again = request.clone();
    if !request.required_acr.is_empty() {
        let classes = request.required_acr.join(" ");
        again.parameters.0.insert("acr_values".to_owned(), classes);
    }
    let sealed = app.keys.seal(
        &now.timestamp_millis().to_be_bytes(),
        &since_context(&again),
        &app.random,
    )?;
    let sealed = URL_SAFE_NO_PAD.encode(sealed);
    again.parameters.0.insert(SINCE.to_owned(), sealed);
    let return_to = format!("{AUTHORIZE_PATH}?{}", again.parameters.query());
    if return_to.len() > MAX_RETURN_TO {
        return Ok(String::new());
    }
    let hint = request.login_hint.as_deref().unwrap_or_default();
    let Some(organization_id) = request.organization else {
        return Ok(sign_in::login_page_url(app, hint, &return_to));
    };
    let page = store::Page::first(MAX_CHOICES);
    let choices = sign_in::choices_of(app, organization_id, page).await?.items;
    Ok(match &*choices {
        [only] => sign_in::start_url(app, &only.configuration, hint, &return_to),
        _ => sign_in::organization_page_url(app, organization_id, hint, &return_to),
    })
}

/// Gives the application a code. One round trip; two for a session that was not used for a minute.
async fn give_code(
    app: &App,
    request: &Request,
    session: &SignedIn,
    now: DateTime<Utc>,
) -> Result<Response, Error> {
    let organization_id = session.organization_id;
    let grant = Grant {
        organization_id,
        id: app.new_id(),
        client: request.application.client_id(),
        subject: session.user_id.as_uuid().into(),
        session: Some(session.id),
        sso_configuration: Some(session.sso_configuration_id.into()),
        scopes: request.scopes.clone(),
        details: Details {
            nonce: request
                .nonce
                .clone()
                .filter(|_| request.scopes.has(Scope::OpenId)),
            wanted: request.wanted.clone(),
            authentication: Some(session.authentication()),
            names: [session.given_name.clone(), session.family_name.clone()],
        },
    };
    let code = app
        .random
        .token(TokenKind::Code, Some(organization_id), grant.id.as_uuid());
    let mut db = app.store.acquire().await?;
    if let Some(pushed) = request.pushed {
        let client = grant.client;
        if !store::pushed_requests::delete(&mut db, client.organization_id, pushed).await? {
            return Ok(pages::pushed_request_is_over().into_response());
        }
    }
    // Before the grant: whoever has one hears of the session's end.
    logout::listen(&mut db, organization_id, &request.application).await?;
    store::grants::insert(
        &mut db,
        &grant,
        Some(&code.digest()),
        &request.target.redirect_uri,
        request.code_challenge.as_deref(),
        now,
        now + CODE_LIFETIME,
    )
    .await?;
    drop(db);
    session::touch(app, organization_id, session.id, session.last_used_at).await?;
    Ok(answer::code(app, &request.target, code.expose()))
}
