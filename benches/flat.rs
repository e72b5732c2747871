//! Measures SCIM and the configurations of a large tenant on the PostgreSQL that `DATABASE_URL` names, as a
//! table: `.ci/with-postgres cargo bench --bench flat [-- SECONDS [USERS]]`.
//!
//! Beside a rate stands that of pgbench with the same rows in the same run, and the ratio of both: it is the
//! same on a slow machine as on a fast one. The server, PostgreSQL and this client share the machine. `USERS`
//! is 1,000,000 and `SECONDS` 5 unless given. `ROLLCALL` names another build to measure.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a measurement may fail"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use support::{Client, Make, Server, pgbench, printed, serve};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const SCIM: &str = "application/scim+json";
const SERVICE: &str = "/gitpod.v1.OrganizationService";
/// So many users, and one of them is not active.
const INACTIVE: usize = 1_000;
/// What the audit log says of a new user.
const NEW_USER: &str = r#"{"userName": "user1@example.com", "displayName": "Given Family", "emails": [{"value": "user1@example.com"}]}"#;
const IN_BULK: usize = 1_000;
const BULK_CLIENTS: usize = 4;

fn main() {
    let mut numbers = std::env::args()
        .skip(1)
        .filter_map(|argument| argument.parse().ok());
    let time = Duration::from_secs(numbers.next().unwrap_or(5));
    let users = numbers.next().map_or(1_000_000, |users| users as usize);
    let database = std::env::var("DATABASE_URL").expect("DATABASE_URL names a PostgreSQL to fill");
    tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(measure(&database, time, users));
}

async fn measure(database: &str, time: Duration, users: usize) {
    let bench = Bench::start(database, time).await;
    println!("| work, at {users} users | | pgbench | ratio |");
    println!("|---|---|---|---|");
    let times = bench.bulk(users).await;
    psql(database, "vacuum analyze");
    bench.pages(users).await;
    bench.filters(&times).await;
    bench.orders().await;
    bench.wide_searches().await;
    bench.lookups(users).await;
    bench.writes().await;
    bench.groups(users).await;
    bench.configurations().await;
    row(
        "resident memory at the end",
        &format!("{} MiB", bench.server.resident_mebibytes()),
    );
}

/// When half of the users, and all but the last thousand, were there.
struct Times {
    half: String,
    last: String,
}

struct Bench {
    server: Server,
    database: String,
    time: Duration,
    api: Client,
    scim: Client,
    organization: String,
    sso: String,
    configuration: String,
    next: Arc<AtomicUsize>,
}

/// A row of the table.
fn row(name: &str, result: &str) {
    println!("| {name} | {result} | | |");
}

impl Bench {
    async fn start(database: &str, time: Duration) -> Self {
        let token = printed(&["token", "generate"]);
        let (server, address) = serve(database, &token);
        let api = Client {
            address: address.clone(),
            token,
            connections: 16,
        };
        let call = async |method: &str, body: Value| {
            api.once(Method::POST, &format!("/gitpod.v1.{method}"), body)
                .await
        };
        let organization =
            call("IdentityService/GetAuthenticatedIdentity", json!({})).await["organizationId"]
                .clone();
        let sso = json!({ "organizationId": organization, "clientId": "c", "clientSecret": "s", "issuerUrl": "https://a.example" });
        let sso = call("OrganizationService/CreateSSOConfiguration", sso).await["ssoConfiguration"]
            ["id"]
            .clone();
        let scim = json!({ "organizationId": organization, "ssoConfigurationId": sso });
        let created = call("OrganizationService/CreateSCIMConfiguration", scim).await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self {
            scim: Client {
                address,
                token: text(&created["token"]),
                connections: 8,
            },
            server,
            database: database.to_owned(),
            time,
            api,
            organization: text(&organization),
            sso: text(&sso),
            configuration: text(&created["scimConfiguration"]["id"]),
            next: Arc::default(),
        }
    }

    /// The rate of a request, beside that of a script of pgbench.
    async fn rate(&self, client: &Client, name: &str, make: Make, script: &str) {
        let rate = client.load_quietly(make, self.time).await;
        let name = format!("{name}, {} connections", client.connections);
        let beside = pgbench(&self.database, client.connections, script, self.time);
        println!(
            "| {name} | {} | {beside:.0}/s | {:.0} % |",
            rate.words(),
            100.0 * rate.rate / beside
        );
    }

