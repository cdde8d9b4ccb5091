//! Bodies on their way through: watched, cleaned, never collected.
//!
//! A request's trailers lose every managed name (RFC 9110 section 6.5.1: trailers are never identity). Either body ends
//! with its session: what is under way is the person's too. A response's ends when the app stalls and when the gateway is
//! cut off as well, and its connection goes back to the pool at its last byte. Timers are armed only while a body waits,
//! so that a body that is at hand costs nothing. Called by `proxy`.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use super::headers::clean_trailers;
use super::inject::Managed;
use super::upstream::lean::BrokeOff;
use super::upstream::{AppBody, Lease};
use crate::http::{Body, BodyError, SessionEnded};
use crate::session::Session;
use crate::telemetry::RequestId;

/// How often a body that waits looks whether its session still lives.
const GLANCE: Duration = Duration::from_secs(2);

/// Every how many pieces that were at hand the clock is asked whether the session has become too old.
const UNTIMED_PIECES: u32 = 16;

/// When a request's body last moved: the app's first-byte deadline counts from then, or a long upload would
/// run into it.
#[derive(Debug)]
pub struct Progress {
    began: Instant,
    moved_after: AtomicU64,
    ended: AtomicBool,
}

impl Progress {
    /// Nothing has moved yet.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { began: Instant::now(), moved_after: AtomicU64::new(0), ended: AtomicBool::new(false) })
    }

    fn note(&self) {
        let elapsed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved_after.store(elapsed, Ordering::Relaxed);
    }

    /// Whether the body was sent to its end. An app may answer before; its connection then belongs to this
    /// client until the rest has come, however long that takes.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// The moment of the last piece, or of the beginning.
    pub fn last(&self) -> Instant {
        self.began + Duration::from_millis(self.moved_after.load(Ordering::Relaxed))
    }
}

/// A request's body whose trailers cannot be taken for headers that we vouch for.
pub struct RequestBody {
    inner: Body,
    managed: Arc<Managed>,
    progress: Arc<Progress>,
    visitor: Option<Visitor>,
    /// For the next look at the session.
    glance: Option<Pin<Box<Sleep>>>,
}

impl RequestBody {
    /// Wraps a body that is not at its end, of a visitor or of a stranger.
    pub fn new(inner: Body, managed: Arc<Managed>, progress: Arc<Progress>, visitor: Option<Visitor>) -> Self {
        Self { inner, managed, progress, visitor, glance: None }
    }

    fn has_ended(&self) -> bool {
        self.visitor.as_ref().is_some_and(Visitor::has_ended)
    }

