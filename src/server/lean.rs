//! HTTP/1.1 for the plain kept-alive case: requests that are nothing but a head, one after the other.
//!
//! Nearly all requests are such, and hyper pays for what they do not need. Here one poll reads a head and asks the
//! handler, and another writes the answer in one go; between requests nothing is kept but the socket. Every other
//! request is hyper's, behind a fence, and its connection comes back afterwards.
//!
//! The price is that this reads heads itself, which is where one person's request becomes another's. Therefore every
//! head of a connection comes through here, what can be read in two ways is refused ([`head::Violation`]), and a request
//! is hyper's when in doubt. Called by `server::connection`.

pub(super) mod answer;
pub(super) mod date;
pub mod head;
mod outgoing;
mod reading;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Body as _;
use hyper::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use self::answer::{Afterwards, Left};
use self::date::Date;
use self::head::{Asked, Bounds, End, Read, Violation};
use self::outgoing::Outgoing;
use self::reading::Reading;
use super::fence::Fenced;
use super::hang_up::HangsUp;
use super::streams::{Activity, Running};
use crate::http::interim::{Outlet, Sender};
use crate::http::{Arrival, Body, Reply, Response};

/// What a connection comes to.
#[derive(Debug)]
pub(super) enum Turn {
    /// It is done: nothing is left to do but to close it.
    Ended,
    /// The client has its last answer, and may be sending still.
    Answered,
    /// A head was refused; the answer is on its way.
    Refused(Violation),
    /// Its next request is hyper's, and ends there.
    Foreign(End),
    /// The client took nothing, or was gone in the middle.
    Broken(io::Error),
}

/// A connection between handshake and end.
pub(super) struct Lean<S, F> {
    stream: Fenced<S>,
    state: State<F>,
    wished: Afterwards,
    date: Date,
    /// Where a handler leaves interim answers.
    outlet: Arc<Outlet>,
}

enum State<F> {
    Reading(Reading),
    Handling(Handling<F>),
    Answering(Answering),
    /// The client is told that this is the end.
    Closing(Parting),
}

/// Who knows of a connection's end before it comes.
#[derive(Clone, Copy)]
enum Parting {
    /// The client: it sends nothing more.
    Expected,
    /// We alone.
    Sudden,
}

struct Handling<F> {
    /// Boxed for each request: an idle connection has no room for it.
    handler: Pin<Box<F>>,
    asked: Asked,
    /// Interim answers.
    outgoing: Outgoing,
    /// Whether there are any that the client has not been sent.
    flushes: bool,
    running: Running,
}

struct Answering {
    body: Body,
    left: Left,
    outgoing: Outgoing,
    ending: Ending,
    afterwards: Afterwards,
    parting: Parting,
    running: Option<Running>,
    /// When it began, while that is now.
    at: Option<Instant>,
}

/// How far a body has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// There may be more.
    Open,
    /// All is on its way.
    Whole,
    /// It broke off, which the client has to notice.
    Broken,
}

