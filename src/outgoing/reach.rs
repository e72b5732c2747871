//! How far requests go: to the public internet, and to what an operator allows besides.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::Host;

use super::OutgoingError;

/// Where requests may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To public addresses and to what is allowed besides, over https.
    Public(Allowed),
    /// Anywhere, over http too: for development and tests.
    Anywhere,
}

/// To public addresses alone.
impl Default for Reach {
    fn default() -> Self {
        Self::Public(Allowed::default())
    }
}

/// What may be reached besides the public internet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Any address in one of these, whatever the name that leads there.
    networks: Vec<IpNet>,
    /// These names, in lower case without a dot at the end, at any private address.
    hosts: Vec<String>,
}

/// Networks, addresses and host names, separated by commas.
impl FromStr for Allowed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut allowed = Self::default();
        let entries = text.split(',').map(str::trim);
        for entry in entries.filter(|entry| !entry.is_empty()) {
            if let Some(network) = network(entry)? {
                allowed.networks.push(network);
            } else {
                allowed.hosts.push(host(entry)?);
            }
        }
        Ok(allowed)
    }
}

/// The network that an entry is, if it is one or a single address.
fn network(entry: &str) -> Result<Option<IpNet>, String> {
    if let Ok(address) = entry.parse::<IpAddr>() {
        return Ok(Some(address.to_canonical().into()));
    }
    let Ok(network) = entry.parse::<IpNet>() else {
        return Ok(None);
    };
    if network != network.trunc() {
        return Err(format!(
            "{entry:?} is an address in a network: write the network, {}, or the address alone",
            network.trunc()
        ));
    }
    let is_mapped = matches!(network, IpNet::V6(v6) if v6.addr().to_ipv4_mapped().is_some());
    if is_mapped && network.prefix_len() >= 96 {
        return Err(format!("{entry:?} is a network of IPv4: write it as one"));
    }
    Ok(Some(network))
}

/// The host name that an entry is.
fn host(entry: &str) -> Result<String, String> {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name = entry.strip_suffix('.').unwrap_or(entry);
    if name.chars().all(is_part)
        && name.split('.').all(|label| !label.is_empty())
        && let Ok(Host::Domain(name)) = Host::parse(name)
    {
        return Ok(name);
    }
    Err(format!(
        "{entry:?} must be a network such as 10.1.0.0/16 or fd00::/8, or a host name such as keycloak.corp.example, without scheme, port, path or wildcard"
    ))
}

impl Allowed {
    fn has_network_of(&self, address: IpAddr) -> bool {
        self.networks
            .iter()
            .any(|network| network.contains(&address))
    }

    fn has_host(&self, name: &str) -> bool {
        let name = name.strip_suffix('.').unwrap_or(name);
        self.hosts
            .iter()
            .any(|host| host.eq_ignore_ascii_case(name))
    }
}

impl Reach {
    /// Makes sure that an address may be asked that a URL has in the place of a name.
    ///
    /// # Errors
    ///
    /// That it may not, and what to do.
    pub(super) fn check_address(&self, address: IpAddr) -> Result<(), OutgoingError> {
        if self.allows(address) {
            return Ok(());
        }
        Err(not_public(&address.to_string()))
    }

    /// Those of the addresses of a host that may be asked.
    ///
    /// # Errors
    ///
    /// That none may, and what to do.
    pub(super) fn narrow(
        &self,
        host: &str,
        addresses: Vec<IpAddr>,
    ) -> Result<Vec<IpAddr>, OutgoingError> {
        let is_listed = self.lists(host);
        let allowed: Vec<IpAddr> = addresses
            .into_iter()
            .filter(|address| self.allows(*address) || (is_listed && is_private(*address)))
            .collect();
        if !allowed.is_empty() {
            return Ok(allowed);
        }
        if is_listed {
            return Err(OutgoingError(format!(
                "{host} is listed in ROLLCALL_REACHABLE, but has a loopback, link-local or otherwise special address, which a network listed there must contain"
            )));
        }
        Err(not_public(host))
    }

    /// Makes sure that a host may be asked whose addresses nobody here sees, because a proxy resolves
    /// the name.
    ///
    /// # Errors
    ///
    /// That it may not, and what to do.
    pub(super) fn check_unseen(&self, host: &str) -> Result<(), OutgoingError> {
        if *self == Self::Anywhere || self.lists(host) || !looks_internal(host) {
            return Ok(());
        }
        Err(OutgoingError(format!(
            "{host} is not a public name, and a proxy would resolve it: {HOW_TO_ALLOW}"
        )))
    }

    fn allows(&self, address: IpAddr) -> bool {
        match self {
            Self::Anywhere => true,
            Self::Public(allowed) => {
                is_public(address) || allowed.has_network_of(address.to_canonical())
            }
        }
    }

    fn lists(&self, host: &str) -> bool {
        matches!(self, Self::Public(allowed) if allowed.has_host(host))
    }
}

