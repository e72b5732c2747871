//! What Prometheus is told: that it is true, and that it is nobody's name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::body::Body;
use chrono::TimeDelta;
use futures_util::future::join_all;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use regex::Regex;
use rollcall::app::App;
use rollcall::domain::ids::ApiTokenId;
use rollcall::domain::token::TokenKind;
use rollcall::http::observe::metrics_router;
use rollcall::jobs;
use rollcall::metrics::Metrics;
use scim::error::ScimType;
use serde_json::{Value, json};
use tower::ServiceExt;
use uuid::Uuid;

use crate::login::Place;
use crate::login::provider::{Answer, Endpoint};
use crate::support::scim::{Client, PATCH_OP, user};
use crate::support::{Reply, Server, run};

/// One line of the output: name, labels, value.
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

fn samples(text: &str) -> Vec<Sample> {
    let line = Regex::new(r#"^([a-z_]+)(?:\{(.*)\})? (\S+)$"#).unwrap();
    let label = Regex::new(r#"([a-z_]+)="((?:[^"\\]|\\.)*)""#).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|text| {
            let parts = line.captures(text).unwrap_or_else(|| panic!("{text}"));
            let labels = parts.get(2).map_or("", |labels| labels.as_str());
            Sample {
                name: parts[1].to_owned(),
                labels: label
                    .captures_iter(labels)
                    .map(|pair| (pair[1].to_owned(), pair[2].to_owned()))
                    .collect(),
                value: parts[3].parse().unwrap(),
            }
        })
        .collect()
}

/// The value of one series; 0 if there is none.
fn value(metrics: &Metrics, name: &str, labels: &[(&str, &str)]) -> f64 {
    let labels = labels
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    samples(&metrics.text().unwrap())
        .iter()
        .find(|sample| sample.name == name && sample.labels == labels)
        .map_or(0.0, |sample| sample.value)
}

fn measured(app: &mut App) -> Metrics {
    let metrics = Metrics::on(app.clock.now());
    app.measure(&metrics);
    metrics
}

/// A place whose server counts.
async fn place() -> (Place, Metrics) {
    let mut metrics = Metrics::default();
    let place = Place::start_with(|app| metrics = measured(app)).await;
    (place, metrics)
}

/// A SCIM client of a server that counts.
async fn client() -> (Client, Metrics) {
    let mut metrics = Metrics::default();
    let server = Server::start_with(|app| metrics = measured(app)).await;
    let client = Client::of(Arc::new(server), json!({})).await;
    (client, metrics)
}

/// What no label may hold a part of.
const MARKER: &str = "xyzzy";

/// A request to every kind of place, with the marker wherever there is room for it.
async fn provoke_api(server: &Server) {
    let own = json!({ "organizationId": server.organization });
    server.call("GetOrganization", own).await.ok();
    let unknown = json!({ "ssoConfigurationId": Uuid::from_u128(7) });
    server
        .call("GetSSOConfiguration", unknown)
        .await
        .error("not_found");
    server.sso(MARKER).await;
    for path in [
        format!("/gitpod.v1.OrganizationService/Get{MARKER}"),
        format!("/gitpod.v1.{MARKER}Service/Get"),
        format!("/api/gitpod.v1.OrganizationService/GetOrganization?token={MARKER}"),
        format!("/{MARKER}/../x?y={MARKER}"),
        "/livez".to_owned(),
        "/readyz".to_owned(),
        "/grpc.health.v1.Health/Check".to_owned(),
    ] {
        for method in [Method::POST, Method::GET, "XYZZY".parse().unwrap()] {
            let request = Request::builder()
                .method(method)
                .uri(&path)
                .header(header::CONTENT_TYPE, "application/json")
                .header("x-request-id", MARKER)
                .header(header::USER_AGENT, MARKER)
                .header(header::AUTHORIZATION, format!("Bearer rcapi_{MARKER}"));
            server.send(request.body(Body::from("{}")).unwrap()).await;
        }
    }
}

