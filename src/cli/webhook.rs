//! `rollcall webhook`.

use std::time::Duration;

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::application::Whose;
use super::remote::plain;
use crate::cli::output::{print, remark};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Adds an address that events are sent to, and prints its secret, this once.
    Create {
        /// Where events are sent.
        url: String,
        #[command(flatten)]
        options: Options,
        /// Print the server's answer, a JSON object, instead of lines.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        whose: Whose,
    },
    /// Lists the webhooks, the oldest first.
    List {
        /// Print a JSON array instead of lines.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        whose: Whose,
    },
    /// Changes a webhook: what is not given stays.
    Update {
        /// The webhook's id, as `webhook list` shows it.
        webhook: Uuid,
        /// Where events are sent.
        #[arg(long)]
        url: Option<String>,
        /// Whether events are sent. One that is switched on goes on where it was switched off.
        #[arg(long, value_name = "BOOL")]
        enabled: Option<bool>,
        #[command(flatten)]
        options: Options,
        #[command(flatten)]
        whose: Whose,
    },
    /// Removes a webhook, with the log of what was sent.
    Delete {
        /// The webhook's id, as `webhook list` shows it.
        webhook: Uuid,
        #[command(flatten)]
        whose: Whose,
    },
    /// Gives a webhook another secret and prints it, this once.
    RotateSecret {
        /// The webhook's id, as `webhook list` shows it.
        webhook: Uuid,
        /// How long the secret before signs, too, such as 1d: up to 7 days. [default: it ends at once]
        #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
        keep_previous_for: Option<Duration>,
        #[command(flatten)]
        whose: Whose,
    },
    /// Sends a test event now, and prints what came of it. The exit code is 1 if it was not taken.
    Test {
        /// The webhook's id, as `webhook list` shows it.
        webhook: Uuid,
        #[command(flatten)]
        whose: Whose,
    },
    /// Prints what became of the events that were sent, or are to be, the latest event first.
    Deliveries {
        /// The webhook's id, as `webhook list` shows it.
        webhook: Uuid,
        /// Only those that are sent again.
        #[arg(long, conflicts_with = "parked")]
        waiting: bool,
        /// Only those that are sent no more.
        #[arg(long)]
        parked: bool,
        /// How many lines.
        #[arg(long, default_value_t = 50)]
        limit: u32,
        /// Print a JSON array instead of lines.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        whose: Whose,
    },
    /// Sends events again: one, or all of a time.
    Replay {
        /// The webhook's id, as `webhook list` shows it.
        webhook: Uuid,
        /// The event's id, as `webhook deliveries` shows it.
        #[arg(long, required_unless_present = "since", conflicts_with_all = ["since", "until"])]
        event: Option<Uuid>,
        /// All events from this time on, such as 2030-01-31T12:00:00Z.
        #[arg(long, value_name = "TIME")]
        since: Option<DateTime<Utc>>,
        /// Before this time. [default: now]
        #[arg(long, value_name = "TIME")]
        until: Option<DateTime<Utc>>,
        #[command(flatten)]
        whose: Whose,
    },
}

/// What is said of a webhook.
#[derive(Args, Debug)]
pub struct Options {
    /// What it is for.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// A type of event, such as member.suspended or member.*. May be given several times; given once and empty, for all. [default: all]
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
}

impl Options {
    fn types(&self) -> Option<Value> {
        let given = self.types.iter().filter(|kind| !kind.is_empty());
        let given: Vec<&String> = given.collect();
        (!self.types.is_empty()).then(|| json!(given))
    }
}

