//! Members and groups, as applications read what identity providers pushed.

use axum::body::Body;
use chrono::TimeDelta;
use http::{Request, header};
use rollcall::domain::identity::Role;
use serde_json::{Value, json};

use crate::support::scim::{Client, path};
use crate::support::{Reply, Server, merge, run};

/// Pushes a user who is called this.
async fn push(c: &Client, name: &str) -> Value {
    let user_name = format!("{name}@example.com");
    c.user(&user_name, json!({ "displayName": name })).await
}

async fn members(server: &Server, more: Value) -> Value {
    let mut request =
        json!({ "organizationId": server.organization, "count": { "include": true } });
    merge(&mut request, more);
    server.call("ListMembers", request).await.ok()
}

fn names(page: &Value) -> Vec<&str> {
    let members = page["members"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    members
        .iter()
        .map(|member| member["fullName"].as_str().unwrap())
        .collect()
}

async fn group_call(server: &Server, token: &str, method: &str, body: Value) -> Reply {
    let request = Request::post(format!("/gitpod.v1.GroupService/{method}"))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .body(Body::from(body.to_string()));
    server.send(request.unwrap()).await
}

#[test]
fn the_organization_is_shown_to_its_members() {
    run(async {
        let server = Server::start().await;
        let member = server.token(Role::Member, true).await;
        let request = json!({ "organizationId": server.organization });
        let shown = server
            .call_as(&member, "GetOrganization", request.clone())
            .await
            .ok()["organization"]
            .clone();
        assert_eq!(
            (&shown["id"], &shown["name"]),
            (&json!(server.organization), &json!("Test"))
        );
        assert_eq!(shown["tier"], "ORGANIZATION_TIER_ENTERPRISE");
        assert!(shown["createdAt"].is_string() && shown["updatedAt"].is_string());
    });
}

#[test]
fn pushed_users_are_members_with_the_state_that_was_pushed_last() {
    run(async {
        let c = Client::start().await;
        let server = &c.server;
        let ada = push(&c, "Ada").await;
        let shown = members(server, json!({})).await["members"][0].clone();
        assert_eq!(shown["email"], "Ada@example.com");
        assert_eq!(shown["fullName"], "Ada");
        assert_eq!(shown["role"], "ORGANIZATION_ROLE_MEMBER");
        assert_eq!(shown["status"], "USER_STATUS_ACTIVE");
        assert_eq!(shown["loginProvider"], "custom");

        let status = async || members(server, json!({})).await["members"][0]["status"].clone();
        for (active, expected) in [
            (false, "USER_STATUS_SUSPENDED"),
            (true, "USER_STATUS_ACTIVE"),
        ] {
            let op = json!([{ "op": "replace", "value": { "active": active } }]);
            c.patch(&path(&ada), op).await.is(200);
            assert_eq!(status().await, expected);
        }
        c.delete(&path(&ada)).await.is(204);
        assert_eq!(status().await, "USER_STATUS_LEFT");
        push(&c, "Ada").await;
        let again = members(server, json!({})).await;
        assert_eq!(
            (
                &again["count"]["value"],
                again["members"][0]["userId"] == shown["userId"]
            ),
            (&json!(1), true)
        );
        assert_eq!(status().await, "USER_STATUS_ACTIVE");
    });
}

#[test]
fn every_filter_narrows_the_list_and_the_count() {
    run(async {
        let c = Client::start().await;
        let server = &c.server;
        let mut users = vec![];
        for name in ["Ada", "Bob", "Cleo", "Adam"] {
            users.push(push(&c, name).await);
        }
        let all = members(server, json!({})).await;
        let user_id = |name: &str| {
            let members = all["members"].as_array().unwrap();
            members.iter().find(|m| m["fullName"] == name).unwrap()["userId"].clone()
        };
        let group = c.group("Some", &[&users[1]]).await["id"].clone();
        c.delete(&path(&users[2])).await.is(204);

        for (filter, expected) in [
            (json!({ "search": "ADA" }), vec!["Ada", "Adam"]),
            (json!({ "search": "bob@example" }), vec!["Bob"]),
            (json!({ "email": "ADA@example.com" }), vec!["Ada"]),
            (json!({ "email": "ada" }), vec![]),
            (
                json!({ "email": "ada@example.com", "loginProvider": "LOGIN_PROVIDER_KIND_SSO" }),
                vec!["Ada"],
            ),
            (
                json!({ "email": "ada@example.com", "loginProvider": "LOGIN_PROVIDER_KIND_GOOGLE" }),
                vec![],
            ),
            (json!({ "statuses": ["USER_STATUS_LEFT"] }), vec!["Cleo"]),
            (
                json!({ "statuses": ["USER_STATUS_ACTIVE", "USER_STATUS_SUSPENDED"] }),
                vec!["Ada", "Adam", "Bob"],
            ),
            (json!({ "statuses": ["USER_STATUS_UNSPECIFIED"] }), vec![]),
            (json!({ "roles": ["ORGANIZATION_ROLE_ADMIN"] }), vec![]),
            (
                json!({ "roles": ["ORGANIZATION_ROLE_MEMBER"], "search": "cleo" }),
                vec!["Cleo"],
            ),
            (
                json!({ "userIds": [user_id("Bob"), user_id("Cleo")] }),
                vec!["Bob", "Cleo"],
            ),
            (
                json!({ "excludeGroupIds": [group] }),
                vec!["Ada", "Adam", "Cleo"],
            ),
            (
                json!({ "excludeMembersInAnyTeam": true }),
                vec!["Ada", "Adam", "Bob", "Cleo"],
            ),
            (
                json!({ "loginProvider": "LOGIN_PROVIDER_KIND_SSO" }),
                vec!["Ada", "Adam", "Bob", "Cleo"],
            ),
            (
                json!({ "loginProvider": "LOGIN_PROVIDER_KIND_GITHUB" }),
                vec![],
            ),
            (json!({ "search": "%" }), vec![]),
        ] {
            let page = members(
                server,
                json!({ "filter": filter, "sort": { "field": "SORT_FIELD_NAME" } }),
            )
            .await;
            assert_eq!(names(&page), expected, "{filter}");
            assert_eq!(
                page["count"]["value"].as_u64().unwrap_or_default(),
                expected.len() as u64,
                "{filter}"
            );
            assert_eq!(page["count"]["relation"], "COUNT_RESPONSE_RELATION_EQ");
        }
        let uncounted = server
            .call(
                "ListMembers",
                json!({ "organizationId": server.organization }),
            )
            .await
            .ok();
        assert_eq!(uncounted["count"], Value::Null);
        let bad = json!({ "organizationId": server.organization, "filter": { "userIds": ["x"] } });
        assert_eq!(
            server.call("ListMembers", bad).await.violations(),
            ["filter.user_ids[0]"]
        );
    });
}

#[test]
fn every_order_pages_through_everybody_once() {
    run(async {
        let c = Client::start().await;
        let server = &c.server;
        for name in ["Cleo", "ada", "Bob", "Dora"] {
            push(&c, &format!("{name}{}", name.len())).await;
            server.pass(TimeDelta::seconds(1));
            // The same name twice, so that the id has to decide.
            let user_name = format!("{name}-2@example.com");
            c.user(&user_name, json!({ "displayName": "Same" })).await;
        }
        let walk = async |sort: Value| {
            let (mut seen, mut next) = (vec![], String::new());
            loop {
                let pagination = json!({ "pageSize": 3, "token": next });
                let page = members(server, json!({ "sort": sort, "pagination": pagination })).await;
                let members = page["members"].as_array().unwrap().clone();
                seen.extend(members.iter().map(|m| {
                    (
                        m["fullName"].as_str().unwrap().to_owned(),
                        m["userId"].clone(),
                    )
                }));
                next = page["pagination"]["nextToken"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                if next.is_empty() || seen.len() > 10 {
                    return seen;
                }
            }
        };
        for field in ["SORT_FIELD_NAME", "SORT_FIELD_DATE_JOINED"] {
            let up = walk(json!({ "field": field })).await;
            let mut down = walk(json!({ "field": field, "order": "SORT_ORDER_DESC" })).await;
            assert_eq!(up.len(), 8);
            down.reverse();
            assert_eq!(up, down, "{field}");
        }
        let joined: Vec<String> = walk(json!({}))
            .await
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(joined[0], "Cleo4");
        let token = members(server, json!({ "pagination": { "pageSize": 1 } })).await["pagination"]
            ["nextToken"]
            .clone();
        let other = json!({ "organizationId": server.organization, "pagination": { "token": token }, "filter": { "search": "a" } });
        assert_eq!(
            server.call("ListMembers", other).await.violations(),
            ["pagination.token"],
            "bound to its filter"
        );
    });
}

#[test]
fn groups_and_their_people_are_read_by_members_of_the_organization_alone() {
    run(async {
        let c = Client::start().await;
        let server = &c.server;
        let (ada, bob) = (push(&c, "Ada").await, push(&c, "Bob").await);
        let inner = c.group("Inner", &[&bob]).await;
        let nobody = json!({ "id": "nobody-yet" });
        let outer = c.group("Engineering", &[&ada, &inner, &nobody]).await["id"].clone();

        let reader = server.token(Role::Member, true).await;
        let call =
            async |method: &str, body: Value| group_call(server, &reader, method, body).await;
        let list = call("ListGroups", json!({})).await.ok()["groups"].clone();
        assert_eq!(list.as_array().unwrap().len(), 2);
        let found = call("ListGroups", json!({ "filter": { "search": "ENGINEER" } }))
            .await
            .ok()["groups"]
            .clone();
        assert_eq!(
            (&found[0]["id"], &found[0]["memberCount"]),
            (&outer, &json!(1)),
            "people, not groups nor nobody"
        );
        assert_eq!(found[0]["organizationId"], *server.organization);
        for request in [
            json!({ "id": outer }),
            json!({ "name": "Engineering" }),
            json!({ "groupId": outer }),
        ] {
            assert_eq!(call("GetGroup", request).await.ok()["group"], found[0]);
        }
        assert_eq!(
            call(
                "ListGroups",
                json!({ "filter": { "systemManaged": false } })
            )
            .await
            .ok()["groups"],
            Value::Null,
            "an identity provider manages them"
        );

        let resource = json!({ "resourceType": "RESOURCE_TYPE_PROJECT", "resourceId": outer });
        let unassigned = json!({ "filter": { "excludeAssignedToResource": resource } });
        assert_eq!(
            call("ListGroups", unassigned).await.ok()["groups"],
            list,
            "no group is assigned to a resource"
        );
        let nameless = json!({ "filter": { "excludeAssignedToResource": {} } });
        assert_eq!(
            call("ListGroups", nameless).await.violations(),
            [
                "filter.exclude_assigned_to_resource.resource_type",
                "filter.exclude_assigned_to_resource.resource_id"
            ]
        );

        let people = call("ListMemberships", json!({ "groupId": outer }))
            .await
            .ok()["members"]
            .clone();
        assert_eq!(people.as_array().unwrap().len(), 1);
        assert_eq!(
            (&people[0]["name"], &people[0]["groupId"]),
            (&json!("Ada"), &outer)
        );
        assert_eq!(people[0]["subject"]["principal"], "PRINCIPAL_USER");
        let none = call(
            "ListMemberships",
            json!({ "groupId": outer, "filter": { "search": "bob" } }),
        )
        .await
        .ok();
        assert_eq!(none["members"], Value::Null);

        let stranger = server.neighbour().await;
        assert_eq!(
            group_call(server, &stranger.token, "ListGroups", json!({}))
                .await
                .ok()["groups"],
            Value::Null
        );
        assert_eq!(call("GetGroup", json!({})).await.violations(), ["id"]);
    });
}

#[test]
fn letters_are_found_and_sorted_in_any_case() {
    run(async {
        let c = Client::start().await;
        let server = &c.server;
        let mut users = vec![];
        for name in ["Ärger-2", "ärger-1", "Zoe", "ΣΊΣΥΦΟΣ", "Straße"] {
            users.push(push(&c, name).await);
        }
        let found = async |search: &str| {
            let more =
                json!({ "filter": { "search": search }, "sort": { "field": "SORT_FIELD_NAME" } });
            let page = members(server, more).await;
            names(&page)
                .into_iter()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        for (search, expected) in [
            ("ärger", vec!["ärger-1", "Ärger-2"]),
            ("ÄRGER", vec!["ärger-1", "Ärger-2"]),
            ("σίσυφος", vec!["ΣΊΣΥΦΟΣ"]),
            ("σίσυφοσ", vec!["ΣΊΣΥΦΟΣ"]),
            ("STRASSE", vec!["Straße"]),
            ("trasse", vec!["Straße"]),
            ("arger", vec![]),
            ("", vec!["Straße", "Zoe", "ärger-1", "Ärger-2", "ΣΊΣΥΦΟΣ"]),
        ] {
            assert_eq!(found(search).await, expected, "{search}");
        }

        let people: Vec<&Value> = users.iter().collect();
        let group = c.group("Großkunden", &people).await;
        for search in ["großkunden", "GROSSKUNDEN", "ossk"] {
            let asked = json!({ "filter": { "search": search } });
            let listed = group_call(server, &server.token, "ListGroups", asked)
                .await
                .ok();
            assert_eq!(listed["groups"][0]["id"], group["id"], "{search}");
        }
        for search in ["STRASSE", "σίσυφος", "ÄRGER-1"] {
            let asked = json!({ "groupId": group["id"], "filter": { "search": search } });
            let listed = group_call(server, &server.token, "ListMemberships", asked)
                .await
                .ok();
            assert_eq!(listed["members"].as_array().unwrap().len(), 1, "{search}");
        }
    });
}

#[test]
fn an_address_is_found_in_either_spelling_of_its_domain() {
    run(async {
        let c = Client::start().await;
        let server = &c.server;
        let domain = server.new_domain();
        for address in [format!("Ada@Bü{domain}"), format!("Bob@xn--b-{domain}")] {
            c.user(&address, json!({ "displayName": address })).await;
        }
        let ascii = rollcall::domain::letters::domain_key(&format!("bü{domain}")).into_owned();
        for filter in [
            json!({ "email": format!("ada@bü{domain}") }),
            json!({ "email": format!(" ADA@BÜ{domain}.\n") }),
            json!({ "email": format!("ada@{ascii}") }),
            json!({ "search": format!("@bü{domain}") }),
            json!({ "search": format!("BÜ{domain}") }),
            json!({ "search": ascii }),
        ] {
            let found = members(server, json!({ "filter": filter })).await;
            assert_eq!(names(&found), [format!("Ada@Bü{domain}")], "{filter}");
        }
    });
}
