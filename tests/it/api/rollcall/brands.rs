//! Brands: what is taken, what is refused, and whose they are.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rollcall::domain::brand::MAX_LOGO_SIZE;
use rollcall::domain::identity::Role;
use rollcall::store::Store;
use serde_json::{Value, json};

use super::{ask, ask_as};
use crate::cli::operators::Database;
use crate::support::{Server, run};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\nthe rest of it";

fn in_base64(bytes: &[u8]) -> Value {
    json!(STANDARD.encode(bytes))
}

async fn brand(server: &Server) -> Value {
    let found = ask(server, "BrandService/GetBrand", json!({})).await.ok();
    found["brand"].clone()
}

async fn update(server: &Server, change: Value) -> Value {
    let changed = ask(server, "BrandService/UpdateBrand", change).await.ok();
    changed["brand"].clone()
}

#[test]
fn a_brand_is_set_changed_and_removed_field_by_field() {
    run(async {
        let server = Server::start().await;
        assert_eq!(brand(&server).await, json!({}));
        let all = json!({ "displayName": " Acme Robotics ", "accentColor": "#7A1FA2", "logo": in_base64(PNG) });
        let set = update(&server, all).await;
        assert_eq!(set["displayName"], "Acme Robotics");
        assert_eq!(set["accentColor"], "#7a1fa2");
        assert_eq!(set["logoType"], "image/png");
        assert_eq!(set["logo"], in_base64(PNG));
        assert_ne!(set["accentColorDark"], set["accentColor"]);
        assert!(set["updatedAt"].is_string());
        assert_eq!(brand(&server).await, set);
        let jpeg = b"\xff\xd8\xff\xe0 the rest";
        let set = update(&server, json!({ "logo": in_base64(jpeg) })).await;
        assert_eq!(set["logoType"], "image/jpeg");
        assert_eq!(set["displayName"], "Acme Robotics", "what is absent stays");
        let set = update(&server, json!({ "accentColor": "", "logo": "" })).await;
        for gone in ["accentColor", "accentColorDark", "logo", "logoType"] {
            assert_eq!(set.get(gone), None, "{gone}");
        }
        assert_eq!(brand(&server).await["displayName"], "Acme Robotics");
        let log = server.audit("brand").await;
        assert_eq!(log.len(), 3);
        let (action, before, after) = &log[0];
        assert_eq!(action, "UpdateBrand");
        assert_eq!(before["display_name"], "");
        assert_eq!(after["accent_color"], "#7a1fa2");
        assert_eq!(after["logo"]["bytes"], PNG.len());
        let logo = STANDARD.encode(PNG);
        assert!(!format!("{log:?}").contains(&logo), "not the file itself");
    });
}

#[test]
fn what_is_wrong_with_a_brand_is_named_and_nothing_is_changed() {
    run(async {
        let server = Server::start().await;
        let large = [PNG, &[0; MAX_LOGO_SIZE]].concat();
        for (change, field, why) in [
            (
                json!({ "displayName": "x".repeat(65) }),
                "display_name",
                "64",
            ),
            (json!({ "displayName": "a\u{0}b" }), "display_name", "NUL"),
            (json!({ "accentColor": "red" }), "accent_color", "#2447c8"),
            (
                json!({ "accentColor": "#12345g" }),
                "accent_color",
                "#2447c8",
            ),
            (json!({ "accentColor": "#2447c8;}" }), "accent_color", "7"),
            // What can nearly be read is told as it is, and what could be taken in its place.
            (
                json!({ "accentColor": "#777777" }),
                "accent_color",
                "is 4.47, and text takes at least 4.5",
            ),
            (
                json!({ "accentColor": "#ffd400" }),
                "accent_color",
                "Take #",
            ),
            (
                json!({ "logo": in_base64(b"<svg xmlns='http://www.w3.org/2000/svg'/>") }),
                "logo",
                "PNG, JPEG or WebP",
            ),
            (
                json!({ "logo": in_base64(b"GIF89a") }),
                "logo",
                "PNG, JPEG or WebP",
            ),
            (json!({ "logo": in_base64(&large) }), "logo", "64 KiB"),
        ] {
            let reply = ask(&server, "BrandService/UpdateBrand", change.clone()).await;
            assert_eq!(reply.violations(), [field], "{change}");
            let message = reply.error("invalid_argument");
            assert!(message.contains(why), "{change}: {message}");
        }
        let both =
            json!({ "accentColor": "#ffffff", "logo": in_base64(b"x"), "displayName": "Acme" });
        let reply = ask(&server, "BrandService/UpdateBrand", both).await;
        assert_eq!(reply.violations(), ["accent_color", "logo"]);
        let suggested = reply.error("invalid_argument");
        let (_, rest) = suggested.split_once("Take ").unwrap();
        assert_eq!(brand(&server).await, json!({}));
        let largest = [PNG, &vec![0; MAX_LOGO_SIZE - PNG.len()]].concat();
        let fine = json!({ "accentColor": rest[..7], "logo": in_base64(&largest) });
        update(&server, fine).await;
    });
}

#[test]
fn attack_brand_of_another_organization_or_by_a_member() {
    run(async {
        let server = Server::start().await;
        update(&server, json!({ "displayName": "Acme Robotics" })).await;
        let neighbour = server.neighbour().await;
        assert_eq!(brand(&neighbour).await, json!({}));
        update(&neighbour, json!({ "displayName": "Evil" })).await;
        let member = server.token(Role::Member, false).await;
        let reader = server.token(Role::Admin, true).await;
        let change = json!({ "displayName": "Evil" });
        for token in [&member, &reader] {
            ask_as(&server, token, "BrandService/UpdateBrand", change.clone())
                .await
                .error("permission_denied");
        }
        ask_as(&server, &member, "BrandService/GetBrand", json!({}))
            .await
            .error("permission_denied");
        assert_eq!(brand(&server).await["displayName"], "Acme Robotics");
    });
}

#[test]
fn operators_set_that_of_the_installation() {
    let Some(database) = Database::create() else {
        return;
    };
    run(async {
        let store = Store::connect(&database.url(), 4).await.unwrap();
        store.migrate().await.unwrap();
        let server = Server::start_with(|app| app.operator.store = store).await;
        let operator = server.operator_token().await;
        let change = json!({ "displayName": "Initech Identity", "accentColor": "#7a1fa2" });
        ask_as(&server, &operator, "BrandService/UpdateBrand", change)
            .await
            .ok();
        assert_eq!(brand(&server).await, json!({}));
        let page = async |path: String| {
            let request = http::Request::get(path).body(axum::body::Body::empty());
            server.send(request.unwrap()).await.text()
        };
        let of_organization = format!("/login?organization={}", server.organization);
        for path in ["/login", &of_organization] {
            let page = page(path.to_owned()).await;
            assert!(page.contains("Initech Identity</title>"), "{page}");
            assert!(page.contains("--accent: #7a1fa2"), "{page}");
        }
        update(&server, json!({ "displayName": "Acme Robotics" })).await;
        let own = page(of_organization).await;
        assert!(own.contains("Acme Robotics</title>"), "{own}");
        assert!(
            !own.contains("Initech") && !own.contains("#7a1fa2"),
            "{own}"
        );
    });
}
