//! Reading the log of events from a cursor on.

use chrono::{DateTime, Utc};

use crate::app::App;
use crate::domain::event::Cursor;
use crate::error::{Error, Violation};
use crate::store;
use crate::store::events::Scope;

/// Reads the cursor of a request.
///
/// # Errors
///
/// [`Error::Invalid`] on `cursor` for what is none, and for one behind which events are deleted.
pub fn cursor(app: &App, text: &str) -> Result<Cursor, Error> {
    let cursor = Cursor::parse(text).ok_or_else(|| {
        Error::invalid(
            "cursor",
            Violation::PAGE_TOKEN,
            "must be the cursor of an answer of EventService, as it was; leave it out to begin with the oldest event",
        )
    })?;
    if cursor.time < app.clock.now() - app.kept.events {
        let hours = app.kept.events.num_hours();
        return Err(Error::FailedPrecondition(format!(
            "the cursor is too old: events are kept for {hours} hours, and some behind it are deleted. Start over: read everything with EventService.ListSubjects, and go on with the cursor that it returns"
        )));
    }
    Ok(cursor)
}

/// Where a reader is that asks for the first time: before everything that is kept, or what happened from a moment on.
///
/// # Errors
///
/// As the database has them.
pub async fn first(app: &App, scope: Scope, start: Option<DateTime<Utc>>) -> Result<Cursor, Error> {
    let mut cursor = Cursor::beginning(app.clock.now());
    if let Some(start) = start {
        let mut db = app.store.acquire().await?;
        cursor.seq = store::events::place_of(&mut db, scope, start).await?;
    }
    Ok(cursor)
}
