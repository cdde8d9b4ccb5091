//! An exchange with an app over HTTP/1.1 for the plainest case: a request that is nothing but a head.
//!
//! Most requests are such, and hyper's client pays for what they do not need: a task for each connection, two
//! channels and two wake-ups for each exchange. Here the request's own task writes the head in one go, waits for
//! the answer's, and takes its body as slices of what was read. Requests with a body or an upgrade stay with hyper.
//!
//! The price is that this reads framing itself, which is where one person's answer becomes another's. Therefore:
//! what can be read in two ways is refused ([`Violation`]), a connection that has anything to say before it was
//! asked is closed, and so is one on which anything is left behind an answer. Over TLS an answer that goes to the
//! connection's end has to end with close_notify: rustls tells every other end as an error (RFC 8446 section 6.1).
//! Called by `proxy::upstream`.

mod body;
pub(super) mod head;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use hyper::StatusCode;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use self::body::Left;
use self::head::{Afterwards, Framing, Head, Read};
use super::super::interim;
use super::tls::alert_in;
use crate::http::apart::apart;
use crate::http::chunks::{Chunks, Malformed};
use crate::http::fields::Received;
use crate::http::interim::Sender;
use crate::proxy::outgoing::Outgoing;

pub use self::body::{BrokeOff, Incoming};
pub use self::head::is_plain;

/// How much room there is for what an answer begins with. Memory that nothing was written to costs nothing.
const FIRST_PIECE: usize = 32 * 1024;

/// What an app said that is not HTTP/1.1, or could be read in two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// It does not begin with a status line.
    #[error("its answer is not HTTP/1")]
    NotHttp,
    /// The head cannot be parsed.
    #[error("the head of its answer is malformed ({0})")]
    Head(httparse::Error),
    /// A line ends with LF alone.
    #[error("a line in the head of its answer does not end with CR LF")]
    LineEnd,
    /// More than 64 KiB.
    #[error("the head of its answer is longer than 64 KiB")]
    HeadTooLong,
    /// More than 100.
    #[error("its answer has more than 100 fields")]
    TooManyFields,
    /// A field that is none.
    #[error("its answer has a field with a forbidden character")]
    Field,
    /// Outside 100 to 999.
    #[error("its answer has no valid status")]
    Status,
    /// Content-Length beside Transfer-Encoding.
    #[error("its answer has a Content-Length and a Transfer-Encoding")]
    TwoLengths,
    /// Several lines of Content-Length.
    #[error("its answer has several Content-Length lines")]
    RepeatedLength,
    /// Not a number.
    #[error("the Content-Length of its answer is not a number")]
    Length,
    /// Anything but `chunked` alone, or one in HTTP/1.0.
    #[error("the Transfer-Encoding of its answer is not chunked")]
    TransferCoding,
    /// A 101.
    #[error("it switched protocols although nobody asked")]
    Switched,
    /// An interim answer with a body.
    #[error("its interim answer announces a body")]
    InterimBody,
    /// Too many interim answers.
    #[error("it sent more than 64 interim answers")]
    TooManyInterim,
    /// Not hexadecimal digits alone, or too many.
    #[error("a chunk of its answer has no valid size")]
    ChunkSize,
    /// Too many bytes or a forbidden one.
    #[error("the chunk extensions of its answer are too long or malformed")]
    ChunkExtension,
    /// A chunk's line or data that do not end with CRLF.
    #[error("a chunk of its answer does not end where it should")]
    ChunkEnd,
    /// Too long or malformed.
    #[error("the trailers of its answer are too long or malformed")]
    Trailers,
    /// The connection ended before the answer did.
    #[error("it closed the connection before the end of its answer")]
    Truncated,
}

impl From<Malformed> for Violation {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::Size => Self::ChunkSize,
            Malformed::Extension => Self::ChunkExtension,
            Malformed::End => Self::ChunkEnd,
            Malformed::Trailers => Self::Trailers,
        }
    }
}

/// Why there is no answer. The connection is closed, whichever it is.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The connection was not fit to be written to, and nothing was written: any request may be sent again. With the
    /// alert that ended its TLS, if one did.
    #[error("the connection was closed, or something came that was not asked for")]
    Unsent(Option<String>),
    /// It ended TLS with an alert, as it does when it misses our certificate (RFC 8446 section 4.4.2.4).
    #[error("{0}")]
    Alert(String),
    /// It ended before a byte of an answer, so that the app may have been closing it all along.
    #[error("it closed the connection without an answer")]
    Unanswered,
    /// The same after it was told that the client had ended its side: it takes that for a client that is gone, as many
    /// do. To every other it would have answered.
    #[error("the client ended its side of the connection, and the app closed its own without an answer")]
    Left,
    /// The deadline passed.
    #[error("the deadline passed")]
    Late,
    /// It broke in the middle.
    #[error(transparent)]
    Broken(io::Error),
    /// It does not keep to the protocol.
    #[error(transparent)]
    Misbehaved(#[from] Violation),
}

