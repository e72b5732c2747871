//! `ApplicationService`: what people sign in to, whose it is, and its secrets.

use chrono::{DateTime, TimeDelta, Utc};
use http::{Request, header};
use rollcall::domain::application::{ClientId, installation};
use rollcall::domain::identity::Role;
use rollcall::domain::ids::OrganizationId;
use rollcall::domain::token::{Token, TokenKind};
use rollcall::outgoing::{Outgoing, Reach};
use rollcall::store::applications::{Secrets, find_client};
use serde_json::{Value, json};
use uuid::Uuid;

use super::methods::call;
use crate::support::{Reply, Server, merge, run};

const CALLBACK: &str = "https://wiki.example.com/callback";

async fn ask_as(server: &Server, token: &str, method: &str, body: Value) -> Reply {
    let path = format!("rollcall.v1.ApplicationService/{method}");
    call(server, &path, Some(token), &body).await
}

async fn ask(server: &Server, method: &str, body: Value) -> Reply {
    ask_as(server, &server.token, method, body).await
}

/// As an operator who names the organization of the server.
async fn ask_here(server: &Server, operator: &str, method: &str, body: Value) -> Reply {
    let request = Request::post(format!("/rollcall.v1.ApplicationService/{method}"))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::AUTHORIZATION, format!("Bearer {operator}"))
        .header("rollcall-organization", &server.organization)
        .body(body.to_string().into());
    server.send(request.unwrap()).await
}

fn wiki() -> Value {
    json!({ "name": "Wiki", "redirectUris": [CALLBACK] })
}

/// Makes the wiki with a change, and returns it and its secret.
async fn create(server: &Server, more: Value) -> (Value, String) {
    let mut request = wiki();
    merge(&mut request, more);
    let mut made = ask(server, "CreateApplication", request).await.ok();
    let secret = made["clientSecret"].as_str().unwrap_or_default().to_owned();
    (made["application"].take(), secret)
}

fn about(application: &Value) -> Value {
    json!({ "applicationId": application["id"] })
}

/// A request about an application with more fields.
fn change(application: &Value, more: Value) -> Value {
    let mut request = about(application);
    merge(&mut request, more);
    request
}

async fn shown(server: &Server, application: &Value) -> Value {
    let mut found = ask(server, "GetApplication", about(application)).await.ok();
    found["application"].take()
}

async fn secrets(server: &Server, organization: OrganizationId, application: &Value) -> Secrets {
    let id: Uuid = application["id"].as_str().unwrap().parse().unwrap();
    let mut db = server.app.store.acquire().await.unwrap();
    let found = find_client(&mut db, organization, id.into()).await.unwrap();
    found.unwrap().1
}

fn digest(secret: &str) -> Option<Vec<u8>> {
    let token = Token::parse(TokenKind::Application, secret).unwrap();
    Some(token.digest().to_vec())
}

