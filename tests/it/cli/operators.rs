//! Commands on `DATABASE_URL`, and `serve` with it. Each test has a database of its own, so they run
//! on a real PostgreSQL alone: without `DATABASE_URL` they are skipped, and say so.

use std::process::Output;

use rollcall::app::{Clock, Random};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};
use uuid::Uuid;

use crate::support::process::{Serving, output, printed};
use crate::support::{database_url, run, skipped};

/// A database that is gone when the test ends.
pub struct Database {
    server: String,
    name: String,
    /// `ROLLCALL_ENCRYPTION_KEYS` of its servers.
    pub key: String,
}

impl Database {
    /// A new database; without `DATABASE_URL`, a line that says that the test is skipped.
    pub fn create() -> Option<Self> {
        let database = Self::create_if_there_is_a_server();
        if database.is_none() {
            skipped("needs DATABASE_URL");
        }
        database
    }

    /// The same for a test that has another way.
    pub fn create_if_there_is_a_server() -> Option<Self> {
        let server = database_url()?;
        let id = Random::system().unwrap().uuid_v7(Clock::System.now());
        let name = format!("rollcall_test_{}", id.simple());
        let database = Self {
            server,
            name,
            key: printed(&["keys", "generate"], &[]),
        };
        database.execute(&format!("create database {}", database.name));
        Some(database)
    }

    fn execute(&self, statement: &str) {
        run(async {
            let mut db = PgConnection::connect(&self.server).await.unwrap();
            db.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
        });
    }

    /// Carries out a statement in the database itself.
    pub fn execute_in(&self, statement: &str) {
        run(async {
            let mut db = PgConnection::connect(&self.url()).await.unwrap();
            db.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
        });
    }

    pub fn url(&self) -> String {
        let (server, _) = self.server.rsplit_once('/').unwrap();
        format!("{server}/{}", self.name)
    }

    pub fn printed(&self, arguments: &[&str]) -> String {
        printed(arguments, &[("DATABASE_URL", &self.url())])
    }

    pub fn serve(&self, more: &[(&str, &str)]) -> Serving {
        let url = self.url();
        Serving::start(&self.settings(&url, more))
    }

    /// The same at an address.
    pub fn serve_at(&self, address: &str, more: &[(&str, &str)]) -> Serving {
        let url = self.url();
        Serving::start_at(address, &self.settings(&url, more))
    }

    /// Runs a command to its end.
    pub fn output(&self, arguments: &[&str], more: &[(&str, &str)]) -> Output {
        let url = self.url();
        output(arguments, &self.settings(&url, more))
    }

    fn settings<'a>(
        &'a self,
        url: &'a str,
        more: &[(&'a str, &'a str)],
    ) -> Vec<(&'a str, &'a str)> {
        let own = [
            ("DATABASE_URL", url),
            ("ROLLCALL_ENCRYPTION_KEYS", &self.key),
        ];
        [&own, more].concat()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.execute(&format!("drop database {} with (force)", self.name));
    }
}

