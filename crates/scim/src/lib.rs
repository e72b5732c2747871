//! SCIM 2.0 (RFC 7643, RFC 7644, RFC 9865) without I/O: what a service provider has to know about
//! resources, whatever serves and stores them.
//!
//! [`schema`] is the one registry of attributes; everything else reads it. The modules follow a
//! resource on its way through a server:
//!
//! - [`normalize`]: the body of a create or a replace becomes a canonical resource.
//!   What identity providers get wrong is understood here, and reported as a trait of their dialect.
//! - [`patch`]: a PATCH is read and checked, then applied to a canonical resource.
//! - [`path`]: the paths of PATCH operations, and the names in `attributes`.
//! - [`filter`]: a filter is parsed, then resolved against the schema.
//! - [`eval`]: whether a canonical resource matches a resolved filter.
//! - [`search_form()`]: what a database searches instead of the resource, to find the same.
//! - [`project`]: which attributes a response shows.
//! - [`reference`](mod@reference): how one resource names another.
//! - [`error`]: the SCIM error. All the others return it.
//!
//! A *canonical* resource is a JSON object with attribute names as the schema writes them, with values of
//! the types that the schema defines, and without read-only attributes. Two resource types are
//! known: users with the enterprise extension, and groups.
//!
//! Rows that comments name are those of `docs/dialects.md`: what identity providers really send.
//!
//! Input is never trusted: lengths, depths and counts are limited ([`filter::MAX_LENGTH`],
//! [`filter::MAX_DEPTH`], [`filter::MAX_NODES`], [`patch::MAX_OPERATIONS`],
//! [`normalize::MAX_VALUES`]). Nothing panics on input, and no error repeats a value of a resource.
//!
//! # Example
//!
//! A user is created, found by a filter, and changed by a PATCH of the kind that Microsoft Entra ID
//! sends:
//!
//! ```
//! use scim::eval::matches;
//! use scim::filter::compile;
//! use scim::normalize::normalize;
//! use scim::patch::plan;
//! use scim::project::Projection;
//! use scim::schema::ResourceType;
//! use serde_json::{Value, json};
//!
//! # fn main() -> Result<(), scim::error::ScimError> {
//! let body = json!({
//!     "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
//!     "USERNAME": "Ada@Example.com",
//!     "emails": [{ "type": "work", "value": "ada@example.com", "primary": "True" }],
//!     "active": true,
//! });
//! let user = normalize(ResourceType::User, body)?;
//! assert_eq!(user.resource["userName"], "Ada@Example.com");
//! assert_eq!(user.traits, ["string booleans"]);
//!
//! // User names and addresses ignore case.
//! let filter = compile(r#"userName eq "ADA@example.com" and active eq true"#, ResourceType::User)?;
//! assert!(matches(&filter, &user.resource));
//!
//! let patch = json!({
//!     "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
//!     "Operations": [
//!         { "op": "Replace", "path": "active", "value": "False" },
//!         { "op": "Add", "path": "emails[type eq \"work\"].value", "value": "lovelace@example.com" },
//!     ],
//! });
//! let after = plan(ResourceType::User, patch)?.apply(&user.resource)?;
//! assert!(after.changed);
//! assert_eq!(after.resource["active"], false);
//! assert!(!matches(&filter, &after.resource));
//!
//! let projection = Projection::from_query(ResourceType::User, Some("emails.value"), None);
//! let shown = Value::Object(projection.apply(after.resource));
//! assert_eq!(shown["emails"], json!([{ "value": "lovelace@example.com" }]));
//! assert!(shown.get("userName").is_none());
//! # Ok(())
//! # }
//! ```

pub mod error;
pub mod eval;
pub mod filter;
mod keywords;
pub mod normalize;
pub mod patch;
pub mod path;
pub mod project;
pub mod reference;
pub mod schema;
mod search_form;

pub use search_form::search_form;
