//! `rollcall token`.

use std::time::Duration;

use anyhow::{Result, bail};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Subcommand;
use serde_json::json;
use uuid::Uuid;

use super::operator;
use crate::app::{Clock, Operator, Random};
use crate::cli::output::{print, remark};
use crate::config::{BadSetting, DatabaseSettings};
use crate::domain::identity::Role;
use crate::domain::ids::OrganizationId;
use crate::domain::token::{Token, TokenKind};
use crate::error::Error;
use crate::provisioning::organizations::{
    Grant, issue_operator_token, issue_token_and_record, revoke_token,
};
use crate::store::{self, tokens::ListedToken};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Makes an API token and prints it, this once.
    Create {
        /// The organization's id.
        #[arg(long, value_name = "ID", required_unless_present = "operator")]
        organization: Option<Uuid>,
        /// A token of the installation instead: it makes and deletes organizations, and acts in any of them as an administrator.
        #[arg(long, conflicts_with_all = ["organization", "role", "read_only"])]
        operator: bool,
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
        #[arg(long, value_name = "ID", required_unless_present = "operator")]
        organization: Option<Uuid>,
        /// Those of the installation instead.
        #[arg(long, conflicts_with = "organization")]
        operator: bool,
        /// Print a JSON array instead of a table.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        database: DatabaseSettings,
    },
    /// Revokes a token at once and for good.
    Revoke {
        /// The organization's id.
        #[arg(long, value_name = "ID", required_unless_present = "operator")]
        organization: Option<Uuid>,
        /// A token of the installation instead.
        #[arg(long, conflicts_with = "organization")]
        operator: bool,
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
                operator: _,
                name,
                role,
                read_only,
                expires_in,
                json,
                database,
            } => {
                let operator = operator(&database).await?;
                let expires_at = expires_in
                    .map(|after| end(operator.clock.now(), after))
                    .transpose()?;
                let grant = Grant {
                    name: &name,
                    role,
                    read_only,
                    expires_at,
                };
                let whose = Whose::of(organization);
                let token = whose.create(&operator, &grant).await?;
                let printed = if json {
                    print(
                        json!({ "id": token.id(), "token": token.expose(), "expiresAt": expires_at }),
                    )
                } else {
                    print(token.expose())
                };
                if let Err(error) = printed {
                    whose.revoke(&operator, token.id()).await?;
                    bail!("the token could not be printed, and was taken back: {error:#}");
                }
            }
            Self::List {
                organization,
                operator: _,
                json,
                database,
            } => {
                let operator = operator(&database).await?;
                let tokens = Whose::of(organization).list(&operator).await?;
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
                operator: _,
                token,
                database,
            } => {
                let operator = operator(&database).await?;
                Whose::of(organization).revoke(&operator, token).await?;
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

/// Whose tokens a command is about.
enum Whose {
    Organization(OrganizationId),
    Installation,
}

impl Whose {
    fn of(organization: Option<Uuid>) -> Self {
        match organization {
            Some(id) => Self::Organization(id.into()),
            None => Self::Installation,
        }
    }

    async fn create(&self, operator: &Operator, grant: &Grant<'_>) -> Result<Token, Error> {
        match *self {
            Self::Organization(id) => issue_token_and_record(operator, id, grant).await,
            Self::Installation => issue_operator_token(operator, grant).await,
        }
    }

    async fn list(&self, operator: &Operator) -> Result<Vec<ListedToken>, Error> {
        let mut db = operator.store.acquire().await?;
        match *self {
            Self::Organization(id) => store::tokens::list(&mut db, id).await,
            Self::Installation => {
                let all = store::operator_tokens::list(&mut db).await?;
                Ok(all.into_iter().map(listed).collect())
            }
        }
    }

    async fn revoke(&self, operator: &Operator, token: Uuid) -> Result<(), Error> {
        match *self {
            Self::Organization(id) => revoke_token(operator, id, token.into()).await,
            Self::Installation => {
                let mut db = operator.store.acquire().await?;
                let now = operator.clock.now();
                store::operator_tokens::revoke(&mut db, token.into(), now).await
            }
        }
    }
}

/// An operator's token in the form of others: it may do everything.
fn listed(token: store::operator_tokens::Listed) -> ListedToken {
    ListedToken {
        id: token.id.as_uuid().into(),
        name: token.name,
        role: Role::Admin,
        read_only: false,
        created_at: token.created_at,
        expires_at: token.expires_at,
        revoked_at: token.revoked_at,
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
