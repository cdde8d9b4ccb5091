//! A request body that may not stall, nor trickle for ever.
//!
//! hyper waits for ever for the next byte of a body (measured: a `Content-Length: 10` with two bytes was still
//! open after 25 seconds), and whoever sends one byte every 29 seconds holds a connection, here and at the app, for
//! as long as they like. Time counts only while somebody waits for the body, so an app that reads slowly is not held
//! against the client, and a body that is at hand arms no timer. One that is malformed is told as such. Called by
//! `server::service` and `server::http2`; whoever reads bodies can recognise [`Stalled`] and what [`BodyFault`] is made of.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::{HeaderMap, Method};

use super::event::{Event, Events};
use super::streams::{Activity, Late, Lent};
use super::wire::Patience;
use crate::http::grpc::is_call;
use crate::http::{Body, BodyError, BodyFault, Remote};

/// The client stopped sending in the middle of a request body, or nearly so. Answer 408.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stalled {
    /// Nothing came for `body_idle_timeout`.
    #[error("the request body stalled: the client sent nothing for too long")]
    Silent,
    /// Less than `body_rate` came.
    #[error("the request body trickled in: the client sent too little for too long")]
    Slow,
}

/// What a body is watched with.
pub(super) struct Watcher<'a> {
    /// How long it may stall.
    pub(super) limit: Duration,
    /// How many bytes a second it must bring, on average over twice that.
    pub(super) rate: usize,
    /// Who hears of it.
    pub(super) events: &'a Events,
    /// Whose it is.
    pub(super) peer: Remote,
    /// Of a connection that would be idle without it. An app may answer before it has read everything, and go on
    /// reading.
    pub(super) activity: &'a Arc<Activity>,
    /// To be told that somebody has asked for it, where its client waits for that.
    pub(super) asked: Option<&'a Arc<AtomicBool>>,
}

impl Watcher<'_> {
    /// `incoming` as a [`Body`]: empty when it has ended already, else watched.
    pub(super) fn watch<B>(&self, incoming: B) -> Body
    where
        B: http_body::Body<Data = Bytes, Error: Error + Send + Sync> + Send + Unpin + 'static,
    {
        if incoming.is_end_stream() {
            return Body::Empty;
        }
        Body::streamed(Watched {
            incoming,
            patience: Patience::new(self.limit),
            pace: Pace::new(self.rate, self.limit),
            events: Events::clone(self.events),
            peer: self.peer,
            ended: false,
            asked: self.asked.cloned(),
            late: self.activity.late(),
            running: Some(Lent::new(self.activity.begin())),
        })
    }
}

/// The rate that a request's body must keep by HTTP/2: `rate`, but for gRPC's calls, which are as quiet as those who talk
/// (Kestrel lifts its own limit for them as well).
pub(super) fn least_rate(method: &Method, headers: &HeaderMap, rate: usize) -> usize {
    if is_call(method, headers.into()) { 0 } else { rate }
}

/// How much came, or was taken, while it was waited for, and how long that took.
pub(super) struct Pace {
    rate: usize,
    /// Long enough for one whole pause of an honest client.
    window: Duration,
    since: Option<Instant>,
    waited: Duration,
    bytes: usize,
}

impl Pace {
    /// At least `rate` bytes for each second of two `limit`s of waiting.
    pub(super) fn new(rate: usize, limit: Duration) -> Self {
        Self { rate, window: limit.saturating_mul(2), since: None, waited: Duration::ZERO, bytes: 0 }
    }

    /// Nothing is at hand.
    pub(super) fn wait(&mut self, now: impl FnOnce() -> Instant) {
        if self.rate > 0 && self.since.is_none() {
            self.since = Some(now());
        }
    }

    /// Something came: whether it is enough.
    pub(super) fn keeps(&mut self, bytes: usize, now: impl FnOnce() -> Instant) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        let Some(since) = self.since.take() else { return true };
        self.waited += now().saturating_duration_since(since);
        if self.waited < self.window {
            return true;
        }
        let least = self.waited.as_secs_f64() * self.rate as f64;
        let kept = self.bytes as f64 >= least;
        (self.waited, self.bytes) = (Duration::ZERO, 0);
        kept
    }
}

struct Watched<B: http_body::Body> {
    incoming: B,
    patience: Patience,
    pace: Pace,
    events: Events,
    peer: Remote,
    /// hyper tells the end of a length, or of trailers, only with the next request, which may wait for this end.
    ended: bool,
    asked: Option<Arc<AtomicBool>>,
    /// What hyper left behind when it broke off a body that had ended.
    late: Option<Late>,
    running: Option<Lent>,
}

impl<B: http_body::Body> Drop for Watched<B> {
    fn drop(&mut self) {
        if !self.incoming.is_end_stream() {
            self.leave();
        }
    }
}

