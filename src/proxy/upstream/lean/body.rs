//! An answer's body that is not at hand in one piece, as it comes from an app.
//!
//! Pieces are slices of what was read into, never copies. The body owns its connection: dropped before its end,
//! it closes it; at its end the connection may be taken out and used again. Called by `lean` and `proxy::stream`.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite};

use super::head::Afterwards;
use super::{Connection, Farewell, Violation};
use crate::http::BodyError;
use crate::http::chunks::{Chunks, Next};
use crate::http::interim::Sender;

/// How much is read at once of a body whose length is unknown.
const PIECE: usize = 32 * 1024;

/// With less room than this new room is made.
const LEAST: usize = 16 * 1024;

/// How much is read at once at most.
const LARGE_PIECE: usize = 128 * 1024;

/// How far the body goes from here.
#[derive(Debug)]
pub(super) enum Left {
    Length(u64),
    Chunked(Chunks),
    UntilClose,
    Nothing,
}

/// An app stopped its answer to a client that had ended its side, which is no fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client ended its side of the connection, and the app broke off its answer")]
pub struct BrokeOff;

/// A body on its way.
pub struct Incoming<T> {
    /// Until the body broke off, or somebody took it.
    connection: Option<Box<Connection<T>>>,
    unread: Bytes,
    left: Left,
    afterwards: Afterwards,
    /// Who may end its side of the connection meanwhile.
    client: Option<Sender>,
    /// Why it broke off, to be told.
    broken: Option<BodyError>,
}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Incoming<T> {
    /// A body of which `unread` is at hand.
    pub(super) fn new(
        connection: Box<Connection<T>>,
        unread: Bytes,
        left: Left,
        afterwards: Afterwards,
        client: Option<Sender>,
    ) -> Self {
        Self { connection: Some(connection), unread, left, afterwards, client, broken: None }
    }

    /// The connection, when the body is at its end and the connection fit for another request.
    pub fn release(&mut self) -> Option<Box<Connection<T>>> {
        let connection = self.connection.take()?;
        // Bytes behind an answer are an answer to nothing that was asked.
        let fit = self.has_ended() && self.unread.is_empty() && self.afterwards == Afterwards::Keep;
        (fit && connection.farewell == Farewell::Unsaid).then_some(connection)
    }

    fn has_ended(&self) -> bool {
        match &self.left {
            Left::Nothing => true,
            Left::Chunked(chunks) => chunks.is_at_end() && !chunks.has_trailers(),
            Left::Length(_) | Left::UntilClose => false,
        }
    }

    /// What is at hand of the body.
    fn take(&mut self) -> Result<Option<Frame<Bytes>>, Violation> {
        match &mut self.left {
            Left::Nothing => Ok(None),
            Left::UntilClose => {
                let piece = std::mem::take(&mut self.unread);
                Ok((!piece.is_empty()).then(|| Frame::data(piece)))
            }
            Left::Length(left) => {
                let length = usize::try_from(*left).map_or(self.unread.len(), |left| left.min(self.unread.len()));
                *left -= length as u64;
                if *left == 0 {
                    self.left = Left::Nothing;
                }
                let piece = self.unread.split_to(length);
                Ok((!piece.is_empty()).then(|| Frame::data(piece)))
            }
            Left::Chunked(chunks) => match chunks.advance(&mut self.unread)? {
                Next::Data => {
                    let piece = chunks.take(&mut self.unread);
                    // The end is often at hand with the last piece: to know it now spares a wait for it. If what
                    // follows is malformed, that is told after the piece.
                    let _ = chunks.advance(&mut self.unread);
                    Ok(Some(Frame::data(piece)))
                }
                Next::End => Ok(chunks.trailers()?.map(Frame::trailers)),
                Next::More => Ok(None),
            },
        }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame<Bytes>>, BodyError>> {
        loop {
            if let Some(frame) = self.take()? {
                return Poll::Ready(Ok(Some(frame)));
            }
            if self.has_ended() {
                return Poll::Ready(Ok(None));
            }
            let room = match self.left {
                Left::Length(left) => usize::try_from(left).unwrap_or(LARGE_PIECE).clamp(PIECE, LARGE_PIECE),
                _ => PIECE,
            };
            let Some(connection) = &mut self.connection else { return Poll::Ready(Err(Violation::Truncated.into())) };
            let read = connection.poll_read(cx, LEAST, room);
            if read.is_pending() {
                connection.pass_end(cx, self.client.as_ref());
            }
            let parted = connection.farewell != Farewell::Unsaid;
            self.unread = match ready!(read) {
                Err(_) if parted => return Poll::Ready(Err(BrokeOff.into())),
                read => read?,
            };
            if self.unread.is_empty() {
                match self.left {
                    Left::UntilClose => self.left = Left::Nothing,
                    _ if parted => return Poll::Ready(Err(BrokeOff.into())),
                    _ => return Poll::Ready(Err(Violation::Truncated.into())),
                }
            }
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> http_body::Body for Incoming<T> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        match ready!(self.poll_piece(cx)) {
            Ok(frame) => Poll::Ready(frame.map(Ok)),
            Err(error) => {
                // Whatever else comes on it belongs to nobody.
                self.connection = None;
                // hyper throws away what it has not yet written when a body fails: told a turn later, the head and
                // what came of the body still reach the client.
                self.broken = Some(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended()
    }

    fn size_hint(&self) -> SizeHint {
        match self.left {
            Left::Length(left) => SizeHint::with_exact(left),
            Left::Nothing => SizeHint::with_exact(0),
            Left::Chunked(_) | Left::UntilClose => SizeHint::default(),
        }
    }
}
