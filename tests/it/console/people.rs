//! The pages of people.

use serde_json::json;

use super::support::{Visitor, link, member};
use crate::login::Place;
use crate::support::scim::Client;
use crate::support::{Server, run};

#[test]
fn people_are_listed_searched_and_filtered() {
    run(async {
        let c = Client::start().await;
        for name in ["ada", "grace", "alan"] {
            let email = format!("{name}@demo.example");
            let user = c.push(&email).await;
            if name == "alan" {
                c.set_active(&user, false).await;
            }
        }
        let mut admin = Visitor::administrator(&c.server).await;
        let all = admin.see("people").await;
        for name in ["ada", "grace", "alan"] {
            assert!(all.contains(&format!("{name}@demo.example")), "{all}");
        }
        for (query, shown, left_out) in [
            ("search=GRA", "grace@", "ada@"),
            ("status=suspended", "alan@", "ada@"),
            ("status=active&role=member", "ada@", "alan@"),
        ] {
            let page = admin.see(&format!("people?{query}")).await;
            assert!(page.contains(shown), "{query}: {page}");
            assert!(!page.contains(left_out), "{query}: {page}");
        }
        let nobody = admin.see("people?role=admin").await;
        assert!(nobody.contains("Nobody matches"), "{nobody}");
        let long = "x".repeat(300);
        let reply = admin.get(&format!("people?search={long}")).await;
        assert_eq!(reply.status, 400);
        assert!(
            reply.text().contains(&format!("value=\"{long}\"")),
            "what was entered is there still"
        );
    });
}

#[test]
fn a_list_of_many_goes_on_with_its_filter() {
    run(async {
        let c = Client::start().await;
        for number in 0..52 {
            c.push(&format!("p{number:02}@demo.example")).await;
        }
        let mut admin = Visitor::administrator(&c.server).await;
        let first = admin.see("people?search=demo.example").await;
        assert_eq!(first.matches("data-label=\"Role\"").count(), 50);
        let next = link(&first, "Next page");
        assert!(next.contains("search=demo.example"), "{next}");
        let second = admin.browser.get(&next).await.text();
        assert_eq!(second.matches("data-label=\"Role\"").count(), 2);
        assert!(second.contains("To the beginning"), "{second}");
    });
}

#[test]
fn an_organization_without_people_says_how_they_come() {
    run(async {
        let server = Server::start().await;
        let mut admin = Visitor::administrator(&server).await;
        let page = admin.see("people").await;
        assert!(page.contains("Nobody yet"), "{page}");
        assert!(page.contains("Set up provisioning"), "{page}");
    });
}

#[test]
fn a_name_is_never_markup() {
    run(async {
        let c = Client::start().await;
        let hostile = "<script>alert(1)</script>";
        let user = json!({ "displayName": hostile, "title": hostile, "emails": [{ "value": "m@demo.example", "primary": true }] });
        c.user("m@demo.example", user).await;
        c.group(hostile, &[]).await;
        let mut admin = Visitor::administrator(&c.server).await;
        let id = member(&c.server, "m@demo.example").await["userId"].clone();
        let id = id.as_str().unwrap();
        for page in [
            "people".to_owned(),
            format!("people/{id}"),
            format!("people/{id}/why"),
            "groups".to_owned(),
            "audit-log".to_owned(),
        ] {
            let shown = admin.see(&page).await;
            assert!(!shown.contains(hostile), "{page}: {shown}");
            assert!(shown.contains("&lt;script&gt;"), "{page}: {shown}");
        }
    });
}

#[test]
fn a_page_tells_where_each_field_of_a_person_comes_from() {
    run(async {
        let place = Place::start().await;
        let scim = place.provisioning().await;
        scim.push(&place.email("grace")).await;
        let (_, ada) = place.signed_in("ada").await;
        let grace = member(&place.server, &place.email("grace")).await;
        let grace = grace["userId"].as_str().unwrap();
        let mut admin = Visitor::administrator(&place.server).await;
        let page = admin.see(&format!("people/{grace}")).await;
        assert!(page.contains("Pushed by"), "{page}");
        assert!(!page.contains("at a sign-in"), "{page}");
        let page = admin.see(&format!("people/{ada}")).await;
        assert!(
            page.contains("The identity provider, at a sign-in"),
            "{page}"
        );
        assert!(
            page.contains("Not pushed by an identity provider"),
            "{page}"
        );
        assert!(page.contains("joined by signing in"), "{page}");
        assert!(!page.contains("Set by"), "{page}");
        let request = json!({ "organizationId": place.server.organization, "userId": ada, "role": "ORGANIZATION_ROLE_ADMIN" });
        place.server.call("SetRole", request).await.ok();
        let page = admin.see(&format!("people/{ada}")).await;
        assert!(page.contains("Set by"), "{page}");
    });
}