    async fn get(&self, path: &str) -> Value {
        self.scim.once(Method::GET, path, Value::Null).await
    }

    /// The median and the slowest of a few requests one after the other, and what the list has in all.
    async fn latency(&self, name: &str, paths: &[String]) -> Duration {
        let (mut times, mut total) = (vec![], json!(null));
        let mut connection = self.scim.open().await;
        for path in paths {
            let call = (Method::GET, path.clone(), SCIM, Bytes::new());
            let start = Instant::now();
            let reply = self.scim.send(&mut connection, call).await;
            times.push(start.elapsed());
            let reply: Value = serde_json::from_slice(&reply).unwrap();
            total = reply["totalResults"].clone();
        }
        times.sort_unstable();
        let (median, slowest) = (times[times.len() / 2], times[times.len() - 1]);
        row(
            name,
            &format!("{median:.1?}, slowest {slowest:.1?} (of {total})"),
        );
        median
    }

    async fn search(&self, name: &str, filter: &str) {
        let path = format!("/scim/v2/Users?filter={}", encoded(filter));
        self.latency(name, &vec![path; 7]).await;
    }

    async fn bulk(&self, users: usize) -> Times {
        let left = users.saturating_sub(2 * IN_BULK);
        let part = |count: usize| async move {
            let start = Instant::now();
            let workers = (0..BULK_CLIENTS).map(|worker| {
                let share = count / BULK_CLIENTS + usize::from(worker < count % BULK_CLIENTS);
                self.create_in_bulk(share)
            });
            futures_util::future::join_all(workers).await;
            count as f64 / start.elapsed().as_secs_f64()
        };
        self.create_in_bulk(IN_BULK).await;
        let first = part(left / 2).await;
        let half = now();
        let second = part(left - left / 2).await;
        let last = now();
        self.create_in_bulk(IN_BULK).await;
        row(
            &format!("Bulk, {IN_BULK} users a request, {BULK_CLIENTS} clients"),
            &format!("{first:.0}/s, then {second:.0}/s"),
        );
        Times { half, last }
    }

    async fn create_in_bulk(&self, count: usize) {
        let mut connection = self.scim.open().await;
        let mut left = count;
        while left > 0 {
            let size = IN_BULK.min(left);
            left -= size;
            let first = self.next.fetch_add(size, Ordering::Relaxed);
            let operation = |number| json!({ "method": "POST", "path": "/Users", "bulkId": format!("b{number}"), "data": user(number) });
            let body = json!({
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
                "Operations": (first..first + size).map(operation).collect::<Vec<_>>(),
            });
            let call = (
                Method::POST,
                "/scim/v2/Bulk".to_owned(),
                SCIM,
                Bytes::from(body.to_string()),
            );
            let reply = self.scim.send(&mut connection, call).await;
            let created = String::from_utf8_lossy(&reply).matches("\"201\"").count();
            assert_eq!(created, size, "all are created");
        }
    }

    async fn pages(&self, users: usize) {
        let page = |start: usize| format!("/scim/v2/Users?startIndex={start}&count=100");
        self.latency("first page of 100", &vec![page(1); 25]).await;
        // By a prime, so that no page is near the one before.
        let blue: Vec<String> = (1..26)
            .map(|n| page(1 + n * 7_919_777 % users.max(1)))
            .collect();
        self.latency("page of 100 out of the blue", &blue).await;
        self.latency("last page of 100", &vec![page(users - 99); 25])
            .await;
        let (mut connection, begun, mut start) = (self.scim.open().await, Instant::now(), 1);
        let mut slowest = Duration::ZERO;
        while start <= users {
            let call = (Method::GET, page(start), SCIM, Bytes::new());
            let sent = Instant::now();
            self.scim.send(&mut connection, call).await;
            slowest = slowest.max(sent.elapsed());
            start += 100;
        }
        let rate = (users / 100) as f64 / begun.elapsed().as_secs_f64();
        row(
            "walk by startIndex, 100 a page",
            &format!("{rate:.0} pages/s, slowest {slowest:.1?}"),
        );
        row(
            "resident memory after it",
            &format!("{} MiB", self.server.resident_mebibytes()),
        );
    }

