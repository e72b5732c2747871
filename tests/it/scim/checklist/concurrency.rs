//! Many writers at once.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::scim::{Client, path, text, user};
use crate::support::{Reply, needs_parallel_connections, run};

fn count(replies: &[Reply], status: u16) -> usize {
    replies
        .iter()
        .filter(|reply| reply.status == status)
        .count()
}

/// Runs requests at the same time, on threads of their own.
async fn at_once<F>(requests: impl IntoIterator<Item = F>) -> Vec<Reply>
where
    F: Future<Output = Reply> + Send + 'static,
{
    needs_parallel_connections();
    let tasks: Vec<_> = requests.into_iter().map(tokio::spawn).collect();
    join_all(tasks)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect()
}

#[test]
fn of_parallel_creates_of_one_name_one_wins() {
    run(async {
        let c = Client::start().await;
        for more in [json!({ "userName": "bob" }), json!({ "externalId": "x" })] {
            let replies = at_once((0..32).map(|n| {
                let (c, more) = (c.clone(), more.clone());
                async move {
                    c.post("/Users", user(&format!("{}{n}", more["externalId"]), more))
                        .await
                }
            }))
            .await;
            assert_eq!(
                (count(&replies, 201), count(&replies, 409)),
                (1, 31),
                "{more}"
            );
            for reply in replies.iter().filter(|reply| reply.status == 409) {
                reply.refused(409, "uniqueness");
            }
        }
        assert_eq!(c.get("/Users").await.is(200)["totalResults"], 2);
    });
}

#[test]
fn parallel_patches_of_different_attributes_all_survive() {
    run(async {
        let c = Client::start().await;
        let names = [
            "title",
            "nickName",
            "displayName",
            "locale",
            "timezone",
            "userType",
            "preferredLanguage",
            "externalId",
        ];
        let bob = c.user("bob", json!({})).await;
        let at = path(&bob);
        let replies = at_once(names.map(|name| {
            let (c, at) = (c.clone(), at.clone());
            async move {
                c.patch(&at, json!([{ "op": "add", "path": name, "value": name }]))
                    .await
            }
        }))
        .await;
        assert_eq!(count(&replies, 200), names.len());
        let shown = c.read(&bob).await;
        for name in names {
            assert_eq!(shown[name], name);
        }
    });
}

#[test]
fn parallel_changes_of_members_all_survive() {
    run(async {
        let c = Client::start().await;
        let mut users: Vec<Value> = vec![];
        for n in 0..24 {
            users.push(c.user(&format!("u{n}"), json!({})).await);
        }
        let (leaving, joining) = users.split_at(12);
        let team = c.group("Team", &leaving.iter().collect::<Vec<_>>()).await;
        let at = path(&team);
        let replies = at_once(users.iter().enumerate().map(|(n, user)| {
            let op = if n < 12 { "remove" } else { "add" };
            let body = json!([{ "op": op, "path": "members", "value": [{ "value": user["id"] }] }]);
            let (c, at) = (c.clone(), at.clone());
            async move { c.patch(&at, body).await }
        }))
        .await;
        assert_eq!(count(&replies, 200), users.len());
        let expected = crate::support::scim::ids(&joining.iter().collect::<Vec<_>>());
        assert_eq!(c.members(&team).await, expected);
    });
}

#[test]
fn of_writers_with_the_same_version_one_wins() {
    run(async {
        let c = Client::start().await;
        for resource in [c.user("bob", json!({})).await, c.group("G", &[]).await] {
            let (at, tag) = (path(&resource), text(&resource["meta"]["version"]));
            let replies = at_once((0..8).map(|n| {
                let (c, at, tag) = (c.clone(), at.clone(), tag.clone());
                let patch = json!({ "Operations": [{ "op": "replace", "path": "externalId", "value": format!("e{n}") }] });
                async move { c.send("PATCH", &at, &[("if-match", &tag)], patch.to_string()).await }
            }))
            .await;
            assert_eq!((count(&replies, 200), count(&replies, 412)), (1, 7));
        }
    });
}

#[test]
fn of_parallel_deletes_one_finds_it() {
    run(async {
        let c = Client::start().await;
        for resource in [c.user("bob", json!({})).await, c.group("G", &[]).await] {
            let at = path(&resource);
            let replies = at_once((0..8).map(|_| {
                let (c, at) = (c.clone(), at.clone());
                async move { c.delete(&at).await }
            }))
            .await;
            assert_eq!((count(&replies, 204), count(&replies, 404)), (1, 7));
        }
    });
}

#[test]
fn users_that_take_each_others_names_do_not_fail_otherwise() {
    run(async {
        let c = Client::start().await;
        let (a, b) = (c.user("a", json!({})).await, c.user("b", json!({})).await);
        let replies = at_once((0..16).map(|n| {
            let c = c.clone();
            let at = path(if n % 2 == 0 { &a } else { &b });
            async move {
                c.patch(
                    &at,
                    json!([{ "op": "replace", "path": "userName", "value": "same" }]),
                )
                .await
            }
        }))
        .await;
        assert_eq!(count(&replies, 200) + count(&replies, 409), 16);
        assert_eq!(c.names("userName eq \"same\"").await.len(), 1);
    });
}
