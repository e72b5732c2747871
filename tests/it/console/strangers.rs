//! Whoever has no business at a page of the directory sees nothing there and does nothing.

use serde_json::json;

use super::support::{Visitor, entries, member};
use crate::login::Place;
use crate::support::run;
use crate::support::scim::{Client, path};

/// An organization with one of everything, and all pages and forms about it.
struct Target {
    client: Client,
    pages: Vec<String>,
    forms: Vec<(String, Vec<(&'static str, String)>)>,
}

/// What must not be told to strangers.
const SECRET: &str = "Ada Secret";

impl Target {
    async fn start(place: &Place) -> Self {
        let client = place.provisioning().await;
        let server = client.server.clone();
        let named = json!({ "displayName": SECRET, "active": true, "emails": [{ "value": "ada@demo.example", "primary": true }] });
        let user = client.user("ada@demo.example", named).await;
        assert!(path(&user).starts_with("/Users/"));
        let ada = member(&server, "ada@demo.example").await;
        let ada = ada["userId"].as_str().unwrap().to_owned();
        let group = json!({ "organizationId": server.organization, "name": SECRET });
        let group = server.call_to("GroupService/CreateGroup", group).await.ok();
        let group = group["group"]["id"].as_str().unwrap().to_owned();
        let subject = json!({ "id": ada, "principal": "PRINCIPAL_USER" });
        let membership = json!({ "groupId": group, "subject": subject });
        let membership = server.call_to("GroupService/CreateMembership", membership);
        let membership = membership.await.ok()["member"]["id"].clone();
        let role = json!({
            "groupId": group, "resourceType": "RESOURCE_TYPE_ORGANIZATION", "resourceId": server.organization,
            "resourceRole": "RESOURCE_ROLE_ORG_AUDIT_LOG_READER",
        });
        let role = server.call_to("GroupService/CreateRoleAssignment", role);
        let role = role.await.ok()["assignment"]["id"].clone();
        let log = server
            .call_to("EventService/ListAuditLogs", json!({}))
            .await;
        let entry = log.ok()["entries"][0]["id"].as_str().unwrap().to_owned();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let pages = vec![
            "people".to_owned(),
            format!("people/{ada}"),
            format!("people/{ada}/why"),
            "groups".to_owned(),
            format!("groups/{group}"),
            "audit-log".to_owned(),
            "audit-log.csv".to_owned(),
            format!("audit-log/{entry}"),
            format!("audit-log?about={ada}"),
        ];
        let forms = vec![
            (
                format!("people/{ada}/role"),
                vec![("role", "admin".to_owned())],
            ),
            (
                format!("people/{ada}/suspension"),
                vec![("suspended", "true".to_owned())],
            ),
            (
                format!("people/{ada}/sessions"),
                vec![("session", String::new())],
            ),
            (
                format!("groups/{group}"),
                vec![("name", "Taken".to_owned()), ("description", String::new())],
            ),
            (
                format!("groups/{group}/members"),
                vec![("person", ada.clone())],
            ),
            (
                format!("groups/{group}/members/remove"),
                vec![("id", text(&membership))],
            ),
            (
                format!("groups/{group}/roles"),
                vec![("role", "admin".to_owned())],
            ),
            (
                format!("groups/{group}/roles/remove"),
                vec![("id", text(&role))],
            ),
            (format!("groups/{group}/delete"), vec![]),
            (
                "groups".to_owned(),
                vec![
                    ("name", "New group".to_owned()),
                    ("description", String::new()),
                ],
            ),
        ];
        Self {
            client,
            pages,
            forms,
        }
    }

    /// Asks for every page and sends every form, and makes sure that each answer has one of these statuses and tells nothing.
    async fn refuses(&self, visitor: &mut Visitor<'_>, statuses: &[u16]) {
        let before = entries(&self.client.server).await;
        let mut replies = vec![];
        for page in &self.pages {
            replies.push((page, visitor.get(page).await));
        }
        for (form, fields) in &self.forms {
            let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (*n, &**v)).collect();
            replies.push((form, visitor.post(form, &fields).await));
        }
        for (page, reply) in replies {
            let text = reply.text();
            assert!(
                statuses.contains(&reply.status.as_u16()),
                "{page}: {} {text}",
                reply.status
            );
            for told in [SECRET, "ada@demo.example"] {
                assert!(!text.contains(told), "{page}: {text}");
            }
        }
        assert_eq!(
            entries(&self.client.server).await,
            before,
            "nothing is done"
        );
    }
}

#[test]
fn who_is_not_signed_in_is_asked_to() {
    run(async {
        let place = Place::start().await;
        let target = Target::start(&place).await;
        let mut stranger = Visitor::stranger(&place.server);
        target.refuses(&mut stranger, &[401]).await;
    });
}

#[test]
fn a_member_who_is_no_administrator_sees_and_does_nothing() {
    run(async {
        let place = Place::start().await;
        let target = Target::start(&place).await;
        let (browser, _) = place.signed_in("bob").await;
        let mut member = Visitor::with(browser, &place.server);
        target.refuses(&mut member, &[403]).await;
    });
}

#[test]
fn an_administrator_who_signed_in_sees_what_a_token_sees() {
    run(async {
        let place = Place::start().await;
        let target = Target::start(&place).await;
        let (browser, ada) = place.signed_in("root").await;
        place.make_administrator(&ada).await;
        let mut admin = Visitor::with(browser, &place.server);
        for page in &target.pages {
            admin.see(page).await;
        }
    });
}

#[test]
fn an_administrator_of_another_organization_sees_and_does_nothing() {
    run(async {
        let place = Place::start().await;
        let target = Target::start(&place).await;
        let neighbour = place.server.neighbour().await;
        // In the address of the organization, with a foreign token.
        let mut foreign = Visitor::administrator(&neighbour).await;
        foreign.organization = place.server.organization.clone();
        target.refuses(&mut foreign, &[401, 403]).await;
    });
}

#[test]
fn what_is_another_organizations_is_not_found_in_ones_own() {
    run(async {
        let place = Place::start().await;
        let mut target = Target::start(&place).await;
        let neighbour = place.server.neighbour().await;
        let mut admin = Visitor::administrator(&neighbour).await;
        // Lists are one's own, and a new group is.
        target.pages.retain(|page| page.contains('/'));
        target.forms.retain(|(form, _)| form.contains('/'));
        // A role that goes to a group of another organization, or comes from it, is none.
        target.refuses(&mut admin, &[404]).await;
        let nothing = admin
            .see(&format!("audit-log?about={}", neighbour.organization))
            .await;
        assert!(!nothing.contains(SECRET), "{nothing}");
    });
}

#[test]
fn what_is_another_organizations_is_not_found_from_a_page_of_ones_own() {
    run(async {
        let place = Place::start().await;
        let target = Target::start(&place).await;
        let neighbour = place.server.neighbour().await;
        let mut admin = Visitor::administrator(&neighbour).await;
        admin
            .submit("groups", &[("name", "Mine"), ("description", "")])
            .await;
        let own = neighbour
            .call_to("GroupService/ListGroups", json!({}))
            .await;
        let own = own.ok()["groups"][0]["id"].as_str().unwrap().to_owned();
        let before = entries(&place.server).await;
        for (form, fields) in &target.forms {
            let Some((_, action)) = form
                .split_once("groups/")
                .and_then(|(_, rest)| rest.split_once('/'))
            else {
                continue;
            };
            if !["members", "members/remove", "roles/remove"].contains(&action) {
                continue;
            }
            let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (*n, &**v)).collect();
            let reply = admin.post(&format!("groups/{own}/{action}"), &fields).await;
            let status = reply.status.as_u16();
            assert!(
                [400, 404].contains(&status),
                "{action}: {status} {}",
                reply.text()
            );
            assert!(!reply.text().contains(SECRET), "{action}");
        }
        assert_eq!(entries(&place.server).await, before);
    });
}

#[test]
fn a_form_of_another_site_does_nothing() {
    run(async {
        let place = Place::start().await;
        let target = Target::start(&place).await;
        let mut admin = Visitor::administrator(&place.server).await;
        let before = entries(&place.server).await;
        for (form, fields) in &target.forms {
            let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (*n, &**v)).collect();
            let reply = admin.post_from_elsewhere(form, &fields).await;
            assert_eq!(reply.status, 403, "{form}");
        }
        assert_eq!(entries(&place.server).await, before);
    });
}

#[test]
fn what_is_no_identifier_is_no_page() {
    run(async {
        let place = Place::start().await;
        let mut admin = Visitor::administrator(&place.server).await;
        for page in [
            "people/ada",
            "people/ada/why",
            "groups/board",
            "audit-log/last",
        ] {
            let reply = admin.get(page).await;
            assert_eq!(reply.status, 404, "{page}");
            assert!(reply.text().contains("There is no such page."), "{page}");
        }
    });
}
