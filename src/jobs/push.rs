//! Sends security event tokens to their receivers.

use std::time::Duration;

use super::Job;
use crate::events::push;

/// How often there is a look. A receiver is told within a second.
const INTERVAL: Duration = Duration::from_millis(500);

/// The job.
pub const JOB: Job = Job {
    name: "push",
    interval: INTERVAL,
    is_frequent: true,
    run: |app| Box::pin(push::deliver(app)),
};
