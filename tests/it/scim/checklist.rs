//! The requirements of SCIM, section by section.

mod bulk;
mod concurrency;
mod content;
mod discovery;
mod lists;
mod resources;
mod writes;
