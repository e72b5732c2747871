//! `StatusService`.

use chrono::TimeDelta;
use rollcall::domain::identity::Role;
use rollcall::store::MIGRATIONS;
use serde_json::{Value, json};

use super::ask;
use crate::login::Place;
use crate::support::scim::{Client, path};
use crate::support::{Server, run};

async fn status(server: &Server) -> Value {
    ask(server, "StatusService/GetStatus", json!({})).await.ok()
}

#[test]
fn an_organization_in_which_nothing_happened_yet() {
    run(async {
        let server = Server::start().await;
        let status = status(&server).await;
        let newest = MIGRATIONS.iter().map(|m| m.version).max().unwrap();
        assert_eq!(status["serverVersion"], env!("CARGO_PKG_VERSION"));
        assert_eq!(status["time"], "2026-03-01T12:00:00Z");
        assert_eq!(status["organizationId"], server.organization);
        assert_eq!(status["organizationName"], "Test");
        assert_eq!(status["database"]["writable"], true);
        let version = status["database"]["version"].as_str().unwrap();
        let digits = |c: char| c.is_ascii_digit() || c == '.';
        assert!(
            version.len() > 2 && version.chars().all(digits),
            "{version}"
        );
        assert_eq!(
            status["schema"],
            json!({ "appliedVersion": newest, "knownVersion": newest })
        );
        assert_eq!(status["signIns"], json!({}));
        assert_eq!(
            (&status["members"], &status["groups"]),
            (&json!({}), &json!({}))
        );
        let hours = status["signInsByHour"].as_array().unwrap();
        assert_eq!(hours.len(), 24);
        assert_eq!(hours[0], json!({ "start": "2026-02-28T13:00:00Z" }));
        assert_eq!(hours[23], json!({ "start": "2026-03-01T12:00:00Z" }));
        for name in [
            "scimConfigurations",
            "ssoConfigurations",
            "nextTokenToExpire",
            "expiringTokens",
        ] {
            assert_eq!(status[name], Value::Null, "{name}");
        }
    });
}

#[test]
fn configurations_have_their_last_sync_and_their_last_refusal() {
    run(async {
        let client = Client::start().await;
        let server = &client.server;
        let quiet = client.beside(json!({ "name": "Quiet" })).await;
        let off = json!({ "scimConfigurationId": quiet.configuration, "enabled": false });
        server.call("UpdateSCIMConfiguration", off).await.ok();
        let ada = client.user("ada@example.com", json!({})).await;
        client.user("grace@example.com", json!({})).await;
        server.pass(TimeDelta::minutes(1));
        client.delete("/Users/nobody").await.refused(404, "");
        server.pass(TimeDelta::minutes(1));
        client.delete(&path(&ada)).await;

        let status = status(server).await;
        let scim = status["scimConfigurations"].as_array().unwrap();
        assert_eq!(scim.len(), 2);
        assert_eq!(scim[0]["id"], client.configuration);
        assert_eq!(scim[0]["name"], "SCIM Configuration");
        assert_eq!(scim[0]["enabled"], true);
        assert_eq!(scim[0]["userCount"], 1);
        assert_eq!(scim[0]["tokenExpiresAt"], "2027-03-01T12:00:00Z");
        assert_eq!(scim[0]["lastEventAt"], "2026-03-01T12:02:00Z");
        let refusal = &scim[0]["lastRefusal"];
        assert_eq!(refusal["at"], "2026-03-01T12:01:00Z");
        assert_eq!(
            (&refusal["method"], &refusal["path"], &refusal["status"]),
            (&json!("DELETE"), &json!("/Users/nobody"), &json!(404))
        );
        assert!(refusal["reason"].as_str().is_some_and(|r| !r.is_empty()));
        assert_eq!(scim[1]["name"], "Quiet");
        for name in ["enabled", "userCount", "lastEventAt", "lastRefusal"] {
            assert_eq!(scim[1][name], Value::Null, "{name}");
        }
        let sso = status["ssoConfigurations"].as_array().unwrap();
        assert_eq!(sso.len(), 2);
        assert_eq!(sso[0]["displayName"], "accounts.example.com");
        assert_eq!(sso[0]["active"], true);

        let neighbour = client.neighbour().await;
        let theirs = super::ask(&neighbour.server, "StatusService/GetStatus", json!({})).await;
        let theirs = theirs.ok();
        assert_eq!(theirs["scimConfigurations"].as_array().unwrap().len(), 1);
        assert_eq!(
            theirs["scimConfigurations"][0]["id"],
            neighbour.configuration
        );
        assert_eq!(theirs["scimConfigurations"][0]["lastEventAt"], Value::Null);
    });
}

#[test]
fn people_and_groups_are_counted() {
    run(async {
        let client = Client::start().await;
        let server = &client.server;
        let ada = client.user("ada@example.com", json!({})).await;
        let grace = client
            .user("grace@example.com", json!({ "active": false }))
            .await;
        client.group("Builders", &[&ada]).await;
        let own = json!({ "organizationId": server.organization, "name": "Own" });
        server.call_to("GroupService/CreateGroup", own).await.ok();
        let counts = async || {
            let status = status(server).await;
            let of_configuration = status["scimConfigurations"][0]["groups"].clone();
            [
                status["members"].clone(),
                status["groups"].clone(),
                of_configuration,
            ]
        };
        let count = |count: i32| json!({ "count": count });
        assert_eq!(counts().await, [count(2), count(2), count(1)]);
        client.delete(&path(&grace)).await;
        assert_eq!(counts().await, [count(1), count(2), count(1)]);
        let neighbour = client.neighbour().await;
        assert_eq!(
            super::ask(&neighbour.server, "StatusService/GetStatus", json!({}))
                .await
                .ok()["members"],
            json!({})
        );
    });
}

