//! How far the head that a client is sending has come.
//!
//! Called by `server::lean`.

use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite};

use super::super::fence::Fenced;
use super::head::{self, Bounds, Read, Violation};

/// A head is waited for.
#[derive(Default)]
pub(super) struct Reading {
    /// How many bytes of it were looked at.
    seen: usize,
    /// How many bytes of empty lines came before it.
    skipped: usize,
}

impl Reading {
    /// The next head; none at the connection's end.
    pub(super) fn poll_head<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut Fenced<S>,
        cx: &mut Context<'_>,
        bounds: Bounds,
    ) -> Poll<Result<Option<Read>, Violation>> {
        loop {
            // RFC 9112 section 2.2: empty lines before a request are passed over.
            while stream.unread().starts_with(b"\r\n") {
                stream.unread().advance(2);
                self.skipped += 2;
            }
            let received = stream.unread();
            if self.skipped > bounds.size {
                return Poll::Ready(Err(Violation::TooLarge));
            }
            // A head that trickles in is not read anew for each byte, but when it has come to what may be its end.
            if !received.is_empty() && (self.seen == 0 || head::may_be_whole(received, self.seen, bounds)) {
                match head::read(received, bounds)? {
                    Read::Part => {}
                    Read::Plain(length, arrival, asked) => {
                        let rest = received.split_off(length);
                        // An empty slice would keep the memory of the whole.
                        *received = if rest.is_empty() { Bytes::new() } else { rest };
                        return Poll::Ready(Ok(Some(Read::Plain(length, arrival, asked))));
                    }
                    foreign @ Read::Foreign(_) => return Poll::Ready(Ok(Some(foreign))),
                }
            }
            self.seen = received.len();
            if !ready!(stream.poll_more(cx)) {
                // What was wrong with it all along is said all the same.
                let begun = !stream.unread().is_empty();
                return Poll::Ready(if begun { head::read(stream.unread(), bounds).map(|_| None) } else { Ok(None) });
            }
        }
    }
}
