//! A client's stream, with what was read of it too early, and with a fence behind one request.
//!
//! hyper reads as much as there is and takes it for requests of its own reading. Behind a fence it gets one request,
//! and what follows waits for whoever reads heads strictly: `server::lean`. Called by `server::connection`.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::HeaderMap;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::hang_up::{HangUp, HangsUp};
use super::lean::head::End;
use super::streams::{Activity, Late};
use crate::http::chunks::{Chunks, Malformed};
use crate::http::interim::Outlet;
use crate::http::tunnel::{Carrier, Socket};

/// How much is read at once before it is known who reads it.
const PIECE: usize = 8 * 1024;

/// A stream, and what was read from it before whoever reads now.
pub(super) struct Fenced<S> {
    unread: Bytes,
    stream: S,
    /// Boxed: a connection in lean hands has none, and would be stretched by it.
    fence: Option<Box<Fence>>,
    /// The client has ended its side behind a request, and whether it is still there.
    ended: Option<Box<HangUp>>,
}

/// Where a reader has to stop.
struct Fence {
    /// How far it may go in any case.
    left: u64,
    /// And from there to the end of these.
    chunks: Option<Box<Chunks>>,
    /// What came at that end.
    trailers: Option<HeaderMap>,
    /// Where the body's reader finds it, once hyper has handed on everything before: it hands on no trailers that come
    /// behind the answer before it reads another head.
    late: Option<Late>,
    /// Tells when nobody has to stop any more: the connection has become a tunnel.
    activity: Arc<Activity>,
    /// Tells the handler that the client sends nothing more.
    outlet: Arc<Outlet>,
}

impl<S> Fenced<S> {
    /// Nothing was read yet, and there is no fence.
    pub(super) fn new(stream: S) -> Self {
        Self { unread: Bytes::new(), stream, fence: None, ended: None }
    }

    /// What was read and not used.
    pub(super) fn unread(&mut self) -> &mut Bytes {
        &mut self.unread
    }

    /// Lets nobody read beyond this end, unless the connection switches to another protocol. One that is not known is
    /// where the head ends.
    pub(super) fn set_fence(&mut self, end: End, activity: &Arc<Activity>, outlet: &Arc<Outlet>) {
        let (left, chunks) = match end {
            End::After(left) | End::Unknown(left) => (left, None),
            End::Chunks(head) => (head, Some(Box::default())),
        };
        let late = chunks.is_some().then(Late::default);
        activity.note_drained(false);
        activity.expect_rest();
        activity.expect_late(late.clone());
        let (activity, outlet) = (Arc::clone(activity), Arc::clone(outlet));
        self.fence = Some(Box::new(Fence { left, chunks, trailers: None, late, activity, outlet }));
    }

    /// Whether the client is known to send nothing more.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Takes the fence away: whether everything before it was read.
    pub(super) fn take_fence(&mut self) -> bool {
        self.fence.take().is_some_and(|fence| fence.is_reached())
    }
}

/// A copy in memory of a size that allocators have at hand.
fn with_room(piece: &[u8]) -> Bytes {
    let mut copy = Vec::with_capacity(piece.len().next_power_of_two());
    copy.extend_from_slice(piece);
    copy.into()
}

impl Fence {
    fn is_reached(&self) -> bool {
        self.left == 0 && self.chunks.as_ref().is_none_or(|chunks| chunks.is_at_end())
    }

    /// How much of what was received is before it.
    fn pass(&mut self, received: &[u8]) -> Result<usize, Malformed> {
        let length = usize::try_from(self.left).map_or(received.len(), |left| left.min(received.len()));
        self.left -= length as u64;
        match &mut self.chunks {
            // A head goes alone: what is wrong behind it is its body's fault, and is answered as such.
            Some(chunks) if length == 0 => {
                let length = chunks.pass(received)?;
                // hyper takes trailers apart as well, and says in words of its own what is wrong with them.
                if chunks.is_at_end() {
                    self.trailers = chunks.trailers()?;
                }
                Ok(length)
            }
            _ => Ok(length),
        }
    }
}

