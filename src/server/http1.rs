//! HTTP/1.1 on one connection: plain requests without hyper, the others with it, and beside both what neither does.
//!
//! That is age, idling, drain and deadline. The connection is `lean`'s; hyper gets one request of it at a time, whose
//! head was read strictly, and gives it back. Called by `server::connection`.

use std::future::{Future, poll_fn};
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::connection::{Shared, jittered};
use super::event::{Event, Events};
use super::fence::Fenced;
use super::hang_up::HangsUp;
use super::interim::Interspersed;
use super::lean::head::{Bounds, End, Violation};
use super::lean::{Lean, Turn};
use super::linger::linger;
use super::quiet::Quiet;
use super::service::{BUFFER, Service, has_stalled, report};
use super::signal::{Signal, Stage, next_signal};
use super::streams::Activity;
use crate::http::apart::apart;
use crate::http::interim::Outlet;
use crate::http::tunnel::{self, Carrier, Unwrap};
use crate::http::{Arrival, Peer, Remote, Reply};

/// How many fields hyper takes in HTTP/1.1 when it is told nothing.
const HYPERS_HEADERS: usize = 100;

/// What a connection is served with.
struct Attendance<'a, H> {
    shared: &'a Arc<Shared<H>>,
    peer: &'a Peer,
    activity: &'a Arc<Activity>,
    /// What is waited for beside its requests. Both ways of serving change it, so it is made anew for each.
    stage: Stage,
}

