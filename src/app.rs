//! What every door is handed: the store, the clock, randomness and keys. Nothing else in the crate
//! reads the time or the operating system's randomness, so that tests can decide both.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, SubsecRound, Utc};
use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng};
use uuid::{Builder, Uuid};

use crate::domain::sign_in::SignInSettings;
use crate::domain::token::{Token, TokenKind};
use crate::large::Large;
use crate::metrics::Metrics;
use crate::oidc::Providers;
use crate::outgoing::dns::Dns;
use crate::outgoing::{Outgoing, Reach};
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
    /// The domain name system.
    pub dns: Dns,
    /// Where clients reach the server, without a slash at the end.
    pub public_url: String,
    /// Requests to addresses that users chose.
    pub outgoing: Outgoing,
    /// What OpenID Connect providers publish.
    pub providers: Providers,
    /// How people sign in.
    pub sign_in: SignInSettings,
    /// Where everything is counted.
    pub metrics: Metrics,
    /// The memory that large requests share.
    pub large: Large,
    /// Whether the process is about to stop, and no new requests should be sent to it.
    pub is_stopping: AtomicBool,
}

impl App {
    /// An application on `store`, reached at `public_url`, with the system's clock, randomness and
    /// name servers.
    ///
    /// # Errors
    ///
    /// When the operating system has no randomness to give, or TLS cannot be set up.
    pub fn new(store: Store, keys: Keyring, public_url: String) -> anyhow::Result<Self> {
        Ok(Self {
            outgoing: Outgoing::new(Reach::default())?,
            providers: Providers::new(Clock::System),
            sign_in: SignInSettings::default(),
            store,
            clock: Clock::System,
            random: Random::system()?,
            keys,
            tokens: TokenHasher::default(),
            dns: Dns::default(),
            public_url,
            metrics: Metrics::default(),
            large: Large::default(),
            is_stopping: AtomicBool::new(false),
        })
    }

    /// Has everything counted in `metrics`.
    pub fn measure(&mut self, metrics: &Metrics) {
        self.metrics = metrics.clone();
        self.store.measure(metrics.clone());
        self.tokens.measure(metrics.clone());
        self.outgoing.measure(metrics.clone());
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
pub struct Random {
    generator: Mutex<StdRng>,
    /// The identifier issued last.
    last: Mutex<u128>,
}

impl Random {
    /// The generator to use.
    ///
    /// # Errors
    ///
    /// When the operating system has no randomness to give.
    pub fn system() -> anyhow::Result<Self> {
        Ok(Self::new(StdRng::try_from_rng(&mut SysRng)?))
    }

    /// A predictable generator, for tests alone.
    pub fn seeded(seed: u64) -> Self {
        Self::new(StdRng::seed_from_u64(seed))
    }

    fn new(generator: StdRng) -> Self {
        Self {
            generator: Mutex::new(generator),
            last: Mutex::new(0),
        }
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

    /// A UUIDv7 of the moment `now`, after all that this process issued before (RFC 9562, section
    /// 6.2, method 2): what is made later comes later in lists.
    pub fn uuid_v7(&self, now: DateTime<Utc>) -> Uuid {
        let millis = u64::try_from(now.timestamp_millis()).unwrap_or_default();
        let fresh = Builder::from_unix_timestamp_millis(millis, &self.bytes())
            .into_uuid()
            .as_u128();
        let step = u128::from(u32::from_be_bytes(self.bytes())) + 1;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // Within a millisecond, or if the clock was set back a little, a random step on. The 62 bits
        // at the end have room for it.
        let is_close = *last >> 80 <= (u128::from(millis) + 10_000);
        *last = if fresh <= *last && is_close {
            *last + step
        } else {
            fresh
        };
        Uuid::from_u128(*last)
    }

    fn with<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(
            &mut self
                .generator
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn identifiers_come_in_the_order_in_which_they_are_issued() {
        let random = Random::seeded(1);
        let start = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let moments = (0..10_000)
            .map(|i| start + TimeDelta::microseconds(i * 10) - TimeDelta::milliseconds(i % 3));
        let ids: Vec<Uuid> = moments.map(|now| random.uuid_v7(now)).collect();
        assert!(ids.is_sorted() && ids.iter().all(|id| id.get_version_num() == 7));
        let millis = |id: &Uuid| id.as_u128() >> 80;
        assert!(
            ids.iter()
                .all(|id| millis(id).abs_diff(1_700_000_000_000) < 200),
            "and tell the time"
        );
    }
}
