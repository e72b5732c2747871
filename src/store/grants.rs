//! What applications may do in somebody's name. A grant is one row from the code to the last refresh token.
//!
//! Every statement that a client's token opens something with looks at all of this: the grant has not ended, its application is
//! there, the member may act, the organization is not deleted, and the session is there or the grant goes on without it.
//!
//! `coalesce` around a grant's columns keeps the planner from looking for the grant by its member or session, of which it thinks in
//! an empty table that they have few: the grant comes first, by its key.

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use serde_json::Value;
use sqlx::{query, query_as, query_scalar};
use uuid::Uuid;

use super::roles::query_with_roles;
use super::{Connection, Json};
use crate::domain::application::{ClientId, Scopes, Settings};
use crate::domain::grant::{Details, Grant, REPEAT};
use crate::domain::identity::{Powers, Role};
use crate::domain::ids::{
    GrantId, GroupId, MemberId, OrganizationId, SessionId, SsoConfigurationId, SubjectId,
};
use crate::error::Error;

/// A grant that is live, and whom it is about.
#[derive(Debug)]
pub struct Live {
    /// For what, separated by blanks.
    pub scope: String,
    /// What else was asked for.
    pub details: Json<Details>,
    /// In which session.
    pub session_id: Option<SessionId>,
    /// The member.
    pub subject_id: SubjectId,
    /// The member's name.
    pub name: String,
    /// The parts of the name, as provisioning has them.
    pub name_parts: Option<Value>,
    /// The member's address; may be empty.
    pub email: String,
    /// Whether it is known to be the member's.
    pub email_verified: bool,
    /// Where the member's picture is; may be empty.
    pub avatar_url: String,
    /// When the member was changed.
    pub updated_at: DateTime<Utc>,
    /// The member's own role.
    pub role: Role,
    /// The organization's name.
    pub organization: String,
    /// What is said of the application.
    pub settings: Json<Settings>,
}

impl Exchange<'_> {
    /// When the refresh token that comes next is over, rounded up to a day: it is in an index, and a row whose indexed columns stay
    /// as they are is cheaper to write. How long the token lives is looked at to the second.
    fn ends_at(&self) -> DateTime<Utc> {
        let end = self.now + self.refresh_lifetime + TimeDelta::days(1);
        end.duration_trunc(TimeDelta::days(1)).unwrap_or(end)
    }
}

impl Live {
    /// For what it is.
    pub fn scopes(&self) -> Scopes {
        Scopes::known(&self.scope)
    }
}

/// What is presented to get tokens.
#[derive(Debug)]
pub struct Exchange<'a> {
    /// The person's organization.
    pub organization_id: OrganizationId,
    /// The grant.
    pub id: GrantId,
    /// The client that asks.
    pub client: ClientId,
    /// SHA-256 of the code or of the refresh token.
    pub hash: &'a [u8],
    /// SHA-256 of the refresh token that comes next.
    pub next_hash: &'a [u8],
    /// Now.
    pub now: DateTime<Utc>,
    /// How long a refresh token lives that is not used.
    pub refresh_lifetime: TimeDelta,
    /// Since when the session must have been used.
    pub used_since: DateTime<Utc>,
}

/// Joins a statement's halves by the columns of [`Live`].
macro_rules! live {
    ($before:literal, $after:literal, $($argument:expr),+ $(,)?) => {
        query_as!(
            Live,
            $before + r#" g.scope, g.details as "details: Json<Details>", g.session_id as "session_id: _",
                g.subject_id as "subject_id: _", u.name,
                (select s.resource->'name' from scim_users s where s.organization_id = $1 and s.user_id = u.id
                 order by s.active desc, s.id limit 1) as name_parts,
                u.email, u.email_verified, u.avatar_url, u.updated_at, u.role as "role: _", o.name as organization,
                a.settings as "settings: Json<Settings>" "# + $after,
            $($argument),+
        )
    };
}

