//! What a receiver gets that asks for its tokens (RFC 8936). A token comes again until it is acknowledged. The cursor of the stream
//! stands before the oldest one that is not, and the row of the stream has the identifiers of those behind it that are.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::push;
use super::signals;
use crate::app::App;
use crate::domain::event::Cursor;
use crate::domain::event_stream::{EventStream, Notice, StreamStatus};
use crate::domain::ids::{EventStreamId, OrganizationId};
use crate::error::Error;
use crate::store;
use crate::store::events::Events;

/// How many events behind the cursor are looked at: whoever does not acknowledge the first gets no further.
const WINDOW: usize = 500;
/// How often an acknowledgement is written anew that somebody overtook.
const TRIES: usize = 3;

/// The tokens of one answer.
#[derive(Debug, Default)]
pub struct Batch {
    /// Each with its identifier.
    pub sets: Vec<(String, String)>,
    /// Whether there are more already.
    pub has_more: bool,
}

/// Notes which tokens a receiver has taken, or refused for good.
///
/// # Errors
///
/// [`Error::NotFound`] when the organization has no such stream.
pub async fn acknowledge(
    app: &App,
    organization_id: OrganizationId,
    id: EventStreamId,
    names: &BTreeSet<String>,
) -> Result<(), Error> {
    if names.is_empty() {
        return Ok(());
    }
    let own: Vec<Uuid> = names.iter().filter_map(|name| name.parse().ok()).collect();
    {
        let mut db = app.store.acquire().await?;
        store::event_streams::get(&mut db, organization_id, id).await?;
        store::event_streams::delete_notices(&mut db, organization_id, id, &own).await?;
    }
    for _ in 0..TRIES {
        if acknowledge_once(app, organization_id, id, names).await? {
            return Ok(());
        }
    }
    // Others went on all the time. What is acknowledged here comes again.
    Ok(())
}

/// Tells `false` when somebody wrote meanwhile.
async fn acknowledge_once(
    app: &App,
    organization_id: OrganizationId,
    id: EventStreamId,
    names: &BTreeSet<String>,
) -> Result<bool, Error> {
    let stream = {
        let mut db = app.store.acquire().await?;
        store::event_streams::get(&mut db, organization_id, id).await?
    };
    let (found, signals) = push::read(app, &stream, WINDOW).await?;
    let steps = found.events.iter().zip(signals).map(|(event, signals)| {
        let names: Vec<String> = signals.into_iter().map(|signal| signal.jti).collect();
        (found.cursor_behind(event), names)
    });
    let taken: BTreeSet<&String> = stream.taken.iter().chain(names).collect();
    let (cursor, left) = walk(&stream, &found, steps.collect(), &taken);
    let mut db = app.store.acquire().await?;
    store::event_streams::set_taken(&mut db, &stream, &cursor, &left).await
}

/// Where a stream is of which these tokens are taken, and those of them that are behind that.
fn walk(
    stream: &EventStream,
    found: &Events,
    steps: Vec<(Cursor, Vec<String>)>,
    taken: &BTreeSet<&String>,
) -> (Cursor, Vec<String>) {
    let mut cursor = stream.cursor.clone();
    let mut left = vec![];
    let mut is_whole = true;
    for (behind, names) in steps {
        is_whole = is_whole && names.iter().all(|name| taken.contains(name));
        match is_whole {
            true => cursor = behind,
            false => left.extend(names.into_iter().filter(|name| taken.contains(name))),
        }
    }
    match is_whole {
        true => (found.cursor.clone(), left),
        false => (cursor, left),
    }
}

/// The next tokens, up to `most`.
///
/// # Errors
///
/// [`Error::NotFound`] when the organization has no such stream.
pub async fn next(
    app: &App,
    organization_id: OrganizationId,
    id: EventStreamId,
    most: usize,
) -> Result<Batch, Error> {
    let (stream, notices) = {
        let mut db = app.store.acquire().await?;
        let stream = store::event_streams::get(&mut db, organization_id, id).await?;
        let notices = store::event_streams::notices(&mut db, organization_id, id).await?;
        (stream, notices)
    };
    let mut batch = Batch::default();
    add_notices(app, &stream, notices, most, &mut batch).await?;
    if stream.status == StreamStatus::Enabled {
        add_events(app, &stream, most, &mut batch).await?;
    }
    Ok(batch)
}

async fn add_notices(
    app: &App,
    stream: &EventStream,
    notices: Vec<Notice>,
    most: usize,
    batch: &mut Batch,
) -> Result<(), Error> {
    let is_enabled = stream.status == StreamStatus::Enabled;
    for notice in notices {
        if !is_enabled && !notice.is_last_word {
            continue;
        }
        if batch.sets.len() == most {
            batch.has_more = true;
            return Ok(());
        }
        let token = signals::sign_notice(app, stream, &notice).await?;
        batch.sets.push((notice.id.to_string(), token));
    }
    Ok(())
}

async fn add_events(
    app: &App,
    stream: &EventStream,
    most: usize,
    batch: &mut Batch,
) -> Result<(), Error> {
    let (found, signals) = push::read(app, stream, WINDOW).await?;
    for signal in signals.into_iter().flatten() {
        if stream.taken.contains(&signal.jti) {
            continue;
        }
        if batch.sets.len() == most {
            batch.has_more = true;
            return Ok(());
        }
        let token = signal.sign(app, stream).await?;
        batch.sets.push((signal.jti, token));
    }
    let is_further = found.cursor.seq != stream.cursor.seq || !found.events.is_empty();
    if batch.sets.is_empty() && (is_further || found.has_more) {
        // Nothing of all that is for this receiver: it is not read again.
        let mut db = app.store.acquire().await?;
        store::event_streams::set_taken(&mut db, stream, &found.cursor, &[]).await?;
        batch.has_more |= found.has_more;
    }
    Ok(())
}
