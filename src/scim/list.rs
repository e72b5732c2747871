//! Reading: one resource, and lists with filters, sort orders and pages (RFC 7644, sections 3.4.1 to
//! 3.4.3; RFC 9865).
//!
//! A page with an index costs a count of all that match, and resources that are deleted before it move
//! it. A page with a cursor does neither: it starts where the page before it ended.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use scim::error::{ScimError, ScimType};
use scim::filter;
use scim::project::Projection;
use scim::schema::ResourceType;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::answers::{Failure, no_such};
use super::request::{Query, projection};
use super::{Context, Reply, Wishes, resource};
use crate::domain::ids::ResourceId;
use crate::error::Error;
use crate::store::scim_resources::{self, List, Lookup, Order, Place, Prefetched, Stored, Table};
use crate::store::scim_search;
use crate::store::sql::Fragment;
use crate::store::{Connection, Later};

/// The schema of lists.
pub const LIST_URN: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
const SEARCH_URN: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";
/// The most resources of a page.
pub const MAX_COUNT: i64 = 1000;
/// The resources of a page that asked for no number.
pub const DEFAULT_COUNT: i64 = 100;
/// How long a cursor is good for.
pub const CURSOR_LIFETIME: TimeDelta = TimeDelta::hours(1);

/// Answers with one resource.
///
/// # Errors
///
/// 404.
pub async fn one(
    context: &Context,
    kind: ResourceType,
    id: ResourceId,
    prefetched: Prefetched,
    wishes: &Wishes,
) -> Result<Reply, Failure> {
    let mut db = Later::new(&context.app.store);
    let stored = match prefetched {
        Prefetched::Found(_) => prefetched.one(),
        Prefetched::NotAsked => {
            let source = resource::source(kind, &wishes.projection);
            scim_resources::get(db.get().await?, context.tenant, source, id).await?
        }
    };
    let stored = stored.ok_or_else(|| no_such(kind))?;
    let version = stored.version;
    let location = resource::location(&context.base, kind, id);
    if wishes.if_none_match.0.is_some() && wishes.if_none_match.allows(version) {
        return Ok(Reply {
            status: 304,
            location: Some(location),
            etag: Some(resource::etag(version)),
            body: None,
        });
    }
    let shown = resource::show(&mut db, context, kind, vec![stored], &wishes.projection).await?;
    drop(db);
    Ok(Reply::resource(
        200,
        version,
        location,
        shown.into_iter().next().unwrap_or_default(),
    ))
}

/// What a list request asks for, in a query or in a body.
#[derive(Debug, Default)]
struct Request {
    filter: Option<String>,
    sort_by: Option<String>,
    descending: bool,
    start_index: Option<i64>,
    count: Option<i64>,
    /// Present and empty: the first page.
    cursor: Option<String>,
}

/// Lists resources.
///
/// # Errors
///
/// What is wrong with a parameter.
pub async fn get(
    context: &Context,
    kinds: &[ResourceType],
    query: &Query,
    prefetched: Prefetched,
) -> Result<Reply, Failure> {
    let request = Request::of(query)?;
    list(
        context,
        kinds,
        &request,
        |kind| projection(kind, query),
        prefetched,
    )
    .await
}

/// How to read what a request lists before it is known whose it is. Most requests of identity
/// providers look for one resource.
pub fn lookup(kind: ResourceType, query: &Query) -> Option<Lookup> {
    let request = Request::of(query).ok()?;
    let is_first_page = request.start_index.unwrap_or(1) <= 1;
    if request.cursor.is_some() || request.sort_by.is_some() || !is_first_page {
        return None;
    }
    let filter = filter::compile(request.filter.as_deref()?, kind).ok()?;
    Some(Lookup {
        source: resource::source(kind, &projection(kind, query)),
        condition: scim_search::lookup_condition(&filter)?,
        limit: request.page_size(),
    })
}