/// Speaks it until the connection ends or is a tunnel.
pub(super) async fn speak_http1<H, F, S>(shared: &Arc<Shared<H>>, stream: S, peer: Peer, activity: Arc<Activity>)
where
    H: Fn(Arrival, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output: Into<Reply>> + Send + 'static,
    S: Carrier + HangsUp + 'static,
{
    let limits = &shared.limits;
    let bounds = Bounds { size: limits.header_size, fields: limits.headers };
    let old = Instant::now() + jittered(limits.connection_age, &peer);
    // One for a head to come and for the time between one request and the next: hyper would set up a timer for each,
    // and take it down again.
    let stage = Stage { old: Some(old), idle: Some(limits.header_timeout), open: true };
    let mut attendance = Attendance { shared, peer: &peer, activity: &activity, stage };
    let mut lean = Lean::new(Fenced::new(stream));
    let mut signal = pin!(next_signal(&shared.drain, &activity, stage));
    let mut signal = Quiet::new(signal.as_mut());
    loop {
        let ask = |arrival, sender| Box::pin((shared.handler)(arrival, Peer { interim: Some(sender), ..peer.clone() }));
        let next = poll_fn(|cx| match lean.poll(cx, bounds, &activity, ask) {
            Poll::Ready(turn) => Poll::Ready(Next::Turn(turn)),
            Poll::Pending => Pin::new(&mut signal).poll(cx).map(Next::Signal),
        });
        match next.await {
            Next::Signal(given) => {
                if attendance.heed(given).is_break() {
                    return;
                }
                lean.end();
            }
            Next::Turn(Turn::Ended) => return,
            Next::Turn(Turn::Answered) => return apart(|| linger(lean.into_stream(), &shared.drain)).await,
            Next::Turn(Turn::Refused(violation)) => report_head(&shared.events, peer.remote, violation),
            Next::Turn(Turn::Broken(error)) if has_stalled(&error) => {
                return (shared.events)(Event::WriteTimeout { peer: peer.remote });
            }
            Next::Turn(Turn::Broken(_)) => return,
            Next::Turn(Turn::Foreign(end)) => {
                let served = apart(|| attendance.serve_by_hyper(lean.into_stream(), end));
                match served.await {
                    Some(stream) => lean = Lean::new(stream),
                    None => return,
                }
            }
        }
        signal.set(next_signal(&shared.drain, &activity, attendance.stage));
    }
}

/// What a connection is woken for.
enum Next<T> {
    Turn(T),
    Signal(Signal),
}

impl<H, F> Attendance<'_, H>
where
    H: Fn(Arrival, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output: Into<Reply>> + Send + 'static,
{
    /// Heeds a signal: to break off, or to let the connection end after its request.
    fn heed(&mut self, given: Signal) -> ControlFlow<()> {
        let events = &self.shared.events;
        let peer = self.peer.remote;
        match given {
            Signal::Cut => events(Event::Cut { peer }),
            Signal::Idle if self.activity.has_served() => events(Event::IdleTimeout { peer }),
            Signal::Idle => events(Event::HeaderTimeout { peer }),
            Signal::Old | Signal::Drain => {
                if matches!(given, Signal::Old) {
                    events(Event::TooOld { peer });
                }
                self.stage = Stage { old: None, open: false, ..self.stage };
                return ControlFlow::Continue(());
            }
        }
        ControlFlow::Break(())
    }

    /// Has hyper serve one request, and gives back a connection that may have another.
    async fn serve_by_hyper<S>(&mut self, mut stream: Fenced<S>, end: End) -> Option<Fenced<S>>
    where
        S: Carrier + HangsUp + 'static,
    {
        let (shared, activity) = (self.shared, self.activity);
        let limits = &shared.limits;
        let mut builder = http1::Builder::new();
        builder.max_header_size(limits.header_size).max_buf_size(BUFFER.max(limits.header_size)).half_close(false);
        // hyper allocates and clears two tables for each request when it is told a number, even its own.
        if limits.headers != HYPERS_HEADERS {
            builder.max_headers(limits.headers);
        }
        let outlet = Arc::new(Outlet::default());
        stream.set_fence(end, activity, &outlet);
        let before = activity.served();
        let stream = Interspersed::new(stream, Arc::clone(&outlet));
        let (shared_too, activity_too) = (Arc::clone(shared), Arc::clone(activity));
        let unwrap = Unwrap(|connection| tunnel::unwrap(connection, Interspersed::<Fenced<S>>::into_inner));
        let service = Service { shared: shared_too, peer: self.peer.clone(), activity: activity_too, outlet, unwrap };
        let mut connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
        let mut signal = pin!(next_signal(&shared.drain, activity, self.stage));
        let mut signal = Quiet::new(signal.as_mut());
        let knows_end = !matches!(end, End::Unknown(_));
        let mut closes = !self.stage.open || !knows_end;
        let mut open = !closes;
        loop {
            let next = poll_fn(|cx| {
                let was_over = activity.is_over(before);
                if let Poll::Ready(ended) = Pin::new(&mut connection).poll(cx) {
                    return Poll::Ready(Next::Turn(Some(ended)));
                }
                // It has read the head by now: without one it would end at once.
                if std::mem::take(&mut closes) {
                    Pin::new(&mut connection).graceful_shutdown();
                    cx.waker().wake_by_ref();
                }
                activity.tell_end(cx.waker());
                if open && activity.is_over(before) {
                    // Asked once more, it has also done with what of the request's body nobody wanted.
                    if was_over {
                        return Poll::Ready(Next::Turn(None));
                    }
                    cx.waker().wake_by_ref();
                }
                Pin::new(&mut signal).poll(cx).map(Next::Signal)
            });
            match next.await {
                Next::Turn(Some(ended)) => {
                    let said_all = ended.is_ok();
                    report(&shared.events, self.peer.remote, ended);
                    let mut stream = connection.into_parts()?.io.into_inner().into_inner();
                    // Of its own request, or of what follows, something may be on its way.
                    let expects_more = !stream.take_fence() || !stream.unread().is_empty() || !knows_end;
                    if said_all && expects_more {
                        linger(stream, &shared.drain).await;
                    }
                    return None;
                }
                Next::Turn(None) => break,
                Next::Signal(given) => {
                    if self.heed(given).is_break() {
                        return None;
                    }
                    open = false;
                    Pin::new(&mut connection).graceful_shutdown();
                    signal.set(next_signal(&shared.drain, activity, self.stage));
                }
            }
        }
        // Nothing is under way and nothing waits to be written: there is nothing else to hyper than its buffers.
        let parts = connection.into_parts()?;
        let mut stream = parts.io.into_inner().into_inner();
        // If hyper ended the request elsewhere than we did, whatever follows has two readings.
        (stream.take_fence() && parts.read_buf.is_empty()).then_some(stream)
    }
}

/// Says why a head was refused.
fn report_head(events: &Events, peer: Remote, violation: Violation) {
    events(match violation {
        Violation::TooLarge | Violation::TargetTooLong => Event::HeadersTooLarge { peer },
        _ => Event::Malformed { peer, cause: violation.to_string() },
    });
}
