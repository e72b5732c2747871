//! Providers that are down, slow, huge, malformed, somewhere else, or not on the public internet;
//! and how often they are asked.

use std::time::Duration;

use bytes::Bytes;
use chrono::TimeDelta;
use futures_util::future::join_all;
use rollcall::app::App;
use rollcall::domain::sign_in::Check;
use rollcall::outgoing::{Outgoing, Reach, Settings};
use serde_json::json;
use tokio::net::TcpListener;

use super::provider::{Answer, ENDPOINTS, Endpoint, Key, Sign};
use super::{Place, is_kept_out};
use crate::support::run;

const PROVIDER: &str = Check::Provider.as_str();

/// The check that fails when an endpoint does.
const fn check(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Metadata | Endpoint::Keys => PROVIDER,
        Endpoint::Token => Check::Code.as_str(),
        Endpoint::Userinfo => Check::Userinfo.as_str(),
    }
}

/// A login at a provider one of whose endpoints answers in some way. It is refused at the start
/// where metadata or keys are needed, and at the callback else.
async fn answers_keep_out(place: &Place, endpoint: Endpoint, answer: Answer, words: &str) {
    // The userinfo is asked for what the token lacks.
    place.provider.bend().claims = json!({ "name": null });
    place.provider.bend().answers.clear();
    place.provider.answers(endpoint, answer);
    // What was kept is not kept any longer.
    place.pass(TimeDelta::hours(25));
    let mut browser = place.browser();
    let start = browser.get(&place.start_url("")).await;
    let reply = match endpoint {
        Endpoint::Metadata | Endpoint::Keys => start,
        _ => {
            let answer = place.provider.authorize(&start.location());
            place.come_back(&mut browser, &answer).await
        }
    };
    place.refused(&reply, check(endpoint), words).await;
    assert_eq!(browser.member().await, None);
}

/// Does not wait long for what never comes.
fn impatient(app: &mut App) {
    let settings = Settings {
        reach: Reach::Anywhere,
        deadline: Duration::from_secs(1),
        ..Settings::default()
    };
    app.outgoing = Outgoing::with(settings).unwrap();
}

/// The same for each endpoint.
fn each_endpoint_keeps_out(
    answer: impl Fn(Endpoint) -> Answer,
    words: impl Fn(Endpoint) -> &'static str,
) {
    each_endpoint_of_keeps_out(|_| {}, answer, words);
}

/// The same at a server that is set up in another way.
fn each_endpoint_of_keeps_out(
    change: fn(&mut App),
    answer: impl Fn(Endpoint) -> Answer,
    words: impl Fn(Endpoint) -> &'static str,
) {
    run(async {
        let place = Place::start_with(change).await;
        for endpoint in ENDPOINTS {
            answers_keep_out(&place, endpoint, answer(endpoint), words(endpoint)).await;
        }
        place.provider.bend().answers.clear();
        place.pass(TimeDelta::hours(25));
        place.sign_in(&mut place.browser()).await;
    });
}

#[test]
fn fault_provider_fails() {
    each_endpoint_keeps_out(|_| Answer::status(500), |_| "status 500");
    each_endpoint_keeps_out(|_| Answer::status(404), |_| "status 404");
}

#[test]
fn fault_a_crowd_comes_to_a_provider_that_never_answers() {
    run(async {
        let place = Place::start_with(impatient).await;
        place.provider.answers(Endpoint::Metadata, Answer::Never);
        let comes = || async { place.browser().get(&place.start_url("")).await.status };
        let waits = async {
            while place.provider.count(Endpoint::Metadata) == 0 {
                tokio::task::yield_now().await;
            }
            // As long as the answer is waited for, and longer than a failure is remembered.
            place.pass(TimeDelta::seconds(10));
        };
        let (statuses, ()) = tokio::join!(join_all((0..30).map(|_| comes())), waits);
        assert!(statuses.iter().all(|status| *status == 502), "{statuses:?}");
        assert_eq!(
            place.provider.count(Endpoint::Metadata),
            1,
            "nobody waits in line for another failure"
        );
    });
}

#[test]
fn fault_provider_never_answers() {
    each_endpoint_of_keeps_out(impatient, |_| Answer::Never, |_| "no answer within");
}

#[test]
fn attack_provider_stalls_in_the_middle() {
    each_endpoint_of_keeps_out(impatient, |_| Answer::Stalled, |_| "no answer within");
}

#[test]
fn fault_connection_breaks_in_the_middle() {
    each_endpoint_keeps_out(
        |_| Answer::Broken,
        |_| "connection closed before message completed",
    );
}