#[test]
fn organizations_and_tokens_are_made_listed_and_revoked() {
    let Some(database) = Database::create() else {
        return;
    };
    database.printed(&["migrate"]);
    assert_eq!(database.printed(&["organization", "list"]), "");
    let organization = database.printed(&["organization", "create", "--name", "Acme"]);
    organization.parse::<Uuid>().expect("the bare id");
    let second: Value = serde_json::from_str(&database.printed(&[
        "organization",
        "create",
        "--name",
        "Ünited",
        "--json",
    ]))
    .unwrap();
    assert_eq!(second["name"], "Ünited");
    let list: Value =
        serde_json::from_str(&database.printed(&["organization", "list", "--json"])).unwrap();
    assert_eq!((&list[0]["id"], &list[1]), (&json!(organization), &second));

    let create = ["token", "create", "--organization", &organization];
    let admin = database.printed(&create);
    let member = database.printed(&[&create[..], &["--role", "member"]].concat());
    let reader = database.printed(&[&create[..], &["--read-only", "--expires-in", "90d"]].concat());
    let serving = database.serve(&[]);
    assert_eq!(serving.organization(&admin), organization);
    assert_eq!(
        serving.call("ListSCIMConfigurations", &admin, &json!({})).0,
        200
    );
    assert_eq!(
        serving
            .call("ListSCIMConfigurations", &member, &json!({}))
            .0,
        403
    );
    assert_eq!(
        serving
            .call("ListSCIMConfigurations", &reader, &json!({}))
            .0,
        200
    );

    let list = ["token", "list", "--organization", &organization, "--json"];
    let tokens: Value = serde_json::from_str(&database.printed(&list)).unwrap();
    assert_eq!(tokens[1]["role"], "member");
    assert_eq!(
        (&tokens[2]["readOnly"], tokens[2]["expiresAt"].is_string()),
        (&json!(true), true)
    );
    let text = tokens.to_string();
    assert!(
        !text.contains("argon2") && !text.contains("rcapi_"),
        "{text}"
    );

    let id = tokens[0]["id"].as_str().unwrap();
    let revoke = ["token", "revoke", "--organization", &organization, id];
    database.printed(&revoke);
    assert_eq!(
        serving.call("ListSCIMConfigurations", &admin, &json!({})).0,
        401,
        "at once"
    );
    let again = output(&revoke, &[("DATABASE_URL", &database.url())]);
    assert_eq!(again.status.code(), Some(1));
    let foreign = [
        "token",
        "revoke",
        "--organization",
        second["id"].as_str().unwrap(),
        tokens[1]["id"].as_str().unwrap(),
    ];
    assert_eq!(
        output(&foreign, &[("DATABASE_URL", &database.url())])
            .status
            .code(),
        Some(1)
    );
    assert_eq!(serving.stop("TERM"), Some(0));
}

