//! From the text that a client presents to the row that it is the token of: the one way, for every kind and door.
//!
//! [`present`] reads the text, finds the organization and the row that it names, and lets pass what opens something now
//! and is the token of that row. A kind of tokens is a type of rows with [`TokenRow`].

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::app::App;
use crate::domain::ids::OrganizationId;
use crate::domain::token::{Token, TokenKind};
use crate::error::{Chain, Error};
use crate::metrics::Verification;
use crate::secrets::keys::Keyring;
use crate::store::scim_resources::{Lookup, Tenant};
use crate::store::tokens::Ahead;
use crate::store::{self, Connection};

/// The row that the database keeps of a token.
pub trait TokenRow: Send + Sync + Sized {
    /// The kinds of the tokens.
    const KINDS: &'static [TokenKind];
    /// What else is read in the round trip that finds the row. Nothing of it may be used before the token is verified.
    type Wanted: Clone + Send + Sync;

    /// The organization whose row it is; `None` for a token of an organization that this process does not know.
    fn organization(app: &App, token: &Token) -> Option<OrganizationId> {
        app.organization_of(token)
    }

    /// Finds the row that a token names.
    fn find<'a>(
        db: &'a mut Connection,
        organization_id: OrganizationId,
        id: Uuid,
        wanted: &Self::Wanted,
    ) -> BoxFuture<'a, Result<Option<Self>, Error>>;

    /// Whether the row opens anything now. A kind whose clients are told why theirs does not says yes, and the door tells
    /// those that have the right token.
    fn is_live(&self, app: &App, now: DateTime<Utc>) -> bool;

    /// What the token must be.
    fn proof(&self) -> Proof<'_>;
}

/// How the token of a row is recognised.
#[derive(Clone, Copy, Debug)]
pub enum Proof<'a> {
    /// By its argon2id hash; one that was verified before, by whichever process, by a digest that takes the keys.
    Argon2id {
        /// The hash, which decides, in PHC string format.
        hash: &'a str,
        /// The digest, if there is one.
        digest: Option<&'a [u8]>,
    },
    /// By its SHA-256, in constant time.
    Sha256(&'a [u8]),
}

/// A token that is the one of its row.
#[derive(Debug)]
pub struct Presented<R> {
    /// The organization.
    pub organization_id: OrganizationId,
    /// The row's identifier.
    pub id: Uuid,
    /// The row.
    pub row: R,
    /// When it was looked at.
    pub now: DateTime<Utc>,
}

/// Finds the row of a presented token, and makes sure that the token is its own. One round trip, and one more for a token
/// that was not verified before.
///
/// # Errors
///
/// [`Error::Unauthenticated`] for what is no token of this kind, or opens nothing; those of
/// [`TokenHasher::verify`](crate::secrets::tokens::TokenHasher::verify).
pub async fn present<R: TokenRow>(
    app: &App,
    text: Option<&str>,
    wanted: R::Wanted,
) -> Result<Presented<R>, Error> {
    let token = text.and_then(|text| Token::parse_any(R::KINDS, text));
    let token = token.ok_or(Error::Unauthenticated)?;
    let organization_id = R::organization(app, &token).ok_or(Error::Unauthenticated)?;
    let id = token.id();
    let row = app
        .store
        .read(|db| R::find(db, organization_id, id, &wanted))
        .await?;
    let now = app.clock.now();
    let row = row
        .filter(|row| row.is_live(app, now))
        .ok_or(Error::Unauthenticated)?;
    let is_its_own = match row.proof() {
        Proof::Argon2id { hash, digest } => {
            verify(app, organization_id, &token, hash, digest, now).await?
        }
        Proof::Sha256(hash) => hash.ct_eq(&token.digest()).into(),
    };
    if !is_its_own {
        return Err(Error::Unauthenticated);
    }
    Ok(Presented {
        organization_id,
        id,
        row,
        now,
    })
}

/// A token that has verified before, and the hash that it had. It opens nothing until a statement has seen that its row
/// still has this hash, and is live.
#[derive(Debug)]
pub struct Remembered {
    /// The organization.
    pub organization_id: OrganizationId,
    /// The identifier of the row.
    pub id: Uuid,
    /// The hash.
    pub hash: Arc<str>,
}

