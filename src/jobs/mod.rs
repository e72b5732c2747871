//! Background work: one file a job. Every replica runs them; each batch takes what no other has.

pub mod events;
pub mod sign_in;
pub mod statistics;
