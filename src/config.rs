//! Every setting: a flag and an environment variable each. What cannot be checked by its form
//! alone is checked in the functions here, so that a bad setting is one line and never shows a
//! secret.

pub mod bad_setting;
mod outgoing;
mod remote;

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use chrono::TimeDelta;
use clap::{Args, ValueEnum};
use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::domain::organization;
use crate::domain::retention::Kept;
use crate::domain::sign_in::{self, SignInSettings};
use crate::domain::token::{Token, TokenKind};
use crate::http::listener::{ClientLimits, Listening, connections_in_all};
use crate::secrets::keys::Keyring;
use crate::{outgoing as ways_out, store};

pub use self::bad_setting::BadSetting;
pub use self::outgoing::OutgoingSettings;
pub use self::remote::{RemoteSettings, ResolvedRemote};

/// How the log is written.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// What is logged, and how.
#[derive(Args, Debug)]
#[command(next_help_heading = "Log")]
pub struct LogSettings {
    /// What to log: error, warn, info, debug or trace, by part if need be.
    #[arg(
        long = "log",
        env = "ROLLCALL_LOG",
        default_value = "info,sqlx=warn,pglite_oxide=warn",
        value_name = "LEVEL",
        global = true
    )]
    pub level: String,

    /// How to log.
    #[arg(
        long = "log-format",
        env = "ROLLCALL_LOG_FORMAT",
        value_enum,
        default_value = "text",
        global = true
    )]
    pub format: LogFormat,
}

impl LogSettings {
    /// What is logged.
    ///
    /// # Errors
    ///
    /// Which form it must have.
    pub fn filter(&self) -> Result<EnvFilter, BadSetting> {
        let parts = self.level.split(',').map(str::trim);
        let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
        // The parser takes a word that is no level for a part of the program, and logs nothing else.
        let is_plain =
            |part: &&str| part.contains(['=', '[']) || part.parse::<LevelFilter>().is_ok();
        let filter = match parts.is_empty() || !parts.iter().all(is_plain) {
            true => None,
            false => parts.join(",").parse().ok(),
        };
        filter.ok_or_else(|| {
            BadSetting(format!(
                "ROLLCALL_LOG: {:?} must be a level (error, warn, info, debug, trace or off), or levels by part, such as info,sqlx=debug",
                self.level
            ))
        })
    }
}

/// Where the data is.
#[derive(Args, Debug)]
#[command(next_help_heading = "Database")]
pub struct DatabaseSettings {
    /// The PostgreSQL (14 or newer) to use, as postgres://user:password@host:port/database; of several hosts, separated by
    /// commas, the one that can be written to. Without it, serve starts an embedded one, if this build has it.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<SecretString>,
}

impl DatabaseSettings {
    /// The database's URL, if one is set.
    ///
    /// # Errors
    ///
    /// A line that says what form it must have.
    pub fn url(&self) -> Result<Option<&str>, BadSetting> {
        let Some(url) = set(self.database_url.as_ref()) else {
            return Ok(None);
        };
        store::check_url(url).map_err(|e| BadSetting(format!("DATABASE_URL {e}")))?;
        Ok(Some(url))
    }

    /// The database's URL, for commands that have no other place to look.
    ///
    /// # Errors
    ///
    /// A line that says to set it, or what form it must have.
    pub fn required_url(&self) -> Result<&str, BadSetting> {
        self.url()?.ok_or_else(|| {
            BadSetting(
                "DATABASE_URL is required: set it to the PostgreSQL of the installation".into(),
            )
        })
    }
}

/// The keys that seal client secrets and page tokens.
#[derive(Args, Debug)]
#[command(next_help_heading = "Secrets")]
pub struct KeySettings {
    /// Keys that seal secrets: "id:base64 of 32 bytes", separated by commas. The first seals, all open. `rollcall keys
    /// generate` makes one. With the embedded PostgreSQL, one is made and kept in the data directory.
    #[arg(
        long,
        env = "ROLLCALL_ENCRYPTION_KEYS",
        hide_env_values = true,
        value_name = "KEYS"
    )]
    encryption_keys: Option<SecretString>,
}

