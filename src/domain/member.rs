//! Members: whether they may act.

use super::names::named;

named! {
    /// Whether a member may act.
    pub enum MemberStatus {
        /// Yes.
        Active = "active",
        /// Not at the moment: a user that is this member is inactive, or an administrator says so.
        Suspended = "suspended",
        /// No: every user that was this member is deleted, the member left, or an administrator removed it.
        Left = "left",
    }
}

impl MemberStatus {
    /// The status of a member who is provisioned. `users` says of each user that is this member, in whichever SCIM configuration,
    /// whether it is active: one that is not suspends the member, and without any the member has left. An administrator suspends
    /// a member, too (`by_hand`), until an administrator lifts that.
    pub fn of_users(by_hand: bool, users: impl IntoIterator<Item = bool>) -> Self {
        let mut status = Self::Left;
        for is_active in users {
            if !is_active {
                return Self::Suspended;
            }
            status = Self::of_hand(by_hand);
        }
        status
    }

    /// The status of a member whom nobody provisions.
    pub const fn of_hand(by_hand: bool) -> Self {
        if by_hand {
            Self::Suspended
        } else {
            Self::Active
        }
    }
}
