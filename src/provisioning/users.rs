//! Which member a provisioned user is.

use std::collections::HashMap;

use crate::app::App;
use crate::domain::ids::MemberId;
use crate::error::Error;
use crate::store::Connection;
use crate::store::scim_resources::Tenant;
use crate::store::scim_users::{Match, Tie, UserRow, find_matches};

/// The member that a new user is.
#[derive(Debug)]
pub struct Link {
    /// The member.
    pub member_id: MemberId,
    /// Whether the member is made with the user.
    pub is_new: bool,
    /// What to tell of an address that the user shares with other members.
    pub note: Option<String>,
}

impl Link {
    /// To a member that is made with the user.
    pub fn to_new(app: &App) -> Self {
        Self {
            member_id: app.new_id(),
            is_new: true,
            note: None,
        }
    }
}

/// Decides for new users which members they are. The first of these that finds one member counts:
///
/// 1. Somebody who was a user of the configuration before comes back as the same member.
/// 2. A user whose externalId is the subject of somebody who signed in through the configuration's
///    provider is that member.
/// 3. A user with the address of one member is that member, if the address is the member's for sure
///    or `allow_unverified` is set. An address that several members have links nobody.
///
/// All others are members of their own. One round trip.
///
/// # Errors
///
/// [`Error::AlreadyExists`] when another user of the configuration is the member whose subject an
/// externalId is.
pub async fn link(
    app: &App,
    db: &mut Connection,
    tenant: Tenant,
    allow_unverified: bool,
    rows: &[&UserRow],
) -> Result<Vec<Link>, Error> {
    let user_names: Vec<String> = rows.iter().map(|row| row.user_name_key.clone()).collect();
    let external_ids: Vec<String> = rows
        .iter()
        .filter_map(|row| row.external_id.clone())
        .collect();
    let mut emails: Vec<String> = rows.iter().map(|row| row.email_key.clone()).collect();
    emails.sort_unstable();
    emails.dedup();
    let mut matches = find_matches(db, tenant, &user_names, &external_ids, &emails).await?;
    let mut links: Vec<Link> = rows.iter().map(|_| Link::to_new(app)).collect();
    // What is certain comes first, or an address could give somebody's member to another.
    for (row, link) in rows.iter().zip(&mut links) {
        if let Some(member) = certain(&matches, row)? {
            become_member(link, member, &mut matches);
        }
    }
    let mut owners = owners(&matches);
    for (row, link) in rows.iter().zip(&mut links) {
        let sharing = owners.entry(row.email_key.clone()).or_default();
        if link.is_new
            && let [only] = **sharing
            && is_owner(&matches, only, row, allow_unverified)
        {
            become_member(link, only, &mut matches);
        }
        link.note = note(link.member_id, sharing);
        if !row.email_key.is_empty() && !sharing.contains(&link.member_id) {
            sharing.push(link.member_id);
        }
    }
    Ok(links)
}

/// Makes a user this member, which for the users that follow is one already.
fn become_member(link: &mut Link, member: MemberId, matches: &mut [Match]) {
    link.member_id = member;
    link.is_new = false;
    let same = matches.iter_mut().filter(|known| known.member_id == member);
    same.for_each(|known| known.is_linked = true);
}

/// Who has each address.
fn owners(matches: &[Match]) -> HashMap<String, Vec<MemberId>> {
    let mut owners: HashMap<String, Vec<MemberId>> = HashMap::new();
    for known in matches {
        if let Tie::Address { email_key, .. } = &known.tie {
            owners
                .entry(email_key.clone())
                .or_default()
                .push(known.member_id);
        }
    }
    owners
}

/// The member that a user is whatever its address.
fn certain(matches: &[Match], row: &UserRow) -> Result<Option<MemberId>, Error> {
    let free = || matches.iter().filter(|known| !known.is_linked);
    let former = free()
        .find(|known| had_external_id(known, row))
        .or_else(|| free().find(|known| had_user_name(known, row)));
    if let Some(former) = former {
        return Ok(Some(former.member_id));
    }
    let mut tied = matches.iter().filter(|known| has_subject(known, row));
    let Some(first) = tied.next() else {
        return Ok(None);
    };
    if first.is_linked {
        return Err(Error::AlreadyExists(
            "the person with this externalId signs in as the member that another user of this configuration is: delete that user, if it is somebody else, and send this one again".into(),
        ));
    }
    Ok(tied
        .all(|other| other.member_id == first.member_id)
        .then_some(first.member_id))
}

fn had_external_id(known: &Match, row: &UserRow) -> bool {
    matches!(&known.tie, Tie::Former { external_id: Some(id), .. } if row.external_id.as_ref() == Some(id))
}

fn had_user_name(known: &Match, row: &UserRow) -> bool {
    matches!(&known.tie, Tie::Former { user_name_key, .. } if *user_name_key == row.user_name_key)
}

fn has_subject(known: &Match, row: &UserRow) -> bool {
    matches!(&known.tie, Tie::Subject(subject) if row.external_id.as_ref() == Some(subject))
}

/// Whether the address of a user is surely that of this member, who is no other user yet.
fn is_owner(matches: &[Match], member: MemberId, row: &UserRow, allow_unverified: bool) -> bool {
    let mut of_member = matches.iter().filter(|known| known.member_id == member);
    of_member.any(|known| match &known.tie {
        Tie::Address {
            email_key,
            is_verified,
        } => !known.is_linked && *email_key == row.email_key && (*is_verified || allow_unverified),
        _ => false,
    })
}

/// What the log tells of an address that others have as well.
fn note(member: MemberId, sharing: &[MemberId]) -> Option<String> {
    let others: Vec<String> = sharing
        .iter()
        .filter(|other| **other != member)
        .map(|other| format!("the member {other}"))
        .collect();
    (!others.is_empty()).then(|| format!("address shared with {}", others.join(", ")))
}
