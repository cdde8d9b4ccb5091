//! Carrying: what comes on one side of a tunnel goes out on the other, both ways, and nothing else happens.
//!
//! A message costs what the two system calls cost and little more. What is read goes out at once, out of a room on the
//! stack that every tunnel of a core has in turn: a tunnel that waits holds no memory, and only what the other side does
//! not take is kept. No clock is asked: that something moved is a flag, which is looked at now and then. Called by
//! `proxy::upgrade`.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep};

use crate::http::bell::Bell;
use crate::http::tunnel::Side;

/// How much is read at once: a frame of HTTP/2, or a record of TLS.
const PIECE: usize = 16 * 1024;

/// How many pieces one direction may carry before others have their turn.
const AT_ONCE: usize = 32;

/// How often within its limit silence is listened for: it is found late by one such part at most, and never early.
const PARTS: u32 = 20;

/// Whether something moved through a tunnel, in either direction, since that was last asked.
#[derive(Debug, Default)]
pub(super) struct Traffic(AtomicBool);

impl Traffic {
    fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Ready after nothing has moved for `limit`.
    pub(super) async fn silence(&self, limit: Duration) {
        let mut since = Instant::now();
        loop {
            sleep(limit / PARTS).await;
            if self.0.swap(false, Ordering::Relaxed) {
                since = Instant::now();
            } else if since.elapsed() >= limit {
                return;
            }
        }
    }
}

/// Both directions of a tunnel.
pub(super) struct Relay {
    client: Side,
    app: Side,
    up: Flow,
    down: Flow,
    traffic: Arc<Traffic>,
}

impl Relay {
    /// Nothing has moved yet.
    pub(super) fn new(client: Side, app: Side, traffic: Arc<Traffic>) -> Self {
        Self { client, app, up: Flow::default(), down: Flow::default(), traffic }
    }

    /// Carries on; ready when both sides have ended and know it of each other. An app that takes nothing more has often
    /// said why: what it said is carried to its end. For a client that takes nothing more nobody need go on.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let up = self.up.poll(cx, &mut self.client, &mut self.app, &self.traffic)?;
        let down = self.down.poll(cx, &mut self.app, &mut self.client, &self.traffic)?;
        if let Some(error) = self.down.refused.take() {
            return Poll::Ready(Err(error));
        }
        ready!(up);
        ready!(down);
        Poll::Ready(self.up.refused.take().map_or(Ok(()), Err))
    }
}

/// One direction.
#[derive(Default)]
struct Flow {
    stage: Stage,
    /// What was read and the other side has yet to take.
    held: Vec<u8>,
    /// How much of that it has taken.
    taken: usize,
    /// Whether it was given something that may be held back on the way.
    unflushed: bool,
    /// Rings when there is more to read.
    bell: Bell,
    /// Whether the last piece was all that there was.
    is_drained: bool,
    /// Whether nothing but the bell is waited for.
    listens: bool,
    /// Why the other side takes nothing more, if it does not.
    refused: Option<io::Error>,
}

/// How far a direction has come.
#[derive(Clone, Copy, Default)]
enum Stage {
    #[default]
    Open,
    /// The one side has ended, and the other is being told.
    Ending,
    Ended,
}

impl Flow {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Side,
        to: &mut Side,
        traffic: &Traffic,
    ) -> Poll<io::Result<()>> {
        if self.listens && !self.bell.has_rung(cx) {
            return Poll::Pending;
        }
        self.listens = false;
        let mut pieces = 0;
        while matches!(self.stage, Stage::Open) {
            ready!(self.poll_held(cx, to, traffic))?;
            if self.refused.is_some() {
                break;
            }
            if pieces == AT_ONCE {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            pieces += 1;
            let mut room = [const { MaybeUninit::uninit() }; PIECE];
            let mut piece = ReadBuf::uninit(&mut room);
            if self.poll_read(cx, from, &mut piece)?.is_pending() {
                if self.unflushed {
                    // Not the bell alone is waited for until that is done.
                    let listens = std::mem::take(&mut self.listens);
                    ready!(Pin::new(to).poll_flush(cx))?;
                    (self.unflushed, self.listens) = (false, listens);
                }
                return Poll::Pending;
            }
            traffic.note();
            let piece = piece.filled();
            if piece.is_empty() {
                self.stage = Stage::Ending;
                break;
            }
            let taken = match self.write(cx, to, piece) {
                Ok(taken) => taken,
                Err(error) => {
                    self.refuse(error)?;
                    break;
                }
            };
            self.held.extend_from_slice(piece.get(taken..).unwrap_or_default());
        }
        if matches!(self.stage, Stage::Ending) {
            ready!(Pin::new(to).poll_shutdown(cx))?;
            self.stage = Stage::Ended;
        }
        Poll::Ready(Ok(()))
    }

    /// Waits for a piece; an empty one is the end.
    fn poll_read(&mut self, cx: &mut Context<'_>, from: &mut Side, piece: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Some(socket) = from.socket() else { return Pin::new(from).poll_read(cx, piece) };
        loop {
            // To be asked in vain costs as much as to wait for it.
            if !std::mem::take(&mut self.is_drained) && socket.try_read(piece)? {
                self.is_drained = (1..PIECE).contains(&piece.filled().len());
                return Poll::Ready(Ok(()));
            }
            if socket.poll_read_ready(&mut self.bell.context(cx))?.is_pending() {
                self.listens = true;
                return Poll::Pending;
            }
        }
    }

    /// Writes what is taken at once. The rest is for [`Flow::poll_held`], which waits.
    fn write(&mut self, cx: &mut Context<'_>, to: &mut Side, piece: &[u8]) -> io::Result<usize> {
        if let Some(socket) = to.socket() {
            return socket.try_write(piece);
        }
        self.unflushed = true;
        match poll_write(cx, to, piece)? {
            Poll::Ready(taken) => Ok(taken),
            Poll::Pending => Ok(0),
        }
    }

    /// Ready when the other side has taken all that it was to have.
    fn poll_held(&mut self, cx: &mut Context<'_>, to: &mut Side, traffic: &Traffic) -> Poll<io::Result<()>> {
        while let Some(rest) = self.held.get(self.taken..).filter(|rest| !rest.is_empty()) {
            match ready!(poll_write(cx, to, rest)) {
                Ok(taken) => self.taken += taken,
                Err(error) => return Poll::Ready(self.refuse(error)),
            }
            traffic.note();
        }
        if self.taken > 0 {
            (self.held, self.taken) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }

    /// Goes no further, if the other side is found to be closed: reading there tells its end, behind its last words.
    fn refuse(&mut self, error: io::Error) -> io::Result<()> {
        if !matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) {
            return Err(error);
        }
        (self.held, self.taken) = (Vec::new(), 0);
        (self.stage, self.refused) = (Stage::Ended, Some(error));
        Ok(())
    }
}

fn poll_write(cx: &mut Context<'_>, to: &mut Side, bytes: &[u8]) -> Poll<io::Result<usize>> {
    match ready!(Pin::new(to).poll_write(cx, bytes))? {
        0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        taken => Poll::Ready(Ok(taken)),
    }
}

#[cfg(test)]
mod tests;
