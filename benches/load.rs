//! Measures a started server on the PostgreSQL that `DATABASE_URL` names, beside pgbench running the
//! same statements: `.ci/with-postgres cargo bench --bench load [-- SECONDS]`.
//!
//! The server, PostgreSQL and this generator share the machine. Every number is of one run of
//! `SECONDS` (10 unless given) with 32 connections; the server's log is at `warn`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a measurement may fail"
)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use buffa::Message;
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rollcall::api::proto::gitpod::v1::GetSSOConfigurationRequest;
use serde_json::{Value, json};
use tokio::net::TcpStream;

const CONNECTIONS: usize = 32;
const SERVICE: &str = "/gitpod.v1.OrganizationService";

type Sender = http1::SendRequest<Full<Bytes>>;

/// A request: path, content type and body, made anew for each call.
type Make = Arc<dyn Fn() -> (String, &'static str, Bytes) + Send + Sync>;

fn main() {
    let argument = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok());
    let time = Duration::from_secs(argument.unwrap_or(10));
    let database = std::env::var("DATABASE_URL").expect("DATABASE_URL names a PostgreSQL to fill");
    tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(measure(&database, time));
}

async fn measure(database: &str, time: Duration) {
    let token = printed(&["token", "generate"]);
    let (_server, address) = serve(database, &token);
    let client = Client { address, token };
    let identity = client
        .once(
            "/gitpod.v1.IdentityService/GetAuthenticatedIdentity",
            json!({}),
        )
        .await;
    let organization = identity["organizationId"].as_str().unwrap().to_owned();
    let created = client
        .once(
            &format!("{SERVICE}/CreateSSOConfiguration"),
            new_sso(&organization),
        )
        .await;
    let id = created["ssoConfiguration"]["id"]
        .as_str()
        .unwrap()
        .to_owned();

    let body = Bytes::from(json!({ "ssoConfigurationId": id }).to_string());
    let path = format!("{SERVICE}/GetSSOConfiguration");
    let get: Make = Arc::new({
        let path = path.clone();
        move || (path.clone(), "application/json", body.clone())
    });
    client.load("GetSSOConfiguration, JSON", get, time).await;
    let message = GetSSOConfigurationRequest {
        sso_configuration_id: id.clone(),
        ..Default::default()
    };
    let message = Bytes::from(message.encode_to_vec());
    client
        .load(
            "GetSSOConfiguration, proto",
            Arc::new(move || (path.clone(), "application/proto", message.clone())),
            time,
        )
        .await;
    pgbench(
        database,
        "the two selects of GetSSOConfiguration",
        &selects(&organization, &id),
        time,
    );

    let path = format!("{SERVICE}/CreateSSOConfiguration");
    let create: Make = Arc::new({
        let organization = organization.clone();
        move || {
            (
                path.clone(),
                "application/json",
                new_sso(&organization).to_string().into(),
            )
        }
    });
    client
        .load("CreateSSOConfiguration, JSON", create, time)
        .await;
    pgbench(
        database,
        "select, begin, two inserts, commit of CreateSSOConfiguration",
        &inserts(&organization, &id),
        time,
    );
}

fn new_sso(organization: &str) -> Value {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    json!({
        "organizationId": organization,
        "clientId": format!("client-{}", NEXT.fetch_add(1, Ordering::Relaxed)),
        "clientSecret": "a client secret of usual length 0123456789",
        "issuerUrl": "https://accounts.example.com",
        "emailDomains": ["example.com"],
    })
}

/// What the server sends to PostgreSQL for a read.
fn selects(organization: &str, id: &str) -> String {
    format!(
        "select t.organization_id, t.service_account_id, a.role, t.read_only, t.is_bootstrap, t.token_hash, t.expires_at, t.revoked_at
           from api_tokens t join service_accounts a on a.organization_id = t.organization_id and a.id = t.service_account_id
           where t.id = '{id}';
         select organization_id, id, client_id, issuer_url, is_active, claims, email_domains, display_name, additional_scopes,
           claims_expression, created_at, updated_at from sso_configurations where organization_id = '{organization}' and id = '{id}';"
    )
    .replace("\n", " ")
    .replace("; ", ";\n")
}

