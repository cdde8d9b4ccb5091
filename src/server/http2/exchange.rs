//! One request's stream, from its handler to the last of its answer.
//!
//! What an app says before its answer goes out while the handler still runs, and never later; a client that resets
//! the stream or leaves has its handler dropped; a body goes out as the client takes it, and a client that keeps its
//! window shut for a minute loses the stream, or opens it too little, or it would hold answer, app connection and memory
//! with it. An answer
//! that ends before the upload does ends that as well, with NO_ERROR (RFC 9113 section 8.1), which `h2` sees to.
//! Spawned by `server::http2`.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http_body::Body as _;
use hyper::{HeaderMap, Method, StatusCode};

use super::answer::{Asked, Rest, Stamp, fit_to_end, write};
use super::upload::Expectation;
use crate::http::duplex::{Cancelled, Duplex, poll_room};
use crate::http::grpc::is_spoken;
use crate::http::interim::{self, Outlet};
use crate::http::tunnel::Keeper;
use crate::http::{Body, BodyError, Remote, Reply, Response};
use crate::server::body::Pace;
use crate::server::event::{Event, Events};
use crate::server::streams::Running;
use crate::server::wire::{Patience, WRITE_TIMEOUT};

/// What the streams of one connection share.
pub(super) struct Line {
    events: Events,
    peer: Remote,
    stamp: Stamp,
}

impl Line {
    /// To this client.
    pub(super) fn new(events: Events, peer: Remote) -> Self {
        Self { events, peer, stamp: Stamp::new() }
    }

    /// Tells what happened to it.
    pub(super) fn tell(&self, event: impl FnOnce(Remote) -> Event) {
        (self.events)(event(self.peer));
    }
}

/// A request that is to be answered.
pub(super) struct Exchange {
    respond: SendResponse<Bytes>,
    line: Arc<Line>,
    outlet: Arc<Outlet>,
    asked: Asked,
    /// How much was said before the answer.
    said: usize,
    expectation: Option<Arc<Expectation>>,
    tunnel: Option<(Keeper, RecvStream)>,
    /// How many bytes a second its client has to take.
    rate: usize,
    /// Last: the stream goes first, for dropping it is what resets it.
    running: Running,
}

impl Exchange {
    /// Answers go back this way.
    pub(super) fn new(
        respond: SendResponse<Bytes>,
        line: Arc<Line>,
        outlet: Arc<Outlet>,
        method: &Method,
        rate: usize,
        running: Running,
    ) -> Self {
        let asked = Asked::with(method);
        Self { respond, line, outlet, asked, said: 0, expectation: None, tunnel: None, rate, running }
    }

    /// A success makes it a tunnel.
    pub(super) fn may_become(&mut self, keeper: Keeper, incoming: RecvStream) {
        self.tunnel = Some((keeper, incoming));
    }

    /// Its client may wait for a 100.
    pub(super) fn continues(&mut self, expectation: Option<Arc<Expectation>>) {
        self.expectation = expectation;
    }

    /// Answers with what the handler says, unless the client leaves before.
    pub(super) async fn serve<F: Future<Output: Into<Reply>>>(mut self, handler: Pin<Box<F>>) {
        if let Some(response) = self.wait(handler).await {
            self.answer(response).await;
        }
    }

    /// Waits for the answer; what comes before is passed on.
    async fn wait<F: Future<Output: Into<Reply>>>(&mut self, mut handler: Pin<Box<F>>) -> Option<Response> {
        poll_fn(|cx| {
            let answered = handler.as_mut().poll(cx);
            if answered.is_pending() || self.outlet.has_waiting() {
                // Asked before anything is said: h2 would say it on a stream that is closed.
                if self.respond.poll_reset(cx).is_ready() {
                    return Poll::Ready(None);
                }
                self.pass_on();
            }
            if answered.is_pending() {
                self.go_on(cx);
            }
            answered.map(Some)
        })
        .await
        .map(|answer| answer.into().into_response())
    }

    /// Sends what came before the answer. A client's window does not hold heads up, so that there is an end to them
    /// even where nothing is known to wait.
    fn pass_on(&mut self) {
        if !self.outlet.has_waiting() {
            return;
        }
        for head in self.outlet.take() {
            let said = self.said + head.size();
            if said <= interim::LARGEST {
                self.said = said;
                self.say(head.status, head.fields);
            }
        }
    }

    /// Tells a client that waits for it that its body is wanted.
    fn go_on(&mut self, cx: &mut Context<'_>) {
        if self.expectation.as_ref().is_some_and(|expectation| expectation.is_wanted(cx)) {
            self.expectation = None;
            self.say(StatusCode::CONTINUE, HeaderMap::new());
        }
    }

    fn say(&mut self, status: StatusCode, fields: HeaderMap) {
        let mut head = hyper::Response::new(());
        *head.status_mut() = status;
        *head.headers_mut() = fields;
        // What cannot be said is not missed.
        let _ = self.respond.send_informational(head);
    }

