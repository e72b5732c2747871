//! What provisioning does to the organization: its members, and who may touch whose.

use std::collections::BTreeMap;

use axum::body::Body;
use chrono::TimeDelta;
use futures_util::{FutureExt, StreamExt, stream};
use http::{Request, header};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, FromRow, query_scalar};
use uuid::Uuid;

use crate::support::scim::{BULK, Client, E, G, SEARCH, U, encode, group, ids, path, text, user};
use crate::support::{needs_parallel_connections, run};

/// A member of the organization.
#[derive(Debug, FromRow, PartialEq)]
struct Member {
    email: String,
    name: String,
    role: String,
    status: String,
    email_verified: bool,
}

async fn members(c: &Client) -> Vec<Member> {
    c.rows("select email, name, role, status, email_verified from users where organization_id = $1 and $2 is distinct from id order by email, id")
        .await
}

async fn member_ids(c: &Client) -> Vec<Uuid> {
    let rows: Vec<(Uuid,)> = c
        .rows("select id from users where organization_id = $1 and $2 is distinct from id order by created_at, id")
        .await;
    rows.into_iter().map(|row| row.0).collect()
}

async fn status(c: &Client) -> String {
    let members = members(c).await;
    assert_eq!(members.len(), 1, "{members:?}");
    members[0].status.clone()
}

fn mail(address: &str) -> Value {
    json!({ "emails": [{ "value": address, "primary": true }] })
}

/// A member who was there before: `verified` or not.
async fn someone(c: &Client, verified: bool) {
    c.execute(if verified {
        "insert into users (organization_id, id, email, email_key, email_verified, name, avatar_url, role, status, created_at, updated_at)
         select $1, gen_random_uuid(), 'Known@b.com', 'known@b.com', true, 'Known', '', 'admin', 'active', now(), now() where $2 is not null"
    } else {
        "insert into users (organization_id, id, email, email_key, email_verified, name, avatar_url, role, status, created_at, updated_at)
         select $1, gen_random_uuid(), 'Known@b.com', 'known@b.com', false, 'Known', '', 'admin', 'active', now(), now() where $2 is not null"
    })
    .await;
}

#[test]
fn a_user_becomes_a_member() {
    run(async {
        let c = Client::start().await;
        let mut more = mail("Bob@b.com");
        more["displayName"] = json!("Bob");
        let bob = c.user("bob", more).await;
        let member = |email: &str, name: &str, status: &str| Member {
            email: email.to_owned(),
            name: name.to_owned(),
            role: "member".to_owned(),
            status: status.to_owned(),
            email_verified: false,
        };
        assert_eq!(members(&c).await, [member("Bob@b.com", "Bob", "active")]);
        let op = json!([{ "op": "replace", "value": { "displayName": "Robert", "emails": [{ "value": "rob@b.com" }] } }]);
        c.patch(&path(&bob), op).await.is(200);
        assert_eq!(members(&c).await, [member("rob@b.com", "Robert", "active")]);
    });
}

#[test]
fn inactive_is_suspended_and_deleted_has_left() {
    run(async {
        let c = Client::start().await;
        let bob = c.user("bob", mail("bob@b.com")).await;
        let before = member_ids(&c).await;
        for (active, expected) in [(false, "suspended"), (true, "active")] {
            c.patch(
                &path(&bob),
                json!([{ "op": "replace", "path": "active", "value": active }]),
            )
            .await
            .is(200);
            assert_eq!(status(&c).await, expected);
            let mut whole = c.read(&bob).await;
            whole["active"] = json!(!active);
            c.put(&path(&bob), whole.clone()).await.is(200);
            whole["active"] = json!(active);
            c.put(&path(&bob), whole).await.is(200);
            assert_eq!(status(&c).await, expected);
        }
        c.delete(&path(&bob)).await.is(204);
        assert_eq!(status(&c).await, "left");
        assert_eq!(member_ids(&c).await, before);
    });
}

#[test]
fn created_inactive_is_suspended_at_once() {
    run(async {
        let c = Client::start().await;
        c.user("bob", json!({ "active": "False" })).await;
        assert_eq!(status(&c).await, "suspended");
    });
}

#[test]
fn who_comes_back_is_the_same_member_under_a_new_id() {
    run(async {
        let c = Client::start().await;
        let mut more = mail("bob@b.com");
        more["externalId"] = json!("x1");
        let first = c.user("bob", more.clone()).await;
        let member = member_ids(&c).await;
        c.delete(&path(&first)).await.is(204);
        // By userName, in any case.
        let second = c.user("BOB", json!({})).await;
        assert_ne!(second["id"], first["id"]);
        assert_eq!(
            (member_ids(&c).await, status(&c).await),
            (member.clone(), "active".to_owned())
        );
        c.get(&path(&first)).await.refused(404, "");
        c.patch(
            &path(&second),
            json!([{ "op": "add", "path": "externalId", "value": "x2" }]),
        )
        .await
        .is(200);
        c.delete(&path(&second)).await.is(204);
        // By externalId.
        let third = c
            .user("robert", json!({ "externalId": "x2", "active": false }))
            .await;
        assert_eq!(
            (member_ids(&c).await, status(&c).await),
            (member.clone(), "suspended".to_owned())
        );
        c.delete(&path(&third)).await.is(204);
        // Neither: somebody else.
        c.user("carl", json!({ "externalId": "x3" })).await;
        assert_eq!(member_ids(&c).await.len(), 2);
    });
}

