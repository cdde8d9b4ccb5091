//! The body of an app's answer, by who receives it.
//!
//! An enum beside `Connection`: whoever speaks on a connection reads bodies off it in their own way. Made by
//! `proxy::upstream`, wrapped by `proxy::stream`.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;

use super::dial::Stream;
use super::h2::SharedBody;
use super::lean;
use crate::http::duplex::Duplex;
use crate::http::{Body, BodyError};

/// The body of an app's answer.
pub enum AppBody {
    /// As hyper receives it.
    Incoming(Incoming),
    /// Off a connection that others use too.
    Shared(Box<SharedBody>),
    /// All of it, in one piece.
    Whole(Bytes),
    /// As a lean connection receives it, which it owns.
    Lean(Box<lean::Incoming<Stream>>),
    /// None: what follows the head is a tunnel.
    Tunnel(Box<Duplex>),
}

impl AppBody {
    /// A body of which nothing is left to come from the app, for the client; a length that a HEAD's answer tells
    /// is kept.
    ///
    /// # Errors
    /// The body itself, when something is.
    pub fn at_hand(self) -> Result<Body, Self> {
        match self {
            Self::Incoming(incoming) if incoming.is_end_stream() => Ok(Body::Incoming(incoming)),
            Self::Whole(bytes) if bytes.is_empty() => Ok(Body::Empty),
            Self::Whole(bytes) => Ok(Body::Full(bytes)),
            Self::Shared(shared) if shared.is_end_stream() => Ok(Body::Empty),
            Self::Incoming(_) | Self::Shared(_) | Self::Lean(_) | Self::Tunnel(_) => Err(self),
        }
    }

    /// The connection that it was read from, when it has been read to its end and may be used again.
    pub(super) fn release(&mut self) -> Option<Box<lean::Connection<Stream>>> {
        match self {
            Self::Lean(incoming) => incoming.release(),
            Self::Incoming(_) | Self::Shared(_) | Self::Whole(_) | Self::Tunnel(_) => None,
        }
    }
}

impl http_body::Body for AppBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Incoming(incoming) => Pin::new(incoming).poll_frame(cx).map_err(Into::into),
            Self::Shared(shared) => Pin::new(shared.as_mut()).poll_frame(cx),
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Lean(incoming) => Pin::new(incoming).poll_frame(cx),
            Self::Tunnel(_) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Incoming(incoming) => incoming.is_end_stream(),
            Self::Shared(shared) => shared.is_end_stream(),
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Lean(incoming) => incoming.is_end_stream(),
            Self::Tunnel(_) => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Incoming(incoming) => incoming.size_hint(),
            Self::Shared(shared) => shared.size_hint(),
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Lean(incoming) => incoming.size_hint(),
            Self::Tunnel(_) => SizeHint::with_exact(0),
        }
    }
}
