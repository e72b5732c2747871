//! Which member a provisioned user is.

use std::collections::HashMap;

use uuid::Uuid;

use crate::error::Error;
use crate::store::Connection;
use crate::store::scim_resources::Tenant;
use crate::store::scim_users::{Match, Tie, UserRow, find_matches};

/// Decides for new users which members they are. The first of these that finds one member counts:
///
/// 1. Somebody who was a user of the configuration before comes back as the same member.
/// 2. A user whose externalId is the subject of somebody who signed in through the configuration's
///    provider is that member.
/// 3. A user with the address of one member is that member, if the address is the member's for sure
///    or `allow_unverified` is set. An address that several members have links nobody.
///
/// All others are members of their own. Returns, for each user, what to tell of an address that it
/// shares with other members. One round trip.
///
/// # Errors
///
/// [`Error::AlreadyExists`] when another user of the configuration is the member whose subject an
/// externalId is.
pub async fn link(
    db: &mut Connection,
    tenant: Tenant,
    allow_unverified: bool,
    rows: &mut [&mut UserRow],
) -> Result<Vec<Option<String>>, Error> {
    let user_names: Vec<String> = rows.iter().map(|row| row.user_name_key.clone()).collect();
    let external_ids: Vec<String> = rows
        .iter()
        .filter_map(|row| row.external_id.clone())
        .collect();
    let mut emails: Vec<String> = rows.iter().map(|row| row.email_key.clone()).collect();
    emails.sort_unstable();
    emails.dedup();
    let mut matches = find_matches(db, tenant, &user_names, &external_ids, &emails).await?;
    // What is certain comes first, or an address could give somebody's member to another.
    for row in rows.iter_mut() {
        if let Some(member) = certain(&matches, row)? {
            become_member(row, member, &mut matches);
        }
    }
    let mut owners = owners(&matches);
    let notes = rows.iter_mut().map(|row| {
        let sharing = owners.entry(row.email_key.clone()).or_default();
        if row.is_new_member
            && let [only] = **sharing
            && is_owner(&matches, only, row, allow_unverified)
        {
            become_member(row, only, &mut matches);
        }
        let note = note(row, sharing);
        if !row.email_key.is_empty() && !sharing.contains(&row.user_id) {
            sharing.push(row.user_id);
        }
        note
    });
    Ok(notes.collect())
}

/// Makes a user this member, which for the users that follow is one already.
fn become_member(row: &mut UserRow, member: Uuid, matches: &mut [Match]) {
    row.user_id = member;
    row.is_new_member = false;
    let same = matches.iter_mut().filter(|known| known.user_id == member);
    same.for_each(|known| known.is_linked = true);
}

/// Who has each address.
fn owners(matches: &[Match]) -> HashMap<String, Vec<Uuid>> {
    let mut owners: HashMap<String, Vec<Uuid>> = HashMap::new();
    for known in matches {
        if let Tie::Address { email_key, .. } = &known.tie {
            owners
                .entry(email_key.clone())
                .or_default()
                .push(known.user_id);
        }
    }
    owners
}

/// The member that a user is whatever its address.
fn certain(matches: &[Match], row: &UserRow) -> Result<Option<Uuid>, Error> {
    let free = || matches.iter().filter(|known| !known.is_linked);
    let former = free()
        .find(|known| had_external_id(known, row))
        .or_else(|| free().find(|known| had_user_name(known, row)));
    if let Some(former) = former {
        return Ok(Some(former.user_id));
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
        .all(|other| other.user_id == first.user_id)
        .then_some(first.user_id))
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
fn is_owner(matches: &[Match], member: Uuid, row: &UserRow, allow_unverified: bool) -> bool {
    let mut of_member = matches.iter().filter(|known| known.user_id == member);
    of_member.any(|known| match &known.tie {
        Tie::Address {
            email_key,
            is_verified,
        } => !known.is_linked && *email_key == row.email_key && (*is_verified || allow_unverified),
        _ => false,
    })
}

/// What the log tells of an address that others have as well.
fn note(row: &UserRow, sharing: &[Uuid]) -> Option<String> {
    let others: Vec<String> = sharing
        .iter()
        .filter(|other| **other != row.user_id)
        .map(|other| format!("the member {other}"))
        .collect();
    (!others.is_empty()).then(|| format!("address shared with {}", others.join(", ")))
}
