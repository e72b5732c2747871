//! `rollcall migrate`.

use anyhow::Result;
use clap::Args;

use super::operator;
use crate::cli::output::remark;
use crate::config::DatabaseSettings;

#[derive(Args, Debug)]
pub struct Migrate {
    #[command(flatten)]
    database: DatabaseSettings,
}

impl Migrate {
    pub async fn run(self) -> Result<()> {
        super::migrate(&operator(&self.database).await?.store).await?;
        remark("The schema is up to date.");
        Ok(())
    }
}
