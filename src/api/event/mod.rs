//! `EventService`: what happened in an organization.

mod audit_logs;
mod watch;

use crate::api::handler::service;
use proto::gitpod::v1::*;

service! { METHODS: EventService {
    member reads watch_events(WatchEventsRequest) -> [WatchEventsResponse] =
        watch::watch(app, caller, again, request);
    audit_log_reader reads list_audit_logs(ListAuditLogsRequest) -> ListAuditLogsResponse { entries, pagination } =
        audit_logs::list(app, caller, paging, request);
    audit_log_reader reads get_audit_log(GetAuditLogRequest) -> GetAuditLogResponse { entry, details } =
        audit_logs::get(app, caller, request);
}}