impl<S: AsyncRead + Unpin> Fenced<S> {
    /// Waits for more to become unread: at least a byte, or false when none will come.
    pub(super) fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        self.poll_piece(cx).map(|read| read.unwrap_or(false))
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        // On the stack, so that a connection takes no room while nothing comes.
        let mut room = [const { MaybeUninit::uninit() }; PIECE];
        let mut piece = ReadBuf::uninit(&mut room);
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut piece));
        let piece = piece.filled();
        self.unread = match self.unread.is_empty() {
            true => with_room(piece),
            false => [&self.unread, piece].concat().into(),
        };
        Poll::Ready(read.map(|()| !piece.is_empty()))
    }

    /// Reads and throws away, whatever the fence: how much, or nothing at the end.
    pub(super) fn poll_throw_away(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        self.unread = Bytes::new();
        let mut room = [const { MaybeUninit::uninit() }; PIECE];
        let mut piece = ReadBuf::uninit(&mut room);
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut piece));
        Poll::Ready(if read.is_ok() { piece.filled().len() } else { 0 })
    }

    fn poll_read_ahead(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let length = self.unread.len().min(buf.remaining());
        buf.put_slice(&self.unread.split_to(length));
        if self.unread.is_empty() {
            // An empty slice would keep the memory of the whole.
            self.unread = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + HangsUp + Unpin> Fenced<S> {
    /// What a request is to know of its client that waits: it goes on when that has just ended its side, which `outlet`
    /// tells, and breaks off when it is gone.
    pub(super) fn poll_client(&mut self, cx: &mut Context<'_>, outlet: &Outlet) -> Poll<ControlFlow<()>> {
        let knew = self.has_ended();
        let gone = self.poll_gone(cx).map(ControlFlow::Break);
        if gone.is_pending() && !knew && self.has_ended() {
            outlet.note_end();
            return Poll::Ready(ControlFlow::Continue(()));
        }
        gone
    }

    /// Ready when the client is gone. One that merely ended its side waits for its answer ([`Self::has_ended`]); what it
    /// sends meanwhile is kept, up to a bound.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // What is known to follow has to be answered first: its end is then seen in its turn.
        if !self.unread.is_empty() {
            return Poll::Pending;
        }
        if self.ended.is_none() {
            match ready!(self.poll_piece(cx)) {
                Ok(true) => return Poll::Pending,
                Ok(false) => {}
                Err(_) => return Poll::Ready(()),
            }
        }
        self.ended.get_or_insert_with(|| Box::new(self.stream.hang_up())).poll(cx)
    }
}

impl<S: Carrier + HangsUp> Carrier for Fenced<S> {
    fn socket(&self) -> Option<Socket<'_>> {
        let is_open = self.fence.is_none() && self.unread.is_empty() && self.ended.is_none();
        if is_open { self.stream.socket() } else { None }
    }
}

