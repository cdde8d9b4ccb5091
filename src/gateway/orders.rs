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
use crate::server::tls::acme::{Fault, Orders, Trouble, due};
use crate::telemetry::Metrics;

/// How often it is asked what is due: the wall clock may jump, and somebody else may have ordered.
const LOOK: Duration = Duration::from_secs(30);

/// The last part of a certificate's life, in which its renewal cannot wait any longer.
const LAST: u32 = 6;

/// One host's certificate, as far as this process is concerned.
struct Host {
    trouble: Trouble,
    /// When it is looked at again.
    next: Timestamp,
    reason: Reason,
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

/// Orders and renews until it is dropped; at once what has failed, whenever `asked` says so.
pub(super) async fn keep_ordered(orders: Orders, asked: Arc<Notify>, metrics: Arc<Metrics>) {
    let names = orders.settings().names.clone();
    let mut hosts: BTreeMap<&str, Host> = names.iter().map(|name| (name.as_str(), Host::fine(Timestamp(0)))).collect();
    loop {
        for (name, host) in &mut hosts {
            if host.next <= Timestamp::now() {
                attend(&orders, name, host, &metrics).await;
            }
        }
        let now = Timestamp::now();
        let next = hosts.values().map(|host| host.next.since(now)).min().unwrap_or(LOOK);
        tokio::select! {
            () = tokio::time::sleep(next.clamp(Duration::from_secs(1), LOOK)) => {}
            () = asked.notified() => hosts.values_mut().for_each(Host::hurry),
        }
    }
}

impl Host {
    /// Without troubles.
    fn fine(next: Timestamp) -> Self {
        Self { trouble: Trouble::default(), next, reason: Reason::Fresh }
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
    let kept = kept(orders, name).await;
    if let Some(pair) = &kept
        && due(pair) > now
    {
        *host = Host::fine(due(pair));
        return;
    }
    match &kept {
        None => tracing::info!(host = name, directory, "there is no certificate yet: one is ordered"),
        Some(_) => tracing::info!(host = name, directory, "a certificate is renewed"),
    }
    let outcome = orders.order(name, now).await;
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
            *host = Host::fine(due);
        }
        Err(fault) => {
            let wait = host.trouble.after(name, &fault, now);
            host.next = now.after(wait);
            host.reason = if fault.retry_after().is_some() { Reason::Told } else { Reason::Failed };
            tell(name, &fault, kept.as_ref(), wait, now, metrics);
        }
    }
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
