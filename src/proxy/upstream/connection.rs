//! A connection to an app that one request at a time is sent over, and what comes of it.
//!
//! hyper speaks on it, in a task of its own, which would go on for as long as an app neither reads what is still sent
//! nor closes: hyper closes nothing before all was written. So the task has an end: a while after nobody has the
//! connection any more, or with the patience of whoever leaves it. Called by `proxy::upstream`.

use std::io;
use std::pin::{Pin, pin};
use std::time::Duration;

use hyper::client::conn::http1;
use hyper::header::UPGRADE;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

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

/// A connection that speaks HTTP/1.1. Dropped, it has [`GRACE`] to send what it holds.
pub(super) struct Connection {
    sender: http1::SendRequest<Body>,
    /// Where hyper speaks, and hears what is [`Checked`]; whether it came to an end by itself.
    task: JoinHandle<bool>,
    /// How long the task may go on when nobody has the connection.
    patience: oneshot::Sender<Patience>,
    notes: Notes,
}

/// Ends when what is still sent is borne no longer.
type Patience = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How long what was sent may take to reach an app when nobody waits for its answer any more.
const GRACE: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 60 });

/// How often hyper is asked to look, once nobody asks for anything: after its last write it does not ask by itself whether
/// anybody has another request, and so would not close.
const LOOK: Duration = Duration::from_secs(1);

/// How a tunnel has an app's connection back that hyper spoke on.
pub const UNWRAP: Unwrap = Unwrap(|connection| tunnel::unwrap(connection, Checked::<Stream>::into_inner));

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
        Self::over(stream).await
    }

    async fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Result<Self, Why> {
        let notes = Notes::default();
        let (sender, connection) = http1::Builder::new()
            .preserve_header_case(false)
            .handshake(TokioIo::new(Checked::new(stream, notes.clone())))
            .await
            .map_err(|error| why(&error))?;
        let (patience, left) = oneshot::channel();
        let task = tokio::spawn(speak(connection.with_upgrades(), left));
        Ok(Self { sender, task, patience, notes })
    }

    /// Whether nothing can be sent over it any more.
    pub(super) fn has_ended(&self) -> bool {
        self.notes.is_spoilt() || self.sender.is_closed()
    }

    /// Whether the next request can be sent over it, soon if not now. Its task may not have seen the end of the last
    /// exchange yet; an upload that goes on is not waited for.
    pub(super) async fn settle(&mut self) -> bool {
        self.sender.is_ready() || matches!(timeout(SETTLE, self.sender.ready()).await, Ok(Ok(())))
    }

    /// Has what is still sent on it go on being sent, until `patience` ends: whether all was sent by then.
    pub(super) async fn leave(self, patience: impl Future<Output = ()> + Send + 'static) -> bool {
        let Self { sender, task, patience: tell, .. } = self;
        drop(sender);
        // It may have ended already.
        _ = tell.send(Box::pin(patience));
        // Only a panic or the runtime's end is an error.
        task.await.unwrap_or(true)
    }

    /// Sends a request and waits for the head of the answer.
    pub(super) async fn send(&mut self, mut request: Request) -> Result<hyper::Response<AppBody>, Failed> {
        let Self { sender, notes, .. } = self;
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

/// Speaks until the connection ends, or nobody has it and whoever `left` it is out of patience: whether it ended.
async fn speak(connection: impl Future<Output = hyper::Result<()>>, left: oneshot::Receiver<Patience>) -> bool {
    let mut connection = pin!(async {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to an app ended");
        }
    });
    let patience = tokio::select! {
        biased;
        () = &mut connection => return true,
        told = left => told.unwrap_or_else(|_| Box::pin(sleep(GRACE))),
    };
    tokio::select! {
        biased;
        () = async { while timeout(LOOK, &mut connection).await.is_err() {} } => true,
        () = patience => false,
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
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::http::BodyError;
    use bytes::Bytes;
    use futures_util::{StreamExt as _, stream};
    use http_body::Frame;
    use http_body_util::{BodyExt as _, StreamBody};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};
    use tokio::net::{TcpListener, TcpStream};

    /// Longer than anything takes.
    const A_WHILE: Duration = Duration::from_secs(30);

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
            assert!(connection.leave(sleep(A_WHILE)).await, "{size}");
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
            assert!(connection.leave(sleep(A_WHILE)).await, "{is_said_at_once}");
        }
    }

    /// Says something when it was asked, and then ends as rustls tells of an end without close_notify.
    struct Wordless {
        says: &'static [u8],
        was_asked: bool,
        reader: Option<Waker>,
    }

    impl AsyncRead for Wordless {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            if !self.was_asked {
                self.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
            if self.says.is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            buf.put_slice(std::mem::take(&mut self.says));
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Wordless {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.was_asked = true;
            self.reader.take().into_iter().for_each(Waker::wake);
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn tls_that_ends_without_a_word_is_an_end_before_an_answer_and_a_fault_within_one() {
        for (says, is_end) in [(&b""[..], true), (b"HTTP/1.1 200 OK\r\n", false)] {
            let stream = Wordless { says, was_asked: false, reader: None };
            let mut connection = Connection::over(stream).await.unwrap();
            let why = connection.send(Request::new(Body::Empty)).await.err().unwrap().why;
            assert_eq!(matches!(why, Why::Ended(_)), is_end, "{why:?}");
            assert_eq!(matches!(why, Why::Misbehaved(_)), !is_end, "{why:?}");
        }
    }

    /// More than any socket holds.
    const MUCH: usize = 50_000_000;

    /// A connection over which much is sent although it was answered, and the app's side, where nothing more is read.
    async fn half_sent() -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut app, _) = listener.accept().await.unwrap();
        let mut connection = Connection::open(Stream::Tcp(stream)).await.unwrap();
        let mut request = Request::new(Body::Full(vec![b'x'; MUCH].into()));
        request.headers_mut().insert("content-length", MUCH.into());
        let answers = async {
            app.read_u8().await.unwrap();
            app.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        };
        let (answer, ()) = tokio::join!(connection.send(request), answers);
        assert!(answer.unwrap().into_body().collect().await.unwrap().to_bytes().is_empty());
        (connection, app)
    }

    /// How much the app finds when it reads at last, to the end of the connection.
    async fn found_by(mut app: TcpStream) -> usize {
        let mut all = Vec::new();
        app.read_to_end(&mut all).await.unwrap();
        all.len()
    }

    #[tokio::test]
    async fn what_is_still_sent_on_a_connection_that_is_left_arrives() {
        let (connection, app) = half_sent().await;
        let (is_sent, found) = tokio::join!(connection.leave(sleep(A_WHILE)), found_by(app));
        assert!(is_sent && found >= MUCH, "{is_sent} {found}");
    }

    #[tokio::test]
    async fn an_app_that_neither_reads_nor_closes_is_borne_no_longer_than_patience_lasts() {
        let (connection, app) = half_sent().await;
        assert!(!connection.leave(sleep(Duration::from_millis(50))).await);
        assert!(found_by(app).await < MUCH);
    }

    #[tokio::test]
    async fn what_is_still_sent_on_a_connection_that_is_dropped_arrives_if_the_app_takes_it_soon() {
        for takes_it in [true, false] {
            let (Connection { sender, task, patience, .. }, app) = half_sent().await;
            drop((sender, patience));
            let found = if takes_it { Some(found_by(app).await) } else { None };
            assert_eq!(task.await.unwrap(), takes_it);
            assert!(found.is_none_or(|found| found >= MUCH), "{found:?}");
        }
    }
}
