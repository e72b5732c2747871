//! What comes back to the callback: from the provider, from another one, twice, late, to another
//! browser, or made up.

use chrono::TimeDelta;
use futures_util::future::join_all;
use http::header;
use rollcall::domain::sign_in::{Attempt, Check, Refusal};
use rollcall::domain::token::{Token, TokenKind};
use rollcall::error::Error;
use rollcall::store::sign_in::record;
use serde_json::{Value, json};
use uuid::Uuid;

use super::provider::{Endpoint, Provider};
use super::{Place, is_kept_out};
use crate::support::{Reply, naming, needs_parallel_connections, run};

const LOGIN: &str = Check::Login.as_str();

/// An answer that comes to a browser that did not begin the login.
async fn is_not_ours(place: &Place, reply: &Reply) {
    place.refused(reply, LOGIN, "did not begin").await;
    assert!(reply.text().contains("begun in another browser"));
    assert_eq!(
        place.provider.count(Endpoint::Token),
        0,
        "the code is not used"
    );
    assert!(place.members().await.is_empty());
}

#[test]
fn attack_answer_in_a_browser_that_did_not_begin() {
    run(async {
        let place = Place::start().await;
        let answer = place.begin(&mut place.browser()).await;
        let mut victim = place.browser();
        let reply = place.come_back(&mut victim, &answer).await;
        is_not_ours(&place, &reply).await;
    });
}

#[test]
fn attack_answer_in_a_browser_that_began_another_login() {
    run(async {
        let place = Place::start().await;
        let answer = place.begin(&mut place.browser()).await;
        let mut victim = place.browser();
        place.begin(&mut victim).await;
        let reply = place.come_back(&mut victim, &answer).await;
        is_not_ours(&place, &reply).await;
        // Nor under the name of the attacker's cookie.
        let name = victim.jar.keys().next().unwrap().clone();
        let mut attacker = place.browser();
        let answer = place.begin(&mut attacker).await;
        let theirs = attacker.jar.keys().next().unwrap().clone();
        let value = victim.jar[&name].clone();
        victim.jar.insert(theirs, value);
        let reply = place.come_back(&mut victim, &answer).await;
        is_not_ours(&place, &reply).await;
    });
}

#[test]
fn attack_log_is_not_filled_by_strangers() {
    run(async {
        let place = Place::start().await;
        let answer = place.begin(&mut place.browser()).await;
        for _ in 0..3 {
            let reply = place.come_back(&mut place.browser(), &answer).await;
            is_not_ours(&place, &reply).await;
        }
        assert_eq!(place.attempts().await.len(), 1, "one in a minute");
        place.pass(TimeDelta::minutes(1));
        let reply = place.come_back(&mut place.browser(), &answer).await;
        is_not_ours(&place, &reply).await;
        assert_eq!(place.attempts().await.len(), 2);
    });
}

#[test]
fn attack_login_cookie_with_other_bytes() {
    run(async {
        let place = Place::start().await;
        let mut browser = place.browser();
        let answer = place.begin(&mut browser).await;
        let (name, value) = browser.jar.pop_first().unwrap();
        let middle = value.len() / 2;
        let other = if &value[middle..=middle] == "A" {
            "B"
        } else {
            "A"
        };
        let tampered = [&value[..middle], other, &value[middle + 1..]].concat();
        for value in [
            tampered,
            value[..middle].to_owned(),
            String::new(),
            "!".to_owned(),
        ] {
            browser.jar.insert(name.clone(), value);
            let reply = place.come_back(&mut browser, &answer).await;
            is_not_ours(&place, &reply).await;
        }
    });
}

#[test]
fn attack_login_cookie_tossed_by_another_host() {
    run(async {
        let place = Place::start().await;
        let mut browser = place.browser();
        let answer = place.begin(&mut browser).await;
        let (name, value) = browser.jar.first_key_value().unwrap();
        let twice = format!("{name}={value}; {name}=another");
        let url = format!(
            "/auth/oidc/callback?{}",
            super::query(&[("code", &answer["code"]), ("state", &answer["state"]),])
        );
        let mut unaware = place.browser();
        let request = http::Request::get(url).header(header::COOKIE, twice);
        let reply = unaware.send(request, axum::body::Body::empty()).await;
        is_not_ours(&place, &reply).await;
    });
}

