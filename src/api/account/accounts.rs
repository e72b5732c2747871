//! The person who calls.

use crate::api::enums::wire_role;
use crate::api::handler::timestamp;
use crate::api::paging::{Answer, Paging};
use crate::app::App;
use crate::domain::identity::Reader;
use crate::error::Error;
use crate::provisioning::joining::proven_domain;
use crate::store::invitations::{self, Summary};
use crate::store::members::Member;
use crate::store::{self, Items};
use proto::gitpod::v1::{
    Account, AccountMembership, JoinableOrganization, ListJoinableOrganizationsRequest,
    OrganizationTier,
};

/// The member who calls.
///
/// # Errors
///
/// [`Error::FailedPrecondition`] for a caller who is no person.
pub async fn person(app: &App, caller: &Reader<'_>) -> Result<Member, Error> {
    let id = caller.member().ok_or_else(|| {
        Error::FailedPrecondition(
            "the token stands for no person: sign in, or use the personal access token of a member"
                .to_owned(),
        )
    })?;
    let mut db = app.store.acquire().await?;
    store::members::get(&mut db, caller.organization_id, id).await
}

/// `GetAccount`. Three round trips.
pub async fn get(app: &App, caller: Reader<'_>) -> Result<Account, Error> {
    let member = person(app, &caller).await?;
    let summary = {
        let mut db = app.store.acquire().await?;
        invitations::summary(&mut db, caller.organization_id).await?
    };
    let summary = summary.ok_or(Error::NotFound("organization"))?;
    let membership = AccountMembership {
        user_id: member.id.to_string(),
        user_role: wire_role(member.role).into(),
        organization_id: summary.id.to_string(),
        organization_name: summary.name,
        organization_member_count: i32::try_from(summary.member_count).unwrap_or(i32::MAX),
        organization_tier: OrganizationTier::ORGANIZATION_TIER_ENTERPRISE.into(),
        ..Default::default()
    };
    Ok(Account {
        id: member.id.to_string(),
        name: member.name,
        avatar_url: member.avatar_url,
        email: member.email,
        created_at: timestamp(member.created_at).into(),
        updated_at: timestamp(member.updated_at).into(),
        memberships: vec![membership],
        organization_id: Some(summary.id.to_string()),
        ..Default::default()
    })
}

/// `ListJoinableOrganizations`. Four round trips, and one for each organization of the page.
pub async fn list_joinable(
    app: &App,
    caller: Reader<'_>,
    paging: Paging<'_>,
    request: ListJoinableOrganizationsRequest,
) -> Result<Answer<JoinableOrganization>, Error> {
    let person = person(app, &caller).await?;
    let domain = {
        let mut db = app.store.acquire().await?;
        proven_domain(&mut db, caller.organization_id, &person).await?
    };
    let domain = domain.unwrap_or_default();
    let list = paging.open(
        "joinable_organizations",
        caller.organization_id,
        &domain,
        &request.pagination,
    )?;
    let mut db = app.store.acquire().await?;
    let found = match &*domain {
        "" => Items::none(),
        domain => invitations::list_joinable(&mut db, domain, list.page()).await?,
    };
    let mut joinable = vec![];
    for id in found
        .items
        .iter()
        .filter(|id| **id != caller.organization_id)
    {
        joinable.extend(invitations::summary(&mut db, *id).await?.map(wire));
    }
    let pagination = list.next(&found, |id| id.as_uuid())?;
    Ok((joinable, pagination))
}

fn wire(summary: Summary) -> JoinableOrganization {
    JoinableOrganization {
        organization_id: summary.id.to_string(),
        organization_name: summary.name,
        organization_member_count: i32::try_from(summary.member_count).unwrap_or(i32::MAX),
        ..Default::default()
    }
}
