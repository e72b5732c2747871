//! What `DATABASE_URL` says: one PostgreSQL, or several of which one can be written to at a time.
//!
//! The driver's parser takes one host. It is given one URL for each, and never the parameters that
//! are about all of them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;

/// How long a host may take to give a connection, unless the URL says so.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest that the URL may say, in seconds.
const MAX_CONNECT_TIMEOUT: u64 = 600;

/// The parameters that the driver knows.
const KNOWN: [&str; 18] = [
    "application_name",
    "dbname",
    "hostaddr",
    "options",
    "password",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
    // These two are taken apart here, for one host as for several.
    "host",
    "port",
];

/// Which servers are of use (`target_session_attrs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Any,
    Primary,
    ReadWrite,
}

/// Where the database is.
pub(super) struct Address {
    /// At least one.
    pub(super) hosts: Vec<PgConnectOptions>,
    pub(super) wanted: Wanted,
    /// For each host.
    pub(super) connect_timeout: Duration,
    /// Names of parameters that nobody here knows.
    pub(super) ignored: Vec<String>,
}

// The options hold the password.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.hosts.iter().map(name)).finish()
    }
}

/// A host, as people call it.
pub(super) fn name(host: &PgConnectOptions) -> String {
    match host.get_socket() {
        Some(folder) => folder.display().to_string(),
        None if host.get_host().contains(':') => {
            format!("[{}]:{}", host.get_host(), host.get_port())
        }
        None => format!("{}:{}", host.get_host(), host.get_port()),
    }
}

impl FromStr for Address {
    /// What is wrong with the URL, as the end of a sentence that starts with its name. It has no part
    /// of the URL in it, which holds a password.
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or_else(form)?;
        if !matches!(scheme, "postgres" | "postgresql") {
            return Err(form());
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (format!("{user}@"), hosts),
            None => (String::new(), authority),
        };

        let parameters = Parameters::parse(query)?;
        let count = parameters.count(hosts)?;
        let hosts = if parameters.hosts.is_empty() {
            hosts.split(',').collect()
        } else {
            vec![hosts; count]
        };
        let hosts: Result<Vec<_>, String> = hosts
            .into_iter()
            .enumerate()
            .map(|(i, host)| {
                one(&format!(
                    "{scheme}://{user}{host}{path}?{}",
                    parameters.of(i)
                ))
            })
            .collect();
        let wanted = parameters.wanted.unwrap_or(if count > 1 {
            Wanted::ReadWrite
        } else {
            Wanted::Any
        });
        Ok(Self {
            hosts: hosts?,
            wanted,
            connect_timeout: parameters.connect_timeout,
            ignored: parameters.ignored,
        })
    }
}

fn form() -> String {
    "must have the form postgres://user:password@host:port/database".to_owned()
}

/// The options for one host.
fn one(url: &str) -> Result<PgConnectOptions, String> {
    let options: PgConnectOptions = url.parse().map_err(|e| match e {
        // Their texts tell the kind of fault, such as "invalid port number".
        sqlx::Error::Configuration(cause) => format!("{}: {cause}", form()),
        _ => form(),
    })?;
    // The resolver knows IPv6 addresses without the brackets that they have in URLs.
    let host = options.get_host();
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    Ok(match bare.map(str::to_owned) {
        Some(bare) => options.host(&bare),
        None => options,
    })
}

/// The part behind the question mark.
struct Parameters {
    /// Those that the driver takes.
    kept: Vec<(String, String)>,
    hosts: Vec<String>,
    ports: Vec<String>,
    wanted: Option<Wanted>,
    connect_timeout: Duration,
    ignored: Vec<String>,
}