async fn provoke_scim(client: &Client) {
    let name = |who: &str| format!("{who}@{MARKER}.example");
    let ada = client
        .user(&name("ada"), json!({ "active": "True", MARKER: MARKER }))
        .await;
    let path = crate::support::scim::path(&ada);
    client
        .post("/Users", user(&name("ada"), json!({})))
        .await
        .refused(409, "uniqueness");
    client
        .patch(
            &path,
            json!([{ "op": "Replace", "value": { "title": MARKER } }]),
        )
        .await
        .is(200);
    let group = client.group(MARKER, &[&ada]).await;
    let group_path = crate::support::scim::path(&group);
    let no_member =
        json!([{ "op": "remove", "path": "members", "value": [{ "value": ada["id"] }] }]);
    client.patch(&group_path, no_member).await;
    client.delete(&group_path).await.is(204);
    client.get(&format!("/Users?filter={MARKER}")).await;
    client.get(&format!("/Users/{MARKER}")).await;
    client.get(&format!("/{MARKER}")).await;
    client.get(&format!("/{MARKER}/{MARKER}/{MARKER}")).await;
    client.get("/ServiceProviderConfig").await.is(200);
    client.get("/Schemas").await.is(200);
    client
        .send("XYZZY", "/Users", &[], MARKER)
        .await
        .refused(405, "");
    let operation = |method: &str, path: &str| {
        json!({ "method": method, "path": path, "bulkId": MARKER,
                "data": user(&name("grace"), json!({})) })
    };
    let bulk = json!({
        "schemas": [crate::support::scim::BULK],
        "Operations": [operation("POST", "/Users"), operation(MARKER, &format!("/{MARKER}"))],
    });
    client.post("/Bulk", bulk).await.is(200);
    let wrong = [("authorization", "Bearer rcscim_xyzzy")];
    client
        .send("GET", "/Users", &wrong, Body::empty())
        .await
        .refused(401, "");
    let body = json!({ "schemas": [PATCH_OP], "Operations": [{ "op": MARKER }] });
    client
        .send("PATCH", &path, &[], body.to_string())
        .await
        .refused(400, "invalidSyntax");
    client.delete(&path).await.is(204);
}

