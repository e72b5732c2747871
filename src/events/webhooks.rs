//! Webhooks: events are sent as Standard Webhooks has it (<https://www.standardwebhooks.com>): `webhook-id`, `webhook-timestamp`, and
//! `webhook-signature`, which is the HMAC-SHA-256 of these and the body.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::header::CONTENT_TYPE;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use sha2::Sha256;

use super::call::{Sent, exchange};
use crate::app::{App, Operator};
use crate::domain::audit::Change;
use crate::domain::identity::Subject;
use crate::domain::ids::{OrganizationId, WebhookId};
use crate::domain::webhook::{Webhook, secret_context};
use crate::error::Error;
use crate::provisioning::work::Work;
use crate::secrets::keys::{self, Keyring};
use crate::store;
use crate::store::events::Filter;
use crate::store::receivers::Key;

/// How the text of a secret begins.
const PREFIX: &str = "whsec_";
/// How many webhooks are read at once whose secrets are sealed anew.
const BATCH: i64 = 500;

/// A new secret: 256 random bits.
pub fn new_secret(operator: &Operator) -> SecretString {
    let bytes: [u8; 32] = operator.random.bytes();
    format!("{PREFIX}{}", STANDARD.encode(bytes)).into()
}

/// Seals a secret of a webhook.
///
/// # Errors
///
/// [`Error::Internal`] without keys.
pub fn seal(
    app: &App,
    organization_id: OrganizationId,
    id: WebhookId,
    secret: &SecretString,
) -> Result<Vec<u8>, Error> {
    let context = secret_context(organization_id, id);
    app.keys
        .seal(secret.expose_secret().as_bytes(), &context, &app.random)
}

fn open(
    keys: &Keyring,
    organization_id: OrganizationId,
    id: WebhookId,
    sealed: &[u8],
) -> Option<SecretString> {
    let opened = keys.open(sealed, &secret_context(organization_id, id))?;
    Some(std::str::from_utf8(&opened).ok()?.into())
}

/// Seals every secret anew with the first key. Tells how many webhooks there are, of how many that was done, and of how many somebody
/// changed them meanwhile.
///
/// # Errors
///
/// [`Error::FailedPrecondition`] for a secret that no key opens.
pub async fn reseal(
    operator: &Operator,
    keyring: &Keyring,
) -> Result<(usize, usize, usize), Error> {
    let (mut seen, mut changed, mut overtaken) = (0, 0, 0);
    let mut last = Default::default();
    let mut db = operator.store.acquire().await?;
    loop {
        let batch = store::webhooks::list_sealed(&mut db, last, BATCH).await?;
        let Some(end) = batch.last() else {
            return Ok((seen, changed, overtaken));
        };
        last = (end.organization_id, end.id);
        seen += batch.len();
        for row in batch {
            let mut secrets = [row.secret.clone(), row.previous_secret.clone()];
            let mut is_new = false;
            for sealed in secrets.iter_mut().flatten() {
                if keyring.is_current(sealed) {
                    continue;
                }
                let (organization_id, id) = (row.organization_id.into(), row.id.into());
                let secret = open(keyring, organization_id, id, sealed).ok_or_else(|| {
                    Error::FailedPrecondition(format!(
                        "no key of ROLLCALL_ENCRYPTION_KEYS opens the secret of the webhook {}: add the key that sealed it, {:?}",
                        row.id,
                        keys::key_id(sealed).unwrap_or("?")
                    ))
                })?;
                let context = secret_context(organization_id, id);
                *sealed = keyring.seal(
                    secret.expose_secret().as_bytes(),
                    &context,
                    &operator.random,
                )?;
                is_new = true;
            }
            if !is_new {
                continue;
            }
            let secrets = [secrets[0].as_deref(), secrets[1].as_deref()];
            match store::webhooks::reseal(&mut db, &row, secrets).await? {
                true => changed += 1,
                false => overtaken += 1,
            }
        }
    }
}

/// A webhook with what signs.
pub struct Endpoint {
    webhook: Webhook,
    /// None where no key of the server's opens them.
    secrets: Vec<SecretString>,
}

