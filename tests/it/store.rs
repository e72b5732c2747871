//! The connections of a process.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use rollcall::error::Error;
use rollcall::store::{Access, Connection, Store};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, query, query_scalar, raw_sql};
use tokio::time::timeout;

use crate::support::{needs_database, run};

async fn process_of(db: &mut Connection) -> i32 {
    query_scalar("select pg_backend_pid()")
        .fetch_one(db)
        .await
        .unwrap()
}

async fn process(store: &Store) -> i32 {
    let mut db = store.acquire().await.unwrap();
    let process = process_of(&mut db).await;
    drop(db);
    process
}

/// What PostgreSQL calls the error of a statement.
fn code_of(error: sqlx::Error) -> String {
    let error = error.into_database_error().unwrap();
    error.code().unwrap().into_owned()
}

/// Lets a future begin, and tells whether it is not over yet.
async fn is_pending<F: Future>(future: &mut Pin<Box<F>>) -> bool {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

#[test]
fn one_connection_serves_all_whatever_became_of_the_one_before() {
    run(async {
        // The embedded PostgreSQL has one connection anyway.
        let Some(url) = needs_database() else { return };
        let store = Store::connect(&url, 1).await.unwrap();
        let first = process(&store).await;
        assert_eq!(process(&store).await, first, "released");

        let mut db = store.acquire().await.unwrap();
        let failed = query("select 1 / 0").execute(&mut *db).await;
        assert_eq!(code_of(failed.unwrap_err()), "22012", "division by zero");
        drop(db);
        assert_eq!(process(&store).await, first, "left with an error");

        for under_way in [
            "select pg_sleep(0.1)",
            "select 1 / (pg_sleep(0.1) is null)::int",
        ] {
            let mut db = store.acquire().await.unwrap();
            let mut query = Box::pin(raw_sql(under_way).execute(&mut *db));
            assert!(is_pending(&mut query).await);
            drop(query);
            drop(db);
            assert_eq!(process(&store).await, first, "left in {under_way}");
        }

        let mut tx = store.begin().await.unwrap();
        query("create table is_rolled_back ()")
            .execute(&mut *tx)
            .await
            .unwrap();
        drop(tx);
        let mut interrupted = 0;
        for _ in 0..50 {
            // A client that goes away just when the transaction begins, or has begun.
            let mut begin = Box::pin(store.begin());
            interrupted += u32::from(is_pending(&mut begin).await);
            tokio::task::yield_now().await;
            drop(begin);
            let mut db = store.acquire().await.unwrap();
            assert_eq!(process_of(&mut db).await, first);
            let refused = query("savepoint only_within_a_transaction")
                .execute(&mut *db)
                .await;
            let code = code_of(refused.unwrap_err());
            assert_eq!(code, "25P01", "no transaction is under way");
            drop(db);
        }
        assert!(interrupted > 0);

        let mut db = store.acquire().await.unwrap();
        let table: Option<String> = query_scalar("select to_regclass('is_rolled_back')::text")
            .fetch_one(&mut *db)
            .await
            .unwrap();
        assert_eq!(table, None, "rolled back");

        let close = store.close();
        let release = async { drop(db) };
        timeout(
            Duration::from_secs(60),
            futures_util::future::join(close, release),
        )
        .await
        .expect("closes once the last connection is released");
        let refused = store.acquire().await.err().unwrap();
        assert!(matches!(refused, Error::Unavailable(_)), "{refused:?}");
    });
}

#[test]
fn a_host_that_does_not_answer_is_passed_over() {
    run(async {
        let Some(one_host) = needs_database() else {
            return;
        };
        let (user, host) = one_host.rsplit_once('@').unwrap();
        let (host, database) = host.split_once('/').unwrap();
        for hosts in [
            format!("127.0.0.1:1,{host}"),
            format!("{host},127.0.0.1:1"),
            format!("127.0.0.1:1,[::1]:1,{host}"),
        ] {
            let url = format!("{user}@{hosts}/{database}");
            let store = Store::connect(&url, 3).await.unwrap();
            assert_eq!(store.ping().await.unwrap(), Access::ReadWrite);

            // All connections break at once, those that are idle too.
            let mut leases = vec![];
            for _ in 0..3 {
                leases.push(store.acquire().await.unwrap());
            }
            let mut processes = vec![];
            for lease in &mut leases {
                processes.push(process_of(lease).await);
            }
            for lease in leases {
                drop(lease);
            }
            let mut other = PgConnection::connect(&one_host).await.unwrap();
            for process in &processes {
                query("select pg_terminate_backend($1, 60000)")
                    .bind(process)
                    .execute(&mut other)
                    .await
                    .unwrap();
            }
            // Readiness is asked of a connection that lives.
            assert_eq!(store.ping().await.unwrap(), Access::ReadWrite);
            assert!(!processes.contains(&process(&store).await));
            store.close().await;
        }
    });
}

#[test]
fn a_database_that_does_not_store_utf_8_is_refused() {
    run(async {
        let Some(url) = needs_database() else { return };
        let name = format!("latin_{}", std::process::id());
        let mut db = PgConnection::connect(&url).await.unwrap();
        let make =
            format!("create database {name} template template0 encoding 'LATIN1' locale 'C'");
        raw_sql(AssertSqlSafe(make)).execute(&mut db).await.unwrap();
        let (server, _) = url.rsplit_once('/').unwrap();
        let store = Store::connect(&format!("{server}/{name}"), 1)
            .await
            .unwrap();
        let error = store.migrate().await.unwrap_err().to_string();
        store.close().await;
        let remove = format!("drop database {name} with (force)");
        raw_sql(AssertSqlSafe(remove))
            .execute(&mut db)
            .await
            .unwrap();
        assert!(error.contains("stores text as LATIN1"), "{error}");
        assert!(
            error.contains("create database rollcall template template0 encoding 'UTF8'"),
            "{error}"
        );
    });
}

#[test]
fn a_statement_that_takes_too_long_leaves_its_connection_to_others() {
    run(async {
        let Some(url) = needs_database() else { return };
        let store = Store::connect(&url, 1).await.unwrap();
        let first = process(&store).await;
        let mut tx = store.begin().await.unwrap();
        query("create table locked_by_others ()")
            .execute(&mut *tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        let mut other = PgConnection::connect(&url).await.unwrap();
        raw_sql("begin; lock table locked_by_others")
            .execute(&mut other)
            .await
            .unwrap();
        let mut db = store.acquire().await.unwrap();
        let read = query("select from locked_by_others")
            .fetch_all(&mut *db)
            .await;
        let error = Error::from(read.unwrap_err());
        assert!(
            matches!(error, Error::Unavailable(_)),
            "a lock is waited for, but not for ever: {error:?}"
        );
        drop(db);
        assert_eq!(process(&store).await, first);
        raw_sql("drop table locked_by_others; commit")
            .execute(&mut other)
            .await
            .unwrap();
        store.close().await;
    });
}

#[test]
fn a_door_does_not_take_all_connections() {
    run(async {
        let Some(url) = needs_database() else { return };
        let store = Store::connect(&url, 4).await.unwrap();
        let share = store.share();
        let mut held = vec![];
        for _ in 0..3 {
            held.push(share.clone().bound(store.acquire()).await.unwrap());
        }
        let mut fourth = Box::pin(share.clone().bound(store.acquire()));
        assert!(is_pending(&mut fourth).await, "of four, it may use three");
        assert!(store.acquire().await.is_ok(), "others have one");
        held.pop();
        assert!(fourth.await.is_ok());
    });
}

#[test]
fn a_process_is_stuck_that_gets_nothing_done_although_a_new_one_would() {
    run(async {
        let Some(url) = needs_database() else { return };
        let store = Store::connect(&url, 1).await.unwrap();
        assert!(!store.is_stuck(Duration::ZERO).await);
        let held = store.acquire().await.unwrap();
        let error = store.acquire().await.err().unwrap();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("ROLLCALL_DATABASE_CONNECTIONS"), "{cause}");
        assert!(
            store.is_stuck(Duration::ZERO).await,
            "a new connection works"
        );
        assert!(
            !store.is_stuck(Duration::from_secs(60)).await,
            "not for so long"
        );
        drop(held);
        assert!(!store.is_stuck(Duration::ZERO).await);
        store.close().await;
    });
}
