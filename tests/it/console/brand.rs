//! How the pages look on which people sign in.

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Request, header};
use rollcall::domain::brand::MAX_LOGO_SIZE;
use serde_json::{Value, json};

use super::support::{MARKUP, Visitor, ask, is_escaped};
use crate::login::{ORIGIN, Place};
use crate::support::{Reply, Server, run};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\nthe rest of it";
const PAGE: &str = "settings/brand";

async fn brand(server: &Server) -> Value {
    ask(server, "rollcall.v1.BrandService/GetBrand", json!({})).await["brand"].take()
}

fn form(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = vec![];
    for (name, value) in fields {
        let file = if *name == "logo" {
            "; filename=\"logo\""
        } else {
            ""
        };
        let head =
            format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(value);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--edge--\r\n");
    body
}

/// Sends the form as a page of `origin` makes a browser do it.
async fn send(visitor: &mut Visitor<'_>, origin: &str, fields: &[(&str, &[u8])]) -> Reply {
    let request = Request::post(visitor.path(PAGE))
        .header(header::CONTENT_TYPE, "multipart/form-data; boundary=edge")
        .header(header::ORIGIN, origin);
    visitor
        .browser
        .send(request, Body::from(form(fields)))
        .await
}

async fn save(visitor: &mut Visitor<'_>, fields: &[(&str, &[u8])]) -> String {
    let location = send(visitor, ORIGIN, fields).await.location();
    let page = visitor.browser.get(&location).await.text();
    assert!(page.contains("The brand is saved."), "{page}");
    page
}

#[test]
fn a_brand_is_set_and_shown_and_its_logo_removed() {
    run(async {
        let server = Server::start().await;
        let mut visitor = Visitor::administrator(&server).await;
        let settings = visitor.see("settings").await;
        assert!(settings.contains("settings/brand"), "{settings}");
        let page = visitor.see(PAGE).await;
        assert!(page.contains("enctype=\"multipart/form-data\""), "{page}");
        assert!(!page.contains("data:image"), "{page}");
        let fields: [(&str, &[u8]); 3] = [
            ("display_name", b"Acme Robotics"),
            ("accent_color", b"#7a1fa2"),
            ("logo", PNG),
        ];
        let page = save(&mut visitor, &fields).await;
        let logo = format!("data:image/png;base64,{}", STANDARD.encode(PNG));
        // In the header, at its field, and twice in what it looks like.
        assert_eq!(page.matches(&logo).count(), 4, "{page}");
        assert!(page.contains("fill=\"#7a1fa2\""), "{page}");
        assert!(page.contains("value=\"Acme Robotics\""), "{page}");
        assert_eq!(brand(&server).await["logoType"], "image/png");
        assert_eq!(visitor.see("people").await.matches(&logo).count(), 1);
        // Without a file, the logo stays.
        let fields: [(&str, &[u8]); 3] = [
            ("display_name", b"Acme"),
            ("accent_color", b""),
            ("logo", b""),
        ];
        save(&mut visitor, &fields).await;
        let set = brand(&server).await;
        assert_eq!(set["displayName"], "Acme");
        assert_eq!(set.get("accentColor"), None);
        assert_eq!(set["logoType"], "image/png");
        let fields: [(&str, &[u8]); 2] = [("display_name", b"Acme"), ("remove_logo", b"yes")];
        let page = save(&mut visitor, &fields).await;
        assert!(!page.contains("data:image"), "{page}");
        assert_eq!(brand(&server).await.get("logo"), None);
    });
}

#[test]
fn what_is_refused_is_told_at_its_field_and_nothing_is_lost() {
    run(async {
        let server = Server::start().await;
        let mut visitor = Visitor::administrator(&server).await;
        let huge = [PNG, &vec![0; 3 * 1024 * 1024]].concat();
        let large = [PNG, &[0; MAX_LOGO_SIZE]].concat();
        for (colour, logo, at, why) in [
            (
                "#ffd400",
                PNG,
                "accent_color-problem",
                "The colour must be darker: its contrast to white is 1.",
            ),
            (
                "#2447c8",
                b"GIF89a",
                "logo-problem",
                "The logo must be a PNG",
            ),
            (
                "#2447c8",
                &large,
                "logo-problem",
                "The logo must have at most 64 KiB",
            ),
            (
                "#2447c8",
                &huge,
                "logo-problem",
                "The logo must have at most 64 KiB",
            ),
        ] {
            let fields: [(&str, &[u8]); 3] = [
                ("display_name", b"Acme Robotics"),
                ("accent_color", colour.as_bytes()),
                ("logo", logo),
            ];
            let reply = send(&mut visitor, ORIGIN, &fields).await;
            let page = reply.text();
            assert_eq!(reply.status, 400, "{page}");
            assert!(page.contains(&format!("id=\"{at}\"")), "{page}");
            assert!(page.contains(why), "{why:?} is not in {page}");
            assert!(page.contains("value=\"Acme Robotics\""), "{page}");
            assert!(page.contains(&format!("value=\"{colour}\"")), "{page}");
        }
        assert_eq!(brand(&server).await, json!({}));
        let form = [("display_name", "Acme")];
        assert_eq!(visitor.post(PAGE, &form).await.status, 400);
    });
}

#[test]
fn attack_markup_in_the_form_of_a_brand() {
    run(async {
        let server = Server::start().await;
        let mut visitor = Visitor::administrator(&server).await;
        let name = &MARKUP.as_bytes()[..MARKUP.len().min(64)];
        let fields: [(&str, &[u8]); 2] = [("display_name", name), ("accent_color", b"")];
        is_escaped(&save(&mut visitor, &fields).await);
        let fields: [(&str, &[u8]); 2] =
            [("display_name", b"x"), ("accent_color", MARKUP.as_bytes())];
        let reply = send(&mut visitor, ORIGIN, &fields).await;
        assert_eq!(reply.status, 400);
        is_escaped(&reply.text());
    });
}

#[test]
fn attack_brand_by_those_who_may_not() {
    run(async {
        let place = Place::start().await;
        let server = &place.server;
        let fields: [(&str, &[u8]); 2] = [("display_name", b"Evil"), ("accent_color", b"")];
        let mut stranger = Visitor::stranger(server);
        let (browser, _) = place.signed_in("ada").await;
        let mut member = Visitor::with(browser, server);
        let neighbour = server.neighbour().await;
        let mut other = Visitor::administrator(&neighbour).await;
        other.organization.clone_from(&server.organization);
        for (visitor, status) in [(&mut stranger, 401), (&mut member, 403), (&mut other, 401)] {
            let shown = visitor.get(PAGE).await.status.as_u16();
            let sent = send(visitor, ORIGIN, &fields).await.status.as_u16();
            assert!([status, 403, 404].contains(&shown), "{shown}");
            assert!([status, 403, 404].contains(&sent), "{sent}");
        }
        let mut administrator = Visitor::administrator(server).await;
        let sent = send(&mut administrator, "https://evil.example", &fields).await;
        assert_eq!(sent.status, 403);
        // The installation's are the operators' alone.
        let path = "/console/organizations/brand";
        assert_eq!(administrator.browser.get(path).await.status, 403);
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, "multipart/form-data; boundary=edge")
            .header(header::ORIGIN, ORIGIN);
        let body = Body::from(form(&fields));
        assert_eq!(administrator.browser.send(request, body).await.status, 403);
        assert_eq!(brand(server).await, json!({}));
        assert_eq!(brand(&neighbour).await, json!({}));
        let operator = server.operator_token().await;
        let mut operator = Visitor::with_token(server, &operator).await;
        assert_eq!(operator.browser.get(path).await.status, 200);
    });
}