#[test]
fn sign_ins_of_the_day_are_counted_hour_by_hour() {
    run(async {
        let place = Place::start().await;
        place.sign_in(&mut place.browser()).await;
        place.pass(TimeDelta::hours(2) + TimeDelta::minutes(59));
        place.comes("grace", json!({ "email": null }));
        place.try_sign_in(&mut place.browser()).await;
        place.pass(TimeDelta::minutes(2));
        place.comes("ada", json!({}));
        place.sign_in(&mut place.browser()).await;
        place.sign_in(&mut place.browser()).await;
        let hours = async || {
            let status = status(&place.server).await;
            let hours = status["signInsByHour"].as_array().unwrap().clone();
            assert_eq!(hours.len(), 24);
            let is_busy = |hour: &Value| hour.as_object().unwrap().len() > 1;
            hours.into_iter().filter(is_busy).collect::<Vec<_>>()
        };
        let expected = [
            json!({ "start": "2026-03-01T12:00:00Z", "signedIn": 1 }),
            json!({ "start": "2026-03-01T14:00:00Z", "refused": 1 }),
            json!({ "start": "2026-03-01T15:00:00Z", "signedIn": 2 }),
        ];
        assert_eq!(hours().await, expected);
        place.pass(TimeDelta::hours(21));
        assert_eq!(hours().await, expected[1..]);
    });
}

#[test]
fn sign_ins_of_the_last_hour_are_counted() {
    run(async {
        let place = Place::start().await;
        place.sign_in(&mut place.browser()).await;
        place.pass(TimeDelta::hours(1) + TimeDelta::seconds(1));
        place.sign_in(&mut place.browser()).await;
        for (name, more) in [
            ("grace", json!({ "email": null })),
            ("alan", json!({ "email": null })),
            (
                "kurt",
                json!({ "email": "kurt@elsewhere.example", "email_verified": false }),
            ),
        ] {
            place.comes(name, more);
            place.try_sign_in(&mut place.browser()).await;
        }
        let counts = &status(&place.server).await["signIns"];
        assert_eq!(
            (&counts["signedIn"], &counts["refused"]),
            (&json!(1), &json!(3))
        );
        assert_eq!(
            counts["refusals"],
            json!([{ "failedCheck": "email", "count": 3 }])
        );
        let neighbour = place.neighbour().await;
        assert_eq!(status(&neighbour.server).await["signIns"], json!({}));
    });
}

#[test]
fn the_next_token_to_end_is_one_that_opens_something() {
    run(async {
        let server = Server::start().await;
        let now = server.now();
        let organization = server.organization_id();
        let next = async || status(&server).await["nextTokenToExpire"].clone();
        let in_days = |days| Some(now + TimeDelta::days(days));

        let scim = server
            .scim(json!({ "name": "Okta", "tokenExpiresIn": "864000s" }))
            .await;
        let id = &scim["scimConfiguration"]["id"];
        let okta = json!({ "scimConfigurationId": id, "name": "Okta", "expiresAt": "2026-03-11T12:00:00Z" });
        assert_eq!(next().await, okta);
        server
            .issue(organization, Role::Member, true, in_days(20))
            .await;
        server
            .issue(organization, Role::Admin, false, Some(now))
            .await;
        assert_eq!(next().await, okta);
        server
            .issue(organization, Role::Member, true, in_days(5))
            .await;
        let soon = next().await;
        assert_eq!(soon["expiresAt"], "2026-03-06T12:00:00Z");
        assert_eq!(
            (&soon["name"], soon["apiTokenId"].is_string()),
            (&json!("Test"), true)
        );

        let off = json!({ "scimConfigurationId": id, "enabled": false });
        server.call("UpdateSCIMConfiguration", off).await.ok();
        server.pass(TimeDelta::days(6));
        assert_eq!(next().await["expiresAt"], "2026-03-21T12:00:00Z");
    });
}

#[test]
fn tokens_that_end_soon_are_listed() {
    run(async {
        let server = Server::start().await;
        let (now, organization) = (server.now(), server.organization_id());
        let in_days = |days| Some(now + TimeDelta::days(days));
        for days in [31, 30, 2] {
            server
                .issue(organization, Role::Member, true, in_days(days))
                .await;
        }
        server
            .scim(json!({ "name": "Okta", "tokenExpiresIn": "864000s" }))
            .await;
        let status = status(&server).await;
        let tokens = status["expiringTokens"].as_array().unwrap();
        let ends: Vec<&str> = tokens
            .iter()
            .filter_map(|token| token["expiresAt"].as_str())
            .collect();
        assert_eq!(
            ends,
            [
                "2026-03-03T12:00:00Z",
                "2026-03-11T12:00:00Z",
                "2026-03-31T12:00:00Z"
            ]
        );
        assert_eq!(tokens[0], status["nextTokenToExpire"]);
        assert!(tokens[1]["scimConfigurationId"].is_string());
        for days in 3..30 {
            server
                .issue(organization, Role::Member, true, in_days(days))
                .await;
        }
        let tokens = super::ask(&server, "StatusService/GetStatus", json!({}))
            .await
            .ok();
        assert_eq!(tokens["expiringTokens"].as_array().unwrap().len(), 20);
    });
}
