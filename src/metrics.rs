//! What is counted and timed, for Prometheus. Each server has its own registry: [`App`] hands it out
//! like the clock, and without one recording does nothing.
//!
//! A label has words of this program alone: `&'static str`, or the route that a request matched.
//! What a request, a configuration or a person brings along cannot get into one.
//!
//! [`App`]: crate::app::App

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use prometheus_client::encoding::{EncodeLabelSet, prometheus_text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

use crate::domain::sign_in::Check;

/// The media type of [`Metrics::text`].
pub use prometheus_client::encoding::prometheus_text::CONTENT_TYPE;

/// The buckets of all times, in seconds.
const BUCKETS: [f64; 15] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// The status of a request whose client went away before the answer, as web servers log it.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// Which door a request takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// The RPC services.
    Api,
    /// SCIM.
    Scim,
    /// The pages of signing in.
    Login,
    /// What applications sign people in with.
    Provider,
    /// Streams of security events.
    Signals,
    /// The pages of administrators.
    Console,
    /// The signs of life.
    Probe,
    /// None: nothing is at the path.
    Other,
}

impl Door {
    const ALL: [Self; 8] = [
        Self::Api,
        Self::Scim,
        Self::Login,
        Self::Provider,
        Self::Signals,
        Self::Console,
        Self::Probe,
        Self::Other,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Scim => "scim",
            Self::Login => "login",
            Self::Provider => "provider",
            Self::Signals => "signals",
            Self::Console => "console",
            Self::Probe => "probe",
            Self::Other => "other",
        }
    }
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// The person signed out.
    SignedOut,
    /// The person ended it from another one.
    EndedByMember,
    /// The browser signed in anew.
    Replaced,
    /// It was over, and was tidied up.
    Expired,
    /// The SSO configuration was changed.
    Configuration,
    /// An administrator ended it.
    Administrator,
    /// Provisioning suspended or removed the member.
    Deprovisioned,
}

impl SessionEnd {
    const ALL: [Self; 7] = [
        Self::SignedOut,
        Self::EndedByMember,
        Self::Replaced,
        Self::Expired,
        Self::Configuration,
        Self::Administrator,
        Self::Deprovisioned,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::SignedOut => "signed_out",
            Self::EndedByMember => "ended_by_member",
            Self::Replaced => "replaced",
            Self::Expired => "expired",
            Self::Configuration => "configuration",
            Self::Administrator => "administrator",
            Self::Deprovisioned => "deprovisioned",
        }
    }
}

/// The result of verifying a presented token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// It was verified before.
    Cached,
    /// argon2id says that it is the right one.
    Verified,
    /// argon2id says that it is another one.
    Wrong,
    /// It was not looked at: too many others wait, or failed.
    Throttled,
}

impl Verification {
    const ALL: [Self; 4] = [Self::Cached, Self::Verified, Self::Wrong, Self::Throttled];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Cached => "cached",
            Self::Verified => "verified",
            Self::Wrong => "wrong",
            Self::Throttled => "throttled",
        }
    }
}

/// Labels and their values.
type Labels<const N: usize> = [(&'static str, &'static str); N];
type Counters<const N: usize> = Family<Labels<N>, Counter>;
type Gauges<const N: usize> = Family<Labels<N>, Gauge>;
type Times<L> = Family<L, Histogram, fn() -> Histogram>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    door: &'static str,
    method: Cow<'static, str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    door: &'static str,
    method: Cow<'static, str>,
    status: u16,
}

/// Where everything is counted. Clones count to the same; the default one does not count.
#[derive(Clone, Default)]
pub struct Metrics(Option<Arc<Inner>>);

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Metrics({})", if self.is_on() { "on" } else { "off" })
    }
}

struct Inner {
    registry: Registry,
    requests: Family<Answered, Counter>,
    request_times: Times<Route>,
    in_flight: Gauges<1>,
    scim_dialect: Counters<1>,
    scim_changes: Counters<2>,
    scim_refusals: Counters<1>,
    sign_ins: Counters<2>,
    sessions_begun: Counter,
    sessions_ended: Counters<1>,
    verifications: Counters<1>,
    hash_times: Times<Labels<1>>,
    jobs: Counters<2>,
    job_times: Times<Labels<1>>,
    job_rows: Counters<1>,
    job_successes: Gauges<1>,
    outgoing_times: Times<Labels<1>>,
    connections_max: Gauge,
    connections_in_use: Gauge,
    connections_waiting: Gauge,
    connection_waits: Histogram,
    log_lines_dropped: Counter,
}

