//! The session of a request, for every door that takes one: the cookie, and whom it stands for.

use chrono::{DateTime, Utc};
use http::header::{COOKIE, HOST, ORIGIN, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method};

use crate::app::App;
use crate::domain::identity::Caller;
use crate::domain::ids::{OrganizationId, SessionId};
use crate::domain::sign_in;
use crate::domain::token::{Token, TokenKind};
use crate::error::Error;
use crate::provisioning::tokens::{Presented, present};
use crate::store;
use crate::store::sessions::{Candidate, SignedIn};

/// The name of the session's cookie. Over https it has the prefix that keeps other hosts of the same
/// domain, and plain http, from setting it (RFC 6265bis, section 4.1.3.2).
const COOKIE_NAME: &str = "rollcall-session";

/// The cookie with the sessions of other organizations that this browser has as well: their tokens, separated by dots.
const OTHERS_NAME: &str = "rollcall-sessions";

/// The cookie of a session of the console that began with a token. It has the token, sealed: what ends the token ends the session.
pub const CONSOLE_NAME: &str = "rollcall-console";

/// The cookie of whoever opened a set-up link: its token.
pub const LINK_NAME: &str = "rollcall-setup";

/// How many sessions a browser has at most, each of another organization.
const MAX_SESSIONS: usize = 8;

/// How stale `last_used_at` may be: noting each use would make a write of every read.
const TOUCH_INTERVAL: chrono::TimeDelta = chrono::TimeDelta::minutes(1);

/// A session that is live.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    /// Its identifier.
    pub id: SessionId,
    /// Whom it stands for.
    pub caller: Caller,
}

/// The name of a cookie of ours.
pub fn cookie_name(app: &App, name: &str) -> String {
    if is_secure(app) {
        format!("__Host-{name}")
    } else {
        name.to_owned()
    }
}

fn is_secure(app: &App) -> bool {
    app.public_url.starts_with("https://")
}

/// The value of the cookie `name`; `None` when the browser sends two, one of which somebody else
/// must have set.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(known, _)| *known == name)
        .map(|(_, value)| value);
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value),
        _ => None,
    }
}

/// The token of the session's cookie.
pub fn presented(app: &App, headers: &HeaderMap) -> Option<Token> {
    let value = cookie(headers, &cookie_name(app, COOKIE_NAME))?;
    Token::parse(TokenKind::Session, value)
}

/// Sets a cookie of ours for `seconds`; none takes it away.
pub fn set_cookie(app: &App, headers: &mut HeaderMap, name: &str, value: &str, seconds: i64) {
    let secure = if is_secure(app) { "; Secure" } else { "" };
    let cookie = format!(
        "{}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}",
        cookie_name(app, name)
    );
    if let Ok(mut cookie) = HeaderValue::from_str(&cookie) {
        cookie.set_sensitive(true);
        headers.append(SET_COOKIE, cookie);
    }
}

/// The tokens of all sessions that the browser has, the one that began last first.
pub fn all_presented(app: &App, headers: &HeaderMap) -> Vec<Token> {
    let others = cookie(headers, &cookie_name(app, OTHERS_NAME)).unwrap_or_default();
    let others = others.split('.');
    let others = others.filter_map(|text| Token::parse(TokenKind::Session, text));
    presented(app, headers)
        .into_iter()
        .chain(others)
        .take(MAX_SESSIONS)
        .collect()
}

/// The cookie with which the browser would send this token alone, as a request has it.
pub fn cookie_of(app: &App, token: &Token) -> String {
    format!("{}={}", cookie_name(app, COOKIE_NAME), token.expose())
}

/// Gives the browser a session, in place of one of the same organization that it has. Those of others stay.
pub fn set(app: &App, request: &HeaderMap, headers: &mut HeaderMap, token: &Token) {
    let seconds = app.sign_in.session_lifetime.num_seconds();
    set_cookie(app, headers, COOKIE_NAME, token.expose(), seconds);
    let presented = all_presented(app, request);
    let of_others = |other: &&Token| app.organization_of(other) != app.organization_of(token);
    let others: Vec<&str> = presented
        .iter()
        .filter(of_others)
        .map(Token::expose)
        .collect();
    let others = others[..others.len().min(MAX_SESSIONS - 1)].join(".");
    if !others.is_empty() || cookie(request, &cookie_name(app, OTHERS_NAME)).is_some() {
        let seconds = if others.is_empty() { 0 } else { seconds };
        set_cookie(app, headers, OTHERS_NAME, &others, seconds);
    }
}

/// Takes from the browser what opens the console beside the sessions of people: a token, and a set-up link.
pub fn leave_console(app: &App, request: &HeaderMap, headers: &mut HeaderMap) {
    for name in [CONSOLE_NAME, LINK_NAME] {
        if cookie(request, &cookie_name(app, name)).is_some() {
            set_cookie(app, headers, name, "", 0);
        }
    }
}

