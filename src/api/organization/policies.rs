//! The policies of the organization over the API.

use serde_json::{Map, Value};

use crate::api::handler::begin;
use crate::app::App;
use crate::domain::audit::{Change, SubjectType};
use crate::domain::identity::{Reader, Writer};
use crate::domain::ids::OrganizationId;
use crate::domain::organization_policies::OrganizationPolicies;
use crate::error::Error;
use crate::store;
use proto::gitpod::v1::{
    GetOrganizationPoliciesRequest, OrganizationPolicies as WirePolicies,
    UpdateOrganizationPoliciesRequest,
};

/// `GetOrganizationPolicies`. Two round trips.
pub async fn get(
    app: &App,
    caller: Reader<'_>,
    request: GetOrganizationPoliciesRequest,
) -> Result<WirePolicies, Error> {
    let organization_id = caller.organization(&request.organization_id)?;
    let mut db = app.store.acquire().await?;
    let policies = store::policies::get(&mut db, organization_id).await?;
    wire(organization_id, policies)
}

/// `UpdateOrganizationPolicies`: what is absent stays.
pub async fn update(
    app: &App,
    caller: Writer<'_>,
    request: UpdateOrganizationPoliciesRequest,
) -> Result<(), Error> {
    let organization_id = caller.organization(&request.organization_id)?;
    let change = change(&request)?;

    let now = app.clock.now();
    let mut work = begin(app, caller, now).await?;
    let before = store::policies::lock(&mut work, organization_id, now).await?;
    let mut after = before.clone();
    after.apply(change)?;
    store::policies::update(&mut work, organization_id, &after, now).await?;
    let change = Change {
        action: "UpdateOrganizationPolicies",
        subject_type: SubjectType::OrganizationPolicy,
        subject_id: organization_id.as_uuid(),
        before: Some(Value::Object(before.0)),
        after: Some(Value::Object(after.0)),
    };
    work.commit(change).await
}

/// The policies that the request has, in JSON: there, what is absent or empty is absent.
fn change(request: &UpdateOrganizationPoliciesRequest) -> Result<Map<String, Value>, Error> {
    match serde_json::to_value(request).map_err(Error::internal)? {
        Value::Object(mut change) => {
            change.remove("organizationId");
            Ok(change)
        }
        _ => Err(Error::internal("a message is an object in JSON")),
    }
}

fn wire(
    organization_id: OrganizationId,
    policies: OrganizationPolicies,
) -> Result<WirePolicies, Error> {
    let policies = Value::Object(policies.0);
    let mut wire: WirePolicies = serde_json::from_value(policies).map_err(Error::internal)?;
    wire.organization_id = organization_id.to_string();
    // Clients count on it.
    wire.agent_policy.get_or_insert_default();
    Ok(wire)
}
