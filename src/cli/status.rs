//! `rollcall status`.

use std::process::ExitCode;

use anyhow::{Context, Result};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};

use super::remote::{Remote, plain};
use crate::cli::output::print;
use crate::config::RemoteSettings;

/// How long before a token ends it is worth a look.
const SOON: TimeDelta = TimeDelta::days(14);
/// How far a standby may be behind without being worth a look, in seconds.
const LAG: f64 = 10.0;

#[derive(Args, Debug)]
pub struct Status {
    /// Print the server's answer, a JSON object, instead of lines.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: RemoteSettings,
}

/// What the server answers. What is absent is 0, false or empty.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    server_version: String,
    time: DateTime<Utc>,
    organization_id: String,
    #[serde(default)]
    organization_name: String,
    database: Database,
    schema: Schema,
    #[serde(default)]
    scim_configurations: Vec<Scim>,
    #[serde(default)]
    sso_configurations: Vec<Sso>,
    #[serde(default)]
    sign_ins: SignIns,
    next_token_to_expire: Option<Expiry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Database {
    version: String,
    #[serde(default)]
    writable: bool,
    #[serde(default)]
    standby_count: u32,
    replication_lag: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Schema {
    applied_version: i32,
    known_version: i32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Scim {
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    enabled: bool,
    token_expires_at: DateTime<Utc>,
    #[serde(default)]
    user_count: u32,
    last_event_at: Option<DateTime<Utc>>,
    last_refusal: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    at: DateTime<Utc>,
    #[serde(default)]
    method: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    status: u16,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sso {
    id: String,
    #[serde(default)]
    display_name: String,
    #[serde(default)]
    active: bool,
    #[serde(default)]
    needs_client_secret: bool,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SignIns {
    signed_in: u32,
    refused: u32,
    refusals: Vec<Check>,
    at_least: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Check {
    failed_check: String,
    count: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Expiry {
    scim_configuration_id: Option<String>,
    #[serde(default)]
    name: String,
    expires_at: DateTime<Utc>,
}

/// How something is.
#[derive(Clone, Copy, PartialEq)]
enum Mark {
    Good,
    /// It may be meant, or it may be a mistake.
    Look,
    /// Something does not work.
    Bad,
}

/// A line under a heading; the further lines of the same thing have none.
struct Line {
    mark: Mark,
    heading: &'static str,
    text: String,
}

impl Status {
    pub async fn run(self) -> Result<ExitCode> {
        let remote = Remote::new(&self.remote)?;
        let raw: Value = remote.call("StatusService/GetStatus", &json!({})).await?;
        let answer = Answer::deserialize(&raw)
            .context("the server's answer cannot be read: it is of another version")?;
        let lines = lines(&answer);
        if self.json {
            print(format_args!("{raw}"))?;
        } else {
            print(format_args!(
                "{}\n",
                plain(&title(&answer, remote.server()))
            ))?;
            for line in &lines {
                print(plain(&line.to_string()))?;
            }
        }
        let is_bad = lines.iter().any(|line| line.mark == Mark::Bad);
        Ok(if is_bad {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    }
}

fn title(answer: &Answer, server: &str) -> String {
    format!(
        "Rollcall {} at {server}, {} UTC, organization {:?} ({})",
        answer.server_version,
        answer.time.format("%Y-%m-%d %H:%M:%S"),
        answer.organization_name,
        answer.organization_id,
    )
}

fn lines(answer: &Answer) -> Vec<Line> {
    let now = answer.time;
    let mut lines = vec![
        database(&answer.database),
        schema(&answer.schema),
        sign_ins(&answer.sign_ins),
        next_token(answer.next_token_to_expire.as_ref(), now),
    ];
    lines.extend(answer.sso_configurations.iter().map(sso));
    lines.extend(answer.scim_configurations.iter().flat_map(|c| scim(c, now)));
    lines
}

fn database(database: &Database) -> Line {
    let lag = database
        .replication_lag
        .as_ref()
        .and_then(|lag| lag.trim_end_matches('s').parse::<f64>().ok());
    let behind = lag.map_or_else(String::new, |lag| format!(", {lag:.1} s behind"));
    let (mark, state) = match (database.writable, database.standby_count) {
        (false, 0) => (Mark::Bad, format!("READ-ONLY{behind}")),
        (false, _) => (Mark::Bad, "READ-ONLY".to_owned()),
        (true, 0) => (Mark::Good, "writable, no standby".to_owned()),
        (true, 1) => (Mark::Good, format!("writable; 1 standby{behind}")),
        (true, count) => (Mark::Good, format!("writable; {count} standbys{behind}")),
    };
    let is_late = lag.is_some_and(|lag| lag > LAG);
    Line {
        mark: if is_late && mark == Mark::Good {
            Mark::Look
        } else {
            mark
        },
        heading: "database",
        text: format!("PostgreSQL {}, {state}", database.version),
    }
}

fn schema(schema: &Schema) -> Line {
    let (applied, known) = (schema.applied_version, schema.known_version);
    let (mark, text) = match applied.cmp(&known) {
        std::cmp::Ordering::Equal => (Mark::Good, format!("version {applied}, up to date")),
        std::cmp::Ordering::Less => (
            Mark::Bad,
            format!("version {applied}, but the server needs {known}: run `rollcall migrate`"),
        ),
        std::cmp::Ordering::Greater => (
            Mark::Look,
            format!("version {applied}: the server knows up to {known}, so there is a newer one"),
        ),
    };
    Line {
        mark,
        heading: "schema",
        text,
    }
}

fn sign_ins(counts: &SignIns) -> Line {
    let at_least = if counts.at_least { "at least " } else { "" };
    let checks: Vec<String> = counts
        .refusals
        .iter()
        .map(|check| format!("{} {}", check.failed_check, check.count))
        .collect();
    let checks = match checks.is_empty() {
        true => String::new(),
        false => format!(" ({})", checks.join(", ")),
    };
    Line {
        mark: if counts.refused == 0 {
            Mark::Good
        } else {
            Mark::Look
        },
        heading: "sign-ins",
        text: format!(
            "{at_least}{} signed in, {} refused{checks} in the last hour",
            counts.signed_in, counts.refused
        ),
    }
}

fn next_token(expiry: Option<&Expiry>, now: DateTime<Utc>) -> Line {
    let Some(expiry) = expiry else {
        return Line {
            mark: Mark::Good,
            heading: "tokens",
            text: "none ends".to_owned(),
        };
    };
    let kind = match expiry.scim_configuration_id {
        Some(_) => "SCIM",
        None => "API",
    };
    Line {
        mark: if expiry.expires_at < now + SOON {
            Mark::Look
        } else {
            Mark::Good
        },
        heading: "tokens",
        text: format!(
            "the next to end is the {kind} token {:?}, {}",
            expiry.name,
            moment(expiry.expires_at, now)
        ),
    }
}

fn sso(configuration: &Sso) -> Line {
    let (mark, state) = match (configuration.needs_client_secret, configuration.active) {
        (true, _) => (Mark::Bad, "INACTIVE: enter the client secret again"),
        (false, true) => (Mark::Good, "active"),
        (false, false) => (Mark::Look, "INACTIVE"),
    };
    Line {
        mark,
        heading: "SSO",
        text: format!(
            "{:?} ({}), {state}",
            configuration.display_name, configuration.id
        ),
    }
}

fn scim(configuration: &Scim, now: DateTime<Utc>) -> Vec<Line> {
    let c = configuration;
    let (mark, state) = match (c.enabled, c.token_expires_at <= now) {
        (false, _) => (Mark::Look, "DISABLED".to_owned()),
        (true, true) => {
            let ended = moment(c.token_expires_at, now);
            (Mark::Bad, format!("TOKEN EXPIRED {ended}"))
        }
        (true, false) => (Mark::Good, "enabled".to_owned()),
    };
    let more = |mark, text| Line {
        mark,
        heading: "",
        text,
    };
    let last = c
        .last_event_at
        .map_or_else(|| "nothing in the log".to_owned(), |at| moment(at, now));
    let mut lines = vec![
        Line {
            mark,
            heading: "SCIM",
            text: format!(
                "{:?} ({}), {state}, {} user{}",
                c.name,
                c.id,
                c.user_count,
                if c.user_count == 1 { "" } else { "s" }
            ),
        },
        more(Mark::Good, format!("last sync     {last}")),
    ];
    if let Some(refusal) = &c.last_refusal {
        // Nothing has worked since.
        let is_newest = c.last_event_at == Some(refusal.at);
        let text = format!(
            "last refusal  {}: {} {} {}: {}",
            moment(refusal.at, now),
            refusal.method,
            refusal.path,
            refusal.status,
            refusal.reason
        );
        lines.push(more(if is_newest { Mark::Look } else { Mark::Good }, text));
    }
    lines
}

/// A moment, and how far away it is.
fn moment(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let far = at - now;
    let (number, unit) = match far.abs() {
        far if far.num_days() > 0 => (far.num_days(), "day"),
        far if far.num_hours() > 0 => (far.num_hours(), "hour"),
        far if far.num_minutes() > 0 => (far.num_minutes(), "minute"),
        far => (far.num_seconds(), "second"),
    };
    let plural = if number == 1 { "" } else { "s" };
    let at = at.format("%Y-%m-%d %H:%M");
    match far > TimeDelta::zero() {
        true => format!("{at} (in {number} {unit}{plural})"),
        false => format!("{at} ({number} {unit}{plural} ago)"),
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mark = match (self.mark, self.heading) {
            (Mark::Good, "") => "",
            (Mark::Good, _) => "ok",
            (Mark::Look, _) => "look",
            (Mark::Bad, _) => "BAD",
        };
        write!(f, "{mark:<5} {:<9} {}", self.heading, self.text)
    }
}
