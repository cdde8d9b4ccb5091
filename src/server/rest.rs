//! A connection that rests: between requests it keeps none of what serving one takes.
//!
//! hyper holds two buffers of 8 KiB for as long as a connection lives, which is most of what an idle one costs. One
//! that has been idle for a while is taken from it, and given to a new one as soon as something comes. Called by
//! `server::connection`.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How long a connection is idle before it rests: longer than people's next click on a busy page.
pub(super) const IDLE: Duration = Duration::from_millis(if cfg!(test) { 50 } else { 2000 });

/// How much is read at the first sign of life; hyper reads the rest.
const PIECE: usize = 512;

/// A stream, and what was read from it before whoever reads now.
pub(super) struct Rested<S> {
    unread: Bytes,
    stream: S,
}

impl<S> Rested<S> {
    /// Nothing was read yet.
    pub(super) fn new(stream: S) -> Self {
        Self { unread: Bytes::new(), stream }
    }

    /// Takes back what somebody read and did not use.
    pub(super) fn put_back(&mut self, unused: Bytes) {
        // Even an empty piece may be all that holds the reader's buffer.
        if unused.is_empty() {
            return;
        }
        self.unread = if self.unread.is_empty() { unused } else { [unused, self.unread.clone()].concat().into() };
    }
}

impl<S: AsyncRead + Unpin> Rested<S> {
    /// Waits for the next bytes: false when none will come.
    pub(super) async fn arrival(&mut self) -> bool {
        poll_fn(|cx| {
            // On the stack, so that it takes no room while nothing comes.
            let mut room = [0; PIECE];
            let mut piece = ReadBuf::new(&mut room);
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut piece));
            self.unread = [&self.unread, piece.filled()].concat().into();
            Poll::Ready(read.is_ok() && !piece.filled().is_empty())
        })
        .await
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rested<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let length = self.unread.len().min(buf.remaining());
        buf.put_slice(&self.unread[..length]);
        self.unread.advance(length);
        if self.unread.is_empty() {
            // An empty slice would keep the memory of the whole.
            self.unread = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rested<S> {
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
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn what_came_at_rest_is_read_before_what_comes_after() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut rested = Rested::new(near);
        rested.put_back("GET".into());
        far.write_all(b" / HT").await.unwrap();
        assert!(rested.arrival().await);
        rested.put_back("".into());
        far.write_all(b"TP").await.unwrap();
        drop(far);
        let mut all = String::new();
        rested.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "GET / HTTP");
    }

    #[tokio::test]
    async fn the_end_is_no_arrival() {
        let (near, far) = tokio::io::duplex(64);
        drop(far);
        assert!(!Rested::new(near).arrival().await);
    }
}
