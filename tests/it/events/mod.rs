//! What happened, told to programs.

mod copy;
mod log;
mod told;

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
