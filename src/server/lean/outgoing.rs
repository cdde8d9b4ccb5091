//! What waits to be written to a client: little is put together, much is passed on as it is.
//!
//! Called by `server::lean::answer`.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::AsyncWrite;

/// How much may wait until no more is asked for.
const BUFFER: usize = 64 * 1024;

/// How many pieces may.
const PIECES: usize = 24;

/// Up to how many bytes a copy is cheaper than a piece of its own.
const SMALL: usize = 4 * 1024;

/// Bytes on their way to a client.
#[derive(Default)]
pub(super) struct Outgoing {
    /// In their order, before `text`.
    pieces: VecDeque<Bytes>,
    /// How much is in them.
    waiting: usize,
    text: Vec<u8>,
    /// How much of `text` was written.
    written: usize,
}

impl Outgoing {
    /// Where to append.
    pub(super) fn text(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    /// Appends a piece.
    pub(super) fn push(&mut self, piece: Bytes) {
        if piece.len() <= SMALL {
            return self.text.extend_from_slice(&piece);
        }
        if self.written < self.text.len() {
            let mut text = Bytes::from(std::mem::take(&mut self.text));
            text.advance(self.written);
            self.waiting += text.len();
            self.pieces.push_back(text);
        }
        self.text.clear();
        self.written = 0;
        self.waiting += piece.len();
        self.pieces.push_back(piece);
    }

    /// Whether more may be appended.
    pub(super) fn has_room(&self) -> bool {
        self.pieces.len() < PIECES && self.waiting + self.text.len() - self.written < BUFFER
    }

    /// Writes all of it.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        while !self.pieces.is_empty() {
            let mut slices = [IoSlice::new(&[]); PIECES + 2];
            let rest = self.text.get(self.written..).unwrap_or_default();
            let pieces = self.pieces.iter().map(|piece| &piece[..]).chain([rest]);
            let count = slices.iter_mut().zip(pieces).map(|(slice, piece)| *slice = IoSlice::new(piece)).count();
            let written = ready!(Pin::new(&mut *to).poll_write_vectored(cx, slices.get(..count).unwrap_or(&slices)))?;
            self.advance(written)?;
        }
        while let Some(rest) = self.text.get(self.written..).filter(|rest| !rest.is_empty()) {
            let written = ready!(Pin::new(&mut *to).poll_write(cx, rest))?;
            self.advance(written)?;
        }
        self.text.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    /// Writes all of it, through whatever else holds it back.
    pub(super) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_write(cx, to))?;
        Pin::new(to).poll_flush(cx)
    }

    fn advance(&mut self, mut written: usize) -> io::Result<()> {
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        while let Some(piece) = self.pieces.front_mut() {
            let length = written.min(piece.len());
            self.waiting -= length;
            written -= length;
            if length < piece.len() {
                piece.advance(length);
                return Ok(());
            }
            self.pieces.pop_front();
        }
        self.written += written;
        // What a client took that takes it bit by bit is not kept.
        if self.written > 4 * SMALL {
            self.text.drain(..self.written);
            self.written = 0;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::AsyncReadExt as _;

    #[tokio::test]
    async fn what_was_taken_is_not_kept() {
        let (mut near, _far) = tokio::io::duplex(40_000);
        let mut outgoing = Outgoing::default();
        outgoing.text().resize(60_000, b'x');
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(outgoing.poll_write(&mut cx, &mut near).is_pending());
        assert_eq!(outgoing.text().len(), 20_000);
    }

    proptest! {
        #[test]
        fn what_is_appended_is_written_in_its_order(
            lengths in prop::collection::vec(0_usize..3 * SMALL, 1..12),
            pipe in 1_usize..20_000,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let (mut near, mut far) = tokio::io::duplex(pipe);
                let reader = tokio::spawn(async move {
                    let mut all = Vec::new();
                    far.read_to_end(&mut all).await.unwrap();
                    all
                });
                let mut outgoing = Outgoing::default();
                let mut expected = Vec::new();
                for (number, length) in lengths.into_iter().enumerate() {
                    let piece = vec![b'a' + u8::try_from(number).unwrap(); length];
                    expected.extend_from_slice(&piece);
                    if number % 3 == 0 {
                        outgoing.text().extend_from_slice(&piece);
                    } else {
                        outgoing.push(piece.into());
                    }
                    if !outgoing.has_room() || number % 4 == 0 {
                        std::future::poll_fn(|cx| outgoing.poll_write(cx, &mut near)).await.unwrap();
                    } else {
                        // Interrupted anywhere.
                        let once = std::future::poll_fn(|cx| Poll::Ready(outgoing.poll_write(cx, &mut near)));
                        let _ = once.await;
                    }
                }
                std::future::poll_fn(|cx| outgoing.poll_write(cx, &mut near)).await.unwrap();
                drop(near);
                assert_eq!(reader.await.unwrap(), expected);
            });
        }
    }
}
