//! Who a provisioned user is.

use crate::error::Error;
use crate::store::Connection;
use crate::store::scim_resources::Tenant;
use crate::store::scim_users::{Match, USER_NAME_IN_USE, UserRow, find_matches};

/// Decides for new users which members they are. Someone who was here before comes back as the same
/// member. An address that a member has already links to that member only if the member proved to
/// own it, the organization has verified its domain, or the configuration trusts its identity
/// provider that much.
///
/// # Errors
///
/// [`Error::AlreadyExists`] for an address that may not be linked.
pub async fn link(
    db: &mut Connection,
    tenant: Tenant,
    allow_unverified: bool,
    rows: &mut [&mut UserRow],
) -> Result<(), Error> {
    let user_names: Vec<String> = rows.iter().map(|row| row.user_name_key.clone()).collect();
    let external_ids: Vec<String> = rows
        .iter()
        .filter_map(|row| row.external_id.clone())
        .collect();
    let emails: Vec<String> = rows.iter().map(|row| row.email_key.clone()).collect();
    let matches = find_matches(db, tenant, &user_names, &external_ids, &emails).await?;
    if matches.is_empty() {
        return Ok(());
    }
    for row in rows {
        let former = matches
            .iter()
            .find(|known| known.linked_user_name.is_none() && is_former(known, row));
        let owner = matches
            .iter()
            .find(|known| known.former_user_name.is_none() && owns_address(known, row));
        let member = match (former, owner) {
            (Some(former), _) => former,
            (None, Some(owner)) if owner.linked_user_name.as_ref() == Some(&row.user_name_key) => {
                return Err(Error::AlreadyExists(USER_NAME_IN_USE.into()));
            }
            (None, Some(owner)) if owner.linked_user_name.is_some() => {
                return Err(Error::AlreadyExists(
                    "another user of this configuration has this e-mail address: update that user, or give this one an address of its own".into(),
                ));
            }
            (None, Some(owner)) if owner.is_address_verified || allow_unverified => owner,
            (None, Some(_)) => {
                return Err(Error::AlreadyExists(
                    "a member of the organization has this e-mail address, and nobody has verified that it is the same person: let the member sign in with a verified address first, verify the domain of the address for the organization, or set allowUnverifiedEmailAccountLinking on the SCIM configuration".into(),
                ));
            }
            (None, None) => continue,
        };
        row.user_id = member.user_id;
        row.is_new_member = false;
    }
    Ok(())
}

fn is_former(known: &Match, row: &UserRow) -> bool {
    let same_name = known.former_user_name.as_ref() == Some(&row.user_name_key);
    let same_external_id = row.external_id.is_some() && known.former_external_id == row.external_id;
    same_name || same_external_id
}

fn owns_address(known: &Match, row: &UserRow) -> bool {
    !row.email_key.is_empty() && known.email_key == row.email_key
}
