//! Counters for Prometheus, in the OpenMetrics text format.
//!
//! What is counted for each request is counted in cells that belong to one worker and one route, resolved once
//! and summed when somebody looks: no lock, no hashing, no cache line that two cores fight over. Labels have few
//! values by design: route names, never paths, hosts or people. Called by `gateway`, `login`, `proxy`; read by
//! `admin`.

mod addresses;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::StatusCode;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::line::Decision;

pub use addresses::{AddressMetrics, Picks};

/// Upper bounds of the latency buckets, in microseconds; the last bucket has none.
const BOUNDS: [u64; 14] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 10_000_000,
];
/// `1xx` to `5xx`.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

type Labelled = Family<[(&'static str, &'static str); 1], Counter>;
/// By provider and outcome.
type SignIns = Family<[(&'static str, String); 2], Counter>;
/// By provider, who began it, and outcome.
type SingleLogouts = Family<[(&'static str, String); 3], Counter>;
type Callback = Box<dyn Fn() -> u64 + Send + Sync>;
type ByName = Box<dyn Fn() -> Vec<(String, u64)> + Send + Sync>;

/// Who began a single logout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Somebody signed out here, and the provider is asked to follow.
    Outgoing,
    /// Somebody signed out there, and we are asked to follow.
    Incoming,
}

/// Every counter of one process.
pub struct Metrics {
    registry: Registry,
    house: Arc<House>,
    sign_ins: SignIns,
    single_logouts: SingleLogouts,
    refusals: Labelled,
    server: Labelled,
    upstream: Labelled,
    reloads: Labelled,
    orders: Labelled,
    connections: Gauge,
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("portcullis");
        let house = Arc::new(House::default());
        let (refusals, server, upstream) = <(Labelled, Labelled, Labelled)>::default();
        let sign_ins = SignIns::default();
        let single_logouts = SingleLogouts::default();
        let (reloads, orders, connections) = (Labelled::default(), Labelled::default(), Gauge::default());
        registry.register("sign_ins", "Sign-ins by provider and how they ended", sign_ins.clone());
        let help = "Messages of single logout by provider, who began it and what came of them";
        registry.register("single_logouts", help, single_logouts.clone());
        registry.register("refusals", "Requests that were declined, by the refusal's code", refusals.clone());
        registry.register("server_events", "What happened at the listeners, by event", server.clone());
        registry.register("upstream_events", "What happened towards the apps, by event", upstream.clone());
        registry.register("certificate_reloads", "Certificate files that were changed, by outcome", reloads.clone());
        registry.register("certificate_orders", "Certificates that were ordered, by outcome", orders.clone());
        registry.register("connections", "Open client connections, tunnels included", connections.clone());
        registry.register("build", "The running version", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        registry.register_collector(Box::new(Arc::clone(&house)));
        Self { registry, house, sign_ins, single_logouts, refusals, server, upstream, reloads, orders, connections }
    }

    /// Counters for one route, for one worker to keep: each call makes new ones, all are summed.
    pub fn route(&self, name: &str) -> RouteMetrics {
        let cells = Arc::new(Cells::default());
        lock(&self.house.routes).push((name.to_owned(), Arc::clone(&cells)));
        RouteMetrics(cells)
    }

    /// Counters for one address of a route's app; each pair is asked for once.
    pub fn address(&self, route: &str, address: &str) -> AddressMetrics {
        let metrics = AddressMetrics::new(route, address);
        lock(&self.house.addresses).push(metrics.clone());
        metrics
    }

    /// A sign-in by `provider` (empty before one was chosen) ended with `outcome`: `signed_in`, or a refusal's code.
    pub fn sign_in(&self, provider: &str, outcome: &'static str) {
        let labels = [("provider", provider.to_owned()), ("outcome", outcome.to_owned())];
        self.sign_ins.get_or_create(&labels).inc();
    }

    /// A message of single logout was sent or arrived, with `outcome`: a word of its own, or a refusal's code.
    pub fn single_logout(&self, provider: &str, direction: Direction, outcome: &'static str) {
        let direction = match direction {
            Direction::Outgoing => "outgoing",
            Direction::Incoming => "incoming",
        };
        let labels = [("provider", provider), ("direction", direction), ("outcome", outcome)];
        self.single_logouts.get_or_create(&labels.map(|(name, value)| (name, value.to_owned()))).inc();
    }

    /// A request was declined.
    pub fn refusal(&self, code: &'static str) {
        self.refusals.get_or_create(&[("code", code)]).inc();
    }

    /// Something happened at a door (`server::Event::name`).
    pub fn server_event(&self, name: &'static str) {
        match name {
            "accepted" => _ = self.connections.inc(),
            "closed" => _ = self.connections.dec(),
            _ => {}
        }
        self.server.get_or_create(&[("event", name)]).inc();
    }

    /// Something happened towards an app.
    pub fn upstream_event(&self, name: &'static str) {
        self.upstream.get_or_create(&[("event", name)]).inc();
    }

    /// Certificate files were changed, with `outcome`: `replaced` or `refused`.
    pub fn certificate_reload(&self, outcome: &'static str) {
        self.reloads.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// A certificate was ordered from an authority, with `outcome`: `issued` or `failed`.
    pub fn certificate_order(&self, outcome: &'static str) {
        self.orders.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// How to learn when each certificate ends, by its file, in seconds since the epoch, when somebody asks.
    pub fn watch_certificates(&self, ends: impl Fn() -> Vec<(String, u64)> + Send + Sync + 'static) {
        *lock(&self.house.certificates) = Some(Box::new(ends));
    }

    /// The same for revocation lists.
    pub fn watch_revocation_lists(&self, ends: impl Fn() -> Vec<(String, u64)> + Send + Sync + 'static) {
        *lock(&self.house.revocation_lists) = Some(Box::new(ends));
    }

    /// How to learn the number of sessions when somebody asks.
    pub fn watch_sessions(&self, count: impl Fn() -> u64 + Send + Sync + 'static) {
        *lock(&self.house.sessions) = Some(Box::new(count));
    }

    /// How to learn the number of lost access lines when somebody asks.
    pub fn watch_dropped_lines(&self, count: impl Fn() -> u64 + Send + Sync + 'static) {
        *lock(&self.house.dropped_lines) = Some(Box::new(count));
    }

    /// Everything, in the OpenMetrics text format ([`Self::CONTENT_TYPE`]).
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail; a scrape of half the counters would mislead, so it would be empty.
        if prometheus_client::encoding::text::encode(&mut text, &self.registry).is_err() {
            text.clear();
        }
        text
    }

    /// The media type of [`Self::encode`].
    pub const CONTENT_TYPE: &'static str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// The counters of one route in one worker.
#[derive(Clone)]
pub struct RouteMetrics(Arc<Cells>);

impl RouteMetrics {
    /// Counts one request, after it is done.
    pub fn count(&self, decision: Decision, status: StatusCode, duration: Duration) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1).min(CLASSES.len() - 1);
        add(&self.0.requests[decision as usize][class], 1);
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|&bound| bound < micros);
        add(&self.0.buckets[bucket], 1);
        add(&self.0.sum, micros);
    }
}

/// Only the worker that keeps a cell writes it, so nothing is lost between the two halves, which cost a tenth of an
/// addition that other cores could take part in.
fn add(cell: &AtomicU64, amount: u64) {
    cell.store(cell.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
}

#[derive(Default)]
struct Cells {
    requests: [[AtomicU64; CLASSES.len()]; Decision::ALL.len()],
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum: AtomicU64,
}

/// What is summed when somebody looks.
#[derive(Default)]
struct House {
    routes: Mutex<Vec<(String, Arc<Cells>)>>,
    addresses: Mutex<Vec<AddressMetrics>>,
    sessions: Mutex<Option<Callback>>,
    dropped_lines: Mutex<Option<Callback>>,
    certificates: Mutex<Option<ByName>>,
    revocation_lists: Mutex<Option<ByName>>,
}

impl fmt::Debug for House {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("House")
    }
}

impl Collector for House {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut routes: BTreeMap<String, Vec<Arc<Cells>>> = BTreeMap::new();
        for (name, cells) in lock(&self.routes).iter() {
            routes.entry(name.clone()).or_default().push(Arc::clone(cells));
        }
        encode_requests(&routes, &mut encoder)?;
        encode_durations(&routes, &mut encoder)?;
        addresses::encode(&lock(&self.addresses), &mut encoder)?;
        if let Some(sessions) = lock(&self.sessions).as_ref() {
            let gauge = ConstGauge::new(i64::try_from(sessions()).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor("sessions", "Sessions in memory", None, MetricType::Gauge)?)?;
        }
        if let Some(dropped) = lock(&self.dropped_lines).as_ref() {
            let help = "Access lines lost because standard output did not keep up";
            ConstCounter::new(dropped()).encode(encoder.encode_descriptor(
                "access_lines_dropped",
                help,
                None,
                MetricType::Counter,
            )?)?;
        }
        if let Some(certificates) = lock(&self.certificates).as_ref() {
            let help = "When each certificate that is shown ends, in seconds since 1970";
            encode_ends("certificate_expiry_timestamp_seconds", help, "certificate", certificates(), &mut encoder)?;
        }
        if let Some(ends) = lock(&self.revocation_lists).as_ref().map(|lists| lists()).filter(|ends| !ends.is_empty()) {
            let help = "When the first revocation list of each file ends, in seconds since 1970";
            encode_ends("revocation_list_expiry_timestamp_seconds", help, "file", ends, &mut encoder)?;
        }
        Ok(())
    }
}

fn encode_ends(
    name: &str,
    help: &str,
    label: &str,
    ends: Vec<(String, u64)>,
    encoder: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (file, end) in ends {
        let gauge = ConstGauge::new(i64::try_from(end).unwrap_or(i64::MAX));
        gauge.encode(family.encode_family(&[(label, file.as_str())])?)?;
    }
    Ok(())
}

fn encode_requests(routes: &BTreeMap<String, Vec<Arc<Cells>>>, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Requests by route, decision and class of status";
    let mut family = encoder.encode_descriptor("requests", help, None, MetricType::Counter)?;
    for (route, workers) in routes {
        for decision in Decision::ALL {
            for (class, status) in CLASSES.iter().enumerate() {
                let count = sum(workers, |cells| &cells.requests[decision as usize][class]);
                if count > 0 {
                    let labels = [("route", route.as_str()), ("decision", decision.as_str()), ("status", *status)];
                    ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
                }
            }
        }
    }
    Ok(())
}

fn encode_durations(routes: &BTreeMap<String, Vec<Arc<Cells>>>, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "From a request's head to its answer's head, by route";
    let mut family = encoder.encode_descriptor("request_duration_seconds", help, None, MetricType::Histogram)?;
    for (route, workers) in routes {
        let bounds = BOUNDS.iter().map(|&micros| seconds(micros)).chain([f64::INFINITY]);
        let buckets: Vec<_> =
            bounds.enumerate().map(|(index, bound)| (bound, sum(workers, |cells| &cells.buckets[index]))).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let total = seconds(sum(workers, |cells| &cells.sum));
        family
            .encode_family(&[("route", route.as_str())])?
            .encode_histogram::<NoLabelSet>(total, count, &buckets, None)?;
    }
    Ok(())
}

fn sum(workers: &[Arc<Cells>], cell: impl Fn(&Cells) -> &AtomicU64) -> u64 {
    workers.iter().map(|cells| cell(cells).load(Ordering::Relaxed)).sum()
}

fn seconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64()
}

/// A panic elsewhere leaves counters that are still counters.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
