//! `rollcall session`.

use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::Subcommand;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::remote::{Remote, plain};
use crate::cli::output::print;
use crate::config::RemoteSettings;

/// More sessions than anybody has.
const LIMIT: u32 = 100_000;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Lists the sessions of a member, those that began last first.
    List {
        /// The member's user id, as ListMembers has it.
        #[arg(long, value_name = "ID")]
        user: Uuid,
        /// Print a JSON array instead of lines.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: RemoteSettings,
    },
    /// Ends one session of a member, or all of them, at once.
    End {
        /// The member's user id, as ListMembers has it.
        #[arg(long, value_name = "ID")]
        user: Uuid,
        /// The session's id, as `session list` shows it. Without it, all sessions of the member end.
        #[arg(long, value_name = "ID")]
        session: Option<Uuid>,
        #[command(flatten)]
        remote: RemoteSettings,
    },
}

/// A session, as the server sends it and as it is printed in JSON.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Session {
    id: Uuid,
    sso_configuration_id: Uuid,
    #[serde(default)]
    user_agent: String,
    created_at: DateTime<Utc>,
    last_used_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ended {
    #[serde(default)]
    ended_count: u32,
}

impl Command {
    pub async fn run(self) -> Result<()> {
        match self {
            Self::List { user, json, remote } => {
                let remote = Remote::new(&remote)?;
                let request = json!({ "userId": user });
                let method = "SessionService/ListSessions";
                let sessions: Vec<Session> =
                    remote.list(method, request, "sessions", LIMIT).await?;
                if json {
                    print(json!(sessions))?;
                } else {
                    sessions
                        .iter()
                        .try_for_each(|session| print(plain(&line(session))))?;
                }
            }
            Self::End {
                user,
                session,
                remote,
            } => {
                let remote = Remote::new(&remote)?;
                let request = json!({ "userId": user, "sessionId": session });
                let ended: Ended = remote.call("SessionService/EndSessions", &request).await?;
                print(format_args!("{} ended", ended.ended_count))?;
            }
        }
        Ok(())
    }
}

fn line(session: &Session) -> String {
    let format = "%Y-%m-%d %H:%M";
    format!(
        "{}  since {}  last used {}  {}",
        session.id,
        session.created_at.format(format),
        session.last_used_at.format(format),
        session.user_agent
    )
}
