//! The bearer token of a request (RFC 6750, section 2.1), for every door that takes one.

use chrono::{DateTime, Utc};
use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::app::App;
use crate::domain::token::Token;
use crate::error::{Chain, Error};
use crate::metrics::Verification;

/// The token of the one `Authorization` header; the scheme's case is free.
pub fn token(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// A token as the database has it.
#[derive(Clone, Copy, Debug)]
pub struct Kept<'a> {
    /// Its argon2id hash, which decides.
    pub hash: &'a str,
    /// By which it is recognised, if it was verified before.
    pub digest: Option<&'a [u8]>,
}

/// What came of a presented token.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is another one.
    Wrong,
    /// It is the right one, and known by its digest.
    Known,
    /// It is the right one; this digest is to be kept, if there are keys to make one with.
    Right(Option<Vec<u8>>),
}

/// Whether `token` is the one that is kept. One that was verified before, by whichever process, is
/// recognised by a digest that takes the keys; for any other, argon2id decides.
///
/// # Errors
///
/// Those of [`TokenHasher::verify`](crate::secrets::tokens::TokenHasher::verify).
pub async fn verify(
    app: &App,
    token: &Token,
    kept: Kept<'_>,
    now: DateTime<Utc>,
) -> Result<Verdict, Error> {
    let parts = parts(token, kept.hash);
    let is_known = |digest| app.keys.is_digest(digest, &parts);
    if kept.digest.is_some_and(is_known) {
        app.metrics.verification(Verification::Cached);
        return Ok(Verdict::Known);
    }
    Ok(match app.tokens.verify(token, kept.hash, now).await? {
        true => Verdict::Right(app.keys.digest(&parts)),
        false => Verdict::Wrong,
    })
}

/// Notes that a digest could not be kept: it costs another run of argon2id, no more.
pub fn note_kept(kept: Result<(), Error>) {
    if let Err(error) = kept {
        tracing::debug!(cause = %Chain(&error), "the digest of a token could not be kept");
    }
}

/// The digest of a token that was just made; `None` without keys.
pub fn digest(app: &App, token: &Token, hash: &str) -> Option<Vec<u8>> {
    app.keys.digest(&parts(token, hash))
}

/// The hash is new with every token, so that the digest of one that was replaced recognises nothing.
fn parts<'a>(token: &'a Token, hash: &'a str) -> [&'a [u8]; 2] {
    [token.expose().as_bytes(), hash.as_bytes()]
}
