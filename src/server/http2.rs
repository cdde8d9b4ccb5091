//! HTTP/2 on one connection: `h2` with our limits, a task for each stream, and the ends that a connection can come to.
//!
//! `h2` itself and not hyper's server, which has no way to send anything before an answer (103 and its kin), hands a
//! body that a client broke off to the app as whole, and says nothing of how busy a connection is. Frames, HPACK, flow
//! control and the limits on floods (CVE-2023-44487 and its kin) are `h2`'s and stay as they are. Called by
//! `server::connection`.

mod answer;
mod exchange;
mod upload;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, Connection, Handshake, SendResponse};
use h2::{Reason, RecvStream};
use hyper::header::{CONTENT_LENGTH, COOKIE, HeaderMap};
use hyper::{Method, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use self::exchange::{Exchange, Line};
use self::upload::Upload;
use super::Limits;
use super::body::{Watcher, least_rate};
use super::connection::{Shared, jittered};
use super::event::{Event, Events};
use super::quiet::Quiet;
use super::service::BUFFER;
use super::signal::{Signal, Stage, next_signal};
use super::streams::Activity;
use crate::http::interim::Outlet;
use crate::http::tunnel::Keeper;
use crate::http::{self, Arrival, Body, Peer, Reply, Request};

/// What a client may send of one HTTP/2 request body before the handler reads it.
const STREAM_WINDOW: u32 = 256 * 1024;
/// The same for a whole connection: more than one stream's, or a single stalled upload would block all.
const CONNECTION_WINDOW: u32 = 4 * STREAM_WINDOW;
/// How long a client may take to leave after it was told that its HTTP/2 connection ends: an idle one is closed then, and
/// one on which something is still under way takes no new requests.
const GOODBYE: Duration = Duration::from_secs(5);

/// A request whose head has come, and the way back.
type Asked = (hyper::Request<RecvStream>, SendResponse<Bytes>);

/// Speaks it until the connection ends.
pub(super) async fn speak_http2<H, F, S>(shared: &Arc<Shared<H>>, stream: S, peer: Peer, activity: Arc<Activity>)
where
    H: Fn(Arrival, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output: Into<Reply>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = &shared.limits;
    let line = Arc::new(Line::new(Events::clone(&shared.events), peer.remote));
    let mut talk = Talk::begin(stream, limits);
    let mut stage = Stage {
        old: Some(Instant::now() + jittered(limits.connection_age, &peer)),
        idle: Some(limits.h2_idle_timeout),
        open: true,
    };
    let mut signal = pin!(next_signal(&shared.drain, &activity, stage));
    let mut signal = Quiet::new(signal.as_mut());
    let mut leaves_by = None;
    loop {
        let next = poll_fn(|cx| match talk.poll_next(cx) {
            Poll::Ready(asked) => Poll::Ready(Next::Asked(asked)),
            Poll::Pending => Pin::new(&mut signal).poll(cx).map(Next::Signal),
        });
        match next.await {
            // h2 takes requests until its ping is answered, which is the client's to do or to leave.
            Next::Asked(Some(Ok((_, mut respond)))) if leaves_by.is_some_and(|by| by <= Instant::now()) => {
                respond.send_reset(Reason::REFUSED_STREAM);
            }
            Next::Asked(Some(Ok(asked))) => take_up(shared, &peer, &activity, &line, asked),
            Next::Asked(Some(Err(error))) => return report(&line, &error),
            Next::Asked(None) => return,
            Next::Signal(given) => {
                match given {
                    Signal::Cut => return line.tell(|peer| Event::Cut { peer }),
                    // It was asked to leave before and has nothing open: a client that does not answer stays no longer.
                    Signal::Idle if !stage.open => return,
                    Signal::Idle => line.tell(|peer| Event::IdleTimeout { peer }),
                    Signal::Old => line.tell(|peer| Event::TooOld { peer }),
                    Signal::Drain => {}
                }
                talk.end();
                leaves_by.get_or_insert_with(|| Instant::now() + GOODBYE);
                stage = Stage { old: None, idle: Some(limits.h2_idle_timeout.min(GOODBYE)), open: false };
                signal.set(next_signal(&shared.drain, &activity, stage));
            }
        }
    }
}

/// What a connection is woken for.
enum Next<T> {
    Asked(T),
    Signal(Signal),
}

/// A connection before and after both sides have said that they speak HTTP/2.
enum Talk<S> {
    Greeting(Handshake<S, Bytes>, Ends),
    Open(Connection<S, Bytes>),
}

/// Whether a connection is to end as soon as it can be said.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    Soon,
    Later,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    fn begin(stream: S, limits: &Limits) -> Self {
        let mut builder = Builder::new();
        builder
            .max_concurrent_streams(limits.streams)
            // RFC 8441: a WebSocket is one of those streams.
            .enable_connect_protocol()
            .max_header_list_size(u32::try_from(limits.header_size).unwrap_or(u32::MAX))
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buffer_size(BUFFER);
        Self::Greeting(builder.handshake(stream), Ends::Later)
    }

    /// Moves the connection on: the next request, or its end.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Asked, h2::Error>>> {
        loop {
            match self {
                Self::Greeting(handshake, ends) => {
                    let mut connection = match ready!(Pin::new(handshake).poll(cx)) {
                        Ok(connection) => connection,
                        Err(error) => return Poll::Ready(Some(Err(error))),
                    };
                    if *ends == Ends::Soon {
                        connection.graceful_shutdown();
                    }
                    *self = Self::Open(connection);
                }
                Self::Open(connection) => return pin!(connection.accept()).poll(cx),
            }
        }
    }

    /// Has it end when what runs on it is done: GOAWAY, and another when the client must have heard the first (RFC
    /// 9113 section 6.8).
    fn end(&mut self) {
        match self {
            Self::Greeting(_, ends) => *ends = Ends::Soon,
            Self::Open(connection) => connection.graceful_shutdown(),
        }
    }
}

