//! A call, and what came of it.

use std::time::{Duration, Instant};

use http::header::RETRY_AFTER;

use crate::app::App;

/// How much of an answer is kept, in bytes.
const MAX_ANSWER: usize = 1024;
/// How long a receiver may ask to be left alone.
const LONGEST_BREAK: Duration = Duration::from_secs(3600);

/// What came of a call.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    /// Whether the event was taken.
    pub is_taken: bool,
    /// Whether nobody is there to take any more.
    pub is_gone: bool,
    /// The status of the answer, if there was one.
    pub http_status: Option<u16>,
    /// How long it took.
    pub milliseconds: u32,
    /// The beginning of the answer, or why there was none.
    pub answer: String,
    /// How long the receiver asks to be left alone.
    pub retry_after: Option<Duration>,
}

impl Sent {
    /// How long nobody is to call the receiver, whatever there is to tell: it has too much to do.
    pub fn asks_for_break(&self) -> Option<Duration> {
        let is_busy = matches!(self.http_status, Some(429 | 503));
        self.retry_after.filter(|_| is_busy)
    }

    /// What could not be sent, and why.
    pub fn unsent(why: String) -> Self {
        Self {
            answer: why,
            ..Self::default()
        }
    }
}

/// Sends a request, and reads the beginning of the answer.
pub async fn exchange(app: &App, request: http::Request<Vec<u8>>) -> Sent {
    let begun = Instant::now();
    let answer = app.outgoing.send_briefly(request, MAX_ANSWER).await;
    let milliseconds = u32::try_from(begun.elapsed().as_millis()).unwrap_or(u32::MAX);
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            return Sent {
                milliseconds,
                ..Sent::unsent(error.to_string())
            };
        }
    };
    let status = answer.status();
    let break_asked = answer.headers().get(RETRY_AFTER);
    let break_asked = break_asked.and_then(|value| value.to_str().ok()?.parse().ok());
    Sent {
        is_taken: status.is_success(),
        is_gone: status == http::StatusCode::GONE,
        http_status: Some(status.as_u16()),
        milliseconds,
        answer: String::from_utf8_lossy(answer.body()).replace('\0', "\u{fffd}"),
        retry_after: break_asked.map(|time| Duration::from_secs(time).min(LONGEST_BREAK)),
    }
}
