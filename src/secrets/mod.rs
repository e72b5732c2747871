//! Secrets: what is sealed to be read back ([`keys`]), and what is hashed to be recognised
//! ([`tokens`]).

pub mod keys;
pub mod tokens;
