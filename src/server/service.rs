//! hyper's way to call the handler, and to say how a connection ended.
//!
//! Called by `server::http1`.

use std::error::Error as _;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use http_body::Body as _;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::upgrade::OnUpgrade;
use hyper::{StatusCode, Version, header};

use super::body;
use super::connection::Shared;
use super::event::{Event, Events};
use super::streams::{Activity, Running, Sent};
use super::wire::WriteStalled;
use crate::http::interim::Outlet;
use crate::http::tunnel::Unwrap;
use crate::http::{Arrival, Peer, Remote, Reply, Response, Unsaid};

/// How much of a response hyper may hold for a client that reads slowly, and of a request for a handler that does.
pub(super) const BUFFER: usize = 64 * 1024;

/// Says which limit ended a connection; a client that simply went away is no event.
pub(super) fn report(events: &Events, peer: Remote, ended: hyper::Result<()>) {
    let Err(error) = ended else { return };
    if error.is_parse_too_large() {
        events(Event::HeadersTooLarge { peer });
    } else if error.is_parse() {
        events(Event::Malformed { peer, cause: error.to_string() });
    } else if wrote_in_vain(&error) {
        events(Event::WriteTimeout { peer });
    }
}

fn wrote_in_vain(error: &hyper::Error) -> bool {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if inner.downcast_ref::<io::Error>().is_some_and(has_stalled) {
            return true;
        }
        cause = inner.source();
    }
    false
}

/// Whether it says that the client took nothing for too long.
pub(super) fn has_stalled(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<WriteStalled>())
}

/// hyper's way to call the handler.
pub(super) struct Service<H> {
    pub(super) shared: Arc<Shared<H>>,
    pub(super) peer: Peer,
    pub(super) activity: Arc<Activity>,
    /// Where interim answers go out.
    pub(super) outlet: Arc<Outlet>,
    /// How a tunnel has the connection back from hyper.
    pub(super) unwrap: Unwrap,
}

impl<H, F> hyper::service::Service<hyper::Request<Incoming>> for Service<H>
where
    H: Fn(Arrival, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output: Into<Reply>> + Send + 'static,
{
    type Response = hyper::Response<Sent>;
    type Error = Unsaid;
    type Future = Coming<F>;

    fn call(&self, request: hyper::Request<Incoming>) -> Self::Future {
        self.activity.note_request();
        let shared = &self.shared;
        let running = self.activity.begin();
        // "A server MUST NOT send a 1xx response to an HTTP/1.0 client" (RFC 9110 section 15.2).
        let takes_interim = request.version() == Version::HTTP_11;
        let interim = if takes_interim { self.outlet.open() } else { self.outlet.open_mute() };
        // hyper says 100 when the body is first asked for.
        let waits = request.headers().contains_key(header::EXPECT) && !request.body().is_end_stream();
        let asked = waits.then(Arc::<AtomicBool>::default);
        let watcher = body::Watcher {
            limit: shared.limits.body_idle_timeout,
            rate: shared.limits.body_rate,
            events: &shared.events,
            peer: self.peer.remote,
            activity: &self.activity,
            asked: asked.as_ref(),
        };
        let mut request = request.map(|incoming| watcher.watch(incoming));
        if request.extensions().get::<OnUpgrade>().is_some() {
            request.extensions_mut().insert(self.unwrap);
        }
        let peer = Peer { interim: Some(interim), ..self.peer.clone() };
        let answer = Answer::Handled(Box::pin((shared.handler)(request.into(), peer)));
        Coming { answer, outlet: Arc::clone(&self.outlet), running: Some(running), asked }
    }
}

/// What hyper waits for.
pub(super) struct Coming<F> {
    answer: Answer<F>,
    outlet: Arc<Outlet>,
    running: Option<Running>,
    /// Whether somebody has asked for the body that its client holds back.
    asked: Option<Arc<AtomicBool>>,
}

/// The answer itself.
enum Answer<F> {
    /// There already, behind what has to come before it.
    Made(Option<Response>),
    /// Boxed for each request: hyper would otherwise keep room for the largest handler in each idle connection. It
    /// goes into its box as the handler makes it, since each wrapping around it would be one more copy of it all.
    Handled(Pin<Box<F>>),
}

impl<F: Future<Output: Into<Reply>>> Future for Coming<F> {
    type Output = Result<hyper::Response<Sent>, Unsaid>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut answer = match &mut self.answer {
            Answer::Made(answer) => answer.take().unwrap_or_default(),
            Answer::Handled(handler) => {
                let reply = ready!(handler.as_mut().poll(cx)).into();
                if self.outlet.has_ended() && reply.is_unsaid() {
                    return Poll::Ready(Err(Unsaid));
                }
                let answer = reply.into_response();
                if self.outlet.has_waiting() {
                    // It comes behind them, once hyper has flushed.
                    self.answer = Answer::Made(Some(answer));
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                answer
            }
        };
        self.outlet.close();
        if let (StatusCode::SWITCHING_PROTOCOLS, Some(running)) = (answer.status(), &self.running) {
            running.activity().note_switch();
        }
        // Its client may go on with the body or with another request, and nothing tells which of them it is (RFC 9110
        // section 10.1.1): nothing behind such an answer is read. Nor is more of a body that nobody wants, and of a
        // client that has ended its side nothing can come.
        let unasked = self.asked.as_ref().is_some_and(|asked| !asked.load(Ordering::Relaxed));
        let unwanted = self.running.as_ref().is_some_and(|running| running.activity().closes_for_rest());
        if (unasked || unwanted || self.outlet.has_ended()) && answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Poll::Ready(Ok(answer.map(|body| Sent::new(body, self.running.take()))))
    }
}
