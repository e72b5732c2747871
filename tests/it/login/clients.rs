//! How this server proves to a provider who asks: by the way that the client is registered for, whatever else the
//! provider's metadata have.

use http::Request;
use rollcall::domain::sign_in::Check;
use serde_json::{Value, json};

use super::Place;
use super::provider::{Endpoint, SECRET};
use crate::support::run;

/// The public keys of the configuration, as its provider reads them.
pub async fn public_keys(place: &Place) -> Value {
    let path = format!(
        "/auth/oidc/keys/{}/{}",
        place.server.organization, place.sso
    );
    let request = Request::get(path).body(axum::body::Body::empty()).unwrap();
    let reply = place.server.send(request).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    serde_json::from_slice(&reply.bytes).unwrap()
}

const METHODS: &str = "token_endpoint_auth_methods_supported";

#[test]
fn a_provider_may_take_the_secret_in_the_form_alone() {
    run(async {
        let place = Place::start().await;
        for methods in [
            json!([
                "client_secret_basic",
                "client_secret_post",
                "private_key_jwt"
            ]),
            json!(null),
        ] {
            place.provider.bend().metadata = json!({ METHODS: methods });
            place.provider.bend().takes_form_alone = true;
            place.sign_in(&mut place.browser()).await;
            let asked = place.provider.count(Endpoint::Token);
            place.sign_in(&mut place.browser()).await;
            assert_eq!(
                place.provider.count(Endpoint::Token),
                asked + 1,
                "it is remembered"
            );
        }
        // And it may change.
        place.provider.bend().takes_form_alone = false;
        place.sign_in(&mut place.browser()).await;
    });
}

#[test]
fn attack_a_secret_is_sent_in_the_way_that_a_provider_lists_and_in_no_other() {
    run(async {
        let place = Place::start().await;
        place.provider.bend().metadata = json!({ METHODS: ["client_secret_basic"] });
        place.provider.bend().takes_form_alone = true;
        super::is_kept_out(
            &place,
            Check::Code.as_str(),
            "invalid_client: check client_id",
        )
        .await;
        assert_eq!(place.provider.count(Endpoint::Token), 1);
        let (_, body) = place.provider.last(Endpoint::Token);
        assert!(!body.contains(SECRET));
    });
}

#[test]
fn a_key_signs_where_a_provider_takes_no_secret() {
    run(async {
        let place = Place::start().await;
        for algorithms in [json!(null), json!(["ES256", "PS256"]), json!(["RS256"])] {
            place.provider.straighten();
            place.pass(chrono::TimeDelta::hours(25));
            let keys = public_keys(&place).await;
            place.provider.bend().client_keys = Some(keys);
            place.provider.bend().metadata = json!({
                METHODS: ["private_key_jwt", "tls_client_auth"],
                "token_endpoint_auth_signing_alg_values_supported": algorithms,
            });
            place.sign_in(&mut place.browser()).await;
            let (headers, body) = place.provider.last(Endpoint::Token);
            assert!(!headers.contains_key("authorization") && !body.contains(SECRET));
        }
        let mut used = place.provider.bend().assertions.clone();
        used.sort();
        used.dedup();
        assert_eq!(used.len(), 3, "each proof is another one");
        place.provider.bend().metadata = json!({
            METHODS: ["private_key_jwt"], "token_endpoint_auth_signing_alg_values_supported": ["ES256"],
        });
        place.pass(chrono::TimeDelta::hours(25));
        super::is_kept_out(&place, Check::Code.as_str(), "neither RS256 nor PS256").await;
    });
}

