//! `rollcall sso`.

use std::io::Write;
use std::process::{Output, Stdio};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::remote::Installation;

/// Tries an expression on what standard input has.
fn try_on(installation: &Installation, expression: &str, claims: &str) -> Output {
    let arguments = ["sso", "try-expression", expression, "--claims", "-"];
    let mut child = installation
        .command(&arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(claims.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn an_expression_is_tried_on_claims() {
    let Some(installation) = Installation::start() else {
        return;
    };
    let claims = r#"{"email": "ada@example.com", "groups": ["staff"]}"#;
    let expression = r#"claims.email.endsWith("@example.com") && "staff" in claims.groups"#;
    let tried = try_on(&installation, expression, claims);
    assert_eq!(tried.status.code(), Some(0));
    assert_eq!(
        stdout(&tried),
        r#"lets in

claims.email.endsWith("@example.com") && "staff" in claims.groups  = true
  claims.email.endsWith("@example.com")  = true
    claims.email  = "ada@example.com"
  "staff" in claims.groups  = true
    claims.groups  = ["staff"]
"#
    );
    assert_eq!(stderr(&tried), "");

    let tried = try_on(
        &installation,
        r#"claims.groups.size() > 0 && "root" in claims.roles"#,
        claims,
    );
    assert_eq!(tried.status.code(), Some(1));
    assert_eq!(
        stdout(&tried),
        r#"keeps out: claims.roles cannot be evaluated: no such key: roles

claims.groups.size() > 0 && "root" in claims.roles  cannot be evaluated: no such key: roles
  claims.groups.size() > 0  = true
    claims.groups.size()  = 1
      claims.groups  = ["staff"]
  "root" in claims.roles  cannot be evaluated: no such key: roles
    claims.roles  cannot be evaluated: no such key: roles
"#
    );
    assert_eq!(stderr(&tried), "");
}

#[test]
fn claims_come_from_a_file_or_a_token_or_nowhere() {
    let Some(installation) = Installation::start() else {
        return;
    };
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(br#"{"admin": true}"#).unwrap();
    let path = file.path().to_str().unwrap();
    let tried = installation.output(&["sso", "try-expression", "claims.admin", "--claims", path]);
    assert_eq!(tried.status.code(), Some(0), "{}", stderr(&tried));

    let payload = URL_SAFE_NO_PAD.encode(r#"{"admin": true}"#);
    let tried = try_on(
        &installation,
        "claims.admin",
        &format!("eyJhbGciOiJub25lIn0.{payload}.c2ln\n"),
    );
    assert_eq!(tried.status.code(), Some(0), "{}", stderr(&tried));
    assert!(stderr(&tried).contains("signature and expiry were not looked at"));

    let tried = installation.output(&["sso", "try-expression", "has(claims.admin)"]);
    assert_eq!(tried.status.code(), Some(1));
    let tried = installation.output(&["sso", "try-expression", ""]);
    assert_eq!(stdout(&tried), "lets in\n");
}

#[test]
fn what_cannot_be_tried_is_one_line_and_exit_code_2() {
    let Some(installation) = Installation::start() else {
        return;
    };
    let array = URL_SAFE_NO_PAD.encode("[]");
    for (expression, claims, expected) in [
        ("claims.", "{}", "expression must be a CEL expression"),
        ("user.admin", "{}", "column 1: this name is not known"),
        ("true", "{\"a\":", "the claims are not JSON"),
        ("true", "", "a JSON object"),
        ("true", "[]", "a JSON object"),
        ("true", "a.b!.c", "a JSON object"),
        ("true", &format!("a.{array}.c"), "a JSON object"),
        ("true", "a.b.c.d.e", "encrypted"),
    ] {
        let tried = try_on(&installation, expression, claims);
        let error = stderr(&tried);
        assert_eq!(
            tried.status.code(),
            Some(2),
            "{expression} {claims}: {error}"
        );
        assert_eq!(stdout(&tried), "");
        let last = error.lines().last().unwrap();
        assert!(
            last.starts_with("error: ") && last.contains(expected),
            "{error}"
        );
    }
    let tried = installation.output(&["sso", "try-expression", "true", "--claims", "/no/such"]);
    assert_eq!(tried.status.code(), Some(2));
    assert!(
        stderr(&tried).contains("--claims: cannot read /no/such"),
        "{}",
        stderr(&tried)
    );
}
