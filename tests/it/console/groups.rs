//! The pages of groups.

use serde_json::{Value, json};

use super::support::{Visitor, link};
use crate::support::scim::Client;
use crate::support::{Server, run};

async fn groups(server: &Server) -> Vec<Value> {
    let found = server.call_to("GroupService/ListGroups", json!({})).await;
    found.ok()["groups"].as_array().cloned().unwrap_or_default()
}

async fn memberships(server: &Server, group: &str) -> Vec<Value> {
    let request = json!({ "groupId": group });
    let found = server.call_to("GroupService/ListMemberships", request);
    let found = found.await.ok();
    found["members"].as_array().cloned().unwrap_or_default()
}

/// The value of the first button with this name.
fn button(page: &str, path: &str) -> String {
    let (_, form) = page.split_once(path).unwrap();
    let (_, rest) = form.split_once("name=\"id\" value=\"").unwrap();
    rest.split_once('"').unwrap().0.to_owned()
}

#[test]
fn a_group_is_made_changed_and_deleted() {
    run(async {
        let server = Server::start().await;
        let mut admin = Visitor::administrator(&server).await;
        let page = admin.see("groups").await;
        assert!(page.contains("No groups yet"), "{page}");
        let written = [("name", " Board "), ("description", "Who decides")];
        let page = admin.submit("groups", &written).await;
        assert!(page.contains("The group is made."), "{page}");
        let made = groups(&server).await.remove(0);
        assert_eq!(
            (&made["name"], &made["description"]),
            (&json!("Board"), &json!("Who decides"))
        );
        let group = format!("groups/{}", made["id"].as_str().unwrap());
        let page = admin
            .submit(&group, &[("name", "The board"), ("description", "")])
            .await;
        assert!(page.contains("The group is changed."), "{page}");
        assert_eq!(groups(&server).await[0]["name"], "The board");
        // What is refused is told at the form, and nothing is lost.
        for form in ["groups", &group] {
            let reply = admin
                .post(form, &[("name", "ab"), ("description", "Kept")])
                .await;
            assert_eq!(reply.status, 400, "{form}");
            let said = reply.text();
            assert!(said.contains("value=\"ab\""), "{said}");
            assert!(said.contains("value=\"Kept\""), "{said}");
            assert!(said.contains("id=\"name-problem\""), "{said}");
        }
        assert_eq!(groups(&server).await.len(), 1);
        let page = admin.submit(&format!("{group}/delete"), &[]).await;
        assert!(page.contains("The group is deleted."), "{page}");
        assert!(groups(&server).await.is_empty());
    });
}

#[test]
fn groups_are_searched_and_filtered() {
    run(async {
        let c = Client::start().await;
        c.group("Engineering", &[]).await;
        let mut admin = Visitor::administrator(&c.server).await;
        admin
            .submit("groups", &[("name", "Board"), ("description", "")])
            .await;
        for (query, shown, left_out) in [
            ("search=eng", "Engineering", "Board"),
            ("kind=pushed", "Engineering", "Board"),
            ("kind=here", "Board", "Engineering"),
        ] {
            let page = admin.see(&format!("groups?{query}")).await;
            assert!(page.contains(&format!(">{shown}</a>")), "{query}: {page}");
            assert!(!page.contains(left_out), "{query}: {page}");
        }
        let page = admin.see("groups?search=nothing").await;
        assert!(page.contains("No group matches"), "{page}");
    });
}

