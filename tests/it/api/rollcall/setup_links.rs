//! Set-up links: who makes them, what they open, and when they end.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use http::{Request, header};
use rollcall::domain::identity::{Audience, Effect};
use rollcall::domain::token::{Token, TokenKind};
use serde_json::{Value, json};

use super::super::methods::{Things, call, is_stream, table};
use crate::support::{Reply, Server, merge, needs_parallel_connections, run};

const SERVICE: &str = "rollcall.v1.SetupLinkService";

async fn ask(server: &Server, token: &str, method: &str, request: Value) -> Reply {
    call(
        server,
        &format!("{SERVICE}/{method}"),
        Some(token),
        &request,
    )
    .await
}

/// A link, and the token that is in its URL.
async fn make(server: &Server, permissions: &[&str], more: Value) -> (Value, String) {
    let wire = |name: &&str| format!("SETUP_PERMISSION_{name}");
    let permissions: Vec<String> = permissions.iter().map(wire).collect();
    let mut request = json!({ "permissions": permissions });
    merge(&mut request, more);
    let made = ask(server, &server.token, "CreateSetupLink", request)
        .await
        .ok();
    let url = made["url"].as_str().unwrap();
    let start = format!("{}/setup/", server.app.public_url);
    let token = url.strip_prefix(&*start).unwrap().to_owned();
    (made["setupLink"].clone(), token)
}

fn id(link: &Value) -> &str {
    link["id"].as_str().unwrap()
}

async fn live(server: &Server, more: Value) -> Vec<Value> {
    let list = ask(server, &server.token, "ListSetupLinks", more).await;
    list.ok()["setupLinks"]
        .as_array()
        .cloned()
        .unwrap_or_default()
}

#[test]
fn a_link_is_made_shown_and_says_what_it_is_for() {
    run(async {
        let server = Server::start().await;
        let sso = server.sso("client").await;
        let more = json!({
            "description": "Acme IT",
            "returnUrl": "https://app.example.com/done?from=rollcall",
            "validFor": "86400s",
        });
        let (link, token) = make(&server, &["SCIM", "SSO", "SCIM"], more).await;
        assert!(token.starts_with("rcsetup_"));
        assert_eq!(link["organizationId"], *server.organization);
        assert_eq!(link["description"], "Acme IT");
        assert_eq!(
            link["permissions"],
            json!(["SETUP_PERMISSION_SSO", "SETUP_PERMISSION_SCIM"])
        );
        assert_eq!(
            link["returnUrl"],
            "https://app.example.com/done?from=rollcall"
        );
        let days = server.now() + TimeDelta::days(1);
        let end: chrono::DateTime<chrono::Utc> =
            link["expiresAt"].as_str().unwrap().parse().unwrap();
        assert_eq!(end, days);
        assert_eq!(link["createdBy"]["principal"], "PRINCIPAL_SERVICE_ACCOUNT");
        for (token, request) in [
            (&token, json!({})),
            (&token, json!({ "setupLinkId": link["id"] })),
            (&server.token, json!({ "setupLinkId": link["id"] })),
        ] {
            let shown = ask(&server, token, "GetSetupLink", request).await;
            let shown = shown.ok();
            assert_eq!(shown["setupLink"]["id"], link["id"]);
            assert_eq!(shown["organizationName"], "Test");
            let name = json!([{ "id": sso["id"], "displayName": sso["displayName"] }]);
            let shown = &shown["ssoConfigurations"];
            assert_eq!(shown[0]["id"], name[0]["id"]);
            assert!(!shown.to_string().contains("client"), "{shown}");
            assert!(!shown.to_string().contains(token.as_str()));
        }
        // An administrator says which.
        ask(&server, &server.token, "GetSetupLink", json!({}))
            .await
            .error("permission_denied");
        let listed = live(&server, json!({})).await;
        assert_eq!(listed.len(), 1);
        assert!(!listed[0].to_string().contains("rcsetup"));
        let (link, token) = make(&server, &["DOMAINS"], json!({})).await;
        let shown = ask(&server, &token, "GetSetupLink", json!({})).await.ok();
        assert_eq!(shown.get("ssoConfigurations"), None);
        let end: chrono::DateTime<chrono::Utc> =
            link["expiresAt"].as_str().unwrap().parse().unwrap();
        assert_eq!(end, server.now() + TimeDelta::days(7));
    });
}