impl KeySettings {
    /// The keys, if any are set.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub fn keyring(&self) -> Result<Option<Keyring>, BadSetting> {
        let keys = set(self.encryption_keys.as_ref())
            .map(str::parse)
            .transpose();
        keys.map_err(|e: String| BadSetting(format!("ROLLCALL_ENCRYPTION_KEYS: {e}")))
    }

    /// The keys, where data is that may be sealed with them.
    ///
    /// # Errors
    ///
    /// What is wrong with them, or how to make one.
    pub fn required_keyring(&self) -> Result<Keyring, BadSetting> {
        self.keyring()?.ok_or_else(|| {
            BadSetting(
                "ROLLCALL_ENCRYPTION_KEYS is required with DATABASE_URL: make a key with `rollcall keys generate` and keep it safe"
                    .into(),
            )
        })
    }
}

/// The settings of `serve`.
#[derive(Args, Debug)]
#[command(next_help_heading = "Server")]
pub struct ServeSettings {
    /// The address and port to listen on. Port 0 takes a free one.
    #[arg(
        long,
        env = "ROLLCALL_LISTEN",
        default_value = "127.0.0.1:8080",
        value_name = "ADDRESS"
    )]
    listen: SocketAddr,

    /// The address and port for metrics, at /metrics in Prometheus' text format: for an internal network only. Port 0
    /// takes a free one. Unless given, there are none.
    #[arg(long, env = "ROLLCALL_METRICS_LISTEN", value_name = "ADDRESS")]
    metrics_listen: Option<String>,

    /// How long a connection may be idle: longer than the proxy or load balancer in front keeps its own.
    #[arg(
        long,
        env = "ROLLCALL_KEEP_ALIVE",
        default_value = "90s",
        value_name = "DURATION"
    )]
    keep_alive: String,

    /// How long requests are still taken after SIGTERM, while /readyz says no.
    #[arg(
        long,
        env = "ROLLCALL_DRAIN",
        default_value = "5s",
        value_name = "DURATION"
    )]
    drain: String,

    /// How many connections, and how many requests, one client may have at a time.
    #[arg(
        long,
        env = "ROLLCALL_CONNECTIONS_PER_CLIENT",
        default_value = "512",
        value_name = "NUMBER"
    )]
    connections_per_client: String,

    /// Networks of the proxies in front, whose X-Forwarded-For says who the client is, such as 10.1.0.0/16, separated by
    /// commas.
    #[arg(long, env = "ROLLCALL_TRUSTED_PROXIES", value_name = "NETWORKS")]
    trusted_proxies: Option<String>,

    /// How many connections to PostgreSQL are opened at most.
    #[arg(
        long,
        env = "ROLLCALL_DATABASE_CONNECTIONS",
        default_value = "16",
        value_name = "NUMBER"
    )]
    database_connections: String,

    /// Where clients and browsers reach this server, as `https://rollcall.example.com`. [default: http:// and the address
    /// listened on]
    #[arg(long, env = "ROLLCALL_PUBLIC_URL", value_name = "URL")]
    public_url: Option<String>,

    /// The folder of the embedded PostgreSQL, its key and the first administrator's token.
    #[arg(
        long,
        env = "ROLLCALL_DATA_DIR",
        default_value = "./rollcall-data",
        value_name = "FOLDER"
    )]
    data_dir: PathBuf,

    /// Makes sure that an organization of this name exists, with the bootstrap token as its administrator's.
    #[arg(long, env = "ROLLCALL_BOOTSTRAP_ORGANIZATION", value_name = "NAME")]
    bootstrap_organization: Option<String>,

    /// An administrator's token of the bootstrap organization, in the form that `rollcall token generate` makes. Replacing
    /// it revokes the one before.
    #[arg(
        long,
        env = "ROLLCALL_BOOTSTRAP_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    bootstrap_token: Option<SecretString>,

    /// Origins of applications that a login may return to, beside this server's, such as `https://app.example.com`,
    /// separated by commas.
    #[arg(long, env = "ROLLCALL_RETURN_ORIGINS", value_name = "ORIGINS")]
    return_origins: Option<String>,

    /// How long a session lives without being used.
    #[arg(
        long,
        env = "ROLLCALL_SESSION_IDLE",
        default_value = "12h",
        value_name = "DURATION"
    )]
    session_idle: String,

    /// How long a session lives.
    #[arg(
        long,
        env = "ROLLCALL_SESSION_LIFETIME",
        default_value = "7d",
        value_name = "DURATION"
    )]
    session_lifetime: String,

    /// Lets an address sign in only where its domain is verified for the organization.
    #[arg(long, env = "ROLLCALL_REQUIRE_VERIFIED_DOMAINS", value_parser = boolean)]
    require_verified_domains: bool,

    #[command(flatten)]
    outgoing: OutgoingSettings,

    /// How long events are kept, the log of each SCIM configuration, and that of logins, such as 30d or 12h.
    #[arg(
        long,
        env = "ROLLCALL_EVENT_RETENTION",
        default_value = "30d",
        value_name = "DURATION"
    )]
    event_retention: String,

    /// How long the audit log is kept, such as 365d.
    #[arg(
        long,
        env = "ROLLCALL_AUDIT_RETENTION",
        default_value = "365d",
        value_name = "DURATION"
    )]
    audit_retention: String,
}

