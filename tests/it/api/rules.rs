//! Every rule of the requests: an invalid one names each field at fault.

use buffa::ExtensionSet;
use proto::Rule;
use serde_json::{Value, json};
use uuid::Uuid;

use super::methods::{call, described, is_enum, is_stream, request_of, with_field};
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
            "email_domains[1] must have at least 4 characters",
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

/// Values that break a rule, and values that do not, as its words say.
fn samples(rule: &Rule) -> (Vec<Value>, Vec<Value>) {
    let words = rule.words;
    let numbers: Vec<i64> = words
        .split_whitespace()
        .filter_map(|word| word.trim_end_matches('s').parse().ok())
        .collect();
    let text = |length: i64| json!("x".repeat(usize::try_from(length).unwrap()));
    let list = |length: i64| {
        (0..length)
            .map(|i| json!(format!("x{i}")))
            .collect::<Value>()
    };
    let time = |seconds: i64| json!(format!("{seconds}s"));
    match (rule.id, &*numbers) {
        ("required", []) => (vec![Value::Null], vec![]),
        ("string.min_len", []) => (vec![text(0)], vec![text(1)]),
        ("string.min_len", [n]) => (vec![text(n - 1)], vec![text(*n)]),
        ("string.max_len", [n]) => (vec![text(n + 1)], vec![text(*n)]),
        ("string.uuid", []) => (vec![json!("x")], vec![id()]),
        ("string.uri", []) => (
            vec![json!("x")],
            vec![json!("https://accounts.example.com")],
        ),
        ("repeated.min_items", []) => (vec![list(0)], vec![list(1)]),
        ("repeated.max_items", [n])
            if is_enum(request_of(rule.method.trim_start_matches('/')), rule.field) =>
        {
            let ones = |n: i64| json!(vec![1; usize::try_from(n).unwrap()]);
            (vec![ones(n + 1)], vec![ones(*n)])
        }
        ("repeated.max_items", [n]) => (vec![list(n + 1)], vec![list(*n)]),
        ("repeated.unique", []) => (vec![json!(["x", "x"])], vec![json!(["x", "y"])]),
        ("enum.defined_only", []) => (vec![json!(777)], vec![json!(1)]),
        ("enum.not_in", []) => (vec![json!(0)], vec![json!(1)]),
        ("int32.gte_lte", [least, most]) => (
            vec![json!(least - 1), json!(most + 1)],
            vec![json!(least), json!(most)],
        ),
        ("duration.gte_lte", [least, most]) => (
            vec![time(least - 1), time(most + 1)],
            vec![time(*least), time(*most)],
        ),
        ("maximum_environment_timeout", [none, least]) => (
            vec![time(none + 1), time(least - 1)],
            vec![time(*none), time(*least)],
        ),
        ("archive_environments_after_whole_days", [days]) => {
            (vec![time(days + 1)], vec![time(*days)])
        }
        _ => panic!("no samples of {rule:?} are known: write them here"),
    }
}

#[test]
fn every_rule_says_what_its_field_must_be() {
    // Words of libraries.
    const JARGON: [&str; 6] = ["value must", "regex", "pattern", "CEL", "satisfy", "items"];
    run(async {
        let server = Server::start().await;
        for rule in proto::RULES.iter().filter(|rule| !is_stream(rule.method)) {
            let is_sentence = rule.words.starts_with("must ") || rule.words == "is required";
            let is_plain = !JARGON.iter().any(|word| rule.words.contains(word));
            assert!(is_sentence && is_plain, "{rule:?}");

            let path = rule.method.trim_start_matches('/');
            let is_required = |other: &Rule| {
                (other.method, other.field, other.id) == (rule.method, rule.field, "required")
            };
            // Nothing is missing before it is too short.
            let words =
                match proto::RULES.iter().any(is_required) && rule.words == "must not be empty" {
                    true => "is required",
                    false => rule.words,
                };
            let (refused, taken) = samples(rule);
            for (value, is_refused) in refused
                .into_iter()
                .map(|value| (value, true))
                .chain(taken.into_iter().map(|value| (value, false)))
            {
                let is_list = rule.id.starts_with("repeated.") || rule.id == "required";
                let (body, field) = with_field(request_of(path), rule.field, value, is_list);
                let reply = call(&server, path, Some(&server.token), &body).await;
                let message = reply.json()["message"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                assert_eq!(
                    message
                        .split("; ")
                        .any(|part| part == format!("{field} {words}")),
                    is_refused,
                    "{rule:?} {}: {message}",
                    body.to_string().chars().take(200).collect::<String>()
                );
            }
        }
    });
}

#[test]
fn every_field_of_a_request_with_rules_has_their_words() {
    /// `buf.validate.field`.
    const RULES: u32 = 1159;
    for method in described() {
        for field in method.request.fields() {
            let options = field.options();
            let has_rules =
                options.is_some_and(|o| o.unknown_fields().iter().any(|f| f.number == RULES));
            let has_words = proto::RULES.iter().any(|rule| {
                rule.method == format!("/{}", method.path) && rule.field == field.name()
            });
            assert_eq!(has_rules, has_words, "{}: {}", method.path, field.name());
        }
    }
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
