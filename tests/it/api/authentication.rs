//! Bearer tokens: every one that is not valid gets the same answer.

use axum::body::Body;
use chrono::TimeDelta;
use futures_util::{FutureExt, StreamExt, stream};
use http::{Method, Request, header};
use rollcall::domain::identity::Role;
use serde_json::json;

use crate::support::{Server, naming, run};

#[test]
fn every_bad_token_gets_the_same_401() {
    run(async {
        let server = Server::start().await;
        let (now, organization) = (server.now(), server.organization_id());
        let expired = server
            .issue(organization, Role::Admin, false, Some(now))
            .await;
        let (ids, secret) = server.token.rsplit_once('_').unwrap();
        let wrong_secret = format!("{ids}_{}", secret.to_uppercase());
        let scim = server.scim(json!({})).await["token"]
            .as_str()
            .unwrap()
            .to_owned();
        let unknown = {
            use rollcall::domain::token::TokenKind;
            server
                .app
                .random
                .token(TokenKind::Api, Some(organization), server.app.new_id())
                .expose()
                .to_owned()
        };
        let impostor = {
            use rollcall::domain::token::{Token, TokenKind};
            let id = Token::parse(TokenKind::Api, &server.token).unwrap().id();
            server
                .app
                .random
                .token(TokenKind::Api, Some(organization), id)
                .expose()
                .to_owned()
        };
        let mut seen = std::collections::HashSet::new();
        for value in [
            String::new(),
            "Bearer".into(),
            "Bearer ".into(),
            "Bearer nonsense".into(),
            format!("Basic {}", server.token),
            server.token.clone(),
            format!("Bearer {wrong_secret}"),
            format!("Bearer {impostor}"),
            format!("Bearer {unknown}"),
            format!("Bearer {expired}"),
            format!("Bearer {scim}"),
            format!("Bearer {} {}", server.token, server.token),
        ] {
            let request = server
                .request("ListSCIMConfigurations", "x")
                .header("x-test", "1");
            let mut request = request.body(Body::from("{}")).unwrap();
            request
                .headers_mut()
                .insert(header::AUTHORIZATION, value.parse().unwrap());
            let reply = server.send(request).await;
            assert_eq!(reply.headers[header::WWW_AUTHENTICATE], "Bearer", "{value}");
            seen.insert(reply.error("unauthenticated"));
        }
        assert_eq!(seen.len(), 1, "{seen:?}");
    });
}

#[test]
fn the_schemes_case_is_free_and_two_headers_are_none() {
    run(async {
        let server = Server::start().await;
        let mut request = server
            .request("ListSCIMConfigurations", "x")
            .body(Body::from("{}"))
            .unwrap();
        request.headers_mut().insert(
            header::AUTHORIZATION,
            format!("bEARER {}", server.token).parse().unwrap(),
        );
        server.send(request).await.ok();
        let twice = server.request("ListSCIMConfigurations", &server.token);
        let twice = twice
            .header(header::AUTHORIZATION, "Bearer other")
            .body(Body::from("{}"))
            .unwrap();
        server.send(twice).await.error("unauthenticated");
    });
}

#[test]
fn a_token_ends_when_it_expires_or_is_revoked_although_it_was_verified() {
    run(async {
        let server = Server::start().await;
        let end = server.now() + TimeDelta::hours(1);
        let token = server
            .issue(server.organization_id(), Role::Admin, false, Some(end))
            .await;
        server
            .call_as(&token, "ListSCIMConfigurations", json!({}))
            .await
            .ok();
        server.pass(TimeDelta::minutes(59));
        server
            .call_as(&token, "ListSCIMConfigurations", json!({}))
            .await
            .ok();
        server.pass(TimeDelta::minutes(1));
        server
            .call_as(&token, "ListSCIMConfigurations", json!({}))
            .await
            .error("unauthenticated");

        server.call("ListSCIMConfigurations", json!({})).await.ok();
        {
            use rollcall::domain::token::{Token, TokenKind};
            let id = Token::parse(TokenKind::Api, &server.token).unwrap().id();
            let mut db = server.app.store.acquire().await.unwrap();
            rollcall::store::tokens::revoke(
                &mut db,
                server.organization_id(),
                id.into(),
                server.now(),
            )
            .await
            .unwrap();
        }
        server
            .call("ListSCIMConfigurations", json!({}))
            .await
            .error("unauthenticated");
    });
}

