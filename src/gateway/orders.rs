//! Certificates that are ordered: looked after host by host, for as long as the gateway runs.
//!
//! What lies in the folder decides, so that a restart orders nothing that is there, and whoever shares the folder is
//! seen. One order at a time; each host has troubles of its own. What was ordered is shown by `certificates`, which
//! looks at the folder as at every other file. Started by `house` on the operator's thread, ended with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::certificates::date;
use crate::clock::Timestamp;
use crate::server::tls::Pair;
use crate::server::tls::acme::{Advice, Fault, Orders, Trouble, due};
use crate::telemetry::Metrics;

/// How often it is asked what is due: the wall clock may jump, and somebody else may have ordered, or removed
/// something.
const LOOK: Duration = Duration::from_secs(30);

/// How often an authority is asked when it would like a certificate to be renewed, if it does not say (RFC 9773
/// section 4.3.3).
const ASK: Duration = Duration::from_secs(6 * 60 * 60);

/// The last part of a certificate's life, in which its renewal cannot wait any longer.
const LAST: u32 = 6;

/// What wakes whoever orders.
#[derive(Default)]
pub(super) struct Calls {
    /// Somebody has put right what was wrong.
    pub(super) asked: Notify,
    /// A file is not what it was.
    pub(super) changed: Notify,
}

/// One host's certificate, as far as this process is concerned.
struct Host {
    trouble: Trouble,
    /// When it is looked at again.
    next: Timestamp,
    /// When it was looked at last: a clock that is before that was put back, and `next` means nothing any more.
    looked: Timestamp,
    reason: Reason,
    /// When the authority would like it to be renewed, as far as it has said so.
    advice: Option<Advice>,
    /// When it is asked about that.
    ask: Timestamp,
}

/// Why it is not looked at before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// There is time until then.
    Fresh,
    /// It could not be ordered.
    Failed,
    /// The authority has said so.
    Told,
}

/// Orders and renews until it is dropped; at once what has failed, whenever somebody asks, and what was removed.
pub(super) async fn keep_ordered(orders: Orders, calls: Arc<Calls>, metrics: Arc<Metrics>) {
    let names = orders.settings().names.clone();
    let mut hosts: BTreeMap<&str, Host> = names.iter().map(|name| (name.as_str(), Host::new())).collect();
    loop {
        for (name, host) in &mut hosts {
            if host.is_due(Timestamp::now()) || host.reason == Reason::Fresh && lacks(&orders, name).await {
                attend(&orders, name, host, &metrics).await;
            }
        }
        let now = Timestamp::now();
        let next = hosts.values().map(|host| host.next.since(now)).min().unwrap_or(LOOK);
        tokio::select! {
            () = tokio::time::sleep(next.clamp(Duration::from_secs(1), LOOK)) => {}
            () = calls.asked.notified() => hosts.values_mut().for_each(Host::hurry),
            () = calls.changed.notified() => {}
        }
    }
}

impl Host {
    fn new() -> Self {
        let (trouble, next, reason) = (Trouble::default(), Timestamp(0), Reason::Fresh);
        Self { trouble, next, looked: Timestamp(0), reason, advice: None, ask: Timestamp(0) }
    }

    fn is_due(&self, now: Timestamp) -> bool {
        self.next <= now || now < self.looked
    }

    /// There is nothing to do before `due`, unless the authority says so.
    fn rest(&mut self, due: Timestamp) {
        (self.trouble, self.next, self.reason) = (Trouble::default(), due.min(self.ask), Reason::Fresh);
    }

    /// Whoever asks has put right what was wrong; but what an authority has said stays said.
    fn hurry(&mut self) {
        if self.reason == Reason::Failed {
            self.next = Timestamp(0);
        }
    }
}

