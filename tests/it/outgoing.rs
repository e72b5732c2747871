//! Requests to providers: what is connected to, what the proxy is asked for, who resolves names.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use rollcall::outgoing::dns::Dns;
use rollcall::outgoing::{Outgoing, Proxy, Reach, Settings};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::support::dns::NameServer;

/// A server on the loopback to which TLS is spoken; it hangs up when somebody came.
struct Target {
    port: u16,
    came: Arc<Mutex<usize>>,
}

impl Target {
    async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let target = Self {
            port: listener.local_addr().unwrap().port(),
            came: Arc::default(),
        };
        let came = target.came.clone();
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                *came.lock().unwrap() += 1;
            }
        });
        target
    }

    fn count(&self) -> usize {
        *self.came.lock().unwrap()
    }
}

/// A proxy on the loopback that notes what it is asked for, and answers with a status.
struct Gateway {
    port: u16,
    asked: Arc<Mutex<Vec<Vec<String>>>>,
}

impl Gateway {
    async fn start(status: &'static str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let gateway = Self {
            port: listener.local_addr().unwrap().port(),
            asked: Arc::default(),
        };
        let asked = gateway.asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = BufReader::new(stream);
                let mut head = vec![];
                let mut line = String::new();
                while stream.read_line(&mut line).await.is_ok_and(|read| read > 2) {
                    head.push(line.trim_end().to_owned());
                    line.clear();
                }
                asked.lock().unwrap().push(head);
                let answer = format!("HTTP/1.1 {status}\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        gateway
    }

    fn proxy(&self, except: &str) -> Proxy {
        Proxy::new(
            &format!("http://someone:hunter2@127.0.0.1:{}", self.port),
            except,
        )
        .unwrap()
    }

    /// The lines that were asked with, each the first of a head.
    fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked.iter().map(|head| head[0].clone()).collect()
    }
}

fn reach(text: &str) -> Reach {
    Reach::Public(text.parse().unwrap())
}

/// Why an answer cannot be had.
async fn refused(outgoing: &Outgoing, url: &str) -> String {
    let error = outgoing.get(&url.parse().unwrap()).await.unwrap_err();
    error.to_string()
}

#[tokio::test]
async fn a_listed_network_is_reached_over_https_alone() {
    let target = Target::start().await;
    let names = NameServer::start().await;
    names.leads("keycloak.corp.example", &["127.0.0.1"]);
    let outgoing = Outgoing::with(Settings {
        reach: reach("127.0.0.0/8"),
        dns: Dns::new(vec![names.address]),
        ..Settings::default()
    })
    .unwrap();
    let port = target.port;
    for host in [
        "keycloak.corp.example",
        "127.0.0.1",
        "[::ffff:127.0.0.1]",
        "localhost",
    ] {
        let before = target.count();
        let error = refused(&outgoing, &format!("https://{host}:{port}/")).await;
        assert!(!error.contains("public"), "{error}");
        assert!(target.count() > before, "{host}: {error}");
        let before = target.count();
        let error = refused(&outgoing, &format!("http://{host}:{port}/")).await;
        assert!(error.contains("must begin with https://"), "{error}");
        assert_eq!(target.count(), before, "{host}");
    }
}

#[tokio::test]
async fn attack_names_that_lead_inside() {
    let target = Target::start().await;
    let names = NameServer::start().await;
    names.leads("keycloak.corp.example", &["127.0.0.1", "::1"]);
    names.leads("evil.example", &["127.0.0.1"]);
    let mapped = ["::ffff:127.0.0.1", "::ffff:169.254.169.254"];
    names.leads("mapped.example", &mapped);
    let outgoing = Outgoing::with(Settings {
        reach: reach("keycloak.corp.example,10.0.0.0/8"),
        dns: Dns::new(vec![names.address]),
        ..Settings::default()
    })
    .unwrap();
    let port = target.port;
    for (host, words) in [
        (
            "keycloak.corp.example",
            "which a network listed there must contain",
        ),
        ("evil.example", "is not a public address"),
        ("mapped.example", "is not a public address"),
        ("localhost", "is not a public address"),
        ("127.0.0.1", "is not a public address"),
        ("[::1]", "is not a public address"),
    ] {
        let error = refused(&outgoing, &format!("https://{host}:{port}/")).await;
        assert!(error.contains(words), "{error}");
        assert!(error.contains("ROLLCALL_REACHABLE"), "{error}");
        assert!(!error.contains("INSECURE"), "{error}");
    }
    assert_eq!(target.count(), 0);
}

#[tokio::test]
async fn names_are_looked_up_once_while_their_answer_lasts() {
    let names = NameServer::start().await;
    names.leads("keycloak.corp.example", &["10.9.9.9", "fd00::9"]);
    let dns = Dns::new(vec![names.address]);
    for name in ["keycloak.corp.example", "Keycloak.corp.example."] {
        let found = dns.addresses(name).await.unwrap();
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, ["10.9.9.9", "fd00::9"], "{name}");
    }
    assert_eq!(
        names.times_asked("keycloak.corp.example"),
        2,
        "once a family"
    );
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_told_with_the_reason() {
    let names = NameServer::start().await;
    let with = |servers| {
        Outgoing::with(Settings {
            dns: Dns::new(servers),
            ..Settings::default()
        })
        .unwrap()
    };
    let error = refused(&with(vec![names.address]), "https://nobody.example/").await;
    assert!(
        error.contains("nobody.example cannot be resolved: the name servers know no address"),
        "{error}"
    );
    // Nobody answers there.
    let silent = with(vec!["127.0.0.1:1".parse().unwrap()]);
    let error = refused(&silent, "https://nobody.example/").await;
    assert!(
        error.contains("nobody.example cannot be resolved: "),
        "{error}"
    );
}

