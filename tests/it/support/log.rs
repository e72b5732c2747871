//! What was logged: shown when a test fails, and for a test to look at.

use std::io::Write;
use std::sync::{Arc, Mutex, Once};

use tracing::subscriber::DefaultGuard;
use tracing_subscriber::EnvFilter;

/// Has what is logged printed with the output of the test, which is shown if the test fails.
pub fn show() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let levels = std::env::var("ROLLCALL_LOG")
            .unwrap_or_else(|_| "warn,rollcall::router=info".to_owned());
        tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new(levels))
            .with_ansi(false)
            .with_test_writer()
            .init();
    });
}

/// Everything that this thread logged, of every level. A request that a test sends runs on its thread.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Begins to listen, until the guard goes.
    pub fn capture() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    /// What was logged since the last time.
    pub fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
