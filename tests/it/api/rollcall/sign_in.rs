//! `SignInService`.

use axum::body::Body;
use buffa::Message;
use buffa_types::google::protobuf::Struct;
use chrono::TimeDelta;
use http::{Request, header};
use proto::rollcall::v1::evaluate_claims_expression_request::Input;
use proto::rollcall::v1::{EvaluateClaimsExpressionRequest, EvaluateClaimsExpressionResponse};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ask, pages};
use crate::login::Place;
use crate::support::{Server, run};

const LIST: &str = "SignInService/ListSignInAttempts";
const CHECK: &str = "SignInService/CheckSSOConfiguration";
const CHECK_ISSUER: &str = "SignInService/CheckIssuer";
const EVALUATE: &str = "SignInService/EvaluateClaimsExpression";

async fn attempts(server: &Server, filter: Value) -> Vec<Value> {
    let list = ask(server, LIST, json!({ "filter": filter })).await.ok();
    list["attempts"].as_array().cloned().unwrap_or_default()
}

/// Ada signs in, Grace is kept out by the claims expression, and Ada signs in again.
async fn some_tries(place: &Place) {
    place
        .update(json!({ "claimsExpression": "claims.name != 'grace of the tests'" }))
        .await;
    for name in ["ada", "grace", "ada"] {
        place.pass(TimeDelta::minutes(1));
        place.comes(name, json!({}));
        place.try_sign_in(&mut place.browser()).await;
    }
}

#[test]
fn an_issuer_is_tested_before_there_is_a_configuration() {
    run(async {
        let place = Place::start().await;
        let check = async |issuer: &str| {
            let request = json!({ "issuerUrl": issuer });
            let answer = ask(&place.server, CHECK_ISSUER, request).await.ok();
            let findings = answer["findings"].as_array().cloned().unwrap_or_default();
            let text = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
            let pairs = findings
                .iter()
                .map(|f| (text(f, "outcome"), text(f, "subject")));
            pairs.collect::<Vec<_>>()
        };
        let found = check(&place.provider.issuer).await;
        let subjects: Vec<&str> = found.iter().map(|(_, subject)| &**subject).collect();
        assert_eq!(
            subjects,
            ["provider", "keys", "signatures", "code flow", "userinfo"]
        );
        assert!(found.iter().all(|(outcome, _)| outcome != "OUTCOME_BAD"));
        for issuer in ["nothing", "http://example.com", "https://127.0.0.1:1"] {
            let bad = vec![("OUTCOME_BAD".to_owned(), "provider".to_owned())];
            assert_eq!(check(issuer).await, bad, "{issuer}");
        }
    });
}

#[test]
fn tries_are_listed_with_what_came_of_them() {
    run(async {
        let place = Place::start().await;
        some_tries(&place).await;
        let all = attempts(&place.server, json!({})).await;
        let outcomes: Vec<&str> = all.iter().filter_map(|a| a["outcome"].as_str()).collect();
        assert_eq!(
            outcomes,
            [
                "SIGN_IN_OUTCOME_SIGNED_IN",
                "SIGN_IN_OUTCOME_REFUSED",
                "SIGN_IN_OUTCOME_SIGNED_IN"
            ]
        );
        assert_eq!(all[1]["createdAt"], "2026-03-01T12:02:00Z");
        assert_eq!(all[1]["ssoConfigurationId"], place.sso);
        assert_eq!(all[1]["failedCheck"], "claims_expression");
        assert_eq!(all[1]["reason"], "the claims expression is false");
        assert_eq!(
            all[1]["failedExpression"],
            "claims.name != 'grace of the tests'"
        );
        assert_eq!(all[1]["email"], place.email("grace"));
        assert_eq!(all[1]["subject"], "sub-grace");
        let names = all[1]["claimNames"].as_array().unwrap();
        assert!(names.contains(&json!("email_verified")), "{names:?}");
        assert_eq!(all[1]["userId"], Value::Null);
        assert_eq!(all[0]["userId"], all[2]["userId"]);

        let refused = json!({ "outcome": "SIGN_IN_OUTCOME_REFUSED" });
        assert_eq!(attempts(&place.server, refused).await, all[1..2]);
        let signed_in =
            json!({ "outcome": "SIGN_IN_OUTCOME_SIGNED_IN", "ssoConfigurationId": place.sso });
        let signed_in = attempts(&place.server, signed_in).await;
        assert_eq!(signed_in, [all[0].clone(), all[2].clone()]);
        let reference = json!({ "reference": all[2]["id"] });
        assert_eq!(attempts(&place.server, reference).await, all[2..]);

        for size in [1, 2] {
            let pages = pages(&place.server, LIST, json!({}), "attempts", size).await;
            assert!(pages.iter().all(|page| page.len() <= size as usize));
            assert_eq!(pages.concat(), all, "{size}");
        }
        let other = place.configure("another-client", json!({})).await;
        let other = json!({ "ssoConfigurationId": other });
        assert_eq!(attempts(&place.server, other).await, [] as [Value; 0]);
    });
}

