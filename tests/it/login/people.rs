//! Who a person is that a provider vouches for, and who may come in.

use chrono::TimeDelta;
use rollcall::domain::letters::domain_key;
use rollcall::domain::sign_in::Check;
use serde_json::{Value, json};

use super::provider::{Answer, CLIENT, Endpoint, Key, SECRET, Sign};
use super::{Place, is_kept_out, keeps_out};
use crate::support::scim::{BASE, BULK, user};
use crate::support::{needs_parallel_connections, run};

const EMAIL: &str = Check::Email.as_str();
const MEMBER: &str = Check::Member.as_str();
const EXPRESSION: &str = Check::ClaimsExpression.as_str();

/// The member with this address, as administrators see it.
async fn member(place: &Place, email: &str) -> Option<Value> {
    let members = place.members().await;
    members.into_iter().find(|m| m["email"] == email)
}

#[test]
fn a_new_person_becomes_a_member() {
    run(async {
        let place = Place::start().await;
        let (mut browser, id) = place.signed_in("ada").await;
        let member = member(&place, &place.email("ada")).await.unwrap();
        assert_eq!(member["userId"], *id, "{member}");
        assert_eq!(member["status"], "USER_STATUS_ACTIVE");
        assert_eq!(member["role"], "ORGANIZATION_ROLE_MEMBER");
        let user = browser
            .call("UserService/GetAuthenticatedUser", json!({}))
            .await
            .ok();
        let user = &user["user"];
        assert_eq!(user["id"], *id);
        assert_eq!(user["name"], "ada of the tests");
        assert_eq!(user["email"], place.email("ada"));
        assert_eq!(user["organizationId"], place.server.organization);

        let attempt = &place.attempts().await[0];
        assert_eq!(attempt.outcome.as_str(), "signed_in");
        assert_eq!(attempt.user_id.unwrap().to_string(), id);
        assert_eq!(attempt.email, Some(place.email("ada")));
        assert_eq!(attempt.subject.as_deref(), Some("sub-ada"));
        assert!(attempt.claim_names.contains(&"email_verified".to_owned()));
        let row = format!("{attempt:?}");
        for secret in place.provider.secrets() {
            assert!(!row.contains(&secret), "{row} tells {secret}");
        }
        assert!(
            !row.contains("ada of the tests"),
            "no values but address and subject"
        );
    });
}

#[test]
fn the_same_person_is_the_same_member_under_another_address() {
    run(async {
        let place = Place::start().await;
        let (_, id) = place.signed_in("ada").await;
        let new = place.email("ada.lovelace");
        place.comes("ada", json!({ "email": new, "name": "Ada L.", "picture": "https://pictures.example/ada.png" }));
        let mut browser = place.browser();
        assert_eq!(place.sign_in(&mut browser).await, id);
        let members = place.members().await;
        assert_eq!(members.len(), 1, "{members:?}");
        assert_eq!(members[0]["email"], *new);
        assert_eq!(members[0]["fullName"], "Ada L.");
        assert_eq!(members[0]["avatarUrl"], "https://pictures.example/ada.png");
    });
}

#[test]
fn another_person_with_the_same_verified_address_is_the_same_member() {
    run(async {
        let place = Place::start().await;
        let (_, id) = place.signed_in("ada").await;
        place.comes("ada", json!({ "sub": "another" }));
        assert_eq!(place.sign_in(&mut place.browser()).await, id);
        // From then on by the subject.
        place.comes("grace", json!({ "sub": "another" }));
        assert_eq!(place.sign_in(&mut place.browser()).await, id);
    });
}

#[test]
fn an_address_is_the_same_in_any_case() {
    run(async {
        let place = Place::start().await;
        let (_, id) = place.signed_in("ada").await;
        let shouted = place.email("ada").to_uppercase();
        place.comes("ada", json!({ "sub": "another", "email": shouted }));
        assert_eq!(place.sign_in(&mut place.browser()).await, id);
    });
}

#[test]
fn an_address_of_another_member_stays_with_that_one() {
    run(async {
        let place = Place::start().await;
        let (_, ada) = place.signed_in("ada").await;
        let (_, grace) = place.signed_in("grace").await;
        place.comes("ada", json!({ "email": place.email("grace") }));
        assert_eq!(place.sign_in(&mut place.browser()).await, ada);
        assert_ne!(ada, grace);
        assert_eq!(
            member(&place, &place.email("ada")).await.unwrap()["userId"],
            *ada
        );
        assert_eq!(
            member(&place, &place.email("grace")).await.unwrap()["userId"],
            *grace
        );
        let note = place.attempts().await[0].reason.clone().unwrap();
        assert!(note.contains("keeps the former address"), "{note}");
    });
}

#[test]
fn fault_no_address() {
    run(async {
        let place = Place::start().await;
        for email in [
            json!(null),
            json!(""),
            json!("  "),
            json!(7),
            json!({ "value": "a@b.example" }),
        ] {
            place.provider.bend().userinfo = json!({ "email": null });
            place.provider.bend().claims = json!({ "email": email });
            is_kept_out(&place, EMAIL, "sends no address (claim \"email\")").await;
        }
        for email in [
            "ada",
            "@x.example",
            "ada@",
            "a da@x.example",
            "ada@x.example\nBcc: y",
        ] {
            place.provider.bend().claims = json!({ "email": email });
            is_kept_out(&place, EMAIL, "sends something as the address that is none").await;
        }
        assert!(place.members().await.is_empty());
    });
}

#[test]
fn attack_address_of_another_domain() {
    run(async {
        let place = Place::start().await;
        for email in [
            "ada@evil.example".to_owned(),
            format!("ada@sub.{}", place.domain),
            format!("ada@{}.evil.example", place.domain),
            format!("ada@{}@evil.example", place.domain),
            format!("ada@evil-{}", place.domain),
        ] {
            place.provider.bend().claims = json!({ "email": email });
            is_kept_out(&place, EMAIL, "do not sign in through this configuration").await;
        }
        place.provider.bend().claims = json!({ "email": place.email("ada").to_uppercase() });
        place.sign_in(&mut place.browser()).await;
    });
}

