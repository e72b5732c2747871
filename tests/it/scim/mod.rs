//! The SCIM endpoint, as identity providers use it.

mod audit;
mod checklist;
mod effects;
mod filters;
mod idp_traffic;
mod paths;
mod provisioning;