/// What is remembered of a presented token. No round trip.
pub fn remembered<R: TokenRow>(app: &App, text: Option<&str>) -> Option<Remembered> {
    let token = text.and_then(|text| Token::parse_any(R::KINDS, text))?;
    Some(Remembered {
        organization_id: R::organization(app, &token)?,
        id: token.id(),
        hash: app.tokens.remembered(&token)?,
    })
}

/// Whether `token` is the one with this hash, and keeps the digest of one that is and was not recognised by it.
async fn verify(
    app: &App,
    organization_id: OrganizationId,
    token: &Token,
    hash: &str,
    digest: Option<&[u8]>,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let parts = parts(token, hash);
    if digest.is_some_and(|digest| app.keys.is_digest(digest, &parts)) {
        app.metrics.verification(Verification::Cached);
        app.tokens.remember(token, hash);
        return Ok(true);
    }
    if !app.tokens.verify(token, hash, now).await? {
        return Ok(false);
    }
    let keep = async {
        let mut db = app.store.acquire().await?;
        keep_digest(&app.keys, &mut db, organization_id, token, hash).await
    };
    if let Err(error) = keep.await {
        // It costs another run of argon2id, no more.
        tracing::debug!(cause = %Chain(&error), "the digest of a token could not be kept");
    }
    Ok(true)
}

/// Keeps the digest by which a token with this hash is recognised, if there are keys to make one with.
pub async fn keep_digest(
    keyring: &Keyring,
    db: &mut Connection,
    organization_id: OrganizationId,
    token: &Token,
    hash: &str,
) -> Result<(), Error> {
    let Some(digest) = keyring.digest(&parts(token, hash)) else {
        return Ok(());
    };
    let id = token.id();
    match token.kind() {
        TokenKind::Api | TokenKind::ServiceAccount => {
            store::tokens::keep_digest(db, organization_id, id.into(), hash, &digest).await
        }
        TokenKind::Scim => {
            let tenant = Tenant {
                organization_id,
                scim_configuration_id: id.into(),
            };
            store::scim::keep_digest(db, tenant, hash, &digest).await
        }
        TokenKind::Personal => {
            let id = id.into();
            store::personal_access_tokens::keep_digest(db, organization_id, id, hash, &digest).await
        }
        TokenKind::Operator => {
            store::operator_tokens::keep_digest(db, id.into(), hash, &digest).await
        }
        // They are recognised without argon2id.
        TokenKind::Session
        | TokenKind::Setup
        | TokenKind::Login
        | TokenKind::Application
        | TokenKind::Code
        | TokenKind::Refresh
        | TokenKind::PushedRequest => Ok(()),
    }
}

/// The hash is new with every token, so that the digest of one that was replaced recognises nothing.
fn parts<'a>(token: &'a Token, hash: &'a str) -> [&'a [u8]; 2] {
    [token.expose().as_bytes(), hash.as_bytes()]
}

impl TokenRow for store::tokens::Candidate {
    const KINDS: &'static [TokenKind] = &[TokenKind::Api, TokenKind::ServiceAccount];
    type Wanted = Option<Ahead>;

    fn find<'a>(
        db: &'a mut Connection,
        organization_id: OrganizationId,
        id: Uuid,
        wanted: &Self::Wanted,
    ) -> BoxFuture<'a, Result<Option<Self>, Error>> {
        let ahead = *wanted;
        Box::pin(store::tokens::find_candidate(
            db,
            organization_id,
            id.into(),
            ahead,
        ))
    }

    fn is_live(&self, _: &App, now: DateTime<Utc>) -> bool {
        self.is_live(now)
    }

    fn proof(&self) -> Proof<'_> {
        Proof::Argon2id {
            hash: &self.token_hash,
            digest: self.token_digest.as_deref(),
        }
    }
}

impl TokenRow for store::scim::Candidate {
    const KINDS: &'static [TokenKind] = &[TokenKind::Scim];
    type Wanted = Option<Arc<Lookup>>;

