//! Reading, filters, sorting, pages, cursors and searches (RFC 7644, section 3.4; RFC 9865).

use std::collections::HashSet;

use chrono::TimeDelta;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::scim::{BULK, Client, E, G, LIST, SEARCH, U, encode, path, text, user};
use crate::support::{needs_parallel_connections, run};

fn names(list: &Value) -> Vec<String> {
    let resources = list["Resources"].as_array().unwrap();
    resources.iter().map(|r| text(&r["userName"])).collect()
}

#[test]
fn attributes_are_chosen_on_every_response() {
    run(async {
        let c = Client::start().await;
        let body = user(
            "bob",
            json!({ "title": "T", "name": { "givenName": "B", "familyName": "O" }, E: { "department": "D" } }),
        );
        let shown = c
            .post("/Users?attributes=name.givenName", body.clone())
            .await
            .is(201);
        let at = format!("/Users/{}", text(&shown["id"]));
        let only = json!({ "schemas": [U], "id": shown["id"], "name": { "givenName": "B" } });
        assert_eq!(shown, only);
        assert_eq!(
            c.get(&format!("{at}?attributes=NAME.givenname"))
                .await
                .is(200),
            only
        );
        assert_eq!(
            c.put(&format!("{at}?attributes=name.givenName"), body)
                .await
                .is(200),
            only
        );
        let op = json!([{ "op": "replace", "path": "title", "value": "S" }]);
        assert_eq!(
            c.patch(&format!("{at}?attributes=name.givenName"), op.clone())
                .await
                .is(200),
            only
        );
        for reply in [
            c.get(&format!("{at}?excludedAttributes=name,id,schemas,title"))
                .await,
            c.patch(
                &format!("{at}?excludedAttributes=name,id,schemas,title"),
                op,
            )
            .await,
        ] {
            let shown = reply.is(200);
            assert_eq!((shown.get("name"), shown.get("title")), (None, None));
            assert_eq!(
                (&shown["id"], &shown["userName"]),
                (&only["id"], &json!("bob"))
            );
            assert_eq!(shown["schemas"], json!([U, E]));
        }
        let query = format!(
            "{at}?{}",
            encode(&[("attributes", &format!("{E}:department"))])
        );
        assert_eq!(c.get(&query).await.is(200)[E], json!({ "department": "D" }));
    });
}

