//! The JSON of requests: every valid form is taken, and what does not fit is named.

use std::io::Write;

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{Request, header};
use serde_json::{Value, json};

use crate::support::{Reply, Server, merge, run};

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(vec![], Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn an_array_is_no_message() {
    run(async {
        let server = Server::start().await;
        let organization = &server.organization;
        let id = "0190a6e0-1c2b-7def-8123-456789abcdef";
        for (method, request, fields) in [
            (
                "ListSCIMConfigurations",
                json!({ "pagination": [] }),
                vec!["pagination"],
            ),
            (
                "ListSCIMConfigurations",
                json!({ "pagination": [5, "x"] }),
                vec!["pagination"],
            ),
            (
                "ListSSOConfigurations",
                json!({ "organizationId": organization, "pagination": [] }),
                vec!["pagination"],
            ),
            (
                "ListMembers",
                json!({ "organizationId": organization, "pagination": [], "filter": [], "sort": [] }),
                vec!["pagination", "filter", "sort"],
            ),
            (
                "RegenerateSCIMToken",
                json!({ "scimConfigurationId": id, "tokenExpiresIn": [86400] }),
                vec!["token_expires_in"],
            ),
            (
                "RegenerateSCIMToken",
                json!({ "scimConfigurationId": id, "tokenExpiresIn": { "seconds": 86400 } }),
                vec!["token_expires_in"],
            ),
            (
                "UpdateSSOConfiguration",
                json!({ "ssoConfigurationId": id, "claims": [["email", "mail"]] }),
                vec!["claims"],
            ),
            (
                "UpdateSSOConfiguration",
                json!({ "ssoConfigurationId": id, "additional_scopes": [["groups"]], "emailDomains": { "a.com": 1 } }),
                vec!["additional_scopes", "email_domains"],
            ),
            (
                "UpdateOrganizationPolicies",
                json!({ "organizationId": organization, "agentPolicy": [true], "securityAgentPolicy": { "customAgents": [[]], "crowdstrike": [] } }),
                vec![
                    "agent_policy",
                    "security_agent_policy.custom_agents[0]",
                    "security_agent_policy.crowdstrike",
                ],
            ),
            (
                "UpdateOrganizationPolicies",
                json!({ "organizationId": organization, "editorVersionRestrictions": { "vscode": [] } }),
                vec!["editor_version_restrictions"],
            ),
        ] {
            let mut found = server.call(method, request.clone()).await.violations();
            let mut fields = fields;
            found.sort();
            fields.sort_unstable();
            assert_eq!(found, fields, "{method} {request}");
        }
        for body in ["[]", "[{}]", "null", "\"{}\"", "1"] {
            let request = server.request("ListSCIMConfigurations", &server.token);
            let reply = server.send(request.body(Body::from(body)).unwrap()).await;
            assert_eq!(
                reply.error("invalid_argument"),
                "the body must be a JSON object"
            );
        }
    });
}

#[test]
fn a_value_of_another_type_is_not_repeated_but_named() {
    run(async {
        let server = Server::start().await;
        let mut request = server.sso_request("client");
        merge(
            &mut request,
            json!({ "clientSecret": 12345, "emailDomains": ["a.com", 12345], "display_name": { "12345": true } }),
        );
        let reply = server.call("CreateSSOConfiguration", request).await;
        let mut fields = reply.violations();
        fields.sort();
        assert_eq!(
            fields,
            ["client_secret", "display_name", "email_domains[1]"]
        );
        let message = reply.error("invalid_argument");
        assert!(
            message.contains("client_secret must be a string"),
            "{message}"
        );
        assert!(!message.contains("12345"), "{message}");

        for (change, expected) in [
            (
                json!({ "state": "ON" }),
                "state must be SSO_CONFIGURATION_STATE_UNSPECIFIED or SSO_CONFIGURATION_STATE_INACTIVE or SSO_CONFIGURATION_STATE_ACTIVE",
            ),
            (
                json!({ "claims": { "email": 12345 } }),
                "claims[*] must be a string",
            ),
            (
                json!({ "clientId": "a", "client_id": "b" }),
                "client_id must be given once",
            ),
        ] {
            let mut request =
                json!({ "ssoConfigurationId": "0190a6e0-1c2b-7def-8123-456789abcdef" });
            merge(&mut request, change);
            let message = server
                .call("UpdateSSOConfiguration", request)
                .await
                .error("invalid_argument");
            assert_eq!(message, expected);
        }
        let reply = server
            .call(
                "ListSCIMConfigurations",
                json!({ "pagination": { "pageSize": "many" } }),
            )
            .await;
        assert_eq!(reply.violations(), ["pagination.page_size"]);
    });
}

#[test]
fn json_is_checked_however_it_comes() {
    run(async {
        let server = Server::start().await;
        let path = "/api/gitpod.v1.OrganizationService/ListSSOConfigurations";
        let authorization = format!("Bearer {}", server.token);
        let ways = |body: &Value| -> Vec<Request<Body>> {
            let text = body.to_string();
            let get = |query: String| {
                Request::get(format!("{path}?connect=v1&{query}"))
                    .body(Body::empty())
                    .unwrap()
            };
            let post = |content_type: &str, encoding: &str, body: Vec<u8>| {
                let request = Request::post(path).header(header::CONTENT_TYPE, content_type);
                request
                    .header(header::CONTENT_ENCODING, encoding)
                    .body(Body::from(body))
                    .unwrap()
            };
            let plain: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
            let packed = gzip(&text);
            vec![
                post("application/json", "identity", text.clone().into_bytes()),
                post("application/json", "gzip", packed.clone()),
                get(format!("encoding=json&message={plain}")),
                get(format!(
                    "encoding=json&base64=1&message={}",
                    URL_SAFE_NO_PAD.encode(&text)
                )),
                get(format!(
                    "encoding=json&base64=1&compression=gzip&message={}",
                    URL_SAFE_NO_PAD.encode(packed)
                )),
            ]
        };
        let send = async |mut request: Request<Body>| -> Reply {
            request
                .headers_mut()
                .insert(header::AUTHORIZATION, authorization.parse().unwrap());
            server.send(request).await
        };
        for request in ways(
            &json!({ "organization_id": server.organization, "pagination": { "page_size": "1e1" } }),
        ) {
            send(request).await.ok();
        }
        for request in ways(&json!({ "organizationId": server.organization, "pagination": [] })) {
            let name = format!("{} {:?}", request.uri(), request.headers());
            assert_eq!(send(request).await.violations(), ["pagination"], "{name}");
        }
        // The same messages over gRPC.
        let text = json!({ "organizationId": server.organization, "pagination": [] }).to_string();
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        let body = [&[0], length.as_slice(), text.as_bytes()].concat();
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/grpc+json")
            .body(Body::from(body));
        let reply = send(request.unwrap()).await;
        let message = reply
            .trailers
            .get("grpc-message")
            .or(reply.headers.get("grpc-message"));
        assert_eq!(message.unwrap(), "pagination must be a JSON object");
    });
}

#[test]
fn every_valid_form_is_taken() {
    run(async {
        let server = Server::start().await;
        let mut created = server.sso_request("client");
        merge(
            &mut created,
            json!({
                "email_domain": null, "emailDomains": null, "additional_scopes": ["groups"], "displayName": "x", "display": { "unknown": [[]] },
            }),
        );
        let sso = server.call("CreateSSOConfiguration", created).await.ok();
        let id = &sso["ssoConfiguration"]["id"];
        for change in [
            json!({ "state": 1 }),
            json!({ "state": "SSO_CONFIGURATION_STATE_ACTIVE" }),
            json!({ "state": null }),
            json!({ "claims": {} }),
            json!({ "claims": { "email": "mail" } }),
            json!({ "additionalScopes": {} }),
            json!({ "additional_scopes": { "scopes": [] } }),
            json!({ "additionalScopes": null }),
        ] {
            let mut request = json!({ "ssoConfigurationId": id });
            merge(&mut request, change);
            server.call("UpdateSSOConfiguration", request).await.ok();
        }
        for lifetime in ["86400s", "86400.5s", "86400.000000000s"] {
            server.scim(json!({ "tokenExpiresIn": lifetime })).await;
        }
        for page_size in [
            json!(5),
            json!(5.0),
            json!("5"),
            json!("5.0"),
            json!(5e0),
            json!(null),
        ] {
            server
                .call(
                    "ListSCIMConfigurations",
                    json!({ "pagination": { "pageSize": page_size } }),
                )
                .await
                .ok();
        }
    });
}
