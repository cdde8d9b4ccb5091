//! The head of an answer as HTTP/2 has it: nothing that concerns a connection, one length at most, a date.
//!
//! What a handler says of the framing is taken for the length of a body that does not know its own, as in
//! `server::lean`; an answer that contradicts itself is not sent. Called by `server::http2`.

use std::sync::{Mutex, PoisonError};

use http_body::Body as _;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, DATE, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE,
};
use hyper::{Method, StatusCode};
use tokio::time::Instant;

use crate::http::strict::digits;
use crate::http::{Body, Response};
use crate::server::lean::answer::BELONG_TO_HEADS;
use crate::server::lean::date::Date;

/// What is to be sent after a head.
pub(super) struct Rest {
    pub(super) body: Body,
    /// How much the head announced.
    pub(super) left: Option<u64>,
}

/// The `Date` of answers, which all streams of a connection share.
pub(super) struct Stamp(Mutex<(Date, HeaderValue)>);

impl Stamp {
    /// Not written yet.
    pub(super) fn new() -> Self {
        Self(Mutex::new((Date::new(), HeaderValue::from_static(""))))
    }

    fn now(&self) -> HeaderValue {
        // A panic elsewhere leaves a date.
        let mut stamp = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (date, value) = &mut *stamp;
        let text = date.at(Instant::now());
        if value.as_bytes() != text
            && let Ok(written) = HeaderValue::from_bytes(text)
        {
            *value = written;
        }
        value.clone()
    }
}

/// Which answers have no body, whatever their handler gives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// For the head alone.
    Head,
    /// For a tunnel: a success has no length either (RFC 9110 section 9.3.6).
    Connect,
    /// For all of it.
    Whole,
}

impl Asked {
    /// With this method.
    pub(super) fn with(method: &Method) -> Self {
        match *method {
            Method::HEAD => Self::Head,
            Method::CONNECT => Self::Connect,
            _ => Self::Whole,
        }
    }
}

/// The head, and what follows it, if anything does.
pub(super) fn write(response: Response, asked: Asked, stamp: &Stamp) -> (hyper::Response<()>, Option<Rest>) {
    let (mut head, body) = response.into_parts();
    let status = head.status;
    let Some(length) = frame(status, &mut head.headers, &body, asked, stamp) else {
        tracing::error!(%status, "an answer contradicts itself: 500 was sent in its place");
        let mut answer = hyper::Response::new(());
        *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        answer.headers_mut().insert(DATE, stamp.now());
        return (answer, None);
    };
    let rest = match length {
        Length::None => None,
        Length::Known(left) => Some(Rest { body, left: Some(left) }),
        Length::Open => Some(Rest { body, left: None }),
    };
    (hyper::Response::from_parts(head, ()), rest)
}

/// How long what follows a head is.
enum Length {
    None,
    Known(u64),
    Open,
}

/// Writes a head's framing; `None` when it contradicts itself.
fn frame(status: StatusCode, headers: &mut HeaderMap, body: &Body, asked: Asked, stamp: &Stamp) -> Option<Length> {
    // An interim answer is none, and a 101 not even that: "HTTP/2 removes support for" it (RFC 9113 section 8.6).
    if status.is_informational() {
        return None;
    }
    let seen = Seen::of(headers);
    if seen.hop {
        strip(headers);
    }
    if !seen.date {
        headers.insert(DATE, stamp.now());
    }
    if status == StatusCode::NO_CONTENT || (asked == Asked::Connect && status.is_success()) {
        headers.remove(CONTENT_LENGTH);
        return Some(Length::None);
    }
    let said = if seen.length { Some(said(headers)?) } else { None };
    let is_empty = body.is_end_stream();
    let known = if is_empty { Some(0) } else { body.size_hint().exact() };
    if asked == Asked::Head || status == StatusCode::NOT_MODIFIED {
        if let (None, Some(length @ 1..), Asked::Head) = (said, known, asked) {
            headers.insert(CONTENT_LENGTH, length.into());
        }
        return Some(Length::None);
    }
    if let Some(known) = known
        && said != Some(known)
        && (said.is_some() || known > 0)
    {
        headers.insert(CONTENT_LENGTH, known.into());
    }
    Some(match (known, said) {
        _ if is_empty => Length::None,
        (Some(length), _) | (None, Some(length)) => Length::Known(length),
        (None, None) => Length::Open,
    })
}

/// What a handler's head has of what is looked for, in one pass.
#[derive(Default)]
struct Seen {
    length: bool,
    date: bool,
    hop: bool,
}

impl Seen {
    fn of(headers: &HeaderMap) -> Self {
        let mut seen = Self::default();
        for name in headers.keys() {
            match *name {
                CONTENT_LENGTH => seen.length = true,
                DATE => seen.date = true,
                CONNECTION | TE | TRANSFER_ENCODING | UPGRADE => seen.hop = true,
                _ => seen.hop |= HOP_BY_HOP.contains(&name.as_str()),
            }
        }
        seen
    }
}

/// Without constants of their own.
const HOP_BY_HOP: [&str; 2] = ["keep-alive", "proxy-connection"];

/// Takes out what "an endpoint MUST NOT generate" (RFC 9113 section 8.2.2): handlers speak HTTP/1.1.
fn strip(headers: &mut HeaderMap) {
    let nominated: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in nominated.iter().chain(&[CONNECTION, TE, TRANSFER_ENCODING, UPGRADE]) {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Trailers without what belongs to a head (RFC 9110 section 6.5.1) or to a connection, which would break the answer.
pub(super) fn fit_to_end(mut trailers: HeaderMap) -> HeaderMap {
    strip(&mut trailers);
    for name in BELONG_TO_HEADS {
        trailers.remove(name);
    }
    trailers
}

/// The one length that a head says, however often; `None` when it cannot be believed.
fn said(headers: &mut HeaderMap) -> Option<u64> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter().map(|length| digits(length.as_bytes()));
    let first = lengths.next()??;
    let mut others = 0;
    for other in lengths {
        others += 1;
        if other != Some(first) {
            return None;
        }
    }
    if others > 0 {
        headers.insert(CONTENT_LENGTH, first.into());
    }
    Some(first)
}