#[test]
fn people_are_put_into_a_group_and_taken_out() {
    run(async {
        let c = Client::start().await;
        let server = &*c.server;
        c.push("ada@demo.example").await;
        let mut admin = Visitor::administrator(server).await;
        admin
            .submit("groups", &[("name", "Board"), ("description", "")])
            .await;
        let id = groups(server).await[0]["id"].as_str().unwrap().to_owned();
        let (page, form) = (format!("groups/{id}"), format!("groups/{id}/members"));
        for nobody in ["bob@demo.example", "", &id] {
            let reply = admin.post(&form, &[("person", nobody)]).await;
            assert_eq!(reply.status, 400, "{nobody}");
            let said = reply.text();
            assert!(said.contains("id=\"person-problem\""), "{said}");
            assert!(said.contains(&format!("value=\"{nobody}\"")), "{said}");
        }
        let shown = admin.submit(&form, &[("person", "ADA@demo.example")]).await;
        assert!(shown.contains("The person is in the group now."), "{shown}");
        assert_eq!(memberships(server, &id).await.len(), 1);
        assert!(link(&shown, "Pushed").contains("/people/"), "{shown}");
        let again = admin.post(&form, &[("person", "ada@demo.example")]).await;
        assert_eq!(again.status, 400);
        assert!(again.text().contains("in the group already"));
        let found = admin.see(&format!("{page}?search=zzz")).await;
        assert!(
            found.contains("Nobody in this group has such a name"),
            "{found}"
        );
        let membership = button(&shown, "/members/remove\"");
        let shown = admin
            .submit(&format!("{form}/remove"), &[("id", &membership)])
            .await;
        assert!(shown.contains("Nobody is in this group."), "{shown}");
        assert!(memberships(server, &id).await.is_empty());
    });
}

#[test]
fn a_group_gives_roles() {
    run(async {
        let server = Server::start().await;
        let mut admin = Visitor::administrator(&server).await;
        admin
            .submit("groups", &[("name", "Auditors"), ("description", "")])
            .await;
        let id = groups(&server).await[0]["id"].as_str().unwrap().to_owned();
        let form = format!("groups/{id}/roles");
        let given = || async {
            let request = json!({ "filter": { "groupId": id } });
            let found = server.call_to("GroupService/ListRoleAssignments", request);
            let found = found.await.ok();
            found["assignments"].as_array().map_or(0, Vec::len)
        };
        let page = admin.submit(&form, &[("role", "audit")]).await;
        assert!(page.contains("has the role now"), "{page}");
        assert_eq!(given().await, 1);
        assert_eq!(admin.post(&form, &[("role", "audit")]).await.status, 400);
        assert_eq!(admin.post(&form, &[("role", "king")]).await.status, 400);
        assert_eq!(given().await, 1);
        let role = button(&page, "/roles/remove\"");
        let page = admin
            .submit(&format!("{form}/remove"), &[("id", &role)])
            .await;
        assert!(page.contains("The group gives no role"), "{page}");
        assert_eq!(given().await, 0);
    });
}

#[test]
fn a_pushed_group_is_the_identity_providers() {
    run(async {
        let c = Client::start().await;
        let ada = c.user("ada@demo.example", json!({})).await;
        let group = c.group("Engineering", &[&ada]).await;
        let id = group["id"].as_str().unwrap();
        let mut admin = Visitor::administrator(&c.server).await;
        let page = admin.see(&format!("groups/{id}")).await;
        assert!(
            page.contains("An identity provider pushes this group"),
            "{page}"
        );
        for absent in ["Add a person", "Delete the group", "Take out", "Save"] {
            assert!(!page.contains(absent), "{absent}: {page}");
        }
        let membership = memberships(&c.server, id).await[0]["id"].clone();
        let membership = membership.as_str().unwrap();
        for (form, fields) in [
            (
                format!("groups/{id}"),
                vec![("name", "Mine"), ("description", "")],
            ),
            (format!("groups/{id}/delete"), vec![]),
        ] {
            let reply = admin.post(&form, &fields).await;
            assert_eq!(reply.status, 400, "{form}");
            assert!(reply.text().contains("identity provider"), "{form}");
        }
        // What is pushed is no membership that the API takes away.
        let form = format!("groups/{id}/members/remove");
        let reply = admin.post(&form, &[("id", membership)]).await;
        assert_eq!(reply.status, 404, "{}", reply.text());
        assert_eq!(memberships(&c.server, id).await.len(), 1);
        assert_eq!(groups(&c.server).await[0]["name"], "Engineering");
    });
}