#[test]
fn the_grammar_of_filters() {
    run(async {
        let c = Client::start().await;
        let emails =
            json!([{ "value": "a@work", "type": "work" }, { "value": "a@home", "type": "home" }]);
        c.user(
            "a",
            json!({ "title": "x", "emails": emails, "displayName": "q\"\\ü" }),
        )
        .await;
        c.user(
            "b",
            json!({ "title": "y", "active": false, E: { "department": "Sales" } }),
        )
        .await;
        c.user("c", json!({ "nickName": "n" })).await;
        let mut faults = vec![];
        for (filter, expected) in [
            // not > and > or.
            (
                r#"userName eq "a" or userName eq "b" and title eq "x""#,
                "a",
            ),
            (
                r#"(userName eq "a" or userName eq "b") and title eq "y""#,
                "b",
            ),
            (r#"not(title eq "x") and title pr"#, "b"),
            (r#"not (title eq "x" or nickName pr)"#, "b"),
            (r#"NOT(TITLE PR) AND UserName PR"#, "c"),
            (r#"USERNAME EQ "A""#, "a"),
            // Presence and null.
            ("title pr", "ab"),
            ("title eq null", "c"),
            ("title ne null", "ab"),
            (r#"title ne "x""#, "bc"),
            // Text.
            (r#"userName ge "b""#, "bc"),
            (r#"title gt "x""#, "b"),
            (r#"userName co """#, "abc"),
            (r#"displayName eq "q\"\\\u00fc""#, "a"),
            // Multi-valued.
            (r#"emails co "HOME""#, "a"),
            (r#"emails[type eq "work" and value co "home"]"#, ""),
            (r#"emails[type eq"work"and value co"work"]"#, "a"),
            (r#"emails.type eq "work" and emails.value co "home""#, "a"),
            (r#"emails[not (type eq "work")]"#, "a"),
            ("emails pr", "a"),
            // With URN.
            (&format!(r#"{E}:department eq "sales""#), "b"),
            (&format!(r#"{U}:userName eq "c""#), "c"),
            (r#"department eq "sales""#, "b"),
            (&format!(r#"schemas eq "{E}""#), "b"),
            // Booleans.
            ("active eq true", "ac"),
            (r#"active eq "False""#, "b"),
            ("active ne true", "b"),
            (r#"meta.resourceType eq "User""#, "abc"),
            (r#"meta.resourceType eq "user""#, ""),
            (r#"meta.version sw "W/""#, "abc"),
            (r#"meta.location co "/scim/v2/Users/""#, "abc"),
            (r#"meta.created gt "2026-03-01T12:00:00.0000001Z""#, ""),
            (
                r#"meta.created lt "2026-03-01T13:00:00.0000001+01:00" and meta.created ge "2026-03-01T12:00:00Z""#,
                "abc",
            ),
            (r#"id eq "not an id""#, ""),
            (r#"id ne "not an id""#, "abc"),
        ] {
            let found = c.names(filter).await.concat();
            if found != expected {
                faults.push(format!("{filter}: {found:?}, not {expected:?}"));
            }
        }
        for filter in [
            "userName eq",
            "userName",
            "eq \"a\"",
            "userName xx \"a\"",
            "userName eq \"a",
            "(userName pr",
            "userName pr)",
            "nope eq \"a\"",
            "name.nope eq \"a\"",
            "active gt true",
            "active co \"t\"",
            "x509Certificates.value lt \"AA==\"",
            "active eq 1",
            "title eq 5",
            "userName pr and",
            "and userName pr",
            "emails[type eq \"work\"",
            "emails[]",
            "meta.created gt \"yesterday\"",
            "userName eq a",
            "userName = \"a\"",
            "not userName pr",
            "emails[nope eq \"x\"]",
            "title eq true",
        ] {
            c.bad_filter("/Users", filter).await;
        }
        // Both spaces.
        for query in [
            "filter=userName+eq+%22a%22",
            "filter=userName%20eq%20%22a%22",
        ] {
            assert_eq!(
                c.get(&format!("/Users?{query}")).await.is(200)["totalResults"],
                1
            );
        }
        let team = c.group("T", &[]).await;
        assert_eq!(c.found("/Groups", r#"members[value eq"x"]"#).await.len(), 0);
        assert_eq!(
            c.found("/Groups", &format!("id eq {}", team["id"]))
                .await
                .len(),
            1
        );
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    });
}

#[test]
fn too_much_of_a_filter_is_refused() {
    run(async {
        let c = Client::start().await;
        let deep = |n: usize| format!("{}userName pr{}", "(".repeat(n), ")".repeat(n));
        let many = |n: usize| vec!["userName eq \"a\""; n].join(" or ");
        let nots = format!("{}userName pr{}", "not (".repeat(5000), ")".repeat(5000));
        for filter in [
            deep(5000),
            many(5000),
            nots,
            format!("userName eq \"{}\"", "x".repeat(100_000)),
        ] {
            let body = json!({ "schemas": [SEARCH], "filter": filter });
            c.post("/Users/.search", body)
                .await
                .refused(400, "invalidFilter");
        }
        for filter in [deep(20), many(100)] {
            let body = json!({ "schemas": [SEARCH], "filter": filter });
            c.post("/Users/.search", body).await.is(200);
        }
    });
}

#[test]
fn sorting() {
    run(async {
        let c = Client::start().await;
        c.user("b", json!({ "title": "Z", "externalId": "a", "emails": [{ "value": "1@x" }, { "value": "9@x", "primary": true }] })).await;
        c.server.pass(TimeDelta::seconds(1));
        c.user(
            "C",
            json!({ "title": "a", "externalId": "B", "emails": [{ "value": "5@x" }] }),
        )
        .await;
        c.server.pass(TimeDelta::seconds(1));
        c.user("a", json!({})).await;
        for (by, ascending, descending) in [
            ("userName", "abC", "Cba"),
            ("title", "Cba", "abC"),
            ("externalId", "Cba", "abC"),
            ("emails", "Cba", "abC"),
            ("emails.value", "Cba", "abC"),
            ("meta.created", "bCa", "aCb"),
            ("META.lastmodified", "bCa", "aCb"),
        ] {
            for order in ["", "ascending", "Ascending"] {
                let list = c
                    .query("/Users", &[("sortBy", by), ("sortOrder", order)])
                    .await
                    .is(200);
                assert_eq!(names(&list).concat(), ascending, "{by} {order}");
            }
            let list = c
                .query("/Users", &[("sortBy", by), ("sortOrder", "descending")])
                .await
                .is(200);
            assert_eq!(names(&list).concat(), descending, "{by} descending");
            // Over pages as well.
            let mut paged = String::new();
            for start in ["1", "2", "3"] {
                let list = c
                    .query(
                        "/Users",
                        &[("sortBy", by), ("startIndex", start), ("count", "1")],
                    )
                    .await
                    .is(200);
                paged += &names(&list).concat();
            }
            assert_eq!(paged, ascending, "{by} in pages");
            let (mut walked, mut cursor) = (String::new(), String::new());
            loop {
                let list = c
                    .query(
                        "/Users",
                        &[
                            ("sortBy", by),
                            ("sortOrder", "descending"),
                            ("cursor", &cursor),
                            ("count", "1"),
                        ],
                    )
                    .await
                    .is(200);
                walked += &names(&list).concat();
                match list.get("nextCursor") {
                    Some(next) => cursor = text(next),
                    None => break,
                }
            }
            assert_eq!(walked, descending, "{by} with a cursor");
        }
        c.query("/Users", &[("sortBy", "nope")])
            .await
            .refused(400, "invalidValue");
        c.query(
            "/Users",
            &[("sortBy", "userName"), ("sortOrder", "sideways")],
        )
        .await
        .refused(400, "invalidValue");
    });
}

#[test]
fn pages() {
    run(async {
        let c = Client::start().await;
        for n in 0..7 {
            c.user(&format!("u{n}"), json!({})).await;
        }
        for (query, start, shown) in [
            ("", 1, 7),
            ("?startIndex=0", 1, 7),
            ("?startIndex=-5&count=3", 1, 3),
            ("?count=-1", 1, 0),
            ("?count=0", 1, 0),
            ("?startIndex=6&count=5", 6, 2),
            ("?startIndex=8", 8, 0),
            ("?startIndex=100&count=2", 100, 0),
            ("?STARTINDEX=2&COUNT=2", 2, 2),
            ("?count=100000", 1, 7),
        ] {
            let list = c.get(&format!("/Users{query}")).await.is(200);
            assert_eq!(list["schemas"], json!([LIST]));
            assert_eq!(
                (&list["totalResults"], &list["startIndex"]),
                (&json!(7), &json!(start)),
                "{query}"
            );
            let resources = list
                .get("Resources")
                .and_then(Value::as_array)
                .map_or(0, Vec::len);
            assert_eq!(
                (resources, &list["itemsPerPage"]),
                (shown, &json!(shown)),
                "{query}"
            );
        }
        c.get("/Users?count=x").await.refused(400, "invalidValue");
        c.get("/Users?startIndex=1.5")
            .await
            .refused(400, "invalidValue");
        // Pages do not shift because of those that come after.
        let first = names(&c.get("/Users?count=3").await.is(200));
        c.user("a-new-one", json!({})).await;
        assert_eq!(names(&c.get("/Users?count=3").await.is(200)), first);
    });
}

#[test]
fn a_walk_with_a_cursor_meets_everybody_who_was_there_throughout() {
    run(async {
        let c = Client::start().await;
        let mut stay = vec![];
        let mut go = vec![];
        for n in 0..60 {
            let made = c
                .user(
                    &format!("u{n:02}"),
                    json!({ "title": format!("t{}", n % 4) }),
                )
                .await;
            if n % 3 == 0 {
                go.push(made)
            } else {
                stay.push(text(&made["userName"]))
            }
        }
        for sort in [None, Some("title"), Some("userName")] {
            let (mut seen, mut cursor, mut n) = (vec![], String::new(), 0);
            loop {
                let mut query = vec![
                    ("cursor", &*cursor),
                    ("count", "7"),
                    ("filter", "userName pr"),
                ];
                query.extend(sort.map(|by| ("sortBy", by)));
                let list = c.query("/Users", &query).await.is(200);
                let page = names(&list);
                assert!(page.len() <= 7);
                seen.extend(page);
                // Meanwhile.
                if let Some(gone) = go.pop() {
                    c.delete(&path(&gone)).await.is(204);
                }
                for title in ["t0", "t3"] {
                    n += 1;
                    let made = c
                        .user(
                            &format!("n{n}{}", sort.unwrap_or("-")),
                            json!({ "title": title }),
                        )
                        .await;
                    go.insert(0, made);
                }
                let Some(next) = list.get("nextCursor") else {
                    break;
                };
                cursor = text(next);
                assert!(
                    cursor
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b)),
                    "{cursor}"
                );
                assert!(n < 200, "endless");
            }
            let mut unique = seen.clone();
            unique.sort();
            unique.dedup();
            assert_eq!(unique.len(), seen.len(), "nobody twice, sorted by {sort:?}");
            for name in &stay {
                assert!(
                    seen.contains(name),
                    "{name} was skipped, sorted by {sort:?}"
                );
            }
        }
    });
}

/// Adds 20,000 users to a configuration that has none, in blocks of different sizes.
async fn fill(c: &Client) -> Vec<String> {
    c.execute(
        "with n as (select gen_random_uuid() as id, gen_random_uuid() as user_id, 'n' || n as name,
                 floor(sqrt(n) / 20)::integer as block from generate_series(1, 20000) n),
             resources as (
                 select id, user_id, name, block, jsonb_build_object('schemas', jsonb_build_array('urn:ietf:params:scim:schemas:core:2.0:User'),
                     'userName', name, 'active', true) as resource from n),
             members as (
                 insert into users (organization_id, id, email, email_key, email_verified, name, avatar_url, role, status, created_at, updated_at)
                 select $1, user_id, '', '', false, name, '', 'member', 'active', now(), now() from n),
             counts as (
                 insert into scim_user_blocks select $1, $2, block, ascii(right(name, 1)) % 3, count(*) from n group by 3, 4)
         insert into scim_users (organization_id, scim_configuration_id, id, user_id, user_name, user_name_key, external_id,
             display_name_key, active, resource, search, version, created_at, last_modified, block)
         select $1, $2, id, user_id, name, name, null, null, true, resource, resource, 1, now(), now(), block from resources",
    )
    .await;
    let ids: Vec<(Uuid,)> = c
        .rows("select id from scim_users where organization_id = $1 and scim_configuration_id = $2 order by id")
        .await;
    ids.into_iter().map(|(id,)| id.to_string()).collect()
}

#[test]
fn a_walk_through_20_000_users_meets_everybody_who_was_there_throughout() {
    run(async {
        let c = Client::start().await;
        let ids = fill(&c).await;
        for (turn, sort) in [None, Some("userName")].into_iter().enumerate() {
            // Some of those that are left, from all over the list, go while it is walked.
            let goes = |n: usize| n % 200 <= turn;
            let mut go = (0..ids.len()).filter(|n| n % 200 == turn);
            let (mut seen, mut cursor, mut made, mut page) =
                (HashSet::new(), String::new(), vec![], 0);
            loop {
                page += 1;
                let mut query = vec![
                    ("cursor", &*cursor),
                    ("count", "1000"),
                    ("attributes", "id"),
                ];
                query.extend(sort.map(|by| ("sortBy", by)));
                let others = async {
                    for _ in 0..4 {
                        if let Some(gone) = go.next() {
                            c.delete(&format!("/Users/{}", ids[gone])).await.is(204);
                        }
                    }
                    for name in ["a", "n1500", "z"] {
                        let name = format!("{name}-{turn}-{page}");
                        made.push(c.user(&name, json!({})).await);
                    }
                    let gone = made.remove(made.len() / 2);
                    c.delete(&path(&gone)).await.is(204);
                };
                let (list, ()) =
                    futures_util::future::join(c.query("/Users", &query), others).await;
                let list = list.is(200);
                for user in list["Resources"].as_array().unwrap() {
                    let id = text(&user["id"]);
                    assert!(
                        seen.insert(id.clone()),
                        "{id} came twice, sorted by {sort:?}"
                    );
                }
                match list.get("nextCursor") {
                    Some(next) => cursor = text(next),
                    None => break,
                }
            }
            let stay = ids.iter().enumerate().filter(|(n, _)| !goes(*n));
            for (_, id) in stay {
                assert!(seen.contains(id), "{id} was skipped, sorted by {sort:?}");
            }
            let left = c.get("/Users?count=0").await.is(200)["totalResults"].clone();
            let rows: Vec<(i64,)> = c
                .rows("select count(*) from scim_users where organization_id = $1 and scim_configuration_id = $2")
                .await;
            assert_eq!(left, rows[0].0, "the total is exact");
        }
    });
}

#[test]
fn a_walk_by_index_meets_everybody_while_others_come_and_go_behind_it() {
    run(async {
        let c = Client::start().await;
        fill(&c).await;
        let ids: Vec<(Uuid,)> = c
            .rows("select id from scim_users where organization_id = $1 and scim_configuration_id = $2 order by block, id")
            .await;
        let ids: Vec<String> = ids.into_iter().map(|(id,)| id.to_string()).collect();
        // Those who go stand behind the pages that were read by then.
        let mut go = ids.iter().rev().step_by(3).take(80).cloned();
        let gone: HashSet<String> = go.clone().collect();
        let (mut seen, mut start) = (vec![], 1);
        loop {
            let others = async {
                for _ in 0..4 {
                    if let Some(gone) = go.next() {
                        c.delete(&format!("/Users/{gone}")).await.is(204);
                    }
                }
                c.user(&format!("new-{start}"), json!({})).await;
            };
            let index = start.to_string();
            let query = [
                ("startIndex", &*index),
                ("count", "1000"),
                ("attributes", "id"),
            ];
            let (list, ()) = futures_util::future::join(c.query("/Users", &query), others).await;
            let list = list.is(200);
            let page = list["Resources"].as_array().unwrap();
            seen.extend(page.iter().map(|user| text(&user["id"])));
            start += page.len();
            if page.is_empty() {
                break;
            }
        }
        let unique: HashSet<&String> = seen.iter().collect();
        assert_eq!(unique.len(), seen.len(), "nobody came twice");
        for id in ids.iter().filter(|id| !gone.contains(*id)) {
            assert!(unique.contains(id), "{id} was skipped");
        }
        // Long after, every index leads to the same list, and the total to its end.
        let rows: Vec<(Uuid,)> = c
            .rows("select id from scim_users where organization_id = $1 and scim_configuration_id = $2 order by block, id")
            .await;
        let total = rows.len();
        for start in [
            1,
            2,
            399,
            400,
            401,
            7_000,
            total - 1,
            total,
            total + 1,
            total + 5_000,
        ] {
            let index = start.to_string();
            let query = [
                ("startIndex", &*index),
                ("count", "3"),
                ("attributes", "id"),
            ];
            let list = c.query("/Users", &query).await.is(200);
            assert_eq!(list["totalResults"], total, "from {start}");
            let found = list["Resources"]
                .as_array()
                .unwrap()
                .iter()
                .map(|user| text(&user["id"]));
            let expected = rows
                .iter()
                .skip(start - 1)
                .take(3)
                .map(|(id,)| id.to_string());
            assert!(found.eq(expected), "from {start}");
        }
    });
}

#[test]
fn users_that_are_made_and_deleted_at_once_are_counted_where_they_are() {
    run(async {
        needs_parallel_connections();
        let c = Client::start().await;
        let turn = async |n: usize| {
            let mut left = 0;
            for m in 0..6 {
                let made = c.user(&format!("u-{n}-{m}"), json!({})).await;
                match (n + m) % 3 {
                    0 => {
                        c.delete(&path(&made)).await.is(204);
                    }
                    _ => left += 1,
                }
            }
            left
        };
        let left: usize = futures_util::future::join_all((0..6).map(turn))
            .await
            .iter()
            .sum();
        let counted: Vec<(i64, i64)> = c
            .rows(
                "select coalesce(c.count, 0), coalesce(u.count, 0) from (
                     select block, sum(count)::bigint as count from scim_user_blocks
                     where organization_id = $1 and scim_configuration_id = $2 group by block) c
                 full join (
                     select block, count(*) as count from scim_users
                     where organization_id = $1 and scim_configuration_id = $2 group by block) u using (block)",
            )
            .await;
        assert!(
            counted.iter().all(|(counted, there)| counted == there),
            "{counted:?}"
        );
        assert_eq!(
            c.get("/Users?startIndex=2&count=1").await.is(200)["totalResults"],
            left
        );
    });
}

#[test]
fn a_user_counts_once_however_many_addresses_match() {
    run(async {
        let c = Client::start().await;
        let emails = |addresses: &[&str]| {
            let values: Vec<Value> = addresses.iter().map(|a| json!({ "value": a })).collect();
            json!({ "emails": values })
        };
        let ann = c.user("ann", emails(&["ann@example.com"])).await;
        c.user(
            "bob",
            emails(&["an@example.com", "anna@example.com", "bob@example.com"]),
        )
        .await;
        c.user("eve", emails(&["eve@example.com"])).await;
        let total = async || {
            let query = [("filter", "emails.value sw \"an\""), ("count", "1")];
            c.query("/Users", &query).await.is(200)["totalResults"].clone()
        };
        assert_eq!(total().await, 2);
        for (addresses, expected) in [
            (&["ann@example.com", "ann@example.net"][..], 2),
            (&["ann@example.net"], 2),
            (&["ann@example.net", "x@example.com"], 2),
            (&["x@example.com"], 1),
            (&[], 1),
        ] {
            let body = user("ann", emails(addresses));
            c.put(&path(&ann), body).await.is(200);
            assert_eq!(total().await, expected, "{addresses:?}");
            let alone: Vec<(bool,)> = c
                .rows(
                    "select alone from scim_user_emails where organization_id = $1 and scim_configuration_id = $2
                         and scim_user_id = (select id from scim_users where organization_id = $1 and scim_configuration_id = $2
                             and user_name_key = 'ann')",
                )
                .await;
            let is_alone = alone.len() == 1;
            assert!(
                alone.iter().all(|(alone,)| *alone == is_alone),
                "{addresses:?}"
            );
        }
    });
}

#[test]
fn totals_are_exact_whatever_came_and_went() {
    run(async {
        let c = Client::start().await;
        let total = async || c.get("/Users?count=0").await.is(200)["totalResults"].clone();
        assert_eq!(total().await, 0);
        let bob = c.user("bob", json!({})).await;
        c.user("ann", json!({})).await;
        assert_eq!(total().await, 2);
        c.post("/Users", user("Ann", json!({})))
            .await
            .refused(409, "uniqueness");
        assert_eq!(total().await, 2, "a refusal does not count");
        c.delete(&path(&bob)).await.is(204);
        c.delete(&path(&bob)).await.refused(404, "");
        assert_eq!(total().await, 1, "somebody goes once");
        c.user("bob", json!({})).await;
        assert_eq!(total().await, 2, "and comes back");
        let operation = |n: usize| json!({ "method": "POST", "path": "/Users", "bulkId": format!("b{n}"), "data": user(&format!("u{n}"), json!({})) });
        let operations: Vec<Value> = (0..5).map(operation).collect();
        c.post(
            "/Bulk",
            json!({ "schemas": [BULK], "Operations": operations }),
        )
        .await
        .is(200);
        assert_eq!(total().await, 7);
        let beside = c.beside(json!({})).await;
        assert_eq!(beside.get("/Users").await.is(200)["totalResults"], 0);
        assert_eq!(
            c.get("/Users?cursor&count=1").await.is(200)["totalResults"],
            7
        );
        assert_eq!(
            c.get("/Users?startIndex=3&count=2").await.is(200)["totalResults"],
            7
        );
    });
}

#[test]
fn cursors_are_bound_and_expire() {
    run(async {
        let c = Client::start().await;
        for n in 0..5 {
            c.user(&format!("u{n}"), json!({})).await;
        }
        let list = c.get("/Users?cursor&count=2").await.is(200);
        assert_eq!(list["totalResults"], 5);
        let next = text(&list["nextCursor"]);
        for query in [
            format!("cursor={next}&count=2&filter=userName+pr"),
            format!("cursor={next}&count=2&sortBy=userName"),
            format!("cursor={next}x&count=2"),
            "cursor=nonsense&count=2".to_owned(),
        ] {
            c.get(&format!("/Users?{query}"))
                .await
                .refused(400, "invalidCursor");
        }
        c.get(&format!("/Groups?cursor={next}&count=2"))
            .await
            .refused(400, "invalidCursor");
        c.get("/Users?cursor&count=-1")
            .await
            .refused(400, "invalidCount");
        // The same in a search.
        let body = |cursor: &str| json!({ "schemas": [SEARCH], "cursor": cursor, "count": 2 });
        let first = c.post("/Users/.search", body("")).await.is(200);
        assert_eq!(names(&first), names(&list));
        let second = c
            .post("/Users/.search", body(&text(&first["nextCursor"])))
            .await
            .is(200);
        assert_eq!(second["itemsPerPage"], 2);
        let third = c
            .post("/Users/.search", body(&text(&second["nextCursor"])))
            .await
            .is(200);
        assert_eq!(
            (&third["itemsPerPage"], third.get("nextCursor")),
            (&json!(1), None)
        );
        let again = c
            .get(&format!("/Users?cursor={next}&count=2"))
            .await
            .is(200);
        assert_eq!(names(&again), names(&second));
        let timeout = c.get("/ServiceProviderConfig").await.is(200)["pagination"]["cursorTimeout"]
            .as_i64()
            .unwrap();
        c.server.pass(TimeDelta::seconds(timeout + 1));
        c.get(&format!("/Users?cursor={next}&count=2"))
            .await
            .refused(400, "expiredCursor");
    });
}

#[test]
fn searches_of_one_endpoint_and_of_all() {
    run(async {
        let c = Client::start().await;
        let bob = c.user("bob", json!({ "displayName": "Same" })).await;
        c.group("Same", &[&bob]).await;
        let body = json!({ "schemas": [SEARCH], "filter": "displayName eq \"same\"", "excludedAttributes": ["members"], "sortBy": "displayName" });
        let list = c.post("/.search", body.clone()).await.is(200);
        assert_eq!(list["totalResults"], 2);
        let kinds: Vec<&Value> = list["Resources"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| &r["meta"]["resourceType"])
            .collect();
        assert!(kinds.contains(&&json!("User")) && kinds.contains(&&json!("Group")));
        assert_eq!(
            c.post("/Groups/.search", body).await.is(200)["totalResults"],
            1
        );
        for (start, count) in [(1, 1), (2, 1)] {
            let body = json!({ "schemas": [SEARCH], "startIndex": start, "count": count });
            let list = c.post("/.search", body).await.is(200);
            assert_eq!(
                (&list["totalResults"], &list["itemsPerPage"]),
                (&json!(2), &json!(1))
            );
        }
        c.post("/.search", json!({ "schemas": ["urn:x"] }))
            .await
            .refused(400, "invalidSyntax");
        c.post(
            "/Users/.search",
            json!({ "schemas": [SEARCH], "filter": "nope pr" }),
        )
        .await
        .refused(400, "invalidFilter");
    });
}

#[test]
fn members_of_a_search_have_their_types() {
    run(async {
        let c = Client::start().await;
        c.user("bob", json!({})).await;
        for (name, value, scim_type) in [
            ("filter", json!(5), "invalidFilter"),
            ("filter", json!({ "userName": "bob" }), "invalidFilter"),
            ("filter", json!(["userName pr"]), "invalidFilter"),
            ("filter", json!(true), "invalidFilter"),
            ("filter", json!("nope"), "invalidFilter"),
            ("sortBy", json!(["userName"]), "invalidValue"),
            ("sortBy", json!(1), "invalidValue"),
            ("sortOrder", json!(true), "invalidValue"),
            ("sortOrder", json!(["descending"]), "invalidValue"),
            ("startIndex", json!("x"), "invalidValue"),
            ("startIndex", json!([1]), "invalidValue"),
            ("startIndex", json!(1.5), "invalidValue"),
            ("count", json!({}), "invalidValue"),
            ("count", json!(false), "invalidValue"),
            ("cursor", json!(1), "invalidCursor"),
            ("cursor", json!({}), "invalidCursor"),
            ("attributes", json!(5), "invalidValue"),
            ("attributes", json!({ "userName": true }), "invalidValue"),
            ("attributes", json!(["userName", 5]), "invalidValue"),
            ("excludedAttributes", json!([["userName"]]), "invalidValue"),
            ("excludedAttributes", json!(false), "invalidValue"),
        ] {
            for path in ["/Users/.search", "/.search"] {
                let reply = c.post(path, json!({ name: value })).await;
                assert_eq!(reply.status, 400, "{path} {name} {value}");
                let detail = reply.refused(400, scim_type);
                assert!(detail.contains(name), "{detail}");
            }
        }
        for name in [
            "filter",
            "sortBy",
            "sortOrder",
            "startIndex",
            "count",
            "attributes",
            "excludedAttributes",
        ] {
            let reply = c.post("/Users/.search", json!({ name: null })).await;
            assert_eq!(reply.is(200)["totalResults"], 1, "{name}");
        }
    });
}

#[test]
fn filters_on_references_and_names_find_what_is_shown() {
    run(async {
        let c = Client::start().await;
        let ada = c.user("ada", json!({ "displayName": "Ada L." })).await;
        let bob = c.user("bob", json!({})).await;
        let inner = c.group("Inner", &[&ada]).await;
        let outer = c.group("Outer", &[&inner, &bob]).await;
        let named = json!({ "schemas": [G], "displayName": "Named", "members": [
            { "value": bob["id"], "display": "Robert", "type": "User" }, { "value": "later", "type": "Device" },
        ] });
        c.post("/Groups", named).await.is(201);
        let location = |resource: &Value| text(&resource["meta"]["location"]);
        for (filter, expected) in [
            (
                r#"members.type eq "User""#.to_owned(),
                vec!["Inner", "Named", "Outer"],
            ),
            (r#"members.type eq "group""#.to_owned(), vec!["Outer"]),
            (r#"members.type eq "device""#.to_owned(), vec!["Named"]),
            (r#"members.display eq "ada l.""#.to_owned(), vec!["Inner"]),
            (r#"members.display eq "bob""#.to_owned(), vec!["Outer"]),
            (r#"members.display eq "ROBERT""#.to_owned(), vec!["Named"]),
            (r#"members.display sw "inn""#.to_owned(), vec!["Outer"]),
            (
                r#"members[display eq "bob" and type eq "User"]"#.to_owned(),
                vec!["Outer"],
            ),
            (
                r#"members[display eq "inner" and type eq "User"]"#.to_owned(),
                vec![],
            ),
            (
                format!("members.$ref eq \"{}\"", location(&bob)),
                vec!["Named", "Outer"],
            ),
            (
                format!("members.$ref eq \"{}\"", location(&inner)),
                vec!["Outer"],
            ),
            (
                format!(
                    "members[$ref eq \"{}\" and display eq \"bob\"]",
                    location(&bob)
                ),
                vec!["Outer"],
            ),
            (
                format!("members.$ref eq \"{}\"", location(&bob).to_uppercase()),
                vec![],
            ),
            (
                format!("members.$ref ew \"{}\"", text(&ada["id"])),
                vec!["Inner"],
            ),
            ("members[not ($ref pr)]".to_owned(), vec!["Named"]),
        ] {
            let found = c.found("/Groups", &filter).await;
            let mut names: Vec<String> = found.iter().map(|g| text(&g["displayName"])).collect();
            names.sort();
            assert_eq!(names, expected, "{filter}");
        }
        for (filter, expected) in [
            (r#"groups.display eq "INNER""#.to_owned(), vec!["ada"]),
            (
                r#"groups.display eq "outer""#.to_owned(),
                vec!["ada", "bob"],
            ),
            (
                r#"groups[display eq "outer" and type eq "direct"]"#.to_owned(),
                vec!["bob"],
            ),
            (
                format!("groups.$ref eq \"{}\"", location(&outer)),
                vec!["ada", "bob"],
            ),
            (
                format!(
                    "groups[$ref eq \"{}\" and type eq \"indirect\"]",
                    location(&outer)
                ),
                vec!["ada"],
            ),
            (format!("groups.$ref eq \"{}\"", location(&ada)), vec![]),
            (
                r#"groups.$ref co "/Groups/""#.to_owned(),
                vec!["ada", "bob"],
            ),
            ("groups.$ref pr".to_owned(), vec!["ada", "bob"]),
        ] {
            assert_eq!(c.names(&filter).await, expected, "{filter}");
        }
    });
}
