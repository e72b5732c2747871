//! What becomes of client secrets whose key is lost.

use crate::app::App;
use crate::domain::audit::Change;
use crate::domain::identity::Subject;
use crate::domain::sso::{FORGOTTEN_SECRET, SsoChange, SsoConfiguration, client_secret_context};
use crate::error::{Error, Violation};
use crate::secrets::keys;
use crate::store;
use crate::store::sso::SealedSecret;

/// How many secrets one transaction forgets.
const BATCH: i64 = 500;

/// Forgets the client secrets of all organizations that the key `id` sealed, and returns their configurations: they have
/// to be entered again. In their place stands what the first key seals: a version that does not know of forgotten secrets
/// finds that its keys open it, and no text to send to a provider.
///
/// # Errors
///
/// [`Error::Invalid`] for what is no identifier of a key; [`Error::FailedPrecondition`] while the server has the key.
pub async fn forget(app: &App, id: &str) -> Result<Vec<SsoConfiguration>, Error> {
    let prefix =
        keys::prefix(id).map_err(|e| Error::invalid("the key's id", Violation::LENGTH, e))?;
    if app.keys.has(id) {
        return Err(Error::FailedPrecondition(format!(
            "the key {id:?} is in ROLLCALL_ENCRYPTION_KEYS, so nothing is lost: to replace it, put another key in front of it and run `rollcall keys reseal`; to forget what it sealed nevertheless, remove it from the setting first"
        )));
    }
    let mut forgotten = vec![];
    loop {
        let mut tx = app.store.begin().await?;
        let batch = store::sso::lock_sealed_with(&mut tx, &prefix, BATCH).await?;
        if batch.is_empty() {
            let keys = store::client_keys::delete_sealed_with(&mut tx, &prefix).await?;
            tx.commit().await?;
            for (organization, configuration) in keys {
                tracing::warn!(%organization, %configuration, "the client key of an SSO configuration is lost, and another is made when it is needed: its provider must read it anew");
            }
            return Ok(forgotten);
        }
        for before in batch {
            let now = app.clock.now();
            let mut after = before.clone();
            SsoChange::default().apply(&mut after, now);
            after.needs_client_secret = true;
            let context = client_secret_context(after.organization_id, after.id);
            let sealed = app.keys.seal(FORGOTTEN_SECRET, &context, &app.random)?;
            store::sso::forget_secret(&mut tx, &after, &sealed).await?;
            let change = Change::updated("ForgetEncryptionKey", &before, &after);
            let organization_id = after.organization_id;
            let row = app.new_id();
            store::audit::insert(
                &mut tx,
                organization_id,
                row,
                now,
                Subject::operator(),
                &change,
            )
            .await?;
            forgotten.push(after);
        }
        tx.commit().await?;
    }
}

/// Why no key of the server's opens a secret, and what to do.
pub fn unopened(app: &App, secret: &SealedSecret) -> String {
    let lost = format!(
        "no key of ROLLCALL_ENCRYPTION_KEYS opens the client secret of the SSO configuration {}",
        secret.id
    );
    match keys::key_id(&secret.client_secret) {
        Some(id) if app.keys.has(id) => format!(
            "{lost}: the key {id:?} that sealed it was another one; if that is lost, give the new one another id, and `rollcall keys forget {id}` has the secrets that it sealed entered again"
        ),
        Some(id) => format!(
            "{lost}: add the key that sealed it, {id:?}; if it is lost, `rollcall keys forget {id}` has the secrets that it sealed entered again"
        ),
        None => format!("{lost}: it is damaged, so give that configuration another client secret"),
    }
}
