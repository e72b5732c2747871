//! Measures SCIM on the PostgreSQL that `DATABASE_URL` names, beside pgbench inserting the same rows:
//! `.ci/with-postgres cargo bench --bench scim [-- SECONDS [USERS]]`.
//!
//! The server, PostgreSQL and this generator share the machine. `USERS` (10,000 unless given) is the
//! size of the tenant for the second round of the reads; the first is at 1,000. `ROLLCALL` names another
//! build to measure.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a measurement may fail"
)]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use support::{Client, Make, pgbench, printed, serve};

const CONNECTIONS: usize = 8;
const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const SCIM: &str = "application/scim+json";

fn main() {
    let mut numbers = std::env::args()
        .skip(1)
        .filter_map(|argument| argument.parse().ok());
    let time = Duration::from_secs(numbers.next().unwrap_or(10));
    let users = numbers.next().map_or(10_000, |users| users as usize);
    let database = std::env::var("DATABASE_URL").expect("DATABASE_URL names a PostgreSQL to fill");
    tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(measure(&database, time, users));
}

async fn measure(database: &str, time: Duration, users: usize) {
    let token = printed(&["token", "generate"]);
    let (server, address) = serve(database, &token);
    let api = Client {
        address: address.clone(),
        token,
        connections: 1,
    };
    let call = async |method: &str, body: Value| {
        api.once(Method::POST, &format!("/gitpod.v1.{method}"), body)
            .await
    };
    let organization =
        call("IdentityService/GetAuthenticatedIdentity", json!({})).await["organizationId"].clone();
    let sso = json!({ "organizationId": organization, "clientId": "c", "clientSecret": "s", "issuerUrl": "https://a.example" });
    let sso =
        call("OrganizationService/CreateSSOConfiguration", sso).await["ssoConfiguration"]["id"]
            .clone();
    let scim = json!({ "organizationId": organization, "ssoConfigurationId": sso });
    let created = call("OrganizationService/CreateSCIMConfiguration", scim).await;
    let token = created["token"].as_str().unwrap().to_owned();
    let client = Client {
        address,
        token,
        connections: CONNECTIONS,
    };
    let next = Arc::new(AtomicUsize::new(0));

    let ids = bulk(&client, &next, 1_000).await;
    reads(&client, "1,000 users", &ids, time).await;

    let make: Make = Arc::new({
        let next = next.clone();
        move || {
            let user = user(next.fetch_add(1, Ordering::Relaxed));
            (
                Method::POST,
                "/scim/v2/Users".to_owned(),
                SCIM,
                Bytes::from(user.to_string()),
            )
        }
    });
    client.load("POST /Users", make, time).await;
    pgbench(
        database,
        CONNECTIONS,
        "the same rows in one statement",
        &insert(&organization, &created),
        time,
    );

    let target = Arc::new(ids.clone());
    let count = Arc::new(AtomicUsize::new(0));
    let make: Make = Arc::new(move || {
        let number = count.fetch_add(1, Ordering::Relaxed);
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{ "op": "replace", "path": "title", "value": format!("Title {number}") }],
        });
        (
            Method::PATCH,
            format!("/scim/v2/Users/{}", target[number % target.len()]),
            SCIM,
            Bytes::from(body.to_string()),
        )
    });
    client.load("PATCH of one attribute", make, time).await;

    let small = group(&client, "small", &ids[..10]).await;
    members(&client, "one member to a group of 10", &small, time).await;

    let mut ids = ids;
    let start = Instant::now();
    let missing = users.saturating_sub(next.load(Ordering::Relaxed));
    ids.extend(bulk(&client, &next, missing).await);
    println!(
        "Bulk, 1,000 creates a request: {:.0} creates/s",
        missing as f64 / start.elapsed().as_secs_f64()
    );
    reads(
        &client,
        &format!("{} users", next.load(Ordering::Relaxed)),
        &ids,
        time,
    )
    .await;

    let large = group(&client, "large", &ids[..ids.len().min(100_000)]).await;
    members(
        &client,
        &format!("one member to a group of {}", ids.len().min(100_000)),
        &large,
        time,
    )
    .await;
    let start = Instant::now();
    add(
        &client,
        &large,
        (0..1000).map(|i| format!("future-{i}")).collect(),
    )
    .await;
    println!("One PATCH with 1,000 members: {:.1?}", start.elapsed());
    let mut times = vec![];
    for _ in 0..25 {
        let start = Instant::now();
        client
            .once(Method::GET, "/scim/v2/Users?count=100&cursor", Value::Null)
            .await;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    println!(
        "The first page of 100 users, with their groups: median {:.1?}, slowest {:.1?}",
        times[12], times[24]
    );
    walk(&client).await;
    println!(
        "resident memory after it: {} MiB",
        server.resident_mebibytes()
    );
}

fn user(number: usize) -> Value {
    json!({
        "schemas": [USER],
        "externalId": format!("ext-{number}"),
        "userName": format!("user{number}@example.com"),
        "name": { "givenName": "Given", "familyName": format!("Family{number}") },
        "displayName": format!("Given Family{number}"),
        "emails": [{ "value": format!("user{number}@example.com"), "type": "work", "primary": true }],
        "active": true,
    })
}

