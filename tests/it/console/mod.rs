//! The console: what its pages show, what their forms do, and that they do it for nobody else.

mod applications;
mod settings;
mod sign_ins;
mod support;
mod tokens;
mod walk;
mod webhooks;
