//! Commands that ask a running server, which is really started, whichever database it has.

use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::operators::Database;
use crate::support::process::{Serving, printed, rollcall};
use crate::support::skipped;

/// A started server, and what commands need to ask it.
pub struct Installation {
    // Dropped before its database.
    pub serving: Serving,
    /// An administrator's.
    pub token: String,
    settings: Vec<(&'static str, String)>,
    pub database: Option<Database>,
    _folder: TempDir,
}

impl Installation {
    /// One on a real PostgreSQL, if there is one, or else on the embedded one, if this build has it.
    pub fn start() -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let data = folder.path().to_str().unwrap().to_owned();
        let Some(database) = Database::create_if_there_is_a_server() else {
            if !cfg!(feature = "embedded-postgres") {
                skipped("needs DATABASE_URL");
                return None;
            }
            let settings = [
                ("ROLLCALL_DATA_DIR", &*data),
                ("ROLLCALL_ALLOW_INSECURE_ISSUERS", "true"),
            ];
            let serving = Serving::start(&settings);
            let token = std::fs::read_to_string(folder.path().join("admin-token")).unwrap();
            // The token is where serve left it.
            let more = ("ROLLCALL_DATA_DIR", data);
            let token = token.trim_end().to_owned();
            return Some(Self::of(serving, token, more, None, folder));
        };
        let token = printed(&["token", "generate"], &[]);
        let serving = database.serve(&Self::bootstrap(&token));
        let more = ("ROLLCALL_TOKEN", token.clone());
        Some(Self::of(serving, token, more, Some(database), folder))
    }

    /// How a server on a real PostgreSQL is started.
    fn bootstrap(token: &str) -> [(&str, &str); 3] {
        [
            ("ROLLCALL_BOOTSTRAP_ORGANIZATION", "Acme"),
            ("ROLLCALL_BOOTSTRAP_TOKEN", token),
            ("ROLLCALL_ALLOW_INSECURE_ISSUERS", "true"),
        ]
    }

    fn of(
        serving: Serving,
        token: String,
        more: (&'static str, String),
        database: Option<Database>,
        folder: TempDir,
    ) -> Self {
        let server = format!("http://{}", serving.address);
        Self {
            serving,
            token,
            settings: vec![("ROLLCALL_SERVER", server), more],
            database,
            _folder: folder,
        }
    }

    /// The server is killed, and another one starts in its place; meanwhile, something is done.
    pub fn replace_server(&mut self, meanwhile: impl FnOnce(&Database)) {
        let database = self.database.as_ref().unwrap();
        let address = self.serving.address.clone();
        self.serving.kill();
        meanwhile(database);
        self.serving = database.serve_at(&address, &Self::bootstrap(&self.token));
    }

    /// A command that asks this server.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let settings: Vec<(&str, &str)> = self.settings.iter().map(|(n, v)| (*n, &**v)).collect();
        rollcall(arguments, &settings)
    }

