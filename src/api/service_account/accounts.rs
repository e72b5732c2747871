//! Service accounts over the API.

use chrono::{DateTime, Utc};

use crate::api::enums::wire_subject;
use crate::api::handler::{begin, moment, parse_id, parse_ids, timestamp};
use crate::api::paging::{Answer, Paging};
use crate::app::App;
use crate::domain::audit::Change;
use crate::domain::identity::{Reader, Undecided, Writer};
use crate::domain::ids::{OrganizationId, ServiceAccountId};
use crate::domain::service_account::ServiceAccount;
use crate::domain::text;
use crate::error::{Error, Violation, no_violations};
use crate::store;
use crate::store::service_accounts::Filter;
use proto::gitpod::v1::{
    CreateServiceAccountRequest, DeleteServiceAccountRequest, GetServiceAccountRequest,
    ListServiceAccountsRequest, ServiceAccount as WireAccount, UpdateServiceAccountRequest,
};

/// `CreateServiceAccount`: it may do what any member may; what else, the groups say that it is put into.
pub async fn create(
    app: &App,
    caller: Writer<'_>,
    request: CreateServiceAccountRequest,
) -> Result<WireAccount, Error> {
    let now = app.clock.now();
    check(&request.name, &request.description)?;
    let valid_until = moment("valid_until", request.valid_until.as_option())?;
    let account = ServiceAccount {
        id: app.new_id(),
        name: request.name,
        description: request.description,
        creator: Some(caller.subject),
        created_at: now,
        valid_until: Some(in_future(valid_until, now)?),
        is_suspended: false,
    };
    let organization_id = caller.organization_id;
    let mut work = begin(app, caller, now).await?;
    store::service_accounts::insert(&mut work, organization_id, &account).await?;
    work.commit(Change::created("CreateServiceAccount", &account))
        .await?;
    Ok(wire(account, organization_id))
}

fn in_future(time: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Result<DateTime<Utc>, Error> {
    time.filter(|time| *time > now).ok_or_else(|| {
        Error::invalid(
            "valid_until",
            Violation::LIFETIME,
            "must be in the future: its tokens open nothing after that",
        )
    })
}

/// `GetServiceAccount`. Two round trips.
pub async fn get(
    app: &App,
    caller: Undecided<Reader<'_>>,
    request: GetServiceAccountRequest,
) -> Result<WireAccount, Error> {
    let id: ServiceAccountId = parse_id("service_account_id", &request.service_account_id)?;
    let organization_id = caller.organization_id();
    caller.about(id)?;
    let mut db = app.store.acquire().await?;
    let account = store::service_accounts::get(&mut db, organization_id, id).await?;
    Ok(wire(account, organization_id))
}

/// `ListServiceAccounts`. Two round trips.
pub async fn list(
    app: &App,
    caller: Reader<'_>,
    paging: Paging<'_>,
    request: ListServiceAccountsRequest,
) -> Result<Answer<WireAccount>, Error> {
    let wanted = request.filter.as_option().cloned().unwrap_or_default();
    let organization_id = caller.organization_id;
    let list = paging.open(
        "service_accounts",
        organization_id,
        format_args!("{wanted:?}"),
        &request.pagination,
    )?;
    let filter = Filter {
        include_suspended: wanted.include_suspended,
        ids: parse_ids("filter.service_account_ids", &wanted.service_account_ids)?,
        search: wanted.search,
    };
    let mut db = app.store.acquire().await?;
    let found =
        store::service_accounts::list(&mut db, organization_id, &filter, list.page()).await?;
    list.answer(
        found,
        |account| account.id.as_uuid(),
        |account| wire(account, organization_id),
    )
}

/// `UpdateServiceAccount`: what is absent stays.
pub async fn update(
    app: &App,
    caller: Writer<'_>,
    request: UpdateServiceAccountRequest,
) -> Result<WireAccount, Error> {
    let id = parse_id("service_account_id", &request.service_account_id)?;
    let (name, description) = (request.name, request.description);
    check(
        name.as_deref().unwrap_or_default(),
        description.as_deref().unwrap_or_default(),
    )?;
    let (organization_id, now) = (caller.organization_id, app.clock.now());
    let mut work = begin(app, caller, now).await?;
    let before = store::service_accounts::lock(&mut work, organization_id, id).await?;
    let after = ServiceAccount {
        name: name.unwrap_or_else(|| before.name.clone()),
        description: description.unwrap_or_else(|| before.description.clone()),
        ..before.clone()
    };
    store::service_accounts::update(&mut work, organization_id, &after, now).await?;
    work.commit(Change::updated("UpdateServiceAccount", &before, &after))
        .await?;
    Ok(wire(after, organization_id))
}

/// `DeleteServiceAccount`.
pub async fn delete(
    app: &App,
    caller: Writer<'_>,
    request: DeleteServiceAccountRequest,
) -> Result<(), Error> {
    let id = parse_id("service_account_id", &request.service_account_id)?;
    let organization_id = caller.organization_id;
    let mut work = begin(app, caller, app.clock.now()).await?;
    let before = store::service_accounts::lock(&mut work, organization_id, id).await?;
    store::service_accounts::delete(&mut work, organization_id, id).await?;
    work.commit(Change::deleted("DeleteServiceAccount", &before))
        .await
}

/// What the rules do not say.
fn check(name: &str, description: &str) -> Result<(), Error> {
    no_violations(text::unstorable([
        ("name", name),
        ("description", description),
    ]))
}

fn wire(account: ServiceAccount, organization_id: OrganizationId) -> WireAccount {
    WireAccount {
        id: account.id.to_string(),
        organization_id: organization_id.to_string(),
        name: account.name,
        description: account.description,
        creator: account.creator.map(wire_subject).into(),
        created_at: timestamp(account.created_at).into(),
        valid_until: account.valid_until.map(timestamp).into(),
        suspended: account.is_suspended,
        system_managed: account.creator.is_none(),
        ..Default::default()
    }
}
