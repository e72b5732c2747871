//! The log of events, which triggers write (`migrations/0020_events.sql`), and how it is read so that nothing is missed.
//!
//! An event takes its place in the log, `seq`, before its transaction ends, so that one may appear among others that were read already.
//! Clocks do not tell which may still appear; PostgreSQL does. Each page is read with the transactions that may be under way: those
//! that its snapshot lists, and those that began behind it. The next page begins with what these have written meanwhile at places that
//! were read, and goes on from there. A reader so has each event once. Of one subject it has them in their order: the row of the subject
//! is locked from before an event of it takes its place until its transaction ends.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use sqlx::{FromRow, Postgres, QueryBuilder, query};
use uuid::Uuid;

use super::Connection;
use super::members::statement;
use crate::domain::event::{Cursor, Event, Late};
use crate::domain::ids::OrganizationId;
use crate::error::Error;

/// Whose events are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Of one organization.
    Organization(OrganizationId),
    /// Of all, and of the installation itself.
    All,
}

/// Which events a reader wants. Empty lists say nothing.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// The types.
    pub types: Vec<String>,
    /// What they happened to.
    pub subjects: Vec<Uuid>,
}

impl Filter {
    fn is_empty(&self) -> bool {
        self.types.is_empty() && self.subjects.is_empty()
    }
}

/// A part of the log.
#[derive(Debug)]
pub struct Events {
    /// The events.
    pub events: Vec<Event>,
    /// Where the reader is now.
    pub cursor: Cursor,
    /// Whether there are more already.
    pub has_more: bool,
    /// Where the reader was before.
    before: Cursor,
    /// The transactions that may have been under way at the reading.
    open: Vec<i64>,
}

impl Events {
    /// Where a reader is who had an event of these, and those before it.
    pub fn cursor_behind(&self, event: &Event) -> Cursor {
        behind(&self.before, &self.open, event.seq, event.time)
    }
}

/// Where a reader is who had what is up to a place, of what was read behind `before` while the transactions in `open` were under way.
fn behind(before: &Cursor, open: &[i64], seq: i64, time: DateTime<Utc>) -> Cursor {
    if seq > before.seq {
        return Cursor {
            seq,
            open: open.to_vec(),
            late: None,
            time,
        };
    }
    let (open, ended) = match &before.late {
        Some(late) => (before.open.clone(), late.ended.clone()),
        None => before.open.iter().partition(|xid| open.contains(xid)),
    };
    Cursor {
        open,
        late: Some(Late { ended, seq }),
        ..*before
    }
}

/// The most events that are looked at for one page of those that are wanted.
const WINDOW: usize = 5_000;

#[derive(FromRow)]
struct Row {
    snapshot: String,
    /// How many transactions began behind the snapshot.
    ahead: i32,
    moment: DateTime<Utc>,
    seq: Option<i64>,
    time: Option<DateTime<Utc>>,
    /// How many events of its part of the log were looked at up to here.
    place: Option<i64>,
    // Nothing, where the event is not wanted.
    organization_id: Option<OrganizationId>,
    r#type: Option<String>,
    subject_id: Option<Uuid>,
    order_key: Option<Uuid>,
    data: Option<Value>,
    previous: Option<Value>,
    actor_principal: Option<String>,
    actor_id: Option<Uuid>,
}

impl Row {
    fn event(self) -> Option<Event> {
        Some(Event {
            organization_id: self.organization_id?,
            seq: self.seq?,
            time: self.time?,
            kind: self.r#type?,
            subject_id: self.subject_id?,
            order_key: self.order_key?,
            data: self.data?,
            previous: self.previous?,
            actor_kind: self.actor_principal,
            actor_id: self.actor_id,
        })
    }

    /// The transactions that may be under way.
    fn open(&self) -> Option<Vec<i64>> {
        let mut parts = self.snapshot.split(':');
        let (_, end, listed) = (parts.next()?, parts.next()?, parts.next()?);
        let end: i64 = end.parse().ok()?;
        let listed = listed.split(',').filter(|xid| !xid.is_empty());
        let listed: Result<Vec<i64>, _> = listed.map(str::parse).collect();
        let mut open = listed.ok()?;
        open.extend(end..end + i64::from(self.ahead));
        Some(open)
    }
}

