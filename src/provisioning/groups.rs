//! Who is in the groups that decide.

use crate::app::App;
use crate::domain::ids::{GroupId, MemberId, OrganizationId};
use crate::error::Error;
use crate::store;

/// The most groups of a member that are looked at.
pub const MOST: i64 = 10_000;

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
    let of_member = store::grants::groups_of(&mut db, organization_id, member, MOST).await?;
    Ok(of_member.iter().any(|(id, _)| groups.contains(id)))
}