#[test]
fn an_administrator_changes_role_and_access() {
    run(async {
        let c = Client::start().await;
        c.push("ada@demo.example").await;
        let mut admin = Visitor::administrator(&c.server).await;
        let now = || member(&c.server, "ada@demo.example");
        let id = now().await["userId"].as_str().unwrap().to_owned();
        let (role, suspension) = (
            format!("people/{id}/role"),
            format!("people/{id}/suspension"),
        );
        let page = admin.submit(&role, &[("role", "admin")]).await;
        assert!(page.contains("is an administrator now"), "{page}");
        assert!(
            page.contains("Role: <del>member</del> → <ins>admin</ins>"),
            "{page}"
        );
        assert_eq!(now().await["role"], "ORGANIZATION_ROLE_ADMIN");
        // Somebody has to administer the organization.
        for (form, field) in [
            (&role, ("role", "member")),
            (&suspension, ("suspended", "true")),
        ] {
            let reply = admin.post(form, &[field]).await;
            assert_eq!(reply.status, 400);
            let said = reply.text();
            assert!(said.contains("Nobody would administer"), "{said}");
            assert!(said.contains("ada@demo.example"), "{said}");
        }
        c.push("grace@demo.example").await;
        let grace = member(&c.server, "grace@demo.example").await;
        let grace = grace["userId"].as_str().unwrap();
        admin
            .submit(&format!("people/{grace}/role"), &[("role", "admin")])
            .await;
        let page = admin.submit(&role, &[("role", "member")]).await;
        assert!(page.contains("a member without"), "{page}");
        assert_eq!(now().await["role"], "ORGANIZATION_ROLE_MEMBER");
        let page = admin.submit(&suspension, &[("suspended", "true")]).await;
        assert!(page.contains("suspended this person"), "{page}");
        assert_eq!(now().await["status"], "USER_STATUS_SUSPENDED");
        let page = admin.submit(&suspension, &[("suspended", "false")]).await;
        assert!(page.contains("The suspension is lifted."), "{page}");
        assert_eq!(now().await["status"], "USER_STATUS_ACTIVE");
        for (form, field) in [
            (&role, ("role", "owner")),
            (&role, ("suspended", "true")),
            (&suspension, ("suspended", "maybe")),
        ] {
            assert_eq!(admin.post(form, &[field]).await.status, 400, "{field:?}");
        }
    });
}

#[test]
fn who_is_kept_out_by_provisioning_is_not_said_to_be_let_in() {
    run(async {
        let c = Client::start().await;
        let user = c.push("ada@demo.example").await;
        c.set_active(&user, false).await;
        let ada = member(&c.server, "ada@demo.example").await;
        let form = format!("people/{}/suspension", ada["userId"].as_str().unwrap());
        let mut admin = Visitor::administrator(&c.server).await;
        let page = admin.submit(&form, &[("suspended", "false")]).await;
        assert!(page.contains("keeps the person out"), "{page}");
        assert!(!page.contains("The suspension is lifted."), "{page}");
    });
}

#[test]
fn sessions_are_shown_and_ended() {
    run(async {
        let place = Place::start().await;
        let (mut first, ada) = place.signed_in("ada").await;
        let (mut second, _) = place.signed_in("ada").await;
        let mut admin = Visitor::administrator(&place.server).await;
        let (page, form) = (format!("people/{ada}"), format!("people/{ada}/sessions"));
        let shown = admin.see(&page).await;
        assert_eq!(shown.matches(">End</button>").count(), 2, "{shown}");
        // The newest comes first.
        let (_, rest) = shown.split_once("name=\"session\" value=\"").unwrap();
        let session = rest.split_once('"').unwrap().0.to_owned();
        let shown = admin.submit(&form, &[("session", &session)]).await;
        assert!(shown.contains("The sessions have ended."), "{shown}");
        assert!(first.member().await.is_some());
        assert!(second.member().await.is_none());
        let shown = admin.submit(&form, &[("session", "")]).await;
        assert!(shown.contains("Not signed in anywhere"), "{shown}");
        assert!(first.member().await.is_none());
        let reply = admin.post(&form, &[("session", "no session")]).await;
        assert_eq!(reply.status, 400);
    });
}

#[test]
fn a_refused_sign_in_is_in_the_history_with_its_reason() {
    run(async {
        let place = Place::start().await;
        let (_, ada) = place.signed_in("ada").await;
        place.signed_in("grace").await;
        let mut admin = Visitor::administrator(&place.server).await;
        let form = format!("people/{ada}/suspension");
        admin.submit(&form, &[("suspended", "true")]).await;
        place.comes("ada", json!({}));
        let reply = place.try_sign_in(&mut place.browser()).await;
        assert_eq!(reply.status, 403);
        let page = admin.see(&format!("people/{ada}")).await;
        assert!(page.contains("Sign-in refused"), "{page}");
        assert!(page.contains("Why can’t they sign in?"), "{page}");
        let grace = member(&place.server, &place.email("grace")).await;
        let grace = grace["userId"].as_str().unwrap();
        let page = admin.see(&format!("people/{grace}")).await;
        assert!(!page.contains("Sign-in refused"), "{page}");
    });
}

#[test]
fn whether_somebody_can_sign_in_has_a_page() {
    run(async {
        let place = Place::start().await;
        let (_, ada) = place.signed_in("ada").await;
        let mut admin = Visitor::administrator(&place.server).await;
        let page = admin.see(&format!("people/{ada}/why")).await;
        assert!(page.contains("Can ada of the tests sign in?"), "{page}");
        assert!(page.contains("class=\"note "), "{page}");
    });
}
