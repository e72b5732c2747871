//! Logins, the members that a provider's subjects are, and the result of each attempt.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use sqlx::{FromRow, QueryBuilder, query, query_as};
use uuid::Uuid;

use super::{Connection, Items, Page, Place, one_row};
use crate::domain::ids::{LoginId, MemberId, OrganizationId, SsoConfigurationId};
use crate::domain::letters::{domain_key, domain_spellings, fold};
use crate::domain::member::MemberStatus;
use crate::domain::sign_in::{Attempt, AttemptOutcome, Check, Person};
use crate::error::Error;

/// Takes the answer to a login, and tells whether it is the first.
pub async fn take(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: LoginId,
    expires_at: DateTime<Utc>,
) -> Result<bool, Error> {
    let done = query!(
        "insert into sso_logins (organization_id, id, expires_at) values ($1, $2, $3) on conflict do nothing",
        organization_id.as_uuid(),
        id.as_uuid(),
        expires_at,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// A member that a person may be.
#[derive(Debug)]
pub struct Candidate {
    /// The member.
    pub id: MemberId,
    /// Whether the member may act.
    pub status: MemberStatus,
    /// The member's address.
    pub email: String,
    /// The address's key.
    pub email_key: String,
    /// Whether the member proved to own the address.
    pub email_verified: bool,
    /// The member's name.
    pub name: String,
    /// Where the member's picture is.
    pub avatar_url: String,
    /// Whether the person signed in as this member before.
    pub is_known: bool,
    /// Whether the provider's own provisioning made this member.
    pub is_provisioned: bool,
    /// Whether the provider's own provisioning calls this member what the provider calls the person.
    pub is_tied: bool,
    /// Whether anybody signed in as this member before.
    pub has_signed_in: bool,
    /// Whether somebody did through this configuration whom the provider does not call by the person's
    /// object id.
    pub has_signed_in_here: bool,
    /// Since when there is this member.
    pub created_at: DateTime<Utc>,
    /// When the member was changed last; of one who left, when that was.
    pub updated_at: DateTime<Utc>,
}

/// How many members with one address are looked at: more than one say no more than two.
const MAX_SHARING: i64 = 3;

/// Keeps others from signing in for the first time with this address or as this person until the
/// transaction ends: two at once would both find that nobody has it. One round trip.
pub async fn lock_first_sign_in(
    db: &mut Connection,
    organization_id: OrganizationId,
    person: &Person,
) -> Result<(), Error> {
    // The machine that has the organization keeps the lock.
    query!(
        "select pg_advisory_xact_lock(hashtextextended('address ' || $1::uuid || $2::text, 0)) is null as address,
             pg_advisory_xact_lock(hashtextextended('person ' || $1::uuid || encode($3::bytea, 'hex'), 0)) is null as person
         from organizations where id = $1",
        organization_id.as_uuid(),
        person.email_key(),
        &person.digest(),
    )
    .fetch_one(db)
    .await?;
    Ok(())
}

/// Finds and locks the members that a person may be: whom the provider's subject was before, whom
/// the provider's provisioning knows by the person's identifier, who has the address, and who had it
/// and left last. One round trip.
pub async fn lock_candidates(
    db: &mut Connection,
    organization_id: OrganizationId,
    sso_configuration_id: SsoConfigurationId,
    person: &Person,
) -> Result<Vec<Candidate>, Error> {
    Ok(query_as!(
        Candidate,
        r#"select u.id as "id: _", u.status as "status: _", u.email, u.email_key, u.email_verified, u.name, u.avatar_url, u.created_at, u.updated_at,
               exists (select 1 from sso_identities i where i.organization_id = $1 and i.sso_configuration_id = $2
                   and i.digest = $3 and i.user_id = u.id) as "is_known!",
               exists (select 1 from scim_users s join scim_configurations c
                       on c.organization_id = s.organization_id and c.id = s.scim_configuration_id
                   where s.organization_id = $1 and s.user_id = u.id and c.sso_configuration_id = $2) as "is_provisioned!",
               exists (select 1 from scim_users s join scim_configurations c
                       on c.organization_id = s.organization_id and c.id = s.scim_configuration_id
                   where s.organization_id = $1 and s.user_id = u.id and c.sso_configuration_id = $2
                       and s.external_id = any($5)) as "is_tied!",
               exists (select 1 from sso_identities i where i.organization_id = $1 and i.user_id = u.id) as "has_signed_in!",
               exists (select 1 from sso_identities i where i.organization_id = $1 and i.user_id = u.id
                   and i.sso_configuration_id = $2 and not coalesce(i.object_id = $7, false)) as "has_signed_in_here!"
           from users u
           where u.organization_id = $1 and u.id in (
               select i.user_id from sso_identities i
               where i.organization_id = $1 and i.sso_configuration_id = $2 and i.digest = $3
               union all
               select s.user_id from scim_configurations c join scim_users s
                   on s.organization_id = c.organization_id and s.scim_configuration_id = c.id
               where c.organization_id = $1 and c.sso_configuration_id = $2 and s.external_id = any($5)
               union all
               (select o.id from users o
                where o.organization_id = $1 and o.email_key = $4 and o.email_key <> '' and o.status <> 'left'
                order by o.id limit $6)
               union all
               (select l.id from users l
                where l.organization_id = $1 and l.email_key = $4 and l.email_key <> '' and l.status = 'left'
                order by l.updated_at desc limit 1))
           order by u.id
           for update of u"#,
        organization_id.as_uuid(),
        sso_configuration_id.as_uuid(),
        &person.digest(),
        person.email_key(),
        &person.external_ids(),
        MAX_SHARING,
        person.object_id.as_deref(),
    )
    .fetch_all(db)
    .await?)
}

/// What a login writes to a member.
#[derive(Debug, Serialize)]
pub struct Profile<'a> {
    /// The address.
    pub email: &'a str,
    /// The address's key.
    #[serde(skip)]
    pub email_key: &'a str,
    /// Whether the person proved to own it.
    pub email_verified: bool,
    /// The name.
    pub name: &'a str,
    /// Where the picture is.
    pub avatar_url: &'a str,
}

/// Adds a member who signs in for the first time.
pub async fn insert_member(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: MemberId,
    profile: &Profile<'_>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    query!(
        "insert into users
             (organization_id, id, email, email_key, email_verified, name, avatar_url, role, status, created_at, updated_at, name_key)
         values ($1, $2, $3, $4, $5, $6, $7, 'member', 'active', $8, $8, $9)",
        organization_id.as_uuid(),
        id.as_uuid(),
        profile.email,
        profile.email_key,
        profile.email_verified,
        profile.name,
        profile.avatar_url,
        now,
        &*fold(profile.name),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Writes to a member what the provider says.
pub async fn update_member(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: MemberId,
    profile: &Profile<'_>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let done = query!(
        "update users set email = $3, email_key = $4, email_verified = $5, name = $6, avatar_url = $7, updated_at = $8, name_key = $9
         where organization_id = $1 and id = $2",
        organization_id.as_uuid(),
        id.as_uuid(),
        profile.email,
        profile.email_key,
        profile.email_verified,
        profile.name,
        profile.avatar_url,
        now,
        &*fold(profile.name),
    )
    .execute(db)
    .await?;
    one_row(&done)
}

/// Takes from a member the address that somebody else owns.
pub async fn take_address(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: MemberId,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let done = query!(
        "update users set email = '', email_key = '', email_verified = false, updated_at = $3
         where organization_id = $1 and id = $2",
        organization_id.as_uuid(),
        id.as_uuid(),
        now,
    )
    .execute(db)
    .await?;
    one_row(&done)
}

/// Remembers who a provider's subject is.
pub async fn remember(
    db: &mut Connection,
    organization_id: OrganizationId,
    sso_configuration_id: SsoConfigurationId,
    person: &Person,
    user_id: MemberId,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    query!(
        "insert into sso_identities
             (organization_id, sso_configuration_id, digest, issuer, subject, object_id, user_id, created_at, last_used_at)
         values ($1, $2, $3, $4, $5, $8, $6, $7, $7)
         on conflict (organization_id, sso_configuration_id, digest)
             do update set user_id = excluded.user_id, object_id = excluded.object_id, last_used_at = excluded.last_used_at",
        organization_id.as_uuid(),
        sso_configuration_id.as_uuid(),
        &person.digest(),
        person.issuer,
        person.subject,
        user_id.as_uuid(),
        now,
        person.object_id,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A member as far as a sign-in depends on it.
#[derive(Debug)]
pub struct KnownMember {
    /// The member.
    pub id: MemberId,
    /// The address; may be empty.
    pub email: String,
    /// The name.
    pub name: String,
    /// Whether the member may act.
    pub status: MemberStatus,
    /// Whether an administrator suspended the member.
    pub by_hand: bool,
}

/// Finds a member.
///
/// # Errors
///
/// [`Error::NotFound`] when the organization has none with this identifier.
pub async fn find_by_id(
    db: &mut Connection,
    organization_id: OrganizationId,
    id: MemberId,
) -> Result<KnownMember, Error> {
    query_as!(
        KnownMember,
        r#"select id as "id: _", email, name, status as "status: _", suspended_at is not null as "by_hand!"
           from users where organization_id = $1 and id = $2"#,
        organization_id.as_uuid(),
        id.as_uuid(),
    )
    .fetch_optional(db)
    .await?
    .ok_or(Error::NotFound("member of this organization"))
}

/// Finds members with an address, of which `key` is the key: those first who have not left.
pub async fn find_by_address(
    db: &mut Connection,
    organization_id: OrganizationId,
    key: &str,
) -> Result<Vec<KnownMember>, Error> {
    Ok(query_as!(
        KnownMember,
        r#"select id as "id: _", email, name, status as "status: _", suspended_at is not null as "by_hand!"
           from users where organization_id = $1 and email_key = $2 and email_key <> ''
           order by status = 'left', updated_at desc, id limit $3"#,
        organization_id.as_uuid(),
        key,
        MAX_SHARING,
    )
    .fetch_all(db)
    .await?)
}

/// As whom a provider knows a member.
#[derive(Debug)]
pub struct Identity {
    /// Through which configuration.
    pub sso_configuration_id: SsoConfigurationId,
    /// The provider.
    pub issuer: String,
    /// The person there.
    pub subject: String,
    /// See [`Person::object_id`].
    pub object_id: Option<String>,
    /// When the member signed in like this last.
    pub last_used_at: DateTime<Utc>,
}

/// How many identities of a member are read, and of how many SCIM configurations users.
const MAX_KNOWN: i64 = 20;

/// Reads as whom providers know a member, the last one that signed in first.
pub async fn identities(
    db: &mut Connection,
    organization_id: OrganizationId,
    member: MemberId,
) -> Result<Vec<Identity>, Error> {
    Ok(query_as!(
        Identity,
        r#"select sso_configuration_id as "sso_configuration_id: _", issuer, subject, object_id, last_used_at
           from sso_identities where organization_id = $1 and user_id = $2 order by last_used_at desc limit $3"#,
        organization_id.as_uuid(),
        member.as_uuid(),
        MAX_KNOWN,
    )
    .fetch_all(db)
    .await?)
}

/// A user of a SCIM configuration who is a member.
#[derive(Debug)]
pub struct ProvisionedUser {
    /// What administrators call the configuration.
    pub configuration: String,
    /// The SSO configuration that it links to.
    pub sso_configuration_id: Option<SsoConfigurationId>,
    /// Whether the user is active.
    pub active: bool,
    /// What the identity provider calls the person.
    pub external_id: Option<String>,
}

/// Reads the users of SCIM configurations who are a member.
pub async fn provisioned_users(
    db: &mut Connection,
    organization_id: OrganizationId,
    member: MemberId,
) -> Result<Vec<ProvisionedUser>, Error> {
    Ok(query_as!(
        ProvisionedUser,
        r#"select c.name as configuration, c.sso_configuration_id as "sso_configuration_id: _", s.active, s.external_id
           from scim_users s join scim_configurations c
               on c.organization_id = s.organization_id and c.id = s.scim_configuration_id
           where s.organization_id = $1 and s.user_id = $2 order by c.id limit $3"#,
        organization_id.as_uuid(),
        member.as_uuid(),
        MAX_KNOWN,
    )
    .fetch_all(db)
    .await?)
}

macro_rules! insert_attempt {
    ($rest:literal, $attempt:ident, $refusal:ident) => {
        query!(
            "insert into sso_attempts (organization_id, id, created_at, sso_configuration_id, outcome, failed_check, reason, email,
                 subject, claim_names, failed_expression, user_id)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)" + $rest,
            $attempt.organization_id.as_uuid(),
            $attempt.id.as_uuid(),
            $attempt.at,
            $attempt.sso_configuration_id.as_uuid(),
            match $refusal {
                Some(_) => AttemptOutcome::Refused.as_str(),
                None => AttemptOutcome::SignedIn.as_str(),
            },
            $refusal.map(|r| r.check.as_str()),
            $refusal.map(|r| &*r.reason).or($attempt.note.as_deref()),
            $attempt.email,
            $attempt.subject,
            &$attempt.claim_names,
            $refusal.and_then(|r| r.part.as_deref()),
            $attempt.user_id.map(MemberId::as_uuid),
        )
    };
}

/// Keeps what came of a try, once; of those that share a reference, the first.
///
/// # Errors
///
/// [`Error::Internal`] when another try has the reference.
pub async fn record(db: &mut Connection, attempt: &Attempt) -> Result<(), Error> {
    let refusal = attempt.refusal.as_ref();
    if attempt.is_shared {
        insert_attempt!(
            " on conflict (organization_id, id) do nothing",
            attempt,
            refusal
        )
        .execute(db)
        .await?;
    } else {
        insert_attempt!("", attempt, refusal).execute(db).await?;
    }
    Ok(())
}

/// A try as administrators see it.
#[derive(Debug, FromRow)]
pub struct ListedAttempt {
    /// The reference that the person was shown.
    pub id: Uuid,
    /// When.
    pub created_at: DateTime<Utc>,
    /// Through which provider.
    pub sso_configuration_id: Uuid,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// Which check kept the person out.
    pub failed_check: Option<Check>,
    /// Why, and what to do.
    pub reason: Option<String>,
    /// The address.
    pub email: Option<String>,
    /// The person at the provider.
    pub subject: Option<String>,
    /// The names of the claims.
    pub claim_names: Vec<String>,
    /// The part of the claims expression that was not true.
    pub failed_expression: Option<String>,
    /// The member.
    pub user_id: Option<Uuid>,
}

impl ListedAttempt {
    /// Where the try is in the list.
    pub fn place(&self) -> Place {
        let at = self.created_at.to_rfc3339_opts(SecondsFormat::Micros, true);
        Place(at, self.id)
    }
}

/// Which tries a list has. What is `None` says nothing.
#[derive(Debug, Default)]
pub struct AttemptFilter {
    /// The configuration.
    pub sso_configuration_id: Option<SsoConfigurationId>,
    /// The reference.
    pub id: Option<LoginId>,
    /// Only those that were refused, or only those that were not.
    pub refused: Option<bool>,
    /// The member.
    pub user_id: Option<MemberId>,
    /// The address, in any case.
    pub email: Option<String>,
    /// From this moment on.
    pub since: Option<DateTime<Utc>>,
    /// Before this moment.
    pub until: Option<DateTime<Utc>>,
}

/// Reads the tries that a filter lets through, the newest first, from those behind this place on.
pub async fn list_attempts(
    db: &mut Connection,
    organization_id: OrganizationId,
    filter: &AttemptFilter,
    behind: Option<&Place>,
    size: u32,
) -> Result<Items<ListedAttempt>, Error> {
    let page = Page::first(size);
    let outcomes: &[&str] = match filter.refused {
        Some(true) => &[AttemptOutcome::Refused.as_str()],
        Some(false) => &[AttemptOutcome::SignedIn.as_str()],
        None => &[
            AttemptOutcome::SignedIn.as_str(),
            AttemptOutcome::Refused.as_str(),
        ],
    };
    // The indexes have the outcome in front of the time.
    let mut query = QueryBuilder::new(
        "select a.id, a.created_at, a.sso_configuration_id, a.outcome, a.failed_check, a.reason, a.email, a.subject, a.claim_names,
             a.failed_expression, a.user_id
         from unnest(",
    );
    query.push_bind(outcomes).push("::text[]) o(outcome)");
    if let Some(email) = &filter.email {
        query
            .push(" cross join unnest(")
            .push_bind(spellings(email))
            .push("::text[]) e(key)");
    }
    query.push(
        " cross join lateral (
             select * from sso_attempts a where a.outcome = o.outcome and a.organization_id = ",
    );
    query.push_bind(organization_id.as_uuid());
    if let Some(configuration) = filter.sso_configuration_id {
        query
            .push(" and a.sso_configuration_id = ")
            .push_bind(configuration.as_uuid());
    }
    if let Some(id) = filter.id {
        query.push(" and a.id = ").push_bind(id.as_uuid());
    }
    if let Some(member) = filter.user_id {
        query.push(" and a.user_id = ").push_bind(member.as_uuid());
    }
    if filter.email.is_some() {
        // As the index has it.
        query.push(r#" and a.email is not null and folded(a.email) collate "C" = e.key"#);
    }
    if let Some(since) = filter.since {
        query.push(" and a.created_at >= ").push_bind(since);
    }
    if let Some(until) = filter.until {
        query.push(" and a.created_at < ").push_bind(until);
    }
    if let Some((at, id)) = behind.and_then(|Place(at, id)| Some((moment(at)?, id))) {
        query.push(" and (a.created_at, a.id) < (").push_bind(at);
        query.push(", ").push_bind(id).push(")");
    }
    query
        .push(" order by a.created_at desc, a.id desc limit ")
        .push_bind(page.limit());
    query
        .push(") a order by a.created_at desc, a.id desc limit ")
        .push_bind(page.limit());
    let rows = query.build_query_as().fetch_all(db).await?;
    Ok(Items::of(rows, page))
}

/// How an address may be written, folded: tries have it as the provider sent it.
fn spellings(email: &str) -> Vec<String> {
    let whole = fold(email.trim()).into_owned();
    let Some((local, domain)) = whole.rsplit_once('@') else {
        return vec![whole];
    };
    let domains = domain_spellings(&domain_key(domain));
    let mut spellings: Vec<String> = domains
        .iter()
        .map(|domain| fold(&format!("{local}@{domain}")).into_owned())
        .collect();
    spellings.push(whole);
    spellings.sort();
    spellings.dedup();
    spellings
}

/// A moment as [`ListedAttempt::place`] writes it.
fn moment(text: &str) -> Option<DateTime<Utc>> {
    text.parse().ok()
}

/// How many tries came to the same.
#[derive(Debug)]
pub struct AttemptCount {
    /// Which check kept the people out; `None` for those who signed in.
    pub failed_check: Option<Check>,
    /// How many.
    pub count: i64,
}

/// Counts the tries since a moment by the check that failed, up to `limit` of those that were refused
/// and of those that were not.
pub async fn count_attempts(
    db: &mut Connection,
    organization_id: OrganizationId,
    since: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<AttemptCount>, Error> {
    Ok(query_as!(
        AttemptCount,
        r#"select a.failed_check as "failed_check: _", count(*) as "count!"
           from unnest(array['signed_in', 'refused']) o(outcome)
           cross join lateral (
               select failed_check from sso_attempts
               where organization_id = $1 and outcome = o.outcome and created_at >= $2
               order by created_at desc limit $3) a
           group by a.failed_check order by 2 desc, 1"#,
        organization_id.as_uuid(),
        since,
        limit,
    )
    .fetch_all(db)
    .await?)
}

/// How many tries of an hour came to what.
#[derive(Debug)]
pub struct HourCount {
    /// The hour, as it was asked for.
    pub start: DateTime<Utc>,
    /// How many people signed in.
    pub signed_in: i64,
    /// How many were refused.
    pub refused: i64,
}

/// Counts the tries of hours, of which these are the beginnings, up to `limit` of each outcome in each.
pub async fn count_attempts_by_hour(
    db: &mut Connection,
    organization_id: OrganizationId,
    hours: &[DateTime<Utc>],
    limit: i64,
) -> Result<Vec<HourCount>, Error> {
    // Pairs are compared so that no index serves that is in the order of time alone, in which all organizations are.
    Ok(query_as!(
        HourCount,
        r#"select h.start as "start!",
               (select count(*) from (select 1 from sso_attempts a
                   where a.organization_id = $1 and (a.outcome, a.created_at) >= ('signed_in', h.start)
                       and (a.outcome, a.created_at) < ('signed_in', h.start + interval '1 hour') limit $3) s) as "signed_in!",
               (select count(*) from (select 1 from sso_attempts a
                   where a.organization_id = $1 and (a.outcome, a.created_at) >= ('refused', h.start)
                       and (a.outcome, a.created_at) < ('refused', h.start + interval '1 hour') limit $3) r) as "refused!"
           from unnest($2::timestamptz[]) h(start) order by h.start"#,
        organization_id.as_uuid(),
        hours,
        limit,
    )
    .fetch_all(db)
    .await?)
}

/// Deletes up to `limit` tries of all organizations from before `end`: for the job that tidies up.
pub async fn delete_attempts(
    db: &mut Connection,
    end: DateTime<Utc>,
    limit: i64,
) -> Result<u64, Error> {
    let done = query!(
        "delete from sso_attempts where (organization_id, id) in
             (select organization_id, id from sso_attempts where created_at < $1 limit $2)",
        end,
        limit,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// Deletes up to `limit` logins of all organizations that are too old to be taken: for the job that
/// tidies up.
pub async fn delete_expired_logins(
    db: &mut Connection,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<u64, Error> {
    let done = query!(
        "delete from sso_logins where (organization_id, id) in
             (select organization_id, id from sso_logins where expires_at < $1 limit $2)",
        now,
        limit,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}