fn times() -> Histogram {
    Histogram::new(BUCKETS)
}

/// Registers metrics as they are made.
#[derive(Default)]
struct Register(Registry);

impl Register {
    /// `name` is without the `_total` of counters, `help` without the full stop at the end.
    fn add<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register(name, help, metric.clone());
        metric
    }

    fn counters<L>(&mut self, name: &str, help: &str) -> Family<L, Counter>
    where
        Family<L, Counter>: Metric,
        L: Clone + Eq + std::hash::Hash,
    {
        self.add(name, help, Family::default())
    }

    fn times<L>(&mut self, name: &str, help: &str) -> Times<L>
    where
        Times<L>: Metric,
        L: Clone + Eq + std::hash::Hash,
    {
        self.add(name, help, Family::new_with_constructor(times as fn() -> _))
    }
}

impl Metrics {
    /// Counts from now on, for a process that started at `started_at`.
    pub fn on(started_at: DateTime<Utc>) -> Self {
        let mut r = Register::default();
        let start: Gauge = r.add(
            "process_start_time_seconds",
            "When the process started, in seconds since the epoch",
            Gauge::default(),
        );
        start.set(started_at.timestamp());
        let build: Gauges<1> = r.add(
            "rollcall_build_info",
            "Which version runs: always 1",
            Family::default(),
        );
        build
            .get_or_create(&[("version", env!("CARGO_PKG_VERSION"))])
            .set(1);
        let inner = Inner {
            requests: r.counters(
                "rollcall_requests",
                "Requests that were answered, or given up by the client (499)",
            ),
            request_times: r.times(
                "rollcall_request_duration_seconds",
                "Time from the head of a request to the head of its answer",
            ),
            in_flight: r.add(
                "rollcall_requests_in_flight",
                "Requests that are not answered yet",
                Family::default(),
            ),
            scim_dialect: r.counters(
                "rollcall_scim_dialect",
                "SCIM changes that were asked for in an identity provider's own way",
            ),
            scim_changes: r.counters("rollcall_scim_changes", "SCIM changes that were made"),
            scim_refusals: r.counters(
                "rollcall_scim_refusals",
                "SCIM requests and operations of bulk requests that were refused",
            ),
            sign_ins: r.counters("rollcall_sign_ins", "Tries to sign in that ended"),
            sessions_begun: r.add(
                "rollcall_sessions_begun",
                "Sessions that began",
                Counter::default(),
            ),
            sessions_ended: r.counters(
                "rollcall_sessions_ended",
                "Sessions that ended, where this process knows why",
            ),
            verifications: r.counters(
                "rollcall_token_verifications",
                "Bearer tokens that were presented for a row that exists",
            ),
            hash_times: r.times(
                "rollcall_token_hash_duration_seconds",
                "Time of a run of argon2id, without the wait for its turn",
            ),
            jobs: r.counters("rollcall_job_runs", "Runs of background jobs"),
            job_times: r.times(
                "rollcall_job_duration_seconds",
                "Time of a run of a background job",
            ),
            job_rows: r.counters(
                "rollcall_job_rows",
                "What background jobs worked on: rows deleted, tables analyzed",
            ),
            job_successes: r.add(
                "rollcall_job_last_success_timestamp_seconds",
                "When a background job last succeeded, in seconds since the epoch",
                Family::default(),
            ),
            outgoing_times: r.times(
                "rollcall_outgoing_request_duration_seconds",
                "Time of a request to an identity provider",
            ),
            connections_max: r.add(
                "rollcall_database_connections_max",
                "How many connections to the database there may be",
                Gauge::default(),
            ),
            connections_in_use: r.add(
                "rollcall_database_connections_in_use",
                "Connections to the database that somebody uses",
                Gauge::default(),
            ),
            connections_waiting: r.add(
                "rollcall_database_connections_waiting",
                "How many wait for a connection to the database",
                Gauge::default(),
            ),
            connection_waits: r.add(
                "rollcall_database_wait_duration_seconds",
                "Time until there was a connection to the database, or it was given up",
                times(),
            ),
            log_lines_dropped: r.add(
                "rollcall_log_lines_dropped",
                "Log lines that could not be written",
                Counter::default(),
            ),
            registry: r.0,
        };
        inner.begin_at_zero();
        Self(Some(Arc::new(inner)))
    }