#[test]
fn what_is_not_given_is_what_is_usual() {
    run(async {
        let server = Server::start().await;
        let (made, _) = create(&server, json!({})).await;
        let mut usual = json!({
            "id": made["id"],
            "clientId": made["clientId"],
            "organizationId": server.organization,
            "name": "Wiki",
            "redirectUris": [CALLBACK],
            "authentication": "CLIENT_AUTHENTICATION_CLIENT_SECRET_BASIC",
            "requirePkce": true,
            "grants": ["GRANT_TYPE_AUTHORIZATION_CODE", "GRANT_TYPE_REFRESH_TOKEN"],
            "scopes": ["SCOPE_OPENID", "SCOPE_PROFILE", "SCOPE_EMAIL", "SCOPE_OFFLINE_ACCESS"],
            "idTokenSignature": "SIGNATURE_RS256",
            "accessTokenLifetime": "600s",
            "idTokenLifetime": "3600s",
            "refreshTokenLifetime": "2592000s",
            "createdAt": made["createdAt"],
            "updatedAt": made["createdAt"],
        });
        assert_eq!(made, usual);
        let client: ClientId = made["clientId"].as_str().unwrap().parse().unwrap();
        assert_eq!(client.organization_id, server.organization_id());
        assert_eq!(client.id.to_string(), made["id"].as_str().unwrap());
        assert_eq!(shown(&server, &made).await, usual);
        let listed = ask(&server, "ListApplications", json!({})).await.ok();
        assert_eq!(listed["applications"], json!([usual]));

        let account = json!({ "name": "Wiki", "validUntil": "2100-01-01T00:00:00Z" });
        let account = server
            .call_to("ServiceAccountService/CreateServiceAccount", account)
            .await
            .ok();
        let group = json!({ "organizationId": server.organization, "name": server.new_domain() });
        let group = server.call_to("GroupService/CreateGroup", group).await.ok();
        let given = json!({
            "logoUrl": "https://wiki.example.com/logo.svg",
            "redirectUris": [CALLBACK, "http://127.0.0.1/callback"],
            "postLogoutRedirectUris": ["https://wiki.example.com/"],
            "backchannelLogoutUri": "https://wiki.example.com/logout",
            "initiateLoginUri": "https://wiki.example.com/login",
            "authentication": "CLIENT_AUTHENTICATION_PRIVATE_KEY_JWT",
            "jwks": { "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": "AA" }] },
            "requirePkce": false,
            "grants": ["GRANT_TYPE_CLIENT_CREDENTIALS", "GRANT_TYPE_AUTHORIZATION_CODE", "GRANT_TYPE_CLIENT_CREDENTIALS"],
            "scopes": ["SCOPE_API", "SCOPE_GROUPS", "SCOPE_ORGANIZATION", "SCOPE_API"],
            "idTokenSignature": "SIGNATURE_EDDSA",
            "userinfoSignature": "SIGNATURE_ES256",
            "groupIds": [group["group"]["id"]],
            "serviceAccountId": account["serviceAccount"]["id"],
            "accessTokenLifetime": "60s",
            "idTokenLifetime": "86400s",
            "refreshTokenLifetime": "3600s",
        });
        let (made, secret) = create(&server, given.clone()).await;
        assert_eq!(secret, "", "it proves itself with a key");
        merge(&mut usual, given);
        merge(
            &mut usual,
            json!({
                "id": made["id"],
                "clientId": made["clientId"],
                // Each once, in one order.
                "grants": ["GRANT_TYPE_AUTHORIZATION_CODE", "GRANT_TYPE_CLIENT_CREDENTIALS"],
                "scopes": ["SCOPE_GROUPS", "SCOPE_ORGANIZATION", "SCOPE_API"],
                "createdAt": made["createdAt"],
                "updatedAt": made["createdAt"],
            }),
        );
        usual.as_object_mut().unwrap().remove("requirePkce");
        assert_eq!(made, usual);
        assert_eq!(shown(&server, &made).await, usual);
    });
}

#[test]
fn a_secret_is_shown_once_and_kept_nowhere() {
    run(async {
        let server = Server::start().await;
        let (made, secret) = create(&server, json!({})).await;
        let rotated = ask(&server, "RotateApplicationSecret", about(&made))
            .await
            .ok();
        let second = rotated["clientSecret"].as_str().unwrap();
        for secret in [&*secret, second] {
            let token = Token::parse(TokenKind::Application, secret).unwrap();
            assert_eq!(token.organization(), Some(server.organization_id()));
            assert_eq!(token.id().to_string(), made["id"].as_str().unwrap());
        }
        assert_ne!(secret, second);

        let update = change(&made, json!({ "name": "Handbook" }));
        let entries = server
            .call_to("EventService/ListAuditLogs", json!({}))
            .await
            .ok();
        let mut told = vec![
            ask(&server, "GetApplication", about(&made)).await.ok(),
            ask(&server, "ListApplications", json!({})).await.ok(),
            ask(&server, "UpdateApplication", update).await.ok(),
            rotated["application"].clone(),
            json!(server.audit("application").await),
        ];
        for entry in entries["entries"].as_array().unwrap() {
            let request = json!({ "auditLogEntryId": entry["id"] });
            let path = "EventService/GetAuditLog";
            told.push(server.call_to(path, request).await.ok());
        }
        for (secret, hash) in [(&*secret, digest(&secret)), (second, digest(second))] {
            let random = secret.rsplit('_').next().unwrap();
            let hash: String = hash.unwrap().iter().map(|b| format!("{b:02x}")).collect();
            for told in &told {
                let told = told.to_string();
                assert!(!told.contains(random) && !told.contains(&hash), "{told}");
            }
        }
    });
}

