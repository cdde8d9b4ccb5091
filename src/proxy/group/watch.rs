//! Looking after addresses: health checks, and the way back of those that were ejected.
//!
//! Once for each process, beside the operator's listener, whose end ends it; nothing is spawned. A health check is
//! a request of our own over a fresh connection: no visitor's headers, no identity, no cookie. An ejected address
//! is looked at when its pause is over, by the health check where there is one and by connecting where there is
//! none, so that no visitor's request is the guinea pig. Called by `gateway::house`.

use std::collections::hash_map::RandomState;
use std::future::pending;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hyper::header::{ACCEPT, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Uri};
use tokio::time::sleep;

use super::choice::mix;
use super::{Health, Member, Roster, Settings, upstream};
use crate::http::{Body, Request};
use crate::route::Address;
use upstream::{Connector, Limit, Line, Source, Upstream, UpstreamFault, reach};

/// When an address is asked again for which there were no means.
const AGAIN: Duration = Duration::from_secs(1);

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const OUR_NAME: HeaderValue = HeaderValue::from_static(concat!("portcullis/", env!("CARGO_PKG_VERSION"), " (health)"));

/// Looks after all of them, without end.
pub async fn watch(rosters: &[Arc<Roster>]) {
    let members = rosters.iter().flat_map(|roster| roster.members.iter().map(move |member| (roster, member)));
    join_all(members.map(|(roster, member)| async move {
        tokio::join!(look_after(roster, member), check(roster, member));
    }))
    .await;
    pending().await
}

/// Finds the way back for one address, each time that it was ejected.
async fn look_after(roster: &Roster, member: &Member) {
    if roster.members.len() < 2 {
        return;
    }
    let mut jitter = Jitter::new();
    let probe = Probe::new(roster, member);
    loop {
        member.ejected.notified().await;
        while let Some(left) = member.standing.left_alone_for(Instant::now()) {
            sleep(jitter.stretched(left)).await;
            let found = loop {
                match probe.ask().await {
                    Some(found) => break found,
                    None => sleep(AGAIN).await,
                }
            };
            let change = member.standing.looked_after(found.is_ok(), Instant::now());
            match (change, found) {
                (Some(change), _) => roster.tell(member, change, "it answers again"),
                (None, Err(cause)) => {
                    tracing::debug!(route = roster.route, address = member.name, cause, "still no answer");
                }
                (None, Ok(())) => {}
            }
        }
    }
}

/// Checks one address again and again, where the configuration says how.
async fn check(roster: &Roster, member: &Member) {
    let Some(health) = &roster.settings.health else { return };
    let mut jitter = Jitter::new();
    let probe = Probe::new(roster, member);
    // Not all at the same moment, and not all processes.
    sleep(jitter.part_of(health.interval)).await;
    loop {
        let found = probe.ask().await;
        if let Some(found) = found
            && let Some(change) = member.standing.checked(found.is_ok(), health.verdicts, Instant::now())
        {
            let cause = found.err().unwrap_or_else(|| "its health checks succeed".to_owned());
            roster.tell(member, change, &cause);
        }
        sleep(jitter.around(health.interval)).await;
    }
}

/// How one address is asked.
struct Probe<'a> {
    address: &'a Address,
    settings: upstream::Settings,
    connector: Option<&'a Connector>,
    health: Option<&'a Health>,
}

impl<'a> Probe<'a> {
    fn new(roster: &'a Roster, member: &'a Member) -> Self {
        let Settings { health, connector, upstream, .. } = &roster.settings;
        let (mut settings, health) = (upstream.clone(), health.as_ref());
        if let Some(health) = health {
            let limit = Limit::new(health.timeout, &roster.route, "health.timeout", Source::Route);
            if limit.value < settings.connect_timeout.value {
                settings.connect_timeout = limit.clone();
            }
            settings.first_byte_timeout = limit;
        }
        Self { address: &member.address, settings, connector: connector.as_ref(), health }
    }

    /// What is wrong with it, if anything is; nothing is found where there is nothing to ask with.
    async fn ask(&self) -> Option<Result<(), String>> {
        match self.find().await {
            Err(UpstreamFault::Shortage { .. }) => None,
            found => Some(found.map_err(|fault| fault.to_string()).and_then(|told| told)),
        }
    }

    async fn find(&self) -> Result<Result<(), String>, UpstreamFault> {
        let Some(health) = self.health else {
            return reach(self.address, self.connector, &self.settings.connect_timeout).await.map(Ok);
        };
        // Made for one question and dropped with its connection: the next one connects again, as it should.
        let line = Line::new(self.address.clone(), self.connector.cloned(), &self.settings);
        let upstream = Upstream::new(line, self.settings.clone(), 1);
        let answer = Arc::new(upstream).send(&mut question(health).into(), None).await;
        let (reply, _lease) = answer.map_err(|unanswered| unanswered.fault)?;
        let status = reply.status().as_u16();
        let is_well = health.status.contains(&status);
        Ok(if is_well { Ok(()) } else { Err(format!("its health check was answered {status}")) })
    }
}

/// One health check. It says who asks and as whom people know the app, and nothing else.
fn question(health: &Health) -> Request {
    let mut request = Request::new(Body::Empty);
    *request.method_mut() = Method::GET;
    *request.uri_mut() = Uri::from(health.path.clone());
    let headers = request.headers_mut();
    headers.insert(HOST, health.host.clone());
    headers.insert(USER_AGENT, OUR_NAME);
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(health.scheme.as_str()));
    request
}

/// Small differences in time, so that what begins together does not stay together. Nothing secret.
struct Jitter(u64);

impl Jitter {
    fn new() -> Self {
        Self(RandomState::new().build_hasher().finish())
    }

    /// A number from 0 to 1,000.
    fn draw(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(1);
        u32::try_from(mix(self.0) % 1001).unwrap_or_default()
    }

    /// Any part of a span.
    fn part_of(&mut self, span: Duration) -> Duration {
        span / 1000 * self.draw()
    }

    /// Up to a tenth less or more.
    fn around(&mut self, span: Duration) -> Duration {
        span - span / 10 + self.part_of(span / 5)
    }

    /// Up to a tenth more: a pause is never cut short.
    fn stretched(&mut self, span: Duration) -> Duration {
        span + self.part_of(span / 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_within_its_bounds_and_differs() {
        let mut jitter = Jitter::new();
        let second = Duration::from_secs(1);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..1000 {
            assert!((Duration::from_millis(900)..=Duration::from_millis(1100)).contains(&jitter.around(second)));
            assert!((second..=Duration::from_millis(1100)).contains(&jitter.stretched(second)));
            assert!(jitter.part_of(second) <= second);
            seen.insert(jitter.around(second));
        }
        assert!(seen.len() > 100, "{}", seen.len());
    }

    #[test]
    fn a_health_check_carries_nobodys_identity() {
        let health = Health {
            path: "/healthz?deep=1".parse().unwrap(),
            host: HeaderValue::from_static("wiki.example.com"),
            scheme: crate::http::Scheme::Https,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            status: 200..=299,
            verdicts: super::super::Verdicts { healthy: 2, unhealthy: 3 },
        };
        let request = question(&health);
        assert_eq!((request.method(), request.uri().to_string().as_str()), (&Method::GET, "/healthz?deep=1"));
        let names: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["host", "user-agent", "accept", "x-forwarded-proto"]);
        assert_eq!(request.headers()["host"], "wiki.example.com");
    }
}
