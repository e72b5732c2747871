//! The schema is upgraded under data: every migration runs on a database in which every table has rows.

use std::collections::BTreeMap;

use rollcall::app::Random;
use rollcall::domain::event_stream::authorization_header_context;
use rollcall::domain::ids::{EventStreamId, OrganizationId, SsoConfigurationId};
use rollcall::domain::sso::{client_key_context, client_secret_context};
use rollcall::secrets::keys::Keyring;
use rollcall::store::MIGRATIONS;
use serde_json::{Value, json};
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection, PgConnection, query, query_scalar, raw_sql};
use uuid::{Uuid, uuid};

use crate::cli::operators::Database;
use crate::support::run;

const ORGANIZATION: Uuid = uuid!("00000000-0000-7000-8000-000000000001");
const SSO: Uuid = uuid!("00000000-0000-7000-8000-000000000003");
const SCIM: Uuid = uuid!("00000000-0000-7000-8000-000000000004");
const STREAM: Uuid = uuid!("00000000-0000-7000-8000-000000000018");

/// What is written once a version is reached, as programs of that version do: rows for the tables that it makes. A
/// migration that makes a table which nothing else fills needs an entry.
const ROWS: [(i64, &str); 13] = [
    (
        1,
        r#"
        insert into organizations values ('00000000-0000-7000-8000-000000000001', 'Acme', '2026-01-01', '2026-01-01');
        insert into service_accounts (organization_id, id, name, role, created_at)
        values ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000002', 'Terraform', 'admin', '2026-01-01');
        insert into api_tokens (organization_id, id, service_account_id, token_hash, read_only, created_at)
        values ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000002',
            '00000000-0000-7000-8000-000000000002', '$argon2id$', false, '2026-01-01');
        insert into sso_configurations (organization_id, id, client_id, client_secret, issuer_url, registration_digest, is_active,
            claims, email_domains, display_name, additional_scopes, claims_expression, created_at, updated_at)
        values ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000003', 'client', '', 'https://accounts.example.com',
            '\x01', true, '{}', '{Acme.Example}', 'Accounts', '{}', '', '2026-01-01', '2026-01-01');
        insert into scim_configurations (organization_id, id, name, enabled, sso_configuration_id, allow_unverified_email_account_linking,
            token_hash, token_lifetime_seconds, token_expires_at, created_at, updated_at)
        values ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000004', 'Okta', true,
            '00000000-0000-7000-8000-000000000003', false, '$argon2id$', 7776000, '2026-04-01', '2026-01-01', '2026-01-01');
        insert into audit_entries (organization_id, id, created_at, actor_id, actor_principal, action, subject_type, subject_id)
        values ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000005', '2026-01-01',
            '00000000-0000-7000-8000-000000000002', 'service_account', 'CreateSSOConfiguration', 'sso_config',
            '00000000-0000-7000-8000-000000000003');
        "#,
    ),
    (
        2,
        r#"
        insert into users (organization_id, id, email, email_key, email_verified, name, avatar_url, role, status, created_at, updated_at)
        values ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000006', 'Ada@Acme.example', 'ada@acme.example',
            false, 'Ada Weiß', '', 'member', 'active', '2026-01-01', '2026-01-01');
        insert into scim_users (organization_id, scim_configuration_id, id, user_id, user_name, user_name_key, external_id, display_name_key,
            active, resource, search, version, created_at, last_modified)
        values ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000004', '00000000-0000-7000-8000-000000000007',
            '00000000-0000-7000-8000-000000000006', 'Ada', 'ada', 'x1', 'ada weiß', true,
            '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "Ada", "externalId": "x1", "displayName": "Ada Weiß",
              "active": true, "emails": [{"value": "Ada@Acme.example", "primary": true}, {"value": "ada@home.example"}]}',
            '{"userName": "ada", "externalId": "x1", "displayName": "ada weiß", "active": true,
              "emails": [{"value": "ada@acme.example", "primary": true}, {"value": "ada@home.example"}]}',
            1, '2026-01-01', '2026-01-01');
        insert into scim_user_emails (organization_id, scim_configuration_id, value_key, scim_user_id)
        select '00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000004', address, '00000000-0000-7000-8000-000000000007'
        from unnest(array['ada@acme.example', 'ada@home.example']) address;
        insert into scim_former_users (organization_id, scim_configuration_id, user_id, user_name_key, external_id, deleted_at)
        values ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000004', '00000000-0000-7000-8000-000000000008',
            'weiß', 'x2', '2026-01-01');
        insert into scim_groups (organization_id, scim_configuration_id, id, display_name, display_name_key, resource, search, version,
            created_at, last_modified)
        values ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000004', '00000000-0000-7000-8000-000000000009',
            'Großkunden', 'großkunden', '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "Großkunden"}',
            '{"displayName": "großkunden"}', 1, '2026-01-01', '2026-01-01');
        insert into scim_group_members (organization_id, scim_configuration_id, group_id, member_value, kind, display, id)
        values ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000004', '00000000-0000-7000-8000-000000000009',
            '00000000-0000-7000-8000-000000000007', 'User', 'Ada Weiß', '00000000-0000-7000-8000-00000000000a');
        insert into scim_events (organization_id, scim_configuration_id, id, created_at, method, path, traits, outcome, status)
        values ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000004', '00000000-0000-7000-8000-00000000000b',
            now(), 'POST', '/Users', '{}', 'created', 201);
        "#,
    ),
    (
        3,
        r#"
        insert into sso_logins values ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-00000000000c', now() + '10 minutes');
        insert into sso_identities (organization_id, sso_configuration_id, digest, issuer, subject, user_id, created_at, last_used_at)
        values ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000003', '\x02', 'https://accounts.example.com',
            'sub-ada', '00000000-0000-7000-8000-000000000006', '2026-01-01', '2026-01-01');
        insert into sessions (organization_id, id, user_id, sso_configuration_id, token_hash, user_agent, created_at, last_used_at, expires_at)
        values ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-00000000000d', '00000000-0000-7000-8000-000000000006',
            '00000000-0000-7000-8000-000000000003', '\x03', 'Firefox', now(), now(), now() + '1 day');
        insert into sso_attempts (organization_id, id, created_at, sso_configuration_id, outcome, claim_names)
        values ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-00000000000e', now(),
            '00000000-0000-7000-8000-000000000003', 'signed_in', '{sub}');
        "#,
    ),
    (
        4,
        r#"
        insert into domain_verifications (organization_id, id, domain, token, created_at)
        values ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-00000000000f', 'acme.example', 'token', '2026-01-01');
        insert into organization_policies (organization_id, policies, updated_at)
        values ('00000000-0000-7000-8000-000000000001', '{"restrictAccountCreationToScim": true}', '2026-01-01');
        "#,
    ),
    (
        12,
        r#"
        insert into sso_client_keys values ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000003', '', '2026-01-01');
        "#,
    ),
    (
        13,
        r#"
        insert into scim_group_changes values ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000004',
            '00000000-0000-7000-8000-000000000009', 0, 1, '2026-01-01');
        "#,
    ),
    (
        18,
        r#"
        insert into groups values ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000010', 'Builders', 'builders', '',
            '2026-01-01', '2026-01-01');
        insert into group_members values ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000010',
            '00000000-0000-7000-8000-000000000006', 'user', '00000000-0000-7000-8000-000000000011', '2026-01-01');
        insert into role_assignments values ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000012',
            '00000000-0000-7000-8000-000000000010', 'organization', '00000000-0000-7000-8000-000000000001', 'org_groups_admin', '2026-01-01');
        insert into personal_access_tokens values ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000013',
            '00000000-0000-7000-8000-000000000006', '', '$argon2id$', null, false, now(), now() + '1 day', null);
        insert into operator_tokens values ('00000000-0000-7000-8000-000000000014', 'Fleet', '$argon2id$', null, '2026-01-01', null, null, null);
        insert into invitations values ('00000000-0000-7000-8000-000000000001', '\x01', '\x02', now() + '1 day', '{acme.example}');
        "#,
    ),
    (
        19,
        r#"
        insert into applications (organization_id, id, name, settings, secret_hash, created_at, updated_at)
        values ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000015', 'Wiki',
            '{"name": "Wiki", "redirect_uris": ["https://wiki.acme.example/callback"], "authentication": "client_secret_basic",
              "require_pkce": true, "grants": ["authorization_code", "refresh_token"], "scopes": ["openid", "offline_access"],
              "id_token_signature": "RS256", "access_token_seconds": 600, "id_token_seconds": 3600, "refresh_token_seconds": 2592000}',
            '\x04', now(), now());
        insert into grants (organization_id, id, application_organization_id, application_id, subject_id, session_id,
            sso_configuration_id, scope, details, redirect_uri, refresh_hash, created_at, expires_at)
        values ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000016', '00000000-0000-7000-8000-000000000001',
            '00000000-0000-7000-8000-000000000015', '00000000-0000-7000-8000-000000000006', '00000000-0000-7000-8000-00000000000d',
            '00000000-0000-7000-8000-000000000003', 'openid offline_access', '{}', 'https://wiki.acme.example/callback', '\x05', now(),
            now() + '30 days');
        insert into pushed_requests (organization_id, id, application_id, token_hash, parameters, expires_at)
        values ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000017', '00000000-0000-7000-8000-000000000015',
            '\x06', '{"response_type": "code"}', now() + '1 minute');
        insert into client_assertions (organization_id, application_id, digest, expires_at)
        values ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000015', '\x07', now() + '1 minute');
        insert into signing_keys (id, algorithm, sealed_key, public_key, created_at, active_from)
        values ('key', 'RS256', '\x08', '{"kty": "RSA"}', now(), now());
        "#,
    ),
    (
        20,
        r#"
        insert into events (organization_id, type, subject_id, order_key, data, previous)
        values ('00000000-0000-7000-8000-000000000001', 'member.updated', '00000000-0000-7000-8000-000000000006',
            '00000000-0000-7000-8000-000000000006', '{"name": "Ada Weiß"}', '{"name": "Ada"}');
        "#,
    ),
    (
        21,
        r#"
        insert into webhooks (organization_id, id, settings, created_at, updated_at)
        values ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-00000000001a',
            '{"name": "Copy", "url": "https://copy.acme.example/", "types": []}', now(), now());
        insert into receivers (organization_id, id, kind, cursor, is_active)
        values ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-00000000001a', 'webhook', '{"s": 0, "t": 0}', false);
        insert into deliveries (organization_id, receiver_id, seq, event_organization_id, event_time, type, subject_id, order_key, status,
            tries, created_at)
        values ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-00000000001a', 1, '00000000-0000-7000-8000-000000000001',
            now(), 'member.updated', '00000000-0000-7000-8000-000000000006', '00000000-0000-7000-8000-000000000006', 'delivered', 1, now());
        "#,
    ),
    (
        22,
        r#"
        insert into event_streams (organization_id, id, settings, authorization_header, status, cursor, next_try, created_at, updated_at)
        values ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000018',
            '{"method": "push", "endpoint_url": "https://receiver.acme.example/", "events_requested": [], "description": null}', '\x09',
            'paused', '{"s": 0, "t": 0}', now(), now(), now());
        insert into event_stream_notices (organization_id, stream_id, id, created_at, token_events, is_last_word)
        values ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000018', '00000000-0000-7000-8000-000000000019',
            now(), '{}', false);
        insert into event_stream_removals (organization_id, stream_id, subject_id)
        values ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000018', '00000000-0000-7000-8000-000000000006');
        "#,
    ),
    (
        24,
        r#"
        insert into setup_links (organization_id, id, description, permissions, return_url, token_hash, created_by, created_by_principal,
            created_at, expires_at)
        values ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-00000000001b', 'Acme IT', '{sso,scim}', '', '\x0a',
            '00000000-0000-7000-8000-000000000002', 'service_account', now(), now() + '7 days');
        "#,
    ),
    (
        26,
        r#"
        insert into brands (organization_id, display_name, accent_color, logo_type, logo, updated_at)
        values ('00000000-0000-7000-8000-000000000001', 'Acme', '#2447c8', 'image/jpeg', '\xffd8ff', now());
        "#,
    ),
];

