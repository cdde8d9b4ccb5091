//! Certificates while the gateway runs: looked at on a beat or when somebody asks, told about, counted; and what
//! follows from them for a request.
//!
//! The looking itself is `watch`'s. Started by `house`, asked by `gateway` for each request.

use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderValue;
use tokio::sync::Notify;

use super::orders::Calls;
use super::watch::watch;
use crate::admin::Readiness;
use crate::clock::Timestamp;
use crate::config::Config;
use crate::http::client::SetupProblem;
use crate::http::{Peer, Reply, Scheme};
use crate::server::tls::acme::Orders;
use crate::server::tls::{Change, Occasion, Outcome, Pair, Problem, Reloader, Settings, Tls};
use crate::telemetry::Metrics;

/// What is said once all that people need is there.
pub(super) const READY: &str = "ready: people can sign in";

/// Certificates are renewed before their last weeks.
const SOON: Duration = Duration::from_secs(30 * 86_400);

/// What a request owes to the way that it came; one core's, so that nothing here is counted by two.
#[derive(Default)]
pub(super) struct Transport {
    /// There is no question while there is one certificate.
    several: Option<Arc<Tls>>,
    hsts: Option<HeaderValue>,
}

impl Transport {
    pub(super) fn new(settings: Option<&Settings>, tls: Option<&Arc<Tls>>) -> Self {
        let several = tls.filter(|_| settings.is_some_and(|settings| settings.sources().len() > 1)).cloned();
        let age = settings.and_then(|settings| settings.hsts);
        let hsts = age.and_then(|age| HeaderValue::try_from(format!("max-age={}", age.as_secs())).ok());
        Self { several, hsts }
    }

    /// Whether the host at that place may be asked for over this connection (RFC 9110 section 7.4).
    pub(super) fn fits(&self, peer: &Peer, host: usize) -> bool {
        match (&self.several, peer.shown) {
            (Some(tls), Some(shown)) => tls.fits(shown, host),
            _ => true,
        }
    }

    /// Tells the browser to come by TLS alone (RFC 6797 section 7): never over plain text, and in place of what the
    /// app says, which knows nothing of TLS and is not alone at its host.
    pub(super) fn harden(&self, peer: &Peer, reply: &mut Reply) {
        if let Some(hsts) = &self.hsts
            && peer.scheme == Scheme::Https
        {
            reply.insert(hyper::header::STRICT_TRANSPORT_SECURITY, hsts.clone());
        }
    }
}

/// Reads what the door shows, when it speaks TLS.
pub(super) fn open(config: &Config, metrics: &Metrics) -> Result<Option<(Arc<Tls>, Reloader)>, Problem> {
    let Some(settings) = &config.server.tls else { return Ok(None) };
    let hosts: Vec<String> = config.origins.iter().map(|origin| origin.host().to_owned()).collect();
    let (tls, reloader) = Tls::open(settings.clone(), hosts.clone())?;
    greet(&tls, settings, &hosts, Timestamp::now());
    let sources = settings.sources().into_iter();
    let files: Vec<_> = sources.map(|source| source.files.certificate.display().to_string()).collect();
    let shown = Arc::clone(&tls);
    metrics.watch_certificates(move || {
        let end = |pair: Option<Arc<Pair>>| pair?.validity().map(|validity| validity.not_after.0);
        let ends = shown.pairs().into_iter().map(|pair| end(pair).unwrap_or_default());
        files.iter().cloned().zip(ends).collect()
    });
    let used = Arc::clone(&tls);
    metrics.watch_revocation_lists(move || {
        used.list_ends().iter().map(|(file, end)| (file.display().to_string(), end.0)).collect()
    });
    Ok(Some((tls, reloader)))
}

/// Who orders certificates, where they are ordered.
pub(super) fn orders(config: &Config, tls: Option<&Arc<Tls>>) -> Result<Option<Orders>, SetupProblem> {
    let settings = config.server.tls.as_ref().and_then(|settings| settings.ordered.clone());
    let challenges = tls.and_then(|tls| tls.challenges());
    settings.zip(challenges).map(|(settings, challenges)| Orders::new(settings, Arc::clone(challenges))).transpose()
}

