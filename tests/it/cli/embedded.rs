//! `serve` with no setting: an embedded PostgreSQL in one folder.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use crate::support::process::{Serving, output};

fn start(folder: &Path) -> Serving {
    Serving::start(&[("ROLLCALL_DATA_DIR", folder.to_str().unwrap())])
}

fn token(folder: &Path) -> String {
    fs::read_to_string(folder.join("admin-token"))
        .unwrap()
        .trim_end()
        .to_owned()
}

fn sso_request(organization: &str) -> serde_json::Value {
    json!({
        "organizationId": organization, "clientId": "client", "clientSecret": "s", "issuerUrl": "https://accounts.example.com",
    })
}

#[test]
fn the_first_start_says_how_to_begin_and_the_second_is_one_line() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let mut serving = start(&data);
    let token = token(&data);
    let organization = serving.organization(&token);
    let text = serving.lines(20).join("\n");
    assert!(text.contains(&organization), "{text}");
    assert_eq!(text.matches("curl -s http://").count(), 3, "{text}");
    assert!(
        text.contains(&format!("$(cat {}/admin-token)", data.display())),
        "{text}"
    );
    for file in ["admin-token", "encryption-keys"] {
        assert_eq!(
            fs::metadata(data.join(file)).unwrap().permissions().mode() & 0o777,
            0o600,
            "{file}"
        );
    }
    assert_eq!(
        fs::metadata(&data).unwrap().permissions().mode() & 0o777,
        0o700
    );

    let (status, created) = serving.call(
        "CreateSSOConfiguration",
        &token,
        &sso_request(&organization),
    );
    assert_eq!(status, 200, "{created}");
    assert_eq!(serving.stop("TERM"), Some(0));

    let again = start(&data);
    assert!(
        again.greeting.contains("its data is in"),
        "{}",
        again.greeting
    );
    let (_, list) = again.call(
        "ListSSOConfigurations",
        &token,
        &json!({ "organizationId": organization }),
    );
    assert_eq!(list["ssoConfigurations"][0], created["ssoConfiguration"]);
    assert_eq!(again.stop("INT"), Some(0));
}

#[test]
fn a_second_process_on_the_same_folder_is_refused() {
    let folder = TempDir::new().unwrap();
    let serving = start(folder.path());
    let settings = [
        ("ROLLCALL_DATA_DIR", folder.path().to_str().unwrap()),
        ("ROLLCALL_LISTEN", "127.0.0.1:0"),
    ];
    let second = output(&["serve"], &settings);
    let error = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(1), "{error}");
    assert!(
        error.contains("another process uses the data in"),
        "{error}"
    );
    assert!(error.contains("ROLLCALL_DATA_DIR"), "{error}");
    serving.organization(&token(folder.path()));
}

#[test]
fn an_address_in_use_is_told() {
    let folder = TempDir::new().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let settings = [
        ("ROLLCALL_DATA_DIR", folder.path().to_str().unwrap()),
        ("ROLLCALL_LISTEN", &*address),
    ];
    let refused = output(&["serve"], &settings);
    let error = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{error}");
    assert!(
        error.contains(&format!("cannot listen on {address}")) && error.contains("ROLLCALL_LISTEN"),
        "{error}"
    );
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let folder = TempDir::new().unwrap();
    let serving = start(folder.path());
    let token = token(folder.path());
    let organization = serving.organization(&token);
    let (_, created) = serving.call(
        "CreateSSOConfiguration",
        &token,
        &sso_request(&organization),
    );
    assert_eq!(serving.stop("KILL"), None);

    let again = start(folder.path());
    let (_, list) = again.call(
        "ListSSOConfigurations",
        &token,
        &json!({ "organizationId": organization }),
    );
    assert_eq!(
        list["ssoConfigurations"][0]["id"],
        created["ssoConfiguration"]["id"]
    );
}

