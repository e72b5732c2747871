//! Tells applications that a session ended (OpenID Connect Back-Channel Logout 1.0): at once, and again for a day if one does not take
//! it. The rows of `grants` are the list of what is to be told, so nothing is lost when a process dies.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::StreamExt;
use futures_util::stream;
use http::header::CONTENT_TYPE;
use serde_json::json;
use tokio::time::timeout;

use super::signing;
use crate::app::App;
use crate::domain::application::{Application, ClientId, Scope};
use crate::error::Error;
use crate::store;
use crate::store::grants::Notice;

/// What says that a token is one of these (section 2.4).
const KIND: &str = "logout+jwt";
/// What happened.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How long a token is good.
const LIFETIME: TimeDelta = TimeDelta::minutes(2);
/// How long an application is told again that did not take it.
const PATIENCE: TimeDelta = TimeDelta::days(1);
/// How long whoever has taken a notice may need to deliver it. Then somebody else does.
const LEASE: TimeDelta = TimeDelta::seconds(30);
/// How long after the first try the second is; each time doubles it, up to an hour.
const FIRST_RETRY: TimeDelta = TimeDelta::seconds(5);
const LAST_RETRY: TimeDelta = TimeDelta::hours(1);
/// How long an application may take to answer: others wait.
const DEADLINE: Duration = Duration::from_secs(5);
/// How many notices are read at once, how many are under way, and how many of them to one application: one that is slow does not hold
/// up the others.
const BATCH: i64 = 500;
const AT_ONCE: usize = 32;
const TO_ONE: usize = 8;

/// Delivers what is due, and tells how many applications took it.
///
/// # Errors
///
/// As the database has them.
pub async fn deliver(app: &App) -> Result<u64, Error> {
    let now = app.clock.now();
    let mut due = {
        let mut db = app.store.acquire().await?;
        store::grants::list_due(&mut db, now, BATCH).await?
    };
    let mut counts: HashMap<ClientId, usize> = HashMap::new();
    due.retain(|notice| {
        let count = counts.entry(notice.client).or_default();
        *count += 1;
        *count <= TO_ONE
    });
    let delivered = stream::iter(due)
        .map(|notice| async move { deliver_one(app, &notice).await })
        .buffer_unordered(AT_ONCE)
        .filter(|result| {
            let is_delivered = match result {
                Ok(is_delivered) => *is_delivered,
                Err(error) => {
                    tracing::warn!(cause = %crate::error::Chain(error), "an application could not be told that a session ended");
                    false
                }
            };
            std::future::ready(is_delivered)
        });
    Ok(delivered.count().await as u64)
}

async fn deliver_one(app: &App, notice: &Notice) -> Result<bool, Error> {
    let now = app.clock.now();
    let client = notice.client;
    let application = {
        let mut db = app.store.acquire().await?;
        if !store::grants::take_notice(&mut db, notice, now, now + LEASE).await? {
            return Ok(false);
        }
        store::applications::find_client(&mut db, client.organization_id, client.id).await?
    };
    let listening = application
        .map(|(application, _)| application)
        .filter(listens);
    let taken = match &listening {
        Some(application) => tell(app, application, notice, now).await,
        None => Ok(()),
    };
    let again = match &taken {
        Ok(()) => None,
        Err(why) => {
            let again = next_try(notice, app.clock.now());
            tracing::info!(application = %client.id, organization = %notice.organization_id, %why, tries = notice.notices + 1, again = ?again, "an application did not take that a session ended");
            again
        }
    };
    let mut db = app.store.acquire().await?;
    store::grants::settle_notice(&mut db, notice, again).await?;
    Ok(listening.is_some() && taken.is_ok())
}

fn listens(application: &Application) -> bool {
    !application.settings.backchannel_logout_uri.is_empty()
        && application.scopes().has(Scope::OpenId)
}

fn next_try(notice: &Notice, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let tries = u32::try_from(notice.notices).unwrap_or_default().min(20);
    let pause = (FIRST_RETRY * 2_i32.pow(tries.min(15))).min(LAST_RETRY);
    (now < notice.ended_at + PATIENCE).then(|| now + pause)
}

/// Sends the token. Any answer but 200 and 204 is none (section 2.8).
async fn tell(
    app: &App,
    application: &Application,
    notice: &Notice,
    now: DateTime<Utc>,
) -> Result<(), String> {
    let claims = json!({
        "iss": app.public_url,
        "aud": application.client_id().to_string(),
        "sub": notice.subject_id,
        "sid": notice.session_id,
        "iat": now.timestamp(),
        "exp": (now + LIFETIME).timestamp(),
        "jti": app.new_id::<uuid::Uuid>(),
        "events": { EVENT: {} },
    });
    let signature = application.settings.id_token_signature;
    let token = signing::sign(app, signature, KIND, &claims)
        .await
        .map_err(|error| error.to_string())?;
    let body = form_urlencoded::Serializer::new(String::new())
        .append_pair("logout_token", &token)
        .finish();
    let request = http::Request::post(&application.settings.backchannel_logout_uri)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(body.into_bytes())
        .map_err(|error| error.to_string())?;
    let answer = timeout(DEADLINE, app.outgoing.send(request)).await;
    let answer = answer.map_err(|_| "it is too slow".to_owned())?;
    let status = answer.map_err(|error| error.to_string())?.status();
    match status.as_u16() {
        200 | 204 => Ok(()),
        status => Err(format!("it answered with the status {status}")),
    }
}
