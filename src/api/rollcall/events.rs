//! `EventService`: the log of events, from a cursor on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use buffa_types::google::protobuf::Struct;
use chrono::{DateTime, TimeDelta, Utc};
use connectrpc::{ConnectError, ServiceStream};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::api::authentication::Again;
use crate::api::handler::{Owner, moment, parse_ids, timestamp};
use crate::app::App;
use crate::domain::application::installation;
use crate::domain::event::{Cursor, Event};
use crate::domain::identity::Reader;
use crate::error::{Error, Violation};
use crate::events::log;
use crate::store::events::{self, Events, Filter, Scope};
use crate::store::subjects::{self, Place, Table};
use proto::rollcall::v1::{
    Event as WireEvent, EventActor, ListEventsRequest, ListEventsResponse, ListSubjectsRequest,
    ListSubjectsResponse, Subject, WatchEventsRequest, WatchEventsResponse,
};

/// The events of a page that asked for no number.
const DEFAULT_SIZE: usize = 100;
/// How long a stream that has sent everything waits before it looks again.
const PAUSE: Duration = Duration::from_millis(200);
/// How often a stream says where the reader is, when nothing happens.
const BEAT: Duration = Duration::from_secs(15);
/// How long a caller is believed to have access.
const CHECK: TimeDelta = TimeDelta::seconds(5);
/// How many events are sent ahead of a client that reads slowly.
const AHEAD: usize = 64;
/// How many events are read at once.
const BATCH: usize = 500;

/// `ListEvents`. Two round trips.
pub async fn list(
    app: &App,
    caller: Owner<Reader<'_>>,
    request: ListEventsRequest,
) -> Result<ListEventsResponse, Error> {
    let filter = filter(&request.types, &request.subject_ids)?;
    let start = moment("start_time", request.start_time.as_option())?;
    let scope = scope(app, &caller)?;
    let cursor = match &*request.cursor {
        "" => log::first(app, scope, start).await?,
        text => log::cursor(app, text)?,
    };
    let size = size(request.page_size);
    let mut db = app.store.acquire().await?;
    let found = events::list(&mut db, scope, &cursor, &filter, size).await?;
    Ok(ListEventsResponse {
        events: found.events.into_iter().map(wire).collect(),
        cursor: found.cursor.to_string(),
        has_more: found.has_more,
        ..Default::default()
    })
}

fn size(asked: i32) -> usize {
    match usize::try_from(asked) {
        Ok(0) | Err(_) => DEFAULT_SIZE,
        Ok(size) => size,
    }
}

fn scope(app: &App, caller: &Owner<Reader<'_>>) -> Result<Scope, Error> {
    match caller {
        Owner::Administrator(caller) => Ok(Scope::Organization(caller.organization_id)),
        Owner::Operator(_) if app.store.is_distributed() => Err(Error::FailedPrecondition(
            "with a database on several machines, the events of all organizations have no order: name an organization in the header Rollcall-Organization"
                .to_owned(),
        )),
        Owner::Operator(_) => Ok(Scope::All),
    }
}

fn filter(types: &[String], subjects: &[String]) -> Result<Filter, Error> {
    Ok(Filter {
        types: types.to_vec(),
        subjects: parse_ids("subject_ids", subjects)?,
    })
}

fn wire(event: Event) -> WireEvent {
    let of_installation = event.organization_id == installation();
    let actor = event.actor_kind.as_ref().map(|kind| EventActor {
        r#type: kind.clone(),
        id: event.actor_id.unwrap_or_default().to_string(),
        ..Default::default()
    });
    WireEvent {
        id: event.id().to_string(),
        organization_id: match of_installation {
            true => String::new(),
            false => event.organization_id.to_string(),
        },
        time: timestamp(event.time).into(),
        subject_type: event.subject_type().to_owned(),
        subject_id: event.subject_id.to_string(),
        r#type: event.kind,
        data: object(event.data).into(),
        previous: object(event.previous).into(),
        actor: actor.into(),
        ..Default::default()
    }
}

fn object(value: Value) -> Option<Struct> {
    serde_json::from_value(value).ok()
}

/// `WatchEvents`.
pub async fn watch(
    app: &Arc<App>,
    caller: Owner<Reader<'_>>,
    again: Option<Again>,
    request: WatchEventsRequest,
) -> Result<ServiceStream<WatchEventsResponse>, Error> {
    let scope = scope(app, &caller)?;
    let filter = filter(&request.types, &request.subject_ids)?;
    let cursor = match &*request.cursor {
        "" => {
            let mut db = app.store.acquire().await?;
            events::now(&mut db, scope).await?
        }
        text => log::cursor(app, text)?,
    };
    let watch = Watch {
        app: app.clone(),
        scope,
        again: again.ok_or(Error::Unauthenticated)?,
        filter,
        cursor,
        looked_at: app.clock.now(),
        told_at: Instant::now(),
    };
    // A task of its own, which goes on when the client does not read: in the middle of a query, it has a connection.
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::spawn(watch.run(sender));
    let receive = |mut receiver: mpsc::Receiver<_>| async move {
        let event = receiver.recv().await?;
        Some((event, receiver))
    };
    Ok(Box::pin(stream::unfold(receiver, receive)))
}

struct Watch {
    app: Arc<App>,
    scope: Scope,
    again: Again,
    filter: Filter,
    cursor: Cursor,
    /// When the caller was last seen to have access.
    looked_at: DateTime<Utc>,
    /// When something was sent last.
    told_at: Instant,
}