/// What the log of the configuration tells of its newest change beside the attributes.
async fn note(c: &Client) -> String {
    let events = events(c).await;
    let last = events.last().unwrap();
    assert_ne!(last.outcome, "refused", "{last:?}");
    last.reason.clone().unwrap_or_default()
}

#[test]
fn an_unverified_address_is_linked_only_if_the_configuration_says_so() {
    run(async {
        let body = user("bob", mail("known@B.com"));
        let strict = Client::start().await;
        someone(&strict, false).await;
        let known = member_ids(&strict).await[0];
        strict.post("/Users", body.clone()).await.is(201);
        assert_eq!(
            note(&strict).await,
            format!("address shared with the member {known}")
        );
        let both = members(&strict).await;
        assert_eq!(both.len(), 2, "a member of its own: {both:?}");
        assert_eq!(
            (&*both[0].email, &*both[0].name, &*both[0].role),
            ("Known@b.com", "Known", "admin"),
            "and nothing was changed"
        );

        let lax = Client::start().await;
        someone(&lax, false).await;
        let lax = lax
            .beside(json!({ "allowUnverifiedEmailAccountLinking": true }))
            .await;
        lax.post("/Users", body).await.is(201);
        assert_eq!(note(&lax).await, "", "nobody else has the address");
        let members = members(&lax).await;
        assert_eq!(members.len(), 1);
        assert_eq!(
            members[0].role, "admin",
            "the role is not the provider's to give or take"
        );
    });
}

#[test]
fn a_verified_address_is_linked() {
    run(async {
        let c = Client::start().await;
        someone(&c, true).await;
        let bob = c.user("bob", mail("KNOWN@b.com")).await;
        let found = members(&c).await;
        assert_eq!(found.len(), 1);
        assert_eq!(
            (&*found[0].role, &*found[0].status, found[0].email_verified),
            ("admin", "active", true)
        );
        c.patch(
            &path(&bob),
            json!([{ "op": "replace", "path": "active", "value": false }]),
        )
        .await
        .is(200);
        assert_eq!(members(&c).await[0].status, "suspended");
    });
}

#[test]
fn users_of_one_configuration_may_share_an_address() {
    run(async {
        let c = Client::start().await;
        someone(&c, true).await;
        let known = member_ids(&c).await[0];
        c.user("bob", mail("known@b.com")).await;
        c.user("bob-admin", mail("Known@B.com")).await;
        assert_eq!(
            note(&c).await,
            format!("address shared with the member {known}"),
            "who is another user's member is nobody else's"
        );
        let list = json!({ "organizationId": c.server.organization, "filter": { "email": "known@b.com" } });
        let both = c.server.call("ListMembers", list).await.ok();
        assert_eq!(both["members"].as_array().unwrap().len(), 2, "{both}");
        assert_eq!(
            c.names("emails eq \"known@b.com\"").await,
            ["bob", "bob-admin"]
        );

        // Also by a change.
        let carl = c.user("carl", mail("carl@b.com")).await;
        assert_eq!(note(&c).await, "");
        let op = json!([{ "op": "replace", "value": mail("known@b.com") }]);
        c.patch(&path(&carl), op).await.is(200);
        let told = note(&c).await;
        assert!(told.starts_with("address shared with the member"), "{told}");
        assert_eq!(told.matches("the member").count(), 2, "{told}");
        // A change of something else does not tell it again.
        let op = json!([{ "op": "replace", "value": { "title": "Boss" } }]);
        c.patch(&path(&carl), op).await.is(200);
        assert_eq!(note(&c).await, "");
        assert_eq!(member_ids(&c).await.len(), 3);
    });
}

#[test]
fn an_address_that_several_members_have_links_nobody() {
    run(async {
        let c = Client::start().await;
        let other = c
            .beside(json!({ "allowUnverifiedEmailAccountLinking": true }))
            .await;
        someone(&c, true).await;
        c.user("bob", mail("known@b.com")).await;
        c.user("carl", mail("known@b.com")).await;
        other.user("dora", mail("known@b.com")).await;
        assert_eq!(member_ids(&c).await.len(), 3);
        assert_eq!(note(&other).await.matches("the member").count(), 2);
        // Whoever left has no part in it.
        let c = Client::start().await;
        someone(&c, true).await;
        let gone = c.user("gone", mail("gone@b.com")).await;
        let op = json!([{ "op": "replace", "value": mail("known@b.com") }]);
        c.patch(&path(&gone), op).await.is(200);
        c.delete(&path(&gone)).await.is(204);
        c.user("bob", mail("known@b.com")).await;
        assert_eq!(note(&c).await, "");
        assert_eq!(member_ids(&c).await.len(), 2);
    });
}

#[test]
fn users_of_one_request_may_share_an_address() {
    run(async {
        let c = Client::start().await;
        someone(&c, true).await;
        let make = |name: &str, address: &str| json!({ "method": "POST", "path": "/Users", "bulkId": name, "data": user(name, mail(address)) });
        let operations = json!([
            make("a", "known@b.com"),
            make("b", "new@b.com"),
            make("c", "KNOWN@b.com"),
            make("d", "New@b.com"),
        ]);
        let body = json!({ "schemas": [BULK], "Operations": operations });
        let done = c.post("/Bulk", body).await.is(200);
        let results = done["Operations"].as_array().unwrap();
        assert!(results.iter().all(|r| r["status"] == "201"), "{done}");
        assert_eq!(
            member_ids(&c).await.len(),
            4,
            "the first is who was there, the others are new"
        );
        let notes: Vec<bool> = events(&c)
            .await
            .iter()
            .map(|e| e.reason.is_some())
            .collect();
        assert_eq!(notes, [false, false, true, true]);
    });
}

