//! Members over the API.

use serde_json::json;

use crate::api::enums::user_status;
use crate::api::handler::{begin, parse_id, timestamp};
use crate::app::App;
use crate::domain::audit::Change;
use crate::domain::identity::{Reader, Writer};
use crate::domain::ids::{MemberId, OrganizationId};
use crate::error::Error;
use crate::metrics::SessionEnd;
use crate::provisioning::administration;
use crate::store;
use crate::store::members::Member;
use proto::gitpod::v1::{DeleteUserRequest, GetUserRequest, SetSuspendedRequest, User};

/// `GetAuthenticatedUser`. Two round trips.
pub async fn get_authenticated(app: &App, caller: Reader<'_>) -> Result<User, Error> {
    let id = caller.member().ok_or_else(|| {
        Error::FailedPrecondition(
            "the token stands for no person: sign in, use the personal access token of a member, or call IdentityService.GetAuthenticatedIdentity"
                .to_owned(),
        )
    })?;
    let mut db = app.store.acquire().await?;
    let user = store::members::get(&mut db, caller.organization_id, id).await?;
    Ok(wire(user, caller.organization_id))
}

/// `GetUser`. Two round trips.
pub async fn get(app: &App, caller: Reader<'_>, request: GetUserRequest) -> Result<User, Error> {
    let id = parse_id("user_id", &request.user_id)?;
    let mut db = app.store.acquire().await?;
    let user = store::members::get(&mut db, caller.organization_id, id).await?;
    Ok(wire(user, caller.organization_id))
}

/// `SetSuspended`, of a member or a service account. Where it changes nothing, nothing is recorded.
pub async fn set_suspended(
    app: &App,
    caller: Writer<'_>,
    request: SetSuspendedRequest,
) -> Result<(), Error> {
    let id: MemberId = parse_id("user_id", &request.user_id)?;
    let (organization_id, now) = (caller.organization_id, app.clock.now());
    let mut work = begin(app, caller, now).await?;
    let administration = administration::guard(&mut work, organization_id).await?;
    let suspended =
        store::members::set_suspended(&mut work, organization_id, id, request.suspended, now);
    let (settled, was_suspended) = match suspended.await {
        Err(Error::NotFound(_)) => {
            drop(work);
            return suspend_service_account(app, caller, request).await;
        }
        done => done?,
    };
    if was_suspended == request.suspended {
        return Ok(());
    }
    administration.check(&mut work).await?;
    let ended = settled.as_ref().map_or(0, |settled| settled.ended_sessions);
    let status = settled.map(|settled| settled.after);
    let before = json!({ "suspended": was_suspended });
    let after =
        json!({ "suspended": request.suspended, "status": status, "ended_sessions": ended });
    work.commit(Change::of_member(
        "SetSuspended",
        id,
        Some(before),
        Some(after),
    ))
    .await?;
    app.metrics.sessions_ended(SessionEnd::Administrator, ended);
    Ok(())
}

async fn suspend_service_account(
    app: &App,
    caller: Writer<'_>,
    request: SetSuspendedRequest,
) -> Result<(), Error> {
    let id = parse_id("user_id", &request.user_id)?;
    let (organization_id, now) = (caller.organization_id, app.clock.now());
    let mut work = begin(app, caller, now).await?;
    let locked = store::service_accounts::lock(&mut work, organization_id, id).await;
    let before = locked.map_err(|error| match error {
        Error::NotFound(_) => Error::NotFound("member or service account of this organization"),
        other => other,
    })?;
    let mut after = before.clone();
    after.is_suspended = request.suspended;
    if before.is_suspended == after.is_suspended {
        return Ok(());
    }
    store::service_accounts::update(&mut work, organization_id, &after, now).await?;
    work.commit(Change::updated("SetSuspended", &before, &after))
        .await
}

/// `DeleteUser`.
pub async fn delete(
    app: &App,
    caller: Writer<'_>,
    request: DeleteUserRequest,
) -> Result<(), Error> {
    let id = parse_id("user_id", &request.user_id)?;
    remove(app, caller, id, "DeleteUser").await
}

/// Removes a member. One who had left before is not there.
pub async fn remove(
    app: &App,
    caller: Writer<'_>,
    id: MemberId,
    action: &'static str,
) -> Result<(), Error> {
    let (organization_id, now) = (caller.organization_id, app.clock.now());
    let mut work = begin(app, caller, now).await?;
    let administration = administration::guard(&mut work, organization_id).await?;
    let settled = store::members::remove(&mut work, organization_id, id, now).await?;
    let settled = settled.ok_or(Error::NotFound(
        "member of this organization any more: the member has left",
    ))?;
    administration.check(&mut work).await?;
    let before = json!({ "status": settled.before });
    let after = json!({ "status": settled.after, "ended_sessions": settled.ended_sessions });
    work.commit(Change::of_member(action, id, Some(before), Some(after)))
        .await?;
    app.metrics
        .sessions_ended(SessionEnd::Administrator, settled.ended_sessions);
    Ok(())
}

fn wire(user: Member, organization_id: OrganizationId) -> User {
    User {
        id: user.id.to_string(),
        organization_id: organization_id.to_string(),
        name: user.name,
        avatar_url: user.avatar_url,
        created_at: timestamp(user.created_at).into(),
        status: user_status(user.status).into(),
        email: user.email,
        ..Default::default()
    }
}
