//! Every page and every form of integrations and settings, tried by those who may not.

use serde_json::{Value, json};

use super::support::{Visitor, ask};
use crate::api::methods::Things;
use crate::login::{Browser, Place};
use crate::support::{Reply, Server, run};

/// The pages, where `{…}` is the kind of a thing.
const PAGES: [&str; 14] = [
    "applications",
    "applications/new",
    "applications/{application}",
    "applications/{application}?search=e",
    "webhooks",
    "webhooks/new",
    "webhooks/{webhook}",
    "webhooks/{webhook}/settings",
    "settings",
    "tokens",
    "tokens/new",
    "tokens/accounts",
    "tokens/accounts/{account}",
    "sign-ins",
];

type Form = &'static [(&'static str, &'static str)];

/// The forms, and what is sent with each: what would do something if it were let.
const FORMS: [(&str, Form); 17] = [
    (
        "applications/new",
        &[
            ("name", "Evil"),
            ("redirect_uris", "https://evil.example/callback"),
            (
                "authentication",
                "CLIENT_AUTHENTICATION_CLIENT_SECRET_BASIC",
            ),
            ("scope", "SCOPE_OPENID"),
            ("pkce", "yes"),
        ],
    ),
    (
        "applications/{application}",
        &[
            ("name", "Evil"),
            ("redirect_uris", "https://evil.example/callback"),
            (
                "authentication",
                "CLIENT_AUTHENTICATION_CLIENT_SECRET_BASIC",
            ),
            ("scope", "SCOPE_OPENID"),
            ("pkce", "yes"),
        ],
    ),
    (
        "applications/{application}/groups",
        &[("remove", "{group}")],
    ),
    ("applications/{application}/secret", &[("keep", "0s")]),
    ("applications/{application}/delete", &[]),
    (
        "webhooks/new",
        &[("url", "https://evil.example/hooks"), ("hears", "all")],
    ),
    (
        "webhooks/{webhook}/settings",
        &[("url", "https://evil.example/hooks"), ("hears", "all")],
    ),
    ("webhooks/{webhook}/switch", &[("to", "off")]),
    ("webhooks/{webhook}/secret", &[("keep", "0s")]),
    ("webhooks/{webhook}/test", &[]),
    ("webhooks/{webhook}/replay", &[("span", "24")]),
    ("webhooks/{webhook}/delete", &[]),
    ("settings/name", &[("name", "Evil")]),
    (
        "settings/joining",
        &[("provisioned_only", "yes"), ("domains", "evil.example")],
    ),
    (
        "tokens/new",
        &[("name", "evil"), ("days", "90"), ("account_days", "365")],
    ),
    ("tokens/accounts/{account}", &[("days", "90")]),
    ("tokens/accounts/{account}/delete", &[]),
];

/// A path or a value with the identifiers of things in it.
fn fill(text: &str, things: &Things) -> String {
    let mut text = text.to_owned();
    for (kind, id) in &things.ids {
        text = text.replace(&format!("{{{kind}}}"), id);
    }
    text
}

/// What the forms could change.
async fn state(server: &Server) -> Vec<Value> {
    let organization = json!({ "organizationId": server.organization });
    let mut state = vec![];
    for (method, request) in [
        ("rollcall.v1.ApplicationService/ListApplications", json!({})),
        ("rollcall.v1.WebhookService/ListWebhooks", json!({})),
        (
            "gitpod.v1.OrganizationService/GetOrganization",
            organization.clone(),
        ),
        (
            "gitpod.v1.OrganizationService/GetOrganizationPolicies",
            organization,
        ),
        (
            "gitpod.v1.ServiceAccountService/ListServiceAccounts",
            json!({}),
        ),
        (
            "gitpod.v1.ServiceAccountService/ListServiceAccountTokens",
            json!({}),
        ),
    ] {
        state.push(ask(server, method, request).await);
    }
    state
}

/// Makes sure that a reply has nothing of what is there.
#[track_caller]
fn tells_nothing(reply: &Reply, statuses: &[u16], things: &Things, what: &str) {
    let text = reply.text();
    let status = reply.status.as_u16();
    assert!(statuses.contains(&status), "{what}: {status} {text}");
    for secret in [
        "Wiki",
        "Builder",
        "rcapps_",
        "whsec_",
        "rcsat_",
        &things.email,
    ] {
        assert!(!text.contains(secret), "{what}: {secret:?} is in {text}");
    }
}

/// Somebody tries everything at the paths of a server's organization.
async fn try_all(visitor: &mut Visitor<'_>, things: &Things, statuses: &[u16]) {
    for page in PAGES {
        let reply = visitor.get(&fill(page, things)).await;
        tells_nothing(&reply, statuses, things, page);
    }
    for (page, form) in forms(things) {
        let form: Vec<(&str, &str)> = form.iter().map(|(n, v)| (*n, &**v)).collect();
        let reply = visitor.post(&page, &form).await;
        tells_nothing(&reply, statuses, things, &page);
    }
}

