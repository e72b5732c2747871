//! Every rule of the requests: an invalid one names each field at fault.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Server, merge, run};

fn id() -> Value {
    json!(Uuid::nil())
}

/// Sends `valid` with `change`, and expects exactly `fields` to be at fault.
async fn refused(server: &Server, method: &str, valid: &Value, change: Value, fields: &[&str]) {
    let mut request = valid.clone();
    merge(&mut request, change.clone());
    let reply = server.call(method, request).await;
    assert_eq!(
        reply.violations(),
        fields,
        "{method} {}",
        change.to_string().chars().take(200).collect::<String>()
    );
}

#[test]
fn what_is_required_is_missed_all_at_once() {
    run(async {
        let server = Server::start().await;
        let fields = [
            "organization_id",
            "client_id",
            "client_secret",
            "issuer_url",
        ];
        refused(
            &server,
            "CreateSSOConfiguration",
            &json!({}),
            json!({}),
            &fields,
        )
        .await;
        let fields = ["organization_id", "sso_configuration_id"];
        refused(
            &server,
            "CreateSCIMConfiguration",
            &json!({}),
            json!({}),
            &fields,
        )
        .await;
        refused(
            &server,
            "ListSSOConfigurations",
            &json!({}),
            json!({}),
            &["organization_id"],
        )
        .await;
        for method in [
            "GetSSOConfiguration",
            "UpdateSSOConfiguration",
            "DeleteSSOConfiguration",
        ] {
            refused(
                &server,
                method,
                &json!({}),
                json!({}),
                &["sso_configuration_id"],
            )
            .await;
        }
        for method in [
            "GetSCIMConfiguration",
            "UpdateSCIMConfiguration",
            "DeleteSCIMConfiguration",
            "RegenerateSCIMToken",
        ] {
            refused(
                &server,
                method,
                &json!({}),
                json!({}),
                &["scim_configuration_id"],
            )
            .await;
        }
    });
}

#[test]
fn the_message_says_what_to_send() {
    run(async {
        let server = Server::start().await;
        let mut request = server.sso_request("client");
        merge(
            &mut request,
            json!({ "organizationId": "x", "issuerUrl": "no uri", "emailDomains": ["a.com", "b.c"] }),
        );
        let message = server
            .call("CreateSSOConfiguration", request)
            .await
            .error("invalid_argument");
        for part in [
            "organization_id must be a UUID",
            "issuer_url must be a URI",
            "email_domains[1] length must be at least 4 characters",
        ] {
            assert!(message.contains(part), "{message}");
        }
        let mut request = server.sso_request("client");
        merge(&mut request, json!({ "emailDomains": ["a.com", "@b.com"] }));
        let message = server
            .call("CreateSSOConfiguration", request)
            .await
            .error("invalid_argument");
        assert_eq!(
            message,
            "email_domains[1] must be a domain name such as example.com, without @"
        );
    });
}

#[test]
fn the_message_has_the_range_of_the_field() {
    run(async {
        let server = Server::start().await;
        let scim = json!({ "scimConfigurationId": id(), "tokenExpiresIn": "1s" });
        let page = json!({ "organizationId": id(), "pagination": { "pageSize": 101 } });
        for (method, request, words) in [
            (
                "RegenerateSCIMToken",
                scim,
                "token_expires_in must be from 86400s (1 day) to 63072000s (730 days)",
            ),
            (
                "ListMembers",
                page,
                "pagination.page_size must be from 0 to 100",
            ),
        ] {
            let message = server.call(method, request).await.error("invalid_argument");
            assert_eq!(message, words);
        }
    });
}