/// Adds a grant with its code.
pub async fn insert(
    db: &mut Connection,
    grant: &Grant,
    code_hash: Option<&[u8]>,
    redirect_uri: &str,
    code_challenge: Option<&str>,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<(), Error> {
    query!(
        "insert into grants (organization_id, id, application_organization_id, application_id, subject_id, session_id,
             sso_configuration_id, scope, details, redirect_uri, code_challenge, code_hash, code_expires_at, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $14, $13, $14)",
        grant.organization_id.as_uuid(),
        grant.id.as_uuid(),
        grant.client.organization_id.as_uuid(),
        grant.client.id.as_uuid(),
        grant.subject.as_uuid(),
        grant.session.map(SessionId::as_uuid),
        grant.sso_configuration.map(|id| id.as_uuid()),
        grant.scopes.to_string(),
        Json(&grant.details) as _,
        redirect_uri,
        code_challenge,
        code_hash,
        now,
        expires_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Takes a code, and gives the grant its first refresh token if it is to have one. `None` where something does not fit, and then
/// nothing is changed. One round trip.
pub async fn exchange_code(
    db: &mut Connection,
    exchange: &Exchange<'_>,
    redirect_uri: &str,
    code_challenge: Option<&str>,
) -> Result<Option<Live>, Error> {
    Ok(live!(
        "update grants g set code_used_at = $6, refreshed_at = $6,
             refresh_hash = case when g.scope ~ '(^| )offline_access( |$)' then $9::bytea end,
             expires_at = case when g.scope ~ '(^| )offline_access( |$)' then greatest(s.expires_at, $10) else s.expires_at end
         from users u, organizations o, applications a, sessions s
         where g.organization_id = $1 and g.id = $2 and g.application_organization_id = $3 and g.application_id = $4
             and g.code_hash = $5 and g.code_used_at is null and g.code_expires_at > $6 and g.ended_at is null
             and g.redirect_uri = $7 and g.code_challenge is not distinct from $8
             and u.organization_id = $1 and u.id = coalesce(g.subject_id, g.id) and u.status = 'active'
             and o.id = $1 and o.deleted_at is null
             and a.organization_id = $3 and a.id = $4
             and s.organization_id = $1 and s.id = coalesce(g.session_id, g.id) and s.expires_at > $6 and s.last_used_at > $11
         returning ",
        "",
        exchange.organization_id.as_uuid(),
        exchange.id.as_uuid(),
        exchange.client.organization_id.as_uuid(),
        exchange.client.id.as_uuid(),
        exchange.hash,
        exchange.now,
        redirect_uri,
        code_challenge,
        exchange.next_hash,
        exchange.ends_at(),
        exchange.used_since,
    )
    .fetch_optional(db)
    .await?)
}

/// Takes a refresh token, and puts the next one in its place; the one before the last may be asked with again for 30 seconds, and
/// changes nothing. `None` where something does not fit. One round trip.
pub async fn exchange_refresh_token(
    db: &mut Connection,
    exchange: &Exchange<'_>,
) -> Result<Option<Live>, Error> {
    Ok(live!(
        "update grants g set
             previous_refresh_hash = $5, refresh_hash = $7, expires_at = greatest(g.expires_at, $8),
             refreshed_at = case when g.refresh_hash = $5 then $6 else g.refreshed_at end
         from users u, organizations o, applications a
         where g.organization_id = $1 and g.id = $2 and g.application_organization_id = $3 and g.application_id = $4
             and (g.refresh_hash = $5
                  or (g.previous_refresh_hash = $5 and g.refresh_hash = $7 and g.refreshed_at > $9))
             and g.refreshed_at > $10 and g.ended_at is null
             and u.organization_id = $1 and u.id = coalesce(g.subject_id, g.id) and u.status = 'active'
             and o.id = $1 and o.deleted_at is null
             and a.organization_id = $3 and a.id = $4
         returning ",
        "",
        exchange.organization_id.as_uuid(),
        exchange.id.as_uuid(),
        exchange.client.organization_id.as_uuid(),
        exchange.client.id.as_uuid(),
        exchange.hash,
        exchange.now,
        exchange.next_hash,
        exchange.ends_at(),
        exchange.now - REPEAT,
        exchange.now - exchange.refresh_lifetime,
    )
    .fetch_optional(db)
    .await?)
}

/// A grant that a token was presented for, whatever became of it.
#[derive(Debug)]
pub struct Trace {
    /// The application that has it.
    pub client: ClientId,
    /// For what it is, separated by blanks.
    pub scope: String,
    /// SHA-256 of its code.
    pub code_hash: Option<Vec<u8>>,
    /// Whether the code was used.
    pub is_code_used: bool,
    /// SHA-256 of the refresh token that counts, and of the one before.
    pub refresh_hashes: [Option<Vec<u8>>; 2],
    /// When the refresh token was given.
    pub refreshed_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
}

/// Looks at a grant whose token was refused.
pub async fn trace(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: GrantId,
) -> Result<Option<Trace>, Error> {
    let row = query!(
        r#"select application_organization_id, application_id, scope, code_hash, code_used_at is not null as "is_code_used!",
               refresh_hash, previous_refresh_hash, refreshed_at, ended_at
           from grants where organization_id = $1 and id = $2"#,
        organization_id.as_uuid(),
        id.as_uuid(),
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Trace {
        client: ClientId {
            organization_id: row.application_organization_id.into(),
            id: row.application_id.into(),
        },
        scope: row.scope,
        code_hash: row.code_hash,
        is_code_used: row.is_code_used,
        refresh_hashes: [row.refresh_hash, row.previous_refresh_hash],
        refreshed_at: row.refreshed_at,
        ended_at: row.ended_at,
    }))
}

/// Ends a grant of an application, and tells whether there was one. Nobody is told of it: the session goes on.
pub async fn end(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: GrantId,
    client: ClientId,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let done = query!(
        "update grants set ended_at = $5
         where organization_id = $1 and id = $2 and application_organization_id = $3 and application_id = $4 and ended_at is null",
        organization_id.as_uuid(),
        id.as_uuid(),
        client.organization_id.as_uuid(),
        client.id.as_uuid(),
        now,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Reads a grant of a member, if it is live: for a token that came of it.
pub async fn find_live(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: GrantId,
    client: ClientId,
    now: DateTime<Utc>,
) -> Result<Option<Live>, Error> {
    Ok(live!(
        "select ",
        "from grants g
         join users u on u.organization_id = $1 and u.id = coalesce(g.subject_id, g.id) and u.status = 'active'
         join organizations o on o.id = $1 and o.deleted_at is null
         join applications a on a.organization_id = $3 and a.id = $4
         where g.organization_id = $1 and g.id = $2 and g.application_organization_id = $3 and g.application_id = $4
             and g.expires_at > $5 and g.ended_at is null
             and (g.scope ~ '(^| )offline_access( |$)'
                  or exists (select 1 from sessions s where s.organization_id = $1 and s.id = coalesce(g.session_id, g.id) and s.expires_at > $5))",
        organization_id.as_uuid(),
        id.as_uuid(),
        client.organization_id.as_uuid(),
        client.id.as_uuid(),
        now,
    )
    .fetch_optional(db)
    .await?)
}

/// Whether a grant of a service account is live.
pub async fn is_account_live(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: GrantId,
    client: ClientId,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let found = query!(
        r#"select 1 as "one!" from grants g
         join service_accounts u on u.organization_id = $1 and u.id = coalesce(g.subject_id, g.id) and u.suspended_at is null
             and (u.valid_until is null or u.valid_until > $5)
         join organizations o on o.id = $1 and o.deleted_at is null
         join applications a on a.organization_id = $3 and a.id = $4
         where g.organization_id = $1 and g.id = $2 and g.application_organization_id = $3 and g.application_id = $4
             and g.expires_at > $5 and g.ended_at is null"#,
        organization_id.as_uuid(),
        id.as_uuid(),
        client.organization_id.as_uuid(),
        client.id.as_uuid(),
        now,
    )
    .fetch_optional(db)
    .await?;
    Ok(found.is_some())
}

struct ActingRow {
    subject_id: SubjectId,
    role: Role,
    roles_of_groups: Vec<String>,
    groups: Option<Json<Vec<GroupId>>>,
}

/// In whose name an application acts.
#[derive(Debug)]
pub struct Acting {
    /// The member or service account.
    pub subject_id: SubjectId,
    /// What it may do.
    pub powers: Powers,
    /// The groups whose members alone may use the application; none: everybody.
    pub groups: Vec<GroupId>,
}

impl From<ActingRow> for Acting {
    fn from(row: ActingRow) -> Self {
        Self {
            subject_id: row.subject_id,
            powers: Powers::of(row.role, row.roles_of_groups.iter().map(String::as_str)),
            groups: row.groups.map(|groups| groups.0).unwrap_or_default(),
        }
    }
}

/// The member of a grant, with what it may do, if the grant is live and opens Rollcall's own API.
pub async fn find_acting_member(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: GrantId,
    client: ClientId,
    now: DateTime<Utc>,
) -> Result<Option<Acting>, Error> {
    let found = query_with_roles!(
        member: ActingRow,
        [r#"select g.subject_id as "subject_id: _", subject.role as "role: _",
               a.settings->'groups' as "groups: Json<Vec<GroupId>>","#],
        "from grants g
         join users subject on subject.organization_id = $1 and subject.id = coalesce(g.subject_id, g.id) and subject.status = 'active'
         join organizations o on o.id = $1 and o.deleted_at is null
         join applications a on a.organization_id = $3 and a.id = $4
         where g.organization_id = $1 and g.id = $2 and g.application_organization_id = $3 and g.application_id = $4
             and g.expires_at > $5 and g.ended_at is null and g.scope ~ '(^| )api( |$)' and jsonb_exists(a.settings->'scopes', 'api')
             and (g.scope ~ '(^| )offline_access( |$)'
                  or exists (select 1 from sessions s where s.organization_id = $1 and s.id = coalesce(g.session_id, g.id) and s.expires_at > $5))",
        organization_id.as_uuid(),
        id.as_uuid(),
        client.organization_id.as_uuid(),
        client.id.as_uuid(),
        now,
    )
    .fetch_optional(db)
    .await?;
    Ok(found.map(Into::into))
}

/// The service account of a grant, as [`find_acting_member`] has it.
pub async fn find_acting_account(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: GrantId,
    client: ClientId,
    now: DateTime<Utc>,
) -> Result<Option<Acting>, Error> {
    let found = query_with_roles!(
        service_account: ActingRow,
        [r#"select g.subject_id as "subject_id: _", subject.role as "role: _",
               a.settings->'groups' as "groups: Json<Vec<GroupId>>","#],
        "from grants g
         join service_accounts subject on subject.organization_id = $1 and subject.id = coalesce(g.subject_id, g.id) and subject.suspended_at is null
             and (subject.valid_until is null or subject.valid_until > $5)
         join organizations o on o.id = $1 and o.deleted_at is null
         join applications a on a.organization_id = $3 and a.id = $4
         where g.organization_id = $1 and g.id = $2 and g.application_organization_id = $3 and g.application_id = $4
             and g.expires_at > $5 and g.ended_at is null and g.scope ~ '(^| )api( |$)' and jsonb_exists(a.settings->'scopes', 'api')",
        organization_id.as_uuid(),
        id.as_uuid(),
        client.organization_id.as_uuid(),
        client.id.as_uuid(),
        now,
    )
    .fetch_optional(db)
    .await?;
    Ok(found.map(Into::into))
}

struct RolesRow {
    role: Role,
    roles_of_groups: Vec<String>,
}

/// The roles of a member in the organization: its own one first, then those of its groups.
pub async fn roles_of(
    db: &mut Connection,
    organization_id: OrganizationId,
    member: MemberId,
) -> Result<Vec<String>, Error> {
    let found = query_with_roles!(
        member: RolesRow,
        [r#"select subject.role as "role: _","#],
        "from users subject where subject.organization_id = $1 and subject.id = $2",
        organization_id.as_uuid(),
        member.as_uuid(),
    )
    .fetch_optional(db)
    .await?;
    let Some(row) = found else {
        return Ok(vec![]);
    };
    let mut roles = vec![row.role.as_str().to_owned()];
    for role in row.roles_of_groups {
        if !roles.contains(&role) {
            roles.push(role);
        }
    }
    Ok(roles)
}

/// Ends what applications may do in sessions that end now, for the statements that end sessions.
pub async fn end_of_sessions(
    db: &mut Connection,
    organization_id: OrganizationId,
    sessions: &[Uuid],
    now: DateTime<Utc>,
) -> Result<(), Error> {
    if sessions.is_empty() {
        return Ok(());
    }
    query!(
        "update grants set ended_at = $3
         where organization_id = $1 and session_id = any($2) and ended_at is null",
        organization_id.as_uuid(),
        sessions,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Ends what applications may do in the name of a member.
pub async fn end_of_member(
    db: &mut Connection,
    organization_id: OrganizationId,
    member: MemberId,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    query!(
        "update grants set ended_at = $3
         where organization_id = $1 and subject_id = $2 and ended_at is null",
        organization_id.as_uuid(),
        member.as_uuid(),
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Ends what applications may do in sessions that began through a provider.
pub async fn end_through(
    db: &mut Connection,
    organization_id: OrganizationId,
    sso_configuration_id: SsoConfigurationId,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    query!(
        "update grants set ended_at = $3
         where organization_id = $1 and sso_configuration_id = $2 and ended_at is null",
        organization_id.as_uuid(),
        sso_configuration_id.as_uuid(),
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Ends what applications may do in the organization.
pub async fn end_all(
    db: &mut Connection,
    organization_id: OrganizationId,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    query!(
        "update grants set ended_at = $2 where organization_id = $1 and ended_at is null",
        organization_id.as_uuid(),
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Of these sessions, those in which somebody signed in to an application.
pub async fn sessions_of(
    db: &mut Connection,
    organization_id: OrganizationId,
    client: ClientId,
    sessions: &[Uuid],
) -> Result<Vec<Uuid>, Error> {
    Ok(query_scalar!(
        r#"select distinct session_id as "session_id!" from grants
           where organization_id = $1 and session_id = any($2) and application_organization_id = $3 and application_id = $4"#,
        organization_id.as_uuid(),
        sessions,
        client.organization_id.as_uuid(),
        client.id.as_uuid(),
    )
    .fetch_all(db)
    .await?)
}

/// Deletes up to `limit` grants of all organizations of which nothing can be used any more: for the job that tidies up.
pub async fn delete_ended(
    db: &mut Connection,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<u64, Error> {
    let done = query!(
        "delete from grants where (organization_id, id) in
             (select organization_id, id from grants where expires_at < $1 limit $2)",
        now,
        limit,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}
