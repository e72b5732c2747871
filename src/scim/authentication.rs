//! Whose request it is: the token of a SCIM configuration is verified here.

use std::sync::Arc;

use futures_util::FutureExt;
use http::request::Parts;
use scim::error::ScimError;

use super::{Context, ROOT};
use crate::app::App;
use crate::domain::token::{Token, TokenKind};
use crate::error::Error;
use crate::http::bearer;
use crate::provisioning::tokens::{Kept, Row, verify};
use crate::store;
use crate::store::scim_resources::{Lookup, Stored, Tenant};

/// Finds the configuration of a request's token, and in the same round trip the resources that `lookup`
/// describes. If the configuration takes no requests now, the answer says why, and the log of the
/// configuration tells its administrator.
///
/// # Errors
///
/// [`Error::Unauthenticated`] for a token that is none, or not the right one.
pub async fn authenticate(
    app: &Arc<App>,
    head: &Parts,
    path: &str,
    lookup: Option<Lookup>,
) -> Result<(Context, Option<ScimError>, Option<Vec<Stored>>), Error> {
    let token = bearer::token(&head.headers).and_then(|text| Token::parse(TokenKind::Scim, text));
    let token = token.ok_or(Error::Unauthenticated)?;
    let now = app.clock.now();
    let tenant = Tenant {
        organization_id: app.organization_of(&token).ok_or(Error::Unauthenticated)?,
        scim_configuration_id: token.id().into(),
    };
    let lookup = lookup.map(Arc::new);
    let found = app
        .store
        .read(|db| {
            let lookup = lookup.clone();
            async move { store::scim::find_candidate(db, tenant, lookup.as_deref()).await }.boxed()
        })
        .await?;
    let (candidate, found) = found.ok_or(Error::Unauthenticated)?;
    let kept = Kept {
        row: Row::Scim(tenant),
        hash: &candidate.token_hash,
        digest: candidate.token_digest.as_deref(),
    };
    if !verify(app, &token, kept, now).await? {
        return Err(Error::Unauthenticated);
    }
    // From here on, the configuration's log tells its administrator why nothing arrives.
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
    let context = Context {
        tenant,
        allow_unverified_linking: candidate.allow_unverified_email_account_linking,
        base: format!("{}{ROOT}", app.public_url),
        method: head.method.to_string(),
        path: format!("/{path}"),
        now,
        app: app.clone(),
    };
    Ok((context, closed, lookup.map(|_| found)))
}