impl Endpoint {
    /// Reads a webhook to which events are sent; `None` for one that is gone or switched off.
    ///
    /// # Errors
    ///
    /// As the database has them.
    pub async fn find(app: &App, key: Key) -> Result<Option<Self>, Error> {
        let mut db = app.store.acquire().await?;
        let found = store::webhooks::get(&mut db, key.organization_id, key.id.into()).await;
        let webhook = match found {
            Err(Error::NotFound(_)) => return Ok(None),
            webhook => webhook?,
        };
        match webhook.settings.enabled {
            true => Self::of(app, &mut db, webhook).await.map(Some),
            false => Ok(None),
        }
    }

    /// A webhook with its secrets.
    ///
    /// # Errors
    ///
    /// As the database has them.
    pub async fn of(
        app: &App,
        db: &mut store::Connection,
        webhook: Webhook,
    ) -> Result<Self, Error> {
        let (organization_id, id) = (webhook.organization_id, webhook.id);
        let now = app.clock.now();
        let sealed = store::webhooks::secrets(db, organization_id, id, now).await?;
        let sealed = sealed.current.into_iter().chain(sealed.previous);
        let secrets = sealed.filter_map(|sealed| open(&app.keys, organization_id, id, &sealed));
        Ok(Self {
            secrets: secrets.collect(),
            webhook,
        })
    }

    /// Which events it hears.
    pub fn filter(&self) -> Filter {
        Filter {
            types: self.webhook.settings.wanted(),
            subjects: vec![],
        }
    }

    /// Sends a body under an identifier.
    pub async fn send(&self, app: &App, id: &str, body: &Value) -> Sent {
        match self.request(app, id, body) {
            Ok(request) => exchange(app, request).await,
            Err(why) => Sent::unsent(why),
        }
    }

    fn request(&self, app: &App, id: &str, body: &Value) -> Result<http::Request<Vec<u8>>, String> {
        if self.secrets.is_empty() {
            return Err("no key of ROLLCALL_ENCRYPTION_KEYS opens the secret of this webhook: give it another one with RotateWebhookSecret".to_owned());
        }
        let body = body.to_string();
        let timestamp = app.clock.now().timestamp();
        let signatures = self
            .secrets
            .iter()
            .filter_map(|secret| sign(secret, id, timestamp, &body));
        let signatures = signatures.collect::<Vec<_>>().join(" ");
        http::Request::post(&self.webhook.settings.url)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signatures)
            .body(body.into_bytes())
            .map_err(|error| error.to_string())
    }

    /// Switches the webhook off, which the audit log and an event tell of.
    ///
    /// # Errors
    ///
    /// As the database has them.
    pub async fn switch_off(&self, app: &App, sent: &Sent) -> Result<bool, Error> {
        let reason = match sent.is_gone {
            true => "the address answered 410, which says that it is gone for good",
            false => "every call failed for a day",
        };
        let (organization_id, id) = (self.webhook.organization_id, self.webhook.id);
        let now = app.clock.now();
        let mut work = Work::begin(app, organization_id, Subject::operator(), now).await?;
        let before = store::webhooks::lock(&mut work, organization_id, id).await?;
        if !before.settings.enabled || before.settings.url != self.webhook.settings.url {
            // Somebody was faster, and what is true of the address before says nothing of the one that it has now.
            return Ok(!before.settings.enabled);
        }
        let mut after = before.clone();
        after.settings.enabled = false;
        reason.clone_into(&mut after.settings.disabled_reason);
        after.updated_at = now;
        store::webhooks::update(&mut work, &after).await?;
        store::receivers::set_active(&mut work, key(&after), false).await?;
        work.commit(Change::updated("DisableWebhook", &before, &after))
            .await?;
        tracing::warn!(webhook = %id, organization = %organization_id, reason, "a webhook was switched off");
        Ok(true)
    }
}

/// What reads the log for a webhook.
pub fn key(webhook: &Webhook) -> Key {
    Key {
        organization_id: webhook.organization_id,
        id: webhook.id.as_uuid(),
    }
}

/// A signature, with the version of the scheme.
fn sign(secret: &SecretString, id: &str, timestamp: i64, body: &str) -> Option<String> {
    let key = STANDARD
        .decode(secret.expose_secret().strip_prefix(PREFIX)?)
        .ok()?;
    let mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    let mac = mac.chain_update(format!("{id}.{timestamp}.{body}"));
    Some(format!(
        "v1,{}",
        STANDARD.encode(mac.finalize().into_bytes())
    ))
}
