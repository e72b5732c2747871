//! What every door is handed: the store, the clock, randomness and keys. Nothing else in the crate
//! reads the time or the operating system's randomness, so that tests can decide both.

pub mod clock;
pub mod random;

use std::sync::atomic::AtomicBool;

use uuid::Uuid;

pub use self::clock::Clock;
pub use self::random::Random;
use crate::domain::ids::OrganizationId;
use crate::domain::sign_in::SignInSettings;
use crate::domain::token::Token;
use crate::http::large::Large;
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
    /// Whose the tokens are that name no organization; without it, they open nothing.
    pub home: Option<OrganizationId>,
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
            home: None,
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

    /// The organization in which a token's row is looked for: the one that the token names, or else
    /// [`home`](Self::home).
    pub fn organization_of(&self, token: &Token) -> Option<OrganizationId> {
        token.organization().or(self.home)
    }

    /// A new identifier: UUIDv7 (RFC 9562, section 5.7), so that rows made together lie together.
    pub fn new_id<Id: From<Uuid>>(&self) -> Id {
        self.random.uuid_v7(self.clock.now()).into()
    }
}