async fn bulk(client: &Client, next: &AtomicUsize, count: usize) -> Vec<String> {
    let mut ids = vec![];
    while ids.len() < count {
        let size = 1000.min(count - ids.len());
        let first = next.fetch_add(size, Ordering::Relaxed);
        let operation = |number| json!({ "method": "POST", "path": "/Users", "bulkId": format!("b{number}"), "data": user(number) });
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
            "Operations": (first..first + size).map(operation).collect::<Vec<_>>(),
        });
        let reply = client.once(Method::POST, "/scim/v2/Bulk", body).await;
        for result in reply["Operations"].as_array().unwrap() {
            assert_eq!(result["status"], "201", "{result}");
            ids.push(
                result["location"]
                    .as_str()
                    .unwrap()
                    .rsplit('/')
                    .next()
                    .unwrap()
                    .to_owned(),
            );
        }
    }
    ids
}

async fn reads(client: &Client, size: &str, ids: &[String], time: Duration) {
    let ids = Arc::new(ids.to_vec());
    let count = Arc::new(AtomicUsize::new(0));
    let make: Make = Arc::new({
        let (ids, count) = (ids.clone(), count.clone());
        move || {
            let id = &ids[(count.fetch_add(1, Ordering::Relaxed) * 7919) % ids.len()];
            (
                Method::GET,
                format!("/scim/v2/Users/{id}"),
                SCIM,
                Bytes::new(),
            )
        }
    });
    client
        .load(&format!("GET /Users/id at {size}"), make, time)
        .await;
    let total = ids.len();
    let make: Make = Arc::new(move || {
        let number = (count.fetch_add(1, Ordering::Relaxed) * 7919) % total;
        let path =
            format!("/scim/v2/Users?filter=userName%20eq%20%22user{number}%40example.com%22");
        (Method::GET, path, SCIM, Bytes::new())
    });
    client
        .load(&format!("userName eq at {size}"), make, time)
        .await;
}

async fn group(client: &Client, name: &str, members: &[String]) -> String {
    let body = json!({ "schemas": [GROUP], "displayName": name });
    let group = client.once(Method::POST, "/scim/v2/Groups", body).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    for part in members.chunks(10_000) {
        add(client, &group, part.to_vec()).await;
    }
    group
}

async fn add(client: &Client, group: &str, members: Vec<String>) {
    let members: Vec<Value> = members
        .into_iter()
        .map(|id| json!({ "value": id }))
        .collect();
    client
        .once(
            Method::PATCH,
            &format!("/scim/v2/Groups/{group}"),
            patch(json!(members)),
        )
        .await;
}

fn patch(members: Value) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{ "op": "add", "path": "members", "value": members }],
    })
}

async fn members(client: &Client, name: &str, group: &str, time: Duration) {
    static NEXT: Mutex<usize> = Mutex::new(0);
    let path = format!("/scim/v2/Groups/{group}?excludedAttributes=members");
    let make: Make = Arc::new(move || {
        let mut next = NEXT.lock().unwrap();
        *next += 1;
        (
            Method::PATCH,
            path.clone(),
            SCIM,
            Bytes::from(patch(json!([{ "value": format!("member-{next}") }])).to_string()),
        )
    });
    client.load(name, make, time).await;
}

async fn walk(client: &Client) {
    let (start, mut seen, mut cursor) = (Instant::now(), 0, String::new());
    loop {
        let page = client
            .once(
                Method::GET,
                &format!("/scim/v2/Users?count=1000&cursor={cursor}"),
                Value::Null,
            )
            .await;
        seen += page["Resources"].as_array().unwrap().len();
        match page["nextCursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    println!(
        "Walking {seen} users by cursor, 1,000 a page: {:.1?}",
        start.elapsed()
    );
}

/// What one POST /Users writes.
fn insert(organization: &Value, created: &Value) -> String {
    let organization = organization.as_str().unwrap();
    let configuration = created["scimConfiguration"]["id"].as_str().unwrap();
    format!(
        "with n as (select gen_random_uuid() as id, gen_random_uuid() as user_id), a as (
           insert into users select '{organization}', user_id, 'u@example.com', user_id::text, false, 'Given Family', '', 'member', 'active', now(), now() from n
         ), b as (
           insert into scim_users select '{organization}', '{configuration}', id, user_id, 'u@example.com', id::text, id::text, 'given family', true,
             jsonb_build_object('schemas', '[\"the core schema\"]'::jsonb, 'userName', id, 'displayName', 'Given Family', 'active', true, 'emails', '[{{\"value\": \"user1@example.com\", \"type\": \"work\", \"primary\": true}}]'::jsonb),
             jsonb_build_object('schemas', '[\"the core schema\"]'::jsonb, 'userName', id, 'displayName', 'Given Family', 'active', true, 'emails', '[{{\"value\": \"user1@example.com\", \"type\": \"work\", \"primary\": true}}]'::jsonb),
             1, now(), now() from n
         ), c as (
           insert into scim_user_emails select '{organization}', '{configuration}', user_id::text, id from n
         )
         insert into scim_events select '{organization}', '{configuration}', id, now(), 'POST', '/Users', '{{}}', 'created', 201, 'User', id,
           '[{{\"attribute\": \"userName\", \"new\": \"user1@example.com\"}}, {{\"attribute\": \"displayName\", \"new\": \"Given Family\"}}, {{\"attribute\": \"emails\", \"new\": [{{\"value\": \"user1@example.com\"}}]}}]', null from n;"
    )
    .replace('\n', " ")
}
