//! The binary, as its users run it.

mod documented;
#[cfg(feature = "embedded-postgres")]
mod embedded;
mod events;
mod observability;
pub mod operators;
mod remote;
mod settings;
mod sso;
