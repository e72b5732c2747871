//! `WatchEvents`: the changes of an organization as they happen. They are read from the audit log, which every change is in.
//!
//! An entry has its identifier before its transaction ends, so that one may appear among others that are older. For some time,
//! older ones are looked for again. A client that asks again with a cursor is told first what that time had before the cursor.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use connectrpc::{ConnectError, ServiceStream};
use futures_util::stream;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::api::authentication::Again;
use crate::api::enums;
use crate::api::handler::parse_ids;
use crate::app::App;
use crate::domain::identity::{Caller, Reader};
use crate::error::{Error, Violation};
use crate::store::audit::{self, Change};
use proto::gitpod::v1::watch_events_request::Scope;
use proto::gitpod::v1::{ResourceOperation, ResourceType, WatchEventsRequest, WatchEventsResponse};

/// How long after an entry has its identifier it may appear: longer than its transaction takes.
const LATE: TimeDelta = TimeDelta::seconds(90);
/// How long a look waits for the next.
const PAUSE: Duration = Duration::from_secs(1);
/// After how many looks the entries that came late are looked for, and whether the caller still has access.
const ROUND: u32 = 5;
/// How long a caller is believed to have access.
const CHECK: TimeDelta = TimeDelta::seconds(5);
/// How many events are sent ahead of a client that reads slowly.
const AHEAD: usize = 64;
/// How many entries are read at once.
const BATCH: u32 = 500;

/// `WatchEvents`.
pub async fn watch(
    app: &Arc<App>,
    caller: Reader<'_>,
    again: Option<Again>,
    request: WatchEventsRequest,
) -> Result<ServiceStream<WatchEventsResponse>, Error> {
    if let Some(Scope::EnvironmentId(_)) = &request.scope {
        return Err(Error::invalid(
            "environment_id",
            Violation::SCOPE,
            "must be left out: there are no environments here, so set organization to true",
        ));
    }
    let filter = filter(&request)?;
    let cursor = cursor(&request.after)?;
    let is_of_future = cursor.is_some_and(|id| id >= audit::first_id(app.clock.now() + LATE));
    if is_of_future {
        return Err(no_cursor());
    }
    let watch = Watch {
        app: app.clone(),
        caller: *caller,
        again: again.ok_or(Error::Unauthenticated)?,
        filter,
        last: match cursor {
            Some(id) => audit::before(id, LATE),
            None => audit::first_id(app.clock.now()),
        },
        told: HashSet::new(),
        ready: vec![],
        looks: 0,
        looked_at: app.clock.now(),
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

fn cursor(text: &str) -> Result<Option<Uuid>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    Uuid::try_parse(text).map(Some).map_err(|_| no_cursor())
}

fn no_cursor() -> Error {
    Error::invalid(
        "after",
        Violation::PAGE_TOKEN,
        "must be the cursor of an event; leave it out to begin now",
    )
}

/// The kinds of things to tell of, and of each which; nothing for all.
type Filter = HashMap<String, HashSet<Uuid>>;

fn filter(request: &WatchEventsRequest) -> Result<Filter, Error> {
    let mut filter = Filter::new();
    for wanted in &request.resource_type_filters {
        let ids: Vec<Uuid> = parse_ids("resource_type_filters.resource_ids", &wanted.resource_ids)?;
        let kind = enums::name(&wanted.resource_type);
        filter.entry(kind).or_default().extend(ids);
    }
    Ok(filter)
}

struct Watch {
    app: Arc<App>,
    caller: Caller,
    again: Again,
    filter: Filter,
    /// What was read last: newer entries are read next.
    last: Uuid,
    /// The entries that were read, of the time in which others may still appear late.
    told: HashSet<Uuid>,
    /// What is read and not sent.
    ready: Vec<Change>,
    looks: u32,
    /// When the caller was last seen to have access.
    looked_at: DateTime<Utc>,
}

impl Watch {
    /// Sends events until nobody reads them any more, the caller has no access, or the server is about to stop: the client asks
    /// another one.
    async fn run(mut self, sender: mpsc::Sender<Result<WatchEventsResponse, ConnectError>>) {
        while !self.app.is_stopping.load(Ordering::Relaxed) {
            let has_more = match self.look().await {
                Ok(has_more) => has_more,
                Err(error) => {
                    error.report();
                    let _ = sender.send(Err(error.into())).await;
                    return;
                }
            };
            for change in self.ready.drain(..) {
                if sender.send(Ok(wire(&change))).await.is_err() {
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
    async fn look(&mut self) -> Result<bool, Error> {
        let now = self.app.clock.now();
        self.looks += 1;
        let is_round = self.looks.is_multiple_of(ROUND);
        if is_round || now >= self.looked_at + CHECK {
            self.looked_at = now;
            let caller = self.again.caller(&self.app).await?;
            if caller.organization_id != self.caller.organization_id {
                return Err(Error::Unauthenticated);
            }
        }
        let oldest = audit::first_id(now - LATE);
        if is_round {
            self.told.retain(|id| *id >= oldest);
            let (mut behind, mut has_more) = (oldest, self.last > oldest);
            while has_more {
                (behind, has_more) = self.read(oldest, behind, Some(self.last)).await?;
            }
        }
        let (behind, has_more) = self.read(oldest, self.last, None).await?;
        self.last = behind;
        Ok(has_more)
    }

    /// Reads some entries behind one, up to another, that were not read before. Tells the last of them, and whether there are more.
    async fn read(
        &mut self,
        oldest: Uuid,
        behind: Uuid,
        up_to: Option<Uuid>,
    ) -> Result<(Uuid, bool), Error> {
        let organization_id = self.caller.organization_id;
        let mut db = self.app.store.acquire().await?;
        let found = audit::changes(&mut db, organization_id, behind, up_to, BATCH).await?;
        drop(db);
        let last = found.items.last().map_or(behind, |change| change.id);
        for change in found.items {
            // What is older cannot appear again.
            let is_new = change.id < oldest || self.told.insert(change.id);
            if is_new && self.is_wanted(&change) {
                self.ready.push(change);
            }
        }
        Ok((last, found.has_more))
    }

    fn is_wanted(&self, change: &Change) -> bool {
        let wanted = self.filter.get(&change.subject_type);
        let is_named = |ids: &HashSet<Uuid>| ids.is_empty() || ids.contains(&change.subject_id);
        self.filter.is_empty() || wanted.is_some_and(is_named)
    }
}

fn wire(change: &Change) -> WatchEventsResponse {
    WatchEventsResponse {
        operation: operation(&change.action).into(),
        resource_type: enums::of_name::<ResourceType>(&change.subject_type).into(),
        resource_id: change.subject_id.to_string(),
        cursor: change.id.to_string(),
        ..Default::default()
    }
}

fn operation(action: &str) -> ResourceOperation {
    let begins = |words: &[&str]| words.iter().any(|word| action.starts_with(word));
    if begins(&["SetUserStatus", "SetSuspended", "LeaveOrganization"]) {
        ResourceOperation::RESOURCE_OPERATION_UPDATE_STATUS
    } else if begins(&["Create", "JoinOrganization"]) {
        ResourceOperation::RESOURCE_OPERATION_CREATE
    } else if begins(&["Delete"]) {
        ResourceOperation::RESOURCE_OPERATION_DELETE
    } else {
        ResourceOperation::RESOURCE_OPERATION_UPDATE
    }
}