#[tokio::test]
async fn the_proxy_is_asked_for_the_host_and_resolves_its_name() {
    let gateway = Gateway::start("200 Connection established").await;
    let names = NameServer::start().await;
    let outgoing = Outgoing::with(Settings {
        dns: Dns::new(vec![names.address]),
        proxy: Some(gateway.proxy("")),
        ..Settings::default()
    })
    .unwrap();
    let error = refused(&outgoing, "https://accounts.example.com/x?secret").await;
    assert!(error.contains("through the proxy"), "{error}");
    let error = refused(&outgoing, "https://93.184.216.34:8443/").await;
    assert_eq!(
        gateway.asked(),
        [
            "CONNECT accounts.example.com:443 HTTP/1.1",
            "CONNECT 93.184.216.34:8443 HTTP/1.1"
        ],
        "{error}"
    );
    let head = gateway.asked.lock().unwrap()[0].join("\n").to_lowercase();
    assert!(head.contains("proxy-authorization: basic "), "{head}");
    assert_eq!(names.times_asked("accounts.example.com"), 0);
    let shown = format!("{outgoing:?}{error}");
    assert!(
        !shown.contains("hunter2") && !shown.contains("c29tZW9uZ"),
        "{shown}"
    );
}

#[tokio::test]
async fn attack_places_inside_that_the_proxy_is_asked_for() {
    let gateway = Gateway::start("200 Connection established").await;
    let outgoing = Outgoing::with(Settings {
        reach: reach("keycloak,10.1.0.0/16"),
        proxy: Some(gateway.proxy("")),
        ..Settings::default()
    })
    .unwrap();
    for host in [
        "127.0.0.1",
        "169.254.169.254",
        "10.2.0.1",
        "[::1]",
        "[::ffff:10.2.0.1]",
        "2130706433",
        "0x7f.1",
        "localhost",
        "localhost.",
        "intranet",
        "metadata.google.internal",
        "vault.corp",
        "db.default.svc.cluster.local",
    ] {
        let error = refused(&outgoing, &format!("https://{host}/")).await;
        assert!(error.contains("ROLLCALL_REACHABLE"), "{error}");
    }
    let error = refused(&outgoing, "http://accounts.example.com/").await;
    assert!(error.contains("must begin with https://"), "{error}");
    assert_eq!(gateway.asked(), [""; 0]);
    // Those that are listed are asked for.
    refused(&outgoing, "https://keycloak/").await;
    refused(&outgoing, "https://10.1.2.3/").await;
    assert_eq!(
        gateway.asked(),
        [
            "CONNECT keycloak:443 HTTP/1.1",
            "CONNECT 10.1.2.3:443 HTTP/1.1"
        ]
    );
}

#[tokio::test]
async fn what_goes_past_the_proxy_is_checked_by_its_addresses() {
    let gateway = Gateway::start("200 Connection established").await;
    let target = Target::start().await;
    let names = NameServer::start().await;
    for name in ["sso.corp.example", "evil.corp.example"] {
        names.leads(name, &["127.0.0.1"]);
    }
    let with = |reach| {
        Outgoing::with(Settings {
            reach,
            dns: Dns::new(vec![names.address]),
            proxy: Some(gateway.proxy("corp.example,127.0.0.1")),
            ..Settings::default()
        })
        .unwrap()
    };
    let port = target.port;
    let closed = with(Reach::default());
    for host in ["evil.corp.example", "127.0.0.1"] {
        let error = refused(&closed, &format!("https://{host}:{port}/")).await;
        assert!(error.contains("is not a public address"), "{error}");
    }
    assert_eq!(target.count(), 0);
    let open = with(reach("127.0.0.1"));
    let error = refused(&open, &format!("https://sso.corp.example:{port}/")).await;
    assert!(target.count() > 0 && !error.contains("proxy"), "{error}");
    assert_eq!(gateway.asked(), [""; 0]);
}

#[tokio::test]
async fn a_proxy_that_refuses_is_told() {
    for (status, words) in [
        ("407 Proxy Authentication Required", "other credentials"),
        ("403 Forbidden", "the proxy refuses to connect there"),
    ] {
        let gateway = Gateway::start(status).await;
        let outgoing = Outgoing::with(Settings {
            proxy: Some(gateway.proxy("")),
            ..Settings::default()
        })
        .unwrap();
        let error = refused(&outgoing, "https://accounts.example.com/").await;
        assert!(error.contains(words), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

/// A provider whose certificate no authority signed.
const UNTRUSTED: &[u8] = include_bytes!("untrusted.pem");

#[tokio::test]
async fn a_certificate_that_nobody_trusts_is_told_with_what_to_do() {
    let certificate = CertificateDer::from_pem_slice(UNTRUSTED).unwrap();
    let key = PrivateKeyDer::from_pem_slice(UNTRUSTED).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    let outgoing = Outgoing::new(Reach::Anywhere).unwrap();
    let error = refused(&outgoing, &format!("https://localhost:{port}/")).await;
    assert!(error.contains("SSL_CERT_FILE"), "{error}");
}