async fn provoke_login(place: &Place) {
    place.comes(MARKER, json!({}));
    let mut browser = place.browser();
    place.sign_in(&mut browser).await;
    place.sign_in(&mut browser).await;
    browser.get(&format!("/login?email=ada@{MARKER}")).await;
    browser.get("/account").await;
    browser.post("/logout", &[]).await.location();
    place.comes(MARKER, json!({ "email": format!("ada@{MARKER}.example") }));
    let refused = place.try_sign_in(&mut place.browser()).await;
    place
        .refused(
            &refused,
            "email",
            "do not sign in through this configuration",
        )
        .await;
    place.provider.answers(Endpoint::Token, Answer::status(500));
    place.try_sign_in(&mut place.browser()).await;
    place.provider.bend().answers.clear();
    let (mut browser, _) = place.signed_in("grace").await;
    let account = browser.get("/account").await.text();
    let id = Regex::new(r#"name="id" value="([0-9a-f-]+)""#).unwrap();
    let id = id.captures(&account).expect("a session to end")[1].to_owned();
    browser.post("/account/end-session", &[("id", &id)]).await;
    place.signed_in("grace").await;
    place
        .update(json!({ "clientSecret": "another-secret-of-theirs" }))
        .await;
}

/// The jobs, at a time before everything that other tests have.
async fn provoke_jobs(metrics: &Metrics) {
    let server = Server::start_with(|app| app.measure(metrics)).await;
    server.pass(TimeDelta::days(-15_000));
    for job in [
        jobs::events::JOB,
        jobs::provisioning::JOB,
        jobs::sign_in::JOB,
        jobs::tokens::JOB,
        jobs::audit::JOB,
        jobs::organizations::JOB,
        jobs::statistics::JOB,
    ] {
        job.once(&server.app).await.unwrap();
    }
}

/// Guesses at a row, more at once than are looked at.
async fn provoke_throttling(server: &Server) {
    let guess = |_| async {
        let id = ApiTokenId::from(Uuid::from_u128(7));
        let organization = Some(server.organization_id());
        let guess = server
            .app
            .random
            .token(TokenKind::Api, organization, id.as_uuid());
        let now = server.app.clock.now();
        let hash = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNo";
        let _ = server.app.tokens.verify(&guess, hash, now).await;
    };
    for round in [10, 5] {
        join_all((0..round).map(guess)).await;
    }
}

/// Everything that can be counted, and the output.
async fn everything() -> (Vec<String>, String) {
    let (place, metrics) = place().await;
    provoke_api(&place.server).await;
    provoke_throttling(&place.server).await;
    provoke_login(&place).await;
    provoke_jobs(&metrics).await;
    let mut names = vec![
        place.server.organization.clone(),
        place.sso.clone(),
        place.domain.clone(),
        place.provider.issuer.clone(),
        place.server.token.clone(),
        MARKER.to_owned(),
    ];
    let client = Client::of(Arc::new(place.server), json!({})).await;
    provoke_scim(&client).await;
    names.push(client.token.clone());
    names.push(client.configuration.as_str().unwrap().to_owned());
    (names, metrics.text().unwrap())
}

/// What each label may hold.
fn allowed() -> BTreeMap<&'static str, String> {
    let any = |words: &mut dyn Iterator<Item = &'static str>| words.collect::<Vec<_>>().join("|");
    let checks = "provider|login|authorization|issuer|code|id_token|userinfo|email|claims_expression|member|configuration";
    let traits = [
        "id or reference for a value",
        "array of one for a single value",
        "blanks around an address",
        "bare value for a complex attribute",
        "path-less dotted keys",
        "core attributes under their URN",
        "null for unset",
        "object for a list",
        "operations in other case",
        "no PatchOp URN",
        "remove by value",
        "string booleans",
        "text for a URI",
        "unknown attributes",
        "value under its own name",
    ];
    let verb = "(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|_OTHER)";
    let scim = r"/(Users|Groups)(/\{id\}|/\.search)?|/(\.search|Bulk|Me|ServiceProviderConfig|other)?|/(Schemas|ResourceTypes)(/\{id\})?";
    let pages = "/(login/?|auth/oidc/(start|callback)|account(/end-session)?|logout|signed-out|livez|readyz)?";
    let services = "(Account|Group|Identity|Organization|User)Service|rollcall\\.v1\\.(Provisioning|Session|SignIn|Status)Service|grpc\\.health\\.v1\\.Health|grpc\\.reflection\\.v1(alpha)?\\.ServerReflection";
    BTreeMap::from([
        ("door", "api|scim|login|provider|signals|console|probe|other".to_owned()),
        (
            "method",
            format!("other|unimplemented|({services})/[A-Z][A-Za-z]+|{verb} ({scim}|{pages})"),
        ),
        ("status", "[1-5][0-9][0-9]".to_owned()),
        ("le", r"[0-9.]+|\+Inf".to_owned()),
        ("trait", any(&mut traits.into_iter())),
        (
            "reason",
            format!(
                "4[0-9][0-9]|50[013]|other|{}",
                any(&mut ScimType::ALL.iter().map(|t| t.as_str()))
            ),
        ),
        ("resource", "User|Group".to_owned()),
        ("check", format!("|{checks}")),
        (
            "cause",
            "signed_out|ended_by_member|replaced|expired|configuration|administrator|deprovisioned".to_owned(),
        ),
        ("purpose", "verify|make".to_owned()),
        (
            "task",
            "events|provisioning_events|sign_in|tokens|audit_log|organizations|statistics|folding".to_owned(),
        ),
        (
            "outcome",
            "created|updated|deleted|signed_in|refused|failed|cached|verified|wrong|throttled|succeeded|timeout|[2-5]xx|other".to_owned(),
        ),
        ("version", r"[0-9]+\.[0-9]+\.[0-9]+".to_owned()),
    ])
}

#[test]
fn no_label_holds_a_word_of_a_request_or_a_name_of_anybody() {
    run(async {
        let (names, text) = everything().await;
        for name in &names {
            assert!(!text.contains(name.as_str()), "{name} is in\n{text}");
        }
        let allowed: BTreeMap<_, _> = allowed()
            .into_iter()
            .map(|(label, pattern)| (label, Regex::new(&format!("^({pattern})$")).unwrap()))
            .collect();
        let mut seen = BTreeSet::new();
        for Sample { name, labels, .. } in samples(&text) {
            for (label, value) in labels {
                let pattern = allowed.get(&*label);
                let pattern = pattern.unwrap_or_else(|| panic!("{name} has the label {label}"));
                assert!(pattern.is_match(&value), "{name} has {label}={value:?}");
                seen.insert(label);
            }
        }
        let seen: Vec<&str> = seen.iter().map(String::as_str).collect();
        let all: Vec<&str> = allowed.keys().copied().collect();
        assert_eq!(seen, all, "everything was provoked");
    });
}

