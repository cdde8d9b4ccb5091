//! The requests that run on one connection, counted: how busy it is, and since when it is not.
//!
//! Neither hyper nor h2 ends an idle connection, or says how many requests are under way, or that one goes on in other
//! hands after its answer. Called by `server::connection` and whoever serves one.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http_body::{Frame, SizeHint};
use hyper::HeaderMap;
use tokio::time::Instant;

use crate::http::{Body, BodyError};

/// Where the trailers of a request are found that came behind its answer.
pub(super) type Late = Arc<OnceLock<HeaderMap>>;

/// All of a request has come.
const RECEIVED: u8 = 1;

/// Of a request's body nobody takes more.
const UNWANTED: u8 = 2;

/// How busy a connection is.
pub(super) struct Activity {
    running: AtomicUsize,
    served: AtomicUsize,
    opened: Instant,
    /// Milliseconds from `opened` to the end of the last request.
    last_end: AtomicU64,
    /// Whether the client has yet to take something that was written.
    stuck: AtomicBool,
    /// Whether it speaks another protocol by now.
    switched: AtomicBool,
    /// How many of those that run are bodies in other hands.
    lent: AtomicUsize,
    /// Whether all of the request that is served has been read and taken apart.
    drained: AtomicBool,
    /// How much of its request a client may go on sending behind its answer, as far as that is known.
    rest: AtomicU8,
    /// Of the request that is served, if it may have such.
    late: Mutex<Option<Late>>,
    /// Who serves it, while others may hold what belongs to its request.
    server: AtomicWaker,
}

impl Activity {
    /// Of a connection that opens now.
    pub(super) fn new() -> Self {
        Self {
            running: AtomicUsize::new(0),
            served: AtomicUsize::new(0),
            opened: Instant::now(),
            last_end: AtomicU64::new(0),
            stuck: AtomicBool::new(false),
            switched: AtomicBool::new(false),
            lent: AtomicUsize::new(0),
            drained: AtomicBool::new(false),
            rest: AtomicU8::new(0),
            late: Mutex::default(),
            server: AtomicWaker::new(),
        }
    }

    /// Who is woken when a request may be over by what others did. To be told before [`Activity::is_over`] is asked.
    pub(super) fn tell_end(&self, server: &Waker) {
        self.server.register(server);
    }

    /// A request begins.
    pub(super) fn note_request(&self) {
        self.served.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether a request was ever complete.
    pub(super) fn has_served(&self) -> bool {
        self.served.load(Ordering::Relaxed) > 0
    }

    /// How many requests there were.
    pub(super) fn served(&self) -> usize {
        self.served.load(Ordering::Relaxed)
    }

    /// Whether a request after so many others has ended, with all that goes with it. A body in other hands does not
    /// once all of it was given to them.
    pub(super) fn is_over(&self, before: usize) -> bool {
        let lent = if self.drained.load(Ordering::Relaxed) { self.lent.load(Ordering::Relaxed) } else { 0 };
        self.served() != before && self.running.load(Ordering::Relaxed) == lent && !self.stuck.load(Ordering::Relaxed)
    }

    /// Whether all of the request that is served has been read and taken apart.
    pub(super) fn note_drained(&self, drained: bool) {
        self.drained.store(drained, Ordering::Relaxed);
    }

    /// A request begins of which all has yet to come.
    pub(super) fn expect_rest(&self) {
        self.rest.store(0, Ordering::Relaxed);
    }

    /// All of the request that is served has come, and can be thrown away in one piece.
    pub(super) fn note_received(&self) {
        self.rest.fetch_or(RECEIVED, Ordering::Relaxed);
    }

    /// Whether the connection closes behind the answer to the request that is served: nobody takes the rest of its body,
    /// and there is too much of it to be thrown away, or it has yet to come.
    pub(super) fn closes_for_rest(&self) -> bool {
        self.rest.load(Ordering::Relaxed) == UNWANTED
    }

    /// Where the trailers of the request will be that is served from here on.
    pub(super) fn expect_late(&self, late: Option<Late>) {
        *self.late.lock().unwrap_or_else(PoisonError::into_inner) = late;
    }

    /// Where those of the request are that is served.
    pub(super) fn late(&self) -> Option<Late> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The client was told that the protocol is another from here on.
    pub(super) fn note_switch(&self) {
        self.switched.store(true, Ordering::Relaxed);
    }

    /// Whether it was.
    pub(super) fn has_switched(&self) -> bool {
        self.switched.load(Ordering::Relaxed)
    }

    /// When the connection will have idled for `limit`, as far as is known now: never before it does.
    pub(super) fn idle_deadline(&self, limit: Duration) -> Instant {
        if self.is_idle() && !self.stuck.load(Ordering::Relaxed) {
            self.opened + Duration::from_millis(self.last_end.load(Ordering::Relaxed)) + limit
        } else {
            Instant::now() + limit
        }
    }

    /// The client took what was written, or did not. Until it does, its request is not over.
    pub(super) fn note_write(&self, stuck: bool) {
        if self.stuck.load(Ordering::Relaxed) != stuck {
            self.stuck.store(stuck, Ordering::Relaxed);
            self.note_end();
        }
    }

    /// Idleness counts from now.
    pub(super) fn note_end(&self) {
        self.note_end_at(Instant::now());
    }

    fn note_end_at(&self, now: Instant) {
        let since = u64::try_from(now.saturating_duration_since(self.opened).as_millis()).unwrap_or(u64::MAX);
        self.last_end.store(since, Ordering::Relaxed);
    }

    /// Whether no request is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.running.load(Ordering::Relaxed) == 0
    }

    /// Something that has to do with a request goes on for as long as the result lives.
    pub(super) fn begin(self: &Arc<Self>) -> Running {
        self.running.fetch_add(1, Ordering::Relaxed);
        Running { activity: Arc::clone(self), ended: None }
    }
}

/// One open stream, one answer that is not written yet, or one body that has not come yet.
pub(super) struct Running {
    activity: Arc<Activity>,
    /// When it ended, if somebody looked.
    ended: Option<Instant>,
}

impl Running {
    /// Of which connection.
    pub(super) fn activity(&self) -> &Activity {
        &self.activity
    }

    /// It ends now, which is this moment: the clock need not be asked once more.
    pub(super) fn end_at(&mut self, now: Instant) {
        self.ended = Some(now);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.activity.note_end_at(self.ended.unwrap_or_else(Instant::now));
        self.activity.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One of them in the hands of another task: a body of which an app takes the rest after its answer. Nothing else
/// would tell the connection that its request is over, and the next one may be read already.
pub(super) struct Lent(Option<Running>);

impl Lent {
    /// Until it is dropped.
    pub(super) fn new(running: Running) -> Self {
        running.activity.lent.fetch_add(1, Ordering::Relaxed);
        Self(Some(running))
    }

    /// It is dropped before the body's end.
    pub(super) fn note_unwanted(&self) {
        if let Some(running) = &self.0 {
            running.activity.rest.fetch_or(UNWANTED, Ordering::Relaxed);
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(running) = self.0.take() {
            let activity = Arc::clone(&running.activity);
            activity.lent.fetch_sub(1, Ordering::Relaxed);
            drop(running);
            activity.server.wake();
        }
    }
}

/// A response's body, which notes that its request goes on.
pub(super) struct Sent {
    body: Body,
    _running: Option<Running>,
}

impl Sent {
    /// Wraps a body.
    pub(super) fn new(body: Body, running: Option<Running>) -> Self {
        Self { body, _running: running }
    }
}

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
