//! Every setting of docs/settings.md with nothing, with nonsense and with too much: a bad one is one line that names it,
//! and exit code 2. No setting fails quietly.

use std::collections::BTreeSet;
use std::process::Output;

use crate::support::process::{output, printed};

/// What a value comes to.
#[derive(Clone, Copy, Debug)]
enum Comes {
    /// It is refused.
    Bad,
    /// Every text is fine here.
    Fine,
}
use Comes::{Bad, Fine};

/// A documented setting.
struct Setting {
    name: &'static str,
    /// The command that looks at it.
    command: &'static [&'static str],
    /// Other settings, without which nobody would look at it.
    with: &'static [(&'static str, &'static str)],
    nonsense: (&'static [&'static str], Comes),
    too_big: (&'static str, Comes),
}

const SERVE: &[&str] = &["serve"];
const STATUS: &[&str] = &["status"];
const DATABASE: (&str, &str) = ("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none");
const AT_A_DATABASE: &[(&str, &str)] = &[DATABASE];
const WITHOUT_A_TOKEN: &[(&str, &str)] = &[("ROLLCALL_DATA_DIR", "/nonexistent/rollcall")];
const COLLECTOR: &[(&str, &str)] = &[
    DATABASE,
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
];
const TOKEN: &str = "rcapi_hunter2";
const A_NAME: (&str, &str) = ("ROLLCALL_BOOTSTRAP_ORGANIZATION", "Acme");

/// A setting of `serve`. Its keys are missing, which is told when all else is well.
const fn serve(
    name: &'static str,
    nonsense: &'static [&'static str],
    too_big: &'static str,
) -> Setting {
    Setting {
        name,
        command: SERVE,
        with: AT_A_DATABASE,
        nonsense: (nonsense, Bad),
        too_big: (too_big, Bad),
    }
}

