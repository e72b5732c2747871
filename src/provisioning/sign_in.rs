//! Which member a person is whom the provider vouches for, and whether that person may sign in.

use serde_json::json;
use uuid::Uuid;

use super::work::Work;
use crate::app::App;
use crate::domain::audit::Change;
use crate::domain::grant::Authentication;
use crate::domain::identity::Caller;
use crate::domain::ids::{MemberId, OrganizationId, SessionId};
use crate::domain::letters::address_key;
use crate::domain::member::MemberStatus;
use crate::domain::sign_in::{Attempt, Check, Person, Refusal, SignInError, email_domain, origin};
use crate::domain::sso::SsoConfiguration;
use crate::domain::token::{Token, TokenKind};
use crate::error::{Error, Violation};
use crate::metrics::SessionEnd;
use crate::store::sessions::NewSession;
use crate::store::sign_in::{Candidate, Profile};
use crate::store::sso;
use crate::store::{self, Connection, Items, Page};

/// Where a login starts, below the public URL.
pub const START_PATH: &str = "/auth/oidc/start";

/// Where applications send people to sign in, below the public URL.
pub const AUTHORIZE_PATH: &str = "/oauth2/authorize";

/// Google's issuer.
const GOOGLE: &str = "https://accounts.google.com";

/// The longest URL that a login returns to, in bytes: it travels in a cookie, of which browsers keep 4,096.
pub const MAX_RETURN_TO: usize = 2_400;

/// The ways to sign in with an address. Which they are depends on its domain alone, so that nobody
/// learns who has an account.
pub async fn choices(app: &App, email: &str, page: Page) -> Result<Items<sso::Choice>, Error> {
    let Some(domain) = email_domain(email) else {
        return Ok(Items::none());
    };
    let mut db = app.store.acquire().await?;
    let must_be_verified = app.sign_in.require_verified_domains;
    store::sso::list_for_domain(&mut db, &domain, must_be_verified, page).await
}

/// The ways to sign in to an organization.
pub async fn choices_of(
    app: &App,
    organization_id: OrganizationId,
    page: Page,
) -> Result<Items<sso::Choice>, Error> {
    let mut db = app.store.acquire().await?;
    store::sso::list_active(&mut db, organization_id, page).await
}

/// What an application demands of a sign-in that comes back to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demands {
    /// What the provider is asked to do (OpenID Connect Core, section 3.1.2.1), if anything: `login` or `select_account`.
    pub prompt: Option<&'static str>,
    /// How many seconds ago the person may have signed in there.
    pub max_age: Option<u32>,
    /// How strongly the person must prove who it is.
    pub acr_values: Option<String>,
}

impl Demands {
    /// Those of a login that returns to `return_to`.
    pub fn of(app: &App, return_to: &str) -> Self {
        let path = return_to.strip_prefix(&app.public_url).unwrap_or(return_to);
        let query = path
            .strip_prefix(AUTHORIZE_PATH)
            .and_then(|rest| rest.strip_prefix('?'));
        let mut demands = Self::default();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match &*name {
                "prompt" => {
                    let asked = |prompt: &&str| value.split(' ').any(|one| one == *prompt);
                    demands.prompt = ["login", "select_account"].into_iter().find(asked);
                }
                "max_age" => demands.max_age = value.parse().ok(),
                "acr_values" if !value.is_empty() => demands.acr_values = Some(value.into_owned()),
                _ => {}
            }
        }
        // A provider that knows no `max_age` knows this.
        if demands.max_age.is_some() {
            demands.prompt = Some("login");
        }
        demands
    }

    /// As parameters of an authorization request to a provider, of which `known` are the prompts, if it says. Google refuses the prompt
    /// `login`, and others one that they do not list.
    pub fn parameters(
        &self,
        issuer: &str,
        known: Option<&[String]>,
    ) -> Vec<(&'static str, String)> {
        let is_known = |prompt: &str| match known {
            Some(known) => known.iter().any(|one| one == prompt),
            None => issuer != GOOGLE || prompt != "login",
        };
        let others = ["login", "select_account"];
        let prompt = self.prompt.and_then(|prompt| {
            let mut choices = [prompt].into_iter().chain(others);
            choices.find(|prompt| is_known(prompt))
        });
        let prompt = prompt.map(|prompt| ("prompt", prompt.to_owned()));
        let max_age = self.max_age.map(|age| ("max_age", age.to_string()));
        let acr_values = self.acr_values.clone().map(|acr| ("acr_values", acr));
        [prompt, max_age, acr_values]
            .into_iter()
            .flatten()
            .collect()
    }
}

