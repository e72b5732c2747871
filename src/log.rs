//! Where the log goes: to stderr, by a thread of its own. A log that cannot be written, because its disk
//! is full, its reader has gone, or nobody reads, costs lines and never a request. How many were lost is
//! said as soon as writing works again, and counted.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, OnceLock};

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

/// How many lines may wait to be written.
const WAITING: usize = 16_384;

/// The lines that this process lost.
static LOST: LazyLock<Lost> = LazyLock::new(Lost::default);

/// How many log lines were lost since the process began.
pub fn dropped() -> u64 {
    LOST.count()
}

/// Takes the lines, and never fails or waits. What is returned beside it has those written that wait,
/// for a second at most, when it is dropped.
pub fn writer() -> (NonBlocking, WorkerGuard) {
    let target = Target {
        output: io::stderr(),
        lost: &LOST,
        said: 0,
    };
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(WAITING)
        .lossy(true)
        .thread_name("log")
        .finish(target);
    let _ = LOST.crowded.set(writer.error_counter());
    (writer, guard)
}

/// How many lines were lost, and why.
#[derive(Default)]
struct Lost {
    /// They could not be written.
    failed: AtomicU64,
    /// Too many waited.
    crowded: OnceLock<ErrorCounter>,
}

impl Lost {
    fn count(&self) -> u64 {
        let crowded = self.crowded.get().map_or(0, ErrorCounter::dropped_lines);
        self.failed.load(Ordering::Relaxed) + crowded as u64
    }
}

/// What the thread writes to.
struct Target<'a, W> {
    output: W,
    lost: &'a Lost,
    /// How many lost lines were told of.
    said: u64,
}

impl<W: Write> Write for Target<'_, W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut written = self.output.write_all(line);
        let lost = self.lost.count();
        if written.is_ok() && lost > self.said {
            let text = format!(
                "{} log lines were dropped, because they could not be written\n",
                lost - self.said
            );
            written = self.output.write_all(text.as_bytes());
            if written.is_ok() {
                self.said = lost;
                return Ok(line.len());
            }
        }
        if written.is_err() {
            self.lost.failed.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = self.output.flush();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many lines, refuses so many, and takes the rest.
    struct Disk {
        free: u32,
        full: u32,
        text: String,
    }

    impl Write for Disk {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            if self.free == 0 && self.full > 0 {
                self.full -= 1;
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.free = self.free.saturating_sub(1);
            self.text.push_str(std::str::from_utf8(line).unwrap());
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_could_not_be_written_are_counted_and_told_of_once() {
        let lost = Lost::default();
        let mut target = Target {
            output: Disk {
                free: 1,
                full: 3,
                text: String::new(),
            },
            lost: &lost,
            said: 0,
        };
        for line in ["one\n", "two\n", "three\n", "four\n", "five\n", "six\n"] {
            target.write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(
            target.output.text,
            "one\nfive\n3 log lines were dropped, because they could not be written\nsix\n"
        );
    }
}