#[test]
fn bad_arguments_of_operators_are_told() {
    let Some(database) = Database::create() else {
        return;
    };
    database.printed(&["migrate"]);
    let url = database.url();
    for (arguments, expected) in [
        (
            vec!["organization", "create", "--name", ""],
            "name must have 1 to 128 characters",
        ),
        (
            vec![
                "token",
                "create",
                "--organization",
                "0190a6e0-1c2b-7def-8123-456789abcdef",
            ],
            "no such organization",
        ),
        (vec!["token", "create", "--organization", "x"], "'x'"),
        (
            vec![
                "token",
                "create",
                "--organization",
                "0190a6e0-1c2b-7def-8123-456789abcdef",
                "--expires-in",
                "soon",
            ],
            "'soon'",
        ),
        (
            vec![
                "token",
                "create",
                "--organization",
                "0190a6e0-1c2b-7def-8123-456789abcdef",
                "--role",
                "god",
            ],
            "admin or member",
        ),
    ] {
        let refused = output(&arguments, &[("DATABASE_URL", &url)]);
        let error = String::from_utf8(refused.stderr).unwrap();
        assert!(matches!(refused.status.code(), Some(1 | 2)), "{error}");
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
}

#[test]
fn replicas_that_start_together_migrate_and_bootstrap_once() {
    let Some(database) = Database::create() else {
        return;
    };
    let token = printed(&["token", "generate"], &[]);
    let bootstrap = [
        ("ROLLCALL_BOOTSTRAP_ORGANIZATION", "Acme"),
        ("ROLLCALL_BOOTSTRAP_TOKEN", &*token),
    ];
    let organizations: Vec<String> = std::thread::scope(|scope| {
        let replicas: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| database.serve(&bootstrap).organization(&token)))
            .collect();
        replicas
            .into_iter()
            .map(|replica| replica.join().unwrap())
            .collect()
    });
    assert!(
        organizations.iter().all(|id| *id == organizations[0]),
        "{organizations:?}"
    );
    let list: Value =
        serde_json::from_str(&database.printed(&["organization", "list", "--json"])).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 1);
    let tokens = database.printed(&[
        "token",
        "list",
        "--organization",
        &organizations[0],
        "--json",
    ]);
    assert_eq!(
        serde_json::from_str::<Value>(&tokens)
            .unwrap()
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn a_new_bootstrap_token_revokes_the_one_before_and_no_other() {
    let Some(database) = Database::create() else {
        return;
    };
    let (first, second) = (
        printed(&["token", "generate"], &[]),
        printed(&["token", "generate"], &[]),
    );
    let serve = |token| {
        database.serve(&[
            ("ROLLCALL_BOOTSTRAP_ORGANIZATION", "Acme"),
            ("ROLLCALL_BOOTSTRAP_TOKEN", token),
        ])
    };
    let organization = serve(&first).organization(&first);
    let other = database.printed(&["token", "create", "--organization", &organization]);
    let serving = serve(&second);
    assert_eq!(serving.organization(&second), organization);
    assert_eq!(
        serving.call("ListSCIMConfigurations", &first, &json!({})).0,
        401
    );
    assert_eq!(
        serving.call("ListSCIMConfigurations", &other, &json!({})).0,
        200
    );

    // It names no organization: it is of the one that the settings name.
    drop(serving);
    let serving = database.serve(&[]);
    for (token, status) in [(&second, 401), (&other, 200)] {
        let (code, _) = serving.call("ListSCIMConfigurations", token, &json!({}));
        assert_eq!(code, status);
    }

    // The id of a token with another secret opens nothing.
    let url = database.url();
    let forged = {
        use rollcall::domain::token::{Token, TokenKind};
        let id = Token::parse(TokenKind::Api, &second).unwrap().id();
        Random::system()
            .unwrap()
            .token(TokenKind::Api, None, id)
            .expose()
            .to_owned()
    };
    // Nor is a token of one organization another's.
    for (name, token) in [("Acme", &forged), ("Umbrella", &other)] {
        let settings = [
            ("DATABASE_URL", &*url),
            ("ROLLCALL_ENCRYPTION_KEYS", &*database.key),
            ("ROLLCALL_LISTEN", "127.0.0.1:0"),
            ("ROLLCALL_BOOTSTRAP_ORGANIZATION", name),
            ("ROLLCALL_BOOTSTRAP_TOKEN", &**token),
        ];
        let refused = output(&["serve"], &settings);
        let error = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{error}");
        assert!(
            error.contains("bootstrap token cannot be used") && !error.contains(&**token),
            "{error}"
        );
    }
    let organizations = database.printed(&["organization", "list"]);
    assert!(!organizations.contains("Umbrella"), "{organizations}");
}

#[test]
fn a_change_on_one_replica_is_seen_on_another_at_once() {
    let Some(database) = Database::create() else {
        return;
    };
    let token = printed(&["token", "generate"], &[]);
    let bootstrap = [
        ("ROLLCALL_BOOTSTRAP_ORGANIZATION", "Acme"),
        ("ROLLCALL_BOOTSTRAP_TOKEN", &*token),
    ];
    let (one, two) = (database.serve(&bootstrap), database.serve(&bootstrap));
    let organization = one.organization(&token);
    let mut pages = vec![];
    for client in ["a", "b"] {
        let request = json!({
            "organizationId": organization, "clientId": client, "clientSecret": "s", "issuerUrl": "https://accounts.example.com",
        });
        assert_eq!(one.call("CreateSSOConfiguration", &token, &request).0, 200);
    }
    // A page token of one replica opens the next page on another.
    let list = json!({ "organizationId": organization, "pagination": { "pageSize": 1 } });
    let (_, first) = one.call("ListSSOConfigurations", &token, &list);
    pages.push(first["ssoConfigurations"][0]["id"].clone());
    let next =
        json!({ "organizationId": organization, "pagination": first["pagination"]["nextToken"] });
    let next = json!({ "organizationId": next["organizationId"], "pagination": { "token": next["pagination"] } });
    let (_, second) = two.call("ListSSOConfigurations", &token, &next);
    pages.push(second["ssoConfigurations"][0]["id"].clone());
    assert_ne!(pages[0], pages[1]);

    let id = json!({ "ssoConfigurationId": pages[0] });
    assert_eq!(one.call("DeleteSSOConfiguration", &token, &id).0, 200);
    assert_eq!(two.call("GetSSOConfiguration", &token, &id).0, 404);
}

#[test]
fn resealing_lets_the_old_key_go() {
    let Some(database) = Database::create() else {
        return;
    };
    let token = printed(&["token", "generate"], &[]);
    let bootstrap = [
        ("ROLLCALL_BOOTSTRAP_ORGANIZATION", "Acme"),
        ("ROLLCALL_BOOTSTRAP_TOKEN", &*token),
    ];
    let serving = database.serve(&bootstrap);
    let request = json!({
        "organizationId": serving.organization(&token), "clientId": "c", "clientSecret": "hunter2",
        "issuerUrl": "https://accounts.example.com",
    });
    assert_eq!(
        serving.call("CreateSSOConfiguration", &token, &request).0,
        200
    );

    let (new, url) = (
        printed(&["keys", "generate", "--id", "new"], &[]),
        database.url(),
    );
    let reseal = |keys: &str| {
        output(
            &["keys", "reseal"],
            &[("DATABASE_URL", &url), ("ROLLCALL_ENCRYPTION_KEYS", keys)],
        )
    };
    let lost = reseal(&new);
    assert_eq!(
        lost.status.code(),
        Some(1),
        "the key that sealed is needed once more"
    );
    assert!(String::from_utf8_lossy(&lost.stderr).contains("add the key that sealed it"));
    let wrong = output(
        &["serve"],
        &[
            ("DATABASE_URL", &*url),
            ("ROLLCALL_ENCRYPTION_KEYS", &*new),
            ("ROLLCALL_LISTEN", "127.0.0.1:0"),
        ],
    );
    assert_eq!(wrong.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&wrong.stderr).contains("no key of ROLLCALL_ENCRYPTION_KEYS opens")
    );
    let both = format!("{new},{}", database.key);
    for expected in ["Sealed 1 of 1", "Sealed 0 of 1"] {
        let done = reseal(&both);
        assert!(done.status.success());
        assert!(
            String::from_utf8_lossy(&done.stderr).contains(expected),
            "{expected}"
        );
    }
    assert!(
        String::from_utf8_lossy(&reseal(&new).stderr).contains("Sealed 0 of 1"),
        "the new key alone opens it"
    );
}

