//! Sessions of people who signed in.

use chrono::{DateTime, Utc};
use sqlx::{query, query_as, query_scalar};
use uuid::Uuid;

use super::roles::query_with_roles;
use super::{Connection, Items, Page, grants};
use crate::domain::grant::Authentication;
use crate::domain::identity::{Powers, Role};
use crate::domain::ids::{MemberId, OrganizationId, SessionId, SsoConfigurationId};
use crate::error::Error;

/// A session to add.
#[derive(Debug)]
pub struct NewSession<'a> {
    /// Its identifier.
    pub id: SessionId,
    /// Whose.
    pub user_id: MemberId,
    /// Through which provider.
    pub sso_configuration_id: SsoConfigurationId,
    /// SHA-256 of the token.
    pub token_hash: [u8; 32],
    /// What the browser calls itself.
    pub user_agent: &'a str,
    /// When it begins.
    pub created_at: DateTime<Utc>,
    /// When it ends at the latest.
    pub expires_at: DateTime<Utc>,
    /// How the person signed in.
    pub authentication: &'a Authentication,
    /// Whether the provider was asked to have the person sign in again.
    pub is_anew: bool,
    /// The person's given name and family name; may be empty.
    pub names: [&'a str; 2],
}

/// What is known of a presented session before it is verified.
#[derive(Debug)]
pub struct Candidate {
    /// Which member.
    pub user_id: MemberId,
    /// What the member may do.
    pub powers: Powers,
    /// SHA-256 of the token that it must be.
    pub token_hash: Vec<u8>,
    /// When it was last used, to the minute.
    pub last_used_at: DateTime<Utc>,
    /// When it ends at the latest.
    pub expires_at: DateTime<Utc>,
}