/// What the server sends to PostgreSQL for a create.
fn inserts(organization: &str, id: &str) -> String {
    let select = selects(organization, id);
    let select = select.lines().next().unwrap();
    format!(
        "{select}
begin;
insert into sso_configurations (organization_id, id, client_id, client_secret, issuer_url, registration_digest, is_active, claims, email_domains, display_name, additional_scopes, claims_expression, created_at, updated_at) values ('{organization}', gen_random_uuid(), 'client', decode(repeat('ab', 90), 'hex'), 'https://accounts.example.com', decode(md5(random()::text) || md5(random()::text), 'hex'), true, '{{}}', '{{example.com}}', '', '{{}}', '', now(), now());
insert into audit_entries (organization_id, id, created_at, actor_id, actor_principal, action, subject_type, subject_id, before, after) values ('{organization}', gen_random_uuid(), now(), '{id}', 'service_account', 'CreateSSOConfiguration', 'sso_config', '{id}', null, '{{\"claims\": {{}}, \"client_id\": \"client-1\", \"display_name\": \"\", \"email_domains\": [\"example.com\"], \"issuer_url\": \"https://accounts.example.com\", \"state\": \"active\"}}');
commit;"
    )
}

fn printed(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_rollcall"))
        .args(arguments)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(database: &str, token: &str) -> (Server, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rollcall"))
        .arg("serve")
        .env("DATABASE_URL", database)
        .env("ROLLCALL_ENCRYPTION_KEYS", printed(&["keys", "generate"]))
        .env("ROLLCALL_BOOTSTRAP_ORGANIZATION", "Load")
        .env("ROLLCALL_BOOTSTRAP_TOKEN", token)
        .env("ROLLCALL_LISTEN", "127.0.0.1:0")
        .env("ROLLCALL_LOG", "warn")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let line = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .next()
        .unwrap()
        .unwrap();
    let (_, address) = line.split_once("http://").unwrap();
    (Server(child), address.trim_end_matches('.').to_owned())
}

struct Client {
    address: String,
    token: String,
}

impl Client {
    async fn connect(&self) -> Sender {
        let stream = TcpStream::connect(&self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    async fn send(
        &self,
        sender: &mut Sender,
        path: &str,
        content_type: &str,
        body: Bytes,
    ) -> Bytes {
        let request = Request::post(path)
            .header(header::HOST, &self.address)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, content_type)
            .body(Full::new(body))
            .unwrap();
        sender.ready().await.unwrap();
        let response = sender.send_request(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(status, 200, "{body:?}");
        body
    }

    async fn once(&self, path: &str, body: Value) -> Value {
        let mut sender = self.connect().await;
        let reply = self
            .send(
                &mut sender,
                path,
                "application/json",
                body.to_string().into(),
            )
            .await;
        serde_json::from_slice(&reply).unwrap()
    }

    /// Sends as many requests as there is time for, and prints how many.
    async fn load(&self, name: &str, make: Make, time: Duration) {
        let stop = AtomicBool::new(false);
        let worker = async || {
            let mut sender = self.connect().await;
            let mut latencies = vec![];
            while !stop.load(Ordering::Relaxed) {
                let (path, content_type, body) = make();
                let start = Instant::now();
                self.send(&mut sender, &path, content_type, body).await;
                latencies.push(start.elapsed());
            }
            latencies
        };
        let workers = futures_util::future::join_all((0..CONNECTIONS).map(|_| worker()));
        let timer = async {
            tokio::time::sleep(time).await;
            stop.store(true, Ordering::Relaxed);
        };
        let (latencies, ()) = futures_util::future::join(workers, timer).await;
        let mut latencies = latencies.concat();
        latencies.sort_unstable();
        let rate = latencies.len() as f64 / time.as_secs_f64();
        let (median, p99) = (
            latencies[latencies.len() / 2],
            latencies[latencies.len() * 99 / 100],
        );
        println!("{name}: {rate:.0}/s, median {median:.1?}, 99th percentile {p99:.1?}");
    }
}

fn pgbench(database: &str, name: &str, script: &str, time: Duration) {
    let file = std::env::temp_dir().join(format!("rollcall-pgbench-{}.sql", std::process::id()));
    std::fs::write(&file, script).unwrap();
    let output = Command::new("pgbench")
        .args([
            "-n",
            "-M",
            "prepared",
            "-j",
            "2",
            "-c",
            &CONNECTIONS.to_string(),
            "-T",
            &time.as_secs().to_string(),
            "-f",
        ])
        .args([file.to_str().unwrap(), database])
        .output()
        .expect("pgbench comes with PostgreSQL");
    std::fs::remove_file(&file).unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let tps = text
        .lines()
        .find(|line| line.starts_with("tps"))
        .unwrap_or_else(|| panic!("{output:?}"));
    println!("  pgbench, {name}: {tps}");
}
