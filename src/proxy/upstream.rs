//! One address of an app as one core sees it: a bound, deadlines, and connections that are kept.
//!
//! A pool of our own on `hyper::client::conn`, because it costs 8 to 14 % less CPU for each request than the
//! pooled client (measured) and because it belongs to one core, so that nothing is ever handed across threads.
//! Called by `proxy`.

mod body;
mod checked;
mod connection;
mod dial;
mod ear;
mod fault;
mod h2;
pub mod lean;
mod limit;
mod line;
mod place;
mod plain;
mod pool;
mod shared;
pub mod tls;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hyper::{Method, Version};
use tokio::time::{timeout, timeout_at};

use super::outgoing::Outgoing;
use super::stream::Progress;
use super::{by_connection, interim};
use crate::http::apart::apart;
use crate::http::{Body, Reply, Request};
use crate::route::{Address, Transport};
use connection::{Connection, Failed, Why};
use dial::{DialFault, Offer, Stream, dial};
use place::Place;

pub use body::AppBody;
pub use connection::UNWRAP;
pub use fault::{Unanswered, UpstreamFault};
pub use limit::{Limit, Source};
pub use line::{Line, Lines};
pub use tls::Connector;

/// Deadlines and limits towards an app.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name look-up and connection. Default 5 s.
    pub connect_timeout: Limit<Duration>,
    /// From the request's head to the response's. Default 60 s.
    pub first_byte_timeout: Limit<Duration>,
    /// Between two pieces of a response's body. Default 5 min.
    pub idle_timeout: Limit<Duration>,
    /// Between two pieces through a tunnel, either way. Default 1 h.
    pub tunnel_idle_timeout: Limit<Duration>,
    /// How long an unused connection is kept; below the app's own keep-alive time. Default 4 s.
    pub pool_idle_timeout: Limit<Duration>,
    /// Requests to one app at a time, over all cores. Default 1,000.
    pub connections: Limit<usize>,
}

/// One address of a route's app, from one core.
pub struct Upstream {
    /// Others may have it too.
    line: Arc<Line>,
    settings: Settings,
    /// How many requests this core may have under way.
    bound: usize,
    busy: AtomicUsize,
}

/// A place among the requests under way, with the connection in use unless the answer's body has it. Give it back
/// when its answer was read to the end; dropped before, the connection is closed.
pub struct Lease {
    place: Place,
    connection: Option<Held>,
    /// Whether nobody else may have the connection.
    is_somebodys: bool,
}

/// A connection in use, by who speaks on it.
enum Held {
    Hyper(Connection),
    Lean(Box<lean::Connection<Stream>>),
}

impl Lease {
    /// How long the answer may make no progress.
    pub fn idle_timeout(&self) -> &Limit<Duration> {
        &self.place.0.settings.idle_timeout
    }

    /// How long a tunnel over it may be silent.
    pub fn tunnel_idle_timeout(&self) -> &Limit<Duration> {
        &self.place.0.settings.tunnel_idle_timeout
    }

    /// Who answers.
    pub fn address(&self) -> &Address {
        &self.place.0.line.address
    }

    /// Keeps the connection from everybody else: the app may know somebody by it, or take something for the next request.
    pub fn make_somebodys(&mut self) {
        self.is_somebodys = true;
    }

    /// Back to the pool, for the next request; or left, when nobody else may have it or the app answered before the
    /// request's body had come to its end. What is still sent goes on being sent for as long as it moves; until then it
    /// counts as one of those that the app has.
    pub fn give_back(self, request: Option<&Arc<Progress>>, now: Instant) {
        let Self { place, connection, is_somebodys } = self;
        match connection {
            Some(Held::Hyper(connection)) if is_somebodys || request.is_some_and(|upload| !upload.has_ended()) => {
                tokio::spawn(place.see_off(connection, request.cloned()));
            }
            _ if is_somebodys => {}
            // It has no more to send, and whether the app has is asked before it is used again.
            Some(Held::Lean(connection)) => place.0.line.lean.push(connection, now),
            Some(Held::Hyper(connection)) if !connection.has_ended() => place.0.line.pool.push(connection, now),
            Some(Held::Hyper(_)) | None => {}
        }
    }

    /// The same, for an answer whose body was read to its end and may have the connection.
    pub fn give_back_from(mut self, body: &mut AppBody, request: Option<&Arc<Progress>>) {
        if let Some(connection) = body.release() {
            self.connection = Some(Held::Lean(connection));
        }
        self.give_back(request, Instant::now());
    }
}

/// Whether a connection has been idle so long that the app may be closing it this very moment.
const STALE: Duration = Duration::from_millis(500);

