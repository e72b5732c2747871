//! The binary as its users run it.

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// `rollcall` with no setting but `settings`, and no proxy but theirs.
pub fn rollcall(arguments: &[&str], settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall"));
    let inherited = std::env::vars().filter(|(name, _)| {
        let is_proxy = name.to_ascii_lowercase().ends_with("_proxy");
        let prefixes = ["ROLLCALL_", "OTEL_", "SSL_CERT_", "DATABASE_URL"];
        is_proxy || prefixes.iter().any(|prefix| name.starts_with(prefix))
    });
    for (name, _) in inherited {
        command.env_remove(name);
    }
    command.args(arguments).envs(settings.iter().copied());
    command
}

/// Runs a command to its end.
pub fn output(arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    rollcall(arguments, settings).output().unwrap()
}

/// What a successful command prints, without the line's end.
#[track_caller]
pub fn printed(arguments: &[&str], settings: &[(&str, &str)]) -> String {
    let output = output(arguments, settings);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}

/// A started `rollcall serve`. It is killed when the test ends.
pub struct Serving {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
    /// The first line that it said.
    pub greeting: String,
    /// The host and port that it listens on.
    pub address: String,
}

impl Serving {
    /// Starts on a free port and waits until it listens.
    pub fn start(settings: &[(&str, &str)]) -> Self {
        Self::start_at("127.0.0.1:0", settings)
    }

    /// Starts at an address and waits until it listens.
    pub fn start_at(address: &str, settings: &[(&str, &str)]) -> Self {
        let mut child = rollcall(&["serve"], settings)
            .env("ROLLCALL_LISTEN", address)
            .env("ROLLCALL_LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let greeting = output.next().expect("it says that it listens").unwrap();
        let (_, address) = greeting.split_once("http://").unwrap();
        let is_part = |c: char| c.is_ascii_digit() || c == '.' || c == ':';
        let address: String = address.chars().take_while(|&c| is_part(c)).collect();
        let address = address.trim_end_matches('.').to_owned();
        Self {
            child,
            output,
            greeting,
            address,
        }
    }

    /// The next `count` lines that it says.
    pub fn lines(&mut self, count: usize) -> Vec<String> {
        (0..count)
            .map(|_| self.output.next().unwrap().unwrap())
            .collect()
    }

    /// Calls a method of the OrganizationService.
    pub fn call(&self, method: &str, token: &str, body: &Value) -> (u16, Value) {
        let path = format!("/gitpod.v1.OrganizationService/{method}");
        let (status, body) = self.request("POST", &path, token, &body.to_string());
        (status, serde_json::from_str(&body).unwrap())
    }

    /// The caller's organization.
    pub fn organization(&self, token: &str) -> String {
        let path = "/gitpod.v1.IdentityService/GetAuthenticatedIdentity";
        let (status, body) = self.request("POST", path, token, "{}");
        assert_eq!(status, 200, "{body}");
        let identity: Value = serde_json::from_str(&body).unwrap();
        identity["organizationId"].as_str().unwrap().to_owned()
    }

    /// Sends a request and returns the status and the body.
    pub fn request(&self, method: &str, path: &str, token: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\ncontent-type: application/json\r\nauthorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (
            head.split(' ').nth(1).unwrap().parse().unwrap(),
            body.to_owned(),
        )
    }

    /// Sends a signal again and again until the end, and returns the exit code.
    pub fn stop_twice(mut self, signal: &str) -> Option<i32> {
        let pid = self.child.id().to_string();
        // An embedded database takes its time where the machine is busy.
        let end = Instant::now() + Duration::from_secs(60);
        while Instant::now() < end {
            let _ = Command::new("kill").args(["-s", signal, &pid]).status();
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
        }
        panic!("it goes on although it was told to stop again and again");
    }

    /// Ends it from one moment to the next.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal, waits for the end and returns the exit code.
    pub fn stop(mut self, signal: &str) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", signal, &pid])
                .status()
                .unwrap()
                .success()
        );
        let status = self.child.wait().unwrap();
        assert!(
            status.code().is_some() || signal == "KILL",
            "it ended by itself: {status}"
        );
        status.code()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
