//! Who is in the groups that decide.

use crate::app::App;
use crate::domain::ids::{GroupId, MemberId, OrganizationId};
use crate::error::Error;
use crate::store::memberships::groups_of;

/// The most groups of a member that are looked at.
pub const MOST: u32 = 10_000;

/// Whether a member is in one of these groups, or in a group that is; everybody is in none of none. No round trip, or one.
pub async fn is_in_any(
    app: &App,
    organization_id: OrganizationId,
    member: MemberId,
    groups: &[GroupId],
) -> Result<bool, Error> {
    if groups.is_empty() {
        return Ok(true);
    }
    let mut db = app.store.acquire().await?;
    let of_member = groups_of(&mut db, organization_id, member, None, MOST).await?;
    Ok(of_member
        .items
        .iter()
        .any(|group| groups.contains(&group.id)))
}
