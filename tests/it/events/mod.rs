//! What happened, told to programs.

mod attacks;
mod copy;
mod log;
mod told;
mod watch;
mod webhooks;

use chrono::TimeDelta;
use serde_json::{Value, json};

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

/// Lets time pass for the receivers of the organization, which go by the database's clock.
pub async fn later(server: &Server, time: TimeDelta) {
    let mut db = server.app.store.acquire().await.unwrap();
    for statement in [
        "update receivers set due_at = due_at - make_interval(secs => $2), paused_until = paused_until - make_interval(secs => $2),
             failing_since = failing_since - make_interval(secs => $2), lease_until = lease_until - make_interval(secs => $2)
         where organization_id = $1",
        "update deliveries set created_at = created_at - make_interval(secs => $2),
             next_try_at = next_try_at - make_interval(secs => $2)
         where organization_id = $1",
    ] {
        sqlx::query(statement)
            .bind(server.organization_id().as_uuid())
            .bind(time.as_seconds_f64())
            .execute(&mut *db)
            .await
            .unwrap();
    }
}