#[test]
fn attack_tries_of_another_organization() {
    run(async {
        let place = Place::start().await;
        some_tries(&place).await;
        let attacker = place.neighbour().await;
        assert_eq!(
            attempts(&attacker.server, json!({})).await,
            [] as [Value; 0]
        );
        let reference = &attempts(&place.server, json!({})).await[0]["id"];
        let theirs = attempts(&attacker.server, json!({ "reference": reference })).await;
        assert_eq!(theirs, [] as [Value; 0]);
        for (method, wrap) in [(LIST, true), (CHECK, false)] {
            let request = |id: &str| {
                let request = json!({ "ssoConfigurationId": id });
                if wrap {
                    json!({ "filter": request })
                } else {
                    request
                }
            };
            let theirs = ask(&attacker.server, method, request(&place.sso)).await;
            let nobody = Uuid::max().to_string();
            let nobodys = ask(&attacker.server, method, request(&nobody)).await;
            assert_eq!(
                theirs.error("not_found"),
                nobodys.error("not_found"),
                "{method}: no oracle"
            );
        }
    });
}

#[test]
fn tries_are_found_by_member_address_and_time() {
    run(async {
        let place = Place::start().await;
        some_tries(&place).await;
        let all = attempts(&place.server, json!({})).await;
        let ada = [all[0].clone(), all[2].clone()];
        let of_member = json!({ "userId": all[0]["userId"] });
        assert_eq!(attempts(&place.server, of_member).await, ada);
        for email in [place.email("ada"), place.email("ADA").to_uppercase()] {
            assert_eq!(
                attempts(&place.server, json!({ "email": email })).await,
                ada,
                "{email}"
            );
        }
        let grace = json!({ "email": place.email("grace"), "outcome": "SIGN_IN_OUTCOME_REFUSED" });
        assert_eq!(attempts(&place.server, grace).await, all[1..2]);
        let since = json!({ "since": "2026-03-01T12:02:00Z" });
        assert_eq!(attempts(&place.server, since).await, all[..2]);
        let until = json!({ "until": "2026-03-01T12:02:00Z" });
        assert_eq!(attempts(&place.server, until).await, all[2..]);
        let between = json!({ "since": "2026-03-01T12:01:30Z", "until": "2026-03-01T12:02:30Z", "email": place.email("ada") });
        assert_eq!(attempts(&place.server, between).await, [] as [Value; 0]);
        for nobody in [
            json!({ "userId": Uuid::max() }),
            json!({ "email": "da@example.com" }),
        ] {
            assert_eq!(attempts(&place.server, nobody).await, [] as [Value; 0]);
        }
        // Addresses are compared as those of members: domains in either spelling, letters in either case.
        place.update(json!({ "claimsExpression": "false", "emailDomains": [place.domain, "bücher.example"] })).await;
        place.comes("odd", json!({ "email": "Émile@BÜCHER.example" }));
        place.try_sign_in(&mut place.browser()).await;
        for email in ["émile@bücher.example", "ÉMILE@xn--bcher-kva.example"] {
            let found = attempts(&place.server, json!({ "email": email })).await;
            assert_eq!(found.len(), 1, "{email}");
        }
    });
}

