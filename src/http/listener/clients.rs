//! How many connections each client has: one that opens them without end must not take the places of all
//! others.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderMap;
use ipnet::IpNet;

/// How often it is said that a client has too many.
const SAY_INTERVAL: Duration = Duration::from_secs(60);

/// The bounds.
#[derive(Clone, Debug)]
pub struct ClientLimits {
    /// How many connections, and how many requests, one client may have at a time.
    pub per_client: usize,
    /// How many connections there may be in all.
    pub in_all: usize,
    /// Proxies that say for whom they ask, in `X-Forwarded-For`.
    pub proxies: Vec<IpNet>,
}

/// Who is connected.
#[derive(Clone, Debug)]
pub(super) struct Clients(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: ClientLimits,
    present: Mutex<Present>,
}

#[derive(Debug, Default)]
struct Present {
    clients: HashMap<IpAddr, Count>,
    connections: usize,
    said: Option<Instant>,
}

/// What one client has.
#[derive(Debug, Default)]
struct Count {
    connections: usize,
    requests: usize,
}

impl Count {
    fn of(&mut self, is_connection: bool) -> &mut usize {
        match is_connection {
            true => &mut self.connections,
            false => &mut self.requests,
        }
    }
}

/// A place that is taken, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    clients: Clients,
    client: Option<IpAddr>,
    is_connection: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut present = self.clients.present();
        if self.is_connection {
            present.connections = present.connections.saturating_sub(1);
        }
        let Some(client) = self.client else { return };
        if let Some(count) = present.clients.get_mut(&client) {
            *count.of(self.is_connection) -= 1;
            if count.connections + count.requests == 0 {
                present.clients.remove(&client);
            }
        }
    }
}

impl Clients {
    pub(super) fn new(limits: ClientLimits) -> Self {
        Self(Arc::new(Inner {
            limits,
            present: Mutex::default(),
        }))
    }

    pub(super) fn is_proxy(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.0.limits.proxies.iter().any(|net| net.contains(&peer))
    }

    /// A place for a connection; none for a client that has all of its own. A proxy's connections are
    /// many clients'.
    pub(super) fn connect(&self, peer: IpAddr) -> Option<Place> {
        let client = (!self.is_proxy(peer)).then_some(peer);
        self.take(client, true)
    }

    /// A place for a request, which a proxy may hand on; none for a client that has all of its own.
    pub(super) fn request(&self, peer: IpAddr, headers: &HeaderMap) -> Option<Place> {
        let client = match self.is_proxy(peer) {
            true => self.forwarded_for(headers),
            false => Some(peer),
        };
        self.take(client, false)
    }

    /// The last address that no proxy of ours has: what stands before it, the client may have made up.
    fn forwarded_for(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let values = headers.get_all("x-forwarded-for").iter().rev();
        let addresses = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|list| list.rsplit(','));
        let mut addresses = addresses.map(|text| text.trim().parse::<IpAddr>().ok());
        addresses
            .find(|address| address.is_none_or(|address| !self.is_proxy(address)))
            .flatten()
    }

    fn take(&self, client: Option<IpAddr>, is_connection: bool) -> Option<Place> {
        let client = client.map(network);
        let mut present = self.present();
        if is_connection && present.connections >= self.0.limits.in_all {
            present.say(|| tracing::warn!(connections = self.0.limits.in_all, "all connections are in use, and more are refused: allow the process more open files"));
            return None;
        }
        if let Some(client) = client {
            let count = present.clients.entry(client).or_default();
            let count = count.of(is_connection);
            if *count >= self.0.limits.per_client {
                present.say(|| tracing::warn!(%client, "a client has more connections or requests than ROLLCALL_CONNECTIONS_PER_CLIENT allows, and more are refused: if it is a proxy, name it in ROLLCALL_TRUSTED_PROXIES"));
                return None;
            }
            *count += 1;
        }
        present.connections += usize::from(is_connection);
        Some(Place {
            clients: self.clone(),
            client,
            is_connection,
        })
    }

    fn present(&self) -> MutexGuard<'_, Present> {
        self.0
            .present
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Present {
    fn say(&mut self, say: impl FnOnce()) {
        if self.said.is_none_or(|said| said.elapsed() >= SAY_INTERVAL) {
            self.said = Some(Instant::now());
            say();
        }
    }
}

/// Whoever has one IPv6 address has at least the 64 bits behind it.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(per_client: usize, in_all: usize) -> Clients {
        Clients::new(ClientLimits {
            per_client,
            in_all,
            proxies: vec!["10.0.0.0/8".parse().unwrap()],
        })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_client_has_its_places_and_no_more_and_gets_them_back() {
        let clients = clients(2, 100);
        let first = clients.connect(ip("192.0.2.1"));
        let second = clients.connect(ip("::ffff:192.0.2.1"));
        assert!(first.is_some() && second.is_some());
        assert!(clients.connect(ip("192.0.2.1")).is_none());
        let other = clients.connect(ip("192.0.2.2"));
        assert!(other.is_some(), "others have their own");
        drop(first);
        assert!(clients.connect(ip("192.0.2.1")).is_some());
        drop((second, other));
        assert!(clients.present().clients.is_empty());
        assert_eq!(clients.present().connections, 0);
    }

    #[test]
    fn an_ipv6_network_of_a_customer_is_one_client() {
        let clients = clients(1, 100);
        let _first = clients.connect(ip("2001:db8:1:2::1"));
        assert!(clients.connect(ip("2001:db8:1:2:ffff::9")).is_none());
        assert!(clients.connect(ip("2001:db8:1:3::1")).is_some());
    }

    #[test]
    fn connections_are_bounded_in_all_a_proxys_too() {
        let clients = clients(1, 3);
        let places: Vec<_> = (0..3).map(|_| clients.connect(ip("10.0.0.1"))).collect();
        assert!(
            places.iter().all(Option::is_some),
            "a proxy is not one client"
        );
        assert!(clients.connect(ip("10.0.0.1")).is_none());
    }

    #[test]
    fn attack_a_client_behind_a_proxy_makes_up_addresses() {
        let clients = clients(1, 100);
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", "203.0.113.7".parse().unwrap());
        headers.append(
            "x-forwarded-for",
            "198.51.100.1, 192.0.2.1, 10.0.0.2".parse().unwrap(),
        );
        let place = clients.request(ip("10.0.0.1"), &headers);
        assert_eq!(place.unwrap().client, Some(ip("192.0.2.1")));
        headers.append("x-forwarded-for", "unknown".parse().unwrap());
        assert_eq!(
            clients.request(ip("10.0.0.1"), &headers).unwrap().client,
            None
        );
        let place = clients.request(ip("198.51.100.7"), &headers);
        assert_eq!(
            place.unwrap().client,
            Some(ip("198.51.100.7")),
            "no proxy of ours"
        );
    }
}
