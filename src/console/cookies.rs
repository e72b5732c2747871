//! What the browser keeps of whoever looks at the console, beside the sessions of people: a token, or a set-up link.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::client::Refusal;
use crate::app::App;
use crate::domain::token::{Token, TokenKind};
use crate::http::session::{self, CONSOLE_NAME, LINK_NAME};

/// How long such a session lasts.
const LIFETIME: TimeDelta = TimeDelta::hours(12);

/// What tokens begin a session. Those of people do not: they sign in.
pub const KINDS: [TokenKind; 3] = [
    TokenKind::Operator,
    TokenKind::Api,
    TokenKind::ServiceAccount,
];

/// What the session's cookie is sealed for.
const CONTEXT: &[u8] = b"console\0";

/// How long that is kept, in seconds: as long as links live at most.
const LINK_LIFETIME: i64 = 30 * 24 * 60 * 60;

#[derive(Serialize, Deserialize)]
struct Kept {
    token: String,
    ends_at: DateTime<Utc>,
}

/// The token that the browser's session began with.
pub fn token(app: &App, headers: &HeaderMap) -> Option<Token> {
    let name = session::cookie_name(app, CONSOLE_NAME);
    let sealed = URL_SAFE_NO_PAD
        .decode(session::cookie(headers, &name)?)
        .ok()?;
    let plain = app.keys.open(&sealed, CONTEXT)?;
    let kept: Kept = serde_json::from_slice(&plain).ok()?;
    let is_live = app.clock.now() < kept.ends_at;
    is_live.then(|| Token::parse_any(&KINDS, &kept.token))?
}

/// Begins a session with a token.
pub fn keep(app: &App, headers: &mut HeaderMap, token: &Token) -> Result<(), Refusal> {
    let kept = Kept {
        token: token.expose().to_owned(),
        ends_at: app.clock.now() + LIFETIME,
    };
    let plain = serde_json::to_vec(&kept).map_err(Refusal::fault)?;
    let sealed = app.keys.seal(&plain, CONTEXT, &app.random)?;
    let value = URL_SAFE_NO_PAD.encode(sealed);
    session::set_cookie(app, headers, CONSOLE_NAME, &value, LIFETIME.num_seconds());
    Ok(())
}

/// The token of the link that the browser opened last.
pub fn link(app: &App, headers: &HeaderMap) -> Option<Token> {
    let name = session::cookie_name(app, LINK_NAME);
    Token::parse(TokenKind::Setup, session::cookie(headers, &name)?)
}

/// Has the browser keep the token of a link.
pub fn keep_link(app: &App, headers: &mut HeaderMap, token: &Token) {
    session::set_cookie(app, headers, LINK_NAME, token.expose(), LINK_LIFETIME);
}