#[test]
fn of_parallel_users_with_the_address_of_one_member_exactly_one_is_that_member() {
    run(async {
        needs_parallel_connections();
        let c = Client::start().await;
        someone(&c, true).await;
        let posts = (0..16).map(|n| {
            let c = c.clone();
            async move {
                let name = format!("u{n}");
                c.post("/Users", user(&name, mail("known@b.com")))
                    .await
                    .is(201);
            }
        });
        futures_util::future::join_all(posts).await;
        let found = members(&c).await;
        assert_eq!(found.len(), 16, "{found:?}");
        assert_eq!(
            found.iter().filter(|member| member.role == "admin").count(),
            1
        );
        let linked: Vec<(i64,)> = c
            .rows("select count(distinct user_id) from scim_users where organization_id = $1 and scim_configuration_id = $2")
            .await;
        assert_eq!(linked[0].0, 16);
    });
}

#[test]
fn who_comes_back_under_another_name_is_the_same_user() {
    run(async {
        let c = Client::start().await;
        let set = |active: bool| json!([{ "op": "replace", "path": "active", "value": active }]);
        let mut more = mail("bob@b.com");
        more["externalId"] = json!("x1");
        more["title"] = json!("Boss");
        let bob = c.user("bob", more).await;
        let team = c.group("Team", &[&bob]).await;
        let before = member_ids(&c).await;
        let back = || {
            let mut more = mail("robert@b.com");
            more["externalId"] = json!("x1");
            user("robert", more)
        };
        // Whoever is active is somebody else.
        c.post("/Users", back()).await.refused(409, "uniqueness");
        c.patch(&path(&bob), set(false)).await.is(200);
        assert_eq!(status(&c).await, "suspended");

        let reply = c.post("/Users", back()).await;
        let robert = reply.is(201);
        assert_eq!(robert["id"], bob["id"]);
        assert_eq!(reply.headers["location"], *text(&bob["meta"]["location"]));
        assert_eq!(robert["userName"], "robert");
        assert_eq!(robert["active"], true);
        assert_eq!(
            robert.get("title"),
            None,
            "attributes are as they were sent"
        );
        assert_eq!(robert["meta"]["created"], bob["meta"]["created"]);
        assert_ne!(robert["meta"]["version"], bob["meta"]["version"]);
        assert_eq!(robert["groups"][0]["value"], team["id"]);
        assert_eq!(
            (member_ids(&c).await, status(&c).await),
            (before, "active".to_owned())
        );
        assert_eq!(members(&c).await[0].email, "robert@b.com");
        let events = events(&c).await;
        let last = events.last().unwrap();
        assert_eq!(
            (&*last.outcome, &*last.method, last.status),
            ("created", "POST", 201)
        );
        assert!(
            last.reason.as_deref().unwrap().contains("came back"),
            "{last:?}"
        );
        assert_eq!(c.names("externalId eq \"x1\"").await, ["robert"]);
        c.post("/Users", back()).await.refused(409, "uniqueness");

        // The same name with another externalId is a conflict, whether or not it is active.
        c.patch(&path(&bob), set(false)).await.is(200);
        let other = user("robert", json!({ "externalId": "x2" }));
        c.post("/Users", other).await.refused(409, "uniqueness");
        // And so is the name of somebody else.
        c.user("carl", json!({})).await;
        let other = user("carl", json!({ "externalId": "x1" }));
        c.post("/Users", other).await.refused(409, "uniqueness");
        assert_eq!(
            c.read(&bob).await["userName"],
            "robert",
            "and nothing was changed"
        );
        // The same name is no other name.
        c.post("/Users", back()).await.is(201);
    });
}

#[test]
fn who_comes_back_in_a_bulk_request_is_the_same_user() {
    run(async {
        let c = Client::start().await;
        let gone = json!({ "externalId": "x1", "active": false });
        let bob = c.user("bob", gone).await;
        let make = |name: &str, more: Value| json!({ "method": "POST", "path": "/Users", "bulkId": name, "data": user(name, more) });
        let operations = json!([
            make("new", json!({})),
            make("robert", json!({ "externalId": "x1" }))
        ]);
        let body = json!({ "schemas": [BULK], "Operations": operations });
        let done = c.post("/Bulk", body).await.is(200);
        let results = done["Operations"].as_array().unwrap();
        assert!(results.iter().all(|r| r["status"] == "201"), "{done}");
        assert_eq!(results[1]["location"], bob["meta"]["location"]);
        assert_eq!(c.read(&bob).await["userName"], "robert");
    });
}

#[test]
fn references_in_a_bulk_request_lead_to_who_came_back() {
    run(async {
        let c = Client::start().await;
        let bob = c
            .user("bob", json!({ "externalId": "x1", "active": false }))
            .await;
        let team =
            json!({ "schemas": [G], "displayName": "Team", "members": [{ "value": "bulkId:b" }] });
        let body = json!({ "schemas": [BULK], "Operations": [
            { "method": "POST", "path": "/Users", "bulkId": "b", "data": user("robert", json!({ "externalId": "x1" })) },
            { "method": "POST", "path": "/Groups", "bulkId": "g", "data": team },
            { "method": "PATCH", "path": "/Users/bulkId:b", "data": { "Operations": [{ "op": "add", "path": "title", "value": "T" }] } },
        ] });
        let done = c.post("/Bulk", body).await.is(200);
        let results = done["Operations"].as_array().unwrap();
        let statuses: Vec<&Value> = results.iter().map(|r| &r["status"]).collect();
        assert_eq!(statuses, ["201", "201", "200"], "{done}");
        let back = c.read(&bob).await;
        assert_eq!(back["title"], "T");
        assert_eq!(back["groups"][0]["display"], "Team");
    });
}

