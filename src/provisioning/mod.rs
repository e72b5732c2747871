//! Rules that several doors and commands share.

pub mod keys;
pub mod organizations;
pub mod sign_in;
pub mod users;
