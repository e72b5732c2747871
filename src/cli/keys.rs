//! `rollcall keys`.

use anyhow::{Context, Result};
use clap::Subcommand;

use crate::app::{App, Random};
use crate::config::{BadSetting, DatabaseSettings, KeySettings};
use crate::domain::ids::{OrganizationId, SsoConfigurationId};
use crate::domain::sso::client_secret_context;
use crate::secrets::keys;
use crate::store;

/// How many secrets one transaction re-seals.
const BATCH: i64 = 500;

#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Prints a new key for ROLLCALL_ENCRYPTION_KEYS.
    Generate {
        /// What to call it. Keys of different ids are never taken for one another. [default: key- and random digits]
        #[arg(long, value_name = "ID")]
        id: Option<String>,
    },
    /// Seals every secret anew with the first key, so that older keys can be removed.
    Reseal {
        #[command(flatten)]
        database: DatabaseSettings,
        #[command(flatten)]
        keys: KeySettings,
    },
}

impl Keys {
    pub async fn run(self) -> Result<()> {
        match self {
            Self::Generate { id } => {
                let random = Random::system()?;
                let id =
                    id.unwrap_or_else(|| format!("key-{:08x}", u32::from_be_bytes(random.bytes())));
                keys::check_id(&id).map_err(|e| BadSetting(format!("--id {e}")))?;
                let key = keys::generate(&id, &random);
                println!("{}", *key);
                Ok(())
            }
            Self::Reseal { database, keys } => {
                let store = super::connect(database.required_url()?, 1).await?;
                reseal(&App::new(store, keys.required_keyring()?, String::new())?).await
            }
        }
    }
}

async fn reseal(app: &App) -> Result<()> {
    let (mut seen, mut changed) = (0, 0);
    let mut last = (
        OrganizationId::from(uuid::Uuid::nil()),
        SsoConfigurationId::from(uuid::Uuid::nil()),
    );
    loop {
        let mut tx = app.store.begin().await?;
        let batch = store::sso::lock_secrets(&mut tx, last, BATCH).await?;
        for mut secret in batch.iter().cloned() {
            let context = client_secret_context(secret.organization_id, secret.id);
            let opened = app.keys.open(&secret.client_secret, &context);
            let opened = opened.with_context(|| {
                format!(
                    "no key given opens the client secret of the SSO configuration {}: add the key that sealed it",
                    secret.id
                )
            })?;
            if app.keys.is_current(&secret.client_secret) {
                continue;
            }
            secret.client_secret = app.keys.seal(&opened, &context, &app.random)?;
            store::sso::update_secret(&mut tx, &secret).await?;
            changed += 1;
        }
        tx.commit().await?;
        seen += batch.len();
        match batch.last() {
            Some(secret) => last = (secret.organization_id, secret.id),
            None => break,
        }
    }
    eprintln!(
        "Sealed {changed} of {seen} secrets anew. Keys other than the first are needed no more."
    );
    Ok(())
}