impl Upstream {
    /// An address that one of `cores` cores talks to over `line`.
    pub fn new(line: Arc<Line>, settings: Settings, cores: usize) -> Self {
        let bound = settings.connections.value.div_ceil(cores.max(1));
        Self { line, settings, bound, busy: AtomicUsize::new(0) }
    }

    /// How many requests this core has under way there, tunnels and answers that still stream included.
    pub fn under_way(&self) -> usize {
        self.busy.load(Ordering::Relaxed)
    }

    /// Sends a request and waits for the head of the answer.
    ///
    /// A request is sent a second time only when it cannot have been acted on: its connection turned out to be
    /// closed before a byte was written, or, for a safe method without a body, a connection that had been idle
    /// for a while closed without an answer (RFC 9110 section 9.2.2, RFC 9112 section 9.3.1).
    ///
    /// # Errors
    /// [`Unanswered`], with the request when nothing of it was sent.
    pub async fn send(
        self: &Arc<Self>,
        request: &mut Outgoing<'_>,
        progress: Option<&Progress>,
    ) -> Result<(Reply<AppBody>, Lease), Unanswered> {
        if self.busy.fetch_add(1, Ordering::Relaxed) >= self.bound {
            self.busy.fetch_sub(1, Ordering::Relaxed);
            return Err(self.too_busy().before(request.take().whole()));
        }
        let mut lease = Lease { place: Place(Arc::clone(self)), connection: None, is_somebodys: false };
        let answer = if request.is_plain() && self.speaks_http1() {
            self.exchange_plainly(request, &mut lease, None).await?
        } else {
            // Its future is several times as large as the lean one.
            apart(|| self.exchange_patiently(request.take().whole(), progress, &mut lease)).await?.into()
        };
        Ok((answer, lease))
    }

    /// Exchanges a request that may have a body, which puts off the deadline for as long as it moves.
    async fn exchange_patiently(
        &self,
        request: Request,
        progress: Option<&Progress>,
        lease: &mut Lease,
    ) -> Result<hyper::Response<AppBody>, Unanswered> {
        let now = Instant::now();
        let mut exchange = pin!(self.exchange(request, lease, now));
        let mut deadline = tokio::time::Instant::from_std(now) + self.settings.first_byte_timeout.value;
        loop {
            match timeout_at(deadline, exchange.as_mut()).await {
                Ok(answer) => return answer,
                Err(_) => {
                    let extended = progress.map(|progress| progress.last() + self.settings.first_byte_timeout.value);
                    match extended {
                        Some(later) if later > deadline => deadline = later,
                        _ => return Err(self.first_byte_timeout().into()),
                    }
                }
            }
        }
    }

    async fn exchange(
        &self,
        request: Request,
        lease: &mut Lease,
        now: Instant,
    ) -> Result<hyper::Response<AppBody>, Unanswered> {
        if !self.speaks_http1() {
            return apart(|| self.exchange_shared(request, lease, now)).await;
        }
        self.exchange_alone(request, lease, now, None).await
    }

    /// Whether it is known to be spoken to by HTTP/1.1.
    fn speaks_http1(&self) -> bool {
        match self.line.address.transport {
            Transport::Http => true,
            Transport::Https => {
                !self.line.connector.as_ref().is_some_and(Connector::offers_http2)
                    || self.line.shared.has_chosen_http1()
            }
            Transport::H2c => false,
        }
    }

    /// Over a connection of its own, by HTTP/1.1; over `fresh`, if there is one and none is kept.
    async fn exchange_alone(
        &self,
        mut request: Request,
        lease: &mut Lease,
        now: Instant,
        fresh: Option<Box<Stream>>,
    ) -> Result<hyper::Response<AppBody>, Unanswered> {
        // What is last on its connection anyway need not be sent on one that the app may be closing this very moment.
        let is_last = by_connection::is_last(request.headers());
        let limit = self.settings.pool_idle_timeout.value;
        while !is_last && let Some((mut connection, idle_for)) = self.line.pool.pop(now, limit) {
            if !connection.settle().await || connection.has_ended() {
                continue;
            }
            let replay = if idle_for > STALE && is_safe(&request) { Some(spare(&request)) } else { None };
            match connection.send(request).await {
                Ok(response) => {
                    lease.connection = Some(Held::Hyper(connection));
                    return Ok(response);
                }
                Err(Failed { unsent, why }) => match (unsent, why, replay) {
                    (Some(unsent), ..) => request = unsent,
                    (None, Why::Ended(_), Some(copy)) if !interim::has_begun(copy.extensions().get()) => {
                        request = copy;
                        // Once: what it did to one connection it may do to each.
                        break;
                    }
                    (None, why, _) => return Err(self.fault(why).into()),
                },
            }
        }
        let mut connection = match self.connect(fresh).await {
            Ok(connection) => connection,
            Err(fault) => return Err(fault.before(request)),
        };
        by_connection::settle(request.headers_mut());
        match connection.send(request).await {
            Ok(response) => {
                lease.connection = Some(Held::Hyper(connection));
                Ok(response)
            }
            Err(Failed { unsent, why }) => Err(Unanswered { fault: self.fault(why), unsent: unsent.map(Box::new) }),
        }
    }

