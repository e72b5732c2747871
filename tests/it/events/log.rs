//! Following the log from a cursor on: nothing is missed, nothing comes twice.

use chrono::{DateTime, TimeDelta, Utc};
use rollcall::domain::identity::Role;
use rollcall::store::Transaction;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Reader, ask, page};
use crate::api::methods::{call, join};
use crate::support::{Server, needs_database, run};

async fn rename(tx: &mut Transaction, server: &Server, member: &str, name: &str) {
    sqlx::query("update users set name = $3 where organization_id = $1 and id = $2")
        .bind(server.organization_id().as_uuid())
        .bind(member.parse::<Uuid>().unwrap())
        .bind(name)
        .execute(&mut **tx)
        .await
        .unwrap();
}

fn names(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["data"]["name"].as_str().unwrap())
        .collect()
}

#[test]
fn what_commits_late_comes_late_and_once() {
    if needs_database().is_none() {
        return;
    }
    run(async {
        let server = Server::start().await;
        let anna = join(&server, "anna@example.com", "Anna").await;
        let berta = join(&server, "berta@example.com", "Berta").await;
        let mut reader = Reader::start(&server).await;

        let mut slow = server.app.store.begin().await.unwrap();
        rename(&mut slow, &server, &anna, "slow").await;
        let mut quick = server.app.store.begin().await.unwrap();
        rename(&mut quick, &server, &berta, "quick").await;
        quick.commit().await.unwrap();
        assert_eq!(names(&reader.read().await), ["quick"]);
        assert!(reader.read().await.is_empty());
        slow.commit().await.unwrap();
        assert_eq!(names(&reader.read().await), ["slow"]);
        assert!(reader.read().await.is_empty());
    });
}

#[test]
fn what_began_last_and_wrote_first_comes_late_and_once() {
    if needs_database().is_none() {
        return;
    }
    run(async {
        let server = Server::start().await;
        let anna = join(&server, "anna@example.com", "Anna").await;
        let berta = join(&server, "berta@example.com", "Berta").await;
        let mut reader = Reader::start(&server).await;

        let mut first = server.app.store.begin().await.unwrap();
        sqlx::query("select pg_current_xact_id()")
            .execute(&mut *first)
            .await
            .unwrap();
        let mut last = server.app.store.begin().await.unwrap();
        rename(&mut last, &server, &anna, "last").await;
        rename(&mut first, &server, &berta, "first").await;
        first.commit().await.unwrap();
        assert_eq!(names(&reader.read().await), ["first"]);
        last.commit().await.unwrap();
        assert_eq!(names(&reader.read().await), ["last"]);
        assert!(reader.read().await.is_empty());
    });
}

#[test]
fn more_that_comes_late_than_a_page_has_is_read_in_pages() {
    if needs_database().is_none() {
        return;
    }
    run(async {
        let server = Server::start().await;
        let anna = join(&server, "anna@example.com", "Anna").await;
        let berta = join(&server, "berta@example.com", "Berta").await;
        let cesar = join(&server, "cesar@example.com", "Cesar").await;
        let mut cursor = Reader::start(&server).await.cursor;

        let mut slow = server.app.store.begin().await.unwrap();
        let mut slower = server.app.store.begin().await.unwrap();
        for number in 0..5 {
            rename(&mut slow, &server, &anna, &format!("slow {number}")).await;
            rename(&mut slower, &server, &berta, &format!("slower {number}")).await;
        }
        let mut quick = server.app.store.begin().await.unwrap();
        rename(&mut quick, &server, &cesar, "quick").await;
        quick.commit().await.unwrap();
        let mut read = vec![];
        let mut steps = [Some(slow), Some(slower)].into_iter();
        loop {
            let page = page(&server, &cursor, json!({ "pageSize": 2 })).await;
            page["cursor"].as_str().unwrap().clone_into(&mut cursor);
            let events = page["events"].as_array().cloned().unwrap_or_default();
            read.extend(names(&events).into_iter().map(ToOwned::to_owned));
            // The second one ends while the events of the first are read.
            if matches!(read.len(), 1 | 3)
                && let Some(Some(tx)) = steps.next()
            {
                tx.commit().await.unwrap();
                continue;
            }
            if page["hasMore"] != true {
                break;
            }
        }
        let of = |who: &str| {
            let whose: Vec<_> = read.iter().filter(|name| name.starts_with(who)).collect();
            whose.into_iter().map(String::as_str).collect::<Vec<_>>()
        };
        assert_eq!(of("quick"), ["quick"]);
        assert_eq!(
            of("slow "),
            ["slow 0", "slow 1", "slow 2", "slow 3", "slow 4"]
        );
        let expected = ["slower 0", "slower 1", "slower 2", "slower 3", "slower 4"];
        assert_eq!(of("slower"), expected);
        assert_eq!(read.len(), 11);
    });
}