/// The URL that starts a login.
pub fn start_url(app: &App, choice: &SsoConfiguration, email: &str, return_to: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query
        .append_pair("organization", &choice.organization_id.to_string())
        .append_pair("configuration", &choice.id.to_string());
    if !email.is_empty() {
        query.append_pair("login_hint", email);
    }
    if !return_to.is_empty() {
        query.append_pair("return_to", return_to);
    }
    format!("{}{START_PATH}?{}", app.public_url, query.finish())
}

/// The URL of the page that asks for an address and lists the ways to sign in with it.
pub fn login_page_url(app: &App, email: &str, return_to: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in [("email", email), ("return_to", return_to)] {
        if !value.is_empty() {
            query.append_pair(name, value);
        }
    }
    let query = query.finish();
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{}/login{mark}{query}", app.public_url)
}

/// The URL of the page that lists the ways to sign in to an organization.
pub fn organization_page_url(
    app: &App,
    organization_id: OrganizationId,
    email: &str,
    return_to: &str,
) -> String {
    let url = login_page_url(app, email, return_to);
    let mark = if url.contains('?') { '&' } else { '?' };
    format!("{url}{mark}organization={organization_id}")
}

/// Where a browser goes after signing in: a path of this server, or a URL of an origin that may be
/// returned to.
///
/// # Errors
///
/// [`Error::Invalid`] on `return_to` for everything else.
pub fn check_return_to(app: &App, return_to: &str) -> Result<(), Error> {
    let is_path = return_to.starts_with('/')
        && !return_to.starts_with("//")
        && !return_to.contains(['\\', '\r', '\n', '\t'])
        && return_to.parse::<http::Uri>().is_ok();
    let is_listed = origin(return_to).is_some_and(|asked| {
        origin(&app.public_url).as_ref() == Some(&asked)
            || app.sign_in.return_origins.contains(&asked)
    });
    if return_to.is_empty() || (return_to.len() <= MAX_RETURN_TO && (is_path || is_listed)) {
        return Ok(());
    }
    Err(Error::invalid(
        "return_to",
        Violation::RETURN_TO,
        "must be a URL of this server or of an origin that ROLLCALL_RETURN_ORIGINS lists",
    ))
}

/// What a login brings with it.
pub struct SignIn<'a> {
    /// Through which provider.
    pub configuration: &'a SsoConfiguration,
    /// Who the provider says it is.
    pub person: &'a Person,
    /// The sessions that the browser had before.
    pub former: Vec<Token>,
    /// What the browser calls itself.
    pub user_agent: &'a str,
    /// How the person proved to the provider who it is.
    pub authentication: &'a Authentication,
    /// Whether the provider was asked to have the person sign in again.
    pub is_anew: bool,
    /// What is kept of the try, as far as it is known.
    pub attempt: &'a Attempt,
    /// Whether it is only to be told what would become of it.
    pub is_test: bool,
}

/// What becomes of a login that is not refused.
pub enum Outcome {
    /// The person has a new session.
    SignedIn(Token),
    /// The person would have one, if it were no test. Nothing was done.
    Admitted(Admitted),
    /// The configuration is not what it was when it was read. Nothing was done.
    Changed,
}