/// An organization, an administrator's token of it, and its SSO configuration.
struct Tenant {
    organization: String,
    token: String,
    sso: String,
}

impl Tenant {
    fn new(database: &Database, serving: &Serving, name: &str) -> Self {
        let organization = database.printed(&["organization", "create", "--name", name]);
        let token = database.printed(&["token", "create", "--organization", &organization]);
        let request = json!({
            "organizationId": organization, "clientId": "c", "clientSecret": "hunter2", "displayName": name,
            "issuerUrl": "https://accounts.example.com",
        });
        let (status, created) = serving.call("CreateSSOConfiguration", &token, &request);
        assert_eq!(status, 200, "{created}");
        let sso = created["ssoConfiguration"]["id"].as_str().unwrap();
        Self {
            sso: sso.to_owned(),
            organization,
            token,
        }
    }

    fn state(&self, serving: &Serving) -> String {
        let request = json!({ "organizationId": self.organization });
        let (_, list) = serving.call("ListSSOConfigurations", &self.token, &request);
        let state = list["ssoConfigurations"][0]["state"].as_str().unwrap();
        state.replace("SSO_CONFIGURATION_STATE_", "")
    }
}

#[test]
fn a_lost_key_is_forgotten_and_everything_else_works() {
    let Some(database) = Database::create() else {
        return;
    };
    database.printed(&["migrate"]);
    let lost = printed(&["keys", "generate", "--id", "lost"], &[]);
    let kept = printed(&["keys", "generate", "--id", "kept"], &[]);
    let serve = |keys: &str| database.serve(&[("ROLLCALL_ENCRYPTION_KEYS", keys)]);
    let acme = Tenant::new(&database, &serve(&lost), "Acme");
    let other = Tenant::new(&database, &serve(&format!("{kept},{lost}")), "Other");

    let with_kept = [("ROLLCALL_ENCRYPTION_KEYS", &*kept)];
    let run = |arguments: &[&str]| {
        let output = database.output(arguments, &with_kept);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    for command in [
        &["serve", "--listen", "127.0.0.1:0"][..],
        &["keys", "reseal"],
    ] {
        let (code, _, error) = run(command);
        assert_eq!(code, Some(1), "{error}");
        for words in ["\"lost\"", &acme.sso, "`rollcall keys forget lost`"] {
            assert!(error.contains(words), "{words}: {error}");
        }
        assert_eq!(error.lines().count(), 1, "{error}");
    }

    let (code, out, error) = run(&["keys", "forget", "lots"]);
    assert_eq!((code, &*out), (Some(1), ""), "{error}");
    for words in [
        "\"lots\" sealed no client secret",
        "none is blanked",
        "\"kept\", \"lost\"",
    ] {
        assert!(error.contains(words), "{words}: {error}");
    }
    let (code, out, error) = run(&["keys", "forget", "kept"]);
    assert_eq!((code, &*out), (Some(1), ""), "{error}");
    assert!(error.contains("is in ROLLCALL_ENCRYPTION_KEYS"), "{error}");
    assert!(
        error.contains("remove it from the setting first"),
        "{error}"
    );
    assert!(
        !run(&["keys", "reseal"]).2.contains("Sealed"),
        "nothing is blanked yet"
    );

    let (code, out, error) = run(&["keys", "forget", "lost"]);
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(
        out,
        format!("{}  {}  \"Acme\"\n", acme.organization, acme.sso)
    );
    assert!(error.contains("enters the client secret again"), "{error}");
    assert_eq!(run(&["keys", "forget", "lost"]).0, Some(1), "once");

    let serving = serve(&kept);
    assert_eq!(acme.state(&serving), "INACTIVE");
    assert_eq!(other.state(&serving), "ACTIVE");
    let (code, _, error) = run(&["keys", "reseal"]);
    assert_eq!(code, Some(0), "{error}");
    let server = format!("http://{}", serving.address);
    let ask = |arguments: &[&str]| {
        let settings = [
            ("ROLLCALL_SERVER", &*server),
            ("ROLLCALL_TOKEN", &*acme.token),
        ];
        let output = output(arguments, &settings);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stdout).unwrap()
    };
    let status = ask(&["status"]);
    let line = status
        .lines()
        .find(|line| line.contains(&acme.sso))
        .unwrap();
    assert!(line.starts_with("BAD   SSO"), "{line}");
    assert!(line.contains("enter the client secret again"), "{line}");
    let check = ask(&["sso", "check", &acme.sso]);
    assert!(
        check.contains("BAD   state: the configuration is INACTIVE: enter the client secret again"),
        "{check}"
    );
    let start = format!(
        "/auth/oidc/start?organization={}&configuration={}",
        acme.organization, acme.sso
    );
    let (code, page) = serving.request("GET", &start, "", "");
    assert_eq!(code, 403, "{page}");
    assert!(
        page.contains("has to enter the client secret again"),
        "{page}"
    );

    let request = json!({ "ssoConfigurationId": acme.sso, "clientSecret": "hunter3" });
    let (code, answer) = serving.call("UpdateSSOConfiguration", &acme.token, &request);
    assert_eq!(code, 200, "{answer}");
    assert_eq!(acme.state(&serving), "ACTIVE");

    // What stands in the place of a secret moves with the others from key to key.
    let new = printed(&["keys", "generate", "--id", "new"], &[]);
    let forgotten = database.output(
        &["keys", "forget", "kept"],
        &[("ROLLCALL_ENCRYPTION_KEYS", &new)],
    );
    assert!(forgotten.status.success(), "{forgotten:?}");
    assert_eq!(forgotten.stdout.iter().filter(|&&b| b == b'\n').count(), 2);
    let newer = printed(&["keys", "generate", "--id", "newer"], &[]);
    let both = format!("{newer},{new}");
    let resealed = database.output(&["keys", "reseal"], &[("ROLLCALL_ENCRYPTION_KEYS", &both)]);
    assert!(String::from_utf8_lossy(&resealed.stderr).contains("Sealed 2 of 2"));
    let serving = serve(&newer);
    assert_eq!(acme.state(&serving), "INACTIVE");
    assert_eq!(other.state(&serving), "INACTIVE");
}