    /// Whether anything is counted.
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Everything in Prometheus' text format (version 0.0.4); empty when nothing is counted.
    ///
    /// # Errors
    ///
    /// When a metric cannot be written: a fault of the program.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        if let Some(inner) = &self.0 {
            prometheus_text::encode(&mut text, &inner.registry)?;
        }
        Ok(text)
    }

    /// A request began; what is returned is told how it ends. `method` is what it asks for, in words
    /// of the route that it matched.
    pub fn request(&self, door: Door, method: Cow<'static, str>) -> Measured {
        let door = door.as_str();
        let request = self.0.clone().map(|inner| {
            inner.in_flight.get_or_create(&[("door", door)]).inc();
            (inner, Route { door, method }, Instant::now())
        });
        Measured {
            request,
            status: None,
        }
    }

    /// A SCIM resource was `outcome`, in a dialect with these traits.
    pub fn scim_changed(
        &self,
        resource: &'static str,
        outcome: &'static str,
        traits: &[&'static str],
    ) {
        let Some(inner) = &self.0 else { return };
        let labels = [("resource", resource), ("outcome", outcome)];
        inner.scim_changes.get_or_create(&labels).inc();
        for name in traits {
            inner.scim_dialect.get_or_create(&[("trait", *name)]).inc();
        }
    }

    /// A SCIM request or an operation of a bulk request was refused.
    pub fn scim_refused(&self, reason: &'static str) {
        let Some(inner) = &self.0 else { return };
        inner
            .scim_refusals
            .get_or_create(&[("reason", reason)])
            .inc();
    }

    /// A person signed in, with a new session, or failed a check.
    pub fn sign_in(&self, failed: Option<Check>) {
        match failed {
            None => self.sign_in_ended("signed_in", ""),
            Some(check) => self.sign_in_ended("refused", check.as_str()),
        }
    }

    /// A try to sign in ended because of a fault of Rollcall or of its database.
    pub fn sign_in_failed(&self) {
        self.sign_in_ended("failed", "");
    }

    fn sign_in_ended(&self, outcome: &'static str, check: &'static str) {
        let Some(inner) = &self.0 else { return };
        let labels = [("outcome", outcome), ("check", check)];
        inner.sign_ins.get_or_create(&labels).inc();
    }

    /// A session began.
    pub fn session_begun(&self) {
        let Some(inner) = &self.0 else { return };
        inner.sessions_begun.inc();
    }

    /// So many sessions ended.
    pub fn sessions_ended(&self, cause: SessionEnd, count: u64) {
        let Some(inner) = &self.0 else { return };
        let labels = [("cause", cause.as_str())];
        inner.sessions_ended.get_or_create(&labels).inc_by(count);
    }

    /// A token was presented.
    pub fn verification(&self, outcome: Verification) {
        let Some(inner) = &self.0 else { return };
        let labels = [("outcome", outcome.as_str())];
        inner.verifications.get_or_create(&labels).inc();
    }

    /// argon2id ran, to `verify` or to `make` a hash.
    pub fn hashed(&self, purpose: &'static str, time: Duration) {
        let Some(inner) = &self.0 else { return };
        let labels = [("purpose", purpose)];
        inner
            .hash_times
            .get_or_create(&labels)
            .observe(time.as_secs_f64());
    }

    /// A background job ran until `now`, and worked on so many rows; `None` when it failed.
    pub fn job(&self, job: &'static str, rows: Option<u64>, time: Duration, now: DateTime<Utc>) {
        let Some(inner) = &self.0 else { return };
        // Prometheus has a label "job" of its own.
        let labels = [("task", job)];
        let outcome = if rows.is_some() {
            "succeeded"
        } else {
            "failed"
        };
        inner
            .jobs
            .get_or_create(&[("task", job), ("outcome", outcome)])
            .inc();
        inner
            .job_times
            .get_or_create(&labels)
            .observe(time.as_secs_f64());
        if let Some(rows) = rows {
            inner.job_rows.get_or_create(&labels).inc_by(rows);
            inner
                .job_successes
                .get_or_create(&labels)
                .set(now.timestamp());
        }
    }

    /// A run of a background job ended by a panic.
    pub fn job_ended(&self, job: &'static str) {
        let Some(inner) = &self.0 else { return };
        inner
            .jobs
            .get_or_create(&[("task", job), ("outcome", "ended")])
            .inc();
    }

    /// How many log lines were lost since the process began.
    pub fn log_lines_dropped(&self, count: u64) {
        let Some(inner) = &self.0 else { return };
        let known = inner.log_lines_dropped.get();
        inner.log_lines_dropped.inc_by(count.saturating_sub(known));
    }

    /// How many connections to the database there may be, and are used at this moment.
    pub fn connections(&self, max: usize, in_use: usize) {
        let Some(inner) = &self.0 else { return };
        let number = |count| i64::try_from(count).unwrap_or(i64::MAX);
        inner.connections_max.set(number(max));
        inner.connections_in_use.set(number(in_use));
    }

    /// Somebody waits for a connection to the database, until what is returned is dropped.
    pub fn connection_wanted(&self) -> Waiting {
        Waiting(self.0.clone().map(|inner| {
            inner.connections_waiting.inc();
            (inner, Instant::now())
        }))
    }

    /// A request to an identity provider ended.
    pub fn outgoing(&self, outcome: &'static str, time: Duration) {
        let Some(inner) = &self.0 else { return };
        inner
            .outgoing_times
            .get_or_create(&[("outcome", outcome)])
            .observe(time.as_secs_f64());
    }
}