/// Signs in a person whom the provider vouches for, with a new session, or tells what would become of it, if it is a test.
/// Everything, the row that tells administrators included, is one transaction. Of a refusal nothing is kept here: whoever
/// asked records it, as every other refusal of the login.
///
/// # Errors
///
/// [`SignInError::Refused`] for a person who is kept out; [`SignInError::Fault`] as the database has them.
pub async fn sign_in(app: &App, login: &SignIn<'_>) -> Result<Outcome, SignInError> {
    let organization_id = login.configuration.organization_id;
    let provider = login.configuration.id;
    let mut work = Work::begin_sign_in(app, organization_id, provider, app.clock.now()).await?;
    // What changed it may have ended sessions: this one would not be among them.
    if !store::sso::lock_as_read(&mut work, login.configuration).await? {
        return Ok(Outcome::Changed);
    }
    let admitted = admit(app, &mut work, login).await?;
    if login.is_test {
        work.roll_back().await?;
        return Ok(Outcome::Admitted(admitted));
    }
    let replaced = end_former_session(app, &mut work, login).await?;
    let token = begin_session(app, &mut work, login, admitted.user_id).await?;
    let attempt = Attempt {
        user_id: Some(admitted.user_id),
        note: admitted.note,
        ..login.attempt.clone()
    };
    store::sign_in::record(&mut work, &attempt).await?;
    let session = json!({
        "session_id": token.id(),
        "sso_configuration_id": login.configuration.id,
        "ended_sessions": replaced,
    });
    let change = Change::of_member("SignIn", admitted.user_id, None, Some(session));
    work.commit(change).await?;
    app.metrics.session_begun();
    app.metrics.sessions_ended(SessionEnd::Replaced, replaced);
    Ok(Outcome::SignedIn(token))
}

/// Who is let in.
pub struct Admitted {
    /// The member that the person is.
    pub user_id: MemberId,
    /// Whether the person was none before.
    pub is_new: bool,
    /// What administrators should know of it, such as an address that another member keeps.
    pub note: Option<String>,
}

/// Decides which member a person is, and writes what follows from it to the transaction.
///
/// # Errors
///
/// As [`sign_in`] has them.
pub(super) async fn admit(
    app: &App,
    db: &mut Work<'_>,
    login: &SignIn<'_>,
) -> Result<Admitted, SignInError> {
    let (configuration, person) = (login.configuration, login.person);
    let organization_id = configuration.organization_id;
    let is_domain_verified = match email_domain(&person.email) {
        Some(domain) => store::domains::is_verified(db, organization_id, &domain).await?,
        None => false,
    };
    if app.sign_in.require_verified_domains && !is_domain_verified {
        let refusal = Refusal::new(
            Check::Email,
            "the domain of the address is not verified for the organization, which ROLLCALL_REQUIRE_VERIFIED_DOMAINS demands: verify it",
        );
        return Err(refusal.into());
    }
    let now = app.clock.now();
    let is_email_verified = person.email_verified.unwrap_or(is_domain_verified);
    let mut candidates =
        store::sign_in::lock_candidates(db, organization_id, configuration.id, person).await?;
    let mut choice = choose(&candidates, person, is_email_verified);
    if !choice.is_final() {
        store::sign_in::lock_first_sign_in(db, organization_id, person).await?;
        candidates =
            store::sign_in::lock_candidates(db, organization_id, configuration.id, person).await?;
        choice = choose(&candidates, person, is_email_verified);
    }
    let member = match choice {
        Choice::Member(member) => {
            db.acts_as(member.id.into());
            member
        }
        Choice::Nobody(refusal) => return Err(refusal.into()),
        Choice::New => return join(app, db, login, None, is_email_verified).await,
        Choice::Instead(holder) => {
            return join(app, db, login, Some(holder), is_email_verified).await;
        }
    };
    let note = follow(db, login, member, &candidates, is_email_verified, now).await?;
    store::sign_in::remember(
        db,
        organization_id,
        configuration.id,
        person,
        member.id,
        now,
    )
    .await?;
    Ok(Admitted {
        user_id: member.id,
        is_new: false,
        note,
    })
}

/// Makes a person a new member. Another member who has the address without proof loses it.
async fn join(
    app: &App,
    db: &mut Work<'_>,
    login: &SignIn<'_>,
    holder: Option<&Candidate>,
    is_email_verified: bool,
) -> Result<Admitted, SignInError> {
    let (configuration, person) = (login.configuration, login.person);
    let organization_id = configuration.organization_id;
    if store::policies::restricts_account_creation_to_scim(db, organization_id).await? {
        let refusal = Refusal::new(
            Check::Member,
            "nobody with this address is a member, and the organization's policy restrict_account_creation_to_scim says that only provisioning makes members: assign the person to the provisioning of the identity provider",
        );
        return Err(refusal.into());
    }
    let now = app.clock.now();
    let user_id: MemberId = app.new_id();
    db.acts_as(user_id.into());
    let mut note = None;
    if let Some(holder) = holder {
        store::sign_in::take_address(db, organization_id, holder.id, now).await?;
        let (before, after) = (json!({ "email": holder.email }), json!({ "email": "" }));
        let change = Change::of_member("UpdateUser", holder.id, Some(before), Some(after));
        db.record(&change).await?;
        note = Some(format!(
            "the member {} had this address without proof, and has none any more",
            holder.id
        ));
    }
    let profile = Profile {
        email_key: &person.email_key(),
        ..profile(person, &person.email, is_email_verified)
    };
    store::sign_in::insert_member(db, organization_id, user_id, &profile, now).await?;
    let after = Some(json!(profile));
    db.record(&Change::of_member("CreateUser", user_id, None, after))
        .await?;
    store::sign_in::remember(db, organization_id, configuration.id, person, user_id, now).await?;
    Ok(Admitted {
        user_id,
        is_new: true,
        note,
    })
}

