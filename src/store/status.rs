//! How the database and an organization's configurations are, for `GetStatus`.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, query_as};
use uuid::Uuid;

use super::scim_events::first_id;
use super::{Connection, MIGRATIONS};
use crate::domain::ids::OrganizationId;
use crate::error::Error;

/// How PostgreSQL is. It belongs to the installation, not to a tenant.
#[derive(Debug, FromRow)]
pub struct Database {
    /// Its version, such as `17.5`.
    pub version: String,
    /// Whether it takes writes.
    pub writable: bool,
    /// How many standbys it feeds.
    pub standby_count: i64,
    /// How far, in seconds, the slowest standby is behind, or it behind its primary; `None` where there is
    /// none, and where this user may not know.
    pub lag_seconds: Option<f64>,
    /// The newest version of the schema in it.
    pub schema_version: Option<i64>,
}

/// Looks at the database.
pub async fn database(db: &mut Connection) -> Result<Database, Error> {
    // Not checked: the table of versions is not in the schema that queries are checked against. Of those who may not
    // know, pg_stat_replication hides all but that there is a standby.
    Ok(query_as(
        "select split_part(current_setting('server_version'), ' ', 1) as version,
             current_setting('transaction_read_only') = 'off' as writable,
             (select count(*) from pg_stat_replication) as standby_count,
             case
                 when not pg_is_in_recovery() then
                     (select extract(epoch from max(coalesce(replay_lag, '0'))) from pg_stat_replication where state is not null)
                 when pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() then 0
                 else extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp())
             end::float8 as lag_seconds,
             (select max(version) from _sqlx_migrations where success) as schema_version",
    )
    .fetch_one(db)
    .await?)
}

/// The newest version of the schema that this server knows.
pub fn known_schema_version() -> i64 {
    MIGRATIONS
        .iter()
        .map(|m| m.version)
        .max()
        .unwrap_or_default()
}

/// A SCIM configuration and what happened last.
#[derive(Debug)]
pub struct ScimStatus {
    /// The configuration.
    pub id: Uuid,
    /// What administrators call it.
    pub name: String,
    /// Whether it answers at all.
    pub enabled: bool,
    /// When its token ends.
    pub token_expires_at: DateTime<Utc>,
    /// How many users it has.
    pub user_count: i64,
    /// How many groups it has, up to [`MAX_GROUPS`] and one.
    pub group_count: i64,
    /// When the newest event of its log was.
    pub last_event_at: Option<DateTime<Utc>>,
    /// The same of the newest refusal.
    pub refused_at: Option<DateTime<Utc>>,
    /// The HTTP method of what was refused.
    pub refused_method: Option<String>,
    /// Its path.
    pub refused_path: Option<String>,
    /// The HTTP status of the answer.
    pub refused_status: Option<i16>,
    /// Why.
    pub refused_reason: Option<String>,
}

/// Up to how many groups of each SCIM configuration are counted.
pub const MAX_GROUPS: i64 = 10_000;

/// Up to `limit` SCIM configurations of the organization, the oldest first.
pub async fn scim_configurations(
    db: &mut Connection,
    organization_id: OrganizationId,
    limit: i64,
) -> Result<Vec<ScimStatus>, Error> {
    Ok(query_as!(
        ScimStatus,
        r#"select c.id, c.name, c.enabled, c.token_expires_at,
               coalesce((select sum(count) from scim_user_blocks u
                   where u.organization_id = $1 and u.scim_configuration_id = c.id), 0)::bigint as "user_count!",
               (select count(*) from (select 1 from scim_groups g
                   where g.organization_id = $1 and g.scim_configuration_id = c.id limit $3) g) as "group_count!",
               l.created_at as "last_event_at?",
               r.created_at as "refused_at?", r.method as "refused_method?", r.path as "refused_path?",
               r.status as "refused_status?", r.reason as "refused_reason?"
           from scim_configurations c
           left join lateral (
               select created_at from scim_events
               where organization_id = $1 and scim_configuration_id = c.id
               order by id desc limit 1) l on true
           left join lateral (
               select created_at, method, path, status, reason from scim_events
               where organization_id = $1 and scim_configuration_id = c.id and outcome = 'refused'
               order by id desc limit 1) r on true
           where c.organization_id = $1
           order by c.id limit $2"#,
        organization_id.as_uuid(),
        limit,
        MAX_GROUPS + 1,
    )
    .fetch_all(db)
    .await?)
}

/// Up to how many people and groups of an organization are counted: the cost must not grow with it.
pub const MAX_COUNT: i64 = 50_000;

/// How many there are, up to [`MAX_COUNT`] and one of each.
#[derive(Debug)]
pub struct Counts {
    /// The people who ever were members.
    pub people: i64,
    /// Those of them who have left.
    pub left: i64,
    /// The groups, the organization's own and those that identity providers push.
    pub groups: i64,
}