#[test]
fn attack_answer_without_end() {
    each_endpoint_keeps_out(|_| Answer::Endless, |_| "larger than 1 MiB");
}

#[test]
fn attack_answer_that_is_a_byte_too_large() {
    let most = rollcall::outgoing::MAX_RESPONSE;
    each_endpoint_keeps_out(|_| Answer::Padded(most + 1), |_| "larger than 1 MiB");
    run(async {
        let place = Place::start().await;
        place.provider.bend().claims = json!({ "name": null });
        for endpoint in ENDPOINTS {
            place.provider.answers(endpoint, Answer::Padded(most));
        }
        place.sign_in(&mut place.browser()).await;
    });
}

#[test]
fn attack_answer_that_says_how_huge_it_is() {
    let huge = Bytes::from(vec![b' '; 1024 * 1024 + 1]);
    let kind = || ("content-type", "application/json".to_owned());
    each_endpoint_keeps_out(
        |_| Answer::This(200, kind(), huge.clone()),
        |_| "larger than 1 MiB",
    );
}

#[test]
fn fault_answers_that_are_not_json() {
    for text in [
        "",
        "<!doctype html><p>Maintenance",
        "{",
        "[]",
        "null",
        "\"x\"",
        "\u{feff}{}",
    ] {
        each_endpoint_keeps_out(|_| Answer::json(text), |_| "no JSON object");
    }
}

#[test]
fn fault_answers_of_wrong_types() {
    each_endpoint_keeps_out(
        |endpoint| {
            Answer::json(match endpoint {
                Endpoint::Metadata => r#"{"issuer":1,"authorization_endpoint":[]}"#,
                Endpoint::Keys => r#"{"keys":{"kty":"RSA"}}"#,
                Endpoint::Token => r#"{"access_token":1,"token_type":"Bearer","id_token":{}}"#,
                Endpoint::Userinfo => r#"{"sub":["sub-ada"],"email":"x"}"#,
            })
        },
        |endpoint| match endpoint {
            Endpoint::Metadata => "have something else than a text as issuer",
            Endpoint::Keys => "no JSON object with a list of keys",
            Endpoint::Token => "has no text as id_token",
            Endpoint::Userinfo => "has something else than a text as sub",
        },
    );
}

#[test]
fn attack_answers_that_are_deeply_nested() {
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    each_endpoint_keeps_out(
        |_| Answer::json(&format!("{{\"x\":{deep}}}")),
        |_| "no JSON object",
    );
}

#[test]
fn fault_no_keys_that_can_be_used() {
    run(async {
        let place = Place::start().await;
        for keys in [r#"{"keys":[]}"#, r#"{"keys":[{"kty":"XYZ"},{}, 1]}"#] {
            answers_keep_out(
                &place,
                Endpoint::Keys,
                Answer::json(keys),
                "publishes no keys",
            )
            .await;
        }
    });
}

#[test]
fn keys_that_are_not_understood_do_no_harm() {
    run(async {
        let place = Place::start().await;
        let strange = [
            json!({ "kty": "XYZ", "kid": "1" }),
            json!({ "kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA", "kid": "2" }),
            json!({ "kty": "EC", "crv": "P-521", "x": "AA", "y": "AA", "kid": "3", "alg": "ES512" }),
            json!({ "kty": "RSA", "n": "AA", "e": "AQAB", "alg": "RSA-OAEP", "use": "enc" }),
            json!(7),
        ];
        place.provider.bend().keys.extend(strange);
        place.sign_in(&mut place.browser()).await;
    });
}

#[test]
fn attack_redirects_are_not_followed() {
    run(async {
        // Where the answers would lead; nobody may come.
        let trap = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = format!("http://{}/", trap.local_addr().unwrap());
        let place = Place::start().await;
        for endpoint in ENDPOINTS {
            for target in [
                &*target,
                "http://169.254.169.254/latest/meta-data/",
                "file:///etc/passwd",
            ] {
                answers_keep_out(&place, endpoint, Answer::redirect(target), "status 307").await;
            }
        }
        let came = tokio::time::timeout(Duration::ZERO, trap.accept()).await;
        assert!(came.is_err(), "nobody was led astray");
    });
}

#[test]
fn fault_nobody_listens() {
    run(async {
        let place = Place::start().await;
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", closed.local_addr().unwrap());
        drop(closed);
        place.update(json!({ "issuerUrl": issuer })).await;
        let mut browser = place.browser();
        let reply = browser.get(&place.start_url("")).await;
        assert_eq!(reply.status, 502);
        place
            .refused(&reply, PROVIDER, "the provider's metadata cannot be read")
            .await;
    });
}

