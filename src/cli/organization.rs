//! `rollcall organization`.

use anyhow::Result;
use clap::Subcommand;
use serde_json::json;

use super::operator;
use crate::cli::output::print;
use crate::config::DatabaseSettings;
use crate::domain::organization::Organization;
use crate::provisioning::organizations;
use crate::store;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Makes an organization and prints its id.
    Create {
        /// What people call it: 1 to 128 characters.
        #[arg(long)]
        name: String,
        /// Print a JSON object instead of the bare id.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        database: DatabaseSettings,
    },
    /// Lists the organizations, the oldest first.
    List {
        /// Print a JSON array instead of a table.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        database: DatabaseSettings,
    },
}

impl Command {
    pub async fn run(self) -> Result<()> {
        match self {
            Self::Create {
                name,
                json,
                database,
            } => {
                let operator = operator(&database).await?;
                let organization = organizations::create_and_record(&operator, &name).await?;
                if json {
                    print(row(&organization))?
                } else {
                    print(organization.id)?
                }
            }
            Self::List { json, database } => {
                let operator = operator(&database).await?;
                let mut db = operator.store.acquire().await?;
                let all = store::organizations::list(&mut db).await?;
                if json {
                    print(json!(all.iter().map(row).collect::<Vec<_>>()))?;
                } else {
                    for o in all {
                        print(format_args!(
                            "{}  {}  {}",
                            o.id,
                            o.created_at.format("%Y-%m-%d %H:%M"),
                            o.name
                        ))?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn row(organization: &Organization) -> serde_json::Value {
    json!({
        "id": organization.id.as_uuid(),
        "name": organization.name,
        "createdAt": organization.created_at,
    })
}
