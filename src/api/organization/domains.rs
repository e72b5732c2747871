//! Domain verifications over the API.

use crate::api::handler::{begin, parse_id, timestamp};
use crate::api::paging::{Answer, Paging};
use crate::app::App;
use crate::domain::audit::Change;
use crate::domain::domain_verification::{self, DomainVerification};
use crate::domain::identity::{Reader, Writer};
use crate::error::Error;
use crate::store;
use proto::gitpod::v1::{
    CreateDomainVerificationRequest, DeleteDomainVerificationRequest,
    DomainVerification as WireVerification, DomainVerificationState, GetDomainVerificationRequest,
    ListDomainVerificationsRequest, VerifyDomainRequest,
};

/// `CreateDomainVerification`.
pub async fn create(
    app: &App,
    caller: Writer<'_>,
    request: CreateDomainVerificationRequest,
) -> Result<WireVerification, Error> {
    let organization_id = caller.organization(&request.organization_id)?;
    let domain = domain_verification::normal_domain(&request.domain)?;

    let verification = DomainVerification {
        id: app.new_id(),
        organization_id,
        domain,
        token: domain_verification::token(app.random.bytes()),
        verified_at: None,
        created_at: app.clock.now(),
    };
    let mut work = begin(app, caller, app.clock.now()).await?;
    store::domains::insert(&mut work, organization_id, &verification).await?;
    let change = Change::created("CreateDomainVerification", &verification);
    work.commit(change).await?;
    Ok(wire(verification))
}

/// `GetDomainVerification`. Two round trips.
pub async fn get(
    app: &App,
    caller: Reader<'_>,
    request: GetDomainVerificationRequest,
) -> Result<WireVerification, Error> {
    let id = parse_id("domain_verification_id", &request.domain_verification_id)?;
    let mut db = app.store.acquire().await?;
    let verification = store::domains::get(&mut db, caller.organization_id, id).await?;
    Ok(wire(verification))
}

/// `ListDomainVerifications`. Two round trips.
pub async fn list(
    app: &App,
    caller: Reader<'_>,
    paging: Paging<'_>,
    request: ListDomainVerificationsRequest,
) -> Result<Answer<WireVerification>, Error> {
    let organization_id = caller.organization(&request.organization_id)?;
    let list = paging.open(
        "domain_verifications",
        organization_id,
        "",
        &request.pagination,
    )?;

    let mut db = app.store.acquire().await?;
    let found = store::domains::list(&mut db, organization_id, list.page()).await?;
    list.answer(found, |v| v.id.as_uuid(), wire)
}

/// `VerifyDomain`. A domain that is verified already is not looked up again.
pub async fn verify(
    app: &App,
    caller: Writer<'_>,
    request: VerifyDomainRequest,
) -> Result<WireVerification, Error> {
    let id = parse_id("domain_verification_id", &request.domain_verification_id)?;
    let organization_id = caller.organization_id;
    let mut db = app.store.acquire().await?;
    let mut verification = store::domains::get(&mut db, organization_id, id).await?;
    // A lookup takes its time: no connection is held meanwhile.
    drop(db);
    if verification.verified_at.is_none() {
        verification.check(&app.dns.txt(&verification.record_name()).await?)?;
        verification = complete(app, caller, &verification).await?;
    }
    Ok(wire(verification))
}

/// Writes that the record was found.
async fn complete(
    app: &App,
    caller: Writer<'_>,
    checked: &DomainVerification,
) -> Result<DomainVerification, Error> {
    let (organization_id, id) = (caller.organization_id, checked.id);
    let now = app.clock.now();
    let mut work = begin(app, caller, now).await?;
    let before = store::domains::lock(&mut work, organization_id, id).await?;
    if before.verified_at.is_some() {
        return Ok(before);
    }
    let after = DomainVerification {
        verified_at: Some(now),
        ..before.clone()
    };
    store::domains::set_verified(&mut work, organization_id, id, now).await?;
    let change = Change::updated("VerifyDomain", &before, &after);
    work.commit(change).await?;
    Ok(after)
}

/// `DeleteDomainVerification`: the domain is verified no more.
pub async fn delete(
    app: &App,
    caller: Writer<'_>,
    request: DeleteDomainVerificationRequest,
) -> Result<(), Error> {
    let id = parse_id("domain_verification_id", &request.domain_verification_id)?;

    let mut work = begin(app, caller, app.clock.now()).await?;
    let before = store::domains::lock(&mut work, caller.organization_id, id).await?;
    store::domains::delete(&mut work, caller.organization_id, id).await?;
    let change = Change::deleted("DeleteDomainVerification", &before);
    work.commit(change).await
}

fn wire(verification: DomainVerification) -> WireVerification {
    let v = verification;
    let state = if v.verified_at.is_some() {
        DomainVerificationState::DOMAIN_VERIFICATION_STATE_VERIFIED
    } else {
        DomainVerificationState::DOMAIN_VERIFICATION_STATE_PENDING
    };
    WireVerification {
        id: v.id.to_string(),
        organization_id: v.organization_id.to_string(),
        domain: v.domain,
        state: state.into(),
        verified_at: v.verified_at.map(timestamp).into(),
        verification_token: v.token,
        created_at: timestamp(v.created_at).into(),
        ..Default::default()
    }
}
