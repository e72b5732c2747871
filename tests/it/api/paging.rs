//! Pages of lists, with tokens in the body and in the query string.

use axum::body::Body;
use rollcall::domain::identity::Role;
use serde_json::{Value, json};

use crate::support::{Reply, Server, run};

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

#[test]
fn scim_configurations_page_in_the_same_way() {
    run(async {
        let server = Server::start().await;
        let mut expected = vec![];
        for _ in 0..3 {
            expected.push(server.scim(json!({})).await["scimConfiguration"]["id"].clone());
        }
        expected.sort_by_key(Value::to_string);
        let (mut seen, mut query) = (vec![], "?pageSize=2".to_owned());
        loop {
            let token = server.token(Role::Admin, true).await;
            let request = server.request(&format!("ListSCIMConfigurations{query}"), &token);
            let page = server
                .send(request.body(Body::from("{}")).unwrap())
                .await
                .ok();
            seen.extend(
                page["scimConfigurations"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|c| c["id"].clone()),
            );
            if next(&page).is_empty() || seen.len() > 3 {
                break;
            }
            query = format!("?pageSize=2&token={}", next(&page));
        }
        assert_eq!(seen, expected);
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
