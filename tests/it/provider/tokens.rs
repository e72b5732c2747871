//! What codes and tokens open, and what they do not.

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use http::{Request, header};
use rollcall::domain::application::{ClientAuthentication, Grant, Scope, Signature};
use rollcall::secrets::signing::SigningKey;
use rollcall::store;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{CALLBACK, Client, VERIFIER, claims, problem, text};
use crate::login::{ORIGIN, Place, query};
use crate::support::run;

#[test]
fn attack_a_code_that_is_used_twice_ends_what_it_gave() {
    run(async {
        let place = Place::start().await;
        let client = Client::of(&place).await;
        let (mut browser, _) = place.signed_in("ada").await;
        let code = client.code(&mut browser, &[]).await;
        let tokens = client.exchange(&code).await.ok();
        client.userinfo(text(&tokens["access_token"])).await.ok();
        assert_eq!(
            problem(&client.exchange(&code).await),
            (400, "invalid_grant".to_owned())
        );
        client.is_over(&tokens).await;
    });
}

#[test]
fn attack_codes_that_do_not_fit_give_nothing_and_end_nothing() {
    run(async {
        let place = Place::start().await;
        let client = Client::of(&place).await;
        let other = Client::of(&place).await;
        let (mut browser, _) = place.signed_in("ada").await;
        let code = client.code(&mut browser, &[]).await;
        assert_eq!(
            problem(&other.exchange(&code).await).1,
            "invalid_grant",
            "another application"
        );
        let forged = crate::support::naming(
            &code,
            Some(place.neighbour().await.server.organization_id()),
        );
        assert_eq!(
            problem(&client.exchange(&forged).await).1,
            "invalid_grant",
            "another organization"
        );
        for (redirect, verifier) in [
            ("https://app.example.com/other", VERIFIER),
            (CALLBACK, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        ] {
            let form = [
                ("grant_type", "authorization_code"),
                ("code", &*code),
                ("redirect_uri", redirect),
                ("code_verifier", verifier),
            ];
            assert_eq!(
                problem(&client.ask("/oauth2/token", &form).await).1,
                "invalid_grant"
            );
        }
        let tokens = client.exchange(&code).await.ok();
        client.userinfo(text(&tokens["access_token"])).await.ok();
        let late = client.code(&mut browser, &[]).await;
        place.pass(TimeDelta::seconds(61));
        assert_eq!(
            problem(&client.exchange(&late).await).1,
            "invalid_grant",
            "too late"
        );
    });
}

#[test]
fn refresh_tokens_are_used_once_and_a_lost_answer_may_be_asked_for_again() {
    run(async {
        let place = Place::start().await;
        let client = Client::of(&place).await;
        let (mut browser, _) = place.signed_in("ada").await;
        let first = client.tokens(&mut browser, &[]).await;
        let second = client.refresh(text(&first["refresh_token"])).await.ok();
        assert_ne!(first["refresh_token"], second["refresh_token"]);
        assert_eq!(
            claims(&second["id_token"])["sub"],
            claims(&first["id_token"])["sub"]
        );
        // The answer was lost: the same comes again, and counts.
        place.pass(TimeDelta::seconds(29));
        let again = client.refresh(text(&first["refresh_token"])).await.ok();
        assert_eq!(again["refresh_token"], second["refresh_token"]);
        let third = client.refresh(text(&second["refresh_token"])).await.ok();
        client.userinfo(text(&third["access_token"])).await.ok();
    });
}

#[test]
fn attack_a_refresh_token_that_comes_again_ends_the_whole_family() {
    run(async {
        let place = Place::start().await;
        let client = Client::of(&place).await;
        let (mut browser, _) = place.signed_in("ada").await;
        // Whoever stole the first one uses it after its owner, or before.
        for steps in [1, 3] {
            let stolen = client.tokens(&mut browser, &[]).await;
            let mut last = stolen.clone();
            for _ in 0..steps {
                last = client.refresh(text(&last["refresh_token"])).await.ok();
            }
            place.pass(TimeDelta::seconds(31));
            let reply = client.refresh(text(&stolen["refresh_token"])).await;
            assert_eq!(problem(&reply), (400, "invalid_grant".to_owned()));
            client.is_over(&last).await;
        }
    });
}

#[test]
fn attack_made_up_refresh_tokens_end_nothing() {
    run(async {
        let place = Place::start().await;
        let client = Client::of(&place).await;
        let other = Client::of(&place).await;
        let (mut browser, _) = place.signed_in("ada").await;
        let tokens = client.tokens(&mut browser, &[]).await;
        let real = text(&tokens["refresh_token"]);
        let grant: Uuid = text(&claims(&tokens["access_token"])["grant"])
            .parse()
            .unwrap();
        let made_up = place.server.app.random.token(
            rollcall::domain::token::TokenKind::Refresh,
            Some(place.server.organization_id()),
            grant,
        );
        assert_eq!(
            problem(&client.refresh(made_up.expose()).await).1,
            "invalid_grant"
        );
        assert_eq!(
            problem(&other.refresh(real).await).1,
            "invalid_grant",
            "another application"
        );
        assert_eq!(
            problem(&client.refresh(&real.replace("rcrt", "rccode")).await).1,
            "invalid_grant"
        );
        client.refresh(real).await.ok();
    });
}

#[test]
fn scopes_only_become_less() {
    run(async {
        let place = Place::start().await;
        let client = Client::with(&place, |settings| {
            settings.scopes = vec![Scope::OpenId, Scope::Email, Scope::OfflineAccess];
        })
        .await;
        let (mut browser, _) = place.signed_in("ada").await;
        let tokens = client
            .tokens(
                &mut browser,
                &[("scope", "openid email groups api offline_access unknown")],
            )
            .await;
        assert_eq!(
            tokens["scope"], "openid email offline_access",
            "no more than the application may have"
        );
        let form = |scope| {
            [
                ("grant_type", "refresh_token"),
                ("refresh_token", text(&tokens["refresh_token"])),
                ("scope", scope),
            ]
        };
        let more = client
            .ask("/oauth2/token", &form("openid email groups"))
            .await;
        assert_eq!(problem(&more).1, "invalid_scope");
        let less = client.ask("/oauth2/token", &form("openid")).await.ok();
        assert_eq!(less["scope"], "openid");
        let userinfo = client.userinfo(text(&less["access_token"])).await.ok();
        assert_eq!(userinfo.get("email"), None);
        let full = client.refresh(text(&less["refresh_token"])).await.ok();
        assert_eq!(
            full["scope"], "openid email offline_access",
            "what was granted stays"
        );
    });
}

#[test]
fn claims_that_are_asked_for_by_name_are_within_the_applications_scopes() {
    run(async {
        let place = Place::start().await;
        let client = Client::with(&place, |settings| {
            settings.scopes = vec![Scope::OpenId, Scope::Profile]
        })
        .await;
        let (mut browser, _) = place.signed_in("ada").await;
        let wanted =
            r#"{"userinfo":{"name":{"essential":true},"email":null},"id_token":{"name":null}}"#;
        let tokens = client
            .tokens(&mut browser, &[("scope", "openid"), ("claims", wanted)])
            .await;
        assert_eq!(claims(&tokens["id_token"])["name"], "ada of the tests");
        let userinfo = client.userinfo(text(&tokens["access_token"])).await.ok();
        assert_eq!(userinfo["name"], "ada of the tests");
        assert_eq!(userinfo.get("email"), None);
    });
}

#[test]
fn access_ends_when_the_directory_says_so_on_every_replica() {
    run(async {
        let place = Place::start().await;
        let scim = place.provisioning().await;
        let user = scim
            .post(
                "/Users",
                json!({
                    "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
                    "userName": place.email("ada"), "externalId": "sub-ada",
                    "emails": [{ "value": place.email("ada"), "primary": true }],
                    "name": { "givenName": "Ada", "familyName": "Weiß" },
                }),
            )
            .await;
        let user = user.json();
        let client = Client::of(&place).await;
        let (mut browser, _) = place.signed_in("ada").await;
        let tokens = client
            .tokens(&mut browser, &[("scope", "openid profile offline_access")])
            .await;
        assert_eq!(claims(&tokens["id_token"])["given_name"], "Ada");
        assert_eq!(claims(&tokens["id_token"])["family_name"], "Weiß");
        let code = client.code(&mut browser, &[]).await;
        scim.set_active(&format!("/Users/{}", text(&user["id"])), false)
            .await;
        let replica = place.through(place.sso.clone());
        let there = Client {
            place: &replica,
            application: client.application.clone(),
            secret: client.secret.clone(),
        };
        there.is_over(&tokens).await;
        assert_eq!(problem(&there.exchange(&code).await).1, "invalid_grant");
        let reply = browser.get(&client.url(&[("prompt", "none")])).await;
        assert_eq!(super::answer_of(&reply)["error"], "login_required");
    });
}

#[test]
fn tokens_end_with_the_session_the_application_and_the_configuration() {
    run(async {
        let place = Place::start().await;
        let client = Client::of(&place).await;
        let (mut browser, _) = place.signed_in("ada").await;
        let tokens = client.tokens(&mut browser, &[]).await;
        browser.post("/logout", &[]).await.location();
        client.is_over(&tokens).await;

        let (mut browser, _) = place.signed_in("ada").await;
        let tokens = client.tokens(&mut browser, &[]).await;
        let other = Client::of(&place).await;
        {
            let app = &place.server.app;
            let mut db = app.store.acquire().await.unwrap();
            let (organization, id) = (client.application.organization_id, client.application.id);
            store::applications::delete(&mut db, organization, id)
                .await
                .unwrap();
        }
        assert_eq!(
            client.userinfo(text(&tokens["access_token"])).await.status,
            401
        );
        assert_eq!(
            other.introspect(&tokens["access_token"]).await,
            json!({ "active": false })
        );
        assert_eq!(
            problem(&client.refresh(text(&tokens["refresh_token"])).await).1,
            "invalid_client"
        );

        let tokens = other.tokens(&mut browser, &[]).await;
        place
            .update(json!({ "state": "SSO_CONFIGURATION_STATE_INACTIVE" }))
            .await;
        other.is_over(&tokens).await;
    });
}

#[test]
fn a_refresh_token_outlives_a_session_that_merely_grew_old() {
    run(async {
        let place = Place::start().await;
        let client = Client::of(&place).await;
        let (mut browser, _) = place.signed_in("ada").await;
        let online = client.tokens(&mut browser, &[("scope", "openid")]).await;
        let offline = client.tokens(&mut browser, &[]).await;
        place.pass(TimeDelta::days(8));
        assert_eq!(
            client.userinfo(text(&online["access_token"])).await.status,
            401
        );
        let tokens = client.refresh(text(&offline["refresh_token"])).await.ok();
        client.userinfo(text(&tokens["access_token"])).await.ok();
        place.pass(TimeDelta::days(31));
        client.is_over(&tokens).await;
    });
}

#[test]
fn attack_clients_prove_who_they_are_in_their_own_way_alone() {
    run(async {
        let place = Place::start().await;
        let client = Client::of(&place).await;
        let public = Client::with(&place, |settings| {
            settings.authentication = ClientAuthentication::None
        })
        .await;
        let (mut browser, _) = place.signed_in("ada").await;
        let id = client.id();
        let code = client.code(&mut browser, &[]).await;
        let form = |more: &[(&'static str, &str)]| {
            let mut form = vec![
                ("grant_type".to_owned(), "authorization_code".to_owned()),
                ("code".to_owned(), code.clone()),
                ("redirect_uri".to_owned(), CALLBACK.to_owned()),
                ("code_verifier".to_owned(), VERIFIER.to_owned()),
            ];
            form.extend(more.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
            form
        };
        let send = async |more: &[(&'static str, &str)]| {
            let form = form(more);
            let pairs: Vec<(&str, &str)> = form.iter().map(|(n, v)| (&**n, &**v)).collect();
            client.send("/oauth2/token", &pairs).await
        };
        for more in [
            &[][..],
            &[("client_id", &*id)],
            &[("client_id", &*id), ("client_secret", "wrong")],
            &[("client_id", &*id), ("client_secret", &*public.secret)],
            &[
                ("client_id", &*public.id()),
                ("client_secret", &*public.secret),
            ],
        ] {
            assert_eq!(
                problem(&send(more).await),
                (401, "invalid_client".to_owned()),
                "{more:?}"
            );
        }
        // The code is another application's.
        let reply = send(&[("client_id", &*public.id())]).await;
        assert_eq!(problem(&reply).1, "invalid_grant");
        // In the header.
        let basic = STANDARD.encode(format!("{id}:{}", client.secret));
        let pairs = form(&[]);
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (&**n, &**v)).collect();
        let request = Request::post("/oauth2/token")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::AUTHORIZATION, format!("Basic {basic}"))
            .body(Body::from(query(&pairs)))
            .unwrap();
        place.server.send(request).await.ok();
        // A public application does with what it began with.
        let code = public.code(&mut browser, &[]).await;
        let form = [
            ("client_id", &*public.id()),
            ("grant_type", "authorization_code"),
            ("code", &*code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        public.send("/oauth2/token", &form).await.ok();
        // It proves nothing, so it may not look at tokens.
        let form = [("client_id", &*public.id()), ("token", "x")];
        assert_eq!(
            problem(&public.send("/oauth2/introspect", &form).await).1,
            "unauthorized_client"
        );
    });
}

#[test]
fn a_secret_that_is_replaced_counts_for_as_long_as_was_said() {
    run(async {
        let place = Place::start().await;
        let client = Client::of(&place).await;
        let app = &place.server.app;
        let (organization, id) = (client.application.organization_id, client.application.id);
        let new = app.random.token(
            rollcall::domain::token::TokenKind::Application,
            Some(organization),
            id.as_uuid(),
        );
        {
            let mut db = app.store.acquire().await.unwrap();
            let (digest, now) = (new.digest(), app.clock.now());
            let until = Some(now + TimeDelta::hours(1));
            store::applications::replace_secret(
                &mut db,
                organization,
                id,
                Some(&digest),
                until,
                now,
            )
            .await
            .unwrap();
        }
        let other = Client {
            place: &place,
            application: client.application.clone(),
            secret: new.expose().to_owned(),
        };
        let form = [("token", "x")];
        client.ask("/oauth2/introspect", &form).await.ok();
        other.ask("/oauth2/introspect", &form).await.ok();
        place.pass(TimeDelta::minutes(61));
        assert_eq!(
            problem(&client.ask("/oauth2/introspect", &form).await).1,
            "invalid_client"
        );
        other.ask("/oauth2/introspect", &form).await.ok();
    });
}

/// A proof that is signed as it should be, but for what `change` does.
fn assertion(key: &SigningKey, client: &Client<'_>, change: Value) -> String {
    let now = client.place.server.now().timestamp();
    let mut claims = json!({
        "iss": client.id(), "sub": client.id(), "aud": ORIGIN, "jti": client.place.server.app.new_id::<Uuid>().to_string(), "iat": now, "exp": now + 60,
    });
    crate::support::merge(&mut claims, change);
    key.sign(&key.id(), "JWT", &claims).unwrap()
}

#[test]
fn attack_signed_proofs_count_once_and_for_this_server_alone() {
    run(async {
        let place = Place::start().await;
        let make = || {
            let key = SigningKey::generate(Signature::Es256).unwrap();
            SigningKey::read(Signature::Es256, &key).unwrap()
        };
        let (key, other) = (make(), make());
        let client = Client::with(&place, |settings| {
            settings.authentication = ClientAuthentication::PrivateKey;
            settings.jwks = Some(json!({ "keys": [key.public()] }));
        })
        .await;
        let ask = async |assertion: &str| {
            let form = [
                (
                    "client_assertion_type",
                    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                ),
                ("client_assertion", assertion),
                ("token", "x"),
            ];
            client.send("/oauth2/introspect", &form).await
        };
        let good = assertion(&key, &client, json!({}));
        ask(&good).await.ok();
        assert_eq!(
            problem(&ask(&good).await),
            (401, "invalid_client".to_owned()),
            "a second time"
        );
        ask(&assertion(
            &key,
            &client,
            json!({ "aud": [format!("{ORIGIN}/oauth2/token")] }),
        ))
        .await
        .ok();
        let now = place.server.now().timestamp();
        for change in [
            json!({ "aud": "https://elsewhere.example" }),
            json!({ "aud": format!("{ORIGIN}.evil.example") }),
            json!({ "aud": null }),
            json!({ "iss": "somebody" }),
            json!({ "sub": "somebody" }),
            json!({ "exp": now - 61 }),
            json!({ "exp": now + 86_400 }),
            json!({ "exp": null }),
            json!({ "nbf": now + 120 }),
            json!({ "jti": null }),
        ] {
            let reply = ask(&assertion(&key, &client, change.clone())).await;
            assert_eq!(
                problem(&reply),
                (401, "invalid_client".to_owned()),
                "{change}"
            );
        }
        let reply = ask(&assertion(&other, &client, json!({}))).await;
        assert_eq!(problem(&reply).1, "invalid_client", "another key");
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        let unsigned = format!("{header}.{}.", good.split('.').nth(1).unwrap());
        assert_eq!(
            problem(&ask(&unsigned).await).1,
            "invalid_client",
            "no signature"
        );
    });
}

#[test]
fn attack_tokens_of_one_kind_are_none_of_another() {
    run(async {
        let place = Place::start().await;
        let client = Client::of(&place).await;
        let (mut browser, _) = place.signed_in("ada").await;
        let tokens = client
            .tokens(&mut browser, &[("scope", "openid api offline_access")])
            .await;
        let (access, id) = (text(&tokens["access_token"]), text(&tokens["id_token"]));
        for wrong in [id, text(&tokens["refresh_token"]), &client.secret, ""] {
            assert_eq!(client.userinfo(wrong).await.status, 401);
            let reply = place
                .server
                .call_to_as(wrong, "IdentityService/GetAuthenticatedIdentity", json!({}))
                .await;
            reply.error("unauthenticated");
        }
        assert_eq!(
            client.introspect(&tokens["id_token"]).await,
            json!({ "active": false })
        );
        let reply = place
            .server
            .call_to_as(
                access,
                "IdentityService/GetAuthenticatedIdentity",
                json!({}),
            )
            .await;
        assert_eq!(
            reply.ok()["subject"]["id"],
            claims(&tokens["id_token"])["sub"]
        );
        // A member is no administrator because an application acts.
        let reply = place
            .server
            .call_to_as(
                access,
                "GroupService/CreateGroup",
                json!({
                    "organizationId": place.server.organization, "name": "Evil",
                }),
            )
            .await;
        reply.error("permission_denied");
        let without = client.tokens(&mut browser, &[("scope", "openid")]).await;
        let reply = place
            .server
            .call_to_as(
                text(&without["access_token"]),
                "IdentityService/GetAuthenticatedIdentity",
                json!({}),
            )
            .await;
        reply.error("unauthenticated");
        place.pass(TimeDelta::minutes(11));
        let reply = place
            .server
            .call_to_as(
                access,
                "IdentityService/GetAuthenticatedIdentity",
                json!({}),
            )
            .await;
        reply.error("unauthenticated");
    });
}

#[test]
fn introspection_is_for_applications_of_the_same_owner() {
    run(async {
        let place = Place::start().await;
        let neighbour = place.neighbour().await;
        let client = Client::of(&place).await;
        let (mut browser, member) = place.signed_in("ada").await;
        let tokens = client.tokens(&mut browser, &[]).await;
        let inactive = json!({ "active": false });
        let colleague = Client::of(&place).await;
        let seen = colleague.introspect(&tokens["access_token"]).await;
        let expected = json!({
            "active": true, "sub": member, "client_id": client.id(), "iss": ORIGIN, "org_id": place.server.organization,
            "scope": "openid profile email offline_access", "token_type": "Bearer",
        });
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&seen[name], value, "{name}");
        }
        for foreign in [
            Client::of(&neighbour).await,
            Client::of_installation(&place).await,
        ] {
            for token in ["access_token", "refresh_token"] {
                assert_eq!(foreign.introspect(&tokens[token]).await, inactive);
            }
            // It ends nothing either.
            let form = [("token", text(&tokens["access_token"]))];
            foreign.ask("/oauth2/revoke", &form).await;
        }
        assert_eq!(
            client.introspect(&tokens["refresh_token"]).await["active"],
            true
        );
    });
}

#[test]
fn revocation_ends_what_came_of_the_grant() {
    run(async {
        let place = Place::start().await;
        let client = Client::of(&place).await;
        let (mut browser, _) = place.signed_in("ada").await;
        for token in ["refresh_token", "access_token"] {
            let tokens = client.tokens(&mut browser, &[]).await;
            let form = [("token", text(&tokens[token]))];
            assert_eq!(client.ask("/oauth2/revoke", &form).await.status, 200);
            client.is_over(&tokens).await;
        }
        let unknown = client.ask("/oauth2/revoke", &[("token", "x")]).await;
        assert_eq!(
            unknown.status, 200,
            "what is worth nothing need not be revoked"
        );
        assert!(browser.member().await.is_some(), "the session goes on");
    });
}

#[test]
fn an_application_acts_as_its_service_account() {
    run(async {
        let place = Place::start().await;
        let account = place.server.call_to("ServiceAccountService/CreateServiceAccount", json!({
            "organizationId": place.server.organization, "name": "Robot", "validUntil": "2027-01-01T00:00:00Z",
        })).await.ok();
        let id = text(&account["serviceAccount"]["id"]).to_owned();
        let client = Client::with(&place, |settings| {
            settings.grants = vec![Grant::ClientCredentials];
            settings.service_account = Some(id.parse::<Uuid>().unwrap().into());
        })
        .await;
        let tokens = client
            .ask("/oauth2/token", &[("grant_type", "client_credentials")])
            .await
            .ok();
        assert_eq!(tokens["scope"], "api");
        assert_eq!(tokens.get("refresh_token"), None);
        let who = async || {
            let token = text(&tokens["access_token"]);
            place
                .server
                .call_to_as(token, "IdentityService/GetAuthenticatedIdentity", json!({}))
                .await
        };
        assert_eq!(
            who().await.ok()["subject"],
            json!({ "id": id, "principal": "PRINCIPAL_SERVICE_ACCOUNT" })
        );
        assert_eq!(client.introspect(&tokens["access_token"]).await["sub"], id);
        assert_eq!(
            client.userinfo(text(&tokens["access_token"])).await.status,
            403,
            "it is no person"
        );
        place
            .server
            .call_to(
                "UserService/SetSuspended",
                json!({
                    "userId": id, "suspended": true,
                }),
            )
            .await;
        let deleted = place
            .server
            .call_to(
                "ServiceAccountService/DeleteServiceAccount",
                json!({ "serviceAccountId": id }),
            )
            .await;
        deleted.ok();
        who().await.error("unauthenticated");
        assert_eq!(
            client.introspect(&tokens["access_token"]).await,
            json!({ "active": false })
        );
        let reply = client
            .ask("/oauth2/token", &[("grant_type", "client_credentials")])
            .await;
        assert_eq!(problem(&reply).1, "unauthorized_client");
    });
}

#[test]
fn more_than_200_groups_are_asked_for_at_the_userinfo() {
    run(async {
        let place = Place::start().await;
        let client = Client::of(&place).await;
        let (mut browser, member) = place.signed_in("ada").await;
        {
            let mut db = place.server.app.store.acquire().await.unwrap();
            let organization = place.server.organization_id().as_uuid();
            for sql in [
                "insert into groups (organization_id, id, name, name_key, description, created_at, updated_at)
                 select $1, gen_random_uuid(), 'group ' || n, 'group ' || n, '', now(), now() from generate_series(1, 201) n",
                "insert into group_members (organization_id, group_id, id, subject_id, principal, created_at)
                 select organization_id, id, gen_random_uuid(), $2::uuid, 'user', now() from groups where organization_id = $1",
            ] {
                let query = sqlx::query(sql).bind(organization);
                let query = if sql.contains("$2") { query.bind(member.parse::<Uuid>().unwrap()) } else { query };
                query.execute(&mut *db).await.unwrap();
            }
        }
        let tokens = client
            .tokens(&mut browser, &[("scope", "openid groups")])
            .await;
        let id = claims(&tokens["id_token"]);
        assert_eq!(id.get("groups"), None);
        assert_eq!(id["_claim_names"]["groups"], "userinfo");
        assert_eq!(
            id["_claim_sources"]["userinfo"]["endpoint"],
            format!("{ORIGIN}/oauth2/userinfo")
        );
        let userinfo = client.userinfo(text(&tokens["access_token"])).await.ok();
        assert_eq!(userinfo["groups"].as_array().unwrap().len(), 201);
    });
}

#[test]
fn no_answer_with_tokens_is_kept_and_scripts_of_every_origin_may_read() {
    run(async {
        let place = Place::start().await;
        let client = Client::of(&place).await;
        let reply = client
            .ask("/oauth2/token", &[("grant_type", "password")])
            .await;
        assert_eq!(problem(&reply), (400, "unsupported_grant_type".to_owned()));
        assert_eq!(reply.headers["cache-control"], "no-store");
        assert_eq!(reply.headers["access-control-allow-origin"], "*");
        assert!(
            !reply
                .headers
                .contains_key("access-control-allow-credentials")
        );
    });
}

#[test]
fn attack_scopes_that_are_taken_from_an_application_are_taken_from_its_tokens() {
    run(async {
        let place = Place::start().await;
        let mut client = Client::of(&place).await;
        let (mut browser, _) = place.signed_in("ada").await;
        let tokens = client
            .tokens(
                &mut browser,
                &[("scope", "openid email api offline_access")],
            )
            .await;
        client
            .change(|settings| settings.scopes = vec![Scope::OpenId, Scope::OfflineAccess])
            .await;
        let again = client.refresh(text(&tokens["refresh_token"])).await.ok();
        assert_eq!(again["scope"], "openid offline_access");
        for tokens in [&tokens, &again] {
            let access = text(&tokens["access_token"]);
            let path = "IdentityService/GetAuthenticatedIdentity";
            let reply = place.server.call_to_as(access, path, json!({})).await;
            reply.error("unauthenticated");
            assert_eq!(client.userinfo(access).await.ok().get("email"), None);
            let seen = client.introspect(&tokens["access_token"]).await;
            assert_eq!(seen["scope"], "openid offline_access");
        }
    });
}

#[test]
fn attack_an_address_that_only_a_tenants_own_provider_vouches_for_is_not_verified_for_all() {
    run(async {
        let place = Place::start().await;
        let (own, of_all) = (
            Client::of(&place).await,
            Client::of_installation(&place).await,
        );
        let (mut browser, _) = place.signed_in("ada").await;
        let verified = async |client: &Client<'_>, browser: &mut crate::login::Browser<'_>| {
            let tokens = client.tokens(browser, &[]).await;
            claims(&tokens["id_token"])["email_verified"].clone()
        };
        assert_eq!(verified(&own, &mut browser).await, true);
        assert_eq!(verified(&of_all, &mut browser).await, false);
        place.server.verified_domain(&place.domain).await;
        assert_eq!(verified(&of_all, &mut browser).await, true);
    });
}

#[test]
fn attack_times_that_no_calendar_has_are_refused() {
    run(async {
        let place = Place::start().await;
        let key = SigningKey::generate(Signature::Es256).unwrap();
        let key = SigningKey::read(Signature::Es256, &key).unwrap();
        let client = Client::with(&place, |settings| {
            settings.authentication = ClientAuthentication::PrivateKey;
            settings.jwks = Some(json!({ "keys": [key.public()] }));
        })
        .await;
        for time in [
            8_210_266_876_799_i64,
            i64::MAX,
            i64::MIN,
            -8_334_601_228_800,
        ] {
            for name in ["exp", "nbf", "iat"] {
                let proof = assertion(&key, &client, json!({ name: time }));
                let form = [
                    (
                        "client_assertion_type",
                        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                    ),
                    ("client_assertion", &*proof),
                    ("token", "x"),
                ];
                let reply = client.send("/oauth2/introspect", &form).await;
                assert_ne!(reply.status, 500, "{name} {time}");
            }
        }
    });
}
