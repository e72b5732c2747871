//! Members: whether they may act.

use super::names::named;

named! {
    /// Whether a member may act.
    pub enum MemberStatus {
        /// Yes.
        Active = "active",
        /// Not at the moment: a user that is this member is inactive.
        Suspended = "suspended",
        /// No: every user that was this member is deleted.
        Left = "left",
    }
}

impl MemberStatus {
    /// The status that provisioning gives a member. `users` says of each user that is this member, in whichever SCIM configuration,
    /// whether it is active: one that is not suspends the member, and without any the member has left. A member who was never
    /// provisioned is not asked about.
    pub fn of_users(users: impl IntoIterator<Item = bool>) -> Self {
        let mut status = Self::Left;
        for is_active in users {
            if !is_active {
                return Self::Suspended;
            }
            status = Self::Active;
        }
        status
    }
}
