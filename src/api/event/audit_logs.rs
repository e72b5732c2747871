//! The audit log over the API.

use serde_json::Value;

use crate::api::enums::{self, wire_principal};
use crate::api::handler::{moment, parse_id, parse_ids, timestamp};
use crate::api::paging::{Answer, Paging};
use crate::app::App;
use crate::domain::identity::{Principal, Reader};
use crate::error::{Error, Violation};
use crate::store::audit::{self, Entry, Filter};
use buffa_types::google::protobuf::Struct;
use proto::gitpod::v1::audit_log_entry_details::Payload;
use proto::gitpod::v1::list_audit_logs_response::AuditLogEntry;
use proto::gitpod::v1::{
    AuditLogEntryDetails, AuditLogEntryKind, GetAuditLogRequest, ListAuditLogsRequest,
    Principal as WirePrincipal, ResourceType, Sort, SortOrder,
};
use proto::rollcall::v1::ResourceChange;

/// `ListAuditLogs`. Two round trips.
pub async fn list(
    app: &App,
    caller: Reader<'_>,
    paging: Paging<'_>,
    request: ListAuditLogsRequest,
) -> Result<Answer<AuditLogEntry>, Error> {
    let wanted = request.filter.as_option().cloned().unwrap_or_default();
    let newest_first = newest_first(&request.sort)?;
    let organization_id = caller.organization_id;
    let list = paging.open(
        "audit_logs",
        organization_id,
        format_args!("{wanted:?}{newest_first}"),
        &request.pagination,
    )?;
    let kinds = wanted
        .actor_principals
        .iter()
        .filter_map(|kind| kind.as_known());
    let filter = Filter {
        actors: parse_ids("filter.actor_ids", &wanted.actor_ids)?,
        principals: kinds.flat_map(principals).collect(),
        subjects: parse_ids("filter.subject_ids", &wanted.subject_ids)?,
        subject_types: wanted.subject_types.iter().map(enums::name).collect(),
        from: moment("filter.from", wanted.from.as_option())?,
        to: moment("filter.to", wanted.to.as_option())?,
    };
    let asks_for_unknown = !wanted.actor_principals.is_empty() && filter.principals.is_empty();
    let found = match asks_for_unknown {
        true => crate::store::Items::none(),
        false => {
            let mut db = app.store.acquire().await?;
            let (behind, size) = (list.last_id(), list.size);
            audit::list(
                &mut db,
                organization_id,
                &filter,
                newest_first,
                behind,
                size,
            )
            .await?
        }
    };
    list.answer(found, |entry| entry.id, |entry| wire(&entry))
}

fn newest_first(sort: &Sort) -> Result<bool, Error> {
    match &*sort.field {
        "" | "created_at" | "createdAt" => Ok(sort.order != SortOrder::SORT_ORDER_ASC),
        _ => Err(Error::invalid(
            "sort.field",
            Violation::SORT,
            "must be created_at, or left out",
        )),
    }
}

/// The kinds of subject that the contract calls so. For three of ours it has no name.
fn principals(wire: WirePrincipal) -> Vec<Principal> {
    let all = Principal::ALL.iter().copied();
    all.filter(|kind| wire_principal(*kind) == wire).collect()
}

/// `GetAuditLog`. Two round trips.
pub async fn get(
    app: &App,
    caller: Reader<'_>,
    request: GetAuditLogRequest,
) -> Result<(AuditLogEntry, AuditLogEntryDetails), Error> {
    let id = parse_id("audit_log_entry_id", &request.audit_log_entry_id)?;
    let mut db = app.store.acquire().await?;
    let entry = audit::get(&mut db, caller.organization_id, id).await?;
    let shown = wire(&entry);
    let is_named = wire_principal(entry.actor_principal) != WirePrincipal::PRINCIPAL_UNSPECIFIED;
    let change = ResourceChange {
        before: object(entry.before).into(),
        after: object(entry.after).into(),
        actor_kind: match is_named {
            true => String::new(),
            false => entry.actor_principal.to_string(),
        },
        actor_name: entry.actor_name.unwrap_or_default(),
        subject_kind: entry.subject_type,
        ..Default::default()
    };
    let details = AuditLogEntryDetails {
        payload: Some(Payload::ResourceChange(Box::new(change))),
        ..Default::default()
    };
    Ok((shown, details))
}

fn object(value: Option<Value>) -> Option<Struct> {
    value.and_then(|value| serde_json::from_value(value).ok())
}

fn wire(entry: &Entry) -> AuditLogEntry {
    AuditLogEntry {
        id: entry.id.to_string(),
        actor_id: entry.actor_id.to_string(),
        actor_principal: wire_principal(entry.actor_principal).into(),
        subject_id: entry.subject_id.to_string(),
        subject_type: enums::of_name::<ResourceType>(&entry.subject_type).into(),
        action: entry.action.clone(),
        created_at: timestamp(entry.created_at).into(),
        kind: AuditLogEntryKind::AUDIT_LOG_ENTRY_KIND_RESOURCE_CHANGE.into(),
        ..Default::default()
    }
}
