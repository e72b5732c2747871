//! Client secrets as they are stored: sealed, opened, and forgotten when their key is lost.

use http::HeaderValue;
use secrecy::SecretString;

use crate::app::{Operator, Random};
use crate::domain::audit::Change;
use crate::domain::event_stream::{
    EventStream, Notice, StreamStatus, authorization_header_context,
};
use crate::domain::identity::Subject;
use crate::domain::ids::{EventStreamId, OrganizationId, SsoConfigurationId};
use crate::domain::sso::{FORGOTTEN_SECRET, SsoChange, SsoConfiguration, client_secret_context};
use crate::error::{Error, Violation};
use crate::secrets::keys::{self, Keyring};
use crate::store;

/// Why a stream is paused.
const LOST_HEADER: &str =
    "The authorization header of the receiver was lost: send it again, and enable the stream.";

/// How many secrets one transaction forgets.
const BATCH: i64 = 500;

/// What was sealed with a lost key, and has to be entered again.
#[derive(Debug, Default)]
pub struct Forgotten {
    /// The configurations whose client secrets are forgotten.
    pub configurations: Vec<SsoConfiguration>,
    /// The streams that push without their headers, and are paused.
    pub streams: Vec<EventStream>,
}

/// Forgets the client secrets of all organizations that the key `id` sealed, and the headers of streams: they have
/// to be entered again. In the place of client secrets stands what the first key seals: a version that does not know of forgotten secrets
/// finds that its keys open it, and no text to send to a provider.
///
/// # Errors
///
/// [`Error::Invalid`] for what is no identifier of a key; [`Error::FailedPrecondition`] while the server has the key.
pub async fn forget(operator: &Operator, keyring: &Keyring, id: &str) -> Result<Forgotten, Error> {
    let prefix =
        keys::prefix(id).map_err(|e| Error::invalid("the key's id", Violation::LENGTH, e))?;
    if keyring.has(id) {
        return Err(Error::FailedPrecondition(format!(
            "the key {id:?} is in ROLLCALL_ENCRYPTION_KEYS, so nothing is lost: to replace it, put another key in front of it and run `rollcall keys reseal`; to forget what it sealed nevertheless, remove it from the setting first"
        )));
    }
    let mut forgotten = Forgotten {
        streams: forget_headers(operator, &prefix).await?,
        ..Forgotten::default()
    };
    loop {
        let mut tx = operator.store.begin().await?;
        let batch = store::sso::find_sealed_with(&mut tx, &prefix, BATCH).await?;
        if batch.is_empty() {
            let keys = store::client_keys::delete_sealed_with(&mut tx, &prefix).await?;
            let signing = store::signing_keys::delete_sealed_with(&mut tx, &prefix).await?;
            let webhooks = store::webhooks::forget_sealed_with(&mut tx, &prefix).await?;
            tx.commit().await?;
            for (organization, webhook) in webhooks {
                tracing::warn!(%organization, %webhook, "the secret of a webhook is lost, and nothing is sent there until it has another one, which RotateWebhookSecret gives it");
            }
            if !signing.is_empty() {
                tracing::warn!(
                    keys = signing.join(", "),
                    "signing keys are lost, and others are made: ID tokens that they signed cannot be verified any more"
                );
            }
            for (organization, configuration) in keys {
                tracing::warn!(%organization, %configuration, "the client key of an SSO configuration is lost, and another is made when it is needed: its provider must read it anew");
            }
            return Ok(forgotten);
        }
        for (organization_id, id) in batch {
            let before = store::sso::lock(&mut tx, organization_id, id).await?;
            let now = operator.clock.now();
            let mut after = before.clone();
            SsoChange::default().apply(&mut after, now);
            after.needs_client_secret = true;
            let sealed = seal_client_secret(keyring, &operator.random, organization_id, id, None)?;
            if !store::sso::forget_secret(&mut tx, &after, &prefix, &sealed).await? {
                continue;
            }
            let change = Change::updated("ForgetEncryptionKey", &before, &after);
            let row = operator.new_id();
            store::audit::insert(
                &mut tx,
                organization_id,
                row,
                now,
                Subject::operator(),
                &change,
            )
            .await?;
            forgotten.configurations.push(after);
        }
        tx.commit().await?;
    }
}

