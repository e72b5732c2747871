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