#[test]
fn a_client_that_is_registered_with_a_key_need_not_be_told_apart_by_metadata() {
    run(async {
        let place = Place::start().await;
        place.provider.bend().metadata =
            json!({ METHODS: ["client_secret_basic", "private_key_jwt", "client_secret_post"] });
        // The provider reads the key when it needs it first, which may be after it was made.
        place.provider.bend().client_keys = Some(json!({ "keys": [] }));
        super::is_kept_out(&place, Check::Code.as_str(), "invalid_client").await;
        assert_eq!(place.provider.bend().assertions.len(), 1);
        let keys = public_keys(&place).await;
        place.provider.bend().client_keys = Some(keys);
        place.sign_in(&mut place.browser()).await;
        let asked = place.provider.count(Endpoint::Token);
        place.sign_in(&mut place.browser()).await;
        assert_eq!(
            place.provider.count(Endpoint::Token),
            asked + 1,
            "it is remembered"
        );
    });
}

#[test]
fn a_secret_that_is_corrected_is_taken_though_nothing_could_be_signed_before() {
    run(async {
        let place = Place::start().await;
        place.provider.bend().metadata = json!({
            METHODS: ["client_secret_basic", "client_secret_post", "private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["ES256"],
        });
        place.update(json!({ "clientSecret": "wrong" })).await;
        super::is_kept_out(
            &place,
            Check::Code.as_str(),
            "invalid_client: check client_id",
        )
        .await;
        place.update(json!({ "clientSecret": SECRET })).await;
        place.sign_in(&mut place.browser()).await;
    });
}

#[test]
fn attack_a_key_is_one_configurations_alone() {
    run(async {
        let place = Place::start().await;
        let neighbour = place.neighbour().await;
        let theirs = public_keys(&neighbour).await;
        assert_eq!(public_keys(&place).await, public_keys(&place).await);
        assert_ne!(public_keys(&place).await, theirs);
        assert_eq!(
            theirs["keys"][0]["d"],
            Value::Null,
            "nothing of the private key"
        );
        // What one signs, the other's registration does not take.
        place.provider.bend().client_keys = Some(theirs);
        place.provider.bend().metadata = json!({ METHODS: ["private_key_jwt"] });
        super::is_kept_out(&place, Check::Code.as_str(), "invalid_client").await;
    });
}

#[test]
fn attack_keys_of_what_is_no_configuration() {
    run(async {
        let place = Place::start().await;
        let neighbour = place.neighbour().await;
        let nobody = uuid::Uuid::from_u128(7).to_string();
        let (ours, theirs) = (&*place.server.organization, &*neighbour.server.organization);
        for (organization, id) in [
            (ours, &*nobody),
            (&*nobody, &*place.sso),
            (theirs, &*place.sso),
            (ours, "x"),
            ("x", &*place.sso),
            (ours, "%00"),
        ] {
            let request = Request::get(format!("/auth/oidc/keys/{organization}/{id}"));
            let request = request.body(axum::body::Body::empty()).unwrap();
            let status = place.server.send(request).await.status;
            assert_eq!(status, 404, "{organization}/{id}");
        }
    });
}

#[test]
fn a_secret_is_taken_without_the_blanks_around_it() {
    run(async {
        let place = Place::start().await;
        let padded = format!(" {SECRET}\n");
        place.update(json!({ "clientSecret": padded })).await;
        place.sign_in(&mut place.browser()).await;
        let blank = json!({ "ssoConfigurationId": place.sso, "clientSecret": " \n" });
        let reply = place.server.call("UpdateSSOConfiguration", blank).await;
        assert_eq!(reply.status, 400);
    });
}

#[test]
fn a_list_of_one_address_may_be_the_address() {
    run(async {
        let place = Place::start().await;
        place
            .update(json!({ "claims": { "email": "emails" } }))
            .await;
        let email = place.email("ada");
        place.comes("ada", json!({ "email": null, "emails": [email] }));
        place.sign_in(&mut place.browser()).await;
        place.comes(
            "ada",
            json!({ "email": null, "emails": [email, "ada@elsewhere.example"] }),
        );
        super::is_kept_out(
            &place,
            Check::Email.as_str(),
            "several addresses (claim \"emails\")",
        )
        .await;
    });
}
