//! What handlers share, and how a method of a service finds its own.

use std::sync::Arc;

use buffa_types::google::protobuf::Timestamp;
use chrono::{DateTime, Utc};
use connectrpc::{ConnectError, RequestContext, Response, ServiceResult};
use uuid::Uuid;

use crate::app::App;
use crate::domain::audit::Change;
use crate::domain::identity::Caller;
use crate::error::{Error, Violation};
use crate::store::{self, Transaction};

/// Carries out the methods.
pub struct Api {
    /// The application.
    pub app: Arc<App>,
}

/// Implements the trait of a service from a table. An entry has the method, its messages, and the call of its
/// handler, whose arguments are some of `app`, `caller`, `ahead`, `paging` and `request`. Where the response's fields are named,
/// they are what the handler returns: one value, several as a tuple, or `()`. Otherwise it returns the response. The
/// `buf.validate` rules of the request are checked before the handler is called.
macro_rules! service {
    ($service:ident {$(
        $method:ident($request:ident) -> $response:ident $({$($field:ident),*})? =
            $($handler:ident)::+($($argument:ident),*);
    )+}) => {
        #[expect(refining_impl_trait, reason = "naming the response type is the point")]
        #[protovalidate_buffa::connect_impl]
        impl $service for $crate::api::handler::Api {$(
            async fn $method(
                &self,
                ctx: connectrpc::RequestContext,
                request: connectrpc::ServiceRequest<'_, $request>,
            ) -> connectrpc::ServiceResult<$response> {
                let _ = &ctx;
                let result = $($handler)::+(
                    $($crate::api::handler::service!(@$argument self ctx request)),*
                )
                .await;
                $(
                    #[allow(unused_parens, reason = "a single field is no tuple")]
                    let result = result.map(|($($field),*)| $response {
                        $($field: $field.into(),)*
                        ..Default::default()
                    });
                )?
                $crate::api::handler::reply(result)
            }
        )+}
    };
    (@app $self:ident $ctx:ident $request:ident) => { &$self.app };
    (@caller $self:ident $ctx:ident $request:ident) => { $crate::api::handler::caller(&$ctx)? };
    (@ahead $self:ident $ctx:ident $request:ident) => { $ctx.extensions().get::<$crate::store::tokens::ReadAhead>() };
    (@paging $self:ident $ctx:ident $request:ident) => { $crate::api::paging::Paging::of(&$self.app, &$ctx) };
    (@request $self:ident $ctx:ident $request:ident) => { $request.to_owned_message() };
}

pub(super) use service;

/// The answer of a handler as the RPC library takes it.
///
/// # Errors
///
/// That of the handler.
pub fn reply<T>(result: Result<T, Error>) -> ServiceResult<T> {
    result.map(Response::new).map_err(Into::into)
}

/// Who [`authenticate`](super::authentication::authenticate) found.
///
/// # Errors
///
/// [`Error::Unauthenticated`] where nobody was looked for: a fault of the routes.
pub fn caller(ctx: &RequestContext) -> Result<&Caller, ConnectError> {
    ctx.extensions()
        .get()
        .ok_or_else(|| Error::Unauthenticated.into())
}

/// Reads an identifier, whose form the rules have checked.
///
/// # Errors
///
/// [`Error::Invalid`] for what is no UUID.
pub fn parse_id<Id: From<Uuid>>(field: &'static str, text: &str) -> Result<Id, Error> {
    let id = Uuid::try_parse(text)
        .map_err(|_| Error::invalid(field, Violation::UUID, "must be a UUID"))?;
    Ok(id.into())
}

/// Reads an identifier that may be left out: the empty text says nothing.
///
/// # Errors
///
/// As [`parse_id`] has them.
pub fn optional_id<Id: From<Uuid>>(field: &'static str, text: &str) -> Result<Option<Id>, Error> {
    match text {
        "" => Ok(None),
        text => parse_id(field, text).map(Some),
    }
}

/// Reads identifiers.
///
/// # Errors
///
/// As [`parse_id`] has them.
pub fn parse_ids<Id: From<Uuid>>(field: &'static str, texts: &[String]) -> Result<Vec<Id>, Error> {
    texts.iter().map(|text| parse_id(field, text)).collect()
}

/// A moment on the wire.
pub fn timestamp(time: DateTime<Utc>) -> Timestamp {
    Timestamp {
        seconds: time.timestamp(),
        nanos: i32::try_from(time.timestamp_subsec_nanos()).unwrap_or_default(),
        ..Default::default()
    }
}

/// Commits a transaction with the record of the change that it makes; without one where it turned out to change nothing.
/// No handler commits in another way, so that nothing changes without a record.
///
/// # Errors
///
/// As the database has them.
pub async fn commit(
    app: &App,
    caller: &Caller,
    mut tx: Transaction,
    change: impl Into<Option<Change>>,
) -> Result<(), Error> {
    if let Some(change) = change.into() {
        store::audit::insert(
            &mut tx,
            caller.organization_id,
            app.new_id(),
            app.clock.now(),
            caller.subject,
            &change,
        )
        .await?;
    }
    tx.commit().await
}
