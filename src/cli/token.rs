//! `rollcall token`.

use std::time::Duration;

use anyhow::{Result, bail};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Subcommand;
use serde_json::json;
use uuid::Uuid;

use super::operator;
use crate::app::{Clock, Random};
use crate::cli::output::{print, remark};
use crate::config::{BadSetting, DatabaseSettings};
use crate::domain::identity::Role;
use crate::domain::token::TokenKind;
use crate::provisioning::organizations::{Grant, issue_token};
use crate::store::{self, tokens::ListedToken};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Makes an API token and prints it, this once.
    Create {
        /// The organization's id.
        #[arg(long, value_name = "ID")]
        organization: Uuid,
        /// What to call it.
        #[arg(long, default_value = "Operator's token")]
        name: String,
        /// What it may do: admin (everything) or member.
        #[arg(long, default_value = "admin")]
        role: Role,
        /// It may only read.
        #[arg(long)]
        read_only: bool,
        /// When it ends, such as 90d or 12h. Without it, the token does not end.
        #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
        expires_in: Option<Duration>,
        /// Print a JSON object instead of the bare token.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        database: DatabaseSettings,
    },
    /// Lists an organization's tokens, the oldest first, without their secrets.
    List {
        /// The organization's id.
        #[arg(long, value_name = "ID")]
        organization: Uuid,
        /// Print a JSON array instead of a table.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        database: DatabaseSettings,
    },
    /// Revokes a token at once and for good.
    Revoke {
        /// The organization's id.
        #[arg(long, value_name = "ID")]
        organization: Uuid,
        /// The token's id, as `token list` shows it.
        token: Uuid,
        #[command(flatten)]
        database: DatabaseSettings,
    },
    /// Prints a token that nobody has yet and that names no organization, for ROLLCALL_BOOTSTRAP_TOKEN.
    Generate,
}

impl Command {
    pub async fn run(self) -> Result<()> {
        match self {
            Self::Create {
                organization,
                name,
                role,
                read_only,
                expires_in,
                json,
                database,
            } => {
                let operator = operator(&database).await?;
                let mut tx = operator.store.begin().await?;
                let expires_at = expires_in
                    .map(|after| end(operator.clock.now(), after))
                    .transpose()?;
                let grant = Grant {
                    name: &name,
                    role,
                    read_only,
                    expires_at,
                };
                let token =
                    issue_token(&operator, None, &mut tx, organization.into(), &grant).await?;
                tx.commit().await?;
                let printed = if json {
                    print(
                        json!({ "id": token.id(), "token": token.expose(), "expiresAt": expires_at }),
                    )
                } else {
                    print(token.expose())
                };
                if let Err(error) = printed {
                    let mut db = operator.store.acquire().await?;
                    let (id, now) = (token.id().into(), operator.clock.now());
                    store::tokens::revoke(&mut db, organization.into(), id, now).await?;
                    bail!("the token could not be printed, and was taken back: {error:#}");
                }
            }
            Self::List {
                organization,
                json,
                database,
            } => {
                let operator = operator(&database).await?;
                let mut db = operator.store.acquire().await?;
                let tokens = store::tokens::list(&mut db, organization.into()).await?;
                if json {
                    print(json!(tokens.iter().map(row).collect::<Vec<_>>()))?;
                } else {
                    for token in tokens {
                        print(line(&token, operator.clock.now()))?;
                    }
                }
            }
            Self::Revoke {
                organization,
                token,
                database,
            } => {
                let operator = operator(&database).await?;
                let mut db = operator.store.acquire().await?;
                store::tokens::revoke(
                    &mut db,
                    organization.into(),
                    token.into(),
                    operator.clock.now(),
                )
                .await?;
                remark("The token is revoked.");
            }
            Self::Generate => {
                let random = Random::system()?;
                let id = random.uuid_v7(Clock::System.now());
                print(random.token(TokenKind::Api, None, id).expose())?;
            }
        }
        Ok(())
    }
}

fn end(now: DateTime<Utc>, after: Duration) -> Result<DateTime<Utc>, BadSetting> {
    let end = TimeDelta::from_std(after)
        .ok()
        .and_then(|after| now.checked_add_signed(after));
    end.filter(|end| *end > now)
        .ok_or_else(|| BadSetting("--expires-in must be a duration such as 90d or 12h".into()))
}

fn row(token: &ListedToken) -> serde_json::Value {
    json!({
        "id": token.id.as_uuid(),
        "name": token.name,
        "role": token.role,
        "readOnly": token.read_only,
        "createdAt": token.created_at,
        "expiresAt": token.expires_at,
        "revokedAt": token.revoked_at,
    })
}

fn line(token: &ListedToken, now: DateTime<Utc>) -> String {
    let state = match (token.revoked_at, token.expires_at) {
        (Some(at), _) => format!("revoked {}", at.format("%Y-%m-%d")),
        (None, Some(at)) if at <= now => format!("expired {}", at.format("%Y-%m-%d")),
        (None, Some(at)) => format!("until {}", at.format("%Y-%m-%d")),
        (None, None) => "no end".to_owned(),
    };
    let access = if token.read_only {
        "read-only"
    } else {
        "read-write"
    };
    format!(
        "{}  {:6}  {access:10}  {state:18}  {}",
        token.id, token.role, token.name
    )
}
