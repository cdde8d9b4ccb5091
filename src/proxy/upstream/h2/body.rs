//! An answer's body off a stream: data, then trailers.
//!
//! The app may send more only as pieces are taken from here, so that a slow reader slows the app and no memory
//! fills. Made by `proxy::upstream::h2`, carried by `AppBody`.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http_body::{Frame, SizeHint};
use hyper::HeaderMap;
use hyper::header::CONTENT_LENGTH;

use super::Ticket;
use super::upload::Upload;
use crate::http::BodyError;

/// The body of an answer that came over a shared connection. Dropped before its end, its stream is reset.
pub struct SharedBody {
    stream: RecvStream,
    /// What is still to come, where the head said.
    left: Option<u64>,
    data_has_ended: bool,
    /// Sent for as long as the answer is wanted.
    _upload: Option<Upload>,
    _ticket: Ticket,
}

impl SharedBody {
    pub(super) fn new(
        stream: RecvStream,
        headers: &HeaderMap,
        has_body: bool,
        upload: Option<Upload>,
        ticket: Ticket,
    ) -> Self {
        let length = headers.get(CONTENT_LENGTH).filter(|_| has_body);
        let left = length.and_then(|length| length.to_str().ok()?.parse().ok());
        Self { stream, left, data_has_ended: false, _upload: upload, _ticket: ticket }
    }
}

impl std::fmt::Debug for SharedBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedBody").field("left", &self.left).finish_non_exhaustive()
    }
}

impl http_body::Body for SharedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if !this.data_has_ended {
            match ready!(this.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    this.left = this.left.map(|left| left.saturating_sub(data.len() as u64));
                    let released = this.stream.flow_control().release_capacity(data.len());
                    return Poll::Ready(Some(released.map(|()| Frame::data(data)).map_err(Into::into)));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => this.data_has_ended = true,
            }
        }
        match ready!(this.stream.poll_trailers(cx)) {
            Ok(Some(trailers)) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            Ok(None) => Poll::Ready(None),
            Err(error) => Poll::Ready(Some(Err(error.into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