impl<S, F> Lean<S, F>
where
    S: AsyncRead + AsyncWrite + HangsUp + Unpin,
    F: Future<Output: Into<Reply>>,
{
    /// Over a stream of which nothing was read, or what nobody else will.
    pub(super) fn new(stream: Fenced<S>) -> Self {
        Self {
            stream,
            state: State::Reading(Reading::default()),
            wished: Afterwards::Keep,
            date: Date::new(),
            outlet: Arc::default(),
        }
    }

    /// The stream, for whoever reads the next request.
    pub(super) fn into_stream(self) -> Fenced<S> {
        self.stream
    }

    /// Has the connection end as soon as it is fair: between two requests.
    pub(super) fn end(&mut self) {
        self.wished = Afterwards::Close;
        if matches!(self.state, State::Reading(_)) && self.stream.unread().is_empty() {
            self.state = State::Closing(Parting::Expected);
        }
    }

    /// Serves on.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        bounds: Bounds,
        activity: &Arc<Activity>,
        ask: impl Fn(Arrival, Sender) -> Pin<Box<F>>,
    ) -> Poll<Turn> {
        loop {
            match &mut self.state {
                State::Reading(reading) => match ready!(reading.poll_head(&mut self.stream, cx, bounds)) {
                    Ok(Some(Read::Plain(_, arrival, asked))) => {
                        activity.note_request();
                        let running = activity.begin();
                        let (handler, outgoing) = (ask(arrival, self.outlet.open()), Outgoing::default());
                        self.state = State::Handling(Handling { handler, asked, outgoing, flushes: false, running });
                    }
                    Ok(Some(Read::Foreign(end))) => return Poll::Ready(Turn::Foreign(end)),
                    Ok(Some(Read::Part) | None) => self.state = State::Closing(Parting::Expected),
                    Err(violation) => {
                        self.wished = Afterwards::Close;
                        self.answer(refusal(violation.status()).into(), Asked::default(), Outgoing::default(), None);
                        if let State::Answering(answering) = &mut self.state {
                            answering.parting = Parting::Sudden;
                        }
                        return Poll::Ready(Turn::Refused(violation));
                    }
                },
                State::Handling(handling) => {
                    let polled = handling.handler.as_mut().poll(cx);
                    // What a client does not take waits in the outlet, which has its own bound.
                    if self.outlet.has_waiting() && handling.outgoing.has_room() {
                        handling.flushes = true;
                        self.outlet.write(handling.outgoing.text());
                    }
                    if let Poll::Ready(reply) = polled {
                        self.outlet.close();
                        let closing = State::Closing(Parting::Expected);
                        let State::Handling(done) = std::mem::replace(&mut self.state, closing) else {
                            return Poll::Ready(Turn::Ended);
                        };
                        self.answer(reply.into(), done.asked, done.outgoing, Some(done.running));
                        continue;
                    }
                    if handling.flushes
                        && let Poll::Ready(flushed) = handling.outgoing.poll_flush(cx, &mut self.stream)
                    {
                        if let Err(error) = flushed {
                            return Poll::Ready(Turn::Broken(error));
                        }
                        handling.flushes = false;
                        continue;
                    }
                    if ready!(self.stream.poll_client(cx, &self.outlet)).is_break() {
                        return Poll::Ready(Turn::Ended);
                    }
                }
                State::Answering(answering) => match answering.poll(cx, &mut self.stream) {
                    Poll::Ready(Ok(afterwards)) => {
                        if let (Some(running), Some(at)) = (&mut answering.running, answering.at) {
                            running.end_at(at);
                        }
                        let ends = Afterwards::Close == afterwards || Afterwards::Close == self.wished;
                        self.state = match answering.parting {
                            _ if !ends => State::Reading(Reading::default()),
                            Parting::Expected if self.stream.unread().is_empty() => State::Closing(Parting::Expected),
                            _ => State::Closing(Parting::Sudden),
                        };
                    }
                    Poll::Ready(Err(Cut::BrokenOff)) => return Poll::Ready(Turn::Ended),
                    Poll::Ready(Err(Cut::Io(error))) => return Poll::Ready(Turn::Broken(error)),
                    Poll::Pending => {
                        answering.at = None;
                        if ready!(self.stream.poll_client(cx, &self.outlet)).is_break() {
                            return Poll::Ready(Turn::Ended);
                        }
                    }
                },
                State::Closing(parting) => {
                    // A goodbye that the client does not take changes nothing.
                    let _ = ready!(Pin::new(&mut self.stream).poll_shutdown(cx));
                    return Poll::Ready(match parting {
                        Parting::Expected => Turn::Ended,
                        Parting::Sudden => Turn::Answered,
                    });
                }
            }
        }
    }

    fn answer(&mut self, reply: Reply, asked: Asked, mut outgoing: Outgoing, running: Option<Running>) {
        let wished = if asked.close || self.stream.has_ended() { Afterwards::Close } else { self.wished };
        if self.stream.has_ended() && reply.is_unsaid() {
            return self.state = State::Closing(Parting::Expected);
        }
        // One that is merely asked to end between two requests was told so in time, as a rule.
        let parting = if wished == Afterwards::Close { Parting::Expected } else { Parting::Sudden };
        let (head, body) = reply.into_parts();
        let (now, begin) = (Instant::now(), outgoing.text().len());
        let date = self.date.at(now);
        let written = answer::write_head(&head, &body, asked, wished, date, outgoing.text());
        let (body, left, afterwards) = match written {
            Ok((left, afterwards)) => (body, left, afterwards),
            Err(answer::Contradiction) => {
                tracing::error!(status = %head.status, "an answer contradicts itself: 500 was sent in its place");
                outgoing.text().truncate(begin);
                let (head, body) = Reply::from(refusal(StatusCode::INTERNAL_SERVER_ERROR)).into_parts();
                let _ = answer::write_head(&head, &body, asked, Afterwards::Close, date, outgoing.text());
                (body, Left::Nothing, Afterwards::Close)
            }
        };
        let ending = if left == Left::Nothing { Ending::Whole } else { Ending::Open };
        let body = if ending == Ending::Whole { Body::Empty } else { body };
        let at = Some(now);
        self.state = State::Answering(Answering { body, left, outgoing, ending, afterwards, parting, running, at });
    }
}