#[test]
fn what_is_rolled_back_is_not_told() {
    run(async {
        let server = Server::start().await;
        let anna = join(&server, "anna@example.com", "Anna").await;
        let mut reader = Reader::start(&server).await;
        let mut tx = server.app.store.begin().await.unwrap();
        rename(&mut tx, &server, &anna, "never").await;
        drop(tx);
        join(&server, "berta@example.com", "Berta").await;
        assert_eq!(reader.types().await, ["member.created"]);
    });
}

#[test]
fn a_filter_leaves_out_the_rest_and_the_cursor_goes_on() {
    run(async {
        let server = Server::start().await;
        let anna = join(&server, "anna@example.com", "Anna").await;
        let berta = join(&server, "berta@example.com", "Berta").await;
        server.sso("wiki").await;
        let types = json!({ "types": ["sso_configuration.created"] });
        let found = page(&server, "", types.clone()).await;
        assert_eq!(found["events"].as_array().unwrap().len(), 1);
        let cursor = found["cursor"].as_str().unwrap();
        let rest = page(&server, cursor, types).await;
        assert_eq!(rest.get("events"), None);

        let found = page(&server, "", json!({ "subjectIds": [berta] })).await;
        assert_eq!(names(found["events"].as_array().unwrap()), ["Berta"]);
        let both = json!({ "subjectIds": [anna], "types": ["sso_configuration.created"] });
        assert_eq!(page(&server, "", both).await.get("events"), None);
    });
}

#[test]
fn few_that_are_wanted_among_many_come_in_pages_and_once() {
    run(async {
        let server = Server::start().await;
        for name in ["first", "second", "third"] {
            server.sso(name).await;
            for number in 0..9 {
                join(&server, &format!("{name}-{number}@example.com"), name).await;
            }
        }
        let mut request = json!({ "types": ["sso_configuration.created"], "pageSize": 2 });
        let (mut cursor, mut told, mut pages) = (String::new(), vec![], 0);
        loop {
            let found = page(&server, &cursor, request.clone()).await;
            found["cursor"].as_str().unwrap().clone_into(&mut cursor);
            told.extend(found["events"].as_array().cloned().unwrap_or_default());
            pages += 1;
            if found["hasMore"] != true {
                break;
            }
            request["pageSize"] = json!(1);
        }
        let names: Vec<&Value> = told
            .iter()
            .map(|event| &event["data"]["display_name"])
            .collect();
        assert_eq!(names.len(), 3, "{names:?}");
        assert!(told.iter().all(|event| event["data"]["id"].is_string()));
        assert!((2..=3).contains(&pages), "{pages}");
    });
}

#[test]
fn a_reader_may_begin_at_a_moment() {
    run(async {
        let server = Server::start().await;
        join(&server, "anna@example.com", "Anna").await;
        let mut db = server.app.store.acquire().await.unwrap();
        // An event of long ago, and one that is yet to come.
        for (time, seq) in [
            ("2021-01-01T00:00:00Z", 1_i64),
            ("2099-01-01T00:00:00Z", i64::MAX / 2),
        ] {
            sqlx::query(
                "insert into events (organization_id, seq, time, type, subject_id, order_key, data, previous)
                 select organization_id, $2, $3, 'member.updated', subject_id, order_key, '{}', '{}' from events
                 where organization_id = $1 and type = 'member.created'",
            )
            .bind(server.organization_id().as_uuid())
            .bind(seq)
            .bind(time.parse::<DateTime<Utc>>().unwrap())
            .execute(&mut *db)
            .await
            .unwrap();
        }
        drop(db);
        let count = async |start: &str| {
            let types = ["member.created", "member.updated"];
            let of_members = json!({ "startTime": start, "types": types });
            let found = page(&server, "", of_members).await;
            found["events"].as_array().map_or(0, Vec::len)
        };
        assert_eq!(count("2020-01-01T00:00:00Z").await, 3);
        assert_eq!(count("2022-01-01T00:00:00Z").await, 2);
        assert_eq!(count("2090-01-01T00:00:00Z").await, 1);
        assert_eq!(count("2100-01-01T00:00:00Z").await, 0);
    });
}

