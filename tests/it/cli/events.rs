//! `rollcall events`, of a server that is really started.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::remote::Installation;

/// A command that goes on until it is stopped.
struct Tail {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
    remarks: Lines<BufReader<ChildStderr>>,
}

impl Tail {
    fn start(installation: &Installation, more: &[&str]) -> Self {
        let mut child = installation
            .command(&[&["events", "tail"], more].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        let remarks = BufReader::new(child.stderr.take().unwrap()).lines();
        Self {
            child,
            output,
            remarks,
        }
    }

    #[track_caller]
    fn line(&mut self) -> String {
        match self.output.next() {
            Some(line) => line.unwrap(),
            None => panic!("it ended: {:?}", self.remarks.next()),
        }
    }

    fn remark(&mut self) -> String {
        self.remarks.next().expect("it goes on").unwrap()
    }

    /// Stops it as somebody at a terminal does, and tells the cursor.
    fn stop(mut self) -> String {
        let pid = self.child.id().to_string();
        let mut kill = Command::new("kill");
        assert!(kill.args(["-s", "INT", &pid]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
        let last = self.remarks.by_ref().last().unwrap().unwrap();
        last.strip_prefix("cursor: ").unwrap().to_owned()
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `events list` prints, and the cursor behind it.
#[track_caller]
fn listed(installation: &Installation, more: &[&str]) -> (Vec<String>, String) {
    let printed = installation.prints(&[&["events", "list"], more].concat(), 0);
    let mut lines: Vec<String> = printed.lines().map(ToOwned::to_owned).collect();
    let last = lines.pop().unwrap();
    (lines, last.strip_prefix("cursor: ").unwrap().to_owned())
}

#[test]
fn what_happened_is_printed() {
    let Some(installation) = Installation::start() else {
        return;
    };
    let (sso, scim, scim_token) = installation.configurations();
    let (before, cursor) = listed(&installation, &[]);
    assert_eq!(installation.push(&scim_token, "ada@example.com"), 201);
    assert!(
        before
            .iter()
            .any(|line| line.contains(&format!("  sso_configuration.created  {sso}  "))),
        "{before:?}"
    );
    assert!(!before.concat().contains('\u{1b}'), "{before:?}");

    let (lines, end) = listed(&installation, &["--cursor", &cursor]);
    let [line] = &*lines else {
        panic!("{lines:?}");
    };
    let organization = installation.serving.organization(&installation.token);
    let request = json!({ "organizationId": organization });
    let (_, members) = installation
        .serving
        .call("ListMembers", &installation.token, &request);
    let ada = members["members"][0]["userId"].as_str().unwrap();
    let expected =
        format!("  member.created  {ada}  \"ada@example.com\"  by scim_configuration {scim}");
    assert!(line.ends_with(&expected), "{line}");
    assert!(listed(&installation, &["--cursor", &end]).0.is_empty());

    let (lines, _) = listed(&installation, &["--json", "--subject", ada]);
    let [line] = &*lines else {
        panic!("{lines:?}");
    };
    let event: Value = serde_json::from_str(line).unwrap();
    assert_eq!(event["type"], "member.created");
    assert_eq!(event["organizationId"], *organization);
    assert_eq!(event["data"]["email"], "ada@example.com");
    assert_eq!(
        event["actor"],
        json!({ "type": "scim_configuration", "id": scim })
    );

    let both = [
        "--type",
        "member.created",
        "--type",
        "scim_configuration.created",
    ];
    assert_eq!(listed(&installation, &both).0.len(), 2);
    let count = |more: &[&str]| listed(&installation, more).0.len();
    assert_eq!(count(&["--since", "1h"]), before.len() + 1);
    assert_eq!(count(&["--since", "2099-01-01T00:00:00Z"]), 0);
    assert_eq!(count(&["--limit", "1"]), 1);
}

#[test]
fn what_cannot_be_printed_is_told() {
    let Some(installation) = Installation::start() else {
        return;
    };
    for command in ["list", "tail"] {
        let ask =
            |more: &[&str], code| installation.prints(&[&["events", command], more].concat(), code);
        let error = ask(&["--since", "yesterday"], 2);
        assert!(
            error.contains("must be how long ago, such as 1h or 7d"),
            "{error}"
        );
        let error = ask(&["--cursor", "none"], 2);
        assert!(
            error.starts_with("error: cursor must be the cursor of an answer"),
            "{error}"
        );
        let both = ask(&["--cursor", "none", "--since", "1h"], 2);
        assert!(both.contains("cannot be used with"), "{both}");
        // {"s": 0, "t": 0}: of 1970.
        let error = ask(&["--cursor", "eyJzIjowLCJ0IjowfQ"], 1);
        assert!(
            error.starts_with("error: the cursor is too old: "),
            "{error}"
        );
    }
}

#[test]
fn what_happens_is_printed_as_it_happens_also_by_a_server_that_comes_back() {
    let Some(mut installation) = Installation::start() else {
        return;
    };
    let (_, _, scim_token) = installation.configurations();
    installation.push(&scim_token, "before@example.com");
    let mut tail = Tail::start(&installation, &["--json", "--type", "member.created"]);
    // It begins at a moment that only it knows.
    let mut number = 0;
    let (sender, first) = std::sync::mpsc::channel();
    let event = std::thread::scope(|scope| {
        scope.spawn(|| sender.send(tail.line()).unwrap());
        loop {
            number += 1;
            installation.push(&scim_token, &format!("{number}@example.com"));
            if let Ok(line) = first.try_recv() {
                break line;
            }
        }
    });
    assert!(!event.contains("before@example.com"), "{event}");
    let event: Value = serde_json::from_str(&event).unwrap();
    let of = |event: &Value| -> u32 {
        let email = event["data"]["email"].as_str().unwrap();
        email.strip_suffix("@example.com").unwrap().parse().unwrap()
    };
    // All of them from then on, each once and in order.
    let mut seen = of(&event);
    while seen < number {
        let event: Value = serde_json::from_str(&tail.line()).unwrap();
        assert_eq!(of(&event), seen + 1);
        seen += 1;
    }
    if installation.database.is_none() {
        return;
    }

    installation.replace_server(|_| {
        let remark = tail.remark();
        assert!(
            remark.starts_with("no server answers at ") && remark.ends_with("; it is asked again"),
            "{remark}"
        );
    });
    number += 1;
    installation.push(&scim_token, &format!("{number}@example.com"));
    let event: Value = serde_json::from_str(&tail.line()).unwrap();
    assert_eq!(of(&event), number);
    assert_eq!(tail.remark(), "the server answers again");

    let cursor = tail.stop();
    number += 1;
    installation.push(&scim_token, &format!("{number}@example.com"));
    let mut tail = Tail::start(&installation, &["--json", "--cursor", &cursor]);
    let event: Value = serde_json::from_str(&tail.line()).unwrap();
    assert_eq!(of(&event), number, "a later one goes on where this one was");
}

#[test]
fn an_operator_sees_the_events_of_all_organizations_or_of_one() {
    let Some(installation) = Installation::start() else {
        return;
    };
    let Some(database) = &installation.database else {
        return;
    };
    installation.configurations();
    let organization = installation.serving.organization(&installation.token);
    let operator = database.printed(&["token", "create", "--operator"]);
    let create = "/gitpod.v1.OrganizationService/CreateOrganization";
    let request = json!({ "name": "Second" }).to_string();
    let (status, made) = installation
        .serving
        .request("POST", create, &operator, &request);
    assert_eq!(status, 200, "{made}");
    let as_operator = ["--token", &*operator, "--json"];
    let organizations = |more: &[&str]| {
        let (lines, _) = listed(&installation, &[&as_operator, more].concat());
        let event = |line: &String| serde_json::from_str::<Value>(line).unwrap();
        let of: std::collections::BTreeSet<String> = lines
            .iter()
            .map(|line| event(line)["organizationId"].to_string())
            .collect();
        of
    };
    assert_eq!(organizations(&[]).len(), 2);
    let one = organizations(&["--organization", &organization]);
    assert_eq!(
        one.into_iter().collect::<Vec<_>>(),
        [json!(organization).to_string()]
    );
}