#[test]
fn who_comes_back_need_not_say_to_be_active() {
    run(async {
        let c = Client::start().await;
        let bob = c
            .user("bob", json!({ "externalId": "x1", "active": false }))
            .await;
        let op = json!([{ "op": "remove", "path": "active" }]);
        c.patch(&path(&bob), op).await.is(200);
        assert_eq!(
            status(&c).await,
            "suspended",
            "nobody said that access is restored"
        );
        let back = c
            .post("/Users", user("robert", json!({ "externalId": "x1" })))
            .await;
        assert_eq!(back.is(201)["id"], bob["id"]);
        assert_eq!(status(&c).await, "active");
    });
}

#[test]
fn an_inactive_user_of_another_configuration_does_not_come_back() {
    run(async {
        let a = Client::start().await;
        let b = a.beside(json!({})).await;
        let gone = json!({ "externalId": "x1", "active": false });
        let bob = a.user("bob", gone).await;
        let other = b.user("bob", json!({ "externalId": "x1" })).await;
        assert_ne!(other["id"], bob["id"]);
        assert_eq!(a.read(&bob).await["active"], false);
        assert_eq!(member_ids(&a).await.len(), 2);
    });
}

/// Lets the member who was there before have this address, unverified.
async fn give_address(c: &Client, address: &str) {
    let mut db = c.server.app.store.acquire().await.unwrap();
    sqlx::query("update users set email = $2, email_key = lower($2), email_verified = false where organization_id = $1 and role = 'admin'")
        .bind(c.server.organization_id().as_uuid())
        .bind(address)
        .execute(&mut *db)
        .await
        .unwrap();
}

#[test]
fn an_address_of_a_domain_that_the_organization_verified_is_linked() {
    run(async {
        let c = Client::start().await;
        someone(&c, false).await;
        let domain = c.server.new_domain();
        give_address(&c, &format!("Known@{domain}")).await;
        let bob = || user("bob", mail(&format!("KNOWN@{domain}")));
        // A member of its own, who leaves no trace.
        let is_not_linked = async || {
            let bob = c.post("/Users", bob()).await.is(201);
            assert_eq!(members(&c).await.len(), 2);
            c.delete(&path(&bob)).await.is(204);
            c.execute("delete from users where organization_id = $1 and status = 'left' and $2 is not null")
                .await;
            c.execute(
                "delete from scim_former_users where organization_id = $1 and $2 is not null",
            )
            .await;
        };

        is_not_linked().await;
        let neighbour = c.server.neighbour().await;
        let theirs = neighbour.verified_domain(&domain).await;
        is_not_linked().await;
        let request = json!({ "domainVerificationId": theirs["id"] });
        neighbour
            .call("DeleteDomainVerification", request)
            .await
            .ok();
        let ours = c.server.domain(&domain).await;
        is_not_linked().await;

        c.server.publish(&ours);
        let request = json!({ "domainVerificationId": ours["id"] });
        c.server.call("VerifyDomain", request).await.ok();
        c.post("/Users", bob()).await.is(201);
        let found = members(&c).await;
        assert_eq!(found.len(), 1);
        assert_eq!(
            (&*found[0].role, found[0].email_verified),
            ("admin", false),
            "the person proved nothing"
        );
    });
}

#[test]
fn a_verified_domain_says_nothing_of_the_domains_around_it() {
    run(async {
        let c = Client::start().await;
        someone(&c, false).await;
        let domain = c.server.new_domain();
        c.server.verified_domain(&domain).await;
        for (n, address) in [
            format!("known@sub.{domain}"),
            format!("known@not{domain}"),
            format!("known@{domain}@evil.example"),
            domain,
        ]
        .iter()
        .enumerate()
        {
            give_address(&c, address).await;
            let bob = c.user(&format!("bob{n}"), mail(address)).await;
            assert!(
                note(&c).await.starts_with("address shared with"),
                "{address}"
            );
            c.delete(&path(&bob)).await.is(204);
        }
    });
}

#[test]
fn two_configurations_share_a_member_and_nothing_else() {
    run(async {
        let a = Client::start().await;
        someone(&a, true).await;
        let b = a.beside(json!({})).await;
        let (ua, ub) = (
            a.user("known", mail("known@b.com")).await,
            b.user("known", mail("known@b.com")).await,
        );
        assert_ne!(ua["id"], ub["id"]);
        assert_eq!(members(&a).await.len(), 1);
        // Either may suspend; both must restore.
        let set = |active: bool| json!([{ "op": "replace", "path": "active", "value": active }]);
        a.patch(&path(&ua), set(false)).await.is(200);
        assert_eq!(status(&a).await, "suspended");
        b.patch(&path(&ub), set(false)).await.is(200);
        a.patch(&path(&ua), set(true)).await.is(200);
        assert_eq!(status(&a).await, "suspended");
        b.patch(&path(&ub), set(true)).await.is(200);
        assert_eq!(status(&a).await, "active");
        assert_eq!(a.read(&ua).await["active"], true);
        a.delete(&path(&ua)).await.is(204);
        assert_eq!(
            status(&a).await,
            "active",
            "the other configuration still has the member"
        );
        b.delete(&path(&ub)).await.is(204);
        assert_eq!(status(&a).await, "left");
    });
}