    /// Sends an answer, to the end of its body.
    pub(super) async fn answer(self, response: Response) {
        // First here, and so the last to be dropped.
        let Self { running, mut respond, line, outlet, asked, tunnel, rate, .. } = self;
        outlet.close();
        let agreed = response.status().is_success();
        // By what the app says it is: a client says what it likes.
        let rate = if is_spoken(response.headers().into()) { 0 } else { rate };
        let (head, rest) = write(response, asked, &line.stamp);
        let tunnel = tunnel.filter(|_| agreed);
        let Ok(stream) = respond.send_response(head, rest.is_none() && tunnel.is_none()) else {
            // The client left, or the head cannot be sent: `answer` lets none such pass.
            return respond.send_reset(Reason::INTERNAL_ERROR);
        };
        if let Some((keeper, incoming)) = tunnel {
            return keeper.keep(Duplex::new(incoming, stream, Cancelled::Ended, running));
        }
        let Some(Rest { body, left }) = rest else { return };
        let (patience, pace) = (Patience::new(WRITE_TIMEOUT), Pace::new(rate, WRITE_TIMEOUT));
        let mut sending = Sending { body, left, stream, patience, pace };
        match sending.run().await {
            Ok(()) | Err(Cut::Gone) => {}
            Err(Cut::Broken(reason)) => sending.stream.send_reset(reason),
            Err(Cut::Stalled) => line.tell(|peer| Event::WriteTimeout { peer }),
        }
    }
}

/// Why a client did not get all of an answer.
enum Cut {
    /// It wants no more.
    Gone,
    /// It took nothing for too long.
    Stalled,
    /// The body broke off.
    Broken(Reason),
}

/// A body on its way out.
struct Sending {
    body: Body,
    /// How much of it was announced and has not come.
    left: Option<u64>,
    stream: SendStream<Bytes>,
    patience: Patience,
    pace: Pace,
}

impl Sending {
    async fn run(&mut self) -> Result<(), Cut> {
        loop {
            let frame = poll_fn(|cx| match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(frame) => Poll::Ready(Ok(frame)),
                Poll::Pending => self.stream.poll_reset(cx).map(|_| Err(Cut::Gone)),
            });
            let Some(frame) = frame.await? else { return self.end(None) };
            match frame.map_err(|error| Cut::Broken(reason_of(&error)))?.into_data() {
                Ok(data) => {
                    if self.send(data).await? {
                        return Ok(());
                    }
                }
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        return self.end(Some(trailers));
                    }
                }
            }
        }
    }

    /// Sends a piece as the client takes it: whether it was the last. Nothing waits for its window elsewhere, and the
    /// app's body is not asked meanwhile, nor with it the session: so progress has to keep a pace, and the stream is at work until the client may have all.
    async fn send(&mut self, mut data: Bytes) -> Result<bool, Cut> {
        let mut is_last = self.body.is_end_stream();
        if let Some(left) = &mut self.left {
            let length = data.len() as u64;
            // Nobody may say more than was announced, or less.
            is_last |= length > *left;
            data.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left = left.saturating_sub(length);
        }
        if is_last {
            self.check_length()?;
        }
        if data.is_empty() && is_last {
            self.stream.send_data(data, true).map_err(|_| Cut::Gone)?;
            return Ok(true);
        }
        while !data.is_empty() {
            let room = poll_fn(|cx| match poll_room(&mut self.stream, data.len(), cx) {
                Poll::Ready(room) => Poll::Ready(room.map_err(|_| Cut::Gone)),
                Poll::Pending => {
                    self.pace.wait(Instant::now);
                    self.patience.poll_end(cx).map(|()| Err(Cut::Stalled))
                }
            });
            let slice = data.split_to(room.await?);
            if !self.pace.keeps(slice.len(), Instant::now) {
                return Err(Cut::Stalled);
            }
            self.patience.renew();
            self.stream.send_data(slice, is_last && data.is_empty()).map_err(|_| Cut::Gone)?;
        }
        Ok(is_last)
    }

    fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), Cut> {
        self.check_length()?;
        let ended = match trailers.map(fit_to_end) {
            Some(trailers) => self.stream.send_trailers(trailers),
            None => self.stream.send_data(Bytes::new(), true),
        };
        ended.map_err(|_| Cut::Gone)
    }

    fn check_length(&self) -> Result<(), Cut> {
        if self.left.is_some_and(|left| left > 0) { Err(Cut::Broken(Reason::INTERNAL_ERROR)) } else { Ok(()) }
    }
}

/// What a client is told of a body that broke off. What an app of HTTP/2 says with a reset has a meaning to whoever
/// speaks gRPC with it; whatever else it is, the client has no part in it.
fn reason_of(error: &BodyError) -> Reason {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&**error);
    while let Some(error) = cause {
        if let Some(reset) = error.downcast_ref::<h2::Error>() {
            let said = reset.reason().filter(|_| reset.is_remote() && reset.is_reset());
            // These speak of the connection, and the app's is not the client's.
            let is_its_own = |reason: &Reason| {
                ![Reason::NO_ERROR, Reason::REFUSED_STREAM, Reason::HTTP_1_1_REQUIRED].contains(reason)
            };
            return said.filter(is_its_own).unwrap_or(Reason::INTERNAL_ERROR);
        }
        cause = error.source();
    }
    Reason::INTERNAL_ERROR
}
