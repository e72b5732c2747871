//! What real providers are known to send beside, in the place of, or without what the specifications have: none
//! of it keeps anybody out who should come in, and what must keep out says which field did.

use chrono::TimeDelta;
use rollcall::domain::sign_in::Check;
use serde_json::{Value, json};

use super::Place;
use super::provider::{CLIENT, Endpoint, Key, NULL, State};
use crate::support::run;

const CODE: &str = Check::Code.as_str();
const EMAIL: &str = Check::Email.as_str();
const ID_TOKEN: &str = Check::IdToken.as_str();
const USERINFO: &str = Check::Userinfo.as_str();

/// One row: who sends it and what it is, how the provider is bent for it, and which check keeps out for what
/// reason, if one does.
type Row = (
    &'static str,
    fn(&mut State),
    Option<(&'static str, &'static str)>,
);

/// Everybody gets in.
const fn fine(who: &'static str, bend: fn(&mut State)) -> Row {
    (who, bend, None)
}

const fn bad(
    who: &'static str,
    bend: fn(&mut State),
    check: &'static str,
    words: &'static str,
) -> Row {
    (who, bend, Some((check, words)))
}

/// Goes through the rows, each with what the provider published before forgotten.
fn all(rows: &[Row]) {
    run(async {
        let place = Place::start().await;
        for (who, bend, refused) in rows {
            place.provider.straighten();
            bend(&mut place.provider.bend());
            place.pass(TimeDelta::hours(25));
            let mut browser = place.browser();
            let reply = place.try_sign_in(&mut browser).await;
            let attempts = place.attempts().await;
            match refused {
                None => assert_eq!(reply.status, 303, "{who}: {:?}", attempts.first()),
                Some((check, words)) => {
                    println!("{who}: {:?}", attempts.first());
                    place.refused(&reply, check, words).await;
                }
            }
        }
    });
}

#[test]
fn metadata() {
    all(&[
        fine("no subject_types_supported", |p| {
            p.metadata = json!({ "subject_types_supported": null });
        }),
        fine("no response_types_supported", |p| {
            p.metadata = json!({ "response_types_supported": null });
        }),
        fine("no id_token_signing_alg_values_supported", |p| {
            p.metadata = json!({ "id_token_signing_alg_values_supported": null });
        }),
        fine("Gluu: nulls for what it has not", |p| {
            p.metadata = json!({
                "subject_types_supported": NULL, "response_types_supported": NULL,
                "id_token_signing_alg_values_supported": NULL, "scopes_supported": NULL,
                "claims_supported": NULL, "acr_values_supported": NULL, "display_values_supported": NULL,
                "code_challenge_methods_supported": NULL, "token_endpoint_auth_methods_supported": NULL,
                "userinfo_endpoint": NULL, "registration_endpoint": NULL,
                "authorization_response_iss_parameter_supported": NULL,
            });
        }),
        fine("Janssen: empty URLs", |p| {
            p.metadata = json!({
                "userinfo_endpoint": "", "end_session_endpoint": "", "registration_endpoint": "",
                "check_session_iframe": "", "op_policy_uri": "", "op_tos_uri": "", "service_documentation": "",
            });
        }),
        fine("Hydra: documentation that is no URL", |p| {
            p.metadata = json!({ "service_documentation": "see the wiki", "op_policy_uri": 7 });
        }),
        fine("Connect2id: algorithms that nobody knows", |p| {
            p.metadata = json!({
                "id_token_signing_alg_values_supported": ["none", "HS256", "ES256K", "ML-DSA-65", "RS256"],
                "id_token_encryption_alg_values_supported": ["ECDH-1PU", "XC20P"],
                "userinfo_signing_alg_values_supported": ["FOO"],
                "request_object_signing_alg_values_supported": [1, null],
            });
        }),
        fine("Curity: modes, types and displays that nobody knows", |p| {
            p.metadata = json!({
                "response_modes_supported": ["query.jwt", "form_post.jwt", "cookie"],
                "subject_types_supported": ["ephemeral"], "claim_types_supported": ["magic"],
                "display_values_supported": ["hologram"],
                "grant_types_supported": ["urn:openid:params:grant-type:ciba", ""],
                "response_types_supported": ["code", "code something", "none"],
                "prompt_values_supported": ["create"],
            });
        }),
        fine("Keycloak: objects that are not asked for", |p| {
            p.metadata = json!({
                "mtls_endpoint_aliases": { "token_endpoint": "https://mtls.example" },
                "frontchannel_logout_supported": "yes", "request_uri_parameter_supported": 1,
                "backchannel_authentication_request_signing_alg_values_supported": { "a": [] },
            });
        }),
        fine("Entra ID: members of its own", |p| {
            p.metadata = json!({
                "tenant_region_scope": NULL, "cloud_instance_name": "microsoftonline.com",
                "kerberos_endpoint": "", "msgraph_host": "graph.microsoft.com", "http_logout_supported": "true",
                "subject_types_supported": ["pairwise"], "claims_supported": [["sub"], 7],
            });
        }),
        fine("Ping: methods as one text", |p| {
            p.metadata = json!({
                "token_endpoint_auth_methods_supported": "client_secret_basic", "scopes_supported": "openid",
                "acr_values_supported": [0, 1], "claims_parameter_supported": "",
            });
        }),
        fine("Authlete: the secret in the form alone", |p| {
            p.metadata = json!({
                "token_endpoint_auth_methods_supported": ["tls_client_auth", "client_secret_post", "x"],
            });
        }),
        fine("Entra B2C: a query in its endpoints", |p| {
            p.query = "p=b2c_1_sign_in";
        }),
        fine("RFC 9207 denied as a text", |p| {
            p.metadata = json!({ "authorization_response_iss_parameter_supported": "false" });
        }),
        fine("LinkedIn: no userinfo", |p| {
            p.metadata = json!({ "userinfo_endpoint": null })
        }),
        fine("plain text as the content type", |p| {
            p.kinds.insert(Endpoint::Metadata, "text/plain");
            p.kinds.insert(Endpoint::Keys, "application/octet-stream");
        }),
    ]);
}