/// The forms with the identifiers in them, and one more: of a token.
fn forms(things: &Things) -> Vec<(String, Vec<(&'static str, String)>)> {
    let filled = FORMS.iter().map(|(page, form)| {
        let form = form
            .iter()
            .map(|(name, value)| (*name, fill(value, things)));
        (fill(page, things), form.collect())
    });
    let mut forms: Vec<_> = filled.collect();
    let token = &things.ids["account token"];
    forms.push((format!("tokens/{token}/revoke"), vec![]));
    forms
}

#[test]
fn attack_pages_and_forms_without_a_session() {
    run(async {
        let server = Server::start().await;
        let things = Things::make(&server).await;
        let before = state(&server).await;
        let mut nobody = Visitor::with(Browser::new(&server), &server);
        try_all(&mut nobody, &things, &[401]).await;
        // Whoever signs in comes to where it was wanted.
        let page = nobody.get("webhooks").await.text();
        let path = crate::login::query(&[("return_to", &nobody.path("webhooks"))]);
        assert!(page.contains(&path), "{path} is not in {page}");
        assert_eq!(state(&server).await, before);
    });
}

#[test]
fn attack_pages_and_forms_by_a_member() {
    run(async {
        let place = Place::start().await;
        let things = Things::make(&place.server).await;
        let (browser, _) = place.signed_in("ada").await;
        let before = state(&place.server).await;
        let mut member = Visitor::with(browser, &place.server);
        try_all(&mut member, &things, &[403]).await;
        assert_eq!(state(&place.server).await, before);
    });
}

#[test]
fn attack_pages_and_forms_of_another_organization() {
    run(async {
        let server = Server::start().await;
        let things = Things::make(&server).await;
        let other = server.neighbour().await;
        let before = state(&server).await;
        // At the paths of the other organization, with the session of one's own.
        let mut visitor = Visitor::administrator(&other).await;
        let own = visitor.browser.clone();
        let mut there = Visitor::with(own, &server);
        try_all(&mut there, &things, &[401, 403, 404]).await;
        // At one's own paths, with the identifiers of the other organization's things.
        for page in PAGES.iter().filter(|page| page.contains('{')) {
            let reply = visitor.get(&fill(page, &things)).await;
            tells_nothing(&reply, &[404], &things, page);
        }
        for (page, form) in forms(&things) {
            let is_foreign = things.ids.values().any(|id| page.contains(&**id));
            if is_foreign {
                let form: Vec<(&str, &str)> = form.iter().map(|(n, v)| (*n, &**v)).collect();
                let reply = visitor.post(&page, &form).await;
                tells_nothing(&reply, &[404], &things, &page);
            }
        }
        assert_eq!(state(&server).await, before);
    });
}

#[test]
fn attack_a_group_of_another_organization_may_use_an_application() {
    run(async {
        let server = Server::start().await;
        let things = Things::make(&server).await;
        let other = server.neighbour().await;
        let theirs = Things::make(&other).await;
        let mut visitor = Visitor::administrator(&other).await;
        let before = state(&other).await;
        let path = format!("applications/{}/groups", theirs.ids["application"]);
        let reply = visitor.post(&path, &[("add", &things.ids["group"])]).await;
        assert_eq!(reply.status, 400);
        assert_eq!(state(&other).await, before);
    });
}

#[test]
fn attack_forms_that_another_site_sends() {
    run(async {
        let server = Server::start().await;
        let things = Things::make(&server).await;
        let before = state(&server).await;
        let mut visitor = Visitor::administrator(&server).await;
        for (page, form) in forms(&things) {
            let form: Vec<(&str, &str)> = form.iter().map(|(n, v)| (*n, &**v)).collect();
            let reply = visitor.post_from_elsewhere(&page, &form).await;
            tells_nothing(&reply, &[403], &things, &page);
        }
        let name = before[2]["organization"]["name"].as_str().unwrap();
        let form = [("confirmation", name)];
        let reply = visitor.post_from_elsewhere("settings/delete", &form).await;
        assert_eq!(reply.status, 403);
        assert_eq!(state(&server).await, before);
    });
}

#[test]
fn an_administrator_who_signed_in_sees_every_page() {
    run(async {
        let place = Place::start().await;
        let things = Things::make(&place.server).await;
        let (browser, member) = place.signed_in("ada").await;
        place.make_administrator(&member).await;
        let mut visitor = Visitor::with(browser, &place.server);
        for page in PAGES {
            let text = visitor.see(&fill(page, &things)).await;
            assert!(text.contains("Your account"), "{page}");
        }
        // What is no identifier, and what is none of these, is nothing.
        let nothing = "01a22c4b-44a0-70e1-bc2d-4a1681016bc8";
        for page in PAGES.iter().filter(|page| page.contains('{')) {
            for id in ["x", nothing] {
                let (start, rest) = page.split_once('{').unwrap();
                let (_, end) = rest.split_once('}').unwrap();
                let reply = visitor.get(&format!("{start}{id}{end}")).await;
                assert_eq!(reply.status, 404, "{page} {id}");
                assert!(reply.text().contains("<h1>Nothing here</h1>"), "{page}");
            }
        }
    });
}
