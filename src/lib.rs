//! Rollcall knows who belongs to an organization.
//!
//! A request passes three rooms: a door, the rules, a store function. Calls go one way:
//!
//! ```text
//! cli → server, jobs → doors (api, scim, login) → provisioning → store → domain
//! ```
//!
//! - [`config`], [`cli`]: settings and commands;
//! - [`server`]: the listener and what surrounds every request;
//! - [`observe`]: the requests of each door, counted, timed and traced;
//! - [`large`]: the memory that large requests share;
//! - [`log`]: where the log goes;
//! - [`app`]: what every door is handed;
//! - [`api`]: the `gitpod.v1` services over Connect, gRPC and gRPC-Web;
//! - [`scim`]: SCIM 2.0 for identity providers;
//! - [`login`]: people sign in, in their browser;
//! - [`jobs`]: background work;
//! - [`oidc`]: the client's side of OpenID Connect;
//! - [`outgoing`]: the one way out to addresses that users chose, and what asks the domain name system;
//! - [`path`]: the paths of requests, in one form for every door;
//! - [`bearer`], [`session`]: the token and the session of a request, for every door;
//! - [`provisioning`]: rules that several doors share;
//! - [`metrics`], [`traces`]: what operators see;
//! - [`store`]: the only SQL;
//! - [`secrets`]: sealing and hashing;
//! - [`domain`]: nouns and rules, without I/O;
//! - [`error`]: the one domain error.

pub mod api;
pub mod app;
pub mod cli;
pub mod config;
pub mod domain;
pub mod error;
pub mod http;
pub mod jobs;
pub mod log;
pub mod login;
pub mod metrics;
pub mod oidc;
pub mod outgoing;
pub mod provisioning;
pub mod router;
pub mod scim;
pub mod secrets;
pub mod store;
pub mod traces;
