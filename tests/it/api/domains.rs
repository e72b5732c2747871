//! Domain verifications, looked up at a real name server.

use chrono::TimeDelta;
use futures_util::future::join_all;
use hickory_resolver::proto::op::ResponseCode;
use rollcall::domain::identity::Role;
use rollcall::domain::letters::domain_key;
use rollcall::store::domains::is_verified;
use serde_json::{Value, json};

use crate::support::dns::{Answer, record};
use crate::support::{Server, needs_parallel_connections, run};

fn by_id(verification: &Value) -> Value {
    json!({ "domainVerificationId": verification["id"] })
}

async fn verified(server: &Server, domain: &str) -> bool {
    let mut db = server.app.store.acquire().await.unwrap();
    is_verified(&mut db, server.organization_id(), domain)
        .await
        .unwrap()
}

#[test]
fn a_domain_is_verified_once_its_record_is_there_and_until_it_is_deleted() {
    run(async {
        let server = Server::start().await;
        let domain = server.new_domain();
        let created = server.domain(&domain.to_uppercase()).await;
        assert_eq!(created["domain"], *domain, "in lower case");
        assert_eq!(created["state"], "DOMAIN_VERIFICATION_STATE_PENDING");
        assert_eq!(created["organizationId"], *server.organization);
        assert_eq!(created["createdAt"], "2026-03-01T12:00:00Z");
        assert_eq!(created["verifiedAt"], Value::Null);
        assert!(!verified(&server, &domain).await);

        let (name, value) = record(&created);
        server
            .name_server
            .set(&name, &["v=spf1 -all", &value, "another"]);
        server.pass(TimeDelta::minutes(1));
        let done =
            server.call("VerifyDomain", by_id(&created)).await.ok()["domainVerification"].clone();
        assert_eq!(done["state"], "DOMAIN_VERIFICATION_STATE_VERIFIED");
        assert_eq!(done["verifiedAt"], "2026-03-01T12:01:00Z");
        assert_eq!(done["verificationToken"], created["verificationToken"]);
        assert!(verified(&server, &domain).await);
        assert!(
            !verified(&server, &format!("sub.{domain}")).await,
            "no other name"
        );
        let get = server
            .call("GetDomainVerification", by_id(&created))
            .await
            .ok();
        assert_eq!(get["domainVerification"], done);

        server.pass(TimeDelta::minutes(1));
        let again = server.call("VerifyDomain", by_id(&created)).await.ok();
        assert_eq!(again["domainVerification"], done, "as it was");
        assert_eq!(server.name_server.times_asked(&name), 1);

        server
            .call("DeleteDomainVerification", by_id(&created))
            .await
            .ok();
        assert!(!verified(&server, &domain).await);
        for method in [
            "DeleteDomainVerification",
            "GetDomainVerification",
            "VerifyDomain",
        ] {
            server
                .call(method, by_id(&created))
                .await
                .error("not_found");
        }
    });
}

