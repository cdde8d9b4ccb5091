//! A connection to an app that many requests share: HTTP/2 (RFC 9113).
//!
//! By `h2` itself and not through hyper's client: a request needs no task of its own, what the app allows at a time
//! is known, and a refused request can be told from a failed one. Each stream's window is its own, and the
//! connection's is as large as all of them together, so that somebody who reads slowly holds up nobody else. Called
//! by `proxy::upstream::shared`.

mod body;
mod tunnel;
mod upload;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use h2::{Ping, PingPong, Reason, RecvStream};
use http::uri::{Authority, PathAndQuery, Scheme};
use http_body::Body as _;
use hyper::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, TRANSFER_ENCODING, UPGRADE};
use hyper::http::Extensions;
use hyper::{Method, Response, StatusCode, Uri};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::super::interim;
use super::body::AppBody;
use super::connection::{Failed, Why};
use super::dial::Stream;
use super::lean::Violation;
use crate::http::Request;
use crate::http::strict::digits;
use upload::Upload;

pub(super) use body::SharedBody;

/// How many requests share a connection, where the app allows as many.
const STREAMS: usize = 100;
/// How much of an answer may wait here for a slow reader.
const STREAM_WINDOW: u32 = 512 * 1024;
/// The same for all answers of a connection.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * 100;
/// How large the head of an answer may be.
const HEADER_LIST: u32 = 128 * 1024;
/// How long an answer may take before the connection is asked whether it still lives.
const DOUBT: Duration = Duration::from_secs(10);
/// How long that question may take.
const PONG: Duration = Duration::from_secs(10);
/// How far apart such questions are: gRPC's servers end a connection that asks much more often than this.
const BETWEEN_PINGS: Duration = Duration::from_secs(300);

/// A connection, as everybody who uses it sees it.
pub(super) struct Multiplexed {
    sender: SendRequest<Bytes>,
    scheme: Scheme,
    streams: AtomicUsize,
    opened: Instant,
    /// When a request last ended, in milliseconds after `opened`.
    last_used: AtomicU64,
    doubt: Arc<Notify>,
}

/// A request's place on a connection.
pub(super) struct Ticket {
    connection: Arc<Multiplexed>,
    /// How long the connection was unused before.
    pub(super) idle_for: Duration,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.connection.note();
        self.connection.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Multiplexed {
    /// Begins to speak over a fresh stream and waits for the app's settings: without them nobody knows how many
    /// requests it takes, or that it speaks HTTP/2 at all.
    pub(super) async fn open(stream: Stream) -> Result<Arc<Self>, Why> {
        let scheme = if matches!(stream, Stream::Tls(_)) { Scheme::HTTPS } else { Scheme::HTTP };
        let (sender, mut connection) = Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEADER_LIST)
            .enable_push(false)
            .initial_max_send_streams(0)
            .handshake(stream)
            .await
            .map_err(|error| why(&error))?;
        poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
            _ if sender.current_max_send_streams() > 0 => Poll::Ready(Ok(())),
            Poll::Ready(Ok(())) => Poll::Ready(Err(Why::Ended("it closed the connection at once".to_owned()))),
            Poll::Ready(Err(error)) => Poll::Ready(Err(why(&error))),
            Poll::Pending => Poll::Pending,
        })
        .await?;
        let doubt = Arc::new(Notify::new());
        let pings = connection.ping_pong();
        // Ends by itself when the last handle is dropped: with the list of connections, or with the last answer.
        tokio::spawn(drive(connection, pings, Arc::clone(&doubt)));
        let (streams, last_used) = (AtomicUsize::new(0), AtomicU64::new(0));
        Ok(Arc::new(Self { sender, scheme, streams, opened: Instant::now(), last_used, doubt }))
    }

    /// Whether requests can still be sent: it has not ended, and the app has not said GOAWAY.
    pub(super) fn is_open(&self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        matches!(self.sender.clone().poll_ready(&mut cx), Poll::Ready(Ok(())))
    }

    /// A place for one more request, if there is any.
    pub(super) fn ticket(self: &Arc<Self>) -> Option<Ticket> {
        let most = self.sender.current_max_send_streams().min(STREAMS);
        let idle_for = self.idle_for();
        if self.streams.fetch_add(1, Ordering::Relaxed) >= most {
            self.streams.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Ticket { connection: Arc::clone(self), idle_for })
    }

    /// How long nobody has used it.
    pub(super) fn idle_for(&self) -> Duration {
        if self.streams.load(Ordering::Relaxed) > 0 {
            return Duration::ZERO;
        }
        self.opened.elapsed().saturating_sub(Duration::from_millis(self.last_used.load(Ordering::Relaxed)))
    }

    fn note(&self) {
        let elapsed = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_used.store(elapsed, Ordering::Relaxed);
    }
}

