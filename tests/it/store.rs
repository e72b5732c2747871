//! The connections of a process.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use rollcall::store::Store;
use sqlx::{query, query_scalar};
use tokio::time::timeout;

use crate::support::{database_url, run};

async fn process(store: &Store) -> i32 {
    let mut db = store.acquire().await.unwrap();
    let process = query_scalar("select pg_backend_pid()")
        .fetch_one(&mut *db)
        .await
        .unwrap();
    db.release();
    process
}

#[test]
fn one_connection_serves_all_whatever_became_of_the_one_before() {
    run(async {
        // The embedded PostgreSQL has one connection anyway.
        let Some(url) = database_url() else { return };
        let store = Store::connect(&url, 1).await.unwrap();
        let first = process(&store).await;
        assert_eq!(process(&store).await, first, "released");

        let mut db = store.acquire().await.unwrap();
        assert!(query("select 1 / 0").execute(&mut *db).await.is_err());
        drop(db);
        assert_eq!(process(&store).await, first, "left with an error");

        let mut tx = store.begin().await.unwrap();
        query("create table is_rolled_back ()")
            .execute(&mut *tx)
            .await
            .unwrap();
        drop(tx);
        for _ in 0..50 {
            // A client that goes away just when the transaction begins.
            let mut begin = Box::pin(store.begin());
            let _ = poll_fn(|cx| Poll::Ready(begin.as_mut().poll(cx))).await;
            tokio::task::yield_now().await;
            drop(begin);
            let mut db = store.acquire().await.unwrap();
            let refused = query("savepoint only_within_a_transaction")
                .execute(&mut *db)
                .await;
            let code = refused
                .unwrap_err()
                .into_database_error()
                .unwrap()
                .code()
                .unwrap()
                .into_owned();
            assert_eq!(code, "25P01", "no transaction is under way");
            drop(db);
        }

        let mut db = store.acquire().await.unwrap();
        let table: Option<String> = query_scalar("select to_regclass('is_rolled_back')::text")
            .fetch_one(&mut *db)
            .await
            .unwrap();
        assert_eq!(table, None, "rolled back");

        let close = store.close();
        let release = async { db.release() };
        timeout(
            Duration::from_secs(60),
            futures_util::future::join(close, release),
        )
        .await
        .expect("closes once the last connection is released");
        assert!(store.acquire().await.is_err());
    });
}
