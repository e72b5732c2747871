//! Where each reader of the log is that calls somebody. One process at a time reads for each: it has a lease, by the database's clock.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{query, query_as, query_scalar};
use uuid::Uuid;

use super::{Connection, Json};
use crate::domain::application::ClientId;
use crate::domain::event::Cursor;
use crate::domain::ids::OrganizationId;
use crate::domain::names::named;
use crate::error::Error;

named! {
    /// What a receiver is.
    pub enum Kind {
        /// A webhook.
        Webhook = "webhook",
        /// An application that hears of sessions that ended.
        Logout = "logout",
    }
}

/// What a receiver is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Whose events it hears; nil for those of all organizations.
    pub organization_id: OrganizationId,
    /// Of the webhook or the application.
    pub id: Uuid,
}

/// A receiver that this process reads for.
#[derive(Debug)]
pub struct Claimed {
    /// What it is.
    pub kind: String,
    /// Of a logout, whose the application is.
    pub owner_id: Option<Uuid>,
    /// Where it is in the log.
    pub cursor: Json<Cursor>,
    /// How many calls failed since the last that did not.
    pub failures: i32,
    /// Until when this process may read for it, if it says nothing meanwhile.
    pub lease_until: DateTime<Utc>,
    /// Since when every call failed.
    pub failing_since: Option<DateTime<Utc>>,
    /// How often something was to be sent again.
    pub replays: i64,
}

impl Claimed {
    /// For how long every call failed, in seconds, by the database's clock; `lease` is what it was claimed for.
    pub fn failing_for(&self, lease: f64) -> f64 {
        let since = self.failing_since;
        since.map_or(0.0, |since| {
            (self.lease_until - since).as_seconds_f64() - lease
        })
    }
}