#[test]
fn token_answers() {
    all(&[
        fine("Entra ID v1: expires_in is a text", |p| {
            p.tokens = json!({ "expires_in": "3599", "ext_expires_in": "3599", "expires_on": "1700000000" });
        }),
        fine("expires_in with a fraction", |p| {
            p.tokens = json!({ "expires_in": 3599.5 })
        }),
        fine("expires_in is empty", |p| {
            p.tokens = json!({ "expires_in": "" })
        }),
        fine("expires_in is negative", |p| {
            p.tokens = json!({ "expires_in": -1 })
        }),
        fine("expires_in is beyond all numbers", |p| {
            p.tokens = json!({ "expires_in": 1e300 })
        }),
        fine("expires_in is null", |p| {
            p.tokens = json!({ "expires_in": NULL })
        }),
        fine("expires_in is missing", |p| {
            p.tokens = json!({ "expires_in": null })
        }),
        fine("Twitch: scope is a list", |p| {
            p.tokens = json!({ "scope": ["openid", "email"] })
        }),
        fine("scope is null", |p| p.tokens = json!({ "scope": NULL })),
        fine("Keycloak: members of its own", |p| {
            p.tokens =
                json!({ "not-before-policy": 0, "session_state": "x", "refresh_expires_in": 0 });
        }),
        fine("AD FS: a resource and nulls", |p| {
            p.tokens = json!({ "resource": "urn:microsoft:userinfo", "refresh_token": NULL, "id_token_expires_in": NULL });
        }),
        fine("Salesforce: objects and numbers", |p| {
            p.tokens = json!({ "issued_at": "1700000000000", "instance_url": "", "signature": 7, "x": { "y": [] } });
        }),
        fine("bearer in any case", |p| {
            p.tokens = json!({ "token_type": "BEARER" });
            p.claims = json!({ "name": null });
        }),
        fine("no token_type", |p| {
            p.tokens = json!({ "token_type": null });
            p.claims = json!({ "name": null });
        }),
        fine("token_type is null", |p| {
            p.tokens = json!({ "token_type": NULL })
        }),
        fine("an access token of another type that nobody needs", |p| {
            p.tokens = json!({ "token_type": "N_A" });
        }),
        fine("no access token, and nobody needs one", |p| {
            p.tokens = json!({ "access_token": null });
        }),
        fine("HTML as the content type", |p| {
            p.kinds.insert(Endpoint::Token, "text/html; charset=utf-8");
        }),
        bad(
            "the access token that is needed is a number",
            |p| {
                p.tokens = json!({ "access_token": 7 });
                p.claims = json!({ "name": null, "at_hash": null });
            },
            USERINFO,
            "has no text as access_token",
        ),
        bad(
            "the access token that is needed has to be proven",
            |p| {
                p.tokens = json!({ "token_type": "DPoP" });
                p.claims = json!({ "name": null });
            },
            USERINFO,
            "another token_type than Bearer",
        ),
        bad(
            "the ID token is an object",
            |p| p.tokens = json!({ "id_token": {} }),
            CODE,
            "has no text as id_token",
        ),
        bad(
            "the ID token is null",
            |p| p.tokens = json!({ "id_token": NULL }),
            ID_TOKEN,
            "sent no ID token",
        ),
        bad(
            "GitHub: an error with status 200",
            |p| p.tokens = json!({ "error": "bad_verification_code" }),
            CODE,
            "refused to exchange the code: bad_verification_code",
        ),
    ]);
}

