//! Attacks on the log of events.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use rollcall::domain::identity::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Reader, ask, page};
use crate::api::methods::{Things, call, join};
use crate::login::Place;
use crate::provider;
use crate::support::{Server, run};

fn encoded(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

fn decoded(text: &Value) -> Value {
    let json = URL_SAFE_NO_PAD.decode(text.as_str().unwrap()).unwrap();
    serde_json::from_slice(&json).unwrap()
}

/// The transactions of all events of an organization, which nobody but the database tells.
async fn transactions(server: &Server) -> Vec<i64> {
    let mut db = server.app.store.acquire().await.unwrap();
    sqlx::query_scalar("select distinct xid from events where organization_id = $1")
        .bind(server.organization_id().as_uuid())
        .fetch_all(&mut *db)
        .await
        .unwrap()
}

#[test]
fn attack_cursor_that_is_made_up_opens_nothing_of_others() {
    run(async {
        let server = Server::start().await;
        let stranger = server.neighbour().await;
        join(&server, "anna@example.com", "Anna").await;
        let xids = transactions(&server).await;
        let now = server.now().timestamp_millis();
        for cursor in [
            json!({ "s": 0, "o": xids, "t": now }),
            json!({ "s": i64::MAX, "o": xids, "t": now }),
            json!({ "s": i64::MIN, "o": xids, "t": i64::from(u32::MAX) * 1000 }),
            json!({ "s": i64::MAX, "o": xids, "l": { "x": xids, "s": i64::MIN }, "t": now }),
            json!({ "s": 7, "o": [i64::MIN, -1, 0, i64::MAX], "l": { "x": [], "s": i64::MAX }, "t": now }),
        ] {
            let cursor = encoded(&cursor);
            let found = page(&stranger, &cursor, json!({})).await;
            assert!(!found.to_string().contains(&server.organization), "{found}");
            // Whoever makes one up for the own organization goes on with it, or with the next.
            let found = page(&server, &cursor, json!({})).await;
            page(&server, found["cursor"].as_str().unwrap(), json!({})).await;
        }
    });
}

#[test]
fn attack_cursor_with_what_no_cursor_has() {
    run(async {
        let server = Server::start().await;
        let now = server.now().timestamp_millis();
        for cursor in [
            json!([]),
            json!({ "s": "1 or true", "t": now }),
            json!({ "s": 1.5, "t": now }),
            json!({ "s": 1, "t": i64::MAX }),
            json!({ "s": 1, "t": i64::MIN }),
            json!({ "s": 1, "o": [null], "t": now }),
            json!({ "s": 1, "o": "x", "t": now }),
            json!({ "s": 1, "l": { "x": [1] }, "t": now }),
        ] {
            let request = json!({ "cursor": encoded(&cursor) });
            let refused = ask(&server, "ListEvents", request).await;
            refused.error("invalid_argument");
        }
    });
}

/// As long as a cursor may be, with transactions that there are none of: they are looked for in an index, all at once.
#[test]
fn attack_cursor_with_thousands_of_transactions_is_read_like_any_other() {
    run(async {
        let server = Server::start().await;
        join(&server, "anna@example.com", "Anna").await;
        let now = server.now().timestamp_millis();
        let far = 900_000_000_000_000_i64;
        let many: Vec<i64> = (0..3_000).map(|number| far + number).collect();
        let cursor = encoded(&json!({ "s": i64::MAX, "o": many, "t": now }));
        assert!(
            (60_000..=65_536).contains(&cursor.len()),
            "{}",
            cursor.len()
        );
        let found = page(&server, &cursor, json!({})).await;
        assert_eq!(found.get("events"), None);
        let next = found["cursor"].as_str().unwrap();
        assert!(
            next.len() < 1_000,
            "what is no transaction is not kept: {next}"
        );
        let longer = "x".repeat(65_537);
        let refused = ask(&server, "ListEvents", json!({ "cursor": longer })).await;
        assert_eq!(refused.violations(), ["cursor"]);
    });
}

#[test]
fn attack_page_token_of_subjects_that_is_made_up() {
    run(async {
        let server = Server::start().await;
        let stranger = server.neighbour().await;
        join(&server, "anna@example.com", "Anna").await;
        let first = ask(&server, "ListSubjects", json!({ "pageSize": 1 }))
            .await
            .ok();
        let valid = decoded(&first["nextPageToken"]);
        let with = |field: &str, value: Value| {
            let mut token = valid.clone();
            token[field] = value;
            json!({ "pageToken": encoded(&token) })
        };
        for table in [
            "users",
            "api_tokens",
            "events",
            "MEMBERS",
            "members; --",
            "",
        ] {
            let refused = ask(&server, "ListSubjects", with("table", json!(table))).await;
            refused.error("invalid_argument");
        }
        for (field, value) in [
            ("table", json!(null)),
            ("id", json!(7)),
            ("group", json!("x")),
            ("configuration", json!([])),
            ("cursor", json!({})),
        ] {
            let refused = ask(&server, "ListSubjects", with(field, value)).await;
            refused.error("invalid_argument");
        }
        // A text that PostgreSQL has no form of, one that is no identifier, and one that is somebody else's.
        for id in ["\0", "x", "' or true --", &*"9".repeat(10_000)] {
            for table in ["members", "pushed_memberships"] {
                let mut token = valid.clone();
                token["id"] = json!(id);
                token["table"] = json!(table);
                let request = json!({ "pageToken": encoded(&token) });
                let reply = ask(&server, "ListSubjects", request).await;
                if !reply.status.is_success() {
                    reply.error("invalid_argument");
                }
            }
        }
        let begun_over = with("id", json!(Uuid::nil().to_string()));
        let found = ask(&stranger, "ListSubjects", begun_over).await.ok();
        assert!(!found.to_string().contains("anna@example.com"), "{found}");
    });
}

#[test]
fn a_read_only_token_reads_the_log() {
    run(async {
        let server = Server::start().await;
        let token = server.token(Role::Admin, true).await;
        for method in ["ListEvents", "ListSubjects"] {
            let path = format!("rollcall.v1.EventService/{method}");
            call(&server, &path, Some(&token), &json!({})).await.ok();
        }
    });
}

/// What opens anything, of every kind, is made and used; then it is looked for in everything that the log has.
#[test]
fn attack_secrets_are_looked_for_in_the_log() {
    run(async {
        let place = Place::start().await;
        let server = &place.server;
        let call = async |path: &str, request: Value| {
            call(server, path, Some(&server.token), &request).await.ok()
        };
        let mut secrets = vec![server.token.clone(), "hunter2-hunter2".to_owned()];
        let mut keep = |secret: &Value| secrets.push(secret.as_str().unwrap().to_owned());

        let things = Things::make(server).await;
        keep(&json!(things.scim_token));
        keep(&json!(things.invitation));
        let about =
            json!({ "ssoConfigurationId": things.ids["sso"], "clientSecret": "rotated-hunter3" });
        server.call("UpdateSSOConfiguration", about).await.ok();
        keep(&json!("rotated-hunter3"));
        let about = json!({ "scimConfigurationId": things.ids["scim"] });
        keep(&server.call("RegenerateSCIMToken", about).await.ok()["token"]);
        let about = json!({ "applicationId": things.ids["application"] });
        let rotate = "rollcall.v1.ApplicationService/RotateApplicationSecret";
        keep(&call(rotate, about).await["clientSecret"]);
        let wiki = json!({ "name": "Other", "redirectUris": ["https://other.example.com/"] });
        let create = "rollcall.v1.ApplicationService/CreateApplication";
        keep(&call(create, wiki).await["clientSecret"]);
        let account = server.service_account_token(&things.ids["account"]).await;
        let path = "ServiceAccountService/CreateServiceAccountToken";
        let lasting = server.call_to_as(&account, path, json!({})).await.ok();
        keep(&lasting["token"]);
        keep(&json!(account));

        // A password that an identity provider pushes, a session, and what an application gets of it.
        let c = place.provisioning().await;
        c.user("eve@example.com", json!({ "password": "pushed-hunter4" }))
            .await;
        keep(&json!("pushed-hunter4"));
        let (mut browser, ada) = place.signed_in("ada").await;
        let wiki = provider::Client::of(&place).await;
        let tokens = wiki.tokens(&mut browser, &[]).await;
        for name in ["access_token", "refresh_token", "id_token"] {
            keep(&tokens[name]);
        }
        keep(&json!(wiki.secret));
        for cookie in browser.cookies().split("; ") {
            let (_, value) = cookie.split_once('=').unwrap();
            keep(&json!(value));
        }
        let request = json!({ "userId": ada, "description": "mine" });
        let method = "UserService/CreatePersonalAccessToken";
        let made = browser.call(method, request).await.ok();
        keep(&made["token"]);
        browser.post("/logout", &[]).await;
        server.pass(TimeDelta::seconds(1));

        let mut db = server.app.store.acquire().await.unwrap();
        let all: Vec<String> =
            sqlx::query_scalar("select e::text from events e where organization_id = $1")
                .bind(server.organization_id().as_uuid())
                .fetch_all(&mut *db)
                .await
                .unwrap();
        drop(db);
        assert!(all.len() >= 20, "{}", all.len());
        let mut reader = Reader {
            server: server.clone(),
            cursor: String::new(),
        };
        let told: Vec<String> = reader.read().await.iter().map(Value::to_string).collect();
        assert_eq!(told.len(), all.len());
        let there = ask(server, "ListSubjects", json!({ "pageSize": 1000 })).await;
        let there = there.ok().to_string();
        assert!(there.contains("\"session\"") || there.contains("\"member\""));
        for secret in &secrets {
            assert!(secret.len() >= 10, "{secret}");
            // The whole of it, and what nobody can guess of a token.
            let tail = &secret[secret.len().saturating_sub(40)..];
            for text in all.iter().chain(&told).chain([&there]) {
                assert!(!text.contains(secret) && !text.contains(tail), "{text}");
            }
        }
        for text in &all {
            assert!(!text.contains("$argon2id$"), "{text}");
        }
    });
}