#[test]
fn attack_state_of_another_login_of_the_same_browser() {
    run(async {
        let place = Place::start().await;
        let mut browser = place.browser();
        let first = place.begin(&mut browser).await;
        let mut second = place.begin(&mut browser).await;
        // The code of one with the state of the other: the provider knows the verifier.
        second.insert("code".to_owned(), first["code"].clone());
        let reply = place.come_back(&mut browser, &second).await;
        place
            .refused(&reply, Check::Code.as_str(), "invalid_grant")
            .await;
        assert_eq!(browser.member().await, None);
    });
}

#[test]
fn attack_state_that_names_another_organization() {
    run(async {
        let place = Place::start().await;
        let neighbour = place.neighbour().await;
        let mut browser = place.browser();
        let answer = place.begin(&mut browser).await;
        let (token, configuration) = answer["state"].split_once('.').unwrap();
        let theirs = Some(neighbour.server.organization_id());
        let their_configuration = neighbour.sso.replace('-', "");
        for (organization, configuration, status) in [
            (theirs, configuration, 404),
            // A configuration that there is: its administrators are told.
            (theirs, &*their_configuration, 400),
            (None, configuration, 404),
        ] {
            let state = format!("{}.{configuration}", naming(token, organization));
            let mut forged = answer.clone();
            forged.insert("state".to_owned(), state);
            let reply = place.come_back(&mut browser, &forged).await;
            assert_eq!(reply.status, status, "{forged:?}");
            super::gives_no_session(&reply);
        }
        assert_eq!(place.provider.count(Endpoint::Token), 0);
        // All of which leaves the login as it was.
        assert_eq!(
            place.come_back(&mut browser, &answer).await.location(),
            "/account"
        );
    });
}

#[test]
fn attack_code_of_another_browser() {
    run(async {
        let place = Place::start().await;
        // The victim's code, caught on its way back, in the attacker's own login.
        let victim = place.begin(&mut place.browser()).await;
        let mut attacker = place.browser();
        let mut answer = place.begin(&mut attacker).await;
        answer.insert("code".to_owned(), victim["code"].clone());
        let reply = place.come_back(&mut attacker, &answer).await;
        place
            .refused(&reply, Check::Code.as_str(), "invalid_grant")
            .await;
        assert_eq!(attacker.member().await, None);
    });
}

#[test]
fn attack_answer_a_second_time() {
    run(async {
        let place = Place::start().await;
        let mut browser = place.browser();
        let answer = place.begin(&mut browser).await;
        let mut copy = browser.clone();
        assert_eq!(
            place.come_back(&mut browser, &answer).await.location(),
            "/account"
        );
        // The browser has no cookie of it any more.
        let reply = place.come_back(&mut browser, &answer).await;
        assert_eq!(reply.status, 400);
        // One that kept it gets no further.
        let reply = place.come_back(&mut copy, &answer).await;
        let refused = place.refused(&reply, LOGIN, "came a second time").await;
        assert_eq!(copy.member().await, None);
        let attempts = place.attempts().await;
        assert_eq!(attempts.len(), 3, "a row each: {attempts:?}");
        let first = attempts
            .iter()
            .find(|a| a.outcome.as_str() == "signed_in")
            .unwrap();
        assert!(refused.reason.unwrap().contains(&first.id.to_string()));
        assert_eq!(
            place.provider.count(Endpoint::Token),
            1,
            "the code is used once"
        );
        assert!(browser.member().await.is_some());
    });
}

#[test]
fn a_reference_is_of_one_attempt_unless_it_is_shared() {
    run(async {
        let place = Place::start().await;
        let app = &place.server.app;
        let attempt = |is_shared, reason: &str| Attempt {
            is_shared,
            refusal: Some(Refusal::new(Check::Login, reason)),
            ..Attempt::new(
                Uuid::from_u128(u128::from(is_shared)).into(),
                place.server.organization_id(),
                place.sso.parse::<Uuid>().unwrap().into(),
                app.clock.now(),
            )
        };
        let mut db = app.store.acquire().await.unwrap();
        for reason in ["first", "second"] {
            record(&mut db, &attempt(true, reason)).await.unwrap();
        }
        record(&mut db, &attempt(false, "only")).await.unwrap();
        let again = record(&mut db, &attempt(false, "again")).await;
        assert!(matches!(again, Err(Error::Internal(_))), "{again:?}");
        drop(db);
        let attempts = place.attempts().await;
        let mut reasons: Vec<_> = attempts.iter().map(|a| a.reason.as_deref()).collect();
        reasons.sort();
        assert_eq!(reasons, [Some("first"), Some("only")]);
    });
}