/// Takes all sessions from the browser, and what else opens the console.
pub fn clear(app: &App, request: &HeaderMap, headers: &mut HeaderMap) {
    leave_console(app, request, headers);
    set_cookie(app, headers, COOKIE_NAME, "", 0);
    if cookie(request, &cookie_name(app, OTHERS_NAME)).is_some() {
        set_cookie(app, headers, OTHERS_NAME, "", 0);
    }
}

/// Finds the session of a request. One round trip, two when it was not used for a minute.
///
/// # Errors
///
/// [`Error::Unauthenticated`] when there is none that is live, whose member has access.
pub async fn find(app: &App, headers: &HeaderMap) -> Result<Session, Error> {
    let text = cookie(headers, &cookie_name(app, COOKIE_NAME));
    let Presented {
        organization_id,
        id,
        row: candidate,
        ..
    } = present::<Candidate>(app, text, ()).await?;
    let id = SessionId::from(id);
    touch(app, organization_id, id, candidate.last_used_at).await?;
    Ok(Session {
        id,
        caller: Caller {
            organization_id,
            subject: candidate.user_id.into(),
            powers: candidate.powers,
            read_only: false,
            ends_at: None,
        },
    })
}

/// The live sessions of a browser, the one that began last first, with what an application may know of them. One round trip each.
///
/// # Errors
///
/// As the database has them.
pub async fn signed_in(app: &App, headers: &HeaderMap) -> Result<Vec<(Token, SignedIn)>, Error> {
    let mut sessions = vec![];
    for token in all_presented(app, headers) {
        match present::<SignedIn>(app, Some(token.expose()), ()).await {
            Ok(found) => sessions.push((token, found.row)),
            Err(Error::Unauthenticated) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sessions)
}

/// Notes that a session is used, to the minute.
pub async fn touch(
    app: &App,
    organization_id: OrganizationId,
    id: SessionId,
    last_used_at: DateTime<Utc>,
) -> Result<(), Error> {
    let now = app.clock.now();
    if now < last_used_at + TOUCH_INTERVAL {
        return Ok(());
    }
    let mut db = app.store.acquire().await?;
    store::sessions::touch(&mut db, organization_id, id, now).await
}

/// Takes the session with this token from the browser. Its other ones stay.
pub fn remove(app: &App, request: &HeaderMap, headers: &mut HeaderMap, token: &Token) {
    let is_other = |other: &Token| other.id() != token.id();
    if !presented(app, request).is_some_and(|current| is_other(&current)) {
        set_cookie(app, headers, COOKIE_NAME, "", 0);
    }
    if let Some(others) = cookie(request, &cookie_name(app, OTHERS_NAME)) {
        let others = others.split('.');
        let others = others.filter(|text| {
            Token::parse(TokenKind::Session, text).is_some_and(|other| is_other(&other))
        });
        let others = others.collect::<Vec<_>>().join(".");
        let seconds = if others.is_empty() {
            0
        } else {
            app.sign_in.session_lifetime.num_seconds()
        };
        set_cookie(app, headers, OTHERS_NAME, &others, seconds);
    }
}

/// Makes sure that a request that a cookie authenticates was sent by a page of ours: browsers say
/// where it comes from, and other sites cannot make them lie (Fetch, sections 3.2 and 4.6).
///
/// # Errors
///
/// [`Error::PermissionDenied`] for a request from elsewhere, and for one that changes something and
/// does not say where it comes from.
pub fn check_same_origin(app: &App, method: &Method, headers: &HeaderMap) -> Result<(), Error> {
    let text = |name: &str| headers.get(name).map(|v| v.to_str().unwrap_or("?"));
    let is_ours = match (text(ORIGIN.as_str()), text("sec-fetch-site")) {
        (Some(origin), _) => is_own_origin(app, origin, headers),
        (None, Some(site)) => matches!(site, "same-origin" | "none"),
        (None, None) => matches!(*method, Method::GET | Method::HEAD),
    };
    if is_ours {
        return Ok(());
    }
    Err(Error::PermissionDenied(
        "a request with the session cookie must come from a page of this server, which browsers tell with the header Origin: other programs use a bearer token",
    ))
}

/// The public URL's origin; without one that is reached, also the host that the browser names.
fn is_own_origin(app: &App, origin: &str, headers: &HeaderMap) -> bool {
    let ours = sign_in::origin(&app.public_url);
    if ours.as_deref() == Some(origin) {
        return true;
    }
    // A second replica on this machine has another port, and no other name can be a loopback's.
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    sign_in::is_loopback(&app.public_url)
        && sign_in::is_loopback(origin)
        && host.is_some_and(|host| origin == format!("http://{host}"))
}
