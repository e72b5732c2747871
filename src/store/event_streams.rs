//! Streams of security events: where each is in the log, what it tells of itself, and of whom it does not tell.

use chrono::{DateTime, Utc};
use sqlx::{query, query_as, query_scalar};
use uuid::Uuid;

use super::aggregate::aggregate;
use super::{Connection, Json};
use crate::domain::event::Cursor;
use crate::domain::event_stream::{EventStream, Notice, Settings, StreamStatus};
use crate::domain::ids::{EventStreamId, OrganizationId};
use crate::error::Error;

const NOUN: &str = "event stream in this organization";

struct Row {
    organization_id: Uuid,
    id: Uuid,
    settings: Json<Settings>,
    authorization_header: Option<Vec<u8>>,
    status: StreamStatus,
    reason: Option<String>,
    cursor: Json<Cursor>,
    taken: Vec<String>,
    verified_at: Option<DateTime<Utc>>,
    failures: i32,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Row> for EventStream {
    fn from(row: Row) -> Self {
        Self {
            organization_id: row.organization_id.into(),
            id: row.id.into(),
            settings: row.settings.0,
            authorization_header: row.authorization_header,
            status: row.status,
            reason: row.reason,
            cursor: row.cursor.0,
            taken: row.taken,
            verified_at: row.verified_at,
            failures: row.failures,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

macro_rules! select {
    ($rest:literal, $($argument:expr),+ $(,)?) => {
        query_as!(
            Row,
            r#"select organization_id, id, settings as "settings: Json<Settings>", authorization_header,
                status as "status: StreamStatus", reason, cursor as "cursor: Json<Cursor>", taken, verified_at, failures,
                created_at, updated_at from event_streams "# + $rest,
            $($argument),+
        )
    };
}

aggregate! { EventStream by EventStreamId, NOUN, select: get, lock, list, delete("event_streams") }

/// Whether the organization has a stream at all.
pub async fn has_any(db: &mut Connection, organization_id: OrganizationId) -> Result<bool, Error> {
    Ok(query_scalar!(
        r#"select exists (select 1 from event_streams where organization_id = $1) as "exists!""#,
        organization_id.as_uuid(),
    )
    .fetch_one(db)
    .await?)
}

/// How many streams the organization has.
pub async fn count(db: &mut Connection, organization_id: OrganizationId) -> Result<i64, Error> {
    Ok(query_scalar!(
        r#"select count(*) as "count!" from event_streams where organization_id = $1"#,
        organization_id.as_uuid(),
    )
    .fetch_one(db)
    .await?)
}

/// Adds a stream.
pub async fn insert(db: &mut Connection, stream: &EventStream) -> Result<(), Error> {
    query!(
        "insert into event_streams (organization_id, id, settings, authorization_header, status, reason, cursor, next_try,
             created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $8, $8)",
        stream.organization_id.as_uuid(),
        stream.id.as_uuid(),
        Json(&stream.settings) as _,
        stream.authorization_header,
        stream.status as _,
        stream.reason,
        Json(&stream.cursor) as _,
        stream.created_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Writes what its receiver set. Whoever pushes to it stops after the token that is under way, and others go on at once.
pub async fn update(db: &mut Connection, stream: &EventStream) -> Result<(), Error> {
    let done = query!(
        "update event_streams set settings = $3, authorization_header = $4, status = $5, reason = $6, cursor = $7, taken = $8,
             updated_at = $9, lease = null, leased_until = null, next_try = $9, failures = 0
         where organization_id = $1 and id = $2",
        stream.organization_id.as_uuid(),
        stream.id.as_uuid(),
        Json(&stream.settings) as _,
        stream.authorization_header,
        stream.status as _,
        stream.reason,
        Json(&stream.cursor) as _,
        &stream.taken,
        stream.updated_at,
    )
    .execute(db)
    .await?;
    super::must_exist(&done, NOUN)
}

/// Writes that its receiver asks for a token that verifies it, and tells whether it may: not when it did so after `since`.
pub async fn set_verified(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: EventStreamId,
    now: DateTime<Utc>,
    since: DateTime<Utc>,
) -> Result<bool, Error> {
    let done = query!(
        "update event_streams set verified_at = $3
         where organization_id = $1 and id = $2 and (verified_at is null or verified_at <= $4)",
        organization_id.as_uuid(),
        id.as_uuid(),
        now,
        since,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Writes which tokens its receiver took, unless somebody wrote meanwhile: then it tells `false`.
pub async fn set_taken(
    db: &mut Connection,
    stream: &EventStream,
    cursor: &Cursor,
    taken: &[String],
) -> Result<bool, Error> {
    let done = query!(
        "update event_streams set cursor = $3, taken = $4
         where organization_id = $1 and id = $2 and cursor = $5 and taken = $6 and settings = $7",
        stream.organization_id.as_uuid(),
        stream.id.as_uuid(),
        Json(cursor) as _,
        taken,
        Json(&stream.cursor) as _,
        &stream.taken,
        Json(&stream.settings) as _,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Adds what a stream tells of itself.
pub async fn insert_notice(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: EventStreamId,
    notice: &Notice,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    query!(
        "insert into event_stream_notices (organization_id, stream_id, id, created_at, token_events, is_last_word)
         values ($1, $2, $3, $4, $5, $6)",
        organization_id.as_uuid(),
        id.as_uuid(),
        notice.id,
        now,
        notice.events,
        notice.is_last_word,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What a stream is still to tell of itself, the oldest first.
pub async fn notices(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: EventStreamId,
) -> Result<Vec<Notice>, Error> {
    Ok(query_as!(
        Notice,
        "select id, token_events as events, is_last_word from event_stream_notices where organization_id = $1 and stream_id = $2 order by id",
        organization_id.as_uuid(),
        id.as_uuid(),
    )
    .fetch_all(db)
    .await?)
}

/// Removes what a stream has told of itself.
pub async fn delete_notices(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: EventStreamId,
    told: &[Uuid],
) -> Result<(), Error> {
    query!(
        "delete from event_stream_notices where organization_id = $1 and stream_id = $2 and id = any($3)",
        organization_id.as_uuid(),
        id.as_uuid(),
        told,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Keeps a stream from telling of a member or a group.
pub async fn remove_subject(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: EventStreamId,
    subject: Uuid,
) -> Result<(), Error> {
    query!(
        "insert into event_stream_removals (organization_id, stream_id, subject_id) values ($1, $2, $3) on conflict do nothing",
        organization_id.as_uuid(),
        id.as_uuid(),
        subject,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Lets a stream tell of a member or a group again.
pub async fn add_subject(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: EventStreamId,
    subject: Uuid,
) -> Result<(), Error> {
    query!(
        "delete from event_stream_removals where organization_id = $1 and stream_id = $2 and subject_id = $3",
        organization_id.as_uuid(),
        id.as_uuid(),
        subject,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Those of `subjects` of which a stream does not tell.
pub async fn removed(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: EventStreamId,
    subjects: &[Uuid],
) -> Result<Vec<Uuid>, Error> {
    Ok(query_scalar!(
        "select subject_id from event_stream_removals where organization_id = $1 and stream_id = $2 and subject_id = any($3)",
        organization_id.as_uuid(),
        id.as_uuid(),
        subjects,
    )
    .fetch_all(db)
    .await?)
}

/// The members with an address, of which the key is given, and the member or group with an identifier.
pub async fn recognise(
    db: &mut Connection,
    organization_id: OrganizationId,
    email_key: Option<&str>,
    id: Option<Uuid>,
) -> Result<Vec<Uuid>, Error> {
    Ok(query_scalar!(
        r#"select u.id as "id!" from users u where u.organization_id = $1 and (u.email_key = $2 or u.id = $3)
           union select g.id from groups g where g.organization_id = $1 and g.id = $3
           union select g.id from scim_groups g where g.organization_id = $1 and g.id = $3"#,
        organization_id.as_uuid(),
        email_key,
        id,
    )
    .fetch_all(db)
    .await?)
}

/// A stream that has something to push.
pub type Due = (OrganizationId, EventStreamId);

/// The streams of all organizations that have something to push, and that nobody pushes to now.
///
/// The transactions of a cursor are compared as one array: a database on several machines joins no table with the rows of a function.
pub async fn list_due(
    db: &mut Connection,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Due>, Error> {
    let rows = query!(
        "select s.organization_id, s.id from event_streams s
         join organizations o on o.id = s.organization_id and o.deleted_at is null
         where s.settings->>'method' = 'push' and s.next_try <= $1 and (s.leased_until is null or s.leased_until < $1)
             and (exists (select 1 from event_stream_notices n
                     where n.organization_id = s.organization_id and n.stream_id = s.id and (s.status = 'enabled' or n.is_last_word))
                 or s.status = 'enabled' and (jsonb_exists(s.cursor, 'l')
                     or exists (select 1 from events e where e.organization_id = s.organization_id and e.seq > (s.cursor->>'s')::bigint)
                     or exists (select 1 from events e
                         where e.organization_id = s.organization_id and e.seq <= (s.cursor->>'s')::bigint
                             and e.xid = any(translate(s.cursor->>'o', '[]', '{}')::bigint[]))))
         order by s.next_try limit $2",
        now,
        limit,
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.organization_id.into(), row.id.into()))
        .collect())
}

/// Takes a stream to push to it until `until`, unless somebody else has it.
pub async fn take(
    db: &mut Connection,
    (organization_id, id): Due,
    lease: Uuid,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<Option<EventStream>, Error> {
    let row = query_as!(
        Row,
        r#"update event_streams set lease = $3, leased_until = $5
         where organization_id = $1 and id = $2 and next_try <= $4 and (leased_until is null or leased_until < $4)
         returning organization_id, id, settings as "settings: Json<Settings>", authorization_header,
             status as "status: StreamStatus", reason, cursor as "cursor: Json<Cursor>", taken, verified_at, failures,
             created_at, updated_at"#,
        organization_id.as_uuid(),
        id.as_uuid(),
        lease,
        now,
        until,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(Into::into))
}

/// Writes how far a stream is whose receiver took what was before, and tells whether whoever has the lease may go on.
pub async fn advance(
    db: &mut Connection,
    (organization_id, id): Due,
    lease: Uuid,
    cursor: Option<&Cursor>,
) -> Result<bool, Error> {
    let done = query!(
        "update event_streams set cursor = coalesce($4, cursor), failures = 0
         where organization_id = $1 and id = $2 and lease = $3",
        organization_id.as_uuid(),
        id.as_uuid(),
        lease,
        cursor.map(Json) as _,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Gives a stream back; after a failure, with the moment of the next try.
pub async fn release(
    db: &mut Connection,
    (organization_id, id): Due,
    lease: Uuid,
    now: DateTime<Utc>,
    again: Option<DateTime<Utc>>,
) -> Result<(), Error> {
    query!(
        "update event_streams set lease = null, leased_until = null, next_try = coalesce($4::timestamptz, $5),
             failures = failures + case when $4::timestamptz is null then 0 else 1 end
         where organization_id = $1 and id = $2 and lease = $3",
        organization_id.as_uuid(),
        id.as_uuid(),
        lease,
        again,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The sealed header of a stream.
#[derive(Clone, Debug)]
pub struct SealedHeader {
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// Which stream's.
    pub id: EventStreamId,
    /// The header.
    pub sealed: Vec<u8>,
}

/// Reads up to `size` sealed headers of all organizations, those after `after`: for the operator who changes keys.
pub async fn list_headers(
    db: &mut Connection,
    after: Due,
    size: i64,
) -> Result<Vec<SealedHeader>, Error> {
    Ok(query_as!(
        SealedHeader,
        r#"select organization_id, id as "id: EventStreamId", authorization_header as "sealed!" from event_streams
           where (organization_id, id) > ($1, $2) and authorization_header is not null
           order by organization_id, id limit $3"#,
        after.0.as_uuid(),
        after.1.as_uuid(),
        size,
    )
    .fetch_all(db)
    .await?)
}

/// Replaces a sealed header, unless somebody did meanwhile: then it tells `false`.
pub async fn update_header(
    db: &mut Connection,
    header: &SealedHeader,
    sealed: &[u8],
) -> Result<bool, Error> {
    let done = query!(
        "update event_streams set authorization_header = $4 where organization_id = $1 and id = $2 and authorization_header = $3",
        header.organization_id.as_uuid(),
        header.id.as_uuid(),
        header.sealed,
        sealed,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// The streams of all organizations whose sealed header begins with `prefix`: for the operator who lost a key.
pub async fn find_sealed_with(
    db: &mut Connection,
    prefix: &[u8],
    limit: i64,
) -> Result<Vec<Due>, Error> {
    let rows = query!(
        "select organization_id, id from event_streams where substr(authorization_header, 1, length($1::bytea)) = $1 limit $2",
        prefix,
        limit,
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.organization_id.into(), row.id.into()))
        .collect())
}
