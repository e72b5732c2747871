//! How long what happened is kept.

use chrono::TimeDelta;

/// How long logs are kept.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// Events, the log of each SCIM configuration, and tries to sign in.
    pub events: TimeDelta,
    /// The audit log.
    pub audit_log: TimeDelta,
}