impl Request {
    fn of(query: &Query) -> Result<Self, ScimError> {
        let number = |name| {
            query
                .get(name)
                .filter(|text| !text.is_empty())
                .map(|text| integer(name, text))
                .transpose()
        };
        Ok(Self {
            filter: query
                .get("filter")
                .map(str::to_owned)
                .filter(|text| !text.is_empty()),
            sort_by: query
                .get("sortby")
                .map(str::to_owned)
                .filter(|text| !text.is_empty()),
            descending: is_descending(query.get("sortorder"))?,
            start_index: number("startindex")?,
            count: number("count")?,
            cursor: query.get("cursor").map(str::to_owned),
        })
    }

    /// The most resources of a page without a cursor.
    fn page_size(&self) -> i64 {
        self.count.unwrap_or(DEFAULT_COUNT).clamp(0, MAX_COUNT)
    }
}

/// Lists resources as a SearchRequest asks (RFC 7644, section 3.4.3).
///
/// # Errors
///
/// What is wrong with the body.
pub async fn search(
    context: &Context,
    kinds: &[ResourceType],
    body: &Value,
) -> Result<Reply, Failure> {
    let Value::Object(body) = body else {
        return Err(ScimError::bad_request(
            ScimType::InvalidSyntax,
            "the body must be a SearchRequest",
        )
        .into());
    };
    let get = |name: &str| {
        body.iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    };
    let is_search = match get("schemas") {
        None => true,
        Some(Value::Array(urns)) => urns.is_empty() || urns.iter().any(|urn| urn == SEARCH_URN),
        Some(_) => false,
    };
    if !is_search {
        let text = format!("\"schemas\" must contain {SEARCH_URN:?}");
        return Err(ScimError::bad_request(ScimType::InvalidSyntax, text).into());
    }
    let text = |name: &str, scim_type| match get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => {
            let text = format!("{name} must be a string");
            Err(ScimError::bad_request(scim_type, text))
        }
    };
    let number = |name: &str| match get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => integer(name, text).map(Some),
        Some(value) => value.as_i64().map(Some).ok_or_else(|| not_integer(name)),
    };
    let request = Request {
        filter: text("filter", ScimType::InvalidFilter)?.filter(|text| !text.is_empty()),
        sort_by: text("sortBy", ScimType::InvalidValue)?.filter(|text| !text.is_empty()),
        descending: is_descending(text("sortOrder", ScimType::InvalidValue)?.as_deref())?,
        start_index: number("startIndex")?,
        count: number("count")?,
        cursor: text("cursor", ScimType::InvalidCursor)?,
    };
    let names = |name: &str| match get(name) {
        Some(value) if !is_list_of_names(value) => {
            let text = format!("{name} must be an array of strings");
            Err(ScimError::bad_request(ScimType::InvalidValue, text))
        }
        value => Ok(value),
    };
    let (attributes, excluded) = (names("attributes")?, names("excludedAttributes")?);
    let projection = |kind| Projection::from_json(kind, attributes, excluded);
    list(context, kinds, &request, projection, Prefetched::NotAsked).await
}

/// Whether a member of a SearchRequest can name attributes, or none.
fn is_list_of_names(value: &Value) -> bool {
    match value {
        Value::Null | Value::String(_) => true,
        Value::Array(values) => values.iter().all(Value::is_string),
        _ => false,
    }
}

fn integer(name: &str, text: &str) -> Result<i64, ScimError> {
    text.trim().parse().map_err(|_| not_integer(name))
}

fn not_integer(name: &str) -> ScimError {
    ScimError::bad_request(ScimType::InvalidValue, format!("{name} must be an integer"))
}

fn is_descending(order: Option<&str>) -> Result<bool, ScimError> {
    match order.map(str::to_ascii_lowercase).as_deref() {
        None | Some("" | "ascending") => Ok(false),
        Some("descending") => Ok(true),
        Some(_) => {
            let text = "sortOrder must be ascending or descending";
            Err(ScimError::bad_request(ScimType::InvalidValue, text))
        }
    }
}

