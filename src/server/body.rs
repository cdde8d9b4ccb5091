//! A request body that may not stall.
//!
//! hyper waits for ever for the next byte of a body (measured: a `Content-Length: 10` with two bytes was still
//! open after 25 seconds). The timer runs only while somebody waits for the body, so an app that reads slowly is
//! not held against the client, and a body that is at hand arms none. Called by `server::connection`; whoever
//! reads bodies can recognise [`Stalled`].

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;

use super::event::{Event, Events};
use super::streams::{Activity, Running};
use super::wire::Patience;
use crate::http::{Body, BodyError, Remote};

/// The client stopped sending in the middle of a request body. Answer 408.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request body stalled: the client sent nothing for too long")]
pub struct Stalled;

/// What a body is watched with.
pub(super) struct Watcher<'a> {
    /// How long it may stall.
    pub(super) limit: Duration,
    /// Who hears of it.
    pub(super) events: &'a Events,
    /// Whose it is.
    pub(super) peer: Remote,
    /// Of a connection that would be idle without it. An app may answer before it has read everything, and go on
    /// reading.
    pub(super) activity: Option<&'a Arc<Activity>>,
}

impl Watcher<'_> {
    /// `incoming` as a [`Body`]: empty when it has ended already, else watched.
    pub(super) fn watch(&self, incoming: Incoming) -> Body {
        if incoming.is_end_stream() {
            return Body::Empty;
        }
        Body::streamed(Watched {
            incoming,
            patience: Patience::new(self.limit),
            events: Events::clone(self.events),
            peer: self.peer,
            _running: self.activity.map(Activity::begin),
        })
    }
}

struct Watched {
    incoming: Incoming,
    patience: Patience,
    events: Events,
    peer: Remote,
    _running: Option<Running>,
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