/// Every one. A new heading needs a new row.
fn settings() -> Vec<Setting> {
    vec![
        serve(
            "ROLLCALL_LISTEN",
            &["nonsense", "localhost:8080", "8080"],
            "127.0.0.1:99999",
        ),
        serve(
            "ROLLCALL_METRICS_LISTEN",
            &["nonsense", "9464"],
            "127.0.0.1:99999",
        ),
        serve(
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            &["nonsense", "ftp://x", "http://"],
            "http://127.0.0.1:99999",
        ),
        Setting {
            with: COLLECTOR,
            nonsense: (&["nonsense"], Fine),
            too_big: (LONG, Fine),
            ..serve("OTEL_SERVICE_NAME", &[], "")
        },
        Setting {
            with: COLLECTOR,
            ..serve("OTEL_TRACES_SAMPLER", &["nonsense"], LONG)
        },
        serve(
            "ROLLCALL_PUBLIC_URL",
            &[
                "nonsense",
                "ftp://x",
                "https://x/path",
                "https://ada:hunter2@x",
                "https://hunter2@x",
                "https://*.example.com",
                "https://",
            ],
            "https://x:99999",
        ),
        Setting {
            with: &[],
            ..serve(
                "DATABASE_URL",
                &["nonsense-hunter2", "mysql://u:hunter2@a/db"],
                "postgres://u:hunter2@a:99999/db",
            )
        },
        serve(
            "ROLLCALL_DATABASE_CONNECTIONS",
            &["nonsense", "0", "-1", "1.5"],
            "1001",
        ),
        serve("ROLLCALL_KEEP_ALIVE", &["nonsense", "90", "0s"], "3601s"),
        serve("ROLLCALL_DRAIN", &["nonsense", "5", "-1s"], "601s"),
        serve(
            "ROLLCALL_CONNECTIONS_PER_CLIENT",
            &["nonsense", "0", "-1"],
            "99999999999999999999",
        ),
        serve(
            "ROLLCALL_TRUSTED_PROXIES",
            &["nonsense", "proxy.example.com", "10.0.0.0/8,x"],
            "10.0.0.0/99",
        ),
        // A folder may have any name; with DATABASE_URL it is not looked at.
        Setting {
            nonsense: (&["nonsense", "\n"], Fine),
            too_big: (LONG, Fine),
            ..serve("ROLLCALL_DATA_DIR", &[], "")
        },
        serve(
            "ROLLCALL_ENCRYPTION_KEYS",
            &["hunter2", "a:hunter2", ":aHVudGVyMg=="],
            "a:hunter2hunter2hunter2hunter2hunter2hunter2hunter2hunter2hunter2hunter2hunter2hunter2",
        ),
        // Any name is fine that is not too long, but none without the token that belongs to it.
        serve("ROLLCALL_BOOTSTRAP_ORGANIZATION", &["nonsense"], LONG),
        Setting {
            with: &[DATABASE, A_NAME],
            ..serve("ROLLCALL_BOOTSTRAP_TOKEN", &["hunter2", TOKEN], LONG)
        },
        serve(
            "ROLLCALL_RETURN_ORIGINS",
            &[
                "nonsense",
                "https://app.example.com/path",
                "https://*.example.com",
                "https://ok.example.com,https://ada:hunter2@app.example.com",
            ],
            "https://app.example.com:99999",
        ),
        serve(
            "ROLLCALL_SESSION_IDLE",
            &["nonsense", "12", "-1h", "0s"],
            "366d",
        ),
        serve(
            "ROLLCALL_SESSION_LIFETIME",
            &["nonsense", "59s"],
            "99999999999999999999d",
        ),
        serve(
            "ROLLCALL_REQUIRE_VERIFIED_DOMAINS",
            &["nonsense", "2"],
            LONG,
        ),
        serve(
            "ROLLCALL_REACHABLE",
            &["https://x", "*.corp.example"],
            "10.0.0.0/99",
        ),
        serve("ROLLCALL_ALLOW_INSECURE_ISSUERS", &["nonsense"], LONG),
        // Without a proxy in HTTPS_PROXY, true is not fine either.
        serve("ROLLCALL_USE_PROXY", &["nonsense", "true"], LONG),
        serve(
            "SSL_CERT_FILE",
            &["nonsense", "/nonexistent/ca.pem", "/", "/dev/null"],
            LONG,
        ),
        serve("SSL_CERT_DIR", &["/nonexistent", "/etc:/nonexistent"], LONG),
        serve(
            "ROLLCALL_EVENT_RETENTION",
            &["nonsense", "30", "1s"],
            "3651d",
        ),
        serve(
            "ROLLCALL_AUDIT_RETENTION",
            &["nonsense", "365", "1s"],
            "3651d",
        ),
        serve(
            "ROLLCALL_DNS_SERVERS",
            &["nonsense", "dns.example.com"],
            "9.9.9.9:99999",
        ),
        Setting {
            command: STATUS,
            with: WITHOUT_A_TOKEN,
            ..serve(
                "ROLLCALL_SERVER",
                &[
                    "nonsense",
                    "ftp://x",
                    "https://ada:hunter2@x",
                    "https://x?y",
                    "https://*.example.com",
                ],
                "https://x:99999",
            )
        },
        Setting {
            command: STATUS,
            with: WITHOUT_A_TOKEN,
            ..serve("ROLLCALL_TOKEN", &["hunter2", TOKEN], LONG)
        },
        serve(
            "ROLLCALL_LOG",
            &["verbose", "info,[", "sqlx=verbose", "sqlx", ","],
            LONG,
        ),
        serve("ROLLCALL_LOG_FORMAT", &["xml", "TEXT,JSON"], LONG),
    ]
}

/// Longer than any setting, and none.
const LONG: &str = match std::str::from_utf8(&[b'x'; 5_000]) {
    Ok(text) => text,
    Err(_) => "",
};

/// The names in the headings of docs/settings.md.
fn documented() -> BTreeSet<&'static str> {
    let text = include_str!("../../../docs/settings.md");
    let headings = text.lines().filter_map(|line| line.strip_prefix("## "));
    let names = headings.flat_map(|heading| heading.split('`').skip(1).step_by(2));
    let is_variable = |name: &&str| name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    names.filter(is_variable).collect()
}

/// What libraries read, and no argument of a command is.
const READ_BY_LIBRARIES: [&str; 5] = [
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_SERVICE_NAME",
    "OTEL_TRACES_SAMPLER",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
];

/// The variables of a command and of those below it, each with its flag.
fn known(command: &clap::Command) -> BTreeSet<(String, String)> {
    let own = command.get_arguments().filter_map(|argument| {
        let variable = argument.get_env()?.to_str()?.to_owned();
        Some((variable, format!("--{}", argument.get_long()?)))
    });
    own.chain(command.get_subcommands().flat_map(known))
        .collect()
}

