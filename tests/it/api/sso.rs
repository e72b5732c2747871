//! SSO configurations.

use rollcall::domain::ids::SsoConfigurationId;
use rollcall::domain::sso::client_secret_context;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Server, merge, needs_parallel_connections, run};

/// Updates a configuration and reads it back.
async fn updated(server: &Server, id: &Value, change: Value) -> Value {
    let mut request = json!({ "ssoConfigurationId": id });
    merge(&mut request, change);
    assert_eq!(
        server.call("UpdateSSOConfiguration", request).await.ok(),
        json!({})
    );
    let reply = server
        .call("GetSSOConfiguration", json!({ "ssoConfigurationId": id }))
        .await;
    reply.ok()["ssoConfiguration"].clone()
}

#[test]
fn create_returns_every_field_and_no_secret() {
    run(async {
        let server = Server::start().await;
        let mut request = server.sso_request("client");
        merge(
            &mut request,
            json!({
                "emailDomains": ["example.com", "Example.org"],
                "displayName": "Accounts",
                "additionalScopes": ["groups"],
                "claimsExpression": "claims.email_verified",
            }),
        );
        let reply = server.call("CreateSSOConfiguration", request).await;
        let created = reply.ok()["ssoConfiguration"].clone();
        let id: Uuid = created["id"].as_str().unwrap().parse().unwrap();
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(
            created,
            json!({
                "id": id,
                "organizationId": server.organization,
                "clientId": "client",
                "issuerUrl": "https://accounts.example.com",
                "state": "SSO_CONFIGURATION_STATE_ACTIVE",
                "emailDomain": "example.com",
                "providerType": "PROVIDER_TYPE_CUSTOM",
                "emailDomains": ["example.com", "Example.org"],
                "displayName": "Accounts",
                "additionalScopes": ["groups"],
                "claimsExpression": "claims.email_verified",
            })
        );
        assert!(!String::from_utf8_lossy(&reply.bytes).contains("hunter2"));
        let read = server
            .call("GetSSOConfiguration", json!({ "ssoConfigurationId": id }))
            .await
            .ok();
        assert_eq!(read["ssoConfiguration"], created);
    });
}

#[test]
fn default_values_are_omitted() {
    run(async {
        let server = Server::start().await;
        let created = server.sso("client").await;
        let mut fields: Vec<&str> = created
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        fields.sort_unstable();
        assert_eq!(
            fields,
            [
                "clientId",
                "id",
                "issuerUrl",
                "organizationId",
                "providerType",
                "state"
            ]
        );
    });
}

#[test]
fn the_single_email_domain_joins_in_front_on_create() {
    run(async {
        let server = Server::start().await;
        let mut request = server.sso_request("client");
        merge(
            &mut request,
            json!({ "emailDomain": "b.com", "emailDomains": ["a.com", "b.com"] }),
        );
        let created =
            server.call("CreateSSOConfiguration", request).await.ok()["ssoConfiguration"].clone();
        assert_eq!(created["emailDomains"], json!(["b.com", "a.com"]));
        assert_eq!(created["emailDomain"], "b.com");
    });
}

#[test]
fn update_changes_what_is_present_and_nothing_else() {
    run(async {
        let server = Server::start().await;
        let mut request = server.sso_request("client");
        merge(
            &mut request,
            json!({ "emailDomains": ["a.com"], "displayName": "A", "additionalScopes": ["groups"], "claimsExpression": "true" }),
        );
        let created =
            server.call("CreateSSOConfiguration", request).await.ok()["ssoConfiguration"].clone();
        let id = &created["id"];
        assert_eq!(
            updated(&server, id, json!({})).await,
            created,
            "nothing given, nothing changed"
        );

        let changed = updated(
            &server,
            id,
            json!({
                "clientId": "other",
                "clientSecret": "new",
                "issuerUrl": "https://id.example.org",
                "state": "SSO_CONFIGURATION_STATE_INACTIVE",
                "claims": { "email": "mail" },
                "emailDomains": ["c.com", "d.com"],
                "displayName": "B",
                "additionalScopes": { "scopes": ["roles"] },
                "claimsExpression": "claims.ok",
            }),
        )
        .await;
        let mut expected = created.clone();
        merge(
            &mut expected,
            json!({
                "clientId": "other",
                "issuerUrl": "https://id.example.org",
                "state": "SSO_CONFIGURATION_STATE_INACTIVE",
                "claims": { "email": "mail" },
                "emailDomain": "c.com",
                "emailDomains": ["c.com", "d.com"],
                "displayName": "B",
                "additionalScopes": ["roles"],
                "claimsExpression": "claims.ok",
            }),
        );
        assert_eq!(changed, expected);
    });
}

