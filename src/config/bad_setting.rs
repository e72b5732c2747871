//! What is said of a setting that cannot be used.

/// A setting that cannot be used: one line, exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadSetting(pub String);
