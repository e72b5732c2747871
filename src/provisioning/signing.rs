//! The keys that tokens for applications are signed with: made when they are needed first, replaced every 90 days, and published a
//! day before they sign, until the last token that they signed is over.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use tokio::task::spawn_blocking;

use crate::app::{App, Operator};
use crate::domain::application::Signature;
use crate::error::Error;
use crate::secrets::keys::{self, Keyring};
use crate::secrets::signing::{Published, Ring, SigningKey};
use crate::store;
use crate::store::signing_keys::SigningKeyRow;

/// Where the keys are that verify, below the public URL.
pub const KEYS_PATH: &str = "/oauth2/keys";

/// How long a key signs.
const LIFETIME: TimeDelta = TimeDelta::days(90);
/// How long before that it is published: clients keep the keys that they have read for a while.
const AHEAD: TimeDelta = TimeDelta::days(1);
/// How long a key is published that signs no more: ID tokens live for a day at most, and clocks differ.
const AFTER: TimeDelta = TimeDelta::hours(25);
/// How long the keys count that were read last.
const FRESH: TimeDelta = TimeDelta::seconds(10);

/// What a key pair is sealed for.
pub fn context(id: &str) -> Vec<u8> {
    [b"signing key\0", id.as_bytes()].concat()
}

/// The keys. No round trip, but for one every ten seconds.
///
/// # Errors
///
/// [`Error::Internal`] when no key of the server's opens them.
pub async fn ring(app: &App) -> Result<Arc<Ring>, Error> {
    let now = app.clock.now();
    let known = app.signers.known();
    if let Some((_, ring)) = known.as_ref().filter(|(at, _)| (now - *at).abs() < FRESH) {
        return Ok(ring.clone());
    }
    let _turn = match (app.signers.reading.try_lock(), known) {
        (Ok(turn), _) => turn,
        (Err(_), Some((_, ring))) => return Ok(ring),
        (Err(_), None) => app.signers.reading.lock().await,
    };
    let mut rows = read(app, now).await?;
    let lacks = |rows: &[SigningKeyRow], algorithm: Signature| {
        let signs = |row: &&SigningKeyRow| row.algorithm == algorithm && row.active_from <= now;
        !rows.iter().any(|row| signs(&row))
    };
    if Signature::ALL
        .iter()
        .any(|algorithm| lacks(&rows, *algorithm))
    {
        for algorithm in Signature::ALL {
            add(
                &app.operator,
                &app.keys,
                *algorithm,
                now,
                Before::Stay,
                |rows| lacks(rows, *algorithm),
            )
            .await?;
        }
        rows = read(app, now).await?;
    }
    let opened: Result<Vec<Published>, Error> =
        rows.iter().map(|row| open(&app.keys, row)).collect();
    let ring = Arc::new(Ring::new(opened?));
    app.signers.remember(ring.clone(), now);
    Ok(ring)
}

async fn read(app: &App, now: DateTime<Utc>) -> Result<Vec<SigningKeyRow>, Error> {
    app.store
        .read(|db| Box::pin(store::signing_keys::list(db, now)))
        .await
}

fn open(keyring: &Keyring, row: &SigningKeyRow) -> Result<Published, Error> {
    let opened = keyring.open(&row.sealed_key, &context(&row.id));
    let key = opened.and_then(|key| SigningKey::read(row.algorithm, &key));
    let key = key.ok_or_else(|| {
        let sealer = keys::key_id(&row.sealed_key).unwrap_or("?");
        Error::internal(format!(
            "no key of ROLLCALL_ENCRYPTION_KEYS opens the signing key {}: add the key that sealed it, {sealer:?}; if that is lost, `rollcall keys forget {sealer}` has others made",
            row.id
        ))
    })?;
    Ok(Published {
        id: row.id.clone(),
        algorithm: row.algorithm,
        active_from: row.active_from,
        key,
    })
}

/// What becomes of the keys before a new one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// They are published until their last token is over.
    Stay,
    /// They are published no more, nor are those that would come next.
    Go,
}

