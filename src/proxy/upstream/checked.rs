//! An app's stream as hyper reads it: of an answer nothing arrives that our own reader would refuse.
//!
//! hyper takes what RFC 9112 lets a recipient forgive: equal lengths said twice, a length beside a coding, lines that
//! end with LF alone, codings before `chunked`. Where an answer ends must not depend on who reads it, so heads are held
//! back here until they are whole and good by `lean::head`, and chunks are counted on their way by the same rules. What
//! hyper gets is unchanged, and it frames answers itself. What comes while nothing was asked passes too: hyper ends a
//! connection for it. Called by `connection`.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use hyper::Method;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::ear::Ear;
use super::lean::Violation;
use super::lean::head::{self, Afterwards, Framing, Read};
use crate::http::chunks::Chunks;
use crate::http::tunnel::Ahead;

/// How much is read at once of a head.
const PIECE: usize = 8 * 1024;

/// What is asked over a connection, as far as it decides what an answer may be.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) method: Method,
    pub(super) switch: Switch,
}

/// Whether a 101 would be an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Switch {
    Offered,
    Unasked,
}

/// What whoever sends requests and whoever reads answers have to tell each other.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes(Arc<Mutex<Noted>>);

#[derive(Debug, Default)]
struct Noted {
    /// The request that is being sent, until its first byte is.
    question: Option<Question>,
    /// What follows the last answer might not be what it seems.
    is_spoilt: bool,
    /// The app did not take all that was sent.
    has_hung_up: bool,
}

impl Noted {
    fn hang_up(&mut self) {
        self.is_spoilt = true;
        self.has_hung_up = true;
    }
}

impl Notes {
    /// The next bytes that are written ask this.
    pub(super) fn ask(&self, question: Question) {
        self.lock().question = Some(question);
    }

    /// Whether nothing more may be asked.
    pub(super) fn is_spoilt(&self) -> bool {
        self.lock().is_spoilt
    }

    /// Whether the app closed before it had taken all that was sent.
    pub(super) fn has_hung_up(&self) -> bool {
        self.lock().has_hung_up
    }

    /// A panic elsewhere leaves whole notes.
    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream whose answers are read strictly.
#[derive(Debug)]
pub(super) struct Checked<S> {
    stream: S,
    notes: Notes,
    phase: Phase,
    /// Whether the connection may be used again when the phase is over.
    afterwards: Afterwards,
    /// What came and was not judged yet: a part of a head, or what is behind one.
    received: BytesMut,
    /// What was judged and not read yet.
    good: Bytes,
    /// Whether the app takes anything more.
    ear: Ear,
}

/// Where in an answer the stream is.
#[derive(Debug)]
enum Phase {
    /// In none: nothing was asked, or all was answered.
    Between,
    Head(Question),
    Length(u64),
    Chunks(Box<Chunks>),
    /// To the connection's end, be it of an answer or of a tunnel.
    Rest,
}

impl<S> Checked<S> {
    pub(super) fn new(stream: S, notes: Notes) -> Self {
        let (received, good) = (BytesMut::new(), Bytes::new());
        let (phase, afterwards, ear) = (Phase::Between, Afterwards::Keep, Ear::Open);
        Self { stream, notes, phase, afterwards, received, good, ear }
    }

    /// The stream, when it has become a tunnel.
    pub(super) fn into_inner(self) -> Ahead<S> {
        let ahead = if self.good.is_empty() {
            self.received.freeze()
        } else {
            [self.good, self.received.freeze()].concat().into()
        };
        Ahead { ahead, stream: self.stream }
    }

    /// A request goes out, or more of one.
    fn begin(&mut self) {
        if matches!(self.phase, Phase::Between)
            && let Some(question) = self.notes.lock().question.take()
        {
            self.phase = Phase::Head(question);
        }
    }

    /// The answer is over, and so many bytes are behind it: an answer to nothing that was asked.
    fn end(&mut self, behind: usize) {
        self.phase = Phase::Between;
        if self.afterwards == Afterwards::Close || behind > 0 {
            self.notes.lock().is_spoilt = true;
        }
    }