impl Parameters {
    fn parse(query: &str) -> Result<Self, String> {
        let mut found = Self {
            kept: vec![],
            hosts: vec![],
            ports: vec![],
            wanted: None,
            connect_timeout: CONNECT_TIMEOUT,
            ignored: vec![],
        };
        let list = |text: &str| text.split(',').map(str::to_owned).collect();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "target_session_attrs" => found.wanted = Some(wanted(&value)?),
                "connect_timeout" => found.connect_timeout = connect_timeout(&value)?,
                "host" => found.hosts = list(&value),
                "port" => found.ports = list(&value),
                known if KNOWN.contains(&known) || known.starts_with("options[") => {
                    found.kept.push((name.into_owned(), value.into_owned()));
                }
                // A part of a password that has a question mark in it is no name.
                _ if name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b"_-[]".contains(&b)) =>
                {
                    found.ignored.push(name.into_owned());
                }
                _ => found.ignored.push("…".to_owned()),
            }
        }
        Ok(found)
    }

    /// How many hosts there are, when those before the path are `hosts`.
    fn count(&self, hosts: &str) -> Result<usize, String> {
        let before_the_path: Vec<&str> = hosts.split(',').collect();
        if before_the_path.len() > 1 && !self.hosts.is_empty() {
            return Err("must name its hosts once: before the path, or with host=".to_owned());
        }
        let count = before_the_path.len().max(self.hosts.len());
        let is_empty = |host: &str| host.is_empty() || host.starts_with(':');
        let has_empty = before_the_path.iter().any(|host| is_empty(host)) && self.hosts.is_empty();
        if count > 1 && (has_empty || self.hosts.iter().any(String::is_empty)) {
            return Err("must not have an empty name among its hosts".to_owned());
        }
        if count > 1 && self.kept.iter().any(|(name, _)| name == "hostaddr") {
            return Err("must not have hostaddr= with several hosts".to_owned());
        }
        if self.ports.len() > 1 && self.ports.len() != count {
            return Err(format!(
                "names {count} hosts and {} ports: give one port for all, or one for each",
                self.ports.len()
            ));
        }
        Ok(count)
    }

    /// What the driver is to know about the host number `i`.
    fn of(&self, i: usize) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.kept);
        if let Some(host) = self.hosts.get(i) {
            query.append_pair("host", host);
        }
        if let Some(port) = self.ports.get(i).or(self.ports.first()) {
            query.append_pair("port", port);
        }
        query.finish()
    }
}

fn wanted(value: &str) -> Result<Wanted, String> {
    match value {
        "any" => Ok(Wanted::Any),
        "primary" => Ok(Wanted::Primary),
        "read-write" => Ok(Wanted::ReadWrite),
        "read-only" | "standby" | "prefer-standby" => Err(format!(
            "must not have target_session_attrs={value}, because Rollcall writes: use read-write"
        )),
        _ => Err("must have a target_session_attrs of read-write, primary or any".to_owned()),
    }
}