#[test]
fn the_bootstrap_settings_work_with_the_embedded_database_too() {
    let folder = TempDir::new().unwrap();
    let token = crate::support::process::printed(&["token", "generate"], &[]);
    let serving = Serving::start(&[
        ("ROLLCALL_DATA_DIR", folder.path().to_str().unwrap()),
        ("ROLLCALL_BOOTSTRAP_ORGANIZATION", "Acme"),
        ("ROLLCALL_BOOTSTRAP_TOKEN", &token),
    ]);
    serving.organization(&token);
    assert!(!folder.path().join("admin-token").exists());
}

#[test]
fn a_silent_connection_is_closed_and_a_slow_one_is_served() {
    use std::io::{Read, Write};
    use std::time::Duration;

    let folder = TempDir::new().unwrap();
    let serving = start(folder.path());
    let connect = || {
        let stream = std::net::TcpStream::connect(&serving.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        stream
    };
    // What looks like the start of HTTP/2 and goes no further is no reason to wait for ever either.
    let mut waiting: Vec<_> = ["", "PRI * HT", "GET /livez HT"]
        .into_iter()
        .map(|start| {
            let mut stream = connect();
            stream.write_all(start.as_bytes()).unwrap();
            (start, stream)
        })
        .collect();
    let mut split = connect();
    split.write_all(b"G").unwrap();
    split.write_all(b"ET /livez HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    split.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    for (start, stream) in &mut waiting {
        let mut rest = vec![];
        let ended = stream.read_to_end(&mut rest);
        assert!(
            ended.is_ok() || ended.is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset),
            "{start:?}"
        );
    }
}

#[test]
fn a_second_signal_ends_what_the_first_one_waits_for() {
    use std::io::Write;

    let folder = TempDir::new().unwrap();
    let serving = start(folder.path());
    let mut unfinished = std::net::TcpStream::connect(&serving.address).unwrap();
    unfinished
        .write_all(b"POST /scim/v2/Users HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n")
        .unwrap();
    serving.request("GET", "/livez", "", "");
    assert_eq!(serving.stop_twice("TERM"), Some(0));
}

#[test]
fn a_lost_key_file_is_replaced_and_the_secrets_are_entered_again() {
    let folder = TempDir::new().unwrap();
    let serving = start(folder.path());
    let token = token(folder.path());
    let organization = serving.organization(&token);
    let (_, created) = serving.call(
        "CreateSSOConfiguration",
        &token,
        &sso_request(&organization),
    );
    let id = &created["ssoConfiguration"]["id"];
    assert_eq!(serving.stop("TERM"), Some(0));
    let file = folder.path().join("encryption-keys");
    let lost = fs::read_to_string(&file).unwrap();
    let (key, _) = lost.split_once(':').unwrap();
    fs::remove_file(&file).unwrap();

    let data = [("ROLLCALL_DATA_DIR", folder.path().to_str().unwrap())];
    let refused = output(&["serve", "--listen", "127.0.0.1:0"], &data);
    let error = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{error}");
    assert!(
        error.contains(&format!("`rollcall keys forget {key}`")),
        "{error}"
    );
    let typo = output(&["keys", "forget", "key-0"], &data);
    assert_eq!(typo.status.code(), Some(1));
    let forgotten = output(&["keys", "forget", key], &data);
    assert!(forgotten.status.success(), "{forgotten:?}");
    let out = String::from_utf8(forgotten.stdout).unwrap();
    assert!(
        out.starts_with(&format!("{organization}  {}  ", id.as_str().unwrap())),
        "{out}"
    );

    let serving = start(folder.path());
    let state = || {
        let request = json!({ "ssoConfigurationId": id });
        let (_, got) = serving.call("GetSSOConfiguration", &token, &request);
        got["ssoConfiguration"]["state"].clone()
    };
    assert_eq!(state(), "SSO_CONFIGURATION_STATE_INACTIVE");
    let request = json!({ "ssoConfigurationId": id, "clientSecret": "again" });
    assert_eq!(
        serving.call("UpdateSSOConfiguration", &token, &request).0,
        200
    );
    assert_eq!(state(), "SSO_CONFIGURATION_STATE_ACTIVE");
    assert_eq!(serving.stop("TERM"), Some(0));
}
