//! Events are sent: to webhooks, and to applications that hear of sessions that ended. Each of these reads the log for itself, from a
//! cursor that is kept in the database. One process at a time reads for it, under a lease; when the process dies, another goes on
//! after [`LEASE`], and sends again what was not noted yet. So everything is sent at least once.
//!
//! Events with the same key are sent one after the other. One that is not taken becomes a row that waits, and with it those behind it;
//! the cursor goes on, so that nothing else waits for it. When nothing is taken any more, nothing more is read: the log keeps it.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use chrono::DateTime;
use futures_util::future::{BoxFuture, FutureExt, try_join_all};
use futures_util::stream::{FuturesUnordered, StreamExt};
use uuid::Uuid;

use super::call::Sent;
use super::lines::{Item, Lines};
use super::share::{Share, Shared};
use super::target::Target;
use crate::app::App;
use crate::domain::application::installation;
use crate::domain::event::{Cursor, Event};
use crate::domain::ids::OrganizationId;
use crate::error::{Chain, Error};
use crate::store;
use crate::store::deliveries::{Status, Waiting};
use crate::store::events::{Filter, Scope};
use crate::store::receivers::{Claimed, Key, Note, State};

/// How long another process waits for one that says nothing, in seconds.
pub const LEASE: f64 = 6.0;
/// How often a process says that it goes on.
const BEAT: Duration = Duration::from_secs(1);
/// How long what became of events may be unnoted: so much is sent twice when the process dies.
const FLUSH: Duration = Duration::from_millis(100);
/// How many of them may be.
const NOTES: usize = 500;
/// How often the log is read behind its end, and for how long after the last event.
const POLL: Duration = Duration::from_millis(150);
const LINGER: Duration = Duration::from_secs(2);
/// How many events are read at once, and how many may be read and not sent.
const PAGE: usize = 500;
const AHEAD: usize = 1_000;
/// In how many pages behind a cursor there may be events that are noted: as many as were read ahead, and one that had begun.
const CHECKED: u32 = 4;
/// How many events are remembered that wait.
const WAITING: usize = 10_000;
/// After how many calls in a row that failed nothing more is read, and how long the pauses between calls are then.
const DOWN: u32 = 10;
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LAST_PAUSE: Duration = Duration::from_secs(300);
/// How long after the first call of an event the second is; each doubles it.
const FIRST_RETRY: Duration = Duration::from_secs(5);
const LAST_RETRY: Duration = Duration::from_secs(3 * 3600);
/// How often receivers are looked for that somebody woke, and all of them.
const TICK: Duration = Duration::from_millis(200);
const ROUND: u32 = 20;
/// For how long a change wakes.
const AWAKE: f64 = 2.0;

/// Sends events without end.
pub async fn run(app: &App) {
    loop {
        let run = AssertUnwindSafe(dispatch(app)).catch_unwind().await;
        if run.is_err() {
            tracing::error!("the delivery of events panicked, and begins again");
        }
        tokio::time::sleep(TICK).await;
    }
}

async fn dispatch(app: &App) {
    let owner: Uuid = app.new_id();
    let shared = Shared::default();
    let mut running: HashSet<Key> = HashSet::new();
    let mut runs: FuturesUnordered<BoxFuture<'_, Key>> = FuturesUnordered::new();
    let mut ticks = 0;
    let mut is_wanted = false;
    loop {
        if !app.is_stopping.load(Ordering::Relaxed) {
            match look(app, ticks, &mut is_wanted).await {
                Ok(due) => {
                    for key in due {
                        if running.insert(key) {
                            let share = shared.of(key.organization_id);
                            runs.push(Box::pin(async move {
                                run_reported(app, key, owner, share).await;
                                key
                            }));
                        }
                    }
                }
                Err(error) => {
                    tracing::debug!(cause = %Chain(&error), "receivers of events could not be looked for");
                }
            }
        }
        ticks += 1;
        let mut pause = pin!(tokio::time::sleep(TICK));
        loop {
            tokio::select! {
                Some(key) = runs.next(), if !runs.is_empty() => {
                    running.remove(&key);
                }
                () = &mut pause => break,
            }
        }
    }
}

async fn run_reported(app: &App, key: Key, owner: Uuid, share: Share) {
    if let Err(error) = run_one(app, key, owner, share, LINGER).await {
        tracing::warn!(receiver = %key.id, organization = %key.organization_id, cause = %Chain(&error), "events could not be sent, which is tried again");
    }
}