/// What an app answered.
pub struct Answer<T> {
    /// Its status.
    pub status: StatusCode,
    /// Its fields, as they came.
    pub lines: Received,
    /// Its body.
    pub body: Body<T>,
}

/// An answer's body.
pub enum Body<T> {
    /// All of it, with the connection if that may be used again.
    Whole(Bytes, Option<Box<Connection<T>>>),
    /// What has yet to come, at least in part.
    Streamed(Incoming<T>),
}

/// A connection that is in nobody's use, or in one exchange's.
pub struct Connection<T> {
    io: T,
    /// Read into. What was read is handed out as slices; once all are gone the memory is used again.
    space: BytesMut,
    /// The request's head as it is written.
    head: Vec<u8>,
    /// One for all exchanges: most end long before it goes off, and need not touch it.
    timer: Option<Pin<Box<Sleep>>>,
    farewell: Farewell,
}

/// Whether the app was told that nothing more will be sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Farewell {
    Unsaid,
    /// As far as it went at once.
    Begun,
    Said,
}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection<T> {
    /// Over a stream that is connected.
    pub fn new(io: T) -> Box<Self> {
        Box::new(Self { io, space: BytesMut::new(), head: Vec::new(), timer: None, farewell: Farewell::Unsaid })
    }

    /// Ready when it was closed, by an alert of TLS perhaps, or something came on it unasked: what comes before its
    /// request would be taken for the answer to whoever is next. A task that has had its turn (tokio's budget) is told
    /// that it is quiet, but cannot write either until it asks again.
    fn poll_unasked(&mut self, cx: &mut Context<'_>) -> Poll<Option<String>> {
        let mut byte = [0; 1];
        let read = Pin::new(&mut self.io).poll_read(cx, &mut ReadBuf::new(&mut byte));
        read.map(|read| read.err().and_then(|error| alert_in(&error)))
    }

    /// Whether it is open and nothing has come on it unasked.
    pub fn is_quiet(&mut self) -> bool {
        self.poll_unasked(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    /// Sends a request that [`is_plain`] and waits for its answer's head.
    ///
    /// # Errors
    /// [`Fault`]; the request is as it was after [`Fault::Unsent`] and [`Fault::Unanswered`].
    pub async fn exchange(mut self: Box<Self>, request: &mut Outgoing<'_>, until: Instant) -> Result<Answer<T>, Fault> {
        head::write(request, &mut self.head);
        self.send(until).await?;
        let received = self.receive_first(request.interim(), until).await?;
        let rest = match head::read(&received, request.method())? {
            Read::Whole(head) => return Ok(self.answer(received, head, request.interim())),
            begun => apart(|| self.receive_head(received, begun, request, until)),
        };
        rest.await
    }

    /// The answer's head, when there is more before it or more to come of it.
    async fn receive_head(
        mut self: Box<Self>,
        mut received: Bytes,
        mut read: Read,
        request: &mut Outgoing<'_>,
        until: Instant,
    ) -> Result<Answer<T>, Fault> {
        let (client, mut count) = (request.interim(), 0);
        loop {
            match read {
                Read::Whole(head) => return Ok(self.answer(received, head, client)),
                Read::Part => received = self.receive_line(&received, client, until).await?,
                Read::Switched(_) => return Err(Violation::Switched.into()),
                Read::Interim(length, status, fields) => {
                    count += 1;
                    if count > interim::MOST {
                        return Err(Violation::TooManyInterim.into());
                    }
                    interim::pass(client, status, fields);
                    received.advance(length);
                }
            }
            read = head::read(&received, request.method())?;
        }
    }

    fn answer(self: Box<Self>, mut received: Bytes, head: Head, client: Option<&Sender>) -> Answer<T> {
        received.advance(head.length);
        let body = self.body(received, head.framing, head.afterwards, client);
        Answer { status: head.status, lines: head.lines, body }
    }

    fn body(
        self: Box<Self>,
        mut received: Bytes,
        framing: Framing,
        afterwards: Afterwards,
        client: Option<&Sender>,
    ) -> Body<T> {
        let at_hand = received.len();
        let left = match framing {
            Framing::None => Left::Nothing,
            Framing::Length(length) => Left::Length(length),
            Framing::Chunked => Left::Chunked(Chunks::default()),
            Framing::UntilClose => Left::UntilClose,
        };
        let whole = match left {
            Left::Nothing => 0,
            Left::Length(length) if length <= at_hand as u64 => usize::try_from(length).unwrap_or(at_hand),
            _ => return Body::Streamed(Incoming::new(self, received, left, afterwards, client.cloned())),
        };
        let bytes = received.split_to(whole);
        let fit = received.is_empty() && afterwards == Afterwards::Keep && self.farewell == Farewell::Unsaid;
        Body::Whole(bytes, fit.then_some(self))
    }

    async fn send(&mut self, until: Instant) -> Result<(), Fault> {
        let mut written = 0;
        poll_fn(|cx| {
            if written == 0
                && let Poll::Ready(alert) = self.poll_unasked(cx)
            {
                return Poll::Ready(Err(Fault::Unsent(alert)));
            }
            loop {
                let polled = match self.head.get(written..) {
                    Some(rest) if !rest.is_empty() => Pin::new(&mut self.io).poll_write(cx, rest),
                    _ => Pin::new(&mut self.io).poll_flush(cx).map_ok(|()| 0),
                };
                match polled {
                    Poll::Ready(Ok(0)) if written == self.head.len() => return Poll::Ready(Ok(())),
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(broken(io::ErrorKind::WriteZero.into()))),
                    Poll::Ready(Ok(length)) => written += length,
                    Poll::Ready(Err(error)) => {
                        // Whoever leaves may have said why.
                        let alert = match self.poll_unasked(cx) {
                            Poll::Ready(alert) => alert,
                            Poll::Pending => None,
                        };
                        return Poll::Ready(Err(match alert {
                            // Of a record of TLS that went in part nobody can have read anything.
                            alert if written == 0 => Fault::Unsent(alert),
                            Some(alert) => Fault::Alert(alert),
                            None => broken(error),
                        }));
                    }
                    Poll::Pending => return self.poll_late(cx, until).map(Err),
                }
            }
        })
        .await
    }

    /// What an answer begins with.
    async fn receive_first(&mut self, client: Option<&Sender>, until: Instant) -> Result<Bytes, Fault> {
        let received = match self.receive(client, until).await {
            Ok(received) if received.is_empty() => Err(Fault::Unanswered),
            Err(Fault::Broken(error)) => Err(broken(error)),
            received => received,
        };
        match received {
            Err(Fault::Unanswered) if self.farewell != Farewell::Unsaid => Err(Fault::Left),
            received => received,
        }
    }

    /// What was received, and then some: at least to the end of another line, so that a head that trickles in is
    /// not read anew for each byte.
    async fn receive_line(&mut self, received: &[u8], client: Option<&Sender>, until: Instant) -> Result<Bytes, Fault> {
        let mut all = BytesMut::from(received);
        loop {
            let more = self.receive(client, until).await?;
            if more.is_empty() {
                return Err(Violation::Truncated.into());
            }
            all.extend_from_slice(&more);
            if more.contains(&b'\n') || all.len() >= head::LONGEST {
                return Ok(all.freeze());
            }
        }
    }

    async fn receive(&mut self, client: Option<&Sender>, until: Instant) -> Result<Bytes, Fault> {
        poll_fn(|cx| match self.poll_read(cx, FIRST_PIECE, FIRST_PIECE) {
            Poll::Ready(received) => Poll::Ready(received.map_err(Fault::Broken)),
            Poll::Pending => {
                self.pass_end(cx, client);
                self.poll_late(cx, until).map(Err)
            }
        })
        .await
    }

    /// Ends our side if the client has ended its own: an app that watches for that stops what nobody waits for, and one
    /// that does not answers, both as they would without us. Nobody else's request can follow.
    fn pass_end(&mut self, cx: &mut Context<'_>, client: Option<&Sender>) {
        if self.farewell == Farewell::Said || !client.is_some_and(Sender::has_ended) {
            return;
        }
        // One that does not take it has other troubles, and is read from all the same.
        let said = Pin::new(&mut self.io).poll_shutdown(cx).is_ready();
        self.farewell = if said { Farewell::Said } else { Farewell::Begun };
    }

    /// Reads what is there; nothing at the connection's end. When there is less room than `least`, `room` is made.
    fn poll_read(&mut self, cx: &mut Context<'_>, least: usize, room: usize) -> Poll<io::Result<Bytes>> {
        if self.space.capacity() < least {
            self.space.reserve(room);
        }
        ready!(pin!(self.io.read_buf(&mut self.space)).poll(cx))?;
        Poll::Ready(Ok(self.space.split().freeze()))
    }

    fn poll_late(&mut self, cx: &mut Context<'_>, until: Instant) -> Poll<Fault> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if timer.deadline() > until {
            timer.as_mut().reset(until);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if Instant::now() >= until {
                return Poll::Ready(Fault::Late);
            }
            // It was set for an exchange of long ago.
            timer.as_mut().reset(until);
        }
    }
}

/// Before a byte of the answer: whether the app hung up, or something else went wrong.
fn broken(error: io::Error) -> Fault {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    if let Some(alert) = alert_in(&error) {
        return Fault::Alert(alert);
    }
    match error.kind() {
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof => Fault::Unanswered,
        _ => Fault::Broken(error),
    }
}

#[cfg(test)]
mod tests;
