//! From an application's request to its answer.

use chrono::TimeDelta;
use rollcall::domain::ids::GroupId;
use serde_json::json;
use uuid::Uuid;

use super::{CALLBACK, Client, answer_of, claims, parameters, problem, text};
use crate::login::{ORIGIN, Place, SESSION, query};
use crate::support::run;

#[test]
fn somebody_signs_in_and_the_application_learns_who_it_is() {
    run(async {
        let place = Place::start().await;
        let client = Client::of(&place).await;
        place.comes(
            "ada",
            json!({
                "auth_time": 1_700_000_000, "amr": ["pwd", "mfa"], "acr": "silver",
                "given_name": "Ada", "family_name": "Weiß",
            }),
        );
        let mut browser = place.browser();
        let answer = client
            .answer(
                &mut browser,
                &[("scope", "openid profile email organization groups")],
            )
            .await;
        assert_eq!(answer["state"], "the-state");
        let tokens = client.exchange(&answer["code"]).await.ok();
        assert_eq!(tokens["token_type"], "Bearer");
        assert_eq!(tokens["expires_in"], 600);
        assert_eq!(tokens.get("refresh_token"), None, "without offline_access");
        let member = browser.member().await.unwrap();
        let id = claims(&tokens["id_token"]);
        let now = place.server.now().timestamp();
        let expected = json!({
            "iss": ORIGIN, "sub": member, "aud": client.id(), "iat": now, "exp": now + 3_600, "nonce": "the-nonce",
            "auth_time": 1_700_000_000, "amr": ["pwd", "mfa"], "acr": "silver", "org_id": place.server.organization,
            "name": "ada of the tests", "given_name": "Ada", "family_name": "Weiß", "email": place.email("ada"), "email_verified": true, "roles": ["member"],
            "groups": [], "group_ids": [],
        });
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&id[name], value, "{name}");
        }
        assert!(id["sid"].is_string() && id["at_hash"].is_string() && id["org_name"].is_string());
        let userinfo = client.userinfo(text(&tokens["access_token"])).await.ok();
        for name in [
            "sub",
            "name",
            "email",
            "email_verified",
            "org_id",
            "org_name",
            "roles",
            "groups",
        ] {
            assert_eq!(userinfo[name], id[name], "{name}");
        }
    });
}

#[test]
fn a_session_that_fits_is_used_without_a_word() {
    run(async {
        let place = Place::start().await;
        let client = Client::of(&place).await;
        let (mut browser, member) = place.signed_in("ada").await;
        let asked = place
            .provider
            .count(crate::login::provider::Endpoint::Token);
        let reply = browser.get(&client.url(&[])).await;
        let code = answer_of(&reply)["code"].clone();
        let id = claims(&client.exchange(&code).await.ok()["id_token"]);
        assert_eq!(id["sub"], member);
        let reply = browser.get(&client.url(&[("prompt", "none")])).await;
        assert!(answer_of(&reply).contains_key("code"));
        assert_eq!(
            place
                .provider
                .count(crate::login::provider::Endpoint::Token),
            asked
        );
    });
}

#[test]
fn prompt_none_without_a_session_is_an_error() {
    run(async {
        let place = Place::start().await;
        let client = Client::of(&place).await;
        let reply = place
            .browser()
            .get(&client.url(&[("prompt", "none")]))
            .await;
        let answer = answer_of(&reply);
        assert_eq!(
            (&*answer["error"], &*answer["state"]),
            ("login_required", "the-state")
        );
    });
}

#[test]
fn prompt_login_has_the_person_sign_in_again_once() {
    run(async {
        let place = Place::start().await;
        let client = Client::of(&place).await;
        let (mut browser, _) = place.signed_in("ada").await;
        place.pass(TimeDelta::minutes(1));
        let reply = browser.get(&client.url(&[("prompt", "login")])).await;
        let start = browser.get(&reply.location()).await;
        assert_eq!(
            parameters(&start.location())["prompt"],
            "login",
            "the provider is asked, too"
        );
        let answer = place.provider.authorize(&start.location());
        let reply = place.come_back(&mut browser, &answer).await;
        let reply = client.follow(&mut browser, reply).await;
        let tokens = client.exchange(&answer_of(&reply)["code"]).await.ok();
        assert_eq!(
            claims(&tokens["id_token"])["auth_time"],
            place.server.now().timestamp()
        );
    });
}