    fn find<'a>(
        db: &'a mut Connection,
        organization_id: OrganizationId,
        id: Uuid,
        wanted: &Self::Wanted,
    ) -> BoxFuture<'a, Result<Option<Self>, Error>> {
        let tenant = Tenant {
            organization_id,
            scim_configuration_id: id.into(),
        };
        let lookup = wanted.clone();
        Box::pin(async move { store::scim::find_candidate(db, tenant, lookup.as_deref()).await })
    }

    /// The identity provider's administrator is told why a token ended.
    fn is_live(&self, _: &App, _: DateTime<Utc>) -> bool {
        true
    }

    fn proof(&self) -> Proof<'_> {
        Proof::Argon2id {
            hash: &self.token_hash,
            digest: self.token_digest.as_deref(),
        }
    }
}

impl TokenRow for store::sessions::Candidate {
    const KINDS: &'static [TokenKind] = &[TokenKind::Session];
    type Wanted = ();

    fn find<'a>(
        db: &'a mut Connection,
        organization_id: OrganizationId,
        id: Uuid,
        (): &(),
    ) -> BoxFuture<'a, Result<Option<Self>, Error>> {
        Box::pin(store::sessions::find_candidate(
            db,
            organization_id,
            id.into(),
        ))
    }

    fn is_live(&self, app: &App, now: DateTime<Utc>) -> bool {
        now < self.expires_at && now < self.last_used_at + app.sign_in.session_idle
    }

    fn proof(&self) -> Proof<'_> {
        Proof::Sha256(&self.token_hash)
    }
}

impl TokenRow for store::sessions::SignedIn {
    const KINDS: &'static [TokenKind] = &[TokenKind::Session];
    type Wanted = ();

    fn find<'a>(
        db: &'a mut Connection,
        organization_id: OrganizationId,
        id: Uuid,
        (): &(),
    ) -> BoxFuture<'a, Result<Option<Self>, Error>> {
        Box::pin(store::sessions::find_signed_in(
            db,
            organization_id,
            id.into(),
        ))
    }

    fn is_live(&self, app: &App, now: DateTime<Utc>) -> bool {
        now < self.expires_at && now < self.last_used_at + app.sign_in.session_idle
    }

    fn proof(&self) -> Proof<'_> {
        Proof::Sha256(&self.token_hash)
    }
}

impl TokenRow for store::personal_access_tokens::Candidate {
    const KINDS: &'static [TokenKind] = &[TokenKind::Personal];
    type Wanted = ();

    fn find<'a>(
        db: &'a mut Connection,
        organization_id: OrganizationId,
        id: Uuid,
        (): &(),
    ) -> BoxFuture<'a, Result<Option<Self>, Error>> {
        let id = id.into();
        Box::pin(store::personal_access_tokens::find_candidate(
            db,
            organization_id,
            id,
        ))
    }

    fn is_live(&self, _: &App, now: DateTime<Utc>) -> bool {
        now < self.expires_at
    }

    fn proof(&self) -> Proof<'_> {
        Proof::Argon2id {
            hash: &self.token_hash,
            digest: self.token_digest.as_deref(),
        }
    }
}

impl TokenRow for store::setup_links::Candidate {
    const KINDS: &'static [TokenKind] = &[TokenKind::Setup];
    type Wanted = ();

    fn find<'a>(
        db: &'a mut Connection,
        organization_id: OrganizationId,
        id: Uuid,
        (): &(),
    ) -> BoxFuture<'a, Result<Option<Self>, Error>> {
        let id = id.into();
        Box::pin(store::setup_links::find_candidate(db, organization_id, id))
    }

    fn is_live(&self, _: &App, now: DateTime<Utc>) -> bool {
        self.is_live(now)
    }

    fn proof(&self) -> Proof<'_> {
        Proof::Sha256(&self.token_hash)
    }
}

impl TokenRow for store::operator_tokens::Candidate {
    const KINDS: &'static [TokenKind] = &[TokenKind::Operator];
    type Wanted = ();

    /// It belongs to none.
    fn organization(_: &App, _: &Token) -> Option<OrganizationId> {
        Some(Uuid::nil().into())
    }

    fn find<'a>(
        db: &'a mut Connection,
        _: OrganizationId,
        id: Uuid,
        (): &(),
    ) -> BoxFuture<'a, Result<Option<Self>, Error>> {
        Box::pin(store::operator_tokens::find_candidate(db, id.into()))
    }

    fn is_live(&self, _: &App, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }

    fn proof(&self) -> Proof<'_> {
        Proof::Argon2id {
            hash: &self.token_hash,
            digest: self.token_digest.as_deref(),
        }
    }
}
