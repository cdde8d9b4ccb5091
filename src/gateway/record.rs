//! What is known of a request when it is done: for the log line, the counters and the page of a refusal.
//!
//! Filled in on the way; it copies nothing but reference counts. Dropped unclosed, it says that the client went
//! away. Called by `gateway`.

use std::net::IpAddr;
use std::time::{Instant, SystemTime};

use hyper::header::{ACCEPT, HOST};
use hyper::http::uri::PathAndQuery;
use hyper::{Method, StatusCode, Version};

use super::Gateway;
use crate::http::Arrival;
use crate::http::fields::Held;
use crate::http::grpc::is_call;
use crate::http::strict::text;
use crate::http::target::Target;
use crate::login::form_of;
use crate::pages::Form;
use crate::proxy::Asked;
use crate::route::{Route, Site};
use crate::session::PersonKey;
use crate::telemetry::{AccessLine, Decision, RequestId};

/// nginx's status for a client that closed the connection before the answer: no answer was sent.
const CLIENT_WENT_AWAY: u16 = 499;

/// One request's record.
pub(super) struct Record<'a> {
    gateway: &'a Gateway,
    /// When its head had come.
    pub(super) came: Moment,
    client: Option<IpAddr>,
    /// Of a request that cannot be judged. Boxed, because few are such.
    as_sent: Option<Box<AsSent>>,
    /// Its name in the log and on pages.
    pub(super) id: RequestId,
    /// Its method.
    pub(super) method: Method,
    /// Its version.
    pub(super) version: Version,
    /// What kind of answer it accepts.
    pub(super) form: Form,
    /// Whether it is a call of gRPC, which is declined in its own words.
    pub(super) is_call: bool,
    /// The site that it came to, once known.
    pub(super) site: Option<&'a Site>,
    /// Its target, once parsed.
    pub(super) target: Option<Target>,
    /// The route that it falls to, once found.
    pub(super) route: Option<&'a Route>,
    /// Who is signed in. A copy: by the end of a request its session is far away, among many.
    pub(super) user: Option<PersonKey>,
    /// What became of it.
    pub(super) decision: Decision,
    /// The code of its refusal.
    pub(super) refusal: Option<&'static str>,
    /// Whom it was passed on to, and when the answer began: all that comes after takes no time worth another look at
    /// the clock.
    pub(super) asked: Asked,
    closed: bool,
}

/// A moment by both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// By the one that knows how long something took.
    pub(super) clock: Instant,
    /// By the one that people read, for the log.
    pub(super) wall: SystemTime,
}

/// What a request said it is for.
struct AsSent {
    path: Option<PathAndQuery>,
    host: Option<Held>,
}

impl<'a> Record<'a> {
    pub(super) fn open(gateway: &'a Gateway, arrival: &Arrival, client: Option<IpAddr>, came: Moment) -> Self {
        Self {
            gateway,
            came,
            client,
            as_sent: None,
            id: gateway.ids.next(),
            method: arrival.method().clone(),
            version: arrival.version(),
            form: form_of(arrival.fields().value(&ACCEPT)),
            is_call: is_call(arrival.method(), arrival.fields()),
            site: None,
            target: None,
            route: None,
            user: None,
            decision: Decision::Refuse,
            refusal: None,
            asked: Asked::default(),
            closed: false,
        }
    }

    /// Keeps what a request that cannot be judged said it is for.
    pub(super) fn keep_as_sent(&mut self, arrival: &Arrival) {
        let (path, host) = (arrival.uri().path_and_query().cloned(), arrival.hold(&HOST));
        self.as_sent = Some(Box::new(AsSent { path, host }));
    }

    /// Writes the line and counts; `bytes` is the length of the answer's body, if it is known.
    pub(super) fn close(&mut self, status: StatusCode, bytes: Option<u64>) {
        self.write(status, bytes);
        self.closed = true;
    }

    fn write(&self, status: StatusCode, bytes: Option<u64>) {
        let duration = self.asked.answered.unwrap_or_else(Instant::now).saturating_duration_since(self.came.clock);
        let counters = &self.gateway.route_metrics;
        let index = self.route.map_or(counters.len().saturating_sub(1), |route| route.index);
        if let Some(counter) = counters.get(index) {
            counter.count(self.decision, status, duration);
        }
        // The path as judged, or as sent when it was refused; never the query, which may hold a code.
        let as_sent = self.as_sent.as_deref();
        let sent_path = || as_sent?.path.as_ref().map(PathAndQuery::path);
        let sent_host = || text(as_sent?.host.as_ref()?.as_bytes());
        let path = self.target.as_ref().map(Target::path).or_else(sent_path);
        let host = self.site.map(|site| site.origin.authority()).or_else(sent_host);
        let answered = self.asked.answered.and(self.route);
        self.gateway.access.write(&AccessLine {
            time: self.came.wall.checked_add(duration).unwrap_or(self.came.wall),
            request_id: self.id,
            client: self.client,
            method: &self.method,
            host: host.unwrap_or_default(),
            path: path.unwrap_or_default(),
            status,
            route: self.route.map(|route| route.name.as_str()),
            user: self.user.as_ref().map(PersonKey::as_str),
            decision: self.decision,
            refusal: self.refusal,
            duration,
            address: answered.and_then(|route| self.gateway.proxy.address(route.index, self.asked.address)),
            bytes,
        });
    }
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        if !self.closed
            && let Ok(status) = StatusCode::from_u16(CLIENT_WENT_AWAY)
        {
            self.write(status, None);
        }
    }
}
