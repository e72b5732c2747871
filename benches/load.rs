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

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use buffa::Message;
use bytes::Bytes;
use http::Method;
use proto::gitpod::v1::GetSSOConfigurationRequest;
use serde_json::{Value, json};

use support::{Client, Make, pgbench, printed, serve};

const CONNECTIONS: usize = 32;
const SERVICE: &str = "/gitpod.v1.OrganizationService";

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
    let client = Client {
        address,
        token,
        connections: CONNECTIONS,
    };
    let identity = client
        .once(
            Method::POST,
            "/gitpod.v1.IdentityService/GetAuthenticatedIdentity",
            json!({}),
        )
        .await;
    let organization = identity["organizationId"].as_str().unwrap().to_owned();
    let created = client
        .once(
            Method::POST,
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
        move || (Method::POST, path.clone(), "application/json", body.clone())
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
            Arc::new(move || {
                (
                    Method::POST,
                    path.clone(),
                    "application/proto",
                    message.clone(),
                )
            }),
            time,
        )
        .await;
    let beside = pgbench(database, CONNECTIONS, &selects(&organization, &id), time);
    println!("  pgbench, the two selects of GetSSOConfiguration: {beside:.0}/s");

    let path = format!("{SERVICE}/CreateSSOConfiguration");
    let create: Make = Arc::new({
        let organization = organization.clone();
        move || {
            (
                Method::POST,
                path.clone(),
                "application/json",
                new_sso(&organization).to_string().into(),
            )
        }
    });
    client
        .load("CreateSSOConfiguration, JSON", create, time)
        .await;
    let beside = pgbench(database, CONNECTIONS, &inserts(&organization, &id), time);
    println!(
        "  pgbench, select, begin, two inserts, commit of CreateSSOConfiguration: {beside:.0}/s"
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