#[test]
fn attack_unverified_address_of_a_member() {
    run(async {
        let place = Place::start().await;
        let (_, ada) = place.signed_in("ada").await;
        for (verified, words) in [
            (json!(false), "email_verified is false"),
            (json!("false"), "email_verified is false"),
            (json!(null), "no claim email_verified"),
        ] {
            place.comes(
                "ada",
                json!({ "sub": "attacker", "email_verified": verified }),
            );
            is_kept_out(&place, EMAIL, words).await;
        }
        place.comes("ada", json!({ "sub": "sub-ada", "email_verified": false }));
        assert_eq!(
            place.sign_in(&mut place.browser()).await,
            ada,
            "by the subject"
        );
    });
}

#[test]
fn attack_member_who_waits_under_somebody_elses_address() {
    run(async {
        let place = Place::start().await;
        // Comes first, with an address that is not his.
        place.comes("ada", json!({ "sub": "attacker", "email_verified": false }));
        let mut attacker = place.browser();
        let waiting = place.sign_in(&mut attacker).await;
        // Its owner gets it, and is somebody else.
        let (_, ada) = place.signed_in("ada").await;
        assert_ne!(ada, waiting);
        assert_eq!(
            member(&place, &place.email("ada")).await.unwrap()["userId"],
            *ada
        );
        let note = place.attempts().await.remove(0).reason.unwrap();
        assert!(note.contains(&waiting), "{note}");
        // The other does not get it back.
        place.comes("ada", json!({ "sub": "attacker", "email_verified": false }));
        assert_eq!(place.sign_in(&mut attacker).await, waiting);
        assert_eq!(
            member(&place, &place.email("ada")).await.unwrap()["userId"],
            *ada
        );
    });
}

#[test]
fn attack_address_that_the_provider_denies_is_not_taken_on() {
    run(async {
        let place = Place::start().await;
        let (mut mallory, id) = place.signed_in("mallory").await;
        place.comes(
            "ada",
            json!({ "sub": "sub-mallory", "email_verified": false }),
        );
        assert_eq!(place.sign_in(&mut mallory).await, id);
        assert!(member(&place, &place.email("ada")).await.is_none());
        let note = place.attempts().await.remove(0).reason.unwrap();
        assert!(note.contains("keeps the former address"), "{note}");
        let (_, ada) = place.signed_in("ada").await;
        assert_ne!(ada, id);
    });
}

#[test]
fn attack_member_who_waits_until_the_domain_is_verified() {
    run(async {
        let place = Place::start().await;
        place.comes("ada", json!({ "sub": "attacker", "email_verified": null }));
        let waiting = place.sign_in(&mut place.browser()).await;
        place.server.verified_domain(&place.domain).await;
        // The domain proves that an address is the organization's, not whose of its people's.
        place.comes("ada", json!({ "email_verified": null }));
        is_kept_out(&place, EMAIL, "without proof of owning it").await;
        // Nor does it make a provisioned user the one who waits.
        let provisioning = place.provisioning().await;
        provisioning
            .push_as("ada", &place.email("ada"), json!("sub-ada"))
            .await;
        assert_eq!(place.members().await.len(), 2);
        place.comes("ada", json!({ "email_verified": null }));
        let ada = place.sign_in(&mut place.browser()).await;
        assert_ne!(ada, waiting);
    });
}

#[test]
fn an_address_that_several_members_have_signs_nobody_in() {
    run(async {
        let place = Place::start().await;
        let provisioning = place.provisioning().await;
        let shared = place.email("ada");
        place.server.verified_domain(&place.domain).await;
        let one = provisioning.push_as("one", &shared, json!("x1")).await;
        provisioning.push_as("two", &shared, Value::Null).await;
        for verified in [json!(true), json!(null), json!(false)] {
            place.comes("ada", json!({ "email_verified": verified }));
            is_kept_out(&place, EMAIL, "several members have this address").await;
        }
        assert_eq!(place.members().await.len(), 2, "and makes no third");
        // When one of them is removed, it may still be that one who comes.
        provisioning.delete(&one).await.is(204);
        place.comes("ada", json!({}));
        is_kept_out(&place, MEMBER, "the member was removed").await;
    });
}

#[test]
fn attack_removed_member_comes_in_as_the_colleague_with_the_same_address() {
    run(async {
        let place = Place::start().await;
        let provisioning = place.provisioning().await;
        let shared = place.email("support");
        let ada = provisioning.push_as("ada", &shared, json!("sub-ada")).await;
        provisioning.push_as("bob", &shared, json!("sub-bob")).await;
        provisioning
            .push_as("carl", &place.email("carl"), json!("x"))
            .await;
        place.comes("ada", json!({ "email": shared }));
        let mut browser = place.browser();
        let removed = place.sign_in(&mut browser).await;
        place.pass(TimeDelta::minutes(1));
        provisioning.delete(&ada).await.is(204);
        assert_eq!(browser.member().await, None);
        // Whether or not the colleague was here before.
        for _ in 0..2 {
            for verified in [json!(true), json!(null)] {
                place.comes(
                    "ada",
                    json!({ "email": shared, "email_verified": verified }),
                );
                is_kept_out(&place, MEMBER, "the member was removed").await;
            }
            place.comes("bob", json!({ "email": shared }));
            assert_ne!(place.sign_in(&mut place.browser()).await, removed);
        }
    });
}

#[test]
fn who_was_removed_and_is_provisioned_anew_elsewhere_comes_in_by_the_address() {
    run(async {
        let place = Place::start().await;
        let before = place.provisioning().await;
        let pushed = before.push(&place.email("ada")).await;
        let (_, removed) = place.signed_in("ada").await;
        before.delete(&pushed).await.is(204);
        place.pass(TimeDelta::minutes(1));
        let now = place.provisioning().await;
        now.push(&place.email("ada")).await;
        assert_ne!(place.sign_in(&mut place.browser()).await, removed);
    });
}

