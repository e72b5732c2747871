//! The most common change, a new user, in one round trip: the statement that adds the user looks at the token, too.
//!
//! It is tried for a token that has verified in this process, as whose holder a client is believed until the statement has
//! seen the row. Whatever the statement does not simply do, such as what needs an error, goes the usual way, which
//! authenticates first.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use http::Method;
use http::request::Parts;
use scim::error::ScimError;
use scim::schema::{ResourceType, endpoint_type};
use tokio::time::timeout;

use super::answers::Failure;
use super::request::{Query, read_json, wishes};
use super::{Context, Reply, users};
use crate::app::App;
use crate::error::Error;
use crate::http::{bearer, large};
use crate::metrics::Verification;
use crate::provisioning::tokens::{Remembered, remembered};
use crate::store::scim::Candidate;
use crate::store::scim_resources::Tenant;

/// The most bytes of a body.
const MAX_BODY: usize = 64 * 1024;
/// How long the body may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// What came of an attempt.
pub enum Attempt {
    /// The answer.
    Done(Result<Reply, Failure>),
    /// Nothing was done: the body, for the usual way.
    Left(Body),
}

/// Creates a user, if that is what is asked for.
pub async fn create(
    app: &Arc<App>,
    head: &Parts,
    path: &str,
    query: &Query,
    body: Body,
) -> Attempt {
    let kind = endpoint_type(path);
    let is_small = large::length(&head.headers, &body, usize::MAX) <= MAX_BODY;
    let token = bearer::token(&head.headers);
    let known = (head.method == Method::POST && kind == Some(ResourceType::User) && is_small)
        .then(|| remembered::<Candidate>(app, token))
        .flatten();
    let Some(known) = known else {
        return Attempt::Left(body);
    };
    match timeout(DEADLINE, to_bytes(body, MAX_BODY)).await {
        Err(_) => Attempt::Done(Err(
            Error::Unavailable("the request took too long".into()).into()
        )),
        Ok(Err(_)) => Attempt::Done(Err(
            ScimError::new(400, "the body was not sent to the end").into()
        )),
        Ok(Ok(bytes)) => {
            let Ok(parsed) = read_json(&head.headers, Some(bytes.clone())) else {
                return Attempt::Left(bytes.into());
            };
            let context = context(app, &known, head, path);
            let wishes = wishes(ResourceType::User, &head.headers, query);
            match users::create_stranger(&context, parsed, &wishes, &known.hash).await {
                Some(result) => {
                    app.metrics.verification(Verification::Cached);
                    Attempt::Done(result)
                }
                None => Attempt::Left(bytes.into()),
            }
        }
    }
}

fn context(app: &Arc<App>, known: &Remembered, head: &Parts, path: &str) -> Context {
    let tenant = Tenant {
        organization_id: known.organization_id,
        scim_configuration_id: known.id.into(),
    };
    tracing::Span::current().record(
        "organization",
        tracing::field::display(tenant.organization_id),
    );
    Context::new(app, tenant, head, path, app.clock.now())
}
