//! Pages of lists, with tokens in the body and in the query string.

use axum::body::Body;
use rollcall::domain::identity::Audience;
use serde_json::{Value, json};

use super::methods::{Things, call, described, table};
use crate::events::deliver;
use crate::login::Place;
use crate::support::{Reply, Server, merge, run};

/// A server with `count` SSO configurations, and their ids in the order of the list.
async fn with_configurations(count: usize) -> (Server, Vec<String>) {
    let server = Server::start().await;
    let mut ids = vec![];
    for i in 0..count {
        ids.push(
            server.sso(&format!("client-{i}")).await["id"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }
    ids.sort_unstable();
    (server, ids)
}

async fn list(server: &Server, query: &str, pagination: Value) -> Reply {
    let request = server.request(&format!("ListSSOConfigurations{query}"), &server.token);
    let body = json!({ "organizationId": server.organization, "pagination": pagination });
    server
        .send(request.body(Body::from(body.to_string())).unwrap())
        .await
}

fn ids(page: &Value) -> Vec<String> {
    let items = page["ssoConfigurations"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    items
        .iter()
        .map(|item| item["id"].as_str().unwrap().to_owned())
        .collect()
}

fn next(page: &Value) -> String {
    page["pagination"]["nextToken"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn pages_follow_each_other_and_the_last_has_no_token() {
    run(async {
        let (server, expected) = with_configurations(3).await;
        let (mut seen, mut token) = (vec![], String::new());
        loop {
            let page = list(&server, "", json!({ "pageSize": 1, "token": token }))
                .await
                .ok();
            seen.extend(ids(&page));
            token = next(&page);
            if token.is_empty() || seen.len() > 3 {
                break;
            }
        }
        assert_eq!(seen, expected);
        let exact = list(&server, "", json!({ "pageSize": 3 })).await.ok();
        assert_eq!((ids(&exact), next(&exact)), (expected, String::new()));
    });
}

#[test]
fn the_query_string_overrides_the_body() {
    run(async {
        let (server, expected) = with_configurations(3).await;
        // As the Stainless SDKs page: always the first body, and one more ?token= each time.
        let first = json!({ "pageSize": 1 });
        let mut page = list(&server, "?pageSize=1", first.clone()).await.ok();
        let mut seen = ids(&page);
        while !next(&page).is_empty() && seen.len() <= 3 {
            page = list(
                &server,
                &format!("?pageSize=1&token={}", next(&page)),
                first.clone(),
            )
            .await
            .ok();
            seen.extend(ids(&page));
        }
        assert_eq!(seen, expected);
        for query in [
            "?pageSize=2",
            "?page_size=2",
            "?pageSize=1&pageSize=2&pageSize=&token=&unknown=x",
        ] {
            assert_eq!(
                ids(&list(&server, query, json!({ "pageSize": 1 })).await.ok()).len(),
                2,
                "{query}"
            );
        }
    });
}

#[test]
fn a_page_has_25_items_unless_asked_and_100_at_most() {
    run(async {
        let (server, expected) = with_configurations(26).await;
        for pagination in [json!(null), json!({}), json!({ "pageSize": 0 })] {
            let page = list(&server, "", pagination).await.ok();
            assert_eq!(ids(&page), expected[..25]);
            assert!(!next(&page).is_empty());
        }
        assert_eq!(
            ids(&list(&server, "", json!({ "pageSize": 100 })).await.ok()),
            expected
        );
        for size in [-1, 101, i32::MAX] {
            assert_eq!(
                list(&server, "", json!({ "pageSize": size }))
                    .await
                    .violations(),
                ["pagination.page_size"]
            );
        }
        for query in ["?pageSize=101", "?pageSize=-1", "?pageSize=x"] {
            assert_eq!(
                list(&server, query, json!({})).await.violations(),
                ["pagination.page_size"],
                "{query}"
            );
        }
    });
}

#[test]
fn a_page_token_is_bound_to_its_list_and_its_organization() {
    run(async {
        let (server, _) = with_configurations(2).await;
        let token = next(&list(&server, "", json!({ "pageSize": 1 })).await.ok());
        let neighbour = server.neighbour().await;
        assert_eq!(
            list(&neighbour, "", json!({ "token": token }))
                .await
                .violations(),
            ["pagination.token"]
        );
        let scim = server
            .call(
                "ListSCIMConfigurations",
                json!({ "pagination": { "token": token } }),
            )
            .await;
        assert_eq!(scim.violations(), ["pagination.token"]);
        let mut forged = token.clone();
        forged.replace_range(10..11, if &token[10..11] == "A" { "B" } else { "A" });
        for bad in [&*forged, "x", "💥", &token[1..], &"A".repeat(100_000)] {
            assert_eq!(
                list(&server, "", json!({ "token": bad }))
                    .await
                    .violations(),
                ["pagination.token"]
            );
        }
        assert!(!token.contains(&server.organization));
    });
}

#[test]
fn a_token_outlives_the_item_it_stands_on() {
    run(async {
        let (server, expected) = with_configurations(3).await;
        let token = next(&list(&server, "", json!({ "pageSize": 1 })).await.ok());
        server
            .call(
                "DeleteSSOConfiguration",
                json!({ "ssoConfigurationId": expected[0] }),
            )
            .await
            .ok();
        assert_eq!(
            ids(&list(&server, "", json!({ "token": token })).await.ok()),
            expected[1..]
        );
    });
}

/// A request of a list for all that there is, and one for something else, where a list can be asked for that.
fn requests(path: &str, things: &Things) -> (Value, Option<Value>) {
    let organization = json!({ "organizationId": things.ids["organization"] });
    let all = things.request(path);
    match path.split_once('/').unwrap().1 {
        "ListMembers" => (organization, Some(all)),
        "ListGroups"
        | "ListPersonalAccessTokens"
        | "ListRoleAssignments"
        | "ListServiceAccounts"
        | "ListSignInAttempts" => (json!({}), Some(all)),
        "ListProvisioningEvents" => (
            json!({}),
            Some(json!({ "filter": { "onlyRefused": true } })),
        ),
        "ListMemberships" => {
            let mut other = all.clone();
            other["filter"] = json!({ "search": "ada" });
            (all, Some(other))
        }
        "ListSetupLinks" => (all, Some(json!({ "includeEnded": true }))),
        "ListMemberGroups" | "ListSessions" => (all, Some(json!({ "userId": Things::absent() }))),
        "ListSSOLogins" => (all, Some(json!({ "email": "ada@elsewhere.example" }))),
        _ => (all, None),
    }
}

/// The items of a page.
fn items(page: &Value) -> Vec<Value> {
    let lists = page
        .as_object()
        .unwrap()
        .values()
        .filter_map(Value::as_array);
    lists.flatten().cloned().collect()
}

async fn put_into_a_new_group(server: &Server, name: &str, user: &str) {
    let group = json!({ "organizationId": server.organization, "name": name });
    let group = server.call_to("GroupService/CreateGroup", group).await.ok();
    let subject = json!({ "id": user, "principal": "PRINCIPAL_USER" });
    let membership = json!({ "groupId": group["group"]["id"], "subject": subject });
    let path = "GroupService/CreateMembership";
    server.call_to(path, membership).await.ok();
}

#[test]
fn every_list_has_each_item_once_and_its_page_tokens_open_no_other_list() {
    run(async {
        let place = Place::start().await;
        let server = &place.server;
        let stranger = server.neighbour().await;
        let theirs = Things::make(&stranger).await;
        Things::make(server).await;
        let mut own = Things::make(server).await;
        // Two sign-ins of one person, and two ways to sign in.
        let (_, ada) = place.signed_in("ada").await;
        place.signed_in("ada").await;
        place
            .configure("another", json!({ "displayName": "Another" }))
            .await;
        for name in ["Builders", "Writers"] {
            put_into_a_new_group(server, name, &ada).await;
        }
        own.ids.insert("user", ada);
        own.email = place.email("ada");
        // To an address at which nobody is: each has a line all the same.
        deliver(server).await;

        let is_list = |path: &String| {
            let all = described();
            let method = all.iter().find(|method| method.path == *path).unwrap();
            // There is always one login provider; the others are for operators and people.
            let others = [
                "/ListLoginProviders",
                "/ListOrganizations",
                "/ListJoinableOrganizations",
            ];
            method.request.field_by_name("pagination").is_some()
                && !others.iter().any(|name| path.ends_with(name))
        };
        let lists: Vec<_> = table().into_iter().filter(|(p, _)| is_list(p)).collect();
        assert!(lists.len() > 2);
        let ask = async |server: &Server, path: &str, request: &Value, size: u32, token: &str| {
            let mut request = request.clone();
            let page = json!({ "pagination": { "pageSize": size, "token": token } });
            merge(&mut request, page);
            call(server, path, Some(&server.token), &request).await
        };
        for (path, access) in &lists {
            let (request, other) = requests(path, &own);
            let whole = ask(server, path, &request, 100, "").await.ok();
            assert!(items(&whole).len() > 1 && next(&whole).is_empty(), "{path}");
            let page = ask(server, path, &request, 1, "").await.ok();
            let (mut seen, first) = (items(&page), next(&page));
            let mut token = first.clone();
            while !token.is_empty() && seen.len() <= items(&whole).len() {
                let page = ask(server, path, &request, 1, &token).await.ok();
                assert_eq!(items(&page).len(), 1, "{path}");
                seen.extend(items(&page));
                token = next(&page);
            }
            assert_eq!(seen, items(&whole), "{path}");

            for (another, _) in lists.iter().filter(|(another, _)| another != path) {
                let (request, _) = requests(another, &own);
                let reply = ask(server, another, &request, 1, &first).await;
                assert_eq!(
                    reply.violations(),
                    ["pagination.token"],
                    "{path}: {another}"
                );
            }
            if let Some(other) = other {
                let reply = ask(server, path, &other, 1, &first).await;
                assert_eq!(reply.violations(), ["pagination.token"], "{path}: {other}");
            }
            if access.audience != Audience::Everybody {
                let (request, _) = requests(path, &theirs);
                let reply = ask(&stranger, path, &request, 1, &first).await;
                assert_eq!(reply.violations(), ["pagination.token"], "{path}");
            }
        }
    });
}

mod tokens {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_text_that_was_not_issued_opens_a_list(text in "[A-Za-z0-9_-]{1,120}") {
            run(async {
                let server = shared().await;
                let reply = list(server, "", json!({ "token": text })).await;
                prop_assert_eq!(reply.violations(), ["pagination.token"]);
                Ok(())
            })?;
        }

        #[test]
        fn no_change_of_an_issued_token_opens_a_list(place: prop::sample::Index, with in "[A-Za-z0-9_-]") {
            run(async {
                let server = shared().await;
                let mut token = next(&list(server, "", json!({ "pageSize": 1 })).await.ok());
                let place = place.index(token.len() - 1);
                if token[place..=place] != with {
                    token.replace_range(place..=place, &with);
                    let reply = list(server, "", json!({ "token": token })).await;
                    prop_assert_eq!(reply.violations(), ["pagination.token"]);
                }
                Ok(())
            })?;
        }
    }

    /// One server for all the cases: they only read.
    async fn shared() -> &'static Server {
        static SERVER: tokio::sync::OnceCell<Server> = tokio::sync::OnceCell::const_new();
        SERVER
            .get_or_init(|| async { with_configurations(2).await.0 })
            .await
    }
}
