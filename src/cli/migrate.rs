//! `rollcall migrate`.

use anyhow::Result;
use clap::Args;

use super::operator;
use crate::config::DatabaseSettings;

#[derive(Args, Debug)]
pub struct Migrate {
    #[command(flatten)]
    database: DatabaseSettings,
}

impl Migrate {
    pub async fn run(self) -> Result<()> {
        operator(&self.database).await?.store.migrate().await?;
        eprintln!("The schema is up to date.");
        Ok(())
    }
}