const HOW_TO_ALLOW: &str = "if it is a server of your own that shall be reached, the operator lists it or its network in ROLLCALL_REACHABLE (docs/sso.md, \"Reaching the provider\")";

fn not_public(what: &str) -> OutgoingError {
    OutgoingError(format!("{what} is not a public address: {HOW_TO_ALLOW}"))
}

/// The last labels of names that are no part of the public domain name system: RFC 6761, RFC 6762
/// (appendix G), RFC 8375, what ICANN keeps from being delegated, and what containers are called by.
const INTERNAL_DOMAINS: [&str; 17] = [
    "cluster",
    "corp",
    "home",
    "home.arpa",
    "internal",
    "intranet",
    "invalid",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "mail",
    "onion",
    "private",
    "svc",
    "test",
    "workgroup",
];

/// Whether a name tells by itself that it is no public one.
fn looks_internal(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let is_below = |domain: &&str| {
        let rest = name.strip_suffix(*domain);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    !name.contains('.') || INTERNAL_DOMAINS.iter().any(is_below)
}

/// The addresses that companies number their own networks with: RFC 1918, RFC 6598, RFC 4193.
const PRIVATE_V4: [Ipv4Net; 4] = [
    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10),
];
const PRIVATE_V6: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7);

/// Where clouds answer with a machine's credentials, among the private addresses: Alibaba's, and
/// those of AWS and Google over IPv6. The others are link-local.
const METADATA_V4: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);
const METADATA_V6: [Ipv6Net; 2] = [
    Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0), 32),
    Ipv6Net::new_assert(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0), 32),
];

/// Whether an address is one at which a listed host may be.
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => PRIVATE_V4.iter().any(|n| n.contains(&v4)) && v4 != METADATA_V4,
        IpAddr::V6(v6) => PRIVATE_V6.contains(&v6) && !METADATA_V6.iter().any(|n| n.contains(&v6)),
    }
}