    async fn filters(&self, times: &Times) {
        for (few, many) in [
            (
                "userName eq \"a-user300@example.com\"",
                "userName sw \"a-\"",
            ),
            ("userName sw \"a-user3000\"", "userName sw \"b-\""),
            ("externalId sw \"a-ext-3000\"", "externalId sw \"a-\""),
            (
                "displayName sw \"Ann Family3000\"",
                "displayName sw \"Ann\"",
            ),
            (
                "emails.value eq \"a-user300@example.com\"",
                "emails.value sw \"a-\"",
            ),
            ("emails.value sw \"a-user3000\"", "emails.value sw \"b-\""),
            ("active eq false", "active eq true"),
        ] {
            self.search(&format!("`{few}`"), few).await;
            self.search(&format!("`{many}`"), many).await;
        }
        for (name, time) in [("few", &times.last), ("half", &times.half)] {
            let filter = format!("meta.lastModified gt \"{time}\"");
            self.search(&format!("`meta.lastModified gt` {name}"), &filter)
                .await;
        }
    }

    async fn orders(&self) {
        for name in ["userName", "displayName", "meta.lastModified", "id"] {
            for order in ["ascending", "descending"] {
                let path = format!("/scim/v2/Users?sortBy={name}&sortOrder={order}");
                self.latency(&format!("sorted by {name}, {order}"), &vec![path; 9])
                    .await;
            }
        }
    }

    async fn wide_searches(&self) {
        for filter in [
            "name.familyName eq \"family777\"",
            "userName co \"r777\"",
            "userName ew \"77@example.com\"",
            "emails.value co \"r777\"",
            "title pr",
        ] {
            self.search(&format!("`{filter}`"), filter).await;
        }
    }

    async fn lookups(&self, users: usize) {
        let count = AtomicUsize::new(0);
        let make: Make = Arc::new(move || {
            let number = (count.fetch_add(1, Ordering::Relaxed) * 7919) % users;
            let filter = format!("userName eq \"{}\"", user_name(number));
            let path = format!("/scim/v2/Users?filter={}", encoded(&filter));
            (Method::GET, path, SCIM, Bytes::new())
        });
        let select = format!(
            "\\set n random(1, {users})\nselect id, resource, version, created_at, last_modified from scim_users where organization_id = '{}' and scim_configuration_id = '{}' and user_name_key = 'a-user' || (2 * (:n / 2)) || '@example.com';",
            self.organization, self.configuration
        );
        self.rate(&self.scim, "`userName eq`", make, &select).await;
    }

    async fn writes(&self) {
        let next = self.next.clone();
        let make: Make = Arc::new(move || {
            let user = user(next.fetch_add(1, Ordering::Relaxed));
            (
                Method::POST,
                "/scim/v2/Users".to_owned(),
                SCIM,
                Bytes::from(user.to_string()),
            )
        });
        self.rate(&self.scim, "POST /Users", make, &self.insert())
            .await;

        let ids = self.ids(10_000).await;
        let count = AtomicUsize::new(0);
        let make: Make = Arc::new(move || {
            let number = count.fetch_add(1, Ordering::Relaxed);
            let body = json!({
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                "Operations": [{ "op": "replace", "path": "title", "value": format!("Title {number}") }],
            });
            (
                Method::PATCH,
                format!("/scim/v2/Users/{}", ids[number % ids.len()]),
                SCIM,
                Bytes::from(body.to_string()),
            )
        });
        self.rate(&self.scim, "PATCH of one attribute", make, &self.update())
            .await;
    }

    async fn ids(&self, count: usize) -> Vec<String> {
        let mut ids = vec![];
        while ids.len() < count {
            let path = format!(
                "/scim/v2/Users?startIndex={}&count=1000&attributes=id",
                ids.len() + 1
            );
            let page = self.get(&path).await;
            let page = page["Resources"].as_array().unwrap();
            ids.extend(
                page.iter()
                    .map(|user| user["id"].as_str().unwrap().to_owned()),
            );
            if page.is_empty() {
                break;
            }
        }
        ids
    }