    pub fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What a command prints that ends with this code.
    #[track_caller]
    pub fn prints(&self, arguments: &[&str], code: i32) -> String {
        let output = self.output(arguments);
        let (out, err) = (text(output.stdout), text(output.stderr));
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {out} {err}"
        );
        assert!(!out.contains(&self.token) && !err.contains(&self.token));
        format!("{out}{err}").trim_end().to_owned()
    }

    pub fn json(&self, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--json"]].concat();
        serde_json::from_str(&self.prints(&arguments, 0)).unwrap()
    }

    /// An SSO configuration at a port on which nothing listens, and a SCIM configuration with its token.
    pub fn configurations(&self) -> (String, String, String) {
        let organization = self.serving.organization(&self.token);
        let call = |method: &str, request: Value| {
            let (status, answer) = self.serving.call(method, &self.token, &request);
            assert_eq!(status, 200, "{answer}");
            answer
        };
        let sso = call(
            "CreateSSOConfiguration",
            json!({ "organizationId": organization, "clientId": "c", "clientSecret": "hunter2", "issuerUrl": "http://127.0.0.1:1",
                "displayName": "Example \u{1b}[31maccounts" }),
        );
        let sso = sso["ssoConfiguration"]["id"].as_str().unwrap().to_owned();
        let scim = call(
            "CreateSCIMConfiguration",
            json!({ "organizationId": organization, "ssoConfigurationId": sso, "name": "Okta", "tokenExpiresIn": "864000s" }),
        );
        let id = scim["scimConfiguration"]["id"].as_str().unwrap();
        (
            sso,
            id.to_owned(),
            scim["token"].as_str().unwrap().to_owned(),
        )
    }

    /// Pushes a user, and returns the status.
    pub fn push(&self, scim_token: &str, user_name: &str) -> u16 {
        let schema = "urn:ietf:params:scim:schemas:core:2.0:User";
        let user = json!({ "schemas": [schema], "userName": user_name, "externalId": user_name, "active": true });
        let request = self
            .serving
            .request("POST", "/scim/v2/Users", scim_token, &user.to_string());
        request.0
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn events_of_provisioning_are_printed() {
    let Some(installation) = Installation::start() else {
        return;
    };
    let (_, scim, scim_token) = installation.configurations();
    assert_eq!(installation.push(&scim_token, "ada@example.com"), 201);
    assert_eq!(installation.push(&scim_token, "ada@example.com"), 409);

    let printed = installation.prints(&["scim", "events"], 0);
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), 2, "{printed}");
    assert!(lines[0].contains("POST /Users  409 refused"), "{printed}");
    assert!(lines[1].contains("POST /Users  201 created"), "{printed}");
    assert!(
        lines[1].contains("userName: none → \"ada@example.com\""),
        "{printed}"
    );
    let failed = installation.prints(&["scim", "events", "--configuration", &scim, "--failed"], 0);
    assert_eq!(failed, lines[0]);
    let one = installation.json(&["scim", "events", "--limit", "1"]);
    assert_eq!(one.as_array().unwrap().len(), 1);
    assert_eq!(
        (&one[0]["outcome"], &one[0]["status"]),
        (&json!("refused"), &json!(409))
    );
    assert_eq!(one[0]["changes"], Value::Null);
    let all = installation.json(&["scim", "events"]);
    let resource = all[1]["resourceId"].as_str().unwrap();
    let hers = installation.json(&["scim", "events", "--resource", resource]);
    assert_eq!(hers, json!([all[1]]));
    let name = all[1]["changes"].as_array().unwrap().iter();
    let name = name
        .clone()
        .find(|change| change["attribute"] == "userName");
    assert_eq!(
        name,
        Some(&json!({ "attribute": "userName", "new": "ada@example.com" }))
    );

    // More than a page.
    for number in 0..101 {
        installation.push(&scim_token, &format!("user{number}@example.com"));
    }
    let many = installation.json(&["scim", "events", "--limit", "102"]);
    assert_eq!(many.as_array().unwrap().len(), 102);

    let nobody = [
        "scim",
        "events",
        "--configuration",
        "0190a6e0-1c2b-7def-8123-456789abcdef",
    ];
    let error = installation.prints(&nobody, 1);
    assert_eq!(
        error,
        "error: no such SCIM configuration in this organization"
    );
}

#[test]
fn a_configuration_in_which_nobody_could_sign_in_is_told() {
    let Some(installation) = Installation::start() else {
        return;
    };
    let (sso, ..) = installation.configurations();
    let checked = installation.prints(&["sso", "check", &sso], 1);
    let lines: Vec<&str> = checked.lines().collect();
    assert!(lines[0].ends_with(&format!("({sso})")), "{checked}");
    assert!(!checked.contains('\u{1b}'), "no orders to the terminal");
    assert!(
        lines[1].starts_with("ok    redirect URI: register http://"),
        "{checked}"
    );
    assert!(lines[2].starts_with("ok    state: active"), "{checked}");
    assert!(checked.contains("BAD   provider: "), "{checked}");
    let link = format!(
        "      link: http://{}/auth/oidc/start?organization={}&configuration={sso}",
        installation.serving.address,
        installation.serving.organization(&installation.token),
    );
    assert_eq!(lines.last(), Some(&&*link));
    let nobody = ["sso", "check", "0190a6e0-1c2b-7def-8123-456789abcdef"];
    let error = installation.prints(&nobody, 1);
    assert_eq!(
        error,
        "error: no such SSO configuration in this organization"
    );
}