/// Reads the next events. One round trip; two where less than half of what happened is wanted.
pub async fn list(
    db: &mut Connection,
    scope: Scope,
    cursor: &Cursor,
    filter: &Filter,
    size: usize,
) -> Result<Events, Error> {
    if filter.is_empty() {
        let query = every(scope, cursor, filter, size);
        return list_in(db, query, cursor, size, size).await;
    }
    // Whatever is in the window is read. Most filters of those who follow the log leave out little.
    let window = 2 * size;
    let query = every(scope, cursor, filter, window);
    let found = list_in(db, query, cursor, size, window).await?;
    if found.events.len() == size || !found.has_more || window >= WINDOW {
        return Ok(found);
    }
    let query = few(scope, cursor, filter, WINDOW);
    list_in(db, query, cursor, size, WINDOW).await
}

/// The same by a query, which looks at so many events.
async fn list_in(
    db: &mut Connection,
    mut query: QueryBuilder<Postgres>,
    cursor: &Cursor,
    size: usize,
    window: usize,
) -> Result<Events, Error> {
    let rows: Vec<Row> = query.build_query_as().fetch_all(db).await?;
    let state = rows.first().ok_or_else(no_snapshot)?;
    let open = state.open().ok_or_else(no_snapshot)?;
    let moment = state.moment;
    Ok(take(cursor, rows, open, moment, window, size))
}

/// What the database says of its transactions, once for all rows.
const STATE: &str = "select one.snapshot, one.ahead, one.moment, l.seq, l.time, l.place,
        w.organization_id, w.type, w.subject_id, w.order_key, w.data, w.previous, w.actor_principal, w.actor_id
     from (select pg_current_snapshot()::text as snapshot, age(pg_snapshot_xmax(pg_current_snapshot())::xid) as ahead,
        statement_timestamp() as moment offset 0) one left join lateral (";

/// A row for every event that is looked at, which has nothing of those that are not wanted.
fn every(scope: Scope, cursor: &Cursor, filter: &Filter, window: usize) -> QueryBuilder<Postgres> {
    let mut query = match scope {
        Scope::Organization(id) => statement(id, STATE),
        Scope::All => QueryBuilder::new(STATE),
    };
    let looked_at = ["e.*, null::bigint as place ", ""];
    push_window(&mut query, scope, cursor, window, looked_at);
    query.push(") l on true left join lateral (select l.* where true");
    push_filter(&mut query, filter);
    query.push(") w on true order by l.seq");
    query
}

/// A row for each event that is wanted, and for the last that is looked at: how far the window goes. What is long of an event is read
/// where it is wanted.
fn few(scope: Scope, cursor: &Cursor, filter: &Filter, window: usize) -> QueryBuilder<Postgres> {
    let (mut query, of) = match scope {
        Scope::Organization(id) => (statement(id, STATE), "e.organization_id = $1 and "),
        Scope::All => (QueryBuilder::new(STATE), ""),
    };
    let looked_at = [
        "e.*, row_number() over w as place, lead(e.seq) over w is null as is_last",
        " window w as (order by e.seq)",
    ];
    query.push("select l.*, true");
    push_filter(&mut query, filter);
    query.push(" as is_wanted from (");
    push_window(&mut query, scope, cursor, window, looked_at);
    query.push(format!(
        ") l) l on l.is_wanted or l.is_last left join lateral (select e.* from events e
         where {of}e.organization_id = l.organization_id and e.seq = l.seq and l.is_wanted limit 1) w on true order by l.seq"
    ));
    query
}

fn push_filter(query: &mut QueryBuilder<Postgres>, filter: &Filter) {
    if !filter.types.is_empty() {
        query.push(" and l.type = any(");
        query.push_bind(filter.types.clone()).push(")");
    }
    if !filter.subjects.is_empty() {
        query.push(" and l.subject_id = any(");
        query.push_bind(filter.subjects.clone()).push(")");
    }
}