#[test]
fn a_database_that_takes_no_writes_is_not_ready() {
    let Some(database) = Database::create() else {
        return;
    };
    database.printed(&["migrate"]);
    let organization = database.printed(&["organization", "create", "--name", "Acme"]);
    let admin = database.printed(&["token", "create", "--organization", &organization]);
    let serving = database.serve(&[]);
    let readyz = || serving.request("GET", "/readyz", "", "");
    let create = || {
        let body = json!({ "organizationId": organization, "domain": "example.com" });
        serving.call("CreateDomainVerification", &admin, &body)
    };
    assert_eq!(readyz(), (200, "ok".to_owned()));

    // As for a server that becomes a standby, all connections end.
    let change = |what: &str| {
        let name = &database.name;
        database.execute(&format!("alter database {name} {what}"));
        database.execute(&format!(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"
        ));
    };
    change("set default_transaction_read_only = on");
    let reason = "the database cannot be written to, because its transactions are read-only";
    assert_eq!(readyz(), (503, reason.to_owned()));
    let (status, answer) = create();
    assert_eq!((status, &answer["code"]), (503, &json!("unavailable")));
    let url = database.url();
    for command in ["serve", "migrate"] {
        let refused = output(
            &[command],
            &[
                ("DATABASE_URL", &url),
                ("ROLLCALL_ENCRYPTION_KEYS", &database.key),
                ("ROLLCALL_LISTEN", "127.0.0.1:0"),
            ],
        );
        let error = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{error}");
        assert!(
            error.contains("cannot be written to") && error.lines().count() == 1,
            "{error}"
        );
    }

    change("reset default_transaction_read_only");
    assert_eq!(readyz(), (200, "ok".to_owned()));
    let (status, answer) = create();
    assert_eq!(status, 200, "{answer}");
}

