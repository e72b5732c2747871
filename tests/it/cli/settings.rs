//! Settings: a bad one is one clear line and exit code 2.

use std::process::Output;

use crate::support::process::{output, printed};

/// The one line that a refused start prints.
#[track_caller]
fn refused(output: &Output) -> String {
    let error = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert_eq!(error.trim_end().lines().count(), 1, "{error}");
    assert!(output.stdout.is_empty());
    error
}

#[test]
fn a_bad_setting_is_one_line_and_exit_code_2() {
    let key = printed(&["keys", "generate"], &[]);
    let database = ("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none");
    for (settings, expected) in [
        (vec![("ROLLCALL_LISTEN", "nonsense")], "nonsense"),
        (vec![("ROLLCALL_LOG", "info,[")], "ROLLCALL_LOG"),
        (vec![("ROLLCALL_LOG_FORMAT", "xml")], "xml"),
        (
            vec![("ROLLCALL_PUBLIC_URL", "ftp://x")],
            "ROLLCALL_PUBLIC_URL",
        ),
        (
            vec![("ROLLCALL_PUBLIC_URL", "https://x/path")],
            "without a path",
        ),
        (
            vec![("ROLLCALL_PUBLIC_URL", "https://user:pass@x")],
            "ROLLCALL_PUBLIC_URL",
        ),
        (
            vec![("ROLLCALL_ENCRYPTION_KEYS", "nonsense")],
            "ROLLCALL_ENCRYPTION_KEYS",
        ),
        (
            vec![("ROLLCALL_BOOTSTRAP_ORGANIZATION", "Acme")],
            "set both or neither",
        ),
        (
            vec![("ROLLCALL_BOOTSTRAP_TOKEN", "rcapi_x")],
            "set both or neither",
        ),
        (
            vec![
                ("ROLLCALL_BOOTSTRAP_ORGANIZATION", "Acme"),
                ("ROLLCALL_BOOTSTRAP_TOKEN", "hunter2"),
            ],
            "rollcall token generate",
        ),
        (
            vec![("ROLLCALL_DNS_SERVERS", "9.9.9.9, dns.example.com")],
            "ROLLCALL_DNS_SERVERS: \"dns.example.com\"",
        ),
        (
            vec![("ROLLCALL_REACHABLE", "10.1.0.0/16,https://keycloak.corp")],
            "ROLLCALL_REACHABLE: \"https://keycloak.corp\" must be a network",
        ),
        (
            vec![("ROLLCALL_USE_PROXY", "true"), ("HTTPS_PROXY", "")],
            "neither HTTPS_PROXY nor ALL_PROXY",
        ),
        (
            vec![
                ("ROLLCALL_USE_PROXY", "true"),
                ("HTTPS_PROXY", "socks5://someone:hunter2@proxy.example"),
            ],
            "HTTPS_PROXY must be an HTTP proxy",
        ),
        (
            vec![("ROLLCALL_USE_PROXY", "true"), ("all_proxy", "http://")],
            "all_proxy must be an HTTP proxy",
        ),
        // What is set to nothing is not set, and a proxy that nobody uses is not looked at.
        (
            vec![
                ("ROLLCALL_REACHABLE", " , "),
                ("ROLLCALL_USE_PROXY", ""),
                ("HTTPS_PROXY", "socks5://someone:hunter2@proxy.example"),
                database,
            ],
            "rollcall keys generate",
        ),
        (
            vec![("ROLLCALL_METRICS_LISTEN", "9464")],
            "ROLLCALL_METRICS_LISTEN: \"9464\"",
        ),
        (vec![database], "rollcall keys generate"),
        (
            vec![database, ("ROLLCALL_ENCRYPTION_KEYS", "")],
            "rollcall keys generate",
        ),
        (
            vec![
                ("DATABASE_URL", "mysql://x"),
                ("ROLLCALL_ENCRYPTION_KEYS", &key),
            ],
            "postgres://",
        ),
        (
            vec![
                (
                    "DATABASE_URL",
                    "postgres://u:hunter2@one,two/db?target_session_attrs=standby",
                ),
                ("ROLLCALL_ENCRYPTION_KEYS", &key),
            ],
            "use read-write",
        ),
    ] {
        let mut settings = settings;
        settings.push(("ROLLCALL_DATA_DIR", "/nonexistent/rollcall"));
        let error = refused(&output(&["serve"], &settings));
        assert!(error.contains(expected), "{error}");
        assert!(
            !error.contains("hunter2") && !error.contains(&key),
            "{error}"
        );
    }
}

#[test]
fn a_database_that_does_not_answer_is_told() {
    let key = printed(&["keys", "generate"], &[]);
    let settings = [
        (
            "DATABASE_URL",
            "postgres://someone:hunter2@127.0.0.1:1/none",
        ),
        ("ROLLCALL_ENCRYPTION_KEYS", &key),
        ("ROLLCALL_LISTEN", "127.0.0.1:0"),
    ];
    let refused = output(&["serve"], &settings);
    let error = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{error}");
    assert!(
        error.contains("cannot reach the database") && !error.contains("hunter2"),
        "{error}"
    );
}

#[test]
fn operators_commands_need_a_database() {
    for arguments in [
        &["migrate"][..],
        &["organization", "list"],
        &["organization", "create", "--name", "x"],
        &[
            "token",
            "list",
            "--organization",
            "0190a6e0-1c2b-7def-8123-456789abcdef",
        ],
    ] {
        assert!(
            refused(&output(arguments, &[])).contains("DATABASE_URL is required"),
            "{arguments:?}"
        );
    }
}