#[test]
fn what_empty_means_depends_on_the_field() {
    run(async {
        let server = Server::start().await;
        let mut request = server.sso_request("client");
        merge(
            &mut request,
            json!({ "emailDomains": ["a.com"], "additionalScopes": ["groups"], "claimsExpression": "true", "displayName": "A" }),
        );
        let id =
            server.call("CreateSSOConfiguration", request).await.ok()["ssoConfiguration"]["id"]
                .clone();
        updated(&server, &id, json!({ "claims": { "email": "mail" } })).await;

        let kept = updated(&server, &id, json!({ "emailDomains": [], "claims": {} })).await;
        assert_eq!(
            (&kept["emailDomains"], &kept["claims"]),
            (&json!(["a.com"]), &json!({ "email": "mail" }))
        );
        let replaced = updated(&server, &id, json!({ "claims": { "name": "cn" } })).await;
        assert_eq!(
            replaced["claims"],
            json!({ "name": "cn" }),
            "all claims are replaced"
        );
        let cleared = updated(
            &server,
            &id,
            json!({ "additionalScopes": {}, "claimsExpression": "", "displayName": "" }),
        )
        .await;
        for field in ["additionalScopes", "claimsExpression", "displayName"] {
            assert_eq!(cleared[field], Value::Null, "{field}");
        }
    });
}

#[test]
fn the_single_email_domain_replaces_on_update_unless_the_list_is_given() {
    run(async {
        let server = Server::start().await;
        let id = server.sso("client").await["id"].clone();
        let single = updated(&server, &id, json!({ "emailDomain": "a.com" })).await;
        assert_eq!(single["emailDomains"], json!(["a.com"]));
        let list = updated(
            &server,
            &id,
            json!({ "emailDomain": "x.com", "emailDomains": ["b.com", "c.com"] }),
        )
        .await;
        assert_eq!(list["emailDomains"], json!(["b.com", "c.com"]));
    });
}

#[test]
fn explicit_nulls_are_absent_and_both_cases_of_names_are_read() {
    run(async {
        let server = Server::start().await;
        let request = json!({
            "organization_id": server.organization, "client_id": "client", "client_secret": "s", "issuer_url": "https://a.example",
            "email_domain": null, "email_domains": null, "display_name": null, "additional_scopes": null,
            "claims_expression": null, "somethingUnknown": { "a": [1] },
        });
        let created =
            server.call("CreateSSOConfiguration", request).await.ok()["ssoConfiguration"].clone();
        let changed = updated(
            &server,
            &created["id"],
            json!({ "clientId": null, "clientSecret": null, "issuerUrl": null, "state": null, "claims": null, "emailDomain": null,
                    "emailDomains": null, "displayName": null, "additionalScopes": null, "claimsExpression": null }),
        )
        .await;
        assert_eq!(changed, created);
    });
}

#[test]
fn the_same_issuer_and_client_twice_is_refused() {
    run(async {
        let server = Server::start().await;
        server.sso("one").await;
        let two = server.sso("two").await;
        let again = server
            .call("CreateSSOConfiguration", server.sso_request("one"))
            .await;
        assert!(
            again
                .error("already_exists")
                .contains("issuer_url and client_id")
        );
        assert_eq!(again.headers["x-should-retry"], "false");
        let collide = server
            .call(
                "UpdateSSOConfiguration",
                json!({ "ssoConfigurationId": two["id"], "clientId": "one" }),
            )
            .await;
        collide.error("already_exists");
        server.neighbour().await.sso("one").await;
    });
}

#[test]
fn issuer_and_client_of_any_length_are_stored_and_told_apart() {
    run(async {
        let server = Server::start().await;
        let long = "ä".repeat(2_048);
        let id = server.sso(&long).await["id"].clone();
        assert_eq!(
            updated(&server, &id, json!({ "displayName": "long" })).await["clientId"],
            long
        );
        server
            .call("CreateSSOConfiguration", server.sso_request(&long))
            .await
            .error("already_exists");
        // The same text, cut at another place.
        let mut shifted = server.sso_request("com/a");
        merge(&mut shifted, json!({ "issuerUrl": "https://x." }));
        server
            .call("CreateSSOConfiguration", shifted.clone())
            .await
            .ok();
        merge(
            &mut shifted,
            json!({ "issuerUrl": "https://x.com/", "clientId": "a" }),
        );
        server.call("CreateSSOConfiguration", shifted).await.ok();
    });
}