#[test]
fn attack_person_whom_provisioning_has_as_another_member_who_is_suspended() {
    run(async {
        let place = Place::start().await;
        let (_, ada) = place.signed_in("ada").await;
        let provisioning = place.provisioning().await;
        let other = provisioning
            .push_as("lovelace", &place.email("lovelace"), json!("x"))
            .await;
        let op = json!([{ "op": "replace", "path": "externalId", "value": "sub-ada" }]);
        provisioning.patch(&other, op).await.is(200);
        assert_eq!(place.sign_in(&mut place.browser()).await, ada);
        provisioning.set_active(&other, false).await;
        is_kept_out(&place, MEMBER, "as another member, who is suspended").await;
    });
}

#[test]
fn an_address_gives_nobody_the_member_of_somebody_who_is_known_by_external_id() {
    run(async {
        let place = Place::start().await;
        let (_, ada) = place.signed_in("ada").await;
        let provisioning = place.provisioning().await;
        let address = place.email("ada");
        let person = |name: &str| {
            user(
                name,
                json!({ "externalId": format!("sub-{name}"), "emails": [{ "value": address }] }),
            )
        };
        // In one request, whatever the order.
        let make = |name: &str| json!({ "method": "POST", "path": "/Users", "bulkId": name, "data": person(name) });
        let bulk = json!({ "schemas": [BULK], "Operations": [make("bob"), make("ada")] });
        let done = provisioning.post("/Bulk", bulk).await.is(200);
        let results = done["Operations"].as_array().unwrap();
        assert!(results.iter().all(|r| r["status"] == "201"), "{done}");
        let location = results[1]["location"].as_str().unwrap();
        provisioning
            .set_active(location.strip_prefix(BASE).unwrap(), false)
            .await;
        let members = place.members().await;
        assert_eq!(members.len(), 2, "{members:?}");
        let suspended = |m: &&Value| m["status"] == "USER_STATUS_SUSPENDED";
        assert_eq!(members.iter().find(suspended).unwrap()["userId"], *ada);

        // One after the other, what is wrong is said.
        let place = Place::start().await;
        place.signed_in("ada").await;
        let provisioning = place.provisioning().await;
        let address = place.email("ada");
        let person = |name: &str| {
            user(
                name,
                json!({ "externalId": format!("sub-{name}"), "emails": [{ "value": address }] }),
            )
        };
        provisioning.post("/Users", person("bob")).await.is(201);
        let reply = provisioning.post("/Users", person("ada")).await;
        let detail = reply.refused(409, "uniqueness");
        assert!(
            detail.contains("signs in as the member that another user"),
            "{detail}"
        );
    });
}

#[test]
fn who_signed_in_before_is_recognised_whoever_has_the_address_too() {
    run(async {
        let place = Place::start().await;
        let (_, ada) = place.signed_in("ada").await;
        let provisioning = place.provisioning().await;
        for name in ["one", "two"] {
            provisioning
                .push_as(name, &place.email("ada"), json!(name))
                .await;
        }
        assert_eq!(place.members().await.len(), 2, "the first is she");
        assert_eq!(place.sign_in(&mut place.browser()).await, ada);
        let note = place.attempts().await.remove(0).reason;
        assert_eq!(note, None, "her address stays as it is");
    });
}

#[test]
fn provisioning_that_sends_the_subject_as_external_id_recognises_the_person() {
    run(async {
        let place = Place::start().await;
        let provisioning = place.provisioning().await;
        let shared = place.email("ada");
        provisioning.push_as("ada", &shared, json!("sub-ada")).await;
        provisioning
            .push_as("grace", &shared, json!("sub-grace"))
            .await;
        let mut ids = vec![];
        // Before any address is looked at: shared, denied, or another.
        for (name, more) in [
            ("ada", json!({ "email": shared, "email_verified": false })),
            ("grace", json!({ "email": place.email("grace") })),
        ] {
            place.comes(name, more);
            ids.push(place.sign_in(&mut place.browser()).await);
        }
        assert_ne!(ids[0], ids[1]);
        assert_eq!(place.members().await.len(), 2);
        let grace = member(&place, &place.email("grace")).await.unwrap();
        assert_eq!(grace["userId"], *ids[1], "and has the address from now on");
        // Suspension counts as ever.
        let carl = provisioning
            .push_as("carl", &shared, json!("sub-carl"))
            .await;
        provisioning.set_active(&carl, false).await;
        place.comes("carl", json!({}));
        is_kept_out(&place, MEMBER, "the member is suspended").await;
    });
}

#[test]
fn provisioning_recognises_by_the_subject_who_signed_in_before() {
    run(async {
        let place = Place::start().await;
        place.comes("ada", json!({ "email_verified": null }));
        let ada = place.sign_in(&mut place.browser()).await;
        let provisioning = place.provisioning().await;
        let pushed = provisioning
            .push_as("ada", &place.email("lovelace"), json!("sub-ada"))
            .await;
        let members = place.members().await;
        assert_eq!(members.len(), 1, "{members:?}");
        assert_eq!(members[0]["userId"], *ada);
        provisioning.set_active(&pushed, false).await;
        is_kept_out(&place, MEMBER, "the member is suspended").await;
    });
}

#[test]
fn attack_external_id_through_another_provider_recognises_nobody() {
    run(async {
        let place = Place::start().await;
        let elsewhere = place.through(place.configure("other", json!({})).await);
        let provisioning = elsewhere.provisioning().await;
        provisioning
            .push_as("boss", "boss@elsewhere.example", json!("sub-ada"))
            .await;
        let boss = place.members().await[0]["userId"].clone();
        let (_, ada) = place.signed_in("ada").await;
        assert_ne!(boss, *ada);
        // Nor does the subject of one provider link what another provisions.
        provisioning
            .push_as("mallory", "mallory@elsewhere.example", json!("sub-mallory"))
            .await;
        let (_, mallory) = place.signed_in("mallory").await;
        let known = place.members().await;
        assert_eq!(known.len(), 4, "{known:?}");
        provisioning
            .push_as("eve", "eve@elsewhere.example", json!("sub-eve"))
            .await;
        assert_eq!(place.members().await.len(), 5);
        assert_ne!(mallory, ada);
        // Another organization's provisioning does not, either.
        let neighbour = place.neighbour().await;
        let theirs = neighbour.provisioning().await;
        theirs
            .push_as("ada", "ada@elsewhere.example", json!("sub-grace"))
            .await;
        place.signed_in("grace").await;
        assert_eq!(neighbour.members().await.len(), 1);
    });
}