#[test]
fn what_is_wrong_with_a_link_is_named() {
    run(async {
        let server = Server::start().await;
        let good = json!({ "permissions": ["SETUP_PERMISSION_SSO"] });
        for (change, field) in [
            (json!({ "permissions": [] }), "permissions"),
            (
                json!({ "permissions": ["SETUP_PERMISSION_UNSPECIFIED"] }),
                "permissions[0]",
            ),
            (json!({ "description": "x".repeat(257) }), "description"),
            (json!({ "description": "a\u{0}b" }), "description"),
            (json!({ "validFor": "2592001s" }), "valid_for"),
            (json!({ "validFor": "59s" }), "valid_for"),
            (json!({ "returnUrl": "javascript:alert(1)" }), "return_url"),
            (
                json!({ "returnUrl": "http://app.example.com" }),
                "return_url",
            ),
            (
                json!({ "returnUrl": "https://ada:x@app.example.com" }),
                "return_url",
            ),
            (json!({ "returnUrl": "//app.example.com" }), "return_url"),
        ] {
            let mut request = good.clone();
            merge(&mut request, change.clone());
            let reply = ask(&server, &server.token, "CreateSetupLink", request).await;
            assert_eq!(reply.violations(), [field], "{change}");
        }
    });
}

/// What a link of each permission opens, by name: not taken from the table of permissions.
const OPEN: [(&str, &[&str]); 3] = [
    (
        "SSO",
        &[
            "CreateSSOConfiguration",
            "GetSSOConfiguration",
            "ListSSOConfigurations",
            "UpdateSSOConfiguration",
            "DeleteSSOConfiguration",
            "ListSignInAttempts",
            "CheckSSOConfiguration",
            "CheckIssuer",
            "CreateTestSignIn",
            "EvaluateClaimsExpression",
            "GetDomainVerification",
            "ListDomainVerifications",
        ],
    ),
    (
        "SCIM",
        &[
            "CreateSCIMConfiguration",
            "GetSCIMConfiguration",
            "ListSCIMConfigurations",
            "UpdateSCIMConfiguration",
            "DeleteSCIMConfiguration",
            "RegenerateSCIMToken",
            "ListProvisioningEvents",
        ],
    ),
    (
        "DOMAINS",
        &[
            "CreateDomainVerification",
            "GetDomainVerification",
            "ListDomainVerifications",
            "VerifyDomain",
            "DeleteDomainVerification",
        ],
    ),
];

#[test]
fn attack_a_link_opens_what_it_is_for_and_nothing_else() {
    run(async {
        let server = Server::start().await;
        for (permission, open) in OPEN {
            let (link, token) = make(&server, &[permission], json!({})).await;
            let mut things = Things::make(&server).await;
            let mut opened = BTreeSet::new();
            for (path, access) in table() {
                if access.audience == Audience::Everybody || is_stream(&path) {
                    continue;
                }
                let mut request = things.request(&path);
                if path.ends_with("/GetSetupLink") {
                    request = json!({ "setupLinkId": link["id"] });
                }
                let reply = call(&server, &path, Some(&token), &request).await;
                if reply.status == 200 {
                    opened.insert(path.split_once('/').unwrap().1.to_owned());
                    if access.effect == Effect::Writes {
                        // What there was may be no more.
                        things = Things::make(&server).await;
                    }
                } else {
                    reply.error("permission_denied");
                }
            }
            let mut expected: BTreeSet<String> =
                open.iter().map(|name| (*name).to_owned()).collect();
            expected.insert("GetSetupLink".to_owned());
            assert_eq!(opened, expected, "{permission}");
        }
    });
}

