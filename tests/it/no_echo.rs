//! No error and no log line repeats what a request holds: marks are hidden in every place of every
//! request, and looked for in all that fails and in the log.
//!
//! By design, the id of a request (`x-request-id`), the `bulkId` of an operation, and the address that
//! "Begin again" leads back to are repeated.

use std::sync::Arc;

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use buffa_descriptor::{
    DescriptorPool, FieldDescriptor, FieldKind, MessageIndex, ScalarType, SingularKind,
};
use http::{HeaderMap, Request, header};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};
use scim::schema::ResourceType;
use serde_json::{Map, Value, json};

use crate::support::log::Log;
use crate::support::scim::{BULK, Client, E, SEARCH, U, encode, group, user};
use crate::support::{Reply, Server, run};

/// A text that stands nowhere else, and a number.
const WORD: &str = "s3cretMark";
const NUMBER: i64 = 7_340_281_936;

/// Whether the marks are in a text, in plain or as its bytes are written in numbers.
fn is_marked(text: &str) -> bool {
    let text = text.to_lowercase();
    [WORD.to_lowercase(), NUMBER.to_string()]
        .iter()
        .any(|mark| text.contains(mark))
}

/// All that a reply says, with what is encoded in it decoded.
fn said(reply: &Reply) -> String {
    let mut said = String::from_utf8_lossy(&reply.bytes).into_owned();
    let headers = |map: &HeaderMap| {
        let values = map.values().map(|value| {
            let value = percent_decode(value.as_bytes())
                .decode_utf8_lossy()
                .into_owned();
            let decoded = STANDARD_NO_PAD
                .decode(value.trim_end_matches('='))
                .unwrap_or_default();
            format!("\n{value}\n{}", String::from_utf8_lossy(&decoded))
        });
        values.collect::<String>()
    };
    said.push_str(&headers(&reply.headers));
    said.push_str(&headers(&reply.trailers));
    if let Ok(Value::Object(body)) = serde_json::from_slice(&reply.bytes) {
        for detail in body
            .get("details")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let value = detail["value"].as_str().unwrap_or_default();
            let bytes = STANDARD_NO_PAD
                .decode(value.trim_end_matches('='))
                .unwrap_or_default();
            said.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
    said
}

/// Sends requests and looks at what comes of them.
struct Watch {
    server: Arc<Server>,
    log: Log,
    failures: usize,
}

impl Watch {
    /// Sends a request. Of a success, nothing is expected.
    async fn send(&mut self, request: Request<Body>) -> Reply {
        let name = format!(
            "{} {} {:?}",
            request.method(),
            request.uri(),
            request.headers()
        );
        let reply = self.server.send(request).await;
        let grpc = reply
            .trailers
            .get("grpc-status")
            .or(reply.headers.get("grpc-status"));
        let failed = reply.status.as_u16() >= 400 || grpc.is_some_and(|status| status != "0");
        if failed {
            self.failures += 1;
            let said = said(&reply);
            assert!(!is_marked(&said), "{name}: {said}");
        }
        let log = self.log.take();
        assert!(!is_marked(&log), "{name} is logged: {log}");
        reply
    }

    async fn post(&mut self, path: &str, content_type: &str, body: impl Into<Body>) -> Reply {
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, content_type)
            .header(
                header::AUTHORIZATION,
                format!("Bearer {}", self.server.token),
            );
        self.send(request.body(body.into()).unwrap()).await
    }
}

fn kind(field: &FieldDescriptor) -> SingularKind {
    match field.kind() {
        FieldKind::Singular(kind) | FieldKind::List(kind) | FieldKind::Map { value: kind, .. } => {
            kind
        }
    }
}

/// Values of the wrong type and of the right one.
fn marked() -> Vec<Value> {
    vec![
        json!(WORD),
        json!(NUMBER),
        json!([WORD]),
        json!([NUMBER]),
        json!([[WORD]]),
        json!({ WORD: WORD }),
        json!({ WORD: NUMBER }),
    ]
}

