//! Rules that several doors and commands share.

pub mod organizations;
pub mod users;