fn refusal(status: StatusCode) -> Response {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    response
}

/// Why a client did not get all of an answer.
#[derive(Debug)]
enum Cut {
    BrokenOff,
    Io(io::Error),
}

impl Answering {
    fn poll<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Fenced<S>,
    ) -> Poll<Result<Afterwards, Cut>> {
        loop {
            let mut waits = false;
            while self.ending == Ending::Open && !waits && self.outgoing.has_room() {
                match Pin::new(&mut self.body).poll_frame(cx) {
                    Poll::Ready(frame) => self.append(frame.transpose()),
                    Poll::Pending => waits = true,
                }
            }
            if self.ending == Ending::Open && !waits {
                ready!(self.outgoing.poll_write(cx, stream)).map_err(Cut::Io)?;
            } else {
                ready!(self.outgoing.poll_flush(cx, stream)).map_err(Cut::Io)?;
                return match self.ending {
                    Ending::Open => Poll::Pending,
                    Ending::Whole => Poll::Ready(Ok(self.afterwards)),
                    Ending::Broken => Poll::Ready(Err(Cut::BrokenOff)),
                };
            }
        }
    }

    fn append(&mut self, frame: Result<Option<http_body::Frame<Bytes>>, crate::http::BodyError>) {
        let Ok(frame) = frame else { return self.ending = Ending::Broken };
        let Some(frame) = frame else { return self.finish(None) };
        match frame.into_data() {
            Ok(data) => {
                self.append_data(data);
                if self.ending == Ending::Open && self.body.is_end_stream() {
                    self.finish(None);
                }
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    self.finish(Some(&trailers));
                }
            }
        }
    }

    fn append_data(&mut self, mut data: Bytes) {
        if data.is_empty() {
            return;
        }
        match &mut self.left {
            Left::Nothing => {}
            Left::Length(left) => {
                // Nobody may say more than was announced.
                data.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= data.len() as u64;
                if *left == 0 {
                    self.ending = Ending::Whole;
                }
                self.outgoing.push(data);
            }
            Left::Chunks(_) => {
                answer::write_chunk_size(data.len(), self.outgoing.text());
                self.outgoing.push(data);
                self.outgoing.text().extend_from_slice(b"\r\n");
            }
        }
    }

    fn finish(&mut self, trailers: Option<&hyper::HeaderMap>) {
        self.ending = match &self.left {
            Left::Nothing | Left::Length(0) => Ending::Whole,
            Left::Length(_) => Ending::Broken,
            Left::Chunks(announced) => {
                answer::write_end(trailers, announced.as_deref(), self.outgoing.text());
                Ending::Whole
            }
        };
    }
}

#[cfg(test)]
mod tests;
