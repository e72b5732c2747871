//! The nouns and their rules, without I/O: nothing here knows HTTP, SQL or a clock.

pub mod application;
pub mod audit;
pub mod brand;
pub mod domain_verification;
pub mod event;
pub mod event_stream;
pub mod grant;
pub mod group;
pub mod identity;
pub mod ids;
pub mod member;
pub mod names;
pub mod organization;
pub mod organization_policies;
pub mod personal_access_token;
pub mod policy;
pub mod retention;
pub mod role_assignment;
pub mod scim;
pub mod service_account;
pub mod setup_link;
pub mod sign_in;
pub mod sso;
pub mod text;
pub mod token;
pub mod webhook;

pub use letters;