#[test]
fn tries_to_sign_in_are_printed() {
    let Some(installation) = Installation::start() else {
        return;
    };
    let (sso, ..) = installation.configurations();
    assert_eq!(installation.prints(&["sso", "attempts"], 0), "");
    let organization = installation.serving.organization(&installation.token);
    let start = format!("/auth/oidc/start?organization={organization}&configuration={sso}");
    let (_, page) = installation.serving.request("GET", &start, "", "");
    let reference = crate::login::reference(&page).unwrap().to_string();
    let of_her = ["sso", "attempts", "--reference", &reference];
    let printed = installation.prints(&of_her, 0);
    assert!(
        printed.contains(&format!("{reference}  nobody known  refused (provider)  ")),
        "{printed}"
    );
    let refused = [
        "sso",
        "attempts",
        "--configuration",
        &sso,
        "--refused",
        "--limit",
        "1",
    ];
    let found = installation.json(&refused);
    assert_eq!(found.as_array().unwrap().len(), 1);
    assert_eq!(found[0]["id"], reference);
    assert_eq!(
        (&found[0]["outcome"], &found[0]["email"]),
        (&json!("refused"), &Value::Null)
    );
    let mistyped = [
        "sso",
        "attempts",
        "--reference",
        "0190a6e0-1c2b-7def-8123-456789abcdef",
    ];
    let error = installation.prints(&mistyped, 1);
    assert!(
        error.starts_with("error: no try to sign in has the reference 0190a6e0-"),
        "{error}"
    );
}

#[test]
fn sessions_of_a_member_are_listed_and_ended() {
    let Some(installation) = Installation::start() else {
        return;
    };
    let (_, _, scim_token) = installation.configurations();
    installation.push(&scim_token, "ada@example.com");
    let organization = installation.serving.organization(&installation.token);
    let request = json!({ "organizationId": organization });
    let (_, members) = installation
        .serving
        .call("ListMembers", &installation.token, &request);
    let ada = members["members"][0]["userId"].as_str().unwrap();
    assert_eq!(
        installation.prints(&["session", "list", "--user", ada], 0),
        ""
    );
    assert_eq!(
        installation.json(&["session", "list", "--user", ada]),
        json!([])
    );
    assert_eq!(
        installation.prints(&["session", "end", "--user", ada], 0),
        "0 ended"
    );
    for command in ["list", "end"] {
        let nobody = [
            "session",
            command,
            "--user",
            "0190a6e0-1c2b-7def-8123-456789abcdef",
        ];
        let error = installation.prints(&nobody, 1);
        assert_eq!(error, "error: no such member of this organization");
    }
}

