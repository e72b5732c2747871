//! Which tables a database on several machines has where; and, on such a database, where each statement runs.

use std::collections::BTreeSet;
use std::fs;

use rollcall::store::Connection;
use rollcall::store::cluster::{DISTRIBUTED, EVERYWHERE};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Executor as _, query_as, query_scalar};

use crate::architecture::tenants::EXCEPTIONS;
use crate::support::{Server, run};

/// Statements of one machine that show no task: of no table that is distributed, and of a background job.
const OF_THE_MACHINE: [&str; 4] = [
    "pg_advisory_xact_lock(8245928664157186156)",
    "pg_advisory_xact_lock(32485515276676711)",
    "pg_stat_user_tables",
    "insert into scim_user_emails as a",
];

#[test]
fn every_table_is_distributed_or_everywhere_and_after_those_that_it_refers_to() {
    run(async {
        let server = Server::start().await;
        let mut db = server.app.store.acquire().await.unwrap();
        let tables: Vec<String> = query_scalar(
            "select relname::text from pg_class
             where relnamespace = current_schema()::regnamespace and relkind in ('r', 'p') and not relname like 'citus%'",
        )
        .fetch_all(&mut *db)
        .await
        .unwrap();
        let known: BTreeSet<&str> = DISTRIBUTED.into_iter().chain(EVERYWHERE).collect();
        assert_eq!(tables.iter().map(|t| &**t).collect::<BTreeSet<_>>(), known);

        let references: Vec<(String, String)> = query_as(
            "select k.conrelid::regclass::text, k.confrelid::regclass::text from pg_constraint k
             where k.contype = 'f' and k.connamespace = current_schema()::regnamespace",
        )
        .fetch_all(&mut *db)
        .await
        .unwrap();
        assert!(!references.is_empty());
        let place = |table: &str| DISTRIBUTED.iter().position(|name| *name == table);
        for (from, to) in references {
            assert!(
                place(&from).unwrap() > place(&to).unwrap(),
                "{from} refers to {to}"
            );
        }
    });
}

#[test]
fn every_statement_of_a_request_runs_on_one_machine() {
    run(async {
        let server = Server::start().await;
        let mut db = server.app.store.acquire().await.unwrap();
        let is_cluster: bool =
            query_scalar("select exists (select 1 from pg_extension where extname = 'citus')")
                .fetch_one(&mut *db)
                .await
                .unwrap();
        if !is_cluster {
            return;
        }
        let mut seen = 0;
        let mut elsewhere = vec![];
        for file in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.sqlx")).unwrap() {
            let checked = fs::read_to_string(file.unwrap().path()).unwrap();
            let checked: Value = serde_json::from_str(&checked).unwrap();
            let statement = checked["query"].as_str().unwrap();
            let is_exempt = |words: &&str| {
                statement
                    .split_whitespace()
                    .collect::<Vec<_>>()
                    .join(" ")
                    .contains(words)
            };
            let exempt = EXCEPTIONS.iter().map(|(words, _)| *words);
            if exempt.chain(OF_THE_MACHINE).any(|words| is_exempt(&words)) {
                continue;
            }
            seen += 1;
            let plan = plan(&mut db, &checked, statement).await;
            // A table that is everywhere is read without any other machine.
            let is_local =
                !plan.contains("Citus") && EVERYWHERE.iter().any(|table| statement.contains(table));
            let tasks: Vec<&str> = plan
                .lines()
                .filter(|line| line.contains("Task Count:"))
                .map(str::trim)
                .collect();
            if !is_local && (tasks != ["Task Count: 1"] || plan.contains("Distributed Subplan")) {
                elsewhere.push(format!("{statement}\n{plan}"));
            }
        }
        assert!(seen > 80, "they are found: {seen}");
        assert!(elsewhere.is_empty(), "{}", elsewhere.join("\n\n"));
    });
}

/// How a statement would be carried out, for values of the types of its parameters.
async fn plan(db: &mut Connection, checked: &Value, statement: &str) -> String {
    let types = checked["describe"]["parameters"]["Left"]
        .as_array()
        .unwrap();
    let values: Vec<&str> = types.iter().map(value).collect();
    let values = match values.is_empty() {
        true => String::new(),
        false => format!("({})", values.join(", ")),
    };
    let prepare = format!("prepare explained as {statement}");
    db.execute(sqlx::raw_sql(AssertSqlSafe(prepare)))
        .await
        .unwrap();
    let explain = format!("explain (costs off) execute explained{values}");
    let lines: Result<Vec<String>, _> = query_scalar(AssertSqlSafe(explain))
        .persistent(false)
        .fetch_all(&mut *db)
        .await;
    db.execute("deallocate explained").await.unwrap();
    match lines {
        Ok(lines) => lines.join("\n"),
        Err(error) => error.to_string(),
    }
}

fn value(parameter: &Value) -> &'static str {
    match parameter.as_str().unwrap_or_default() {
        "Uuid" => "'019ca945-0a00-7000-8000-000000000001'",
        "Text" | "Varchar" | "Bytea" => "'x'",
        "Bool" => "true",
        "Int2" | "Int4" | "Int8" | "Float8" => "1",
        "Timestamptz" => "'2026-01-01'",
        "Jsonb" | "Json" => "'[]'",
        "TimestamptzArray" => "'{2026-01-01}'",
        "UuidArray" => "'{019ca945-0a00-7000-8000-000000000001}'",
        _ => "'{1}'",
    }
}