#[test]
fn fault_provider_calls_itself_otherwise() {
    run(async {
        let place = Place::start().await;
        place.provider.bend().metadata = json!({ "issuer": "https://evil.example" });
        let reply = place.browser().get(&place.start_url("")).await;
        place
            .refused(
                &reply,
                PROVIDER,
                "calls itself \"https://evil.example\": set issuer_url to exactly that",
            )
            .await;
    });
}

#[test]
fn attack_endpoints_that_are_no_web_addresses() {
    run(async {
        let place = Place::start().await;
        for name in ["authorization_endpoint", "token_endpoint", "jwks_uri"] {
            for evil in [
                "javascript:alert(1)",
                "file:///etc/passwd",
                "data:text/html,x",
                "ftp://x.example/",
            ] {
                place.provider.bend().metadata = json!({ name: evil });
                place.pass(TimeDelta::minutes(1));
                let reply = place.browser().get(&place.start_url("")).await;
                place
                    .refused(
                        &reply,
                        PROVIDER,
                        "an endpoint of the provider cannot be used",
                    )
                    .await;
            }
        }
    });
}

#[test]
fn fault_metadata_lack_what_a_login_needs() {
    run(async {
        let place = Place::start().await;
        for name in [
            "issuer",
            "authorization_endpoint",
            "token_endpoint",
            "jwks_uri",
        ] {
            for (value, words) in [
                (json!(null), format!("metadata lack {name}")),
                (json!(""), format!("metadata lack {name}")),
                (json!([1]), format!("something else than a text as {name}")),
            ] {
                place.provider.bend().metadata = json!({ name: value });
                place.pass(TimeDelta::minutes(1));
                let reply = place.browser().get(&place.start_url("")).await;
                place.refused(&reply, PROVIDER, &words).await;
            }
        }
    });
}

#[test]
fn attack_userinfo_somewhere_else() {
    run(async {
        let place = Place::start().await;
        for evil in [
            "javascript:alert(1)",
            "file:///etc/passwd",
            "ftp://x.example/",
            "nowhere",
        ] {
            place.provider.bend().metadata = json!({ "userinfo_endpoint": evil });
            // Who need not be asked keeps nobody out.
            place.provider.bend().claims = json!({});
            place.pass(TimeDelta::hours(25));
            place.sign_in(&mut place.browser()).await;
            place.provider.bend().claims = json!({ "name": null });
            is_kept_out(&place, Check::Userinfo.as_str(), "(userinfo_endpoint)").await;
        }
    });
}

#[test]
fn attack_private_addresses_are_not_asked() {
    run(async {
        // Configured when they were allowed.
        let place = Place::start().await;
        let port = place.provider.issuer.rsplit(':').next().unwrap().to_owned();
        let private = [
            place.provider.issuer.clone(),
            format!("https://127.0.0.1:{port}"),
            format!("https://localhost:{port}"),
            format!("https://[::1]:{port}"),
            format!("https://[::ffff:127.0.0.1]:{port}"),
            format!("https://2130706433:{port}"),
            format!("https://0:{port}"),
            "https://169.254.169.254".to_owned(),
            "https://10.0.0.1".to_owned(),
        ];
        let guarded = place.server.replica_with(|app| {
            app.outgoing = Outgoing::new(Reach::default()).unwrap();
        });
        for issuer in &private {
            place.update(json!({ "issuerUrl": issuer })).await;
            // Failures of one minute share a record.
            place.pass(TimeDelta::minutes(1));
            let mut browser = super::Browser::new(&guarded);
            let reply = browser.get(&place.start_url("")).await;
            // Not that nobody answers there.
            let words = match issuer.starts_with("https://") {
                true => "is not a public address",
                false => "must begin with https://",
            };
            place.refused(&reply, PROVIDER, words).await;
        }
        assert_eq!(place.provider.count(Endpoint::Metadata), 0);
        // Where that can be told by the text, they are not taken in the first place.
        place
            .update(json!({ "issuerUrl": "https://accounts.example.com" }))
            .await;
        for issuer in private
            .iter()
            .filter(|issuer| !issuer.contains("localhost"))
        {
            let request = json!({ "ssoConfigurationId": place.sso, "issuerUrl": issuer });
            let reply = guarded.call("UpdateSSOConfiguration", request).await;
            assert_eq!(reply.status, 400, "{issuer}");
        }
    });
}

#[tokio::test]
async fn attack_a_name_of_a_private_address() {
    // The guard sees what a name resolves to, and connects to nothing else: a name that resolves
    // to something else the next time is seen again.
    let outgoing = Outgoing::new(Reach::default()).unwrap();
    for url in ["https://localhost/", "https://LOCALHOST/"] {
        let refused = outgoing.get(&url.parse().unwrap()).await.unwrap_err();
        assert!(
            refused.to_string().contains("is not a public address"),
            "{refused}"
        );
    }
}

