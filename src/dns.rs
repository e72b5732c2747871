//! The domain name system (RFC 1035): the one place that asks it.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::Resolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData};
use hickory_resolver::system_conf::read_system_conf;

use crate::error::Error;

/// The port of name servers that name none.
pub const PORT: u16 = 53;

/// How long a lookup may take in all.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long one server may take to answer before it is asked again, or another is.
const SERVER_PATIENCE: Duration = Duration::from_secs(3);

/// The name servers to ask.
#[derive(Debug, Default)]
pub struct Dns {
    /// Empty for those of the system.
    servers: Vec<SocketAddr>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("no name server answered in time")]
    Late,
    #[error(
        "this installation has no usable name servers: its operator must set ROLLCALL_DNS_SERVERS"
    )]
    NoServers(#[source] NetError),
    #[error("the name servers did not give an answer ({0})")]
    Refused(#[source] NetError),
}

impl Dns {
    /// Asks `servers`, or those of the system if there are none.
    pub const fn new(servers: Vec<SocketAddr>) -> Self {
        Self { servers }
    }

    /// The TXT records of `name`, which is absolute, each as one text. Nothing is kept, so that a
    /// record that was set just now is found.
    ///
    /// # Errors
    ///
    /// [`Error::FailedPrecondition`] when it cannot be told whether there are any.
    pub async fn txt(&self, name: &str) -> Result<Vec<String>, Error> {
        let found = tokio::time::timeout(PATIENCE, self.look_up(name)).await;
        found.unwrap_or(Err(Failure::Late)).map_err(|failure| {
            tracing::info!(name, ?failure, "a DNS lookup failed");
            Error::FailedPrecondition(format!(
                "the TXT records of {name} could not be looked up: {failure}; try again later, and if this stays so, make sure that the domain's name servers answer"
            ))
        })
    }

    async fn look_up(&self, name: &str) -> Result<Vec<String>, Failure> {
        let (config, mut options) = self.config().map_err(Failure::NoServers)?;
        options.timeout = SERVER_PATIENCE;
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        let resolver = Resolver::builder_with_config(config, TokioRuntimeProvider::default())
            .with_options(options)
            .build()
            .map_err(Failure::NoServers)?;
        let name = Name::from_ascii(format!("{name}.")).map_err(|e| Failure::Refused(e.into()))?;
        match resolver.txt_lookup(name).await {
            Ok(lookup) => Ok(lookup
                .answers()
                .iter()
                .filter_map(|record| match &record.data {
                    RData::TXT(txt) => Some(String::from_utf8_lossy(&txt.txt_data.concat()).into()),
                    _ => None,
                })
                .collect()),
            Err(error) if error.is_no_records_found() => Ok(vec![]),
            Err(NetError::Timeout) => Err(Failure::Late),
            Err(error) => Err(Failure::Refused(error)),
        }
    }

    fn config(&self) -> Result<(ResolverConfig, ResolverOpts), NetError> {
        if self.servers.is_empty() {
            return read_system_conf();
        }
        let servers = self.servers.iter().map(|server| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
            let connections = connections.map(|mut connection| {
                connection.port = server.port();
                connection
            });
            NameServerConfig::new(server.ip(), true, connections.into())
        });
        let config = ResolverConfig::from_name_servers(servers.collect());
        Ok((config, ResolverOpts::default()))
    }
}
