//! Test sign-ins: an administrator tries an SSO configuration, active or not, and nothing is changed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::sign_in::{START_PATH, check_return_to};
use crate::app::App;
use crate::domain::identity::Subject;
use crate::domain::ids::{OrganizationId, SsoConfigurationId};
use crate::domain::sso::SsoConfiguration;
use crate::error::{Error, Violation};
use crate::store;

/// How long a browser may wait before it begins.
const TICKET_LIFETIME: TimeDelta = TimeDelta::minutes(10);

/// What entitles a browser to begin a test sign-in. It travels sealed in the link.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ticket {
    /// Who asked for it, by the identifier.
    pub asked_by: Uuid,
    /// The path of this server that the page of the result leads back to; may be empty.
    pub return_to: String,
    ends_at: DateTime<Utc>,
}

/// A link that begins a test sign-in.
pub struct Link {
    /// The URL.
    pub url: String,
    /// When it is too late to open it.
    pub ends_at: DateTime<Utc>,
}

/// Makes a link that begins a test sign-in through a configuration.
///
/// # Errors
///
/// [`Error::Invalid`] on `return_to` for what is no path of this server.
pub fn link(
    app: &App,
    configuration: &SsoConfiguration,
    asked_by: Subject,
    return_to: &str,
) -> Result<Link, Error> {
    check_path(app, return_to)?;
    let (organization_id, id) = (configuration.organization_id, configuration.id);
    let ticket = Ticket {
        asked_by: asked_by.id.as_uuid(),
        return_to: return_to.to_owned(),
        ends_at: app.clock.now() + TICKET_LIFETIME,
    };
    let plain = serde_json::to_vec(&ticket).map_err(Error::internal)?;
    let context = context(organization_id, id);
    let sealed = app.keys.seal(&plain, &context, &app.random)?;
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("organization", &organization_id.to_string())
        .append_pair("configuration", &id.to_string())
        .append_pair("ticket", &URL_SAFE_NO_PAD.encode(sealed))
        .finish();
    Ok(Link {
        url: format!("{}{START_PATH}?{query}", app.public_url),
        ends_at: ticket.ends_at,
    })
}

fn check_path(app: &App, return_to: &str) -> Result<(), Error> {
    if return_to.is_empty() || return_to.starts_with('/') {
        return check_return_to(app, return_to);
    }
    let message = "must be a path of this server, such as /console";
    Err(Error::invalid("return_to", Violation::RETURN_TO, message))
}

impl Ticket {
    /// Opens the ticket of a link; `None` for one that is too old, was changed, or is of another configuration.
    pub fn open(
        app: &App,
        organization_id: OrganizationId,
        id: SsoConfigurationId,
        text: &str,
    ) -> Option<Self> {
        let sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
        let plain = app.keys.open(&sealed, &context(organization_id, id))?;
        let ticket: Self = serde_json::from_slice(&plain).ok()?;
        (app.clock.now() < ticket.ends_at).then_some(ticket)
    }
}

fn context(organization_id: OrganizationId, id: SsoConfigurationId) -> Vec<u8> {
    [
        b"test-sign-in\0".as_slice(),
        organization_id.as_uuid().as_bytes(),
        id.as_uuid().as_bytes(),
    ]
    .concat()
}

/// Keeps that a test let somebody in. One round trip.
pub async fn passed(app: &App, configuration: &SsoConfiguration) -> Result<(), Error> {
    let mut db = app.store.acquire().await?;
    store::sso::set_tested(&mut db, configuration, app.clock.now()).await
}
