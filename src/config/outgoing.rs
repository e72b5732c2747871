//! The settings of the ways out.

use std::net::{IpAddr, SocketAddr};

use clap::Args;

use super::{BadSetting, boolean};
use crate::outgoing::dns::{self, Dns};
use crate::outgoing::{self, Allowed, Proxy, Reach, trust};

/// Where OpenID Connect providers may be, and how requests get there.
#[derive(Args, Debug)]
pub struct OutgoingSettings {
    /// Networks and host names where providers may be besides the public internet, such as
    /// 10.1.0.0/16,keycloak.corp.example, separated by commas.
    #[arg(long, env = "ROLLCALL_REACHABLE", value_name = "PLACES")]
    reachable: Option<String>,

    /// Allows issuers over http and at any address: for development and tests.
    #[arg(long, env = "ROLLCALL_ALLOW_INSECURE_ISSUERS", value_parser = boolean)]
    allow_insecure_issuers: bool,

    /// Sends requests to providers through the proxy that HTTPS_PROXY or ALL_PROXY names, but to those in NO_PROXY.
    #[arg(long, env = "ROLLCALL_USE_PROXY", value_parser = boolean)]
    use_proxy: bool,

    /// The name servers to ask, for providers and for domain verification: addresses, with a port unless it is 53,
    /// separated by commas. [default: those of the system]
    #[arg(long, env = "ROLLCALL_DNS_SERVERS", value_name = "ADDRESSES")]
    dns_servers: Option<String>,
}

impl OutgoingSettings {
    /// How requests to providers leave.
    ///
    /// # Errors
    ///
    /// What is wrong with one of the settings.
    pub fn outgoing(&self) -> Result<outgoing::Settings, BadSetting> {
        let reachable = self.reachable.as_deref().unwrap_or_default();
        let allowed: Result<Allowed, String> = reachable.parse();
        let allowed = allowed.map_err(|e| BadSetting(format!("ROLLCALL_REACHABLE: {e}")))?;
        trust::check().map_err(BadSetting)?;
        Ok(outgoing::Settings {
            reach: if self.allow_insecure_issuers {
                Reach::Anywhere
            } else {
                Reach::Public(allowed)
            },
            dns: self.dns()?,
            proxy: self.use_proxy.then(proxy).transpose()?,
            ..outgoing::Settings::default()
        })
    }

    fn dns(&self) -> Result<Dns, BadSetting> {
        let texts = self.dns_servers.iter().flat_map(|list| list.split(','));
        let servers = texts.map(str::trim).filter(|text| !text.is_empty());
        let servers: Result<Vec<SocketAddr>, BadSetting> = servers
            .map(|text| {
                let address = |ip: IpAddr| SocketAddr::new(ip, dns::PORT);
                text.parse().or_else(|_| text.parse().map(address)).map_err(|_| {
                    BadSetting(format!(
                        "ROLLCALL_DNS_SERVERS: {text:?} must be an IP address, or one with a port, such as 9.9.9.9 or 127.0.0.1:5353"
                    ))
                })
            })
            .collect();
        Ok(Dns::new(servers?))
    }
}

/// The proxy of the environment, in the variables that other programs read, too.
fn proxy() -> Result<Proxy, BadSetting> {
    let (name, url) = first_set(&HTTPS_PROXIES).ok_or_else(|| {
        BadSetting("ROLLCALL_USE_PROXY is on, but neither HTTPS_PROXY nor ALL_PROXY names a proxy: set one, or switch it off".into())
    })?;
    let except = first_set(&["NO_PROXY", "no_proxy"]).map(|(_, hosts)| hosts);
    Proxy::new(&url, &except.unwrap_or_default())
        .map_err(|error| BadSetting(format!("{name} {error}")))
}

pub(super) const HTTPS_PROXIES: [&str; 4] =
    ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
pub(super) const HTTP_PROXIES: [&str; 4] = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];

/// The first of these variables that is set to something, and its value.
pub(super) fn first_set(names: &[&'static str]) -> Option<(&'static str, String)> {
    names.iter().find_map(|name| {
        let value = std::env::var(name).ok().filter(|value| !value.is_empty());
        Some((*name, value?))
    })
}
