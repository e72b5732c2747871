//! Whether a bearer token is the one that the database keeps: verified here for every door, and for those who
//! make one.

use chrono::{DateTime, Utc};

use crate::app::App;
use crate::domain::ids::{ApiTokenId, OrganizationId};
use crate::domain::token::Token;
use crate::error::{Chain, Error};
use crate::metrics::Verification;
use crate::store::scim_resources::Tenant;
use crate::store::{self, Connection};

/// The row that has a token.
#[derive(Clone, Copy, Debug)]
pub enum Row {
    /// Of an API token.
    Api(OrganizationId, ApiTokenId),
    /// Of a SCIM configuration.
    Scim(Tenant),
}

/// A token as the database has it.
#[derive(Clone, Copy, Debug)]
pub struct Kept<'a> {
    /// Where.
    pub row: Row,
    /// Its argon2id hash, which decides.
    pub hash: &'a str,
    /// By which it is recognised, if it was verified before.
    pub digest: Option<&'a [u8]>,
}

/// Whether `token` is the one that is kept. One that was verified before, by whichever process, is
/// recognised by a digest that takes the keys; for any other argon2id decides, and the digest of the right
/// one is kept.
///
/// # Errors
///
/// Those of [`TokenHasher::verify`](crate::secrets::tokens::TokenHasher::verify).
pub async fn verify(
    app: &App,
    token: &Token,
    kept: Kept<'_>,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let parts = parts(token, kept.hash);
    let is_known = |digest| app.keys.is_digest(digest, &parts);
    if kept.digest.is_some_and(is_known) {
        app.metrics.verification(Verification::Cached);
        return Ok(true);
    }
    if !app.tokens.verify(token, kept.hash, now).await? {
        return Ok(false);
    }
    let keep = async {
        let mut db = app.store.acquire().await?;
        keep_digest(app, &mut db, token, kept.row, kept.hash).await
    };
    if let Err(error) = keep.await {
        // It costs another run of argon2id, no more.
        tracing::debug!(cause = %Chain(&error), "the digest of a token could not be kept");
    }
    Ok(true)
}

/// Keeps the digest by which a token with this hash is recognised, if there are keys to make one with.
///
/// # Errors
///
/// As the database has them.
pub async fn keep_digest(
    app: &App,
    db: &mut Connection,
    token: &Token,
    row: Row,
    hash: &str,
) -> Result<(), Error> {
    let Some(digest) = app.keys.digest(&parts(token, hash)) else {
        return Ok(());
    };
    match row {
        Row::Api(organization_id, id) => {
            store::tokens::keep_digest(db, organization_id, id, hash, &digest).await
        }
        Row::Scim(tenant) => store::scim::keep_digest(db, tenant, hash, &digest).await,
    }
}

/// The hash is new with every token, so that the digest of one that was replaced recognises nothing.
fn parts<'a>(token: &'a Token, hash: &'a str) -> [&'a [u8]; 2] {
    [token.expose().as_bytes(), hash.as_bytes()]
}
