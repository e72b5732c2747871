//! What happened, told to programs: the log of events and its readers.

mod call;
pub mod delivery;
mod lines;
pub mod log;
pub mod logout;
pub mod poll;
pub mod push;
mod share;
pub mod signals;
mod target;
pub mod webhooks;
