//! What every door is handed, and the part of it that operators' commands are: the store, the clock and randomness.
//! Nothing else in the crate reads the time or the operating system's randomness, so that tests can decide both.

pub mod clock;
pub mod random;

use std::ops::Deref;
use std::sync::atomic::AtomicBool;

use uuid::Uuid;

pub use self::clock::Clock;
pub use self::random::Random;
use crate::domain::ids::OrganizationId;
use crate::domain::retention::Kept;
use crate::domain::sign_in::SignInSettings;
use crate::domain::token::Token;
use crate::http::first::First;
use crate::http::large::Large;
use crate::metrics::Metrics;
use crate::oidc::{ClientKeys, Providers};
use crate::outgoing::dns::Dns;
use crate::outgoing::{self, Outgoing};
use crate::secrets::keys::Keyring;
use crate::secrets::signing::Signers;
use crate::secrets::tokens::TokenHasher;
use crate::store::Store;

/// What work on the data takes: all that an operator's command is handed, and part of what doors are.
pub struct Operator {
    /// PostgreSQL.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// Unpredictable bytes.
    pub random: Random,
    /// The hashes of bearer tokens.
    pub tokens: TokenHasher,
}

impl Operator {
    /// Works on `store`, with the system's clock and randomness.
    ///
    /// # Errors
    ///
    /// When the operating system has no randomness to give.
    pub fn new(store: Store) -> anyhow::Result<Self> {
        Ok(Self {
            store,
            clock: Clock::System,
            random: Random::system()?,
            tokens: TokenHasher::default(),
        })
    }

    /// A new identifier: UUIDv7 (RFC 9562, section 5.7), so that rows made together lie together.
    pub fn new_id<Id: From<Uuid>>(&self) -> Id {
        self.random.uuid_v7(self.clock.now()).into()
    }
}

/// How a server is set up.
pub struct Setup {
    /// The keys that seal secrets and page tokens.
    pub keys: Keyring,
    /// Where clients reach the server, without a slash at the end.
    pub public_url: String,
    /// How requests to addresses that users chose leave, and what resolves names.
    pub outgoing: outgoing::Settings,
    /// How people sign in.
    pub sign_in: SignInSettings,
    /// How long logs are kept.
    pub kept: Kept,
}

/// The parts that doors work with: those of an [`Operator`], and what a server needs besides.
pub struct App {
    /// The store, the clock, randomness and hashes.
    pub operator: Operator,
    /// The keys that seal secrets and page tokens.
    pub keys: Keyring,
    /// The domain name system.
    pub dns: Dns,
    /// Where clients reach the server, without a slash at the end.
    pub public_url: String,
    /// Requests to addresses that users chose.
    pub outgoing: Outgoing,
    /// What OpenID Connect providers publish.
    pub providers: Providers,
    /// The keys that tokens for applications are signed with.
    pub signers: Signers,
    /// What applications publish that sign.
    pub client_keys: ClientKeys,
    /// How people sign in.
    pub sign_in: SignInSettings,
    /// How long logs are kept.
    pub kept: Kept,
    /// Whose the tokens are that name no organization; without it, they open nothing.
    pub home: Option<OrganizationId>,
    /// Where everything is counted.
    pub metrics: Metrics,
    /// The memory that large requests share.
    pub large: Large,
    /// The link with which the first administrator enters the console, if there is one.
    pub first: Option<First>,
    /// Whether the process is about to stop, and no new requests should be sent to it.
    pub is_stopping: AtomicBool,
}

impl Deref for App {
    type Target = Operator;

    fn deref(&self) -> &Operator {
        &self.operator
    }
}

impl App {
    /// A server that nothing was counted of yet, and that has no home.
    ///
    /// # Errors
    ///
    /// When TLS cannot be set up.
    pub fn new(operator: Operator, setup: Setup) -> anyhow::Result<Self> {
        Ok(Self {
            keys: setup.keys,
            dns: setup.outgoing.dns.clone(),
            public_url: setup.public_url,
            outgoing: Outgoing::with(setup.outgoing)?,
            providers: Providers::new(operator.clock.clone()),
            signers: Signers::default(),
            client_keys: ClientKeys::new(operator.clock.clone()),
            sign_in: setup.sign_in,
            kept: setup.kept,
            home: None,
            metrics: Metrics::default(),
            large: Large::default(),
            first: None,
            is_stopping: AtomicBool::new(false),
            operator,
        })
    }

    /// Has everything counted in `metrics`.
    pub fn measure(&mut self, metrics: &Metrics) {
        self.metrics = metrics.clone();
        self.operator.store.measure(metrics.clone());
        self.operator.tokens.measure(metrics.clone());
        self.outgoing.measure(metrics.clone());
    }

    /// The organization in which a token's row is looked for: the one that the token names, or else
    /// [`home`](Self::home).
    pub fn organization_of(&self, token: &Token) -> Option<OrganizationId> {
        token.organization().or(self.home)
    }
}
