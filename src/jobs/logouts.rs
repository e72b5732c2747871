//! Tells applications of sessions that ended.

use std::time::Duration;

use super::Job;
use crate::provisioning::logout;

/// How often there is a look. An application is told within a second, whichever replica ended the session.
const INTERVAL: Duration = Duration::from_millis(500);

/// The job.
pub const JOB: Job = Job {
    name: "logouts",
    interval: INTERVAL,
    is_frequent: true,
    run: |app| Box::pin(logout::deliver(app)),
};
