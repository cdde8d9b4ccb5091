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
mod event;
mod quiet;
mod streams;
pub mod tls;
mod wire;

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;

pub use drain::Drain;
pub use event::{Event, Events};

use crate::http::{Peer, Request, Response};
use connection::Shared;
use wire::Ledger;

/// How long `accept` rests after an error that the next call would meet again, such as no free descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How many connections the kernel may hold until we accept them.
const BACKLOG: i32 = 1024;

/// What an overfull plain-text door says before it closes.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 5\r\n\
content-type: text/plain; charset=utf-8\r\ncontent-length: 45\r\n\r\nToo many connections are open. Try again soon";

/// One listening address and everything that bounds what comes in through it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// How many cores serve, each with its own listener.
    pub workers: usize,
    /// Certificate and key; plain text without.
    pub tls: Option<tls::Settings>,
    /// What a client may take.
    pub limits: Limits,
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

/// `count` listeners on one address, between which the kernel spreads connections. Port 0 is chosen by the first
/// and joined by the rest.
///
/// `SO_REUSEPORT` would also let a second gateway join unnoticed and take half of the visitors, so the address is
/// first bound without it: whoever is already there makes this fail.
///
/// # Errors
/// When the address is taken, forbidden or not this machine's.
pub fn bind(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    if count <= 1 {
        return Ok(vec![listen(address, Sharing::Alone)?]);
    }
    if address.port() != 0 {
        drop(open(address, Sharing::Alone)?);
    }
    let first = listen(address, Sharing::Shared)?;
    let address = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..count {
        listeners.push(listen(address, Sharing::Shared)?);
    }
    Ok(listeners)
}

/// Whether other sockets may bind the same address.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    Alone,
    Shared,
}

fn open(address: SocketAddr, sharing: Sharing) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Without it a restart would wait for the last connections' TIME_WAIT.
    socket.set_reuse_address(true)?;
    if sharing == Sharing::Shared {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        // `[::]` means both families everywhere, not as the system's default would have it.
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

fn listen(address: SocketAddr, sharing: Sharing) -> io::Result<TcpListener> {
    let socket = open(address, sharing)?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// One listener and how to treat who comes in through it.
pub struct Door {
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    limits: Limits,
    events: Events,
    drain: Drain,
}

impl Door {
    /// A door; `limits` are this core's share ([`Limits::share`]).
    pub fn new(
        listener: TcpListener,
        tls: Option<Arc<rustls::ServerConfig>>,
        limits: &Limits,
        events: Events,
        drain: Drain,
    ) -> Self {
        Self { listener, tls, limits: limits.within_reason(), events, drain }
    }
}

/// Serves a door on the current runtime until its [`Drain`] has begun and the last connection and tracked task is
/// gone, which [`Drain::cut`] forces.
pub async fn serve<H, F>(door: Door, handler: H)
where
    H: Fn(Request, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let Door { listener, tls, limits, events, drain } = door;
    let listener = match listener.set_nonblocking(true).and_then(|()| tokio::net::TcpListener::from_std(listener)) {
        Ok(listener) => listener,
        Err(error) => return events(Event::AcceptFailed { cause: error.to_string() }),
    };
    // Its own pair of tokens keeps connections of one core off the locks of the others.
    let drain = drain.child();
    let tasks = TaskTracker::new();
    let ledger = Arc::new(Ledger::new(limits.connections, Arc::clone(&events)));
    let shared = Arc::new(Shared::new(handler, tls, limits, events, drain.clone(), tasks.clone()));
    let mut begun = std::pin::pin!(drain.cancelled());
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut begun => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                let address = canonical(address);
                match ledger.admit() {
                    Some(permit) => {
                        tasks.spawn(connection::attend(Arc::clone(&shared), stream, address, permit));
                    }
                    None => {
                        (shared.events)(Event::TooManyConnections { peer: address });
                        turn_away(stream, shared.speaks_plainly());
                    }
                }
            }
            Err(error) => {
                let transient = concerns_one_client(&error);
                (shared.events)(Event::AcceptFailed { cause: error.to_string() });
                if !transient {
                    tokio::select! {
                        () = &mut begun => break,
                        () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                    }
                }
            }
        }
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
    drain.finished().await;
}

/// An IPv4 client of a dual-stack listener, as IPv4: lists of trusted addresses are written that way.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn concerns_one_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

/// Answers and closes at once, keeping nothing: this must stay cheap when it happens most.
fn turn_away(stream: TcpStream, plainly: bool) {
    let Ok(mut stream) = stream.into_std() else { return };
    if plainly {
        // What was already sent is read first, since closing on unread bytes would make the kernel reset the
        // connection and take the answer back. Failures change nothing: the connection ends either way.
        let mut unread = [0; 4096];
        let _ = stream.write(FULL);
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read(&mut unread);
    }
}

#[cfg(test)]
mod tests;
