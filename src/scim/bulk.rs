//! Many operations in one request (RFC 7644, section 3.7).
//!
//! Results are as if the operations were carried out one after the other, but that one which refers
//! to what another creates waits for that one, and fails if it failed: see `order`. New resources
//! get their ids before the first operation, so that references may go in circles. What refers to
//! each other in a circle is created together or not at all. Users that are created next to each
//! other are written in one statement.

mod order;

use std::collections::{HashMap, HashSet};
use std::str::FromStr;

use scim::error::{ScimError, ScimType};
use scim::project::Projection;
use scim::schema::{ResourceType, endpoint_type};
use serde_json::{Map, Value, json};

use self::order::Order;
use super::answers::{Failure, no_such, record};
use super::users::{self, New};
use super::{Context, Precondition, Reply, Wishes, groups, resource, writes};
use crate::domain::ids::ResourceId;
use crate::http::path::{Malformed, segments};
use crate::store::scim_resources::Prefetched::NotAsked;

/// The most operations of a request.
pub const MAX_OPERATIONS: usize = 1000;

/// The methods of operations.
const METHODS: [&str; 4] = ["POST", "PUT", "PATCH", "DELETE"];
const REQUEST_URN: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
const RESPONSE_URN: &str = "urn:ietf:params:scim:api:messages:2.0:BulkResponse";
/// What stands before a bulkId where an id would be.
const PREFIX: &str = "bulkId:";

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
    new_id: ResourceId,
}

/// Carries out a BulkRequest. The results stand in the order of the operations.
///
/// # Errors
///
/// 400 for a body that is none, 413 for too many operations. What is wrong with an operation stands
/// in the answer.
pub async fn run(context: &Context, body: Value) -> Result<Reply, Failure> {
    let (operations, fail_on_errors) = read(context, body)?;
    let mut job = Job::new(context, operations);
    let mut errors = 0;
    while fail_on_errors.is_none_or(|limit| errors < limit) {
        let places = job.next(fail_on_errors.is_none());
        if places.is_empty() {
            break;
        }
        for (place, result) in job.carry_out(places).await {
            errors += i64::from(result.is_err());
            job.conclude(place, result);
        }
    }
    let results: Vec<Value> = job.results.into_iter().flatten().collect();
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
        self.bulk_id.is_some() && self.new_kind() == Some(ResourceType::User)
    }

    /// The type of what the operation creates, if it creates anything.
    fn new_kind(&self) -> Option<ResourceType> {
        match &**self.target.as_ref().ok()? {
            [endpoint] if self.method == "POST" => endpoint_type(endpoint),
            _ => None,
        }
    }

    /// The bulkIds that the operation refers to, in its path and its data.
    fn references(&self) -> HashSet<&str> {
        let mut found = HashSet::new();
        let segments = self.target.iter().flatten();
        found.extend(segments.filter_map(|segment| segment.strip_prefix(PREFIX)));
        collect_references(&self.data, &mut found);
        found
    }

    /// The resource that the operation is about, if its path is one's.
    fn resource(&self, ids: &HashMap<String, ResourceId>) -> Option<(ResourceType, ResourceId)> {
        match &**self.target.as_ref().ok()? {
            [endpoint, id] => Some((endpoint_type(endpoint)?, id_of(id, ids)?)),
            _ => None,
        }
    }

    fn result(
        &self,
        context: &Context,
        ids: &HashMap<String, ResourceId>,
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

type Results = Vec<(usize, Result<Reply, Failure>)>;

/// A request that is carried out.
struct Job<'a> {
    context: &'a Context,
    operations: Vec<Operation>,
    /// For each operation, the POSTs that it refers to.
    references: Vec<HashSet<usize>>,
    order: Order,
    /// The ids of what POSTs create, by bulkId.
    ids: HashMap<String, ResourceId>,
    /// The POSTs that failed.
    failed: HashSet<usize>,
    results: Vec<Option<Value>>,
}

