//! The SCIM endpoint, as identity providers use it.

mod checklist;
mod client;
mod filters;
mod idp_traffic;
mod provisioning;
