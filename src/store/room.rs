//! Whether the database has room to write.
//!
//! A full disk shows when something is written, not when PostgreSQL is asked whether it takes writes. So
//! a write that failed for want of room leaves a doubt. While there is one, every question for readiness
//! makes PostgreSQL write a little.

use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::raw_sql;

use super::Connection;

/// A process has one database.
static IS_DOUBTFUL: AtomicBool = AtomicBool::new(false);

/// Writes 400 kB into a temporary file on the disk of the database: nothing that goes to the write-ahead
/// log, which has room of its own for a while, and for which PostgreSQL ends when there is none.
const PROBE: &str = "set local work_mem = '64kB'; select count(*) from generate_series(1, 20000)";

/// Whether a SQLSTATE says that there is no room: `disk_full`; or `io_error`, which is all that the
/// embedded PostgreSQL learns of a full disk.
pub(super) fn is_lacking(code: &str) -> bool {
    matches!(code, "53100" | "58030")
}

/// Notes that a write failed for want of room.
pub(super) fn note_lack() {
    IS_DOUBTFUL.store(true, Ordering::Relaxed);
}

pub(super) fn is_doubtful() -> bool {
    IS_DOUBTFUL.load(Ordering::Relaxed)
}

/// Finds out whether there is room again.
pub(super) async fn is_there(db: &mut Connection) -> Result<bool, sqlx::Error> {
    match raw_sql(PROBE).execute(db).await {
        Ok(_) => {
            IS_DOUBTFUL.store(false, Ordering::Relaxed);
            Ok(true)
        }
        Err(error) if is_lacking(&super::code(&error)) => Ok(false),
        Err(error) => Err(error),
    }
}
