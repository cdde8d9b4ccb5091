//! One connection, from the accepted socket to its end.
//!
//! Handshake under a deadline, protocol by ALPN, hyper with our limits, and beside it the things that hyper does
//! not do: age, HTTP/2 idling, drain and deadline. Spawned by `server::serve`.

use std::convert::Infallible;
use std::error::Error as _;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::{StatusCode, Version, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::body;
use super::entry::{Entry, Refused, Seat};
use super::event::{Event, Events};
use super::handshake::shake_hands;
use super::interim::Interspersed;
use super::quiet::Quiet;
use super::rest::{self, Rested};
use super::signal::{Signal, Stage, next_signal};
use super::socket::Socket;
use super::streams::{Activity, Running, Sent, Streams, Turn};
use super::tls::Tls;
use super::wire::{Permit, WRITE_TIMEOUT, Wire, WriteStalled};
use super::{Drain, Limits};
use crate::http::interim::Outlet;
use crate::http::{self, Peer, Remote, Request, Response, Scheme};

/// How much of a response hyper may hold for a client that reads slowly, and of a request for a handler that does.
const BUFFER: usize = 64 * 1024;
/// What a client may send of one HTTP/2 request body before the handler reads it.
const STREAM_WINDOW: u32 = 256 * 1024;
/// The same for a whole connection: more than one stream's, or a single stalled upload would block all.
const CONNECTION_WINDOW: u32 = 4 * STREAM_WINDOW;
/// How many fields hyper takes in HTTP/1.1 when it is told nothing.
const HYPERS_HEADERS: usize = 100;
/// How long a client may take to leave after it was told that its idle HTTP/2 connection ends.
const GOODBYE: Duration = Duration::from_secs(5);

/// What the connections of one door have in common.
pub(super) struct Shared<H> {
    handler: H,
    tls: Option<Arc<Tls>>,
    limits: Limits,
    pub(super) events: Events,
    drain: Drain,
    tasks: TaskTracker,
    entry: Entry,
}

impl<H> Shared<H> {
    /// Of one door.
    pub(super) fn new(
        handler: H,
        tls: Option<Arc<Tls>>,
        limits: Limits,
        events: Events,
        drain: Drain,
        tasks: TaskTracker,
        entry: Entry,
    ) -> Self {
        // One more layer, so that cloning it for a request touches no counter that other cores touch.
        let outer = events;
        let events: Events = Arc::new(move |event| outer(event));
        Self { handler, tls, limits, events, drain, tasks, entry }
    }

    /// Whether bytes on this door's sockets are HTTP.
    pub(super) fn speaks_plainly(&self) -> bool {
        self.tls.is_none()
    }
}

/// Serves one connection.
pub(super) async fn attend<H, F>(shared: Arc<Shared<H>>, mut socket: Socket, mut remote: Remote, mut permit: Permit)
where
    H: Fn(Request, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    if shared.entry.asks() {
        // Boxed, so that it takes no room afterwards.
        match Box::pin(enter(&shared, &mut socket, remote)).await {
            Ok((client, seat)) => {
                remote = client;
                permit.keep(seat);
            }
            Err(Refused::Crowded) => return super::turn_away(&socket, shared.speaks_plainly()),
            Err(Refused::Silently) => return,
        }
    }
    let activity = Arc::new(Activity::new());
    match &shared.tls {
        // Boxed, so that plain connections do not pay for the size of TLS ones.
        Some(tls) => Box::pin(secure(&shared, tls, socket, permit, remote, activity)).await,
        None => {
            let wire = Wire::new(socket, WRITE_TIMEOUT, Arc::clone(&activity), Some(permit));
            speak_http1(&shared, wire, Peer { remote, scheme: Scheme::Http, shown: None }, activity).await;
        }
    }
}

async fn enter<H>(shared: &Shared<H>, socket: &mut Socket, remote: Remote) -> Result<(Remote, Option<Seat>), Refused> {
    tokio::select! {
        entered = shared.entry.receive(socket, remote, shared.limits.handshake_timeout, &shared.events) => entered,
        // Nobody has asked for anything yet: there is nothing to finish.
        () = shared.drain.cancelled() => Err(Refused::Silently),
    }
}

async fn secure<H, F>(
    shared: &Arc<Shared<H>>,
    tls: &Tls,
    socket: Socket,
    permit: Permit,
    remote: Remote,
    activity: Arc<Activity>,
) where
    H: Fn(Request, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let limit = shared.limits.handshake_timeout;
    let (stream, shown) = tokio::select! {
        // Boxed, so that it takes no room afterwards.
        done = Box::pin(shake_hands(tls, socket, permit, &activity, remote, limit)) => match done {
            Ok(secured) => secured,
            Err(event) => return (shared.events)(event),
        },
        // Nobody has asked for anything yet: there is nothing to finish.
        () = shared.drain.cancelled() => return,
    };
    let peer = Peer { remote, scheme: Scheme::Https, shown: Some(shown) };
    // What the handshake took is not the first head's.
    activity.note_end();
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        speak_http2(shared, stream, peer, activity).await;
    } else {
        speak_http1(shared, stream, peer, activity).await;
    }
}