#[test]
fn attack_streams_and_other_doors_are_closed_to_a_link() {
    run(async {
        let server = Server::start().await;
        let (_, token) = make(&server, &["SSO", "SCIM", "DOMAINS"], json!({})).await;
        for path in [
            "/gitpod.v1.EventService/WatchEvents",
            "/rollcall.v1.EventService/WatchEvents",
        ] {
            // One message of a stream: a flag and a length before it.
            let message = br#"{"organization":true}"#;
            let mut body = vec![0, 0, 0, 0, u8::try_from(message.len()).unwrap()];
            body.extend_from_slice(message);
            let request = Request::post(path)
                .header(header::CONTENT_TYPE, "application/connect+json")
                .header(header::AUTHORIZATION, format!("Bearer {token}"))
                .body(body.into());
            let reply = server.send(request.unwrap()).await;
            let text = String::from_utf8_lossy(&reply.bytes).into_owned();
            assert!(text.contains("permission_denied"), "{path}: {text}");
        }
        for path in ["/scim/v2/Users", "/ssf/streams", "/oauth2/userinfo"] {
            let request = Request::get(path)
                .header(header::AUTHORIZATION, format!("Bearer {token}"))
                .body(axum::body::Body::empty());
            let status = server.send(request.unwrap()).await.status;
            assert!([401, 403].contains(&status.as_u16()), "{path}: {status}");
        }
    });
}

#[test]
fn attack_a_link_names_another_link_or_another_organization() {
    run(async {
        let server = Server::start().await;
        let neighbour = server.neighbour().await;
        let all = ["SSO", "SCIM", "DOMAINS"];
        let (_, token) = make(&server, &all, json!({})).await;
        let (other, _) = make(&server, &["SSO"], json!({})).await;
        let (theirs, _) = make(&neighbour, &["SSO"], json!({})).await;
        let mut seen = BTreeSet::new();
        for id in [id(&other), id(&theirs), &Things::absent()] {
            let named = json!({ "setupLinkId": id });
            let reply = ask(&server, &token, "GetSetupLink", named).await;
            seen.insert(reply.error("permission_denied"));
        }
        assert_eq!(seen.len(), 1, "no oracle: {seen:?}");
        let request = json!({ "organizationId": neighbour.organization });
        let path = "gitpod.v1.OrganizationService/ListSSOConfigurations";
        call(&server, path, Some(&token), &request)
            .await
            .error("permission_denied");
        let request = Request::post(format!("/{path}"))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header("rollcall-organization", &neighbour.organization)
            .body(request.to_string().into());
        server
            .send(request.unwrap())
            .await
            .error("permission_denied");
        // The same link of another organization, or with another secret, is none.
        let own = Token::parse(TokenKind::Setup, &token).unwrap();
        for (organization, link) in [
            (neighbour.organization_id(), own.id()),
            (server.organization_id(), own.id()),
            (server.organization_id(), server.app.new_id()),
        ] {
            let random = &server.app.random;
            let forged = random.token(TokenKind::Setup, Some(organization), link);
            ask(&server, forged.expose(), "GetSetupLink", json!({}))
                .await
                .error("unauthenticated");
        }
    });
}

