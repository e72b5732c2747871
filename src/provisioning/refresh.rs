//! Refresh tokens, of which each is used once, and the next one comes in its place (RFC 9700, section 4.14.2).
//!
//! The next one follows from the one before by a key of the server's, so that a client that lost the answer gets the same again. And
//! a token shows that this server made it, for this grant: an old one that comes again ends everything that came of the grant, a
//! made-up one nothing.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng, distr::Alphanumeric};
use subtle::ConstantTimeEq;

use crate::app::App;
use crate::domain::ids::{GrantId, OrganizationId};
use crate::domain::token::{Token, TokenKind};
use crate::error::Error;

/// How many characters of a secret are unpredictable: 190 bits.
const RANDOM: usize = 32;
/// How many show that this server made it: 65 bits.
const MARK: usize = 11;

/// The token of a grant that comes after `before`: the code, or the refresh token.
///
/// # Errors
///
/// [`Error::Internal`] without keys.
pub fn next(
    app: &App,
    organization_id: OrganizationId,
    grant: GrantId,
    before: &Token,
) -> Result<Token, Error> {
    let codes = app
        .keys
        .codes(&[b"refresh token after", before.expose().as_bytes()]);
    let code = codes
        .first()
        .ok_or_else(|| Error::internal("the keyring is empty"))?;
    let random = letters(*code, RANDOM);
    let mark = marks(app, organization_id, grant, &random);
    let mark = mark.first().map(String::as_str).unwrap_or_default();
    let (kind, id) = (TokenKind::Refresh, grant.as_uuid());
    Ok(Token::with_secret(
        kind,
        Some(organization_id),
        id,
        &format!("{random}{mark}"),
    ))
}

/// Whether this server made a token, with a key that it still has.
pub fn is_ours(app: &App, organization_id: OrganizationId, token: &Token) -> bool {
    let (random, mark) = token.secret().split_at(RANDOM);
    marks(app, organization_id, token.id().into(), random)
        .iter()
        .any(|known| known.as_bytes().ct_eq(mark.as_bytes()).into())
}

/// What shows that this server made a token, by each of its keys.
fn marks(app: &App, organization_id: OrganizationId, grant: GrantId, random: &str) -> Vec<String> {
    let (organization, grant) = (organization_id.as_uuid(), grant.as_uuid());
    let codes = app.keys.codes(&[
        b"refresh token",
        organization.as_bytes(),
        grant.as_bytes(),
        random.as_bytes(),
    ]);
    codes.into_iter().map(|code| letters(code, MARK)).collect()
}

fn letters(seed: [u8; 32], count: usize) -> String {
    let mut random = StdRng::from_seed(seed);
    (0..count)
        .map(|_| char::from(random.sample(Alphanumeric)))
        .collect()
}
