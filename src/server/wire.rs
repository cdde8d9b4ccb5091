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
use tokio_rustls::server::TlsStream;

use super::entry::Seat;
use super::event::{Event, Events};
use super::streams::Activity;
use crate::http::tunnel::{Carrier, Socket};

/// How long a client may take nothing of what is written to it.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 60 });

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
        Some(Permit { ledger: Arc::clone(self), seat: None })
    }
}

/// One admitted connection.
pub(super) struct Permit {
    ledger: Arc<Ledger>,
    /// Boxed, because most doors give none.
    seat: Option<Box<Seat>>,
}

impl Permit {
    /// Keeps the client's seat as long.
    pub(super) fn keep(&mut self, seat: Option<Seat>) {
        self.seat = seat.map(Box::new);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        drop(self.seat.take());
        self.ledger.open.fetch_sub(1, Ordering::AcqRel);
        (self.ledger.events)(Event::Closed);
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
    activity: Arc<Activity>,
    _permit: Option<Permit>,
}

impl<S> Wire<S> {
    /// Wraps an accepted socket.
    pub(super) fn new(socket: S, limit: Duration, activity: Arc<Activity>, permit: Option<Permit>) -> Self {
        Self { socket, patience: Patience::new(limit), activity, _permit: permit }
    }

    /// What is wrapped.
    pub(super) fn socket(&self) -> &S {
        &self.socket
    }

    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.activity.note_write(written.is_pending());
        if written.is_ready() {
            self.patience.renew();
            return written;
        }
        self.patience.poll_end(cx).map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, WriteStalled)))
    }
}

impl<S: Carrier> Carrier for Wire<S> {
    /// Whoever writes there waits here when that is not taken.
    fn socket(&self) -> Option<Socket<'_>> {
        self.socket.socket()
    }
}

/// What the socket has is not what is read and written.
impl<S: Carrier> Carrier for TlsStream<S> {}

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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn a_reader_that_stopped_fails_the_writer() {
        let (near, _far) = tokio::io::duplex(16);
        let mut wire = Wire::new(near, Duration::from_millis(50), Arc::new(Activity::new()), None);
        let error = wire.write_all(&[0; 64]).await.unwrap_err();
        assert!(error.get_ref().is_some_and(|inner| inner.is::<WriteStalled>()), "{error}");
    }

    #[tokio::test]
    async fn a_slow_reader_is_waited_for() {
        let (near, mut far) = tokio::io::duplex(16);
        let mut wire = Wire::new(near, Duration::from_millis(500), Arc::new(Activity::new()), None);
        let reader = tokio::spawn(async move {
            let mut beat = tokio::time::interval(Duration::from_millis(100));
            let mut all = [0; 128];
            for chunk in all.chunks_mut(16) {
                beat.tick().await;
                far.read_exact(chunk).await.unwrap();
            }
            all
        });
        wire.write_all(&[7; 128]).await.unwrap();
        assert_eq!(reader.await.unwrap(), [7; 128]);
    }

    #[test]
    fn a_permit_is_given_back_when_it_is_dropped() {
        let ledger = Arc::new(Ledger::new(1, Arc::new(|_| {})));
        let first = ledger.admit();
        assert!(first.is_some() && ledger.admit().is_none());
        drop(first);
        assert!(ledger.admit().is_some());
    }
}
