//! The one way out: requests to addresses that users chose. Only https, only public addresses, which
//! are checked after the name is resolved and are the ones that are connected to, so that no name can
//! be rebound in between; no redirects; bounded in size and time.

use std::error::Error as _;
use std::fmt;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse, url};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use tokio::sync::Semaphore;
use tracing::Instrument;

use crate::metrics::Metrics;
use crate::traces;

/// The largest response, in bytes.
pub const MAX_RESPONSE: usize = 1024 * 1024;
/// How long a request may take, from the name's resolution to the last byte.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// Where requests may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To public addresses, over https.
    Public,
    /// Anywhere, over http too: for development and tests.
    Anywhere,
}

/// A client for requests to addresses that users chose.
#[derive(Clone, Debug)]
pub struct Outgoing {
    client: reqwest::Client,
    reach: Reach,
    deadline: Duration,
    metrics: Metrics,
}

/// Why there is no answer, in words for an administrator.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct OutgoingError(pub String);

impl Outgoing {
    /// A client that goes as far as `reach` says.
    ///
    /// # Errors
    ///
    /// When TLS cannot be set up.
    pub fn new(reach: Reach) -> anyhow::Result<Self> {
        Self::with_deadline(reach, DEADLINE)
    }

    /// A client whose requests may take another time than [`DEADLINE`].
    ///
    /// # Errors
    ///
    /// When TLS cannot be set up.
    pub fn with_deadline(reach: Reach, deadline: Duration) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .redirect(Policy::none())
            .dns_resolver(Arc::new(Guard {
                reach,
                turns: Arc::new(Semaphore::new(MAX_LOOKUPS)),
            }))
            // A proxy would resolve names itself, past the guard.
            .no_proxy()
            .timeout(deadline)
            .user_agent(concat!("rollcall/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self {
            client,
            reach,
            deadline,
            metrics: Metrics::default(),
        })
    }

    /// Has requests counted and timed.
    pub fn measure(&mut self, metrics: Metrics) {
        self.metrics = metrics;
    }

    /// Makes sure that a URL may be asked, as far as its text tells.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn check(&self, url: &url::Url) -> Result<(), OutgoingError> {
        if self.reach == Reach::Anywhere && matches!(url.scheme(), "http" | "https") {
            return Ok(());
        }
        if url.scheme() != "https" {
            return Err(OutgoingError(format!("{url} must begin with https://")));
        }
        let address = match url.host() {
            Some(url::Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(url::Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(url::Host::Domain(_)) => None,
            None => return Err(OutgoingError(format!("{url} must name a host"))),
        };
        match address {
            Some(address) if !is_public(address) => Err(not_public(&address.to_string())),
            _ => Ok(()),
        }
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub async fn send(
        &self,
        mut request: http::Request<Vec<u8>>,
    ) -> Result<http::Response<Bytes>, OutgoingError> {
        let begun = Instant::now();
        let span = traces::outgoing(&mut request);
        let result = self.exchange(request).instrument(span.clone()).await;
        let time = begun.elapsed();
        let outcome = match &result {
            Ok(answer) => {
                traces::answered(&span, answer.status());
                status_class(answer.status())
            }
            Err(_) => {
                let outcome = if time < self.deadline {
                    "failed"
                } else {
                    "timeout"
                };
                traces::unanswered(&span, outcome);
                outcome
            }
        };
        self.metrics.outgoing(outcome, time);
        result
    }

    async fn exchange(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> Result<http::Response<Bytes>, OutgoingError> {
        let request = reqwest::Request::try_from(request)
            .map_err(|e| OutgoingError(format!("the request cannot be sent: {e}")))?;
        let url = request.url().clone();
        self.check(&url)?;
        let place = || match url.host_str() {
            Some(host) => format!("{}://{host}", url.scheme()),
            None => url.scheme().to_owned(),
        };
        let failed =
            |e: &reqwest::Error| OutgoingError(format!("{}: {}", place(), self.explain(e)));
        let mut response = self.client.execute(request).await.map_err(|e| failed(&e))?;
        let too_large = || OutgoingError(format!("{}: the answer is larger than 1 MiB", place()));
        if response
            .content_length()
            .is_some_and(|length| length > MAX_RESPONSE as u64)
        {
            return Err(too_large());
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| failed(&e))? {
            if body.len() + chunk.len() > MAX_RESPONSE {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        let mut answer = http::Response::new(body.freeze());
        *answer.status_mut() = response.status();
        *answer.headers_mut() = response.headers().clone();
        Ok(answer)
    }

    /// Reads a URL.
    ///
    /// # Errors
    ///
    /// Why that is not possible; any status but 200.
    pub async fn get(&self, url: &url::Url) -> Result<http::Response<Bytes>, OutgoingError> {
        let request = http::Request::get(url.as_str())
            .header(http::header::ACCEPT, "application/json")
            .body(vec![])
            .map_err(|e| OutgoingError(format!("{url} cannot be asked: {e}")))?;
        let answer = self.send(request).await?;
        if answer.status() == http::StatusCode::OK {
            return Ok(answer);
        }
        let hint = if answer.status().is_redirection() {
            ", which is a redirect: redirects are not followed"
        } else {
            ""
        };
        Err(OutgoingError(format!(
            "{url} answers with status {}{hint}",
            answer.status().as_u16()
        )))
    }

    /// What went wrong, without the URL, whose query may hold a secret.
    fn explain(&self, error: &reqwest::Error) -> String {
        if error.is_timeout() {
            return format!("no answer within {} s", self.deadline.as_secs_f32());
        }
        let mut cause = error.source();
        while let Some(inner) = cause.and_then(std::error::Error::source) {
            cause = Some(inner);
        }
        let text = cause.map_or_else(|| "the request failed".to_owned(), ToString::to_string);
        // Some of the libraries' errors end in where to read more.
        text.split(": http").next().unwrap_or_default().to_owned()
    }
}

impl<'c> AsyncHttpClient<'c> for Outgoing {
    type Error = OutgoingError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Self::Error>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move { Ok(self.send(request).await?.map(Into::into)) })
    }
}

fn status_class(status: http::StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => "other",
    }
}

fn not_public(what: &str) -> OutgoingError {
    OutgoingError(format!(
        "{what} is not a public address: set ROLLCALL_ALLOW_INSECURE_ISSUERS=true to allow private addresses and http, for development only"
    ))
}

/// How many names are resolved at a time. The system's resolver takes a thread for each, also for those
/// that nobody waits for any more.
const MAX_LOOKUPS: usize = 64;

/// Resolves names to addresses that may be connected to.
struct Guard {
    reach: Reach,
    turns: Arc<Semaphore>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard")
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let (reach, turns) = (self.reach, self.turns.clone());
        Box::pin(async move {
            let turn = turns.acquire_owned().await?;
            let place = (name.as_str().to_owned(), 0);
            // Goes on to the end, with its turn, though the request may not.
            let lookup = tokio::spawn(async move {
                let found = tokio::net::lookup_host(place).await.map(Vec::from_iter);
                drop(turn);
                found
            });
            let allowed: Vec<SocketAddr> = lookup
                .await??
                .into_iter()
                .filter(|address| reach == Reach::Anywhere || is_public(address.ip()))
                .collect();
            if allowed.is_empty() {
                return Err(not_public(name.as_str()).into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
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

    #[test]
    fn urls_are_refused_by_their_text_where_that_is_enough() {
        let public = Outgoing::new(Reach::Public).unwrap();
        let check = |url: &str| public.check(&url.parse().unwrap());
        assert_eq!(check("https://accounts.example.com:8443/x"), Ok(()));
        for url in [
            "http://accounts.example.com",
            "ftp://example.com",
            "https://127.0.0.1",
            "https://[::1]:1/",
            "https://0x7f.1",
            "https://2130706433",
            "data:,x",
        ] {
            assert!(check(url).is_err(), "{url}");
        }
        let anywhere = Outgoing::new(Reach::Anywhere).unwrap();
        assert_eq!(
            anywhere.check(&"http://127.0.0.1:1".parse().unwrap()),
            Ok(())
        );
        assert!(
            anywhere
                .check(&"file:///etc/passwd".parse().unwrap())
                .is_err()
        );
    }

    #[tokio::test]
    async fn a_name_that_resolves_to_a_private_address_is_not_asked() {
        let public = Outgoing::new(Reach::Public).unwrap();
        let refused = public
            .get(&"https://localhost:1/x".parse().unwrap())
            .await
            .unwrap_err();
        assert!(
            refused.0.contains("localhost is not a public address"),
            "{refused}"
        );
    }
}
