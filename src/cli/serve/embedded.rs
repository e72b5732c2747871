//! `rollcall serve` without a database: everything is in one folder.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use secrecy::zeroize::Zeroizing;

use super::{Listeners, app, check_keys, serve};
use crate::app::{App, Operator, Random};
use crate::cli::output::announce;
use crate::config::Resolved;
use crate::domain::ids::OrganizationId;
use crate::domain::token::{Token, TokenKind};
use crate::error::Error;
use crate::http::first::First;
use crate::provisioning::organizations;
use crate::secrets::keys::{self, Keyring};
use crate::store::embedded::Embedded;

/// The name of the first organization, unless the bootstrap settings give one.
const FIRST_ORGANIZATION: &str = "My organization";

/// Serves what the data directory has.
pub(super) async fn run(settings: Resolved, keys: Option<Keyring>) -> Result<()> {
    let folder = &*settings.data_dir;
    let listeners = Listeners::take(&settings)?;
    make_private(folder)
        .with_context(|| format!("cannot use the data directory {}", folder.display()))?;
    let (mut embedded, store) = Embedded::start(&folder.join("postgres")).await?;
    store.migrate().await?;

    let keys = keys.map_or_else(|| own_keys(&folder.join("encryption-keys")), Ok)?;
    let mut app = app(&settings, store, keys, &listeners)?;
    check_keys(&app).await?;
    let founded = match &settings.bootstrap {
        Some(bootstrap) => {
            let organization = &bootstrap.organization;
            app.home = Some(organizations::bootstrap(&app, organization, &bootstrap.token).await?);
            None
        }
        None => {
            let token_file = folder.join("admin-token");
            let keep =
                |token: &Token| write_private(&token_file, token.expose()).map_err(Error::internal);
            let founded = organizations::found(&app, FIRST_ORGANIZATION, keep).await?;
            app.home = organizations::only(&app).await?;
            founded.map(|founded| (founded.organization.id, token_file))
        }
    };
    match founded {
        Some((organization, token_file)) => {
            announce(welcome(&app.public_url, organization, folder, &token_file));
        }
        None => announce(format_args!(
            "Rollcall listens on {}; its data is in {}.",
            app.public_url,
            folder.display()
        )),
    }
    if let Some(link) = first_link(&mut app, &folder.join("admin-token")) {
        announce(format_args!(
            "\nOpen the console in your browser. This link works once:\n\n  {link}\n"
        ));
    }
    let app = Arc::new(app);
    tokio::select! {
        served = serve(listeners, &settings, &app) => served?,
        () = embedded.watch(&app.store) => {}
    }
    embedded.stop().await;
    Ok(())
}

/// The link that opens the console for whoever started the server, if there is still the token that the first start made.
fn first_link(app: &mut App, token_file: &Path) -> Option<String> {
    let text = Zeroizing::new(fs::read_to_string(token_file).ok()?);
    let token = Token::parse(TokenKind::Api, text.trim())?;
    let (first, code) = First::new(app.random.bytes(), token);
    app.first = Some(first);
    Some(format!("{}/console/first/{code}", app.public_url))
}

/// Whether a folder has an embedded PostgreSQL.
pub fn is_there(folder: &Path) -> bool {
    folder.join("postgres").exists()
}

/// Opens the data directory for a command, with the keys of the setting or its own.
pub async fn open(folder: &Path, keys: Option<Keyring>) -> Result<(Embedded, Operator, Keyring)> {
    let (server, store) = Embedded::start(&folder.join("postgres")).await?;
    store.migrate().await?;
    let keys = keys.map_or_else(|| own_keys(&folder.join("encryption-keys")), Ok)?;
    Ok((server, Operator::new(store)?, keys))
}

/// What the first start says.
fn welcome(url: &str, organization: OrganizationId, folder: &Path, token_file: &Path) -> String {
    let call = |method: &str, body: &str| {
        format!(
            "curl -s {url}/gitpod.v1.{method} \\\n  -H \"Authorization: Bearer $(cat {})\" -H 'Content-Type: application/json' \\\n  -d '{body}'\n",
            token_file.display()
        )
    };
    let identity = call("IdentityService/GetAuthenticatedIdentity", "{}");
    let create = call(
        "OrganizationService/CreateSSOConfiguration",
        &format!(
            r#"{{"organizationId": "{organization}", "issuerUrl": "https://accounts.example.com", "clientId": "my-client", "clientSecret": "my-secret"}}"#
        ),
    );
    let list = call(
        "OrganizationService/ListSSOConfigurations",
        &format!(r#"{{"organizationId": "{organization}"}}"#),
    );
    format!(
        "Rollcall listens on {url}; its data is in {}.\n\
         The organization {FIRST_ORGANIZATION:?} has the id {organization}.\n\
         Its administrator's token is in {}.\n\n\
         Who am I?\n\n{identity}\n\
         Add an OpenID Connect provider:\n\n{create}\n\
         List the providers:\n\n{list}\n",
        folder.display(),
        token_file.display(),
    )
}

fn make_private(folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(0o700))
}

/// The key that this folder's secrets are sealed with, made at the first start.
fn own_keys(file: &Path) -> Result<Keyring> {
    if !file.exists() {
        let random = Random::system()?;
        let key = keys::generate(&keys::new_id(&random), &random);
        write_private(file, &key).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let text = Zeroizing::new(
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?,
    );
    text.trim()
        .parse()
        .map_err(|e| anyhow!("{}: {e}", file.display()))
}

/// Writes a secret that only this user can read: whole or not at all.
fn write_private(file: &Path, text: &str) -> std::io::Result<()> {
    let new = file.with_extension("new");
    let _ = fs::remove_file(&new);
    let mut target = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    writeln!(target, "{text}")?;
    target.sync_all()?;
    fs::rename(new, file)
}
