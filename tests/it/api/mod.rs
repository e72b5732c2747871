//! Door 1: the API, method by method and rule by rule.

mod ahead;
mod applications;
mod authentication;
mod directory;
mod domains;
mod isolation;
mod json;
mod members;
pub mod methods;
mod paging;
mod policies;
pub mod rollcall;
mod rules;
mod scim;
mod sso;
mod transport;
mod users;
