//! `rollcall serve`.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::app::{App, Operator, Setup};
use crate::cli::output::announce;
use crate::config::{DatabaseSettings, KeySettings, Resolved, ServeSettings};
use crate::domain::sign_in::is_loopback;
use crate::error::Error;
use crate::http::listener::{self, Listening};
use crate::http::observe::metrics_router;
use crate::metrics::Metrics;
use crate::provisioning::keys::open_client_secret;
use crate::provisioning::organizations;
use crate::secrets::keys::Keyring;
use crate::store::{self, Store};
use crate::{jobs, router};

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
        let settings = self.settings.resolve()?;
        let keys = self.keys.keyring()?;
        let Some(url) = self.database.url()? else {
            #[cfg(feature = "embedded-postgres")]
            return embedded::run(settings, keys).await;
            #[cfg(not(feature = "embedded-postgres"))]
            return self.database.required_url().map(drop).map_err(Into::into);
        };
        let keys = keys.map_or_else(|| self.keys.required_keyring(), Ok)?;
        let listeners = Listeners::take(&settings)?;
        let store = super::connect(url, settings.database_connections).await?;
        super::migrate(&store).await?;
        let mut app = app(&settings, store, keys, &listeners)?;
        check_keys(&app).await?;
        if let Some(bootstrap) = &settings.bootstrap {
            let organization = &bootstrap.organization;
            app.home = Some(organizations::bootstrap(&app, organization, &bootstrap.token).await?);
        }
        announce(format_args!("Rollcall listens on {}.", app.public_url));
        serve(listeners, &settings, &Arc::new(app)).await
    }
}

fn app(settings: &Resolved, store: Store, keys: Keyring, listeners: &Listeners) -> Result<App> {
    let public_url = match &settings.public_url {
        Some(url) => url.clone(),
        None => format!("http://{}", listeners.doors.local_addr()?),
    };
    if public_url.starts_with("http://") && !is_loopback(&public_url) {
        tracing::warn!(
            "the public URL {public_url} is not https: browsers send sessions over it in the clear"
        );
    }
    let setup = Setup {
        keys,
        public_url,
        outgoing: settings.outgoing.clone(),
        sign_in: settings.sign_in.clone(),
        kept: settings.kept,
    };
    let mut app = App::new(Operator::new(store)?, setup)?;
    if settings.metrics_listen.is_some() {
        app.measure(&Metrics::on(app.clock.now()));
    }
    Ok(app)
}

/// Makes sure that the keys open what is in the database: with wrong ones nobody could sign in.
async fn check_keys(app: &App) -> Result<()> {
    let mut db = app.store.acquire().await?;
    let samples = match store::sso::sample_secrets(&mut db).await {
        Err(Error::Unavailable(cause)) => {
            // A database on several machines works without one of them.
            tracing::warn!(%cause, "whether the encryption keys open the secrets is not checked, because a machine of the database does not answer: bring it back");
            return Ok(());
        }
        samples => samples?,
    };
    for secret in samples {
        let (organization_id, id) = (secret.organization_id, secret.id);
        open_client_secret(&app.keys, organization_id, id, &secret.client_secret)?;
    }
    Ok(())
}

/// Where requests come in.
struct Listeners {
    doors: TcpListener,
    metrics: Option<TcpListener>,
}

impl Listeners {
    /// Takes the addresses early: one that is in use is told before anything else is done.
    fn take(settings: &Resolved) -> Result<Self> {
        let doors = listen(settings.listen, "ROLLCALL_LISTEN")?;
        let metrics = settings.metrics_listen;
        let metrics = metrics.map(|address| listen(address, "ROLLCALL_METRICS_LISTEN"));
        Ok(Self {
            doors,
            metrics: metrics.transpose()?,
        })
    }
}

fn listen(address: SocketAddr, setting: &str) -> Result<TcpListener> {
    listener::listen(address)
        .with_context(|| format!("cannot listen on {address}: stop what listens there, or choose another address with {setting}"))
}

/// Serves the metrics until it is dropped, which is after the last request is finished.
async fn serve_metrics(listener: Option<TcpListener>, app: &Arc<App>) {
    if let Some(listener) = listener {
        listener::serve(
            listener,
            metrics_router(app),
            Listening::default(),
            pending::<()>(),
            pending::<()>(),
        )
        .await;
    }
    pending().await
}

/// What the operator wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wish {
    /// To go on.
    Serve,
    /// To stop when nobody is sent here any more.
    Drain,
    /// To finish what is under way, and stop.
    Stop,
    /// To stop at once.
    StopNow,
}

/// The signals that no longer end the process by themselves.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn take() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// Follows the signals: SIGTERM drains, Ctrl-C stops, and either of them after one of them stops at once.
/// SIGHUP, which a terminal sends when it is closed, does nothing.
async fn follow_signals(mut signals: Signals, wish: watch::Sender<Wish>) {
    loop {
        let wanted = tokio::select! {
            _ = signals.terminate.recv() => Wish::Drain,
            _ = signals.interrupt.recv() => Wish::Stop,
            _ = signals.hangup.recv() => continue,
        };
        wish.send_modify(|wish| {
            *wish = match *wish {
                Wish::Serve => wanted,
                _ => Wish::StopNow,
            }
        });
    }
}

/// Serves until it is told to stop: requests go on being taken for some time after SIGTERM, while
/// readiness makes load balancers choose another process.
async fn serve(listeners: Listeners, settings: &Resolved, app: &Arc<App>) -> Result<()> {
    // Before the first request is answered: whoever got an answer may send a signal.
    let signals = Signals::take()?;
    let drain = settings.drain;
    let router = router::router(app)?;
    if let Some(listener) = &listeners.metrics {
        let address = listener.local_addr()?;
        announce(format_args!("Metrics are at http://{address}/metrics."));
    }
    let (sender, wish) = watch::channel(Wish::Serve);
    let wished = |least: Wish| {
        let mut wish = wish.clone();
        async move { wish.wait_for(|wish| *wish >= least).await.is_ok() }
    };
    let stop = async {
        wished(Wish::Drain).await;
        app.is_stopping.store(true, Ordering::Relaxed);
        tracing::info!(seconds = drain.as_secs(), "draining");
        tokio::select! {
            _ = wished(Wish::Stop) => {}
            () = tokio::time::sleep(drain) => {}
        }
    };
    let work = async {
        listener::serve(
            listeners.doors,
            router,
            settings.listening.clone(),
            stop,
            wished(Wish::StopNow),
        )
        .await;
        tokio::select! {
            () = app.store.close() => {}
            _ = wished(Wish::StopNow) => {}
            () = tokio::time::sleep(CLOSE_GRACE) => tracing::warn!("the database did not let go of all connections"),
        }
    };
    tokio::select! {
        () = work => Ok(()),
        () = jobs::run_all(app) => Ok(()),
        () = serve_metrics(listeners.metrics, app) => Ok(()),
        () = follow_signals(signals, sender) => Ok(()),
    }
}