/// Orders a certificate for one host, if it is time.
async fn attend(orders: &Orders, name: &str, host: &mut Host, metrics: &Metrics) {
    let directory = &orders.settings().directory;
    let now = Timestamp::now();
    host.looked = now;
    let kept = kept(orders, name).await;
    if let Some(pair) = &kept {
        if host.ask <= now {
            consult(orders, name, pair, host, now).await;
        }
        let advised = host.advice.as_ref().and_then(|advice| advice.about(pair));
        let due = advised.map_or(due(pair), |advised| advised.min(due(pair)));
        if due > now {
            return host.rest(due);
        }
    }
    match &kept {
        None => tracing::info!(host = name, directory, "there is no certificate yet: one is ordered"),
        Some(_) => tracing::info!(host = name, directory, "a certificate is renewed"),
    }
    let outcome = orders.order(name, kept.as_ref(), now).await;
    let now = Timestamp::now();
    let outcome = match outcome {
        Ok(()) => match self::kept(orders, name).await.map(|pair| due(&pair)) {
            Some(due) if due > now => Ok(due),
            _ => Err(Fault::Unusable("it would have to be renewed already".to_owned())),
        },
        Err(fault) => Err(fault),
    };
    match outcome {
        Ok(due) => {
            metrics.certificate_order("issued");
            tracing::info!(host = name, renewal = date(due), "a certificate was ordered");
            // Not at once: an authority that is never content is not asked for one after the other.
            host.ask = now.after(ASK);
            host.rest(due);
        }
        Err(fault) => {
            let wait = host.trouble.after(name, &fault, now);
            host.next = now.after(wait);
            host.reason = if fault.retry_after().is_some() { Reason::Told } else { Reason::Failed };
            tell(name, &fault, kept.as_ref(), wait, now, metrics);
        }
    }
}

/// Asks the authority when it would like the certificate to be renewed. Nothing depends on its answer.
async fn consult(orders: &Orders, name: &str, pair: &Pair, host: &mut Host, now: Timestamp) {
    host.ask = now.after(ASK);
    match orders.advice(pair).await {
        Ok(advice) => {
            host.ask = now.after(advice.as_ref().map_or(ASK, |advice| advice.again));
            host.advice = advice;
        }
        Err(problem) => tracing::debug!(host = name, %problem, "the authority does not say when to renew"),
    }
}

/// Whether a certificate that was there was removed.
async fn lacks(orders: &Orders, name: &str) -> bool {
    let (folder, name) = (orders.folder().clone(), name.to_owned());
    tokio::task::spawn_blocking(move || folder.lacks(&name)).await.unwrap_or_default()
}

/// Reading may take its time.
async fn kept(orders: &Orders, name: &str) -> Option<Pair> {
    let (folder, name) = (orders.folder().clone(), name.to_owned());
    tokio::task::spawn_blocking(move || folder.kept(&name)).await.ok().flatten()
}

fn tell(host: &str, problem: &Fault, kept: Option<&Pair>, wait: Duration, now: Timestamp, metrics: &Metrics) {
    let again = humantime::format_duration(Duration::from_secs(wait.as_secs()));
    if matches!(problem, Fault::Taken) {
        tracing::info!(host, %again, "another gateway orders into this folder: waiting for it");
        return;
    }
    metrics.certificate_order("failed");
    let validity = kept.and_then(Pair::validity);
    let Some(validity) = validity.filter(|validity| validity.not_after > now) else {
        tracing::error!(host, %problem, %again, "no certificate could be ordered: nobody can come until there is one");
        return;
    };
    let (until, life) = (date(validity.not_after), validity.not_after.since(validity.not_before));
    if validity.not_after.since(now) < life / LAST {
        tracing::error!(host, %problem, until, %again, "a certificate could not be renewed and ends soon");
    } else {
        tracing::warn!(host, %problem, until, %again, "a certificate could not be renewed: the old one stays until then");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_looked_at_when_it_is_time_or_the_clock_was_put_back() {
        let host = Host { next: Timestamp(1_000), looked: Timestamp(900), ..Host::new() };
        let due: Vec<u64> =
            [800, 899, 900, 999, 1_000, 2_000].into_iter().filter(|now| host.is_due(Timestamp(*now))).collect();
        assert_eq!(due, [800, 899, 1_000, 2_000]);
        assert!(Host::new().is_due(Timestamp(0)));
    }
}