/// Tells at the start what is shown, and what visitors will not accept.
fn greet(tls: &Tls, settings: &Settings, hosts: &[String], now: Timestamp) {
    let (pairs, sources) = (tls.pairs(), settings.sources());
    for (pair, source) in pairs.iter().zip(&sources) {
        let Some(pair) = pair else { continue };
        let (file, names) = (source.files.certificate.display(), pair.names().join(" "));
        let Some(validity) = pair.validity() else { continue };
        let until = date(validity.not_after);
        if now < validity.not_before || now > validity.not_after {
            tracing::error!(%file, names, until, "a certificate is not valid now: browsers refuse it");
        } else if source.ordered_for.is_none() && validity.not_after.since(now) < SOON {
            tracing::warn!(%file, names, until, "a certificate ends soon: renew it");
        } else {
            tracing::info!(%file, names, until, "a certificate is shown");
        }
    }
    let is_ordered = |host: &String| sources.iter().any(|source| source.ordered_for.as_ref() == Some(host));
    let is_covered = |host: &String| pairs.iter().flatten().any(|pair| pair.covers(host));
    for host in hosts.iter().filter(|host| !is_ordered(host) && !is_covered(host)) {
        tracing::warn!(host, "no certificate in [tls] was made for this host: browsers will warn of it");
    }
}

/// Looks at the files until it is dropped; at once, and at all of them, whenever `asked` says so. The gateway is
/// ready once there is anything to show. Calls whoever orders when it was asked, and when a file cannot be used.
pub(super) async fn keep_fresh(
    reloader: Reloader,
    asked: &Notify,
    calls: &Calls,
    metrics: &Metrics,
    ready: &Readiness,
) {
    let tls = Arc::clone(reloader.tls());
    let certify = || {
        if tls.shows_any() && ready.is_certified() {
            tracing::info!("{READY}");
        }
    };
    certify();
    let tell = |occasion, changes: Vec<Change>| {
        if occasion == Occasion::Asked {
            calls.asked.notify_one();
        }
        changes.iter().for_each(|change| tell(change, metrics));
        if changes.iter().any(|change| matches!(change.outcome, Outcome::Kept(_))) {
            calls.changed.notify_one();
        }
        certify();
    };
    watch(reloader, asked, Reloader::look, tell).await;
    tracing::error!("certificates are no longer looked at: the look ended in a panic");
    std::future::pending().await
}

fn tell(change: &Change, metrics: &Metrics) {
    let file = change.file.display();
    match &change.outcome {
        Outcome::Shown { names, validity } => {
            metrics.certificate_reload("replaced");
            let until = validity.map(|validity| date(validity.not_after)).unwrap_or_default();
            tracing::info!(%file, names = names.join(" "), until, "a new certificate is shown from now on");
        }
        Outcome::Trusted(authorities, lists) => {
            metrics.certificate_reload("replaced");
            tracing::info!(%file, authorities, lists, "client certificates are held against new files from now on");
        }
        Outcome::ListEnded(end) => {
            let ended = date(*end);
            tracing::error!(%file, ended, "a revocation list has ended: clients of its authority are refused");
        }
        Outcome::Same => tracing::info!(%file, "nothing has changed"),
        Outcome::Kept(problem) => {
            metrics.certificate_reload("refused");
            tracing::error!(%file, %problem, "a file of [tls] was changed and cannot be used: what was read before stays");
        }
    }
}

pub(super) fn date(moment: Timestamp) -> String {
    let moment =
        i64::try_from(moment.0).ok().and_then(|seconds| time::OffsetDateTime::from_unix_timestamp(seconds).ok());
    moment.map(|moment| moment.date().to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Body, Remote, Response, Shown};
    use crate::server::tls::{Clients, MinVersion};

    #[test]
    fn browsers_are_told_of_tls_over_tls_alone() {
        let min_version = MinVersion::default();
        let hsts = Some(Duration::from_secs(300));
        let settings = Settings { pairs: Vec::new(), ordered: None, clients: Clients::default(), min_version, hsts };
        let transport = Transport::new(Some(&settings), None);
        let told = |scheme| {
            let mut reply = Reply::from(Response::new(Body::Empty));
            transport.harden(&Peer { scheme, ..Peer::plain(Remote::Unix) }, &mut reply);
            reply.into_response().headers().get("strict-transport-security").cloned()
        };
        assert_eq!(told(Scheme::Http), None);
        assert_eq!(told(Scheme::Https), Some(HeaderValue::from_static("max-age=300")));
    }

    #[test]
    fn one_certificate_is_every_hosts() {
        let peer = Peer::encrypted(Remote::Unix, Shown(0));
        assert!(Transport::default().fits(&peer, 7));
    }
}
