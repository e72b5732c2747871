//! `rollcall keys`.

use std::path::PathBuf;

use anyhow::{Result, anyhow, bail};
use clap::Subcommand;
use secrecy::zeroize::Zeroizing;

use super::remote::plain;
#[cfg(feature = "embedded-postgres")]
use super::serve::embedded;
use crate::app::{App, Random};
use crate::cli::output::{print, remark};
use crate::config::{BadSetting, DatabaseSettings, KeySettings};
use crate::domain::ids::{OrganizationId, SsoConfigurationId};
use crate::domain::sso::{FORGOTTEN_SECRET, client_key_context, client_secret_context};
use crate::provisioning::keys::unopened;
use crate::secrets::keys;
use crate::{provisioning, store};

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
    /// Has the client secrets entered again that a lost key sealed, of all organizations: they are blanked, and their
    /// configurations sign nobody in until then. The lost key must not be in ROLLCALL_ENCRYPTION_KEYS.
    Forget {
        /// The lost key's id, as the error of serve names it.
        #[arg(value_name = "KEY_ID")]
        id: String,
        #[command(flatten)]
        database: DatabaseSettings,
        #[command(flatten)]
        keys: KeySettings,
        /// The folder of the embedded PostgreSQL, which is used without DATABASE_URL, while no serve uses it.
        #[arg(
            long,
            env = "ROLLCALL_DATA_DIR",
            default_value = "./rollcall-data",
            value_name = "FOLDER"
        )]
        data_dir: PathBuf,
    },
}

impl Keys {
    pub async fn run(self) -> Result<()> {
        match self {
            Self::Generate { id } => {
                let random = Random::system()?;
                let id = id.unwrap_or_else(|| keys::new_id(&random));
                keys::check_id(&id).map_err(|e| BadSetting(format!("--id {e}")))?;
                let key = keys::generate(&id, &random);
                print(key.as_str())?;
                Ok(())
            }
            Self::Reseal { database, keys } => {
                let store = super::connect(database.required_url()?, 1).await?;
                reseal(&App::new(store, keys.required_keyring()?, String::new())?).await
            }
            Self::Forget {
                id,
                database,
                keys,
                data_dir,
            } => {
                #[cfg(feature = "embedded-postgres")]
                if database.url()?.is_none() && embedded::is_there(&data_dir) {
                    let (server, app) = embedded::open(&data_dir, keys.keyring()?).await?;
                    let result = forget(&app, &id).await;
                    app.store.close().await;
                    server.stop().await;
                    return result;
                }
                let _ = data_dir;
                let url = database.required_url()?;
                let keyring = keys.required_keyring()?;
                let store = super::connect(url, 1).await?;
                forget(&App::new(store, keyring, String::new())?, &id).await
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
            let opened = if secret.is_forgotten {
                Zeroizing::new(FORGOTTEN_SECRET.to_vec())
            } else {
                let opened = app.keys.open(&secret.client_secret, &context);
                opened.ok_or_else(|| anyhow!(unopened(app, &secret)))?
            };
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
    let keys = reseal_client_keys(app).await?;
    (seen, changed) = (seen + keys.0, changed + keys.1);
    remark(format_args!(
        "Sealed {changed} of {seen} secrets anew. Keys other than the first are needed no more."
    ));
    Ok(())
}

/// How many client keys there are, and how many were sealed anew.
async fn reseal_client_keys(app: &App) -> Result<(usize, usize)> {
    let (mut seen, mut changed) = (0, 0);
    let nobody = uuid::Uuid::nil();
    let mut last = (
        OrganizationId::from(nobody),
        SsoConfigurationId::from(nobody),
    );
    loop {
        let mut tx = app.store.begin().await?;
        let batch = store::client_keys::lock(&mut tx, last, BATCH).await?;
        for mut key in batch.iter().cloned() {
            let context = client_key_context(key.organization_id, key.sso_configuration_id);
            if app.keys.is_current(&key.sealed_key) {
                continue;
            }
            let opened = app.keys.open(&key.sealed_key, &context);
            let opened = opened.ok_or_else(|| {
                anyhow!(
                    "no key of ROLLCALL_ENCRYPTION_KEYS opens the client key of the SSO configuration {}: add the key that sealed it, {:?}",
                    key.sso_configuration_id,
                    keys::key_id(&key.sealed_key).unwrap_or("?")
                )
            })?;
            key.sealed_key = app.keys.seal(&opened, &context, &app.random)?;
            store::client_keys::update(&mut tx, &key).await?;
            changed += 1;
        }
        tx.commit().await?;
        seen += batch.len();
        match batch.last() {
            Some(key) => last = (key.organization_id, key.sso_configuration_id),
            None => return Ok((seen, changed)),
        }
    }
}

async fn forget(app: &App, id: &str) -> Result<()> {
    let forgotten = provisioning::keys::forget(app, id).await?;
    if forgotten.is_empty() {
        let mut db = app.store.acquire().await?;
        let samples = store::sso::sample_secrets(&mut db).await?;
        let known = samples
            .iter()
            .filter_map(|s| keys::key_id(&s.client_secret));
        let known = known.map(|id| format!("{id:?}")).collect::<Vec<_>>();
        let known = match known.is_empty() {
            true => "no key sealed any".to_owned(),
            false => format!("the keys that sealed some are {}", known.join(", ")),
        };
        bail!("the key {id:?} sealed no client secret, so none is blanked: {known}");
    }
    for configuration in &forgotten {
        let c = configuration;
        let line = format!("{}  {}  {:?}", c.organization_id, c.id, c.display_name());
        print(plain(&line))?;
    }
    remark(format_args!(
        "Blanked the client secrets of these {} SSO configurations (organization, configuration, name). Nobody signs in through them until an administrator of the organization enters the client secret again: UpdateSSOConfiguration with clientSecret.",
        forgotten.len()
    ));
    Ok(())
}
