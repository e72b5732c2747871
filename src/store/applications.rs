//! Applications and the hashes of their secrets.

use chrono::{DateTime, Utc};
use sqlx::{query, query_as};
use uuid::Uuid;

use super::aggregate::aggregate;
use super::{Connection, Json, must_exist};
use crate::domain::application::{Application, Settings};
use crate::domain::ids::{ApplicationId, OrganizationId};
use crate::error::Error;

const NOUN: &str = "application";

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
            r#"select organization_id, id, settings as "settings: Json<Settings>", created_at, updated_at from applications "# + $rest,
            $($argument),+
        )
    };
}

impl From<Row> for Application {
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

aggregate! { Application by ApplicationId, NOUN, select: get, lock, list, delete("applications") }

/// The secrets that an application may present, as SHA-256.
#[derive(Debug, Default)]
pub struct Secrets {
    /// The one that it has.
    pub current: Option<Vec<u8>>,
    /// The one that it had before.
    pub previous: Option<Vec<u8>>,
    /// Until when that one counts.
    pub previous_expires_at: Option<DateTime<Utc>>,
}

/// Reads an application with its secrets, for a client that presents one. `None` for one that is not there: those of an organization
/// go when it is deleted.
pub async fn find_client(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: ApplicationId,
) -> Result<Option<(Application, Secrets)>, Error> {
    let row = query!(
        r#"select a.settings as "settings: Json<Settings>", a.created_at, a.updated_at, a.secret_hash, a.previous_secret_hash,
               a.previous_secret_expires_at
           from applications a where a.organization_id = $1 and a.id = $2"#,
        organization_id.as_uuid(),
        id.as_uuid(),
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| {
        let application = Application {
            organization_id,
            id,
            settings: row.settings.0,
            created_at: row.created_at,
            updated_at: row.updated_at,
        };
        let secrets = Secrets {
            current: row.secret_hash,
            previous: row.previous_secret_hash,
            previous_expires_at: row.previous_secret_expires_at,
        };
        (application, secrets)
    }))
}

/// Adds an application.
pub async fn insert(
    db: &mut Connection,
    application: &Application,
    secret_hash: Option<&[u8]>,
) -> Result<(), Error> {
    query!(
        "insert into applications (organization_id, id, name, settings, secret_hash, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7)",
        application.organization_id.as_uuid(),
        application.id.as_uuid(),
        application.settings.name,
        Json(&application.settings) as _,
        secret_hash,
        application.created_at,
        application.updated_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Writes what is said of an application.
///
/// # Errors
///
/// [`Error::NotFound`] when it is gone.
pub async fn update(db: &mut Connection, application: &Application) -> Result<(), Error> {
    let done = query!(
        "update applications set name = $3, settings = $4, updated_at = $5 where organization_id = $1 and id = $2",
        application.organization_id.as_uuid(),
        application.id.as_uuid(),
        application.settings.name,
        Json(&application.settings) as _,
        application.updated_at,
    )
    .execute(db)
    .await?;
    must_exist(&done, NOUN)
}

/// Gives an application another secret. The one before counts until `previous_expires_at`, if that is given.
///
/// # Errors
///
/// [`Error::NotFound`] when it is gone.
pub async fn replace_secret(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: ApplicationId,
    secret_hash: Option<&[u8]>,
    previous_expires_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let done = query!(
        "update applications set secret_hash = $3, updated_at = $5,
             previous_secret_hash = case when $4::timestamptz is not null then secret_hash end,
             previous_secret_expires_at = $4
         where organization_id = $1 and id = $2",
        organization_id.as_uuid(),
        id.as_uuid(),
        secret_hash,
        previous_expires_at,
        now,
    )
    .execute(db)
    .await?;
    must_exist(&done, NOUN)
}
