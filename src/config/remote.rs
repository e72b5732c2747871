//! The settings of commands that ask a running server.

use std::path::PathBuf;

use clap::Args;
use secrecy::SecretString;

use super::outgoing::{HTTP_PROXIES, HTTPS_PROXIES, first_set};
use super::{BadSetting, set};
use crate::domain::sign_in;
use crate::domain::token::{Token, TokenKind};
use crate::outgoing::{proxy_url, trust};

/// Where serve listens unless it is told otherwise.
const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";

/// The server that a command asks, and as whom.
#[derive(Args, Debug)]
#[command(next_help_heading = "Server")]
pub struct RemoteSettings {
    /// Where the server is reached.
    #[arg(
        long,
        env = "ROLLCALL_SERVER",
        default_value = DEFAULT_SERVER,
        value_name = "URL"
    )]
    server: String,

    /// An administrator's token, or an operator's. [default: the one in the data directory]
    #[arg(
        long,
        env = "ROLLCALL_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    token: Option<SecretString>,

    /// The folder in which serve with the embedded PostgreSQL keeps the first administrator's token.
    #[arg(
        long,
        env = "ROLLCALL_DATA_DIR",
        default_value = "./rollcall-data",
        value_name = "FOLDER"
    )]
    data_dir: PathBuf,
}

/// The settings of a command that asks a server, checked.
pub struct ResolvedRemote {
    /// Where the server is reached, without a slash at the end.
    pub server: String,
    /// The token that it is asked with.
    pub token: Token,
    /// Where the token comes from.
    pub token_place: String,
}

impl RemoteSettings {
    /// Reads and checks every setting, and the certificates and the proxy of the environment, where the server is
    /// reached with them.
    ///
    /// # Errors
    ///
    /// What is wrong with one of them; that there is no complete token, and where to get one.
    pub fn resolve(&self) -> Result<ResolvedRemote, BadSetting> {
        let server = self.server()?;
        check_way(server)?;
        let (token, token_place) = self.token(server)?;
        Ok(ResolvedRemote {
            server: server.to_owned(),
            token,
            token_place,
        })
    }

    fn server(&self) -> Result<&str, BadSetting> {
        let server = match &*self.server {
            "" => DEFAULT_SERVER,
            server => server,
        };
        let is_plain = |uri: &http::Uri| uri.query().is_none();
        let has_origin = sign_in::origin(server).is_some();
        if has_origin && server.parse().is_ok_and(|uri| is_plain(&uri)) {
            return Ok(server.trim_end_matches('/'));
        }
        // It may hold a password, which is not repeated.
        Err(BadSetting(
            "ROLLCALL_SERVER must be http:// or https:// and a host, with a port of up to 65535 if need be, without a user or a query, such as https://rollcall.example.com"
                .into(),
        ))
    }

    /// The token, and where it comes from.
    fn token(&self, server: &str) -> Result<(Token, String), BadSetting> {
        if let Some(text) = set(self.token.as_ref()) {
            return Ok((api_token(text, "ROLLCALL_TOKEN")?, "ROLLCALL_TOKEN".into()));
        }
        if !sign_in::is_loopback(server) {
            return Err(BadSetting(format!(
                "there is no token to ask {server} with: set ROLLCALL_TOKEN to one that `rollcall token create` made"
            )));
        }
        let file = self.data_dir.join("admin-token");
        let text = std::fs::read_to_string(&file).map_err(|e| {
            BadSetting(format!(
                "there is no token to ask the server with: set ROLLCALL_TOKEN to one that `rollcall token create` made, or ROLLCALL_DATA_DIR to the data directory of serve (cannot read {}: {e})",
                file.display()
            ))
        })?;
        let place = file.display().to_string();
        Ok((api_token(&text, &place)?, place))
    }
}

/// Makes sure that the certificates and the proxy of the environment can be used, where the server is
/// reached with them.
fn check_way(server: &str) -> Result<(), BadSetting> {
    let is_https = server.starts_with("https://");
    if is_https {
        trust::check().map_err(BadSetting)?;
    }
    if sign_in::is_loopback(server) {
        return Ok(());
    }
    let names = if is_https {
        &HTTPS_PROXIES
    } else {
        &HTTP_PROXIES
    };
    match first_set(names) {
        None => Ok(()),
        Some((name, url)) => proxy_url(&url)
            .map(drop)
            .map_err(|error| BadSetting(format!("{name} {error}"))),
    }
}

/// What opens the API, but for sessions, which are a browser's.
const KINDS: [TokenKind; 4] = [
    TokenKind::Api,
    TokenKind::ServiceAccount,
    TokenKind::Personal,
    TokenKind::Operator,
];

fn api_token(text: &str, place: &str) -> Result<Token, BadSetting> {
    Token::parse_any(&KINDS, text.trim()).ok_or_else(|| {
        BadSetting(format!(
            "{place} is not a complete API token: `rollcall token create` makes one"
        ))
    })
}