#[test]
fn audiences() {
    all(&[
        fine("a list of one", |p| p.claims = json!({ "aud": [CLIENT] })),
        fine("the same twice", |p| {
            p.claims = json!({ "aud": [CLIENT, CLIENT] })
        }),
        fine("Zitadel: the project as well", |p| {
            p.claims = json!({ "aud": [CLIENT, "other-client", "project-1"], "azp": CLIENT, "client_id": CLIENT });
        }),
        fine("Oracle IDCS: its own address as well", |p| {
            p.claims =
                json!({ "aud": ["https://identity.oraclecloud.com/", CLIENT], "azp": CLIENT });
        }),
        fine("NetSuite: the account as well", |p| {
            p.claims = json!({ "aud": [format!("1234567;{CLIENT}"), CLIENT], "azp": CLIENT });
        }),
        fine("azp is null", |p| p.claims = json!({ "azp": NULL })),
        fine("azp is empty", |p| p.claims = json!({ "azp": "" })),
        bad(
            "several, and azp is missing",
            |p| p.claims = json!({ "aud": [CLIENT, "project-1"] }),
            ID_TOKEN,
            "have the provider send azp",
        ),
        bad(
            "several, and azp is somebody else",
            |p| p.claims = json!({ "aud": [CLIENT, "another"], "azp": "another" }),
            ID_TOKEN,
            "\"another\" (azp)",
        ),
        bad(
            "azp is a list",
            |p| p.claims = json!({ "azp": [CLIENT] }),
            ID_TOKEN,
            "something else than a text as azp",
        ),
    ]);
}

#[test]
fn claims_that_are_not_used() {
    all(&[
        fine("ORCID: amr is a text", |p| {
            p.claims = json!({ "amr": "pwd" })
        }),
        fine("IdentityServer: amr is null", |p| {
            p.claims = json!({ "amr": NULL })
        }),
        fine("amr holds numbers", |p| {
            p.claims = json!({ "amr": [1, { "m": 2 }] })
        }),
        fine("Keycloak: acr is a number", |p| {
            p.claims = json!({ "acr": 1 })
        }),
        fine("acr is a list", |p| p.claims = json!({ "acr": ["0", "1"] })),
        fine("auth_time is a text", |p| {
            p.claims = json!({ "auth_time": "1700000000" })
        }),
        fine("auth_time has a fraction", |p| {
            p.claims = json!({ "auth_time": 1_700_000_000.5 })
        }),
        fine("Keycloak: auth_time is null", |p| {
            p.claims = json!({ "auth_time": NULL })
        }),
        fine("address is a text", |p| {
            p.claims = json!({ "address": "Main street 1" })
        }),
        fine("address is a list", |p| {
            p.claims = json!({ "address": [{ "formatted": 7 }] })
        }),
        fine("LinkedIn: locale is an object", |p| {
            p.claims = json!({ "locale": { "country": "US", "language": "en" } });
        }),
        fine("locale is null", |p| p.claims = json!({ "locale": NULL })),
        fine("phone_number is a number", |p| {
            p.claims = json!({ "phone_number": 4_930_123_456_u64, "phone_number_verified": "no" });
        }),
        fine("Auth0: updated_at is a date", |p| {
            p.claims = json!({ "updated_at": "2024-01-01T00:00:00.000Z" });
        }),
        fine("updated_at has a fraction", |p| {
            p.claims = json!({ "updated_at": 1.5 })
        }),
        fine("preferred_username is a number", |p| {
            p.claims = json!({ "preferred_username": 4711 })
        }),
        fine("middle_name is null, nickname a list", |p| {
            p.claims = json!({ "middle_name": NULL, "nickname": ["a", "b"], "zoneinfo": 1 });
        }),
        fine("birthdate and gender are numbers", |p| {
            p.claims =
                json!({ "birthdate": 19_150_101, "gender": 1, "website": "", "profile": NULL });
        }),
        fine("Facebook: picture is an object", |p| {
            p.claims = json!({ "picture": { "data": { "url": "https://x.example" } } });
        }),
        fine("names are lists", |p| {
            p.claims = json!({ "given_name": ["Ada"], "family_name": [] })
        }),
        fine("groups and roles of any form", |p| {
            p.claims = json!({ "groups": "staff", "roles": { "x": [] }, "realm_access": 7, "hasgroups": "true" });
        }),
        fine("Apple: texts for booleans", |p| {
            p.claims = json!({ "is_private_email": "true", "email_verified": "true", "nonce_supported": true });
        }),
        fine("jti is a number, sid is null", |p| {
            p.claims = json!({ "jti": 7, "sid": NULL, "c_hash": "", "s_hash": [] });
        }),
        fine("times have a fraction", |p| p.has_fractions = true),
        fine("nbf is null", |p| p.claims = json!({ "nbf": NULL })),
        fine("at_hash is null", |p| p.claims = json!({ "at_hash": NULL })),
        bad(
            "exp is a text",
            |p| p.claims = json!({ "exp": "1700000000" }),
            ID_TOKEN,
            "something else than a number as exp",
        ),
        bad(
            "iat is a list",
            |p| p.claims = json!({ "iat": [1] }),
            ID_TOKEN,
            "something else than a number as iat",
        ),
        bad(
            "sub is a number",
            |p| p.claims = json!({ "sub": 4711 }),
            ID_TOKEN,
            "something else than a text as sub",
        ),
        bad(
            "iss is a list",
            |p| p.claims = json!({ "iss": [] }),
            ID_TOKEN,
            "something else than a text as iss",
        ),
        bad(
            "at_hash is a number",
            |p| p.claims = json!({ "at_hash": 7 }),
            ID_TOKEN,
            "something else than a text as at_hash",
        ),
    ]);
}

