//! Recognising bearer tokens by their argon2id hash.
//!
//! argon2id makes a stolen hash useless, and it costs tens of milliseconds and 19 MiB. Tokens are
//! long and random, so one run per process, token and stored hash is enough: a bounded cache
//! remembers with which hash a token has verified. The row still decides on every request, so
//! a rotated, expired or revoked token is refused at once.
//!
//! Wrong tokens must not eat the machine, nor keep out the right one: few hashes run at a time, few
//! wait, and for a row that was tried in vain too often, one at a time in the whole process. Tokens
//! in the cache, and tokens that are made, are not affected.

use std::collections::HashMap;
use std::num::NonZero;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use chrono::{DateTime, TimeDelta, Utc};
use quick_cache::sync::Cache;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use crate::domain::token::Token;
use crate::error::Error;
use crate::metrics::{Metrics, Verification};

/// How many verified tokens are remembered.
const CACHED: usize = 10_000;
/// How many rows with attempts are remembered before the old ones are dropped.
const WATCHED: usize = 10_000;
/// How many hashes may wait for their turn.
const WAITING: usize = 256;
/// How many attempts in vain a row may have in a window before it is suspect.
const ATTEMPTS: u32 = 10;
const WINDOW: TimeDelta = TimeDelta::minutes(1);
/// When to come back after an attempt that was not even made.
const RETRY: Duration = Duration::from_secs(1);
/// Bytes of salt: what RFC 9106, section 3.1, recommends.
pub const SALT_LENGTH: usize = 16;

/// Hashes and verifies tokens: argon2id, 19 MiB, 2 passes, 1 lane (the OWASP parameters).
pub struct TokenHasher {
    /// By the SHA-256 of a token, the hash that it has verified with.
    verified: Cache<[u8; 32], Arc<str>>,
    attempts: Mutex<HashMap<Uuid, Attempts>>,
    /// For new tokens.
    making: Lane,
    /// For presented tokens.
    verifying: Lane,
    /// For tokens of rows that were tried in vain too often.
    suspect: Lane,
    metrics: Metrics,
}

#[derive(Clone, Copy)]
struct Attempts {
    since: DateTime<Utc>,
    count: u32,
}

/// So many hashes run at a time, and so many more wait.
struct Lane {
    running: Semaphore,
    admitted: Semaphore,
}

impl Lane {
    fn new(running: usize, waiting: usize) -> Self {
        Self {
            running: Semaphore::new(running),
            admitted: Semaphore::new(running + waiting),
        }
    }

    /// Waits for a turn. It lasts as long as the permits.
    async fn turn(&self) -> Result<(SemaphorePermit<'_>, SemaphorePermit<'_>), Error> {
        let admitted = self
            .admitted
            .try_acquire()
            .map_err(|_| Error::Throttled(RETRY))?;
        let running = self.running.acquire().await.map_err(Error::internal)?;
        Ok((admitted, running))
    }
}

impl Default for TokenHasher {
    fn default() -> Self {
        let cores = available_parallelism().map_or(1, NonZero::get);
        Self {
            verified: Cache::new(CACHED),
            attempts: Mutex::default(),
            making: Lane::new(cores.div_ceil(2), WAITING),
            verifying: Lane::new(cores.div_ceil(2), WAITING),
            suspect: Lane::new(1, 0),
            metrics: Metrics::default(),
        }
    }
}

impl TokenHasher {
    /// Has runs and verdicts counted.
    pub fn measure(&mut self, metrics: Metrics) {
        self.metrics = metrics;
    }

    /// Hashes a new token, in PHC string format.
    ///
    /// # Errors
    ///
    /// [`Error::Throttled`] when too many wait for their turn.
    pub async fn hash(&self, token: &Token, salt: [u8; SALT_LENGTH]) -> Result<String, Error> {
        let token: SecretString = token.expose().into();
        let _turn = self.making.turn().await?;
        let hash = move || {
            let hash: Result<PasswordHash, _> =
                Argon2::default().hash_password_with_salt(token.expose_secret().as_bytes(), &salt);
            hash.map(|hash| hash.to_string())
                .map_err(|e| Error::internal(e.to_string()))
        };
        self.timed("make", hash).await
    }

