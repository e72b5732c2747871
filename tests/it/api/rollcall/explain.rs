//! `SignInService.ExplainSignIn`: why somebody can sign in or cannot.

use serde_json::{Value, json};
use uuid::Uuid;

use super::ask;
use crate::login::Place;
use crate::support::run;
use crate::support::scim::{path, user};

const EXPLAIN: &str = "SignInService/ExplainSignIn";

/// The verdict, the sentence, and the steps as `outcome subject: text`.
async fn explain(place: &Place, about: Value) -> (String, String, Vec<String>) {
    let answer = ask(&place.server, EXPLAIN, about).await.ok();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let verdict = text(&answer["verdict"]);
    let steps = answer["steps"].as_array().cloned().unwrap_or_default();
    let step = |step: &Value| {
        let outcome = text(&step["outcome"]);
        let outcome = outcome.trim_start_matches("OUTCOME_");
        format!(
            "{outcome} {}: {}",
            text(&step["subject"]),
            text(&step["text"])
        )
    };
    let verdict = verdict.trim_start_matches("VERDICT_").to_owned();
    (
        verdict,
        text(&answer["text"]),
        steps.iter().map(step).collect(),
    )
}

/// Makes sure of the verdict, and that there is a step with these words, which the sentence has if it decides.
async fn says(place: &Place, about: Value, verdict: &str, steps: &[&str]) -> String {
    let (found, text, all) = explain(place, about.clone()).await;
    assert_eq!(found, verdict, "{about}: {text} {all:#?}");
    for words in steps {
        let is_there = all.iter().any(|step| step.contains(words));
        assert!(is_there, "{words:?} in {all:#?}");
    }
    assert!(text.ends_with('.'), "{text}");
    text
}

#[test]
fn a_member_who_can_sign_in() {
    run(async {
        let place = Place::start().await;
        let (_, ada) = place.signed_in("ada").await;
        let expected = [
            "OK member: ada of the tests",
            "OK identity: signed in through",
            "DOUBTFUL domain",
            "OK sign-in: through",
            "OK attempt: 2026-03-01 12:00 UTC: signed in",
        ];
        let shouted = place.email("ada").to_uppercase();
        for about in [
            json!({ "userId": ada }),
            json!({ "email": place.email("ada") }),
            json!({ "email": shouted }),
        ] {
            let text = says(&place, about, "LETS_IN", &expected).await;
            assert!(text.contains(&ada), "{text}");
        }
    });
}

#[test]
fn a_member_whom_an_administrator_suspended_is_let_in_again() {
    run(async {
        let place = Place::start().await;
        let (_, ada) = place.signed_in("ada").await;
        let suspend = async |suspended: bool| {
            let request = json!({ "userId": ada, "suspended": suspended });
            place
                .server
                .call_to("UserService/SetSuspended", request)
                .await
                .ok();
        };
        suspend(true).await;
        place.try_sign_in(&mut place.browser()).await;
        let expected = [
            "BAD member: an administrator suspended ada of the tests",
            "BAD sign-in",
            "DOUBTFUL attempt: 2026-03-01 12:00 UTC: refused by the check member",
        ];
        let text = says(&place, json!({ "userId": ada }), "KEEPS_OUT", &expected).await;
        assert!(text.contains("lift the suspension"), "{text}");
        suspend(false).await;
        says(&place, json!({ "userId": ada }), "LETS_IN", &["OK member"]).await;
    });
}

#[test]
fn a_member_whom_provisioning_keeps_out() {
    run(async {
        let place = Place::start().await;
        let provisioning = place.provisioning().await;
        let grace = user(
            &place.email("grace"),
            json!({ "externalId": "sub-grace", "active": false }),
        );
        let grace = provisioning.post("/Users", grace).await.is(201);
        let about = json!({ "email": place.email("grace") });
        let expected = [
            "BAD member",
            "BAD provisioning: the SCIM configuration \"SCIM Configuration\" has the person as a user who is not active",
            "DOUBTFUL identity: never signed in",
        ];
        says(&place, about.clone(), "KEEPS_OUT", &expected).await;
        let on = json!([{ "op": "replace", "path": "active", "value": true }]);
        provisioning.patch(&path(&grace), on).await.is(200);
        says(
            &place,
            about.clone(),
            "LETS_IN",
            &["OK provisioning", "OK sign-in"],
        )
        .await;
        provisioning.delete(&path(&grace)).await.is(204);
        says(
            &place,
            about,
            "KEEPS_OUT",
            &["BAD member", "was removed from the organization"],
        )
        .await;
    });
}