#[test]
fn keys_are_read_again_for_an_unknown_key_once_a_minute() {
    run(async {
        let place = Place::start().await;
        let key = |kid, seed| Key {
            kid,
            seed,
            ..Key::new("EdDSA")
        };
        place.sign_in(&mut place.browser()).await;
        assert_eq!(place.provider.count(Endpoint::Keys), 1);

        // At once, though they were read just now.
        place.provider.rotate(key("second", 8));
        place.sign_in(&mut place.browser()).await;
        assert_eq!(
            place.provider.count(Endpoint::Keys),
            2,
            "one for the new key"
        );

        // Another unknown key within the minute.
        place.pass(TimeDelta::seconds(59));
        place.provider.rotate(key("third", 9));
        for _ in 0..3 {
            is_kept_out(&place, Check::IdToken.as_str(), "does not publish").await;
        }
        assert_eq!(place.provider.count(Endpoint::Keys), 2);
        place.pass(TimeDelta::seconds(1));
        place.sign_in(&mut place.browser()).await;
        assert_eq!(place.provider.count(Endpoint::Keys), 3);
        assert_eq!(place.provider.count(Endpoint::Metadata), 1);
    });
}

#[test]
fn keys_that_were_read_because_they_had_expired_are_read_again_at_once_too() {
    run(async {
        let place = Place::start().await;
        place.sign_in(&mut place.browser()).await;
        place.pass(TimeDelta::hours(1));
        place.sign_in(&mut place.browser()).await;
        assert_eq!(place.provider.count(Endpoint::Keys), 2);
        place.provider.rotate(Key {
            kid: "new",
            seed: 8,
            ..Key::new("EdDSA")
        });
        place.sign_in(&mut place.browser()).await;
        assert_eq!(place.provider.count(Endpoint::Keys), 3);
    });
}

#[test]
fn attack_unknown_keys_do_not_have_the_keys_read_again_and_again() {
    run(async {
        let place = Place::start().await;
        place.sign_in(&mut place.browser()).await;
        place.provider.bend().sign = Some(Sign::With(Key {
            kid: "unpublished",
            seed: 8,
            ..Key::new("EdDSA")
        }));
        for reads in [2, 3] {
            for _ in 0..10 {
                is_kept_out(&place, Check::IdToken.as_str(), "does not publish").await;
            }
            assert_eq!(place.provider.count(Endpoint::Keys), reads);
            place.pass(TimeDelta::minutes(1));
        }
    });
}

#[test]
fn who_waited_for_somebody_elses_new_keys_gets_them() {
    run(async {
        let place = Place::start().await;
        place.sign_in(&mut place.browser()).await;
        let other = place.neighbour().await;
        // While the first code is exchanged, the key changes, and somebody else signs in at the
        // same process.
        place.provider.bend().before_token = Some(Box::new(move || {
            Box::pin(async move {
                other.provider.rotate(Key {
                    kid: "new",
                    seed: 8,
                    ..Key::new("EdDSA")
                });
                let reply = other.try_sign_in(&mut other.browser()).await;
                assert_eq!(reply.status, 303);
            })
        }));
        place.sign_in(&mut place.browser()).await;
        assert_eq!(place.provider.count(Endpoint::Keys), 2);
    });
}

#[test]
fn a_key_may_change_under_its_name() {
    run(async {
        let place = Place::start().await;
        place.sign_in(&mut place.browser()).await;
        place.provider.rotate(Key {
            seed: 8,
            ..Key::new("EdDSA")
        });
        place.sign_in(&mut place.browser()).await;
        assert_eq!(place.provider.count(Endpoint::Keys), 2);
    });
}

#[test]
fn a_userinfo_may_be_signed_with_the_new_key_too() {
    run(async {
        let place = Place::start().await;
        place.sign_in(&mut place.browser()).await;
        place.provider.rotate(Key {
            kid: "new",
            seed: 8,
            ..Key::new("RS256")
        });
        place.provider.bend().claims = json!({ "name": null });
        let claims = json!({ "sub": "sub-ada", "name": "Signed" });
        let signed = place.provider.signed_userinfo(claims);
        place.provider.answers(Endpoint::Userinfo, signed);
        place.sign_in(&mut place.browser()).await;
        assert_eq!(place.provider.count(Endpoint::Keys), 2);
    });
}

