//! What happened, told to programs.

mod attacks;
mod copy;
mod log;
mod told;
mod watch;
mod webhooks;

use chrono::TimeDelta;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::api::methods::call;
use crate::support::{Reply, Server};

/// Asks `EventService` as the administrator.
pub async fn ask(server: &Server, method: &str, body: Value) -> Reply {
    let path = format!("rollcall.v1.EventService/{method}");
    call(server, &path, Some(&server.token), &body).await
}

/// A page of events, and what follows it.
pub async fn page(server: &Server, cursor: &str, more: Value) -> Value {
    let mut request = json!({ "cursor": cursor, "pageSize": 1000 });
    crate::support::merge(&mut request, more);
    ask(server, "ListEvents", request).await.ok()
}

/// A program that follows the log.
pub struct Reader {
    server: Server,
    pub cursor: String,
}

impl Reader {
    /// Behind everything that happened so far.
    pub async fn start(server: &Server) -> Self {
        let mut reader = Self {
            server: server.clone(),
            cursor: String::new(),
        };
        reader.read().await;
        reader
    }

    /// All events since.
    pub async fn read(&mut self) -> Vec<Value> {
        let mut events = vec![];
        loop {
            let page = page(&self.server, &self.cursor, json!({})).await;
            page["cursor"]
                .as_str()
                .unwrap()
                .clone_into(&mut self.cursor);
            events.extend(page["events"].as_array().into_iter().flatten().cloned());
            if page["hasMore"] != true {
                return events;
            }
        }
    }

    /// The types of all events since.
    pub async fn types(&mut self) -> Vec<String> {
        let events = self.read().await;
        let types = events
            .iter()
            .map(|event| event["type"].as_str().unwrap().to_owned());
        types.collect()
    }
}

/// Sends what is due to the receivers of the organization.
pub async fn deliver(server: &Server) {
    let organization = server.organization_id();
    rollcall::events::delivery::settle(&server.app, organization)
        .await
        .unwrap();
}

/// Lets time pass for the receivers of the organization, which go by the database's clock. What is read is written row by row: a database
/// on several machines computes no times of rows that it changes.
pub async fn later(server: &Server, time: TimeDelta) {
    let mut db = server.app.store.acquire().await.unwrap();
    for (read, write) in [
        (
            "select id, 0::bigint, array[(due_at - make_interval(secs => $2))::text, (paused_until - make_interval(secs => $2))::text,
                 (failing_since - make_interval(secs => $2))::text, (lease_until - make_interval(secs => $2))::text]
             from receivers where organization_id = $1",
            "update receivers set due_at = $4[1]::timestamptz, paused_until = $4[2]::timestamptz,
                 failing_since = $4[3]::timestamptz, lease_until = $4[4]::timestamptz
             where organization_id = $1 and id = $2 and $3 = 0",
        ),
        (
            "select receiver_id, seq, array[(created_at - make_interval(secs => $2))::text,
                 (next_try_at - make_interval(secs => $2))::text]
             from deliveries where organization_id = $1 and status = 'waiting'",
            "update deliveries set created_at = $4[1]::timestamptz, next_try_at = $4[2]::timestamptz
             where organization_id = $1 and receiver_id = $2 and seq = $3",
        ),
    ] {
        let rows: Vec<(Uuid, i64, Vec<Option<String>>)> = sqlx::query_as(read)
            .bind(server.organization_id().as_uuid())
            .bind(time.as_seconds_f64())
            .fetch_all(&mut *db)
            .await
            .unwrap();
        for (id, seq, times) in rows {
            sqlx::query(write)
                .bind(server.organization_id().as_uuid())
                .bind(id)
                .bind(seq)
                .bind(times)
                .execute(&mut *db)
                .await
                .unwrap();
        }
    }
}
