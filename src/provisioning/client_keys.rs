//! The key pair with which a configuration proves itself to a provider that takes no secret: made when it is
//! needed first.

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::app::App;
use crate::domain::ids::{OrganizationId, SsoConfigurationId};
use crate::domain::sso::client_key_context;
use crate::error::Error;
use crate::oidc::ClientKey;
use crate::store;
use crate::store::client_keys::SealedClientKey;

/// One at a time: anybody who asks for a public key may have one made, and making one takes a processor.
static MAKING: Semaphore = Semaphore::const_new(1);

/// The key pair of a configuration. One round trip, and three more at the first time.
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
    let find = async || {
        let mut db = app.store.acquire().await?;
        store::client_keys::find(&mut db, organization_id, sso_configuration_id).await
    };
    if let Some(sealed) = find().await? {
        return open(&sealed);
    }
    let _turn = MAKING.acquire().await.map_err(Error::internal)?;
    if let Some(sealed) = find().await? {
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
    drop(db);
    // Another replica may have made one meanwhile.
    let kept = find().await?;
    open(&kept.ok_or(Error::NotFound("SSO configuration"))?)
}
