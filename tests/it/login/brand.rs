//! The pages of an organization have its name, its logo and its colour.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::CONTENT_SECURITY_POLICY;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::Place;
use crate::api::methods::call;
use crate::support::{Reply, Server, run};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\nthe rest of it";

async fn set(server: &Server, name: &str) {
    let brand =
        json!({ "displayName": name, "accentColor": "#7a1fa2", "logo": STANDARD.encode(PNG) });
    let path = "rollcall.v1.BrandService/UpdateBrand";
    call(server, path, Some(&server.token), &brand).await.ok();
}

/// Makes sure that a page has the brand, and that the browser may use each of its styles.
#[track_caller]
fn is_branded(reply: &Reply) {
    let page = reply.text();
    assert!(page.contains(" · Acme Robotics</title>"), "{page}");
    let logo = format!("src=\"data:image/png;base64,{}\"", STANDARD.encode(PNG));
    assert!(page.contains(&logo), "{page}");
    assert!(page.contains("<span>Acme Robotics</span>"), "{page}");
    assert!(page.contains(":root { --accent: #7a1fa2; }"), "{page}");
    let policy = reply.headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
    let styles: Vec<&str> = page.split("<style>").skip(1).collect();
    assert_eq!(styles.len(), 2);
    for style in styles {
        let (style, _) = style.split_once("</style>").unwrap();
        let source = format!("'sha256-{}'", STANDARD.encode(Sha256::digest(style)));
        assert!(policy.contains(&source), "{source} is not in {policy}");
    }
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
}

#[test]
fn the_pages_of_an_organization_have_its_brand() {
    run(async {
        let place = Place::start().await;
        place.configure("second", json!({})).await;
        set(&place.server, "Acme Robotics").await;
        let mut browser = place.browser();
        let url = format!("/login?organization={}", place.server.organization);
        is_branded(&browser.get(&url).await);
        // The address leads to this organization alone.
        let form = [("email", &*place.email("ada"))];
        is_branded(&browser.post("/login", &form).await);
        place.comes("ada", json!({ "email": null }));
        let refused = place.try_sign_in(&mut browser).await;
        assert_ne!(refused.status, 303);
        is_branded(&refused);
        let (mut browser, _) = place.signed_in("ada").await;
        is_branded(&browser.get("/account").await);
    });
}

#[test]
fn pages_of_nobody_in_particular_and_of_others_have_none_of_it() {
    run(async {
        let place = Place::start().await;
        set(&place.server, "Acme Robotics").await;
        let neighbour = place.neighbour().await;
        let mut browser = place.browser();
        let of_nobody = format!("/login?organization={}", uuid::Uuid::max());
        let form = [("email", &*place.email("ada"))];
        let of_both = browser.post("/login", &form).await;
        for reply in [
            browser.get("/login").await,
            browser.get("/signed-out").await,
            browser.get(&of_nobody).await,
            of_both,
        ] {
            let page = reply.text();
            assert!(page.contains("<title>"), "{page}");
            assert!(!page.contains("data:image/png"), "{page}");
            assert!(!page.contains("#7a1fa2"), "{page}");
        }
        let (mut browser, _) = neighbour.signed_in("ada").await;
        let account = browser.get("/account").await.text();
        assert!(!account.contains("Acme Robotics"), "{account}");
    });
}

#[test]
fn attack_markup_in_a_brand() {
    run(async {
        let place = Place::start().await;
        set(&place.server, "</title><script>alert(1)</script>").await;
        place.configure("second", json!({})).await;
        let url = format!("/login?organization={}", place.server.organization);
        let page = place.browser().get(&url).await.text();
        assert!(!page.contains("<script>"), "{page}");
        assert!(page.contains("&lt;script&gt;"), "{page}");
    });
}