enum Choice<'a> {
    Member(&'a Candidate),
    New,
    /// A new one, who proved to own the address that this one only said to own.
    Instead(&'a Candidate),
    Nobody(Refusal),
}

impl Choice<'_> {
    /// Whether nobody who signs in at the same time can change it.
    fn is_final(&self) -> bool {
        match self {
            Self::Member(member) => member.is_known,
            Self::Nobody(_) => true,
            Self::New | Self::Instead(_) => false,
        }
    }
}

/// Which member a person is. The first of these decides: who signed in as this person before; whom
/// the provider's own provisioning calls by the person's identifier; who has the person's address,
/// if it is certain that it is the person's. Members who are suspended, or who were removed and not
/// provisioned again, are kept out.
fn choose<'a>(candidates: &'a [Candidate], person: &Person, is_email_verified: bool) -> Choice<'a> {
    let is_here = |c: &&Candidate| c.status != MemberStatus::Left;
    let is_known = |c: &&Candidate| c.is_known;
    let tied = || candidates.iter().filter(is_here).filter(|c| c.is_tied);
    if let Some(member) = candidates.iter().filter(is_known).find(is_here) {
        if tied().any(|other| other.id != member.id && other.status == MemberStatus::Suspended) {
            return nobody(
                Check::Member,
                "the identity provider's provisioning knows this person, by externalId, as another member, who is suspended: activate that user, or delete it if it is somebody else",
            );
        }
        return unless_suspended(member);
    }
    // Somebody who signed in here before, under another identifier, is somebody else.
    let tied: Vec<&Candidate> = tied().filter(|c| !c.has_signed_in_here).collect();
    match &*tied {
        [] => {}
        [only] => return unless_suspended(only),
        _ => {
            return nobody(
                Check::Member,
                "several SCIM configurations that link to this SSO configuration have a user with this person's identifier as externalId, and they are different members: delete the users that are too many",
            );
        }
    }
    let has_address = |c: &&Candidate| c.email_key == person.email_key();
    let owners: Vec<&Candidate> = candidates
        .iter()
        .filter(is_here)
        .filter(has_address)
        .collect();
    let left = || candidates.iter().filter(|c| !is_here(c));
    match &*owners {
        [] if left().next().is_none() => Choice::New,
        [only] if !left().any(|former| may_be(former, only)) => {
            by_address(only, person, is_email_verified)
        }
        [] | [_] => nobody(
            Check::Member,
            "the member was removed from the organization: assign the person to the provisioning of the identity provider again; if another member has the same address, have the provisioning send the person's sub (with Entra ID: the object id) as externalId",
        ),
        _ => nobody(
            Check::Email,
            "several members have this address, so it does not tell who the person is: have the identity provider's provisioning send the person's sub (with Entra ID: the object id) as externalId to a SCIM configuration that links to this SSO configuration, or give each person an address of their own",
        ),
    }
}

/// Whether somebody with the address of `member` may be `former`, who left, instead: they had the
/// address at the same time, or somebody else signs in as `member`.
fn may_be(former: &Candidate, member: &Candidate) -> bool {
    former.updated_at >= member.created_at || (former.is_known && member.has_signed_in_here)
}

fn nobody<'a>(check: Check, reason: &str) -> Choice<'a> {
    Choice::Nobody(Refusal::new(check, reason))
}