#[test]
fn attack_answer_a_second_time_at_another_process() {
    run(async {
        let place = Place::start().await;
        let replica = place.server.replica();
        let mut browser = place.browser();
        let answer = place.begin(&mut browser).await;
        let mut other = browser.at(&replica);
        // What one process began, another finishes.
        assert_eq!(
            place.come_back(&mut other, &answer).await.location(),
            "/account"
        );
        let reply = place.come_back(&mut browser, &answer).await;
        assert_eq!(reply.status, 400);
        assert_eq!(browser.member().await, None);
    });
}

#[test]
fn attack_answer_several_times_at_once() {
    run(async {
        needs_parallel_connections();
        let place = Place::start().await;
        let mut browser = place.browser();
        let answer = place.begin(&mut browser).await;
        let replies = join_all((0..5).map(|_| async {
            let mut copy = browser.clone();
            place.come_back(&mut copy, &answer).await.status
        }))
        .await;
        let let_in = replies.iter().filter(|status| **status == 303).count();
        assert_eq!(let_in, 1, "{replies:?}");
        assert_eq!(place.provider.count(Endpoint::Token), 1);
    });
}

#[test]
fn attack_answer_after_ten_minutes() {
    run(async {
        let place = Place::start().await;
        let mut browser = place.browser();
        let answer = place.begin(&mut browser).await;
        place.pass(TimeDelta::minutes(10));
        let reply = place.come_back(&mut browser, &answer).await;
        place.refused(&reply, LOGIN, "longer than 10 minutes").await;
        assert_eq!(place.provider.count(Endpoint::Token), 0);
        let answer = place.begin(&mut browser).await;
        place.pass(TimeDelta::minutes(10) - TimeDelta::seconds(1));
        assert_eq!(
            place.come_back(&mut browser, &answer).await.location(),
            "/account"
        );
    });
}

#[test]
fn attack_mix_up_answer_of_another_provider() {
    run(async {
        let place = Place::start().await;
        let mut browser = place.browser();
        let mut answer = place.begin(&mut browser).await;
        answer.insert("iss".to_owned(), "https://evil.example".to_owned());
        let reply = place.come_back(&mut browser, &answer).await;
        place
            .refused(
                &reply,
                Check::Issuer.as_str(),
                "comes from the provider \"https://evil.example\"",
            )
            .await;
        assert_eq!(
            place.provider.count(Endpoint::Token),
            0,
            "the code goes nowhere"
        );
    });
}

#[test]
fn attack_mix_up_answer_that_does_not_name_its_provider() {
    run(async {
        let place = Place::start().await;
        place.provider.bend().metadata =
            json!({ "authorization_response_iss_parameter_supported": true });
        is_kept_out(&place, Check::Issuer.as_str(), "does not name its provider").await;
        assert_eq!(place.provider.count(Endpoint::Token), 0);
        let mut browser = place.browser();
        let mut answer = place.begin(&mut browser).await;
        answer.insert("iss".to_owned(), place.provider.issuer.clone());
        assert_eq!(
            place.come_back(&mut browser, &answer).await.location(),
            "/account"
        );
    });
}

#[test]
fn attack_mix_up_token_of_another_provider() {
    run(async {
        let place = Place::start().await;
        let other = Provider::start(place.server.app.clock.clone()).await;
        // The honest provider's answer, exchanged at another's endpoint, whose tokens are its own.
        place.provider.bend().metadata =
            json!({ "token_endpoint": format!("{}/token", other.issuer) });
        other.bend().claims = json!({ "iss": place.provider.issuer });
        is_kept_out(&place, Check::Code.as_str(), "invalid_grant").await;
    });
}