    /// Lets go of a head that is whole; whether there was one.
    fn judge(&mut self) -> Result<bool, Violation> {
        let Phase::Head(question) = &self.phase else { return Ok(false) };
        let received = self.received.split().freeze();
        let (length, next) = match head::read(&received, &question.method)? {
            Read::Part => {
                self.received = received.into();
                return Ok(false);
            }
            Read::Interim(length, ..) => (length, None),
            Read::Switched(length) if question.switch == Switch::Offered => (length, Some(Phase::Rest)),
            Read::Switched(_) => return Err(Violation::Switched),
            Read::Whole(head) => {
                self.afterwards = head.afterwards;
                let next = match head.framing {
                    Framing::None => Phase::Between,
                    Framing::Length(length) => Phase::Length(length),
                    Framing::Chunked => Phase::Chunks(Box::default()),
                    Framing::UntilClose => Phase::Rest,
                };
                (head.length, Some(next))
            }
        };
        // A head goes alone: what is wrong behind it is told after it.
        self.good = received.slice(..length);
        self.received = received.slice(length..).into();
        match next {
            Some(Phase::Between) => self.end(self.received.len()),
            Some(next) => self.phase = next,
            None => {}
        }
        Ok(true)
    }

    /// Counts what hyper is about to read of a body.
    fn count(&mut self, piece: &[u8]) -> Result<(), Violation> {
        let passed = match &mut self.phase {
            Phase::Length(left) => {
                let passed = usize::try_from(*left).map_or(piece.len(), |left| left.min(piece.len()));
                *left -= passed as u64;
                if *left > 0 {
                    return Ok(());
                }
                passed
            }
            Phase::Chunks(chunks) => {
                let passed = chunks.pass(piece)?;
                if !chunks.is_at_end() {
                    return Ok(());
                }
                chunks.trailers()?;
                passed
            }
            Phase::Between | Phase::Head(_) | Phase::Rest => return Ok(()),
        };
        self.end(piece.len() - passed);
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> Checked<S> {
    /// Waits until a head is whole, and has it in `good`; false when the connection ended before it began.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        // What is behind an interim answer was received already; of a part something more has to come first.
        let mut is_news = !self.received.is_empty();
        loop {
            if is_news && self.judge().map_err(refused)? {
                return Poll::Ready(Ok(true));
            }
            let before = self.received.len();
            self.received.reserve(PIECE);
            let read = std::pin::pin!(tokio::io::AsyncReadExt::read_buf(&mut self.stream, &mut self.received));
            if ready!(read.poll(cx))? == 0 {
                return match before {
                    0 => Poll::Ready(Ok(false)),
                    _ => Poll::Ready(Err(refused(Violation::Truncated))),
                };
            }
            // So that a head that trickles in is not read anew for each byte.
            let piece = self.received.get(before..).unwrap_or_default();
            is_news = piece.contains(&b'\n') || before == 0 || self.received.len() >= head::LONGEST;
        }
    }
}

fn refused(violation: Violation) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, violation)
}

