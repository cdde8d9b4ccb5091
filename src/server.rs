//! The doors: listen, accept, limit, serve, drain.
//!
//! One generic accept loop for the front door, the operator's listener, the pretend org and the sample app; it
//! knows nothing of authentication. Each core runs its own `serve` on its own current-thread runtime with its
//! own `SO_REUSEPORT` listener (measured: about 20% less CPU per request than one shared runtime). The protocol
//! is chosen by ALPN and never sniffed, because sniffing waits without a deadline. Called by `gateway`, `demo`
//! and `emulator`.

pub mod body;
mod connection;
mod drain;
mod entry;
mod event;
mod fence;
mod handshake;
mod hang_up;
mod http1;
mod http2;
mod interim;
pub mod lean;
mod linger;
pub mod listen;
mod preamble;
mod quiet;
mod service;
mod signal;
mod socket;
mod streams;
pub mod tls;
mod wire;

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::TaskTracker;

pub use drain::Drain;
pub use entry::{Census, Entry};
pub use event::{Event, Events};
pub use listen::{Listener, Place, Places, bind};

use crate::http::{Arrival, Neighbours, Peer, Reply};
use connection::Shared;
use socket::Socket;
use tls::Tls;
use wire::Ledger;

/// How long `accept` rests after an error that the next call would meet again, such as no free descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What an overfull plain-text door says before it closes.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 5\r\n\
content-type: text/plain; charset=utf-8\r\ncontent-length: 45\r\n\r\nToo many connections are open. Try again soon";

/// What a door that speaks TLS says to plain HTTP.
const TLS_ALONE: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\
content-type: text/plain; charset=utf-8\r\ncontent-length: 42\r\n\r\nThis port speaks TLS: begin with https://.";

/// The front door's places and everything that bounds what comes in through them.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen.
    pub listen: Places,
    /// The names of the sockets that systemd handed over, in their order.
    pub inherited: Vec<String>,
    /// How many cores serve, each with its own listener.
    pub workers: usize,
    /// Certificate and key; plain text without.
    pub tls: Option<tls::Settings>,
    /// What a client may take.
    pub limits: Limits,
    /// Who tells the client's address by the PROXY protocol, and has to.
    pub proxied: Neighbours,
    /// How many connections one client may have; not those who speak for many.
    pub connections_per_client: Option<usize>,
    /// How long running requests, streams and tunnels may go on after the shutdown began.
    pub drain: Duration,
}

/// What a client may take. The defaults are meant for the open internet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's head.
    pub header_size: usize,
    /// Number of its fields.
    pub headers: usize,
    /// Until a head must be complete; also how long a kept-alive HTTP/1.1 connection may idle.
    pub header_timeout: Duration,
    /// Until a TLS handshake must be complete.
    pub handshake_timeout: Duration,
    /// Open connections, tunnels included.
    pub connections: usize,
    /// Concurrent requests on one HTTP/2 connection.
    pub streams: u32,
    /// When a connection is asked to end, within a tenth, so that clients spread over the cores again.
    pub connection_age: Duration,
    /// How long a request body may send nothing while somebody waits for it.
    pub body_idle_timeout: Duration,
    /// How many bytes a second it must bring while it is waited for, on average over twice that; 0 for any.
    pub body_rate: usize,
    /// How long an HTTP/2 connection may be without a request.
    pub h2_idle_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_size: 64 * 1024,
            headers: 100,
            header_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            connections: 10_000,
            streams: 100,
            connection_age: Duration::from_secs(60 * 60),
            body_idle_timeout: Duration::from_secs(30),
            body_rate: 240,
            h2_idle_timeout: Duration::from_secs(60),
        }
    }
}

impl Limits {
    /// The share of one of `workers` cores: what is counted over all of them is divided, rounding up.
    #[must_use]
    pub fn share(&self, workers: usize) -> Self {
        Self { connections: self.connections.div_ceil(workers.max(1)), ..self.clone() }
    }

    /// A year at most: a deadline beyond what the clock can count would be a panic in the accept loop.
    fn within_reason(&self) -> Self {
        let at_most = |limit: Duration| limit.min(YEAR);
        Self {
            header_timeout: at_most(self.header_timeout),
            handshake_timeout: at_most(self.handshake_timeout),
            connection_age: at_most(self.connection_age),
            body_idle_timeout: at_most(self.body_idle_timeout),
            h2_idle_timeout: at_most(self.h2_idle_timeout),
            ..self.clone()
        }
    }
}