impl Watch {
    /// Sends events until nobody reads them any more, the caller has no access, or the server is about to stop: the client asks
    /// another one.
    async fn run(mut self, sender: mpsc::Sender<Result<WatchEventsResponse, ConnectError>>) {
        while !self.app.is_stopping.load(Ordering::Relaxed) {
            let (told, has_more) = match self.look().await {
                Ok(found) => found,
                Err(error) => {
                    error.report();
                    let _ = sender.send(Err(error.into())).await;
                    return;
                }
            };
            for response in told {
                if sender.send(Ok(response)).await.is_err() {
                    return;
                }
            }
            let pause = if has_more { Duration::ZERO } else { PAUSE };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = sender.closed() => return,
            }
        }
    }

    /// Reads the next events, and tells whether there are more already.
    async fn look(&mut self) -> Result<(Vec<WatchEventsResponse>, bool), Error> {
        let now = self.app.clock.now();
        if now >= self.looked_at + CHECK {
            self.looked_at = now;
            let is_same = match self.again.owner(&self.app).await? {
                Some(organization_id) => self.scope == Scope::Organization(organization_id),
                None => self.scope == Scope::All,
            };
            if !is_same {
                return Err(Error::Unauthenticated);
            }
        }
        let mut db = self.app.store.acquire().await?;
        let found = events::list(&mut db, self.scope, &self.cursor, &self.filter, BATCH).await?;
        drop(db);
        let has_more = found.has_more;
        let told = self.tell(found);
        if !told.is_empty() {
            self.told_at = Instant::now();
        }
        Ok((told, has_more))
    }

    /// Each event with the cursor behind it; without events, now and then where the reader is.
    fn tell(&mut self, found: Events) -> Vec<WatchEventsResponse> {
        let response = |event: Option<&Event>, cursor: &Cursor| WatchEventsResponse {
            event: event.cloned().map(wire).into(),
            cursor: cursor.to_string(),
            ..Default::default()
        };
        let told = found
            .events
            .iter()
            .map(|event| response(Some(event), &found.cursor_behind(event)));
        let mut told: Vec<_> = told.collect();
        if told.is_empty() && self.told_at.elapsed() >= BEAT {
            told.push(response(None, &found.cursor));
        }
        self.cursor = found.cursor;
        told
    }
}

/// Where a reader of `ListSubjects` is.
#[derive(Serialize, Deserialize)]
struct PageToken {
    table: String,
    configuration: Uuid,
    group: Uuid,
    id: String,
    cursor: Cursor,
}

impl PageToken {
    fn parse(text: &str) -> Option<(Table, Place, Cursor)> {
        let json = URL_SAFE_NO_PAD.decode(text).ok()?;
        let token: Self = serde_json::from_slice(&json).ok()?;
        let place = Place {
            configuration: token.configuration,
            group: token.group,
            id: token.id,
        };
        Some((token.table.parse().ok()?, place, token.cursor))
    }

    fn text(table: Table, place: Place, cursor: &Cursor) -> Result<String, Error> {
        let token = Self {
            table: table.to_string(),
            configuration: place.configuration,
            group: place.group,
            id: place.id,
            cursor: cursor.clone(),
        };
        let json = serde_json::to_vec(&token).map_err(Error::internal)?;
        Ok(URL_SAFE_NO_PAD.encode(json))
    }
}

/// `ListSubjects`. Two round trips, three for the first page, and one more where a table ends.
pub async fn list_subjects(
    app: &App,
    caller: Reader<'_>,
    request: ListSubjectsRequest,
) -> Result<ListSubjectsResponse, Error> {
    let organization_id = caller.organization_id;
    let size = size(request.page_size);
    let (mut table, mut place, cursor) = match &*request.page_token {
        "" => {
            let mut db = app.store.acquire().await?;
            let cursor = events::now(&mut db, Scope::Organization(organization_id)).await?;
            (Table::ALL[0], Place::default(), cursor)
        }
        text => PageToken::parse(text).ok_or_else(no_page)?,
    };
    let mut subjects = vec![];
    let mut db = app.store.acquire().await?;
    let next = loop {
        let left = u32::try_from(size - subjects.len()).unwrap_or_default();
        let found = subjects::list(&mut db, organization_id, table, &place, left).await?;
        if let Some(last) = found.items.last() {
            place = last.place();
        }
        subjects.extend(found.items.into_iter().map(|subject| Subject {
            r#type: table.noun().to_owned(),
            id: subject.id.to_string(),
            data: object(subject.data).into(),
            ..Default::default()
        }));
        if found.has_more {
            break Some((table, place));
        }
        let following = Table::ALL.iter().position(|one| *one == table);
        let following = following.and_then(|at| Table::ALL.get(at + 1));
        let Some(next) = following else {
            break None;
        };
        (table, place) = (*next, Place::default());
        if subjects.len() == size {
            break Some((table, place));
        }
    };
    let next = next.map(|(table, place)| PageToken::text(table, place, &cursor));
    Ok(ListSubjectsResponse {
        subjects,
        next_page_token: next.transpose()?.unwrap_or_default(),
        cursor: cursor.to_string(),
        ..Default::default()
    })
}

fn no_page() -> Error {
    Error::invalid(
        "page_token",
        Violation::PAGE_TOKEN,
        "must be the next_page_token of an answer of ListSubjects, as it was; leave it out to begin",
    )
}