/// The next `window` events, of the transactions that ended late, and of what is behind the cursor. `[shown, order]` is what is told of
/// each.
fn push_window(
    query: &mut QueryBuilder<Postgres>,
    scope: Scope,
    cursor: &Cursor,
    window: usize,
    [shown, order]: [&str; 2],
) {
    let of = match scope {
        Scope::Organization(_) => "e.organization_id = $1 and ",
        Scope::All => "",
    };
    let columns = match order {
        "" => "e.*",
        _ => "e.organization_id, e.seq, e.time, e.type, e.subject_id",
    };
    let window = i64::try_from(window).unwrap_or(i64::MAX);
    let (late, after) = match &cursor.late {
        Some(late) => (&late.ended, late.seq),
        None => (&cursor.open, i64::MIN),
    };
    // The transactions are looked for first. A plan that reads the places in their order, until it has found enough, would read the
    // whole log where they wrote nothing.
    query.push(format!(
        "(select {shown} from (select e.* from (select {columns} from events e where {of}e.xid = any("
    ));
    query.push_bind(late.clone());
    query.push(") and e.seq > ").push_bind(after);
    query.push(" and e.seq <= ").push_bind(cursor.seq);
    query.push(" offset 0) e order by e.seq limit ");
    query.push_bind(window);
    query.push(format!(") e{order})"));
    if cursor.late.is_some() {
        return;
    }
    query.push(format!(
        " union all (select {shown} from (select {columns} from events e where {of}e.seq > "
    ));
    query.push_bind(cursor.seq);
    if scope != Scope::All {
        // It says nothing new, but that the index of all organizations is not the one to go by: most of what that has may be of others.
        query.push(" and (e.organization_id, e.seq) > ($1, ");
        query.push_bind(cursor.seq).push(")");
    }
    query.push(" order by e.seq limit ").push_bind(window);
    query.push(format!(") e{order})"));
}

/// Takes as many events as a page has, and tells where the reader is then.
fn take(
    before: &Cursor,
    rows: Vec<Row>,
    open: Vec<i64>,
    moment: DateTime<Utc>,
    window: usize,
    size: usize,
) -> Events {
    let (late, new): (Vec<_>, Vec<_>) = rows
        .into_iter()
        .filter(|row| row.seq.is_some())
        .partition(|row| row.seq <= Some(before.seq));
    let mut events = vec![];
    let mut taken = fill(&mut events, late, window, size);
    if !taken.is_cut && before.late.is_none() {
        taken = fill(&mut events, new, window, size);
    }
    let (cursor, has_more) = match (taken, &before.late) {
        (
            Taken {
                last: Some((seq, time)),
                is_cut: true,
            },
            _,
        ) => (behind(before, &open, seq, time), true),
        (_, Some(_)) => {
            let late = None;
            (
                Cursor {
                    late,
                    ..before.clone()
                },
                true,
            )
        }
        (Taken { last, .. }, None) => {
            let seq = last.map_or(before.seq, |(seq, _)| seq);
            let open = open.clone();
            (
                Cursor {
                    seq,
                    open,
                    late: None,
                    time: moment,
                },
                false,
            )
        }
    };
    Events {
        events,
        cursor,
        has_more,
        before: before.clone(),
        open,
    }
}

/// What was taken of some rows.
#[derive(Clone, Copy)]
struct Taken {
    last: Option<(i64, DateTime<Utc>)>,
    /// Whether there are more, taken or not.
    is_cut: bool,
}

/// Takes the events of rows until there are `size`.
fn fill(events: &mut Vec<Event>, rows: Vec<Row>, window: usize, size: usize) -> Taken {
    let looked_at = rows.last().and_then(|row| row.place);
    let looked_at = looked_at.map_or(rows.len(), |place| usize::try_from(place).unwrap_or(window));
    let mut taken = Taken {
        last: None,
        is_cut: looked_at >= window,
    };
    for row in rows {
        if events.len() == size {
            taken.is_cut = true;
            break;
        }
        taken.last = row.seq.zip(row.time);
        events.extend(row.event());
    }
    taken
}