    /// Called while nothing is at hand: ready when the session has ended.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.visitor.is_none() {
            return Poll::Pending;
        }
        loop {
            ready!(self.glance.get_or_insert_with(|| Box::pin(sleep(GLANCE))).as_mut().poll(cx));
            if self.has_ended() {
                return Poll::Ready(());
            }
            self.glance = None;
        }
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.has_ended() {
            return Poll::Ready(Some(Err(SessionEnded.into())));
        }
        let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) else {
            return self.poll_end(cx).map(|()| Some(Err(SessionEnded.into())));
        };
        self.glance = None;
        self.progress.note();
        if frame.is_none() || self.inner.is_end_stream() {
            self.progress.ended.store(true, Ordering::Release);
        }
        Poll::Ready(frame.map(|frame| {
            frame.map(|mut frame| {
                if let Some(trailers) = frame.trailers_mut() {
                    self.managed.remove(trailers);
                    clean_trailers(trailers);
                }
                frame
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Why a response's body was broken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokenOff {
    /// Nothing came for `upstream.idle_timeout`.
    #[error("the app sent nothing for the idle_timeout of its route")]
    Stalled,
    /// The session that it was sent for ended.
    #[error("the session ended")]
    SessionEnded,
    /// The gateway is shutting down and its deadline has passed.
    #[error("the gateway shut down")]
    CutOff,
}

/// A response's body as it comes from an app.
pub struct ResponseBody {
    inner: AppBody,
    lease: Option<Lease>,
    request: Option<Arc<Progress>>,
    id: Option<RequestId>,
    visitor: Option<Visitor>,
    cut: tokio_util::sync::CancellationToken,
    idle_timeout: Duration,
    waiting: Option<Waiting>,
    pieces: u32,
}

/// Whose exchange it is, and until when they may go on with it.
pub struct Visitor {
    session: Arc<Session>,
    until: Instant,
}

impl Visitor {
    /// Whose session lasts until then, unless it is ended before.
    pub fn new(session: Arc<Session>, until: std::time::Instant) -> Self {
        Self { session, until: until.into() }
    }

    fn has_ended(&self) -> bool {
        self.session.has_ended() || Instant::now() >= self.until
    }
}

/// What a body that waits knows.
struct Waiting {
    timer: Pin<Box<Sleep>>,
    since: Instant,
}

impl ResponseBody {
    /// Wraps an app's body; `lease` goes back at its end, if the body of its `request` has been sent by then.
    pub fn new(
        inner: AppBody,
        lease: Lease,
        request: Option<Arc<Progress>>,
        cut: tokio_util::sync::CancellationToken,
        idle_timeout: Duration,
    ) -> Self {
        Self {
            inner,
            lease: Some(lease),
            request,
            id: None,
            visitor: None,
            cut,
            idle_timeout,
            waiting: None,
            pieces: 0,
        }
    }

    /// The log calls its request so.
    pub fn called(mut self, id: RequestId) -> Self {
        self.id = Some(id);
        self
    }

    /// Breaks off when the visitor's session ends, by somebody's hand or by its age.
    pub fn bound_to(mut self, visitor: Option<Visitor>) -> Self {
        self.visitor = visitor;
        self
    }

    fn finish(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back_from(&mut self.inner, self.request.as_ref());
        }
    }

    /// Called while nothing is at hand: decides whether to go on waiting.
    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<BrokenOff> {
        let glance = GLANCE.min(self.idle_timeout);
        let waiting =
            self.waiting.get_or_insert_with(|| Waiting { timer: Box::pin(sleep(glance)), since: Instant::now() });
        loop {
            ready!(waiting.timer.as_mut().poll(cx));
            if self.cut.is_cancelled() {
                return Poll::Ready(BrokenOff::CutOff);
            }
            if self.visitor.as_ref().is_some_and(Visitor::has_ended) {
                return Poll::Ready(BrokenOff::SessionEnded);
            }
            let waited = waiting.since.elapsed();
            if waited >= self.idle_timeout {
                return Poll::Ready(BrokenOff::Stalled);
            }
            waiting.timer.as_mut().reset(Instant::now() + glance.min(self.idle_timeout - waited));
        }
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                // A piece that was at hand came in next to no time: the clock is asked now and then.
                self.pieces = self.pieces.wrapping_add(1);
                let ask = self.waiting.take().is_some() || self.pieces.is_multiple_of(UNTIMED_PIECES);
                let ended = |visitor: &Visitor| if ask { visitor.has_ended() } else { visitor.session.has_ended() };
                if self.visitor.as_ref().is_some_and(ended) {
                    self.lease = None;
                    return Poll::Ready(Some(Err(BrokenOff::SessionEnded.into())));
                }
                if self.inner.is_end_stream() {
                    self.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            // Its request's body ended for that, and took the exchange along.
            Poll::Ready(Some(Err(_))) if self.visitor.as_ref().is_some_and(Visitor::has_ended) => {
                self.lease = None;
                Poll::Ready(Some(Err(BrokenOff::SessionEnded.into())))
            }
            Poll::Ready(Some(Err(error))) => {
                if let Some(lease) = self.lease.take()
                    && !error.is::<BrokeOff>()
                {
                    let request_id = self.id.as_ref().map(RequestId::as_str);
                    tracing::warn!(request_id, address = %lease.address(), %error, "an app broke off in the middle of an answer");
                }
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => {
                self.finish();
                Poll::Ready(None)
            }
            Poll::Pending => {
                let broken_off = ready!(self.poll_wait(cx));
                if let Some(lease) = self.lease.take()
                    && broken_off == BrokenOff::Stalled
                {
                    let request_id = self.id.as_ref().map(RequestId::as_str);
                    let (address, limit) = (lease.address(), lease.idle_timeout());
                    tracing::warn!(request_id, %address, error = %broken_off, %limit, "an answer was broken off");
                }
                Poll::Ready(Some(Err(broken_off.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