/// How many rows each table has.
async fn rows(db: &mut PgConnection) -> BTreeMap<String, i64> {
    let tables: Vec<String> = query_scalar(
        "select table_name::text from information_schema.tables
         where table_schema = 'public' and table_type = 'BASE TABLE' and table_name <> '_sqlx_migrations'",
    )
    .fetch_all(&mut *db)
    .await
    .unwrap();
    let mut rows = BTreeMap::new();
    for table in tables {
        let count = AssertSqlSafe(format!("select count(*) from {table}"));
        let count = query_scalar(count).fetch_one(&mut *db).await.unwrap();
        rows.insert(table, count);
    }
    rows
}

/// Seals what is sealed, as the program does that is going to read it.
async fn seal(db: &mut PgConnection, keys: &str) {
    let keys: Keyring = keys.parse().unwrap();
    let random = Random::system().unwrap();
    let (organization, sso) = (
        OrganizationId::from(ORGANIZATION),
        SsoConfigurationId::from(SSO),
    );
    let secret = client_secret_context(organization, sso);
    let secret = keys.seal(b"hunter2-hunter2", &secret, &random).unwrap();
    let key = client_key_context(organization, sso);
    let key = keys.seal(b"a key pair", &key, &random).unwrap();
    let stream = EventStreamId::from(STREAM);
    let header = authorization_header_context(organization, stream);
    let header = keys.seal(b"Bearer x", &header, &random).unwrap();
    for (statement, sealed) in [
        ("update sso_configurations set client_secret = $1", secret),
        ("update sso_client_keys set sealed_key = $1", key),
        ("update event_streams set authorization_header = $1", header),
    ] {
        query(statement)
            .bind(sealed)
            .execute(&mut *db)
            .await
            .unwrap();
    }
}