/// Counts people and groups, in indexes alone.
pub async fn counts(db: &mut Connection, organization_id: OrganizationId) -> Result<Counts, Error> {
    Ok(query_as!(
        Counts,
        r#"select (select count(*) from (select 1 from users u where u.organization_id = $1 limit $2) p) as "people!",
               (select count(*) from (select 1 from users u where u.organization_id = $1 and u.status = 'left' limit $2) l) as "left!",
               (select count(*) from (
                   (select 1 from groups g where g.organization_id = $1 limit $2)
                   union all
                   (select 1 from scim_groups s where s.organization_id = $1 limit $2)) g) as "groups!""#,
        organization_id.as_uuid(),
        MAX_COUNT + 1,
    )
    .fetch_one(db)
    .await?)
}

/// Whether people sign in and are provisioned, in figures.
#[derive(Debug)]
pub struct Health {
    /// SSO configurations with which people can sign in.
    pub active_sso: i64,
    /// Those that are active, and whose client secret is to be entered again.
    pub broken_sso: i64,
    /// SCIM configurations that answer.
    pub enabled_scim: i64,
    /// Those of them whose token has ended.
    pub expired_scim: i64,
    /// When the newest event of provisioning was.
    pub last_event_at: Option<DateTime<Utc>>,
    /// What provisioning was refused, up to a limit.
    pub refused_events: i64,
    /// How many people signed in, up to the limit.
    pub signed_in: i64,
    /// How many were refused, up to the limit.
    pub refused: i64,
}

/// Reads how an organization is, in indexes alone: what happened since a moment is counted up to `limit`.
pub async fn health(
    db: &mut Connection,
    organization_id: OrganizationId,
    now: DateTime<Utc>,
    since: DateTime<Utc>,
    limit: i64,
) -> Result<Health, Error> {
    // Pairs are compared so that no index serves that is in the order of time alone, in which all organizations are; the order
    // has the one serve that has the pairs, so that no more is read than is counted.
    Ok(query_as!(
        Health,
        r#"select
               (select count(*) from sso_configurations c where c.organization_id = $1 and c.is_active
                   and c.client_secret is distinct from c.forgotten_secret) as "active_sso!",
               (select count(*) from sso_configurations c where c.organization_id = $1 and c.is_active
                   and c.client_secret = c.forgotten_secret) as "broken_sso!",
               (select count(*) from scim_configurations c where c.organization_id = $1 and c.enabled) as "enabled_scim!",
               (select count(*) from scim_configurations c where c.organization_id = $1 and c.enabled
                   and c.token_expires_at <= $2) as "expired_scim!",
               (select max(l.created_at) from scim_configurations c, lateral (
                   select e.created_at from scim_events e
                   where e.organization_id = $1 and e.scim_configuration_id = c.id
                   order by e.id desc limit 1) l
                where c.organization_id = $1) as "last_event_at?",
               (select count(*) from (select 1 from scim_configurations c, lateral (
                   select 1 from scim_events e
                   where e.organization_id = $1 and e.scim_configuration_id = c.id and e.outcome = 'refused' and e.id >= $4
                   limit $5) r
                where c.organization_id = $1 limit $5) e) as "refused_events!",
               (select count(*) from (select 1 from sso_attempts a
                   where a.organization_id = $1 and a.outcome = 'signed_in' and (a.outcome, a.created_at) >= ('signed_in', $3)
                   order by a.created_at desc limit $5) s) as "signed_in!",
               (select count(*) from (select 1 from sso_attempts a
                   where a.organization_id = $1 and a.outcome = 'refused' and (a.outcome, a.created_at) >= ('refused', $3)
                   order by a.created_at desc limit $5) r) as "refused!""#,
        organization_id.as_uuid(),
        now,
        since,
        first_id(since),
        limit,
    )
    .fetch_one(db)
    .await?)
}

/// A token that ends.
#[derive(Debug)]
pub struct ExpiringToken {
    /// Whether it is a SCIM configuration's.
    pub is_scim: bool,
    /// The API token, or the SCIM configuration.
    pub id: Uuid,
    /// What it is called.
    pub name: String,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

/// The next tokens of the organization to end, up to `limit`, of those that open something now.
pub async fn next_expiring_tokens(
    db: &mut Connection,
    organization_id: OrganizationId,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<ExpiringToken>, Error> {
    Ok(query_as!(
        ExpiringToken,
        r#"(select false as "is_scim!", t.id as "id!", a.name as "name!", t.expires_at as "expires_at!"
            from api_tokens t
            join service_accounts a on a.organization_id = t.organization_id and a.id = t.service_account_id
            where t.organization_id = $1 and t.revoked_at is null and t.expires_at > $2
            order by t.expires_at limit $3)
           union all
           (select true, c.id, c.name, c.token_expires_at from scim_configurations c
            where c.organization_id = $1 and c.enabled and c.token_expires_at > $2
            order by c.token_expires_at limit $3)
           order by 4, 2 limit $3"#,
        organization_id.as_uuid(),
        now,
        limit,
    )
    .fetch_all(db)
    .await?)
}
