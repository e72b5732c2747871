//! Tries to sign in.

use serde_json::json;

use super::support::{MARKUP, Visitor, is_escaped};
use crate::login::Place;
use crate::support::run;

#[test]
fn tries_to_sign_in_are_shown_with_why_and_found_by_their_reference() {
    run(async {
        let place = Place::start().await;
        let mut visitor = Visitor::administrator(&place.server).await;
        let page = visitor.see("sign-ins").await;
        assert!(page.contains("Nobody tried to sign in yet"), "{page}");
        let (_, member) = place.signed_in("ada").await;
        place.comes("eve", json!({ "email": "eve@elsewhere.example" }));
        let mut browser = place.browser();
        place.try_sign_in(&mut browser).await;
        let page = visitor.see("sign-ins").await;
        for text in [
            &*format!("/people/{member}"),
            &place.email("ada"),
            "Signed in",
            "eve@elsewhere.example",
            "Refused",
        ] {
            assert!(page.contains(text), "{text:?} is not in {page}");
        }
        let page = visitor.see("sign-ins?outcome=refused").await;
        assert!(page.contains("eve@") && !page.contains(&member), "{page}");
        let attempts = place.attempts().await;
        let reference = attempts[0].id.to_string();
        let page = visitor
            .see(&format!("sign-ins?reference={reference}"))
            .await;
        assert!(page.contains("eve@") && !page.contains(&member), "{page}");
        let nobody = "01a22c4b-44a0-70e1-bc2d-4a1681016bc8";
        let page = visitor.see(&format!("sign-ins?reference={nobody}")).await;
        assert!(page.contains("None found"), "{page}");
        let reply = visitor.get("sign-ins?reference=mail").await;
        assert_eq!(reply.status, 400);
        let page = reply.text();
        assert!(page.contains("id=\"reference-problem\""), "{page}");
        assert!(page.contains("value=\"mail\""), "{page}");
    });
}

#[test]
fn tries_at_another_organization_are_not_shown() {
    run(async {
        let place = Place::start().await;
        place.signed_in("ada").await;
        let reference = place.attempts().await[0].id.to_string();
        let other = place.server.neighbour().await;
        let mut visitor = Visitor::administrator(&other).await;
        for page in ["sign-ins", &format!("sign-ins?reference={reference}")] {
            let page = visitor.see(page).await;
            assert!(!page.contains(&place.email("ada")), "{page}");
        }
    });
}

#[test]
fn attack_markup_in_who_tries_to_sign_in() {
    run(async {
        let place = Place::start().await;
        let mut visitor = Visitor::administrator(&place.server).await;
        place.comes(
            "eve",
            json!({ "sub": MARKUP, "email": format!("{MARKUP}@elsewhere.example") }),
        );
        let mut browser = place.browser();
        place.try_sign_in(&mut browser).await;
        let page = visitor.see("sign-ins").await;
        assert!(
            page.contains("Refused") && !page.contains("<script>"),
            "{page}"
        );
        let query = crate::login::query(&[("reference", MARKUP)]);
        is_escaped(&visitor.get(&format!("sign-ins?{query}")).await.text());
    });
}
