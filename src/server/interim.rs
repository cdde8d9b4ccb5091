//! Interim answers on their way out, past hyper, whose HTTP/1.1 server sends none but 100.
//!
//! They must stand between two messages: never inside an answer before, never behind the head of their own. hyper
//! flushes its stream only when it has written all that it has, and it polls a request's handler before; so what is
//! in the [`Outlet`] at a flush goes out there and then. A handler that has its answer as well is held until that has
//! happened, for one turn. Called by `server::connection`.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http::interim::Outlet;

/// A stream that writes what is in an outlet between two messages.
pub(super) struct Interspersed<S> {
    stream: S,
    outlet: Arc<Outlet>,
    /// Heads that were begun: they end before anything else is written.
    begun: Vec<u8>,
    written: usize,
}

impl<S: AsyncWrite + Unpin> Interspersed<S> {
    /// Nothing waits yet.
    pub(super) fn new(stream: S, outlet: Arc<Outlet>) -> Self {
        Self { stream, outlet, begun: Vec::new(), written: 0 }
    }

    /// The stream, when nothing is begun.
    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.begun.get(self.written..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                length => self.written += length,
            }
        }
        if self.written > 0 {
            (self.begun, self.written) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Interspersed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Interspersed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_finish(cx))?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_finish(cx))?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_finish(cx))?;
        let this = &mut *self;
        if this.outlet.has_waiting() {
            this.outlet.write(&mut this.begun);
            ready!(self.poll_finish(cx))?;
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_finish(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::{HeaderMap, StatusCode};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn heads_stand_between_messages_however_little_is_taken_at_a_time() {
        for room in [1, 7, 30, 4096] {
            let outlet = Arc::new(Outlet::default());
            let (near, mut far) = tokio::io::duplex(room);
            let mut stream = Interspersed::new(near, Arc::clone(&outlet));
            let writes = async {
                stream.write_all(b"the answer before, ").await.unwrap();
                let sender = outlet.open();
                sender.send(StatusCode::PROCESSING, HeaderMap::new());
                stream.write_all(b"to its end\n").await.unwrap();
                stream.flush().await.unwrap();
                sender.send(StatusCode::EARLY_HINTS, HeaderMap::new());
                stream.flush().await.unwrap();
                sender.send(StatusCode::PROCESSING, HeaderMap::new());
                outlet.close();
                stream.write_all(b"the answer").await.unwrap();
                stream.shutdown().await.unwrap();
            };
            let mut all = String::new();
            let (_, read) = tokio::join!(writes, far.read_to_string(&mut all));
            read.unwrap();
            let interim = "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n";
            assert_eq!(all, format!("the answer before, to its end\n{interim}the answer"), "{room}");
        }
    }

    #[tokio::test]
    async fn a_head_that_was_begun_is_ended_before_its_answer() {
        let outlet = Arc::new(Outlet::default());
        let (near, mut far) = tokio::io::duplex(5);
        let mut stream = Interspersed::new(near, Arc::clone(&outlet));
        outlet.open().send(StatusCode::PROCESSING, HeaderMap::new());
        let begun = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut stream).poll_flush(cx))).await;
        assert!(begun.is_pending(), "there is no room for it");
        outlet.close();
        let mut all = String::new();
        let writes = async {
            stream.write_all(b"the answer").await.unwrap();
            drop(stream);
        };
        let (_, read) = tokio::join!(writes, far.read_to_string(&mut all));
        read.unwrap();
        assert_eq!(all, "HTTP/1.1 102 Processing\r\n\r\nthe answer");
    }
}