impl Inner {
    /// Makes every counter with the value 0: a counter that appears with its first event has no growth, and rates and alerts miss
    /// that event.
    fn begin_at_zero(&self) {
        for door in Door::ALL {
            self.in_flight
                .get_or_create_owned(&[("door", door.as_str())]);
        }
        for cause in SessionEnd::ALL {
            let labels = [("cause", cause.as_str())];
            self.sessions_ended.get_or_create_owned(&labels);
        }
        for outcome in Verification::ALL {
            let labels = [("outcome", outcome.as_str())];
            self.verifications.get_or_create_owned(&labels);
        }
        for outcome in ["signed_in", "failed"] {
            let labels = [("outcome", outcome), ("check", "")];
            self.sign_ins.get_or_create_owned(&labels);
        }
    }
}

/// A wait for a connection.
#[must_use]
pub struct Waiting(Option<(Arc<Inner>, Instant)>);

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some((inner, begun)) = &self.0 {
            inner.connections_waiting.dec();
            let time = begun.elapsed().as_secs_f64();
            inner.connection_waits.observe(time);
        }
    }
}

/// A request that is under way. Dropping it means that the client went away, or a panic.
#[must_use]
pub struct Measured {
    request: Option<(Arc<Inner>, Route, Instant)>,
    status: Option<u16>,
}

impl Measured {
    /// The request is answered with this HTTP status.
    pub fn end(mut self, status: u16) {
        self.status = Some(status);
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        let Some((inner, route, begun)) = self.request.take() else {
            return;
        };
        let status = match self.status {
            Some(status) => status,
            None if std::thread::panicking() => 500,
            None => CLIENT_CLOSED_REQUEST,
        };
        inner.in_flight.get_or_create(&[("door", route.door)]).dec();
        inner
            .request_times
            .get_or_create(&route)
            .observe(begun.elapsed().as_secs_f64());
        let Route { door, method } = route;
        let answered = Answered {
            door,
            method,
            status,
        };
        inner.requests.get_or_create(&answered).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_counted_unless_asked_for() {
        let off = Metrics::default();
        off.request(Door::Api, "x".into()).end(200);
        off.sign_in(None);
        assert_eq!(off.text().unwrap(), "");
    }

    #[test]
    fn a_request_is_in_flight_until_it_is_answered_given_up_or_panics() {
        let metrics = Metrics::on(DateTime::UNIX_EPOCH);
        let has = |line: &str| {
            let text = metrics.text().unwrap();
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        };
        let first = metrics.request(Door::Api, "x".into());
        let second = metrics.request(Door::Api, "x".into());
        has(r#"rollcall_requests_in_flight{door="api"} 2"#);
        first.end(404);
        drop(second);
        let third = metrics.request(Door::Api, "x".into());
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _third = third;
            panic!("as if a handler");
        }));
        assert!(panicked.is_err());
        has(r#"rollcall_requests_in_flight{door="api"} 0"#);
        for status in [404, 499, 500] {
            has(&format!(
                r#"rollcall_requests_total{{door="api",method="x",status="{status}"}} 1"#
            ));
        }
        has(r#"rollcall_request_duration_seconds_count{door="api",method="x"} 3"#);
    }
}
