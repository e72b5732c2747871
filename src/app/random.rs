//! Randomness, and the identifiers that are made of it: nothing else reads the system's.

use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng};
use uuid::{Builder, Uuid};

use crate::domain::ids::OrganizationId;
use crate::domain::token::{Token, TokenKind};

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

    /// A new bearer token for the row `id` of an organization, or of one that is not known yet.
    pub fn token(&self, kind: TokenKind, organization: Option<OrganizationId>, id: Uuid) -> Token {
        self.with(|generator| Token::generate(kind, organization, id, generator))
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