#[test]
fn max_age_is_the_age_of_the_sign_in() {
    run(async {
        let place = Place::start().await;
        let client = Client::of(&place).await;
        let now = place.server.now().timestamp();
        place.comes("ada", json!({ "auth_time": now }));
        let mut browser = place.browser();
        place.sign_in(&mut browser).await;
        place.pass(TimeDelta::minutes(10));
        let young = browser
            .get(&client.url(&[("max_age", "601"), ("prompt", "none")]))
            .await;
        assert!(answer_of(&young).contains_key("code"));
        let old = browser
            .get(&client.url(&[("max_age", "599"), ("prompt", "none")]))
            .await;
        assert_eq!(answer_of(&old)["error"], "login_required");
        let again = browser.get(&client.url(&[("max_age", "599")])).await;
        let start = browser.get(&again.location()).await;
        assert_eq!(parameters(&start.location())["max_age"], "599");
        // A provider that says that it did not ask the person again.
        let old = place.server.now() - TimeDelta::hours(1);
        place.comes("ada", json!({ "auth_time": old.timestamp() }));
        let answer = client.answer(&mut browser, &[("max_age", "599")]).await;
        assert_eq!(answer["error"], "login_required");
    });
}

#[test]
fn acr_values_are_asked_of_the_provider_once() {
    run(async {
        let place = Place::start().await;
        let client = Client::of(&place).await;
        let (mut browser, _) = place.signed_in("ada").await;
        let silent = [("acr_values", "gold"), ("prompt", "none")];
        let reply = browser.get(&client.url(&silent)).await;
        assert!(answer_of(&reply).contains_key("code"), "it is a wish");
        let reply = browser.get(&client.url(&[("acr_values", "gold")])).await;
        let start = browser.get(&reply.location()).await;
        assert_eq!(parameters(&start.location())["acr_values"], "gold");
        place.comes("ada", json!({ "acr": "silver" }));
        let tokens = client.tokens(&mut browser, &[("acr_values", "gold")]).await;
        assert_eq!(
            claims(&tokens["id_token"])["acr"],
            "silver",
            "the application decides"
        );
        for (class, is_enough) in [("gold", false), ("silver", true)] {
            let wanted = json!({ "id_token": { "acr": { "essential": true, "values": [class] } } })
                .to_string();
            for prompt in ["none", ""] {
                let answer = client
                    .answer(&mut browser, &[("claims", &*wanted), ("prompt", prompt)])
                    .await;
                match is_enough {
                    true => assert!(answer.contains_key("code"), "{answer:?}"),
                    false => assert_eq!(answer["error"], "unmet_authentication_requirements"),
                }
            }
        }
    });
}

#[test]
fn attack_redirect_uris_that_are_not_registered_get_nothing() {
    run(async {
        let place = Place::start().await;
        let client = Client::of(&place).await;
        let (mut browser, _) = place.signed_in("ada").await;
        for uri in [
            "",
            "https://evil.example/callback",
            "https://app.example.com/callback/",
            "https://app.example.com/callback?x=1",
            "https://app.example.com/callback#x",
            "https://app.example.com:443/callback",
            "https://APP.example.com/callback",
            "https://app.example.com/x/../callback",
            "https://app.example.com/%63allback",
            "https://app.example.com%2f@evil.example/callback",
            "https://app.example.com@evil.example/callback",
            "https://app.example.com.evil.example/callback",
            "https://app.example.com\\@evil.example/callback",
            "http://app.example.com/callback",
            "//app.example.com/callback",
            "javascript:alert(1)",
        ] {
            // An error, too, must not be sent there: it would be an open redirect.
            for more in [
                ("prompt", "none"),
                ("response_type", "token"),
                ("scope", "nothing"),
            ] {
                let reply = browser
                    .get(&client.url(&[("redirect_uri", uri), more]))
                    .await;
                assert_eq!(reply.status, 400, "{uri}");
                assert!(!reply.headers.contains_key("location"), "{uri}");
            }
        }
    });
}