#[test]
fn applications_are_made_changed_and_deleted() {
    let Some(installation) = Installation::start() else {
        return;
    };
    let organization = installation.serving.organization(&installation.token);
    let wiki = [
        "application",
        "create",
        "--name",
        "Wiki \u{1b}[31m",
        "--redirect-uri",
        "https://wiki.example.com/callback",
        "--redirect-uri",
        "http://127.0.0.1/callback",
        "--post-logout-redirect-uri",
        "https://wiki.example.com/",
        "--authentication",
        "client_secret_post",
        "--scope",
        "openid",
        "--scope",
        "offline_access",
        "--id-token-signature",
        "EdDSA",
        "--no-pkce",
        "--access-token-lifetime",
        "2m",
    ];
    let printed = installation.prints(&wiki, 0);
    for line in [
        &*format!("organization          {organization}"),
        "redirect URI          https://wiki.example.com/callback",
        "redirect URI          http://127.0.0.1/callback",
        "authentication        client_secret_post",
        "PKCE required         false",
        "scope                 offline_access",
        "ID token signed with  EdDSA",
        "access token lives    120s",
        "client secret         rcapps_",
        "The secret is shown this once: ",
    ] {
        assert!(printed.contains(line), "{line}: {printed}");
    }
    assert!(!printed.contains('\u{1b}'), "no orders to the terminal");
    let listed = installation.json(&["application", "list"]);
    let id = listed[0]["id"].as_str().unwrap();
    assert_eq!(listed[1], Value::Null);
    let line = installation.prints(&["application", "list"], 0);
    assert!(line.starts_with(&format!("{id}  rcapp_")), "{line}");

    let update = [
        "application",
        "update",
        id,
        "--name",
        "Handbook",
        "--require-pkce",
        "true",
        "--post-logout-redirect-uri",
        "",
        "--redirect-uri",
        "https://handbook.example.com/",
    ];
    installation.prints(&update, 0);
    let shown = &installation.json(&["application", "get", id])["application"];
    assert_eq!(shown["name"], "Handbook");
    assert_eq!(shown["requirePkce"], true);
    assert_eq!(
        shown["redirectUris"],
        json!(["https://handbook.example.com/"])
    );
    assert_eq!(shown.get("postLogoutRedirectUris"), None);
    assert_eq!(
        shown["scopes"],
        json!(["SCOPE_OPENID", "SCOPE_OFFLINE_ACCESS"])
    );

    let rotated = installation.prints(&["application", "rotate-secret", id], 0);
    assert!(rotated.starts_with("rcapps_"), "{rotated}");
    assert!(
        rotated.contains("The secret before has ended."),
        "{rotated}"
    );
    let keep = [
        "application",
        "rotate-secret",
        id,
        "--keep-previous-for",
        "7d",
    ];
    let rotated = installation.prints(&keep, 0);
    assert!(rotated.contains("goes on working until 20"), "{rotated}");

    let public = ["application", "update", id, "--authentication", "none"];
    installation.prints(&public, 0);
    let error = installation.prints(&["application", "rotate-secret", id], 1);
    assert!(
        error.starts_with("error: this application has no secret: "),
        "{error}"
    );
    let deleted = installation.prints(&["application", "delete", id], 0);
    assert_eq!(deleted, format!("{id} deleted"));
    let error = installation.prints(&["application", "get", id], 1);
    assert_eq!(error, "error: no such application");
}

#[test]
fn an_application_that_breaks_a_rule_is_not_made() {
    let Some(installation) = Installation::start() else {
        return;
    };
    let wiki = ["application", "create", "--name", "Wiki"];
    let create = |more: &[&str]| installation.prints(&[&wiki, more].concat(), 2);
    let error = create(&[]);
    assert!(
        error.starts_with("error: redirect_uris must have at least one URI"),
        "{error}"
    );
    let error = create(&["--scope", "everything"]);
    assert!(error.contains("openid or profile or"), "{error}");
    let error = create(&["--jwks", "/nonexistent/keys.json"]);
    assert!(
        error.contains("--jwks: cannot read /nonexistent/keys.json"),
        "{error}"
    );
    let error = create(&[
        "--redirect-uri",
        "http://wiki.example.com/",
        "--access-token-lifetime",
        "2h",
    ]);
    assert_eq!(
        error,
        "error: access_token_lifetime must be from 60s to 3600s"
    );
    // Only an operator names an organization that is not the token's.
    let elsewhere = ["--organization", "0190a6e0-1c2b-7def-8123-456789abcdef"];
    let error = installation.prints(&[&["application", "list"], &elsewhere[..]].concat(), 1);
    assert!(error.contains("another organization"), "{error}");
    assert_eq!(installation.prints(&["application", "list"], 0), "");
}