    async fn groups(&self, users: usize) {
        let ids = self.ids(users.min(100_000)).await;
        for size in [10, ids.len()] {
            let body = json!({ "schemas": [GROUP], "displayName": format!("of {size}") });
            let created = self.scim.once(Method::POST, "/scim/v2/Groups", body).await;
            let group = created["id"].as_str().unwrap().to_owned();
            let path = format!("/scim/v2/Groups/{group}?excludedAttributes=members");
            for part in ids[..size].chunks(10_000) {
                let members = part.iter().map(|id| json!({ "value": id })).collect();
                self.scim.once(Method::PATCH, &path, added(members)).await;
            }
            let next = AtomicUsize::new(0);
            let make: Make = Arc::new(move || {
                let name = format!("member-{}", next.fetch_add(1, Ordering::Relaxed));
                let body = added(json!([{ "value": name }])).to_string();
                (Method::PATCH, path.clone(), SCIM, Bytes::from(body))
            });
            let name = format!("one member to one group of {size}");
            self.rate(&self.scim, &name, make, &self.insert_member(&group))
                .await;
        }
    }

    async fn configurations(&self) {
        let (organization, sso, scim) = (&self.organization, &self.sso, &self.configuration);
        for (method, body, select) in [
            (
                "GetSSOConfiguration",
                json!({ "ssoConfigurationId": sso }),
                format!(
                    "select * from sso_configurations where organization_id = '{organization}' and id = '{sso}';"
                ),
            ),
            (
                "ListSSOConfigurations",
                json!({ "organizationId": organization }),
                format!(
                    "select * from sso_configurations where organization_id = '{organization}' order by id limit 26;"
                ),
            ),
            (
                "GetSCIMConfiguration",
                json!({ "scimConfigurationId": scim }),
                format!(
                    "select * from scim_configurations where organization_id = '{organization}' and id = '{scim}';"
                ),
            ),
            (
                "ListSCIMConfigurations",
                json!({ "organizationId": organization }),
                format!(
                    "select * from scim_configurations where organization_id = '{organization}' order by id limit 26;"
                ),
            ),
        ] {
            let (path, body) = (format!("{SERVICE}/{method}"), Bytes::from(body.to_string()));
            let make: Make =
                Arc::new(move || (Method::POST, path.clone(), "application/json", body.clone()));
            self.rate(&self.api, method, make, &select).await;
        }
    }

    fn tenant(&self) -> String {
        format!("'{}', '{}'", self.organization, self.configuration)
    }