#[test]
fn commands_that_ask_a_server_need_its_address_and_a_token() {
    let folder = tempfile::TempDir::new().unwrap();
    let data = folder.path().to_str().unwrap();
    let token = printed(&["token", "generate"], &[]);
    let status = |settings: &[(&str, &str)]| {
        let settings = [&[("ROLLCALL_DATA_DIR", data)][..], settings].concat();
        output(&["status"], &settings)
    };
    let missing = refused(&status(&[(
        "DATABASE_URL",
        "postgres://nobody@127.0.0.1:1/none",
    )]));
    for words in ["admin-token", data, "ROLLCALL_TOKEN", "ROLLCALL_DATA_DIR"] {
        assert!(missing.contains(words), "{missing}");
    }
    std::fs::write(folder.path().join("admin-token"), "hunter2\n").unwrap();
    assert!(refused(&status(&[])).contains("admin-token is not a complete API token"));
    let broken = format!("{token}x");
    let broken = refused(&status(&[("ROLLCALL_TOKEN", &broken)]));
    assert!(
        broken.contains("ROLLCALL_TOKEN is not a complete API token"),
        "{broken}"
    );
    assert!(!broken.contains(&token), "{broken}");
    for server in [
        "localhost:8080",
        "ftp://x",
        "https://u:hunter2@x",
        "https://x?y",
    ] {
        let error = refused(&status(&[
            ("ROLLCALL_TOKEN", &token),
            ("ROLLCALL_SERVER", server),
        ]));
        assert!(error.contains("ROLLCALL_SERVER must be"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }

    let help = output(&["status", "--help"], &[("ROLLCALL_TOKEN", &token)]);
    let help = String::from_utf8(help.stdout).unwrap();
    for words in [
        "ROLLCALL_SERVER",
        "http://127.0.0.1:8080",
        "ROLLCALL_TOKEN",
        "./rollcall-data",
    ] {
        assert!(help.contains(words), "{words}: {help}");
    }
    assert!(!help.contains(&token), "{help}");
}

#[test]
fn a_server_that_is_none_is_told_in_one_line() {
    use std::io::{Read, Write};

    let token = printed(&["token", "generate"], &[]);
    let told = |server: &str| {
        let settings = [("ROLLCALL_TOKEN", &*token), ("ROLLCALL_SERVER", server)];
        let output = output(&["status"], &settings);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert_eq!(error.trim_end().lines().count(), 1, "{error}");
        assert!(!error.contains(&token), "{error}");
        error
    };
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let error = told(&address);
    for words in [&*address, "ROLLCALL_SERVER", "refused"] {
        assert!(error.contains(words), "{error}");
    }

    for (answer, words) in [
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
            "not as a Rollcall does",
        ),
        (
            "HTTP/1.1 301 Moved\r\nlocation: https://elsewhere.example\r\ncontent-length: 0\r\n\r\n",
            "redirects are not followed",
        ),
    ] {
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", other.local_addr().unwrap());
        let serving = std::thread::spawn(move || {
            let (mut stream, _) = other.accept().unwrap();
            let mut start = [0; 1];
            stream.read_exact(&mut start).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read_to_end(&mut vec![]);
        });
        let error = told(&address);
        assert!(error.contains(words), "{error}");
        serving.join().unwrap();
    }
}

/// Each command that does something, by the words that call it.
fn commands<'a>(
    command: &'a clap::Command,
    words: Vec<&'a str>,
) -> Vec<(Vec<&'a str>, &'a clap::Command)> {
    let mut found = vec![];
    for below in command.get_subcommands() {
        let words = [&words[..], &[below.get_name()]].concat();
        if below.has_subcommands() {
            found.extend(commands(below, words));
        } else {
            found.push((words, below));
        }
    }
    found
}

#[test]
fn every_setting_is_in_the_help() {
    let line = rollcall::cli::command();
    let (mut helps, mut settings) = (0, 0);
    for (words, command) in commands(&line, vec![]) {
        let help = printed(&[&words[..], &["--help"]].concat(), &[]);
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        helps += 1;
        for argument in line.get_arguments().chain(command.get_arguments()) {
            let Some(variable) = argument.get_env() else {
                continue;
            };
            let (variable, flag) = (variable.to_str().unwrap(), argument.get_long().unwrap());
            let shown = ["=", "]"].map(|end| format!("[env: {variable}{end}"));
            let is_shown = shown.iter().any(|words| help.contains(words));
            assert!(is_shown, "{words:?}: {variable}");
            assert!(help.contains(&format!("--{flag} ")), "{words:?}: --{flag}");
            settings += 1;
        }
    }
    assert!(helps > 15 && settings > 50, "{helps} {settings}");
}

#[test]
fn keys_and_tokens_are_made_without_a_database_and_differ() {
    let (one, two) = (
        printed(&["keys", "generate"], &[]),
        printed(&["keys", "generate", "--id", "b"], &[]),
    );
    assert!(one.starts_with("key-") && two.starts_with("b:"));
    let other = printed(&["keys", "generate"], &[]);
    assert_ne!(
        one.split(':').next(),
        other.split(':').next(),
        "different ids"
    );
    let error = refused(&output(&["keys", "generate", "--id", "a,b"], &[]));
    assert!(error.contains("letters, digits, hyphens"), "{error}");
    assert!(printed(&["token", "generate"], &[]).starts_with("rcapi_"));
}