#[test]
fn of_32_parallel_creates_of_one_registration_exactly_one_succeeds() {
    run(async {
        needs_parallel_connections();
        let server = Server::start().await;
        let tries =
            (0..32).map(|_| server.call("CreateSSOConfiguration", server.sso_request("same")));
        let replies = futures_util::future::join_all(tries).await;
        assert_eq!(
            replies.iter().filter(|reply| reply.status == 200).count(),
            1
        );
        for reply in replies.iter().filter(|reply| reply.status != 200) {
            reply.error("already_exists");
        }
        let list = server
            .call(
                "ListSSOConfigurations",
                json!({ "organizationId": server.organization }),
            )
            .await
            .ok();
        assert_eq!(list["ssoConfigurations"].as_array().unwrap().len(), 1);
    });
}

#[test]
fn parallel_updates_of_different_fields_all_survive() {
    run(async {
        needs_parallel_connections();
        let server = Server::start().await;
        let id = server.sso("client").await["id"].clone();
        let changes = [
            json!({ "displayName": "B" }),
            json!({ "emailDomains": ["b.com"] }),
            json!({ "claims": { "email": "mail" } }),
            json!({ "additionalScopes": { "scopes": ["b"] } }),
            json!({ "claimsExpression": "claims.b" }),
            json!({ "state": "SSO_CONFIGURATION_STATE_INACTIVE" }),
        ];
        let updates = changes.into_iter().map(|mut change| {
            merge(&mut change, json!({ "ssoConfigurationId": id }));
            server.call("UpdateSSOConfiguration", change)
        });
        for reply in futures_util::future::join_all(updates).await {
            reply.ok();
        }
        // Each change saw what the one before it had left.
        let audit = server.audit("sso_config").await;
        assert_eq!(audit.len(), 7, "{audit:?}");
        for pair in audit.windows(2) {
            assert_eq!(pair[0].2, pair[1].1);
        }
        let read = updated(&server, &id, json!({})).await;
        assert_eq!(read["displayName"], "B");
        assert_eq!(read["emailDomains"], json!(["b.com"]));
        assert_eq!(read["claims"], json!({ "email": "mail" }));
        assert_eq!(read["additionalScopes"], json!(["b"]));
        assert_eq!(read["claimsExpression"], "claims.b");
        assert_eq!(read["state"], "SSO_CONFIGURATION_STATE_INACTIVE");
    });
}

#[test]
fn delete_removes_and_a_second_time_is_not_found() {
    run(async {
        let server = Server::start().await;
        let id = server.sso("client").await["id"].clone();
        let request = json!({ "ssoConfigurationId": id });
        assert_eq!(
            server
                .call("DeleteSSOConfiguration", request.clone())
                .await
                .ok(),
            json!({})
        );
        for method in [
            "DeleteSSOConfiguration",
            "GetSSOConfiguration",
            "UpdateSSOConfiguration",
        ] {
            server
                .call(method, request.clone())
                .await
                .error("not_found");
        }
        server.sso("client").await;
    });
}

#[test]
fn a_linked_configuration_is_not_deleted_and_the_error_names_the_link() {
    run(async {
        let server = Server::start().await;
        let scim = server.scim(json!({ "name": "Okta" })).await["scimConfiguration"].clone();
        let request = json!({ "ssoConfigurationId": scim["ssoConfigurationId"] });
        let message = server
            .call("DeleteSSOConfiguration", request.clone())
            .await
            .error("failed_precondition");
        assert!(
            message.contains("\"Okta\"") && message.contains(scim["id"].as_str().unwrap()),
            "{message}"
        );
        server
            .call(
                "DeleteSCIMConfiguration",
                json!({ "scimConfigurationId": scim["id"] }),
            )
            .await
            .ok();
        server.call("DeleteSSOConfiguration", request).await.ok();
    });
}

#[test]
fn the_client_secret_is_sealed_at_rest_and_follows_rotation() {
    run(async {
        let server = Server::start().await;
        let id = server.sso("client").await["id"].clone();
        let configuration: SsoConfigurationId =
            id.as_str().unwrap().parse::<Uuid>().unwrap().into();
        let context = client_secret_context(server.organization_id(), configuration);
        let stored = async || {
            let mut db = server.app.store.acquire().await.unwrap();
            let row = sqlx::query_scalar::<_, Vec<u8>>(
                "select client_secret from sso_configurations where id = $1",
            );
            row.bind(configuration.as_uuid())
                .fetch_one(&mut *db)
                .await
                .unwrap()
        };
        let sealed = stored().await;
        assert!(!sealed.windows(7).any(|bytes| bytes == b"hunter2"));
        assert_eq!(
            server.app.keys.open(&sealed, &context).unwrap().as_slice(),
            b"hunter2-hunter2"
        );
        let foreign =
            client_secret_context(server.neighbour().await.organization_id(), configuration);
        assert!(
            server.app.keys.open(&sealed, &foreign).is_none(),
            "a secret moved to another tenant does not open"
        );

        updated(&server, &id, json!({ "displayName": "kept" })).await;
        assert_eq!(stored().await, sealed);
        updated(&server, &id, json!({ "clientSecret": "rotated" })).await;
        assert_eq!(
            server
                .app
                .keys
                .open(&stored().await, &context)
                .unwrap()
                .as_slice(),
            b"rotated"
        );
    });
}

