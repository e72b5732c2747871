//! The time: nothing else reads the system's.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, SubsecRound, Utc};

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
