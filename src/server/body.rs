//! A request body that may not stall.
//!
//! hyper waits for ever for the next byte of a body (measured: a `Content-Length: 10` with two bytes was still
//! open after 25 seconds). The timer runs only while somebody waits for the body, so an app that reads slowly is
//! not held against the client, and a body that is at hand arms none. Called by `server::connection`; whoever
//! reads bodies can recognise [`Stalled`].

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;

use super::event::{Event, Events};
use super::wire::Patience;
use crate::http::{Body, BodyError, Remote};

/// The client stopped sending in the middle of a request body. Answer 408.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request body stalled: the client sent nothing for too long")]
pub struct Stalled;

/// `incoming` as a [`Body`]: empty when it has ended already, else watched.
pub(super) fn watch(incoming: Incoming, limit: Duration, events: &Events, peer: Remote) -> Body {
    if incoming.is_end_stream() {
        return Body::Empty;
    }
    Body::streamed(Watched { incoming, patience: Patience::new(limit), events: Events::clone(events), peer })
}

struct Watched {
    incoming: Incoming,
    patience: Patience,
    events: Events,
    peer: Remote,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.incoming).poll_frame(cx);
        if frame.is_ready() {
            this.patience.renew();
            return frame.map_err(Into::into);
        }
        ready!(this.patience.poll_end(cx));
        this.patience.renew();
        (this.events)(Event::BodyTimeout { peer: this.peer });
        Poll::Ready(Some(Err(Stalled.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