    async fn connect(&self, fresh: Option<Box<Stream>>) -> Result<Connection, UpstreamFault> {
        let stream = match fresh {
            Some(stream) => *stream,
            None => self.dial_alone().await?,
        };
        Connection::open(stream).await.map_err(|why| self.fault(why))
    }

    /// A stream for HTTP/1.1.
    async fn dial_alone(&self) -> Result<Stream, UpstreamFault> {
        match timeout(self.settings.connect_timeout.value, self.dial(Offer::Http1)).await {
            Ok(dialled) => dialled.map(|(stream, _)| stream),
            Err(_) => Err(self.connect_timeout()),
        }
    }

    async fn dial(&self, offer: Offer) -> Result<(Stream, Version), UpstreamFault> {
        dial(&self.line.address, self.line.connector.as_ref(), offer)
            .await
            .map_err(|fault| no_connection(&self.line.address, fault))
    }

    fn connect_timeout(&self) -> UpstreamFault {
        late(&self.line.address, &self.settings.connect_timeout)
    }

    fn first_byte_timeout(&self) -> UpstreamFault {
        let limit = self.settings.first_byte_timeout.to_string();
        UpstreamFault::FirstByteTimeout { address: self.line.address.clone(), limit }
    }

    fn too_busy(&self) -> UpstreamFault {
        let limit = self.settings.connections.to_string();
        UpstreamFault::Busy { address: self.line.address.clone(), limit }
    }

    fn fault(&self, why: Why) -> UpstreamFault {
        match why {
            Why::ClientBody(cause) => UpstreamFault::ClientBody { cause },
            Why::BadHandshake(why) => UpstreamFault::BadHandshake(why),
            Why::Handshake(cause) => UpstreamFault::Handshake { address: self.line.address.clone(), cause },
            Why::Ended(cause) => UpstreamFault::Ended { address: self.line.address.clone(), cause },
            Why::HungUp(cause) => UpstreamFault::HungUp { address: self.line.address.clone(), cause },
            Why::Refused(cause) | Why::Http1Required(cause) | Why::Misbehaved(cause) => {
                UpstreamFault::Misbehaved { address: self.line.address.clone(), cause }
            }
        }
    }
}

/// Connects to an address, TLS included, and closes the connection again.
///
/// # Errors
/// [`UpstreamFault`] when that takes longer than `patience`, or fails.
pub async fn reach(
    address: &Address,
    connector: Option<&Connector>,
    patience: &Limit<Duration>,
) -> Result<(), UpstreamFault> {
    match timeout(patience.value, dial(address, connector, Offer::Any)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(fault)) => Err(no_connection(address, fault)),
        Err(_) => Err(late(address, patience)),
    }
}

fn late(address: &Address, limit: &Limit<Duration>) -> UpstreamFault {
    UpstreamFault::ConnectTimeout { address: address.clone(), limit: limit.to_string() }
}

fn no_connection(address: &Address, fault: DialFault) -> UpstreamFault {
    let address = address.clone();
    match fault {
        DialFault::Unreachable(cause) => UpstreamFault::Unreachable { address, cause },
        DialFault::Shortage(cause) => UpstreamFault::Shortage { address, cause },
        DialFault::Certificate(cause) => UpstreamFault::Certificate { address, cause },
        DialFault::NoProtocol(cause) => UpstreamFault::NoProtocol { address, cause },
        DialFault::Handshake(cause) => UpstreamFault::Handshake { address, cause },
    }
}

/// A copy of a request that may be acted on twice.
pub(super) fn copy_of<'a>(request: &Outgoing<'a>) -> Option<Outgoing<'a>> {
    request.is_safe().then(|| request.spare())
}

/// Whether a request may be acted on twice: a safe method, no body.
pub(super) fn is_safe(request: &Request) -> bool {
    has_safe_method(request.method()) && matches!(request.body(), Body::Empty)
}

/// Whether whatever is asked by it changes nothing.
pub(super) fn has_safe_method(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// A copy of a request without a body.
pub(super) fn spare(request: &Request) -> Request {
    let mut copy = Request::new(Body::Empty);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    copy
}