impl<'a> Job<'a> {
    fn new(context: &'a Context, operations: Vec<Operation>) -> Self {
        let posts: HashMap<&str, usize> = operations
            .iter()
            .enumerate()
            .filter(|(_, operation)| operation.method == "POST")
            .filter_map(|(place, operation)| Some((operation.bulk_id.as_deref()?, place)))
            .collect();
        let references: Vec<HashSet<usize>> = operations
            .iter()
            .map(|operation| {
                let ids = operation.references().into_iter();
                ids.filter_map(|id| posts.get(id).copied()).collect()
            })
            .collect();
        let ids = posts
            .iter()
            .filter_map(|(id, place)| Some(((*id).to_owned(), operations.get(*place)?.new_id)))
            .collect();
        // What refers to itself waits for nobody.
        let needs = references.iter().enumerate().map(|(place, references)| {
            let others = references.iter().copied();
            others.filter(|&other| other != place).collect()
        });
        Self {
            context,
            order: Order::new(needs.collect()),
            references,
            ids,
            failed: HashSet::new(),
            results: vec![None; operations.len()],
            operations,
        }
    }

    /// The operations to carry out next: one, several users that may be created in one statement, or
    /// a circle.
    fn next(&self, may_batch: bool) -> Vec<usize> {
        let mut places = self.order.next();
        let is_new_user = |place: usize| {
            let operation = self.operations.get(place);
            operation.is_some_and(Operation::is_new_user) && !self.refers_to_failure(place)
        };
        if let (&[first], true) = (&*places, may_batch)
            && is_new_user(first)
        {
            for place in first + 1..self.operations.len() {
                let is_open = self.results.get(place).is_some_and(Option::is_none);
                if !is_open || !is_new_user(place) || !self.order.waits_for_none_but(place, &places)
                {
                    break;
                }
                places.push(place);
            }
        }
        places
    }

    fn refers_to_failure(&self, place: usize) -> bool {
        let references = self.references.get(place).into_iter().flatten();
        references
            .into_iter()
            .any(|other| self.failed.contains(other))
    }

    /// Whether these are in a circle, and not merely next to each other.
    fn is_circle(&self, places: &[usize]) -> bool {
        places
            .first()
            .is_some_and(|&first| !self.order.waits_for_none_but(first, &[]))
    }

    async fn carry_out(&mut self, places: Vec<usize>) -> Results {
        if self.is_circle(&places) {
            return self.carry_out_circle(places).await;
        }
        if places.len() > 1
            && let Ok(new) = self.prepare(&places)
            && let Some(created) = self.insert(&places, new).await
        {
            return created;
        }
        // One of several is at fault: one by one tells which.
        let mut results = vec![];
        for place in places {
            let result = self.carry_out_one(place).await;
            if result.is_err() {
                self.failed.insert(place);
            }
            results.push((place, result));
        }
        results
    }

    /// The users that these operations create.
    ///
    /// # Errors
    ///
    /// Which operation cannot be carried out, and why.
    fn prepare(&self, places: &[usize]) -> Result<Vec<New>, (usize, ScimError)> {
        let prepare = |&place: &usize| {
            let operation = &self.operations[place];
            resolve(operation.data.clone(), &self.ids)
                .and_then(|data| users::prepare(self.context, data, operation.new_id))
                .map_err(|error| (place, error))
        };
        places.iter().map(prepare).collect()
    }

    /// Creates users in one statement. `None` if that cannot be.
    async fn insert(&self, places: &[usize], mut new: Vec<New>) -> Option<Results> {
        if new.iter().any(|new| !new.references.is_empty()) {
            return None;
        }
        users::insert(self.context, &mut new).await.ok()?;
        Some(self.created(places, ResourceType::User))
    }

    fn created(&self, places: &[usize], kind: ResourceType) -> Results {
        let result = |&place: &usize| {
            let id = self.operations[place].new_id;
            (place, Ok(created(self.context, kind, id, 1)))
        };
        places.iter().map(result).collect()
    }

    async fn carry_out_one(&mut self, place: usize) -> Result<Reply, Failure> {
        let operation = &self.operations[place];
        let context = operation.context(self.context);
        let result = match self.refers_to_failure(place) {
            true => Err(refers_to_failure().into()),
            false => carry_out_one(&context, operation, &mut self.ids).await,
        };
        if let Err(failure) = &result {
            record(&context, failure).await;
        }
        result
    }

    /// Creates what refers to each other, all or none.
    async fn carry_out_circle(&mut self, places: Vec<usize>) -> Results {
        let (culprit, error) = match self.create_circle(&places).await {
            Ok(kind) => return self.created(&places, kind),
            Err(fault) => fault,
        };
        let mut results = vec![];
        for place in places {
            let error = match culprit {
                Some(culprit) if culprit != place => refers_to_failure(),
                _ => error.clone(),
            };
            let failure = Failure::from(error);
            record(&self.operations[place].context(self.context), &failure).await;
            self.failed.insert(place);
            results.push((place, Err(failure)));
        }
        results
    }

