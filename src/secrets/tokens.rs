//! Recognising bearer tokens by their argon2id hash.
//!
//! argon2id makes a stolen hash useless, and it costs tens of milliseconds and 19 MiB. Tokens are
//! long and random, so one run per process, token and stored hash is enough: a bounded cache
//! remembers digests of the pairs that have verified. The row is still read for every request, so
//! a rotated, expired or revoked token is refused at once.
//!
//! Wrong tokens must not eat the machine: few hashes run at a time, few wait, and a row that was
//! tried in vain too often is not tried again for a while. Tokens in the cache are not affected.

use std::num::NonZero;
use std::thread::available_parallelism;
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use chrono::{DateTime, TimeDelta, Utc};
use quick_cache::sync::Cache;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use uuid::Uuid;

use crate::domain::token::Token;
use crate::error::Error;

/// How many verified pairs are remembered.
const CACHED: usize = 10_000;
/// How many rows with failures are remembered.
const WATCHED: usize = 10_000;
/// How many hashes may wait for their turn.
const WAITING: usize = 256;
/// How many failures a row may have in a window.
const FAILURES: u32 = 10;
const WINDOW: TimeDelta = TimeDelta::minutes(1);
/// Bytes of salt: what RFC 9106, section 3.1, recommends.
pub const SALT_LENGTH: usize = 16;

/// Hashes and verifies tokens: argon2id, 19 MiB, 2 passes, 1 lane (the OWASP parameters).
pub struct TokenHasher {
    verified: Cache<[u8; 32], ()>,
    failures: Cache<Uuid, Failures>,
    running: Semaphore,
    waiting: Semaphore,
}

#[derive(Clone, Copy)]
struct Failures {
    since: DateTime<Utc>,
    count: u32,
}

impl Default for TokenHasher {
    fn default() -> Self {
        let cores = available_parallelism().map_or(1, NonZero::get);
        Self {
            verified: Cache::new(CACHED),
            failures: Cache::new(WATCHED),
            running: Semaphore::new(cores.div_ceil(2)),
            waiting: Semaphore::new(WAITING),
        }
    }
}

impl TokenHasher {
    /// Hashes a new token, in PHC string format.
    ///
    /// # Errors
    ///
    /// [`Error::Throttled`] when too many wait for their turn.
    pub async fn hash(&self, token: &Token, salt: [u8; SALT_LENGTH]) -> Result<String, Error> {
        let token: SecretString = token.expose().into();
        self.run(move || {
            let hash: Result<PasswordHash, _> =
                Argon2::default().hash_password_with_salt(token.expose_secret().as_bytes(), &salt);
            hash.map(|hash| hash.to_string())
                .map_err(|e| Error::internal(e.to_string()))
        })
        .await?
    }

    /// Whether `token` is the one that was hashed to `hash`.
    ///
    /// # Errors
    ///
    /// [`Error::Throttled`] when the row was tried in vain too often, or too many wait for their
    /// turn.
    pub async fn verify(
        &self,
        token: &Token,
        hash: &str,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let pair: [u8; 32] = Sha256::new()
            .chain_update(token.expose())
            .chain_update([0])
            .chain_update(hash)
            .finalize()
            .into();
        if self.verified.get(&pair).is_some() {
            return Ok(true);
        }
        self.check_failures(token.id(), now)?;

        let presented: SecretString = token.expose().into();
        let stored = hash.to_owned();
        let is_right = self
            .run(move || {
                let stored =
                    PasswordHash::new(&stored).map_err(|e| Error::internal(e.to_string()))?;
                let verdict = Argon2::default()
                    .verify_password(presented.expose_secret().as_bytes(), &stored);
                Ok::<_, Error>(verdict.is_ok())
            })
            .await??;

        if is_right {
            self.verified.insert(pair, ());
        } else {
            self.count_failure(token.id(), now);
        }
        Ok(is_right)
    }

    async fn run<T: Send + 'static>(
        &self,
        hash: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let _waiting = self
            .waiting
            .try_acquire()
            .map_err(|_| Error::Throttled(Duration::from_secs(1)))?;
        let _running = self.running.acquire().await.map_err(Error::internal)?;
        spawn_blocking(hash).await.map_err(Error::internal)
    }

    fn check_failures(&self, row: Uuid, now: DateTime<Utc>) -> Result<(), Error> {
        match self.failures.get(&row) {
            Some(Failures { since, count }) if count >= FAILURES && now < since + WINDOW => Err(
                Error::Throttled((since + WINDOW - now).to_std().unwrap_or_default()),
            ),
            _ => Ok(()),
        }
    }

    fn count_failure(&self, row: Uuid, now: DateTime<Utc>) {
        let counted = match self.failures.get(&row) {
            Some(f) if now < f.since + WINDOW => Failures {
                count: f.count + 1,
                ..f
            },
            _ => Failures {
                since: now,
                count: 1,
            },
        };
        self.failures.insert(row, counted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Random;
    use crate::domain::token::TokenKind;

    fn token(random: &Random) -> Token {
        random.token(TokenKind::Api, Uuid::from_u128(7))
    }

    #[tokio::test]
    async fn the_right_token_verifies_and_another_does_not() {
        let (hasher, random, now) = (
            TokenHasher::default(),
            Random::seeded(1),
            DateTime::UNIX_EPOCH,
        );
        let right = token(&random);
        let hash = hasher.hash(&right, random.bytes()).await.unwrap();
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        assert!(hasher.verify(&right, &hash, now).await.unwrap());
        assert!(
            hasher.verify(&right, &hash, now).await.unwrap(),
            "from the cache"
        );
        assert!(!hasher.verify(&token(&random), &hash, now).await.unwrap());
        let rotated = hasher.hash(&token(&random), random.bytes()).await.unwrap();
        assert!(
            !hasher.verify(&right, &rotated, now).await.unwrap(),
            "the cache is bound to the stored hash"
        );
    }

    #[tokio::test]
    async fn guessing_at_a_row_is_stopped_and_its_known_token_still_works() {
        let (hasher, random, now) = (
            TokenHasher::default(),
            Random::seeded(1),
            DateTime::UNIX_EPOCH,
        );
        let right = token(&random);
        let hash = hasher.hash(&right, random.bytes()).await.unwrap();
        assert!(hasher.verify(&right, &hash, now).await.unwrap());
        for _ in 0..FAILURES {
            assert!(!hasher.verify(&token(&random), &hash, now).await.unwrap());
        }
        let refused = hasher.verify(&token(&random), &hash, now).await;
        assert!(matches!(refused, Err(Error::Throttled(wait)) if wait == Duration::from_secs(60)));
        assert!(hasher.verify(&right, &hash, now).await.unwrap());
        assert!(
            !hasher
                .verify(&token(&random), &hash, now + WINDOW)
                .await
                .unwrap(),
            "a new window"
        );
    }
}
