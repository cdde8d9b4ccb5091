//! The app's answers that take their time: events, trailers, many bytes.
//!
//! All of them end by themselves. Called by the app's dispatch.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, TRAILER};
use hyper::{HeaderMap, StatusCode};
use tokio::time::{Interval, MissedTickBehavior};

use crate::http::{self, Body, BodyError, Response};

/// How many events there are unless somebody asks for fewer or more.
const EVENTS: u64 = 300;
/// The most events.
const MOST_EVENTS: u64 = 100_000;
/// The most bytes.
const MOST_BYTES: u64 = 1 << 30;
static NOUGHTS: [u8; 64 * 1024] = [b'0'; 64 * 1024];

/// Server-sent events, one a second.
pub(super) fn events(count: Option<u64>, milliseconds: Option<u64>) -> Response {
    let mut clock = tokio::time::interval(Duration::from_millis(milliseconds.unwrap_or(1000).max(1)));
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let events = Events { clock, sent: 0, count: count.unwrap_or(EVENTS).min(MOST_EVENTS) };
    let mut response = http::answer(StatusCode::OK, "text/event-stream", "");
    *response.body_mut() = Body::streamed(events);
    response
}

/// An answer with trailers: those of the request again, and one of its own.
pub(super) fn trailers(received: Vec<(String, String)>) -> Response {
    let mut fields = HeaderMap::new();
    fields.insert("x-app-trailer", HeaderValue::from_static("from the app"));
    let mut names = "x-app-trailer".to_owned();
    for (name, value) in received {
        if let (Ok(field), Ok(value)) = (HeaderName::try_from(&name), HeaderValue::try_from(value)) {
            fields.append(field, value);
            names.push_str(", ");
            names.push_str(&name);
        }
    }
    let frames = [Frame::data(Bytes::from_static(b"look behind me\n")), Frame::trailers(fields)];
    let mut response = http::text(StatusCode::OK, "");
    if let Ok(names) = HeaderValue::try_from(names) {
        response.headers_mut().insert(TRAILER, names);
    }
    *response.body_mut() = Body::streamed(Frames(frames.into()));
    response
}

/// That many bytes.
pub(super) fn bytes(count: u64) -> Response {
    let count = count.min(MOST_BYTES);
    let mut response = match usize::try_from(count).ok().and_then(|count| NOUGHTS.get(..count)) {
        Some(few) => Response::new(Body::Full(Bytes::from_static(few))),
        None => Response::new(Body::streamed(Noughts { left: count })),
    };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(count));
    response
}

struct Events {
    clock: Interval,
    sent: u64,
    count: u64,
}

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.sent == self.count {
            return Poll::Ready(None);
        }
        ready!(self.clock.poll_tick(context));
        self.sent += 1;
        let event = format!("id: {0}\ndata: {{\"tick\":{0}}}\n\n", self.sent);
        Poll::Ready(Some(Ok(Frame::data(event.into()))))
    }
}

struct Frames(VecDeque<Frame<Bytes>>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}

struct Noughts {
    left: u64,
}

impl http_body::Body for Noughts {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let next = self.left.min(NOUGHTS.len() as u64);
        self.left -= next;
        let piece = usize::try_from(next).ok().and_then(|next| NOUGHTS.get(..next)).unwrap_or_default();
        Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(Bytes::from_static(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.left)
    }
}
