//! Counters for the addresses of apps.
//!
//! How often one is picked is counted in cells of one core each, far enough apart that two cores never fight over
//! a cache line; what is rare is counted once for all. Addresses are the configuration's own words, so there are
//! few. Made by `proxy::group`, summed when somebody looks.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::lock;

/// The counters of one address of one route.
#[derive(Clone, Debug)]
pub struct AddressMetrics(Arc<Cells>);

/// One core's count of requests that one address was picked for.
#[derive(Clone, Debug)]
pub struct Picks(Arc<Tally>);

#[derive(Debug)]
struct Cells {
    route: String,
    address: String,
    up: AtomicBool,
    ejections: AtomicU64,
    failures: AtomicU64,
    retries: AtomicU64,
    picks: Mutex<Vec<Arc<Tally>>>,
}

/// Two cache lines, because processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Tally(AtomicU64);

impl AddressMetrics {
    pub(super) fn new(route: &str, address: &str) -> Self {
        Self(Arc::new(Cells {
            route: route.to_owned(),
            address: address.to_owned(),
            up: AtomicBool::new(true),
            ejections: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            picks: Mutex::default(),
        }))
    }

    /// A count for one core.
    pub fn picks(&self) -> Picks {
        let tally = Arc::new(Tally::default());
        lock(&self.0.picks).push(Arc::clone(&tally));
        Picks(tally)
    }

    /// It left a request without an answer.
    pub fn failure(&self) {
        self.0.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// It was asked because another address left a request without an answer.
    pub fn retry(&self) {
        self.0.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// It went out because requests failed.
    pub fn ejection(&self) {
        self.0.ejections.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether it is asked.
    pub fn up(&self, up: bool) {
        self.0.up.store(up, Ordering::Relaxed);
    }
}

impl Picks {
    /// One request more.
    pub fn count(&self) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Cells {
    fn labels(&self) -> [(&str, &str); 2] {
        [("route", &self.route), ("address", &self.address)]
    }

    /// `None` where there is nothing to pick from.
    fn picked(&self) -> Option<u64> {
        let picks = lock(&self.picks);
        (!picks.is_empty()).then(|| picks.iter().map(|tally| tally.0.load(Ordering::Relaxed)).sum())
    }
}

type Count = fn(&Cells) -> Option<u64>;

/// Writes all of them; nothing while no route has several addresses or health checks.
pub(super) fn encode(addresses: &[AddressMetrics], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    if addresses.is_empty() {
        return Ok(());
    }
    let help = "Whether an address of an app is asked (1) or out (0)";
    let mut family = encoder.encode_descriptor("upstream_up", help, None, MetricType::Gauge)?;
    for AddressMetrics(cells) in addresses {
        let up = i64::from(cells.up.load(Ordering::Relaxed));
        ConstGauge::new(up).encode(family.encode_family(&cells.labels())?)?;
    }
    let counters: [(&str, &str, Count); 4] = [
        ("upstream_picks", "Requests that an address of an app was picked for", Cells::picked),
        ("upstream_failures", "Requests that an address of an app left without an answer", |cells| {
            Some(cells.failures.load(Ordering::Relaxed))
        }),
        ("upstream_retries", "Requests that came to an address of an app because another did not answer", |cells| {
            Some(cells.retries.load(Ordering::Relaxed))
        }),
        ("upstream_ejections", "How often an address of an app went out because requests failed", |cells| {
            Some(cells.ejections.load(Ordering::Relaxed))
        }),
    ];
    for (name, help, count) in counters {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for AddressMetrics(cells) in addresses {
            if let Some(count) = count(cells) {
                ConstCounter::new(count).encode(family.encode_family(&cells.labels())?)?;
            }
        }
    }
    Ok(())
}