/// A list of one type, ready to be asked for.
struct Part {
    kind: ResourceType,
    condition: Option<Fragment>,
    order: Option<Order>,
    /// What it asks of an address, if it asks for nothing else.
    address: Option<Fragment>,
    /// Whether all resources of the type are read for it.
    is_wide: bool,
    /// Whether all that match are found before the first is read.
    is_at_once: bool,
}

impl Part {
    fn list(&self, context: &Context, projection: &Projection) -> List<'_> {
        List {
            tenant: context.tenant,
            source: resource::source(self.kind, projection),
            filter: self.condition.as_ref(),
            order: self.order.as_ref(),
            is_wide: self.is_wide,
        }
    }

    async fn count(&self, db: &mut Connection, context: &Context) -> Result<i64, Error> {
        if let Some(address) = &self.address {
            return scim_resources::count_by_address(db, context.tenant, address).await;
        }
        let table = resource::table(self.kind);
        scim_resources::count(db, context.tenant, table, self.condition.as_ref()).await
    }
}

/// The types that the filter and the order mean something for.
fn parts(
    context: &Context,
    kinds: &[ResourceType],
    request: &Request,
) -> Result<Vec<Part>, ScimError> {
    let part = |kind: ResourceType| -> Result<Part, ScimError> {
        let filter = request
            .filter
            .as_deref()
            .map(|text| filter::compile(text, kind))
            .transpose()?;
        let order = request
            .sort_by
            .as_deref()
            .map(|name| order(kind, name, request.descending))
            .transpose()?;
        let (order, is_sorted) = order.unzip();
        let is_wide = match &filter {
            Some(filter) => !scim_search::has_index(kind, filter),
            None => is_sorted == Some(false),
        };
        let condition = |filter| scim_search::condition(&context.base, kind, filter);
        Ok(Part {
            kind,
            condition: filter.as_ref().map(condition),
            address: filter.as_ref().and_then(scim_search::address_condition),
            order,
            is_wide,
            is_at_once: is_wide || filter.as_ref().is_some_and(scim_search::is_of_time),
        })
    };
    let all: Vec<Result<Part, ScimError>> = kinds.iter().map(|&kind| part(kind)).collect();
    if all.iter().any(Result::is_ok) {
        return Ok(all.into_iter().flatten().collect());
    }
    all.into_iter().collect()
}

/// The order by an attribute, and whether an index has it.
fn order(kind: ResourceType, name: &str, descending: bool) -> Result<(Order, bool), ScimError> {
    let path = kind.attribute(name);
    let key = path
        .as_ref()
        .and_then(|path| scim_search::sort_key(path, kind));
    let is_sorted = path
        .as_ref()
        .is_some_and(|path| scim_search::is_sorted_by_index(path, kind));
    let key = key.ok_or_else(|| {
        let text = match path {
            Some(path) => format!("{} cannot be sorted by {path}", kind.name()),
            None => format!(
                "sortBy must name an attribute of {}: see /Schemas",
                kind.name()
            ),
        };
        ScimError::bad_request(ScimType::InvalidValue, text)
    })?;
    Ok((Order { key, descending }, is_sorted))
}

async fn list(
    context: &Context,
    kinds: &[ResourceType],
    request: &Request,
    projection: impl Fn(ResourceType) -> Projection,
    prefetched: Prefetched,
) -> Result<Reply, Failure> {
    let parts = parts(context, kinds, request)?;
    let is_wide = parts.iter().any(|part| part.is_wide);
    let mut db = match is_wide {
        true => Later::wide(&context.app.store),
        false => Later::new(&context.app.store),
    };
    let body = match &request.cursor {
        Some(cursor) => by_cursor(context, &mut db, &parts, request, cursor, &projection).await,
        None => by_index(context, &mut db, &parts, request, &projection, prefetched)
            .await
            .map_err(Failure::from),
    };
    db.finish().await?;
    Ok(Reply::ok(body?))
}

