//! `rollcall serve`.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::app::App;
use crate::config::{DatabaseSettings, KeySettings, ServeSettings};
use crate::provisioning::organizations;
use crate::server;
use crate::store::MAX_CONNECTIONS;

#[cfg(feature = "embedded-postgres")]
mod embedded;

#[derive(Args, Debug)]
pub struct Serve {
    #[command(flatten)]
    settings: ServeSettings,
    #[command(flatten)]
    database: DatabaseSettings,
    #[command(flatten)]
    keys: KeySettings,
}

impl Serve {
    pub async fn run(self) -> Result<()> {
        let bootstrap = self.settings.bootstrap()?;
        self.settings.public_url(self.settings.listen)?;
        let keys = self.keys.keyring()?;
        let Some(url) = self.database.url()? else {
            return self.run_embedded(keys).await;
        };
        let keys = keys.map_or_else(|| self.keys.required_keyring(), Ok)?;
        let listener = listen(self.settings.listen).await?;
        let store = super::connect(url, MAX_CONNECTIONS).await?;
        store.migrate().await?;
        let app = Arc::new(App::new(store, keys)?);
        if let Some(bootstrap) = bootstrap {
            organizations::bootstrap(&app, bootstrap.organization, &bootstrap.token).await?;
        }
        println!(
            "Rollcall listens on {}.",
            self.settings.public_url(listener.local_addr()?)?
        );
        serve(listener, &app).await
    }

    #[cfg(not(feature = "embedded-postgres"))]
    async fn run_embedded(&self, _: Option<crate::secrets::keys::Keyring>) -> Result<()> {
        self.database.required_url().map(drop).map_err(Into::into)
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}: stop what listens there, or choose another address with ROLLCALL_LISTEN"))
}

/// Serves until the first SIGTERM or Ctrl-C; the second ends it at once.
async fn serve(listener: TcpListener, app: &Arc<App>) -> Result<()> {
    let router = server::router(app)?;
    let (mut term, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let signals = tokio::sync::Semaphore::new(0);
    let count = async {
        loop {
            tokio::select! { _ = term.recv() => {}, _ = interrupt.recv() => {} }
            signals.add_permits(1);
        }
    };
    let next = || async {
        signals
            .acquire()
            .await
            .map(tokio::sync::SemaphorePermit::forget)
    };
    tokio::select! {
        () = server::serve(listener, router, next(), next()) => {}
        () = count => {}
    }
    app.store.close().await;
    Ok(())
}