/// Every migration, one after the other, each on the rows of the versions before it.
async fn migrate(database: &Database) {
    let mut db = PgConnection::connect(&database.url()).await.unwrap();
    let all: Vec<_> = MIGRATIONS.iter().cloned().collect();
    let versions: Vec<i64> = all.iter().map(|migration| migration.version).collect();
    for (version, _) in ROWS {
        assert!(versions.contains(&version), "there is no version {version}");
    }
    let mut before = BTreeMap::new();
    for (number, version) in versions.iter().enumerate() {
        let migrator = Migrator::with_migrations(all[..=number].to_vec());
        migrator.run(&mut db).await.unwrap();
        let after = rows(&mut db).await;
        for (table, count) in &before {
            let kept = after.get(table).is_none_or(|after| after >= count);
            assert!(kept, "version {version} loses rows of {table}");
        }
        for (_, statements) in ROWS.iter().filter(|(of, _)| of == version) {
            raw_sql(*statements).execute(&mut db).await.unwrap();
        }
        before = rows(&mut db).await;
        let empty: Vec<&String> = before
            .iter()
            .filter(|(_, count)| **count == 0)
            .map(|(table, _)| table)
            .collect();
        assert!(
            empty.is_empty(),
            "with version {version}, {empty:?} has no rows: give ROWS some, so that later versions are tried on them"
        );
    }
    seal(&mut db, &database.key).await;
    db.close().await.unwrap();
}

