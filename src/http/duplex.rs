//! One stream of HTTP/2 as bytes that come and go: what a tunnel is there (RFC 8441 section 5).
//!
//! The other side may send more only as pieces are taken from here, and what is sent waits for its window, so that
//! either slows the other and no memory fills. "Orderly TCP-level closures are represented as END_STREAM flags", and
//! whatever else ends it resets the stream with CANCEL, which dropping it does. Made by `server` for clients and by
//! `proxy` for apps.

use std::any::Any;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much is sent in one piece: a frame's worth (RFC 9113 section 4.2).
const PIECE: usize = 16 * 1024;

/// What it means that the other side resets the stream with CANCEL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// That it has left, as browsers do when a page is closed: what it sent before counts, and nothing follows.
    Ended,
    /// That something went wrong.
    Broken,
}

/// Both directions of a stream.
pub struct Duplex {
    incoming: RecvStream,
    outgoing: SendStream<Bytes>,
    cancelled: Cancelled,
    /// Came, and was not taken yet.
    at_hand: Bytes,
    has_said_its_end: bool,
    /// Dropped with the stream, and after it.
    _held: Box<dyn Any + Send>,
}

impl Duplex {
    /// Of a stream whose heads have been exchanged. Whatever is to last as long goes with it.
    pub fn new(incoming: RecvStream, outgoing: SendStream<Bytes>, cancelled: Cancelled, held: impl Any + Send) -> Self {
        let (at_hand, held) = (Bytes::new(), Box::new(held));
        Self { incoming, outgoing, cancelled, at_hand, has_said_its_end: false, _held: held }
    }
}

impl std::fmt::Debug for Duplex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Duplex").field("at_hand", &self.at_hand.len()).finish_non_exhaustive()
    }
}

impl AsyncRead for Duplex {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // An empty piece is no end.
        while this.at_hand.is_empty() {
            match ready!(this.incoming.poll_data(cx)) {
                Some(Ok(data)) => this.at_hand = data,
                Some(Err(error)) if this.cancelled == Cancelled::Ended && is_cancel(&error) => {
                    return Poll::Ready(Ok(()));
                }
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = this.at_hand.len().min(buffer.remaining());
        buffer.put_slice(&this.at_hand.split_to(length));
        Poll::Ready(this.incoming.flow_control().release_capacity(length).map_err(broken))
    }
}

impl AsyncWrite for Duplex {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let length = ready!(poll_room(&mut this.outgoing, bytes.len(), cx)).map_err(broken)?;
        let piece = Bytes::copy_from_slice(bytes.get(..length).unwrap_or_default());
        Poll::Ready(this.outgoing.send_data(piece, false).map(|()| length).map_err(broken))
    }

    /// What was sent is on its way: its connection's task writes it.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if std::mem::replace(&mut this.has_said_its_end, true) {
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(this.outgoing.send_data(Bytes::new(), true).map_err(broken))
    }
}

/// Waits until some of `wanted` may be sent, and says how much: never more than the other side's window has room for,
/// or what it does not take would wait where nobody minds it. Room is asked for no more than one piece, which is sent
/// at once: more would be taken from the streams that have something to send.
pub fn poll_room(
    stream: &mut SendStream<Bytes>,
    wanted: usize,
    cx: &mut Context<'_>,
) -> Poll<Result<usize, h2::Error>> {
    let wanted = wanted.min(PIECE);
    stream.reserve_capacity(wanted);
    while stream.capacity() == 0 {
        ready!(stream.poll_capacity(cx)).ok_or(Reason::STREAM_CLOSED)??;
    }
    Poll::Ready(Ok(stream.capacity().min(wanted)))
}

fn is_cancel(error: &h2::Error) -> bool {
    error.is_remote() && error.is_reset() && error.reason() == Some(Reason::CANCEL)
}

fn broken(error: h2::Error) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, error)
}