/// JSON of a message with marks in one of its fields, for each field down to the leaves.
fn marked_messages(pool: &DescriptorPool, message: MessageIndex, depth: usize) -> Vec<Value> {
    let mut all = vec![json!({ WORD: NUMBER }), json!([WORD])];
    for field in pool.message(message).fields() {
        let mut values = marked();
        if let (SingularKind::Message(inner), true) = (kind(field), depth > 0) {
            for value in marked_messages(pool, inner, depth - 1) {
                values.push(match field.kind() {
                    FieldKind::Singular(_) => value,
                    FieldKind::List(_) => json!([value]),
                    FieldKind::Map { .. } => json!({ WORD: value }),
                });
            }
        }
        let objects = values
            .into_iter()
            .map(|value| json!({ field.json_name(): value }));
        all.extend(objects);
        all.push(json!({ field.json_name(): WORD, field.name(): WORD }));
    }
    all
}

/// What a request needs for its other fields to be right.
fn plausible(
    pool: &DescriptorPool,
    message: MessageIndex,
    organization: &str,
) -> Map<String, Value> {
    let fields = pool.message(message).fields().iter();
    let strings = fields.filter(|field| {
        matches!(
            field.kind(),
            FieldKind::Singular(SingularKind::Scalar(ScalarType::String))
        ) && field.oneof_index().is_none()
    });
    let value = |field: &FieldDescriptor| match field.name() {
        "organization_id" => organization.to_owned(),
        name if name.ends_with("_id") => "0190a6e0-1c2b-7def-8123-456789abcdef".to_owned(),
        "email" => "ada@example.com".to_owned(),
        "issuer_url" => "https://accounts.example.com".to_owned(),
        _ => "example.com".to_owned(),
    };
    strings
        .map(|field| (field.json_name().to_owned(), json!(value(field))))
        .collect()
}

/// A message in binary with a mark in each field that is one of text or bytes.
fn binary(pool: &DescriptorPool, message: MessageIndex) -> Vec<Vec<u8>> {
    let fields = pool.message(message).fields().iter();
    let length = u8::try_from(WORD.len()).unwrap();
    fields
        .map(|field| {
            let tag = field.number() << 3 | 2;
            let mut bytes = vec![];
            match u8::try_from(tag) {
                Ok(tag) if tag < 128 => bytes.push(tag),
                _ => bytes.extend([
                    u8::try_from(tag & 127).unwrap() | 128,
                    u8::try_from(tag >> 7).unwrap(),
                ]),
            }
            bytes.push(length);
            bytes.extend(WORD.as_bytes());
            bytes
        })
        .collect()
}

fn enveloped(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], length.as_slice(), message].concat()
}

#[test]
fn no_error_of_the_api_repeats_what_was_sent() {
    let (log, _guard) = Log::capture();
    run(async {
        let server = Arc::new(Server::start().await);
        let mut watch = Watch {
            server,
            log,
            failures: 0,
        };
        let organization = watch.server.organization.clone();
        let pool = DescriptorPool::decode(proto::DESCRIPTORS).unwrap();
        let services = pool.services().iter();
        let mut methods = 0;
        for service in services {
            for method in service.methods() {
                methods += 1;
                let path = format!("/{}/{}", service.full_name(), method.name());
                let input = method.input();
                let plausible = plausible(&pool, input, &organization);
                for marked in marked_messages(&pool, input, 4) {
                    let text = marked.to_string();
                    watch.post(&path, "application/json", text.clone()).await;
                    if let Value::Object(marked) = marked {
                        let mut right = plausible.clone();
                        right.extend(marked);
                        let text = Value::Object(right).to_string();
                        watch.post(&path, "application/json", text).await;
                    }
                }
                for body in [
                    WORD,
                    "{\"s3cretMark",
                    "\"s3cretMark\"",
                    "7340281936",
                    "{} s3cretMark",
                    "",
                ] {
                    watch.post(&path, "application/json", body).await;
                    watch.post(&path, "application/proto", body).await;
                }
                let sample = json!({ pool.message(input).fields().first().map_or("x", FieldDescriptor::json_name): NUMBER });
                watch
                    .post(
                        &path,
                        "application/grpc+json",
                        enveloped(sample.to_string().as_bytes()),
                    )
                    .await;
                for message in binary(&pool, input) {
                    watch
                        .post(&path, "application/proto", message.clone())
                        .await;
                    watch
                        .post(&path, "application/grpc", enveloped(&message))
                        .await;
                    watch
                        .post(&path, "application/grpc-web+proto", enveloped(&message))
                        .await;
                }
                let json = utf8_percent_encode(&sample.to_string(), NON_ALPHANUMERIC).to_string();
                let encoded = URL_SAFE_NO_PAD.encode(sample.to_string());
                for query in [
                    format!("encoding=json&message={json}"),
                    format!("encoding=json&base64=1&message={encoded}"),
                    "encoding=json&message=s3cretMark".to_owned(),
                    "encoding=proto&message=s3cretMark".to_owned(),
                    "encoding=s3cretMark&message=%7B%7D".to_owned(),
                    "encoding=json&compression=s3cretMark&message=%7B%7D".to_owned(),
                    "encoding=json&connect=s3cretMark&message=%7B%7D".to_owned(),
                    "encoding=json&base64=1&message=s3cretMark!".to_owned(),
                    "encoding=json&base64=1&compression=gzip&message=s3cretMark".to_owned(),
                    "encoding=json&message=%7B%7D&token=s3cretMark&pageSize=s3cretMark".to_owned(),
                    "s3cretMark=s3cretMark".to_owned(),
                ] {
                    let request = Request::get(format!("{path}?{query}")).header(
                        header::AUTHORIZATION,
                        format!("Bearer {}", watch.server.token),
                    );
                    watch.send(request.body(Body::empty()).unwrap()).await;
                }
                let query = format!("{path}?token=s3cretMark&page_size=s3cretMark");
                watch
                    .post(
                        &query,
                        "application/json",
                        Value::Object(plausible.clone()).to_string(),
                    )
                    .await;
            }
        }
        assert!(methods > 20, "{methods}");
        assert!(watch.failures > 3000, "{}", watch.failures);
    });
}