fn connect_timeout(value: &str) -> Result<Duration, String> {
    let seconds = value.parse().ok();
    let seconds = seconds.filter(|seconds| (1..=MAX_CONNECT_TIMEOUT).contains(seconds));
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| format!("must have a connect_timeout of 1 to {MAX_CONNECT_TIMEOUT} seconds"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(url: &str) -> Vec<String> {
        url.parse::<Address>()
            .unwrap_or_else(|e| panic!("{url}: {e}"))
            .hosts
            .iter()
            .map(name)
            .collect()
    }

    #[test]
    fn one_host_is_as_the_driver_has_it() {
        let address: Address = "postgres://us%20er:p%40ss@db.example.com:6432/roll%20call?sslmode=require&application_name=x"
            .parse()
            .unwrap();
        let [host] = &address.hosts[..] else {
            panic!("{address:?}")
        };
        assert_eq!(name(host), "db.example.com:6432");
        assert_eq!(host.get_username(), "us er");
        assert_eq!(host.get_database(), Some("roll call"));
        assert_eq!(host.get_application_name(), Some("x"));
        assert!(matches!(
            host.get_ssl_mode(),
            sqlx::postgres::PgSslMode::Require
        ));
        assert_eq!(address.wanted, Wanted::Any);
        assert_eq!(address.connect_timeout, CONNECT_TIMEOUT);

        assert_eq!(hosts("postgresql://u@localhost/db"), ["localhost:5432"]);
        assert_eq!(hosts("postgres://u@%2Frun%2Fpg/db"), ["/run/pg"]);
        assert_eq!(hosts("postgres:///db?host=/run/pg"), ["/run/pg"]);
        assert_eq!(hosts("postgres:///db?host=a&port=1"), ["a:1"]);
        assert_eq!(hosts("postgres://u@[::1]:6432/db"), ["[::1]:6432"]);
    }

    #[test]
    fn several_hosts_share_everything_else() {
        let address: Address =
            "postgres://u:p@a:1,b.example.com,[fe80::1]:3/db?sslmode=require&target_session_attrs=primary&connect_timeout=2"
                .parse()
                .unwrap();
        let names: Vec<String> = address.hosts.iter().map(name).collect();
        assert_eq!(names, ["a:1", "b.example.com:5432", "[fe80::1]:3"]);
        assert_eq!(
            address.hosts[2].get_host(),
            "fe80::1",
            "as resolvers have it"
        );
        for host in &address.hosts {
            assert_eq!(
                (host.get_username(), host.get_database()),
                ("u", Some("db"))
            );
            assert!(matches!(
                host.get_ssl_mode(),
                sqlx::postgres::PgSslMode::Require
            ));
        }
        assert_eq!(address.wanted, Wanted::Primary);
        assert_eq!(address.connect_timeout, Duration::from_secs(2));
        assert!(address.ignored.is_empty());

        // A comma in the password is none between hosts, nor is a sign that comes before the last @.
        assert_eq!(hosts("postgres://u:a,b@c@a,b"), ["a:5432", "b:5432"]);
        assert_eq!(hosts("postgres://u@%2Frun%2Fa,b/db"), ["/run/a", "b:5432"]);
        assert_eq!(hosts("postgres:///db?host=a,b"), ["a:5432", "b:5432"]);
        assert_eq!(hosts("postgres:///db?host=a,b&port=1,2"), ["a:1", "b:2"]);
        assert_eq!(hosts("postgres://a,b/db?port=6432"), ["a:6432", "b:6432"]);
    }

    #[test]
    fn several_hosts_are_for_writing_unless_the_url_says_otherwise() {
        let wanted = |url: &str| url.parse::<Address>().unwrap().wanted;
        assert_eq!(wanted("postgres://a,b/db"), Wanted::ReadWrite);
        assert_eq!(
            wanted("postgres://a,b/db?target_session_attrs=any"),
            Wanted::Any
        );
        assert_eq!(
            wanted("postgres://a/db?target_session_attrs=read-write"),
            Wanted::ReadWrite
        );
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for (url, expected) in [
            ("mysql://u:hunter2@a/db", "postgres://user"),
            ("u:hunter2@a/db", "postgres://user"),
            ("postgres://u:hunter2@a:port/db", "invalid port number"),
            ("postgres://u:hunter2@a,b:99999/db", "invalid port number"),
            ("postgres://u:hunter2@a,/db", "empty name"),
            ("postgres://u:hunter2@a,:5432/db", "empty name"),
            ("postgres://u:hunter2@a/db?sslmode=hunter", "ssl_mode"),
            ("postgres://u:hunter2@a,b/db?host=c", "once"),
            ("postgres://u:hunter2@a,b/db?hostaddr=::1", "hostaddr"),
            (
                "postgres://u:hunter2@a,b/db?port=1,2,3",
                "2 hosts and 3 ports",
            ),
            (
                "postgres://u:hunter2@a/db?target_session_attrs=standby",
                "Rollcall writes",
            ),
            (
                "postgres://u:hunter2@a,b/db?target_session_attrs=prefer-standby",
                "Rollcall writes",
            ),
            (
                "postgres://u:hunter2@a/db?target_session_attrs=fast",
                "read-write, primary or any",
            ),
            ("postgres://u:hunter2@a/db?connect_timeout=0", "1 to 600"),
            ("postgres://u:hunter2@a/db?connect_timeout=1s", "1 to 600"),
        ] {
            let error = url.parse::<Address>().unwrap_err();
            assert!(error.contains(expected), "{url}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        let address: Address = "postgres://u:hunter2@a/db?password=hunter2"
            .parse()
            .unwrap();
        assert!(!format!("{address:?}").contains("hunter2"));
    }

    #[test]
    fn unknown_parameters_are_known_by_name() {
        let address: Address =
            "postgres://u@a/db?sslpassword=hunter2&keepalives=1&options[jit]=off"
                .parse()
                .unwrap();
        assert_eq!(address.ignored, ["sslpassword", "keepalives"]);
        assert_eq!(address.hosts[0].get_options(), Some("-c jit=off"));
    }
}