#[test]
fn a_member_of_a_deleted_configuration_is_what_the_others_say() {
    run(async {
        let a = Client::start().await;
        someone(&a, true).await;
        let b = a.beside(json!({})).await;
        let of_a = path(&a.user("known", mail("known@b.com")).await);
        b.user("known", mail("known@b.com")).await;
        let set = json!([{ "op": "replace", "path": "active", "value": false }]);
        a.patch(&of_a, set).await.is(200);
        assert_eq!(status(&a).await, "suspended");
        let by_id = json!({ "scimConfigurationId": a.configuration });
        a.server.call("DeleteSCIMConfiguration", by_id).await.ok();
        assert_eq!(status(&b).await, "active");
    });
}

#[test]
fn attack_user_that_came_while_its_configuration_was_deleted() {
    run(async {
        let a = Client::start().await;
        someone(&a, true).await;
        let b = a.beside(json!({})).await;
        a.user("known", mail("known@b.com")).await;
        let of_b = path(&b.user("known", mail("known@b.com")).await);
        // The deletion did not see the user, and nothing of the configuration can delete it any more.
        a.execute("delete from scim_configurations where organization_id = $1 and id = $2")
            .await;
        b.delete(&of_b).await.is(204);
        assert_eq!(status(&b).await, "left");
    });
}

#[test]
fn a_change_of_a_user_shows_what_has_to_be_looked_up_for_it() {
    run(async {
        let c = Client::start().await;
        let boss = c.user("boss", json!({ "displayName": "Boss" })).await;
        let manager = json!({ "manager": { "value": boss["id"] } });
        let ada = c.user("ada", json!({ E: manager })).await;
        // One connection has to be enough for both.
        for (name, value) in [("title", json!("Dr.")), ("active", json!(false))] {
            let set = json!([{ "op": "replace", "path": name, "value": value }]);
            let changed = c.patch(&path(&ada), set).await.is(200);
            assert_eq!(changed[E]["manager"]["displayName"], "Boss", "{name}");
        }
    });
}

#[test]
fn who_is_suspended_by_one_configuration_is_not_restored_by_a_change_of_another() {
    run(async {
        let a = Client::start().await;
        someone(&a, true).await;
        let b = a.beside(json!({})).await;
        let of_a = path(&a.user("known", mail("known@b.com")).await);
        let of_b = path(&b.user("known", mail("known@b.com")).await);
        let set = |active: bool| json!([{ "op": "replace", "path": "active", "value": active }]);
        for _ in 0..20 {
            a.patch(&of_a, set(true)).await.is(200);
            b.patch(&of_b, set(false)).await.is(200);
            // Each of the two could see what was before the other.
            let (suspended, restored) =
                tokio::join!(a.patch(&of_a, set(false)), b.patch(&of_b, set(true)));
            suspended.is(200);
            restored.is(200);
            assert_eq!(status(&a).await, "suspended");
        }
    });
}

#[test]
fn attack_body_that_goes_on_after_its_token_was_replaced() {
    run(async {
        let client = Client::start().await;
        let (server, configuration) = (client.server.clone(), client.configuration.clone());
        let body = json!({ "schemas": [U], "userName": "late" }).to_string();
        let (first, second) = body.split_at(10);
        let (first, second) = (first.to_owned(), second.to_owned());
        let begin = async move { Ok::<_, std::io::Error>(first) };
        let go_on = async move {
            let by_id = json!({ "scimConfigurationId": configuration });
            server.call("RegenerateSCIMToken", by_id).await.ok();
            server.pass(TimeDelta::seconds(2));
            Ok(second)
        };
        let body = stream::once(begin.boxed()).chain(stream::once(go_on.boxed()));
        let request = Request::post("/scim/v2/Users")
            .header(header::AUTHORIZATION, format!("Bearer {}", client.token))
            .body(Body::from_stream(body));
        let reply = client.server.send(request.unwrap()).await;
        assert_eq!(reply.status, 401, "{:?}", reply.bytes);
        assert!(members(&client).await.is_empty());
    });
}

