//! `rollcall sso attempts`.

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;
use uuid::Uuid;

use super::super::operator;
use crate::config::DatabaseSettings;
use crate::store::sign_in::{AttemptFilter, ListedAttempt, list_attempts};

#[derive(Args, Debug)]
pub struct Attempts {
    /// Only those of this organization.
    #[arg(long, value_name = "ID")]
    organization: Option<Uuid>,
    /// Only those through this SSO configuration.
    #[arg(long, value_name = "ID")]
    configuration: Option<Uuid>,
    /// Only the one with the reference that a person was shown.
    #[arg(long, value_name = "ID")]
    reference: Option<Uuid>,
    /// Only those that were refused.
    #[arg(long)]
    refused: bool,
    /// How many at the most.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Print a JSON array instead of lines.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseSettings,
}

impl Attempts {
    pub async fn run(self) -> Result<()> {
        let app = operator(&self.database).await?;
        let mut db = app.store.acquire().await?;
        let filter = AttemptFilter {
            organization_id: self.organization,
            sso_configuration_id: self.configuration,
            id: self.reference,
            refused: self.refused,
        };
        let attempts = list_attempts(&mut db, &filter, i64::from(self.limit)).await?;
        if let (Some(reference), true) = (self.reference, attempts.is_empty()) {
            bail!(
                "no try to sign in has the reference {reference}: it is mistyped, or older than tries are kept"
            );
        }
        if self.json {
            println!("{}", json!(attempts));
        } else {
            for attempt in &attempts {
                println!("{}", line(attempt));
            }
        }
        Ok(())
    }
}

fn line(attempt: &ListedAttempt) -> String {
    let who = match (&attempt.email, &attempt.subject) {
        (Some(email), _) => email.clone(),
        (None, Some(subject)) => format!("sub {subject}"),
        (None, None) => "nobody known".to_owned(),
    };
    let check = attempt
        .failed_check
        .as_ref()
        .map(|check| format!(" ({check})"));
    let part = attempt
        .failed_expression
        .as_ref()
        .map(|part| format!("\n    expression: {part}"));
    let claims = match attempt.claim_names.is_empty() {
        true => String::new(),
        false => format!("\n    claims: {}", attempt.claim_names.join(", ")),
    };
    format!(
        "{}  {}  {who}  {}{}  {}{}{claims}",
        attempt.created_at.format("%Y-%m-%d %H:%M:%S"),
        attempt.id,
        attempt.outcome,
        check.unwrap_or_default(),
        attempt.reason.as_deref().unwrap_or_default(),
        part.unwrap_or_default(),
    )
}