impl<B: http_body::Body> Watched<B> {
    /// Nobody takes more of it, and it is not at its end.
    fn leave(&mut self) {
        if let Some(lent) = self.running.take() {
            lent.note_unwanted();
        }
    }

    fn end(&mut self) {
        self.ended = true;
        self.running = None;
    }

    /// What is beneath an error, if that is the client's doing; whoever gets it need not look for it.
    fn explain(&self, error: impl Error + Send + Sync + 'static) -> BodyError {
        let BodyFault::Malformed(malformed) = BodyFault::of(&error) else { return error.into() };
        (self.events)(Event::Malformed { peer: self.peer, cause: malformed.to_string() });
        malformed.into()
    }
}

impl<B> http_body::Body for Watched<B>
where
    B: http_body::Body<Data = Bytes, Error: Error + Send + Sync + 'static> + Unpin,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        if let Some(asked) = this.asked.take() {
            asked.store(true, Ordering::Relaxed);
        }
        let frame = Pin::new(&mut this.incoming).poll_frame(cx);
        if let Poll::Ready(mut frame) = frame {
            this.patience.renew();
            if matches!(&frame, Some(Err(_)))
                && let Some(trailers) = this.late.as_ref().and_then(|late| late.get())
            {
                frame = Some(Ok(Frame::trailers(trailers.clone())));
            }
            match &frame {
                // It broke off, which is no end.
                Some(Err(_)) => this.leave(),
                Some(Ok(piece)) if piece.is_data() && !this.incoming.is_end_stream() => {}
                _ => this.end(),
            }
            // The end that is reached late is reached all the same.
            if let Some(Ok(piece)) = &frame
                && !this.pace.keeps(piece.data_ref().map_or(0, Bytes::len), Instant::now)
                && !this.incoming.is_end_stream()
            {
                (this.events)(Event::BodyTooSlow { peer: this.peer });
                return Poll::Ready(Some(Err(Stalled::Slow.into())));
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(|error| this.explain(error))));
        }
        this.pace.wait(Instant::now);
        ready!(this.patience.poll_end(cx));
        this.patience.renew();
        (this.events)(Event::BodyTimeout { peer: this.peer });
        Poll::Ready(Some(Err(Stalled::Silent.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::CONTENT_TYPE;
    use hyper::header::HeaderValue;

    const LIMIT: Duration = Duration::from_secs(30);

    /// Whether a body that brings so many bytes after each of these waits keeps the pace to its end.
    fn keeps(pace: &mut Pace, moves: &[(u64, usize)]) -> bool {
        let mut now = Instant::now();
        moves.iter().all(|(seconds, bytes)| {
            pace.wait(|| now);
            now += Duration::from_secs(*seconds);
            pace.keeps(*bytes, || now)
        })
    }

    #[test]
    fn one_byte_now_and_then_is_too_little() {
        assert!(!keeps(&mut Pace::new(240, LIMIT), &[(29, 1); 3]));
        assert!(!keeps(&mut Pace::new(240, LIMIT), &[(1, 239); 60]));
        assert!(keeps(&mut Pace::new(240, LIMIT), &[(1, 240); 600]));
        assert!(keeps(&mut Pace::new(0, LIMIT), &[(29, 1); 100]), "where any rate will do");
    }

    #[test]
    fn an_honest_pause_hurts_nobody() {
        // 29 seconds of nothing, then a poor line again
        let moves = [&[(29, 500)][..], &[(1, 500); 40]].concat();
        assert!(keeps(&mut Pace::new(240, LIMIT), &moves));
    }

    #[test]
    fn what_came_long_ago_does_not_pay_for_what_trickles_now() {
        let mut pace = Pace::new(240, LIMIT);
        assert!(keeps(&mut pace, &[(61, 1 << 30)]));
        assert!(!keeps(&mut pace, &[(29, 1); 3]));
    }

    #[test]
    fn time_counts_only_while_somebody_waits() {
        let (mut pace, mut now) = (Pace::new(240, LIMIT), Instant::now());
        for _ in 0..10 {
            now += Duration::from_secs(3600);
            assert!(pace.keeps(1, || now), "the app had other things to do");
        }
    }

    #[test]
    fn calls_by_grpc_may_be_as_quiet_as_they_like() {
        let of = |kind: &'static str| HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
        assert_eq!(least_rate(&Method::POST, &of("application/grpc+proto"), 240), 0);
        assert_eq!(least_rate(&Method::PUT, &of("application/grpc+proto"), 240), 240);
        for kind in ["application/json", "application/grpcx", "application/grpc-web"] {
            assert_eq!(least_rate(&Method::POST, &of(kind), 240), 240, "{kind}");
        }
        assert_eq!(least_rate(&Method::POST, &HeaderMap::new(), 240), 240);
    }
}
