//! Rules that several doors and commands share.

pub mod access;
pub mod administration;
pub mod applications;
pub mod client_keys;
pub mod explain;
pub mod groups;
pub mod joining;
pub mod keys;
pub mod organizations;
pub mod refresh;
pub mod sign_in;
pub mod signing;
pub mod test_sign_in;
pub mod tokens;
pub mod users;
pub mod work;