/// Pauses the streams of all organizations whose headers a lost key sealed: their receivers would refuse what comes without. They are
/// told of it when they look, or take a token without the header.
async fn forget_headers(operator: &Operator, prefix: &[u8]) -> Result<Vec<EventStream>, Error> {
    let mut forgotten = vec![];
    loop {
        let mut tx = operator.store.begin().await?;
        let batch = store::event_streams::find_sealed_with(&mut tx, prefix, BATCH).await?;
        if batch.is_empty() {
            return Ok(forgotten);
        }
        for (organization_id, id) in batch {
            let before = store::event_streams::lock(&mut tx, organization_id, id).await?;
            let now = operator.clock.now();
            let mut after = before.clone();
            after.authorization_header = None;
            after.updated_at = now;
            if before.status == StreamStatus::Enabled {
                after.status = StreamStatus::Paused;
            }
            after.reason = Some(LOST_HEADER.to_owned());
            store::event_streams::update(&mut tx, &after).await?;
            if before.status == StreamStatus::Enabled {
                let notice = Notice::stream_updated(operator.new_id(), &after);
                store::event_streams::insert_notice(&mut tx, organization_id, id, &notice, now)
                    .await?;
            }
            let change = Change::updated("ForgetEncryptionKey", &before, &after);
            let row = operator.new_id();
            let by = Subject::operator();
            store::audit::insert(&mut tx, organization_id, row, now, by, &change).await?;
            forgotten.push(after);
        }
        tx.commit().await?;
    }
}

/// The client secret of a configuration, from the form that is stored; `None` for one that is forgotten.
///
/// # Errors
///
/// [`Error::Internal`] when no key opens it, for an operator: with the key's id, and what to do.
pub fn open_client_secret(
    keyring: &Keyring,
    organization_id: OrganizationId,
    id: SsoConfigurationId,
    sealed: &[u8],
) -> Result<Option<SecretString>, Error> {
    let opened = keyring.open(sealed, &client_secret_context(organization_id, id));
    let opened = opened.ok_or_else(|| Error::internal(unopened(keyring, id, sealed)))?;
    Ok(std::str::from_utf8(&opened).ok().map(SecretString::from))
}

/// Seals a client secret, or what stands for one that is forgotten.
///
/// # Errors
///
/// [`Error::Internal`] without keys.
pub fn seal_client_secret(
    keyring: &Keyring,
    random: &Random,
    organization_id: OrganizationId,
    id: SsoConfigurationId,
    secret: Option<&str>,
) -> Result<Vec<u8>, Error> {
    let plain = secret.map_or(FORGOTTEN_SECRET, str::as_bytes);
    keyring.seal(plain, &client_secret_context(organization_id, id), random)
}

/// The header with which the tokens of a stream are pushed, from the form that is stored.
///
/// # Errors
///
/// [`Error::Internal`] when no key opens it, for an operator: with the key's id, and what to do.
pub fn open_authorization_header(
    keyring: &Keyring,
    stream: &EventStream,
) -> Result<Option<HeaderValue>, Error> {
    let Some(sealed) = &stream.authorization_header else {
        return Ok(None);
    };
    let context = authorization_header_context(stream.organization_id, stream.id);
    let opened = keyring.open(sealed, &context).ok_or_else(|| {
        let sealer = keys::key_id(sealed).unwrap_or("?");
        Error::internal(format!(
            "no key of ROLLCALL_ENCRYPTION_KEYS opens the authorization header of the event stream {}: add the key that sealed it, {sealer:?}; if that is lost, `rollcall keys forget {sealer}` pauses the streams whose headers it sealed until they are entered again",
            stream.id
        ))
    })?;
    let mut header = HeaderValue::from_bytes(&opened).map_err(Error::internal)?;
    header.set_sensitive(true);
    Ok(Some(header))
}

/// Seals the header with which the tokens of a stream are pushed.
///
/// # Errors
///
/// [`Error::Internal`] without keys.
pub fn seal_authorization_header(
    keyring: &Keyring,
    random: &Random,
    organization_id: OrganizationId,
    id: EventStreamId,
    header: &str,
) -> Result<Vec<u8>, Error> {
    let context = authorization_header_context(organization_id, id);
    keyring.seal(header.as_bytes(), &context, random)
}

/// Why no key of the server's opens a secret, and what to do.
fn unopened(keyring: &Keyring, configuration: SsoConfigurationId, sealed: &[u8]) -> String {
    let lost = format!(
        "no key of ROLLCALL_ENCRYPTION_KEYS opens the client secret of the SSO configuration {configuration}"
    );
    match keys::key_id(sealed) {
        Some(id) if keyring.has(id) => format!(
            "{lost}: the key {id:?} that sealed it was another one; if that is lost, give the new one another id, and `rollcall keys forget {id}` has the secrets that it sealed entered again"
        ),
        Some(id) => format!(
            "{lost}: add the key that sealed it, {id:?}; if it is lost, `rollcall keys forget {id}` has the secrets that it sealed entered again"
        ),
        None => format!("{lost}: it is damaged, so give that configuration another client secret"),
    }
}
