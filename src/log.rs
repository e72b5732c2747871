//! Where the log goes: to stderr, by a thread of its own. A log that cannot be written, because its disk
//! is full, its reader has gone, or nobody reads, costs lines and never a request. How many were lost is
//! said as soon as writing works again, and counted.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

/// How many lines may wait to be written.
const WAITING: usize = 16_384;

/// How many lines this process lost.
static DROPPED: OnceLock<Dropped> = OnceLock::new();

/// How many log lines were lost since the process began.
pub fn dropped() -> u64 {
    DROPPED.get().map_or(0, Dropped::count)
}

/// Takes the lines, and never fails or waits. What is returned beside it has those written that wait,
/// for a second at most, when it is dropped.
pub fn writer() -> (NonBlocking, WorkerGuard) {
    let failed = Arc::new(AtomicU64::new(0));
    let (sender, dropped) = std::sync::mpsc::sync_channel(1);
    let target = Target {
        output: io::stderr(),
        failed: failed.clone(),
        crowded: dropped,
        counter: None,
        said: 0,
    };
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(WAITING)
        .lossy(true)
        .thread_name("log")
        .finish(target);
    let crowded = writer.error_counter();
    let _ = sender.send(crowded.clone());
    let _ = DROPPED.set(Dropped { failed, crowded });
    (writer, guard)
}

/// How many lines were lost, and why.
struct Dropped {
    failed: Arc<AtomicU64>,
    crowded: ErrorCounter,
}

impl Dropped {
    fn count(&self) -> u64 {
        self.failed.load(Ordering::Relaxed) + self.crowded.dropped_lines() as u64
    }
}

/// What the thread writes to.
struct Target<W> {
    output: W,
    /// Lines that could not be written.
    failed: Arc<AtomicU64>,
    /// Where to get the counter of lines for which there was no place, which is made after this.
    crowded: std::sync::mpsc::Receiver<ErrorCounter>,
    counter: Option<ErrorCounter>,
    /// How many lost lines were told of.
    said: u64,
}

impl<W: Write> Target<W> {
    fn lost(&mut self) -> u64 {
        if self.counter.is_none() {
            self.counter = self.crowded.try_recv().ok();
        }
        let crowded = self.counter.as_ref().map_or(0, ErrorCounter::dropped_lines);
        self.failed.load(Ordering::Relaxed) + crowded as u64
    }
}

impl<W: Write> Write for Target<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut written = self.output.write_all(line);
        let lost = self.lost();
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
            self.failed.fetch_add(1, Ordering::Relaxed);
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
        let (_sender, crowded) = std::sync::mpsc::sync_channel(1);
        let mut target = Target {
            output: Disk {
                free: 1,
                full: 3,
                text: String::new(),
            },
            failed: Arc::default(),
            crowded,
            counter: None,
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
