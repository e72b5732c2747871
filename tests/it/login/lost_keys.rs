//! A key that sealed client secrets is lost: who depends on it is told, and nobody else notices.

use rollcall::domain::sso::{FORGOTTEN_SECRET, client_secret_context};
use rollcall::error::Error;
use rollcall::provisioning::keys::forget;
use rollcall::secrets::keys;
use rollcall::store;
use serde_json::{Value, json};
use uuid::Uuid;

use super::provider::{Endpoint, SECRET};
use super::{Place, gives_no_session, is_kept_out};
use crate::api::rollcall::ask;
use crate::support::run;

/// A place whose secrets are sealed with a key of its own, and the key's id.
async fn place() -> (Place, String) {
    let mut id = String::new();
    let place = Place::start_with(|app| {
        id = format!("lost-{}", app.new_id::<Uuid>().simple());
        app.keys = keys::generate(&id, &app.random).parse().unwrap();
    })
    .await;
    (place, id)
}

/// The same place at a process that has another key.
fn afterwards(place: &Place) -> Place {
    place.through(place.sso.clone())
}

async fn state(place: &Place) -> Value {
    let request = json!({ "ssoConfigurationId": place.sso });
    let got = place.server.call("GetSSOConfiguration", request).await.ok();
    let request = json!({ "organizationId": place.server.organization });
    let list = place.server.call("ListSSOConfigurations", request).await;
    let listed = list.ok()["ssoConfigurations"][0].clone();
    assert_eq!(listed, got["ssoConfiguration"]);
    listed["state"].clone()
}

#[test]
fn the_client_secret_is_entered_again_and_people_sign_in() {
    run(async {
        let (before, key) = place().await;
        let (mut ada, _) = before.signed_in("ada").await;
        let after = afterwards(&before);
        let forgotten = forget(&after.server.app, &after.server.app.keys, &key)
            .await
            .unwrap();
        let ids: Vec<String> = forgotten
            .configurations
            .iter()
            .map(|c| c.id.to_string())
            .collect();
        assert_eq!(ids, [&*after.sso]);
        assert!(ada.member().await.is_some(), "sessions go on");

        assert_eq!(state(&after).await, "SSO_CONFIGURATION_STATE_INACTIVE");
        let status = ask(&after.server, "StatusService/GetStatus", json!({})).await;
        let status = status.ok()["ssoConfigurations"][0].clone();
        assert_eq!(status["needsClientSecret"], true, "{status}");
        assert_eq!(status["active"], Value::Null);
        let request = json!({ "ssoConfigurationId": after.sso });
        let method = "SignInService/CheckSSOConfiguration";
        let check = ask(&after.server, method, request).await.ok();
        let text = check["findings"].to_string();
        assert_eq!(
            text.matches("enter the client secret again").count(),
            2,
            "{text}"
        );

        // What does not bring the secret changes nothing but what it says.
        after.update(json!({ "displayName": "Renamed" })).await;
        let request =
            json!({ "ssoConfigurationId": after.sso, "state": "SSO_CONFIGURATION_STATE_ACTIVE" });
        let refused = after.server.call("UpdateSSOConfiguration", request).await;
        let message = refused.error("failed_precondition");
        assert!(message.contains("client_secret"), "{message}");
        assert_eq!(state(&after).await, "SSO_CONFIGURATION_STATE_INACTIVE");

        after.update(json!({ "clientSecret": SECRET })).await;
        assert_eq!(state(&after).await, "SSO_CONFIGURATION_STATE_ACTIVE");
        after.sign_in(&mut after.browser()).await;

        let audit = after.server.audit("sso_config").await;
        let (_, was, is) = audit
            .iter()
            .find(|(action, ..)| action == "ForgetEncryptionKey")
            .unwrap();
        assert_eq!(was["needs_client_secret"], false);
        assert_eq!(
            (&is["needs_client_secret"], &is["state"]),
            (&json!(true), &json!("inactive"))
        );
    });
}

