//! Secrets: what is sealed to be read back ([`keys`]), what signs tokens ([`signing`]), and what is hashed to be recognised
//! ([`tokens`]).

pub mod keys;
pub mod signing;
pub mod tokens;