    /// What one POST /Users writes.
    fn insert(&self) -> String {
        let tenant = self.tenant();
        let organization = &self.organization;
        let resource = "jsonb_build_object('schemas', '[\"the core schema\"]'::jsonb, 'userName', id, 'displayName', 'Given Family', 'active', true, 'emails', '[{\"value\": \"user1@example.com\", \"type\": \"work\", \"primary\": true}]'::jsonb)";
        one_line(&format!(
            "with n as (select gen_random_uuid() as id, gen_random_uuid() as user_id), a as (
               insert into users (organization_id, id, email, email_key, email_verified, name, name_key, avatar_url, role, status, created_at, updated_at)
                 select '{organization}', user_id, 'u@example.com', user_id::text, false, 'Given Family', 'given family', '', 'member', 'active', now(), now() from n
             ), b as (
               insert into scim_users (organization_id, scim_configuration_id, id, user_id, user_name, user_name_key, external_id, display_name_key, active, resource, search, version, folded_version, created_at, last_modified, block)
                 select {tenant}, id, user_id, 'u@example.com', id::text, id::text, 'given family', true, {resource}, {resource}, 1, 1, now(), now(), 1 from n
             ), c as (
               insert into scim_user_emails (organization_id, scim_configuration_id, value_key, scim_user_id, alone) select {tenant}, user_id::text, id, true from n
             ), d as (
               insert into scim_user_blocks as c (organization_id, scim_configuration_id, block, slot, count) values ({tenant}, 1, pg_backend_pid() % 64, 1)
                 on conflict (organization_id, scim_configuration_id, block, slot) do update set count = c.count + 1
             ), {audit}
             insert into scim_events select {tenant}, id, now(), 'POST', '/Users', '{{}}', 'created', 201, 'User', id, {changes}, null from n;",
            audit = self.audited("n", "user_id", "user", NEW_USER),
            changes = "'[{\"attribute\": \"userName\", \"new\": \"user1@example.com\"}, {\"attribute\": \"displayName\", \"new\": \"Given Family\"}, {\"attribute\": \"emails\", \"new\": [{\"value\": \"user1@example.com\"}]}]'",
        ))
    }

    /// The row of the audit log that comes with each change, for a subject that `from` names.
    fn audited(&self, from: &str, subject: &str, kind: &str, after: &str) -> String {
        let (organization, configuration) = (&self.organization, &self.configuration);
        format!(
            "audit as (
               insert into audit_entries (organization_id, id, created_at, actor_id, actor_principal, action, subject_type, subject_id, before, after)
                 select '{organization}', gen_random_uuid(), now(), '{configuration}', 'scim_configuration', 'Change', '{kind}', {subject}, null, '{after}' from {from}
             )"
        )
    }

    /// What one PATCH writes.
    fn update(&self) -> String {
        let tenant = self.tenant();
        one_line(&format!(
            "with a as (
               update scim_users set resource = jsonb_set(resource, '{{title}}', '\"Title\"'), search = jsonb_set(search, '{{title}}', '\"title\"'), version = version + 1, last_modified = now()
               where (organization_id, scim_configuration_id) = ({tenant}) and user_name_key = 'a-user' || (2 * :n) || '@example.com' returning id, user_id
             ), {audit}
             insert into scim_events select {tenant}, gen_random_uuid(), now(), 'PATCH', '/Users', '{{}}', 'updated', 200, 'User', id,
               '[{{\"attribute\": \"title\", \"new\": \"Title\"}}]', null from a;",
            audit = self.audited("a", "user_id", "user", "{\"title\": \"Title\"}"),
        ))
        .replacen("with", "\\set n random(1, 5000)\nwith", 1)
    }

    /// What one member of a group writes.
    fn insert_member(&self, group: &str) -> String {
        let tenant = self.tenant();
        one_line(&format!(
            "with a as (
               insert into scim_group_members (organization_id, scim_configuration_id, group_id, member_value, id)
                 values ({tenant}, '{group}', gen_random_uuid()::text, gen_random_uuid())
             ), {audit}
             insert into scim_events values ({tenant}, gen_random_uuid(), now(), 'PATCH', '/Groups', '{{}}', 'updated', 200, 'Group', '{group}',
               '[{{\"attribute\": \"members\", \"new\": [\"one\"], \"count\": 1}}]', null);",
            audit = self.audited("(select 1) n", &format!("'{group}'"), "group", "{\"members\": [\"one\"]}"),
        ))
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the time that the server's clock has"
)]
fn now() -> String {
    chrono::Utc::now().to_rfc3339()
}

fn one_line(script: &str) -> String {
    script.replace('\n', " ")
}

fn added(members: Value) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{ "op": "add", "path": "members", "value": members }],
    })
}

/// Half of the users have names that start alike.
fn half(number: usize) -> (&'static str, &'static str) {
    match number % 2 {
        0 => ("a", "Ann"),
        _ => ("b", "Bob"),
    }
}

fn user_name(number: usize) -> String {
    format!("{}-user{number}@example.com", half(number).0)
}

fn user(number: usize) -> Value {
    let (letter, given) = half(number);
    json!({
        "schemas": [USER],
        "externalId": format!("{letter}-ext-{number}"),
        "userName": user_name(number),
        "name": { "givenName": given, "familyName": format!("Family{number}") },
        "displayName": format!("{given} Family{number}"),
        "emails": [{ "value": user_name(number), "type": "work", "primary": true }],
        "active": number % INACTIVE != 1,
    })
}

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn psql(database: &str, statement: &str) {
    let done = std::process::Command::new("psql")
        .args(["-qX", database, "-c", statement])
        .status();
    assert!(done.expect("psql comes with PostgreSQL").success());
}
