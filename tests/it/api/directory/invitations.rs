//! People of one organization join another.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::login::{Browser, Place};
use crate::support::{Server, needs_parallel_connections, run};

async fn invite(server: &Server) -> String {
    let request = json!({ "organizationId": server.organization });
    let made = server.call("CreateOrganizationInvite", request).await.ok();
    made["invite"]["inviteId"].as_str().unwrap().to_owned()
}

async fn join(browser: &mut Browser<'_>, invitation: &str) -> crate::support::Reply {
    let request = json!({ "inviteId": invitation });
    browser
        .call("OrganizationService/JoinOrganization", request)
        .await
}

async fn update(server: &Server, more: Value) {
    let mut request = json!({ "organizationId": server.organization });
    crate::support::merge(&mut request, more);
    server.call("UpdateOrganization", request).await.ok();
}

#[test]
fn somebody_with_an_invitation_becomes_a_member_once() {
    run(async {
        let place = Place::start().await;
        let other = place.server.neighbour().await;
        let invitation = invite(&other).await;
        let request = json!({ "organizationId": other.organization });
        let again = other.call("GetOrganizationInvite", request).await.ok();
        assert_eq!(again["invite"]["inviteId"], *invitation);

        let (mut ada, id) = place.signed_in("ada").await;
        let path = "OrganizationService/GetOrganizationInviteSummary";
        let request = json!({ "inviteId": invitation });
        let summary = ada.call(path, request).await.ok();
        assert_eq!(
            summary,
            json!({ "organizationId": other.organization, "organizationName": "Test" })
        );
        let joined = join(&mut ada, &invitation).await.ok()["member"].clone();
        assert_eq!(joined["email"], place.email("ada"));
        assert_eq!(joined["role"], "ORGANIZATION_ROLE_MEMBER");
        assert_ne!(joined["userId"], *id, "a member of each organization");
        join(&mut ada, &invitation).await.error("already_exists");
        let log = other.audit("user").await;
        assert_eq!(log.len(), 1);
        assert_eq!(log[0].0, "JoinOrganization");
    });
}

#[test]
fn an_invitation_ends_with_the_next_one_and_after_a_week() {
    run(async {
        let place = Place::start().await;
        let other = place.server.neighbour().await;
        let first = invite(&other).await;
        let second = invite(&other).await;
        let (mut ada, _) = place.signed_in("ada").await;
        join(&mut ada, &first).await.error("not_found");
        place.pass(TimeDelta::days(7));
        let (mut ada, _) = place.signed_in("ada").await;
        join(&mut ada, &second).await.error("not_found");
        let request = json!({ "organizationId": other.organization });
        let gone = other.call("GetOrganizationInvite", request).await;
        gone.error("not_found");
        // The database does not have it.
        let third = invite(&other).await;
        let mut db = other.app.store.acquire().await.unwrap();
        let row: String = sqlx::query_scalar(
            "select row_to_json(i)::text from invitations i where organization_id = $1",
        )
        .bind(other.organization_id().as_uuid())
        .fetch_one(&mut *db)
        .await
        .unwrap();
        assert!(!row.contains(&third) && !row.contains(&third.replace('-', "")));
    });
}

#[test]
fn two_who_use_an_invitation_at_once_with_one_address_make_one_member() {
    needs_parallel_connections();
    run(async {
        let place = Place::start().await;
        let other = place.server.neighbour().await;
        let invitation = invite(&other).await;
        let (ada, _) = place.signed_in("ada").await;
        let tries = (0..8).map(|_| {
            let (mut browser, invitation) = (ada.clone(), invitation.clone());
            async move { join(&mut browser, &invitation).await }
        });
        let replies = futures_util::future::join_all(tries).await;
        let joined = replies.iter().filter(|reply| reply.status == 200).count();
        assert_eq!(joined, 1);
        for reply in replies.iter().filter(|reply| reply.status != 200) {
            reply.error("already_exists");
        }
    });
}

