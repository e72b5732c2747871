//! Somebody always administers an organization: what takes power from a member is refused where it would leave nobody.

use crate::domain::ids::OrganizationId;
use crate::error::Error;
use crate::store::{Connection, roles};

/// That a member administered the organization when a transaction began to take power from somebody.
#[must_use = "the check comes after the change"]
pub struct Administration {
    organization_id: OrganizationId,
    was_administered: bool,
}

/// Begins to take power from somebody. Two who do it at once take turns. Two round trips.
pub async fn guard(
    db: &mut Connection,
    organization_id: OrganizationId,
) -> Result<Administration, Error> {
    Ok(Administration {
        organization_id,
        was_administered: roles::lock_administration(db, organization_id).await?,
    })
}

impl Administration {
    /// Makes sure, after the change, that there still is an administrator who may act, if there was one. One round trip.
    ///
    /// # Errors
    ///
    /// [`Error::FailedPrecondition`] where nobody would be left: the transaction must not be committed.
    pub async fn check(self, db: &mut Connection) -> Result<(), Error> {
        if !self.was_administered || roles::is_administered(db, self.organization_id).await? {
            return Ok(());
        }
        Err(Error::FailedPrecondition(
            "nobody would administer the organization any more: make another member an administrator first".to_owned(),
        ))
    }
}