    /// Creates users that refer to each other in one statement, and groups in one transaction.
    ///
    /// # Errors
    ///
    /// Which operation is at fault, if one is, and why.
    async fn create_circle(
        &self,
        places: &[usize],
    ) -> Result<ResourceType, (Option<usize>, ScimError)> {
        if places.iter().any(|&place| self.refers_to_failure(place)) {
            return Err((None, refers_to_failure()));
        }
        let mut kinds = vec![];
        for &place in places {
            let kind = self.operations[place].new_kind();
            kinds.push(kind.ok_or_else(|| (Some(place), not_an_endpoint()))?);
        }
        match kinds.first() {
            Some(&kind) if kinds.iter().all(|other| *other == kind) => {
                match kind {
                    ResourceType::User => self.create_users(places).await,
                    ResourceType::Group => self.create_groups(places).await,
                }?;
                Ok(kind)
            }
            _ => {
                let text = "users and groups refer to each other in a circle: create them first, and let one refer to the other afterwards";
                Err((None, ScimError::new(409, text)))
            }
        }
    }

    async fn create_users(&self, places: &[usize]) -> Result<(), (Option<usize>, ScimError)> {
        let of_one = |(place, error)| (Some(place), error);
        let of_all = |failure: Failure| {
            let error = failure.error;
            let detail = format!(
                "one of the users that refer to each other: {}",
                error.detail
            );
            (None, ScimError { detail, ..error })
        };
        let mut new = self.prepare(places).map_err(of_one)?;
        let references: Vec<_> = new.iter().flat_map(|new| new.references.clone()).collect();
        let checked = resource::check_references(self.context, &references).await;
        checked.map_err(of_all)?;
        let inserted = users::insert(self.context, &mut new).await;
        inserted.map_err(|error| of_all(error.into()))
    }

    async fn create_groups(&self, places: &[usize]) -> Result<(), (Option<usize>, ScimError)> {
        let mut groups = vec![];
        for &place in places {
            let operation = &self.operations[place];
            let data = resolve(operation.data.clone(), &self.ids);
            groups.push((operation.new_id, data.map_err(|e| (Some(place), e))?));
        }
        let wishes = wishes(ResourceType::Group, Precondition(None));
        let created = groups::create_all(self.context, groups, &wishes).await;
        created
            .map(|_| ())
            .map_err(|(index, failure)| (places.get(index).copied(), failure.error))
    }

    /// Keeps the result of an operation, and lets those go on that waited for it.
    fn conclude(&mut self, place: usize, result: Result<Reply, Failure>) {
        let operation = &self.operations[place];
        if let (Err(_), Some(bulk_id)) = (&result, &operation.bulk_id)
            && self.ids.get(bulk_id) == Some(&operation.new_id)
        {
            self.ids.remove(bulk_id);
        }
        self.results[place] = Some(operation.result(self.context, &self.ids, result));
        self.order.done(place);
    }
}

/// What is asked of a resource by an operation. The answer has no bodies: nothing is read for them.
fn wishes(kind: ResourceType, if_match: Precondition) -> Wishes {
    Wishes {
        projection: Projection::from_query(kind, Some("id"), None),
        if_match,
        if_none_match: Precondition(None),
    }
}

fn not_an_endpoint() -> ScimError {
    let text = "path must start with /Users or /Groups";
    ScimError::bad_request(ScimType::InvalidSyntax, text)
}

fn refers_to_failure() -> ScimError {
    let text = "the operation refers to the bulkId of a POST that failed: correct that one";
    ScimError::new(409, text)
}

fn created(context: &Context, kind: ResourceType, id: ResourceId, version: i64) -> Reply {
    Reply {
        status: 201,
        location: Some(resource::location(&context.base, kind, id)),
        etag: Some(resource::etag(version)),
        body: None,
    }
}

