//! `rollcall keys`.

use std::path::PathBuf;

use anyhow::{Result, anyhow, bail};
use clap::Subcommand;
use secrecy::ExposeSecret;

use super::remote::plain;
#[cfg(feature = "embedded-postgres")]
use super::serve::embedded;
use crate::app::{Operator, Random};
use crate::cli::output::{print, remark};
use crate::config::{BadSetting, DatabaseSettings, KeySettings};
use crate::domain::event_stream::authorization_header_context;
use crate::domain::ids::{EventStreamId, OrganizationId, SsoConfigurationId};
use crate::domain::sso::client_key_context;
use crate::events::webhooks;
use crate::provisioning::keys::{open_client_secret, seal_client_secret};
use crate::provisioning::signing;
use crate::secrets::keys::{self, Keyring};
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
    /// Makes new keys that sign the tokens of applications, and signs with them from now on. By themselves they change every 90 days.
    RotateSigning {
        /// Withdraw the keys before at once, for keys that somebody else may have: what they signed is worth nothing any more.
        #[arg(long)]
        withdraw: bool,
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
                let operator = super::operator(&database).await?;
                reseal(&operator, &keys.required_keyring()?).await
            }
            Self::RotateSigning {
                withdraw,
                database,
                keys,
            } => {
                let operator = super::operator(&database).await?;
                let keyring = keys.required_keyring()?;
                signing::rotate_now(&operator, &keyring, withdraw).await?;
                remark(match withdraw {
                    true => {
                        "Made new signing keys, and withdrew those before. Servers notice within ten seconds."
                    }
                    false => {
                        "Made new signing keys. Those before are published until the last token that they signed is over."
                    }
                });
                Ok(())
            }
            Self::Forget {
                id,
                database,
                keys,
                data_dir,
            } => {
                #[cfg(feature = "embedded-postgres")]
                if database.url()?.is_none() && embedded::is_there(&data_dir) {
                    let (server, operator, keyring) =
                        embedded::open(&data_dir, keys.keyring()?).await?;
                    let result = forget(&operator, &keyring, &id).await;
                    operator.store.close().await;
                    server.stop().await;
                    return result;
                }
                let _ = data_dir;
                database.required_url()?;
                let keyring = keys.required_keyring()?;
                forget(&super::operator(&database).await?, &keyring, &id).await
            }
        }
    }
}

async fn reseal(operator: &Operator, keyring: &Keyring) -> Result<()> {
    let (mut seen, mut changed, mut overtaken) = (0, 0, 0);
    let mut last = (
        OrganizationId::from(uuid::Uuid::nil()),
        SsoConfigurationId::from(uuid::Uuid::nil()),
    );
    loop {
        let mut tx = operator.store.begin().await?;
        let batch = store::sso::list_secrets(&mut tx, last, BATCH).await?;
        for secret in &batch {
            last = (secret.organization_id, secret.id);
            let opened = match secret.is_forgotten {
                true => None,
                false => open_client_secret(keyring, last.0, last.1, &secret.client_secret)?,
            };
            if keyring.is_current(&secret.client_secret) {
                continue;
            }
            let plain = opened.as_ref().map(ExposeSecret::expose_secret);
            let sealed = seal_client_secret(keyring, &operator.random, last.0, last.1, plain)?;
            if store::sso::update_secret(&mut tx, secret, &sealed).await? {
                changed += 1;
            } else {
                overtaken += 1;
            }
        }
        tx.commit().await?;
        seen += batch.len();
        if batch.is_empty() {
            break;
        }
    }
    let keys = reseal_client_keys(operator, keyring).await?;
    let signing = reseal_signing_keys(operator, keyring).await?;
    let webhooks = webhooks::reseal(operator, keyring).await?;
    let headers = reseal_headers(operator, keyring).await?;
    for more in [keys, signing, webhooks, headers] {
        seen += more.0;
        changed += more.1;
        overtaken += more.2;
    }
    if overtaken > 0 {
        bail!(
            "Sealed {changed} of {seen} secrets anew. Some were changed meanwhile: run the command again"
        );
    }
    remark(format_args!(
        "Sealed {changed} of {seen} secrets anew. Keys other than the first are needed no more."
    ));
    Ok(())
}

