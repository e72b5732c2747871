//! `rollcall setup-link`.

use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;

use super::remote::{Remote, enum_name, plain};
use crate::cli::output::{print, remark};
use crate::config::RemoteSettings;
use crate::domain::identity::Permission;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Makes a link for somebody without an account, and prints it, this once.
    Create {
        /// What the link is for: sso, scim or domains. May be given several times.
        #[arg(long = "permission", value_name = "PERMISSION", required = true)]
        permissions: Vec<Permission>,
        /// Who it is for.
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// How long it opens something, such as 3d: up to 30 days. [default: 7d]
        #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
        expires_in: Option<Duration>,
        /// Where the person goes when done.
        #[arg(long, value_name = "URL")]
        return_url: Option<String>,
        /// Print the server's answer, a JSON object, instead of lines.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Lists the links that open something now, the oldest first.
    List {
        /// Those that expired or were revoked, too, for the 30 days that they are kept.
        #[arg(long)]
        all: bool,
        /// Print a JSON array instead of lines.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Ends a link, at once.
    Revoke {
        /// The link's id, as `setup-link list` shows it.
        link: Uuid,
        #[command(flatten)]
        place: Place,
    },
}

/// The organization that is set up: the token's; with an operator's token, one that is named.
#[derive(Args, Debug)]
pub struct Place {
    /// With an operator's token, the organization.
    #[arg(long, value_name = "ID")]
    organization: Option<Uuid>,
    #[command(flatten)]
    remote: RemoteSettings,
}

impl Place {
    fn remote(&self) -> Result<Remote> {
        let remote = Remote::new(&self.remote)?;
        Ok(match self.organization {
            Some(organization) => remote.in_organization(organization),
            None => remote,
        })
    }
}

impl Command {
    pub async fn run(self) -> Result<()> {
        match self {
            Self::Create {
                permissions,
                description,
                expires_in,
                return_url,
                json,
                place,
            } => {
                let wire = |permission: &Permission| {
                    format!(
                        "SETUP_PERMISSION_{}",
                        permission.as_str().to_ascii_uppercase()
                    )
                };
                let request = json!({
                    "permissions": permissions.iter().map(wire).collect::<Vec<_>>(),
                    "description": description,
                    "validFor": expires_in.map(|time| format!("{}s", time.as_secs())),
                    "returnUrl": return_url,
                });
                let remote = place.remote()?;
                let made: Value = remote.call(&method("CreateSetupLink"), &request).await?;
                if json {
                    return print(made);
                }
                print(plain(&line(&made["setupLink"])))?;
                print(text(&made["url"]))?;
                remark(
                    "The second line is the link. It is shown this once, and whoever has it may do what it is for.",
                );
                Ok(())
            }
            Self::List { all, json, place } => {
                let request = json!({ "includeEnded": all });
                let remote = place.remote()?;
                let links: Vec<Value> = remote
                    .list(&method("ListSetupLinks"), request, "setupLinks", u32::MAX)
                    .await?;
                if json {
                    return print(json!(links));
                }
                links.iter().try_for_each(|one| print(plain(&line(one))))
            }
            Self::Revoke { link, place } => {
                let request = json!({ "setupLinkId": link });
                let remote = place.remote()?;
                let _: Value = remote.call(&method("RevokeSetupLink"), &request).await?;
                print(format_args!("{link} revoked"))
            }
        }
    }
}

fn method(name: &str) -> String {
    format!("SetupLinkService/{name}")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A link in one line: what it is for, when it ends, and who used it when.
fn line(link: &Value) -> String {
    let permissions = link["permissions"].as_array();
    let permissions: Vec<String> = permissions
        .into_iter()
        .flatten()
        .map(|one| enum_name(text(one), "SETUP_PERMISSION_"))
        .collect();
    let end = match link["revokedAt"].as_str() {
        Some(revoked) => format!("revoked at {revoked}"),
        None => format!("until {}", text(&link["expiresAt"])),
    };
    let used = match link["lastUsedAt"].as_str() {
        Some(used) => format!("last used at {used}"),
        None => "never used".to_owned(),
    };
    format!(
        "{}  {}  {end}  {used}  {}",
        text(&link["id"]),
        permissions.join(","),
        text(&link["description"])
    )
    .trim_end()
    .to_owned()
}