/// The longest that a connection may be idle, in seconds.
const MAX_KEEP_ALIVE: u64 = 3600;
/// The longest that requests are still taken after SIGTERM, in seconds.
const MAX_DRAIN: u64 = 600;
/// The most connections that one client may have.
const MAX_PER_CLIENT: u32 = 1_000_000;
/// The most connections to PostgreSQL.
const MAX_DATABASE_CONNECTIONS: u32 = 1000;
/// The longest that a session may live.
pub const MAX_SESSION: TimeDelta = TimeDelta::days(365);
/// The longest that events may be kept.
const MAX_RETENTION: TimeDelta = TimeDelta::days(3650);

/// An organization and a token that the settings ask for.
#[derive(Debug)]
pub struct Bootstrap {
    /// The organization's name.
    pub organization: String,
    /// Its administrator's token.
    pub token: Token,
}

/// The settings of `serve`, checked.
#[derive(Debug)]
pub struct Resolved {
    /// The address and port to listen on.
    pub listen: SocketAddr,
    /// The address and port for metrics, if they are wanted.
    pub metrics_listen: Option<SocketAddr>,
    /// How the listener treats clients.
    pub listening: Listening,
    /// How long requests are still taken after SIGTERM.
    pub drain: Duration,
    /// How many connections to PostgreSQL are opened at most.
    pub database_connections: u32,
    /// Where the server is reached, without a slash at the end, if it is not where it listens.
    pub public_url: Option<String>,
    /// The folder of the embedded PostgreSQL.
    #[cfg_attr(
        not(feature = "embedded-postgres"),
        expect(dead_code, reason = "there is none")
    )]
    pub data_dir: PathBuf,
    /// The organization and token to make sure of, if any.
    pub bootstrap: Option<Bootstrap>,
    /// How people sign in.
    pub sign_in: SignInSettings,
    /// How requests to providers leave.
    pub outgoing: ways_out::Settings,
    /// How long logs are kept.
    pub kept: Kept,
}

impl ServeSettings {
    /// Reads and checks every setting.
    ///
    /// # Errors
    ///
    /// What is wrong with one of them, and what form it must have.
    pub fn resolve(self) -> Result<Resolved, BadSetting> {
        Ok(Resolved {
            bootstrap: self.bootstrap()?,
            public_url: self.public_url()?,
            sign_in: self.sign_in()?,
            kept: self.kept()?,
            outgoing: self.outgoing.outgoing()?,
            metrics_listen: self.metrics_listen()?,
            listening: self.listening()?,
            drain: self.drain()?,
            database_connections: self.database_connections()?,
            listen: self.listen,
            data_dir: self.data_dir,
        })
    }

