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

use crate::http::tunnel::Side;

/// How much is read at once: a frame of HTTP/2, or a record of TLS.
const PIECE: usize = 16 * 1024;

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

    /// Carries on; ready when both sides have ended and know it of each other.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let up = self.up.poll(cx, &mut self.client, &mut self.app, &self.traffic)?;
        let down = self.down.poll(cx, &mut self.app, &mut self.client, &self.traffic)?;
        ready!(up);
        down.map(Ok)
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
        while matches!(self.stage, Stage::Open) {
            ready!(self.poll_held(cx, to, traffic))?;
            let mut room = [const { MaybeUninit::uninit() }; PIECE];
            let mut piece = ReadBuf::uninit(&mut room);
            if Pin::new(&mut *from).poll_read(cx, &mut piece)?.is_pending() {
                if self.unflushed {
                    ready!(Pin::new(to).poll_flush(cx))?;
                    self.unflushed = false;
                }
                return Poll::Pending;
            }
            traffic.note();
            let piece = piece.filled();
            if piece.is_empty() {
                self.stage = Stage::Ending;
                break;
            }
            self.unflushed = true;
            match poll_write(cx, to, piece)? {
                Poll::Ready(taken) if taken == piece.len() => {}
                Poll::Ready(taken) => self.held.extend_from_slice(piece.get(taken..).unwrap_or_default()),
                Poll::Pending => self.held.extend_from_slice(piece),
            }
        }
        if matches!(self.stage, Stage::Ending) {
            ready!(Pin::new(to).poll_shutdown(cx))?;
            self.stage = Stage::Ended;
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when the other side has taken all that it was to have.
    fn poll_held(&mut self, cx: &mut Context<'_>, to: &mut Side, traffic: &Traffic) -> Poll<io::Result<()>> {
        while let Some(rest) = self.held.get(self.taken..).filter(|rest| !rest.is_empty()) {
            self.taken += ready!(poll_write(cx, to, rest))?;
            traffic.note();
        }
        if self.taken > 0 {
            (self.held, self.taken) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

fn poll_write(cx: &mut Context<'_>, to: &mut Side, bytes: &[u8]) -> Poll<io::Result<usize>> {
    match ready!(Pin::new(to).poll_write(cx, bytes))? {
        0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        taken => Poll::Ready(Ok(taken)),
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::task::JoinHandle;

    /// A relay, what it notes, and its two ends, each with room for so many bytes on their way.
    fn tunnel(room: usize) -> (DuplexStream, DuplexStream, Arc<Traffic>, JoinHandle<io::Result<()>>) {
        let ((client, near), (app, far)) = (duplex(room), duplex(room));
        let traffic = Arc::new(Traffic::default());
        let mut relay = Relay::new(Box::new(near), Box::new(far), Arc::clone(&traffic));
        (client, app, traffic, tokio::spawn(async move { poll_fn(|cx| relay.poll(cx)).await }))
    }

    #[tokio::test]
    async fn each_side_ends_when_it_likes_and_the_other_goes_on() {
        for client_first in [true, false] {
            let (mut one, mut other, _, relay) = tunnel(64);
            if !client_first {
                std::mem::swap(&mut one, &mut other);
            }
            one.write_all(b"one, ").await.unwrap();
            one.write_all(b"two").await.unwrap();
            one.shutdown().await.unwrap();
            let mut heard = String::new();
            other.read_to_string(&mut heard).await.unwrap();
            assert_eq!(heard, "one, two");
            other.write_all(b"and an answer").await.unwrap();
            assert!(!relay.is_finished());
            other.shutdown().await.unwrap();
            heard.clear();
            one.read_to_string(&mut heard).await.unwrap();
            assert_eq!(heard, "and an answer");
            relay.await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn who_takes_little_slows_the_other_and_loses_nothing() {
        let all: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        let (mut client, mut app, _, relay) = tunnel(100_000);
        let mut sent = 0;
        // Until nothing more is taken: what is on the way is bounded.
        while let Ok(written) = tokio::time::timeout(Duration::from_millis(200), client.write(&all[sent..])).await {
            sent += written.unwrap();
        }
        assert!((200_000..=200_000 + 2 * PIECE).contains(&sent), "{sent}");
        // Meanwhile the other direction is not held up.
        app.write_all(b"hello").await.unwrap();
        let mut hello = [0; 5];
        client.read_exact(&mut hello).await.unwrap();
        assert_eq!(&hello, b"hello");
        let rest = all[sent..].to_vec();
        let sends = tokio::spawn(async move {
            client.write_all(&rest).await.unwrap();
            client.shutdown().await.unwrap();
            client
        });
        let mut heard = Vec::new();
        app.read_to_end(&mut heard).await.unwrap();
        assert!(heard == all);
        drop((app, sends.await.unwrap()));
        relay.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_side_that_takes_nothing_any_more_ends_both() {
        let (mut client, app, _, relay) = tunnel(64);
        drop(app);
        client.write_all(b"hello").await.unwrap();
        assert_eq!(relay.await.unwrap().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn silence_is_counted_from_the_last_piece_of_either_side() {
        let limit = Duration::from_secs(1);
        let (mut client, mut app, traffic, _relay) = tunnel(64);
        let listening = tokio::spawn(async move { traffic.silence(limit).await });
        let mut last = Instant::now();
        for _ in 0..6 {
            sleep(limit / 3).await;
            last = Instant::now();
            client.write_all(b"x").await.unwrap();
            app.read_exact(&mut [0]).await.unwrap();
            std::mem::swap(&mut client, &mut app);
        }
        assert!(!listening.is_finished());
        listening.await.unwrap();
        assert!(last.elapsed() >= limit, "{:?}", last.elapsed());
    }
}
