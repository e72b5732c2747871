//! The schema's versions, and which programs can use which.
//!
//! A release's schema serves the release before it as well: it is expanded first, and contracted when no
//! program needs any more what goes. The table `schema_compatibility` says how old a program may be.

use std::sync::LazyLock;

use sqlx::migrate::Migrator;
use sqlx::{query_as, query_scalar};

use super::Connection;
use super::status::known_schema_version;
use crate::error::Error;

/// The schema's versions. Embedded in the binary; a version that landed is never edited.
pub static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrations = sqlx::migrate!();
    // Those of newer releases: `check_compatible` decides about them.
    migrations.set_ignore_missing(true);
    migrations
});

// The queries are not checked: neither table is in the schema of every database that they are run on.

/// Makes sure that the database can store every text.
pub(super) async fn check_encoding(db: &mut Connection) -> Result<(), Error> {
    let encoding: String = query_scalar("select current_setting('server_encoding')")
        .fetch_one(db)
        .await?;
    if encoding == "UTF8" {
        return Ok(());
    }
    Err(Error::FailedPrecondition(format!(
        "the database that DATABASE_URL names stores text as {encoding} and not as UTF8: name one that is made with \"create database rollcall template template0 encoding 'UTF8' locale 'C'\""
    )))
}

/// Whether a schema is in the database.
#[cfg(feature = "embedded-postgres")]
pub(super) async fn is_there(db: &mut Connection) -> Result<bool, Error> {
    let is_there = query_scalar("select to_regclass('_sqlx_migrations') is not null");
    Ok(is_there.fetch_one(db).await?)
}

/// Makes sure that this program can use the schema, which a newer one may have made.
pub(super) async fn check_compatible(db: &mut Connection) -> Result<(), Error> {
    let known = known_schema_version();
    let newest: Option<i64> = query_scalar("select max(version) from _sqlx_migrations")
        .fetch_one(&mut *db)
        .await?;
    let Some(newest) = newest.filter(|newest| *newest > known) else {
        return Ok(());
    };
    let (oldest, release): (i64, String) =
        query_as("select oldest_version, oldest_release from schema_compatibility")
            .fetch_one(db)
            .await?;
    if known < oldest {
        return Err(Error::FailedPrecondition(format!(
            "a newer release upgraded the schema of the database to version {newest}, with which this one, made for version {known}, cannot work: start Rollcall {release} or newer. To go back to this one, restore the database from a backup of before the upgrade"
        )));
    }
    tracing::info!(
        newest,
        known,
        "the schema is newer than this program, and compatible with it"
    );
    Ok(())
}