#[test]
fn tokens_of_operators_are_made_listed_and_revoked_and_the_audit_log_is_exported() {
    let Some(database) = Database::create() else {
        return;
    };
    database.printed(&["migrate"]);
    let organization = database.printed(&["organization", "create", "--name", "Acme"]);
    let create = ["token", "create", "--operator", "--name", "Fleet"];
    let token = database.printed(&create);
    assert!(token.starts_with("rcop_"), "{token}");
    let serving = database.serve(&[]);
    let list = "/rollcall.v1.OrganizationService/ListOrganizations";
    let ask = || serving.request("POST", list, &token, "{}");
    let (status, answer) = ask();
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains(&organization), "{answer}");

    let list = ["token", "list", "--operator", "--json"];
    let tokens: Value = serde_json::from_str(&database.printed(&list)).unwrap();
    assert_eq!(tokens[0]["name"], "Fleet");
    database.printed(&[
        "token",
        "revoke",
        "--operator",
        tokens[0]["id"].as_str().unwrap(),
    ]);
    assert_eq!(ask().0, 401, "at once");
    let both = [
        "token",
        "create",
        "--operator",
        "--organization",
        &organization,
    ];
    assert_eq!(database.output(&both, &[]).status.code(), Some(2));
    assert_eq!(
        database.output(&["token", "create"], &[]).status.code(),
        Some(2)
    );

    // What operators do on the database is in the log of the organization, and a deleted one has it, too.
    let of_organization = ["token", "create", "--organization", &organization];
    let admin = database.printed(&of_organization);
    let request = json!({ "organizationId": organization });
    let (status, answer) = serving.call("DeleteOrganization", &admin, &request);
    assert_eq!(status, 200, "{answer}");
    let export = ["audit", "export", "--organization", &organization];
    let lines = database.printed(&export);
    let actions: Vec<String> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|entry| entry["action"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        actions,
        ["CreateOrganization", "CreateToken", "DeleteOrganization"]
    );
    assert!(!lines.contains("rcapi_") && !lines.contains("argon2"));
    let later = [&export[..], &["--from", "2999-01-01T00:00:00Z"]].concat();
    assert_eq!(database.printed(&later), "");
    assert_eq!(serving.stop("TERM"), Some(0));
}