#[test]
fn no_error_repeats_a_header_or_a_path() {
    let (log, _guard) = Log::capture();
    run(async {
        let server = Arc::new(Server::start().await);
        let client = Client::of(server.clone(), json!({})).await;
        let mut watch = Watch {
            server,
            log,
            failures: 0,
        };
        let tokens = [watch.server.token.clone(), client.token.clone()];
        for name in [
            "accept",
            "accept-encoding",
            "authorization",
            "connect-accept-encoding",
            "connect-content-encoding",
            "connect-protocol-version",
            "connect-timeout-ms",
            "content-encoding",
            "content-type",
            "cookie",
            "forwarded",
            "grpc-encoding",
            "grpc-timeout",
            "if-match",
            "if-none-match",
            "origin",
            "referer",
            "sec-fetch-site",
            "te",
            "traceparent",
            "user-agent",
            "x-forwarded-for",
            "x-user-agent",
        ] {
            for value in [
                WORD.to_owned(),
                format!("Bearer {WORD}"),
                format!("application/grpc+{WORD}"),
                format!("application/{WORD}"),
                format!("__Host-rollcall-session={WORD}"),
                format!("application/json; charset={WORD}"),
            ] {
                for (path, content_type, token) in [
                    (
                        "/gitpod.v1.OrganizationService/GetOrganization",
                        "application/json",
                        &tokens[0],
                    ),
                    (
                        "/gitpod.v1.OrganizationService/GetOrganization",
                        "application/grpc",
                        &tokens[0],
                    ),
                    (
                        "/gitpod.v1.OrganizationService/GetOrganization",
                        "application/connect+json",
                        &tokens[0],
                    ),
                    (
                        "/grpc.health.v1.Health/Check",
                        "application/json",
                        &tokens[0],
                    ),
                    ("/scim/v2/Users", "application/scim+json", &tokens[1]),
                    ("/login", "application/x-www-form-urlencoded", &tokens[0]),
                    ("/logout", "application/x-www-form-urlencoded", &tokens[0]),
                ] {
                    let mut request = Request::post(path)
                        .header(header::CONTENT_TYPE, content_type)
                        .header(header::AUTHORIZATION, format!("Bearer {token}"))
                        .body(Body::from("{}"))
                        .unwrap();
                    let name: header::HeaderName = name.parse().unwrap();
                    request.headers_mut().insert(name, value.parse().unwrap());
                    watch.send(request).await;
                }
            }
        }
        let health = json!({ "service": WORD }).to_string();
        watch
            .post("/grpc.health.v1.Health/Check", "application/json", health)
            .await;
        watch
            .post(
                "/grpc.health.v1.Health/Check",
                "application/json",
                json!({ "service": NUMBER }).to_string(),
            )
            .await;
        let watched = enveloped(json!({ "service": WORD }).to_string().as_bytes());
        watch
            .post(
                "/grpc.health.v1.Health/Watch",
                "application/connect+json",
                watched,
            )
            .await;
        for path in [
            "/s3cretMark",
            "/api/s3cretMark",
            "/gitpod.v1.OrganizationService/s3cretMark",
            "/gitpod.v1.s3cretMark/x",
            "/api/gitpod.v1.s3cretMark/s3cretMark",
            "/login/s3cretMark",
            "/%zzs3cretMark",
            "/auth/oidc/s3cretMark",
            "/scim/s3cretMark",
            "/scim/v9s3cretMark/Users",
            "/scim/v2/s3cretMark",
            "/scim/v2/Users/s3cretMark",
            "/scim/v2/Users/s3cretMark/x",
            "/scim/v2/Schemas/s3cretMark",
            "/scim/v2/ResourceTypes/s3cretMark",
            "/scim/v2/Me/s3cretMark",
            "/scim/v2/Bulk/s3cretMark",
            "/scim/v2/Users/%zzs3cretMark",
            "/scim/v2/%00s3cretMark",
            "/scim/v2/..%2fs3cretMark",
            "/scim/v2/Groups/s3cretMark%2F..",
            "/scim/v2/Users/.search/s3cretMark",
            "/login?email=x&s3cretMark",
            "/login?return_to=https://s3cretMark.example",
            "/login?email=%ffs3cretMark",
            "/auth/oidc/start?organization=s3cretMark",
            "/auth/oidc/start?configuration=s3cretMark",
            "/auth/oidc/start?organization=0190a6e0-1c2b-7def-8123-456789abcdef&configuration=0190a6e0-1c2b-7def-8123-456789abcdef&login_hint=s3cretMark",
            "/auth/oidc/keys/s3cretMark/s3cretMark",
            "/auth/oidc/callback?state=s3cretMark&code=s3cretMark&error=s3cretMark",
            "/account?s3cretMark",
            "/livez/s3cretMark",
        ] {
            for method in ["GET", "POST", "DELETE", "s3cretMark"] {
                for token in &tokens {
                    let request = Request::builder()
                        .method(method)
                        .uri(path)
                        .header(header::CONTENT_TYPE, "application/json")
                        .header(header::AUTHORIZATION, format!("Bearer {token}"));
                    watch.send(request.body(Body::from("{}")).unwrap()).await;
                }
            }
        }
        for (path, form) in [
            (
                "/login",
                "email=s3cretMark&return_to=https%3A%2F%2Fs3cretMark.example",
            ),
            ("/login", "s3cretMark"),
            ("/login", "email=a&email=s3cretMark"),
            ("/login", "%ff=s3cretMark"),
            ("/account/end-session", "id=s3cretMark"),
            ("/account/end-session", "s3cretMark"),
            ("/logout", "s3cretMark"),
        ] {
            watch
                .post(path, "application/x-www-form-urlencoded", form)
                .await;
            watch.post(path, "text/s3cretMark", form).await;
        }
        assert!(watch.failures > 500, "{}", watch.failures);
    });
}

