//! `serve` with no setting: an embedded PostgreSQL in one folder.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rollcall::store::embedded::Embedded;
use serde_json::json;
use sqlx::raw_sql;
use tempfile::TempDir;

use crate::support::process::{Serving, output};
use crate::support::run;

fn start(folder: &Path) -> Serving {
    Serving::start(&[("ROLLCALL_DATA_DIR", folder.to_str().unwrap())])
}

/// What `serve` says that does not start.
#[track_caller]
fn refused(data: &Path) -> String {
    let settings = [
        ("ROLLCALL_DATA_DIR", data.to_str().unwrap()),
        ("ROLLCALL_LISTEN", "127.0.0.1:0"),
    ];
    let output = output(&["serve"], &settings);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    error
}

/// All files below a folder, with their lengths.
fn files(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = vec![];
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push((entry.path(), entry.metadata().unwrap().len()));
        }
    }
    found.sort();
    found
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
fn a_folder_from_which_files_are_missing_is_left_as_it_is() {
    let folder = TempDir::new().unwrap();
    let (data, apart) = (folder.path().join("data"), folder.path().join("apart"));
    let serving = start(&data);
    let token = token(&data);
    let organization = serving.organization(&token);
    assert_eq!(serving.stop("KILL"), None);

    let cluster = data.join("postgres/tmp/pglite/base");
    for part in ["global/pg_control", "PG_VERSION", "pg_wal", "base"] {
        fs::rename(cluster.join(part), &apart).unwrap();
        let before = files(&data);
        let error = refused(&data);
        assert!(
            error.contains("is incomplete: ") && error.contains(&format!("no {part}")),
            "{error}"
        );
        assert!(error.contains("from a backup"), "{error}");
        assert_eq!(files(&data), before, "{part}");
        fs::rename(&apart, cluster.join(part)).unwrap();
    }

    // The list of all tables: that of an empty database does not take its place.
    fs::rename(cluster.join("base/1/1259"), &apart).unwrap();
    refused(&data);
    fs::rename(&apart, cluster.join("base/1/1259")).unwrap();

    assert_eq!(start(&data).organization(&token), organization);
}

#[test]
fn a_database_without_our_tables_is_not_taken_for_a_new_one() {
    let folder = TempDir::new().unwrap();
    let mut other = pglite_oxide::Pglite::open(folder.path().join("postgres")).unwrap();
    other.close().unwrap();
    drop(other);
    let error = refused(folder.path());
    assert!(
        error.contains("is incomplete: it has no table of Rollcall"),
        "{error}"
    );
}

#[test]
fn what_an_interrupted_first_start_left_is_removed_and_nothing_else() {
    let folder = TempDir::new().unwrap();
    let new = folder.path().join("postgres.new");
    fs::create_dir_all(folder.path().join("postgres")).unwrap();
    fs::create_dir_all(new.join("tmp/pglite/base")).unwrap();
    fs::write(new.join("tmp/pglite/base/PG_VERSION"), "1").unwrap();
    fs::write(new.join("precious"), "").unwrap();
    let error = refused(folder.path());
    assert!(
        error.contains("postgres.new has files that are not of a database"),
        "{error}"
    );
    assert!(new.join("precious").exists());

    fs::remove_file(new.join("precious")).unwrap();
    let serving = start(folder.path());
    serving.organization(&token(folder.path()));
    assert!(!new.exists());
}

#[test]
fn an_older_program_works_with_a_newer_schema_that_says_so_and_with_no_other() {
    let folder = TempDir::new().unwrap();
    let later = |statement: &'static str| {
        run(async {
            let (embedded, store) = Embedded::start(&folder.path().join("postgres"))
                .await
                .unwrap();
            let mut db = store.acquire().await.unwrap();
            raw_sql(statement).execute(&mut *db).await.unwrap();
            drop(db);
            store.close().await;
            embedded.stop().await;
        });
    };
    later(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (9000, 'later', true, '', 0)",
    );
    let serving = start(folder.path());
    serving.organization(&token(folder.path()));
    assert_eq!(serving.stop("TERM"), Some(0));

    later("update schema_compatibility set oldest_version = 9000, oldest_release = '9.1.0'");
    let error = refused(folder.path());
    assert!(error.contains("version 9000"), "{error}");
    assert!(error.contains("start Rollcall 9.1.0 or newer"), "{error}");
    assert!(
        error.contains("from a backup of before the upgrade"),
        "{error}"
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
    let organization = serving.organization(&token);
    assert!(!folder.path().join("admin-token").exists());
    assert_eq!(serving.stop("TERM"), Some(0));
    // The token of the only organization stays good without the settings.
    assert_eq!(start(folder.path()).organization(&token), organization);
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
