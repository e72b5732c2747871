//! The console: what its pages show and do, and whom they refuse.

mod audit_log;
mod groups;
mod people;
mod strangers;
mod support;