/// What the provider refuses with comes to administrators, in a form that is safe to print.
async fn provider_refuses(place: &Place, more: &[(&str, &str)], words: &str) -> Reply {
    let mut browser = place.browser();
    let mut answer = place.begin(&mut browser).await;
    answer.remove("code");
    for (name, value) in more {
        answer.insert((*name).to_owned(), (*value).to_owned());
    }
    let reply = place.come_back(&mut browser, &answer).await;
    place
        .refused(&reply, Check::Authorization.as_str(), words)
        .await;
    assert_eq!(browser.member().await, None);
    reply
}

#[test]
fn fault_provider_denies_access() {
    run(async {
        let place = Place::start().await;
        let denied = [
            ("error", "access_denied"),
            ("error_description", "not assigned"),
        ];
        let reply = provider_refuses(&place, &denied, "access_denied (not assigned)").await;
        assert_eq!(reply.status, 403);
        assert!(!reply.text().contains("not assigned"));
    });
}

#[test]
fn attack_error_with_a_code() {
    run(async {
        let place = Place::start().await;
        let mut browser = place.browser();
        let mut answer = place.begin(&mut browser).await;
        answer.insert("error".to_owned(), "login_required".to_owned());
        let reply = place.come_back(&mut browser, &answer).await;
        place
            .refused(&reply, Check::Authorization.as_str(), "login_required")
            .await;
        assert_eq!(place.provider.count(Endpoint::Token), 0);
    });
}

#[test]
fn attack_error_that_is_markup_or_forges_a_log_line() {
    run(async {
        let place = Place::start().await;
        let evil = "<script>alert(1)</script>\r\n2026-01-01 signed_in \u{1b}[31m";
        let error = [("error", evil), ("error_description", evil)];
        let reply = provider_refuses(&place, &error, "<script>").await;
        assert!(!reply.text().contains("<script"), "{}", reply.text());
        let reason = place.attempts().await[0].reason.clone().unwrap();
        assert!(!reason.contains(['\r', '\n', '\u{1b}']), "{reason:?}");
        let long = "x".repeat(5_000);
        provider_refuses(
            &place,
            &[("error", &long), ("error_description", &long)],
            "xxx",
        )
        .await;
        assert!(place.attempts().await[0].reason.as_ref().unwrap().len() < 600);
    });
}

#[test]
fn fault_neither_code_nor_error() {
    run(async {
        let place = Place::start().await;
        provider_refuses(&place, &[], "neither a code nor an error").await;
        provider_refuses(&place, &[("code", "")], "neither a code nor an error").await;
    });
}

#[test]
fn attack_answers_that_were_made_up() {
    run(async {
        let place = Place::start().await;
        let mut browser = place.browser();
        let answer = place.begin(&mut browser).await;
        let state = &answer["state"];
        // What names the login, and is well formed.
        let (token, configuration) = state.split_once('.').unwrap();
        let id = Token::parse(TokenKind::Login, token).unwrap().id();
        let organization = Some(place.server.organization_id());
        let guessed = place
            .server
            .app
            .random
            .token(TokenKind::Login, organization, id);
        let twice = format!("state={state}&state={state}&code=x");
        let random = &place.server.app.random;
        let made_up = |kind| {
            let token = random.token(kind, organization, Uuid::from_bytes(random.bytes()));
            format!("state={}.{configuration}&code=x", token.expose())
        };
        for (query, status) in [
            (String::new(), 404),
            ("code=x".to_owned(), 404),
            ("state=&code=x".to_owned(), 404),
            ("state=x&code=x".to_owned(), 404),
            ("state=%00&code=x".to_owned(), 404),
            ("state=%FF&code=x".to_owned(), 404),
            (format!("state={state}x&code=x"), 404),
            // Well formed, and of no login that this browser began.
            (made_up(TokenKind::Login), 400),
            (made_up(TokenKind::Session), 404),
            (
                format!("state={}.{configuration}&code=x", guessed.expose()),
                400,
            ),
            (twice, 404),
        ] {
            let reply = browser.get(&format!("/auth/oidc/callback?{query}")).await;
            assert_eq!(reply.status, status, "{query}");
            assert!(reply.text().contains("<h1>"), "{query}: a page");
            super::gives_no_session(&reply);
        }
        // All of which leaves the login as it was.
        assert_eq!(
            place.come_back(&mut browser, &answer).await.location(),
            "/account"
        );
    });
}

