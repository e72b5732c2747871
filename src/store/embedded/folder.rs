//! The folder of the embedded PostgreSQL: whether its files are all there, and how new ones are made.
//!
//! New files are made in a folder beside it, which takes its name when the schema is in them. So a
//! folder with files in it was whole once; one from which files are missing is never made anew, because
//! what they held would be gone without a word.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use pglite_oxide::{DataDirArchiveFormat, Pglite};

use crate::error::Error;

/// Where PostgreSQL's files are in the folder.
const CLUSTER: &str = "tmp/pglite/base";
/// Files, and folders with files in them, that every database has. PostgreSQL itself misses the others.
const PARTS: [&str; 6] = [
    "PG_VERSION",
    "base/1",
    "global/pg_control",
    "global/pg_filenode.map",
    "pg_wal",
    "pg_xact",
];
/// What there may be in a folder that was not finished.
const MAKINGS: [&str; 2] = [".pglite-oxide.lock", "tmp"];

/// About how much room a new database takes, in megabytes.
const ROOM: usize = 60;

/// Keeps other processes from the folder while it is looked at and made; PostgreSQL has a lock of its own
/// from then on.
pub(super) struct Claim(#[expect(dead_code, reason = "it is held")] File);

/// Claims the folder, and makes it if there is none.
pub(super) fn claim(folder: &Path) -> Result<Claim, Error> {
    fs::create_dir_all(folder).map_err(|e| explain(folder, e))?;
    let file = File::open(folder).map_err(Error::internal)?;
    match file.try_lock() {
        Ok(()) => Ok(Claim(file)),
        Err(TryLockError::WouldBlock) => Err(in_use(folder)),
        Err(TryLockError::Error(error)) => Err(Error::internal(error)),
    }
}

pub(super) fn in_use(folder: &Path) -> Error {
    Error::FailedPrecondition(format!(
        "another process uses the data in {}: stop it, or give this one another folder with ROLLCALL_DATA_DIR",
        folder.display()
    ))
}

/// What is wrong with a folder from which files are missing.
pub(super) fn incomplete(folder: &Path, missing: &str) -> Error {
    Error::FailedPrecondition(format!(
        "the database in {} is incomplete: {missing}. Restore the whole data directory from a backup; or, to begin anew without what was in it, move it away",
        folder.display()
    ))
}

/// Whether there is no database in the folder yet.
///
/// # Errors
///
/// [`Error::FailedPrecondition`] when there is a part of one.
pub(super) fn is_empty(folder: &Path) -> Result<bool, Error> {
    if !has_entries(folder) {
        return Ok(true);
    }
    let is_missing = |part: &&str| {
        let path = folder.join(CLUSTER).join(part);
        !path.is_file() && !has_entries(&path)
    };
    let missing: Vec<_> = PARTS.into_iter().filter(is_missing).collect();
    if missing.is_empty() {
        return Ok(false);
    }
    let missing = format!("{CLUSTER} has no {}", missing.join(", no "));
    Err(incomplete(folder, &missing))
}

fn has_entries(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

/// Where the files of a new database are made.
pub(super) fn beside(folder: &Path) -> PathBuf {
    let mut path = folder.as_os_str().to_owned();
    path.push(".new");
    path.into()
}

/// Makes the files of a new database in `new`, after those of a start that was interrupted are removed.
///
/// PostgreSQL would otherwise read most of them from a cache outside of the folder: a backup of the folder
/// would not be whole, and a file that is missing from it would be replaced by the cache's.
pub(super) fn make(new: &Path) -> Result<(), Error> {
    remove(new)?;
    let made = || {
        let mut first = Pglite::builder().path(new).open()?;
        let files = first.dump_data_dir_with_format(DataDirArchiveFormat::Tar)?;
        first.close()?;
        drop(first);
        let whole = Pglite::builder().path(new).load_data_dir_archive(files);
        whole.open()?.close()
    };
    made().map_err(|e| Error::internal(format!("{e:#}")))
}

/// Removes what a start left that was interrupted, and nothing else.
pub(super) fn remove(new: &Path) -> Result<(), Error> {
    let entries = match fs::read_dir(new) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(Error::internal)?,
    };
    for entry in entries {
        let name = entry.map_err(Error::internal)?.file_name();
        if !MAKINGS.iter().any(|known| name == *known) {
            return Err(Error::FailedPrecondition(format!(
                "{} has files that are not of a database, and a new one is made there: move it away",
                new.display()
            )));
        }
    }
    fs::remove_dir_all(new).map_err(Error::internal)
}

/// Gives a failure to make files in the folder its cause, where that is a full disk: what PostgreSQL says
/// of one does not name it.
pub(super) fn explain_failure(folder: &Path, failure: Error) -> Error {
    let written = tempfile::tempfile_in(folder).and_then(|mut file| file.write_all(&[1; 1 << 20]));
    written.map_or_else(|e| explain(folder, e), |()| failure)
}

fn explain(folder: &Path, error: io::Error) -> Error {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::FailedPrecondition(format!(
            "the disk that {} is on is full: make room for {ROOM} MB, and start again",
            folder.display()
        )),
        _ => Error::internal(error),
    }
}
