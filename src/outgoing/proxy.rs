//! The proxy of the operator's network, for installations that have no other way out.

use std::sync::Arc;

use hyper_util::client::proxy::matcher::Matcher;
use url::Url;

/// A proxy for https, and what is asked without it. It may hold a password, which nothing here shows.
#[derive(Clone)]
pub struct Proxy {
    url: Url,
    matcher: Arc<Matcher>,
}

/// What is wrong with the URL of a proxy; without the URL, which may hold a password.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("must be an HTTP proxy, as http://user:password@proxy.example.com:3128")]
pub struct BadProxy;

/// The URL of a proxy, http unless it says otherwise.
///
/// # Errors
///
/// That `url` is none.
pub fn proxy_url(url: &str) -> Result<Url, BadProxy> {
    let url = if url.contains("://") {
        Url::parse(url)
    } else {
        Url::parse(&format!("http://{url}"))
    };
    url.ok().filter(Url::has_host).ok_or(BadProxy)
}

impl Proxy {
    /// A proxy at `url`, http unless that says otherwise, for all hosts but those that `except` lists
    /// in the way of `NO_PROXY`.
    ///
    /// # Errors
    ///
    /// That `url` is none of an HTTP proxy.
    pub fn new(url: &str, except: &str) -> Result<Self, BadProxy> {
        let url = proxy_url(url)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(BadProxy);
        }
        let matcher = Matcher::builder().https(url.as_str()).no(except).build();
        Ok(Self {
            url,
            matcher: Arc::new(matcher),
        })
    }

    /// Whether a URL is asked through it.
    pub(super) fn takes(&self, url: &Url) -> bool {
        let uri = url.as_str().parse::<http::Uri>();
        uri.is_ok_and(|uri| self.matcher.intercept(&uri).is_some())
    }

    /// The same for the HTTP client, which is used for what the proxy takes alone.
    pub(super) fn for_client(&self) -> reqwest::Result<reqwest::Proxy> {
        reqwest::Proxy::https(self.url.clone())
    }
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Proxy")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_proxy_takes() {
        let except = "127.0.0.1, .corp.example,10.0.0.0/8";
        let proxy = Proxy::new("proxy.example:3128", except).unwrap();
        let takes = |url: &str| proxy.takes(&url.parse().unwrap());
        for url in [
            "https://accounts.example.com/x?y",
            "https://accounts.example.com:8443",
            "https://corp.example.com",
            "https://93.184.216.34",
        ] {
            assert!(takes(url), "{url}");
        }
        for url in [
            "http://accounts.example.com",
            "https://127.0.0.1:1/",
            "https://keycloak.CORP.example/",
            "https://corp.example",
            "https://10.1.2.3",
        ] {
            assert!(!takes(url), "{url}");
        }
        assert!(
            !Proxy::new("http://x", "*")
                .unwrap()
                .takes(&"https://a.example".parse().unwrap())
        );
    }

    #[test]
    fn a_proxy_does_not_show_its_password() {
        let proxy = Proxy::new("http://user:hunter2@proxy.example", "").unwrap();
        assert!(!format!("{proxy:?}").contains("hunter2"));
        for bad in [
            "socks5://user:hunter2@x",
            "http://",
            "",
            "ftp://x",
            "http://[x",
        ] {
            let error = Proxy::new(bad, "").unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{bad}");
        }
    }
}