/// Adds a webhook, which hears of what happens behind `cursor`.
pub async fn insert_webhook(db: &mut Connection, key: Key, cursor: &Cursor) -> Result<(), Error> {
    query!(
        "insert into receivers (organization_id, id, kind, cursor) values ($1, $2, 'webhook', $3)",
        key.organization_id.as_uuid(),
        key.id,
        Json(cursor) as _,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Makes sure that an application hears of the sessions of an organization that end from now on.
pub async fn add_logout(
    db: &mut Connection,
    organization_id: OrganizationId,
    client: ClientId,
    cursor: &Cursor,
) -> Result<(), Error> {
    query!(
        "insert into receivers (organization_id, id, kind, owner_id, cursor) values ($1, $2, 'logout', $3, $4)
         on conflict (organization_id, id) do update set is_active = true, cursor = excluded.cursor where not receivers.is_active",
        organization_id.as_uuid(),
        client.id.as_uuid(),
        client.organization_id.as_uuid(),
        Json(cursor) as _,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Whether an application hears of the sessions of an organization.
pub async fn has_logout(
    db: &mut Connection,
    organization_id: OrganizationId,
    client: ClientId,
) -> Result<bool, Error> {
    let found = query_scalar!(
        r#"select 1 as "one!" from receivers where organization_id = $1 and id = $2 and is_active"#,
        organization_id.as_uuid(),
        client.id.as_uuid(),
    )
    .fetch_optional(db)
    .await?;
    Ok(found.is_some())
}

/// Switches a receiver on or off. Switched on, it goes on where it was, and the calls that failed are not held against it.
pub async fn set_active(db: &mut Connection, key: Key, is_active: bool) -> Result<(), Error> {
    query!(
        "update receivers set is_active = $3, failures = 0, failing_since = null, paused_until = null,
             due_at = statement_timestamp()
         where organization_id = $1 and id = $2",
        key.organization_id.as_uuid(),
        key.id,
        is_active,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Switches a receiver off that hears nothing any more, unless that was changed since this process took it.
pub async fn retire(
    db: &mut Connection,
    key: Key,
    owner: Uuid,
    claimed: &Claimed,
) -> Result<(), Error> {
    query!(
        "update receivers set is_active = false, lease_until = '-infinity'
         where organization_id = $1 and id = $2 and lease_owner = $3 and replays = $4",
        key.organization_id.as_uuid(),
        key.id,
        owner,
        claimed.replays,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Has whoever reads for a receiver read again what is said of it.
pub async fn changed(db: &mut Connection, key: Key) -> Result<(), Error> {
    query!(
        "update receivers set replays = replays + 1, due_at = statement_timestamp() where organization_id = $1 and id = $2",
        key.organization_id.as_uuid(),
        key.id,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes a receiver and its deliveries.
pub async fn delete(db: &mut Connection, key: Key) -> Result<(), Error> {
    // First, so that whoever notes deliveries right now is waited for, or finds nothing to note them for.
    query!(
        "delete from receivers where organization_id = $1 and id = $2",
        key.organization_id.as_uuid(),
        key.id,
    )
    .execute(&mut *db)
    .await?;
    query!(
        "delete from deliveries where organization_id = $1 and receiver_id = $2",
        key.organization_id.as_uuid(),
        key.id,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Has this process read for a receiver for `lease` seconds. `None` while another one does, or there is nothing to do before a pause is
/// over.
pub async fn claim(
    db: &mut Connection,
    key: Key,
    owner: Uuid,
    lease: f64,
) -> Result<Option<Claimed>, Error> {
    Ok(query_as!(
        Claimed,
        r#"update receivers r set lease_owner = $3, lease_until = statement_timestamp() + make_interval(secs => $4)
           where r.organization_id = $1 and r.id = $2 and r.is_active and (r.lease_until < statement_timestamp() or r.lease_owner = $3)
               and (r.paused_until is null or r.paused_until <= statement_timestamp())
           returning r.kind, r.owner_id, r.cursor as "cursor: Json<Cursor>", r.failures, r.replays,
               r.lease_until, r.failing_since"#,
        key.organization_id.as_uuid(),
        key.id,
        owner,
        lease,
    )
    .fetch_optional(db)
    .await?)
}

/// What is noted of a receiver. Times are in seconds from now.
#[derive(Debug, Default, Serialize)]
pub struct State<'a> {
    /// Where it is in the log, if that is another place now.
    pub cursor: Option<&'a Cursor>,
    /// How much longer this process reads for it.
    pub lease: f64,
    /// Whether it reads no more.
    pub is_over: bool,
    /// When something is to be tried again.
    pub due_in: Option<f64>,
    /// How many calls failed since the last that did not.
    pub failures: i32,
    /// Until when nobody is called.
    pub pause: Option<f64>,
}

/// What became of an event. Times are in seconds from now.
#[derive(Clone, Debug, Serialize)]
pub struct Note {
    /// The event's place.
    pub seq: i64,
    /// Where it happened.
    pub event_organization_id: OrganizationId,
    /// When.
    pub event_time: DateTime<Utc>,
    /// Its type.
    pub r#type: String,
    /// What it happened to.
    pub subject_id: Uuid,
    /// What it has its order with.
    pub order_key: Uuid,
    /// What became of it.
    pub status: &'static str,
    /// How often it was sent.
    pub tries: u32,
    /// When it is sent again; `None` while it waits for one before it.
    pub next_in: Option<f64>,
    /// The status of the last answer.
    pub http_status: Option<u16>,
    /// How long that took.
    pub milliseconds: Option<u32>,
    /// The beginning of the answer, or why there was none.
    pub answer: String,
}

/// Notes what became of events, and where the receiver is. Tells how often something was to be sent again; `None` when another process
/// has taken over. One round trip.
pub async fn note(
    db: &mut Connection,
    key: Key,
    owner: Uuid,
    notes: &[&Note],
    state: &State<'_>,
) -> Result<Option<i64>, Error> {
    Ok(query_scalar!(
        "select receivers_note($1, $2, $3, $4, $5)",
        key.organization_id.as_uuid(),
        key.id,
        owner,
        Json(notes) as _,
        Json(state) as _,
    )
    .fetch_one(db)
    .await?)
}

/// The organizations in which something happened in the last seconds, for the reader that wakes others: it does not matter if it
/// misses some that end late.
pub async fn awake(db: &mut Connection, seconds: f64) -> Result<Vec<Uuid>, Error> {
    Ok(query_scalar!(
        "select distinct organization_id from events where time > statement_timestamp() - make_interval(secs => $1)",
        seconds,
    )
    .fetch_all(db)
    .await?)
}

/// The receivers that nobody reads for, and that have something to do: in an organization of these, or at this time.
pub async fn list_due(db: &mut Connection, awake: &[Uuid]) -> Result<Vec<Key>, Error> {
    let rows = query!(
        "select organization_id, id from receivers
         where is_active and lease_until < statement_timestamp() and (paused_until is null or paused_until <= statement_timestamp())
             and (due_at <= statement_timestamp() or organization_id = any($1))",
        awake,
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| key(row.organization_id, row.id))
        .collect())
}

/// The receivers that nobody reads for, and behind whose cursor something is, or may be: those that nobody woke, and those of all
/// organizations.
pub async fn list_behind(db: &mut Connection) -> Result<Vec<Key>, Error> {
    let rows = query!(
        r#"select r.organization_id, r.id from receivers r
           where r.is_active and r.lease_until < statement_timestamp() and (r.paused_until is null or r.paused_until <= statement_timestamp())
               and (r.cursor ? 'o' or r.cursor ? 'l' or r.due_at <= statement_timestamp()
                   or r.organization_id = '00000000-0000-0000-0000-000000000000'
                   or exists (select 1 from events e
                       where e.organization_id = r.organization_id and e.seq > (r.cursor->>'s')::bigint))"#
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| key(row.organization_id, row.id))
        .collect())
}

fn key(organization_id: Uuid, id: Uuid) -> Key {
    Key {
        organization_id: organization_id.into(),
        id,
    }
}

/// The receivers of an organization.
pub async fn list(db: &mut Connection, organization_id: OrganizationId) -> Result<Vec<Key>, Error> {
    let rows = query!(
        "select organization_id, id from receivers where organization_id = $1",
        organization_id.as_uuid(),
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| key(row.organization_id, row.id))
        .collect())
}

/// Whether there are receivers at all.
pub async fn has_any(db: &mut Connection) -> Result<bool, Error> {
    Ok(
        query_scalar!(r#"select exists (select 1 from receivers where is_active) as "exists!""#)
            .fetch_one(db)
            .await?,
    )
}

/// How a receiver does.
#[derive(Debug)]
pub struct Health {
    /// Since when every call failed.
    pub failing_since: Option<DateTime<Utc>>,
    /// Until when nobody is called.
    pub paused_until: Option<DateTime<Utc>>,
}

/// Reads how some receivers of an organization do.
pub async fn health(
    db: &mut Connection,
    organization_id: OrganizationId,
    ids: &[Uuid],
) -> Result<Vec<(Uuid, Health)>, Error> {
    let rows = query!(
        "select id, failing_since, paused_until from receivers where organization_id = $1 and id = any($2)",
        organization_id.as_uuid(),
        ids,
    )
    .fetch_all(db)
    .await?;
    let health = rows.into_iter().map(|row| {
        let health = Health {
            failing_since: row.failing_since,
            paused_until: row.paused_until,
        };
        (row.id, health)
    });
    Ok(health.collect())
}
