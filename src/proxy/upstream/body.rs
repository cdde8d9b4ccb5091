//! The body of an app's answer, by who receives it.
//!
//! An enum beside `Connection`: whoever speaks on a connection reads bodies off it in their own way. Made by
//! `proxy::upstream`, wrapped by `proxy::stream`.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

use super::h2::SharedBody;
use crate::http::{Body, BodyError};

/// The body of an app's answer.
#[derive(Debug)]
pub enum AppBody {
    /// As hyper receives it.
    Incoming(Incoming),
    /// Off a connection that others use too.
    Shared(Box<SharedBody>),
}

impl AppBody {
    /// A body that is at its end, for the client; a length that a HEAD's answer tells is kept.
    pub fn into_ended(self) -> Body {
        match self {
            Self::Incoming(incoming) => Body::Incoming(incoming),
            Self::Shared(_) => Body::Empty,
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
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Incoming(incoming) => incoming.is_end_stream(),
            Self::Shared(shared) => shared.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Incoming(incoming) => incoming.size_hint(),
            Self::Shared(shared) => shared.size_hint(),
        }
    }
}
