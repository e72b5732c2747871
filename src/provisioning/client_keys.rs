//! The key pair with which a configuration proves itself to a provider that takes no secret: made when it is
//! needed first.

use tokio::task::spawn_blocking;

use crate::app::App;
use crate::domain::ids::{OrganizationId, SsoConfigurationId};
use crate::domain::sso::client_key_context;
use crate::error::Error;
use crate::oidc::ClientKey;
use crate::store;
use crate::store::client_keys::SealedClientKey;

/// The key pair of a configuration. One round trip, and two more at the first time.
///
/// # Errors
///
/// [`Error::NotFound`] when the configuration is gone; [`Error::Internal`] when no key opens what is stored.
pub async fn client_key(
    app: &App,
    organization_id: OrganizationId,
    sso_configuration_id: SsoConfigurationId,
) -> Result<ClientKey, Error> {
    let context = client_key_context(organization_id, sso_configuration_id);
    let open = |sealed: &[u8]| {
        let key = app.keys.open(sealed, &context);
        let key = key.and_then(|key| ClientKey::read(&key));
        key.ok_or_else(|| Error::internal(format!(
            "no key of ROLLCALL_ENCRYPTION_KEYS opens the client key of the SSO configuration {sso_configuration_id}: add the key that sealed it; if it is lost, `rollcall keys forget` has another made"
        )))
    };
    let mut db = app.store.acquire().await?;
    let found = store::client_keys::find(&mut db, organization_id, sso_configuration_id).await?;
    drop(db);
    if let Some(sealed) = found {
        return open(&sealed);
    }
    let key = spawn_blocking(ClientKey::generate)
        .await
        .map_err(Error::internal)??;
    let sealed = SealedClientKey {
        organization_id,
        sso_configuration_id,
        sealed_key: app.keys.seal(&key, &context, &app.random)?,
    };
    let mut db = app.store.acquire().await?;
    store::client_keys::insert(&mut db, &sealed, app.clock.now()).await?;
    // Somebody else may have made one meanwhile.
    let kept = store::client_keys::find(&mut db, organization_id, sso_configuration_id).await?;
    open(&kept.ok_or(Error::NotFound("SSO configuration"))?)
}
