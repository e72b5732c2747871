//! The one way out: requests to addresses that users chose. Only https, only public addresses and what
//! the operator allows besides; they are checked after the name is resolved and are the ones that are
//! connected to, so that no name can be rebound in between; no redirects; bounded in size and time.
//! Where the operator has a proxy resolve the names, they are checked by themselves.

pub mod dns;
mod proxy;
mod reach;
pub mod trust;

use std::error::Error as _;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use tracing::Instrument;

use self::dns::Dns;
pub use self::proxy::{BadProxy, Proxy, proxy_url};
pub use self::reach::{Allowed, Reach};
use crate::metrics::Metrics;
use crate::traces;

/// The largest response, in bytes.
pub const MAX_RESPONSE: usize = 1024 * 1024;
/// How long a request may take, from the name's resolution to the last byte.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// So that a single slow answer is told as what it is.
const ROUND_OFF: Duration = Duration::from_secs(1);

/// How requests leave.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where they may go.
    pub reach: Reach,
    /// What resolves names.
    pub dns: Dns,
    /// The proxy to send them through, if any.
    pub proxy: Option<Proxy>,
    /// How long each may take.
    pub deadline: Duration,
}

/// To public addresses, by the system's name servers, without a proxy, within [`DEADLINE`].
impl Default for Settings {
    fn default() -> Self {
        Self {
            reach: Reach::default(),
            dns: Dns::default(),
            proxy: None,
            deadline: DEADLINE,
        }
    }
}

/// A client for requests to addresses that users chose.
#[derive(Clone, Debug)]
pub struct Outgoing {
    direct: reqwest::Client,
    proxied: Option<(Proxy, reqwest::Client)>,
    reach: Arc<Reach>,
    deadline: Duration,
    metrics: Metrics,
}

