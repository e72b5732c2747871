//! ID tokens that must be refused, and the signatures that must not.

use rollcall::domain::sign_in::Check;
use serde_json::{Value, json};

use super::provider::{Key, SECRET, Sign};
use super::{Place, is_kept_out, keeps_out};
use crate::support::{merge, run};

const ID_TOKEN: &str = Check::IdToken.as_str();

/// An ID token with these claims is refused.
fn claims_keep_out(claims: Value, words: &str) {
    keeps_out(
        |place| place.provider.bend().claims = claims,
        ID_TOKEN,
        words,
    );
}

/// An ID token that is signed like this is refused.
fn signature_keeps_out(sign: Sign, words: &str) {
    keeps_out(
        |place| place.provider.bend().sign = Some(sign),
        ID_TOKEN,
        words,
    );
}

/// A moment, as far from now.
fn seconds(place: &Place, from_now: i64) -> i64 {
    place.server.now().timestamp() + from_now
}

#[test]
fn every_algorithm_that_is_allowed_signs_in() {
    run(async {
        let place = Place::start().await;
        for alg in [
            "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512",
            "EdDSA",
        ] {
            place.provider.rotate(Key::new(alg));
            place.pass(chrono::TimeDelta::minutes(2));
            place.sign_in(&mut place.browser()).await;
        }
    });
}

#[test]
fn attack_issuer_of_another_provider() {
    claims_keep_out(
        json!({ "iss": "https://evil.example" }),
        "made by another provider (iss)",
    );
}

#[test]
fn attack_no_issuer() {
    claims_keep_out(json!({ "iss": null }), "the ID token lacks the claim iss");
}

#[test]
fn attack_token_of_another_client() {
    claims_keep_out(
        json!({ "aud": "another" }),
        "made for another client (aud): check client_id",
    );
}

#[test]
fn attack_token_of_another_client_that_is_for_this_one_as_well() {
    for party in [json!(null), json!("")] {
        claims_keep_out(
            json!({ "aud": ["another", "rollcall-client"], "azp": party }),
            "does not say that this one asked for it (azp)",
        );
    }
    claims_keep_out(
        json!({ "aud": ["another", "rollcall-client"], "azp": "another" }),
        "\"another\" (azp)",
    );
    claims_keep_out(
        json!({ "aud": ["another"], "azp": "rollcall-client" }),
        "made for another client (aud)",
    );
}

#[test]
fn attack_no_audience() {
    claims_keep_out(json!({ "aud": [] }), "made for another client (aud)");
    claims_keep_out(json!({ "aud": null }), "lacks the claim aud");
    claims_keep_out(json!({ "aud": 7 }), "made for another client (aud)");
}

#[test]
fn attack_other_authorized_party() {
    claims_keep_out(json!({ "azp": "another" }), "\"another\" (azp)");
}

#[test]
fn attack_nonce_of_another_login() {
    claims_keep_out(
        json!({ "nonce": "guessed" }),
        "belongs to another login (nonce)",
    );
}

#[test]
fn attack_no_nonce() {
    claims_keep_out(json!({ "nonce": null }), "belongs to another login (nonce)");
}

#[test]
fn attack_nonce_of_another_browser() {
    run(async {
        let place = Place::start().await;
        let mut other = place.browser();
        let location = other.get(&place.start_url("")).await.location();
        let (_, nonce) = location.split_once("&nonce=").unwrap();
        let nonce = nonce.split('&').next().unwrap();
        place.provider.bend().claims = json!({ "nonce": nonce });
        is_kept_out(&place, ID_TOKEN, "belongs to another login (nonce)").await;
    });
}

#[test]
fn attack_signature_of_something_else() {
    signature_keeps_out(Sign::Forged, "a signature that is not the provider's");
}

#[test]
fn attack_signature_of_another_key_under_the_same_name() {
    let key = Key {
        seed: 8,
        ..Key::new("EdDSA")
    };
    signature_keeps_out(Sign::With(key), "a signature that is not the provider's");
}

