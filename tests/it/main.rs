//! One binary of integration tests. The tree mirrors the doors.
//!
//! The tests run on the PostgreSQL that `DATABASE_URL` names, and on an embedded one without it.
//! Each makes its own organization and touches nothing else.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "how tests fail"
)]

mod api;
mod architecture;
mod cli;
mod cluster;
mod console;
mod documents;
mod events;
mod folding;
mod jobs;
mod login;
mod metrics;
mod no_echo;
mod outgoing;
mod provider;
mod scim;
mod signals;
mod store;
mod support;
mod upgrade;