/// Reads the events at some places, those that are kept. One round trip.
pub async fn at(db: &mut Connection, scope: Scope, seqs: &[i64]) -> Result<Vec<Event>, Error> {
    const COLUMNS: &str = "select '' as snapshot, 0 as ahead, e.time as moment, e.seq, e.time, null::bigint as place, e.organization_id, e.type, e.subject_id,
            e.order_key, e.data, e.previous, e.actor_principal, e.actor_id
         from events e where ";
    let mut query = match scope {
        Scope::Organization(id) => {
            let mut query = statement(id, COLUMNS);
            query.push("e.organization_id = $1 and ");
            query
        }
        Scope::All => QueryBuilder::new(COLUMNS),
    };
    query
        .push("e.seq = any(")
        .push_bind(seqs.to_vec())
        .push(")");
    let rows: Vec<Row> = query.build_query_as().fetch_all(db).await?;
    Ok(rows.into_iter().filter_map(Row::event).collect())
}

/// Where a reader is who has had everything that happened so far. One round trip.
pub async fn now(db: &mut Connection, scope: Scope) -> Result<Cursor, Error> {
    const STATE: &str = "select pg_current_snapshot()::text as snapshot,
            age(pg_snapshot_xmax(pg_current_snapshot())::xid) as ahead, statement_timestamp() as moment, l.seq,
            null::timestamptz as time, null::bigint as place, null::uuid as organization_id, null::text as type, null::uuid as subject_id,
            null::uuid as order_key, null::jsonb as data, null::jsonb as previous, null::text as actor_principal,
            null::uuid as actor_id
         from (select 1) one left join lateral (select max(e.seq) as seq from events e where ";
    let mut query = match scope {
        Scope::Organization(id) => {
            let mut query = statement(id, STATE);
            query.push("e.organization_id = $1");
            query
        }
        Scope::All => QueryBuilder::new(format!("{STATE} true")),
    };
    query.push(") l on true");
    let row: Row = query.build_query_as().fetch_one(db).await?;
    Ok(Cursor {
        seq: row.seq.unwrap_or_default(),
        open: row.open().ok_or_else(no_snapshot)?,
        late: None,
        time: row.moment,
    })
}

fn no_snapshot() -> Error {
    Error::internal("the database does not say which transactions are under way")
}

/// The place behind which the events from a moment on are. It is found by halves, in some thirty round trips: places are in the order
/// of time but for moments.
pub async fn place_of(
    db: &mut Connection,
    scope: Scope,
    moment: DateTime<Utc>,
) -> Result<i64, Error> {
    let moment = moment - SLACK;
    let (mut before, mut after) = (0, now(db, scope).await?.seq + 1);
    while after - before > 1 {
        let middle = before + (after - before) / 2;
        match first_behind(db, scope, middle).await? {
            Some((seq, time)) if time < moment => before = seq,
            _ => after = middle,
        }
    }
    Ok(before)
}

/// How far times and places of events may be out of step.
const SLACK: TimeDelta = TimeDelta::seconds(1);

/// The place and the time of the first event from a place on.
async fn first_behind(
    db: &mut Connection,
    scope: Scope,
    seq: i64,
) -> Result<Option<(i64, DateTime<Utc>)>, Error> {
    let mut query = match scope {
        Scope::Organization(id) => statement(
            id,
            "select e.seq, e.time from events e where e.organization_id = $1 and e.seq >= ",
        ),
        Scope::All => QueryBuilder::new("select e.seq, e.time from events e where e.seq >= "),
    };
    query.push_bind(seq).push(" order by e.seq limit 1");
    Ok(query.build_query_as().fetch_optional(db).await?)
}

/// Deletes up to `limit` events from before `end`, of all organizations, those included that are gone. Tells how many.
pub async fn delete_before(
    db: &mut Connection,
    end: DateTime<Utc>,
    limit: i64,
) -> Result<u64, Error> {
    let done = query!(
        "delete from events where (organization_id, seq) in
             (select organization_id, seq from events where time < $1 order by time limit $2)",
        end,
        limit,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}