#[test]
fn attack_key_that_is_not_published() {
    let key = Key {
        seed: 8,
        kid: "mine",
        ..Key::new("EdDSA")
    };
    signature_keeps_out(Sign::With(key), "a key that the provider does not publish");
}

#[test]
fn attack_key_in_the_header() {
    let key = Key {
        seed: 8,
        kid: "mine",
        ..Key::new("ES256")
    };
    keeps_out(
        |place| {
            let mut state = place.provider.bend();
            state.header = json!({ "jwk": key.public(), "jku": "https://evil.example/keys", "x5u": "https://evil.example" });
            state.sign = Some(Sign::With(key));
        },
        ID_TOKEN,
        "a key that the provider does not publish",
    );
}

#[test]
fn attack_no_signature() {
    signature_keeps_out(Sign::Nothing, "is not signed as it must be");
}

#[test]
fn attack_no_signature_in_another_case() {
    keeps_out(
        |place| {
            let mut state = place.provider.bend();
            state.sign = Some(Sign::Nothing);
            state.header = json!({ "alg": "nOnE" });
        },
        ID_TOKEN,
        "is not signed as it must be",
    );
}

#[test]
fn attack_algorithm_confusion_with_the_public_key() {
    let public = Key::new("RS256").public();
    for secret in [public.to_string(), public["n"].as_str().unwrap().to_owned()] {
        keeps_out(
            |place| {
                place.provider.rotate(Key::new("RS256"));
                place.provider.bend().sign = Some(Sign::Hmac(secret.into_bytes()));
            },
            ID_TOKEN,
            "is not signed as it must be",
        );
    }
}

#[test]
fn attack_algorithm_confusion_with_the_client_secret() {
    signature_keeps_out(
        Sign::Hmac(SECRET.as_bytes().to_vec()),
        "is not signed as it must be",
    );
}

#[test]
fn attack_symmetric_key_among_the_published() {
    keeps_out(
        |place| {
            let mut state = place.provider.bend();
            state
                .keys
                .push(json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "EdDSA", "alg": "HS256" }));
            state.sign = Some(Sign::Hmac(b"secret".to_vec()));
        },
        ID_TOKEN,
        "is not signed as it must be",
    );
}

#[test]
fn attack_key_of_another_type() {
    // The name of the provider's key, and an algorithm that is not for it.
    let key = Key {
        kid: "EdDSA",
        ..Key::new("ES256")
    };
    signature_keeps_out(Sign::With(key), "the provider's key does not fit (alg)");
}

#[test]
fn attack_key_of_another_curve() {
    for (signs, published) in [("ES256", "ES384"), ("ES512", "ES256"), ("ES384", "ES512")] {
        keeps_out(
            |place| {
                let mut key = Key::new(published).public();
                merge(&mut key, json!({ "alg": signs, "kid": signs }));
                let mut state = place.provider.bend();
                state.keys = vec![key];
                state.sign = Some(Sign::With(Key::new(signs)));
            },
            ID_TOKEN,
            "the provider's key does not fit (alg)",
        );
    }
}

#[test]
fn attack_key_for_encryption() {
    keeps_out(
        |place| {
            let mut key = Key::new("ES256").public();
            merge(&mut key, json!({ "use": "enc" }));
            let mut state = place.provider.bend();
            state.keys.push(key);
            state.sign = Some(Sign::With(Key::new("ES256")));
        },
        ID_TOKEN,
        "a key that the provider does not publish",
    );
}

#[test]
fn fault_no_key_is_named_where_there_are_many() {
    keeps_out(
        |place| {
            let mut state = place.provider.bend();
            for (seed, kid) in (10..).zip(["a", "b", "c", "d", "e", "f", "g", "h"]) {
                let other = Key {
                    seed,
                    kid,
                    ..Key::new("EdDSA")
                };
                state.keys.push(other.public());
            }
            state.header = json!({ "kid": null });
        },
        ID_TOKEN,
        "many keys signed it (kid)",
    );
}

#[test]
fn no_key_need_be_named_where_there_is_one() {
    run(async {
        let place = Place::start().await;
        place.provider.bend().header = json!({ "kid": null, "typ": null });
        place.sign_in(&mut place.browser()).await;
    });
}

