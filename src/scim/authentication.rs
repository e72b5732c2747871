//! Whose request it is: the configuration of its token, and whether that takes requests now.

use std::sync::Arc;

use http::request::Parts;
use scim::error::ScimError;

use super::Context;
use crate::app::App;
use crate::error::Error;
use crate::http::bearer;
use crate::provisioning::tokens::{Presented, present};
use crate::store::scim::Candidate;
use crate::store::scim_resources::{Lookup, Prefetched, Tenant};

/// A request whose token is right.
pub struct Authenticated {
    /// Whose request it is.
    pub context: Context,
    /// Why the configuration takes no requests now: for the client, and for the log of the configuration, which tells its
    /// administrator why nothing arrives.
    pub closed: Option<ScimError>,
    /// What was read together with the configuration.
    pub prefetched: Prefetched,
}

/// Finds the configuration of a request's token, and in the same round trip the resources that `lookup`
/// describes.
///
/// # Errors
///
/// [`Error::Unauthenticated`] for a token that is none, or not the right one.
pub async fn authenticate(
    app: &Arc<App>,
    head: &Parts,
    path: &str,
    lookup: Option<Lookup>,
) -> Result<Authenticated, Error> {
    let text = bearer::token(&head.headers);
    let Presented {
        organization_id,
        id,
        row: candidate,
        now,
    } = present::<Candidate>(app, text, lookup.map(Arc::new)).await?;
    let closed = if now >= candidate.token_expires_at {
        let text = format!(
            "the token expired on {}: regenerate it, and give the identity provider the new one",
            candidate.token_expires_at.format("%Y-%m-%d")
        );
        Some(ScimError::new(401, text))
    } else if !candidate.enabled {
        let text = "this SCIM configuration is disabled: enable it, and provisioning goes on";
        Some(ScimError::new(403, text))
    } else {
        None
    };
    let tenant = Tenant {
        organization_id,
        scim_configuration_id: id.into(),
    };
    let context = Context {
        allow_unverified_linking: candidate.allow_unverified_email_account_linking,
        ..Context::new(app, tenant, head, path, now)
    };
    Ok(Authenticated {
        context,
        closed,
        prefetched: candidate.prefetched,
    })
}