struct Found {
    user_id: MemberId,
    role: Role,
    roles_of_groups: Vec<String>,
    token_hash: Vec<u8>,
    last_used_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

/// What an application may know of a session.
#[derive(Debug)]
pub struct SignedIn {
    /// The organization.
    pub organization_id: OrganizationId,
    /// Its identifier.
    pub id: SessionId,
    /// Whose.
    pub user_id: MemberId,
    /// SHA-256 of the token that it must be.
    pub token_hash: Vec<u8>,
    /// Through which provider it began.
    pub sso_configuration_id: Uuid,
    /// When it was last used, to the minute.
    pub last_used_at: DateTime<Utc>,
    /// When it ends at the latest.
    pub expires_at: DateTime<Utc>,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// Whether the provider was asked to have the person sign in again.
    pub is_anew: bool,
    /// When the person signed in, as the provider says.
    pub auth_time: Option<DateTime<Utc>>,
    /// By which methods.
    pub amr: Vec<String>,
    /// How strongly.
    pub acr: Option<String>,
    /// The person's given name, as the provider says; may be empty.
    pub given_name: String,
    /// The same of the family name.
    pub family_name: String,
    /// The member's name.
    pub name: String,
    /// The member's address.
    pub email: String,
    /// The organization's name.
    pub organization: String,
}

impl SignedIn {
    /// How the person signed in.
    pub fn authentication(&self) -> Authentication {
        Authentication {
            time: self.auth_time.or(self.is_anew.then_some(self.created_at)),
            methods: self.amr.clone(),
            class: self.acr.clone(),
        }
    }
}

/// Finds the row that a presented session names, if its member has access, with what an application may know of it. One round
/// trip.
pub async fn find_signed_in(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: SessionId,
) -> Result<Option<SignedIn>, Error> {
    Ok(query_as!(
        SignedIn,
        r#"select s.organization_id as "organization_id: _", s.id as "id: _", s.user_id as "user_id: _", s.token_hash, s.sso_configuration_id, s.last_used_at, s.expires_at,
               s.created_at, s.is_anew, s.auth_time, s.amr, s.acr, s.given_name, s.family_name, u.name, u.email, o.name as organization
           from sessions s
           join users u on u.organization_id = s.organization_id and u.id = s.user_id
           join organizations o on o.id = s.organization_id
           where s.organization_id = $1 and s.id = $2 and u.status = 'active' and o.deleted_at is null"#,
        organization_id.as_uuid(),
        id.as_uuid(),
    )
    .fetch_optional(db)
    .await?)
}

/// A session as its owner and administrators see it.
#[derive(Debug)]
pub struct Listed {
    /// Its identifier.
    pub id: Uuid,
    /// Through which provider it began.
    pub sso_configuration_id: Uuid,
    /// What the browser calls itself.
    pub user_agent: String,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it was last used, to the minute.
    pub last_used_at: DateTime<Utc>,
    /// When it ends at the latest.
    pub expires_at: DateTime<Utc>,
}

/// Finds the row that a presented session names, if its member has access.
pub async fn find_candidate(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: SessionId,
) -> Result<Option<Candidate>, Error> {
    let found = query_with_roles!(
        member: Found,
        [r#"select s.user_id as "user_id: _", subject.role as "role: _", s.token_hash, s.last_used_at, s.expires_at,"#],
        "from sessions s
         join users subject on subject.organization_id = s.organization_id and subject.id = s.user_id
         join organizations o on o.id = s.organization_id
         where s.organization_id = $1 and s.id = $2 and subject.status = 'active' and o.deleted_at is null",
        organization_id.as_uuid(),
        id.as_uuid(),
    )
    .fetch_optional(db)
    .await?;
    Ok(found.map(|row| Candidate {
        user_id: row.user_id,
        powers: Powers::of(row.role, row.roles_of_groups.iter().map(String::as_str)),
        token_hash: row.token_hash,
        last_used_at: row.last_used_at,
        expires_at: row.expires_at,
    }))
}

/// Notes that a session is used.
pub async fn touch(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: SessionId,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    query!(
        "update sessions set last_used_at = $3 where organization_id = $1 and id = $2",
        organization_id.as_uuid(),
        id.as_uuid(),
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Adds a session.
pub async fn insert(
    db: &mut Connection,
    organization_id: OrganizationId,
    session: &NewSession<'_>,
) -> Result<(), Error> {
    query!(
        "insert into sessions
             (organization_id, id, user_id, sso_configuration_id, token_hash, user_agent, created_at, last_used_at, expires_at,
              auth_time, amr, acr, given_name, family_name, is_anew)
         values ($1, $2, $3, $4, $5, $6, $7, $7, $8, $9, $10, $11, $12, $13, $14)",
        organization_id.as_uuid(),
        session.id.as_uuid(),
        session.user_id.as_uuid(),
        session.sso_configuration_id.as_uuid(),
        &session.token_hash,
        session.user_agent,
        session.created_at,
        session.expires_at,
        session.authentication.time,
        &session.authentication.methods,
        session.authentication.class,
        session.names[0],
        session.names[1],
        session.is_anew,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The sessions of a member that have not ended, the one used last first.
pub async fn list(
    db: &mut Connection,
    organization_id: OrganizationId,
    user_id: MemberId,
    now: DateTime<Utc>,
    used_since: DateTime<Utc>,
) -> Result<Vec<Listed>, Error> {
    Ok(query_as!(
        Listed,
        "select id, sso_configuration_id, user_agent, created_at, last_used_at, expires_at from sessions
         where organization_id = $1 and user_id = $2 and expires_at > $3 and last_used_at > $4
         order by last_used_at desc, id desc limit 100",
        organization_id.as_uuid(),
        user_id.as_uuid(),
        now,
        used_since,
    )
    .fetch_all(db)
    .await?)
}

/// Reads some sessions of a member that have not ended, those that began last first, from before the
/// session `before`.
pub async fn list_newest(
    db: &mut Connection,
    organization_id: OrganizationId,
    user_id: MemberId,
    now: DateTime<Utc>,
    used_since: DateTime<Utc>,
    before: Option<Uuid>,
    size: u32,
) -> Result<Items<Listed>, Error> {
    let page = Page::first(size);
    let rows = query_as!(
        Listed,
        "select id, sso_configuration_id, user_agent, created_at, last_used_at, expires_at from sessions
         where organization_id = $1 and user_id = $2 and expires_at > $3 and last_used_at > $4 and id < $5
         order by id desc limit $6",
        organization_id.as_uuid(),
        user_id.as_uuid(),
        now,
        used_since,
        before.unwrap_or(Uuid::max()),
        page.limit(),
    )
    .fetch_all(db)
    .await?;
    Ok(Items::of(rows, page))
}

/// Ends one session of a member, with what applications may do in it, and tells whether there was one.
pub async fn end(
    db: &mut Connection,
    organization_id: OrganizationId,
    user_id: MemberId,
    id: SessionId,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let ended = query_scalar!(
        "delete from sessions where organization_id = $1 and user_id = $2 and id = $3 returning id",
        organization_id.as_uuid(),
        user_id.as_uuid(),
        id.as_uuid(),
    )
    .fetch_all(&mut *db)
    .await?;
    Ok(ended_with_grants(db, organization_id, &ended, now).await? > 0)
}

/// What applications may do in sessions ends with them.
async fn ended_with_grants(
    db: &mut Connection,
    organization_id: OrganizationId,
    ended: &[Uuid],
    now: DateTime<Utc>,
) -> Result<u64, Error> {
    grants::end_of_sessions(db, organization_id, ended, now).await?;
    Ok(ended.len() as u64)
}

/// Ends the session of this token, for a browser that gives it back, and tells whose it was.
pub async fn end_presented(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: SessionId,
    token_hash: [u8; 32],
    now: DateTime<Utc>,
) -> Result<Option<MemberId>, Error> {
    let member = query_scalar!(
        r#"delete from sessions where organization_id = $1 and id = $2 and token_hash = $3 returning user_id as "member: MemberId""#,
        organization_id.as_uuid(),
        id.as_uuid(),
        &token_hash,
    )
    .fetch_optional(&mut *db)
    .await?;
    if member.is_some() {
        ended_with_grants(db, organization_id, &[id.as_uuid()], now).await?;
    }
    Ok(member)
}

/// Ends all sessions of a member, with what applications may do in them, and tells how many.
pub async fn end_all(
    db: &mut Connection,
    organization_id: OrganizationId,
    user_id: MemberId,
    now: DateTime<Utc>,
) -> Result<u64, Error> {
    let ended = query_scalar!(
        "delete from sessions where organization_id = $1 and user_id = $2 returning id",
        organization_id.as_uuid(),
        user_id.as_uuid(),
    )
    .fetch_all(&mut *db)
    .await?;
    grants::end_of_member(db, organization_id, user_id, now).await?;
    Ok(ended.len() as u64)
}

/// Ends all sessions that began through a provider, with what applications may do in them, and tells how many.
pub async fn end_all_through(
    db: &mut Connection,
    organization_id: OrganizationId,
    sso_configuration_id: SsoConfigurationId,
    now: DateTime<Utc>,
) -> Result<u64, Error> {
    let ended = query_scalar!(
        "delete from sessions where organization_id = $1 and sso_configuration_id = $2 returning id",
        organization_id.as_uuid(),
        sso_configuration_id.as_uuid(),
    )
    .fetch_all(&mut *db)
    .await?;
    grants::end_through(db, organization_id, sso_configuration_id, now).await?;
    Ok(ended.len() as u64)
}

/// Deletes up to `limit` sessions of all organizations that ended before `now` or were not used since
/// `unused_since`: for the job that tidies up.
pub async fn delete_ended(
    db: &mut Connection,
    now: DateTime<Utc>,
    unused_since: DateTime<Utc>,
    limit: i64,
) -> Result<u64, Error> {
    let done = query!(
        "delete from sessions where (organization_id, id) in
             (select organization_id, id from sessions where expires_at < $1 or last_used_at < $2 limit $3)",
        now,
        unused_since,
        limit,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}