#[test]
fn attack_external_id_of_a_member_who_signs_in_as_another_person() {
    run(async {
        let place = Place::start().await;
        let (_, ada) = place.signed_in("ada").await;
        let provisioning = place.provisioning().await;
        // Whoever has the token of the provisioning takes the member for somebody else's.
        provisioning
            .push_as("ada", &place.email("ada"), json!("sub-mallory"))
            .await;
        assert_eq!(
            place.members().await.len(),
            1,
            "linked by the verified address"
        );
        let (_, mallory) = place.signed_in("mallory").await;
        assert_ne!(mallory, ada);
        place.comes("ada", json!({}));
        assert_eq!(place.sign_in(&mut place.browser()).await, ada);
    });
}

#[test]
fn attack_external_id_that_is_the_subject_of_a_former_issuer() {
    run(async {
        let place = Place::start().await;
        let (_, ada) = place.signed_in("ada").await;
        let other = super::Provider::start(place.server.app.clock.clone()).await;
        place.update(json!({ "issuerUrl": other.issuer })).await;
        let provisioning = place.provisioning().await;
        provisioning
            .push_as("grace", &place.email("grace"), json!("sub-ada"))
            .await;
        let members = place.members().await;
        assert_eq!(members.len(), 2, "{members:?}");
        assert!(members.iter().any(|member| member["userId"] == *ada));
    });
}

#[test]
fn a_person_whom_two_configurations_take_for_different_members_is_kept_out() {
    run(async {
        let place = Place::start().await;
        for name in ["one", "two"] {
            let provisioning = place.provisioning().await;
            provisioning
                .push_as(name, &place.email(name), json!("sub-ada"))
                .await;
        }
        is_kept_out(&place, MEMBER, "several SCIM configurations").await;
    });
}

#[test]
fn attack_verified_address_is_another_than_the_one_that_is_mapped() {
    run(async {
        let place = Place::start().await;
        let (_, ada) = place.signed_in("ada").await;
        place
            .update(json!({ "claims": { "email": "preferred_username" } }))
            .await;
        let mallory = json!({ "sub": "attacker", "preferred_username": place.email("ada") });
        place.comes("mallory", mallory);
        is_kept_out(&place, EMAIL, "no claim email_verified").await;
        // Where both are the same, it speaks of both.
        let same = json!({ "sub": "another", "preferred_username": place.email("ada") });
        place.comes("ada", same);
        assert_eq!(place.sign_in(&mut place.browser()).await, ada);
    });
}

#[test]
fn a_verified_owner_of_the_domain_counts_where_email_verified_is_missing() {
    run(async {
        let place = Place::start().await;
        let (_, ada) = place.signed_in("ada").await;
        let yes = [
            json!(true),
            json!(1),
            json!("1"),
            json!("true"),
            json!("True"),
        ];
        for (number, owned) in yes.into_iter().enumerate() {
            place.comes(
                "ada",
                json!({ "sub": format!("entra-{number}"), "email_verified": null, "xms_edov": owned }),
            );
            assert_eq!(place.sign_in(&mut place.browser()).await, ada, "{owned}");
        }
    });
}

#[test]
fn attack_owner_of_the_domain_who_is_not_verified() {
    run(async {
        let place = Place::start().await;
        place.signed_in("ada").await;
        for odd in [
            json!(false),
            json!(0),
            json!(2),
            json!(-1),
            json!(1.5),
            json!(10),
            json!("0"),
            json!("false"),
            json!("yes"),
            json!("true "),
            json!(""),
            json!([true]),
            json!({ "true": true }),
        ] {
            place.comes(
                "ada",
                json!({ "sub": "attacker", "email_verified": null, "xms_edov": odd }),
            );
            is_kept_out(&place, EMAIL, "no claim email_verified").await;
        }
    });
}

#[test]
fn an_owner_of_the_domain_who_is_not_verified_is_no_denial() {
    run(async {
        let place = Place::start().await;
        let (_, ada) = place.signed_in("ada").await;
        place.server.verified_domain(&place.domain).await;
        let entra = json!({ "sub": "entra", "email_verified": null, "xms_edov": false });
        place.comes("ada", entra);
        assert_eq!(place.sign_in(&mut place.browser()).await, ada);
    });
}

#[test]
fn attack_owner_of_the_domain_against_email_verified() {
    run(async {
        let place = Place::start().await;
        place.signed_in("ada").await;
        let denied = json!({ "sub": "attacker", "email_verified": false, "xms_edov": true });
        place.comes("ada", denied);
        is_kept_out(&place, EMAIL, "email_verified is false").await;
        // Also where the userinfo alone says so.
        place.provider.bend().claims = json!({ "email_verified": null });
        is_kept_out(&place, EMAIL, "email_verified is false").await;
    });
}

