//! Our words for HTTP: the request, the response, the body that both carry, and makers of small answers.
//!
//! One concrete `Body` instead of a type parameter, so that every module speaks of the same types and a
//! streamed body costs one allocation at most. Called by everything that touches a request.

pub mod apart;
pub mod arrival;
pub mod bell;
mod certificate;
pub mod chunks;
pub mod client;
pub mod duplex;
mod fault;
pub mod fields;
pub mod grpc;
pub mod interim;
pub mod lines;
pub mod names;
pub mod origin;
pub mod path;
mod peer;
#[cfg(test)]
pub(crate) mod spoil;
pub mod strict;
pub mod target;
pub mod tunnel;

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, LOCATION};
use hyper::{HeaderMap, StatusCode};

pub use arrival::{Arrival, Reply, Unsaid};
pub use certificate::ClientCertificate;
pub use fault::{BodyFault, SessionEnded};
pub use peer::{Neighbour, Neighbours, Peer, Remote, Shown};

/// A request as it came through a door.
pub type Request = hyper::Request<Body>;
/// A response on its way to the client.
pub type Response = hyper::Response<Body>;
/// What can go wrong while a body streams; ends the connection or the stream it belongs to.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// How a client reached a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain text.
    Http,
    /// TLS, ended here.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// A body in either direction.
#[derive(Default)]
pub enum Body {
    /// Nothing.
    #[default]
    Empty,
    /// A whole body that is at hand.
    Full(Bytes),
    /// A body as hyper receives it.
    Incoming(Incoming),
    /// A body that somebody watches, limits or writes piece by piece.
    Streamed(Pin<Box<dyn http_body::Body<Data = Bytes, Error = BodyError> + Send>>),
}

impl Body {
    /// Wraps any body that streams.
    pub fn streamed(body: impl http_body::Body<Data = Bytes, Error = BodyError> + Send + 'static) -> Self {
        Self::Streamed(Box::pin(body))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        match this {
            Self::Empty => Poll::Ready(None),
            Self::Full(_) => match std::mem::take(this) {
                Self::Full(bytes) if !bytes.is_empty() => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                _ => Poll::Ready(None),
            },
            Self::Incoming(incoming) => Pin::new(incoming).poll_frame(cx).map_err(Into::into),
            Self::Streamed(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Incoming(incoming) => incoming.is_end_stream(),
            Self::Streamed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Incoming(incoming) => incoming.size_hint(),
            Self::Streamed(body) => body.size_hint(),
        }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Empty => "Body::Empty",
            Self::Full(_) => "Body::Full",
            Self::Incoming(_) => "Body::Incoming",
            Self::Streamed(_) => "Body::Streamed",
        })
    }
}

/// An answer with a whole body of the given media type, never cached.
pub fn answer(status: StatusCode, media_type: &'static str, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::Full(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A plain-text answer.
pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Response {
    answer(status, "text/plain; charset=utf-8", body)
}

/// A JSON answer.
pub fn json(status: StatusCode, body: &serde_json::Value) -> Response {
    answer(status, "application/json", body.to_string())
}

/// A 303 to `location`. RFC 9700 section 4.12: never 307 or 308, which would repeat a form's body.
///
/// Answers 500 in plain text when `location` cannot be a header value, which no caller's does.
pub fn see_other(location: &str) -> Response {
    let Ok(location) = HeaderValue::from_str(location) else {
        return text(StatusCode::INTERNAL_SERVER_ERROR, "the address to go to cannot be written as a header");
    };
    let mut response = answer(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", "");
    response.headers_mut().insert(LOCATION, location);
    response
}

/// The one value of a header that may appear once; `Err` when it appears more often.
///
/// # Errors
/// [`Repeated`] when there are several lines of that name.
pub fn single(headers: &HeaderMap, name: impl hyper::header::AsHeaderName) -> Result<Option<&HeaderValue>, Repeated> {
    let mut values = headers.get_all(name).into_iter();
    let first = values.next();
    if values.next().is_some() { Err(Repeated) } else { Ok(first) }
}

/// A header that may appear once appeared more often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a header that may appear once was sent more often")]
pub struct Repeated;
