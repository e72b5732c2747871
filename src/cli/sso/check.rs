//! `rollcall sso check`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::super::remote::{Remote, plain};
use crate::cli::output::print;
use crate::config::RemoteSettings;

#[derive(Args, Debug)]
pub struct Check {
    /// The SSO configuration's id.
    configuration: Uuid,
    #[command(flatten)]
    remote: RemoteSettings,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Checked {
    sso_configuration_id: Uuid,
    display_name: String,
    findings: Vec<Finding>,
    login_url: String,
}

#[derive(Deserialize)]
struct Finding {
    outcome: String,
    subject: String,
    #[serde(default)]
    text: String,
}

impl Check {
    pub async fn run(self) -> Result<ExitCode> {
        let remote = Remote::new(&self.remote)?;
        let request = json!({ "ssoConfigurationId": self.configuration });
        let method = "SignInService/CheckSSOConfiguration";
        let checked: Checked = remote.call(method, &request).await?;
        print(format_args!(
            "{:?} ({})",
            checked.display_name, checked.sso_configuration_id
        ))?;
        for finding in &checked.findings {
            print(plain(&line(finding)))?;
        }
        print(format_args!("      link: {}", plain(&checked.login_url)))?;
        let is_bad = checked.findings.iter().any(|f| f.outcome == "OUTCOME_BAD");
        Ok(if is_bad {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    }
}

fn line(finding: &Finding) -> String {
    let mark = match &*finding.outcome {
        "OUTCOME_OK" => "ok   ",
        "OUTCOME_BAD" => "BAD  ",
        _ => "look ",
    };
    format!("{mark} {}: {}", finding.subject, finding.text)
}
