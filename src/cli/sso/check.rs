//! `rollcall sso check`.

use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::Args;
use secrecy::SecretString;
use uuid::Uuid;

use super::super::operator;
use crate::app::App;
use crate::config::{DatabaseSettings, KeySettings, OutgoingSettings, public_url};
use crate::domain::sso::{SsoConfiguration, client_secret_context};
use crate::oidc::Registration;
use crate::oidc::check::{self, Finding, Outcome};
use crate::outgoing::Outgoing;
use crate::provisioning::sign_in::start_url;
use crate::store;

#[derive(Args, Debug)]
pub struct Check {
    /// The SSO configuration's id.
    configuration: Uuid,
    /// Where browsers reach the server, as serve has it.
    #[arg(long, env = "ROLLCALL_PUBLIC_URL", value_name = "URL")]
    public_url: String,
    #[command(flatten)]
    outgoing: OutgoingSettings,
    #[command(flatten)]
    database: DatabaseSettings,
    #[command(flatten)]
    keys: KeySettings,
}

impl Check {
    pub async fn run(self) -> Result<ExitCode> {
        let app = App {
            outgoing: Outgoing::with(self.outgoing.outgoing()?)?,
            public_url: public_url(&self.public_url)?,
            keys: self.keys.keyring()?.unwrap_or_default(),
            ..operator(&self.database).await?
        };
        let mut db = app.store.acquire().await?;
        let configuration = store::sso::find(&mut db, self.configuration.into()).await?;
        let sealed =
            store::sso::client_secret(&mut db, configuration.organization_id, configuration.id)
                .await?;
        drop(db);
        let registration = Registration {
            client_secret: self.open(&app, &configuration, &sealed)?,
            configuration: &configuration,
            public_url: &app.public_url,
        };
        println!("{}", configuration.label());
        let findings = check::run(&registration, &app.providers, &app.outgoing).await;
        for finding in &findings {
            println!("{}", line(finding));
        }
        println!("      link: {}", start_url(&app, &configuration, "", ""));
        let is_bad = findings.iter().any(|f| f.outcome == Outcome::Bad);
        Ok(if is_bad {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    }

    fn open(
        &self,
        app: &App,
        configuration: &SsoConfiguration,
        sealed: &[u8],
    ) -> Result<Option<SecretString>> {
        if self.keys.keyring()?.is_none() {
            return Ok(None);
        }
        let context = client_secret_context(configuration.organization_id, configuration.id);
        let secret = app.keys.open(sealed, &context);
        let secret = secret.and_then(|secret| String::from_utf8(secret.to_vec()).ok());
        secret.map(|secret| Some(secret.into())).ok_or_else(|| {
            anyhow!("no key of ROLLCALL_ENCRYPTION_KEYS opens the client secret: add the key that sealed it")
        })
    }
}

fn line(finding: &Finding) -> String {
    let mark = match finding.outcome {
        Outcome::Good => "ok   ",
        Outcome::Doubtful => "look ",
        Outcome::Bad => "BAD  ",
    };
    format!("{mark} {}: {}", finding.subject, finding.text)
}