async fn one<T>(database: &Database, query: &'static str) -> T
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    let mut db = PgConnection::connect(&database.url()).await.unwrap();
    query_scalar(query).fetch_one(&mut db).await.unwrap()
}

#[test]
fn every_migration_keeps_the_rows_of_every_table() {
    let Some(database) = Database::create() else {
        return;
    };
    run(async {
        migrate(&database).await;
        // What migrations compute of rows that were there.
        let domains: Vec<String> = one(
            &database,
            "select email_domain_keys from sso_configurations",
        )
        .await;
        assert_eq!(domains, ["acme.example"]);
        let alone: Vec<bool> =
            one(&database, "select array_agg(alone) from scim_user_emails").await;
        assert_eq!(alone, [false, false]);
        let count: i64 = one(&database, "select sum(count) from scim_user_blocks").await;
        assert_eq!(count, 1);
        let key: String = one(&database, "select display_name_key from scim_groups").await;
        assert_eq!(key, "grosskunden");
        let restricts: bool = one(
            &database,
            "select restrict_account_creation_to_scim from organization_policies",
        )
        .await;
        assert!(restricts);
    });

    // And the program works with them.
    let organization = ORGANIZATION.to_string();
    let create = ["token", "create", "--organization", &organization];
    let created = database.output(&create, &[]);
    assert!(created.status.success(), "{created:?}");
    let token = String::from_utf8(created.stdout).unwrap();
    let token = token.trim_end();
    let serving = database.serve(&[]);
    let call = |method: &str, request: Value| {
        let (status, answer) = serving.call(method, token, &request);
        assert_eq!(status, 200, "{method}: {answer}");
        answer
    };
    let search = json!({ "organizationId": ORGANIZATION, "filter": { "search": "WEISS" } });
    let members = call("ListMembers", search);
    assert_eq!(
        members["members"][0]["email"], "Ada@Acme.example",
        "{members}"
    );
    assert_eq!(members["members"][0]["status"], "USER_STATUS_ACTIVE");
    let sso = call("GetSSOConfiguration", json!({ "ssoConfigurationId": SSO }));
    assert_eq!(
        sso["ssoConfiguration"]["emailDomains"],
        json!(["Acme.Example"])
    );
    let regenerated = call(
        "RegenerateSCIMToken",
        json!({ "scimConfigurationId": SCIM }),
    );
    let scim_token = regenerated["token"].as_str().unwrap();
    for (path, name) in [
        ("Users?filter=userName%20eq%20%22ADA%22", "Ada Weiß"),
        (
            "Users?filter=emails.value%20eq%20%22ada@home.example%22",
            "Ada Weiß",
        ),
        (
            "Groups?filter=displayName%20eq%20%22GROSSKUNDEN%22",
            "Großkunden",
        ),
    ] {
        let (status, list) = serving.request("GET", &format!("/scim/v2/{path}"), scim_token, "");
        assert_eq!(status, 200, "{path}: {list}");
        let list: Value = serde_json::from_str(&list).unwrap();
        assert_eq!(list["totalResults"], 1, "{path}: {list}");
        assert_eq!(list["Resources"][0]["displayName"], name, "{path}: {list}");
    }
}
