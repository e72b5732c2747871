//! What every door shares of HTTP, and knows no door:
//!
//! - [`listener`]: connections, their limits, the shutdown;
//! - [`request_id`]: the name of a request;
//! - [`path`]: the paths of requests, in one form for every door;
//! - [`bearer`], [`session`]: the token and the session of a request; [`caller`]: who calls by them;
//! - [`body`]: how long a body may take; [`large`]: the memory that large requests share;
//! - [`first`]: the link with which the first administrator enters;
//! - [`observe`]: requests counted, timed and traced, and the listener of the metrics;
//! - [`probes`]: the questions of those who run the server.

pub mod bearer;
pub mod body;
pub mod brand;
pub mod caller;
pub mod first;
pub mod large;
pub mod listener;
pub mod observe;
pub mod page;
pub mod path;
pub mod probes;
pub mod request_id;
pub mod session;