#[test]
fn attack_token_that_names_another_organization() {
    run(async {
        let server = Server::start().await;
        let attacker = server.neighbour().await;
        let (ours, theirs) = (server.organization_id(), attacker.organization_id());
        let scim = attacker.scim(json!({})).await["token"].clone();
        let call = async |token: &str| {
            let method = "ListSCIMConfigurations";
            server.call_as(token, method, json!({})).await
        };
        assert_eq!(naming(&attacker.token, Some(theirs)), attacker.token);
        let refused = call("nonsense").await.error("unauthenticated");
        for organization in [Some(ours), None] {
            let forged = naming(&attacker.token, organization);
            use rollcall::domain::token::{Token, TokenKind};
            assert!(Token::parse(TokenKind::Api, &forged).is_some(), "{forged}");
            assert_eq!(call(&forged).await.error("unauthenticated"), refused);
            let forged = naming(scim.as_str().unwrap(), organization);
            let request = Request::get("/scim/v2/Users")
                .header(header::AUTHORIZATION, format!("Bearer {forged}"))
                .body(Body::empty());
            assert_eq!(attacker.send(request.unwrap()).await.status, 401);
        }
        // Nor where it is the one that tokens without any belong to.
        let home = attacker.replica_with(|app| app.home = Some(theirs));
        let forged = naming(&attacker.token, None);
        let method = "ListSCIMConfigurations";
        let reply = home.call_as(&forged, method, json!({})).await;
        assert_eq!(reply.error("unauthenticated"), refused);
    });
}

#[test]
fn a_token_that_names_no_organization_is_of_the_bootstrap_organization_alone() {
    run(async {
        use rollcall::domain::token::TokenKind;
        use rollcall::provisioning::organizations::bootstrap;
        let server = Server::start().await;
        let token = {
            let random = &server.app.random;
            random.token(TokenKind::Api, None, server.app.new_id())
        };
        let name = format!("Bootstrapped {}", server.organization);
        let bootstrapped = bootstrap(&server.app, &name, &token).await.unwrap();
        assert_ne!(bootstrapped, server.organization_id());
        let call = async |home| {
            let replica = server.replica_with(|app| app.home = home);
            let list = json!({ "organizationId": bootstrapped.to_string() });
            let method = "ListSSOConfigurations";
            replica.call_as(token.expose(), method, list).await
        };
        call(Some(bootstrapped)).await.ok();
        let refused = call(None).await.error("unauthenticated");
        let elsewhere = call(Some(server.organization_id())).await;
        assert_eq!(elsewhere.error("unauthenticated"), refused);
    });
}

#[test]
fn guessing_is_throttled_with_a_time_to_come_back() {
    run(async {
        use rollcall::domain::token::{Token, TokenKind};
        let server = Server::start().await;
        server.call("ListSCIMConfigurations", json!({})).await.ok();
        let id = Token::parse(TokenKind::Api, &server.token).unwrap().id();
        let guess = async || {
            let organization = Some(server.organization_id());
            let token = server.app.random.token(TokenKind::Api, organization, id);
            server
                .call_as(token.expose(), "ListSCIMConfigurations", json!({}))
                .await
        };
        for _ in 0..10 {
            guess().await.error("unauthenticated");
        }
        let replies = futures_util::future::join_all((0..8).map(|_| guess())).await;
        let throttled: Vec<_> = replies.iter().filter(|reply| reply.status == 429).collect();
        assert!(!throttled.is_empty());
        for reply in throttled {
            reply.error("resource_exhausted");
            assert_eq!(reply.headers[header::RETRY_AFTER], "1");
            assert_eq!(reply.headers["ratelimit-retryafter"], "1");
            assert_eq!(reply.json()["details"][0]["type"], "google.rpc.RetryInfo");
        }
        server.call("ListSCIMConfigurations", json!({})).await.ok();
    });
}

