//! Metrics and traces of `serve`, as Prometheus and a collector get them.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use rollcall::app::Clock;
use serde_json::json;
use tokio::net::TcpListener;

use super::operators::Database;
use crate::login::provider::{CLIENT, Endpoint, Provider, SECRET};
use crate::support::process::{Serving, output, printed};
use crate::support::run;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// The answer to a GET: status and body.
fn get(address: &str, path: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\n{headers}\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

#[test]
fn metrics_have_a_listener_of_their_own() {
    let Some(database) = Database::create() else {
        return;
    };
    let token = printed(&["token", "generate"], &[]);
    let mut serving = database.serve(&[
        ("ROLLCALL_METRICS_LISTEN", "127.0.0.1:0"),
        ("ROLLCALL_BOOTSTRAP_ORGANIZATION", "Acme"),
        ("ROLLCALL_BOOTSTRAP_TOKEN", &token),
    ]);
    let line = serving.lines(1).remove(0);
    let (_, address) = line.split_once("http://").unwrap();
    let address = address.strip_suffix("/metrics.").unwrap().to_owned();
    serving.organization(&token);
    let (status, text) = get(&address, "/metrics", "");
    assert_eq!(status, 200);
    let expected = r#"rollcall_requests_total{door="api",method="IdentityService/GetAuthenticatedIdentity",status="200"} 1"#;
    assert!(text.contains(expected), "{text}");
    assert!(text.contains("process_start_time_seconds"), "{text}");
    assert_eq!(get(&address, "/livez", "").0, 404);
    assert_eq!(get(&serving.address, "/metrics", "").0, 404);

    let settings = [
        ("ROLLCALL_LISTEN", "127.0.0.1:0"),
        ("ROLLCALL_METRICS_LISTEN", &*address),
    ];
    let second = database.output(&["serve"], &settings);
    assert_eq!(second.status.code(), Some(1));
    let error = String::from_utf8(second.stderr).unwrap();
    assert!(error.contains("ROLLCALL_METRICS_LISTEN"), "{error}");
    assert_eq!(serving.stop("TERM"), Some(0));
}

/// A collector that takes traces over OTLP/HTTP.
struct Collector {
    url: String,
    taken: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let collector = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            taken: Arc::default(),
        };
        let take = async |State(taken): State<Arc<Mutex<Vec<_>>>>, body: Bytes| {
            let request = ExportTraceServiceRequest::decode(body).unwrap();
            taken.lock().unwrap().push(request);
        };
        let router = Router::new()
            .route("/v1/traces", post(take))
            .with_state(collector.taken.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        collector
    }

    fn spans(&self) -> Vec<Span> {
        let taken = self.taken.lock().unwrap();
        let resources = taken.iter().flat_map(|request| &request.resource_spans);
        let scopes = resources.flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }

    /// The attributes of the program.
    fn resource(&self) -> Vec<(String, String)> {
        let taken = self.taken.lock().unwrap();
        let resource = taken[0].resource_spans[0].resource.clone().unwrap();
        attributes(&resource.attributes)
    }
}