/// The receivers that have something to do. Every so often all of them are looked at, in case nobody woke them.
async fn look(app: &App, ticks: u32, is_wanted: &mut bool) -> Result<Vec<Key>, Error> {
    let mut db = app.store.acquire().await?;
    if ticks.is_multiple_of(ROUND) {
        *is_wanted = store::receivers::has_any(&mut db).await?;
        return match *is_wanted {
            true => store::receivers::list_behind(&mut db).await,
            false => Ok(vec![]),
        };
    }
    if !*is_wanted {
        return Ok(vec![]);
    }
    let mut awake = store::receivers::awake(&mut db, AWAKE).await?;
    if !awake.is_empty() {
        awake.push(installation().as_uuid());
    }
    store::receivers::list_due(&mut db, &awake).await
}

/// Sends everything that is due to the receivers of an organization, to all of them at once.
///
/// # Errors
///
/// As the database has them.
pub async fn settle(app: &App, organization_id: OrganizationId) -> Result<(), Error> {
    let keys = {
        let mut db = app.store.acquire().await?;
        store::receivers::list(&mut db, organization_id).await?
    };
    let shared = Shared::default();
    let runs = keys.into_iter().map(|key| {
        let share = shared.of(key.organization_id);
        run_one(app, key, app.new_id(), share, Duration::ZERO)
    });
    try_join_all(runs).await?;
    Ok(())
}

/// Reads and sends for one receiver until there is nothing to do for some time.
async fn run_one(
    app: &App,
    key: Key,
    owner: Uuid,
    share: Share,
    linger: Duration,
) -> Result<(), Error> {
    let claimed = {
        let mut db = app.store.acquire().await?;
        store::receivers::claim(&mut db, key, owner, LEASE).await?
    };
    let Some(claimed) = claimed else {
        return Ok(());
    };
    let Some(target) = Target::find(app, key, &claimed).await? else {
        let mut db = app.store.acquire().await?;
        return store::receivers::retire(&mut db, key, owner, &claimed).await;
    };
    let now = Instant::now();
    let mut run = Run {
        app,
        key,
        owner,
        filter: target.filter(),
        target: Arc::new(target),
        lines: Lines::default(),
        calls: FuturesUnordered::new(),
        share,
        notes: BTreeMap::new(),
        pages: VecDeque::new(),
        next_page: 0,
        read_up_to: claimed.cursor.0.clone(),
        noted_cursor: None,
        maybe_noted: CHECKED,
        has_more: true,
        failures: u32::try_from(claimed.failures).unwrap_or_default(),
        is_proven: false,
        is_off: false,
        break_asked: Duration::ZERO,
        is_full: false,
        failing_for: claimed.failing_for(LEASE),
        began: now,
        replays: claimed.replays,
        claimed,
        is_stale: true,
        read_at: now,
        flushed_at: now,
        busy_at: now,
        linger,
    };
    run.go().await
}

/// A page of the log, of which some events are not settled.
struct PageState {
    number: u64,
    left: usize,
    cursor: Cursor,
}

/// What became of a call.
struct Done {
    item: Item,
    sent: Sent,
}

struct Run<'a> {
    app: &'a App,
    key: Key,
    owner: Uuid,
    claimed: Claimed,
    target: Arc<Target>,
    filter: Filter,
    lines: Lines,
    calls: FuturesUnordered<BoxFuture<'a, Done>>,
    share: Share,
    /// What became of events and is not in the database.
    notes: BTreeMap<i64, Note>,
    /// What is read of the log and not settled.
    pages: VecDeque<PageState>,
    next_page: u64,
    read_up_to: Cursor,
    /// What is settled, and not in the database.
    noted_cursor: Option<Cursor>,
    /// In how many pages there may be events that are noted already: by the process before, which died.
    maybe_noted: u32,
    has_more: bool,
    failures: u32,
    /// Whether a call ended since this began.
    is_proven: bool,
    /// Whether the receiver is switched off.
    is_off: bool,
    /// How long the receiver asked to be left alone.
    break_asked: Duration,
    /// Whether more rows wait than are remembered: the order of what is read behind them is not known.
    is_full: bool,
    /// For how long every call had failed when this began, in seconds.
    failing_for: f64,
    began: Instant,
    replays: i64,
    /// Whether rows may wait that are not in `lines`.
    is_stale: bool,
    read_at: Instant,
    flushed_at: Instant,
    busy_at: Instant,
    linger: Duration,
}