#[test]
fn fault_keys_cannot_be_read_again() {
    run(async {
        let place = Place::start().await;
        place.sign_in(&mut place.browser()).await;
        place.provider.rotate(Key {
            kid: "new",
            seed: 8,
            ..Key::new("EdDSA")
        });
        place.provider.answers(Endpoint::Keys, Answer::status(503));
        is_kept_out(&place, PROVIDER, "keys cannot be read").await;
        // Whose tokens the known key signs gets in.
        place.provider.bend().sign = Some(Sign::With(Key::new("EdDSA")));
        place.sign_in(&mut place.browser()).await;
        place.provider.bend().sign = None;
        place.provider.bend().answers.clear();
        place.pass(TimeDelta::minutes(1));
        place.sign_in(&mut place.browser()).await;
    });
}

#[test]
fn what_a_provider_publishes_is_kept_as_long_as_it_says() {
    run(async {
        let place = Place::start().await;
        let counts = || {
            (
                place.provider.count(Endpoint::Metadata),
                place.provider.count(Endpoint::Keys),
            )
        };
        place
            .provider
            .bend()
            .cache_control
            .insert(Endpoint::Metadata, "max-age=7200");
        place
            .provider
            .bend()
            .cache_control
            .insert(Endpoint::Keys, "public, max-age=600");
        place.sign_in(&mut place.browser()).await;
        place.pass(TimeDelta::seconds(599));
        place.sign_in(&mut place.browser()).await;
        assert_eq!(counts(), (1, 1));
        place.pass(TimeDelta::seconds(1));
        place.sign_in(&mut place.browser()).await;
        assert_eq!(counts(), (1, 2));
        place.pass(TimeDelta::hours(2));
        place.sign_in(&mut place.browser()).await;
        assert_eq!(counts(), (2, 3));
        // Nothing is kept for less than a minute.
        place
            .provider
            .bend()
            .cache_control
            .insert(Endpoint::Keys, "no-store");
        place.pass(TimeDelta::minutes(10));
        place.sign_in(&mut place.browser()).await;
        place.pass(TimeDelta::seconds(59));
        place.sign_in(&mut place.browser()).await;
        assert_eq!(counts(), (2, 4));
        place.pass(TimeDelta::seconds(1));
        place.sign_in(&mut place.browser()).await;
        assert_eq!(counts(), (2, 5));
    });
}

#[test]
fn keys_are_kept_no_longer_than_the_metadata_that_named_their_place() {
    run(async {
        let place = Place::start().await;
        let lifetimes = [
            (Endpoint::Metadata, "max-age=60"),
            (Endpoint::Keys, "max-age=86400"),
        ];
        place.provider.bend().cache_control.extend(lifetimes);
        place.sign_in(&mut place.browser()).await;
        place.pass(TimeDelta::seconds(60));
        place.sign_in(&mut place.browser()).await;
        assert_eq!(place.provider.count(Endpoint::Keys), 2);
    });
}

#[test]
fn attack_a_provider_that_is_down_is_not_hammered() {
    run(async {
        let place = Place::start().await;
        place
            .provider
            .answers(Endpoint::Metadata, Answer::status(500));
        for _ in 0..20 {
            assert_eq!(place.browser().get(&place.start_url("")).await.status, 502);
        }
        assert_eq!(place.provider.count(Endpoint::Metadata), 1);
        place.provider.bend().answers.clear();
        place.pass(TimeDelta::seconds(5));
        place.sign_in(&mut place.browser()).await;
    });
}

#[test]
fn the_secret_is_sent_as_the_provider_takes_it() {
    run(async {
        let place = Place::start().await;
        for (methods, is_basic) in [
            (json!(null), true),
            (json!(["client_secret_basic"]), true),
            (json!(["client_secret_post", "client_secret_basic"]), true),
            (json!(["client_secret_post"]), false),
            (
                json!(["client_secret_post", "private_key_jwt", "something_new"]),
                false,
            ),
        ] {
            place.provider.bend().metadata =
                json!({ "token_endpoint_auth_methods_supported": methods });
            place.pass(TimeDelta::hours(2));
            place.sign_in(&mut place.browser()).await;
            let (headers, body) = place.provider.last(Endpoint::Token);
            assert_eq!(headers.contains_key("authorization"), is_basic, "{methods}");
            assert_eq!(body.contains("client_secret="), !is_basic, "{methods}");
        }
    });
}

#[test]
fn fault_wrong_client_secret() {
    run(async {
        let place = Place::start().await;
        place.update(json!({ "clientSecret": "wrong" })).await;
        is_kept_out(
            &place,
            Check::Code.as_str(),
            "invalid_client: check client_id and client_secret",
        )
        .await;
    });
}
