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
fn every_setting_is_in_the_help() {
    let help = printed(&["serve", "--help"], &[]);
    for setting in [
        "ROLLCALL_LISTEN",
        "ROLLCALL_METRICS_LISTEN",
        "ROLLCALL_PUBLIC_URL",
        "DATABASE_URL",
        "ROLLCALL_DATA_DIR",
        "ROLLCALL_ENCRYPTION_KEYS",
        "ROLLCALL_BOOTSTRAP_ORGANIZATION",
        "ROLLCALL_BOOTSTRAP_TOKEN",
        "ROLLCALL_DNS_SERVERS",
        "ROLLCALL_LOG",
        "ROLLCALL_LOG_FORMAT",
    ] {
        assert!(help.contains(setting), "{setting}");
    }
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