/// What a check finds, as `outcome subject: text`, and the whole answer.
async fn check(place: &Place) -> (Vec<String>, Value) {
    let request = json!({ "ssoConfigurationId": place.sso });
    let answer = ask(&place.server, CHECK, request).await.ok();
    let findings = answer["findings"].as_array().unwrap().iter();
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
    let findings = findings
        .map(|finding| {
            let outcome = text(finding, "outcome");
            let (subject, what) = (text(finding, "subject"), text(finding, "text"));
            format!(
                "{} {subject}: {what}",
                outcome.trim_start_matches("OUTCOME_")
            )
        })
        .collect();
    (findings, answer)
}

#[track_caller]
fn has(findings: &[String], expected: &str) {
    assert!(
        findings.iter().any(|finding| finding.contains(expected)),
        "{expected:?} in {findings:#?}"
    );
}

#[test]
fn a_configuration_is_tested_at_its_provider() {
    run(async {
        let place = Place::start().await;
        let (findings, answer) = check(&place).await;
        has(
            &findings,
            "OK redirect URI: register https://rollcall.test/auth/oidc/callback",
        );
        has(&findings, "OK state: active");
        has(
            &findings,
            "OK client: the provider accepts client_id and client_secret",
        );
        assert!(
            !findings.iter().any(|f| f.starts_with("BAD")),
            "{findings:#?}"
        );
        assert_eq!(answer["ssoConfigurationId"], place.sso);
        let (_, place_of_issuer) = place.provider.issuer.split_once("://").unwrap();
        assert_eq!(answer["displayName"], place_of_issuer);
        assert_eq!(
            answer["loginUrl"],
            format!(
                "https://rollcall.test/auth/oidc/start?organization={}&configuration={}",
                place.server.organization, place.sso
            )
        );

        place
            .update(json!({
                "clientSecret": "a wrong secret",
                "state": "SSO_CONFIGURATION_STATE_INACTIVE",
                "claimsExpression": "claims.email_verified",
            }))
            .await;
        let (findings, answer) = check(&place).await;
        has(&findings, "BAD state: the configuration is INACTIVE");
        has(
            &findings,
            "BAD client: the provider does not accept client_id and client_secret",
        );
        has(&findings, "OK claims expression: claims.email_verified");
        let text = answer.to_string();
        for secret in ["a wrong secret", &place.provider.secrets()[0]] {
            assert!(!text.contains(secret), "{text}");
        }
    });
}

#[test]
fn a_check_reads_the_provider_anew_and_leaves_what_logins_know_alone() {
    run(async {
        let place = Place::start().await;
        check(&place).await;
        place.provider.bend().metadata = json!({ "scopes_supported": ["openid"] });
        let (findings, _) = check(&place).await;
        has(
            &findings,
            "DOUBTFUL scopes: the provider does not list email profile",
        );
        place.provider.bend().metadata = json!({ "issuer": "https://elsewhere.example" });
        let (findings, _) = check(&place).await;
        has(&findings, "BAD provider");
        place.provider.bend().metadata = json!({});
        let (findings, _) = check(&place).await;
        has(&findings, "OK provider");
        place.sign_in(&mut place.browser()).await;
    });
}

#[test]
fn a_secret_that_no_key_opens_is_found() {
    run(async {
        let place = Place::start().await;
        let mut db = place.server.app.store.acquire().await.unwrap();
        let sealed_elsewhere =
            "update sso_configurations set client_secret = '\\x0161' where organization_id = $1";
        sqlx::query(sealed_elsewhere)
            .bind(place.server.organization_id().as_uuid())
            .execute(&mut *db)
            .await
            .unwrap();
        drop(db);
        let (findings, _) = check(&place).await;
        has(
            &findings,
            "BAD client: no key of the server's ROLLCALL_ENCRYPTION_KEYS opens",
        );
    });
}

async fn evaluate(server: &Server, request: Value) -> Value {
    ask(server, EVALUATE, request).await.ok()
}

