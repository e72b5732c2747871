//! `rollcall scim`.

use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::Subcommand;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::remote::{Remote, enum_name, plain};
use crate::cli::output::print;
use crate::config::RemoteSettings;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Prints what identity providers did, the newest request first: what came of each, and why one was refused.
    Events {
        /// Only requests to this SCIM configuration.
        #[arg(long, value_name = "ID")]
        configuration: Option<Uuid>,
        /// Only requests that changed the user or group with this SCIM id.
        #[arg(long, value_name = "ID")]
        resource: Option<Uuid>,
        /// Only requests that were refused.
        #[arg(long)]
        failed: bool,
        /// How many at the most.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
        /// Print a JSON array instead of lines.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: RemoteSettings,
    },
}

/// An event, as the server sends it and as it is printed in JSON.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    id: Uuid,
    scim_configuration_id: Uuid,
    created_at: DateTime<Utc>,
    #[serde(default)]
    method: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    traits: Vec<String>,
    #[serde(default, deserialize_with = "outcome")]
    outcome: String,
    #[serde(default)]
    status: u16,
    resource_type: Option<String>,
    resource_id: Option<Uuid>,
    changes: Option<Vec<Change>>,
    reason: Option<String>,
}

/// A side that is absent is none; one that is null is a value.
#[derive(Deserialize, Serialize)]
struct Change {
    #[serde(default)]
    attribute: String,
    #[serde(
        default,
        rename(deserialize = "oldValue"),
        deserialize_with = "some",
        skip_serializing_if = "Option::is_none"
    )]
    old: Option<Value>,
    #[serde(
        default,
        rename(deserialize = "newValue"),
        deserialize_with = "some",
        skip_serializing_if = "Option::is_none"
    )]
    new: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u32>,
}

fn outcome<'de, D: Deserializer<'de>>(wire: D) -> Result<String, D::Error> {
    Ok(enum_name(
        &String::deserialize(wire)?,
        "PROVISIONING_OUTCOME_",
    ))
}

fn some<'de, D: Deserializer<'de>>(wire: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(wire).map(Some)
}

impl Command {
    pub async fn run(self) -> Result<()> {
        let Self::Events {
            configuration,
            resource,
            failed,
            limit,
            json,
            remote,
        } = self;
        let remote = Remote::new(&remote)?;
        let request = json!({ "filter": {
            "scimConfigurationId": configuration,
            "resourceId": resource,
            "onlyRefused": failed,
        } });
        let method = "ProvisioningService/ListProvisioningEvents";
        let events: Vec<Event> = remote.list(method, request, "events", limit).await?;
        if json {
            print(json!(events))?;
        } else {
            for event in &events {
                print(plain(&line(event)))?;
            }
        }
        Ok(())
    }
}

fn line(event: &Event) -> String {
    let changes = event.changes.iter().flatten().map(change);
    let what = changes.chain(event.reason.clone());
    let traits = match event.traits.is_empty() {
        true => String::new(),
        false => format!(" [{}]", event.traits.join(", ")),
    };
    format!(
        "{}  {} {}  {} {}{traits}  {}",
        event.created_at.format("%Y-%m-%d %H:%M:%S"),
        event.method,
        event.path,
        event.status,
        event.outcome,
        what.collect::<Vec<_>>().join(", "),
    )
}

fn change(change: &Change) -> String {
    let side = |value: &Option<Value>| {
        value
            .as_ref()
            .map_or_else(|| "none".to_owned(), Value::to_string)
    };
    format!(
        "{}: {} → {}",
        change.attribute,
        side(&change.old),
        side(&change.new)
    )
}
