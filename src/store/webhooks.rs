//! Webhooks and their sealed secrets.

use chrono::{DateTime, Utc};
use sqlx::{query, query_as, query_scalar};
use uuid::Uuid;

use super::aggregate::aggregate;
use super::{Connection, Json, must_exist};
use crate::domain::ids::{OrganizationId, WebhookId};
use crate::domain::webhook::{Settings, Webhook};
use crate::error::Error;

const NOUN: &str = "webhook";

struct Row {
    organization_id: Uuid,
    id: Uuid,
    settings: Json<Settings>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

macro_rules! select {
    ($rest:literal, $($argument:expr),+ $(,)?) => {
        query_as!(
            Row,
            r#"select organization_id, id, settings as "settings: Json<Settings>", created_at, updated_at from webhooks "# + $rest,
            $($argument),+
        )
    };
}

impl From<Row> for Webhook {
    fn from(row: Row) -> Self {
        Self {
            organization_id: row.organization_id.into(),
            id: row.id.into(),
            settings: row.settings.0,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

aggregate! { Webhook by WebhookId, NOUN, select: get, lock, list, delete("webhooks") }

/// The sealed secrets that sign what is sent.
#[derive(Debug)]
pub struct Secrets {
    /// The one that it has; `None` for one that is lost.
    pub current: Option<Vec<u8>>,
    /// The one before, while it signs, too.
    pub previous: Option<Vec<u8>>,
}

/// Reads the secrets of a webhook that count now.
///
/// # Errors
///
/// [`Error::NotFound`] when it is gone.
pub async fn secrets(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: WebhookId,
    now: DateTime<Utc>,
) -> Result<Secrets, Error> {
    query_as!(
        Secrets,
        "select secret as current, case when previous_secret_expires_at > $3 then previous_secret end as previous
         from webhooks where organization_id = $1 and id = $2",
        organization_id.as_uuid(),
        id.as_uuid(),
        now,
    )
    .fetch_optional(db)
    .await?
    .ok_or(Error::NotFound(NOUN))
}

/// How many an organization has, or the installation. Others that add one wait until the transaction ends.
pub async fn count(db: &mut Connection, organization_id: OrganizationId) -> Result<usize, Error> {
    let ids = query_scalar!(
        "select id from webhooks where organization_id = $1 for update",
        organization_id.as_uuid(),
    )
    .fetch_all(db)
    .await?;
    Ok(ids.len())
}

/// Adds a webhook.
pub async fn insert(
    db: &mut Connection,
    webhook: &Webhook,
    sealed_secret: &[u8],
) -> Result<(), Error> {
    query!(
        "insert into webhooks (organization_id, id, settings, secret, created_at, updated_at) values ($1, $2, $3, $4, $5, $6)",
        webhook.organization_id.as_uuid(),
        webhook.id.as_uuid(),
        Json(&webhook.settings) as _,
        sealed_secret,
        webhook.created_at,
        webhook.updated_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Writes what is said of a webhook.
///
/// # Errors
///
/// [`Error::NotFound`] when it is gone.
pub async fn update(db: &mut Connection, webhook: &Webhook) -> Result<(), Error> {
    let done = query!(
        "update webhooks set settings = $3, updated_at = $4 where organization_id = $1 and id = $2",
        webhook.organization_id.as_uuid(),
        webhook.id.as_uuid(),
        Json(&webhook.settings) as _,
        webhook.updated_at,
    )
    .execute(db)
    .await?;
    must_exist(&done, NOUN)
}

/// Gives a webhook another secret. The one before signs until `previous_expires_at`, too, if that is given.
///
/// # Errors
///
/// [`Error::NotFound`] when it is gone.
pub async fn replace_secret(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: WebhookId,
    sealed_secret: &[u8],
    previous_expires_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let done = query!(
        "update webhooks set secret = $3, updated_at = $5, previous_secret_expires_at = $4,
             previous_secret = case when $4::timestamptz is not null then secret end
         where organization_id = $1 and id = $2",
        organization_id.as_uuid(),
        id.as_uuid(),
        sealed_secret,
        previous_expires_at,
        now,
    )
    .execute(db)
    .await?;
    must_exist(&done, NOUN)
}

/// A webhook with its secrets, for a command that seals them anew.
#[derive(Debug)]
pub struct Sealed {
    /// Whose it is.
    pub organization_id: Uuid,
    /// Its identifier.
    pub id: Uuid,
    /// The secret.
    pub secret: Option<Vec<u8>>,
    /// The one before.
    pub previous_secret: Option<Vec<u8>>,
}

/// Reads some webhooks of all organizations, those behind one, in the order of their keys.
pub async fn list_sealed(
    db: &mut Connection,
    after: (Uuid, Uuid),
    limit: i64,
) -> Result<Vec<Sealed>, Error> {
    Ok(query_as!(
        Sealed,
        "select organization_id, id, secret, previous_secret from webhooks where (organization_id, id) > ($1, $2)
         order by organization_id, id limit $3",
        after.0,
        after.1,
        limit,
    )
    .fetch_all(db)
    .await?)
}

/// Writes the secrets of a webhook in another form, and tells whether they were still these.
pub async fn reseal(
    db: &mut Connection,
    before: &Sealed,
    secrets: [Option<&[u8]>; 2],
) -> Result<bool, Error> {
    let done = query!(
        "update webhooks set secret = $3, previous_secret = $4
         where organization_id = $1 and id = $2 and secret is not distinct from $5 and previous_secret is not distinct from $6",
        before.organization_id,
        before.id,
        secrets[0],
        secrets[1],
        before.secret,
        before.previous_secret,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Forgets the secrets that a key sealed, by what they begin with, and tells whose they were.
pub async fn forget_sealed_with(
    db: &mut Connection,
    prefix: &[u8],
) -> Result<Vec<(Uuid, Uuid)>, Error> {
    let rows = query!(
        "update webhooks set secret = null, previous_secret = null
         where substr(secret, 1, length($1::bytea)) = $1 returning organization_id, id",
        prefix,
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.organization_id, row.id))
        .collect())
}