async fn speak_http1<H, F, S>(shared: &Arc<Shared<H>>, stream: S, peer: Peer, activity: Arc<Activity>)
where
    H: Fn(Request, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = &shared.limits;
    let mut builder = http1::Builder::new();
    builder.max_header_size(limits.header_size).max_buf_size(BUFFER.max(limits.header_size)).half_close(false);
    // hyper allocates and clears two tables for each request when it is told a number, even its own.
    if limits.headers != HYPERS_HEADERS {
        builder.max_headers(limits.headers);
    }
    // Until a head has come, and between one request and the next: hyper would set up a timer for each, and take it
    // down again.
    let old = Instant::now() + jittered(limits.connection_age, peer);
    let awake = Stage { old: Some(old), idle: Some(limits.header_timeout), rest: Some(rest::IDLE), open: true };
    let mut signal = pin!(next_signal(&shared.drain, &activity, awake));
    let mut signal = Quiet::new(signal.as_mut());
    let idled = || match activity.has_served() {
        true => Event::IdleTimeout { peer: peer.remote },
        false => Event::HeaderTimeout { peer: peer.remote },
    };
    let outlet = Arc::new(Outlet::default());
    let mut stream = Rested::new(Interspersed::new(stream, Arc::clone(&outlet)));
    loop {
        let outlet = Some(Arc::clone(&outlet));
        let service = Service { shared: Arc::clone(shared), peer, activity: Arc::clone(&activity), outlet };
        let mut connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
        loop {
            tokio::select! {
                biased;
                ended = &mut connection => return report(&shared.events, peer.remote, ended),
                signal_given = &mut signal => {
                    match signal_given {
                        Signal::Cut => return (shared.events)(Event::Cut { peer: peer.remote }),
                        Signal::Idle => return (shared.events)(idled()),
                        Signal::Rest => break,
                        Signal::Old => (shared.events)(Event::TooOld { peer: peer.remote }),
                        Signal::Drain => {}
                    }
                    Pin::new(&mut connection).graceful_shutdown();
                    signal.set(next_signal(&shared.drain, &activity, Stage { old: None, rest: None, open: false, ..awake }));
                }
            }
        }
        // Nothing is under way and nothing waits to be written: there is nothing else to hyper than its buffers.
        let Some(parts) = connection.into_parts() else { return };
        stream = parts.io.into_inner();
        stream.put_back(parts.read_buf);
        signal.set(next_signal(&shared.drain, &activity, Stage { rest: None, ..awake }));
        tokio::select! {
            biased;
            arrived = stream.arrival() => if !arrived { return },
            signal_given = &mut signal => {
                match signal_given {
                    Signal::Cut => return (shared.events)(Event::Cut { peer: peer.remote }),
                    Signal::Idle => return (shared.events)(idled()),
                    Signal::Old => (shared.events)(Event::TooOld { peer: peer.remote }),
                    Signal::Drain | Signal::Rest => {}
                }
                // A goodbye that the client does not take changes nothing.
                let _ = tokio::time::timeout(GOODBYE, stream.shutdown()).await;
                return;
            }
        }
        signal.set(next_signal(&shared.drain, &activity, awake));
    }
}

async fn speak_http2<H, F, S>(shared: &Arc<Shared<H>>, stream: S, peer: Peer, activity: Arc<Activity>)
where
    H: Fn(Request, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = &shared.limits;
    // hyper's own limits on resets (CVE-2023-44487 and its kin) stay as they are.
    let on_stall = {
        let events = Events::clone(&shared.events);
        Arc::new(move || events(Event::WriteTimeout { peer: peer.remote }))
    };
    let streams = Streams::new(Arc::clone(&activity), shared.tasks.clone(), WRITE_TIMEOUT, on_stall);
    let mut builder = http2::Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        // RFC 8441: a WebSocket is one of those streams.
        .enable_connect_protocol()
        .max_header_list_size(u32::try_from(limits.header_size).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(BUFFER);
    // hyper's HTTP/2 server has no way to send an interim answer.
    let service = Service { shared: Arc::clone(shared), peer, activity: Arc::clone(&activity), outlet: None };
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));

    let mut stage = Stage {
        old: Some(Instant::now() + jittered(limits.connection_age, peer)),
        idle: Some(limits.h2_idle_timeout),
        rest: None,
        open: true,
    };
    let mut signal = pin!(next_signal(&shared.drain, &activity, stage));
    let mut signal = Quiet::new(signal.as_mut());
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => return report(&shared.events, peer.remote, ended),
            signal_given = &mut signal => {
                match signal_given {
                    Signal::Cut => return (shared.events)(Event::Cut { peer: peer.remote }),
                    // It was asked to leave before and has nothing open: a client that does not answer stays no longer.
                    Signal::Idle if !stage.open => return,
                    Signal::Idle => (shared.events)(Event::IdleTimeout { peer: peer.remote }),
                    Signal::Old => (shared.events)(Event::TooOld { peer: peer.remote }),
                    Signal::Drain | Signal::Rest => {}
                }
                connection.as_mut().graceful_shutdown();
                stage = Stage { old: None, idle: Some(limits.h2_idle_timeout.min(GOODBYE)), rest: None, open: false };
                signal.set(next_signal(&shared.drain, &activity, stage));
            }
        }
    }
}