/// How much of an answer is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// All of it, which may be too much.
    Whole,
    /// So many bytes.
    First(usize),
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
        Self::with(Settings {
            reach,
            ..Settings::default()
        })
    }

    /// A client that goes as `settings` say.
    ///
    /// # Errors
    ///
    /// When TLS cannot be set up.
    pub fn with(settings: Settings) -> anyhow::Result<Self> {
        let Settings {
            reach,
            dns,
            proxy,
            deadline,
        } = settings;
        let reach = Arc::new(reach);
        let client = |reach: &Arc<Reach>| {
            trust::client()
                .redirect(Policy::none())
                .dns_resolver(Arc::new(Guard {
                    reach: reach.clone(),
                    dns: dns.clone(),
                }))
                // Unless it is asked for: a proxy resolves names itself, past the guard.
                .no_proxy()
                .timeout(deadline)
                .user_agent(concat!("rollcall/", env!("CARGO_PKG_VERSION")))
        };
        let proxied = proxy.map(|proxy| {
            // The only name that it resolves is the proxy's, which is the operator's choice.
            let client = client(&Arc::new(Reach::Anywhere)).proxy(proxy.for_client()?);
            Ok::<_, reqwest::Error>((proxy, client.build()?))
        });
        Ok(Self {
            direct: client(&reach).build()?,
            proxied: proxied.transpose()?,
            reach,
            deadline,
            metrics: Metrics::default(),
        })
    }

    /// Has requests counted and timed.
    pub fn measure(&mut self, metrics: Metrics) {
        self.metrics = metrics;
    }

    /// How long several requests that a person waits for may take together.
    pub fn patience(&self) -> Duration {
        self.deadline + ROUND_OFF
    }

    /// The client of the proxy, if a URL is asked through it.
    fn proxied(&self, url: &url::Url) -> Option<&reqwest::Client> {
        let taken = self.proxied.as_ref().filter(|(proxy, _)| proxy.takes(url));
        taken.map(|(_, client)| client)
    }

    /// Makes sure that a URL may be asked, as far as its text tells.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn check(&self, url: &url::Url) -> Result<(), OutgoingError> {
        let is_anywhere = *self.reach == Reach::Anywhere;
        if url.scheme() != "https" && !(is_anywhere && url.scheme() == "http") {
            return Err(OutgoingError(format!("{url} must begin with https://")));
        }
        match url.host() {
            Some(url::Host::Ipv4(address)) => self.reach.check_address(address.into()),
            Some(url::Host::Ipv6(address)) => self.reach.check_address(address.into()),
            Some(url::Host::Domain(name)) if self.proxied(url).is_some() => {
                self.reach.check_unseen(name)
            }
            Some(url::Host::Domain(_)) => Ok(()),
            None => Err(OutgoingError(format!("{url} must name a host"))),
        }
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub async fn send(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> Result<http::Response<Bytes>, OutgoingError> {
        self.send_for(request, Wanted::Whole).await
    }

    /// Sends a request whose answer is read for its status, and for its first bytes, up to `limit`.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub async fn send_briefly(
        &self,
        request: http::Request<Vec<u8>>,
        limit: usize,
    ) -> Result<http::Response<Bytes>, OutgoingError> {
        self.send_for(request, Wanted::First(limit)).await
    }

    async fn send_for(
        &self,
        mut request: http::Request<Vec<u8>>,
        wanted: Wanted,
    ) -> Result<http::Response<Bytes>, OutgoingError> {
        let begun = Instant::now();
        let span = traces::outgoing(&mut request);
        let result = self
            .exchange(request, wanted)
            .instrument(span.clone())
            .await;
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
        wanted: Wanted,
    ) -> Result<http::Response<Bytes>, OutgoingError> {
        let request = reqwest::Request::try_from(request)
            .map_err(|e| OutgoingError(format!("the request cannot be sent: {e}")))?;
        let url = request.url().clone();
        self.check(&url)?;
        let proxied = self.proxied(&url);
        let place = || {
            let host = url.host_str().unwrap_or_default();
            let way = proxied.map_or("", |_| ", through the proxy");
            format!("{}://{host}{way}", url.scheme())
        };
        let failed =
            |e: &reqwest::Error| OutgoingError(format!("{}: {}", place(), self.explain(e)));
        let client = proxied.unwrap_or(&self.direct);
        let mut response = client.execute(request).await.map_err(|e| failed(&e))?;
        let too_large = || OutgoingError(format!("{}: the answer is larger than 1 MiB", place()));
        let is_too_large = |length: u64| wanted == Wanted::Whole && length > MAX_RESPONSE as u64;
        if response.content_length().is_some_and(is_too_large) {
            return Err(too_large());
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| failed(&e))? {
            body.extend_from_slice(&chunk);
            match wanted {
                Wanted::Whole if body.len() > MAX_RESPONSE => return Err(too_large()),
                Wanted::First(limit) if body.len() >= limit => {
                    body.truncate(limit);
                    break;
                }
                Wanted::Whole | Wanted::First(_) => {}
            }
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
    /// The request failed, or the answer has another status than 200.
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
        let hint = match &*text {
            text if text.contains("UnknownIssuer") => {
                ": the CA that signed its certificate is not trusted here; name the CA's certificate with SSL_CERT_FILE, as a file that this server may read"
            }
            "tunnel error: unsuccessful" => ": the proxy refuses to connect there",
            "tunnel error: proxy authorization required" => {
                ": the proxy wants other credentials than those in HTTPS_PROXY"
            }
            _ => "",
        };
        // Some of the libraries' errors end in where to read more.
        let text = text.split(": http").next().unwrap_or_default();
        format!("{text}{hint}")
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

/// Resolves names to addresses that may be connected to.
struct Guard {
    reach: Arc<Reach>,
    dns: Dns,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard")
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let (reach, dns) = (self.reach.clone(), self.dns.clone());
        Box::pin(async move {
            let host = name.as_str();
            let addresses = dns.addresses(host).await.map_err(|failure| {
                tracing::info!(host, ?failure, "a host's name could not be resolved");
                OutgoingError(format!("{host} cannot be resolved: {failure}"))
            })?;
            // The port is the URL's.
            let place = |address: IpAddr| SocketAddr::new(address, 0);
            let allowed = reach.narrow(host, addresses)?;
            Ok(Box::new(allowed.into_iter().map(place)) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_refused_by_their_text_where_that_is_enough() {
        let public = Outgoing::new(Reach::default()).unwrap();
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
        let public = Outgoing::new(Reach::default()).unwrap();
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