#[test]
fn what_is_wrong_is_said_in_the_words_of_the_standard() {
    run(async {
        let place = Place::start().await;
        let client = Client::of(&place).await;
        let (mut browser, _) = place.signed_in("ada").await;
        for (more, error) in [
            (("response_type", ""), "invalid_request"),
            (("response_type", "token"), "unsupported_response_type"),
            (
                ("response_type", "code id_token"),
                "unsupported_response_type",
            ),
            (("response_mode", "fragment"), "invalid_request"),
            (("request", "eyJ"), "request_not_supported"),
            (
                ("request_uri", "https://app.example.com/request"),
                "request_uri_not_supported",
            ),
            (("registration", "{}"), "registration_not_supported"),
            (("scope", "nothing"), "invalid_scope"),
            (("code_challenge", ""), "invalid_request"),
            (("code_challenge", "short"), "invalid_request"),
            (("code_challenge_method", "plain"), "invalid_request"),
            (("code_challenge_method", ""), "invalid_request"),
            (("prompt", "none login"), "invalid_request"),
            (("prompt", "everything"), "invalid_request"),
            (("max_age", "-1"), "invalid_request"),
            (("claims", "{"), "invalid_request"),
            (("claims", "[]"), "invalid_request"),
            (("id_token_hint", "eyJ"), "invalid_request"),
            (("organization", "acme"), "invalid_request"),
            (
                ("organization", "00000000-0000-7000-8000-000000000001"),
                "access_denied",
            ),
        ] {
            let reply = browser.get(&client.url(&[more])).await;
            let answer = answer_of(&reply);
            assert_eq!(answer["error"], error, "{more:?}");
            assert_eq!(answer["state"], "the-state");
            assert!(!answer["error_description"].is_empty());
        }
        let twice = format!("{}&state=another", client.url(&[]));
        assert_eq!(browser.get(&twice).await.status, 400);
        for id in ["", "rcapp_", "rcapp_00000000000000000000000000000001"] {
            assert_eq!(
                browser.get(&client.url(&[("client_id", id)])).await.status,
                400,
                "{id}"
            );
        }
    });
}

#[test]
fn attack_pkce_cannot_be_left_out_later() {
    run(async {
        let place = Place::start().await;
        let client = Client::with(&place, |settings| settings.require_pkce = false).await;
        let (mut browser, _) = place.signed_in("ada").await;
        let without = client
            .code(
                &mut browser,
                &[("code_challenge", ""), ("code_challenge_method", "")],
            )
            .await;
        // A code that was begun without PKCE is not good with a verifier (RFC 9700, section 2.1.1).
        assert_eq!(problem(&client.exchange(&without).await).1, "invalid_grant");
        let form = |code| {
            [
                ("grant_type", "authorization_code"),
                ("code", code),
                ("redirect_uri", CALLBACK),
            ]
        };
        client.ask("/oauth2/token", &form(&without)).await.ok();
        let with = client.code(&mut browser, &[]).await;
        let reply = client.ask("/oauth2/token", &form(&with)).await;
        assert_eq!(
            problem(&reply).1,
            "invalid_grant",
            "and one that was begun with it not without"
        );
    });
}

#[test]
fn attack_a_session_of_another_organization_opens_nothing() {
    run(async {
        let place = Place::start().await;
        let neighbour = place.neighbour().await;
        let client = Client::of(&place).await;
        let (mut browser, _) = neighbour.signed_in("eve").await;
        let reply = browser.get(&client.url(&[("prompt", "none")])).await;
        assert_eq!(answer_of(&reply)["error"], "login_required");
        // Her own organization's provider is not offered either.
        let reply = browser.get(&client.url(&[])).await;
        let start = parameters(&reply.location());
        assert_eq!(start["organization"], place.server.organization);
        assert_eq!(start["configuration"], place.sso);
    });
}

