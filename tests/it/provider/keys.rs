//! The keys that sign: published before they are used, replaced, withdrawn.

use axum::body::Body;
use chrono::TimeDelta;
use http::Request;
use rollcall::oidc::jose::{Jws, KeySet};
use rollcall::provisioning::signing;
use serde_json::{Value, json};

use super::{Client, text};
use crate::login::{ORIGIN, Place};
use crate::support::{Server, run};

async fn get(server: &Server, path: &str) -> Value {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let reply = server.send(request).await;
    assert!(
        reply.headers["cache-control"]
            .to_str()
            .unwrap()
            .contains("max-age")
    );
    reply.ok()
}

#[test]
fn applications_find_everything_by_themselves() {
    run(async {
        let server = Server::start_with(|app| app.public_url = ORIGIN.to_owned()).await;
        let metadata = get(&server, "/.well-known/openid-configuration").await;
        assert_eq!(
            get(&server, "/.well-known/oauth-authorization-server").await,
            metadata
        );
        assert_eq!(metadata["issuer"], ORIGIN);
        assert_eq!(
            metadata["code_challenge_methods_supported"],
            json!(["S256"])
        );
        assert_eq!(
            metadata["authorization_response_iss_parameter_supported"],
            true
        );
        let keys = text(&metadata["jwks_uri"]).strip_prefix(ORIGIN).unwrap();
        let keys = get(&server, keys).await;
        let kinds: Vec<&Value> = keys["keys"]
            .as_array()
            .unwrap()
            .iter()
            .map(|key| &key["kty"])
            .collect();
        for kind in ["RSA", "EC", "OKP"] {
            assert!(kinds.contains(&&json!(kind)), "{kinds:?}");
        }
        for key in keys["keys"].as_array().unwrap() {
            for private in ["d", "p", "q", "dp", "dq", "qi"] {
                assert_eq!(key.get(private), None);
            }
        }
    });
}

#[test]
fn id_tokens_are_signed_with_a_published_key_in_the_way_that_the_application_chose() {
    run(async {
        let place = Place::start().await;
        let mut client = Client::of(&place).await;
        let (mut browser, _) = place.signed_in("ada").await;
        let published = get(&place.server, "/oauth2/keys").await;
        let keys = KeySet::read(published["keys"].as_array().unwrap());
        for signature in rollcall::domain::application::Signature::ALL {
            client
                .change(|settings| {
                    settings.id_token_signature = *signature;
                    settings.userinfo_signature = Some(*signature);
                })
                .await;
            let tokens = client.tokens(&mut browser, &[]).await;
            let jws = Jws::read(text(&tokens["id_token"])).unwrap();
            assert_eq!(keys.verify(&jws), Ok(()), "{signature}");
            let userinfo = client.userinfo(text(&tokens["access_token"])).await;
            assert_eq!(userinfo.headers["content-type"], "application/jwt");
            let userinfo = userinfo.text();
            let jws = Jws::read(&userinfo).unwrap();
            assert_eq!(keys.verify(&jws), Ok(()), "{signature}");
            assert_eq!(jws.claims["aud"], client.id());
        }
    });
}

#[test]
fn keys_are_published_a_day_before_they_sign_and_until_their_last_token_is_over() {
    run(async {
        // In a time of its own: the keys are the installation's, and other tests have theirs.
        let server = Server::start_with(|app| app.public_url = ORIGIN.to_owned()).await;
        server.pass(TimeDelta::days(-365 * 20));
        let ids = async || -> Vec<String> {
            server.app.signers.forget();
            let keys = get(&server, "/oauth2/keys").await;
            let all = keys["keys"].as_array().unwrap().iter();
            all.map(|key| text(&key["kid"]).to_owned()).collect()
        };
        let signer = async || {
            server.app.signers.forget();
            let ring = signing::ring(&server.app).await.unwrap();
            let key = ring.active(
                rollcall::domain::application::Signature::Es256,
                server.now(),
            );
            key.unwrap().id.clone()
        };
        let first = signer().await;
        server.pass(TimeDelta::days(88));
        assert_eq!(
            signing::rotate_old(&server.app, &server.app.keys)
                .await
                .unwrap(),
            0
        );
        server.pass(TimeDelta::days(1));
        assert_eq!(
            signing::rotate_old(&server.app, &server.app.keys)
                .await
                .unwrap(),
            3
        );
        assert_eq!(
            signing::rotate_old(&server.app, &server.app.keys)
                .await
                .unwrap(),
            0
        );
        assert_eq!(
            signer().await,
            first,
            "the next is published, and does not sign yet"
        );
        server.pass(TimeDelta::days(1));
        let second = signer().await;
        assert_ne!(second, first);
        assert!(ids().await.contains(&first));
        server.pass(TimeDelta::hours(26));
        assert!(!ids().await.contains(&first));
        signing::rotate_now(&server.app, &server.app.keys, false)
            .await
            .unwrap();
        server.pass(TimeDelta::seconds(21));
        let third = signer().await;
        assert_ne!(third, second);
        assert!(ids().await.contains(&second));
        // Also the key that would come next.
        server.pass(TimeDelta::days(89));
        let of_three = signing::rotate_old(&server.app, &server.app.keys).await;
        assert_eq!(of_three.unwrap(), 3);
        let before = ids().await;
        server.pass(TimeDelta::seconds(1));
        signing::rotate_now(&server.app, &server.app.keys, true)
            .await
            .unwrap();
        server.pass(TimeDelta::seconds(11));
        let after = ids().await;
        assert!(
            after.iter().all(|id| !before.contains(id)),
            "all are withdrawn"
        );
    });
}

#[test]
fn callers_of_the_api_prove_to_others_who_they_are_but_not_to_applications() {
    run(async {
        let place = Place::start().await;
        let client = Client::of(&place).await;
        let get_token = async |audience: Value| {
            let request = json!({ "audience": audience });
            place
                .server
                .call_to("IdentityService/GetIDToken", request)
                .await
        };
        let reply = get_token(json!(["https://vault.example.com"])).await.ok();
        let published = get(&place.server, "/oauth2/keys").await;
        let keys = KeySet::read(published["keys"].as_array().unwrap());
        let jws = Jws::read(text(&reply["token"])).unwrap();
        assert_eq!(keys.verify(&jws), Ok(()));
        let who = place
            .server
            .call_to("IdentityService/GetAuthenticatedIdentity", json!({}))
            .await
            .ok();
        assert_eq!(jws.claims["sub"], who["subject"]["id"]);
        assert_eq!(jws.claims["org_id"], place.server.organization);
        assert_eq!(jws.claims["principal"], "service_account");
        for (audience, field) in [
            (json!([]), "audience"),
            (json!([""]), "audience[0]"),
            (json!(["x", client.id()]), "audience[1]"),
            (json!(vec!["x"; 21]), "audience"),
        ] {
            assert_eq!(get_token(audience).await.violations(), [field]);
        }
    });
}
