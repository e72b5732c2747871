//! `SessionService`: the sessions of people who signed in.

use serde_json::json;

use crate::api::handler::{begin, parse_id, timestamp};
use crate::api::paging::{Answer, Paging};
use crate::app::App;
use crate::domain::audit::Change;
use crate::domain::identity::{Reader, Writer};
use crate::domain::ids::{MemberId, SessionId};

use crate::error::Error;
use crate::metrics::SessionEnd;
use crate::store;
use proto::rollcall::v1::{EndSessionsRequest, ListSessionsRequest, Session};

/// `ListSessions`. Three round trips.
pub async fn list(
    app: &App,
    caller: Reader<'_>,
    paging: Paging<'_>,
    request: ListSessionsRequest,
) -> Result<Answer<Session>, Error> {
    let user_id: MemberId = parse_id("user_id", &request.user_id)?;
    let organization_id = caller.organization_id;
    let list = paging.open("sessions", organization_id, user_id, &request.pagination)?;

    let now = app.clock.now();
    let mut db = app.store.acquire().await?;
    store::members::get(&mut db, organization_id, user_id).await?;
    let found = store::sessions::list_newest(
        &mut db,
        organization_id,
        user_id,
        now,
        now - app.sign_in.session_idle,
        list.last_id(),
        list.size,
    )
    .await?;
    let wire = |session: store::sessions::Listed| Session {
        id: session.id.to_string(),
        user_id: user_id.to_string(),
        sso_configuration_id: session.sso_configuration_id.to_string(),
        user_agent: session.user_agent,
        created_at: timestamp(session.created_at).into(),
        last_used_at: timestamp(session.last_used_at).into(),
        expires_at: timestamp(session.expires_at).into(),
        ..Default::default()
    };
    list.answer(found, |session| session.id, wire)
}

/// `EndSessions`. Where none ends, nothing is recorded.
pub async fn end(app: &App, caller: Writer<'_>, request: EndSessionsRequest) -> Result<i32, Error> {
    let user_id: MemberId = parse_id("user_id", &request.user_id)?;
    let session_id = request
        .session_id
        .map(|id| parse_id::<SessionId>("session_id", &id))
        .transpose()?;

    let organization_id = caller.organization_id;
    let mut work = begin(app, caller, app.clock.now()).await?;
    store::members::get(&mut work, organization_id, user_id).await?;
    let ended = match session_id {
        Some(id) => u64::from(
            store::sessions::end(&mut work, organization_id, user_id, id, app.clock.now()).await?,
        ),
        None => {
            store::sessions::end_all(&mut work, organization_id, user_id, app.clock.now()).await?
        }
    };
    if ended == 0 {
        return Ok(0);
    }
    let after = json!({ "session_id": session_id, "ended_sessions": ended });
    let change = Change::of_member("EndSessions", user_id, None, Some(after));
    work.commit(change).await?;
    app.metrics.sessions_ended(SessionEnd::Administrator, ended);
    Ok(i32::try_from(ended).unwrap_or(i32::MAX))
}