#[test]
fn attack_headers_that_must_be_understood() {
    keeps_out(
        |place| {
            place.provider.bend().header = json!({ "crit": ["b64"], "b64": false });
        },
        ID_TOKEN,
        "of a form that is not supported",
    );
}

#[test]
fn attack_access_token_as_id_token() {
    keeps_out(
        |place| place.provider.bend().header = json!({ "typ": "at+jwt" }),
        ID_TOKEN,
        "of a form that is not supported",
    );
}

#[test]
fn attack_expired() {
    run(async {
        let place = Place::start().await;
        let exp = seconds(&place, -60);
        place.provider.bend().claims = json!({ "exp": exp });
        is_kept_out(&place, ID_TOKEN, "has expired (exp): compare the clocks").await;
        // Within the skew.
        place.provider.bend().claims = json!({ "exp": exp + 1 });
        place.sign_in(&mut place.browser()).await;
    });
}

#[test]
fn attack_without_an_end() {
    keeps_out(
        |place| place.provider.bend().claims = json!({ "exp": null }),
        ID_TOKEN,
        "the ID token lacks the claim exp",
    );
}

#[test]
fn attack_issued_in_the_future() {
    run(async {
        let place = Place::start().await;
        let iat = seconds(&place, 61);
        place.provider.bend().claims = json!({ "iat": iat });
        is_kept_out(&place, ID_TOKEN, "issued in the future (iat)").await;
        place.provider.bend().claims = json!({ "iat": iat - 1 });
        place.sign_in(&mut place.browser()).await;
    });
}

#[test]
fn attack_issued_long_ago() {
    run(async {
        let place = Place::start().await;
        let iat = seconds(&place, -16 * 60);
        place.provider.bend().claims = json!({ "iat": iat });
        is_kept_out(&place, ID_TOKEN, "issued long ago (iat)").await;
    });
}

#[test]
fn attack_not_valid_yet() {
    run(async {
        let place = Place::start().await;
        let nbf = seconds(&place, 61);
        for early in [
            json!(nbf),
            json!(nbf as f64 + 0.5),
            json!(1e300),
            json!("soon"),
        ] {
            place.provider.bend().claims = json!({ "nbf": early });
            is_kept_out(&place, ID_TOKEN, "not valid yet (nbf)").await;
        }
        place.provider.bend().claims = json!({ "nbf": nbf - 1 });
        place.sign_in(&mut place.browser()).await;
    });
}

#[test]
fn attack_access_token_of_another_login() {
    for alg in ["EdDSA", "ES256", "ES384", "ES512"] {
        keeps_out(
            |place| {
                place.provider.rotate(Key::new(alg));
                place.provider.bend().tokens = json!({ "access_token": "another" });
            },
            ID_TOKEN,
            "another access token than the one that came with it (at_hash)",
        );
    }
}

#[test]
fn the_hash_of_the_access_token_may_be_missing() {
    run(async {
        let place = Place::start().await;
        place.provider.bend().claims = json!({ "at_hash": null });
        place.sign_in(&mut place.browser()).await;
    });
}

#[test]
fn fault_nobody_is_named() {
    for sub in [json!(""), json!("x".repeat(256))] {
        claims_keep_out(json!({ "sub": sub }), "sub");
    }
    keeps_out(
        |place| place.provider.bend().claims = json!({ "sub": "nul\0" }),
        ID_TOKEN,
        "sub",
    );
}

#[test]
fn fault_no_id_token() {
    keeps_out(
        |place| place.provider.bend().tokens = json!({ "id_token": null }),
        ID_TOKEN,
        "must support OpenID Connect, not OAuth 2.0 alone",
    );
}

#[test]
fn fault_malformed_id_tokens() {
    for token in [
        "x",
        "a.b",
        "a.b.c",
        "e30.e30.",
        "...",
        "e30.bnVsbA.e30",
        "a.b.c.d.e",
    ] {
        keeps_out(
            |place| place.provider.bend().tokens = json!({ "id_token": token }),
            ID_TOKEN,
            "the ID token ",
        );
    }
}
