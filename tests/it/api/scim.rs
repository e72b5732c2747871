//! SCIM configurations.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Server, merge, run};

fn time(value: &Value) -> DateTime<Utc> {
    value
        .as_str()
        .unwrap_or_else(|| panic!("a time: {value}"))
        .parse()
        .unwrap()
}

async fn read(server: &Server, id: &Value) -> Value {
    let reply = server
        .call("GetSCIMConfiguration", json!({ "scimConfigurationId": id }))
        .await;
    reply.ok()["scimConfiguration"].clone()
}

/// The stored hash of a configuration's token.
async fn hash(server: &Server, id: &Value) -> String {
    let mut db = server.app.store.acquire().await.unwrap();
    let id: Uuid = id.as_str().unwrap().parse().unwrap();
    let row =
        sqlx::query_scalar("select token_hash from scim_configurations where id = $1").bind(id);
    row.fetch_one(&mut *db).await.unwrap()
}

/// Whether `token` is the one that the configuration takes.
async fn opens(server: &Server, id: &Value, token: &Value) -> bool {
    use rollcall::domain::token::{Token, TokenKind};
    let token = Token::parse(TokenKind::Scim, token.as_str().unwrap()).unwrap();
    server
        .app
        .tokens
        .verify(&token, &hash(server, id).await, server.now())
        .await
        .unwrap()
}

#[test]
fn create_is_enabled_for_a_year_and_shows_its_token_once() {
    run(async {
        let server = Server::start().await;
        let created = server.scim(json!({})).await;
        let configuration = &created["scimConfiguration"];
        let expires = server.now() + TimeDelta::days(365);
        assert_eq!(configuration["organizationId"], *server.organization);
        assert_eq!(configuration["name"], "SCIM Configuration");
        assert_eq!(configuration["enabled"], true);
        assert_eq!(
            configuration["allowUnverifiedEmailAccountLinking"],
            Value::Null
        );
        assert_eq!(time(&configuration["createdAt"]), server.now());
        assert_eq!(configuration["updatedAt"], configuration["createdAt"]);
        assert_eq!(time(&configuration["tokenExpiresAt"]), expires);
        assert_eq!(time(&created["tokenExpiresAt"]), expires);

        let token = &created["token"];
        assert!(token.as_str().unwrap().starts_with("rcscim_"));
        assert!(opens(&server, &configuration["id"], token).await);
        assert!(
            hash(&server, &configuration["id"])
                .await
                .starts_with("$argon2id$")
        );
        assert_eq!(read(&server, &configuration["id"]).await, *configuration);
        let list = server.call("ListSCIMConfigurations", json!({})).await;
        assert!(!String::from_utf8_lossy(&list.bytes).contains("rcscim_"));
    });
}

#[test]
fn create_takes_a_name_a_lifetime_and_linking() {
    run(async {
        let server = Server::start().await;
        let more = json!({ "name": "Okta", "tokenExpiresIn": "7776000s", "allowUnverifiedEmailAccountLinking": true });
        let created = server.scim(more).await;
        assert_eq!(created["scimConfiguration"]["name"], "Okta");
        assert_eq!(
            created["scimConfiguration"]["allowUnverifiedEmailAccountLinking"],
            true
        );
        assert_eq!(
            time(&created["tokenExpiresAt"]),
            server.now() + TimeDelta::days(90)
        );
        for (seconds, days) in [("86400s", 1), ("63072000s", 730)] {
            let created = server.scim(json!({ "tokenExpiresIn": seconds })).await;
            assert_eq!(
                time(&created["tokenExpiresAt"]),
                server.now() + TimeDelta::days(days),
                "{seconds}"
            );
        }
    });
}

#[test]
fn update_changes_what_is_present_and_the_time() {
    run(async {
        let server = Server::start().await;
        let created = server.scim(json!({ "name": "A" })).await["scimConfiguration"].clone();
        let other = server.sso("other").await;
        let id = &created["id"];
        server.pass(TimeDelta::seconds(5));
        let change = json!({ "scimConfigurationId": id, "enabled": false, "ssoConfigurationId": other["id"] });
        let reply = server.call("UpdateSCIMConfiguration", change).await.ok();
        let mut expected = created.clone();
        merge(
            &mut expected,
            json!({ "ssoConfigurationId": other["id"], "updatedAt": "2026-03-01T12:00:05Z" }),
        );
        expected.as_object_mut().unwrap().remove("enabled");
        assert_eq!(reply["scimConfiguration"], expected);
        assert_eq!(read(&server, id).await, expected);

        let more = json!({ "scimConfigurationId": id, "enabled": true, "name": "B", "allowUnverifiedEmailAccountLinking": true });
        let reply =
            server.call("UpdateSCIMConfiguration", more).await.ok()["scimConfiguration"].clone();
        assert_eq!(
            (&reply["enabled"], &reply["name"]),
            (&json!(true), &json!("B"))
        );
        assert_eq!(reply["allowUnverifiedEmailAccountLinking"], true);
        let unnamed = json!({ "scimConfigurationId": id, "name": "" });
        let reply = server.call("UpdateSCIMConfiguration", unnamed).await.ok();
        assert_eq!(reply["scimConfiguration"]["name"], "SCIM Configuration");
    });
}