impl Run<'_> {
    async fn go(&mut self) -> Result<(), Error> {
        loop {
            let is_stale = self.is_stale || self.is_drained();
            if is_stale && self.calls.is_empty() && !self.recall().await? {
                return Ok(());
            }
            if self.may_read() && (self.has_more || self.read_at.elapsed() >= POLL) {
                self.read().await?;
            }
            self.call();
            let is_over = self.is_over();
            let is_due = is_over || self.is_flush_due();
            if is_due && (!self.flush(is_over).await? || is_over) {
                return Ok(());
            }
            let pause = self.pause();
            tokio::select! {
                Some(done) = self.calls.next(), if !self.calls.is_empty() => {
                    self.settle(done).await?;
                    while let Some(Some(done)) = self.calls.next().now_or_never() {
                        self.settle(done).await?;
                    }
                }
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn is_down(&self) -> bool {
        self.failures >= DOWN
    }

    /// Whether there is room for rows that wait and are not remembered. Some that are may wait for days.
    fn is_drained(&self) -> bool {
        self.is_full && self.lines.len() <= WAITING - PAGE
    }

    fn is_stopping(&self) -> bool {
        self.app.is_stopping.load(Ordering::Relaxed)
    }

    fn may_read(&self) -> bool {
        // One that is down may only refuse what waits: the call that looks has something new to send, if there is anything.
        let is_wanted = !self.is_down()
            || (self.lines.unnoted() == 0 && self.calls.is_empty() && !self.is_proven);
        is_wanted
            && !self.is_stopping()
            && !self.is_off
            && !self.is_full
            && self.lines.unnoted() < AHEAD
            && self.lines.len() < WAITING
    }

    /// Reads the next part of the log.
    async fn read(&mut self) -> Result<(), Error> {
        let scope = scope(self.key);
        let mut db = self.app.store.acquire().await?;
        let found =
            store::events::list(&mut db, scope, &self.read_up_to, &self.filter, PAGE).await?;
        let mut seen: HashSet<i64> = HashSet::new();
        if self.maybe_noted > 0 && !found.events.is_empty() {
            let seqs: Vec<i64> = found.events.iter().map(|event| event.seq).collect();
            seen.extend(store::deliveries::noted(&mut db, self.key, &seqs).await?);
            self.maybe_noted = match seen.is_empty() {
                true => self.maybe_noted - 1,
                false => CHECKED,
            };
        }
        drop(db);
        let unseen = found
            .events
            .into_iter()
            .filter(|event| !seen.contains(&event.seq));
        let wanted = self.target.wanted(self.app, unseen.collect()).await?;
        self.read_at = Instant::now();
        self.has_more = found.has_more;
        if !wanted.is_empty() || found.has_more {
            self.busy_at = self.read_at;
        }
        self.read_up_to = found.cursor;
        let number = self.next_page;
        self.next_page += 1;
        self.pages.push_back(PageState {
            number,
            left: wanted.len(),
            cursor: self.read_up_to.clone(),
        });
        for event in wanted {
            let item = Item {
                event: Arc::new(event),
                tries: 0,
                since: self.read_at,
                page: Some(number),
            };
            if self.lines.push(item.clone()) {
                self.note(&item, Status::Waiting, None, None);
            }
        }
        self.turn_pages();
        Ok(())
    }

    /// Takes up the rows that wait, and tells whether this process may go on.
    async fn recall(&mut self) -> Result<bool, Error> {
        if !self.notes.is_empty() && !self.flush(false).await? {
            return Ok(false);
        }
        self.is_stale = false;
        match Target::find(self.app, self.key, &self.claimed).await? {
            Some(target) => {
                self.filter = target.filter();
                self.target = Arc::new(target);
            }
            None => self.is_off = true,
        }
        let mut db = self.app.store.acquire().await?;
        let limit = i64::try_from(WAITING).unwrap_or(i64::MAX);
        let waiting = store::deliveries::waiting(&mut db, self.key, limit).await?;
        self.is_full = waiting.len() == WAITING;
        let seqs: Vec<i64> = waiting.iter().map(|row| row.seq).collect();
        let events = match seqs.is_empty() {
            true => vec![],
            false => store::events::at(&mut db, scope(self.key), &seqs).await?,
        };
        drop(db);
        let mut events: HashMap<i64, Event> =
            events.into_iter().map(|event| (event.seq, event)).collect();
        // What was read and not sent comes behind what waits.
        let unsent = std::mem::take(&mut self.lines).into_unnoted();
        let now = Instant::now();
        for row in waiting {
            let Some(event) = events.remove(&row.seq) else {
                self.notes.insert(row.seq, gone(&row));
                continue;
            };
            let key = event.order_key;
            let item = Item {
                event: Arc::new(event),
                tries: u32::try_from(row.tries).unwrap_or_default(),
                since: now.checked_sub(seconds(row.age)).unwrap_or(now),
                page: None,
            };
            self.lines.push(item);
            if let Some(next_in) = row.next_in.filter(|next_in| *next_in > 0.0) {
                self.lines.delay(key, now + seconds(next_in));
            }
        }
        for item in unsent {
            if self.lines.push(item.clone()) {
                self.note(&item, Status::Waiting, None, None);
            }
        }
        Ok(true)
    }

    /// Whether one call more may be under way.
    fn may_call(&self) -> bool {
        let has_room = match self.is_down() {
            // One looks whether the receiver is back.
            true => self.calls.is_empty() && !self.is_proven,
            false => self.share.has_room(),
        };
        has_room && !self.is_stopping() && !self.is_stale && !self.is_off
    }

    /// Begins as many calls as there may be.
    fn call(&mut self) {
        let now = Instant::now();
        while self.may_call() {
            let Some(item) = self.lines.next(now, self.is_down()) else {
                return;
            };
            let (app, target) = (self.app, self.target.clone());
            self.share.begin();
            self.calls.push(Box::pin(async move {
                let sent = target.send(app, &item.event).await;
                Done { item, sent }
            }));
        }
    }

    async fn settle(&mut self, done: Done) -> Result<(), Error> {
        let Done { item, sent } = done;
        self.share.end();
        let key = item.event.order_key;
        self.busy_at = Instant::now();
        self.is_proven = true;
        if sent.is_taken {
            // One that was under way already when the receiver asked for a break does not end it.
            if self.break_asked.is_zero() {
                self.failures = 0;
            }
            self.failing_for = 0.0;
            self.note(&item, Status::Delivered, None, Some(&sent));
            self.lines.done(key);
            return Ok(());
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures == 1 {
            self.began = self.busy_at;
        }
        if let Some(asked) = sent.asks_for_break() {
            self.break_asked = self.break_asked.max(asked);
            self.failures = self.failures.max(DOWN);
        }
        tracing::info!(
            receiver = %self.key.id, event = %item.event.id(), status = sent.http_status, tries = item.tries + 1, "an event was not taken"
        );
        if sent.is_gone || self.is_given_up() {
            self.is_off = self.target.switch_off(self.app, &sent).await?;
        }
        let retry = retry_in(item.tries).max(sent.retry_after.unwrap_or_default());
        if item.since.elapsed() + retry > self.target.patience() {
            self.note(&item, Status::Parked, None, Some(&sent));
            self.lines.done(key);
            return Ok(());
        }
        for unsent in self.lines.refused(key, self.busy_at + retry) {
            match unsent.event.seq == item.event.seq {
                true => self.note(&item, Status::Waiting, Some(retry), Some(&sent)),
                false => self.note(&unsent, Status::Waiting, None, None),
            }
        }
        Ok(())
    }

    /// Whether every call failed for so long that the receiver is given up.
    fn is_given_up(&self) -> bool {
        let failing = seconds(self.failing_for) + self.began.elapsed();
        self.target
            .gives_up_after()
            .is_some_and(|limit| failing > limit)
    }

    /// Notes what became of an event. Its page has one less to wait for.
    fn note(
        &mut self,
        item: &Item,
        status: Status,
        next_in: Option<Duration>,
        sent: Option<&Sent>,
    ) {
        let event = &item.event;
        let note = Note {
            seq: event.seq,
            event_organization_id: event.organization_id,
            event_time: event.time,
            r#type: event.kind.clone(),
            subject_id: event.subject_id,
            order_key: event.order_key,
            status: status.as_str(),
            tries: item.tries + u32::from(sent.is_some()),
            next_in: next_in.map(|time| time.as_secs_f64()),
            http_status: sent.and_then(|sent| sent.http_status),
            milliseconds: sent.map(|sent| sent.milliseconds),
            answer: sent.map(|sent| sent.answer.clone()).unwrap_or_default(),
        };
        self.notes.insert(event.seq, note);
        if let Some(number) = item.page
            && let Some(page) = self.pages.iter_mut().find(|page| page.number == number)
        {
            page.left -= 1;
        }
        self.turn_pages();
    }

    /// The cursor goes on behind each page that is settled.
    fn turn_pages(&mut self) {
        while self.pages.front().is_some_and(|page| page.left == 0) {
            self.noted_cursor = self.pages.pop_front().map(|page| page.cursor);
        }
    }

    fn is_flush_due(&self) -> bool {
        let limit = if self.notes.is_empty() { BEAT } else { FLUSH };
        self.notes.len() >= NOTES || self.flushed_at.elapsed() >= limit
    }

    /// Whether there is nothing to do, or nothing that may be done.
    fn is_over(&self) -> bool {
        if !self.calls.is_empty() {
            return false;
        }
        if self.is_stopping() || self.is_off || (self.is_down() && self.is_proven) {
            return true;
        }
        if self.is_stale || self.is_drained() {
            return false;
        }
        let is_idle = !self.has_more
            && self
                .lines
                .next_due()
                .is_none_or(|due| due > Instant::now() + self.linger);
        is_idle && self.pages.is_empty() && self.busy_at.elapsed() >= self.linger
    }

    /// Writes what became of events, and tells whether this process may go on.
    async fn flush(&mut self, is_over: bool) -> Result<bool, Error> {
        let now = Instant::now();
        let due = self
            .lines
            .next_due()
            .map(|due| due.saturating_duration_since(now));
        let pause = (is_over && self.is_down() && !self.is_stopping())
            .then(|| pause_after(self.failures).max(self.break_asked));
        let due = match (is_over, due) {
            (true, None) if self.is_stopping() || self.lines.len() > 0 => Some(Duration::ZERO),
            (_, due) => due,
        };
        let state = State {
            cursor: self.noted_cursor.as_ref(),
            lease: LEASE,
            is_over,
            due_in: due.max(pause).map(|time| time.as_secs_f64()),
            failures: i32::try_from(self.failures).unwrap_or(i32::MAX),
            pause: pause.map(|time| time.as_secs_f64()),
        };
        let mut db = self.app.store.acquire().await?;
        let notes: Vec<&Note> = self.notes.values().collect();
        let replays = store::receivers::note(&mut db, self.key, self.owner, &notes, &state).await?;
        self.notes.clear();
        self.noted_cursor = None;
        self.flushed_at = now;
        let Some(replays) = replays else {
            tracing::info!(receiver = %self.key.id, "another process sends the events of this receiver now");
            return Ok(false);
        };
        self.is_stale |= replays != self.replays;
        self.replays = replays;
        Ok(true)
    }

    /// How long there is nothing to do but for calls to end.
    fn pause(&self) -> Duration {
        let limit = if self.notes.is_empty() { BEAT } else { FLUSH };
        let flush = limit.saturating_sub(self.flushed_at.elapsed());
        let read = match self.may_read() {
            true if self.has_more => Duration::ZERO,
            true => POLL.saturating_sub(self.read_at.elapsed()),
            false => flush,
        };
        let now = Instant::now();
        let due = self
            .lines
            .next_due()
            .map(|due| due.saturating_duration_since(now));
        let due = due.filter(|_| self.may_call()).unwrap_or(flush);
        flush.min(read).min(due).max(Duration::from_millis(1))
    }
}

/// Whose events a receiver hears.
pub fn scope(key: Key) -> Scope {
    match key.organization_id == installation() {
        true => Scope::All,
        false => Scope::Organization(key.organization_id),
    }
}

fn seconds(time: f64) -> Duration {
    Duration::try_from_secs_f64(time).unwrap_or_default()
}

/// How long after a call that failed the next of the same event is.
fn retry_in(tries: u32) -> Duration {
    FIRST_RETRY
        .saturating_mul(2_u32.saturating_pow(tries))
        .min(LAST_RETRY)
}

/// How long nobody is called after so many calls in a row that failed.
fn pause_after(failures: u32) -> Duration {
    let rounds = failures.saturating_sub(DOWN);
    FIRST_PAUSE
        .saturating_mul(2_u32.saturating_pow(rounds))
        .min(LAST_PAUSE)
}

/// What is noted of a row whose event is deleted.
fn gone(row: &Waiting) -> Note {
    Note {
        seq: row.seq,
        event_organization_id: row.event_organization_id,
        event_time: DateTime::UNIX_EPOCH,
        r#type: String::new(),
        subject_id: Uuid::nil(),
        order_key: row.order_key,
        status: Status::Parked.as_str(),
        tries: u32::try_from(row.tries).unwrap_or_default(),
        next_in: None,
        http_status: None,
        milliseconds: None,
        answer: "the event is older than events are kept".to_owned(),
    }
}
