//! The audit log.

use chrono::{DateTime, Utc};

use super::Connection;
use crate::domain::audit::Change;
use crate::domain::identity::Subject;
use crate::domain::ids::{AuditEntryId, OrganizationId};
use crate::error::Error;

/// Records a change, in the transaction that makes it.
pub async fn insert(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: AuditEntryId,
    now: DateTime<Utc>,
    actor: Subject,
    change: &Change,
) -> Result<(), Error> {
    sqlx::query!(
        "insert into audit_entries
             (organization_id, id, created_at, actor_id, actor_principal, action, subject_type, subject_id, before, after)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        organization_id.as_uuid(),
        id.as_uuid(),
        now,
        actor.id.as_uuid(),
        actor.principal.as_str(),
        change.action,
        change.subject_type.as_str(),
        change.subject_id,
        change.before,
        change.after,
    )
    .execute(db)
    .await?;
    Ok(())
}