async fn by_index(
    context: &Context,
    db: &mut Later<'_>,
    parts: &[Part],
    request: &Request,
    projection: &impl Fn(ResourceType) -> Projection,
    mut prefetched: Prefetched,
) -> Result<Value, Error> {
    let start = request.start_index.unwrap_or(1).max(1);
    let mut left = request.page_size();
    let (mut total, mut skip, mut shown) = (0, start - 1, vec![]);
    for part in parts {
        let projection = projection(part.kind);
        // What was looked up is of the first type.
        let (count, stored) = match std::mem::take(&mut prefetched) {
            Prefetched::Found(found) => whole(context, db, part, found, left).await?,
            Prefetched::NotAsked => page(context, db, part, &projection, skip, left).await?,
        };
        total += count;
        left -= length(&stored);
        shown.extend(resource::show(db, context, part.kind, stored, &projection).await?);
        skip = (skip - count).max(0);
    }
    Ok(json!({
        "schemas": [LIST_URN],
        "totalResults": total,
        "startIndex": start,
        "itemsPerPage": shown.len(),
        "Resources": shown,
    }))
}

fn length(stored: &[Stored]) -> i64 {
    i64::try_from(stored.len()).unwrap_or(i64::MAX)
}

/// The first page of a list, which was looked up, and how many there are in all.
async fn whole(
    context: &Context,
    db: &mut Later<'_>,
    part: &Part,
    found: Vec<Stored>,
    limit: i64,
) -> Result<(i64, Vec<Stored>), Error> {
    // A page that is not full ends the list: it tells what a count would.
    let count = match length(&found) {
        length if length < limit => length,
        _ => part.count(db.get().await?, context).await?,
    };
    Ok((count, found))
}

/// Up to `limit` resources of a list after the first `skip`, and how many there are in all.
async fn page(
    context: &Context,
    db: &mut Later<'_>,
    part: &Part,
    projection: &Projection,
    skip: i64,
    limit: i64,
) -> Result<(i64, Vec<Stored>), Error> {
    let list = part.list(context, projection);
    let db = db.get().await?;
    if limit == 0 {
        return Ok((part.count(db, context).await?, vec![]));
    }
    let is_all = list.filter.is_none() && list.order.is_none();
    if is_all && list.source.table == Table::Users {
        return scim_resources::all_users(db, context.tenant, list.source, skip, limit).await;
    }
    if part.is_at_once {
        return scim_resources::search_all(db, list, skip, limit).await;
    }
    let stored = scim_resources::list_by_index(db, list, skip, limit).await?;
    let length = length(&stored);
    let ends_here = length < limit && (length > 0 || skip == 0);
    let count = match ends_here {
        true => skip + length,
        false => part.count(db, context).await?,
    };
    Ok((count, stored))
}

/// Where a cursor stands: sealed, for this query of this configuration alone.
#[derive(Deserialize, Serialize)]
struct Position {
    /// Which of the types.
    part: usize,
    /// The last resource: what it is sorted by, and its id.
    after: Option<Place>,
    count: i64,
    /// Seconds since the epoch.
    expires: i64,
}

