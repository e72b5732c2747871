//! `rollcall events`.

use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::remote::{Outage, Remote, plain};
use crate::cli::output::{print, remark};
use crate::config::RemoteSettings;

/// The most events of an answer.
const PAGE: u32 = 1_000;
/// How long `tail` waits before it asks again.
const PAUSE: Duration = Duration::from_secs(1);
/// How long it waits at the most for a server that does not answer.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// A time behind all events.
const END_OF_TIME: &str = "9999-12-31T23:59:59Z";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Prints what happened, the oldest first: as far back as events are kept.
    List {
        #[command(flatten)]
        which: Which,
        /// How many at the most.
        #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Prints what happens, as it happens, until it is stopped. A server that does not answer is asked again.
    Tail {
        #[command(flatten)]
        which: Which,
    },
}

/// Which events are printed, and how.
#[derive(Args, Debug)]
pub struct Which {
    /// From when on: how long ago, such as 1h, or a time such as 2030-01-31T00:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = since, conflicts_with = "cursor")]
    since: Option<Since>,
    /// What came behind this cursor, which the command prints at its end.
    #[arg(long)]
    cursor: Option<String>,
    /// Only events of this type, such as member.suspended. May be given several times.
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Only what happened to the member, group or other thing with this id. May be given several times.
    #[arg(long = "subject", value_name = "ID")]
    subjects: Vec<Uuid>,
    /// With an operator's token, the organization. [default: all of them]
    #[arg(long, value_name = "ID")]
    organization: Option<Uuid>,
    /// Print each event as a JSON object in a line of its own.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: RemoteSettings,
}

/// From when on events are printed.
#[derive(Clone, Copy, Debug)]
enum Since {
    Ago(TimeDelta),
    Moment(DateTime<Utc>),
}

fn since(text: &str) -> Result<Since, String> {
    if let Ok(moment) = text.parse() {
        return Ok(Since::Moment(moment));
    }
    let ago = humantime::parse_duration(text).ok();
    ago.and_then(|ago| TimeDelta::from_std(ago).ok())
        .filter(|ago| *ago <= TimeDelta::days(36_500))
        .map(Since::Ago)
        .ok_or_else(|| {
            "must be how long ago, such as 1h or 7d, or a time such as 2030-01-31T00:00:00Z"
                .to_owned()
        })
}

/// What the server says of the log.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default)]
    events: Vec<Event>,
    cursor: String,
    #[serde(default)]
    has_more: bool,
}

/// An event, as the server sends it and as it is printed in JSON.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    id: Uuid,
    r#type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    organization_id: Option<Uuid>,
    time: DateTime<Utc>,
    subject_type: String,
    subject_id: Uuid,
    #[serde(default)]
    data: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    previous: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<Actor>,
}

#[derive(Deserialize, Serialize)]
struct Actor {
    r#type: String,
    id: Uuid,
}

impl Command {
    pub async fn run(self) -> Result<()> {
        match self {
            Self::List { which, limit } => {
                let mut reader = Reader::of(&which)?;
                let mut left = limit;
                loop {
                    let page = reader.read(left.min(PAGE)).await?;
                    left =
                        left.saturating_sub(u32::try_from(page.events.len()).unwrap_or(u32::MAX));
                    reader.print(&page.events)?;
                    if left == 0 || !page.has_more {
                        break;
                    }
                }
                remark(format_args!("cursor: {}", reader.cursor()));
                Ok(())
            }
            Self::Tail { which } => {
                let mut reader = Reader::of(&which)?;
                if which.since.is_none() && which.cursor.is_none() {
                    // Nothing has happened from then on: the answer says where the log ends.
                    reader.request["startTime"] = END_OF_TIME.into();
                }
                // It is told at once what cannot be asked.
                let page = reader.read(PAGE).await?;
                reader.print(&page.events)?;
                tokio::select! {
                    ended = reader.follow() => return ended,
                    stopped = tokio::signal::ctrl_c() => stopped?,
                }
                remark(format_args!("cursor: {}", reader.cursor()));
                Ok(())
            }
        }
    }
}

/// Who follows the log.
struct Reader {
    remote: Remote,
    request: Value,
    is_json: bool,
}

impl Reader {
    fn of(which: &Which) -> Result<Self> {
        let remote = Remote::new(&which.remote)?;
        let remote = match which.organization {
            Some(organization) => remote.in_organization(organization),
            None => remote,
        };
        let start = which.since.map(|since| match since {
            Since::Ago(ago) => Utc::now() - ago,
            Since::Moment(moment) => moment,
        });
        let request = json!({
            "cursor": which.cursor,
            "startTime": start.map(|start| start.to_rfc3339_opts(SecondsFormat::Millis, true)),
            "types": which.types,
            "subjectIds": which.subjects,
        });
        Ok(Self {
            remote,
            request,
            is_json: which.json,
        })
    }