#[test]
fn an_organization_may_let_in_addresses_alone_that_are_surely_somebodys() {
    run(async {
        let place = Place::start().await;
        let other = place.server.neighbour().await;
        let invitation = invite(&other).await;
        let let_in = async |domain: &str| {
            let domains = json!({ "inviteDomains": { "domains": [domain] } });
            update(&other, domains).await;
        };
        let (mut ada, _) = place.signed_in("ada").await;
        let_in(&place.domain).await;
        // Whoever chooses the provider could have it say any address.
        join(&mut ada, &invitation).await.error("permission_denied");
        place.server.verified_domain(&place.domain).await;
        let_in("elsewhere.example").await;
        join(&mut ada, &invitation).await.error("permission_denied");
        let_in(&place.domain).await;
        join(&mut ada, &invitation).await.ok();
        // An address that the provider does not vouch for counts as little.
        place.comes("grace", json!({ "email_verified": false }));
        let mut grace = place.browser();
        place.sign_in(&mut grace).await;
        join(&mut grace, &invitation)
            .await
            .error("permission_denied");
    });
}

#[test]
fn whoever_has_no_address_joins_nothing() {
    run(async {
        let place = Place::start().await;
        let other = place.server.neighbour().await;
        let invitation = invite(&other).await;
        let (mut ada, id) = place.signed_in("ada").await;
        let mut db = place.server.app.store.acquire().await.unwrap();
        let id: rollcall::domain::ids::MemberId = id.parse().unwrap();
        let (organization, now) = (place.server.organization_id(), place.server.now());
        rollcall::store::sign_in::take_address(&mut db, organization, id, now)
            .await
            .unwrap();
        drop(db);
        join(&mut ada, &invitation)
            .await
            .error("failed_precondition");
    });
}

#[test]
fn where_only_provisioning_makes_members_nobody_joins() {
    run(async {
        let place = Place::start().await;
        let other = place.server.neighbour().await;
        let invitation = invite(&other).await;
        let request = json!({
            "organizationId": other.organization, "restrictAccountCreationToScim": true,
        });
        other.call("UpdateOrganizationPolicies", request).await.ok();
        let (mut ada, _) = place.signed_in("ada").await;
        join(&mut ada, &invitation)
            .await
            .error("failed_precondition");
    });
}

#[test]
fn an_organization_that_lets_in_a_domain_can_be_joined_without_an_invitation() {
    run(async {
        let place = Place::start().await;
        let other = place.server.neighbour().await;
        let (mut ada, _) = place.signed_in("ada").await;
        let list = async |browser: &mut Browser<'_>| {
            let path = "AccountService/ListJoinableOrganizations";
            browser.call(path, json!({})).await.ok()["joinableOrganizations"].clone()
        };
        let by_id = json!({ "organizationId": other.organization });
        let path = "OrganizationService/JoinOrganization";
        let domains = json!({ "inviteDomains": { "domains": [place.domain] } });
        update(&other, domains).await;
        assert_eq!(list(&mut ada).await, Value::Null, "nobody owns the domain");
        ada.call(path, by_id.clone()).await.error("not_found");
        place.server.verified_domain(&place.domain).await;
        assert_eq!(
            list(&mut ada).await,
            json!([{ "organizationId": other.organization, "organizationName": "Test" }])
        );
        ada.call(path, by_id.clone()).await.ok();
        ada.call(path, by_id).await.error("already_exists");
        let missing = ada.call(path, json!({})).await;
        assert_eq!(missing.violations(), ["invite_id"]);
    });
}

#[test]
fn an_account_is_the_member_of_the_organization_that_asks() {
    run(async {
        let place = Place::start().await;
        let (mut ada, id) = place.signed_in("ada").await;
        let account =
            ada.call("AccountService/GetAccount", json!({})).await.ok()["account"].clone();
        assert_eq!(
            (
                &account["id"],
                &account["email"],
                &account["organizationId"]
            ),
            (
                &json!(id),
                &json!(place.email("ada")),
                &json!(place.server.organization)
            )
        );
        assert_eq!(
            account["memberships"],
            json!([{
                "userId": id,
                "userRole": "ORGANIZATION_ROLE_MEMBER",
                "organizationId": place.server.organization,
                "organizationName": "Test",
                "organizationMemberCount": 1,
                "organizationTier": "ORGANIZATION_TIER_ENTERPRISE",
            }])
        );
    });
}