/// `age`, less up to a tenth that depends on the client's port, so that what came together does not leave together.
fn jittered(age: Duration, peer: Peer) -> Duration {
    age - age / 640 * u32::from(peer.remote.port().unwrap_or_default() % 64)
}

/// Says which limit ended a connection; a client that simply went away is no event.
fn report(events: &Events, peer: Remote, ended: hyper::Result<()>) {
    let Err(error) = ended else { return };
    if error.is_parse_too_large() {
        events(Event::HeadersTooLarge { peer });
    } else if error.is_parse() {
        events(Event::Malformed { peer, cause: error.to_string() });
    } else if wrote_in_vain(&error) {
        events(Event::WriteTimeout { peer });
    }
}

fn wrote_in_vain(error: &hyper::Error) -> bool {
    let mut cause = error.source();
    while let Some(inner) = cause {
        let io = inner.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if io.is_some_and(|io| io.is::<WriteStalled>()) {
            return true;
        }
        cause = inner.source();
    }
    false
}

/// hyper's way to call the handler.
struct Service<H> {
    shared: Arc<Shared<H>>,
    peer: Peer,
    activity: Arc<Activity>,
    /// Where interim answers go out, if they can.
    outlet: Option<Arc<Outlet>>,
}

impl<H, F> hyper::service::Service<hyper::Request<Incoming>> for Service<H>
where
    H: Fn(Request, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    type Response = hyper::Response<Sent>;
    type Error = Infallible;
    type Future = Coming<F>;

    fn call(&self, request: hyper::Request<Incoming>) -> Self::Future {
        self.activity.note_request();
        let shared = &self.shared;
        let (turn, running) = match request.version() {
            Version::HTTP_2 => (Some(self.activity.announce()), None),
            _ => (None, Some(self.activity.begin())),
        };
        if has_too_many_fields(&request, shared.limits.headers) {
            (shared.events)(Event::HeadersTooLarge { peer: self.peer.remote });
            let answer = http::text(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the request has too many fields\n");
            return Coming { answer: Answer::Made(Some(answer)), outlet: None, turn, running };
        }
        // "A server MUST NOT send a 1xx response to an HTTP/1.0 client" (RFC 9110 section 15.2).
        let outlet = self.outlet.clone().filter(|_| request.version() == Version::HTTP_11);
        let watcher = body::Watcher {
            limit: shared.limits.body_idle_timeout,
            rate: body::least_rate(request.headers(), shared.limits.body_rate),
            events: &shared.events,
            peer: self.peer.remote,
            activity: running.is_some().then_some(&self.activity),
        };
        let mut request = request.map(|incoming| watcher.watch(incoming));
        if let Some(outlet) = &outlet {
            request.extensions_mut().insert(outlet.open());
        }
        Coming { answer: Answer::Handled(Box::pin((shared.handler)(request, self.peer))), outlet, turn, running }
    }
}

/// What hyper waits for.
struct Coming<F> {
    answer: Answer<F>,
    outlet: Option<Arc<Outlet>>,
    turn: Option<Arc<Turn>>,
    running: Option<Running>,
}

/// The answer itself.
enum Answer<F> {
    /// There already.
    Made(Option<Response>),
    /// Boxed for each request: hyper would otherwise keep room for the largest handler in each idle connection. It
    /// goes into its box as the handler makes it, since each wrapping around it would be one more copy of it all.
    Handled(Pin<Box<F>>),
}

impl<F: Future<Output = Response>> Future for Coming<F> {
    type Output = Result<hyper::Response<Sent>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = match &mut self.answer {
            Answer::Made(answer) => answer.take().unwrap_or_default(),
            Answer::Handled(handler) => {
                let answer = ready!(handler.as_mut().poll(cx));
                if self.outlet.as_ref().is_some_and(|outlet| outlet.has_waiting()) {
                    // It comes behind them, once hyper has flushed.
                    self.answer = Answer::Made(Some(answer));
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                answer
            }
        };
        if let Some(outlet) = &self.outlet {
            outlet.close();
        }
        Poll::Ready(Ok(answer.map(|body| Sent::new(body, self.turn.take(), self.running.take()))))
    }
}

/// hyper counts the fields of HTTP/1.1 itself. A browser may split its cookies over many fields in HTTP/2 (RFC 9113
/// section 8.2.3), so those count once.
fn has_too_many_fields(request: &hyper::Request<Incoming>, limit: usize) -> bool {
    let fields = request.headers();
    request.version() == Version::HTTP_2
        && fields.len() > limit
        && fields.len() - fields.get_all(header::COOKIE).iter().count().saturating_sub(1) > limit
}
