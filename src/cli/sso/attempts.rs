//! `rollcall sso attempts`.

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use clap::Args;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::super::remote::{Remote, enum_name, plain};
use crate::cli::output::print;
use crate::config::RemoteSettings;

#[derive(Args, Debug)]
pub struct Attempts {
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
    remote: RemoteSettings,
}

/// A try, as the server sends it and as it is printed in JSON.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Attempt {
    id: Uuid,
    created_at: DateTime<Utc>,
    sso_configuration_id: Uuid,
    #[serde(deserialize_with = "outcome")]
    outcome: String,
    failed_check: Option<String>,
    reason: Option<String>,
    email: Option<String>,
    subject: Option<String>,
    #[serde(default)]
    claim_names: Vec<String>,
    failed_expression: Option<String>,
    user_id: Option<Uuid>,
}

fn outcome<'de, D: Deserializer<'de>>(wire: D) -> Result<String, D::Error> {
    Ok(enum_name(&String::deserialize(wire)?, "SIGN_IN_OUTCOME_"))
}

impl Attempts {
    pub async fn run(self) -> Result<()> {
        let remote = Remote::new(&self.remote)?;
        let request = json!({ "filter": {
            "ssoConfigurationId": self.configuration,
            "reference": self.reference,
            "outcome": self.refused.then_some("SIGN_IN_OUTCOME_REFUSED"),
        } });
        let method = "SignInService/ListSignInAttempts";
        let attempts: Vec<Attempt> = remote.list(method, request, "attempts", self.limit).await?;
        if let (Some(reference), true) = (self.reference, attempts.is_empty()) {
            bail!(
                "no try to sign in has the reference {reference}: it is mistyped, of another organization, or older than tries are kept"
            );
        }
        if self.json {
            print(json!(attempts))?;
        } else {
            for line in attempts.iter().flat_map(lines) {
                print(plain(&line))?;
            }
        }
        Ok(())
    }
}

fn lines(attempt: &Attempt) -> Vec<String> {
    let who = match (&attempt.email, &attempt.subject) {
        (Some(email), _) => email.clone(),
        (None, Some(subject)) => format!("sub {subject}"),
        (None, None) => "nobody known".to_owned(),
    };
    let check = attempt
        .failed_check
        .as_ref()
        .map(|check| format!(" ({check})"));
    let mut lines = vec![format!(
        "{}  {}  {who}  {}{}  {}",
        attempt.created_at.format("%Y-%m-%d %H:%M:%S"),
        attempt.id,
        attempt.outcome,
        check.unwrap_or_default(),
        attempt.reason.as_deref().unwrap_or_default(),
    )];
    if let Some(part) = &attempt.failed_expression {
        lines.push(format!("    expression: {part}"));
    }
    if !attempt.claim_names.is_empty() {
        lines.push(format!("    claims: {}", attempt.claim_names.join(", ")));
    }
    lines
}
