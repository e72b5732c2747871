//! Many operations in one request (RFC 7644, section 3.7).
//!
//! Results are as if the operations were carried out one after the other. New resources get their
//! ids before the first operation, so that `bulkId` references may point forward and in circles;
//! users that are created next to each other are written in one statement.

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::error::{ScimError, ScimType};
use super::http::{self, Failure, endpoint_type};
use super::project::Projection;
use super::schema::ResourceType;
use super::users::{self, New};
use super::{Context, Precondition, Reply, Wishes, groups, resource};
use crate::path::{Malformed, segments};

/// The most operations of a request.
pub const MAX_OPERATIONS: usize = 1000;

/// The methods of operations.
const METHODS: [&str; 4] = ["POST", "PUT", "PATCH", "DELETE"];
const REQUEST_URN: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
const RESPONSE_URN: &str = "urn:ietf:params:scim:api:messages:2.0:BulkResponse";

/// What one operation asks for.
struct Operation {
    method: String,
    bulk_id: Option<String>,
    path: String,
    /// The decoded segments of the path.
    target: Result<Vec<String>, Malformed>,
    version: Precondition,
    data: Value,
    /// Of what a POST creates.
    new_id: Uuid,
}

/// Carries out a BulkRequest.
///
/// # Errors
///
/// 400 for a body that is none, 413 for too many operations. What is wrong with an operation stands
/// in the answer.
pub async fn run(context: &Context, body: Value) -> Result<Reply, Failure> {
    let (operations, fail_on_errors) = read(context, body)?;
    let mut ids: HashMap<String, Uuid> = operations
        .iter()
        .filter_map(|o| Some((o.bulk_id.clone().filter(|_| o.method == "POST")?, o.new_id)))
        .collect();
    let mut results = vec![];
    let mut errors = 0;
    let mut rest = operations.into_iter().peekable();
    while let Some(operation) = rest.next() {
        if fail_on_errors.is_some_and(|limit| errors >= limit) {
            break;
        }
        let mut batch = vec![operation];
        while batch[0].is_new_user() && fail_on_errors.is_none() {
            match rest.next_if(Operation::is_new_user) {
                Some(next) => batch.push(next),
                None => break,
            }
        }
        for (operation, result) in carry_out(context, batch, &mut ids).await {
            errors += i64::from(result.is_err());
            results.push(operation.result(context, &ids, result));
        }
    }
    Ok(Reply::ok(
        json!({ "schemas": [RESPONSE_URN], "Operations": results }),
    ))
}

fn read(context: &Context, body: Value) -> Result<(Vec<Operation>, Option<i64>), ScimError> {
    let syntax = |text: &str| ScimError::bad_request(ScimType::InvalidSyntax, text);
    let get = |name: &str| {
        let object = body.as_object()?;
        object
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    };
    let is_bulk = match get("schemas") {
        Some(Value::Array(urns)) => urns.iter().any(|urn| urn == REQUEST_URN),
        _ => false,
    };
    if !is_bulk {
        return Err(syntax(&format!(
            "the body must be an object whose \"schemas\" contain {REQUEST_URN:?}"
        )));
    }
    let Some(Value::Array(operations)) = get("Operations") else {
        return Err(syntax("\"Operations\" must be an array"));
    };
    if operations.len() > MAX_OPERATIONS {
        let text =
            format!("a request may have at most {MAX_OPERATIONS} operations: send less at a time");
        return Err(ScimError::new(413, text));
    }
    let fail_on_errors = get("failOnErrors")
        .and_then(Value::as_i64)
        .filter(|&limit| limit > 0);
    let operations = operations
        .iter()
        .map(|operation| Operation::new(context, operation));
    Ok((operations.collect::<Result<_, _>>()?, fail_on_errors))
}

