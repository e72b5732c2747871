//! Who administers an organization.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{administers, assign, group, member, membership, put_into, role, set_role};
use crate::login::Place;
use crate::support::{needs_parallel_connections, run};

#[test]
fn a_member_becomes_an_administrator_and_is_none_any_more() {
    run(async {
        let place = Place::start().await;
        let server = &place.server;
        let (mut ada, id) = place.signed_in("ada").await;
        assert!(!administers(&mut ada).await);
        set_role(server, &id, "ADMIN").await.ok();
        assert!(administers(&mut ada).await, "without signing in again");
        set_role(server, &member(server, "grace").await, "ADMIN")
            .await
            .ok();
        set_role(server, &id, "MEMBER").await.ok();
        assert!(!administers(&mut ada).await);

        let log = server.audit("user").await;
        let changes: Vec<_> = log.iter().filter(|(name, ..)| name == "SetRole").collect();
        assert_eq!(changes.len(), 3);
        assert_eq!(changes[0].1, json!({ "role": "member" }));
        assert_eq!(changes[0].2, json!({ "role": "admin" }));
        // What changes nothing is no change.
        set_role(server, &id, "MEMBER").await.ok();
        assert_eq!(server.audit("user").await.len(), log.len());
        let unspecified = set_role(server, &id, "UNSPECIFIED").await;
        assert_eq!(unspecified.violations(), ["role"]);
    });
}

#[test]
fn the_last_administrator_stays_one_however_it_is_tried() {
    run(async {
        let place = Place::start().await;
        let server = &place.server;
        let (mut ada, id) = place.signed_in("ada").await;
        set_role(server, &id, "ADMIN").await.ok();
        let about = json!({ "userId": id });
        let is_last = |message: String| assert!(message.contains("another member"), "{message}");

        is_last(
            set_role(server, &id, "MEMBER")
                .await
                .error("failed_precondition"),
        );
        let suspended = json!({ "userId": id, "suspended": true });
        for (method, request) in [
            ("UserService/SetSuspended", suspended),
            ("UserService/DeleteUser", about.clone()),
        ] {
            let reply = server.call_to(method, request).await;
            is_last(reply.error("failed_precondition"));
        }
        let left = ada.call("OrganizationService/LeaveOrganization", about);
        is_last(left.await.error("failed_precondition"));
        assert!(administers(&mut ada).await, "nothing was done");

        // The same for who administers through a group.
        let admins = group(server).await;
        let (mut grace, second) = place.signed_in("grace").await;
        let membership = put_into(server, &admins, &second).await;
        let assignment = assign(server, &admins, "ORG_ADMIN").await;
        assert!(administers(&mut grace).await);
        set_role(server, &id, "MEMBER").await.ok();
        for (method, request) in [
            (
                "GroupService/DeleteMembership",
                json!({ "membershipId": membership }),
            ),
            (
                "GroupService/DeleteRoleAssignment",
                json!({ "assignmentId": assignment }),
            ),
            ("GroupService/DeleteGroup", json!({ "groupId": admins })),
        ] {
            let reply = server.call_to(method, request).await;
            is_last(reply.error("failed_precondition"));
        }
        assert!(administers(&mut grace).await);
    });
}

#[test]
fn an_organization_without_an_administrator_among_its_members_can_be_changed() {
    run(async {
        let place = Place::start().await;
        let server = &place.server;
        let (mut ada, id) = place.signed_in("ada").await;
        let suspended = json!({ "userId": id, "suspended": true });
        server
            .call_to("UserService/SetSuspended", suspended)
            .await
            .ok();
        assert_eq!(ada.member().await, None);
    });
}

#[test]
fn of_two_administrators_who_take_each_others_role_one_stays() {
    needs_parallel_connections();
    run(async {
        let place = Place::start().await;
        let server = &place.server;
        let (first, second) = (member(server, "ada").await, member(server, "grace").await);
        for id in [&first, &second] {
            set_role(server, id, "ADMIN").await.ok();
        }
        let tries = (0..32).map(|number| {
            let id = if number % 2 == 0 { &first } else { &second };
            server.call("SetRole", role(server, id, "MEMBER"))
        });
        let replies = join_all(tries).await;
        assert!(replies.iter().any(|reply| reply.status == 400));
        let filter = json!({ "roles": ["ORGANIZATION_ROLE_ADMIN"] });
        let request = json!({ "organizationId": server.organization, "filter": filter });
        let left = server.call("ListMembers", request).await.ok();
        assert_eq!(left["members"].as_array().unwrap().len(), 1);
    });
}