#[test]
fn attack_verified_owner_of_the_domain_of_another_address() {
    run(async {
        let place = Place::start().await;
        let (_, ada) = place.signed_in("ada").await;
        let nothing = json!({ "sub": "attacker", "email_verified": null });
        // The userinfo's is of its address.
        place.comes("ada", nothing.clone());
        let evil = json!({ "email": "root@evil.example", "xms_edov": true });
        place.provider.bend().userinfo = evil;
        is_kept_out(&place, EMAIL, "no claim email_verified").await;
        // Without an address beside them, those of the ID token are not the userinfo's.
        for proof in ["email_verified", "xms_edov"] {
            place.comes("ada", nothing.clone());
            place.provider.bend().claims = json!({ "email": null, proof: true });
            place.provider.bend().userinfo = json!({});
            is_kept_out(&place, EMAIL, "no claim email_verified").await;
        }
        place.provider.bend().claims = json!({});
        // It speaks of email, not of what email is mapped to.
        let map = json!({ "claims": { "email": "preferred_username" } });
        place.update(map).await;
        let mallory = json!({
            "sub": "attacker", "email_verified": null, "xms_edov": true,
            "preferred_username": place.email("ada"),
        });
        place.comes("mallory", mallory);
        is_kept_out(&place, EMAIL, "no claim email_verified").await;
        let same = json!({
            "sub": "entra", "email_verified": null, "xms_edov": true,
            "preferred_username": place.email("ada"),
        });
        place.comes("ada", same);
        assert_eq!(place.sign_in(&mut place.browser()).await, ada);
    });
}

#[test]
fn attack_userinfo_verifies_another_address() {
    run(async {
        let place = Place::start().await;
        place.signed_in("ada").await;
        place.comes("ada", json!({ "sub": "attacker" }));
        place.provider.bend().claims = json!({ "email_verified": null });
        place.provider.bend().userinfo = json!({ "email": "root@evil.example" });
        is_kept_out(&place, EMAIL, "no claim email_verified").await;
    });
}

#[test]
fn attack_second_subject_of_a_provisioned_member() {
    run(async {
        let place = Place::start().await;
        let provisioning = place.provisioning().await;
        provisioning.push(&place.email("ada")).await;
        place.comes("ada", json!({ "email_verified": null }));
        place.sign_in(&mut place.browser()).await;
        place.comes("ada", json!({ "email_verified": null, "sub": "attacker" }));
        is_kept_out(&place, EMAIL, "no claim email_verified").await;
    });
}

#[test]
fn an_unverified_address_that_nobody_has_makes_a_member() {
    run(async {
        let place = Place::start().await;
        place.comes("ada", json!({ "email_verified": null }));
        let id = place.sign_in(&mut place.browser()).await;
        // Who is the same with the same subject, and with the address once it is verified so.
        assert_eq!(place.sign_in(&mut place.browser()).await, id);
        place.comes("ada", json!({}));
        assert_eq!(place.sign_in(&mut place.browser()).await, id);
        place.comes("ada", json!({ "sub": "another" }));
        assert_eq!(place.sign_in(&mut place.browser()).await, id);
    });
}

#[test]
fn a_verified_domain_stands_in_where_the_provider_says_nothing() {
    run(async {
        let place = Place::start().await;
        place.server.verified_domain(&place.domain).await;
        let (_, ada) = place.signed_in("ada").await;
        place.comes("ada", json!({ "sub": "another", "email_verified": null }));
        assert_eq!(place.sign_in(&mut place.browser()).await, ada);
        place.comes("ada", json!({ "sub": "attacker", "email_verified": false }));
        is_kept_out(&place, EMAIL, "email_verified is false").await;
    });
}

#[test]
fn a_domain_that_another_organization_verified_says_nothing_here() {
    run(async {
        let place = Place::start().await;
        place
            .server
            .neighbour()
            .await
            .verified_domain(&place.domain)
            .await;
        place.signed_in("ada").await;
        place.comes("ada", json!({ "sub": "attacker", "email_verified": null }));
        is_kept_out(&place, EMAIL, "no claim email_verified").await;
    });
}

#[test]
fn provisioning_through_the_same_provider_stands_in_where_the_provider_says_nothing() {
    run(async {
        let place = Place::start().await;
        let provisioning = place.provisioning().await;
        provisioning.push(&place.email("ada")).await;
        place.comes("ada", json!({ "email_verified": false }));
        is_kept_out(&place, EMAIL, "email_verified is false").await;
        place.comes("ada", json!({ "email_verified": null }));
        let id = place.sign_in(&mut place.browser()).await;
        assert_eq!(place.members().await.len(), 1);
        assert_eq!(
            member(&place, &place.email("ada")).await.unwrap()["userId"],
            *id
        );
    });
}

#[test]
fn attack_provisioning_through_another_provider_stands_in_for_nothing() {
    run(async {
        let place = Place::start().await;
        let elsewhere = place.through(place.configure("other", json!({})).await);
        let provisioning = elsewhere.provisioning().await;
        provisioning.push(&place.email("ada")).await;
        place.comes("ada", json!({ "email_verified": null }));
        is_kept_out(&place, EMAIL, "no claim email_verified").await;
        // A verified address does.
        place.comes("ada", json!({}));
        place.sign_in(&mut place.browser()).await;
        assert_eq!(place.members().await.len(), 1);
    });
}

#[test]
fn only_provisioning_makes_members_where_a_policy_says_so() {
    run(async {
        let place = Place::start().await;
        let (_, ada) = place.signed_in("ada").await;
        let policy = json!({ "organizationId": place.server.organization, "restrictAccountCreationToScim": true });
        place
            .server
            .call("UpdateOrganizationPolicies", policy)
            .await
            .ok();
        place.comes("grace", json!({}));
        is_kept_out(&place, MEMBER, "restrict_account_creation_to_scim").await;
        assert_eq!(place.members().await.len(), 1);
        place.comes("ada", json!({}));
        assert_eq!(
            place.sign_in(&mut place.browser()).await,
            ada,
            "who is a member comes in"
        );
        place.provisioning().await.push(&place.email("grace")).await;
        place.comes("grace", json!({}));
        place.sign_in(&mut place.browser()).await;
    });
}

#[test]
fn a_suspended_member_is_kept_out_and_comes_back_the_same() {
    run(async {
        let place = Place::start().await;
        let provisioning = place.provisioning().await;
        let pushed = provisioning.push(&place.email("ada")).await;
        let (_, ada) = place.signed_in("ada").await;
        provisioning.set_active(&pushed, false).await;
        is_kept_out(&place, MEMBER, "the member is suspended").await;
        // With another subject, and the same address, too; verified or not.
        for verified in [json!(true), json!(null), json!(false)] {
            place.comes(
                "ada",
                json!({ "sub": "another", "email_verified": verified }),
            );
            is_kept_out(&place, MEMBER, "the member is suspended").await;
        }
        place.comes("ada", json!({}));
        provisioning.set_active(&pushed, true).await;
        assert_eq!(place.sign_in(&mut place.browser()).await, ada);
    });
}