    /// Whether `hash` is the hash of `token`.
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
        let result = self.check(token, hash, now).await;
        let outcome = match &result {
            Err(Error::Throttled(_)) => Verification::Throttled,
            Err(_) => return result.map(|_| false),
            Ok(outcome) => *outcome,
        };
        self.metrics.verification(outcome);
        result.map(|outcome| outcome != Verification::Wrong)
    }

    /// Remembers that a token has verified with a hash, in whichever process.
    pub fn remember(&self, token: &Token, hash: &str) {
        if !self.has_verified(token, hash) {
            self.verified.insert(digest(token), hash.into());
        }
    }

    /// The hash that a token has verified with. Its row may have another one by now, or be gone: who uses it makes sure that
    /// the row still has this hash.
    pub fn remembered(&self, token: &Token) -> Option<Arc<str>> {
        self.verified.get(&digest(token))
    }

    fn has_verified(&self, token: &Token, hash: &str) -> bool {
        self.remembered(token).is_some_and(|known| *known == *hash)
    }

    async fn check(
        &self,
        token: &Token,
        hash: &str,
        now: DateTime<Utc>,
    ) -> Result<Verification, Error> {
        if self.has_verified(token, hash) {
            return Ok(Verification::Cached);
        }
        let was_suspect = self.is_suspect(token.id(), now);
        let lane = if was_suspect {
            &self.suspect
        } else {
            &self.verifying
        };
        let _turn = lane.turn().await?;
        // Much may have happened while it waited: the same token may have verified, or others failed.
        if self.has_verified(token, hash) {
            return Ok(Verification::Cached);
        }
        if !was_suspect && self.is_suspect(token.id(), now) {
            return Err(Error::Throttled(RETRY));
        }
        self.count_attempt(token.id(), now);

        let presented: SecretString = token.expose().into();
        let stored = hash.to_owned();
        let verify = move || {
            let stored = PasswordHash::new(&stored).map_err(|e| Error::internal(e.to_string()))?;
            let verdict =
                Argon2::default().verify_password(presented.expose_secret().as_bytes(), &stored);
            Ok::<_, Error>(verdict.is_ok())
        };
        if !self.timed("verify", verify).await? {
            return Ok(Verification::Wrong);
        }
        self.verified.insert(digest(token), hash.into());
        self.attempts().remove(&token.id());
        Ok(Verification::Verified)
    }

    /// Runs argon2id where it holds nobody up.
    async fn timed<T: Send + 'static>(
        &self,
        purpose: &'static str,
        run: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let begun = Instant::now();
        let result = spawn_blocking(run).await.map_err(Error::internal)?;
        self.metrics.hashed(purpose, begun.elapsed());
        result
    }

    fn is_suspect(&self, row: Uuid, now: DateTime<Utc>) -> bool {
        self.attempts()
            .get(&row)
            .is_some_and(|known| now < known.since + WINDOW && known.count >= ATTEMPTS)
    }

    fn count_attempt(&self, row: Uuid, now: DateTime<Utc>) {
        let mut attempts = self.attempts();
        if attempts.len() >= WATCHED {
            attempts.retain(|_, known| now < known.since + WINDOW);
        }
        let known = attempts.entry(row).or_insert(Attempts {
            since: now,
            count: 0,
        });
        if now >= known.since + WINDOW {
            *known = Attempts {
                since: now,
                count: 0,
            };
        }
        known.count = known.count.saturating_add(1);
    }

    fn attempts(&self) -> MutexGuard<'_, HashMap<Uuid, Attempts>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn digest(token: &Token) -> [u8; 32] {
    Sha256::digest(token.expose()).into()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::app::random::Random;
    use crate::domain::token::TokenKind;

    fn token(random: &Random) -> Token {
        random.token(TokenKind::Api, None, Uuid::from_u128(7))
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
    async fn many_requests_with_a_new_token_at_once_all_pass() {
        let (hasher, random, now) = (
            TokenHasher::default(),
            Random::seeded(1),
            DateTime::UNIX_EPOCH,
        );
        let right = token(&random);
        let hash = hasher.hash(&right, random.bytes()).await.unwrap();
        let all =
            futures_util::future::join_all((0..100).map(|_| hasher.verify(&right, &hash, now)))
                .await;
        assert!(all.into_iter().all(|verdict| verdict.unwrap()));
    }

    #[tokio::test]
    async fn guessing_at_a_row_gets_one_lane_and_does_not_keep_the_right_token_out() {
        let (hasher, random, now) = (
            TokenHasher::default(),
            Random::seeded(1),
            DateTime::UNIX_EPOCH,
        );
        let right = token(&random);
        let hash = hasher.hash(&right, random.bytes()).await.unwrap();
        for _ in 0..ATTEMPTS {
            assert!(!hasher.verify(&token(&random), &hash, now).await.unwrap());
        }
        let guesses: Vec<Token> = (0..20).map(|_| token(&random)).collect();
        let guesses = guesses.iter().map(|guess| hasher.verify(guess, &hash, now));
        let verdicts = futures_util::future::join_all(guesses).await;
        let refused = verdicts
            .iter()
            .filter(|verdict| matches!(verdict, Err(Error::Throttled(_))))
            .count();
        assert_eq!(refused, 19, "only one runs at a time");
        let stranger = Token::generate(
            TokenKind::Api,
            None,
            Uuid::from_u128(8),
            &mut rand::rngs::StdRng::seed_from_u64(1),
        );
        assert!(
            !hasher.verify(&stranger, &hash, now).await.unwrap(),
            "other rows have their own lane"
        );
        assert!(
            hasher.verify(&right, &hash, now).await.unwrap(),
            "never verified before, and not kept out"
        );
        assert!(hasher.verify(&right, &hash, now).await.unwrap());
    }
}