impl Ticket {
    /// Sends a request and waits for the head of the answer.
    pub(super) async fn send(self, request: Request) -> Result<Response<AppBody>, Failed> {
        let (head, body) = request.into_parts();
        let extensions = head.extensions;
        let is_head = head.method == Method::HEAD;
        let mut outgoing = hyper::Request::new(());
        *outgoing.uri_mut() = self.target(&head.uri, &head.headers).ok_or_else(unwritable)?;
        *outgoing.method_mut() = head.method;
        *outgoing.headers_mut() = head.headers;
        // "An endpoint MUST NOT generate an HTTP/2 message containing connection-specific header fields" (section
        // 8.2.2); TE: trailers is the exception, and what gRPC asks with.
        for name in [HOST, CONNECTION, TRANSFER_ENCODING, UPGRADE] {
            outgoing.headers_mut().remove(name);
        }
        let is_whole = body.is_end_stream();
        let (mut answer, stream) =
            self.connection.sender.clone().send_request(outgoing, is_whole).map_err(|error| failed(&error))?;
        let upload = (!is_whole).then(|| Upload::start(body, stream));
        match self.answer(&mut answer, &extensions).await {
            Ok(answer) => {
                let why = |violation: Violation| Failed { unsent: None, why: Why::Misbehaved(violation.to_string()) };
                one_length(answer.headers()).map_err(why)?;
                let has_body =
                    !is_head && !matches!(answer.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
                let (head, stream) = answer.into_parts();
                let body = SharedBody::new(stream, &head.headers, has_body, upload, self);
                Ok(Response::from_parts(head, AppBody::Shared(Box::new(body))))
            }
            Err(error) => match upload.as_ref().and_then(Upload::cause) {
                Some(cause) => Err(Failed { unsent: None, why: Why::ClientBody(cause) }),
                None => Err(failed(&error)),
            },
        }
    }

    /// Waits for the head of the answer, and asks whether the connection lives when that takes long.
    async fn answer(
        &self,
        answer: &mut ResponseFuture,
        extensions: &Extensions,
    ) -> Result<Response<RecvStream>, h2::Error> {
        loop {
            match timeout(DOUBT, final_answer(answer, extensions)).await {
                Ok(answer) => return answer,
                Err(_) => self.connection.doubt.notify_one(),
            }
        }
    }

    /// "An intermediary that forwards a request over HTTP/2 MUST construct an :authority pseudo-header field using
    /// the authority information from the control data of the original request" (section 8.3.1).
    fn target(&self, uri: &Uri, headers: &HeaderMap) -> Option<Uri> {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.connection.scheme.clone());
        parts.authority = Some(Authority::try_from(headers.get(HOST)?.as_bytes()).ok()?);
        parts.path_and_query = Some(uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/")));
        Uri::from_parts(parts).ok()
    }
}

/// Waits for the answer itself; what comes before is passed on.
async fn final_answer(answer: &mut ResponseFuture, extensions: &Extensions) -> Result<Response<RecvStream>, h2::Error> {
    let mut count = 0;
    poll_fn(|cx| {
        // Nobody would receive them: h2 passes over them itself.
        while !extensions.is_empty()
            && count <= interim::MOST
            && let Poll::Ready(Some(head)) = answer.poll_informational(cx)
        {
            let (head, ()) = head?.into_parts();
            count += 1;
            interim::pass(extensions.get(), head.status, head.headers);
        }
        Pin::new(&mut *answer).poll(cx)
    })
    .await
}

fn unwritable() -> Failed {
    Failed { unsent: None, why: Why::Misbehaved("the request cannot be written in HTTP/2".to_owned()) }
}

/// Whether an answer says its length once at most, so that HTTP/1.1 can say it too. h2 holds the body to the first.
fn one_length(headers: &HeaderMap) -> Result<(), Violation> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).into_iter();
    match (lengths.next(), lengths.next()) {
        (Some(_), Some(_)) => Err(Violation::RepeatedLength),
        (Some(length), None) if digits(length.as_bytes()).is_none() => Err(Violation::Length),
        _ => Ok(()),
    }
}

fn failed(error: &h2::Error) -> Failed {
    Failed { unsent: None, why: why(error) }
}

/// What an error says about the request that met it. "The REFUSED_STREAM error code ... the request can be retried",
/// and streams above the last one that a GOAWAY names were not acted on (section 8.7); h2 gives the app's GOAWAY to
/// no other stream.
fn why(error: &h2::Error) -> Why {
    let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    if error.is_remote() && error.reason() == Some(Reason::HTTP_1_1_REQUIRED) {
        Why::Http1Required(error.to_string())
    } else if error.is_remote() && (refused || error.is_go_away()) {
        Why::Refused(error.to_string())
    } else if error.is_io() {
        Why::Ended(error.to_string())
    } else {
        Why::Misbehaved(error.to_string())
    }
}

/// Moves a connection's bytes until it ends. A connection in doubt is asked; when it does not answer it is dropped,
/// which ends what still waits for it.
async fn drive(mut connection: Connection<Stream, Bytes>, pings: Option<PingPong>, doubt: Arc<Notify>) {
    let Some(mut pings) = pings else { return };
    let mut last_ping: Option<Instant> = None;
    loop {
        tokio::select! {
            ended = &mut connection => return report(ended),
            () = doubt.notified() => {}
        }
        if last_ping.is_some_and(|last| last.elapsed() < BETWEEN_PINGS) {
            continue;
        }
        last_ping = Some(Instant::now());
        tokio::select! {
            ended = &mut connection => return report(ended),
            pong = timeout(PONG, pings.ping(Ping::opaque())) => if !matches!(pong, Ok(Ok(_))) {
                tracing::debug!("a connection to an app answers no ping");
                return;
            }
        }
    }
}

fn report(ended: Result<(), h2::Error>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to an app ended");
    }
}