#[test]
fn what_is_missing_is_told_and_found_as_soon_as_it_is_there() {
    run(async {
        let server = Server::start().await;
        let created = server.domain(&server.new_domain()).await;
        let (name, value) = record(&created);
        let failure = async || {
            server
                .call("VerifyDomain", by_id(&created))
                .await
                .error("failed_precondition")
        };

        let message = failure().await;
        assert!(
            message.contains(&format!("no TXT record at {name}")),
            "{message}"
        );
        assert!(message.contains(&format!("{value:?}")), "{message}");
        server
            .name_server
            .set(&name, &["bad\u{7}value", "rollcall-verification=other"]);
        let message = failure().await;
        assert!(
            message.contains(r#"are "bad\u{7}value", "rollcall-verification=other";"#),
            "{message}"
        );
        server.name_server.say(&name, Answer::Records(vec![]));
        assert!(failure().await.contains("no TXT record"));
        server
            .name_server
            .say(&name, Answer::Code(ResponseCode::ServFail));
        let message = failure().await;
        assert!(
            message.contains(&name) && message.contains("could not be looked up"),
            "{message}"
        );

        // A record may come in pieces (RFC 7208, section 3.3).
        let (start, end) = value.split_at(10);
        let pieces = vec![vec![start.to_owned(), end.to_owned()]];
        server.name_server.say(&name, Answer::Records(pieces));
        server.call("VerifyDomain", by_id(&created)).await.ok();
    });
}

#[test]
fn each_verification_has_a_token_of_its_own() {
    run(async {
        let server = Server::start().await;
        let neighbour = server.neighbour().await;
        let domain = server.new_domain();
        let (one, other) = (
            server.domain(&domain).await,
            neighbour.domain(&domain).await,
        );
        assert_ne!(one["verificationToken"], other["verificationToken"]);
        assert!(one["verificationToken"].as_str().unwrap().len() >= 32);
        server.publish(&one);
        neighbour
            .call("VerifyDomain", by_id(&other))
            .await
            .error("failed_precondition");
        server
            .call("DeleteDomainVerification", by_id(&one))
            .await
            .ok();
        let again = server.domain(&domain).await;
        assert_ne!(one["verificationToken"], again["verificationToken"]);
        server
            .call("VerifyDomain", by_id(&again))
            .await
            .error("failed_precondition");
    });
}

#[test]
fn a_domain_is_verified_by_one_organization_at_a_time() {
    run(async {
        needs_parallel_connections();
        let server = Server::start().await;
        let rival = server.neighbour().await;
        let domain = server.new_domain();
        let (ours, theirs) = (server.domain(&domain).await, rival.domain(&domain).await);
        let (name, our_value) = record(&ours);
        server
            .name_server
            .set(&name, &[&our_value, &record(&theirs).1]);

        // At the same time: one of them gets it.
        let attempts = [(&server, &ours), (&rival, &theirs)];
        let attempts = attempts.map(|(server, v)| server.call("VerifyDomain", by_id(v)));
        let replies = join_all(attempts).await;
        let (winner, loser) = if replies[0].status == 200 {
            ((&server, &ours), (&rival, &theirs))
        } else {
            ((&rival, &theirs), (&server, &ours))
        };
        let refused = loser.0.call("VerifyDomain", by_id(loser.1)).await;
        let message = refused.error("already_exists");
        assert!(!message.contains(&winner.0.organization), "{message}");
        assert_eq!(
            replies.iter().filter(|reply| reply.status == 409).count(),
            1
        );
        assert!(verified(winner.0, &domain).await && !verified(loser.0, &domain).await);

        winner
            .0
            .call("DeleteDomainVerification", by_id(winner.1))
            .await
            .ok();
        loser.0.call("VerifyDomain", by_id(loser.1)).await.ok();
    });
}

#[test]
fn a_second_verification_of_a_domain_is_refused() {
    run(async {
        let server = Server::start().await;
        let domain = server.new_domain();
        server.domain(&domain).await;
        let request =
            json!({ "organizationId": server.organization, "domain": domain.to_uppercase() });
        let message = server
            .call("CreateDomainVerification", request)
            .await
            .error("already_exists");
        assert!(message.contains("ListDomainVerifications"), "{message}");
    });
}

#[test]
fn a_domain_must_be_one() {
    run(async {
        let server = Server::start().await;
        let too_long = format!("{}.com", "a2345678.".repeat(26));
        for domain in [
            "",
            "com",
            "a.b",
            "ada@example.com",
            "*.example.com",
            "a b.com",
            "127.0.0.1",
            &too_long,
        ] {
            let request = json!({ "organizationId": server.organization, "domain": domain });
            let fields = server
                .call("CreateDomainVerification", request)
                .await
                .violations();
            assert!(
                fields.iter().all(|field| field == "domain") && !fields.is_empty(),
                "{domain}: {fields:?}"
            );
        }
    });
}

#[test]
fn who_may_not_verify_a_domain_makes_nobody_ask_for_its_record() {
    run(async {
        let server = Server::start().await;
        let created = server.domain(&server.new_domain()).await;
        server.publish(&created);
        let stranger = server.neighbour().await;
        stranger
            .call("VerifyDomain", by_id(&created))
            .await
            .error("not_found");
        for (role, read_only) in [(Role::Member, false), (Role::Admin, true)] {
            let token = server.token(role, read_only).await;
            server
                .call_as(&token, "VerifyDomain", by_id(&created))
                .await
                .error("permission_denied");
        }
        assert_eq!(server.name_server.times_asked(&record(&created).0), 0);
    });
}

#[test]
fn every_change_leaves_one_audit_row() {
    run(async {
        let server = Server::start().await;
        let domain = server.new_domain();
        let created = server.domain(&domain).await;
        server
            .call("VerifyDomain", by_id(&created))
            .await
            .error("failed_precondition");
        server.publish(&created);
        for method in ["VerifyDomain", "VerifyDomain", "DeleteDomainVerification"] {
            server.call(method, by_id(&created)).await.ok();
        }
        let state = |state: &str| json!({ "domain": domain, "state": state });
        assert_eq!(
            server.audit("domain_verification").await,
            [
                (
                    "CreateDomainVerification".to_owned(),
                    json!(null),
                    state("pending")
                ),
                (
                    "VerifyDomain".to_owned(),
                    state("pending"),
                    state("verified")
                ),
                (
                    "DeleteDomainVerification".to_owned(),
                    state("verified"),
                    json!(null)
                ),
            ]
        );
    });
}

#[test]
fn a_domain_is_verified_in_every_spelling_and_looked_up_in_ascii() {
    run(async {
        let server = Server::start().await;
        let domain = format!("bü{}", server.new_domain());
        let ascii = domain_key(&domain).into_owned();
        let verification = server
            .verified_domain(&format!(" BÜ{}.", &domain["bü".len()..]))
            .await;
        assert_eq!(verification["domain"], ascii);
        let name = format!("_rollcall-challenge.{ascii}");
        assert_eq!(server.name_server.times_asked(&name), 1);
        assert!(verified(&server, &ascii).await);

        let other = server.neighbour().await;
        for spelling in [&domain, &ascii] {
            let request = json!({ "organizationId": server.organization, "domain": spelling });
            let again = server.call("CreateDomainVerification", request).await;
            again.error("already_exists");
        }
        let theirs = other.domain(&domain).await;
        other.publish(&theirs);
        other
            .call("VerifyDomain", by_id(&theirs))
            .await
            .error("already_exists");
    });
}