#[test]
fn every_change_leaves_an_audit_row_without_secrets() {
    run(async {
        let server = Server::start().await;
        let id = server.sso("client").await["id"].clone();
        updated(
            &server,
            &id,
            json!({ "displayName": "B", "clientSecret": "another-secret" }),
        )
        .await;
        server
            .call("CreateSSOConfiguration", server.sso_request("client"))
            .await
            .error("already_exists");
        server
            .call(
                "DeleteSSOConfiguration",
                json!({ "ssoConfigurationId": id }),
            )
            .await
            .ok();

        let mut db = server.app.store.acquire().await.unwrap();
        type Entry = (String, String, Uuid, String, Option<Value>, Option<Value>);
        let entries: Vec<Entry> = sqlx::query_as(
            "select action, subject_type, subject_id, actor_principal, before, after from audit_entries
             where organization_id = $1 order by created_at, id",
        )
        .bind(server.organization_id().as_uuid())
        .fetch_all(&mut *db)
        .await
        .unwrap();
        let mut actions: Vec<&str> = entries.iter().map(|entry| &*entry.0).collect();
        actions.sort_unstable();
        assert_eq!(
            actions,
            [
                "CreateSSOConfiguration",
                "DeleteSSOConfiguration",
                "UpdateSSOConfiguration"
            ]
        );
        for (action, subject_type, subject_id, principal, before, after) in &entries {
            assert_eq!(
                (&**subject_type, &**principal),
                ("sso_config", "service_account")
            );
            assert_eq!(subject_id.to_string(), id.as_str().unwrap());
            assert_eq!(
                before.is_some(),
                action != "CreateSSOConfiguration",
                "{action}"
            );
            assert_eq!(
                after.is_some(),
                action != "DeleteSSOConfiguration",
                "{action}"
            );
            let text = format!("{before:?}{after:?}");
            assert!(
                !text.contains("hunter2") && !text.contains("another-secret"),
                "{text}"
            );
        }
        let update = entries
            .iter()
            .find(|entry| entry.0 == "UpdateSSOConfiguration")
            .unwrap();
        assert_eq!(update.4.as_ref().unwrap()["display_name"], "");
        assert_eq!(update.5.as_ref().unwrap()["display_name"], "B");
    });
}

#[test]
fn an_e_mail_domain_is_one_in_whatever_spelling_and_shown_as_it_was_sent() {
    run(async {
        let server = Server::start().await;
        let mut request = server.sso_request("a");
        merge(
            &mut request,
            json!({ "emailDomain": " Example.com.", "emailDomains": ["Bücher.Example", "пример.рф", "example.COM"] }),
        );
        let created = server.call("CreateSSOConfiguration", request).await.ok();
        let created = &created["ssoConfiguration"];
        let shown = json!(["Example.com.", "Bücher.Example", "пример.рф"]);
        assert_eq!(created["emailDomains"], shown);
        assert_eq!(created["emailDomain"], "Example.com.");
        let shown = json!(["xn--bcher-kva.example"]);
        let after = updated(
            &server,
            &created["id"],
            json!({ "emailDomains": [" xn--bcher-kva.example\n"] }),
        )
        .await;
        assert_eq!(after["emailDomains"], shown);

        let update = |domains: Value| json!({ "ssoConfigurationId": created["id"], "emailDomains": domains });
        for (domains, fields) in [
            (
                json!(["bücher.example", "xn--bcher-kva.example"]),
                vec!["email_domains"],
            ),
            (
                json!(["example.com", "EXAMPLE.com."]),
                vec!["email_domains"],
            ),
            (json!(["exam%ple.com"]), vec!["email_domains[0]"]),
            (json!(["bücher..example"]), vec!["email_domains[0]"]),
            (
                json!(["a.example", "my_host.bücher.example"]),
                vec!["email_domains[1]"],
            ),
            (
                json!([format!("{}.example", "ü".repeat(63))]),
                vec!["email_domains[0]"],
            ),
        ] {
            let reply = server
                .call("UpdateSSOConfiguration", update(domains.clone()))
                .await;
            assert_eq!(reply.violations(), fields, "{domains}");
        }
    });
}