    fn public_url(&self) -> Result<Option<String>, BadSetting> {
        let url = self.public_url.as_deref().filter(|url| !url.is_empty());
        url.map(public_url).transpose()
    }

    fn metrics_listen(&self) -> Result<Option<SocketAddr>, BadSetting> {
        let text = self.metrics_listen.as_deref();
        let address = text.filter(|text| !text.is_empty()).map(|text| {
            text.parse().map_err(|_| {
                BadSetting(format!(
                    "ROLLCALL_METRICS_LISTEN: {text:?} must be an IP address and a port, such as 127.0.0.1:9464"
                ))
            })
        });
        address.transpose()
    }

    fn listening(&self) -> Result<Listening, BadSetting> {
        let networks = self.trusted_proxies.iter().flat_map(|list| list.split(','));
        let networks = networks.map(str::trim).filter(|text| !text.is_empty());
        let proxies: Result<Vec<IpNet>, BadSetting> = networks
            .map(|text| {
                let address = |ip: IpAddr| IpNet::from(ip);
                text.parse().or_else(|_| text.parse().map(address)).map_err(|_| {
                    BadSetting(format!(
                        "ROLLCALL_TRUSTED_PROXIES: {text:?} must be a network or an IP address, such as 10.1.0.0/16"
                    ))
                })
            })
            .collect();
        let keep_alive = seconds(
            "ROLLCALL_KEEP_ALIVE",
            &self.keep_alive,
            1..=MAX_KEEP_ALIVE,
            "90s",
        )?;
        let clients = ClientLimits {
            per_client: number(
                "ROLLCALL_CONNECTIONS_PER_CLIENT",
                &self.connections_per_client,
                MAX_PER_CLIENT,
            )?,
            in_all: connections_in_all(),
            proxies: proxies?,
        };
        Ok(Listening {
            keep_alive,
            clients,
        })
    }

    fn drain(&self) -> Result<Duration, BadSetting> {
        seconds("ROLLCALL_DRAIN", &self.drain, 0..=MAX_DRAIN, "5s")
    }

    fn database_connections(&self) -> Result<u32, BadSetting> {
        number(
            "ROLLCALL_DATABASE_CONNECTIONS",
            &self.database_connections,
            MAX_DATABASE_CONNECTIONS,
        )
    }

    fn sign_in(&self) -> Result<SignInSettings, BadSetting> {
        let origins = self.return_origins.as_deref().unwrap_or_default();
        let origins = origins
            .split(',')
            .map(str::trim)
            .filter(|text| !text.is_empty());
        let return_origins = origins
            .enumerate()
            .map(return_origin)
            .collect::<Result<_, _>>()?;
        let session =
            |name: &str, text: &str, example: &str| duration(name, text, MAX_SESSION, example);
        Ok(SignInSettings {
            return_origins,
            session_idle: session("ROLLCALL_SESSION_IDLE", &self.session_idle, "12h")?,
            session_lifetime: session("ROLLCALL_SESSION_LIFETIME", &self.session_lifetime, "7d")?,
            require_verified_domains: self.require_verified_domains,
        })
    }

    fn kept(&self) -> Result<Kept, BadSetting> {
        let retention =
            |name: &str, text: &str, example: &str| duration(name, text, MAX_RETENTION, example);
        Ok(Kept {
            events: retention("ROLLCALL_EVENT_RETENTION", &self.event_retention, "30d")?,
            audit_log: retention("ROLLCALL_AUDIT_RETENTION", &self.audit_retention, "365d")?,
        })
    }