#[test]
fn a_browser_has_a_session_for_each_organization() {
    run(async {
        let place = Place::start().await;
        let neighbour = place.neighbour().await;
        let client = Client::of_installation(&place).await;
        let (mut browser, ada) = place.signed_in("ada").await;
        neighbour.comes("eve", json!({}));
        let eve = neighbour.sign_in(&mut browser).await;
        let who = async |browser: &mut crate::login::Browser<'_>, more: &[(&str, &str)]| {
            let tokens = client.tokens(browser, more).await;
            claims(&tokens["id_token"])["sub"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        assert_eq!(who(&mut browser, &[]).await, eve, "the one that began last");
        assert_eq!(
            who(
                &mut browser,
                &[("organization", &place.server.organization)]
            )
            .await,
            ada
        );
        assert_eq!(
            who(&mut browser, &[("login_hint", &place.email("ada"))]).await,
            ada
        );
        let page = browser
            .get(&client.url(&[("prompt", "select_account")]))
            .await;
        assert_eq!(page.status, 200);
        assert!(
            page.text().contains(&place.email("ada")) && page.text().contains(&place.email("eve"))
        );
        // Signing out of Rollcall ends all of them.
        browser.post("/logout", &[]).await.location();
        assert!(browser.jar.is_empty(), "{:?}", browser.jar.keys());
    });
}

#[test]
fn the_person_chooses_and_agrees_on_pages_of_this_server_alone() {
    run(async {
        let place = Place::start().await;
        let client = Client::of(&place).await;
        let (mut browser, _) = place.signed_in("ada").await;
        let session = {
            let reply = browser.call("AccountService/GetAccount", json!({})).await;
            assert_eq!(reply.status, 200);
            let token = browser.jar[SESSION].clone();
            Uuid::parse_str(&token.split('_').nth(1).unwrap()[32..])
                .unwrap()
                .to_string()
        };
        for (prompt, decision) in [("select_account", "choose"), ("consent", "allow")] {
            let page = browser.get(&client.url(&[("prompt", prompt)])).await;
            assert_eq!(page.status, 200);
            assert_eq!(page.headers["x-frame-options"], "DENY");
            let pairs = client.request(&[("prompt", prompt)]);
            let pairs: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (&**n, &**v)).collect();
            let request = query(&pairs);
            let form = [
                ("request", &*request),
                ("session", &*session),
                ("decision", decision),
            ];
            let reply = browser.post("/oauth2/authorize/decide", &form).await;
            assert!(answer_of(&reply).contains_key("code"), "{prompt}");
            let denied = [
                ("request", &*request),
                ("session", &*session),
                ("decision", "deny"),
            ];
            let reply = browser.post("/oauth2/authorize/decide", &denied).await;
            assert_eq!(answer_of(&reply)["error"], "access_denied");
            // Another site's form.
            let request = http::Request::post("/oauth2/authorize/decide")
                .header("content-type", "application/x-www-form-urlencoded")
                .header("origin", "https://evil.example")
                .header("sec-fetch-site", "cross-site");
            let reply = browser
                .send(request, axum::body::Body::from(query(&form)))
                .await;
            assert_eq!(reply.status, 403);
        }
    });
}

#[test]
fn only_members_of_the_given_groups_may_sign_in() {
    run(async {
        let place = Place::start().await;
        let group = place
            .server
            .call_to(
                "GroupService/CreateGroup",
                json!({
                    "organizationId": place.server.organization, "name": "Writers",
                }),
            )
            .await
            .ok();
        let group_id = text(&group["group"]["id"]).to_owned();
        let only = GroupId::from(group_id.parse::<Uuid>().unwrap());
        let client = Client::with(&place, |settings| settings.groups = vec![only]).await;
        let (mut browser, member) = place.signed_in("ada").await;
        let page = browser.get(&client.url(&[])).await;
        assert_eq!(page.status, 403);
        assert!(page.text().contains("You may not use Wiki"));
        let reply = browser.get(&client.url(&[("prompt", "none")])).await;
        assert_eq!(answer_of(&reply)["error"], "access_denied");
        let membership = place
            .server
            .call_to(
                "GroupService/CreateMembership",
                json!({
                    "groupId": group_id, "subject": { "id": member, "principal": "PRINCIPAL_USER" },
                }),
            )
            .await
            .ok();
        let tokens = client
            .tokens(&mut browser, &[("scope", "openid groups offline_access")])
            .await;
        assert_eq!(claims(&tokens["id_token"])["groups"], json!(["Writers"]));
        assert_eq!(claims(&tokens["id_token"])["group_ids"], json!([group_id]));
        place
            .server
            .call_to(
                "GroupService/DeleteMembership",
                json!({
                    "membershipId": membership["member"]["id"],
                }),
            )
            .await
            .ok();
        client.is_over(&tokens).await;
    });
}