#[test]
fn a_link_ends_when_it_expires_is_revoked_or_its_organization_goes_on_every_replica() {
    run(async {
        let server = Server::start().await;
        let replica = server.replica();
        let (link, token) = make(&server, &["SSO"], json!({ "validFor": "3600s" })).await;
        let (expiring, short) = make(&server, &["SSO"], json!({ "validFor": "3600s" })).await;
        let list = json!({ "organizationId": server.organization });
        let use_it = async |server: &Server, token: &str| {
            let path = "gitpod.v1.OrganizationService/ListSSOConfigurations";
            call(server, path, Some(token), &list).await
        };
        use_it(&server, &token).await.ok();
        use_it(&replica, &token).await.ok();
        let named = json!({ "setupLinkId": link["id"] });
        let revoked = ask(&server, &server.token, "RevokeSetupLink", named.clone()).await;
        let revoked = revoked.ok()["setupLink"].clone();
        assert!(revoked["revokedAt"].is_string());
        use_it(&replica, &token).await.error("unauthenticated");
        // Once more changes nothing, and is no change.
        let before = server.audit("setup_link").await.len();
        let again = ask(&replica, &server.token, "RevokeSetupLink", named).await;
        assert_eq!(again.ok()["setupLink"], revoked);
        assert_eq!(server.audit("setup_link").await.len(), before);

        let ids = |links: Vec<Value>| -> Vec<String> {
            links.iter().map(|link| id(link).to_owned()).collect()
        };
        assert_eq!(ids(live(&server, json!({})).await), [id(&expiring)]);
        use_it(&replica, &short).await.ok();
        server.pass(TimeDelta::hours(1));
        use_it(&server, &short).await.error("unauthenticated");
        assert!(live(&server, json!({})).await.is_empty());
        let all = live(&server, json!({ "includeEnded": true })).await;
        assert_eq!(ids(all), [id(&link), id(&expiring)]);

        let (_, last) = make(&server, &["SSO"], json!({})).await;
        use_it(&server, &last).await.ok();
        let path = "OrganizationService/DeleteOrganization";
        server.call_to(path, list.clone()).await.ok();
        use_it(&server, &last).await.error("unauthenticated");
    });
}

#[test]
fn the_use_of_a_link_is_noted_to_the_minute() {
    run(async {
        let server = Server::start().await;
        let (link, token) = make(&server, &["SSO"], json!({})).await;
        assert_eq!(link.get("firstUsedAt"), None);
        let shown = async || {
            let shown = ask(&server, &token, "GetSetupLink", json!({})).await.ok();
            shown["setupLink"].clone()
        };
        let first = shown().await;
        assert_eq!(first["firstUsedAt"], link["createdAt"]);
        assert_eq!(first["lastUsedAt"], link["createdAt"]);
        server.pass(TimeDelta::seconds(59));
        assert_eq!(shown().await, first);
        server.pass(TimeDelta::seconds(1));
        let later = shown().await;
        assert_eq!(later["firstUsedAt"], first["firstUsedAt"]);
        assert_ne!(later["lastUsedAt"], first["lastUsedAt"]);
    });
}

#[test]
fn twenty_links_are_the_most_that_are_live() {
    run(async {
        let server = Server::start().await;
        for _ in 0..19 {
            make(&server, &["SSO"], json!({})).await;
        }
        let (link, _) = make(&server, &["SSO"], json!({ "validFor": "60s" })).await;
        let request = json!({ "permissions": ["SETUP_PERMISSION_SSO"] });
        let more = async || ask(&server, &server.token, "CreateSetupLink", request.clone()).await;
        let refused = more().await.error("failed_precondition");
        assert!(
            refused.contains("20") && refused.contains("revoke"),
            "{refused}"
        );
        let named = json!({ "setupLinkId": link["id"] });
        ask(&server, &server.token, "RevokeSetupLink", named)
            .await
            .ok();
        more().await.ok();
        more().await.error("failed_precondition");
        server.pass(TimeDelta::days(7));
        more().await.ok();
    });
}

#[test]
fn attack_of_many_links_made_at_once_twenty_are_made() {
    needs_parallel_connections();
    run(async {
        let server = Server::start().await;
        let request = json!({ "permissions": ["SETUP_PERMISSION_SSO"] });
        let all = (0..30).map(|_| ask(&server, &server.token, "CreateSetupLink", request.clone()));
        let replies = futures_util::future::join_all(all).await;
        let made = replies.iter().filter(|reply| reply.status == 200).count();
        assert_eq!(made, 20);
        assert_eq!(live(&server, json!({})).await.len(), 20);
    });
}

