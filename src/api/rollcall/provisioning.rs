//! `ProvisioningService`: what identity providers pushed.

use serde_json::Value;

use crate::api::handler::{moment, optional_id, timestamp};
use crate::api::paging::{Answer, Paging};
use crate::app::App;
use crate::domain::identity::Reader;
use crate::error::Error;
use crate::store;
use crate::store::scim_events::{EventFilter, Listed, Outcome};
use proto::rollcall::v1::provisioning_event::Change;
use proto::rollcall::v1::{ListProvisioningEventsRequest, ProvisioningEvent, ProvisioningOutcome};

/// `ListProvisioningEvents`. Two round trips.
pub async fn list_events(
    app: &App,
    caller: Reader<'_>,
    paging: Paging<'_>,
    request: ListProvisioningEventsRequest,
) -> Result<Answer<ProvisioningEvent>, Error> {
    let wire = request.filter.as_option().cloned().unwrap_or_default();
    let filter = EventFilter {
        scim_configuration_id: optional_id(
            "filter.scim_configuration_id",
            &wire.scim_configuration_id,
        )?,
        resource_id: optional_id("filter.resource_id", &wire.resource_id)?,
        user_id: optional_id("filter.user_id", &wire.user_id)?,
        only_refused: wire.only_refused,
        since: moment("filter.since", wire.since.as_option())?,
        until: moment("filter.until", wire.until.as_option())?,
    };
    let organization_id = caller.organization_id;
    let list = paging.open(
        "provisioning_events",
        organization_id,
        format_args!("{filter:?}"),
        &request.pagination,
    )?;

    let mut db = app.store.acquire().await?;
    let (before, size) = (list.last_id(), list.size);
    let found = store::scim_events::list(&mut db, organization_id, &filter, before, size).await?;
    if let (Some(id), true) = (filter.scim_configuration_id, found.items.is_empty()) {
        // An empty log, or none?
        store::scim::get(&mut db, organization_id, id).await?;
    }
    list.answer(found, |event| event.id, event)
}

fn event(event: Listed) -> ProvisioningEvent {
    let outcome = match event.outcome {
        Outcome::Created => ProvisioningOutcome::PROVISIONING_OUTCOME_CREATED,
        Outcome::Updated => ProvisioningOutcome::PROVISIONING_OUTCOME_UPDATED,
        Outcome::Deleted => ProvisioningOutcome::PROVISIONING_OUTCOME_DELETED,
        Outcome::Refused => ProvisioningOutcome::PROVISIONING_OUTCOME_REFUSED,
    };
    let changes = match event.changes {
        Some(Value::Array(changes)) => changes,
        _ => vec![],
    };
    ProvisioningEvent {
        id: event.id.to_string(),
        scim_configuration_id: event.scim_configuration_id.to_string(),
        created_at: timestamp(event.created_at).into(),
        method: event.method,
        path: event.path,
        status: event.status.into(),
        outcome: outcome.into(),
        traits: event.traits,
        resource_type: event.resource_type.unwrap_or_default(),
        resource_id: event
            .resource_id
            .map(|id| id.to_string())
            .unwrap_or_default(),
        changes: changes.into_iter().map(change).collect(),
        reason: event.reason.unwrap_or_default(),
        ..Default::default()
    }
}

fn change(mut change: Value) -> Change {
    let mut side = |name: &str| {
        let value = change.get_mut(name).map(Value::take);
        // Every JSON value is one of these.
        value
            .and_then(|value| serde_json::from_value(value).ok())
            .map_or_else(
                Default::default,
                |value: buffa_types::google::protobuf::Value| value.into(),
            )
    };
    Change {
        old_value: side("old"),
        new_value: side("new"),
        attribute: change["attribute"].as_str().unwrap_or_default().to_owned(),
        count: change["count"]
            .as_i64()
            .and_then(|count| i32::try_from(count).ok())
            .unwrap_or_default(),
        ..Default::default()
    }
}