/// The metrics that a text names.
fn named(text: &str) -> BTreeSet<String> {
    let name = Regex::new("(rollcall|process)_[a-z_]+[a-z]").unwrap();
    name.find_iter(text)
        .map(|m| m.as_str().to_owned())
        .collect()
}

#[test]
fn the_dashboard_the_alerts_and_the_documentation_name_metrics_that_there_are() {
    run(async {
        let (_, text) = everything().await;
        let there: BTreeSet<String> = samples(&text).into_iter().map(|s| s.name).collect();
        let dashboard = include_str!("../../docs/grafana-dashboard.json");
        let parsed: Value = serde_json::from_str(dashboard).unwrap();
        let datasource = json!({ "type": "prometheus", "uid": "${datasource}" });
        let panels = parsed["panels"].as_array().unwrap();
        assert!(panels.len() > 10);
        for panel in panels.iter().filter(|panel| panel["type"] != "row") {
            assert_eq!(panel["datasource"], datasource, "{}", panel["title"]);
        }
        let operating = include_str!("../../docs/operating.md");
        let (_, rules) = operating.split_once("```yaml").expect("rules");
        let (rules, _) = rules.split_once("```").unwrap();
        assert_eq!(rules.matches("alert:").count(), 3);
        for name in named(dashboard).union(&named(rules)) {
            assert!(there.contains(name), "{name}");
        }

        // The documentation names each, without the suffixes of histograms.
        let documented = named(operating);
        let described = text.lines().filter_map(|line| {
            let (name, _) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
            Some(name)
        });
        for name in described {
            assert!(
                documented.contains(name),
                "{name} is not in docs/operating.md"
            );
        }
    });
}

#[test]
fn requests_are_counted_by_what_they_ask_for() {
    run(async {
        let mut metrics = Metrics::default();
        let server = Server::start_with(|app| metrics = measured(app)).await;
        let count = |door, method, status| {
            let labels = [("door", door), ("method", method), ("status", status)];
            value(&metrics, "rollcall_requests_total", &labels)
        };
        let sso = server.sso("one").await;
        let id = json!({ "ssoConfigurationId": sso["id"] });
        server.call("GetSSOConfiguration", id.clone()).await.ok();
        server.call("GetSSOConfiguration", id.clone()).await.ok();
        server
            .call_as("none", "GetSSOConfiguration", id)
            .await
            .error("unauthenticated");
        let get = "OrganizationService/GetSSOConfiguration";
        assert_eq!(count("api", get, "200"), 2.0);
        assert_eq!(count("api", get, "401"), 1.0);
        let labels = [("door", "api"), ("method", get)];
        let name = "rollcall_request_duration_seconds_count";
        assert_eq!(value(&metrics, name, &labels), 3.0);

        // gRPC answers everything with 200.
        let request = Request::post(format!("/gitpod.v1.{get}"))
            .header(header::CONTENT_TYPE, "application/grpc")
            .body(Body::from(&[0; 5][..]))
            .unwrap();
        assert_eq!(server.send(request).await.status, 200);
        assert_eq!(count("api", get, "401"), 2.0);
        let request = Request::post(format!("/gitpod.v1.{get}"))
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::AUTHORIZATION, format!("Bearer {}", server.token))
            .body(Body::from(&[0; 5][..]))
            .unwrap();
        assert_eq!(server.send(request).await.status, 200);
        assert_eq!(count("api", get, "400"), 1.0, "an empty id");

        for path in ["/nothing/here", "/livez", "/login"] {
            let request = Request::get(path).body(Body::empty()).unwrap();
            server.send(request).await;
        }
        assert_eq!(count("other", "other", "404"), 1.0);
        assert_eq!(count("probe", "GET /livez", "200"), 1.0);
        assert_eq!(count("login", "GET /login", "200"), 1.0);
        let in_flight = [("door", "api")];
        assert_eq!(
            value(&metrics, "rollcall_requests_in_flight", &in_flight),
            0.0
        );
        let outcome = [("outcome", "cached")];
        let name = "rollcall_token_verifications_total";
        assert!(value(&metrics, name, &outcome) >= 3.0);
        let outcome = [("outcome", "verified")];
        assert_eq!(value(&metrics, name, &outcome), 0.0, "known when made");
    });
}

