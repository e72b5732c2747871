//! Traces over OTLP (http/protobuf), when the standard variables of OpenTelemetry name a collector.
//!
//! The spans have a target of their own, apart from those of the log: what is sent away is what is
//! named here, and neither paths, queries, addresses nor log lines. Without a collector the target is
//! switched off, so that making a span is one look at a flag.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Handle;
use tracing::field::Empty;
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use crate::config::bad_setting::BadSetting;
use crate::domain::sign_in::has_good_port;
use crate::outgoing::trust;

/// The target of all spans that are sent.
pub const TARGET: &str = "otlp";

/// The name of the program, unless `OTEL_SERVICE_NAME` gives another.
const SERVICE: &str = "rollcall";
/// How long the collector may take to answer, and to take what is left at the end.
const EXPORT_DEADLINE: Duration = Duration::from_secs(10);
const FLUSH_DEADLINE: Duration = Duration::from_secs(5);
/// The largest answer of a collector that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Sends spans to a collector, in a thread of its own.
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// As the environment says; `None` when it names no collector, or switches traces off. Requests
    /// to the collector run on `runtime`.
    ///
    /// # Errors
    ///
    /// Which variable cannot be used.
    pub fn from_environment(runtime: &Handle) -> anyhow::Result<Option<Self>> {
        let is = |name, value: &str| variable(name).is_some_and(|v| v.eq_ignore_ascii_case(value));
        let endpoint = [
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
        ]
        .into_iter()
        .find_map(|name| Some((name, variable(name)?)));
        let Some((name, url)) = endpoint else {
            return Ok(None);
        };
        if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
            return Ok(None);
        }
        check_endpoint(name, &url)?;
        check_protocol()?;
        check_sampler()?;
        let client = trust::client()
            .timeout(EXPORT_DEADLINE)
            .no_proxy()
            .build()?;
        let client = Collector {
            client,
            runtime: runtime.clone(),
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .build()
            .map_err(|e| BadSetting(format!("OTEL_EXPORTER_OTLP_…: {e}")))?;
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource())
            .build();
        Ok(Some(Self { provider }))
    }

    /// What takes the spans of [`TARGET`], and nothing else.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer(SERVICE))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false)
            .with_filter(filter_fn(|metadata| {
                metadata.is_span() && metadata.target() == TARGET
            }))
    }

    /// Sends what is left, for a few seconds at most.
    pub fn finish(self) {
        if let Err(error) = self.provider.shutdown_with_timeout(FLUSH_DEADLINE) {
            tracing::warn!(%error, "the last spans could not be sent");
        }
    }
}

/// A variable that is set to nothing is not set.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The SDK would fall back to its default with a word in the log.
fn check_endpoint(name: &str, url: &str) -> Result<(), BadSetting> {
    let is_url = url.parse::<http::Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.authority().is_some_and(has_good_port)
    });
    if is_url {
        return Ok(());
    }
    Err(BadSetting(format!(
        "{name} must be the URL of a collector's OTLP/HTTP receiver, such as http://collector:4318"
    )))
}

fn check_protocol() -> Result<(), BadSetting> {
    const ONLY: &str = "http/protobuf";
    for name in [
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
    ] {
        match variable(name) {
            Some(protocol) if protocol != ONLY => {
                return Err(BadSetting(format!(
                    "{name}: {protocol:?} is not supported: set {ONLY}, and the endpoint to the collector's OTLP/HTTP receiver, usually on port 4318"
                )));
            }
            // The signal's own variable wins.
            Some(_) => return Ok(()),
            None => {}
        }
    }
    Ok(())
}

fn check_sampler() -> Result<(), BadSetting> {
    let Some(sampler) = variable("OTEL_TRACES_SAMPLER") else {
        return Ok(());
    };
    match &*sampler {
        "always_on" | "always_off" | "parentbased_always_on" | "parentbased_always_off" => Ok(()),
        "traceidratio" | "parentbased_traceidratio" => {
            let ratio = variable("OTEL_TRACES_SAMPLER_ARG").and_then(|text| text.parse().ok());
            if ratio.is_some_and(|ratio: f64| (0.0..=1.0).contains(&ratio)) {
                return Ok(());
            }
            Err(BadSetting(format!(
                "OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1 with OTEL_TRACES_SAMPLER={sampler}, such as 0.1"
            )))
        }
        _ => Err(BadSetting(format!(
            "OTEL_TRACES_SAMPLER: {sampler:?} must be always_on, always_off, traceidratio, or one of these with parentbased_ in front"
        ))),
    }
}