#[test]
fn a_cursor_that_is_too_old_says_how_to_start_over() {
    run(async {
        let server = Server::start().await;
        let reader = Reader::start(&server).await;
        page(&server, &reader.cursor, json!({})).await;
        server.pass(TimeDelta::days(400));
        let request = json!({ "cursor": reader.cursor });
        let refused = ask(&server, "ListEvents", request).await;
        let message = refused.error("failed_precondition");
        assert!(message.contains("ListSubjects"), "{message}");
    });
}

#[test]
fn what_is_no_cursor_is_told() {
    run(async {
        let server = Server::start().await;
        for cursor in ["x", "e30", "💥"] {
            let refused = ask(&server, "ListEvents", json!({ "cursor": cursor })).await;
            refused.error("invalid_argument");
            let refused = ask(&server, "ListSubjects", json!({ "pageToken": cursor })).await;
            refused.error("invalid_argument");
        }
    });
}

#[test]
fn attack_events_of_another_organization() {
    run(async {
        let server = Server::start().await;
        let stranger = server.neighbour().await;
        let anna = join(&server, "anna@example.com", "Anna").await;
        let cursor = Reader::start(&server).await.cursor;
        join(&server, "berta@example.com", "Berta").await;
        for cursor in ["", &*cursor] {
            let found = page(&stranger, cursor, json!({ "subjectIds": [anna] })).await;
            assert_eq!(found.get("events"), None);
            let found = page(&stranger, cursor, json!({})).await;
            assert!(!found.to_string().contains(&server.organization), "{found}");
        }
        let first = ask(&server, "ListSubjects", json!({ "pageSize": 1 }))
            .await
            .ok();
        let request = json!({ "pageToken": first["nextPageToken"] });
        let found = ask(&stranger, "ListSubjects", request).await.ok();
        assert_eq!(found.get("subjects"), None);
    });
}

#[test]
fn members_do_not_read_events_and_operators_read_all() {
    run(async {
        let server = Server::start().await;
        let anna = join(&server, "anna@example.com", "Anna").await;
        let member = server.token(Role::Member, false).await;
        let operator = server.operator_token().await;
        let path = "rollcall.v1.EventService/ListEvents";
        let request = json!({ "subjectIds": [anna] });
        call(&server, path, Some(&member), &request)
            .await
            .error("permission_denied");
        let mut request = json!({ "subjectIds": [anna], "pageSize": 1000 });
        if server.app.store.is_distributed() {
            let refused = call(&server, path, Some(&operator), &request).await;
            refused.error("failed_precondition");
            return;
        }
        let event = loop {
            let found = call(&server, path, Some(&operator), &request).await.ok();
            if let Some(event) = found["events"].get(0) {
                break event.clone();
            }
            assert_eq!(found["hasMore"], true, "{found}");
            request["cursor"] = found["cursor"].clone();
        };
        assert_eq!(event["organizationId"], *server.organization);
        assert_eq!(event["subjectId"], *anna);
    });
}

#[test]
fn old_events_are_deleted_and_no_others() {
    run(async {
        let server = Server::start().await;
        join(&server, "anna@example.com", "Anna").await;
        let mut db = server.app.store.acquire().await.unwrap();
        sqlx::query(
            "insert into events (organization_id, time, type, subject_id, order_key, data, previous)
             values ($1, '2020-01-01', 'member.updated', $1, $1, '{}', '{}')",
        )
        .bind(server.organization_id().as_uuid())
        .execute(&mut *db)
        .await
        .unwrap();
        drop(db);
        let mut reader = Reader {
            server: server.clone(),
            cursor: String::new(),
        };
        assert_eq!(reader.read().await.len(), 3);
        let kept = server.app.kept.events;
        rollcall::jobs::events::delete_old(&server.app, kept)
            .await
            .unwrap();
        reader.cursor = String::new();
        let kept = ["service_account_token.created", "member.created"];
        assert_eq!(reader.types().await, kept);
    });
}
