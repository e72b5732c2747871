//! What a request asks for is read together with its token, where its first bytes tell: reading a configuration is one
//! round trip to the database.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use buffa::Message;
use http::Method;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http_body::Body as _;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::paging::page_size;
use crate::store::tokens::{Ahead, Configurations};
use proto::gitpod::v1::{
    GetSCIMConfigurationRequest, GetSSOConfigurationRequest, ListSCIMConfigurationsRequest,
    ListSSOConfigurationsRequest, PaginationRequest,
};

/// The largest body that is looked at, in bytes.
const MAX_BODY: u64 = 1024;

/// Tells what a request asks for, if it is known before its token is. Nothing is refused here: what is wrong with the
/// request is told to those who may send it.
pub async fn look(request: Request) -> (Request, Option<Ahead>) {
    let Some(method) = method(&request) else {
        return (request, None);
    };
    let size = request.body().size_hint().exact();
    let is_small = size.is_some_and(|size| (1..=MAX_BODY).contains(&size));
    let is_plain =
        request.uri().query().is_none() && !request.headers().contains_key(CONTENT_ENCODING);
    let is_json = match request
        .headers()
        .get(CONTENT_TYPE)
        .map(|value| value.as_bytes())
    {
        Some(b"application/json") => true,
        Some(b"application/proto") => false,
        _ => return (request, None),
    };
    if !is_small || !is_plain {
        return (request, None);
    }
    let (head, body) = request.into_parts();
    match to_bytes(body, MAX_BODY as usize).await {
        Ok(bytes) => {
            let ahead = method(is_json, &bytes);
            (Request::from_parts(head, Body::from(bytes)), ahead)
        }
        // Whoever reads it next is told the same.
        Err(error) => {
            let body = Body::from_stream(futures_util::stream::once(async {
                Err::<Vec<u8>, _>(error)
            }));
            (Request::from_parts(head, body), None)
        }
    }
}

/// Reads from a body, as JSON or not, what a method asks for.
type Read = fn(bool, &[u8]) -> Option<Ahead>;

/// The methods that are looked at.
fn method(request: &Request) -> Option<Read> {
    let path = request.uri().path();
    let path = path.strip_prefix("/api").unwrap_or(path);
    let name = path.strip_prefix("/gitpod.v1.OrganizationService/")?;
    if *request.method() != Method::POST {
        return None;
    }
    Some(match name {
        "GetSSOConfiguration" => |is_json, body| {
            let request: GetSSOConfigurationRequest = message(is_json, body)?;
            one(Configurations::Sso, &request.sso_configuration_id)
        },
        "ListSSOConfigurations" => |is_json, body| {
            let request: ListSSOConfigurationsRequest = message(is_json, body)?;
            page(Configurations::Sso, &request.pagination)
        },
        "GetSCIMConfiguration" => |is_json, body| {
            let request: GetSCIMConfigurationRequest = message(is_json, body)?;
            one(Configurations::Scim, &request.scim_configuration_id)
        },
        "ListSCIMConfigurations" => |is_json, body| {
            let request: ListSCIMConfigurationsRequest = message(is_json, body)?;
            page(Configurations::Scim, &request.pagination)
        },
        _ => return None,
    })
}

fn message<M: Message + DeserializeOwned>(is_json: bool, body: &[u8]) -> Option<M> {
    match is_json {
        true => serde_json::from_slice(body).ok(),
        false => M::decode_from_slice(body).ok(),
    }
}

fn one(kind: Configurations, id: &str) -> Option<Ahead> {
    Some(Ahead::one(kind, Uuid::try_parse(id).ok()?))
}

fn page(kind: Configurations, pagination: &PaginationRequest) -> Option<Ahead> {
    let size = page_size(pagination).filter(|_| pagination.token.is_empty())?;
    Some(Ahead::first_page(kind, size))
}
