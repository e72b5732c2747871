//! A started server, a client with several connections, and pgbench beside them.
//!
//! The server, PostgreSQL and the client share the machine, so each rate stands beside the CPU time
//! that a request cost each of them: it is the same when something else runs too.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A request: method, path, content type and body.
pub type Call = (Method, String, &'static str, Bytes);

/// Makes the requests of a measurement, one after the other.
pub type Make = Arc<dyn Fn() -> Call + Send + Sync>;

/// The program to measure: that of this build, or of another to compare it with.
fn program() -> String {
    std::env::var("ROLLCALL").unwrap_or_else(|_| env!("CARGO_BIN_EXE_rollcall").to_owned())
}

pub fn printed(arguments: &[&str]) -> String {
    let output = Command::new(program()).args(arguments).output().unwrap();
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
    let mut child = Command::new(program())
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

/// What the kernel says of a process.
#[derive(Clone)]
struct Process {
    id: u32,
    parent: u32,
    /// Seconds of CPU time, those of children that ended included.
    time: f64,
}

impl Process {
    fn read(id: u32) -> Option<Self> {
        const TICKS_A_SECOND: f64 = 100.0;
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let number = |index: usize| fields[index].parse::<u64>().unwrap();
        let time = (11..15).map(number).sum::<u64>() as f64 / TICKS_A_SECOND;
        Some(Self {
            id,
            parent: number(1) as u32,
            time,
        })
    }

    fn all() -> Vec<Self> {
        let folders = std::fs::read_dir("/proc").unwrap().flatten();
        let ids = folders.filter_map(|folder| folder.file_name().to_str()?.parse().ok());
        ids.filter_map(Self::read).collect()
    }
}

/// The CPU time of the server, PostgreSQL and this process, in seconds. PostgreSQL's is 0 when it
/// runs elsewhere.
fn cpu_times() -> [f64; 3] {
    let all = Process::all();
    let own = std::process::id();
    let command = |id: u32| {
        let line = std::fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
        line.replace('\0', " ")
    };
    let database = std::env::var("DATABASE_URL").unwrap_or_default();
    let port = database
        .rsplit(':')
        .next()
        .and_then(|rest| rest.split('/').next());
    let is_postmaster = |process: &&Process| {
        let command = command(process.id);
        port.is_some_and(|port| {
            command.contains("/postgres ") && command.contains(&format!(" -p {port} "))
        })
    };
    let postmaster = all.iter().find(is_postmaster).map(|process| process.id);
    let sum = |is: &dyn Fn(&Process) -> bool| all.iter().filter(|p| is(p)).map(|p| p.time).sum();
    [
        sum(&|p| p.parent == own && command(p.id).contains(" serve ")),
        sum(&|p| Some(p.id) == postmaster || Some(p.parent) == postmaster),
        // The children that ended are pgbench and others, between measurements.
        sum(&|p| p.id == own),
    ]
}

/// A client that does no more than it must, so that it takes little of the machine.
pub struct Client {
    pub address: String,
    pub token: String,
    pub connections: usize,
}

impl Client {
    async fn connect(&self) -> Connection {
        let stream = TcpStream::connect(&self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Connection {
            stream,
            buffer: vec![],
        }
    }

    /// A connection for requests one after the other.
    #[allow(dead_code, reason = "not every measurement needs one")]
    pub async fn open(&self) -> Connection {
        self.connect().await
    }

    /// Sends one request, and reads the whole response.
    pub async fn send(&self, connection: &mut Connection, call: Call) -> Bytes {
        let (method, path, content_type, body) = call;
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
            self.address,
            self.token,
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(&body);
        connection.exchange(&request).await
    }

    /// Sends one request.
    pub async fn once(&self, method: Method, path: &str, body: Value) -> Value {
        let call = (
            method,
            path.to_owned(),
            "application/json",
            Bytes::from(body.to_string()),
        );
        let reply = self.send(&mut self.connect().await, call).await;
        serde_json::from_slice(&reply).unwrap_or(Value::Null)
    }

    /// Sends as many requests as there is time for, and prints how many.
    #[allow(dead_code, reason = "some measurements print a table")]
    pub async fn load(&self, name: &str, make: Make, time: Duration) -> f64 {
        let rate = self.load_quietly(make, time).await;
        println!("{name}: {}", rate.words());
        rate.rate
    }

    /// Sends as many requests as there is time for.
    pub async fn load_quietly(&self, make: Make, time: Duration) -> Rate {
        let stop = AtomicBool::new(false);
        let worker = async || {
            let mut connection = self.connect().await;
            let mut latencies = vec![];
            while !stop.load(Ordering::Relaxed) {
                let call = make();
                let start = Instant::now();
                self.send(&mut connection, call).await;
                latencies.push(start.elapsed());
            }
            latencies
        };
        let before = cpu_times();
        let workers = futures_util::future::join_all((0..self.connections).map(|_| worker()));
        let timer = async {
            tokio::time::sleep(time).await;
            stop.store(true, Ordering::Relaxed);
        };
        let (latencies, ()) = futures_util::future::join(workers, timer).await;
        let after = cpu_times();
        let mut latencies = latencies.concat();
        latencies.sort_unstable();
        let cost = |i: usize| (after[i] - before[i]) * 1e6 / latencies.len() as f64;
        Rate {
            rate: latencies.len() as f64 / time.as_secs_f64(),
            median: latencies[latencies.len() / 2],
            slow: latencies[latencies.len() * 99 / 100],
            cost: [cost(0), cost(1), cost(2)],
        }
    }
}

/// How many requests there were in a second, and what each cost.
pub struct Rate {
    pub rate: f64,
    median: Duration,
    slow: Duration,
    /// CPU time of the server, PostgreSQL and the client, in microseconds.
    cost: [f64; 3],
}

impl Rate {
    pub fn words(&self) -> String {
        let Self {
            rate,
            median,
            slow,
            cost: [server, database, client],
        } = self;
        format!(
            "{rate:.0}/s, median {median:.1?}, 99th percentile {slow:.1?}; CPU per request: server {server:.0} µs, PostgreSQL {database:.0} µs, client {client:.0} µs"
        )
    }
}

pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Sends a request and reads the whole response.
    async fn exchange(&mut self, request: &[u8]) -> Bytes {
        self.stream.write_all(request).await.unwrap();
        self.buffer.clear();
        let head = loop {
            let start = self.buffer.len().saturating_sub(3);
            let read = self.stream.read_buf(&mut self.buffer).await.unwrap();
            assert!(read > 0, "the server closed the connection");
            let end = self.buffer[start..]
                .windows(4)
                .position(|w| w == b"\r\n\r\n");
            if let Some(end) = end {
                break start + end + 4;
            }
        };
        let length = length(&self.buffer[..head]);
        let is_whole = |buffer: &[u8]| match length {
            Some(length) => buffer.len() >= head + length,
            None => buffer.ends_with(b"\r\n0\r\n\r\n"),
        };
        while !is_whole(&self.buffer) {
            assert!(self.stream.read_buf(&mut self.buffer).await.unwrap() > 0);
        }
        let text = || String::from_utf8_lossy(&self.buffer);
        assert!(self.buffer.starts_with(b"HTTP/1.1 2"), "{}", text());
        match length {
            Some(_) => Bytes::copy_from_slice(&self.buffer[head..]),
            None => joined(&self.buffer[head..]),
        }
    }
}

/// What the chunks of a body hold.
fn joined(mut chunks: &[u8]) -> Bytes {
    let mut body = vec![];
    loop {
        let end = chunks.windows(2).position(|w| w == b"\r\n").unwrap();
        let size = std::str::from_utf8(&chunks[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return body.into();
        }
        body.extend_from_slice(&chunks[end + 2..][..size]);
        chunks = &chunks[end + 2 + size + 2..];
    }
}

/// The length of the body, unless it comes in chunks.
fn length(head: &[u8]) -> Option<usize> {
    let head = std::str::from_utf8(head).unwrap().to_ascii_lowercase();
    if head.contains("\r\ntransfer-encoding: chunked") {
        return None;
    }
    let value = head.split("\r\ncontent-length: ").nth(1);
    Some(value.map_or(0, |rest| {
        rest.split("\r\n").next().unwrap().parse().unwrap()
    }))
}

/// The transactions a second of a script of pgbench.
pub fn pgbench(database: &str, connections: usize, script: &str, time: Duration) -> f64 {
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
    let rate = text
        .lines()
        .find_map(|line| line.strip_prefix("tps = "))
        .and_then(|rest| rest.split(' ').next()?.parse().ok());
    rate.unwrap_or_else(|| panic!("{output:?}"))
}