/// The names of a type's attributes, with those in them.
fn attributes(kind: ResourceType) -> Vec<String> {
    let mut names = vec![];
    for schema in kind.schemas() {
        let urn = if schema.id == E {
            format!("{E}:")
        } else {
            String::new()
        };
        for attribute in schema.attributes {
            let name = format!("{urn}{}", attribute.name);
            let subs = attribute.sub_attributes.iter();
            names.extend(subs.map(|sub| format!("{name}.{}", sub.name)));
            names.push(name);
        }
    }
    names
}

#[test]
fn no_error_of_scim_repeats_what_was_sent() {
    let (log, _guard) = Log::capture();
    run(async {
        let client = Client::start().await;
        let person = client
            .user(
                "ada",
                json!({ "emails": [{ "value": "a@b.c", "type": "work" }] }),
            )
            .await;
        let team = client.group("team", &[&person]).await;
        let mut watch = Watch {
            server: client.server.clone(),
            log,
            failures: 0,
        };
        watch.log.take();
        let mut send = async |method: &str, path: &str, body: String| {
            let request = Request::builder()
                .method(method)
                .uri(format!("/scim/v2{path}"))
                .header(header::CONTENT_TYPE, "application/scim+json")
                .header(header::AUTHORIZATION, format!("Bearer {}", client.token));
            watch.send(request.body(Body::from(body)).unwrap()).await
        };
        let places = [
            (
                ResourceType::User,
                format!("/Users/{}", person["id"].as_str().unwrap()),
            ),
            (
                ResourceType::Group,
                format!("/Groups/{}", team["id"].as_str().unwrap()),
            ),
        ];
        for (kind, place) in &places {
            let valid = match kind {
                ResourceType::User => user("grace", json!({})),
                ResourceType::Group => group("others", &[]),
            };
            let endpoint = kind.endpoint();
            for name in attributes(*kind) {
                let values = [
                    json!(WORD),
                    json!(NUMBER),
                    json!([WORD, [NUMBER]]),
                    json!({ "value": NUMBER, "type": WORD, WORD: WORD }),
                ];
                for (value, op) in values.into_iter().zip(["add", "remove", "replace", WORD]) {
                    let mut body = valid.clone();
                    body[&name] = value.clone();
                    send("POST", endpoint, body.to_string()).await;
                    send("PUT", place, body.to_string()).await;
                    for operation in [
                        json!({ "op": op, "path": name, "value": value }),
                        json!({ "op": "replace", "value": { &name: value } }),
                    ] {
                        let patch = json!({ "Operations": [operation] });
                        send("PATCH", place, patch.to_string()).await;
                    }
                }
                for literal in ["\"s3cretMark\"", "7340281936", "s3cretMark"] {
                    for filter in [
                        format!("{name} eq {literal}"),
                        format!("{name} gt {literal} and {WORD}"),
                    ] {
                        let query = encode(&[("filter", &filter)]);
                        send("GET", &format!("{endpoint}?{query}"), String::new()).await;
                        let patch = json!({ "Operations": [
                            { "op": "add", "path": "displayName", "value": "x" },
                            { "op": "replace", "path": format!("{name}[{filter}].{WORD}"), "value": WORD },
                        ] });
                        send("PATCH", place, patch.to_string()).await;
                    }
                }
                let query = encode(&[("sortBy", &*name), ("cursor", WORD)]);
                send("GET", &format!("{endpoint}?{query}"), String::new()).await;
            }
            let long = format!("userName eq \"{WORD}{}\"", "x".repeat(9000));
            for parameters in [
                [("filter", "s3cretMark"), ("x", "")],
                [("filter", "s3cretMark eq 1"), ("x", "")],
                [("filter", "emails[s3cretMark pr]"), ("x", "")],
                [("filter", "s3cretMark[a pr]"), ("x", "")],
                [("filter", "not s3cretMark"), ("x", "")],
                [("filter", "id pr s3cretMark"), ("x", "")],
                [("filter", "(id pr s3cretMark"), ("x", "")],
                [("filter", "id eq \"\\s3cretMark\""), ("x", "")],
                [("filter", &*long), ("x", "")],
                [("filter", "s3cretMark:userName pr"), ("x", "")],
                [
                    ("filter", "emails[type eq \"s3cretMark\"].s3cretMark pr"),
                    ("x", ""),
                ],
                [("sortBy", "s3cretMark"), ("sortOrder", "")],
                [("sortBy", "userName"), ("sortOrder", "s3cretMark")],
                [("startIndex", "s3cretMark"), ("count", "")],
                [("startIndex", "1"), ("count", "s3cretMark")],
                [("cursor", "s3cretMark"), ("count", "7340281936")],
                [
                    ("attributes", "s3cretMark[,"),
                    ("excludedAttributes", "s3cretMark."),
                ],
            ] {
                for path in ["", "/", endpoint, place] {
                    send(
                        "GET",
                        &format!("{path}?{}", encode(&parameters)),
                        String::new(),
                    )
                    .await;
                }
                let mut search = json!({ "schemas": [SEARCH] });
                for (name, value) in parameters {
                    search[name] = json!(value);
                }
                send("POST", &format!("{endpoint}/.search"), search.to_string()).await;
                send("POST", "/.search", search.to_string()).await;
            }
            for body in [
                WORD.to_owned(), format!("{{\"{WORD}"), format!("{{\"a\": {WORD}}}"), json!([WORD]).to_string(), json!(WORD).to_string(), json!(NUMBER).to_string(),
                json!({ "schemas": [WORD] }).to_string(), json!({ "schemas": NUMBER, "userName": WORD }).to_string(), json!({ "schemas": { WORD: WORD } }).to_string(),
                json!({ "schemas": [U], "userName": format!("{WORD}{}", "x".repeat(600)) }).to_string(),
                json!({ "Operations": WORD }).to_string(), json!({ "Operations": [WORD] }).to_string(),
                json!({ "Operations": [{ "op": WORD, "path": WORD, "value": WORD }] }).to_string(),
                json!({ "Operations": [{ "op": "add", "path": [WORD], "value": WORD }] }).to_string(),
                json!({ "Operations": [{ "op": "add", "path": format!("emails[{WORD} eq 1]"), "value": WORD }] }).to_string(),
                json!({ "Operations": [{ "op": "add", "value": WORD }] }).to_string(),
                json!({ "Operations": [{ "op": "remove", "path": format!("emails[type eq \"{WORD}\"].value") }] }).to_string(),
                json!({ "startIndex": WORD, "sortBy": NUMBER }).to_string(),
            ] {
                for (method, path) in [("POST", endpoint), ("PUT", place), ("PATCH", place), ("POST", "/.search"), ("POST", "/Bulk")] {
                    send(method, path, body.clone()).await;
                }
            }
        }
        // What is in use already.
        for attempt in [json!({}), json!({ "emails": [] })] {
            let taken = user(WORD, json!({ "externalId": WORD, "name": attempt }));
            send("POST", "/Users", taken.to_string()).await;
        }

        let bulk = json!({ "schemas": [BULK], "Operations": [
            { "method": WORD, "path": "/Users" },
            { "method": WORD, "path": places[0].1 },
            { "method": "POST", "path": "/s3cretMark", "bulkId": "a", "data": {} },
            { "method": "POST", "path": "/Users", "data": { WORD: WORD } },
            { "method": "POST", "path": "/Users", "bulkId": "b", "data": user(WORD, json!({ "active": WORD })) },
            { "method": "PUT", "path": "/Users/s3cretMark", "data": {} },
            { "method": "PUT", "path": "/Users/s3cretMark/s3cretMark", "data": {} },
            { "method": "PUT", "path": "/Users/%zzs3cretMark", "data": {} },
            { "method": "PUT", "path": format!("{}\u{0}{WORD}", places[0].1), "data": {} },
            { "method": "PUT", "path": "/Users/bulkId:s3cretMark", "data": {} },
            { "method": "PATCH", "path": places[0].1, "data": { "Operations": [{ "op": "add", "path": "manager", "value": "bulkId:s3cretMark" }] } },
            { "method": "PATCH", "path": places[0].1, "version": WORD, "data": { "Operations": [{ "op": "add", "path": "title", "value": WORD }] } },
            { "method": "DELETE", "path": "https://s3cretMark/Users/1" },
        ] });
        let reply = send("POST", "/Bulk", bulk.to_string()).await.is(200);
        for result in reply["Operations"].as_array().unwrap() {
            assert!(result["status"].as_str().unwrap() >= "400", "{result}");
            assert!(!is_marked(&result.to_string()), "{result}");
        }
        assert!(watch.failures > 500, "{}", watch.failures);
    });
}

#[test]
fn the_marks_are_found_where_they_are() {
    assert!(is_marked("at S3CRETMARK"));
    assert!(is_marked("got 7340281936"));
    let detail = json!({ "details": [{ "value": STANDARD.encode(WORD) }] });
    let mut headers = HeaderMap::new();
    headers.insert("grpc-message", "s3cret%4dark".parse().unwrap());
    for (body, headers) in [
        (detail.to_string(), HeaderMap::new()),
        (String::new(), headers),
    ] {
        let reply = Reply {
            status: http::StatusCode::BAD_REQUEST,
            headers,
            trailers: HeaderMap::new(),
            bytes: body.into(),
        };
        assert!(is_marked(&said(&reply)));
    }
}