#[test]
fn every_setting_is_documented_and_nothing_else_is() {
    let known = known(&rollcall::cli::command());
    let names: BTreeSet<&str> = known.iter().map(|(name, _)| &**name).collect();
    let libraries = BTreeSet::from(READ_BY_LIBRARIES);
    assert_eq!(documented(), &names | &libraries, "docs/settings.md");

    let readme = include_str!("../../../README.md");
    let (_, table) = readme.split_once("\n## Settings\n").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
    let cell = |text: &str| text.trim().trim_matches('`').to_owned();
    let rows: BTreeSet<(String, String)> = rows
        .map(|row| {
            let cells: Vec<&str> = row.split('|').collect();
            (cell(cells[0]), cell(cells[1]))
        })
        .filter(|(name, _)| !libraries.contains(&**name))
        .collect();
    assert_eq!(rows, known, "README.md");
}

fn outcome(setting: &Setting, value: Option<&str>) -> Output {
    let own = value.map(|value| (setting.name, value));
    let settings: Vec<_> = setting.with.iter().copied().chain(own).collect();
    output(setting.command, &settings)
}

fn text(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn every_documented_setting_is_tried() {
    let tried: Vec<&str> = settings().iter().map(|setting| setting.name).collect();
    let names: BTreeSet<&str> = tried.iter().copied().collect();
    assert_eq!(
        names,
        documented(),
        "a row for each heading of docs/settings.md"
    );
    assert_eq!(names.len(), tried.len(), "each once");
}

#[test]
fn what_is_set_to_nothing_is_not_set() {
    for setting in settings() {
        // serve would make an embedded database.
        let setting = match setting.name {
            "DATABASE_URL" => Setting {
                command: &["migrate"],
                ..setting
            },
            _ => setting,
        };
        let (unset, empty) = (outcome(&setting, None), outcome(&setting, Some("")));
        assert_eq!(unset.status.code(), Some(2), "{}: {unset:?}", setting.name);
        assert_eq!(text(&empty), text(&unset), "{}", setting.name);
    }
}

#[test]
fn what_cannot_be_used_is_one_line_that_names_the_setting() {
    for setting in settings() {
        let name = setting.name;
        let (values, comes) = setting.nonsense;
        let nonsense = values.iter().map(|value| (*value, comes));
        for (value, comes) in nonsense.chain([setting.too_big]) {
            let shown = &value[..value.len().min(60)];
            let (code, out, error) = text(&outcome(&setting, Some(value)));
            if let Fine = comes {
                let unset = text(&outcome(&setting, None));
                assert_eq!((code, out, error), unset, "{name}={shown}");
                continue;
            }
            assert_eq!(code, Some(2), "{name}={shown}: {error}");
            assert_eq!(out, "", "{name}={shown}");
            assert!(error.starts_with("error: "), "{name}={shown}: {error}");
            assert_eq!(error.lines().count(), 1, "{name}={shown}: {error}");
            assert!(error.contains(name), "{name}={shown}: {error}");
            assert!(!error.contains("hunter2"), "{name}={shown}: {error}");
        }
    }
}

#[test]
fn a_proxy_that_cannot_be_used_is_told() {
    for (name, value) in [
        ("HTTPS_PROXY", "http://u:hunter2@proxy.example:99999"),
        ("all_proxy", "u:hunter2@proxy.example:99999"),
        ("ALL_PROXY", "http://"),
    ] {
        let serve = [DATABASE, ("ROLLCALL_USE_PROXY", "true"), (name, value)];
        let status = [
            ("ROLLCALL_SERVER", "https://rollcall.example.com"),
            (name, value),
        ];
        for (command, settings) in [(SERVE, &serve[..]), (STATUS, &status)] {
            let (code, _, error) = text(&output(command, settings));
            assert_eq!(code, Some(2), "{error}");
            assert!(error.contains(&format!("{name} must be")), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}

#[test]
fn a_name_that_is_too_long_is_told() {
    let token = printed(&["token", "generate"], &[]);
    let name = "x".repeat(129);
    let settings = [
        DATABASE,
        ("ROLLCALL_BOOTSTRAP_ORGANIZATION", &*name),
        ("ROLLCALL_BOOTSTRAP_TOKEN", &*token),
    ];
    let (code, _, error) = text(&output(SERVE, &settings));
    assert_eq!(code, Some(2), "{error}");
    assert!(
        error.contains("ROLLCALL_BOOTSTRAP_ORGANIZATION must have 1 to 128 characters"),
        "{error}"
    );
}

#[test]
fn an_unknown_level_lists_the_levels() {
    let settings = [DATABASE, ("ROLLCALL_LOG", "verbose")];
    let (_, _, error) = text(&output(SERVE, &settings));
    for level in ["error", "warn", "info", "debug", "trace"] {
        assert!(error.contains(level), "{error}");
    }
}
