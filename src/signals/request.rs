//! What every request of this door has: a caller that administers an organization, perhaps a body, and the stream that it is about.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, Method};
use serde_json::Value;

use super::error::{Answer, Failure};
use crate::app::App;
use crate::domain::identity::{Audience, Caller, Reader, Writer};
use crate::domain::ids::{EventStreamId, OrganizationId};
use crate::error::Error;
use crate::http::{bearer, caller};

/// What a request is told of a stream that its organization does not have.
const NOUN: &str = "event stream in this organization";

/// A request of somebody who administers an organization. It comes before the body, so that nobody else sends one.
pub struct Asked {
    /// The server.
    pub app: Arc<App>,
    caller: Caller,
    method: Method,
    headers: HeaderMap,
    query: Option<String>,
}

impl FromRequestParts<Arc<App>> for Asked {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let caller = find(app, &parts.method, &parts.headers).await;
        let caller =
            caller.map_err(|error| Answer(error.into(), &app.public_url).into_response())?;
        tracing::Span::current().record(
            "organization",
            tracing::field::display(caller.organization_id),
        );
        Ok(Self {
            app: app.clone(),
            caller,
            method: parts.method.clone(),
            headers: parts.headers.clone(),
            query: parts.uri.query().map(str::to_owned),
        })
    }
}

/// The caller of a bearer token. A session opens nothing here: receivers are programs.
async fn find(app: &App, method: &Method, headers: &HeaderMap) -> Result<Caller, Error> {
    if bearer::token(headers).is_none() {
        return Err(Error::Unauthenticated);
    }
    let found = caller::find(app, method, headers, None).await?;
    let caller = found.caller.ok_or(Error::PermissionDenied(
        "an operator names an organization: send the header Rollcall-Organization",
    ))?;
    caller.reader(Audience::Administrator)?;
    Ok(caller)
}

impl Asked {
    /// The organization of whoever asks.
    pub fn organization_id(&self) -> OrganizationId {
        self.caller.organization_id
    }

    /// Whoever asks, to read.
    ///
    /// # Errors
    ///
    /// As [`Caller::reader`] has them.
    pub fn reader(&self) -> Result<Reader<'_>, Error> {
        self.caller.reader(Audience::Administrator)
    }

    /// Whoever asks, to change something.
    ///
    /// # Errors
    ///
    /// As [`Caller::writer`] has them.
    pub fn writer(&self) -> Result<Writer<'_>, Error> {
        self.caller.writer(Audience::Administrator)
    }

    /// Makes sure that whoever asked some time ago may still do so.
    ///
    /// # Errors
    ///
    /// [`Error::Unauthenticated`] and [`Error::PermissionDenied`] for who may not any more.
    pub async fn check_again(&self) -> Result<(), Error> {
        let now = find(&self.app, &self.method, &self.headers).await?;
        now.belongs_to(&self.caller.organization_id.to_string())
    }

    /// The stream that the query names, if it names one.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for what is no identifier of a stream.
    pub fn named(&self) -> Result<Option<EventStreamId>, Error> {
        let query = self.query.as_deref().unwrap_or_default();
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        let named = pairs.find(|(name, _)| name == "stream_id");
        named.map(|(_, id)| stream_id(&id)).transpose()
    }

    /// The stream that the query has to name.
    ///
    /// # Errors
    ///
    /// As [`named`](Self::named) has them, and where there is none.
    pub fn must_name(&self) -> Result<EventStreamId, Failure> {
        let named = self.named()?;
        named.ok_or_else(|| Failure::request("the parameter stream_id is missing"))
    }

    /// Answers, or says what is wrong.
    pub fn answer(&self, result: Result<Response, Failure>) -> Response {
        result.unwrap_or_else(|failure| Answer(failure, &self.app.public_url).into_response())
    }
}

/// The identifier of a stream, from its text.
///
/// # Errors
///
/// [`Error::NotFound`] for what is none: nobody has such a stream.
pub fn stream_id(text: &str) -> Result<EventStreamId, Error> {
    text.parse().map_err(|_| Error::NotFound(NOUN))
}

/// The object of a body.
///
/// # Errors
///
/// For what is none.
pub fn object(body: &[u8]) -> Result<Value, Failure> {
    let value: Option<Value> = serde_json::from_slice(body).ok();
    let object = value.filter(Value::is_object);
    object.ok_or_else(|| Failure::request("the body must be a JSON object"))
}

/// The stream that a body names.
///
/// # Errors
///
/// For one that names none, and [`Error::NotFound`] for what is no identifier of one.
pub fn stream_of(body: &Value) -> Result<EventStreamId, Failure> {
    let id = body.get("stream_id").and_then(Value::as_str);
    let id = id.ok_or_else(|| Failure::request("stream_id is missing"))?;
    Ok(stream_id(id)?)
}
