//! Groups that the organization makes, and who is in them.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{group, member, membership, put_into};
use crate::support::scim::Client;
use crate::support::{Server, needs_parallel_connections, run};

async fn call(server: &Server, method: &str, request: Value) -> crate::support::Reply {
    server
        .call_to(&format!("GroupService/{method}"), request)
        .await
}

#[test]
fn a_group_is_made_found_renamed_and_deleted() {
    run(async {
        let server = Server::start().await;
        let request = json!({
            "organizationId": server.organization, "name": "Builders", "description": "They build",
        });
        let made = call(&server, "CreateGroup", request.clone()).await.ok()["group"].clone();
        assert_eq!(
            (&made["name"], &made["description"]),
            (&json!("Builders"), &json!("They build"))
        );
        let again = json!({ "organizationId": server.organization, "name": "BUILDERS" });
        call(&server, "CreateGroup", again)
            .await
            .error("already_exists");
        for which in [json!({ "id": made["id"] }), json!({ "name": "Builders" })] {
            assert_eq!(call(&server, "GetGroup", which).await.ok()["group"], made);
        }
        let renamed = json!({ "groupId": made["id"], "name": "Makers" });
        let renamed = call(&server, "UpdateGroup", renamed).await.ok()["group"].clone();
        assert_eq!(
            (
                &renamed["name"],
                &renamed["description"],
                &renamed["createdAt"]
            ),
            (&json!("Makers"), &Value::Null, &made["createdAt"]),
            "what is left out of it is empty then"
        );
        for name in ["Makers ", "   ", "Ma\nkers"] {
            let request = json!({ "organizationId": server.organization, "name": name });
            let blank = call(&server, "CreateGroup", request).await;
            assert_eq!(blank.violations(), ["name"], "{name:?}");
        }
        let id = json!({ "groupId": made["id"] });
        call(&server, "DeleteGroup", id.clone()).await.ok();
        call(&server, "DeleteGroup", id).await.error("not_found");
        let log = server.audit("group").await;
        let actions: Vec<&str> = log.iter().map(|(action, ..)| &**action).collect();
        assert_eq!(actions, ["CreateGroup", "UpdateGroup", "DeleteGroup"]);
    });
}

#[test]
fn both_kinds_of_groups_are_in_one_list_and_pushed_ones_are_only_read() {
    run(async {
        let c = Client::start().await;
        let server = &c.server;
        let user = c.user("ada@example.com", json!({})).await;
        let pushed = c.group("Pushed", &[&user]).await["id"].clone();
        let own = group(server).await;
        let list = call(server, "ListGroups", json!({})).await.ok()["groups"].clone();
        let kinds: Vec<_> = list
            .as_array()
            .unwrap()
            .iter()
            .map(|g| (&g["id"], &g["systemManaged"]))
            .collect();
        assert_eq!(
            kinds,
            [(&pushed, &json!(true)), (&json!(own), &Value::Null)]
        );
        for (managed, id) in [(true, &pushed), (false, &json!(own))] {
            let filter = json!({ "filter": { "systemManaged": managed } });
            let some = call(server, "ListGroups", filter).await.ok()["groups"].clone();
            assert_eq!(some.as_array().unwrap().len(), 1);
            assert_eq!(some[0]["id"], *id);
        }
        let id = member(server, "grace").await;
        for (method, request) in [
            (
                "UpdateGroup",
                json!({ "groupId": pushed, "name": "Renamed" }),
            ),
            ("DeleteGroup", json!({ "groupId": pushed })),
            (
                "CreateMembership",
                membership(pushed.as_str().unwrap(), &id),
            ),
        ] {
            let message = call(server, method, request)
                .await
                .error("failed_precondition");
            assert!(message.contains("SCIM"), "{method}: {message}");
        }
        let members = json!({ "groupId": pushed });
        let members = call(server, "ListMemberships", members).await.ok()["members"].clone();
        let request = json!({ "groupId": pushed, "subject": members[0]["subject"] });
        let one = call(server, "GetMembership", request).await.ok();
        assert_eq!(one["member"], members[0]);
        let request = json!({ "membershipId": members[0]["id"] });
        let message = call(server, "DeleteMembership", request)
            .await
            .error("not_found");
        assert!(message.contains("identity provider"), "{message}");
    });
}