#[test]
fn fields_of_an_sso_configuration() {
    run(async {
        let server = Server::start().await;
        let long_domain = format!(
            "{}.com",
            [
                "a".repeat(62),
                "b".repeat(62),
                "c".repeat(62),
                "d".repeat(61)
            ]
            .join(".")
        );
        assert_eq!(long_domain.len(), 254);
        let create = server.sso_request("client");
        let update = json!({ "ssoConfigurationId": id() });
        // (change, fields at fault) for both methods
        let both = [
            (json!({ "issuerUrl": "no uri" }), vec!["issuer_url"]),
            (json!({ "issuerUrl": "/relative" }), vec!["issuer_url"]),
            (json!({ "emailDomain": "a.b" }), vec!["email_domain"]),
            (
                json!({ "emailDomain": "@example.com" }),
                vec!["email_domain"],
            ),
            (
                json!({ "emailDomain": format!("{long_domain}") }),
                vec!["email_domain"],
            ),
            (
                json!({ "emailDomains": ["a.com", "a.com"] }),
                vec!["email_domains"],
            ),
            (
                json!({ "emailDomains": ["ok.com", "x"] }),
                vec!["email_domains[1]"],
            ),
            (
                json!({ "emailDomains": ["-a.com"] }),
                vec!["email_domains[0]"],
            ),
            (
                json!({ "emailDomains": ["a.com/"] }),
                vec!["email_domains[0]"],
            ),
            (
                json!({ "emailDomains": [long_domain] }),
                vec!["email_domains[0]"],
            ),
            (
                json!({ "emailDomains": (0..1001).map(|i| format!("a{i}.com")).collect::<Vec<_>>() }),
                vec!["email_domains"],
            ),
            (
                json!({ "displayName": "ä".repeat(129) }),
                vec!["display_name"],
            ),
            (
                json!({ "claimsExpression": format!("'{}' == ''", "x".repeat(4096)) }),
                vec!["claims_expression"],
            ),
            (
                json!({ "claimsExpression": "claims.email ==" }),
                vec!["claims_expression"],
            ),
            (
                json!({ "claimsExpression": "user.email == 'x'" }),
                vec!["claims_expression"],
            ),
            (
                json!({ "claimsExpression": "1 + 1" }),
                vec!["claims_expression"],
            ),
            (json!({ "displayName": "a\u{0}b" }), vec!["display_name"]),
            (
                json!({ "clientId": "a\u{0}b", "claimsExpression": "claims" }),
                vec!["client_id", "claims_expression"],
            ),
        ];
        for (change, fields) in both {
            refused(
                &server,
                "CreateSSOConfiguration",
                &create,
                change.clone(),
                &fields,
            )
            .await;
            refused(&server, "UpdateSSOConfiguration", &update, change, &fields).await;
        }
        let many = vec!["s"; 101];
        for (change, fields) in [
            (json!({ "clientId": "" }), vec!["client_id"]),
            (json!({ "clientSecret": "" }), vec!["client_secret"]),
            (
                json!({ "organizationId": "nonsense" }),
                vec!["organization_id"],
            ),
            (
                json!({ "additionalScopes": many }),
                vec!["additional_scopes"],
            ),
            (
                json!({ "additionalScopes": ["", "x".repeat(129)] }),
                vec!["additional_scopes[0]", "additional_scopes[1]"],
            ),
        ] {
            refused(&server, "CreateSSOConfiguration", &create, change, &fields).await;
        }
        let claims: serde_json::Map<String, Value> =
            (0..101).map(|i| (i.to_string(), json!("x"))).collect();
        for (change, fields) in [
            (json!({ "clientId": "" }), vec!["client_id"]),
            (json!({ "clientSecret": "" }), vec!["client_secret"]),
            (
                json!({ "ssoConfigurationId": "nonsense" }),
                vec!["sso_configuration_id"],
            ),
            (
                json!({ "state": "SSO_CONFIGURATION_STATE_UNSPECIFIED" }),
                vec!["state"],
            ),
            (json!({ "state": 77 }), vec!["state"]),
            (
                json!({ "state": 0, "displayName": "a\u{0}", "claimsExpression": "1 + 1" }),
                vec!["state", "display_name", "claims_expression"],
            ),
            (
                json!({ "additionalScopes": { "scopes": many } }),
                vec!["additional_scopes.scopes"],
            ),
            (
                json!({ "additionalScopes": { "scopes": [""] } }),
                vec!["additional_scopes.scopes[0]"],
            ),
            (json!({ "claims": claims }), vec!["claims"]),
            (json!({ "claims": { "email": "" } }), vec!["claims"]),
            (json!({ "claims": { "email": "a\u{0}" } }), vec!["claims"]),
        ] {
            refused(&server, "UpdateSSOConfiguration", &update, change, &fields).await;
        }
    });
}

#[test]
fn lengths_count_code_points() {
    run(async {
        let server = Server::start().await;
        let mut request = server.sso_request("client");
        merge(
            &mut request,
            json!({ "displayName": "💥".repeat(128), "additionalScopes": ["ä".repeat(128)] }),
        );
        let created = server.call("CreateSSOConfiguration", request).await.ok();
        assert_eq!(created["ssoConfiguration"]["displayName"], "💥".repeat(128));
    });
}

#[test]
fn fields_of_a_scim_configuration() {
    run(async {
        let server = Server::start().await;
        let create = json!({ "organizationId": server.organization, "ssoConfigurationId": id() });
        let regenerate = json!({ "scimConfigurationId": id() });
        for duration in ["86399s", "63072001s", "0s", "-86400s", "86399.999999999s"] {
            let change = json!({ "tokenExpiresIn": duration });
            refused(
                &server,
                "CreateSCIMConfiguration",
                &create,
                change.clone(),
                &["token_expires_in"],
            )
            .await;
            refused(
                &server,
                "RegenerateSCIMToken",
                &regenerate,
                change,
                &["token_expires_in"],
            )
            .await;
        }
        for (change, fields) in [
            (json!({ "name": "x".repeat(129) }), ["name"]),
            (json!({ "name": "\u{0}" }), ["name"]),
            (
                json!({ "ssoConfigurationId": "x" }),
                ["sso_configuration_id"],
            ),
        ] {
            refused(
                &server,
                "CreateSCIMConfiguration",
                &create,
                change.clone(),
                &fields,
            )
            .await;
            refused(
                &server,
                "UpdateSCIMConfiguration",
                &regenerate,
                change,
                &fields,
            )
            .await;
        }
    });
}

#[test]
fn the_place_of_a_fault_in_an_expression_is_told() {
    run(async {
        let server = Server::start().await;
        let mut request = server.sso_request("client");
        merge(
            &mut request,
            json!({ "claimsExpression": "claims.a &&\n  groups.size() > 0" }),
        );
        let message = server
            .call("CreateSSOConfiguration", request)
            .await
            .error("invalid_argument");
        assert!(
            message.contains("line 2, column 3") && !message.contains("groups"),
            "{message}"
        );
    });
}

#[test]
fn many_violations_are_cut_short_and_counted() {
    run(async {
        let server = Server::start().await;
        let mut request = server.sso_request("client");
        merge(
            &mut request,
            json!({ "emailDomains": (0..500).map(|i| format!("-{i}.com")).collect::<Vec<_>>() }),
        );
        let reply = server.call("CreateSSOConfiguration", request).await;
        assert_eq!(reply.violations().len(), 20);
        assert!(reply.error("invalid_argument").ends_with("and 480 more"));
    });
}