/// The identity provider decides who administers.
#[test]
fn whoever_is_in_a_pushed_group_of_administrators_is_one_until_the_provider_says_otherwise() {
    run(async {
        let place = Place::start().await;
        let server = &place.server;
        let scim = place.provisioning().await;
        let user = scim
            .user(
                &place.email("ada"),
                json!({ "externalId": "sub-ada", "displayName": "Ada" }),
            )
            .await;
        let (mut ada, _) = place.signed_in("ada").await;
        let pushed = scim.group("Administrators", &[]).await;
        let path = crate::support::scim::path(&pushed);
        assign(server, pushed["id"].as_str().unwrap(), "ORG_ADMIN").await;
        assert!(!administers(&mut ada).await);
        let add = json!([{ "op": "add", "path": "members", "value": [{ "value": user["id"] }] }]);
        scim.patch(&path, add).await.is(200);
        assert!(administers(&mut ada).await);
        let filter = format!("members[value eq \"{}\"]", user["id"].as_str().unwrap());
        let remove = json!([{ "op": "remove", "path": filter }]);
        scim.patch(&path, remove).await.is(200);
        assert!(
            !administers(&mut ada).await,
            "the provider may take the last one"
        );

        // With the group, its roles go.
        scim.delete(&path).await.is(204);
        let filter = json!({ "filter": { "groupId": pushed["id"] } });
        let left = server
            .call_to("GroupService/ListRoleAssignments", filter)
            .await
            .ok();
        assert_eq!(left["assignments"], Value::Null);
    });
}

#[test]
fn who_administers_groups_cannot_become_an_administrator_by_it() {
    run(async {
        let place = Place::start().await;
        let server = &place.server;
        let (powerful, harmless) = (group(server).await, group(server).await);
        assign(server, &powerful, "ORG_ADMIN").await;
        let (_, id) = place.signed_in("ada").await;
        let groups_admin = server.with_role("ORG_GROUPS_ADMIN").await;
        let call = async |method: &str, request: Value| {
            let path = format!("GroupService/{method}");
            server.call_to_as(&groups_admin, &path, request).await
        };
        call("CreateMembership", membership(&harmless, &id))
            .await
            .ok();
        for (method, request) in [
            ("CreateMembership", membership(&powerful, &id)),
            ("DeleteGroup", json!({ "groupId": powerful })),
            (
                "UpdateGroup",
                json!({ "groupId": powerful, "name": "Innocent" }),
            ),
        ] {
            let message = call(method, request).await.error("permission_denied");
            assert!(
                message.contains("more power than you"),
                "{method}: {message}"
            );
        }
        let promote = json!({
            "groupId": harmless,
            "resourceType": "RESOURCE_TYPE_ORGANIZATION",
            "resourceId": server.organization,
            "resourceRole": "RESOURCE_ROLE_ORG_ADMIN",
        });
        call("CreateRoleAssignment", promote)
            .await
            .error("permission_denied");
        server
            .call_as(&groups_admin, "SetRole", role(server, &id, "ADMIN"))
            .await
            .error("permission_denied");
    });
}

#[test]
fn who_is_group_admin_administers_that_group_alone() {
    run(async {
        let place = Place::start().await;
        let server = &place.server;
        let (mut ada, id) = place.signed_in("ada").await;
        let (own, other, admins) = (
            group(server).await,
            group(server).await,
            group(server).await,
        );
        put_into(server, &admins, &id).await;
        let request = json!({
            "groupId": admins,
            "resourceType": "RESOURCE_TYPE_GROUP",
            "resourceId": own,
            "resourceRole": "RESOURCE_ROLE_GROUP_ADMIN",
        });
        server
            .call_to("GroupService/CreateRoleAssignment", request)
            .await
            .ok();
        let mut call = async |group: &str| {
            let request = json!({ "groupId": group, "name": server.new_domain() });
            ada.call("GroupService/UpdateGroup", request).await
        };
        call(&own).await.ok();
        call(&other).await.error("permission_denied");
        let new = json!({ "organizationId": server.organization, "name": "Another" });
        let made = ada.call("GroupService/CreateGroup", new).await;
        made.error("permission_denied");
    });
}

#[test]
fn who_is_group_admin_gains_no_other_group_by_it() {
    run(async {
        let place = Place::start().await;
        let server = &place.server;
        let (mut ada, id) = place.signed_in("ada").await;
        let (own, chain, other) = (
            group(server).await,
            group(server).await,
            group(server).await,
        );
        let administers = async |which: &str, of: &str| {
            let request = json!({
                "groupId": which,
                "resourceType": "RESOURCE_TYPE_GROUP",
                "resourceId": of,
                "resourceRole": "RESOURCE_ROLE_GROUP_ADMIN",
            });
            let path = "GroupService/CreateRoleAssignment";
            server.call_to(path, request).await.ok();
        };
        put_into(server, &own, &id).await;
        administers(&own, &chain).await;
        let grace = member(server, "grace").await;
        let path = "GroupService/CreateMembership";
        ada.call(path, membership(&chain, &grace)).await.ok();
        administers(&chain, &other).await;
        let request = membership(&chain, &id);
        let message = ada.call(path, request).await.error("permission_denied");
        assert!(message.contains("more power than you"), "{message}");
    });
}

