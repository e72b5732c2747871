//! The binary, as its users run it.

#[cfg(feature = "embedded-postgres")]
mod embedded;
mod observability;
mod operators;
mod remote;
mod settings;
mod sso;
