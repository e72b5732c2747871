//! What commands print. A reader that had enough, as in `rollcall scim events | head -1`, ends a command
//! quietly; a full disk is an error.

use std::fmt;
use std::io::{self, Write};

use anyhow::Result;

/// The reader of the output has gone.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads the output")]
pub struct NobodyReads;

/// Prints a line on stdout.
///
/// # Errors
///
/// [`NobodyReads`], or that it cannot be written.
pub fn print(line: impl fmt::Display) -> Result<()> {
    let mut output = io::stdout().lock();
    match writeln!(output, "{line}").and_then(|()| output.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(NobodyReads.into()),
        Err(error) => Err(anyhow::Error::from(error).context("cannot write the output")),
    }
}

/// Prints a line on stdout, where it is of no matter whether somebody reads it.
pub fn announce(line: impl fmt::Display) {
    let _ = print(line);
}

/// Prints a line on stderr, if it can be written.
pub fn remark(line: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
