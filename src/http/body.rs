//! The body of a request, whichever door reads it: the time that it may take, and what is done with the body of a
//! request that is refused.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use http::{HeaderValue, StatusCode, header};
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

/// How much a refused client may still send, in bytes, and for how long.
const DRAIN_LIMIT: usize = 1024 * 1024;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the body of a request may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Answers 408 when the body of a request takes too long.
pub async fn bound(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let is_late = Arc::new(AtomicBool::new(false));
    let end = Instant::now() + BODY_TIMEOUT;
    let request = request.map(|body| {
        Body::new(Timed {
            body,
            end,
            sleep: None,
            is_late: is_late.clone(),
        })
    });
    let response = next.run(request).await;
    if is_late.load(Ordering::Relaxed) {
        return late();
    }
    response
}

/// Reads what a refused client still sends, and keeps none of it: or the client could find its
/// connection closed instead of the answer.
pub async fn drain(body: Body) {
    let mut chunks = body.into_data_stream();
    let read = async {
        let mut left = DRAIN_LIMIT;
        while let Some(Ok(chunk)) = chunks.next().await {
            match left.checked_sub(chunk.len()) {
                Some(rest) => left = rest,
                None => break,
            }
        }
    };
    let _ = timeout(DRAIN_TIMEOUT, read).await;
}

fn late() -> Response {
    let text = format!(
        "the body of the request did not arrive within {} seconds: send it again",
        BODY_TIMEOUT.as_secs()
    );
    let close = (header::CONNECTION, HeaderValue::from_static("close"));
    (StatusCode::REQUEST_TIMEOUT, [close], text).into_response()
}

struct Timed {
    body: Body,
    end: Instant,
    /// From when there is something to wait for.
    sleep: Option<Pin<Box<Sleep>>>,
    is_late: Arc<AtomicBool>,
}

impl HttpBody for Timed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        let end = self.end;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(end)));
        ready!(sleep.as_mut().poll(context));
        self.is_late.store(true, Ordering::Relaxed);
        let error = std::io::Error::from(std::io::ErrorKind::TimedOut);
        Poll::Ready(Some(Err(axum::Error::new(error))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