#[test]
fn verified_addresses() {
    all(&[
        fine("Cognito: a text", |p| {
            p.claims = json!({ "email_verified": "true" })
        }),
        fine("a text with a capital", |p| {
            p.claims = json!({ "email_verified": "True" })
        }),
        fine("a number", |p| p.claims = json!({ "email_verified": 1 })),
        fine("zero", |p| p.claims = json!({ "email_verified": 0 })),
        fine("an empty text", |p| {
            p.claims = json!({ "email_verified": "" })
        }),
        fine("null", |p| p.claims = json!({ "email_verified": NULL })),
        fine("yes", |p| p.claims = json!({ "email_verified": "yes" })),
        fine("a list", |p| {
            p.claims = json!({ "email_verified": ["true"] })
        }),
        fine("a list of one address", |p| {
            let email = p.person["email"].clone();
            p.claims = json!({ "email": [email] });
        }),
        bad(
            "a list of two addresses",
            |p| p.claims = json!({ "email": ["a@x.example", "b@x.example"] }),
            EMAIL,
            "sends several addresses (claim \"email\")",
        ),
        bad(
            "an empty list",
            |p| p.claims = json!({ "email": [] }),
            EMAIL,
            "sends no address (claim \"email\")",
        ),
        bad(
            "an object",
            |p| p.claims = json!({ "email": { "value": "x" } }),
            EMAIL,
            "sends no address",
        ),
    ]);
}