fn resource() -> Resource {
    let name = opentelemetry::Key::from_static_str("service.name");
    let detected = Resource::builder().build();
    let is_named = detected
        .get_ref(&name)
        .is_some_and(|known| !known.as_str().starts_with("unknown_service"));
    let mut builder = Resource::builder();
    if !is_named {
        builder = builder.with_service_name(SERVICE);
    }
    let version = opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    builder.with_attribute(version).build()
}

/// The client for requests to the collector. The thread that sends spans has no runtime.
#[derive(Debug)]
struct Collector {
    client: reqwest::Client,
    runtime: Handle,
}

#[async_trait::async_trait]
impl HttpClient for Collector {
    async fn send_bytes(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let sent = self.runtime.spawn(async move {
            let mut answer = client.execute(request.try_into()?).await?;
            let mut body = BytesMut::new();
            while let Some(chunk) = answer.chunk().await? {
                if body.len() + chunk.len() > MAX_ANSWER {
                    return Err("the collector's answer is too large".into());
                }
                body.extend_from_slice(&chunk);
            }
            let mut response = http::Response::new(body.freeze());
            *response.status_mut() = answer.status();
            *response.headers_mut() = answer.headers().clone();
            Ok(response)
        });
        sent.await?
    }
}

/// Whether spans are sent.
pub fn are_on() -> bool {
    tracing::span_enabled!(target: TARGET, tracing::Level::INFO)
}

/// The span of a request that came in: `route` is a pattern, never a path. Its parent is the caller's
/// `traceparent` (W3C Trace Context), if that is well-formed.
pub fn request(method: &'static str, route: Option<&str>, headers: &HeaderMap) -> Span {
    let name = match route {
        Some(route) => format!("{method} {route}"),
        None => method.to_owned(),
    };
    let span = tracing::info_span!(
        target: TARGET,
        "request",
        otel.name = name,
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
    );
    if let Some(parent) = Traceparent::of(headers) {
        // It fails where no spans are sent.
        let _ = span.set_parent(TraceContextPropagator::new().extract(&parent));
    }
    span
}

/// The identifier of the trace that a span belongs to, if it is sent.
pub fn trace_id(span: &Span) -> Option<impl std::fmt::Display + use<>> {
    let context = span.context();
    let context = context.span().span_context().clone();
    context.is_sampled().then(|| context.trace_id())
}

/// A request is answered with this status.
pub fn answered(span: &Span, status: StatusCode) {
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
}

/// The span of a request that goes out, which the request tells its receiver.
pub fn outgoing<T>(request: &mut http::Request<T>) -> Span {
    let span = tracing::info_span!(
        target: TARGET,
        "outgoing",
        otel.name = method_name(request.method()),
        otel.kind = "client",
        otel.status_code = Empty,
        http.request.method = method_name(request.method()),
        server.address = request.uri().host(),
        http.response.status_code = Empty,
        "error.type" = Empty,
    );
    if !span.is_disabled() {
        let context = span.context();
        TraceContextPropagator::new()
            .inject_context(&context, &mut Traceparent::to(request.headers_mut()));
    }
    span
}

/// A request that went out has no answer.
pub fn unanswered(span: &Span, why: &'static str) {
    span.record("error.type", why);
    span.record("otel.status_code", "ERROR");
}

/// The name of an HTTP method that is not the request's own word (OpenTelemetry's semantic
/// conventions for HTTP).
pub fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "_OTHER",
    }
}

/// The one header of a trace that is taken from strangers and passed on to others. What a caller
/// wrote into `tracestate` or `baggage` goes no further.
struct Traceparent<H>(H);

impl<'a> Traceparent<&'a str> {
    /// That of a request that has exactly one.
    fn of(headers: &'a HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => Some(Self(value.to_str().ok()?)),
            _ => None,
        }
    }
}

impl<'a> Traceparent<&'a mut HeaderMap> {
    const fn to(headers: &'a mut HeaderMap) -> Self {
        Self(headers)
    }
}

impl Extractor for Traceparent<&str> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == TRACEPARENT.as_str()).then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent"]
    }
}

impl Injector for Traceparent<&mut HeaderMap> {
    fn set(&mut self, key: &str, value: String) {
        if key == TRACEPARENT.as_str()
            && let Ok(value) = HeaderValue::from_str(&value)
        {
            self.0.insert(TRACEPARENT, value);
        }
    }
}
