//! An app's stream as hyper reads it: of an answer nothing arrives that our own reader would refuse.
//!
//! hyper takes what RFC 9112 lets a recipient forgive: equal lengths said twice, a length beside a coding, lines that
//! end with LF alone, codings before `chunked`. Where an answer ends must not depend on who reads it, so heads are held
//! back here until they are whole and good by `lean::head`, and chunks are counted on their way by the same rules. What
//! hyper gets is unchanged, and it frames answers itself. What comes behind an answer, or unasked, hyper reads as
//! the connection's end: it would keep such bytes while a body is sent, and not hear of the end any more. Called by
//! `connection`.

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
    /// The app took something of the request, and not all.
    has_hung_up: bool,
}

impl Noted {
    /// The app takes nothing more, having taken this of the request.
    fn hang_up(&mut self, taken: Taken) {
        self.is_spoilt = true;
        self.has_hung_up = taken == Taken::Some;
    }
}

/// What an app has taken of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Nothing,
    Some,
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

    /// Whether the app closed in the middle of a request.
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
    /// What it has taken of the last request.
    taken: Taken,
}

/// Where in an answer the stream is.
#[derive(Debug)]
enum Phase {
    /// In none: nothing was asked, or all was answered.
    Between,
    /// Something came that was not asked for.
    Over,
    Head(Question),
    Length(u64),
    Chunks(Box<Chunks>),
    /// To the connection's end, be it of an answer or of a tunnel.
    Rest,
}

impl<S> Checked<S> {
    pub(super) fn new(stream: S, notes: Notes) -> Self {
        let (received, good) = (BytesMut::new(), Bytes::new());
        let (phase, afterwards, ear, taken) = (Phase::Between, Afterwards::Keep, Ear::Open, Taken::Nothing);
        Self { stream, notes, phase, afterwards, received, good, ear, taken }
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
            self.taken = Taken::Nothing;
        }
    }

    /// The answer is over, and so many bytes are behind it: an answer to nothing that was asked.
    fn end(&mut self, behind: usize) {
        self.phase = if behind > 0 { Phase::Over } else { Phase::Between };
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

    /// Counts what hyper is about to read of a body: so much of it belongs to the answer.
    fn count(&mut self, piece: &[u8]) -> Result<usize, Violation> {
        let passed = match &mut self.phase {
            Phase::Length(left) => {
                let passed = usize::try_from(*left).map_or(piece.len(), |left| left.min(piece.len()));
                *left -= passed as u64;
                if *left > 0 {
                    return Ok(passed);
                }
                passed
            }
            Phase::Chunks(chunks) => {
                let passed = chunks.pass(piece)?;
                if !chunks.is_at_end() {
                    return Ok(passed);
                }
                chunks.trailers()?;
                passed
            }
            Phase::Between if !piece.is_empty() => 0,
            Phase::Between | Phase::Over | Phase::Head(_) | Phase::Rest => return Ok(piece.len()),
        };
        self.end(piece.len() - passed);
        Ok(passed)
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
            match ready!(read.poll(cx)) {
                Ok(0) if before == 0 => return Poll::Ready(Ok(false)),
                Ok(0) => return Poll::Ready(Err(refused(Violation::Truncated))),
                // TLS that ends without a word.
                Err(error) if before > 0 && error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Poll::Ready(Err(refused(Violation::Truncated)));
                }
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(error)),
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
        if matches!(this.phase, Phase::Over) {
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
        let counted = this.count(piece);
        buf.set_filled(before + counted.as_ref().unwrap_or(&0));
        Poll::Ready(counted.map(|_| ()).map_err(refused))
    }
}

impl<S: AsyncWrite + Unpin> Checked<S> {
    /// Writes, as long as the app takes anything; afterwards nothing more may be asked.
    fn write(
        &mut self,
        as_if: usize,
        write: impl FnOnce(Pin<&mut S>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let Self { stream, ear, .. } = self;
        let was_open = *ear == Ear::Open;
        let written = ear.while_open(as_if, || write(Pin::new(stream)));
        if *ear == Ear::Closed {
            if was_open {
                self.notes.lock().hang_up(self.taken);
            }
        } else if matches!(written, Poll::Ready(Ok(1..))) {
            self.taken = Taken::Some;
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
        self.write(0, |stream| stream.poll_flush(cx).map_ok(|()| 0)).map_ok(|_| ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