impl Operation {
    fn new(context: &Context, operation: &Value) -> Result<Self, ScimError> {
        let get = |name: &str| {
            let object = operation.as_object()?;
            object
                .iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| value)
        };
        let text = |name: &str| get(name).and_then(Value::as_str).map(str::to_owned);
        let (Some(method), Some(path)) = (text("method"), text("path")) else {
            let text = "each of \"Operations\" must be an object with \"method\" and \"path\"";
            return Err(ScimError::bad_request(ScimType::InvalidSyntax, text));
        };
        Ok(Self {
            method: method.to_ascii_uppercase(),
            bulk_id: text("bulkId"),
            target: segments(&path),
            path,
            version: Precondition(text("version")),
            data: get("data").cloned().unwrap_or(Value::Null),
            new_id: context.app.new_id(),
        })
    }

    /// The operation as a request of its own, for the log of the configuration.
    fn context(&self, bulk: &Context) -> Context {
        Context {
            app: bulk.app.clone(),
            base: bulk.base.clone(),
            method: self.method.chars().take(10).collect(),
            path: format!("/{}", self.path.trim_matches('/')),
            ..*bulk
        }
    }

    fn is_new_user(&self) -> bool {
        let is_users = matches!(&self.target, Ok(target) if *target == ["Users"]);
        self.method == "POST" && self.bulk_id.is_some() && is_users
    }

    /// The resource that the operation is about, if its path is one's.
    fn resource(&self, ids: &HashMap<String, Uuid>) -> Option<(ResourceType, Uuid)> {
        match &**self.target.as_ref().ok()? {
            [endpoint, id] => Some((endpoint_type(endpoint)?, id_of(id, ids)?)),
            _ => None,
        }
    }

    fn result(
        &self,
        context: &Context,
        ids: &HashMap<String, Uuid>,
        result: Result<Reply, Failure>,
    ) -> Value {
        let mut shown = Map::new();
        if METHODS.contains(&&*self.method) {
            shown.insert("method".to_owned(), json!(self.method));
        }
        if let Some(bulk_id) = &self.bulk_id {
            shown.insert("bulkId".to_owned(), json!(bulk_id));
        }
        let status = match result {
            Ok(reply) => {
                if let Some(location) = reply.location {
                    shown.insert("location".to_owned(), json!(location));
                }
                if let Some(etag) = reply.etag {
                    shown.insert("version".to_owned(), json!(etag));
                }
                reply.status
            }
            Err(failure) => {
                if let Some((kind, id)) = self.resource(ids) {
                    let location = resource::location(&context.base, kind, id);
                    shown.insert("location".to_owned(), json!(location));
                }
                shown.insert("response".to_owned(), failure.error.to_json());
                failure.error.status
            }
        };
        shown.insert("status".to_owned(), json!(status.to_string()));
        Value::Object(shown)
    }
}

type Results = Vec<(Operation, Result<Reply, Failure>)>;

/// Carries out one operation, or several that create users.
async fn carry_out(
    context: &Context,
    mut operations: Vec<Operation>,
    ids: &mut HashMap<String, Uuid>,
) -> Results {
    let mut results = vec![];
    if operations.len() > 1 {
        let prepared: Result<Vec<New>, ScimError> = operations
            .iter()
            .map(|o| users::prepare(context, resolve(o.data.clone(), ids)?, o.new_id))
            .collect();
        if let Ok(mut new) = prepared
            && users::insert(context, &mut new).await.is_ok()
        {
            return operations
                .into_iter()
                .map(|o| (created(context, o.new_id, 1), o))
                .map(|(r, o)| (o, Ok(r)))
                .collect();
        }
        // One of them is at fault: one by one tells which.
    }
    for operation in operations.drain(..) {
        let context = operation.context(context);
        let result = carry_out_one(&context, &operation, ids).await;
        if let Err(failure) = &result {
            http::record(&context, failure).await;
        }
        results.push((operation, result));
    }
    results
}

