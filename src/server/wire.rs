//! A client's socket: counted as long as it lives, and given up when it takes nothing for a minute.
//!
//! hyper has no deadline for writing, so a client that asks and never reads would hold its response for ever.
//! The permit lives in the socket rather than in the connection's task, because a tunnel outlives the task and
//! counts as much. Called by `server` and `server::connection`.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::event::{Event, Events};

/// How long a client may take nothing of what is written to it.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// A deadline for the other side's next move. It costs nothing while there is no waiting, and no timer is
/// touched between one wait and the next.
pub(super) struct Patience {
    limit: Duration,
    waiting: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    /// Lasts `limit`.
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, waiting: None, timer: None }
    }

    /// The other side moved.
    pub(super) fn renew(&mut self) {
        self.waiting = None;
    }

    /// The other side did not move: ready when that has been so for too long.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.waiting.get_or_insert_with(Instant::now);
        let deadline = since + self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        loop {
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
    }
}

/// Counts the connections of one door.
pub(super) struct Ledger {
    open: AtomicUsize,
    limit: usize,
    events: Events,
}

impl Ledger {
    /// Admits up to `limit`.
    pub(super) fn new(limit: usize, events: Events) -> Self {
        Self { open: AtomicUsize::new(0), limit, events }
    }

    /// Admits one more, or not.
    pub(super) fn admit(self: &Arc<Self>) -> Option<Permit> {
        if self.open.fetch_add(1, Ordering::AcqRel) >= self.limit {
            self.open.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        (self.events)(Event::Accepted);
        Some(Permit(Arc::clone(self)))
    }
}

/// One admitted connection.
pub(super) struct Permit(Arc<Ledger>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
        (self.0.events)(Event::Closed);
    }
}

/// The client took nothing for too long.
#[derive(Debug, thiserror::Error)]
#[error("the client took nothing of its response for too long")]
pub(super) struct WriteStalled;

/// A socket with a permit and a deadline for writing.
pub(super) struct Wire<S> {
    socket: S,
    patience: Patience,
    _permit: Option<Permit>,
}

impl<S> Wire<S> {
    /// Wraps an accepted socket.
    pub(super) fn new(socket: S, limit: Duration, permit: Option<Permit>) -> Self {
        Self { socket, patience: Patience::new(limit), _permit: permit }
    }

    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.patience.renew();
            return written;
        }
        self.patience.poll_end(cx).map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, WriteStalled)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        self.watch(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.socket).poll_shutdown(cx);
        self.watch(cx, shut)
    }
}