fn unless_suspended(member: &Candidate) -> Choice<'_> {
    if member.status == MemberStatus::Suspended {
        return nobody(
            Check::Member,
            "the member is suspended: activate the user in the identity provider's provisioning, or if an administrator suspended the member, lift that with UserService.SetSuspended",
        );
    }
    Choice::Member(member)
}

/// Whether a person is the one member with the person's address.
fn by_address<'a>(member: &'a Candidate, person: &Person, is_email_verified: bool) -> Choice<'a> {
    if member.status == MemberStatus::Suspended {
        return unless_suspended(member);
    }
    // Provisioning and sign-in through the same provider are one authority, which may leave out what
    // it knows; it may not deny it. Whom it knows by another subject is another person.
    if member.is_provisioned && person.email_verified.is_none() && !member.has_signed_in_here {
        return Choice::Member(member);
    }
    // Otherwise somebody could sign in with another person's address, where no proof is asked for, and wait
    // until the owner of the address becomes the same member.
    let is_members_own = member.email_verified || !member.has_signed_in;
    match (is_email_verified, is_members_own) {
        (true, true) => return Choice::Member(member),
        (true, false) if person.email_verified == Some(true) => return Choice::Instead(member),
        (true, false) => {
            return nobody(
                Check::Email,
                "a member has this address who signed in before without proof of owning it, so that it may be somebody else: have the provider send email_verified, or have the member sign in again the way that they did before",
            );
        }
        (false, _) => {}
    }
    let reason = match person.email_verified {
        Some(false) => {
            "the provider says that the person has not verified the address (email_verified is false)"
        }
        _ => {
            "the provider does not say whether the address is verified (no claim email_verified), and its domain is not verified for the organization: map the claim email_verified, or verify the domain"
        }
    };
    Choice::Nobody(Refusal::new(
        Check::Email,
        format!(
            "a member has this address, and nothing proves that it is the same person: {reason}"
        ),
    ))
}

fn profile<'a>(person: &'a Person, email: &'a str, email_verified: bool) -> Profile<'a> {
    Profile {
        email,
        email_key: "",
        email_verified,
        name: if person.name.is_empty() {
            &person.email
        } else {
            &person.name
        },
        avatar_url: &person.picture,
    }
}

