//! The nouns and their rules, without I/O: nothing here knows HTTP, SQL or a clock.

pub mod audit;
pub mod domain_verification;
pub mod identity;
pub mod ids;
pub mod member;
pub mod names;
pub mod organization;
pub mod organization_policies;
pub mod policy;
pub mod scim;
pub mod sign_in;
pub mod sso;
pub mod text;
pub mod token;

pub use letters;
