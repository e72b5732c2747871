//! A started server, a client with several connections, and pgbench beside them.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

type Sender = http1::SendRequest<Full<Bytes>>;

/// A request: method, path, content type and body.
pub type Call = (Method, String, &'static str, Bytes);

/// Makes the requests of a measurement, one after the other.
pub type Make = Arc<dyn Fn() -> Call + Send + Sync>;

pub fn printed(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_rollcall"))
        .args(arguments)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub struct Server(Child);

impl Server {
    /// How much memory the server has, as the kernel counts it.
    #[allow(dead_code, reason = "not every measurement asks")]
    pub fn resident_mebibytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS"))
            .unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
            / 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn serve(database: &str, token: &str) -> (Server, String) {
    serve_with(database, token, &[])
}

/// A server with settings of its own.
pub fn serve_with(database: &str, token: &str, more: &[(&str, &str)]) -> (Server, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rollcall"))
        .arg("serve")
        .env("DATABASE_URL", database)
        .env("ROLLCALL_ENCRYPTION_KEYS", printed(&["keys", "generate"]))
        .env("ROLLCALL_BOOTSTRAP_ORGANIZATION", "Load")
        .env("ROLLCALL_BOOTSTRAP_TOKEN", token)
        .env("ROLLCALL_LISTEN", "127.0.0.1:0")
        .env("ROLLCALL_LOG", "warn")
        .envs(more.iter().copied())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let line = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .next()
        .unwrap()
        .unwrap();
    let (_, address) = line.split_once("http://").unwrap();
    (Server(child), address.trim_end_matches('.').to_owned())
}

pub struct Client {
    pub address: String,
    pub token: String,
    pub connections: usize,
}

impl Client {
    async fn connect(&self) -> Sender {
        let stream = TcpStream::connect(&self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    async fn send(
        &self,
        sender: &mut Sender,
        (method, path, content_type, body): Call,
    ) -> (u16, Bytes) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.address)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, content_type)
            .body(Full::new(body))
            .unwrap();
        sender.ready().await.unwrap();
        let response = sender.send_request(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(status.is_success(), "{status} {body:?}");
        (status.as_u16(), body)
    }

    /// Sends one request.
    pub async fn once(&self, method: Method, path: &str, body: Value) -> Value {
        let mut sender = self.connect().await;
        let call = (
            method,
            path.to_owned(),
            "application/json",
            Bytes::from(body.to_string()),
        );
        let (_, reply) = self.send(&mut sender, call).await;
        serde_json::from_slice(&reply).unwrap_or(Value::Null)
    }

    /// Sends as many requests as there is time for, and prints how many.
    pub async fn load(&self, name: &str, make: Make, time: Duration) -> f64 {
        let stop = AtomicBool::new(false);
        let worker = async || {
            let mut sender = self.connect().await;
            let mut latencies = vec![];
            while !stop.load(Ordering::Relaxed) {
                let call = make();
                let start = Instant::now();
                self.send(&mut sender, call).await;
                latencies.push(start.elapsed());
            }
            latencies
        };
        let workers = futures_util::future::join_all((0..self.connections).map(|_| worker()));
        let timer = async {
            tokio::time::sleep(time).await;
            stop.store(true, Ordering::Relaxed);
        };
        let (latencies, ()) = futures_util::future::join(workers, timer).await;
        let mut latencies = latencies.concat();
        latencies.sort_unstable();
        let rate = latencies.len() as f64 / time.as_secs_f64();
        let (median, p99) = (
            latencies[latencies.len() / 2],
            latencies[latencies.len() * 99 / 100],
        );
        println!("{name}: {rate:.0}/s, median {median:.1?}, 99th percentile {p99:.1?}");
        rate
    }
}

pub fn pgbench(database: &str, connections: usize, name: &str, script: &str, time: Duration) {
    let file = std::env::temp_dir().join(format!("rollcall-pgbench-{}.sql", std::process::id()));
    std::fs::write(&file, script).unwrap();
    let output = Command::new("pgbench")
        .args([
            "-n",
            "-M",
            "prepared",
            "-j",
            "2",
            "-c",
            &connections.to_string(),
            "-T",
            &time.as_secs().to_string(),
            "-f",
        ])
        .args([file.to_str().unwrap(), database])
        .output()
        .expect("pgbench comes with PostgreSQL");
    std::fs::remove_file(&file).unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let tps = text
        .lines()
        .find(|line| line.starts_with("tps"))
        .unwrap_or_else(|| panic!("{output:?}"));
    println!("  pgbench, {name}: {tps}");
}