impl<S: AsyncRead + HangsUp + Unpin> AsyncRead for Fenced<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let Some(fence) = &mut this.fence else { return this.poll_read_ahead(cx, buf) };
        if fence.is_reached() {
            if fence.activity.has_switched() {
                (this.fence, this.ended) = (None, None);
                return this.poll_read_ahead(cx, buf);
            }
            // Whoever wants to read on has taken apart what there was.
            fence.activity.note_drained(true);
            if let (Some(late), Some(trailers)) = (&fence.late, fence.trailers.take()) {
                _ = late.set(trailers);
            }
            let knew = this.has_ended();
            let gone = this.poll_gone(cx);
            if let (Some(fence), false, true) = (&this.fence, knew, this.has_ended()) {
                fence.outlet.note_end();
                // The handler has its turn before this.
                cx.waker().wake_by_ref();
            }
            return gone.map(Ok);
        }
        let before = buf.filled().len();
        ready!(this.poll_read_ahead(cx, buf))?;
        let received = buf.filled().get(before..).unwrap_or_default();
        let Some(fence) = &mut this.fence else { return Poll::Ready(Ok(())) };
        let length = fence.pass(received).map_err(|malformed| io::Error::new(io::ErrorKind::InvalidData, malformed))?;
        // hyper throws away one piece of a body, and a chunk is one.
        if fence.chunks.is_none() && fence.is_reached() {
            fence.activity.note_received();
        }
        if length < received.len() {
            this.unread = [received.get(length..).unwrap_or_default(), &this.unread].concat().into();
            buf.set_filled(before + length);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Fenced<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn what_was_read_too_early_is_read_first() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut fenced = Fenced::new(near);
        *fenced.unread() = "GET".into();
        far.write_all(b" / HT").await.unwrap();
        assert!(std::future::poll_fn(|cx| fenced.poll_more(cx)).await);
        far.write_all(b"TP").await.unwrap();
        drop(far);
        let mut all = String::new();
        fenced.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "GET / HTTP");
    }

    #[tokio::test]
    async fn the_end_is_no_more() {
        let (near, far) = tokio::io::duplex(64);
        drop(far);
        let mut fenced = Fenced::new(near);
        assert!(!std::future::poll_fn(|cx| fenced.poll_more(cx)).await);
    }

    #[tokio::test]
    async fn nobody_reads_beyond_a_fence_until_the_connection_is_a_tunnel() {
        for at_hand in [0, 3, 9] {
            let (near, mut far) = tokio::io::duplex(64);
            let activity = Arc::new(Activity::new());
            let mut fenced = Fenced::new(near);
            let all = b"POST one two";
            *fenced.unread() = Bytes::copy_from_slice(&all[..at_hand]);
            far.write_all(&all[at_hand..]).await.unwrap();
            fenced.set_fence(End::After(8), &activity, &Arc::default());
            let mut before = [0; 8];
            fenced.read_exact(&mut before).await.unwrap();
            assert_eq!(&before, b"POST one");
            let mut room = [0; 16];
            for _ in 0..3 {
                assert!(fenced.read(&mut room).now_or_never().is_none());
            }
            drop(far);
            assert!(
                fenced.read(&mut room).now_or_never().is_none(),
                "what follows is known: its end is not yet asked for"
            );
            activity.note_switch();
            let mut behind = String::new();
            fenced.read_to_string(&mut behind).await.unwrap();
            assert_eq!(behind, " two");
        }
    }

    #[tokio::test]
    async fn a_body_in_chunks_ends_where_its_last_chunk_does() {
        let body = b"POST\r\n5\r\nhello\r\n0\r\n\r\n";
        let (near, mut far) = tokio::io::duplex(64);
        let mut fenced = Fenced::new(near);
        far.write_all(&[body, &b"GET"[..]].concat()).await.unwrap();
        fenced.set_fence(End::Chunks(6), &Arc::new(Activity::new()), &Arc::default());
        let mut read = vec![0; 64];
        assert_eq!(fenced.read(&mut read).await.unwrap(), 6, "the head goes alone");
        assert_eq!(fenced.read(&mut read).await.unwrap(), body.len() - 6);
        assert!(fenced.read(&mut read).now_or_never().is_none());
        assert_eq!(fenced.unread(), "GET");
        assert!(fenced.take_fence());

        for body in ["5\r\nhello, you\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\nX : y\r\n\r\n"] {
            let (near, mut far) = tokio::io::duplex(64);
            let mut fenced = Fenced::new(near);
            far.write_all(&[b"POST\r\n", body.as_bytes()].concat()).await.unwrap();
            fenced.set_fence(End::Chunks(6), &Arc::new(Activity::new()), &Arc::default());
            assert_eq!(fenced.read(&mut read).await.unwrap(), 6);
            assert_eq!(fenced.read(&mut read).await.unwrap_err().kind(), io::ErrorKind::InvalidData, "{body:?}");
        }
    }

    #[tokio::test]
    async fn a_client_that_ends_its_side_is_no_end_at_a_fence_and_told_to_the_handler() {
        let (near, mut far) = tokio::io::duplex(64);
        let (mut fenced, outlet) = (Fenced::new(near), Arc::<Outlet>::default());
        let sender = outlet.open();
        far.write_all(b"POST one").await.unwrap();
        fenced.set_fence(End::After(8), &Arc::new(Activity::new()), &outlet);
        let mut all = [0; 16];
        assert_eq!(fenced.read(&mut all).await.unwrap(), 8);
        assert!(fenced.read(&mut all).now_or_never().is_none());
        assert!(!fenced.has_ended() && !sender.has_ended());
        far.shutdown().await.unwrap();
        assert!(fenced.read(&mut all).now_or_never().is_none());
        assert!(fenced.has_ended() && sender.has_ended());
        assert!(fenced.take_fence());
    }
}