async fn by_cursor(
    context: &Context,
    db: &mut Later<'_>,
    parts: &[Part],
    request: &Request,
    cursor: &str,
    projection: &impl Fn(ResourceType) -> Projection,
) -> Result<Value, Failure> {
    let invalid_count = |text: String| ScimError::bad_request(ScimType::InvalidCount, text);
    let count = request.count.unwrap_or(DEFAULT_COUNT);
    if !(0..=MAX_COUNT).contains(&count) {
        return Err(invalid_count(format!(
            "with a cursor, count must be from 0 to {MAX_COUNT}"
        ))
        .into());
    }
    let query = query_context(context, parts, request);
    let mut position = match cursor {
        "" => Position {
            part: 0,
            after: None,
            count,
            expires: 0,
        },
        cursor => open(context, &query, cursor)?,
    };
    if position.count != count {
        return Err(invalid_count(format!(
            "with this cursor, count must be {} as at the start",
            position.count
        ))
        .into());
    }

    let mut body = Map::new();
    if cursor.is_empty() {
        let mut total = 0;
        for part in parts {
            total += part.count(db.get().await?, context).await?;
        }
        body.insert("totalResults".to_owned(), json!(total));
    }
    let (mut shown, mut has_more) = (vec![], false);
    while let Some(part) = parts.get(position.part) {
        // One more than the page holds tells whether there is another page.
        let room = count - i64::try_from(shown.len()).unwrap_or(count);
        let before = position.after.take();
        let projection = projection(part.kind);
        let list = part.list(context, &projection);
        let order = part.order.clone().unwrap_or_else(Order::by_id);
        let db_now = db.get().await?;
        let mut stored =
            scim_resources::list_after(db_now, list, &order, before.as_ref(), room + 1).await?;
        has_more = length(&stored) > room;
        if has_more {
            stored.pop();
        }
        position.after = stored.last().map(key).or(before.filter(|_| has_more));
        shown.extend(resource::show(db, context, part.kind, stored, &projection).await?);
        if has_more {
            break;
        }
        position = Position {
            part: position.part + 1,
            after: None,
            ..position
        };
    }
    body.insert("schemas".to_owned(), json!([LIST_URN]));
    body.insert("itemsPerPage".to_owned(), json!(shown.len()));
    body.insert("Resources".to_owned(), json!(shown));
    if has_more && count > 0 {
        position.expires = (context.now + CURSOR_LIFETIME).timestamp();
        body.insert(
            "nextCursor".to_owned(),
            json!(seal(context, &query, &position)?),
        );
    }
    Ok(Value::Object(body))
}

fn key(stored: &Stored) -> Place {
    (stored.sort_key.clone(), stored.id)
}

/// What a cursor is bound to.
fn query_context(context: &Context, parts: &[Part], request: &Request) -> Vec<u8> {
    let kinds: Vec<&str> = parts.iter().map(|part| part.kind.name()).collect();
    let query = json!([kinds, request.filter, request.sort_by, request.descending]);
    [
        b"cursor\0".as_slice(),
        context.tenant.organization_id.as_uuid().as_bytes(),
        context.tenant.scim_configuration_id.as_uuid().as_bytes(),
        &Sha256::digest(query.to_string()),
    ]
    .concat()
}

fn seal(context: &Context, query: &[u8], position: &Position) -> Result<String, Error> {
    let plain = serde_json::to_vec(position).map_err(Error::internal)?;
    Ok(URL_SAFE_NO_PAD.encode(context.app.keys.seal(&plain, query, &context.app.random)?))
}

fn open(context: &Context, query: &[u8], cursor: &str) -> Result<Position, ScimError> {
    let sealed = URL_SAFE_NO_PAD.decode(cursor).ok();
    let plain = sealed.and_then(|sealed| context.app.keys.open(&sealed, query));
    let position: Option<Position> = plain.and_then(|plain| serde_json::from_slice(&plain).ok());
    let position = position.ok_or_else(|| {
        let text = "cursor must be the nextCursor of the page before, with the same query; leave its value empty to start";
        ScimError::bad_request(ScimType::InvalidCursor, text)
    })?;
    if position.expires <= context.now.timestamp() {
        let text = format!(
            "the cursor is older than {} seconds: start again with an empty cursor",
            CURSOR_LIFETIME.num_seconds()
        );
        return Err(ScimError::bad_request(ScimType::ExpiredCursor, text));
    }
    Ok(position)
}
