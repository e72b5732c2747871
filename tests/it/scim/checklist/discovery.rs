//! Discovery (RFC 7644, section 4).

use http::Method;
use serde_json::{Value, json};

use crate::signals::{ACTIVATE, CREATE, DEACTIVATE, DELETE, PATCH, Stream, ask};
use crate::support::run;
use crate::support::scim::{BASE, Client, E, G, LIST, U};

#[test]
fn the_service_provider_config_is_this() {
    run(async {
        let c = Client::start().await;
        let config = c.get("/ServiceProviderConfig").await.is(200);
        let whole = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
            "documentationUri": "https://www.rfc-editor.org/rfc/rfc7644",
            "patch": { "supported": true },
            "bulk": { "supported": true, "maxOperations": 1000, "maxPayloadSize": 10_485_760 },
            "filter": { "supported": true, "maxResults": 1000 },
            "changePassword": { "supported": false },
            "sort": { "supported": true },
            "etag": { "supported": true },
            "pagination": {
                "cursor": true,
                "index": true,
                "defaultPaginationMethod": "index",
                "defaultPageSize": 100,
                "maxPageSize": 1000,
                "cursorTimeout": 3600,
            },
            "authenticationSchemes": [{
                "type": "oauthbearertoken",
                "name": "Bearer token",
                "description": "The token that CreateSCIMConfiguration or RegenerateSCIMToken returned",
                "specUri": "https://www.rfc-editor.org/rfc/rfc6750",
                "primary": true,
            }],
            "meta": {
                "resourceType": "ServiceProviderConfig",
                "location": format!("{BASE}/ServiceProviderConfig"),
            },
        });
        assert_eq!(config, whole);
    });
}

#[test]
fn security_events_are_in_the_config_of_an_organization_with_a_stream_alone() {
    run(async {
        let c = Client::start().await;
        let neighbour = c.server.neighbour().await;
        let told = async || {
            let config = c.get("/ServiceProviderConfig").await.is(200);
            config.get("securityEvents").cloned()
        };
        let of_neighbour = Stream::polled(&neighbour, &[]).await;
        assert_eq!(told().await, None);
        let stream = Stream::polled(&c.server, &[]).await;
        // RFC 9967, section 4.
        let whole = json!({
            "asyncRequest": "none",
            "eventUris": [CREATE, PATCH, DELETE, ACTIVATE, DEACTIVATE],
        });
        assert_eq!(told().await, Some(whole));
        for stream in [&stream, &of_neighbour] {
            let deleted = ask(&stream.server, Method::DELETE, &stream.path(), Value::Null).await;
            assert_eq!(deleted.status, 204);
        }
        assert_eq!(told().await, None);
    });
}

#[test]
fn types_and_schemas_are_lists_and_also_single() {
    run(async {
        let c = Client::start().await;
        for (path, names) in [
            ("/ResourceTypes", vec!["User", "Group"]),
            ("/Schemas", vec![U, G, E]),
        ] {
            let list = c.get(path).await.is(200);
            assert_eq!(list["schemas"], json!([LIST]));
            assert_eq!(list["totalResults"], names.len());
            for name in names {
                let one = c.get(&format!("{path}/{name}")).await.is(200);
                assert!(
                    list["Resources"].as_array().unwrap().contains(&one),
                    "{name}"
                );
                assert_eq!(one["meta"]["location"], format!("{BASE}{path}/{name}"));
            }
            c.get(&format!("{path}/Nope")).await.refused(404, "");
        }
        let user = c.get("/ResourceTypes/User").await.is(200);
        assert_eq!(
            (&user["endpoint"], &user["schema"]),
            (&json!("/Users"), &json!(U))
        );
        assert_eq!(
            user["schemaExtensions"],
            json!([{ "schema": E, "required": false }])
        );
    });
}

#[test]
fn filters_are_forbidden_and_other_methods_not_allowed() {
    run(async {
        let c = Client::start().await;
        for path in [
            "/ServiceProviderConfig",
            "/ResourceTypes",
            "/Schemas",
            "/Schemas/x",
            "/ResourceTypes/User",
        ] {
            c.get(&format!("{path}?filter=id+eq+%22x%22"))
                .await
                .refused(403, "");
            for method in ["POST", "PUT", "PATCH", "DELETE"] {
                c.send(method, path, &[("content-type", "text/plain")], "{junk")
                    .await
                    .refused(405, "");
            }
        }
        for (method, path) in [
            ("PUT", "/Users"),
            ("DELETE", "/Groups"),
            ("PATCH", "/Users"),
            ("GET", "/Bulk"),
            ("GET", "/Users/.search"),
            ("PUT", "/.search"),
            ("POST", "/Users/x"),
        ] {
            c.send(method, path, &[], "junk").await.refused(405, "");
        }
    });
}

#[test]
fn the_scheme_of_the_token_is_in_any_case() {
    run(async {
        let c = Client::start().await;
        for scheme in ["Bearer", "bearer", "BEARER"] {
            let value = format!("{scheme} {}", c.token);
            c.send("GET", "/Schemas", &[("authorization", &value)], "")
                .await
                .is(200);
        }
        for value in ["Bearer x", "Basic eDp5", "", "Bearer rcscim_x"] {
            let reply = c
                .send(
                    "GET",
                    "/ServiceProviderConfig",
                    &[("authorization", value)],
                    "",
                )
                .await;
            reply.refused(401, "");
            assert!(reply.header("www-authenticate").starts_with("Bearer"));
        }
    });
}

#[test]
fn me_is_not_implemented() {
    run(async {
        let c = Client::start().await;
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            c.send(method, "/Me", &[], "{}").await.refused(501, "");
        }
    });
}