    fn bootstrap(&self) -> Result<Option<Bootstrap>, BadSetting> {
        let organization = self
            .bootstrap_organization
            .as_deref()
            .filter(|name| !name.is_empty());
        match (organization, set(self.bootstrap_token.as_ref())) {
            (None, None) => Ok(None),
            (Some(organization), Some(token)) => {
                organization::check_name(organization).map_err(|_| {
                    BadSetting(format!(
                        "ROLLCALL_BOOTSTRAP_ORGANIZATION must have 1 to {} characters",
                        organization::MAX_NAME_LENGTH
                    ))
                })?;
                let token = Token::parse(TokenKind::Api, token.trim()).ok_or_else(|| {
                    BadSetting("ROLLCALL_BOOTSTRAP_TOKEN is not a complete token: make one with `rollcall token generate`".into())
                })?;
                Ok(Some(Bootstrap {
                    organization: organization.to_owned(),
                    token,
                }))
            }
            _ => Err(BadSetting(
                "ROLLCALL_BOOTSTRAP_ORGANIZATION and ROLLCALL_BOOTSTRAP_TOKEN belong together: set both or neither".into(),
            )),
        }
    }
}

/// A public URL as it is used, without a slash at the end.
///
/// # Errors
///
/// What is wrong with `url`.
pub fn public_url(url: &str) -> Result<String, BadSetting> {
    let is_bare = |uri: &http::Uri| uri.path() == "/" && uri.query().is_none();
    let has_origin = sign_in::origin(url).is_some();
    if has_origin && url.parse().is_ok_and(|uri| is_bare(&uri)) {
        return Ok(url.trim_end_matches('/').to_owned());
    }
    // It may hold a password, which is not repeated.
    Err(BadSetting(
        "ROLLCALL_PUBLIC_URL must be http:// or https:// and a host, with a port of up to 65535 if need be, without a path, a user or wildcards, such as https://rollcall.example.com"
            .into(),
    ))
}

/// A setting that is on or off; what is set to nothing is off.
fn boolean(text: &str) -> Result<bool, String> {
    match &*text.to_ascii_lowercase() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "" | "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("must be true or false".to_owned()),
    }
}

/// A number from 1 on.
fn number<N: TryFrom<u32>>(name: &str, text: &str, most: u32) -> Result<N, BadSetting> {
    let parsed = text.trim().parse().ok();
    let parsed = parsed.filter(|number| (1..=most).contains(number));
    parsed
        .and_then(|number| N::try_from(number).ok())
        .ok_or_else(|| {
            BadSetting(format!(
                "{name}: {text:?} must be a number from 1 to {most}"
            ))
        })
}

/// A duration of so many seconds.
fn seconds(
    name: &str,
    text: &str,
    range: RangeInclusive<u64>,
    example: &str,
) -> Result<Duration, BadSetting> {
    let parsed = humantime::parse_duration(text).ok();
    let ends = Duration::from_secs(*range.start())..=Duration::from_secs(*range.end());
    parsed
        .filter(|duration| ends.contains(duration))
        .ok_or_else(|| {
            BadSetting(format!(
                "{name}: {text:?} must be a duration from {}s to {}s, such as {example}",
                range.start(),
                range.end()
            ))
        })
}

/// A duration of a minute or more.
fn duration(
    name: &str,
    text: &str,
    most: TimeDelta,
    example: &str,
) -> Result<TimeDelta, BadSetting> {
    let parsed = humantime::parse_duration(text).ok();
    let parsed = parsed.and_then(|duration| TimeDelta::from_std(duration).ok());
    parsed
        .filter(|duration| (TimeDelta::minutes(1)..=most).contains(duration))
        .ok_or_else(|| {
            BadSetting(format!(
                "{name}: {text:?} must be a duration from 1m to {}d, such as {example}",
                most.num_days()
            ))
        })
}

fn return_origin((index, text): (usize, &str)) -> Result<String, BadSetting> {
    let is_bare = |origin: &String| text.trim_end_matches('/').eq_ignore_ascii_case(origin);
    sign_in::origin(text).filter(is_bare).ok_or_else(|| {
        BadSetting(format!(
            "ROLLCALL_RETURN_ORIGINS: origin {} of the list must be http:// or https:// and a host, with a port of up to 65535 if need be, without a path, a user or wildcards, such as https://app.example.com",
            index + 1
        ))
    })
}

/// An environment variable that is set to nothing is not set.
fn set(secret: Option<&SecretString>) -> Option<&str> {
    secret
        .map(ExposeSecret::expose_secret)
        .filter(|text| !text.is_empty())
}
