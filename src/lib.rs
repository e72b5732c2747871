//! Rollcall knows who belongs to an organization.
//!
//! A request passes three rooms: a door, the rules, a store function. Calls go one way:
//!
//! ```text
//! cli → router, jobs → doors (api, scim, login, provider, signals, console) → http, provisioning, events → store → domain
//! ```
//!
//! From the outside inwards:
//!
//! - [`cli`], `config`: commands and settings;
//! - [`router`]: every door, and what surrounds each request;
//! - [`jobs`]: background work;
//! - [`api`]: door 1, the `gitpod.v1` services over Connect, gRPC and gRPC-Web;
//! - `scim`: door 2, SCIM 2.0 for identity providers;
//! - `login`: door 3, people sign in with their browser;
//! - `provider`: door 4, applications sign people in;
//! - `signals`: door 5, receivers follow streams of security events;
//! - `console`: door 6, pages for administrators and operators, which ask door 1;
//! - [`http`]: what doors share of HTTP: the listener, the token and the session of a request, limits;
//! - [`provisioning`]: rules that several doors share;
//! - [`events`]: what happened, told to programs;
//! - [`oidc`]: the client's side of OpenID Connect;
//! - [`outgoing`]: the one way out to addresses that users chose, and the domain name system;
//! - [`store`]: the only SQL;
//! - [`secrets`]: sealing, signing and hashing;
//! - [`domain`]: nouns and rules, without I/O;
//! - [`app`]: what every door is handed;
//! - [`error`]: the one domain error;
//! - `log`, [`metrics`], `traces`: what operators see.
//!
//! A public module is one that tests use; the compiler finds what nobody uses in the others.
//!
//! Three crates know nothing of Rollcall: `scim` (`crates/scim`), the rules of SCIM 2.0 without I/O, and
//! `letters` (`crates/letters`), which tells when two texts are the same although their letters are not; and
//! `proto` (`crates/proto`), the messages and services of the wire contract.

pub mod api;
pub mod app;
pub mod cli;
mod config;
mod console;
pub mod domain;
pub mod error;
pub mod events;
pub mod http;
pub mod jobs;
mod log;
mod login;
pub mod metrics;
pub mod oidc;
pub mod outgoing;
mod provider;
pub mod provisioning;
pub mod router;
mod scim;
pub mod secrets;
mod signals;
pub mod store;
mod traces;