#[test]
fn the_identity_is_the_tokens() {
    run(async {
        let server = Server::start().await;
        let request = Request::builder()
            .method(Method::POST)
            .uri("/api/gitpod.v1.IdentityService/GetAuthenticatedIdentity")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {}", server.token))
            .body(Body::from("{}"))
            .unwrap();
        let identity = server.send(request).await.ok();
        assert_eq!(identity["organizationId"], *server.organization);
        assert_eq!(identity["organizationTier"], "ORGANIZATION_TIER_ENTERPRISE");
        assert_eq!(
            identity["subject"]["principal"],
            "PRINCIPAL_SERVICE_ACCOUNT"
        );
        identity["subject"]["id"]
            .as_str()
            .unwrap()
            .parse::<uuid::Uuid>()
            .unwrap();
    });
}

#[test]
fn a_token_that_verified_before_takes_no_run_of_argon2id_in_another_process() {
    run(async {
        use rollcall::metrics::Metrics;
        let server = Server::start_with(|app| app.measure(&Metrics::on(app.clock.now()))).await;
        server.sso("client").await;
        let text = server.app.metrics.text().unwrap();
        let count = |outcome: &str| {
            let name = format!("rollcall_token_verifications_total{{outcome=\"{outcome}\"}} ");
            let line = text.lines().find_map(|line| line.strip_prefix(&*name));
            line.unwrap().parse::<u64>().unwrap()
        };
        assert_eq!(
            (count("cached"), count("verified")),
            (1, 0),
            "known from when it was made"
        );
    });
}

#[test]
fn attack_a_digest_of_another_token_opens_nothing() {
    run(async {
        use rollcall::domain::token::{Token, TokenKind};
        let server = Server::start().await;
        let id = |token: &str| Token::parse(TokenKind::Api, token).unwrap().id();
        let (own, other) = (id(&server.token), server.token(Role::Admin, false).await);
        let organization = Some(server.organization_id());
        let guess = server.app.random.token(TokenKind::Api, organization, own);
        let ask = |token: String| {
            let server = &server;
            async move {
                let method = "ListSSOConfigurations";
                let request = json!({ "organizationId": server.organization });
                server.call_as(&token, method, request).await
            }
        };
        ask(guess.expose().to_owned())
            .await
            .error("unauthenticated");
        let mut db = server.app.store.acquire().await.unwrap();
        let moved = sqlx::query(
            "update api_tokens t set token_digest = o.token_digest from api_tokens o
             where t.organization_id = o.organization_id and t.id = $1 and o.id = $2",
        );
        let moved = moved.bind(own).bind(id(&other)).execute(&mut *db).await;
        assert_eq!(moved.unwrap().rows_affected(), 1);
        drop(db);
        ask(guess.expose().to_owned())
            .await
            .error("unauthenticated");
        ask(server.token.clone()).await.ok();
        ask(other).await.ok();
    });
}

#[test]
fn attack_a_body_that_goes_on_after_its_sender_lost_power() {
    run(async {
        let server = Server::start().await;
        let token = server.with_role("ORG_ADMIN").await;
        let identity = "IdentityService/GetAuthenticatedIdentity";
        let own = server.call_to_as(&token, identity, json!({})).await.ok();
        let suspension = json!({ "userId": own["subject"]["id"], "suspended": true });
        for (method, status) in [
            ("CreateOrganizationInvite", 401),
            ("UpdateOrganization", 401),
        ] {
            let body =
                json!({ "organizationId": server.organization, "name": "Taken" }).to_string();
            let (first, second) = body.split_at(10);
            let (first, second) = (first.to_owned(), second.to_owned());
            let begin = async move { Ok::<_, std::io::Error>(first) };
            let (at, suspension) = (server.clone(), suspension.clone());
            let go_on = async move {
                at.call_to("UserService/SetSuspended", suspension)
                    .await
                    .ok();
                at.pass(TimeDelta::seconds(2));
                Ok(second)
            };
            let body = stream::once(begin.boxed()).chain(stream::once(go_on.boxed()));
            let request = server.request(method, &token);
            let reply = server
                .send(request.body(Body::from_stream(body)).unwrap())
                .await;
            assert_eq!(reply.status, status, "{method}: {:?}", reply.bytes);
        }
        let request = json!({ "organizationId": server.organization });
        let shown = server.call("GetOrganization", request).await.ok();
        assert_eq!(shown["organization"]["name"], "Test");
    });
}