#[test]
fn the_status_is_one_screen() {
    let Some(installation) = Installation::start() else {
        return;
    };
    let (sso, scim, scim_token) = installation.configurations();
    installation.push(&scim_token, "ada@example.com");
    let printed = installation.prints(&["status"], 0);
    let start = format!("Rollcall {} at http://", env!("CARGO_PKG_VERSION"));
    assert!(printed.starts_with(&start), "{printed}");
    for line in [
        "ok    database  PostgreSQL ",
        "ok    schema    version ",
        "ok    sign-ins  0 signed in, 0 refused in the last hour",
        "look  tokens    the next to end is the SCIM token \"Okta\", ",
        &format!("ok    SCIM      \"Okta\" ({scim}), enabled, 1 user"),
        "                last sync     ",
    ] {
        assert!(
            printed.contains(&format!("\n{line}")),
            "{line:?} in {printed}"
        );
    }
    assert!(printed.contains(&format!("({sso}), active")), "{printed}");
    assert!(
        !printed.contains("last refusal") && !printed.contains('\u{1b}'),
        "{printed}"
    );

    installation.push(&scim_token, "ada@example.com");
    let printed = installation.prints(&["status"], 0);
    let refused = printed
        .lines()
        .find(|line| line.contains("last refusal"))
        .unwrap();
    assert!(
        refused.starts_with("look") && refused.contains("POST /Users 409: "),
        "nothing has worked since: {printed}"
    );
    assert_eq!(installation.json(&["status"])["database"]["writable"], true);
}

#[test]
fn what_does_not_work_is_bad_and_the_exit_code_says_so() {
    let Some(installation) = Installation::start() else {
        return;
    };
    let Some(database) = &installation.database else {
        return;
    };
    let (_, scim, _) = installation.configurations();
    database
        .execute_in("update scim_configurations set token_expires_at = now() - interval '2 days'");
    let printed = installation.prints(&["status"], 1);
    let line = printed.lines().find(|line| line.contains(&*scim)).unwrap();
    assert!(
        line.starts_with("BAD   SCIM") && line.contains("TOKEN EXPIRED"),
        "{printed}"
    );
    assert!(line.contains("(2 days ago)"), "{printed}");
    assert!(printed.contains("ok    tokens    none ends"), "{printed}");
}

#[test]
fn a_token_that_the_server_does_not_take_is_told_with_its_place() {
    let Some(installation) = Installation::start() else {
        return;
    };
    let other = printed(&["token", "generate"], &[]);
    let refused = installation
        .command(&["status", "--token", &other])
        .output()
        .unwrap();
    let error = text(refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{error}");
    assert!(
        error.contains("does not take the token of ROLLCALL_TOKEN"),
        "{error}"
    );
    assert!(!error.contains(&other), "{error}");
}

#[test]
fn set_up_links_are_made_listed_and_revoked() {
    let Some(installation) = Installation::start() else {
        return;
    };
    let printed = installation.prints(
        &[
            "setup-link",
            "create",
            "--permission",
            "sso",
            "--permission",
            "domains",
            "--description",
            "Acme IT",
            "--expires-in",
            "3d",
        ],
        0,
    );
    let lines: Vec<&str> = printed.lines().collect();
    let id = lines[0].split(' ').next().unwrap();
    assert!(lines[0].contains("sso,domains"), "{printed}");
    assert!(lines[0].ends_with("never used  Acme IT"), "{printed}");
    let (_, token) = lines[1].split_once("/setup/").unwrap();
    let path = "rollcall.v1.SetupLinkService/GetSetupLink";
    let (status, own) = installation
        .serving
        .request("POST", &format!("/{path}"), token, "{}");
    assert_eq!(status, 200, "{own}");

    let listed = installation.prints(&["setup-link", "list"], 0);
    assert!(
        listed.starts_with(id) && listed.contains("last used at"),
        "{listed}"
    );
    assert!(!listed.contains("rcsetup"), "{listed}");
    assert_eq!(
        installation.prints(&["setup-link", "revoke", id], 0),
        format!("{id} revoked")
    );
    assert_eq!(installation.prints(&["setup-link", "list"], 0), "");
    let all = installation.prints(&["setup-link", "list", "--all"], 0);
    assert!(all.contains("revoked at"), "{all}");
    let wrong = ["setup-link", "create", "--permission", "everything"];
    let error = installation.prints(&wrong, 2);
    assert!(error.contains("sso or scim or domains"), "{error}");
}
