//! Door 1: the API. Rules are quoted from the wire contract.

mod ahead;
mod authentication;
mod domains;
mod isolation;
mod json;
mod members;
mod methods;
mod paging;
mod policies;
pub mod rollcall;
mod rules;
mod scim;
mod sso;
mod transport;
mod users;