/// Listeners and how to treat who comes in through them.
pub struct Door {
    listeners: Vec<Listener>,
    tls: Option<Arc<Tls>>,
    limits: Limits,
    events: Events,
    drain: Drain,
    entry: Entry,
}

impl Door {
    /// A door; `limits` are this core's share ([`Limits::share`]).
    pub fn new(
        listener: impl Into<Listener>,
        tls: Option<Arc<Tls>>,
        limits: &Limits,
        events: Events,
        drain: Drain,
    ) -> Self {
        Self::of(vec![listener.into()], tls, limits, events, drain)
    }

    /// The same for several listeners, which share the limits.
    pub fn of(listeners: Vec<Listener>, tls: Option<Arc<Tls>>, limits: &Limits, events: Events, drain: Drain) -> Self {
        Self { listeners, tls, limits: limits.within_reason(), events, drain, entry: Entry::default() }
    }

    /// The same, asking this of those who come.
    #[must_use]
    pub fn asking(self, entry: Entry) -> Self {
        Self { entry, ..self }
    }
}

/// Serves a door on the current runtime until its [`Drain`] has begun and the last connection and tracked task is
/// gone, which [`Drain::cut`] forces.
pub async fn serve<H, F>(door: Door, handler: H)
where
    H: Fn(Arrival, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output: Into<Reply>> + Send + 'static,
{
    let Door { listeners, tls, limits, events, drain, entry } = door;
    let listeners = listeners.into_iter().map(socket::Listener::new).collect::<io::Result<Vec<_>>>();
    let listeners = match listeners {
        Ok(listeners) => listeners,
        Err(error) => return events(Event::AcceptFailed { cause: error.to_string() }),
    };
    // Its own pair of tokens keeps connections of one core off the locks of the others.
    let drain = drain.child();
    let tasks = TaskTracker::new();
    let ledger = Arc::new(Ledger::new(limits.connections, Arc::clone(&events)));
    let shared = Arc::new(Shared::new(handler, tls, limits, events, drain.clone(), tasks.clone(), entry));
    let loops = listeners.into_iter().map(|listener| accept_from(listener, &shared, &ledger, &drain, &tasks));
    futures_util::future::join_all(loops).await;
    tasks.close();
    tasks.wait().await;
    drain.finished().await;
}

/// Accepts until the drain begins.
async fn accept_from<H, F>(
    listener: socket::Listener,
    shared: &Arc<Shared<H>>,
    ledger: &Arc<Ledger>,
    drain: &Drain,
    tasks: &TaskTracker,
) where
    H: Fn(Arrival, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output: Into<Reply>> + Send + 'static,
{
    let mut begun = std::pin::pin!(drain.cancelled());
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut begun => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, remote)) => match ledger.admit() {
                Some(permit) => {
                    tasks.spawn(connection::attend(Arc::clone(shared), socket, remote, permit));
                }
                None => {
                    (shared.events)(Event::TooManyConnections { peer: remote });
                    turn_away(&socket, shared.speaks_plainly());
                }
            },
            Err(error) => {
                let transient = concerns_one_client(&error);
                (shared.events)(Event::AcceptFailed { cause: error.to_string() });
                if !transient {
                    tokio::select! {
                        () = &mut begun => return,
                        () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                    }
                }
            }
        }
    }
}

fn concerns_one_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

/// Answers before the caller closes, keeping nothing: this must stay cheap when it happens most. Over TLS there is
/// nothing to say that would cost less than a handshake.
fn turn_away(socket: &Socket, plainly: bool) {
    if plainly {
        say_last(socket, FULL);
    }
}

/// Says something to whoever speaks plain HTTP, before the caller closes.
fn say_last(socket: &Socket, words: &[u8]) {
    // What was already sent is read first, since closing on unread bytes would make the kernel reset the connection
    // and take the answer back. Failures change nothing: the connection ends either way.
    let mut unread = [0; 4096];
    let socket = socket.as_ref();
    let mut socket: &socket2::Socket = &socket;
    let _ = socket.write(words);
    let _ = socket.shutdown(Shutdown::Write);
    let _ = socket.read(&mut unread);
}

#[cfg(test)]
mod tests;