fn attributes(list: &[opentelemetry_proto::tonic::common::v1::KeyValue]) -> Vec<(String, String)> {
    list.iter()
        .map(|pair| {
            let value = pair.value.clone().unwrap().value.unwrap();
            let text = match value {
                AnyValue::StringValue(text) => text,
                AnyValue::IntValue(number) => number.to_string(),
                other => format!("{other:?}"),
            };
            (pair.key.clone(), text)
        })
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An SSO configuration at a provider.
fn configure(serving: &Serving, token: &str, provider: &Provider) -> String {
    let request = json!({
        "organizationId": serving.organization(token),
        "clientId": CLIENT,
        "clientSecret": SECRET,
        "issuerUrl": provider.issuer,
        "emailDomains": ["example.com"],
    });
    let (status, body) = serving.call("CreateSSOConfiguration", token, &request);
    assert_eq!(status, 200, "{body}");
    body["ssoConfiguration"]["id"].as_str().unwrap().to_owned()
}

fn find<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

fn has(span: &Span, name: &str, value: &str) {
    let all = attributes(&span.attributes);
    assert!(
        all.contains(&(name.to_owned(), value.to_owned())),
        "{name}={value} in {all:?}"
    );
}

#[test]
fn a_trace_goes_from_the_caller_through_the_server_to_the_provider() {
    let Some(database) = Database::create() else {
        return;
    };
    run(async {
        let collector = Collector::start().await;
        let provider = Provider::start(Clock::System).await;
        let token = printed(&["token", "generate"], &[]);
        let serving = database.serve(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url),
            ("ROLLCALL_ALLOW_INSECURE_ISSUERS", "true"),
            ("ROLLCALL_BOOTSTRAP_ORGANIZATION", "Acme"),
            ("ROLLCALL_BOOTSTRAP_TOKEN", &token),
        ]);
        let sso = configure(&serving, &token, &provider);
        let organization = serving.organization(&token);
        let path = format!(
            "/auth/oidc/start?organization={organization}&configuration={sso}&login_hint=grace%40example.com"
        );
        let headers = format!(
            "traceparent: 00-{TRACE}-{CALLER}-01\r\ntracestate: theirs=secret\r\nbaggage: a=secret\r\n"
        );
        let (status, body) = get(&serving.address, &path, &headers);
        assert_eq!(status, 303, "{body}");
        get(&serving.address, "/scim/v2/Users/grace@example.com", "");
        assert_eq!(serving.stop("TERM"), Some(0));

        let spans = collector.spans();
        let start = find(&spans, "GET /auth/oidc/start");
        let [start] = &*start else {
            panic!("one span: {spans:?}")
        };
        assert_eq!(hex(&start.trace_id), TRACE);
        assert_eq!(hex(&start.parent_span_id), CALLER);
        has(start, "http.route", "/auth/oidc/start");
        has(start, "http.request.method", "GET");
        has(start, "http.response.status_code", "303");
        let name = ("service.name".to_owned(), "rollcall".to_owned());
        assert!(collector.resource().contains(&name));

        // Each request to the provider is a span below it, which the provider was told.
        for endpoint in [Endpoint::Metadata, Endpoint::Keys] {
            let (told, _) = provider.last(endpoint);
            let traceparent = told["traceparent"].to_str().unwrap();
            let parts: Vec<&str> = traceparent.split('-').collect();
            assert_eq!(parts[..2], ["00", TRACE]);
            let span = spans.iter().find(|span| hex(&span.span_id) == parts[2]);
            let span = span.expect("the span that the provider was told");
            assert_eq!(span.parent_span_id, start.span_id);
            has(span, "http.response.status_code", "200");
            assert!(!told.contains_key("tracestate") && !told.contains_key("baggage"));
        }

        // Who asks without a trace begins one, and what is sent names nobody.
        let [user] = &*find(&spans, "GET /scim/v2/Users/{id}") else {
            panic!("one span: {spans:?}")
        };
        assert_ne!(hex(&user.trace_id), TRACE);
        assert!(user.parent_span_id.is_empty());
        has(user, "http.response.status_code", "401");
        let create = "/gitpod.v1.OrganizationService/CreateSSOConfiguration";
        assert_eq!(find(&spans, &format!("POST {create}")).len(), 1);
        let everything = format!("{spans:?}");
        for unsaid in ["grace", "secret", "login_hint", &sso, &token] {
            assert!(!everything.contains(unsaid), "{unsaid} in {everything}");
        }
    });
}

#[test]
fn a_traceparent_that_is_none_begins_a_new_trace() {
    let Some(database) = Database::create() else {
        return;
    };
    run(async {
        let collector = Collector::start().await;
        let serving = database.serve(&[
            (
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                &format!("{}/v1/traces", collector.url),
            ),
            ("OTEL_SERVICE_NAME", "people"),
        ]);
        let long = "0".repeat(5_000);
        let broken = [
            "nonsense".to_owned(),
            String::new(),
            format!("00-{}-{CALLER}-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("ff-{TRACE}-{CALLER}-01"),
            format!("00-{TRACE}-{CALLER}-01-more"),
            format!("00-{}-{CALLER}-01", TRACE.to_uppercase()),
            format!("00-{TRACE}{long}-{CALLER}-01"),
            format!("00-{TRACE}-{CALLER}-01\r\ntraceparent: 00-{TRACE}-{CALLER}-01"),
        ];
        for traceparent in &broken {
            let headers = format!("traceparent: {traceparent}\r\n");
            let (status, _) = get(&serving.address, "/livez", &headers);
            assert_eq!(status, 200, "{traceparent}");
        }
        assert_eq!(serving.stop("TERM"), Some(0));
        let spans = collector.spans();
        let probes = find(&spans, "GET /livez");
        assert_eq!(probes.len(), broken.len());
        for span in probes {
            assert_ne!(hex(&span.trace_id), TRACE);
            assert!(span.parent_span_id.is_empty());
        }
        let name = ("service.name".to_owned(), "people".to_owned());
        assert!(collector.resource().contains(&name));
    });
}

#[test]
fn a_collector_that_never_answers_holds_nobody_up() {
    let Some(database) = Database::create() else {
        return;
    };
    // Connections are taken by the system, and nobody reads them.
    let silent = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let serving = database.serve(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &url)]);
    assert_eq!(get(&serving.address, "/livez", "").0, 200);
    assert_eq!(serving.stop("TERM"), Some(0));
}

#[test]
fn a_variable_that_traces_cannot_be_sent_with_is_one_line_and_exit_code_2() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");
    for (settings, expected) in [
        (
            vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "hunter2@collector:4318")],
            "OTEL_EXPORTER_OTLP_ENDPOINT must be the URL",
        ),
        (
            vec![endpoint, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
            "http/protobuf",
        ),
        (
            vec![endpoint, ("OTEL_TRACES_SAMPLER", "sometimes")],
            "OTEL_TRACES_SAMPLER",
        ),
        (
            vec![endpoint, ("OTEL_TRACES_SAMPLER", "traceidratio")],
            "OTEL_TRACES_SAMPLER_ARG",
        ),
    ] {
        let refused = output(&["serve"], &settings);
        let error = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(2), "{error}");
        assert_eq!(error.trim_end().lines().count(), 1, "{error}");
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
