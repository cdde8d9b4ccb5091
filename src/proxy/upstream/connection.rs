//! A connection to an app that one request at a time is sent over, and what comes of it.
//!
//! An enum over who speaks on it, so that several ways of exchanging messages share one pool and one set of
//! rules for what may be sent again. Called by `proxy::upstream`.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::client::conn::http1;
use hyper::header::UPGRADE;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use super::super::interim;
use super::body::AppBody;
use super::checked::{Checked, Notes, Question, Switch};
use super::dial::Stream;
use super::lean::Violation;
use super::pool::Kept;
use super::tls::alert_in;
use crate::http::tunnel::{self, Unwrap};
use crate::http::{Body, BodyFault, Request};

/// How long a connection that was given back may take to be ready.
const SETTLE: Duration = Duration::from_millis(20);

/// A connection that speaks HTTP/1.1.
pub(super) enum Connection {
    /// hyper speaks, in a task of its own, and hears what is [`Checked`].
    Hyper(http1::SendRequest<Body>, Legacy, Notes),
}

/// How a tunnel has an app's connection back that hyper spoke on.
pub const UNWRAP: Unwrap = Unwrap(|connection| tunnel::unwrap(connection, Checked::<Stream>::into_inner));

/// What is kept for as long as a connection is spoken on, whoever has left it.
type Legacy = Arc<Mutex<Option<Box<dyn Send>>>>;

/// Why a connection gave no answer.
#[derive(Debug)]
pub(super) struct Failed {
    /// The request, when not a byte of it was sent.
    pub(super) unsent: Option<Request>,
    /// What happened.
    pub(super) why: Why,
}

/// What happened to a request without an answer.
#[derive(Debug)]
pub(super) enum Why {
    /// The connection ended before the answer began.
    Ended(String),
    /// The same, with the request's body not taken to its end.
    HungUp(String),
    /// The app ended TLS with an alert, as it does when it misses our certificate (RFC 8446 section 4.4.2.4).
    Handshake(String),
    /// What came is not HTTP, or it broke off within the head.
    Misbehaved(String),
    /// The app says that it did not look at the request.
    Refused(String),
    /// The app says that it answers this by HTTP/1.1 alone, and did not look at it (RFC 9113 section 7).
    Http1Required(String),
    /// The client's handshake for a WebSocket is none.
    BadHandshake(&'static str),
    /// The client's own body broke off.
    ClientBody(BodyFault),
}

impl Connection {
    /// Begins to speak over a fresh stream.
    pub(super) async fn open(stream: Stream) -> Result<Self, Why> {
        let notes = Notes::default();
        let (sender, connection) = http1::Builder::new()
            .preserve_header_case(false)
            .handshake(TokioIo::new(Checked::new(stream, notes.clone())))
            .await
            .map_err(|error| why(&error))?;
        let legacy = Legacy::default();
        let kept = Arc::clone(&legacy);
        // Ends by itself when its sender is dropped: with the pool, or with the lease.
        tokio::spawn(async move {
            let _kept = kept;
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to an app ended");
            }
        });
        Ok(Self::Hyper(sender, legacy, notes))
    }

    /// Whether nothing can be sent over it any more.
    pub(super) fn has_ended(&self) -> bool {
        let Self::Hyper(sender, _, notes) = self;
        notes.is_spoilt() || sender.is_closed()
    }

    /// Whether the next request can be sent over it, soon if not now. Its task may not have seen the end of the last
    /// exchange yet; an upload that goes on is not waited for.
    pub(super) async fn settle(&mut self) -> bool {
        match self {
            Self::Hyper(sender, ..) => sender.is_ready() || matches!(timeout(SETTLE, sender.ready()).await, Ok(Ok(()))),
        }
    }

    /// Leaves it to itself: what is still sent on it goes on being sent, and `what` is dropped when it ends.
    pub(super) fn leave(self, what: Box<dyn Send>) {
        let Self::Hyper(_, legacy, _) = self;
        *legacy.lock().unwrap_or_else(PoisonError::into_inner) = Some(what);
    }

    /// Sends a request and waits for the head of the answer.
    pub(super) async fn send(&mut self, mut request: Request) -> Result<hyper::Response<AppBody>, Failed> {
        let Self::Hyper(sender, _, notes) = self;
        let heard = interim::listen(&mut request);
        let has_body = !matches!(request.body(), Body::Empty);
        let switch = if request.headers().contains_key(UPGRADE) { Switch::Offered } else { Switch::Unasked };
        notes.ask(Question { method: request.method().clone(), switch });
        let answer = sender.try_send_request(request);
        let answered = match heard.until(answer).await {
            Ok(answered) => answered,
            Err(too_many) => return Err(Failed { unsent: None, why: Why::Misbehaved(too_many.to_string()) }),
        };
        match answered {
            Ok(response) => Ok(response.map(AppBody::Incoming)),
            Err(mut failure) => {
                let why = match why(failure.error()) {
                    Why::Ended(cause) if has_body && notes.has_hung_up() => Why::HungUp(cause),
                    why => why,
                };
                Err(Failed { unsent: failure.take_message(), why })
            }
        }
    }
}