#[test]
fn an_administrator_who_left_comes_back_as_any_member() {
    run(async {
        let place = Place::start().await;
        let server = &place.server;
        let scim = place.provisioning().await;
        let more = json!({ "externalId": "sub-ada", "displayName": "Ada" });
        let user = scim.user(&place.email("ada"), more.clone()).await;
        let (mut ada, id) = place.signed_in("ada").await;
        set_role(server, &id, "ADMIN").await.ok();
        assert!(administers(&mut ada).await);
        let path = crate::support::scim::path(&user);
        scim.delete(&path).await.is(204);
        scim.user(&place.email("ada"), more).await;
        let (mut ada, again) = place.signed_in("ada").await;
        assert_eq!(again, id);
        assert!(!administers(&mut ada).await);
    });
}

#[test]
fn deleting_a_scim_configuration_leaves_an_administrator() {
    run(async {
        let place = Place::start().await;
        let server = &place.server;
        let scim = place.provisioning().await;
        let more = json!({ "externalId": "sub-ada" });
        let user = scim.user(&place.email("ada"), more).await;
        let pushed = scim.group("Administrators", &[&user]).await;
        assign(server, pushed["id"].as_str().unwrap(), "ORG_ADMIN").await;
        let request = json!({ "scimConfigurationId": scim.configuration });
        let delete = async || {
            server
                .call("DeleteSCIMConfiguration", request.clone())
                .await
        };
        delete().await.error("failed_precondition");
        scim.get("/Users").await.is(200);
        let other = member(server, "grace").await;
        set_role(server, &other, "ADMIN").await.ok();
        delete().await.ok();
        let left = server
            .call_to("GroupService/ListRoleAssignments", json!({}))
            .await;
        assert_eq!(left.ok()["assignments"], Value::Null);
    });
}

#[test]
fn roles_are_kept_for_other_programs_and_fit_what_they_are_on() {
    run(async {
        let server = crate::support::Server::start().await;
        let builders = group(&server).await;
        assign(&server, &builders, "ORG_RUNNERS_ADMIN").await;
        let project = uuid::Uuid::from_u128(7).to_string();
        let on = |kind: &str, id: &str, role: &str| {
            json!({
                "groupId": builders,
                "resourceType": format!("RESOURCE_TYPE_{kind}"),
                "resourceId": id,
                "resourceRole": format!("RESOURCE_ROLE_{role}"),
            })
        };
        let create = async |request: Value| {
            server
                .call_to("GroupService/CreateRoleAssignment", request)
                .await
        };
        create(on("PROJECT", &project, "PROJECT_EDITOR")).await.ok();
        create(on("PROJECT", &project, "PROJECT_EDITOR"))
            .await
            .error("already_exists");
        let filter = json!({ "filter": { "groupId": builders } });
        let list = server
            .call_to("GroupService/ListRoleAssignments", filter)
            .await
            .ok();
        let roles: Vec<_> = list["assignments"]
            .as_array()
            .unwrap()
            .iter()
            .map(|a| (a["resourceType"].clone(), a["resourceRole"].clone()))
            .collect();
        assert_eq!(
            roles,
            [
                (
                    json!("RESOURCE_TYPE_ORGANIZATION"),
                    json!("RESOURCE_ROLE_ORG_RUNNERS_ADMIN")
                ),
                (
                    json!("RESOURCE_TYPE_PROJECT"),
                    json!("RESOURCE_ROLE_PROJECT_EDITOR")
                ),
            ]
        );
        for wrong in [
            on("PROJECT", &project, "ORG_ADMIN"),
            on("GROUP", &builders, "ORG_ADMIN"),
            on("ORGANIZATION", &server.organization, "GROUP_ADMIN"),
        ] {
            assert_eq!(create(wrong).await.violations(), ["resource_role"]);
        }
        let unspecified = on("UNSPECIFIED", &project, "ORG_ADMIN");
        assert_eq!(create(unspecified).await.violations(), ["resource_type"]);
        let elsewhere = server.neighbour().await.organization;
        create(on("ORGANIZATION", &elsewhere, "ORG_ADMIN"))
            .await
            .error("permission_denied");
    });
}