/// Writes to a member what the provider says now, but for an address that another member has
/// or that the provider denies; the note says so.
async fn follow(
    db: &mut Work<'_>,
    login: &SignIn<'_>,
    member: &Candidate,
    candidates: &[Candidate],
    is_email_verified: bool,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<Option<String>, Error> {
    let person = login.person;
    let key = person.email_key();
    let is_same = address_key(&member.email) == key;
    let is_shared = candidates.iter().any(|other| {
        other.id != member.id && other.status != MemberStatus::Left && other.email_key == key
    });
    let is_taken = is_shared && !is_same;
    // An address that the provider denies would wait for its owner.
    let is_denied = person.email_verified == Some(false) && !is_same;
    let (email, email_key, email_verified) = if is_taken || is_denied {
        (&member.email, &member.email_key, member.email_verified)
    } else {
        (
            &person.email,
            &key,
            (is_email_verified && !is_shared) || (is_same && member.email_verified),
        )
    };
    let mut new = Profile {
        email_key,
        ..profile(person, email, email_verified)
    };
    if person.name.is_empty() && !member.name.is_empty() {
        new.name = &member.name;
    }
    if person.picture.is_empty() {
        new.avatar_url = &member.avatar_url;
    }
    let is_changed = new.email != member.email
        || new.email_verified != member.email_verified
        || new.name != member.name
        || new.avatar_url != member.avatar_url;
    if is_changed {
        let organization_id = login.configuration.organization_id;
        store::sign_in::update_member(db, organization_id, member.id, &new, now).await?;
        let old = Profile {
            email: &member.email,
            email_key: &member.email_key,
            email_verified: member.email_verified,
            name: &member.name,
            avatar_url: &member.avatar_url,
        };
        let change = Change::of_member("UpdateUser", member.id, Some(json!(old)), Some(json!(new)));
        db.record(&change).await?;
    }
    let note = match (is_taken, is_denied) {
        (true, _) => Some(
            "the member keeps the former address: another member has the one that the provider sends",
        ),
        (false, true) => Some(
            "the member keeps the former address: the provider says of the new one that it is not verified",
        ),
        (false, false) => None,
    };
    Ok(note.map(str::to_owned))
}

/// Ends a session of a member who asks for it, and tells whether there was one.
pub async fn end_session(app: &App, caller: &Caller, id: SessionId) -> Result<bool, Error> {
    let member = caller.subject.id.as_uuid().into();
    end_named(app, caller.organization_id, member, id).await
}

/// Ends a session of a member, in the name of that member, and tells whether there was one.
pub async fn end_named(
    app: &App,
    organization_id: OrganizationId,
    member: MemberId,
    id: SessionId,
) -> Result<bool, Error> {
    let now = app.clock.now();
    let mut work = Work::begin(app, organization_id, member.into(), now).await?;
    let is_ended = store::sessions::end(&mut work, organization_id, member, id, now).await?;
    if is_ended {
        work.commit(ended_session(member, id)).await?;
    }
    Ok(is_ended)
}

/// Ends the session of a browser that signs out, and tells whether there was one.
pub async fn sign_out(
    app: &App,
    organization_id: OrganizationId,
    token: &Token,
) -> Result<bool, Error> {
    let (id, hash) = (SessionId::from(token.id()), token.digest());
    let nobody = MemberId::from(Uuid::nil()).into();
    let mut work = Work::begin(app, organization_id, nobody, app.clock.now()).await?;
    match store::sessions::end_presented(&mut work, organization_id, id, hash, app.clock.now())
        .await?
    {
        Some(member) => {
            work.acts_as(member.into());
            work.commit(ended_session(member, id)).await?;
            Ok(true)
        }
        None => Ok(false),
    }
}

fn ended_session(member: MemberId, id: SessionId) -> Change {
    let after = json!({ "session_id": id, "ended_sessions": 1 });
    Change::of_member("EndSession", member, None, Some(after))
}

/// Whoever knew the session of this organization that the browser had before shall not share the new one.
async fn end_former_session(
    app: &App,
    db: &mut Connection,
    login: &SignIn<'_>,
) -> Result<u64, Error> {
    let organization_id = login.configuration.organization_id;
    let is_here = |token: &&Token| app.organization_of(token) == Some(organization_id);
    let mut count = 0;
    for former in login.former.iter().filter(is_here) {
        let (id, hash) = (SessionId::from(former.id()), former.digest());
        let ended =
            store::sessions::end_presented(db, organization_id, id, hash, app.clock.now()).await?;
        count += u64::from(ended.is_some());
    }
    Ok(count)
}

async fn begin_session(
    app: &App,
    db: &mut Connection,
    login: &SignIn<'_>,
    user_id: MemberId,
) -> Result<Token, Error> {
    let organization_id = login.configuration.organization_id;
    let token = app
        .random
        .token(TokenKind::Session, Some(organization_id), app.new_id());
    let now = app.clock.now();
    let session = NewSession {
        id: token.id().into(),
        user_id,
        sso_configuration_id: login.configuration.id,
        token_hash: token.digest(),
        user_agent: login.user_agent,
        created_at: now,
        expires_at: now + app.sign_in.session_lifetime,
        authentication: login.authentication,
        is_anew: login.is_anew,
        names: [&login.person.given_name, &login.person.family_name],
    };
    store::sessions::insert(db, organization_id, &session).await?;
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_are_asked_for_what_they_know() {
        let demands = |prompt| Demands {
            prompt: Some(prompt),
            ..Demands::default()
        };
        let asked = |prompt, issuer: &str, known: Option<&[&str]>| {
            let known = known.map(|known| {
                known
                    .iter()
                    .map(|one| (*one).to_owned())
                    .collect::<Vec<_>>()
            });
            let parameters = demands(prompt).parameters(issuer, known.as_deref());
            parameters.first().map(|(_, value)| value.clone())
        };
        let some = |text: &str| Some(text.to_owned());
        let other = "https://login.example.com";
        assert_eq!(asked("login", other, None), some("login"));
        assert_eq!(asked("select_account", other, None), some("select_account"));
        assert_eq!(asked("login", GOOGLE, None), some("select_account"));
        assert_eq!(
            asked("select_account", other, Some(&["none", "login"])),
            some("login")
        );
        assert_eq!(asked("login", other, Some(&["none"])), None);
    }
}