#[test]
fn a_member_who_left_is_kept_out() {
    run(async {
        let place = Place::start().await;
        let provisioning = place.provisioning().await;
        let pushed = provisioning.push(&place.email("ada")).await;
        let (_, ada) = place.signed_in("ada").await;
        provisioning.delete(&pushed).await.is(204);
        is_kept_out(
            &place,
            MEMBER,
            "the member was removed from the organization",
        )
        .await;
        place.comes("ada", json!({ "sub": "another" }));
        is_kept_out(
            &place,
            MEMBER,
            "the member was removed from the organization",
        )
        .await;
        provisioning.push(&place.email("ada")).await;
        place.comes("ada", json!({}));
        assert_eq!(place.sign_in(&mut place.browser()).await, ada);
    });
}

#[test]
fn a_subject_is_somebody_else_in_another_configuration() {
    run(async {
        let place = Place::start().await;
        let (_, ada) = place.signed_in("ada").await;
        let second = place
            .configure(
                CLIENT,
                json!({ "issuerUrl": format!("{}/", place.provider.issuer) }),
            )
            .await;
        let second = place.through(second);
        let issuer = format!("{}/", place.provider.issuer);
        place.provider.bend().metadata = json!({ "issuer": issuer });
        place.provider.bend().claims = json!({ "iss": issuer });
        place.comes("grace", json!({ "sub": "sub-ada" }));
        let grace = second.sign_in(&mut second.browser()).await;
        assert_ne!(ada, grace);
        assert_eq!(place.members().await.len(), 2);
    });
}

#[test]
fn a_subject_is_somebody_else_in_another_organization() {
    run(async {
        let place = Place::start().await;
        let neighbour = place.neighbour().await;
        let (mut here, ada) = place.signed_in("ada").await;
        let (mut there, other) = neighbour.signed_in("ada").await;
        assert_ne!(ada, other);
        assert_eq!(here.member().await.unwrap(), ada);
        assert_eq!(there.member().await.unwrap(), other);
        // A session is of its own organization alone.
        let theirs = json!({ "organizationId": neighbour.server.organization });
        here.call("OrganizationService/ListMembers", theirs)
            .await
            .error("permission_denied");
        let ours = json!({ "organizationId": place.server.organization });
        assert_eq!(
            here.call("OrganizationService/ListMembers", ours)
                .await
                .status,
            200
        );
    });
}

#[test]
fn attack_subjects_of_a_former_issuer_mean_nothing() {
    run(async {
        let place = Place::start().await;
        let (mut browser, ada) = place.signed_in("ada").await;
        let other = super::Provider::start(place.server.app.clock.clone()).await;
        place.update(json!({ "issuerUrl": other.issuer })).await;
        assert_eq!(
            browser.member().await,
            None,
            "sessions of the former are over"
        );
        let moved = Place {
            provider: other,
            ..place.through(place.sso.clone())
        };
        moved.comes("grace", json!({ "sub": "sub-ada" }));
        let grace = moved.sign_in(&mut moved.browser()).await;
        assert_ne!(ada, grace);
    });
}

#[test]
fn userinfo_fills_in_what_is_missing() {
    run(async {
        let place = Place::start().await;
        place.provider.bend().claims =
            json!({ "email": null, "email_verified": null, "name": null });
        let mut browser = place.browser();
        place.sign_in(&mut browser).await;
        let user = browser
            .call("UserService/GetAuthenticatedUser", json!({}))
            .await
            .ok();
        assert_eq!(user["user"]["email"], place.email("ada"));
        assert_eq!(user["user"]["name"], "ada of the tests");
        assert_eq!(place.provider.count(Endpoint::Userinfo), 1);
        // What is complete needs none.
        place.provider.bend().claims = json!({});
        place.sign_in(&mut browser).await;
        assert_eq!(place.provider.count(Endpoint::Userinfo), 1);
        // What the expression names is asked for, too.
        place
            .update(json!({ "claimsExpression": "'staff' in claims.groups" }))
            .await;
        place.provider.bend().userinfo = json!({ "groups": ["staff"] });
        place.sign_in(&mut place.browser()).await;
        assert_eq!(place.provider.count(Endpoint::Userinfo), 2);
    });
}

#[test]
fn what_is_signed_wins_over_userinfo() {
    run(async {
        let place = Place::start().await;
        place.provider.bend().claims = json!({ "name": null, "email_verified": false });
        place.provider.bend().userinfo =
            json!({ "email": "root@evil.example", "email_verified": true });
        let mut browser = place.browser();
        place.sign_in(&mut browser).await;
        assert!(member(&place, &place.email("ada")).await.is_some());
        place.provider.bend().claims =
            json!({ "name": null, "email_verified": false, "sub": "other" });
        place.provider.bend().userinfo = json!({ "email_verified": true, "sub": "other" });
        is_kept_out(&place, EMAIL, "email_verified is false").await;
    });
}

#[test]
fn attack_userinfo_of_another_person() {
    keeps_out(
        |place| {
            let mut state = place.provider.bend();
            state.claims = json!({ "email": null });
            state.userinfo = json!({ "sub": "sub-root" });
        },
        Check::Userinfo.as_str(),
        "about another person than the ID token",
    );
}

