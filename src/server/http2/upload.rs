//! A request's body off a stream: data, then trailers; and the 100 that some clients wait for before they send it.
//!
//! The client may send more only as pieces are taken from here. A body that breaks off is an error whatever the reset
//! says: only END_STREAM makes it whole, or half an upload would be taken for all of it. That it is as long as its
//! head says is `h2`'s care. Made by `server::http2`, watched by `server::body`.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use h2::RecvStream;
use http_body::{Frame, SizeHint};
use hyper::header::{CONTENT_LENGTH, EXPECT, HeaderMap};

/// A client that waits to be told that its body is wanted (RFC 9110 section 10.1.1).
#[derive(Default)]
pub(super) struct Expectation {
    is_wanted: AtomicBool,
    /// Who can tell it.
    teller: AtomicWaker,
}

impl Expectation {
    /// Somebody waits for the body.
    fn want(&self) {
        self.is_wanted.store(true, Ordering::Release);
        self.teller.wake();
    }

    /// Whether somebody does; else the caller is woken when that is so.
    pub(super) fn is_wanted(&self, cx: &mut Context<'_>) -> bool {
        self.teller.register(cx.waker());
        self.is_wanted.load(Ordering::Acquire)
    }
}

/// What a client sends.
pub(super) struct Upload {
    stream: RecvStream,
    /// What is still to come, where the head said.
    left: Option<u64>,
    data_has_ended: bool,
    /// Until anything has come or somebody waits.
    expectation: Option<Arc<Expectation>>,
}

impl Upload {
    /// What comes after this head.
    pub(super) fn new(stream: RecvStream, head: &HeaderMap) -> Self {
        let length = head.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let expects = |value: &[u8]| value.eq_ignore_ascii_case(b"100-continue");
        let waits = head.get(EXPECT).is_some_and(|value| expects(value.as_bytes())) && !stream.is_end_stream();
        Self { stream, left: length, data_has_ended: false, expectation: waits.then(Arc::default) }
    }

    /// Of a client that waits.
    pub(super) fn expectation(&self) -> Option<Arc<Expectation>> {
        self.expectation.clone()
    }
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let this = self.get_mut();
        while !this.data_has_ended {
            let Poll::Ready(data) = this.stream.poll_data(cx) else {
                if let Some(expectation) = this.expectation.take() {
                    expectation.want();
                }
                return Poll::Pending;
            };
            match data.transpose()? {
                // An empty piece is no progress.
                Some(data) if data.is_empty() => {}
                Some(data) => {
                    this.expectation = None;
                    this.left = this.left.map(|left| left.saturating_sub(data.len() as u64));
                    this.stream.flow_control().release_capacity(data.len())?;
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                None => this.data_has_ended = true,
            }
        }
        let trailers = ready!(this.stream.poll_trailers(cx))?;
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