/// Whether an address is one of the public internet: none of the special-purpose ranges (IANA's
/// registries, RFC 6890), nor a form of IPv6 that hides one.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(a == 0
        || a == 10
        || a == 127
        || a >= 224
        || (a == 100 && (64..128).contains(&b))
        || (a == 169 && b == 254)
        || (a == 172 && (16..32).contains(&b))
        || (a == 192 && b == 168)
        || (a == 192 && b == 0 && (c == 0 || c == 2))
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19))
        || (a == 198 && b == 51 && c == 100)
        || (a == 203 && b == 0 && c == 113))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(v4) = address.to_ipv4_mapped() {
        return is_public_v4(v4);
    }
    let segments = address.segments();
    let last_v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match segments {
        // NAT64 (RFC 6052)
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => is_public_v4(last_v4(high, low)),
        // 6to4 (RFC 3056)
        [0x2002, high, low, ..] => is_public_v4(last_v4(high, low)),
        // Special-purpose (Teredo, ORCHID, benchmarking) and documentation.
        [0x2001, second, ..] => second >= 0x200 && second != 0xdb8,
        [0x3fff, second, ..] => second >= 0x1000,
        // All else of the global unicast space, which is 2000::/3.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_public_internet_is_public() {
        for public in [
            "1.1.1.1",
            "93.184.216.34",
            "172.32.0.1",
            "2606:4700::1111",
            "2002:101:101::",
            "64:ff9b::1.1.1.1",
            "::ffff:1.1.1.1",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for special in [
            "0.0.0.0",
            "10.0.0.1",
            "127.0.0.1",
            "127.9.9.9",
            "100.64.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "192.0.0.8",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::10.0.0.1",
            "2002:7f00:1::",
            "2002:a00:1::",
            "64:ff9b:1::1",
            "3fff::1",
            "::7f00:1",
        ] {
            assert!(!is_public(special.parse().unwrap()), "{special}");
        }
    }

    fn reach(text: &str) -> Reach {
        Reach::Public(text.parse().unwrap())
    }

    fn allows(reach: &Reach, host: &str, address: &str) -> bool {
        reach.narrow(host, vec![address.parse().unwrap()]).is_ok()
    }

    #[test]
    fn a_listed_network_is_reached_by_any_name() {
        let reach = reach("10.1.0.0/16, fd12:3456::/32,192.168.7.7,127.0.0.1,64:ff9b:1::/48");
        for address in [
            "10.1.2.3",
            "10.1.255.255",
            "::ffff:10.1.2.3",
            "fd12:3456::1",
            "192.168.7.7",
            "127.0.0.1",
            "64:ff9b:1::1",
            "1.1.1.1",
        ] {
            assert!(allows(&reach, "any.example", address), "{address}");
            let address = address.parse().unwrap();
            reach.check_address(address).unwrap();
        }
        for address in [
            "10.2.0.1",
            "10.0.255.255",
            "::ffff:10.2.0.1",
            "fd12:3457::1",
            "192.168.7.8",
            "127.0.0.2",
            "169.254.169.254",
            "::1",
            "64:ff9b::10.1.2.3",
        ] {
            assert!(!allows(&reach, "any.example", address), "{address}");
            let address = address.parse().unwrap();
            let refused = reach.check_address(address).unwrap_err();
            assert!(refused.0.contains("ROLLCALL_REACHABLE"), "{refused}");
        }
    }

    #[test]
    fn a_listed_host_is_reached_at_any_private_address() {
        let reach = reach("keycloak.corp.example,Münster.example.,keycloak");
        for host in [
            "keycloak.corp.example",
            "KEYCLOAK.corp.example",
            "keycloak.corp.example.",
            "xn--mnster-3ya.example",
            "keycloak",
        ] {
            for address in [
                "10.1.2.3",
                "172.20.0.2",
                "192.168.1.1",
                "100.64.1.1",
                "fd00::1",
            ] {
                assert!(allows(&reach, host, address), "{host} {address}");
            }
            assert!(allows(&reach, host, "::ffff:10.1.2.3"), "{host}");
        }
        for host in [
            "evil.keycloak.corp.example",
            "corp.example",
            "keycloak.corp.example.evil.example",
            "xkeycloak.corp.example",
        ] {
            assert!(!allows(&reach, host, "10.1.2.3"), "{host}");
        }
        // A name may be an attacker's by mistake of those who run its zone; these are never meant.
        for address in [
            "127.0.0.1",
            "::1",
            "::ffff:127.0.0.1",
            "0.0.0.0",
            "::",
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "64:ff9b::169.254.169.254",
            "2002:a9fe:a9fe::1",
            "fe80::1",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
            "100.100.100.200",
            "fd00:ec2::254",
            "fd20:ce::254",
        ] {
            let addresses = vec![address.parse().unwrap()];
            let refused = reach
                .narrow("keycloak.corp.example", addresses)
                .unwrap_err();
            assert!(
                refused.0.contains("which a network listed there"),
                "{refused}"
            );
        }
        // Nor is the address itself listed by the name.
        assert!(reach.check_address("10.1.2.3".parse().unwrap()).is_err());
        // Of several, those that are allowed.
        let several = ["169.254.169.254", "10.1.2.3"].map(|a| a.parse().unwrap());
        let narrowed = reach.narrow("keycloak", several.to_vec()).unwrap();
        assert_eq!(narrowed, several[1..]);
        // A network says that they are meant.
        let reach = Reach::Public("keycloak,169.254.0.0/16,fd00::/8".parse().unwrap());
        for address in ["169.254.169.254", "fd00:ec2::254"] {
            assert!(allows(&reach, "any.example", address));
        }
    }

    #[test]
    fn what_is_neither_network_nor_host_is_told() {
        for (text, expected) in [
            ("10.1.2.3/16", "write the network, 10.1.0.0/16"),
            ("fd00::1/8", "write the network, fd00::/8"),
            ("::ffff:10.0.0.0/104", "a network of IPv4"),
            ("10.0.0.0/33", "must be a network such as"),
            ("10.0.0/8", "must be a network such as"),
            ("10.1", "must be a network such as"),
            ("0x7f.1", "must be a network such as"),
            ("300.1.2.3", "must be a network such as"),
            ("[fd00::1]", "must be a network such as"),
            ("*.corp.example", "must be a network such as"),
            (".corp.example", "must be a network such as"),
            ("a..example", "must be a network such as"),
            (".", "must be a network such as"),
            ("https://keycloak.corp.example", "must be a network such as"),
            ("keycloak.corp.example:8443", "must be a network such as"),
            ("keycloak.corp.example/auth", "must be a network such as"),
            ("user@keycloak", "must be a network such as"),
            ("10.0.0.0/8;keycloak", "must be a network such as"),
            ("10.0.0.0/8 keycloak", "must be a network such as"),
        ] {
            let error = text.parse::<Allowed>().unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        assert_eq!(" , ,".parse::<Allowed>(), Ok(Allowed::default()));
    }

    #[test]
    fn names_that_a_proxy_resolves_are_checked_by_themselves() {
        let reach = reach("keycloak,sso.corp");
        for host in [
            "accounts.example.com",
            "local.example.com",
            "mylocal.example",
            "keycloak",
            "SSO.corp.",
        ] {
            reach.check_unseen(host).unwrap();
        }
        for host in [
            "localhost",
            "LOCALHOST.",
            "a.localhost",
            "intranet",
            "metadata.google.internal",
            "metadata.google.internal.",
            "printer.local",
            "api.default.svc",
            "api.default.svc.cluster.local",
            "router.home.arpa",
            "vault.corp",
        ] {
            assert!(reach.check_unseen(host).is_err(), "{host}");
        }
        Reach::Anywhere.check_unseen("localhost").unwrap();
    }
}