#[test]
fn attack_signed_userinfo_that_was_not_signed_by_the_provider() {
    run(async {
        let place = Place::start().await;
        place.provider.rotate(Key::new("RS256"));
        place.provider.bend().claims = json!({ "name": null });
        let claims = json!({ "sub": "sub-ada", "name": "Signed" });
        let answers = |sign: Option<Sign>, claims: Value| {
            place.provider.bend().sign = sign;
            let answer = place.provider.signed_userinfo(claims);
            place.provider.bend().sign = None;
            place.provider.answers(Endpoint::Userinfo, answer);
        };
        answers(None, claims.clone());
        place.sign_in(&mut place.browser()).await;
        assert_eq!(
            member(&place, &place.email("ada")).await.unwrap()["fullName"],
            "Signed"
        );
        let foreign = |name: &str, value: &str| {
            let mut claims = claims.clone();
            claims[name] = value.into();
            claims
        };
        let hmac = Sign::Hmac(SECRET.as_bytes().to_vec());
        for (sign, claims, words) in [
            (
                Some(Sign::Nothing),
                claims.clone(),
                "is not signed as it must be",
            ),
            (
                Some(Sign::Forged),
                claims.clone(),
                "has a signature that is not the provider's",
            ),
            (Some(hmac), claims.clone(), "is not signed as it must be"),
            (None, foreign("sub", "sub-root"), "is about another person"),
            (
                None,
                foreign("aud", "another"),
                "was made for another client (aud)",
            ),
            (
                None,
                foreign("iss", "https://evil.example"),
                "was made by another provider (iss)",
            ),
        ] {
            answers(sign, claims);
            is_kept_out(&place, Check::Userinfo.as_str(), words).await;
        }
    });
}

#[test]
fn attack_userinfo_of_nobody() {
    keeps_out(
        |place| {
            let mut state = place.provider.bend();
            state.claims = json!({ "email": null });
            state.userinfo = json!({ "sub": null });
        },
        Check::Userinfo.as_str(),
        "the userinfo lacks the claim sub",
    );
}

#[test]
fn fault_userinfo_is_down_while_a_claim_is_missing() {
    run(async {
        let place = Place::start().await;
        place
            .provider
            .answers(Endpoint::Userinfo, Answer::status(503));
        place.sign_in(&mut place.browser()).await;
        place.provider.bend().claims = json!({ "email_verified": null });
        is_kept_out(&place, Check::Userinfo.as_str(), "status 503").await;
    });
}

#[test]
fn attack_access_token_that_no_header_can_hold() {
    keeps_out(
        |place| {
            let mut state = place.provider.bend();
            state.claims = json!({ "name": null, "at_hash": null });
            state.tokens = json!({ "access_token": "a\r\nX-Evil: 1" });
        },
        Check::Userinfo.as_str(),
        "characters that no HTTP header may have",
    );
}

#[test]
fn claims_have_the_names_that_the_configuration_says() {
    run(async {
        let place = Place::start().await;
        let map = json!({ "email": "upn", "name": "https://claims.example/name", "email_verified": "xms_edov", "picture": "photo" });
        place.update(json!({ "claims": map })).await;
        is_kept_out(
            &place,
            EMAIL,
            "(claim \"upn\"): have it send the claim, or map email",
        )
        .await;
        let ours = json!({
            "upn": place.email("grace"), "https://claims.example/name": "Grace", "xms_edov": "True",
            "photo": "https://pictures.example/grace.png",
        });
        place.provider.bend().claims = ours;
        place.sign_in(&mut place.browser()).await;
        let grace = member(&place, &place.email("grace")).await.unwrap();
        assert_eq!(grace["fullName"], "Grace");
        assert_eq!(grace["avatarUrl"], "https://pictures.example/grace.png");
        assert!(member(&place, &place.email("ada")).await.is_none());
    });
}

#[test]
fn booleans_may_be_written_as_text() {
    run(async {
        let place = Place::start().await;
        let (_, ada) = place.signed_in("ada").await;
        place.comes("ada", json!({ "sub": "another", "email_verified": "true" }));
        assert_eq!(place.sign_in(&mut place.browser()).await, ada);
        for odd in [json!("yes"), json!(1), json!(["true"])] {
            place.comes("ada", json!({ "sub": "third", "email_verified": odd }));
            is_kept_out(&place, EMAIL, "email_verified is false").await;
        }
    });
}

#[test]
fn names_and_pictures_are_cut_to_what_fits() {
    run(async {
        let place = Place::start().await;
        for (picture, kept) in [
            ("javascript:alert(1)", false),
            ("data:image/png;base64,AA", false),
            ("https://user@pictures.example/", false),
            ("https://pictures.example/a.png", true),
        ] {
            place.comes(
                "ada",
                json!({ "picture": picture, "name": format!("\u{1b}[31m{}", "é".repeat(300)) }),
            );
            place.sign_in(&mut place.browser()).await;
            let ada = member(&place, &place.email("ada")).await.unwrap();
            assert_eq!(ada["avatarUrl"] == picture, kept, "{picture}");
            let name = ada["fullName"].as_str().unwrap();
            assert!(
                name.chars().count() == 256 && !name.contains('\u{1b}'),
                "{name:?}"
            );
        }
        place.comes(
            "bob",
            json!({ "name": null, "given_name": "Bob", "family_name": "B." }),
        );
        place.sign_in(&mut place.browser()).await;
        assert_eq!(
            member(&place, &place.email("bob")).await.unwrap()["fullName"],
            "Bob B."
        );
        // Who sends none keeps the name.
        place.comes("bob", json!({ "name": null }));
        place.sign_in(&mut place.browser()).await;
        assert_eq!(
            member(&place, &place.email("bob")).await.unwrap()["fullName"],
            "Bob B."
        );
    });
}

