//! What happened, told to programs: the log of events and its readers.

pub mod log;
pub mod poll;
pub mod push;
pub mod signals;
