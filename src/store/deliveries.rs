//! What became of the events that were sent to webhooks and applications, one line each.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, query, query_as, query_scalar};
use uuid::Uuid;

use super::events::Scope;
use super::members::statement;
use super::receivers::{self, Key};
use super::{Connection, Items, Page};
use crate::domain::ids::OrganizationId;
use crate::domain::names::named;
use crate::error::Error;

named! {
    /// What became of an event.
    pub enum Status {
        /// It was taken.
        Delivered = "delivered",
        /// It is sent again.
        Waiting = "waiting",
        /// It was sent for three days, and is sent again only if somebody asks for it.
        Parked = "parked",
    }
}

/// A line.
#[derive(Debug, FromRow)]
pub struct Delivery {
    /// The event's place.
    pub seq: i64,
    /// Where it happened.
    pub event_organization_id: OrganizationId,
    /// When.
    pub event_time: DateTime<Utc>,
    /// Its type.
    pub kind: String,
    /// What it happened to.
    pub subject_id: Uuid,
    /// What became of it.
    pub status: String,
    /// How often it was sent.
    pub tries: i32,
    /// When it was to be sent first.
    pub created_at: DateTime<Utc>,
    /// When it was sent last.
    pub tried_at: Option<DateTime<Utc>>,
    /// When it is sent again.
    pub next_try_at: Option<DateTime<Utc>>,
    /// The status of the last answer.
    pub http_status: Option<i16>,
    /// How long that took.
    pub milliseconds: Option<i32>,
    /// The beginning of the answer, or why there was none.
    pub answer: String,
}

/// Reads a page of the lines of a receiver, the latest event first, from before the place `before`.
pub async fn list(
    db: &mut Connection,
    key: Key,
    status: Option<Status>,
    before: Option<i64>,
    size: u32,
) -> Result<Items<Delivery>, Error> {
    let page = Page::first(size);
    let rows = query_as!(
        Delivery,
        r#"select seq, event_organization_id as "event_organization_id: _", event_time, type as kind, subject_id, status, tries,
               created_at, tried_at, next_try_at, http_status, milliseconds, answer
           from deliveries where organization_id = $1 and receiver_id = $2 and seq < $3 and ($4 = '' or status = $4)
           order by seq desc limit $5"#,
        key.organization_id.as_uuid(),
        key.id,
        before.unwrap_or(i64::MAX),
        status.map_or("", Status::as_str),
        page.limit(),
    )
    .fetch_all(db)
    .await?;
    Ok(Items::of(rows, page))
}

/// An event that is sent again.
#[derive(Debug)]
pub struct Waiting {
    /// The event's place.
    pub seq: i64,
    /// Where it happened.
    pub event_organization_id: OrganizationId,
    /// What it has its order with.
    pub order_key: Uuid,
    /// How often it was sent.
    pub tries: i32,
    /// For how long it is tried, in seconds.
    pub age: f64,
    /// In how many seconds it is sent again; `None` while it waits for one before it.
    pub next_in: Option<f64>,
}

/// Reads some of the events that wait, in their order.
pub async fn waiting(db: &mut Connection, key: Key, limit: i64) -> Result<Vec<Waiting>, Error> {
    Ok(query_as!(
        Waiting,
        r#"select seq, event_organization_id as "event_organization_id: _", order_key, tries,
               extract(epoch from statement_timestamp() - created_at)::float8 as "age!",
               extract(epoch from next_try_at - statement_timestamp())::float8 as next_in
           from deliveries where organization_id = $1 and receiver_id = $2 and status = 'waiting' order by seq limit $3"#,
        key.organization_id.as_uuid(),
        key.id,
        limit,
    )
    .fetch_all(db)
    .await?)
}

/// Of these places, those of which there is a line.
pub async fn noted(db: &mut Connection, key: Key, seqs: &[i64]) -> Result<Vec<i64>, Error> {
    Ok(query_scalar!(
        "select seq from deliveries where organization_id = $1 and receiver_id = $2 and seq = any($3)",
        key.organization_id.as_uuid(),
        key.id,
        seqs,
    )
    .fetch_all(db)
    .await?)
}

/// Has an event sent again of which there is a line, and tells whether there is.
pub async fn replay_one(db: &mut Connection, key: Key, seq: i64) -> Result<bool, Error> {
    let done = query!(
        "update deliveries set status = 'waiting', tries = 0, created_at = statement_timestamp(), next_try_at = statement_timestamp()
         where organization_id = $1 and receiver_id = $2 and seq = $3",
        key.organization_id.as_uuid(),
        key.id,
        seq,
    )
    .execute(&mut *db)
    .await?;
    receivers::changed(db, key).await?;
    Ok(done.rows_affected() > 0)
}

/// The events of a time, of which places are between two.
#[derive(Debug)]
pub struct Range {
    /// Behind this place.
    pub after: i64,
    /// Up to this one.
    pub up_to: i64,
    /// From this moment on.
    pub from: DateTime<Utc>,
    /// Before this moment.
    pub to: DateTime<Utc>,
}

/// Has events sent, up to `limit`, the first first, whether they were sent before or not, but for those that are sent anyway. Tells how
/// many.
pub async fn replay(
    db: &mut Connection,
    key: Key,
    scope: Scope,
    range: &Range,
    types: &[String],
    limit: i64,
) -> Result<u64, Error> {
    const COLUMNS: &str = "insert into deliveries (organization_id, receiver_id, seq, event_organization_id, event_time, type, subject_id,
             order_key, status, tries, created_at, next_try_at)
         select ";
    let mut query = statement(key.organization_id, COLUMNS);
    query.push("$1, ").push_bind(key.id);
    query.push(", e.seq, e.organization_id, e.time, e.type, e.subject_id, e.order_key, 'waiting', 0, statement_timestamp(), statement_timestamp()
         from events e where ");
    if let Scope::Organization(_) = scope {
        query.push("e.organization_id = $1 and ");
    }
    query.push("e.seq > ").push_bind(range.after);
    query.push(" and e.seq <= ").push_bind(range.up_to);
    query.push(" and e.time >= ").push_bind(range.from);
    query.push(" and e.time < ").push_bind(range.to);
    if !types.is_empty() {
        query
            .push(" and e.type = any(")
            .push_bind(types.to_vec())
            .push(")");
    }
    // What the receiver has not read yet comes by itself, in its order.
    query.push(
        " and (e.seq <= (select (r.cursor->>'s')::bigint from receivers r where r.organization_id = $1 and r.id = ",
    );
    query.push_bind(key.id);
    query.push(
        ") or exists (select 1 from deliveries d where d.organization_id = $1 and d.seq = e.seq and d.receiver_id = ",
    );
    query.push_bind(key.id).push("))");
    query.push(" order by e.seq limit ").push_bind(limit);
    query.push(
        " on conflict (organization_id, receiver_id, seq) do update set status = 'waiting', tries = 0,
             created_at = excluded.created_at, next_try_at = excluded.next_try_at",
    );
    let done = query.build().execute(&mut *db).await?;
    receivers::changed(db, key).await?;
    Ok(done.rows_affected())
}

/// Deletes up to `limit` lines from before `end`, of all receivers. Tells how many.
pub async fn delete_before(
    db: &mut Connection,
    end: DateTime<Utc>,
    limit: i64,
) -> Result<u64, Error> {
    let done = query!(
        "delete from deliveries where (organization_id, receiver_id, seq) in (
             select organization_id, receiver_id, seq from deliveries where created_at < $1 order by created_at limit $2)",
        end,
        limit,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}