#[test]
fn a_rotated_secret_lives_on_for_the_chosen_time() {
    run(async {
        let server = Server::start().await;
        let organization = server.organization_id();
        let (made, first) = create(&server, json!({})).await;
        let kept = secrets(&server, organization, &made).await;
        assert_eq!((kept.current, kept.previous), (digest(&first), None));

        let week = change(&made, json!({ "keepPreviousFor": "604800s" }));
        server.pass(TimeDelta::minutes(1));
        let rotated = ask(&server, "RotateApplicationSecret", week).await.ok();
        let second = rotated["clientSecret"].as_str().unwrap();
        let kept = secrets(&server, organization, &made).await;
        assert_eq!(kept.current, digest(second));
        assert_eq!(kept.previous, digest(&first));
        let end: DateTime<Utc> = rotated["previousSecretExpiresAt"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(end, server.now() + TimeDelta::days(7));
        let stored = kept.previous_expires_at.unwrap();
        assert!(
            (end - stored).abs() < TimeDelta::milliseconds(1),
            "{stored}"
        );

        let rotated = ask(&server, "RotateApplicationSecret", about(&made))
            .await
            .ok();
        let third = rotated["clientSecret"].as_str().unwrap();
        assert_eq!(rotated.get("previousSecretExpiresAt"), None);
        let kept = secrets(&server, organization, &made).await;
        assert_eq!(kept.current, digest(third));
        assert_eq!((kept.previous, kept.previous_expires_at), (None, None));

        let too_long = change(&made, json!({ "keepPreviousFor": "2592001s" }));
        let refused = ask(&server, "RotateApplicationSecret", too_long).await;
        assert_eq!(refused.violations(), ["keep_previous_for"]);
        let actions: Vec<String> = server
            .audit("application")
            .await
            .into_iter()
            .map(|(action, ..)| action)
            .collect();
        assert_eq!(
            actions,
            [
                "CreateApplication",
                "RotateApplicationSecret",
                "RotateApplicationSecret"
            ]
        );
    });
}

#[test]
fn only_who_proves_itself_with_a_secret_has_one() {
    run(async {
        let server = Server::start().await;
        let organization = server.organization_id();
        let public = json!({ "authentication": "CLIENT_AUTHENTICATION_NONE" });
        let (made, secret) = create(&server, public.clone()).await;
        assert_eq!(secret, "");
        assert_eq!(secrets(&server, organization, &made).await.current, None);
        let refused = ask(&server, "RotateApplicationSecret", about(&made)).await;
        let message = refused.error("failed_precondition");
        assert!(message.contains("CLIENT_SECRET_BASIC"), "{message}");

        let confidential = json!({ "authentication": "CLIENT_AUTHENTICATION_CLIENT_SECRET_POST" });
        let confidential = change(&made, confidential);
        ask(&server, "UpdateApplication", confidential).await.ok();
        assert_eq!(secrets(&server, organization, &made).await.current, None);
        let keep = change(&made, json!({ "keepPreviousFor": "60s" }));
        for _ in 0..2 {
            ask(&server, "RotateApplicationSecret", keep.clone())
                .await
                .ok();
        }
        let kept = secrets(&server, organization, &made).await;
        assert!(kept.current.is_some() && kept.previous.is_some());
        // Another change keeps both, and this one ends both.
        let renamed = change(&made, json!({ "name": "Handbook" }));
        ask(&server, "UpdateApplication", renamed).await.ok();
        let kept = secrets(&server, organization, &made).await;
        assert!(kept.current.is_some() && kept.previous.is_some());
        ask(&server, "UpdateApplication", change(&made, public))
            .await
            .ok();
        let kept = secrets(&server, organization, &made).await;
        assert_eq!((kept.current, kept.previous), (None, None));
    });
}

#[test]
fn an_update_keeps_what_is_absent_and_empties_what_is_empty() {
    run(async {
        let server = Server::start().await;
        let (made, _) = create(
            &server,
            json!({
                "logoUrl": "https://wiki.example.com/logo.svg",
                "postLogoutRedirectUris": ["https://wiki.example.com/"],
                "backchannelLogoutUri": "https://wiki.example.com/logout",
                "jwks": { "keys": [{ "kty": "OKP" }] },
                "userinfoSignature": "SIGNATURE_RS256",
                "requirePkce": false,
            }),
        )
        .await;
        server.pass(TimeDelta::minutes(1));
        let same = ask(&server, "UpdateApplication", about(&made)).await.ok();
        let mut same = same["application"].clone();
        assert_ne!(same["updatedAt"], made["updatedAt"]);
        same["updatedAt"] = made["updatedAt"].clone();
        assert_eq!(same, made);

        let emptied = change(
            &made,
            json!({
                "logoUrl": "",
                "postLogoutRedirectUris": {},
                "backchannelLogoutUri": "",
                "jwks": {},
                "userinfoSignature": "SIGNATURE_UNSPECIFIED",
                "requirePkce": true,
                "scopes": { "scopes": ["SCOPE_OPENID"] },
                "redirectUris": { "uris": ["https://wiki.example.com/new"] },
                "idTokenLifetime": "60s",
            }),
        );
        ask(&server, "UpdateApplication", emptied).await.ok();
        let after = shown(&server, &made).await;
        for field in [
            "logoUrl",
            "postLogoutRedirectUris",
            "backchannelLogoutUri",
            "jwks",
            "userinfoSignature",
        ] {
            assert!(made.get(field).is_some(), "{field}");
            assert_eq!(after.get(field), None, "{field}");
        }
        assert_eq!(after["requirePkce"], true);
        assert_eq!(after["scopes"], json!(["SCOPE_OPENID"]));
        assert_eq!(
            after["redirectUris"],
            json!(["https://wiki.example.com/new"])
        );
        assert_eq!(after["idTokenLifetime"], "60s");
        assert_eq!(after["grants"], made["grants"]);

        let (action, before, now) = server.audit("application").await.pop().unwrap();
        assert_eq!(action, "UpdateApplication");
        assert_eq!(before["redirect_uris"], json!([CALLBACK]));
        assert_eq!(
            now["redirect_uris"],
            json!(["https://wiki.example.com/new"])
        );
    });
}

#[test]
fn every_broken_rule_is_told_of_its_field() {
    run(async {
        let server = Server::start().await;
        let (made, _) = create(&server, json!({})).await;
        let nobody = Uuid::from_u128(7).to_string();
        let uris = |uri: &str| json!({ "uris": [CALLBACK, uri] });
        // What is refused at once, and as a change of an application that is there.
        for (created, updated, field) in [
            (json!({ "name": "a\0b" }), json!({ "name": "a\0b" }), "name"),
            (
                json!({ "name": "x".repeat(81) }),
                json!({ "name": "x".repeat(81) }),
                "name",
            ),
            (
                json!({ "redirectUris": [CALLBACK, "http://wiki.example.com/"] }),
                json!({ "redirectUris": uris("http://wiki.example.com/") }),
                "redirect_uris[1]",
            ),
            (
                json!({ "postLogoutRedirectUris": [CALLBACK, "https://*.example.com/"] }),
                json!({ "postLogoutRedirectUris": uris("https://*.example.com/") }),
                "post_logout_redirect_uris[1]",
            ),
            (
                json!({ "logoUrl": "javascript:alert(1)" }),
                json!({ "logoUrl": "javascript:alert(1)" }),
                "logo_url",
            ),
            (
                json!({ "initiateLoginUri": "https://wiki.example.com/#x" }),
                json!({ "initiateLoginUri": "https://wiki.example.com/#x" }),
                "initiate_login_uri",
            ),
            (
                json!({ "backchannelLogoutUri": "ftp://wiki.example.com/" }),
                json!({ "backchannelLogoutUri": "ftp://wiki.example.com/" }),
                "backchannel_logout_uri",
            ),
            (
                json!({ "redirectUris": [] }),
                json!({ "redirectUris": {} }),
                "redirect_uris",
            ),
            (
                json!({ "grants": ["GRANT_TYPE_REFRESH_TOKEN"] }),
                json!({ "grants": {} }),
                "grants",
            ),
            (
                json!({ "authentication": "CLIENT_AUTHENTICATION_NONE", "requirePkce": false }),
                json!({ "authentication": "CLIENT_AUTHENTICATION_NONE", "requirePkce": false }),
                "require_pkce",
            ),
            (
                json!({ "grants": ["GRANT_TYPE_CLIENT_CREDENTIALS"] }),
                json!({ "grants": { "grants": ["GRANT_TYPE_CLIENT_CREDENTIALS"] } }),
                "service_account_id",
            ),
            (
                json!({ "serviceAccountId": nobody }),
                json!({ "serviceAccountId": nobody }),
                "service_account_id",
            ),
            (
                json!({ "serviceAccountId": "x" }),
                json!({ "serviceAccountId": "x" }),
                "service_account_id",
            ),
            (
                json!({ "groupIds": [nobody] }),
                json!({ "groups": { "groupIds": [nobody] } }),
                "group_ids",
            ),
            (
                json!({ "authentication": "CLIENT_AUTHENTICATION_PRIVATE_KEY_JWT" }),
                json!({ "authentication": "CLIENT_AUTHENTICATION_PRIVATE_KEY_JWT" }),
                "jwks",
            ),
            (
                json!({ "jwks": { "keys": [] } }),
                json!({ "jwks": { "keys": [] } }),
                "jwks",
            ),
            (
                json!({ "jwks": { "keys": [{ "kty": "OKP", "d": "hunter2" }] } }),
                json!({ "jwks": { "keys": [{ "kty": "oct", "k": "hunter2" }] } }),
                "jwks",
            ),
            (
                json!({ "jwks": { "keys": [{ "kid": "\0" }] } }),
                json!({ "jwks": { "keys": [{ "\0": 1 }] } }),
                "jwks",
            ),
            (
                json!({ "jwks": { "keys": [{ "n": "x".repeat(16_384) }] } }),
                json!({ "jwks": { "keys": [{ "n": "x".repeat(16_384) }] } }),
                "jwks",
            ),
            (
                json!({ "accessTokenLifetime": "3601s" }),
                json!({ "accessTokenLifetime": "59s" }),
                "access_token_lifetime",
            ),
        ] {
            let mut request = wiki();
            merge(&mut request, created.clone());
            let refused = ask(&server, "CreateApplication", request).await;
            assert_eq!(refused.violations(), [field], "{created}");
            let refused = ask(&server, "UpdateApplication", change(&made, updated.clone())).await;
            assert_eq!(refused.violations(), [field], "{updated}");
        }
        for (body, field) in [
            (
                json!({ "authentication": "CLIENT_AUTHENTICATION_UNSPECIFIED" }),
                "authentication",
            ),
            (json!({ "idTokenSignature": 0 }), "id_token_signature"),
            (json!({ "scopes": { "scopes": [0] } }), "scopes.scopes[0]"),
        ] {
            let refused = ask(&server, "UpdateApplication", change(&made, body)).await;
            assert_eq!(refused.violations(), [field]);
        }
        let public = json!({
            "authentication": "CLIENT_AUTHENTICATION_NONE",
            "grants": ["GRANT_TYPE_CLIENT_CREDENTIALS"],
        });
        let mut request = wiki();
        merge(&mut request, public);
        let refused = ask(&server, "CreateApplication", request).await;
        assert_eq!(refused.violations(), ["grants", "service_account_id"]);
        assert_eq!(shown(&server, &made).await, made);
        assert_eq!(server.audit("application").await.len(), 1);
    });
}

#[test]
fn what_an_application_names_is_of_its_organization() {
    run(async {
        let server = Server::start().await;
        let neighbour = server.neighbour().await;
        let account = json!({ "name": "Builder", "validUntil": "2100-01-01T00:00:00Z" });
        let account = neighbour
            .call_to("ServiceAccountService/CreateServiceAccount", account)
            .await
            .ok();
        let account = &account["serviceAccount"]["id"];
        let group = json!({ "organizationId": neighbour.organization, "name": "Staff" });
        let group = neighbour.call_to("GroupService/CreateGroup", group).await;
        let group = &group.ok()["group"]["id"];
        let own = json!({ "organizationId": server.organization, "name": "Staff" });
        let own = server.call_to("GroupService/CreateGroup", own).await.ok();
        let own = &own["group"]["id"];
        for (body, field) in [
            (json!({ "serviceAccountId": account }), "service_account_id"),
            (json!({ "groupIds": [own, group] }), "group_ids"),
        ] {
            let mut request = wiki();
            merge(&mut request, body);
            let refused = ask(&server, "CreateApplication", request).await;
            assert_eq!(refused.violations(), [field]);
        }
        // A group that is gone keeps nobody from changing the rest.
        let (made, _) = create(&server, json!({ "groupIds": [own] })).await;
        let gone = json!({ "groupId": own });
        server.call_to("GroupService/DeleteGroup", gone).await.ok();
        let renamed = change(&made, json!({ "name": "Handbook" }));
        ask(&server, "UpdateApplication", renamed).await.ok();
        assert_eq!(shown(&server, &made).await["groupIds"], json!([own]));
    });
}

#[test]
fn nobody_else_reaches_an_application_of_an_organization() {
    run(async {
        let server = Server::start().await;
        let neighbour = server.neighbour().await;
        let (made, secret) = create(&server, json!({})).await;
        let operator = server.operator_token().await;
        let member = server.token(Role::Member, false).await;
        let reads = server.token(Role::Admin, true).await;
        for method in [
            "GetApplication",
            "UpdateApplication",
            "RotateApplicationSecret",
            "DeleteApplication",
        ] {
            ask(&neighbour, method, about(&made))
                .await
                .error("not_found");
            // Who names no organization decides about the installation's.
            ask_as(&server, &operator, method, about(&made))
                .await
                .error("not_found");
            let refused = ask_as(&server, &member, method, about(&made)).await;
            refused.error("permission_denied");
            // It opens other doors.
            let refused = ask_as(&server, &secret, method, about(&made)).await;
            refused.error("unauthenticated");
            let reply = ask_as(&server, &reads, method, about(&made)).await;
            match method {
                "GetApplication" => assert_eq!(reply.ok()["application"], made),
                _ => drop(reply.error("permission_denied")),
            }
        }
        for token in [&member, &reads] {
            let refused = ask_as(&server, token, "CreateApplication", wiki()).await;
            refused.error("permission_denied");
        }
        let refused = ask_as(&server, &member, "ListApplications", json!({})).await;
        refused.error("permission_denied");
        let listed = ask_as(&server, &reads, "ListApplications", json!({})).await;
        assert_eq!(listed.ok()["applications"], json!([made]));
        let listed = ask(&neighbour, "ListApplications", json!({})).await.ok();
        assert_eq!(listed.get("applications"), None);
        assert_eq!(server.audit("application").await.len(), 1);

        // Who names it is its administrator.
        let renamed = change(&made, json!({ "name": "Handbook" }));
        ask_here(&server, &operator, "UpdateApplication", renamed)
            .await
            .ok();
        ask_here(&server, &operator, "DeleteApplication", about(&made))
            .await
            .ok();
        ask(&server, "GetApplication", about(&made))
            .await
            .error("not_found");
        let (action, before, after) = server.audit("application").await.pop().unwrap();
        assert_eq!((&*action, after), ("DeleteApplication", Value::Null));
        assert_eq!(before["name"], "Handbook");
    });
}

#[test]
fn an_application_of_the_installation_is_the_operators_alone() {
    run(async {
        let server = Server::start().await;
        let operator = server.operator_token().await;
        let name = server.new_domain();
        let request = json!({ "name": name, "redirectUris": [CALLBACK] });
        let made = ask_as(&server, &operator, "CreateApplication", request).await;
        let made = made.ok();
        let (application, secret) = (&made["application"], made["clientSecret"].as_str().unwrap());
        assert_eq!(application.get("organizationId"), None);
        let client: ClientId = application["clientId"].as_str().unwrap().parse().unwrap();
        assert_eq!(client.organization_id, installation());
        let token = Token::parse(TokenKind::Application, secret).unwrap();
        assert_eq!(token.organization(), None);
        let kept = secrets(&server, installation(), application).await;
        assert_eq!(kept.current, digest(secret));

        for method in [
            "GetApplication",
            "UpdateApplication",
            "RotateApplicationSecret",
            "DeleteApplication",
        ] {
            ask(&server, method, about(application))
                .await
                .error("not_found");
            ask_here(&server, &operator, method, about(application))
                .await
                .error("not_found");
        }
        for listed in [
            ask(&server, "ListApplications", json!({})).await,
            ask_here(&server, &operator, "ListApplications", json!({})).await,
        ] {
            assert_eq!(listed.ok().get("applications"), None);
        }
        let renamed = change(application, json!({ "name": "Product" }));
        let renamed = ask_as(&server, &operator, "UpdateApplication", renamed).await;
        assert_eq!(renamed.ok()["application"]["name"], "Product");
        let rotated = ask_as(
            &server,
            &operator,
            "RotateApplicationSecret",
            about(application),
        );
        let rotated = rotated.await.ok();
        let kept = secrets(&server, installation(), application).await;
        assert_eq!(
            kept.current,
            digest(rotated["clientSecret"].as_str().unwrap())
        );

        // What belongs to organizations is none of it.
        let group = json!({ "organizationId": server.organization, "name": "Staff" });
        let group = server.call_to("GroupService/CreateGroup", group).await;
        let groups = json!({ "groups": { "groupIds": [group.ok()["group"]["id"]] } });
        let groups = change(application, groups);
        let refused = ask_as(&server, &operator, "UpdateApplication", groups).await;
        assert_eq!(refused.violations(), ["group_ids"]);

        let deleted = ask_as(&server, &operator, "DeleteApplication", about(application));
        deleted.await.ok();
        let gone = ask_as(&server, &operator, "GetApplication", about(application)).await;
        gone.error("not_found");
        // It is in no organization's log.
        assert_eq!(server.audit("application").await, []);
    });
}

#[test]
fn the_audit_log_tells_of_applications() {
    run(async {
        let server = Server::start().await;
        let (made, _) = create(&server, json!({})).await;
        let request = json!({ "filter": { "subjectIds": [made["id"]] } });
        let entries = server.call_to("EventService/ListAuditLogs", request).await;
        let entry = entries.ok()["entries"][0].clone();
        assert_eq!(entry["action"], "CreateApplication");
        // The contract has no name for it.
        assert_eq!(entry.get("subjectType"), None);
        let request = json!({ "auditLogEntryId": entry["id"] });
        let shown = server.call_to("EventService/GetAuditLog", request).await;
        let shown = &shown.ok()["details"]["resourceChange"];
        assert_eq!(shown["subjectKind"], "application");
        assert_eq!(shown["after"]["name"], "Wiki");
    });
}

#[test]
fn the_server_is_not_sent_into_the_operators_network() {
    run(async {
        let server = Server::start_with(|app| {
            app.outgoing = Outgoing::new(Reach::default()).unwrap();
        })
        .await;
        let (made, _) = create(&server, json!({})).await;
        for uri in [
            "http://wiki.example.com/",
            "https://10.0.0.1/",
            "https://[fd00::1]/",
            "https://127.0.0.1/",
        ] {
            for (name, field) in [
                ("backchannelLogoutUri", "backchannel_logout_uri"),
                ("jwksUri", "jwks_uri"),
            ] {
                let mut request = wiki();
                merge(&mut request, json!({ name: uri }));
                let refused = ask(&server, "CreateApplication", request).await;
                assert_eq!(refused.violations(), [field], "{uri}");
                let request = change(&made, json!({ name: uri }));
                let refused = ask(&server, "UpdateApplication", request).await;
                assert_eq!(refused.violations(), [field], "{uri}");
                let message = refused.error("invalid_argument");
                assert!(message.contains("ROLLCALL_REACHABLE"), "{message}");
                assert!(!message.contains(uri), "{message}");
            }
        }
        let public = json!({ "jwksUri": "https://wiki.example.com/jwks.json" });
        let public = ask(&server, "UpdateApplication", change(&made, public)).await;
        assert_eq!(
            public.ok()["application"]["jwksUri"],
            "https://wiki.example.com/jwks.json"
        );
    });
}