fn created(context: &Context, user: Uuid, version: i64) -> Reply {
    Reply {
        status: 201,
        location: Some(resource::location(&context.base, ResourceType::User, user)),
        etag: Some(resource::etag(version)),
        body: None,
    }
}

async fn carry_out_one(
    context: &Context,
    operation: &Operation,
    ids: &mut HashMap<String, Uuid>,
) -> Result<Reply, Failure> {
    let bad = |text: &str| ScimError::bad_request(ScimType::InvalidSyntax, text);
    let target = operation.target.as_ref().map_err(|e| bad(&e.to_string()))?;
    let segments: Vec<&str> = target.iter().map(String::as_str).collect();
    let kind = segments
        .first()
        .and_then(|endpoint| endpoint_type(endpoint));
    let kind = kind.ok_or_else(|| bad("path must start with /Users or /Groups"))?;
    let wishes = Wishes {
        // The answer has no bodies: nothing is read for them.
        projection: Projection::from_query(kind, Some("id"), None),
        if_match: operation.version.clone(),
        if_none_match: Precondition(None),
    };
    let data = |ids: &HashMap<String, Uuid>| resolve(operation.data.clone(), ids);
    match (&*operation.method, &*segments) {
        ("POST", [_]) => {
            let bulk_id = operation.bulk_id.clone().ok_or_else(|| bad("a POST must have a bulkId"))?;
            match kind {
                ResourceType::User => {
                    let new = users::prepare(context, data(ids)?, operation.new_id)?;
                    let source = resource::source(kind, &wishes.projection);
                    let stored = users::create_one(context, new, source).await?;
                    // Somebody who came back has the id of before.
                    ids.insert(bulk_id, stored.id);
                    Ok(created(context, stored.id, stored.version))
                }
                ResourceType::Group => groups::create_as(context, data(ids)?, &wishes, operation.new_id).await,
            }
        }
        (method @ ("PUT" | "PATCH" | "DELETE"), [_, id]) => {
            let id = match id.strip_prefix("bulkId:") {
                Some(bulk_id) => reference(bulk_id, ids)?,
                None => id_of(id, ids).ok_or_else(|| http::no_such(kind))?,
            };
            match method {
                "PUT" => http::replace(context, kind, id, None, data(ids)?, &wishes).await,
                "PATCH" => http::modify(context, kind, id, None, data(ids)?, &wishes).await,
                _ => http::delete(context, kind, id, &wishes.if_match).await,
            }
        }
        _ => Err(bad("method must be POST with the path of an endpoint, or PUT, PATCH or DELETE with that of a resource").into()),
    }
}

/// The id in a path: one that was issued, or a reference.
fn id_of(text: &str, ids: &HashMap<String, Uuid>) -> Option<Uuid> {
    match text.strip_prefix("bulkId:") {
        Some(bulk_id) => ids.get(bulk_id).copied(),
        None => Uuid::try_parse(text).ok(),
    }
}

fn reference(bulk_id: &str, ids: &HashMap<String, Uuid>) -> Result<Uuid, ScimError> {
    ids.get(bulk_id).copied().ok_or_else(|| {
        let text = "bulkId: must be followed by the bulkId of a POST of this request";
        ScimError::bad_request(ScimType::InvalidValue, text)
    })
}

/// Puts ids in the place of references.
fn resolve(value: Value, ids: &HashMap<String, Uuid>) -> Result<Value, ScimError> {
    Ok(match value {
        Value::String(text) => match text.strip_prefix("bulkId:") {
            Some(bulk_id) => json!(reference(bulk_id, ids)?),
            None => Value::String(text),
        },
        Value::Array(values) => values
            .into_iter()
            .map(|value| resolve(value, ids))
            .collect::<Result<_, _>>()?,
        Value::Object(object) => {
            let pairs = object
                .into_iter()
                .map(|(key, value)| Ok((key, resolve(value, ids)?)));
            Value::Object(pairs.collect::<Result<_, ScimError>>()?)
        }
        other => other,
    })
}