#[test]
fn regenerate_ends_the_old_token_at_once_and_keeps_the_lifetime() {
    run(async {
        let server = Server::start().await;
        let created = server.scim(json!({ "tokenExpiresIn": "7776000s" })).await;
        let id = &created["scimConfiguration"]["id"];
        assert!(opens(&server, id, &created["token"]).await);
        server.pass(TimeDelta::days(10));

        let again = server
            .call("RegenerateSCIMToken", json!({ "scimConfigurationId": id }))
            .await
            .ok();
        assert_ne!(again["token"], created["token"]);
        assert_eq!(
            time(&again["tokenExpiresAt"]),
            server.now() + TimeDelta::days(90)
        );
        assert!(
            !opens(&server, id, &created["token"]).await,
            "although it had been verified before"
        );
        assert!(opens(&server, id, &again["token"]).await);
        assert_eq!(
            read(&server, id).await["tokenExpiresAt"],
            again["tokenExpiresAt"]
        );

        let request = json!({ "scimConfigurationId": id, "tokenExpiresIn": "86400s" });
        let short = server.call("RegenerateSCIMToken", request).await.ok();
        assert_eq!(
            time(&short["tokenExpiresAt"]),
            server.now() + TimeDelta::days(1)
        );
        let next = server
            .call("RegenerateSCIMToken", json!({ "scimConfigurationId": id }))
            .await
            .ok();
        assert_eq!(
            time(&next["tokenExpiresAt"]),
            server.now() + TimeDelta::days(1),
            "the last lifetime given counts"
        );
    });
}

#[test]
fn an_sso_configuration_that_is_not_there_is_not_linked_to() {
    run(async {
        let server = Server::start().await;
        let scim = server.scim(json!({})).await["scimConfiguration"].clone();
        let foreign = server.neighbour().await.sso("theirs").await["id"].clone();
        for missing in [json!(Uuid::nil()), foreign] {
            let create =
                json!({ "organizationId": server.organization, "ssoConfigurationId": missing });
            server
                .call("CreateSCIMConfiguration", create)
                .await
                .error("not_found");
            let update =
                json!({ "scimConfigurationId": scim["id"], "ssoConfigurationId": missing });
            server
                .call("UpdateSCIMConfiguration", update)
                .await
                .error("not_found");
        }
        assert_eq!(
            read(&server, &scim["id"]).await,
            scim,
            "and the refused update changed nothing"
        );
    });
}

#[test]
fn delete_removes_and_a_second_time_is_not_found() {
    run(async {
        let server = Server::start().await;
        let id = server.scim(json!({})).await["scimConfiguration"]["id"].clone();
        let request = json!({ "scimConfigurationId": id });
        assert_eq!(
            server
                .call("DeleteSCIMConfiguration", request.clone())
                .await
                .ok(),
            json!({})
        );
        for method in [
            "DeleteSCIMConfiguration",
            "GetSCIMConfiguration",
            "UpdateSCIMConfiguration",
            "RegenerateSCIMToken",
        ] {
            server
                .call(method, request.clone())
                .await
                .error("not_found");
        }
    });
}

#[test]
fn every_change_leaves_an_audit_row_without_token_or_hash() {
    run(async {
        let server = Server::start().await;
        let created = server.scim(json!({})).await;
        let request = json!({ "scimConfigurationId": created["scimConfiguration"]["id"] });
        for method in [
            "UpdateSCIMConfiguration",
            "RegenerateSCIMToken",
            "DeleteSCIMConfiguration",
        ] {
            server.call(method, request.clone()).await.ok();
        }
        let mut db = server.app.store.acquire().await.unwrap();
        let entries: Vec<(String, Value)> = sqlx::query_as(
            "select action, jsonb_build_object('before', before, 'after', after) from audit_entries
             where organization_id = $1 and subject_type = 'scim_configuration' order by action",
        )
        .bind(server.organization_id().as_uuid())
        .fetch_all(&mut *db)
        .await
        .unwrap();
        let actions: Vec<&str> = entries.iter().map(|entry| &*entry.0).collect();
        assert_eq!(
            actions,
            [
                "CreateSCIMConfiguration",
                "DeleteSCIMConfiguration",
                "RegenerateSCIMToken",
                "UpdateSCIMConfiguration"
            ]
        );
        for (action, states) in &entries {
            let text = states.to_string();
            assert!(
                !text.contains("argon2") && !text.contains("rcscim"),
                "{action}: {text}"
            );
        }
    });
}