#[test]
fn other_tenants_are_out_of_reach() {
    run(async {
        let mine = Client::start().await;
        for theirs in [mine.beside(json!({})).await, mine.neighbour().await] {
            let victim = theirs
                .user("victim", json!({ "externalId": "v", "displayName": "V" }))
                .await;
            let team = theirs.group("Victims", &[&victim]).await;
            let before = (theirs.read(&victim).await, theirs.read(&team).await);
            let op = json!([{ "op": "replace", "path": "displayName", "value": "X" }]);
            for resource in [&victim, &team] {
                let at = path(resource);
                mine.get(&at).await.refused(404, "");
                mine.put(
                    &at,
                    user(
                        "victim",
                        json!({ "displayName": "X", "schemas": resource["schemas"] }),
                    ),
                )
                .await
                .refused(404, "");
                mine.patch(&at, op.clone()).await.refused(404, "");
                mine.delete(&at).await.refused(404, "");
                let any = [("if-match", "*")];
                mine.send("DELETE", &at, &any, "").await.refused(404, "");
                let whole =
                    json!({ "schemas": resource["schemas"], "userName": "x", "displayName": "X" });
                let operations = json!([
                    { "method": "PUT", "path": at, "data": whole },
                    { "method": "PATCH", "path": at, "data": { "Operations": op } },
                    { "method": "DELETE", "path": at },
                ]);
                let done = mine
                    .post(
                        "/Bulk",
                        json!({ "schemas": [BULK], "Operations": operations }),
                    )
                    .await
                    .is(200);
                for result in done["Operations"].as_array().unwrap() {
                    assert_eq!(result["status"], "404", "{result}");
                    assert!(!result.to_string().contains("Victims"));
                }
            }
            // Lists, filters and searches.
            for (endpoint, filter) in [
                ("/Users", format!("id eq {}", victim["id"])),
                (
                    "/Users",
                    format!("id eq \"x\" or id eq {} or userName pr", victim["id"]),
                ),
                ("/Users", r#"externalId eq "v""#.to_owned()),
                ("/Users", format!("groups.value eq {}", team["id"])),
                ("/Users", r#"not (userName eq "nobody")"#.to_owned()),
                ("/Groups", format!("members eq {}", victim["id"])),
                ("/Groups", r#"displayName pr"#.to_owned()),
            ] {
                let found = mine.found(endpoint, &filter).await;
                let foreign = found
                    .iter()
                    .any(|r| r["id"] == victim["id"] || r["id"] == team["id"]);
                assert!(!foreign, "{filter}: {found:?}");
            }
            let all = mine
                .post("/.search", json!({ "schemas": [SEARCH], "count": 1000 }))
                .await;
            assert!(!String::from_utf8_lossy(&all.bytes).contains("ictim"));
            // Their user as a member, and as a manager, never resolves.
            let lure = mine.group("Lure", &[&victim]).await;
            assert_eq!(lure["members"], json!([{ "value": victim["id"] }]));
            let boss = mine
                .user(
                    &text(&theirs.configuration),
                    json!({ E: { "manager": { "value": victim["id"] } } }),
                )
                .await;
            assert_eq!(boss[E]["manager"], json!({ "value": victim["id"] }));
            assert_eq!(
                (theirs.read(&victim).await, theirs.read(&team).await),
                before
            );
            assert_eq!(before.0["groups"].as_array().unwrap().len(), 1);
            // The same names are free here.
            let twin = mine.user("victim", json!({ "externalId": "v" })).await;
            mine.delete(&path(&twin)).await.is(204);
            assert_eq!(theirs.read(&victim).await, before.0);
            mine.delete(&path(&lure)).await.is(204);
        }
    });
}

#[test]
fn a_cursor_is_worth_nothing_to_others() {
    run(async {
        let mine = Client::start().await;
        for theirs in [mine.beside(json!({})).await, mine.neighbour().await] {
            for n in 0..3 {
                theirs.user(&format!("u{n}"), json!({})).await;
            }
            let page = theirs.get("/Users?cursor=&count=1").await.is(200);
            let next = text(&page["nextCursor"]);
            let stolen = format!("/Users?cursor={next}&count=1");
            mine.get(&stolen).await.refused(400, "invalidCursor");
            theirs.get(&stolen).await.is(200);
        }
    });
}

#[test]
fn disabled_expired_and_replaced() {
    run(async {
        let c = Client::start().await;
        let bob = c.user("bob", json!({})).await;
        let request = |more: Value| {
            let mut request = json!({ "scimConfigurationId": c.configuration });
            crate::support::merge(&mut request, more);
            request
        };
        let server = &c.server;
        server
            .call(
                "UpdateSCIMConfiguration",
                request(json!({ "enabled": false })),
            )
            .await
            .ok();
        for path in ["/Users", "/ServiceProviderConfig", "/Schemas"] {
            c.get(path).await.refused(403, "");
        }
        c.post("/Users", user("carl", json!({})))
            .await
            .refused(403, "");
        c.delete(&path(&bob)).await.refused(403, "");
        server
            .call(
                "UpdateSCIMConfiguration",
                request(json!({ "enabled": true })),
            )
            .await
            .ok();
        c.read(&bob).await;

        let again = server
            .call(
                "RegenerateSCIMToken",
                request(json!({ "tokenExpiresIn": "86400s" })),
            )
            .await
            .ok();
        c.get("/Users").await.refused(401, "");
        let renewed = Client {
            token: text(&again["token"]),
            ..c.clone()
        };
        renewed.read(&bob).await;
        server.pass(TimeDelta::seconds(86_399));
        renewed.read(&bob).await;
        server.pass(TimeDelta::seconds(1));
        renewed.get("/Users").await.refused(401, "");

        // An administrator's token of the organization is none of a configuration.
        let admin = Client {
            token: server.token.clone(),
            ..c.clone()
        };
        admin.get("/Users").await.refused(401, "");
    });
}

/// A token that has verified is remembered, and a user is added by the statement that looks at the token: the row decides, not
/// the memory.
#[test]
fn attack_a_remembered_token_adds_nobody_when_it_ended() {
    run(async {
        let c = Client::start().await;
        c.user("remembered", json!({})).await;
        let id = &c.configuration;
        let of_it = |more: Value| {
            let mut request = json!({ "scimConfigurationId": id });
            crate::support::merge(&mut request, more);
            request
        };
        let change =
            async |method: &str, more: Value| c.server.call(method, of_it(more)).await.ok();
        let refused = async |status: u16| {
            for body in [user("mallory", json!({})), json!({ "schemas": [U] })] {
                c.post("/Users", body).await.refused(status, "");
            }
            let not_json = c.send("POST", "/Users", &[], "{").await;
            not_json.refused(status, "");
        };

        change("UpdateSCIMConfiguration", json!({ "enabled": false })).await;
        refused(403).await;
        change("UpdateSCIMConfiguration", json!({ "enabled": true })).await;
        c.user("enabled", json!({})).await;

        let renewed = change("RegenerateSCIMToken", json!({ "tokenExpiresIn": "86400s" })).await;
        refused(401).await;
        let c = Client {
            token: text(&renewed["token"]),
            ..c.clone()
        };
        let before = c.user("renewed", json!({})).await;
        c.post("/Users", user("renewed", json!({})))
            .await
            .refused(409, "uniqueness");
        c.server.pass(TimeDelta::days(1));
        c.post("/Users", user("late", json!({})))
            .await
            .refused(401, "");

        let renewed = c.server.call("RegenerateSCIMToken", of_it(json!({}))).await;
        let c = Client {
            token: text(&renewed.ok()["token"]),
            ..c.clone()
        };
        c.read(&before).await;
        assert_eq!(
            c.names("userName pr").await,
            ["enabled", "remembered", "renewed"]
        );
        c.server
            .call("DeleteSCIMConfiguration", of_it(json!({})))
            .await
            .ok();
        c.post("/Users", user("gone", json!({})))
            .await
            .refused(401, "");
    });
}

/// How many rows of the configuration each table has that has some of configurations.
async fn rows_of_the_configuration(c: &Client) -> BTreeMap<String, i64> {
    let mut db = c.server.app.store.acquire().await.unwrap();
    let tables: Vec<String> = query_scalar(
        "select table_name::text from information_schema.columns
         where table_schema = current_schema() and column_name = 'scim_configuration_id'",
    )
    .fetch_all(&mut *db)
    .await
    .unwrap();
    let mut rows = BTreeMap::new();
    for table in tables {
        let count = format!(
            "select count(*) from {table} where organization_id = $1 and scim_configuration_id = $2"
        );
        let count: i64 = query_scalar(AssertSqlSafe(count))
            .bind(c.server.organization_id().as_uuid())
            .bind(text(&c.configuration).parse::<Uuid>().unwrap())
            .fetch_one(&mut *db)
            .await
            .unwrap();
        rows.insert(table, count);
    }
    rows
}

#[test]
fn a_deleted_configuration_leaves_nothing_that_answers() {
    run(async {
        let c = Client::start().await;
        let bob = c.user("bob", mail("bob@b.com")).await;
        let gone = c.user("gone", json!({})).await;
        c.delete(&path(&gone)).await.is(204);
        let team = c.group("Team", &[]).await;
        let op = json!([{ "op": "add", "path": "members", "value": [{ "value": bob["id"] }] }]);
        c.patch(&path(&team), op).await.is(200);
        let before = rows_of_the_configuration(&c).await;
        assert!(before.len() > 5, "{before:?}");
        let empty: Vec<_> = before.iter().filter(|(_, count)| **count == 0).collect();
        assert!(
            empty.is_empty(),
            "nothing shows that they are emptied: {empty:?}"
        );

        let request = json!({ "scimConfigurationId": c.configuration });
        c.server.call("DeleteSCIMConfiguration", request).await.ok();
        c.get("/Users").await.refused(401, "");
        let after = rows_of_the_configuration(&c).await;
        let left: Vec<_> = after.iter().filter(|(_, count)| **count != 0).collect();
        assert!(left.is_empty(), "{left:?}");
    });
}

/// A row of the configuration's log.
#[derive(Debug, FromRow)]
struct Event {
    outcome: String,
    method: String,
    status: i16,
    path: String,
    resource_type: Option<String>,
    resource_id: Option<Uuid>,
    changes: Option<Value>,
    reason: Option<String>,
    traits: Vec<String>,
}

async fn events(c: &Client) -> Vec<Event> {
    c.rows(
        "select outcome, method, status, path, resource_type, resource_id, changes, reason, traits from scim_events
         where organization_id = $1 and scim_configuration_id = $2 order by id",
    )
    .await
}

#[test]
fn every_change_and_every_refusal_leaves_an_event() {
    run(async {
        let c = Client::start().await;
        let bob = c
            .user(
                "bob",
                json!({ "password": "s3cret-1mz050nq", "active": "True" }),
            )
            .await;
        c.server.pass(TimeDelta::milliseconds(1));
        let op = json!([{ "op": "Replace", "value": { "name.givenName": "Bob", "password": "s3cret-2" } }]);
        c.patch(&path(&bob), op).await.is(200);
        c.server.pass(TimeDelta::milliseconds(1));
        c.post("/Users", user("bob", json!({ "password": "s3cret-3" })))
            .await
            .refused(409, "uniqueness");
        c.server.pass(TimeDelta::milliseconds(1));
        c.get("/Users/unknown").await.refused(404, "");
        c.server.pass(TimeDelta::milliseconds(1));
        let team = c.group("Team", &[]).await;
        c.server.pass(TimeDelta::milliseconds(1));
        let op = json!([{ "op": "add", "path": "members", "value": [{ "value": bob["id"] }] }]);
        c.patch(&path(&team), op).await.is(200);
        c.server.pass(TimeDelta::milliseconds(1));
        c.delete(&path(&team)).await.is(204);
        c.server.pass(TimeDelta::milliseconds(1));
        c.delete(&path(&bob)).await.is(204);
        // Someone without a token leaves no trace in the log of the tenant.
        c.send("GET", "/Users", &[("authorization", "Bearer x")], "")
            .await
            .refused(401, "");

        let events = events(&c).await;
        let summary: Vec<(&str, &str, i16)> = events
            .iter()
            .map(|e| (&*e.outcome, &*e.method, e.status))
            .collect();
        assert_eq!(
            summary,
            [
                ("created", "POST", 201),
                ("updated", "PATCH", 200),
                ("refused", "POST", 409),
                ("refused", "GET", 404),
                ("created", "POST", 201),
                ("updated", "PATCH", 200),
                ("deleted", "DELETE", 204),
                ("deleted", "DELETE", 204),
            ]
        );
        let id: Uuid = text(&bob["id"]).parse().unwrap();
        assert_eq!(
            (events[0].resource_type.as_deref(), events[0].resource_id),
            (Some("User"), Some(id))
        );
        assert_eq!(events[1].path, path(&bob));
        assert_eq!(events[0].traits, ["string booleans"]);
        assert_eq!(
            events[1].traits,
            ["operations in other case", "path-less dotted keys"]
        );
        assert_eq!(
            events[1].changes,
            Some(json!([{ "attribute": "name", "new": { "givenName": "Bob" } }]))
        );
        assert!(events[2].reason.as_deref().unwrap().contains("userName"));
        let changes = events[5].changes.clone().unwrap();
        assert_eq!(changes[0]["new"], json!([bob["id"]]));
        assert!(!format!("{events:?}").contains("s3cret"), "{events:?}");
        let stored: Vec<(String,)> = c
            .rows("select row_to_json(u)::text from users u where organization_id = $1 and $2 is distinct from id")
            .await;
        assert!(!format!("{stored:?}").contains("s3cret"));
    });
}

#[test]
fn a_request_that_changes_nothing_leaves_no_event() {
    run(async {
        let c = Client::start().await;
        let bob = c.user("bob", json!({})).await;
        c.server.pass(TimeDelta::milliseconds(1));
        c.patch(
            &path(&bob),
            json!([{ "op": "replace", "path": "active", "value": true }]),
        )
        .await
        .is(200);
        let outcomes: Vec<String> = events(&c).await.into_iter().map(|e| e.outcome).collect();
        assert_eq!(outcomes, ["created"]);
    });
}

#[test]
fn an_event_tells_of_members_once_and_only_of_real_changes() {
    run(async {
        let c = Client::start().await;
        let bob = c.user("bob", json!({})).await;
        let team = c.group("Team", &[&bob]).await;
        let before = events(&c).await.len();
        c.server.pass(TimeDelta::milliseconds(1));
        let op = json!([{ "op": "replace", "path": "members", "value": [] }]);
        c.patch(&path(&team), op).await.is(200);
        let after = events(&c).await;
        assert_eq!(after.len(), before + 1);
        let changes = after.last().unwrap().changes.clone().unwrap();
        assert_eq!(
            changes[0]["attribute"], "members",
            "who lost access must be told: {changes}"
        );
        assert_eq!(changes[0]["old"], json!(ids(&[&bob])));
    });
}

#[test]
fn a_bulk_operation_leaves_an_event_of_its_own() {
    run(async {
        let c = Client::start().await;
        let operations = json!([
            { "method": "POST", "path": "/Users", "bulkId": "a", "data": user("a", json!({})) },
            { "method": "POST", "path": "/Users", "bulkId": "b", "data": user("a", json!({})) },
            { "method": "POST", "path": "/Groups", "bulkId": "g", "data": group("G", &[]) },
        ]);
        let done = c
            .post(
                "/Bulk",
                json!({ "schemas": [BULK], "Operations": operations }),
            )
            .await
            .is(200);
        let statuses: Vec<&Value> = done["Operations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|o| &o["status"])
            .collect();
        assert_eq!(statuses, ["201", "409", "201"]);
        let mut outcomes: Vec<String> = events(&c).await.into_iter().map(|e| e.outcome).collect();
        outcomes.sort();
        assert_eq!(outcomes, ["created", "created", "refused"]);
    });
}

#[test]
fn a_member_that_comes_later_joins() {
    run(async {
        let c = Client::start().await;
        let later = c.group("Inner", &[]).await;
        let outer = json!({ "schemas": [G], "displayName": "Outer", "members": [{ "value": "not-yet" }, { "value": later["id"] }] });
        let outer = c.post("/Groups", outer).await.is(201);
        let filter = [("filter", "members.value eq \"not-yet\"")];
        assert_eq!(
            c.get(&format!("/Groups?{}", encode(&filter))).await.is(200)["totalResults"],
            1
        );
        let member = |shown: &Value, id: &Value| {
            shown["members"]
                .as_array()
                .unwrap()
                .iter()
                .find(|m| m["value"] == *id)
                .unwrap()
                .clone()
        };
        assert_eq!(
            member(&outer, &json!("not-yet")),
            json!({ "value": "not-yet" })
        );
        assert_eq!(member(&outer, &later["id"])["type"], "Group");
        // With bulk, an id is known before its resource is there.
        let operations = json!([
            { "method": "POST", "path": "/Groups", "bulkId": "g", "data": { "schemas": [G], "displayName": "F", "members": [{ "value": "bulkId:u" }] } },
            { "method": "POST", "path": "/Users", "bulkId": "u", "data": user("u", json!({})) },
        ]);
        let done = c
            .post(
                "/Bulk",
                json!({ "schemas": [BULK], "Operations": operations }),
            )
            .await
            .is(200);
        let shown = c.found("/Groups", r#"displayName eq "F""#).await;
        assert_eq!(
            shown[0]["members"][0]["$ref"],
            done["Operations"][1]["location"]
        );
    });
}

#[test]
fn who_comes_back_with_another_address_has_not_verified_it() {
    run(async {
        let c = Client::start().await;
        let bob = c.user("bob", mail("bob@b.com")).await;
        c.execute(
            "update users set email_verified = true where organization_id = $1 and $2 is not null",
        )
        .await;
        c.delete(&path(&bob)).await.is(204);
        c.user("bob", mail("the-boss@b.com")).await;
        let back = members(&c).await;
        assert_eq!(back.len(), 1, "the same member: {back:?}");
        assert_eq!(
            (&*back[0].email, back[0].email_verified),
            ("the-boss@b.com", false)
        );
    });
}
