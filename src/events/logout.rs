//! Tells applications that a session ended (OpenID Connect Back-Channel Logout 1.0): for each organization whose people sign in to an
//! application that wants to hear of it, a reader of the log sends it what ended.

use chrono::TimeDelta;
use http::header::CONTENT_TYPE;
use serde_json::json;
use uuid::Uuid;

use super::call::{Sent, exchange};
use crate::app::App;
use crate::domain::application::{Application, ClientId, Scope};
use crate::domain::event::Event;
use crate::domain::ids::OrganizationId;
use crate::error::Error;
use crate::provisioning::signing;
use crate::store::events::Filter;
use crate::store::receivers::Key;
use crate::store::{self, Connection};

/// What says that a token is one of these (section 2.4).
const KIND: &str = "logout+jwt";
/// What happened.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How long a token is good.
const LIFETIME: TimeDelta = TimeDelta::minutes(2);
/// A session that ended by itself was over for the application, too.
const BY_ITSELF: &str = "expired";

/// Has an application hear of the sessions of an organization that end from now on, if it wants to. One round trip where that is known
/// already.
///
/// # Errors
///
/// As the database has them.
pub async fn listen(
    db: &mut Connection,
    organization_id: OrganizationId,
    application: &Application,
) -> Result<(), Error> {
    let client = application.client_id();
    if !wants_to_hear(application)
        || store::receivers::has_logout(db, organization_id, client).await?
    {
        return Ok(());
    }
    let scope = store::events::Scope::Organization(organization_id);
    let cursor = store::events::now(db, scope).await?;
    store::receivers::add_logout(db, organization_id, client, &cursor).await
}

fn wants_to_hear(application: &Application) -> bool {
    !application.settings.backchannel_logout_uri.is_empty()
        && application.scopes().has(Scope::OpenId)
}

/// Which events applications hear.
pub fn filter() -> Filter {
    Filter {
        types: vec!["session.ended".to_owned()],
        subjects: vec![],
    }
}

/// An application that hears of the sessions of an organization.
pub struct Listener {
    organization_id: OrganizationId,
    application: Application,
}

impl Listener {
    /// Reads it; `None` for one that is gone, or does not want to hear any more.
    ///
    /// # Errors
    ///
    /// As the database has them.
    pub async fn find(app: &App, key: Key, owner: Option<Uuid>) -> Result<Option<Self>, Error> {
        let client = ClientId {
            organization_id: owner.unwrap_or_default().into(),
            id: key.id.into(),
        };
        let mut db = app.store.acquire().await?;
        let found =
            store::applications::find_client(&mut db, client.organization_id, client.id).await?;
        let application = found
            .map(|(application, _)| application)
            .filter(wants_to_hear);
        Ok(application.map(|application| Self {
            organization_id: key.organization_id,
            application,
        }))
    }

    /// Of these ends of sessions, those of sessions in which somebody signed in to the application.
    ///
    /// # Errors
    ///
    /// As the database has them.
    pub async fn wanted(&self, app: &App, mut events: Vec<Event>) -> Result<Vec<Event>, Error> {
        events.retain(|event| event.data["reason"] != BY_ITSELF);
        if events.is_empty() {
            return Ok(events);
        }
        let sessions: Vec<Uuid> = events.iter().map(|event| event.subject_id).collect();
        let client = self.application.client_id();
        let mut db = app.store.acquire().await?;
        let known =
            store::grants::sessions_of(&mut db, self.organization_id, client, &sessions).await?;
        events.retain(|event| known.contains(&event.subject_id));
        Ok(events)
    }

    /// Sends the token. Any answer but 200 and 204 is none (section 2.8).
    pub async fn send(&self, app: &App, event: &Event) -> Sent {
        let mut sent = match self.request(app, event).await {
            Ok(request) => exchange(app, request).await,
            Err(why) => Sent::unsent(why),
        };
        sent.is_taken = matches!(sent.http_status, Some(200 | 204));
        sent
    }

    async fn request(&self, app: &App, event: &Event) -> Result<http::Request<Vec<u8>>, String> {
        let settings = &self.application.settings;
        let now = app.clock.now();
        let claims = json!({
            "iss": app.public_url,
            "aud": self.application.client_id().to_string(),
            "sub": event.data["member_id"],
            "sid": event.subject_id,
            "iat": now.timestamp(),
            "exp": (now + LIFETIME).timestamp(),
            "jti": app.new_id::<Uuid>(),
            "events": { EVENT: {} },
        });
        let token = signing::sign(app, settings.id_token_signature, KIND, &claims)
            .await
            .map_err(|error| error.to_string())?;
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("logout_token", &token)
            .finish();
        http::Request::post(&settings.backchannel_logout_uri)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body.into_bytes())
            .map_err(|error| error.to_string())
    }
}