#[test]
fn provisioning_is_counted_by_what_came_of_it() {
    run(async {
        let (client, metrics) = client().await;
        let changes = |resource, outcome| {
            let labels = [("resource", resource), ("outcome", outcome)];
            value(&metrics, "rollcall_scim_changes_total", &labels)
        };
        let refusals = |reason| {
            value(
                &metrics,
                "rollcall_scim_refusals_total",
                &[("reason", reason)],
            )
        };
        let traits = |name| value(&metrics, "rollcall_scim_dialect_total", &[("trait", name)]);
        provoke_scim(&client).await;
        assert_eq!(changes("User", "created"), 2.0, "one of them in bulk");
        assert_eq!(changes("User", "updated"), 1.0);
        assert_eq!(changes("User", "deleted"), 1.0);
        assert_eq!(changes("Group", "created"), 1.0);
        assert_eq!(changes("Group", "updated"), 1.0);
        assert_eq!(changes("Group", "deleted"), 1.0);
        assert_eq!(refusals("uniqueness"), 1.0);
        assert_eq!(refusals("401"), 1.0);
        assert_eq!(refusals("invalidSyntax"), 2.0, "one of them in bulk");
        assert_eq!(refusals("404"), 3.0);
        assert_eq!(traits("string booleans"), 1.0);
        assert_eq!(traits("unknown attributes"), 1.0);
        assert_eq!(traits("operations in other case"), 1.0);
        let labels = [
            ("door", "scim"),
            ("method", "PATCH /Users/{id}"),
            ("status", "200"),
        ];
        assert_eq!(value(&metrics, "rollcall_requests_total", &labels), 1.0);
    });
}

#[test]
fn sign_ins_and_sessions_are_counted() {
    run(async {
        let (place, metrics) = place().await;
        provoke_login(&place).await;
        let sign_ins = |outcome, check| {
            let labels = [("outcome", outcome), ("check", check)];
            value(&metrics, "rollcall_sign_ins_total", &labels)
        };
        let ended = |cause| {
            value(
                &metrics,
                "rollcall_sessions_ended_total",
                &[("cause", cause)],
            )
        };
        assert_eq!(sign_ins("signed_in", ""), 4.0);
        assert_eq!(sign_ins("refused", "email"), 1.0);
        assert_eq!(sign_ins("refused", "code"), 1.0);
        assert_eq!(value(&metrics, "rollcall_sessions_begun_total", &[]), 4.0);
        assert_eq!(ended("replaced"), 1.0);
        assert_eq!(ended("signed_out"), 1.0);
        assert_eq!(ended("ended_by_member"), 1.0);
        assert_eq!(ended("configuration"), 1.0);
        let asked = |outcome| {
            let name = "rollcall_outgoing_request_duration_seconds_count";
            value(&metrics, name, &[("outcome", outcome)])
        };
        assert_eq!(asked("5xx"), 1.0);
        assert!(asked("2xx") >= 6.0, "metadata, keys, four tokens");
    });
}

#[test]
fn the_listener_of_the_metrics_has_nothing_else() {
    run(async {
        let mut metrics = Metrics::default();
        let server = Server::start_with(|app| metrics = measured(app)).await;
        let router = metrics_router(&server.app);
        let ask = async |method: Method, path: &str| {
            let request = Request::builder().method(method).uri(path);
            let request = request.body(Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            let (head, body) = response.into_parts();
            Reply {
                status: head.status,
                headers: head.headers,
                trailers: Default::default(),
                bytes: body.collect().await.unwrap().to_bytes(),
            }
        };
        let reply = ask(Method::GET, "/metrics").await;
        assert_eq!(reply.status, 200);
        assert_eq!(
            reply.header("content-type"),
            "text/plain; version=0.0.4; charset=utf-8"
        );
        assert!(reply.text().contains("rollcall_build_info{version="));
        let read = |name| value(&metrics, name, &[]);
        assert!(read("rollcall_database_connections_max") >= 1.0);
        assert!(read("rollcall_database_wait_duration_seconds_count") >= 1.0);
        for path in ["/", "/livez", "/login", "/metrics/", "/scim/v2/Users"] {
            assert_eq!(ask(Method::GET, path).await.status, 404, "{path}");
        }
        assert_eq!(
            ask(Method::POST, "/metrics").await.status,
            StatusCode::METHOD_NOT_ALLOWED
        );
        let request = Request::get("/metrics").body(Body::empty()).unwrap();
        assert_eq!(server.send(request).await.status, 404, "on the doors");
    });
}
