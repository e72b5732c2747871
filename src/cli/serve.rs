//! `rollcall serve`.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use chrono::TimeDelta;
use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::app::App;
use crate::cli::output::announce;
use crate::config::{DatabaseSettings, KeySettings, ServeSettings};
use crate::domain::sign_in::is_loopback;
use crate::domain::sso::client_secret_context;
use crate::http::listener::{self, Listening};
use crate::http::observe::metrics_router;
use crate::metrics::Metrics;
use crate::outgoing::Outgoing;
use crate::provisioning::keys::unopened;
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
        let bootstrap = self.settings.bootstrap()?;
        self.settings.public_url(self.settings.listen)?;
        self.settings.sign_in()?;
        self.settings.event_retention()?;
        self.settings.outgoing()?;
        self.settings.metrics_listen()?;
        self.settings.listening()?;
        self.settings.drain()?;
        self.settings.database_connections()?;
        let keys = self.keys.keyring()?;
        let Some(url) = self.database.url()? else {
            return self.run_embedded(keys).await;
        };
        let keys = keys.map_or_else(|| self.keys.required_keyring(), Ok)?;
        let listeners = self.listen()?;
        let store = super::connect(url, self.settings.database_connections()?).await?;
        super::migrate(&store).await?;
        let url = self.settings.public_url(listeners.doors.local_addr()?)?;
        let mut app = self.app(store, keys, url)?;
        check_keys(&app).await?;
        if let Some(bootstrap) = bootstrap {
            let organization = bootstrap.organization;
            app.home = Some(organizations::bootstrap(&app, organization, &bootstrap.token).await?);
        }
        announce(format_args!("Rollcall listens on {}.", app.public_url));
        self.serve(listeners, &Arc::new(app)).await
    }

    async fn serve(&self, listeners: Listeners, app: &Arc<App>) -> Result<()> {
        let listening = self.settings.listening()?;
        let (kept, drain) = (self.settings.event_retention()?, self.settings.drain()?);
        serve(listeners, listening, app, kept, drain).await
    }

    /// Takes the addresses early: one that is in use is told before anything else is done.
    fn listen(&self) -> Result<Listeners> {
        Ok(Listeners {
            doors: listen(self.settings.listen, "ROLLCALL_LISTEN")?,
            metrics: match self.settings.metrics_listen()? {
                Some(address) => Some(listen(address, "ROLLCALL_METRICS_LISTEN")?),
                None => None,
            },
        })
    }

    fn app(&self, store: Store, keys: Keyring, url: String) -> Result<App> {
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
        Ok(app)
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

/// Follows the signals: SIGTERM drains, Ctrl-C stops, and either of them after one of them stops at once.
/// SIGHUP, which a terminal sends when it is closed, does nothing.
async fn follow_signals(wish: watch::Sender<Wish>) -> Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        let wanted = tokio::select! {
            _ = term.recv() => Wish::Drain,
            _ = interrupt.recv() => Wish::Stop,
            _ = hangup.recv() => continue,
        };
        wish.send_modify(|wish| {
            *wish = match *wish {
                Wish::Serve => wanted,
                _ => Wish::StopNow,
            }
        });
    }
}

/// Serves until it is told to stop: requests go on being taken for the time `drain` after SIGTERM, while
/// readiness makes load balancers choose another process.
async fn serve(
    listeners: Listeners,
    listening: Listening,
    app: &Arc<App>,
    kept: TimeDelta,
    drain: Duration,
) -> Result<()> {
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
            listening,
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
    let jobs = futures_util::future::join4(
        jobs::repeat(&app.metrics, "provisioning_events", || {
            jobs::events::run(app.clone(), kept)
        }),
        jobs::repeat(&app.metrics, "sign_in", || {
            jobs::sign_in::run(app.clone(), kept)
        }),
        jobs::repeat(&app.metrics, "statistics", || {
            jobs::statistics::run(app.clone())
        }),
        jobs::repeat(&app.metrics, "folding", || jobs::folding::run(app.clone())),
    );
    tokio::select! {
        () = work => Ok(()),
        _ = jobs => Ok(()),
        () = serve_metrics(listeners.metrics, app) => Ok(()),
        failed = follow_signals(sender) => failed,
    }
}