/// Has a request answered in a task of its own.
fn take_up<H, F>(shared: &Arc<Shared<H>>, peer: &Peer, activity: &Arc<Activity>, line: &Arc<Line>, asked: Asked)
where
    H: Fn(Arrival, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output: Into<Reply>> + Send + 'static,
{
    activity.note_request();
    let (request, mut respond) = asked;
    let (head, incoming) = request.into_parts();
    let mut request = Request::from_parts(head, Body::Empty);
    let connects = *request.method() == Method::CONNECT;
    if connects && request.headers().get(CONTENT_LENGTH).is_some_and(|length| length != "0") {
        // What follows a CONNECT is no body: "malformed" (RFC 9113 section 8.5).
        return refuse(&mut respond, line, "a CONNECT announces a body");
    }
    if request.uri().path_and_query().is_some_and(|path| path.as_str().starts_with('?')) {
        // A path "MUST include a value of '/'" where there is none (RFC 9113 section 8.3.1).
        return refuse(&mut respond, line, "a path begins with its query");
    }
    let outlet = Arc::new(Outlet::default());
    let rate = shared.limits.body_rate;
    let mut exchange =
        Exchange::new(respond, Arc::clone(line), Arc::clone(&outlet), request.method(), rate, activity.begin());
    if has_too_many_fields(request.headers(), shared.limits.headers) {
        line.tell(|peer| Event::HeadersTooLarge { peer });
        let answer = http::text(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the request has too many fields\n");
        shared.tasks.spawn(exchange.answer(answer));
        return;
    }
    if connects {
        exchange.may_become(Keeper::promise(&mut request), incoming);
    } else {
        let watcher = Watcher {
            limit: shared.limits.body_idle_timeout,
            rate: least_rate(request.method(), request.headers(), rate),
            events: &shared.events,
            peer: peer.remote,
            activity,
            asked: None,
        };
        let upload = Upload::new(incoming, request.headers());
        exchange.continues(upload.expectation());
        *request.body_mut() = watcher.watch(upload);
    }
    let peer = Peer { interim: Some(outlet.open()), ..peer.clone() };
    // Boxed, so that a long answer does not keep the handler's room.
    let handler = Box::pin((shared.handler)(request.into(), peer));
    shared.tasks.spawn(exchange.serve(handler));
}

/// Resets a stream whose head h2 lets pass (RFC 9113 section 8.1.1).
fn refuse(respond: &mut SendResponse<Bytes>, line: &Line, cause: &str) {
    line.tell(|peer| Event::Malformed { peer, cause: cause.to_owned() });
    respond.send_reset(Reason::PROTOCOL_ERROR);
}

/// A browser may split its cookies over many fields in HTTP/2 (RFC 9113 section 8.2.3), so those count once.
fn has_too_many_fields(fields: &HeaderMap, limit: usize) -> bool {
    fields.len() > limit && fields.len() - fields.get_all(COOKIE).iter().count().saturating_sub(1) > limit
}

/// Says which limit ended a connection, or that it broke the protocol or flooded; a client that simply went away is no
/// event.
fn report(line: &Line, error: &h2::Error) {
    // h2 keeps of an error of ours what it is and says, not itself. The system's own timeouts say nothing.
    let is_ours = |error: &std::io::Error| error.kind() == std::io::ErrorKind::TimedOut && error.get_ref().is_some();
    if error.get_io().is_some_and(is_ours) {
        line.tell(|peer| Event::WriteTimeout { peer });
    } else if error.is_library() && error.reason() != Some(Reason::NO_ERROR) {
        line.tell(|peer| Event::Malformed { peer, cause: format!("the HTTP/2 of a connection: {error}") });
    }
}

#[cfg(test)]
mod tests;