#[test]
fn people_are_told_that_an_administrator_has_to_act() {
    run(async {
        let (before, key) = place().await;
        let mut under_way = before.browser();
        let parameters = before.begin(&mut under_way).await;
        let exchanged = before.provider.count(Endpoint::Token);
        let after = afterwards(&before);
        forget(&after.server.app, &after.server.app.keys, &key)
            .await
            .unwrap();

        let late = before.come_back(&mut under_way, &parameters).await;
        let reply = after.browser().get(&after.start_url("/account")).await;
        for (place, reply) in [(&before, late), (&after, reply)] {
            assert_eq!(reply.status, 403);
            let page = reply.text();
            assert!(page.contains("enter the client secret again"), "{page}");
            assert!(!page.contains(&key), "{page}");
            place
                .refused(&reply, "client_secret", "UpdateSSOConfiguration")
                .await;
        }
        assert_eq!(
            after.provider.count(Endpoint::Token),
            exchanged,
            "the provider is not asked with what is no secret"
        );
    });
}

#[test]
fn attack_what_stands_in_the_place_of_a_secret_is_never_sent() {
    run(async {
        let (before, key) = place().await;
        let after = afterwards(&before);
        forget(&after.server.app, &after.server.app.keys, &key)
            .await
            .unwrap();
        let organization = after.server.organization_id();
        let id = after.sso.parse::<Uuid>().unwrap().into();
        let mut db = after.server.app.store.acquire().await.unwrap();
        let sealed = store::sso::client_secret(&mut db, organization, id).await;
        let context = client_secret_context(organization, id);
        let opened = after.server.app.keys.open(&sealed.unwrap(), &context);
        assert_eq!(opened.unwrap().as_slice(), FORGOTTEN_SECRET);
        // As a version that does not know of forgotten secrets leaves it when it seals it anew.
        let sealed =
            after
                .server
                .app
                .keys
                .seal(FORGOTTEN_SECRET, &context, &after.server.app.random);
        sqlx::query("update sso_configurations set client_secret = $2 where organization_id = $1")
            .bind(organization.as_uuid())
            .bind(sealed.unwrap())
            .execute(&mut *db)
            .await
            .unwrap();
        drop(db);
        is_kept_out(&after, "client_secret", "enter the client secret again").await;
        assert_eq!(after.provider.count(Endpoint::Token), 0);
    });
}

#[test]
fn attack_forgetting_reaches_what_another_key_sealed() {
    run(async {
        let (one, key) = place().await;
        let (other, other_key) = place().await;
        for wrong in [
            &key[..key.len() - 1],
            &format!("{key}0"),
            "lost",
            "",
            "a b",
            "%",
        ] {
            let forgotten = forget(&other.server.app, &other.server.app.keys, wrong).await;
            let is_nothing = match &forgotten {
                Ok(forgotten) => forgotten.configurations.is_empty(),
                Err(error) => matches!(error, Error::Invalid(_)),
            };
            assert!(is_nothing, "{wrong:?}: {forgotten:?}");
        }
        let refused = forget(&other.server.app, &other.server.app.keys, &other_key).await;
        assert!(
            matches!(&refused, Err(Error::FailedPrecondition(text)) if text.contains("keys reseal")),
            "{refused:?}"
        );
        one.sign_in(&mut one.browser()).await;

        assert_eq!(
            forget(&other.server.app, &other.server.app.keys, &key)
                .await
                .unwrap()
                .configurations
                .len(),
            1
        );
        other.sign_in(&mut other.browser()).await;
        assert_eq!(state(&other).await, "SSO_CONFIGURATION_STATE_ACTIVE");
        let audit = other.server.audit("sso_config").await;
        assert!(
            audit
                .iter()
                .all(|(action, ..)| action != "ForgetEncryptionKey")
        );
        let reply = afterwards(&one).browser().get(&one.start_url("")).await;
        gives_no_session(&reply);
        assert_eq!(reply.status, 403);
    });
}

#[test]
fn a_client_key_that_is_lost_is_made_anew() {
    run(async {
        let (before, key) = place().await;
        let lost = super::clients::public_keys(&before).await;
        let after = afterwards(&before);
        forget(&after.server.app, &after.server.app.keys, &key)
            .await
            .unwrap();
        let made = super::clients::public_keys(&after).await;
        assert_ne!(made, lost);
        assert_eq!(super::clients::public_keys(&after).await, made);
    });
}
