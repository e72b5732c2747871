//! `rollcall scim`.

use anyhow::Result;
use clap::Subcommand;
use serde_json::{Value, json};
use uuid::Uuid;

use super::operator;
use crate::config::DatabaseSettings;
use crate::store::scim_events::{self, Listed};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Prints the log of a SCIM configuration, the newest request first: what came of each, and why one was refused.
    Events {
        /// The SCIM configuration's id.
        #[arg(long, value_name = "ID")]
        configuration: Uuid,
        /// Only requests that were refused.
        #[arg(long)]
        failed: bool,
        /// How many at the most.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
        /// Print a JSON array instead of lines.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        database: DatabaseSettings,
    },
}

impl Command {
    pub async fn run(self) -> Result<()> {
        let Self::Events {
            configuration,
            failed,
            limit,
            json,
            database,
        } = self;
        let app = operator(&database).await?;
        let mut db = app.store.acquire().await?;
        let events =
            scim_events::list(&mut db, configuration.into(), failed, i64::from(limit)).await?;
        if json {
            println!("{}", json!(events));
        } else {
            for event in events {
                println!("{}", line(&event));
            }
        }
        Ok(())
    }
}

fn line(event: &Listed) -> String {
    let what = match (&event.reason, &event.changes) {
        (Some(reason), _) => reason.clone(),
        (None, Some(Value::Array(changes))) => {
            changes.iter().map(change).collect::<Vec<_>>().join(", ")
        }
        (None, _) => String::new(),
    };
    let traits = match event.traits.is_empty() {
        true => String::new(),
        false => format!(" [{}]", event.traits.join(", ")),
    };
    format!(
        "{}  {} {}  {} {}{traits}  {what}",
        event.created_at.format("%Y-%m-%d %H:%M:%S"),
        event.method,
        event.path,
        event.status,
        event.outcome,
    )
}

fn change(change: &Value) -> String {
    let name = change
        .get("attribute")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let side = |key: &str| {
        change
            .get(key)
            .map_or_else(|| "none".to_owned(), ToString::to_string)
    };
    format!("{name}: {} → {}", side("old"), side("new"))
}
