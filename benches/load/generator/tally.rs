//! What all connections of the load generator share: what to ask, and what was seen.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::bail;
use hdrhistogram::Histogram;

use super::http1::Requests;
use super::{Aim, Seen};
use crate::process;

/// The longest latency that is told from longer ones: a minute, in microseconds.
pub(super) const LONGEST: u64 = 60_000_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    WarmUp,
    Measuring,
    Done,
}

/// Shared by the tasks of one thread.
pub(super) struct Tally {
    phase: Cell<Phase>,
    latencies: RefCell<Histogram<u64>>,
    errors: Cell<u64>,
    complaint: RefCell<Option<String>>,
    negotiated: RefCell<Option<String>>,
    /// What can be asked.
    pub(super) requests: Requests,
}

impl Tally {
    /// Nothing seen yet.
    pub(super) fn new(aim: &Aim) -> anyhow::Result<Rc<Self>> {
        Ok(Rc::new(Self {
            phase: Cell::new(Phase::WarmUp),
            latencies: RefCell::new(Histogram::new_with_bounds(1, LONGEST, 3)?),
            errors: Cell::new(0),
            complaint: RefCell::new(None),
            negotiated: RefCell::new(None),
            requests: Requests::new(aim)?,
        }))
    }

    /// Whether there is more to do.
    pub(super) fn goes_on(&self) -> bool {
        self.phase.get() != Phase::Done
    }

    /// Whether what happens now counts.
    pub(super) fn counts(&self) -> bool {
        self.phase.get() == Phase::Measuring
    }

    /// One went well.
    pub(super) fn note(&self, began: Instant) {
        if self.counts() {
            let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.latencies.borrow_mut().saturating_record(micros);
        }
    }

    /// What a handshake came to.
    pub(super) fn negotiated(&self, what: impl FnOnce() -> String) {
        if self.negotiated.borrow().is_none() {
            *self.negotiated.borrow_mut() = Some(what());
        }
    }

    /// One did not.
    pub(super) fn fail(&self, error: &anyhow::Error) {
        if self.goes_on() {
            self.errors.set(self.errors.get() + 1);
            *self.complaint.borrow_mut() = Some(format!("{error:#}"));
        }
    }

    /// Lets it run, says when it is warm, and sums up.
    pub(super) async fn watch(&self, aim: &Aim) -> anyhow::Result<Seen> {
        tokio::time::sleep(Duration::from_secs_f64(aim.warm_up)).await;
        println!("measuring");
        let (began, cpu) = (Instant::now(), process::cpu_of(std::process::id())?);
        self.phase.set(Phase::Measuring);
        tokio::time::sleep(Duration::from_secs_f64(aim.seconds)).await;
        self.phase.set(Phase::Done);
        let seconds = began.elapsed().as_secs_f64();
        let cpu = process::cpu_of(std::process::id())?.saturating_sub(cpu);
        let latencies = self.latencies.borrow();
        let seen = Seen {
            errors: self.errors.get(),
            seconds,
            cpu: cpu.as_secs_f64(),
            late: None,
            negotiated: self.negotiated.take(),
            ..summary(&latencies)
        };
        if seen.requests > 0 && seen.errors == 0 {
            return Ok(seen);
        }
        let complaint = self.complaint.take();
        bail!("{} connections failed, the last one: {}", seen.errors, complaint.unwrap_or_default())
    }
}

/// The latencies, and nothing else yet.
pub(super) fn summary(latencies: &Histogram<u64>) -> Seen {
    Seen {
        requests: latencies.len(),
        errors: 0,
        seconds: 0.0,
        p50: latencies.value_at_quantile(0.5),
        p99: latencies.value_at_quantile(0.99),
        p999: latencies.value_at_quantile(0.999),
        cpu: 0.0,
        late: None,
        negotiated: None,
    }
}