#[test]
fn somebody_who_is_no_member() {
    run(async {
        let place = Place::start().await;
        let about = json!({ "email": place.email("alan") });
        let expected = ["DOUBTFUL member: nobody", "OK sign-in", "as a new member"];
        says(&place, about.clone(), "LETS_IN", &expected).await;
        let policy = json!({ "organizationId": place.server.organization, "restrictAccountCreationToScim": true });
        place
            .server
            .call("UpdateOrganizationPolicies", policy)
            .await
            .ok();
        says(
            &place,
            about.clone(),
            "KEEPS_OUT",
            &["BAD policy", "BAD sign-in"],
        )
        .await;
        let elsewhere = json!({ "email": "alan@elsewhere.example" });
        let text = says(&place, elsewhere, "KEEPS_OUT", &["BAD SSO configuration"]).await;
        assert!(!text.is_empty());
        place
            .update(json!({ "state": "SSO_CONFIGURATION_STATE_INACTIVE" }))
            .await;
        says(
            &place,
            about,
            "KEEPS_OUT",
            &["takes such addresses, but is not active"],
        )
        .await;
        assert!(place.members().await.is_empty(), "nothing was changed");
        assert!(place.attempts().await.is_empty());
    });
}

#[test]
fn what_only_the_provider_can_tell() {
    run(async {
        let place = Place::start().await;
        let (_, ada) = place.signed_in("ada").await;
        place
            .update(json!({ "claimsExpression": "'staff' in claims.groups" }))
            .await;
        place.comes("ada", json!({ "groups": ["guests"] }));
        place.pass(chrono::TimeDelta::minutes(1));
        place.try_sign_in(&mut place.browser()).await;
        let expected = [
            "OK sign-in",
            "DOUBTFUL claims expression",
            "refused by the check claims_expression: the claims expression is false; what is not true is 'staff' in claims.groups",
        ];
        let about = json!({ "userId": ada });
        says(&place, about.clone(), "DEPENDS", &expected).await;
        place.comes("ada", json!({ "groups": ["staff"] }));
        place.pass(chrono::TimeDelta::minutes(1));
        place.sign_in(&mut place.browser()).await;
        says(&place, about.clone(), "LETS_IN", &expected).await;

        // At another provider, nobody knows the member by an identifier.
        let other = place.configure("another-client", json!({})).await;
        let answer = ask(&place.server, EXPLAIN, about).await.ok();
        let of_other = answer["steps"].as_array().unwrap().iter();
        let of_other: Vec<_> = of_other
            .filter(|step| step["ssoConfigurationId"] == *other)
            .collect();
        assert_eq!(of_other.len(), 1, "{of_other:?}");
        assert_eq!(of_other[0]["outcome"], "OUTCOME_DOUBTFUL", "{of_other:?}");
        let text = of_other[0]["text"].as_str().unwrap();
        assert!(
            text.contains("only if the provider says that the address is verified"),
            "{text}"
        );
    });
}

#[test]
fn it_is_about_one_person_and_an_address_is_one() {
    run(async {
        let place = Place::start().await;
        for (about, field) in [
            (json!({}), "user_id"),
            (
                json!({ "userId": Uuid::max(), "email": "ada@example.com" }),
                "user_id",
            ),
            (json!({ "userId": "x" }), "user_id"),
            (json!({ "email": "ada" }), "email"),
            (json!({ "email": "a".repeat(255) }), "email"),
        ] {
            let refused = ask(&place.server, EXPLAIN, about.clone())
                .await
                .violations();
            assert_eq!(refused, [field], "{about}");
        }
    });
}

#[test]
fn attack_somebody_of_another_organization() {
    run(async {
        let place = Place::start().await;
        let (_, ada) = place.signed_in("ada").await;
        let attacker = place.neighbour().await;
        let theirs = ask(&attacker.server, EXPLAIN, json!({ "userId": ada })).await;
        let nobodys = ask(&attacker.server, EXPLAIN, json!({ "userId": Uuid::max() })).await;
        assert_eq!(theirs.error("not_found"), nobodys.error("not_found"));
        let about = |name: &str| json!({ "email": place.email(name) });
        let (_, _, ada) = explain(&attacker, about("ada")).await;
        let (_, _, nobody) = explain(&attacker, about("nobody")).await;
        assert_eq!(ada, nobody);
    });
}