#[test]
fn a_server_starts_although_the_bootstrap_organization_is_being_removed() {
    let Some(database) = Database::create() else {
        return;
    };
    let token = printed(&["token", "generate"], &[]);
    let bootstrap = [
        ("ROLLCALL_BOOTSTRAP_ORGANIZATION", "Acme"),
        ("ROLLCALL_BOOTSTRAP_TOKEN", &*token),
    ];
    let serving = database.serve(&bootstrap);
    let first = serving.organization(&token);
    let request = json!({ "organizationId": first });
    let (status, answer) = serving.call("DeleteOrganization", &token, &request);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(serving.stop("TERM"), Some(0));
    let serving = database.serve(&bootstrap);
    assert_ne!(serving.organization(&token), first, "a new one");
    assert_eq!(serving.stop("TERM"), Some(0));
}

#[test]
fn a_renamed_organization_is_the_bootstrap_organization_and_no_other_is() {
    let Some(database) = Database::create() else {
        return;
    };
    database.printed(&["migrate"]);
    // The only one is meant, whoever made it.
    let token = printed(&["token", "generate"], &[]);
    let only = database.printed(&["organization", "create", "--name", "Only"]);
    let serving = database.serve(&[
        ("ROLLCALL_BOOTSTRAP_ORGANIZATION", "Only"),
        ("ROLLCALL_BOOTSTRAP_TOKEN", &token),
    ]);
    assert_eq!(serving.organization(&token), only);
    assert_eq!(serving.stop("TERM"), Some(0));
    // One that is older.
    let other = database.printed(&["organization", "create", "--name", "Other"]);
    let of_other = database.printed(&["token", "create", "--organization", &other]);
    let token = printed(&["token", "generate"], &[]);
    let serve = |token: &str| {
        database.serve(&[
            ("ROLLCALL_BOOTSTRAP_ORGANIZATION", "Acme"),
            ("ROLLCALL_BOOTSTRAP_TOKEN", token),
        ])
    };
    let serving = serve(&token);
    let own = serving.organization(&token);
    for (token, id, name) in [(&token, &own, "Renamed"), (&of_other, &other, "Acme")] {
        let request = json!({ "organizationId": id, "name": name });
        let (status, answer) = serving.call("UpdateOrganization", token, &request);
        assert_eq!(status, 200, "{answer}");
    }
    assert_eq!(serving.stop("TERM"), Some(0));
    let serving = serve(&token);
    assert_eq!(serving.organization(&token), own);
    assert_eq!(serving.stop("TERM"), Some(0));
    let new = printed(&["token", "generate"], &[]);
    let serving = serve(&new);
    assert_ne!(serving.organization(&new), other);
    assert_eq!(serving.stop("TERM"), Some(0));
}
