//! Invitations to the organization, and joining others, over the API.

use serde_json::json;
use uuid::Uuid;

use super::members::member;
use crate::api::account::accounts::person;
use crate::api::handler::{begin, parse_id, parse_organization};
use crate::app::App;
use crate::domain::audit::{Change, SubjectType};
use crate::domain::identity::Writer;
use crate::error::{Error, Violation};
use crate::provisioning::joining::{self, Way};
use crate::store::invitations::summary;
use proto::gitpod::v1::join_organization_request::JoinId;
use proto::gitpod::v1::{
    CreateOrganizationInviteRequest, GetOrganizationInviteRequest,
    GetOrganizationInviteSummaryRequest, GetOrganizationInviteSummaryResponse,
    JoinOrganizationRequest, OrganizationInvite, OrganizationMember,
};

/// `CreateOrganizationInvite`: the invitation before is not valid from then on.
pub async fn create(
    app: &App,
    caller: Writer<'_>,
    request: CreateOrganizationInviteRequest,
) -> Result<OrganizationInvite, Error> {
    let organization_id = caller.organization(&request.organization_id)?;
    let now = app.clock.now();
    let mut work = begin(app, caller, now).await?;
    let invitation = joining::invite(app, &mut work, now).await?;
    // The invitation itself is a secret.
    work.commit(Change {
        action: "CreateOrganizationInvite",
        subject_type: SubjectType::Organization,
        subject_id: organization_id.as_uuid(),
        before: None,
        after: Some(json!({ "invited_at": now })),
    })
    .await?;
    Ok(wire(invitation))
}

/// `GetOrganizationInvite`. Two round trips. The invitation lets people in, so a token that may only read does not read it.
pub async fn get(
    app: &App,
    caller: Writer<'_>,
    request: GetOrganizationInviteRequest,
) -> Result<OrganizationInvite, Error> {
    let organization_id = caller.organization(&request.organization_id)?;
    Ok(wire(joining::current(app, organization_id).await?))
}

/// `GetOrganizationInviteSummary`. Three round trips.
pub async fn get_summary(
    app: &App,
    request: GetOrganizationInviteSummaryRequest,
) -> Result<GetOrganizationInviteSummaryResponse, Error> {
    let id: Uuid = parse_id("invite_id", &request.invite_id)?;
    let mut db = app.store.acquire().await?;
    let inviting = joining::inviting(app, &mut db, id).await?;
    let summary = summary(&mut db, inviting.id).await?;
    let summary = summary.ok_or(Error::NotFound("organization"))?;
    Ok(GetOrganizationInviteSummaryResponse {
        organization_id: summary.id.to_string(),
        organization_name: summary.name,
        organization_member_count: i32::try_from(summary.member_count).unwrap_or(i32::MAX),
        ..Default::default()
    })
}

/// `JoinOrganization`, for the person who calls.
pub async fn join(
    app: &App,
    caller: Writer<'_>,
    request: JoinOrganizationRequest,
) -> Result<OrganizationMember, Error> {
    let way = match &request.join_id {
        Some(JoinId::InviteId(id)) => Way::Invitation(parse_id("invite_id", id)?),
        Some(JoinId::OrganizationId(id)) => Way::Domain(parse_organization("organization_id", id)?),
        None => {
            return Err(Error::invalid(
                "invite_id",
                Violation::REQUIRED,
                "is required, or organization_id",
            ));
        }
    };
    let person = person(app, &caller).await?;
    joining::join(app, caller.organization_id, &person, way)
        .await
        .map(member)
}

fn wire(invitation: Uuid) -> OrganizationInvite {
    OrganizationInvite {
        invite_id: invitation.to_string(),
        ..Default::default()
    }
}