#[test]
fn attack_configuration_is_switched_off_while_the_person_is_at_the_provider() {
    run(async {
        let place = Place::start().await;
        let mut browser = place.browser();
        let answer = place.begin(&mut browser).await;
        place
            .update(json!({ "state": "SSO_CONFIGURATION_STATE_INACTIVE" }))
            .await;
        let reply = place.come_back(&mut browser, &answer).await;
        place
            .refused(&reply, Check::Configuration.as_str(), "is switched off")
            .await;
        assert_eq!(place.provider.count(Endpoint::Token), 0);
    });
}

#[test]
fn attack_configuration_is_deleted_while_the_person_is_at_the_provider() {
    run(async {
        let place = Place::start().await;
        let mut browser = place.browser();
        let answer = place.begin(&mut browser).await;
        let request = json!({ "ssoConfigurationId": place.sso });
        place
            .server
            .call("DeleteSSOConfiguration", request)
            .await
            .ok();
        let reply = place.come_back(&mut browser, &answer).await;
        assert_eq!(reply.status, 404);
        super::gives_no_session(&reply);
        assert_eq!(place.provider.count(Endpoint::Token), 0);
    });
}

/// Something happens to the configuration while the code is exchanged: nobody gets a session by it.
fn changes_in_between(change: Value, method: &'static str) {
    run(async {
        let place = Place::start().await;
        let (server, sso) = (place.server.replica(), place.sso.clone());
        let mut request = json!({ "ssoConfigurationId": sso });
        crate::support::merge(&mut request, change);
        place.provider.bend().before_token = Some(Box::new(move || {
            Box::pin(async move {
                server.call(method, request).await.ok();
            })
        }));
        let mut browser = place.browser();
        let reply = place.try_sign_in(&mut browser).await;
        super::gives_no_session(&reply);
        assert_eq!(browser.member().await, None);
        assert!(place.members().await.is_empty());
        place
            .refused(&reply, Check::Configuration.as_str(), "was changed")
            .await;
    });
}

/// Changes the configuration while the code is exchanged, and lets the person come back.
async fn sign_in_while(place: &Place, change: Value) -> Reply {
    let (server, sso) = (place.server.replica(), place.sso.clone());
    let mut request = json!({ "ssoConfigurationId": sso });
    crate::support::merge(&mut request, change);
    place.provider.bend().before_token = Some(Box::new(move || {
        Box::pin(async move {
            server.call("UpdateSSOConfiguration", request).await.ok();
        })
    }));
    place.try_sign_in(&mut place.browser()).await
}

#[test]
fn a_change_that_does_not_matter_to_a_login_keeps_nobody_out() {
    run(async {
        let place = Place::start().await;
        for change in [
            json!({ "displayName": "Another name" }),
            json!({ "emailDomains": [place.domain, "more.example"] }),
            json!({ "additionalScopes": { "scopes": ["groups"] } }),
        ] {
            let reply = sign_in_while(&place, change).await;
            assert_eq!(reply.location(), "/account");
        }
    });
}

#[test]
fn attack_domain_is_taken_away_while_the_code_is_exchanged() {
    run(async {
        let place = Place::start().await;
        let reply = sign_in_while(&place, json!({ "emailDomains": ["another.example"] })).await;
        place
            .refused(
                &reply,
                Check::Email.as_str(),
                "do not sign in through this configuration",
            )
            .await;
        assert!(place.members().await.is_empty());
    });
}

#[test]
fn attack_configuration_is_switched_off_while_the_code_is_exchanged() {
    changes_in_between(
        json!({ "state": "SSO_CONFIGURATION_STATE_INACTIVE" }),
        "UpdateSSOConfiguration",
    );
}

#[test]
fn attack_secret_is_rotated_while_the_code_is_exchanged() {
    changes_in_between(json!({ "clientSecret": "new" }), "UpdateSSOConfiguration");
}

#[test]
fn attack_claims_expression_is_set_while_the_code_is_exchanged() {
    changes_in_between(
        json!({ "claimsExpression": "false" }),
        "UpdateSSOConfiguration",
    );
}

#[test]
fn attack_configuration_is_deleted_while_the_code_is_exchanged() {
    changes_in_between(json!({}), "DeleteSSOConfiguration");
}
