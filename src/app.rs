//! What every door is handed: the store, the clock, randomness and keys. Nothing else in the crate
//! reads the time or the operating system's randomness, so that tests can decide both.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, SubsecRound, Utc};
use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng};
use uuid::{Builder, Uuid};

use crate::domain::token::{Token, TokenKind};
use crate::secrets::keys::Keyring;
use crate::secrets::tokens::TokenHasher;
use crate::store::Store;

/// The parts that doors work with.
pub struct App {
    /// PostgreSQL.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// Unpredictable bytes.
    pub random: Random,
    /// The keys that seal secrets and page tokens.
    pub keys: Keyring,
    /// The hashes of bearer tokens.
    pub tokens: TokenHasher,
    /// Where clients reach the server, without a slash at the end.
    pub public_url: String,
}

impl App {
    /// An application on `store`, reached at `public_url`, with the system's clock and randomness.
    ///
    /// # Errors
    ///
    /// When the operating system has no randomness to give.
    pub fn new(store: Store, keys: Keyring, public_url: String) -> anyhow::Result<Self> {
        Ok(Self {
            store,
            clock: Clock::System,
            random: Random::system()?,
            keys,
            tokens: TokenHasher::default(),
            public_url,
        })
    }

    /// A new identifier: UUIDv7 (RFC 9562, section 5.7), so that rows made together lie together.
    pub fn new_id<Id: From<Uuid>>(&self) -> Id {
        self.random.uuid_v7(self.clock.now()).into()
    }
}

/// The time, in microseconds: what PostgreSQL keeps.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The operating system's.
    System,
    /// A test's: microseconds since the epoch.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The present moment.
    pub fn now(&self) -> DateTime<Utc> {
        match self {
            #[expect(clippy::disallowed_methods, reason = "this is where time comes from")]
            Self::System => Utc::now().trunc_subsecs(6),
            Self::Manual(micros) => {
                DateTime::from_timestamp_micros(micros.load(Ordering::Relaxed)).unwrap_or_default()
            }
        }
    }
}

/// A cryptographically secure generator, seeded by the operating system.
pub struct Random(Mutex<StdRng>);

impl Random {
    /// The generator to use.
    ///
    /// # Errors
    ///
    /// When the operating system has no randomness to give.
    pub fn system() -> anyhow::Result<Self> {
        Ok(Self(Mutex::new(StdRng::try_from_rng(&mut SysRng)?)))
    }

    /// A predictable generator, for tests alone.
    pub fn seeded(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }

    /// `N` unpredictable bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.with(|generator| generator.fill_bytes(&mut bytes));
        bytes
    }

    /// A new bearer token for the row `id`.
    pub fn token(&self, kind: TokenKind, id: Uuid) -> Token {
        self.with(|generator| Token::generate(kind, id, generator))
    }

    /// A UUIDv7 of the moment `now`.
    pub fn uuid_v7(&self, now: DateTime<Utc>) -> Uuid {
        let millis = u64::try_from(now.timestamp_millis()).unwrap_or_default();
        Builder::from_unix_timestamp_millis(millis, &self.bytes()).into_uuid()
    }

    fn with<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
