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
/// As the database has them.
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
    let mut owners = owners(&matches);
    let notes = rows.iter_mut().map(|row| {
        let sharing = owners.entry(row.email_key.clone()).or_default();
        let member = member(&matches, row, sharing, allow_unverified);
        if let Some(member) = member {
            row.user_id = member;
            row.is_new_member = false;
        }
        let note = note(row, sharing);
        // For the users that follow, this one is there.
        let taken = matches
            .iter_mut()
            .filter(|known| known.user_id == row.user_id);
        taken.for_each(|known| known.is_linked = true);
        if !row.email_key.is_empty() && !sharing.contains(&row.user_id) {
            sharing.push(row.user_id);
        }
        note
    });
    Ok(notes.collect())
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

/// The member that a user is, if it is one already; `sharing` are those who have the address.
fn member(
    matches: &[Match],
    row: &UserRow,
    sharing: &[Uuid],
    allow_unverified: bool,
) -> Option<Uuid> {
    let free = || matches.iter().filter(|known| !known.is_linked);
    let former = free().find(|known| was_user(known, row));
    let tied = || {
        let mut tied = free()
            .filter(|known| has_subject(known, row))
            .map(|known| known.user_id);
        let first = tied.next()?;
        tied.all(|other| other == first).then_some(first)
    };
    let owner = || match sharing {
        [only] => free()
            .find(|known| known.user_id == *only && is_surely(known, row, allow_unverified))
            .map(|known| known.user_id),
        _ => None,
    };
    former
        .map(|known| known.user_id)
        .or_else(tied)
        .or_else(owner)
}

fn was_user(known: &Match, row: &UserRow) -> bool {
    match &known.tie {
        Tie::Former {
            user_name_key,
            external_id,
        } => {
            let same_external_id = row.external_id.is_some() && *external_id == row.external_id;
            *user_name_key == row.user_name_key || same_external_id
        }
        _ => false,
    }
}

fn has_subject(known: &Match, row: &UserRow) -> bool {
    matches!(&known.tie, Tie::Subject(subject) if row.external_id.as_ref() == Some(subject))
}

fn is_surely(known: &Match, row: &UserRow, allow_unverified: bool) -> bool {
    match &known.tie {
        Tie::Address {
            email_key,
            is_verified,
        } => *email_key == row.email_key && (*is_verified || allow_unverified),
        _ => false,
    }
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
