//! The domain name system (RFC 1035): the one place that asks it.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
    ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{Hosts, Resolver, TokioResolver};

use crate::error::Error;

/// The port of name servers that name none.
pub const PORT: u16 = 53;

/// How long a lookup of TXT records may take in all.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a lookup of addresses may take in all: less than a request, which then says why.
const ADDRESS_PATIENCE: Duration = Duration::from_secs(8);
/// How long one server may take to answer before it is asked again, or another is.
const SERVER_PATIENCE: Duration = Duration::from_secs(3);
/// How many names the answers are kept of, as long as their TTL allows.
const MAX_KEPT: u64 = 4_096;
/// How long it is kept that a name has no addresses: somebody may be about to give it one.
const MISSING_LIFETIME: Duration = Duration::from_secs(5);

/// What the system says of names; what was read from these files holds until they change.
const SYSTEM_FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// The name servers to ask. Clones share what they keep.
#[derive(Clone, Debug, Default)]
pub struct Dns {
    /// Empty for those of the system.
    servers: Vec<SocketAddr>,
    hosts: Arc<Mutex<Option<Arc<HostNames>>>>,
}

/// What resolves the names of hosts.
#[derive(Debug)]
struct HostNames {
    /// When the system's files were changed before they were read.
    changed: [Option<SystemTime>; 2],
    /// `/etc/hosts`.
    hosts: Hosts,
    /// The name servers, or why there are none.
    resolver: Result<TokioResolver, NetError>,
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// Nobody answered.
    #[error("no name server answered in time")]
    Late,
    /// Nobody can be asked.
    #[error(
        "this installation has no usable name servers: its operator must set ROLLCALL_DNS_SERVERS"
    )]
    NoServers(#[source] NetError),
    /// The name has no address.
    #[error("the name servers know no address of that name")]
    Unknown,
    /// The servers answer with something else than an answer.
    #[error("the name servers did not give an answer ({0})")]
    Refused(#[source] NetError),
}

impl Dns {
    /// Asks `servers`, or those of the system if there are none.
    pub fn new(servers: Vec<SocketAddr>) -> Self {
        Self {
            servers,
            ..Self::default()
        }
    }

    /// The TXT records of `name`, which is absolute, each as one text. Nothing is kept, so that a
    /// record that was set just now is found.
    ///
    /// # Errors
    ///
    /// [`Error::FailedPrecondition`] when it cannot be told whether there are any.
    pub async fn txt(&self, name: &str) -> Result<Vec<String>, Error> {
        let found = tokio::time::timeout(PATIENCE, self.look_up_txt(name)).await;
        found.unwrap_or(Err(Failure::Late)).map_err(|failure| {
            tracing::info!(name, ?failure, "a DNS lookup failed");
            Error::FailedPrecondition(format!(
                "the TXT records of {name} could not be looked up: {failure}; try again later, and if this stays so, make sure that the domain's name servers answer"
            ))
        })
    }

    /// The addresses of a host, of both families, as the system has them: from `/etc/hosts`, else from
    /// the name servers, in the search domains of the system unless the servers are set. Answers are
    /// kept as long as their TTL allows.
    ///
    /// # Errors
    ///
    /// Why there are none.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Failure> {
        let name = Name::from_ascii(host).map_err(|e| Failure::Refused(e.into()))?;
        let names = self.host_names();
        let listed = names.listed(&name);
        if !listed.is_empty() {
            return Ok(listed);
        }
        let resolver = names
            .resolver
            .as_ref()
            .map_err(|e| Failure::NoServers(e.clone()))?;
        let found = tokio::time::timeout(ADDRESS_PATIENCE, resolver.lookup_ip(name)).await;
        match found.unwrap_or(Err(NetError::Timeout)) {
            Ok(lookup) => Ok(lookup.iter().collect()),
            Err(error) if error.is_no_records_found() => Err(Failure::Unknown),
            Err(NetError::Timeout) => Err(Failure::Late),
            Err(error) => Err(Failure::Refused(error)),
        }
    }

    async fn look_up_txt(&self, name: &str) -> Result<Vec<String>, Failure> {
        let keep_nothing = |options: &mut ResolverOpts| options.cache_size = 0;
        let resolver = self.resolver(keep_nothing).map_err(Failure::NoServers)?;
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

    /// What resolves names, read anew when the system's files have changed.
    fn host_names(&self) -> Arc<HostNames> {
        let changed = SYSTEM_FILES.map(|file| {
            std::fs::metadata(file)
                .and_then(|data| data.modified())
                .ok()
        });
        let mut kept = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(names) = kept.as_ref().filter(|names| names.changed == changed) {
            return names.clone();
        }
        let names = Arc::new(HostNames {
            changed,
            hosts: Hosts::from_system().unwrap_or_default(),
            resolver: self.resolver(|options| {
                options.cache_size = MAX_KEPT;
                options.negative_max_ttl = Some(MISSING_LIFETIME);
                options.attempts = 1;
                // Who has no route over IPv6 does not wait for it.
                options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
            }),
        });
        *kept = Some(names.clone());
        names
    }

    /// The one place where resolvers are made.
    fn resolver(&self, change: impl FnOnce(&mut ResolverOpts)) -> Result<TokioResolver, NetError> {
        let (config, mut options) = self.config()?;
        options.timeout = SERVER_PATIENCE;
        // It would wait for the name servers to know of the other family of addresses, too.
        options.use_hosts_file = ResolveHosts::Never;
        change(&mut options);
        Resolver::builder_with_config(config, TokioRuntimeProvider::default())
            .with_options(options)
            .build()
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

impl HostNames {
    /// The addresses that `/etc/hosts` has of a name.
    fn listed(&self, name: &Name) -> Vec<IpAddr> {
        let of_kind = |kind| {
            let query = Query::query(name.to_lowercase(), kind);
            let found = self.hosts.lookup_static_host(&query);
            let records = found.map(|lookup| lookup.answers().to_vec());
            records.unwrap_or_default()
        };
        [RecordType::A, RecordType::AAAA]
            .into_iter()
            .flat_map(of_kind)
            .filter_map(|record| record.data.ip_addr())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn localhost_is_this_machine_whatever_the_name_servers_say() {
        // Nobody answers there.
        let dns = Dns::new(vec!["127.0.0.1:1".parse().unwrap()]);
        for name in ["localhost", "LOCALHOST", "localhost."] {
            let addresses = dns.addresses(name).await.unwrap();
            assert!(
                !addresses.is_empty() && addresses.iter().all(IpAddr::is_loopback),
                "{name}: {addresses:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_name_that_cannot_be_one_is_told() {
        let dns = Dns::new(vec!["127.0.0.1:1".parse().unwrap()]);
        let long = "a".repeat(64);
        for name in [&*format!("{long}.example"), "a..example"] {
            let failure = dns.addresses(name).await.unwrap_err();
            assert!(matches!(failure, Failure::Refused(_)), "{name}: {failure}");
        }
    }
}