#[test]
fn a_request_that_is_pushed_is_used_once() {
    run(async {
        let place = Place::start().await;
        let client = Client::of(&place).await;
        let (mut browser, _) = place.signed_in("ada").await;
        let pairs = client.request(&[("client_id", "")]);
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (&**n, &**v)).collect();
        let pushed = client.ask("/oauth2/par", &pairs).await;
        assert_eq!(pushed.status, 201);
        let uri = text(&pushed.json()["request_uri"]).to_owned();
        let id = client.id();
        let url = format!(
            "/oauth2/authorize?{}",
            query(&[("client_id", &id), ("request_uri", &uri)])
        );
        assert!(answer_of(&browser.get(&url).await).contains_key("code"));
        assert_eq!(browser.get(&url).await.status, 400, "a second time");
        let pushed = client.ask("/oauth2/par", &pairs).await.json();
        let late = format!(
            "/oauth2/authorize?{}",
            query(&[
                ("client_id", &id),
                ("request_uri", text(&pushed["request_uri"]))
            ])
        );
        place.pass(TimeDelta::seconds(91));
        assert_eq!(browser.get(&late).await.status, 400, "too late");
        // A public application proves nothing: anybody could fill the database.
        let public = Client::with(&place, |settings| {
            settings.authentication = rollcall::domain::application::ClientAuthentication::None;
        })
        .await;
        let mut form = public.request(&[]).into_iter().collect::<Vec<_>>();
        form.sort();
        let form: Vec<(&str, &str)> = form.iter().map(|(n, v)| (&**n, &**v)).collect();
        let reply = public.send("/oauth2/par", &form).await;
        assert_eq!(problem(&reply).1, "unauthorized_client");
        // Nobody else pushes for it, and nothing wrong is taken.
        let form: Vec<(&str, &str)> = [
            &pairs[..],
            &[("client_id", &*id), ("client_secret", "wrong")],
        ]
        .concat();
        assert_eq!(
            problem(&client.send("/oauth2/par", &form).await),
            (401, "invalid_client".to_owned())
        );
        let wrong = [
            ("response_type", "code"),
            ("redirect_uri", "https://evil.example/"),
        ];
        assert_eq!(
            problem(&client.ask("/oauth2/par", &wrong).await).1,
            "invalid_request"
        );
    });
}

#[test]
fn a_pushed_request_survives_signing_in() {
    run(async {
        let place = Place::start().await;
        let client = Client::of(&place).await;
        let pairs = client.request(&[("client_id", ""), ("prompt", "login")]);
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (&**n, &**v)).collect();
        let pushed = client.ask("/oauth2/par", &pairs).await.json();
        let id = client.id();
        let url = format!(
            "/oauth2/authorize?{}",
            query(&[
                ("client_id", &id),
                ("request_uri", text(&pushed["request_uri"]))
            ])
        );
        let mut browser = place.browser();
        let reply = browser.get(&url).await;
        // As long as a person may take at the provider.
        place.pass(TimeDelta::minutes(5));
        let reply = client.follow(&mut browser, reply).await;
        assert!(answer_of(&reply).contains_key("code"));
    });
}