/// Adds a key that signs from `active_from` on, if `is_wanted` still says so when no other process can add one. Tells whether it did.
async fn add(
    operator: &Operator,
    keyring: &Keyring,
    algorithm: Signature,
    active_from: DateTime<Utc>,
    before: Before,
    is_wanted: impl Fn(&[SigningKeyRow]) -> bool,
) -> Result<bool, Error> {
    // Making one takes long: not while a lock is held.
    let pkcs8 = spawn_blocking(move || SigningKey::generate(algorithm))
        .await
        .map_err(Error::internal)??;
    let key = SigningKey::read(algorithm, &pkcs8);
    let key = key.ok_or_else(|| Error::internal("a new key cannot be read"))?;
    let now = operator.clock.now();
    let row = SigningKeyRow {
        id: key.id(),
        algorithm,
        sealed_key: keyring.seal(&pkcs8, &context(&key.id()), &operator.random)?,
        public_key: key.public(),
        created_at: now,
        active_from,
        published_until: None,
    };
    let mut tx = operator.store.begin().await?;
    store::signing_keys::lock(&mut tx).await?;
    let rows = store::signing_keys::list(&mut tx, now).await?;
    if !is_wanted(&rows) {
        return Ok(false);
    }
    for old in rows.iter().filter(|old| old.algorithm == algorithm) {
        let is_replaced = old.active_from < active_from && old.published_until.is_none();
        match before {
            Before::Go => store::signing_keys::publish_until(&mut tx, &old.id, now).await?,
            Before::Stay if is_replaced => {
                store::signing_keys::publish_until(&mut tx, &old.id, active_from + AFTER).await?;
            }
            Before::Stay => {}
        }
    }
    store::signing_keys::insert(&mut tx, &row).await?;
    tx.commit().await?;
    tracing::info!(key = row.id, %algorithm, active_from = %active_from, "a signing key was made");
    Ok(true)
}

/// Makes the keys that sign next, a day before those that sign now are 90 days old, and tells how many.
pub async fn rotate_old(operator: &Operator, keyring: &Keyring) -> Result<u64, Error> {
    let now = operator.clock.now();
    let is_old = |rows: &[SigningKeyRow], algorithm: Signature| {
        let of_it = rows.iter().filter(|row| row.algorithm == algorithm);
        let times = of_it.map(|row| row.active_from);
        let newest = times.filter(|time| *time <= now + AHEAD).max();
        newest.is_some_and(|newest| newest + LIFETIME - AHEAD <= now)
    };
    let mut made = 0;
    for algorithm in Signature::ALL {
        let rows = {
            let mut db = operator.store.acquire().await?;
            store::signing_keys::list(&mut db, now).await?
        };
        if is_old(&rows, *algorithm) {
            let add = add(
                operator,
                keyring,
                *algorithm,
                now + AHEAD,
                Before::Stay,
                |rows| is_old(rows, *algorithm),
            );
            made += u64::from(add.await?);
        }
    }
    Ok(made)
}

/// Makes keys that sign as soon as every server knows them. With `withdraw`, they sign at once, all others are published no more, and what
/// those signed is worth nothing: for keys that somebody else may have.
pub async fn rotate_now(
    operator: &Operator,
    keyring: &Keyring,
    withdraw: bool,
) -> Result<(), Error> {
    let now = operator.clock.now();
    let (active_from, before) = match withdraw {
        true => (now, Before::Go),
        false => (now + FRESH * 2, Before::Stay),
    };
    for algorithm in Signature::ALL {
        add(operator, keyring, *algorithm, active_from, before, |_| true).await?;
    }
    Ok(())
}

/// Signs a token of this kind (`typ`).
///
/// # Errors
///
/// As [`ring`] has them.
pub async fn sign(
    app: &App,
    algorithm: Signature,
    kind: &str,
    claims: &impl Serialize,
) -> Result<String, Error> {
    let ring = ring(app).await?;
    let key = ring.active(algorithm, app.clock.now());
    let key = key.ok_or_else(|| Error::internal(format!("no key signs with {algorithm}")))?;
    key.key.sign(&key.id, kind, claims)
}
