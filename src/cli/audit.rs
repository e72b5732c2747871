//! `rollcall audit`.

use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::Subcommand;
use serde_json::json;
use uuid::Uuid;

use super::operator;
use crate::cli::output::print;
use crate::config::DatabaseSettings;
use crate::store::audit::{self, Filter};

/// How many entries are read at once.
const PAGE: u32 = 1_000;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Prints the audit log of an organization as JSON lines, the oldest entry first; that of a deleted one, too.
    Export {
        /// The organization's id.
        #[arg(long, value_name = "ID")]
        organization: Uuid,
        /// From this moment on, such as 2030-01-31T00:00:00Z.
        #[arg(long, value_name = "TIME")]
        from: Option<DateTime<Utc>>,
        /// Before this moment.
        #[arg(long, value_name = "TIME")]
        to: Option<DateTime<Utc>>,
        #[command(flatten)]
        database: DatabaseSettings,
    },
}

impl Command {
    pub async fn run(self) -> Result<()> {
        let Self::Export {
            organization,
            from,
            to,
            database,
        } = self;
        let operator = operator(&database).await?;
        let filter = Filter {
            from,
            to,
            ..Filter::default()
        };
        let mut behind = None;
        loop {
            let mut db = operator.store.acquire().await?;
            let found =
                audit::list(&mut db, organization.into(), &filter, false, behind, PAGE).await?;
            drop(db);
            for entry in &found.items {
                print(json!(entry))?;
            }
            behind = found.items.last().map(|entry| entry.id);
            if !found.has_more {
                return Ok(());
            }
        }
    }
}
