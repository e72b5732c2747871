//! Whom events are sent to.

use std::time::Duration;

use super::call::Sent;
use super::logout;
use super::webhooks::Endpoint;
use crate::app::App;
use crate::domain::event::Event;
use crate::error::Error;
use crate::store::events::Filter;
use crate::store::receivers::{Claimed, Key, Kind};

/// Whom events are sent to.
pub enum Target {
    /// A webhook.
    Webhook(Box<Endpoint>),
    /// An application that hears of sessions that ended.
    Logout(Box<logout::Listener>),
}

impl Target {
    /// Reads whom a receiver is; `None` for one that hears nothing any more.
    pub async fn find(app: &App, key: Key, claimed: &Claimed) -> Result<Option<Self>, Error> {
        match claimed.kind.parse() {
            Ok(Kind::Webhook) => {
                let endpoint = Endpoint::find(app, key).await?;
                Ok(endpoint.map(|endpoint| Self::Webhook(Box::new(endpoint))))
            }
            Ok(Kind::Logout) => {
                let listener = logout::Listener::find(app, key, claimed.owner_id).await?;
                Ok(listener.map(|listener| Self::Logout(Box::new(listener))))
            }
            Err(unknown) => Err(Error::internal(unknown)),
        }
    }

    /// Which events it hears.
    pub fn filter(&self) -> Filter {
        match self {
            Self::Webhook(endpoint) => endpoint.filter(),
            Self::Logout(_) => logout::filter(),
        }
    }

    /// Of these events, those that are for it.
    pub async fn wanted(&self, app: &App, events: Vec<Event>) -> Result<Vec<Event>, Error> {
        match self {
            Self::Webhook(_) => Ok(events),
            Self::Logout(listener) => listener.wanted(app, events).await,
        }
    }

    /// Sends an event.
    pub async fn send(&self, app: &App, event: &Event) -> Sent {
        match self {
            Self::Webhook(endpoint) => {
                endpoint
                    .send(app, &event.id().to_string(), &event.to_json())
                    .await
            }
            Self::Logout(listener) => listener.send(app, event).await,
        }
    }

    /// How long an event is sent again that is not taken.
    pub fn patience(&self) -> Duration {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        match self {
            Self::Webhook(_) => 3 * DAY,
            Self::Logout(_) => DAY,
        }
    }

    /// After how long without any success it is switched off.
    pub fn gives_up_after(&self) -> Option<Duration> {
        match self {
            Self::Webhook(_) => Some(Duration::from_secs(24 * 3600)),
            Self::Logout(_) => None,
        }
    }

    /// Switches it off by itself, and tells whether that was done.
    pub async fn switch_off(&self, app: &App, sent: &Sent) -> Result<bool, Error> {
        match self {
            Self::Webhook(endpoint) => endpoint.switch_off(app, sent).await,
            Self::Logout(_) => Ok(false),
        }
    }
}
