//! `rollcall serve`.

use std::future::pending;
use std::io::{Write, stdout};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use chrono::TimeDelta;
use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::app::App;
use crate::config::{DatabaseSettings, KeySettings, ServeSettings};
use crate::domain::sign_in::is_loopback;
use crate::domain::sso::client_secret_context;
use crate::metrics::Metrics;
use crate::observe::metrics_router;
use crate::outgoing::Outgoing;
use crate::provisioning::keys::unopened;
use crate::provisioning::organizations;
use crate::secrets::keys::Keyring;
use crate::store::{self, MAX_CONNECTIONS, Store};
use crate::{jobs, server};

#[cfg(feature = "embedded-postgres")]
pub(super) mod embedded;

/// How long connections to the database may take to end.
const CLOSE_GRACE: Duration = Duration::from_secs(3);

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
        self.settings.sign_in()?;
        self.settings.event_retention()?;
        self.settings.outgoing()?;
        self.settings.metrics_listen()?;
        let keys = self.keys.keyring()?;
        let Some(url) = self.database.url()? else {
            return self.run_embedded(keys).await;
        };
        let keys = keys.map_or_else(|| self.keys.required_keyring(), Ok)?;
        let listeners = self.listen().await?;
        let store = super::connect(url, MAX_CONNECTIONS).await?;
        store.migrate().await?;
        let url = self.settings.public_url(listeners.doors.local_addr()?)?;
        let app = self.app(store, keys, url)?;
        check_keys(&app).await?;
        if let Some(bootstrap) = bootstrap {
            organizations::bootstrap(&app, bootstrap.organization, &bootstrap.token).await?;
        }
        println!("Rollcall listens on {}.", app.public_url);
        serve(listeners, &app, self.settings.event_retention()?).await
    }

    /// Takes the addresses early: one that is in use is told before anything else is done.
    async fn listen(&self) -> Result<Listeners> {
        Ok(Listeners {
            doors: listen(self.settings.listen, "ROLLCALL_LISTEN").await?,
            metrics: match self.settings.metrics_listen()? {
                Some(address) => Some(listen(address, "ROLLCALL_METRICS_LISTEN").await?),
                None => None,
            },
        })
    }

    fn app(&self, store: Store, keys: Keyring, url: String) -> Result<Arc<App>> {
        let outgoing = self.settings.outgoing()?;
        let mut app = App {
            dns: outgoing.dns.clone(),
            outgoing: Outgoing::with(outgoing)?,
            sign_in: self.settings.sign_in()?,
            ..App::new(store, keys, url)?
        };
        if app.public_url.starts_with("http://") && !is_loopback(&app.public_url) {
            tracing::warn!(
                "the public URL {} is not https: browsers send sessions over it in the clear",
                app.public_url
            );
        }
        if self.settings.metrics_listen()?.is_some() {
            app.measure(&Metrics::on(app.clock.now()));
        }
        Ok(Arc::new(app))
    }

    #[cfg(not(feature = "embedded-postgres"))]
    async fn run_embedded(&self, _: Option<Keyring>) -> Result<()> {
        self.database.required_url().map(drop).map_err(Into::into)
    }
}

/// Makes sure that the keys open what is in the database: with wrong ones nobody could sign in.
async fn check_keys(app: &App) -> Result<()> {
    let mut db = app.store.acquire().await?;
    for secret in store::sso::sample_secrets(&mut db).await? {
        let context = client_secret_context(secret.organization_id, secret.id);
        let opened = app.keys.open(&secret.client_secret, &context);
        opened.ok_or_else(|| anyhow!(unopened(app, &secret)))?;
    }
    Ok(())
}

/// Where requests come in.
struct Listeners {
    doors: TcpListener,
    metrics: Option<TcpListener>,
}

async fn listen(address: SocketAddr, setting: &str) -> Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}: stop what listens there, or choose another address with {setting}"))
}

/// Serves the metrics until it is dropped, which is after the last request is finished.
async fn serve_metrics(listener: Option<TcpListener>, app: &Arc<App>) {
    if let Some(listener) = listener {
        server::serve(
            listener,
            metrics_router(app),
            pending::<()>(),
            pending::<()>(),
        )
        .await;
    }
    pending().await
}

/// Serves until the first SIGTERM or Ctrl-C; the second ends it at once.
async fn serve(listeners: Listeners, app: &Arc<App>, kept: TimeDelta) -> Result<()> {
    let router = server::router(app)?;
    if let Some(listener) = &listeners.metrics {
        let address = listener.local_addr()?;
        // Whoever reads may have been content with the first line.
        let _ = writeln!(stdout(), "Metrics are at http://{address}/metrics.");
    }
    let (mut term, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let (count, counted) = watch::channel(0);
    let listen_for_signals = async {
        loop {
            tokio::select! { _ = term.recv() => {}, _ = interrupt.recv() => {} }
            count.send_modify(|count| *count += 1);
        }
    };
    let signals = |number: u32| {
        let mut counted = counted.clone();
        async move { counted.wait_for(|count| *count >= number).await.is_ok() }
    };
    let work = async {
        server::serve(listeners.doors, router, signals(1), signals(2)).await;
        tokio::select! {
            () = app.store.close() => {}
            _ = signals(2) => {}
            () = tokio::time::sleep(CLOSE_GRACE) => tracing::warn!("the database did not let go of all connections"),
        }
    };
    tokio::select! {
        () = work => {}
        () = jobs::events::run(app.clone(), kept) => {}
        () = jobs::sign_in::run(app.clone(), kept) => {}
        () = jobs::statistics::run(app.clone()) => {}
        () = serve_metrics(listeners.metrics, app) => {}
        () = listen_for_signals => {}
    }
    Ok(())
}
