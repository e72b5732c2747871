//! People join organizations: with an invitation, or because the organization lets in the domain of their address.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use super::work::Work;
use crate::app::App;
use crate::domain::audit::Change;
use crate::domain::ids::{MemberId, OrganizationId};
use crate::domain::letters::address_key;
use crate::domain::sign_in::email_domain;
use crate::error::Error;
use crate::store::invitations::{self, Inviting, Sealed};
use crate::store::members::Member;
use crate::store::sign_in::Profile;
use crate::store::{self, Connection};

/// How long an invitation is valid.
const LIFETIME: TimeDelta = TimeDelta::days(7);

/// What somebody is told who has none that is valid.
const NO_INVITATION: &str = "invitation: it has ended, a newer one has taken its place, or it is mistyped; ask an administrator for a new one";

fn context(organization_id: OrganizationId) -> Vec<u8> {
    [
        b"invitation\0".as_slice(),
        organization_id.as_uuid().as_bytes(),
    ]
    .concat()
}

fn digest(invitation: Uuid) -> [u8; 32] {
    Sha256::digest(invitation.as_bytes()).into()
}

/// Makes an invitation to an organization: 122 random bits, of which a digest is kept, and the invitation itself sealed, for its
/// administrators to read again.
pub async fn invite(app: &App, work: &mut Work<'_>, now: DateTime<Utc>) -> Result<Uuid, Error> {
    let organization_id = work.organization_id();
    let invitation = Builder::from_random_bytes(app.random.bytes()).into_uuid();
    let context = context(organization_id);
    let sealed = Sealed {
        sealed: app
            .keys
            .seal(invitation.as_bytes(), &context, &app.random)?,
        expires_at: now + LIFETIME,
    };
    invitations::put(work, organization_id, &digest(invitation), &sealed).await?;
    Ok(invitation)
}

/// The invitation to an organization.
///
/// # Errors
///
/// [`Error::NotFound`] when there is none that is valid, or it is sealed with a key that is gone.
pub async fn current(app: &App, organization_id: OrganizationId) -> Result<Uuid, Error> {
    let mut db = app.store.acquire().await?;
    let found = invitations::get(&mut db, organization_id, app.clock.now()).await?;
    found
        .and_then(|found| app.keys.open(&found.sealed, &context(organization_id)))
        .and_then(|bytes| Uuid::from_slice(&bytes).ok())
        .ok_or(Error::NotFound(
            "invitation: make one with CreateOrganizationInvite",
        ))
}

/// The organization that an invitation is of.
///
/// # Errors
///
/// [`Error::NotFound`] for none that is valid.
pub async fn inviting(app: &App, db: &mut Connection, invitation: Uuid) -> Result<Inviting, Error> {
    let found = invitations::find(db, &digest(invitation), app.clock.now()).await?;
    found.ok_or(Error::NotFound(NO_INVITATION))
}

/// How somebody joins.
pub enum Way {
    /// With an invitation.
    Invitation(Uuid),
    /// By the domain of the address.
    Domain(OrganizationId),
}

/// The domain of a person's address, if that is surely the person's: what a provider says of an address counts for the organization
/// that chose the provider, and for others where that organization owns the domain.
pub async fn proven_domain(
    db: &mut Connection,
    home: OrganizationId,
    person: &Member,
) -> Result<Option<String>, Error> {
    let domain = email_domain(&person.email).filter(|_| person.email_verified);
    match domain {
        Some(domain) if store::domains::is_verified(db, home, &domain).await? => Ok(Some(domain)),
        _ => Ok(None),
    }
}

/// Makes a person who is a member of the organization `home` a member of another, too.
///
/// # Errors
///
/// [`Error::NotFound`] where the way leads nowhere; [`Error::PermissionDenied`] for an address that may not join;
/// [`Error::AlreadyExists`] for a member; [`Error::FailedPrecondition`] where only provisioning makes members.
pub async fn join(
    app: &App,
    home: OrganizationId,
    person: &Member,
    way: Way,
) -> Result<Member, Error> {
    if person.email.is_empty() {
        return Err(Error::FailedPrecondition(
            "you have no address here, by which the other organization would know you: ask an administrator of yours to add one".to_owned(),
        ));
    }
    let organization_id = {
        let mut db = app.store.acquire().await?;
        let domain = proven_domain(&mut db, home, person).await?;
        match way {
            Way::Invitation(id) => {
                let inviting = inviting(app, &mut db, id).await?;
                check_domain(&inviting, domain.as_deref())?;
                inviting.id
            }
            Way::Domain(id) => {
                let page = store::Page::before(id.as_uuid());
                let found = match &domain {
                    Some(domain) => {
                        invitations::list_joinable(&mut db, domain, page)
                            .await?
                            .items
                    }
                    None => vec![],
                };
                let found = found.into_iter().find(|joinable| *joinable == id);
                found.ok_or(Error::NotFound(
                    "organization that you may join: see ListJoinableOrganizations, or ask for an invitation",
                ))?
            }
        }
    };
    add(app, person, organization_id).await
}

fn check_domain(inviting: &Inviting, domain: Option<&str>) -> Result<(), Error> {
    let is_open = inviting.domains.is_empty();
    let has_domain = domain.is_some_and(|domain| inviting.domains.iter().any(|d| d == domain));
    if is_open || has_domain {
        return Ok(());
    }
    Err(Error::PermissionDenied(
        "the organization lets in addresses of certain domains only, which the organization that you come from has verified, and yours is none of them: ask an administrator of the organization",
    ))
}

async fn add(app: &App, person: &Member, organization_id: OrganizationId) -> Result<Member, Error> {
    let now = app.clock.now();
    let id: MemberId = app.new_id();
    let mut work = Work::begin(app, organization_id, id.into(), now).await?;
    store::organizations::lock_one(&mut work, organization_id).await?;
    if store::policies::restricts_account_creation_to_scim(&mut work, organization_id).await? {
        return Err(Error::FailedPrecondition(
            "only the provisioning of the organization's identity provider makes members of it: ask its administrators".to_owned(),
        ));
    }
    let email_key = address_key(&person.email);
    // The lock on the organization makes two at once take turns.
    if store::members::has_address(&mut work, organization_id, &email_key).await? {
        return Err(Error::AlreadyExists(
            "a member of the organization has your address already: sign in there, or ask its administrators".into(),
        ));
    }
    let profile = Profile {
        email: &person.email,
        email_key: &email_key,
        // Whoever signs in here proves it here.
        email_verified: false,
        name: &person.name,
        avatar_url: &person.avatar_url,
    };
    store::sign_in::insert_member(&mut work, organization_id, id, &profile, now).await?;
    let joined = store::members::get(&mut work, organization_id, id).await?;
    let change = Change::of_member("JoinOrganization", id, None, Some(json!(profile)));
    work.commit(change).await?;
    Ok(joined)
}