impl Command {
    pub async fn run(self) -> Result<()> {
        match self {
            Self::Create {
                url,
                options,
                json,
                whose,
            } => {
                let request = json!({
                    "url": url,
                    "description": options.description.clone().unwrap_or_default(),
                    "types": options.types().unwrap_or(json!([])),
                });
                let made: Value = whose
                    .remote()?
                    .call(&method("CreateWebhook"), &request)
                    .await?;
                if json {
                    return print(made);
                }
                print(plain(&line(&made["webhook"])))?;
                print(text(&made["secret"]))?;
                remark(
                    "The second line is the secret that signs what is sent. It is shown this once.",
                );
                Ok(())
            }
            Self::List { json, whose } => {
                let remote = whose.remote()?;
                let all: Vec<Value> = remote
                    .list(&method("ListWebhooks"), json!({}), "webhooks", u32::MAX)
                    .await?;
                if json {
                    return print(json!(all));
                }
                all.iter().try_for_each(|one| print(plain(&line(one))))
            }
            Self::Update {
                webhook,
                url,
                enabled,
                options,
                whose,
            } => {
                let mut request = Map::new();
                request.insert("webhookId".to_owned(), json!(webhook));
                request.insert("url".to_owned(), json!(url));
                request.insert("enabled".to_owned(), json!(enabled));
                request.insert("description".to_owned(), json!(options.description));
                let types = options.types().map(|types| json!({ "types": types }));
                request.insert("types".to_owned(), json!(types));
                let changed: Value = whose
                    .remote()?
                    .call(&method("UpdateWebhook"), &request.into())
                    .await?;
                print(plain(&line(&changed["webhook"])))
            }
            Self::Delete { webhook, whose } => {
                let request = json!({ "webhookId": webhook });
                let _: Value = whose
                    .remote()?
                    .call(&method("DeleteWebhook"), &request)
                    .await?;
                print(format_args!("{webhook} deleted"))
            }
            Self::RotateSecret {
                webhook,
                keep_previous_for,
                whose,
            } => {
                let seconds = keep_previous_for.map(|time| format!("{}s", time.as_secs()));
                let request = json!({ "webhookId": webhook, "keepPreviousFor": seconds });
                let rotated: Value = whose
                    .remote()?
                    .call(&method("RotateWebhookSecret"), &request)
                    .await?;
                print(text(&rotated["secret"]))?;
                remark("The secret is shown this once.");
                Ok(())
            }
            Self::Test { webhook, whose } => {
                let request = json!({ "webhookId": webhook });
                let sent: Value = whose
                    .remote()?
                    .call(&method("SendTestEvent"), &request)
                    .await?;
                let answer = plain(text(&sent["answer"])).to_string();
                let status = sent["httpStatus"]
                    .as_u64()
                    .map_or_else(String::new, |status| format!("{status} "));
                if sent["delivered"] != true {
                    bail!("the test event was not taken: {status}{answer}");
                }
                print(format_args!("taken: {status}{answer}"))
            }
            Self::Deliveries {
                webhook,
                waiting,
                parked,
                limit,
                json,
                whose,
            } => {
                let status = match (waiting, parked) {
                    (true, _) => Some("DELIVERY_STATUS_WAITING"),
                    (_, true) => Some("DELIVERY_STATUS_PARKED"),
                    _ => None,
                };
                let request = json!({ "webhookId": webhook, "status": status });
                let remote = whose.remote()?;
                let all: Vec<Value> = remote
                    .list(
                        &method("ListWebhookDeliveries"),
                        request,
                        "deliveries",
                        limit,
                    )
                    .await?;
                if json {
                    return print(json!(all));
                }
                all.iter().try_for_each(|one| print(plain(&delivery(one))))
            }
            Self::Replay {
                webhook,
                event,
                since,
                until,
                whose,
            } => {
                let request = json!({
                    "webhookId": webhook,
                    "eventId": event,
                    "startTime": since,
                    "endTime": until,
                });
                let replayed: Value = whose
                    .remote()?
                    .call(&method("ReplayWebhookDeliveries"), &request)
                    .await?;
                print(format_args!(
                    "{} events are sent again",
                    replayed["count"].as_u64().unwrap_or_default()
                ))
            }
        }
    }
}

fn method(name: &str) -> String {
    format!("WebhookService/{name}")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A webhook in one line: what it hears, and how it does.
fn line(webhook: &Value) -> String {
    let types: Vec<&str> = webhook["types"]
        .as_array()
        .into_iter()
        .flatten()
        .map(text)
        .collect();
    let types = if types.is_empty() {
        "all".to_owned()
    } else {
        types.join(",")
    };
    let state = match (webhook["enabled"] == true, webhook["failingSince"].as_str()) {
        (false, _) if text(&webhook["disabledReason"]).is_empty() => "off".to_owned(),
        (false, _) => format!("off: {}", text(&webhook["disabledReason"])),
        (true, Some(since)) => format!("fails since {since}"),
        (true, None) => "on".to_owned(),
    };
    let description = text(&webhook["description"]);
    format!(
        "{}  {}  {types}  {state}  {description}",
        text(&webhook["id"]),
        text(&webhook["url"])
    )
    .trim_end()
    .to_owned()
}

/// A delivery in one line: the event, and what became of it.
fn delivery(one: &Value) -> String {
    let status = text(&one["status"])
        .trim_start_matches("DELIVERY_STATUS_")
        .to_ascii_lowercase();
    let last = match one["httpStatus"].as_u64() {
        Some(code) => format!("{code} in {}", text(&one["duration"])),
        None => text(&one["answer"]).to_owned(),
    };
    let next = one["nextTryAt"]
        .as_str()
        .map_or_else(String::new, |next| format!("  again at {next}"));
    format!(
        "{}  {}  {}  {status}  tries {}  {last}{next}",
        text(&one["eventTime"]),
        text(&one["eventId"]),
        text(&one["eventType"]),
        one["tries"].as_u64().unwrap_or_default(),
    )
}
