//! The pages of the audit log, and its export.

use http::{Request, header};
use serde_json::json;

use super::support::{Visitor, link, member};
use crate::support::scim::Client;
use crate::support::{Server, run};

async fn make_group(server: &Server, name: &str) {
    let request = json!({ "organizationId": server.organization, "name": name });
    let made = server.call_to("GroupService/CreateGroup", request).await;
    made.ok();
}

#[test]
fn the_log_is_filtered_by_who_what_and_when() {
    run(async {
        let c = Client::start().await;
        c.push("ada@demo.example").await;
        make_group(&c.server, "Board").await;
        let mut admin = Visitor::administrator(&c.server).await;
        let all = admin.see("audit-log").await;
        for told in [
            "added the person",
            "created a group",
            "created a SCIM configuration",
        ] {
            assert!(all.contains(told), "{told}: {all}");
        }
        let ada = member(&c.server, "ada@demo.example").await;
        let ada = ada["userId"].as_str().unwrap();
        let today = c.server.now().format("%Y-%m-%d");
        for (query, told, untold) in [
            (
                "kind=group".to_owned(),
                "created a group",
                "added the person",
            ),
            (
                "acting=other".to_owned(),
                "added the person",
                "created a group",
            ),
            (
                "acting=account".to_owned(),
                "created a group",
                "added the person",
            ),
            (
                "about=ADA@demo.example".to_owned(),
                "added the person",
                "created a group",
            ),
            (
                format!("about={ada}"),
                "added the person",
                "created a group",
            ),
            (
                format!("since={today}&until={today}"),
                "created a group",
                "Nothing matches",
            ),
            (
                "until=2020-01-01".to_owned(),
                "Nothing matches",
                "created a group",
            ),
            (format!("who={ada}"), "Nothing matches", "created a group"),
        ] {
            let page = admin.see(&format!("audit-log?{query}")).await;
            assert!(page.contains(told), "{query}: {page}");
            assert!(!page.contains(untold), "{query}: {page}");
        }
        for (field, text) in [
            ("who", "bob@demo.example"),
            ("since", "tomorrow"),
            ("until", "2026-02-30"),
        ] {
            for page in ["audit-log", "audit-log.csv"] {
                let reply = admin.get(&format!("{page}?{field}={text}")).await;
                assert_eq!(reply.status, 400, "{field}");
                let said = reply.text();
                assert!(said.contains(&format!("id=\"{field}-problem\"")), "{said}");
                assert!(said.contains(&format!("value=\"{text}\"")), "{said}");
            }
        }
    });
}

#[test]
fn an_entry_shows_before_and_after() {
    run(async {
        let server = Server::start().await;
        let mut admin = Visitor::administrator(&server).await;
        let path = format!("/console/{}", server.organization);
        admin
            .submit("groups", &[("name", "Board"), ("description", "")])
            .await;
        let group = link(&admin.see("groups").await, "Board");
        let group = group.strip_prefix(&format!("{path}/")).unwrap().to_owned();
        admin
            .submit(&group, &[("name", "The board"), ("description", "")])
            .await;
        let log = admin.see("audit-log?kind=group").await;
        let entry = link(&log, "Open the entry");
        let page = admin.browser.get(&entry).await.text();
        let change = "Name: <del>Board</del> → <ins>The board</ins>";
        assert!(page.contains(change), "{page}");
        assert!(page.contains("changed the group"), "{page}");
        // The script asks for this part alone.
        let request =
            Request::get(format!("{entry}?part=changes")).header("rollcall-fragment", "1");
        let part = admin.browser.send(request, "".into()).await.text();
        assert!(part.contains(change), "{part}");
        assert!(!part.contains("<html"), "{part}");
        assert!(
            log.contains(&format!("data-load=\"{entry}?part=changes\"")),
            "{log}"
        );
    });
}

#[test]
fn the_export_has_every_entry_and_no_formula() {
    run(async {
        let c = Client::start().await;
        let formula = "=HYPERLINK(\"https://evil.example\")";
        let named = json!({ "displayName": formula, "emails": [{ "value": "m@demo.example", "primary": true }] });
        c.user("m@demo.example", named).await;
        for number in 0..105 {
            make_group(&c.server, &format!("Group {number}")).await;
        }
        let mut admin = Visitor::administrator(&c.server).await;
        let reply = admin.get("audit-log.csv?kind=group").await;
        assert_eq!(reply.status, 200);
        assert_eq!(
            reply.headers[header::CONTENT_TYPE],
            "text/csv; charset=utf-8"
        );
        let disposition = reply.headers[header::CONTENT_DISPOSITION].to_str().unwrap();
        assert!(disposition.starts_with("attachment"), "{disposition}");
        let text = reply.text();
        let lines: Vec<&str> = text.split_terminator("\r\n").collect();
        assert_eq!(lines.len(), 106, "a heading and an entry each");
        assert!(lines[0].starts_with("\"time\",\"who\""), "{}", lines[0]);
        assert!(lines[1].contains("\"Group 104\""), "{}", lines[1]);
        assert!(lines[105].contains("\"Group 0\""), "{}", lines[105]);
        let people = admin.get("audit-log.csv?kind=person").await.text();
        let cell = "\"'=HYPERLINK(\"\"https://evil.example\"\")\"";
        assert!(people.contains(cell), "{people}");
    });
}