#[test]
fn an_expression_is_evaluated_with_all_its_parts() {
    run(async {
        let server = Server::start().await;
        let expression = r#"claims.level > 3 && "root" in claims.groups"#;
        let claims = json!({ "level": 4, "groups": ["staff"] });
        let expected = json!({
            "verdict": "VERDICT_KEEPS_OUT",
            "part": "\"root\" in claims.groups",
            "reason": "is false",
            "parts": [
                { "source": expression, "value": "false" },
                { "depth": 1, "source": "claims.level > 3", "value": "true" },
                { "depth": 2, "source": "claims.level", "value": "4" },
                { "depth": 1, "source": "\"root\" in claims.groups", "value": "false" },
                { "depth": 2, "source": "claims.groups", "value": "[\"staff\"]" },
            ],
        });
        for input in [
            json!({ "expression": expression, "claims": claims }),
            json!({ "expression": expression, "claimsJson": claims.to_string() }),
        ] {
            assert_eq!(evaluate(&server, input).await, expected);
        }
        let missing = evaluate(&server, json!({ "expression": "claims.admin" })).await;
        assert_eq!(missing["reason"], "cannot be evaluated: no such key: admin");
        assert_eq!(missing["parts"][0]["reason"], "no such key: admin");
        for lets_in in [
            json!({}),
            json!({ "expression": "!has(claims.admin)" }),
            json!({ "expression": "claims.a.b == [1, 2.5, null, 'x']", "claims": { "a": { "b": [1, 2.5, null, "x"] } } }),
            json!({ "expression": "type(claims.a) == type(1) && claims.a / 2 == 1", "claims": { "a": 3 } }),
            // Beyond what a double holds.
            json!({ "expression": "claims.a == 9007199254740993", "claimsJson": "{\"a\": 9007199254740993}" }),
        ] {
            let answer = evaluate(&server, lets_in.clone()).await;
            assert_eq!(answer["verdict"], "VERDICT_LETS_IN", "{lets_in} {answer}");
        }
    });
}

#[test]
fn claims_come_in_binary_too() {
    run(async {
        let server = Server::start().await;
        let claims = Struct::from_fields([("admin", true)]);
        let message = EvaluateClaimsExpressionRequest {
            expression: "claims.admin".to_owned(),
            input: Some(Input::Claims(Box::new(claims))),
            ..Default::default()
        };
        let request = Request::post(format!("/rollcall.v1.{EVALUATE}"))
            .header(header::CONTENT_TYPE, "application/proto")
            .header(header::AUTHORIZATION, format!("Bearer {}", server.token))
            .body(Body::from(message.encode_to_vec()));
        let reply = server.send(request.unwrap()).await;
        let answer = EvaluateClaimsExpressionResponse::decode_from_slice(&reply.bytes).unwrap();
        assert_eq!(answer.parts.len(), 1);
        assert_eq!(answer.part, "");
    });
}

#[test]
fn a_mistake_is_told_by_its_place_and_without_claims() {
    run(async {
        let server = Server::start().await;
        for (request, field, words) in [
            (
                json!({ "expression": "claims.a &&\n  user.b" }),
                "expression",
                "line 2, column 3",
            ),
            (json!({ "expression": "1 + 1" }), "expression", "boolean"),
            (
                json!({ "claimsJson": "{\"name\": \"Wq7zZ\"," }),
                "claims_json",
                "no JSON at line 1, column 17",
            ),
            (
                json!({ "claimsJson": "[\"Wq7zZ\"]" }),
                "claims_json",
                "a JSON object",
            ),
            (
                json!({ "claimsJson": "\"Wq7zZ\"" }),
                "claims_json",
                "a JSON object",
            ),
            (json!({ "claimsJson": "" }), "claims_json", "a JSON object"),
        ] {
            let reply = ask(&server, EVALUATE, request.clone()).await;
            assert_eq!(reply.violations(), [field], "{request}");
            let message = reply.error("invalid_argument");
            assert!(message.contains(words), "{request}: {message}");
            assert!(!message.contains("Wq7zZ"), "{message}");
        }
        let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
        let deep = json!({ "claimsJson": format!("{{\"a\": {deep}}}") });
        assert_eq!(
            ask(&server, EVALUATE, deep).await.violations(),
            ["claims_json"]
        );
    });
}

#[test]
fn attack_expression_that_does_not_end() {
    run(async {
        let server = Server::start().await;
        let list = "[0,1,2,3,4,5,6,7,8,9]";
        let slow = format!(
            "{list}.all(a, {list}.all(b, {list}.all(c, {list}.all(d, {list}.all(e, {list}.all(f, true))))))"
        );
        let request = json!({ "expression": format!("{slow} && {slow}") });
        let answer = evaluate(&server, request).await;
        assert_eq!(answer["verdict"], "VERDICT_KEEPS_OUT");
        assert_eq!(answer["reason"], "takes too many steps");
    });
}
