//! One connection, and when it is over: hyper ends none that is silent in the middle of something.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::HEADER_TIMEOUT;

/// How long a client may take nothing of an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long requests may be under way on a connection of which none begins or ends: longer than any
/// request may take with its body.
const STALL_TIMEOUT: Duration = Duration::from_secs(150);
/// How long a connection without a request may go on when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_millis(500);

/// What happens on a connection.
#[derive(Clone, Debug)]
pub(super) struct Activity(Arc<Mutex<Times>>);

#[derive(Debug)]
struct Times {
    is_http2: bool,
    under_way: u32,
    /// When a request began or ended last.
    changed: Instant,
    /// Since when the head of a request arrives.
    head: Option<Instant>,
    /// Since when the client takes nothing.
    blocked: Option<Instant>,
}

impl Times {
    /// When nothing more is to be expected, if nothing happens until then.
    fn end(&self, keep_alive: Duration, stopped: Option<Instant>) -> Instant {
        let end = if self.under_way > 0 {
            self.changed + STALL_TIMEOUT
        } else {
            let end = match self.head {
                Some(since) => since + HEADER_TIMEOUT,
                None => self.changed + keep_alive,
            };
            stopped.map_or(end, |stopped| end.min(stopped + STOP_TIMEOUT))
        };
        let blocked = self.blocked.map(|since| since + WRITE_TIMEOUT);
        blocked.map_or(end, |blocked| end.min(blocked))
    }
}

impl Activity {
    pub(super) fn new(is_http2: bool) -> Self {
        let now = Instant::now();
        Self(Arc::new(Mutex::new(Times {
            is_http2,
            under_way: 0,
            changed: now,
            head: (!is_http2).then_some(now),
            blocked: None,
        })))
    }

    /// A request is under way until what is returned is dropped.
    pub(super) fn begin(&self) -> Request {
        let mut times = self.times();
        times.under_way += 1;
        times.head = None;
        times.changed = Instant::now();
        Request(self.clone())
    }

    /// Returns when nothing more is to be expected of the connection.
    pub(super) async fn is_over(&self, keep_alive: Duration, mut stop: watch::Receiver<bool>) {
        let mut stopped = None;
        // It may come nearer meanwhile.
        let mut interval = HEADER_TIMEOUT.min(keep_alive / 4);
        loop {
            if *stop.borrow_and_update() {
                stopped.get_or_insert_with(Instant::now);
                interval = STOP_TIMEOUT;
            }
            let (now, end) = (Instant::now(), self.times().end(keep_alive, stopped));
            if end <= now {
                return;
            }
            tokio::select! {
                () = sleep_until(end.min(now + interval)) => {}
                Ok(()) = stop.changed(), if stopped.is_none() => {}
            }
        }
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_read(&self) {
        let mut times = self.times();
        if times.under_way == 0 && !times.is_http2 {
            times.head.get_or_insert_with(Instant::now);
        }
    }

    fn note_write(&self, is_blocked: bool) {
        let mut times = self.times();
        if is_blocked {
            times.blocked.get_or_insert_with(Instant::now);
        } else {
            times.blocked = None;
        }
    }
}

/// A request that is under way.
#[derive(Debug)]
pub(super) struct Request(Activity);

impl Drop for Request {
    fn drop(&mut self) {
        let mut times = self.0.times();
        times.under_way = times.under_way.saturating_sub(1);
        times.changed = Instant::now();
    }
}

/// The body of an answer, with what is to be dropped when it was sent.
pub(super) struct Answer<T> {
    body: Body,
    _until_sent: T,
}

impl<T> Answer<T> {
    pub(super) fn new(body: Body, until_sent: T) -> Self {
        Self {
            body,
            _until_sent: until_sent,
        }
    }
}

impl<T: Unpin> HttpBody for Answer<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream whose activity is noted.
pub(super) struct Watched {
    stream: TcpStream,
    activity: Activity,
}

impl Watched {
    pub(super) fn new(stream: TcpStream, activity: Activity) -> Self {
        Self { stream, activity }
    }

    fn written<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.activity.note_write(result.is_pending());
        result
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.activity.note_read();
        }
        result
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
