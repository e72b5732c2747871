//! Sends the tokens of streams to their receivers (RFC 8935), in order: each until its receiver takes it or refuses it for good.
//!
//! Whoever sends to a stream has a lease on its row, and every step of the cursor is written on the condition that it still has it.
//! So replicas do not send to one stream at once, and a stream that its receiver changes is looked at anew before the next token.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde_json::Value;
use tokio::time::timeout;
use uuid::Uuid;

use super::signals::{self, SUPPORTED, Signal};
use crate::app::App;
use crate::domain::event::{Cursor, Event};
use crate::domain::event_stream::{Delivery, EventStream, StreamStatus};
use crate::error::{Chain, Error};
use crate::provisioning::keys::open_authorization_header;
use crate::store;
use crate::store::event_streams::Due;
use crate::store::events::{Events, Filter, Scope};

/// How long whoever has taken a stream may need. Then somebody else goes on.
const LEASE: TimeDelta = TimeDelta::seconds(60);
/// How long one sends to a stream before others have a turn. With a token that is under way, it is shorter than the lease.
const TURN: Duration = Duration::from_secs(20);
/// How long a receiver may take to answer.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long after the first failure the next try is; each time doubles it, up to ten minutes.
const FIRST_RETRY: TimeDelta = TimeDelta::seconds(1);
const LAST_RETRY: TimeDelta = TimeDelta::minutes(10);
/// To how many streams one process sends at once.
const AT_ONCE: usize = 64;
/// How many events are read at once.
const BATCH: usize = 100;
/// How often there is a look for more, while some are slow.
const LOOK: Duration = Duration::from_millis(500);

/// Sends what is due, and tells how many tokens were taken. A receiver that is slow holds up no other.
///
/// # Errors
///
/// As the database has them.
pub async fn deliver(app: &App) -> Result<u64, Error> {
    let mut under_way = FuturesUnordered::new();
    let mut count = 0;
    loop {
        let free = AT_ONCE - under_way.len();
        for due in list_due(app, free).await? {
            under_way.push(serve(app, due));
        }
        if under_way.is_empty() {
            return Ok(count);
        }
        if let Ok(Some(done)) = timeout(LOOK, under_way.next()).await {
            count += done;
        }
    }
}

async fn list_due(app: &App, free: usize) -> Result<Vec<Due>, Error> {
    if free == 0 {
        return Ok(vec![]);
    }
    let limit = i64::try_from(free).unwrap_or(i64::MAX);
    let mut db = app.store.acquire().await?;
    store::event_streams::list_due(&mut db, app.clock.now(), limit).await
}

/// Sends to one stream, and tells how many tokens its receiver took. After an error of the database, its lease ends by itself.
async fn serve(app: &App, due: Due) -> u64 {
    let mut turn = match Turn::take(app, due).await {
        Ok(Some(turn)) => turn,
        Ok(None) => return 0,
        Err(error) => {
            tracing::debug!(stream = %due.1, cause = %Chain(&error), "an event stream could not be taken");
            return 0;
        }
    };
    let end = turn.run().await;
    if let Err(error) = turn.end(end).await {
        tracing::warn!(stream = %due.1, organization = %due.0, cause = %Chain(&error), "sending to an event stream was interrupted");
    }
    turn.taken
}

/// Why one stops sending to a stream.
enum Stop {
    /// Somebody else has it, or its receiver changed it.
    Lost,
    /// There is no more now, or the turn is over.
    Done,
    /// Its receiver did not take a token.
    Failed(String),
    /// A fault.
    Fault(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Fault(error)
    }
}

struct Turn<'a> {
    app: &'a App,
    due: Due,
    lease: Uuid,
    stream: EventStream,
    endpoint_url: String,
    header: Option<HeaderValue>,
    begun: Instant,
    taken: u64,
}

impl<'a> Turn<'a> {
    async fn take(app: &'a App, due: Due) -> Result<Option<Self>, Error> {
        let (lease, now) = (app.new_id(), app.clock.now());
        let stream = {
            let mut db = app.store.acquire().await?;
            store::event_streams::take(&mut db, due, lease, now, now + LEASE).await?
        };
        let Some(stream) = stream else {
            return Ok(None);
        };
        let Delivery::Push { endpoint_url } = stream.settings.delivery.clone() else {
            return Ok(None);
        };
        Ok(Some(Self {
            app,
            due,
            lease,
            stream,
            endpoint_url,
            header: None,
            begun: Instant::now(),
            taken: 0,
        }))
    }

    async fn run(&mut self) -> Stop {
        let Err(stop) = self.send_all().await else {
            return Stop::Done;
        };
        stop
    }

    async fn end(&self, stop: Stop) -> Result<(), Error> {
        let again = match stop {
            Stop::Lost => return Ok(()),
            Stop::Done => None,
            Stop::Failed(why) => {
                let again = self.app.clock.now() + pause(self.stream.failures);
                tracing::info!(stream = %self.due.1, organization = %self.due.0, %why, %again, "the receiver of an event stream did not take a token");
                Some(again)
            }
            Stop::Fault(error) => {
                error.report();
                Some(self.app.clock.now() + pause(self.stream.failures))
            }
        };
        let mut db = self.app.store.acquire().await?;
        store::event_streams::release(&mut db, self.due, self.lease, self.app.clock.now(), again)
            .await
    }

    async fn send_all(&mut self) -> Result<(), Stop> {
        self.header = open_authorization_header(&self.app.keys, &self.stream)?;
        self.send_notices().await?;
        while self.stream.status == StreamStatus::Enabled {
            let (found, signals) = read(self.app, &self.stream, BATCH).await?;
            for (event, signals) in found.events.iter().zip(signals) {
                self.send_signals(signals).await?;
                self.advance(Some(found.cursor_behind(event))).await?;
                if self.begun.elapsed() > TURN {
                    return Ok(());
                }
            }
            self.advance(Some(found.cursor)).await?;
            if !found.has_more {
                return Ok(());
            }
        }
        Ok(())
    }

