//! How many calls are under way at once. Receivers that answer slowly hold many for long, so those of an organization share a number of
//! them, and so do those of the process: whoever has many already may have one more only while still more are free. So a receiver
//! finds some free whatever others hold, and one alone has as many as it may have.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::ids::OrganizationId;

/// How many calls of one receiver may be under way.
const OF_RECEIVER: usize = 100;
/// How many of them it does not share.
const OWN: usize = 5;
/// How many the receivers of an organization share: with those of their own, 20 have up to 300.
const OF_ORGANIZATION: usize = 200;
/// How many the receivers of the process share. The first call of each is not counted on.
const OF_PROCESS: usize = 2_000;

/// What the receivers of a process share.
#[derive(Clone, Debug, Default)]
pub struct Shared(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    /// All calls under way.
    all: usize,
    /// Those that receivers do not have as their own, by organization.
    shared: HashMap<OrganizationId, usize>,
}

impl Shared {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The share of a receiver of an organization, which has no call under way.
    pub fn of(&self, organization_id: OrganizationId) -> Share {
        Share {
            shared: self.clone(),
            organization_id,
            under_way: 0,
        }
    }
}

/// What one receiver has of it. Dropped, it has nothing any more.
#[derive(Debug)]
pub struct Share {
    shared: Shared,
    organization_id: OrganizationId,
    under_way: usize,
}

impl Share {
    /// Whether one call more may begin.
    pub fn has_room(&self) -> bool {
        let counts = self.shared.counts();
        let shared = counts.shared.get(&self.organization_id);
        let free = OF_ORGANIZATION.saturating_sub(shared.copied().unwrap_or_default());
        let free_of_all = OF_PROCESS.saturating_sub(counts.all);
        self.under_way < OF_RECEIVER.min(OWN + free).min(1.max(free_of_all))
    }

    /// A call begins.
    pub fn begin(&mut self) {
        self.under_way += 1;
        let mut counts = self.shared.counts();
        counts.all += 1;
        if self.under_way > OWN {
            *counts.shared.entry(self.organization_id).or_default() += 1;
        }
    }

    /// A call is over.
    pub fn end(&mut self) {
        let mut counts = self.shared.counts();
        counts.all -= 1;
        if self.under_way > OWN
            && let Some(shared) = counts.shared.get_mut(&self.organization_id)
        {
            *shared -= 1;
            if *shared == 0 {
                counts.shared.remove(&self.organization_id);
            }
        }
        self.under_way -= 1;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        while self.under_way > 0 {
            self.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn organization(number: usize) -> OrganizationId {
        Uuid::from_u128(u128::try_from(number).unwrap_or_default()).into()
    }

    /// Has a receiver begin as many calls as it may, and tells how many it has then.
    fn fill(share: &mut Share) -> usize {
        while share.has_room() {
            share.begin();
        }
        share.under_way
    }

    #[test]
    fn one_receiver_alone_has_all_that_it_may_have() {
        let shared = Shared::default();
        let mut share = shared.of(organization(1));
        assert_eq!(fill(&mut share), 100);
        share.end();
        assert_eq!(fill(&mut share), 100);
        drop(share);
        let counts = shared.counts();
        assert_eq!((counts.all, counts.shared.len()), (0, 0));
    }

    #[test]
    fn receivers_of_one_organization_leave_some_to_those_that_come_after_them() {
        let shared = Shared::default();
        let mut slow: Vec<Share> = (0..19).map(|_| shared.of(organization(1))).collect();
        for _ in 0..3 {
            slow.iter_mut().for_each(|share| {
                fill(share);
            });
        }
        assert!(shared.counts().all <= 300 - 5);
        let mut good = shared.of(organization(1));
        assert!(fill(&mut good) >= 5);
        assert!(shared.counts().all <= 300);
        let mut neighbour = shared.of(organization(2));
        assert_eq!(fill(&mut neighbour), 100);
    }

    #[test]
    fn every_receiver_of_a_process_has_one_call_at_least() {
        let shared = Shared::default();
        let mut all: Vec<Share> = (0..1_000).map(|n| shared.of(organization(n))).collect();
        let sums = all.iter_mut().map(fill).collect::<Vec<_>>();
        assert!(sums.iter().all(|calls| *calls >= 1));
        assert!(shared.counts().all <= 2_000 + 1_000);
    }
}
