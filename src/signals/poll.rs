//! `POST /ssf/poll/{stream_id}`: a receiver asks for its tokens (RFC 8936).

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};

use super::error::Failure;
use super::request::{Asked, object, stream_id};
use crate::domain::ids::EventStreamId;
use crate::events::poll::{Batch, acknowledge, next};

/// The most tokens of an answer, and how many there are where none is asked for.
const MAX_EVENTS: usize = 100;
/// The most tokens that one request takes.
const MAX_TAKEN: usize = 1_000;
/// How long a receiver waits for the next token that does not want an answer at once, and how often there is a look.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(500);

/// Answers with tokens.
pub async fn poll(asked: Asked, Path(id): Path<String>, body: Bytes) -> Response {
    let polled = poll_stream(&asked, &id, &body).await;
    asked.answer(polled.map(|batch| Json(wire(batch)).into_response()))
}

async fn poll_stream(asked: &Asked, id: &str, body: &[u8]) -> Result<Batch, Failure> {
    asked.reader()?;
    let request = Request::read(body)?;
    let (app, organization_id, id) = (&asked.app, asked.organization_id(), stream_id(id)?);
    if !request.taken.is_empty() {
        asked.writer()?;
    }
    acknowledge(app, organization_id, id, &request.taken).await?;
    if !request.refused.is_empty() {
        tracing::warn!(stream = %id, organization = %organization_id, refused = ?request.refused, "the receiver of an event stream refused tokens");
    }
    if request.most == 0 {
        // That there is such a stream is looked up nevertheless.
        let found = next(app, organization_id, id, 0).await?;
        return Ok(Batch {
            sets: vec![],
            ..found
        });
    }
    wait(asked, id, &request).await
}

async fn wait(asked: &Asked, id: EventStreamId, request: &Request) -> Result<Batch, Failure> {
    let (app, organization_id) = (&asked.app, asked.organization_id());
    let begun = Instant::now();
    loop {
        let batch = next(app, organization_id, id, request.most).await?;
        let is_over = request.is_immediate
            || begun.elapsed() >= PATIENCE
            || app.is_stopping.load(Ordering::Relaxed);
        if !batch.sets.is_empty() || is_over {
            if begun.elapsed() >= LOOK {
                asked.check_again().await?;
            }
            return Ok(batch);
        }
        if !batch.has_more {
            sleep(LOOK).await;
        }
    }
}

fn wire(batch: Batch) -> Value {
    let sets = batch
        .sets
        .into_iter()
        .map(|(name, token)| (name, json!(token)));
    let sets: Map<String, Value> = sets.collect();
    json!({ "sets": sets, "moreAvailable": batch.has_more })
}

struct Request {
    most: usize,
    is_immediate: bool,
    /// The tokens that need not come again, also those that are refused.
    taken: BTreeSet<String>,
    /// What is said of those that are refused, without words of the receiver's own.
    refused: Vec<String>,
}

impl Request {
    fn read(body: &[u8]) -> Result<Self, Failure> {
        let body = match body.is_empty() {
            true => json!({}),
            false => object(body)?,
        };
        let property = |name: &str| body.get(name).filter(|value| !value.is_null());
        let most = property("maxEvents").map(|most| {
            let most = most.as_u64().and_then(|most| usize::try_from(most).ok());
            most.ok_or_else(|| Failure::request("maxEvents must be a number, 0 or more"))
        });
        let is_immediate = property("returnImmediately").map(|value| {
            let value = value.as_bool();
            value.ok_or_else(|| Failure::request("returnImmediately must be true or false"))
        });
        let mut taken = names(property("ack"))?;
        let refused = match property("setErrs") {
            None => vec![],
            Some(Value::Object(refused)) => refused.keys().cloned().collect(),
            Some(_) => {
                return Err(Failure::request(
                    "setErrs must be an object with an error for each identifier",
                ));
            }
        };
        taken.extend(refused.iter().cloned());
        if taken.len() > MAX_TAKEN {
            return Err(Failure::request(format!(
                "a request acknowledges up to {MAX_TAKEN} tokens"
            )));
        }
        Ok(Self {
            most: most.transpose()?.unwrap_or(MAX_EVENTS).min(MAX_EVENTS),
            is_immediate: is_immediate.transpose()?.unwrap_or(false),
            taken,
            refused: refused.into_iter().filter(|name| is_name(name)).collect(),
        })
    }
}

fn names(list: Option<&Value>) -> Result<BTreeSet<String>, Failure> {
    let wrong = || Failure::request("ack must be an array of identifiers of tokens");
    let Some(list) = list else {
        return Ok(BTreeSet::new());
    };
    let names = list.as_array().ok_or_else(wrong)?.iter();
    let names: Option<BTreeSet<String>> =
        names.map(|name| name.as_str().map(str::to_owned)).collect();
    names.ok_or_else(wrong)
}

/// Whether a text may be the identifier of a token of ours: any other is not for the log.
fn is_name(text: &str) -> bool {
    text.len() <= 40
        && text
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}