    /// What the stream tells of itself.
    async fn send_notices(&mut self) -> Result<(), Stop> {
        let notices = {
            let mut db = self.app.store.acquire().await?;
            store::event_streams::notices(&mut db, self.due.0, self.due.1).await?
        };
        let is_enabled = self.stream.status == StreamStatus::Enabled;
        for notice in notices {
            if !is_enabled && !notice.is_last_word {
                continue;
            }
            let token = signals::sign_notice(self.app, &self.stream, &notice).await?;
            self.send(token, &notice.id.to_string()).await?;
            let mut db = self.app.store.acquire().await?;
            store::event_streams::delete_notices(&mut db, self.due.0, self.due.1, &[notice.id])
                .await?;
            drop(db);
            self.advance(None).await?;
        }
        Ok(())
    }

    async fn send_signals(&mut self, signals: Vec<Signal>) -> Result<(), Stop> {
        for signal in signals {
            let token = signal.sign(self.app, &self.stream).await?;
            self.send(token, &signal.jti).await?;
        }
        Ok(())
    }

    async fn advance(&mut self, cursor: Option<Cursor>) -> Result<(), Stop> {
        let mut db = self.app.store.acquire().await?;
        let has =
            store::event_streams::advance(&mut db, self.due, self.lease, cursor.as_ref()).await?;
        self.stream.failures = 0;
        if let Some(cursor) = cursor {
            self.stream.cursor = cursor;
        }
        match has {
            true => Ok(()),
            false => Err(Stop::Lost),
        }
    }

    async fn send(&mut self, token: String, jti: &str) -> Result<(), Stop> {
        let mut request = http::Request::post(&self.endpoint_url)
            .header(CONTENT_TYPE, "application/secevent+jwt")
            .header(ACCEPT, "application/json");
        if let Some(header) = &self.header {
            request = request.header(AUTHORIZATION, header);
        }
        let request = request.body(token.into_bytes());
        let request = request.map_err(|error| Stop::Failed(error.to_string()))?;
        let answer = timeout(DEADLINE, self.app.outgoing.send(request)).await;
        let answer = answer.map_err(|_| Stop::Failed("it is too slow".to_owned()))?;
        let answer = answer.map_err(|error| Stop::Failed(error.to_string()))?;
        match answer.status().as_u16() {
            200 | 202 | 204 => self.taken += 1,
            400 if is_refusal(answer.body()) => {
                tracing::warn!(stream = %self.due.1, organization = %self.due.0, jti, "the receiver of an event stream refused a token for good");
            }
            status => {
                let why = format!("it answered with the status {status}");
                return Err(Stop::Failed(why));
            }
        }
        Ok(())
    }
}

/// Whether an answer says that the token is wrong (RFC 8935, section 2.3), and not that we are: that can be set right.
fn is_refusal(body: &[u8]) -> bool {
    let answer: Option<Value> = serde_json::from_slice(body).ok();
    let code = answer.as_ref().and_then(|answer| answer["err"].as_str());
    code.is_some_and(|code| !matches!(code, "authentication_failed" | "access_denied"))
}

fn pause(failures: i32) -> TimeDelta {
    let doublings = u32::try_from(failures).unwrap_or_default().min(15);
    (FIRST_RETRY * 2_i32.pow(doublings)).min(LAST_RETRY)
}

/// Reads the events behind a stream's cursor of which its receiver may hear, and the tokens that each becomes for it.
///
/// # Errors
///
/// As the database has them.
pub async fn read(
    app: &App,
    stream: &EventStream,
    size: usize,
) -> Result<(Events, Vec<Vec<Signal>>), Error> {
    let (organization_id, id) = (stream.organization_id, stream.id);
    let delivered = stream.settings.delivered(&SUPPORTED);
    let types = signals::kinds(&delivered);
    // There is no event of this type: without any, all would be read.
    let none = types.is_empty().then(|| vec![String::new()]);
    let filter = Filter {
        types: none.unwrap_or(types),
        ..Filter::default()
    };
    let scope = Scope::Organization(organization_id);
    let mut db = app.store.acquire().await?;
    let found = store::events::list(&mut db, scope, &stream.cursor, &filter, size).await?;
    if found.events.is_empty() {
        return Ok((found, vec![]));
    }
    let about = |event: &Event| [event.order_key, event.subject_id];
    let subjects: Vec<Uuid> = found.events.iter().flat_map(about).collect();
    let removed = store::event_streams::removed(&mut db, organization_id, id, &subjects).await?;
    let wanted = |event: &Event| {
        let mut signals = match about(event).iter().any(|id| removed.contains(id)) {
            true => vec![],
            false => signals::of(event, &app.public_url),
        };
        signals.retain(|signal| delivered.contains(&signal.event));
        signals
    };
    let signals = found.events.iter().map(wanted).collect();
    Ok((found, signals))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_refuses_a_token_and_not_its_sender() {
        assert!(is_refusal(br#"{"err":"invalid_audience"}"#));
        assert!(is_refusal(br#"{"err":"invalid_state","description":"x"}"#));
        assert!(!is_refusal(br#"{"err":"authentication_failed"}"#));
        assert!(!is_refusal(b"{}"));
        assert!(!is_refusal(b"no"));
    }

    #[test]
    fn pauses_grow_up_to_ten_minutes() {
        let pauses = [0, 1, 5, 9, 10, 1_000].map(|failures| pause(failures).num_seconds());
        assert_eq!(pauses, [1, 2, 32, 512, 600, 600]);
    }
}