#[test]
fn form_post_sends_the_answer_without_a_click() {
    run(async {
        let place = Place::start().await;
        let client = Client::of(&place).await;
        let (mut browser, _) = place.signed_in("ada").await;
        let page = browser
            .get(&client.url(&[
                ("response_mode", "form_post"),
                ("state", "\"><script>alert(1)</script>"),
            ]))
            .await;
        assert_eq!(page.status, 200);
        let html = page.text();
        assert!(html.contains(&format!("action=\"{CALLBACK}\"")), "{html}");
        assert!(!html.contains("<script>alert"), "{html}");
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        assert!(
            policy.contains("script-src 'sha256-") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
    });
}

#[test]
fn attack_a_hint_that_is_not_the_applications_names_nobody() {
    run(async {
        let place = Place::start().await;
        let client = Client::of(&place).await;
        let other = Client::of(&place).await;
        let (mut ada, _) = place.signed_in("ada").await;
        let tokens = client.tokens(&mut ada, &[]).await;
        let hint = text(&tokens["id_token"]);
        let url = client.url(&[("id_token_hint", hint), ("prompt", "none")]);
        assert!(answer_of(&ada.get(&url).await).contains_key("code"));
        let (mut bob, _) = place.signed_in("bob").await;
        assert_eq!(answer_of(&bob.get(&url).await)["error"], "login_required");
        for wrong in [
            hint.replace('.', "x"),
            text(&tokens["access_token"]).to_owned(),
        ] {
            let reply = ada.get(&client.url(&[("id_token_hint", &wrong)])).await;
            assert_eq!(answer_of(&reply)["error"], "invalid_request");
        }
        let reply = ada.get(&other.url(&[("id_token_hint", hint)])).await;
        assert_eq!(answer_of(&reply)["error"], "invalid_request");
    });
}

#[test]
fn attack_the_mark_of_a_sign_in_is_for_its_request_alone() {
    run(async {
        let place = Place::start().await;
        let client = Client::of(&place).await;
        let (mut browser, _) = place.signed_in("ada").await;
        place.pass(TimeDelta::minutes(1));
        let reply = browser.get(&client.url(&[("prompt", "login")])).await;
        let return_to = parameters(&reply.location())["return_to"].clone();
        let return_to = return_to.trim_start_matches(ORIGIN).to_owned();
        let mark = parameters(&return_to)["rollcall_since"].clone();
        // The session is older than the mark, and a mark of another request, or none of ours, is none.
        for (url, is_ours) in [
            (return_to.clone(), true),
            (
                client.url(&[
                    ("prompt", "login"),
                    ("state", "x"),
                    ("rollcall_since", &mark),
                ]),
                false,
            ),
            (
                client.url(&[("prompt", "login"), ("rollcall_since", "AAAA")]),
                false,
            ),
        ] {
            let reply = browser.get(&url).await;
            match is_ours {
                true => assert_eq!(answer_of(&reply)["error"], "login_required"),
                false => assert!(
                    reply.location().contains("/auth/oidc/start?"),
                    "{}",
                    reply.location()
                ),
            }
        }
    });
}

#[test]
fn attack_a_program_that_may_be_any_gets_nothing_without_the_person() {
    run(async {
        let place = Place::start().await;
        let local = "http://127.0.0.1/callback";
        let client = Client::with(&place, |settings| {
            settings.authentication = rollcall::domain::application::ClientAuthentication::None;
            settings.redirect_uris.push(local.to_owned());
        })
        .await;
        let (mut browser, _) = place.signed_in("ada").await;
        let elsewhere = ("redirect_uri", "http://127.0.0.1:45678/callback");
        let page = browser.get(&client.url(&[elsewhere])).await;
        assert_eq!(page.status, 200);
        assert!(page.text().contains("Allow"));
        let reply = browser
            .get(&client.url(&[elsewhere, ("prompt", "none")]))
            .await;
        assert!(
            reply.location().contains("error=consent_required"),
            "{}",
            reply.location()
        );
        // Behind https, nobody else is.
        assert!(answer_of(&browser.get(&client.url(&[])).await).contains_key("code"));
    });
}

#[test]
fn attack_a_sign_in_without_the_demand_is_not_the_one_that_was_demanded() {
    run(async {
        let place = Place::start().await;
        let client = Client::of(&place).await;
        let (mut browser, _) = place.signed_in("ada").await;
        place.pass(TimeDelta::minutes(5));
        for demand in [("prompt", "login"), ("max_age", "60")] {
            place.pass(TimeDelta::minutes(5));
            let reply = browser.get(&client.url(&[demand])).await;
            let return_to = parameters(&reply.location())["return_to"].clone();
            // The person signs in, but the provider was not asked for anything.
            place.sign_in(&mut browser).await;
            let answer = answer_of(&browser.get(&return_to).await);
            assert_eq!(answer["error"], "login_required", "{demand:?}");
        }
        // A provider that says that it did not ask.
        let old = place.server.now() - TimeDelta::hours(2);
        place.comes("ada", json!({ "auth_time": old.timestamp() }));
        let answer = client.answer(&mut browser, &[("prompt", "login")]).await;
        assert_eq!(answer["error"], "login_required");
    });
}

#[test]
fn attack_the_page_names_what_is_asked_for_by_claims() {
    run(async {
        let place = Place::start().await;
        let client = Client::of(&place).await;
        let (mut browser, _) = place.signed_in("ada").await;
        let wanted = r#"{"userinfo":{"groups":null}}"#;
        let asked = [
            ("scope", "openid"),
            ("prompt", "consent"),
            ("claims", wanted),
        ];
        let page = browser.get(&client.url(&asked)).await;
        assert!(page.text().contains("see the groups that you are in"));
    });
}