/// How many client keys there are, how many were sealed anew, and how many somebody changed meanwhile.
async fn reseal_client_keys(
    operator: &Operator,
    keyring: &Keyring,
) -> Result<(usize, usize, usize)> {
    let (mut seen, mut changed, mut overtaken) = (0, 0, 0);
    let nobody = uuid::Uuid::nil();
    let mut last = (
        OrganizationId::from(nobody),
        SsoConfigurationId::from(nobody),
    );
    loop {
        let mut tx = operator.store.begin().await?;
        let batch = store::client_keys::list(&mut tx, last, BATCH).await?;
        for key in &batch {
            last = (key.organization_id, key.sso_configuration_id);
            let context = client_key_context(key.organization_id, key.sso_configuration_id);
            if keyring.is_current(&key.sealed_key) {
                continue;
            }
            let opened = keyring.open(&key.sealed_key, &context);
            let opened = opened.ok_or_else(|| {
                anyhow!(
                    "no key of ROLLCALL_ENCRYPTION_KEYS opens the client key of the SSO configuration {}: add the key that sealed it, {:?}",
                    key.sso_configuration_id,
                    keys::key_id(&key.sealed_key).unwrap_or("?")
                )
            })?;
            let sealed = keyring.seal(&opened, &context, &operator.random)?;
            if store::client_keys::update(&mut tx, key, &sealed).await? {
                changed += 1;
            } else {
                overtaken += 1;
            }
        }
        tx.commit().await?;
        seen += batch.len();
        if batch.is_empty() {
            return Ok((seen, changed, overtaken));
        }
    }
}

/// The same of the keys that sign the tokens of applications.
async fn reseal_signing_keys(
    operator: &Operator,
    keyring: &Keyring,
) -> Result<(usize, usize, usize)> {
    let (mut changed, mut overtaken) = (0, 0);
    let mut db = operator.store.acquire().await?;
    let all = store::signing_keys::list(&mut db, operator.clock.now()).await?;
    for key in all
        .iter()
        .filter(|key| !keyring.is_current(&key.sealed_key))
    {
        let context = signing::context(&key.id);
        let opened = keyring.open(&key.sealed_key, &context).ok_or_else(|| {
            anyhow!(
                "no key of ROLLCALL_ENCRYPTION_KEYS opens the signing key {}: add the key that sealed it, {:?}",
                key.id,
                keys::key_id(&key.sealed_key).unwrap_or("?")
            )
        })?;
        let sealed = keyring.seal(&opened, &context, &operator.random)?;
        match store::signing_keys::update_sealed(&mut db, key, &sealed).await? {
            true => changed += 1,
            false => overtaken += 1,
        }
    }
    Ok((all.len(), changed, overtaken))
}

/// The same of the headers with which tokens are pushed to streams.
async fn reseal_headers(operator: &Operator, keyring: &Keyring) -> Result<(usize, usize, usize)> {
    let (mut seen, mut changed, mut overtaken) = (0, 0, 0);
    let nobody = uuid::Uuid::nil();
    let mut last = (OrganizationId::from(nobody), EventStreamId::from(nobody));
    loop {
        let mut tx = operator.store.begin().await?;
        let batch = store::event_streams::list_headers(&mut tx, last, BATCH).await?;
        for header in &batch {
            last = (header.organization_id, header.id);
            if keyring.is_current(&header.sealed) {
                continue;
            }
            let context = authorization_header_context(header.organization_id, header.id);
            let opened = keyring.open(&header.sealed, &context).ok_or_else(|| {
                anyhow!(
                    "no key of ROLLCALL_ENCRYPTION_KEYS opens the authorization header of the event stream {}: add the key that sealed it, {:?}",
                    header.id,
                    keys::key_id(&header.sealed).unwrap_or("?")
                )
            })?;
            let sealed = keyring.seal(&opened, &context, &operator.random)?;
            match store::event_streams::update_header(&mut tx, header, &sealed).await? {
                true => changed += 1,
                false => overtaken += 1,
            }
        }
        tx.commit().await?;
        seen += batch.len();
        if batch.is_empty() {
            return Ok((seen, changed, overtaken));
        }
    }
}

async fn forget(operator: &Operator, keyring: &Keyring, id: &str) -> Result<()> {
    let all = provisioning::keys::forget(operator, keyring, id).await?;
    for stream in &all.streams {
        let line = format!("{}  {}", stream.organization_id, stream.id);
        print(plain(&line))?;
    }
    if !all.streams.is_empty() {
        remark(format_args!(
            "Forgot the authorization headers of these {} event streams (organization, stream), and paused them. Their receivers send the header again, and enable them.",
            all.streams.len()
        ));
    }
    let forgotten = all.configurations;
    if forgotten.is_empty() && !all.streams.is_empty() {
        return Ok(());
    }
    if forgotten.is_empty() {
        let mut db = operator.store.acquire().await?;
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
