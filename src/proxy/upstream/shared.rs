//! Requests to an app over connections that they share, and finding out whether it has them.
//!
//! A request goes to the first connection with room; one more is opened when none has any, by one request at a
//! time, so that a crowd opens few. An app with TLS says in its handshake whether it speaks HTTP/2; one that does
//! not, or that demands HTTP/1.1 for a request, is not asked again by this core. Tunnels go by HTTP/1.1 where there is
//! such a thing, and else as streams (RFC 8441). Called by `proxy::upstream`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::header::UPGRADE;
use hyper::{Response, Version};
use tokio::time::timeout_at;

use super::body::AppBody;
use super::connection::{Failed, Why};
use super::dial::{Offer, Stream};
use super::fault::{Unanswered, UpstreamFault};
use super::h2::{Multiplexed, Ticket};
use super::lean::is_plain;
use super::{Lease, STALE, Upstream, interim, is_safe, spare};
use crate::http::Reply;
use crate::http::{Body, Request};
use crate::proxy::outgoing::Outgoing;
use crate::route::Transport;

/// How often a request is tried that apps refuse without having looked at it.
const ATTEMPTS: usize = 3;

/// What of an address's connections is shared.
#[derive(Default)]
pub(super) struct Shared {
    connections: Mutex<Vec<Arc<Multiplexed>>>,
    /// Held while a connection is opened.
    opening: tokio::sync::Mutex<()>,
    /// The app has chosen HTTP/1.1.
    is_http1: AtomicBool,
    /// The app has refused HTTP/1.1 to a tunnel.
    is_http2_alone: AtomicBool,
}

/// Where a request goes.
enum Way {
    Shared(Ticket),
    /// A connection of its own, by HTTP/1.1; this one, when it was just opened to find that out.
    Alone(Option<Box<Stream>>),
}

impl Shared {
    fn ticket(&self) -> Option<Ticket> {
        let mut connections = self.lock();
        connections.retain(|connection| connection.is_open());
        connections.iter().find_map(Multiplexed::ticket)
    }

    /// Closes what has been unused for longer than `limit`, or was ended by the app.
    pub(super) fn sweep(&self, limit: Duration) {
        self.lock().retain(|connection| connection.is_open() && connection.idle_for() <= limit);
    }

    /// Whether the app speaks HTTP/1.1 although it may speak HTTP/2.
    pub(super) fn has_chosen_http1(&self) -> bool {
        self.is_http1.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Multiplexed>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upstream {
    /// Sends a request to an app that speaks HTTP/2, or may.
    pub(super) async fn exchange_shared(
        &self,
        mut request: Request,
        lease: &mut Lease,
        now: Instant,
    ) -> Result<Response<AppBody>, Unanswered> {
        let protocol = request.headers().get(UPGRADE);
        let tunnel = protocol.is_some();
        let is_websocket = protocol.is_some_and(|name| name.as_bytes().eq_ignore_ascii_case(b"websocket"));
        // A connection of its own costs a tunnel less than a stream among others, and every server knows that way.
        if tunnel
            && self.line.address.transport == Transport::Https
            && !self.line.shared.is_http2_alone.load(Ordering::Relaxed)
        {
            match self.exchange_alone(request, lease, now, None).await {
                Err(Unanswered { fault: UpstreamFault::NoProtocol { .. }, unsent: Some(unsent) }) => {
                    self.line.shared.is_http2_alone.store(true, Ordering::Relaxed);
                    request = *unsent;
                }
                answered => return answered,
            }
        }
        for attempt in 1.. {
            let ticket = match self.find_way().await {
                Ok(Way::Shared(ticket)) => ticket,
                Ok(Way::Alone(fresh)) => {
                    return match is_plain(&request) {
                        true => {
                            let plainly = self.exchange_plainly(&mut Outgoing::from(request), lease, fresh).await;
                            plainly.map(Reply::into_response)
                        }
                        false => self.exchange_alone(request, lease, now, fresh).await,
                    };
                }
                Err(fault) => return Err(fault.before(request)),
            };
            let may_repeat = is_safe(&request) && ticket.idle_for > STALE;
            let copy = matches!(request.body(), Body::Empty).then(|| spare(&request));
            if tunnel && !(is_websocket && ticket.carries_tunnels()) {
                return Err(self.no_tunnel(is_websocket).before(request));
            }
            let sent = if tunnel { ticket.connect(request).await } else { ticket.send(request).await };
            let Failed { why, .. } = match sent {
                Ok(response) => return Ok(response),
                Err(failed) => failed,
            };
            if matches!(why, Why::Http1Required(_)) && self.line.address.transport == Transport::Https {
                self.line.shared.is_http1.store(true, Ordering::Relaxed);
            }
            let copy = copy.filter(|copy| !interim::has_begun(copy.extensions().get()));
            request = match (why, copy) {
                (Why::Http1Required(_), Some(copy)) if self.line.address.transport == Transport::Https => copy,
                (Why::Refused(_), Some(copy)) if attempt < ATTEMPTS => copy,
                (Why::Ended(_), Some(copy)) if may_repeat && attempt < ATTEMPTS => copy,
                (why @ Why::Refused(_), copy) => {
                    return Err(Unanswered { fault: self.fault(why), unsent: copy.map(Box::new) });
                }
                (why, _) => return Err(self.fault(why).into()),
            };
        }
        Err(self.too_busy().into())
    }

    fn no_tunnel(&self, is_websocket: bool) -> UpstreamFault {
        let cause = match is_websocket {
            true => "it has not enabled extended CONNECT, which WebSockets need (SETTINGS_ENABLE_CONNECT_PROTOCOL)",
            false => "that carries WebSockets and no other upgrade (RFC 8441)",
        };
        UpstreamFault::NoTunnel { address: self.line.address.clone(), cause }
    }

    /// A place on a shared connection, opened when there is none; waiting for that counts as connecting.
    async fn find_way(&self) -> Result<Way, UpstreamFault> {
        if let Some(way) = self.way_at_hand() {
            return Ok(way);
        }
        let deadline = tokio::time::Instant::now() + self.settings.connect_timeout.value;
        let late = |_| self.connect_timeout();
        let _opening = timeout_at(deadline, self.line.shared.opening.lock()).await.map_err(late)?;
        if let Some(way) = self.way_at_hand() {
            return Ok(way);
        }
        timeout_at(deadline, self.open_way()).await.map_err(late)?
    }

    fn way_at_hand(&self) -> Option<Way> {
        if self.line.shared.has_chosen_http1() {
            return Some(Way::Alone(None));
        }
        self.line.shared.ticket().map(Way::Shared)
    }

    async fn open_way(&self) -> Result<Way, UpstreamFault> {
        let (stream, version) = self.dial(Offer::Any).await?;
        if version != Version::HTTP_2 {
            self.line.shared.is_http1.store(true, Ordering::Relaxed);
            return Ok(Way::Alone(Some(Box::new(stream))));
        }
        let connection = Multiplexed::open(stream).await.map_err(|why| self.fault(why))?;
        let ticket = connection.ticket();
        self.line.shared.lock().push(connection);
        ticket.map(Way::Shared).ok_or_else(|| self.too_busy())
    }
}
