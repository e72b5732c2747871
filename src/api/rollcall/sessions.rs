//! `SessionService`: the sessions of people who signed in.

use connectrpc::RequestContext;
use serde_json::json;
use uuid::Uuid;

use crate::api::handler::{audit, parse_id, timestamp};
use crate::api::paging::List;
use crate::api::proto::rollcall::v1::{
    EndSessionsRequest, EndSessionsResponse, ListSessionsRequest, ListSessionsResponse, Session,
};
use crate::app::App;
use crate::domain::audit::{Change, SubjectType};
use crate::domain::identity::Caller;
use crate::domain::ids::SessionId;
use crate::error::Error;
use crate::metrics::SessionEnd;
use crate::store;

/// `ListSessions`. Three round trips.
pub async fn list(
    app: &App,
    caller: &Caller,
    ctx: &RequestContext,
    request: ListSessionsRequest,
) -> Result<ListSessionsResponse, Error> {
    let user_id: Uuid = parse_id("user_id", &request.user_id)?;
    let list = List {
        name: "sessions",
        organization_id: caller.organization_id,
        query: user_id.to_string(),
    };
    let asked = list.asked(app, ctx, request.pagination.as_option())?;
    caller.may_read()?;

    let organization_id = caller.organization_id;
    let now = app.clock.now();
    let mut db = app.store.acquire().await?;
    store::members::get(&mut db, organization_id, user_id).await?;
    let sessions = store::sessions::list_newest(
        &mut db,
        organization_id,
        user_id,
        now,
        now - app.sign_in.session_idle,
        asked.after.map(|(_, id)| id),
        asked.size,
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
    Ok(ListSessionsResponse {
        pagination: list
            .response(app, &sessions, |session| (String::new(), session.id))?
            .into(),
        sessions: sessions.items.into_iter().map(wire).collect(),
        ..Default::default()
    })
}

/// `EndSessions`. Where none ends, nothing is recorded.
pub async fn end(
    app: &App,
    caller: &Caller,
    request: EndSessionsRequest,
) -> Result<EndSessionsResponse, Error> {
    let user_id: Uuid = parse_id("user_id", &request.user_id)?;
    let session_id = request
        .session_id
        .map(|id| parse_id::<SessionId>("session_id", &id))
        .transpose()?;
    caller.may_write()?;

    let organization_id = caller.organization_id;
    let mut tx = app.store.begin().await?;
    store::members::get(&mut tx, organization_id, user_id).await?;
    let ended = match session_id {
        Some(id) => u64::from(store::sessions::end(&mut tx, organization_id, user_id, id).await?),
        None => store::sessions::end_all(&mut tx, organization_id, user_id).await?,
    };
    if ended > 0 {
        let change = Change {
            action: "EndSessions",
            subject_type: SubjectType::User,
            subject_id: user_id,
            before: None,
            after: Some(json!({
                "session_id": session_id.map(SessionId::as_uuid),
                "ended_sessions": ended,
            })),
        };
        audit(app, &mut tx, caller, change).await?;
    }
    tx.commit().await?;
    app.metrics.sessions_ended(SessionEnd::Administrator, ended);
    Ok(EndSessionsResponse {
        ended_count: i32::try_from(ended).unwrap_or(i32::MAX),
        ..Default::default()
    })
}