#[test]
fn keys_and_signatures() {
    all(&[
        fine("the same key twice under one name", |p| {
            let key = p.keys[0].clone();
            p.keys.push(key);
        }),
        fine("the key has no name, the token names one", |p| {
            p.keys[0]["kid"] = Value::Null;
        }),
        fine("two keys without a name, the token names one", |p| {
            let other = Key {
                seed: 9,
                ..Key::new("EdDSA")
            };
            p.keys = vec![other.public(), p.key.public()];
            for key in &mut p.keys {
                key.as_object_mut().unwrap().remove("kid");
            }
        }),
        fine("several keys and no name in the token", |p| {
            let other = Key {
                seed: 9,
                kid: "other",
                ..Key::new("EdDSA")
            };
            p.keys.insert(0, other.public());
            p.header = json!({ "kid": null });
        }),
        fine("the name is a number", |p| p.header = json!({ "kid": 7 })),
        fine("the name is empty", |p| p.header = json!({ "kid": "" })),
        fine("padding in the key", |p| {
            let x = p.keys[0]["x"].as_str().unwrap().to_owned();
            p.keys[0]["x"] = json!(format!("{x}="));
        }),
        fine("padding in the token", |p| p.is_padded = true),
        fine("what the key is for is null or empty", |p| {
            p.keys[0]["use"] = json!("");
            p.keys[0]["alg"] = Value::Null;
            p.keys[0]["key_ops"] = Value::Null;
        }),
        fine("the key says its operations and certificates", |p| {
            p.keys[0]["key_ops"] = json!(["verify"]);
            p.keys[0]["x5c"] = json!(["not a certificate"]);
            p.keys[0]["x5t"] = json!(7);
            p.keys[0]["exp"] = json!("never");
        }),
        fine("keys of kinds that nobody knows", |p| {
            p.keys.insert(
                0,
                json!({ "kty": "AKP", "alg": "ML-DSA-65", "pub": "AA", "kid": "EdDSA-2" }),
            );
            p.keys.insert(
                0,
                json!({ "kty": "OKP", "crv": "X25519", "x": "AA", "kid": "EdDSA" }),
            );
            p.keys.insert(0, json!({ "kty": 7, "kid": [], "use": {} }));
        }),
        fine("a zero before the modulus", |p| {
            let key = Key::new("RS256");
            p.keys = vec![key.public()];
            let n = p.keys[0]["n"].as_str().unwrap();
            let n = [&[0], decoded(n).as_slice()].concat();
            p.keys[0]["n"] = json!(encoded(&n));
            p.key = key;
        }),
        fine("RFC 9864: Ed25519", |p| {
            p.header = json!({ "alg": "Ed25519" });
            p.keys[0]["alg"] = json!("Ed25519");
        }),
        fine("typ in small letters", |p| {
            p.header = json!({ "typ": "jwt" })
        }),
        fine("typ as a media type", |p| {
            p.header = json!({ "typ": "application/JWT" })
        }),
        fine("Entra ID: certificates in the header", |p| {
            p.header = json!({ "x5t": "AA", "x5c": 7, "nonce": "x", "typ": NULL, "cty": NULL, "crit": NULL });
        }),
        bad(
            "the token is encrypted",
            |p| p.tokens = json!({ "id_token": "a.b.c.d.e" }),
            ID_TOKEN,
            "is encrypted",
        ),
        bad(
            "the key of that name is another, and nobody else's counts",
            |p| {
                let other = Key {
                    seed: 9,
                    ..Key::new("EdDSA")
                };
                let mut unnamed = p.key.public();
                unnamed.as_object_mut().unwrap().remove("kid");
                p.keys = vec![other.public(), unnamed];
            },
            ID_TOKEN,
            "a signature that is not the provider's",
        ),
    ]);
}

fn encoded(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

fn decoded(text: &str) -> Vec<u8> {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(text)
        .unwrap()
}

#[test]
fn userinfo() {
    all(&[
        fine("claims of any type", |p| {
            p.claims = json!({ "name": null });
            p.userinfo = json!({
                "address": "x", "phone_number": 7, "updated_at": "2024-01-01", "locale": {}, "email_verified": "true",
                "groups": "x", "amr": "pwd", "picture": [], "middle_name": NULL,
            });
        }),
        fine("nulls in the ID token", |p| {
            p.claims = json!({ "name": NULL, "email": NULL, "email_verified": NULL });
        }),
        fine("text as the content type", |p| {
            p.claims = json!({ "name": null });
            p.kinds.insert(Endpoint::Userinfo, "text/plain");
        }),
        bad(
            "sub is a number",
            |p| {
                p.claims = json!({ "name": null });
                p.userinfo = json!({ "sub": 7 });
            },
            USERINFO,
            "something else than a text as sub",
        ),
    ]);
}

#[test]
fn userinfo_signed_with_any_algorithm() {
    run(async {
        let place = Place::start().await;
        place.provider.bend().claims =
            json!({ "email": null, "email_verified": null, "name": null });
        for alg in ["RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA"] {
            place.provider.rotate(Key::new(alg));
            let person = place.provider.bend().person.clone();
            let signed = place.provider.signed_userinfo(person);
            place.provider.answers(Endpoint::Userinfo, signed);
            place.pass(TimeDelta::hours(25));
            place.sign_in(&mut place.browser()).await;
        }
    });
}

#[test]
fn attack_signed_userinfo_for_another_client_or_by_another_provider() {
    run(async {
        let place = Place::start().await;
        place.provider.bend().claims = json!({ "name": null });
        let person = place.provider.bend().person.clone();
        for (more, words) in [
            (json!({ "aud": "another" }), "another client (aud)"),
            (json!({ "aud": null }), "lacks the claim aud"),
            (
                json!({ "iss": "https://evil.example" }),
                "another provider (iss)",
            ),
            (json!({ "iss": null }), "lacks the claim iss"),
        ] {
            let mut claims = person.clone();
            crate::support::merge(&mut claims, more);
            let signed = place.provider.signed_userinfo(claims);
            place.provider.answers(Endpoint::Userinfo, signed);
            super::is_kept_out(&place, USERINFO, words).await;
        }
    });
}
