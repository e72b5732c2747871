//! `rollcall session`.

use anyhow::Result;
use clap::Subcommand;
use serde_json::json;
use uuid::Uuid;

use super::operator;
use crate::config::{DatabaseSettings, MAX_SESSION};
use crate::store::{self, sessions::Listed};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Lists the sessions of a member, the one used last first.
    List {
        #[command(flatten)]
        member: Member,
        /// Print a JSON array instead of lines.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        database: DatabaseSettings,
    },
    /// Ends one session of a member, or all of them, at once.
    End {
        #[command(flatten)]
        member: Member,
        /// The session's id, as `session list` shows it. Without it, all sessions of the member end.
        #[arg(long, value_name = "ID")]
        session: Option<Uuid>,
        #[command(flatten)]
        database: DatabaseSettings,
    },
}

/// Whose sessions.
#[derive(Debug, clap::Args)]
pub struct Member {
    /// The organization's id.
    #[arg(long, value_name = "ID")]
    organization: Uuid,
    /// The member's user id, as ListMembers has it.
    #[arg(long, value_name = "ID")]
    user: Uuid,
}

impl Command {
    pub async fn run(self) -> Result<()> {
        match self {
            Self::List {
                member,
                json,
                database,
            } => {
                let app = operator(&database).await?;
                let mut db = app.store.acquire().await?;
                let now = app.clock.now();
                // How long sessions live unused is the server's setting: all that may live are shown.
                let since = now - MAX_SESSION;
                let organization = member.organization.into();
                let sessions =
                    store::sessions::list(&mut db, organization, member.user, now, since).await?;
                if json {
                    println!("{}", json!(sessions));
                } else {
                    sessions
                        .iter()
                        .for_each(|session| println!("{}", line(session)));
                }
            }
            Self::End {
                member,
                session,
                database,
            } => {
                let app = operator(&database).await?;
                let mut db = app.store.acquire().await?;
                let organization = member.organization.into();
                let count = match session {
                    Some(id) => u64::from(
                        store::sessions::end(&mut db, organization, member.user, id.into()).await?,
                    ),
                    None => store::sessions::end_all(&mut db, organization, member.user).await?,
                };
                println!("{count} ended");
            }
        }
        Ok(())
    }
}

fn line(session: &Listed) -> String {
    let format = "%Y-%m-%d %H:%M";
    format!(
        "{}  since {}  last used {}  {}",
        session.id,
        session.created_at.format(format),
        session.last_used_at.format(format),
        session.user_agent
    )
}