async fn carry_out_one(
    context: &Context,
    operation: &Operation,
    ids: &mut HashMap<String, ResourceId>,
) -> Result<Reply, Failure> {
    let bad = |text: &str| ScimError::bad_request(ScimType::InvalidSyntax, text);
    let target = operation.target.as_ref().map_err(|e| bad(&e.to_string()))?;
    let segments: Vec<&str> = target.iter().map(String::as_str).collect();
    let kind = segments
        .first()
        .and_then(|endpoint| endpoint_type(endpoint));
    let kind = kind.ok_or_else(not_an_endpoint)?;
    let wishes = wishes(kind, operation.version.clone());
    let data = |ids: &HashMap<String, ResourceId>| resolve(operation.data.clone(), ids);
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
                    Ok(created(context, kind, stored.id, stored.version))
                }
                ResourceType::Group => groups::create_as(context, data(ids)?, &wishes, operation.new_id).await,
            }
        }
        (method @ ("PUT" | "PATCH" | "DELETE"), [_, id]) => {
            let id = match id.strip_prefix(PREFIX) {
                Some(bulk_id) => reference(bulk_id, ids)?,
                None => id_of(id, ids).ok_or_else(|| no_such(kind))?,
            };
            match method {
                "PUT" => {
                    writes::replace(context, kind, id, NotAsked, data(ids)?, &wishes).await
                }
                "PATCH" => {
                    writes::modify(context, kind, id, NotAsked, data(ids)?, &wishes).await
                }
                _ => writes::delete(context, kind, id, &wishes.if_match).await,
            }
        }
        _ => Err(bad("method must be POST with the path of an endpoint, or PUT, PATCH or DELETE with that of a resource").into()),
    }
}

/// The id in a path: one that was issued, or a reference.
fn id_of(text: &str, ids: &HashMap<String, ResourceId>) -> Option<ResourceId> {
    match text.strip_prefix(PREFIX) {
        Some(bulk_id) => ids.get(bulk_id).copied(),
        None => ResourceId::from_str(text).ok(),
    }
}

fn reference(bulk_id: &str, ids: &HashMap<String, ResourceId>) -> Result<ResourceId, ScimError> {
    ids.get(bulk_id).copied().ok_or_else(|| {
        let text = "bulkId: must be followed by the bulkId of a POST of this request";
        ScimError::bad_request(ScimType::InvalidValue, text)
    })
}

/// Finds the bulkIds that a value refers to.
fn collect_references<'a>(value: &'a Value, found: &mut HashSet<&'a str>) {
    match value {
        Value::String(text) => found.extend(text.strip_prefix(PREFIX)),
        Value::Array(values) => values.iter().for_each(|v| collect_references(v, found)),
        Value::Object(object) => {
            for (key, value) in object {
                if let (true, Some(path)) = (is_path(key), value.as_str()) {
                    found.extend(quoted_references(path));
                }
                collect_references(value, found);
            }
        }
        _ => {}
    }
}

/// Puts ids in the place of references.
fn resolve(value: Value, ids: &HashMap<String, ResourceId>) -> Result<Value, ScimError> {
    Ok(match value {
        Value::String(text) => match text.strip_prefix(PREFIX) {
            Some(bulk_id) => json!(reference(bulk_id, ids)?),
            None => Value::String(text),
        },
        Value::Array(values) => values
            .into_iter()
            .map(|value| resolve(value, ids))
            .collect::<Result<_, _>>()?,
        Value::Object(object) => {
            let pairs = object.into_iter().map(|(key, value)| {
                let value = match value {
                    Value::String(path) if is_path(&key) => resolve_path(path, ids)?,
                    value => resolve(value, ids)?,
                };
                Ok((key, value))
            });
            Value::Object(pairs.collect::<Result<_, ScimError>>()?)
        }
        other => other,
    })
}

/// Whether a member is the path of a PATCH operation, which may have references in its filter.
fn is_path(key: &str) -> bool {
    key.eq_ignore_ascii_case("path")
}

/// The bulkIds in the filter of a path: `members[value eq "bulkId:ada"]`.
fn quoted_references(path: &str) -> impl Iterator<Item = &str> {
    let quoted = path.split("\"bulkId:").skip(1);
    quoted.filter_map(|rest| Some(rest.split_once('"')?.0))
}

fn resolve_path(path: String, ids: &HashMap<String, ResourceId>) -> Result<Value, ScimError> {
    let mut resolved = path.clone();
    for bulk_id in quoted_references(&path) {
        let id = reference(bulk_id, ids)?;
        resolved = resolved.replace(&format!("\"{PREFIX}{bulk_id}\""), &format!("\"{id}\""));
    }
    Ok(Value::String(resolved))
}
