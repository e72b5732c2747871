//! What real identity providers send: the rows of docs/dialects.md, by their number. Where the RFCs and the providers
//! disagree, the decision of this server is expected.

mod entra_groups;
mod entra_users;
mod jumpcloud;
mod okta;
mod onelogin;
mod others;
mod ping;