#[test]
fn attack_the_claims_expression_decides() {
    run(async {
        let place = Place::start().await;
        let expression = r#"claims.email_verified && "staff" in claims.groups"#;
        place
            .update(json!({ "claimsExpression": expression }))
            .await;
        place.provider.bend().claims =
            json!({ "groups": ["guests"], "secret_claim": "s3cr3t-value" });
        let refused = is_kept_out(&place, EXPRESSION, "is false").await;
        assert_eq!(
            refused.failed_expression.as_deref(),
            Some(r#""staff" in claims.groups"#)
        );
        assert_eq!(refused.email, Some(place.email("ada")));
        assert!(refused.claim_names.contains(&"secret_claim".to_owned()));
        assert!(!format!("{refused:?}").contains("s3cr3t-value"));
        assert!(!format!("{refused:?}").contains("guests"));

        place.provider.bend().claims = json!({ "groups": ["staff"], "email_verified": false });
        let refused = is_kept_out(&place, EXPRESSION, "is false").await;
        assert_eq!(
            refused.failed_expression.as_deref(),
            Some("claims.email_verified")
        );

        place.provider.bend().claims = json!({ "groups": "staff" });
        let refused = is_kept_out(&place, EXPRESSION, "cannot be evaluated").await;
        assert!(refused.failed_expression.unwrap().contains("claims.groups"));

        place.provider.bend().claims = json!({});
        is_kept_out(&place, EXPRESSION, "cannot be evaluated").await;

        place.provider.bend().claims = json!({ "groups": ["staff"] });
        place.sign_in(&mut place.browser()).await;
    });
}

#[test]
fn attack_an_expression_that_is_no_boolean_or_does_not_end() {
    run(async {
        let place = Place::start().await;
        place
            .update(json!({ "claimsExpression": "claims.staff" }))
            .await;
        for staff in [json!("true"), json!(1), json!([true]), json!({ "x": true })] {
            place.provider.bend().claims = json!({ "staff": staff });
            is_kept_out(&place, EXPRESSION, "not true or false").await;
        }
        place.provider.bend().claims = json!({ "staff": true });
        place.sign_in(&mut place.browser()).await;
        let slow = "claims.n.all(a, claims.n.all(b, claims.n.all(c, claims.n.all(d, a + b + c + d >= 0))))";
        place.update(json!({ "claimsExpression": slow })).await;
        place.provider.bend().claims = json!({ "n": (0..300).collect::<Vec<_>>() });
        is_kept_out(&place, EXPRESSION, "too many steps").await;
    });
}

#[test]
fn a_setting_demands_verified_domains() {
    run(async {
        let place = Place::start_with(|app| app.sign_in.require_verified_domains = true).await;
        is_kept_out(&place, EMAIL, "ROLLCALL_REQUIRE_VERIFIED_DOMAINS").await;
        place.server.verified_domain(&place.domain).await;
        place.sign_in(&mut place.browser()).await;
    });
}

#[test]
fn those_who_come_at_once_are_one_member() {
    run(async {
        needs_parallel_connections();
        let place = Place::start().await;
        let logins = (0..6).map(|_| async {
            let mut browser = place.browser();
            place.sign_in(&mut browser).await
        });
        let ids = futures_util::future::join_all(logins).await;
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        assert_eq!(place.members().await.len(), 1);
    });
}

#[test]
fn strangers_who_come_at_once_with_one_address_are_not_both_its_owners() {
    run(async {
        needs_parallel_connections();
        let place = Place::start().await;
        let mut begun = vec![];
        for n in 0..6 {
            let sub = format!("sub-{n}");
            place.comes("ada", json!({ "sub": sub, "email_verified": null }));
            let mut browser = place.browser();
            let parameters = place.begin(&mut browser).await;
            begun.push((browser, parameters));
        }
        let answers = begun.iter_mut().map(|(browser, parameters)| async {
            place.come_back(browser, parameters).await.status
        });
        let statuses = futures_util::future::join_all(answers).await;
        let admitted = statuses.iter().filter(|status| **status == 303).count();
        assert_eq!(admitted, 1, "{statuses:?}");
        assert_eq!(place.members().await.len(), 1);
    });
}

#[test]
fn additional_scopes_are_asked_for_once() {
    run(async {
        let place = Place::start().await;
        place
            .update(json!({ "additionalScopes": { "scopes": ["groups", "email"] } }))
            .await;
        let start = place.browser().get(&place.start_url("")).await.location();
        assert!(
            start.contains("scope=openid+email+profile+groups&"),
            "{start}"
        );
    });
}

#[test]
fn a_person_is_the_same_in_either_spelling_of_the_domain() {
    run(async {
        let place = Place::start().await;
        let domain = format!("bü{}", place.domain);
        let ascii = domain_key(&domain).into_owned();
        place.update(json!({ "emailDomains": [domain] })).await;
        let pushed = place.provisioning().await;
        pushed.push(&format!("Ada@{domain}")).await;
        place.comes("ada", json!({ "email": format!("ada@{ascii}.") }));
        let id = place.sign_in(&mut place.browser()).await;
        let members = place.members().await;
        assert_eq!(members.len(), 1, "{members:?}");
        assert_eq!(members[0]["userId"], *id);
    });
}

#[test]
fn attack_address_that_passes_for_another() {
    run(async {
        let place = Place::start().await;
        let domain = format!("bü{}", place.domain);
        place.update(json!({ "emailDomains": [domain] })).await;
        let pushed = place.provisioning().await;
        pushed.push(&format!("straße@{domain}")).await;
        // Another mailbox, for all that search says.
        place.comes("eve", json!({ "email": format!("strasse@{domain}") }));
        let eve = place.sign_in(&mut place.browser()).await;
        assert_eq!(place.members().await.len(), 2);
        place.comes("ada", json!({ "email": format!("STRAẞE@{domain}") }));
        let ada = place.sign_in(&mut place.browser()).await;
        assert_ne!(eve, ada);
        assert_eq!(place.members().await.len(), 2);

        for odd in [
            format!("ada@{domain}.."),
            format!("ada@{domain}.evil.example"),
            format!("ada@xn--{domain}"),
            format!("ada@xn--{}-", place.domain),
            format!("ada@{}%2e{domain}", "a"),
            format!("ada@{domain}＠evil.example"),
            format!("ada@evil.example＠{domain}"),
            format!("ada@{}", place.domain),
        ] {
            place.comes("odd", json!({ "email": odd }));
            let reply = place.try_sign_in(&mut place.browser()).await;
            place
                .refused(&reply, EMAIL, "do not sign in through this configuration")
                .await;
        }
    });
}