#[test]
fn members_and_service_accounts_are_in_a_group_until_they_leave() {
    run(async {
        let server = Server::start().await;
        let (own, ada) = (group(&server).await, member(&server, "Ada").await);
        let account = json!({ "name": "Builder", "validUntil": "2100-01-01T00:00:00Z" });
        let account = server
            .call_to("ServiceAccountService/CreateServiceAccount", account)
            .await
            .ok();
        let account = account["serviceAccount"]["id"].clone();
        let id = put_into(&server, &own, &ada).await;
        let program = json!({
            "groupId": own,
            "subject": { "id": account, "principal": "PRINCIPAL_SERVICE_ACCOUNT" },
        });
        call(&server, "CreateMembership", program.clone())
            .await
            .ok();
        call(&server, "CreateMembership", program)
            .await
            .error("already_exists");
        let list = async || {
            let members = json!({ "groupId": own });
            let members = call(&server, "ListMemberships", members).await.ok();
            let names = members["members"].as_array().cloned().unwrap_or_default();
            names
                .iter()
                .map(|m| m["name"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(list().await, ["Ada", "Builder"]);
        for search in ["ADA", &*ada] {
            let request = json!({ "groupId": own, "filter": { "search": search } });
            let found = call(&server, "ListMemberships", request).await.ok();
            assert_eq!(found["members"].as_array().unwrap().len(), 1, "{search}");
        }
        // A member is no service account, and the other way round.
        let wrong = json!({
            "groupId": own, "subject": { "id": ada, "principal": "PRINCIPAL_SERVICE_ACCOUNT" },
        });
        call(&server, "CreateMembership", wrong)
            .await
            .error("not_found");
        let runner = json!({
            "groupId": own, "subject": { "id": ada, "principal": "PRINCIPAL_RUNNER" },
        });
        let runner = call(&server, "CreateMembership", runner).await;
        assert_eq!(runner.violations(), ["subject.principal"]);

        server
            .call_to("UserService/DeleteUser", json!({ "userId": ada }))
            .await
            .ok();
        assert_eq!(list().await, ["Builder"]);
        call(&server, "CreateMembership", membership(&own, &ada))
            .await
            .error("not_found");
        call(&server, "DeleteMembership", json!({ "membershipId": id }))
            .await
            .error("not_found");
        let gone = json!({ "serviceAccountId": account });
        server
            .call_to("ServiceAccountService/DeleteServiceAccount", gone)
            .await
            .ok();
        assert!(list().await.is_empty());
    });
}

#[test]
fn nobody_is_in_a_group_that_is_deleted_at_the_same_time() {
    needs_parallel_connections();
    run(async {
        let server = Server::start().await;
        let ada = member(&server, "ada").await;
        for _ in 0..8 {
            let own = group(&server).await;
            let add = call(&server, "CreateMembership", membership(&own, &ada));
            let delete = call(&server, "DeleteGroup", json!({ "groupId": own }));
            let (added, deleted) = tokio::join!(add, delete);
            deleted.ok();
            if added.status != 200 {
                added.error("not_found");
            }
            let mut db = server.app.store.acquire().await.unwrap();
            let left: i64 = sqlx::query_scalar(
                "select count(*) from group_members where organization_id = $1 and group_id = $2::uuid",
            )
            .bind(server.organization_id().as_uuid())
            .bind(own.parse::<uuid::Uuid>().unwrap())
            .fetch_one(&mut *db)
            .await
            .unwrap();
            assert_eq!(left, 0);
        }
    });
}

#[test]
fn one_of_many_who_put_a_member_into_a_group_does() {
    needs_parallel_connections();
    run(async {
        let server = Server::start().await;
        let (own, ada) = (group(&server).await, member(&server, "ada").await);
        let tries = (0..8).map(|_| call(&server, "CreateMembership", membership(&own, &ada)));
        let replies = join_all(tries).await;
        assert_eq!(
            replies.iter().filter(|reply| reply.status == 200).count(),
            1
        );
        for reply in replies.iter().filter(|reply| reply.status != 200) {
            reply.error("already_exists");
        }
    });
}