    /// Reads what is next.
    async fn read(&mut self, size: u32) -> Result<Page> {
        self.request["pageSize"] = size.into();
        let page: Page = self
            .remote
            .call("EventService/ListEvents", &self.request)
            .await?;
        self.request["cursor"] = page.cursor.clone().into();
        self.request["startTime"] = Value::Null;
        Ok(page)
    }

    /// Prints what happens. It ends with an error alone.
    async fn follow(&mut self) -> Result<()> {
        let mut pause = PAUSE;
        let mut is_out = false;
        loop {
            match self.read(PAGE).await {
                Ok(page) => {
                    if is_out {
                        remark("the server answers again");
                    }
                    (is_out, pause) = (false, PAUSE);
                    self.print(&page.events)?;
                    if !page.has_more {
                        tokio::time::sleep(pause).await;
                    }
                }
                Err(error) if error.is::<Outage>() => {
                    if !is_out {
                        remark(format_args!("{error}; it is asked again"));
                    }
                    is_out = true;
                    tokio::time::sleep(pause).await;
                    pause = LONGEST_PAUSE.min(pause * 2);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn print(&self, events: &[Event]) -> Result<()> {
        events.iter().try_for_each(|event| match self.is_json {
            true => print(json!(event)),
            false => print(plain(&line(event, self.remote.is_of_all()))),
        })
    }

    /// Where the reader is.
    fn cursor(&self) -> &str {
        self.request["cursor"].as_str().unwrap_or_default()
    }
}

fn line(event: &Event, is_of_all: bool) -> String {
    let place = match (is_of_all, event.organization_id) {
        (false, _) => String::new(),
        (true, Some(organization)) => format!("  in {organization}"),
        (true, None) => "  in the installation".to_owned(),
    };
    let named = name(&event.data).map_or_else(String::new, |name| format!("  {name}"));
    let actor = event.actor.as_ref();
    let actor = actor.map_or_else(
        || "by itself".to_owned(),
        |actor| format!("by {} {}", actor.r#type, actor.id),
    );
    format!(
        "{}  {}  {}{named}  {actor}{place}",
        event.time.format("%Y-%m-%d %H:%M:%S"),
        event.r#type,
        event.subject_id,
    )
}

/// What people know a thing by; of what has no name, what it is about.
fn name(data: &Map<String, Value>) -> Option<String> {
    let text = |field: &str| {
        let text = data.get(field)?.as_str()?;
        (!text.is_empty()).then_some(text)
    };
    let named = ["name", "display_name", "email", "domain", "url"];
    if let Some(name) = named.iter().find_map(|field| text(field)) {
        return Some(format!("{name:?}"));
    }
    if let Some(member) = text("member_id") {
        return Some(match text("reason") {
            Some(reason) => format!("of {member} ({reason})"),
            None => format!("of {member}"),
        });
    }
    let group = text("group_id")?;
    Some(match (text("subject_id"), text("role")) {
        (Some(subject), _) => format!("{subject} in {group}"),
        (None, Some(role)) => format!("{role} of {group}"),
        (None, None) => group.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_and_an_age_are_told_apart() {
        assert!(matches!(since("1h"), Ok(Since::Ago(ago)) if ago == TimeDelta::hours(1)));
        assert!(matches!(
            since("2030-01-31T00:00:00Z"),
            Ok(Since::Moment(_))
        ));
        for wrong in ["", "yesterday", "-1h", "2030-01-31", "999999999999h"] {
            assert!(since(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_has_no_name_is_told_by_what_it_is_about() {
        let name = |data: Value| name(data.as_object().unwrap());
        let ada = json!({ "name": "", "email": "ada@example.com" });
        assert_eq!(name(ada).unwrap(), "\"ada@example.com\"");
        let session = json!({ "member_id": "m", "reason": "expired" });
        assert_eq!(name(session).unwrap(), "of m (expired)");
        let membership = json!({ "group_id": "g", "subject_id": "s" });
        assert_eq!(name(membership).unwrap(), "s in g");
        let role = json!({ "group_id": "g", "role": "org_admin" });
        assert_eq!(name(role).unwrap(), "org_admin of g");
        assert_eq!(name(json!({ "id": "x" })), None);
    }
}