#[test]
fn the_audit_log_and_the_events_say_which_link_made_a_change() {
    run(async {
        let server = Server::start().await;
        let (link, token) = make(&server, &["SSO"], json!({ "description": "Acme IT" })).await;
        let made = server
            .call_as(
                &token,
                "CreateSSOConfiguration",
                server.sso_request("client"),
            )
            .await
            .ok();
        let sso = &made["ssoConfiguration"]["id"];
        let named = json!({ "setupLinkId": link["id"] });
        ask(&server, &server.token, "RevokeSetupLink", named)
            .await
            .ok();

        let rows = server.audit("setup_link").await;
        let actions: Vec<&str> = rows.iter().map(|(action, ..)| &**action).collect();
        assert_eq!(actions, ["CreateSetupLink", "RevokeSetupLink"]);
        let (_, before, after) = &rows[1];
        assert_eq!(before["revoked_at"], Value::Null);
        assert!(after["revoked_at"].is_string());
        assert_eq!(after["permissions"], json!(["sso"]));
        let secret = token.rsplit('_').next().unwrap();
        assert!(rows.iter().all(|row| !format!("{row:?}").contains(secret)));

        let about = json!({ "filter": { "subjectIds": [sso] } });
        let entries = server
            .call_to("EventService/ListAuditLogs", about)
            .await
            .ok();
        let entry = &entries["entries"][0];
        assert_eq!(entry["actorId"], link["id"]);
        assert_eq!(entry.get("actorPrincipal"), None);
        let named = json!({ "auditLogEntryId": entry["id"] });
        let shown = server.call_to("EventService/GetAuditLog", named).await.ok();
        let change = &shown["details"]["resourceChange"];
        assert_eq!(
            (&change["actorKind"], &change["actorName"]),
            (&json!("setup_link"), &json!("Acme IT"))
        );

        let path = "rollcall.v1.EventService/ListEvents";
        let asked = json!({ "types": ["sso_configuration.created"] });
        let events = call(&server, path, Some(&server.token), &asked).await.ok();
        let event = &events["events"][0];
        assert_eq!(event["subjectId"], *sso);
        assert_eq!(
            event["actor"],
            json!({ "type": "setup_link", "id": link["id"] })
        );
    });
}

#[test]
fn operators_make_links_in_the_organization_that_they_name() {
    run(async {
        let server = Server::start().await;
        let operator = server.operator_token().await;
        let body = json!({ "permissions": ["SETUP_PERMISSION_DOMAINS"] });
        let request = |organization: Option<&str>| {
            let mut request = Request::post(format!("/{SERVICE}/CreateSetupLink"))
                .header(header::CONTENT_TYPE, "application/json")
                .header(header::AUTHORIZATION, format!("Bearer {operator}"));
            if let Some(organization) = organization {
                request = request.header("rollcall-organization", organization);
            }
            request.body(body.to_string().into()).unwrap()
        };
        server.send(request(None)).await.error("permission_denied");
        let made = server.send(request(Some(&server.organization))).await.ok();
        assert_eq!(made["setupLink"]["organizationId"], *server.organization);
        assert!(made["setupLink"]["createdBy"]["id"].is_string());
    });
}

#[test]
fn links_are_removed_thirty_days_after_their_end() {
    run(async {
        let server = Server::start().await;
        // Long ago, so that the job finds nothing of other tests.
        server.pass(-TimeDelta::days(3650));
        let (revoked, _) = make(&server, &["SSO"], json!({ "validFor": "2592000s" })).await;
        make(&server, &["SSO"], json!({ "validFor": "2592000s" })).await;
        let named = json!({ "setupLinkId": revoked["id"] });
        ask(&server, &server.token, "RevokeSetupLink", named)
            .await
            .ok();
        let left = async || {
            rollcall::jobs::tokens::delete_ended(&server.app)
                .await
                .unwrap();
            live(&server, json!({ "includeEnded": true })).await.len()
        };
        server.pass(TimeDelta::days(30));
        assert_eq!(left().await, 2);
        server.pass(TimeDelta::seconds(1));
        assert_eq!(left().await, 1);
        server.pass(TimeDelta::days(30));
        assert_eq!(left().await, 0);
    });
}