impl<S: AsyncRead + Unpin> AsyncRead for Checked<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.good.is_empty() && matches!(this.phase, Phase::Head(_)) && !ready!(this.poll_head(cx))? {
            return Poll::Ready(Ok(()));
        }
        if !this.good.is_empty() {
            let length = this.good.len().min(buf.remaining());
            buf.put_slice(&this.good.split_to(length));
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        if this.received.is_empty() {
            ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        } else {
            let length = this.received.len().min(buf.remaining());
            buf.put_slice(&this.received[..length]);
            this.received.advance(length);
        }
        let piece = buf.filled().get(before..).unwrap_or_default();
        // The system tells a reset once, and it was told to a write: this end may have come too early.
        if piece.is_empty() && matches!(this.phase, Phase::Rest) && this.ear == Ear::Closed {
            return Poll::Ready(Err(refused(Violation::Truncated)));
        }
        if let Err(violation) = this.count(piece) {
            buf.set_filled(before);
            return Poll::Ready(Err(refused(violation)));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Checked<S> {
    /// Writes, as long as the app takes anything; afterwards nothing more may be asked.
    fn write<T>(&mut self, as_if: T, write: impl FnOnce(Pin<&mut S>) -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let Self { stream, ear, .. } = self;
        let was_open = *ear == Ear::Open;
        let written = ear.while_open(as_if, || write(Pin::new(stream)));
        if was_open && *ear == Ear::Closed {
            self.notes.lock().hang_up();
        }
        written
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Checked<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.begin();
        self.write(bytes.len(), |stream| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.begin();
        self.write(pieces.iter().map(|piece| piece.len()).sum(), |stream| stream.poll_write_vectored(cx, pieces))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write((), |stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    async fn asked(method: Method, switch: Switch) -> (Checked<DuplexStream>, DuplexStream, Notes) {
        let (ours, theirs) = duplex(1 << 20);
        let notes = Notes::default();
        let mut stream = Checked::new(ours, notes.clone());
        notes.ask(Question { method, switch });
        stream.write_all(b"x").await.unwrap();
        (stream, theirs, notes)
    }

    /// All that can be read before the app says more.
    fn read(stream: &mut Checked<DuplexStream>) -> Result<String, String> {
        let mut all = String::new();
        let mut piece = [0; 64];
        loop {
            match stream.read(&mut piece).now_or_never() {
                Some(Ok(0)) | None => return Ok(all),
                Some(Ok(length)) => all.push_str(std::str::from_utf8(&piece[..length]).unwrap()),
                Some(Err(error)) => return Err(error.to_string()),
            }
        }
    }

    #[tokio::test]
    async fn a_head_is_held_back_until_it_is_whole_and_arrives_as_it_came() {
        let answer = "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        let ends: Vec<usize> = answer.match_indices("\r\n\r\n").map(|(at, _)| at + 4).collect();
        let (mut stream, mut app, notes) = asked(Method::POST, Switch::Unasked).await;
        let mut all = String::new();
        for (at, byte) in answer.bytes().enumerate() {
            app.write_all(&[byte]).await.unwrap();
            all.push_str(&read(&mut stream).unwrap());
            let whole = ends.iter().rev().find(|end| **end <= at + 1).unwrap_or(&0);
            assert_eq!(all, answer[..*whole]);
        }
        app.write_all(b"hel").await.unwrap();
        assert_eq!(read(&mut stream).unwrap(), "hel");
        app.write_all(b"lo").await.unwrap();
        assert_eq!(read(&mut stream).unwrap(), "lo");
        assert!(!notes.is_spoilt());
        notes.ask(Question { method: Method::GET, switch: Switch::Unasked });
        stream.write_all(b"x").await.unwrap();
        app.write_all(b"HTTP/1.1 204 No Content\n\r\n").await.unwrap();
        assert_eq!(read(&mut stream).unwrap_err(), Violation::LineEnd.to_string(), "the next answer is read anew");
    }

    #[tokio::test]
    async fn behind_a_spoilt_answer_nothing_is_asked() {
        for (method, answer, is_spoilt) in [
            (Method::POST, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", false),
            (Method::POST, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokx", true),
            (Method::POST, "HTTP/1.1 204 No Content\r\n\r\n", false),
            (Method::POST, "HTTP/1.1 204 No Content\r\n\r\nx", true),
            (Method::POST, "HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\n", true),
            (Method::POST, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", false),
            (Method::POST, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nx", true),
            (Method::HEAD, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", true),
            (Method::POST, "HTTP/1.0 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nok", true),
        ] {
            let (mut stream, mut app, notes) = asked(method, Switch::Unasked).await;
            app.write_all(answer.as_bytes()).await.unwrap();
            assert_eq!(read(&mut stream).unwrap(), answer);
            assert_eq!(notes.is_spoilt(), is_spoilt, "{answer:?}");
        }
    }

    #[tokio::test]
    async fn a_switch_counts_only_where_it_was_offered_and_nothing_is_judged_behind_it() {
        let switch = "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n";
        let (mut stream, mut app, _) = asked(Method::GET, Switch::Offered).await;
        app.write_all(format!("{switch}\n\0").as_bytes()).await.unwrap();
        let mut head = vec![0; switch.len()];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(head, switch.as_bytes());
        let mut tunnel = stream.into_inner();
        drop(app);
        let mut behind = Vec::new();
        tunnel.read_to_end(&mut behind).await.unwrap();
        assert_eq!(behind, b"\n\0", "what came with the head is the tunnel's");
        let (mut stream, mut app, _) = asked(Method::GET, Switch::Unasked).await;
        app.write_all(switch.as_bytes()).await.unwrap();
        assert_eq!(read(&mut stream).unwrap_err(), Violation::Switched.to_string());
    }

    #[tokio::test]
    async fn half_a_head_is_told_from_none() {
        let (mut stream, app, _) = asked(Method::POST, Switch::Unasked).await;
        drop(app);
        assert_eq!(read(&mut stream).unwrap(), "");
        let (mut stream, mut app, _) = asked(Method::POST, Switch::Unasked).await;
        app.write_all(b"HTTP/1.1 200").await.unwrap();
        drop(app);
        assert_eq!(read(&mut stream).unwrap_err(), Violation::Truncated.to_string());
    }
}