impl Kept for Connection {
    fn is_closed(&mut self) -> bool {
        self.has_ended()
    }
}

fn why(error: &hyper::Error) -> Why {
    if error.is_user() {
        return Why::ClientBody(BodyFault::of(std::error::Error::source(error).unwrap_or(error)));
    }
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    if let Some(alert) = source.and_then(alert_in) {
        return Why::Handshake(alert);
    }
    if let Some(violation) = source.and_then(|source| source.get_ref()?.downcast_ref::<Violation>()) {
        return Why::Misbehaved(violation.to_string());
    }
    let ended = |error: &io::Error| {
        // The last is TLS that ended without a word.
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
    };
    let cause = source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
    if error.is_incomplete_message() || source.is_some_and(ended) { Why::Ended(cause) } else { Why::Misbehaved(cause) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::BodyError;
    use bytes::Bytes;
    use futures_util::{StreamExt as _, stream};
    use http_body::Frame;
    use http_body_util::{BodyExt as _, StreamBody};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    // Were it another type, tunnels would go through hyper, and nobody would notice but by the time that they take.
    #[tokio::test]
    async fn what_hyper_gives_back_is_what_a_tunnel_unwraps() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut app, _) = listener.accept().await.unwrap();
        let mut connection = Connection::open(Stream::Tcp(stream)).await.unwrap();
        let mut request = Request::new(Body::Empty);
        request.headers_mut().insert(UPGRADE, "x".parse().unwrap());
        let answer = async {
            app.read_u8().await.unwrap();
            let switch = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nhello";
            app.write_all(switch).await.unwrap();
        };
        let (answered, ()) = tokio::join!(connection.send(request), answer);
        let upgraded = hyper::upgrade::on(answered.unwrap()).await.unwrap();
        let parts = upgraded.downcast::<TokioIo<Checked<Stream>>>().unwrap();
        assert!(parts.read_buf.is_empty());
        assert_eq!(parts.io.into_inner().into_inner().ahead, "hello");
    }

    /// Reads the head of a request at most, answers, and closes with the rest unread: a reset.
    async fn answer_and_hang_up(listener: TcpListener) {
        let (mut app, _) = listener.accept().await.unwrap();
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nno need";
        app.read_u8().await.unwrap();
        app.write_all(answer).await.unwrap();
    }

    #[tokio::test]
    async fn a_connection_that_was_reset_ends_when_it_is_left() {
        for size in [10, 100_000, 5_000_000] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let app = tokio::spawn(answer_and_hang_up(listener));
            let mut connection = Connection::open(Stream::Tcp(stream)).await.unwrap();
            let mut request = Request::new(Body::Full(vec![b'x'; size].into()));
            request.headers_mut().insert("content-length", size.into());
            let answer = connection.send(request).await.unwrap();
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "no need");
            app.await.unwrap();
            assert!(timeout(Duration::from_secs(30), connection.ended()).await.is_ok(), "{size}");
        }
    }

    #[tokio::test]
    async fn a_connection_on_which_too_much_was_said_ends_whatever_is_still_sent() {
        for is_said_at_once in [true, false] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let mut connection = Connection::open(Stream::Tcp(stream)).await.unwrap();
            let begin = stream::once(async { Ok::<_, BodyError>(Frame::data(Bytes::from_static(b"begin"))) });
            let mut request = Request::new(Body::streamed(StreamBody::new(begin.chain(stream::pending()))));
            request.headers_mut().insert("content-length", 1_000_000.into());
            let (answer, more) = ("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nno need", "HTTP/1.1 400 What\r\n\r\n");
            let said = if is_said_at_once { format!("{answer}{more}") } else { answer.to_owned() };
            let app = async {
                let (mut app, _) = listener.accept().await.unwrap();
                app.read_u8().await.unwrap();
                app.write_all(said.as_bytes()).await.unwrap();
                app
            };
            let (answered, mut app) = tokio::join!(connection.send(request), app);
            assert_eq!(answered.unwrap().into_body().collect().await.unwrap().to_bytes(), "no need");
            if !is_said_at_once {
                app.write_all(more.as_bytes()).await.unwrap();
            }
            assert!(timeout(Duration::from_secs(30), connection.ended()).await.is_ok(), "{is_said_at_once}");
        }
    }

    impl Connection {
        /// Leaves it, and waits until nobody speaks on it any more.
        async fn ended(self) {
            let (held, dropped) = tokio::sync::oneshot::channel::<()>();
            self.leave(Box::new(held));
            dropped.await.unwrap_err();
        }
    }
}
