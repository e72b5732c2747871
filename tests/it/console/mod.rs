//! The console: what its pages show and do, and whom they refuse.

mod applications;
mod audit_log;
mod brand;
mod groups;
mod people;
mod settings;
mod setup;
mod sign_ins;
mod sso;
mod strangers;
mod support;
mod tokens;
mod walk;
mod webhooks;
